"""Clustering of an energy grid's assets: k-means whose distances are swap tests, standard and adapted to noise.

Problem: synthetic clusters of growing variance, or daily load curves of German consumers (SimBench).
Classical: Lloyd's algorithm, with ten starts (whose labels are the reference) and with one.
Quantum: swap tests of amplitudes or of angles; controls: the angle metric without a machine, length-squared sampling.
Score: balanced accuracy and adjusted Rand index against the reference's labels; inertia and silhouette on the data.

DiAdamo et al., arXiv:2112.08506. Its adapted version ("general, competitive, parallelized") is published by name alone.
Ours: parallel, all distances of an item side by side in one circuit, so that every execution gives a shot of each;
competitive, centroids follow their winners at a falling rate; and each item keeps a running mean of its estimates.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen import circuits as qc
from qgen.cases.base import EXTRA, Case, MissingData, Point, Sources
from qgen.cases.grid_report import FACTS, FIGURES
from qgen.check import Count, Positive
from qgen.circuits import noise
from qgen.classical import cluster, dequantised, noisy_cluster
from qgen.method import run
from qgen.quantum import noisy_swap_test, swap_test
from qgen.stages.base import Arm, Outcome, Quality
from qgen.types import Array, Key

PROFILES = "networks/1-complete_data-mixed-all-0-sw/LoadProfile.csv"
CONSUMERS = ("G0", "G1", "G2", "G3", "G4", "G5", "G6", "H0", "L0", "L1", "L2")
"""SimBench's measured classes of German consumers: trade, households, farms."""
BLOCKS = 4
"""Parts of a day whose shares of its energy are an item's features."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        data: "blobs" or "profiles".
        items: how many items.
        clusters: how many clusters.
        spread: standard deviation of a blob, in units of the square that their centres lie in.
        iterations: iterations of k-means.
        shots: executions per item, centroid and iteration.
        device: a machine of `qgen.circuits.noise.devices`; empty: no noise but the shots'.
    """

    data: str = "blobs"
    items: int = 160
    clusters: int = 4
    spread: float = 0.1
    iterations: int = 10
    shots: int = 1000
    device: str = ""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the case.

    Attributes:
        items: how many items.
        iterations: iterations of k-means.
        spreads: standard deviations of the blobs.
        shots: executions per distance; the middle one is that of all other sweeps.
        machines: whether machines' noise is swept.
        profiles: whether SimBench's load curves are clustered too.
        sweep_seeds: the most seeds of a sweep.
    """

    items: Annotated[int, functools.partial(check.at_least, bound=20)] = 160
    iterations: Count = 10
    spreads: tuple[Positive, ...] = (0.05, 0.1, 0.15, 0.25)
    shots: tuple[Count, ...] = (100, 1000, 10000)
    machines: bool = True
    profiles: bool = True
    sweep_seeds: Count = 5

    def __post_init__(self) -> None:
        """Refuses what cannot be clustered or measured."""
        check.fields("grid", self)


PRICED = 3
"""Seeds whose joules are kept: circuits are alike whatever the seed."""
DEVICES = ("helios", "heron_r1_torino", "ibex_q1")
"""Machines in the order of their two-qubit errors, 8e-4 to 1.3e-2."""


class Problem(NamedTuple):
    """What every arm sees.

    Attributes:
        items: [items, features], each feature in [0, 1].
        start: the first centroids: items chosen at random, the same for all arms.
        reference: labels of Lloyd's algorithm with ten starts.
        inertia: its sum of squared distances.
    """

    items: np.ndarray
    start: np.ndarray
    reference: np.ndarray
    inertia: float


def load(config: Config, files: Mapping[str, Path]) -> Sources:
    """Daily load curves, [days, BLOCKS], of all consumers, from SimBench or the user's copy of its LoadProfile.csv.

    Raises:
        MissingData: without SimBench, where load curves are asked for.
        ValueError: for more items than there are load curves.
    """
    if not config.profiles:
        return Sources(None, "")
    path = files.get("profiles")
    if path is None:
        # Its own reader imports a power-flow package, which takes seconds; the file is all that is needed.
        found = importlib.util.find_spec("simbench")
        if found is None or found.origin is None:
            raise MissingData(f"German load profiles need the package simbench: {EXTRA}; or --set profiles=false.")
        path = Path(found.origin).parent / PROFILES
    curves = daily(path)
    check.within("grid.items", config.items, 20, len(curves))
    return Sources(curves, "simbench" if "profiles" not in files else path.name)


def daily(path: Path) -> np.ndarray:
    """Shares of a day's energy in each of BLOCKS parts, times BLOCKS, one row per consumer and day.

    Raises:
        MissingData: if the file is no SimBench table of load profiles.
    """
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip().split(";")
        chosen = [
            place for place, name in enumerate(header) if name.split("-")[0] in CONSUMERS and name.endswith("_pload")
        ]
        if not chosen:
            raise MissingData(
                f"{path} is no SimBench table of load profiles: its header names no consumer, as G0-A_pload."
            )
        table = np.loadtxt(file, delimiter=";", usecols=chosen)
    days = table[: len(table) // 96 * 96].reshape(-1, BLOCKS, 96 // BLOCKS, len(chosen)).mean(axis=2)
    curves = np.moveaxis(days, 2, 0).reshape(-1, BLOCKS)
    mean = curves.mean(axis=1, keepdims=True)
    return (curves / np.maximum(mean, 1e-9))[mean[:, 0] > 1e-6]


QUANTUM = ("quantum/amplitude", "quantum/angle", "quantum/amplitude_adapted", "quantum/angle_adapted")
ALL = ("classical/kmeans", "classical/one_start", *QUANTUM, "control/angle_exact", "control/length_squared")


def points(config: Config, sources: Sources) -> list[Point]:
    """Growing variance, shots and machines on blobs; then the load curves, again with shots and machines."""
    few, shots = config.sweep_seeds, sorted(int(n) for n in config.shots)
    middle = shots[len(shots) // 2]
    base = Setting(items=config.items, iterations=config.iterations, shots=middle)
    wide = [dataclasses.replace(base, spread=float(s)) for s in config.spreads]
    made = [Point(one, (*QUANTUM, "classical/one_start"), few) for one in wide if one != base]
    named = [base] + ([dataclasses.replace(base, data="profiles", spread=0.0)] if config.profiles else [])
    for place in named:
        if place is named[-1]:
            made.append(Point(place, ALL, min(few, PRICED), priced=True))
        made.append(Point(place, ALL))
        made += [Point(dataclasses.replace(place, shots=n), QUANTUM, few) for n in shots if n != middle]
        if config.machines:
            made += [Point(dataclasses.replace(place, device=name), QUANTUM, few) for name in DEVICES]
    return made


def problem(key: Key, setting: Setting, sources: Sources) -> Problem:
    """Draws items, scales every feature to [0, 1], and labels them by Lloyd's algorithm with ten starts."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    if setting.data == "profiles":
        items = sources.data[rng.choice(len(sources.data), setting.items, replace=False)]
    else:
        # Centres on a jittered lattice, so that the spread alone says how much clusters overlap.
        side = int(np.ceil(setting.clusters**0.5))
        lattice = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)[: setting.clusters]
        centres = lattice / max(side - 1, 1) + rng.uniform(-0.1, 0.1, lattice.shape)
        items = centres[np.arange(setting.items) % setting.clusters]
        items = items + setting.spread * rng.standard_normal(items.shape)
    low, high = items.min(axis=0), items.max(axis=0)
    # No item at the origin: a state cannot have it.
    items = (0.02 + 0.98 * (items - low) / np.maximum(high - low, 1e-9)).astype(np.float32)
    start = items[rng.choice(len(items), setting.clusters, replace=False)]
    labels, inertia = best_of_ten(items, setting.clusters, int(rng.integers(2**31)))
    return Problem(items, start, labels, inertia)


