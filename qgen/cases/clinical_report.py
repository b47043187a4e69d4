"""What the clinical case's tables and figure say: published numbers, a year's volume, curves."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qgen.record import Record
from qgen.report import statistics, style
from qgen.report.cases import Facts, Published, Volume, Yearly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARTICLE = "Sci Rep 12, 1851, Table 2"
TABLE = {
    "wisconsin": {"qdc": (0.92, 0.90), "qksvm": (0.92, 0.91), "sqksvm": (0.88, 0.87)},
    "marrow": {"qdc": (0.62, 0.61), "qksvm": (0.63, 0.63), "sqksvm": (0.62, 0.61)},
    "heart": {"qdc": (0.62, 0.60), "qksvm": (0.51, 0.51), "sqksvm": (0.51, 0.50)},
}
"""Data -> classifier -> AUC with log2 N and with N qubits, of the article's simulator."""
NAMES = {"wisconsin": "Wisconsin breast cancer", "marrow": "bone marrow transplant", "heart": "heart failure"}
QUANTUM = ("quantum/qdc_log2n", "quantum/qksvm_log2n", "quantum/sqksvm_log2n")
WIDE = ("quantum/qdc_n", "quantum/qksvm_n", "quantum/sqksvm_n")
CLASSICAL = ("classical/logistic", "classical/rbf_svm", "classical/knn")
TUNED = ("quantum/qksvm_tuned",)


def is_base(row: Record, data: str = "wisconsin", shots: int = 0) -> bool:
    """Whether a row is of ten folds at the article's number of features, without errors."""
    config = row.config
    return (
        config["data"] == data
        and config["shots"] == shots
        and config["error"] == 0
        and config["features"] == 8
        and not config["sizes"]
    )


def exactly(data: str, arm: str, metric: str = "hard_auc") -> Callable[[Sequence[Record]], list[float]]:
    """One number per split of an arm without shots."""
    return lambda rows: [row.metrics[metric] for row in rows if row.arm == arm and is_base(row, data)]


def difference(rows: Sequence[Record], arm: str, other: str) -> list[float]:
    """Paired differences of two arms' AUC in points, per split."""
    found = {(row.arm, row.seed): row.metrics["hard_auc"] for row in rows if is_base(row)}
    return [
        100 * (v - found[other, seed]) for (name, seed), v in found.items() if name == arm and (other, seed) in found
    ]


PUBLISHED = (
    *(
        Published(
            f"{NAMES[data]}: {rule}, {words} qubits, hard-label AUC",
            pair[place],
            ARTICLE,
            exactly(data, f"quantum/{rule}_{encoding}"),
            margin=0.01,
        )
        for data, rules in TABLE.items()
        for rule, pair in rules.items()
        for place, (encoding, words) in enumerate((("log2n", "log2 N"), ("n", "N")))
    ),
    Published(
        "Wisconsin: points that qksvm gains by log2 N instead of N qubits",
        1.0,
        ARTICLE,
        lambda rows: difference(rows, "quantum/qksvm_log2n", "quantum/qksvm_n"),
        margin=0.5,
        none=0.0,
        unit="points",
    ),
    *(
        Published(f"Wisconsin: {arm.split('/')[1]}, hard-label AUC", None, "not visible", exactly("wisconsin", arm))
        for arm in CLASSICAL
    ),
)


def label(config: Mapping[str, Any]) -> str:
    """The heading of a setting."""
    what = f"training sets of {', '.join(map(str, config['sizes']))}" if config["sizes"] else f"{config['folds']} folds"
    shots = f"{config['shots']} shots" if config["shots"] else "exact"
    error = f", error {config['error']:g}" if config["error"] else ""
    return f"{NAMES.get(config['data'], config['data'])}, {config['features']} features, {what}, {shots}{error}"


