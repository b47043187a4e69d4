"""Workers in processes of their own, which share four virtual devices: how a test starts them and how they begin."""

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
