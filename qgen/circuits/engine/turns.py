"""How XLA runs layers of real rotations: blocks of the layer as matrices, or one qubit after the other for a batch."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits.engine import EXACT, READY_LIMIT, Prepared, settle
from qgen.circuits.engine.trigonometry import cos_sin
from qgen.circuits.program import Turns
from qgen.types import Array

BLOCK = 5
"""Qubits per matrix product of a real layer: 4 and 5 are equally fast, larger blocks waste arithmetic."""


ROTATE_LIMIT = 18
"""Up to this many qubits a real layer's products pass the axes round; above, moving the amplitudes costs more."""

PAIR_LIMIT = 6
"""Derivatives of a real layer are summed over pairs of amplitudes up to this many qubits: it is one small loop."""


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


@functools.lru_cache(maxsize=1024)
def _generators(stage: Turns, window: Window) -> np.ndarray:
    """For each member, half the real generator of its rotation within the window, [members, 4**size]."""
    rows = []
    for k in window.members:
        place = stage.qubits[k] - window.first
        turn = np.array([[0.0, -0.5], [0.5, 0.0]])
        rows.append(np.kron(np.kron(np.eye(2**place), turn), np.eye(2 ** (window.size - place - 1))).reshape(-1))
    return np.stack(rows)


def prepare(stage: Turns, t: Array, n: int, own: bool) -> Prepared:
    """Block matrices [..loops.., K, K], or the rotations [..loops.., slots, 2, 2] to build them from in each turn.

    Where every example has its own angles: cosines and sines [..loops.., 2, slots, B].
    """
    c, s = cos_sin(t / 2)
    if own:
        return Prepared(jnp.stack([c, s], -3))
    signs = jnp.asarray([-1.0 if flip else 1.0 for flip in stage.flips], t.dtype).reshape((1,) * (t.ndim - 1) + (-1,))
    small = jnp.stack([jnp.stack([c, -s * signs], -1), jnp.stack([s, c * signs], -1)], -2)
    # XLA would fuse the sines into every product and compute them again for every entry.
    small = jax.lax.optimization_barrier(small)
    tiles = windows(stage.qubits, n)
    entries = math.prod(t.shape[:-1]) * sum(4**window.size for window in tiles)
    if t.ndim > 1 and entries > max(READY_LIMIT, 2 ** (n + 2)):
        return Prepared(small)
    return Prepared(tuple(_block(stage, window, small) for window in tiles))


def _block(stage: Turns, window: Window, small: Array) -> Array:
    """The Kronecker product of a window's rotations, as one product of broadcast factors: XLA makes one loop of it."""
    lead = small.shape[:-3]
    inside = {stage.qubits[k] - window.first: small[..., k, :, :] for k in window.members}
    block = jnp.ones((1,) * (len(lead) + 2 * window.size), small.dtype)
    for place in range(window.size):
        factor = inside.get(place, jnp.eye(2, dtype=small.dtype).reshape((1,) * len(lead) + (2, 2)))
        shape = tuple(2 if axis == place else 1 for axis in range(window.size))
        block = block * factor.reshape((*factor.shape[:-2], *shape, *shape))
    size = 2**window.size
    return jax.lax.optimization_barrier(block.reshape((*lead, size, size)))


def _view(x: Array, window: Window, batched: bool) -> tuple[int, int, int]:
    before = 2**window.first * (1 if batched else 2)
    return before, 2**window.size, x.size // before // 2**window.size


def _multiply(x: Array, block: Array, window: Window, batched: bool, inverse: bool) -> Array:
    """One block, or its transpose, on its window: batched matrix products in place, without moving the axes."""
    before, size, after = _view(x, window, batched)
    side = 0 if inverse else 1
    if after == 1:
        y = jax.lax.dot_general(x.reshape(before, size), block, (((1,), (side,)), ((), ())), precision=EXACT)
    elif before == 1:
        y = jax.lax.dot_general(block, x.reshape(size, after), (((side,), (0,)), ((), ())), precision=EXACT)
    else:
        stack = jnp.broadcast_to(block, (before, size, size))
        numbers = (((side + 1,), (1,)), ((0,), (0,)))
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


