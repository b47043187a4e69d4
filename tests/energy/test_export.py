import csv

import pytest

from qgen.energy import export

FIELDS = {
    "energy_j": 1.8e5,
    "energy_low_j": 1e5,
    "energy_high_j": 2e5,
    "time_s": 20.0,
    "repeats": 4,
    "meter": "modelled",
    "provenance": "MODELLED",
}


def test_units_are_those_of_codecarbon(tmp_path):
    """kWh, kg, kg/s and s: 0.2 kWh at 381 g/kWh and a PUE of 1.5."""
    row = export.row(FIELDS, run_id="r1", timestamp="2026-11-21T00:00:00", intensity_g_per_kwh=381, pue=1.5)
    assert row["energy_consumed"] == pytest.approx(0.2)
    assert row["emissions"] == pytest.approx(0.2 * 1.5 * 0.381)
    assert row["duration"] == 80.0
    assert row["emissions_rate"] == pytest.approx(0.2 * 1.5 * 0.381 / 80)
    assert row["tracking_mode"] == "modelled (MODELLED)"
    assert row["cpu_energy"] == ""
    path = tmp_path / "new" / "emissions.csv"
    export.append(path, [row])
    export.append(path, [row, row])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert tuple(rows[0]) == export.COLUMNS
    assert float(rows[2]["energy_consumed"]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("fields", "intensity", "pue", "message"),
    [
        ({}, -1.0, 1.0, "`intensity_g_per_kwh`"),
        ({}, 100.0, 0.5, "`pue`"),
        ({"energy_j": 0.0}, 100.0, 1.0, "`energy_j`"),
    ],
)
def test_errors(fields, intensity, pue, message):
    with pytest.raises(ValueError, match=message):
        export.row({**FIELDS, **fields}, run_id="r", timestamp="t", intensity_g_per_kwh=intensity, pue=pue)


def test_columns_of_codecarbon_where_it_is_installed():
    data = pytest.importorskip(
        "codecarbon.output_methods.emissions_data", reason='needs `pip install "qgen[codecarbon]"`'
    )
    assert tuple(data.EmissionsData.__dataclass_fields__) == export.COLUMNS
