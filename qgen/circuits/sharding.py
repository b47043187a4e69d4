"""One state vector over many devices, and batches over many devices, on an explicit mesh.

With 2**d devices the mesh has d axes of length 2, one per *global* qubit: device (b_1 ... b_d) holds the amplitudes
whose global qubits are in these states. A gate on local qubits, and any diagonal gate, runs without communication;
before another gate, each of its global qubits changes places with the local qubit whose turn comes last, by one
all-to-all between pairs of devices. The bookkeeping of places is static; the order is restored before and after a
Repeat, which stays one loop. Meshes may span processes (`jax.distributed.initialize` first); every process then runs
the same program.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from qgen import check
from qgen.circuits import operation
from qgen.circuits.circuit import Circuit
from qgen.circuits.gates import GATES, PAULI
from qgen.circuits.memory import check_memory
from qgen.circuits.observables import Observable
from qgen.circuits.operation import Op
from qgen.circuits.states import check_norm
from qgen.circuits.tensors import combine, complex_of, contract, letters, several, vector, walk
from qgen.types import Array, Complex, Float

STATES = 2
"""State vectors that live at one time at the least: before and after an operation."""


def qubit_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh for one state vector: one axis of length 2 per global qubit.

    Args:
        devices: a power of two of devices; all devices of all processes where left out.

    Raises:
        ValueError: if the number of devices is not a power of two.
    """
    chosen = jax.devices() if devices is None else list(devices)
    depth = len(chosen).bit_length() - 1
    if len(chosen) != 2**depth:
        raise ValueError(f"Argument `devices` must hold a power of two of devices, but holds {len(chosen)}.")
    return Mesh(np.array(chosen).reshape((2,) * depth), tuple(f"qubit_{k}" for k in range(depth)))


def population_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh for a batch: all devices in a row, on the axis "population"."""
    chosen = jax.devices() if devices is None else list(devices)
    check.at_least("number of devices", len(chosen), 1)
    return Mesh(np.array(chosen), ("population",))


def spread(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """`vmap(function)` with the members of the batch shared out over the mesh; no member needs another.

    Args:
        function: pytrees of arrays -> pytree of arrays, for one member.
        mesh: as `population_mesh` makes it.

    Returns:
        A function of pytrees whose arrays have a leading axis of members, a multiple of the number of devices.

    Raises:
        ValueError: for a mesh without the axis "population", or (when called) members that do not divide evenly.
    """
    check.one_of("population", "population", mesh.axis_names)

    def batched(*members: Any) -> Any:
        for leaf in jax.tree.leaves(members):
            if leaf.shape[0] % mesh.size:
                raise ValueError(f"The batch of {leaf.shape[0]} members must be a multiple of the {mesh.size} devices.")
        # Members exchange nothing, and a function may start loops from constants, which jax's check of what varies over
        # the mesh would refuse.
        spec = P("population")
        run = jax.shard_map(jax.vmap(function), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
        return run(*members)

    return batched


def sharding(mesh: Mesh) -> NamedSharding:
    """How a state vector [2**n] lies on a qubit mesh: its most significant qubits are the mesh's axes."""
    return NamedSharding(mesh, P(mesh.axis_names or None))


