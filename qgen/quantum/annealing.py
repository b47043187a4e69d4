"""Quantum annealing of a quadratic energy with k ones enforced by a penalty, simulated by path-integral Monte Carlo.

An annealer has no weight-preserving mixer, so the constraint enters as penalty (sum x - k)^2, and its couplers are
sparse, so every variable becomes a chain of qubits. The simulation (Santoro et al., arXiv cond-mat/0205280) samples P
Trotter copies of the n spins at a low temperature while the transverse field falls; one copy is one read. It stands for
an ideal annealer without broken chains, control error or read-out error.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from qgen import check
from qgen.resources import Resources
from qgen.types import Array, Bool, Float, Int, Key


class Reads(NamedTuple):
    """What the annealer returns.

    Attributes:
        strings: [reads, n] of 0 and 1.
        feasible: which have exactly k ones, [reads].
    """

    strings: Int[Array, "reads n"]
    feasible: Bool[Array, " reads"]


def penalised(
    linear: Float[Array, " n"], quadratic: Float[Array, "n n"], k: int, strength: float = 1.0
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """The linear and quadratic part of E(x) + penalty (sum x - k)^2, without its constant.

    The penalty is `strength` times the most that flipping one bit can change E; from 1 on, the least energy of all
    strings has k ones.

    Raises:
        ValueError: if `quadratic` is not [n, n], k is not in [0, n], or `strength` is not positive.
    """
    n = linear.shape[0]
    check.shape("quadratic", quadratic, (n, n))
    check.within("k", k, 0, n)
    check.positive("strength", strength)
    diagonal = jnp.diagonal(quadratic)
    alone = linear + 0.5 * diagonal
    couplings = quadratic - jnp.diag(diagonal)
    penalty = strength * jnp.max(jnp.abs(alone) + jnp.abs(couplings).sum(axis=1))
    return alone + penalty * (1 - 2 * k), couplings + 2 * penalty * (1 - jnp.eye(n))


def anneal(
    key: Key,
    linear: Float[Array, " n"],
    quadratic: Float[Array, "n n"],
    k: int,
    reads: int,
    sweeps: int,
    copies: int = 16,
    strength: float = 1.0,
    temperature: float = 0.05,
    field: float = 3.0,
) -> Reads:
    """Anneals `reads` times and reads one string each.

    Args:
        key: random key.
        linear: [n].
        quadratic: [n, n].
        k: wanted ones.
        reads: annealing cycles.
        sweeps: Monte Carlo sweeps from the first field to none.
        copies: Trotter copies, even.
        strength: of the penalty, see `penalised`.
        temperature: in units of the largest coupling of the spins.
        field: first transverse field, in the same unit.

    Returns:
        The Reads.

    Raises:
        ValueError: for fewer than one read or sweep, an odd or too small number of copies, or a temperature or field
            that is not positive.
    """
    check.at_least("reads", reads, 1)
    check.at_least("sweeps", sweeps, 1)
    check.positive("temperature", temperature)
    check.positive("field", field)
    if copies < 2 or copies % 2:
        raise ValueError(f"Argument `copies` must be even and at least 2, but is {copies}.")
    n = linear.shape[0]
    alone, couplings = penalised(linear, quadratic, k, strength)
    # x = (1 - s) / 2 turns bits into spins.
    fields = -0.5 * alone - 0.25 * couplings.sum(axis=1)
    bonds = 0.25 * couplings
    largest = jnp.maximum(jnp.abs(fields).max(), jnp.abs(bonds).max())
    fields, bonds = fields / largest, bonds / largest
    inverse = 1 / (temperature * copies)
    # The bond between neighbouring copies, in units of temperature: -ln(tanh(inverse * field)) / 2.
    ramp = field * (1 - (jnp.arange(sweeps) + 0.5) / sweeps)
    ties = -0.5 * jnp.log(jnp.tanh(inverse * ramp))
    parity = jnp.arange(copies) % 2

    def sweep(spins: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        tie, sweep_key = inputs

        def site(spins: Array, place: tuple[Array, Array]) -> tuple[Array, None]:
            i, site_key = place
            for half in (0, 1):
                column = spins[..., i]
                inside = inverse * (fields[i] + spins @ bonds[i])
                between = -tie * (jnp.roll(column, 1, axis=-1) + jnp.roll(column, -1, axis=-1))
                change = -2 * column * (inside + between)
                noise = jax.random.uniform(jax.random.fold_in(site_key, half), column.shape)
                flip = (noise < jnp.exp(-change)) & (parity == half)[None, :]
                spins = spins.at[..., i].set(jnp.where(flip, -column, column))
            return spins, None

        return jax.lax.scan(site, spins, (jnp.arange(n), jax.random.split(sweep_key, n)))[0], None

    start_key, run_key = jax.random.split(key)
    spins = jax.random.rademacher(start_key, (reads, copies, n), linear.dtype)
    spins, _ = jax.lax.scan(sweep, spins, (ties, jax.random.split(run_key, sweeps)))
    strings = ((1 - spins[:, 0]) / 2).astype(jnp.int32)
    return Reads(strings, strings.sum(axis=1) == k)


def count(n: int, reads: int) -> Resources:
    """What an annealer needs for n fully coupled variables: the logical problem; a machine's price embeds it.

    Args:
        n: variables.
        reads: annealing cycles.

    Raises:
        ValueError: if there are no variables.
    """
    return Resources(qubits=n, circuits=1, measurements=n * reads, anneals=reads)
