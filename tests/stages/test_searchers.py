"""Every searcher on a small surface and on a table; the table's own bookkeeping; searchers as arms of a stage."""

import importlib.util
import itertools
import sys
import warnings

import jax
import numpy as np
import pytest

from qgen.classical import subset
from qgen.quantum import grover
from qgen.resources import total
from qgen.search import tabular
from qgen.search.space import Categorical, Space
from qgen.search.strategy import History, Trial
from qgen.search.tabular import Table
from qgen.stages import searchers, studies
from qgen.stages.base import Outcome
from qgen.stages.searchers import SEARCHERS, Settings

CLOSE = 1e-9
STOPS = (3, 9, 27)
SPACE = Space(
    {
        "rate": Categorical((0.1, 0.2, 0.3, 0.5, 0.8), ordered=True),
        "kind": Categorical((0, 1, 2)),
        "depth": Categorical((1, 2, 3, 4), ordered=True),
    }
)
BUDGET = 21


def surface(cell):
    """Least at rate 0.3, kind 1, depth 2."""
    config = SPACE.config(cell)
    return 3 * (config["rate"] - 0.3) ** 2 + 0.3 * (config["kind"] != 1) + 0.1 * (config["depth"] - 2) ** 2


def made():
    points = SPACE.grid()
    final = np.array([surface(point) for point in points])
    losses = final[:, None, None] + np.array([0.4, 0.1, 0.0]) + np.array([0.0, 0.03])[None, :, None]
    return Table("planted", SPACE, points, STOPS, losses, 2 * losses[:, :, -1] + 1, {})


TABLE = made()
SETTINGS = Settings(27, start_points=6, halvings=2, shots=32, sweeps=15, training_flops=1e6, training_numbers=100)
APART = ("quantum/fm_annealing", "classical/botorch")
"""A slow one and one that needs an extra have tests of their own."""
GOOD = [
    "classical/tpe",
    "classical/gp",
    "quantum/fm_qaoa",
    "quantum/kernel_gp",
    "quantum/q_gp_ucb",
    "control/fm_simulated_annealing",
    "control/product_kernel_gp",
]


@pytest.mark.parametrize("name", [name for name in SEARCHERS if name not in APART])
def test_a_searcher_keeps_its_budget_and_tells_what_it_took(name):
    strategy = SEARCHERS[name](SETTINGS)
    assert strategy.name == name
    found = [tabular.search(jax.random.key(seed), TABLE, strategy, BUDGET, 0) for seed in (1, 1, 2)]
    assert found[0] == found[1] and found[0].trials != found[2].trials
    history = found[0]
    assert history.trials[-1].spent <= BUDGET + CLOSE
    assert history.trials[-1].spent == pytest.approx(
        sum(trial.steps for trial in history.trials) / 27 + history.trials[-1].coherent
    )
    family = name.split("/")[0]
    assert (history.simulated > 0) == (name in ("quantum/durr_hoyer", "quantum/grover_adaptive"))
    used = total(history.resources)
    if family != "quantum":
        assert (used is None and history.trials[-1].coherent == 0) or name == "control/gp_ucb"
    elif name != "quantum/q_gp_ucb":
        assert used is not None and used.shots > 0
    if name in GOOD:
        assert tabular.curve(TABLE, history, [BUDGET]).regret[0] <= 0.1 + CLOSE


def test_an_annealed_machine_finds_the_least_cell():
    strategy = SEARCHERS["quantum/fm_annealing"](SETTINGS)
    history = tabular.search(jax.random.key(1), TABLE, strategy, 12, 1)
    need = total(history.resources)
    assert need.qubits == 12 and need.anneals == 6 * SETTINGS.shots
    assert tabular.curve(TABLE, history, [12]).regret[0] <= 0.1 + CLOSE


