"""Quantum kernels: |<phi(x)|phi(y)>|^2 of an IQP feature map, exact or from shots, with what shots break repaired.

The map is H, RZ(2 b x_i), RZZ(2 b^2 x_i x_j), repeated (Havlicek et al., arXiv 1804.11326). The bandwidth b matters
more than the map: without it the kernel concentrates (Thanasilp et al., arXiv 2208.11060), with a small one it is a
smooth classical kernel (Slattery et al., arXiv 2206.06686). A kernel entry is the chance that the circuit of x and then
the inverse circuit of y end in |0...0>; so each entry takes shots of its own.
"""

import functools

import jax
import numpy as np

from qgen import check
from qgen.circuits import Circuit, apply, count, encodings
from qgen.resources import Resources
from qgen.types import Array, Complex, Float, Key

ROWS = 128
"""Items that go through the compiled feature map at once, so that one program serves any number of them."""
Pairs = tuple[tuple[int, int], ...] | None
"""Which features interact: None a ring, () none (the product kernel, without entanglement)."""


@functools.lru_cache
def feature_map(n_features: int, reps: int = 2, pairs: Pairs = None) -> Circuit:
    """The feature map's circuit, one qubit per feature."""
    return encodings.iqp(n_features, reps, pairs)


def states(
    x: Float[np.ndarray, "items features"], bandwidth: float, reps: int = 2, pairs: Pairs = None
) -> Complex[np.ndarray, "items amplitudes"]:
    """The feature states of many items, [items, 2^features].

    Args:
        x: features, about unit variance.
        bandwidth: b, radians per unit of a feature.
        reps: repetitions of the map.
        pairs: interacting pairs.
    """
    x = np.asarray(x, np.float32)
    padded = np.pad(x, ((0, -len(x) % ROWS), (0, 0)))
    parts = [_states(rows, bandwidth, reps, pairs) for rows in np.split(padded, len(padded) // ROWS)]
    return np.concatenate(parts)[: len(x)]


@functools.partial(jax.jit, static_argnames=("reps", "pairs"))
def _states(x: Array, bandwidth: Array | float, reps: int, pairs: Pairs) -> Array:
    circuit = feature_map(x.shape[-1], reps, pairs)
    return jax.vmap(lambda angles: apply(circuit, angles))(encodings.iqp_angles(bandwidth * x, pairs))


def gram(
    left: Complex[np.ndarray, "rows amplitudes"], right: Complex[np.ndarray, "columns amplitudes"]
) -> Float[np.ndarray, "rows columns"]:
    """|<left_i|right_j>|^2 for feature states."""
    return np.abs(left.conj() @ right.T) ** 2


def measured(key: Key, kernel: Float[np.ndarray, "rows columns"], shots: int) -> Float[np.ndarray, "rows columns"]:
    """What `shots` runs of the inversion test per entry show: a binomial count over `shots`.

    Raises:
        ValueError: if `shots` is below 1.
    """
    check.at_least("shots", shots, 1)
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    chances = np.clip(np.asarray(kernel, dtype=float), 0, 1)
    return (generator.binomial(shots, chances) / shots).astype(np.float32)


def measured_gram(key: Key, kernel: Float[np.ndarray, "items items"], shots: int) -> Float[np.ndarray, "items items"]:
    """A Gram matrix from shots: the pairs i < j are measured once each, and the diagonal is known to be 1."""
    upper = np.triu(measured(key, kernel, shots), 1)
    return upper + upper.T + np.eye(len(upper), dtype=upper.dtype)


def repaired(kernel: Float[np.ndarray, "items items"]) -> Float[np.ndarray, "items items"]:
    """The matrix without its negative eigenvalues, which shots make, and with ones on its diagonal again."""
    values, vectors = np.linalg.eigh(np.asarray(kernel, dtype=float))
    positive = (vectors * np.clip(values, 0, None)) @ vectors.T
    scale = 1 / np.sqrt(np.maximum(np.diag(positive), 1e-12))
    return positive * scale[:, None] * scale[None, :]


def resources(n_features: int, reps: int, pairs: Pairs, entries: int, shots: int) -> tuple[Resources, ...]:
    """What `entries` kernel entries need: one circuit each, map and inverse map, all qubits read out, `shots` times."""
    circuit = feature_map(n_features, reps, pairs)
    return (count(circuit + circuit.inverse(), shots=shots, circuits=entries),) if entries else ()
