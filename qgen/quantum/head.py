"""A quantum head on a language model's sentence features, after Kim et al. (arXiv:2504.08732).

    x -> E encoders, each: amplitudes of x, circuit with trained angles, exact <Z> of all qubits      (classical device)
      -> values v -> N blocks: [RY(v_i) on every qubit, rings], then rings once more, <Z> of the measured qubits, which
         are qubit 0 alone in the article                                                             (quantum machine)
      -> one linear layer -> the logit of class 1

A ring of distance c is a CNOT from i to i + c and then RY on its target, for every i; a layer holds the rings 1 ... C.
All angles and the linear layer are trained end to end. What the article leaves open is settled as follows:

- every encoder takes the whole feature vector on the fewest qubits that hold it; the amplitudes that remain carry zero
  or, all together, `pad` times the vector's norm: a quadratic form of the padded vector then has a linear part as well;
- the values of several encoders stand side by side; block b uploads the next `qubits` of them, cyclically, so that the
  quantum machine's width is free; one encoder as wide as the machine is the article's case;
- blocks have angles of their own; values may be scaled before they become angles.

`encoders = 0` uploads the features themselves, `qubits = 0` leaves the quantum machine out (the linear layer reads all
values), both together are a logistic regression: the controls are the same program.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from qgen import check, circuits
from qgen.circuits import Angle, Circuit, ansatz, count, density, encodings, gate
from qgen.circuits.noise import NoiseModel
from qgen.circuits.observables import Observable
from qgen.resources import Resources
from qgen.types import Array, Float, Int, Key, Params

CHUNK = 64
"""Examples that are evaluated at a time."""
START = 0.3
"""Deviation of the first angles."""


@dataclasses.dataclass(frozen=True)
class Head:
    """The structure; hashable, so that it can be a static argument of jit.

    Attributes:
        features: entries of a feature vector.
        qubits: width of the quantum machine's circuit; 0 leaves it out.
        encoders: E; 0 uploads the features themselves.
        encoder_layers: layers of each encoder's circuit.
        blocks: N, re-uploading blocks.
        layers: layers of each block and of the circuit after them.
        connectivity: C, rings per layer.
        entangled: False leaves out the CNOTs of the quantum machine's circuit.
        measured: qubits that are measured and that the linear layer reads, from the first on.
    """

    features: int
    qubits: int = 10
    encoders: int = 1
    encoder_layers: int = 2
    blocks: int = 2
    layers: int = 1
    connectivity: int = 1
    entangled: bool = True
    measured: int = 1

    def __post_init__(self) -> None:
        """Refuses sizes below what the circuits need."""
        check.at_least("features", self.features, 2 if self.encoders else 1)
        for name in ("qubits", "encoders"):
            check.at_least(name, getattr(self, name), 0)
        for name in ("encoder_layers", "blocks", "layers", "connectivity"):
            check.at_least(name, getattr(self, name), 1)
        check.within("measured", self.measured, 1, max(1, self.qubits))
        widths = ([self.qubits] if self.qubits else []) + ([self.encoder_qubits] if self.encoders else [])
        for width in widths:
            if width > 2 and self.connectivity >= width:
                raise ValueError(
                    f"Argument `connectivity` must be below a circuit's {width} qubits, but is {self.connectivity}."
                )

    @property
    def encoder_qubits(self) -> int:
        """The fewest qubits whose amplitudes hold a feature vector."""
        return max(1, math.ceil(math.log2(self.features)))

    @property
    def values(self) -> int:
        """How many numbers the first module hands on."""
        return self.encoders * self.encoder_qubits if self.encoders else self.features

    @property
    def read(self) -> list[Observable]:
        """Z of every measured qubit."""
        return [circuits.z(qubit) for qubit in range(self.measured)]


class Settings(NamedTuple):
    """What training can tune; numbers or traced arrays, so that lanes of a vmap can differ in them.

    Attributes:
        learning_rate: Adam's at the start; it falls to zero along half a cosine.
        scale: radians per unit of a value.
        pad: norm of the padding amplitudes together, in norms of the feature vector; no effect where none remain.
    """

    learning_rate: Float[Array, ""] | float = 0.03
    scale: Float[Array, ""] | float = 1.0
    pad: Float[Array, ""] | float = 0.0


class Fit(NamedTuple):
    """A trained head and its loss, in nats per example, at every step."""

    params: Params
    losses: Float[Array, " steps"]


def rings(n_qubits: int, layers: int, connectivity: int = 1, entangled: bool = True) -> Circuit:
    """Layers of the rings 1 ... connectivity: CNOT from i to i + c, then RY on i + c; one angle per pair, in order."""
    pairs = [pair for offset in range(1, connectivity + 1) for pair in ansatz.ring(n_qubits, offset)] or [(0, 0)]
    ops = []
    for place, (source, target) in enumerate(layers * pairs):
        ops += [gate("cx", (source, target))] if entangled and source != target else []
        ops.append(gate("ry", target, Angle(place)))
    return Circuit(n_qubits, tuple(ops))


@functools.lru_cache
def encoder(head: Head) -> Circuit:
    """The circuit of one encoder, after its amplitudes."""
    return rings(head.encoder_qubits, head.encoder_layers, head.connectivity)


@functools.lru_cache
def block(head: Head) -> Circuit:
    """The trained part of one re-uploading block, and the circuit after the last block."""
    return rings(head.qubits, head.layers, head.connectivity, head.entangled)


@functools.lru_cache
def machine(head: Head) -> Circuit:
    """The quantum machine's circuit; parameters: for every block the uploaded angles and the trained, then the last."""
    circuit = Circuit(head.qubits)
    for _ in range(head.blocks):
        circuit = circuit + encodings.angle(head.qubits) + block(head)
    return circuit + block(head)


