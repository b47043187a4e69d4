"""OpenQASM 2 and 3 programs as circuits, parsed by the reference parser of the OpenQASM project."""

import contextlib
import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from qgen.circuits.circuit import Circuit, Conditional, Item, Measure, Reset
from qgen.circuits.gates import GATES, PAULI
from qgen.circuits.operation import Angle, Op, controlled, matrix, pauli_rotation
from qgen.interop.qasm_library import INCLUDES, PREFIX, STANDARD, native_u, row_rule, standard
from qgen.interop.qasm_scope import (
    Number,
    Rule,
    Scope,
    angle_of,
    bits_of,
    error_at,
    integer_of,
    number_of,
    places_of,
    range_of,
    size_of,
    value_of,
    wires_of,
)

RECOGNITION_TOLERANCE = 1e-5
"""How far a gate definition may be from the gate of our table that bears its name, in single precision."""


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
    bare = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)  # without comments
    source = text.replace("^", "**") if re.match(r"\s*OPENQASM\s+2", bare) else text
    complaint = io.StringIO()  # where the parser says what it stumbled over
    try:
        with contextlib.redirect_stderr(complaint):
            program = parser.parse(source)
    except parser.QASM3ParsingError as error:
        said = complaint.getvalue().strip() or str(error) or _stumble(error.__cause__)
        raise ValueError(f"The OpenQASM program does not parse: {said}.") from error
    version = (program.version or "3").split(".")[0]
    if version not in ("2", "3"):
        raise ValueError(f"OpenQASM version must be 2 or 3, but is {program.version}.")
    scope = Scope(int(version))
    scope.gates["U"] = (3, 1, native_u if version == "3" else row_rule("u3"))
    if version == "2":
        scope.gates["CX"] = (0, 2, row_rule("cx"))
    scope.names.update(scope.gates)
    items = list(_run(program.statements, scope))
    if not scope.n_qubits:
        raise ValueError("The OpenQASM program declares no qubits.")
    return Circuit(scope.n_qubits, tuple(items))


def _stumble(cause: Any) -> str:
    """What the parser did not expect, where it says no word itself."""
    token = cause.args[0].offendingToken
    return f"line {token.line}:{token.column} `{token.text}` is not expected here"


def _run(statements: Iterable[Any], scope: Scope) -> Iterable[Item]:
    """The items of all statements in order."""
    for statement in statements:
        name = type(statement).__name__
        if name not in _STATEMENTS:
            raise error_at(statement, f"A circuit cannot express the statement {name}")
        try:
            yield from _STATEMENTS[name](statement, scope)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise error if str(error).startswith("Line ") else error_at(statement, str(error).rstrip(".")) from error


def _block(statements: Sequence[Any], scope: Scope, numbers: Mapping[str, Any]) -> Iterable[Item]:
    """The items of a block: its names, and the numbers given to it, end with it."""
    for statement in statements:
        if type(getattr(statement, "type", None)).__name__ == "BitType":
            raise error_at(statement, "Bits are declared outside of loops and branches")
    inner = dataclasses.replace(scope, numbers={**scope.numbers, **numbers}, names=set(numbers))
    yield from _run(statements, inner)


def _include(node: Any, scope: Scope) -> Iterable[Item]:
    if node.filename not in INCLUDES:
        raise error_at(node, f"Only {' and '.join(INCLUDES)} can be included, not {node.filename!r}")
    version = INCLUDES[node.filename]
    for name in STANDARD[version].split():
        if version == 3 or name in scope.names:  # the gates of `qelib1.inc`, which has grown, may be defined anew
            scope.declare(name, node)
        scope.gates[name] = standard(name, version)
    return ()


def _declare_qubits(node: Any, scope: Scope) -> Iterable[Item]:
    scope.declare(node.qubit.name, node)
    start, size = scope.n_qubits, size_of(node.size, scope)
    scope.qubits[node.qubit.name] = tuple(range(start, start + size))
    return ()


