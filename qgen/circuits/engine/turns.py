"""How XLA runs layers of real rotations: blocks of the layer as matrices, or one qubit after the other for a batch."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits.engine import EXACT, Prepared, settle
from qgen.circuits.engine.trigonometry import cos_sin
from qgen.circuits.program import Turns
from qgen.types import Array

BLOCK = 5
"""Qubits per matrix product of a real layer: 4 and 5 are equally fast, larger blocks waste arithmetic."""


ROTATE_LIMIT = 18
"""Up to this many qubits a real layer's products pass the axes round; above, moving the amplitudes costs more."""

PAIR_LIMIT = 6
"""Derivatives of a real layer are summed over pairs of amplitudes up to this many qubits: it is one small loop."""


COPIES = 1 << 8
"""Fixed blocks are copied for matrix products up to so many times at compile time, and above in the program."""


class Window(NamedTuple):
    """A run of neighbouring qubits that one matrix acts on; `members` are positions in the stage's qubits."""

    first: int
    size: int
    members: tuple[int, ...]


@functools.lru_cache(maxsize=1024)
def windows(qubits: tuple[int, ...], n: int) -> tuple[Window, ...]:
    """Splits the qubits into runs of even length, at most BLOCK; the last reaches the register's end if it can."""
    span = qubits[-1] + 1 - qubits[0]
    size = -(-span // -(-span // BLOCK))
    found, left = [], list(range(len(qubits)))
    while left:
        first = qubits[left[0]]
        members = [k for k in left if qubits[k] < first + size]
        last = qubits[members[-1]]
        end = n if len(members) == len(left) and n - first <= BLOCK else last + 1
        found.append(Window(first, end - first, tuple(members)))
        left = left[len(members) :]
    return tuple(found)


def _generators(members: Sequence[int], size: int) -> np.ndarray:
    """For each member, its place in a window, half the real generator of its rotation there, [members, 4**size]."""
    turn = np.array([[0.0, -0.5], [0.5, 0.0]])
    rows = [np.kron(np.kron(np.eye(2**place), turn), np.eye(2 ** (size - place - 1))).reshape(-1) for place in members]
    return np.stack(rows)


def _places(stage: Turns, window: Window) -> list[int]:
    """Where a window's members lie in it."""
    return [stage.qubits[k] - window.first for k in window.members]


def _kinds(stage: Turns, n: int) -> list[tuple[int, tuple[int, ...], list[Window]]]:
    """Runs of windows alike: their size, where their members lie in them, and the windows."""
    groups = itertools.groupby(windows(stage.qubits, n), lambda w: (w.size, tuple(_places(stage, w))))
    return [(size, places, list(group)) for (size, places), group in groups]


def entries(stage: Turns, turns: int, n: int, batched: bool, own: bool) -> int:
    """How many numbers are kept if the blocks of so many turns of the loops are made at once."""
    return 0 if own else turns * sum(4**window.size for window in windows(stage.qubits, n))


def prepare(stage: Turns, t: Array, n: int, batched: bool, own: bool, ready: bool, inverse: bool) -> Prepared:
    """Block matrices as of `_blocks`; unless `ready`, the rotations [..loops.., slots, 2, 2] to build them from later.

    For the inverse they are transposed here: products with a transposed operand take up to twice as long.

    Where every example has its own angles: cosines and sines [..loops.., slots, 2, B].
    """
    if own:
        return Prepared(jnp.stack(cos_sin(t / 2), -2))
    signs = np.where(stage.flips, -1.0, 1.0).astype(t.dtype)
    if any(slot.terms for slot in stage.slots):
        c, s = cos_sin(t / 2)
        signs = jnp.asarray(signs).reshape((1,) * (t.ndim - 1) + (-1,))
        small = jnp.stack([jnp.stack([c, -s * signs], -1), jnp.stack([s, c * signs], -1)], -2)
        # XLA would fuse the sines into every product and compute them again for every entry.
        small = jax.lax.optimization_barrier(small)
    else:  # fixed rotations are constants, which need no code
        half = np.array([slot.const for slot in stage.slots], t.dtype) / 2
        c, s = np.cos(half), np.sin(half)
        small = np.stack([np.stack([c, -s * signs], -1), np.stack([s, c * signs], -1)], -2)
    small = small.swapaxes(-1, -2) if inverse else small
    return Prepared(_blocks(stage, n, batched, small) if ready else small)


def _blocks(stage: Turns, n: int, batched: bool, small: Any) -> tuple[Any, ...]:
    """The Kronecker products of the windows' rotations, stacked for windows alike: [..loops.., windows, K, K] each."""
    lead = small.shape[:-3]
    found = []
    for size, places, group in _kinds(stage, n):
        members = [k for window in group for k in window.members]
        rows = small[..., members[0] : members[-1] + 1, :, :].reshape(*lead, -1, len(places), 2, 2)
        found.append(_block({p: rows[..., k, :, :] for k, p in enumerate(places)}, size, rows.shape[:-3]))
    return tuple(found)


def _block(rotations: Mapping[int, Any], size: int, lead: tuple[int, ...]) -> Any:
    """The Kronecker product of rotations at some places, as one product of broadcast factors: XLA makes it one loop."""
    dtype = next(iter(rotations.values())).dtype
    block = np.ones((1,) * (len(lead) + 2 * size), dtype)
    for place in range(size):
        factor = rotations.get(place, np.eye(2, dtype=dtype).reshape((1,) * len(lead) + (2, 2)))
        shape = tuple(2 if axis == place else 1 for axis in range(size))
        block = block * factor.reshape((*factor.shape[:-2], *shape, *shape))
    block = block.reshape((*lead, 2**size, 2**size))
    return block if isinstance(block, np.ndarray) else jax.lax.optimization_barrier(block)


def _view(x: Array, window: Window, batched: bool) -> tuple[int, int, int]:
    before = 2**window.first * (1 if batched else 2)
    return before, 2**window.size, x.size // before // 2**window.size


def _multiply(x: Array, block: Array, window: Window, batched: bool) -> Array:
    """One block on its window: batched matrix products in place, without moving the axes."""
    before, size, after = _view(x, window, batched)
    if isinstance(block, np.ndarray):
        # As many copies as are needed, which then need no code, where they are few. The barrier keeps XLA from running
        # a fixed layer on a fixed state at compile time, which takes seconds.
        copies = before if 1 < before <= COPIES and after > 1 else 1
        block = jax.lax.optimization_barrier(jnp.asarray(np.tile(block, (copies, 1, 1)) if copies > 1 else block))
    if after == 1:
        y = jax.lax.dot_general(x.reshape(before, size), block, (((1,), (1,)), ((), ())), precision=EXACT)
    elif before == 1:
        y = jax.lax.dot_general(block, x.reshape(size, after), (((1,), (0,)), ((), ())), precision=EXACT)
    else:
        stack = block if block.ndim == 3 else jnp.broadcast_to(block, (before, size, size))
        numbers = (((2,), (1,)), ((0,), (0,)))
        y = jax.lax.dot_general(stack, x.reshape(before, size, after), numbers, precision=EXACT)
    return y.reshape(x.shape)


def _overlap(lam: Array, psi: Array, window: Window, batched: bool) -> Array:
    """sum over everything outside the window, and over a batch, of lam[i] psi[j], [K, K]."""
    before, size, after = _view(lam, window, batched)
    lam, psi = lam.reshape(before, size, after), psi.reshape(before, size, after)
    if after == 1:
        return jnp.matmul(lam[:, :, 0].T, psi[:, :, 0], precision=EXACT)
    numbers = (((2,), (2,)), ((0,), (0,)))
    return jax.lax.dot_general(lam, psi, numbers, precision=EXACT).sum(0)


def _rotates(stage: Turns, n: int, batched: bool) -> bool:
    """Whether products pass the axes round, without a batch: all qubits of a register that the caches hold turn."""
    return BLOCK < n <= ROTATE_LIMIT and not batched and len(stage.qubits) == n


def _rotate(block: Array, y: Array) -> Array:
    """One block on the last qubits, which become the first."""
    numbers = (((1,), (1,)), ((), ()))
    return jax.lax.dot_general(block, y.reshape(-1, block.shape[0]), numbers, precision=EXACT).reshape(y.shape)


def _all_lanes(x: Array, numbers: Array, stage: Turns, inverse: bool) -> Array:
    """Every example's own rotations of all qubits: a loop, whose code does not grow with the register.

    Two turns at a time let the state pass to another place and back, so that the loop need not copy it.
    """

    def turn(x: Array, given: Any) -> tuple[Array, None]:
        return _turn_first(x, settle(given[0]), given[1], inverse), None

    return jax.lax.scan(turn, x, (numbers, _signs(stage, x.dtype)), unroll=2)[0]


def _signs(stage: Turns, dtype: Any) -> Any:
    """The flips as a sign per qubit; None where there is no flip."""
    return jnp.asarray(np.where(stage.flips, -1.0, 1.0), dtype) if any(stage.flips) else None


def _turn_first(x: Array, numbers: Array, sign: Any, inverse: bool) -> Array:
    """Every example's own rotation of the first qubit, which becomes the last: one sweep through the memory."""
    cos, sin = numbers.reshape(2, 1, 1, -1)
    a, b = x.reshape(2, -1, *x.shape[1:])
    if inverse:
        pair = [cos * a + sin * b, cos * b - sin * a]
        pair = pair if sign is None else [pair[0], pair[1] * sign]
    else:
        b = b if sign is None else b * sign
        pair = [cos * a - sin * b, sin * a + cos * b]
    # Without the barrier XLA fuses the rotations and computes each amplitude from 2**qubits others.
    return jax.lax.optimization_barrier(jnp.stack(pair, 1).reshape(x.shape))


def _lanes(x: Array, numbers: Array, stage: Turns, inverse: bool) -> Array:
    """Every example's own rotations of a few qubits, one after the other; the loops run over the batch."""
    numbers = settle(numbers)
    for k, q in enumerate(stage.qubits):
        y = x.reshape(2**q, 2, -1, x.shape[-1])
        a, b = y[:, 0], y[:, 1]
        cos, sin = numbers[k].reshape(2, 1, 1, -1)
        if stage.flips[k]:
            pair = [cos * a + sin * b, sin * a - cos * b]
        elif inverse:
            pair = [cos * a + sin * b, cos * b - sin * a]
        else:
            pair = [cos * a - sin * b, sin * a + cos * b]
        # The same barrier as in `_turn_first`.
        x = jax.lax.optimization_barrier(jnp.stack(pair, 1).reshape(x.shape))
    return x


def run(stage: Turns, prepared: Prepared, x: Array, n: int, batched: bool, own: bool, inverse: bool = False) -> Array:
    """Applies a real layer or its inverse, for which it was prepared; `own`: every example has angles of its own."""
    if own:
        return (_all_lanes if len(stage.qubits) == n else _lanes)(x, prepared.moving, stage, inverse)
    return _run(stage, _ready(stage, prepared, x, n, batched), x, n, batched)


def _run(stage: Turns, blocks: tuple[Any, ...], x: Array, n: int, batched: bool) -> Array:
    if _rotates(stage, n, batched):
        y = x
        for group in reversed(blocks):
            # Two turns at a time: the state passes to another place and back, and the loop need not copy it.
            turn = lambda y, block: (_rotate(block, y), None)  # noqa: E731
            y, _ = jax.lax.scan(turn, y, group, reverse=True, unroll=2)
        return y.reshape(-1, 2).T
    each = (group[k] for group in blocks for k in range(group.shape[0]))
    for window, block in zip(windows(stage.qubits, n), each, strict=True):
        x = _multiply(x, block, window, batched)
    return x


def _ready(stage: Turns, prepared: Prepared, x: Array, n: int, batched: bool) -> tuple[Any, ...]:
    """The blocks, made now where they were not made for all turns of the loops at once."""
    moving = prepared.moving
    if n > ROTATE_LIMIT:
        # XLA would copy all layers' blocks at first and keep them, and forgets barriers before it orders its work. What
        # is added is always 0, but not before the state is there.
        never = (x.reshape(-1)[0] > np.inf).astype(x.dtype)
        moving = jax.tree.map(lambda block: block + jnp.full((1,) * block.ndim, never), moving)
    return moving if isinstance(moving, tuple) else _blocks(stage, n, batched, moving)


def undo(
    stage: Turns, prepared: Prepared, psi: Array, lam: Array, n: int, batched: bool, own: bool, summed: bool
) -> tuple[Array, Array, Array]:
    """Undoes a real layer on both states; also the derivatives as of `_gradient`."""
    if own and len(stage.qubits) == n:
        return _undo_lanes(stage, prepared.moving, psi, lam)
    if _rotates(stage, n, batched) and n > PAIR_LIMIT:
        return _undo_blocks(stage, _ready(stage, prepared, psi, n, batched), psi, lam)
    grads = _gradient(stage, lam, psi, n, batched, summed)
    if own:
        psi, lam = (_lanes(v, prepared.moving, stage, True) for v in (psi, lam))
    else:
        blocks = _ready(stage, prepared, psi, n, batched)
        psi, lam = (_run(stage, blocks, v, n, batched) for v in (psi, lam))
    return psi, lam, grads


def _undo_lanes(stage: Turns, numbers: Array, psi: Array, lam: Array) -> tuple[Array, Array, Array]:
    def turn(both: tuple[Array, Array], given: Any) -> Any:
        rotation, sign = settle(given[0]), given[1]
        row = _row(*(v.reshape(1, 2, -1, v.shape[-1]) for v in reversed(both)))
        psi, lam = (_turn_first(v, rotation, sign, True) for v in both)
        return (psi, lam), row[0]

    (psi, lam), grads = jax.lax.scan(turn, (psi, lam), (numbers, _signs(stage, psi.dtype)), unroll=2)
    return psi, lam, grads


def _undo_blocks(stage: Turns, blocks: tuple[Any, ...], psi: Array, lam: Array) -> tuple[Array, Array, Array]:
    def turn(both: tuple[Array, Array], block: Array) -> Any:
        # Derivatives from the states before the layer, where a flip changes their sign: from those after it, the loop
        # would have to keep these.
        psi, lam = (_rotate(block, v) for v in both)
        right, left = (v.reshape(block.shape[0], -1) for v in (psi, lam))
        return (psi, lam), jnp.matmul(left, right.T, precision=EXACT)

    parts = []
    for group in reversed(blocks):
        (psi, lam), overlaps = jax.lax.scan(turn, (psi, lam), group, reverse=True, unroll=2)
        size = int(math.log2(group.shape[-1]))
        table = jnp.asarray(_generators(range(size), size).T, psi.dtype)
        parts.append(jnp.matmul(overlaps.reshape(-1, table.shape[0]), table, precision=EXACT).reshape(-1))
    signs = jnp.asarray(np.where(stage.flips, -1.0, 1.0), psi.dtype)
    return psi.reshape(-1, 2).T, lam.reshape(-1, 2).T, jnp.concatenate(parts[::-1]) * signs


def _pairs(stage: Turns, lam: Array, psi: Array, n: int) -> Array:
    """The derivatives as sums over all pairs of strings that differ in the qubit: one loop for the whole layer."""
    strings = np.arange(2**n, dtype=np.int32)
    bits = np.array([1 << (n - 1 - q) for q in stage.qubits], np.int32)[:, None]
    signs = jnp.asarray(np.where(strings & bits, 0.5, -0.5), psi.dtype)
    partners = jnp.asarray(strings ^ bits).reshape(1, -1)
    moved = jnp.take_along_axis(psi, jnp.broadcast_to(partners, (2, partners.size)), 1, mode="promise_in_bounds")
    return jnp.sum(moved.reshape(2, *signs.shape) * lam[:, None] * signs[None], (0, 2))


def _row(left: Array, right: Array) -> Array:
    """Every example's derivative of one rotation, from both states as [.., 2, .., B]: [1, B]."""
    product = left[:, 1] * right[:, 0] - left[:, 0] * right[:, 1]
    # A product with ones: XLA's own sum over the slow axes does not run along the batch.
    product = jax.lax.optimization_barrier(product.reshape(-1, product.shape[-1]))
    return jnp.matmul(jnp.full((1, product.shape[0]), 0.5, product.dtype), product, precision=EXACT)


def _gradient(stage: Turns, lam: Array, psi: Array, n: int, batched: bool, summed: bool) -> Array:
    """Derivatives with respect to the angles, from both states after the layer: [slots] or [slots, B].

    With `summed` those of a batch are summed, [slots].
    """
    if batched and not summed:
        pairs = ((v.reshape(2**q, 2, -1, v.shape[-1]) for v in (lam, psi)) for q in stage.qubits)
        return jnp.concatenate([_row(*pair) for pair in pairs], 0)
    if n <= PAIR_LIMIT and not batched:
        return _pairs(stage, lam, psi, n)
    parts = []
    for size, places, group in _kinds(stage, n):
        overlaps = [_overlap(lam, psi, window, batched) for window in group]
        table = jnp.asarray(_generators(places, size).T, psi.dtype)
        parts.append(jnp.matmul(jnp.stack(overlaps).reshape(len(overlaps), -1), table, precision=EXACT).reshape(-1))
    return jnp.concatenate(parts)
