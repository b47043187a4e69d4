"""Training without gradients: one weight after the other takes the best of N values, by any way to choose one.

All weights of a unit meet the same mini-batch, so that a candidate changes one unit's input there and what follows.
The way to choose is what methods differ by: all candidates, some at random, or a quantum search.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qgen import check
from qgen.classical import perceptron
from qgen.classical.perceptron import Layers
from qgen.types import Array, Float, Int, Key


class Spent(NamedTuple):
    """Losses of a mini-batch that were evaluated: one by one, and in superposition by a quantum oracle."""

    single: Float[Array, ""]
    coherent: Float[Array, ""]


Evaluate = Callable[[Int[Array, " some"]], Float[Array, " some"]]
"""`places of candidates -> their losses`."""
Choose = Callable[
    [Key, Evaluate, int, Int[Array, ""], Float[Array, ""]], tuple[Int[Array, ""], Float[Array, ""], Spent]
]
"""`(key, evaluate, number of candidates, present place, its known loss) -> (chosen place, its loss, cost)`."""


def exhaustive() -> Choose:
    """Evaluates every candidate and takes the best."""

    def choose(key: Key, evaluate: Evaluate, n: int, here: Array, value: Array) -> tuple[Array, Array, Spent]:
        losses = evaluate(jnp.arange(n)).at[here].set(value)
        best = jnp.argmin(losses)
        return best, losses[best], Spent(jnp.asarray(n - 1.0), jnp.zeros(()))

    return choose


def some(evaluations: int) -> Choose:
    """Evaluates some candidates, drawn without repetition, and takes the best if it is better than the present one.

    Raises:
        ValueError: if `evaluations` is below 1.
    """
    check.at_least("evaluations", evaluations, 1)

    def choose(key: Key, evaluate: Evaluate, n: int, here: Array, value: Array) -> tuple[Array, Array, Spent]:
        others = jax.random.permutation(key, n - 1)[:evaluations]
        places = others + (others >= here)
        losses = evaluate(places)
        best = jnp.argmin(losses)
        better = losses[best] < value
        spent = Spent(jnp.asarray(float(len(places))), jnp.zeros(()))
        return jnp.where(better, places[best], here), jnp.where(better, losses[best], value), spent

    return choose


def offsets(qubits: int) -> Float[Array, " candidates"]:
    """2^qubits changes of a weight, evenly spread over [-1, 1); the middle one is no change.

    Raises:
        ValueError: if `qubits` is below 1.
    """
    check.at_least("qubits", qubits, 1)
    n_candidates = 2**qubits
    return jnp.arange(-n_candidates // 2, n_candidates // 2) / (n_candidates / 2)


def table(
    layers: Layers, place: int, unit: Int[Array, ""], row: Int[Array, ""], changes: Array, x: Array, labels: Array
) -> Float[Array, " candidates"]:
    """The losses of a mini-batch for changes of one weight.

    Args:
        layers: the weights.
        place: the weight's layer.
        unit: the unit that it leads to.
        row: the unit that it comes from; the last one is the bias.
        changes: what is added to it, [candidates].
        x: features of the mini-batch.
        labels: its labels.
    """
    context = _context(layers, place, unit, x, labels)
    return context.losses(context.inputs @ layers[place][:, unit], row, changes)


class _Context(NamedTuple):
    """What the weights of one unit share."""

    inputs: Array
    losses: Callable[[Array, Array, Array], Array]


def _context(layers: Layers, place: int, unit: Array, x: Array, labels: Array) -> _Context:
    for layer in layers[:place]:
        x = jax.nn.relu(perceptron.affine(layer, x))
    inputs = jnp.concatenate([x, jnp.ones((len(x), 1))], axis=1)
    outputs = perceptron.affine(layers[place], x)
    others = jnp.arange(outputs.shape[1]) != unit
    last = place == len(layers) - 1
    if last:
        rest = jnp.where(others[None], outputs, 0.0)
        spread = jnp.where(others, 0.0, 1.0)
    else:
        rest = perceptron.affine(layers[place + 1], jnp.where(others[None], jax.nn.relu(outputs), 0.0))
        spread = layers[place + 1][unit]

    def losses(sums: Array, row: Array, changes: Array) -> Array:
        units = sums[None, :] + changes[:, None] * inputs[:, row][None, :]
        following = rest[None] + (units if last else jax.nn.relu(units))[:, :, None] * spread[None, None]
        if not last and place + 2 < len(layers):
            following = perceptron.logits(layers[place + 2 :], jax.nn.relu(following))
        repeated = jnp.broadcast_to(labels[None], following.shape[:2])
        return perceptron.cross_entropy(following, repeated).mean(axis=1)

    return _Context(inputs, losses)


def sweep(
    key: Key,
    layers: Layers,
    x: Float[Array, "examples features"],
    labels: Int[Array, " examples"],
    reach: Float[Array, ""],
    *,
    choose: Choose,
    qubits: int,
    batch: int,
) -> tuple[Layers, Spent]:
    """Visits every weight once, layer by layer and unit by unit.

    Args:
        key: random key.
        layers: the weights.
        x: features.
        labels: classes.
        reach: a weight may change by up to this much.
        choose: how a candidate is chosen.
        qubits: 2^qubits candidates per weight.
        batch: examples of a mini-batch, drawn anew for every unit; all examples if there are no more.

    Returns:
        The weights and the mini-batch losses that were evaluated, one of them per unit for the value at the start.

    Raises:
        ValueError: if `batch` does not lie between 1 and the number of examples.
    """
    check.within("batch", batch, 1, len(x))
    spent = Spent(jnp.zeros(()), jnp.zeros(()))
    for place in range(len(layers)):
        layer, took = _layer(
            jax.random.fold_in(key, place), layers, place, x, labels, reach * offsets(qubits), choose, batch
        )
        layers, spent = (*layers[:place], layer, *layers[place + 1 :]), jax.tree.map(jnp.add, spent, took)
    return layers, spent


def _layer(
    key: Key, layers: Layers, place: int, x: Array, labels: Array, changes: Array, choose: Choose, batch: int
) -> tuple[Array, Spent]:
    """Visits every weight of a layer once."""
    n_in, n_out = layers[place].shape
    here = jnp.asarray(len(changes) // 2)

    def visit(carry: tuple[Array, Spent], given: tuple[Key, Array]) -> tuple[tuple[Array, Spent], None]:
        layer, spent = carry
        unit_key, unit = given
        batch_key, choose_key = jax.random.split(unit_key)
        rows = jnp.arange(batch) if batch == len(x) else jax.random.randint(batch_key, (batch,), 0, len(x))
        now = (*layers[:place], layer, *layers[place + 1 :])
        context = _context(now, place, unit, x[rows], labels[rows])

        def change(carry: tuple[Array, Array, Array, Spent], given: tuple[Key, Array]):
            column, sums, value, spent = carry
            weight_key, row = given
            chosen, value, took = choose(
                weight_key, lambda places: context.losses(sums, row, changes[places]), len(changes), here, value
            )
            column = column.at[row].add(changes[chosen])
            sums = sums + changes[chosen] * context.inputs[:, row]
            return (column, sums, value, jax.tree.map(jnp.add, spent, took)), None

        column = layer[:, unit]
        sums = context.inputs @ column
        start = context.losses(sums, jnp.asarray(0), jnp.zeros(1))[0]
        started = (column, sums, start, spent._replace(single=spent.single + 1))
        (column, _, _, spent), _ = jax.lax.scan(change, started, (jax.random.split(choose_key, n_in), jnp.arange(n_in)))
        return (layer.at[:, unit].set(column), spent), None

    units = jax.random.split(key, n_out), jnp.arange(n_out)
    return jax.lax.scan(visit, (layers[place], Spent(jnp.zeros(()), jnp.zeros(()))), units)[0]
