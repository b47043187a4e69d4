"""A circuit as policy or value function: softmax of <O_a> after data re-uploading (Jerbi et al., arXiv:2103.05577).

A layer is RY and RZ on every qubit, a ring of CZ, and RX(scaling * feature); RY comes last. Output a is a trained sum
of Z words and a constant; a policy takes the outputs as logits, so that the weights hold the inverse temperature.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check, circuits
from qgen.circuits import Circuit, Observable, ansatz, count, encodings, gate, repeat
from qgen.resources import Resources
from qgen.types import Array, Float, Key, Params

WORDS = ("parity", "local")
"""What is measured: Z on all qubits at once, or Z on each qubit."""
WEIGHT = 0.3
"""Deviation of the first output weights: a policy starts close to uniform."""


@dataclasses.dataclass(frozen=True)
class Design:
    """The structure.

    Attributes:
        n_qubits: one per feature.
        layers: re-uploads of the features.
        outputs: actions of a policy, 1 for a value.
        words: a name of WORDS.
        entangled: False leaves the CZ rings out (a control; as many parameters).
        frozen: angles and scalings stay random, and the output weights alone learn (a control).
        shots: per circuit; 0 is the exact expectation value, which no number of shots gives.
    """

    n_qubits: int
    layers: int
    outputs: int
    words: str = "local"
    entangled: bool = True
    frozen: bool = False
    shots: int = 0

    def __post_init__(self) -> None:
        """Refuses sizes below 1, a negative number of shots and unknown words."""
        for name in ("n_qubits", "layers", "outputs"):
            check.at_least(name, getattr(self, name), 1)
        check.at_least("shots", self.shots, 0)
        check.one_of("words", self.words, WORDS)

    @property
    def observables(self) -> list[Observable]:
        """The Z words."""
        n = self.n_qubits
        return [circuits.pauli("Z" * n, range(n))] if self.words == "parity" else [circuits.z(q) for q in range(n)]


@functools.lru_cache
def circuit(design: Design) -> Circuit:
    """The circuit; parameters per layer: RY, RZ and feature of every qubit; at the end RY of every qubit."""
    n = design.n_qubits
    pairs = ansatz.ring(n) if design.entangled else ()
    layer = ansatz.rotations(n, ("ry", "rz")) + Circuit(n, tuple(gate("cz", pair) for pair in pairs))
    return repeat(layer + encodings.angle(n, "rx"), design.layers) + ansatz.rotations(n, ("ry",))


def size(design: Design) -> int:
    """How many numbers are trained, where nothing is frozen."""
    n, words = design.n_qubits, len(design.observables)
    return (3 * design.layers + 1) * n + design.outputs * (words + 1)


def trained(design: Design) -> int:
    """How many numbers are trained: the output's alone where the circuit is frozen."""
    return design.outputs * (len(design.observables) + 1) if design.frozen else size(design)


def init(key: Key, design: Design) -> Params:
    """Angles uniform on the circle, scalings 1, weights small: `angles`, `last`, `scalings`, `weights`, `bias`."""
    angle_key, last_key, weight_key = jax.random.split(key, 3)
    n, layers = design.n_qubits, design.layers
    shape = (design.outputs, len(design.observables))
    return {
        "angles": jax.random.uniform(angle_key, (layers, 2 * n), minval=-jnp.pi, maxval=jnp.pi),
        "last": jax.random.uniform(last_key, (n,), minval=-jnp.pi, maxval=jnp.pi),
        "scalings": jnp.ones((layers, n)),
        "weights": WEIGHT * jax.random.normal(weight_key, shape),
        "bias": jnp.zeros(design.outputs),
    }


def outputs(key: Key, params: Params, design: Design, x: Float[Array, " features"]) -> Float[Array, " outputs"]:
    """Logits of the actions, or the value.

    Args:
        key: random key of the shots; unused where they are 0.
        params: what `init` made, trained or not.
        design: the structure.
        x: one number per qubit.
    """
    check.shape("x", x, (design.n_qubits,))
    held = {name: params[name] for name in ("angles", "last", "scalings")}
    if design.frozen:
        held = jax.lax.stop_gradient(held)
    layers = jnp.concatenate([held["angles"], held["scalings"] * x[None, :]], axis=1)
    vector = jnp.concatenate([layers.reshape(-1), held["last"]])
    return params["weights"] @ measured(design, key, vector) + params["bias"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def measured(design: Design, key: Key, vector: Float[Array, " params"]) -> Float[Array, " words"]:
    """Expectation values of the words, and slopes by the parameter-shift rule, with the noise of the shots.

    The noise is modelled, not drawn shot by shot: normal, of a value's exact variance (1 - <O>^2) / shots, and of a
    slope's upper bound 1 / (2 shots), that of two shifted circuits.

    Args:
        design: the structure.
        key: random key of the noise.
        vector: the circuit's parameters.
    """
    exact = _exact(design, vector)
    if not design.shots:
        return exact
    noise = jax.random.normal(jax.random.fold_in(key, 0), exact.shape)
    return exact + noise * jnp.sqrt(jnp.maximum(1 - exact**2, 0) / design.shots)


def _exact(design: Design, vector: Array) -> Array:
    return circuits.expectation(circuit(design), vector, design.observables)


def _forward(design: Design, key: Key, vector: Array) -> tuple[Array, tuple[Key, Array]]:
    return measured(design, key, vector), (key, vector)


def _backward(design: Design, kept: tuple[Key, Array], cotangent: Array) -> tuple[None, Array]:
    key, vector = kept
    slope = jax.vjp(functools.partial(_exact, design), vector)[1](cotangent)[0]
    if not design.shots:
        return None, slope
    noise = jax.random.normal(jax.random.fold_in(key, 1), slope.shape)
    # The words are read in the same shots, so that their errors may add up.
    return None, slope + noise * jnp.sum(jnp.abs(cotangent)) * (2 * design.shots) ** -0.5


measured.defvjp(_forward, _backward)


def resources(design: Design, evaluated: int, learned: int) -> tuple[Resources, ...]:
    """What a quantum machine would need.

    Args:
        design: the structure; its shots are those of each circuit.
        evaluated: steps at which an output was read.
        learned: steps whose slopes were read, by two shifted circuits per angle (and the output again), per epoch.

    Returns:
        Nothing for exact expectation values, which no machine gives.
    """
    if not design.shots:
        return ()
    made = circuit(design)
    shifted = 1 if design.frozen else 1 + 2 * made.n_params
    return (count(made, shots=design.shots, circuits=max(1, evaluated + learned * shifted)),)


def angles_moved(start: Params, trained: Params) -> Float[np.ndarray, " angles"]:
    """How far every angle went, radians: gradients reached it if it is not zero."""
    parts = [np.asarray(trained[name] - start[name]).reshape(-1) for name in ("angles", "last", "scalings")]
    return np.abs(np.concatenate(parts))
