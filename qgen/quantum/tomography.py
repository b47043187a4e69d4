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
    below = jax.vmap(jnp.searchsorted)(jnp.sort(drawn, axis=1), steps) / shots
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
    places = np.arange(size)[:, None]
    masks = 2 ** np.arange(size.bit_length() - 1)[::-1]  # of qubits 0, 1, ...
    others, lows, qubits = places ^ masks, places & ~masks, 1 + np.arange(len(masks))
    links = frequencies[qubits, lows] - frequencies[qubits, lows | masks]  # [size, qubits]: to the others

    def attach(tree: tuple, _: None) -> tuple[tuple, None]:
        signs, new, reach, parent, given = tree
        # What the newest entry links to: a stronger link replaces an older one, and of equal ones the lower entry's.
        seen, strength = jnp.asarray(others)[new], jnp.abs(links[new])
        is_better = (strength > reach[seen]) | ((strength == reach[seen]) & (new < parent[seen]))
        is_better &= signs[seen] == 0
        reach = reach.at[seen].set(jnp.where(is_better, strength, reach[seen]))
        parent = parent.at[seen].set(jnp.where(is_better, new, parent[seen]))
        told = signs[new] * jnp.where(links[new] < 0, -1.0, 1.0)
        given = given.at[seen].set(jnp.where(is_better, told, given[seen]))
        strongest = jnp.max(reach)
        new = jnp.argmin(jnp.where(reach == strongest, parent, size))
        return (signs.at[new].set(given[new]), new, reach.at[new].set(-1.0), parent, given), None

    signs = jnp.zeros(size, dtype=frequencies.dtype).at[anchor].set(sign)
    reach, parent = jnp.full(size, -1.0, frequencies.dtype), jnp.full(size, size, anchor.dtype)
    tree = (signs, anchor, reach, parent, jnp.zeros_like(signs))
    (signs, *_), _ = jax.lax.scan(attach, tree, None, length=size - 1)
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
