"""Studies: interrupted and resumed, failing trials, storages of others; strategies on functions with known minima."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.resources import Resources
from qgen.search import strategies, strategy, study
from qgen.search.programs import Objective, function
from qgen.search.space import Categorical, Float, Integer, Space
from qgen.search.strategy import History, Proposal, Strategy, Trial
from qgen.search.study import Study, run
from qgen.search.sweep import Ended, Rung

SINGLE = 1e-5
SPACE = Space({"x": Float(-1.0, 2.0), "n": Integer(1, 4), "kind": Categorical((0.5, 2.0))})


def _loss(key, config):
    return (config["x"] - 0.6) ** 2 + 0.1 * jnp.abs(config["n"] - 3) + 0.05 * config["kind"]


SQUARE = function("square", _loss)
STEPPED = Objective(
    "stepped",
    init=lambda key, config: jnp.float32(4.0),
    step=lambda key, state, config, t: 0.7 * state,
    loss=lambda state, config: state + _loss(None, config),
    steps=9,
)


class Killed(Exception):
    pass


def kill_after(monkeypatch, n):
    """Lets the storage die while it writes its n-th row."""
    original, count = study.Store.end, [0]

    def end(self, *arguments):
        count[0] += 1
        if count[0] > n:
            raise Killed
        original(self, *arguments)

    monkeypatch.setattr(study.Store, "end", end)


@pytest.mark.parametrize(
    ("made", "objective", "budget", "n"),
    [
        (strategies.random(batch=7), SQUARE, 20, 9),
        (strategies.tpe(4), SQUARE, 12, 7),
        (strategies.successive_halving(9, lanes=9), STEPPED, 6, 11),
        (strategies.hyperband(9, most=2), STEPPED, 9, 5),
    ],
    ids=["random", "tpe", "halving", "hyperband"],
)
def test_a_killed_study_resumes(tmp_path, monkeypatch, key, made, objective, budget, n):
    given = Study(SPACE, objective, made, budget)
    straight = run(key, given)
    path = tmp_path / "trials.jsonl"
    with monkeypatch.context() as patch:
        kill_after(patch, n)
        with pytest.raises(Killed):
            run(key, given, path=path)
    with path.open("a") as file:
        file.write('{"number": 3, "po')  # the killed writer's half line
    resumed = run(key, given, path=path)
    assert [trial.point for trial in resumed.trials] == [trial.point for trial in straight.trials]
    np.testing.assert_allclose([t.loss for t in resumed.trials], [t.loss for t in straight.trials], rtol=SINGLE)
    assert [t.spent for t in resumed.trials] == [t.spent for t in straight.trials]
    rows = [json.loads(line) for line in path.read_text().splitlines()][1:]
    assert sorted(row["number"] for row in rows) == list(range(len(straight.trials)))
    content = path.read_bytes()
    assert run(key, given, path=path) == resumed and path.read_bytes() == content


def test_a_failed_trial_is_recorded_and_the_study_goes_on(tmp_path, key):
    broken = function("broken", lambda key, config: jnp.where(config["n"] == 2, jnp.nan, _loss(key, config)))
    path = tmp_path / "trials.jsonl"
    history = run(key, Study(SPACE, broken, strategies.tpe(3), 14), path=path)
    failed = [SPACE.params(np.array(trial.point))["n"] == 2 for trial in history.trials]
    assert 0 < sum(failed) < 14 == len(history.trials)
    assert [not trial.ok for trial in history.trials] == failed
    rows = [json.loads(line) for line in path.read_text().splitlines()][1:]
    assert [row["loss"] is None for row in rows] == failed
    resumed = run(key, Study(SPACE, broken, strategies.tpe(3), 14), path=path)
    assert [trial.ok for trial in resumed.trials] == [trial.ok for trial in history.trials]


def test_an_equal_configuration_is_charged_but_not_trained_again(key):
    space = Space({"n": Integer(1, 3)})
    calls = []

    def loss(key, config):
        jax.debug.callback(lambda n: calls.append(int(n)), config["n"])
        return 1.0 * config["n"]

    history = run(key, Study(space, function("counted", loss), strategies.random(batch=5), 12), memory_bytes=1e6)
    jax.effects_barrier()
    assert len(history.trials) == 12 and history.trials[-1].spent == 12
    assert set(calls) == {1, 2, 3} and len(calls) < 12
    assert all(trial.loss == SPACE_OF_THREE[trial.point] for trial in history.trials)


SPACE_OF_THREE = {(1 / 6,): 1.0, (0.5,): 2.0, (5 / 6,): 3.0}


def test_coherent_and_simulated_runs_are_counted_apart(tmp_path, key):
    def start(key, space, budget):
        losses = yield Proposal(space.grid(3), simulated=True)
        best = space.grid(3)[[np.argmin(losses)]]
        yield Proposal(best, coherent=4.0, resources=(Resources(3, shots=2),))
        yield Proposal(best, coherent=1.0, resources=(Resources(3, shots=5),))

    given = Study(SPACE, SQUARE, Strategy("quantum/oracle", start), 9)
    path = tmp_path / "trials.jsonl"
    history = run(key, given, path=path)
    assert history.simulated == 3 * 4 * 2
    assert [(trial.spent, trial.coherent) for trial in history.trials] == [(5.0, 4.0), (7.0, 5.0)]
    assert [item.shots for item in history.resources] == [2, 5]
    assert history.best.loss == pytest.approx(0.1**2 + 0.05 * 0.5, rel=SINGLE)
    assert run(key, given, path=path) == history


def test_the_budget_counts_partial_trainings(key):
    history = run(key, Study(SPACE, STEPPED, strategies.successive_halving(9, lanes=9), 3))
    # 9 lanes of 1 step, 3 of 2 more, 1 of 6 more.
    assert history.trials[-1].spent == pytest.approx((9 + 3 * 2 + 6) / 9)
    assert sorted(trial.steps for trial in history.trials) == [1] * 6 + [3] * 2 + [9]
    assert history.best.steps == 9


def test_history_of_the_best():
    trials = (
        Trial(0, (0.1,), math.nan, 9, 1.0, 0),
        Trial(1, (0.2,), 0.5, 3, 1.3, 0),
        Trial(2, (0.3,), 0.9, 9, 2.3, 0),
        Trial(3, (0.4,), 0.7, 9, 3.3, 0),
    )
    spent, chosen = strategy.best_so_far(History(trials, (), 0))
    assert spent.tolist() == [1.3, 2.3, 3.3] and [trial.number for trial in chosen] == [1, 2, 3]
    with pytest.raises(ValueError, match="All 1 trials failed"):
        _ = History(trials[:1], (), 0).best


def test_hyperband_brackets_have_the_papers_sizes():
    # Table 1 of arXiv:1603.06560 for R = 81 and eta = 3: (lanes, steps) of the first three brackets.
    first = strategies.bracket(81, 81, 3, 4)
    assert [(81, first[0].steps)] + [(r.keep, s) for r, s in zip(first, [3, 9, 27, 81])] == [
        (81, 1),
        (27, 3),
        (9, 9),
        (3, 27),
        (1, 81),
    ]
    second = strategies.bracket(81, 34, 3, 3)
    assert [second[0].steps, *(r.keep for r in second)] == [3, 11, 3, 1]
    assert strategy.cost((Rung(3, 4),), 12, 9) == pytest.approx((12 * 3 + 4 * 6) / 9)
    given = strategies.hyperband(81, most=4)
    proposals = given.start(jax.random.key(0), SPACE, 1000)
    sizes = []
    for _ in range(5):
        proposal = next(proposals)
        sizes.append(len(proposal.points))
    assert sizes == [81, 34, 15, 8, 5]


def test_sobol_points_fill_the_square_evenly(key):
    points = strategies.sobol(key, 2, 64)
    counts, _, _ = np.histogram2d(*points.T, bins=8, range=[[0, 1], [0, 1]])
    assert (counts == 1).all()


def test_surrogates_see_ordered_axes_as_numbers_and_others_as_columns():
    space = Space({"a": Float(0, 1), "b": Categorical((3, 1, 2)), "c": Categorical((1, 2, 3), ordered=True)})
    made = strategies.features(space, np.array([[0.3, 0.5, 5 / 6]]))
    assert made.tolist() == [[0.3, 0, 1, 0, 5 / 6]]
    assert strategies.cells(space) is None
    assert len(strategies.cells(Space({"n": Integer(1, 7)}))) == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda key: Study(SPACE, SQUARE, strategies.random(), 0), "`budget` must be at least 1"),
        (lambda key: Study(SPACE, SQUARE, strategies.hyperband(27), 2), "`budget` must be at least 3, but is 2"),
        (lambda key: strategies.hyperband(8), "`steps` must be at least 27"),
        (lambda key: strategies.hyperband(8, eta=1), "`eta` must be at least 2"),
        (lambda key: strategies.hyperband(8, most=-1), "`most` must be at least 0"),
        (lambda key: strategies.successive_halving(9, lanes=2), "`lanes` must be at least 3"),
        (lambda key: strategies.successive_halving(9, eta=1), "`eta` must be at least 2"),
        (lambda key: strategies.successive_halving(9, first=10), r"`first` must lie in \[1, 9\]"),
        (lambda key: strategies.tpe(0), "`start_points` must be at least 1"),
        (lambda key: strategies.by_surrogate("a/b", None, start_points=1), "`start_points` must be at least 2"),
        (
            lambda key: strategy.play(key, SPACE, strategies.tpe(), 1, 1, lambda proposal, first: [Ended(0.0, 1)]),
            "`budget` must be at least 2 trainings for classical/tpe, but is 1",
        ),
    ],
)
def test_bad_input(key, make, message):
    with pytest.raises(ValueError, match=message):
        make(key)


def test_a_storage_of_another_study(tmp_path, key):
    path = tmp_path / "trials.jsonl"
    run(key, Study(SPACE, SQUARE, strategies.random(), 3), path=path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="belongs to another study: budget was 3 and is 4; strategy was"):
        run(key, Study(SPACE, SQUARE, strategies.quasi_random(), 4), path=path)
    with pytest.raises(ValueError, match="belongs to another study: key was"):
        run(jax.random.key(1), Study(SPACE, SQUARE, strategies.random(), 3), path=path)
    assert path.read_bytes() == content
    path.write_text("no storage\n")
    with pytest.raises(ValueError, match="is no storage of a study"):
        run(key, Study(SPACE, SQUARE, strategies.random(), 3), path=path)
    path.write_text('{"format": 0, "study": {}}\n')
    with pytest.raises(ValueError, match="belongs to another study"):
        run(key, Study(SPACE, SQUARE, strategies.random(), 3), path=path)
