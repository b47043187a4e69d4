"""One program trains an adapter's population: seeds x learning rates, x ranks where a mask makes them one shape.

What is trained, how it starts and how it is merged are an `Entry`; the training step is that of `qgen.lm.train`, under
vmap. Per seed, the rate is chosen by validation and only the chosen model reads the held-out text.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen.lm import adapters, tokenizer, train, transformer
from qgen.lm.adapters import (
    Adapter,
    Boft,
    Compound,
    Full,
    Lokr,
    Lora,
    Quanta,
    QuantumPeft,
    RsLora,
    Start,
    TinyLora,
    Vera,
)
from qgen.quantum import parameter_generator
from qgen.resources import Resources
from qgen.stages import few_samples, generated
from qgen.types import Array, Key, Params


class Entry(NamedTuple):
    """One method with its sizes, all of which one program trains.

    Attributes:
        name: family/method.
        sizes: labels, one per size.
        start: `(key, params, size) -> Start`, the number of the size traced.
        objective: of what is trained; its extra is what `extra` makes of the base and of what is frozen.
        extra: `(params, frozen) -> extra`.
        merge: `(key, trained, extra) -> plain parameters`.
        counts: trained numbers, one per size.
        resources: what a quantum machine would need for one training of so many steps.
    """

    name: str
    sizes: tuple[str, ...]
    start: Callable[[Key, Params, Array], Start]
    objective: train.Objective
    extra: Callable[[Params, Any], Any]
    merge: Callable[[Key, Params, Any], Params]
    counts: tuple[int, ...]
    resources: Callable[[int], tuple[Resources, ...]] = lambda steps: ()


class Windows(NamedTuple):
    """A stream in consecutive windows: inputs, targets, and which targets count; [..., windows, context]."""

    inputs: Array
    targets: Array
    counts: Array


class Data(NamedTuple):
    """The few samples of every seed, and the held-out text.

    Attributes:
        tokens: training streams, [seeds, padded].
        lengths: how many of their tokens count, [seeds].
        validation: windows of every seed.
        test: windows of the held-out documents, the same for all.
        bits: what turns the held-out text's summed loss in nats into bits per byte.
    """

    tokens: Array
    lengths: Array
    validation: Windows
    test: Windows
    bits: Array


class Found(NamedTuple):
    """What a population found: [sizes, seeds, rates], and of the chosen rate [sizes, seeds].

    Attributes:
        validation: nats per token on the validation part.
        chosen: the number of the rate with the least of them.
        bits_per_byte: the chosen model's, on the held-out text.
        curve: the chosen model's training losses, [sizes, seeds, steps].
    """

    validation: np.ndarray
    chosen: np.ndarray
    bits_per_byte: np.ndarray
    curve: np.ndarray


class Trained(NamedTuple):
    """A trained population, every leaf [sizes, seeds, rates, ...]: what was trained, what stayed frozen, the losses."""

    trained: Params
    frozen: Any
    losses: Array


def windows(tokens: np.ndarray, context: int, rows: int) -> Windows:
    """Consecutive windows of a stream, filled up to so many rows, of which those that are filled do not count."""
    n_targets = min(len(tokens) - 1, rows * context)
    padded = np.zeros(rows * context + 1, np.int32)
    padded[: n_targets + 1] = tokens[: n_targets + 1]
    shape = (rows, context)
    counts = (np.arange(rows * context) < n_targets).reshape(shape)
    return Windows(*map(jnp.asarray, (padded[:-1].reshape(shape), padded[1:].reshape(shape), counts)))


def data(problems: Sequence[few_samples.Problem]) -> Data:
    """The problems of all seeds, which share the model and the held-out documents."""
    first = problems[0]
    context = first.model.context
    longest = max(len(problem.tokens) for problem in problems)
    rows = -(-max(len(problem.validation) for problem in problems) // context)
    held = tokenizer.stream(first.tokenizer, first.second)
    n_bytes = sum(len(text.encode()) for text in first.second)
    validation = [windows(problem.validation, context, rows) for problem in problems]
    return Data(
        jnp.stack([jnp.pad(jnp.asarray(p.tokens), (0, longest - len(p.tokens))) for p in problems]),
        jnp.asarray([len(problem.tokens) for problem in problems], jnp.int32),
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *validation),
        windows(held, context, -(-len(held) // context)),
        jnp.asarray(1 / (np.log(2) * n_bytes), jnp.float32),
    )


@functools.partial(jax.jit, static_argnames=("entry", "model", "steps", "batch"))
def population(
    keys: Key, params: Params, data: Data, rates: Array, entry: Entry, model: transformer.Config, steps: int, batch: int
) -> Trained:
    """Trains sizes x seeds x rates from one frozen base: one program.

    Args:
        keys: one per seed.
        params: the base.
        data: the samples of every seed.
        rates: learning rates, the same for every method.
        entry: the method.
        model: the architecture.
        steps: training steps of every run.
        batch: windows per step.
    """
    training = train.trainer(model, batch, objective=entry.objective)

    def one(size: Array, key: Key, tokens: Array, length: Array, rate: Array) -> Trained:
        start_key, step_key = jax.random.split(key)
        start = entry.start(start_key, params, size)
        recipe = train.Recipe(learning_rate=rate, weight_decay=0.0)
        problem = train.Problem(start.trained, tokens, length, recipe, steps, entry.extra(params, start.frozen))

        def step(state: train.State, t: Array) -> tuple[train.State, Array]:
            state, info = training.step(jax.random.fold_in(step_key, t), state, problem)
            return state, info.loss

        state, losses = jax.lax.scan(step, training.init(step_key, problem), jnp.arange(steps))
        return Trained(state.params, start.frozen, losses)

    of_rates = jax.vmap(one, in_axes=(None, None, None, None, 0))
    of_seeds = jax.vmap(of_rates, in_axes=(None, 0, 0, 0, None))
    numbers = jnp.arange(len(entry.sizes))
    return jax.vmap(of_seeds, in_axes=(0, None, None, None, None))(numbers, keys, data.tokens, data.lengths, rates)


@functools.partial(jax.jit, static_argnames="entry")
def merged(keys: Key, params: Params, made: Trained, entry: Entry) -> Params:
    """Plain parameters of a whole population, [sizes, seeds, rates, ...]."""

    def one(key: Key, trained: Params, frozen: Any) -> Params:
        return entry.merge(key, trained, entry.extra(params, frozen))

    of_seeds = jax.vmap(jax.vmap(one, in_axes=(None, 0, 0)))
    return jax.vmap(of_seeds, in_axes=(None, 0, 0))(keys, made.trained, made.frozen)


@functools.partial(jax.jit, static_argnames="model")
def _losses(params: Params, read: Windows, model: transformer.Config) -> Array:
    """Nats of all targets that count, for one model per row of `params`: one program for all methods."""

    def one(params: Params) -> Array:
        logits = transformer.apply(params, read.inputs, model)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, read.targets)
        return jnp.sum(jnp.where(read.counts, losses, 0.0))

    return jax.lax.map(one, params)


def scored(keys: Key, params: Params, data: Data, made: Trained, entry: Entry, model: transformer.Config) -> Found:
    """Chooses the rate of every size and seed by validation, and reads the held-out text with the chosen model."""
    plain = merged(keys, params, made, entry)
    n_sizes, n_seeds, n_rates, _ = made.losses.shape
    validation = np.zeros((n_sizes, n_seeds, n_rates))
    chosen, bits = np.zeros((n_sizes, n_seeds), int), np.zeros((n_sizes, n_seeds))
    curve = np.zeros((n_sizes, n_seeds, made.losses.shape[-1]))
    for seed in range(n_seeds):
        read = jax.tree.map(lambda leaf, seed=seed: leaf[seed], data.validation)
        for size in range(n_sizes):
            own = jax.tree.map(lambda leaf, size=size, seed=seed: leaf[size, seed], plain)
            validation[size, seed] = np.asarray(_losses(own, read, model)) / float(jnp.sum(read.counts))
            # A run that diverged is never chosen.
            best = int(np.argmin(np.where(np.isfinite(validation[size, seed]), validation[size, seed], np.inf)))
            best_own = jax.tree.map(lambda leaf, best=best: leaf[best : best + 1], own)
            chosen[size, seed] = best
            bits[size, seed] = float(data.bits * _losses(best_own, data.test, model)[0])
            curve[size, seed] = np.asarray(made.losses[size, seed, best])
    return Found(validation, chosen, bits, curve)


GENERATED: Mapping[str, str] = {
    "quantum/parameter_generator": "circuit",
    "control/infinite_shots": "exact",
    "control/wide_hypernetwork": "bits",
}
"""Arm -> its source, as in `qgen.stages.generated`."""


def entries(params: Params, model: transformer.Config, config: few_samples.Config) -> list[Entry]:
    """Every method at every size that fits the model.

    Args:
        params: the base.
        model: its architecture.
        config: settings of the parameter generator.
    """
    least = min(min(kernel.shape) for kernel in adapters.matrices(params, adapters.BLOCKS).values())
    # Of the size of QuanTA is rank 14, of that of compound matrices of order 1 rank 28.
    ranks = tuple(rank for rank in (1, 4, 14, 28) if rank <= least)
    sizes = tuple(rank for rank in (2, 8) if rank <= least)
    # On 16 matrices: of the sizes of Quantum-PEFT with frozen and with trained angles, just below and just above.
    tiny = tuple(pair for pair in ((2, 4), (4, 8), (8, 38), (8, 44), (8, 64)) if pair[0] <= least)
    made = [masked("classical/lora", Lora(ranks[-1]), ranks, params, model)]
    made += [masked("classical/rslora", RsLora(ranks[-1]), ranks, params, model)]
    settings: list[tuple[str, str, Adapter]] = [("classical/full", "every entry", Full())]
    settings += [("classical/vera", f"rank {rank}", Vera(rank)) for rank in (64,)]
    settings += [("classical/lokr", f"rank {rank}", Lokr(rank)) for rank in (1, 8)]
    settings += [("classical/boft", f"block {block}", Boft(block)) for block in (2, 8)]
    settings += [("classical/tinylora", f"rank {rank}, width {width}", TinyLora(rank, width)) for rank, width in tiny]
    settings += [("inspired/quantum_peft", f"rank {rank}", QuantumPeft(rank)) for rank in sizes]
    settings += [
        ("control/peft_no_entanglement", f"rank {sizes[-1]}", QuantumPeft(sizes[-1], entangled=False)),
        ("control/peft_frozen_angles", f"rank {sizes[-1]}", QuantumPeft(sizes[-1], frozen=True)),
    ]
    settings += [("inspired/quanta", f"{axes} axes", Quanta(axes)) for axes in (3,)]
    settings += [("inspired/compound", f"order {order}", Compound(order)) for order in (1, 2)]
    made += [single(name, size, adapter, params, model) for name, size, adapter in settings]
    return made + [_generated(name, source, params, model, config) for name, source in GENERATED.items()]


def single(name: str, size: str, adapter: Adapter, params: Params, model: transformer.Config) -> Entry:
    """An adapter of one size on the matrices of the blocks."""

    def start(key: Key, params: Params, size: Array) -> Start:
        return adapters.init(key, params, adapter, adapters.BLOCKS)

    counts = (adapters.count(params, adapter, adapters.BLOCKS),)
    return Entry(name, (size,), start, adapters.objective(model, adapter), _extra, _merge(adapter), counts)


def masked(name: str, widest: Lora, ranks: tuple[int, ...], params: Params, model: transformer.Config) -> Entry:
    """A LoRA of several ranks, of which the smaller ones keep columns at zero."""

    def start(key: Key, params: Params, size: Array) -> Start:
        return widest.narrowed(adapters.init(key, params, widest, adapters.BLOCKS), jnp.asarray(ranks)[size])

    counts = tuple(adapters.count(params, Lora(rank), adapters.BLOCKS) for rank in ranks)
    labels = tuple(f"rank {rank}" for rank in ranks)
    return Entry(name, labels, start, adapters.objective(model, widest), _extra, _merge(widest), counts)


def _extra(params: Params, frozen: Any) -> tuple:
    return params, frozen, ()


def _merge(adapter: Adapter) -> Callable[[Key, Params, Any], Params]:
    return lambda key, trained, extra: adapters.merge(extra[0], adapter, trained, extra[1])


def _generated(name: str, source: str, params: Params, model: transformer.Config, config: few_samples.Config) -> Entry:
    """LoRA weights from the parameter generator, or from one of its controls."""
    lora = Lora(config.rank)
    made = generated.generator(config, adapters.count(params, lora, adapters.BLOCKS), source)

    def start(key: Key, params: Params, size: Array) -> Start:
        first_key, fixed_key = jax.random.split(key)
        base = adapters.init(first_key, params, lora, adapters.BLOCKS)
        return Start(parameter_generator.init(first_key, made), (base, generated.given(fixed_key, made, source)))

    def merge(key: Key, trained: Params, extra: Any) -> Params:
        return generated.merged(key, trained, made, lora, extra)

    return Entry(
        name,
        (f"{made.n_qubits} qubits" if made.has_circuit else f"hidden {made.hidden}",),
        start,
        generated.objective(model, lora, made),
        lambda params, frozen: (params, *frozen),
        merge,
        (parameter_generator.size(made),),
        lambda steps: parameter_generator.resources(made, steps),
    )


NAMES = (
    *("classical/full", "classical/lora", "classical/rslora", "classical/vera", "classical/lokr", "classical/boft"),
    *("classical/tinylora", "inspired/quantum_peft", "control/peft_no_entanglement", "control/peft_frozen_angles"),
    *("inspired/quanta", "inspired/compound", *GENERATED),
)
"""The names of all entries."""
