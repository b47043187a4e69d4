"""The grid case against scikit-learn's k-means from the same start, and closed forms of circuits and profiles."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import balanced_accuracy_score

from qgen.cases import grid
from qgen.cases.base import MissingData
from qgen.classical import cluster, noisy_cluster
from qgen.method import run

SETTING = grid.Setting(items=48, clusters=4, spread=0.12, iterations=30, shots=2_000_000)


@pytest.fixture(scope="module")
def problem():
    import jax

    return grid.problem(jax.random.key(3), SETTING, grid.Sources(None, ""))


@pytest.fixture(scope="module")
def lloyd(problem):
    return KMeans(4, init=problem.start, n_init=1, max_iter=100, tol=0).fit(problem.items)


def test_many_shots_cluster_as_lloyd_does(key, problem, lloyd):
    outcome = grid.ARMS["quantum/amplitude"](SETTING).solve(key, problem)
    assert np.mean(outcome.answer == lloyd.labels_) > 0.97
    exact = grid.ARMS["classical/one_start"](SETTING).solve(key, problem)
    assert np.array_equal(exact.answer, lloyd.labels_)


def test_the_version_for_noise_ends_where_lloyd_rests(key, problem):
    method = noisy_cluster.kmeans(grid.lloyd, 4)
    state = run(method, key, problem.items, 80, state=noisy_cluster.started(problem.start, problem.items)).answer
    resting = KMeans(4, init=np.asarray(state.centroids), n_init=1, max_iter=100, tol=0).fit(problem.items)
    assert np.allclose(state.centroids, resting.cluster_centers_, atol=2e-3)
    assert np.array_equal(state.labels, resting.labels_)


def test_running_means_lower_the_noise_of_estimates(key, problem):
    """With centroids that rest, the variance falls to that of the stationary weights, rate / (2 - rate) = 1/7."""
    import jax

    resting = np.tile(problem.items[:1], (2, 1))

    def noisy(key, items, centroids):
        return cluster.squared_distances(items, resting) + jax.random.normal(key, (len(items), 2))

    states = jax.vmap(
        lambda k: (
            run(
                *(noisy_cluster.kmeans(noisy, 2), k, problem.items, 40),
                state=noisy_cluster.started(resting, problem.items),
            ).answer.estimates
        )
    )(jax.random.split(key, 60))
    error = np.asarray(states) - np.asarray(cluster.squared_distances(problem.items, resting))
    assert np.var(error) == pytest.approx(1 / 7, rel=0.1)


def test_score_ignores_the_names_of_clusters(problem):
    found = grid.score(problem, (problem.reference + 1) % 4)
    assert found["balanced_accuracy"] == found["ari"] == 1.0 and found["inertia_ratio"] == pytest.approx(1, abs=1e-4)
    wrong = problem.reference.copy()
    wrong[:7] = (wrong[:7] + 1) % 4
    expected = balanced_accuracy_score(problem.reference, wrong)
    assert grid.score(problem, wrong)["balanced_accuracy"] == pytest.approx(expected)


def test_circuits_are_as_wide_as_published(key, problem):
    assert grid.circuit("amplitude", 4, 1).n_qubits == 2 + 3 and grid.circuit("angle", 4, 1).n_qubits == 2 * 4 + 1
    few = grid.Setting(items=48, iterations=2, shots=10)
    one, four = (grid.ARMS[f"quantum/angle{end}"](few).solve(key, problem).resources[0] for end in ("", "_adapted"))
    # As many executions, on four times the qubits, and so four times the shots of each distance.
    assert four.qubits == 4 * one.qubits and four.shots == one.shots == 48 * 4 * 2 * 10
    assert four.circuits == one.circuits / 4 and four.measurements == 4 * one.measurements


def test_daily_curves_are_shares_of_a_day(tmp_path):
    path = tmp_path / "LoadProfile.csv"
    # Two days: a flat one, and one whose last quarter alone uses energy; a column that is no consumer's is left out.
    lines = ["time;G0-A_pload;G0-A_qload;mv_rural_pload"]
    lines += [f"{t};{1.0 if t < 96 or t >= 168 else 0.0};7;9" for t in range(192)]
    path.write_text("\n".join(lines) + "\n")
    assert np.allclose(grid.daily(path), [[1, 1, 1, 1], [0, 0, 0, 4]])
    path.write_text("time;x\n0;1\n")
    with pytest.raises(MissingData, match="names no consumer"):
        grid.daily(path)


def test_profiles_need_the_extra(monkeypatch):
    monkeypatch.setattr(grid.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingData, match=r"need the package simbench: pip install 'qgen\[cases\]'"):
        grid.load(grid.Config(), {})
    assert grid.load(grid.Config(profiles=False), {}).data is None


def test_all_settings_are_there():
    settings = [point.setting for point in grid.points(grid.Config(), grid.Sources(None, ""))]
    assert len(set(settings)) == 4 - 1 + 2 * (1 + 2 + len(grid.DEVICES))
