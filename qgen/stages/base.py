"""Stage and Arm: one lifecycle stage is one problem, one score and several arms that solve the same problem."""

import dataclasses
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import jax
import numpy as np

from qgen import check, record
from qgen.energy import meters, pricing, profiles
from qgen.record import Record
from qgen.resources import Resources, total
from qgen.settings import changed
from qgen.types import Array, Key

FAMILIES = ("classical", "quantum", "inspired", "control")
"""classical: the honest rival. quantum: needs a quantum machine. inspired: from quantum computing, but runs classically
and claims nothing quantum. control: the quantum arm with its quantum part taken away or replaced."""


class Outcome(NamedTuple):
    """What an arm returns.

    Attributes:
        answer: the stage's answer; every arm of a stage returns the same type.
        resources: what a quantum machine would need for it; empty for an arm that needs none.
        trace: name -> array of one axis, for curves (losses, regrets).
    """

    answer: Any
    resources: tuple[Resources, ...] = ()
    trace: Mapping[str, Array] = {}


class Arm(NamedTuple):
    """One way to solve a stage's problem.

    Attributes:
        name: `family/method`.
        solve: `(key, problem) -> Outcome`.
        note: one sentence that the table shows: what is simulated, what is left out.
        host: `(key, problem) -> anything`: for a quantum arm, the classical work that would stay classical beside a
            quantum machine (feature extraction, optimiser, training runs that the oracle's table needs). It is run and
            measured apart, and its energy is added to the projected energy. None: negligible, and the note says so.
    """

    name: str
    solve: Callable[[Key, Any], Outcome]
    note: str = ""
    host: Callable[[Key, Any], Any] | None = None


class Use(NamedTuple):
    """One use of a stage's answer, to be measured: calling `run` does `units` of `unit` (tokens, items)."""

    run: Callable[[], Any]
    units: float
    unit: str


class Artefacts(NamedTuple):
    """What the stages hand on; each stage reads some fields and fills its own.

    Attributes:
        documents: the project's raw documents of the first domain, training part.
        holdout: documents of the first domain that no stage trains on.
        samples: documents of the second domain, training part (the few-sample domain).
        samples_holdout: documents of the second domain that no stage trains on.
        curated: stage 1: the documents that were kept.
        tokenizer: stage 2: the tokenizer as JSON text of Hugging Face `tokenizers`.
        embeddings: stage 2: item embeddings, [vocabulary, features].
        model: stage 3: the architecture, the fields of `qgen.lm.transformer.Config` as a dict.
        recipe: stage 3: the chosen training hyperparameters, name -> float.
        params: stage 4: the trained parameters.
        adapted_model: stage 5: the architecture of the adapted model (a distilled student differs from the teacher).
        adapted: stage 5: the adapted parameters.
        deployed: stage 6: the deployed parameters.
        gates: stage 6: which residual branches remain, [2 * depth] of 0 and 1.
    """

    documents: tuple[str, ...]
    holdout: tuple[str, ...]
    samples: tuple[str, ...]
    samples_holdout: tuple[str, ...]
    curated: tuple[str, ...] = ()
    tokenizer: str = ""
    embeddings: Any = None
    model: Mapping[str, Any] | None = None
    recipe: Mapping[str, float] | None = None
    params: Any = None
    adapted_model: Mapping[str, Any] | None = None
    adapted: Any = None
    deployed: Any = None
    gates: Any = None


class Quality(NamedTuple):
    """The score that decides: its name, whether higher is better, and the margin below which two arms are equal."""

    name: str
    higher_is_better: bool
    margin: float


class Stage(NamedTuple):
    """One lifecycle stage.

    Attributes:
        name: the word that flags and records use.
        title: what tables print.
        quality: the headline score.
        presets: preset name -> Config (a frozen dataclass).
        problem: `(key, config, artefacts) -> problem`; an industry case takes its sources in place of artefacts.
        score: `(problem, answer) -> name -> float`; the same function for every arm.
        arms: arm name -> `config -> Arm`.
        reference: the classical arm whose answer the reference lifecycle hands on.
        swap: the quantum arm that the bottom line of the lifecycle swaps in.
        hand_on: `(artefacts, problem, answer) -> artefacts` for the next stage.
        use: `(problem, answer) -> Use`, where using the answer costs energy of its own; else None. It may give None for
            an answer whose use needs a quantum machine: a simulation's energy is no such cost.
        deep: the arms that the lifecycle runs only where they are asked for (`--arm=all`), as many of them cost more
            than the rest of the stage.
    """

    name: str
    title: str
    quality: Quality
    presets: Mapping[str, Any]
    problem: Callable[[Key, Any, Any], Any]
    score: Callable[[Any, Any], dict[str, float]]
    arms: Mapping[str, Callable[[Any], Arm]]
    reference: str
    swap: str
    hand_on: Callable[[Artefacts, Any, Any], Artefacts]
    use: Callable[[Any, Any], Use | None] | None = None
    deep: frozenset[str] = frozenset()


