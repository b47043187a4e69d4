"""The scripts finetuning and reinforcement: flags, populations against single runs, a small run and its resumption."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import adapter_population as populations
from experiments import policy_tasks
from qgen import record
from qgen.classical import reinforce
from qgen.lm import adapters, train
from qgen.lm.adapters import RsLora
from qgen.quantum import policy
from qgen.stages import finetuning
from tests.stages import tiny

ROOT = Path(__file__).parent.parent
CONFIG = finetuning.Config(samples=20, steps=4, batch=4, layers=2, chunk=16, shots=64, holdout=4)


def run(script, *flags):
    command = [sys.executable, "-m", f"experiments.{script}", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize(
    ("script", "flag", "message"),
    [
        ("finetuning", "--arm=inspired/x", "--arm=inspired/x: must be one of: classical/full"),
        ("reinforcement", "--seeds=1", "--seeds=1: must be at least 5, one per learning rate."),
    ],
)
def test_wrong_flags_end_with_one_sentence(script, flag, message, tmp_path):
    refused = run(script, flag, f"--out={tmp_path / 'out'}")
    assert refused.returncode == 2 and message in refused.stderr and "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "flags", "rows", "figure"),
    [
        ("finetuning", ("--arm=classical/lora,quantum/parameter_generator",), 2 * 4 + 8, "pareto"),
        ("reinforcement", ("--rule=grpo",), 2 * 2 * 6, "curves"),
    ],
)
def test_a_run_writes_everything_and_resumes(script, flags, rows, figure, tmp_path):
    given = ("--preset=smoke", f"--out={tmp_path}", "--profile=sc_long", *flags)
    first = run(script, *given)
    assert first.returncode == 0, first.stderr[-2000:]
    found = record.load(tmp_path / "records.jsonl")
    assert len(found) == rows and all(row.status == "ok" for row in found)
    quantum = [row for row in found if row.arm.startswith("quantum/")]
    assert quantum and all(row.resources["shots"] > 0 and row.projected["sc_long"] for row in quantum)
    assert (tmp_path / "figures" / f"{figure}.pdf").stat().st_size > 0
    assert len(list((tmp_path / "tables").glob("*.csv"))) > 0
    again = run(script, *given)
    assert again.returncode == 0 and record.load(tmp_path / "records.jsonl") == found
    refused = run(script, *given, "--noresume")
    assert refused.returncode == 2 and "already holds" in refused.stderr


@pytest.mark.slow
def test_a_lane_of_a_population_is_a_run_of_its_own():
    """Rank 1 of a masked rank 4, second seed, second rate: as the trainer alone gives it and `token_loss` scores it."""
    problems = [finetuning.problem(jax.random.key(seed), CONFIG, tiny.artefacts(1)) for seed in (0, 1)]
    params, model = problems[0].params, problems[0].model
    data = populations.data(problems)
    entry = populations.masked("classical/rslora", RsLora(4), (1, 4), params, model)
    keys, rates = jax.random.split(jax.random.key(3), 2), jnp.asarray([1e-3, 3e-2])
    made = populations.population(keys, params, data, rates, entry, model, CONFIG.steps, CONFIG.batch)
    found = populations.scored(keys, params, data, made, entry, model)
    assert found.validation.shape == (2, 2, 2) and found.curve.shape == (2, 2, CONFIG.steps)

    narrow = RsLora(1)
    start_key, step_key = jax.random.split(keys[1])
    wide = adapters.init(start_key, params, RsLora(4), adapters.BLOCKS)
    start = jax.tree.map(lambda leaf: leaf[..., :1] if leaf.shape[-1] == 4 else leaf[:1], wide.trained)
    frozen = adapters.init(start_key, params, narrow, adapters.BLOCKS).frozen
    training = train.trainer(model, CONFIG.batch, objective=adapters.objective(model, narrow))
    recipe = train.Recipe(3e-2, weight_decay=0.0)
    given = train.problem(start, problems[1].tokens, recipe, CONFIG.steps, (params, frozen, ()))
    state, losses = train.advance(step_key, training, given, train.begin(training, given), 0, CONFIG.steps)
    np.testing.assert_allclose(made.losses[0, 1, 1], losses, rtol=1e-4)
    merged = adapters.merge(params, narrow, state.params, frozen)
    loss = train.token_loss(merged, model, problems[1].validation)
    assert found.validation[0, 1, 1] == pytest.approx(loss, rel=1e-4)
    assert (found.chosen == found.validation.argmin(axis=-1)).all()
    if found.chosen[0, 1] == 1:
        bits = train.bits_per_byte(merged, model, problems[1].tokenizer, problems[1].second)
        assert found.bits_per_byte[0, 1] == pytest.approx(bits, rel=1e-4)
    assert entry.counts == tuple(adapters.count(params, RsLora(rank), adapters.BLOCKS) for rank in (1, 4))


def test_arms_of_reinforcement_are_of_one_size():
    for task, features, actions in (("cartpole", 4, 2), ("brackets", 6, 4)):
        found = policy_tasks.agents(task, features, actions, shots=50)
        for place, outputs in ((0, actions), (1, 1)):
            sizes = {name: agent.sizes[place] for name, agent in found.items()}
            circuit = sizes["quantum/circuit"]
            assert sizes["control/infinite_shots"] == sizes["control/no_entanglement"] == circuit
            assert abs(sizes["classical/mlp"] - circuit) <= (features + 1 + outputs) / 2
            assert sizes["control/frozen_circuit"] < circuit
        agent = found["quantum/circuit"]
        heads = agent.policy, agent.value
        made = [sum(leaf.size for leaf in jax.tree.leaves(head.init(jax.random.key(0)))) for head in heads]
        assert tuple(made) == agent.sizes
        # Every step taken is read once and learned from twice, by policy and value.
        used = agent.resources(10, 2, True)
        angles = [policy.circuit(policy.Design(features, policy_tasks.LAYERS[task], 1)).n_params] * 2
        wanted = 10 + 20 * (1 + 2 * angles[0]) + 20 * (1 + 2 * angles[1])
        assert sum(item.circuits for item in used) == wanted
        assert found["control/infinite_shots"].resources(10, 2, True) == ()


def test_the_score_is_the_mean_of_the_last_tenth():
    returns = np.arange(40.0).reshape(2, 20)
    np.testing.assert_allclose(policy_tasks.last(returns), [18.5, 38.5])
    assert set(policy_tasks.cart(2, 4, 10).config) == set(reinforce.RULES)
