"""Quixer as a quantum computer would run it: the circuit of its block encoding, and what reading one token needs."""

import functools

import numpy as np

from qgen.circuits import Angle, Circuit, counting, gate
from qgen.circuits.operation import Op
from qgen.nn.quixer import Quixer
from qgen.resources import Resources
from qgen.types import Complex, Float

BASES = 3
"""<X>, <Y> and <Z> of all qubits take three settings of the read-out."""
SHOTS = 1000
"""Successful shots per setting."""


@functools.lru_cache
def block_encoding(config: Quixer, tokens: int) -> Circuit:
    """PREP, SELECT, PREP^dagger: found in |0> of its leading register, it has applied sum_s b_s U_s / sum_s |b_s|.

    Args:
        config: the mixer.
        tokens: how many tokens are summed, at least 1.

    Returns:
        A circuit on ceil(log2 tokens) and `config.qubits` qubits. Parameters: the angles of PREP (see `amplitudes`),
        the phase of every token's coefficient, the angles of every token's circuit [tokens, angles], PREP's again.
    """
    index = (tokens - 1).bit_length()
    wires = tuple(range(index))
    # Node k of a binary tree splits what its path of bits has: k = 1 is the root, 2 k and 2 k + 1 its children.
    tree = [(level, place) for level in range(index) for place in range(2**level)]

    def split(level: int, place: int, first: int = 0, scale: float = 1.0) -> Op:
        angle = Angle(first + 2**level + place - 1, scale)
        return gate("ry", level, angle, controls=wires[:level], values=_bits(place, level))

    prepare = [split(*node) for node in tree]
    nodes, made = 2**index - 1, config.circuit(config.layers)
    select: list[Op] = []
    for token in range(tokens):
        chosen = _bits(token, index)
        select.append(gate("gphase", (), Angle(nodes + token), controls=wires, values=chosen))
        shift = nodes + tokens + token * made.n_params
        for op in made.walk():
            assert isinstance(op, Op)
            angles = [Angle(a.index + shift, a.scale, a.offset) if isinstance(a, Angle) else a for a in op.angles]
            controls = (*wires, *(index + w for w in op.controls))
            placed = [index + w for w in op.wires]
            select.append(gate(op.name, placed, *angles, controls=controls, values=(*chosen, *op.values)))
    last = nodes + tokens * (1 + made.n_params)
    undo = [split(*node, last, -1.0) for node in reversed(tree)]
    return Circuit(index + config.qubits, (*prepare, *select, *undo))


def amplitudes(coefficients: Complex[np.ndarray, " tokens"]) -> Float[np.ndarray, " nodes"]:
    """The angles of PREP: node by node 2 arctan(sqrt(right / left)) of the absolute values below it."""
    index = (len(coefficients) - 1).bit_length()
    level = np.zeros(2**index)
    level[: len(coefficients)] = np.abs(coefficients)
    found: list[np.ndarray] = []
    while len(level) > 1:
        left, right = level[::2], level[1::2]
        found.insert(0, 2 * np.arctan2(np.sqrt(right), np.sqrt(left)))
        level = left + right
    return np.concatenate([*found, np.zeros(0)])


def reading(config: Quixer, success: float, tokens: int | None = None) -> Resources:
    """What the mixed features of one position need: a lower bound.

    The block encoding is applied once per power and the last layer once; the rotations between them that choose the
    polynomial's coefficients, and the ancillas that join its even and odd part, are not counted. Shots that
    post-selection throws away are.

    Args:
        config: the mixer.
        success: the probability of post-selection, in (0, 1].
        tokens: that the position sees; None is the whole window.
    """
    block = block_encoding(config, tokens or config.window)
    once = counting.count(block) * config.degree + counting.count(config.circuit(1))
    shots = SHOTS / success
    every = once * (BASES * shots)
    # What was added and multiplied are gates; a shot is read out once, and each setting is one circuit.
    return Resources(
        **{**vars(every), "circuits": BASES, "shots": BASES * shots, "measurements": BASES * shots * block.n_qubits}
    )


def _bits(number: int, width: int) -> tuple[int, ...]:
    return tuple(number >> (width - 1 - place) & 1 for place in range(width))
