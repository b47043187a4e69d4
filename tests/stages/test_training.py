import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import resources
from qgen.lm import tokenizer, train, transformer
from qgen.stages import Artefacts, optimisers, training
from qgen.stages.training import STAGE

TOLERANCE = 2e-5
CONFIG = training.Config(
    steps=10, batch=2, trial_steps=2, phase_share=0.4, phase_batches=3, layers=2, shots=64, final_shots=500
)


def artefacts():
    generator = np.random.default_rng(5)
    words = ["list", "of", "items", "returns", "the", "key", "value", "map", "raise", "error", "when", "empty"]
    texts = tuple(" ".join(generator.choice(words, 60)) + f" {place}" for place in range(60))
    model = {"vocabulary": 270, "context": 16, "width": 12, "depth": 1, "heads": 2}
    return Artefacts(
        texts[:50],
        texts[50:],
        (),
        (),
        curated=texts[:50],
        tokenizer=tokenizer.train(texts, "bpe", 270),
        embeddings=generator.normal(size=(270, 5)),
        model=model,
        recipe={"learning_rate": 0.01},
    )


@pytest.fixture(scope="module")
def problem():
    return training.problem(jax.random.key(2), CONFIG, artefacts())


def solve(problem, name, seed=4):
    return STAGE.arms[name](CONFIG).solve(jax.random.key(seed), problem)


def test_problem_keeps_validation_out_of_training(problem):
    texts = artefacts().curated
    kept = tokenizer.stream(problem.tokenizer, tuple(t for p, t in enumerate(texts) if p % training.VALIDATION_EVERY))
    np.testing.assert_array_equal(problem.tokens, kept)
    assert len(problem.validation) < len(kept) / 10
    assert problem.start["embed"]["embedding"].shape == (270, 12)
    assert problem.recipe.learning_rate == 0.01


def test_merge_is_exact_by_numpy(problem, key):
    generator = np.random.default_rng(1)
    shapes = jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape) * 0.3, jnp.float32), problem.start)
    factors = generator.uniform(0.2, 1.8, 12).astype(np.float32)
    inputs, targets = generator.integers(0, 270, (2, 3, 16))
    merged = training.merge(shapes, jnp.asarray(factors))
    features = np.asarray(transformer.apply(shapes, inputs, problem.model, features=True), dtype=float)
    logits = (features * factors) @ np.asarray(shapes["head"]["kernel"], dtype=float)
    np.testing.assert_allclose(transformer.apply(merged, inputs, problem.model), logits, atol=1e-3)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    expected = -np.take_along_axis(log, targets[..., None], axis=-1).mean()
    found = training.head_loss(jnp.asarray(factors), shapes["head"]["kernel"], (jnp.asarray(features), targets))
    assert float(found) == pytest.approx(expected, rel=TOLERANCE)
    assert float(train.loss(merged, problem.model, inputs, targets)) == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.parametrize("name", list(STAGE.arms))
def test_every_arm_spends_the_same_steps_and_learns(problem, name):
    outcome = solve(problem, name)
    losses = np.asarray(outcome.trace["loss"])
    assert losses.shape == (CONFIG.steps,) and np.isfinite(losses).all()
    assert training.score(problem, outcome.answer)["validation_nats_per_token"] < np.log(270)
    if name.startswith(("quantum", "control")):
        factors = np.asarray(outcome.trace["factors"])
        assert np.abs(factors - 1).max() > 1e-3
        # All of these arms continue the same trained model.
        np.testing.assert_allclose(losses[: CONFIG.host_steps], training._host(problem).losses, rtol=TOLERANCE)


def test_gradient_reaches_the_circuit_and_the_head_moves_by_the_factors_alone(problem):
    outcome = solve(problem, "quantum/natural_gradient")
    assert (np.asarray(outcome.trace["angle_gradient_norm"]) > 0).all()
    host = training._host(problem)
    factors = np.asarray(outcome.trace["factors"])
    assert factors.shape == (12,)
    head = np.asarray(host.params["head"]["kernel"]) * factors[:, None]
    np.testing.assert_allclose(outcome.answer["head"]["kernel"], head, rtol=TOLERANCE)
    np.testing.assert_array_equal(outcome.answer["embed"]["embedding"], host.params["embed"]["embedding"])
    before, after = outcome.trace["validation_before_after"]
    assert float(before) == pytest.approx(
        train.token_loss(host.params, problem.model, problem.validation), rel=TOLERANCE
    )
    assert float(after) == pytest.approx(
        train.token_loss(outcome.answer, problem.model, problem.validation), rel=TOLERANCE
    )


@pytest.mark.parametrize(
    ("name", "circuits"),
    [
        ("quantum/natural_gradient", 4 * (1 + 2 * 8 + 2)),
        ("control/no_entanglement", 4 * (1 + 2 * 8 + 2)),
        ("control/adam_generator", 4 * (1 + 2 * 8)),
        ("control/frozen_circuit", 0),
    ],
)
def test_resources_are_circuits_times_shots(problem, name, circuits):
    outcome = solve(problem, name)
    needed = resources.total(outcome.resources)
    assert needed.qubits == 4
    assert needed.shots == 64 * circuits + 500
    assert (needed.gates_2q > 0) == (name != "control/no_entanglement")


def test_the_run_with_the_least_validation_loss_goes_on_and_equals_a_straight_fit(problem, monkeypatch):
    losses = iter([float("nan"), 3.0, 4.0])
    with monkeypatch.context() as patch:
        patch.setattr(train, "token_loss", lambda *arguments: next(losses))
        found = solve(problem, "classical/adamw")
    choice = optimisers.OPTIMISERS["adamw"]
    recipe = problem.recipe._replace(learning_rate=choice.multiples[1] * 0.01)
    solver = train.trainer(problem.model, CONFIG.batch, choice.optimiser)
    data = train.problem(problem.start, problem.tokens, recipe, CONFIG.steps)
    state = solver.init(jax.random.key(0), data)
    advance = jax.jit(solver.step)
    for step in range(CONFIG.steps):
        state, info = advance(jax.random.fold_in(jax.random.key(4), step), state, data)
        assert float(found.trace["loss"][step]) == pytest.approx(float(info.loss), rel=1e-3)


def test_hand_on_hands_on_the_parameters(problem):
    assert STAGE.hand_on(artefacts(), problem, {"a": 1}).params == {"a": 1}
