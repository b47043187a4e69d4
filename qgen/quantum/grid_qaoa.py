"""QAOA over one-hot choices: every axis of a grid holds exactly one excitation, and XY gates within an axis move it.

The circuit never leaves the cells of the grid, so that its state is one amplitude per cell (the product of sectors of
weight 1, Hadfield et al., arXiv:1709.03489). The angles are the fixed linear ramp of `qaoa.ramp`.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import Circuit, Op, count, gate, sector
from qgen.quantum import qaoa
from qgen.resources import Resources
from qgen.types import Array, Complex, Float, Int, Key

MOST_CELLS = 1 << 20
MIXER = "full"


def table(
    linear: Float[Array, " bits"], quadratic: Float[Array, "bits bits"], shape: tuple[int, ...]
) -> Float[Array, " cells"]:
    """The energy linear . x + x . quadratic . x / 2 of every cell, the last axis fastest.

    Raises:
        ValueError: if the energy has not one bit per value of every axis, or there are more than MOST_CELLS cells.
    """
    bits, cells = sum(shape), math.prod(shape)
    check.within("number of cells", cells, 1, MOST_CELLS)
    check.shape("linear", linear, (bits,))
    check.shape("quadratic", quadratic, (bits, bits))
    offsets = np.cumsum([0, *shape[:-1]])
    total = jnp.zeros(shape)
    for i, (first, size) in enumerate(zip(offsets, shape, strict=True)):
        own = linear[first : first + size] + 0.5 * jnp.diagonal(quadratic)[first : first + size]
        total = total + own.reshape([size if axis == i else 1 for axis in range(len(shape))])
        for j in range(i + 1, len(shape)):
            block = quadratic[first : first + size, offsets[j] : offsets[j] + shape[j]]
            total = total + block.reshape([shape[axis] if axis in (i, j) else 1 for axis in range(len(shape))])
    return total.reshape(-1)


def state(energies: Float[Array, " cells"], shape: tuple[int, ...], layers: int) -> Complex[Array, " cells"]:
    """The QAOA state with the ramp's angles, for energies in any unit.

    Raises:
        ValueError: if `layers` is below 1, or the energies are not one per cell.
    """
    check.at_least("layers", layers, 1)
    check.shape("energies", energies, (math.prod(shape),))
    scaled = qaoa.unit(energies).reshape(shape)
    amplitudes = jnp.full(shape, math.prod(shape) ** -0.5, jnp.result_type(1j))
    ramps = [qaoa.ramp(layers, max(size, 2), MIXER) for size in shape]
    for layer in range(layers):
        amplitudes = amplitudes * jnp.exp(-1j * ramps[0][0, layer] * scaled)
        for axis, size in enumerate(shape):
            if size == 1:
                continue
            # The sector counts its strings upwards: from the last bit set, the axis' last value, to the first.
            rows = jnp.moveaxis(amplitudes, axis, -1).reshape(-1, size)[:, ::-1]
            mixed = jax.vmap(lambda row, beta=ramps[axis][1, layer], n=size: sector.mix(row, beta, n, 1, MIXER))(rows)
            others = [length for place, length in enumerate(shape) if place != axis]
            amplitudes = jnp.moveaxis(mixed[:, ::-1].reshape(*others, size), -1, axis)
    return amplitudes.reshape(-1)


@functools.partial(jax.jit, static_argnames=("shape", "layers", "shots"))
def sample(
    key: Key,
    linear: Float[Array, " bits"],
    quadratic: Float[Array, "bits bits"],
    shape: tuple[int, ...],
    layers: int,
    shots: int,
) -> tuple[Int[Array, "shots axes"], Float[Array, " shots"]]:
    """Measured cells and their energies."""
    energies = table(linear, quadratic, shape)
    places = qaoa.sample(key, state(energies, shape, layers), shots)
    return jnp.stack(jnp.unravel_index(places, shape), axis=1), energies[places]


@functools.lru_cache
def circuit(shape: tuple[int, ...], layers: int) -> Circuit:
    """The circuit, with unit phases in place of a problem's: a W state per axis, RZ and RZZ phases, XY gates.

    Raises:
        ValueError: if `layers` is below 1 or no axis has a choice.
    """
    check.at_least("layers", layers, 1)
    check.at_least("largest axis", max(shape, default=0), 2)
    offsets = np.cumsum([0, *shape[:-1]]).tolist()
    groups = [range(first, first + size) for first, size in zip(offsets, shape, strict=True) if size > 1]
    place = {wire: index for index, wire in enumerate(wire for group in groups for wire in group)}
    ops = []
    for group in groups:
        wires = [place[wire] for wire in group]
        for op in sector.dicke(len(wires), 1).ops:
            assert isinstance(op, Op)
            controls = tuple(wires[c] for c in op.controls)
            ops.append(gate(op.name, tuple(wires[w] for w in op.wires), *op.angles, controls=controls))
    for _ in range(layers):
        ops += [gate("rz", index, 1.0) for index in place.values()]
        for i, first in enumerate(groups):
            for second in groups[i + 1 :]:
                ops += [gate("rzz", (place[a], place[b]), 1.0) for a in first for b in second]
        for group in groups:
            wires = [place[wire] for wire in group]
            ops += [gate("rxy", (wires[a], wires[b]), 1.0) for a, b in sector.pairs(len(wires), MIXER)]
    return Circuit(len(place), tuple(ops))


def resources(shape: Sequence[int], layers: int, shots: int) -> Resources:
    """What `shots` runs of the circuit need; axes of one value take no qubit."""
    return count(circuit(tuple(shape), layers), shots=shots)
