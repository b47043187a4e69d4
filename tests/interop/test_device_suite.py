"""PennyLane's own suite for devices, complete, in analytic mode and with shots."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.test_device import PENNYLANE_KNOWS_THIS_JAX

SHOTS = 10_000

LIMIT_S = 600


@pytest.mark.parametrize("shots", [None, SHOTS], ids=["analytic", "shots"])
def test_pennylanes_device_suite_passes(shots, tmp_path):
    command = Path(sys.executable).with_name("pl-device-test")
    flags = ["--device", "qgen.statevector", "--shots", str(shots), "-q", "--tb=short", "-o", f"cache_dir={tmp_path}"]
    if not PENNYLANE_KNOWS_THIS_JAX:
        flags.append("--ignore-glob=*test_gradients_jax.py")
    done = subprocess.run(
        [sys.executable, command, *flags], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    # A run that stops before its tests would end well too: see that the tests have run.
    assert " passed" in done.stdout, done.stderr[-2000:]
    assert " failed" not in done.stdout
