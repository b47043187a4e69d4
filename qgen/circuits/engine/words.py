"""Expectation values of Pauli words, given as bit masks, from a state's real and imaginary parts."""

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits.engine import EXACT, moves
from qgen.circuits.observables import parities
from qgen.circuits.program import Affine
from qgen.types import Array, Float


def diagonal(signs: Sequence[int], density: Float[Array, " strings"], n: int) -> Float[Array, " words"]:
    """Values of words of Z from the probabilities; the masks hold the bits that each word reads."""
    half = n // 2
    # Words factor over the halves of the register, so that no table of 2**n signs per word is needed.
    # The barrier keeps XLA from folding the gradient's table at compile time, which takes seconds.
    high, low = jax.lax.optimization_barrier(
        (
            jnp.asarray(parities([mask >> half for mask in signs], n - half), density.dtype),
            jnp.asarray(parities([mask & ((1 << half) - 1) for mask in signs], half), density.dtype),
        )
    )
    partial = jnp.matmul(high.T, density.reshape(2 ** (n - half), -1), precision=EXACT)
    return jnp.sum(partial * low.T, 1)


def act(
    flips: Sequence[int], signs: Sequence[int], coefficients: Array, x: Float[Array, "2 strings"], n: int
) -> Float[Array, "2 strings"]:
    """The sum of words, each times its coefficient, on a state: words that flip the same bits share one permutation."""
    ys = [(flip & sign).bit_count() for flip, sign in zip(flips, signs, strict=True)]
    half = n // 2
    total = jnp.zeros_like(x)
    for flip in dict.fromkeys(flips):
        moved = moves.permute(Affine(tuple(1 << (n - 1 - q) for q in range(n)), flip), x, n, False)
        for odd in (0, 1):
            chosen = [k for k in range(len(flips)) if flips[k] == flip and ys[k] % 2 == odd]
            if not chosen:
                continue
            # On the way from b to b ^ flip the signs are read before the flip: i^ys (-1)^(b & signs).
            high = parities([signs[k] >> half for k in chosen], n - half)
            low = parities([signs[k] & ((1 << half) - 1) for k in chosen], half)
            turn = np.array([(-1.0) ** ((ys[k] - odd) // 2 + (signs[k] & flip).bit_count()) for k in chosen])
            weights = coefficients[jnp.asarray(chosen)] * jnp.asarray(turn, x.dtype)
            scale = jnp.matmul(jnp.asarray(high, x.dtype) * weights[None, :], jnp.asarray(low.T, x.dtype))
            term = moved * scale.reshape(1, -1)
            total = total + (jnp.stack([-term[1], term[0]]) if odd else term)
    return total


def letters(bonds: int) -> tuple[list[int], list[int]]:
    """All Pauli words of so many qubits, in the order of the letters IXYZ: the bits that they flip, and read."""
    pairs = [(0, 0), (1, 0), (1, 1), (0, 1)]
    words = list(itertools.product(pairs, repeat=bonds))
    flips, signs = ([sum(pair[k] << (bonds - 1 - q) for q, pair in enumerate(word)) for word in words] for k in (0, 1))
    return flips, signs


def on_bonds(bonds: int, signs: Sequence[int], x: Float[Array, "2 strings"]) -> Float[Array, " words"]:
    """Values of words: for each mask of Z that are read, all Pauli words (`letters`) on the first qubits.

    Args:
        bonds: how many first qubits.
        signs: the masks, over the other qubits.
        x: the state.

    Returns:
        [masks * 4**bonds].
    """
    size, rest = 2**bonds, x.shape[1] >> bonds
    y = x.reshape(2, size, rest)
    turned = y[::-1] * np.array([1, -1], x.dtype).reshape(2, 1, 1)  # im, -re
    # conj(psi_j) psi_k for the bonds' values j and k: the real part where j <= k, else the imaginary part
    real = np.tri(size, dtype=x.dtype).T[None, :, :, None]
    pairs = jnp.sum(y[:, :, None] * (y[:, None] * real + turned[:, None] * (1 - real)), 0)
    table = jnp.asarray(parities(signs, rest.bit_length() - 1), x.dtype)
    reduced = jnp.matmul(pairs.reshape(size * size, rest), table, precision=EXACT)
    return jnp.matmul(reduced.T, jnp.asarray(_from_pairs(bonds), x.dtype), precision=EXACT).reshape(-1)


@functools.lru_cache(maxsize=16)
def _from_pairs(bonds: int) -> np.ndarray:
    """How the pairs of `on_bonds` add up to Pauli words: [pairs, words]."""
    k = np.arange(2**bonds)
    onto = np.zeros((2**bonds, 2**bonds, 4**bonds))
    for word, (flip, sign) in enumerate(zip(*letters(bonds), strict=True)):
        ys, j = (flip & sign).bit_count(), k ^ flip
        # <j|P|k> is i^ys (-1)^(k & sign)
        value = (-1.0) ** ((ys + 1) // 2) * parities([sign], bonds)[:, 0]
        low, high = np.minimum(j, k), np.maximum(j, k)
        if ys % 2:
            np.add.at(onto, (high, low, word), np.where(j > k, value, -value))
        else:
            np.add.at(onto, (low, high, word), value)
    return onto.reshape(-1, 4**bonds)
