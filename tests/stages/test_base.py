"""run_arm: what it measures, what it prices, and how an arm fails without taking the others along."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from qgen import record
from qgen.energy import meters, profiles
from qgen.resources import Resources
from qgen.stages.base import Arm, Outcome, Quality, Stage, Use, project, run_arm


@dataclasses.dataclass(frozen=True)
class Config:
    size: int = 3


def stage(arm: Arm, **changes) -> Stage:
    made = Stage(
        name="toy",
        title="Toy",
        quality=Quality("right", higher_is_better=True, margin=0.1),
        presets={"smoke": Config()},
        problem=lambda key, config, artefacts: None,
        score=lambda problem, answer: {"right": float(np.sum(answer))},
        arms={arm.name: lambda config: arm},
        reference=arm.name,
        swap=arm.name,
        hand_on=lambda artefacts, problem, answer: artefacts,
    )
    return made._replace(**changes)


def run(arm: Arm, hosts=None, **changes) -> record.Record:
    machines = {name: profiles.load()[name] for name in ("sc_today", "annealer_today")}
    return run_arm(
        stage(arm, **changes),
        arm.name,
        Config(),
        None,
        experiment="test",
        preset="smoke",
        seed=2,
        meter=meters.open_meter("modelled"),
        machines=machines,
        hosts=hosts,
    ).record


def test_arms_with_the_same_host_share_its_measurement():
    asked, hosts = [], {}

    def counted(name, host):
        asked.clear()
        return run(Arm(name, lambda key, problem: Outcome(np.ones(3)), "", host), hosts), len(asked)

    def host(key, problem):
        asked.append(key)

    first, calls = counted("quantum/a", host)
    assert calls and first.host["energy_j"] > 0
    assert counted("control/b", host)[0].host == first.host and not asked
    assert counted("quantum/c", lambda key, problem: host(key, problem))[1]


def test_a_quantum_arm_is_priced_by_its_counts_and_its_host_part_is_measured_apart():
    counts = Resources(
        2, circuits=1, shots=100, layers=300, layers_2q=100, gates_1q=200, gates_2q=100, measurements=200
    )
    asked = []
    arm = Arm(
        "quantum/toy",
        lambda key, problem: Outcome(np.ones(3), (counts,), {"loss": jnp.array([2.0, 1.5])}),
        "a note",
        lambda key, problem: asked.append(key),
    )
    row = run(arm, use=lambda problem, answer: Use(lambda: None, 4.0, "token"))
    assert row.status == "ok" and row.metrics == {"right": 3.0} and row.trace == {"loss": [2.0, 1.5]}
    assert row.resources["shots"] == 100 and asked and row.host["energy_j"] > 0
    assert row.use["energy_per_unit_j"] == pytest.approx(row.use["energy_j"] / 4)
    assert len(row.projected["sc_today"]["energy_j"]) == len(record.QUANTILE_LEVELS)
    assert row.projected["sc_today"] == project((counts,), profiles.load()["sc_today"])
    assert "no gates" in row.projected["annealer_today"]["reason"]


@pytest.mark.parametrize(
    ("solve", "message"),
    [
        (lambda key, problem: Outcome(np.full(3, np.nan)), "`right` of stage toy is not finite"),
        (lambda key, problem: Outcome(np.ones(3), trace={"loss": jnp.array([1.0, jnp.inf])}), "Trace `loss`"),
        (lambda key, problem: Outcome(np.ones(3), trace={"loss": jnp.ones((2, 2))}), "Trace `loss`"),
        (lambda key, problem: Outcome(np.ones(3), (Resources(1, gates_1q=1),)), "`shots` is 0"),
        (lambda key, problem: 1 // 0, "ZeroDivisionError"),
    ],
    ids=["score", "trace", "shape of a trace", "counts", "raise"],
)
def test_a_failed_arm_is_a_row_that_can_be_written(tmp_path, solve, message):
    row = run(Arm("quantum/toy", solve))
    assert row.status == "failed" and message in row.reason and not row.metrics
    record.append(tmp_path / "records.jsonl", row)
    assert record.load(tmp_path / "records.jsonl") == [row]


def test_an_unknown_arm_is_refused():
    with pytest.raises(ValueError, match="`arm` must be one of: classical/toy"):
        run_arm(
            stage(Arm("classical/toy", lambda key, problem: Outcome(np.ones(3)))),
            "classical/other",
            Config(),
            None,
            experiment="test",
            preset="smoke",
            seed=0,
            meter=meters.open_meter("modelled"),
            machines={},
        )
