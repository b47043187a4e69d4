"""PennyLane's own suite for devices, complete, in analytic mode and with shots: what `pl-device-test` runs."""

import os
import subprocess
import sys

import pytest
from pennylane.devices.tests import get_device_tests

from tests.interop.test_device import PENNYLANE_KNOWS_THIS_JAX

SHOTS = 10_000

LIMIT_S = 600


@pytest.mark.parametrize("shots", [None, SHOTS], ids=["analytic", "shots"])
def test_pennylanes_device_suite_passes(shots, tmp_path):
    command = [sys.executable, "-m", "pytest", get_device_tests(), "--device=qgen.statevector", f"--shots={shots}"]
    command += ["-q", "--tb=short", "--no-flaky-report", "-p", "no:cacheprovider"]
    if not PENNYLANE_KNOWS_THIS_JAX:
        command.append(f"--ignore={get_device_tests()}/test_gradients_jax.py")
    # Every test compiles a few tiny circuits: optimising their machine code costs more than it saves.
    environment = {**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " failed" not in done.stdout
