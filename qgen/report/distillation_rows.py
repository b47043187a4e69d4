"""Rows of low-rank distillation, chosen and paired, and the cells that its tables have in common."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from qgen.record import Record
from qgen.report import statistics, words
from qgen.report.select import least_machine

QUANTUM = "quantum/entangled_kernel"
CONTROLS = {"control/narrow_rbf_kernel": "RBF of the same features", "control/separable_kernel": "separable"}
"""What the quantum kernel is also set against, and what a table calls it."""
KERNELS = (
    "No kernel's weight or width is tuned. narrow rbf: the RBF kernel of the 4 features that the quantum ones see."
)
"""The note of tables with lessons."""
Rows = Sequence[Record]


def of(rows: Rows, experiment: str, **config: object) -> list[Record]:
    """The rows of an experiment whose config has these values."""
    return [
        row
        for row in rows
        if row.experiment == experiment and all(row.config.get(name) == value for name, value in config.items())
    ]


def values(rows: Rows, name: str) -> list:
    """The different values of a config field, in the order of the rows."""
    return list(dict.fromkeys(row.config[name] for row in rows))


def excess(rows: Rows) -> list[float]:
    """Held-out loss over the teacher's, nats per token, one per seed."""
    ordered = sorted(rows, key=lambda row: row.seed)
    return [row.metrics["loss"] - row.metrics["teacher_loss"] for row in ordered]


def by_arm(rows: Rows) -> dict[str, list[Record]]:
    """The rows of every arm, in the order of the rows."""
    made: dict[str, list[Record]] = {}
    for row in rows:
        made.setdefault(row.arm, []).append(row)
    return made


def main_block(rows: Rows, experiment: str = "distillation") -> tuple[int, int]:
    """Rank and number of samples of the full factorial: those of the most students, and of the most samples."""
    counts: dict[tuple[int, int], int] = {}
    for row in of(rows, experiment):
        place = row.config["rank"], row.config["samples"]
        counts[place] = counts.get(place, 0) + 1
    return max(counts, key=lambda place: (counts[place], place[1]))


def curve_rows(rows: Rows) -> tuple[dict[str, dict[int, list[Record]]], list[int]]:
    """Lesson -> number of samples -> rows, and the numbers of samples, for the arm of the few-sample study."""
    rank, most = main_block(rows)
    fewer = [row for row in of(rows, "distillation", rank=rank) if row.config["samples"] != most]
    start = fewer[0].config["start"] if fewer else of(rows, "distillation", rank=rank)[0].config["start"]
    found = of(rows, "distillation", rank=rank, start=start)
    counts = sorted(values(found, "samples"))
    return {
        arm: {count: [row for row in made if row.config["samples"] == count] for count in counts}
        for arm, made in by_arm(found).items()
    }, counts


def curves(rows: Rows) -> tuple[dict[str, dict[int, list[float]]], list[int]]:
    """The same with excess losses in place of rows."""
    found, counts = curve_rows(rows)
    return {arm: {count: excess(made) for count, made in curve.items()} for arm, curve in found.items()}, counts


def gaps(found: Mapping[str, Mapping[int, Sequence[float]]], counts: Sequence[int]) -> dict[str, dict]:
    """Paired differences of the quantum kernel from the best classical lesson and from its controls, by samples."""
    made: dict[str, dict] = {"quantum - best classical": {}, **{f"quantum - {name}": {} for name in CONTROLS.values()}}
    classical = [arm for arm in found if arm.split("/")[0] in ("classical", "inspired")]
    for count in counts:
        own = np.array(found[QUANTUM][count])
        best = min(classical, key=lambda arm: float(np.mean(found[arm][count])))
        made["quantum - best classical"][count] = own - np.array(found[best][count])
        for arm, name in CONTROLS.items():
            made[f"quantum - {name}"][count] = own - np.array(found[arm][count])
    return made


def size(row: Record) -> str:
    """A student's size: of the blocks, which alone are factorised, and of the whole model."""
    blocks, model = (100 * row.metrics[f"share_of_{part}"] for part in ("blocks", "model"))
    return f"{blocks:.1f} % of the blocks' parameters, {model:.1f} % of the whole model's"


def joules_per_token(uses: Rows) -> dict[int, list[float]]:
    """Rank (0: the teacher) -> joules per token, one per round."""
    ordered = sorted(uses, key=lambda row: (-row.metrics["parameters"], row.seed))
    return {
        rank: [row.metrics["energy_per_token_j"] for row in ordered if row.config["rank"] == rank]
        for rank in values(ordered, "rank")
    }


def savings(uses: Rows) -> str:
    """One sentence: whether students take less energy per token than their teacher, paired over rounds."""
    found = joules_per_token(uses)
    ratios = {rank: np.divide(own, found[0]).tolist() for rank, own in found.items() if rank}
    saving = [str(rank) for rank, own in ratios.items() if statistics.mean_interval(own).high < 1]
    shown = "; ".join(f"rank {rank}: {interval(own, 2)}" for rank, own in ratios.items())
    verdict = f"at {'rank' if len(saving) == 1 else 'ranks'} {', '.join(saving)}" if saving else "at no rank"
    return (
        f"Joules per token over the teacher's, paired over {len(found[0])} rounds: {shown}. Compression saves energy "
        f"per token here {verdict} (95 % interval below 1)."
    )


def provenance(rows: Rows) -> str:
    """How the joules were found: measured or modelled."""
    return rows[0].measured.get("provenance", "").lower()


def controls(own: Iterable[str]) -> frozenset[int]:
    """The places of control arms, which a table sets apart."""
    return frozenset(place for place, arm in enumerate(own) if arm.startswith("control/"))


def interval(numbers: Sequence[float], digits: int) -> str:
    """Mean and half of the 95 % interval; - where there is nothing."""
    if len(numbers) == 0:
        return "-"
    found = statistics.mean_interval(numbers)
    half = "" if np.isnan(found.high) else f" ± {found.high - found.central:.{digits}f}"
    return f"{found.central:.{digits}f}{half}"


def edge(rows: Rows) -> str:
    """A mark where a student chose the lowest or the highest learning rate."""
    return "*" if any(row.metrics["at_edge"] for row in rows) else ""


def tried(rows: Rows) -> str:
    """The note on learning rates and their mark."""
    rates = ", ".join(f"{rate:g}" for rate in rows[0].config["rates"])
    return f"Learning rates {rates}; validation chooses per student. *: a student chose the lowest or highest of them."


def mean(numbers: Sequence[float]) -> str:
    """The mean, two digits."""
    return number(float(np.mean(numbers)))


def ranged(numbers: Sequence[float]) -> str:
    """The mean with the range of the repeats."""
    return f"{mean(numbers)} [{number(min(numbers))}, {number(max(numbers))}]"


def number(value: float) -> str:
    """Two digits and a unit's prefix."""
    return words.significant(value, 2)


def projected(rows: Rows) -> str:
    """Projected joules on the machine of the least median; - where no machine can run it."""
    least = least_machine(rows)
    if least is None:
        return "-" if rows[0].resources else ""
    return f"{number(least[1])} ({least[0]})"
