"""How a circuit's angles start, and how much of a gradient that leaves: the barren plateau, measured.

The circuit is made of blocks, each two hardware-efficient layers and the inverse of two with angles of their own (of
one layer and its inverse the entanglers would cancel). So one circuit can start as identity blocks (Grant et al.,
arXiv:1903.05076), with small normal angles (Zhang et al., arXiv:2203.09376) or uniformly at random, where gradients
vanish exponentially (McClean et al., arXiv:1803.11173).
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from qgen import check, circuits
from qgen.circuits import Circuit, ansatz, encodings, pauli, repeat
from qgen.types import Array, Float, Key

HALF = 2
"""Layers of half a block."""
LOCALITY = 2
"""Qubits of the observable Z Z on the first two."""

Start = Callable[[Key, int, int], Float[Array, "blocks 2 angles"]]
"""`(key, blocks, angles of half a block) -> angles`."""


def uniform(key: Key, blocks: int, angles: int) -> Float[Array, "blocks 2 angles"]:
    """Uniform in [-pi, pi]."""
    return jax.random.uniform(key, (blocks, 2, angles), minval=-jnp.pi, maxval=jnp.pi)


def small_gaussian(key: Key, blocks: int, angles: int) -> Float[Array, "blocks 2 angles"]:
    """Normal with variance 1 / (4 S (L + 2)), S the observable's locality and L the layers."""
    return math.sqrt(1 / (4 * LOCALITY * (2 * HALF * blocks + 2))) * jax.random.normal(key, (blocks, 2, angles))


def identity_blocks(key: Key, blocks: int, angles: int) -> Float[Array, "blocks 2 angles"]:
    """Uniform, and the inverse half of every block with the angles of the first: the circuit is the identity."""
    half = jax.random.uniform(key, (blocks, 1, angles), minval=-jnp.pi, maxval=jnp.pi)
    return jnp.tile(half, (1, 2, 1))


STARTS: Mapping[str, Start] = {
    "uniform": uniform,
    "small_gaussian": small_gaussian,
    "identity_blocks": identity_blocks,
}


@functools.lru_cache
def circuit(qubits: int, blocks: int) -> Circuit:
    """RY of the data, then the blocks; parameters: the data [qubits], then [blocks, 2, angles].

    Raises:
        ValueError: for fewer than two qubits or no block.
    """
    check.at_least("qubits", qubits, 2)
    check.at_least("blocks", blocks, 1)
    half = ansatz.hardware_efficient(qubits, HALF)
    return encodings.angle(qubits, "ry") + repeat(half + half.inverse(), blocks)


def angles_per_half(qubits: int) -> int:
    """Angles of half a block."""
    return ansatz.hardware_efficient(qubits, HALF).n_params


@functools.partial(jax.jit, static_argnames=("start", "qubits", "blocks", "samples"))
def gradient_variance(key: Key, start: str, qubits: int, blocks: int, samples: int) -> Float[Array, " angles"]:
    """The variance of every angle's gradient of <Z_0 Z_1> over random starts and random data.

    Args:
        key: random key.
        start: a name of STARTS.
        qubits: at least 2.
        blocks: blocks of four layers.
        samples: starts, each with data of its own, uniform in [-pi/2, pi/2]; at least 2.

    Returns:
        One variance per angle, [2 * blocks * angles of half a block].

    Raises:
        ValueError: for an unknown start or numbers that are too small.
    """
    check.one_of("start", start, STARTS)
    check.at_least("samples", samples, 2)
    made, word = circuit(qubits, blocks), pauli("ZZ", (0, 1))

    def slope(sample_key: Key) -> Array:
        data_key, angle_key = jax.random.split(sample_key)
        data = jax.random.uniform(data_key, (qubits,), minval=-jnp.pi / 2, maxval=jnp.pi / 2)
        angles = STARTS[start](angle_key, blocks, angles_per_half(qubits)).reshape(-1)
        return jax.grad(lambda angles: circuits.expectation(made, (data, angles), word))(angles)

    # One start after the other: a batch of large states would not fit the caches.
    return jnp.var(jax.lax.map(slope, jax.random.split(key, samples)), axis=0)
