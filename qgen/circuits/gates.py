"""GATES: one table of every gate: its wires, angles, matrix, generator and its names elsewhere.

A gate with one angle t is exp(-i t G) with a Hermitian generator G, so that its matrix, its frequencies and its shift
rule all follow from G. A gate with several angles is a sequence of gates with one. Qubit 0 is the most significant bit;
angles are in radians. The definitions are those of OpenQASM's `stdgates.inc` and of PennyLane.
"""

import dataclasses
import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from qgen.types import Array

Part = tuple[str, tuple[int, ...], tuple[float | tuple[int, float], ...]]
"""One gate of a sequence: name, wires within the gate, angles: a number or (index, scale) of the gate's angles."""


@dataclasses.dataclass(frozen=True, eq=False)
class Gate:
    """One row of the table.

    Attributes:
        name: the name used by `Op`.
        wires: the number of wires; None where the op decides (Pauli rotations, given matrices).
        angles: the number of angles.
        fixed: the matrix of a gate without angles, [2**wires, 2**wires].
        generator: G of a gate exp(-i t G) with one angle, [2**wires, 2**wires].
        parts: the sequence that makes a gate with several angles, first applied first.
        inverse: the name of the inverse of a fixed gate; empty where it has no name of its own.
        pennylane: the name in PennyLane; empty where there is none.
        qasm: the name in OpenQASM's standard library (or in Qiskit's `qelib1.inc`); empty where there is none.
    """

    name: str
    wires: int | None
    angles: int = 0
    fixed: np.ndarray | None = None
    generator: np.ndarray | None = None
    parts: tuple[Part, ...] = ()
    inverse: str = ""
    pennylane: str = ""
    qasm: str = ""

    @functools.cached_property
    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct eigenvalues of the generator [m] and the projectors on their eigenspaces [m, 2**wires, 2**wires]."""
        assert self.generator is not None
        return spectrum(self.generator)

    @property
    def frequencies(self) -> tuple[float, ...]:
        """The positive differences of the generator's eigenvalues: an expectation value is a Fourier sum over them."""
        return frequencies(self.generator) if self.generator is not None else ()

    def matrix(self, *angles: Any) -> Array:
        """The unitary for the given angles (radians), complex [2**wires, 2**wires]."""
        if self.fixed is not None:
            return jnp.asarray(self.fixed, dtype=jnp.result_type(complex))
        if self.generator is not None:
            return exponential(self.generator, angles[0])
        total = None
        for name, wires, local in self.parts:
            values = [angles[a[0]] * a[1] if isinstance(a, tuple) else a for a in local]
            factor = _embed(GATES[name].matrix(*values), wires, self.wires or 0)
            total = factor if total is None else factor @ total
        if total is None:
            raise ValueError(f"The matrix of gate `{self.name}` depends on the operation: ask `circuit.matrix`.")
        return total