def configure(stage: Stage, preset: str, settings: Mapping[str, str]) -> Any:
    """The stage's config of a preset with single fields set from text.

    Args:
        stage: the stage.
        preset: a name of `stage.presets`.
        settings: field name -> text, read as the field's own type.

    Raises:
        ValueError: for an unknown preset or field, a text that the field's type cannot read, or a value out of range.
    """
    check.one_of("preset", preset, stage.presets)
    return changed(stage.name, stage.presets[preset], settings)


class Result(NamedTuple):
    """What `run_arm` gives: the row, and the answer for the next stage (None where the arm failed)."""

    record: Record
    answer: Any


def run_arm(
    stage: Stage,
    arm_name: str,
    config: Any,
    problem: Any,
    *,
    experiment: str,
    preset: str,
    seed: int,
    meter: meters.Meter,
    machines: Mapping[str, profiles.Profile],
    upstream: str = "reference",
    inputs: str = "",
    min_time_s: float = 0.0,
    hosts: dict[Callable, meters.Measurement] | None = None,
) -> Result:
    """Solves a problem with one arm: measured, scored, priced on every machine, as a Record.

    Args:
        stage: the stage.
        arm_name: a name of `stage.arms`.
        config: the stage's config.
        problem: what `stage.problem` made; the caller makes it once for all arms of a seed.
        experiment: the experiment's name, for the record.
        preset: the preset's name, for the record.
        seed: the seed; the arm's key is `jax.random.key(seed)` folded with the names of stage and arm.
        meter: the joule counter.
        machines: profile name -> quantum machine to price the resources on.
        upstream: which arms made the problem.
        inputs: a fingerprint of everything else that the problem was made from, kept in the record's config.
        min_time_s: the least length of a measuring window; short arms are repeated until it is reached.
        hosts: host -> what it used on this problem; arms that leave the very same work to their host share one
            measurement. It is added to. None: none is shared.

    Returns:
        A Result; an arm that raises gives a record with `status="failed"` and no answer.
    """
    check.one_of("arm", arm_name, stage.arms)
    arm = stage.arms[arm_name](config)
    # By name, so that a new arm leaves the others' numbers as they are.
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(f"{stage.name} {arm_name}".encode()))
    row = Record(
        experiment=experiment,
        stage=stage.name,
        arm=arm_name,
        seed=seed,
        preset=preset,
        config=plain(config) | {"inputs": inputs},
        upstream=upstream,
        note=arm.note,
        provenance=record.provenance(datetime.now(UTC).isoformat(timespec="seconds")),
    )
    try:
        measured = meters.measure(meter, lambda: arm.solve(key, problem), min_time_s=min_time_s)
        outcome: Outcome = measured.result
        beside, known = arm.host, {} if hosts is None else hosts
        if beside and beside not in known:
            known[beside] = meters.measure(meter, lambda: beside(key, problem), min_time_s=min_time_s)
        host = known[beside] if beside else None
        metrics = {name: _finite(stage, name, value) for name, value in stage.score(problem, outcome.answer).items()}
        use = stage.use(problem, outcome.answer) if stage.use else None
        used = meters.measure(meter, use.run, min_time_s=min_time_s) if use else None
        resources = total(outcome.resources)
        projected = {name: project(outcome.resources, m) for name, m in machines.items()} if resources else {}
        trace = {name: _curve(name, values) for name, values in outcome.trace.items()}
    except Exception as error:  # a failed run is a row of its own, and the other arms go on
        return Result(dataclasses.replace(row, status="failed", reason=f"{type(error).__name__}: {error}"), None)
    row = dataclasses.replace(
        row,
        metrics=metrics,
        resources=dataclasses.asdict(resources) if resources else {},
        measured=measured.fields(),
        host=host.fields() if host else {},
        use=used.fields() | {"unit": use.unit, "energy_per_unit_j": used.energy_j / use.units} if use and used else {},
        projected=projected,
        trace=trace,
    )
    return Result(row, outcome.answer)


def project(resources: Sequence[Resources], machine: profiles.Profile) -> dict[str, Any]:
    """The projected columns of a record: quantiles of energy and time, or the reason why the machine cannot run it."""
    try:
        bill = pricing.price(resources, machine, jax.random.key(0))
    except pricing.CannotRun as error:
        return {"reason": str(error), "fingerprint": machine.fingerprint}
    drawn = {"energy_j": bill.energy_j, "amortised_energy_j": bill.amortised_energy_j, "time_s": bill.time_s}
    quantiles = {
        name: np.quantile(np.asarray(values, dtype=float), record.QUANTILE_LEVELS).tolist()
        for name, values in drawn.items()
    }
    return quantiles | {"fingerprint": machine.fingerprint}


def plain(config: Any) -> dict[str, Any]:
    """A config as a dict that JSON gives back unchanged (tuples become lists)."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(config).items()
    }


def _finite(stage: Stage, name: str, value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"Score `{name}` of stage {stage.name} is not finite: {number}.")
    return number


def _curve(name: str, values: Any) -> list[float]:
    curve = np.asarray(values, dtype=float)
    if curve.ndim != 1 or not np.isfinite(curve).all():
        raise ValueError(f"Trace `{name}` must be one row of finite numbers, but is {curve.tolist()}.")
    return curve.tolist()