def init(key: Key, head: Head) -> Params:
    """Fresh parameters: `encoders` [E, angles], `angles` [blocks + 1, angles], `weight` [inputs], `bias` []."""
    keys = jax.random.split(key, 3)
    params: Params = {"bias": jnp.zeros(())}
    if head.encoders:
        params["encoders"] = START * jax.random.normal(keys[0], (head.encoders, encoder(head).n_params))
    if head.qubits:
        params["angles"] = START * jax.random.normal(keys[1], (head.blocks + 1, block(head).n_params))
        params["weight"] = jnp.full(head.measured, 1 / head.measured)
    else:
        params["weight"] = jax.random.normal(keys[2], (head.values,)) * head.values**-0.5
    return params


def size(head: Head) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda: init(jax.random.key(0), head))))


def values(
    params: Params, x: Float[Array, "batch features"], head: Head, pad: Float[Array, ""] | float = 0.0
) -> Float[Array, "batch values"]:
    """What the first module hands on: <Z> of all qubits of every encoder, encoder after encoder.

    Raises:
        ValueError: if the rows are not as long as the head's features.
    """
    check.shape("x", x, (None, head.features))
    if not head.encoders:
        return x
    circuit = encoder(head)
    words = [circuits.z(q) for q in range(head.encoder_qubits)]
    free = 2**head.encoder_qubits - head.features
    norms = jnp.linalg.norm(x, axis=1, keepdims=True)
    filled = jnp.broadcast_to(pad * norms * max(free, 1) ** -0.5, (x.shape[0], free))
    amplitudes = jnp.concatenate([x, filled], axis=1)
    amplitudes = amplitudes / jnp.maximum(jnp.linalg.norm(amplitudes, axis=1, keepdims=True), 1e-12)
    states = amplitudes.astype(jnp.complex64)

    def one(angles: Array) -> Array:
        return jax.vmap(lambda state: circuits.expectation(circuit, angles, words, state=state))(states)

    return jnp.concatenate([one(params["encoders"][e]) for e in range(head.encoders)], axis=1)


def uploads(
    found: Float[Array, "batch values"], head: Head, scale: Array | float
) -> Float[Array, "batch blocks qubits"]:
    """The angles that the blocks upload: the values in turn, from the first again where they end."""
    places = jnp.arange(head.blocks * head.qubits) % head.values
    return (scale * found[:, places]).reshape(-1, head.blocks, head.qubits)


def pieces(params: Params, angles: Float[Array, "blocks qubits"], head: Head) -> tuple[Array, ...]:
    """One example's parameters of `machine`."""
    both = [piece for b in range(head.blocks) for piece in (angles[b], params["angles"][b])]
    return (*both, params["angles"][head.blocks])


def means(
    params: Params, x: Float[Array, "batch features"], head: Head, settings: Settings
) -> Float[Array, "batch measured"]:
    """The quantum machine's exact <Z> of its measured qubits for every example."""
    found = uploads(values(params, x, head, settings.pad), head, settings.scale)
    circuit = machine(head)
    return jax.vmap(lambda angles: circuits.expectation(circuit, pieces(params, angles, head), head.read))(found)


def logits(params: Params, x: Float[Array, "batch features"], head: Head, settings: Settings) -> Float[Array, " batch"]:
    """The logit of class 1, exactly (without shots and noise)."""
    inputs = means(params, x, head, settings) if head.qubits else values(params, x, head, settings.pad)
    return inputs @ params["weight"] + params["bias"]


def loss(params: Params, x: Array, y: Array, head: Head, settings: Settings) -> Float[Array, ""]:
    """Mean binary cross-entropy in nats; `y` holds 0 and 1."""
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits(params, x, head, settings), y.astype(x.dtype)))


