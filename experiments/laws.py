"""Measured laws of simulating a circuit, and the sizes from which a quantum machine would use less energy than that.

The circuit is the quantum head of the source article's successor (arXiv 2605.02798): its evaluation, against the
published "about 34 qubits", and its value and gradient, on every machine. The rival here is the simulator, not the best
way to solve a task: that one is in `experiments.tasks`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ledger import Ledger
from qgen import circuits as qc
from qgen.circuits import ansatz
from qgen.energy import breakeven, carbon, flops, meters, pricing, profiles, scaling, successor
from qgen.energy.breakeven import BreakEven
from qgen.energy.profiles import Profile
from qgen.energy.scaling import Law
from qgen.report.draws import FACILITY
from qgen.resources import Resources
from qgen.types import Array

SIMULATOR = "classical/statevector"
HEAD = "quantum/head"
FLOOR = 3.0
"""Sizes whose energy is not so many times the smallest one's are dispatch, not simulation, and stay out of the law."""
FEWEST = 4
"""Measurements that a law keeps in any case."""
PRICED = (4, 8, 12, 16, 22, 28, 34, 40, 46, 52, 58, 64)
"""Qubits at which machines are priced; they bound the search."""
PROCESSORS = ("cpu_fp32_today", "gpu_bf16_today")
"""Other hardware on which the simulation is priced by its memory traffic."""
CLAIMANT = "ion_today"
"""The kind of machine that the successor measured."""
CURVE = 60
"""Sizes at which curves are kept for figures."""


class Settings(NamedTuple):
    """How much is measured and drawn.

    Attributes:
        sizes: qubits that are simulated.
        min_time_s: least length of a measuring window.
        draws: draws of all ranges.
    """

    sizes: tuple[int, ...]
    min_time_s: float
    draws: int


def head(qubits: int) -> qc.Circuit:
    """The successor's head: re-uploading blocks of RY and, in each, rings of CNOT followed by RY."""
    ring = qc.Circuit(qubits, tuple(qc.gate("cx", pair) for pair in ansatz.ring(qubits)))
    rotations = ansatz.rotations(qubits, ("ry",))
    body = rotations
    for _ in range(successor.RINGS):
        body = body + ring + rotations
    return qc.repeat(body, successor.BLOCKS)


def gradient_resources(qubits: int) -> Resources:
    """Value and gradient of the head by parameter shift: two circuits per angle, data and weights alike."""
    circuit = head(qubits)
    return qc.count(circuit, shots=successor.SHOTS, circuits=2 * circuit.n_params + 1)


def circuit(ledger: Ledger, meter: meters.Meter, machines: Mapping[str, Profile], settings: Settings) -> None:
    """Measures both laws and finds every machine's break-even against them."""
    evaluation = _circuit_law(ledger, meter, settings, "evaluation", qc.expectation)
    _successor_rows(ledger, machines, evaluation)
    gradient = _circuit_law(ledger, meter, settings, "gradient", jax.value_and_grad(qc.expectation, argnums=1))
    _gradient_rows(ledger, machines, gradient, settings)


def _circuit_law(ledger: Ledger, meter: meters.Meter, settings: Settings, task: str, fn: Callable[..., Any]) -> Law:
    energies = []
    for qubits in settings.sizes:

        def make(qubits: int = qubits) -> dict[str, Any]:
            made = head(qubits)
            observable = qc.z(0)
            params = jax.random.uniform(jax.random.key(qubits), (made.n_params,), maxval=2 * np.pi)
            jitted = jax.jit(lambda params: fn(made, params, observable))
            seen = meters.measure(meter, lambda: jitted(params), min_time_s=settings.min_time_s, warm_up=True)
            return {"measured": seen.fields(), "resources": {"qubits": qubits}}

        config = {"task": task, "size": qubits, "size_name": "qubits", "blocks": successor.BLOCKS}
        energies.append(ledger.row("scaling", "circuit", SIMULATOR, config, make).measured["energy_j"])
    sizes = np.array(settings.sizes, dtype=float)
    kept = beyond_floor(energies)
    law = scaling.fit(sizes[kept], np.array(energies)[kept], "exponential")
    config = {"task": task, "sizes": list(settings.sizes), "size_name": "qubits", "energies_j": energies}
    places = np.linspace(sizes[0], PRICED[-1], CURVE)
    ledger.row("laws", "circuit", SIMULATOR, config, lambda: law_fields(law, sizes, energies, kept, places))
    return law


def beyond_floor(energies_j: Sequence[float]) -> np.ndarray:
    """Which measurements, in rising order of size, belong to a law: those above the floor, at least the last FEWEST."""
    values = np.asarray(energies_j)
    kept = values >= FLOOR * values.min()
    kept[-min(FEWEST, values.size) :] = True
    return kept


