"""What a meter is: a cumulative joule counter, the samples that are taken of it, and the sum of several."""

import dataclasses
import math
import resource
import time
from collections.abc import Callable
from typing import Any, NamedTuple

PERIODS = 10
"""A window must span this many updates of its counter."""


class MeterUnavailable(RuntimeError):
    """A sensor that is not there or may not be read; the message says what would work."""


class WindowTooShort(ValueError):
    """A measuring window that its counter cannot resolve."""


class Energy(NamedTuple):
    """Joules with a lower and an upper bound."""

    low_j: float
    central_j: float
    high_j: float


class Sample(NamedTuple):
    """A reading: the clock, the CPU time of this process and its finished children, and the meter's own counter."""

    wall_s: float
    cpu_s: float
    counter: Any


@dataclasses.dataclass
class Meter:
    """A cumulative joule counter.

    Attributes:
        name: what records say.
        provenance: "MEASURED" or "MODELLED".
        boundary: what the joules cover.
        period_s: time between two updates of the counter.
        counter: reads the counter.
        joules: `(start, stop, own_share) -> Energy` between two samples, where `own_share` is the part of the machine's
            CPU time that was ours.
        sees_cpu: whether the counter rises with CPU work (an accelerator's does not, so compiling costs it idle power).
        poll_s: how often a long window must read the counter, or infinity.
        idle_seconds: how long to watch the idle machine to know its idle power.
        parts: the meters that this one sums; empty for a single counter.
    """

    name: str
    provenance: str
    boundary: str
    period_s: float
    counter: Callable[[], Any]
    joules: Callable[[Sample, Sample, float], Energy]
    sees_cpu: bool = True
    poll_s: float = math.inf
    idle_seconds: float = 1.0
    parts: tuple["Meter", ...] = ()
    _idle_w: float | None = None

    @property
    def min_window_s(self) -> float:
        """The shortest window that this meter can resolve."""
        return PERIODS * self.period_s

    def read(self) -> Sample:
        """Reads clock, CPU time and counter."""
        return Sample(time.perf_counter(), cpu_time_s(), self.counter())

    def energy(self, start: Sample, stop: Sample, own_share: float = 1.0) -> Energy:
        """The energy between two readings.

        Raises:
            WindowTooShort: if they are closer than ten updates of the counter.
            MeterUnavailable: if the counter did not rise by a finite amount.
        """
        window = stop.wall_s - start.wall_s
        if window < self.min_window_s:
            raise WindowTooShort(
                f"Meter {self.name} updates every {self.period_s} s: a window must be at least {self.min_window_s} s "
                f"long, but is {window:.3g} s."
            )
        energy = self.joules(start, stop, own_share)
        if not (math.isfinite(energy.high_j) and 0 <= energy.low_j <= energy.central_j and energy.central_j > 0):
            raise MeterUnavailable(
                f"Meter {self.name} gave {energy} for a window of {window:.3g} s: it is not working."
            )
        return energy

    def idle_w(self) -> float:
        """Mean power while this process does nothing; watched once and remembered."""
        if self.parts:
            return sum(part.idle_w() for part in self.parts)
        if self._idle_w is None:
            start = self.read()
            time.sleep(max(self.idle_seconds, 1.2 * self.min_window_s))
            stop = self.read()
            self._idle_w = self.energy(start, stop).central_j / (stop.wall_s - start.wall_s)
        return self._idle_w

    def cpu_work_j(self, start: Sample, stop: Sample) -> float:
        """Joules above idle power of the counters that see CPU work: an accelerator's work is no compiling."""
        if self.parts:
            pairs = zip(self.parts, start.counter, stop.counter, strict=True)
            return sum(m.cpu_work_j(start._replace(counter=a), stop._replace(counter=b)) for m, a, b in pairs)
        if not self.sees_cpu:
            return 0.0
        above_j = self.joules(start, stop, 1.0).central_j - self.idle_w() * (stop.wall_s - start.wall_s)
        return max(0.0, above_j)


def cpu_time_s() -> float:
    """User and system CPU seconds of this process (all threads) and of its finished children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def combined(*meters: Meter) -> Meter:
    """The sum of meters with disjoint boundaries; its provenance is that of the weakest."""

    def joules(start: Sample, stop: Sample, own_share: float) -> Energy:
        pairs = zip(meters, start.counter, stop.counter, strict=True)
        parts = [
            m.joules(start._replace(counter=first), stop._replace(counter=last), own_share) for m, first, last in pairs
        ]
        return Energy(*(sum(ends) for ends in zip(*parts, strict=True)))

    return Meter(
        name="+".join(m.name for m in meters),
        provenance="MODELLED" if any(m.provenance == "MODELLED" for m in meters) else "MEASURED",
        boundary=" + ".join(m.boundary for m in meters),
        period_s=max(m.period_s for m in meters),
        counter=lambda: tuple(m.counter() for m in meters),
        joules=joules,
        sees_cpu=any(m.sees_cpu for m in meters),
        poll_s=min(m.poll_s for m in meters),
        parts=meters,
    )
