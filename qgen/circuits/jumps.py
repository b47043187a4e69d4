"""Pauli noise as gates: one circuit for all trajectories, whose jumps are parameters, so that every engine can run it.

A Pauli word is, up to a phase, RZ and RY by 0 or pi on each of its wires. If all channels mix Pauli words, a jump's
probability does not depend on the state: a trajectory's jumps are drawn first, and are then data of one circuit.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits.channels import Channel
from qgen.circuits.circuit import Circuit, Repeat, relocate
from qgen.circuits.noise_model import NoiseModel, Step, steps
from qgen.circuits.observables import Observable, Word
from qgen.circuits.operation import Angle, Op, gate
from qgen.circuits.tensors import PAULIS
from qgen.types import Array, Float, Key

MOST_WORDS = 1 << 12
"""Up to this many words an observable is expanded for a read-out error that differs between 0 and 1."""


class Jumps(NamedTuple):
    """A circuit with a place for every jump.

    Attributes:
        circuit: the operations, and RZ and RY on each wire of each jump; their angles follow the circuit's own
            parameters.
        channels: for each jump, the place of its channel in the model.
    """

    circuit: Circuit
    channels: tuple[int, ...]


@functools.lru_cache(maxsize=64)
def with_jumps(circuit: Circuit, model: NoiseModel) -> Jumps:
    """Writes a circuit out with the places of its jumps.

    Raises:
        ValueError: if a gate acts on more qubits than the model states noise for.
    """
    ops: list[Op] = []
    channels: list[int] = []
    index = itertools.count(circuit.n_params)
    for stretch in _stretches(circuit):
        for step in steps(stretch, circuit.n_qubits, model):
            if step.op is not None:
                ops.append(step.op)
                continue
            channels.append(step.channel)
            ops += _turns(step, index)
    return Jumps(Circuit(circuit.n_qubits, tuple(ops)), tuple(channels))


def _turns(step: Step, index: Iterator[int]) -> list[Op]:
    return [gate(name, wire, Angle(next(index))) for wire in step.wires for name in ("rz", "ry")]


def _stretches(circuit: Circuit) -> Iterator[tuple[Op, ...]]:
    """The stretches of operations between the Repeats, as `tensors.walk` sees them, written out."""
    stretch: list[Op] = []
    for item in circuit.ops:
        if isinstance(item, Op):
            stretch.append(item)
            continue
        assert isinstance(item, Repeat)
        if stretch:
            yield tuple(stretch)
        stretch = []
        for repetition in range(item.times):
            other = item.offset(repetition) - item.shared
            for inner in _stretches(item.body):
                moved = (relocate(op, item.shared, item.start, other) for op in inner)
                yield tuple(op for op in moved if isinstance(op, Op))
    if stretch:
        yield tuple(stretch)


def mixes_paulis(model: NoiseModel) -> bool:
    """Whether every operator of every channel is a Pauli word."""
    return all(channel.mixes_unitaries for channel in model.channels)


@functools.lru_cache(maxsize=64)
def _letters(channel: Channel) -> np.ndarray:
    """For every operator of a channel the turns of RZ and RY on its wires that make it, in units of pi [terms, 2 k]."""
    with jax.ensure_compile_time_eval():
        operators = np.asarray(channel.terms()[1])
    found = np.zeros((len(operators), 2 * channel.wires))
    for word in itertools.product(range(4), repeat=channel.wires):
        matrix = functools.reduce(np.kron, [PAULIS[letter] for letter in word])
        overlaps = abs(np.einsum("ab,kab->k", matrix.conj(), operators)) / len(matrix)
        turns = [turn for letter in word for turn in (letter in (1, 3), letter in (1, 2))]  # X = i Y Z
        found[overlaps > 0.5] = turns
    return found


def draw(
    key: Key, jumps: Jumps, model: NoiseModel, weights: Sequence[Array], dtype: Any
) -> tuple[Float[Array, " angles"], Float[Array, ""]]:
    """One trajectory's jumps: their angles, and the factor that carries the gradient of their probabilities.

    Args:
        key: the key of the draws.
        jumps: the circuit.
        model: the noise.
        weights: the probabilities of every channel's operators.
        dtype: of the angles.
    """
    draws = jax.random.uniform(key, (len(jumps.channels),), dtype)
    places = np.array(jumps.channels, dtype=int)
    widths = np.array([2 * model.channels[place].wires for place in jumps.channels], dtype=int)
    firsts = np.cumsum(widths) - widths
    angles, factor = jnp.zeros(int(widths.sum()), dtype), jnp.ones((), dtype)
    for place, channel in enumerate(model.channels):
        mine = np.flatnonzero(places == place)
        if not len(mine):
            continue
        fixed = jax.lax.stop_gradient(weights[place])
        chances = jnp.cumsum(jnp.maximum(fixed, 0.0))
        # The first entry whose cumulative chance exceeds the draw has a chance above zero, which dividing by it needs.
        chosen = jnp.argmax(chances[None, :] > draws[mine][:, None] * chances[-1], 1)
        turned = jnp.asarray(np.pi * _letters(channel), dtype)[chosen]
        angles = angles.at[firsts[mine][:, None] + np.arange(2 * channel.wires)].set(turned)
        factor = factor * jnp.prod((weights[place] / jnp.where(fixed > 0, fixed, 1.0))[chosen])
    return angles, factor


def as_read(observable: Observable, model: NoiseModel) -> Observable | None:
    """The observable whose exact value is that of `observable` under the read-out error; None if it is too long."""
    if model.readout is None:
        return observable
    (p00, p01), (p10, p11) = model.readout
    slope, offset = (p00 - p10 - p01 + p11) / 2, (p00 - p10 + p01 - p11) / 2
    if offset and sum(2 ** len(word) for word in observable.words) > MOST_WORDS:
        return None
    words: list[Word] = []
    place: list[int] = []
    factors: list[float] = []
    for k, word in enumerate(observable.words):
        for kept in itertools.product((True, False), repeat=len(word)) if offset else [(True,) * len(word)]:
            words.append(tuple(letter for letter, keep in zip(word, kept, strict=True) if keep))
            place.append(k)
            factors.append(slope ** sum(kept) * offset ** (len(word) - sum(kept)))
    given = observable.coefficients
    module = np if isinstance(given, np.ndarray) else jnp
    return Observable(words, given[np.array(place)] * module.asarray(factors, given.dtype))
