"""Training of the transformer: one Method and one compiled loop.

The losses, the score and the recipes are re-exported, so that a caller of the trainer needs this module alone.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check
from qgen.lm import data
from qgen.lm.losses import (
    Objective,
    bits_per_byte,
    cross_entropy,
    distillation,
    distillation_loss,
    loss,
    token_loss,
)
from qgen.lm.recipes import Optimiser, Recipe, adamw, sgd
from qgen.lm.transformer import Config
from qgen.method import Info, Method
from qgen.types import Array, Float, Int, Key, Params, PyTree

__all__ = [
    "Fit",
    "Objective",
    "Optimiser",
    "Problem",
    "Recipe",
    "State",
    "adamw",
    "advance",
    "begin",
    "bits_per_byte",
    "cross_entropy",
    "distillation",
    "distillation_loss",
    "fit",
    "loss",
    "problem",
    "sgd",
    "token_loss",
    "trainer",
]

BLOCK = 1 << 16
"""Token streams are padded to a multiple of this, so that corpora of similar length share one compiled program."""
STRETCH = 1 << 10
"""The most steps of one call of the compiled loop; how many it does is data, so runs of all lengths share it."""


class Problem(NamedTuple):
    """What the training Method works on.

    Attributes:
        params: the parameters to start from.
        tokens: the token stream, padded or not.
        length: how many of its tokens count.
        recipe: the hyperparameters.
        steps: length of the recipe's schedule.
        extra: what the objective needs beside the trained parameters (a teacher, a frozen base).
    """

    params: Params
    tokens: Int[Array, " padded"]
    length: Int[Array, ""] | int
    recipe: Recipe
    steps: Int[Array, ""] | int
    extra: PyTree = ()


class State(NamedTuple):
    """What a training step hands on: the parameters and the optimiser's state."""

    params: Params
    optimiser: Any


class Fit(NamedTuple):
    """Trained parameters and the training loss before each step, nats per token, [steps]."""

    params: Params
    losses: Float[Array, " steps"]


def trainer(config: Config, batch: int, optimiser: Optimiser = adamw, objective: Objective | None = None) -> Method:
    """Training as a Method over a Problem; its answer is the parameters.

    Args:
        config: the architecture; its context is the window length.
        batch: windows per step.
        optimiser: `(recipe, steps) -> GradientTransformation`.
        objective: the loss; None is `cross_entropy(config)`.
    """
    check.at_least("batch", batch, 1)
    return _trainer(config, batch, optimiser, objective or cross_entropy(config))


@functools.lru_cache
def _trainer(config: Config, batch: int, optimiser: Optimiser, objective: Objective) -> Method:
    def init(key: Key, problem: Problem) -> State:
        del key
        return State(problem.params, optimiser(problem.recipe, problem.steps).init(problem.params))

    def step(key: Key, state: State, problem: Problem) -> tuple[State, Info]:
        batch_key, dropout_key = jax.random.split(key)
        inputs, targets = data.batch(batch_key, problem.tokens, batch, config.context, problem.length)
        value, gradient = jax.value_and_grad(objective)(state.params, problem.extra, inputs, targets, dropout_key)
        updates, inner = optimiser(problem.recipe, problem.steps).update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, inner), Info(value, jnp.isfinite(value))

    return Method(init, step, lambda state, problem: state.params)


def fit(
    key: Key,
    params: Params,
    config: Config,
    tokens: Int[Array, " length"] | np.ndarray,
    recipe: Recipe,
    steps: int,
    batch: int,
    *,
    optimiser: Optimiser = adamw,
    objective: Objective | None = None,
    extra: PyTree = (),
) -> Fit:
    """Trains for `steps` steps in one compiled loop; works under vmap over keys, parameters and recipes.

    The program is compiled once per architecture, batch, optimiser, objective and padded length, and kept for the life
    of the process.

    Args:
        key: the random key of the batches (and of dropout).
        params: the parameters to start from.
        config: the architecture.
        tokens: the training stream, more than `context` tokens.
        recipe: the hyperparameters.
        steps: training steps.
        batch: windows of `context` tokens per step.
        optimiser: `adamw`, `sgd`, or any module-level `(recipe, steps) -> GradientTransformation`.
        objective: the loss; None is `cross_entropy(config)`.
        extra: what the objective needs beside the parameters.

    Returns:
        A Fit. A run that diverged has losses that are not finite.

    Raises:
        ValueError: if the stream is no longer than `context`, or `steps` or `batch` is below 1.
    """
    check.at_least("tokens.size", tokens.shape[0], config.context + 1)
    training = trainer(config, batch, optimiser, objective)
    given = problem(params, tokens, recipe, steps, extra)
    # As `method.run` does: the first half of the key belongs to the start.
    state, losses = advance(jax.random.split(key)[1], training, given, begin(training, given), 0, steps)
    return Fit(state.params, losses)


def problem(params: Params, tokens: Array | np.ndarray, recipe: Recipe, steps: int, extra: PyTree = ()) -> Problem:
    """A training Problem with the stream padded to a multiple of BLOCK tokens, for a schedule of `steps` steps."""
    check.at_least("steps", steps, 1)
    length = tokens.shape[0]
    padded = jnp.pad(jnp.asarray(tokens), (0, -length % BLOCK))
    recipe = Recipe(*(jnp.asarray(value, jnp.float32) for value in recipe))
    return Problem(params, padded, jnp.asarray(length, jnp.int32), recipe, jnp.asarray(steps, jnp.int32), extra)


@functools.partial(jax.jit, static_argnames="training")
def begin(training: Method, problem: Problem) -> State:
    """The state before the first step (the trainer draws nothing for it)."""
    return training.init(jax.random.key(0), problem)


def advance(
    key: Key, training: Method, problem: Problem, state: State, start: int, stop: int
) -> tuple[State, Float[Array, " steps"]]:
    """The steps from `start` up to `stop`: the state after them, and the loss before each; step t uses fold_in(key, t).

    Args:
        key: the random key of all steps.
        training: what `trainer` made.
        problem: the problem.
        state: the state before step `start`.
        start: steps done so far.
        stop: steps done in the end, above `start`.
    """
    check.at_least("stop", stop, start + 1)
    losses = []
    for first in range(start, stop, STRETCH):
        last = min(first + STRETCH, stop)
        state, seen = _advance(key, training, problem, state, first, last)
        losses.append(seen[: last - first])
    return state, jnp.concatenate(losses)


@functools.partial(jax.jit, static_argnames="training")
def _advance(key: Key, training: Method, problem: Problem, state: State, start: Array | int, stop: Array | int):
    def body(t: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, losses = carry
        state, info = training.step(jax.random.fold_in(key, t), state, problem)
        return state, losses.at[t - start].set(info.loss)

    return jax.lax.fori_loop(start, stop, body, (state, jnp.zeros(STRETCH)))
