"""The cases' tables: the rule of verdicts, a year's energy, files, and what a missing extra says."""

import math

import numpy as np
import pytest

from qgen import cases
from qgen.cases.base import MissingData, need
from qgen.report import cases as report
from qgen.report.cases import Facts, Published, Volume, Yearly
from qgen.report.statistics import Interval
from tests.cases.rows import around, row

EFFECT = {"value": 67.8, "none": 0.0, "margin": 0.05}


@pytest.mark.parametrize(
    ("own", "number", "verdict"),
    [
        (Interval(0.921, 0.918, 0.924), {"value": 0.92}, "reproduced"),
        (Interval(0.93, 0.928, 0.932), {"value": 0.92}, "higher"),
        (Interval(0.93, 0.928, 0.932), {"value": 0.92, "margin": 0.01}, "reproduced"),
        (Interval(0.90, 0.89, 0.91), {"value": 0.92}, "lower"),
        (Interval(0.92, math.nan, math.nan), {"value": 0.92}, "undecided"),
        (Interval(0.92, 0.91, 0.93), {"value": None}, "nothing published"),
        (Interval(60.0, 50.0, 70.0), EFFECT, "reproduced"),
        (Interval(40.0, -10.0, 90.0), EFFECT, "undecided"),
        (Interval(5.0, -1.0, 11.0), EFFECT, "no effect"),
        (Interval(30.0, 20.0, 40.0), EFFECT, "smaller"),
        (Interval(90.0, 80.0, 99.0), EFFECT, "larger"),
        (Interval(-30.0, -40.0, -20.0), EFFECT, "opposite"),
        (Interval(-30.0, -40.0, -20.0), {"value": -58.75, "none": 0.0}, "smaller"),
    ],
)
def test_verdicts_follow_the_rule(own, number, verdict):
    assert report.judged(own, Published("", source="", ours=lambda rows: [], **number)) == verdict


FACTS = Facts(
    name="made_up",
    title="A made-up case",
    source="nobody",
    substitutions=("Everything is made up.",),
    published=(
        Published("score", 0.5, "table 1", lambda rows: [r.metrics["score"] for r in rows if r.arm == "quantum/a"]),
        Published("other", 0.5, "table 2", lambda rows: []),
    ),
    yearly=Yearly(
        Volume("runs a year", 10, 100, 10_000, "made up."),
        "classical/b",
        "quantum/a",
        lambda row: True,
        lambda row: 4.0,
    ),
    columns={"score": "the score"},
    label=lambda config: f"size {config['size']}",
)
ROWS = [
    *(row("made_up", "quantum/a", s, {"size": 3}, {"score": v}, 2.0, 8e3) for s, v in enumerate(around(0.505))),
    *(row("made_up", "classical/b", s, {"size": 3}, {"score": v}, 2.0) for s, v in enumerate(around(0.7))),
]


def test_a_years_energy_is_energy_per_unit_times_volume():
    classical, quantum = report.years(ROWS, FACTS)
    # 2 J over 4 units in a building of 1.3; 8 kJ over 4 units, whose watts hold the building.
    assert np.median(classical.per_unit_j) == pytest.approx(2.0 / 4 * 1.3, rel=0.15)
    assert np.median(quantum.per_unit_j) == pytest.approx(8e3 / 4, rel=0.05)
    assert quantum.machine == "sc_long" and classical.machine == ""
    volume = report.volumes(FACTS.yearly.volume)
    assert np.quantile(volume, [0, 0.5, 1]) == pytest.approx([10, 100, 10_000], rel=0.1)
    assert np.allclose(quantum.per_year_j, quantum.per_unit_j * volume)


def test_all_tables_are_written(tmp_path):
    report.write(ROWS, FACTS, tmp_path)
    for name in ("made_up", "made_up_arms", "made_up_yearly"):
        for suffix in ("md", "tex", "csv"):
            assert (tmp_path / "tables" / f"{name}.{suffix}").stat().st_size > 0
    table = (tmp_path / "tables" / "made_up.csv").read_text().splitlines()
    assert table[1].startswith("score,0.5,") and ",reproduced," in table[1] and len(table) == 2
    assert "Not run: other." in (tmp_path / "tables" / "made_up.md").read_text()
    arms = (tmp_path / "tables" / "made_up_arms.csv").read_text()
    assert "quantum/a,5,0.505" in arms and "8000 (sc_long)" in arms


def test_what_is_missing_names_its_command():
    with pytest.raises(
        MissingData, match=r"German load profiles need the package nowhere: pip install 'qgen\[cases\]'"
    ):
        need("nowhere", "German load profiles")
    with pytest.raises(ValueError, match="`case` must be one of: grid"):
        cases.load("gird")


@pytest.mark.parametrize("name", cases.CASES)
def test_every_case_is_whole(name):
    case = cases.load(name)
    assert case.name == name and set(case.presets) == set(case.seeds) == {"smoke", "default", "paper"}
    assert {case.facts.yearly.classical, case.facts.yearly.quantum} <= set(case.arms)
    assert 0 < case.facts.yearly.volume.low <= case.facts.yearly.volume.central <= case.facts.yearly.volume.high
