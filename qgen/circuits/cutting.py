"""Two small registers in place of a large one: shallow circuits, cut between two neighbouring qubits.

A gate across the cut that keeps the bits of its qubits on one side (a control, a wire under Z) can act from a copy of
them. The copy is a further qubit, a bond: on the side of the original it starts in |0> and a CNOT copies into it; on
the other it starts in |0> + |1> and the gate acts from it. Summed over the bonds, the products of both sides' states
are the state of the whole register (a Schroedinger-Feynman sum: Aaronson and Chen, arXiv:1612.05903; Markov et al.,
arXiv:1807.10749). Expectation values need only both sides' reduced matrices over the bonds, never the whole state.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from qgen.circuits.circuit import Circuit, Repeat
from qgen.circuits.gates import GATES
from qgen.circuits.observables import Word
from qgen.circuits.operation import Op, gate

LEAST_QUBITS = 10
"""With fewer qubits a state is small, and one program is as fast as two."""

LEAST_GAIN = 8
"""A circuit is cut if both sides hold fewer amplitudes by this factor: two programs take longer to compile than one."""

MOST_OPS = 64
"""Circuits of more operations per qubit are not searched: they have no cut with few bonds, or are not worth it."""


class Cut(NamedTuple):
    """A circuit as two on fewer qubits with the same parameter vector, each with its bonds as first qubits.

    Attributes:
        left: bonds, then the qubits up to the cut.
        right: bonds, then the qubits after the cut.
        bonds: how many.
        after: the CNOTs, SWAPs and X at the circuit's end, which both leave out: they move words of Z.
        data: parameters that the circuit's loops share, as `lower` takes them.
    """

    left: Circuit
    right: Circuit
    bonds: int
    after: tuple[Op, ...] = ()
    data: frozenset[int] = frozenset()

    def split(self, words: Sequence[Word]) -> tuple[list[int], list[int], list[float]]:
        """Words of Z over the whole register before `after`: bit masks over both sides' qubits, and signs."""
        at = self.left.n_qubits - self.bonds
        n = at + self.right.n_qubits - self.bonds
        left, right, signs = [], [], []
        for word in words:
            wires, sign = {wire for wire, _ in word}, 1.0
            for op in reversed(self.after):
                if op.name == "x":
                    sign = -sign if op.wires[0] in wires else sign
                elif op.name == "cx":
                    wires ^= {op.wires[0]} if op.wires[1] in wires else set()
                else:
                    wires ^= set(op.wires) if len(wires & set(op.wires)) == 1 else set()
            left.append(sum(1 << (at - 1 - wire) for wire in wires if wire < at))
            right.append(sum(1 << (n - 1 - wire) for wire in wires if wire >= at))
            signs.append(sign)
        return left, right, signs


@functools.lru_cache(maxsize=256)
def cut(circuit: Circuit) -> Cut | None:
    """The cut that leaves the least of a circuit that starts in |0...0>; None if none pays."""
    n = circuit.n_qubits
    if n < LEAST_QUBITS or not circuit.is_unitary or _count(circuit) > MOST_OPS * n:
        return None
    ops, after = _end(list(_parts(circuit)))
    loops = [item for item in circuit.ops if isinstance(item, Repeat)]
    data = frozenset(item.start + k for item in loops for k in range(item.shared))
    best, least = None, 2**n // LEAST_GAIN
    for at in range(1, n):
        found = _split(ops, n, at)
        if found and (size := 2**found.left.n_qubits + 2**found.right.n_qubits) <= least:
            best, least = found._replace(after=after, data=data), size - 1
    return best


def _count(circuit: Circuit) -> int:
    return sum(item.times * _count(item.body) if isinstance(item, Repeat) else 1 for item in circuit.ops)


