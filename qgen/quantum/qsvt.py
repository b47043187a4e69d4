"""Singular vectors above a threshold, by quantum singular value transformation (Gilyen et al., arXiv:1806.01838).

The matrix is block-encoded as matrix / |matrix|_F: rotations prepare the rows' norms, others the rows. An even
polynomial P of the encoded singular values, near 0 below a threshold and near 1 above, turns random states into states
of the leading right singular vectors, which are read out by tomography and span the factors. Loading, post-selection
and read-out are counted: a matrix of N entries costs N - 1 rotations each time that it is called.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import Angle, Circuit, Op, controlled, count, encodings, gate
from qgen.circuits.circuit import Item
from qgen.quantum import tomography
from qgen.resources import Resources
from qgen.types import Array, Float, Key

HEADROOM = 0.98
"""The largest value of a polynomial whose phases are looked for: at 1 the solution is degenerate."""
NEWTON_STEPS = 40


def step_polynomial(threshold: float, gap: float, error: float) -> np.ndarray:
    """An even polynomial that is near 0 for |x| <= threshold - gap / 2 and near 1 above threshold + gap / 2.

    A difference of error functions, cut in Chebyshev polynomials where its tail has become small: the degree grows as
    log(1 / error) / gap (arXiv:1707.05391). Values stay in [-1, 1].

    Args:
        threshold: where it takes about 1/2, in (0, 1).
        gap: width of the rise; threshold - gap / 2 must be positive.
        error: largest distance from 0 and 1 outside the rise, in (0, 1/2).

    Returns:
        Chebyshev coefficients of degrees 0, 1, ..., float64; odd ones are zero.

    Raises:
        ValueError: if a number is out of range.
    """
    from scipy.fft import dct
    from scipy.special import erf, erfcinv

    check.within("threshold", threshold, 1e-9, 1 - 1e-9)
    check.within("gap", gap, 1e-9, 2 * threshold)
    check.within("error", error, 1e-12, 0.5)
    slope = 2 * erfcinv(error / 2) / gap
    size = 64
    while size < 8 * slope:
        size *= 2
    nodes = np.cos(np.pi * (np.arange(size) + 0.5) / size)
    values = 1 - (erf(slope * (nodes + threshold)) - erf(slope * (nodes - threshold))) / 2
    coefficients = np.asarray(dct(values)) / size
    coefficients[0] /= 2
    coefficients[1::2] = 0
    tail = np.cumsum(np.abs(coefficients)[::-1])[::-1]
    degree = int(np.flatnonzero(tail > error / 4)[-1])
    return coefficients[: degree + 1 - degree % 2] / (1 + error / 4)


def phases(polynomial: np.ndarray) -> np.ndarray:
    """Phases whose alternating products with reflections have the polynomial as real part of their first entry.

    Re <0| e^{i p_0 Z} R(x) e^{i p_1 Z} ... R(x) e^{i p_d Z} |0> = P(x), R(x) the reflection with x in its corner, by
    Newton's method on symmetric phases from those of P = 0 (arXiv:2307.12468).

    Args:
        polynomial: Chebyshev coefficients of an even polynomial of degree 2 or more, within HEADROOM of 0.

    Returns:
        d + 1 angles in radians.

    Raises:
        ValueError: if the polynomial is not even, too large, or Newton's method does not get there.
    """
    degree = len(polynomial) - 1
    check.at_least("degree", degree, 2)
    if degree % 2 or np.any(polynomial[1::2]):
        raise ValueError(f"Argument `polynomial` must be even, but has degree {degree} or odd terms.")
    half = degree // 2
    x = np.cos(np.pi * (2 * np.arange(half + 1) + 1) / (4 * (half + 1)))
    target = np.polynomial.chebyshev.chebval(x, polynomial)
    grid = np.polynomial.chebyshev.chebval(np.linspace(0, 1, 20 * degree + 21), polynomial)
    if np.abs(grid).max() > HEADROOM + 1e-9:
        raise ValueError(f"Argument `polynomial` must stay within {HEADROOM}, but reaches {np.abs(grid).max()}.")
    free = np.zeros(half + 1)  # half of the symmetric phases, the middle one last
    for _ in range(NEWTON_STEPS):
        value, slope = _products(free, x)
        if np.abs(value - target).max() < 1e-12:
            break
        free = free - np.linalg.solve(slope, value - target)
    if not np.abs(_products(free, x)[0] - target).max() < 1e-9:
        raise ValueError("Argument `polynomial` has no phases that Newton's method finds.")
    symmetric = np.concatenate([free, free[-2::-1]])
    # W(x)* = -i e^{i pi/4 Z} R(x) e^{i pi/4 Z}; the pi/4 at both ends cancels the one in `_products`.
    turned = math.pi / 2 - symmetric
    turned[[0, -1]] = -symmetric[[0, -1]]
    turned[0] += math.pi * (half % 2)
    return turned


def _products(free: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Re <0| ... |0> of the symmetric product with rotations W(x), at every x, and its slopes by the free phases."""
    half = len(free) - 1
    full = np.concatenate([free, free[-2::-1]])
    full[[0, -1]] += math.pi / 4
    root = np.sqrt(1 - x**2)
    signal = np.stack([np.stack([x + 0j, 1j * root], -1), np.stack([1j * root, x + 0j], -1)], -2)
    turn = np.exp(1j * full[:, None] * np.array([1.0, -1.0]))
    before = [np.broadcast_to(np.array([1.0, 0.0], complex), (len(x), 2))]  # row vectors up to each phase
    for k in range(len(full) - 1):
        before.append(np.einsum("ni,nij->nj", before[-1] * turn[k], signal))
    after = [np.broadcast_to(np.array([1.0, 0.0], complex), (len(x), 2))]  # column vectors from each phase on
    for k in range(len(full) - 1, 0, -1):
        after.append(np.einsum("nij,nj->ni", signal, after[-1] * turn[k]))
    after = after[::-1]
    value = np.real(np.sum(before[0] * turn[0] * after[0], axis=1))
    signs = np.array([1.0, -1.0])
    each = [np.real(np.sum(before[k] * (1j * signs * turn[k]) * after[k], axis=1)) for k in range(len(full))]
    slope = np.stack([each[k] + (each[-1 - k] if k != len(full) - 1 - k else 0) for k in range(half + 1)], axis=1)
    return value, slope


