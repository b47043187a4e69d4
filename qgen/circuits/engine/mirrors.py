"""How XLA runs rotations by a Pauli word that flips many bits."""

import jax
import jax.numpy as jnp

from qgen.circuits.engine import EXACT, Prepared, moves
from qgen.circuits.engine.trigonometry import cos_sin
from qgen.circuits.observables import parities
from qgen.circuits.program import Affine, Mirror
from qgen.types import Array


def entries(stage: Mirror, turns: int, n: int, batched: bool, own: bool) -> int:
    """How many numbers are kept if the cosines and sines of so many turns of the loops are made at once."""
    return 2 * turns


def prepare(t: Array, own: bool) -> Prepared:
    """Cosine and sine of half the angle, [..loops.., 2] or, where every example has its own, [..loops.., 2, B]."""
    return Prepared(jnp.concatenate(cos_sin(t / 2), -2 if own else -1))


def _turned(stage: Mirror, x: Array, n: int, batched: bool) -> Array:
    """-i P x."""
    half, ys = n // 2, (stage.flip & stage.sign).bit_count()
    if stage.flip == 2**n - 1:  # faster than a gather, but of several axes it takes minutes to compile
        moved = jnp.flip(x, 0 if batched else 1)
    else:
        moved = moves.permute(Affine(tuple(1 << (n - 1 - q) for q in range(n)), stage.flip), x, n, batched)
    high = parities([stage.sign >> half], n - half)
    low = parities([stage.sign & ((1 << half) - 1)], half)
    # The sign is read before the flip, and i^(ys + 1) is a sign, times -i where ys is even.
    signs = jnp.asarray(high, x.dtype) * jnp.asarray(-low.T if ys % 4 in (1, 2) else low.T, x.dtype)
    if not ys % 2:
        axis = 1 if batched else 0
        re, im = jnp.split(moved, 2, axis)
        moved = jnp.concatenate([im, -re], axis)
    return moved * (signs.reshape(-1, 1, 1) if batched else signs.reshape(1, -1))


def run(stage: Mirror, prepared: Prepared, x: Array, n: int, batched: bool, own: bool, inverse: bool = False) -> Array:
    """Applies the rotation or its inverse; `own` says that every example has an angle of its own."""
    return _rotated(prepared, x, _turned(stage, x, n, batched), own, inverse)


def _rotated(prepared: Prepared, x: Array, y: Array, own: bool, inverse: bool) -> Array:
    """The rotation of x, or its inverse, from y = -i P x."""
    c, s = prepared.moving
    if own:
        c, s = c.reshape(1, 1, -1), s.reshape(1, 1, -1)
    # Without the barrier XLA fuses neighbouring rotations and computes each amplitude from 2**rotations others.
    return jax.lax.optimization_barrier(c * x - s * y if inverse else c * x + s * y)


def undo(
    stage: Mirror, prepared: Prepared, psi: Array, lam: Array, n: int, batched: bool, own: bool, summed: bool
) -> tuple[Array, Array, Array]:
    """Undoes the rotation of both states; also the derivative with respect to the angle, [1], or [1, B] of a batch.

    With `summed` that of a batch is summed, [1].
    """
    moved = _turned(stage, psi, n, batched)
    product = lam * moved
    if not batched or summed:
        slope = 0.5 * jnp.sum(product).reshape(1)
    else:
        product = product.reshape(-1, product.shape[-1])
        slope = jnp.matmul(jnp.full((1, product.shape[0]), 0.5, product.dtype), product, precision=EXACT)
    return _rotated(prepared, psi, moved, own, True), run(stage, prepared, lam, n, batched, own, True), slope
