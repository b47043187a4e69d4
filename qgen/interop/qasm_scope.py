"""Names and numbers of an OpenQASM program while it is read: registers, indices, angles that are linear in an input."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qgen.circuits.operation import Angle, Op

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "arcsin": math.asin,
    "arccos": math.acos,
    "arctan": math.atan,
    "exp": math.exp,
    "ln": math.log,
    "log": math.log,
    "sqrt": math.sqrt,
}

CONSTANTS = {"pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e}

INTEGERS = ("IntType", "UintType")
"""The types of whole numbers."""

Number = float | Angle
Rule = Callable[[Sequence[Number], tuple[int, ...]], list[Op]]


@dataclasses.dataclass
class Scope:
    """What names stand for while a program is read.

    Attributes:
        version: 2 or 3.
        qubits: the qubits of every register.
        bits: the classical bits of every register.
        numbers: constants, inputs, loop variables and arguments.
        gates: the number of angles and of wires of every gate, and what makes its operations.
        names: what is declared here and may not be declared again.
        n_inputs: how many inputs are declared.
    """

    version: int
    qubits: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    bits: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    numbers: dict[str, Any] = dataclasses.field(default_factory=lambda: dict(CONSTANTS))
    gates: dict[str, tuple[int, int, Rule]] = dataclasses.field(default_factory=dict)
    names: set[str] = dataclasses.field(default_factory=set)
    n_inputs: int = 0

    def declare(self, name: str, node: Any) -> None:
        """Takes a name, which must be new in this scope."""
        if name in self.names:
            raise error_at(node, f"`{name}` is declared twice")
        self.names.add(name)

    @property
    def n_qubits(self) -> int:
        """The qubits of all registers."""
        return sum(map(len, self.qubits.values()))

    @property
    def n_bits(self) -> int:
        """The bits of all registers."""
        return sum(map(len, self.bits.values()))


def wires_of(node: Any, scope: Scope) -> tuple[int, ...]:
    """The qubits that an operand names."""
    return places_of(node, scope.qubits, "qubits", scope)


def bits_of(node: Any, scope: Scope) -> tuple[int, ...]:
    """The bits that an expression names."""
    if type(node).__name__ == "IndexExpression":
        return _picked(node.collection, [node.index], scope.bits, "bits", scope)
    return places_of(node, scope.bits, "bits", scope)


def places_of(node: Any, known: Mapping[str, tuple[int, ...]], what: str, scope: Scope) -> tuple[int, ...]:
    """The qubits or bits of a register, or some of them."""
    if type(node).__name__ == "IndexedIdentifier":
        return _picked(node.name, node.indices, known, what, scope)
    return _picked(node, [], known, what, scope)


def _picked(
    name: Any, indices: Sequence[Any], known: Mapping[str, tuple[int, ...]], what: str, scope: Scope
) -> tuple[int, ...]:
    if getattr(name, "name", None) not in known:
        raise error_at(name, f"There are no {what} called `{getattr(name, 'name', name)}`")
    places = known[name.name]
    for index in indices:
        if type(index).__name__ == "DiscreteSet":
            chosen = [integer_of(element, scope) for element in index.values]
        elif len(index) > 1:
            raise error_at(name, f"`{name.name}` has one dimension, but {len(index)} indices are given")
        elif type(index[0]).__name__ == "RangeDefinition":
            chosen = list(range_of(index[0], scope, len(places)))
        else:
            chosen = [integer_of(index[0], scope)]
        if any(not -len(places) <= k < len(places) for k in chosen):
            raise error_at(name, f"`{name.name}` has {len(places)} {what}, but {chosen} is asked for")
        places = tuple(places[k] for k in chosen)
    return places


def range_of(node: Any, scope: Scope, length: int | None = None) -> range:
    """A range of OpenQASM, which includes its end."""
    step = 1 if node.step is None else integer_of(node.step, scope)
    if step == 0:
        raise error_at(node, "The step of a range must not be 0")
    if node.end is None and length is None:
        raise error_at(node, "A range needs an end")
    first, last = (0, (length or 0) - 1) if step > 0 else ((length or 0) - 1, 0)
    start = first if node.start is None else integer_of(node.start, scope)
    end = last if node.end is None else integer_of(node.end, scope)
    if length is not None:
        start, end = (k + length if k < 0 else k for k in (start, end))
    return range(start, end + (1 if step > 0 else -1), step)


def size_of(node: Any, scope: Scope) -> int:
    """The size of a register; without one it holds a single place."""
    size = 1 if node is None else integer_of(node, scope)
    if size < 1:
        raise error_at(node, f"A register holds at least 1 place, not {size}")
    return size


def integer_of(node: Any, scope: Scope) -> int:
    """The whole number that an expression stands for."""
    value = number_of(node, scope)
    if isinstance(value, Angle):
        raise error_at(node, "A whole number is needed here, and an input's value is not known")
    if int(value) != value:
        raise error_at(node, f"A whole number is needed here, not {value}")
    return int(value)


def value_of(node: Any, kind: Any, scope: Scope) -> Any:
    """The value of an expression as a number of a declared type."""
    return integer_of(node, scope) if type(kind).__name__ in INTEGERS else number_of(node, scope)


def angle_of(node: Any, scope: Scope) -> Number:
    """The angle that an expression stands for, in radians."""
    value = number_of(node, scope)
    return value if isinstance(value, Angle) else float(value)


def number_of(node: Any, scope: Scope) -> Any:
    """The value of an expression: a finite number, or an Angle that is linear in one input."""
    value = _value(node, scope)
    parts = (value.scale, value.offset) if isinstance(value, Angle) else (value,)
    if not all(isinstance(part, int | float) and math.isfinite(part) for part in parts):
        raise error_at(node, f"A number must be finite and real, not {value}")
    return value


def _value(node: Any, scope: Scope) -> Any:
    kind = type(node).__name__
    if kind in ("IntegerLiteral", "FloatLiteral", "BooleanLiteral"):
        return node.value
    if kind == "Identifier":
        if node.name not in scope.numbers:
            raise error_at(node, f"There is no number called `{node.name}`")
        return scope.numbers[node.name]
    if kind == "Cast":
        value = number_of(node.argument, scope)
        if type(node.type).__name__ not in INTEGERS:
            return value
        if isinstance(value, Angle):
            raise error_at(node, "An angle must be linear in its input, but its whole part is not")
        return math.trunc(value)
    if kind == "UnaryExpression" and node.op.name in ("-", "+"):
        value = number_of(node.expression, scope)
        return -value if node.op.name == "-" else value
    if kind == "FunctionCall" and node.name.name in FUNCTIONS and len(node.arguments) == 1:
        value = number_of(node.arguments[0], scope)
        if isinstance(value, Angle):
            raise error_at(node, f"An angle must be linear in its input, but `{node.name.name}` is not")
        return FUNCTIONS[node.name.name](value)
    if kind == "BinaryExpression":
        return _combine(node, number_of(node.lhs, scope), number_of(node.rhs, scope), scope)
    raise error_at(node, f"A circuit's numbers cannot come from {kind}")


def _combine(node: Any, left: Any, right: Any, scope: Scope) -> Any:
    """A sum, product, quotient or power."""
    op = node.op.name
    traced = [isinstance(side, Angle) for side in (left, right)]
    if traced == [True, True]:
        if op in "+-" and left.index == right.index:
            sign = 1 if op == "+" else -1
            return Angle(left.index, left.scale + sign * right.scale, left.offset + sign * right.offset)
    elif op == "+":
        return left + right if not traced[1] else right + left
    elif op == "-":
        return left + -right if not traced[1] else -right + left
    elif op == "*":
        return left * right
    elif op == "/" and not traced[1]:
        if right == 0:
            raise error_at(node, "A number is divided by 0")
        if isinstance(left, Angle):
            return Angle(left.index, left.scale / right, left.offset / right)
        if isinstance(left, int) and isinstance(right, int) and scope.version == 3 and left % right:
            raise error_at(node, f"OpenQASM 3 rounds the quotient of integers {left}/{right}: write {left}.0/{right}")
        return left / right
    elif traced == [False, False] and op in ("**", "%"):
        if op == "%":
            return left % right
        power = float(left) ** right  # whole numbers without end would take forever
        whole = isinstance(left, int) and isinstance(right, int) and right >= 0
        return int(power) if whole else power
    raise error_at(node, f"An angle must be linear in one input: `{op}` of these is not")


def error_at(node: Any, sentence: str) -> ValueError:
    """An error that names the line of a node."""
    span = getattr(node, "span", None)
    return ValueError(f"Line {span.start_line}: {sentence}." if span else f"{sentence}.")
