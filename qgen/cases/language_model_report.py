"""What is published on quantum fine-tuning, what of ours stands beside it, both break-evens, and the case's figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qgen.cases.language_model_arms import (
    CLASSICAL,
    ERROR_UNIT,
    HEAD,
    MACHINE_SHOTS,
    PADS,
    RATES,
    TRIALS,
    UNTRAINED,
    Setting,
)
from qgen.cases.language_model_rows import (
    NOISE,
    accuracy,
    against_classical,
    against_simulation,
    classical_j,
    epochs,
    error_change,
    gain,
    is_base,
    longer,
    of,
    of_noise,
    of_widths,
    per_sentence,
    simulated,
    slope,
)
from qgen.energy import scaling
from qgen.record import QUANTILE_LEVELS, Record
from qgen.report import statistics, style
from qgen.report.cases import Facts, Published, Volume, Yearly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIM = "arXiv:2504.08732"
QUOTED = "arXiv:2504.08732, quoted by the documentation of merlinquantum/merlin"
REPEATED = "merlinquantum/reproduced_papers, papers/qLLM"
KNITTER = "arXiv:2605.02798, abstract"
COLOURS = {HEAD: "#D55E00", UNTRAINED: "#7A7A7A", "control/encoders_only": "#7A7A7A"} | dict(
    zip(CLASSICAL, ("#0072B2", "#56B4E9", "#009E73", "#117755", "#CC79A7"), strict=True)
)


POINTS = "points"
OWN = {"domains": "prose against code", "sst2_own": "SST-2"}
"""Data whose features are the lifecycle's model's -> what is told apart."""
PUBLISHED = (
    Published("head, one encoder, 10 qubits: accuracy", 90.21, QUOTED, accuracy(HEAD), unit="%"),
    Published(
        *("head, two encoders, 14 qubits: accuracy", 92.70, QUOTED),
        accuracy(HEAD, qubits=14, encoders=2),
        unit="%",
    ),
    Published("best MLP: accuracy", 91.44, QUOTED, accuracy("classical/mlp_192"), unit="%"),
    Published("logistic regression: accuracy", 88.88, REPEATED, accuracy("classical/logistic"), unit="%"),
    Published("RBF SVM: accuracy", 89.12, REPEATED, accuracy("classical/rbf_svm"), unit="%"),
    Published("MLP of 48 hidden features: accuracy", None, "-", accuracy("classical/mlp_48"), unit="%"),
    Published(
        *("head over a classical head of its size", 3.14, f"{KIM}, abstract (up to)"),
        gain(HEAD, ("classical/matched",)),
        none=0.0,
        unit=POINTS,
    ),
    Published(
        *("best quantum head over logistic regression, independent reproduction", 0.63, REPEATED),
        gain(HEAD, ("classical/logistic",)),
        none=0.0,
        unit=POINTS,
    ),
    Published(
        *("error against the best classical head's", -24.0, KNITTER),
        error_change,
        none=0.0,
        unit="%",
    ),
    Published(
        *("head behind encoders of 9 layers: accuracy", None, "-", accuracy(HEAD, layers=9)),
        unit="%",
    ),
    Published("accuracy per further qubit", None, f"{KIM}: rises", slope, none=0.0, unit=POINTS),
    *(
        Published(
            f"head over itself {words}", None, f"{KIM}: each part helps", gain(HEAD, (arm,)), none=0.0, unit=POINTS
        )
        for arm, words in (
            ("control/encoders_only", "without the quantum machine"),
            ("control/no_encoders", "without encoders"),
            ("control/no_reuploading", "without re-uploading"),
            ("control/no_entanglement", "without entanglement"),
            ("control/frozen", "with circuits frozen at random"),
        )
    ),
    Published(
        *("head at 1000 shots over itself exact", None, f"{KIM}: survives"),
        gain(HEAD, (HEAD,), "accuracy_shots_1000"),
        none=0.0,
        unit=POINTS,
    ),
    Published(
        *("head at a gate error of 0.01 over itself exact, narrow circuit", None, f"{KIM}: survives"),
        gain(HEAD, (HEAD,), NOISE, of_noise),
        none=0.0,
        unit=POINTS,
    ),
    Published(
        *("head at a gate error of 0.01 over a classical head of its size, narrow circuit", None, f"{KIM}: survives"),
        gain(HEAD, ("classical/matched",), NOISE, of_noise),
        none=0.0,
        unit=POINTS,
    ),
    Published("head: epochs of training", None, "-", epochs(HEAD)),
    Published("best MLP: epochs of training", None, "-", epochs("classical/mlp_192")),
    Published(
        *("head trained for as many epochs as MLPs may take, over itself", None, "-", longer), none=0.0, unit=POINTS
    ),
    Published("head on all encoded phrases: accuracy", None, "-", accuracy(HEAD, samples=0), unit="%"),
    Published(
        *("logistic regression on all encoded phrases: accuracy", None, "-"),
        accuracy("classical/logistic", samples=0),
        unit="%",
    ),
    Published("head on all encoded phrases: epochs of training", None, "-", epochs(HEAD, samples=0)),
    Published(
        *("logistic regression on all encoded phrases: passes over them", None, "-"),
        epochs("classical/logistic", samples=0),
    ),
    *(
        one
        for data, task in OWN.items()
        for one in (
            Published(f"our model's features, {task}, head: accuracy", None, "-", accuracy(HEAD, data), unit="%"),
            Published(
                *(f"our model's features, {task}, best classical head: accuracy", None, "-"),
                accuracy(CLASSICAL, data),
                unit="%",
            ),
            Published(
                *(f"our model's features, {task}, head over a classical head of its size", None, "-"),
                gain(HEAD, ("classical/matched",), data=data),
                none=0.0,
                unit=POINTS,
            ),
            Published(
                *(f"our model's features, {task}, head over the best classical head", None, "-"),
                gain(HEAD, CLASSICAL, data=data),
                none=0.0,
                unit=POINTS,
            ),
        )
    ),
    Published(
        *("break-even against simulating the circuit", 34.0, KNITTER, against_simulation),
        margin=1.0,
        unit="qubits",
    ),
    Published(
        "energy of a classification over logistic regression's, 10 qubits (a break-even would be below 1)",
        *(None, "not considered", against_classical),
    ),
)


def label(config: Mapping[str, Any]) -> str:
    """The heading of a setting."""
    own = f"our model's features, {OWN[config['data']]}" if config["data"] in OWN else ""
    what = "drawn vectors" if config["data"] == "generated" else own
    pool = f"{config['pool']:,} phrases of" if config["pool"] else "all of"
    samples = f"{config['samples']} samples per label" if config["samples"] else f"{pool} the training set"
    steps = f"heads: {config['steps']} steps of {config['batch']}, {config['trials']} trials"
    tuned = steps if config["trials"] > 1 else "untrained"
    deep = f"{config['layers']} layers" if config["layers"] != Setting.layers else ""
    many = f"{config['encoders']} encoders" if config["encoders"] > 1 else ""
    return ", ".join(filter(None, [what, samples, many, f"{config['qubits']} qubits", deep, tuned]))


def widths(rows: Sequence[Record]) -> "Figure":
    """Accuracy against qubits beside what needs none, and against shots and errors."""
    made = style.figure(2.9)
    left, middle, right = made.subplots(1, 3, sharey=True)
    own = of_widths(rows)
    one = [row for row in own if row.config["encoders"] == 1]
    places = sorted({row.config["qubits"] for row in one})
    _curve(left, places, [[r.metrics["accuracy"] for r in one if r.config["qubits"] == p] for p in places], HEAD, "-")
    two = [row for row in own if row.config["encoders"] == 2]
    if two:
        found = statistics.mean_interval([row.metrics["accuracy"] for row in two])
        bars = [[found.central - found.low], [found.high - found.central]]
        width = [two[0].config["qubits"]]
        left.errorbar(width, [found.central], bars, fmt="D", color=COLOURS[HEAD], markersize=4, label="two encoders")
    for arm in ("classical/logistic", "classical/matched", "control/encoders_only"):
        values = [row.metrics["accuracy"] for row in of(rows, arm).values()]
        if values:
            left.axhline(float(np.mean(values)), color=COLOURS[arm], linestyle="--", label=arm)
    left.set(xlabel="qubits", ylabel="accuracy", title="width of the quantum machine")
    base = list(of(rows, HEAD).values())
    _sweep(middle, base, "accuracy_shots_", 1.0)
    middle.set(xlabel="shots per circuit", title="shots", xscale="log")
    _sweep(right, [row for row in one if row.config["errors"]], "accuracy_error_", 1 / ERROR_UNIT)
    right.set(xlabel="error of a two-qubit gate", title="noise", xscale="log")
    labels = {
        label: line for axes in (left, middle) for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    made.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=6, fontsize=6)
    return made


def _sweep(axes: Any, rows: Sequence[Record], prefix: str, unit: float) -> None:
    """Accuracy against what the metrics' names count, and the exact one as a line."""
    if not rows:
        return
    names = sorted((int(name.removeprefix(prefix)), name) for name in rows[0].metrics if name.startswith(prefix))
    _curve(axes, [n * unit for n, _ in names], [[row.metrics[name] for row in rows] for _, name in names], HEAD, "-")
    exact = float(np.mean([row.metrics["accuracy"] for row in rows]))
    axes.axhline(exact, color=COLOURS[HEAD], linestyle=":", label="exact")


