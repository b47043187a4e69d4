"""Prices: from Resources to joules and seconds on a quantum machine, with the uncertainty of its profile.

E = (P_base * units + qubits * p_qubit) * [programming + circuits * shots * (reset + layers + transport + read-out +
delay + reload) + calibration], after the component model of arXiv 2605.15090. The machine's cooling and air
conditioning are inside its watts, so no PUE is applied. A price is a function of counts only: there is no argument
through which the seconds of a simulator could come in.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from qgen import check
from qgen.energy import faulttolerant, ranges
from qgen.energy.profiles import REQUIRED, Profile
from qgen.resources import COUNTS, Resources
from qgen.types import Array, Float, Key

DRAWS = 10_000
FEW = 128
"""Columns of the program that prices a tornado's cases or the central numbers: one program for both."""
MITIGATION_CAP = 1e6
"""A machine that needs more repetitions than this to cancel its errors (or photon losses) cannot run a circuit; single
draws are held at the cap's square, so that an absurd corner of the ranges stays a finite number."""
NEUTRAL = {
    "unit_qubits": 1e30,
    "copies_share": 0.0,
    "power_qubit2_w": 0.0,
    "parallel_2q": 1e30,
    "move_s": 0.0,
    "move_share": 0.0,
    "reload_s": 0.0,
    "photon_rate_hz": 1e30,
    "transmission": 1.0,
    "gate_success": 1.0,
    "price_usd_per_h": 0.0,
}
"""What an absent optional number counts as: a machine of one unit, gates side by side, nothing moved, nothing lost."""


class CannotRun(ValueError):
    """A machine that cannot run a computation; the message is one sentence that says why."""


class Bill(NamedTuple):
    """What a computation costs on a machine; numpy arrays over draws.

    Attributes:
        energy_j: energy while the machine works on it (marginal: the machine's waiting is not charged).
        time_s: machine time.
        amortised_energy_j: with the waiting share: energy / productive_share.
        parts: part -> energy; they add up to `energy_j`.
        values: field of the profile -> the value that was drawn.
        figures: what else is worth seeing: error-mitigation multiplier, physical qubits, code distance and their like.
    """

    energy_j: Float[np.ndarray, "draws"]
    time_s: Float[np.ndarray, "draws"]
    amortised_energy_j: Float[np.ndarray, "draws"]
    parts: dict[str, Float[np.ndarray, "draws"]]
    values: dict[str, Float[np.ndarray, "draws"]]
    figures: dict[str, Float[np.ndarray, "draws"]]


def price(resources: Resources | Sequence[Resources], profile: Profile, key: Key, draws: int = DRAWS) -> Bill:
    """Prices a computation with every number of the profile drawn from its range.

    Args:
        resources: what is computed, counted for qubits that can all meet (routing is priced here); several are run one
            after the other on the same machine.
        profile: the machine.
        key: random key.
        draws: draws of the ranges.

    Returns:
        A Bill of arrays [draws].

    Raises:
        CannotRun: if the machine is too small, too noisy or of the wrong kind.
        ValueError: if a count cannot be priced (gates without layers, layers without shots), or for no resources.
    """
    check.at_least("draws", draws, 1)
    items = [resources] if isinstance(resources, Resources) else list(resources)
    if not items:
        raise ValueError("Argument `resources` must hold at least one Resources, but is empty.")
    for item in items:
        _refuse(item, profile)
    names, table = _table(profile)
    # One item at a time: the program is compiled once per kind of machine, however many items there are.
    drawn = np.asarray(_draw(key, table, draws))
    runs = [_bill(drawn, _counts(item), names, profile.kind, profile.connectivity) for item in items]
    for run in runs:
        _refuse_figures({name: float(figure[0]) for name, figure in run.figures.items()}, profile)
    bill = jax.tree.map(lambda array: array[1:], _in_turn(runs))
    if not np.isfinite(bill.energy_j).all():
        share = float(np.mean(~np.isfinite(bill.energy_j)))
        raise CannotRun(f"{profile.name}: in {share:.0%} of the draws the error rate is too high for any T factory.")
    return bill._replace(values={name: bill.values[name] for name in profile.numbers})


