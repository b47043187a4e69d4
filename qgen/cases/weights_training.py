"""How every arm of the case trains a network, as compiled runs over sweeps or epochs."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check
from qgen.classical import coordinate, perceptron
from qgen.quantum import grover_choice
from qgen.types import Array, Key

GRADIENT_PASSES = 3
"""Forward passes that a value and its gradient cost."""
STEPS_BATCH = 32
"""Examples of a gradient step."""
FEWER = 20
"""The untuned control's epochs are fewer by this factor."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One network on one data set.

    Attributes:
        data: wine or digits.
        hidden: units of its hidden layers.
        qubits: as in Config.
        budget: as in Config.
        sweeps: as in Config.
        batch: as in Config.
        epochs: as in Config.
        counted: as in Config; 0: not here.
        noise: the chance that a Grover iteration mixes the register.
        trials: as in Config.
    """

    data: str
    hidden: tuple
    qubits: int
    budget: int
    sweeps: int
    batch: int
    epochs: int
    counted: int
    noise: float
    trials: int

    def __post_init__(self) -> None:
        """Refuses noise that is no probability."""
        check.within("noise", self.noise, 0, 1)


class Part(NamedTuple):
    """Examples: features of unit variance, and classes."""

    x: np.ndarray
    y: np.ndarray


class Problem(NamedTuple):
    """What every arm trains on; the test part is for the score."""

    setting: Setting
    sizes: tuple[int, ...]
    train: Part
    validation: Part
    test: Part
    tuned: Any


class Trained(NamedTuple):
    """A finished run of any arm: the best network, the curve of validation losses, and what each point had spent."""

    layers: perceptron.Layers
    least: Array
    curve: Array
    spent: coordinate.Spent


def split(key: Key, setting: Setting, whole: Part) -> Problem:
    """60 % train, 20 % validation, 20 % test, stratified; features scaled by the training part."""
    from sklearn.model_selection import train_test_split

    seed = int(jax.random.bits(key, dtype=jnp.uint16))

    def cut(rows: np.ndarray, share: float) -> list[np.ndarray]:
        halves = train_test_split(rows, train_size=share, stratify=whole.y[rows], random_state=seed)
        return [np.asarray(half) for half in halves]

    train, rest = cut(np.arange(len(whole.y)), 0.6)
    validation, test = cut(rest, 0.5)
    mean, deviation = whole.x[train].mean(axis=0), whole.x[train].std(axis=0)
    scaled = ((whole.x - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    parts = [Part(scaled[rows], whole.y[rows].astype(np.int32)) for rows in (train, validation, test)]
    sizes = (whole.x.shape[1], *(int(width) for width in setting.hidden), int(whole.y.max()) + 1)
    return Problem(setting, sizes, parts[0], parts[1], parts[2], {})


def trained(arm: str, key: Key, given: Problem, choice: tuple[float, float]) -> Trained:
    """One training run of an arm with these two hyperparameters."""
    setting = given.setting
    parts = tuple(map(jnp.asarray, (*given.train, *given.validation)))
    batch = min(setting.batch, len(given.train.y))
    if arm == "classical/adam":
        return _descended(key, parts, choice, True, given.sizes, setting.epochs)
    if arm == "control/untuned_gradient":
        return _descended(key, parts, choice, False, given.sizes, max(1, setting.epochs // FEWER))
    return _searched(
        key, parts, choice, setting.noise, arm, given.sizes, setting.qubits, setting.budget, setting.sweeps, batch
    )


def chooser(arm: str, budget: int, noise: Array | float) -> coordinate.Choose:
    """How an arm chooses among a weight's candidates."""
    if arm == "classical/coordinate":
        return coordinate.exhaustive()
    if arm == "classical/random":
        return coordinate.some(budget)
    search = grover_choice.choose(budget, amplify=arm == "quantum/grover_weights", noise=noise)

    def choose(key: Key, evaluate: coordinate.Evaluate, n: int, here: Array, value: Array) -> Any:
        # What an oracle would compare in superposition; a simulator evaluates all of it.
        losses = evaluate(jnp.arange(n)).at[here].set(value)
        found = search(key, losses, here)
        took = coordinate.Spent(found.evaluations.astype(jnp.float32), found.coherent.astype(jnp.float32))
        return found.best, losses[found.best], took

    return choose


