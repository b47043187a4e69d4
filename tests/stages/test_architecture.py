import dataclasses

import jax
import numpy as np
import pytest

from qgen.energy import pricing, profiles
from qgen.lm import tokenizer, train, transformer
from qgen.stages import Artefacts, architecture
from qgen.stages.architecture import STAGE, Answer, Config

SMOKE = dataclasses.replace(STAGE.presets["smoke"], depths=(1,), widths=(16,), learning_rates=(0.003, 0.01, 0.03, 0.06))


def artefacts():
    generator = np.random.default_rng(8)
    words = ["list", "of", "items", "returns", "the", "key", "value", "map", "raise", "error", "when", "empty"]
    texts = tuple(" ".join(generator.choice(words, 60)) + f" {place}" for place in range(60))
    table = tokenizer.train(texts, "bpe", 270)
    return Artefacts(texts[:50], texts[50:], (), (), curated=texts[:50], tokenizer=table)


@pytest.fixture(scope="module")
def problem():
    return architecture.problem(jax.random.key(2), SMOKE, artefacts())


@pytest.fixture(scope="module")
def losses(problem):
    return np.array([architecture.loss(problem, index) for index in range(SMOKE.n_candidates)])


@pytest.fixture
def blind(problem):
    """The problem with a table that nobody may look at."""

    def refuse():
        raise AssertionError("an arm looked at the score's table")

    return problem._replace(table=refuse)


def test_grid_is_the_product_of_its_axes(problem):
    found = {(c.model.depth, c.model.width, c.recipe.learning_rate, c.recipe.warmup) for c in problem.candidates}
    expected = {(d, 16, r, w) for d in (1,) for r in SMOKE.learning_rates for w in SMOKE.warmups}
    assert found == expected and len(problem.candidates) == SMOKE.n_candidates == 8


def test_arms_train_what_they_say_and_keep_to_the_budget(blind, losses):
    budgets = {"classical/random_2x": 6, "control/exhaustive": 8}
    # Of the deep arms two: the contract runs all, and searchers have tests of their own.
    for name in [*(set(STAGE.arms) - STAGE.deep), "quantum/kernel_gp", "control/fourier_ridge"]:
        outcome = STAGE.arms[name](SMOKE).solve(jax.random.key(4), blind)
        answer = outcome.answer
        assert 1 <= answer.trainings + answer.coherent_calls <= budgets.get(name, 3), name
        assert float(outcome.trace["best_loss"][-1]) == pytest.approx(losses[answer.choice], rel=1e-5), name
        if name == "control/exhaustive":
            assert losses[answer.choice] == losses.min()


def test_a_quantum_search_with_budget_finds_the_least_loss(blind, losses):
    config = dataclasses.replace(SMOKE, budget=60)
    arm = architecture.durr_hoyer(config)
    wide = blind._replace(config=config)
    outcome = arm.solve(jax.random.key(1), wide)
    assert losses[outcome.answer.choice] == losses.min()
    assert outcome.answer.coherent_calls > 0
    assert 1 <= len(arm.host(jax.random.key(1), wide)) <= 8


def test_only_an_error_corrected_machine_can_price_the_oracle(blind):
    config = dataclasses.replace(SMOKE, budget=60)
    outcome = architecture.durr_hoyer(config).solve(jax.random.key(1), blind._replace(config=config))
    machines = profiles.load()
    for machine in machines.values():
        try:
            bill = pricing.price(outcome.resources, machine, jax.random.key(0), draws=100)
        except pricing.CannotRun:
            continue
        assert machine.kind == "fault_tolerant" or "ft" in machine.name
        assert float(np.median(bill.energy_j)) > 0


def test_oracle_counts_at_least_the_matrix_products_of_training(problem):
    oracle = architecture.oracle(problem)
    model = problem.candidates[-1].model
    start = transformer.init(jax.random.key(0), model)
    products = sum(leaf.size for leaf in jax.tree.leaves(start["block_0"])) * model.depth
    tokens = SMOKE.steps * SMOKE.batch * SMOKE.context
    # A product forwards and two backwards, two operations per weight and token each.
    assert 6 * products * tokens < oracle.flops < 60 * products * tokens
    assert oracle.numbers > 2 * transformer.size(start)


def test_score_reads_the_table_and_the_regret(problem):
    table = problem.table()
    assert table.shape == (8,) and (table > 0).all() and (table < 9).all()
    found = architecture.score(problem, Answer(3, 2, 5))
    assert found["bits_per_byte"] == pytest.approx(table[3])
    assert found["regret"] == pytest.approx(table[3] - table.min())
    assert (found["trainings"], found["coherent_calls"]) == (2, 5)
    assert architecture.score(problem, Answer(int(np.argmin(table)), 1))["regret"] == 0


def test_a_diverged_training_is_never_chosen(problem, monkeypatch):
    monkeypatch.setattr(train, "token_loss", lambda params, model, tokens: float("nan"))
    assert architecture.loss(problem, 0) == architecture.DIVERGED


def test_hand_on_gives_a_model_and_a_recipe_that_can_be_built(problem):
    handed = STAGE.hand_on(artefacts(), problem, Answer(6, 1))
    assert transformer.Config(**handed.model) == problem.candidates[6].model
    assert train.Recipe(**handed.recipe) == problem.candidates[6].recipe


def test_tpe_keeps_optuna_as_loud_as_it_was(blind):
    import optuna

    before = optuna.logging.get_verbosity()
    architecture.tpe(SMOKE).solve(jax.random.key(0), blind)
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depths": (4,)}, "depths` must have 2 entries"),
        ({"depths": (4,), "widths": (16,), "learning_rates": (0.1,), "warmups": (0.1,)}, "must be at least 2"),
        ({"budget": 2}, "budget` must be at least 3"),
    ],
)
def test_config_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        Config(**fields)
