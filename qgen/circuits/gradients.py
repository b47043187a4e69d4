"""Gradients beyond jax.grad of `expectation`: parameter shift, SPSA, the metric tensor and its cost on hardware."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qgen import check
from qgen.circuits import gates
from qgen.circuits.circuit import Circuit
from qgen.circuits.counting import count
from qgen.circuits.observables import Observable
from qgen.circuits.operation import Angle, Op, generator
from qgen.circuits.statevector import apply, expectation, pieces
from qgen.resources import Resources
from qgen.types import Array, Float, Key


class Occurrences(NamedTuple):
    """A circuit in which every use of a parameter has become a parameter of its own.

    Attributes:
        circuit: the flat circuit with one parameter per use.
        indices: for each use, the entry of the original vector.
        scales: for each use, its factor.
        offsets: for each use, its constant in radians.
        frequencies: for each use, the frequencies of expectation values in it.
    """

    circuit: Circuit
    indices: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray
    frequencies: tuple[tuple[float, ...], ...]

    def angles(self, vector: Array) -> Array:
        """The parameters of `circuit` for the original vector."""
        return vector[self.indices] * jnp.asarray(self.scales, vector.dtype) + jnp.asarray(self.offsets, vector.dtype)


@functools.lru_cache(maxsize=128)
def occurrences(circuit: Circuit) -> Occurrences:
    """Splits every parameter into its uses; a parameter used twice is shifted once per use.

    Raises:
        ValueError: if the circuit measures.
    """
    if not circuit.is_unitary:
        raise ValueError("A circuit with measurements or resets has no shift rule here.")
    ops, uses, found = [], [], []
    for item in circuit.walk():
        assert isinstance(item, Op)
        for part in item.parts():
            if not part.angles or not isinstance(part.angles[0], Angle):
                ops.append(part)
                continue
            angle = part.angles[0]
            ops.append(Op(part.name, part.wires, (Angle(len(uses)),), part.controls, part.values, part.word))
            uses.append((angle.index, angle.scale, angle.offset))
            found.append(op_frequencies(part))
    columns = np.array(uses, dtype=float).reshape(-1, 3)
    flat = Circuit(circuit.n_qubits, tuple(ops))
    return Occurrences(flat, columns[:, 0].astype(int), columns[:, 1], columns[:, 2], tuple(found))


def op_frequencies(op: Op) -> tuple[float, ...]:
    """The frequencies of expectation values in an operation's angle: differences of its generator's eigenvalues."""
    levels = np.linalg.eigvalsh(generator(op))
    if op.controls:
        levels = np.append(levels, 0.0)
    return gates.frequencies(np.diag(levels))


@functools.lru_cache(maxsize=256)
def shift_rule(frequencies: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Shifts s and coefficients c with f'(0) = sum_r c_r (f(s_r) - f(-s_r)), s in radians (arXiv:2107.12390).

    Args:
        frequencies: the positive frequencies of f, all different.

    Returns:
        (s, c), each as long as the frequencies.

    Raises:
        ValueError: if a frequency is not positive or is repeated.
    """
    if any(not f > 0 for f in frequencies) or len(set(frequencies)) != len(frequencies):
        raise ValueError(f"Argument `frequencies` must hold different positive numbers, but is {frequencies}.")
    if not frequencies:
        return np.zeros(0), np.zeros(0)
    w = np.array(frequencies)
    s = (2 * np.arange(len(w)) + 1) * np.pi / (2 * len(w) * w.min())
    if np.linalg.cond(np.sin(np.outer(w, s))) > 1e4:  # frequencies that are no multiples of the lowest one
        s = (np.arange(len(w)) + 0.5) * np.pi / (w.max() + w.min())
    return s, np.linalg.solve(2 * np.sin(np.outer(w, s)), w)


