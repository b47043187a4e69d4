"""Swap tests on noisy machines, exactly, for any number of features.

The read-out qubit meets one pair of qubits after the other, and none of a pair again. So a pair enters only through its
two Bloch vectors (1, x, y, z), and its controlled swap acts on the read-out qubit as a map that is linear in each of
them: 4**4 numbers, found once per machine from density matrices of three qubits. Resting qubits do not decay.

Distances of amplitudes swap one pair (see `swap_test`). The overlap of angles loads feature i of either item as a
rotation RY(theta_i) of a qubit of its own and gives 0 with probability (1 + F) / 2, F = prod_i cos^2((theta_i - phi_i)
/ 2): the angle metric of arXiv:2112.08506.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen import circuits as qc
from qgen.circuits import density
from qgen.circuits.noise import NoiseModel
from qgen.types import Array, Float

_PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
_STATES = np.array([[1, 0], [0, 1], [0.5**0.5, 0.5**0.5], [0.5**0.5, 1j * 0.5**0.5]])
"""States that span all density matrices."""
_BLOCH = np.array([[1, 0, 0, 1], [1, 0, 0, -1], [1, 1, 0, 0], [1, 0, 1, 0]])
"""Their Bloch vectors."""


def controlled_swap(control: int, left: int, right: int) -> tuple[qc.Op, ...]:
    """A controlled swap in CNOTs and gates on one qubit: a Toffoli gate between two CNOTs."""
    g = qc.gate
    toffoli = (
        *(g("h", right), g("cx", (left, right)), g("tdg", right), g("cx", (control, right)), g("t", right)),
        *(g("cx", (left, right)), g("tdg", right), g("cx", (control, right)), g("t", left), g("t", right)),
        *(g("h", right), g("cx", (control, left)), g("t", control), g("tdg", left), g("cx", (control, left))),
    )
    return (g("cx", (right, left)), *toffoli, g("cx", (right, left)))


def angle_circuit(features: int) -> qc.Circuit:
    """The swap test of angles: wire 0 is read out, then the features of one item, then those of the other.

    Its parameters are the angles of both items, end to end.
    """
    check.at_least("features", features, 1)
    loads = tuple(qc.gate("ry", 1 + q, qc.Angle(q)) for q in range(2 * features))
    swaps = [qc.gate("cswap", (0, 1 + q, 1 + features + q)) for q in range(features)]
    return qc.Circuit(2 * features + 1, (*loads, qc.gate("h", 0), *swaps, qc.gate("h", 0)))


def angle_law(items: Array, centroids: Array) -> Float[Array, "items clusters"]:
    """p0 of the angle circuit without noise for every pair of rows of angles."""
    return (1 + (jnp.cos((items[:, None, :] - centroids[None, :, :]) / 2) ** 2).prod(axis=-1)) / 2


@functools.lru_cache(maxsize=16)
def transfer(model: NoiseModel) -> Float[np.ndarray, "4 4 4 4"]:
    """The controlled swap: the read-out qubit's Bloch vector after it by its own before, the left's, the right's."""
    circuit = qc.Circuit(3, controlled_swap(0, 1, 2))
    inputs = np.einsum("ax,by,cz->abcxyz", _STATES, _STATES, _STATES).reshape(64, 8)
    with jax.ensure_compile_time_eval():  # numbers, even while a caller is traced
        after = np.asarray(jax.lax.map(lambda psi: density.apply(circuit, (), model, state=psi), jnp.asarray(inputs)))
    kept = np.trace(after.reshape(64, 2, 4, 2, 4), axis1=2, axis2=4)
    vectors = np.einsum("sij,pji->sp", kept, _PAULIS).real.reshape(4, 4, 4, 4)
    inverse = np.linalg.inv(_BLOCH)
    return np.einsum("ia,jb,kc,abcp->pijk", inverse, inverse, inverse, vectors)


@functools.lru_cache(maxsize=32)
def single(name: str, model: NoiseModel) -> Float[np.ndarray, "4 4"]:
    """A gate on one qubit and its noise as a map of Bloch vectors; a rotation is taken by the angle 0."""
    circuit = qc.Circuit(1, (qc.gate(name, 0, *(() if name == "h" else (0.0,))),))
    with jax.ensure_compile_time_eval():
        after = np.stack([np.asarray(density.apply(circuit, (), model, state=jnp.asarray(psi))) for psi in _STATES])
    vectors = np.einsum("sij,pji->sp", after, _PAULIS).real
    return (np.linalg.inv(_BLOCH) @ vectors).T


def zeros(left: Array, right: Array, model: NoiseModel) -> Array:
    """p0 of a noisy swap test, read-out error included.

    Args:
        left: Bloch vectors of the left qubits of the pairs, [..., pairs, 4].
        right: of the right ones.
        model: the noise.
    """
    turn, swap = jnp.asarray(single("h", model)), jnp.asarray(transfer(model))
    vector = jnp.broadcast_to(turn @ jnp.array([1.0, 0.0, 0.0, 1.0]), (*left.shape[:-2], 4))
    for pair in range(left.shape[-2]):
        vector = jnp.einsum("pabc,...a,...b,...c->...p", swap, vector, left[..., pair, :], right[..., pair, :])
    p0 = (1 + (vector @ turn.T)[..., 3]) / 2
    if model.readout is None:
        return p0
    (right_zero, false_zero), _ = model.readout
    return right_zero * p0 + false_zero * (1 - p0)


def rotated(angles: Array, model: NoiseModel) -> Array:
    """Bloch vectors of qubits after RY(angle), [..., 4]."""
    clean = jnp.stack([jnp.ones_like(angles), jnp.sin(angles), jnp.zeros_like(angles), jnp.cos(angles)], axis=-1)
    # Depolarising noise shrinks whatever the rotation has made.
    return clean @ jnp.asarray(single("ry", model)).T


def angle_zeros(items: Array, centroids: Array, model: NoiseModel) -> Float[Array, "items clusters"]:
    """p0 of the noisy angle circuit for every pair of rows of angles."""
    left, right = rotated(items, model), rotated(centroids, model)
    shape = (items.shape[0], centroids.shape[0], *left.shape[1:])
    return zeros(jnp.broadcast_to(left[:, None], shape), jnp.broadcast_to(right[None], shape), model)


def distance_zeros(items: Array, centroids: Array, model: NoiseModel) -> Float[Array, "items clusters"]:
    """p0 of the noisy distance circuit for every pair of rows of 2**n features, none of them zero."""
    qubits = (items.shape[1] - 1).bit_length()
    load = qc.encodings.amplitude(qubits + 1, real=True)

    def one(a: Array, b: Array) -> Array:
        length_a, length_b = jnp.linalg.norm(a), jnp.linalg.norm(b)
        phi = rotated(2 * jnp.arctan2(-length_b, length_a), model)
        angles = qc.encodings.amplitude_angles(jnp.concatenate([a / length_a, b / length_b]), real=True)
        rho = density.apply(load, angles, model).reshape(2, 2**qubits, 2, 2**qubits)
        index = jnp.einsum("ijkj,pki->p", rho, jnp.asarray(_PAULIS)).real
        return zeros(phi[None], index[None], model)

    return jax.vmap(lambda a: jax.vmap(lambda b: one(a, b))(centroids))(items)