def test_botorch_searches_where_it_is_installed_and_names_the_command_where_not(monkeypatch):
    strategy = SEARCHERS["classical/botorch"](SETTINGS)
    if importlib.util.find_spec("optuna_integration") and importlib.util.find_spec("botorch"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its samplers are experimental
            history = tabular.search(jax.random.key(1), TABLE, strategy, 12, 0)
        assert tabular.curve(TABLE, history, [12]).regret[0] <= 0.2
    monkeypatch.setitem(sys.modules, "optuna_integration", None)
    with pytest.raises(ModuleNotFoundError, match=r"run `pip install 'qgen\[botorch\]'`"):
        tabular.search(jax.random.key(1), TABLE, strategy, 12, 0)


def test_the_oracles_price_is_per_call():
    strategy = SEARCHERS["quantum/durr_hoyer"](SETTINGS)
    history = tabular.search(jax.random.key(4), TABLE, strategy, BUDGET, 0)
    calls = history.trials[-1].coherent
    assert history.simulated == 60 and 0 < calls < BUDGET
    one = grover.resources(grover.Oracle(1e6, 100), 60, 1, 1)
    assert total(history.resources).t_gates == pytest.approx(calls * one.t_gates)


@pytest.mark.parametrize("shape", [(3, 2), (2, 4, 3)])
def test_penalties_keep_the_least_energy_of_one_choice_per_axis(shape):
    generator = np.random.default_rng(len(shape))
    n = sum(shape)
    linear, root = generator.normal(size=n), generator.normal(size=(n, n))
    quadratic = root + root.T
    problem = searchers.one_hot_penalised(linear, quadratic, shape)
    strings = np.array(list(itertools.product((0, 1), repeat=n)))
    best = strings[np.argmin(subset.energy(problem, strings))]
    cells = list(itertools.product(*map(range, shape)))
    bits = np.array([np.concatenate([np.eye(s)[v] for v, s in zip(cell, shape)]) for cell in cells])
    plain = subset.energy(subset.Quadratic(linear, quadratic), bits)
    least = cells[int(np.argmin(plain))]
    assert searchers.decoded(best[None], problem, shape) == [least]
    assert searchers.decoded(strings, problem, shape)[0] == least
    assert len(searchers.decoded(strings, problem, shape)) == len(cells)


def test_curves_and_targets_are_counted_by_hand():
    places = {cell: tuple(TABLE.points[cell].tolist()) for cell in (3, 17, 40)}
    losses = TABLE.losses[:, 0, -1]
    trials = (
        Trial(0, places[3], 0.1, 9, 1 / 3, 0),
        Trial(1, places[17], float(losses[17]), 27, 4.0, 2),
        Trial(2, places[40], float("nan"), 27, 5.0, 2),
    )
    history = History(trials, (), 0)
    found = tabular.curve(TABLE, history, [0.2, 1, 3.99, 4, 9])
    final = TABLE.final()
    expected = [np.nan, *([final[3] - final.min()] * 2), *([final[17] - final.min()] * 2)]
    np.testing.assert_allclose(found.regret, expected, atol=CLOSE)
    np.testing.assert_allclose(found.test, 2 * np.array(expected), atol=CLOSE)
    assert tabular.trainings_to(history, float(losses[17])) == 4.0
    assert tabular.trainings_to(history, float(losses[17]) - 0.01) == float("inf")
    assert tabular.trainings_to(History((), (), 0), 1.0) == float("inf")


def test_a_table_comes_back_from_disk(tmp_path, monkeypatch):
    tabular.save(tmp_path / "planted.npz", TABLE._replace(facts={"flops": 3.0}))
    monkeypatch.setattr(tabular, "TABLES", ("planted",))
    read = tabular.load("planted", tmp_path)
    np.testing.assert_allclose(read.losses, TABLE.losses, rtol=1e-6)
    np.testing.assert_array_equal(tabular.cell_of(read, read.points), np.arange(60))
    assert read.space == SPACE and read.stops == STOPS and read.facts == {"flops": 3.0}
    with pytest.raises(ValueError, match="must be categorical, but one is Float"):
        from qgen.search.space import Float

        tabular.save(tmp_path / "other.npz", TABLE._replace(space=Space({"x": Float(0, 1)})))
    tabular.save(tmp_path / "planted.npz", TABLE._replace(losses=TABLE.losses[1:]))
    with pytest.raises(ValueError, match=r"`losses` must have shape \(60, any, 3\)"):
        tabular.load("planted", tmp_path)


@pytest.mark.parametrize("name", tabular.TABLES)
def test_the_committed_tables_are_whole(name):
    table = tabular.load(name)
    assert table.losses.shape == (576, 3, 3) and table.test.shape == (576, 3)
    assert np.isfinite(table.final()).all()
    # A mean over seeds must tell cells apart, and half-way losses must tell something of final ones.
    ranks = [np.argsort(np.argsort(table.losses[:, seed, -1])) for seed in range(3)]
    assert np.corrcoef(ranks)[0, 1] > 0.7
    middle = np.argsort(np.argsort(table.losses[:, 0, 1]))
    assert np.corrcoef(middle, ranks[0])[0, 1] > 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Settings(9, start_points=1), "`start_points` must be at least 2"),
        (lambda: Settings(9, bandwidths=()), "`number of bandwidths` must be at least 1"),
        (lambda: tabular.load("planet"), "`table` must be one of: language_model"),
        (lambda: tabular.search(jax.random.key(0), TABLE, SEARCHERS["classical/random"](SETTINGS), 3, 2), "`seed`"),
        (
            lambda: tabular.search(
                jax.random.key(0), TABLE, SEARCHERS["classical/hyperband"](Settings(16 * 27)), 40, 0
            ),
            "`steps of a rung` must be one of: 3, 9, 27",
        ),
        (lambda: studies.arm("quantum/nothing", [3], 5, 9, None, None), "`name` must be one of"),
        (lambda: studies.arm("quantum/kernel_gp", [3], 2, 9, None, None), "`budget` must be at least 3"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["quantum/kernel_gp", "control/fourier_ridge"])
def test_a_searcher_as_an_arm(key, name):
    trained = []

    def loss(problem, cell):
        trained.append(cell)
        return problem[cell]

    problem = np.array([surface(point) for point in TABLE.points])
    axes = (SPACE.axes["rate"].choices, 3, SPACE.axes["depth"].choices)
    arm = studies.arm(name, axes, 12, 27, loss, lambda cell, trainings: (cell, trainings))
    outcome = arm.solve(key, problem)
    assert isinstance(outcome, Outcome) and arm.name == name
    cell, trainings = outcome.answer
    assert trainings == len(trained) == len(set(trained)) == 12
    assert problem[cell] == min(problem[trained]) == pytest.approx(float(outcome.trace["best_loss"][-1]), abs=1e-6)
    assert (len(outcome.resources) > 0) == name.startswith("quantum/")
    if arm.host is not None:
        assert len(arm.host(key, problem)) == 12