def _curve(axes: Any, places: Sequence[float], values: Sequence[Sequence[float]], arm: str, line: str) -> None:
    """Means with 95 % intervals."""
    found = [statistics.mean_interval(own) for own in values if len(own)]
    if not found:
        return
    axes.plot(places, [o.central for o in found], line, color=COLOURS[arm], marker="o", markersize=2.5, label=arm)
    axes.fill_between(
        places, [o.low for o in found], [o.high for o in found], color=COLOURS[arm], alpha=0.12, linewidth=0
    )


def energy(rows: Sequence[Record]) -> "Figure":
    """Joules of classifying one sentence against qubits: simulated here, projected, and without a circuit."""
    made = style.figure(2.9)
    axes = made.subplots()
    qubits, joules = simulated(rows)
    if len(set(qubits.tolist())) > 2:
        places = np.linspace(qubits.min(), 50, 60)
        middle, low, high = scaling.predict(scaling.fit(qubits, joules, "exponential"), places)
        axes.plot(qubits, joules, "o", color=COLOURS[UNTRAINED], markersize=3, label="simulating the circuit, measured")
        axes.plot(places, middle, "--", color=COLOURS[UNTRAINED], label="its exponential law")
        axes.fill_between(places, low, high, color=COLOURS[UNTRAINED], alpha=0.15, linewidth=0)
    widths = sorted({int(n) for n in qubits})
    machines = set.intersection(*(set(per_sentence(n)) for n in widths)) if widths else set()
    for name, marker in zip(sorted(m for m in machines if m.endswith("today")), "sv^D<>P", strict=False):
        own = [(n, per_sentence(n)[name][QUANTILE_LEVELS.index(0.5)]) for n in widths]
        axes.plot(*zip(*own, strict=True), marker=marker, markersize=3, label=f"{name}, projected")
    rival = classical_j(rows)
    if len(rival):
        axes.axhline(float(rival.mean()), color=COLOURS["classical/logistic"], label="logistic regression, measured")
    axes.set(xlabel="qubits", ylabel="J per classified sentence", yscale="log", title="energy of one classification")
    made.legend(loc="outside right upper", fontsize=6)
    return made


