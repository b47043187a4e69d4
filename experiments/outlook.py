"""Break-evens, tornados, inverse problem, money: what the lifecycle's rows say beyond their own sizes and machines.

No flags of its own: `outlook` is called by the scripts `lifecycle` and `scaling`, with rows and machines. Every number
goes through a record of an experiment of its own: laws, breakeven, tornado, needed, power, money, processors, scenario.

A record holds an arm's circuits as one sum, so what is priced here is that sum, once: circuits of several widths are
priced as if all had the widest one's and the mean number of faults. The tornado's rows hold how far that is from the
price of the list of circuits, which the records' own projected columns hold.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import context, elsewhere, laws
from experiments.laws import Settings
from experiments.ledger import Ledger
from qgen import record, report
from qgen.energy import breakeven, carbon, inverse, meters, pricing
from qgen.energy.profiles import Profile
from qgen.record import Record
from qgen.report import compare, select
from qgen.report.draws import FACILITY
from qgen.report.select import Runs, StageFacts
from qgen.resources import COUNTS, Resources
from qgen.stages import STAGES

MEDIAN = record.QUANTILE_LEVELS.index(0.5)
DECIDING = (
    "program_s",
    "delay_s",
    "reset_s",
    "measure_s",
    "gate_2q_s",
    "power_base_w",
    "power_qubit_w",
    "error_2q",
    "error_rate",
)
"""The numbers of a machine that the inverse problem is solved for, where the machine has them."""
LARGEST = 1e30
"""A break-even beyond so many times a problem's size is none."""
SPAN = (1e-9, 1e3)
"""How far from its central value each of them is searched."""
CLUSTER_W = 1e6
"""The claim compares a machine of tens of kW with AI clusters of MW: this is one of them."""
BLOOM_T = {"dynamic_t": 24.7, "idle_t": 14.6, "embodied_t": 11.2}
"""Tonnes of CO2 of one language model (Luccioni et al., arXiv 2211.02001): while computing, while idle, and of making
the hardware. The first and the sum of 50.5 are in its abstract (grade B); the second was read in a secondary page, and
the third is what they leave (grade C)."""
_, PUE, _ = FACILITY
"""What a data centre draws per joule of its servers: a machine's watts contain its cooling, a meter's joules do not."""
SETTINGS = {
    "smoke": Settings(sizes=(12, 14, 16, 18), min_time_s=0.02, draws=1000),
    "default": Settings(sizes=(6, 12, 14, 15, 16, 17, 18, 20), min_time_s=0.2, draws=4000),
    "paper": Settings(sizes=(4, 8, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22), min_time_s=1.0, draws=10_000),
}


class Swap(NamedTuple):
    """A stage's quantum arm as the lifecycle's rows know it, next to its best classical rival; means over seeds.

    Attributes:
        stage: the stage's name.
        arm: the arm.
        resources: what a quantum machine must do.
        host_j: measured energy of the part that stays classical.
        machines: the best machine of each date, least energy first, of those that can run it; where none can, of those
            that could with more qubits.
        medians: the median energy of the list of circuits on each of them, as the rows have it; empty where none can.
        rival: the best classical arm; empty where every classical arm failed.
        rival_j: its measured energy.
        rival_s: its time.
        quality: whether the arm is of equal quality, and its mean score less the rival's; empty without a rival.
        inputs: stands for the numbers above.
    """

    stage: str
    arm: str
    resources: Resources
    host_j: float
    machines: tuple[Profile, ...]
    medians: tuple[float, ...]
    rival: str
    rival_j: float
    rival_s: float
    quality: Mapping[str, float]
    inputs: dict[str, Any]


