"""Populations over 4 virtual devices and over 2 processes against one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qgen.search.study import run
from qgen.search.sweep import sweep
from tests.search.sharded_case import BRACKET, KEY, KEYS, OBJECTIVE, POINTS, RUNGS, SPACE

ROOT = Path(__file__).parent.parent.parent
SINGLE = 1e-5
TIMEOUT_S = 300


def launch(processes: int, folder: Path) -> list[dict]:
    """Runs the worker in so many processes, which share 4 devices, and returns what each printed."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    command = [sys.executable, "-m", "tests.search.sharded_worker", str(processes)]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(port), str(folder)],
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


@pytest.fixture(scope="module")
def alone():
    return sweep(OBJECTIVE, SPACE, POINTS, KEYS), sweep(OBJECTIVE, SPACE, POINTS, KEYS, rungs=RUNGS), run(KEY, BRACKET)


@pytest.mark.parametrize("processes", [1, 2])
def test_four_devices_find_what_one_does(processes, alone, tmp_path):
    plain, halved, history = alone
    results = launch(processes, tmp_path)
    for found in results:
        np.testing.assert_allclose(found["plain"], plain.losses, rtol=SINGLE)
        np.testing.assert_allclose(found["narrow"], plain.losses, rtol=SINGLE)
        np.testing.assert_allclose(found["halved"], halved.losses, rtol=SINGLE)
        assert found["steps"] == halved.steps.tolist()
        assert [tuple(point) for point, _, _ in found["study"]] == [trial.point for trial in history.trials]
        np.testing.assert_allclose(
            [loss for _, loss, _ in found["study"]], [t.loss for t in history.trials], rtol=SINGLE
        )
        assert [steps for _, _, steps in found["study"]] == [trial.steps for trial in history.trials]
        assert found["resumed"]
        expected = "no error" if processes == 1 else "The processes disagree on the study: [1] have another one"
        assert found["disagree"].startswith(expected)
    lines = (tmp_path / f"study{processes}.jsonl").read_text().splitlines()
    assert len(lines) == 1 + len(history.trials)