def parameter_shift(
    f: Callable[[Array], Array], frequencies: Sequence[float] | Sequence[Sequence[float]] = (1.0,)
) -> Callable[[Array], Array]:
    """The gradient of a trigonometric function of its parameters, from its values only.

    Args:
        f: params [p] -> scalar.
        frequencies: the frequencies of f in every parameter, or one sequence of them per parameter.

    Returns:
        params [p] -> gradient [p].

    Raises:
        ValueError: at the call, if there is not one sequence per parameter.
    """

    def gradient(params: Array) -> Array:
        params = jnp.asarray(params)
        check.shape("params", params, (None,))
        rows = list(frequencies) if any(not np.isscalar(f) for f in frequencies) else [frequencies] * params.shape[0]
        if len(rows) != params.shape[0]:
            raise ValueError(f"Argument `frequencies` must hold {params.shape[0]} sequences, but holds {len(rows)}.")
        plan = shift_plan(tuple(tuple(float(w) for w in np.atleast_1d(np.asarray(row, float))) for row in rows))
        values = jax.vmap(f)(params[None] + jnp.asarray(plan.shifts, params.dtype))
        return jnp.asarray(plan.weights, values.dtype) @ values

    return gradient


class ShiftPlan(NamedTuple):
    """All evaluations of a gradient by parameter shift.

    Attributes:
        shifts: [evaluations, parameters], in radians.
        weights: [parameters, evaluations].
    """

    shifts: np.ndarray
    weights: np.ndarray


@functools.lru_cache(maxsize=128)
def shift_plan(frequencies: tuple[tuple[float, ...], ...]) -> ShiftPlan:
    """The evaluations for parameters with the given frequencies."""
    rows, weights = [], []
    for k, own in enumerate(frequencies):
        for s, c in zip(*shift_rule(own), strict=True):
            for sign in (1.0, -1.0):
                row = np.zeros(len(frequencies))
                row[k] = sign * s
                rows.append(row)
                weights.append((k, sign * c))
    matrix = np.zeros((len(frequencies), len(rows)))
    for column, (k, c) in enumerate(weights):
        matrix[k, column] = c
    return ShiftPlan(np.array(rows).reshape(-1, len(frequencies)), matrix)


def shift_gradient(
    circuit: Circuit, params: Any, observable: Observable, value: Callable[[Circuit, Array], Array] | None = None
) -> Float[Array, " params"]:
    """The gradient of an expectation value by parameter shift, exact for every gate of the table.

    Args:
        circuit: a circuit without measurements.
        params: its parameters, as in `apply`.
        observable: the observable.
        value: (circuit, params) -> expectation value, to be used in place of the exact one.

    Returns:
        [n_params].
    """
    given = pieces(circuit, params)
    vector = jnp.concatenate(given) if given else jnp.zeros(0)
    split = occurrences(circuit)
    if not split.frequencies:
        return jnp.zeros_like(vector)
    evaluate = value or (lambda c, p: expectation(c, p, observable))
    plan = shift_plan(split.frequencies)
    values = jax.vmap(lambda row: evaluate(split.circuit, row))(
        split.angles(vector)[None] + jnp.asarray(plan.shifts, vector.dtype)
    )
    return gather_uses(split, jnp.asarray(plan.weights, values.dtype) @ values, vector)


def gather_uses(split: Occurrences, per_use: Array, vector: Array) -> Array:
    """The gradient with respect to the original vector from that with respect to every use."""
    return jnp.zeros_like(vector).at[split.indices].add(per_use * jnp.asarray(split.scales, vector.dtype))


def spsa(
    key: Key, f: Callable[[Array], Array], params: Array, step: float = 0.1, samples: int = 1
) -> Float[Array, "*shape"]:
    """Simultaneous-perturbation estimate of a gradient: two values of f per sample, whatever the number of parameters.

    Args:
        key: the key of the random directions.
        f: params -> scalar.
        params: any shape.
        step: the size of the perturbation; the bias falls with its square.
        samples: how many directions to average, at least 1.

    Returns:
        An array like `params` (Spall 1992).

    Raises:
        ValueError: if `samples` is below 1 or `step` not positive.
    """
    check.at_least("samples", samples, 1)
    if not isinstance(step, Tracer):
        check.positive("step", float(step))
    signs = jax.random.rademacher(key, (samples, *params.shape), params.dtype)

    def one(sign: Array) -> Array:
        return (f(params + step * sign) - f(params - step * sign)) / (2 * step) * sign

    return jax.vmap(one)(signs).mean(0)


