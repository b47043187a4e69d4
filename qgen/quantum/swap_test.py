"""Distances and overlaps of real vectors by swap tests (arXiv:2112.08506; Buhrman et al., quant-ph/0102040).

Distance: with |psi> = (|0>|a/|a|> + |1>|b/|b|>) / sqrt 2, |phi> = (|a||0> - |b||1>) / sqrt Z and Z = |a|^2 + |b|^2, the
swap test of |phi> with the index qubit of |psi> gives 0 with probability (1 + F) / 2, F = D^2 / (2 Z), hence D^2 = 4 Z
(p0 - 1/2). It uses n + 3 qubits for 2**n features. Overlap: the swap test of two registers gives p0 = (1 + <a|b>^2) / 2
with 2 n + 1 qubits.

Estimates are drawn from the binomial law of these circuits; the tests run the circuits themselves.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from qgen import check
from qgen import circuits as qc
from qgen.resources import Resources
from qgen.types import Array, Float, Key


def placed(circuit: qc.Circuit, wires: tuple[int, ...], n_qubits: int) -> qc.Circuit:
    """The circuit of gates with its qubit q on `wires[q]` of a larger register."""
    moved = []
    for item in circuit.flat().ops:
        assert isinstance(item, qc.Op)
        on = tuple(wires[w] for w in item.wires)
        moved.append(dataclasses.replace(item, wires=on, controls=tuple(wires[w] for w in item.controls)))
    return qc.Circuit(n_qubits, tuple(moved))


@functools.lru_cache(maxsize=32)
def distance_circuit(qubits: int) -> qc.Circuit:
    """The swap test of distance for 2**qubits features: wire 0 is read out, 1 holds phi, 2 and the rest psi."""
    check.at_least("qubits", qubits, 1)
    n = qubits + 3
    test = (qc.gate("h", 0), qc.gate("cswap", (0, 1, 2)), qc.gate("h", 0))
    phi = qc.Circuit(n, (qc.gate("ry", 1, qc.Angle(0)),))
    psi = placed(qc.encodings.amplitude(qubits + 1, real=True), tuple(range(2, n)), n)
    return phi + psi + qc.Circuit(n, test)


def distance_angles(a: Float[Array, " size"], b: Float[Array, " size"]) -> Float[Array, " params"]:
    """The parameters of `distance_circuit` for two vectors of 2**qubits entries, neither of them zero."""
    check.shape("b", b, a.shape)
    length_a, length_b = jnp.linalg.norm(a), jnp.linalg.norm(b)
    phi = 2 * jnp.arctan2(-length_b, length_a)
    both = jnp.concatenate([a / length_a, b / length_b])
    return jnp.concatenate([phi[None], qc.encodings.amplitude_angles(both, real=True)])


@functools.lru_cache(maxsize=32)
def overlap_circuit(qubits: int) -> qc.Circuit:
    """The swap test of two vectors of 2**qubits entries: wire 0 is read out, then one register each."""
    check.at_least("qubits", qubits, 1)
    n = 2 * qubits + 1
    load = qc.encodings.amplitude(qubits, real=True)
    first, second = tuple(range(1, qubits + 1)), tuple(range(qubits + 1, n))
    swaps = [qc.gate("cswap", (0, i, j)) for i, j in zip(first, second, strict=True)]
    test = qc.Circuit(n, (qc.gate("h", 0), *swaps, qc.gate("h", 0)))
    return placed(load, first, n) + placed(load, second, n) + test


def overlap_angles(a: Float[Array, " size"], b: Float[Array, " size"]) -> Float[Array, " params"]:
    """The parameters of `overlap_circuit` for two vectors of 2**qubits entries, neither of them zero."""
    check.shape("b", b, a.shape)
    return jnp.concatenate([qc.encodings.amplitude_angles(a, real=True), qc.encodings.amplitude_angles(b, real=True)])


def distance_law(
    items: Array, centroids: Array
) -> tuple[Float[Array, "items clusters"], Float[Array, "items clusters"]]:
    """`(p0, Z)` of the distance circuit for every pair of rows."""
    weight = (items**2).sum(1)[:, None] + (centroids**2).sum(1)[None, :]
    squared = jnp.maximum(weight - 2 * items @ centroids.T, 0.0)
    return jnp.clip(0.5 + squared / (4 * weight), 0.5, 1.0), weight


def distances(key: Key, items: Array, centroids: Array, shots: int) -> Float[Array, "items clusters"]:
    """Squared distances 4 Z (p0 - 1/2) with p0 from `shots` shots per pair; may be below zero.

    Raises:
        ValueError: if `shots` is below 1.
    """
    check.at_least("shots", shots, 1)
    law, weight = distance_law(items, centroids)
    return 4 * weight * (_frequency(key, law, shots) - 0.5)


def overlap_law(left: Array, right: Array) -> Float[Array, " pairs"]:
    """p0 of the overlap circuit for rows of two arrays [pairs, features]."""
    lengths = (left**2).sum(1) * (right**2).sum(1)
    return jnp.clip(0.5 + (left * right).sum(1) ** 2 / (2 * lengths), 0.5, 1.0)


def overlaps(key: Key, left: Array, right: Array, shots: int) -> Float[Array, " pairs"]:
    """Squared overlaps 2 p0 - 1 with p0 from `shots` shots per pair; may be below zero.

    Raises:
        ValueError: if `shots` is below 1.
    """
    check.at_least("shots", shots, 1)
    return 2 * _frequency(key, overlap_law(left, right), shots) - 1


def resources(circuit: qc.Circuit, shots: int, pairs: int) -> Resources:
    """What `pairs` swap tests of `shots` shots need: every pair is a circuit of its own, and one qubit is read out.

    Raises:
        ValueError: if `shots` or `pairs` is below 1.
    """
    check.at_least("pairs", pairs, 1)
    counted = qc.count(circuit, shots=shots, circuits=pairs)
    return dataclasses.replace(counted, measurements=counted.shots)


def _frequency(key: Key, probability: Array, shots: int) -> Array:
    # The sampler wants a probability of at most 1/2 for its fast branch; counting ones is the same as counting zeros.
    return 1 - jax.random.binomial(key, shots, 1 - probability) / shots
