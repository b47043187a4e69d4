"""Made-up records with the shape of real ones: for tests of tables and figures, never for numbers."""

from statistics import NormalDist

import numpy as np

from qgen.record import QUANTILE_LEVELS, Record
from qgen.report import article

TECHNOLOGIES = ("sc", "ion", "atom", "analog", "photonic", "spin", "annealer", "ft_sc", "ft_ion", "ft_atom")


def log_normal(median: float, sigma: float) -> list[float]:
    """Quantiles of a log-normal distribution at the levels that records store."""
    return [median * float(np.exp(sigma * NormalDist().inv_cdf(level))) for level in QUANTILE_LEVELS]


def measured(energy: float, meter: str = "modelled") -> dict:
    """Measured fields with the range of a modelled meter."""
    return {
        "time_s": energy / 8,
        "energy_j": energy,
        "energy_low_j": energy / 2.1,
        "energy_high_j": energy * 2.6,
        "compile_time_s": 0.7,
        "compile_energy_j": 5.6,
        "idle_w": 1.4,
        "repeats": 3,
        "meter": meter,
        "provenance": "MODELLED" if meter == "modelled" else "MEASURED",
        "steal_share": 0.01,
    }


def record(stage: str, arm: str, seed: int, score: float, energy: float, **changes) -> Record:
    """One row; `changes` are fields of Record."""
    fields = {
        "experiment": "lifecycle",
        "preset": "default",
        "config": {"size": 3, "inputs": "1a2b"},
        "metrics": {article()[stage].quality.name: score} if stage in article() else {},
        "measured": measured(energy),
        "provenance": {
            "commit": "0123456789abcdef",
            "dirty": False,
            "host": "somewhere",
            "device": "cpu",
            "cores": 2,
            "python": "3.11.9",
            "versions": {"jax": "0.10.2", "numpy": "2.4.6"},
            "start": "2026-01-02T03:04:05+00:00",
        },
    }
    return Record(stage=stage, arm=arm, seed=seed, **(fields | changes))


def projected(rng: np.random.Generator, energy: float) -> dict:
    """Ten technologies at three dates, cheaper from date to date; some cannot run."""
    machines = {}
    for technology in TECHNOLOGIES:
        level = energy * 10 ** rng.uniform(0, 4)
        for date, factor in (("today", 1.0), ("mid", 1e-2), ("long", 1e-4)):
            name = f"{technology}_{date}"
            if technology in ("annealer", "analog"):
                machines[name] = {"reason": f"{name} cannot run gates, but 120 two-qubit gates are needed."}
            elif technology.startswith("ft") and date == "today":
                machines[name] = {"reason": f"{name} has 2 logical qubits, but 8 are needed."}
            else:
                energies = log_normal(level * factor, rng.uniform(0.5, 1.3))
                amortised = [2 * e for e in energies]
                machines[name] = {
                    **{"energy_j": energies, "amortised_energy_j": amortised, "time_s": [e / 2e4 for e in energies]},
                    "fingerprint": "0a1b2c3d",
                }
    return machines


def life(seeds: int = 3) -> list[Record]:
    """A whole lifecycle: two classical arms, a quantum and a control arm per stage, and every swap's later stages."""
    rng = np.random.default_rng(5)
    facts = article()
    names = list(facts)
    rows = []
    for index, stage in enumerate(names):
        arms = (facts[stage].reference, "classical/other")
        quality = facts[stage].quality
        level = 0.9 if quality.higher_is_better else 2.1
        cost = float(rng.uniform(3, 400))
        for seed in range(seeds):
            steps = np.arange(1, 60)
            curve = (level + 2 / steps + rng.normal(0, 0.01, steps.size)).tolist()
            trace = {"loss": curve} if stage in ("training", "finetuning", "architecture") else {}
            for place, arm in enumerate(arms):
                score = level + float(rng.normal(0, 0.006)) - 0.01 * place * (1 if quality.higher_is_better else -1)
                use = {"unit": "token", "energy_per_unit_j": 0.021, **measured(1.0)} if stage == "deployment" else {}
                own = cost * (1 + place) * float(rng.uniform(0.9, 1.1))
                rows.append(record(stage, arm, seed, score, own, trace=trace, use=use))
            worse = -0.004 if index % 2 else -0.05
            score = level + (worse if quality.higher_is_better else -worse) + float(rng.normal(0, 0.006))
            quantum = {
                "resources": {"qubits": 8, "shots": 1e5, "layers": 1e6},
                "projected": projected(np.random.default_rng(index), cost * 10 ** (3 - index % 4)),
                "host": measured(0.02 * cost),
                "note": "Simulated exactly; shots are drawn.",
            }
            rows.append(record(stage, facts[stage].swap, seed, score, 30 * cost, trace=trace, **quantum))
            quantum["host"] = {}
            rows.append(record(stage, "control/no_entanglement", seed, score - 0.01, 25 * cost, **quantum))
        failed = {
            "status": "failed",
            "reason": "ValueError: the solver did not converge.",
            "metrics": {},
            "measured": {},
        }
        rows.append(record(stage, "inspired/tensor", 0, 0.0, 1.0, **failed))
    reference = {(row.stage, row.seed): row for row in rows if row.arm == facts[row.stage].reference}
    for index, stage in enumerate(names):
        for seed in range(seeds):
            for later in names[index + 1 :]:
                row = reference[later, seed]
                score = row.metrics[facts[later].quality.name] * float(rng.uniform(0.99, 1.01))
                upstream = f"{stage}={facts[stage].swap}"
                rows.append(
                    record(later, row.arm, seed, score, row.measured["energy_j"], upstream=upstream, use=row.use)
                )
    return rows


def shares() -> list[Record]:
    """A stage's share of published lives, two sources each."""
    values = {"curation": (0.05, 0.3), "encoding": (0.01, 0.02), "architecture": (0.3, 0.5), "training": (0.12, 0.3)}
    values |= {"finetuning": (0.03, 0.1), "deployment": (0.4, 0.7), "monitoring": (0.01, 0.05)}
    return [
        record(stage, f"published/{source}", 0, 0.0, 1.0, experiment="shares", metrics={"share": share}, measured={})
        for stage, pair in values.items()
        for source, share in zip(("olmo3", "meta"), pair, strict=True)
    ]
