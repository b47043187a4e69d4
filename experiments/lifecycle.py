"""The main job: takes one real language model through all seven stages and prints the energy of each.

Command:   python -m experiments.lifecycle            (or scripts/lifecycle, which sets up first)
Headline:  no quantum arm saves energy at equal quality on a machine of today; the table says by how much
Writes:    runs/lifecycle/records.jsonl, tables/lifecycle.{md,tex,csv}, figures/*.{png,pdf}, emissions.csv
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
from absl import flags
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from experiments import cli, outlook
from qgen import check, checkpoint, record, report
from qgen.energy import carbon, meters, profiles
from qgen.lm import data
from qgen.stages import STAGES, Artefacts, Stage
from qgen.stages.base import configure, plain, run_arm
from qgen.stages.fits import fits

PRESETS = ("smoke", "default", "paper")
_PRESET = flags.DEFINE_string(
    "preset", "default", "smoke (about 2 minutes on two cores), default (about 15), paper (hours)."
)
_SEEDS = flags.DEFINE_integer("seeds", None, "Seeds per arm; None: what the preset says.")
_STAGE = flags.DEFINE_list(
    "stage", [], "Stages whose arms are compared; earlier ones run their reference arm. Empty: all."
)
_ARM = flags.DEFINE_list(
    "arm",
    [],
    "Arms to run besides the reference arms, such as classical/minhash; all: also the deep arms, which take longer "
    "than the preset's time. Empty: all but the deep ones.",
)
_REFERENCE = flags.DEFINE_multi_string("reference", [], "stage=arm: another reference arm, whose answer is handed on.")
_OUT = flags.DEFINE_string("out", "runs/lifecycle", "Folder that receives records, tables, figures and artefacts.")
_CORPUS = flags.DEFINE_string(
    "corpus", None, "Text file, folder, JSONL, TSV or Parquet of the first domain. None: Python's docs."
)
_ADAPT = flags.DEFINE_string(
    "adapt_corpus", None, "The same for the second domain. None: the standard library's source code."
)
_SET = flags.DEFINE_multi_string("set", [], "stage.field=value: one setting of a stage's config (or of corpus).")
_METER = flags.DEFINE_string("meter", "auto", "Joule counter: auto, nvml, rapl, zeus or modelled.")
_PROFILE = flags.DEFINE_list("profile", [], "Quantum machines to price on. Empty: all (see scripts/host --profiles).")
_RESUME = flags.DEFINE_bool(
    "resume", True, "Complete the missing rows of --out; --noresume refuses a folder with records."
)


@dataclasses.dataclass(frozen=True)
class CorpusConfig:
    """How much text enters: characters of the first and of the second domain, and the share that is held out."""

    characters: Annotated[int, partial(check.at_least, bound=data.LEAST_CHARACTERS)] = 600_000
    adapt_characters: Annotated[int, partial(check.at_least, bound=data.LEAST_CHARACTERS)] = 200_000
    holdout: check.Part = 0.1

    def __post_init__(self) -> None:
        """Refuses what cannot be split and trained on."""
        check.fields("corpus", self)


class Preset(NamedTuple):
    """What the experiment itself sets; each stage has presets of its own."""

    seeds: int
    corpus: CorpusConfig
    min_time_s: float


SETTINGS = {
    "smoke": Preset(1, CorpusConfig(60_000, 30_000), 0.0),
    "default": Preset(5, CorpusConfig(), 0.1),
    "paper": Preset(5, CorpusConfig(2_000_000, 400_000), 1.0),
}


class Plan(NamedTuple):
    """The checked flags: nothing has been written yet, and nothing can be refused any more."""

    preset: str
    seeds: int
    stages: tuple[Stage, ...]
    compared: frozenset[str]
    arms: frozenset[str]
    whole: bool
    reference: Mapping[str, str]
    configs: Mapping[str, Any]
    base: Artefacts
    corpus: str
    out: Path
    meter: meters.Meter
    machines: Mapping[str, profiles.Profile]
    min_time_s: float
    done: dict[tuple, record.Record]


def plan() -> Plan:
    """Reads and checks every flag.

    Raises:
        cli.UsageError: for the first flag that is wrong.
    """
    cli.known("preset", [_PRESET.value], PRESETS)
    preset = SETTINGS[_PRESET.value]
    seeds = cli.seeds(_SEEDS.value, preset.seeds)
    cli.known("stage", _STAGE.value, STAGES)
    compared = frozenset(_STAGE.value or STAGES)
    last = max(index for index, name in enumerate(STAGES) if name in compared)
    stages = tuple(STAGES.values())[: last + 1]

    available = [arm for name in STAGES if name in compared for arm in STAGES[name].arms]
    cli.known("arm", _ARM.value, [*available, "all"])
    named = [] if "all" in _ARM.value else _ARM.value
    deep = {arm for name in STAGES for arm in STAGES[name].deep} if not _ARM.value else set()
    reference = {name: stage.reference for name, stage in STAGES.items()}
    for entry in _REFERENCE.value:
        name, _, arm = entry.partition("=")
        if name not in STAGES:
            raise cli.UsageError(
                f"--reference={entry}: must have the form stage=arm, with a stage of: {', '.join(STAGES)}."
            )
        if arm not in STAGES[name].arms:
            raise cli.UsageError(f"--reference={entry}: the arm must be one of: {', '.join(STAGES[name].arms)}.")
        reference[name] = arm

    presets = {name: configure(stage, _PRESET.value, {}) for name, stage in STAGES.items()}
    configs = cli.configured(_SET.value, {"corpus": preset.corpus, **presets})
    corpus_config = configs.pop("corpus")
    with cli.setting(_SET.value):
        fits(configs)
    meter, machines = cli.meter(_METER.value), cli.machines(_PROFILE.value)

    with cli.flag("corpus", _CORPUS.value or "(the standard library's documentation)"):
        first = data.load_corpus(_CORPUS.value, domain="prose", max_characters=corpus_config.characters)
    with cli.flag("adapt_corpus", _ADAPT.value or "(the standard library's source code)"):
        second = data.load_corpus(_ADAPT.value, domain="code", max_characters=corpus_config.adapt_characters)
    with cli.setting([entry for entry in _SET.value if entry.startswith("corpus.holdout=")]):
        base = Artefacts(*data.split(first, corpus_config.holdout), *data.split(second, corpus_config.holdout))

    out = Path(_OUT.value)
    rows = cli.rows(out, _RESUME.value)
    if others := {row.measured["meter"] for row in rows if row.measured} - {meter.name}:
        raise cli.UsageError(
            f"--meter={_METER.value}: {out} holds rows that {', '.join(sorted(others))} measured, and this run would "
            f"add rows of {meter.name}, which do not compare; name another --out."
        )
    return Plan(
        preset=_PRESET.value,
        seeds=seeds,
        stages=stages,
        compared=compared,
        arms=frozenset(named or available) - deep,
        whole=compared == frozenset(STAGES) and not named,
        reference=reference,
        configs=configs,
        base=base,
        corpus=fingerprint([base.documents, base.holdout, base.samples, base.samples_holdout]),
        out=out,
        meter=meter,
        machines=machines,
        min_time_s=preset.min_time_s,
        done=record.done(rows),
    )


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def fingerprint(content: Any) -> str:
    """Twelve hexadecimal digits that stand for a JSON-like value."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


