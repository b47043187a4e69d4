"""The rows of the language-model case: which are read for what, and what is derived from several of them."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from qgen.cases.language_model_arms import CLASSICAL, HEAD, MACHINE_SHOTS, UNTRAINED, Setting, structure
from qgen.energy import breakeven, profiles, scaling, successor
from qgen.quantum import head as heads
from qgen.record import QUANTILE_LEVELS, Record
from qgen.report.statistics import Interval
from qgen.stages.base import project

CLAIMANT = "ion_today"
"""The kind of machine that the successor measured."""
PRICED = tuple(range(10, 65, 6))
"""Widths at which the machine is priced in the search of a break-even."""
NOISE = "accuracy_error_100"
"""Accuracy at an error of a two-qubit gate of 0.01."""


def is_base(row: Record) -> bool:
    """Whether a row is of the article's setting, the one that shots are drawn in."""
    return bool(row.config["shots"])


def of_widths(rows: Sequence[Record]) -> list[Record]:
    """The head's rows that differ from the article's setting in the circuit's width and the encoders at most."""
    steps = {row.config["steps"] for row in rows if row.arm == HEAD and is_base(row)}
    return [
        row
        for row in rows
        if row.arm == HEAD
        and row.config["samples"]
        and row.config["layers"] == Setting.layers
        and row.config["steps"] in steps
    ]


def of(rows: Sequence[Record], arm: str, **config: Any) -> dict[int, Record]:
    """Seed -> an arm's row: of the article's setting, or of the other one whose fields are asked for."""
    if not config:
        return {row.seed: row for row in rows if row.arm == arm and is_base(row)}
    asked = {"shots": [], "encoders": 1, "layers": Setting.layers} | config
    found = {}
    for row in rows:
        if row.arm == arm and all(row.config[name] == value for name, value in asked.items()):
            found[row.seed] = row
    return found


def of_noise(rows: Sequence[Record], arm: str) -> dict[int, Record]:
    """Seed -> an arm's row at the width whose noise is simulated; of the article's setting where it has none there."""
    return {row.seed: row for row in rows if row.arm == arm and row.config["errors"]} or of(rows, arm)


def real(rows: Sequence[Record], data: str = "sst2") -> list[Record]:
    """Rows on sentences of one kind: drawn vectors stand beside no published number."""
    return [row for row in rows if row.config["data"] == data]


def accuracy(arms: str | Sequence[str], data: str = "sst2", **config: Any) -> Callable[[Sequence[Record]], list[float]]:
    """Accuracy in % of an arm, or of the best of some, per seed."""

    def ours(rows: Sequence[Record]) -> list[float]:
        rows = real(rows, data)
        arm = arms if isinstance(arms, str) else best(rows, arms)
        return [100 * row.metrics["accuracy"] for row in of(rows, arm, **config).values()]

    return ours


def gain(
    arm: str,
    rivals: Sequence[str],
    metric: str = "accuracy",
    pick: Callable[..., dict[int, Record]] = of,
    data: str = "sst2",
) -> Callable[[Sequence[Record]], list[float]]:
    """Points by which an arm is better than the best of its rivals (on average over seeds), per seed."""

    def ours(rows: Sequence[Record]) -> list[float]:
        rows = real(rows, data)
        own, rival = (pick(rows, name) for name in (arm, best(rows, rivals)))
        shared = [seed for seed in own.keys() & rival.keys() if metric in own[seed].metrics]
        return [100 * (own[seed].metrics[metric] - rival[seed].metrics["accuracy"]) for seed in shared]

    return ours


def best(rows: Sequence[Record], rivals: Sequence[str]) -> str:
    """The arm of most validation accuracy, on average over seeds: the test sentences choose nothing."""
    means = {arm: [row.metrics["validation"] for row in of(rows, arm).values()] for arm in rivals}
    return max(rivals, key=lambda arm: float(np.mean(means[arm])) if means[arm] else -1.0)


def error_change(rows: Sequence[Record]) -> list[float]:
    """Change of the error in % of the best classical head's, per seed."""
    rows = real(rows)
    own, rival = of(rows, HEAD), of(rows, best(rows, CLASSICAL))
    pairs = [(1 - own[s].metrics["accuracy"], 1 - rival[s].metrics["accuracy"]) for s in own.keys() & rival.keys()]
    return [100 * (mine / theirs - 1) for mine, theirs in pairs]


