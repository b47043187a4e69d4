"""OpenQASM 2 and 3 programs as circuits, parsed by the reference parser of the OpenQASM project."""

import contextlib
import dataclasses
import io
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from qgen.circuits.circuit import (
    Angle,
    Circuit,
    Conditional,
    Item,
    Measure,
    Op,
    Reset,
    controlled,
    matrix,
    pauli_rotation,
)
from qgen.circuits.gates import GATES, PAULI

PREFIX = "qgen_"
"""How our writer begins the names of gates that the standard libraries lack."""

RECOGNITION_TOLERANCE = 1e-5
"""How far a gate definition may be from the gate of our table that bears its name, in single precision."""

INCLUDES = {"stdgates.inc": 3, "qelib1.inc": 2}

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

ALIASES = {"CX": "cx", "phase": "p", "cphase": "cp", "cu1": "cp"}

STANDARD = {
    3: "p x y z h s sdg t tdg sx rx ry rz cx cy cz cp crx cry crz ch swap ccx cswap cu CX phase cphase id u1 u2 u3",
    2: "u3 u2 u1 u p id u0 x y z h s sdg t tdg sx sxdg rx ry rz cx cy cz ch swap ccx cswap crx cry crz cu1 cp cu3 "
    "csx cu rxx rzz c3x c4x c3sqrtx",
}
"""The gates of `stdgates.inc`, and of `qelib1.inc` as Qiskit has it."""

CONTROLLED = {"csx": ("sx", 1), "c3x": ("x", 3), "c4x": ("x", 4), "c3sqrtx": ("sx", 3), "cu3": ("u3", 1)}
"""Gates that are another one under controls."""

Number = float | Angle
Rule = Callable[[Sequence[Number], tuple[int, ...]], list[Op]]


@dataclasses.dataclass
class _Scope:
    """What names stand for while a program is read."""

    version: int
    qubits: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    bits: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    numbers: dict[str, Any] = dataclasses.field(default_factory=lambda: dict(CONSTANTS))
    gates: dict[str, tuple[int, int, Rule]] = dataclasses.field(default_factory=dict)
    n_inputs: int = 0

    @property
    def n_qubits(self) -> int:
        return sum(map(len, self.qubits.values()))

    @property
    def n_bits(self) -> int:
        return sum(map(len, self.bits.values()))


def from_qasm(text: str) -> Circuit:
    """An OpenQASM 2 or 3 program as a circuit.

    Gate definitions, registers, modifiers (`ctrl`, `negctrl`, `inv`, `pow`), loops over integers, measurements, resets
    and conditions on bits are understood; barriers are left out. An `input` number becomes an entry of the parameter
    vector, in order of declaration, and may enter angles linearly. Definitions that equal the gate of our table that
    bears their name become that gate, all others their bodies.

    Args:
        text: the program; without a version line it is version 3.

    Returns:
        The circuit.

    Raises:
        ValueError: if the program is not valid or uses what a circuit cannot express; the message names the line.
        ImportError: if the parser is not installed.

    Example:
        >>> circuit = from_qasm('include "stdgates.inc"; input float a; qubit[2] q; ctrl @ ry(2*a) q[1], q[0];')
        >>> circuit.ops[0].angles
        (Angle(index=0, scale=2.0, offset=0.0),)
    """
    try:
        from openqasm3 import parser
    except ImportError as error:
        raise ImportError("Reading OpenQASM needs its parser: pip install 'qgen[qasm]'.") from error
    # The parser is that of version 3, where `^` is not a power and binds less than a sum.
    source = text.replace("^", "**") if re.search(r"^\s*OPENQASM\s+2", text, re.MULTILINE) else text
    complaint = io.StringIO()  # where the parser says what it stumbled over
    try:
        with contextlib.redirect_stderr(complaint):
            program = parser.parse(source)
    except parser.QASM3ParsingError as error:
        said = complaint.getvalue().strip() or str(error)
        raise ValueError(f"The OpenQASM program does not parse: {said}.") from error
    version = (program.version or "3").split(".")[0]
    if version not in ("2", "3"):
        raise ValueError(f"OpenQASM version must be 2 or 3, but is {program.version}.")
    scope = _Scope(int(version))
    scope.gates["U"] = (3, 1, _native_u if version == "3" else _row("u3"))
    if version == "2":
        scope.gates["CX"] = (0, 2, _row("cx"))
    items = list(_run(program.statements, scope))
    if not scope.n_qubits:
        raise ValueError("The OpenQASM program declares no qubits.")
    return Circuit(scope.n_qubits, tuple(items))


