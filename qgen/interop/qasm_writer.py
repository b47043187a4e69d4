"""Circuits as OpenQASM 2 and 3 programs; reading them back gives the same circuit."""

import cmath
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qgen import check
from qgen.circuits.circuit import Circuit, Conditional, Item, Measure, Reset
from qgen.circuits.gates import GATES
from qgen.circuits.observables import from_matrix
from qgen.circuits.operation import Angle, Op, pauli_rotation, value
from qgen.interop.qasm_library import PREFIX, STANDARD

HEADERS = {2: ["OPENQASM 2.0;", 'include "qelib1.inc";'], 3: ["OPENQASM 3.0;", 'include "stdgates.inc";']}

SPECIAL_IN_3 = ("u2", "u3")
"""Gates whose namesakes in `stdgates.inc` have another phase."""

UNDER_CONTROL = {
    ("x", 1): "cx",
    ("x", 2): "ccx",
    ("x", 3): "c3x",
    ("x", 4): "c4x",
    ("cx", 1): "ccx",
    ("y", 1): "cy",
    ("z", 1): "cz",
    ("h", 1): "ch",
    ("sx", 1): "csx",
    ("swap", 1): "cswap",
    ("rx", 1): "crx",
    ("ry", 1): "cry",
    ("rz", 1): "crz",
    ("p", 1): "cp",
    ("u1", 1): "cp",
    ("u3", 1): "cu3",
}
"""What OpenQASM 2, which has no control modifiers, calls a gate under controls."""

BODIES: dict[str, tuple[Op, ...]] = {
    "sxdg": (Op("h", (0,)), Op("sdg", (0,)), Op("h", (0,))),
    "iswap": (pauli_rotation("XX", (0, 1), -math.pi / 2), pauli_rotation("YY", (0, 1), -math.pi / 2)),
    "siswap": (pauli_rotation("XX", (0, 1), -math.pi / 4), pauli_rotation("YY", (0, 1), -math.pi / 4)),
    "ecr": (pauli_rotation("ZX", (0, 1), math.pi / 2), Op("x", (0,))),
    "ccz": (Op("h", (2,)), Op("ccx", (0, 1, 2)), Op("h", (2,))),
}
"""Gates without angles that a standard library lacks, in gates that it has and Pauli rotations."""

NEGLIGIBLE = 1e-14
"""Radians below which a term of a diagonal gate is rounding."""


@dataclasses.dataclass
class _Page:
    """The program as it grows: definitions first, by name."""

    version: int
    params: Any
    definitions: dict[str, str] = dataclasses.field(default_factory=dict)

    def angle(self, angle: Angle | float, names: Sequence[str] = ()) -> str:
        """An angle: a number at full precision, or linear in an input or in an argument of a definition."""
        if isinstance(angle, Angle) and not names:
            if self.params is not None:
                return _number(value(angle, self.params))
            names = [f"theta_{k}" for k in range(angle.index + 1)]
        if not isinstance(angle, Angle):
            return _number(angle)
        scaled = names[angle.index] if angle.scale == 1 else f"{_number(angle.scale)}*{names[angle.index]}"
        return scaled if angle.offset == 0 else f"{scaled} + {_number(angle.offset)}"


def _number(number: Any) -> str:
    """A number at full precision."""
    if not math.isfinite(number):
        raise ValueError(f"OpenQASM has no word for {number}: a circuit's angles must be finite.")
    return repr(float(number))


def to_qasm(circuit: Circuit, params: Any = None, version: int = 3) -> str:
    """A circuit as an OpenQASM program.

    Gates that the standard library lacks are defined in the program. Repetitions are written out, diagonal gates become
    rotations and matrices of one qubit become `u3`. OpenQASM 2 has no global phase, so that it is left out there.

    Args:
        circuit: any circuit, with measurements or without.
        params: its parameters in radians, [n_params]; where left out, version 3 declares them as `input float`.
        version: 2 or 3.

    Returns:
        The program; its angles have the digits that give the same double-precision numbers back.

    Raises:
        ValueError: if the version is not 2 or 3, the parameters do not fit or are missing in version 2, an angle is
            not finite, a matrix has more than one qubit, or version 2 has no word for a gate under controls or a
            condition.

    Example:
        >>> from qgen.circuits import Circuit, gate
        >>> print(to_qasm(Circuit(1, (gate("rx", 0, 0.1),))))
        OPENQASM 3.0;
        include "stdgates.inc";
        qubit[1] q;
        rx(0.1) q[0];
    """
    check.one_of("version", version, HEADERS)
    if params is None and circuit.n_params and version == 2:
        raise ValueError("OpenQASM 2 has no inputs: give the circuit's `params`, or write version 3.")
    if params is not None and len(params) != circuit.n_params:
        raise ValueError(f"Argument `params` must hold {circuit.n_params} numbers, but holds {len(params)}.")
    page = _Page(version, params)
    body = [line for item in circuit.walk() for line in _lines(item, page)]
    inputs = [] if params is not None else [f"input float[64] theta_{k};" for k in range(circuit.n_params)]
    if version == 3:
        registers = [f"qubit[{circuit.n_qubits}] q;"]
        registers += [f"bit[{circuit.n_bits}] c;"] * (circuit.n_bits > 0)
    else:
        # A condition of version 2 compares a whole register: one register per bit lets it compare one bit.
        registers = [f"qreg q[{circuit.n_qubits}];", *(f"creg c{k}[1];" for k in range(circuit.n_bits))]
    return "\n".join([*HEADERS[version], *page.definitions.values(), *inputs, *registers, *body])


