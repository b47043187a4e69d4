import numpy as np
import pytest

from qgen.classical import anomaly

RNG = np.random.default_rng(3)
X, NEW = RNG.normal(size=(80, 4)).astype(np.float32), (1.7 * RNG.normal(size=(50, 4))).astype(np.float32)


def test_forest_scores_are_scikit_learns():
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(n_estimators=13, max_samples=40, random_state=5).fit(X)
    forest = anomaly.fit_forest(5, X, 13, 40)
    np.testing.assert_allclose(anomaly.forest_score(forest, NEW), -model.score_samples(NEW), rtol=1e-6)


def test_one_class_scores_are_scikit_learns():
    from sklearn.svm import OneClassSVM

    model = OneClassSVM(kernel="rbf", gamma=0.23, nu=0.15).fit(X.astype(float))
    support = anomaly.fit_one_class(X, anomaly.rbf(X, X, 0.23), 0.15)
    scores = anomaly.support_score(support, anomaly.rbf(NEW, support.items, 0.23))
    np.testing.assert_allclose(scores, -model.decision_function(NEW.astype(float)), atol=1e-3)
    np.testing.assert_array_equal(support.items, X[support.places])


def test_mahalanobis_is_the_closed_form():
    gaussian = anomaly.fit_gaussian(X, 0.2)
    covariance = np.cov(X.astype(float), rowvar=False)
    blend = 0.8 * covariance + 0.2 * np.trace(covariance) / 4 * np.eye(4)
    expected = [(row - X.mean(0)) @ np.linalg.solve(blend, row - X.mean(0)) for row in NEW.astype(float)]
    np.testing.assert_allclose(anomaly.gaussian_score(gaussian, NEW), expected, rtol=1e-4)


def test_rbf_and_its_median_width():
    from sklearn.metrics.pairwise import euclidean_distances

    squares = euclidean_distances(X, X, squared=True)
    np.testing.assert_allclose(anomaly.rbf(X, X, 0.3), np.exp(-0.3 * squares), atol=1e-5)
    assert abs(anomaly.median_gamma(X) * np.median(squares[np.triu_indices(80, 1)]) - 1) < 1e-4
    assert anomaly.median_gamma(np.ones((4, 2))) == 1.0


def test_fourier_features_approach_the_kernel():
    waves = anomaly.draw_fourier(1, 4, 20_000, 0.15)
    products = anomaly.fourier_features(waves, X[:10]) @ anomaly.fourier_features(waves, X[:10]).T
    assert np.abs(products - anomaly.rbf(X[:10], X[:10], 0.15)).max() < 5 / np.sqrt(20_000)


def test_all_detectors_find_what_lies_far_out():
    from sklearn.metrics import roc_auc_score

    items, labels = np.concatenate([RNG.normal(size=(60, 4)), 4 + RNG.normal(size=(20, 4))]), np.arange(80) >= 60
    support = anomaly.fit_one_class(X, anomaly.rbf(X, X, 0.1), 0.1)
    scores = (
        anomaly.forest_score(anomaly.fit_forest(0, X, 50, 60), items),
        anomaly.support_score(support, anomaly.rbf(items, support.items, 0.1)),
        anomaly.gaussian_score(anomaly.fit_gaussian(X, 0.1), items),
    )
    assert min(roc_auc_score(labels, one) for one in scores) > 0.95


def test_refusals():
    with pytest.raises(ValueError, match="`trees`"):
        anomaly.fit_forest(0, X, 0, 10)
    with pytest.raises(ValueError, match="`samples`"):
        anomaly.fit_forest(0, X, 5, 81)
    with pytest.raises(ValueError, match="`nu`"):
        anomaly.fit_one_class(X, anomaly.rbf(X, X, 0.1), 0.0)
    with pytest.raises(ValueError, match="`gram`"):
        anomaly.fit_one_class(X, np.eye(3), 0.1)
    with pytest.raises(ValueError, match="`shrinkage`"):
        anomaly.fit_gaussian(X, 0.0)
