"""Anomaly scores: how unlike the reference an item is. Fitting is scikit-learn's; scores are plain functions of arrays.

A fitted detector is a NamedTuple of arrays, so that it can be stored, compared and used without scikit-learn.
"""

from typing import NamedTuple

import numpy as np

from qgen import check
from qgen.types import Float, Int


class Forest(NamedTuple):
    """An isolation forest (Liu et al. 2008): trees as arrays, [trees, nodes].

    Attributes:
        feature: which feature a node compares; below 0 at a leaf.
        threshold: items at or below it go left.
        left: the node on the left.
        right: the node on the right.
        length: at a leaf, its depth plus the expected depth below it.
        normal: the expected path length of an item.
    """

    feature: Int[np.ndarray, "trees nodes"]
    threshold: Float[np.ndarray, "trees nodes"]
    left: Int[np.ndarray, "trees nodes"]
    right: Int[np.ndarray, "trees nodes"]
    length: Float[np.ndarray, "trees nodes"]
    normal: Float[np.ndarray, ""]


def fit_forest(seed: int, x: Float[np.ndarray, "items features"], trees: int, samples: int) -> Forest:
    """An isolation forest of scikit-learn.

    Args:
        seed: random seed.
        x: the reference.
        trees: number of trees.
        samples: items that each tree sees; at most all.
    """
    from sklearn.ensemble import IsolationForest

    check.at_least("trees", trees, 1)
    check.within("samples", samples, 2, len(x))
    model = IsolationForest(n_estimators=trees, max_samples=samples, random_state=seed)  # pyright: ignore[reportArgumentType]
    model.fit(np.asarray(x, np.float32))
    grown = [estimator.tree_ for estimator in model.estimators_]
    nodes = max(tree.node_count for tree in grown)
    feature, left, right = (np.full((trees, nodes), -1, np.int32) for _ in range(3))
    threshold, length = np.zeros((trees, nodes)), np.zeros((trees, nodes))
    for row, tree in enumerate(grown):
        count = tree.node_count
        feature[row, :count] = np.where(tree.children_left < 0, -1, tree.feature)
        threshold[row, :count] = tree.threshold
        left[row, :count], right[row, :count] = tree.children_left, tree.children_right
        depth = np.zeros(count)
        for node in range(count):
            if tree.children_left[node] >= 0:
                depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
        length[row, :count] = depth + expected_path(tree.n_node_samples)
    return Forest(feature, threshold, left, right, length, expected_path(np.array([samples]))[0])


def expected_path(n: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """The mean depth of a leaf of random binary search trees over n items: 2 H(n - 1) - 2 (n - 1) / n, H harmonic."""
    n = np.asarray(n, dtype=float)
    many = 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma) - 2 * (n - 1) / np.maximum(n, 1)
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, many))


def forest_score(forest: Forest, x: Float[np.ndarray, "items features"]) -> Float[np.ndarray, " items"]:
    """2^(-mean path length / normal path length), in (0, 1): higher is more anomalous."""
    x = np.asarray(x, np.float32)
    rows = np.arange(len(forest.feature))[None, :]
    node = np.zeros((len(x), len(forest.feature)), np.int64)
    while True:
        feature = forest.feature[rows, node]
        if (feature < 0).all():
            break
        goes_left = np.take_along_axis(x, np.maximum(feature, 0), axis=1) <= forest.threshold[rows, node]
        following = np.where(goes_left, forest.left[rows, node], forest.right[rows, node])
        node = np.where(feature < 0, node, following)
    return 2.0 ** (-forest.length[rows, node].mean(axis=1) / forest.normal)


class Support(NamedTuple):
    """A one-class support vector machine (Schölkopf et al. 2001): score(x) = offset - sum_i weights_i k(items_i, x).

    Attributes:
        items: the support vectors, [vectors, features].
        weights: [vectors].
        offset: the boundary's height.
        places: which items of the reference they are, [vectors].
    """

    items: Float[np.ndarray, "vectors features"]
    weights: Float[np.ndarray, " vectors"]
    offset: Float[np.ndarray, ""]
    places: Int[np.ndarray, " vectors"]


