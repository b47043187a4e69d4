import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.circuits.engine.trigonometry import MANY, cos_sin

ATOL = {1.0: 2e-7, 300.0: 2e-7, 9e4: 2e-7}
FEW = 5


@pytest.mark.parametrize("scale", ATOL)
def test_many_angles_against_numpy(scale):
    x = jnp.asarray(np.random.default_rng(1).uniform(-scale, scale, MANY + 3), jnp.float32)
    # As users compile it: range reduction rests on fused multiply-adds, which the suite's quick compilation leaves out.
    found = np.stack(jax.jit(cos_sin, compiler_options={"xla_backend_optimization_level": 3})(x))
    exact = np.asarray(x, np.float64)
    np.testing.assert_allclose(found, [np.cos(exact), np.sin(exact)], rtol=0, atol=ATOL[scale])


def test_huge_and_missing_angles():
    x = jnp.asarray(np.random.default_rng(2).uniform(1e6, 1e12, MANY), jnp.float32).at[4].set(jnp.nan)
    c, s = cos_sin(x)
    norm = np.asarray(c**2 + s**2)
    assert np.isnan(norm[4])
    np.testing.assert_allclose(np.delete(norm, 4), 1.0, rtol=0, atol=ATOL[1.0])


@pytest.mark.parametrize("size", [FEW, MANY])
def test_derivatives(size):
    x = jnp.asarray(np.random.default_rng(3).uniform(-3, 3, size), jnp.float32)
    for order in (1, 2):
        f = lambda v: cos_sin(v * jnp.ones_like(x) + x)[0].sum()  # noqa: E731
        slope = jax.grad(f) if order == 1 else jax.grad(jax.grad(f))
        exact = np.asarray(x, np.float64) + 0.2
        expected = -np.sin(exact).sum() if order == 1 else -np.cos(exact).sum()
        np.testing.assert_allclose(slope(jnp.float32(0.2)), expected, rtol=1e-4, atol=1e-2)


def test_double_precision():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(4).uniform(-3, 3, MANY))
        np.testing.assert_allclose(cos_sin(x)[1], np.sin(np.asarray(x)), rtol=0, atol=1e-14)
