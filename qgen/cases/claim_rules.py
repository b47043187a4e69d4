"""The rules of the 23 claims: from the rows of cases and lifecycle to an Answer each."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qgen.cases import (
    clinical_report,
    flights_report,
    grid_report,
    language_model_arms,
    language_model_rows,
    weights_report,
)
from qgen.cases.claims import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Answer,
    Book,
    above,
    all_of,
    below,
    effect,
    shown,
)
from qgen.record import Record
from qgen.report import cases, compare, select, statistics, words
from qgen.report.cases import Published
from qgen.report.statistics import Interval

LOW = 0.05
"""Our threshold for a low potential: a twentieth of a life's energy."""


def mean(values: Sequence[float]) -> Interval | None:
    """Mean with 95 % interval; None of nothing."""
    return statistics.mean_interval(values) if len(values) else None


def per_seed(rows: Sequence[Record], metric: str) -> dict[int, float]:
    """Seed -> metric."""
    return {row.seed: row.metrics[metric] for row in rows if metric in row.metrics}


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """Differences over the seeds that both have."""
    return [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]


def prompt(book: Book) -> Answer | None:
    """1: Wh of a long prompt, from a published measurement of accelerators times what the rest of a centre adds."""
    rows = book.of("claims", "prompt")
    if not rows:
        return None
    found = rows[-1].metrics
    own = Interval(found["wh"], found["wh_low"], found["wh_high"])
    verdicts = [above(own, 33.0), above(own, 29.0)]
    return Answer(shown(own, "Wh"), all_of(verdicts), rows)


def stages(book: Book) -> Mapping[str, compare.StageTable]:
    """The lifecycle's stages, compared; empty without records."""
    if not any(row.experiment == "lifecycle" for row in book.records):
        return {}
    found = compare.stage_tables(select.latest(book.records, "lifecycle"), select.article())
    return {stage.name: stage for stage in found}


def swapped(stage: compare.StageTable) -> tuple[compare.Comparison, str, compare.Projection] | None:
    """The stage's quantum arm on the machine of the least median ratio to the best classical arm."""
    arm = next((arm for arm in stage.arms if arm.arm == stage.facts.swap), None)
    ratios = {name: p.ratio.central for name, p in arm.projections.items() if p.ratio is not None} if arm else {}
    if arm is None or not ratios:
        return None
    machine = min(ratios, key=ratios.__getitem__)
    return arm, machine, arm.projections[machine]


def curation(book: Book) -> Answer | None:
    """2: the energy of finding duplicates by swap tests over that of the best classical arm, and recall beside it."""
    stage = stages(book).get("curation")
    found = swapped(stage) if stage else None
    if stage is None or stage.best is None or found is None or found[2].ratio is None:
        return None
    arm, machine, projection = found
    own, rival = book.lifecycle("curation", arm.arm), book.lifecycle("curation", stage.best.arm)
    recall = mean(paired(per_seed(own, "recall"), per_seed(rival, "recall")))
    # Both remove duplicates before the same training: no more is saved downstream than the better recall saves.
    value = (
        f"energy x{shown(found[2].ratio)} on {machine}, recall {shown(recall)} against {stage.best.arm.split('/')[1]}"
    )
    cheaper = below(projection.ratio, 1.0) if projection.ratio else UNDECIDED
    return Answer(value, cheaper if cheaper != HOLDS or arm.equal else FAILS, [*own, *rival])


def potential(book: Book) -> Answer | None:
    """3: the share of a life's energy that quantum curation could save."""
    stage = stages(book).get("curation")
    found, shares = swapped(stage) if stage else None, book.of("shares", "curation")
    if found is None or not shares or found[2].ratio is None:
        return None
    share, ratio = shares[-1].metrics, found[2].ratio
    # Most that could be saved: the largest share times the greatest saving in the stage.
    ends = [max(0.0, 1 - end) for end in (ratio.central, ratio.high, ratio.low)]
    own = Interval(share["share"] * ends[0], share["share_low"] * ends[1], share["share_high"] * ends[2])
    value = f"{shown(own)} of a life's energy saved; the stage works on {words.significant(share['share'])} of it"
    return Answer(value, below(own, LOW), [*shares, *book.lifecycle("curation", found[0].arm)])


def adaptation(book: Book) -> Answer | None:
    """4: balanced accuracy that the version for noise gains, by either metric, over all machines."""
    rows = book.case("grid")
    data = "profiles" if any(row.config["data"] == "profiles" for row in rows) else "blobs"
    answers = []
    for metric in ("amplitude", "angle"):
        own = mean(grid_report.gains(metric, data, grid_report.noisy)(rows))
        if own is not None:
            number = Published("", 67.8, "", lambda rows: [], margin=0.05, none=0.0)
            answers.append((f"{metric} {shown(own, '%')}", effect(own, number)))
    if not answers:
        return None
    return Answer("; ".join(value for value, _ in answers), all_of([word for _, word in answers]), rows)