def learning(rows: Sequence[Record]) -> "Figure":
    """AUC against the size of the training set, and against shots and errors."""
    made = style.figure(2.9)
    left, middle, right = made.subplots(1, 3, sharey=True)
    small = [row for row in rows if row.config["sizes"]]
    sizes = small[0].config["sizes"] if small else []
    for arm, line in LINES.items():
        own = [row for row in small if row.arm == arm]
        curve(left, sizes, [[row.metrics[f"hard_auc_n{size}"] for row in own] for size in sizes], arm, line)
    for axes, field in ((middle, "shots"), (right, "error")):
        for arm in QUANTUM:
            own = [row for row in rows if row.arm == arm and not row.config["sizes"] and row.config["features"] == 8]
            own = [row for row in own if row.config["data"] == "wisconsin" and row.config["shots"]]
            most = max((row.config["shots"] for row in own), default=0)
            own = [
                row for row in own if (row.config["error"] == 0 if field == "shots" else row.config["shots"] == most)
            ]
            places = sorted({row.config[field] for row in own})
            values = [[row.metrics["hard_auc"] for row in own if row.config[field] == place] for place in places]
            curve(axes, places, values, arm, LINES[arm])
    left.set(xlabel="training patients", ylabel="hard-label AUC", title="few samples", xscale="log")
    middle.set(xlabel="shots per circuit", title="shots", xscale="log")
    right.set(xlabel="error of a two-qubit gate", title="noise at the most shots")
    left.set_ylim(0.45, 1.0)
    shots, errors = (sorted({row.config[field] for row in rows}) for field in ("shots", "error"))
    for axes, places in ((left, sizes), (middle, [place for place in shots if place]), (right, errors)):
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
    left.legend(fontsize=6, loc="lower right")
    return made


LINES = {
    "quantum/qdc_log2n": ("#D55E00", "-"),
    "quantum/sqksvm_log2n": ("#E69F00", "-"),
    "quantum/qksvm_log2n": ("#CC79A7", "-"),
    "classical/logistic": ("#0072B2", "--"),
    "classical/rbf_svm": ("#56B4E9", "--"),
    "classical/knn": ("#009E73", "--"),
    "classical/boosting": ("#000000", "--"),
}


def curve(
    axes: Any, places: Sequence[float], values: Sequence[Sequence[float]], arm: str, line: tuple[str, str]
) -> None:
    """Means with 95 % intervals."""
    if not places or not all(len(own) for own in values):
        return
    found = [statistics.mean_interval(own) for own in values]
    axes.plot(places, [one.central for one in found], line[1], color=line[0], marker="o", markersize=2.5, label=arm)
    axes.fill_between(places, [o.low for o in found], [o.high for o in found], color=line[0], alpha=0.12, linewidth=0)


FACTS = Facts(
    name="clinical",
    title="Clinical classification (Medical University of Vienna)",
    source="Moradi et al., Scientific Reports 12, 1851 (2022), doi 10.1038/s41598-022-05971-9",
    substitutions=(
        "Wisconsin is scikit-learn's copy; the other two data sets are read where their files are given.",
        "The best eight features are chosen by F value inside each training part, as the article's choice is not "
        "printed; N-qubit states take the same normalised features.",
    ),
    published=PUBLISHED,
    yearly=Yearly(
        Volume(
            "ten-fold studies of a patient cohort a year",
            10,
            100,
            1000,
            "our assumption (grade C) for one clinical centre: from ten models a year to a few a day, each cross-"
            "validated once as here; the article states none.",
        ),
        "classical/logistic",
        "quantum/qdc_log2n",
        # Logistic regression runs with shots, of which it takes none, beside the priced quantum arms alone.
        lambda row: row.config["shots"] > 0 and is_base(row, shots=row.config["shots"]),
    ),
    columns={
        "hard_auc": "hard-label AUC",
        "auc": "score AUC",
        **{f"hard_auc_n{size}": f"of {size}" for size in (10, 20, 50, 100)},
    },
    label=label,
    notes=("of 10 to 100: hard-label AUC after so many training patients.",),
)
FIGURES = {"clinical": learning}
