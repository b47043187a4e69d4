import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.lm import quantise, train, transformer
from qgen.stages import deployment, removal
from tests.stages import tiny

SINGLE = 2e-4
CONFIG = deployment.Config(
    removed=0.34, calibration=4, layers=2, training=6, shots=64, sweeps=10, tries=24, tokens=4, prompts=2, holdout=3
)
N = 6


@pytest.fixture(scope="module")
def problem():
    return deployment.problem(jax.random.key(0), CONFIG, tiny.artefacts())


@pytest.fixture(scope="module")
def loss(problem):
    run = jax.jit(
        lambda gates: train.loss(
            problem.params, problem.model, problem.windows[:, :-1], problem.windows[:, 1:], gates=gates
        )
    )
    return lambda gates: float(run(jnp.asarray(gates, jnp.float32)))


def test_pairs_energy_is_exact_for_one_and_two_removals(problem, loss):
    linear, quadratic = (np.asarray(part, float) for part in problem.energy)
    for chosen in [*itertools.combinations(range(N), 1), *itertools.combinations(range(N), 2)]:
        x = np.isin(np.arange(N), chosen).astype(float)
        expected = loss(1 - x) - loss(np.ones(N))
        assert abs(linear @ x + x @ quadratic @ x / 2 - expected) < SINGLE


def test_taylor_energy_is_the_losses_derivatives(problem, loss):
    energy = removal.expansion(problem.params, problem.model, problem.windows, "taylor")
    step = 0.1
    for i in range(N):
        unit = step * np.eye(N)[i]
        slope = (loss(np.ones(N) - unit) - loss(np.ones(N) + unit)) / (2 * step)
        bend = (loss(np.ones(N) - unit) + loss(np.ones(N) + unit) - 2 * loss(np.ones(N))) / step**2
        assert abs(float(energy.linear[i]) - slope) < 0.02
        assert abs(float(energy.quadratic[i, i]) - bend) < 0.05
    np.testing.assert_allclose(energy.quadratic, energy.quadratic.T, atol=1e-6)
    with pytest.raises(ValueError, match="`expansion`"):
        removal.expansion(problem.params, problem.model, problem.windows, "cubic")


@pytest.mark.parametrize("name", deployment.STAGE.arms)
def test_arms_remove_as_many_branches_as_asked(problem, name):
    outcome = deployment.STAGE.arms[name](CONFIG).solve(jax.random.key(3), problem)
    scores = deployment.score(problem, outcome.answer)
    removed = 0 if name == "control/quantised_only" else problem.removed
    assert N - int(outcome.answer.gates.sum()) == removed == round((1 - scores["branches_kept"]) * N)
    if removed:
        assert scores["energy_gap"] > -SINGLE
    assert 0 <= scores["chance_of_optimum"] <= 1
    if name in ("classical/exact", "classical/annealing", "quantum/qaoa", "control/uniform"):
        assert abs(scores["energy_gap"]) < SINGLE


def test_everything_of_the_qaoas_training_is_charged(problem):
    outcome = deployment.STAGE.arms["quantum/qaoa"](CONFIG).solve(jax.random.key(3), problem)
    carried = deployment.STAGE.arms["quantum/qaoa_carried"](CONFIG).solve(jax.random.key(3), problem)
    assert sum(item.shots for item in outcome.resources) == CONFIG.shots * (2 * CONFIG.training + 1)
    assert sum(item.shots for item in carried.resources) == CONFIG.shots
    control = deployment.STAGE.arms["control/uniform"](CONFIG).solve(jax.random.key(3), problem)
    assert sum(item.shots for item in control.resources) == CONFIG.shots * (2 * CONFIG.training + 1)


def test_greedy_on_the_loss_is_greedy_on_the_loss(problem, loss):
    gates = np.ones(N)
    for _ in range(problem.removed):
        losses = {i: loss(np.where(np.arange(N) == i, 0, gates)) for i in range(N) if gates[i]}
        gates[min(losses, key=losses.__getitem__)] = 0
    outcome = deployment.STAGE.arms["classical/greedy_loss"](CONFIG).solve(jax.random.key(3), problem)
    np.testing.assert_array_equal(outcome.answer.gates, gates)


def test_a_removed_branch_is_gone_from_the_program_and_from_memory(problem):
    outcome = deployment.STAGE.arms["classical/exact"](CONFIG).solve(jax.random.key(3), problem)
    answer = outcome.answer
    tokens = problem.windows[:, :-1]
    static = tuple(float(gate) for gate in answer.gates)

    def logits(gates):
        return jax.jit(lambda params: transformer.apply(params, tokens, problem.model, gates=gates))(answer.params)

    gated, smaller = logits(jnp.asarray(answer.gates)), logits(static)
    np.testing.assert_allclose(smaller, gated, atol=SINGLE)

    def products(gates):
        program = jax.make_jaxpr(lambda params: transformer.apply(params, tokens, problem.model, gates=gates))
        return str(program(answer.params)).count("dot_general")

    assert products(static) < products((1.0,) * N)
    scores = deployment.score(problem, answer)
    assert scores["bytes"] < quantise.nbytes(answer.params) < 0.5 * quantise.nbytes(problem.params)


def test_precisions_and_use(problem):
    for precision, dtype in (("bf16", jnp.bfloat16), ("f32", jnp.float32)):
        config = dataclasses.replace(CONFIG, precision=precision)
        answer = deployment.STAGE.arms["classical/greedy"](config).solve(jax.random.key(3), problem).answer
        assert answer.params["head"]["kernel"].dtype == dtype
    use = deployment.use(problem, answer)
    tokens = use.run()
    assert use.unit == "token" and tokens.size == use.units == 2 * (16 - problem.prompts.shape[1])
    assert int(tokens.max()) < problem.model.vocabulary
    with pytest.raises(ValueError, match=r"`deployment\.precision` must be one of: int8, bf16, f32"):
        dataclasses.replace(CONFIG, precision="int3")
