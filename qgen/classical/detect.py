"""Detection from start to end: reduce features, tune without labels, score a stream, test its windows for drift."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from qgen.classical import anomaly, drift
from qgen.types import Key

FITTED = 2 / 3
"""Share of the reference that a trial fits; the rest checks it."""


class Reduction(NamedTuple):
    """A linear map of features that gives the reference mean 0 and every component variance 1 on it.

    Attributes:
        mean: [width + 1].
        axes: [width + 1, components].
    """

    mean: np.ndarray
    axes: np.ndarray


def reduction(reference: np.ndarray, features: int | None) -> Reduction:
    """The loss and `features` - 1 principal components of the standardised hidden state; None: all features."""
    mean, spread = reference.mean(axis=0), np.maximum(reference.std(axis=0), 1e-6)
    if features is None:
        return Reduction(mean, np.diag(1 / spread))
    _, sizes, directions = np.linalg.svd(((reference - mean) / spread)[:, :-1], full_matrices=False)
    kept = min(features - 1, len(sizes))
    axes = np.zeros((reference.shape[1], kept + 1))
    axes[-1, 0] = 1 / spread[-1]
    deviations = np.maximum(sizes[:kept], 1e-6) / len(reference) ** 0.5
    axes[:-1, 1:] = (directions[:kept] / spread[:-1]).T / deviations
    return Reduction(mean, axes)


def reduce(reduction: Reduction, features: np.ndarray) -> np.ndarray:
    """The components of requests, float32."""
    return ((features - reduction.mean) @ reduction.axes).astype(np.float32)


class Data(NamedTuple):
    """Reduced features as one table of items: the reference, outliers to check trials with, the stream, the corrupted.

    Attributes:
        items: [reference + outliers + stream + corrupted, features].
        fitted: how many of the reference a trial fits.
        reference: how many items are the reference.
        known: how many are reference or outliers.
        windows: rows of the stream's windows, [windows, window].
    """

    items: np.ndarray
    fitted: int
    reference: int
    known: int
    windows: np.ndarray


def arrange(
    key: Key, how: Reduction, reference: np.ndarray, stream: np.ndarray, anomalies: np.ndarray, windows: int
) -> Data:
    """Reduces everything; outliers, uniform in the reference's box, stand for anomalies, so that no label is used."""
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    reference = reduce(how, reference)
    fitted = round(FITTED * len(reference))
    low, high = reference.min(axis=0), reference.max(axis=0)
    outliers = generator.uniform(low, high, (len(reference) - fitted, len(low))).astype(np.float32)
    items = [reference, outliers, reduce(how, stream), reduce(how, anomalies)]
    known = len(reference) + len(outliers)
    return Data(
        np.concatenate(items), fitted, len(reference), known, known + np.arange(len(stream)).reshape(windows, -1)
    )


Fit = Callable[[np.ndarray, float], Any]
Score = Callable[[Any, np.ndarray], np.ndarray]


def tuned(
    trials: Sequence[float], data: Data, fit: Fit, score: Score
) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """The detector of the best trial, fitted on the whole reference; its scores; p-values; each trial's own AUROC."""
    from sklearn.metrics import roc_auc_score

    held_back = data.items[data.fitted : data.known]
    labels = np.arange(len(held_back)) >= data.reference - data.fitted
    found = [roc_auc_score(labels, score(fit(data.items[: data.fitted], trial), held_back)) for trial in trials]
    reference = data.items[: data.reference]
    detector = fit(reference, trials[int(np.argmax(found))])
    p_values = drift.kolmogorov_smirnov(reference, data.items[data.windows])
    return detector, score(detector, data.items[data.known :]), p_values, np.array(found)


Entries = Callable[[Key, float, np.ndarray, np.ndarray], np.ndarray]
"""`(key, trial, rows, columns) -> kernel` between items given by places; the same object twice means a Gram matrix."""


class Detected(NamedTuple):
    """What a kernel detector found: its support vectors, trial, scores, p-values, trials' AUROCs and entries used."""

    support: anomaly.Support
    trial: float
    scores: np.ndarray
    p_values: np.ndarray
    found: np.ndarray
    entries: int


def detect(
    key: Key,
    data: Data,
    entries: Entries,
    *,
    trials: Sequence[float],
    nu: float,
    permutations: int,
    repair: Callable[[np.ndarray], np.ndarray] | None = None,
    drift_trial: float | None = None,
) -> Detected:
    """One-class SVM and MMD for any kernel: tune, fit on the whole reference, score the stream, test its windows.

    Args:
        key: random key of shots and permutations.
        data: the items.
        entries: the kernel.
        trials: what to try; the kernel knows what they mean.
        nu: share of the reference that the machine may leave outside.
        permutations: of the drift test.
        repair: makes a measured Gram matrix positive semidefinite; None where it is so already.
        drift_trial: the trial that the drift test uses; None is the tuned one, whose entries are used again.
    """
    from sklearn.metrics import roc_auc_score

    keys = iter(jax.random.split(key, 2 * len(trials) + len(data.windows) + 5))
    used = 0

    def ask(trial: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        nonlocal used
        used += len(rows) * (len(rows) - 1) // 2 if rows is columns else len(rows) * len(columns)
        return entries(next(keys), trial, rows, columns)

    def fit(trial: float, rows: np.ndarray) -> tuple[anomaly.Support, np.ndarray]:
        gram = ask(trial, rows, rows)
        return anomaly.fit_one_class(data.items[rows], repair(gram) if repair else gram, nu), gram

    fitted, held_back = np.arange(data.fitted), np.arange(data.fitted, data.known)
    labels = held_back >= data.reference
    found = []
    for trial in trials:
        support, _ = fit(trial, fitted)
        scores = anomaly.support_score(support, ask(trial, held_back, fitted[support.places]))
        found.append(roc_auc_score(labels, scores))
    trial = trials[int(np.argmax(found))]
    reference, watched = np.arange(data.reference), np.arange(data.known, len(data.items))
    support, gram = fit(trial, reference)
    across = ask(trial, watched, reference)
    scores = anomaly.support_score(support, across[:, support.places])
    if drift_trial is not None and drift_trial != trial:
        gram, across = ask(drift_trial, reference, reference), ask(drift_trial, watched, reference)
    inside = np.stack([ask(drift_trial or trial, rows, rows) for rows in data.windows])
    between = across[data.windows - data.known].transpose(0, 2, 1)
    p_values = drift.mmd(next(keys), drift.pooled(gram, between, inside), data.reference, permutations)
    return Detected(support, trial, scores, np.asarray(p_values), np.array(found), used)
