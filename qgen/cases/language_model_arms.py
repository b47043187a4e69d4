"""The arms of the language model's case: the quantum head, its parts left out one by one, and classical heads.

Every arm tries TRIALS settings and keeps the one of most accuracy on the validation part. What is not tried is as the
article's Figure 3 has it (three layers, connectivity 2); nothing is chosen on the test part.
"""

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits.noise import Channel, NoiseModel
from qgen.quantum import head as heads
from qgen.quantum.head import Head, Settings
from qgen.stages.base import Arm, Outcome, Use
from qgen.types import Key

TRIALS = 6
"""Settings that every arm tries."""
RATES = (0.03, 0.1, 0.01)
"""Learning rates of a quantum head: half decades around a usual one."""
PADS = (0.0, 1.0)
"""Paddings of a head with encoders, of which the article says nothing: none, or as long as the feature vector."""
SPANS = (1.0, 0.3)
"""Radians per standard deviation of the first component, of a head without encoders."""
SCALE = float(np.pi)
"""Radians per unit of an encoder's <Z>: its range is a full turn."""
SINGLE = 0.1
"""Error of a one-qubit gate over that of a two-qubit gate."""
MACHINE_SHOTS = 1000
"""Shots per circuit that a machine is charged."""
CLASSICAL = ("classical/logistic", "classical/rbf_svm", "classical/mlp_48", "classical/mlp_192", "classical/matched")
CONTROLS = (
    "control/encoders_only",
    "control/no_encoders",
    "control/no_reuploading",
    "control/no_entanglement",
    "control/frozen",
)
HEAD = "quantum/head"
UNTRAINED = "control/untrained"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        data: as in the case's Config.
        samples: labelled samples per label; 0: all phrases that were encoded.
        pool: phrases of the training set that were encoded; 0: all.
        qubits: width of the quantum machine's circuit.
        encoders: amplitude encoders before it.
        layers: layers of each encoder's circuit.
        trials: settings that each arm tries.
        steps: training steps of the quantum head.
        batch: examples per step.
        shots: shots per circuit at which the trained head is evaluated as well.
        errors: errors of a two-qubit gate at which it is evaluated as well.
    """

    data: str = "sst2"
    samples: int = 256
    pool: int = 0
    qubits: int = 10
    encoders: int = 1
    layers: int = 3
    trials: int = TRIALS
    steps: int = 200
    batch: int = 32
    shots: tuple = ()
    errors: tuple = ()


class Labelled(NamedTuple):
    """Features [examples, features] of unit length, and classes [examples] of 0 and 1."""

    x: np.ndarray
    y: np.ndarray


class Problem(NamedTuple):
    """What every arm sees."""

    train: Labelled
    validation: Labelled
    test: Labelled


class Effort(NamedTuple):
    """Steps of the optimiser, and passes over the training samples that they make: of the trial that was kept."""

    steps: float
    epochs: float


class Answer(NamedTuple):
    """What an arm hands back.

    Attributes:
        logits: of the test part: exact, and by name of a number of shots or an error.
        size: the numbers that were trained.
        validation: accuracy on the validation part.
        effort: of training; None where nothing is trained by steps over samples.
        predict: classifies features again without a quantum machine; None where it takes one.
    """

    logits: Mapping[str, np.ndarray]
    size: int
    validation: float
    effort: Effort | None = None
    predict: Callable[[np.ndarray], Any] | None = None


def structure(setting: Setting, features: int, **changes: Any) -> Head:
    """The quantum head of a setting."""
    usual = Head(features, setting.qubits, setting.encoders, setting.layers, blocks=2, layers=1, connectivity=2)
    return dataclasses.replace(usual, **changes)


def settings(trials: int, head: Head) -> Settings:
    """The lanes that are tried, TRIALS at most: every learning rate with every padding, or span without encoders."""
    pairs = [(rate, other) for other in (PADS if head.encoders else SPANS) for rate in RATES]
    rates, others = (jnp.asarray(column) for column in zip(*pairs[:trials], strict=True))
    if head.encoders:
        return Settings(rates, jnp.full(rates.shape, SCALE), others)
    return Settings(rates, others, jnp.zeros(rates.shape))


class Trained(NamedTuple):
    """The chosen lane, and what it scores on the validation part."""

    params: Any
    settings: Settings
    validation: float


def trained(key: Key, setting: Setting, head: Head, problem: Problem, frozen: bool = False) -> Trained:
    """Trains all lanes in one program and keeps the best on the validation part (ties: the least loss)."""
    lanes = settings(setting.trials, head)
    keys = jax.random.split(key, setting.trials)
    x, y = (jnp.asarray(part) for part in problem.train)
    params = heads.population(keys, x, y, lanes, head, setting.steps, setting.batch, frozen).params
    logits = np.asarray(
        jax.vmap(lambda own, lane: heads.predict(own, jnp.asarray(problem.validation.x), head, lane))(params, lanes)
    )
    hits, loss = accuracies(logits, problem.validation.y)
    best = int(np.lexsort((loss, -hits))[0])
    params, lane = jax.tree.map(lambda leaf: leaf[best], (params, lanes))
    return Trained(params, lane, float(hits[best]))


def accuracies(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and cross-entropy of each row of logits."""
    return ((logits > 0) == y[None]).mean(1), np.logaddexp(0, np.where(y[None] == 1, -logits, logits)).mean(1)


