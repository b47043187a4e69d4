"""How long JAX traces and compiles, from the duration events that it reports to listeners."""

import threading
import time

import jax

EVENTS = "/jax/core/compile/"
"""Prefix of the events of tracing, lowering and compiling."""

_lock = threading.Lock()
_watches: list["Watch"] = []
_listening = False


class Watch:
    """Sums the wall time of compilation between `with` and its end.

    An event comes at the end of what it timed, and events nest (a jitted function that calls another), so the time is
    that of the union of their intervals.

    Attributes:
        intervals: disjoint intervals of the process clock, in seconds, in rising order.
    """

    def __init__(self) -> None:
        self.intervals: list[tuple[float, float]] = []

    def __enter__(self) -> "Watch":
        _listen()
        self._entered = time.perf_counter()
        with _lock:
            _watches.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        with _lock:
            _watches.remove(self)

    @property
    def seconds(self) -> float:
        """Wall time spent in compilation so far."""
        return sum(stop - start for start, stop in self.intervals)

    def add(self, stop: float, duration: float) -> None:
        """Takes an event that ended at `stop` and lasted `duration`."""
        start = max(stop - duration, self._entered)
        while self.intervals and self.intervals[-1][1] >= start:
            start = min(start, self.intervals.pop()[0])
        self.intervals.append((start, max(stop, start)))


def _listen() -> None:
    """Registers the one listener of this process (JAX offers no public way to take one off again)."""
    global _listening
    with _lock:
        if _listening:
            return
        _listening = True
    jax.monitoring.register_event_duration_secs_listener(_heard)


def _heard(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event.startswith(EVENTS):
        stop = time.perf_counter()
        with _lock:
            for watch in _watches:
                watch.add(stop, duration_secs)
