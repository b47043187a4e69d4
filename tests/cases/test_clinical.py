"""The clinical case against scikit-learn, numpy and PennyLane, and against the article's table."""

import jax
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from qgen import circuits as qc
from qgen.cases import clinical, clinical_arms, clinical_data
from qgen.cases.base import MissingData
from qgen.cases.clinical_data import Setting

TOLERANCE = 2e-5
SETTING = Setting()


@pytest.fixture(scope="module")
def sources():
    return clinical.load(clinical.Config(), {})


@pytest.fixture(scope="module")
def problem(sources):
    return clinical_data.problem(jax.random.key(0), SETTING, sources)


@pytest.fixture(scope="module")
def fold(problem):
    return clinical_data.prepared(problem, problem.parts[0], 8)


def rows(seed, n, features):
    return clinical_data.unit_rows(np.random.default_rng(seed).uniform(-0.2, 1, (n, features)))


def test_qdc_is_the_nearest_neighbour_by_cosine(fold):
    guess = clinical_arms.qdc(np.random.default_rng(0), SETTING, fold, "log2n")
    near = KNeighborsClassifier(1, metric="cosine").fit(fold.unit, fold.y).predict(fold.unit_test)
    assert np.array_equal(guess.labels, near)


def test_kernel_machines_match_scikit_learn_and_the_formula(fold):
    kernel, table = (fold.unit @ fold.unit.T) ** 2, (fold.unit_test @ fold.unit.T) ** 2
    machine = SVC(kernel="precomputed", class_weight="balanced").fit(kernel, fold.y)
    guess = clinical_arms.qksvm(np.random.default_rng(0), SETTING, fold, "log2n")
    assert np.allclose(guess.scores, machine.decision_function(table), atol=5e-3)
    share = np.mean(fold.y)
    total = (1 - share) * table[:, fold.y == 1].sum(1) - share * table[:, fold.y == 0].sum(1)
    assert np.allclose(clinical_arms.sqksvm(np.random.default_rng(0), SETTING, fold, "log2n").scores, total)


def test_the_articles_rows_are_reproduced(sources):
    found = {"qdc": [], "sqksvm": []}
    for seed in range(3):
        split = clinical_data.problem(jax.random.key(seed), SETTING, sources)
        for name, values in found.items():
            answer = clinical_arms.ARMS[f"quantum/{name}_log2n"](SETTING).solve(jax.random.key(1), split).answer
            values.append(clinical_data.score(split, answer)["hard_auc"])
    assert np.mean(found["qdc"]) == pytest.approx(0.92, abs=0.01)
    assert np.mean(found["sqksvm"]) == pytest.approx(0.88, abs=0.01)


@pytest.mark.parametrize("encoding", ["log2n", "n"])
def test_the_circuits_give_the_overlaps(encoding):
    x, t = rows(1, 2, 4)
    value = qc.expectation(
        clinical_arms.hadamard_test(4, encoding), clinical_arms.hadamard_angles(x, t, encoding), qc.z(0)
    )
    # Phases: the product of <+|RZ(-t) RZ(x)|+> over the qubits, as dense vectors.
    states = [[np.array([np.exp(-0.5j * v), np.exp(0.5j * v)]) / 2**0.5 for v in one] for one in (x, t)]
    phases = np.prod([np.vdot(b, a) for a, b in zip(*states, strict=True)])
    expected = x @ t if encoding == "log2n" else phases.real
    assert float(value) == pytest.approx(expected, abs=TOLERANCE)
    assert clinical_arms.overlaps(x[None], t[None], encoding)[0, 0] == pytest.approx(expected, abs=1e-9)
    load = clinical_arms.loader(4, encoding)
    angles = [qc.encodings.amplitude_angles(v, real=True) if encoding == "log2n" else v for v in (x, t)]
    zeros = abs(np.vdot(qc.apply(load, angles[1]), qc.apply(load, angles[0]))) ** 2
    assert float(zeros) == pytest.approx(expected**2, abs=TOLERANCE)


