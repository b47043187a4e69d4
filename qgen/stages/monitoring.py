"""Monitoring: requests to the deployed model are watched for anomalies and for a drift of their domain.

Problem: hidden states of requests; a reference, a stream that drifts to the first domain, and corrupted requests.
Classical: isolation forest, one-class SVM with an RBF kernel, Mahalanobis distance on all features; KS and MMD tests.
Quantum: one-class SVM and MMD with an IQP kernel whose every entry is measured with shots.
Score: AUROC of the anomalies among undrifted requests; power, false alarms and delay of the drift test.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.check import Count, Part, Positive, Share
from qgen.classical import anomaly, detect
from qgen.lm import transformer
from qgen.quantum import kernel
from qgen.stages import requests
from qgen.stages.base import Arm, Artefacts, Outcome, Quality, Stage, Use
from qgen.types import Key

SCORED = 1000
"""Requests that one use of the answer scores."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        length: tokens of a request.
        reference: requests known to be normal.
        windows: windows of the stream; the second half drifts.
        window: requests in a window.
        drift: share of the first domain in the last window; it grows linearly from the middle of the stream.
        anomalies: corrupted requests.
        severity: share of a request's tokens that is corrupted.
        features: what detectors see: the loss and principal components; qubits of the kernel.
        trials: what every detector tries, as multiples of its own first guess.
        nu: share of the reference that a one-class SVM may leave outside.
        trees: of the forest.
        reps: repetitions of the feature map.
        bandwidth: first guess for the kernel's bandwidth, radians per standard deviation of a feature.
        shots: per kernel entry.
        permutations: of an MMD test.
        alpha: level of the drift tests.
    """

    length: Count = 32
    reference: Annotated[int, functools.partial(check.at_least, bound=4)] = 96
    windows: Annotated[int, functools.partial(check.at_least, bound=2)] = 16
    window: Annotated[int, functools.partial(check.at_least, bound=2)] = 16
    drift: Annotated[float, functools.partial(check.within, low=0.01, high=1)] = 0.8
    anomalies: Count = 60
    severity: Share = 0.4
    features: Annotated[int, functools.partial(check.within, low=2, high=16)] = 6
    trials: tuple[Positive, ...] = (0.25, 0.5, 1.0, 2.0)
    nu: Annotated[float, functools.partial(check.within, low=1e-6, high=1)] = 0.1
    trees: Count = 100
    reps: Count = 2
    bandwidth: Positive = 0.2
    shots: Count = 1024
    permutations: Count = 199
    alpha: Part = 0.05

    def __post_init__(self) -> None:
        """Refuses what no stream can be watched with."""
        check.fields("monitoring", self)


class Problem(NamedTuple):
    """Features of requests: mean hidden state and mean loss, which the deployed model computes while it serves them.

    Attributes:
        reference: [reference, width + 1].
        stream: [windows * window, width + 1].
        anomalies: [anomalies, width + 1].
        shares: the first domain's share in each window, [windows].
        alpha: level of the drift tests.
    """

    reference: np.ndarray
    stream: np.ndarray
    anomalies: np.ndarray
    shares: np.ndarray
    alpha: float


class Monitored(NamedTuple):
    """What a monitor says.

    Attributes:
        scores: higher is more anomalous: the stream's requests, then the corrupted ones.
        p_values: of the drift test of each window.
        scorer: features of any number of requests -> their scores.
    """

    scores: np.ndarray
    p_values: np.ndarray
    scorer: jax.tree_util.Partial


def problem(key: Key, config: Config, artefacts: Artefacts) -> Problem:
    """Cuts both domains into requests, lets one drift into the other, and corrupts some."""
    model = transformer.Config(**artefacts.adapted_model or {})
    params, gates = jax.tree.map(jnp.asarray, artefacts.deployed), jnp.asarray(artefacts.gates)
    length = min(config.length, model.context - 1)
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    n_stream = config.windows * config.window
    # Reference and stream are drawn from one pool, so that only the planted drift tells them apart.
    second = requests.cut(generator, artefacts.tokenizer, (*artefacts.samples, *artefacts.samples_holdout), length)
    second = requests.take(second, config.reference + n_stream + config.anomalies)
    first = requests.take(requests.cut(generator, artefacts.tokenizer, artefacts.holdout, length), n_stream)
    reference, stream, spoilt = np.split(second, [config.reference, config.reference + n_stream])
    half = config.windows // 2
    rising = np.arange(1, config.windows - half + 1) / (config.windows - half)
    shares = np.concatenate([np.zeros(half), config.drift * rising])
    foreign = generator.random((config.windows, config.window)) < shares[:, None]
    stream = np.where(foreign.reshape(-1, 1), first, stream)
    spoil = functools.partial(
        requests.corrupted, generator, tokenizer_json=artefacts.tokenizer, severity=config.severity
    )
    spoilt = np.stack([spoil(request, kind=place % 3) for place, request in enumerate(spoilt)])
    everything = np.concatenate([reference, stream, spoilt])
    features = np.asarray(requests.hidden_features(params, gates, jnp.asarray(everything), model))
    known, watched, strange = np.split(features, [len(reference), len(reference) + n_stream])
    return Problem(known, watched, strange, shares, config.alpha)


def score(problem: Problem, answer: Monitored) -> dict[str, float]:
    """Detection of anomalies among undrifted requests, and what the drift tests found."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    window = len(problem.stream) // len(problem.shares)
    calm = np.repeat(problem.shares == 0, window)
    ordinary, strange = answer.scores[: len(calm)][calm], answer.scores[len(calm) :]
    labels = np.concatenate([np.zeros(len(ordinary)), np.ones(len(strange))])
    scores = np.concatenate([ordinary, strange])
    flagged = answer.p_values <= problem.alpha
    drifted = problem.shares > 0
    after = flagged[drifted]
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
        "drift_power": float(after.mean()),
        "false_alarms": float(flagged[~drifted].mean()),
        "drift_delay": float(np.argmax(after) if after.any() else len(after)),
    }