def clustering(book: Book) -> Answer | None:
    """5: inertia of swap-test k-means minus that of the classical one, and energies."""
    rows = [row for row in book.case("grid") if row.measured]
    years = cases.years(rows, grid_report.FACTS)
    projected, measured = ([year for year in years if bool(year.machine) == kind] for kind in (True, False))
    rivals = per_seed([row for row in rows if row.arm == "classical/kmeans"], "inertia_ratio")
    best = {
        arm: mean(paired(per_seed([row for row in rows if row.arm == arm], "inertia_ratio"), rivals))
        for arm in dict.fromkeys(row.arm for row in rows if row.arm.startswith("quantum/"))
    }
    found = {arm: own for arm, own in best.items() if own is not None}
    if not found or not projected or not measured:
        return None
    arm = min(found, key=lambda name: found[name].central)
    least = min(projected, key=lambda year: float(np.median(year.per_unit_j)))
    ratio = statistics.summary(least.per_unit_j / measured[0].per_unit_j)
    value = f"inertia {shown(found[arm])} ({arm.split('/')[1]}, the best); energy x{shown(ratio)} on {least.machine}"
    # Equal to the last digit is not better either.
    worse = above(found[arm], -1e-6)
    return Answer(value, all_of([worse, above(ratio, 1.0)]), rows)


def loading(book: Book) -> Answer | None:
    """6: qubits and two-qubit gates per execution of log2 N loaders, counted, against N."""
    counted: dict[int, tuple[float, float]] = {}
    rows = [
        row
        for row in book.case("clinical")
        if row.arm == "quantum/qksvm_log2n" and row.resources and not row.config["sizes"]
    ]
    for row in rows:
        counted[row.config["features"]] = (
            row.resources["qubits"],
            row.resources["gates_2q"] / row.resources["shots"],
        )
    if len(counted) < 2:
        return None
    sizes = sorted(counted)
    few = all(counted[n][0] == np.ceil(np.log2(n)) for n in sizes)
    linear = all(counted[n][1] <= 2 * n for n in sizes)
    value = "; ".join(f"N={n}: {counted[n][0]:.0f} qubits, {counted[n][1]:.0f} gates" for n in sizes) + " (counted)"
    return Answer(value, HOLDS if few and linear else FAILS, rows)


def encodings(book: Book) -> Answer | None:
    """7: points of AUC that log2 N gains over N qubits, mean over the three classifiers, per split and data set."""
    rows = book.case("clinical")
    found: dict[str, list[float]] = {}
    for data in dict.fromkeys(row.config["data"] for row in rows):
        gains = []
        for rule in ("qdc", "qksvm", "sqksvm"):
            pair = [
                {row.seed: 100 * row.metrics["hard_auc"] for row in rows if is_exact(row, data, f"quantum/{rule}_{e}")}
                for e in ("log2n", "n")
            ]
            gains.append(paired(*pair))
        if all(gains):
            found[data] = list(np.mean(gains, axis=0))
    if not found:
        return None
    own = {data: statistics.mean_interval(values) for data, values in found.items()}
    value = "; ".join(f"{data} {shown(interval, 'points')}" for data, interval in own.items())
    return Answer(value, all_of([above(interval, 0.0) for interval in own.values()]), rows)


def is_exact(row: Record, data: str, arm: str) -> bool:
    """Whether a row is of the article's setting: exact, ten folds, eight features."""
    return row.arm == arm and clinical_report.is_base(row, data)


def small(rows: Sequence[Record], arm: str, size: int) -> dict[int, float]:
    """Seed -> AUC in points after training on so many patients."""
    found = {row.seed: row.metrics for row in rows if row.arm == arm and size in row.config["sizes"]}
    return {seed: 100 * metrics[f"hard_auc_n{size}"] for seed, metrics in found.items()}


def sample_sizes(rows: Sequence[Record]) -> list[int]:
    """All sizes of small training sets."""
    return sorted({size for row in rows for size in row.config["sizes"]})


