import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.classical import near_duplicates as near
from qgen.quantum import swap_test
from qgen.stages import curation, noisy_kmeans
from qgen.stages.base import Artefacts

CONFIG = dataclasses.replace(
    curation.STAGE.presets["smoke"], documents=70, validation=40, features=8, clusters=3, iterations=3
)
CHANCE = 0.3
"""Below what any arm that looks at the documents must beat on planted copies of random texts."""


def artefacts(count=80):
    rng = np.random.default_rng(8)
    topics = [["".join(rng.choice(list("abcdefghij"), 6)) for _ in range(40)] for _ in range(4)]
    documents = [" ".join(rng.choice(topics[k % 4], 40)) for k in range(count)]
    return Artefacts(tuple(documents), ("held out",), ("sample",), ("sample held out",))


@pytest.fixture(scope="module")
def problem():
    return curation.problem(jax.random.key(2), CONFIG, artefacts())


def test_the_problem_plants_copies_within_the_asked_edits(problem):
    task = problem.task
    assert len(task.documents) == 70 + 14
    assert len(problem.validation.documents) == 40 + 8
    assert len(problem.unexamined) == 10
    assert problem.features.shape == (84, 8)
    assert problem.planted.shape == (14, 2)
    for original, copy in problem.planted:
        words = task.documents[original].split()
        distance = near.edit_distance(words, task.documents[copy].split())
        assert 1 <= distance <= 0.3 * len(words)
        assert task.groups[original] == task.groups[copy]
    assert set(artefacts().documents) == set(problem.unexamined) | (
        set(task.documents) - {task.documents[copy] for _, copy in problem.planted}
    )


def test_scores_by_hand(problem):
    perfect = near.keep_first(84, np.sort(problem.planted, axis=1))
    assert len(np.unique(problem.task.groups)) == 70  # no natural near-duplicates among random texts
    scores = curation.score(problem, curation.Answer(perfect))
    assert scores["duplicate_f1"] == scores["precision"] == scores["recall"] == scores["planted_caught"] == 1.0
    lengths = np.array([len(text) for text in problem.task.documents])
    assert scores["kept_share"] == pytest.approx(lengths[perfect].sum() / lengths.sum())
    x = problem.features
    assert scores["coverage"] == pytest.approx((x @ x[perfect].T).max(axis=1).mean())
    nothing = curation.score(problem, curation.Answer(np.zeros(84, bool)))
    assert nothing["duplicate_f1"] == nothing["coverage"] == nothing["planted_caught"] == 0.0


def test_hand_on_fills_the_budget(problem):
    keep = np.ones(84, bool)
    everything = [*problem.task.documents, *problem.unexamined]
    handed = curation.hand_on(artefacts(), problem, curation.Answer(keep)).curated
    assert sum(map(len, handed)) <= problem.budget == sum(map(len, artefacts().documents))
    assert len(handed) < len(everything)
    keep[10:] = False
    assert curation.hand_on(artefacts(), problem, curation.Answer(keep)).curated == (
        *problem.task.documents[:10],
        *problem.unexamined,
    )


@pytest.mark.parametrize("name", ["classical/minhash", "classical/semdedup", "quantum/swap_test_kmeans"])
def test_arms_find_planted_copies(problem, name):
    outcome = curation.STAGE.arms[name](CONFIG).solve(jax.random.key(3), problem)
    scores = curation.score(problem, outcome.answer)
    assert scores["duplicate_f1"] > CHANCE
    assert scores["planted_caught"] > CHANCE


def test_minhash_finds_nearly_all(problem):
    outcome = curation.STAGE.arms["classical/minhash"](CONFIG).solve(jax.random.key(3), problem)
    assert curation.score(problem, outcome.answer)["duplicate_f1"] > 0.9


def test_exact_hash_keeps_the_first_of_equal_texts(problem):
    texts = ("One  text.", "another", "one text.", "ANOTHER")
    task = curation.Task(texts, np.array([0, 1, 0, 1]))
    outcome = curation.STAGE.arms["classical/exact_hash"](CONFIG).solve(jax.random.key(0), problem._replace(task=task))
    assert outcome.answer.keep.tolist() == [True, True, False, False]


def test_the_quantum_arm_charges_every_distance(problem):
    outcome = curation.STAGE.arms["quantum/swap_test_kmeans"](CONFIG).solve(jax.random.key(3), problem)
    distances = (84 + 48) * CONFIG.clusters * CONFIG.iterations
    assert outcome.resources[0].circuits == distances
    assert outcome.resources[0].shots == distances * CONFIG.shots
    per_shot = qc.count(swap_test.distance_circuit(3)).gates_2q
    assert outcome.resources[0].gates_2q == pytest.approx(distances * CONFIG.shots * per_shot)
    assert outcome.resources[1].qubits == 2 * 3 + 1
    assert outcome.trace["inertia"].shape == (CONFIG.iterations,)


def test_gaussian_noise_has_the_swap_tests_variance(key):
    rng = np.random.default_rng(0)
    items, centroids = (jnp.asarray(rng.normal(size=(k, 4)), dtype=jnp.float32) for k in (5, 3))
    repeats = 600
    keys = jax.random.split(key, repeats)
    spread = []
    for name in ("swap_test", "gaussian"):
        draw = jax.jit(jax.vmap(lambda k, name=name: noisy_kmeans.ORACLES[name].distances(k, items, centroids, 100)))
        spread.append(np.asarray(draw(keys)).std(0))
    assert np.all(abs(spread[0] / spread[1] - 1) < 5 * np.sqrt(1 / repeats))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"documents": 1}, "documents"),
        ({"planted": 1.2}, "planted"),
        ({"budget": 0.0}, "budget"),
        ({"features": 500}, "documents"),
    ],
)
def test_wrong_settings(change, word):
    with pytest.raises(ValueError, match=word):
        curation.problem(jax.random.key(0), dataclasses.replace(CONFIG, **change), artefacts())


def test_wrong_inputs(problem):
    with pytest.raises(ValueError, match="documents"):
        curation.problem(jax.random.key(0), CONFIG, artefacts(5))
    with pytest.raises(ValueError, match="keep"):
        curation.score(problem, curation.Answer(np.ones(3, bool)))


def test_the_host_part_pays_for_tuning_its_threshold_like_every_other_arm(problem, monkeypatch):
    tuned = []
    monkeypatch.setattr(
        near, "tune", lambda candidates, keep_at, labels: tuned.append(len(candidates)) or candidates[-1]
    )
    arm = curation.swap_test_kmeans(CONFIG)
    assert arm.host is not None
    arm.host(jax.random.key(3), problem)
    assert tuned == [CONFIG.trials]
