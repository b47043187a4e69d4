"""Measurements of PennyLane as readings of a state: static words and wires, traced coefficients and eigenvalues."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pennylane
from pennylane.measurements import (
    DensityMatrixMP,
    ExpectationMP,
    MutualInfoMP,
    ProbabilityMP,
    PurityMP,
    StateMP,
    VarianceMP,
    VnEntropyMP,
)
from pennylane.operation import Operator
from pennylane.ops import LinearCombination, SProd, Sum

from qgen.circuits.circuit import Circuit
from qgen.circuits.observables import Observable
from qgen.circuits.operation import Op
from qgen.circuits.states import entropy, marginal, reduced_density
from qgen.circuits.statevector import apply, expectation, variance
from qgen.interop.operations import convert, convertible, is_traced
from qgen.types import Array

qml: Any = pennylane  # its attributes are made at run time

KINDS = (ExpectationMP, VarianceMP, ProbabilityMP, StateMP, PurityMP, VnEntropyMP, MutualInfoMP)

HERMITICITY_TOLERANCE = 1e-6

Labels = Mapping[Any, int]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("observable", "levels", "parts"),
    meta_fields=("kind", "wires", "others", "gates", "base"),
)
@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """What a measurement of PennyLane reads from a state.

    Attributes:
        kind: "expval", "var", "probs", "state", "density", "purity", "entropy", "mutual" or "sum".
        wires: the qubits, in order.
        others: the second group of qubits of a mutual information.
        gates: operations that turn the state into the measured basis first.
        base: the base of the logarithm of an entropy; None is the natural one.
        observable: the Pauli words of an expectation value or a variance.
        levels: the eigenvalues of an observable without Pauli words, [2**wires]; the coefficients of a sum.
        parts: the terms of a sum.
    """

    kind: str
    wires: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    gates: tuple[Op, ...] = ()
    base: float | None = None
    observable: Observable | None = None
    levels: Any = None
    parts: tuple["Reading", ...] = ()


def from_measurement(measurement: Any, place: Labels) -> Reading:
    """The reading of one measurement.

    Args:
        measurement: a measurement of PennyLane in analytic mode.
        place: the qubit of every wire label.

    Raises:
        ValueError: if the measurement or its observable has no reading.
    """
    if not readable(measurement):
        raise ValueError(f"Measurement {measurement} cannot be read from a state: take finite shots or its parts.")
    wires = tuple(place[label] for label in measurement.wires) or tuple(range(len(place)))
    if isinstance(measurement, ExpectationMP | VarianceMP):
        kind = "expval" if isinstance(measurement, ExpectationMP) else "var"
        return _of_observable(kind, measurement, place)
    if isinstance(measurement, ProbabilityMP):
        return Reading("probs", wires, gates=_rotations(measurement.diagonalizing_gates(), place))
    if isinstance(measurement, DensityMatrixMP):
        return Reading("density", wires)
    if isinstance(measurement, StateMP):
        return Reading("state", wires)
    if isinstance(measurement, PurityMP):
        return Reading("purity", wires)
    if isinstance(measurement, VnEntropyMP):
        return Reading("entropy", wires, base=_base(measurement.log_base))
    first, second = (tuple(place[label] for label in group) for group in measurement.raw_wires)
    return Reading("mutual", first, second, base=_base(measurement.log_base))


def readable(measurement: Any) -> bool:
    """True if the measurement has a reading: a known kind, of an observable with Pauli words, terms or a basis."""
    if not isinstance(measurement, KINDS):
        return False
    observable: Any = measurement.obs
    if observable is None or observable.pauli_rep is not None:
        return True
    if isinstance(measurement, ExpectationMP) and isinstance(observable, Sum | SProd | LinearCombination):
        return all(readable(ExpectationMP(term)) for term in observable.terms()[1])
    return bool(observable.has_diagonalizing_gates)


def is_smooth(measurement: Any) -> bool:
    """True if the measurement has a reading with real values, whose derivatives are plain numbers."""
    return readable(measurement) and not isinstance(measurement, StateMP)


def evaluate(
    circuit: Circuit,
    readings: Sequence[Reading],
    params: Any,
    state: Array | None = None,
    gradient: str = "auto",
) -> tuple[Array, ...]:
    """The values of all readings after a circuit, pure and jittable."""
    words = [r.observable for r in readings if r.kind == "expval" and r.observable is not None]
    if len(words) == len(readings) and words:
        return tuple(expectation(circuit, params, words, state=state, gradient=gradient))
    psi = apply(circuit, params, state=state, gradient=gradient)
    return tuple(_read(reading, psi, circuit.n_qubits, gradient) for reading in readings)


def _read(reading: Reading, psi: Array, n_qubits: int, gradient: str) -> Array:
    """The value of one reading."""
    nothing = Circuit(n_qubits)
    if reading.kind == "sum":
        values = jnp.stack([_read(part, psi, n_qubits, gradient) for part in reading.parts])
        return jnp.sum(values * jnp.asarray(reading.levels, values.dtype))
    if reading.observable is not None:
        if reading.kind == "var":
            return variance(nothing, (), reading.observable, state=psi, gradient=gradient)
        return expectation(nothing, (), reading.observable, state=psi, gradient=gradient)
    if reading.gates:
        psi = apply(Circuit(n_qubits, reading.gates), state=psi, gradient=gradient)
    if reading.kind == "state":
        return psi.reshape((2,) * n_qubits).transpose(_complete(reading.wires, n_qubits)).reshape(-1)
    if reading.kind in ("expval", "var", "probs"):
        p = marginal(jnp.real(psi) ** 2 + jnp.imag(psi) ** 2, n_qubits, reading.wires)
        if reading.kind == "probs":
            return p
        levels = jnp.asarray(reading.levels, p.dtype)
        mean = p @ levels
        return mean if reading.kind == "expval" else p @ (levels - mean) ** 2
    density = reduced_density(psi, reading.wires)
    if reading.kind == "density":
        return density
    if reading.kind == "purity":
        return jnp.sum(jnp.real(density) ** 2 + jnp.imag(density) ** 2)
    value = entropy(density)
    if reading.kind == "mutual":
        both = reduced_density(psi, reading.wires + reading.others)
        value = value + entropy(reduced_density(psi, reading.others)) - entropy(both)
    return value if reading.base is None else value / np.log(reading.base)


def _of_observable(kind: str, measurement: Any, place: Labels) -> Reading:
    """An expectation value or a variance: by Pauli words, term by term, or in the basis of the eigenvectors."""
    observable = measurement.obs
    if observable is not None and observable.pauli_rep is not None:
        return Reading(kind, observable=to_words(observable, place))
    if kind == "expval" and isinstance(observable, Sum | SProd | LinearCombination):
        coefficients, terms = observable.terms()
        parts = tuple(_of_observable(kind, ExpectationMP(term), place) for term in terms)
        return Reading("sum", levels=_real(qml.math.stack(coefficients)), parts=parts)
    if observable is not None and any(map(is_traced, observable.data)):
        raise ValueError("An observable without Pauli words must be given by numbers: only its circuit can be traced.")
    wires = tuple(place[label] for label in measurement.wires)
    gates = _rotations(measurement.diagonalizing_gates(), place)
    return Reading(kind, wires, gates=gates, levels=_real(measurement.eigvals()))


def to_words(observable: Any, place: Labels) -> Observable:
    """The Pauli words of an observable of PennyLane."""
    sentence = observable.pauli_rep
    words = [tuple((place[label], letter) for label, letter in word.items()) for word in sentence]
    if not words:
        return Observable([()], np.zeros(1))
    return Observable(words, _real(qml.math.stack([qml.math.asarray(c) for c in sentence.values()])))


def from_words(observable: Observable, wires: Sequence[Any] | None = None) -> Operator:
    """An observable as a sum of PennyLane's Pauli words, on the given wire labels (0, 1, ... where left out)."""
    labels = list(range(observable.width)) if wires is None else list(wires)
    if len(labels) < observable.width:
        raise ValueError(f"Argument `wires` must hold at least {observable.width} labels, but is {labels}.")
    words = [qml.pauli.PauliWord({labels[wire]: letter for wire, letter in word}) for word in observable.words]
    identity = labels[:1]
    return qml.dot(list(observable.coefficients), [word.operation(wire_order=identity) for word in words])


def _rotations(gates: Sequence[Operator], place: Labels) -> tuple[Op, ...]:
    """Gates of numbers as operations, through PennyLane's decompositions where our table has no such gate."""
    script = qml.tape.QuantumScript(gates)
    (script,), _ = qml.devices.preprocess.decompose(script, stopping_condition=convertible, error=ValueError)
    converted = [convert(gate, place, [float(d) if np.ndim(d) == 0 else None for d in gate.data]) for gate in script]
    return tuple(op for ops in converted for op in ops)


def _complete(wires: tuple[int, ...], n_qubits: int) -> tuple[int, ...]:
    return wires + tuple(q for q in range(n_qubits) if q not in wires)


def _base(base: Any) -> float | None:
    return None if base is None else float(base)


def _real(numbers: Any) -> Any:
    """Real numbers, numpy's where they are concrete."""
    if not is_traced(numbers):
        array = np.asarray(qml.math.toarray(numbers))
        if np.max(abs(np.imag(array)), initial=0.0) > HERMITICITY_TOLERANCE:
            raise ValueError("An observable must be Hermitian, but has complex coefficients or eigenvalues.")
        return np.real(array).astype(float)
    return jnp.real(numbers)
