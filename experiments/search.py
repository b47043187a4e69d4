"""Hyperparameter studies: classical and quantum-assisted strategies on tabulated and real trainings, and their speed.

Command:   python -m experiments.search
Writes:    runs/search/records.jsonl, tables/{strategies,speed}.{md,tex,csv},
           figures/{regret,throughput,plateau}.{png,pdf},
           studies/*.jsonl (every real trial, from which a killed study goes on)
Headline:  the regret of every strategy with its interval; a quantum surrogate beside its classical control
"""

import importlib.util
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

from experiments import cli, search_speed, search_starts
from experiments.ledger import Ledger
from experiments.search_objectives import OBJECTIVES, STOPS
from qgen import record
from qgen.energy import meters, profiles
from qgen.report import search as report
from qgen.resources import total
from qgen.search import tabular
from qgen.search.strategy import Strategy
from qgen.search.study import Study, run
from qgen.search.sweep import population_mesh, sweep
from qgen.stages.base import project
from qgen.stages.searchers import SEARCHERS, Settings

PRESETS = ("smoke", "default", "paper")
_PRESET = flags.DEFINE_string("preset", "default", "smoke, default or paper.")
_SEEDS = flags.DEFINE_integer("seeds", None, "Searches per strategy and table; None: what the preset says.")
_ARM = flags.DEFINE_list("arm", [], "Strategies, such as quantum/fm_qaoa. Empty: all.")
_TABLE = flags.DEFINE_list("table", [], "Tabular benchmarks. Empty: all.")
_OUT = flags.DEFINE_string("out", "runs/search", "Folder that receives records, tables, figures and studies.")
_METER = flags.DEFINE_string("meter", "auto", "Joule counter: auto, nvml, rapl, zeus or modelled.")
_PROFILE = flags.DEFINE_list("profile", [], "Quantum machines to price on. Empty: all (see scripts/host --profiles).")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "Real trainings alone, over all machines: start once per process; JAX finds out about Slurm and Kubernetes.",
)
_RESUME = flags.DEFINE_bool(
    "resume", True, "Complete the missing rows of --out; --noresume refuses a folder with records."
)
TARGET = 0.02
"""The share of the cells that reach the target loss."""
TWICE = "classical/random_2x"
LIVE = ("classical/hyperband", "quantum/kernel_gp")
"""Strategies that also search real trainings, the least and the most lanes at a time."""


class Preset(NamedTuple):
    """What a preset sets.

    Attributes:
        seeds: searches per strategy and table.
        budget: trainings per search.
        live: trainings per real study.
        populations: sizes whose throughput is measured.
        steps: steps of their trainings.
        repeats: rounds of the measurement.
    """

    seeds: int
    budget: int
    live: int
    populations: tuple[int, ...]
    steps: int
    repeats: int


SETTINGS = {
    "smoke": Preset(2, 12, 10, (1, 4), 5, 1),
    "default": Preset(15, 40, 20, (1, 4, 16, 64, 256), 20, 3),
    "paper": Preset(100, 60, 40, (1, 4, 16, 64, 256, 1024), 100, 5),
}


class Plan(NamedTuple):
    """The checked flags: nothing has been written yet, and nothing can be refused any more."""

    preset: str
    settings: Preset
    seeds: int
    arms: tuple[str, ...]
    tables: tuple[str, ...]
    out: Path
    meter: meters.Meter
    machines: dict[str, profiles.Profile]
    done: dict[tuple, record.Record]


def plan() -> Plan:
    """Reads and checks every flag.

    Raises:
        cli.UsageError: for the first flag that is wrong.
    """
    cli.known("preset", [_PRESET.value], PRESETS)
    settings = SETTINGS[_PRESET.value]
    seeds = cli.seeds(_SEEDS.value, settings.seeds)
    known_arms = (*SEARCHERS, TWICE)
    cli.known("arm", _ARM.value, known_arms)
    # An extra that is not installed is left out, unless it is asked for.
    installed = importlib.util.find_spec("optuna_integration") and importlib.util.find_spec("botorch")
    default_arms = tuple(arm for arm in known_arms if installed or arm != "classical/botorch")
    cli.known("table", _TABLE.value, tabular.TABLES)
    meter, machines = cli.meter(_METER.value), cli.machines(_PROFILE.value)
    out = Path(_OUT.value)
    rows = cli.rows(out, _RESUME.value)
    return Plan(
        preset=_PRESET.value,
        settings=settings,
        seeds=seeds,
        arms=tuple(_ARM.value or default_arms),
        tables=tuple(_TABLE.value or tabular.TABLES),
        out=out,
        meter=meter,
        machines=machines,
        done=record.done(rows),
    )