def longer(rows: Sequence[Record]) -> list[float]:
    """Points that the head gains by as many epochs as the MLPs may take, per seed."""
    base = of(real(rows), HEAD)
    return [
        100 * (row.metrics["accuracy"] - base[row.seed].metrics["accuracy"])
        for row in real(rows)
        if row.arm == HEAD
        and row.seed in base
        and {**row.config, "steps": 0, "shots": []} == {**base[row.seed].config, "steps": 0, "shots": []}
        and row.config["steps"] > base[row.seed].config["steps"]
    ]


def epochs(arm: str, **config: Any) -> Callable[[Sequence[Record]], list[float]]:
    """Passes over the training samples that an arm's training made, per seed."""
    return lambda rows: [
        row.metrics["epochs"] for row in of(real(rows), arm, **config).values() if "epochs" in row.metrics
    ]


def slope(rows: Sequence[Record]) -> list[float]:
    """Points of accuracy per qubit, by least squares over the widths behind one encoder, per seed."""
    found: dict[int, list[tuple[float, float]]] = {}
    for row in of_widths(real(rows)):
        if row.config["encoders"] == 1:
            found.setdefault(row.seed, []).append((row.config["qubits"], 100 * row.metrics["accuracy"]))
    tables = [np.array(pairs) for pairs in found.values() if len(pairs) > 2]
    return [float(np.polyfit(table[:, 0], table[:, 1], 1)[0]) for table in tables]


def simulated(rows: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Widths and measured joules of simulating the circuit once."""
    found = sorted((r.config["qubits"], r.measured["energy_j"] / tested(r)) for r in rows if r.arm == UNTRAINED)
    return np.array([pair[0] for pair in found], dtype=float), np.array([pair[1] for pair in found])


def tested(row: Record) -> float:
    """How many sentences a row's arm classified, which an untrained head's circuits count."""
    return row.resources["circuits"]


def against_simulation(rows: Sequence[Record]) -> Interval | list[float]:
    """Qubits from which one chain of ions uses less energy than simulating the circuit here, per classification."""
    qubits, joules = simulated(real(rows))
    if len(set(qubits.tolist())) < 3:
        return []
    law = scaling.fit(qubits, joules, "exponential")
    machine = successor.machine(profiles.load()[CLAIMANT])

    def needs(n: int) -> Any:
        return heads.inference_resources(structure(Setting(qubits=n), 2), 1, MACHINE_SHOTS)

    found = breakeven.of_machine(jax.random.key(0), needs, machine, law, PRICED)
    low, middle, high = np.quantile(np.asarray(found.size, dtype=float), (0.025, 0.5, 0.975), method="nearest")
    return Interval(float(middle), float(low), float(high))


@functools.lru_cache
def per_sentence(qubits: int) -> dict[str, np.ndarray]:
    """Machine -> projected joules of classifying one sentence with a circuit of so many qubits, at QUANTILE_LEVELS."""
    needs = (heads.inference_resources(structure(Setting(qubits=qubits), 2), 1, MACHINE_SHOTS),)
    found = {name: project(needs, machine) for name, machine in profiles.load().items()}
    return {name: np.array(part["energy_j"]) for name, part in found.items() if "energy_j" in part}


def classical_j(rows: Sequence[Record]) -> np.ndarray:
    """Measured joules of classifying one sentence with logistic regression, per seed."""
    return np.array([row.use["energy_per_unit_j"] for row in of(rows, "classical/logistic").values() if row.use])


def against_classical(rows: Sequence[Record]) -> Interval | list[float]:
    """Joules per classified sentence of the most frugal machine over those of logistic regression."""
    rows = real(rows)
    rival = classical_j(rows)
    if not len(rival):
        return []
    least = min(per_sentence(10).values(), key=lambda energy: energy[QUANTILE_LEVELS.index(0.5)])
    low, middle, high = np.interp((0.025, 0.5, 0.975), QUANTILE_LEVELS, least)
    return Interval(float(middle / rival.mean()), float(low / rival.max()), float(high / rival.min()))
