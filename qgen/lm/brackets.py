"""A verifiable reward on a language model's own samples: are the round brackets balanced?

An action chooses a group of tokens (without brackets, opening, closing, both); the token is then drawn from the frozen
model inside of the group. A group's log-probability under the model is the action's prior, so a policy whose logits are
zero is the model itself.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.lm import tokenizer, transformer, weights
from qgen.lm.transformer import Config
from qgen.types import Array, Bool, Float, Int, Key, Params

PROMPTS = 64
"""The most prompts that episodes start from."""
GROUPS = ("none", "opening", "closing", "both")
DEEP = 3.0
"""The depth at which the feature of depth is tanh(1)."""


class Effects(NamedTuple):
    """What every token does to the brackets, [vocabulary].

    Attributes:
        net: opened less closed.
        low: the least of the running sum inside of the token, at most 0.
        closes: how many it closes.
        group: number of the token's group in GROUPS.
    """

    net: Int[np.ndarray, " vocabulary"]
    low: Int[np.ndarray, " vocabulary"]
    closes: Int[np.ndarray, " vocabulary"]
    group: Int[np.ndarray, " vocabulary"]


class Frozen(NamedTuple):
    """What an episode reads and nothing trains.

    Attributes:
        params: the model.
        mean: of the features, [width].
        directions: their leading principal directions over their deviations, [width, n].
        effects: of every token.
        starts: a State per prompt, which the model has read.
    """

    params: Params
    mean: Float[Array, " width"]
    directions: Float[Array, "width n"]
    effects: Effects
    starts: Any = ()


class State(NamedTuple):
    """An episode: the cache, how many tokens are written, the model's next log-probabilities, features, brackets."""

    cache: Any
    written: Int[Array, ""]
    logs: Float[Array, " vocabulary"]
    hidden: Float[Array, " n"]
    depth: Int[Array, ""]
    broken: Bool[Array, ""]
    closed: Int[Array, ""]


def effects(tokenizer_json: str, vocabulary: int) -> Effects:
    """What every token does to the round brackets.

    Args:
        tokenizer_json: the tokenizer.
        vocabulary: the model's number of tokens, at least the tokenizer's.

    Raises:
        ValueError: if no token opens or none closes a bracket.
    """
    rows = [
        _effect(tokenizer.decode(tokenizer_json, [token])) for token in range(tokenizer.vocabulary_size(tokenizer_json))
    ]
    rows += [(0, 0, 0, 0)] * (vocabulary - len(rows))
    made = Effects(*np.array(rows, np.int32).T)
    for group in ("opening", "closing"):
        if not np.any(made.group == GROUPS.index(group)):
            raise ValueError(
                f"Argument `tokenizer_json` has no token of the group {group}: its texts hold no brackets."
            )
    return made


def _effect(text: str) -> tuple[int, int, int, int]:
    running = np.cumsum([(letter == "(") - (letter == ")") for letter in text] or [0])
    net, opens, closes = int(running[-1]), text.count("("), text.count(")")
    group = 0 if not opens + closes else 3 if opens and closes else 1 if opens else 2
    return net, min(0, int(running.min())), closes, group


def is_balanced(text: str) -> bool:
    """Whether a text closes every bracket that it opens, none before, and has at least one pair: the reward."""
    running = np.cumsum([(letter == "(") - (letter == ")") for letter in text] or [0])
    return bool(running[-1] == 0 and running.min() >= 0 and ")" in text)


