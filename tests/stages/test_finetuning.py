import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.lm import adapters, train, transformer
from qgen.quantum import parameter_generator
from qgen.stages import adapted, few_samples, finetuning, generated
from tests.stages import tiny

SINGLE = 1e-4
CONFIG = finetuning.Config(
    samples=20, steps=12, batch=4, trials=(0.3, 1.0), further=1, layers=2, chunk=16, shots=128, holdout=4
)


@pytest.fixture(scope="module")
def problem():
    return finetuning.problem(jax.random.key(0), CONFIG, tiny.artefacts())


def test_problem_splits_the_few_samples(problem):
    fewer = finetuning.problem(jax.random.key(0), dataclasses.replace(CONFIG, samples=10), tiny.artefacts())
    assert len(fewer.tokens) < len(problem.tokens)
    assert len(problem.validation) < len(problem.tokens)
    assert min(problem.before) > 0


def test_student_is_the_teacher_without_every_second_block(problem):
    model, params = finetuning.student(problem.model, problem.params)
    assert model.depth == 2
    tokens = jnp.asarray(problem.tokens[:12])[None]
    gated = transformer.apply(problem.params, tokens, problem.model, gates=jnp.array([1.0, 1, 0, 0, 1, 1]))
    np.testing.assert_allclose(transformer.apply(params, tokens, model), gated, atol=SINGLE)


def test_generated_adapters_learn_through_the_circuit(problem):
    model, params = finetuning.student(*finetuning.student(problem.model, problem.params))  # of one block
    lora = adapters.Lora(CONFIG.rank)
    base = adapted.started(jax.random.key(1), params, lora)
    made = parameter_generator.Config(transformer.size(base.trained), CONFIG.chunk, 2, 8, 4096)
    trained = parameter_generator.init(jax.random.key(2), made)
    trained["outer"] = 0.2 * jax.random.normal(jax.random.key(3), trained["outer"].shape)
    fixed = parameter_generator.random_distribution(jax.random.key(4), made)
    objective = generated.objective(model, lora, made)
    windows = jnp.asarray(problem.tokens[: 16 + 1])[None]
    inputs = (params, base, fixed), windows[:, :-1], windows[:, 1:], jax.random.key(5)
    graded = jax.jit(jax.value_and_grad(objective))
    value, slopes = graded(trained, *inputs)
    assert float(jnp.linalg.norm(slopes["angles"])) > 1e-4
    # At zero weights the adapted model is the model itself.
    zero = trained | {"outer": jnp.zeros_like(trained["outer"])}
    plain = jax.jit(train.loss, static_argnums=1)(params, model, windows[:, :-1], windows[:, 1:])
    assert abs(float(graded(zero, *inputs)[0]) - float(plain)) < SINGLE
    assert abs(float(value) - float(plain)) > SINGLE


def test_controls_of_the_generator_have_as_many_trained_numbers(problem):
    weights = adapters.count(problem.params, adapters.Lora(CONFIG.rank), adapters.BLOCKS)
    made = generated.generator(CONFIG, weights, "circuit")
    aim = transformer.size(parameter_generator.init(jax.random.key(0), made))
    n, hidden = made.n_qubits, made.hidden
    assert aim == parameter_generator.size(made) == (n + 2 + made.chunk) * hidden + n * made.layers
    wide = transformer.size(parameter_generator.init(jax.random.key(0), generated.generator(CONFIG, weights, "bits")))
    assert abs(wide - aim) <= (n + 1 + made.chunk) / 2
    twin = generated.same_count(problem.params, aim)
    assert abs(adapters.count(problem.params, twin, adapters.BLOCKS) - aim) <= 4 * problem.model.depth / 2
    assert twin.rank**2 >= twin.width


