"""Error mitigation: zero-noise extrapolation and inverted read-out errors, each with the samples it costs.

Zero-noise extrapolation (arXiv:1612.02058) measures at several noise levels and extrapolates to none. On a machine the
noise grows by folding the circuit, U (U^dagger U)^k; in simulation, and with stretched pulses, by letting every channel
act longer. Mitigated values have a larger variance: a method's `overhead` is the factor on the number of shots that
brings back the standard error of one plain measurement, with shots shared out in the best way.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import density
from qgen.circuits.circuit import Circuit, Repeat
from qgen.circuits.counting import count
from qgen.circuits.noise_model import Confusion, NoiseModel
from qgen.circuits.observables import Observable
from qgen.circuits.operation import Op
from qgen.resources import Resources, total
from qgen.types import Array, Float

METHODS = ("linear", "quadratic", "richardson", "exponential")
"""Fits of value against noise factor: line, parabola, polynomial through all points, or amplitude * ratio ** factor."""


class Mitigated(NamedTuple):
    """A mitigated expectation value.

    Attributes:
        value: the extrapolated value.
        raw: the values at the noise factors, [factors].
        weights: the derivative of the value by each of them, [factors].
        overhead: (sum |weights|)**2: how many times the shots of a plain measurement give the same standard error.
    """

    value: Float[Array, ""]
    raw: Float[Array, " factors"]
    weights: Float[Array, " factors"]
    overhead: Float[Array, ""]


def extrapolate(
    values: Float[Array, " factors"], factors: Sequence[float], method: str = "richardson"
) -> Float[Array, ""]:
    """The value at noise factor zero.

    Args:
        values: expectation values, [factors].
        factors: different noise factors of at least 1; 1 is the machine as it is.
        method: a name of METHODS. "exponential" fits a line to the logarithm of |values| (a decay towards zero) by
            least squares and keeps the sign of the first value; values of zero give NaN.

    Raises:
        ValueError: for an unknown method, too few or repeated factors, or a wrong shape.
    """
    check.one_of("method", method, METHODS)
    points = np.asarray(factors, dtype=float)
    degree = {"linear": 1, "quadratic": 2, "richardson": len(points) - 1, "exponential": 1}[method]
    check.at_least("number of factors", len(points), max(degree + 1, 2))
    check.at_least("smallest factor", points.min(), 1.0)
    if len(set(points.tolist())) != len(points):
        raise ValueError(f"Argument `factors` must hold different numbers, but is {tuple(factors)}.")
    values = jnp.asarray(values)
    check.shape("values", values, (len(points),))
    # The value at zero of the least-squares polynomial is the first row of its Vandermonde matrix's pseudo-inverse.
    row = jnp.asarray(np.linalg.pinv(np.vander(points, degree + 1, increasing=True))[0], values.dtype)
    if method != "exponential":
        return row @ values
    return jnp.sign(values[0]) * jnp.exp(row @ jnp.log(jnp.abs(values)))


def mitigate(values: Float[Array, " factors"], factors: Sequence[float], method: str = "richardson") -> Mitigated:
    """Extrapolates measured values and states what that costs in shots; see `extrapolate`."""
    value, weights = jax.value_and_grad(lambda v: extrapolate(v, factors, method))(jnp.asarray(values))
    return Mitigated(value, jnp.asarray(values), weights, jnp.sum(jnp.abs(weights)) ** 2)


def fold(circuit: Circuit, factor: float) -> Circuit:
    """The same unitary on the same parameters with about `factor` times the gates (arXiv:2005.10921).

    U (U^dagger U)^k for the odd factors 2 k + 1; in between, the last gates are undone and done once more, as many as
    come nearest to the factor; their noise then counts more than the first gates', so odd factors extrapolate best.
    Gates keep their kind: the inverse of a gate is one gate.

    Raises:
        ValueError: if factor is below 1 or the circuit measures.
    """
    check.at_least("factor", factor, 1.0)
    if not circuit.is_unitary:
        raise ValueError("A circuit with measurements or resets cannot be folded.")
    whole = int((factor - 1) // 2)
    ops = circuit.ops + (_undo(circuit).ops + circuit.ops) * whole
    gates = tuple(circuit.walk())
    tail = round((factor - 1 - 2 * whole) * len(gates) / 2)
    if tail:
        end = Circuit(circuit.n_qubits, gates[-tail:])
        ops = ops + _undo(end).ops + end.ops
    return Circuit(circuit.n_qubits, ops)


def _undo(circuit: Circuit) -> Circuit:
    """The inverse circuit, gate for gate (`Circuit.inverse` may write one gate as several)."""
    undone: list[Op | Repeat] = []
    for item in reversed(circuit.ops):
        if isinstance(item, Repeat):
            undone.append(dataclasses.replace(item, body=_undo(item.body), backwards=not item.backwards))
        elif isinstance(item, Op):
            undone.append(_undo_op(item))
    return Circuit(circuit.n_qubits, tuple(undone))


def _undo_op(op: Op) -> Op:
    a = op.angles
    if op.name in ("rot", "crot"):
        return dataclasses.replace(op, angles=(-a[2], -a[1], -a[0]))
    if op.name == "u3":
        return dataclasses.replace(op, angles=(-a[0], -a[2], -a[1]))
    if op.name == "cu":
        return dataclasses.replace(op, angles=(-a[0], -a[2], -a[1], -a[3]))
    if op.name == "u2":
        return dataclasses.replace(op, angles=(-a[1] + math.pi, -a[0] + -math.pi))
    if op.name in ("pswap", "orbital_rotation"):
        return dataclasses.replace(op, angles=(-a[0],))
    return op.inverse()


def zero_noise(
    circuit: Circuit,
    params: Any,
    observable: Observable,
    model: NoiseModel,
    *,
    factors: Sequence[float] = (1.0, 2.0, 3.0),
    method: str = "richardson",
    scaling: str = "strength",
) -> Mitigated:
    """Zero-noise extrapolation of a noisy circuit, simulated by density matrices.

    Args:
        circuit: the circuit, without measurements.
        params: its parameter vector.
        observable: what to measure.
        model: the noise; its read-out error is not extrapolated away: see `readout_values`.
        factors: noise factors.
        method: a name of METHODS.
        scaling: "strength": every channel acts `factor` times as long. "folding": the circuit is folded, and the
            factors reached by whole gates take the place of those asked for.

    Raises:
        ValueError: for unknown names, bad factors, or channels that cannot be scaled.
    """
    check.one_of("scaling", scaling, ("strength", "folding"))
    if scaling == "strength":
        values = [density.expectation(circuit, params, observable, model, strengths=model.grown(f)) for f in factors]
    else:
        folded = [fold(circuit, factor) for factor in factors]
        factors = [_length(one) / _length(circuit) for one in folded]
        values = [density.expectation(one, params, observable, model) for one in folded]
    return mitigate(jnp.stack(values), factors, method)


def _length(circuit: Circuit) -> int:
    return sum(1 for _ in circuit.walk())


def zero_noise_resources(
    circuit: Circuit,
    shots: int,
    weights: Sequence[float],
    *,
    factors: Sequence[float] = (1.0, 2.0, 3.0),
    scaling: str = "folding",
) -> Resources:
    """What zero-noise extrapolation needs to reach the standard error of `shots` plain shots.

    The shots are shared out in proportion to |weights|, which minimises the variance: factor i gets
    shots * |w_i| * sum |w|, shots * overhead in all.

    Args:
        circuit: the circuit.
        shots: the shots of the plain measurement, at least 1.
        weights: `Mitigated.weights`, concrete.
        factors: the noise factors, one per weight.
        scaling: "folding" counts the folded circuits, "strength" (stretched pulses) the circuit itself.

    Raises:
        ValueError: for an unknown scaling, shots below 1, or weights that do not fit the factors.
    """
    check.one_of("scaling", scaling, ("strength", "folding"))
    check.at_least("shots", shots, 1)
    sizes = np.abs(np.asarray(weights, dtype=float))
    check.shape("weights", sizes, (len(factors),))
    needed = []
    for factor, size in zip(factors, sizes, strict=True):
        share = max(int(np.ceil(shots * size * sizes.sum())), 1)
        needed.append(count(fold(circuit, factor) if scaling == "folding" else circuit, shots=share))
    result = total(needed)
    assert result is not None
    return result


def readout_probabilities(probabilities: Float[Array, " outcomes"], confusion: Confusion) -> Float[Array, " outcomes"]:
    """The distribution before the read-out's errors: every qubit's inverse confusion matrix; entries may be negative.

    Args:
        probabilities: measured, [2**k].
        confusion: confusion[measured][true] of every qubit.

    Raises:
        ValueError: if the confusion matrix has no inverse or the length is no power of two.
    """
    inverse = jnp.asarray(_inverse(confusion))
    width = len(probabilities).bit_length() - 1
    check.shape("probabilities", probabilities, (2**width,))
    tensor = jnp.asarray(probabilities).reshape((2,) * width)
    for axis in range(width):
        tensor = jnp.moveaxis(jnp.tensordot(inverse.astype(tensor.dtype), tensor, ((1,), (axis,))), 0, axis)
    return tensor.reshape(-1)


def readout_values(
    values: Float[Array, " words"], observable: Observable, confusion: Confusion
) -> Float[Array, " words"]:
    """The values of Pauli words before the read-out's errors, for a confusion matrix with equal errors of 0 and 1.

    A word of w letters shrinks by (1 - 2 e)**w under a symmetric error e of every qubit.

    Args:
        values: one per word of the observable, measured.
        observable: the words.
        confusion: symmetric: confusion[1][0] == confusion[0][1]; otherwise correct the probabilities.

    Raises:
        ValueError: if the confusion matrix is not symmetric or has no inverse, or the shapes differ.
    """
    _inverse(confusion)
    if not np.isclose(confusion[1][0], confusion[0][1], rtol=0, atol=1e-9):
        raise ValueError("Argument `confusion` must be symmetric here; use `readout_probabilities` for others.")
    check.shape("values", values, (len(observable.words),))
    shrink = np.array([(1 - 2 * confusion[1][0]) ** len(word) for word in observable.words])
    return jnp.asarray(values) / jnp.asarray(shrink, jnp.asarray(values).dtype)


def readout_overhead(confusion: Confusion, qubits: int) -> float:
    """The factor on the shots that inverting the read-out errors of so many qubits costs at most.

    It is the square of the largest column sum of |inverse| to the power of the qubits (arXiv:2011.09636).

    Raises:
        ValueError: if `qubits` is below 1 or the matrix has no inverse.
    """
    check.at_least("qubits", qubits, 1)
    return float(np.abs(_inverse(confusion)).sum(0).max() ** (2 * qubits))


def _inverse(confusion: Confusion) -> np.ndarray:
    matrix = np.array(confusion, dtype=float)
    check.shape("confusion", matrix, (2, 2))
    if abs(np.linalg.det(matrix)) < 1e-9:
        raise ValueError(f"Argument `confusion` must have an inverse, but is {confusion}.")
    return np.linalg.inv(matrix)
