"""The main job as a user runs it: killed in the middle and started again, it ends where a straight run ends."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from qgen import record

ROOT = Path(__file__).parent.parent
STAGES = ("curation", "encoding")
ARMS = (
    "classical/minhash",
    "classical/exact_hash",
    "quantum/swap_test_kmeans",
    "control/random_subset",
    "classical/bpe",
    "classical/wordpiece",
    "quantum/amplitude",
)
TIMEOUT_S = 900


def start(out: Path) -> subprocess.Popen:
    given = ("--preset=smoke", "--seeds=1", f"--stage={','.join(STAGES)}", f"--arm={','.join(ARMS)}")
    command = [sys.executable, "-m", "experiments.lifecycle", *given, "--profile=sc_long", "--meter=modelled"]
    return subprocess.Popen(
        [*command, f"--out={out}"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(out: Path) -> dict[tuple, record.Record]:
    """Runs to the end; gives the rows of the arms, none of which there twice."""
    job = start(out)
    said, errors = job.communicate(timeout=TIMEOUT_S)
    assert job.returncode == 0, said[-2000:] + errors[-2000:]
    rows = [row for row in record.load(out / "records.jsonl") if row.experiment == "lifecycle"]
    assert len({row.key for row in rows}) == len(rows)
    return {row.key: row for row in rows}


def killed(out: Path, after: int) -> list[record.Record]:
    """Runs until so many rows are there, and is then killed; gives the rows that it left."""
    job, path = start(out), out / "records.jsonl"
    try:
        until = time.monotonic() + TIMEOUT_S
        while not (path.exists() and path.read_bytes().count(b"\n") >= after):
            assert job.poll() is None and time.monotonic() < until, job.communicate()
            time.sleep(0.02)
    finally:
        job.kill()
        job.communicate()
    return record.load(path)


@pytest.mark.slow
def test_a_killed_run_that_is_started_again_equals_a_straight_one_bit_for_bit(tmp_path):
    straight = finished(tmp_path / "straight")
    assert {row.arm for row in straight.values()} == set(ARMS)
    left = killed(tmp_path / "killed", after=5)
    assert 5 <= len(left) < len(straight)
    again = finished(tmp_path / "killed")
    assert record.load(tmp_path / "killed" / "records.jsonl")[: len(left)] == left
    assert again.keys() == straight.keys()
    for key, row in straight.items():
        assert again[key].status == row.status == "ok"
        for name in ("metrics", "resources", "projected", "trace"):
            assert getattr(again[key], name) == getattr(row, name), (row.arm, name)
    for out in ("straight", "killed"):
        table = (tmp_path / out / "tables" / "lifecycle.md").read_text()
        assert all(arm.split("/")[1] in table for arm in ARMS)
