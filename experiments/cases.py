"""An industry case: its data, its arms in all its settings, published numbers beside ours, and a year's energy.

Command:   python -m experiments.cases --case=clinical       (grid, clinical, flights, weights, language_model)
Duration:  minutes with the default preset on two cores that other work shared: 5 for weights, 3 for flights, 9 for
           clinical, 4 for grid, 20 for language_model
Writes:    runs/cases/NAME/records.jsonl, tables/NAME{,_arms,_yearly}.{md,tex,csv}, figures/*.{png,pdf}
Headline:  the verdict column of the first table
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags

from experiments import cli
from experiments.ledger import Ledger
from experiments.tasks import CARRIED
from qgen import cases, record
from qgen.cases.base import Case, MissingData, Point, Sources
from qgen.energy import meters, profiles
from qgen.stages.base import plain, run_arm

PRESETS = ("smoke", "default", "paper")
WINDOW_S = {"smoke": 0.0, "default": 0.1, "paper": 1.0}
"""The least length of a measuring window where joules count; elsewhere an arm runs once."""
_CASE = flags.DEFINE_string("case", None, f"Which case: {', '.join(cases.CASES)}.")
_PRESET = flags.DEFINE_string("preset", "default", "smoke, default or paper.")
_SEEDS = flags.DEFINE_integer("seeds", None, "Seeds per setting; None: what the preset says.")
_OUT = flags.DEFINE_string("out", None, "Folder that receives records, tables and figures; None: runs/cases/NAME.")
_DATA = flags.DEFINE_list("data", [], "name=path of files of your own that a case can read.")
_SET = flags.DEFINE_multi_string("set", [], "field=value: one setting of the case's preset.")
_METER = flags.DEFINE_string("meter", "auto", "Joule counter: auto, nvml, rapl, zeus or modelled.")
_PROFILE = flags.DEFINE_list("profile", [], "Quantum machines to price on. Empty: all (see scripts/host --profiles).")
_RESUME = flags.DEFINE_bool(
    "resume", True, "Complete the missing rows of --out; --noresume refuses a folder with records."
)


class Plan(NamedTuple):
    """The checked flags: nothing has been written yet, and nothing can be refused any more."""

    case: Case
    preset: str
    seeds: int
    points: Sequence[Point]
    sources: Sources
    out: Path
    meter: meters.Meter
    machines: Mapping[str, profiles.Profile]
    done: dict[tuple, record.Record]


def plan() -> Plan:
    """Reads and checks every flag, and reads the data.

    Raises:
        cli.UsageError: for the first flag that is wrong, or data that a case lacks.
    """
    if _CASE.value is None:
        raise cli.UsageError(f"--case: must be one of: {', '.join(cases.CASES)}.")
    cli.known("case", [_CASE.value], cases.CASES)
    cli.known("preset", [_PRESET.value], PRESETS)
    with cli.flag("case", _CASE.value):
        case = cases.load(_CASE.value)
    seeds = cli.seeds(_SEEDS.value, case.seeds[_PRESET.value])
    config = cli.configured(_SET.value, {case.name: case.presets[_PRESET.value]}, case.name)[case.name]
    files = given_files(case, _DATA.value)
    meter, machines = cli.meter(_METER.value), cli.machines(_PROFILE.value)
    given = ",".join(_DATA.value) or None
    with cli.setting(_SET.value), cli.flag("data", given, (MissingData, OSError, RuntimeError)):
        sources = case.load(config, files)
        points = case.points(config, sources)
    out = Path(_OUT.value or f"runs/cases/{case.name}")
    rows = cli.rows(out, _RESUME.value)
    return Plan(case, _PRESET.value, seeds, points, sources, out, meter, machines, record.done(rows))


def given_files(case: Case, entries: Sequence[str]) -> dict[str, Path]:
    """Reads `name=path` entries, of names that the case knows and paths that exist."""
    found = {}
    for entry in entries:
        name, _, path = entry.partition("=")
        if name not in case.files:
            known = "; ".join(f"{name} ({what})" for name, what in case.files.items()) or "nothing"
            raise cli.UsageError(f"--data={entry}: must have the form name=path; this case reads {known}.")
        if not Path(path).exists():
            raise cli.UsageError(f"--data={entry}: there is no file {path!r}.")
        found[name] = Path(path)
    return found


def run(todo: Plan, ledger: Ledger, say: Any) -> None:
    """Runs the arms that have no row yet, point by point and seed by seed."""
    stage = todo.case.stage()
    inputs = todo.sources.fingerprint
    for place, point in enumerate(todo.points, start=1):
        settled = plain(point.setting) | {"inputs": inputs}
        for seed in range(todo.seeds if point.seeds is None else min(point.seeds, todo.seeds)):
            problem = None
            for arm in point.arms:
                say(f"setting {place} of {len(todo.points)}, seed {seed}: {arm}")
                if problem is None and not ledger.has("cases", stage.name, arm, settled, seed):
                    key = jax.random.fold_in(jax.random.key(seed), 1000)
                    with cli.flag("case", todo.case.name):
                        problem = todo.case.problem(key, point.setting, todo.sources)

                def make(arm: str = arm, point: Point = point, problem: Any = problem, seed: int = seed) -> dict:
                    priced = point.priced and arm == stage.swap
                    row = run_arm(
                        stage,
                        arm,
                        point.setting,
                        problem,
                        experiment="cases",
                        preset=todo.preset,
                        seed=seed,
                        meter=todo.meter,
                        machines=todo.machines if priced else {},
                        inputs=inputs,
                        min_time_s=WINDOW_S[todo.preset] if point.priced else 0.0,
                    ).record
                    kept = {name: getattr(row, name) for name in CARRIED}
                    return kept if point.priced else kept | {"measured": {}, "host": {}}

                ledger.row("cases", stage.name, arm, settled, make, seed)


def main() -> None:
    """Checks the flags, runs what is missing, writes tables and figures."""
    started = time.monotonic()
    todo = plan()
    cli.console.print(
        f"case {todo.case.name}: preset {todo.preset}, {len(todo.points)} settings, {todo.seeds} seeds, meter "
        f"{todo.meter.name} ({todo.meter.provenance}), records in {todo.out}"
    )
    ledger = Ledger(todo.out / "records.jsonl", todo.done, todo.preset)
    with cli.console.status(todo.case.name) as status:
        run(todo, ledger, status.update)
    # A setting may come twice, as with more seeds than are priced.
    rows = list({row.key: row for row in ledger.rows}.values())
    todo.case.write(rows, todo.out, cli.console)
    cli.console.print(
        f"{len(rows)} rows in {time.monotonic() - started:.0f} s; records, tables and figures are in {todo.out}"
    )
    cli.finish(rows)


if __name__ == "__main__":
    cli.run(main)
