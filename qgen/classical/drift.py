"""Drift: does a window of items come from the reference's distribution? p-values of two-sample tests."""

import jax
import numpy as np

from qgen import check
from qgen.types import Float, Key


def mmd(
    key: Key, gram: Float[np.ndarray, "windows pooled pooled"], first: int, permutations: int
) -> Float[np.ndarray, " windows"]:
    """Permutation test of the maximum mean discrepancy (Gretton et al. 2012) for any kernel.

    The statistic is w . K . w with w = 1/n on the first sample and -1/m on the second; under the null hypothesis the
    items are exchangeable, so the level holds exactly, also for a kernel that is estimated from shots.

    Args:
        key: random key.
        gram: for every window the kernel over reference and window together, the reference first.
        first: items of the reference.
        permutations: random relabellings; the smallest p-value is 1 / (permutations + 1).

    Returns:
        p-values, [windows].

    Raises:
        ValueError: if a sample is empty, or without permutations.
    """
    check.within("first", first, 1, gram.shape[-1] - 1)
    check.at_least("permutations", permutations, 1)
    n = gram.shape[-1]
    weights = np.where(np.arange(n) < first, 1.0 / first, -1.0 / (n - first))
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    relabelled = generator.permuted(np.tile(weights, (permutations, 1)), axis=1)
    gram = np.asarray(gram, dtype=float)
    observed = (weights @ gram) @ weights
    under_null = ((relabelled @ gram) * relabelled).sum(axis=-1)
    # A margin for rounding: a relabelling that changes nothing must count as a tie.
    return (1 + (under_null >= observed[:, None] - 1e-7).sum(axis=1)) / (permutations + 1)


def pooled(
    reference: Float[np.ndarray, "n n"],
    between: Float[np.ndarray, "windows n m"],
    inside: Float[np.ndarray, "windows m m"],
) -> Float[np.ndarray, "windows pooled pooled"]:
    """The kernel over reference and window together, for every window, from its blocks."""
    tall = np.broadcast_to(reference, (len(between), *reference.shape))
    top = np.concatenate([tall, between], axis=2)
    bottom = np.concatenate([between.transpose(0, 2, 1), inside], axis=2)
    return np.concatenate([top, bottom], axis=1).astype(np.float32)


def kolmogorov_smirnov(
    reference: Float[np.ndarray, "n features"], windows: Float[np.ndarray, "windows m features"]
) -> Float[np.ndarray, " windows"]:
    """The least p-value of the features' Kolmogorov-Smirnov tests, times their number (Bonferroni), at most 1."""
    from scipy.stats import ks_2samp

    reference, windows = np.asarray(reference, dtype=float), np.asarray(windows, dtype=float)
    check.shape("windows", windows, (None, None, reference.shape[1]))
    n_features = reference.shape[1]
    least = [
        min(float(ks_2samp(reference[:, f], window[:, f]).pvalue) for f in range(n_features))  # pyright: ignore
        for window in windows
    ]
    return np.minimum(1.0, n_features * np.array(least))
