"""How XLA runs one stage: its preparation, its action, its inverse and its gradient.

A state is a real array: [2, 2**n] (real and imaginary part) for one example, [2**n, 2, B] for a batch, with the batch
last so that every loop runs over it. Complex dtypes are slower on CPUs, and real layers act on both parts alike.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits.observables import parities
from qgen.circuits.program import Affine, Dense, Flip, Loops, Phases, Table, Turns
from qgen.types import Array

BLOCK = 5
"""Qubits per matrix product of a real layer: 4 and 5 are equally fast, larger blocks waste arithmetic."""

TABLE_LIMIT = 1 << 15
"""Phase functions are tabulated over the whole register up to this many entries, and over two halves above."""

INDEX_LIMIT = 14
"""Permutations are stored as tables up to this many qubits, and computed from two halves above."""

EXACT = jax.lax.Precision.HIGHEST


class Prepared(NamedTuple):
    """What a stage's numbers are turned into before the loops run.

    Attributes:
        moving: arrays with an axis for each loop that advances the numbers.
        still: arrays that are the same in every turn of every loop.
    """

    moving: Any = ()
    still: Any = ()


# Turns


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


def _signs(stage: Turns, dtype: Any) -> Array:
    return jnp.asarray([-1.0 if flip else 1.0 for flip in stage.flips], dtype)


def prepare_turns(stage: Turns, t: Array, n: int, batched: bool) -> Prepared:
    """Block matrices [..loops.., K, K] for one example; cosines and sines [..loops.., slots, B] for a batch."""
    c, s = jnp.cos(t / 2), jnp.sin(t / 2)
    if batched:
        return Prepared((c, s))
    signs = _signs(stage, t.dtype).reshape((1,) * (t.ndim - 1) + (-1,))
    small = jnp.stack([jnp.stack([c, -s * signs], -1), jnp.stack([s, c * signs], -1)], -2)
    lead = t.shape[:-1]
    blocks = []
    for window in windows(stage.qubits, n):
        inside = {stage.qubits[k]: small[..., k, :, :] for k in window.members}
        block = jnp.ones((*lead, 1, 1), t.dtype)
        for count, q in enumerate(range(window.first, window.first + window.size)):
            factor = inside.get(q)
            if factor is None:
                factor = jnp.broadcast_to(jnp.eye(2, dtype=t.dtype), (*lead, 2, 2))
            k = block.shape[-1]
            block = (block[..., :, None, :, None] * factor[..., None, :, None, :]).reshape((*lead, 2 * k, 2 * k))
            if count % 3 == 2:  # XLA would fuse the whole chain and compute every entry's factors again and again
                block = jax.lax.optimization_barrier(block)
        blocks.append(jax.lax.optimization_barrier(block))
    return Prepared(tuple(blocks))


def _view(x: Array, window: Window, n: int, batched: bool) -> tuple[int, int, int]:
    before = 2**window.first * (1 if batched else 2)
    return before, 2**window.size, x.size // before // 2**window.size


def _multiply(x: Array, block: Array, window: Window, n: int, batched: bool) -> Array:
    """One block on its window: batched matrix products in place, without a transpose."""
    before, size, after = _view(x, window, n, batched)
    if after == 1:
        y = jnp.matmul(x.reshape(before, size), block.T, precision=EXACT)
    elif before == 1:
        y = jnp.matmul(block, x.reshape(size, after), precision=EXACT)
    else:
        stack = jnp.broadcast_to(block, (before, size, size))
        numbers = (((2,), (1,)), ((0,), (0,)))
        y = jax.lax.dot_general(stack, x.reshape(before, size, after), numbers, precision=EXACT)
    return y.reshape(x.shape)


def _overlap(lam: Array, psi: Array, window: Window, n: int, batched: bool) -> Array:
    """sum over everything outside the window of lam[i] psi[j], [K, K]."""
    before, size, after = _view(lam, window, n, batched)
    lam, psi = lam.reshape(before, size, after), psi.reshape(before, size, after)
    if after == 1:
        return jnp.matmul(lam[:, :, 0].T, psi[:, :, 0], precision=EXACT)
    numbers = (((2,), (2,)), ((0,), (0,)))
    return jax.lax.dot_general(lam, psi, numbers, precision=EXACT).sum(0)


def _rotates(stage: Turns, n: int, batched: bool) -> bool:
    """Whether the blocks tile the register, so that products can pass the axes round and need no batch."""
    tiles = windows(stage.qubits, n)
    return not batched and len(tiles) > 1 and sum(w.size for w in tiles) == n


def _lanes(x: Array, c: Array, s: Array, stage: Turns, inverse: bool) -> Array:
    """Every example's own rotations, one qubit after the other; the loops run over the batch."""
    for k, q in enumerate(stage.qubits):
        y = x.reshape(2**q, 2, -1, x.shape[-1])
        a, b = y[:, 0], y[:, 1]
        cos, sin = (v[k].reshape(1, 1, -1) for v in (c, s))
        if stage.flips[k]:
            pair = [cos * a + sin * b, sin * a - cos * b]
        elif inverse:
            pair = [cos * a + sin * b, cos * b - sin * a]
        else:
            pair = [cos * a - sin * b, sin * a + cos * b]
        # Without the barrier XLA fuses the rotations and computes each amplitude from 2**qubits others.
        x = jax.lax.optimization_barrier(jnp.stack(pair, 1).reshape(x.shape))
    return x