def apply(
    circuit: Circuit, params: Any, mesh: Mesh, state: Complex[Array, " dim"] | None = None
) -> Complex[Array, " dim"]:
    """The state after the circuit, complex [2**n], sharded over the mesh. Call it under jit.

    Args:
        circuit: the circuit, without measurements.
        params: its parameter vector, the same on all devices.
        mesh: as `qubit_mesh` makes it.
        state: the initial state [2**n]; |0...0> where left out.

    Raises:
        ValueError: for a mesh with other axes, gates wider than a device's share of the qubits, wrong shapes, a state
            that is not normalised (where it is concrete), or a register that is too large for all memories together.
    """
    n, depth = circuit.n_qubits, _depth(circuit, mesh)
    angles = vector(circuit, params)
    check_memory(n, STATES, angles.dtype.itemsize, _memories(mesh))
    spec = P(mesh.axis_names or None)

    def run(local_params: Array, *start: Array) -> Array:
        local = start[0] if start else _zero_state(n, mesh.axis_names, complex_of(local_params))
        tensor = _evolve(circuit, local_params, local.reshape((2,) * (n - depth)), mesh.axis_names)
        return tensor.reshape(-1)

    given = () if state is None else (jnp.asarray(state).astype(complex_of(angles)),)
    for vector_ in given:
        check.shape("state", vector_, (2**n,))
        check_norm(vector_)
    return jax.shard_map(run, mesh=mesh, in_specs=(P(), *[spec] * len(given)), out_specs=spec)(angles, *given)


def expectation(
    circuit: Circuit,
    params: Any,
    observable: Observable | Sequence[Observable],
    mesh: Mesh,
    state: Complex[Array, " dim"] | None = None,
) -> Float[Array, "*k"]:
    """<psi| observable |psi>, the same on all devices: a scalar, or [k] for a list. Call it under jit."""
    n, depth = circuit.n_qubits, _depth(circuit, mesh)
    words = letters(several(observable), n)
    psi = apply(circuit, params, mesh, state)

    def run(local: Array) -> Array:
        tensor = local.reshape((2,) * (n - depth))
        return jnp.stack([_word_value(tensor, word, mesh.axis_names) for word in words])

    values = jax.shard_map(run, mesh=mesh, in_specs=P(mesh.axis_names or None), out_specs=P())(psi)
    return combine(values, observable)


def _depth(circuit: Circuit, mesh: Mesh) -> int:
    """The number of global qubits; checks that mesh and circuit fit."""
    depth = len(mesh.axis_names)
    if any(length != 2 for length in mesh.shape.values()):
        lengths = dict(mesh.shape)
        raise ValueError(f"Argument `mesh` must have axes of length 2, as `qubit_mesh` gives, but has {lengths}.")
    widest = max((_span(op) for op in circuit.walk() if isinstance(op, Op)), default=0)
    if circuit.n_qubits - depth < max(widest, 1):
        raise ValueError(
            f"A circuit of {circuit.n_qubits} qubits on {2**depth} devices leaves {circuit.n_qubits - depth} qubits to "
            f"each, but its widest gate needs {max(widest, 1)}: use fewer devices."
        )
    return depth


def _memories(mesh: Mesh) -> int:
    """How many memories the mesh spans: one per device, but one per process where the devices are CPUs."""
    devices = mesh.devices.reshape(-1).tolist()
    return len({d.process_index if d.platform == "cpu" else (d.process_index, d.id) for d in devices})


def _span(op: Op) -> int:
    return 0 if _is_diagonal(op) else len(op.support)


@functools.lru_cache(maxsize=4096)
def _is_diagonal(op: Op) -> bool:
    if op.name == "pauli_rot":
        return set(op.word) <= {"I", "Z"}
    row = GATES[op.name]
    matrix = op.array() if op.name in ("unitary", "diagonal") else row.fixed if row.fixed is not None else row.generator
    return matrix is not None and (matrix.ndim == 1 or np.array_equal(matrix, np.diag(np.diag(matrix))))


def _zero_state(n: int, axes: Sequence[str], dtype: Any) -> Complex[Array, " share"]:
    first = jnp.ones((), bool)
    for axis in axes:
        first = first & (jax.lax.axis_index(axis) == 0)
    return jnp.where(first & (jnp.arange(2 ** (n - len(axes))) == 0), 1, 0).astype(dtype)


