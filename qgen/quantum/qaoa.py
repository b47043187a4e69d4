"""Weight-preserving QAOA: choosing k of n things with a circuit that only ever holds k ones.

The angles are trained either where the machine is, from shots by SPSA, or beforehand in simulation on random instances
of the same kind, and then carried over (fixed angles: Brandao et al., arXiv 1812.04170). Energies are used in units of
their standard deviation over the strings, so that angles mean the same for every instance.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from qgen import check
from qgen.circuits import sector
from qgen.method import Info, Method
from qgen.types import Array, Complex, Float, Int, Key


class Search(NamedTuple):
    """The state of a training run on shots.

    Attributes:
        angles: [2, layers]: the gammas, then the betas.
        steps: steps done.
        place: the best string that any shot has shown, as its place in the energy table.
        energy: that string's energy, in the table's units.
    """

    angles: Float[Array, "2 layers"]
    steps: Int[Array, ""]
    place: Int[Array, ""]
    energy: Float[Array, ""]


def ramp(layers: int, n: int, mixer: str = "full") -> Float[Array, "2 layers"]:
    """The linear ramp to start from: gamma grows and beta falls over the layers, as in an anneal.

    The Dicke state is the highest state of the mixer, so betas are negative in a search for the least energy. The
    slopes were the best of a coarse grid on random positive semidefinite instances, n of 8 and 12, 1 to 8 layers.

    Args:
        layers: QAOA layers.
        n: qubits.
        mixer: a name of `sector.MIXERS`.

    Raises:
        ValueError: if `layers` is below 1, or for an unknown mixer.
    """
    check.at_least("layers", layers, 1)
    place = (jnp.arange(layers) + 0.5) / layers
    return _slopes(n, mixer) * jnp.stack([place, 1 - place])


def _slopes(n: int, mixer: str) -> Float[Array, "2 1"]:
    check.one_of("mixer", mixer, sector.MIXERS)
    # All pairs together turn a string about n times as far as the pairs of a ring.
    return jnp.array([[2.5], [-0.75 if mixer == "ring" else -2.2 / n]])


def unit(table: Float[Array, " size"]) -> Float[Array, " size"]:
    """The energies with mean 0 and standard deviation 1 over the strings."""
    deviation = jnp.std(table)
    return (table - jnp.mean(table)) / jnp.where(deviation > 0, deviation, 1.0)


def state(
    angles: Float[Array, "2 layers"], table: Float[Array, " size"], n: int, k: int, mixer: str
) -> Complex[Array, " size"]:
    """The QAOA state over the strings of weight k, for energies in any unit."""
    return sector.qaoa(angles[0], angles[1], unit(table), n, k, mixer)


def sample(key: Key, amplitudes: Complex[Array, " size"], shots: int) -> Int[Array, " shots"]:
    """The places of `shots` measured strings."""
    return jax.random.choice(key, amplitudes.shape[0], (shots,), p=jnp.abs(amplitudes) ** 2)


def spsa(
    n: int,
    k: int,
    layers: int,
    mixer: str,
    shots: int,
    rate: float = 0.1,
    shift: float = 0.1,
    tail: float = 0.5,
) -> Method:
    """Trains the angles from shots: two circuits a step, all angles shifted along one random direction.

    The objective is the mean of the best `tail` of the shots (CVaR, Barkoutsos et al., arXiv 1907.04769). The problem
    is the energy table [C(n, k)]; the answer is a Search. Every shot counts as a candidate.

    Args:
        n: qubits.
        k: ones.
        layers: QAOA layers.
        mixer: a name of `sector.MIXERS`.
        shots: shots of each of the two circuits of a step.
        rate: first step size, in units of the ramp's slopes.
        shift: first shift of the angles, in the same units.
        tail: share of the best shots that the objective averages, in (0, 1].

    Raises:
        ValueError: for too few layers or shots, or a tail outside (0, 1].
    """
    check.at_least("shots", shots, 1)
    check.within("tail", tail, 1e-6, 1)
    kept = max(1, round(tail * shots))
    start, slopes = ramp(layers, n, mixer), _slopes(n, mixer)

    def init(key: Key, problem: Array) -> Search:
        del key
        return Search(start, jnp.int32(0), jnp.int32(0), jnp.asarray(jnp.inf, problem.dtype))

    def step(key: Key, search: Search, problem: Array) -> tuple[Search, Info]:
        sign_key, plus_key, minus_key = jax.random.split(key, 3)
        signs = jax.random.rademacher(sign_key, start.shape, start.dtype) * slopes
        width = shift / (search.steps + 1.0) ** 0.101
        table = unit(problem)

        def look(shot_key: Key, angles: Array) -> tuple[Array, Array]:
            places = sample(shot_key, state(angles, problem, n, k, mixer), shots)
            seen = table[places]
            return jnp.sort(seen)[:kept].mean(), places[jnp.argmin(seen)]

        values, places = jax.vmap(look)(
            jnp.stack([plus_key, minus_key]), search.angles[None] + width * jnp.stack([signs, -signs])
        )
        gain = rate / (search.steps + 1.0 + 10.0) ** 0.602 * 11.0**0.602
        angles = search.angles - gain * signs * jnp.clip((values[0] - values[1]) / (2 * width), -1, 1)
        energies = problem[places]
        first = jnp.argmin(energies)
        better = energies[first] < search.energy
        found = Search(
            angles,
            search.steps + 1,
            jnp.where(better, places[first].astype(jnp.int32), search.place),
            jnp.where(better, energies[first], search.energy),
        )
        return found, Info(values.mean(), jnp.isfinite(values).all())

    return Method(init, step, lambda search, problem: search)


def adam(n: int, k: int, layers: int, mixer: str, rate: float = 0.03) -> Method:
    """Trains the angles in simulation, from exact mean energies, on one table or on a batch of them at once.

    The problem is [C(n, k)] or [instances, C(n, k)]; the answer is the angles [2, layers].
    """
    optimiser = optax.adam(rate)
    start, slopes = ramp(layers, n, mixer), _slopes(n, mixer)

    def init(key: Key, problem: Array) -> tuple:
        del key, problem
        return start / slopes, optimiser.init(start)

    def objective(units: Array, problem: Array) -> Array:
        angles = units * slopes

        def mean(table: Array) -> Array:
            return jnp.sum(jnp.abs(state(angles, table, n, k, mixer)) ** 2 * unit(table))

        return jax.vmap(mean)(jnp.atleast_2d(problem)).mean()

    def step(key: Key, carry: tuple, problem: Array) -> tuple[tuple, Info]:
        del key
        units, moments = carry
        value, slope = jax.value_and_grad(objective)(units, problem)
        update, moments = optimiser.update(slope, moments)
        return (optax.apply_updates(units, update), moments), Info(value, jnp.isfinite(value))

    return Method(init, step, lambda carry, problem: carry[0] * slopes)


def random_tables(key: Key, n: int, k: int, instances: int) -> Float[Array, "instances size"]:
    """Energy tables of random instances: a normal linear part and a positive semidefinite quadratic part."""

    def one(instance_key: Key) -> Array:
        linear_key, root_key = jax.random.split(instance_key)
        root = jax.random.normal(root_key, (n, n)) / jnp.sqrt(n)
        return sector.energies(jax.random.normal(linear_key, (n,)), root @ root.T, k)

    return jax.vmap(one)(jax.random.split(key, instances))


def chance(amplitudes: Complex[Array, " size"], table: Float[Array, " size"]) -> Float[Array, ""]:
    """P(opt): the chance that one shot shows a string of least energy."""
    tolerance = 1e-5 * jnp.abs(table).max()
    return jnp.sum(jnp.abs(amplitudes) ** 2 * (table <= table.min() + tolerance))