def _in_turn(runs: Sequence[Bill]) -> Bill:
    """The bill of one computation after the other."""
    if len(runs) == 1:
        return runs[0]
    sums = jax.tree.map(lambda *arrays: sum(arrays), *runs)
    figures = {name: np.max([run.figures[name] for run in runs], axis=0) for name in runs[0].figures}
    return sums._replace(values=runs[0].values, figures=figures)


def _table(profile: Profile) -> tuple[tuple[str, ...], np.ndarray]:
    """The numbers of a profile with the neutral ones filled in: one shape, so one compilation, for each kind."""
    names = tuple(dict.fromkeys((*REQUIRED[profile.kind], *NEUTRAL)))
    rows = [
        [getattr(profile[name], end) for end in ("low", "central", "high")]
        if name in profile.numbers
        else [NEUTRAL[name]] * 3
        for name in names
    ]
    return names, np.asarray(rows)


def _counts(item: Resources) -> dict[str, np.ndarray]:
    return {name: np.asarray(float(getattr(item, name))) for name in ("qubits", *COUNTS)}


def _refuse(item: Resources, profile: Profile) -> None:
    gates = item.layers + item.gates_1q + item.gates_2q + item.t_gates + item.rotations
    if profile.kind == "anneal":
        if item.shots or gates:
            raise CannotRun(f"{profile.name} has no gates: it runs annealing problems only.")
        return
    if item.anneals:
        raise CannotRun(f"{profile.name} does not anneal: it runs gate circuits only.")
    if (gates or item.measurements) and not item.shots:
        raise ValueError("Argument `resources` counts gates or measurements, but `shots` is 0.")
    if profile.kind == "fault_tolerant":
        return
    if item.gates_2q and not item.layers_2q:
        raise ValueError("Argument `resources` counts `gates_2q`, but `layers_2q` is 0: their time has no price.")
    if item.layers_2q > item.layers:
        raise ValueError("Argument `resources` counts more `layers_2q` than `layers`.")
    if (item.t_gates or item.rotations) and not (item.gates_1q or item.gates_2q):
        raise CannotRun(f"{profile.name} corrects no errors: these resources count T gates only, no physical gates.")


def _refuse_figures(figures: Mapping[str, float], profile: Profile) -> None:
    """Refuses by the figures at the central numbers, naming the one that decides."""
    size = profile["max_qubits"].central
    if not np.isfinite(figures["physical_qubits"]):
        raise CannotRun(
            f"{profile.name}: no T factory works at its physical error rate of {profile['error_rate'].central:.1e}."
        )
    if figures["physical_qubits"] > size:
        raise CannotRun(f"{profile.name} has {size:.4g} qubits, but {figures['physical_qubits']:.4g} are needed.")
    for name, what in (("mitigation", "error mitigation"), ("attempts", "photon loss and heralded gates")):
        if figures.get(name, 0.0) > MITIGATION_CAP:
            detail = f" ({figures['faults']:.3g} faults per shot)" if name == "mitigation" else ""
            raise CannotRun(
                f"{profile.name}: {what} would multiply the shots by {figures[name]:.1e}{detail}; above "
                f"{MITIGATION_CAP:.0e} that is refused."
            )


@functools.partial(jax.jit, static_argnames="draws")
def _draw(key: Key, table: Float[Array, "numbers 3"], draws: int) -> Float[Array, "numbers all"]:
    """Draws of every number; the first of the draws + 1 is the central value."""
    u = jax.random.uniform(key, (table.shape[0], draws))
    u = jnp.concatenate([jnp.full((table.shape[0], 1), 0.5), u], axis=1)
    return jax.vmap(ranges.quantile)(u, table)


def _bill(
    table: np.ndarray, counts: Mapping[str, np.ndarray], names: tuple[str, ...], kind: str, connectivity: str
) -> Bill:
    """The bill of one computation; `table` has a row per name and a column per draw."""
    draws = table.shape[1]
    table = np.pad(table, ((0, 0), (0, max(FEW - draws, 0))), mode="edge")
    costs = jax.device_get(_costs(table, counts, names, kind, connectivity))
    costs["values"] = dict(zip(names, table, strict=True))
    return Bill(**jax.tree.map(lambda column: column[:draws], costs))


