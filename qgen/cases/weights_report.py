"""What is published on Grover search for weights, what of ours stands beside it, and the case's figures."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qgen.record import Record
from qgen.report import statistics, style
from qgen.report.cases import Facts, Published, Volume, Yearly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUANTUM, ADAM, ALL = "quantum/grover_weights", "classical/adam", "classical/coordinate"
UNTUNED = "control/untuned_gradient"
ABSTRACT = "arXiv:2504.14568, abstract"
LINES = {
    QUANTUM: ("#D55E00", "-"),
    ADAM: ("#0072B2", "-"),
    ALL: ("#009E73", "-"),
    "classical/random": ("#56B4E9", "--"),
    "control/no_amplification": ("#7A7A7A", ":"),
    UNTUNED: ("#000000", ":"),
}
LEAST = 16
"""Candidates from which on the law of the calls is fitted."""


def ideal(rows: Sequence[Record]) -> list[Record]:
    """The rows without noise."""
    return [row for row in rows if row.config["noise"] == 0]


def label(config: Mapping[str, Any]) -> str:
    """The heading of a setting."""
    noise = f", noise {config['noise']:g} per iteration" if config["noise"] else ""
    layers = "-".join(map(str, config["hidden"]))
    return f"{config['data']}, hidden layers {layers}, {2 ** config['qubits']} candidates{noise}"


def paired(rows: Sequence[Record], metric: str, rival: str) -> list[tuple[float, float]]:
    """The quantum arm's and a rival's metric per seed, means over the settings without noise that both ran."""
    found: dict[int, dict[str, dict[str, float]]] = {}
    for row in ideal(rows):
        if row.arm in (QUANTUM, rival):
            found.setdefault(row.seed, {}).setdefault(label(row.config), {})[row.arm] = row.metrics[metric]
    both = [[(own[QUANTUM], own[rival]) for own in seed.values() if len(own) == 2] for seed in found.values()]
    return [(float(np.mean([a for a, _ in pairs])), float(np.mean([b for _, b in pairs]))) for pairs in both if pairs]


def change(metric: str, rival: str) -> Callable[[Sequence[Record]], list[float]]:
    """The quantum arm's change over a rival in per cent, per seed."""
    return lambda rows: [100 * (own / other - 1) for own, other in paired(rows, metric, rival)]


def on_digits(arm: str) -> Callable[[Sequence[Record]], list[float]]:
    """Test accuracy on Digits, per seed."""
    return lambda rows: [
        row.metrics["test_accuracy"] for row in ideal(rows) if row.arm == arm and row.config["data"] == "digits"
    ]


class Law(NamedTuple):
    """Evaluations until the best of N candidates is held: factor * N^exponent."""

    factor: float
    exponent: float

    def calls(self, n: np.ndarray | float) -> np.ndarray:
        """The evaluations for N candidates."""
        return self.factor * np.asarray(n, dtype=float) ** self.exponent


def laws(rows: Sequence[Record]) -> list[Law]:
    """One law per seed whose calls were counted, fitted from LEAST candidates on (or all, where those are few)."""
    made = []
    for row in counted(rows):
        n, calls = (np.array(row.trace[name], dtype=float) for name in ("candidates", "calls"))
        kept = n >= (LEAST if n[-1] > LEAST else 0)
        exponent, logarithm = np.polyfit(np.log(n[kept]), np.log(np.maximum(calls[kept], 1e-9)), 1)
        made.append(Law(math.exp(logarithm), float(exponent)))
    return made


def counted(rows: Sequence[Record]) -> list[Record]:
    """The rows that hold counts of calls."""
    return [row for row in rows if row.arm == QUANTUM and row.trace.get("candidates")]


def work(rival: str) -> Callable[[Sequence[Record]], list[float]]:
    """Logarithm to base 10 of the quantum arm's forward passes over a rival's, per seed."""
    return lambda rows: [math.log10(own / other) for own, other in paired(rows, "passes", rival)]


def noise_loss(rows: Sequence[Record]) -> list[float]:
    """Points of accuracy that the most noise costs, per seed."""
    own = [row for row in rows if row.arm == QUANTUM]
    noisy = max((row.config["noise"] for row in own), default=0.0)
    most = {row.seed: row for row in own if row.config["noise"] == noisy and noisy > 0}
    calm = {
        row.seed: row
        for row in own
        for other in most.values()
        if row.config["noise"] == 0
        and (row.config["data"], row.config["hidden"]) == (other.config["data"], other.config["hidden"])
    }
    return [
        most[seed].metrics["test_accuracy"] - calm[seed].metrics["test_accuracy"] for seed in most.keys() & calm.keys()
    ]


