"""Grover search for the weights of a network (Politehnica Timisoara, arXiv:2504.14568).

Problem: scikit-learn's Wine and Digits, a perceptron with one to three hidden layers, 60 % train, 20 % validation.
Classical: Adam; the best of all candidates of a weight, or of some at random.
Quantum: Dürr-Høyer search among the candidates of one weight after the other; an oracle call is a forward pass.
Score: test loss and accuracy; forward passes, a gradient's being three; coherent calls apart.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.cases.base import Case, Point, Sources
from qgen.cases.weights_report import FACTS, FIGURES
from qgen.cases.weights_training import FEWER, STEPS_BATCH, Part, Problem, Setting, Trained, split, trained
from qgen.check import Count, Natural, Share
from qgen.classical import coordinate, perceptron
from qgen.energy import flops
from qgen.quantum import grover, grover_choice
from qgen.stages.base import Arm, Outcome, Quality
from qgen.types import Array, Key

SEARCHES = ((0.05, 0.95), (0.1, 0.8), (0.1, 0.9), (0.2, 0.8), (0.2, 0.9), (0.4, 0.7))
"""Reach of the first sweep and its factor per sweep that candidate searches are tuned over."""
DESCENTS = ((0.003, 0.0), (0.01, 0.0), (0.03, 0.0), (0.003, 0.01), (0.01, 0.01), (0.03, 0.01))
"""Learning rate and weight decay that Adam is tuned over: as many as SEARCHES."""
TUNING_KEY = 10_000
COUNTED, REPEATS = 24, 8
"""Weights whose candidates the calls are counted on, and searches of each."""
POINTS = 20
"""Most points of a stored curve, denser at its start."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The preset's settings.

    Attributes:
        wine_width: units of each hidden layer for Wine.
        digits_width: units of each of the three hidden layers for Digits; 0 leaves Digits out.
        qubits: 2^qubits candidates per weight.
        budget: evaluations per weight of the quantum search, of its control and of the random candidates.
        sweeps: visits of every weight.
        batch: examples of a mini-batch of the candidate searches.
        epochs: passes of Adam.
        counted: calls to the minimum are counted for 2^2 to 2^counted candidates.
        wider: Wine with the most hidden layers is trained with 2^wider candidates and as many more evaluations as the
            square root asks for, too; 0 leaves that out.
        noises: chances that a Grover iteration mixes the register, on Wine with the most hidden layers.
        depths: numbers of hidden layers for Wine, ascending.
        few: the most seeds of the settings with more candidates and with noise.
        trials: configurations that each arm is tuned over, at most 6.
    """

    wine_width: Count = 8
    digits_width: Natural = 16
    qubits: Annotated[int, functools.partial(check.within, low=1, high=16)] = 4
    budget: Count = 8
    sweeps: Count = 12
    batch: Count = 128
    epochs: Count = 200
    counted: Annotated[int, functools.partial(check.within, low=2, high=16)] = 10
    wider: Annotated[int, functools.partial(check.within, low=0, high=16)] = 0
    noises: tuple[Share, ...] = (0.05, 0.2)
    depths: tuple[Count, ...] = (1, 3)
    few: Count = 5
    trials: Annotated[int, functools.partial(check.within, low=1, high=len(SEARCHES))] = 6

    def __post_init__(self) -> None:
        """Refuses what cannot be trained, tuned or counted."""
        check.fields("weights", self)
        check.at_least("weights: number of depths", len(self.depths), 1)


class Answer(NamedTuple):
    """What an arm found and spent.

    Attributes:
        layers: the network of the least validation loss.
        validation_loss: that loss.
        passes: forward passes of one example, coherent ones included.
        coherent: mini-batch losses that an oracle evaluated in superposition.
    """

    layers: perceptron.Layers
    validation_loss: float
    passes: float
    coherent: float = 0.0


def load(config: Config, files: Mapping[str, Path]) -> Sources:
    """Both data sets of scikit-learn."""
    from sklearn import datasets

    loaders = {"wine": datasets.load_wine, "digits": datasets.load_digits}
    return Sources({name: Part(*make(return_X_y=True)) for name, make in loaders.items()}, "scikit-learn")


def points(config: Config, sources: Sources) -> list[Point]:
    """Wine with few and with more hidden layers, then with more candidates; Digits with three; noise."""
    shared = {name: getattr(config, name) for name in ("qubits", "budget", "sweeps", "batch", "epochs", "trials")}
    wine = [Setting("wine", (config.wine_width,) * depth, counted=0, noise=0.0, **shared) for depth in config.depths]
    # Joules are those of Digits, or of Wine where there is nothing else.
    alone = not config.digits_width
    made = [Point(dataclasses.replace(wine[0], counted=config.counted), tuple(ARMS), priced=alone)]
    made += [Point(setting, tuple(ARMS)) for setting in wine[1:]]
    if config.wider:
        more = round(config.budget * 2 ** ((config.wider - config.qubits) / 2))
        made.append(Point(dataclasses.replace(wine[-1], qubits=config.wider, budget=more), SEARCHING, config.few))
    if config.digits_width:
        digits = Setting("digits", (config.digits_width,) * 3, counted=0, noise=0.0, **shared)
        made.append(Point(digits, tuple(ARMS), priced=True))
    made += [Point(dataclasses.replace(wine[-1], noise=noise), SEARCHING[:1], config.few) for noise in config.noises]
    return made


def problem(key: Key, setting: Setting, sources: Sources) -> Problem:
    """A stratified split, with each arm's hyperparameters tuned on another one."""
    made = split(key, setting, sources.data[setting.data])
    return made._replace(tuned=_tuned(dataclasses.replace(setting, noise=0.0, counted=0), sources.fingerprint))