def outlook(
    rows: Sequence[Record],
    machines: Mapping[str, Profile],
    out: Path,
    meter: meters.Meter,
    preset: str,
    done: dict[tuple, Record],
) -> list[Record]:
    """Computes what follows from the lifecycle's rows and from a small measured law of simulating circuits.

    Args:
        rows: the lifecycle's rows; those of other experiments are passed over.
        machines: profile name -> machine.
        out: the folder whose `records.jsonl` receives the rows; `emissions.csv` is made beside it.
        meter: the joule counter.
        preset: smoke, default or paper.
        done: key -> row that is there already; new rows are added.

    Returns:
        The new rows and those that were there, for `report.lifecycle`.
    """
    ledger = Ledger(out / "records.jsonl", done, preset)
    laws.circuit(ledger, meter, machines, SETTINGS[preset])
    from_rows(ledger, rows, machines)
    elsewhere.of_life(ledger, rows)
    context.published(ledger)
    context.supply(ledger)
    context.emissions(out / "emissions.csv", [row for row in rows if row.experiment == "lifecycle"])
    return ledger.rows


def from_rows(ledger: Ledger, rows: Sequence[Record], machines: Mapping[str, Profile]) -> None:
    """Break-even at best, tornado, inverse problem, power and money of every stage's quantum arm."""
    found = [swap for name in STAGES if (swap := swapped(rows, name, machines))]
    for swap in found:
        for machine in swap.machines:
            if swap.rival:
                _needed(ledger, swap, machine)
        if not swap.medians:
            continue
        _tornado(ledger, swap)
        for machine in swap.machines:
            _money(ledger, swap, machine)
            if swap.rival:
                _at_best(ledger, swap, machine)
                _power(ledger, swap, machine)
        shown = {machine.name for machine in swap.machines}
        for machine in machines.values():
            if "price_usd_per_h" in machine.numbers and machine.name not in shown:
                _money(ledger, swap, machine)
    total = sum(BLOOM_T.values())
    ledger.row(
        *("embodied", "lifecycle", "published/bloom", {}),
        lambda: {
            "metrics": BLOOM_T | {"total_t": total, "embodied_share": BLOOM_T["embodied_t"] / total},
            "note": "arXiv 2211.02001, the split read in a secondary page, grade C; no maker of a quantum machine has "
            "published its embodied carbon.",
        },
    )


def swapped(rows: Sequence[Record], stage: str, machines: Mapping[str, Profile]) -> Swap | None:
    """The stage's quantum arm in the reference life; None where it has no row that ended well, or nothing prices it."""
    own = [row for row in rows if row.experiment == "lifecycle" and row.stage == stage]
    arms = select.arms(own, stage)
    name = STAGES[stage].swap
    if name not in arms or not arms[name].ok:
        return None
    good = list(arms[name].ok.values())
    counts = {field: float(np.mean([row.resources[field] for row in good])) for field in COUNTS}
    resources = Resources(qubits=int(max(row.resources["qubits"] for row in good)), **counts)
    medians: dict[str, float] = {}
    for machine in machines:
        values = [row.projected[machine]["energy_j"] for row in good if "energy_j" in row.projected.get(machine, {})]
        if len(values) == len(good) and _runs(resources, machines[machine]):
            medians[machine] = float(np.mean([value[MEDIAN] for value in values]))
    asked = {name: m for name, m in machines.items() if all(name in row.projected for row in good)}
    energies = medians or _with_room(resources, asked)
    best: dict[str, str] = {}
    for machine in sorted(energies, key=energies.__getitem__):
        best.setdefault(machines[machine].date, machine)
    facts = report.article()[stage]
    rival = compare.best_classical(arms, facts)
    rival_rows = list(rival.ok.values()) if rival else []
    rival_j = float(np.mean([row.measured["energy_j"] for row in rival_rows])) if rival_rows else 0.0
    host_j = float(np.mean([row.host["energy_j"] if row.host else 0.0 for row in good]))
    if not best:
        return None
    return Swap(
        stage,
        name,
        resources,
        host_j,
        tuple(machines[machine] for machine in best.values()),
        tuple(medians[machine] for machine in best.values()) if medians else (),
        rival.any.arm if rival else "",
        rival_j,
        float(np.mean([row.measured["time_s"] for row in rival_rows])) if rival_rows else 0.0,
        _quality(arms[name], rival, facts) if rival else {},
        {"resources": dataclasses.asdict(resources), "rival_j": rival_j, "host_j": host_j},
    )


