import math
from statistics import NormalDist

import pytest

from qgen.report import article, life, statistics, verdict, weights
from qgen.report.select import Quality
from tests.report.synthetic import log_normal, measured, record
from tests.report.test_compare import SIGMAS, exact

BUILDING = 1.25
pytestmark = pytest.mark.usefixtures("building")
FACTS = {
    name: article()[name]._replace(reference="classical/r", swap="quantum/s", quality=Quality("score", True, 0.02))
    for name in ("training", "deployment", "monitoring")
}
ENERGIES = {"training": 10.0, "deployment": 20.0, "monitoring": 40.0}


def row(stage, arm, seed, score, energy, **changes):
    return record(
        stage, arm, seed, score, energy, **{"measured": exact(energy), "metrics": {"score": score}, **changes}
    )


def reference(seeds=(0, 1)):
    return [row(stage, "classical/r", seed, 0.9, energy) for stage, energy in ENERGIES.items() for seed in seeds]


def swapped(stage: str, median: float, sigma: float, seeds=(0, 1), **changes):
    projected = {
        "sc_today": {"energy_j": log_normal(median, sigma), "time_s": log_normal(1, 0.1)},
        "x_mid": {"reason": "no"},
    }
    names = list(ENERGIES)
    later = names[names.index(stage) + 1 :]
    made = {"resources": {"qubits": 3}, "projected": projected, **changes}
    return [row(stage, "quantum/s", seed, 0.8, 1e6, **made) for seed in seeds] + [
        row(name, "classical/r", seed, 0.7, 2 * ENERGIES[name], upstream=f"{stage}=quantum/s")
        for name in later
        for seed in seeds
    ]


def test_the_all_classical_life_is_the_sum_of_its_stages():
    (found,) = life.lives(reference(), FACTS)
    assert found.swap is None
    assert found.measured[:3] == (70.0, 70.0, 70.0)
    assert {name: value.central for name, value in found.quality.items()} == {"deployment": 0.9, "monitoring": 0.9}


def test_a_swap_counts_later_stages_as_they_ran_and_no_simulation():
    _, found = life.lives(reference() + swapped("deployment", 5.0, 1e-6), FACTS)
    assert found.swap == ("deployment", "quantum/s")
    assert found.measured.central == 10.0 + 80.0
    total = BUILDING * (10.0 + 80.0) + 5.0
    assert found.totals["sc_today"].central == pytest.approx(total)
    assert found.ratios["sc_today"].central == pytest.approx(total / (BUILDING * 70.0))
    assert list(found.totals) == ["sc_today"]
    assert {name: value.central for name, value in found.quality.items()} == {"deployment": 0.8, "monitoring": 0.7}


def test_the_host_part_of_a_swap_is_measured_and_projected():
    _, found = life.lives(reference() + swapped("training", 5.0, 1e-6, host=exact(3.0)), FACTS)
    assert found.measured.central == 3.0 + 40.0 + 80.0
    assert found.totals["sc_today"].central == pytest.approx(5.0 + BUILDING * (3.0 + 40.0 + 80.0))


def test_the_interval_of_a_swap_is_that_of_its_machine():
    _, found = life.lives(reference() + swapped("monitoring", 50.0, 0.7), FACTS)
    for level, total in zip((0.05, 0.95), found.totals["sc_today"][1:], strict=True):
        assert total - BUILDING * 30.0 == pytest.approx(50.0 * math.exp(0.7 * NormalDist().inv_cdf(level)), rel=0.05)


def test_a_swap_whose_later_stages_did_not_run_has_no_total():
    rows = [row for row in swapped("training", 5.0, 0.1) if row.stage != "monitoring"]
    _, found = life.lives(reference() + rows, FACTS)
    assert found.measured is None and "monitoring" in found.missing


def test_a_failed_reference_says_why():
    failed = row("monitoring", "classical/r", 0, 0.0, 1.0, status="failed", reason="no memory", metrics={}, measured={})
    rows = [row for row in reference() if row.stage != "monitoring"]
    (found,) = life.lives([*rows, failed], FACTS)
    assert found.measured is None and "no memory" in found.missing


