"""What the grid case's tables and figures say: published numbers, a year's volume, curves."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qgen.record import Record
from qgen.report import statistics, style
from qgen.report.cases import Facts, Published, Volume, Yearly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARTICLE = "arXiv:2112.08506, abstract"
LINES = {
    "classical/one_start": ("#0072B2", "--"),
    "quantum/amplitude": ("#D55E00", "-"),
    "quantum/amplitude_adapted": ("#E69F00", "-"),
    "quantum/angle": ("#009E73", "-"),
    "quantum/angle_adapted": ("#56B4E9", "-"),
}
ERRORS = {"helios": 7.9e-4, "heron_r1_torino": 4.2e-3, "ibex_q1": 1.3e-2}
"""Errors of two-qubit gates, for a figure's axis."""


def gains(
    metric: str, data: str, chosen: Callable[[Mapping[str, Any]], bool]
) -> Callable[[Sequence[Record]], list[float]]:
    """Percent of balanced accuracy that the adapted version gains over the standard one, one number per seed."""

    def per_seed(rows: Sequence[Record]) -> list[float]:
        found: dict[str, dict[int, list[float]]] = {}
        for row in rows:
            if row.config["data"] == data and chosen(row.config):
                found.setdefault(row.arm, {}).setdefault(row.seed, []).append(row.metrics["balanced_accuracy"])
        standard, better = found.get(f"quantum/{metric}", {}), found.get(f"quantum/{metric}_adapted", {})
        return [
            100 * (sum(better[seed]) / sum(standard[seed]) - 1)
            for seed in standard
            if seed in better and len(better[seed]) == len(standard[seed])
        ]

    return per_seed


def noisy(config: Mapping[str, Any]) -> bool:
    """Whether a machine's noise is on."""
    return bool(config["device"])


def least(config: Mapping[str, Any]) -> bool:
    """Whether there are a hundred shots and no other noise."""
    return config["shots"] == 100 and not config["device"]


def label(config: Mapping[str, Any]) -> str:
    """The heading of a setting."""
    data = "load profiles" if config["data"] == "profiles" else f"blobs of spread {config['spread']:g}"
    return f"{data}, {config['shots']} shots{', ' + config['device'] if config['device'] else ''}"


def sweeps(rows: Sequence[Record]) -> "Figure":
    """Balanced accuracy against spread, shots and the machine's error; blobs above, load profiles below."""
    has = {row.config["data"] for row in rows}
    data = [name for name in ("blobs", "profiles") if name in has]
    made = style.figure(2.5 * len(data) + 0.2)
    grid = made.subplots(len(data), 3, squeeze=False, sharey=True)
    full = [row for row in rows if row.arm == "classical/kmeans"]
    for axes, name in zip(grid, data, strict=True):
        own = [row for row in rows if row.config["data"] == name]
        base = next(row.config for row in full if row.config["data"] == name)
        clean = [row for row in own if not row.config["device"]]
        spreads = [row for row in clean if row.config["shots"] == base["shots"]]
        shots = [row for row in clean if row.config["spread"] == base["spread"]]
        machines = [row for row in own if row.config["device"]]
        title = "load profiles" if name == "profiles" else "blobs"
        if name == "blobs":
            curves(axes[0], spreads, lambda config: config["spread"])
            axes[0].set(xlabel="spread of a blob", title="blobs: variance")
        else:
            bars(axes[0], [row for row in spreads if row.config == base])
            axes[0].set(title="load profiles: all arms")
        axes[0].set(ylabel="balanced accuracy")
        curves(axes[1], shots, lambda config: config["shots"])
        axes[1].set(xscale="log", xlabel="executions per distance", title=f"{title}: shots")
        curves(axes[2], machines, lambda config: ERRORS[config["device"]])
        axes[2].set(xscale="log", xlabel="error of a two-qubit gate", title=f"{title}: machines")
    grid[0][0].set_ylim(top=1.02)  # after all curves, as it stops the axes from making room
    made.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=6)
    return made


