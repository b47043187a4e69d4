"""Arms of the clinical case: qDC, sqKSVM and qKSVM on two encodings, and tuned classical classifiers."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from qgen import circuits as qc
from qgen.cases.clinical_data import Guess, Prepared, Problem, Setting, prepared
from qgen.circuits import density
from qgen.circuits.noise import Channel, NoiseModel
from qgen.quantum import kernel
from qgen.stages.base import Arm, Outcome
from qgen.types import Array, Key

TRIALS = 6
"""Hyperparameters that every tuned arm tries, by three-fold cross-validation inside the training part."""
SINGLE = 0.1
"""Error of a one-qubit gate over that of a two-qubit gate."""


def overlaps(left: np.ndarray, right: np.ndarray, encoding: str) -> np.ndarray:
    """Re <x|t> of the encoded states, [left, right]: the inner product, or prod cos((x_i - t_i) / 2)."""
    if encoding == "log2n":
        return left @ right.T
    return np.cos((left[:, None, :] - right[None, :, :]) / 2).prod(axis=2)


@functools.lru_cache(maxsize=16)
def loader(features: int, encoding: str) -> qc.Circuit:
    """The circuit that loads one patient: rotations with their multiplexers, or H, RZ and a chain of CNOTs."""
    if encoding == "log2n":
        return qc.encodings.amplitude((features - 1).bit_length(), real=True)
    chain = tuple(qc.gate("cx", (q, q + 1)) for q in range(features - 1))
    loads = tuple(op for q in range(features) for op in (qc.gate("h", q), qc.gate("rz", q, qc.Angle(q))))
    return qc.Circuit(features, loads + chain)


@functools.lru_cache(maxsize=16)
def hadamard_test(features: int, encoding: str) -> qc.Circuit:
    """(|0>|x> + |1>|t>) / sqrt 2 and H on the first qubit, whose <Z> is Re <x|t>.

    Amplitudes of both patients are loaded by one multiplexer, which takes fewer gates than two controlled loaders;
    phases by an RZ for the mean and a controlled one for the difference, and the chains of CNOTs cancel.
    """
    if encoding == "log2n":
        qubits = (features - 1).bit_length()
        return qc.encodings.amplitude(qubits + 1, real=True) + qc.Circuit(qubits + 1, (qc.gate("h", 0),))
    ops = [qc.gate("h", q) for q in range(features + 1)]
    for q in range(1, features + 1):
        ops += [qc.gate("rz", q, qc.Angle(q - 1)), qc.gate("cx", (0, q))]
        ops += [qc.gate("rz", q, qc.Angle(features + q - 1)), qc.gate("cx", (0, q))]
    return qc.Circuit(features + 1, (*ops, qc.gate("h", 0)))


def hadamard_angles(x: Array, t: Array, encoding: str) -> Array:
    """The parameters of `hadamard_test` for two patients."""
    if encoding == "log2n":
        return qc.encodings.amplitude_angles(jax.numpy.concatenate([x, t]), real=True)
    return jax.numpy.concatenate([(x + t) / 2, (x - t) / 2])


def depolarising(error: float) -> NoiseModel:
    """Depolarising noise after every gate, a tenth as strong after those on one qubit."""
    return NoiseModel((Channel("depolarising", (SINGLE * error,)),), (Channel("depolarising_2q", (error,)),))


@functools.partial(jax.jit, static_argnames=("features", "error"))
def _loaded(rows: Array, features: int, error: float) -> Array:
    circuit, model = loader(features, "log2n"), depolarising(error)

    def one(row: Array) -> Array:
        return density.apply(circuit, qc.encodings.amplitude_angles(row, real=True), model)

    return jax.vmap(one)(rows)


def noisy_kernel(left: np.ndarray, right: np.ndarray, error: float) -> np.ndarray:
    """The chance of all zeros after the noisy loader of x and the noisy inverse loader of t, [left, right].

    Depolarising noise on the wires of a gate commutes with the gate, so the inverse loader measures the very density
    matrix that the loader prepares, and the chance is Tr(rho_x rho_t).
    """

    def states(rows: np.ndarray) -> np.ndarray:
        padded = np.concatenate([rows, np.tile(rows[:1], (-len(rows) % kernel.ROWS, 1))]).astype(np.float32)
        chunks = [
            np.asarray(_loaded(part, rows.shape[1], error)) for part in np.split(padded, len(padded) // kernel.ROWS)
        ]
        return np.concatenate(chunks)[: len(rows)]

    a, b = states(left), states(right)
    return np.einsum("aij,bji->ab", a, b, optimize=True).real


@functools.partial(jax.jit, static_argnames=("features", "error"))
def _tested(pairs: Array, features: int, error: float) -> Array:
    circuit, model = hadamard_test(features, "log2n"), depolarising(error)
    return jax.vmap(
        lambda pair: density.expectation(circuit, hadamard_angles(pair[0], pair[1], "log2n"), qc.z(0), model)
    )(pairs)


def noisy_overlaps(left: np.ndarray, right: np.ndarray, error: float) -> np.ndarray:
    """<Z> of noisy Hadamard tests, [left, right]: a straight line in the exact value.

    The line is fitted to density matrices of pairs spread over the table; there are too many to simulate every one.
    """
    exact = left @ right.T
    n = 2 * kernel.ROWS
    rows, columns = np.arange(n) % len(left), (7 * np.arange(n)) % len(right)
    pairs = np.stack([left[rows], right[columns]], axis=1).astype(np.float32)
    seen = np.asarray(_tested(pairs, left.shape[1], error), dtype=float)
    slope, offset = np.polyfit(exact[rows, columns], seen, 1)
    return slope * exact + offset


def counted(generator: np.random.Generator, chance: np.ndarray, shots: int) -> np.ndarray:
    """Relative frequencies of `shots` shots; the chances themselves for 0 shots."""
    return generator.binomial(shots, np.clip(chance, 0, 1)) / shots if shots else chance


def hadamard(generator: np.random.Generator, setting: Setting, p: Prepared, encoding: str) -> np.ndarray:
    """Estimates of Re <t|x> for test and training patients, [test, train]."""
    exact = overlaps(p.unit_test, p.unit, encoding)
    value = noisy_overlaps(p.unit_test, p.unit, setting.error) if setting.error else exact
    return 2 * counted(generator, (1 + value) / 2, setting.shots) - 1


def measured_kernel(
    generator: np.random.Generator, setting: Setting, left: np.ndarray, right: np.ndarray, encoding: str
) -> np.ndarray:
    """Estimates of |<x|t>|^2, [left, right]."""
    if setting.error:
        return counted(generator, noisy_kernel(left, right, setting.error), setting.shots)
    return counted(generator, overlaps(left, right, encoding) ** 2, setting.shots)


Rule = Callable[[np.random.Generator, Setting, Prepared, str], Guess]


def qdc(generator: np.random.Generator, setting: Setting, p: Prepared, encoding: str) -> Guess:
    """The class of the training patient with the greatest estimated overlap."""
    near = hadamard(generator, setting, p, encoding)
    difference = near[:, p.y == 1].max(axis=1) - near[:, p.y == 0].max(axis=1)
    return Guess((difference > 0).astype(int), difference)


def sqksvm(generator: np.random.Generator, setting: Setting, p: Prepared, encoding: str) -> Guess:
    """The sign of the kernel's sum, each class weighted with the other's share."""
    share = p.y.mean()
    weights = np.where(p.y == 1, 1 - share, -share)
    total = measured_kernel(generator, setting, p.unit_test, p.unit, encoding) @ weights
    return Guess((total >= 0).astype(int), total)


def qksvm(generator: np.random.Generator, setting: Setting, p: Prepared, encoding: str) -> Guess:
    """A support vector machine on the measured kernel, with balanced classes and C = 1."""
    return machine(generator, setting, p, encoding, [1.0])


def qksvm_tuned(generator: np.random.Generator, setting: Setting, p: Prepared, encoding: str) -> Guess:
    """The same with as many values of C tried as the classical classifiers try hyperparameters."""
    return machine(generator, setting, p, encoding, list(np.logspace(-1, 4, TRIALS)))


def machine(
    generator: np.random.Generator, setting: Setting, p: Prepared, encoding: str, costs: Sequence[float]
) -> Guess:
    """A support vector machine on measured kernels; C by three-fold cross-validation where there are several."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    gram = measured_kernel(generator, setting, p.unit, p.unit, encoding)
    # Each pair is measured once, and a patient's kernel with itself is known.
    gram = np.triu(gram, 1) + np.triu(gram, 1).T + np.eye(len(gram))
    table = measured_kernel(generator, setting, p.unit_test, p.unit, encoding)
    model = SVC(kernel="precomputed", class_weight="balanced")
    if len(costs) == 1:
        fitted = model.set_params(C=costs[0]).fit(gram, p.y)
    else:
        fitted = GridSearchCV(model, {"C": costs}, cv=3, scoring="balanced_accuracy").fit(gram, p.y)
    return Guess(fitted.predict(table), fitted.decision_function(table))


