"""The articles' 23 claims with a verdict each, from all records at hand.

Command:   python -m experiments.claims --records=paper/records,runs --out=runs/claims
Duration:  under a minute
Writes:    tables/claims.{md,tex,csv}, records.jsonl (one row: what a long prompt costs by published measurements)
Headline:  the verdict column
"""

from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments import cli
from experiments.ledger import Ledger
from qgen import record
from qgen.cases import claim_list, claims
from qgen.report import statistics, tables

_RECORDS = flags.DEFINE_list("records", ["paper/records"], "Files of records, or folders that hold some.")
_OUT = flags.DEFINE_string("out", "runs/claims", "Folder that receives the table.")

GPU_WH = (7.4, 32.5)
"""DeepSeek-R1, about 11,300 tokens on GPQA, eight B200, batch 128 to 8: measured, GPUs alone (ML.ENERGY, Feb 2026)."""
CENTRE = (1.74, 2.4)
"""From GPUs to the data centre: Olmo 3 (arXiv:2605.01158) and Gemini's median prompt (arXiv:2508.15734)."""


def long_prompt() -> dict[str, Any]:
    """Wh of a long prompt: both published ranges, log-uniform and independent."""
    rng = np.random.default_rng(0)
    drawn = np.exp(sum(rng.uniform(low, high, statistics.DRAWS) for low, high in (np.log(GPU_WH), np.log(CENTRE))))
    low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975])
    return {
        "metrics": {"wh": float(middle), "wh_low": float(low), "wh_high": float(high)},
        "note": "Published measurements of GPUs times a centre's overhead; nothing of it was measured here.",
    }


def read(places: list[str]) -> list[record.Record]:
    """All records of files, and of folders: their own files, and `records.jsonl` at any depth.

    Raises:
        cli.UsageError: for a missing place, or where there are no records at all.
    """
    found = []
    for place in places:
        path = Path(place)
        if not path.exists():
            raise cli.UsageError(f"--records={place}: there is no such file or folder.")
        with cli.flag("records", place):
            for file in sorted({*path.rglob("records.jsonl"), *path.glob("*.jsonl")}) if path.is_dir() else [path]:
                found += record.load(file)
    if not found:
        raise cli.UsageError(f"--records={','.join(places)}: no records; run an experiment, or name its folder.")
    return found


def main() -> None:
    """Reads the records, judges, writes and prints."""
    rows = read(_RECORDS.value)
    out = Path(_OUT.value)
    ledger = Ledger(out / "records.jsonl", record.done(cli.rows(out, True)), "default")
    ledger.row("claims", "prompt", "published/measured", {"gpu_wh": list(GPU_WH), "centre": list(CENTRE)}, long_prompt)
    table = claims.write(claims.judged(claim_list.CLAIMS, [*rows, *ledger.rows]), out)
    tables.show(table, cli.console)


if __name__ == "__main__":
    cli.run(main)
