"""Processes that tests start: workers that share four virtual devices, and experiments that end early."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax

ROOT = Path(__file__).parent.parent
DEVICES = 4
TIMEOUT_S = 300


def launch(module: str, processes: int, *arguments: object) -> list[dict]:
    """Runs a worker module in so many processes and returns what each printed last, as JSON."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", module, *map(str, (processes, rank, port, *arguments))],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    results = []
    try:
        for worker in workers:
            out, err = worker.communicate(timeout=TIMEOUT_S)
            assert worker.returncode == 0, err[-2000:]
            results.append(json.loads(out.strip().splitlines()[-1]))
    finally:
        for worker in workers:
            worker.kill()
    return results


def join() -> tuple[int, int, list[str]]:
    """A worker's first call, before anything touches a device: processes, its rank, and the test's own arguments."""
    processes, rank, port = (int(argument) for argument in sys.argv[1:4])
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", DEVICES // processes)
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"localhost:{port}", processes, rank)
    return processes, rank, sys.argv[4:]


def message(call) -> str:
    """What the ValueError says that the call raises."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return "no error"


ENDS = """
import contextlib, importlib, io, json, sys
from absl.testing import flagsaver
from experiments import cli
main = importlib.import_module(f"experiments.{sys.argv[1]}").main
ends = {}
for name, arguments in json.loads(sys.argv[2]).items():
    said = io.StringIO()
    with flagsaver.flagsaver(), contextlib.redirect_stderr(said):
        sys.argv[1:] = arguments
        try:
            cli.run(main)
        except SystemExit as end:
            ends[name] = [end.code, said.getvalue()]
print(json.dumps(ends))
"""


def ends(experiment: str, asked: dict[str, list[str]]) -> dict[str, list]:
    """Runs an experiment with one list of arguments after the other, in one process: name -> exit code and stderr."""
    command = [sys.executable, "-c", ENDS, experiment, json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
