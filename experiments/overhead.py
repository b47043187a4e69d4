"""What measuring costs: the time that `measure` adds to a window, for every meter that this machine has.

Command:   python -m experiments.overhead
Duration:  about 20 seconds
Writes:    runs/overhead/records.jsonl, one row per meter
Headline:  below 1 % of a window of 5 seconds
"""

from pathlib import Path

import jax
from absl import flags
from rich.table import Table

from experiments import cli
from experiments.ledger import Ledger
from qgen.energy import meters, overhead
from qgen.report import words

_REPEATS = flags.DEFINE_integer("repeats", 15, "Empty windows per meter; medians are taken.")
_OUT = flags.DEFINE_string("out", "runs/overhead", "Folder that receives the records.")
CALL_S = 1e-3
"""A call so short that a window of 5 seconds holds thousands of them."""


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
        found = overhead.overhead(meter, _REPEATS.value)
        shares = {"share_one_call": found.share(overhead.WINDOW_S), "share_short_calls": found.share(CALL_S)}
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
