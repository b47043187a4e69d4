"""Export of measurements in the columns of CodeCarbon's `emissions.csv`, for tools that read them.

An export, never the headline: CodeCarbon's columns have no interval and no provenance, so the provenance goes into the
column `tracking_mode`, and nothing is split into CPU, GPU and RAM that was not measured apart.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qgen import check
from qgen.energy.carbon import JOULES_PER_KWH

COLUMNS = tuple(
    (
        "timestamp project_name run_id experiment_id duration emissions emissions_rate cpu_power gpu_power "
        "ram_power cpu_energy gpu_energy ram_energy energy_consumed water_consumed country_name country_iso_code "
        "region cloud_provider cloud_region os python_version codecarbon_version cpu_count cpu_model gpu_count "
        "gpu_model longitude latitude ram_total_size tracking_mode cpu_utilization_percent gpu_utilization_percent "
        "ram_utilization_percent ram_used_gb on_cloud pue wue "
    ).split()
)
"""Columns of CodeCarbon 3.3, in its order; those that we do not know stay empty."""


def row(
    fields: Mapping[str, Any], *, run_id: str, timestamp: str, intensity_g_per_kwh: float, pue: float = 1.0
) -> dict[str, Any]:
    """One measurement as a row.

    Args:
        fields: `Measurement.fields()`, or the measured columns of a record.
        run_id: what the run is called.
        timestamp: ISO time of its start.
        intensity_g_per_kwh: grid intensity, location-based.
        pue: power usage effectiveness.

    Returns:
        Column -> value: energy in kWh, emissions in kg, emissions_rate in kg/s, duration in s; totals over all calls.

    Raises:
        ValueError: if a number is negative, or the PUE below 1.
    """
    check.at_least("intensity_g_per_kwh", intensity_g_per_kwh, 0)
    check.at_least("pue", pue, 1)
    check.positive("energy_j", fields["energy_j"])
    seconds = fields["time_s"] * fields["repeats"]
    kwh = fields["energy_j"] * fields["repeats"] / JOULES_PER_KWH
    kilograms = kwh * pue * intensity_g_per_kwh / 1000
    known = {
        "timestamp": timestamp,
        "project_name": "qgen",
        "run_id": run_id,
        "duration": seconds,
        "emissions": kilograms,
        "emissions_rate": kilograms / seconds,
        "energy_consumed": kwh,
        "tracking_mode": f"{fields['meter']} ({fields['provenance']})",
        "on_cloud": "N",
        "pue": pue,
    }
    return {name: known.get(name, "") for name in COLUMNS}


def append(path: Path, rows: list[dict[str, Any]]) -> None:
    """Appends rows to a CSV file, with the header where the file is new."""
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list[str](COLUMNS))
        if is_new:
            writer.writeheader()
        writer.writerows(rows)
