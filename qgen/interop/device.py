"""The PennyLane device `qgen.statevector`: circuits run by qgen, derivatives by its adjoint rule.

PennyLane hands over tapes of plain numbers, which run in double precision whatever jax's default is; under PennyLane's
jax interface with backpropagation it hands over tracers, which stay in the caller's precision.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pennylane
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import (
    decompose,
    device_resolve_dynamic_wires,
    no_sampling,
    validate_adjoint_trainable_params,
    validate_device_wires,
    validate_measurements,
)
from pennylane.devices.qubit.simulate import measure_final_state
from pennylane.exceptions import DeviceError
from pennylane.measurements import (
    ClassicalShadowMP,
    ExpectationMP,
    SampleMeasurement,
    ShadowExpvalMP,
    StateMeasurement,
)
from pennylane.tape import QuantumScript
from pennylane.transforms import broadcast_expand, defer_measurements
from pennylane.transforms.core import CompilePipeline, transform

from qgen import check
from qgen.circuits.circuit import Circuit
from qgen.interop.operations import NAMES, OTHERS, PAYLOADS, convertible
from qgen.interop.pennylane import Bridge, batch_results, bridge_script
from qgen.interop.readings import Reading, is_smooth, readable

qml: Any = pennylane  # its attributes are made at run time

CAPABILITIES = Path(__file__).with_name("statevector.toml")

ADJOINT = ("adjoint", "device")

JAX = (qml.math.Interface.JAX, qml.math.Interface.JAX_JIT)


@functools.partial(jax.jit, static_argnames=("circuit", "gradient"))
def _results(
    circuit: Circuit, readings: tuple[Reading, ...], shared: Any, batched: Any, state: Any, gradient: str = "auto"
) -> Any:
    return batch_results(circuit, readings, shared, batched, state, gradient)


@functools.partial(jax.jit, static_argnames=("circuit",))
def _states(circuit: Circuit, shared: Any, batched: Any, state: Any) -> Any:
    (psi,) = batch_results(circuit, (Reading("state", tuple(range(circuit.n_qubits))),), shared, batched, state)
    return psi


@functools.partial(jax.jit, static_argnames=("circuit",))
def _jacobian(circuit: Circuit, readings: tuple[Reading, ...], shared: Any, state: Any) -> Any:
    """Values and their derivatives: a reverse pass per value, or a forward pass per parameter where these are fewer."""
    nothing = jnp.zeros((0, 0), shared.dtype)

    def flat(params: Any, gradient: str = "auto") -> tuple[Any, Any]:
        values = batch_results(circuit, readings, params, nothing, state, gradient)
        return jnp.concatenate([v.reshape(-1) for v in values]), values

    length = jax.eval_shape(lambda p: flat(p)[0], shared).shape[0]
    if length <= shared.shape[0]:
        rows, values = jax.jacrev(flat, has_aux=True)(shared)
    else:
        rows, values = jax.jacfwd(functools.partial(flat, gradient="autodiff"), has_aux=True)(shared)
    return values, rows


@functools.partial(jax.jit, static_argnames=("circuit",))
def _pull(circuit: Circuit, readings: tuple[Reading, ...], shared: Any, state: Any, cotangents: Any) -> Any:
    """Values and the product of cotangents with the Jacobian, in one reverse pass."""
    nothing = jnp.zeros((0, 0), shared.dtype)
    values, pull = jax.vjp(lambda params: batch_results(circuit, readings, params, nothing, state), shared)
    return values, pull(cotangents)[0]


@simulator_tracking
@single_tape_support
class StatevectorDevice(Device):
    """PennyLane's `qml.device("qgen.statevector")`.

    With `diff_method="best"`, PennyLane's default, a QNode of jax's arrays is differentiated by jax, to any order
    (`max_diff`) and under `jax.jit`; any other QNode by the adjoint rule, or by parameter shifts where that fails.

    Args:
        wires: the number of wires or their labels; where left out, those of every tape.
        shots: the default number of shots; None is analytic.
        seed: the seed of the shots: what `numpy.random.default_rng` takes; None draws fresh entropy.

    Example:
        >>> device = StatevectorDevice(wires=2)
        >>> @qml.qnode(device)
        ... def circuit(x):
        ...     qml.RX(x, 0)
        ...     qml.CNOT([0, 1])
        ...     return qml.expval(qml.Z(1))
        >>> round(float(circuit(0.3)), 4)
        0.9553
    """

    config_filepath = str(CAPABILITIES)

    def __init__(self, wires: Any = None, shots: Any = None, seed: Any = None) -> None:
        if isinstance(shots, int):
            check.at_least("shots", shots, 1)
        super().__init__(wires=wires, shots=shots)
        self._rng = np.random.default_rng(seed)

    @property
    def name(self) -> str:
        """The name of the entry point."""
        return "qgen.statevector"

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """True for first derivatives by the adjoint rule, and for any by backpropagation through jax."""
        if execution_config is None:
            return True
        if circuit is not None and circuit.shots:
            return False
        if execution_config.gradient_method == "backprop" or self._prefers_jax(execution_config):
            return execution_config.interface in JAX and (circuit is None or all(map(readable, circuit.measurements)))
        if execution_config.gradient_method not in (*ADJOINT, "best"):
            return False
        if execution_config.derivative_order != 1:
            return False
        return circuit is None or self._supports_adjoint(circuit, execution_config)

    def supports_vjp(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """True where derivatives by the adjoint rule are."""
        return self.supports_derivatives(execution_config, circuit)

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """Chooses backpropagation under jax, the adjoint rule elsewhere, and defers mid-circuit measurements."""
        config = config or ExecutionConfig()
        method = config.gradient_method
        if method in ("best", "device"):
            method = "backprop" if self._prefers_jax(config) and method == "best" else "adjoint"
        native = method in ("adjoint", "backprop")
        mcm: Any = config.mcm_config
        if mcm.mcm_method not in (None, "deferred"):
            raise DeviceError(
                f"Device {self.name} has the mid-circuit method 'deferred', but not {str(mcm.mcm_method)!r}."
            )
        updated: dict[str, Any] = {
            "gradient_method": method,
            "mcm_config": dataclasses.replace(mcm, mcm_method="deferred"),
            "convert_to_numpy": method != "backprop",
        }
        if config.use_device_gradient is None:
            updated["use_device_gradient"] = native
        if config.use_device_jacobian_product is None:
            updated["use_device_jacobian_product"] = method == "adjoint"
        if config.grad_on_execution is None:
            updated["grad_on_execution"] = False
        return dataclasses.replace(config, **updated)

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """Brings any tape to gates and measurements that the device runs as they are."""
        config = execution_config or ExecutionConfig()
        pipeline = CompilePipeline()
        pipeline.add_transform(defer_measurements, allow_postselect=False)
        adjoint = config.gradient_method == "adjoint"
        gates: Any = self.capabilities
        accept = differentiable if adjoint else convertible
        pipeline.add_transform(
            decompose,
            stopping_condition=accept,
            target_gates=gates.gate_set(differentiable=adjoint),
            device_wires=self.wires,
            name=self.name,
        )
        pipeline.add_transform(device_resolve_dynamic_wires, wires=self.wires, allow_resets=False)
        pipeline.add_transform(validate_device_wires, self.wires, name=self.name)
        pipeline.add_transform(
            validate_measurements,
            analytic_measurements=is_smooth if adjoint else _can_be_read,
            sample_measurements=_can_be_sampled,
            name=self.name,
        )
        if config.gradient_method in ("adjoint", "backprop"):
            pipeline.add_transform(no_sampling, name=f"{config.gradient_method} + {self.name}")
        if adjoint:
            pipeline.add_transform(validate_adjoint_trainable_params)
        pipeline.add_transform(_expand_where_needed, derivatives=adjoint)
        return pipeline

    def execute(self, circuits: Any, execution_config: ExecutionConfig | None = None) -> Any:
        """The results of tapes; see PennyLane's `Device.execute`."""
        # The adjoint rule has one derivative; higher ones go through jax's own rules.
        higher = execution_config is not None and execution_config.derivative_order > 1
        return tuple(self._execute(tape, "autodiff" if higher else "auto") for tape in circuits)

    def compute_derivatives(self, circuits: Any, execution_config: ExecutionConfig | None = None) -> Any:
        """The Jacobians of tapes with respect to their trainable numbers."""
        return tuple(jacobian for _, jacobian in map(_differentiate, circuits))

    def execute_and_compute_derivatives(self, circuits: Any, execution_config: ExecutionConfig | None = None) -> Any:
        """The results and the Jacobians of tapes, in one pass."""
        pairs = [_differentiate(tape) for tape in circuits]
        return tuple(result for result, _ in pairs), tuple(jacobian for _, jacobian in pairs)

    def compute_vjp(self, circuits: Any, cotangents: Any, execution_config: ExecutionConfig | None = None) -> Any:
        """The products of cotangents with the Jacobians of tapes."""
        return self.execute_and_compute_vjp(circuits, cotangents, execution_config)[1]

    def execute_and_compute_vjp(
        self, circuits: Any, cotangents: Any, execution_config: ExecutionConfig | None = None
    ) -> Any:
        """The results of tapes and the products of cotangents with their Jacobians, in one reverse pass each."""
        pairs = [_pull_back(tape, cotangent) for tape, cotangent in zip(circuits, cotangents, strict=True)]
        return tuple(result for result, _ in pairs), tuple(product for _, product in pairs)

    def _execute(self, tape: QuantumScript, gradient: str) -> Any:
        has_readings = not tape.shots and all(map(readable, tape.measurements))
        bridge = _standard(tape, has_readings)
        if not has_readings:
            return self._measure(tape, bridge)
        arrays = (bridge.shared, bridge.batched, bridge.state)
        if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves((arrays, bridge.readings))):
            results = _results(bridge.circuit, bridge.readings, *arrays, gradient)
        else:
            with jax.enable_x64(True):
                results = tuple(np.asarray(value) for value in _results(bridge.circuit, bridge.readings, *arrays))
        return results[0] if len(results) == 1 else results

    def _measure(self, tape: QuantumScript, bridge: Bridge) -> Any:
        """Shots, and measurements without a reading: PennyLane measures our state."""
        with jax.enable_x64(True):
            psi = np.asarray(_states(bridge.circuit, bridge.shared, bridge.batched, bridge.state))
        tape = tape.map_to_standard_wires()
        psi = psi.reshape((*psi.shape[:-1], *(2,) * bridge.circuit.n_qubits))
        return measure_final_state(tape, psi, psi.ndim > bridge.circuit.n_qubits, rng=self._rng)

    def _prefers_jax(self, config: ExecutionConfig) -> bool:
        """Backpropagation needs no callbacks and gives any order: the best method for tapes of jax's arrays."""
        return config.gradient_method == "best" and config.interface in JAX

    def _supports_adjoint(self, circuit: QuantumScript, config: ExecutionConfig) -> bool:
        observables: list[Any] = [m.obs for m in circuit.measurements if m.obs is not None]
        if config.gradient_method == "best" and any(qml.math.requires_grad(d) for o in observables for d in o.data):
            return False  # the parameter-shift rule also differentiates by coefficients of observables
        pipeline = self.preprocess_transforms(dataclasses.replace(config, gradient_method="adjoint"))
        try:
            pipeline((circuit,))
        except (DeviceError, qml.exceptions.QuantumFunctionError, qml.operation.DecompositionUndefinedError):
            return False
        return True


