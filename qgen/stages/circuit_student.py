"""A quantum student: the teacher's first block, a few compressed features, a circuit on them, and a linear read-out.

Logits are read @ (expectations of the circuit on pi tanh(hidden @ compress)); everything learns from the teacher's
logits (KD). Twins: the circuit without entanglement, with its angles frozen, and a tanh layer of as many numbers.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from qgen import check
from qgen.circuits import Circuit, ansatz, count, encodings, expectation, pauli, repeat, z
from qgen.lm import losses, transformer
from qgen.lm.losses import Objective
from qgen.lm.relational import KD
from qgen.resources import Resources
from qgen.types import Array, Float, Key, Params

KINDS = ("circuit", "product", "frozen", "tanh")


@dataclasses.dataclass(frozen=True)
class Design:
    """The student behind the first block.

    Attributes:
        kind: "circuit", "product" (no two-qubit gates), "frozen" (its angles do not learn) or "tanh" (no circuit).
        qubits: compressed features, one per qubit.
        layers: re-uploads of the features, each with RY and RZ on every qubit and a ring of CX.
    """

    kind: str = "circuit"
    qubits: int = 4
    layers: int = 4

    def __post_init__(self) -> None:
        """Refuses unknown kinds and sizes that are too small."""
        check.one_of("kind", self.kind, KINDS)
        check.at_least("qubits", self.qubits, 3)
        check.at_least("layers", self.layers, 1)

    @property
    def n_angles(self) -> int:
        """Trained angles of the circuit."""
        return 2 * self.qubits * self.layers

    @property
    def outputs(self) -> int:
        """Numbers that the read-out reads."""
        return 2 * self.qubits


@functools.lru_cache
def circuit(design: Design) -> Circuit:
    """The circuit: the features' angles first, shared by all re-uploads, then the trained ones."""
    if design.kind == "product":
        body = ansatz.rotations(design.qubits, ("ry", "rz"))
    else:
        body = ansatz.hardware_efficient(design.qubits, 1)
    return repeat(encodings.angle(design.qubits) + body, design.layers, shared=design.qubits)


@functools.lru_cache
def _words(design: Design) -> tuple:
    return (
        *(z(q) for q in range(design.qubits)),
        *(pauli("ZZ", tuple(sorted(pair))) for pair in ansatz.ring(design.qubits)),
    )


def init(key: Key, design: Design, model: transformer.Config, teacher: Params) -> Params:
    """A student that starts from the teacher's embedding and first block; the rest is small and random."""
    compress_key, angle_key, read_key = jax.random.split(key, 3)
    middle = design.qubits * design.outputs if design.kind == "tanh" else design.n_angles
    return {
        "body": {"embed": teacher["embed"], "block_0": teacher["block_0"], "head": {"kernel": jnp.zeros((0, 0))}},
        "compress": jax.random.normal(compress_key, (model.width, design.qubits)) * model.width**-0.5,
        # The tanh layer has qubits * 2 qubits numbers: as many as the circuit where layers = qubits.
        "angles": 0.3 * jax.random.normal(angle_key, (middle,)),
        "read": 0.1 * jax.random.normal(read_key, (design.outputs, model.vocabulary)),
        "bias": jnp.zeros(model.vocabulary),
    }


def logits(
    params: Params, inputs: Array, design: Design, model: transformer.Config
) -> Float[Array, "batch time words"]:
    """The student's logits; `model` is the teacher's architecture."""
    hidden = transformer.apply(params["body"], inputs, dataclasses.replace(model, depth=1), features=True)
    features = jnp.pi * jnp.tanh(hidden.reshape(-1, model.width) @ params["compress"])
    read = _middle(params["angles"], features, design) @ params["read"] + params["bias"][None]
    return read.reshape(*inputs.shape, model.vocabulary)


def _middle(angles: Array, features: Array, design: Design) -> Array:
    if design.kind == "tanh":
        return jnp.tanh(features @ angles.reshape(design.qubits, design.outputs))
    used = jax.lax.stop_gradient(angles) if design.kind == "frozen" else angles
    made, words = circuit(design), list(_words(design))
    return jax.vmap(lambda row: expectation(made, (row, used), words))(features)


@functools.lru_cache
def objective(design: Design, model: transformer.Config) -> Objective:
    """Knowledge distillation into the student; `extra` holds the teacher's parameters."""

    def of_params(params: Params, extra: Any, inputs: Array, targets: Array, key: Key) -> Array:
        aim = jax.lax.stop_gradient(transformer.apply(extra, inputs, model))
        own = logits(params, inputs, design, model)
        return losses.distillation_loss(own, aim, targets, KD.temperature, KD.logits)

    return of_params


def resources(design: Design, steps: int, tokens: int, shots: int) -> tuple[Resources, ...]:
    """What training needs: every token's circuit, and two shifts of each angle and of each encoding of a feature.

    Args:
        design: the student.
        steps: training steps.
        tokens: tokens per step.
        shots: per circuit; all words are diagonal, so one setting reads them.
    """
    if design.kind == "tanh":
        return ()
    shifted = design.qubits * design.layers + (0 if design.kind == "frozen" else design.n_angles)
    return (count(circuit(design), shots=shots, circuits=steps * tokens * (1 + 2 * shifted)),)
