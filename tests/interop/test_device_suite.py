"""PennyLane's own suite for devices, complete, in analytic mode and with shots: what `pl-device-test` runs."""

import re
import subprocess
import sys

import pytest
from pennylane.devices.tests import get_device_tests

from tests.interop.test_device import PENNYLANE_KNOWS_THIS_JAX

SHOTS = 10_000

LIMIT_S = 600

FLOOR = {None: 380, SHOTS: 365}
"""How many of the suite's tests must pass: 389 and 374 do; the others are of what a device may leave out."""

JAX_TESTS = 18
"""How many tests are in the one file of the suite that a newer jax leaves out."""


@pytest.mark.parametrize("shots", [None, SHOTS], ids=["analytic", "shots"])
def test_pennylanes_device_suite_passes(shots, tmp_path):
    floor = FLOOR[shots]
    command = [sys.executable, "-m", "pytest", get_device_tests(), "--device=qgen.statevector", f"--shots={shots}"]
    command += ["-q", "--tb=short", "--no-flaky-report", "-p", "no:cacheprovider"]
    if not PENNYLANE_KNOWS_THIS_JAX:
        command.append(f"--ignore={get_device_tests()}/test_gradients_jax.py")
        floor -= JAX_TESTS
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " failed" not in done.stdout
    (passed,) = re.findall(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert int(passed) >= floor
