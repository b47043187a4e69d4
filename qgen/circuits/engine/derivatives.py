"""Derivatives of what an engine runs: in reverse mode by the engine's own adjoint program, in all else by jax's rules.

A custom_vjp has no forward mode and no second derivative. Here the derivative is a linear primitive, as it is for jax's
own functions. Transposed, which is what reverse mode does, it is the engine's adjoint program. Pushed forward, or
differentiated again, it is jax's derivative of a plain program that computes the same.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from qgen.types import Array

Arrays = tuple[Array, ...]


class Rule(Protocol):
    """What an engine runs and its adjoint program; hashable, because it is a static argument."""

    sums: bool
    """Whether `backward` can add up derivatives over a batch that shares an input."""

    def value(self, *inputs: Array) -> Arrays:
        """The results where no derivative is wanted."""
        ...

    def forward(self, *inputs: Array) -> tuple[Arrays, Arrays]:
        """The results, and what `backward` wants to keep of the way there."""
        ...

    def backward(
        self, inputs: Arrays, results: Arrays, kept: Arrays, cotangents: Arrays, shared: tuple[bool, ...]
    ) -> Arrays:
        """The cotangents of the inputs; those that are `shared` may be added up over the axis of an enclosing vmap."""
        ...

    def plain(self, *inputs: Array) -> Arrays:
        """The results from operations that jax differentiates in any mode and order."""
        ...


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def evaluate(rule: Rule, inputs: Arrays) -> Arrays:
    """The results of a rule, with derivatives of every mode and order.

    Args:
        rule: the engine's program.
        inputs: floating arrays.

    Returns:
        The results.
    """
    return rule.value(*inputs)


@evaluate.defjvp
def _(rule: Rule, primals: tuple[Arrays], changes: tuple[Arrays]) -> tuple[Arrays, Arrays]:
    (results, _), (pushed, _) = _differentiate(rule, primals, changes)
    return results, pushed


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _forward(rule: Rule, inputs: Arrays) -> tuple[Arrays, Arrays]:
    return rule.forward(*inputs)


@_forward.defjvp
def _differentiate(rule: Rule, primals: tuple[Arrays], changes: tuple[Arrays]) -> tuple[Any, Any]:
    (inputs,), (moves,) = primals, changes
    results, kept = _forward(rule, inputs)
    operands = (*moves, *inputs, *results, *kept)
    pushed = _derivative.bind(*operands, rule=rule, levels=(), n=len(inputs), m=len(results))
    # What is kept only speeds `backward` up: its own derivative is never asked for (see `_backward`).
    return (results, kept), (tuple(pushed), jax.tree.map(jnp.zeros_like, kept))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _backward(
    rule: Rule, shared: tuple[bool, ...], inputs: Arrays, results: Arrays, kept: Arrays, cotangents: Arrays
) -> Arrays:
    return tuple(rule.backward(inputs, results, kept, cotangents, shared))


@_backward.defjvp
def _(rule: Rule, shared: tuple[bool, ...], primals: tuple[Any, ...], changes: tuple[Any, ...]) -> tuple[Any, Any]:
    inputs, _, _, cotangents = primals

    def plain(inputs: Arrays, cotangents: Arrays) -> Arrays:
        return jax.vjp(rule.plain, *inputs)[1](cotangents)

    pushed = jax.jvp(plain, (inputs, cotangents), (changes[0], changes[3]))[1]
    return _backward(rule, shared, *primals), pushed


class _Level(NamedTuple):
    """One batch axis of the derivative: which of its operands have it. Results and cotangents always do."""

    moves: tuple[bool, ...]
    inputs: tuple[bool, ...]
    kept: tuple[bool, ...]


def _axes(flags: Sequence[bool]) -> tuple[int | None, ...]:
    return tuple(0 if flag else None for flag in flags)


def _push(rule: Rule, levels: Sequence[_Level], moves: Arrays, inputs: Arrays) -> Arrays:
    """The derivative along `moves`, by jax's rules."""
    if not levels:
        return jax.jvp(rule.plain, inputs, moves)[1]
    axes = (_axes(levels[0].moves), _axes(levels[0].inputs))
    return jax.vmap(functools.partial(_push, rule, levels[1:]), axes)(moves, inputs)


