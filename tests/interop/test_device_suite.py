"""PennyLane's own suite for devices, complete, in analytic mode and with shots."""

import subprocess
import sys

import pytest

from tests.interop.test_device import PENNYLANE_KNOWS_THIS_JAX

SHOTS = 10_000

LIMIT_S = 600


@pytest.mark.parametrize("shots", [None, SHOTS], ids=["analytic", "shots"])
def test_pennylanes_device_suite_passes(shots, tmp_path):
    # The suite is a pytest run of its own: the flags are those of the command `pl-device-test`.
    main = "import sys; from pennylane.devices.tests import cli; sys.argv[0] = 'pl-device-test'; cli()"
    flags = ["--device", "qgen.statevector", "--shots", str(shots), "-q", "--tb=short", "-p", "no:cacheprovider"]
    if not PENNYLANE_KNOWS_THIS_JAX:
        flags.append("--ignore-glob=*test_gradients_jax.py")
    done = subprocess.run(
        [sys.executable, "-c", main, *flags], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert " failed" not in done.stdout
