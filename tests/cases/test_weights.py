"""Training by candidates: what is spent by hand, scores against scikit-learn, laws against their own numbers."""

import dataclasses

import jax
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from qgen import cases
from qgen.cases import weights, weights_report
from qgen.record import Record
from qgen.stages.base import plain

CONFIG = weights.Config(3, 0, 3, 4, 2, 32, 6, 2, 0, (0.5,), (1, 2), 2, 2)
SWEEPS, UNITS, WEIGHTS = 2, 3 + 3, 14 * 3 + 4 * 3


@pytest.fixture(scope="module")
def sources():
    return weights.load(CONFIG, {})


@pytest.fixture(scope="module")
def given(sources):
    setting = weights.points(CONFIG, sources)[0].setting
    made = weights.split(jax.random.key(1), setting, sources.data["wine"])
    return made._replace(tuned=dict.fromkeys(weights.TUNED, (0.2, 0.8)))


def solved(arm, given, **changes):
    setting = dataclasses.replace(given.setting, **changes)
    return weights.ARMS[arm](setting).solve(jax.random.key(4), given._replace(setting=setting))


@pytest.fixture(scope="module")
def quantum(given):
    return solved("quantum/grover_weights", given)


@pytest.mark.slow
def test_what_is_spent(given, quantum):
    """Two sweeps over 54 weights of 6 units: a first loss per unit, then evaluations per weight, 32 examples each."""
    n_train = len(given.train.y)
    assert n_train == 106
    every = solved("classical/coordinate", given).answer
    assert every.passes == 32 * SWEEPS * (UNITS + WEIGHTS * 7) and every.coherent == 0
    assert solved("classical/random", given).answer.passes == 32 * SWEEPS * (UNITS + WEIGHTS * 4)
    answer, (needed,) = quantum.answer, quantum.resources
    assert SWEEPS * WEIGHTS * 3 <= answer.passes / 32 <= SWEEPS * (UNITS + WEIGHTS * 4)
    assert 0 < answer.coherent < SWEEPS * WEIGHTS * 2
    assert needed.shots == answer.passes / 32 - SWEEPS * UNITS - answer.coherent
    # A forward pass of 32 examples has at least its multiply-adds, each 2 * 16^2 Toffoli gates, done and undone.
    least = 4 * 2 * 2 * 16**2 * 32 * (13 * 3 + 3 * 3) * answer.coherent
    assert least < needed.t_gates < 2 * least
    assert needed.qubits == (3 + 3 + 1) * 16 + 3
    # 106 examples are three steps of 32; a gradient counts as three passes.
    adam = solved("classical/adam", given).answer
    assert adam.passes == 32 * 3 * 3 * CONFIG.epochs


def test_scores_are_scikit_learns(given, quantum):
    found = weights.score(given, quantum.answer)
    x = given.test.x
    for layer in quantum.answer.layers[:-1]:
        x = np.maximum(x @ np.asarray(layer[:-1]) + np.asarray(layer[-1]), 0)
    outputs = x @ np.asarray(quantum.answer.layers[-1][:-1]) + np.asarray(quantum.answer.layers[-1][-1])
    chances = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    assert found["test_accuracy"] == pytest.approx(100 * accuracy_score(given.test.y, outputs.argmax(axis=1)), abs=1e-4)
    assert found["test_loss"] == pytest.approx(log_loss(given.test.y, chances), rel=1e-4)
    assert found["weights"] == WEIGHTS and found["validation_loss"] == pytest.approx(
        min(quantum.trace["validation_loss"]), abs=1e-5
    )


def test_every_part_of_a_split_is_another(given, sources):
    whole = sources.data["wine"]
    sizes = [len(part.y) for part in (given.train, given.validation, given.test)]
    assert sum(sizes) == len(whole.y) == 178 and max(sizes) == sizes[0]
    np.testing.assert_allclose(given.train.x.mean(axis=0), 0, atol=1e-5)
    rows = np.concatenate([given.train.x, given.validation.x, given.test.x])
    assert len(np.unique(rows.round(4), axis=0)) == 178


def test_calls_are_counted_for_every_number_of_candidates(quantum):
    np.testing.assert_array_equal(quantum.trace["candidates"], [4])
    # Dürr and Høyer's bound for four candidates.
    assert 0 < float(quantum.trace["calls"][0]) < 45


def test_tuning_tries_as_many_configurations_for_every_arm():
    assert {len(grid) for grid in weights.TUNED.values()} == {6}
    assert set(weights.TUNED) == set(weights.ARMS) - {"control/untuned_gradient"}


def made(arm, seed, data, **metrics):
    setting = weights.Setting(data, (8,), 4, 8, 16, 128, 200, 0, 0.0, 6)
    return Record("cases", "weights", arm, seed, "default", plain(setting), metrics=metrics)


def test_changes_and_laws_by_hand():
    rows = [
        made(weights_report.QUANTUM, 0, "wine", test_loss=0.1),
        made(weights_report.QUANTUM, 0, "digits", test_loss=0.5),
        made(weights_report.ADAM, 0, "wine", test_loss=0.2),
        made(weights_report.ADAM, 0, "digits", test_loss=1.0),
        made(weights_report.QUANTUM, 1, "wine", test_loss=9.0),
    ]
    assert weights_report.change("test_loss", weights_report.ADAM)(rows) == [-50.0]
    trace = {"candidates": [4, 16, 64, 256], "calls": [1.0, 3 * 16**0.5, 3 * 64**0.5, 3 * 256**0.5]}
    (law,) = weights_report.laws([dataclasses.replace(rows[0], trace=trace)])
    assert law.exponent == pytest.approx(0.5) and law.factor == pytest.approx(3.0)


def test_equal_work_by_hand():
    """Half of 16 sweeps on 128 of 512 examples are two passes per evaluation; Adam is as good after 30 passes."""
    own = made(weights_report.QUANTUM, 0, "digits", weights=100.0, examples=512.0)
    calls = {"candidates": [16, 64], "calls": [4.0, 8.0]}
    own = dataclasses.replace(own, trace={"passes": [50.0, 100.0, 200.0], "validation_loss": [0.9, 0.4, 0.5]} | calls)
    other = made(weights_report.ADAM, 0, "digits", weights=100.0, examples=512.0)
    other = dataclasses.replace(other, trace={"passes": [3.0, 30.0, 300.0], "validation_loss": [0.8, 0.4, 0.1]})
    assert weights_report.needed([own, other]) == {0: (2.0, 30.0)}
    assert weights_report.equal_weights([own, other]) == [pytest.approx(30 / (2 * 4))]


def test_the_case_is_registered_and_refuses(sources):
    assert cases.load("weights") is weights.CASE
    arms = [point.arms for point in weights.points(CONFIG, sources)]
    assert len(arms) == 3 and arms[-1] == ("quantum/grover_weights",)
    with pytest.raises(ValueError, match="trials"):
        weights.Config(trials=7)
    with pytest.raises(ValueError, match="noise"):
        dataclasses.replace(weights.points(CONFIG, sources)[0].setting, noise=1.5)