def _run(statements: Iterable[Any], scope: _Scope) -> Iterable[Item]:
    """The items of all statements in order."""
    for statement in statements:
        name = type(statement).__name__
        if name not in _STATEMENTS:
            raise _error(statement, f"A circuit cannot express the statement {name}")
        try:
            yield from _STATEMENTS[name](statement, scope)
        except ValueError as error:
            raise error if str(error).startswith("Line ") else _error(statement, str(error).rstrip(".")) from error


def _include(node: Any, scope: _Scope) -> Iterable[Item]:
    if node.filename not in INCLUDES:
        raise _error(node, f"Only {' and '.join(INCLUDES)} can be included, not {node.filename!r}")
    version = INCLUDES[node.filename]
    for name in STANDARD[version].split():
        scope.gates[name] = _standard(name, version)
    return ()


def _standard(name: str, version: int) -> tuple[int, int, Rule]:
    """Angles, wires and rule of a gate of a standard library."""
    if name in CONTROLLED:
        base, count = CONTROLLED[name]
        angles, wires, rule = _standard(base, 2)
        return angles, wires + count, lambda a, w: [controlled(op, w[:count]) for op in rule(a, w[count:])]
    if name == "u0":
        return 1, 1, lambda _, wires: [Op("id", wires)]
    row = GATES["u3" if name == "u" else ALIASES.get(name, name)]
    if version == 3 and name in ("u2", "u3"):
        # `stdgates.inc` gives these determinant 1, which our rows (and Qiskit's) do not: it shows under controls.
        def special(angles: Sequence[Number], wires: tuple[int, ...]) -> list[Op]:
            turns = [Op("gphase", (), (angle * -0.5,)) for angle in angles[-2:]]
            return [*turns, Op(name, wires, tuple(angles))]

        return row.angles, 1, special
    assert row.wires is not None
    return row.angles, row.wires, _row(row.name)


def _row(name: str) -> Rule:
    return lambda angles, wires: [Op(name, wires, tuple(angles))]


def _native_u(angles: Sequence[Number], wires: tuple[int, ...]) -> list[Op]:
    """The built-in U of OpenQASM 3, which is exp(i theta/2) times ours."""
    return [Op("gphase", (), (angles[0] * 0.5,)), Op("u3", wires, tuple(angles))]


def _declare_qubits(node: Any, scope: _Scope) -> Iterable[Item]:
    start, size = scope.n_qubits, _size(node.size, scope)
    scope.qubits[node.qubit.name] = tuple(range(start, start + size))
    return ()


def _declare(node: Any, scope: _Scope) -> Iterable[Item]:
    """Classical bits, or a number that keeps its first value."""
    name, start = node.identifier.name, node.init_expression
    if type(node.type).__name__ == "BitType":
        first, size = scope.n_bits, _size(node.type.size, scope)
        scope.bits[name] = tuple(range(first, first + size))
        if start is not None:
            if type(start).__name__ != "QuantumMeasurement":
                raise _error(node, "Bits begin at 0 and are written by measurements only")
            return _measure(start.qubit, node.identifier, node, scope)
        return ()
    if start is None:
        raise _error(node, f"The number `{name}` needs a value: numbers of a circuit do not change")
    scope.numbers[name] = _number(start, scope)
    return ()


def _input(node: Any, scope: _Scope) -> Iterable[Item]:
    if node.io_identifier.name != "input":
        raise _error(node, "A circuit has no outputs but its bits")
    if type(node.type).__name__ not in ("FloatType", "AngleType"):
        raise _error(node, "Only `input float` and `input angle` become parameters")
    scope.numbers[node.identifier.name] = Angle(scope.n_inputs)
    scope.n_inputs += 1
    return ()


def _define(node: Any, scope: _Scope) -> Iterable[Item]:
    """A gate: the row of our table that it equals, else its body wherever it is called."""
    formal = [argument.name for argument in node.arguments]
    places = [qubit.name for qubit in node.qubits]
    # Gates see only what was defined before them, and no variables but constants and their own.
    numbers = {name: value for name, value in scope.numbers.items() if isinstance(value, int | float)}
    outer = dict(scope.gates)

    def expand(angles: Sequence[Number], wires: tuple[int, ...]) -> list[Op]:
        inner = _Scope(scope.version, numbers={**numbers, **dict(zip(formal, angles, strict=True))}, gates=outer)
        inner.qubits = {name: (wire,) for name, wire in zip(places, wires, strict=True)}
        ops = list(_run(node.body, inner))
        assert all(isinstance(op, Op) for op in ops)
        return [op for op in ops if isinstance(op, Op)]

    rule = _recognise(node.name.name.removeprefix(PREFIX), len(formal), len(places), expand, scope.version) or expand
    scope.gates[node.name.name] = (len(formal), len(places), rule)
    return ()


