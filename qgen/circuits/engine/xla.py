"""The XLA engine: runs a program anywhere, with an adjoint gradient whose memory does not grow with depth."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from qgen.circuits.engine import Prepared, first_order, moves, phases, turns
from qgen.circuits.program import Affine, Dense, Flip, Loop, Loops, Phases, Program, Stage, Table, Turns, count_arrays
from qgen.types import Array

CHUNK_BYTES = 1 << 18
"""A batch runs in chunks whose states take about this much memory, so that a chunk stays in the second-level cache."""

CHUNK_FROM = 1 << 21
"""Batches whose states take less than this are run whole: a loop has its price too."""


def evolve(program: Program, numbers: Sequence[Array], loops: tuple[Loops, ...], state: Array, gradient: str) -> Array:
    """The state after the program.

    Args:
        program: the stages.
        numbers: one array per stage that takes numbers, as made by `program.numbers`.
        loops: which loops advance each of them.
        state: real [2, 2**n]: real and imaginary parts.
        gradient: "adjoint": reverse mode that runs the program backwards, at a memory of a few states whatever the
            depth; "autodiff": jax's own rules, in any mode and order, at a memory that grows with depth.

    Returns:
        Real [2, 2**n].
    """
    if gradient == "autodiff":
        return _single(program, loops, tuple(numbers), state)
    return _adjoint(program, loops, tuple(numbers), state)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _adjoint(program: Program, loops: tuple[Loops, ...], numbers: tuple[Array, ...], state: Array) -> Array:
    return _batchable_forward(program, loops)(numbers, state)


def _adjoint_forward(program: Program, loops: tuple[Loops, ...], numbers: tuple[Array, ...], state: Array) -> Any:
    numbers, state = first_order((numbers, state))
    after = _batchable_forward(program, loops)(numbers, state)
    return after, (numbers, after)


def _adjoint_backward(program: Program, loops: tuple[Loops, ...], kept: Any, lam: Array) -> Any:
    numbers, after = kept
    return _batchable_backward(program, loops)(numbers, after, lam)


_adjoint.defvjp(_adjoint_forward, _adjoint_backward)


def _single(program: Program, loops: tuple[Loops, ...], numbers: tuple[Array, ...], state: Array) -> Array:
    none = (False,) * len(loops)
    prepared = _prepare(program, numbers, loops, none)
    return _forward(program.stages, prepared, loops, state, program.n_qubits, False, none)


@functools.lru_cache(maxsize=512)
def _batchable_forward(program: Program, loops: tuple[Loops, ...]) -> Any:
    n = program.n_qubits

    @custom_vmap
    def run(numbers: tuple[Array, ...], state: Array) -> Array:
        return _single(program, loops, numbers, state)

    @run.def_vmap
    def _(size: int, batched: Any, numbers: tuple[Array, ...], state: Array) -> Any:
        own = tuple(batched[0])

        def chunk(given: tuple[Array, ...], x: Array) -> Array:
            prepared = _prepare(program, _last(given, own), loops, own)
            return _turned(_forward(program.stages, prepared, loops, _turned(x), n, True, own))

        state = state if batched[1] else jnp.broadcast_to(state, (size, *state.shape))
        return _chunked(chunk, size, n, numbers, own, (state,)), True

    return run


@functools.lru_cache(maxsize=512)
def _batchable_backward(program: Program, loops: tuple[Loops, ...]) -> Any:
    n = program.n_qubits

    @custom_vmap
    def run(numbers: tuple[Array, ...], psi: Array, lam: Array) -> Any:
        none = (False,) * len(loops)
        prepared = _prepare(program, numbers, loops, none)
        (_, lam), grads = _backward(program.stages, prepared, numbers, loops, (psi, lam), n, False, none)
        return tuple(grads), lam

    @run.def_vmap
    def _(size: int, batched: Any, numbers: tuple[Array, ...], psi: Array, lam: Array) -> Any:
        own = tuple(batched[0])

        def chunk(given: tuple[Array, ...], psi: Array, lam: Array) -> Any:
            arrays = _last(given, own)
            prepared = _prepare(program, arrays, loops, own)
            both = (_turned(psi), _turned(lam))
            (_, lam), grads = _backward(program.stages, prepared, arrays, loops, both, n, True, own)
            return tuple(jnp.moveaxis(g, -1, 0) for g in grads), _turned(lam)

        psi = psi if batched[1] else jnp.broadcast_to(psi, (size, *psi.shape))
        lam = lam if batched[2] else jnp.broadcast_to(lam, (size, *lam.shape))
        result = _chunked(chunk, size, n, numbers, own, (psi, lam))
        return result, jax.tree.map(lambda _: True, result)

    return run


def _turned(x: Array) -> Array:
    """[B, 2, N] -> [N, 2, B] and back."""
    return x.transpose(2, 1, 0)


def _last(numbers: Sequence[Array], own: Sequence[bool]) -> tuple[Array, ...]:
    """The batch axis, first in batched numbers, made last."""
    return tuple(jnp.moveaxis(a, 0, -1) if flag else a for a, flag in zip(numbers, own, strict=True))


def _chunked(run: Any, size: int, n: int, numbers: Sequence[Array], own: Sequence[bool], states: Any) -> Any:
    """Runs a batch in equal chunks of at most about CHUNK_BYTES; the last is filled up with zeros."""
    each = 2 ** (n + 1) * states[0].dtype.itemsize
    most = max(8, CHUNK_BYTES // each)
    if size * each <= CHUNK_FROM or size < 2 * most:
        return run(tuple(numbers), *states)
    count = -(-size // most)
    chunk = -(-size // count)

    def split(a: Array) -> Array:
        if count * chunk > size:
            a = jnp.concatenate([a, jnp.zeros((count * chunk - size, *a.shape[1:]), a.dtype)])
        return a.reshape(count, chunk, *a.shape[1:])

    def step(_: None, xs: Any) -> Any:
        given, parts = xs
        arriving = iter(given)
        merged = tuple(next(arriving) if flag else a for a, flag in zip(numbers, own, strict=True))
        return None, run(merged, *parts)

    moving = [split(a) for a, flag in zip(numbers, own, strict=True) if flag]
    _, result = jax.lax.scan(step, None, (moving, [split(x) for x in states]))
    return jax.tree.map(lambda y: y.reshape(count * chunk, *y.shape[2:])[:size], result)


def _prepare(program: Program, numbers: Sequence[Array], loops: Sequence[Loops], own: Sequence[bool]) -> list[Prepared]:
    """Turns all numbers into matrices and phases, for all turns of the loops at once."""
    takers = list(_takers(program.stages))
    found = []
    for stage, array, lead, mine in zip(takers, numbers, loops, own, strict=True):
        if isinstance(stage, Turns):
            found.append(turns.prepare(stage, array, program.n_qubits, mine))
        else:
            found.append(phases.prepare(stage, array, program.n_qubits, mine, lead))
    return found


def _takers(stages: Sequence[Stage]) -> Iterator[Turns | Phases]:
    for stage in stages:
        if isinstance(stage, Loop):
            yield from _takers(stage.body)
        elif isinstance(stage, Turns | Phases):
            yield stage


def _forward(
    stages: Sequence[Stage],
    prepared: Sequence[Prepared],
    loops: Sequence[Loops],
    x: Array,
    n: int,
    batched: bool,
    own: Sequence[bool],
) -> Array:
    place = 0
    for stage in stages:
        count = count_arrays([stage])
        here = slice(place, place + count)
        place += count
        if isinstance(stage, Loop):
            x = _loop(stage, prepared[here], loops[here], x, n, batched, own[here])
        elif isinstance(stage, Turns):
            x = turns.run(stage, prepared[here][0], x, n, batched, own[here][0])
        elif isinstance(stage, Phases):
            x = phases.run(stage, prepared[here][0], x, n, batched, own[here][0])
        else:
            x = _plain(stage, x, n, batched, False)
    return x


def _plain(stage: Stage, x: Array, n: int, batched: bool, inverse: bool) -> Array:
    """A stage without numbers."""
    if isinstance(stage, Affine | Flip):
        return moves.permute(stage, x, n, batched, inverse)
    assert isinstance(stage, Table | Dense)
    return moves.fixed(stage, x, n, batched, inverse)


def _merge(prepared: Sequence[Prepared], moving: Sequence[Any], loops: Sequence[Loops]) -> list[Prepared]:
    """The prepared numbers of one turn: what advances comes from the scan."""
    arriving = iter(moving)
    return [Prepared(next(arriving), p.still) if lead[0] else p for p, lead in zip(prepared, loops, strict=True)]


def _loop(
    stage: Loop,
    prepared: Sequence[Prepared],
    loops: Sequence[Loops],
    x: Array,
    n: int,
    batched: bool,
    own: Sequence[bool],
) -> Array:
    inner = [lead[1:] for lead in loops]
    advancing = [p.moving for p, lead in zip(prepared, loops, strict=True) if lead[0]]

    def turn(x: Array, moving: Any) -> tuple[Array, None]:
        return _forward(stage.body, _merge(prepared, moving, loops), inner, x, n, batched, own), None

    return jax.lax.scan(turn, x, advancing, length=stage.times)[0]


def _backward(
    stages: Sequence[Stage],
    prepared: Sequence[Prepared],
    numbers: Sequence[Any],
    loops: Sequence[Loops],
    both: tuple[Array, ...],
    n: int,
    batched: bool,
    own: Sequence[bool],
) -> tuple[tuple[Array, ...], list[Array]]:
    """Undoes the stages on the state and on its cotangent; collects the derivatives with respect to all numbers."""
    place = len(prepared)
    grads: list[list[Array]] = []
    for stage in reversed(stages):
        count = count_arrays([stage])
        here = slice(place - count, place)
        place -= count
        if isinstance(stage, Loop):
            both, found = _loop_back(stage, prepared[here], numbers[here], loops[here], both, n, batched, own[here])
            grads.append(found)
        elif isinstance(stage, Turns):
            grads.append([turns.gradient(stage, both[1], both[0], n, batched)])
            both = tuple(turns.run(stage, prepared[here][0], v, n, batched, own[here][0], True) for v in both)
        elif isinstance(stage, Phases):
            grads.append([phases.gradient(stage, prepared[here][0], both[1], both[0], n, batched)])
            both = tuple(phases.run(stage, prepared[here][0], v, n, batched, own[here][0], True) for v in both)
        else:
            both = tuple(_plain(stage, v, n, batched, True) for v in both)
    return both, [g for group in reversed(grads) for g in group]


def _loop_back(
    stage: Loop,
    prepared: Sequence[Prepared],
    numbers: Sequence[Any],
    loops: Sequence[Loops],
    both: tuple[Array, ...],
    n: int,
    batched: bool,
    own: Sequence[bool],
) -> tuple[tuple[Array, ...], list[Array]]:
    inner = [lead[1:] for lead in loops]
    size = (both[0].shape[-1],) if batched else ()

    def shape(array: Array, mine: bool) -> tuple[int, ...]:
        return (*(array.shape[:-1] if mine else array.shape), *size)

    kept = [k for k, lead in enumerate(loops) if not lead[0]]
    moved = [k for k, lead in enumerate(loops) if lead[0]]
    zeros = [jnp.zeros(shape(numbers[k], own[k]), both[0].dtype) for k in kept]
    advancing = [prepared[k].moving for k in moved]
    slices = [
        jax.ShapeDtypeStruct(a.shape[1:], a.dtype) if lead[0] else a for a, lead in zip(numbers, loops, strict=True)
    ]

    def turn(carry: Any, moving: Any) -> Any:
        both, sums = carry
        merged = _merge(prepared, moving, loops)
        both, grads = _backward(stage.body, merged, slices, inner, both, n, batched, own)
        sums = [s + grads[k] for s, k in zip(sums, kept, strict=True)]
        return (both, sums), [grads[k] for k in moved]

    (both, sums), rows = jax.lax.scan(turn, (both, zeros), advancing, length=stage.times, reverse=True)
    found: list[Any] = [None] * len(numbers)
    for k, total in zip(kept, sums, strict=True):
        found[k] = total
    for k, row in zip(moved, rows, strict=True):
        found[k] = row
    return both, found
