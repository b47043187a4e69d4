import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import dequantised

SIGMAS = 5


def vectors():
    rng = np.random.default_rng(3)
    return jnp.asarray(rng.normal(size=(3, 6)), dtype=jnp.float32), jnp.asarray(
        rng.normal(size=(2, 6)), dtype=jnp.float32
    )


def test_mean_and_variance_are_those_of_length_squared_sampling(key):
    a, b = vectors()
    samples, repeats = 40, 3000
    draw = jax.jit(jax.vmap(lambda k: dequantised.sampled_vectors(k, a, samples) @ b.T))
    drawn = np.asarray(draw(jax.random.split(key, repeats)))
    inner = np.asarray(a @ b.T)
    lengths = np.asarray((a**2).sum(1)[:, None] * (b**2).sum(1)[None, :])
    variance = (lengths - inner**2) / samples
    assert np.all(abs(drawn.mean(0) - inner) < SIGMAS * np.sqrt(variance / repeats))
    spread = np.sqrt(((drawn - inner[None]) ** 2).var(0) / repeats)
    assert np.all(abs(drawn.var(0) - variance) < SIGMAS * spread)


def test_distances_come_close_with_many_samples(key):
    a, b = vectors()
    found = dequantised.distances(key, a, b, 1_000_000)
    expected = ((np.asarray(a)[:, None] - np.asarray(b)[None]) ** 2).sum(-1)
    assert np.allclose(found, expected, atol=0.05)


def test_zero_entries_stay_zero(key):
    found = dequantised.sampled_vectors(key, jnp.asarray([[0.0, 2.0, -1.0]]), 50)
    assert float(found[0, 0]) == 0.0
    assert np.all(np.isfinite(found))


def test_wrong_arguments(key):
    with pytest.raises(ValueError, match="samples"):
        dequantised.sampled_vectors(key, vectors()[0], 0)
