"""Requests to a deployed model: cut from documents, corrupted on purpose, and their features in the model."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen.lm import tokenizer, transformer, weights
from qgen.types import Array, Params

CHUNK = 64
"""Requests that go through the model at once."""


def cut(generator: np.random.Generator, tokenizer_json: str, documents: Sequence[str], length: int) -> np.ndarray:
    """The documents cut into pieces of `length` + 1 tokens, in random order."""
    tokens = tokenizer.stream(tokenizer_json, documents)
    count = max(1, len(tokens) // (length + 1))
    return generator.permutation(np.resize(tokens, (count, length + 1)))


def take(rows: np.ndarray, count: int) -> np.ndarray:
    """The first `count` rows, from the beginning again where there are too few."""
    return rows[np.arange(count) % len(rows)]


def corrupted(
    generator: np.random.Generator, request: np.ndarray, *, tokenizer_json: str, severity: float, kind: int
) -> np.ndarray:
    """A request whose tail is random bytes (kind 0), its own characters shuffled (1), or one token repeated (2)."""
    tail = max(1, round(severity * len(request)))
    kept, lost = request[:-tail], request[-tail:]
    text = tokenizer.decode(tokenizer_json, lost)
    if kind == 2 or not text:
        return np.concatenate([kept, np.full(tail, generator.choice(lost))])
    if kind == 0:
        text = bytes(generator.integers(32, 256, 2 * tail, dtype=np.uint8)).decode("latin-1")
    else:
        text = "".join(generator.permutation(list(text)))
    return np.concatenate([kept, np.resize(tokenizer.encode(tokenizer_json, [text])[0], tail)])


@functools.partial(jax.jit, static_argnames="model")
def hidden_features(params: Params, gates: Array, requests: Array, model: transformer.Config) -> Array:
    """Mean hidden state and mean loss of every request, [requests, width + 1]."""
    count, length = requests.shape
    head = weights.unpack(params["head"]["kernel"])

    def chunk(rows: Array) -> Array:
        hidden = transformer.apply(params, rows[:, :-1], model, gates=gates, features=True)
        logits = weights.product(hidden, head).astype(jnp.float32)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 1:])
        means = hidden.astype(jnp.float32).mean(axis=1)
        return jnp.concatenate([means, losses.mean(axis=1, keepdims=True)], axis=1)

    padded = jnp.pad(requests, ((0, -count % CHUNK), (0, 0))).reshape(-1, CHUNK, length)
    return jax.lax.map(chunk, padded).reshape(-1, model.width + 1)[:count]
