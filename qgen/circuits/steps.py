"""Steps: the gates of a machine that an operation of a circuit stands for, and their layers.

Gates on one and two wires stand for themselves; wider ones for standard decompositions: Toffoli and CCZ with 6 CNOTs
and 7 T (Nielsen and Chuang, fig. 4.9), k controls with 2 (k - 1) Toffolis on k - 1 clean ancillas (fig. 4.10), Pauli
rotations with CNOT ladders, a uniformly controlled or diagonal k-qubit gate with 2^k - 2 CNOTs, a general one by the
quantum Shannon decomposition's bound (arXiv:quant-ph/0406176).
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from qgen.circuits.circuit import Conditional, Item, Measure, Repeat, Reset
from qgen.circuits.gate_rules import CONTROLLED, WORDS
from qgen.circuits.operation import Op, gate

_T_COUNT = {"t": 1, "tdg": 1}
_CONTROLLED = {
    "id": (0, 0),
    "x": (0, 0),
    "y": (0, 0),
    "z": (0, 0),
    "h": (2, 0),
    "s": (3, 0),
    "sdg": (3, 0),
    "sx": (3, 0),
    "sxdg": (3, 0),
    "t": (0, 3),
    "tdg": (0, 3),
    "p": (0, 3),
    "u1": (0, 3),
    "rx": (0, 2),
    "ry": (0, 2),
    "rz": (0, 2),
    "unitary": (0, 6),
}
"""T gates and rotations of a one-qubit gate under one control."""

_ROTATIONS = {
    "cp00": 3,
    "cp01": 3,
    "cp10": 3,
    "rxy": 2,
    "siswap": 2,
    "single_excitation": 2,
    "single_excitation_plus": 3,
    "single_excitation_minus": 3,
    "fermionic_swap": 4,
    "gphase": 0,
}
"""Rotations by arbitrary angles that a gate needs on a fault-tolerant machine; 1 for every other gate with an angle."""


class Step(NamedTuple):
    """One gate (or block of gates) on the machine.

    Attributes:
        wires: what it occupies.
        single: one-qubit gates in it.
        double: two-qubit gates in it.
        t_gates: T gates in it.
        rotations: rotations in it.
        depth: layers that it takes.
        depth_2q: those of them that hold a two-qubit gate.
        reads: measurements in it.
    """

    wires: tuple[int, ...]
    single: int = 0
    double: int = 0
    t_gates: int = 0
    rotations: int = 0
    depth: int = 1
    depth_2q: int = 0
    reads: int = 0


def schedule(steps: list[Step]) -> tuple[int, int]:
    """Layers by as-soon-as-possible scheduling, and how many of them hold a two-qubit gate."""
    busy: dict[int, int] = {}
    with_double: set[int] = set()
    depth = 0
    for step in steps:
        start = max((busy.get(w, 0) for w in step.wires), default=0)
        end = start + (step.depth if step.wires else 0)
        for wire in step.wires:
            busy[wire] = end
        with_double.update(range(end - step.depth_2q, end))
        depth = max(depth, end)
    return depth, len(with_double)


def expand(item: Item, ancilla: int) -> Iterator[Step]:
    """The machine's steps of one operation; `ancilla` is the first wire that is free for help."""
    if isinstance(item, Measure):
        yield Step((item.wire,), reads=1)
    elif isinstance(item, Reset):
        yield Step((item.wire,))
    elif isinstance(item, Conditional):
        yield from expand(item.op, ancilla)
    else:
        assert isinstance(item, Op) and not isinstance(item, Repeat)
        for part in item.parts():
            yield from _op(part, ancilla)


def _op(op: Op, ancilla: int) -> Iterator[Step]:
    zeros = [Step((c,), 1) for c, v in zip(op.controls, op.values, strict=True) if not v]
    yield from zeros
    yield from _positive(op, ancilla)
    yield from zeros


