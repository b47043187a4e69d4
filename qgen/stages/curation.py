"""Stage 1, data collection and curation: which documents of a corpus are worth keeping.

Problem: a real corpus with its natural near-duplicates and planted ones (copies with 5-30 % of the words edited).
Classical: MinHash-LSH, k-means with cosine within clusters (SemDeDup), exact hashes.
Quantum: k-means and overlaps from swap tests; controls: length-squared sampling, Gaussian noise, a random subset.
Score: F1 of removing redundant documents; precision, recall, characters kept, coverage of what was there.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen import circuits as qc
from qgen.check import Count, Positive, Share
from qgen.classical import cluster, embedding, minhash
from qgen.classical import near_duplicates as near
from qgen.method import raise_if_failed, run
from qgen.quantum import swap_test
from qgen.stages import noisy_kmeans
from qgen.stages.base import Arm, Artefacts, Outcome, Quality, Stage
from qgen.types import Array, Key

JACCARD = (0.15, 0.8)
OVERLAP = (0.6, 0.985)
REMOVED = (0.02, 0.4)
"""What each arm's one free number is tuned over, on the same validation documents with the same number of trials: the
least Jaccard similarity, the least squared cosine, the share that a random choice removes."""
LEAST_WORDS = 10
"""Shorter documents are not copied: a single edit would already be more than the smallest share."""


@dataclass(frozen=True)
class Config:
    """Settings of the stage.

    Attributes:
        documents: the most documents that are examined; of a longer corpus the rest passes unexamined.
        validation: documents that the thresholds are tuned on, with planted copies of their own.
        planted: planted copies as a share of the documents.
        edits: the least and the greatest share of edited words in a copy.
        budget: characters handed on at most, as a share of the raw corpus.
        features: width of the document features; a power of two.
        clusters: clusters of k-means.
        iterations: iterations of k-means.
        shots: shots per swap test, and samples per classically sampled inner product.
        trials: thresholds that each arm tries on the validation documents.
        shingle: characters of a MinHash shingle.
        permutations: length of a MinHash signature.
    """

    documents: Annotated[int, partial(check.at_least, bound=2)] = 1500
    validation: Annotated[int, partial(check.at_least, bound=2)] = 400
    planted: Share = 0.2
    edits: tuple[Share, Share] = (0.05, 0.3)
    budget: Positive = 1.0
    features: Annotated[int, partial(check.at_least, bound=2)] = 64
    clusters: Count = 32
    iterations: Count = 8
    shots: Count = 4096
    trials: Count = 12
    shingle: Count = 5
    permutations: Annotated[int, partial(check.at_least, bound=2)] = 128

    def __post_init__(self) -> None:
        """Refuses what no corpus can be curated with."""
        check.fields("curation", self)
        if len(self.edits) != 2 or self.edits[0] > self.edits[1]:
            raise ValueError(f"Argument `curation.edits` must be two shares, the lower first, but is {self.edits}.")


class Task(NamedTuple):
    """Documents to deduplicate; `groups` [documents] labels true near-duplicates and is for scoring and tuning only."""

    documents: tuple[str, ...]
    groups: np.ndarray


class Problem(NamedTuple):
    """What the arms see.

    Attributes:
        task: the corpus under examination.
        validation: the planted validation documents that every arm tunes its one threshold on.
        unexamined: documents beyond the limit, which pass.
        features: unit features of the task's documents, for the score; arms compute their own, so that they pay for
            them.
        planted: pairs of places (original, copy) in the task.
        budget: the most characters to hand on.
    """

    task: Task
    validation: Task
    unexamined: tuple[str, ...]
    features: np.ndarray
    planted: np.ndarray
    budget: int


class Answer(NamedTuple):
    """`keep`: boolean [documents]."""

    keep: np.ndarray


def problem(key: Key, config: Config, artefacts: Artefacts) -> Problem:
    """Plants copies into the raw documents and finds the natural near-duplicates by edit distance.

    Raises:
        ValueError: if the corpus is too small.
    """
    documents = artefacts.documents
    check.at_least("len(artefacts.documents)", len(documents), 8)
    rng = np.random.default_rng(_seed(key))
    order = rng.permutation(len(documents))
    chosen = [documents[place] for place in order[: config.documents]]
    task, planted = _plant(rng, chosen, config)
    sample = [chosen[place] for place in rng.permutation(len(chosen))[: min(config.validation, len(chosen))]]
    validation, _ = _plant(rng, sample, config)
    features = _features(config, task.documents, validation.documents)[: len(task.documents)]
    unexamined = tuple(documents[place] for place in sorted(order[config.documents :]))
    budget = int(config.budget * sum(map(len, documents)))
    return Problem(task, validation, unexamined, features, planted, budget)


def _plant(rng: np.random.Generator, documents: Sequence[str], config: Config) -> tuple[Task, np.ndarray]:
    """The documents with edited copies of some, shuffled, and the places of each original and its copy."""
    long_enough = [place for place, document in enumerate(documents) if len(document.split()) >= LEAST_WORDS]
    count = min(len(long_enough), round(config.planted * len(documents)))
    lexicon = [word for document in documents for word in document.split()]
    originals = rng.choice(long_enough, count, replace=False) if count else np.zeros(0, dtype=int)
    copies = []
    for place in originals:
        text = documents[int(place)]
        words, gaps = text.split(), re.findall(r"\s+", text.strip())
        edited = near.edit(rng, words, rng.uniform(config.edits[0], config.edits[1]), lexicon)
        copies.append("".join(word + gap for word, gap in zip(edited, [*gaps, ""], strict=False)))
    order = rng.permutation(len(documents) + count)
    everything = [*documents, *copies]
    mixed = tuple(everything[place] for place in order)
    place_of = np.argsort(order)
    planted = np.stack([place_of[originals], place_of[len(documents) :]], axis=1)
    links = np.concatenate([np.sort(planted, axis=1), near.near_pairs(mixed, max(config.edits))])
    return Task(mixed, near.groups(len(mixed), links)), planted


def score(problem: Problem, answer: Answer) -> dict[str, float]:
    """The scores; a planted pair counts as caught when exactly one of the two remains (see `near_duplicates.score`).

    `coverage` is the mean over all documents of the greatest cosine to a document that was kept: what was thrown away
    without a stand-in lowers it.
    """
    keep = np.asarray(answer.keep, dtype=bool)
    check.shape("keep", keep, (len(problem.task.documents),))
    result = near.score(keep, problem.task.groups)
    characters = np.array([len(document) for document in problem.task.documents])
    left = keep[problem.planted].sum(axis=1) if len(problem.planted) else np.ones(1)
    covered = (problem.features @ problem.features[keep].T).max(axis=1) if keep.any() else np.zeros(1)
    return {
        "duplicate_f1": result.f1,
        "precision": result.precision,
        "recall": result.recall,
        "planted_caught": float((left == 1).mean()),
        "kept_share": float(characters[keep].sum() / characters.sum()),
        "coverage": float(covered.mean()),
    }


def hand_on(artefacts: Artefacts, problem: Problem, answer: Answer) -> Artefacts:
    """The kept and the unexamined documents, as far as the budget of characters goes: a duplicate wastes budget."""
    kept = [document for document, stays in zip(problem.task.documents, answer.keep, strict=True) if stays]
    curated, left = [], problem.budget
    for document in (*kept, *problem.unexamined):
        if len(document) <= left:
            curated.append(document)
            left -= len(document)
    return artefacts._replace(curated=tuple(curated))


def _seed(key: Key) -> int:
    """A key as the 32-bit seed that host libraries want."""
    return int(jax.random.bits(key, dtype=jnp.uint32))


def _features(config: Config, documents: Sequence[str], more: Sequence[str]) -> np.ndarray:
    """Unit features of both lists together, [documents + more, features]."""
    return embedding.document_features([*documents, *more], config.features)


def _answer(problem: Problem, candidates: Sequence[float], links: Callable[[Task, float], np.ndarray]) -> Outcome:
    """Tunes the threshold of `links` on the validation documents and applies it to the task."""

    def keep(task: Task, threshold: float) -> np.ndarray:
        return near.keep_first(len(task.documents), links(task, threshold))

    chosen = near.tune(candidates, lambda value: keep(problem.validation, value), problem.validation.groups)
    return Outcome(Answer(keep(problem.task, chosen)))


def _grid(config: Config, span: tuple[float, float]) -> list[float]:
    return [float(value) for value in np.linspace(*span, config.trials)]


def exact_hash(config: Config) -> Arm:
    """Removes documents whose text, in lower case and with single spaces, was seen before."""

    def solve(key: Key, problem: Problem) -> Outcome:
        texts = [" ".join(document.lower().split()) for document in problem.task.documents]
        first: dict[str, int] = {}
        return Outcome(Answer(np.array([first.setdefault(text, place) == place for place, text in enumerate(texts)])))

    return Arm("classical/exact_hash", solve, "Hash table of normalised texts; nothing to tune.")


def minhash_lsh(config: Config) -> Arm:
    """MinHash-LSH of datasketch on character shingles."""

    def solve(key: Key, problem: Problem) -> Outcome:
        signatures = {
            id(task): minhash.signatures(
                task.documents, width=config.shingle, permutations=config.permutations, seed=_seed(key)
            )
            for task in (problem.task, problem.validation)
        }
        return _answer(problem, _grid(config, JACCARD), lambda task, value: minhash.links(signatures[id(task)], value))

    return Arm(
        "classical/minhash", solve, "datasketch MinHashLSH; Jaccard threshold tuned on planted validation documents."
    )


def semdedup(config: Config) -> Arm:
    """Mini-batch k-means of scikit-learn, then exact cosines within clusters (SemDeDup, arXiv:2303.09540)."""

    def solve(key: Key, problem: Problem) -> Outcome:
        from sklearn.cluster import MiniBatchKMeans
        from threadpoolctl import threadpool_limits

        items = _features(config, problem.task.documents, problem.validation.documents)
        model = MiniBatchKMeans(config.clusters, max_iter=config.iterations, n_init="auto", random_state=_seed(key))
        with threadpool_limits(1):  # BLAS threads only spin on features this narrow
            labels = model.fit_predict(items)
        pairs = _pairs(problem, labels)
        overlaps = np.sum(items[pairs[:, 0]] * items[pairs[:, 1]], axis=1) ** 2
        inertia = np.array([model.inertia_ / len(items)])
        return _by_overlap(config, problem, pairs, overlaps)._replace(trace={"inertia": inertia})

    return Arm(
        "classical/semdedup", solve, "scikit-learn mini-batch k-means; cosine threshold tuned on validation documents."
    )


def _pairs(problem: Problem, labels: np.ndarray) -> np.ndarray:
    """Pairs within a cluster, both in the task or both in the validation documents, as places in the joint list."""
    n_task = len(problem.task.documents)
    return np.concatenate(
        [cluster.pairs_within(labels[:n_task]), n_task + cluster.pairs_within(labels[n_task:])],
    )


def _by_overlap(config: Config, problem: Problem, pairs: np.ndarray, overlaps: np.ndarray) -> Outcome:
    """Tunes the least overlap and removes the later document of every pair above it."""
    n_task = len(problem.task.documents)
    ours = pairs[:, 0] < n_task

    def links(task: Task, threshold: float) -> np.ndarray:
        if task is problem.task:
            return pairs[ours & (overlaps >= threshold)]
        return pairs[~ours & (overlaps >= threshold)] - n_task

    return _answer(problem, _grid(config, OVERLAP), links)


def _noisy_kmeans(config: Config, oracle: str, key: Key, problem: Problem) -> tuple[Outcome, int, int]:
    """k-means and overlaps within clusters from an oracle, and how many distances and overlaps it was asked for."""
    cluster_key, overlap_key = jax.random.split(key)
    items = jnp.asarray(_features(config, problem.task.documents, problem.validation.documents))
    found = noisy_kmeans.clustered(cluster_key, items, oracle, config.clusters, config.iterations, config.shots)
    found = raise_if_failed(found)
    pairs = _pairs(problem, np.asarray(found.answer.labels))
    overlaps = noisy_kmeans.overlaps(overlap_key, items, pairs, oracle, config.shots)
    outcome = _by_overlap(config, problem, pairs, overlaps)
    trace = {"inertia": np.asarray(found.info.loss) / len(items)}
    return outcome._replace(trace=trace), len(items) * config.clusters * config.iterations, len(pairs)


def swap_test_kmeans(config: Config) -> Arm:
    """k-means and near-duplicates whose every distance and overlap is a swap test."""
    qubits = (config.features - 1).bit_length()

    def solve(key: Key, problem: Problem) -> Outcome:
        outcome, n_distances, n_overlaps = _noisy_kmeans(config, "swap_test", key, problem)
        distance = swap_test.resources(swap_test.distance_circuit(qubits), config.shots, n_distances)
        overlap = swap_test.resources(swap_test.overlap_circuit(qubits), config.shots, n_overlaps)
        return outcome._replace(resources=(distance, overlap) if n_overlaps else (distance,))

    return Arm(
        "quantum/swap_test_kmeans",
        solve,
        "Shots drawn from the swap test's law; each shot pays for loading both vectors gate by gate; no QRAM assumed.",
        lambda key, problem: _host(config, key, problem),
    )


def _host(config: Config, key: Key, problem: Problem) -> Any:
    """What stays classical: features, the loaders' angles, centroids from labels, and tuning the threshold on overlaps.

    Labels and overlaps are drawn: the classical work is the same whatever the counts say.
    """
    items = jnp.asarray(_features(config, problem.task.documents, problem.validation.documents))
    loaders, found = _loader_angles(items), _centroid_updates(key, items, config.clusters, config.iterations)
    pairs = _pairs(problem, np.asarray(found.labels))
    overlaps = np.random.default_rng(_seed(key)).uniform(size=len(pairs))
    return loaders, _by_overlap(config, problem, pairs, overlaps)


@jax.jit
def _loader_angles(items: Array) -> Array:
    padded = jnp.pad(items, ((0, 0), (0, 2 ** (items.shape[1] - 1).bit_length() - items.shape[1])))
    return jax.vmap(functools.partial(qc.encodings.amplitude_angles, real=True))(padded)


@functools.partial(jax.jit, static_argnames=("clusters", "iterations"))
def _centroid_updates(key: Key, items: Array, clusters: int, iterations: int) -> Any:
    def counts(key: Key, items: Array, centroids: Array) -> Array:
        return jax.random.uniform(key, (items.shape[0], clusters))

    return run(cluster.kmeans(counts, clusters), key, items, iterations).answer


def dequantised_kmeans(config: Config) -> Arm:
    """The same algorithm with inner products by length-squared sampling, as many samples as the swap test has shots."""
    return Arm(
        "control/dequantised_kmeans",
        lambda key, problem: _noisy_kmeans(config, "length_squared", key, problem)[0],
        "Classical twin: length-squared sampling, as many samples as shots; exact products would be cheaper still.",
    )


def gaussian_kmeans(config: Config) -> Arm:
    """The same algorithm with exact distances and Gaussian noise of the swap test's variance."""
    return Arm(
        "control/gaussian_kmeans",
        lambda key, problem: _noisy_kmeans(config, "gaussian", key, problem)[0],
        "Exact distances plus Gaussian noise of the swap test's variance: the noise alone, without anything quantum.",
    )


