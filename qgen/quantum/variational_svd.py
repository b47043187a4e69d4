"""Variational quantum singular value decomposition (Wang, Song, Wang, arXiv:2006.02336).

Two circuits U and V of RY and CZ turn basis states into approximate singular vectors: the weighted sum over k of
q_k <k| U^T matrix V |k>, with falling q_k, is largest where they are the leading ones (Ky Fan). The matrix stands as a
block encoding, matrix / |matrix|_F, so that each term is one Hadamard test.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from qgen import check
from qgen.circuits import Circuit, Op, ansatz, apply, controlled, count, gate
from qgen.method import Info, Method
from qgen.quantum.qsvt import block_encoding
from qgen.resources import Resources
from qgen.types import Array, Float, Key


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        rank: singular triplets to find.
        layers: of the two circuits, each a brickwork of RY and CZ.
        rate: Adam's step length, radians.
        shots: per Hadamard test; it is counted, while the simulation is of infinitely many.
    """

    rank: int
    layers: int = 3
    rate: float = 0.05
    shots: int = 1024

    def __post_init__(self) -> None:
        """Refuses numbers out of range."""
        check.at_least("rank", self.rank, 1)
        check.at_least("layers", self.layers, 1)
        check.positive("rate", self.rate)
        check.at_least("shots", self.shots, 1)


class State(NamedTuple):
    """The angles of U and V, and the optimiser's memory."""

    left: Float[Array, " left"]
    right: Float[Array, " right"]
    memory: Any


def decomposition(config: Config, weights: Float[Array, " rank"] | None = None) -> Method:
    """The algorithm as a Method over a matrix [2^m, 2^n].

    Its answer is (a, b): a = U diag(<u_k| matrix |v_k>), b = V^T; the loss is the weighted sum over |matrix|_F, with
    its sign turned. Real numbers u^T matrix v may be negative or out of order where training has not converged.

    Args:
        config: the settings.
        weights: q_k, which may be traced; None takes 1, 1 - 1/rank, ..., 1/rank. Where they end in zeros, fewer
            triplets are sought, and the answer's other ones mean nothing.

    Raises:
        ValueError: (from `init`) if a side is no power of two or the rank is above the smaller one.
    """
    optimiser = optax.adam(config.rate)
    falling = (config.rank - jnp.arange(config.rank)) / config.rank if weights is None else weights

    def init(key: Key, problem: Float[Array, "rows columns"]) -> State:
        left, right = circuits(problem.shape, config)
        left_key, right_key = jax.random.split(key)
        angles = (
            jax.random.uniform(left_key, (left.n_params,), minval=-1.0, maxval=1.0),
            jax.random.uniform(right_key, (right.n_params,), minval=-1.0, maxval=1.0),
        )
        return State(*angles, optimiser.init(angles))

    def vectors(state: State, problem: Array) -> tuple[Array, Array]:
        left, right = circuits(problem.shape, config)
        return columns(left, state.left, config.rank), columns(right, state.right, config.rank)

    def step(key: Key, state: State, problem: Array) -> tuple[State, Info]:
        del key

        def loss(angles: tuple[Array, Array]) -> Array:
            u, v = vectors(state._replace(left=angles[0], right=angles[1]), problem)
            return -jnp.sum(falling * jnp.sum(u * (problem @ v), axis=0)) / jnp.linalg.norm(problem)

        angles = (state.left, state.right)
        value, gradient = jax.value_and_grad(loss)(angles)
        change, memory = optimiser.update(gradient, state.memory)
        left, right = jax.tree.map(jnp.add, angles, change)
        return State(left, right, memory), Info(value, jnp.isfinite(value))

    def answer(state: State, problem: Array) -> tuple[Array, Array]:
        u, v = vectors(state, problem)
        return u * jnp.sum(u * (problem @ v), axis=0)[None, :], v.T

    return Method(init, step, answer)


def circuits(shape: tuple[int, ...], config: Config) -> tuple[Circuit, Circuit]:
    """U on the rows' qubits and V on the columns'."""
    check.at_least("min(matrix.shape)", min(shape), 2)
    check.within("rank", config.rank, 1, min(shape))
    for side in shape:
        if side & (side - 1):
            raise ValueError(f"Argument `matrix` must have sides that are powers of two, but has shape {shape}.")
    left, right = (ansatz.brickwork(side.bit_length() - 1, config.layers, ("ry",)) for side in shape)
    return left, right


def columns(circuit: Circuit, angles: Float[Array, " angles"], n: int) -> Float[Array, "strings n"]:
    """The circuit on the first n basis states, whose amplitudes are real."""
    basis = jnp.eye(n, 2**circuit.n_qubits, dtype=jnp.complex64)
    return jax.vmap(lambda state: apply(circuit, angles, state).real)(basis).T


def hadamard_test(shape: tuple[int, ...], config: Config) -> Circuit:
    """The circuit of one term: V, the block encoding and U^T, all under the control of one more qubit.

    Parameters: V's angles, the encoding's, U's. The basis state k that it starts from is left out: one layer of NOTs.
    """
    left, right = circuits(shape, config)
    m, n = left.n_qubits, right.n_qubits
    encoding = block_encoding(m, n)
    placed = Circuit(m + n, tuple(_moved(op, m) for op in right.flat().ops))
    plain = placed + encoding + left.flat().inverse()
    ancilla = m + n
    switched = tuple(controlled(op, (ancilla,)) for op in plain.ops if isinstance(op, Op))
    return Circuit(m + n + 1, (gate("h", ancilla), *switched, gate("h", ancilla)))


def _moved(op: Any, by: int) -> Any:
    return dataclasses.replace(op, wires=tuple(wire + by for wire in op.wires))


@functools.lru_cache
def resources(shape: tuple[int, ...], config: Config, steps: int) -> tuple[Resources, ...]:
    """What training needs: rank Hadamard tests for the loss and for each of 2 P parameter shifts, in every step.

    At the end the strengths are read once more. Reading the vectors out is free: the angles describe them.

    Args:
        shape: of the matrix.
        config: the settings.
        steps: training steps.
    """
    left, right = circuits(shape, config)
    tests = config.rank * (1 + steps * (1 + 2 * (left.n_params + right.n_params)))
    return (count(hadamard_test(shape, config), shots=config.shots, circuits=tests),)