def _rotates(tiles: tuple[Window, ...], n: int, batched: bool) -> bool:
    """Whether products pass the axes round, without a batch: the blocks tile a register that the caches hold."""
    return n <= ROTATE_LIMIT and not batched and len(tiles) > 1 and sum(w.size for w in tiles) == n


def _lanes(x: Array, numbers: Array, stage: Turns, inverse: bool) -> Array:
    """Every example's own rotations, one qubit after the other; the loops run over the batch."""
    for k, q in enumerate(stage.qubits):
        y = x.reshape(2**q, 2, -1, x.shape[-1])
        a, b = y[:, 0], y[:, 1]
        cos, sin = (v[k].reshape(1, 1, -1) for v in numbers)
        if stage.flips[k]:
            pair = [cos * a + sin * b, sin * a - cos * b]
        elif inverse:
            pair = [cos * a + sin * b, cos * b - sin * a]
        else:
            pair = [cos * a - sin * b, sin * a + cos * b]
        # Without the barrier XLA fuses the rotations and computes each amplitude from 2**qubits others.
        x = jax.lax.optimization_barrier(jnp.stack(pair, 1).reshape(x.shape))
    return x


def run(stage: Turns, prepared: Prepared, x: Array, n: int, batched: bool, own: bool, inverse: bool = False) -> Array:
    """Applies a real layer or its inverse; `own` says that every example has angles of its own."""
    if own:
        return _lanes(x, settle(prepared.moving), stage, inverse)
    tiles = windows(stage.qubits, n)
    ready = isinstance(prepared.moving, tuple)
    blocks = prepared.moving if ready else [_block(stage, window, prepared.moving) for window in tiles]
    pairs = list(zip(tiles, blocks, strict=True))
    if not _rotates(tiles, n, batched):
        for window, block in pairs:
            x = _multiply(x, block, window, batched, inverse)
        return x
    y, side = x, 0 if inverse else 1
    for window, block in reversed(pairs):
        numbers = (((side,), (1,)), ((), ()))
        y = jax.lax.dot_general(block, y.reshape(-1, 2**window.size), numbers, precision=EXACT)
    return y.reshape(-1, 2).T


def _pairs(stage: Turns, lam: Array, psi: Array, n: int) -> Array:
    """The derivatives as sums over all pairs of strings that differ in the qubit: one loop for the whole layer."""
    strings = np.arange(2**n, dtype=np.int32)
    bits = np.array([1 << (n - 1 - q) for q in stage.qubits], np.int32)[:, None]
    signs = jnp.asarray(np.where(strings & bits, 0.5, -0.5), psi.dtype)
    partners = jnp.asarray(strings ^ bits).reshape(1, -1)
    moved = jnp.take_along_axis(psi, jnp.broadcast_to(partners, (2, partners.size)), 1, mode="promise_in_bounds")
    return jnp.sum(moved.reshape(2, *signs.shape) * lam[:, None] * signs[None], (0, 2))


def gradient(stage: Turns, lam: Array, psi: Array, n: int, batched: bool, summed: bool = False) -> Array:
    """Derivatives with respect to the angles, from both states after the layer: [slots] or [slots, B].

    With `summed` those of a batch are summed, [slots].
    """
    if batched and not summed:
        rows = []
        for q in stage.qubits:
            left, right = (v.reshape(2**q, 2, -1, v.shape[-1]) for v in (lam, psi))
            product = left[:, 1] * right[:, 0] - left[:, 0] * right[:, 1]
            # A product with ones: XLA's own sum over the slow axes does not run along the batch.
            product = jax.lax.optimization_barrier(product.reshape(-1, psi.shape[-1]))
            rows.append(jnp.matmul(jnp.full((1, product.shape[0]), 0.5, product.dtype), product, precision=EXACT))
        return jnp.concatenate(rows, 0)
    if n <= PAIR_LIMIT and not batched:
        return _pairs(stage, lam, psi, n)
    parts = []
    for window in windows(stage.qubits, n):
        overlap = _overlap(lam, psi, window, batched).reshape(-1)
        parts.append(jnp.matmul(jnp.asarray(_generators(stage, window), overlap.dtype), overlap, precision=EXACT))
    return jnp.concatenate(parts)