def best_of_ten(items: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, float]:
    """Labels and inertia of scikit-learn's k-means with ten starts."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # threads only spin on items this few
        model = KMeans(clusters, n_init=10, random_state=seed).fit(items)  # pyright: ignore[reportArgumentType]
    assert model.inertia_ is not None
    return np.asarray(model.labels_), float(model.inertia_)


def score(problem: Problem, answer: np.ndarray) -> dict[str, float]:
    """Agreement with the reference after the best matching of labels, and how tight the clusters are by themselves."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score, silhouette_score

    k = len(problem.start)
    table = np.zeros((k, k))
    np.add.at(table, (answer, problem.reference), 1)
    matched = linear_sum_assignment(-table)[1]
    centroids = np.stack(
        [problem.items[answer == j].mean(axis=0) if np.any(answer == j) else problem.start[j] for j in range(k)]
    )
    inertia = float(((problem.items - centroids[answer]) ** 2).sum())
    return {
        "balanced_accuracy": float(balanced_accuracy_score(problem.reference, matched[answer])),
        "ari": float(adjusted_rand_score(problem.reference, answer)),
        "inertia_ratio": inertia / problem.inertia,
        # With a single cluster left there is none.
        "silhouette": float(silhouette_score(problem.items, answer)) if len(np.unique(answer)) > 1 else -1.0,
    }


