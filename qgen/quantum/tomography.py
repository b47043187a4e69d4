"""Reading a real state back: magnitudes from counts, signs from one Hadamard gate at a time.

Counts in the computational basis give |a_i|. With a Hadamard gate on qubit q, outcomes i and j that differ in bit q
have probabilities (a_i + a_j)^2 / 2 and (a_i - a_j)^2 / 2, whose difference 2 a_i a_j tells the relative sign. The n
settings link all entries (a hypercube); signs follow the most clearly measured links, a greatest spanning tree from an
entry whose sign is known. No control qubit and no second copy is needed, and the loader stays a black box. The norm and
one sign are not in the state: they are kept classically. Reading all entries costs n + 1 settings of many shots each,
so a loader's compactness is lost here, whatever it is (Aaronson, Nature Physics 11, 291: "read the fine print").
"""

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.types import Array, Float, Int, Key


def turned(state: Float[Array, " size"], qubit: int) -> Float[Array, " size"]:
    """The state after a Hadamard gate on one qubit."""
    split = state.reshape(2**qubit, 2, -1)
    both = jnp.stack([split[:, 0] + split[:, 1], split[:, 0] - split[:, 1]], axis=1)
    return both.reshape(-1) / jnp.sqrt(2.0)


def settings(state: Float[Array, " size"]) -> Float[Array, "settings size"]:
    """Outcome probabilities of the computational basis and of a Hadamard gate on each qubit, normalised."""
    qubits = state.shape[0].bit_length() - 1
    rows = jnp.stack([state, *(turned(state, q) for q in range(qubits))]) ** 2
    return rows / rows.sum(axis=1, keepdims=True)


def counts(key: Key, state: Float[Array, " size"], shots: int) -> Float[Array, "settings size"]:
    """Relative frequencies of `shots` shots in each setting."""
    check.at_least("shots", shots, 1)
    steps = jnp.cumsum(settings(state), axis=1)[:, :-1]
    drawn = jax.random.uniform(key, (steps.shape[0], shots))
    below = (drawn[:, :, None] < steps[:, None, :]).mean(axis=1)
    edges = jnp.ones_like(below[:, :1])
    return jnp.diff(jnp.concatenate([0 * edges, below, edges], axis=1), axis=1)


def rebuild(
    frequencies: Float[Array, "settings size"], anchor: Int[Array, ""], sign: Float[Array, ""]
) -> Float[Array, " size"]:
    """The unit vector that the frequencies tell.

    Args:
        frequencies: one row per setting, as of `settings`.
        anchor: the entry whose sign is known; the largest one, which is found with the fewest shots.
        sign: its sign, +1 or -1.
    """
    size = frequencies.shape[1]
    magnitudes = jnp.sqrt(frequencies[0])
    links = jnp.zeros((size, size), dtype=frequencies.dtype)
    for qubit in range(size.bit_length() - 1):
        low = np.flatnonzero(np.arange(size) >> (size.bit_length() - 2 - qubit) & 1 == 0)
        high = low + 2 ** (size.bit_length() - 2 - qubit)
        difference = frequencies[1 + qubit, low] - frequencies[1 + qubit, high]
        links = links.at[low, high].set(difference).at[high, low].set(difference)
    linked = np.array([[bin(i ^ j).count("1") == 1 for j in range(size)] for i in range(size)])

    def attach(signs: Array, _: None) -> tuple[Array, None]:
        inside = signs != 0
        open_links = jnp.asarray(linked) & inside[:, None] & ~inside[None, :]
        best = jnp.argmax(jnp.where(open_links, jnp.abs(links), -1.0))
        i, j = best // size, best % size
        return signs.at[j].set(signs[i] * jnp.where(links[i, j] < 0, -1.0, 1.0)), None

    start = jnp.zeros(size, dtype=frequencies.dtype).at[anchor].set(sign)
    signs, _ = jax.lax.scan(attach, start, None, length=size - 1)
    return signs * magnitudes


def read_out(
    key: Key, state: Float[Array, " size"], shots: int, vector: Float[Array, " size"]
) -> Float[Array, " size"]:
    """Loads back a vector: `shots` shots in each of n + 1 settings of the prepared state.

    Args:
        key: the random key.
        state: the amplitudes that the loader prepared, real.
        shots: shots per setting, at least 1.
        vector: the vector that was to be loaded; only its norm, and the place and sign of its largest entry, are used.

    Returns:
        The vector as it arrives.

    Raises:
        ValueError: if `shots` is below 1 or the shapes differ.
    """
    check.shape("vector", vector, state.shape)
    anchor = jnp.argmax(jnp.abs(vector))
    sign = jnp.where(vector[anchor] < 0, -1.0, 1.0)
    return jnp.linalg.norm(vector) * rebuild(counts(key, state, shots), anchor, sign)
