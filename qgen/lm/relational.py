"""Relational distillation: the student's features should lie to one another as the teacher's do.

Besides the logits (KD, `losses.distillation_loss`) a student can be taught the distances and angles among a batch's
features (RKD, Park et al., arXiv:1904.05068) and their Gram matrix under a kernel (QRKD, arXiv:2508.13054). A kernel is
a function that is passed in, so that a classical and a quantum one are compared with all else equal. Nothing between
the kernel and the student is detached.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from qgen import check
from qgen.lm import losses, transformer
from qgen.lm import weights as stored
from qgen.lm.losses import Objective
from qgen.lm.transformer import Config
from qgen.types import Array, Float, Key, Params

Gram = Callable[[Array], Array]
"""Features [batch, features] of any width -> [batch, batch], differentiable, entries in [0, 1]."""

TINY = 1e-12
"""Keeps the slope of a square root finite where two features are equal."""


class Weights(NamedTuple):
    """How much each term counts; numbers, or arrays that may be traced and vmapped.

    Attributes:
        logits: share of the teacher's logits in [0, 1]; the labels' cross-entropy has the rest.
        distance: weight of RKD's distances.
        angle: weight of RKD's angles.
        kernels: weight of the Gram matrices' mean squared difference, one per kernel.
        temperature: divides both models' logits.
    """

    logits: float | Array = 0.0
    distance: float | Array = 0.0
    angle: float | Array = 0.0
    kernels: tuple[float, ...] | Array = ()
    temperature: float | Array = 2.0


SCRATCH = Weights()
KD = Weights(logits=0.5)
RKD = Weights(distance=1.0, angle=2.0)
KD_RKD = Weights(logits=0.5, distance=1.0, angle=2.0)
KD_RKD_KERNEL = KD_RKD._replace(kernels=(1.0,))
"""The factorial's arms; the last is run once per kernel: RBF, fidelity, quantum without and with entanglement."""


@functools.lru_cache
def objective(student: Config, teacher: Config, weights: Weights | None, grams: tuple[Gram, ...] = ()) -> Objective:
    """Any mixture of labels, logits, relations and kernels as an objective; `extra` holds the teacher's parameters.

    A sequence's feature is the mean over its positions of the hidden states that the head reads.

    Args:
        student: the architecture that learns.
        teacher: the architecture that is learned from; its features may be wider.
        weights: numbers, where terms of weight 0 are left out of the program; None takes them from `extra`, which is
            then (the teacher's parameters, Weights), so that one program trains every mixture.
        grams: the kernels.

    Raises:
        ValueError: if the vocabularies differ, a weight is out of range, or kernels and their weights differ in number.
    """
    if student.vocabulary != teacher.vocabulary:
        raise ValueError(
            f"Argument `student` must have the teacher's vocabulary {teacher.vocabulary}, but has {student.vocabulary}."
        )
    if weights is not None:
        _check(weights, grams)

    def mixed(params: Params, extra: Any, inputs: Array, targets: Array, key: Key) -> Array:
        teacher_params, used = (extra, weights) if weights is not None else extra
        hidden = transformer.apply(params, inputs, student, features=True, key=key)
        logits = _logits(params, hidden)
        if not any(map(_counts, (used.logits, used.distance, used.angle, *used.kernels))):
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets))
        aim = jax.lax.stop_gradient(transformer.apply(teacher_params, inputs, teacher, features=True))
        aim_logits = jax.lax.stop_gradient(_logits(teacher_params, aim))
        total = losses.distillation_loss(logits, aim_logits, targets, used.temperature, used.logits)
        features, wanted = (part.astype(jnp.float32).mean(axis=1) for part in (hidden, aim))
        return total + relational_loss(features, wanted, used, grams)

    return mixed


def _check(weights: Weights, grams: tuple[Gram, ...]) -> None:
    check.within("logits", float(weights.logits), 0, 1)
    for name, value in (("distance", weights.distance), ("angle", weights.angle)):
        check.at_least(name, float(value), 0)
    for value in weights.kernels:
        check.at_least("kernels", float(value), 0)
    check.positive("temperature", float(weights.temperature))
    if len(weights.kernels) != len(grams):
        raise ValueError(f"Argument `grams` must hold {len(weights.kernels)} kernels, but holds {len(grams)}.")


def _counts(weight: float | Array) -> bool:
    """Whether a term is part of the program: a traced weight may be anything."""
    return not isinstance(weight, int | float) or weight != 0


def _logits(params: Params, hidden: Array) -> Array:
    return stored.product(hidden, stored.unpack(params["head"]["kernel"])).astype(jnp.float32)


def relational_loss(
    student: Float[Array, "batch narrow"],
    teacher: Float[Array, "batch wide"],
    weights: Weights,
    grams: tuple[Gram, ...] = (),
) -> Float[Array, ""]:
    """The weighted relational terms for given features."""
    total = jnp.zeros(())
    if _counts(weights.distance):
        total += weights.distance * _huber(distances(student), distances(teacher))
    if _counts(weights.angle):
        total += weights.angle * _huber(angles(student), angles(teacher))
    for place, gram in enumerate(grams):
        if _counts(weights.kernels[place]):
            total += weights.kernels[place] * jnp.mean((gram(student) - gram(teacher)) ** 2)
    return total


def distances(features: Float[Array, "batch features"]) -> Float[Array, "batch batch"]:
    """Distances between features, over their mean over pairs."""
    lengths = jnp.sqrt(_squares(features) + TINY)
    n = features.shape[0]
    off = 1 - jnp.eye(n)
    return off * lengths / (jnp.sum(off * lengths) / (n * (n - 1)))


def angles(features: Float[Array, "batch features"]) -> Float[Array, "batch batch batch"]:
    """Cosines of the angles at j between i and k, [j, i, k]."""
    away = features[None, :, :] - features[:, None, :]
    away = away * jax.lax.rsqrt(jnp.sum(away**2, axis=-1, keepdims=True) + TINY)
    return jnp.einsum("jid,jkd->jik", away, away)


def rbf(features: Float[Array, "batch features"]) -> Float[Array, "batch batch"]:
    """exp(-|f_i - f_j|^2 / mean |f - f'|^2): a classical kernel without a width to tune."""
    squares = _squares(features)
    n = features.shape[0]
    return jnp.exp(-squares / (jnp.sum(squares) / (n * (n - 1)) + TINY))


def fidelity(features: Float[Array, "batch features"]) -> Float[Array, "batch batch"]:
    """|<f_i|f_j>|^2 of normalised features: what amplitude encoding computes, classically."""
    unit = features * jax.lax.rsqrt(jnp.sum(features**2, axis=1, keepdims=True) + TINY)
    return (unit @ unit.T) ** 2


def _squares(features: Array) -> Array:
    return jnp.sum((features[:, None, :] - features[None, :, :]) ** 2, axis=-1)


def _huber(made: Array, wanted: Array) -> Array:
    return jnp.mean(optax.losses.huber_loss(made, wanted))
