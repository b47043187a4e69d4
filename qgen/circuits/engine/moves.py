"""How XLA moves amplitudes and runs fixed matrices."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits.engine import EXACT
from qgen.circuits.program import Affine, Dense, Flip, Table
from qgen.types import Array

INDEX_LIMIT = 14
"""Permutations are stored as tables up to this many qubits, and computed from two halves above."""

ROWS_FROM = 14
"""From this many qubits on real and imaginary parts are gathered one after the other, below it side by side."""


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


def sources(stage: Affine | Flip, n: int, inverse: bool, after: Any = None) -> Array:
    """For every amplitude after the stage the place that it comes from, int32 [2**n].

    Where it is computed, not before the array `after` is there: XLA would do it before a loop and keep it.
    """
    if isinstance(stage, Flip):
        strings = jnp.arange(2**n, dtype=jnp.int32)
        return strings ^ jnp.where((strings & stage.controls) == stage.controls, stage.target, 0).astype(jnp.int32)
    high, low = _affine_tables(stage, n, inverse)
    if n <= INDEX_LIMIT:
        return jnp.asarray((high[:, None] ^ low[None, :]).reshape(-1))
    halves = (jnp.asarray(high), jnp.asarray(low))
    if after is not None:
        *halves, _ = jax.lax.optimization_barrier((*halves, after))
    return (halves[0][:, None] ^ halves[1][None, :]).reshape(-1)


def permute(
    stage: Affine | Flip, x: Array, n: int, batched: bool, inverse: bool = False, several: bool = False
) -> Array:
    """Moves the amplitudes, which lie on the first axis of a batch and else on the last.

    `several` says that a loop holds so many permutations that their tables must not all be kept.
    """
    index = sources(stage, n, inverse, x if several else None)
    options = {"mode": "promise_in_bounds", "unique_indices": True}
    if batched or n < ROWS_FROM:
        return x.at[index].get(**options) if batched else x.at[:, index].get(**options)
    # A gather of columns would make XLA transpose the state before and after.
    return jnp.stack([part.at[index].get(**options) for part in x])


def fixed(stage: Table | Dense, x: Array, n: int, batched: bool, inverse: bool = False) -> Array:
    """A fixed diagonal or matrix on some wires, or its inverse."""
    k = len(stage.wires)
    rest = [q for q in range(n) if q not in stage.wires]
    bits = (2,) * n
    y = x.reshape((*bits, 2, -1)) if batched else x.reshape((2, *bits))
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
