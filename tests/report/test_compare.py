import dataclasses
import math
from statistics import NormalDist

import numpy as np
import pytest

from qgen.report import ReportError, article, compare, select, statistics
from tests.report.synthetic import log_normal, measured, record

SIGMAS = 5.0
pytestmark = pytest.mark.usefixtures("building")
BUILDING = 1.25
"""What the fixture lets a data centre draw per measured joule."""
STAGE = "monitoring"
FACTS = {
    STAGE: article()[STAGE]._replace(quality=select.Quality("auroc", True, 0.02)),
    "training": article()["training"]._replace(quality=select.Quality("bits_per_byte", False, 0.05)),
}


def exact(energy: float) -> dict:
    """Measured fields of a meter without error."""
    return measured(energy) | {"energy_low_j": energy, "energy_high_j": energy}


def rows_of(arm: str, scores: list[float], energy: float, stage: str = STAGE, **changes) -> list:
    metric = FACTS[stage].quality.name
    made = {"measured": exact(energy), **changes}
    return [record(stage, arm, seed, 0.0, energy, metrics={metric: score}, **made) for seed, score in enumerate(scores)]


def quantum_rows(scores: list[float], median: float, sigma: float, arm: str = "quantum/q", **changes) -> list:
    projected = {
        "sc_today": {"energy_j": log_normal(median, sigma), "time_s": log_normal(1.0, 0.1)},
        "annealer_today": {"reason": "annealer_today cannot run gates."},
    }
    return rows_of(arm, scores, 777.0, resources={"qubits": 4}, projected=projected, **changes)


def arms_of(rows: list) -> dict[str, compare.Comparison]:
    (table,) = compare.stage_tables(rows, {row.stage: FACTS[row.stage] for row in rows})
    return {arm.arm: arm for arm in table.arms}


def test_the_best_classical_arm_is_the_cheapest_of_equal_quality():
    arms = arms_of(
        rows_of("classical/accurate", [0.91, 0.93], 50.0)
        + rows_of("classical/cheap", [0.90, 0.92], 20.0)
        + rows_of("classical/poor", [0.85, 0.85], 1.0)
    )
    assert [name for name, arm in arms.items() if arm.best] == ["classical/cheap"]
    assert [name for name, arm in arms.items() if arm.equal] == ["classical/accurate", "classical/cheap"]
    assert arms["classical/accurate"].ratio == pytest.approx((2.5, 2.5, 2.5))


def test_lower_may_be_better():
    arms = arms_of(
        rows_of("classical/accurate", [2.00, 2.02], 50.0, "training")
        + rows_of("classical/cheap", [2.04, 2.06], 20.0, "training")
        + rows_of("classical/poor", [2.50, 2.50], 1.0, "training")
    )
    assert [name for name, arm in arms.items() if arm.best] == ["classical/cheap"]


def test_a_difference_of_exactly_the_margin_is_equal():
    arms = arms_of(rows_of("classical/a", [0.92, 0.97], 50.0) + rows_of("classical/b", [0.90, 0.95], 20.0))
    assert arms["classical/b"].best


def test_quality_is_compared_over_shared_seeds_only():
    late = rows_of("classical/late", [0.5, 0.9], 1.0)[1:]
    arms = arms_of(rows_of("classical/full", [0.5, 0.9], 9.0) + late)
    assert arms["classical/late"].best


def test_an_inspired_arm_may_be_the_rival_but_no_control_and_no_quantum_arm():
    arms = arms_of(
        rows_of("classical/a", [0.9], 50.0)
        + rows_of("inspired/b", [0.9], 5.0)
        + rows_of("control/c", [0.9], 2.0)
        + rows_of("quantum/d", [0.9], 1.0)
    )
    assert arms["inspired/b"].best


@pytest.mark.parametrize(("median", "sigma"), [(30.0, 0.6), (50.0, 0.2), (12.0, 1.1)])
def test_probability_of_a_saving_is_the_normal_one(median, sigma):
    energy, seeds = 31.0, [0.9, 0.9, 0.9]
    arm = arms_of(rows_of("classical/a", seeds, energy) + quantum_rows(seeds, median, sigma))["quantum/q"]
    wanted = NormalDist().cdf(math.log(BUILDING * energy / median) / sigma)
    error = math.sqrt(wanted * (1 - wanted) / statistics.DRAWS)
    found = arm.projections["sc_today"]
    assert abs(found.saves - wanted) < SIGMAS * error + 1e-12
    assert found.energy.central == pytest.approx(median, rel=0.1)
    assert found.ratio.central == pytest.approx(median / (BUILDING * energy), rel=0.1)
    tail = math.exp(NormalDist().inv_cdf(0.95) * sigma)
    assert found.energy.high == pytest.approx(median * tail, rel=0.1)


def test_the_meters_range_widens_the_ratio_by_its_closed_form():
    # The rival's energy is uniform on [5, 10] or [10, 30], each in half of the draws, and the machine's is 12 times
    # the building's factor exactly.
    wide = measured(10.0) | {"energy_low_j": 5.0, "energy_high_j": 30.0}
    rows = rows_of("classical/a", [0.9], 10.0, measured=wide) + quantum_rows([0.9], 12.0 * BUILDING, 0.0)
    found = arms_of(rows)["quantum/q"].projections["sc_today"].saves
    wanted = 0.5 * (30 - 12) / 20
    assert abs(found - wanted) < SIGMAS * math.sqrt(wanted * (1 - wanted) / statistics.DRAWS)


