"""Laws and break-evens against closed forms, PennyLane and scipy; flags that fail with one sentence."""

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import context, elsewhere, laws, outlook, tasks
from experiments.ledger import Ledger
from qgen import circuits as qc
from qgen import record
from qgen.energy import carbon, pricing, profiles, scaling
from qgen.lm import transformer
from qgen.record import QUANTILE_LEVELS
from qgen.report import article
from qgen.resources import Resources
from tests.report import synthetic

ROOT = Path(__file__).parent.parent
CLOSE = 1e-4
ANGLE = 1e-5


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


def test_a_computation_that_fits_no_machine_says_how_many_qubits_it_needs(tmp_path):
    rows, machines = life()
    wide = dataclasses.asdict(NEED) | {"qubits": 9999}
    crowded = [dataclasses.replace(row, resources=wide) if row.resources else row for row in rows]
    swap = outlook.swapped(crowded, "training", machines)
    assert swap is not None and swap.medians == ()
    ledger = Ledger(tmp_path / "records.jsonl", {}, "smoke")
    outlook.from_rows(ledger, crowded, machines)
    needed = [row for row in ledger.rows if row.stage == "training"]
    assert {row.experiment for row in needed} == {"needed"}
    for row in needed:
        assert row.metrics["logical_qubits"] == row.metrics["qubits"] == 9999
        assert row.metrics["has_qubits"] == machines[row.config["machine"]]["max_qubits"].central
        wider = machines[row.config["machine"]].fixed().fixed({"max_qubits": 9999})
        bill = pricing.price(Resources(**wide), wider, jax.random.key(0), draws=1)
        assert row.metrics["energy_j"] == pytest.approx(float(bill.energy_j[0]), rel=CLOSE)


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
    budget = 1.3 * (3.0 - 1.0)  # what is measured pays for its building
    assert needed["budget_j"] == pytest.approx(budget)
    assert needed["needed_rate_hz"] / needed["rate_hz"] == pytest.approx(energy / budget, rel=CLOSE)
    assert needed["needed_power_w"] * (needed["energy_j"] / needed["power_w"]) == pytest.approx(budget, rel=CLOSE)
    fields = [name.removeprefix("needed_") for name in needed if name.startswith("needed_")]
    for field in set(fields) & set(machines["sc_mid"].numbers):
        changed = machines["sc_mid"].fixed().fixed({field: needed[f"needed_{field}"]})
        assert float(pricing.price(NEED, changed, jax.random.key(0), draws=1).energy_j[0]) <= budget * (1 + CLOSE)
    power = found["power", "sc_mid"].metrics
    assert power["power_ratio"] * power["time_ratio"] == pytest.approx(energy / (1.3 * 3.0), rel=CLOSE)
    bill = pricing.price(NEED, machines["sc_mid"], jax.random.key(3)).energy_j
    best = found["breakeven", "sc_mid"].metrics
    assert best["size"] == pytest.approx((float(np.median(bill)) / budget) ** 2, rel=0.3)
    assert best["equal_quality"] == 1 and best["reached"] == 1
    listed = found["tornado", "sc_mid"].metrics["sum_over_list"] * 20.0
    assert listed == pytest.approx(float(np.median(bill)), rel=0.1)
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
    context.supply(ledger, draws=200)
    before = path.read_bytes()
    again = Ledger(path, record.done(record.load(path)), "smoke")
    context.supply(again, draws=200)
    assert path.read_bytes() == before and [row.key for row in again.rows] == [row.key for row in ledger.rows]
    rydberg = next(row for row in again.rows if row.arm == "storage/rydberg_matter")
    assert not rydberg.metrics and not rydberg.trace and "excluded from all results" in rydberg.note
    hydrogen, lithium = (
        next(row.metrics for row in again.rows if row.arm == f"storage/{name}") for name in ("hydrogen", "lithium_ion")
    )
    assert hydrogen["j_per_j"] > lithium["j_per_j"] > 1