def _recognise(name: str, n_angles: int, n_wires: int, expand: Rule, version: int) -> Rule | None:
    """The rule of our own gate of this name if the definition has its matrix, else None."""
    word = name.removeprefix("pauli_rot_")
    if word != name and not set(word) - set(PAULI) and n_angles == 1 and len(word) == n_wires:
        known: Rule = lambda angles, wires: [pauli_rotation(word, wires, angles[0])]  # noqa: E731
    elif name in GATES and (GATES[name].wires, GATES[name].angles) == (n_wires, n_angles):
        known = _row(name)
    else:
        return None
    wires = tuple(range(n_wires))
    angles = [0.37 + 0.29 * k for k in range(n_angles)]
    given, ours = _dense(expand(angles, wires), n_wires), _dense(known(angles, wires), n_wires)
    if version == 2:  # which has neither global phases nor control modifiers that would show one
        overlap = np.vdot(given, ours)
        given = given * overlap / max(abs(overlap), RECOGNITION_TOLERANCE)
    return known if np.max(abs(given - ours)) < RECOGNITION_TOLERANCE else None


def _dense(ops: Sequence[Op], n_wires: int) -> np.ndarray:
    """The matrix of operations without parameters, complex [2**n, 2**n]."""
    state = np.eye(2**n_wires, dtype=complex).reshape((2,) * n_wires + (-1,))
    for op in ops:
        k = len(op.support)
        gate = np.asarray(matrix(op)).reshape((2,) * (2 * k))
        state = np.moveaxis(np.tensordot(gate, state, (range(k, 2 * k), op.support)), range(k), op.support)
    return state.reshape(2**n_wires, -1)


def _call(node: Any, scope: _Scope) -> Iterable[Item]:
    """A gate on qubits or, one by one, on the qubits of registers."""
    name = node.name.name
    if name not in scope.gates:
        missing = "" if name not in STANDARD[scope.version].split() else "; include the standard library"
        raise _error(node, f"Gate `{name}` is not defined{missing}")
    n_angles, n_wires, rule = scope.gates[name]
    angles = [_angle(argument, scope) for argument in node.arguments]
    if len(angles) != n_angles:
        raise _error(node, f"Gate `{name}` takes {n_angles} angles, but {len(angles)} are given")
    act = _modified(node.modifiers, n_wires, lambda wires: rule(angles, wires), scope)
    for wires in _rows([_wires(qubit, scope) for qubit in node.qubits], node):
        yield from act(wires)


def _phase(node: Any, scope: _Scope) -> Iterable[Item]:
    angle = _angle(node.argument, scope)
    act = _modified(node.modifiers, 0, lambda _: [Op("gphase", (), (angle,))], scope)
    for wires in _rows([_wires(qubit, scope) for qubit in node.qubits], node) if node.qubits else [()]:
        yield from act(wires)


def _modified(
    modifiers: Sequence[Any], n_wires: int, act: Callable[[tuple[int, ...]], list[Op]], scope: _Scope
) -> Callable[[tuple[int, ...]], list[Op]]:
    """The action of a gate under modifiers; the last one is nearest to the gate."""
    total = n_wires
    for modifier in reversed(modifiers):
        kind = modifier.modifier.name
        argument = None if modifier.argument is None else _number(modifier.argument, scope)
        if kind == "inv":
            act = _power(act, -1)
        elif kind == "pow":
            if argument is None or isinstance(argument, Angle) or int(argument) != argument:
                raise _error(modifier, "The modifier `pow` takes an integer, for a circuit has no fractional powers")
            act = _power(act, int(argument))
        else:
            count = 1 if argument is None else int(argument)
            act = _under(act, count, int(kind == "ctrl"))
            total += count

    def checked(wires: tuple[int, ...]) -> list[Op]:
        if len(wires) != total:
            raise ValueError(f"The gate acts on {total} qubits, but {len(wires)} are given.")
        return act(wires)

    return checked


def _power(act: Callable[[tuple[int, ...]], list[Op]], power: int) -> Callable[[tuple[int, ...]], list[Op]]:
    def powered(wires: tuple[int, ...]) -> list[Op]:
        ops = act(wires)
        if power < 0:
            ops = [part.inverse() for op in reversed(ops) for part in reversed(op.parts())]
        return ops * abs(power)

    return powered


def _under(act: Callable[[tuple[int, ...]], list[Op]], count: int, value: int) -> Callable[[tuple[int, ...]], list[Op]]:
    return lambda wires: [controlled(op, wires[:count], (value,) * count) for op in act(wires[count:])]


