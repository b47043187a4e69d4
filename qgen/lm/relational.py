"""Relational distillation: the student's features should lie to one another as the teacher's do.

Besides the logits (KD, `losses.distillation_loss`) a student can be taught the distances and angles among a batch's
features (RKD, Park et al., arXiv:1904.05068) and their Gram matrix under a kernel (QRKD, arXiv:2508.13054). A kernel is
a function that is passed in, so that a classical and a quantum one are compared with all else equal. Nothing between
the kernel and the student is detached.
"""

import dataclasses
import functools
from collections.abc import Callable

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


@dataclasses.dataclass(frozen=True)
class Weights:
    """How much each term counts.

    Attributes:
        logits: share of the teacher's logits; the labels' cross-entropy has the rest.
        distance: weight of RKD's distances.
        angle: weight of RKD's angles.
        kernel: weight of the Gram matrices' mean squared difference.
        temperature: divides both models' logits.
    """

    logits: float = 0.0
    distance: float = 0.0
    angle: float = 0.0
    kernel: float = 0.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        """Refuses negative weights, a share above 1 and temperatures that are not positive."""
        check.within("logits", self.logits, 0, 1)
        for name in ("distance", "angle", "kernel"):
            check.at_least(name, getattr(self, name), 0)
        check.positive("temperature", self.temperature)


SCRATCH = Weights()
KD = Weights(logits=0.5)
RKD = Weights(distance=1.0, angle=2.0)
KD_RKD = Weights(logits=0.5, distance=1.0, angle=2.0)
KD_RKD_KERNEL = Weights(logits=0.5, distance=1.0, angle=2.0, kernel=1.0)
"""The factorial's arms; the last is run once per kernel: RBF, fidelity, quantum without and with entanglement."""


@functools.lru_cache
def objective(student: Config, teacher: Config, weights: Weights, gram: Gram | None = None) -> Objective:
    """Any mixture of labels, logits, relations and a kernel as an objective; `extra` holds the teacher's parameters.

    A sequence's feature is the mean over its positions of the hidden states that the head reads.

    Args:
        student: the architecture that learns.
        teacher: the architecture that is learned from; its features may be wider.
        weights: of the terms.
        gram: the kernel, for a kernel weight above zero.

    Raises:
        ValueError: if the vocabularies differ, or a kernel weight comes without a kernel.
    """
    if student.vocabulary != teacher.vocabulary:
        raise ValueError(
            f"Argument `student` must have the teacher's vocabulary {teacher.vocabulary}, but has {student.vocabulary}."
        )
    if weights.kernel and gram is None:
        raise ValueError("Argument `gram` must be a kernel where its weight is above 0, but is None.")

    def mixed(params: Params, extra: Params, inputs: Array, targets: Array, key: Key) -> Array:
        hidden = transformer.apply(params, inputs, student, features=True, key=key)
        logits = _logits(params, hidden)
        if not (weights.logits or weights.distance or weights.angle or weights.kernel):
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets))
        aim = jax.lax.stop_gradient(transformer.apply(extra, inputs, teacher, features=True))
        aim_logits = jax.lax.stop_gradient(_logits(extra, aim))
        total = losses.distillation_loss(logits, aim_logits, targets, weights.temperature, weights.logits)
        features, wanted = (part.astype(jnp.float32).mean(axis=1) for part in (hidden, aim))
        return total + relational_loss(features, wanted, weights, gram)

    return mixed


def _logits(params: Params, hidden: Array) -> Array:
    return stored.product(hidden, stored.unpack(params["head"]["kernel"])).astype(jnp.float32)


def relational_loss(
    student: Float[Array, "batch narrow"], teacher: Float[Array, "batch wide"], weights: Weights, gram: Gram | None
) -> Float[Array, ""]:
    """The weighted relational terms for given features."""
    total = jnp.zeros(())
    if weights.distance:
        total += weights.distance * _huber(distances(student), distances(teacher))
    if weights.angle:
        total += weights.angle * _huber(angles(student), angles(teacher))
    if weights.kernel and gram is not None:
        total += weights.kernel * jnp.mean((gram(student) - gram(teacher)) ** 2)
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