@functools.cache
def _tuned(setting: Setting, fingerprint: str) -> dict[str, tuple[float, float]]:
    """The best of as many configurations for every arm, by validation loss on a split of their own."""
    given = split(jax.random.key(TUNING_KEY), setting, load(Config(), {}).data[setting.data])
    key = jax.random.key(TUNING_KEY + 1)
    made = {}
    for arm, grid in TUNED.items():
        tried = [float(trained(arm, key, given, choice).least) for choice in grid[: setting.trials]]
        made[arm] = grid[int(np.argmin(np.nan_to_num(tried, nan=np.inf)))]
    return made


def score(problem: Problem, answer: Answer) -> dict[str, float]:
    """Test loss and accuracy, and what was spent, in forward passes of the whole training part."""
    outputs = perceptron.logits(answer.layers, jnp.asarray(problem.test.x))
    labels = jnp.asarray(problem.test.y)
    return {
        "test_loss": float(perceptron.cross_entropy(outputs, labels).mean()),
        "test_accuracy": 100 * float((outputs.argmax(axis=1) == labels).mean()),
        "validation_loss": answer.validation_loss,
        "passes": float(round(answer.passes / len(problem.train.y))),
        "coherent_calls": answer.coherent,
        "weights": float(perceptron.n_weights(problem.sizes)),
        "examples": float(len(problem.train.y)),
    }


def oracle(problem: Problem) -> grover.Oracle:
    """The loss of one mini-batch as a reversible computation, which holds one example's units at a time."""
    batch = min(problem.setting.batch, len(problem.train.y))
    layers = jax.eval_shape(lambda: perceptron.init(jax.random.key(0), problem.sizes))
    x = jax.ShapeDtypeStruct((batch, problem.sizes[0]), jnp.float32)
    y = jax.ShapeDtypeStruct((batch,), jnp.int32)
    work = flops.count(
        lambda layers, x, y: perceptron.cross_entropy(perceptron.logits(layers, x), y).mean(), layers, x, y
    )
    return grover.Oracle(work.flops, sum(problem.sizes[1:]) + 1)


def counted_calls(key: Key, layers: perceptron.Layers, problem: Problem, most: int) -> dict[str, Array]:
    """Evaluations until the best of N candidates is held, N from 4 to 2^most: means over weights of the network."""
    keys = jax.random.split(key, 3)
    rows = jax.random.choice(
        keys[0], len(problem.train.y), (min(problem.setting.batch, len(problem.train.y)),), replace=False
    )
    x, y = jnp.asarray(problem.train.x)[rows], jnp.asarray(problem.train.y)[rows]
    n_in, n_out = layers[0].shape
    weights = jax.random.choice(keys[1], n_in * n_out, (min(COUNTED, n_in * n_out),), replace=False)
    sizes = [2**q for q in range(2, most + 1)]
    calls = [float(_calls(jax.random.fold_in(keys[2], n), layers, x, y, weights, n)) for n in sizes]
    return {"candidates": jnp.asarray(sizes), "calls": jnp.asarray(calls)}


