"""Quantum-inspired adapters that act like circuits on a reshaped axis: QuanTA's tensors and compound matrices."""

import dataclasses
import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.lm import weights
from qgen.lm.adapters.base import Start
from qgen.lm.adapters.structured import cayley
from qgen.types import Array, Float, Key, Params


@dataclasses.dataclass(frozen=True)
class Quanta:
    """base + T(tensors) - T(first tensors): T a circuit of tensors on every pair of axes (arXiv:2406.00132).

    A side d of the matrix is read as several axes, d = d_1 d_2 ...; T is the product of one (d_a d_b)^2 tensor per pair
    of axes, in the order (1, 2), (1, 3), ..., (2, 3), ... A matrix that is not square, or whose longer side is not the
    product of the axes, uses the top left corner of a T on a larger space (padding).

    Attributes:
        axes: the sizes of the axes, whose product is at least the longer side; or how many axes there are, whose sizes
            then follow from the side as those with the fewest parameters (a side without that many factors is padded).
        spread: deviation of the first tensors from the identity, in units of 1 / sqrt(their side).
    """

    axes: tuple[int, ...] | int = 3
    spread: float = 0.1

    def __post_init__(self) -> None:
        """Refuses fewer than two axes, axes shorter than 2, and a negative spread."""
        check.at_least("axes", self.axes if isinstance(self.axes, int) else len(self.axes), 2)
        if not isinstance(self.axes, int):
            check.at_least("axes", min(self.axes), 2)
        check.at_least("spread", self.spread, 0)

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """Tensors near the identity, and a frozen copy."""
        sizes = self.sizes(base.shape)
        tensors = {}
        for place, (a, b) in enumerate(itertools.combinations(range(len(sizes)), 2)):
            side = sizes[a] * sizes[b]
            noise = jax.random.normal(jax.random.fold_in(key, place), (side, side))
            tensors[f"{a}_{b}"] = jnp.eye(side) + self.spread * side**-0.5 * noise
        return Start(tensors, tensors)

    def stored(self, base: Any, trained: Params, frozen: Params) -> Array:
        """base + T(trained) - T(frozen)."""
        matrix = weights.dense(base)
        sizes = self.sizes(matrix.shape)
        n_in, n_out = matrix.shape
        change = circuit(trained, sizes) - circuit(frozen, sizes)
        return matrix + change[:n_in, :n_out].astype(matrix.dtype)

    def count(self, shape: tuple[int, ...]) -> int:
        """The sum of (d_a d_b)^2 over the pairs of axes."""
        return _pair_sum(self.sizes(shape))

    def sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes' sizes for a matrix.

        Raises:
            ValueError: if given sizes have a product below the longer side.
        """
        side = max(shape)
        if isinstance(self.axes, int):
            return _fewest(side, self.axes)
        if math.prod(self.axes) < side:
            raise ValueError(
                f"Argument `axes` must have a product of at least {side} for a matrix {shape[0]} x {shape[1]}, but "
                f"{self.axes} has {math.prod(self.axes)}."
            )
        return self.axes


def circuit(tensors: Params, sizes: tuple[int, ...]) -> Float[Array, "d d"]:
    """The matrix T of QuanTA's tensors, [d, d]; row vectors are multiplied by the tensors of pairs in their order.

    Args:
        tensors: "a_b" -> [d_a d_b, d_a d_b].
        sizes: of the axes.
    """
    d = math.prod(sizes)
    state = jnp.eye(d).reshape(d, *sizes)
    for a, b in itertools.combinations(range(len(sizes)), 2):
        tensor = tensors[f"{a}_{b}"].reshape(sizes[a], sizes[b], sizes[a], sizes[b])
        state = jnp.moveaxis(jnp.tensordot(state, tensor, ((a + 1, b + 1), (0, 1))), (-2, -1), (a + 1, b + 1))
    return state.reshape(d, d)


def _pair_sum(sizes: tuple[int, ...]) -> int:
    return sum((a * b) ** 2 for a, b in itertools.combinations(sizes, 2))


@functools.lru_cache
def _fewest(side: int, n_axes: int) -> tuple[int, ...]:
    """The factorisation of the side (or of the next number that has one) with the fewest parameters."""
    while not (found := list(_factorisations(side, n_axes, 2))):
        side += 1
    return min(found, key=lambda sizes: (_pair_sum(sizes), max(sizes)))


def _factorisations(side: int, n: int, least: int):
    if n == 1:
        if side >= least:
            yield (side,)
        return
    for first in range(least, int(round(side ** (1 / n))) + 1):
        if side % first == 0:
            yield from ((first, *rest) for rest in _factorisations(side // first, n - 1, first))


@dataclasses.dataclass(frozen=True)
class Compound:
    """R base: R block-diagonal, a block the direct sum of compound matrices of a small rotation (arXiv:2502.06916).

    The k-th compound matrix holds all k x k minors. It is what a circuit of beam-splitter gates does to the strings of
    k ones, and it is a rotation if the small matrix is. A block of `inputs / blocks` inputs uses the largest rotation,
    n x n, whose compounds of orders 1 to `order` fit; the inputs left over are not turned (padding).

    Attributes:
        order: highest order of minors, at least 1; order 1 is block-diagonal orthogonal fine-tuning.
        blocks: how many blocks, each with a rotation of its own, share the inputs.
    """

    order: int = 2
    blocks: int = 1

    def __post_init__(self) -> None:
        """Refuses sizes below 1."""
        check.at_least("order", self.order, 1)
        check.at_least("blocks", self.blocks, 1)

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """No rotation."""
        del key
        side = self.side(base.shape)
        return Start({"skew": jnp.zeros((self.blocks, side * (side - 1) // 2))}, {})

    def stored(self, base: Any, trained: Params, frozen: Params) -> Array:
        """The turned base."""
        del frozen
        matrix = weights.dense(base)
        n_in, n_out = matrix.shape
        side, width = self.side(matrix.shape), n_in // self.blocks
        turns = compounds(cayley(trained["skew"], side).astype(matrix.dtype), self.order)
        blocks = matrix[: self.blocks * width].reshape(self.blocks, width, n_out)
        parts, first = [], 0
        for turn in turns:
            last = first + turn.shape[-1]
            parts.append(jnp.einsum("bij,bjo->bio", turn, blocks[:, first:last]))
            first = last
        turned = jnp.concatenate([*parts, blocks[:, first:]], axis=1).reshape(-1, n_out)
        return jnp.concatenate([turned, matrix[self.blocks * width :]])

    def count(self, shape: tuple[int, ...]) -> int:
        """blocks * n (n - 1) / 2."""
        side = self.side(shape)
        return self.blocks * side * (side - 1) // 2

    def side(self, shape: tuple[int, ...]) -> int:
        """n, the side of the small rotations.

        Raises:
            ValueError: if a block has room for no rotation of at least 2 x 2 with minors of the given order.
        """
        width, n = shape[0] // self.blocks, 1
        while sum(math.comb(n + 1, k) for k in range(1, self.order + 1)) <= width:
            n += 1
        if n < max(2, self.order):
            raise ValueError(
                f"Argument `blocks` leaves {width} of {shape[0]} inputs per block, too few for minors of order "
                f"{self.order}, but is {self.blocks}."
            )
        return n


def compounds(matrix: Float[Array, "*batch n n"], order: int) -> list[Float[Array, "*batch rows rows"]]:
    """The compound matrices of orders 1 to `order`: all minors, rows and columns in lexicographic order.

    A minor is expanded along its first row, so that its slope is right where minors vanish.

    Args:
        matrix: square matrices.
        order: from 1 to n.

    Raises:
        ValueError: if the order is out of range.
    """
    n = matrix.shape[-1]
    check.within("order", order, 1, n)
    result = [matrix]
    for k in range(2, order + 1):
        first, rest, without = _minors(n, k)
        # [..., row set, column set, dropped column]
        head = matrix[..., first[:, None, None], np.array(list(itertools.combinations(range(n), k)))[None]]
        tail = result[-1][..., rest[:, None, None], without[None]]
        signs = jnp.asarray((-1.0) ** np.arange(k), matrix.dtype)
        result.append(jnp.einsum("...rck,...rck,k->...rc", head, tail, signs))
    return result


@functools.lru_cache
def _minors(n: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per set of k: its first member, the number of the set without it, and of the sets without each member."""
    smaller = {chosen: place for place, chosen in enumerate(itertools.combinations(range(n), k - 1))}
    sets = list(itertools.combinations(range(n), k))
    without = np.array([[smaller[chosen[:i] + chosen[i + 1 :]] for i in range(k)] for chosen in sets])
    return np.array([chosen[0] for chosen in sets]), without[:, 0], without
