"""Checks of arguments that every module shares: one form of sentence, raised at construction or trace time."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


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
