"""Low-rank arms on a pretrained encoder's matrices: what is left of its sentence embeddings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.lm import data, factorised, transformer
from qgen.stages import low_rank
from qgen.types import Array, Float

ARMS = ("classical/truncated_svd", "classical/randomised_svd", "classical/activation_aware_svd", "control/fkv")
"""Arms that reach matrices of 384 x 1536: simulating the quantum ones' read-out takes hours at this size."""
LENGTH = 64
"""Tokens of every text, so that nothing is padded."""


class Given(NamedTuple):
    """An encoder with texts to choose factors by, others to score on, and what flows into its matrices.

    Attributes:
        encoder: the encoder.
        seen: place -> activations on the first texts.
        unseen: place -> activations on the others.
        tokens: the other texts, [texts, LENGTH].
        embeddings: the encoder's own of them.
    """

    encoder: Any
    seen: Mapping[str, Array]
    unseen: Mapping[str, Array]
    tokens: Array
    embeddings: Float[Array, "texts width"]


def given(path: str, texts: int) -> Given:
    """Loads an encoder and lets it read as many texts twice, of the standard library's documentation.

    Args:
        path: a checkpoint's folder, or "package" for all-MiniLM-L6-v2 from its package.
        texts: texts to choose factors by, and as many to score on.
    """
    from qgen.lm import encoder, encoder_files

    loaded = encoder_files.load(None if path == "package" else path)
    documents = data.load_corpus(None, domain="prose", max_characters=2_000_000)
    long = [ids[:LENGTH] for ids in encoder.tokenised(loaded, documents) if len(ids) >= LENGTH]
    chosen = np.random.default_rng(0).permutation(len(long))[: 2 * texts]
    seen, unseen = np.split(np.array([long[place] for place in chosen], np.int32), 2)
    embeddings = _embedded(loaded.params, loaded, unseen)
    return Given(loaded, _inputs(loaded, seen), _inputs(loaded, unseen), jnp.asarray(unseen), embeddings)


def _inputs(loaded: Any, tokens: np.ndarray) -> dict[str, Array]:
    from qgen.lm import encoder

    def forward(params: Any, tokens: Array) -> Array:
        return encoder.apply(params, tokens, jnp.ones(tokens.shape, jnp.int32), loaded.config)

    return jax.jit(lambda params, tokens: factorised.inputs(forward, params, tokens))(loaded.params, tokens)


def _embedded(params: Any, loaded: Any, tokens: Any) -> Array:
    from qgen.lm import encoder

    def embed(params: Any, tokens: Array) -> Array:
        mask = jnp.ones(tokens.shape, jnp.int32)
        return encoder.pooled(encoder.apply(params, tokens, mask, loaded.config), mask)[:, 0]

    return jax.jit(embed)(params, tokens)


def compressed(found: Given, arm: str, rank: int, seed: int) -> low_rank.Compressed:
    """The encoder with factors in place of its matrices."""
    return low_rank.compress(arm, jax.random.key(seed), found.encoder.params, found.seen, rank)


def scores(found: Given, made: low_rank.Compressed) -> dict[str, float]:
    """Output error, embedding error (mean of 1 - cosine) and parameters."""
    params = found.encoder.params
    own = _embedded(made.params, found.encoder, found.tokens)
    blocks = [transformer.size([p[name] for name in p if name.startswith("block_")]) for p in (made.params, params)]
    return {
        "output_error": low_rank.output_error(params, made.factors, found.unseen),
        "embedding_error": float(jnp.mean(1 - jnp.sum(own * found.embeddings, axis=-1))),
        "parameters": float(transformer.size(made.params)),
        "share_of_blocks": blocks[0] / blocks[1],
    }
