"""Fixed Hamming weight: states on the C(n, k) strings with k ones instead of 2^n, for weight-preserving circuits.

A choice of k out of n things (which blocks of a network to remove, which documents to keep) needs no penalty term
when the circuit never leaves the strings of weight k: it starts in the Dicke state, its phases are diagonal, and its
mixer is made of XY gates exp(-i b (XX + YY) / 2), which only swap a one and a zero (Hadfield et al., arXiv 1709.03489).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from qgen import check
from qgen.circuits.circuit import Circuit
from qgen.circuits.memory import check_bytes, check_memory
from qgen.circuits.operation import Angle, Op, gate
from qgen.types import Array, Complex, Float, Int

MIXERS = ("ring", "full", "exact")
"""ring: XY gates on neighbours, even pairs then odd pairs. full: XY gates on all pairs, in rounds of disjoint pairs.
exact: the exponential of the sum over all pairs, which no short circuit realises; an ideal to compare with."""


MOST_QUBITS = 63
"""Strings are told apart by the numbers that they spell, in 64 bits with a sign."""


@functools.lru_cache
def strings(n: int, k: int) -> Int[np.ndarray, "size n"]:
    """All strings of n bits with k ones, in the order of the numbers they spell (bit 0 is the most significant).

    Raises:
        ValueError: if n is not in [1, MOST_QUBITS], k not in [0, n], or the strings exceed this machine's memory.
    """
    check.within("n", n, 1, MOST_QUBITS)
    check.within("k", k, 0, n)
    _check_size(n, k, 2 * 8 * n)
    numbers = np.array([0], dtype=np.int64)
    ones = np.array([0])
    for left in reversed(range(n)):
        numbers = np.concatenate([2 * numbers, 2 * numbers + 1])
        ones = np.concatenate([ones, ones + 1])
        keep = (ones <= k) & (ones + left >= k)  # what k ones can still come of: no more than there are strings
        numbers, ones = numbers[keep], ones[keep]
    numbers = np.sort(numbers)
    bits = (numbers[:, None] >> np.arange(n - 1, -1, -1)) & 1
    bits.setflags(write=False)
    return bits


def _check_size(n: int, k: int, each: int) -> None:
    """Raises ValueError, with how many ones would fit, if so many bytes for each string exceed the memory."""

    def fits(available: int) -> str:
        most = max((j for j in range(min(k, n - k)) if each * math.comb(n, j) <= available), default=0)
        return f"at most {most} ones, or zeros, fit."

    check_bytes(f"A sector of {n} qubits with {k} ones", each * math.comb(n, k), fits)


def numbers(n: int, k: int) -> Int[np.ndarray, " size"]:
    """The strings as numbers: the places of the sector's amplitudes in the full state of length 2^n."""
    return strings(n, k) @ (1 << np.arange(n - 1, -1, -1, dtype=np.int64))


