"""Adapters that add a product of two thin matrices: LoRA, rsLoRA, VeRA, TinyLoRA; and the whole matrix, for scale."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from qgen import check
from qgen.lm import weights
from qgen.lm.adapters.base import Start, check_rank
from qgen.types import Array, Float, Int, Key, Params


@dataclasses.dataclass(frozen=True)
class Full:
    """Every entry of the matrix: base + change."""

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """No change."""
        del key
        return Start({"change": jnp.zeros(base.shape)}, {})

    def stored(self, base: Any, trained: Params, frozen: Params) -> Array:
        """base + change."""
        del frozen
        matrix = weights.dense(base)
        return matrix + trained["change"].astype(matrix.dtype)

    def count(self, shape: tuple[int, ...]) -> int:
        """in * out."""
        return shape[0] * shape[1]


@dataclasses.dataclass(frozen=True)
class Lora:
    """base + factor * a @ b (LoRA, arXiv:2106.09685), with factor = alpha / rank.

    Attributes:
        rank: columns of a, at most the smaller side of the matrix.
        alpha: the strength; None is the rank, so that LoRA's factor is 1.
        stabilised: factor = alpha / sqrt(rank) instead (rsLoRA, arXiv:2312.03732), under which the size of a step
            does not fall with the rank.
    """

    rank: int = 2
    alpha: float | None = None
    stabilised: bool = False

    def __post_init__(self) -> None:
        """Refuses a rank below 1 and a strength that is not positive."""
        check.at_least("rank", self.rank, 1)
        if self.alpha is not None:
            check.positive("alpha", self.alpha)

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """a normal with deviation 1 / sqrt(in), b zero."""
        check_rank(self.rank, base.shape)
        a = jax.random.normal(key, (base.shape[0], self.rank)) * base.shape[0] ** -0.5
        return Start({"a": a, "b": jnp.zeros((self.rank, base.shape[1]))}, {"factor": self.factor(self.rank)})

    def factor(self, rank: int | Int[Array, ""]) -> Float[Array, ""]:
        """What multiplies a @ b at a rank, which may be traced."""
        alpha = rank if self.alpha is None else self.alpha
        return jnp.asarray(alpha / (jnp.sqrt(rank) if self.stabilised else rank), jnp.float32)

    def narrowed(self, start: Start, rank: Int[Array, ""]) -> Start:
        """A tree's start of this rank as one of a smaller rank, which may be traced: one program trains all ranks.

        The columns of a beyond the rank are zero, as b is; no gradient reaches either, so both stay zero.

        Args:
            start: what `init` made for a tree.
            rank: from 1 to this adapter's rank.
        """
        kept = (jnp.arange(self.rank) < rank).astype(jnp.float32)[None, :]
        trained = {place: {**pair, "a": pair["a"] * kept} for place, pair in start.trained.items()}
        return Start(trained, {place: {"factor": self.factor(rank)} for place in start.frozen})

    def stored(self, base: Any, trained: Params, frozen: Params) -> Params:
        """base, a and factor * b, kept apart: a thin pair's gradient costs far less than the wide matrix's."""
        return {"base": base, "a": trained["a"], "b": frozen["factor"] * trained["b"]}

    def count(self, shape: tuple[int, ...]) -> int:
        """rank * (in + out)."""
        check_rank(self.rank, shape)
        return self.rank * sum(shape)


RsLora = functools.partial(Lora, stabilised=True)
"""LoRA with the factor alpha / sqrt(rank)."""


@dataclasses.dataclass(frozen=True)
class Vera:
    """base + (A * d) @ (B * b) with frozen random A, B and trained vectors d, b (VeRA, arXiv:2310.11454).

    Every matrix draws its own A and B here; sharing them between matrices saves memory and no trained number.

    Attributes:
        rank: columns of A. It may be above the matrix's own rank: what counts is a vector of this length.
        start: first value of d.
    """

    rank: int = 256
    start: float = 0.1

    def __post_init__(self) -> None:
        """Refuses a rank below 1 and a start of zero, from which no gradient would reach b."""
        check.at_least("rank", self.rank, 1)
        check.positive("start", self.start)

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """A and B uniform with the variance 1 / 3 over their inputs; d constant; b zero."""
        a_key, b_key = jax.random.split(key)
        n_in, n_out = base.shape
        frozen = {
            "a": jax.random.uniform(a_key, (n_in, self.rank), minval=-1, maxval=1) * n_in**-0.5,
            "b": jax.random.uniform(b_key, (self.rank, n_out), minval=-1, maxval=1) * self.rank**-0.5,
        }
        return Start({"d": jnp.full(self.rank, self.start), "b": jnp.zeros(n_out)}, frozen)

    def stored(self, base: Any, trained: Params, frozen: Params) -> Params:
        """base, A * d and B * b, kept apart."""
        return {"base": base, "a": frozen["a"] * trained["d"][None, :], "b": frozen["b"] * trained["b"][None, :]}

    def count(self, shape: tuple[int, ...]) -> int:
        """rank + out."""
        return self.rank + shape[1]


@dataclasses.dataclass(frozen=True)
class TinyLora:
    """base + U S (sum_i v_i P_i) V^T: leading singular triplets, frozen random P_i, a trained vector v.

    Morris et al., "Learning to reason in 13 parameters" (arXiv:2602.04118); it starts from LoRA-XS (arXiv:2405.17604).

    Attributes:
        rank: singular triplets that are used, at most the smaller side of the matrix.
        width: length of v.
    """

    rank: int = 2
    width: int = 64

    def __post_init__(self) -> None:
        """Refuses sizes below 1."""
        check.at_least("rank", self.rank, 1)
        check.at_least("width", self.width, 1)

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """v zero; the P_i normal with variance 1 / width, so that sum_i v_i P_i is of the size of v's entries."""
        check_rank(self.rank, base.shape)
        u, s, vt = jnp.linalg.svd(base.astype(jnp.float32), full_matrices=False)
        frozen = {
            "a": u[:, : self.rank] * s[None, : self.rank],
            "b": vt[: self.rank],
            "mixers": jax.random.normal(key, (self.width, self.rank, self.rank)) * self.width**-0.5,
        }
        return Start({"v": jnp.zeros(self.width)}, frozen)

    def stored(self, base: Any, trained: Params, frozen: Params) -> Params:
        """base, U S (sum_i v_i P_i) and V^T, kept apart."""
        mixer = jnp.einsum("i,ijk->jk", trained["v"], frozen["mixers"])
        return {"base": base, "a": frozen["a"] @ mixer, "b": frozen["b"]}

    def count(self, shape: tuple[int, ...]) -> int:
        """width."""
        check_rank(self.rank, shape)
        return self.width