def spectrum(generator: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct eigenvalues [m] and eigenprojectors [m, d, d] of a Hermitian matrix."""
    values, vectors = np.linalg.eigh(generator)
    levels = np.unique(np.round(values, 12))
    projectors = [vectors[:, close] @ vectors[:, close].conj().T for close in (abs(values - v) < 1e-9 for v in levels)]
    return levels, np.stack(projectors)


def frequencies(generator: np.ndarray) -> tuple[float, ...]:
    """The distinct positive differences of a Hermitian matrix's eigenvalues, ascending."""
    values = np.linalg.eigvalsh(generator)
    differences = np.unique(np.round(values[:, None] - values[None, :], 10))
    return tuple(float(d) for d in differences if d > 0)


def exponential(generator: np.ndarray, angle: Any) -> Array:
    """exp(-i t G), complex [d, d], in the precision of the angle."""
    levels, projectors = spectrum(generator)
    angle = jnp.asarray(angle, dtype=jnp.result_type(float) if not hasattr(angle, "dtype") else None)
    phase = jnp.asarray(levels, dtype=angle.dtype) * angle
    weights = jnp.cos(phase) - 1j * jnp.sin(phase)
    return jnp.tensordot(weights, jnp.asarray(projectors, dtype=weights.dtype), 1)


def _embed(matrix: Array, wires: tuple[int, ...], width: int) -> Array:
    """A matrix on some wires of `width` as a matrix on all of them."""
    rest = [w for w in range(width) if w not in wires]
    full = jnp.kron(matrix, jnp.eye(2 ** len(rest), dtype=matrix.dtype))
    place = np.argsort([*wires, *rest])
    axes = [*place, *(place + width)]
    return full.reshape((2,) * (2 * width)).transpose(axes).reshape(2**width, 2**width)


I2 = np.eye(2)
X = np.array([[0, 1], [1, 0]], complex)
Y = np.array([[0, -1j], [1j, 0]])
Z = np.diag([1.0, -1.0]).astype(complex)
PAULI = {"I": I2.astype(complex), "X": X, "Y": Y, "Z": Z}
_H = (X + Z) / math.sqrt(2)
_SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2
_R = 1 / math.sqrt(2)
_ONE = np.diag([0.0, 1.0])


def word_matrix(word: str) -> np.ndarray:
    """The Kronecker product of Pauli letters, complex [2**len, 2**len]."""
    return functools.reduce(np.kron, [PAULI[letter] for letter in word], np.eye(1, dtype=complex))


def controlled_matrix(matrix: np.ndarray, controls: int = 1) -> np.ndarray:
    """The matrix that acts where all leading control bits are 1."""
    size = matrix.shape[0]
    full = np.eye(size * 2**controls, dtype=complex)
    full[-size:, -size:] = matrix
    return full


def _block(size: int, entries: dict[tuple[int, int], complex]) -> np.ndarray:
    """A matrix of zeros but for the given entries."""
    matrix = np.zeros((size, size), complex)
    for place, value in entries.items():
        matrix[place] = value
    return matrix


def _control_generator(generator: np.ndarray) -> np.ndarray:
    return np.kron(_ONE, generator)


def _fixed(name: str, matrix: np.ndarray, inverse: str = "self", pennylane: str = "", qasm: str = "") -> Gate:
    wires = int(math.log2(len(matrix)))
    return Gate(name, wires, 0, matrix, None, (), name if inverse == "self" else inverse, pennylane, qasm)


def _turn(name: str, generator: np.ndarray, pennylane: str = "", qasm: str = "") -> Gate:
    return Gate(name, int(math.log2(len(generator))), 1, None, generator, (), "", pennylane, qasm)


_HOP = {(1, 2): -0.5j, (2, 1): 0.5j}
_DOUBLE = {(3, 12): -0.5j, (12, 3): 0.5j}
_ISWAP = _block(4, {(0, 0): 1, (1, 2): 1j, (2, 1): 1j, (3, 3): 1})
_SISWAP = _block(4, {(0, 0): 1, (1, 1): _R, (1, 2): 1j * _R, (2, 1): 1j * _R, (2, 2): _R, (3, 3): 1})
_SWAP = _block(4, {(0, 0): 1, (1, 2): 1, (2, 1): 1, (3, 3): 1})
_ECR = _R * np.array([[0, 0, 1, 1j], [0, 0, 1j, 1], [1, -1j, 0, 0], [-1j, 1, 0, 0]])


def _except(size: int, entries: dict[tuple[int, int], complex], diagonal: float) -> np.ndarray:
    """The entries, and `diagonal` on the diagonal of every row that they leave alone."""
    matrix = _block(size, entries)
    return matrix + np.diag([diagonal * (not matrix[row].any()) for row in range(size)])


_ROWS = (
    _fixed("id", I2.astype(complex), pennylane="Identity", qasm="id"),
    _fixed("x", X, pennylane="PauliX", qasm="x"),
    _fixed("y", Y, pennylane="PauliY", qasm="y"),
    _fixed("z", Z, pennylane="PauliZ", qasm="z"),
    _fixed("h", _H, pennylane="Hadamard", qasm="h"),
    _fixed("s", np.diag([1, 1j]), "sdg", "S", "s"),
    _fixed("sdg", np.diag([1, -1j]), "s", "Adjoint(S)", "sdg"),
    _fixed("t", np.diag([1, np.exp(0.25j * np.pi)]), "tdg", "T", "t"),
    _fixed("tdg", np.diag([1, np.exp(-0.25j * np.pi)]), "t", "Adjoint(T)", "tdg"),
    _fixed("sx", _SX, "sxdg", "SX", "sx"),
    _fixed("sxdg", _SX.conj(), "sx", "Adjoint(SX)", "sxdg"),
    _fixed("cx", controlled_matrix(X), pennylane="CNOT", qasm="cx"),
    _fixed("cy", controlled_matrix(Y), pennylane="CY", qasm="cy"),
    _fixed("cz", controlled_matrix(Z), pennylane="CZ", qasm="cz"),
    _fixed("ch", controlled_matrix(_H), pennylane="CH", qasm="ch"),
    _fixed("swap", _SWAP, pennylane="SWAP", qasm="swap"),
    _fixed("iswap", _ISWAP, "", "ISWAP", "iswap"),
    _fixed("siswap", _SISWAP, "", "SISWAP", ""),
    _fixed("ecr", _ECR, pennylane="ECR", qasm="ecr"),
    _fixed("ccx", controlled_matrix(X, 2), pennylane="Toffoli", qasm="ccx"),
    _fixed("ccz", controlled_matrix(Z, 2), pennylane="CCZ", qasm="ccz"),
    _fixed("cswap", controlled_matrix(_SWAP), pennylane="CSWAP", qasm="cswap"),
    _turn("gphase", -np.eye(1), "", "gphase"),
    _turn("rx", X / 2, "RX", "rx"),
    _turn("ry", Y / 2, "RY", "ry"),
    _turn("rz", Z / 2, "RZ", "rz"),
    _turn("p", -_ONE, "PhaseShift", "p"),
    _turn("u1", -_ONE, "U1", "u1"),
    _turn("rxx", word_matrix("XX") / 2, "IsingXX", "rxx"),
    _turn("ryy", word_matrix("YY") / 2, "IsingYY", "ryy"),
    _turn("rzz", word_matrix("ZZ") / 2, "IsingZZ", "rzz"),
    _turn("rxy", -(word_matrix("XX") + word_matrix("YY")) / 4, "IsingXY", ""),
    _turn("crx", _control_generator(X / 2), "CRX", "crx"),
    _turn("cry", _control_generator(Y / 2), "CRY", "cry"),
    _turn("crz", _control_generator(Z / 2), "CRZ", "crz"),
    _turn("cp", _control_generator(-_ONE), "ControlledPhaseShift", "cp"),
    _turn("cp00", np.diag([-1.0, 0, 0, 0]), "CPhaseShift00", ""),
    _turn("cp01", np.diag([0, -1.0, 0, 0]), "CPhaseShift01", ""),
    _turn("cp10", np.diag([0, 0, -1.0, 0]), "CPhaseShift10", ""),
    _turn("single_excitation", _block(4, _HOP), "SingleExcitation", ""),
    _turn("single_excitation_plus", _except(4, _HOP, -0.5), "SingleExcitationPlus", ""),
    _turn("single_excitation_minus", _except(4, _HOP, 0.5), "SingleExcitationMinus", ""),
    _turn("double_excitation", _block(16, _DOUBLE), "DoubleExcitation", ""),
    _turn("double_excitation_plus", _except(16, _DOUBLE, -0.5), "DoubleExcitationPlus", ""),
    _turn("double_excitation_minus", _except(16, _DOUBLE, 0.5), "DoubleExcitationMinus", ""),
    _turn(
        "fermionic_swap",
        _block(4, {(1, 1): -0.5, (1, 2): 0.5, (2, 1): 0.5, (2, 2): -0.5, (3, 3): -1}),
        "FermionicSWAP",
    ),
    Gate(
        "orbital_rotation",
        4,
        1,
        parts=(
            ("fermionic_swap", (1, 2), (math.pi,)),
            ("single_excitation", (0, 1), ((0, 1.0),)),
            ("single_excitation", (2, 3), ((0, 1.0),)),
            ("fermionic_swap", (1, 2), (math.pi,)),
        ),
        pennylane="OrbitalRotation",
    ),
    Gate(
        "pswap",
        2,
        1,
        parts=(("swap", (0, 1), ()), ("rzz", (0, 1), ((0, 1.0),)), ("gphase", (), ((0, 0.5),))),
        pennylane="PSWAP",
    ),
    Gate(
        "rot",
        1,
        3,
        parts=(("rz", (0,), ((0, 1.0),)), ("ry", (0,), ((1, 1.0),)), ("rz", (0,), ((2, 1.0),))),
        pennylane="Rot",
    ),
    Gate(
        "crot",
        2,
        3,
        parts=(("crz", (0, 1), ((0, 1.0),)), ("cry", (0, 1), ((1, 1.0),)), ("crz", (0, 1), ((2, 1.0),))),
        pennylane="CRot",
    ),
    Gate(
        "u2",
        1,
        2,
        parts=(("p", (0,), ((1, 1.0),)), ("ry", (0,), (math.pi / 2,)), ("p", (0,), ((0, 1.0),))),
        pennylane="U2",
        qasm="u2",
    ),
    Gate(
        "u3",
        1,
        3,
        parts=(("p", (0,), ((2, 1.0),)), ("ry", (0,), ((0, 1.0),)), ("p", (0,), ((1, 1.0),))),
        pennylane="U3",
        qasm="u3",
    ),
    Gate(
        "cu",
        2,
        4,
        parts=(
            ("p", (0,), ((3, 1.0),)),
            ("cp", (0, 1), ((2, 1.0),)),
            ("cry", (0, 1), ((0, 1.0),)),
            ("cp", (0, 1), ((1, 1.0),)),
        ),
        qasm="cu",
    ),
    Gate("pauli_rot", None, 1, pennylane="PauliRot"),
    Gate("unitary", None, 0, pennylane="QubitUnitary"),
    Gate("diagonal", None, 0, pennylane="DiagonalQubitUnitary"),
)

GATES: dict[str, Gate] = {row.name: row for row in _ROWS}

ALIASES = {
    "cnot": "cx",
    "toffoli": "ccx",
    "hadamard": "h",
    "phase": "p",
    "cphase": "cp",
    "givens": "single_excitation",
    "isingxx": "rxx",
    "isingyy": "ryy",
    "isingzz": "rzz",
    "isingxy": "rxy",
    "u": "u3",
    "fredkin": "cswap",
}
"""Other names under which a gate is known; `Op` stores the name of the table."""
