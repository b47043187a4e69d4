"""Generation: the prompt is read at once, then one scan decodes token by token on a cache of keys and values."""

import functools

import jax
import jax.numpy as jnp

from qgen import check
from qgen.lm import transformer
from qgen.lm.transformer import Config, Gates
from qgen.types import Array, Float, Int, Key, Params


def generate(
    key: Key,
    params: Params,
    config: Config,
    prompt: Int[Array, "batch time"],
    n_tokens: int,
    *,
    temperature: float | Float[Array, ""] = 0.0,
    gates: Gates | None = None,
) -> Int[Array, "batch n_tokens"]:
    """Continues every prompt by `n_tokens` tokens.

    The program is compiled once per architecture, shapes and static gates, and kept for the life of the process.

    Args:
        key: the random key; greedy decoding does not use it.
        params: the parameters, quantised or not.
        config: the architecture.
        prompt: token ids, at least one per row.
        n_tokens: tokens to add; prompt and new tokens together must fit the context.
        temperature: 0 takes the likeliest token, above 0 samples from softmax(logits / temperature).
        gates: as in `transformer.apply`; a tuple of numbers takes branches whose gate is 0 out of the program.

    Returns:
        The new tokens.

    Raises:
        ValueError: if `n_tokens` is below 1, or prompt and new tokens do not fit the context.
    """
    check.at_least("n_tokens", n_tokens, 1)
    check.within("prompt.shape[1] + n_tokens", prompt.shape[1] + n_tokens, 2, config.context)
    static = tuple(map(float, gates)) if isinstance(gates, tuple | list) else None
    traced = None if static is not None else gates
    return _generate(key, params, config, prompt, n_tokens, jnp.asarray(temperature, jnp.float32), static, traced)


@functools.partial(jax.jit, static_argnames=("config", "n_tokens", "static_gates"))
def _generate(
    key: Key,
    params: Params,
    config: Config,
    prompt: Int[Array, "batch time"],
    n_tokens: int,
    temperature: Float[Array, ""],
    static_gates: tuple[float, ...] | None,
    gates: Array | None,
) -> Int[Array, "batch n_tokens"]:
    use = gates if static_gates is None else static_gates
    batch, time = prompt.shape
    cache = transformer.empty_cache(params, config, batch)
    logits, cache = transformer.extend(params, prompt, 0, cache, config, gates=use)

    def choose(step: Array | int, logits: Array) -> Array:
        sampled = jax.random.categorical(jax.random.fold_in(key, step), logits / jnp.maximum(temperature, 1e-6))
        return jnp.where(temperature > 0, sampled, jnp.argmax(logits, axis=-1)).astype(prompt.dtype)

    def decode(carry: tuple[Array, transformer.Cache], step: Array) -> tuple[tuple[Array, transformer.Cache], Array]:
        token, cache = carry
        logits, cache = transformer.extend(params, token[:, None], time + step - 1, cache, config, gates=use)
        following = choose(step, logits)
        return (following, cache), following

    first = choose(0, logits)
    _, rest = jax.lax.scan(decode, (first, cache), jnp.arange(1, n_tokens))
    return jnp.concatenate([first[None], rest]).T
