"""The inverse problem: what one number of a machine would have to be for it to use no more than its rival."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from qgen import check
from qgen.energy import pricing
from qgen.energy.breakeven import BISECTIONS
from qgen.energy.profiles import ABOVE_ZERO, SHARES, Profile
from qgen.resources import Resources


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
