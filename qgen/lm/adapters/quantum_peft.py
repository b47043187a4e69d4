"""Quantum-PEFT: base + a @ b whose factors are columns of orthogonal matrices that circuits of RY and CZ make.

Quantum-inspired: the circuits have real amplitudes on log2(side) qubits, and a classical machine multiplies them out.
That is done here on all columns at once, in real numbers; the tests compare with the simulator and with PennyLane.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.lm.adapters.base import Start, check_rank
from qgen.types import Array, Float, Key, Params


@dataclasses.dataclass(frozen=True)
class QuantumPeft:
    """base + (alpha / rank) * U diag(strengths) V^T (Koike-Akino et al., arXiv:2503.05431).

    U and V are the first `rank` columns of `orthogonal(angles, q, layers)`, q = ceil(log2(side)). A side that is no
    power of two uses the first rows of the next larger matrix, whose columns are then only nearly orthonormal.

    Attributes:
        rank: columns of U and V, at most the smaller side of the matrix.
        layers: entangling layers of the circuits; at least 1.
        alpha: the strength; None is the rank.
        entangled: False leaves the CZ gates out (a control: as many parameters, and Kronecker products of rotations).
        frozen: the angles stay random and the strengths alone are trained (a control).
    """

    rank: int = 2
    layers: int = 1
    alpha: float | None = None
    entangled: bool = True
    frozen: bool = False

    def __post_init__(self) -> None:
        """Refuses sizes below 1."""
        check.at_least("rank", self.rank, 1)
        check.at_least("layers", self.layers, 1)
        if self.alpha is not None:
            check.positive("alpha", self.alpha)

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """Angles uniform on the circle, strengths zero."""
        check_rank(self.rank, base.shape)
        u_key, v_key = jax.random.split(key)
        angles = {
            name: jax.random.uniform(factor_key, (n_angles(_qubits(side), self.layers),), minval=-np.pi, maxval=np.pi)
            for name, factor_key, side in (("u", u_key, base.shape[0]), ("v", v_key, base.shape[1]))
        }
        alpha = self.rank if self.alpha is None else self.alpha
        factor, strengths = {"factor": jnp.asarray(alpha / self.rank, jnp.float32)}, {"strengths": jnp.zeros(self.rank)}
        return Start(strengths, factor | angles) if self.frozen else Start(strengths | angles, factor)

    def stored(self, base: Any, trained: Params, frozen: Params) -> Params:
        """base, factor * U diag(strengths) and V^T, kept apart."""
        n_in, n_out = _shape(base)
        angles = frozen if self.frozen else trained
        u, v = (
            orthogonal(angles[name], _qubits(side), self.layers, self.rank, self.entangled)[:side]
            for name, side in (("u", n_in), ("v", n_out))
        )
        return {"base": base, "a": u * (frozen["factor"] * trained["strengths"])[None, :], "b": v.T}

    def count(self, shape: tuple[int, ...]) -> int:
        """(2 layers + 1) q - 2 layers for each factor, and the rank; with frozen angles the rank alone."""
        check_rank(self.rank, shape)
        return self.rank if self.frozen else self.rank + sum(n_angles(_qubits(side), self.layers) for side in shape)


def n_angles(n_qubits: int, layers: int) -> int:
    """Angles of one circuit: a rotation of every qubit, and per layer two of every qubit less the two ends."""
    return (2 * layers + 1) * n_qubits - 2 * layers


def orthogonal(
    angles: Float[Array, " angles"], n_qubits: int, layers: int, columns: int, entangled: bool = True
) -> Float[Array, "strings columns"]:
    """The first columns of the circuit's matrix [2^n, 2^n].

    The circuit is the simplified two-design of arXiv:2001.00550: RY on every qubit, then per layer CZ on the pairs
    (0, 1), (2, 3), ... and RY on the qubits that they touch, then the same on (1, 2), (3, 4), ...

    Args:
        angles: radians, in the order in which the circuit uses them.
        n_qubits: n, at least 1; qubit 0 is the most significant bit of a row's number.
        layers: at least 1.
        columns: at most 2^n.
        entangled: False leaves the CZ gates out.

    Raises:
        ValueError: if the number of angles does not fit, or there are fewer columns than asked for.
    """
    check.shape("angles", angles, (n_angles(n_qubits, layers),))
    check.within("columns", columns, 1, 2**n_qubits)
    places, used, signs = _structure(n_qubits, layers)
    turns = jnp.where(used, angles[places], 0.0)  # RY(0) where a brick leaves a qubit alone
    state = _turned(turns[0], jnp.eye(2**n_qubits, columns, dtype=angles.dtype))

    def brick(state: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        turn, sign = inputs
        return _turned(turn, sign[:, None] * state), None

    repeated = jnp.tile(jnp.asarray(signs if entangled else np.ones_like(signs), angles.dtype), (layers, 1))
    return jax.lax.scan(brick, state, (turns[1:], repeated))[0]


def _turned(angles: Float[Array, " qubits"], state: Array) -> Array:
    """RY(angle) on every qubit, as two Kronecker products of half the qubits each."""
    n = angles.shape[0]
    half = n // 2
    left, right = _kronecker(angles[:half], state.dtype), _kronecker(angles[half:], state.dtype)
    split = state.reshape(left.shape[0], right.shape[0], -1)
    return jnp.einsum("ia,jb,abk->ijk", left, right, split).reshape(state.shape)


def _kronecker(angles: Array, dtype: Any) -> Array:
    cos, sin = jnp.cos(angles / 2), jnp.sin(angles / 2)
    result = jnp.ones((1, 1), dtype)
    for k in range(angles.shape[0]):
        result = jnp.kron(result, jnp.stack([cos[k], -sin[k], sin[k], cos[k]]).reshape(2, 2))
    return result


@functools.lru_cache
def _structure(n_qubits: int, layers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which angle turns which qubit in which row of rotations, whether one does, and the two bricks' CZ signs."""
    pairs = [[(q, q + 1) for q in range(first, n_qubits - 1, 2)] for first in (0, 1)]
    rows = [list(range(n_qubits))]
    for _ in range(layers):
        rows += [[q for pair in brick for q in pair] for brick in pairs]
    places, used = np.zeros((len(rows), n_qubits), int), np.zeros((len(rows), n_qubits), bool)
    first = 0
    for row, touched in enumerate(rows):
        places[row, touched] = first + np.arange(len(touched))
        used[row, touched] = True
        first += len(touched)
    bits = (np.arange(2**n_qubits)[:, None] >> np.arange(n_qubits)[::-1]) & 1
    signs = [
        np.prod([1 - 2 * bits[:, a] * bits[:, b] for a, b in brick] or [np.ones(2**n_qubits)], 0) for brick in pairs
    ]
    return places, used, np.stack(signs)


def _qubits(side: int) -> int:
    return max(1, (side - 1).bit_length())


def _shape(base: Any) -> tuple[int, int]:
    return (base["int8"] if isinstance(base, dict) else base).shape
