"""Policy gradients as one pure program: REINFORCE with a baseline, and GRPO; episodes in a scan, runs under vmap.

What acts and what it acts on are passed in as functions, so that a circuit, a network, a cart and a language model all
run in the same loop.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from qgen import check
from qgen.types import Array, Bool, Float, Int, Key, Params

RULES = ("reinforce", "grpo")


class Environment(NamedTuple):
    """A task of episodes.

    Attributes:
        reset: `key -> state`.
        observe: `state -> (features, prior)`: what the policy reads, and log-weights of the actions that its logits are
            added to (zeros where nothing is known).
        step: `(key, state, action) -> (state, reward, done)`.
    """

    reset: Callable[[Key], Any]
    observe: Callable[[Any], tuple[Array, Array]]
    step: Callable[[Key, Any, Array], tuple[Any, Array, Array]]


class Head(NamedTuple):
    """A policy or a value function: `init: key -> params` and `outputs: (key, params, features) -> [outputs]`."""

    init: Callable[[Key], Params]
    outputs: Callable[[Key, Params, Array], Array]


@dataclasses.dataclass(frozen=True)
class Config:
    """How to learn.

    Attributes:
        rule: "reinforce": the return to come less a learned baseline, standardised (Williams 1992); "grpo": an
            episode's whole return, standardised within its group, which shares a start (arXiv:2402.03300).
        updates: batches of episodes, one after another.
        groups: starts per batch.
        episodes: episodes per start.
        horizon: the most steps of an episode.
        discount: of the return, per step.
        scale: what returns are divided by before a value function predicts them.
        epochs: steps of the optimiser per batch, for "grpo", whose ratio of probabilities is clipped.
        clip: how far from 1 the ratio counts.
        kl: weight of the divergence from the prior, nats per step.
    """

    rule: str = "reinforce"
    updates: int = 60
    groups: int = 8
    episodes: int = 1
    horizon: int = 200
    discount: float = 0.99
    scale: float = 1.0
    epochs: int = 2
    clip: float = 0.2
    kl: float = 0.0

    def __post_init__(self) -> None:
        """Refuses unknown rules, sizes below 1, and groups of one episode for "grpo"."""
        check.one_of("rule", self.rule, RULES)
        for name in ("updates", "groups", "episodes", "horizon", "epochs"):
            check.at_least(name, getattr(self, name), 1)
        check.within("discount", self.discount, 0, 1)
        check.positive("scale", self.scale)
        if self.rule == "grpo":
            check.at_least("episodes", self.episodes, 2)

    @property
    def passes(self) -> int:
        """Times that a batch is learned from."""
        return self.epochs if self.rule == "grpo" else 1


class Batch(NamedTuple):
    """Episodes: features [groups, episodes, horizon, n], prior [..., actions]; the others [groups, episodes, horizon].

    Attributes:
        features: what was observed.
        prior: log-weights of the actions.
        actions: what was done.
        logs: its log-probability then.
        rewards: what it brought.
        alive: whether the episode still ran.
    """

    features: Float[Array, "groups episodes horizon n"]
    prior: Float[Array, "groups episodes horizon actions"]
    actions: Int[Array, "groups episodes horizon"]
    logs: Float[Array, "groups episodes horizon"]
    rewards: Float[Array, "groups episodes horizon"]
    alive: Bool[Array, "groups episodes horizon"]


class Learned(NamedTuple):
    """A run: the parameters at the start and the end, and per update mean return and steps taken, [updates]."""

    start: Params
    params: Params
    returns: Float[Array, " updates"]
    steps: Int[Array, " updates"]


def learn(
    key: Key, rate: Float[Array, ""] | float, environment: Environment, policy: Head, value: Head, config: Config
) -> Learned:
    """Learns by Adam at a constant rate; works under jit and vmap over keys and rates.

    Args:
        key: the random key.
        rate: the learning rate.
        environment: the task.
        policy: outputs one logit per action.
        value: outputs one number; "grpo" does not use it.
        config: how to learn.
    """
    start_key, step_key = jax.random.split(key)
    policy_key, value_key = jax.random.split(start_key)
    start = {"policy": policy.init(policy_key)}
    if config.rule == "reinforce":
        start["value"] = value.init(value_key)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())

    def update(carry: tuple[Params, Any], t: Array) -> tuple[tuple[Params, Any], tuple[Array, Array]]:
        params, moments = carry
        batch_key, learn_key = jax.random.split(jax.random.fold_in(step_key, t))
        batch = play(batch_key, params["policy"], environment, policy, config)

        def learn_once(carry: tuple[Params, Any], epoch: Array) -> tuple[tuple[Params, Any], None]:
            params, moments = carry
            slope = jax.grad(loss)(params, jax.random.fold_in(learn_key, epoch), batch, policy, value, config)
            moves, moments = optimiser.update(slope, moments)
            return (jax.tree.map(lambda leaf, move: leaf - rate * move, params, moves), moments), None

        (params, moments), _ = jax.lax.scan(learn_once, (params, moments), jnp.arange(config.passes))
        done = jnp.sum(jnp.where(batch.alive, batch.rewards, 0.0), axis=-1).mean()
        return (params, moments), (done, jnp.sum(batch.alive))

    (params, _), (totals, steps) = jax.lax.scan(update, (start, optimiser.init(start)), jnp.arange(config.updates))
    return Learned(start, params, totals, steps)


def play(key: Key, params: Params, environment: Environment, policy: Head, config: Config) -> Batch:
    """A batch of episodes; those of a group start alike."""

    def episode(key: Key, state: Any) -> Batch:
        def step(carry: tuple[Any, Array], t: Array) -> tuple[tuple[Any, Array], Batch]:
            state, alive = carry
            shot_key, action_key, move_key = jax.random.split(jax.random.fold_in(key, t), 3)
            features, prior = environment.observe(state)
            logits = policy.outputs(shot_key, params, features) + prior
            action = jax.random.categorical(action_key, logits)
            log = jax.nn.log_softmax(logits)[action]
            state, reward, done = environment.step(move_key, state, action)
            return (state, alive & ~done), Batch(features, prior, action, log, reward, alive)

        return jax.lax.scan(step, (state, jnp.asarray(True)), jnp.arange(config.horizon))[1]

    def group(key: Key) -> Batch:
        start_key, episode_key = jax.random.split(key)
        state = environment.reset(start_key)
        return jax.vmap(lambda key: episode(key, state))(jax.random.split(episode_key, config.episodes))

    return jax.vmap(group)(jax.random.split(key, config.groups))


def returns_to_come(
    rewards: Float[Array, "*batch horizon"], alive: Bool[Array, "*batch horizon"], discount: float
) -> Float[Array, "*batch horizon"]:
    """The discounted sum of this step's reward and all later ones of the episode."""

    def back(total: Array, reward: Array) -> tuple[Array, Array]:
        total = reward + discount * total
        return total, total

    received = jnp.moveaxis(jnp.where(alive, rewards, 0.0), -1, 0)
    return jnp.moveaxis(jax.lax.scan(back, jnp.zeros(received.shape[1:]), received, reverse=True)[1], 0, -1)


