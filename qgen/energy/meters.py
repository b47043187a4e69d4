"""Meters: cumulative joule counters of the machine we run on, and `measure`, which runs a function between readings.

A meter's provenance is MEASURED where a hardware counter gave the joules, and MODELLED where they come from CPU time
and memory times published watts. No meter reads 0 J because it cannot see: opening it raises MeterUnavailable.
"""

import dataclasses
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from qgen import check
from qgen.energy import compiling
from qgen.energy.backends import available, open_meter
from qgen.energy.counters import Energy, Meter, MeterUnavailable, Sample, WindowTooShort

__all__ = [
    "Energy",
    "Measurement",
    "Meter",
    "MeterUnavailable",
    "Sample",
    "WindowTooShort",
    "available",
    "measure",
    "open_meter",
]

COMPILE_THREADS = (0.5, 1.0, 2.0)
"""How many busy threads tracing and compiling are charged as: low, central, high."""
IMPORTED = 50
"""A first call that imports so many modules (a library) is not measured, the next is."""
COMPILED = 0.5
"""So is one that compiles for more than this share of its time: its power is known to a factor of two only."""
FIRST_MATTERS_S = 60.0
"""A first call whose own work takes longer is measured all the same."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What `measure` found; energies and times are per call, without compilation.

    Attributes:
        result: what the first call returned.
        energy_j: central value of the energy of one call, idle power included.
        energy_low_j: its lower bound, widened where the machine was shared.
        energy_high_j: its upper bound.
        time_s: wall time of one call.
        compile_time_s: wall time that JAX spent tracing and compiling during the window, in total.
        compile_energy_j: the energy charged to it, in total.
        idle_w: the meter's idle power, contained in `energy_j`.
        repeats: calls in the window.
        meter: the meter's name.
        provenance: MEASURED or MODELLED.
        steal_share: part of the machine's CPU time that the hypervisor gave to others during the window.
        others_share: part of the machine's busy CPU time that other processes used.
    """

    result: Any
    energy_j: float
    energy_low_j: float
    energy_high_j: float
    time_s: float
    compile_time_s: float
    compile_energy_j: float
    idle_w: float
    repeats: int
    meter: str
    provenance: str
    steal_share: float
    others_share: float

    def fields(self) -> dict[str, Any]:
        """The measured columns of a record."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "result"]
        return {name: getattr(self, name) for name in names}


def measure(
    meter: Meter,
    fn: Callable[[], Any],
    *,
    min_time_s: float = 0.0,
    repeats: int = 1,
    warm_up: bool = False,
    max_repeats: int = 1_000_000,
) -> Measurement:
    """Runs `fn` between two readings of the meter, again and again until the window is long enough.

    The window is at least `min_time_s` and ten updates of the counter long. JAX's own duration events tell how long it
    traced and compiled in the window; that time is charged with idle power and, as one busy thread (half to two in the
    interval), with its share of the CPU time, and is reported apart from the energy of the calls. Time that is left to
    others widens the interval: stolen time on both sides, other processes' work on the low side. A first call that
    imports a library or mostly compiles is followed by another one, which is the one that is measured.

    Args:
        meter: the counter.
        fn: what to run; its arrays are waited for.
        min_time_s: least length of the window.
        repeats: least number of calls in the window.
        warm_up: whether one call comes before the window; its compilation still counts as compilation.
        max_repeats: give up beyond this number of calls.

    Returns:
        A Measurement; `result` is that of the first call.

    Raises:
        ValueError: if `min_time_s` is negative or `repeats` is below 1.
        WindowTooShort: if `max_repeats` calls do not fill the window.
    """
    check.at_least("min_time_s", min_time_s, 0)
    check.at_least("repeats", repeats, 1)
    check.at_least("max_repeats", max_repeats, repeats)
    needed_s = max(min_time_s, meter.min_window_s)
    idle_w = meter.idle_w()
    synchronise()
    with compiling.Watch() as before:
        first = jax.block_until_ready(fn()) if warm_up else None
    calls, early_s, is_fresh, modules = 0, 0.0, not warm_up, len(sys.modules)
    busy_before = machine_ticks()
    with compiling.Watch() as inside, _polled(meter):
        start = meter.read()
        while True:
            result = jax.block_until_ready(fn())
            calls += 1
            window = time.perf_counter() - start.wall_s
            if is_fresh:
                first, is_fresh = result, False
                mostly_other = len(sys.modules) - modules >= IMPORTED or inside.seconds > COMPILED * window
                if mostly_other and window - inside.seconds < FIRST_MATTERS_S:
                    calls, early_s = 0, inside.seconds
                    start, busy_before = meter.read(), machine_ticks()
                    continue
            if (window >= needed_s and calls >= repeats) or calls >= max_repeats:
                break
        synchronise()  # what a call started without returning it belongs to the window
        stop = meter.read()
    steal, others = shares(busy_before, machine_ticks(), stop.cpu_s - start.cpu_s)
    energy = meter.energy(start, stop, own_share=1 - others)
    wall, cpu = stop.wall_s - start.wall_s, stop.cpu_s - start.cpu_s
    dynamic_w = meter.cpu_work_j(start, stop) / max(cpu, wall)
    inside_s = min(inside.seconds - early_s, wall)
    few_w, compile_w, many_w = (idle_w + threads * dynamic_w for threads in COMPILE_THREADS)
    most, kept, least = (max(0.0, 1 - w * inside_s / energy.central_j) for w in (few_w, compile_w, many_w))
    return Measurement(
        result=first,
        energy_j=energy.central_j * kept / calls,
        energy_low_j=energy.low_j * least * (1 - steal) / calls,
        energy_high_j=energy.high_j * most * (1 + steal) / calls,
        time_s=(wall - inside_s) / calls,
        compile_time_s=before.seconds + early_s + inside_s,
        compile_energy_j=compile_w * (before.seconds + early_s + inside_s),
        idle_w=idle_w,
        repeats=calls,
        meter=meter.name,
        provenance=meter.provenance,
        steal_share=steal,
        others_share=others,
    )


def synchronise() -> None:
    """Waits until every local device has finished what it was given."""
    jax.effects_barrier()
    for device in jax.local_devices():
        jax.block_until_ready(jnp.add(jax.device_put(0.0, device), 0.0))


def machine_ticks() -> tuple[float, float, float] | None:
    """Busy, stolen and all CPU seconds of the whole machine since boot; None where the system does not tell."""
    try:
        numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, idle, waiting, irq, soft_irq, stolen = (n / os.sysconf("SC_CLK_TCK") for n in numbers)
    busy = user + nice + system + irq + soft_irq
    return busy, stolen, busy + stolen + idle + waiting


def shares(
    start: tuple[float, float, float] | None, stop: tuple[float, float, float] | None, own_cpu_s: float
) -> tuple[float, float]:
    """Part of all CPU time that was stolen, and part of the busy CPU time that other processes used."""
    if start is None or stop is None:
        return 0.0, 0.0
    busy, stolen, everything = (last - first for first, last in zip(start, stop, strict=True))
    steal = stolen / everything if everything > 0 else 0.0
    others = max(0.0, busy - own_cpu_s) / busy if busy > 0 else 0.0
    return steal, others


@contextmanager
def _polled(meter: Meter) -> Iterator[None]:
    """Reads a counter that wraps often enough to see every wrap."""
    if math.isinf(meter.poll_s):
        yield
        return
    done = threading.Event()

    def poll() -> None:
        while not done.wait(meter.poll_s):
            meter.counter()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
