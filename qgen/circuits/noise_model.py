"""NoiseModel: which channels follow which gates, and the order of gates and channels in time."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits.channels import TRACE_TOLERANCE, Channel
from qgen.circuits.gates import GATES
from qgen.circuits.operation import Op
from qgen.types import Array, Float

Confusion = tuple[tuple[float, float], tuple[float, float]]
"""confusion[measured][true]: the probability to read `measured` where `true` is stored."""


@dataclasses.dataclass(frozen=True)
class NoiseModel:
    """Which channels follow which gates. Structure only: traced strengths are passed beside it, as parameters are.

    Attributes:
        after_1q: channels on the wire of every one-qubit gate.
        after_2q: channels after every two-qubit gate; one on a single wire acts on both wires.
        idle: channels on every qubit that rests in a layer (as-soon-as-possible scheduling between the Repeats).
        readout: the confusion matrix of every qubit, [measured][true]; None for a perfect read-out.
        noiseless: names of gates that cost nothing on the machine, such as a virtual "rz".

    Raises:
        ValueError: if a channel does not fit its place or the confusion matrix is not column-stochastic.
    """

    after_1q: tuple[Channel, ...] = ()
    after_2q: tuple[Channel, ...] = ()
    idle: tuple[Channel, ...] = ()
    readout: Confusion | None = None
    noiseless: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks that the channels fit."""
        for place, widest in (("after_1q", 1), ("after_2q", 2), ("idle", 1)):
            channels = tuple(getattr(self, place))
            object.__setattr__(self, place, channels)
            for channel in channels:
                if channel.wires > widest:
                    raise ValueError(
                        f"Channel `{channel.name}` acts on {channel.wires} wires and does not fit `{place}`."
                    )
        for name in self.noiseless:
            check.one_of("noiseless", name, GATES)
        if self.readout is not None:
            matrix = np.array(self.readout, dtype=float)
            check.shape("readout", matrix, (2, 2))
            if not (matrix >= 0).all() or not np.allclose(matrix.sum(0), 1, rtol=0, atol=TRACE_TOLERANCE):
                raise ValueError(
                    f"Argument `readout` must have columns of probabilities that add to 1, but is {self.readout}."
                )
            object.__setattr__(self, "readout", tuple(tuple(float(p) for p in row) for row in matrix))

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels, in the order of their strengths: after_1q, after_2q, idle."""
        return self.after_1q + self.after_2q + self.idle

    @property
    def strengths(self) -> Float[np.ndarray, " strengths"]:
        """The strengths of all channels, laid end to end."""
        return np.array([s for channel in self.channels for s in channel.strengths])

    def grown(self, factor: Any, strengths: Any = None) -> Float[Array, " strengths"]:
        """The strengths under which every channel is that of its noise acting for `factor` times as long.

        Raises:
            ValueError: if a channel is given by operators and has no known generator.
        """
        given = self.strengths if strengths is None else strengths
        pieces = [
            jnp.asarray(s) for c, own in zip(self.channels, self.split(given), strict=True) for s in c.grow(factor, own)
        ]
        return jnp.stack(pieces) if pieces else jnp.zeros(0)

    def split(self, strengths: Any) -> list[Any]:
        """The strengths of each channel, from the vector of all.

        Raises:
            ValueError: if their number is wrong.
        """
        check.shape("strengths", strengths, (len(self.strengths),))
        parts, first = [], 0
        for channel in self.channels:
            parts.append(strengths[first : first + len(channel.strengths)])
            first += len(channel.strengths)
        return parts


IDEAL = NoiseModel()
"""No noise at all."""


class Step(NamedTuple):
    """A gate, or a channel (its place among the model's channels) on some wires."""

    wires: tuple[int, ...]
    op: Op | None = None
    channel: int = -1


@functools.lru_cache(maxsize=256)
def steps(ops: tuple[Op, ...], n_qubits: int, model: NoiseModel) -> tuple[Step, ...]:
    """The gates and channels of a stretch of operations, in order of time.

    Raises:
        ValueError: if a gate acts on more than two qubits, for which a model states no noise.
    """
    found: list[Step] = []
    singles, pairs = len(model.after_1q), len(model.after_2q)
    for layer in _layers(ops) if model.idle else [list(ops)]:
        for op in layer:
            found.append(Step(op.support, op))
            width = len(op.support)
            if not width or op.name in model.noiseless or not (singles or pairs):
                continue
            if width > 2:
                raise ValueError(
                    f"Gate `{op.name}` acts on {width} qubits; noise is known for one and two: decompose it."
                )
            for place in range(singles) if width == 1 else range(singles, singles + pairs):
                wide = model.channels[place].wires == width
                found += [Step(op.support, None, place)] if wide else [Step((w,), None, place) for w in op.support]
        if model.idle:
            resting = sorted(set(range(n_qubits)) - {wire for op in layer for wire in op.support})
            places = range(singles + pairs, len(model.channels))
            found += [Step((wire,), None, place) for wire in resting for place in places]
    return tuple(found)


def _layers(ops: Sequence[Op]) -> list[list[Op]]:
    """As-soon-as-possible layers."""
    layers: list[list[Op]] = []
    ready: dict[int, int] = {}
    for op in ops:
        depth = max((ready.get(wire, 0) for wire in op.support), default=0)
        if depth == len(layers):
            layers.append([])
        layers[depth].append(op)
        ready.update(dict.fromkeys(op.support, depth + 1))
    return layers
