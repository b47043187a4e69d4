"""What training minimises, and what a model is scored by."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check
from qgen.lm import tokenizer, transformer
from qgen.lm.transformer import Config, Gates
from qgen.types import Array, Bool, Float, Int, Key, Params

EVALUATION_ROWS = 64
"""Windows per call of the compiled evaluation."""

Objective = Callable[[Params, Any, Array, Array, Key], Array]
"""`(params, extra, inputs, targets, key) -> loss`; equal arguments give a factory's same function: it compiles once."""


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
    """Knowledge distillation (arXiv:1503.02531).

    The loss is weight * T^2 * KL(teacher || student, both at temperature T) + (1 - weight) * cross-entropy; `extra`
    holds the teacher's parameters.

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
    temperature: float | Array,
    weight: float | Array,
) -> Float[Array, ""]:
    """The formula of `distillation` for given logits, nats per token."""
    soft = jax.nn.log_softmax(logits / temperature)
    aim = jax.nn.log_softmax(teacher / temperature)
    divergence = jnp.sum(jnp.exp(aim) * (aim - soft), axis=-1).mean()
    hard = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets))
    return weight * temperature**2 * divergence + (1 - weight) * hard


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

    It compares models across tokenizers. Every text is coded, in consecutive windows of `context` tokens; a character
    that the tokenizer does not know costs its unknown token and 8 bits per byte.

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
