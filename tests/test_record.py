"""Records: what is written comes back, and what must not be written is refused."""

import dataclasses
import json
import math
import subprocess

import pytest

from qgen import record
from qgen.record import Record, RecordError


def row(**changes) -> Record:
    base = Record("lifecycle", "training", "classical/adamw", 3, "smoke", {"steps": 7, "rates": [0.1, 0.3]})
    return dataclasses.replace(base, **changes)


def test_round_trip(tmp_path):
    path = tmp_path / "records.jsonl"
    rows = [
        row(metrics={"loss": 1.25}, projected={"sc_today": {"energy_j": [1.0, 2.0]}}),
        row(seed=4, status="failed", reason="x"),
    ]
    for item in rows:
        record.append(path, item)
    assert record.load(path) == rows
    assert json.loads(path.read_text().splitlines()[0])["projected.sc_today.energy_j"] == [1.0, 2.0]


def test_a_torn_last_line_costs_one_row_only(tmp_path):
    path = tmp_path / "records.jsonl"
    record.append(path, row())
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert record.load(path) == [row()]
    record.append(path, row(seed=9))
    assert [item.seed for item in record.load(path)] == [3, 9]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path, bad):
    with pytest.raises(RecordError, match=r"metrics\.loss.*not finite"):
        record.append(tmp_path / "r.jsonl", row(metrics={"loss": bad}))
    with pytest.raises(RecordError, match=r"trace\.loss.*not finite"):
        record.append(tmp_path / "r.jsonl", row(trace={"loss": [1.0, bad]}))
    assert not (tmp_path / "r.jsonl").exists()


def test_a_name_with_a_dot_is_refused(tmp_path):
    with pytest.raises(RecordError, match="holds a dot"):
        record.append(tmp_path / "r.jsonl", row(metrics={"a.b": 1.0}))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"schema": 0}\n', "schema 0"),
        ("nonsense\n", "is not a record"),
        ("[1]\n", "is not a record"),
        ('{"schema": 1, "colour": 2}\n', "unknown fields: colour"),
        ('{"schema": 1, "stage": "training", "arm": "a"}\n', "lacks the fields: experiment, seed, preset, config"),
        ('{"schema": 1, "stage": "training", "stage.name": "a"}\n', "is not a record"),
    ],
)
def test_other_files_are_refused(tmp_path, line, message):
    path = tmp_path / "records.jsonl"
    path.write_text(line)
    with pytest.raises(RecordError, match=message):
        record.load(path)


def test_missing_records_are_an_error(tmp_path):
    with pytest.raises(RecordError, match="no records"):
        record.load(tmp_path / "nothing.jsonl")


def test_done_leaves_failed_rows_to_be_run_again():
    good, failed = row(), row(seed=5, status="failed")
    assert record.done([good, failed]) == {good.key: good}
    assert record.done([good, row(metrics={"loss": 2.0})])[good.key].metrics == {"loss": 2.0}


def test_provenance_names_commit_command_and_versions():
    made = record.provenance("2026-01-01T00:00:00+00:00")
    assert len(made["commit"]) == 40 or made["commit"] == "unknown"
    assert made["versions"]["jax"] != "unknown" and made["command"]


def test_a_tree_of_which_git_says_nothing_counts_as_changed(monkeypatch):
    real = subprocess.run

    def slow(command, **settings):
        if "status" in command:
            raise subprocess.TimeoutExpired(command, 10)
        return real(command, **settings)

    monkeypatch.setattr(record.subprocess, "run", slow)
    record._origin.cache_clear()
    assert record.provenance("2026-01-01T00:00:00+00:00")["dirty"]
    record._origin.cache_clear()
    monkeypatch.setattr(record.subprocess, "run", lambda command, **_: real(["false"], check=True))
    made = record.provenance("2026-01-01T00:00:00+00:00")
    assert made["dirty"] and made["commit"] == "unknown"
    record._origin.cache_clear()