def _parts(circuit: Circuit) -> Iterator[Op]:
    """All operations, with repetitions written out, each with one angle at most and on no wire that it leaves alone."""
    for item in circuit.walk():
        assert isinstance(item, Op)
        for op in item.parts():
            if op.name == "pauli_rot":
                pairs = [pair for pair in zip(op.wires, op.word, strict=True) if pair[1] != "I"]
                wires, letters = zip(*(pairs or [(op.wires[0], "I")]), strict=True)
                op = dataclasses.replace(op, wires=wires, word="".join(letters))
            yield op


def _end(ops: Sequence[Op]) -> tuple[list[tuple[Op, dict[int, bool]]], tuple[Op, ...]]:
    """What words of Z at the end see, each with `_kept`, and the operations after it that only move words."""
    rest: list[tuple[Op, dict[int, bool]]] = []
    after: list[Op] = []
    used: set[int] = set()  # the wires of what follows and stays
    for op in reversed(ops):
        kept = _kept(op)
        if used.isdisjoint(op.support):
            if all(kept.values()):
                continue
            if op.name in ("x", "cx", "swap") and not op.controls:
                after.append(op)
                continue
        rest.append((op, kept))
        used.update(op.support)
    return rest[::-1], tuple(after[::-1])


def _kept(op: Op) -> dict[int, bool]:
    """For each control and wire of the operation whether it keeps the bit."""
    if op.name == "pauli_rot":
        wires = [letter in "IZ" for letter in op.word]
    elif op.name == "diagonal":
        wires = [True] * len(op.wires)
    else:
        row = GATES[op.name]
        matrix = op.array() if op.name == "unitary" else row.fixed if row.fixed is not None else row.generator
        assert matrix is not None
        places = np.nonzero(matrix)
        changed = int(np.bitwise_or.reduce(places[0] ^ places[1], initial=0))
        wires = [not changed >> (len(op.wires) - 1 - k) & 1 for k in range(len(op.wires))]
    return dict(zip(op.support, [True] * len(op.controls) + wires, strict=True))


def _split(ops: Sequence[tuple[Op, dict[int, bool]]], n: int, at: int) -> Cut | None:
    """Both sides of a cut before qubit `at`; None if a gate across keeps no side's bits, or there are too many bonds.

    A bond serves until its wire's bit changes.
    """
    sides: tuple[list[Op], list[Op]] = ([], [])
    targets: list[int] = []  # for each bond, numbered n, n + 1, ..., the side that acts from it
    holds: dict[int, int] = {}
    for op, kept in ops:
        own = [wire for wire in kept if wire < at], [wire for wire in kept if wire >= at]
        side = 0 if not own[1] else 1
        if own[0] and own[1]:
            new = [[w for w in wires if w not in holds] for wires in own]
            sources = [s for s in (0, 1) if all(kept[wire] for wire in own[s])]
            if not sources:
                return None
            source = min(sources, key=lambda s: len(new[s]))
            side = 1 - source
            for wire in new[source]:
                holds[wire] = n + len(targets)
                targets.append(side)
                sides[source].append(gate("cx", (wire, holds[wire])))
            if max(at, n - at) + 2 * len(targets) > n:
                return None
            sides[side].append(_moved(op, {wire: holds[wire] for wire in own[source]}))
        else:
            sides[side].append(op)
        for wire, stays in kept.items():
            if not stays:
                holds.pop(wire, None)
    bonds = len(targets)
    circuits = []
    for side, (first, width) in enumerate(((0, at), (at, n - at))):
        places = {first + k: bonds + k for k in range(width)} | {n + k: k for k in range(bonds)}
        begin = [gate("h", n + k) for k in range(bonds) if targets[k] == side]
        circuits.append(Circuit(width + bonds, tuple(_moved(op, places) for op in begin + sides[side])))
    return Cut(circuits[0], circuits[1], bonds)


def _moved(op: Op, places: dict[int, int]) -> Op:
    """The operation on other wires; those that `places` does not name stay."""
    wires, controls = (tuple(places.get(w, w) for w in given) for given in (op.wires, op.controls))
    return dataclasses.replace(op, wires=wires, controls=controls)