def law_fields(
    law: Law, sizes: np.ndarray, energies_j: Sequence[float], kept: np.ndarray, places: np.ndarray
) -> dict[str, Any]:
    """A fitted law as fields of a Record: slope with its 90 % interval, residuals, and its curve with its interval."""
    low, high = law.interval()
    middle, least, most = scaling.predict(law, places)
    return {
        "metrics": {
            "exponential": float(law.kind == "exponential"),
            "offset": law.offset,
            "slope": law.slope,
            "slope_low": low,
            "slope_high": high,
            "residual_sd": float(np.sqrt(law.variance)),
            "worst_residual": float(np.abs(law.residuals).max()),
            "freedom": law.freedom,
            "from_size": float(sizes[kept].min()),
            "to_size": float(sizes[kept].max()),
        },
        "trace": {
            "size": sizes.tolist(),
            "energy_j": [float(energy) for energy in energies_j],
            "fitted": kept.astype(float).tolist(),
            "residual": law.residuals.tolist(),
            "curve_size": places.tolist(),
            "curve_j": middle.tolist(),
            "curve_low_j": least.tolist(),
            "curve_high_j": most.tolist(),
        },
    }


def _successor_rows(ledger: Ledger, machines: Mapping[str, Profile], law: Law) -> None:
    """The published 34 qubits by the documented calculation, against our simulator and against other hardware."""
    machine = machines.get(CLAIMANT) or profiles.load()[CLAIMANT]
    rivals: dict[str, Any] = {SIMULATOR: law}
    rivals |= {f"projected/{name}": flops.load()[name]["j_per_byte"] for name in PROCESSORS}
    for name, rival in rivals.items():

        def make(rival: Any = rival) -> dict[str, Any]:
            found = successor.break_even(jax.random.key(0), machine, rival)
            bills = [
                pricing.price(successor.head(n), successor.machine(machine), jax.random.key(0)) for n in successor.SIZES
            ]
            curve = np.array([pricing.summary(bill.energy_j) for bill in bills])
            return found_fields(found, successor.SIZES[0], successor.SIZES[-1]) | {
                "trace": curve_fields(np.array(successor.SIZES, dtype=float), curve),
                "note": "The documented calculation of arXiv 2605.02798's claim: one chain of ions, gates one by one; "
                f"its energy lies within {successor.linearity(machine):.0%} of a line in the qubits.",
            }

        config = {
            **{"task": "evaluation", "machine": CLAIMANT, "rival": name, "size_name": "qubits"},
            **{"claim": float(successor.CLAIM_QUBITS), "law": _numbers(rival)},
            **priced_with(machine),
        }
        ledger.row("breakeven", "circuit", HEAD, config, make)


def priced_with(machine: Profile) -> dict[str, Any]:
    """What a priced row was made with: rows of other numbers are made again."""
    return {"profile": machine.fingerprint, "facility": list(FACILITY)}


def _numbers(rival: Any) -> list[float]:
    return [rival.offset, rival.slope] if isinstance(rival, Law) else [rival.low, rival.central, rival.high]


def _gradient_rows(ledger: Ledger, machines: Mapping[str, Profile], law: Law, settings: Settings) -> None:
    """Every machine's break-even against simulating value and gradient, found for all machines at once."""
    configs = {
        name: {
            **{"task": "gradient", "machine": name, "rival": SIMULATOR, "size_name": "qubits", "law": _numbers(law)},
            **priced_with(machine),
        }
        for name, machine in machines.items()
    }
    curves: dict[str, Array] = {}
    reasons: dict[str, str] = {}
    found: dict[str, BreakEven] = {}
    if not all(ledger.has("breakeven", "circuit", HEAD, config) for config in configs.values()):
        needs = {n: gradient_resources(n) for n in PRICED}
        for name, machine in machines.items():
            wide, priced = breakeven.room(machine, PRICED[-1]), []
            for n in PRICED:
                try:
                    bill = pricing.price(needs[n], wide, jax.random.key(0))
                    priced.append(bill.energy_j[: settings.draws])
                except pricing.CannotRun as error:
                    reasons[name] = str(error)
                    break
            if len(priced) >= 2:
                curves[name] = jnp.log(jnp.stack(priced, axis=1))
        building = carbon.facility(jax.random.key(2), settings.draws)
        found = breakeven.of_curves(jax.random.key(1), curves, PRICED, law, building)
    for name, config in configs.items():

        def make(name: str = name) -> dict[str, Any]:
            if name not in curves:
                return {"note": reasons[name]}
            energy = np.exp(np.asarray(curves[name], dtype=float))
            last = energy.shape[1]
            summaries = np.array([pricing.summary(energy[:, k]) for k in range(last)])
            note = f"Beyond {PRICED[last - 1]} qubits: {reasons[name]}" if name in reasons else ""
            return found_fields(found[name], PRICED[0], PRICED[last - 1]) | {
                "trace": curve_fields(np.array(PRICED[:last], dtype=float), summaries),
                "note": note,
            }

        ledger.row("breakeven", "circuit", HEAD, config, make)


def found_fields(found: BreakEven, low: float, high: float) -> dict[str, Any]:
    """A break-even as fields of a Record; an end of the interval that lies beyond the search is left out."""
    ends = dict(zip(("size", "size_low", "size_high"), found.interval(), strict=True))
    metrics = {name: value for name, value in ends.items() if np.isfinite(value)}
    return {"metrics": metrics | {"reached": found.reached, "searched_low": float(low), "searched_high": float(high)}}


def curve_fields(sizes: np.ndarray, summaries: np.ndarray) -> dict[str, list[float]]:
    """A machine's median energy with its interval at some sizes, as a trace."""
    columns = {"curve_j": summaries[:, 0], "curve_low_j": summaries[:, 1], "curve_high_j": summaries[:, 2]}
    return {"curve_size": sizes.tolist(), **{name: column.tolist() for name, column in columns.items()}}