def needs(setting: Setting, problem: Problem, encoding: str, rule: Rule) -> tuple[qc.Circuit, int]:
    """The circuit that a quantum arm runs, and for how many pairs of patients."""
    tested = sum(len(part.train) * len(part.test) for part in problem.parts)
    trained = sum(len(part.train) * (len(part.train) - 1) // 2 for part in problem.parts)
    if rule is qdc:
        return hadamard_test(setting.features, encoding), tested
    load = loader(setting.features, encoding)
    return load + load.inverse(), tested + (0 if rule is sqksvm else trained)


def quantum(name: str, rule: Rule, encoding: str) -> Callable[[Setting], Arm]:
    """A quantum arm of a rule and an encoding."""

    def factory(setting: Setting) -> Arm:
        def each(key: Key, problem: Problem, chosen: Setting) -> tuple[Guess, ...]:
            generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
            return tuple(
                rule(generator, chosen, prepared(problem, part, setting.features), encoding) for part in problem.parts
            )

        def solve(key: Key, problem: Problem) -> Outcome:
            circuit, pairs = needs(setting, problem, encoding, rule)
            needed = (qc.count(circuit, shots=setting.shots, circuits=pairs),) if setting.shots else ()
            return Outcome(each(key, problem, setting), needed)

        def host(key: Key, problem: Problem) -> Any:
            # Choosing features, norms, angles' sums and decisions; the overlaps themselves are a product of two small
            # matrices here, which does not matter beside them.
            return each(key, problem, dataclasses.replace(setting, shots=0, error=0.0))

        # Joules are kept where there are shots alone.
        return Arm(f"quantum/{name}", solve, "", host if setting.shots else None)

    return factory


def pipeline(name: str) -> tuple[Any, dict[str, list]]:
    """A classical classifier and the TRIALS settings that it tries."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    return {
        "logistic": (LogisticRegression(class_weight="balanced"), {"C": [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]}),
        "rbf_svm": (SVC(class_weight="balanced"), {"C": [1.0, 10.0, 100.0], "gamma": [0.01, 0.1]}),
        "knn": (KNeighborsClassifier(), {"n_neighbors": [1, 3, 5, 9, 15, 25]}),
        "boosting": (
            HistGradientBoostingClassifier(max_iter=40, class_weight="balanced", random_state=0),
            {"learning_rate": [0.1, 0.3], "min_samples_leaf": [3, 10, 20]},
        ),
    }[name]


def classical(name: str) -> Callable[[Setting], Arm]:
    """A tuned classical arm on the same features with mean 0 and variance 1."""

    def factory(setting: Setting) -> Arm:
        def solve(key: Key, problem: Problem) -> Outcome:
            return Outcome(tuple(fitted(name, prepared(problem, part, setting.features)) for part in problem.parts))

        return Arm(f"classical/{name}", solve, f"{TRIALS} settings tried by three-fold cross-validation.")

    return factory


def fitted(name: str, p: Prepared) -> Guess:
    """Labels and scores of a tuned classifier."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    model, grid = pipeline(name)
    if name == "knn":
        # No more neighbours than a third of the least training part has.
        most = max(1, 2 * len(p.y) // 3)
        grid = {"n_neighbors": [min(k, most) for k in grid["n_neighbors"]]}
    whole = make_pipeline(StandardScaler(), model)
    step = whole.steps[-1][0]
    search = GridSearchCV(whole, {f"{step}__{k}": v for k, v in grid.items()}, cv=3, scoring="balanced_accuracy")
    with threadpool_limits(1):  # threads only spin on tables this small
        search.fit(p.x, p.y)
        if hasattr(search, "decision_function"):
            return Guess(search.predict(p.x_test), search.decision_function(p.x_test))
        return Guess(search.predict(p.x_test), search.predict_proba(p.x_test)[:, 1])


def cosine_nearest(setting: Setting) -> Arm:
    """The nearest neighbour by cosine: what qDC is without a quantum computer."""

    def solve(key: Key, problem: Problem) -> Outcome:
        from sklearn.neighbors import KNeighborsClassifier

        guesses = []
        for part in problem.parts:
            p = prepared(problem, part, setting.features)
            model = KNeighborsClassifier(1, metric="cosine").fit(p.unit, p.y)
            labels = model.predict(p.unit_test)
            guesses.append(Guess(labels, labels.astype(float)))
        return Outcome(tuple(guesses))

    return Arm("control/cosine_1nn", solve, "scikit-learn's 1-NN by cosine: qDC without a quantum computer.")


ARMS = {
    **{f"classical/{name}": classical(name) for name in ("logistic", "rbf_svm", "knn", "boosting")},
    **{
        f"quantum/{rule.__name__}_{e}": quantum(f"{rule.__name__}_{e}", rule, e)
        for rule in (qdc, qksvm, sqksvm)
        for e in ("log2n", "n")
    },
    "quantum/qksvm_tuned": quantum("qksvm_tuned", qksvm_tuned, "log2n"),
    "control/cosine_1nn": cosine_nearest,
}
