"""Arms of fine-tuning whose LoRA weights come out of a small network that reads a circuit's distribution; controls."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from qgen.lm import adapters, train, transformer
from qgen.lm.adapters import Lora, Start, TinyLora
from qgen.quantum import parameter_generator
from qgen.stages.adapted import adapted, started
from qgen.stages.base import Arm, Outcome
from qgen.stages.few_samples import Adapted, Config, Problem, tuned
from qgen.types import Array, Key, Params

SOURCES = ("circuit", "product", "exact", "constant", "random", "bits")
"""What the network reads: a circuit's shots, those of one without entanglement, its exact distribution; one p for all
places, one random draw; no p at all."""


def generated(config: Config, name: str, source: str, note: str) -> Arm:
    """The arm whose adapters grow from a distribution.

    Args:
        config: the stage's settings.
        name: the arm's name.
        source: one of SOURCES.
        note: the arm's note.
    """
    has_shots = source in ("circuit", "product")

    def solve(key: Key, problem: Problem) -> Outcome:
        start_key, fixed_key, final_key = jax.random.split(key, 3)
        lora = Lora(config.rank)
        base = started(start_key, problem.params, lora)
        made = generator(config, transformer.size(base.trained), source)
        # One program for all distributions that are given: what stands for p is data.
        extra = (problem.params, base, given(fixed_key, made, source))

        def finish(trained: Params, extra: Any) -> Params:
            return merged(final_key, trained, made, lora, extra)

        start = _fresh(start_key, made)
        trained, trace = tuned(
            *(key, problem, config, config.adapter_rate, start, objective(problem.model, lora, made)),
            *(extra, finish, problem.model),
        )
        if made.has_circuit:
            # Without weight decay, angles move only where a gradient reaches them.
            trace["angle_change_rad"] = np.abs(np.asarray(trained["angles"] - start["angles"]))
        trials = len(trace["rate"])
        return Outcome(
            Adapted(dataclasses.asdict(problem.model), finish(trained, extra), transformer.size(trained)),
            # Every trial's weights are read out to be validated; the best trial's are the answer.
            parameter_generator.resources(made, config.steps * trials, read_outs=trials),
            trace,
        )

    return Arm(name, solve, note, _beside(config) if has_shots else None)


@functools.lru_cache
def _beside(config: Config) -> Callable[[Key, Problem], Outcome]:
    """What stays classical beside a quantum machine: the same network, tuned in the same way, without a circuit."""
    return generated(config, "control/hypernetwork", "constant", "").solve


def given(key: Key, made: parameter_generator.Config, source: str) -> Array:
    """What stands for p where no circuit gives it: one draw for "random", the same everywhere for the others."""
    if source == "random":
        return parameter_generator.random_distribution(key, made)
    return parameter_generator.uniform_distribution(made)


def generator(config: Config, weights: int, source: str) -> parameter_generator.Config:
    """The generator of so many weights; the one on bits alone has a hidden layer for as many trained numbers.

    Args:
        config: the stage's settings.
        weights: how many weights to make.
        source: one of SOURCES.
    """
    kind = "fixed" if source in ("constant", "random") else source
    made = parameter_generator.Config(weights, config.chunk, config.layers, config.hidden, config.shots, kind)
    if source != "bits":
        return made
    aim = parameter_generator.size(dataclasses.replace(made, source="circuit"))
    return dataclasses.replace(made, hidden=round(aim / parameter_generator.size(dataclasses.replace(made, hidden=1))))


def matched_low_rank(config: Config) -> Arm:
    """The classical low-rank adapter with as many trained numbers as the generator."""
    name = "control/matched_low_rank"

    def solve(key: Key, problem: Problem) -> Outcome:
        lora = Lora(config.rank)
        weights = sum(lora.count(k.shape) for k in adapters.matrices(problem.params, adapters.BLOCKS).values())
        aim = parameter_generator.size(generator(config, weights, "circuit"))
        return adapted(config, name, same_count(problem.params, aim)).solve(key, problem)

    return Arm(name, solve, "TinyLoRA on every matrix of the blocks, as many trained numbers as the generator has")


def same_count(params: Params, aim: int) -> TinyLora:
    """The TinyLoRA whose trained numbers come nearest to `aim`, of a rank at which all of them can act."""
    found = adapters.matrices(params, adapters.BLOCKS)
    least = min(min(kernel.shape) for kernel in found.values())
    width = max(1, round(aim / len(found)))
    return TinyLora(min(least, math.ceil(width**0.5)), width)


@functools.lru_cache
def objective(model: transformer.Config, lora: Lora, made: parameter_generator.Config) -> train.Objective:
    """Cross-entropy as a function of the generator's parameters; `extra`: base parameters, LoRA's start, fixed p."""
    of_adapters = adapters.objective(model, lora)

    def of_generator(trained: Params, extra: Any, inputs: Array, targets: Array, key: Key) -> Array:
        params, base, fixed = extra
        return of_adapters(_grown(key, trained, made, base, fixed), (params, base.frozen, ()), inputs, targets, key)

    return of_generator


def _grown(key: Key, trained: Params, made: parameter_generator.Config, base: Start, fixed: Array) -> Params:
    """The first adapters (a random, b zero) plus the generated weights."""
    flat, unflatten = ravel_pytree(base.trained)
    return unflatten(flat + parameter_generator.weights(key, trained, made, fixed))


_fresh = jax.jit(parameter_generator.init, static_argnums=1)


@functools.partial(jax.jit, static_argnames=("made", "lora"))
def merged(key: Key, trained: Params, made: parameter_generator.Config, lora: Lora, extra: Any) -> Params:
    """Plain parameters with the generated weights merged in, from one read-out; `extra` as for `objective`."""
    params, base, fixed = extra
    return adapters.merge(params, lora, _grown(key, trained, made, base, fixed), base.frozen)


_KINDS = {
    "quantum/parameter_generator": (
        "circuit",
        "p and its parameter shifts come from shots of an ideal simulator; the mapping network is classical",
    ),
    "control/no_entanglement": ("product", "the same circuit without its CZ gates"),
    "control/random_vector": ("random", "one fixed random distribution in place of the circuit's"),
    "control/hypernetwork": ("constant", "p constant: the mapping network sees the bits alone"),
    "control/infinite_shots": ("exact", "the same circuit's exact p and slopes, which no number of shots gives"),
    "control/wide_hypernetwork": ("bits", "a mapping network on the bits, widened to as many trained numbers"),
}
ARMS: Mapping[str, Callable[[Config], Arm]] = {
    name: lambda config, name=name, source=source, note=note: generated(config, name, source, note)
    for name, (source, note) in _KINDS.items()
} | {"control/matched_low_rank": matched_low_rank}
DEEP = frozenset({"control/infinite_shots", "control/wide_hypernetwork", "control/matched_low_rank"})
