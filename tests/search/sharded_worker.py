"""Run by test_sharded.py in processes of its own: prints a study as JSON. Arguments: processes, rank, port, folder."""

import json
import sys
from pathlib import Path

import jax

processes, rank, port = (int(argument) for argument in sys.argv[1:4])
folder = Path(sys.argv[4])
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4 // processes)
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", processes, rank)

from qgen.search.strategies import random  # noqa: E402
from qgen.search.study import Study, run  # noqa: E402
from qgen.search.sweep import population_mesh, sweep  # noqa: E402
from tests.search.sharded_case import BRACKET, KEY, KEYS, LANES, OBJECTIVE, POINTS, RUNGS, SPACE  # noqa: E402


def message(call) -> str:
    """What the ValueError says that the call raises."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return "no error"


def main() -> None:
    mesh = population_mesh()
    assert mesh.size == 4
    plain = sweep(OBJECTIVE, SPACE, POINTS, KEYS, mesh=mesh)
    halved = sweep(OBJECTIVE, SPACE, POINTS, KEYS, mesh=mesh, rungs=RUNGS)
    narrow = sweep(OBJECTIVE, SPACE, POINTS, KEYS, mesh=mesh, memory_bytes=3500)
    path = folder / f"study{processes}.jsonl"
    history = run(KEY, BRACKET, path=path, mesh=mesh)
    again = run(KEY, BRACKET, path=path, mesh=mesh)
    other = Study(SPACE, OBJECTIVE, random(), LANES + (rank if processes > 1 else 0))
    print(
        json.dumps(
            {
                "plain": plain.losses.tolist(),
                "halved": halved.losses.tolist(),
                "steps": halved.steps.tolist(),
                "narrow": narrow.losses.tolist(),
                "study": [[trial.point, trial.loss, trial.steps] for trial in history.trials],
                "resumed": again == history,
                "disagree": message(lambda: run(KEY, other, mesh=mesh)),
            }
        )
    )


if __name__ == "__main__":
    main()