def _evolve(circuit: Circuit, params: Array, tensor: Array, axes: Sequence[str]) -> Array:
    """Runs the circuit on a device's share; wires are in order before and after every stretch of operations."""
    depth = len(axes)

    def segment(carry: Array, ops: tuple[Op, ...], local_params: Array) -> Array:
        place = list(range(circuit.n_qubits))  # wire -> place; places below `depth` are mesh axes
        for position, op in enumerate(ops):
            if not op.support:
                carry = carry * operation.matrix(op, local_params).astype(carry.dtype).reshape(())
            elif _is_diagonal(op):
                carry = _diagonal(carry, op, local_params, [place[wire] for wire in op.support], axes)
            else:
                for wire in op.support:
                    if place[wire] < depth:
                        victim = _latest(place, ops[position:], op.support, depth)
                        carry = _exchange(carry, place, wire, victim, axes)
                matrix = operation.matrix(op, local_params)
                carry = contract(carry, matrix, tuple(place[wire] - depth for wire in op.support))
        return _restore(carry, place, axes)

    return walk(circuit, params, tensor, segment)


def _latest(place: list[int], ops: Sequence[Op], busy: Sequence[int], depth: int) -> int:
    """The local wire, not among the busy ones, whose next gate that needs it local comes last."""

    def next_use(wire: int) -> float:
        uses = (k for k, op in enumerate(ops) if wire in op.support and not _is_diagonal(op))
        return next(uses, math.inf)

    return max((wire for wire in range(len(place)) if place[wire] >= depth and wire not in busy), key=next_use)


def _exchange(tensor: Array, place: list[int], far: int, near: int, axes: Sequence[str]) -> Array:
    """A global and a local wire change places: device b sends its half with the local qubit in state 1 - b."""
    axis = place[near] - len(axes)
    swapped = jax.lax.all_to_all(tensor, axes[place[far]], axis, axis, tiled=True)
    place[far], place[near] = place[near], place[far]
    return swapped


def _restore(tensor: Array, place: list[int], axes: Sequence[str]) -> Array:
    """Brings every wire back to its own place: the global ones by exchanges, then the local ones by a transpose."""
    depth = len(axes)
    for axis in range(depth):
        if place[axis] == axis:
            continue
        if place[axis] < depth:  # at another mesh axis: through a local place
            tensor = _exchange(tensor, place, axis, place.index(depth), axes)
        tensor = _exchange(tensor, place, place.index(axis), axis, axes)
    return tensor.transpose([place[wire] - depth for wire in range(depth, len(place))])


def _diagonal(tensor: Array, op: Op, params: Array, places: list[int], axes: Sequence[str]) -> Array:
    """Multiplies by a gate's diagonal; a global qubit picks its half of the diagonal by the device's index."""
    depth = len(axes)
    entries = jnp.diagonal(operation.matrix(op, params)).astype(tensor.dtype).reshape((2,) * len(places))
    for axis in reversed(range(len(places))):
        if places[axis] < depth:
            entries = jnp.take(entries, jax.lax.axis_index(axes[places[axis]]), axis=axis)
    local = [place - depth for place in places if place >= depth]
    order = np.argsort(local)
    shape = [2 if axis in local else 1 for axis in range(tensor.ndim)]
    return tensor * entries.transpose(order).reshape(shape)


def _word_value(tensor: Array, word: np.ndarray, axes: Sequence[str]) -> Float[Array, ""]:
    depth, after = len(axes), tensor
    for wire in np.flatnonzero(word):
        letter = "IXYZ"[word[wire]]
        if wire >= depth:
            after = contract(after, jnp.asarray(PAULI[letter]), (int(wire) - depth,))
            continue
        axis = axes[int(wire)]
        if letter in "XY":
            after = jax.lax.ppermute(after, axis, [(0, 1), (1, 0)])
        if letter in "YZ":
            phase = (-1j, 1j) if letter == "Y" else (1, -1)
            after = after * jnp.asarray(phase, after.dtype)[jax.lax.axis_index(axis)]
    value = jnp.sum(tensor.conj() * after).real
    return jax.lax.psum(value, tuple(axes)) if depth else value
