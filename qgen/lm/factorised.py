"""Low-rank factors in place of a model's matrices, and what flows into each matrix, to choose factors by."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from qgen.lm import transformer, weights
from qgen.lm.adapters import BLOCKS, matrices, replaced
from qgen.types import Array, Float, Int, Params

Forward = Callable[[Params, Any], Any]
"""`(params, data) -> anything`: one pass of a model whose products all go through `weights.product`."""


def inputs(
    forward: Forward, params: Params, data: Any, targets: Sequence[str] | None = BLOCKS
) -> dict[str, Float[Array, "positions in"]]:
    """Place -> the rows that the matrix there is multiplied with, in one pass of a model.

    Args:
        forward: the model; it must not jit on its own, while a call of this function may be jitted.
        params: its parameters.
        data: what it reads.
        targets: layers, as in `adapters.matrices`.
    """
    seen: dict[str, list[Array]] = {}
    watched = {}
    for place, kernel in matrices(params, targets).items():
        seen[place] = []
        watched[place] = weights.Watched(weights.unpack(kernel), seen[place].append)
    forward(replaced(params, watched), data)
    return {place: jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in rows]) for place, rows in seen.items()}


@functools.partial(jax.jit, static_argnames="config")
def block_inputs(
    params: Params, tokens: Int[Array, "batch time"], config: transformer.Config
) -> dict[str, Float[Array, "positions in"]]:
    """What flows into the matrices of the transformer's blocks."""
    return inputs(lambda params, tokens: transformer.apply(params, tokens, config), params, tokens)


def factorise(params: Params, factors: Mapping[str, tuple[Array, Array]]) -> Params:
    """The model with products in the place of some matrices.

    Args:
        params: the parameters.
        factors: place -> (left, right).
    """
    return replaced(params, {place: {"left": left, "right": right} for place, (left, right) in factors.items()})
