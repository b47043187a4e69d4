"""Causal token mixers that may stand for attention, and a narrow MLP that may stand for a head.

They are the classical rivals of `qgen.nn`'s layers. Each class is a frozen description that a model calls to build the
module beside it.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qgen import check
from qgen.types import Array, Float


def _linear(n_in: int, n_out: int, scale: float, rngs: nnx.Rngs, bias: bool = False) -> nnx.Linear:
    return nnx.Linear(n_in, n_out, use_bias=bias, kernel_init=nnx.initializers.normal(scale * n_in**-0.5), rngs=rngs)


@dataclasses.dataclass(frozen=True)
class Lstm:
    """A long short-term memory of `hidden` cells, read out by a matrix."""

    hidden: int

    def __post_init__(self) -> None:
        """Refuses an empty memory."""
        check.at_least("hidden", self.hidden, 1)

    def __call__(self, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> "LstmMixer":
        """The module."""
        return LstmMixer(self, n_in, n_out, scale, rngs)


class LstmMixer(nnx.Module):
    """Input, forget, cell and output gates from the features and the last output; the forget gates start at 1."""

    def __init__(self, config: Lstm, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> None:
        """Draws the parameters."""
        self.hidden = config.hidden
        self.read = _linear(n_in, 4 * config.hidden, 1.0, rngs)
        self.recall = nnx.Param(nnx.initializers.orthogonal()(rngs.params(), (config.hidden, 4 * config.hidden)))
        self.bias = nnx.Param(jnp.zeros(4 * config.hidden).at[config.hidden : 2 * config.hidden].set(1))
        self.out = _linear(config.hidden, n_out, scale, rngs)

    def __call__(self, x: Float[Array, "batch time features"]) -> Float[Array, "batch time out"]:
        """Reads the positions one after the other."""
        recall = self.recall[...]
        given = self.read(x) + self.bias[...][None, None]

        def step(carry: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], Array]:
            output, cell = carry
            taken, kept, fresh, shown = jnp.split(row + output @ recall, 4, axis=-1)
            cell = jax.nn.sigmoid(kept) * cell + jax.nn.sigmoid(taken) * jnp.tanh(fresh)
            output = jax.nn.sigmoid(shown) * jnp.tanh(cell)
            return (output, cell), output

        empty = jnp.zeros((x.shape[0], self.hidden), x.dtype)
        _, outputs = jax.lax.scan(step, (empty, empty), given.transpose(1, 0, 2))
        return self.out(outputs.transpose(1, 0, 2))


@dataclasses.dataclass(frozen=True)
class Fourier:
    """FNet's mixing without parameters (arXiv:2105.03824), the transform over positions cut to those that are seen."""

    def __call__(self, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> "FourierMixer":
        """The module.

        Raises:
            ValueError: if it would have to change the number of features.
        """
        if n_in != n_out:
            raise ValueError(f"Argument `n_out` must be n_in = {n_in}, but is {n_out}.")
        return FourierMixer(scale)


class FourierMixer(nnx.Module):
    """Re sum_(s <= t) w^(t s) (F x_s), F the unitary transform over features, w the root of unity of the window."""

    def __init__(self, scale: float) -> None:
        """Keeps the deviation of the outputs; there are no parameters."""
        self.scale = scale

    def __call__(self, x: Float[Array, "batch time features"]) -> Float[Array, "batch time out"]:
        """Mixes every position with those before it; the sum over n positions is divided by sqrt(n)."""
        time = x.shape[1]
        places = np.arange(time)
        phases = -2 * np.pi * np.outer(places, places) / time
        seen = np.tril(np.ones((time, time))) / np.sqrt(places + 1)[:, None]
        features = jnp.fft.fft(x, axis=-1, norm="ortho")
        real, imaginary = (jnp.asarray(seen * part(phases), x.dtype) for part in (np.cos, np.sin))
        mixed = jnp.einsum("ts,bsf->btf", real, features.real) - jnp.einsum("ts,bsf->btf", imaginary, features.imag)
        return self.scale * mixed


@dataclasses.dataclass(frozen=True)
class Polynomial:
    """Quixer's formula with real orthogonal matrices: the classical polynomial mixer.

    Attributes:
        size: rows of the matrices, even.
        layers: of rotations: each turns the pairs (0, 1), (2, 3), ... and then (1, 2), (3, 4), ..., (size - 1, 0).
        degree: of the polynomial.
        window: tokens that a position sees, itself included.
    """

    size: int = 16
    layers: int = 1
    degree: int = 3
    window: int = 32

    def __post_init__(self) -> None:
        """Refuses odd sizes and empty sums."""
        for name in ("layers", "degree", "window"):
            check.at_least(name, getattr(self, name), 1)
        if self.size < 2 or self.size % 2:
            raise ValueError(f"Argument `size` must be even and at least 2, but is {self.size}.")

    def __call__(self, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> "PolynomialMixer":
        """The module."""
        return PolynomialMixer(self, n_in, n_out, scale, rngs)


class PolynomialMixer(nnx.Module):
    """sum_k c_k A_t^k e_0 at unit root mean square; A_t is the weighted sum of one orthogonal matrix per token."""

    def __init__(self, config: Polynomial, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> None:
        """Draws the parameters."""
        self.config = config
        self.angles = _linear(n_in, config.layers * config.size, 1.0, rngs, bias=True)
        self.coefficients = nnx.Param(jax.random.normal(rngs.params(), (config.window,)))
        self.polynomial = nnx.Param(jnp.ones(config.degree + 1))
        self.out = _linear(config.size, n_out, scale, rngs, bias=True)

    def __call__(self, x: Float[Array, "batch time features"]) -> Float[Array, "batch time out"]:
        """Mixes every position with those before it."""
        config, time = self.config, x.shape[1]
        made = rotations(self.angles(x).reshape(*x.shape[:-1], config.layers, 2, config.size // 2))
        lags = np.arange(time)[:, None] - np.arange(time)[None, :]
        seen = (lags >= 0) & (lags < config.window)
        weights = jnp.where(seen, self.coefficients[...][np.where(seen, lags, 0)], 0)
        weights = weights / jnp.sum(jnp.abs(weights), axis=1, keepdims=True)
        averages = jnp.einsum("ts,bsij->btij", weights, made)
        row = jnp.zeros((*x.shape[:-1], config.size), x.dtype).at[..., 0].set(1)
        total = self.polynomial[0] * row
        for factor in self.polynomial[...][1:]:
            row = jnp.einsum("btij,btj->bti", averages, row)
            total = total + factor * row
        length = jnp.sqrt(jnp.mean(jnp.square(total), axis=-1, keepdims=True) + 1e-9)
        return self.out(total / length)


def rotations(angles: Float[Array, "batch time layers 2 pairs"]) -> Float[Array, "batch time size size"]:
    """The orthogonal matrices of layers of plane rotations."""
    size = 2 * angles.shape[-1]
    made = jnp.broadcast_to(jnp.eye(size, dtype=angles.dtype), (*angles.shape[:-3], size, size))
    cos, sin = jnp.cos(angles)[..., None], jnp.sin(angles)[..., None]
    for layer in range(angles.shape[-3]):
        for shift in (0, 1):
            pairs = jnp.roll(made, -shift, axis=-2).reshape(*made.shape[:-2], size // 2, 2, size)
            c, s = cos[..., layer, shift, :, :], sin[..., layer, shift, :, :]
            first, second = pairs[..., 0, :], pairs[..., 1, :]
            turned = jnp.stack([c * first - s * second, s * first + c * second], axis=-2)
            made = jnp.roll(turned.reshape(made.shape), shift, axis=-2)
    return made


@dataclasses.dataclass(frozen=True)
class Narrow:
    """Two matrices with `hidden` rectified features between: the classical rival of a quantum head."""

    hidden: int

    def __post_init__(self) -> None:
        """Refuses an empty layer."""
        check.at_least("hidden", self.hidden, 1)

    def __call__(self, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> nnx.Sequential:
        """The module."""
        wide = _linear(n_in, self.hidden, 1.0, rngs, bias=True)
        return nnx.Sequential(wide, jax.nn.relu, _linear(self.hidden, n_out, scale, rngs, bias=True))