def metric_tensor(circuit: Circuit, params: Any, kind: str = "full") -> Float[Array, "params params"]:
    """The Fubini-Study metric Re(<d_i psi|d_j psi> - <d_i psi|psi><psi|d_j psi>) (arXiv:1909.02108).

    Args:
        circuit: a circuit without measurements.
        params: its parameters, as in `apply`.
        kind: "full"; "block": zero between parameters of different layers (`blocks`); "diagonal".

    Returns:
        [p, p]. Four times it is the quantum Fisher information.

    Raises:
        ValueError: as `apply`, or if `kind` is unknown or the circuit has no parameters.
    """
    check.one_of("kind", kind, ("full", "block", "diagonal"))
    check.at_least("n_params", circuit.n_params, 1)
    vector = jnp.concatenate(pieces(circuit, params))

    def parts(v: Array) -> Array:
        psi = apply(circuit, v, gradient="autodiff")
        return jnp.concatenate([jnp.real(psi), jnp.imag(psi)])

    psi = parts(vector)
    half = psi.shape[0] // 2
    turned = jnp.concatenate([-psi[half:], psi[:half]])  # i psi, so that <psi|d psi> = i turned . rows
    if kind == "diagonal":

        def entry(direction: Array) -> Array:
            row = jax.jvp(parts, (vector,), (direction,))[1]
            return row @ row - (turned @ row) ** 2 - (psi @ row) ** 2

        return jnp.diag(jax.lax.map(entry, jnp.eye(vector.shape[0], dtype=vector.dtype)))
    rows = jax.jacfwd(parts)(vector)
    along, across = psi @ rows, turned @ rows
    full = rows.T @ rows - jnp.outer(along, along) - jnp.outer(across, across)
    if kind == "full":
        return full
    label = np.array(blocks(circuit))
    return full * jnp.asarray(label[:, None] == label[None, :], full.dtype)


@functools.lru_cache(maxsize=128)
def blocks(circuit: Circuit) -> tuple[int, ...]:
    """For every parameter the layer of parametrised gates of its first use, by as-soon-as-possible scheduling."""
    busy = [0] * circuit.n_qubits
    label = [0] * circuit.n_params
    seen: set[int] = set()
    for item in circuit.walk():
        assert isinstance(item, Op)
        moving = [a.index for a in item.angles if isinstance(a, Angle)]
        level = max((busy[w] for w in item.support), default=0)
        for index in moving:
            if index not in seen:
                seen.add(index)
                label[index] = level
        for wire in item.support:
            busy[wire] = level + bool(moving)
    return tuple(label)


def metric_resources(circuit: Circuit, shots: int, kind: str = "full") -> Resources:
    """What measuring the metric tensor needs on a quantum machine.

    Args:
        circuit: the circuit.
        shots: shots per circuit, at least 1.
        kind: "full": a Hadamard test with one ancilla for each pair of parameters and for each <psi|d_i psi>;
            "block": one circuit per layer (its generators are measured on the state before it); "diagonal": the same.

    Returns:
        Resources in total.
    """
    check.one_of("kind", kind, ("full", "block", "diagonal"))
    check.at_least("shots", shots, 1)
    p = circuit.n_params
    check.at_least("n_params", p, 1)
    if kind != "full":
        return count(circuit, shots, max(len(set(blocks(circuit))), 1))
    tests = p * (p - 1) // 2 + p
    runs = shots * tests
    plain = count(circuit, shots, tests)
    # Two H on the ancilla, two generators under its control; nothing but the ancilla is read out.
    return dataclasses.replace(
        plain,
        qubits=plain.qubits + 1,
        layers=plain.layers + 4 * runs,
        layers_2q=plain.layers_2q + 2 * runs,
        gates_1q=plain.gates_1q + 2 * runs,
        gates_2q=plain.gates_2q + 2 * runs,
        measurements=runs,
    )
