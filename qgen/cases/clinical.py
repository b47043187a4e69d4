"""Clinical classification with few qubits: quantum distances and kernels against tuned classical classifiers.

Problem: two classes of patients, the best few features, ten stratified folds (or growing training sets).
Classical: logistic regression, RBF SVM, nearest neighbours, gradient boosting, each tuned inside the training part.
Quantum: qDC, sqKSVM and qKSVM on amplitudes (log2 N qubits) and on phases (N qubits); control: 1-NN by cosine.
Score: AUC of the hard labels, as the article computes it, and of the scores.

Moradi et al., Scientific Reports 12, 1851 (2022). States, kernels and decision rules are as in its methods; kernels of
N-qubit states are closed forms (their CNOTs cancel), those of noisy log2 N-qubit states come from density matrices.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from qgen import check
from qgen import circuits as qc
from qgen.cases.base import Case, MissingData, Point, Sources
from qgen.circuits import density
from qgen.circuits.noise import Channel, NoiseModel
from qgen.quantum import kernel
from qgen.record import Record
from qgen.report import statistics, style
from qgen.report.cases import Facts, Published, Volume, Yearly
from qgen.stages.base import Arm, Outcome, Quality
from qgen.types import Array, Key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRIALS = 6
"""Hyperparameters that every tuned arm tries, by three-fold cross-validation inside the training part."""
SINGLE = 0.1
"""Error of a one-qubit gate over that of a two-qubit gate."""
ARTICLE = "Sci Rep 12, 1851, Table 2"
TABLE = {
    "wisconsin": {"qdc": (0.92, 0.90), "qksvm": (0.92, 0.91), "sqksvm": (0.88, 0.87)},
    "marrow": {"qdc": (0.62, 0.61), "qksvm": (0.63, 0.63), "sqksvm": (0.62, 0.61)},
    "heart": {"qdc": (0.62, 0.60), "qksvm": (0.51, 0.51), "sqksvm": (0.51, 0.50)},
}
"""Data -> classifier -> AUC with log2 N and with N qubits, of the article's simulator."""
NAMES = {"wisconsin": "Wisconsin breast cancer", "marrow": "bone marrow transplant", "heart": "heart failure"}


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


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the case.

    Attributes:
        features: how many of the best features are used: a power of two.
        folds: folds of the cross-validation.
        widths: other numbers of features.
        sizes: sizes of small training sets, of which each holds the ones before.
        shots: shots per circuit.
        errors: errors of a two-qubit gate, at the most shots.
        sweep_seeds: the most seeds of the sweeps and of gradient boosting.
    """

    features: int = 8
    folds: int = 10
    widths: tuple = (2, 4, 16)
    sizes: tuple = (10, 20, 50, 100)
    shots: tuple = (256, 1024, 8192)
    errors: tuple = (0.003, 0.01, 0.03)
    sweep_seeds: int = 5


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


def load(config: Config, files: Mapping[str, Path]) -> Sources:
    """Wisconsin from scikit-learn and whatever the user gives as CSV.

    Raises:
        MissingData: for a file that is no table of numbers with a last column of zeros and ones.
    """
    from sklearn.datasets import load_breast_cancer

    for name, value in (("features", config.features), *(("widths", width) for width in config.widths)):
        if value < 2 or value & (value - 1):
            raise ValueError(f"Setting `{name}` must be powers of two of at least 2, but holds {value}.")
    check.at_least("folds", config.folds, 2)
    x, target = load_breast_cancer(return_X_y=True)
    found = {"wisconsin": Patients(np.asarray(x), 1 - np.asarray(target))}
    return Sources(found | {name: read(path) for name, path in files.items()}, "")


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


QUANTUM = ("quantum/qdc_log2n", "quantum/qksvm_log2n", "quantum/sqksvm_log2n")
WIDE = ("quantum/qdc_n", "quantum/qksvm_n", "quantum/sqksvm_n")
CLASSICAL = ("classical/logistic", "classical/rbf_svm", "classical/knn")
TUNED = ("quantum/qksvm_tuned",)


def points(config: Config, sources: Sources) -> list[Point]:
    """Ten folds of every data set, then on Wisconsin: shots, errors, small training sets, numbers of features."""
    few = config.sweep_seeds
    made = []
    for name in sources.data:
        base = Setting(name, config.features, config.folds)
        made.append(Point(base, (*QUANTUM, *WIDE, *TUNED, *CLASSICAL, "control/cosine_1nn")))
        made.append(Point(base, ("classical/boosting",), few))
    base = Setting("wisconsin", config.features, config.folds)
    for shots in config.shots:
        last = shots == max(config.shots)
        made.append(Point(dataclasses.replace(base, shots=shots), (*QUANTUM, *WIDE), few))
        if last:
            # The year's figure takes these: the article's shots, and the best classical arm beside them.
            priced = dataclasses.replace(base, shots=shots)
            made[-1] = Point(priced, (*QUANTUM, *WIDE, "classical/logistic"), few, priced=True)
    for error in config.errors:
        made.append(Point(dataclasses.replace(base, shots=max(config.shots), error=error), QUANTUM, few))
    if config.sizes:
        small = dataclasses.replace(base, folds=0, sizes=tuple(int(size) for size in config.sizes))
        made.append(Point(small, (*QUANTUM, *TUNED, *CLASSICAL, "classical/boosting")))
    for width in config.widths:
        made.append(Point(dataclasses.replace(base, features=int(width)), (*QUANTUM, *TUNED, *CLASSICAL), few))
    return made


def problem(key: Key, setting: Setting, sources: Sources) -> Problem:
    """Splits the patients: stratified folds, or nested stratified training sets."""
    from sklearn.model_selection import StratifiedKFold

    patients = sources.data[setting.data]
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    if not setting.sizes:
        folds = StratifiedKFold(setting.folds, shuffle=True, random_state=int(rng.integers(2**31)))
        parts = [Part("", train, test) for train, test in folds.split(patients.x, patients.y)]
        return Problem(patients, tuple(parts))
    check.at_least("len(patients)", len(patients.y), max(setting.sizes) + 20)
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

        return Arm(f"quantum/{name}", solve, "", host)

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
        "knn": (KNeighborsClassifier(), {"n_neighbors": [1, 3], "weights": ["uniform", "distance"], "p": [2]}),
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
        grid = {"n_neighbors": [min(k, most) for k in (1, 3, 5, 9, 15, 25)]}
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


def is_base(row: Record, data: str = "wisconsin", shots: int = 0) -> bool:
    """Whether a row is of ten folds at the article's number of features, without errors."""
    config = row.config
    return (
        config["data"] == data
        and config["shots"] == shots
        and config["error"] == 0
        and config["features"] == 8
        and not config["sizes"]
    )


