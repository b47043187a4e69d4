"""One qubit less: circuits whose states stay as they are when all qubits flip.

H on every qubit makes such a state, and rotations by Pauli words that commute with X...X keep it one: those with an
even number of Y and Z, as in QAOA of a cut without a field (Shaydulin et al., arXiv:2012.04713). CNOTs from the last
qubit to all others turn X...X into X on the last one alone, which then stays |+> for ever and is left out: Z_last
becomes 1, and X_last becomes X on all others.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from qgen.circuits.circuit import Circuit, Item, Repeat
from qgen.circuits.observables import Observable, Word
from qgen.circuits.operation import Op, gate

LEAST_QUBITS = 4
"""With fewer qubits, X on all others is no stage of its own (`gate_rules.MIRROR_FROM`) and nothing is gained."""

_WORDS = {"rx": "X", "rxx": "XX", "ryy": "YY", "rzz": "ZZ"}


def reduce(circuit: Circuit, observables: Sequence[Observable]) -> tuple[Circuit, list[Observable]] | None:
    """A circuit and observables on one qubit less that have the same expectation values.

    Args:
        circuit: a circuit that starts in |0...0>.
        observables: what is measured.

    Returns:
        The circuit, with the same parameters, and the observables; None where the symmetry does not hold.
    """
    reduced = _circuit(circuit)
    if reduced is None:
        return None
    found = []
    for observable in observables:
        pairs = [_word(word, circuit.n_qubits) for word in observable.words]
        kept = [pair for pair in pairs if pair is not None]
        if len(kept) < len(pairs):
            return None
        coefficients = observable.coefficients
        if any(sign < 0 for _, sign in kept):
            coefficients = coefficients * np.asarray([sign for _, sign in kept], coefficients.dtype)
        found.append(Observable([word for word, _ in kept], coefficients))
    return reduced, found


@functools.lru_cache(maxsize=256)
def _circuit(circuit: Circuit) -> Circuit | None:
    n = circuit.n_qubits
    first, rest = circuit.ops[:n], circuit.ops[n:]
    if n < LEAST_QUBITS or set(first) != {gate("h", q) for q in range(n)}:
        return None
    body = _body(Circuit(n, rest))
    return body and Circuit(n - 1, (*(gate("h", q) for q in range(n - 1)), *body.ops))


def _body(circuit: Circuit) -> Circuit | None:
    """The circuit in the picture of one qubit less; it may begin in any symmetric state."""
    found: list[Item] = []
    for item in circuit.ops:
        if isinstance(item, Repeat):
            body = _body(Circuit(circuit.n_qubits, item.body.ops))
            reduced = body and dataclasses.replace(item, body=body)
        else:
            reduced = _op(item, circuit.n_qubits) if isinstance(item, Op) and not item.controls else None
        if reduced is None:
            return None
        found.append(reduced)
    return Circuit(circuit.n_qubits - 1, tuple(found))


def _op(op: Op, n: int) -> Op | None:
    if op.name == "gphase":
        return op
    letters = op.word if op.name == "pauli_rot" else _WORDS.get(op.name)
    if letters is None:
        return None
    pair = _word(Observable([tuple(zip(op.wires, letters, strict=True))]).words[0], n)
    if pair is None:
        return None
    word, sign = pair
    if not word:  # X on all qubits: a global phase
        return gate("gphase", (), op.angles[0] * (-0.5 * sign))
    return Op("pauli_rot", tuple(w for w, _ in word), (op.angles[0] * sign,), word="".join(x for _, x in word))


def _word(word: Word, n: int) -> tuple[Word, float] | None:
    """A word and its sign in the picture of one qubit less; None if it changes its sign under the flip.

    A word is i^ys X^flip Z^sign; without i^ys, CNOTs map one factor after the other and change no sign.
    """
    (flip,), (sign,), (ys,) = Observable([word]).masks(n)
    if sign.bit_count() % 2:
        return None
    flip = (flip ^ ((1 << n) - 1) if flip & 1 else flip) >> 1
    sign >>= 1
    letters = {(0, 0): "", (1, 0): "X", (1, 1): "Y", (0, 1): "Z"}
    named = [(q, letters[flip >> (n - 2 - q) & 1, sign >> (n - 2 - q) & 1]) for q in range(n - 1)]
    turns = (ys - (flip & sign).bit_count()) % 4
    return tuple((q, letter) for q, letter in named if letter), -1.0 if turns == 2 else 1.0
