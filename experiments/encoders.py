"""Low-rank students of a pretrained encoder: what is left of its embeddings, and what distilling brings back."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.students import FEW, GRAMS, at_edge, best, sizes, traced
from qgen import check
from qgen.lm import data, encoder, encoder_files, factorised, relational, train
from qgen.stages import low_rank
from qgen.stages.distillation import LESSONS
from qgen.types import Array, Float, Int, Key, Params

ARMS = (
    *("classical/truncated_svd", "classical/randomised_svd", "classical/activation_aware_svd"),
    *("quantum/qsvt", "control/fkv"),
)
"""Arms that reach matrices of 384 x 1536: the variational one's Hadamard tests control block encodings of a million
gates, which take too long to count.
"""
SLOW = "quantum/qsvt"
"""The arm whose simulated read-out takes longest: it is run at the first of the settings' ranks alone."""
STARTS = (*ARMS, "control/random_factors")
"""Arms whose factors are distilled."""
TAUGHT = tuple(name for name in LESSONS if name != "classical/scratch")
"""Lessons of an encoder, which has no labels; its outputs are the last hidden states."""
RANKS = (144, 72, 36, 18)
"""Ranks of the factors: 1/2 to 1/16 of the parameters of matrices of 384 x 1536 and their like."""
LENGTH = 32
"""Tokens of every text, so that nothing is padded."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How students of an encoder are distilled.

    Attributes:
        ranks: of the factors, the first being that of the full factorial.
        samples: texts to distil on, the last being those of the full factorial.
        steps: steps of distillation.
        batch: texts per step.
        rates: learning rates, rising; each student keeps the one that is best on its validation texts.
        validation: share of the samples that chooses the rate.
    """

    ranks: tuple[int, ...] = (72, 144, 36, 18)
    samples: tuple[int, ...] = (10, 30, 100)
    steps: int = 16
    batch: int = 8
    rates: tuple[float, ...] = (1e-5, 1e-4, 3e-4, 1e-3)
    validation: float = 0.2


class Given(NamedTuple):
    """An encoder with texts to score on and others, and what flows into its matrices.

    Attributes:
        encoder: the encoder.
        seen: place -> activations on the first texts, for arms that do not look at them.
        unseen: place -> activations on the others.
        tokens: the other texts, [texts, LENGTH].
        embeddings: the encoder's own of them.
        pool: texts that are neither, from which samples are drawn, [texts, LENGTH].
    """

    encoder: encoder.Encoder
    seen: Mapping[str, Array]
    unseen: Mapping[str, Array]
    tokens: Array
    embeddings: Float[Array, "texts width"]
    pool: np.ndarray


def load(path: str) -> encoder.Encoder:
    """Loads an encoder from a checkpoint's folder, or all-MiniLM-L6-v2 from its package for "package".

    Raises:
        ValueError: if there is none, or it is too small for the texts or the ranks.
    """
    loaded = encoder_files.load(None if path == "package" else path)
    check.at_least("context", loaded.config.context, LENGTH)
    check.at_least("width", loaded.config.width, max(RANKS))
    return loaded


def given(loaded: encoder.Encoder, texts: int) -> Given:
    """Lets an encoder read as many texts twice, of the standard library's documentation.

    Args:
        loaded: the encoder.
        texts: texts to score on, and as many that stand where an arm does not look at activations.
    """
    documents = data.load_corpus(None, domain="prose", max_characters=2_000_000)
    long = [ids[:LENGTH] for ids in encoder.tokenised(loaded, documents) if len(ids) >= LENGTH]
    order = np.random.default_rng(0).permutation(len(long))
    seen, unseen, pool = np.split(np.array([long[place] for place in order], np.int32), [texts, 2 * texts])
    embeddings = embedded(loaded.params, unseen, loaded.config)
    config = loaded.config
    first, second = (_inputs(loaded.params, jnp.asarray(own), config) for own in (seen, unseen))
    return Given(loaded, first, second, jnp.asarray(unseen), embeddings, pool)