class Chain:
    """One pass through the stages for one seed: the reference pass, or one with an earlier stage's arm swapped in."""

    def __init__(self, plan: Plan, seed: int, progress: Progress, upstream: str = "reference") -> None:
        self.plan, self.seed, self.progress, self.upstream = plan, seed, progress, upstream
        self.rows: list[record.Record] = []

    def inputs(self, stage: Stage) -> str:
        """What a stage's problem is made of besides seed and `upstream`: corpus, earlier settings, earlier arms."""
        earlier = list(STAGES)[: list(STAGES).index(stage.name)]
        settings = [[name, plain(self.plan.configs[name]), self.plan.reference[name]] for name in earlier]
        return fingerprint([self.plan.corpus, settings])

    def place(self, stage: Stage, arm: str) -> Path:
        """Where the artefacts are kept that a stage hands on with this arm's answer."""
        settings = [self.inputs(stage), plain(self.plan.configs[stage.name]), self.upstream, arm]
        return self.plan.out / "artefacts" / f"seed{self.seed}-{stage.name}-{fingerprint(settings)}"

    def run_stage(self, stage: Stage, artefacts: Artefacts, arms: Sequence[str], kept: Sequence[str]) -> None:
        """Runs the arms that have no row yet; keeps what the arms of `kept` hand on."""
        plan, config = self.plan, self.plan.configs[stage.name]
        problem, hosts = None, {}
        for arm in arms:
            row_key = self.empty_row(stage, arm).key
            row = plan.done.get(row_key)
            if row is None or not self.priced(row) or (arm in kept and not checkpoint.exists(self.place(stage, arm))):
                try:
                    if problem is None:
                        self.say(stage, "building the problem")
                        problem = stage.problem(self.problem_key(stage), config, artefacts)
                except ValueError as error:
                    reason = f"the problem of stage {stage.name} cannot be made: {error}"
                    if self.upstream == "reference":
                        raise cli.UsageError(f"--corpus or --set={stage.name}: {reason}") from error
                    row = self.failed(stage, arm, reason)  # what the swap handed on is no input for this stage
                else:
                    self.say(stage, arm)
                    row, answer = run_arm(
                        stage,
                        arm,
                        config,
                        problem,
                        experiment="lifecycle",
                        preset=plan.preset,
                        seed=self.seed,
                        meter=plan.meter,
                        machines=plan.machines,
                        upstream=self.upstream,
                        inputs=self.inputs(stage),
                        min_time_s=plan.min_time_s,
                        hosts=hosts,
                    )
                    if arm in kept and row.status == "ok":
                        save(self.place(stage, arm), stage.hand_on(artefacts, problem, answer))
                record.append(plan.out / "records.jsonl", row)
                plan.done[row_key] = row
            asked = {name: row.projected[name] for name in plan.machines if name in row.projected}
            self.rows.append(dataclasses.replace(row, projected=asked))
            self.progress.advance(self.progress.task_ids[0])

    def priced(self, row: record.Record) -> bool:
        """Whether a row holds today's price on every machine: one whose numbers have changed is run again."""
        machines = self.plan.machines.items()
        return not row.resources or all(
            row.projected.get(name, {}).get("fingerprint") == machine.fingerprint for name, machine in machines
        )

    def empty_row(self, stage: Stage, arm: str) -> record.Record:
        """The row that this chain would write, without results."""
        config = plain(self.plan.configs[stage.name]) | {"inputs": self.inputs(stage)}
        return record.Record("lifecycle", stage.name, arm, self.seed, self.plan.preset, config, self.upstream)

    def failed(self, stage: Stage, arm: str, reason: str) -> record.Record:
        """The row of an arm that could not begin."""
        return dataclasses.replace(
            self.empty_row(stage, arm), status="failed", reason=reason, provenance=record.provenance(now())
        )

    def problem_key(self, stage: Stage) -> jax.Array:
        """The key of a stage's problem: the same in every chain of a seed: a swap changes the artefacts only."""
        return jax.random.fold_in(jax.random.key(self.seed), 1000 + list(STAGES).index(stage.name))

    def say(self, stage: Stage, what: str) -> None:
        """Shows what is being done."""
        path = "" if self.upstream == "reference" else f" after {self.upstream}"
        self.progress.update(self.progress.task_ids[0], description=f"seed {self.seed}  {stage.name}{path}: {what}")