def fit_one_class(x: Float[np.ndarray, "items features"], gram: Float[np.ndarray, "items items"], nu: float) -> Support:
    """The one-class machine for any kernel, given as its Gram matrix over the items.

    Args:
        x: the reference.
        gram: the kernel between all of its items, positive semidefinite.
        nu: the share of the reference that may lie outside, in (0, 1].
    """
    from sklearn.svm import OneClassSVM

    check.within("nu", nu, 1e-6, 1)
    check.shape("gram", np.asarray(gram), (len(x), len(x)))
    model = OneClassSVM(kernel="precomputed", nu=nu).fit(np.asarray(gram, dtype=float))
    offset = np.asarray(-model.intercept_[0])
    return Support(np.asarray(x)[model.support_], np.asarray(model.dual_coef_[0]), offset, np.asarray(model.support_))


def support_score(support: Support, kernel: Float[np.ndarray, "items vectors"]) -> Float[np.ndarray, " items"]:
    """Scores from the kernel between the items and the support vectors: higher is more anomalous."""
    return support.offset - np.asarray(kernel, dtype=float) @ support.weights


def rbf(x: Float[np.ndarray, "rows features"], y: Float[np.ndarray, "columns features"], gamma: float) -> np.ndarray:
    """exp(-gamma |x - y|^2), [rows, columns]."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * x @ y.T
    return np.exp(-gamma * np.maximum(squares, 0))


def median_gamma(x: Float[np.ndarray, "items features"]) -> float:
    """1 / (median squared distance): the usual first guess of an RBF kernel's gamma."""
    squares = -np.log(np.maximum(rbf(x, x, 1e-3), 1e-300)) / 1e-3
    median = float(np.median(squares[np.triu_indices(len(squares), 1)]))
    return 1 / median if median > 0 else 1.0


class Gaussian(NamedTuple):
    """A normal distribution: its mean [features] and the inverse of its covariance [features, features]."""

    mean: Float[np.ndarray, " features"]
    precision: Float[np.ndarray, "features features"]


def fit_gaussian(x: Float[np.ndarray, "items features"], shrinkage: float) -> Gaussian:
    """Mean and inverse covariance, which is drawn by `shrinkage` in (0, 1] towards a multiple of the identity."""
    check.within("shrinkage", shrinkage, 1e-6, 1)
    x = np.asarray(x, dtype=float)
    covariance = np.atleast_2d(np.cov(x, rowvar=False))
    width = len(covariance)
    blend = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / width * np.eye(width)
    return Gaussian(x.mean(axis=0), np.linalg.inv(blend))


def gaussian_score(gaussian: Gaussian, x: Float[np.ndarray, "items features"]) -> Float[np.ndarray, " items"]:
    """The squared Mahalanobis distance: higher is more anomalous."""
    centred = np.asarray(x, dtype=float) - gaussian.mean
    return np.einsum("if,fg,ig->i", centred, gaussian.precision, centred)


class Fourier(NamedTuple):
    """Random Fourier features of an RBF kernel (Rahimi and Recht 2007): sqrt(2 / D) cos(x . frequencies + phases)."""

    frequencies: Float[np.ndarray, "features dimension"]
    phases: Float[np.ndarray, " dimension"]


def draw_fourier(seed: int, n_features: int, dimension: int, gamma: float) -> Fourier:
    """Frequencies and phases for exp(-gamma |x - y|^2)."""
    generator = np.random.default_rng(seed)
    frequencies = generator.normal(scale=np.sqrt(2 * gamma), size=(n_features, dimension))
    return Fourier(frequencies, generator.uniform(0, 2 * np.pi, dimension))


def fourier_features(fourier: Fourier, x: Float[np.ndarray, "items features"]) -> Float[np.ndarray, "items dimension"]:
    """Features whose products approximate the kernel."""
    waves = np.asarray(x, dtype=float) @ fourier.frequencies + fourier.phases
    return np.sqrt(2 / len(fourier.phases)) * np.cos(waves)