@functools.partial(jax.jit, static_argnames="config")
def _inputs(params: Params, tokens: Array, config: encoder.Config) -> dict[str, Array]:
    return factorised.inputs(lambda params, tokens: _hidden(params, tokens, config), params, tokens)


def _hidden(params: Params, tokens: Array, config: encoder.Config) -> Array:
    return encoder.apply(params, tokens, jnp.ones(tokens.shape, jnp.int32), config)


def _pooled(hidden: Array) -> Array:
    return encoder.pooled(hidden, jnp.ones(hidden.shape[:2], jnp.int32))[:, 0]


@functools.partial(jax.jit, static_argnames="config")
def embedded(params: Params, tokens: Int[Array, "texts time"], config: encoder.Config) -> Float[Array, "texts width"]:
    """The embeddings of texts without padding."""
    return _pooled(_hidden(params, tokens, config))


_hidden_jit = jax.jit(_hidden, static_argnames="config")


def texts(found: Given, seed: int, count: int) -> np.ndarray:
    """A seed's texts to choose factors by."""
    return found.pool[np.random.default_rng(seed).permutation(len(found.pool))[:count]]


def compressed(found: Given, arm: str, rank: int, seed: int, tokens: np.ndarray) -> low_rank.Compressed:
    """The encoder with factors in place of its matrices; the one arm that looks at activations reads the tokens."""
    seen = found.seen
    if arm == FEW:
        seen = _inputs(found.encoder.params, jnp.asarray(tokens), found.encoder.config)
    return low_rank.compress(arm, jax.random.key(seed), found.encoder.params, seen, rank)


def errors(found: Given, params: Params) -> dict[str, float]:
    """How far a student's embeddings of texts that nothing was fitted to lie from the encoder's own.

    Returns:
        `embedding_error`: the mean of 1 - cosine. `relation_error`: the mean absolute difference of the cosines between
        two texts, which a rotation of all embeddings leaves alone: what a search by similarity would notice.
    """
    own = embedded(params, found.tokens, found.encoder.config)
    cosine, wanted = own @ own.T, found.embeddings @ found.embeddings.T
    pairs = own.shape[0] * (own.shape[0] - 1)
    return {
        "embedding_error": float(jnp.mean(1 - jnp.sum(own * found.embeddings, axis=-1))),
        "relation_error": float(jnp.sum(jnp.abs(cosine - wanted) * (1 - jnp.eye(own.shape[0]))) / pairs),
    }


def scores(found: Given, made: low_rank.Compressed) -> dict[str, float]:
    """Output error, errors of the embeddings and parameters of factors."""
    return {
        "output_error": low_rank.output_error(found.encoder.params, made.factors, found.unseen),
        **errors(found, made.params),
        **sizes(found.encoder.params, made.params),
    }


class Samples(NamedTuple):
    """A few texts of one seed, padded so that few and many share a program.

    Attributes:
        tokens: texts to learn from, [texts, LENGTH].
        aims: the encoder's last hidden states of them, [texts, LENGTH, width].
        length: how many of them count.
        validation: texts that choose the rate, [texts, LENGTH].
        wanted: the encoder's embeddings of them.
        counts: which of them count.
    """

    tokens: np.ndarray
    aims: Array
    length: int
    validation: np.ndarray
    wanted: Array
    counts: np.ndarray


