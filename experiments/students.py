"""Populations of students: factorised at one rank and distilled side by side, one compiled program per rank."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check
from qgen.energy import profiles
from qgen.lm import data, factorised, relational, tokenizer, train, transformer
from qgen.lm.relational import Weights
from qgen.resources import Resources, total
from qgen.stages import circuit_student, distillation, low_rank
from qgen.stages.base import project
from qgen.stages.distillation import LESSONS, Lesson
from qgen.types import Array, Float, Key, Params

WINDOW = 32
"""Tokens of a distillation window; the base's context is longer, and positions are rotary."""
LENGTH = train.BLOCK
"""Token streams of samples are padded to this length, so that few and many samples share a program."""
FEW = "classical/activation_aware_svd"
"""The factors of the few-sample study."""
SHOTS = 1024
"""Per circuit of a quantum kernel; counted, while the kernel is simulated exactly."""
GRAMS = tuple(gram for lesson in LESSONS.values() for gram in lesson.grams)
"""Every kernel; one program holds them all, and a lane's weights choose."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the students depend on.

    Attributes:
        characters: of the corpus: the base reads half, a tenth is held out to score, samples come from the rest.
        width: features of the base.
        depth: blocks of the base.
        context: tokens of the base's windows.
        base_steps: training steps of the base.
        base_rate: the base's learning rate.
        steps: steps of distillation.
        batch: windows per step.
        rates: learning rates, rising; each student keeps the one that is best on its validation documents.
        validation: share of the samples that chooses the rate.
        rows: held-out windows of `context` tokens that score.
    """

    characters: int = 400_000
    width: int = 48
    depth: int = 4
    context: int = 64
    base_steps: int = 240
    base_rate: float = 5e-3
    steps: int = 50
    batch: int = 8
    rates: tuple[float, ...] = (5e-4, 2e-3, 8e-3, 2.5e-2, 8e-2)
    validation: float = 0.2
    rows: int = 48


class Base(NamedTuple):
    """The teachers, one per seed, and the texts.

    Attributes:
        model: their architecture.
        params: their parameters, [seeds, ...].
        tokenizer: the tokenizer's JSON text.
        pool: documents that the base has not seen, from which samples are drawn.
        held: held-out tokens as windows, [rows, context + 1].
        losses: the teachers' held-out losses, nats per token.
    """

    model: transformer.Config
    params: Params
    tokenizer: str
    pool: tuple[str, ...]
    held: np.ndarray
    losses: np.ndarray


def base(settings: Settings, seeds: int) -> Base:
    """Trains the teachers in one program, by the lifecycle's trainer."""
    documents = data.load_corpus(None, domain="prose", max_characters=settings.characters)
    first, rest = data.split(documents, 0.5)
    # The sides nest: what a smaller share holds out is part of the rest.
    held = data.split(documents, 0.1)[1]
    pool = tuple(document for document in rest if document not in set(held))
    text = tokenizer.train(list(first), "bpe", 320)
    model = transformer.Config(tokenizer.vocabulary_size(text), settings.context, settings.width, settings.depth, 4)
    stream = jnp.asarray(tokenizer.stream(text, first))
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))

    def one(key: Key) -> Params:
        start_key, fit_key = jax.random.split(key)
        recipe = train.Recipe(learning_rate=settings.base_rate)
        start = transformer.init(start_key, model)
        return train.fit(fit_key, start, model, stream, recipe, settings.base_steps, 8).params

    params = jax.jit(jax.vmap(one))(keys)
    windows = cut(tokenizer.stream(text, held), settings.context, settings.rows)
    losses = jax.vmap(lambda own: window_loss(own, windows, jnp.ones(len(windows)), model))(params)
    return Base(model, params, text, pool, windows, np.asarray(losses, float))


def cut(tokens: np.ndarray, context: int, rows: int) -> np.ndarray:
    """The first rows of context + 1 tokens, which overlap by one."""
    rows = min(rows, (len(tokens) - 1) // context)
    return np.stack([tokens[row * context : (row + 1) * context + 1] for row in range(rows)])


def sizes(teacher: Any, student: Any) -> dict[str, float]:
    """Parameters of a student, and the shares of its teacher's blocks and of the whole teacher that they are."""
    blocks = [transformer.size([own[name] for name in own if name.startswith("block_")]) for own in (student, teacher)]
    whole = transformer.size(student)
    return {
        "parameters": float(whole),
        "share_of_blocks": blocks[0] / blocks[1],
        "share_of_model": whole / transformer.size(teacher),
    }


def seed_params(found: Base, seed: int) -> Params:
    """The teacher of a seed."""
    return jax.tree.map(lambda leaf: leaf[seed], found.params)


@functools.partial(jax.jit, static_argnames=("model", "design"))
def window_loss(
    params: Params,
    windows: Array,
    counts: Float[Array, " rows"],
    model: transformer.Config,
    design: circuit_student.Design | None = None,
) -> Float[Array, ""]:
    """Mean cross-entropy over the rows that count, nats per token; of a circuit student where there is a design."""
    if design is None:
        logits = transformer.apply(params, windows[:, :-1], model)
    else:
        logits = circuit_student.logits(params, windows[:, :-1], design, model)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, windows[:, 1:]).mean(axis=1)
    return jnp.sum(losses * counts) / jnp.sum(counts)


