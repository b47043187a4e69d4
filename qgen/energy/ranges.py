"""Range: a published number with its uncertainty, unit, source and grade, and the reader of tables of ranges.

Grades: A measured and published by the operator; B vendor data or a component inventory; C expert estimate;
D projection.
"""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from qgen import check
from qgen.types import Array, Float

GRADES = ("A", "B", "C", "D")
UNITS = (
    "1",
    "W",
    "W/GB",
    "J",
    "J/FLOP",
    "J/B",
    "Wh",
    "s",
    "Hz",
    "qubit",
    "gate",
    "USD/h",
    "USD/kWh",
    "g/kWh",
)


class TableError(ValueError):
    """A table of numbers that breaks a rule; the message names file, entry and field."""


@dataclasses.dataclass(frozen=True)
class Range:
    """A number that is known to lie between two others.

    Attributes:
        low: the lowest plausible value, at least 0.
        central: the value to take when one is needed.
        high: the highest plausible value.
        unit: one of UNITS ("1" for a pure number).
        source: where the numbers are from.
        grade: one of GRADES.
    """

    low: float
    central: float
    high: float
    unit: str
    source: str
    grade: str

    def __post_init__(self) -> None:
        """Refuses NaN, infinite, negative and unordered numbers, unknown units and grades, and empty sources."""
        for name in ("low", "central", "high"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ValueError(f"Argument `{name}` must be a finite number of at least 0, but is {value}.")
        if not self.low <= self.central <= self.high:
            numbers = f"{self.low}, {self.central}, {self.high}"
            raise ValueError(f"Arguments `low`, `central`, `high` must be in rising order, but are {numbers}.")
        check.one_of("unit", self.unit, UNITS)
        check.one_of("grade", self.grade, GRADES)
        if not (isinstance(self.source, str) and self.source.strip()):
            raise ValueError(f"Argument `source` must say where the number is from, but is {self.source!r}.")

    def fixed(self, value: float | None = None) -> "Range":
        """The same number without uncertainty, at `value` or else at its central value."""
        point = self.central if value is None else value
        return dataclasses.replace(self, low=point, central=point, high=point)

    def quantile(self, u: Float[Array, "*draws"]) -> Float[Array, "*draws"]:
        """The value at probability `u`; see `quantile`."""
        return quantile(u, jnp.asarray([self.low, self.central, self.high]))


def quantile(u: Float[Array, "*draws"], numbers: Float[Array, "3"]) -> Float[Array, "*draws"]:
    """The value at probability `u` of the distribution that `low, central, high` stand for.

    Half of the probability lies on either side of the central value, spread evenly in the logarithm between the central
    value and each end (evenly in the value where `low` is 0). So the median is the central value, nothing lies outside
    the published range, and no more than the three published numbers goes in.

    Args:
        u: probabilities in [0, 1].
        numbers: low, central, high.

    Returns:
        Values of the shape of `u`.
    """
    low, central, high = numbers
    share = 2.0 * u
    tiny = jnp.finfo(jnp.result_type(float)).tiny
    safe_low, safe_central, safe_high = (jnp.maximum(x, tiny) for x in (low, central, high))
    below = jnp.where(low > 0, safe_low * (safe_central / safe_low) ** share, low + (central - low) * share)
    above = jnp.where(
        central > 0, safe_central * (safe_high / safe_central) ** (share - 1), central + (high - central) * (share - 1)
    )
    return jnp.where(u < 0.5, below, above)


def read(path: Path) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        TableError: if the file is missing or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TableError(f"There is no table at {path}.") from None
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"{path.name}: no valid TOML: {error}.") from None


def parse(file: str, entry: str, field: str, value: Any, sources: Mapping[str, str]) -> Range:
    """One number of a table, `{ low, central, high, unit, source, grade }`, as a Range.

    Args:
        file: the file's name, for the error.
        entry: the entry's name, for the error.
        field: the field's name, for the error.
        value: what the file says.
        sources: short name -> full reference; a `source` that is such a name, or starts with one and a colon, is
            expanded.

    Raises:
        TableError: naming file, entry and field, for a missing or unknown key and for all that Range refuses.
    """
    where = f"{file}: entry `{entry}`, field `{field}`"
    wanted = [f.name for f in dataclasses.fields(Range)]
    if not isinstance(value, Mapping):
        raise TableError(f"{where}: must be a table of {', '.join(wanted)}, but is {value!r}.")
    missing = [name for name in wanted if name not in value]
    unknown = [name for name in value if name not in wanted]
    if missing or unknown:
        raise TableError(f"{where}: missing keys {missing}, unknown keys {unknown}.")
    source, _, rest = str(value["source"]).partition(":")
    text = f"{sources[source]}{'; ' if rest else ''}{rest.strip()}" if source in sources else value["source"]
    try:
        return Range(**{**value, "source": text})
    except ValueError as error:
        raise TableError(f"{where}: {error}") from None