def samples(found: Given, settings: Settings, seed: int, count: int) -> Samples:
    """Draws texts, of which the first ones validate.

    Raises:
        ValueError: if the pool has fewer, or what is left to learn from does not fill a batch.
    """
    most, params, config = max(settings.samples), found.encoder.params, found.encoder.config
    check.within("count", count, 2, min(most, len(found.pool)))
    order = np.random.default_rng(seed).permutation(len(found.pool))
    n_validation, reserved = (max(1, round(settings.validation * number)) for number in (count, most))
    check.at_least("count: texts to learn from", count - n_validation, settings.batch)
    validation = found.pool[order[:reserved]]
    tokens = found.pool[order[reserved:most]]
    aims = _hidden_jit(params, jnp.asarray(tokens), config)
    wanted = embedded(params, jnp.asarray(validation), config)
    return Samples(tokens, aims, count - n_validation, validation, wanted, np.arange(reserved) < n_validation)


class Taught(NamedTuple):
    """A distilled student: its parameters, the rate and whether it is the lowest or highest, its validation error, and
    its training losses.
    """

    params: Params
    rate: float
    at_edge: bool
    validation: float
    curve: list[float]


def distil(found: Given, settings: Settings, start: Params, drawn: Samples, lesson: str, seed: int) -> Taught:
    """Distils one student by a lesson at every rate, side by side, and keeps the rate of least validation error.

    The blocks are trained, embeddings stay. KD is the squared error of the last hidden states over the encoder's own
    mean square; relations and kernels are those of the embeddings.

    Args:
        found: the teacher.
        settings: the settings.
        start: the student's parameters.
        drawn: the samples.
        lesson: a name of TAUGHT.
        seed: draws the batches.
    """
    check.one_of("lesson", lesson, TAUGHT)
    blocks, fixed = ({n: v for n, v in start.items() if n.startswith("block_") == own} for own in (True, False))
    trained, losses, validation = _distilled(
        *(jax.random.key(seed), blocks, fixed, drawn, jnp.asarray(settings.rates), traced(LESSONS[lesson])),
        *(found.encoder.config, settings.steps, settings.batch),
    )
    lane = best(validation)
    params = fixed | jax.tree.map(lambda leaf: leaf[lane], trained)
    chosen = settings.rates[lane], at_edge(lane, settings.rates), float(validation[lane])
    return Taught(params, *chosen, np.round(losses[lane], 5).tolist())


@functools.partial(jax.jit, static_argnames=("config", "steps", "batch"))
def _distilled(
    key: Key,
    blocks: Params,
    fixed: Params,
    drawn: Samples,
    rates: Array,
    weights: relational.Weights,
    config: encoder.Config,
    steps: int,
    batch: int,
) -> Any:
    tokens, validation = jnp.asarray(drawn.tokens), jnp.asarray(drawn.validation)

    def loss(blocks: Params, chosen: Array) -> Array:
        hidden, aim = _hidden(fixed | blocks, tokens[chosen], config), drawn.aims[chosen]
        outputs = jnp.mean((hidden - aim) ** 2) / jnp.mean(aim**2)
        relations = relational.relational_loss(_pooled(hidden), _pooled(aim), weights, GRAMS)
        return weights.logits * outputs + relations

    def one(rate: Array) -> Any:
        recipe = train.Recipe(learning_rate=rate, weight_decay=0.0)
        optimiser = train.adamw(recipe, steps)

        def step(carry: Any, key: Key) -> Any:
            blocks, state = carry
            # Without replacement: a text beside itself has no distance and no angle.
            order = jnp.where(jnp.arange(len(tokens)) < drawn.length, jax.random.uniform(key, (len(tokens),)), -1.0)
            value, slope = jax.value_and_grad(loss)(blocks, jax.lax.top_k(order, batch)[1])
            updates, state = optimiser.update(slope, state, blocks)
            return (optax.apply_updates(blocks, updates), state), value

        (trained, _), losses = jax.lax.scan(step, (blocks, optimiser.init(blocks)), jax.random.split(key, steps))
        own = _pooled(_hidden(fixed | trained, validation, config))
        errors = 1 - jnp.sum(own * drawn.wanted, axis=-1)
        return trained, losses, jnp.sum(errors * drawn.counts) / jnp.sum(drawn.counts)

    return jax.vmap(one)(rates)