def components(x: np.ndarray, kept: int) -> Callable[[np.ndarray], np.ndarray]:
    """The map to the leading principal components of some features, in standard deviations of the first."""
    mean = x.mean(0)
    _, spread, directions = np.linalg.svd(x - mean, full_matrices=False)
    scaled = directions[:kept].T * np.sqrt(len(x)) / spread[0]
    return lambda features: ((features - mean) @ scaled).astype(np.float32)


def projected(problem: Problem, project: Callable[[np.ndarray], np.ndarray]) -> Problem:
    """The problem on projected features."""
    return Problem(*(Labelled(project(part.x), part.y) for part in problem))


def quantum(name: str, note: str = "", frozen: bool = False, **changes: Any) -> Callable[[Setting], Arm]:
    """The quantum head with some of its structure changed."""

    def factory(setting: Setting) -> Arm:
        def solve(key: Key, problem: Problem) -> Outcome:
            if changes.get("encoders") == 0:
                problem = projected(problem, components(problem.train.x, setting.qubits))
            read = {"measured": setting.qubits} if frozen else {}
            head = structure(setting, problem.train.x.shape[1], **read, **changes)
            run = trained(key, setting, head, problem, frozen)
            x, own = jnp.asarray(problem.test.x), (run.params, head, run.settings)
            logits = {"": np.asarray(heads.predict(own[0], x, *own[1:]))}
            needs = ()
            if head.qubits:
                for shots in setting.shots if head.measured == 1 else ():
                    drawn = heads.sampled(jax.random.fold_in(key, shots), own[0], x, *own[1:], shots)
                    logits[f"_shots_{shots}"] = np.asarray(drawn)
                for error in setting.errors:
                    logits[f"_error_{round(error * ERROR_UNIT)}"] = np.asarray(noisy(*own, x, error))
                training = heads.training_resources(head, setting.steps, setting.batch, MACHINE_SHOTS)
                needs = (setting.trials * training, heads.inference_resources(head, len(x), MACHINE_SHOTS))
            predict = None if head.qubits else functools.partial(_values, run, head)
            numbers = run.params["weight"].size + 1 if frozen else heads.size(head)
            effort = Effort(setting.steps, setting.steps * setting.batch / len(problem.train.y))
            return Outcome(Answer(logits, numbers, run.validation, effort, predict), needs)

        def host(key: Key, problem: Problem) -> Any:
            head = structure(setting, problem.train.x.shape[1], qubits=0)
            run = trained(key, setting, head, problem)
            return heads.predict(run.params, jnp.asarray(problem.test.x), head, run.settings)

        is_priced = name.startswith("quantum/")
        return Arm(name, solve, note, host if is_priced else None)

    return factory


ERROR_UNIT = 10_000
"""Errors in the names of metrics are counted in units of 1 / ERROR_UNIT, as a name holds no dot."""


def _values(run: Trained, head: Head, x: np.ndarray) -> Any:
    return heads.predict(run.params, jnp.asarray(x), head, run.settings)


@functools.partial(jax.jit, static_argnames="head")
def noisy(params: Any, head: Head, own: Settings, x: Any, error: Any) -> Any:
    """Logits with depolarising noise after every gate of the quantum machine."""
    model = NoiseModel((Channel("depolarising", (0.0,)),), (Channel("depolarising_2q", (0.0,)),))
    strengths = jnp.stack([SINGLE * jnp.asarray(error), jnp.asarray(error)])
    return heads.in_chunks(lambda part: heads.noisy(params, part, head, own, model, strengths), x)


def untrained(setting: Setting) -> Arm:
    """The head as it starts, evaluated once per test sentence: what simulating the circuit costs, and its control."""

    def solve(key: Key, problem: Problem) -> Outcome:
        head = structure(setting, problem.test.x.shape[1])
        params, own = heads.init(key, head), Settings(scale=SCALE, pad=PADS[-1])
        logits = np.asarray(heads.predict(params, jnp.asarray(problem.test.x), head, own))
        needs = (heads.inference_resources(head, len(logits), MACHINE_SHOTS),)
        return Outcome(Answer({"": logits}, heads.size(head), 0.0), needs)

    return Arm(UNTRAINED, solve, "measured: simulating the circuit once for every test sentence; nothing is trained.")