def training(rows: Sequence[Record]) -> "Figure":
    """Least validation loss so far against forward passes, of every data set, and test accuracy against noise."""
    shown = list(dict.fromkeys(label(row.config) for row in ideal(rows) if row.arm == ADAM))[-2:]
    made = style.figure(2.8)
    axes = made.subplots(1, len(shown) + 1)
    for place, setting in enumerate(shown):
        for arm, (colour, dash) in LINES.items():
            own = [row for row in ideal(rows) if row.arm == arm and label(row.config) == setting]
            if not own:
                continue
            passes = np.mean([row.trace["passes"] for row in own], axis=0)
            losses = np.minimum.accumulate([row.trace["validation_loss"] for row in own], axis=1)
            found = [statistics.mean_interval(column) for column in losses.T]
            name = arm.split("/")[1].replace("_", " ")
            axes[place].plot(passes, [v.central for v in found], dash, color=colour, label=name)
            if len(own) > 1:
                ends = [v.low for v in found], [v.high for v in found]
                axes[place].fill_between(passes, *ends, color=colour, alpha=0.13, linewidth=0)
        axes[place].set(xscale="log", yscale="log", xlabel="passes of the training part")
        axes[place].set_title(setting.replace(", hidden layers", "").rsplit(",", 1)[0])
        axes[place].yaxis.set_major_formatter(_sparse)
        axes[place].yaxis.set_minor_formatter(_sparse)
    axes[0].set_ylabel("least validation loss so far (nats)")
    _noise(axes[-1], rows)
    made.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=6)
    return made


def _sparse(x: float, _: Any) -> str:
    """1, 2 and 5 of every decade as plain numbers."""
    return f"{x:g}" if f"{x:.0e}"[0] in "125" else ""


def _noise(axes: Any, rows: Sequence[Record]) -> None:
    noisy = [row for row in rows if row.config["noise"] > 0]
    settings = {(row.config["data"], tuple(row.config["hidden"])) for row in noisy}
    same = [row for row in rows if (row.config["data"], tuple(row.config["hidden"])) in settings]
    own = [row for row in same if row.arm == QUANTUM]
    levels = sorted({row.config["noise"] for row in own})
    found = [
        statistics.mean_interval([row.metrics["test_accuracy"] for row in own if row.config["noise"] == level])
        for level in levels
    ]
    middles = [v.central for v in found]
    axes.errorbar(
        range(len(levels)), middles, [v.high - v.central for v in found], fmt="o-", color=LINES[QUANTUM][0], capsize=2
    )
    control = [row.metrics["test_accuracy"] for row in same if row.arm == "control/no_amplification"]
    if control:
        axes.axhline(np.mean(control), ls=":", color=LINES["control/no_amplification"][0], label="no amplification")
        axes.legend(fontsize=6)
    axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    axes.set(xlabel="mixing per Grover iteration", ylabel="test accuracy (%)", title="noise")


def crossover(rows: Sequence[Record]) -> "Figure":
    """Evaluations against candidates; and for which networks and candidates the quantum search needs less work."""
    made = style.figure(3.0)
    left, right = made.subplots(1, 2)
    found, fitted = counted(rows), laws(rows)
    if not found:
        return made
    n = np.array(found[0].trace["candidates"], dtype=float)
    calls = np.array([row.trace["calls"] for row in found])
    spread = [statistics.mean_interval(column) for column in calls.T]
    half = [0.0 if math.isnan(v.high) else v.high - v.central for v in spread]
    left.errorbar(
        n, [v.central for v in spread], half, fmt="o", color=LINES[QUANTUM][0], ms=3, label="Grover (Dürr-Høyer)"
    )
    law = Law(
        math.exp(np.mean([math.log(one.factor) for one in fitted])), float(np.mean([one.exponent for one in fitted]))
    )
    left.plot(n, law.calls(n), color=LINES[QUANTUM][0], label=f"{law.factor:.2g} N^{law.exponent:.2f}")
    left.plot(n, n - 1, color=LINES[ALL][0], label="all candidates: N - 1")
    left.set(xscale="log", yscale="log", xlabel="candidates per weight N", ylabel="evaluations until the best is held")
    left.set_title("evaluations per weight, coherent and single")
    left.legend(fontsize=6)
    _map(made, right, rows, law)
    return made


class Needed(NamedTuple):
    """The work of the largest network with one seed.

    Attributes:
        visits: passes of the training part that one evaluation per weight would have taken until the best network.
        adam: Adam's passes until the same validation loss (or its own best, where it found none as good).
    """

    visits: float
    adam: float


def needed(rows: Sequence[Record]) -> dict[int, Needed]:
    """Seed -> what the largest network needed, where both arms trained it."""
    largest = max((row.metrics["weights"] for row in ideal(rows)), default=0.0)
    own = {row.seed: row for row in ideal(rows) if row.arm == QUANTUM and row.metrics["weights"] == largest}
    other = {row.seed: row for row in ideal(rows) if row.arm == ADAM and row.metrics["weights"] == largest}
    made = {}
    for seed in sorted(own.keys() & other.keys()):
        row, curve = own[seed], np.array(own[seed].trace["validation_loss"])
        per_visit = min(row.config["batch"], row.metrics["examples"]) / row.metrics["examples"]
        # All sweeps spend the same, so that the share of the passes is that of the sweeps.
        sweeps = row.config["sweeps"] * row.trace["passes"][int(curve.argmin())] / row.trace["passes"][-1]
        rival = np.minimum.accumulate(other[seed].trace["validation_loss"])
        place = int(np.argmax(rival <= max(curve.min(), rival[-1])))
        made[seed] = Needed(sweeps * per_visit, other[seed].trace["passes"][place])
    return made


