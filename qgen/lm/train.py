"""Training of the transformer: one Method, one jitted scan, and the losses that the stages share."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check, method
from qgen.lm import data, tokenizer, transformer
from qgen.lm.transformer import Config, Gates
from qgen.method import Info, Method
from qgen.types import Array, Bool, Float, Int, Key, Params, PyTree

BLOCK = 1 << 16
"""Token streams are padded to a multiple of this, so that corpora of similar length share one compiled program."""
EVALUATION_ROWS = 64


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

    learning_rate: float | Array = 3e-3
    weight_decay: float | Array = 0.1
    warmup: float | Array = 0.05
    final: float | Array = 0.05
    beta_1: float | Array = 0.9
    beta_2: float | Array = 0.99
    clip: float | Array = 1.0


class Problem(NamedTuple):
    """What the training Method works on.

    Attributes:
        params: the parameters to start from.
        tokens: the token stream, padded or not.
        length: how many of its tokens count.
        recipe: the hyperparameters.
        extra: what the objective needs beside the trained parameters (a teacher, a frozen base).
    """

    params: Params
    tokens: Int[Array, " padded"]
    length: Int[Array, ""] | int
    recipe: Recipe
    extra: PyTree = ()


class State(NamedTuple):
    """What a training step hands on; `count` is the number of steps taken."""

    params: Params
    optimiser: Any
    count: Int[Array, ""]


class Fit(NamedTuple):
    """Trained parameters and the training loss before each step, nats per token, [steps]."""

    params: Params
    losses: Float[Array, " steps"]


Optimiser = Callable[[Recipe, int], optax.GradientTransformation]
"""`(recipe, steps) -> GradientTransformation`. A module-level function compiles once; a fresh lambda compiles anew."""
Objective = Callable[[Params, Any, Array, Array, Key], Array]
"""`(params, extra, inputs, targets, key) -> loss`; the factories below return the same function for the same arguments."""


def schedule(recipe: Recipe, steps: int) -> optax.Schedule:
    """Linear warm-up and a cosine to `final * learning_rate`, as a function of the step."""

    def rate(count: Array) -> Array:
        done = (count + 1) / steps
        warm = jnp.minimum(1.0, done / jnp.maximum(recipe.warmup, 1 / steps))
        fall = jnp.clip((done - recipe.warmup) / jnp.maximum(1 - recipe.warmup, 1 / steps), 0.0, 1.0)
        return recipe.learning_rate * warm * (recipe.final + (1 - recipe.final) * 0.5 * (1 + jnp.cos(jnp.pi * fall)))

    return rate


def adamw(recipe: Recipe, steps: int) -> optax.GradientTransformation:
    """AdamW (arXiv:1711.05101) with the recipe's schedule and clipping."""
    return optax.chain(
        _clip(recipe.clip),
        optax.scale_by_adam(b1=recipe.beta_1, b2=recipe.beta_2),
        optax.add_decayed_weights(recipe.weight_decay, mask=_matrices),
        optax.scale_by_learning_rate(schedule(recipe, steps)),
    )


def sgd(recipe: Recipe, steps: int) -> optax.GradientTransformation:
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
        factor = jnp.minimum(1.0, bound / jnp.maximum(optax.global_norm(updates), 1e-12))
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _matrices(params: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def loss(
    params: Params,
    config: Config,
    inputs: Int[Array, "batch time"],
    targets: Int[Array, "batch time"],
    gates: Gates | None = None,
    key: Key | None = None,
) -> Float[Array, ""]:
    """Mean cross-entropy of the targets, nats per token.

    Args:
        params: the parameters.
        config: the architecture.
        inputs: tokens.
        targets: the tokens that follow each of them.
        gates: as in `transformer.apply`.
        key: switches dropout on.
    """
    logits = transformer.apply(params, inputs, config, gates=gates, key=key)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets))