def candidates(name: str, trials: int, seed: int, problem: Problem) -> list[Any]:
    """The classifiers that a classical arm tries, of which so many of the first are taken."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    if name in ("logistic", "matched"):
        made = [LogisticRegression(C=c, max_iter=2000) for c in (1.0, 0.03, 0.3, 3.0, 10.0, 100.0)]
    elif name == "rbf_svm":
        made = [SVC(C=c, gamma=g) for c in (1.0, 10.0, 100.0) for g in (1.0, 0.3)]  # pyright: ignore[reportArgumentType]
    else:
        hidden = int(name.removeprefix("mlp_"))
        epochs = max(2, min(100, 200_000 // len(problem.train.y)))
        made = [
            MLPClassifier(
                (hidden,),
                alpha=a,
                learning_rate_init=r,
                batch_size=32,  # pyright: ignore[reportArgumentType]
                max_iter=epochs,
                random_state=seed,
            )
            for r in (1e-3, 3e-3)
            for a in (1e-2, 1e-4, 1.0)
        ]
    return made[:trials]


def classical(name: str, note: str = "") -> Callable[[Setting], Arm]:
    """A classical head, tuned on the validation part."""

    def factory(setting: Setting) -> Arm:
        def solve(key: Key, problem: Problem) -> Outcome:
            project = np.asarray
            if name == "matched":
                # As many weights, with the constant, as the quantum head has numbers.
                project = components(problem.train.x, heads.size(structure(setting, problem.train.x.shape[1])) - 1)
            given = projected(problem, project)
            seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
            model, hits = fitted(candidates(name, setting.trials, seed, given), given)
            logits = _logits(model)

            def predict(x: np.ndarray) -> np.ndarray:
                return logits(project(x))

            found = {"": np.asarray(predict(problem.test.x))}
            return Outcome(Answer(found, _size(model), hits, _effort(model), predict))

        return Arm(f"classical/{name}", solve, note)

    return factory


def fitted(models: Sequence[Any], problem: Problem) -> tuple[Any, float]:
    """The model that is best on the validation part, and its accuracy there.

    Ties go to the least loss, as for the quantum heads; a support vector machine's margin stands for its logit.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():  # threads only spin on tables this small
        warnings.simplefilter("ignore", category=UserWarning)  # an MLP that could go on is none to warn of
        for model in models:
            model.fit(problem.train.x, problem.train.y)
    logits = np.stack([_logits(model)(problem.validation.x) for model in models])
    hits, loss = accuracies(logits, problem.validation.y)
    best = int(np.lexsort((loss, -hits))[0])
    return models[best], float(hits[best])


def _size(model: Any) -> int:
    """The numbers that a classifier trained."""
    if hasattr(model, "coefs_"):
        return sum(layer.size for layer in (*model.coefs_, *model.intercepts_))
    return model.coef_.size + 1 if hasattr(model, "coef_") else model.support_vectors_.size + len(model.support_)


def _effort(model: Any) -> Effort | None:
    """A network's steps; a logistic regression's, each of which reads all samples; a vector machine makes none."""
    if hasattr(model, "coefs_"):
        batches = math.ceil(model.t_ / model.n_iter_ / model.batch_size)
        return Effort(float(model.n_iter_ * batches), float(model.n_iter_))
    return Effort(float(model.n_iter_[0]), float(model.n_iter_[0])) if hasattr(model, "coef_") else None


def _logits(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The logit of class 1, or a margin where a model has no other."""
    from scipy.special import logit

    if hasattr(model, "decision_function"):
        return model.decision_function
    return lambda x: logit(np.clip(model.predict_proba(x)[:, 1].astype(np.float64), 1e-12, 1 - 1e-12))


def use(problem: Problem, answer: Answer) -> Use | None:
    """Classifying the test sentences' features once more; none where that takes a quantum machine."""
    predict = answer.predict
    return None if predict is None else Use(lambda: predict(problem.test.x), len(problem.test.y), "sentence")


ARMS: dict[str, Callable[[Setting], Arm]] = {
    HEAD: quantum(HEAD, "measured: its encoders alone, trained as long; the machine's part is simulated."),
    "classical/logistic": classical("logistic"),
    "classical/rbf_svm": classical("rbf_svm", "its size: numbers of its support vectors."),
    "classical/mlp_48": classical("mlp_48"),
    "classical/mlp_192": classical("mlp_192"),
    "classical/matched": classical(
        "matched", "logistic regression on as many principal components as the head has angles."
    ),
    "control/encoders_only": quantum(
        "control/encoders_only", "no quantum machine: linear layer on the encoders.", qubits=0
    ),
    "control/no_encoders": quantum("control/no_encoders", "uploads principal components instead.", encoders=0),
    "control/no_reuploading": quantum(
        "control/no_reuploading", "one block, twice as deep circuits.", blocks=1, layers=2
    ),
    "control/no_entanglement": quantum("control/no_entanglement", "the machine's CNOTs left out.", entangled=False),
    "control/frozen": quantum(
        "control/frozen", "circuits as they start; all qubits are measured, the linear layer is trained.", frozen=True
    ),
    UNTRAINED: untrained,
}
