"""Break-evens, tornados, inverse problem, money: what the lifecycle's rows say beyond their own sizes and machines.

No flags of its own: `outlook` is called by the scripts `lifecycle` and `scaling`, with rows and machines. Every number
goes through a record of an experiment of its own: laws, breakeven, tornado, needed, power, money, scenario.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import laws
from experiments.laws import Settings
from experiments.ledger import Ledger
from qgen import record, report
from qgen.energy import breakeven, carbon, meters, pricing, scenario
from qgen.energy.profiles import Profile
from qgen.record import Record
from qgen.report import compare, select
from qgen.resources import COUNTS, Resources
from qgen.stages import STAGES

MEDIAN = record.QUANTILE_LEVELS.index(0.5)
DECIDING = ("delay_s", "reset_s", "measure_s", "gate_2q_s", "power_base_w", "power_qubit_w", "error_2q", "error_rate")
"""The numbers of a machine that the inverse problem is solved for, where the machine has them."""
SPAN = (1e-9, 1e3)
"""How far from its central value each of them is searched."""
CLUSTER_W = 1e6
"""The claim compares a machine of tens of kW with AI clusters of MW: this is one of them."""
BLOOM_T = {"dynamic_t": 24.69, "idle_t": 14.6, "embodied_t": 11.2}
"""Published for one language model (Luccioni et al., arXiv 2211.02001): tonnes of CO2, of the hardware in the last."""
YEARS = (2025, 2030, 2035, 2040, 2045)
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
        machines: the best machine of each date, least energy first, of those that can run it.
        rival: the best classical arm; empty where every classical arm failed.
        rival_j: its measured energy.
        rival_s: its time.
        inputs: stands for the numbers above.
    """

    stage: str
    arm: str
    resources: Resources
    host_j: float
    machines: tuple[Profile, ...]
    rival: str
    rival_j: float
    rival_s: float
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
        out: the folder whose `records.jsonl` receives the rows.
        meter: the joule counter.
        preset: smoke, default or paper.
        done: key -> row that is there already; new rows are added.

    Returns:
        The new rows and those that were there, for `report.lifecycle`.
    """
    ledger = Ledger(out / "records.jsonl", done, preset)
    laws.circuit(ledger, meter, machines, SETTINGS[preset])
    from_rows(ledger, rows, machines)
    supply(ledger)
    return ledger.rows


def from_rows(ledger: Ledger, rows: Sequence[Record], machines: Mapping[str, Profile]) -> None:
    """Tornado, inverse problem, power and money of every stage's quantum arm."""
    found = [swap for name in STAGES if (swap := swapped(rows, name, machines))]
    for swap in found:
        _tornado(ledger, swap)
        for machine in swap.machines:
            _money(ledger, swap, machine)
            if swap.rival:
                _needed(ledger, swap, machine)
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
            "note": "arXiv 2211.02001; no maker of a quantum machine has published its embodied carbon.",
        },
    )


def swapped(rows: Sequence[Record], stage: str, machines: Mapping[str, Profile]) -> Swap | None:
    """The stage's quantum arm in the reference life; None where it has no row that ended well or no machine runs it."""
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
    best: dict[str, str] = {}
    for machine in sorted(medians, key=medians.__getitem__):
        best.setdefault(machines[machine].date, machine)
    rival = compare.best_classical(arms, report.article()[stage])
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
        rival.any.arm if rival else "",
        rival_j,
        float(np.mean([row.measured["time_s"] for row in rival_rows])) if rival_rows else 0.0,
        {"resources": dataclasses.asdict(resources), "rival_j": rival_j, "host_j": host_j},
    )


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
        return {
            "metrics": {"central_j": float(central.energy_j[0])},
            "trace": {name: [low, high] for name, low, high in ends},
        }

    ledger.row("tornado", swap.stage, swap.arm, {"machine": machine.name, "inputs": swap.inputs}, make)


