"""Engines: who runs a program.

The plain engine (`xla`) runs everywhere. Its state is a real array: [2, 2**n] (real and imaginary part) for one
example, [2**n, 2, B] for a batch, with the batch last so that every loop runs over it. Complex dtypes are slower on
CPUs, and real layers act on both parts alike.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.types import Array

EXACT = jax.lax.Precision.HIGHEST

READY_LIMIT = 1 << 15
"""Matrices and phases of all turns of the loops are made at once where all stages' together have at most so many
entries, or one state's, and else in each turn: their memory would grow with depth."""


class Prepared(NamedTuple):
    """What a stage's numbers are turned into before the loops run.

    Attributes:
        moving: arrays with an axis for each loop that advances the numbers.
        still: arrays that are the same in every turn of every loop.
    """

    moving: Any = ()
    still: Any = None


def settle(a: Array) -> Array:
    """The same array, computed once and kept.

    XLA fuses slices of a scan's rows and sines into every loop that reads them, barrier or not, and then computes them
    again for every amplitude. The operands and results of matrix products are kept: this is one with the identity.
    """
    size = math.gcd(a.shape[0], 8)
    size = a.shape[0] if size == 1 else size
    return jnp.matmul(np.eye(size, dtype=a.dtype), a.reshape(size, -1), precision=EXACT).reshape(a.shape)


def vary_alike(arrays: Sequence[Array]) -> list[Array]:
    """The arrays, inside a `jax.shard_map` all varying over the same of its axes: what calls and loops require."""
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return list(arrays)
    zero = jnp.zeros_like(sum(array.reshape(-1)[0] for array in arrays if array.size))
    return [array + zero for array in arrays]
