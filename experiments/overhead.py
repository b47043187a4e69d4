"""What measuring costs: the time that `measure` adds to a window, for every meter that this machine has.

Command:   python -m experiments.overhead
Duration:  about 20 seconds
Writes:    runs/overhead/records.jsonl, one row per meter
Headline:  below 1 % of a window of 5 seconds
"""

import statistics
import time
from pathlib import Path
from typing import NamedTuple

import jax
from absl import flags
from rich.table import Table

from experiments import cli
from experiments.ledger import Ledger
from qgen.energy import meters
from qgen.report import words

_REPEATS = flags.DEFINE_integer("repeats", 15, "Empty windows per meter; medians are taken.")
_OUT = flags.DEFINE_string("out", "runs/overhead", "Folder that receives the records.")
WINDOW_S = 5.0
"""The window that the overhead is a share of."""
CALL_S = 1e-3
"""A call so short that a window of 5 seconds holds thousands of them."""


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


def main() -> None:
    """Measures every meter that can be opened."""
    if _REPEATS.value < 1:
        raise cli.UsageError(f"--repeats={_REPEATS.value}: must be at least 1.")
    out = Path(_OUT.value)
    with cli.flag("out", out):
        cli.writable(out)
    jax.block_until_ready(jax.numpy.zeros(()))  # the first use of a device starts it
    ledger = Ledger(out / "records.jsonl", {}, "default")
    table = Table("meter", "per window", "per call", "5 s, one call", "5 s, calls of 1 ms")
    for name, meter in meters.available():
        if isinstance(meter, str):
            continue
        found = overhead(meter, _REPEATS.value)
        shares = {"share_one_call": found.share(WINDOW_S), "share_short_calls": found.share(CALL_S)}
        metrics = {"window_s": found.window_s, "call_s": found.call_s, **shares}
        ledger.row("overhead", "measuring", name, {"repeats": _REPEATS.value}, lambda m=metrics: {"metrics": m})
        table.add_row(
            name,
            words.si(found.window_s, "s"),
            words.si(found.call_s, "s"),
            *(f"{words.significant(100 * share)} %" for share in shares.values()),
        )
    cli.console.print(table)


if __name__ == "__main__":
    cli.run(main)
