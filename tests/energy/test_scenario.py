import jax.numpy as jnp
import numpy as np
import pytest

from qgen.energy import carbon, scenario
from qgen.energy.ranges import TableError

PATHS = scenario.load()
LITHIUM = PATHS.storage["lithium_ion"]


def test_today_is_the_grid_table():
    regions = carbon.load_grid()
    for name, path in PATHS.intensity.items():
        assert path[2025] == regions[name].intensity


def test_later_years_are_projections():
    for path in (*PATHS.intensity.values(), PATHS.pue, PATHS.storage_share):
        assert all(number.grade == "D" for year, number in path.items() if year > 2025)


def test_interpolation_is_logarithmic_and_linear_from_zero():
    half = jnp.asarray(0.5)
    world = PATHS.intensity["world"]
    assert float(scenario.at(world, 2035, half)) == pytest.approx(300, rel=1e-5)
    assert float(scenario.at(world, 2030, half)) == pytest.approx(np.sqrt(475 * 300), rel=1e-5)
    assert float(scenario.at(PATHS.storage_share, 2030, jnp.asarray(0.0))) == pytest.approx(0.01, rel=1e-5)
    with pytest.raises(ValueError, match="`year` must lie in"):
        scenario.at(world, 2050, half)


def test_supply_by_hand(key):
    fixed = PATHS._replace(
        intensity={"germany": {year: n.fixed() for year, n in PATHS.intensity["germany"].items()}},
        pue={year: n.fixed() for year, n in PATHS.pue.items()},
        storage_share={year: n.fixed() for year, n in PATHS.storage_share.items()},
    )
    store = LITHIUM._replace(round_trip=LITHIUM.round_trip.fixed())
    joules, grams = scenario.supply(key, fixed, "germany", 2045, store, draws=3)
    expected = 1.12 * (0.8 + 0.2 / 0.86)
    np.testing.assert_allclose(joules, expected, rtol=1e-5)
    np.testing.assert_allclose(grams, expected * 50, rtol=1e-5)
    machine, _ = scenario.supply(key, fixed, "germany", 2045, store, building=False, draws=3)
    np.testing.assert_allclose(machine, expected / 1.12, rtol=1e-5)


def test_the_supply_becomes_cleaner(key):
    for region in PATHS.intensity:
        medians = [np.median(scenario.supply(key, PATHS, region, year, LITHIUM)[1]) for year in (2025, 2035, 2045)]
        assert medians[0] > medians[1] > medians[2]


def test_rydberg_matter_is_listed_and_cannot_be_computed_with(key):
    """By type: it is no Storage, and supply takes nothing else."""
    claim = PATHS.unproven["rydberg_matter"]
    assert "rydberg_matter" not in PATHS.storage
    assert "no reproducible evidence" in claim.source
    with pytest.raises(ValueError, match="nothing is computed without evidence"):
        scenario.supply(key, PATHS, "world", 2040, claim)
    with pytest.raises(ValueError, match="`region` must be one of"):
        scenario.supply(key, PATHS, "moon", 2040, LITHIUM)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('evidence = "deployed"', 'evidence = "rumour"', "field `evidence`: must be one of"),
        (
            'low = 0.8, central = 0.86, high = 0.95, unit = "1"',
            'low = 0.0, central = 0.86, high = 0.95, unit = "1"',
            "round_trip",
        ),
        ('high = 500, unit = "g/kWh"', 'high = 500, unit = "W"', "entry `regions.world`, field `2025`: must be in"),
        ("[pue]\n2025", "[pue]\n2026", "entry `pue` must span 2025 to 2045"),
        ("low = 400, central = 475", "low = 480, central = 475", "entry `regions.world`, field `2025`: .*rising order"),
    ],
)
def test_errors_name_file_entry_and_field(tmp_path, old, new, message):
    text = scenario.PATH.read_text()
    assert old in text
    path = tmp_path / "s.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(TableError, match="s.toml: .*" + message):
        scenario.load(path)