def freeze(
    params: Params,
    config: Config,
    tokens: Int[Array, " length"] | np.ndarray,
    n_features: int,
    prompt: int,
    length: int,
    made: Effects,
) -> tuple[Frozen, Config]:
    """The model with prompts that it has read and principal directions of its hidden states, both from a text.

    Args:
        params: the model.
        config: its architecture.
        tokens: the text.
        n_features: principal directions to keep, at most the width.
        prompt: tokens of a prompt; its own brackets do not count.
        length: tokens of an episode.
        made: from `effects`.

    Returns:
        What an episode reads, and the architecture with a context of `prompt + length`.
    """
    check.within("n_features", n_features, 1, config.width)
    check.at_least("prompt", prompt, 1)
    check.within("prompt + length", prompt + length, 2, config.context)
    rows = tokens.shape[0] // config.context
    check.at_least("tokens.size // config.context", rows, 1)
    read = jnp.asarray(tokens[: rows * config.context]).reshape(rows, config.context)[:PROMPTS]
    hidden = transformer.apply(params, read, config, features=True).reshape(-1, config.width).astype(jnp.float32)
    mean = hidden.mean(axis=0)
    _, s, vt = jnp.linalg.svd(hidden - mean[None, :], full_matrices=False)
    deviations = s[:n_features] / jnp.sqrt(hidden.shape[0])
    frozen = Frozen(params, mean, vt[:n_features].T / deviations[None, :], made)
    short = dataclasses.replace(config, context=prompt + length)
    starts = jax.jit(jax.vmap(lambda tokens: _begun(tokens, frozen, short)))(read[:, :prompt])
    return frozen._replace(starts=starts), short


def _begun(prompt: Array, frozen: Frozen, config: Config) -> State:
    cache = transformer.empty_cache(frozen.params, config, 1)
    logs, hidden, cache = _read(prompt, 0, cache, frozen, config)
    zero = jnp.zeros((), jnp.int32)
    return State(cache, zero, logs, hidden, zero, jnp.asarray(False), zero)


def reset(key: Key, frozen: Frozen) -> State:
    """A start: after one of the prompts."""
    number = jax.random.randint(key, (), 0, frozen.starts.logs.shape[0])
    return jax.tree.map(lambda leaf: leaf[number], frozen.starts)


def observe(state: State, length: int, frozen: Frozen) -> tuple[Float[Array, " features"], Float[Array, " groups"]]:
    """What a policy reads, and the groups' log-probabilities under the model.

    The features are the depth and the share of the length that is left, which a checker knows, and the principal
    components of the model's hidden state, all of order one.
    """
    known = jnp.stack([jnp.tanh(state.depth / DEEP), 2 * state.written / length - 1])
    is_in = frozen.effects.group[None, :] == np.arange(len(GROUPS))[:, None]
    prior = jax.nn.logsumexp(jnp.where(is_in, state.logs[None, :], -jnp.inf), axis=1)
    return jnp.concatenate([known, jnp.tanh(state.hidden)]), jnp.maximum(prior, -30.0)


def step(
    key: Key, state: State, action: Int[Array, ""], length: int, prompt: int, frozen: Frozen, config: Config
) -> tuple[State, Float[Array, ""], Bool[Array, ""]]:
    """Draws a token of the chosen group; the reward comes with the last one.

    Args:
        key: random key of the token.
        state: the episode.
        action: the number of the group.
        length: tokens of an episode.
        prompt: tokens of a prompt.
        frozen: from `freeze`.
        config: the architecture.

    Returns:
        `(state, reward, done)`.
    """
    made = frozen.effects
    token = jax.random.categorical(key, jnp.where(made.group == action, state.logs, -jnp.inf))
    take = functools.partial(jnp.take, indices=token)
    broken = state.broken | (state.depth + take(jnp.asarray(made.low)) < 0)
    depth, closed = state.depth + take(jnp.asarray(made.net)), state.closed + take(jnp.asarray(made.closes))
    logs, hidden, cache = _read(token[None], prompt + state.written, state.cache, frozen, config)
    done = state.written + 1 == length
    reward = (done & (depth == 0) & ~broken & (closed > 0)).astype(jnp.float32)
    return State(cache, state.written + 1, logs, hidden, depth, broken, closed), reward, done


def _read(tokens: Array, start: Array | int, cache: Any, frozen: Frozen, config: Config) -> tuple[Array, Array, Any]:
    hidden, cache = transformer.extend(frozen.params, tokens[None], start, cache, config, features=True)
    logits = weights.product(hidden, weights.unpack(frozen.params["head"]["kernel"]))
    components = (hidden[0].astype(jnp.float32) - frozen.mean) @ frozen.directions
    return jax.nn.log_softmax(logits[0].astype(jnp.float32)), components, cache