def _arranged(key: Key, problem: Problem, how: detect.Reduction) -> detect.Data:
    return detect.arrange(key, how, problem.reference, problem.stream, problem.anomalies, len(problem.shares))


def _detect(
    key: Key,
    config: Config,
    data: detect.Data,
    entries: detect.Entries,
    repair: Callable[[np.ndarray], np.ndarray] | None = None,
    drift_trial: float | None = None,
) -> detect.Detected:
    return detect.detect(
        key,
        data,
        entries,
        trials=config.trials,
        nu=config.nu,
        permutations=config.permutations,
        repair=repair,
        drift_trial=drift_trial,
    )


def _seed(key: Key) -> int:
    return int(np.random.default_rng(np.asarray(jax.random.key_data(key))).integers(2**31 - 1))


def forest(config: Config) -> Arm:
    """Isolation forest; Kolmogorov-Smirnov tests of every component."""

    def solve(key: Key, problem: Problem) -> Outcome:
        how = detect.reduction(problem.reference, config.features)
        seed = _seed(key)

        def fit(x: np.ndarray, trial: float) -> anomaly.Forest:
            return anomaly.fit_forest(seed, x, config.trees, min(len(x), max(2, round(0.5 * trial * len(x)))))

        detector, scores, p_values, found = detect.tuned(
            config.trials, _arranged(key, problem, how), fit, anomaly.forest_score
        )
        scorer = jax.tree_util.Partial(score_forest, how, detector)
        return Outcome(Monitored(scores, p_values, scorer), trace={"trials": jnp.asarray(found)})

    return Arm("classical/isolation_forest", solve, "drift by Kolmogorov-Smirnov tests with Bonferroni's correction")


def score_forest(how: detect.Reduction, detector: anomaly.Forest, features: np.ndarray) -> np.ndarray:
    """Scores of raw features by an isolation forest."""
    return anomaly.forest_score(detector, detect.reduce(how, features))