def _lines(item: Item, page: _Page) -> list[str]:
    """The statements of one item."""
    if isinstance(item, Measure):
        if page.version == 2:
            return [f"measure q[{item.wire}] -> c{item.bit}[0];"]
        return [f"c[{item.bit}] = measure q[{item.wire}];"]
    if isinstance(item, Reset):
        return [f"reset q[{item.wire}];"]
    if isinstance(item, Conditional):
        return _conditional(item, page)
    assert isinstance(item, Op)
    return [line for op in _plain(item) for line in _gate(op, page, lambda wire: f"q[{wire}]")]


def _conditional(item: Conditional, page: _Page) -> list[str]:
    lines = _lines(item.op, page)
    if page.version == 3:
        condition = " && ".join(f"c[{bit}] == {value}" for bit, value in zip(item.bits, item.values, strict=True))
        return [f"if ({condition}) {{ {line} }}" for line in lines]
    if len(item.bits) != 1:
        raise ValueError("OpenQASM 2 has no condition on several bits of ours: write version 3.")
    return [f"if(c{item.bits[0]}=={item.values[0]}) {line}" for line in lines if not line.startswith("//")]


def _plain(op: Op) -> list[Op]:
    """The operation without matrices, under the same controls."""
    if op.name == "unitary":
        if len(op.wires) > 1:
            raise ValueError(
                f"A matrix on {len(op.wires)} qubits has no exact form in OpenQASM: decompose it into gates first."
            )
        inner = _one_qubit(op)
    elif op.name == "diagonal":
        inner = _rotations(op)
    else:
        return [op]
    return [dataclasses.replace(part, controls=op.controls, values=op.values) for part in inner]


def _one_qubit(op: Op) -> list[Op]:
    """exp(i alpha) u3(theta, phi, lambda) = u."""
    (a, b), (c, d) = op.array().tolist()
    theta = 2 * math.atan2(abs(c), abs(a))
    if abs(a) > abs(c):
        alpha = cmath.phase(a)
        total = cmath.phase(d) - alpha  # phi + lambda
        phi = cmath.phase(c) - alpha if abs(c) > 0 else 0.0
        return [Op("gphase", (), (alpha,)), Op("u3", op.wires, (theta, phi, total - phi))]
    alpha = cmath.phase(a) if abs(a) > 0 else 0.0
    phi, lam = cmath.phase(c) - alpha, cmath.phase(-b) - alpha
    return [Op("gphase", (), (alpha,)), Op("u3", op.wires, (theta, phi, lam))]


def _rotations(op: Op) -> list[Op]:
    """A diagonal gate as rotations about words of Z: a Walsh-Hadamard transform of its phases."""
    phases = np.angle(op.array())
    for bit in range(len(op.wires)):
        pairs = phases.reshape(2**bit, 2, -1)
        phases = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], 1) / 2
    parts = []
    for index, phase in enumerate(phases.reshape(-1).tolist()):
        wires = tuple(w for k, w in enumerate(op.wires) if index >> (len(op.wires) - 1 - k) & 1)
        if abs(phase) > NEGLIGIBLE:
            parts.append(pauli_rotation("Z" * len(wires), wires, -2 * phase) if wires else Op("gphase", (), (phase,)))
    return parts


