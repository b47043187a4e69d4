"""Quixer (arXiv:2406.04305): a linear combination of token unitaries, and a polynomial of it, mixes the tokens.

Every token s becomes a unitary U_s, circuit 14 (arXiv:1905.10876) at angles that are linear in its features. The tokens
that a position t can see make A_t = sum_s b_(t - s) U_s / sum_s |b_(t - s)|, and P(A_t) = sum_k c_k A_t^k / sum_k |c_k|
acts on |0>. Post-selection succeeds with the probability ||P(A_t)|0>||^2; <X>, <Y> and <Z> of every qubit after one
more layer are the mixer's output. The paper predicts one token from a window; here every position has a causal window,
so that the mixer can stand where attention stands.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qgen import check, circuits
from qgen.circuits import Angle, Circuit, ansatz, gate, pauli, repeat
from qgen.types import Array, Complex, Float

TINY = 1e-9
"""Keeps the norm of a state that post-selection never finds from dividing by 0."""


@dataclasses.dataclass(frozen=True)
class Quixer:
    """What a Quixer mixer is made of; called by a model, it builds one.

    Attributes:
        qubits: of the data register, at least 2.
        layers: of the token circuit.
        degree: of the polynomial.
        window: tokens that a position sees, itself included.
        entangled: False turns every controlled rotation into one of its target alone: the unitaries are products, their
            sum is not.
        frozen: the angles' map and the last layer stay as they were drawn; the rest is trained.
        engine: that runs the circuits.
    """

    qubits: int = 4
    layers: int = 1
    degree: int = 3
    window: int = 32
    entangled: bool = True
    frozen: bool = False
    engine: str = "auto"

    def __post_init__(self) -> None:
        """Refuses sizes that make no mixer."""
        check.at_least("qubits", self.qubits, 2)
        for name in ("layers", "degree", "window"):
            check.at_least(name, getattr(self, name), 1)

    def __call__(self, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> "Mixer":
        """The module."""
        return Mixer(self, n_in, n_out, scale, rngs)

    @property
    def untrained(self) -> tuple[str, ...]:
        """The module's parameters that no gradient reaches."""
        return ("angles", "last") if self.frozen else ()

    def circuit(self, layers: int) -> Circuit:
        """The circuit of a token; as many angles with entanglement and without."""
        if self.entangled:
            return ansatz.ansatz14(self.qubits, layers)
        local = [
            gate(name, q, Angle(row * self.qubits + q))
            for row, name in enumerate(("ry", "rx", "ry", "rx"))
            for q in range(self.qubits)
        ]
        return repeat(Circuit(self.qubits, tuple(local)), layers)


class Mixer(nnx.Module):
    """Features of every position in, mixed features out."""

    def __init__(self, config: Quixer, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> None:
        """Draws the parameters: angles of deviation 1, coefficients of independent normal parts."""
        self.config = config
        angles = config.circuit(config.layers).n_params
        normal = nnx.initializers.normal
        self.angles = nnx.Linear(n_in, angles, kernel_init=normal(n_in**-0.5), rngs=rngs)
        self.coefficients = nnx.Param(jax.random.normal(rngs.params(), (2, config.window)))
        self.polynomial = nnx.Param(jnp.ones(config.degree + 1))
        self.last = nnx.Param(jax.random.normal(rngs.params(), (config.circuit(1).n_params,)))
        self.out = nnx.Linear(
            3 * config.qubits, n_out, kernel_init=normal(scale * (3 * config.qubits) ** -0.5), rngs=rngs
        )

    def __call__(self, x: Float[Array, "batch time features"]) -> Float[Array, "batch time out"]:
        """Mixes every position with those before it."""
        config, last = self.config, self.last[...]
        if config.frozen:
            last = jax.lax.stop_gradient(last)
        mixed = self.mixed(x)
        norm = jnp.sqrt(jnp.sum(jnp.abs(mixed) ** 2, axis=-1, keepdims=True) + TINY)
        states = (mixed / norm).reshape(-1, 2**config.qubits)
        words = [pauli(letter, (q,)) for letter in "XYZ" for q in range(config.qubits)]
        circuit = config.circuit(1)
        read = jax.vmap(lambda state: circuits.expectation(circuit, last, words, state=state, engine=config.engine))
        return self.out(read(states).astype(x.dtype).reshape(*x.shape[:-1], -1))

    def mixed(self, x: Float[Array, "batch time features"]) -> Complex[Array, "batch time strings"]:
        """P(A_t)|0> of every position, not normalised."""
        assert self.angles.bias is not None
        config, kernel, bias = self.config, self.angles.kernel[...], self.angles.bias[...]
        if config.frozen:
            kernel, bias = jax.lax.stop_gradient((kernel, bias))
        angles = (x @ kernel + bias[None, None]).astype(jnp.float32)
        made = unitaries(config.circuit(config.layers), angles.reshape(-1, angles.shape[-1]), config.engine)
        real, imaginary = self.coefficients[...]
        weights = causal(jax.lax.complex(real, imaginary), x.shape[-2])
        averages = jnp.einsum("ts,bsij->btij", weights, made.reshape(*x.shape[:-1], *made.shape[1:]))
        return polynomial(averages, self.polynomial[...])

    def success(self, x: Float[Array, "batch time features"]) -> Float[Array, "batch time"]:
        """The probability that post-selection succeeds, ||P(A_t)|0>||^2, at every position."""
        return jnp.sum(jnp.abs(self.mixed(x)) ** 2, axis=-1)


def unitaries(
    circuit: Circuit, angles: Float[Array, "tokens angles"], engine: str = "auto"
) -> Complex[Array, "tokens strings strings"]:
    """The dense matrix of a circuit at every row of angles."""
    basis = np.eye(2**circuit.n_qubits, dtype=np.complex64)

    def columns(row: Array) -> Array:
        return jax.vmap(lambda state: circuits.apply(circuit, row, state=state, engine=engine))(basis).T

    return jax.vmap(columns)(angles)


def causal(coefficients: Complex[Array, " window"], time: int) -> Complex[Array, "time time"]:
    """Row t holds b_(t - s) for the tokens s that t sees, the sum of their absolute values being 1."""
    lags = np.arange(time)[:, None] - np.arange(time)[None, :]
    seen = (lags >= 0) & (lags < coefficients.shape[0])
    chosen = jnp.where(seen, coefficients[np.where(seen, lags, 0)], 0)
    size = jnp.where(seen, jnp.abs(coefficients)[np.where(seen, lags, 0)], 0)
    return chosen / jnp.sum(size, axis=1, keepdims=True)


def polynomial(matrices: Any, coefficients: Float[Array, " powers"]) -> Any:
    """sum_k c_k A^k |0> / sum_k |c_k| for matrices [..., strings, strings]."""
    state = jnp.zeros(matrices.shape[:-1], matrices.dtype).at[..., 0].set(1)
    total = coefficients[0] * state
    for factor in coefficients[1:]:
        state = jnp.einsum("...ij,...j->...i", matrices, state)
        total = total + factor * state
    return total / jnp.sum(jnp.abs(coefficients))
