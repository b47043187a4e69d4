import dataclasses

import jax
import numpy as np
import pytest

from qgen.classical import detect
from qgen.lm import tokenizer, transformer
from qgen.stages import monitoring, requests
from tests.stages import tiny

CONFIG = monitoring.Config(
    length=12,
    reference=36,
    windows=6,
    window=8,
    anomalies=12,
    features=3,
    trials=(0.5, 1.0),
    trees=10,
    shots=64,
    permutations=39,
)


@pytest.fixture(scope="module")
def problem():
    return monitoring.problem(jax.random.key(0), CONFIG, tiny.artefacts())


def test_stream_drifts_in_its_second_half_only(problem):
    np.testing.assert_allclose(problem.shares, [0, 0, 0, 0.8 / 3, 1.6 / 3, 0.8])
    assert problem.reference.shape == (36, 17)
    assert problem.stream.shape == (48, 17)
    assert problem.anomalies.shape == (12, 17)


def test_features_are_means_over_the_request(problem):
    arts = tiny.artefacts()
    model = transformer.Config(**arts.adapted_model)
    request = tokenizer.stream(arts.tokenizer, arts.samples)[:13]
    found = requests.hidden_features(arts.deployed, np.asarray(arts.gates), request[None], model)[0]
    inputs = request[None, :-1]
    hidden = transformer.apply(arts.deployed, inputs, model, gates=arts.gates, features=True)
    logits = np.asarray(transformer.apply(arts.deployed, inputs, model, gates=arts.gates), float)[0]
    np.testing.assert_allclose(found[:-1], np.asarray(hidden)[0].mean(0), atol=1e-4)
    chances = np.exp(logits - logits.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    assert abs(float(found[-1]) + np.log(chances[np.arange(12), request[1:]]).mean()) < 1e-3


def test_corruptions_spoil_the_tail_only():
    arts = tiny.artefacts()
    request = tokenizer.stream(arts.tokenizer, arts.samples)[1:21]
    generator = np.random.default_rng(0)
    for kind in range(3):
        spoilt = requests.corrupted(generator, request, tokenizer_json=arts.tokenizer, severity=0.5, kind=kind)
        assert spoilt.shape == request.shape
        np.testing.assert_array_equal(spoilt[:10], request[:10])
        assert np.any(spoilt[10:] != request[10:])
        if kind == 1:
            assert sorted(spoilt[10:]) == sorted(request[10:])
        if kind == 2:
            assert len(set(spoilt[10:])) == 1 and spoilt[10] in request[10:]


def test_reduction_whitens_the_reference(problem):
    reduced = detect.reduce(detect.reduction(problem.reference, 3), problem.reference)
    np.testing.assert_allclose(reduced.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(reduced.std(0), 1, atol=1e-3)
    assert abs(np.corrcoef(reduced[:, 1], reduced[:, 2])[0, 1]) < 1e-3
    assert abs(np.corrcoef(reduced[:, 0], problem.reference[:, -1])[0, 1]) > 0.999
    everything = detect.reduce(detect.reduction(problem.reference, None), problem.reference)
    assert everything.shape[1] == 17


@pytest.mark.parametrize("name", monitoring.STAGE.arms)
def test_scorer_repeats_the_scores(problem, name):
    outcome = monitoring.STAGE.arms[name](CONFIG).solve(jax.random.key(2), problem)
    answer = outcome.answer
    assert answer.scores.shape == (60,) and answer.p_values.shape == (6,)
    assert np.all((answer.p_values > 0) & (answer.p_values <= 1))
    again = answer.scorer(np.concatenate([problem.stream, problem.anomalies]))
    if name in ("quantum/kernel_ocsvm", "control/product_kernel"):
        # The scorer is exact, the scores came from 64 shots an entry.
        assert np.corrcoef(again, answer.scores)[0, 1] > 0.6
        # All of the final entries at least: reference Gram, stream against reference, windows.
        least = 36 * 35 // 2 + 60 * 36 + 6 * 8 * 7 // 2
        assert sum(item.circuits for item in outcome.resources) > least
        assert sum(item.shots for item in outcome.resources) == 64 * sum(item.circuits for item in outcome.resources)
    else:
        np.testing.assert_allclose(again, answer.scores, rtol=1e-3, atol=1e-4)
    used = monitoring.use(problem, answer)
    assert (used is None) == (answer.scorer.func is monitoring.score_iqp)
    assert used is None or len(used.run()) == monitoring.SCORED


def test_no_arm_sees_the_labels(problem):
    """Nothing is tuned on what is to be found: shuffling the corrupted requests shuffles their scores."""
    order = np.random.default_rng(0).permutation(12)
    for name in ("classical/isolation_forest", "classical/ocsvm_rbf"):
        solve = monitoring.STAGE.arms[name](CONFIG).solve
        first = solve(jax.random.key(2), problem).answer.scores
        second = solve(jax.random.key(2), problem._replace(anomalies=problem.anomalies[order])).answer.scores
        np.testing.assert_allclose(second[48:], first[48:][order], atol=1e-5)


def test_scores_of_known_answers(problem):
    scores = np.concatenate([np.zeros(48), np.ones(12)])
    answer = monitoring.Monitored(scores, np.array([0.9, 0.01, 0.9, 0.9, 0.04, 0.01]), jax.tree_util.Partial(len))
    found = monitoring.score(problem, answer)
    assert found["auroc"] == found["average_precision"] == 1
    assert abs(found["drift_power"] - 2 / 3) < 1e-9 and abs(found["false_alarms"] - 1 / 3) < 1e-9
    assert found["drift_delay"] == 1
    never = monitoring.score(problem, answer._replace(p_values=np.full(6, 0.5), scores=-scores))
    assert never["drift_delay"] == 3 and never["drift_power"] == 0 and never["auroc"] == 0


def test_a_short_corpus_is_used_again():
    many = dataclasses.replace(CONFIG, reference=400)
    assert monitoring.problem(jax.random.key(0), many, tiny.artefacts()).reference.shape == (400, 17)
