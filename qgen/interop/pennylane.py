"""PennyLane's tapes and QNodes as pure functions of qgen, and circuits as tapes.

The bridge works on tapes, whose operations hold plain numbers or jax's tracers; it never calls PennyLane's own jax
interface, so that it runs with versions of jax that the interface does not.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pennylane
from pennylane.ops import MidMeasure
from pennylane.tape import QuantumScript

from qgen.circuits.circuit import Circuit
from qgen.circuits.observables import Observable
from qgen.circuits.operation import Angle
from qgen.interop.operations import Convertible, convert, convertible, to_operations
from qgen.interop.readings import Reading, evaluate, from_measurement, from_words
from qgen.types import Array

qml: Any = pennylane  # its attributes are made at run time


@dataclasses.dataclass(frozen=True, eq=False)
class Bridge:
    """A tape as a circuit, its numbers and what is read at its end.

    Attributes:
        circuit: the gates; every angle of the tape is an entry of the parameter vector, in order of time, those with a
            batch after all others.
        readings: one per measurement of the tape.
        shared: the angles without a batch, radians, [shared].
        batched: the angles with a batch, radians, [batch, batched]; [0, 0] where the tape has none.
        state: the prepared state, complex [2**n] or [batch, 2**n]; None for |0...0>.
        wires: the wire label of every qubit.
        trainable: for every trainable number of the tape its entry of the parameter vector; None where it has none, as
            numbers in observables, matrices and prepared states.
    """

    circuit: Circuit
    readings: tuple[Reading, ...]
    shared: Any
    batched: Any
    state: Any
    wires: tuple[Any, ...]
    trainable: tuple[int | None, ...]

    @property
    def params(self) -> Any:
        """The tape's own parameters: [n_params], or the pair (shared, batched) where angles have a batch."""
        return self.shared if self.batched.shape[1] == 0 else (self.shared, self.batched)

    def __call__(self, params: Any = None, gradient: str = "auto") -> Any:
        """What the tape returns, as a pure jittable function of its parameters.

        Args:
            params: like `Bridge.params`, which is the default.
            gradient: as in `qgen.circuits.apply`.

        Returns:
            The result of the tape's measurement, or a tuple of them for several; a batch is the first axis.

        Raises:
            ValueError: if the parameters do not fit.
        """
        given = self.params if params is None else params
        shared, batched = given if isinstance(given, tuple) else (given, self.batched)
        results = batch_results(self.circuit, self.readings, shared, batched, self.state, gradient)
        return results[0] if len(results) == 1 else results


def from_tape(tape: QuantumScript, wires: Sequence[Any] | None = None) -> Bridge:
    """A tape of PennyLane as a circuit with parameters and readings.

    Templates are decomposed by PennyLane until all gates are in our table; a gate that is known only by its matrix
    becomes a unitary.

    Args:
        tape: a QuantumScript; its shots are ignored.
        wires: the label of every qubit; where left out, 0 ... max for labels that are integers, else in order of use.

    Returns:
        The bridge; `bridge(params)` is a pure function.

    Raises:
        ValueError: if an operation is not unitary or has no decomposition, a measurement cannot be read from a state,
            or a label is missing in `wires`.

    Example:
        >>> import pennylane as qml
        >>> tape = qml.tape.QuantumScript([qml.RX(0.3, 0), qml.CNOT([0, 1])], [qml.expval(qml.Z(1))])
        >>> bridge = from_tape(tape)
        >>> round(float(bridge(bridge.params)), 4)
        0.9553
    """
    labels = tuple(_labels(tape) if wires is None else wires)
    place = {label: qubit for qubit, label in enumerate(labels)}
    missing = [label for label in tape.wires if label not in place]
    if missing:
        raise ValueError(f"Argument `wires` must hold every label of the tape, but lacks {missing}.")
    return bridge_script(expand(tape), place)


