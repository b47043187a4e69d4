"""A Fourier-series regressor as a circuit: the score surface of hyperparameters, after arXiv:2302.10298.

f(h) = w . <Z> + b of W_L S(h) ... W_1 S(h) W_0 |0>, with S(h) = prod_j exp(-i h_j Z_j / 2) and h = pi (2 u - 1): a
trigonometric polynomial of degree L in every h_j (Schuld et al., arXiv:2008.08605). The frozen twin keeps the W random
and fits only the linear readout.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check, circuits
from qgen.circuits import Circuit, ansatz, count, encodings, pauli, repeat
from qgen.resources import Resources
from qgen.types import Array, Float, Key

STEPS = 120
RATE = 0.1
ROWS = 32
"""Points are padded to a multiple of this, so that a growing study compiles rarely."""
SHOTS = 100
"""Shots per circuit that the count charges."""


@functools.lru_cache
def circuit(axes: int, degree: int) -> Circuit:
    """The circuit; parameters: W_0, the angles h, then W_1 ... W_degree.

    Raises:
        ValueError: if `axes` or `degree` is below 1.
    """
    check.at_least("axes", axes, 1)
    check.at_least("degree", degree, 1)
    return _block(axes) + repeat(encodings.angle(axes, "rz") + _block(axes), degree, shared=axes)


def _block(axes: int) -> Circuit:
    return ansatz.hardware_efficient(axes, 1, ("ry", "rz"))


def _words(axes: int) -> list[circuits.Observable]:
    return [circuits.z(q) for q in range(axes)]


def outputs(angles: Float[Array, " angles"], points: Float[Array, "n axes"], degree: int) -> Float[Array, "n axes"]:
    """<Z_q> of every qubit at every point of the unit cube."""
    axes = points.shape[1]
    first = _block(axes).n_params
    made = circuit(axes, degree)
    return jax.vmap(
        lambda point: circuits.expectation(
            made, (angles[:first], jnp.pi * (2 * point - 1), angles[first:]), _words(axes)
        )
    )(points)


def n_angles(axes: int, degree: int) -> int:
    """Trained angles of the circuit."""
    return circuit(axes, degree).n_params - axes


def fitted(
    key: Key,
    seen: Float[np.ndarray, "n axes"],
    losses: Float[np.ndarray, " n"],
    candidates: Float[np.ndarray, "m axes"],
    degree: int,
) -> Float[np.ndarray, " m"]:
    """The trained regressor at the candidates, in standard deviations of the losses.

    Args:
        key: draws the first angles.
        seen: points in the unit cube.
        losses: one per point.
        candidates: points in the unit cube.
        degree: re-uploads, the degree of the series in every axis.

    Raises:
        ValueError: if the losses are not one per point.
    """
    check.shape("losses", losses, (len(seen),))
    y = (np.asarray(losses) - np.mean(losses)) / (np.std(losses) or 1.0)
    weights = np.ones(len(seen)) / len(seen)
    rows, targets, counts = _padded(seen), _padded(y), _padded(weights)
    return np.asarray(_fitted(key, rows, targets, counts, _padded(candidates), degree))[: len(candidates)]


@functools.partial(jax.jit, static_argnames="degree")
def _fitted(key: Key, seen: Array, y: Array, weights: Array, candidates: Array, degree: int) -> Array:
    axes = seen.shape[1]
    # Small angles first, so that the series starts smooth and the gradient does not vanish (arXiv:2203.09376).
    start = (0.3 * jax.random.normal(key, (n_angles(axes, degree),)), jnp.zeros(axes), jnp.zeros(()))
    optimiser = optax.adam(RATE)

    def predict(params: tuple[Array, Array, Array], points: Array) -> Array:
        angles, readout, constant = params
        return outputs(angles, points, degree) @ (1.0 + readout) + constant

    def step(_: Array, carry: tuple) -> tuple:
        params, moments = carry
        slope = jax.grad(lambda params: jnp.sum(weights * (predict(params, seen) - y) ** 2))(params)
        updates, moments = optimiser.update(slope, moments)
        return optax.apply_updates(params, updates), moments

    params, _ = jax.lax.fori_loop(0, STEPS, step, (start, optimiser.init(start)))
    return predict(params, candidates)


def frozen(
    key: Key,
    seen: Float[np.ndarray, "n axes"],
    losses: Float[np.ndarray, " n"],
    candidates: Float[np.ndarray, "m axes"],
    degree: int,
    penalty: float = 1e-2,
) -> Float[np.ndarray, " m"]:
    """The same circuit with random angles, and ridge regression on <Z_q> and <Z_q Z_r>: nothing quantum is trained."""
    check.positive("penalty", penalty)
    check.shape("losses", losses, (len(seen),))
    middle = float(np.mean(losses))
    both = np.asarray(_frozen(key, _padded(np.concatenate([seen, candidates])), degree))
    rows, others = both[: len(seen)], both[len(seen) : len(seen) + len(candidates)]
    gram = rows.T @ rows + penalty * np.eye(rows.shape[1])
    return middle + others @ np.linalg.solve(gram, rows.T @ (np.asarray(losses) - middle))


@functools.partial(jax.jit, static_argnames="degree")
def _frozen(key: Key, points: Array, degree: int) -> Array:
    axes = points.shape[1]
    first = _block(axes).n_params
    angles = jax.random.uniform(key, (n_angles(axes, degree),), minval=-jnp.pi, maxval=jnp.pi)
    words = _words(axes) + [pauli("ZZ", (a, b)) for a in range(axes) for b in range(a + 1, axes)]
    made = circuit(axes, degree)

    def one(point: Array) -> Array:
        return circuits.expectation(made, (angles[:first], jnp.pi * (2 * point - 1), angles[first:]), words)

    return jnp.concatenate([jnp.ones((len(points), 1)), jax.vmap(one)(points)], axis=1)


def _padded(values: np.ndarray) -> Array:
    return jnp.asarray(np.pad(values, [(0, -len(values) % ROWS)] + [(0, 0)] * (np.ndim(values) - 1)), jnp.float32)


def resources(axes: int, degree: int, seen: int, candidates: int, trained: bool = True) -> Resources:
    """What one fit and its predictions need: parameter shift for every point and step, SHOTS shots per circuit.

    Args:
        axes: qubits.
        degree: re-uploads.
        seen: points that are fitted.
        candidates: points that are predicted.
        trained: False for the frozen twin, whose points are evaluated once.
    """
    per_point = STEPS * (2 * n_angles(axes, degree) + 1) if trained else 1
    return count(circuit(axes, degree), shots=SHOTS, circuits=math.ceil(seen * per_point + candidates))
