"""Gates as primitives: what each gate of the table adds to the stages in the making."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from qgen.circuits.drafts import Drafts
from qgen.circuits.gates import GATES
from qgen.circuits.operation import Angle, Op, generator
from qgen.circuits.program import ZERO, Dense, Sum, Table

MIRROR_FROM = 3
"""A rotation by a word that flips so many wires is a stage of its own; by fewer it joins the layers around it."""


def add(drafts: Drafts, op: Op) -> None:
    """Adds one gate with its controls."""
    for part in op.parts():
        zeros = [c for c, v in zip(part.controls, part.values, strict=True) if not v]
        for wire in zeros:
            drafts.x(wire)
        _gate(drafts, part)
        for wire in zeros:
            drafts.x(wire)


def _gate(drafts: Drafts, op: Op) -> None:
    name, inner = CONTROLLED.get(op.name, (op.name, 0))
    controls = (*op.controls, *op.wires[:inner])
    wires = op.wires[inner:]
    angle = _sum(op.angles[0]) if op.angles else Sum()
    rule = _RULES.get(name)
    if rule is not None:
        rule(drafts, controls, wires, angle)
    elif name == "pauli_rot":
        _pauli(drafts, op.word, controls, wires, angle)
    elif name in WORDS:
        _pauli(drafts, WORDS[name], controls, wires, angle)
    elif name == "diagonal":
        _diagonal(drafts, controls, wires, op.array())
    elif name == "unitary":
        _unitary(drafts, controls, wires, op.array())
    else:
        row = GATES[name]
        if row.fixed is not None:
            is_diagonal = not np.any(row.fixed - np.diag(np.diag(row.fixed)))
            if is_diagonal:
                _diagonal(drafts, controls, wires, np.diag(row.fixed))
            else:
                _unitary(drafts, controls, wires, row.fixed)
        else:
            values = np.real(np.diag(generator(Op(name, wires, op.angles))))
            _walsh(drafts, controls, wires, -values, angle)


def _walsh(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], values: np.ndarray, angle: Sum) -> None:
    """exp(i angle values[b]) as parities; the values belong to the bits of `wires`."""
    k = len(wires)
    ones = drafts.mask(controls)
    for chosen in itertools.product((0, 1), repeat=k):
        signs = functools.reduce(np.kron, [np.array([1.0, -1.0 if c else 1.0]) for c in chosen], np.ones(1))
        weight = float(signs @ values) / 2**k
        if abs(weight) > 1e-15:
            drafts.phase(drafts.mask(w for w, c in zip(wires, chosen, strict=True) if c), ones, angle.times(weight))


def _diagonal(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], entries: np.ndarray) -> None:
    if len(wires) <= 3:
        _walsh(drafts, controls, wires, np.angle(entries), Sum(1.0))
    else:
        full = np.ones(2 ** (len(controls) + len(wires)), complex)
        full[-len(entries) :] = entries
        drafts.fixed(Table((*controls, *wires), full.tobytes()))


def _unitary(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], matrix: np.ndarray) -> None:
    if len(wires) == 1:
        shift, first, middle, last = euler(matrix)
        _gate_gphase(drafts, controls, (), Sum(shift))
        _gate_rz(drafts, controls, wires, Sum(first))
        _gate_ry(drafts, controls, wires, Sum(middle))
        _gate_rz(drafts, controls, wires, Sum(last))
        return
    size = 2 ** (len(controls) + len(wires))
    full = np.eye(size, dtype=complex)
    full[-len(matrix) :, -len(matrix) :] = matrix
    drafts.fixed(Dense((*controls, *wires), full.tobytes()))


def _pauli(drafts: Drafts, word: str, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    """Turns every letter to Z, rotates by the parity, turns back."""
    letters = [(w, letter) for w, letter in zip(wires, word, strict=True) if letter != "I"]
    flipped = [w for w, letter in letters if letter != "Z"]
    if len(letters) == 1:
        _RULES[f"r{letters[0][1].lower()}"](drafts, controls, (letters[0][0],), angle)
        return
    if len(flipped) >= MIRROR_FROM and not controls and not any(index in drafts.data for index, _ in angle.terms):
        _mirror(drafts, letters, flipped, angle)
        return
    for wire, letter in letters:
        if letter == "Y":
            _gate_sdg(drafts, (), (wire,))
        if letter != "Z":
            drafts.turn(wire, Sum(math.pi / 2), True)
    drafts.phase(drafts.mask(w for w, _ in letters), drafts.mask(controls), angle.times(-0.5))
    for wire, letter in letters:
        if letter != "Z":
            drafts.turn(wire, Sum(math.pi / 2), True)
        if letter == "Y":
            _gate_s(drafts, (), (wire,))


def _mirror(drafts: Drafts, letters: Sequence[tuple[int, str]], flipped: Sequence[int], angle: Sum) -> None:
    """One rotation; a word of X alone takes the same form D Y...Y D^-1 as RX does, because the two stand together."""
    framed = all(letter == "X" for _, letter in letters)
    signed = [w for w, letter in letters if letter != "X" or framed]
    for wire in flipped if framed else ():
        _gate_rz(drafts, (), (wire,), Sum(math.pi / 2))
    drafts.mirror(drafts.mask(flipped), drafts.mask(signed), angle)
    for wire in flipped if framed else ():
        _gate_rz(drafts, (), (wire,), Sum(-math.pi / 2))


def _gate_id(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    """Nothing."""


def _gate_gphase(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    drafts.phase(0, drafts.mask(controls), angle)


def _gate_x(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    drafts.flip(controls, wires[0])


def _gate_y(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    """Y = S X S^-1."""
    _gate_sdg(drafts, (), wires)
    drafts.flip(controls, wires[0])
    _gate_s(drafts, (), wires)


def _gate_s(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    drafts.phase(0, drafts.mask((*controls, *wires)), Sum(math.pi / 2))


def _gate_sdg(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    drafts.phase(0, drafts.mask((*controls, *wires)), Sum(-math.pi / 2))


def _gate_z(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    drafts.phase(0, drafts.mask((*controls, *wires)), Sum(math.pi))


def _gate_p(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    drafts.phase(0, drafts.mask((*controls, *wires)), angle)


def _gate_rz(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    drafts.phase(drafts.mask(wires), drafts.mask(controls), angle.times(-0.5))


def _gate_h(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    if controls:  # H = RY(pi/4) Z RY(-pi/4)
        drafts.turn(wires[0], Sum(-math.pi / 4))
        _gate_z(drafts, controls, wires)
        drafts.turn(wires[0], Sum(math.pi / 4))
    else:
        drafts.turn(wires[0], Sum(math.pi / 2), True)


def _gate_ry(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    if controls:  # Z RY(-t/2) Z = RY(t/2)
        _gate_z(drafts, controls, wires)
        drafts.turn(wires[0], angle.times(-0.5))
        _gate_z(drafts, controls, wires)
        drafts.turn(wires[0], angle.times(0.5))
    else:
        drafts.turn(wires[0], angle)


def _gate_rx(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    # Data takes the form H RZ H: the data then sits in a phase, and a batch shares the matrices of all real layers.
    # Everything else takes D RY D^-1 with a constant diagonal D: one real layer instead of two.
    if controls or any(index in drafts.data for index, _ in angle.terms):
        _gate_h(drafts, (), wires)
        _gate_rz(drafts, controls, wires, angle)
        _gate_h(drafts, (), wires)
    else:
        _gate_rz(drafts, (), wires, Sum(math.pi / 2))
        drafts.turn(wires[0], angle)
        _gate_rz(drafts, (), wires, Sum(-math.pi / 2))


def _gate_swap(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    a, b = wires
    drafts.cx(b, a)
    drafts.flip((*controls, a), b)
    drafts.cx(b, a)


def _gate_iswap(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    """The same as the XY rotation by pi."""
    _gate_rxy(drafts, controls, wires, Sum(math.pi))


def _gate_siswap(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
    _gate_rxy(drafts, controls, wires, Sum(math.pi / 2))


# Gates that turn in the plane of |01> and |10>: CNOT makes the first wire the target and the second the control.


def _gate_rxy(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    a, b = wires
    if not controls and not any(index in drafts.data for index, _ in angle.terms):
        _givens(drafts, wires, angle)
        return
    drafts.cx(a, b)
    _gate_rx(drafts, (*controls, b), (a,), angle.times(-1.0))
    drafts.cx(a, b)


def _givens(drafts: Drafts, wires: Sequence[int], angle: Sum) -> None:
    """exp(i t (XX + YY) / 4) as S_a exp(-i t (XY - YX) / 4) S_a^-1: the real rotation needs no basis change."""
    a, b = wires
    _gate_sdg(drafts, (), (a,))
    _gate_single_excitation(drafts, (), (a, b), angle)
    _gate_s(drafts, (), (a,))


def _gate_single_excitation(
    drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum, rest: float = 0
) -> None:
    a, b = wires
    drafts.cx(a, b)
    _gate_ry(drafts, (*controls, b), (a,), angle)
    _rest(drafts, controls, (b,), angle, rest)
    drafts.cx(a, b)


def _rest(drafts: Drafts, controls: Sequence[int], plane: Sequence[int], angle: Sum, rest: float) -> None:
    """exp(i rest angle) on everything outside the plane that the rotation turns."""
    if rest:
        _gate_gphase(drafts, controls, (), angle.times(rest))
        _gate_gphase(drafts, (*controls, *plane), (), angle.times(-rest))


def _gate_single_excitation_plus(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    _gate_single_excitation(drafts, controls, wires, angle, 0.5)


def _gate_single_excitation_minus(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    _gate_single_excitation(drafts, controls, wires, angle, -0.5)


def _gate_fermionic_swap(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    a, b = wires
    for wire in wires:
        _gate_p(drafts, controls, (wire,), angle.times(0.5))
    drafts.cx(a, b)
    _gate_rx(drafts, (*controls, b), (a,), angle)
    drafts.cx(a, b)


def _gate_double_excitation(
    drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum, rest: float = 0
) -> None:
    """Turns in the plane of |0011> and |1100>."""
    a, b, c, d = wires
    for target in (b, c, d):
        drafts.cx(a, target)
    drafts.x(b)
    _gate_ry(drafts, (*controls, b, c, d), (a,), angle)
    _rest(drafts, controls, (b, c, d), angle, rest)
    drafts.x(b)
    for target in (b, c, d):
        drafts.cx(a, target)


def _gate_double_excitation_plus(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    _gate_double_excitation(drafts, controls, wires, angle, 0.5)


def _gate_double_excitation_minus(drafts: Drafts, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
    _gate_double_excitation(drafts, controls, wires, angle, -0.5)


_RULES: dict[str, Callable[[Drafts, Sequence[int], Sequence[int], Sum], None]] = {
    "id": _gate_id,
    "gphase": _gate_gphase,
    "x": _gate_x,
    "y": _gate_y,
    "s": _gate_s,
    "sdg": _gate_sdg,
    "z": _gate_z,
    "p": _gate_p,
    "rz": _gate_rz,
    "h": _gate_h,
    "ry": _gate_ry,
    "rx": _gate_rx,
    "swap": _gate_swap,
    "iswap": _gate_iswap,
    "siswap": _gate_siswap,
    "rxy": _gate_rxy,
    "single_excitation": _gate_single_excitation,
    "single_excitation_plus": _gate_single_excitation_plus,
    "single_excitation_minus": _gate_single_excitation_minus,
    "fermionic_swap": _gate_fermionic_swap,
    "double_excitation": _gate_double_excitation,
    "double_excitation_plus": _gate_double_excitation_plus,
    "double_excitation_minus": _gate_double_excitation_minus,
    "u1": _gate_p,
}
"""Name of a gate without its controls -> what adds it."""

CONTROLLED = {
    "cx": ("x", 1),
    "cy": ("y", 1),
    "cz": ("z", 1),
    "ch": ("h", 1),
    "ccx": ("x", 2),
    "ccz": ("z", 2),
    "cswap": ("swap", 1),
    "crx": ("rx", 1),
    "cry": ("ry", 1),
    "crz": ("rz", 1),
    "cp": ("p", 1),
}
"""Gates whose first wires are controls: name -> (name of what they control, number of controls)."""

WORDS = {"rxx": "XX", "ryy": "YY", "rzz": "ZZ"}


def _sum(angle: Angle | float) -> Sum:
    if isinstance(angle, Angle):
        return Sum(angle.offset, ((angle.index, angle.scale),) if angle.scale else ())
    return Sum(float(angle))


def euler(matrix: np.ndarray) -> tuple[float, float, float, float]:
    """(s, a, t, b) with matrix = exp(i s) RZ(b) RY(t) RZ(a) for a unitary [2, 2]; radians."""
    shift = float(np.angle(np.linalg.det(matrix))) / 2
    special = matrix * np.exp(-1j * shift)
    turn = 2 * math.atan2(abs(special[1, 0]), abs(special[0, 0]))
    plus = -2 * float(np.angle(special[0, 0])) if abs(special[0, 0]) > 1e-9 else 0.0
    minus = 2 * float(np.angle(special[1, 0])) if abs(special[1, 0]) > 1e-9 else 0.0
    return shift, (plus - minus) / 2, turn, (plus + minus) / 2
