"""Density matrices: noisy circuits exactly, on [2**n, 2**n] matrices, differentiable in parameters and strengths.

The matrix is a tensor of 2n axes, first the rows' qubits, then the columns'. A gate acts on both sides, a channel as
one superoperator on the axes of its wires, whatever its number of Kraus operators.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import operation
from qgen.circuits.circuit import Circuit
from qgen.circuits.memory import check_bytes
from qgen.circuits.noise import channel_terms, measured_paulis
from qgen.circuits.noise_model import IDEAL, NoiseModel, steps
from qgen.circuits.observables import Observable
from qgen.circuits.operation import Op, integers
from qgen.circuits.states import check_density, check_norm
from qgen.circuits.tensors import combine, complex_of, contract, letters, several, vector, walk
from qgen.types import Array, Complex, Float

MATRICES = 3
"""Matrices that live at one time at the least: before and after an operation, and one with its axes moved."""


def apply(
    circuit: Circuit,
    params: Any = (),
    model: NoiseModel = IDEAL,
    *,
    strengths: Any = None,
    state: Complex[Array, "..."] | None = None,
) -> Complex[Array, "dim dim"]:
    """The density matrix after the noisy circuit, complex [2**n, 2**n].

    Args:
        circuit: the circuit, without measurements.
        params: its parameter vector.
        model: which channels follow which gates.
        strengths: traced strengths in place of the model's, [strengths].
        state: the initial state: a vector [2**n] or a density matrix [2**n, 2**n]; |0...0> where left out.

    Raises:
        ValueError: for a matrix that is too large for the memory, a wrong shape, an initial state or strengths that are
            none (where they are concrete), or a gate for which the model has no noise.
    """
    n = circuit.n_qubits
    angles = vector(circuit, params)
    each = MATRICES * 2 * angles.dtype.itemsize
    check_bytes(
        f"A density matrix of {n} qubits",
        each * 4**n,
        lambda available: f"at most {int(np.log2(available / each) / 2)} qubits fit: use `noise.trajectories`.",
        f" ({MATRICES} matrices)",
    )
    supers = [_superoperator(*pair) for pair in channel_terms(model, strengths, angles.dtype)]
    rho = _initial(state, n, complex_of(angles)).reshape((2,) * (2 * n))

    def segment(carry: Array, ops: tuple[Op, ...], local: Array) -> Array:
        for step in steps(ops, n, model):
            columns = tuple(wire + n for wire in step.wires)
            if step.op is not None:
                matrix = operation.matrix(step.op, local)
                carry = contract(contract(carry, matrix, step.wires), matrix.conj(), columns)
            else:
                carry = contract(carry, supers[step.channel], step.wires + columns)
        return carry

    return walk(circuit, angles, rho, segment).reshape(2**n, 2**n)


def probabilities(
    circuit: Circuit,
    params: Any = (),
    model: NoiseModel = IDEAL,
    *,
    wires: Sequence[int] | None = None,
    strengths: Any = None,
    state: Complex[Array, "..."] | None = None,
) -> Float[Array, " outcomes"]:
    """The distribution of read-outs of some wires (all where left out), read-out error included, [2**wires].

    Raises:
        ValueError: as `apply`, and for wires that are repeated or out of range.
    """
    n = circuit.n_qubits
    chosen = integers("wires", range(n) if wires is None else wires)
    if len(set(chosen)) != len(chosen) or not chosen or any(not 0 <= wire < n for wire in chosen):
        raise ValueError(f"Argument `wires` must hold different wires below {n}, but is {chosen}.")
    rho = apply(circuit, params, model, strengths=strengths, state=state)
    born = jnp.diagonal(rho).real.reshape((2,) * n)
    kept = jnp.moveaxis(born, chosen, range(len(chosen))).reshape((2,) * len(chosen) + (-1,)).sum(-1)
    if model.readout is not None:
        for axis in range(len(chosen)):
            kept = contract(kept, jnp.asarray(np.array(model.readout)), (axis,))
    return kept.reshape(-1)


def expectation(
    circuit: Circuit,
    params: Any,
    observable: Observable | Sequence[Observable],
    model: NoiseModel = IDEAL,
    *,
    strengths: Any = None,
    state: Complex[Array, "..."] | None = None,
) -> Float[Array, "*k"]:
    """Tr(rho observable): a scalar, or [k] for a list of observables; the model's read-out error included.

    Every Pauli word is read as the product of its qubits' outcomes after rotation to the letters' bases, so a read-out
    error turns each letter P into a P + b with numbers a and b of the confusion matrix.
    """
    n = circuit.n_qubits
    words = letters(several(observable), n)
    rho = apply(circuit, params, model, strengths=strengths, state=state).reshape((2,) * (2 * n))
    factors = measured_paulis(model).astype(rho.dtype)
    return combine(jnp.stack([_word_value(rho, word, factors) for word in words]), observable)


def _word_value(rho: Array, word: np.ndarray, factors: Array) -> Array:
    """Tr(rho P): wires of I are traced out first, the others with their letter."""
    n = len(word)
    rest = [int(wire) for wire in np.flatnonzero(word)]
    order = [w for w in range(n) if w not in rest] + rest
    value = rho.transpose([*order, *(w + n for w in order)]).reshape(
        2 ** (n - len(rest)), 2 ** len(rest), -1, 2 ** len(rest)
    )
    value = jnp.einsum("iaib->ab", value)
    for wire in reversed(rest):
        half = value.shape[0] // 2
        value = jnp.einsum("aibj,ji->ab", value.reshape(half, 2, half, 2), factors[word[wire]])
    return value.reshape(()).real


def _superoperator(weights: Array, operators: Array) -> Complex[Array, "dim2 dim2"]:
    """sum_k w_k O_k (x) O_k^*, on the pair (rows, columns) of the channel's wires."""
    dim = operators.shape[-1]
    return jnp.einsum("k,kab,kcd->acbd", weights, operators, operators.conj()).reshape(dim**2, dim**2)


def _initial(state: Array | None, n: int, dtype: Any) -> Complex[Array, "dim dim"]:
    if state is None:
        return jnp.zeros((2**n, 2**n), dtype).at[0, 0].set(1)
    given = jnp.asarray(state).astype(dtype)
    if given.ndim == 1:
        check.shape("state", given, (2**n,))
        check_norm(given)
        return jnp.outer(given, given.conj())
    check.shape("state", given, (2**n, 2**n))
    check_density("state", given)
    return given