@pytest.mark.parametrize("name", ["classical/full", "classical/lora", "quantum/parameter_generator"])
def test_arms_learn_the_second_domain(problem, name):
    outcome = finetuning.STAGE.arms[name](CONFIG).solve(jax.random.key(7), problem)
    scores = finetuning.score(problem, outcome.answer)
    assert scores["gain"] > 0.02
    assert abs(scores["bits_per_byte"] + scores["gain"] - problem.before[1]) < SINGLE
    assert scores["model_parameters"] == transformer.size(problem.params)
    assert (scores["trainable_parameters"] < scores["model_parameters"]) == (name != "classical/full")
    trials = len(outcome.trace["rate"])
    assert 2 <= trials <= 2 + CONFIG.further and outcome.trace["validation_loss"].shape == (trials,)
    assert outcome.trace["loss"].shape == (12,)
    if name.startswith("quantum"):
        assert float(outcome.trace["angle_change_rad"].max()) > 1e-3
        angles = len(outcome.trace["angle_change_rad"])
        # One circuit for p and two per angle, in every step of every trial; one read-out at the end.
        circuits = trials * (12 * (1 + 2 * angles) + 1)
        assert sum(item.circuits for item in outcome.resources) == circuits
        assert sum(item.shots for item in outcome.resources) == circuits * CONFIG.shots
    handed = finetuning.hand_on(tiny.artefacts(), problem, outcome.answer)
    assert handed.adapted is outcome.answer.params


def test_a_diverged_first_trial_is_not_kept(problem, monkeypatch):
    losses = iter([float("nan"), 3.0, 4.0])
    monkeypatch.setattr(train, "token_loss", lambda *arguments: next(losses))
    outcome = finetuning.STAGE.arms["classical/full"](CONFIG).solve(jax.random.key(7), problem)
    second = train.fit(
        jax.random.key(7),
        problem.params,
        problem.model,
        problem.tokens,
        train.Recipe(learning_rate=CONFIG.trials[1] * CONFIG.full_rate, weight_decay=0.0),
        CONFIG.steps,
        CONFIG.batch,
    )
    np.testing.assert_array_equal(outcome.trace["loss"], second.losses)


@pytest.mark.parametrize(
    ("trials", "losses", "tried", "best"),
    [
        ((0.5, 1.0), [3.0, 2.0, 1.0, 1.5], [0.5, 1.0, 2.0, 4.0], 2.0),
        ((0.5, 1.0), [3.0, 2.0, 2.5], [0.5, 1.0, 2.0], 1.0),
        ((0.5, 1.0), [2.0, 3.0, float("nan")], [0.5, 1.0, 0.25], 0.5),
        ((0.5, 1.0, 4.0), [3.0, 1.0, 2.0], [0.5, 1.0, 4.0], 1.0),
        ((1.0,), [3.0], [1.0], 1.0),
    ],
)
def test_tuning_goes_on_beyond_an_outermost_best_rate(problem, monkeypatch, trials, losses, tried, best):
    given = iter(losses)
    monkeypatch.setattr(train, "token_loss", lambda *arguments: next(given))

    def fit(key, start, model, tokens, recipe, *rest, **more):
        return train.Fit(recipe.learning_rate, np.zeros(3))

    monkeypatch.setattr(train, "fit", fit)
    config = dataclasses.replace(CONFIG, trials=trials, further=2)
    kept, trace = few_samples.tuned(
        *(jax.random.key(0), problem, config, 0.1, problem.params, None, (), lambda trained, extra: trained, None)
    )
    np.testing.assert_allclose(trace["rate"], 0.1 * np.array(tried))
    np.testing.assert_array_equal(trace["validation_loss"], losses)
    assert kept == pytest.approx(0.1 * best) and not list(given)


def test_distilled_student_is_smaller(problem):
    outcome = finetuning.STAGE.arms["classical/distilled"](CONFIG).solve(jax.random.key(7), problem)
    scores = finetuning.score(problem, outcome.answer)
    assert scores["model_parameters"] < transformer.size(problem.params)
    assert transformer.Config(**outcome.answer.model).depth == 2