class Samples(NamedTuple):
    """A few documents of one seed.

    Attributes:
        tokens: the training part, padded to LENGTH.
        length: how many of them count, one per seed once `_texts` has joined them.
        validation: windows of the validation part, [rows, context + 1].
        counts: which of them count, [rows].
        seen: windows of the training part for activations, [windows, context].
    """

    tokens: np.ndarray
    length: int | np.ndarray
    validation: np.ndarray
    counts: np.ndarray
    seen: np.ndarray


def samples(found: Base, settings: Settings, seed: int, count: int) -> Samples:
    """Draws documents, of which the first ones validate.

    Raises:
        ValueError: if the pool has fewer.
    """
    check.within("count", count, 2, len(found.pool))
    order = np.random.default_rng(seed).permutation(len(found.pool))[:count]
    chosen = [found.pool[place] for place in order]
    n_validation = max(1, round(settings.validation * count))
    tokens = tokenizer.stream(found.tokenizer, chosen[n_validation:])[:LENGTH]
    rows = settings.rows
    own = cut(tokenizer.stream(found.tokenizer, chosen[:n_validation]), settings.context, rows)
    validation = np.zeros((rows, settings.context + 1), own.dtype)
    validation[: len(own)] = own
    seen = cut(tokens, settings.context, rows)[:, :-1]
    return Samples(np.pad(tokens, (0, LENGTH - len(tokens))), len(tokens), validation, np.arange(rows) < len(own), seen)


def inputs(found: Base, seed: int, windows: np.ndarray) -> dict[str, Array]:
    """What flows into a teacher's matrices when it reads windows, [rows, context]."""
    return factorised.block_inputs(seed_params(found, seed), jnp.asarray(windows), found.model)


def compressed(found: Base, seed: int, seen: Mapping[str, Array], arm: str, rank: int) -> low_rank.Compressed:
    """A teacher's low-rank model, by activations on samples."""
    return low_rank.compress(arm, jax.random.key(seed), seed_params(found, seed), seen, rank)


def output_error(found: Base, seed: int, made: low_rank.Compressed) -> float:
    """A low-rank model's output error on held-out activations."""
    held = inputs(found, seed, found.held[:, :-1])
    return low_rank.output_error(seed_params(found, seed), made.factors, held)


class Trained(NamedTuple):
    """What became of a student.

    Attributes:
        loss: on held-out text.
        rate: the chosen learning rate.
        at_edge: whether it is the lowest or the highest that was tried.
        validation: its validation loss.
        curve: its training losses.
    """

    loss: float
    rate: float
    at_edge: bool
    validation: float
    curve: list[float]


def distil(
    found: Base,
    settings: Settings,
    starts: Sequence[Mapping[str, Params]],
    drawn: Sequence[Samples],
    lessons: Sequence[str],
) -> dict[tuple[int, str, str], Trained]:
    """Distils every start by every lesson at every rate, for every seed, side by side.

    Args:
        found: the teachers.
        settings: the settings.
        starts: per seed, low-rank arm -> factorised parameters; all of one rank.
        drawn: per seed, the samples.
        lessons: names of LESSONS.

    Returns:
        (seed, low-rank arm, lesson) -> the student of the rate with the least validation loss.
    """
    names = [(start, lesson) for start in starts[0] for lesson in lessons]
    lanes = [(start, lesson, rate) for start, lesson in names for rate in settings.rates]
    stacked = _stack([_stack([own[start] for start, _, _ in lanes]) for own in starts])
    weights = _stack([traced(LESSONS[lesson]) for _, lesson, _ in lanes])
    rates = jnp.asarray([rate for _, _, rate in lanes], jnp.float32)
    keys = jax.vmap(jax.random.key)(100 + jnp.arange(len(starts)))
    texts = _texts(drawn)
    losses, validation, held = _population(
        *(keys, stacked, rates, weights, found.params, texts, jnp.asarray(found.held), found.model),
        *(settings.steps, settings.batch),
    )
    made = {}
    for seed in range(len(starts)):
        for place, (start, lesson) in enumerate(names):
            own = slice(place * len(settings.rates), (place + 1) * len(settings.rates))
            made[seed, start, lesson] = _kept(settings, losses[seed, own], validation[seed, own], held[seed, own])
    return made


