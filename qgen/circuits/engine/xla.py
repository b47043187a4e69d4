"""The XLA engine: runs a program anywhere, with an adjoint gradient whose memory does not grow with depth."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits.engine import READY_LIMIT, Prepared, batches, derivatives, mirrors, moves, phases, turns, vary_alike
from qgen.circuits.engine.derivatives import Arrays
from qgen.circuits.program import (
    Affine,
    Dense,
    Flip,
    Loop,
    Loops,
    Mirror,
    Phases,
    Program,
    Stage,
    Table,
    Taker,
    Turns,
    count_arrays,
)
from qgen.types import Array

APART_FROM = 12
"""From this many qubits on the way back makes its phases again: XLA would keep those of the way there, all of them."""

MOST_STATES = 8
"""State vectors that live at one time in a gradient by the adjoint rule (XLA's own count from 14 qubits on: 4.5 to 8);
what the check of memory counts."""


def evolve(program: Program, numbers: Sequence[Array], loops: tuple[Loops, ...], state: Array, gradient: str) -> Array:
    """The state after the program.

    Args:
        program: the stages.
        numbers: one array per stage that takes numbers, as made by `program.numbers`.
        loops: which loops advance each of them.
        state: real [2, 2**n]: real and imaginary parts.
        gradient: "adjoint": reverse mode that runs the program backwards, at a memory of a few states whatever the
            depth, and jax's own rules for all other derivatives; "autodiff": jax's own rules for all, at a memory
            that grows with depth.

    Returns:
        Real [2, 2**n].
    """
    if gradient == "autodiff":
        return _single(program, loops, tuple(numbers), state)
    return derivatives.evaluate(_Run(program, loops), (*numbers, state))[0]


def zero_state(n: int, dtype: Any) -> Array:
    """|0...0>, real [2, 2**n]."""
    return jnp.zeros((2, 2**n), dtype).at[0, 0].set(1)


def begin(program: Program, dtype: Any) -> tuple[Program, Array]:
    """|0...0> after the fixed rotations that the program begins with, real [2, 2**n], and the rest of the program."""
    n, first = program.n_qubits, program.stages[0] if program.stages else None
    if not isinstance(first, Turns) or any(slot.terms for slot in first.slots):
        return program, zero_state(n, dtype)
    half = np.array([slot.const for slot in first.slots]) / 2
    amplitudes = np.tile([1.0, 0.0], (n, 1))
    amplitudes[list(first.qubits)] = np.stack([np.cos(half), np.sin(half)], -1)
    high, low = (functools.reduce(np.kron, part, np.ones(1)) for part in np.split(amplitudes, [n - n // 2]))
    # The barrier keeps XLA from multiplying the state out at compile time.
    high, low = jax.lax.optimization_barrier((jnp.asarray(high, dtype), jnp.asarray(low, dtype)))
    state = jnp.outer(high, low).reshape(-1)
    return Program(n, program.stages[1:]), jnp.stack([state, jnp.zeros_like(state)])


@dataclasses.dataclass(frozen=True)
class _Run:
    """Numbers and a state to the state after a program (see `derivatives.Rule`)."""

    program: Program
    loops: tuple[Loops, ...]
    sums: ClassVar[bool] = True

    def value(self, *inputs: Array) -> Arrays:
        return batches.run(_Forward(self.program, self.loops), *inputs)

    def forward(self, *inputs: Array) -> tuple[Arrays, Arrays]:
        return self.value(*inputs), ()

    def backward(
        self, inputs: Arrays, results: Arrays, kept: Arrays, cotangents: Arrays, shared: tuple[bool, ...]
    ) -> Arrays:
        job = _Backward(self.program, self.loops, shared)
        return tuple(vary_alike(batches.run(job, *inputs[:-1], results[0], cotangents[0])))

    def plain(self, *inputs: Array) -> Arrays:
        return (_single(self.program, self.loops, inputs[:-1], inputs[-1]),)


def _single(program: Program, loops: tuple[Loops, ...], numbers: tuple[Array, ...], state: Array) -> Array:
    none = (False,) * len(loops)
    prepared = _prepare(program, numbers, loops, False, none)
    return _forward(program.stages, prepared, loops, state, program.n_qubits, False, none)


@dataclasses.dataclass(frozen=True)
class _Forward:
    """Numbers and a state to the state after a program (see `batches.Job`)."""

    program: Program
    loops: tuple[Loops, ...]

    def like(self, inputs: Any) -> Any:
        return inputs[-1:]

    def single(self, *inputs: Array) -> Arrays:
        return (_single(self.program, self.loops, inputs[:-1], inputs[-1]),)

    def batch(self, size: int, batched: tuple[bool, ...], inputs: Arrays) -> tuple[Arrays, tuple[bool, ...]]:
        program, loops, n = self.program, self.loops, self.program.n_qubits
        numbers, state, own = inputs[:-1], inputs[-1], batched[:-1]

        def chunk(lanes: int, given: tuple[Array, ...], *parts: Array) -> Array:
            prepared = _prepare(program, batches.last(given, own), loops, True, own)
            # A shared state is spread over each chunk on its own, not over the whole batch's memory.
            x = batches.turned(parts[0]) if parts else jnp.broadcast_to(state.T[:, :, None], (2**n, 2, lanes))
            return batches.turned(_forward(program.stages, prepared, loops, x, n, True, own))

        return (batches.chunked(chunk, size, n, state.dtype, numbers, own, (state,) if batched[-1] else ()),), (True,)


@dataclasses.dataclass(frozen=True)
class _Backward:
    """Undoes a program: numbers, the state after it and its cotangent to those of all numbers and of the state before.

    What is `shared` and has no batch axis gets the sum of its derivatives over the batch (see `batches.Job`).
    """

    program: Program
    loops: tuple[Loops, ...]
    shared: tuple[bool, ...]

    def like(self, inputs: Any) -> Any:
        return (*inputs[:-2], inputs[-1])

    def single(self, *inputs: Array) -> Arrays:
        *numbers, psi, lam = inputs
        none, n = (False,) * len(self.loops), self.program.n_qubits
        prepared = _prepare(self.program, numbers, self.loops, False, none, inverse=True)
        if n >= APART_FROM:
            prepared, psi, lam = jax.lax.optimization_barrier((prepared, psi, lam))
        back = _Back(n, False, none, none)
        (_, lam), grads = back.stages(self.program.stages, prepared, numbers, self.loops, (psi, lam))
        return (*grads, lam)

    def batch(self, size: int, batched: tuple[bool, ...], inputs: Arrays) -> tuple[Arrays, tuple[bool, ...]]:
        program, loops, n, shared = self.program, self.loops, self.program.n_qubits, self.shared
        own = batched[:-2]
        summed = tuple(a and not b for a, b in zip(shared, own, strict=False))

        def chunk(_lanes: int, given: tuple[Array, ...], psi: Array, lam: Array) -> Arrays:
            arrays = batches.last(given, own)
            prepared = _prepare(program, arrays, loops, True, own, inverse=True)
            both = (batches.turned(psi), batches.turned(lam))
            (_, lam), grads = _Back(n, True, own, summed).stages(program.stages, prepared, arrays, loops, both)
            grads = (g if total else jnp.moveaxis(g, -1, 0) for g, total in zip(grads, summed, strict=True))
            return (*grads, jnp.sum(lam, -1).T if shared[-1] else batches.turned(lam))

        states = [x if flag else jnp.broadcast_to(x, (size, *x.shape)) for x, flag in zip(inputs[-2:], batched[-2:])]
        sums = (*summed, shared[-1])
        results = batches.chunked(chunk, size, n, states[0].dtype, inputs[:-2], own, states, sums)
        return results, tuple(not total for total in sums)


def _prepare(
    program: Program,
    numbers: Sequence[Array],
    loops: Sequence[Loops],
    batched: bool,
    own: Sequence[bool],
    inverse: bool = False,
) -> list[Prepared]:
    """Turns all numbers into phases and into matrices, or with `inverse` their inverses: for all turns of the loops at
    once, the smallest stages first, where all of them together take little memory, and else in each turn."""
    n, kept, found = program.n_qubits, 0, {}
    stages = list(_takers(program.stages))
    turned = [math.prod(a.shape[: sum(lead)]) if any(lead) else 0 for a, lead in zip(numbers, loops, strict=True)]
    sizes = [
        _kind(stage).entries(stage, t, n, batched, mine) for stage, t, mine in zip(stages, turned, own, strict=True)
    ]
    for k in sorted(range(len(stages)), key=sizes.__getitem__):
        kept += sizes[k]
        ready = not any(loops[k]) or kept <= max(READY_LIMIT, 2 ** (n + 1))
        stage = stages[k]
        if isinstance(stage, Turns):
            found[k] = turns.prepare(stage, numbers[k], n, batched, own[k], ready, inverse)
        elif isinstance(stage, Mirror):
            found[k] = mirrors.prepare(numbers[k], own[k])
        else:
            found[k] = phases.prepare(stage, numbers[k], n, batched, own[k], loops[k], ready)
    return [found[k] for k in range(len(stages))]


def _takers(stages: Sequence[Stage]) -> Iterator[Taker]:
    for stage in stages:
        if isinstance(stage, Loop):
            yield from _takers(stage.body)
        elif isinstance(stage, Taker):
            yield stage


def _kind(stage: Taker) -> Any:
    """Who prepares, runs and undoes a stage that takes numbers."""
    return {Turns: turns, Phases: phases, Mirror: mirrors}[type(stage)]


def _forward(
    stages: Sequence[Stage],
    prepared: Sequence[Prepared],
    loops: Sequence[Loops],
    x: Array,
    n: int,
    batched: bool,
    own: Sequence[bool],
) -> Array:
    place, several = 0, _several(stages)
    for stage in stages:
        count = count_arrays([stage])
        here = slice(place, place + count)
        place += count
        if isinstance(stage, Loop):
            x = _loop(stage, prepared[here], loops[here], x, n, batched, own[here])
        elif isinstance(stage, Taker):
            x = _kind(stage).run(stage, prepared[here][0], x, n, batched, own[here][0])
        else:
            x = _plain(stage, x, n, batched, False, several)
    return x


def _plain(stage: Stage, x: Array, n: int, batched: bool, inverse: bool, several: bool) -> Array:
    """A stage without numbers; `several` as in `moves.permute`."""
    if isinstance(stage, Affine | Flip):
        return moves.permute(stage, x, n, batched, inverse, several)
    assert isinstance(stage, Table | Dense)
    return moves.fixed(stage, x, n, batched, inverse)


def _several(stages: Sequence[Stage]) -> bool:
    """Whether there are more permutations than two."""
    return sum(isinstance(stage, Affine | Flip) for stage in stages) > 2


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


class _Back(NamedTuple):
    """How a program is undone.

    Attributes:
        n: qubits.
        batched: whether states have a batch axis, their last.
        own: for each number array, whether every example has numbers of its own.
        summed: for each number array, whether its derivative is summed over the batch.
    """

    n: int
    batched: bool
    own: Sequence[bool]
    summed: Sequence[bool]

    def stages(
        self,
        stages: Sequence[Stage],
        prepared: Sequence[Prepared],
        numbers: Sequence[Any],
        loops: Sequence[Loops],
        both: tuple[Array, ...],
    ) -> tuple[tuple[Array, ...], list[Array]]:
        """Undoes stages on the state and on its cotangent; collects the derivatives with respect to all numbers."""
        n, batched = self.n, self.batched
        place, several = len(prepared), _several(stages)
        grads: list[list[Array]] = []
        for stage in reversed(stages):
            count = count_arrays([stage])
            here = slice(place - count, place)
            place -= count
            if isinstance(stage, Loop):
                inner = self._replace(own=self.own[here], summed=self.summed[here])
                both, found = inner.loop(stage, prepared[here], numbers[here], loops[here], both)
                grads.append(found)
            elif isinstance(stage, Taker):
                (given,), (own,), (summed,) = prepared[here], self.own[here], self.summed[here]
                kind = _kind(stage)
                if any(slot.terms for slot in stage.slots):
                    psi, lam, found = kind.undo(stage, given, *both, n, batched, own, summed)
                    both = (psi, lam)
                else:
                    both = tuple(kind.run(stage, given, v, n, batched, own, True) for v in both)
                    size = both[0].shape[-1:] if batched and not summed else ()
                    found = jnp.zeros((len(stage.slots), *size), both[0].dtype)
                grads.append([found])
            else:
                both = tuple(_plain(stage, v, n, batched, True, several) for v in both)
        return both, [g for group in reversed(grads) for g in group]

    def loop(
        self,
        stage: Loop,
        prepared: Sequence[Prepared],
        numbers: Sequence[Any],
        loops: Sequence[Loops],
        both: tuple[Array, ...],
    ) -> tuple[tuple[Array, ...], list[Array]]:
        """Undoes a loop."""
        inner = [lead[1:] for lead in loops]

        def shape(k: int) -> tuple[int, ...]:
            size = both[0].shape[-1:] if self.batched and not self.summed[k] else ()
            return (*(numbers[k].shape[:-1] if self.own[k] else numbers[k].shape), *size)

        kept = [k for k, lead in enumerate(loops) if not lead[0]]
        moved = [k for k, lead in enumerate(loops) if lead[0]]
        zeros = vary_alike([*(jnp.zeros(shape(k), both[0].dtype) for k in kept), both[0]])[:-1]
        advancing = [prepared[k].moving for k in moved]
        slices = [
            jax.ShapeDtypeStruct(a.shape[1:], a.dtype) if lead[0] else a for a, lead in zip(numbers, loops, strict=True)
        ]

        def turn(carry: Any, moving: Any) -> Any:
            both, sums = carry
            merged = _merge(prepared, moving, loops)
            both, grads = self.stages(stage.body, merged, slices, inner, both)
            sums = [s + grads[k] for s, k in zip(sums, kept, strict=True)]
            return (both, sums), [grads[k] for k in moved]

        (both, sums), rows = jax.lax.scan(turn, (both, zeros), advancing, length=stage.times, reverse=True)
        found: list[Any] = [None] * len(numbers)
        for k, total in zip(kept, sums, strict=True):
            found[k] = total
        for k, row in zip(moved, rows, strict=True):
            found[k] = row
        return both, found
