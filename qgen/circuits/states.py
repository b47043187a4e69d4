"""What a state vector or a density matrix is, whatever circuit made it: fidelity, entropies, marginals."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qgen import check
from qgen.circuits.engine import EXACT
from qgen.circuits.operation import integers
from qgen.types import Array, Complex, Float

NORM_TOLERANCE = 1e-4
"""How far a given state's norm may be from 1: below single precision's rounding for any register that fits."""


def fidelity(first: Complex[Array, " strings"], second: Complex[Array, " strings"]) -> Float[Array, ""]:
    """|<first|second>|^2 of two states.

    Raises:
        ValueError: if a state is not normalised (where it is concrete).
    """
    check_norm(first, "first", allow_nan=True)
    check_norm(second, "second", allow_nan=True)
    overlap = jnp.vdot(first, second)
    return jnp.real(overlap) ** 2 + jnp.imag(overlap) ** 2


def reduced_density(state: Complex[Array, " strings"], wires: Sequence[int]) -> Complex[Array, "dim dim"]:
    """The density matrix of some wires, in the given order, of a pure state [2**n]: [2**k, 2**k].

    Raises:
        ValueError: if the state is not normalised (where it is concrete), or the wires do not fit.
    """
    n = _n_qubits("state", state)
    check_norm(state, allow_nan=True)
    wires = _wires(wires, n)
    rest = [q for q in range(n) if q not in wires]
    rows = state.reshape((2,) * n).transpose([*wires, *rest]).reshape(2 ** len(wires), -1)
    return jnp.matmul(rows, rows.conj().T, precision=EXACT)


def entropy(density: Complex[Array, "dim dim"], order: float = 1.0) -> Float[Array, ""]:
    """The entropy of a density matrix in nats.

    Args:
        density: Hermitian [d, d] of trace 1.
        order: 1: von Neumann; any other positive number: Rényi of that order.

    Returns:
        A scalar.

    Raises:
        ValueError: if the order is not positive, or the matrix is no density matrix (where it is concrete).
    """
    check.positive("order", order)
    check_density("density", density)
    levels = jnp.linalg.eigvalsh(density)
    if not isinstance(levels, Tracer) and float(levels.min()) < -NORM_TOLERANCE:
        raise ValueError(f"Argument `density` must have no negative eigenvalue, but has {float(levels.min()):.6g}.")
    levels = jnp.clip(levels, 0.0, 1.0)
    if order == 1.0:
        safe = jnp.where(levels == 0, 1.0, levels)
        return -jnp.sum(safe * jnp.log(safe))
    return jnp.log(jnp.sum(levels**order)) / (1.0 - order)


def marginal(density: Float[Array, " strings"], n_qubits: int, wires: Sequence[int] | None) -> Float[Array, " kept"]:
    """The distribution of some wires, in the given order, from the distribution of all."""
    if wires is None:
        return density
    wires = _wires(wires, n_qubits)
    rest = tuple(q for q in range(n_qubits) if q not in wires)
    kept = density.reshape((2,) * n_qubits).sum(rest)
    return kept.transpose([sorted(wires).index(w) for w in wires]).reshape(-1)


def check_norm(state: Array, name: str = "state", allow_nan: bool = False) -> None:
    """Raises ValueError unless a concrete state has norm 1; NaN may be allowed, where it is to surface in a result."""
    if isinstance(state, Tracer):
        return
    with jax.ensure_compile_time_eval():  # inside a jit, which may close over a concrete state
        norm = float(jnp.linalg.norm(state))
    if not (abs(norm - 1) <= NORM_TOLERANCE or (allow_nan and np.isnan(norm))):
        raise ValueError(f"Argument `{name}` must have norm 1, but has norm {norm:.6g}.")


def check_density(name: str, density: Array) -> None:
    """Raises ValueError where a concrete matrix is certainly no density matrix, by what takes no eigenvalues."""
    if isinstance(density, Tracer):
        return
    with jax.ensure_compile_time_eval():
        trace = complex(jnp.trace(density))
        skew = float(jnp.max(jnp.abs(density - density.conj().T)))
        purity = float(jnp.sum(jnp.abs(density) ** 2))
    if abs(trace - 1) > NORM_TOLERANCE:
        raise ValueError(f"Argument `{name}` must have trace 1, but has trace {trace:.6g}.")
    if skew > NORM_TOLERANCE:
        raise ValueError(f"Argument `{name}` must be Hermitian, but differs from its adjoint.")
    if purity > 1 + 2 * NORM_TOLERANCE:
        raise ValueError(f"Argument `{name}` must have no negative eigenvalue, but has purity {purity:.6g} above 1.")


def _n_qubits(name: str, state: Array) -> int:
    n = max(int(round(np.log2(max(state.size, 1)))), 1)
    check.shape(name, state, (2**n,))
    return n


def _wires(wires: Sequence[int], n_qubits: int) -> tuple[int, ...]:
    wires = integers("wires", wires)
    if len(set(wires)) != len(wires) or any(not 0 <= w < n_qubits for w in wires):
        raise ValueError(f"Argument `wires` must hold different wires below {n_qubits}, but is {wires}.")
    return wires
