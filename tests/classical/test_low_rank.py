"""Low-rank factors against numpy's SVD and published bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import fkv, low_rank

FLOAT32 = {"rtol": 2e-4, "atol": 2e-4}
N_KEYS = 64


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(3)
    left, right = np.linalg.qr(rng.normal(size=(30, 20)))[0], np.linalg.qr(rng.normal(size=(20, 20)))[0]
    return (left * 0.8 ** np.arange(20)) @ right.T


@pytest.fixture(scope="module")
def inputs():
    """Correlated inputs, 200 to fit on and 100 to score on."""
    rng = np.random.default_rng(4)
    return np.split(rng.normal(size=(300, 30)) * 0.85 ** np.arange(30) @ rng.normal(size=(30, 30)), [200])


def tail(matrix, rank):
    return np.sqrt(np.sum(np.linalg.svd(matrix, compute_uv=False)[rank:] ** 2))


def error(matrix, factors):
    return np.linalg.norm(matrix - np.asarray(factors[0], float) @ np.asarray(factors[1], float))


@pytest.mark.parametrize("rank", [3, 20])
def test_truncation_is_the_best_there_is(matrix, rank):
    factors = low_rank.truncated(jnp.asarray(matrix, jnp.float32), rank)
    np.testing.assert_allclose(error(matrix, factors), tail(matrix, rank), atol=1e-5, rtol=1e-5)
    assert low_rank.kept(factors) == rank * 50


def test_randomised_factors_keep_halkos_bound(matrix):
    """Mean square of the error, p extra vectors, no power: 1 + k / (p - 1) tails^2 to project, 1 to cut the rank."""
    given, rank, extra = jnp.asarray(matrix, jnp.float32), 4, 5
    keys = jax.random.split(jax.random.key(0), N_KEYS)
    plain = jax.jit(jax.vmap(lambda key: low_rank.randomised(key, given, rank, extra, 0)))(keys)
    squares = np.array([error(matrix, pair) ** 2 for pair in zip(*plain, strict=True)])
    bound = (2 + rank / (extra - 1)) * tail(matrix, rank) ** 2
    assert tail(matrix, rank) ** 2 < squares.mean() + 5 * squares.std() / N_KEYS**0.5 < bound
    sharp = low_rank.randomised(keys[0], given, rank, extra, 3)
    np.testing.assert_allclose(error(matrix, sharp), tail(matrix, rank), rtol=2e-3)


def test_activation_aware_factors_are_the_best_on_their_inputs(matrix, inputs):
    """No factors of this rank come closer on these inputs than the tail of x @ matrix (Eckart-Young)."""
    seen, unseen = (jnp.asarray(part, jnp.float32) for part in inputs)
    given, rank = jnp.asarray(matrix, jnp.float32), 5
    aware = low_rank.activation_aware(given, seen, rank, ridge=1e-7)
    best = tail(inputs[0] @ matrix, rank) / np.linalg.norm(inputs[0] @ matrix)
    np.testing.assert_allclose(low_rank.output_error(given, aware, seen), best, rtol=1e-3)
    blind = low_rank.truncated(given, rank)
    assert low_rank.output_error(given, aware, unseen) < low_rank.output_error(given, blind, unseen)
    outputs = inputs[1] @ matrix
    wanted = np.linalg.norm(outputs - inputs[1] @ np.asarray(blind[0]) @ np.asarray(blind[1])) / np.linalg.norm(outputs)
    np.testing.assert_allclose(low_rank.output_error(given, blind, unseen), wanted, rtol=1e-4)


def test_sampled_rows_have_the_right_second_moment(matrix):
    given = jnp.asarray(matrix, jnp.float32)
    keys = jax.random.split(jax.random.key(1), 400)
    grams = np.asarray(jax.jit(jax.vmap(lambda key: (s := fkv.sampled_rows(key, given, 10)).T @ s))(keys), float)
    deviation = grams.std(0) / np.sqrt(len(keys))
    assert np.abs(grams.mean(0) - matrix.T @ matrix).max() < 5 * deviation.max()
    np.testing.assert_allclose(np.trace(grams, axis1=1, axis2=2), np.linalg.norm(matrix) ** 2, rtol=1e-4)


def test_fkv_is_exact_on_exactly_low_rank_matrices():
    rng = np.random.default_rng(6)
    matrix = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 25))
    factors = fkv.sampled(jax.random.key(2), jnp.asarray(matrix, jnp.float32), 3, 12, 12)
    # v is orthonormal only up to the column sampling, but it spans the rows' space.
    basis = np.linalg.qr(np.asarray(factors[1], float).T)[0]
    np.testing.assert_allclose(matrix @ basis @ basis.T, matrix, **FLOAT32)


def test_fkv_keeps_its_additive_bound_and_needs_samples(matrix):
    """|A - A v v^T|^2 <= tail^2 + 2 sqrt(k / rows) |A|^2 on average, with many columns (Drineas et al., 2006)."""
    given, rank = jnp.asarray(matrix, jnp.float32), 3
    keys = jax.random.split(jax.random.key(3), 16)

    def squares(rows, columns):
        pairs = jax.jit(jax.vmap(lambda key: fkv.sampled(key, given, rank, rows, columns)))(keys)
        return np.array([error(matrix, pair) ** 2 for pair in zip(*pairs, strict=True)])

    many, few = squares(100, 400), squares(8, 8)
    bound = tail(matrix, rank) ** 2 + 2 * np.sqrt(rank / 100) * np.linalg.norm(matrix) ** 2
    assert many.mean() + 5 * many.std() / len(keys) ** 0.5 < bound
    assert many.mean() < few.mean()
    assert many.min() > tail(matrix, rank) ** 2 * (1 - 1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: low_rank.truncated(m, 5), r"`rank` must lie in \[1, 4\] for a matrix 6 x 4, but is 5"),
        (lambda m: low_rank.truncated(m, 0), r"`rank` must lie in \[1, 4\] for a matrix 6 x 4, but is 0"),
        (lambda m: low_rank.randomised(jax.random.key(0), m, 5), "`rank` must lie in"),
        (lambda m: low_rank.randomised(jax.random.key(0), m, 2, -1), "`oversampling` must be at least 0"),
        (lambda m: low_rank.randomised(jax.random.key(0), m, 2, 1, -1), "`powers` must be at least 0"),
        (lambda m: low_rank.activation_aware(m, m, 2), "`activations` must have shape"),
        (lambda m: low_rank.activation_aware(m, m.T, 2, 0.0), "`ridge` must be above 0"),
        (lambda m: fkv.sampled(jax.random.key(0), m, 3, 2, 9), "`rows` must be at least 3"),
        (lambda m: fkv.sampled(jax.random.key(0), m, 3, 9, 2), "`columns` must be at least 3"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.ones((6, 4)))
