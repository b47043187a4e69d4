"""What surrounds a life: published lives, the supply of energy until 2045, and an export that other tools read.

No flags of its own: called by the scripts `lifecycle` and `scaling`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.ledger import Ledger
from qgen.energy import carbon, export, pricing, scenario
from qgen.record import Record

YEARS = (2025, 2030, 2035, 2040, 2045)


def emissions(path: Path, rows: Sequence[Record]) -> None:
    """Writes every measured row in the columns of CodeCarbon's `emissions.csv`, for the world's grid; always anew."""
    region = carbon.load_grid()[carbon.FACILITY]
    shared = {"intensity_g_per_kwh": region.intensity.central, "pue": region.pue.central}
    path.unlink(missing_ok=True)
    named = [
        (f"{row.stage} {row.arm} seed {row.seed} {row.upstream}", row) for row in rows if row.measured.get("energy_j")
    ]
    export.append(
        path,
        [export.row(row.measured, run_id=name, timestamp=row.provenance["start"], **shared) for name, row in named],
    )


def published(ledger: Ledger) -> None:
    """Where the energy of published lives went, part by part."""
    for life, part, share, gwh in carbon.until_release():
        metrics = {"share": share} | ({"gwh": gwh} if np.isfinite(gwh) else {})
        ledger.row("published", "lifecycle", f"{part}/{life}", {}, lambda m=metrics: {"metrics": m})


def supply(ledger: Ledger, draws: int = 4000) -> None:
    """The scenario of energy supply: a row per region, and one per storage technology with its evidence."""
    paths = scenario.load()
    world = next(iter(paths.intensity))
    lead = next(iter(paths.storage.values()))

    def region_row(region: str) -> dict[str, Any]:
        found = [scenario.supply(jax.random.key(0), paths, region, year, lead, draws=draws) for year in YEARS]
        grams = np.array([pricing.summary(g) for _, g in found])
        joules = np.array([pricing.summary(j) for j, _ in found])
        return {
            "trace": {
                "year": list(YEARS),
                **{f"g_per_kwh{end}": grams[:, k].tolist() for k, end in enumerate(("", "_low", "_high"))},
                **{f"j_per_j{end}": joules[:, k].tolist() for k, end in enumerate(("", "_low", "_high"))},
            },
            "note": f"Grid, PUE and {lead.name} storage; 2025 is published data, later years are our paths, grade D.",
        }

    def storage_row(storage: scenario.Storage) -> dict[str, Any]:
        joules, grams = scenario.supply(jax.random.key(0), paths, world, YEARS[-1], storage, draws=draws)
        metrics = {"round_trip": storage.round_trip.central}
        metrics |= {"round_trip_low": storage.round_trip.low, "round_trip_high": storage.round_trip.high}
        for name, values in (("j_per_j", joules), ("g_per_kwh", grams)):
            middle, low, high = pricing.summary(values)
            metrics |= {name: middle, f"{name}_low": low, f"{name}_high": high}
        return {"metrics": metrics, "note": f"{storage.evidence}, grade {storage.round_trip.grade}"}

    for region in paths.intensity:
        ledger.row("scenario", "supply", f"region/{region}", {"storage": lead.name}, lambda r=region: region_row(r))
    for name, storage in paths.storage.items():
        config = {"region": world, "year": YEARS[-1]}
        ledger.row("scenario", "supply", f"storage/{name}", config, lambda s=storage: storage_row(s))
    for name, claim in paths.unproven.items():
        note = f"no reproducible evidence, grade D: {claim.source}; excluded from all results"
        ledger.row("scenario", "supply", f"storage/{name}", {}, lambda n=note: {"note": n})
