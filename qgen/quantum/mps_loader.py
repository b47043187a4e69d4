"""Loading a real vector with few gates: the matrix-product disentangler, and its limit without entanglement.

A vector of 2**n entries is truncated to a matrix-product state of bond dimension 2 by a sweep of singular value
decompositions; that state is prepared exactly by a staircase of n - 1 gates on neighbouring qubits. Undoing the
staircase on the vector leaves a state closer to |0...0>, from which the next layer is found (Ran, arXiv:1908.07958; as
a loader of classical data arXiv:2502.16464). All gates are real rotations in SO(4), so each costs two CNOTs (Vatan and
Williams, quant-ph/0308006); exact amplitude encoding of a real vector costs 2**n - 2.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen import circuits as qc
from qgen.types import Array, Float

MAGIC = np.array([[1, 1j, 0, 0], [0, 0, 1j, 1], [0, 0, 1j, -1], [1, -1j, 0, 0]]) / np.sqrt(2)
"""cx(1, 0) (1 (x) H) (S (x) S): its conjugation turns SO(4) into SU(2) (x) SU(2)."""
ANGLES = 6
"""Angles of one gate: two single-qubit rotations of three angles each."""


def disentangle(vector: Float[Array, " size"], layers: int) -> Float[Array, "layers gates 4 4"]:
    """The gates of the loader, the first layer found first; it is applied last.

    Args:
        vector: a real vector of 2**n entries, n at least 2; its norm and overall sign are lost.
        layers: staircases, at least 1.

    Returns:
        Rotations in SO(4); gate j acts on qubits j and j + 1.

    Raises:
        ValueError: if the length is no power of two of at least 4, or `layers` is below 1.
    """
    qubits = width(vector.shape[0])
    check.at_least("layers", layers, 1)
    rest = vector / jnp.linalg.norm(vector)
    found = []
    for _ in range(layers):
        gates = staircase(rest)
        found.append(gates)
        for j in reversed(range(qubits - 1)):
            rest = _act(gates[j].T, rest, j, qubits)
    return jnp.stack(found)


def width(size: int) -> int:
    """Qubits of a vector of `size` entries.

    Raises:
        ValueError: unless `size` is a power of two of at least 4.
    """
    qubits = size.bit_length() - 1
    if size < 4 or 2**qubits != size:
        raise ValueError(f"Argument `vector` must have a power of two of at least 4 entries, but has {size}.")
    return qubits


def staircase(vector: Float[Array, " size"]) -> Float[Array, "gates 4 4"]:
    """The gates that prepare the bond-dimension-2 truncation of a unit vector, the first applied first."""
    qubits = width(vector.shape[0])
    # From the right: every site becomes an isometry from its left bond to its qubit and its right bond.
    left, strength, last = jnp.linalg.svd(vector.reshape(-1, 2), full_matrices=False)
    rest = left * strength[None, :]
    sites = []
    for _ in range(qubits - 2):
        left, strength, right = jnp.linalg.svd(rest.reshape(-1, 4), full_matrices=False)
        sites.append(right[:2].reshape(2, 2, 2))
        rest = left[:, :2] * strength[None, :2]
    sites.append((rest / jnp.linalg.norm(rest)).reshape(1, 2, 2))
    sites.reverse()
    sites[-1] = sites[-1] @ last
    return jnp.stack([_complete(site.reshape(-1, 4).T) for site in sites])


def _complete(columns: Float[Array, "4 given"]) -> Float[Array, "4 4"]:
    """A rotation whose columns |a, 0> are the given orthonormal ones (one, |0, 0>, or two)."""
    given = columns.shape[1]
    # Any fixed full-rank filler does: it only decides what the gate does to states that never reach it.
    filler = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4 - given)), dtype=columns.dtype)
    basis, triangle = jnp.linalg.qr(jnp.concatenate([columns, filler], axis=1))
    basis = basis * jnp.where(jnp.diag(triangle) < 0, -1.0, 1.0)[None, :]
    basis = basis[:, np.array([0, 2, 1, 3])] if given == 2 else basis
    return basis.at[:, 3].multiply(jnp.sign(jnp.linalg.det(basis)))


def _act(gate: Array, vector: Array, j: int, qubits: int) -> Array:
    split = vector.reshape(2**j, 4, 2 ** (qubits - j - 2))
    return jnp.einsum("ab,xby->xay", gate, split).reshape(-1)


def angles(gates: Float[Array, "layers gates 4 4"]) -> Float[Array, " params"]:
    """The parameters of `circuit` for gates that `disentangle` found."""
    return jax.vmap(_gate_angles)(gates[::-1].reshape(-1, 4, 4)).reshape(-1)


def _gate_angles(gate: Float[Array, "4 4"]) -> Float[Array, " 6"]:
    """Angles (phi, theta, omega) of A and of B in gate = MAGIC^dagger (A (x) B) MAGIC."""
    magic = jnp.asarray(MAGIC, dtype=jnp.result_type(gate.dtype, jnp.complex64))
    blocks = (magic @ gate @ magic.conj().T).reshape(2, 2, 2, 2).transpose(1, 3, 0, 2).reshape(4, 2, 2)
    # Each block is an entry of B times A; the one of the largest entry is divided by its root of the determinant.
    block = blocks[jnp.argmax((jnp.abs(blocks) ** 2).sum((1, 2)))]
    first = block / jnp.sqrt(block[0, 0] * block[1, 1] - block[0, 1] * block[1, 0])
    second = (blocks * first.conj()[None]).sum((1, 2)).reshape(2, 2) / 2
    return jnp.concatenate([_euler(first), _euler(second)])


def _euler(matrix: Array) -> Float[Array, " 3"]:
    """Angles of RZ(omega) RY(theta) RZ(phi) for a matrix in SU(2)."""
    turn = 2 * jnp.arctan2(jnp.abs(matrix[1, 0]), jnp.abs(matrix[1, 1]))
    total, difference = jnp.angle(matrix[1, 1]), jnp.angle(matrix[1, 0])
    return jnp.stack([total - difference, turn, total + difference])


@functools.lru_cache(maxsize=32)
def circuit(qubits: int, layers: int) -> qc.Circuit:
    """The loader: `layers` staircases of `qubits - 1` gates of two CNOTs each, `ANGLES` parameters per gate.

    Raises:
        ValueError: for fewer than 2 qubits or less than 1 layer.
    """
    check.at_least("qubits", qubits, 2)
    check.at_least("layers", layers, 1)
    ops: list[qc.Op] = []
    for block in range(layers * (qubits - 1)):
        a, b = block % (qubits - 1), block % (qubits - 1) + 1
        first = [qc.Angle(ANGLES * block + k) for k in range(3)]
        second = [qc.Angle(ANGLES * block + 3 + k) for k in range(3)]
        ops += [qc.gate("s", a), qc.gate("s", b), qc.gate("h", b), qc.gate("cx", (b, a))]
        ops += [qc.gate("rot", a, *first), qc.gate("rot", b, *second)]
        ops += [qc.gate("cx", (b, a)), qc.gate("h", b), qc.gate("sdg", a), qc.gate("sdg", b)]
    return qc.Circuit(qubits, tuple(ops))


def product_angles(vector: Float[Array, " size"]) -> Float[Array, " qubits"]:
    """RY angles of the product state that the same sweep finds at bond dimension 1: the loader without entanglement."""
    qubits = width(vector.shape[0])
    rest, found = vector, []
    for _ in range(qubits - 1):
        left, strength, right = jnp.linalg.svd(rest.reshape(-1, 2), full_matrices=False)
        found.append(right[0])
        rest = left[:, 0] * strength[0]
    found.append(rest)
    found.reverse()
    return jnp.stack([2 * jnp.arctan2(pair[1], pair[0]) for pair in found])