def mahalanobis(config: Config) -> Arm:
    """Mahalanobis distance on all features; Kolmogorov-Smirnov tests of every feature."""

    def solve(key: Key, problem: Problem) -> Outcome:
        how = detect.reduction(problem.reference, None)

        def fit(x: np.ndarray, trial: float) -> anomaly.Gaussian:
            return anomaly.fit_gaussian(x, min(1.0, 0.1 * trial))

        detector, scores, p_values, found = detect.tuned(
            config.trials, _arranged(key, problem, how), fit, anomaly.gaussian_score
        )
        scorer = jax.tree_util.Partial(score_gaussian, how, detector)
        return Outcome(Monitored(scores, p_values, scorer), trace={"trials": jnp.asarray(found)})

    return Arm("classical/mahalanobis", solve, "on all features; drift by Kolmogorov-Smirnov tests with Bonferroni")


def score_gaussian(how: detect.Reduction, detector: anomaly.Gaussian, features: np.ndarray) -> np.ndarray:
    """Scores of raw features by the Mahalanobis distance."""
    return anomaly.gaussian_score(detector, detect.reduce(how, features))


def rbf(config: Config, repair: Callable[[np.ndarray], np.ndarray] | None = None) -> Arm:
    """One-class SVM and MMD with an RBF kernel; with `repair`, all that stays classical beside a measured kernel."""

    def solve(key: Key, problem: Problem) -> Outcome:
        how = detect.reduction(problem.reference, config.features)
        data = _arranged(key, problem, how)
        first = anomaly.median_gamma(data.items[: data.reference])

        def entries(key: Key, trial: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            return anomaly.rbf(data.items[rows], data.items[columns], first * trial**2)

        # The drift test keeps the median heuristic, the usual choice for it.
        seen = _detect(key, config, data, entries, repair, drift_trial=1.0)
        scorer = jax.tree_util.Partial(score_rbf, how, seen.support, first * seen.trial**2)
        return Outcome(Monitored(seen.scores, seen.p_values, scorer), trace={"trials": jnp.asarray(seen.found)})

    return Arm("classical/ocsvm_rbf", solve, "drift by MMD with the median heuristic")


def score_rbf(how: detect.Reduction, support: anomaly.Support, gamma: float, features: np.ndarray) -> np.ndarray:
    """Scores of raw features by a one-class SVM with an RBF kernel."""
    return anomaly.support_score(support, anomaly.rbf(detect.reduce(how, features), support.items, gamma))


def random_fourier(config: Config) -> Arm:
    """As many random Fourier features as the quantum kernel has amplitudes."""

    def solve(key: Key, problem: Problem) -> Outcome:
        how = detect.reduction(problem.reference, config.features)
        data = _arranged(key, problem, how)
        first = anomaly.median_gamma(data.items[: data.reference])
        seed, width = _seed(key), data.items.shape[1]

        def drawn(trial: float) -> anomaly.Fourier:
            return anomaly.draw_fourier(seed, width, 2**width, first * trial**2)

        def entries(key: Key, trial: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            waves = anomaly.fourier_features(drawn(trial), data.items)
            return waves[rows] @ waves[columns].T

        seen = _detect(key, config, data, entries)
        scorer = jax.tree_util.Partial(score_fourier, how, seen.support, drawn(seen.trial))
        return Outcome(Monitored(seen.scores, seen.p_values, scorer), trace={"trials": jnp.asarray(seen.found)})

    return Arm("control/random_fourier", solve, "2^features random Fourier features of an RBF kernel, no circuit")


def score_fourier(
    how: detect.Reduction, support: anomaly.Support, waves: anomaly.Fourier, features: np.ndarray
) -> np.ndarray:
    """Scores of raw features by a one-class SVM on random Fourier features."""
    products = (
        anomaly.fourier_features(waves, detect.reduce(how, features)) @ anomaly.fourier_features(waves, support.items).T
    )
    return anomaly.support_score(support, products)


def iqp(config: Config, name: str, pairs: kernel.Pairs, shots: int, note: str) -> Arm:
    """One-class SVM and MMD with an IQP kernel, measured with shots (0: exactly)."""

    def solve(key: Key, problem: Problem) -> Outcome:
        how = detect.reduction(problem.reference, config.features)
        data = _arranged(key, problem, how)

        @functools.lru_cache(maxsize=2)
        def exact(trial: float) -> np.ndarray:
            states = kernel.states(data.items, config.bandwidth * trial, config.reps, pairs)
            return kernel.gram(states, states)

        def entries(key: Key, trial: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            chances = exact(trial)[np.ix_(rows, columns)]
            if not shots:
                return chances
            measure = kernel.measured_gram if rows is columns else kernel.measured
            return measure(key, chances, shots)

        seen = _detect(key, config, data, entries, repair=kernel.repaired if shots else None)
        bandwidth = config.bandwidth * seen.trial
        scorer = jax.tree_util.Partial(score_iqp, how, seen.support, bandwidth, config.reps, pairs)
        used = kernel.resources(data.items.shape[1], config.reps, pairs, seen.entries, shots) if shots else ()
        return Outcome(Monitored(seen.scores, seen.p_values, scorer), used, {"trials": jnp.asarray(seen.found)})

    return Arm(name, solve, note, rbf(config, kernel.repaired).solve if shots else None)


def score_iqp(
    how: detect.Reduction,
    support: anomaly.Support,
    bandwidth: float,
    reps: int,
    pairs: kernel.Pairs,
    features: np.ndarray,
) -> np.ndarray:
    """Scores of raw features by a one-class SVM with an IQP kernel, simulated exactly."""
    left = kernel.states(detect.reduce(how, features), bandwidth, reps, pairs)
    right = kernel.states(support.items, bandwidth, reps, pairs)
    return anomaly.support_score(support, kernel.gram(left, right))


def use(problem: Problem, answer: Monitored) -> Use | None:
    """Scores requests whose features are there, because the deployed model computes them while it serves.

    A scorer with a quantum kernel has no use to be measured here: simulating it costs what a simulation costs.
    """
    if answer.scorer.func is score_iqp:
        return None
    features = requests.take(np.concatenate([problem.stream, problem.anomalies]), SCORED)
    return Use(lambda: answer.scorer(features), SCORED, "request")


def hand_on(artefacts: Artefacts, problem: Problem, answer: Monitored) -> Artefacts:
    """The life ends here: nothing is handed on."""
    return artefacts


STAGE = Stage(
    name="monitoring",
    title="Maintenance and monitoring",
    quality=Quality("auroc", higher_is_better=True, margin=0.02),
    presets={
        "smoke": Config(
            reference=48, windows=6, window=10, anomalies=18, features=4, trials=(0.5, 1.0), trees=20, shots=256
        ),
        "default": Config(),
        "paper": Config(reference=256, windows=40, window=32, anomalies=300, features=8, trees=300, shots=4096),
    },
    problem=problem,
    score=score,
    arms={
        "classical/isolation_forest": forest,
        "classical/ocsvm_rbf": rbf,
        "classical/mahalanobis": mahalanobis,
        "quantum/kernel_ocsvm": lambda config: iqp(
            config, "quantum/kernel_ocsvm", None, config.shots, "every kernel entry from shots of an ideal simulator"
        ),
        "control/product_kernel": lambda config: iqp(
            config, "control/product_kernel", (), config.shots, "the same circuit without its entangling gates"
        ),
        "control/exact_kernel": lambda config: iqp(
            config, "control/exact_kernel", None, 0, "the quantum kernel without shot noise, which no machine reaches"
        ),
        "control/random_fourier": random_fourier,
    },
    reference="classical/ocsvm_rbf",
    swap="quantum/kernel_ocsvm",
    hand_on=hand_on,
    use=use,
)
