import itertools

import jax
import numpy as np
import pytest

from qgen.classical import anomaly, drift

RUNS, LEVEL = 200, 0.1


def blocks(rng, shift, windows, n=20, m=12):
    reference = rng.normal(size=(n, 3))
    items = rng.normal(size=(windows, m, 3)) + shift
    kernel = [anomaly.rbf(reference, window, 0.2) for window in items]
    inside = [anomaly.rbf(window, window, 0.2) for window in items]
    return reference, items, drift.pooled(anomaly.rbf(reference, reference, 0.2), np.stack(kernel), np.stack(inside))


def test_mmd_keeps_its_level_and_has_power():
    rng = np.random.default_rng(0)
    # One window per reference: windows that share a reference would not be independent.
    grams = np.concatenate([blocks(rng, 0.0, 1)[2] for _ in range(RUNS)])
    p_values = np.asarray(drift.mmd(jax.random.key(0), grams, 20, 99))
    assert abs((p_values <= LEVEL).mean() - LEVEL) < 5 * np.sqrt(LEVEL * (1 - LEVEL) / RUNS)
    assert 0 < p_values.min() and p_values.max() <= 1
    moved = np.asarray(drift.mmd(jax.random.key(1), blocks(rng, 1.2, 20)[2], 20, 99))
    assert (moved <= LEVEL).mean() > 0.8


def test_mmd_is_the_exhaustive_permutation_test():
    """Three against two: all ten relabellings, enumerated."""
    rng = np.random.default_rng(4)
    gram = blocks(rng, 0.7, 1, n=3, m=2)[2][0].astype(float)

    def statistic(second):
        first = [i for i in range(5) if i not in second]
        return (
            gram[np.ix_(first, first)].mean()
            + gram[np.ix_(second, second)].mean()
            - 2 * gram[np.ix_(first, second)].mean()
        )

    values = [statistic(list(second)) for second in itertools.combinations(range(5), 2)]
    exact = np.mean(np.array(values) >= statistic([3, 4]) - 1e-7)
    permutations = 5000
    estimate = float(drift.mmd(jax.random.key(2), gram[None].astype(np.float32), 3, permutations)[0])
    assert abs(estimate - exact) < 5 * np.sqrt(exact * (1 - exact) / permutations) + 2 / permutations


def test_pooled_puts_blocks_in_their_places():
    rng = np.random.default_rng(1)
    reference, items, gram = blocks(rng, 0.3, 2)
    whole = np.concatenate([reference, items[1]])
    np.testing.assert_allclose(gram[1], anomaly.rbf(whole, whole, 0.2), atol=1e-6)


def test_kolmogorov_smirnov_is_bonferronis():
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(2)
    reference, items, _ = blocks(rng, 0.9, 3)
    found = drift.kolmogorov_smirnov(reference, items)
    expected = [min(1, 3 * min(ks_2samp(reference[:, f], w[:, f]).pvalue for f in range(3))) for w in items]
    np.testing.assert_allclose(found, expected)


def test_refusals():
    gram = np.zeros((1, 5, 5), np.float32)
    with pytest.raises(ValueError, match="`first`"):
        drift.mmd(jax.random.key(0), gram, 5, 10)
    with pytest.raises(ValueError, match="`permutations`"):
        drift.mmd(jax.random.key(0), gram, 2, 0)
    with pytest.raises(ValueError, match="`windows`"):
        drift.kolmogorov_smirnov(np.zeros((5, 3)), np.zeros((1, 5, 2)))