def _gate(op: Op, page: _Page, place: Callable[[int], str], names: Sequence[str] = ()) -> list[str]:
    """The statements of one gate; `names` are the arguments of the definition that it stands in."""
    if page.version == 2 and op.controls:
        return _controlled_in_2(op, page, place)
    angles = ", ".join(page.angle(angle, names) for angle in op.angles)
    if op.name == "gphase":
        name = "gphase"
        if page.version == 2:
            return [f"// global phase {angles}"]
    else:
        name = _name(op, page)
    modifiers = "".join("ctrl @ " if value else "negctrl @ " for value in op.values)
    call = f"{modifiers}{name}" + (f"({angles})" if op.angles else "")
    return [(call + " " + ", ".join(place(wire) for wire in op.support)).rstrip() + ";"]


def _controlled_in_2(op: Op, page: _Page, place: Callable[[int], str]) -> list[str]:
    """A gate under controls by the name that `qelib1.inc` has for it; controls on 0 stand between two X."""
    if op.name == "gphase":
        last = op.controls[-1]
        bare = Op("p", (last,), op.angles, op.controls[:-1], (1,) * (len(op.controls) - 1))
    else:
        bare = dataclasses.replace(op, values=(1,) * len(op.controls))
    name = UNDER_CONTROL.get((bare.name, len(bare.controls))) if bare.controls else bare.name
    if name is None:
        raise ValueError(f"OpenQASM 2 has no gate `{op.name}` under {len(op.controls)} controls: write version 3.")
    angles = ", ".join(page.angle(angle) for angle in bare.angles)
    flips = [f"x {place(c)};" for c, value in zip(op.controls, op.values, strict=True) if not value]
    call = name + (f"({angles})" if bare.angles else "")
    return [*flips, f"{call} {', '.join(place(wire) for wire in bare.support)};", *flips]


def _name(op: Op, page: _Page) -> str:
    """The name of an uncontrolled gate, which is defined first where the standard library lacks it."""
    row = GATES[op.name]
    special = page.version == 3 and op.name in SPECIAL_IN_3
    if row.qasm in STANDARD[page.version].split() and not special:
        return row.qasm
    name = f"{PREFIX}pauli_rot_{op.word}" if op.name == "pauli_rot" else row.qasm or PREFIX + op.name
    name = PREFIX + op.name if special else name
    if name not in page.definitions:
        names = [f"a{k}" for k in range(row.angles)]
        lines = [line for part in _body(op) for line in _gate(part, page, lambda wire: f"q{wire}", names)]
        head = name + (f"({', '.join(names)})" if names else "")
        qubits = ", ".join(f"q{k}" for k in range(len(op.wires)))
        inner = " ".join(line for line in lines if not line.startswith("//"))
        page.definitions[name] = f"gate {head} {qubits} {{ {inner} }}"
    return name


def _body(op: Op) -> list[Op]:
    """What a gate does, on wires 0, 1, ... and with Angles for its own angles, in gates of a simpler kind."""
    wires = tuple(range(len(op.wires)))
    own = tuple(Angle(k) for k in range(len(op.angles)))
    if op.name == "pauli_rot":
        return _ladder(op.word, own[0])
    row = GATES[op.name]
    if row.parts:
        return list(Op(op.name, wires, own).parts())
    if row.fixed is not None:
        return [part for body in BODIES[op.name] for part in _unladdered(body)]
    # The generator's words commute among those that flip the same qubits' parity, and these groups commute in turn.
    words = from_matrix(row.generator)
    parts: list[Op] = []
    for word, weight in sorted(
        zip(words.words, words.coefficients.tolist(), strict=True), key=lambda pair: [k for _, k in pair[0] if k != "Z"]
    ):
        letters = dict(word)
        if word:
            parts += _ladder("".join(letters.get(wire, "I") for wire in wires), own[0] * (2 * weight))
        else:
            parts.append(Op("gphase", (), (own[0] * -weight,)))
    return parts


def _unladdered(op: Op) -> list[Op]:
    return _ladder(op.word, op.angles[0]) if op.name == "pauli_rot" else [op]


def _ladder(word: str, angle: Angle | float) -> list[Op]:
    """exp(-i angle/2 P) in one-qubit turns of the basis, a chain of CX and one RZ."""
    active = [wire for wire, letter in enumerate(word) if letter != "I"]
    if not active:
        return [Op("gphase", (), (angle * -0.5,))]
    turn = [Op("h", (w,)) if word[w] == "X" else Op("rx", (w,), (math.pi / 2,)) for w in active if word[w] != "Z"]
    chain = [Op("cx", pair) for pair in itertools.pairwise(active)]
    back = [op.inverse() for op in reversed(chain)] + [op.inverse() for op in reversed(turn)]
    return [*turn, *chain, Op("rz", (active[-1],), (angle,)), *back]
