"""Finetuning: the trained model learns a second domain from a few documents.

Problem: 10 to 1000 documents of the second domain, a part of them for validation, and the model of the stage before.
Classical: every weight, low-rank adapters (LoRA), and distillation of the adapted model into one of half its depth.
Quantum: the LoRA's weights generated from a circuit's distribution, which is read from shots in training.
Score: bits per byte on held-out documents of the second domain; what was forgotten of the first; parameters trained.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from qgen.lm import lora, tokenizer, train, transformer
from qgen.quantum import parameter_generator
from qgen.stages.base import Arm, Artefacts, Outcome, Quality, Stage
from qgen.types import Array, Key, Params


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        samples: documents of the second domain to learn from.
        validation: share of them that chooses the learning rate.
        steps: training steps of one trial.
        batch: windows per step.
        trials: learning rates to try, as multiples of the arm's own first guess; the same for every arm.
        full_rate: first guess for all weights, and for the student.
        adapter_rate: first guess for LoRA and for generated adapters.
        rank: of the adapters.
        temperature: of the distillation.
        teacher: the teacher's share of the student's loss.
        layers: of the generator's circuit.
        hidden: of the generator's mapping network.
        chunk: weights per basis state.
        shots: per circuit in training, and for the final weights.
        holdout: documents of each domain that score.
    """

    samples: int = 64
    validation: float = 0.2
    steps: int = 50
    batch: int = 8
    trials: tuple[float, ...] = (0.3, 1.0, 3.0)
    full_rate: float = 3e-3
    adapter_rate: float = 2e-2
    rank: int = 2
    temperature: float = 2.0
    teacher: float = 0.5
    layers: int = 4
    hidden: int = 16
    chunk: int = 32
    shots: int = 1024
    holdout: int = 40


class Problem(NamedTuple):
    """What all arms work on.

    Attributes:
        model: the architecture.
        params: the trained parameters.
        tokenizer: JSON text.
        tokens: the samples' training part as one token stream.
        validation: their validation part.
        first: held-out documents of the first domain.
        second: held-out documents of the second domain.
        before: bits per byte before any adaptation: first domain, second domain.
    """

    model: transformer.Config
    params: Params
    tokenizer: str
    tokens: np.ndarray
    validation: np.ndarray
    first: tuple[str, ...]
    second: tuple[str, ...]
    before: tuple[float, float]


class Adapted(NamedTuple):
    """An adapted model.

    Attributes:
        model: the architecture, as a dict.
        params: its parameters, adapters merged in.
        trained: how many numbers were trained.
    """

    model: Mapping[str, Any]
    params: Params
    trained: int


def problem(key: Key, config: Config, artefacts: Artefacts) -> Problem:
    """Draws the few samples and sets a part of them aside for validation."""
    order = np.asarray(jax.random.permutation(key, len(artefacts.samples)))[: config.samples]
    chosen = [artefacts.samples[place] for place in order]
    n_validation = max(1, round(config.validation * len(chosen)))
    model = transformer.Config(**artefacts.model or {})
    params = jax.tree.map(jnp.asarray, artefacts.params)
    first, second = artefacts.holdout[: config.holdout], artefacts.samples_holdout[: config.holdout]
    before = tuple(train.bits_per_byte(params, model, artefacts.tokenizer, texts) for texts in (first, second))
    return Problem(
        model,
        params,
        artefacts.tokenizer,
        _stream(artefacts.tokenizer, chosen[n_validation:], model.context),
        _stream(artefacts.tokenizer, chosen[:n_validation], 2),
        first,
        second,
        (before[0], before[1]),
    )