@functools.partial(jax.jit, static_argnames="n")
def _calls(key: Key, layers: perceptron.Layers, x: Array, y: Array, weights: Array, n: int) -> Array:
    qubits = round(math.log2(n))
    changes = coordinate.offsets(qubits)
    n_out = layers[0].shape[1]

    def of_weight(key: Key, weight: Array) -> Array:
        losses = coordinate.table(layers, 0, weight % n_out, weight // n_out, changes, x, y)

        def one(key: Key) -> Array:
            start_key, search_key = jax.random.split(key)
            start = jax.random.randint(start_key, (), 0, n)
            return grover_choice.calls_to_minimum(search_key, losses, start, rounds=12 * qubits)[0]

        return jax.vmap(one)(jax.random.split(key, REPEATS)).mean()

    return jax.vmap(of_weight)(jax.random.split(key, len(weights)), weights).mean()


def _arm(name: str, setting: Setting, note: str = "", choice: tuple[float, float] | None = None) -> Arm:
    quantum = name == "quantum/grover_weights"
    batch_of = {"classical/adam": STEPS_BATCH, "control/untuned_gradient": STEPS_BATCH}

    def solve(key: Key, problem: Problem) -> Outcome:
        run = trained(name, key, problem, choice or problem.tuned[name])
        n_train = len(problem.train.y)
        batch = min(batch_of.get(name, setting.batch), n_train)
        spent = np.asarray(batch * (run.spent.single + run.spent.coherent), dtype=float)
        single, coherent = float(run.spent.single[-1]), float(run.spent.coherent[-1])
        answer = Answer(run.layers, float(run.least), float(spent[-1]), coherent)
        kept = np.unique(np.geomspace(1, len(spent), POINTS).round().astype(int)) - 1
        curve = np.asarray(run.curve, dtype=float)[kept].round(5)
        trace = {"passes": (spent[kept] / n_train).round(1), "validation_loss": curve}
        used = ()
        if quantum:
            # Every unit's first loss is no measured candidate.
            runs = single - setting.sweeps * sum(problem.sizes[1:])
            used = (grover.resources(oracle(problem), 2**setting.qubits, coherent, runs),)
            if setting.counted:
                trace |= counted_calls(key, run.layers, problem, setting.counted)
        return Outcome(answer, used, trace)

    def host(key: Key, problem: Problem) -> Trained:
        return trained("classical/random", key, problem, problem.tuned[name])

    return Arm(name, solve, note, host if quantum else None)


SEARCHING = ("quantum/grover_weights", "classical/coordinate", "classical/random", "control/no_amplification")
TUNED: Mapping[str, Sequence[tuple[float, float]]] = {**dict.fromkeys(SEARCHING, SEARCHES), "classical/adam": DESCENTS}
ARMS = {
    "quantum/grover_weights": lambda setting: _arm(
        "quantum/grover_weights",
        setting,
        f"{setting.budget} evaluations per weight, coherent ones included. A call is charged as a reversible forward "
        "pass of the mini-batch, a lower bound; the host as if it evaluated the whole budget one by one.",
    ),
    "classical/adam": lambda setting: _arm("classical/adam", setting, "Tuned, with a cosine."),
    "classical/coordinate": lambda setting: _arm("classical/coordinate", setting, "All candidates of every weight."),
    "classical/random": lambda setting: _arm(
        "classical/random", setting, f"{setting.budget} candidates per weight, without repetition."
    ),
    "control/no_amplification": lambda setting: _arm(
        "control/no_amplification", setting, "The quantum search without Grover iterations."
    ),
    "control/untuned_gradient": lambda setting: _arm(
        "control/untuned_gradient",
        setting,
        f"Plain descent at rate 0.01 for {max(1, setting.epochs // FEWER)} epochs, not tuned.",
        (0.01, 0.0),
    ),
}

CASE = Case(
    facts=FACTS,
    quality=Quality("test_accuracy", higher_is_better=True, margin=1.0),
    presets={
        "smoke": Config(3, 0, 2, 3, 2, 32, 5, 3, 0, (), (1,), 2, 1),
        "default": Config(),
        "paper": Config(
            digits_width=32,
            qubits=5,
            budget=12,
            sweeps=25,
            batch=256,
            counted=12,
            wider=7,
            noises=(0.01, 0.05, 0.2),
            depths=(1, 2, 3),
            few=20,
        ),
    },
    seeds={"smoke": 2, "default": 10, "paper": 20},
    files={},
    load=load,
    points=points,
    problem=problem,
    score=score,
    arms=ARMS,
    figures=FIGURES,
)