def pairs(n: int, mixer: str) -> tuple[tuple[int, int], ...]:
    """The pairs of qubits in the order in which one mixer layer couples them.

    Args:
        n: qubits, at least 2.
        mixer: a name of `MIXERS`.

    Raises:
        ValueError: for fewer than two qubits or an unknown mixer.
    """
    check.at_least("n", n, 2)
    check.one_of("mixer", mixer, MIXERS)
    if mixer == "ring":
        even = [(i, i + 1) for i in range(0, n - 1, 2)]
        odd = [(i, i + 1) for i in range(1, n - 1, 2)]
        closing = [(0, n - 1)] if n > 2 else []
        return tuple(even + odd + closing)
    # The circle method of round-robin tournaments: n - 1 rounds (n for odd n) of disjoint pairs.
    seats = list(range(n)) if n % 2 == 0 else [*range(n), -1]
    rounds = []
    for _ in range(len(seats) - 1):
        couples = zip(seats[: len(seats) // 2], reversed(seats[len(seats) // 2 :]), strict=True)
        rounds += [(min(a, b), max(a, b)) for a, b in couples if a >= 0 and b >= 0]
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return tuple(rounds)


def energies(linear: Float[Array, " n"], quadratic: Float[Array, "n n"], k: int) -> Float[Array, " size"]:
    """The table E(x) = linear . x + x . quadratic . x / 2 over all strings of weight k.

    Args:
        linear: [n].
        quadratic: [n, n]; the diagonal counts (x_i^2 = x_i).
        k: ones in a string.
    """
    n = linear.shape[0]
    check.shape("quadratic", quadratic, (n, n))
    x = jnp.asarray(strings(n, k), dtype=jnp.result_type(linear))
    return x @ linear + 0.5 * jnp.einsum("si,ij,sj->s", x, quadratic, x)


def uniform(n: int, k: int) -> Complex[Array, " size"]:
    """The Dicke state: equal amplitudes on all strings of weight k."""
    size = math.comb(n, k)
    return jnp.full(size, size**-0.5, dtype=jnp.result_type(1j))


def phase(
    state: Complex[Array, " size"], gamma: Float[Array, ""], table: Float[Array, " size"]
) -> Complex[Array, " size"]:
    """exp(-i gamma E) on the state, E given as a table over the strings."""
    return state * jnp.exp(-1j * gamma * table)


def mix(
    state: Complex[Array, " size"], beta: Float[Array, ""], n: int, k: int, mixer: str = "full"
) -> Complex[Array, " size"]:
    """One mixer layer with angle beta.

    Args:
        state: amplitudes over the strings of weight k.
        beta: the angle of every XY gate, radians.
        n: qubits.
        k: ones.
        mixer: a name of `MIXERS`.

    Raises:
        ValueError: if the state's length is not C(n, k), or for an unknown mixer.
    """
    check.shape("state", state, (math.comb(n, k),))
    partners = jnp.asarray(_partners(n, k, mixer))
    place = jnp.arange(state.shape[0])
    if mixer == "exact":
        return _exponential(state, beta, partners, n, k)
    cosine, sine = jnp.cos(beta), jnp.sin(beta)

    def gate(amplitudes: Array, partner: Array) -> tuple[Array, None]:
        swapped = cosine * amplitudes - 1j * sine * amplitudes[partner]
        return jnp.where(partner == place, amplitudes, swapped), None

    return jax.lax.scan(gate, state, partners)[0]


def qaoa(
    gammas: Float[Array, " layers"],
    betas: Float[Array, " layers"],
    table: Float[Array, " size"],
    n: int,
    k: int,
    mixer: str = "full",
) -> Complex[Array, " size"]:
    """The weight-preserving QAOA state: layers of phase(gamma) and mix(beta) on the Dicke state.

    Args:
        gammas: phase angles per unit of energy, [layers].
        betas: mixer angles, [layers].
        table: energy of every string, [C(n, k)].
        n: qubits.
        k: ones.
        mixer: a name of `MIXERS`.

    Returns:
        Amplitudes over the strings, [C(n, k)].
    """
    check.shape("table", table, (math.comb(n, k),))
    check.shape("betas", betas, gammas.shape)

    @jax.checkpoint  # a gradient keeps one state per layer, not one per XY gate
    def layer(state: Array, angles: tuple[Array, Array]) -> tuple[Array, None]:
        gamma, beta = angles
        return mix(phase(state, gamma, table), beta, n, k, mixer), None

    return jax.lax.scan(layer, uniform(n, k), (gammas, betas))[0]


def expand(state: Complex[Array, " size"], n: int, k: int) -> Complex[Array, " full"]:
    """The full state of length 2^n that the sector's amplitudes stand for."""
    check.shape("state", state, (math.comb(n, k),))
    check_memory(n, 1, jnp.finfo(state.dtype).dtype.itemsize)
    return jnp.zeros(2**n, dtype=state.dtype).at[jnp.asarray(numbers(n, k))].set(state)


def dicke(n: int, k: int) -> Circuit:
    """The circuit that prepares the Dicke state, with O(n k) gates and depth O(n) (arXiv 1904.07358).

    Args:
        n: qubits.
        k: ones, from 1 to n - 1 (the other two are basis states).
    """
    check.at_least("n", n, 2)
    check.within("k", k, 1, n - 1)
    ops = [gate("x", wire) for wire in range(n - k, n)]
    for size in range(n, 1, -1):
        # Splits the last of `size` qubits off: it holds a one with the right chance, and the ones before it close up.
        last = size - 1
        for ones in range(1, min(k, size - 1) + 1):
            target = last - ones
            angle = 2 * math.acos(math.sqrt(ones / size))
            controls = (last,) if ones == 1 else (target + 1, last)
            ops += [
                gate("cx", (target, last)),
                gate("ry", target, angle, controls=controls),
                gate("cx", (target, last)),
            ]
    return Circuit(n, tuple(ops))


def circuit(linear: ArrayLike, quadratic: ArrayLike, k: int, layers: int, mixer: str = "full") -> Circuit:
    """The circuit whose state `qaoa` computes, up to a global phase: Dicke state, RZ and RZZ phases, XY gates.

    Args:
        linear: linear part of the energy, [n].
        quadratic: quadratic part, [n, n].
        k: ones, from 1 to n - 1.
        layers: QAOA layers; the parameters are the gammas, then the betas, [2 * layers].
        mixer: "ring" or "full".

    Raises:
        ValueError: for the mixer "exact", which no short circuit realises.
    """
    linear, quadratic = np.asarray(linear, dtype=float), np.asarray(quadratic, dtype=float)
    n = linear.shape[0]
    check.shape("quadratic", quadratic, (n, n))
    check.at_least("layers", layers, 1)
    check.one_of("mixer", mixer, [name for name in MIXERS if name != "exact"])
    couplings = 0.5 * (quadratic + quadratic.T)
    couplings, diagonal = couplings - np.diag(np.diag(couplings)), np.diag(couplings)
    # x = (1 - z) / 2 turns bits into the signs that RZ and RZZ see.
    fields = -0.5 * (linear + 0.5 * diagonal) - 0.25 * couplings.sum(axis=1)
    ops: list[Op] = []
    for layer in range(layers):
        ops += [gate("rz", i, Angle(layer, 2 * float(fields[i]))) for i in range(n)]
        ops += [gate("rzz", pair, Angle(layer, 0.5 * float(couplings[pair]))) for pair in pairs(n, "full")]
        ops += [gate("rxy", pair, Angle(layers + layer, -2.0)) for pair in pairs(n, mixer)]
    return dicke(n, k) + Circuit(n, tuple(ops))


@functools.lru_cache(maxsize=8)
def _partners(n: int, k: int, mixer: str) -> Int[np.ndarray, "pairs size"]:
    """For every pair of the mixer, where each string goes when the pair's bits are swapped."""
    _check_size(n, k, 3 * 4 * len(pairs(n, mixer)))  # found as 8 bytes, kept as 4
    bits, order = strings(n, k), numbers(n, k)
    rows = []
    for i, j in pairs(n, mixer):
        moved = order + (bits[:, j] - bits[:, i]) * ((1 << (n - 1 - i)) - (1 << (n - 1 - j)))
        rows.append(np.searchsorted(order, moved))
    return np.array(rows, dtype=np.int32)


def _exponential(state: Array, beta: Array, partners: Array, n: int, k: int) -> Array:
    """exp(-i beta A) for the sum A of all swaps of unlike bits, by Newton's interpolation through A's eigenvalues.

    A is the adjacency matrix of the Johnson graph, whose min(k, n - k) + 1 eigenvalues are (k - j)(n - k - j) - j; a
    polynomial of that degree is exact.
    """
    roots = np.array([(k - j) * (n - k - j) - j for j in range(min(k, n - k) + 1)], dtype=float)
    # Every factor (A - root) is divided by the largest value it takes, which keeps the products near 1.
    scales = [max(float(np.abs(roots - root).max()), 1.0) for root in roots]
    values = jnp.exp(-1j * beta * jnp.asarray(roots, dtype=beta.dtype))
    place = jnp.arange(state.shape[0])

    def coupling(vector: Array) -> Array:
        def add(total: Array, partner: Array) -> tuple[Array, None]:
            return total + jnp.where(partner == place, 0, vector[partner]), None

        return jax.lax.scan(add, jnp.zeros_like(vector), partners)[0]

    coefficients = [values[0]]
    basis = [np.ones_like(roots)]
    for j in range(1, len(roots)):
        basis.append(basis[-1] * (roots - roots[j - 1]) / scales[j - 1])
        known = sum(c * b[j] for c, b in zip(coefficients, basis[:j], strict=True))
        coefficients.append((values[j] - known) / basis[j][j])
    vector, result = state, coefficients[0] * state
    for j in range(1, len(roots)):
        vector = (coupling(vector) - roots[j - 1] * vector) / scales[j - 1]
        result = result + coefficients[j] * vector
    return result