def searcher(name: str, table: tabular.Table, budget: int) -> tuple[Strategy, int]:
    """A strategy fitted to a table, and its budget."""
    settings = Settings(
        steps=table.steps,
        start_points=min(8, max(2, budget // 3)),
        halvings=len(table.stops) - 1,
        lanes=9 if budget < 20 else 27,
        training_flops=table.facts["flops"],
        training_numbers=table.facts["numbers"],
    )
    if name == TWICE:
        return SEARCHERS["classical/random"](settings)._replace(name=TWICE), 2 * budget
    return SEARCHERS[name](settings), budget


def train_energy(ledger: Ledger, todo: Plan, name: str) -> float:
    """The energy of one whole training of a table's middle configurations, measured on a few lanes."""
    space, build = OBJECTIVES[name]
    lanes = 4
    config = {"lanes": lanes, "steps": STOPS[-1]}

    def make() -> dict[str, Any]:
        objective, points = build(), np.full((lanes, len(space.axes)), 0.4)
        keys = jax.random.split(jax.random.key(0), lanes)
        taken = meters.measure(
            todo.meter, lambda: sweep(objective, space, points, keys).losses, min_time_s=0.2, warm_up=True
        )
        return {"measured": taken.fields(), "metrics": {"energy_per_training_j": taken.energy_j / lanes}}

    return ledger.row("search_training", name, "classical/training", config, make).metrics["energy_per_training_j"]


def on_table(ledger: Ledger, todo: Plan, table: tabular.Table, arm: str, seed: int, train_j: float) -> None:
    """One search of a table: what it found, and what the strategy itself used."""
    strategy, budget = searcher(arm, table, todo.settings.budget)

    def make() -> dict[str, Any]:
        key, training = jax.random.key(seed), seed % table.seeds
        played = meters.measure(todo.meter, lambda: tabular.search(key, table, strategy, budget, training))
        history = played.result
        final = table.final()
        target = float(np.quantile(table.losses[:, training, -1], TARGET))
        budgets = np.arange(1.0, budget + 1)
        curve = tabular.curve(table, history, budgets)
        known = np.flatnonzero(np.isfinite(curve.regret))
        reached = tabular.trainings_to(history, target)
        metrics = {
            "regret": float(curve.regret[-1]),
            "test_regret": float(curve.test[-1]),
            "least_loss": float(final.min()),
            "trials": float(len(history.trials)),
            "coherent": float(history.trials[-1].coherent),
            "spent": float(history.trials[-1].spent),
            "simulated": float(history.simulated),
            "reached": float(math.isfinite(reached)),
            "strategy_energy_j": played.energy_j,
            "training_energy_j": train_j,
        }
        if math.isfinite(reached):
            run_one_by_one = sum(trial.steps for trial in history.trials if trial.spent <= reached) / table.steps
            share = reached / history.trials[-1].spent
            metrics["trainings_to_target"] = float(reached)
            metrics["joules_to_target"] = float(run_one_by_one * train_j + share * played.energy_j)
        needed = total(history.resources)
        return {
            "note": strategy.note,
            "metrics": metrics,
            "measured": played.fields(),
            "resources": {} if needed is None else {**vars(needed)},
            "projected": {name: project((needed,), m) for name, m in todo.machines.items()} if needed else {},
            "trace": {
                "budget": budgets[known].tolist(),
                "regret": curve.regret[known].tolist(),
                "test_regret": curve.test[known].tolist(),
            },
        }

    ledger.row("search", table.name, arm, {"budget": budget, "cells": len(table.points)}, make, seed)


def live(ledger: Ledger, todo: Plan, name: str, arm: str) -> None:
    """A study of real trainings, whose trials are stored as they end."""
    space, build = OBJECTIVES[name]
    table = tabular.load(name)
    strategy, budget = searcher(arm, table, todo.settings.live)

    def make() -> dict[str, Any]:
        given = Study(space, build(), strategy, budget)
        path = todo.out / "studies" / f"{name}-{arm.replace('/', '-')}-{budget}.jsonl"
        mesh = population_mesh() if len(jax.devices()) > 1 else None
        begun = time.monotonic()
        history = run(jax.random.key(0), given, path=path, mesh=mesh)
        final = table.final()
        cell = int(tabular.cell_of(table, np.array([history.best.point]))[0])
        return {
            "note": strategy.note,
            "metrics": {
                "loss": history.best.loss,
                "regret": float(final[cell] - final.min()),
                "trials": float(len(history.trials)),
                "failed": float(sum(not trial.ok for trial in history.trials)),
                "spent": float(history.trials[-1].spent),
                "wall_s": time.monotonic() - begun,
            },
        }

    # Every process must take part, whatever it has on its disk.
    fields = make() if jax.process_count() > 1 else None
    if jax.process_index() == 0:
        ledger.row("search_live", name, arm, {"budget": budget}, lambda: fields or make())


def speed(ledger: Ledger, todo: Plan) -> None:
    """Throughput against population size, for every peer that can be imported."""
    settings = todo.settings
    peers = ["qgen/sweep", "qgen/loop"] if todo.preset == "smoke" else search_speed.peers()
    for population in settings.populations:
        config = {"population": population, "steps": settings.steps, "repeats": settings.repeats}
        shown = [peer for peer in peers if peer != "pennylane/rebuilt" or population == settings.populations[0]]
        if all(ledger.has("search_speed", "hybrid_8x4", peer, config) for peer in shown):
            rows = []
        else:
            rows = search_speed.compare(population, settings.steps, shown, settings.repeats, search_speed.MOST)
        found = {row.peer: row for row in rows}
        for peer in shown:

            def make(found: Any = found, peer: str = peer) -> dict[str, Any]:
                row = found[peer]
                return {
                    "metrics": {
                        "compile_s": row.compile_s,
                        "train_s": row.train_s,
                        "ran": float(row.ran),
                        "per_s": row.population / row.train_s,
                    }
                }

            ledger.row("search_speed", "hybrid_8x4", peer, config, make)


def main() -> None:
    """Checks the flags, runs what is missing, writes tables and figures."""
    started = time.monotonic()
    if _DISTRIBUTED.value:
        jax.distributed.initialize()
    todo = plan()
    cli.console.print(
        f"search: preset {todo.preset}, {todo.seeds} seeds, {len(todo.arms)} strategies, meter {todo.meter.name} "
        f"({todo.meter.provenance}), records in {todo.out}"
    )
    ledger = Ledger(todo.out / "records.jsonl", todo.done, todo.preset)
    with cli.console.status("measuring throughput") as status:
        if jax.process_count() == 1:
            speed(ledger, todo)
            status.update("measuring gradients where circuits start")
            search_starts.measure(ledger, todo.preset)
            for name in todo.tables:
                table = tabular.load(name)
                status.update(f"measuring one training of {name}")
                train_j = train_energy(ledger, todo, name)
                for arm in todo.arms:
                    for seed in range(todo.seeds):
                        status.update(f"{name}: {arm}, seed {seed}")
                        on_table(ledger, todo, table, arm, seed, train_j)
        for name in todo.tables:
            for arm in LIVE:
                status.update(f"{name}: {arm} on real trainings")
                live(ledger, todo, name, arm)
    if jax.process_index() == 0:
        report.write(ledger.rows, todo.out, cli.console)
        cli.console.print(
            f"{len(ledger.rows)} rows in {time.monotonic() - started:.0f} s; records, tables and figures are in "
            f"{todo.out}"
        )


if __name__ == "__main__":
    cli.run(main)
