"""Op: one gate on some wires, its angles, and its matrix."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import gates
from qgen.circuits.gates import ALIASES, GATES, PAULI
from qgen.types import Array

UNITARITY_TOLERANCE = 1e-6
"""How far a given matrix may be from unitary: matrices in single precision pass, mistakes do not."""


@dataclasses.dataclass(frozen=True)
class Angle:
    """`scale * params[index] + offset`, in radians.

    Attributes:
        index: the entry of the circuit's parameter vector.
        scale: a factor, which generators and weights need.
        offset: a constant, in radians.
    """

    index: int
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        """Refuses an index that is no whole number, or negative."""
        integers("index", (self.index,))
        check.at_least("index", self.index, 0)

    def __neg__(self) -> "Angle":
        """The opposite angle."""
        return Angle(self.index, -self.scale, -self.offset)

    def __mul__(self, factor: float) -> "Angle":
        """The angle times a number."""
        return Angle(self.index, self.scale * factor, self.offset * factor)

    __rmul__ = __mul__

    def __add__(self, constant: float) -> "Angle":
        """The angle plus a constant in radians."""
        return Angle(self.index, self.scale, self.offset + constant)


@dataclasses.dataclass(frozen=True)
class Op:
    """One gate on some wires. `gate(...)` builds it with less writing.

    Attributes:
        name: a name of GATES (or of its ALIASES).
        wires: the wires it acts on; for a controlled gate of the table (`cx`), the control comes first.
        angles: one per angle of the gate: a number in radians or an Angle.
        controls: further wires that must all hold their `values` for the gate to act.
        values: the bit that each control must hold; empty means all 1.
        word: the Pauli word of a `pauli_rot`, one letter per wire.
        data: the entries of a `unitary` (rows after one another) or of a `diagonal`, complex128 as bytes, which hash
            fast.
    """

    name: str
    wires: tuple[int, ...]
    angles: tuple[Angle | float, ...] = ()
    controls: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    word: str = ""
    data: bytes = b""

    def __post_init__(self) -> None:
        """Normalises and checks the fields."""
        name = ALIASES.get(self.name, self.name)
        check.one_of("name", name, GATES)
        put = functools.partial(object.__setattr__, self)
        put("name", name)
        put("wires", integers("wires", self.wires))
        put("controls", integers("controls", self.controls))
        put("values", integers("values", self.values) or (1,) * len(self.controls))
        put("angles", tuple(a if isinstance(a, Angle) else _number("angles", a) for a in self.angles))
        row = GATES[name]
        if row.wires is not None and len(self.wires) != row.wires:
            raise ValueError(f"Gate `{name}` acts on {row.wires} wires, but {len(self.wires)} are given: {self.wires}.")
        if row.wires is None and not self.wires:
            raise ValueError(f"Gate `{name}` needs at least one wire, but none is given.")
        if len(self.angles) != row.angles:
            raise ValueError(f"Gate `{name}` takes {row.angles} angles, but {len(self.angles)} are given.")
        if len(self.values) != len(self.controls) or set(self.values) - {0, 1}:
            raise ValueError(f"Argument `values` must hold one 0 or 1 per control, but is {self.values}.")
        touched = self.support
        if len(set(touched)) != len(touched):
            raise ValueError(f"Gate `{name}` has repeated wires: {touched}.")
        if touched and min(touched) < 0:
            raise ValueError(f"Gate `{name}` has a negative wire: {touched}.")
        _check_payload(self)

    @property
    def support(self) -> tuple[int, ...]:
        """Controls and wires together."""
        return self.controls + self.wires

    def array(self) -> np.ndarray:
        """The numbers in `data`: [2**k, 2**k] of a unitary, [2**k] of a diagonal."""
        size = 2 ** len(self.wires)
        return np.frombuffer(self.data, complex).reshape((size, size) if self.name == "unitary" else (size,))

    def inverse(self) -> "Op":
        """The operation that undoes this one."""
        row = GATES[self.name]
        if self.name == "unitary":
            return dataclasses.replace(self, data=np.ascontiguousarray(self.array().conj().T).tobytes())
        if self.name == "diagonal":
            return dataclasses.replace(self, data=self.array().conj().tobytes())
        if row.inverse:
            return dataclasses.replace(self, name=row.inverse)
        if row.fixed is not None:
            data = np.ascontiguousarray(row.fixed.conj().T.astype(complex)).tobytes()
            return dataclasses.replace(self, name="unitary", data=data)
        if row.generator is not None or self.name == "pauli_rot":
            return dataclasses.replace(self, angles=tuple(-a for a in self.angles))
        raise AssertionError(self.name)  # gates made of parts are undone part by part in Circuit.inverse

    def parts(self) -> "tuple[Op, ...]":
        """The sequence of simpler operations that a gate with several angles stands for; itself for any other."""
        row = GATES[self.name]
        if not row.parts:
            return (self,)
        sequence = []
        for name, wires, local in row.parts:
            angles = tuple(self.angles[a[0]] * a[1] if isinstance(a, tuple) else a for a in local)
            placed = tuple(self.wires[w] for w in wires)
            sequence.append(Op(name, placed, angles, self.controls, self.values))
        return tuple(sequence)


def gate(
    name: str,
    wires: int | Sequence[int],
    *angles: Angle | float,
    controls: Sequence[int] = (),
    values: Sequence[int] = (),
) -> Op:
    """One operation of the table.

    Args:
        name: a name of GATES.
        wires: one wire or several.
        *angles: numbers in radians or Angles.
        controls: further wires that must hold `values` for the gate to act.
        values: one bit per control; all 1 where left out.

    Returns:
        The Op.

    Raises:
        ValueError: if the gate is unknown, or its wires or angles do not fit.

    Example:
        >>> gate("crz", (0, 1), Angle(0)).wires
        (0, 1)
    """
    placed = tuple(wires) if isinstance(wires, Iterable) else (wires,)
    return Op(name, placed, tuple(angles), tuple(controls), tuple(values))


def controlled(op: Op, controls: Sequence[int], values: Sequence[int] = ()) -> Op:
    """The operation under further controls, which must hold `values` (all 1 where left out)."""
    values = tuple(values) or (1,) * len(controls)
    return dataclasses.replace(op, controls=(*controls, *op.controls), values=(*values, *op.values))


def pauli_rotation(word: str, wires: Sequence[int], angle: Angle | float) -> Op:
    """exp(-i angle/2 P) of a Pauli word, one letter of IXYZ per wire."""
    return Op("pauli_rot", tuple(wires), (angle,), word=word)


def unitary(matrix: Any, wires: Sequence[int]) -> Op:
    """A gate given by its matrix, [2**k, 2**k] for k wires.

    Raises:
        ValueError: if the shape does not fit the wires or the matrix is not unitary.
    """
    array = np.ascontiguousarray(np.asarray(matrix, dtype=complex))
    check.shape("matrix", array, (2 ** len(tuple(wires)),) * 2)
    return Op("unitary", tuple(wires), data=array.tobytes())


def diagonal(entries: Any, wires: Sequence[int]) -> Op:
    """A diagonal gate given by its 2**k entries of modulus 1 for k wires.

    Raises:
        ValueError: if the length does not fit the wires or an entry is not of modulus 1.
    """
    array = np.ascontiguousarray(np.asarray(entries, dtype=complex))
    check.shape("entries", array, (2 ** len(tuple(wires)),))
    return Op("diagonal", tuple(wires), data=array.tobytes())


def generator(op: Op) -> np.ndarray:
    """G of an uncontrolled operation exp(-i t G) with one angle, complex [2**k, 2**k] on its wires."""
    if op.name == "pauli_rot":
        return gates.word_matrix(op.word) / 2
    matrix = GATES[op.name].generator
    if matrix is None:
        raise ValueError(f"Gate `{op.name}` has no generator of its own.")
    return np.asarray(matrix, dtype=complex)


def matrix(op: Op, params: Any = ()) -> Array:
    """The matrix of an operation on its controls and wires, in this order, complex [2**k, 2**k].

    Args:
        op: the operation.
        params: the circuit's parameter vector, for operations with Angles.
    """
    values = [value(angle, params) for angle in op.angles]
    if op.name == "unitary":
        inner = jnp.asarray(op.array())
    elif op.name == "diagonal":
        inner = jnp.diag(jnp.asarray(op.array()))
    elif op.name == "pauli_rot":
        inner = gates.exponential(generator(op), values[0])
    else:
        inner = GATES[op.name].matrix(*values)
    if not op.controls:
        return inner
    size, inner_size = 2 ** len(op.support), inner.shape[0]
    first = int("".join(map(str, op.values)), 2) * inner_size
    return jnp.eye(size, dtype=inner.dtype).at[first : first + inner_size, first : first + inner_size].set(inner)


def value(angle: Angle | float, params: Any) -> Any:
    """The number of radians that an angle stands for."""
    if isinstance(angle, Angle):
        return angle.scale * params[angle.index] + angle.offset
    return angle


def _check_payload(op: Op) -> None:
    """Checks the word and the matrix of gates that carry one."""
    if op.name == "pauli_rot":
        if len(op.word) != len(op.wires) or set(op.word) - set(PAULI):
            raise ValueError(f"Argument `word` must hold one letter of IXYZ per wire, but is {op.word!r}.")
    elif op.word:
        raise ValueError(f"Gate `{op.name}` takes no Pauli word, but got {op.word!r}.")
    if op.name in ("unitary", "diagonal"):
        count = (2 ** len(op.wires)) ** (2 if op.name == "unitary" else 1)
        if len(op.data) != 16 * count:
            raise ValueError(f"Gate `{op.name}` on {len(op.wires)} wires needs {count} complex128 entries in `data`.")
        array = op.array()
        product = array @ array.conj().T if op.name == "unitary" else np.diag(abs(array) ** 2)
        error = float(np.max(abs(product - np.eye(len(product)))))
        if not error <= UNITARITY_TOLERANCE:
            raise ValueError(
                f"The matrix of gate `{op.name}` must be unitary, but U U^dagger differs from 1 by {error:.2g}."
            )
    elif op.data:
        raise ValueError(f"Gate `{op.name}` takes no matrix.")


def integers(name: str, values: int | Iterable[int]) -> tuple[int, ...]:
    """The value or values as a tuple of integers; raises ValueError unless they are whole numbers."""
    values = tuple(values) if isinstance(values, Iterable) else (values,)
    try:
        whole = tuple(int(v) for v in values)
    except (TypeError, ValueError):
        whole = ()
    if whole != values:
        raise ValueError(f"Argument `{name}` must hold integers, but is {values}.")
    return whole


def _number(name: str, number: Any) -> float:
    try:
        return float(number)
    except TypeError as error:
        message = (
            f"Argument `{name}` must hold numbers or Angles, but holds {number!r}; traced numbers belong in `params`."
        )
        raise ValueError(message) from error
