"""Program: a circuit lowered to a few kinds of stage that any engine can run.

    Turns    real 2x2 rotations RY(t) Z^f, at most one per qubit
    Phases   exp(i sum_k a_k f_k(b)), each f_k a parity of bits times a product of bits
    Affine   b -> A b + s over GF(2): any network of X, CNOT and SWAP
    Flip     one bit flips where others are all 1 (Toffoli and wider)
    Mirror   a rotation by a Pauli word that flips many bits: each amplitude against one other
    Table    a fixed diagonal on some wires
    Dense    a fixed matrix on some wires
    Loop     stages run several times

Every one-qubit gate is diagonal, real rotation, diagonal; what acts alike slides together as far as it commutes. A
stage's numbers are linear in the parameters: `numbers` computes them, so that an engine differentiates only with
respect to them. Bit masks count from the right: qubit q of n is bit n - 1 - q.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.types import Array

MATMUL_LIMIT = 1 << 14
"""Numbers are picked from parameters by a small matrix up to this many entries: its transpose is no scatter."""


class Sum(NamedTuple):
    """const + sum of scale * params[index]."""

    const: float = 0.0
    terms: tuple[tuple[int, float], ...] = ()

    def plus(self, other: "Sum") -> "Sum":
        """The sum of both; equal entries merge."""
        scales: dict[int, float] = dict(self.terms)
        for index, scale in other.terms:
            scales[index] = scales.get(index, 0.0) + scale
        return Sum(self.const + other.const, tuple((i, s) for i, s in scales.items() if s))

    def times(self, factor: float) -> "Sum":
        """The sum times a number."""
        return Sum(self.const * factor, tuple((i, s * factor) for i, s in self.terms))


ZERO = Sum()


@dataclasses.dataclass(frozen=True)
class Turns:
    """RY(t_k) Z^(flips_k) on qubit `qubits[k]`."""

    qubits: tuple[int, ...]
    flips: tuple[bool, ...]
    slots: tuple[Sum, ...]


@dataclasses.dataclass(frozen=True)
class Phases:
    """exp(i sum_k a[source_k] weight_k f_k(b)); f_k(b) = (-1)^|b & parity_k| if all bits of ones_k are set, else 0."""

    parity: tuple[int, ...]
    ones: tuple[int, ...]
    source: tuple[int, ...]
    weight: tuple[float, ...]
    slots: tuple[Sum, ...]


@dataclasses.dataclass(frozen=True)
class Affine:
    """|b> -> |XOR of columns[q] over the qubits q set in b, XOR shift>; columns and shift are bit masks."""

    columns: tuple[int, ...]
    shift: int


@dataclasses.dataclass(frozen=True)
class Flip:
    """|b> -> |b XOR target> where all bits of `controls` are set."""

    controls: int
    target: int


@dataclasses.dataclass(frozen=True)
class Mirror:
    """exp(-i t/2 P) of the Pauli word P|b> = i^|flip & sign| (-1)^|b & sign| |b XOR flip>; flip is not 0."""

    flip: int
    sign: int
    slots: tuple[Sum]


@dataclasses.dataclass(frozen=True)
class Table:
    """A fixed diagonal on `wires`: complex128 entries as bytes."""

    wires: tuple[int, ...]
    data: bytes

    def array(self) -> np.ndarray:
        """The entries, complex [2**wires]."""
        return np.frombuffer(self.data, complex)


@dataclasses.dataclass(frozen=True)
class Dense:
    """A fixed matrix on `wires`: complex128 entries as bytes, row after row."""

    wires: tuple[int, ...]
    data: bytes

    def array(self) -> np.ndarray:
        """The matrix, complex [2**wires, 2**wires]."""
        size = 2 ** len(self.wires)
        return np.frombuffer(self.data, complex).reshape(size, size)


@dataclasses.dataclass(frozen=True)
class Loop:
    """The stages `times` times; entries of the parameters as in `Repeat`."""

    body: "tuple[Stage, ...]"
    times: int
    shared: int
    advancing: int
    start: int
    backwards: bool


Taker = Turns | Phases | Mirror
"""Stages that take numbers."""

Stage = Taker | Affine | Flip | Table | Dense | Loop


@dataclasses.dataclass(frozen=True)
class Program:
    """Stages in order of time on a register."""

    n_qubits: int
    stages: tuple[Stage, ...]


Loops = tuple[bool, ...]
"""For each loop around a stage, outermost first, whether its number array has an axis that advances with it."""


def count_arrays(stages: Iterable[Stage]) -> int:
    """How many number arrays the stages take."""
    return sum(count_arrays(s.body) if isinstance(s, Loop) else isinstance(s, Taker) for s in stages)


def trim(program: Program) -> Program:
    """The program without its last diagonal stages, which no diagonal observable can see."""
    stages = program.stages
    while stages and isinstance(stages[-1], Phases | Table):
        stages = stages[:-1]
    return Program(program.n_qubits, stages)


class _Piece(NamedTuple):
    """A stretch of the parameters: an array [..loops.., length] that begins at entry `first`."""

    array: Array
    first: int
    loops: tuple[bool, ...]


def numbers(program: Program, pieces: Sequence[Array]) -> tuple[list[Array], tuple[Loops, ...]]:
    """The numbers of every stage that takes some.

    Pieces that a stage does not use do not enter its numbers, so a batch over one piece leaves the others unbatched.

    Args:
        program: the program.
        pieces: the parameters, one-dimensional arrays laid end to end.

    Returns:
        One array [..loops.., slots] per stage that takes numbers, in order of time, and which loops advance it.
    """
    firsts = np.cumsum([0, *(piece.shape[0] for piece in pieces)])
    given = [_Piece(piece, int(first), ()) for piece, first in zip(pieces, firsts, strict=False)]
    dtype = jnp.result_type(float) if not pieces else functools.reduce(jnp.promote_types, [p.dtype for p in pieces])
    arrays: list[Array] = []
    leads: list[Loops] = []
    _collect(program.stages, given, (), dtype, arrays, leads)
    return arrays, tuple(leads)


def _collect(
    stages: Sequence[Stage],
    pieces: list[_Piece],
    depth: tuple[int, ...],
    dtype: Any,
    arrays: list[Array],
    leads: list[Loops],
) -> None:
    for stage in stages:
        if isinstance(stage, Loop):
            middle = stage.start + stage.shared
            end = middle + stage.times * stage.advancing
            inner = [p._replace(first=p.first - stage.start) for p in _cut(pieces, stage.start, middle)]
            inner = [p._replace(loops=(*p.loops, False)) for p in inner]
            own = _cut(pieces, middle, end)
            if own:
                row = _join(own)
                array = row.array.reshape((*row.array.shape[:-1], stage.times, stage.advancing))
                array = jnp.flip(array, -2) if stage.backwards else array
                inner.append(_Piece(array, stage.shared, (*row.loops, True)))
            _collect(stage.body, inner, (*depth, stage.times), dtype, arrays, leads)
        elif isinstance(stage, Taker):
            array, loops = _evaluate(stage.slots, pieces, len(depth), dtype)
            arrays.append(array)
            leads.append(loops)


def _cut(pieces: Sequence[_Piece], low: int, high: int) -> list[_Piece]:
    """The stretches that lie in [low, high)."""
    cut = []
    for array, first, loops in pieces:
        a, b = max(low, first), min(high, first + array.shape[-1])
        if a < b:
            cut.append(_Piece(array[..., a - first : b - first], a, loops))
    return cut


def _join(pieces: Sequence[_Piece]) -> _Piece:
    """Neighbouring stretches as one."""
    if len(pieces) == 1:
        return pieces[0]
    loops = tuple(any(flags) for flags in zip(*(p.loops for p in pieces), strict=True))
    sizes: dict[int, int] = {}
    for piece in pieces:
        axis = 0
        for level, flag in enumerate(piece.loops):
            if flag:
                sizes[level] = piece.array.shape[axis]
                axis += 1
    whole = tuple(sizes[level] for level, flag in enumerate(loops) if flag)
    spread = []
    for piece in pieces:
        shape = tuple(sizes[level] if piece.loops[level] else 1 for level, flag in enumerate(loops) if flag)
        array = piece.array.reshape((*shape, piece.array.shape[-1]))
        spread.append(jnp.broadcast_to(array, (*whole, array.shape[-1])))
    return _Piece(jnp.concatenate(spread, -1), pieces[0].first, loops)


def _evaluate(slots: Sequence[Sum], pieces: Sequence[_Piece], depth: int, dtype: Any) -> tuple[Array, tuple[bool, ...]]:
    """The numbers of one stage and, for each loop around it, whether they advance."""
    const = np.array([slot.const for slot in slots])
    used = {index for slot in slots for index, _ in slot.terms}
    needed = [p for p in pieces if any(p.first <= i < p.first + p.array.shape[-1] for i in used)]
    if not needed:
        return jnp.asarray(const, dtype), (False,) * depth
    gapless = all(a.first + a.array.shape[-1] == b.first for a, b in itertools.pairwise(needed))
    row = _join(needed if gapless else [p for p in pieces if needed[0].first <= p.first <= needed[-1].first])
    array = row.array.astype(dtype)
    length = array.shape[-1]
    single = [slot.terms[0] if len(slot.terms) == 1 else (-1, 0.0) for slot in slots]
    columns = np.array([index - row.first for index, _ in single])
    scales = np.array([scale for _, scale in single])
    if columns[0] >= 0 and np.array_equal(columns, np.arange(columns[0], columns[0] + len(slots))):
        picked = array[..., columns[0] : columns[0] + len(slots)]
        picked = picked if np.all(scales == 1.0) else picked * _row(scales, picked, dtype)
    elif columns[0] >= 0 and np.all(columns == columns[0]):
        picked = array[..., columns[0] : columns[0] + 1]
        picked = picked * _row(scales, picked, dtype)
    elif length * len(slots) <= MATMUL_LIMIT:
        chooser = np.zeros((length, len(slots)))
        for k, slot in enumerate(slots):
            for index, scale in slot.terms:
                chooser[index - row.first, k] = scale
        picked = jnp.matmul(array, jnp.asarray(chooser, dtype), precision=jax.lax.Precision.HIGHEST)
    else:
        picked = jnp.zeros((*array.shape[:-1], len(slots)), dtype)
        for t in range(max(len(slot.terms) for slot in slots)):
            taken = [slot.terms[t] if t < len(slot.terms) else (row.first, 0.0) for slot in slots]
            chosen = array[..., np.array([index - row.first for index, _ in taken])]
            picked = picked + chosen * _row(np.array([scale for _, scale in taken]), chosen, dtype)
    return (picked + _row(const, picked, dtype) if const.any() else picked), row.loops


def _row(values: np.ndarray, like: Array, dtype: Any) -> Array:
    """A row that broadcasts against an array of any rank without promoting ranks."""
    return jnp.asarray(values, dtype).reshape((1,) * (like.ndim - 1) + values.shape)