def turns(stage: Turns, prepared: Prepared, x: Array, n: int, batched: bool, own: bool, inverse: bool = False) -> Array:
    """Applies a real layer or its inverse; `own` says that every example has angles of its own."""
    if own:
        c, s = prepared.moving
        return _lanes(x, c, s, stage, inverse)
    tiles = windows(stage.qubits, n)
    pairs = list(zip(tiles, prepared.moving, strict=True))
    if not _rotates(stage, n, batched):
        for window, block in pairs:
            x = _multiply(x, block.T if inverse else block, window, n, batched)
        return x
    y = x.T if inverse else x
    for window, block in pairs if inverse else reversed(pairs):
        if inverse:
            y = jax.lax.dot_general(y.reshape(2**window.size, -1), block, (((0,), (0,)), ((), ())), precision=EXACT)
        else:
            y = jax.lax.dot_general(block, y.reshape(-1, 2**window.size), (((1,), (1,)), ((), ())), precision=EXACT)
    return y.reshape(x.shape) if inverse else y.reshape(-1, 2).T


def turns_gradient(stage: Turns, lam: Array, psi: Array, n: int, batched: bool) -> Array:
    """Derivatives with respect to the angles, from both states after the layer: [slots] or [slots, B]."""
    if batched:
        rows = []
        for q in stage.qubits:
            left, right = (v.reshape(2**q, 2, -1, v.shape[-1]) for v in (lam, psi))
            product = left[:, 1] * right[:, 0] - left[:, 0] * right[:, 1]
            # A product with ones: XLA's own sum over the slow axes does not run along the batch.
            product = jax.lax.optimization_barrier(product.reshape(-1, psi.shape[-1]))
            rows.append(jnp.matmul(jnp.full((1, product.shape[0]), 0.5, product.dtype), product, precision=EXACT))
        return jnp.concatenate(rows, 0)
    parts: list[Any] = [None] * len(stage.qubits)
    for window in windows(stage.qubits, n):
        overlap = _overlap(lam, psi, window, n, batched).reshape(-1)
        found = jnp.matmul(jnp.asarray(_generators(stage, window), overlap.dtype), overlap, precision=EXACT)
        for row, k in enumerate(window.members):
            parts[k] = found[row]
    return jnp.stack(parts)


# Phases


class Split(NamedTuple):
    """A Phases stage over two halves of the register.

    Attributes:
        high: [2**high bits, sources], what depends on the first half only; None where nothing does.
        low: [2**low bits, sources].
        left: [2**high bits, terms], one factor of the terms that depend on both halves.
        right: [2**low bits, terms], the other factor.
        mix: [terms, sources], their weights.
        mixed: the sources of these terms.
    """

    high: np.ndarray | None
    low: np.ndarray | None
    left: np.ndarray
    right: np.ndarray
    mix: np.ndarray
    mixed: tuple[int, ...]


def _function(parity: Any, ones: Any, bits: int) -> np.ndarray:
    """f_k(b) for all bit strings b, [2**bits, terms]."""
    strings = np.arange(2**bits)[:, None]
    wanted = np.asarray(ones, dtype=np.int64)[None, :]
    return parities(parity, bits) * ((strings & wanted) == wanted)