def _pull(
    rule: Rule, levels: Sequence[_Level], inputs: Arrays, results: Arrays, kept: Arrays, cotangents: Arrays
) -> Arrays:
    """The transposed derivative, by the engine's adjoint program."""
    if not levels:
        return _backward(rule, (False,) * len(inputs), inputs, results, kept, cotangents)
    level = levels[0]
    axes = (_axes(level.inputs), 0, _axes(level.kept), 0)
    if len(levels) == 1 and rule.sums:
        shared = tuple(not a and not b for a, b in zip(level.moves, level.inputs, strict=True))
        run, out = functools.partial(_backward, rule, shared), _axes([not flag for flag in shared])
    else:
        shared, run, out = (False,) * len(inputs), functools.partial(_pull, rule, levels[1:]), 0
    grads = jax.vmap(run, axes, out)(inputs, results, kept, cotangents)
    own = zip(grads, shared, level.moves, strict=True)
    return tuple(g if moves or summed else jnp.sum(g, 0) for g, summed, moves in own)


def _split(operands: Sequence[Any], n: int, m: int) -> tuple[Arrays, Arrays, Arrays, Arrays]:
    """Moves, inputs, results, kept."""
    given = tuple(operands)
    return given[:n], given[n : 2 * n], given[2 * n : 2 * n + m], given[2 * n + m :]


def _run(*operands: Array, rule: Rule, levels: tuple[_Level, ...], n: int, m: int) -> Arrays:
    moves, inputs, _, _ = _split(operands, n, m)
    return tuple(_push(rule, levels, moves, inputs))


def _shapes(*operands: Any, rule: Rule, levels: tuple[_Level, ...], n: int, m: int) -> list[Any]:
    del rule, levels
    return list(_split(operands, n, m)[2])


def _jvp(primals: Any, changes: Any, *, rule: Rule, levels: tuple[_Level, ...], n: int, m: int) -> tuple[Any, Any]:
    static: dict[str, Any] = {"rule": rule, "levels": levels, "n": n, "m": m}
    found = _derivative.bind(*primals, **static)
    along, around = changes[:n], changes[n : 2 * n]
    moved = [ad.instantiate_zeros(change) for change in along]
    if all(isinstance(change, ad.Zero) for change in around):
        return found, _derivative.bind(*moved, *primals[n:], **static)
    both = (*moved, *(ad.instantiate_zeros(change) for change in around))

    def plain(*given: Array) -> Arrays:
        return _push(rule, levels, given[:n], given[n:])

    return found, list(jax.jvp(plain, tuple(primals[: 2 * n]), both)[1])


def _transpose(
    cotangents: Any, *operands: Any, rule: Rule, levels: tuple[_Level, ...], n: int, m: int
) -> list[Array | None]:
    moves, inputs, results, kept = _split(operands, n, m)
    given = tuple(ad.instantiate_zeros(cotangent) for cotangent in cotangents)
    grads = _pull(rule, levels, inputs, results, kept, given)
    found = [g if ad.is_undefined_primal(move) else None for g, move in zip(grads, moves, strict=True)]
    return [*found, *[None] * (len(operands) - n)]


def fronted(operands: Any, axes: Any) -> tuple[int, list[Array], list[bool]]:
    """A batch's size, its operands with its axis first, and which of them have it: what a batching rule begins with."""
    size = next(x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None)
    given = [x if axis is None else jnp.moveaxis(x, axis, 0) for x, axis in zip(operands, axes, strict=True)]
    return size, given, [axis is not None for axis in axes]


def _batch(
    operands: Any, axes: Any, *, rule: Rule, levels: tuple[_Level, ...], n: int, m: int
) -> tuple[list[Array], list[int]]:
    size, given, flags = fronted(operands, axes)
    for k in range(2 * n, 2 * n + m):  # the results tell the shape of the derivative
        given[k] = given[k] if flags[k] else jnp.broadcast_to(given[k], (size, *given[k].shape))
    level = _Level(tuple(flags[:n]), tuple(flags[n : 2 * n]), tuple(flags[2 * n + m :]))
    found = _derivative.bind(*given, rule=rule, levels=(level, *levels), n=n, m=m)
    return found, [0] * m


_derivative = Primitive("qgen_derivative")
_derivative.multiple_results = True
_derivative.def_impl(lambda *operands, **static: list(_run(*operands, **static)))
_derivative.def_abstract_eval(_shapes)
mlir.register_lowering(_derivative, mlir.lower_fun(_run, multiple_results=True))
ad.primitive_jvps[_derivative] = _jvp
ad.primitive_transposes[_derivative] = _transpose
batching.primitive_batchers[_derivative] = _batch
