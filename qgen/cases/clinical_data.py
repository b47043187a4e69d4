"""Patients of the clinical case: settings, splits, features as amplitudes, and the score."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from qgen import check
from qgen.cases.base import MissingData, Sources
from qgen.types import Key

TESTED = 20
"""The fewest patients that a small training set must leave for the test."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        data: a data set.
        features: how many of the best features are used: a power of two.
        folds: folds of the cross-validation; ignored where `sizes` are given.
        sizes: training sets of so many patients, tested on all others.
        shots: shots per circuit; 0: exact.
        error: depolarising error of a two-qubit gate; a tenth of it after one-qubit gates.
    """

    data: str = "wisconsin"
    features: int = 8
    folds: int = 10
    sizes: tuple = ()
    shots: int = 0
    error: float = 0.0


class Patients(NamedTuple):
    """Features [patients, all features] and classes [patients] of 0 and 1."""

    x: np.ndarray
    y: np.ndarray


class Part(NamedTuple):
    """A training part and a test part as places; `name` is the suffix of its metrics."""

    name: str
    train: np.ndarray
    test: np.ndarray


class Problem(NamedTuple):
    """What every arm sees."""

    patients: Patients
    parts: tuple[Part, ...]


class Guess(NamedTuple):
    """Labels and scores (higher: class 1) of the test patients of one part."""

    labels: np.ndarray
    scores: np.ndarray


def read(path: Path) -> Patients:
    """Patients from a CSV file with a header; rows with gaps are left out.

    Raises:
        MissingData: for anything else.
    """
    try:
        rows = np.genfromtxt(path, delimiter=",", skip_header=1)
    except ValueError as error:
        raise MissingData(f"{path} is no table of numbers: {error}.") from error
    rows = rows[np.isfinite(rows).all(axis=1)] if rows.ndim == 2 else np.zeros((0, 2))
    if len(rows) < 20 or set(np.unique(rows[:, -1])) != {0.0, 1.0}:
        raise MissingData(f"{path} must be a CSV of numbers with a header whose last column is 0 or 1.")
    return Patients(rows[:, :-1], rows[:, -1].astype(int))


def problem(key: Key, setting: Setting, sources: Sources) -> Problem:
    """Splits the patients: stratified folds, or nested stratified training sets."""
    from sklearn.model_selection import StratifiedKFold

    patients = sources.data[setting.data]
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    if not setting.sizes:
        folds = StratifiedKFold(setting.folds, shuffle=True, random_state=int(rng.integers(2**31)))
        parts = [Part("", train, test) for train, test in folds.split(patients.x, patients.y)]
        return Problem(patients, tuple(parts))
    check.at_least("len(patients)", len(patients.y), max(setting.sizes) + TESTED)
    # Each class in random order, mixed so that every beginning holds it in its share.
    order = np.empty(len(patients.y))
    for label in (0, 1):
        members = np.flatnonzero(patients.y == label)
        order[rng.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    places = np.argsort(order, kind="stable")
    rest = places[max(setting.sizes) :]
    return Problem(patients, tuple(Part(f"_n{size}", places[:size], rest) for size in setting.sizes))


def score(problem: Problem, answer: Sequence[Guess]) -> dict[str, float]:
    """Means over parts of one name: `hard_auc` (of labels; it is the balanced accuracy) and `auc` (of scores)."""
    from sklearn.metrics import roc_auc_score

    found: dict[str, list[float]] = {}
    for part, guess in zip(problem.parts, answer, strict=True):
        truth = problem.patients.y[part.test]
        found.setdefault(f"hard_auc{part.name}", []).append(float(roc_auc_score(truth, guess.labels)))
        found.setdefault(f"auc{part.name}", []).append(float(roc_auc_score(truth, guess.scores)))
    return {name: float(np.mean(values)) for name, values in found.items()}


class Prepared(NamedTuple):
    """The chosen features of one part: raw, and as amplitudes (columns, then rows divided by their norms)."""

    x: np.ndarray
    x_test: np.ndarray
    y: np.ndarray
    unit: np.ndarray
    unit_test: np.ndarray


def prepared(problem: Problem, part: Part, features: int) -> Prepared:
    """Chooses features and norms of columns in the training part alone."""
    from sklearn.feature_selection import SelectKBest, f_classif

    x, y = problem.patients.x[part.train], problem.patients.y[part.train]
    check.at_least("features of the data", x.shape[1], features)
    x, held = x.astype(float), problem.patients.x[part.test].astype(float)
    # A constant feature of a small training set has no F value; it comes last.
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.nan_to_num(f_classif(x, y)[0], nan=-1.0)
    chosen = SelectKBest(lambda *_: values, k=features).fit(x, y).get_support()
    x, held = x[:, chosen], held[:, chosen]
    norms = np.maximum(np.linalg.norm(x, axis=0), 1e-12)
    return Prepared(x, held, y, unit_rows(x / norms), unit_rows(held / norms))


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows divided by their norms; a row of zeros becomes the first basis vector."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    first = np.zeros(x.shape[1])
    first[0] = 1.0
    return np.where(norms > 0, x / np.maximum(norms, 1e-300), first)