@functools.partial(jax.jit, static_argnames=("head", "steps", "batch", "frozen"))
def fit(
    key: Key,
    x: Float[Array, "examples features"],
    y: Int[Array, " examples"],
    settings: Settings,
    head: Head,
    steps: int,
    batch: int,
    frozen: bool = False,
) -> Fit:
    """Trains a head with Adam on random mini-batches: one compiled scan, to be vmapped over keys and settings.

    Args:
        key: draws the start and the batches.
        x: feature vectors.
        y: classes, 0 or 1.
        settings: learning rate, scale and padding.
        head: the structure.
        steps: optimiser steps.
        batch: examples per step, drawn with replacement.
        frozen: train the linear layer only and leave all circuits as they start: the control.

    Raises:
        ValueError: if the labels are not one per example.
    """
    check.shape("y", y, (x.shape[0],))
    check.at_least("steps", steps, 1)
    check.at_least("batch", batch, 1)
    start_key, batch_key = jax.random.split(key)
    optimiser = optax.scale_by_adam()
    params = init(start_key, head)

    def step(carry: tuple, number: Array) -> tuple:
        params, moments = carry
        places = jax.random.randint(jax.random.fold_in(batch_key, number), (batch,), 0, x.shape[0])
        value, slope = jax.value_and_grad(loss)(params, x[places], y[places], head, settings)
        updates, moments = optimiser.update(slope, moments)
        if frozen:
            named = cast(dict[str, Array], updates)  # of the parameters' structure
            updates = {name: u if name in ("weight", "bias") else jnp.zeros_like(u) for name, u in named.items()}
        rate = settings.learning_rate * (1 + jnp.cos(jnp.pi * number / steps)) / 2
        params = jax.tree.map(lambda p, u: p - rate * u, params, updates)
        return (params, moments), value

    (params, _), losses = jax.lax.scan(step, (params, optimiser.init(params)), jnp.arange(steps))
    return Fit(params, losses)


@functools.partial(jax.jit, static_argnames=("head", "steps", "batch", "frozen"))
def population(
    keys: Key,
    x: Float[Array, "examples features"],
    y: Int[Array, " examples"],
    settings: Settings,
    head: Head,
    steps: int,
    batch: int,
    frozen: bool = False,
) -> Fit:
    """`fit` for every key and every row of the settings side by side, [lanes], in one compiled program."""
    return jax.vmap(lambda key, own: fit(key, x, y, own, head, steps, batch, frozen))(keys, settings)


@functools.partial(jax.jit, static_argnames="head")
def predict(
    params: Params, x: Float[Array, "examples features"], head: Head, settings: Settings
) -> Float[Array, " examples"]:
    """`logits` of any number of examples, CHUNK of them at a time."""
    return in_chunks(lambda part: logits(params, part, head, settings), x)


def in_chunks(f: Callable[[Array], Array], x: Float[Array, "examples features"]) -> Float[Array, " examples"]:
    """f of CHUNK rows at a time, so that no more states than that are in memory."""
    parts = jnp.concatenate([x, jnp.broadcast_to(x[:1], (-x.shape[0] % CHUNK, x.shape[1]))])
    return jax.lax.map(f, parts.reshape(-1, CHUNK, x.shape[1])).reshape(-1)[: x.shape[0]]


def sampled(
    key: Key, params: Params, x: Float[Array, "batch features"], head: Head, settings: Settings, shots: int
) -> Float[Array, " batch"]:
    """Logits from `shots` executions of the quantum machine's circuit per example.

    Raises:
        ValueError: if `shots` is below 1, or the head has no quantum machine or measures several qubits, whose
            outcomes in one execution are not independent.
    """
    check.at_least("shots", shots, 1)
    check.at_least("qubits", head.qubits, 1)
    check.within("measured", head.measured, 1, 1)
    mean = means(params, x, head, settings)[:, 0]
    # The read-out of one qubit is a coin: its mean over the shots is a binomial number.
    ones = jax.random.binomial(key, shots, jnp.clip((1 - mean) / 2, 0, 1))
    return (1 - 2 * ones / shots) * params["weight"][0] + params["bias"]


def noisy(
    params: Params,
    x: Float[Array, "batch features"],
    head: Head,
    settings: Settings,
    model: NoiseModel,
    strengths: Float[Array, " strengths"] | None = None,
) -> Float[Array, " batch"]:
    """Logits on a noisy quantum machine, exactly, by density matrices; the encoders stay exact: they are classical.

    Args:
        params: of the head.
        x: feature vectors.
        head: the structure.
        settings: as it was trained.
        model: the machine's noise.
        strengths: traced strengths in place of the model's.

    Raises:
        ValueError: if the head has no quantum machine, or more qubits than a density matrix can hold.
    """
    check.at_least("qubits", head.qubits, 1)
    found = uploads(values(params, x, head, settings.pad), head, settings.scale)

    def one(angles: Array) -> Array:
        joined = jnp.concatenate(pieces(params, angles, head))
        return density.expectation(machine(head), joined, head.read, model, strengths=strengths)

    return jax.vmap(one)(found) @ params["weight"] + params["bias"]


def inference_resources(head: Head, examples: int, shots: int) -> Resources:
    """What classifying so many examples needs: one circuit each, of which the measured qubits are read."""
    counted = count(machine(head), shots=shots, circuits=examples)
    return dataclasses.replace(counted, measurements=head.measured * counted.shots)


def training_resources(head: Head, steps: int, batch: int, shots: int) -> Resources:
    """What training needs: per example and step one value and two shifts per angle, the uploaded ones included.

    The uploaded angles' slopes carry the gradient on to the encoders; without encoders they are not needed.
    """
    trained = (head.blocks + 1) * block(head).n_params
    uploaded = head.blocks * head.qubits if head.encoders else 0
    return inference_resources(head, steps * batch * (1 + 2 * (trained + uploaded)), shots)