def _kept(settings: Settings, losses: Array, validation: Array, held: Array) -> Trained:
    """Of one student at every rate, [rates, ...], what is kept."""
    lane = best(validation)
    return Trained(
        float(held[lane]),
        settings.rates[lane],
        at_edge(lane, settings.rates),
        float(validation[lane]),
        np.round(losses[lane], 4).tolist(),
    )


def best(validation: Array) -> int:
    """The lane of least validation loss; a diverged one is not a number, and never the least."""
    return int(np.argmin(np.nan_to_num(np.asarray(validation), nan=np.inf)))


def at_edge(lane: int, rates: Sequence[float]) -> bool:
    """Whether the chosen rate is the lowest or the highest of those that were tried, in rising order."""
    return lane in (0, len(rates) - 1)


def _texts(drawn: Sequence[Samples]) -> Samples:
    """Samples of all seeds; activations are not needed any more."""
    return Samples(*(np.stack(part) for part in zip(*(own._replace(seen=own.tokens[:1]) for own in drawn))))


def distil_circuits(
    found: Base, settings: Settings, drawn: Sequence[Samples], design: circuit_student.Design
) -> tuple[list[Trained], Params]:
    """The circuit students of one design, one per seed, and a start of theirs, whose numbers can be counted."""
    rates = jnp.asarray(settings.rates, jnp.float32)
    keys = jax.vmap(jax.random.key)(200 + jnp.arange(len(drawn)))
    starts = jax.vmap(lambda key, own: circuit_student.init(key, design, found.model, own))(keys, found.params)
    losses, validation, held = _population(
        *(keys, starts, rates, (), found.params, _texts(drawn), jnp.asarray(found.held), found.model),
        *(settings.steps, settings.batch, design),
    )
    made = [_kept(settings, losses[seed], validation[seed], held[seed]) for seed in range(len(drawn))]
    return made, jax.tree.map(lambda leaf: leaf[0], starts)


def traced(lesson: Lesson) -> Weights:
    """A lesson's weights as data, one per kernel of GRAMS."""
    used = lesson.weights._replace(kernels=tuple(float(gram in lesson.grams) for gram in GRAMS))
    return Weights(*(jnp.asarray(value, jnp.float32) for value in used))


def needed(lesson: str, settings: Any) -> Resources | None:
    """What a lesson's quantum kernel needs for one student: `settings` has steps, batch and rates."""
    steps = settings.steps * len(settings.rates)
    return total(distillation.resources(LESSONS[lesson], steps, settings.batch, SHOTS))


def priced(needed: Resources | None, machines: Mapping[str, profiles.Profile]) -> dict[str, Any]:
    """The projected columns of resources; nothing where no quantum machine is needed."""
    return {} if needed is None else {name: project((needed,), machine) for name, machine in machines.items()}


def _stack(trees: Sequence) -> Params:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@functools.partial(jax.jit, static_argnames=("model", "steps", "batch", "design"))
def _population(keys, starts, rates, weights, teachers, texts, held, model, steps, batch, design=None):
    small = dataclasses.replace(model, context=WINDOW)
    if design is None:
        objective = relational.objective(small, small, None, GRAMS)
    else:
        objective = circuit_student.objective(design, small)
    training = train.trainer(small, batch, objective=objective)

    def one(key: Key, start: Params, rate: Array, weights: Weights, teacher: Params, text: Samples):
        recipe = train.Recipe(*(jnp.asarray(value, jnp.float32) for value in train.Recipe(weight_decay=0.0)))
        extra = (teacher, weights) if design is None else teacher
        tokens, length = jnp.asarray(text.tokens), jnp.asarray(text.length)
        problem = train.Problem(start, tokens, length, recipe._replace(learning_rate=rate), steps, extra)
        state, losses = train.advance(key, training, problem, train.begin(training, problem), 0, steps)
        validation = window_loss(state.params, text.validation, text.counts.astype(jnp.float32), model, design)
        return losses, validation, window_loss(state.params, held, jnp.ones(held.shape[0]), model, design)

    # Lanes of a seed share batches and teacher, which is asked once for all of them; a circuit student has one start.
    lanes = jax.vmap(one, (None, None if design else 0, 0, 0, None, None))
    # One seed after the other: all at once would take memory and save no time.
    return jax.lax.map(
        lambda own: lanes(own[0], own[1], rates, weights, own[2], own[3]), (keys, starts, teachers, texts)
    )
