"""Search spaces: typed axes, and the unit cube that every strategy works in.

A point is one coordinate in [0, 1] per axis. An axis of n values cuts [0, 1] into n equal bins, so that a uniform point
is a uniform choice; `canonical` moves a point to the middles of its bins, which makes equal configurations equal
points.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qgen import check
from qgen.types import Float as Floating

MIDDLE = 0.5


@dataclasses.dataclass(frozen=True)
class Float:
    """A real number in [low, high]; with `log`, its logarithm is uniform.

    Raises:
        ValueError: if the bounds are not finite or reversed, or not positive on a log axis.
    """

    low: float
    high: float
    log: bool = False
    static = False
    is_ordered = True
    size = None
    dtype = np.float32

    def __post_init__(self) -> None:
        """Refuses bounds that enclose nothing."""
        _check_bounds(self.low, self.high, self.log)

    def value(self, u: float) -> float:
        """The value at a coordinate."""
        if self.log:
            return float(np.clip(self.low * (self.high / self.low) ** u, self.low, self.high))
        return float(np.clip(self.low + u * (self.high - self.low), self.low, self.high))

    def place(self, value: Any) -> float:
        """The coordinate of a value."""
        check.within("value", value, self.low, self.high)
        if self.low == self.high:
            return MIDDLE
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclasses.dataclass(frozen=True)
class Integer:
    """A whole number in [low, high].

    Attributes:
        low: the least value.
        high: the greatest value.
        log: bins are equal in the logarithm (of the values half a step away) instead of all alike.
        static: a change of the value changes the program (depth, width, qubits): the objective gets a Python int, and
            a study compiles once per value. Otherwise it gets a traced number.

    Raises:
        ValueError: if the bounds are reversed or no whole numbers, or not positive on a log axis.
    """

    low: int
    high: int
    log: bool = False
    static: bool = False
    is_ordered = True
    dtype = np.int32

    def __post_init__(self) -> None:
        """Refuses bounds that enclose nothing."""
        _check_bounds(self.low, self.high, self.log)
        if self.low != int(self.low) or self.high != int(self.high):
            raise ValueError(f"An integer axis must have whole bounds, but has {self.low} and {self.high}.")

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    def value(self, u: float) -> int:
        """The value at a coordinate."""
        if self.log:
            low, high = self.low - 0.5, self.high + 0.5
            return int(np.clip(round(low * (high / low) ** u), self.low, self.high))
        return self.low + min(int(u * self.size), self.size - 1)

    def place(self, value: Any) -> float:
        """The middle of a value's bin."""
        check.within("value", value, self.low, self.high)
        if self.log:
            low, high = self.low - 0.5, self.high + 0.5
            return math.log(value / low) / math.log(high / low)
        return (value - self.low + 0.5) / self.size


@dataclasses.dataclass(frozen=True)
class Categorical:
    """One of several choices.

    Attributes:
        choices: the choices, each different.
        ordered: the choices are a scale: neighbours are alike (numbers of a grid).
        static: as for `Integer`; choices that are no numbers must be static.

    Raises:
        ValueError: for no choices, a repeated one, or choices that cannot be traced.
    """

    choices: tuple
    ordered: bool = False
    static: bool = False

    def __post_init__(self) -> None:
        """Refuses what cannot be chosen from or traced."""
        object.__setattr__(self, "choices", tuple(self.choices))
        check.at_least("number of choices", len(self.choices), 1)
        try:
            hash(self.choices)
        except TypeError:
            raise ValueError(f"Argument `choices` must be hashable, but is {self.choices}.") from None
        if any(a == b for i, a in enumerate(self.choices) for b in self.choices[:i]):
            raise ValueError(f"Argument `choices` must hold different things, but is {self.choices}.")
        if not self.static and not all(isinstance(choice, int | float) for choice in self.choices):
            raise ValueError(
                f"Argument `static` must be True for choices that are no numbers, but the choices are {self.choices}."
            )

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.choices)

    @property
    def is_ordered(self) -> bool:
        """Whether neighbours are alike."""
        return self.ordered

    @property
    def dtype(self) -> type:
        """The type of its numbers where they are traced."""
        return np.int32 if all(isinstance(choice, int) for choice in self.choices) else np.float32

    def value(self, u: float) -> Any:
        """The value at a coordinate."""
        return self.choices[min(int(u * self.size), self.size - 1)]

    def place(self, value: Any) -> float:
        """The middle of a value's bin."""
        check.one_of("value", value, self.choices)
        return (self.choices.index(value) + 0.5) / self.size


@dataclasses.dataclass(frozen=True)
class Conditional:
    """An axis that counts only where an earlier axis has certain values.

    The objective gets the axis's middle value where it does not count; a trial's params leave it out.

    Attributes:
        axis: the axis.
        parent: the name of the earlier axis.
        values: the values of the parent for which the axis counts.
    """

    axis: "Float | Integer | Categorical"
    parent: str
    values: tuple

    def __post_init__(self) -> None:
        """Refuses an axis that never counts."""
        object.__setattr__(self, "values", tuple(self.values))
        check.at_least("number of values", len(self.values), 1)

    @property
    def static(self) -> bool:
        """As the axis."""
        return self.axis.static

    @property
    def is_ordered(self) -> bool:
        """As the axis."""
        return self.axis.is_ordered

    @property
    def size(self) -> int | None:
        """As the axis."""
        return self.axis.size

    @property
    def dtype(self) -> type:
        """As the axis."""
        return self.axis.dtype

    def value(self, u: float) -> Any:
        """As the axis."""
        return self.axis.value(u)

    def place(self, value: Any) -> float:
        """As the axis."""
        return self.axis.place(value)


