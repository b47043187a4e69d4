"""How XLA runs a batch: the batch axis last, in chunks that stay in the second-level cache."""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from qgen.circuits.engine.derivatives import Arrays, fronted
from qgen.types import Array

CHUNK_BYTES = 1 << 20
"""A batch runs in chunks whose states take about this much memory, so that a chunk stays in the second-level cache."""

CHUNK_FROM = 1 << 21
"""Batches whose states take less than this are run whole: a loop has its price too."""


class Job(Protocol):
    """What runs one example and, by another program, a batch; hashable, because it is a static argument."""

    def single(self, *inputs: Array) -> Arrays:
        """The results for one example, under jax's own transformations."""
        ...

    def batch(self, size: int, batched: tuple[bool, ...], inputs: Arrays) -> tuple[Arrays, tuple[bool, ...]]:
        """The results for a batch of this size, and which of them have its axis, the first, as the `batched` inputs."""
        ...

    def like(self, inputs: Any) -> Any:
        """The inputs whose shapes and types the results for one example have."""
        ...


def run(job: Job, *inputs: Array) -> Arrays:
    """The results of a job; under vmap those of its batch, of which further axes of vmap follow jax's own rules.

    As jax's custom_vmap, which would trace the program for one example first, in vain where there is a batch.
    """
    return tuple(_job.bind(*inputs, job=job))


def _batch(operands: Any, axes: Any, *, job: Job) -> tuple[Arrays, list[int | None]]:
    size, given, batched = fronted(operands, axes)
    results, flags = job.batch(size, tuple(batched), tuple(given))
    return results, [0 if flag else None for flag in flags]


_job = Primitive("qgen_job")
_job.multiple_results = True
_job.def_impl(lambda *operands, job: list(job.single(*operands)))
_job.def_abstract_eval(lambda *operands, job: list(job.like(operands)))
mlir.register_lowering(_job, mlir.lower_fun(lambda *operands, job: job.single(*operands), multiple_results=True))
batching.primitive_batchers[_job] = _batch


def turned(x: Array) -> Array:
    """[B, 2, N] -> [N, 2, B] and back."""
    return x.transpose(2, 1, 0)


def last(numbers: Sequence[Array], own: Sequence[bool]) -> tuple[Array, ...]:
    """The batch axis, first in batched numbers, made last."""
    return tuple(jnp.moveaxis(a, 0, -1) if flag else a for a, flag in zip(numbers, own, strict=True))


def chunked(
    run: Any,
    size: int,
    n: int,
    dtype: Any,
    numbers: Sequence[Array],
    own: Sequence[bool],
    states: Sequence[Array],
    sums: Any = False,
) -> Any:
    """Runs a batch in equal chunks of at most about CHUNK_BYTES; the last is filled up with zeros.

    `run` gets the length of its chunk, then its part of the numbers and of the states. `sums` says which results are
    sums over the batch; without, none is.
    """
    each = 2 ** (n + 1) * dtype.itemsize
    most = max(8, CHUNK_BYTES // each)
    if size and (size * each <= CHUNK_FROM or size < 2 * most):
        return run(size, tuple(numbers), *states)
    count = max(1, -(-size // most))  # an empty batch is one chunk of an example that is left out again
    chunk = max(1, -(-size // count))

    def split(a: Array) -> Array:
        if count * chunk > size:
            a = jnp.concatenate([a, jnp.zeros((count * chunk - size, *a.shape[1:]), a.dtype)])
        return a.reshape(count, chunk, *a.shape[1:])

    def step(_: None, xs: Any) -> Any:
        given, parts = xs
        arriving = iter(given)
        merged = tuple(next(arriving) if flag else a for a, flag in zip(numbers, own, strict=True))
        return None, run(chunk, merged, *parts)

    def join(y: Array, total: bool) -> Array:
        return jnp.sum(y, 0) if total else y.reshape(count * chunk, *y.shape[2:])[:size]

    moving = [split(a) for a, flag in zip(numbers, own, strict=True) if flag]
    _, result = jax.lax.scan(step, None, (moving, [split(x) for x in states]))
    return jax.tree.map(join, result, sums if sums else jax.tree.map(lambda _: False, result))
