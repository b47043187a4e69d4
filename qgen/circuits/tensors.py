"""What the further simulators share: contractions, walks over a circuit, stacked matrices, words as letters."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import operation
from qgen.circuits.circuit import Circuit, Repeat
from qgen.circuits.gates import PAULI
from qgen.circuits.observables import Observable, check_fits
from qgen.circuits.operation import Angle, Op
from qgen.types import Array, Complex, Float

Segment = Callable[[Any, tuple[Op, ...], Array], Any]
"""(carry, operations, parameter vector that their Angles index) -> carry."""


def vector(circuit: Circuit, params: Any) -> Float[Array, " params"]:
    """The parameters as one vector of floats, its length checked.

    Args:
        circuit: the circuit.
        params: an array of any shape, or a list or tuple of arrays laid end to end.

    Raises:
        ValueError: if the number of parameters is wrong.
    """
    pieces = params if isinstance(params, list | tuple) else [params]
    flat = jnp.concatenate([jnp.ravel(jnp.asarray(piece)) for piece in pieces]) if len(pieces) else jnp.zeros(0)
    if flat.shape[0] != circuit.n_params:
        raise ValueError(f"Argument `params` must hold {circuit.n_params} numbers, but holds {flat.shape[0]}.")
    return flat.astype(jnp.promote_types(flat.dtype, jnp.float32))


def complex_of(params: Array) -> Any:
    """The complex dtype that belongs to the parameters' precision."""
    return jnp.promote_types(params.dtype, jnp.complex64)


def walk(circuit: Circuit, params: Array, carry: Any, segment: Segment) -> Any:
    """Runs `segment` over every stretch of operations between Repeats; a Repeat is one scan, however often it turns.

    Raises:
        ValueError: if the circuit measures or resets.
    """
    if not circuit.is_unitary:
        raise ValueError("A circuit with measurements or resets runs only in `trajectory`.")
    stretch: list[Op] = []
    for item in circuit.ops:
        if isinstance(item, Op):
            stretch.append(item)
            continue
        assert isinstance(item, Repeat)
        carry = segment(carry, tuple(stretch), params) if stretch else carry
        stretch = []
        first = item.start + item.shared
        shared, rows = params[item.start : first], params[first : item.start + item.n_params]

        def turn(inner: Any, row: Array, body: Circuit = item.body, shared: Array = shared) -> tuple[Any, None]:
            return walk(body, jnp.concatenate([shared, row]), inner, segment), None

        carry, _ = jax.lax.scan(turn, carry, rows.reshape(item.times, item.advancing), reverse=item.backwards)
    return segment(carry, tuple(stretch), params) if stretch else carry


def contract(tensor: Array, matrix: Array, axes: Sequence[int]) -> Array:
    """The matrix [2**k, 2**k] on k axes of a tensor whose axes all have length 2."""
    k = len(axes)
    split = matrix.astype(tensor.dtype).reshape((2,) * (2 * k))
    return jnp.moveaxis(jnp.tensordot(split, tensor, (tuple(range(k, 2 * k)), tuple(axes))), range(k), axes)


def reduced(tensor: Array, axes: Sequence[int]) -> Complex[Array, "dim dim"]:
    """The density matrix of some qubits of a state vector given as a tensor, [2**k, 2**k]."""
    front = jnp.moveaxis(tensor, axes, range(len(axes))).reshape(2 ** len(axes), -1)
    return front @ front.conj().T


def letters(observables: Sequence[Observable], n_qubits: int) -> np.ndarray:
    """The words of several observables as letter numbers (I, X, Y, Z = 0, 1, 2, 3), int [words, qubits].

    Raises:
        ValueError: if a word does not fit the register.
    """
    rows = []
    for observable in observables:
        check_fits(observable, n_qubits)
        for word in observable.words:
            row = np.zeros(n_qubits, dtype=np.int32)
            for wire, letter in word:
                row[wire] = "IXYZ".index(letter)
            rows.append(row)
    return np.array(rows, dtype=np.int32).reshape(-1, n_qubits)


def combine(values: Float[Array, " words"], observable: Observable | Sequence[Observable]) -> Array:
    """Expectation values of all words, in order, to those of the observable: a scalar, or [k] for a list."""
    if isinstance(observable, Observable):
        return jnp.sum(jnp.asarray(observable.coefficients).astype(values.dtype) * values)
    sums, first = [], 0
    for one in observable:
        sums.append(combine(values[first : first + len(one.words)], one))
        first += len(one.words)
    return jnp.stack(sums)


def several(observable: Observable | Sequence[Observable]) -> tuple[Observable, ...]:
    """One observable or a list of them, as a tuple.

    Raises:
        ValueError: for an empty list.
    """
    found = (observable,) if isinstance(observable, Observable) else tuple(observable)
    check.at_least("number of observables", len(found), 1)
    return found


PAULIS = np.stack([PAULI[letter] for letter in "IXYZ"])
"""The Pauli matrices in the order of `letters`, [4, 2, 2]."""


class Stack(NamedTuple):
    """The matrices of many operations of equal width, and where each operation's matrix lies.

    Attributes:
        matrices: complex [entries, 2**k, 2**k].
        place: the entry of each operation, int [ops].
    """

    matrices: Complex[Array, "entries dim dim"]
    place: np.ndarray


def stack(ops: Sequence[Op], params: Array) -> Stack:
    """The matrices of all operations, computed kind by kind: the program does not grow with their number.

    Args:
        ops: operations that act on equally many wires.
        params: the parameter vector of their Angles.
    """
    kinds: dict[Op, list[int]] = {}
    for position, op in enumerate(ops):
        kinds.setdefault(_kind(op), []).append(position)
    place, blocks, first = np.zeros(len(ops), dtype=np.int32), [], 0
    for kind, positions in kinds.items():
        block = _matrices(kind, [ops[position] for position in positions], params)
        place[positions] = first + (np.arange(len(positions)) if len(block) > 1 else 0)
        blocks.append(block)
        first += len(block)
    return Stack(jnp.concatenate(blocks), place)


def _kind(op: Op) -> Op:
    """What decides the matrix but for the angles: the operation on the first wires, its angles numbered."""
    width, n_controls = len(op.support), len(op.controls)
    return dataclasses.replace(
        op,
        controls=tuple(range(n_controls)),
        wires=tuple(range(n_controls, width)),
        angles=tuple(Angle(k) for k in range(len(op.angles))),
    )


def _matrices(kind: Op, ops: Sequence[Op], params: Array) -> Complex[Array, "entries dim dim"]:
    dtype = complex_of(params)
    if not kind.angles:
        return operation.matrix(kind).astype(dtype)[None]
    angles = angle_values([op.angles for op in ops], params)
    return jax.vmap(lambda row: operation.matrix(kind, row))(angles).astype(dtype)


def angle_values(angles: Sequence[Iterable[Angle | float]], params: Array) -> Float[Array, "ops angles"]:
    """The radians of many operations' angles at once, [ops, angles]."""
    rows = [[a if isinstance(a, Angle) else Angle(0, 0.0, a) for a in row] for row in angles]
    index = np.array([[a.index for a in row] for row in rows], dtype=np.int32)
    scale = np.array([[a.scale for a in row] for row in rows])
    offset = np.array([[a.offset for a in row] for row in rows])
    source = params if params.shape[0] else jnp.zeros(1, params.dtype)
    return jnp.asarray(scale, params.dtype) * source[index] + jnp.asarray(offset, params.dtype)