def _declare(node: Any, scope: Scope) -> Iterable[Item]:
    """Classical bits, or a number that keeps its first value."""
    name, start = node.identifier.name, node.init_expression
    scope.declare(name, node)
    if type(node.type).__name__ == "BitType":
        first, size = scope.n_bits, size_of(node.type.size, scope)
        scope.bits[name] = tuple(range(first, first + size))
        if start is not None:
            if type(start).__name__ != "QuantumMeasurement":
                raise error_at(node, "Bits begin at 0 and are written by measurements only")
            return _measure(start.qubit, node.identifier, node, scope)
        return ()
    if start is None:
        raise error_at(node, f"The number `{name}` needs a value: numbers of a circuit do not change")
    scope.numbers[name] = value_of(start, node.type, scope)
    return ()


def _input(node: Any, scope: Scope) -> Iterable[Item]:
    if node.io_identifier.name != "input":
        raise error_at(node, "A circuit has no outputs but its bits")
    if type(node.type).__name__ not in ("FloatType", "AngleType"):
        raise error_at(node, "Only `input float` and `input angle` become parameters")
    scope.declare(node.identifier.name, node)
    scope.numbers[node.identifier.name] = Angle(scope.n_inputs)
    scope.n_inputs += 1
    return ()


def _define(node: Any, scope: Scope) -> Iterable[Item]:
    """A gate: the row of our table that it equals, else its body wherever it is called."""
    formal = [argument.name for argument in node.arguments]
    places = [qubit.name for qubit in node.qubits]
    scope.declare(node.name.name, node)
    if len({*formal, *places}) < len(formal) + len(places):
        raise error_at(node, f"Gate `{node.name.name}` uses a name for two of its arguments")
    # Gates see only what was defined before them, and no variables but constants and their own.
    numbers = {name: value for name, value in scope.numbers.items() if isinstance(value, int | float)}
    outer = dict(scope.gates)

    def expand(angles: Sequence[Number], wires: tuple[int, ...]) -> list[Op]:
        inner = Scope(scope.version, numbers={**numbers, **dict(zip(formal, angles, strict=True))}, gates=outer)
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
        known = row_rule(name)
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


def _call(node: Any, scope: Scope) -> Iterable[Item]:
    """A gate on qubits or, one by one, on the qubits of registers."""
    name = node.name.name
    if name not in scope.gates:
        missing = "" if name not in STANDARD[scope.version].split() else "; include the standard library"
        raise error_at(node, f"Gate `{name}` is not defined{missing}")
    n_angles, n_wires, rule = scope.gates[name]
    angles = [angle_of(argument, scope) for argument in node.arguments]
    if len(angles) != n_angles:
        raise error_at(node, f"Gate `{name}` takes {n_angles} angles, but {len(angles)} are given")
    act = _modified(node.modifiers, n_wires, lambda wires: rule(angles, wires), scope)
    for wires in _rows([wires_of(qubit, scope) for qubit in node.qubits], node):
        yield from act(wires)


def _phase(node: Any, scope: Scope) -> Iterable[Item]:
    angle = angle_of(node.argument, scope)
    act = _modified(node.modifiers, 0, lambda _: [Op("gphase", (), (angle,))], scope)
    for wires in _rows([wires_of(qubit, scope) for qubit in node.qubits], node) if node.qubits else [()]:
        yield from act(wires)


def _modified(
    modifiers: Sequence[Any], n_wires: int, act: Callable[[tuple[int, ...]], list[Op]], scope: Scope
) -> Callable[[tuple[int, ...]], list[Op]]:
    """The action of a gate under modifiers; the last one is nearest to the gate."""
    total = n_wires
    for modifier in reversed(modifiers):
        kind = modifier.modifier.name
        if kind == "inv":
            act = _power(act, -1)
        elif kind == "pow":
            argument = number_of(modifier.argument, scope)
            if isinstance(argument, Angle) or int(argument) != argument:
                raise error_at(modifier, "The modifier `pow` takes an integer, for a circuit has no fractional powers")
            act = _power(act, int(argument))
        else:
            count = 1 if modifier.argument is None else integer_of(modifier.argument, scope)
            if count < 1:
                raise error_at(modifier, f"A gate has at least 1 control, not {count}")
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


