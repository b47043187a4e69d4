"""Encodings: circuits whose parameters happen to be data."""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qgen import check
from qgen.circuits.ansatz import ring
from qgen.circuits.circuit import Circuit, repeat
from qgen.circuits.observables import Observable, check_fits
from qgen.circuits.operation import Angle, Op, gate
from qgen.types import Array, Complex, Float


def basis(bits: Sequence[int]) -> Circuit:
    """|bits>: X on every qubit whose bit is 1."""
    if set(bits) - {0, 1} or not len(bits):
        raise ValueError(f"Argument `bits` must hold zeros and ones, at least one, but is {tuple(bits)}.")
    return Circuit(len(bits), tuple(gate("x", q) for q, bit in enumerate(bits) if bit))


def angle(n_qubits: int, name: str = "ry") -> Circuit:
    """One rotation per qubit, feature q in radians on qubit q."""
    return Circuit(n_qubits, tuple(gate(name, q, Angle(q)) for q in range(n_qubits)))


def iqp(n_qubits: int, reps: int = 2, pairs: Sequence[tuple[int, int]] | None = None) -> Circuit:
    """The instantaneous-polynomial ("ZZ") feature map (arXiv:1804.11326): H, RZ(2 x_i), RZZ(2 x_i x_j), `reps` times.

    Its parameters are what `iqp_angles(x, pairs)` returns: the features, then the products over the pairs.

    Args:
        n_qubits: the number of qubits.
        reps: how often the data is uploaded, at least 1.
        pairs: the interacting pairs; a ring where left out.

    Returns:
        A circuit of n_qubits + len(pairs) parameters.
    """
    pairs = ring(n_qubits) if pairs is None else tuple(pairs)
    ops = [gate("h", q) for q in range(n_qubits)]
    ops += [gate("rz", q, Angle(q, 2.0)) for q in range(n_qubits)]
    ops += [gate("rzz", pair, Angle(n_qubits + k, 2.0)) for k, pair in enumerate(pairs)]
    body = Circuit(n_qubits, tuple(ops))
    return repeat(body, reps, shared=body.n_params)


def iqp_angles(
    x: Float[Array, "*batch qubits"], pairs: Sequence[tuple[int, int]] | None = None
) -> Float[Array, "*batch params"]:
    """The parameters of `iqp`: x, then x_i x_j for every pair (the same pairs as given to `iqp`)."""
    x = jnp.asarray(x)
    pairs = ring(x.shape[-1]) if pairs is None else tuple(pairs)
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    return jnp.concatenate([x, x[..., first] * x[..., second]], -1)


def amplitude(n_qubits: int, *, real: bool = False) -> Circuit:
    """Prepares any state with uniformly controlled rotations (Möttönen et al., arXiv:quant-ph/0407010).

    Args:
        n_qubits: the number of qubits.
        real: leave out the phases: for vectors of real numbers, at half the gates.

    Returns:
        A circuit whose parameters are `amplitude_angles(vector, real=real)`; 2**(n+1) - 2n - 2 CNOTs with phases (the
        last CNOT of each multiplexer of RZ included where n > 1), 2**n - 2 without.
    """
    check.at_least("n_qubits", n_qubits, 1)
    ops: list[Op] = []
    first = 0
    for name in ("ry",) if real else ("ry", "rz"):
        for target in range(n_qubits):
            ops += _multiplexer(name, target, first)
            first += 2**target
    if not real:
        ops.append(gate("gphase", (), Angle(first)))
    return Circuit(n_qubits, tuple(ops))


def _multiplexer(name: str, target: int, first: int) -> list[Op]:
    """A rotation of `target` by an angle for each value of the qubits before it: 2**target rotations and CNOTs."""
    if target == 0:
        return [gate(name, 0, Angle(first))]
    count = 2**target
    ops = []
    for k in range(count):
        ops.append(gate(name, target, Angle(first + k)))
        changed = (k + 1) & -(k + 1) if k + 1 < count else count // 2
        ops.append(gate("cx", (target - 1 - (changed.bit_length() - 1), target)))
    return ops