def differentiable(operation: Any) -> bool:
    """True for operations that are convertible and whose trainable numbers are all angles."""
    base = operation
    while hasattr(base, "base"):
        base = base.base
    only_numbers = base.name in PAYLOADS or base.name not in (*NAMES, *OTHERS)
    return convertible(operation) and not (only_numbers and any(map(qml.math.requires_grad, operation.data)))


@transform
def _expand_where_needed(tape: Any, derivatives: bool) -> Any:
    """Splits a batch where it has derivatives, and for classical shadows."""
    shadows = any(isinstance(m, ShadowExpvalMP | ClassicalShadowMP) for m in tape.measurements)
    trainable = derivatives and any(map(qml.math.requires_grad, tape.get_parameters(trainable_only=False)))
    if tape.batch_size is not None and (trainable or shadows):
        return broadcast_expand(tape)
    return (tape,), lambda results: results[0]


def _standard(tape: QuantumScript, has_readings: bool = True) -> Bridge:
    """The bridge of a preprocessed tape on qubits 0 ... n-1."""
    tape = tape.map_to_standard_wires()
    place = {wire: wire for wire in range(len(tape.wires))}
    return bridge_script(tape if has_readings else tape.copy(measurements=[]), place)


def _alone(tape: QuantumScript) -> Bridge:
    """The bridge of a tape without a batch."""
    if tape.batch_size is not None:
        raise DeviceError("Derivatives of a batch are taken one by one: apply `qml.transforms.broadcast_expand` first.")
    return _standard(tape)


