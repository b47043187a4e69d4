"""How XLA runs diagonal layers: phases tabulated over the whole register, or over its two halves."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits.engine import EXACT, Prepared, settle
from qgen.circuits.engine.trigonometry import cos_sin
from qgen.circuits.observables import parities
from qgen.circuits.program import Loops, Phases
from qgen.types import Array

TABLE_LIMIT = 1 << 15
"""Phase functions are tabulated over the whole register up to this many entries, and over two halves above."""

BATCH_TABLE_LIMIT = 1 << 16
"""The same for a batch, whose examples share the tables."""

MIXED_TABLE_LIMIT = 1 << 17
"""The same where most functions depend on both halves."""

TERMS = 3
"""Up to so many terms that depend on both halves are multiplied in one by one, which needs no table of their phases."""

TERMS_FROM = 12
"""From this many qubits on that is better than a table over the whole register."""

SETTLE_FROM = 14
"""From this many qubits on it pays to keep the phases of a turn of a loop rather than to slice them where needed."""


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


class Halves(NamedTuple):
    """What the angles of a stage over two halves of the register are turned into; None where there is nothing.

    Attributes:
        halves: cosines, then sines, of what depends on one half only (see `_halves`).
        terms: cosines and sines of the terms that depend on both, where these are few.
        full: cosines and sines of all of them together over the register, where they are many.
        angles: the angles, where they must wait for the turn of a loop.
    """

    halves: Any = None
    terms: Any = None
    full: Any = None
    angles: Any = None


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
    return not isinstance(prepared.moving, Halves)


def _few(split: Split) -> bool:
    """Whether many mixed terms follow so few parameters that each gets a table of its own (QAOA's cost: one)."""
    return 0 < len(split.mixed) <= 2 and not _by_terms(split)


def _by_terms(split: Split) -> bool:
    """Whether the mixed terms are so few that they are multiplied in one by one (a controlled rotation: one)."""
    return 0 < split.left.shape[1] <= TERMS


def _tables(split: Split, dtype: Any) -> Array:
    """The mixed terms of each source over the whole register, [mixed, high, low]."""
    # The barrier keeps XLA from folding the product into a constant at compile time.
    left, right = jax.lax.optimization_barrier((jnp.asarray(split.left, dtype), jnp.asarray(split.right, dtype)))
    mix = jnp.asarray(split.mix[:, list(split.mixed)], dtype)
    return jnp.stack([jnp.matmul(left * mix[None, :, k], right.T, precision=EXACT) for k in range(len(split.mixed))])


def _times_numbers(table: np.ndarray, a: Array, batched: bool) -> Array:
    """sum over sources of table[b, s] a[s]: [..loops.., b] or [..loops.., b, B]."""
    if batched:
        return jnp.matmul(jnp.asarray(table.reshape((1,) * (a.ndim - 2) + table.shape), a.dtype), a, precision=EXACT)
    return jnp.matmul(a, jnp.asarray(table.T, a.dtype), precision=EXACT)


def _halves(split: Split, a: Array, batched: bool) -> Any:
    """Cosines, then sines, of what depends on one half only, the high half first; None where nothing does."""
    axis = -2 if batched else -1
    thetas = [_times_numbers(half, a, batched) for half in (split.high, split.low) if half is not None]
    if not thetas:
        return None
    theta = jnp.concatenate(thetas, axis)
    return jnp.concatenate(cos_sin(theta), axis)


def _unpack(split: Split, packed: Array, high: int, low: int) -> list[tuple[Array, Array]]:
    """What `_halves` made, as factors that broadcast over [high, low]."""
    c, s = jnp.split(packed, 2)
    factors = []
    if split.high is not None:
        factors.append((c[:high, None], s[:high, None]))
    if split.low is not None:
        factors.append((c[None, -low:], s[None, -low:]))
    return factors


def _tabulates(stage: Phases, n: int, batched: bool) -> bool:
    """Whether a table over the whole register is small, or the phases would be needed on the whole register anyway."""
    if n >= TERMS_FROM and _by_terms(_split(stage, n)):
        return False
    entries = 2**n * len(stage.slots)
    limit = BATCH_TABLE_LIMIT if batched else TABLE_LIMIT
    return entries <= limit or (entries <= MIXED_TABLE_LIMIT and len(_split(stage, n).mixed) > 2)


def entries(stage: Phases, turns: int, n: int, batched: bool, own: bool) -> int:
    """How many numbers are kept if the phases of so many turns of the loops are made at once."""
    if _tabulates(stage, n, batched) and not own:
        return 2 * turns * 2**n
    split = _split(stage, n)
    return 2 * turns * (2 ** (n - n // 2) + 2 ** (n // 2)) + (len(split.mixed) * 2**n if _few(split) else 0)


def prepare(stage: Phases, a: Array, n: int, batched: bool, own: bool, loops: Loops, ready: bool) -> Prepared:
    """Cosines and sines over the register or over its halves; unless `ready`, the angles to make them from later."""
    if not ready:
        return Prepared(Halves(angles=a))
    if _tabulates(stage, n, batched) and not (own and any(loops)):
        return Prepared(cos_sin(_times_numbers(_table(stage, n), a, own)))
    split = _split(stage, n)
    halves = _halves(split, a, own)
    if _by_terms(split):
        return Prepared(Halves(halves, _terms(split, a, own)))
    tables = _tables(split, a.dtype) if _few(split) else None
    if split.mixed and not any(loops):
        return Prepared(Halves(halves, full=cos_sin(_mixed(split, a, tables, own))), tables)
    return Prepared(Halves(halves, angles=a if split.mixed else None), tables)


def _terms(split: Split, a: Array, batched: bool) -> tuple[Array, Array]:
    """Cosines and sines of every mixed term's angle, [..loops.., terms] or [..loops.., terms, B]."""
    return cos_sin(_times_numbers(split.mix, a, batched))


def _term_factors(split: Split, terms: tuple[Array, Array], own: bool) -> list[tuple[Array, Array]]:
    """The mixed terms as factors over [high, low] or [high, low, B]: cos(a f) and sin(a f), where f is -1, 0 or 1."""
    found = []
    lanes = (1,) if own else ()
    for k, numbers in enumerate(zip(*terms, strict=True)):
        c, s = (v.reshape(1, 1, *v.shape) for v in numbers)
        parts = (split.left[:, k].reshape(-1, 1, *lanes), split.right[:, k].reshape(1, -1, *lanes))
        signed = [jnp.asarray(part, c.dtype) for part in parts]
        if not all(part.all() for part in parts):
            within = jnp.asarray(np.abs(parts[0]), c.dtype) * jnp.asarray(np.abs(parts[1]), c.dtype)
            c = c * within + (1 - within)
        found.append((c, s * signed[0] * signed[1]))
    return found


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


def _factors(stage: Phases, prepared: Prepared, n: int, own: bool) -> tuple[Array, Array]:
    """Cosines and sines that broadcast over [high, low]; every example's own: [high, low, B]."""
    high, low = 2 ** (n - n // 2), 2 ** (n // 2)
    if _is_flat(prepared):
        c, s = (v.reshape((high, low, *v.shape[1:])) for v in prepared.moving)
        return c, s
    split = _split(stage, n)
    halves, terms, full, a = prepared.moving
    factors: list[Any] = []
    if a is not None and halves is None:
        halves = _halves(split, a, own)
    if a is not None and _by_terms(split):
        terms = _terms(split, a, own)
    elif a is not None and split.mixed:
        full = tuple(settle(v) for v in cos_sin(_mixed(split, a, prepared.still, own)))
    if halves is not None:
        factors = _unpack(split, settle(halves) if own or n >= SETTLE_FROM else halves, high, low)
    if terms is not None:
        factors += _term_factors(split, terms, own)
    if full is not None:
        factors.append(tuple(v.reshape((high, low, *v.shape[2:])) for v in full))
    c, s = factors[0]
    for c2, s2 in factors[1:]:
        c, s = c * c2 - s * s2, c * s2 + s * c2
    return c, s


def _multiply(c: Array, s: Array, x: Array, n: int, batched: bool, own: bool) -> Array:
    high, low = 2 ** (n - n // 2), 2 ** (n // 2)
    y = x.reshape((high, low, 2, -1) if batched else (2, high, low))
    if batched:
        c, s = (v if own else v[:, :, None] for v in (c, s))
        re, im = y[:, :, 0], y[:, :, 1]
    else:
        re, im = y
    found = jnp.stack([re * c - im * s, re * s + im * c], 2 if batched else 0)
    # Each view of the result would compute it again.
    return (found if batched else settle(found)).reshape(x.shape)


def run(stage: Phases, prepared: Prepared, x: Array, n: int, batched: bool, own: bool, inverse: bool = False) -> Array:
    """Multiplies by the phases or their conjugates; `own` says that every example has phases of its own."""
    c, s = _factors(stage, prepared, n, own)
    return _multiply(c, -s if inverse else s, x, n, batched, own)


def undo(
    stage: Phases, prepared: Prepared, psi: Array, lam: Array, n: int, batched: bool, own: bool, summed: bool
) -> tuple[Array, Array, Array]:
    """Multiplies both states by the conjugate phases, which are made once for both; also the derivatives."""
    grads = _gradient(stage, prepared, lam, psi, n, batched, summed)
    c, s = _factors(stage, prepared, n, own)
    return _multiply(c, -s, psi, n, batched, own), _multiply(c, -s, lam, n, batched, own), grads


def _gradient(stage: Phases, prepared: Prepared, lam: Array, psi: Array, n: int, batched: bool, summed: bool) -> Array:
    """Derivatives with respect to the sources, from both states after (or before) the stage: [slots] or [slots, B].

    With `summed` those of a batch are summed, [slots].
    """
    high, low = 2 ** (n - n // 2), 2 ** (n // 2)
    lanes = psi.shape[-1] if batched and summed else 1
    g = lam[:, 1] * psi[:, 0] - lam[:, 0] * psi[:, 1] if batched else lam[1] * psi[0] - lam[0] * psi[1]
    dtype, batched = g.dtype, batched and not summed
    if _is_flat(prepared):
        found = jnp.matmul(jnp.asarray(_table(stage, n).T, dtype), g, precision=EXACT)
        return found.sum(-1) if lanes > 1 else found.reshape(-1, *g.shape[1:] if batched else ())
    split = _split(stage, n)
    # A batch whose derivatives are summed lies within the low half, whose tables are the same for every example.
    g = jax.lax.optimization_barrier(g.reshape(high, low, -1) if batched else g.reshape(high, low * lanes))
    total = jnp.zeros((len(stage.slots), *g.shape[2:]), dtype)
    if batched:
        if split.high is not None:
            total = total + jnp.matmul(jnp.asarray(split.high.T, dtype), g.sum(1), precision=EXACT)
        if split.low is not None:
            rows = jnp.matmul(jnp.ones((1, high), dtype), g.reshape(high, -1), precision=EXACT).reshape(low, -1)
            total = total + jnp.matmul(jnp.asarray(split.low.T, dtype), rows, precision=EXACT)
    elif split.low is not None:
        # One product gives the sums with the low table and, by the ones, those over the low half: XLA's are slow.
        table = _repeat(np.concatenate([split.low, np.ones((low, 1))], 1), lanes, dtype)
        sums = jnp.matmul(g, table, precision=EXACT)
        above = [np.ones((1, high))] if split.high is None else [np.ones((1, high)), split.high.T]
        sums = jnp.matmul(jnp.asarray(np.concatenate(above), dtype), sums, precision=EXACT)
        total = sums[0, :-1] if split.high is None else sums[0, :-1] + sums[1:, -1]
    elif split.high is not None:
        total = total + jnp.matmul(jnp.asarray(split.high.T, dtype), g.sum(1), precision=EXACT)
    if not split.mixed:
        return total
    if prepared.still is not None:
        tables = prepared.still.reshape(len(split.mixed), -1)
        found = jnp.matmul(tables, g.reshape(high * low, -1), precision=EXACT)
        return total.at[jnp.asarray(split.mixed)].add(found if batched else found.sum(-1))
    left = jnp.asarray(split.left, dtype)
    partial = jnp.matmul(left.T, g.reshape(high, -1), precision=EXACT).reshape(left.shape[1], -1, *g.shape[2:])
    weights = _repeat(split.right, lanes, dtype).T
    weights = weights.reshape(weights.shape + (1,) * (g.ndim - 2))
    return total + jnp.matmul(jnp.asarray(split.mix.T, dtype), (partial * weights).sum(1), precision=EXACT)


def _repeat(table: np.ndarray, times: int, dtype: Any) -> Array:
    """Every row so many times: [rows * times, columns]."""
    rows, columns = table.shape
    spread = jnp.broadcast_to(jnp.asarray(table, dtype)[:, None], (rows, times, columns))
    return spread.reshape(rows * times, columns)