def amplitude_state(vector: Array) -> Complex[Array, " strings"]:
    """The state that `amplitude` prepares, for the argument `state` of `apply`: the vector divided by its norm.

    Args:
        vector: [2**n], real or complex.

    Raises:
        ValueError: if the length is not a power of two, or the vector is zero.
    """
    vector, _ = _loadable(vector)
    state = vector.astype(jnp.promote_types(vector.dtype, jnp.complex64))
    return state / jnp.linalg.norm(state)


def amplitude_angles(vector: Array, *, real: bool = False) -> Float[Array, " params"]:
    """The parameters of `amplitude` for a state vector.

    Args:
        vector: [2**n], real or complex; it is normalised here.
        real: as given to `amplitude`; the vector's signs are kept, so it must be real.

    Returns:
        [2**n - 1] angles (real) or [2**(n+1) - 1] (with phases and the global phase).

    Raises:
        ValueError: if the length is not a power of two, the vector is zero, or `real` is asked of a complex vector.
    """
    vector, n = _loadable(vector)
    if real and jnp.iscomplexobj(vector):
        raise ValueError("Argument `vector` must be real where `real` is asked for.")
    # Levels from the leaves up: at each, a rotation angle for every node of the binary tree of norms.
    size = vector if real else jnp.abs(vector)
    phase = None if real else jnp.angle(vector)
    turns, twists = [], []
    for _ in range(n):
        left, right = size[0::2], size[1::2]
        turns.append(2 * jnp.arctan2(right, left))
        size = jnp.sqrt(left**2 + right**2)
        if phase is not None:
            twists.append(phase[1::2] - phase[0::2])
            phase = (phase[0::2] + phase[1::2]) / 2
    rows = [_gray(level) for level in reversed(turns)]
    if phase is not None:
        rows += [_gray(level) for level in reversed(twists)] + [phase]
    return jnp.concatenate(rows)


def _loadable(vector: Array) -> tuple[Array, int]:
    """The vector as an array, checked, and the number of qubits that hold it."""
    vector = jnp.asarray(vector)
    n = int(round(np.log2(max(vector.size, 1))))
    check.shape("vector", vector, (2**n,))
    check.at_least("len(vector)", vector.size, 2)
    if not isinstance(vector, Tracer) and not jnp.any(vector != 0):
        raise ValueError("Argument `vector` must not be zero: it is divided by its norm.")
    return vector, n


def _gray(angles: Array) -> Array:
    """The angles of a multiplexer's rotations from those of its branches: a signed sum in Gray-code order."""
    count = angles.shape[0]
    k = np.arange(count)
    gray = k ^ (k >> 1)
    both = k[:, None] & gray[None, :]
    signs = 1 - 2 * (functools.reduce(np.bitwise_xor, [(both >> bit) & 1 for bit in range(count.bit_length())]))
    return jnp.asarray(signs.T, dtype=angles.dtype) @ angles / count


def evolution(
    observable: Observable, time: float | None = None, steps: int = 1, order: int = 1, n_qubits: int | None = None
) -> Circuit:
    """exp(-i H t) by product formulas (Suzuki, order 1 or 2), one Pauli rotation per word and step.

    Args:
        observable: H with concrete coefficients.
        time: t; None makes it the circuit's one parameter.
        steps: the number of Trotter steps, at least 1.
        order: 1 (first to last word) or 2 (symmetric).
        n_qubits: the register; the observable's width where left out.

    Returns:
        The circuit.
    """
    check.at_least("steps", steps, 1)
    check.one_of("order", order, (1, 2))
    width = observable.width if n_qubits is None else n_qubits
    check_fits(observable, width)
    weights = np.asarray(observable.coefficients, dtype=float)
    terms = list(zip(observable.words, weights, strict=True))
    sequence = [(word, weight / steps) for word, weight in terms]
    if order == 2:
        sequence = [(word, weight / 2) for word, weight in sequence]
        sequence = sequence + sequence[::-1]
    ops = []
    for word, weight in sequence:
        turned = Angle(0, 2 * weight) if time is None else 2 * weight * float(time)
        if word:
            wires, letters = zip(*word, strict=True)
            ops.append(Op("pauli_rot", wires, (turned,), word="".join(letters)))
        else:
            ops.append(Op("gphase", (), (turned * -0.5,)))
    return repeat(Circuit(width, tuple(ops)), steps, shared=0 if time is not None else 1)