def small_and_large(book: Book) -> Answer | None:
    """8: qDC minus qKSVM with the fewest training patients and with ten folds."""
    rows = book.case("clinical")
    sizes = sample_sizes(rows)
    full = [
        {row.seed: 100 * row.metrics["hard_auc"] for row in rows if is_exact(row, "wisconsin", arm)}
        for arm in ("quantum/qdc_log2n", "quantum/qksvm_log2n")
    ]
    large = mean(paired(*full))
    if not sizes or large is None:
        return None
    few = mean(paired(small(rows, "quantum/qdc_log2n", sizes[0]), small(rows, "quantum/qksvm_log2n", sizes[0])))
    if few is None:
        return None
    value = f"n={sizes[0]}: {shown(few, 'points')}; ten folds: {shown(large, 'points')}"
    return Answer(value, all_of([above(few, 0.0), below(large, 0.0)]), rows)


def noise_loss(book: Book) -> Answer | None:
    """9: points that sqKSVM loses with errors of up to 1 % per two-qubit gate, at equal shots."""
    rows = [row for row in book.case("clinical") if row.arm == "quantum/sqksvm_log2n" and row.config["shots"]]
    most = max((row.config["shots"] for row in rows), default=0)
    rows = [row for row in rows if row.config["shots"] == most and row.config["features"] == 8]
    clean = {row.seed: 100 * row.metrics["hard_auc"] for row in rows if row.config["error"] == 0}
    losses = {}
    for error in sorted({row.config["error"] for row in rows} - {0.0}):
        noisy = {row.seed: 100 * row.metrics["hard_auc"] for row in rows if row.config["error"] == error}
        if error <= 0.01 and paired(clean, noisy):
            losses[error] = statistics.mean_interval(paired(clean, noisy))
    if not losses:
        return None
    value = "; ".join(f"error {error:g}: {shown(own, 'points')}" for error, own in losses.items())
    return Answer(f"{value} at {most} shots", all_of([below(own, 2.0) for own in losses.values()]), rows)


def few_samples(book: Book) -> Answer | None:
    """10: the best quantum minus the best classical classifier for each number of training patients."""
    rows = [row for row in book.case("clinical") if row.config["sizes"]]
    found = {}
    for size in [size for size in sample_sizes(rows) if 10 <= size <= 100]:
        best = []
        for family in ("quantum", "classical"):
            arms = {row.arm for row in rows if row.arm.startswith(family)}
            numbers = {arm: small(rows, arm, size) for arm in arms}
            numbers = {arm: each for arm, each in numbers.items() if each}
            if numbers:
                best.append(max(numbers.values(), key=lambda each: float(np.mean(list(each.values())))))
        if len(best) == 2 and paired(*best):
            found[size] = statistics.mean_interval(paired(*best))
    if not found:
        return None
    value = "; ".join(f"n={size}: {shown(own, 'points')}" for size, own in found.items())
    verdicts = [above(own, 0.0) for own in found.values()]
    return Answer(value, HOLDS if HOLDS in verdicts and FAILS not in verdicts else all_of(verdicts), rows)


def surrogate(numbers: Callable[[Sequence[Record], str], list[float]]) -> Callable[[Book], Answer | None]:
    """11, 12: the Fourier surrogate's cost of a target score over TPE's, and over its classical twin's."""

    def rule(book: Book) -> Answer | None:
        rows = book.case("flights")
        ratios = {}
        for rival in (flights_report.STANDARD, flights_report.PROCESS, flights_report.RIDGE):
            found = flights_report.ratio(numbers, rival)(rows) if rows else []
            own = found if isinstance(found, Interval) else mean(found)
            if own is not None:
                ratios[rival] = own
        if flights_report.STANDARD not in ratios:
            return None
        value = "; ".join(f"x{shown(own)} of {rival.split('/')[1]}" for rival, own in ratios.items())
        return Answer(value, below(ratios[flights_report.STANDARD], 1.0), rows)

    return rule


def exponent(book: Book) -> Answer | None:
    """13: the exponent of counted evaluations per weight in the number of candidates."""
    rows = book.case("weights")
    own = mean([law.exponent for law in weights_report.laws(rows)])
    number = Published("", 0.5, "", lambda rows: [], margin=0.02, none=1.0)
    return None if own is None else Answer(shown(own), effect(own, number), rows)


def against_gradient(book: Book) -> Answer | None:
    """14: changes of test loss and accuracy against tuned Adam."""
    rows = book.case("weights")
    answers = []
    for metric, value in (("test_loss", -58.75), ("test_accuracy", 35.25)):
        own = mean(weights_report.change(metric, weights_report.ADAM)(rows))
        if own is None:
            return None
        number = Published("", value, "", lambda rows: [], margin=1.0, none=0.0)
        answers.append((f"{metric.replace('_', ' ')} {shown(own, '%')}", effect(own, number)))
    return Answer("; ".join(value for value, _ in answers), all_of([word for _, word in answers]), rows)


