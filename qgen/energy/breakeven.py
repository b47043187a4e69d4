"""Break-evens: from which size a quantum machine uses less energy, and what machine it would take.

Always two: against simulating the same circuit, and against the best classical method for the task at equal quality.
The first says nothing about the second.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.energy import pricing, scaling
from qgen.energy.profiles import ABOVE_ZERO, SHARES, Profile
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


def of_laws(key: Key, quantum: Law, classical: Law, low: float, high: float, draws: int = 10_000) -> BreakEven:
    """Break-even of two measured or projected scaling laws, with the uncertainty of both fits."""
    quantum_key, classical_key = jax.random.split(key)
    q_offset, q_slope = scaling.sample(quantum_key, quantum, draws)
    c_offset, c_slope = scaling.sample(classical_key, classical, draws)
    return crossing(
        lambda n: scaling.log_energy(quantum.kind, q_offset, q_slope, n),
        lambda n: scaling.log_energy(classical.kind, c_offset, c_slope, n),
        low,
        high,
    )


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
        classical: law of the rival.
        sizes: rising sizes at which the machine is priced; they bound the search.
        draws: draws of both.

    Returns:
        A BreakEven.

    Raises:
        CannotRun: if the machine cannot run the smallest two sizes.
    """
    price_key, law_key = jax.random.split(key)
    priced: list[Array] = []
    for size in sizes:
        try:
            priced.append(pricing.price(resources_at(size), profile, price_key, draws).energy_j)
        except pricing.CannotRun:
            if len(priced) < 2:
                raise
            break
    log_sizes = jnp.log(jnp.asarray(sizes[: len(priced)], dtype=float))
    log_energy = jnp.log(jnp.stack(priced, axis=1))
    offset, slope = scaling.sample(law_key, classical, draws)

    def quantum(n: Array) -> Array:
        return jax.vmap(lambda x, row: jnp.interp(x, log_sizes, row))(
            jnp.broadcast_to(jnp.log(n), (draws,)), log_energy
        )

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


class Needed(NamedTuple):
    """The value that one number of a machine must have.

    Attributes:
        field: the number.
        value: what it must be; NaN if no value is enough.
        today: its central value in the profile.
        reason: one sentence.
    """

    field: str
    value: float
    today: float
    reason: str


def needed(
    resources: Resources | Sequence[Resources],
    profile: Profile,
    field: str,
    budget_j: float,
    *,
    best: float,
    worst: float,
) -> Needed:
    """Solves for the value of one number at which the machine, central in all others, uses `budget_j`.

    Args:
        resources: the computation.
        profile: the machine.
        field: the number to solve for, such as "delay_s", "power_qubit_w" or "error_2q".
        budget_j: energy of the classical rival.
        best: the most favourable value to consider.
        worst: the least favourable one; both above 0, and the energy rises from best to worst.

    Returns:
        A Needed; `value` is `worst` if even that is good enough.

    Raises:
        ValueError: for a field that the machine does not have, or values that are not above 0.
    """
    check.one_of("field", field, profile.numbers)
    for name, value in (("budget_j", budget_j), ("best", best), ("worst", worst)):
        check.positive(name, value)
    today = profile[field].central

    def energy(value: float) -> float:
        limited = {field: min(value, 1.0) if field in SHARES else value}
        try:
            bill = pricing.price(resources, profile.fixed().fixed(limited), jax.random.key(0), draws=1)
        except pricing.CannotRun:
            return np.inf
        return float(bill.energy_j[0])

    if energy(best) > budget_j:
        reason = f"Even {field} = {best:.3g} leaves {energy(best):.3g} J: other parts of the bill decide."
        return Needed(field, np.nan, today, reason)
    if energy(worst) <= budget_j:
        return Needed(field, worst, today, f"Every value up to {field} = {worst:.3g} is good enough.")
    left, right = np.log(best), np.log(worst)
    for _ in range(BISECTIONS):
        middle = (left + right) / 2
        left, right = (middle, right) if energy(float(np.exp(middle))) <= budget_j else (left, middle)
    value = float(np.exp(left))
    factor = today / value if today > 0 else np.nan
    return Needed(
        field, value, today, f"{field} must be {value:.3g}, {factor:.3g} times less than the {today:.3g} of now."
    )


def solvable(profile: Profile) -> list[str]:
    """The numbers of a machine that `needed` can solve for: those that cost energy when they grow."""
    kept = {*ABOVE_ZERO, "price_usd_per_h", "copies_share"} - {"error_rate"}
    return [name for name in profile.numbers if name not in kept]
