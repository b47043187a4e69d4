"""Checks of arguments that every module shares: one form of sentence, raised at construction or trace time.

A dataclass of settings states what its fields may be as `Annotated` types (`steps: Count`) and calls `fields`.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from functools import partial
from numbers import Integral
from typing import Annotated, Any, get_args, get_origin, get_type_hints

LARGEST = 2**31 - 1
"""The largest number of a setting: what a 32-bit integer holds."""


def at_least(name: str, value: float, bound: float) -> None:
    """Raises ValueError unless `value` is a number that is at least `bound` (NaN is refused)."""
    if not value >= bound:
        raise ValueError(f"Argument `{name}` must be at least {bound}, but is {value}.")


def positive(name: str, value: float) -> None:
    """Raises ValueError unless `value` is a number above zero (NaN is refused)."""
    if not value > 0:
        raise ValueError(f"Argument `{name}` must be above 0, but is {value}.")


def within(name: str, value: float, low: float, high: float) -> None:
    """Raises ValueError unless `low <= value <= high` (NaN is refused)."""
    if not low <= value <= high:
        raise ValueError(f"Argument `{name}` must lie in [{low}, {high}], but is {value}.")


def between(name: str, value: float, low: float, high: float) -> None:
    """Raises ValueError unless `low < value < high` (NaN is refused)."""
    if not low < value < high:
        raise ValueError(f"Argument `{name}` must lie in ({low}, {high}), but is {value}.")


def power_of_two(name: str, value: int) -> None:
    """Raises ValueError unless `value` is 2, 4, 8, ..."""
    if value < 2 or value & (value - 1):
        raise ValueError(f"Argument `{name}` must be a power of two of at least 2, but is {value}.")


def one_of(name: str, value: Any, known: Iterable[Any]) -> None:
    """Raises ValueError that lists what is known, nearest first, unless `value` is known."""
    known = list(known)
    if value not in known:
        near = get_close_matches(str(value), [str(word) for word in known], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        listed = ", ".join(str(word) for word in known)
        raise ValueError(f"Argument `{name}` must be one of: {listed}; but is {value!r}.{hint}")


def shape(name: str, array: Any, expected: tuple[int | None, ...]) -> None:
    """Raises ValueError unless `array.shape` equals `expected`, where None stands for any length."""
    actual = tuple(array.shape)
    if len(actual) != len(expected) or any(e is not None and a != e for a, e in zip(actual, expected, strict=True)):
        wanted = "(" + ", ".join("any" if e is None else str(e) for e in expected) + ")"
        raise ValueError(f"Argument `{name}` must have shape {wanted}, but has shape {actual}.")


Count = Annotated[int, partial(at_least, bound=1)]
"""1, 2, 3, ..."""
Natural = Annotated[int, partial(at_least, bound=0)]
"""0, 1, 2, ..."""
Positive = Annotated[float, positive]
Share = Annotated[float, partial(within, low=0, high=1)]
"""A share that may be nothing or all."""
Part = Annotated[float, partial(between, low=0, high=1)]
"""A share that leaves something on both sides."""


def fields(place: str, config: Any) -> None:
    """Refuses a dataclass whose fields are not what their types say.

    The metadata of an `Annotated` type, of a field or of a tuple's entries, are checks `(name, value) -> None`.

    Args:
        place: the name of the dataclass in messages, as in `training.steps`.
        config: the dataclass.

    Raises:
        ValueError: for the first field that a check refuses, that is no whole number where its type is int, or that
            is above LARGEST.
    """
    for field, hint in get_type_hints(type(config), include_extras=True).items():
        name, value = f"{place}.{field}", getattr(config, field)
        in_tuple = get_origin(hint) is tuple
        kind = get_args(hint)[0] if in_tuple else hint
        for entry in value if in_tuple else (value,):
            if get_origin(kind) is Annotated:
                of, *checks = get_args(kind)
                if of is int and not isinstance(entry, Integral):
                    raise ValueError(f"Argument `{name}` must be a whole number, but is {entry}.")
                for approve in checks:
                    approve(name, entry)
                if of is not str and not entry <= LARGEST:
                    raise ValueError(f"Argument `{name}` must be at most {LARGEST}, but is {entry}.")