Distances = Callable[[Key, Array, Array], Array]


def amplitude_distances(shots: int, model: noise.NoiseModel | None) -> Distances:
    """Squared distances from swap tests of amplitudes."""

    def estimate(key: Key, items: Array, centroids: Array) -> Array:
        if model is None:
            return swap_test.distances(key, items, centroids, shots)
        p0 = noisy_swap_test.distance_zeros(items, centroids, model)
        weight = (items**2).sum(1)[:, None] + (centroids**2).sum(1)[None]
        return 4 * weight * (frequency(key, p0, shots) - 0.5)

    return estimate


def angle_distances(shots: int, model: noise.NoiseModel | None) -> Distances:
    """1 - F from swap tests of angles in [0, pi]; exact for 0 shots."""

    def estimate(key: Key, items: Array, centroids: Array) -> Array:
        left, right = jnp.pi * items, jnp.pi * centroids
        if model is None:
            p0 = noisy_swap_test.angle_law(left, right)
        else:
            p0 = noisy_swap_test.angle_zeros(left, right, model)
        return 2 - 2 * (frequency(key, p0, shots) if shots else p0)

    return estimate


def frequency(key: Key, p0: Array, shots: int) -> Array:
    """Share of zeros among `shots` shots."""
    # As in `swap_test`: the sampler is fast below 1/2, and counting ones is the same.
    return 1 - jax.random.binomial(key, shots, jnp.clip(1 - p0, 0.0, 1.0)) / shots


METRICS = {"amplitude": amplitude_distances, "angle": angle_distances}


@functools.partial(jax.jit, static_argnames=("metric", "shots", "device", "iterations", "is_adapted"))
def clustered(
    key: Key, items: Array, start: Array, metric: str, shots: int, device: str, iterations: int, is_adapted: bool
) -> Array:
    """Labels of k-means with the distances of an entry of METRICS, [items]."""
    distances = METRICS[metric](shots, noise.device(device) if device else None)
    if is_adapted:
        method, state = noisy_cluster.kmeans(distances, start.shape[0]), noisy_cluster.started(start, items)
    else:
        method = cluster.kmeans(distances, start.shape[0])
        state = cluster.KMeansState(start, jnp.zeros(items.shape[0], dtype=jnp.int32))
    return run(method, key, items, iterations, state=state).answer.labels


def circuit(metric: str, features: int, copies: int) -> qc.Circuit:
    """A swap test of a metric, so many times side by side."""
    if metric == "amplitude":
        one = swap_test.distance_circuit((features - 1).bit_length())
    else:
        one = noisy_swap_test.angle_circuit(features)
    n = one.n_qubits
    whole = [swap_test.placed(one, tuple(range(c * n, (c + 1) * n)), copies * n) for c in range(copies)]
    return functools.reduce(lambda left, right: left + right, whole)