@functools.lru_cache(maxsize=512)
def _split(stage: Phases, n: int) -> Split:
    low_bits = n // 2
    cut = (1 << low_bits) - 1
    sources = len(stage.slots)
    parity, ones = np.array(stage.parity), np.array(stage.ones)
    weights = np.zeros((len(parity), sources))
    weights[np.arange(len(parity)), stage.source] = stage.weight
    low_only = ((parity | ones) >> low_bits) == 0
    high_only = (((parity | ones) & cut) == 0) & ~low_only
    both = ~(low_only | high_only)

    def half(chosen: np.ndarray, shift: int, bits: int) -> np.ndarray | None:
        if not chosen.any():
            return None
        return _function((parity[chosen] >> shift) & ((1 << bits) - 1), ones[chosen] >> shift, bits) @ weights[chosen]

    left = _function(parity[both] >> low_bits, ones[both] >> low_bits, n - low_bits)
    right = _function(parity[both] & cut, ones[both] & cut, low_bits)
    mixed = tuple(int(s) for s in np.flatnonzero(np.any(weights[both] != 0, 0))) if both.any() else ()
    return Split(
        half(high_only, low_bits, n - low_bits), half(low_only, 0, low_bits), left, right, weights[both], mixed
    )


@functools.lru_cache(maxsize=512)
def _table(stage: Phases, n: int) -> np.ndarray:
    """All phase functions of all sources, [2**n, sources]."""
    weights = np.zeros((len(stage.parity), len(stage.slots)))
    weights[np.arange(len(stage.parity)), stage.source] = stage.weight
    return _function(stage.parity, stage.ones, n) @ weights


def _is_flat(prepared: Prepared) -> bool:
    """Whether the phases were computed over the whole register rather than over its halves."""
    return len(prepared.moving) == 2


def _few(split: Split) -> bool:
    """Whether the mixed terms follow so few parameters that each gets a table of its own (QAOA's cost: one)."""
    return 0 < len(split.mixed) <= 2


def _tables(split: Split, dtype: Any) -> Array:
    """The mixed terms of each source over the whole register, [mixed, high, low]."""
    # The barrier keeps XLA from folding the product into a constant at compile time.
    left, right = jax.lax.optimization_barrier((jnp.asarray(split.left, dtype), jnp.asarray(split.right, dtype)))
    mix = jnp.asarray(split.mix[:, list(split.mixed)], dtype)
    return jnp.stack([jnp.matmul(left * mix[None, :, k], right.T, precision=EXACT) for k in range(len(split.mixed))])


def _times_numbers(table: np.ndarray, a: Array, batched: bool) -> Array:
    """sum over sources of table[b, s] a[s]: [..loops.., b] or [..loops.., b, B]."""
    table_ = jnp.asarray(table, a.dtype)
    if batched:
        return jnp.matmul(table_.reshape((1,) * (a.ndim - 2) + table.shape), a, precision=EXACT)
    return jnp.matmul(a, table_.T, precision=EXACT)


def prepare_phases(stage: Phases, a: Array, n: int, batched: bool, loops: Loops) -> Prepared:
    """Cosines and sines over the register or over its halves."""
    if 2**n * len(stage.slots) <= TABLE_LIMIT and not (batched and any(loops)):
        theta = _times_numbers(_table(stage, n), a, batched)
        return Prepared((jnp.cos(theta), jnp.sin(theta)))
    split = _split(stage, n)
    halves = []
    for half in (split.high, split.low):
        theta = None if half is None else _times_numbers(half, a, batched)
        halves.append(None if theta is None else (jnp.cos(theta), jnp.sin(theta)))
    tables = _tables(split, a.dtype) if _few(split) else None
    if split.mixed and not any(loops):
        theta = _mixed(split, a, tables, batched)
        return Prepared((*halves, (jnp.cos(theta), jnp.sin(theta)), None), tables)
    return Prepared((*halves, None, a if split.mixed else None), tables)


