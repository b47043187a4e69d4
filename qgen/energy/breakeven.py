"""Break-evens: from which size a quantum machine uses less energy, and what machine it would take.

Always two: against simulating the same circuit, and against the best classical method for the task at equal quality.
The first says nothing about the second.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.energy import carbon, pricing, scaling
from qgen.energy.profiles import Profile
from qgen.energy.scaling import Law
from qgen.resources import Resources
from qgen.types import Array, Float, Key

BISECTIONS = 40


class BreakEven(NamedTuple):
    """Where the quantum machine begins to use less energy.

    Attributes:
        size: break-even size of every draw; infinite where it is never reached in the searched range, the range's low
            end where the quantum machine is better from the start.
        reached: share of the draws that reach it.
    """

    size: Float[Array, "draws"]
    reached: float

    def interval(self) -> tuple[float, float, float]:
        """Median, 5 % and 95 % quantile; infinite where that share of the draws never reaches it."""
        ordered = np.sort(np.asarray(self.size, dtype=float))
        return tuple(float(ordered[min(int(q * ordered.size), ordered.size - 1)]) for q in (0.5, 0.05, 0.95))  # pyright: ignore[reportReturnType]


def crossing(
    quantum: Callable[[Array], Array], classical: Callable[[Array], Array], low: float, high: float, points: int = 200
) -> BreakEven:
    """The size beyond which `quantum` stays below `classical` up to `high`.

    Args:
        quantum: sizes [draws] -> log energy [draws].
        classical: the same for its rival.
        low: lower end of the search.
        high: upper end of the search.
        points: places, evenly spaced in the logarithm, where the sign is looked at before bisection.

    Returns:
        A BreakEven.

    Raises:
        ValueError: unless 0 < low < high.
    """
    check.positive("low", low)
    if not low < high:
        raise ValueError(f"Argument `high` must be above `low` = {low}, but is {high}.")

    def gap(size: Array) -> Array:
        return quantum(size) - classical(size)

    def solve() -> Array:
        grid = jnp.geomspace(low, high, points)
        worse = jax.lax.map(lambda g: gap(jnp.broadcast_to(g, draws)) >= 0, grid)  # [points, draws]
        last_worse = points - 1 - jnp.argmax(worse[::-1], axis=0)
        never_worse, never_better = ~worse.any(axis=0), worse[-1]

        def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = jnp.sqrt(ends[0] * ends[1])
            is_worse = gap(middle) >= 0
            return jnp.where(is_worse, middle, ends[0]), jnp.where(is_worse, ends[1], middle)

        ends = grid[last_worse], grid[jnp.minimum(last_worse + 1, points - 1)]
        right = jax.lax.fori_loop(0, BISECTIONS, halve, ends)[1]
        return jnp.where(never_better, jnp.inf, jnp.where(never_worse, low, right))

    draws = jax.eval_shape(gap, jax.ShapeDtypeStruct((), jnp.result_type(float))).shape
    size = jax.jit(solve)()
    return BreakEven(size, float(jnp.mean(jnp.isfinite(size))))


def rival(key: Key, law: Law, building: Float[Array, "draws"]) -> tuple[Float[Array, "draws"], Float[Array, "draws"]]:
    """Draws of a measured law (offset and slope) as a machine's rival: with what its data centre draws for it.

    Args:
        key: random key.
        law: the measured law.
        building: draws of `carbon.facility`; those of a machine's host part, where it has one.
    """
    offset, slope = scaling.sample(key, law, building.size)
    return offset + jnp.log(building), slope


def of_machine(
    key: Key,
    resources_at: Callable[[int], Resources | Sequence[Resources]],
    profile: Profile,
    classical: Law,
    sizes: Sequence[int],
    draws: int = 10_000,
) -> BreakEven:
    """Break-even of a machine against a law, which may be that of simulating the circuit or of solving the task.

    Between two sizes the machine's energy is interpolated in both logarithms, draw by draw.

    Args:
        key: random key; every size is priced with the same draws.
        resources_at: size -> what the machine must do.
        profile: the machine; give it room, since a size that it cannot run ends the search.
        classical: measured law of the rival; the facility factor is added to it.
        sizes: rising sizes at which the machine is priced; they bound the search.
        draws: draws of both.

    Returns:
        A BreakEven.

    Raises:
        CannotRun: if the machine cannot run the smallest two sizes.
    """
    price_key, law_key, building_key = jax.random.split(key, 3)
    priced: list[Array] = []
    for size in sizes:
        try:
            priced.append(jnp.asarray(pricing.price(resources_at(size), profile, price_key, draws).energy_j))
        except pricing.CannotRun:
            if len(priced) < 2:
                raise
            break
    log_sizes = jnp.log(jnp.asarray(sizes[: len(priced)], dtype=float))
    log_energy = jnp.log(jnp.stack(priced, axis=1))
    offset, slope = rival(law_key, classical, carbon.facility(building_key, draws))

    def quantum(n: Array) -> Array:
        return interpolate(jnp.broadcast_to(jnp.log(n), (draws,)), log_sizes, log_energy)

    return crossing(
        quantum,
        lambda n: scaling.log_energy(classical.kind, offset, slope, n),
        float(sizes[0]),
        float(sizes[len(priced) - 1]),
    )


def interpolate(
    x: Float[Array, "draws"], places: Float[Array, "sizes"], values: Float[Array, "draws sizes"]
) -> Float[Array, "draws"]:
    """Straight lines between `values` at `places`, one row per draw."""
    right = jnp.clip(jnp.searchsorted(places, x), 1, places.size - 1)
    left = right - 1
    share = (x - places[left]) / (places[right] - places[left])
    rows = jnp.arange(x.size)
    return (1 - share) * values[rows, left] + share * values[rows, right]


def room(profile: Profile, qubits: float) -> Profile:
    """The machine with at least so many (logical) qubits: what limits a break-even is then its energy, not its size."""
    most = 1e12 if profile.kind == "fault_tolerant" else max(profile["max_qubits"].central, qubits)
    return profile.fixed({"max_qubits": most})


def of_curves(
    key: Key,
    curves: Mapping[str, Float[Array, "draws sizes"]],
    sizes: Sequence[int],
    classical: Law,
    building: Float[Array, "draws"],
) -> dict[str, BreakEven]:
    """Break-even of several machines against one law, in one compiled search.

    Args:
        key: random key for the law's draws.
        curves: machine -> log energy at the first sizes, as many as it can run; between two of them the energy is
            interpolated in both logarithms.
        sizes: rising sizes.
        classical: measured law of the rival.
        building: draws of the facility factor, by which the rival is multiplied.

    Returns:
        Machine -> BreakEven; a machine's search ends at its last size.
    """
    if not curves:
        return {}
    logs = jnp.log(jnp.asarray(sizes, dtype=float))
    # Beyond a machine's last size its gap is held, so that its search ends there.
    rows = jnp.concatenate(
        [jnp.pad(curve, ((0, 0), (0, len(sizes) - curve.shape[1])), mode="edge") for curve in curves.values()]
    )
    last = jnp.repeat(jnp.asarray([float(sizes[curve.shape[1] - 1]) for curve in curves.values()]), building.size)
    offset, slope = (jnp.tile(part, len(curves)) for part in rival(key, classical, building))

    def quantum(n: Array) -> Array:
        place = jnp.log(jnp.minimum(jnp.broadcast_to(n, last.shape), last))
        return interpolate(place, logs, rows)

    def simulated(n: Array) -> Array:
        return scaling.log_energy(classical.kind, offset, slope, jnp.minimum(n, last))

    return _split(crossing(quantum, simulated, float(sizes[0]), float(sizes[-1])), list(curves))


def of_power_laws(
    key: Key,
    lines: Mapping[str, tuple[Float[Array, "draws"], Float[Array, "draws"]]],
    classical: Law,
    building: Float[Array, "draws"],
    low: float,
    largest: float,
    high: float,
) -> dict[str, BreakEven]:
    """Break-even of several machines' power laws against one measured power law, in one compiled search.

    Args:
        key: random key for the law's draws.
        lines: machine -> offset and slope of every draw.
        classical: measured law of the rival.
        building: draws of the facility factor, by which the rival is multiplied.
        low: where the search begins.
        largest: the largest measured size, from which on the rival is `scaling.continued`.
        high: where the search ends.

    Returns:
        Machine -> BreakEven.
    """
    offset, slope = (jnp.concatenate(parts) for parts in zip(*lines.values(), strict=True))
    c_offset, c_slope = (jnp.tile(part, len(lines)) for part in rival(key, classical, building))
    found = crossing(
        lambda n: scaling.log_energy("power", offset, slope, n),
        lambda n: scaling.continued(c_offset, c_slope, largest, n),
        *(low, high),
    )
    return _split(found, list(lines))


def _split(found: BreakEven, names: Sequence[str]) -> dict[str, BreakEven]:
    sizes = np.asarray(found.size).reshape(len(names), -1)
    return {
        name: BreakEven(jnp.asarray(size), float(np.isfinite(size).mean()))
        for name, size in zip(names, sizes, strict=True)
    }


def at_best(
    quantum_j: Float[Array, "draws"], host_j: Float[Array, "draws"], rival_j: Float[Array, "draws"]
) -> BreakEven:
    """How many times larger a problem would have to be, were the quantum part to grow as the square root of its rival.

    A bound for a problem of one size: with a quadratic speed-up in all that the machine does, and in none of its
    constants, sqrt(x) * quantum + x * host = x * rival, so x = (quantum / (rival - host))^2.

    Args:
        quantum_j: energy of the machine at this size.
        host_j: energy of the part that stays classical, which grows as the rival does.
        rival_j: energy of the best classical method.

    Returns:
        A BreakEven in multiples of this size; infinite where the part that stays classical is no less than the rival.
    """
    left = jnp.asarray(rival_j) - jnp.asarray(host_j)
    size = jnp.where(left > 0, (jnp.asarray(quantum_j) / jnp.where(left > 0, left, 1.0)) ** 2, jnp.inf)
    return BreakEven(size, float(jnp.mean(jnp.isfinite(size))))
