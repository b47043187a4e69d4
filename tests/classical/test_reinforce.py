"""Policy gradients: returns, the gradient against its closed form, and what both rules learn; the network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import policy, reinforce
from qgen.classical.policy import Design
from qgen.classical.reinforce import Config, Environment, Head

REWARDS = jnp.asarray([0.1, 0.9, 0.4])
PRIOR = jnp.asarray([0.3, -0.5, 0.2])
BANDIT = Environment(
    lambda key: jnp.zeros(()),
    lambda state: (jnp.ones(1), PRIOR),
    lambda key, state, action: (state, REWARDS[action], jnp.asarray(False)),
)
"""Three arms, and episodes of two pulls."""


def head(design):
    return Head(functools.partial(policy.init, design=design), lambda key, params, x: policy.outputs(params, design, x))


POLICY, VALUE = head(Design(1, 0, 3)), head(Design(1, 0, 1))
CONFIG = Config("reinforce", updates=40, groups=8, horizon=2, discount=1.0, scale=2.0)


def test_returns_to_come_are_discounted_sums():
    rewards = np.array([[1.0, 2.0, -1.0, 4.0], [0.5, 0.0, 3.0, 9.0]])
    alive = np.array([[True, True, True, True], [True, True, True, False]])
    made = reinforce.returns_to_come(jnp.asarray(rewards), jnp.asarray(alive), 0.7)
    wanted = [[sum(0.7 ** (k - t) * row[k] for k in range(t, n)) for t in range(4)] for row, n in zip(rewards, (4, 3))]
    np.testing.assert_allclose(made, wanted, rtol=1e-6)


@pytest.fixture(scope="module")
def batch():
    params = POLICY.init(jax.random.key(1))
    many = dataclasses.replace(CONFIG, groups=4000)
    play = jax.jit(lambda key, params: reinforce.play(key, params, BANDIT, POLICY, many))
    return params, play(jax.random.key(2), params)


def test_actions_follow_prior_and_logits(batch):
    params, played = batch
    logits = np.asarray(policy.outputs(params, Design(1, 0, 3), jnp.ones(1)) + PRIOR)
    wanted = np.exp(logits) / np.exp(logits).sum()
    shares = np.bincount(np.asarray(played.actions).ravel(), minlength=3) / played.actions.size
    np.testing.assert_allclose(shares, wanted, atol=5 * 0.5 / np.sqrt(played.actions.size))
    np.testing.assert_allclose(played.logs, np.log(wanted)[np.asarray(played.actions)], atol=1e-5)


def test_the_gradient_is_the_closed_form(batch):
    """Of one pull a step: minus p_a (r_a - r mean) over the deviation of the rewards, by hand."""
    params, played = batch
    config = dataclasses.replace(CONFIG, discount=0.0)
    value = jax.tree.map(jnp.zeros_like, VALUE.init(jax.random.key(3)))
    trained = {"policy": params, "value": value}
    slope = jax.jit(jax.grad(lambda t: reinforce.loss(t, jax.random.key(0), played, POLICY, VALUE, config)))(trained)
    logits = np.asarray(policy.outputs(params, Design(1, 0, 3), jnp.ones(1)) + PRIOR)
    p, r = np.exp(logits) / np.exp(logits).sum(), np.asarray(REWARDS)
    mean = p @ r
    wanted = -p * (r - mean) / np.sqrt(p @ (r - mean) ** 2)
    np.testing.assert_allclose(slope["policy"]["bias"], wanted, atol=5 / np.sqrt(8000))
    assert np.abs(wanted).max() > 0.2
    np.testing.assert_allclose(slope["value"]["bias"], [-2 * mean / 2], atol=5 / np.sqrt(8000))


def test_grpo_compares_within_a_group_and_clips(batch):
    params, _ = batch
    config = Config("grpo", groups=2, episodes=3, horizon=1, clip=0.2)
    rewards = np.array([[1.0, 2.0, 6.0], [5.0, 5.0, 5.0]])
    actions, old = np.array([[0, 1, 2], [0, 0, 1]]), np.array([[-1.0, -2.0, -3.0], [-1.0, -1.0, -1.0]])
    shape = (2, 3, 1)
    played = reinforce.Batch(
        jnp.ones((*shape, 1)),
        jnp.broadcast_to(PRIOR, (*shape, 3)),
        jnp.asarray(actions)[..., None],
        jnp.asarray(old, jnp.float32)[..., None],
        jnp.asarray(rewards, jnp.float32)[..., None],
        jnp.ones(shape, bool),
    )
    made = reinforce.loss({"policy": params}, jax.random.key(0), played, POLICY, VALUE, config)
    logits = np.asarray(policy.outputs(params, Design(1, 0, 3), jnp.ones(1)) + PRIOR, float)
    logs = logits - np.log(np.exp(logits).sum())
    advantage = (rewards - rewards.mean(1, keepdims=True)) / (rewards.std(1, keepdims=True) + 1e-4)
    ratio = np.exp(logs[actions] - old)
    wanted = -np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage).mean()
    assert float(made) == pytest.approx(wanted, rel=1e-4)
    divergence = np.exp(logs) @ (logs - np.asarray(PRIOR) + np.log(np.exp(PRIOR).sum()))
    weighed = dataclasses.replace(config, kl=0.5)
    more = reinforce.loss({"policy": params}, jax.random.key(0), played, POLICY, VALUE, weighed)
    assert float(more) == pytest.approx(wanted + 0.5 * divergence, rel=1e-3)


@pytest.mark.parametrize("rule", reinforce.RULES)
def test_both_rules_learn_the_best_arm(rule):
    config = dataclasses.replace(CONFIG, rule=rule, groups=4, episodes=4)
    keys, rates = jax.random.split(jax.random.key(4), 3), jnp.asarray([0.2, 0.2, 0.0])
    learned = jax.jit(jax.vmap(lambda key, rate: reinforce.learn(key, rate, BANDIT, POLICY, VALUE, config)))(
        keys, rates
    )
    final = np.asarray(learned.returns[:, -5:].mean(axis=1))
    assert (final[:2] > 1.65).all() and final[2] < 1.2  # 1.8 is the most; a rate of zero learns nothing
    np.testing.assert_array_equal(learned.steps, 16 * 2)
    for before, after in zip(jax.tree.leaves(learned.start), jax.tree.leaves(learned.params), strict=True):
        np.testing.assert_array_equal(before[2], after[2])


def test_episodes_end_and_what_follows_does_not_count():
    chain = Environment(
        lambda key: jnp.zeros((), jnp.int32),
        lambda state: (jnp.ones(1), jnp.zeros(3)),
        lambda key, state, action: (state + 1, jnp.ones(()), state + 1 == 3),
    )
    played = reinforce.play(
        jax.random.key(0), POLICY.init(jax.random.key(0)), chain, POLICY, Config(groups=2, horizon=5)
    )
    np.testing.assert_array_equal(played.alive[0, 0], [True, True, True, False, False])
    come = reinforce.returns_to_come(played.rewards, played.alive, 1.0)
    np.testing.assert_array_equal(come[1, 0], [3, 2, 1, 0, 0])


@pytest.mark.parametrize("hidden", [0, 4])
def test_the_network_is_its_formula(hidden):
    design = Design(3, hidden, 2)
    params = jax.tree.map(lambda leaf: leaf + 0.1, policy.init(jax.random.key(0), design))
    x = np.array([0.3, -1.2, 0.8])
    wide = {name: np.asarray(leaf, float) for name, leaf in params.items()}
    last = np.tanh(x @ wide["inner"] + wide["shift"]) if hidden else x
    np.testing.assert_allclose(
        policy.outputs(params, design, jnp.asarray(x)), last @ wide["outer"] + wide["bias"], rtol=1e-4
    )
    assert policy.size(design) == sum(leaf.size for leaf in params.values())
    for aim in (20, 68, 90):
        assert abs(policy.size(policy.matched(4, 2, aim)) - aim) <= 7 / 2


def test_refusals():
    with pytest.raises(ValueError, match="`rule` must be one of: reinforce, grpo"):
        Config("dqn")
    with pytest.raises(ValueError, match="`episodes` must be at least 2"):
        Config("grpo")
    with pytest.raises(ValueError, match="`updates` must be at least 1"):
        Config(updates=0)
    with pytest.raises(ValueError, match="`inputs` must be at least 1"):
        Design(0, 1, 1)
    with pytest.raises(ValueError, match="`hidden` must be at least 0"):
        Design(1, -1, 1)
