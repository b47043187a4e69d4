"""Profiles: quantum machines as rows of prices with ranges, sources and grades, read from `profiles.toml`."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qgen import check
from qgen.energy import ranges
from qgen.energy.ranges import Range, TableError

PATH = Path(__file__).with_name("profiles.toml")
KINDS = ("gate", "anneal", "fault_tolerant")
DATES = ("today", "mid", "long")
"""today: 2025-26; mid: 3 to 7 years on; long: more than 7 years on."""
CONNECTIVITY = ("all", "grid", "line", "clique_embedding")

UNITS = {
    "max_qubits": "qubit",
    "power_base_w": "W",
    "power_qubit_w": "W",
    "power_qubit2_w": "W",
    "unit_qubits": "qubit",
    "copies_share": "1",
    "program_s": "s",
    "reset_s": "s",
    "gate_1q_s": "s",
    "gate_2q_s": "s",
    "parallel_2q": "gate",
    "routing_share": "1",
    "move_s": "s",
    "move_share": "1",
    "measure_s": "s",
    "delay_s": "s",
    "reload_s": "s",
    "anneal_s": "s",
    "clique_chain": "1",
    "error_1q": "1",
    "error_2q": "1",
    "error_measure": "1",
    "mitigation_exponent": "1",
    "photon_rate_hz": "Hz",
    "transmission": "1",
    "gate_success": "1",
    "error_rate": "1",
    "error_budget": "1",
    "synthesis_slope": "1",
    "factory_scale": "1",
    "code_scale": "1",
    "reaction_s": "s",
    "calibration_share": "1",
    "productive_share": "1",
    "price_usd_per_h": "USD/h",
}
"""Field -> unit; `pricing` says what each one multiplies."""

_ALWAYS = ("max_qubits", "power_base_w", "power_qubit_w", "program_s", "calibration_share", "productive_share")
REQUIRED = {
    "gate": (
        *_ALWAYS,
        *("reset_s", "gate_1q_s", "gate_2q_s", "measure_s", "delay_s", "routing_share"),
        *("error_1q", "error_2q", "error_measure", "mitigation_exponent"),
    ),
    "anneal": (*_ALWAYS, "anneal_s", "measure_s", "delay_s", "clique_chain"),
    "fault_tolerant": (
        *_ALWAYS,
        *("gate_1q_s", "gate_2q_s", "measure_s", "reaction_s", "error_rate", "error_budget"),
        *("synthesis_slope", "factory_scale", "code_scale"),
    ),
}
"""What a machine of each kind must have a price for; the other fields have a neutral value where they are absent."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """A quantum machine.

    Attributes:
        name: key of the table, such as "sc_today".
        title: what tables print.
        kind: "gate", "anneal" or "fault_tolerant".
        date: "today", "mid" or "long".
        connectivity: which pairs of qubits can meet: one of CONNECTIVITY.
        numbers: field -> Range.
        note: what the row assumes, one sentence.
    """

    name: str
    title: str
    kind: str
    date: str
    connectivity: str
    numbers: Mapping[str, Range]
    note: str = ""

    def __post_init__(self) -> None:
        """Refuses unknown words, unknown or missing numbers, and numbers of another unit or beyond their bounds."""
        check.one_of("kind", self.kind, KINDS)
        check.one_of("date", self.date, DATES)
        check.one_of("connectivity", self.connectivity, CONNECTIVITY)
        for name, number in self.numbers.items():
            check.one_of("numbers", name, UNITS)
            if number.unit != UNITS[name]:
                raise ValueError(f"Argument `{name}` must be in {UNITS[name]!r}, but is in {number.unit!r}.")
            if name in SHARES and number.high > 1:
                raise ValueError(f"Argument `{name}` is a share of at most 1, but reaches {number.high}.")
            if name in ABOVE_ZERO and number.low <= 0:
                raise ValueError(f"Argument `{name}` must be above 0, but reaches {number.low}.")
        missing = [name for name in REQUIRED[self.kind] if name not in self.numbers]
        if missing:
            raise ValueError(f"Arguments {missing} have no price, but a machine of kind {self.kind} needs them.")

    def __getitem__(self, field: str) -> Range:
        return self.numbers[field]

    def fixed(self, values: Mapping[str, float] | None = None) -> "Profile":
        """The same machine with numbers held at one value.

        Args:
            values: field -> value to hold it at; None holds all numbers at their central values.

        Raises:
            ValueError: for a field that the machine does not have.
        """
        chosen = {name: number.central for name, number in self.numbers.items()} if values is None else values
        for name in chosen:
            check.one_of("values", name, self.numbers)
        held = {name: self.numbers[name].fixed(value) for name, value in chosen.items()}
        return dataclasses.replace(self, numbers={**self.numbers, **held})

    @property
    def grade(self) -> str:
        """The worst grade of its numbers."""
        return max(number.grade for number in self.numbers.values())

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that change with anything that enters a price, and with no title, note or source."""
        numbers = sorted((name, n.low, n.central, n.high) for name, n in self.numbers.items())
        return hashlib.sha256(repr((self.kind, self.connectivity, numbers)).encode()).hexdigest()[:8]


SHARES = (
    *(
        "copies_share",
        "routing_share",
        "move_share",
        "transmission",
        "gate_success",
        "productive_share",
        "calibration_share",
    ),
    *("error_1q", "error_2q", "error_measure", "error_rate", "error_budget"),
)
ABOVE_ZERO = (
    *("max_qubits", "unit_qubits", "parallel_2q", "clique_chain", "photon_rate_hz", "transmission", "gate_success"),
    *("error_rate", "error_budget", "productive_share", "synthesis_slope", "factory_scale", "code_scale"),
)


def load(path: Path = PATH) -> dict[str, Profile]:
    """Reads a table of profiles.

    An entry may say `extends = "other"`: what it does not say itself is as in that entry, with its source and grade.

    Returns:
        name -> Profile, in the order of the file.

    Raises:
        TableError: naming file, entry and field, for anything that breaks a rule.
    """
    table = ranges.read(path)
    sources = table.pop("sources", {})
    return {name: _profile(path.name, name, table, sources) for name in table}


def _profile(file: str, name: str, table: Mapping[str, Any], sources: Mapping[str, str]) -> Profile:
    where = f"{file}: entry `{name}`"
    row = _merged(file, name, table, ())
    words = {key: row.pop(key, None) for key in ("title", "kind", "date", "connectivity")}
    empty = [key for key, word in words.items() if not isinstance(word, str)]
    if empty:
        raise TableError(f"{where}: fields {empty} must be texts.")
    note = row.pop("note", "")
    unknown = [field for field in row if field not in UNITS]
    if unknown:
        raise TableError(f"{where}: field `{unknown[0]}` is not known; known are: {', '.join(UNITS)}.")
    numbers = {field: ranges.parse(file, name, field, value, sources) for field, value in row.items()}
    try:
        return Profile(name=name, numbers=numbers, note=note, **words)
    except ValueError as error:
        raise TableError(f"{where}: {error}") from None


def _merged(file: str, name: str, table: Mapping[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
    row = dict(table[name])
    parent = row.pop("extends", None)
    if parent is None:
        return row
    if parent not in table or parent in (*seen, name):
        raise TableError(f"{file}: entry `{name}`, field `extends`: there is no entry {parent!r} to extend.")
    return _merged(file, parent, table, (*seen, name)) | row
