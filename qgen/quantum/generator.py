"""A circuit whose measured distribution becomes classical parameters, trained from shots alone.

p = |psi(angles)|^2 over n qubits gives the 2^n factors 1 + strength (2^n p - 1), whose mean is 1. A layer is RY on
every qubit, with a ring of CZ between the layers: real amplitudes, and every factor can grow or vanish.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from qgen import check
from qgen.circuits import Circuit, count, gate, probabilities
from qgen.circuits.ansatz import ring, rotations
from qgen.method import Info, Method
from qgen.quantum.natural_gradient import direction
from qgen.resources import Resources
from qgen.types import Array, Float, Int, Key, PyTree

RULES = ("natural", "adam")


@dataclasses.dataclass(frozen=True)
class Design:
    """The circuit's structure.

    Attributes:
        n_qubits: at least 1.
        layers: RY layers, at least 1.
        entangled: False leaves the CZ rings out (the control without entanglement; as many parameters).
    """

    n_qubits: int
    layers: int
    entangled: bool = True

    def __post_init__(self) -> None:
        """Refuses sizes below 1."""
        check.at_least("n_qubits", self.n_qubits, 1)
        check.at_least("layers", self.layers, 1)

    @property
    def n_params(self) -> int:
        """One angle per qubit and layer; angle `layer * n_qubits + qubit`."""
        return self.n_qubits * self.layers


def circuit(design: Design) -> Circuit:
    """The generator's circuit."""
    return _first_layers(design, design.layers)


def metric_circuits(design: Design) -> tuple[Circuit, ...]:
    """The circuits that `metric` reads out: the first 1, 2, ... layers, then a turn of every qubit from Y to Z."""
    turn = Circuit(design.n_qubits, tuple(gate("rx", qubit, math.pi / 2) for qubit in range(design.n_qubits)))
    return tuple(_first_layers(design, layers) + turn for layers in range(1, design.layers + 1))


def start(key: Key, design: Design, spread: float) -> Float[Array, "params"]:
    """Angles near the uniform distribution: pi/2 in the first layer, 0 after it, each with normal noise of `spread`."""
    centre = jnp.zeros((design.layers, design.n_qubits)).at[0].set(math.pi / 2).reshape(-1)
    return centre + spread * jax.random.normal(key, centre.shape)


def factors(
    distribution: Float[Array, "outcomes"], strength: Float[Array, ""] | float, width: int
) -> Float[Array, "width"]:
    """1 + strength (N p - 1) for the first `width` of N outcomes.

    Raises:
        ValueError: if there are fewer outcomes than `width`.
    """
    check.at_least("distribution.shape[0]", distribution.shape[0], width)
    return 1 + strength * (distribution.shape[0] * distribution[:width] - 1)


def frequencies(key: Key, distribution: Float[Array, "outcomes"], shots: int) -> Float[Array, "outcomes"]:
    """How often each outcome comes up in `shots` draws, as shares that sum to 1: one read-out of the circuit.

    Raises:
        ValueError: if `shots` is below 1.
    """
    check.at_least("shots", shots, 1)
    edges = jnp.cumsum(distribution)
    drawn = jnp.searchsorted(edges, edges[-1] * jax.random.uniform(key, (shots,)), side="right")
    # Rounding may push a draw past the last edge. Integers add up exactly; shares of 1/shots would not.
    counts = jnp.zeros(edges.shape, jnp.int32).at[jnp.minimum(drawn, edges.shape[0] - 1)].add(1)
    return counts / shots


def read_out(key: Key, design: Design, angles: Float[Array, "params"], shots: int) -> Float[Array, "outcomes"]:
    """The measured distribution of the circuit."""
    return frequencies(key, probabilities(circuit(design), angles), shots)


def shifted(key: Key, design: Design, angles: Float[Array, "params"], shots: int) -> Float[Array, "params outcomes"]:
    """dp/dangle by the parameter-shift rule, (p(angle + pi/2) - p(angle - pi/2)) / 2, each p from its own shots.

    The rule is exact because every gate is exp(-i angle Y / 2); the 2 P circuits are what hardware would run.

    References:
        Schuld et al., arXiv:1811.11184.
    """
    n_params = design.n_params
    shifts = math.pi / 2 * jnp.concatenate([jnp.eye(n_params), -jnp.eye(n_params)])
    keys = jax.random.split(key, 2 * n_params)
    both = jax.vmap(lambda key, turned: read_out(key, design, turned, shots))(keys, angles[None, :] + shifts)
    return (both[:n_params] - both[n_params:]) / 2


def metric(key: Key, design: Design, angles: Float[Array, "params"], shots: int) -> Float[Array, "params params"]:
    """The block-diagonal metric from shots: a quarter of the covariance of a layer's Y operators.

    The Y of one layer commute with each other and with their rotations, so one read-out in the Y basis after the layer
    gives the layer's whole block. The sample covariance has no negative eigenvalue, whatever the shots.

    References:
        Stokes et al., arXiv:1909.02108, section 3.
    """
    n_qubits = design.n_qubits
    outcomes = jnp.arange(2**n_qubits)
    signs = 1.0 - 2.0 * ((outcomes[:, None] >> jnp.arange(n_qubits)[None, ::-1]) & 1)
    result = jnp.zeros((design.n_params, design.n_params))
    for layer, measured in enumerate(metric_circuits(design)):
        used = angles[: (layer + 1) * n_qubits]
        weights = frequencies(jax.random.fold_in(key, layer), probabilities(measured, used), shots)
        centred = signs - (weights @ signs)[None, :]
        block = slice(layer * n_qubits, (layer + 1) * n_qubits)
        result = result.at[block, block].set((centred * weights[:, None]).T @ centred / 4)
    return result