@functools.partial(jax.jit, static_argnames=("names", "kind", "connectivity"))
def _costs(
    table: Array, counts: Mapping[str, Array], names: tuple[str, ...], kind: str, connectivity: str
) -> dict[str, Any]:
    model = {"gate": _gate, "anneal": _anneal, "fault_tolerant": _fault_tolerant}[kind]
    values = dict(zip(names, table, strict=True))
    parts, seconds, figures = jax.vmap(lambda draw: model(draw, counts, connectivity))(values)
    parts["calibration"] = values["calibration_share"] * sum(parts.values())
    energy = sum(parts.values(), jnp.zeros(()))
    return {
        "energy_j": energy,
        "time_s": seconds * (1 + values["calibration_share"]),
        "amortised_energy_j": energy / values["productive_share"],
        "parts": parts,
        "figures": figures,
    }


def _power(v: Mapping[str, Array], qubits: Array, copies: Array | float = 1.0) -> Array:
    """Watts of the machine, of which `copies` circuits of `qubits` qubits are running."""
    used = copies * qubits
    units = jnp.ceil(used / v["unit_qubits"])
    return v["power_base_w"] * units + v["power_qubit_w"] * used + v["power_qubit2_w"] * used**2


def _copies(v: Mapping[str, Array], qubits: Array, executions: Array) -> Array:
    """How many copies of the circuit run side by side on one unit of the machine."""
    room = jnp.maximum(jnp.minimum(v["unit_qubits"], v["max_qubits"]) / qubits, 1)
    return jnp.minimum(1 + v["copies_share"] * (jnp.floor(room) - 1), jnp.maximum(executions, 1))


def routing(v: Mapping[str, Array], qubits: Array, connectivity: str) -> Array:
    """How much deeper two-qubit layers become because only neighbours can meet (arXiv 2605.15090).

    1 + share * ceil((diameter - 1) / 2), with the diameter of a square grid, or a line, of the circuit's size.
    """
    diameter = {"grid": 2 * (jnp.sqrt(qubits) - 1), "line": qubits - 1}.get(connectivity, jnp.ones_like(qubits))
    return 1 + v["routing_share"] * jnp.maximum(jnp.ceil((diameter - 1) / 2), 0)


def _gate(v: Mapping[str, Array], n: Mapping[str, Array], connectivity: str) -> tuple[dict[str, Array], Array, dict]:
    route = routing(v, n["qubits"], connectivity)
    shots = jnp.maximum(n["shots"], 1)
    faults = (
        v["error_1q"] * n["gates_1q"] + v["error_2q"] * route * n["gates_2q"] + v["error_measure"] * n["measurements"]
    ) / shots
    exponent = v["mitigation_exponent"] * faults
    mitigation = jnp.exp(jnp.minimum(exponent, 2 * jnp.log(MITIGATION_CAP)))
    loss = -n["qubits"] * jnp.log(v["transmission"]) - n["gates_2q"] / shots * jnp.log(v["gate_success"])
    attempts = jnp.exp(jnp.minimum(loss, 2 * jnp.log(MITIGATION_CAP)))
    serial_2q = jnp.maximum(n["layers_2q"], n["gates_2q"] / v["parallel_2q"])
    per_shots = {
        "reset": n["shots"] * v["reset_s"],
        "layers_1q": (n["layers"] - n["layers_2q"]) * v["gate_1q_s"],
        "layers_2q": serial_2q * route * v["gate_2q_s"],
        "transport": n["layers_2q"] * v["move_share"] * v["move_s"],
        "measurement": n["shots"] * v["measure_s"],
        "delay": n["shots"] * v["delay_s"],
        "reload": n["shots"] * v["reload_s"],
        "photons": n["shots"] * n["qubits"] / v["photon_rate_hz"] * attempts,
    }
    copies = _copies(v, n["qubits"], shots)
    seconds = {"program": n["circuits"] * v["program_s"]}
    seconds |= {name: t * mitigation / copies for name, t in per_shots.items()}
    power = _power(v, n["qubits"], copies)
    figures = {
        "physical_qubits": n["qubits"] * jnp.ones_like(power),
        "faults": faults,
        "mitigation": jnp.exp(jnp.minimum(exponent, 80.0)),
        "attempts": jnp.exp(jnp.minimum(loss, 80.0)),
        "copies": copies,
        "power_w": power,
    }
    return {name: power * t for name, t in seconds.items()}, sum(seconds.values(), jnp.zeros(())), figures