def exactly(data: str, arm: str, metric: str = "hard_auc") -> Callable[[Sequence[Record]], list[float]]:
    """One number per split of an arm without shots."""
    return lambda rows: [row.metrics[metric] for row in rows if row.arm == arm and is_base(row, data)]


def difference(rows: Sequence[Record], arm: str, other: str) -> list[float]:
    """Paired differences of two arms' AUC in points, per split."""
    found = {(row.arm, row.seed): row.metrics["hard_auc"] for row in rows if is_base(row)}
    return [
        100 * (v - found[other, seed]) for (name, seed), v in found.items() if name == arm and (other, seed) in found
    ]


PUBLISHED = (
    *(
        Published(
            f"{NAMES[data]}: {rule}, {words} qubits, hard-label AUC",
            pair[place],
            ARTICLE,
            exactly(data, f"quantum/{rule}_{encoding}"),
            margin=0.01,
        )
        for data, rules in TABLE.items()
        for rule, pair in rules.items()
        for place, (encoding, words) in enumerate((("log2n", "log2 N"), ("n", "N")))
    ),
    Published(
        "Wisconsin: points that qksvm gains by log2 N instead of N qubits",
        1.0,
        ARTICLE,
        lambda rows: difference(rows, "quantum/qksvm_log2n", "quantum/qksvm_n"),
        margin=0.5,
        none=0.0,
        unit="points",
    ),
    *(
        Published(f"Wisconsin: {arm.split('/')[1]}, hard-label AUC", None, "not visible", exactly("wisconsin", arm))
        for arm in CLASSICAL
    ),
)


def label(config: Mapping[str, Any]) -> str:
    """The heading of a setting."""
    what = f"training sets of {', '.join(map(str, config['sizes']))}" if config["sizes"] else f"{config['folds']} folds"
    shots = f"{config['shots']} shots" if config["shots"] else "exact"
    error = f", error {config['error']:g}" if config["error"] else ""
    return f"{NAMES.get(config['data'], config['data'])}, {config['features']} features, {what}, {shots}{error}"


