"""Laws and break-evens against closed forms, PennyLane and scipy; flags that fail with one sentence."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import laws, outlook, tasks
from experiments.ledger import Ledger
from qgen import circuits as qc
from qgen import record
from qgen.energy import pricing, profiles, scaling
from qgen.energy.scaling import Law
from qgen.record import QUANTILE_LEVELS
from qgen.report import article
from qgen.resources import Resources
from tests.report import synthetic

ROOT = Path(__file__).parent.parent
CLOSE = 1e-4
ANGLE = 1e-5
pytestmark = pytest.mark.xdist_group("stages")


def exact(kind, offset, slope):
    """A law without uncertainty."""
    return Law(kind, offset, slope, np.eye(2), 0.0, 3, np.zeros(5))


def test_the_head_is_the_circuit_that_the_successor_describes():
    import pennylane as qml

    made = laws.head(3)
    params = np.random.default_rng(1).uniform(0, 6, made.n_params)

    @qml.qnode(qml.device("default.qubit", wires=3))
    def reference():
        for block in params.reshape(4, 2, 3):
            for wire in range(3):
                qml.RY(block[0, wire], wire)
            for wire in range(3):
                qml.CNOT([wire, (wire + 1) % 3])
            for wire in range(3):
                qml.RY(block[1, wire], wire)
        return qml.expval(qml.PauliZ(0))

    assert float(qc.expectation(made, jnp.asarray(params), qc.z(0))) == pytest.approx(float(reference()), abs=ANGLE)


def test_a_gradient_needs_two_circuits_per_angle():
    need = laws.gradient_resources(5)
    executions = 1000 * (2 * 40 + 1)  # 4 blocks of 2 columns of 5 rotations
    assert (need.qubits, need.circuits, need.shots) == (5, 81, executions)
    assert (need.gates_1q, need.gates_2q) == (40 * executions, 20 * executions)


def test_dispatch_is_no_simulation():
    assert laws.beyond_floor([1.0, 1.1, 2.9, 3.1, 9.0, 30.0, 90.0]).tolist() == [False] * 3 + [True] * 4
    assert laws.beyond_floor([1.0, 1.0, 1.1, 1.2, 4.0]).tolist() == [False, True, True, True, True]


def test_machines_against_a_law_have_their_closed_forms(key):
    rival = exact("exponential", -5.0, np.log(2))
    sizes = (4, 8, 16, 32)
    curves = {
        "flat": jnp.full((7, 4), np.log(2.0) * 20.25 - 5.0),
        "short": jnp.full((7, 3), np.log(2.0) * 20.25 - 5.0),  # runs no 32 qubits, and 16 are too few
        "rising": jnp.broadcast_to(3 * jnp.log(jnp.asarray(sizes, float)), (7, 4)),
        "cheap": jnp.full((7, 4), -9.0),
    }
    found = laws.against_law(key, curves, sizes, rival)
    np.testing.assert_allclose(found["flat"].size, 20.25, rtol=CLOSE)
    assert not np.isfinite(found["short"].size).any() and found["short"].reached == 0
    np.testing.assert_array_equal(found["cheap"].size, 4.0)
    crossing = np.asarray(found["rising"].size)[0]
    assert 3 * np.log(crossing) == pytest.approx(-5.0 + crossing * np.log(2), rel=CLOSE)
    assert laws.against_law(key, {}, sizes, rival) == {}


def test_two_power_laws_cross_where_algebra_says(key):
    rival = exact("power", -2.0, 1.9)
    lines = {
        "slower": (jnp.full(5, 6.0), jnp.full(5, 1.1)),
        "faster": (jnp.full(5, 6.0), jnp.full(5, 2.5)),
    }
    found = tasks.against_law(key, lines, rival, 10.0, 500.0)
    np.testing.assert_allclose(found["slower"].size, np.exp(8.0 / 0.8), rtol=10 * CLOSE)
    assert found["faster"].reached == 0


def test_a_classical_law_of_fixed_costs_goes_on_in_proportion(key):
    rival = exact("power", 3.0, 0.25)
    found = tasks.against_law(key, {"root": (jnp.full(5, 9.0), jnp.full(5, 0.5))}, rival, 10.0, 400.0)
    # At 400 the rival is at 3 + log(400)/4; from there on it grows with the size itself, the machine with its root.
    place = (9.0 - 3.0 + 0.75 * np.log(400.0)) / 0.5
    np.testing.assert_allclose(found["root"].size, np.exp(place), rtol=10 * CLOSE)
    inside = tasks.continued(jnp.asarray([3.0]), jnp.asarray([0.25]), 400.0, jnp.asarray(37.0))
    assert float(inside[0]) == pytest.approx(3.0 + 0.25 * np.log(37.0))


def test_a_machine_that_cannot_run_all_circuits_together_is_left_out():
    rows, machines = life()
    crowded = [dataclasses.replace(row, resources=dataclasses.asdict(NEED) | {"qubits": 9999}) for row in rows]
    assert outlook.swapped(crowded, "training", machines) is None


def test_power_laws_of_draws_agree_with_scipy(key):
    from scipy.stats import linregress

    sizes = np.array([10.0, 20.0, 50.0, 90.0, 200.0])
    noise = np.array([0.2, -0.1, 0.0, -0.3, 0.25])
    row = 1.5 + 0.8 * np.log(sizes) + noise
    draws = 40_000
    _, slope = tasks.power_draws(key, sizes, jnp.broadcast_to(jnp.asarray(row), (draws, 5)))
    known = linregress(np.log(sizes), row)
    # Student's t with three degrees of freedom: half of it lies within 0.765 standard errors.
    inside = np.mean(np.abs(np.asarray(slope) - known.slope) < 0.7649 * known.stderr)
    assert abs(inside - 0.5) < 5 * 0.5 / np.sqrt(draws)
    offset, slope = tasks.power_draws(key, sizes, jnp.asarray([1.5 + 0.8 * np.log(sizes)]))
    np.testing.assert_allclose([offset[0], slope[0]], [1.5, 0.8], rtol=CLOSE)


def test_room_is_given_and_never_taken():
    machines = profiles.load()
    assert laws.room(machines["ion_today"], 500)["max_qubits"].central == 500
    assert laws.room(machines["sc_today"], 2) == machines["sc_today"].fixed(
        {"max_qubits": machines["sc_today"]["max_qubits"].central}
    )
    assert laws.room(machines["ft_sc_mid"], 500)["max_qubits"].central == 1e12


NEED = Resources(5, circuits=10, shots=1e4, layers=2e5, layers_2q=1e5, gates_1q=1e6, gates_2q=2e5, measurements=5e4)


def life():
    """Two classical arms and the swap of one stage, priced on three machines."""
    facts = article()["training"]
    machines = {name: profiles.load()[name] for name in ("sc_today", "sc_mid", "ion_today")}
    levels = {"sc_today": 500.0, "sc_mid": 20.0, "ion_today": 9e5}
    projected = {name: {"energy_j": [v] * len(QUANTILE_LEVELS), "time_s": [1.0]} for name, v in levels.items()}
    rows = []
    for seed in range(2):
        rows.append(synthetic.record("training", facts.reference, seed, 2.0, 3.0))
        rows.append(synthetic.record("training", "classical/other", seed, 2.0, 7.0))
        changes = {"resources": dataclasses.asdict(NEED), "projected": projected, "host": synthetic.measured(1.0)}
        rows.append(synthetic.record("training", facts.swap, seed, 2.0, 30.0, **changes))
    return rows, machines


def test_the_swap_meets_the_best_classical_arm_on_the_best_machine_of_each_date():
    rows, machines = life()
    swap = outlook.swapped(rows, "training", machines)
    assert swap is not None
    assert [machine.name for machine in swap.machines] == ["sc_mid", "sc_today"]
    assert (swap.rival, swap.rival_j, swap.host_j) == (article()["training"].reference, 3.0, 1.0)
    assert swap.resources == NEED
    assert outlook.swapped(rows, "curation", machines) is None
    unpriced = [dataclasses.replace(row, projected={}) for row in rows]
    assert outlook.swapped(unpriced, "training", machines) is None


def test_rows_follow_from_the_lifecycles_rows(tmp_path):
    rows, machines = life()
    ledger = Ledger(tmp_path / "records.jsonl", {}, "smoke")
    outlook.from_rows(ledger, rows, machines)
    found = {(row.experiment, row.config.get("machine")): row for row in ledger.rows}
    energy = float(pricing.price(NEED, machines["sc_mid"].fixed(), jax.random.key(3), draws=2).energy_j[0])
    needed = found["needed", "sc_mid"].metrics
    assert needed["energy_j"] == pytest.approx(energy, rel=CLOSE)
    assert needed["budget_j"] == pytest.approx(2.0)
    assert needed["needed_rate_hz"] / needed["rate_hz"] == pytest.approx(energy / 2, rel=CLOSE)
    assert needed["needed_power_w"] * (needed["energy_j"] / needed["power_w"]) == pytest.approx(2.0, rel=CLOSE)
    fields = [name.removeprefix("needed_") for name in needed if name.startswith("needed_")]
    for field in set(fields) & set(machines["sc_mid"].numbers):
        changed = machines["sc_mid"].fixed().fixed({field: needed[f"needed_{field}"]})
        assert float(pricing.price(NEED, changed, jax.random.key(0), draws=1).energy_j[0]) <= 2.0 * (1 + CLOSE)
    power = found["power", "sc_mid"].metrics
    assert power["power_ratio"] * power["time_ratio"] == pytest.approx(energy / 3.0, rel=CLOSE)
    low, high = found["tornado", "sc_mid"].trace["power_base_w"]
    base = machines["sc_mid"]["power_base_w"]
    watts = {end: power["power_w"] - base.central + getattr(base, end) for end in ("low", "high")}
    assert high / low == pytest.approx(watts["high"] / watts["low"], rel=CLOSE)
    money = found["money", "sc_mid"].metrics
    assert money["machine_usd_low"] <= money["machine_usd"] <= money["machine_usd_high"]
    assert "machine_usd" not in found["money", "sc_today"].metrics or machines["sc_today"].numbers["price_usd_per_h"]
    host_heavy = [dataclasses.replace(row, host=synthetic.measured(50.0)) if row.resources else row for row in rows]
    ledger = Ledger(tmp_path / "other.jsonl", {}, "smoke")
    outlook.from_rows(ledger, host_heavy, machines)
    refused = next(row for row in ledger.rows if row.experiment == "needed")
    assert refused.metrics["budget_j"] < 0 and "no machine is enough" in refused.note


def test_what_is_done_is_not_made_again(tmp_path):
    path = tmp_path / "records.jsonl"
    ledger = Ledger(path, {}, "smoke")
    outlook.supply(ledger, draws=200)
    before = path.read_bytes()
    again = Ledger(path, record.done(record.load(path)), "smoke")
    outlook.supply(again, draws=200)
    assert path.read_bytes() == before and [row.key for row in again.rows] == [row.key for row in ledger.rows]
    rydberg = next(row for row in again.rows if row.arm == "storage/rydberg_matter")
    assert not rydberg.metrics and not rydberg.trace and "excluded from all results" in rydberg.note
    hydrogen, lithium = (
        next(row.metrics for row in again.rows if row.arm == f"storage/{name}") for name in ("hydrogen", "lithium_ion")
    )
    assert hydrogen["j_per_j"] > lithium["j_per_j"] > 1


def test_the_law_of_a_task_and_its_break_even(tmp_path):
    """A quantum arm whose shots grow with the size, a classical one whose energy grows with its square."""
    task, facts = tasks.TASKS["curation"], article()["curation"]
    machines = {name: profiles.load()[name] for name in ("sc_mid", "annealer_mid")}
    rows = []
    for size in (100, 200, 400, 800):
        for seed in range(2):
            config = {"config": {task.field: size, "inputs": "x"}}
            energy = 1e-4 * size**2 * (1.01 if seed else 0.99)
            rows.append(synthetic.record("curation", facts.reference, seed, 0.9, energy, **config))
            changes = {"resources": dataclasses.asdict(NEED * size), "host": synthetic.measured(1e-3 * size)}
            rows.append(synthetic.record("curation", facts.swap, seed, 0.9, 1.0, **config, **changes))
    ledger = Ledger(tmp_path / "records.jsonl", {}, "smoke")
    tasks.fit(ledger, machines, outlook.SETTINGS["smoke"], "curation", rows)
    found = {(row.experiment, row.config.get("machine")): row for row in ledger.rows}
    law = found["laws", None].metrics
    assert law["slope"] == pytest.approx(2.0, rel=1e-3) and law["slope_low"] < 2 < law["slope_high"]
    metrics = found["breakeven", "sc_mid"].metrics
    assert metrics["equal_quality"] == 1 and metrics["slope"] == pytest.approx(1.0, rel=CLOSE)
    draws = outlook.SETTINGS["smoke"].draws
    bill = np.asarray(pricing.price(NEED * 100, machines["sc_mid"], jax.random.key(0)).energy_j, dtype=float)[:draws]
    closed = np.quantile((bill / 100 + 1e-3) / 1e-4, (0.05, 0.5, 0.95))
    np.testing.assert_allclose([metrics[n] for n in ("size_low", "size", "size_high")], closed, rtol=0.1)
    assert not found["breakeven", "annealer_mid"].metrics
    assert "no gates" in found["breakeven", "annealer_mid"].note


BAD_FLAGS = {
    "preset": (["--preset=huge"], "--preset=huge: must be one of: smoke, default, paper"),
    "seeds": (["--seeds=0"], "--seeds=0: must be at least 1"),
    "task": (["--task=training"], "--task=training: must be one of: curation, monitoring"),
    "profile": (["--profile=abacus"], "--profile=abacus: must be one of"),
    "meter": (["--meter=sundial"], "--meter=sundial"),
    "rows": (["--rows=/nowhere/at/all"], "--rows=/nowhere/at/all: There are no records at"),
    "unknown": (["--colour=red"], "colour"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_FLAGS.values(), ids=BAD_FLAGS.keys())
def test_bad_flag(tmp_path, arguments, message):
    command = [sys.executable, "-m", "experiments.scaling", "--preset=smoke", f"--out={tmp_path / 'out'}", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_fit_of_a_measured_law_is_kept_with_its_residuals():
    energies = [1.0, 2.1, 3.9, 8.3]
    sizes = np.array([1.0, 2.0, 3.0, 4.0])
    law = scaling.fit(sizes, energies, "exponential")
    fields = laws.law_fields(law, sizes, energies, np.ones(4, dtype=bool), sizes)
    fitted = np.exp(np.polyval(np.polyfit(sizes, np.log(energies), 1), sizes))
    np.testing.assert_allclose(fields["trace"]["curve_j"], fitted, rtol=CLOSE)
    np.testing.assert_allclose(fields["trace"]["residual"], np.log(energies / fitted), atol=CLOSE)
    assert fields["metrics"]["worst_residual"] == pytest.approx(np.abs(np.log(energies / fitted)).max())