FACTS = Facts(
    name="language_model",
    title="Quantum fine-tuning of a language model (IonQ)",
    source="Kim et al., Quantum Large Language Model Fine-Tuning, arXiv:2504.08732; Knitter et al., arXiv:2605.02798",
    substitutions=(
        "Features are all-MiniLM-L6-v2's (384, frozen) instead of a SetFit encoder's (768): accuracies lie lower "
        "throughout, and differences are what compares.",
        "Samples are drawn from GLUE's 67,349 phrases, and the test part is its 872 development sentences.",
        "What the article leaves open of its circuit is settled as the head's documentation says; three layers and "
        "connectivity 2 are its Figure 3's.",
        f"Every arm tries {TRIALS} settings and keeps the one of most accuracy on its validation samples (15 % of the "
        "labelled ones); the test part chooses nothing. Quantum head and its controls: learning rates "
        f"{', '.join(map(str, sorted(RATES)))} with paddings {' and '.join(map(str, PADS))}; logistic "
        "regression: C of 0.03 to 100; RBF SVM: C of 1, 10 and 100 with gamma of 0.3 and 1; MLPs: learning rates 0.001 "
        "and 0.003 with alpha of 0.0001, 0.01 and 1.",
        "Quantum heads and their controls take the steps of Adam that the table of all arms names, at a rate that "
        "falls to zero; MLPs take Adam on batches of 32 for 100 epochs, or until their loss falls no more; logistic "
        "regression converges, every step over all samples. Steps and epochs of each stand in that table.",
        "A frozen head measures all qubits, so that its linear layer has more than one number to weigh; noise is "
        "simulated by density matrices, on a narrower circuit (6 qubits), beside a classical head of its size.",
        "Our model's features are means of the hidden states of the lifecycle's trained decoder; prose against code "
        "are passages of 16 tokens of the standard library's documentation and source, tested on other documents'.",
    ),
    published=PUBLISHED,
    yearly=Yearly(
        Volume(
            "fine-tuned classifiers a year",
            100,
            1000,
            10_000,
            "our assumption (grade C): a provider that fits a classifier to each customer's few labelled sentences; a "
            "unit is tuning on them and classifying 872 sentences; the article states none.",
        ),
        "classical/logistic",
        HEAD,
        is_base,
    ),
    columns={name: name for name in ("accuracy", "validation", "parameters", "steps", "epochs")},
    label=label,
    notes=(
        f"Quantum training is charged as parameter shifts of {MACHINE_SHOTS} shots for every trained and uploaded "
        "angle, every trial included. Encoding the sentences is the same for all arms and is not in any row.",
    ),
)
FIGURES: dict[str, Callable[[Sequence[Record]], Any]] = {"language_model": widths, "language_model_energy": energy}
