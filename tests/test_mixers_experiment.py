"""The mixers' experiment: flags, and one small run with its resumption."""

import subprocess
import sys
from pathlib import Path

import pytest

from qgen import record

ROOT = Path(__file__).parent.parent


def run(*flags):
    command = [sys.executable, "-m", "experiments.mixers", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_wrong_flags_end_with_one_sentence(tmp_path):
    refused = run("--arm=quantum/x", f"--out={tmp_path / 'out'}")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "--arm=quantum/x: must be one of: classical/attention" in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_writes_everything_and_resumes(tmp_path):
    given = ("--preset=smoke", f"--out={tmp_path}", "--arm=classical/lstm,quantum/quixer,control/quixer_frozen")
    first = run(*given)
    assert first.returncode == 0, first.stderr[-2000:]
    rows = record.load(tmp_path / "records.jsonl")
    trained = [row for row in rows if row.experiment == "mixers"]
    places = {(row.stage, row.arm, row.seed) for row in trained}
    equal = {("equal_parameters", arm, s) for arm in given[2][6:].split(",") for s in (0, 1)}
    assert places == equal | {("equal_operations", "classical/lstm", s) for s in (0, 1)}
    counts = {row.metrics["parameters"] for row in trained if row.stage == "equal_parameters"}
    assert max(counts) < 1.01 * min(counts)
    quixer = next(row for row in trained if row.arm == "quantum/quixer")
    wide = next(row for row in trained if row.stage == "equal_operations")
    assert 0.9 * quixer.metrics["operations"] < wide.metrics["operations"] <= quixer.metrics["operations"]
    assert 0 < quixer.metrics["success_probability"] < 1 and "success_probability" not in wide.metrics
    for name in ("tables/mixers.md", "tables/mixers.tex", "tables/mixers.csv", "figures/mixers.png"):
        assert (tmp_path / name).stat().st_size > 0
    again = run(*given)
    assert again.returncode == 0 and record.load(tmp_path / "records.jsonl") == rows