def _needed(ledger: Ledger, swap: Swap, machine: Profile) -> None:
    """The inverse problem: how much less energy, and which single number, or which rate or power, would do."""

    def make() -> dict[str, Any]:
        energy_j, time_s, power_w = _central(swap, machine)
        executions = swap.resources.shots + swap.resources.anneals
        budget_j = swap.rival_j - swap.host_j
        metrics = {"energy_j": energy_j, "budget_j": budget_j, "rate_hz": executions / time_s, "power_w": power_w}
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
            if field not in breakeven.solvable(machine) or machine[field].central <= 0:
                continue
            today = machine[field].central
            found = breakeven.needed(
                swap.resources, machine, field, budget_j, best=SPAN[0] * today, worst=SPAN[1] * today
            )
            metrics[f"today_{field}"] = today
            if np.isfinite(found.value):
                metrics[f"needed_{field}"] = found.value
            reasons.append(found.reason)
        return {"metrics": metrics, "note": " ".join(reasons)}

    config = {"machine": machine.name, "rival": swap.rival, "inputs": swap.inputs}
    ledger.row("needed", swap.stage, swap.arm, config, make)


def _power(ledger: Ledger, swap: Swap, machine: Profile) -> None:
    """Power times time: whether fewer watts than a cluster's mean less energy depends on how long the machine runs."""

    def make() -> dict[str, Any]:
        _, time_s, power_w = _central(swap, machine)
        classical_w = swap.rival_j / swap.rival_s
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

    config = {"machine": machine.name, "rival": swap.rival, "inputs": swap.inputs}
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

    config = {"machine": machine.name, "rival": swap.rival, "inputs": swap.inputs}
    ledger.row("money", swap.stage, swap.arm, config, make)


def _central(swap: Swap, machine: Profile) -> tuple[float, float, float]:
    """Energy, time and power of the machine at its central numbers."""
    bill = pricing.price(swap.resources, machine.fixed(), jax.random.key(0), draws=1)
    energy_j, time_s = float(bill.energy_j[0]), float(bill.time_s[0])
    return energy_j, time_s, energy_j / time_s


def supply(ledger: Ledger, draws: int = 4000) -> None:
    """The scenario of energy supply: a row per region, and one per storage technology with its evidence."""
    paths = scenario.load()
    world = next(iter(paths.intensity))
    lead = next(iter(paths.storage.values()))

    def region_row(region: str) -> dict[str, Any]:
        found = [scenario.supply(jax.random.key(0), paths, region, year, lead, draws=draws) for year in YEARS]
        grams = np.array([pricing.summary(g) for _, g in found])
        joules = np.array([pricing.summary(j) for j, _ in found])
        return {
            "trace": {
                "year": list(YEARS),
                **{f"g_per_kwh{end}": grams[:, k].tolist() for k, end in enumerate(("", "_low", "_high"))},
                **{f"j_per_j{end}": joules[:, k].tolist() for k, end in enumerate(("", "_low", "_high"))},
            },
            "note": f"Grid, PUE and {lead.name} storage; 2025 is published data, later years are our paths, grade D.",
        }

    def storage_row(storage: scenario.Storage) -> dict[str, Any]:
        joules, grams = scenario.supply(jax.random.key(0), paths, world, YEARS[-1], storage, draws=draws)
        metrics = {"round_trip": storage.round_trip.central}
        metrics |= {"round_trip_low": storage.round_trip.low, "round_trip_high": storage.round_trip.high}
        for name, values in (("j_per_j", joules), ("g_per_kwh", grams)):
            middle, low, high = pricing.summary(values)
            metrics |= {name: middle, f"{name}_low": low, f"{name}_high": high}
        return {"metrics": metrics, "note": f"{storage.evidence}, grade {storage.round_trip.grade}"}

    for region in paths.intensity:
        ledger.row("scenario", "supply", f"region/{region}", {"storage": lead.name}, lambda r=region: region_row(r))
    for name, storage in paths.storage.items():
        config = {"region": world, "year": YEARS[-1]}
        ledger.row("scenario", "supply", f"storage/{name}", config, lambda s=storage: storage_row(s))
    for name, claim in paths.unproven.items():
        note = f"no reproducible evidence, grade D: {claim.source}; excluded from all results"
        ledger.row("scenario", "supply", f"storage/{name}", {}, lambda n=note: {"note": n})