def test_the_meters_error_is_shared_by_rival_and_host_part():
    # Both are read by one meter, so that their ratio is exact although each may be off by a factor of two.
    rival = measured(10.0) | {"energy_low_j": 5.0, "energy_high_j": 20.0}
    host = measured(4.0) | {"energy_low_j": 2.0, "energy_high_j": 8.0}
    rows = rows_of("classical/a", [0.9], 10.0, measured=rival) + quantum_rows([0.9], 1e-9, 0.1, host=host)
    assert arms_of(rows)["quantum/q"].projections["sc_today"].ratio == pytest.approx((0.4, 0.4, 0.4), rel=1e-6)


def test_equal_quality_is_counted_over_resampled_seeds():
    # Differences of +0.1 and -0.1: of four equally likely resamples only the second seed taken twice is worse.
    rows = rows_of("classical/a", [0.80, 0.80], 100.0) + quantum_rows([0.90, 0.70], 1.0, 0.1)
    found = arms_of(rows)["quantum/q"].projections["sc_today"]
    assert abs(found.saves - 0.75) < SIGMAS * math.sqrt(0.75 * 0.25 / statistics.DRAWS)
    assert found.cheaper == 1.0


def test_lesser_quality_never_saves():
    rows = rows_of("classical/a", [0.9, 0.9], 100.0) + quantum_rows([0.8, 0.8], 1.0, 0.1)
    arm = arms_of(rows)["quantum/q"]
    assert not arm.equal
    assert (arm.projections["sc_today"].saves, arm.projections["sc_today"].cheaper) == (0.0, 1.0)


def test_simulation_enters_no_projection():
    scores = [0.9, 0.9]
    first = arms_of(rows_of("classical/a", scores, 9.0) + quantum_rows(scores, 5.0, 0.4))["quantum/q"]
    second = arms_of(rows_of("classical/a", scores, 9.0) + quantum_rows(scores, 5.0, 0.4, measured=exact(1e9)))[
        "quantum/q"
    ]
    assert first.projections == second.projections
    assert second.simulated and second.measured.central == 1e9 and second.ratio is None


def test_a_machine_that_cannot_run_it_says_why():
    arm = arms_of(rows_of("classical/a", [0.9], 9.0) + quantum_rows([0.9], 5.0, 0.4))["quantum/q"]
    assert arm.projections["annealer_today"] == compare.Projection(reason="annealer_today cannot run gates.")


def test_without_a_classical_arm_there_is_no_ratio():
    arm = arms_of(quantum_rows([0.9], 5.0, 0.4))["quantum/q"]
    assert arm.projections["sc_today"].energy is not None
    assert arm.projections["sc_today"].ratio is None and arm.projections["sc_today"].saves is None


def test_a_failed_arm_keeps_its_reason():
    failed = {"status": "failed", "reason": "ValueError: no", "metrics": {}, "measured": {}}
    arm = arms_of([*rows_of("classical/a", [0.9], 9.0), record(STAGE, "classical/b", 0, 0.0, 1.0, **failed)])[
        "classical/b"
    ]
    assert (arm.failed, arm.reason, arm.quality) == (1, "ValueError: no", None)


def test_unknown_stages_and_missing_scores_are_refused():
    with pytest.raises(ReportError, match="astrology"):
        compare.stage_tables([record("astrology", "classical/a", 0, 0.5, 1.0)], FACTS)
    with pytest.raises(ReportError, match="auroc"):
        compare.stage_tables([record(STAGE, "classical/a", 0, 0.5, 1.0, metrics={"f1": 0.5})], FACTS)


def test_ratio_draws_agree_with_the_projection():
    rows = rows_of("classical/a", [0.9, 0.8], 9.0) + quantum_rows([0.9, 0.8], 5.0, 0.4)
    arms = select.arms(rows, STAGE)
    ratio, equal = compare.ratio_draws(arms["quantum/q"], arms["classical/a"], FACTS[STAGE], "sc_today")
    found = arms_of(rows)["quantum/q"].projections["sc_today"]
    assert np.mean((ratio < 1) & equal) == found.saves


def test_the_host_part_pays_for_its_building_and_the_machine_does_not():
    host = exact(4.0)
    rows = rows_of("classical/a", [0.9], 10.0) + quantum_rows([0.9], 15.0, 0.0, host=host)
    arm = arms_of(rows)["quantum/q"]
    found = arm.projections["sc_today"]
    assert (arm.measured.central, arm.host.central) == (777.0, 4.0)  # as the meter read them
    assert found.energy == pytest.approx((20.0, 20.0, 20.0))  # 15 + 1.25 * 4
    assert found.ratio == pytest.approx((1.6, 1.6, 1.6))  # 20 over 1.25 * 10


def test_amortised_energy_stands_beside_the_marginal_one():
    projected = {"sc_today": {"energy_j": log_normal(15.0, 0.0), "amortised_energy_j": log_normal(40.0, 0.0)}}
    rows = rows_of("quantum/q", [0.9], 1.0, resources={"qubits": 4}, projected=projected, host=exact(4.0))
    found = arms_of(rows)["quantum/q"].projections["sc_today"]
    assert (found.energy.central, found.amortised.central) == (pytest.approx(20.0), pytest.approx(45.0))
    assert found.seeds == 1


def test_a_machine_counts_the_seeds_that_it_can_run():
    refused = {"sc_today": {"reason": "too noisy"}}
    rows = quantum_rows([0.9, 0.8, 0.7], 15.0, 0.0)
    rows[1] = dataclasses.replace(rows[1], projected=refused)
    assert arms_of(rows)["quantum/q"].projections["sc_today"].seeds == 2
