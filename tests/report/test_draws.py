import numpy as np
import pytest

from qgen.energy import carbon
from qgen.report import draws, statistics
from tests.report.synthetic import log_normal, measured, record

SIGMAS = 5.0


def exact(energy):
    return measured(energy) | {"energy_low_j": energy, "energy_high_j": energy}


def test_the_facility_factor_is_that_of_the_grid_table():
    pue = carbon.load_grid()[carbon.FACILITY].pue
    assert draws.FACILITY == (pue.low, pue.central, pue.high)


def test_measured_energy_by_hand():
    """A meter reads 10 J: at the building's own meter that is 11 to 15.6 J, half of the time below 13 J."""
    found = draws.measured([exact(10.0)], draws.joint(1))
    assert found.min() == pytest.approx(11.0, rel=1e-3) and found.max() == pytest.approx(15.6, rel=1e-3)
    share = np.mean(found < 13.0)
    assert abs(share - 0.5) < SIGMAS * 0.5 / np.sqrt(statistics.DRAWS)


def test_a_saving_by_hand():
    """A machine of 14 J against 10 J at the meter saves where the factor is above 1.4."""
    sample = draws.joint(1)
    row = record("training", "quantum/q", 0, 0.9, 1.0, projected={"m": {"energy_j": log_normal(14.0, 0.0)}})
    saves = np.mean(draws.projected([row], "m", sample) < draws.measured([exact(10.0)], sample))
    wanted = 0.5 * (1.56 - 1.4) / (1.56 - 1.3)
    assert abs(saves - wanted) < SIGMAS * np.sqrt(wanted * (1 - wanted) / statistics.DRAWS)


def test_one_building_stands_around_all_that_is_measured():
    one, two = (draws.measured([exact(energy)] * seeds, draws.joint(seeds)) for energy, seeds in ((10.0, 1), (30.0, 4)))
    np.testing.assert_allclose(two / one, 3.0)