def _measure_statement(node: Any, scope: Scope) -> Iterable[Item]:
    return _measure(node.measure.qubit, node.target, node, scope)


def _measure(qubit: Any, target: Any, node: Any, scope: Scope) -> Iterable[Item]:
    wires = wires_of(qubit, scope)
    if target is None:
        raise error_at(node, "A measurement must write its outcome to bits")
    bits = places_of(target, scope.bits, "bits", scope)
    if len(wires) != len(bits):
        raise error_at(node, f"A measurement of {len(wires)} qubits writes as many bits, not {len(bits)}")
    return [Measure(wire, bit) for wire, bit in zip(wires, bits, strict=True)]


def _reset(node: Any, scope: Scope) -> Iterable[Item]:
    return [Reset(wire) for wire in wires_of(node.qubits, scope)]


def _barrier(node: Any, scope: Scope) -> Iterable[Item]:
    return ()


def _branch(node: Any, scope: Scope) -> Iterable[Item]:
    """Gates under a condition; the other branch needs a condition on one bit, whose opposite is one again."""
    holds = _condition(node.condition, scope)
    branches = [(node.if_block, holds)]
    if node.else_block:
        if len(holds) != 1:
            raise error_at(node, "An `else` needs a condition on one bit")
        branches.append((node.else_block, {bit: 1 - value for bit, value in holds.items()}))
    for block, wanted in branches:
        for item in _block(block, scope, {}):
            if not isinstance(item, Op):
                raise error_at(node, "Only gates can depend on bits, not measurements, resets or further conditions")
            yield Conditional(item, tuple(wanted), tuple(wanted.values()))


def _condition(node: Any, scope: Scope) -> dict[int, int]:
    """The values that bits must have."""
    kind = type(node).__name__
    if kind == "BinaryExpression" and node.op.name == "&&":
        left, right = _condition(node.lhs, scope), _condition(node.rhs, scope)
        if any(left[bit] != right[bit] for bit in left.keys() & right.keys()):
            raise error_at(node, "The condition never holds")
        return {**left, **right}
    if kind == "UnaryExpression" and node.op.name in ("!", "~"):
        inner = _condition(node.expression, scope)
        if len(inner) == 1:
            return {bit: 1 - value for bit, value in inner.items()}
    if kind == "BinaryExpression" and node.op.name in ("==", "!="):
        bits = bits_of(node.lhs, scope)
        value = integer_of(node.rhs, scope)
        if not 0 <= value < 2 ** len(bits):
            raise error_at(node, f"{len(bits)} bits never hold {value}")
        if node.op.name == "==" or len(bits) == 1:
            # The first bit of a register is its least significant.
            flip = int(node.op.name == "!=")
            return {bit: (value >> place & 1) ^ flip for place, bit in enumerate(bits)}
    if kind in ("Identifier", "IndexExpression"):
        bits = bits_of(node, scope)
        if len(bits) == 1:
            return {bits[0]: 1}
    raise error_at(node, "A condition must compare bits with numbers, joined by &&")


def _loop(node: Any, scope: Scope) -> Iterable[Item]:
    """A loop over integers, written out."""
    values = node.set_declaration
    if type(values).__name__ == "RangeDefinition":
        turns = list(range_of(values, scope))
    elif type(values).__name__ == "DiscreteSet":
        turns = [value_of(value, node.type, scope) for value in values.values]
    else:
        raise error_at(node, "A loop runs over a range or a set of numbers")
    for turn in turns:
        yield from _block(node.block, scope, {node.identifier.name: turn})


_STATEMENTS: Mapping[str, Callable[[Any, Scope], Iterable[Item]]] = {
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
        raise error_at(node, f"Registers of different lengths {sorted(lengths)} do not advance together")
    length = lengths.pop() if lengths else 1
    return zip(
        *(group if len(group) == length else itertools.repeat(group[0], length) for group in groups), strict=False
    )
