"""What measuring costs: the time that `meters.measure` adds to a window, from windows of an empty function."""

import statistics
import time
from typing import NamedTuple

from qgen.energy import meters

WINDOW_S = 5.0
"""The window that the overhead is a share of."""


class Overhead(NamedTuple):
    """What `measure` adds to a window.

    Attributes:
        window_s: once per window: synchronising, reading counters and the machine's load.
        call_s: with every call: waiting for its result and looking at the clock.
    """

    window_s: float
    call_s: float

    def share(self, call_s: float) -> float:
        """Part of a window of WINDOW_S that measuring takes, where a call takes `call_s`."""
        return (self.window_s + self.call_s * WINDOW_S / call_s) / WINDOW_S


def overhead(meter: meters.Meter, repeats: int) -> Overhead:
    """Measures an empty function: all time of its window is the loop's, and all time beside it is the readings'.

    Args:
        meter: the counter; its idle power is watched before.
        repeats: windows; the medians are taken.

    Returns:
        An Overhead.
    """
    meter.idle_w()
    windows, calls = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        found = meters.measure(meter, lambda: None, min_time_s=0.05)
        windows.append(time.perf_counter() - start - found.time_s * found.repeats)
        calls.append(found.time_s)
    return Overhead(max(statistics.median(windows), 0.0), statistics.median(calls))
