"""The tasks and the arms of the reinforcement experiment, and the program that learns a whole population of runs.

The cart is the published sanity check; the language model writes continuations whose brackets must be balanced.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.classical import cartpole, reinforce
from qgen.classical import policy as network
from qgen.classical.reinforce import Environment, Head, Learned
from qgen.lm import brackets, tokenizer, train, transformer
from qgen.quantum import policy as circuits
from qgen.resources import Resources
from qgen.stages import STAGES, Artefacts
from qgen.types import Array, Key

FEATURES = 4
"""Principal components of the model's hidden state that a policy reads."""
LAYERS = {"cartpole": 5, "brackets": 2}
WORDS = {"cartpole": "parity", "brackets": "local"}


class Task(NamedTuple):
    """A task.

    Attributes:
        name: cartpole or brackets.
        make: `data -> Environment`; the data are arguments of the compiled program, not constants in it.
        data: arrays that the environment reads.
        features: what a policy reads.
        actions: what it chooses from.
        config: rule -> how to learn.
    """

    name: str
    make: Callable[[Any], Environment]
    data: Any
    features: int
    actions: int
    config: Mapping[str, reinforce.Config]


class Agent(NamedTuple):
    """An arm: its two heads and what they need.

    Attributes:
        name: family/method.
        note: what it is.
        policy: chooses.
        value: the baseline of "reinforce".
        sizes: trained numbers of both.
        resources: (steps taken, times learned from each, with a value head) -> what a quantum machine would need.
    """

    name: str
    note: str
    policy: Head
    value: Head
    sizes: tuple[int, ...]
    resources: Callable[[int, int, bool], tuple[Resources, ...]]


def agents(task: str, features: int, actions: int, shots: int) -> dict[str, Agent]:
    """Every arm of a task; networks have as many trained numbers as the circuits.

    Args:
        task: a name of LAYERS.
        features: what a policy reads.
        actions: what it chooses from.
        shots: per circuit.
    """
    made = circuits.Design(features, LAYERS[task], actions, WORDS[task], shots=shots)
    value = circuits.Design(features, LAYERS[task], 1, shots=shots)
    sizes = circuits.size(made), circuits.size(value)
    nets = tuple(network.matched(features, n, size) for n, size in zip((actions, 1), sizes, strict=True))
    lines = network.Design(features, 0, actions), network.Design(features, 0, 1)
    found = [
        _classical("classical/mlp", "one hidden layer, as many trained numbers as the circuit", nets),
        _classical("classical/linear", "a linear map of the features", lines),
        _quantum("quantum/circuit", f"softmax of <Z words>, {shots} shots per circuit", (made, value)),
    ]
    for name, note, changes in (
        ("control/infinite_shots", "the same circuit, exact", {"shots": 0}),
        ("control/no_entanglement", "the same circuit without its CZ gates", {"entangled": False}),
        ("control/frozen_circuit", "random angles and scalings; output weights learn", {"frozen": True}),
    ):
        changed = tuple(circuits.Design(**{**vars(design), **changes}) for design in (made, value))
        found.append(_quantum(name, note, changed))
    return {agent.name: agent for agent in found}


def _classical(name: str, note: str, designs: tuple[network.Design, ...]) -> Agent:
    policy, value = (
        Head(
            functools.partial(network.init, design=design),
            lambda key, params, x, design=design: network.outputs(params, design, x),
        )
        for design in designs
    )
    return Agent(name, note, policy, value, tuple(map(network.size, designs)), lambda steps, passes, has_value: ())


def _quantum(name: str, note: str, designs: tuple[circuits.Design, ...]) -> Agent:
    policy, value = (
        Head(
            functools.partial(circuits.init, design=design),
            lambda key, params, x, design=design: circuits.outputs(key, params, design, x),
        )
        for design in designs
    )

    def resources(steps: int, passes: int, has_value: bool) -> tuple[Resources, ...]:
        of_policy = circuits.resources(designs[0], steps, steps * passes)
        return of_policy + (circuits.resources(designs[1], 0, steps * passes) if has_value else ())

    # Frozen angles are no trained numbers.
    sizes = tuple(circuits.trained(design) for design in designs)
    return Agent(name, note, policy, value, sizes, resources)


def cart(updates: int, episodes: int, horizon: int) -> Task:
    """CartPole; a batch is `episodes` episodes."""
    made = Environment(
        cartpole.reset,
        lambda state: (cartpole.observe(state), jnp.zeros(2)),
        lambda key, state, action: cartpole.step(state, action),
    )
    scale = (1 - 0.99**horizon) / (1 - 0.99)
    shared = {"updates": updates, "horizon": horizon, "scale": scale}
    config = {
        "reinforce": reinforce.Config("reinforce", groups=episodes, episodes=1, **shared),
        "grpo": reinforce.Config("grpo", groups=2, episodes=episodes // 2, **shared),
    }
    return Task("cartpole", lambda data: made, (), 4, 2, config)


def writing(base: Artefacts, updates: int, episodes: int, length: int, prompt: int, adapt_steps: int) -> Task:
    """The language model, adapted to the second domain and frozen, writes `length` tokens after a prompt."""
    model = transformer.Config(**(base.model or {}))
    tokens = tokenizer.stream(base.tokenizer, base.samples)
    rate, batch = STAGES["finetuning"].presets["default"].full_rate, STAGES["finetuning"].presets["default"].batch
    start = jax.tree.map(jnp.asarray, base.params)
    recipe = train.Recipe(rate, weight_decay=0.0)
    params = train.fit(jax.random.key(2), start, model, tokens, recipe, adapt_steps, batch).params
    made = brackets.effects(base.tokenizer, model.vocabulary)
    held = tokenizer.stream(base.tokenizer, base.samples_holdout)
    frozen, short = brackets.freeze(params, model, held, FEATURES, prompt, length, made)

    def build(frozen: Any) -> Environment:
        return Environment(
            lambda key: brackets.reset(key, frozen),
            lambda state: brackets.observe(state, length, frozen),
            lambda key, state, action: brackets.step(key, state, action, length, prompt, frozen, short),
        )

    shared = {"updates": updates, "horizon": length, "discount": 1.0, "kl": 0.01}
    config = {
        "reinforce": reinforce.Config("reinforce", groups=episodes, episodes=1, **shared),
        "grpo": reinforce.Config("grpo", groups=2, episodes=episodes // 2, **shared),
    }
    return Task("brackets", build, frozen, 2 + FEATURES, len(brackets.GROUPS), config)


@functools.partial(jax.jit, static_argnames=("make", "policy", "value", "config"))
def population(
    keys: Key,
    rates: Array,
    data: Any,
    make: Callable[[Any], Environment],
    policy: Head,
    value: Head,
    config: reinforce.Config,
) -> Learned:
    """Runs side by side, one per key and rate: one program."""
    return jax.vmap(lambda key, rate: reinforce.learn(key, rate, make(data), policy, value, config))(keys, rates)


def last(returns: np.ndarray) -> np.ndarray:
    """The mean return of the last tenth of the updates, [lanes]: the score."""
    check.shape("returns", returns, (None, None))
    return returns[:, -max(1, returns.shape[1] // 10) :].mean(axis=1)
