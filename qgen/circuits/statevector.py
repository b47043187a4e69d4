"""State vectors: apply, probabilities, expectation, gram: what users call. Pure functions of one example; batch with vmap."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import circuit as circuits
from qgen.circuits.circuit import Circuit, Op, Repeat
from qgen.circuits.observables import Observable, check_fits
from qgen.types import Array


def flatten(params: Any) -> Array:
    """Parameters as one vector: an array of any shape, or a tuple of arrays laid end to end."""
    if isinstance(params, list | tuple):
        pieces = [jnp.ravel(jnp.asarray(piece)) for piece in params]
        return jnp.concatenate(pieces) if pieces else jnp.zeros(0)
    return jnp.ravel(jnp.asarray(params))


def apply(circuit: Circuit, params: Any = (), state: Array | None = None) -> Array:
    """The state after the circuit, complex [2**n]."""
    vector = flatten(params)
    if vector.shape != (circuit.n_params,):
        raise ValueError(f"Argument `params` must hold {circuit.n_params} numbers, but holds {vector.shape[0]}.")
    n = circuit.n_qubits
    kind = jnp.result_type(vector.dtype, jnp.complex64)
    psi = jnp.zeros(2**n, kind).at[0].set(1) if state is None else jnp.asarray(state, kind)
    check.shape("state", psi, (2**n,))
    return _run(circuit, vector, psi.reshape((2,) * n)).reshape(-1)


def _run(circuit: Circuit, vector: Array, psi: Array) -> Array:
    for item in circuit.ops:
        if isinstance(item, Repeat):
            shared = vector[item.start : item.start + item.shared]
            own = vector[item.start + item.shared : item.start + item.n_params].reshape(item.times, item.advancing)

            def step(carry: Array, row: Array, body: Circuit = item.body, shared: Array = shared) -> tuple[Array, None]:
                return _run(body, jnp.concatenate([shared, row]), carry), None

            psi, _ = jax.lax.scan(step, psi, own, reverse=item.backwards)
            continue
        if not isinstance(item, Op):
            raise ValueError("A circuit with measurements or resets runs only in `trajectory`.")
        for part in item.parts():
            psi = _gate(part, vector, psi)
    return psi


def _gate(op: Op, vector: Array, psi: Array) -> Array:
    k = len(op.support)
    matrix = circuits.matrix(op, vector).astype(psi.dtype).reshape((2,) * (2 * k))
    psi = jnp.tensordot(matrix, psi, (tuple(range(k, 2 * k)), op.support))
    return jnp.moveaxis(psi, range(k), op.support)


def probabilities(
    circuit: Circuit, params: Any = (), wires: Sequence[int] | None = None, state: Array | None = None
) -> Array:
    """Born probabilities of all wires, or the marginal of some in the given order, [2**wires]."""
    psi = apply(circuit, params, state)
    density = jnp.real(psi) ** 2 + jnp.imag(psi) ** 2
    return marginal(density, circuit.n_qubits, wires)


def marginal(density: Array, n_qubits: int, wires: Sequence[int] | None) -> Array:
    """The distribution of some wires, in the given order, from the distribution of all."""
    if wires is None:
        return density
    wires = tuple(wires)
    if len(set(wires)) != len(wires) or any(not 0 <= w < n_qubits for w in wires):
        raise ValueError(f"Argument `wires` must hold different wires below {n_qubits}, but is {wires}.")
    rest = tuple(w for w in range(n_qubits) if w not in wires)
    order = tuple(np.argsort(np.argsort(wires)))
    kept = density.reshape((2,) * n_qubits).sum(rest)
    return kept.transpose(tuple(np.argsort(wires).argsort())).reshape(-1) if order else kept.reshape(-1)


def expectation(
    circuit: Circuit,
    params: Any,
    observable: Observable | Sequence[Observable],
    state: Array | None = None,
    engine: str = "auto",
    gradient: str = "auto",
) -> Array:
    """<psi| observable |psi>: a scalar, or [k] for a list of observables."""
    check.one_of("engine", engine, ("auto", "xla"))
    check.one_of("gradient", gradient, ("auto", "adjoint", "autodiff"))
    psi = apply(circuit, params, state)
    if isinstance(observable, Observable):
        return _expect(psi, observable, circuit.n_qubits)
    return jnp.stack([_expect(psi, one, circuit.n_qubits) for one in observable])


def _expect(psi: Array, observable: Observable, n: int) -> Array:
    check_fits(observable, n)
    flips, signs, ys = observable.masks(n)
    index = np.arange(2**n)
    total = 0.0
    for k in range(len(flips)):
        both = index & signs[k]
        for shift in (16, 8, 4, 2, 1):
            both ^= both >> shift
        sign = jnp.asarray(1.0 - 2.0 * (both & 1), psi.real.dtype)
        total = total + observable.coefficients[k] * jnp.real(
            jnp.vdot(psi[index ^ flips[k]], psi * sign) * (1j) ** ys[k]
        )
    return total


def fidelity(first: Array, second: Array) -> Array:
    """|<first|second>|^2 of two states [2**n]."""
    return jnp.abs(jnp.vdot(first, second)) ** 2


def gram(circuit: Circuit, x: Array, y: Array | None = None) -> Array:
    """|<phi(x_i)|phi(y_j)>|^2 for rows of parameters x [N, params] and y [M, params]: [N, M]; y = x where left out."""
    left = jax.vmap(lambda row: apply(circuit, row))(jnp.asarray(x))
    right = left if y is None else jax.vmap(lambda row: apply(circuit, row))(jnp.asarray(y))
    return jnp.abs(left.conj() @ right.T) ** 2
