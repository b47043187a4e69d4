"""A tiny model of two made-up domains, as artefacts for the late stages."""

import dataclasses
import functools

import jax
import numpy as np

from qgen.lm import adapters, quantise, tokenizer, transformer
from qgen.stages.base import Artefacts


def sentences(seed: int, words: str, count: int) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    return tuple(" ".join(rng.choice(words.split(), 14)) for _ in range(count))


def _params(key: jax.Array, model: transformer.Config) -> dict:
    """Random matrices everywhere: a fresh model's branches and head may start at zero."""
    params = transformer.init(key, model)
    start = adapters.init(key, params, adapters.Lora(2), adapters.BLOCKS)
    noise = {
        place: {"a": pair["a"], "b": 0.3 * jax.random.normal(key, pair["b"].shape)}
        for place, pair in start.trained.items()
    }
    params = adapters.merge(params, adapters.Lora(2), noise, start.frozen)
    params["head"]["kernel"] = 0.3 * jax.random.normal(key, params["head"]["kernel"].shape)
    return params


@functools.lru_cache
def artefacts(depth: int = 3) -> Artefacts:
    first = sentences(0, "the cat sat on a mat and then it ran", 30)
    second = sentences(1, "def return lambda yield for in while x y z", 40)
    text = tokenizer.train([*first, *second], "char", 64)
    model = transformer.Config(tokenizer.vocabulary_size(text), 16, 16, depth, 2)
    params = jax.jit(_params, static_argnums=1)(jax.random.key(0), model)
    params = jax.tree.map(np.asarray, params)
    return Artefacts(
        documents=first[:25],
        holdout=first[25:],
        samples=second[:32],
        samples_holdout=second[32:],
        curated=first[:25],
        tokenizer=text,
        model=dataclasses.asdict(model),
        params=params,
        adapted_model=dataclasses.asdict(model),
        adapted=params,
        deployed=jax.tree.map(np.asarray, quantise.int8(params)),
        gates=np.array([1.0] * (2 * depth - 1) + [0.0], np.float32),
    )