class State(NamedTuple):
    """What a training step hands on.

    Attributes:
        angles: the circuit's parameters.
        strength: how far the factors leave 1.
        memory: the optimisers' states, of the angles and of the strength.
        taken: steps so far.
    """

    angles: Float[Array, "params"]
    strength: Float[Array, ""]
    memory: tuple[Any, Any]
    taken: Int[Array, ""]


def train(
    loss: Callable[[Float[Array, "width"], Any, Any], Float[Array, ""]],
    design: Design,
    *,
    width: int,
    shots: int,
    rule: str,
    rate: float,
    strength_rate: float,
    damping: float = 0.02,
    strength: float = 0.5,
    spread: float = 0.1,
) -> Method:
    """Trains the circuit so that its factors lower a loss, every quantity of the circuit estimated from shots.

    A step reads p out, differentiates the loss by p on the host, and contracts that with the parameter shifts of p.

    Args:
        loss: `(factors, shared, batch) -> scalar`.
        design: the circuit.
        width: number of factors in use, at most 2^n.
        shots: shots per circuit.
        rule: "natural" (quantum natural gradient with the measured block metric) or "adam".
        rate: step length of the angles.
        strength_rate: step length of the strength, which Adam moves.
        damping: see `natural_gradient.direction`; only for "natural".
        strength: where the strength starts; at 0 no gradient would reach the angles.
        spread: see `start`.

    Returns:
        A Method over `(shared, batches)`, pytrees of arrays, the batches stacked along the first axis and used in turn.
        Its answer is the last State; `info.aux` holds the norms of the gradients by angles and by strength, [2].

    Raises:
        ValueError: for an unknown rule or fewer than `width` outcomes.
    """
    check.one_of("rule", rule, RULES)
    check.at_least("2 ** n_qubits", 2**design.n_qubits, width)
    adam = optax.adam(strength_rate)
    mover = optax.adam(rate) if rule == "adam" else optax.sgd(rate)

    def init(key: Key, problem: PyTree) -> State:
        angles, level = start(key, design, spread), jnp.asarray(strength, jnp.float32)
        return State(angles, level, (mover.init(angles), adam.init(level)), jnp.zeros((), jnp.int32))

    def step(key: Key, state: State, problem: PyTree) -> tuple[State, Info]:
        shared, batches = problem
        n_batches = jax.tree.leaves(batches)[0].shape[0]
        batch = jax.tree.map(lambda leaf: leaf[state.taken % n_batches], batches)
        read_key, shift_key, metric_key = jax.random.split(key, 3)

        def of_distribution(distribution: Array, level: Array) -> Array:
            return loss(factors(distribution, level, width), shared, batch)

        measured = read_out(read_key, design, state.angles, shots)
        value, (by_outcome, by_strength) = jax.value_and_grad(of_distribution, argnums=(0, 1))(measured, state.strength)
        gradient = shifted(shift_key, design, state.angles, shots) @ by_outcome
        aux = jnp.stack([jnp.linalg.norm(gradient), jnp.abs(by_strength)])
        if rule == "natural":
            gradient = direction(metric(metric_key, design, state.angles, shots), gradient, damping)
        turn, angle_memory = mover.update(gradient, state.memory[0])
        change, strength_memory = adam.update(by_strength, state.memory[1])
        moved = State(
            angles=jnp.asarray(optax.apply_updates(state.angles, turn)),
            strength=jnp.asarray(optax.apply_updates(state.strength, change)),
            memory=(angle_memory, strength_memory),
            taken=state.taken + 1,
        )
        return moved, Info(value, jnp.isfinite(value) & jnp.isfinite(moved.angles).all(), aux)

    return Method(init, step, lambda state, problem: state)


def resources(design: Design, rule: str | None, *, steps: int, shots: int, final_shots: int) -> tuple[Resources, ...]:
    """What training a generator and reading it out needs.

    A step runs 1 circuit for p, 2 P circuits for its P parameter shifts and, for the natural gradient, one circuit per
    layer for the metric, each with `shots` shots; at the end one circuit runs `final_shots` times.

    Args:
        design: the circuit.
        rule: "natural", "adam", or None for a circuit that is not trained.
        steps: training steps.
        shots: shots per circuit in training.
        final_shots: shots of the last read-out.
    """
    result = [count(circuit(design), shots=final_shots)]
    if rule is not None:
        result.append(count(circuit(design), shots=shots, circuits=(1 + 2 * design.n_params) * steps))
    if rule == "natural":
        result += [count(measured, shots=shots, circuits=steps) for measured in metric_circuits(design)]
    return tuple(result)


def _first_layers(design: Design, layers: int) -> Circuit:
    pairs = ring(design.n_qubits) if design.entangled else ()
    layer = rotations(design.n_qubits, ("ry",))
    joined = Circuit(design.n_qubits, tuple(gate("cz", pair) for pair in pairs))
    result = layer
    for _ in range(layers - 1):
        result = result + joined + layer
    return result
