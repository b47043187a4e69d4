import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def host(*flags, code=0):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "QGEN_VENV": str(Path(sys.prefix)), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "host"), *flags],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_meters_are_listed_with_reasons():
    shown = host()
    assert "modelled" in shown and "MODELLED" in shown
    assert "auto opens:" in shown


def test_profiles_are_listed_with_sources_and_grades():
    shown = host("--profiles", "--only=annealer_today")
    assert "fingerprint" in shown and "anneal_s" in shown and "D-Wave" in shown and "sc_today" not in shown


def test_an_unknown_machine_is_refused():
    shown = host("--profiles", "--only=abacus", code=2)
    assert "--only=abacus: must be one of: sc_today" in shown and "Traceback" not in shown