def _mixed(split: Split, a: Array, tables: Array | None, batched: bool) -> Array:
    """The phases of the terms that need both halves, [high, low] or [high, low, B]."""
    chosen = a[jnp.asarray(split.mixed)]
    if tables is not None:
        k, high, low = tables.shape
        if batched:
            return jnp.matmul(tables.reshape(k, -1).T, chosen, precision=EXACT).reshape(high, low, -1)
        return jnp.tensordot(chosen, tables, 1, precision=EXACT)
    left, right = (jnp.asarray(part, a.dtype) for part in (split.left, split.right))
    terms = jnp.matmul(jnp.asarray(split.mix, a.dtype), a, precision=EXACT)
    if batched:
        both = left[:, None, :] * right[None, :, :]
        return jnp.matmul(both.reshape(-1, both.shape[-1]), terms, precision=EXACT).reshape(*both.shape[:2], -1)
    return jnp.matmul(left * terms[None, :], right.T, precision=EXACT)


def phases(
    stage: Phases, prepared: Prepared, x: Array, n: int, batched: bool, own: bool, inverse: bool = False
) -> Array:
    """Multiplies by the phases or their conjugates; `own` says that every example has phases of its own."""
    high, low = 2 ** (n - n // 2), 2 ** (n // 2)
    shape = (high, low, 2, -1) if batched else (2, high, low)
    if _is_flat(prepared):
        c, s = (v.reshape((high, low, *v.shape[1:])) for v in prepared.moving)
        factors = [(c, s)]
    else:
        first, second, full, a = prepared.moving
        if a is not None:
            theta = _mixed(_split(stage, n), a, prepared.still, own)
            # The barrier keeps XLA from computing the sines once for every array that they multiply.
            full = jax.lax.optimization_barrier((jnp.cos(theta), jnp.sin(theta)))
        factors = [] if first is None else [tuple(v[:, None] for v in first)]
        factors += [] if second is None else [tuple(v[None, :] for v in second)]
        factors += [] if full is None else [tuple(v.reshape((high, low, *v.shape[2:])) for v in full)]
    c, s = factors[0]
    for c2, s2 in factors[1:]:
        c, s = c * c2 - s * s2, c * s2 + s * c2
    s = -s if inverse else s
    y = x.reshape(shape)
    if batched:
        c, s = (v if v.ndim == 3 else v[:, :, None] for v in (c, s))
        re, im = y[:, :, 0], y[:, :, 1]
        return jnp.stack([re * c - im * s, re * s + im * c], 2).reshape(x.shape)
    return jnp.stack([y[0] * c - y[1] * s, y[0] * s + y[1] * c]).reshape(x.shape)


def phases_gradient(stage: Phases, prepared: Prepared, lam: Array, psi: Array, n: int, batched: bool) -> Array:
    """Derivatives with respect to the sources, from both states after (or before) the stage: [slots] or [slots, B]."""
    high, low = 2 ** (n - n // 2), 2 ** (n // 2)
    if batched:
        g = (lam[:, 1] * psi[:, 0] - lam[:, 0] * psi[:, 1]).reshape(high, low, -1)
    else:
        g = (lam[1] * psi[0] - lam[0] * psi[1]).reshape(high, low)
    dtype = g.dtype
    if _is_flat(prepared):
        flat = g.reshape((high * low, *g.shape[2:]))
        return jnp.matmul(jnp.asarray(_table(stage, n).T, dtype), flat, precision=EXACT)
    split = _split(stage, n)
    g = jax.lax.optimization_barrier(g)
    total = jnp.zeros((len(stage.slots), *g.shape[2:]), dtype)
    if split.high is not None:
        total = total + jnp.matmul(jnp.asarray(split.high.T, dtype), g.sum(1), precision=EXACT)
    if split.low is not None:
        rows = jnp.matmul(jnp.ones((1, high), dtype), g.reshape(high, -1), precision=EXACT).reshape(low, *g.shape[2:])
        total = total + jnp.matmul(jnp.asarray(split.low.T, dtype), rows, precision=EXACT)
    if not split.mixed:
        return total
    if prepared.still is not None:
        tables = prepared.still.reshape(len(split.mixed), -1)
        found = jnp.matmul(tables, g.reshape((high * low, *g.shape[2:])), precision=EXACT)
        return total.at[jnp.asarray(split.mixed)].add(found)
    left, right = (jnp.asarray(part, dtype) for part in (split.left, split.right))
    partial = jnp.matmul(left.T, g.reshape(high, -1), precision=EXACT).reshape(-1, low, *g.shape[2:])
    weights = right.T.reshape(right.T.shape + (1,) * (g.ndim - 2))
    return total + jnp.matmul(jnp.asarray(split.mix.T, dtype), (partial * weights).sum(1), precision=EXACT)


# Permutations and fixed matrices


def _invert(columns: Sequence[int], n: int) -> list[int]:
    """The columns of the inverse of a matrix over GF(2); column q is the image of bit n - 1 - q."""
    rows = [(columns[q], 1 << (n - 1 - q)) for q in range(n)]  # image, preimage
    for q in range(n):
        bit = 1 << (n - 1 - q)
        pivot = next(k for k in range(q, n) if rows[k][0] & bit)
        rows[q], rows[pivot] = rows[pivot], rows[q]
        rows = [(i ^ rows[q][0], p ^ rows[q][1]) if k != q and i & bit else (i, p) for k, (i, p) in enumerate(rows)]
    return [preimage for _, preimage in rows]


def _span(columns: Sequence[int], bits: int) -> np.ndarray:
    """The XOR of the chosen columns for every choice, int32 [2**bits]; the first column is the top bit."""
    images = np.zeros(1, np.int32)
    for column in reversed(columns[:bits]):
        images = np.concatenate([images, images ^ np.int32(column)])
    return images


@functools.lru_cache(maxsize=512)
def _affine_tables(stage: Affine, n: int, inverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images of the high and of the low bits under the map that tells where each amplitude comes from."""
    columns, shift = list(stage.columns), stage.shift
    if not inverse:
        columns = _invert(columns, n)
        moved = [column for q, column in enumerate(columns) if shift >> (n - 1 - q) & 1]
        shift = functools.reduce(lambda a, b: a ^ b, moved, 0)
    high = n - n // 2
    return _span(columns[:high], high) ^ np.int32(shift), _span(columns[high:], n - high)


def sources(stage: Affine | Flip, n: int, inverse: bool) -> Array:
    """For every amplitude after the stage the place that it comes from, int32 [2**n]."""
    if isinstance(stage, Flip):
        strings = jnp.arange(2**n, dtype=jnp.int32)
        return strings ^ jnp.where((strings & stage.controls) == stage.controls, stage.target, 0).astype(jnp.int32)
    high, low = _affine_tables(stage, n, inverse)
    if n <= INDEX_LIMIT:
        return jnp.asarray((high[:, None] ^ low[None, :]).reshape(-1))
    return (jnp.asarray(high)[:, None] ^ jnp.asarray(low)[None, :]).reshape(-1)


def permute(stage: Affine | Flip, x: Array, n: int, batched: bool, inverse: bool = False) -> Array:
    """Moves the amplitudes."""
    index = sources(stage, n, inverse)
    options = {"mode": "promise_in_bounds", "unique_indices": True}
    return x.at[index].get(**options) if batched else x.at[:, index].get(**options)


def fixed(stage: Table | Dense, x: Array, n: int, batched: bool, inverse: bool = False) -> Array:
    """A fixed diagonal or matrix on some wires, or its inverse."""
    k = len(stage.wires)
    rest = [q for q in range(n) if q not in stage.wires]
    parts = (2,) * n
    y = x.reshape((*parts, 2, -1)) if batched else x.reshape((2, *parts))
    axes = [n, *stage.wires, *rest, n + 1] if batched else [0, *(w + 1 for w in stage.wires), *(q + 1 for q in rest)]
    y = y.transpose(axes)
    shape = y.shape
    matrix = stage.array()
    if isinstance(stage, Table):
        matrix = matrix.conj() if inverse else matrix
        c, s = (jnp.asarray(v, x.dtype)[:, None] for v in (np.real(matrix), np.imag(matrix)))
        re, im = y.reshape(2, 2**k, -1)
        y = jnp.stack([re * c - im * s, re * s + im * c])
    else:
        matrix = matrix.conj().T if inverse else matrix
        re, im = np.real(matrix), np.imag(matrix)
        real = np.block([[re, -im], [im, re]])
        y = jnp.matmul(jnp.asarray(real, x.dtype), y.reshape(2 ** (k + 1), -1), precision=EXACT)
    return y.reshape(shape).transpose(list(np.argsort(axes))).reshape(x.shape)
