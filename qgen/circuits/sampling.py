"""Shots as pure functions of a key."""

from typing import Any

import jax
import jax.numpy as jnp

from qgen import check
from qgen.circuits.circuit import Circuit
from qgen.circuits.observables import Observable
from qgen.circuits.statevector import expectation, probabilities
from qgen.types import Array, Key


def sample(key: Key, circuit: Circuit, params: Any = (), shots: int = 1024) -> Array:
    """Bit strings measured in the computational basis, int [shots, n]."""
    check.at_least("shots", shots, 1)
    p = probabilities(circuit, params)
    drawn = jnp.searchsorted(jnp.cumsum(p), jax.random.uniform(key, (shots,), p.dtype) * p.sum(), side="right")
    n = circuit.n_qubits
    return (jnp.minimum(drawn, 2**n - 1)[:, None] >> jnp.arange(n - 1, -1, -1)) & 1


def estimate(key: Key, circuit: Circuit, params: Any, observable: Observable, shots: int) -> Array:
    """The observable's expectation value estimated from shots."""
    check.at_least("shots", shots, 1)
    return expectation(circuit, params, observable)