def test_without_a_common_seed_there_is_no_total():
    rows = [row for row in reference() if (row.stage == "training") == (row.seed == 0)]
    (found,) = life.lives(rows, FACTS)
    assert "no seed" in found.missing


def test_another_arm_that_was_swapped_is_found_by_its_later_stages():
    rows = [row("monitoring", "classical/r", seed, 0.6, 4.0, upstream="deployment=classical/z") for seed in (0, 1)]
    rows += [row("deployment", "classical/z", seed, 0.6, 6.0) for seed in (0, 1)]
    _, found = life.lives(reference() + rows, FACTS)
    assert found.swap == ("deployment", "classical/z")
    assert found.measured.central == 10.0 + 6.0 + 4.0


RULES = verdict.Thresholds({"today": "near", "mid": "medium", "long": "long"}, 0.05, 0.5, 0.95, 0.001, 0.01, 0.1)


def test_the_shipped_thresholds_are_read():
    rules = verdict.thresholds()
    assert list(rules.dates.values()) == ["near", "medium", "long"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"saves": 0.99}, "P\\(saves\\)"), ({"medium": 0.2}, "potential"), ({"dates": {"today": "soon"}}, "soon")],
)
def test_thresholds_out_of_order_are_refused(changes, message):
    fields = {**RULES.__dict__, **changes}
    with pytest.raises(ValueError, match=message):
        verdict.Thresholds(**fields)


@pytest.mark.parametrize(
    ("chances", "threshold", "word"),
    [
        ({"today": 0.7, "mid": 0.9}, 0.5, "near"),
        ({"today": 0.4, "mid": 0.6, "long": 0.99}, 0.5, "medium"),
        ({"today": 0.4, "long": 0.99}, 0.5, "long"),
        ({"mid": 0.4}, 0.5, "beyond"),
        ({}, 0.05, "beyond"),
    ],
)
def test_time_scale(chances, threshold, word):
    assert verdict.time_scale(chances, threshold, RULES) == word


@pytest.mark.parametrize(
    ("saved", "word"), [(-4.0, "none"), (0.0009, "none"), (0.002, "low"), (0.01, "medium"), (0.3, "high")]
)
def test_potential(saved, word):
    assert verdict.potential(saved, RULES) == word


@pytest.mark.parametrize(
    ("claim", "found", "answer"),
    [
        ("long", ("long", "medium", "beyond"), "agree"),
        ("medium", ("long", "medium", "beyond"), "undecided"),
        ("near", ("long", "medium", "beyond"), "disagree"),
    ],
)
def test_agreement(claim, found, answer):
    assert verdict.agreement(claim, found, verdict.SCALES, known=True) == answer
    assert verdict.agreement(claim, found, verdict.SCALES, known=False) == "undecided"


def recomputed(scores=(0.9, 0.9), share=(0.2,)):
    """One stage whose machines need 100, 8 and 0.4 times the energy of the best classical arm."""
    machines = {
        f"sc_{date}": {"energy_j": log_normal(BUILDING * 10.0 * ratio, 0.5), "time_s": log_normal(1.0, 0.1)}
        for date, ratio in (("today", 100.0), ("mid", 8.0), ("long", 0.4))
    }
    rows = [row("training", "classical/r", seed, 0.9, 10.0) for seed in (0, 1)]
    rows += [
        row("training", "quantum/s", seed, score, 1e6, resources={"qubits": 2}, projected=machines)
        for seed, score in enumerate(scores)
    ]
    sources = [
        record("training", f"published/{i}", 0, 0.0, 1.0, experiment="shares", metrics={"share": value})
        for i, value in enumerate(share)
    ]
    from qgen.report import compare

    tables = compare.stage_tables(rows, FACTS)
    (found,) = verdict.verdicts(rows, tables, weights.shares([*rows, *sources], rows, FACTS), RULES)
    return found