def curves(axes: Any, rows: Sequence[Record], place: Callable[[Mapping[str, Any]], float]) -> None:
    """Means with 95 % intervals of every arm of LINES."""
    for arm, (colour, line) in LINES.items():
        own: dict[float, list[float]] = {}
        for row in rows:
            if row.arm == arm:
                own.setdefault(place(row.config), []).append(row.metrics["balanced_accuracy"])
        places = sorted(own)
        found = [statistics.mean_interval(own[x]) for x in places]
        if places:
            axes.plot(places, [o.central for o in found], line, color=colour, marker="o", markersize=2.5, label=arm)
            low, high = [o.low for o in found], [o.high for o in found]
            axes.fill_between(places, low, high, color=colour, alpha=0.1, linewidth=0)


def bars(axes: Any, rows: Sequence[Record]) -> None:
    """One point per arm."""
    arms = list(dict.fromkeys(row.arm for row in rows))
    for place, arm in enumerate(arms):
        found = statistics.mean_interval([row.metrics["balanced_accuracy"] for row in rows if row.arm == arm])
        colour = style.FAMILIES[arm.split("/")[0]]
        axes.errorbar(
            place, found.central, [[found.central - found.low], [found.high - found.central]], fmt="o", color=colour
        )
    axes.set_xticks(range(len(arms)), [arm.split("/")[1].replace("_", " ") for arm in arms], rotation=60, ha="right")
    axes.tick_params(axis="x", labelsize=5.5)


def of_arm(arm: str, data: str, metric: str) -> Callable[[Sequence[Record]], list[float]]:
    """A metric of an arm at the point where all arms run, one number per seed."""

    def per_seed(rows: Sequence[Record]) -> list[float]:
        full = [row.config for row in rows if row.arm == "classical/kmeans" and row.config["data"] == data]
        return [row.metrics[metric] for row in rows if row.arm == arm and full and row.config == full[0]]

    return per_seed


FACTS = Facts(
    name="grid",
    title="Clustering of grid assets (E.ON and TU Munich)",
    source="DiAdamo, O'Meara, Cortiana, Bernabe-Moreno, arXiv:2112.08506 (IEEE Trans. Quantum Eng. 2022)",
    substitutions=(
        "The operator's grid data are private: daily load curves of German consumers (SimBench) stand in.",
        "The adapted version is published by name alone; ours is parallel, competitive and keeps running means.",
        "Machines are today's (exact density matrices of their error rates), not the article's.",
    ),
    published=(
        *(
            Published(
                f"balanced accuracy gained by adaptation, {metric}, load profiles, {words}",
                67.8,
                ARTICLE,
                gains(metric, "profiles", chosen),
                margin=0.05,
                none=0.0,
                unit="%",
            )
            for words, chosen in (("all machines", noisy), ("100 shots", least))
            for metric in ("amplitude", "angle")
        ),
        *(
            Published(
                f"{arm.replace('/', ', ').replace('_', ' ')}: balanced accuracy, load profiles",
                None,
                "not visible",
                of_arm(arm, "profiles", "balanced_accuracy"),
            )
            for arm in (
                "classical/one_start",
                "quantum/amplitude",
                "quantum/amplitude_adapted",
                "quantum/angle",
                "quantum/angle_adapted",
            )
        ),
    ),
    yearly=Yearly(
        Volume(
            "clusterings a year",
            50,
            1000,
            10_000,
            "our assumption (grade C): one clustering of a region's assets a week to one a day for each of some thirty "
            "regions; the article states none. A clustering is as large as here, some hundred assets.",
        ),
        "classical/kmeans",
        "quantum/amplitude",
        lambda row: bool(row.measured),
    ),
    columns={
        "balanced_accuracy": "balanced accuracy",
        "ari": "ARI",
        "inertia_ratio": "inertia over reference",
        "silhouette": "silhouette",
    },
    label=label,
    notes=("Reference: labels of scikit-learn's k-means with ten starts, labels matched as well as possible.",),
)
FIGURES = {"grid": sweeps}