def quantum(metric: str, is_adapted: bool) -> Callable[[Setting], Arm]:
    """k-means by swap tests. The adapted version is given as many executions as the standard one, on more qubits."""
    name = f"quantum/{metric}{'_adapted' if is_adapted else ''}"

    def factory(setting: Setting) -> Arm:
        wide = setting.clusters if is_adapted else 1

        def solve(key: Key, problem: Problem) -> Outcome:
            labels = clustered(
                *(key, jnp.asarray(problem.items), jnp.asarray(problem.start), metric),
                *(setting.shots * wide, setting.device, setting.iterations, is_adapted),
            )
            n, features = problem.items.shape
            pairs = n * setting.clusters * setting.iterations // wide
            tests = swap_test.resources(circuit(metric, features, wide), setting.shots * wide, pairs)
            # One qubit per test is read out.
            tests = dataclasses.replace(tests, measurements=tests.shots * wide)
            return Outcome(np.asarray(labels), (tests,))

        return Arm(
            name, solve, "Angles of the loaders and means of clusters stay classical; their joules are negligible."
        )

    return factory


def exact(name: str, distances: Distances, note: str) -> Callable[[Setting], Arm]:
    """k-means with distances that need no machine."""

    def factory(setting: Setting) -> Arm:
        @jax.jit
        def solved(key: Key, items: Array, start: Array) -> Array:
            method = cluster.kmeans(distances, setting.clusters)
            state = cluster.KMeansState(start, jnp.zeros(items.shape[0], dtype=jnp.int32))
            return run(method, key, items, setting.iterations, state=state).answer.labels

        def solve(key: Key, problem: Problem) -> Outcome:
            return Outcome(np.asarray(solved(key, jnp.asarray(problem.items), jnp.asarray(problem.start))))

        return Arm(name, solve, note)

    return factory


def length_squared(setting: Setting) -> Arm:
    """k-means with classically sampled inner products."""
    sampled = functools.partial(dequantised.distances, samples=setting.shots)
    return exact("control/length_squared", sampled, "As many samples of an item as a swap test has shots.")(setting)


def ten_starts(setting: Setting) -> Arm:
    """Lloyd's algorithm with ten starts, run anew."""

    def solve(key: Key, problem: Problem) -> Outcome:
        seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
        return Outcome(best_of_ten(problem.items, setting.clusters, seed)[0])

    return Arm("classical/kmeans", solve, "scikit-learn, ten starts; the reference is another run of it.")


def lloyd(key: Key, items: Array, centroids: Array) -> Array:
    """Exact squared distances."""
    return cluster.squared_distances(items, centroids)


ARMS = {
    "classical/kmeans": ten_starts,
    "classical/one_start": exact("classical/one_start", lloyd, "Exact distances from the quantum arms' start."),
    **{f"quantum/{metric}": quantum(metric, False) for metric in METRICS},
    **{f"quantum/{metric}_adapted": quantum(metric, True) for metric in METRICS},
    "control/angle_exact": exact(
        "control/angle_exact", angle_distances(0, None), "The angle metric without a machine."
    ),
    "control/length_squared": length_squared,
}

CASE = Case(
    facts=FACTS,
    quality=Quality("balanced_accuracy", True, 0.01),
    presets={
        "smoke": Config(
            items=40, iterations=4, spreads=(0.1,), shots=(100,), machines=False, profiles=False, sweep_seeds=1
        ),
        "default": Config(),
        "paper": Config(items=500, spreads=(0.05, 0.1, 0.15, 0.2, 0.25, 0.3), shots=(100, 300, 1000, 3000, 10000)),
    },
    seeds={"smoke": 2, "default": 10, "paper": 30},
    files={"profiles": "SimBench's LoadProfile.csv"},
    load=load,
    points=points,
    problem=problem,
    score=score,
    arms=ARMS,
    figures=FIGURES,
)
