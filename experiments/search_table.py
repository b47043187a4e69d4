"""Trains every cell of the tabular benchmark in one vectorised sweep per table.

Command:   python -m experiments.search_table --table=language_model
Duration:  a few minutes per table on two cores
Writes:    --out (default: the files that come with the package)
"""

import platform
import time
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import cli
from experiments.search_objectives import OBJECTIVES, STOPS, work
from qgen import record
from qgen.search import tabular
from qgen.search.sweep import Rung, sweep

_TABLE = flags.DEFINE_list("table", list(tabular.TABLES), "Which tables to make.")
_RUNS = flags.DEFINE_integer("runs", 3, "Trainings of every cell.")
_OUT = flags.DEFINE_string("out", str(tabular.FOLDER), "Folder that receives the tables.")


def make(name: str, runs: int) -> tabular.Table:
    """Trains all cells of a grid; all lanes pass all stops."""
    space, build = OBJECTIVES[name]
    objective = build(opens_test=True)
    grid = space.grid()
    keys = jax.random.split(jax.random.key(0), runs)
    lanes = np.tile(grid, (runs, 1))
    rungs = tuple(Rung(stop, len(lanes)) for stop in STOPS)
    started = time.monotonic()
    found = sweep(objective, space, lanes, keys[np.repeat(np.arange(runs), len(grid))], rungs=rungs)
    taken_s = time.monotonic() - started
    # Lanes that diverged on the way have no later losses.
    curves = found.curves.reshape(runs, len(grid), len(rungs) + 1).transpose(1, 0, 2)
    # The dearest shape is the last cell.
    operations, numbers = work(name, space.config(grid[-1]))
    facts = {
        "flops": operations,
        "numbers": numbers,
        "trainings": len(lanes),
        "seconds": taken_s,
        "compile_s": found.compile_s,
        "python": platform.python_version(),
        "commit": record.provenance("")["commit"],
    }
    return tabular.Table(name, space, grid, STOPS, curves[:, :, :-1], curves[:, :, -1], facts)


def main() -> None:
    """Makes the tables."""
    for name in _TABLE.value:
        if name not in OBJECTIVES:
            raise cli.UsageError(f"--table={name}: must be one of: {', '.join(OBJECTIVES)}.")
    if _RUNS.value < 1:
        raise cli.UsageError(f"--runs={_RUNS.value}: must be at least 1.")
    for name in _TABLE.value:
        table = make(name, _RUNS.value)
        tabular.save(Path(_OUT.value) / f"{name}.npz", table)
        final = table.final()
        cli.console.print(
            f"{name}: {table.facts['trainings']} trainings in {table.facts['seconds']:.0f} s, "
            f"{np.isinf(final).sum()} cells failed, best validation loss {final.min():.4f}"
        )


if __name__ == "__main__":
    cli.run(main)
