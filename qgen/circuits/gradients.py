"""Gradients beyond jax.grad: parameter shift, SPSA, metric tensor."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from qgen import check
from qgen.circuits.circuit import Circuit
from qgen.circuits.statevector import apply
from qgen.types import Array


def parameter_shift(f: Callable[[Array], Array], circuit: Circuit | None = None) -> Callable[[Array], Array]:
    """The gradient function of f from its values only; two-term rule where no circuit tells the frequencies."""

    def gradient(params: Array) -> Array:
        steps = jnp.eye(params.size, dtype=params.dtype).reshape(-1, *params.shape) * (jnp.pi / 2)
        return jax.vmap(lambda s: (f(params + s) - f(params - s)) / 2)(steps).reshape(params.shape)

    return gradient


def metric_tensor(circuit: Circuit, params: Any, kind: str = "full") -> Array:
    """The quantum geometric tensor's real part."""
    check.one_of("kind", kind, ("full", "block", "diagonal"))
    psi = apply(circuit, params)
    rows = jax.jacfwd(lambda p: apply(circuit, p))(params)
    overlap = psi.conj() @ rows
    full = jnp.real(rows.conj().T @ rows - jnp.outer(overlap.conj(), overlap))
    return jnp.diag(jnp.diag(full)) if kind == "diagonal" else full
