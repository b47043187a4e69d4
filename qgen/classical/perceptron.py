"""Multilayer perceptrons with ReLU units, as plain arrays: one matrix per layer whose last row holds the biases."""

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from qgen import check
from qgen.types import Array, Float, Int, Key

Layers = tuple[Float[Array, "inputs_and_one outputs"], ...]


def init(key: Key, sizes: Sequence[int]) -> Layers:
    """He's normal initialisation (arXiv:1502.01852), biases zero.

    Args:
        key: random key.
        sizes: units of every layer, features first and classes last.

    Raises:
        ValueError: for fewer than two layers or an empty one.
    """
    check.at_least("number of sizes", len(sizes), 2)
    check.at_least("least of sizes", min(sizes), 1)
    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(
        jnp.concatenate([math.sqrt(2 / n_in) * jax.random.normal(k, (n_in, n_out)), jnp.zeros((1, n_out))])
        for k, (n_in, n_out) in zip(keys, itertools.pairwise(sizes), strict=True)
    )


def affine(layer: Float[Array, "inputs_and_one outputs"], x: Float[Array, "*batch inputs"]) -> Array:
    """One layer without its units, [*batch, outputs]."""
    linear = x @ layer[:-1]
    return linear + layer[-1].reshape((1,) * (linear.ndim - 1) + (-1,))


def logits(
    layers: Layers, x: Float[Array, "*batch inputs"], hidden: Callable[[int, Array], Array] = lambda place, h: h
) -> Float[Array, "*batch classes"]:
    """The outputs of the network.

    Args:
        layers: the weights.
        x: features.
        hidden: `(layer, its units) -> units`, such as dropout.
    """
    for place, layer in enumerate(layers[:-1]):
        x = hidden(place, jax.nn.relu(affine(layer, x)))
    return affine(layers[-1], x)


def cross_entropy(outputs: Float[Array, "*batch classes"], labels: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The negative logarithm of the probability of every label, nats."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels)


def n_weights(sizes: Sequence[int]) -> int:
    """Weights and biases of a network."""
    return sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(sizes))
