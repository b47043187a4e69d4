"""What the arms of fine-tuning share: settings, a problem of few samples, an adapted model, and one way of tuning."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np

from qgen import check
from qgen.check import Count, Natural, Part, Positive, Share
from qgen.lm import train, transformer
from qgen.stages.base import Outcome
from qgen.types import Key, Params


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        samples: documents of the second domain to learn from.
        validation: share of them that chooses the learning rate.
        steps: training steps of one trial.
        batch: windows per step.
        trials: learning rates to try, rising, as multiples of the arm's own first guess; the same for every arm.
        further: how many more may be tried beyond the highest or the lowest, as long as that one is the best.
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

    samples: Annotated[int, partial(check.at_least, bound=2)] = 64
    validation: Part = 0.2
    steps: Count = 32
    batch: Count = 8
    trials: tuple[Positive, ...] = (0.3, 1.0, 3.0)
    further: Natural = 2
    full_rate: Positive = 3e-3
    adapter_rate: Positive = 2e-2
    rank: Count = 2
    temperature: Positive = 2.0
    teacher: Share = 0.5
    layers: Count = 4
    hidden: Count = 16
    chunk: Count = 32
    shots: Count = 1024
    holdout: Count = 40

    def __post_init__(self) -> None:
        """Refuses what no arm can learn with."""
        check.fields("finetuning", self)


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


def tuned(
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
    """Trains once per learning rate and keeps what is best on the validation part: the one way in which arms are tuned.

    While the best rate is the highest or the lowest tried, one more is tried beyond it, so that no arm is held back by
    a first guess; what that costs is measured and counted like the rest.

    Args:
        key: the random key of the batches, the same for every rate.
        problem: the problem.
        config: the stage's settings.
        rate: the arm's first guess, which `config.trials` multiplies.
        start: what is trained.
        objective: the loss.
        extra: what the objective needs beside it.
        finish: `(trained, extra) -> plain parameters of the model`, for the validation.
        model: the architecture of what `finish` makes.

    Returns:
        What is trained at the best rate, and the trace: its losses, every rate in the order tried, and the validation
        loss of each.
    """
    found: dict[float, float] = {}
    best, losses, least = start, np.array([]), np.inf
    factors = list(config.trials)
    while factors:
        for factor in factors:
            recipe = train.Recipe(learning_rate=rate * factor, weight_decay=0.0)
            fit = train.fit(
                *(key, start, problem.model, problem.tokens, recipe, config.steps, config.batch),
                objective=objective,
                extra=extra,
            )
            found[factor] = train.token_loss(finish(fit.params, extra), model, problem.validation)
            # A diverged run has a loss that is not a number, and is never the least.
            if found[factor] < least:
                best, losses, least = fit.params, fit.losses, found[factor]
        factors = _beyond(found) if len(found) < len(config.trials) + config.further else []
    rates = rate * np.array(list(found))
    return best, {"loss": losses, "rate": rates, "validation_loss": np.array(list(found.values()))}


def _beyond(found: Mapping[float, float]) -> list[float]:
    """The next factor outside those tried where the best of them is the outermost, by the step between the last two."""
    tried = sorted(found)
    best = min(tried, key=lambda factor: np.nan_to_num(found[factor], nan=np.inf))
    if len(tried) < 2 or best not in (tried[0], tried[-1]):
        return []
    inner = tried[1] if best == tried[0] else tried[-2]
    return [best * best / inner]


def answered(problem: Problem, params: Params, trained: int, trace: dict[str, Any]) -> Outcome:
    """The outcome of an arm that keeps the architecture and needs no quantum machine."""
    return Outcome(Adapted(dataclasses.asdict(problem.model), params, trained), trace=trace)