def _stream(tokenizer_json: str, documents: list[str], least: int) -> np.ndarray:
    """The documents as tokens, repeated until training can draw a window."""
    tokens = tokenizer.stream(tokenizer_json, documents)
    return np.tile(tokens, 1 + (least + 1) // len(tokens))


def score(problem: Problem, answer: Adapted) -> dict[str, float]:
    """Bits per byte on both domains, and what it took."""
    model = transformer.Config(**answer.model)
    first, second = (
        train.bits_per_byte(answer.params, model, problem.tokenizer, texts) for texts in (problem.first, problem.second)
    )
    return {
        "bits_per_byte": second,
        "gain": problem.before[1] - second,
        "forgetting": first - problem.before[0],
        "trainable_parameters": float(answer.trained),
        "model_parameters": float(transformer.size(answer.params)),
    }


def full(config: Config) -> Arm:
    """Every weight learns."""

    def solve(key: Key, problem: Problem) -> Outcome:
        return _answer(problem, *_all_weights(key, problem, config))

    return Arm("classical/full", solve, "every weight learns")


def low_rank(config: Config) -> Arm:
    """LoRA on every matrix of the blocks."""

    def solve(key: Key, problem: Problem) -> Outcome:
        adapters = _adapters(key, problem.params, config.rank)
        objective = lora.objective(problem.model)
        trained, trace = _tuned(
            key, problem, config, config.adapter_rate, adapters, objective, problem.params, _merge, problem.model
        )
        return _answer(problem, _merge(trained, problem.params), transformer.size(trained), trace)

    return Arm("classical/lora", solve, f"adapters of rank {config.rank} on every matrix of the blocks")


def distilled(config: Config) -> Arm:
    """The adapted model teaches one that starts from every second of its blocks."""

    def solve(key: Key, problem: Problem) -> Outcome:
        teacher, _, _ = _all_weights(key, problem, config)
        model, start = student(problem.model, teacher)
        objective = train.distillation(model, problem.model, config.temperature, config.teacher)
        params, trace = _tuned(
            key, problem, config, config.full_rate, start, objective, teacher, lambda trained, extra: trained, model
        )
        return Outcome(Adapted(dataclasses.asdict(model), params, transformer.size(params)), trace=trace)

    return Arm("classical/distilled", solve, "teacher adapted first; the student has half its blocks")


def generated(config: Config, name: str, source: str, note: str) -> Arm:
    """LoRA's weights come out of a small network that reads a distribution.

    Args:
        config: the stage's settings.
        name: the arm's name.
        source: "circuit", "product" (the circuit without entanglement), "random" (one draw) or "bits" (no p at all).
        note: the arm's note.
    """
    is_quantum = source in ("circuit", "product")

    def solve(key: Key, problem: Problem) -> Outcome:
        start_key, fixed_key, final_key = jax.random.split(key, 3)
        adapters = _adapters(start_key, problem.params, config.rank)
        made = _generator(config, adapters, source if is_quantum else "fixed")
        # One program for all sources without a circuit: what stands for p is data.
        is_random = source == "random"
        fixed = (
            parameter_generator.random_distribution(fixed_key, made)
            if is_random
            else parameter_generator.uniform_distribution(made)
        )
        extra = (problem.params, adapters, fixed)
        objective = generated_objective(problem.model, made)

        def finish(trained: Params, extra: Any) -> Params:
            return _merge_generated(final_key, trained, made, problem.params, adapters, fixed)

        start = _fresh(start_key, made)
        trained, trace = _tuned(
            key, problem, config, config.adapter_rate, start, objective, extra, finish, problem.model
        )
        if is_quantum:
            # Without weight decay, angles move only where a gradient reaches them.
            trace["angle_change_rad"] = np.abs(np.asarray(trained["angles"] - start["angles"]))
        steps = config.steps * len(config.trials)
        return Outcome(
            Adapted(
                dataclasses.asdict(problem.model),
                finish(trained, extra),
                transformer.size(trained),
            ),
            # Every trial's weights are read out to be validated; the best trial's are the answer.
            parameter_generator.resources(made, steps, read_outs=len(config.trials)),
            trace,
        )

    host = generated(config, "control/hypernetwork", "bits", "").solve if is_quantum else None
    return Arm(name, solve, note, host)


def student(model: transformer.Config, params: Params) -> tuple[transformer.Config, Params]:
    """Half the depth: every second block, first one included, with the rest of the model unchanged."""
    kept = range(0, model.depth, 2)
    small = {name: value for name, value in params.items() if not name.startswith("block_")}
    small |= {f"block_{place}": params[f"block_{block}"] for place, block in enumerate(kept)}
    return dataclasses.replace(model, depth=len(kept)), small


@functools.lru_cache
def generated_objective(model: transformer.Config, made: parameter_generator.Config) -> train.Objective:
    """Cross-entropy as a function of the generator's parameters; `extra`: base parameters, first adapters, fixed p."""

    def objective(trained: Params, extra: Any, inputs: Array, targets: Array, key: Key) -> Array:
        base, adapters, fixed = extra
        grown = _grown(key, trained, made, adapters, fixed)
        return train.loss(lora.attach(base, grown), model, inputs, targets)

    return objective


def _generator(config: Config, adapters: lora.Adapters, source: str) -> parameter_generator.Config:
    return parameter_generator.Config(
        transformer.size(adapters), config.chunk, config.layers, config.hidden, config.shots, source
    )


def _grown(
    key: Key, trained: Params, made: parameter_generator.Config, adapters: lora.Adapters, fixed: Array
) -> lora.Adapters:
    """The first adapters (a random, b zero) plus the generated weights."""
    flat, unflatten = ravel_pytree(adapters)
    return unflatten(flat + parameter_generator.weights(key, trained, made, fixed))


_adapters = jax.jit(lora.init, static_argnums=2)
_fresh = jax.jit(parameter_generator.init, static_argnums=1)


@jax.jit
def _merge(adapters: Params, base: Params) -> Params:
    return lora.merge(base, adapters)


@functools.partial(jax.jit, static_argnames="made")
def _merge_generated(
    key: Key, trained: Params, made: parameter_generator.Config, base: Params, adapters: lora.Adapters, fixed: Array
) -> Params:
    return lora.merge(base, _grown(key, trained, made, adapters, fixed))


def _all_weights(key: Key, problem: Problem, config: Config) -> tuple[Params, int, dict[str, Any]]:
    objective = train.cross_entropy(problem.model)
    params, trace = _tuned(
        key,
        problem,
        config,
        config.full_rate,
        problem.params,
        objective,
        (),
        lambda trained, extra: trained,
        problem.model,
    )
    return params, transformer.size(params), trace


def _tuned(
    key: Key,
    problem: Problem,
    config: Config,
    rate: float,
    start: Params,
    objective: train.Objective,
    extra: Any,
    finish: Callable[[Params, Any], Params],
    model: transformer.Config,
) -> tuple[Params, dict[str, Any]]:
    """Trains once per learning rate and keeps what is best on the validation part."""
    best, trace, least, losses = start, {}, np.inf, []
    for factor in config.trials:
        recipe = train.Recipe(learning_rate=rate * factor, weight_decay=0.0)
        fit = train.fit(
            key,
            start,
            problem.model,
            problem.tokens,
            recipe,
            config.steps,
            config.batch,
            objective=objective,
            extra=extra,
        )
        loss = train.token_loss(finish(fit.params, extra), model, problem.validation)
        # A diverged run has a loss that is not a number, and is never the least.
        if loss < least:
            best, trace, least = fit.params, {"loss": fit.losses}, loss
        losses.append(loss)
    return best, trace | {"validation_loss": np.array(losses)}


def _answer(problem: Problem, params: Params, trained: int, trace: dict[str, Any]) -> Outcome:
    return Outcome(Adapted(dataclasses.asdict(problem.model), params, trained), trace=trace)


def hand_on(artefacts: Artefacts, problem: Problem, answer: Adapted) -> Artefacts:
    """The adapted model and its architecture."""
    return artefacts._replace(adapted_model=dict(answer.model), adapted=answer.params)


STAGE = Stage(
    name="finetuning",
    title="Fine-tuning and distillation",
    quality=Quality("bits_per_byte", higher_is_better=False, margin=0.02),
    presets={
        "smoke": Config(samples=24, steps=6, batch=4, trials=(1.0,), layers=2, shots=256, holdout=4),
        "default": Config(),
        "paper": Config(samples=256, steps=400, batch=16, trials=(0.1, 0.3, 1.0, 3.0), rank=4, shots=8192, holdout=200),
    },
    problem=problem,
    score=score,
    arms={
        "classical/full": full,
        "classical/lora": low_rank,
        "classical/distilled": distilled,
        "quantum/parameter_generator": lambda config: generated(
            config,
            "quantum/parameter_generator",
            "circuit",
            "p and its parameter shifts come from shots of an ideal simulator; the mapping network is classical",
        ),
        "control/no_entanglement": lambda config: generated(
            config, "control/no_entanglement", "product", "the same circuit without its CZ gates"
        ),
        "control/random_vector": lambda config: generated(
            config, "control/random_vector", "random", "one fixed random distribution in place of the circuit's"
        ),
        "control/hypernetwork": lambda config: generated(
            config, "control/hypernetwork", "bits", "the mapping network on the bits alone"
        ),
    },
    reference="classical/full",
    swap="quantum/parameter_generator",
    hand_on=hand_on,
)