def test_noisy_kernels_match_whole_noisy_circuits():
    qml = pytest.importorskip("pennylane")
    x, t = rows(2, 2, 4)
    error = 0.04
    words = ["".join((a, b)) for a in "IXYZ" for b in "IXYZ"][1:]
    letters = {"I": np.eye(2), "X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": np.diag([1, -1])}
    two = [np.sqrt(1 - error) * np.eye(4)]
    two += [np.sqrt(error / 15) * np.kron(letters[a], letters[b]) for a, b in words]
    load = clinical_arms.loader(4, "log2n")

    @qml.qnode(qml.device("default.mixed", wires=2))
    def run():
        for vector, ops, sign in ((x, load.flat().ops, 1), (t, load.flat().ops[::-1], -1)):
            angles = qc.encodings.amplitude_angles(vector, real=True)
            for op in ops:
                if op.name == "ry":
                    qml.RY(sign * float(angles[op.angles[0].index]), wires=op.wires[0])
                    qml.DepolarizingChannel(clinical_arms.SINGLE * error, wires=op.wires[0])
                else:
                    qml.CNOT(wires=op.wires)
                    qml.QubitChannel(two, wires=op.wires)
        return qml.probs(wires=[0, 1])

    assert clinical_arms.noisy_kernel(x[None], t[None], error)[0, 0] == pytest.approx(float(run()[0]), abs=TOLERANCE)


def test_noise_and_shots_shrink_overlaps(fold):
    noisy = clinical_arms.noisy_overlaps(fold.unit_test, fold.unit, 0.03)
    exact = fold.unit_test @ fold.unit.T
    slope = np.polyfit(exact.ravel(), noisy.ravel(), 1)[0]
    # Each of 14 CNOTs leaves at least 1 - 0.03 * 16 / 15 of what was there, each of 16 rotations 1 - 0.003 * 4 / 3.
    assert (1 - 0.03 * 16 / 15) ** 14 * (1 - 0.003 * 4 / 3) ** 16 - 0.02 < slope < 1
    drawn = clinical_arms.counted(np.random.default_rng(0), np.full(4000, 0.3), 100)
    assert np.std(drawn) == pytest.approx(np.sqrt(0.3 * 0.7 / 100), rel=0.06)


def test_small_training_sets_are_nested_and_stratified(sources):
    small = clinical_data.problem(jax.random.key(5), Setting(folds=0, sizes=(10, 40)), sources)
    ten, forty = small.parts
    assert set(ten.train) < set(forty.train) and not set(forty.train) & set(forty.test)
    assert np.array_equal(ten.test, forty.test) and len(ten.test) == 569 - 40
    share = small.patients.y.mean()
    assert abs(small.patients.y[ten.train].mean() - share) <= 0.1


def test_tuned_arms_try_equally_many_settings():
    for name in ("logistic", "rbf_svm", "knn", "boosting"):
        _, grid = clinical_arms.pipeline(name)
        assert np.prod([len(values) for values in grid.values()]) == clinical_arms.TRIALS


def test_a_file_of_the_users_is_read(tmp_path):
    path = tmp_path / "heart.csv"
    path.write_text("a,b,c,d,y\n" + "\n".join(f"{i},{i % 7},{i % 3},1,{i % 2}" for i in range(30)) + "\n,1,1,1,0\n")
    found = clinical.load(clinical.Config(features=4), {"heart": path}).data["heart"]
    assert found.x.shape == (30, 4) and set(found.y) == {0, 1}
    path.write_text("a,y\n1,5\n")
    with pytest.raises(MissingData, match="last column is 0 or 1"):
        clinical.load(clinical.Config(), {"heart": path})
    with pytest.raises(ValueError, match=r"`clinical\.features` must be a power of two"):
        clinical.Config(features=6)
    for name, change in (("features", 32), ("widths", (64,)), ("folds", 213), ("sizes", (550,))):
        with pytest.raises(ValueError, match=rf"`clinical\.{name}` must lie in"):
            clinical.load(clinical.Config(**{name: change}), {})