def loss(params: Params, key: Key, batch: Batch, policy: Head, value: Head, config: Config) -> Float[Array, ""]:
    """What Adam lowers: minus the advantage-weighted log-probability (or clipped ratio), mean over steps taken.

    Args:
        params: `policy` and, for "reinforce", `value`.
        key: random key of the shots.
        batch: episodes.
        policy: as in `learn`.
        value: as in `learn`.
        config: how to learn.
    """
    lead = batch.actions.shape
    rows = batch.features.reshape(-1, batch.features.shape[-1])
    policy_key, value_key = jax.random.split(key)

    def outputs(head: Head, key: Key, own: Params) -> Array:
        keys = jax.random.split(key, len(rows))
        made = jax.vmap(lambda key, row: head.outputs(key, own, row))(keys, rows)
        return made.reshape(*lead, -1)

    def mean(values: Array) -> Array:
        return jnp.sum(jnp.where(batch.alive, values, 0.0)) / jnp.sum(batch.alive)

    logs = jax.nn.log_softmax(outputs(policy, policy_key, params["policy"]) + batch.prior)
    chosen = jnp.take_along_axis(logs, batch.actions[..., None], axis=-1)[..., 0]
    divergence = jnp.sum(jnp.exp(logs) * (logs - jax.nn.log_softmax(batch.prior)), axis=-1)
    come = returns_to_come(batch.rewards, batch.alive, config.discount)
    if config.rule == "grpo":
        whole = come[..., :1]
        spread = jnp.std(whole, axis=1, keepdims=True)
        advantage = (whole - jnp.mean(whole, axis=1, keepdims=True)) / (spread + 1e-4)
        ratio = jnp.exp(chosen - batch.logs)
        near = jnp.clip(ratio, 1 - config.clip, 1 + config.clip)
        return mean(config.kl * divergence - jnp.minimum(ratio * advantage, near * advantage))
    aim = come / config.scale
    guess = outputs(value, value_key, params["value"])[..., 0]
    advantage = jax.lax.stop_gradient(aim - guess)
    centre = mean(advantage)
    advantage = (advantage - centre) / (jnp.sqrt(mean((advantage - centre) ** 2)) + 1e-4)
    return mean(config.kl * divergence - chosen * advantage + (guess - aim) ** 2)
