"""Classical adapters that are not a thin product: Kronecker factors (LoKr) and butterfly rotations (BOFT)."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.lm import weights
from qgen.lm.adapters.base import Start
from qgen.types import Array, Float, Key, Params


@dataclasses.dataclass(frozen=True)
class Lokr:
    """base + (alpha / rank) * kron(w1, w2), the large w2 itself a product of two thin matrices where that is smaller.

    LoKr of LyCORIS (arXiv:2309.14859). Both sides of the matrix are divided exactly, so that every shape is accepted;
    a prime side has the factor 1.

    Attributes:
        rank: of the large factor; a rank of at least half its longer side leaves it whole.
        alpha: the strength, for a factored w2; None is the rank.
        factor: the small factor's side where it divides; None takes the divisor nearest below the square root.
    """

    rank: int = 2
    alpha: float | None = None
    factor: int | None = None

    def __post_init__(self) -> None:
        """Refuses sizes below 1."""
        check.at_least("rank", self.rank, 1)
        if self.alpha is not None:
            check.positive("alpha", self.alpha)
        if self.factor is not None:
            check.at_least("factor", self.factor, 1)

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """w1 zero, the large factor normal with deviation 1 / sqrt(its inputs)."""
        small, large = self._sides(base.shape)
        if not self._is_factored(large):
            w2 = {"w2": jax.random.normal(key, large) * large[0] ** -0.5}
            return Start({"w1": jnp.zeros(small), **w2}, {"factor": jnp.asarray(1.0)})
        a_key, b_key = jax.random.split(key)
        pair = {
            "a": jax.random.normal(a_key, (large[0], self.rank)) * large[0] ** -0.5,
            "b": jax.random.normal(b_key, (self.rank, large[1])) * self.rank**-0.5,
        }
        alpha = self.rank if self.alpha is None else self.alpha
        return Start({"w1": jnp.zeros(small), **pair}, {"factor": jnp.asarray(alpha / self.rank, jnp.float32)})

    def stored(self, base: Any, trained: Params, frozen: Params) -> Array:
        """base + factor * kron(w1, w2)."""
        matrix = weights.dense(base)
        w2 = trained["w2"] if "w2" in trained else trained["a"] @ trained["b"]
        return matrix + (frozen["factor"] * jnp.kron(trained["w1"], w2)).astype(matrix.dtype)

    def count(self, shape: tuple[int, ...]) -> int:
        """Entries of w1, and of w2 or of its two factors."""
        small, large = self._sides(shape)
        return math.prod(small) + (self.rank * sum(large) if self._is_factored(large) else math.prod(large))

    def _sides(self, shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
        (small_in, large_in), (small_out, large_out) = (self._split(side) for side in shape)
        return (small_in, small_out), (large_in, large_out)

    def _split(self, side: int) -> tuple[int, int]:
        if self.factor is not None and side % self.factor == 0:
            return self.factor, side // self.factor
        small = max(divisor for divisor in range(1, math.isqrt(side) + 1) if side % divisor == 0)
        return small, side // small

    def _is_factored(self, large: tuple[int, int]) -> bool:
        return 2 * self.rank < max(large)


@dataclasses.dataclass(frozen=True)
class Boft:
    """(R_m ... R_1) base * scale: a product of `factors` butterflies of small rotations (BOFT, arXiv:2311.06243).

    Factor i turns groups of `block` inputs that lie block^i apart. Rotations are Cayley transforms (1 - S)^-1 (1 + S)
    of skew S, kept as their block (block - 1) / 2 free entries (the PEFT package keeps all block^2). One factor is OFT
    (arXiv:2306.07280).

    Attributes:
        block: side of a rotation, at least 2.
        factors: butterflies; block^factors must divide the number of inputs.
        scaled: whether every output has a trained factor as well.
    """

    block: int = 4
    factors: int = 1
    scaled: bool = True

    def __post_init__(self) -> None:
        """Refuses blocks without a rotation and no factor at all."""
        check.at_least("block", self.block, 2)
        check.at_least("factors", self.factors, 1)

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """No rotation, scales of 1."""
        del key
        self._check(base.shape)
        trained = {"skew": jnp.zeros((self.factors, base.shape[0] // self.block, self.block * (self.block - 1) // 2))}
        return Start(trained | ({"scale": jnp.ones(base.shape[1])} if self.scaled else {}), {})

    def stored(self, base: Any, trained: Params, frozen: Params) -> Array:
        """The turned and scaled base."""
        del frozen
        matrix = weights.dense(base)
        n_in, n_out = matrix.shape
        for place in range(self.factors):
            stride = self.block**place
            turns = cayley(trained["skew"][place], self.block).astype(matrix.dtype)
            turns = turns.reshape(-1, stride, self.block, self.block)
            groups = matrix.reshape(-1, self.block, stride, n_out)
            matrix = jnp.einsum("gsij,gjso->giso", turns, groups).reshape(n_in, n_out)
        return matrix * trained["scale"][None, :].astype(matrix.dtype) if self.scaled else matrix

    def count(self, shape: tuple[int, ...]) -> int:
        """factors * in * (block - 1) / 2, and out if scaled."""
        self._check(shape)
        free = self.block * (self.block - 1) // 2
        return self.factors * (shape[0] // self.block) * free + (shape[1] if self.scaled else 0)

    def _check(self, shape: tuple[int, ...]) -> None:
        if shape[0] % self.block**self.factors:
            raise ValueError(
                f"Argument `block` to the power of `factors`, {self.block}^{self.factors}, must divide the matrix's "
                f"{shape[0]} inputs."
            )


def cayley(skew: Float[Array, "*batch free"], side: int) -> Float[Array, "*batch side side"]:
    """Rotations (1 - S)^-1 (1 + S), S skew-symmetric with the given entries above its diagonal, row after row.

    Args:
        skew: side * (side - 1) / 2 entries each.
        side: of the rotations.

    Raises:
        ValueError: if the number of entries does not fit the side.
    """
    check.shape("skew", skew[(0,) * (skew.ndim - 1)], (side * (side - 1) // 2,))
    upper = np.triu_indices(side, 1)
    half = jnp.zeros((*skew.shape[:-1], side, side), skew.dtype).at[..., upper[0], upper[1]].set(skew)
    s = half - jnp.swapaxes(half, -1, -2)
    one = jnp.broadcast_to(jnp.eye(side, dtype=skew.dtype), s.shape)
    return 2 * inverse(one - s) - one


@jax.custom_jvp
def inverse(matrix: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """The inverse of every matrix, one after the other.

    On two cores two batched LAPACK calls that run at once wait for each other's threads for ever (jaxlib 0.10.2);
    single ones do not.

    Args:
        matrix: invertible matrices.
    """
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    return jax.vmap(_one_inverse)(flat).reshape(matrix.shape)


@inverse.defjvp
def _slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    inverted = inverse(*primals)
    return inverted, -inverted @ tangents[0] @ inverted


@jax.custom_batching.sequential_vmap
def _one_inverse(matrix: Array) -> Array:
    return jnp.linalg.inv(matrix)
