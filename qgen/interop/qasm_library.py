"""The gates of OpenQASM's standard libraries, `stdgates.inc` and `qelib1.inc`, as operations of ours."""

from collections.abc import Sequence

from qgen.circuits.gates import GATES
from qgen.circuits.operation import Op, controlled
from qgen.interop.qasm_scope import Number, Rule

PREFIX = "qgen_"
"""How our writer begins the names of gates that the standard libraries lack."""

INCLUDES = {"stdgates.inc": 3, "qelib1.inc": 2}

ALIASES = {"CX": "cx", "phase": "p", "cphase": "cp", "cu1": "cp"}

STANDARD = {
    3: "p x y z h s sdg t tdg sx rx ry rz cx cy cz cp crx cry crz ch swap ccx cswap cu CX phase cphase id u1 u2 u3",
    2: "u3 u2 u1 u p id u0 x y z h s sdg t tdg sx sxdg rx ry rz cx cy cz ch swap ccx cswap crx cry crz cu1 cp cu3 "
    "csx cu rxx rzz rccx rc3x c3x c4x c3sqrtx",
}
"""The gates of `stdgates.inc`, and of `qelib1.inc` as Qiskit has it."""

CONTROLLED = {"csx": ("sx", 1), "c3x": ("x", 3), "c4x": ("x", 4), "c3sqrtx": ("sx", 3), "cu3": ("u3", 1)}
"""Gates that are another one under controls."""

SEQUENCES = {
    "rccx": "h 2, t 2, cx 1 2, tdg 2, cx 0 2, t 2, cx 1 2, tdg 2, h 2",
    "rc3x": "h 3, t 3, cx 2 3, tdg 3, h 3, cx 0 3, t 3, cx 1 3, tdg 3, cx 0 3, t 3, cx 1 3, tdg 3, h 3, "
    "t 3, cx 2 3, tdg 3, h 3",
}
"""Toffoli gates up to relative phases, in gates of our table on their wires (arXiv:1508.03273, figures 3 and 4)."""


def standard(name: str, version: int) -> tuple[int, int, Rule]:
    """Angles, wires and rule of a gate of a standard library."""
    if name in CONTROLLED:
        base, count = CONTROLLED[name]
        angles, wires, rule = standard(base, 2)
        return angles, wires + count, lambda a, w: [controlled(op, w[:count]) for op in rule(a, w[count:])]
    if name in SEQUENCES:
        parts = [(row, [*map(int, places)]) for row, *places in map(str.split, SEQUENCES[name].split(","))]
        width = 1 + max(place for _, places in parts for place in places)
        return 0, width, lambda _, w: [Op(row, tuple(w[place] for place in places)) for row, places in parts]
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
    return row.angles, row.wires, row_rule(row.name)


def row_rule(name: str) -> Rule:
    """The rule of a gate that is a row of our table."""
    return lambda angles, wires: [Op(name, wires, tuple(angles))]


def native_u(angles: Sequence[Number], wires: tuple[int, ...]) -> list[Op]:
    """The built-in U of OpenQASM 3, which is exp(i theta/2) times ours."""
    return [Op("gphase", (), (angles[0] * 0.5,)), Op("u3", wires, tuple(angles))]