def test_a_stage_that_saves_in_the_long_term():
    found = recomputed()
    # P(ratio < 1) for a log-normal of median 0.4 and sigma 0.5.
    wanted = NormalDist().cdf(math.log(1 / 0.4) / 0.5)
    saves = found.best["long"].projection.saves
    assert abs(saves - wanted) < SIGMAS * math.sqrt(wanted * (1 - wanted) / statistics.DRAWS)
    assert found.scale == ("long", "long", "long")
    assert found.saving.central == pytest.approx(0.2 * 0.6, rel=0.02)
    assert found.potential[0] == "high"
    assert (found.scale_agrees, found.potential_agrees) == ("disagree", "undecided")
    assert "sc_long" in found.reason and "classical/r" in found.reason


def test_a_stage_of_lesser_quality_is_beyond_and_saves_nothing():
    found = recomputed(scores=(0.6, 0.6))
    assert found.scale == ("beyond", "beyond", "beyond")
    assert found.potential == ("none", "none", "none")
    assert "quality" in found.reason


def test_published_shares_widen_the_saving():
    found = recomputed(share=(0.01, 0.02, 0.4))
    assert found.share.interval == (0.02, 0.01, 0.4)
    assert found.share.source == "published/0, published/1, published/2"
    assert found.saving.high > 5 * found.saving.central


def test_a_source_may_give_a_range():
    metrics = {"share": 0.2, "share_low": 0.1, "share_high": 0.4}
    rows = [record("training", "published/a", 0, 0.0, 1.0, experiment="shares", metrics=metrics)]
    assert weights.shares(rows, [], FACTS)["training"].interval == (0.2, 0.1, 0.4)


def test_without_published_shares_the_own_life_is_the_weight():
    shares = weights.shares(reference(), reference(), FACTS)
    assert {name: share.interval.central for name, share in shares.items()} == pytest.approx(
        {"training": 1 / 7, "deployment": 2 / 7, "monitoring": 4 / 7}
    )


def test_a_stage_without_machines_is_undecided():
    from qgen.report import compare

    rows = reference()
    tables = compare.stage_tables(rows, FACTS)
    found = verdict.verdicts(rows, tables, weights.shares(rows, rows, FACTS), RULES)
    assert {item.scale_agrees for item in found} == {item.potential_agrees for item in found} == {"undecided"}
    assert found[0].saving is None and "could be compared" in found[0].reason


def test_an_arm_that_no_machine_runs_is_beyond():
    from qgen.report import compare

    machines = {f"sc_{date}": {"reason": f"sc_{date} has 9 qubits, but 99 are needed."} for date in ("today", "long")}
    rows = reference() + [
        row("training", "quantum/s", seed, 0.9, 1e6, resources={"qubits": 99}, projected=machines) for seed in (0, 1)
    ]
    tables = compare.stage_tables(rows, FACTS)
    found = verdict.verdicts(rows, tables, weights.shares(rows, rows, FACTS), RULES)[0]
    assert found.scale == ("beyond", "beyond", "beyond") and found.potential == ("none", "none", "none")
    assert (found.scale_agrees, found.potential_agrees, found.saving) == ("disagree", "disagree", None)
    assert found.reason == "No machine of any date runs quantum/s: sc_today has 9 qubits, but 99 are needed."


def test_sensitivity_follows_the_thresholds():
    found = recomputed()
    scales, potentials = verdict.sensitivity([found], RULES, [0.01, 0.5, 0.999], [0.1, 1.0, 10.0])
    assert scales == [["long", "long", "beyond"]]
    assert potentials == [["high", "high", "medium"]]


def test_the_meter_of_a_whole_life_adds_its_ranges():
    rows = [row(stage, "classical/r", 0, 0.9, energy, measured=measured(energy)) for stage, energy in ENERGIES.items()]
    (found,) = life.lives(rows, FACTS)
    assert (found.measured.low, found.measured.high) == pytest.approx((70 / 2.1, 70 * 2.6))