@functools.lru_cache(maxsize=16)
def block_encoding(row_qubits: int, column_qubits: int) -> Circuit:
    """Circuit U with <i, 0| U |0, j> = matrix[i, j] / |matrix|_F, on the registers of rows and of columns.

    Its parameters are `encodings.amplitude_angles` of the matrix, row after row, real.

    Args:
        row_qubits: log2 of the rows.
        column_qubits: log2 of the columns.
    """
    check.at_least("row_qubits", row_qubits, 1)
    check.at_least("column_qubits", column_qubits, 1)
    width = row_qubits + column_qubits
    loader = encodings.amplitude(width, real=True)
    turns = [op for op in loader.ops if isinstance(op, Op)]
    norms = tuple(op for op in turns if max(op.support) < row_qubits)
    rows = Circuit(width, tuple(op for op in turns if max(op.support) >= row_qubits))
    return Circuit(width, norms + rows.inverse().ops)


def transformation(row_qubits: int, column_qubits: int, degree: int) -> Circuit:
    """The circuit whose block <0...0, j'| . |0...0, j> is the even polynomial of the encoded matrix.

    Qubits: rows, columns, a flag for the projectors, and a qubit that starts in |0> and ends in |0> with the real part.
    Parameters: the angles of `block_encoding`, then the d + 1 phases of `phases`.

    Args:
        row_qubits: log2 of the rows.
        column_qubits: log2 of the columns.
        degree: even.
    """
    if degree % 2:
        raise ValueError(f"Argument `degree` must be even, but is {degree}.")
    call = block_encoding(row_qubits, column_qubits)
    width = row_qubits + column_qubits
    registers = (tuple(range(row_qubits)), tuple(range(row_qubits, width)))  # zero on the right, zero on the left
    ops: list[Item] = [gate("h", width + 1)]
    for place in range(degree, -1, -1):
        ops += projector_phase(registers[place % 2], width, Angle(2**width - 1 + place, 2.0))
        if place:
            ops += call.ops if place % 2 == 0 else call.inverse().ops
    return Circuit(width + 2, (*ops, gate("h", width + 1)))