@functools.partial(jax.jit, static_argnames=("arm", "sizes", "qubits", "budget", "sweeps", "batch"))
def _searched(
    key: Key,
    parts: tuple[Array, ...],
    choice: tuple[float, float],
    noise: Array | float,
    arm: str,
    sizes: tuple[int, ...],
    qubits: int,
    budget: int,
    sweeps: int,
    batch: int,
) -> Trained:
    """Sweeps over all weights, each with a smaller reach; the network of the least validation loss."""
    x, y, v_x, v_y = parts
    reach, factor = choice
    start = perceptron.init(jax.random.fold_in(key, 1), sizes)

    def step(carry: Any, t: Array) -> Any:
        layers, best, least, spent = carry
        layers, took = coordinate.sweep(
            jax.random.fold_in(key, t + 2),
            *(layers, x, y, jnp.asarray(reach * factor**t)),
            choose=chooser(arm, budget, noise),
            qubits=qubits,
            batch=batch,
        )
        loss = perceptron.cross_entropy(perceptron.logits(layers, v_x), v_y).mean()
        spent = jax.tree.map(jnp.add, spent, took)
        best = jax.tree.map(lambda new, old: jnp.where(loss < least, new, old), layers, best)
        return (layers, best, jnp.minimum(loss, least), spent), (loss, spent)

    nothing = coordinate.Spent(jnp.zeros(()), jnp.zeros(()))
    started = (start, start, jnp.asarray(jnp.inf), nothing)
    (_, best, least, _), (curve, spent) = jax.lax.scan(step, started, jnp.arange(sweeps))
    return Trained(best, least, curve, spent)


@functools.partial(jax.jit, static_argnames=("adam", "sizes", "epochs"))
def _descended(
    key: Key, parts: tuple[Array, ...], choice: tuple[float, float], adam: bool, sizes: tuple[int, ...], epochs: int
) -> Trained:
    """Adam with a cosine, or plain descent at a constant rate; the network of the least validation loss."""
    x, y, v_x, v_y = parts
    rate, decay = choice
    start = perceptron.init(jax.random.fold_in(key, 1), sizes)
    batch = min(STEPS_BATCH, len(x))
    n_steps = len(x) // batch
    optimiser = optax.scale_by_adam() if adam else optax.identity()

    def loss(layers: perceptron.Layers, rows: Array) -> Array:
        return perceptron.cross_entropy(perceptron.logits(layers, x[rows]), y[rows]).mean()

    def epoch(carry: Any, t: Array) -> Any:
        layers, memory, best, least = carry
        now = rate * 0.5 * (1 + jnp.cos(jnp.pi * t / epochs)) if adam else rate
        order = jax.random.permutation(jax.random.fold_in(key, t + 2), len(x))[: n_steps * batch]

        def step(carry: Any, rows: Array) -> Any:
            layers, memory = carry
            move, memory = optimiser.update(jax.grad(loss)(layers, rows), memory)
            return (jax.tree.map(lambda leaf, m: leaf - now * (m + decay * leaf), layers, move), memory), None

        (layers, memory), _ = jax.lax.scan(step, (layers, memory), order.reshape(n_steps, batch))
        value = perceptron.cross_entropy(perceptron.logits(layers, v_x), v_y).mean()
        best = jax.tree.map(lambda new, old: jnp.where(value < least, new, old), layers, best)
        return (layers, memory, best, jnp.minimum(value, least)), value

    started = (start, optimiser.init(start), start, jnp.asarray(jnp.inf))
    (_, _, best, least), curve = jax.lax.scan(epoch, started, jnp.arange(epochs))
    # In forward passes of a gradient step's mini-batch.
    done = n_steps * (1.0 + jnp.arange(epochs))
    return Trained(best, least, curve, coordinate.Spent(GRADIENT_PASSES * done, jnp.zeros(epochs)))
