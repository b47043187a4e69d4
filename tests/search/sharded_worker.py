"""Run by test_sharded.py in processes of its own: prints a study as JSON. Arguments: processes, rank, port, folder."""

import json
from pathlib import Path

from tests.processes import join, message

processes, rank, (folder,) = join()

from qgen.search.strategies import random  # noqa: E402
from qgen.search.study import Study, run  # noqa: E402
from qgen.search.sweep import population_mesh, sweep  # noqa: E402
from tests.search.sharded_case import BRACKET, KEY, KEYS, LANES, OBJECTIVE, POINTS, RUNGS, SPACE  # noqa: E402


def main() -> None:
    mesh = population_mesh()
    assert mesh.size == 4
    path = Path(folder) / f"study{processes}.jsonl"
    history = run(KEY, BRACKET, path=path, mesh=mesh)
    found = {
        "study": [[trial.point, trial.loss, trial.steps] for trial in history.trials],
        "resumed": run(KEY, BRACKET, path=path, mesh=mesh) == history,
    }
    # Halved lanes must cross processes; chunks are one process's own affair.
    if processes > 1:
        halved = sweep(OBJECTIVE, SPACE, POINTS, KEYS, mesh=mesh, rungs=RUNGS)
        other = Study(SPACE, OBJECTIVE, random(), LANES + rank)
        found |= {"halved": halved.losses.tolist(), "steps": halved.steps.tolist()}
        found |= {"disagree": message(lambda: run(KEY, other, mesh=mesh))}
    else:
        found |= {"plain": sweep(OBJECTIVE, SPACE, POINTS, KEYS, mesh=mesh).losses.tolist()}
        found |= {"narrow": sweep(OBJECTIVE, SPACE, POINTS, KEYS, mesh=mesh, memory_bytes=3500).losses.tolist()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