def learning(rows: Sequence[Record]) -> "Figure":
    """AUC against the size of the training set, and against shots and errors."""
    made = style.figure(2.9)
    left, middle, right = made.subplots(1, 3, sharey=True)
    small = [row for row in rows if row.config["sizes"]]
    sizes = small[0].config["sizes"] if small else []
    for arm, line in LINES.items():
        own = [row for row in small if row.arm == arm]
        curve(left, sizes, [[row.metrics[f"hard_auc_n{size}"] for row in own] for size in sizes], arm, line)
    for axes, field in ((middle, "shots"), (right, "error")):
        for arm in QUANTUM:
            own = [row for row in rows if row.arm == arm and not row.config["sizes"] and row.config["features"] == 8]
            own = [row for row in own if row.config["data"] == "wisconsin" and row.config["shots"]]
            most = max((row.config["shots"] for row in own), default=0)
            own = [
                row for row in own if (row.config["error"] == 0 if field == "shots" else row.config["shots"] == most)
            ]
            places = sorted({row.config[field] for row in own})
            values = [[row.metrics["hard_auc"] for row in own if row.config[field] == place] for place in places]
            curve(axes, places, values, arm, LINES[arm])
    left.set(xlabel="training patients", ylabel="hard-label AUC", title="few samples", xscale="log")
    middle.set(xlabel="shots per circuit", title="shots", xscale="log")
    right.set(xlabel="error of a two-qubit gate", title="noise at the most shots")
    left.legend(fontsize=6)
    return made


LINES = {
    "quantum/qdc_log2n": ("#D55E00", "-"),
    "quantum/sqksvm_log2n": ("#E69F00", "-"),
    "quantum/qksvm_log2n": ("#CC79A7", "-"),
    "classical/logistic": ("#0072B2", "--"),
    "classical/rbf_svm": ("#56B4E9", "--"),
    "classical/knn": ("#009E73", "--"),
    "classical/boosting": ("#000000", "--"),
}


def curve(
    axes: Any, places: Sequence[float], values: Sequence[Sequence[float]], arm: str, line: tuple[str, str]
) -> None:
    """Means with 95 % intervals."""
    if not places or not all(len(own) for own in values):
        return
    found = [statistics.mean_interval(own) for own in values]
    axes.plot(places, [one.central for one in found], line[1], color=line[0], marker="o", markersize=2.5, label=arm)
    axes.fill_between(places, [o.low for o in found], [o.high for o in found], color=line[0], alpha=0.12, linewidth=0)


CASE = Case(
    facts=Facts(
        name="clinical",
        title="Clinical classification (Medical University of Vienna)",
        source="Moradi et al., Scientific Reports 12, 1851 (2022), doi 10.1038/s41598-022-05971-9",
        substitutions=(
            "Wisconsin is scikit-learn's copy; the other two data sets are read where their files are given.",
            "The best eight features are chosen by F value inside each training part, as the article's choice is not "
            "printed; N-qubit states take the same normalised features.",
        ),
        published=PUBLISHED,
        yearly=Yearly(
            Volume(
                "ten-fold studies of a patient cohort a year",
                10,
                100,
                1000,
                "our assumption (grade C) for one clinical centre: from ten models a year to a few a day, each cross-"
                "validated once as here; the article states none.",
            ),
            "classical/logistic",
            "quantum/qdc_log2n",
            # Logistic regression runs with shots, of which it takes none, beside the priced quantum arms alone.
            lambda row: row.config["shots"] > 0 and is_base(row, shots=row.config["shots"]),
        ),
        columns={
            "hard_auc": "hard-label AUC",
            "auc": "score AUC",
            **{f"hard_auc_n{size}": f"of {size}" for size in (10, 20, 50, 100)},
        },
        label=label,
        notes=("of 10 to 100: hard-label AUC after so many training patients.",),
    ),
    quality=Quality("hard_auc", True, 0.01),
    presets={
        "smoke": Config(folds=3, widths=(4,), sizes=(10, 40), shots=(1024,), errors=(0.01,), sweep_seeds=1),
        "default": Config(),
        "paper": Config(shots=(64, 256, 1024, 8192, 65536), errors=(0.001, 0.003, 0.01, 0.03, 0.1), sweep_seeds=20),
    },
    seeds={"smoke": 2, "default": 20, "paper": 100},
    files={
        "heart": "heart failure of UCI as CSV, DEATH_EVENT last",
        "marrow": "bone marrow transplant of UCI as a CSV of numbers, survival last",
    },
    load=load,
    points=points,
    problem=problem,
    score=score,
    arms=ARMS,
    figures={"clinical": learning},
)
