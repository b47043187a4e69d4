"""Laws of energy against size, break-evens on every machine, and what would have to change for them.

Command:   python -m experiments.scaling
Duration:  about 70 CPU seconds with --preset=smoke, 130 with the default: 1 and 3 minutes on two quiet cores
Reads:     --rows, the folder of a lifecycle whose quantum arms give tornado, inverse problem and money; without it the
           task laws' largest sizes do
Writes:    runs/scaling/records.jsonl, tables/{breakeven,laws,needed,tornado,power,money,processors,scenario}.{md,tex},
           figures/{break_even_*,tornado,scenario}.{png,pdf}
Headline:  one evaluation of the successor's head breaks even with simulating it at about 40 qubits (published: 34); no
           stage's quantum arm ever does with the best classical arm, up to 10^12 documents or requests
"""

import time
from pathlib import Path
from typing import NamedTuple

from absl import flags

from experiments import cli, context, elsewhere, laws, outlook, tasks
from experiments.ledger import Ledger
from qgen import record, report
from qgen.energy import meters, profiles
from qgen.lm import data
from qgen.report import select
from qgen.stages import Artefacts

PRESETS = ("smoke", "default", "paper")
_PRESET = flags.DEFINE_string("preset", "default", "smoke (under 1 minute), default (under 6), paper.")
_SEEDS = flags.DEFINE_integer("seeds", None, "Seeds per size of a task law; None: what the preset says.")
_TASK = flags.DEFINE_list("task", [], "Stages whose energy is measured against size. Empty: what the preset says.")
_OUT = flags.DEFINE_string("out", "runs/scaling", "Folder that receives records, tables and figures.")
_ROWS = flags.DEFINE_string("rows", None, "Folder of a lifecycle's records. None: the task laws' largest sizes.")
_METER = flags.DEFINE_string("meter", "auto", "Joule counter: auto, nvml, rapl, zeus or modelled.")
_PROFILE = flags.DEFINE_list("profile", [], "Quantum machines to price on. Empty: all (see scripts/host --profiles).")
_RESUME = flags.DEFINE_bool(
    "resume", True, "Complete the missing rows of --out; --noresume refuses a folder with records."
)
CHOSEN = {"smoke": ("curation",), "default": tuple(tasks.TASKS), "paper": tuple(tasks.TASKS)}
SEEDS = {"smoke": 1, "default": 2, "paper": 5}
CHARACTERS = {"smoke": (60_000, 20_000), "default": (500_000, 100_000), "paper": (1_500_000, 200_000)}
"""Characters of the first and of the second domain."""


class Plan(NamedTuple):
    """The checked flags: nothing has been written yet, and nothing can be refused any more."""

    preset: str
    seeds: int
    tasks: tuple[str, ...]
    out: Path
    lifecycle: tuple[record.Record, ...]
    meter: meters.Meter
    machines: dict[str, profiles.Profile]
    done: dict[tuple, record.Record]


def plan() -> Plan:
    """Reads and checks every flag.

    Raises:
        cli.UsageError: for the first flag that is wrong.
    """
    cli.known("preset", [_PRESET.value], PRESETS)
    seeds = cli.seeds(_SEEDS.value, SEEDS[_PRESET.value])
    cli.known("task", _TASK.value, tasks.TASKS)
    meter, machines = cli.meter(_METER.value), cli.machines(_PROFILE.value)
    lifecycle: list[record.Record] = []
    if _ROWS.value is not None:
        with cli.flag("rows", _ROWS.value):
            rows = record.load(Path(_ROWS.value) / "records.jsonl")
            lifecycle = select.latest(rows, "lifecycle")
    out = Path(_OUT.value)
    rows = cli.rows(out, _RESUME.value)
    return Plan(
        preset=_PRESET.value,
        seeds=seeds,
        tasks=tuple(_TASK.value or CHOSEN[_PRESET.value]),
        out=out,
        lifecycle=tuple(lifecycle),
        meter=meter,
        machines=machines,
        done=record.done(rows),
    )


def corpus(preset: str) -> Artefacts:
    """The documents that task laws start from."""
    first, second = CHARACTERS[preset]
    prose = data.load_corpus(None, domain="prose", max_characters=first)
    code = data.load_corpus(None, domain="code", max_characters=second)
    return tasks.artefacts(Artefacts(*data.split(prose, 0.1), *data.split(code, 0.1)))


def main() -> None:
    """Checks the flags, runs what is missing, writes tables and figures."""
    started = time.monotonic()
    todo = plan()
    settings = outlook.SETTINGS[todo.preset]
    cli.console.print(
        f"scaling: preset {todo.preset}, {todo.seeds} seeds, meter {todo.meter.name} ({todo.meter.provenance}), "
        f"{len(todo.machines)} quantum machines, records in {todo.out}"
    )
    ledger = Ledger(todo.out / "records.jsonl", todo.done, todo.preset)
    with cli.console.status("measuring the simulation of circuits") as status:
        laws.circuit(ledger, todo.meter, todo.machines, settings)
        made: list[Artefacts] = []

        def start() -> Artefacts:
            made.extend([] if made else [corpus(todo.preset)])
            return made[0]

        largest: list[record.Record] = []
        for name in todo.tasks:
            status.update(f"measuring {name} against size")
            arguments = (ledger, todo.meter, todo.machines, settings, name)
            largest += tasks.run(*arguments, start, f"standard library, {CHARACTERS[todo.preset]}", todo.seeds)
        status.update("solving for what would be needed")
        outlook.from_rows(ledger, todo.lifecycle or largest, todo.machines)
        elsewhere.steps(ledger, todo.meter, settings.min_time_s, settings.draws)
        context.supply(ledger)
    report.scaling(ledger.rows, todo.out, cli.console)
    cli.console.print(
        f"{len(ledger.rows)} rows in {time.monotonic() - started:.0f} s; records, tables and figures are in {todo.out}"
    )


if __name__ == "__main__":
    cli.run(main)
