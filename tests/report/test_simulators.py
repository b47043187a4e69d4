"""The tables of simulators: numbers worked out by hand, and the printed tables are those of the kept rows."""

import json
from pathlib import Path

import pytest

from qgen.report import simulators

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def measured(tmp_path):
    """Two workloads; the fastest, the smallest and the quickest to start are three simulators."""
    rows = [
        ("W1:n=4,L=8", "qgen", 0.002, 0.05, 110.0),
        ("W1:n=4,L=8", "qgen_xla", 0.004, 0.5, 160.0),
        ("W1:n=4,L=8", "mindq32", 0.01, 0.2, 130.0),
        ("W1:n=4,L=8", "qulacs_", 0.05, -0.01, 120.0),
        ("W1:n=4,L=8", "pl_lq", 0.04, 0.1, 104.0),
        ("W5:n=12,N=512", "qgen", 1.5, 0.25, 164.0),
        ("W5:n=12,N=512", "qgen_xla", 3.0, 0.52, 196.0),
        ("W5:n=12,N=512", "tc", 6.0, 1.0, 300.0),
    ]
    file = tmp_path / "rows.jsonl"
    names = ("spec", "peer", "med", "compile", "rss")
    file.write_text("".join(json.dumps(dict(zip(names, row, strict=True), rss0=100.0)) + "\n" for row in rows))
    return simulators.load(file)


def test_ratios_are_to_the_fastest_other_simulator(measured):
    first, second = simulators.speed(measured)[1:]
    assert first == ["W1 n=4 L=8", "MindQuantum", "10", "2", "5.0", "3", "4", "2.5", "1.8", "0.05, 0.50"]
    assert second[:6] == ["W5 n=12 N=512", "TensorCircuit-NG", "6000", "1500", "4.0", "1.6"]


def test_of_several_draws_the_median_counts(tmp_path):
    file = tmp_path / "rows.jsonl"
    own = [("qgen", 0.002), ("qgen_xla", 0.01)]
    row = {"spec": "W2:n=12,L=4,B=256", "compile": 0.1}

    def best(*draws):
        times = [*own, ("mindq32", 0.3), *(("quimb_", time) for time in draws)]
        file.write_text("".join(json.dumps({**row, "peer": name, "med": med}) + "\n" for name, med in times))
        return simulators.speed(simulators.load(file))[1][1:]

    rest = ["2", "100.0", "20", "10", "20.0", "3", "0.10, 0.10"]
    assert best(0.9, 0.05, 0.2) == ["quimb", "200 (50 to 900)", *rest]
    assert best(None, 0.05, 0.2) == ["quimb", "200 (50 to none)", *rest]
    assert best(None, 0.05, None)[:2] == ["MindQuantum", "300"]


def test_memory_is_growth_and_no_start_is_negative(measured):
    first = simulators.memory(measured)[1]
    expected = ["10, 0.05", "60, 0.50", "MindQuantum 30, 0.20", "lightning.qubit (c128) 4", "qulacs (c128) 0.00"]
    assert first == ["W1 n=4 L=8", *expected]


@pytest.mark.parametrize(("page", "table"), [("README.md", "speed"), ("docs/performance.md", "memory")])
def test_the_printed_table_is_that_of_the_kept_rows(page, table):
    made = getattr(simulators, table)(simulators.load(ROOT / "docs" / "benchmark.jsonl"))
    text = (ROOT / page).read_text(encoding="utf-8")
    printed = text.split(f"<!-- {table} -->\n")[1].split(f"\n<!-- /{table} -->")[0].splitlines()
    assert [line.strip("| ").split(" | ") for line in (printed[0], *printed[2:])] == made


def test_every_kept_row_tells_where_it_comes_from():
    rows = [json.loads(line) for line in (ROOT / "docs" / "benchmark.jsonl").read_text("utf-8").splitlines()]
    assert all(len(row["commit"]) == 40 and row["command"] and row["machine"] for row in rows)
