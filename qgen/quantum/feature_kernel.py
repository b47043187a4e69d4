"""A quantum kernel of a network's features, through which gradients reach the network (for QRKD, arXiv:2508.13054)."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from qgen import check
from qgen.circuits import Circuit, count, encodings, gram
from qgen.resources import Resources
from qgen.types import Array, Float


@functools.lru_cache
def kernel(n_qubits: int, bandwidth: float, entangled: bool = True, reps: int = 1) -> Callable[[Array], Array]:
    """Features [batch, features] -> |<phi(f_i)|phi(f_j)>|^2, phi the IQP map of the first `n_qubits` unit features.

    The features are divided by their root mean square over the features that are used, so that teacher and student of
    different width and scale meet the same map.

    Args:
        n_qubits: features used; the others are ignored.
        bandwidth: radians per unit of a feature.
        entangled: False leaves the two-qubit gates out (the product kernel).
        reps: repetitions of the map.

    Returns:
        A function that gives one object for equal arguments, so that what closes over it compiles once. It raises
        ValueError for fewer features than qubits.

    Raises:
        ValueError: if a number is too small.
    """
    check.at_least("n_qubits", n_qubits, 1)
    check.positive("bandwidth", bandwidth)
    check.at_least("reps", reps, 1)
    circuit = feature_map(n_qubits, entangled, reps)

    def of_features(features: Array) -> Array:
        scaled = bandwidth * seen(features, n_qubits)
        return gram(circuit, encodings.iqp_angles(scaled, None if entangled else ()))

    return of_features


def seen(features: Float[Array, "batch features"], n_qubits: int) -> Float[Array, "batch qubits"]:
    """What the map encodes: the first `n_qubits` features over their root mean square."""
    check.at_least("features.shape[1]", features.shape[1], n_qubits)
    used = features[:, :n_qubits]
    return used * jax.lax.rsqrt(jnp.mean(used**2, axis=1, keepdims=True) + 1e-12)


def feature_map(n_qubits: int, entangled: bool = True, reps: int = 1) -> Circuit:
    """The map's circuit: H, RZ and, on a ring, RZZ; repeated."""
    return encodings.iqp(n_qubits, reps, None if entangled else ())


def resources(
    n_qubits: int, entangled: bool, reps: int, *, steps: int, batch: int, shots: int
) -> tuple[Resources, ...]:
    """What training with the kernel needs: two Gram matrices a step, and parameter shifts of the student's.

    Every pair of a batch is one circuit (map and inverse map). The student's pairs are measured again for both shifts
    of each of the pair's angles, of which there are one per rotation of the map on either side.

    Args:
        n_qubits: as in `kernel`.
        entangled: as in `kernel`.
        reps: as in `kernel`.
        steps: training steps.
        batch: features per step.
        shots: per circuit.
    """
    check.at_least("steps", steps, 1)
    check.at_least("batch", batch, 2)
    circuit = feature_map(n_qubits, entangled, reps)
    n_shifts = 2 * 2 * reps * circuit.n_params
    pairs = batch * (batch - 1) // 2
    return (count(circuit + circuit.inverse(), shots=shots, circuits=steps * pairs * (2 + n_shifts)),)
