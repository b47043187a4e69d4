"""Smaller numbers for a trained model: real smaller buffers, which `transformer.apply` and `generate` read as is."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from qgen.lm.adapters import matrices, replaced
from qgen.types import Array, Float, Params

LEVELS = 127
"""Largest int8 magnitude in use; the range stays symmetric."""


def cast(params: Params, dtype: jnp.dtype) -> Params:
    """Every parameter in another float type, such as jnp.bfloat16 or jnp.float16; the computation runs in it too."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def int8(params: Params) -> Params:
    """Every matrix as int8 with one float32 scale per output feature (per row of the embedding): max |w| / 127.

    Rounding to the nearest level leaves an error of at most half a scale. Activations stay float32.
    """
    result = replaced(params, {place: _kernel(kernel) for place, kernel in matrices(params).items()})
    return result | {"embed": {"embedding": _quantise(params["embed"]["embedding"], axis=1)}}


def _kernel(kernel: Any) -> Any:
    """A layer's matrix; of a low-rank product, each factor."""
    if isinstance(kernel, Mapping):
        return {name: _quantise(factor, axis=0) for name, factor in kernel.items()}
    return _quantise(kernel, axis=0)


def _quantise(matrix: Float[Array, "rows columns"], axis: int) -> dict[str, Array]:
    matrix = matrix.astype(jnp.float32)
    largest = jnp.max(jnp.abs(matrix), axis=axis, keepdims=True)
    scale = jnp.where(largest > 0, largest, 1.0) / LEVELS
    return {"int8": jnp.round(matrix / scale).astype(jnp.int8), "scale": scale}


def nbytes(params: Params) -> int:
    """Bytes of all parameters in memory."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params))