def _measure_statement(node: Any, scope: _Scope) -> Iterable[Item]:
    return _measure(node.measure.qubit, node.target, node, scope)


def _measure(qubit: Any, target: Any, node: Any, scope: _Scope) -> Iterable[Item]:
    wires = _wires(qubit, scope)
    if target is None:
        raise _error(node, "A measurement must write its outcome to bits")
    bits = _places(target, scope.bits, "bits", scope)
    if len(wires) != len(bits):
        raise _error(node, f"A measurement of {len(wires)} qubits writes as many bits, not {len(bits)}")
    return [Measure(wire, bit) for wire, bit in zip(wires, bits, strict=True)]


def _reset(node: Any, scope: _Scope) -> Iterable[Item]:
    return [Reset(wire) for wire in _wires(node.qubits, scope)]


def _barrier(node: Any, scope: _Scope) -> Iterable[Item]:
    return ()


def _branch(node: Any, scope: _Scope) -> Iterable[Item]:
    """Gates under a condition; the other branch needs a condition on one bit, whose opposite is one again."""
    holds = _condition(node.condition, scope)
    branches = [(node.if_block, holds)]
    if node.else_block:
        if len(holds) != 1:
            raise _error(node, "An `else` needs a condition on one bit")
        branches.append((node.else_block, {bit: 1 - value for bit, value in holds.items()}))
    for block, wanted in branches:
        for item in _run(block, scope):
            if not isinstance(item, Op):
                raise _error(node, "Only gates can depend on bits, not measurements, resets or further conditions")
            yield Conditional(item, tuple(wanted), tuple(wanted.values()))


def _condition(node: Any, scope: _Scope) -> dict[int, int]:
    """The values that bits must have."""
    kind = type(node).__name__
    if kind == "BinaryExpression" and node.op.name == "&&":
        left, right = _condition(node.lhs, scope), _condition(node.rhs, scope)
        if any(left[bit] != right[bit] for bit in left.keys() & right.keys()):
            raise _error(node, "The condition never holds")
        return {**left, **right}
    if kind == "UnaryExpression" and node.op.name in ("!", "~"):
        inner = _condition(node.expression, scope)
        if len(inner) == 1:
            return {bit: 1 - value for bit, value in inner.items()}
    if kind == "BinaryExpression" and node.op.name in ("==", "!="):
        bits = _bits(node.lhs, scope)
        value = int(_number(node.rhs, scope))
        if not 0 <= value < 2 ** len(bits):
            raise _error(node, f"{len(bits)} bits never hold {value}")
        if node.op.name == "==" or len(bits) == 1:
            # The first bit of a register is its least significant.
            flip = int(node.op.name == "!=")
            return {bit: (value >> place & 1) ^ flip for place, bit in enumerate(bits)}
    if kind in ("Identifier", "IndexExpression"):
        bits = _bits(node, scope)
        if len(bits) == 1:
            return {bits[0]: 1}
    raise _error(node, "A condition must compare bits with numbers, joined by &&")


def _loop(node: Any, scope: _Scope) -> Iterable[Item]:
    """A loop over integers, written out."""
    values = node.set_declaration
    if type(values).__name__ == "RangeDefinition":
        turns = list(_range(values, scope))
    elif type(values).__name__ == "DiscreteSet":
        turns = [_number(value, scope) for value in values.values]
    else:
        raise _error(node, "A loop runs over a range or a set of numbers")
    outer = dict(scope.numbers)
    for turn in turns:
        scope.numbers[node.identifier.name] = turn
        yield from _run(node.block, scope)
    scope.numbers = outer


_STATEMENTS: Mapping[str, Callable[[Any, _Scope], Iterable[Item]]] = {
    "Include": _include,
    "QubitDeclaration": _declare_qubits,
    "ClassicalDeclaration": _declare,
    "ConstantDeclaration": _declare,
    "IODeclaration": _input,
    "QuantumGateDefinition": _define,
    "QuantumGate": _call,
    "QuantumPhase": _phase,
    "QuantumMeasurementStatement": _measure_statement,
    "QuantumReset": _reset,
    "QuantumBarrier": _barrier,
    "BranchingStatement": _branch,
    "ForInLoop": _loop,
}


def _rows(groups: list[tuple[int, ...]], node: Any) -> Iterable[tuple[int, ...]]:
    """One tuple of qubits per application: registers advance together, single qubits stay."""
    lengths = {len(group) for group in groups} - {1}
    if len(lengths) > 1:
        raise _error(node, f"Registers of different lengths {sorted(lengths)} do not advance together")
    length = lengths.pop() if lengths else 1
    return zip(
        *(group if len(group) == length else itertools.repeat(group[0], length) for group in groups), strict=False
    )