def _quality(runs: Runs, rival: Runs, facts: StageFacts) -> dict[str, float]:
    gap = np.mean([row.metrics[facts.quality.name] for row in runs.ok.values()]) - np.mean(
        [row.metrics[facts.quality.name] for row in rival.ok.values()]
    )
    return {"equal_quality": float(compare.is_equal(runs, rival, facts)), "quality_gap": float(gap)}


def _with_room(resources: Resources, machines: Mapping[str, Profile]) -> dict[str, float]:
    """Central energy on the machines that lack nothing but qubits."""
    found: dict[str, float] = {}
    for name, machine in machines.items():
        wide = breakeven.room(machine, resources.qubits)
        if _runs(resources, wide):
            found[name] = float(pricing.price(resources, wide.fixed(), jax.random.key(0), draws=1).energy_j[0])
    return found


def _runs(resources: Resources, machine: Profile) -> bool:
    """Whether the machine runs the mean over seeds of all circuits together, which is what is priced here."""
    try:
        pricing.price(resources, machine, jax.random.key(0))
    except pricing.CannotRun:
        return False
    return True


def _tornado(ledger: Ledger, swap: Swap) -> None:
    machine = swap.machines[0]

    def make() -> dict[str, Any]:
        central = pricing.price(swap.resources, machine.fixed(), jax.random.key(0), draws=1)
        ends = pricing.tornado(swap.resources, machine)
        median, _, _ = pricing.summary(pricing.price(swap.resources, machine, jax.random.key(0)).energy_j)
        return {
            "metrics": {"central_j": float(central.energy_j[0]), "sum_over_list": median / swap.medians[0]},
            "trace": {name: [low, high] for name, low, high in ends},
        }

    config = {"machine": machine.name, "inputs": swap.inputs, **laws.priced_with(machine)}
    ledger.row("tornado", swap.stage, swap.arm, config, make)


def _at_best(ledger: Ledger, swap: Swap, machine: Profile) -> None:
    """The break-even against the best classical arm, were the machine to have a quadratic speed-up in everything."""

    def make() -> dict[str, Any]:
        price_key, building_key = jax.random.split(jax.random.key(0))
        quantum_j = pricing.price(swap.resources, machine, price_key).energy_j
        building = carbon.facility(building_key, pricing.DRAWS)
        found = breakeven.at_best(jnp.asarray(quantum_j), building * swap.host_j, building * swap.rival_j)
        fields = laws.found_fields(found, 0.0, LARGEST)
        middle, low, high = pricing.summary(quantum_j)
        fields["metrics"] |= {
            **swap.quality,
            **{"rival_j": PUE * swap.rival_j, "host_j": PUE * swap.host_j},
            **{"energy_j": middle, "energy_j_low": low, "energy_j_high": high},
        }
        return fields | {"trace": {"curve_j": [middle]}}

    config = {"task": "at_best", "machine": machine.name, "rival": swap.rival, "size_name": "times this size"}
    config |= {"inputs": swap.inputs, **laws.priced_with(machine)}
    ledger.row("breakeven", swap.stage, swap.arm, config, make)


