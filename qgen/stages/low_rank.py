"""Every way to a weight matrix of low rank, by one call: `(key, matrix, activations, rank) -> factors and resources`.

All start from the trained matrix, but the last, whose factors are random: what is left when the teacher's weights are
not used at all. Only the activation-aware arm looks at activations.
"""

import functools
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qgen import check, method
from qgen.classical import fkv, low_rank
from qgen.lm import factorised
from qgen.lm.adapters import BLOCKS, matrices
from qgen.lm.weights import dense
from qgen.quantum import qsvt, variational_svd
from qgen.resources import Resources
from qgen.types import Array, Float, Key, Params

Factors = low_rank.Factors
Compressor = Callable[[Key, Array, Array, int], tuple[Factors, tuple[Resources, ...]]]

SAMPLED = 8
"""Rows, and columns, that FKV reads, in units of the rank."""
VARIATIONAL_RANK = 18
"""The most triplets of the variational arm: lower ranks share its program."""
VARIATIONAL_STEPS = 100
VARIATIONAL_LAYERS = 4


class Compressed(NamedTuple):
    """A model with products in place of its block matrices.

    Attributes:
        params: the parameters.
        factors: place -> (left, right).
        resources: what a quantum machine would need for the factors.
    """

    params: Params
    factors: Mapping[str, Factors]
    resources: tuple[Resources, ...]


def truncated(key: Key, matrix: Array, activations: Array, rank: int) -> tuple[Factors, tuple[Resources, ...]]:
    """The best factors in Frobenius norm."""
    return _truncated(matrix, rank), ()


def randomised(key: Key, matrix: Array, activations: Array, rank: int) -> tuple[Factors, tuple[Resources, ...]]:
    """Halko's projection."""
    return _randomised(key, matrix, rank), ()


def activation_aware(key: Key, matrix: Array, activations: Array, rank: int) -> tuple[Factors, tuple[Resources, ...]]:
    """The best factors for the outputs on given activations."""
    return _activation_aware(matrix, activations, rank), ()


def transformed(key: Key, matrix: Array, activations: Array, rank: int) -> tuple[Factors, tuple[Resources, ...]]:
    """QSVT's threshold projection, read out by tomography."""
    return qsvt.factors(key, matrix, qsvt.Config(rank, oversampling=2))


def sampled(key: Key, matrix: Array, activations: Array, rank: int) -> tuple[Factors, tuple[Resources, ...]]:
    """The dequantised twin of QSVT: the shorter side's vectors from sampled rows and columns."""
    return _sampled(key, matrix, rank), ()


_truncated = jax.jit(low_rank.truncated, static_argnames="rank")
_randomised = jax.jit(low_rank.randomised, static_argnames="rank")
_activation_aware = jax.jit(low_rank.activation_aware, static_argnames="rank")
_output_error = jax.jit(low_rank.output_error)


@functools.partial(jax.jit, static_argnames="rank")
def _sampled(key: Key, matrix: Array, rank: int) -> Factors:
    is_wide = matrix.shape[0] < matrix.shape[1]
    tall = matrix.T if is_wide else matrix
    _, vectors = fkv.sampled(key, tall, rank, SAMPLED * rank, SAMPLED * rank)
    # Sampling leaves the vectors only nearly orthonormal.
    basis = jnp.linalg.qr(vectors.T)[0]
    return (basis, (tall @ basis).T) if is_wide else (tall @ basis, basis.T)


def variational(key: Key, matrix: Array, activations: Array, rank: int) -> tuple[Factors, tuple[Resources, ...]]:
    """The variational quantum SVD of the padded matrix; a tall one is transposed."""
    if matrix.shape[0] > matrix.shape[1]:
        (a, b), needed = variational(key, matrix.T, activations, rank)
        return (b.T, a.T), needed
    sides = [max(2, 1 << (side - 1).bit_length()) for side in matrix.shape]
    padded = jnp.pad(matrix, [(0, to - side) for to, side in zip(sides, matrix.shape, strict=True)])
    most = min(max(rank, VARIATIONAL_RANK), *sides)
    weights = jnp.maximum(rank - jnp.arange(most), 0) / rank
    a, b = _variational(key, padded, weights, most)
    needed = variational_svd.resources(
        tuple(sides), variational_svd.Config(rank, VARIATIONAL_LAYERS), VARIATIONAL_STEPS
    )
    return (a[: matrix.shape[0], :rank], b[:rank, : matrix.shape[1]]), needed


@functools.partial(jax.jit, static_argnames="most")
def _variational(key: Key, matrix: Array, weights: Array, most: int) -> Factors:
    training = variational_svd.decomposition(variational_svd.Config(most, VARIATIONAL_LAYERS), weights)
    return method.run(training, key, matrix, VARIATIONAL_STEPS).answer


def drawn(key: Key, matrix: Array, activations: Array, rank: int) -> tuple[Factors, tuple[Resources, ...]]:
    """Random factors whose product has the matrix's root mean square."""
    return _drawn(key, matrix, rank), ()


@functools.partial(jax.jit, static_argnames="rank")
def _drawn(key: Key, matrix: Array, rank: int) -> Factors:
    left_key, right_key = jax.random.split(key)
    left = jax.random.normal(left_key, (matrix.shape[0], rank)) * rank**-0.5
    right = jax.random.normal(right_key, (rank, matrix.shape[1]))
    return left * jnp.sqrt(jnp.mean(matrix**2)), right


ARMS: Mapping[str, Compressor] = {
    "classical/truncated_svd": truncated,
    "classical/randomised_svd": randomised,
    "classical/activation_aware_svd": activation_aware,
    "quantum/qsvt": transformed,
    "quantum/variational_svd": variational,
    "control/fkv": sampled,
    "control/random_factors": drawn,
}


def compress(
    name: str, key: Key, params: Params, activations: Mapping[str, Float[Array, "positions in"]], rank: int
) -> Compressed:
    """The model with factors of a rank in place of every matrix of its blocks.

    Args:
        name: a name of ARMS.
        key: the random key; a matrix's own key follows from its place.
        params: the trained model's parameters.
        activations: place -> inputs of the matrix there, none of which should score the result.
        rank: of every product, below each matrix's.

    Raises:
        ValueError: for an unknown name, or a rank that a matrix cannot have.
    """
    check.one_of("name", name, ARMS)
    factors, resources = {}, []
    for place, kernel in matrices(params, BLOCKS).items():
        own = jax.random.fold_in(key, zlib.crc32(place.encode()))
        factors[place], needed = ARMS[name](own, dense(kernel), activations[place], rank)
        resources += needed
    return Compressed(factorised.factorise(params, factors), factors, tuple(resources))


def output_error(
    params: Params, factors: Mapping[str, Factors], activations: Mapping[str, Float[Array, "positions in"]]
) -> float:
    """Relative error of the outputs, root mean square over matrices, on given inputs of each."""
    errors = [
        _output_error(dense(matrices(params)[place]), pair, activations[place]) for place, pair in factors.items()
    ]
    return float(jnp.sqrt(jnp.mean(jnp.square(jnp.stack(errors)))))
