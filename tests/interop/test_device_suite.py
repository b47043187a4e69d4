"""PennyLane's own suite for devices, complete, in analytic mode and with shots."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.test_device import PENNYLANE_KNOWS_THIS_JAX

SHOTS = 10_000

LIMIT_S = 600


@pytest.mark.parametrize("shots", [None, SHOTS], ids=["analytic", "shots"])
def test_pennylanes_device_suite_passes(shots, tmp_path):
    programs = Path(sys.executable).parent
    # The command starts `pytest` by its name, which must be that of this environment.
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    flags = ["--device", "qgen.statevector", "--shots", str(shots), "-q", "--tb=short", "-p", "no:cacheprovider"]
    if not PENNYLANE_KNOWS_THIS_JAX:
        flags.append("--ignore-glob=*test_gradients_jax.py")
    command = [programs / "pl-device-test", *flags]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    # A run that stops before its tests would end well too: see that the tests have run.
    assert " passed" in done.stdout, done.stderr[-2000:]
    assert " failed" not in done.stdout