@functools.lru_cache
def cross_entropy(config: Config) -> Objective:
    """The objective of ordinary training; `extra` is not used."""

    def objective(params: Params, extra: Any, inputs: Array, targets: Array, key: Key) -> Array:
        del extra
        return loss(params, config, inputs, targets, key=key)

    return objective


@functools.lru_cache
def distillation(student: Config, teacher: Config, temperature: float = 2.0, weight: float = 0.5) -> Objective:
    """Knowledge distillation (arXiv:1503.02531): weight * T^2 * KL(teacher || student at T) + (1 - weight) * cross-entropy.

    `extra` holds the teacher's parameters.

    Args:
        student: the architecture that learns.
        teacher: the architecture that is learned from.
        temperature: T, above 0, divides both models' logits.
        weight: share of the teacher's term, in [0, 1].

    Raises:
        ValueError: if the vocabularies differ, or a number is out of range.
    """
    check.positive("temperature", temperature)
    check.within("weight", weight, 0, 1)
    if student.vocabulary != teacher.vocabulary:
        raise ValueError(
            f"Argument `student` must have the teacher's vocabulary {teacher.vocabulary}, but has {student.vocabulary}."
        )

    def objective(params: Params, extra: Params, inputs: Array, targets: Array, key: Key) -> Array:
        logits = transformer.apply(params, inputs, student, key=key)
        aim = jax.lax.stop_gradient(transformer.apply(extra, inputs, teacher))
        return distillation_loss(logits, aim, targets, temperature, weight)

    return objective


def distillation_loss(
    logits: Float[Array, "batch time vocabulary"],
    teacher: Float[Array, "batch time vocabulary"],
    targets: Int[Array, "batch time"],
    temperature: float,
    weight: float,
) -> Float[Array, ""]:
    """The formula of `distillation` for given logits, nats per token."""
    soft = jax.nn.log_softmax(logits / temperature)
    aim = jax.nn.log_softmax(teacher / temperature)
    divergence = jnp.sum(jnp.exp(aim) * (aim - soft), axis=-1).mean()
    hard = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets))
    return weight * temperature**2 * divergence + (1 - weight) * hard