def _wires(node: Any, scope: _Scope) -> tuple[int, ...]:
    return _places(node, scope.qubits, "qubits", scope)


def _bits(node: Any, scope: _Scope) -> tuple[int, ...]:
    if type(node).__name__ == "IndexExpression":
        return _picked(node.collection, [node.index], scope.bits, "bits", scope)
    return _places(node, scope.bits, "bits", scope)


def _places(node: Any, known: Mapping[str, tuple[int, ...]], what: str, scope: _Scope) -> tuple[int, ...]:
    """The qubits or bits of a register, or some of them."""
    if type(node).__name__ == "IndexedIdentifier":
        return _picked(node.name, node.indices, known, what, scope)
    return _picked(node, [], known, what, scope)


def _picked(
    name: Any, indices: Sequence[Any], known: Mapping[str, tuple[int, ...]], what: str, scope: _Scope
) -> tuple[int, ...]:
    if getattr(name, "name", None) not in known:
        raise _error(name, f"There are no {what} called `{getattr(name, 'name', name)}`")
    places = known[name.name]
    for index in indices:
        (element,) = index if isinstance(index, list) else index.values if hasattr(index, "values") else [index]
        if type(element).__name__ == "RangeDefinition":
            chosen = list(_range(element, scope, len(places)))
        else:
            chosen = [int(_number(element, scope))]
        if any(not -len(places) <= k < len(places) for k in chosen):
            raise _error(name, f"`{name.name}` has {len(places)} {what}, but {chosen} is asked for")
        places = tuple(places[k] for k in chosen)
    return places


def _range(node: Any, scope: _Scope, length: int | None = None) -> range:
    """A range of OpenQASM, which includes its end."""
    step = 1 if node.step is None else int(_number(node.step, scope))
    if node.end is None and length is None:
        raise _error(node, "A range needs an end")
    start = 0 if node.start is None else int(_number(node.start, scope))
    end = (length or 0) - 1 if node.end is None else int(_number(node.end, scope))
    if length is not None:
        start, end = (k + length if k < 0 else k for k in (start, end))
    return range(start, end + (1 if step > 0 else -1), step)


def _size(node: Any, scope: _Scope) -> int:
    return 1 if node is None else int(_number(node, scope))


def _angle(node: Any, scope: _Scope) -> Number:
    value = _number(node, scope)
    return value if isinstance(value, Angle) else float(value)


def _number(node: Any, scope: _Scope) -> Any:
    """The value of an expression: a number, or an Angle that is linear in one input."""
    kind = type(node).__name__
    if kind in ("IntegerLiteral", "FloatLiteral", "BooleanLiteral"):
        return node.value
    if kind == "Identifier":
        if node.name not in scope.numbers:
            raise _error(node, f"There is no number called `{node.name}`")
        return scope.numbers[node.name]
    if kind == "Cast":
        return _number(node.argument, scope)
    if kind == "UnaryExpression" and node.op.name in ("-", "+"):
        value = _number(node.expression, scope)
        return -value if node.op.name == "-" else value
    if kind == "FunctionCall" and node.name.name in FUNCTIONS and len(node.arguments) == 1:
        value = _number(node.arguments[0], scope)
        if isinstance(value, Angle):
            raise _error(node, f"An angle must be linear in its input, but `{node.name.name}` is not")
        return FUNCTIONS[node.name.name](value)
    if kind == "BinaryExpression":
        return _combine(node, _number(node.lhs, scope), _number(node.rhs, scope), scope)
    raise _error(node, f"A circuit's numbers cannot come from {kind}")


def _combine(node: Any, left: Any, right: Any, scope: _Scope) -> Any:
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
            raise _error(node, "A number is divided by 0")
        if isinstance(left, Angle):
            return Angle(left.index, left.scale / right, left.offset / right)
        if isinstance(left, int) and isinstance(right, int) and scope.version == 3 and left % right:
            raise _error(node, f"OpenQASM 3 rounds the quotient of integers {left}/{right}: write {left}.0/{right}")
        return left / right
    elif traced == [False, False] and op in ("**", "%"):
        return left**right if op == "**" else left % right
    raise _error(node, f"An angle must be linear in one input: `{op}` of these is not")


def _error(node: Any, sentence: str) -> ValueError:
    span = getattr(node, "span", None)
    return ValueError(f"Line {span.start_line}: {sentence}." if span else f"{sentence}.")
