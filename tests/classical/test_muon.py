import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import muon

SINGULAR_LOW, SINGULAR_HIGH = 0.6, 1.3
"""The quintic iteration settles near 1, not at 1."""
TOLERANCE = 2e-4


def matrix(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


@pytest.mark.parametrize("shape", [(6, 6), (5, 12), (12, 5)])
def test_orthogonalise_keeps_singular_vectors_and_levels_singular_values(shape):
    given = matrix(*shape)
    left, values, right = np.linalg.svd(given, full_matrices=False)
    found = np.asarray(muon.orthogonalise(jnp.asarray(given, jnp.float32), 6), dtype=float)
    core = left.T @ found @ right.T
    assert np.abs(core - np.diag(np.diag(core))).max() < TOLERANCE
    large = values > 0.05 * values.max()
    assert (np.diag(core)[large] > SINGULAR_LOW).all() and (np.diag(core) < SINGULAR_HIGH).all()


def test_update_is_the_formula_matrix_by_matrix():
    params = {"a": jnp.zeros((4, 8)), "b": jnp.zeros((8, 3)), "c": jnp.zeros((4, 8))}
    first = {
        name: jnp.asarray(matrix(*leaf.shape, seed), jnp.float32) for seed, (name, leaf) in enumerate(params.items())
    }
    second = {
        name: jnp.asarray(matrix(*leaf.shape, 9 + seed), jnp.float32)
        for seed, (name, leaf) in enumerate(params.items())
    }
    scale = muon.scale_by_muon(0.9)
    state = scale.init(params)
    _, state = scale.update(first, state)
    updates, state = scale.update(second, state)
    for name in params:
        momentum = 0.9 * np.asarray(first[name]) + np.asarray(second[name])
        ahead = jnp.asarray(0.9 * momentum + np.asarray(second[name]))
        np.testing.assert_allclose(state.momentum[name], momentum, atol=TOLERANCE)
        expected = 0.2 * np.sqrt(max(ahead.shape)) * np.asarray(muon.orthogonalise(ahead))
        np.testing.assert_allclose(updates[name], expected, atol=TOLERANCE)
        # min(shape) singular values near 1 give this root mean square.
        assert np.sqrt(np.mean(np.square(updates[name]))) == pytest.approx(0.2, rel=0.3)


def test_refuses_no_iteration():
    with pytest.raises(ValueError, match="`iterations` must be at least 1"):
        muon.orthogonalise(jnp.ones((2, 2)), 0)