def digits(book: Book) -> Answer | None:
    """15: mean accuracy on Digits; Adam's on the same network beside it."""
    rows = book.case("weights")
    own, adam = (mean(weights_report.on_digits(arm)(rows)) for arm in (weights_report.QUANTUM, weights_report.ADAM))
    # The published number's last digit.
    return None if own is None else Answer(f"{shown(own, '%')}; Adam {shown(adam, '%')}", above(own, 97.65), rows)


def oracle_work(book: Book) -> Answer | None:
    """16: forward passes of Grover search over Adam's on the trained networks, and the weights of equal work."""
    rows = book.case("weights")
    own = mean(weights_report.work(weights_report.ADAM)(rows)) if rows else None
    if own is None:
        return None
    value = f"10^({shown(own)}) times Adam's passes"
    if (equal := mean(weights_report.equal_weights(rows))) is not None:
        value += f"; as many for a network of {shown(equal)} weights"
    return Answer(value, below(own, 0.0), rows)


EXACT = (("", "accuracy", language_model_rows.of),)
SHOTS_AND_NOISE = (
    (" at 1000 shots", "accuracy_shots_1000", language_model_rows.of),
    (" at a gate error of 0.01", language_model_rows.NOISE, language_model_rows.of_noise),
)


def gains(rivals: Sequence[Sequence[str]], conditions: Sequence[tuple] = EXACT) -> Callable[[Book], Answer | None]:
    """17, 19, 20: points of accuracy of the quantum head over the best of some rivals; over all such sets at once.

    Args:
        rivals: sets of arms.
        conditions: words, the metric, and what picks the rows; the claim must hold in each.
    """

    def rule(book: Book) -> Answer | None:
        rows = book.case("language_model")
        found = []
        for where, metric, pick in conditions:
            for names in rivals:
                own = mean(language_model_rows.gain(language_model_arms.HEAD, names, metric, pick)(rows))
                if own is None:
                    return None
                rival = names[0].split("/")[1] if len(names) == 1 else "the best classical"
                found.append((f"{shown(own, 'points')} over {rival}{where}", above(own, 0.0)))
        return Answer("; ".join(value for value, _ in found), all_of([holds for _, holds in found]), rows)

    return rule


def widths(book: Book) -> Answer | None:
    """18: points of accuracy per further qubit."""
    rows = book.case("language_model")
    own = mean(language_model_rows.slope(rows))
    return None if own is None else Answer(shown(own, "points per qubit"), above(own, 0.0), rows)


def simulator(book: Book) -> Answer | None:
    """21: qubits at which a trapped-ion machine of today uses less than a simulator of the circuit."""
    rows = [row for row in book.of("breakeven", "circuit") if "claim" in row.config and "size" in row.metrics]
    found = {
        row.config["rival"].split("/")[1]: Interval(*(row.metrics[f"size{end}"] for end in ("", "_low", "_high")))
        for row in rows
    }
    case = book.case("language_model")
    own = language_model_rows.against_simulation(case)
    if isinstance(own, Interval):
        found["the head's simulation"] = own
    if not found:
        return None
    value = "; ".join(f"{shown(one)} qubits against {rival}" for rival, one in found.items())
    inside = [one.low - 1 <= 34 <= one.high + 1 for one in found.values()]
    return Answer(value, HOLDS if all(inside) else UNDECIDED if any(inside) else FAILS, [*rows, *case])


def classical_model(book: Book) -> Answer | None:
    """22: joules per classified sentence on the most frugal machine over those of logistic regression."""
    rows = book.case("language_model")
    own = language_model_rows.against_classical(rows)
    return Answer(f"energy x{shown(own)}", below(own, 1.0), rows) if isinstance(own, Interval) else None


def power(book: Book) -> Answer | None:
    """23: stages whose quantum arm uses less energy at equal quality, and what time ratio cancels its lower power."""
    rows = book.of("power")
    found = {name: each for name, stage in stages(book).items() if (each := swapped(stage))}
    if not rows or not found:
        return None
    cancelled = [row.metrics["cluster_time_ratio"] for row in rows if "cluster_time_ratio" in row.metrics]
    words_of = [
        below(projection.ratio, 1.0) if arm.equal and projection.ratio else FAILS
        for arm, _, projection in found.values()
    ]
    value = (
        f"less energy in {words_of.count(HOLDS)} of {len(found)} stages; a cluster's higher power is cancelled at a "
        f"time ratio of {min(cancelled):.0f} to {max(cancelled):.0f}"
    )
    return Answer(value, all_of(words_of), rows)