def _needed(ledger: Ledger, swap: Swap, machine: Profile) -> None:
    """The inverse problem: how much less energy, and which single number, or which rate or power, would do."""
    wide = machine if swap.medians else breakeven.room(machine, swap.resources.qubits)

    def make() -> dict[str, Any]:
        energy_j, time_s, power_w, qubits = _central(swap, wide)
        executions = swap.resources.shots + swap.resources.anneals
        budget_j = PUE * (swap.rival_j - swap.host_j)
        metrics = {"energy_j": energy_j, "budget_j": budget_j, "rate_hz": executions / time_s, "power_w": power_w}
        metrics |= {"logical_qubits": float(swap.resources.qubits), "qubits": qubits}
        metrics |= {"has_qubits": machine["max_qubits"].central}
        if budget_j <= 0:
            return {
                "metrics": metrics,
                "note": "The part that stays classical uses more than the best classical arm: no machine is enough.",
            }
        factor = energy_j / budget_j
        metrics |= {
            "factor": factor,
            "needed_rate_hz": executions / time_s * factor,
            "needed_power_w": power_w / factor,
        }
        reasons = []
        for field in DECIDING:
            if field not in inverse.solvable(wide) or wide[field].central <= 0:
                continue
            today = wide[field].central
            found = inverse.needed(swap.resources, wide, field, budget_j, best=SPAN[0] * today, worst=SPAN[1] * today)
            metrics[f"today_{field}"] = today
            if np.isfinite(found.value):
                metrics[f"needed_{field}"] = found.value
            reasons.append(found.reason)
        return {"metrics": metrics, "note": " ".join(reasons)}

    config = {"machine": machine.name, "rival": swap.rival, "inputs": swap.inputs, **laws.priced_with(machine)}
    ledger.row("needed", swap.stage, swap.arm, config, make)


def _power(ledger: Ledger, swap: Swap, machine: Profile) -> None:
    """Power times time: whether fewer watts than a cluster's mean less energy depends on how long the machine runs."""

    def make() -> dict[str, Any]:
        _, time_s, power_w, _ = _central(swap, machine)
        classical_w = PUE * swap.rival_j / swap.rival_s
        return {
            "metrics": {
                "power_w": power_w,
                "time_s": time_s,
                "classical_power_w": classical_w,
                "classical_time_s": swap.rival_s,
                "power_ratio": power_w / classical_w,
                "time_ratio": time_s / swap.rival_s,
                "cluster_w": CLUSTER_W,
                "cluster_time_ratio": CLUSTER_W / power_w,
            }
        }

    config = {"machine": machine.name, "rival": swap.rival, "inputs": swap.inputs, **laws.priced_with(machine)}
    ledger.row("power", swap.stage, swap.arm, config, make)


def _money(ledger: Ledger, swap: Swap, machine: Profile) -> None:
    """Electricity of both sides, and the machine's hours where its price is published."""

    def make() -> dict[str, Any]:
        power_key, draw_key, rival_key = jax.random.split(jax.random.key(0), 3)
        try:
            bill = pricing.price(swap.resources, machine, draw_key)
        except pricing.CannotRun as error:
            return {"note": str(error)}
        # The host part and the rival are servers, whose building adds its PUE; the machine's watts contain its cooling.
        region = carbon.load_grid()["world"]
        host_g, host_j = carbon.grams(rival_key, np.full(pricing.DRAWS, swap.host_j), region, building=True)
        own_g, own_j = carbon.grams(rival_key, bill.energy_j, region, building=False)
        rival_g, rival_j = carbon.grams(rival_key, np.full(pricing.DRAWS, swap.rival_j), region, building=True)
        amounts = {
            "electricity_usd": carbon.electricity_usd(power_key, own_j + host_j),
            "classical_electricity_usd": carbon.electricity_usd(power_key, rival_j),
            "co2_g": own_g + host_g,
            "classical_co2_g": rival_g,
            "time_s": bill.time_s,
        }
        if "price_usd_per_h" in machine.numbers:
            amounts["machine_usd"] = pricing.cost_usd(bill, machine)
        metrics = {}
        for name, draws in amounts.items():
            middle, low, high = pricing.summary(draws)
            metrics |= {name: middle, f"{name}_low": low, f"{name}_high": high}
        return {"metrics": metrics}

    config = {"machine": machine.name, "rival": swap.rival, "inputs": swap.inputs, **laws.priced_with(machine)}
    ledger.row("money", swap.stage, swap.arm, config, make)


def _central(swap: Swap, machine: Profile) -> tuple[float, float, float, float]:
    """Energy, time, power and physical qubits of the machine at its central numbers."""
    bill = pricing.price(swap.resources, machine.fixed(), jax.random.key(0), draws=1)
    energy_j, time_s = float(bill.energy_j[0]), float(bill.time_s[0])
    return energy_j, time_s, energy_j / time_s, float(bill.figures["physical_qubits"][0])