def _differentiate(tape: QuantumScript) -> tuple[Any, Any]:
    """The results of one tape and its Jacobian in PennyLane's nesting: measurements, then parameters."""
    bridge = _alone(tape)
    with jax.enable_x64(True):
        values, rows = _jacobian(bridge.circuit, bridge.readings, bridge.shared, bridge.state)
        values, rows = [np.asarray(v) for v in values], np.asarray(rows)
    jacobians, start = [], 0
    for value in values:
        block = rows[start : start + value.size].reshape(*value.shape, -1)
        start += value.size
        columns = [np.zeros(value.shape) if t is None else np.array(block[..., t]) for t in bridge.trainable]
        jacobians.append(columns[0] if len(columns) == 1 else tuple(columns))
    single = len(values) == 1
    return (values[0], jacobians[0]) if single else (tuple(values), tuple(jacobians))


def _pull_back(tape: QuantumScript, cotangents: Any) -> tuple[Any, Any]:
    """The results of one tape and the product of cotangents with its Jacobian: one number per trainable number."""
    bridge = _alone(tape)
    single = len(bridge.readings) == 1
    with jax.enable_x64(True):
        given = (cotangents,) if single else tuple(cotangents)
        given = tuple(jnp.asarray(qml.math.toarray(c), dtype=float) for c in given)
        values, product = _pull(bridge.circuit, bridge.readings, bridge.shared, bridge.state, given)
        values, product = [np.asarray(v) for v in values], np.asarray(product)
    numbers = tuple(np.zeros(()) if t is None else np.array(product[t]) for t in bridge.trainable)
    return (values[0] if single else tuple(values)), numbers


def _can_be_read(measurement: Any) -> bool:
    """True for all that PennyLane computes from a state, which are more than our readings."""
    if readable(measurement):
        return True
    if not isinstance(measurement, StateMeasurement):
        return False
    observable: Any = measurement.obs
    return observable is None or (isinstance(measurement, ExpectationMP) and observable.has_sparse_matrix)


def _can_be_sampled(measurement: Any) -> bool:
    if not isinstance(measurement, SampleMeasurement | ClassicalShadowMP | ShadowExpvalMP):
        return False
    return measurement.obs is None or _has_basis(measurement.obs)


def _has_basis(observable: Any) -> bool:
    """True if every part of an observable has a basis to measure it in."""
    if isinstance(observable, qml.ops.CompositeOp):
        return all(_has_basis(part) for part in observable.operands)
    if isinstance(observable, qml.ops.SymbolicOp):
        return _has_basis(observable.base)
    return observable.has_diagonalizing_gates
