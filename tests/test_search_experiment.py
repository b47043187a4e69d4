"""The search experiment: flags, one small run and its resumption, the two training runs, and equal peers."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import search_objectives, search_speed
from qgen import record
from qgen.search import tabular
from qgen.search.sweep import sweep

ROOT = Path(__file__).parent.parent
TOLERANCES = {"language_model": 0.1, "hybrid_classifier": 2e-2}
"""After 54 steps in single precision; the language model reads Python's documentation, which its versions change."""


def run(*flags):
    command = [sys.executable, "-m", "experiments.search", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--preset=huge", "--preset=huge: must be one of: smoke, default, paper."),
        ("--seeds=0", "--seeds=0: must be at least 1."),
        ("--arm=quantum/x", "--arm=quantum/x: must be one of: classical/random"),
        ("--table=planets", "--table=planets: must be one of: language_model, hybrid_classifier."),
        ("--profile=nothing", "--profile=nothing: must be one of:"),
    ],
)
def test_wrong_flags_end_with_one_sentence(flag, message, tmp_path):
    refused = run(flag, f"--out={tmp_path / 'out'}")
    assert refused.returncode == 2 and message in refused.stderr and "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_writes_everything_and_resumes(tmp_path):
    given = ("--preset=smoke", "--seeds=2", f"--out={tmp_path}", "--table=hybrid_classifier")
    given += ("--arm=classical/random,classical/hyperband,quantum/kernel_gp,quantum/durr_hoyer", "--profile=sc_long")
    first = run(*given)
    assert first.returncode == 0, first.stderr[-2000:]
    rows = record.load(tmp_path / "records.jsonl")
    assert {row.experiment for row in rows} == {
        "search",
        "search_training",
        "search_live",
        "search_speed",
        "search_starts",
    }
    searched = [row for row in rows if row.experiment == "search"]
    assert len(searched) == 8 and all(row.status == "ok" for row in searched)
    assert all(row.metrics["spent"] <= 12 + 1e-9 for row in searched)
    for name in ("tables/strategies.md", "tables/speed.tex", "figures/regret.png", "figures/throughput.pdf"):
        assert (tmp_path / name).stat().st_size > 0
    assert len(list((tmp_path / "studies").glob("*.jsonl"))) == 2
    again = run(*given)
    assert again.returncode == 0 and record.load(tmp_path / "records.jsonl") == rows
    refused = run(*given, "--noresume")
    assert refused.returncode == 2 and "already holds" in refused.stderr


@pytest.mark.parametrize("name", tabular.TABLES)
def test_a_cell_of_the_table_trains_to_its_losses(name):
    table = tabular.load(name)
    space, build = search_objectives.OBJECTIVES[name]
    assert space == table.space
    cell = {"language_model": 200, "hybrid_classifier": 130}[name]
    key = jax.random.split(jax.random.key(0), 3)[1]
    found = sweep(build(), space, table.points[[cell]], key[None])
    assert found.losses[0] == pytest.approx(table.losses[cell, 1, -1], rel=TOLERANCES[name])
    flops, numbers = search_objectives.work(name, space.config(table.points[-1]))
    # How the engine evaluates a circuit may change, what is trained may not.
    assert flops == pytest.approx(table.facts["flops"], rel=0.5) and numbers == table.facts["numbers"]


def test_our_sweep_and_our_loop_train_the_same():
    rows = search_speed.compare(3, 4, ["qgen/sweep", "qgen/loop"], repeats=1, most={"qgen/loop": 2})
    assert [(row.peer, row.population, row.ran) for row in rows] == [("qgen/sweep", 3, 3), ("qgen/loop", 3, 2)]
    assert all(row.train_s > 0 and row.compile_s > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype", "ignore:jax.core.is_concrete")
def test_pennylane_trains_the_same():
    found = search_speed.compare(2, 3, list(search_speed.PEERS), repeats=1, most={"pennylane/rebuilt": 1})
    assert len(found) == len(search_speed.PEERS)


def test_peers_that_train_something_else_are_refused(monkeypatch):
    timing = search_speed.Timing(1.0, 1.0, np.array([5.0]))
    monkeypatch.setattr(
        search_speed,
        "PEERS",
        {"a": lambda n, steps: timing, "b": lambda n, steps: timing._replace(losses=np.array([6.0]))},
    )
    with pytest.raises(RuntimeError, match="b ends at losses"):
        search_speed.compare(1, 1, ["a", "b"])