ARRAYS = ("embeddings", "params", "adapted", "deployed", "gates")
TEXTS = ("curated",)


def save(place: Path, artefacts: Artefacts) -> None:
    """Keeps what a stage hands on; the corpus itself is read anew by every run."""
    values = artefacts._asdict()
    arrays = {name: values[name] for name in ARRAYS if values[name] is not None}
    corpus = Artefacts._fields[:4]
    meta = {name: value for name, value in values.items() if name not in ARRAYS and name not in corpus}
    checkpoint.save(place, arrays or None, meta)


def restore(place: Path, base: Artefacts) -> Artefacts:
    """What `save` kept. A fresh run reads it back as well, so that a resumed run sees the very same values."""
    arrays, meta = checkpoint.restore(place)
    meta |= {name: tuple(meta[name]) for name in TEXTS}
    return base._replace(**(arrays or {}), **meta)


def run(plan: Plan) -> list[record.Record]:
    """Runs every missing row of the plan, stage by stage and seed by seed; returns the rows of the plan."""
    chosen = {
        stage.name: [
            arm
            for arm in stage.arms
            if arm == plan.reference[stage.name] or (stage.name in plan.compared and arm in plan.arms)
        ]
        for stage in plan.stages
    }
    downstream = sum(len(plan.stages) - 1 - index for index in range(len(plan.stages))) if plan.whole else 0
    rows: list[record.Record] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=cli.console) as progress:
        progress.add_task("", total=plan.seeds * (sum(map(len, chosen.values())) + downstream))
        for seed in range(plan.seeds):
            chain = Chain(plan, seed, progress)
            artefacts = plan.base
            swaps: dict[str, Artefacts] = {}
            for stage in plan.stages:
                reference = plan.reference[stage.name]
                kept = [reference, stage.swap] if plan.whole else [reference]
                chain.run_stage(stage, artefacts, chosen[stage.name], kept)
                if not checkpoint.exists(chain.place(stage, reference)):
                    break  # the reference arm failed: its row says why, and the later stages have no input
                if plan.whole and checkpoint.exists(chain.place(stage, stage.swap)):
                    swaps[stage.name] = restore(chain.place(stage, stage.swap), plan.base)
                artefacts = restore(chain.place(stage, reference), plan.base)
            rows += chain.rows
            for name, artefacts in swaps.items():
                chain = Chain(plan, seed, progress, upstream=f"{name}={STAGES[name].swap}")
                for stage in plan.stages[list(STAGES).index(name) + 1 :]:
                    reference = plan.reference[stage.name]
                    chain.run_stage(stage, artefacts, [reference], [reference])
                    if not checkpoint.exists(chain.place(stage, reference)):
                        break
                    artefacts = restore(chain.place(stage, reference), plan.base)
                rows += chain.rows
    return rows