def test_the_law_of_a_task_and_its_break_even(tmp_path, monkeypatch):
    """A quantum arm whose shots grow with the size, a classical one whose energy grows with its square."""
    monkeypatch.setattr(carbon, "facility", lambda _, draws: jnp.full(draws, 1.25))
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
    closed = np.quantile((bill / 100 / 1.25 + 1e-3) / 1e-4, (0.05, 0.5, 0.95))
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


def trained(seed, **changes):
    """The rows of one seed from which the work of training is read."""
    space = {"depths": [1, 2], "widths": [8, 16], "heads": 2, "context": 8, "batch": 4, "steps": 3, "inputs": "x"}
    config = {"steps": 10, "batch": 4, "trial_steps": 2, "trials": [1.0, 3.0], "inputs": "x"}
    rows = {
        "encoding": ("classical/bpe", {"bits_per_byte": 2.0, "vocabulary": 11.0}, {}),
        "architecture": ("classical/random", {"bits_per_byte": 2.0, "trainings": 5.0}, space),
        "training": ("classical/adamw", {"bits_per_byte": 2.0}, config),
        "finetuning": ("classical/full", {"bits_per_byte": 2.0, "model_parameters": SIZE}, config),
        "monitoring": ("classical/ocsvm_rbf", {"auroc": 0.9}, {}),
    }
    return [
        synthetic.record(stage, arm, seed, 0.0, 3.0, metrics=metrics, config=settings)
        for stage, (arm, metrics, settings) in rows.items()
    ]


MODEL = transformer.Config(11, 8, 16, 2, 2)
SIZE = float(
    sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda: transformer.init(jax.random.key(0), MODEL))))
)


def test_classical_training_is_projected_on_other_processors(tmp_path):
    ledger = Ledger(tmp_path / "records.jsonl", {}, "smoke")
    elsewhere.of_life(ledger, [*trained(0), *trained(1)])
    found = {row.stage: row for row in ledger.rows}
    step, parameters = elsewhere.counted(MODEL, 4)
    assert parameters == SIZE
    # The best of three rates goes on: two trials of 2 steps beside the 10; fine-tuning tries two rates in full.
    assert found["training"].metrics["flops"] == pytest.approx(14 * step.flops)
    assert found["finetuning"].metrics["flops"] == pytest.approx(20 * step.flops)
    shapes = [transformer.Config(11, 8, width, depth, 2) for depth in (1, 2) for width in (8, 16)]
    mean = np.mean([elsewhere.counted(shape, 4)[0].flops for shape in shapes])
    assert found["architecture"].metrics["flops"] == pytest.approx(15 * mean)
    assert found["training"].measured["energy_j"] == 3.0
    middle = found["training"].projected["cpu_fp32_today"]["energy_j"][QUANTILE_LEVELS.index(0.5)]
    work = found["training"].metrics
    assert middle == pytest.approx(max(15e-12 * work["flops"], 600e-12 * work["bytes"]), rel=0.2)
    assert not found["monitoring"].metrics and "no projection" in found["monitoring"].note


def test_overheads_flags(tmp_path):
    command = [sys.executable, "-m", "experiments.overhead", "--repeats=0", f"--out={tmp_path / 'out'}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 2 and "--repeats=0: must be at least 1" in result.stderr
    assert not (tmp_path / "out").exists()


def test_measurements_are_exported_for_other_tools(tmp_path):
    rows, _ = life()
    for _ in range(2):  # a resumed run makes the file anew
        context.emissions(tmp_path / "emissions.csv", rows)
    read = list(csv.DictReader((tmp_path / "emissions.csv").read_text().splitlines()))
    assert len(read) == len(rows)
    kwh = 3.0 * 3 / 3.6e6  # three calls of 3 J
    assert float(read[0]["energy_consumed"]) == pytest.approx(kwh)
    assert float(read[0]["emissions"]) == pytest.approx(kwh * 1.3 * 475 / 1000)
    assert read[0]["tracking_mode"] == "modelled (MODELLED)"