def _anneal(v: Mapping[str, Array], n: Mapping[str, Array], connectivity: str) -> tuple[dict[str, Array], Array, dict]:
    chains = 1 + n["qubits"] / v["clique_chain"] if connectivity == "clique_embedding" else 1.0
    physical = jnp.ceil(n["qubits"] * chains)
    copies = _copies(v, physical, n["anneals"])
    per_anneal = {"anneal": v["anneal_s"], "measurement": v["measure_s"], "delay": v["delay_s"]}
    seconds = {"program": n["circuits"] * v["program_s"]}
    seconds |= {name: n["anneals"] * t / copies for name, t in per_anneal.items()}
    power = _power(v, physical, copies)
    figures = {"physical_qubits": physical, "copies": copies, "power_w": power}
    return {name: power * t for name, t in seconds.items()}, sum(seconds.values(), jnp.zeros(())), figures


def _fault_tolerant(v: Mapping[str, Array], n: Mapping[str, Array], _: str) -> tuple[dict[str, Array], Array, dict]:
    shots = jnp.maximum(n["shots"], 1)
    per_shot = {name: n[name] / shots for name in ("layers", "measurements", "t_gates", "rotations")}
    need = faulttolerant.estimate(per_shot | {"qubits": n["qubits"]}, v)
    run_s = n["shots"] * need.time_s
    units = jnp.ceil(need.qubits / v["unit_qubits"])
    joules = {
        "program": n["circuits"] * v["program_s"] * _power(v, need.qubits),
        "base": run_s * v["power_base_w"] * units,
        "logical_qubits": run_s * v["power_qubit_w"] * (need.qubits - need.factory_qubits),
        "factories": run_s * v["power_qubit_w"] * need.factory_qubits,
    }
    figures = {
        "physical_qubits": need.qubits,
        "factories": need.factories,
        "distance": need.distance,
        "t_states": need.t_states,
        "power_w": _power(v, need.qubits),
    }
    return joules, run_s + n["circuits"] * v["program_s"], figures


def summary(draws: ArrayLike) -> tuple[float, float, float]:
    """Median, 5 % and 95 % quantile."""
    middle, low, high = np.quantile(np.asarray(draws, dtype=float), (0.5, 0.05, 0.95))
    return float(middle), float(low), float(high)


def probability_saves(quantum_j: ArrayLike, classical_j: ArrayLike) -> float:
    """P(quantum < classical) over paired or independent draws of both."""
    return float(np.mean(np.asarray(quantum_j) < np.asarray(classical_j)))


def tornado(resources: Resources | Sequence[Resources], profile: Profile) -> list[tuple[str, float, float]]:
    """Which number decides: the energy with each number at its low and its high end, all others at their central value.

    Returns:
        (field, energy at its low end, energy at its high end), in joules, widest ratio first; numbers without effect
        are left out.

    Raises:
        CannotRun: if the machine cannot run it with its central numbers.
    """
    items = [resources] if isinstance(resources, Resources) else list(resources)
    names, table = _table(profile)
    price(items, profile, jax.random.key(0), draws=1)
    varied = np.eye(len(names), dtype=bool)
    cases = np.concatenate([np.where(varied, table[None, :, end], table[None, :, 1]) for end in (0, 2)])
    bill = _in_turn([_bill(cases.T, _counts(item), names, profile.kind, profile.connectivity) for item in items])
    energy = np.asarray(bill.energy_j, dtype=float).reshape(2, -1)
    rows = [(name, float(low), float(high)) for name, low, high in zip(names, *energy, strict=True) if low != high]
    return sorted(rows, key=lambda row: -abs(np.log(max(row[2], 1e-30) / max(row[1], 1e-30))))


def cost_usd(bill: Bill, profile: Profile) -> Float[np.ndarray, "draws"]:
    """Machine time times the price of a machine hour.

    Raises:
        ValueError: if the profile has no price.
    """
    if "price_usd_per_h" not in profile.numbers:
        raise ValueError(f"Profile {profile.name} has no `price_usd_per_h`: no source gives one.")
    return bill.time_s / 3600 * bill.values["price_usd_per_h"]