def published_shares(plan: Plan) -> list[record.Record]:
    """One row per stage with its share of the energy of published lifecycles, which weighs the verdicts."""
    rows = []
    for name in STAGES:
        row = record.Record("shares", name, "published/lifecycles", seed=0, preset=plan.preset, config={})
        if row.key not in plan.done:
            low, middle, high = np.quantile(
                np.asarray(carbon.weight(jax.random.key(0), name)), (0.05, 0.5, 0.95)
            ).tolist()
            row = dataclasses.replace(row, metrics={"share": middle, "share_low": low, "share_high": high})
            row = dataclasses.replace(row, provenance=record.provenance(now()))
            record.append(plan.out / "records.jsonl", row)
            plan.done[row.key] = row
        rows.append(plan.done[row.key])
    return rows


def main() -> None:
    """Checks the flags, runs what is missing, writes and prints the table."""
    started = time.monotonic()
    todo = plan()
    cli.console.print(
        f"lifecycle: preset {todo.preset}, {todo.seeds} seeds, {len(todo.base.documents)} documents, "
        f"meter {todo.meter.name} ({todo.meter.provenance}), {len(todo.machines)} quantum machines, "
        f"records in {todo.out}"
    )
    rows = run(todo)
    facts = report.article()
    chosen = {name: facts[name]._replace(reference=todo.reference[name]) for name in facts}
    with cli.console.status("break-evens, tornado and supply scenario"):
        derived = outlook.outlook(rows, todo.machines, todo.out, todo.meter, todo.preset, todo.done)
    report.lifecycle([*rows, *published_shares(todo), *derived], todo.out, cli.console, stages=chosen)
    cli.console.print(
        f"{len(rows)} rows in {time.monotonic() - started:.0f} s; records, tables and figures are in {todo.out}"
    )
    cli.finish(rows)


if __name__ == "__main__":
    cli.run(main)
