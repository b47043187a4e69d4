"""Lowering: from a circuit to a program.

Every one-qubit gate is diagonal, real rotation, diagonal. Primitives slide to the earliest stage of their kind that
they can reach and merge with it, so that a layer of gates becomes one stage of each kind.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from qgen.circuits.circuit import Circuit, Item, Repeat, shift
from qgen.circuits.gates import GATES
from qgen.circuits.operation import Angle, Op, generator
from qgen.circuits.program import ZERO, Affine, Dense, Flip, Loop, Phases, Program, Stage, Sum, Table, Turns

DENSE_LIMIT = 10
"""The most wires of a dense matrix."""


@functools.lru_cache(maxsize=256)
def lower(circuit: Circuit) -> Program:
    """The program of a circuit.

    Raises:
        ValueError: if the circuit measures or resets, or holds a matrix on too many wires.
    """
    return Program(circuit.n_qubits, _stages(circuit, circuit.n_qubits, frozenset()))


def _stages(circuit: Circuit, n: int, data: frozenset[int]) -> tuple[Stage, ...]:
    """Lowers; `data` holds parameters that stay the same over the enclosing loop, where batches of data come in."""
    builder = _Builder(n, data)
    for item in circuit.ops:
        builder.item(item)
    return builder.finish()


class _Draft:
    """A stage in the making, with the wires that it changes and those that it only reads."""

    def __init__(self, kind: str, changes: int, reads: int, content: Any):
        self.kind, self.changes, self.reads, self.content = kind, changes, reads, content

    def blocks(self, changes: int, reads: int) -> bool:
        """Whether something with these wires cannot slide past."""
        return bool(changes & (self.changes | self.reads) or reads & self.changes)


class _Builder:
    """Collects primitives and merges each with the earliest stage of its kind that it can slide to."""

    def __init__(self, n: int, data: frozenset[int]):
        self.n, self.data, self.drafts = n, data, []

    def bit(self, wire: int) -> int:
        return 1 << (self.n - 1 - wire)

    def mask(self, wires: Iterable[int]) -> int:
        return sum(self.bit(w) for w in wires)

    def earliest(self, kind: str, changes: int, reads: int, fresh: Any) -> Any:
        """The content to merge into: that of the earliest stage of this kind that can be reached, or of a new one."""
        found = None
        for draft in reversed(self.drafts):
            found = draft if draft.kind == kind else found
            if draft.blocks(changes, reads):
                break
        if found is None:
            found = _Draft(kind, 0, 0, fresh)
            self.drafts.append(found)
        found.changes |= changes
        found.reads |= reads
        return found.content

    # Primitives

    def turn(self, wire: int, angle: Sum, flip: bool = False) -> None:
        """RY(angle) Z^flip after what is there: RY(a) Z^f RY(t) Z^g = RY(a + (-1)^f t) Z^(f + g)."""
        content = self.earliest("turns", self.bit(wire), 0, {})
        before, flipped = content.get(wire, (Sum(), False))
        content[wire] = (angle.plus(before.times(-1.0 if flip else 1.0)), flip != flipped)

    def phase(self, parity: int, ones: int, angle: Sum) -> None:
        """exp(i angle f(b))."""
        if angle == Sum():
            return
        if parity & ones:  # a bit that is set has the sign -1
            angle = angle.times(-1.0 if (parity & ones).bit_count() % 2 else 1.0)
            parity &= ~ones
        if ones.bit_count() <= 2:  # products of few bits become parities, which factor over any split of the register
            bits = [1 << k for k in range(self.n) if ones >> k & 1]
            for chosen in itertools.product((0, 1), repeat=len(bits)):
                mask = sum(b for b, c in zip(bits, chosen, strict=True) if c)
                self._phase(parity | mask, 0, angle.times((-1.0) ** sum(chosen) / 2 ** len(bits)))
        else:
            self._phase(parity, ones, angle)

    def _phase(self, parity: int, ones: int, angle: Sum) -> None:
        content = self.earliest("phases", 0, parity | ones, {})
        place = content.setdefault((parity, ones), {})
        for source, weight in (("const", angle.const), *angle.terms):
            place[source] = place.get(source, 0.0) + weight

    def cx(self, control: int, target: int) -> None:
        content = self.earliest("affine", self.bit(target), self.bit(control), self._identity())
        reach, send = self.bit(control), self.bit(target)
        content["columns"] = [column ^ (send if column & reach else 0) for column in content["columns"]]
        content["shift"] ^= send if content["shift"] & reach else 0

    def x(self, wire: int) -> None:
        self.earliest("affine", self.bit(wire), 0, self._identity())["shift"] ^= self.bit(wire)

    def _identity(self) -> dict[str, Any]:
        return {"columns": [self.bit(q) for q in range(self.n)], "shift": 0}

    def flip(self, controls: Sequence[int], target: int) -> None:
        """X on the target where all controls are 1."""
        if not controls:
            self.x(target)
        elif len(controls) == 1:
            self.cx(controls[0], target)
        else:
            stage = Flip(self.mask(controls), self.bit(target))
            self.drafts.append(_Draft("flip", stage.target, stage.controls, stage))

    def fixed(self, stage: Table | Dense) -> None:
        if isinstance(stage, Dense) and len(stage.wires) > DENSE_LIMIT:
            raise ValueError(f"A matrix gate acts on at most {DENSE_LIMIT} wires, but one has {len(stage.wires)}.")
        mask = self.mask(stage.wires)
        changes, reads = (0, mask) if isinstance(stage, Table) else (mask, 0)
        self.drafts.append(_Draft("fixed", changes, reads, stage))

    def loop(self, item: Repeat) -> None:
        """Adds a loop; a single turn is written out, so that it merges with what is around it."""
        if item.times == 1:
            for inner in item.body.ops:
                self.item(shift(inner, item.start))
            return
        data = frozenset(range(item.shared))
        body = _stages(item.body, self.n, data)
        start = (item.start, item.times, item.shared, item.advancing, item.backwards)
        before, body, after = _peel(body)
        everything = (1 << self.n) - 1
        for stages, kind in ((before, "stage"), (body, "loop"), (after, "stage")):
            if kind == "loop" and stages:
                times, shared, advancing, backwards = start[1:]
                stage = Loop(stages, times, shared, advancing, start[0], backwards)
                self.drafts.append(_Draft("fixed", everything, 0, stage))
            for stage in stages if kind == "stage" else ():
                self._constant_phases(stage)

    def _constant_phases(self, stage: Stage) -> None:
        assert isinstance(stage, Phases)
        for parity, ones, source, weight in zip(stage.parity, stage.ones, stage.source, stage.weight, strict=True):
            self._phase(parity, ones, stage.slots[source].times(weight))

    # Gates

    def item(self, item: Item) -> None:
        """Adds one item of a circuit."""
        if isinstance(item, Repeat):
            self.loop(item)
        elif isinstance(item, Op):
            self.op(item)
        else:
            raise ValueError("A circuit with measurements, resets or conditions runs only in `trajectory`.")

    def op(self, op: Op) -> None:
        """Adds one gate with its controls."""
        for part in op.parts():
            zeros = [c for c, v in zip(part.controls, part.values, strict=True) if not v]
            for wire in zeros:
                self.x(wire)
            self._gate(part)
            for wire in zeros:
                self.x(wire)

    def _gate(self, op: Op) -> None:
        name, inner = _CONTROLLED.get(op.name, (op.name, 0))
        controls = (*op.controls, *op.wires[:inner])
        wires = op.wires[inner:]
        angle = _sum(op.angles[0]) if op.angles else Sum()
        method = getattr(self, f"_gate_{name}", None)
        if method is not None:
            method(controls, wires, angle)
        elif name == "pauli_rot":
            self._pauli(op.word, controls, wires, angle)
        elif name in _WORDS:
            self._pauli(_WORDS[name], controls, wires, angle)
        elif name == "diagonal":
            self._diagonal(controls, wires, op.array())
        elif name == "unitary":
            self._unitary(controls, wires, op.array())
        else:
            row = GATES[name]
            if row.fixed is not None:
                is_diagonal = not np.any(row.fixed - np.diag(np.diag(row.fixed)))
                if is_diagonal:
                    self._diagonal(controls, wires, np.diag(row.fixed))
                else:
                    self._unitary(controls, wires, row.fixed)
            else:
                values = np.real(np.diag(generator(Op(name, wires, op.angles))))
                self._walsh(controls, wires, -values, angle)

    def _walsh(self, controls: Sequence[int], wires: Sequence[int], values: np.ndarray, angle: Sum) -> None:
        """exp(i angle values[b]) as parities; the values belong to the bits of `wires`."""
        k = len(wires)
        ones = self.mask(controls)
        for chosen in itertools.product((0, 1), repeat=k):
            signs = functools.reduce(np.kron, [np.array([1.0, -1.0 if c else 1.0]) for c in chosen], np.ones(1))
            weight = float(signs @ values) / 2**k
            if abs(weight) > 1e-15:
                self.phase(self.mask(w for w, c in zip(wires, chosen, strict=True) if c), ones, angle.times(weight))

    def _diagonal(self, controls: Sequence[int], wires: Sequence[int], entries: np.ndarray) -> None:
        if len(wires) <= 3:
            self._walsh(controls, wires, np.angle(entries), Sum(1.0))
        else:
            full = np.ones(2 ** (len(controls) + len(wires)), complex)
            full[-len(entries) :] = entries
            self.fixed(Table((*controls, *wires), full.tobytes()))

    def _unitary(self, controls: Sequence[int], wires: Sequence[int], matrix: np.ndarray) -> None:
        if len(wires) == 1:
            shift, first, middle, last = euler(matrix)
            self._gate_gphase(controls, (), Sum(shift))
            self._gate_rz(controls, wires, Sum(first))
            self._gate_ry(controls, wires, Sum(middle))
            self._gate_rz(controls, wires, Sum(last))
            return
        size = 2 ** (len(controls) + len(wires))
        full = np.eye(size, dtype=complex)
        full[-len(matrix) :, -len(matrix) :] = matrix
        self.fixed(Dense((*controls, *wires), full.tobytes()))

    def _pauli(self, word: str, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        """Turns every letter to Z, rotates by the parity, turns back."""
        letters = [(w, letter) for w, letter in zip(wires, word, strict=True) if letter != "I"]
        for wire, letter in letters:
            if letter == "Y":
                self._gate_sdg((), (wire,))
            if letter != "Z":
                self.turn(wire, Sum(math.pi / 2), True)
        self.phase(self.mask(w for w, _ in letters), self.mask(controls), angle.times(-0.5))
        for wire, letter in letters:
            if letter != "Z":
                self.turn(wire, Sum(math.pi / 2), True)
            if letter == "Y":
                self._gate_s((), (wire,))

    def _gate_id(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        """Nothing."""

    def _gate_gphase(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        self.phase(0, self.mask(controls), angle)

    def _gate_x(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        self.flip(controls, wires[0])

    def _gate_y(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        """Y = S X S^-1."""
        self._gate_sdg((), wires)
        self.flip(controls, wires[0])
        self._gate_s((), wires)

    def _gate_s(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        self.phase(0, self.mask((*controls, *wires)), Sum(math.pi / 2))

    def _gate_sdg(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        self.phase(0, self.mask((*controls, *wires)), Sum(-math.pi / 2))

    def _gate_z(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        self.phase(0, self.mask((*controls, *wires)), Sum(math.pi))

    def _gate_p(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        self.phase(0, self.mask((*controls, *wires)), angle)

    _gate_u1 = _gate_p

    def _gate_rz(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        self.phase(self.mask(wires), self.mask(controls), angle.times(-0.5))

    def _gate_h(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        if controls:  # H = RY(pi/4) Z RY(-pi/4)
            self.turn(wires[0], Sum(-math.pi / 4))
            self._gate_z(controls, wires)
            self.turn(wires[0], Sum(math.pi / 4))
        else:
            self.turn(wires[0], Sum(math.pi / 2), True)

    def _gate_ry(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        if controls:  # Z RY(-t/2) Z = RY(t/2)
            self._gate_z(controls, wires)
            self.turn(wires[0], angle.times(-0.5))
            self._gate_z(controls, wires)
            self.turn(wires[0], angle.times(0.5))
        else:
            self.turn(wires[0], angle)

    def _gate_rx(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        # Data takes the form H RZ H: the data then sits in a phase, and a batch shares the matrices of all real layers.
        # Everything else takes D RY D^-1 with a constant diagonal D: one real layer instead of two.
        if controls or any(index in self.data for index, _ in angle.terms):
            self._gate_h((), wires)
            self._gate_rz(controls, wires, angle)
            self._gate_h((), wires)
        else:
            self._gate_rz((), wires, Sum(math.pi / 2))
            self.turn(wires[0], angle)
            self._gate_rz((), wires, Sum(-math.pi / 2))

    def _gate_swap(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        a, b = wires
        self.cx(b, a)
        self.flip((*controls, a), b)
        self.cx(b, a)

    def _gate_iswap(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        """The same as the XY rotation by pi."""
        self._gate_rxy(controls, wires, Sum(math.pi))

    def _gate_siswap(self, controls: Sequence[int], wires: Sequence[int], angle: Sum = ZERO) -> None:
        self._gate_rxy(controls, wires, Sum(math.pi / 2))

    # Gates that turn in the plane of |01> and |10>: CNOT makes the first wire the target and the second the control.

    def _gate_rxy(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        a, b = wires
        if not controls and not any(index in self.data for index, _ in angle.terms):
            self._givens(wires, angle)
            return
        self.cx(a, b)
        self._gate_rx((*controls, b), (a,), angle.times(-1.0))
        self.cx(a, b)

    def _givens(self, wires: Sequence[int], angle: Sum) -> None:
        """exp(i t (XX + YY) / 4) as S_a exp(-i t (XY - YX) / 4) S_a^-1: the real rotation needs no basis change."""
        a, b = wires
        self._gate_sdg((), (a,))
        self._gate_single_excitation((), (a, b), angle)
        self._gate_s((), (a,))

    def _gate_single_excitation(
        self, controls: Sequence[int], wires: Sequence[int], angle: Sum, rest: float = 0
    ) -> None:
        a, b = wires
        self.cx(a, b)
        self._gate_ry((*controls, b), (a,), angle)
        self._rest(controls, (b,), angle, rest)
        self.cx(a, b)

    def _rest(self, controls: Sequence[int], plane: Sequence[int], angle: Sum, rest: float) -> None:
        """exp(i rest angle) on everything outside the plane that the rotation turns."""
        if rest:
            self._gate_gphase(controls, (), angle.times(rest))
            self._gate_gphase((*controls, *plane), (), angle.times(-rest))

    def _gate_single_excitation_plus(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        self._gate_single_excitation(controls, wires, angle, 0.5)

    def _gate_single_excitation_minus(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        self._gate_single_excitation(controls, wires, angle, -0.5)

    def _gate_fermionic_swap(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        a, b = wires
        for wire in wires:
            self._gate_p(controls, (wire,), angle.times(0.5))
        self.cx(a, b)
        self._gate_rx((*controls, b), (a,), angle)
        self.cx(a, b)

    def _gate_double_excitation(
        self, controls: Sequence[int], wires: Sequence[int], angle: Sum, rest: float = 0
    ) -> None:
        """Turns in the plane of |0011> and |1100>."""
        a, b, c, d = wires
        for target in (b, c, d):
            self.cx(a, target)
        self.x(b)
        self._gate_ry((*controls, b, c, d), (a,), angle)
        self._rest(controls, (b, c, d), angle, rest)
        self.x(b)
        for target in (b, c, d):
            self.cx(a, target)

    def _gate_double_excitation_plus(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        self._gate_double_excitation(controls, wires, angle, 0.5)

    def _gate_double_excitation_minus(self, controls: Sequence[int], wires: Sequence[int], angle: Sum) -> None:
        self._gate_double_excitation(controls, wires, angle, -0.5)

    # The end

    def finish(self) -> tuple[Stage, ...]:
        """The drafts as stages, without those that do nothing."""
        stages = [self._freeze(draft) for draft in self.drafts]
        return tuple(stage for stage in stages if stage is not None)

    def _freeze(self, draft: _Draft) -> Stage | None:
        content = draft.content
        if draft.kind == "turns":
            kept = {q: content[q] for q in sorted(content) if content[q] != (Sum(), False)}
            slots = tuple(angle for angle, _ in kept.values())
            return Turns(tuple(kept), tuple(flip for _, flip in kept.values()), slots) if kept else None
        if draft.kind == "affine":
            identity = self._identity()
            same = content["columns"] == identity["columns"] and not content["shift"]
            return None if same else Affine(tuple(content["columns"]), content["shift"])
        if draft.kind == "phases":
            rows = [(*key, s, w) for key, place in content.items() for s, w in place.items() if abs(w) > 1e-15]
            if not rows:
                return None
            sources = list(dict.fromkeys(row[2] for row in rows))
            slots = tuple(Sum(1.0) if s == "const" else Sum(0.0, ((s, 1.0),)) for s in sources)
            columns = [(p, o, sources.index(s), w) for p, o, s, w in rows]
            parity, ones, source, weight = zip(*columns, strict=True)
            return Phases(parity, ones, source, weight, slots)
        return content


_CONTROLLED = {
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

_WORDS = {"rxx": "XX", "ryy": "YY", "rzz": "ZZ"}


def _peel(body: tuple[Stage, ...]) -> tuple[tuple[Stage, ...], tuple[Stage, ...], tuple[Stage, ...]]:
    """Moves constant phases at the end of a loop's body to its beginning, where they merge with phases.

    (P B)^k = P (B P)^k P^-1: what stays outside runs once.
    """
    if len(body) < 3 or not isinstance(body[0], Phases) or not isinstance(body[-1], Phases):
        return (), body, ()
    first, last = body[0], body[-1]
    if any(slot.terms for slot in last.slots):
        return (), body, ()
    weights: dict[tuple[int, int, Sum], float] = {}
    for stage in (first, last):
        for parity, ones, source, weight in zip(stage.parity, stage.ones, stage.source, stage.weight, strict=True):
            key = (parity, ones, stage.slots[source])
            weights[key] = weights.get(key, 0.0) + weight
    slots = tuple(dict.fromkeys(key[2] for key in weights))
    merged = Phases(
        tuple(key[0] for key in weights),
        tuple(key[1] for key in weights),
        tuple(slots.index(key[2]) for key in weights),
        tuple(weights.values()),
        slots,
    )
    undo = dataclasses.replace(last, weight=tuple(-w for w in last.weight))
    return (undo,), (merged, *body[1:-1]), (last,)


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
