"""How a circuit's angles start, and how much of a gradient that leaves: the barren plateau, measured.

The circuit is made of blocks, each two hardware-efficient layers and the inverse of two with angles of their own (of
one layer and its inverse the entanglers would cancel). So one circuit can start as identity blocks (Grant et al.,
arXiv:1903.05076), with small normal angles (Zhang et al., arXiv:2203.09376), with a first block that a classical
computer trained as a matrix-product state (Rudolph et al., arXiv:2208.13673), or uniformly at random, where gradients
vanish exponentially (McClean et al., arXiv:1803.11173).
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check, circuits
from qgen.circuits import Circuit, ansatz, encodings, mps, pauli, repeat
from qgen.types import Array, Float, Key

HALF = 2
"""Layers of half a block."""
LOCALITY = 2
"""Qubits of the observable Z Z on the first two."""
BOND = 4
PRETRAINING_ROWS, PRETRAINING_STEPS = 8, 30
"""Data and Adam's steps of the classical training."""

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


def mps_pretrained(key: Key, blocks: int, angles: int) -> Float[Array, "blocks 2 angles"]:
    """The first block trained as a matrix-product state (see `pretrained`), the others identity blocks."""
    first = pretrained(angles // angles_per_half(1))
    return identity_blocks(key, blocks, angles).at[0].set(jnp.asarray(first))


@functools.lru_cache
def pretrained(qubits: int) -> Float[np.ndarray, "2 angles"]:
    """Angles of one block that lower the mean of <Z_0 Z_1> over data, simulated with bonds of at most BOND."""
    with jax.ensure_compile_time_eval():
        return np.asarray(_pretrained(jax.random.key(qubits), qubits))


@functools.partial(jax.jit, static_argnames="qubits")
def _pretrained(key: Key, qubits: int) -> Array:
    data_key, start_key = jax.random.split(key)
    data = jax.random.uniform(data_key, (PRETRAINING_ROWS, qubits), minval=-jnp.pi / 2, maxval=jnp.pi / 2)
    made, word = circuit(qubits, 1), pauli("ZZ", (0, 1))
    optimiser = optax.adam(0.1)

    def loss(angles: Array) -> Array:
        return jnp.mean(jax.vmap(lambda row: mps.expectation(made, (row, angles.reshape(-1)), word, BOND))(data))

    def step(carry: tuple[Array, optax.OptState], _: None) -> tuple[tuple[Array, optax.OptState], None]:
        angles, state = carry
        change, state = optimiser.update(jax.grad(loss)(angles), state)
        return (angles + jnp.asarray(change), state), None

    start = small_gaussian(start_key, 1, angles_per_half(qubits))[0]
    return jax.lax.scan(step, (start, optimiser.init(start)), None, PRETRAINING_STEPS)[0][0]


STARTS: Mapping[str, Start] = {
    "uniform": uniform,
    "small_gaussian": small_gaussian,
    "identity_blocks": identity_blocks,
    "mps_pretrained": mps_pretrained,
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
