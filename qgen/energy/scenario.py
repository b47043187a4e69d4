"""Energy supply 2025 to 2045: grams and primary joules behind a joule at the machine, by region and year.

A technology without reproducible evidence is of a type of its own, `Unproven`, which `supply` does not take: it can be
listed, but it cannot enter a headline.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qgen import check
from qgen.energy import ranges
from qgen.energy.ranges import Range, TableError
from qgen.types import Array, Float, Key

PATH = Path(__file__).with_name("scenario.toml")
YEARS = (2025, 2045)
EVIDENCE = ("deployed", "demonstrated", "none")


class Storage(NamedTuple):
    """A storage technology that works: share of the stored energy that comes back."""

    name: str
    evidence: str
    round_trip: Range


class Unproven(NamedTuple):
    """A storage technology without reproducible evidence: to be shown as such, never to be computed with."""

    name: str
    source: str


class Scenario(NamedTuple):
    """Paths by year.

    Attributes:
        intensity: region -> year -> g/kWh.
        pue: year -> PUE of data centres.
        storage_share: year -> share of the energy that passes through storage.
        storage: the technologies that work, by name.
        unproven: those without evidence, by name.
    """

    intensity: dict[str, dict[int, Range]]
    pue: dict[int, Range]
    storage_share: dict[int, Range]
    storage: dict[str, Storage]
    unproven: dict[str, Unproven]


def load(path: Path = PATH) -> Scenario:
    """Reads the scenario.

    Raises:
        TableError: naming file, entry and field, for anything that breaks a rule.
    """
    table = ranges.read(path)
    sources = table.get("sources", {})

    def years(entry: str, row: dict, unit: str) -> dict[int, Range]:
        found = {int(year): ranges.parse(path.name, entry, year, value, sources) for year, value in row.items()}
        for year, number in found.items():
            if number.unit != unit:
                raise TableError(f"{path.name}: entry `{entry}`, field `{year}`: must be in {unit!r}.")
        if (min(found), max(found)) != YEARS:
            raise TableError(f"{path.name}: entry `{entry}` must span {YEARS[0]} to {YEARS[1]}.")
        return dict(sorted(found.items()))

    storage, unproven = {}, {}
    for name, row in table["storage"].items():
        number = ranges.parse(path.name, f"storage.{name}", "round_trip", row["round_trip"], sources)
        if row["evidence"] not in EVIDENCE:
            raise TableError(f"{path.name}: entry `storage.{name}`, field `evidence`: must be one of {EVIDENCE}.")
        if row["evidence"] == "none":
            unproven[name] = Unproven(name, number.source)
        elif not 0 < number.low <= number.high <= 1:
            raise TableError(f"{path.name}: entry `storage.{name}`, field `round_trip`: must lie in (0, 1].")
        else:
            storage[name] = Storage(name, row["evidence"], number)
    return Scenario(
        intensity={name: years(f"regions.{name}", row, "g/kWh") for name, row in table["regions"].items()},
        pue=years("pue", table["pue"], "1"),
        storage_share=years("storage_share", table["storage_share"], "1"),
        storage=storage,
        unproven=unproven,
    )


def at(path: dict[int, Range], year: float, u: Float[Array, "draws"]) -> Float[Array, "draws"]:
    """The value in a year at probability `u` of every year's range, interpolated in the logarithm (linearly at 0)."""
    check.within("year", year, *YEARS)
    before = max(y for y in path if y <= year)
    after = min(y for y in path if y >= year)
    first, last = path[before].quantile(u), path[after].quantile(u)
    share = 0.0 if after == before else (year - before) / (after - before)
    positive = (first > 0) & (last > 0)
    safe_first, safe_last = jnp.where(positive, first, 1.0), jnp.where(positive, last, 1.0)
    return jnp.where(positive, safe_first * (safe_last / safe_first) ** share, first + (last - first) * share)


def supply(
    key: Key,
    scenario: Scenario,
    region: str,
    year: float,
    storage: Storage,
    *,
    building: bool = True,
    draws: int = 10_000,
) -> tuple[Float[Array, "draws"], Float[Array, "draws"]]:
    """What one joule at the machine takes from the grid.

    Args:
        key: random key; one probability is drawn per path and kept over the years, so that paths do not cross.
        scenario: the paths.
        region: a region of the scenario.
        year: 2025 to 2045.
        storage: the technology that holds the stored share.
        building: whether the PUE applies; not for a quantum machine, whose watts contain its cooling.
        draws: draws.

    Returns:
        Joules from the grid per joule used, and grams of CO2 per kWh used; each [draws].

    Raises:
        ValueError: for an unknown region, a year outside the scenario, or a storage technology without evidence.
    """
    check.one_of("region", region, scenario.intensity)
    if not isinstance(storage, Storage):
        raise ValueError(
            f"Argument `storage` must be a Storage, but is {storage!r}: nothing is computed without evidence."
        )
    u_grid, u_pue, u_share, u_trip = jax.random.uniform(key, (4, draws))
    pue = at(scenario.pue, year, u_pue) if building else jnp.ones(draws)
    share = at(scenario.storage_share, year, u_share)
    joules = pue * (1 - share + share / storage.round_trip.quantile(u_trip))
    return joules, joules * at(scenario.intensity[region], year, u_grid)