def _positive(op: Op, ancilla: int) -> Iterator[Step]:
    """An operation whose controls all want 1."""
    name, inner = CONTROLLED.get(op.name, (op.name, 0))
    controls, wires, word = (*op.controls, *op.wires[:inner]), op.wires[inner:], op.word
    if name in WORDS and controls:
        name, word = "pauli_rot", WORDS[name]
    if controls and (name == "gphase" or (name == "pauli_rot" and not word.strip("I"))):
        name, controls, wires, word = "p", controls[:-1], controls[-1:], ""
    if name == "swap" and controls:
        a, b = wires
        yield _cnot(b, a)
        yield from _positive(gate("x", b, controls=(*controls, a)), ancilla)
        yield _cnot(b, a)
    elif name in ("x", "z") and len(controls) == 1:
        yield _cnot(controls[0], wires[0])
    elif name in ("x", "z") and len(controls) == 2:
        yield from _toffoli(*controls, wires[0], with_h=name == "x")
    elif len(controls) >= 2:  # compute the AND of the controls, act under it, uncompute
        chain = []
        held = controls[0]
        for k, control in enumerate(controls[1:]):
            chain.append((held, control, ancilla + k))
            held = ancilla + k
        for a, b, c in chain:
            yield from _toffoli(a, b, c, with_h=True)
        alone = Op(name, wires, op.angles, (held,), (), word, op.data)
        yield from _positive(alone, ancilla + len(chain))
        for a, b, c in reversed(chain):
            yield from _toffoli(a, b, c, with_h=True)
    else:
        yield from _plain(Op(name, wires, op.angles, controls, (), word, op.data))


def _plain(op: Op) -> Iterator[Step]:
    """An operation with at most one control besides those that its name says."""
    wires = op.support
    if op.name == "pauli_rot":
        yield from _pauli(op)
    elif not wires:
        return
    elif (op.name == "diagonal" and len(wires) > 1) or (op.name == "unitary" and len(op.wires) > 1):
        yield _block(op)
    elif len(wires) <= 2:
        t_gates, turns = _CONTROLLED[op.name] if op.controls else _cost(op)
        double = len(wires) - 1
        yield Step(wires, 1 - double, double, t_gates, turns, 1, double)
    elif op.name.startswith("double_excitation") and not op.controls:
        # 14 CNOTs, 6 H and 8 RY (arXiv:2104.05695, fig. 5), one after the other.
        yield Step(wires, 14, 14, 0, 8 if op.name == "double_excitation" else 16, 28, 14)
    else:
        yield _block(op)


def _cost(op: Op) -> tuple[int, int]:
    """T gates and rotations of a gate on one or two wires."""
    given = {"unitary": 3, "diagonal": 1}.get(op.name, len(op.angles))
    return _T_COUNT.get(op.name, 0), _ROTATIONS.get(op.name, given)


def _cnot(a: int, b: int) -> Step:
    return Step((a, b), double=1, depth_2q=1)


def _toffoli(a: int, b: int, c: int, with_h: bool) -> Iterator[Step]:
    """Six CNOTs, seven T and (for Toffoli rather than CCZ) two H."""
    t = [Step((w,), 1, t_gates=1) for w in (a, b, c)]
    if with_h:
        yield Step((c,), 1)
    yield from (_cnot(b, c), t[2], _cnot(a, c), t[2], _cnot(b, c), t[2], _cnot(a, c), t[1], t[2])
    yield from (_cnot(a, b), t[0], t[1], _cnot(a, b))
    if with_h:
        yield Step((c,), 1)


def _pauli(op: Op) -> Iterator[Step]:
    """Basis changes, a ladder of CNOTs, a rotation, which alone a control needs to hold, and back."""
    wires = tuple(w for w, letter in zip(op.wires, op.word, strict=True) if letter != "I")
    turned = [Step((w,), 1) for w, letter in zip(op.wires, op.word, strict=True) if letter in "XY"]
    ladder = [_cnot(a, b) for a, b in itertools.pairwise(wires)]
    if not wires:
        return
    yield from turned
    yield from ladder
    yield from _plain(Op("rz", wires[-1:], op.angles, op.controls))
    yield from reversed(ladder)
    yield from turned


def _block(op: Op) -> Step:
    """A bound for a gate known only by its matrix, all gates one after the other."""
    k = len(op.support)
    is_diagonal = op.name == "diagonal"
    double = 2**k - 2 if is_diagonal else math.ceil(23 / 48 * 4**k - 1.5 * 2**k + 4 / 3)
    single = 2**k - 1 if is_diagonal else 4**k - 1
    return Step(op.support, single, double, 0, single, single + double, double)