@functools.lru_cache
def trainer(
    config: Config, steps: int, batch: int, optimiser: Optimiser = adamw, objective: Objective | None = None
) -> Method:
    """Training as a Method over a Problem; its answer is the parameters.

    Args:
        config: the architecture; its context is the window length.
        steps: length of the schedule.
        batch: windows per step.
        optimiser: `(recipe, steps) -> GradientTransformation`.
        objective: the loss; None is `cross_entropy(config)`.
    """
    check.at_least("steps", steps, 1)
    check.at_least("batch", batch, 1)
    objective = objective or cross_entropy(config)

    def init(key: Key, problem: Problem) -> State:
        del key
        return State(problem.params, optimiser(problem.recipe, steps).init(problem.params), jnp.zeros((), jnp.int32))

    def step(key: Key, state: State, problem: Problem) -> tuple[State, Info]:
        batch_key, dropout_key = jax.random.split(key)
        inputs, targets = data.batch(batch_key, problem.tokens, batch, config.context, problem.length)
        value, gradient = jax.value_and_grad(objective)(state.params, problem.extra, inputs, targets, dropout_key)
        updates, inner = optimiser(problem.recipe, steps).update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, inner, state.count + 1), Info(value, jnp.isfinite(value))

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
    """Trains for `steps` steps as one compiled scan; works under vmap over keys, parameters and recipes.

    The program is compiled once per architecture, steps, batch, optimiser, objective and padded length, and kept for the
    life of the process.

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
    training = trainer(config, steps, batch, optimiser, objective)
    return _fit(key, training, steps, problem(params, tokens, recipe, extra))


def problem(params: Params, tokens: Array | np.ndarray, recipe: Recipe, extra: PyTree = ()) -> Problem:
    """A training Problem with the stream padded to a multiple of BLOCK tokens."""
    length = tokens.shape[0]
    padded = jnp.pad(jnp.asarray(tokens), (0, -length % BLOCK))
    recipe = Recipe(*(jnp.asarray(value, jnp.float32) for value in recipe))
    return Problem(params, padded, jnp.asarray(length, jnp.int32), recipe, extra)


@functools.partial(jax.jit, static_argnames=("training", "steps"))
def _fit(key: Key, training: Method, steps: int, problem: Problem) -> Fit:
    result = method.run(training, key, problem, steps)
    return Fit(result.answer, result.info.loss)


def token_loss(
    params: Params,
    config: Config,
    tokens: Int[Array, " length"] | np.ndarray,
    gates: Gates | None = None,
) -> float:
    """Mean cross-entropy, nats per token, of a whole stream in consecutive windows of `context` tokens."""
    total, count = _total_loss(params, config, tokens, gates)
    return total / count


def bits_per_byte(
    params: Params, config: Config, tokenizer_json: str, texts: tuple[str, ...] | list[str], gates: Gates | None = None
) -> float:
    """Bits that the model needs to code the texts, each with its end, over their UTF-8 bytes.

    It compares models across tokenizers. Every text is coded, in consecutive windows of `context` tokens; a character that
    the tokenizer does not know costs its unknown token and 8 bits per byte.

    Args:
        params: the parameters.
        config: the architecture.
        tokenizer_json: the tokenizer.
        texts: the texts.
        gates: as in `transformer.apply`.

    Returns:
        Bits per byte; 8 is what raw bytes cost.

    Raises:
        ValueError: if the texts are empty, or the tokenizer has another vocabulary than the model.
    """
    n_bytes = sum(len(text.encode()) for text in texts)
    check.at_least("texts: total bytes", n_bytes, 1)
    if tokenizer.vocabulary_size(tokenizer_json) > config.vocabulary:
        raise ValueError(
            f"Argument `config` must have at least the tokenizer's {tokenizer.vocabulary_size(tokenizer_json)} tokens, "
            f"but has {config.vocabulary}."
        )
    total, _ = _total_loss(params, config, tokenizer.stream(tokenizer_json, texts), gates)
    return (total / np.log(2) + 8 * tokenizer.unknown_bytes(tokenizer_json, texts)) / n_bytes


def _total_loss(params: Params, config: Config, tokens: Array | np.ndarray, gates: Gates | None) -> tuple[float, int]:
    check.at_least("tokens.size", tokens.shape[0], 2)
    n_targets = tokens.shape[0] - 1
    per_call = EVALUATION_ROWS * config.context
    n_calls = -(-n_targets // per_call)
    padded = np.zeros(n_calls * per_call + 1, np.int32)
    padded[: n_targets + 1] = np.asarray(tokens)
    shape = (n_calls, EVALUATION_ROWS, config.context)
    inputs, targets = padded[:-1].reshape(shape), padded[1:].reshape(shape)
    counts = (np.arange(n_calls * per_call) < n_targets).reshape(shape)
    static = tuple(map(float, gates)) if isinstance(gates, tuple | list) else None
    traced = None if static is not None else gates
    # Summed in float64 on the host: a float32 sum over a million tokens would lose the last digits.
    return sum(
        float(_block_loss(params, config, *block, static, traced)) for block in zip(inputs, targets, counts)
    ), n_targets


@functools.partial(jax.jit, static_argnames=("config", "static_gates"))
def _block_loss(
    params: Params,
    config: Config,
    inputs: Int[Array, "rows time"],
    targets: Int[Array, "rows time"],
    counts: Bool[Array, "rows time"],
    static_gates: tuple[float, ...] | None,
    gates: Array | None,
) -> Float[Array, ""]:
    logits = transformer.apply(params, inputs, config, gates=gates if static_gates is None else static_gates)
    return jnp.sum(jnp.where(counts, optax.softmax_cross_entropy_with_integer_labels(logits, targets), 0.0))