def random_subset(config: Config) -> Arm:
    """Removes documents at random; the share is tuned like every other arm's threshold."""

    def solve(key: Key, problem: Problem) -> Outcome:
        rank = {
            len(task.documents): np.asarray(jax.random.uniform(jax.random.fold_in(key, number), (len(task.documents),)))
            for number, task in enumerate((problem.task, problem.validation))
        }
        share = near.tune(
            _grid(config, REMOVED),
            lambda value: rank[len(problem.validation.documents)] >= value,
            problem.validation.groups,
        )
        return Outcome(Answer(rank[len(problem.task.documents)] >= share))

    return Arm("control/random_subset", solve, "Random documents removed; the share tuned on validation documents.")


STAGE = Stage(
    name="curation",
    title="Data collection and curation",
    quality=Quality("duplicate_f1", higher_is_better=True, margin=0.02),
    presets={
        "smoke": Config(documents=200, validation=80, features=8, clusters=4, iterations=4, trials=6),
        "default": Config(),
        "paper": Config(documents=4000, validation=800, clusters=96, iterations=12, shots=16_384, trials=24),
    },
    problem=problem,
    score=score,
    arms={
        "classical/minhash": minhash_lsh,
        "classical/semdedup": semdedup,
        "classical/exact_hash": exact_hash,
        "quantum/swap_test_kmeans": swap_test_kmeans,
        "control/dequantised_kmeans": dequantised_kmeans,
        "control/gaussian_kmeans": gaussian_kmeans,
        "control/random_subset": random_subset,
    },
    reference="classical/minhash",
    swap="quantum/swap_test_kmeans",
    hand_on=hand_on,
)
