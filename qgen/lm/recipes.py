"""Training hyperparameters and the optimisers that read them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from qgen.types import Array, PyTree


class Recipe(NamedTuple):
    """Training hyperparameters: numbers or arrays, which may be traced and vmapped.

    Attributes:
        learning_rate: the peak, reached after the warm-up.
        weight_decay: decoupled, on matrices alone.
        warmup: share of the steps in which the learning rate grows from zero.
        final: the learning rate at the end over the peak; it falls along a cosine.
        beta_1: decay of the gradient's average (the momentum of SGD).
        beta_2: decay of the squared gradient's average.
        clip: the largest global norm of a gradient.
    """

    learning_rate: float | Array = 2e-3
    weight_decay: float | Array = 0.1
    warmup: float | Array = 0.05
    final: float | Array = 0.05
    beta_1: float | Array = 0.9
    beta_2: float | Array = 0.99
    clip: float | Array = 1.0


Optimiser = Callable[[Recipe, int | Array], optax.GradientTransformation]
"""`(recipe, steps) -> GradientTransformation`, both of which may be traced. A module-level function compiles once; a
fresh lambda compiles anew."""


def schedule(recipe: Recipe, steps: int | Array) -> optax.Schedule:
    """Linear warm-up and a cosine to `final * learning_rate`, as a function of the step."""

    def rate(count: Any) -> Array:
        done = (count + 1) / steps
        warm = jnp.minimum(1.0, done / jnp.maximum(recipe.warmup, 1 / steps))
        fall = jnp.clip((done - recipe.warmup) / jnp.maximum(1 - recipe.warmup, 1 / steps), 0.0, 1.0)
        return recipe.learning_rate * warm * (recipe.final + (1 - recipe.final) * 0.5 * (1 + jnp.cos(jnp.pi * fall)))

    return rate


def adamw(recipe: Recipe, steps: int | Array) -> optax.GradientTransformation:
    """AdamW (arXiv:1711.05101) with the recipe's schedule and clipping."""
    return optax.chain(
        _clip(recipe.clip),
        optax.scale_by_adam(b1=recipe.beta_1, b2=recipe.beta_2),
        optax.add_decayed_weights(recipe.weight_decay, mask=_matrices),
        optax.scale_by_learning_rate(schedule(recipe, steps)),
    )


MUP_WIDTH = 32
"""The width at which muP's learning rate is the recipe's."""


def mup(recipe: Recipe, steps: int | Array) -> optax.GradientTransformation:
    """AdamW with muP's learning rates (arXiv:2203.03466, table 8): a matrix with n inputs has MUP_WIDTH / n of it.

    Embeddings, whose inputs are tokens, and vectors have all of it. So the best rate of a narrow model is that of a
    wide one whose attention heads are as wide, if it starts with `transformer.init(..., scheme="mup")`.
    """

    def update(updates: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, Any]:
        return jax.tree_util.tree_map_with_path(_slowed, updates), state

    scaled = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    return optax.chain(adamw(recipe, steps), scaled)


def _slowed(path: tuple[Any, ...], leaf: Array) -> Array:
    is_hidden = leaf.ndim > 1 and path[0].key != "embed"
    return leaf * (MUP_WIDTH / leaf.shape[0]) if is_hidden else leaf


def sgd(recipe: Recipe, steps: int | Array) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum `beta_1`, the recipe's schedule, decay and clipping."""
    return optax.chain(
        _clip(recipe.clip),
        optax.add_decayed_weights(recipe.weight_decay, mask=_matrices),
        optax.trace(decay=recipe.beta_1),
        optax.scale_by_learning_rate(schedule(recipe, steps)),
    )


def _clip(bound: float | Array) -> optax.GradientTransformation:
    """optax.clip_by_global_norm for a bound that may be traced."""

    def update(updates: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, Any]:
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g.astype(jnp.float32))) for g in jax.tree.leaves(updates)))
        factor = jnp.minimum(1.0, bound / jnp.maximum(norm, 1e-12))
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _matrices(params: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