def projector_phase(register: tuple[int, ...], flag: int, angle: Angle | float) -> tuple:
    """exp(i angle / 2 Z (2 Pi - 1)): Pi projects the register on zero, Z acts on the qubit after the flag."""
    mark = controlled(gate("x", flag), register, (0,) * len(register))
    return mark, gate("rzz", (flag, flag + 1), angle), mark


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `factors`.

    Attributes:
        rank: vectors to keep.
        oversampling: random states beyond the rank.
        gap: the polynomial's rise, as a share of the threshold.
        error: the polynomial's error outside the rise.
        shots: shots that pass post-selection, per setting of the tomography; 0 stands for a read-out without noise.
    """

    rank: int
    oversampling: int = 4
    gap: float = 0.5
    error: float = 0.05
    shots: int = 4096

    def __post_init__(self) -> None:
        """Refuses numbers out of range."""
        check.at_least("rank", self.rank, 1)
        check.at_least("oversampling", self.oversampling, 0)
        check.within("gap", self.gap, 1e-6, 1.9)
        check.within("error", self.error, 1e-9, 0.5)
        check.at_least("shots", self.shots, 0)


def factors(
    key: Key, matrix: Float[Array, "in out"], config: Config
) -> tuple[tuple[Array, Array], tuple[Resources, ...]]:
    """Low-rank factors (a, b) from filtered random states, and what preparing and reading them needs.

    The threshold lies between the singular values `rank` and `rank` + 1, which are taken as known: a search for them is
    not counted. The states are computed from the singular values; the tests run the circuit itself on small matrices.
    The polynomial depends on the matrix, so that this runs outside jit. Singular vectors of the shorter side are read:
    of a wide matrix, the transposed one is encoded.

    Args:
        key: draws the random states and the shots.
        matrix: the weights, padded to powers of two here.
        config: the settings.

    Returns:
        ((a, b), resources); the vectors of the shorter side are orthonormal.

    Raises:
        ValueError: if the rank is not below the smaller side.
    """
    check.within("rank", config.rank, 1, min(matrix.shape) - 1)
    if matrix.shape[0] < matrix.shape[1]:
        (a, b), needed = factors(key, matrix.T, config)
        return (b.T, a.T), needed
    sides = [max(2, 1 << (side - 1).bit_length()) for side in matrix.shape]
    padded = jnp.pad(matrix, [(0, to - side) for to, side in zip(sides, matrix.shape, strict=True)])
    _, s, vt = jnp.linalg.svd(padded, full_matrices=False)
    encoded = np.zeros(sides[1])
    encoded[: len(s)] = np.asarray(s, float) / np.linalg.norm(s)
    threshold = float(encoded[config.rank - 1] + encoded[config.rank]) / 2
    polynomial = HEADROOM * step_polynomial(threshold, config.gap * threshold, config.error)
    level = jnp.asarray(np.polynomial.chebyshev.chebval(encoded, polynomial), jnp.float32)
    state_key, shot_key = jax.random.split(key)
    n_states = min(config.rank + config.oversampling, matrix.shape[1])
    starts = jax.random.normal(state_key, (n_states, sides[1]))
    starts = starts / jnp.linalg.norm(starts, axis=1, keepdims=True)
    filtered = ((starts @ vt.T) * level[None, :]) @ vt
    passed = jnp.sum(filtered**2, axis=1)
    states = filtered / jnp.sqrt(passed)[:, None]
    if config.shots:
        states = _read(jax.random.split(shot_key, n_states), states, config.shots)
    basis = jnp.linalg.qr(states[:, : matrix.shape[1]].T)[0]
    u, strength, rotation = jnp.linalg.svd(matrix @ basis, full_matrices=False)
    kept = slice(config.rank)
    pair = u[:, kept] * strength[None, kept], rotation[kept] @ basis.T
    needed = resources((sides[0], sides[1]), len(polynomial) - 1, np.asarray(passed), max(config.shots, 1))
    return pair, needed


@functools.partial(jax.jit, static_argnames="shots")
def _read(keys: Key, states: Float[Array, "states size"], shots: int) -> Float[Array, "states size"]:
    def one(key: Key, state: Array) -> Array:
        seen = tomography.counts(key, state, shots)
        return tomography.rebuild(seen, jnp.argmax(seen[0]), jnp.ones(()))

    return jax.vmap(one)(keys, states)


def resources(
    shape: tuple[int, int], degree: int, passed: Float[np.ndarray, " states"], shots: int
) -> tuple[Resources, ...]:
    """What reading out filtered states needs.

    Per execution: loading the random state, `degree` calls of the block encoding or its inverse, degree + 1 projector
    phases. Executions per state: its settings times shots, over the chance that post-selection lets it pass.

    Args:
        shape: rows and columns, powers of two.
        degree: of the polynomial.
        passed: chance of passing, per state.
        shots: shots that pass, per setting.
    """
    row_qubits, column_qubits = (side.bit_length() - 1 for side in shape)
    width = row_qubits + column_qubits
    rows, columns = tuple(range(row_qubits)), tuple(range(row_qubits, width))
    parts = [
        _gates(encodings.amplitude(column_qubits, real=True)),
        _call(row_qubits, column_qubits) * degree,
        _gates(Circuit(width + 2, projector_phase(rows, width, Angle(0)))) * (degree // 2 + 1),
        _gates(Circuit(width + 2, projector_phase(columns, width, Angle(0)))) * (degree // 2),
        _gates(Circuit(width + 2, (gate("h", width + 1), gate("h", width + 1)))),
    ]
    once = functools.reduce(lambda left, right: left + right, parts)
    once = dataclasses.replace(once, shots=1, measurements=width + 2)
    settings = column_qubits + 1
    executions = float(np.sum(settings * shots / np.asarray(passed, float)))
    return (once * executions + Resources(once.qubits, circuits=settings * len(passed)),)


def _call(row_qubits: int, column_qubits: int) -> Resources:
    """What `count` finds in `block_encoding`, in closed form: of large matrices it has a million gates."""
    qubits = row_qubits + column_qubits
    entries = 2**qubits
    return Resources(
        qubits,
        layers=2 * entries - qubits - 1,
        layers_2q=entries - 2,
        gates_1q=entries - 1,
        gates_2q=entries - 2,
        rotations=entries - 1,
    )


def _gates(circuit: Circuit) -> Resources:
    """The gates and layers of a part of a circuit, without a reset and a read-out of its own."""
    return dataclasses.replace(count(circuit), circuits=0, shots=0, measurements=0)
