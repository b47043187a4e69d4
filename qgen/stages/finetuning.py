"""Finetuning: the trained model learns a second domain from a few documents.

Problem: 10 to 1000 documents of the second domain, a part of them for validation, and the model of the stage before.
Classical: every weight, adapters (LoRA and its kin), and distillation of the adapted model into one of half its depth.
Quantum: the LoRA's weights generated from a circuit's distribution, which is read from shots in training.
Score: bits per byte on held-out documents of the second domain; what was forgotten of the first; parameters trained.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen.lm import tokenizer, train, transformer
from qgen.stages import adapted, distillation, generated
from qgen.stages.base import Arm, Artefacts, Outcome, Quality, Stage
from qgen.stages.few_samples import Adapted, Config, Problem, answered, tuned
from qgen.types import Key, Params


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
        return answered(problem, *_all_weights(key, problem, config))

    return Arm("classical/full", solve, "every weight learns")


def distilled(config: Config) -> Arm:
    """The adapted model teaches one that starts from every second of its blocks."""

    def solve(key: Key, problem: Problem) -> Outcome:
        teacher, _, _ = _all_weights(key, problem, config)
        model, start = student(problem.model, teacher)
        objective = train.distillation(model, problem.model, config.temperature, config.teacher)
        params, trace = tuned(
            key, problem, config, config.full_rate, start, objective, teacher, lambda trained, extra: trained, model
        )
        return Outcome(Adapted(dataclasses.asdict(model), params, transformer.size(params)), trace=trace)

    return Arm("classical/distilled", solve, "teacher adapted first; the student has half its blocks")


def student(model: transformer.Config, params: Params) -> tuple[transformer.Config, Params]:
    """Half the depth: every second block, first one included, with the rest of the model unchanged."""
    kept = range(0, model.depth, 2)
    small = {name: value for name, value in params.items() if not name.startswith("block_")}
    small |= {f"block_{place}": params[f"block_{block}"] for place, block in enumerate(kept)}
    return dataclasses.replace(model, depth=len(kept)), small


def _all_weights(key: Key, problem: Problem, config: Config) -> tuple[Params, int, dict[str, Any]]:
    objective = train.cross_entropy(problem.model)
    params, trace = tuned(
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
        "paper": Config(samples=256, steps=80, batch=16, rank=4, shots=8192, holdout=200),
    },
    problem=problem,
    score=score,
    arms={
        "classical/full": full,
        "classical/distilled": distilled,
        **adapted.ARMS,
        **generated.ARMS,
        **distillation.ARMS,
    },
    reference="classical/full",
    swap="quantum/parameter_generator",
    hand_on=hand_on,
    deep=adapted.DEEP | generated.DEEP | distillation.DEEP,
)