def equal_weights(rows: Sequence[Record]) -> list[float]:
    """Weights of the network for which the search needs as many passes as Adam, with LEAST candidates, per seed."""
    found = {row.seed: law for row, law in zip(counted(rows), laws(rows), strict=True)}
    spent = needed(rows)
    return [spent[seed].adam / (spent[seed].visits * float(found[seed].calls(LEAST))) for seed in spent.keys() & found]


def _map(made: "Figure", axes: Any, rows: Sequence[Record], law: Law) -> None:
    measured = list(needed(rows).values())
    if not measured:
        return
    share = np.mean([one.visits for one in measured]) / np.mean([one.adam for one in measured])
    weights, n = np.geomspace(1, 1e12, 240), np.geomspace(2, 2**20, 200)
    ratio = share * weights[None, :] * law.calls(n)[:, None]
    colours = axes.pcolormesh(
        weights, n, np.log10(ratio), cmap="PuOr_r", vmin=-12, vmax=12, shading="auto", rasterized=True
    )
    made.colorbar(colours, ax=axes, label="log10 (quantum passes / Adam's)")
    axes.contour(weights, n, np.log10(ratio), [0.0], colors="black", linewidths=1.2)
    gain = n[np.argmax(law.calls(n) < n - 1)]
    axes.axhline(gain, color="black", ls=":", lw=0.8)
    axes.text(3e3, gain * 1.25, "above: fewer evaluations than all candidates", fontsize=6)
    for place in {(row.metrics["weights"], 2 ** row.config["qubits"]) for row in ideal(rows)}:
        axes.plot(*place, "k.", ms=4)
    axes.set(xscale="log", yscale="log", xlabel="weights W", ylabel="candidates per weight N")
    axes.set_title("black line: equal work; dots: networks trained here")


def effect(what: str, value: float | None, metric: str, rival: str, margin: float = 1.0) -> Published:
    """A published change in per cent, where 0 is none."""
    return Published(what, value, ABSTRACT, change(metric, rival), margin=margin, none=0.0, unit="%")


PUBLISHED = (
    effect("test loss against gradient training; ours: tuned Adam", -58.75, "test_loss", ADAM),
    effect("test accuracy against gradient training; ours: tuned Adam", 35.25, "test_accuracy", ADAM),
    effect("the same loss; ours: 10 epochs of untuned descent", -58.75, "test_loss", UNTUNED),
    effect("the same accuracy; ours: 10 epochs of untuned descent", 35.25, "test_accuracy", UNTUNED),
    Published("accuracy on Digits, three hidden layers", 97.7, ABSTRACT, on_digits(QUANTUM), margin=0.05, unit="%"),
    Published("the same with tuned Adam", None, "", on_digits(ADAM), unit="%"),
    Published(
        "exponent of the evaluations per weight in the number of candidates N",
        0.5,
        "arXiv:2504.14568, O(sqrt N)",
        lambda rows: [law.exponent for law in laws(rows)],
        margin=0.02,
        none=1.0,
    ),
    effect("test loss against the best of all candidates", None, "test_loss", ALL),
    Published("log10 of forward passes over tuned Adam's", None, "", work(ADAM)),
    Published("log10 of forward passes over those of all candidates", None, "", work(ALL)),
    Published("weights for which passes are as many as Adam's, 16 candidates", None, "", equal_weights),
    Published("accuracy at the most noise minus none", None, "noise robustness, no number", noise_loss, unit="points"),
)

FACTS = Facts(
    name="weights",
    title="Grover search for weights (Politehnica Timisoara)",
    source="Jura and Udrescu, arXiv:2504.14568 (2025)",
    substitutions=(
        "Candidates, reach, mini-batches, widths and splits are ours: the article's are not visible.",
        "Its baseline is not visible either: ours is Adam, tuned over as many configurations as the quantum arm.",
    ),
    published=PUBLISHED,
    yearly=Yearly(
        Volume(
            "trainings a year",
            12,
            365,
            8760,
            "no operator is named; one network, trained anew every day (every month to every hour): our assumption.",
        ),
        classical=ADAM,
        quantum=QUANTUM,
        chosen=lambda row: bool(row.measured),
    ),
    columns={
        "test_loss": "test loss",
        "test_accuracy": "test accuracy, %",
        "passes": "passes of the data",
        "coherent_calls": "coherent calls",
        "weights": "weights",
    },
    label=label,
    notes=(
        "Passes: forward passes of the training part; a gradient counts as three, a coherent evaluation as one.",
        "Coherent calls: mini-batch losses that an oracle evaluates in superposition.",
    ),
)
FIGURES = {"weights_training": training, "weights_crossover": crossover}
