"""Observable: weighted Pauli words; the words are static, the coefficients may be traced."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits.gates import PAULI
from qgen.circuits.operation import integers

Word = tuple[tuple[int, str], ...]
"""Pairs (wire, letter of XYZ) in order of wires; the empty word is the identity."""

HERMITICITY_TOLERANCE = 1e-6


@jax.tree_util.register_pytree_node_class
class Observable:
    """sum_k coefficients[k] * words[k].

    Args:
        words: Pauli words: strings such as "ZIX" (letter i acts on wire i) or tuples of (wire, letter).
        coefficients: real numbers, one per word; all 1 where left out.

    Raises:
        ValueError: if a letter is unknown, a wire is repeated, the lengths differ or a coefficient is complex.
    """

    words: tuple[Word, ...]
    coefficients: Any

    def __init__(self, words: Sequence[str | Sequence[tuple[int, str]]], coefficients: Any = None):
        self.words = tuple(_normal(word) for word in ([words] if isinstance(words, str) else words))
        given = np.ones(len(self.words)) if coefficients is None else coefficients
        given = given if isinstance(given, jax.Array) else np.asarray(given)
        if given.shape != (len(self.words),):
            raise ValueError(
                f"Argument `coefficients` must have shape ({len(self.words)},), one per word, but has {given.shape}."
            )
        if np.issubdtype(given.dtype, np.complexfloating):
            raise ValueError("Argument `coefficients` must be real: an observable is Hermitian.")
        # A numpy array stays concrete under jit, which static uses (cost layers) need.
        self.coefficients = given

    def tree_flatten(self) -> tuple[tuple[Any], tuple[Word, ...]]:
        """Coefficients are leaves, words are structure."""
        return (self.coefficients,), self.words

    @classmethod
    def tree_unflatten(cls, words: tuple[Word, ...], leaves: tuple[Any]) -> "Observable":
        """Rebuilds without checks, as jax may put placeholders in place of arrays."""
        made = object.__new__(cls)
        made.words, made.coefficients = words, leaves[0]
        return made

    def __repr__(self) -> str:
        """The words with their coefficients."""
        return f"Observable({[_text(word) for word in self.words]}, {self.coefficients})"

    def __add__(self, other: "Observable") -> "Observable":
        """The sum; equal words are merged."""
        if not isinstance(other, Observable):
            return NotImplemented
        module = np if all(isinstance(o.coefficients, np.ndarray) for o in (self, other)) else jnp
        words = list(dict.fromkeys(self.words + other.words))
        place = np.array([words.index(word) for word in self.words + other.words], dtype=int)
        onto = np.zeros((len(words), len(place)))
        onto[place, np.arange(len(place))] = 1.0
        return Observable(words, module.asarray(onto) @ module.concatenate([self.coefficients, other.coefficients]))

    def __mul__(self, factor: Any) -> "Observable":
        """The observable times a real number."""
        return Observable(self.words, self.coefficients * factor)

    __rmul__ = __mul__

    def __neg__(self) -> "Observable":
        """The opposite."""
        return self * -1.0

    def __sub__(self, other: "Observable") -> "Observable":
        """The difference."""
        return self + (-other)

    @property
    def width(self) -> int:
        """The least number of qubits that it needs."""
        return max((wire + 1 for word in self.words for wire, _ in word), default=1)

    @property
    def is_diagonal(self) -> bool:
        """True if every word holds only Z."""
        return all(letter == "Z" for word in self.words for _, letter in word)

    def masks(self, n_qubits: int) -> tuple[list[int], list[int], list[int]]:
        """Per word: the bits that it flips (X, Y), the bits whose sign it reads (Z, Y) and its number of Y."""
        flips, signs, ys = [], [], []
        for word in self.words:
            bit = {wire: 1 << (n_qubits - 1 - wire) for wire, _ in word}
            flips.append(sum(bit[wire] for wire, letter in word if letter in "XY"))
            signs.append(sum(bit[wire] for wire, letter in word if letter in "ZY"))
            ys.append(sum(letter == "Y" for _, letter in word))
        return flips, signs, ys

    def table(self, n_qubits: int) -> Any:
        """The values of a diagonal observable on all 2**n bit strings.

        Raises:
            ValueError: if a word holds X or Y, or the observable does not fit the register.
        """
        if not self.is_diagonal:
            raise ValueError("Only an observable of Z words has a table of values.")
        check_fits(self, n_qubits)
        _, signs, _ = self.masks(n_qubits)
        half = n_qubits // 2
        high = parities([mask >> half for mask in signs], n_qubits - half)
        low = parities([mask & ((1 << half) - 1) for mask in signs], half)
        module = np if isinstance(self.coefficients, np.ndarray) else jnp
        return ((high * module.asarray(self.coefficients)) @ low.T).reshape(-1)

    def matrix(self, n_qubits: int) -> Any:
        """The dense matrix, [2**n, 2**n]: for small registers and for tests."""
        check_fits(self, n_qubits)
        total: Any = 0
        for word, coefficient in zip(self.words, self.coefficients, strict=True):
            letters = dict(word)
            factors = [PAULI[letters.get(wire, "I")] for wire in range(n_qubits)]
            total = total + coefficient * functools.reduce(np.kron, factors)
        return total


def parities(masks: Sequence[int], bits: int) -> np.ndarray:
    """(-1)**(number of common ones) of every bit string with every mask, float32 [2**bits, masks]."""
    strings = np.arange(2**bits, dtype=np.int64)[:, None]
    both = strings & np.asarray(masks, dtype=np.int64)[None, :]
    for shift in (32, 16, 8, 4, 2, 1):
        both ^= both >> shift
    return (1 - 2 * (both & 1)).astype(np.float32)


def check_fits(observable: Observable, n_qubits: int) -> None:
    """Raises ValueError unless every wire of the observable lies in the register."""
    if observable.width > n_qubits:
        raise ValueError(
            f"The observable acts on wire {observable.width - 1}: out of range in a circuit of {n_qubits} qubits."
        )


def pauli(word: str, wires: int | Sequence[int]) -> Observable:
    """One Pauli word on the given wires, with coefficient 1.

    Example:
        >>> pauli("XZ", (0, 3)).words
        (((0, 'X'), (3, 'Z')),)
    """
    placed = integers("wires", wires)
    if len(word) != len(placed):
        raise ValueError(f"Argument `wires` must hold {len(word)} wires, one per letter of {word!r}, but is {placed}.")
    return Observable([tuple(zip(placed, word, strict=True))])


def x(wire: int) -> Observable:
    """Pauli X on one wire."""
    return pauli("X", wire)


def y(wire: int) -> Observable:
    """Pauli Y on one wire."""
    return pauli("Y", wire)


def z(wire: int) -> Observable:
    """Pauli Z on one wire."""
    return pauli("Z", wire)


def z_sum(n_qubits: int, scale: float = 1.0) -> Observable:
    """scale * (Z_0 + ... + Z_{n-1})."""
    return Observable([((wire, "Z"),) for wire in range(n_qubits)], np.full(n_qubits, scale))


def from_matrix(matrix: Any, wires: Sequence[int] | None = None) -> Observable:
    """The Pauli words of a Hermitian matrix.

    Args:
        matrix: complex [2**k, 2**k], concrete.
        wires: the k wires it acts on; the first k where left out.

    Raises:
        ValueError: if the matrix is not square of a power of two, not Hermitian, or does not fit the wires.
    """
    array = np.asarray(matrix, dtype=complex)
    k = max(int(round(np.log2(max(len(array), 1)))), 0)
    check.shape("matrix", array, (2**k, 2**k))
    if not np.allclose(array, array.conj().T, rtol=0, atol=HERMITICITY_TOLERANCE * max(1.0, float(np.max(abs(array))))):
        raise ValueError("Argument `matrix` must be Hermitian to be an observable.")
    wires = tuple(range(k)) if wires is None else tuple(wires)
    if len(wires) != k:
        raise ValueError(f"Argument `wires` must hold {k} wires, but is {wires}.")
    basis = np.stack([PAULI[letter].T.reshape(4) / 2 for letter in "IXYZ"])
    weights = array.reshape((2,) * (2 * k)).transpose([axis for q in range(k) for axis in (q, k + q)])
    for _ in range(
        k
    ):  # turns the last pair of axes into letters and puts them in front: a full turn restores the order
        weights = np.moveaxis(weights.reshape((*weights.shape[:-2], 4)) @ basis.T, -1, 0)
    words, coefficients = [], []
    for place in np.argwhere(abs(weights) > 1e-12):
        words.append(tuple((wires[q], "IXYZ"[letter]) for q, letter in enumerate(place)))
        coefficients.append(np.real(weights[tuple(place)]))
    return Observable(words, np.array(coefficients)) if words else Observable([()], np.zeros(1))


def _normal(word: str | Sequence[tuple[int, str]]) -> Word:
    pairs = list(enumerate(word)) if isinstance(word, str) else list(word)
    wires = integers("wires", [wire for wire, _ in pairs])
    pairs = [(wire, letter) for wire, (_, letter) in zip(wires, pairs, strict=True)]
    if len(set(wires)) != len(wires):
        raise ValueError(f"A Pauli word has repeated wires: {wires}.")
    if wires and min(wires) < 0:
        raise ValueError(f"A Pauli word has a negative wire: {wires}.")
    for _, letter in pairs:
        check.one_of("word", letter, PAULI)
    return tuple(sorted((wire, letter) for wire, letter in pairs if letter != "I"))


def _text(word: Word) -> str:
    return " ".join(f"{letter}{wire}" for wire, letter in word) or "1"