def from_qnode(qnode: Any) -> Callable[..., Any]:
    """A QNode as a pure function of the same arguments, for jax's jit, grad and vmap.

    Args:
        qnode: a QNode or a batch-free transform of one; its device, shots and interface are not used.

    Returns:
        A function that returns jax arrays where the QNode returns PennyLane's.

    Raises:
        ValueError: when called, as `from_tape`.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        tape = qml.workflow.construct_tape(qnode, level="user")(*args, **kwargs)
        return from_tape(tape)()

    return run


def to_tape(
    circuit: Circuit,
    params: Any = (),
    measurements: Sequence[Any] = (),
    wires: Sequence[Any] | None = None,
    shots: int | None = None,
) -> QuantumScript:
    """A circuit as a tape of PennyLane.

    Args:
        circuit: a circuit without measurements.
        params: its parameters in radians, [n_params].
        measurements: PennyLane's measurements, or Observables, which become expectation values.
        wires: the label of every qubit; 0, 1, ... where left out.
        shots: the tape's shots.

    Raises:
        ValueError: as `to_operations`.
    """
    ends = [qml.expval(from_words(m, wires)) if isinstance(m, Observable) else m for m in measurements]
    return QuantumScript(to_operations(circuit, params, wires), ends, shots=shots)


def expand(tape: QuantumScript, accept: Convertible = convertible) -> QuantumScript:
    """The tape with every operation decomposed until `accept` takes it; a leading state preparation stays."""
    for operation in tape.operations:
        if isinstance(operation, MidMeasure | qml.ops.Conditional):
            raise ValueError(
                "A tape with mid-circuit measurements has no pure function: apply `qml.defer_measurements` first."
            )
    (expanded,), _ = qml.devices.preprocess.decompose(
        tape, stopping_condition=accept, skip_initial_state_prep=True, name="qgen", error=ValueError
    )
    return expanded


def bridge_script(tape: QuantumScript, place: dict[Any, int]) -> Bridge:
    """The bridge of a tape whose operations are all convertible."""
    prepared = tape.operations[0] if tape.num_preps else None
    gates = tape.operations[1:] if tape.num_preps else tape.operations
    shared, batched, slots, order = [], [], [], []
    position = len(prepared.data) if prepared is not None else 0
    entry: dict[int, tuple[bool, int]] = {}
    for gate in gates:
        local = []
        for offset, (datum, dimension) in enumerate(zip(gate.data, _dimensions(gate), strict=True)):
            if dimension is None:
                local.append(None)
                continue
            is_batched = qml.math.ndim(datum) > dimension
            pile = batched if is_batched else shared
            local.append((is_batched, len(pile)))
            entry[position + offset] = local[-1]
            pile.append(datum)
        position += len(gate.data)
        slots.append(local)
    start = len(shared)

    def index(slot: tuple[bool, int]) -> int:
        return slot[1] + (start if slot[0] else 0)

    for gate, local in zip(gates, slots, strict=True):
        order += convert(gate, place, [None if slot is None else Angle(index(slot)) for slot in local])
    return Bridge(
        Circuit(max(len(place), 1), tuple(order)),
        tuple(from_measurement(m, place) for m in tape.measurements),
        _stack(shared, 0),
        _stack(batched, 1),
        None if prepared is None else _prepared(prepared, place),
        tuple(place),
        tuple(index(entry[t]) if t in entry else None for t in tape.trainable_params),
    )


def batch_results(
    circuit: Circuit, readings: Sequence[Reading], shared: Any, batched: Any, state: Any, gradient: str = "auto"
) -> tuple[Array, ...]:
    """The values of all readings; a batch of parameters or of states is a leading axis."""
    axes = (0 if batched.shape[1] else None, 0 if state is not None and state.ndim == 2 else None)

    def one(row: Any, start: Any) -> tuple[Array, ...]:
        params = (shared, row) if axes[0] == 0 else shared
        return evaluate(circuit, readings, params, start, gradient)

    if axes == (None, None):
        return one(None, state)
    return jax.vmap(one, in_axes=axes)(batched, state)


def _labels(tape: QuantumScript) -> list[Any]:
    """0 ... max for integers, else the labels in order of use."""
    labels = list(tape.wires)
    if labels and all(isinstance(label, int) and label >= 0 for label in labels):
        return list(range(max(labels) + 1))
    return labels


def _dimensions(gate: Any) -> list[int | None]:
    """For every datum of a gate the dimension of its angle without a batch: 0; None for arrays and unused numbers."""
    base = gate
    while hasattr(base, "base"):
        base = base.base
    if base.name in ("QubitUnitary", "DiagonalQubitUnitary") or not isinstance(
        getattr(base, "ndim_params", None), tuple
    ):
        return [None] * len(gate.data)
    return [None if dimension else 0 for dimension in base.ndim_params]


def _prepared(operation: Any, place: dict[Any, int]) -> Any:
    """The state vectors that a preparation makes: [2**n] or [batch, 2**n]."""
    vector = operation.state_vector(wire_order=list(place))
    rows = qml.math.shape(vector)[: 0 if operation.batch_size is None else 1]
    vector = qml.math.reshape(vector, (*rows, 2 ** len(place)))
    return vector if qml.math.get_interface(vector) == "jax" else np.asarray(qml.math.toarray(vector))


def _stack(numbers: list[Any], axis: int) -> Any:
    """Numbers as one array: numpy's, or jax's if any of them is."""
    if not numbers:
        return np.zeros((0,) * (axis + 1))
    if any(isinstance(number, jax.Array) for number in numbers):
        return jnp.stack([jnp.asarray(number) for number in numbers], axis=axis)
    return np.stack([np.asarray(qml.math.toarray(number), dtype=float) for number in numbers], axis=axis)