Axis = Float | Integer | Categorical | Conditional
Config = Mapping[str, Any]
"""Axis name -> value."""


@dataclasses.dataclass(frozen=True)
class Space:
    """Named axes.

    Args:
        axes: name -> axis, in order.

    Raises:
        ValueError: if there are no axes, or a conditional axis names no earlier axis or a value that it cannot have.

    Example:
        >>> space = Space({"learning_rate": Float(1e-4, 1e-1, log=True), "depth": Integer(1, 4, static=True)})
        >>> space.params([0.5, 0.3])["depth"]
        2
    """

    axes: Mapping[str, Axis]

    def __post_init__(self) -> None:
        """Checks the axes against each other."""
        object.__setattr__(self, "axes", dict(self.axes))
        check.at_least("number of axes", len(self.axes), 1)
        names = list(self.axes)
        for index, (name, axis) in enumerate(self.axes.items()):
            if not isinstance(axis, Conditional):
                continue
            check.one_of(f"parent of {name}", axis.parent, names[:index])
            for value in axis.values:
                self.axes[axis.parent].place(value)

    @property
    def names(self) -> tuple[str, ...]:
        """The axes' names."""
        return tuple(self.axes)

    @property
    def statics(self) -> tuple[str, ...]:
        """The axes whose values change the program."""
        return tuple(name for name, axis in self.axes.items() if axis.static)

    @property
    def traced(self) -> dict[str, type]:
        """The other axes, with the type of their numbers."""
        return {name: axis.dtype for name, axis in self.axes.items() if not axis.static}

    def config(self, point: Sequence[float] | np.ndarray) -> dict[str, Any]:
        """What the objective gets: a value for every axis, the middle one where an axis does not count."""
        active = self._active(point)
        return {
            name: axis.value(u if name in active else MIDDLE)
            for (name, axis), u in zip(self.axes.items(), point, strict=True)
        }

    def params(self, point: Sequence[float] | np.ndarray) -> dict[str, Any]:
        """The values of the axes that count."""
        active = self._active(point)
        return {name: value for name, value in self.config(point).items() if name in active}

    def point(self, params: Config) -> Floating[np.ndarray, " axes"]:
        """The canonical point of values; axes that are left out must not count.

        Raises:
            ValueError: for an unknown name, a value outside its axis, or a missing axis that counts.
        """
        for name in params:
            check.one_of("params", name, self.axes)
        point = np.array([axis.place(params[name]) if name in params else MIDDLE for name, axis in self.axes.items()])
        if missing := [name for name in self._active(point) if name not in params]:
            raise ValueError(f"Argument `params` lacks {', '.join(missing)}.")
        return point

    def canonical(self, points: Floating[np.ndarray, "n axes"]) -> Floating[np.ndarray, "n axes"]:
        """The points at the middles of their bins, and at the middle of every axis that does not count.

        Raises:
            ValueError: if a point has another number of coordinates or one outside [0, 1].
        """
        points = np.asarray(points, dtype=float)
        check.shape("points", points, (None, len(self.axes)))
        if not ((points >= 0) & (points <= 1)).all():
            raise ValueError("Argument `points` must lie in [0, 1].")
        made = points.copy()
        for row, point in zip(made, points, strict=True):
            active = self._active(point)
            for column, (name, axis) in enumerate(self.axes.items()):
                if name not in active:
                    row[column] = MIDDLE
                elif axis.size is not None:
                    row[column] = axis.place(axis.value(point[column]))
        return made

    def grid(self, levels: int | None = None) -> Floating[np.ndarray, "cells axes"]:
        """All configurations, each once, the last axis fastest.

        Args:
            levels: evenly spread values of every real axis.

        Raises:
            ValueError: for a real axis without `levels`.
        """
        columns = self.columns(levels)
        cells = np.stack([part.ravel() for part in np.meshgrid(*columns, indexing="ij")], axis=1)
        if not any(isinstance(axis, Conditional) for axis in self.axes.values()):
            return cells
        cells = self.canonical(cells)
        _, first = np.unique(cells, axis=0, return_index=True)
        return cells[np.sort(first)]

    def columns(self, levels: int | None = None) -> list[Floating[np.ndarray, " values"]]:
        """The coordinates that each axis has, or `levels` evenly spread ones of a real axis.

        Raises:
            ValueError: for a real axis without `levels`.
        """
        made = []
        for name, axis in self.axes.items():
            inner = axis.axis if isinstance(axis, Conditional) else axis
            if isinstance(inner, Integer):
                made.append(np.array([inner.place(value) for value in range(inner.low, inner.high + 1)]))
            elif isinstance(inner, Categorical):
                made.append((np.arange(inner.size) + 0.5) / inner.size)
            elif levels is None:
                raise ValueError(f"Argument `levels` must be given: the axis {name} has no values of its own.")
            else:
                made.append((np.arange(levels) + 0.5) / levels)
        return made

    def _active(self, point: Sequence[float] | np.ndarray) -> frozenset[str]:
        """Which axes count."""
        active: dict[str, Any] = {}
        for (name, axis), u in zip(self.axes.items(), point, strict=True):
            if isinstance(axis, Conditional) and active.get(axis.parent) not in axis.values:
                continue
            active[name] = axis.value(u)
        return frozenset(active)


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"The bounds of an axis must be finite, but are {low} and {high}.")
    if low > high:
        raise ValueError(f"The bounds of an axis must not be reversed, but are {low} and {high}.")
    if log:
        check.positive("low", low)
