import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from qgen.energy import breakeven, carbon, flops, pricing, profiles, scaling, successor
from qgen.energy.scaling import Law
from qgen.resources import Resources

MACHINES = profiles.load()
SIZES = np.array([4.0, 6.0, 9.0, 13.0, 20.0])
CLOSE = 1e-4
BUILDING = 1.25


@pytest.fixture
def building(monkeypatch):
    """A data centre whose facility factor is known."""
    monkeypatch.setattr(carbon, "facility", lambda _, draws: jnp.full(draws, BUILDING))


def exact(kind, offset, slope):
    """A law without uncertainty."""
    return Law(kind, offset, slope, np.eye(2), 0.0, 3, np.zeros(5))


def test_fit_recovers_a_power_law():
    law = scaling.fit(SIZES, 0.3 * SIZES**2.4, "power")
    assert law.slope == pytest.approx(2.4)
    assert np.exp(law.offset) == pytest.approx(0.3)
    np.testing.assert_allclose(law.residuals, 0, atol=1e-12)


def test_fit_and_intervals_agree_with_scipy():
    from scipy.stats import linregress
    from scipy.stats import t as student

    noise = np.array([0.1, -0.2, 0.05, 0.15, -0.1])
    energies = 0.02 * np.exp(0.7 * SIZES + noise)
    law = scaling.fit(SIZES, energies, "exponential")
    other = linregress(SIZES, np.log(energies))
    assert law.slope == pytest.approx(other.slope)
    assert law.offset == pytest.approx(other.intercept)
    half = student.ppf(0.95, 3) * other.stderr
    assert law.interval() == (pytest.approx(other.slope - half), pytest.approx(other.slope + half))
    middle, low, high = scaling.predict(law, np.array([30.0]))
    at_mean = other.slope * 30 + other.intercept
    spread = np.sqrt(law.variance * (1 + 1 / 5 + (30 - SIZES.mean()) ** 2 / np.sum((SIZES - SIZES.mean()) ** 2)))
    assert np.log(middle[0]) == pytest.approx(at_mean)
    assert np.log(high[0] / middle[0]) == pytest.approx(student.ppf(0.95, 3) * spread)
    assert low[0] < middle[0] < high[0]


def test_sampled_laws_have_the_interval_of_the_fit(key):
    energies = 0.02 * np.exp(0.7 * SIZES + np.array([0.1, -0.2, 0.05, 0.15, -0.1]))
    law = scaling.fit(SIZES, energies, "exponential")
    _, slopes = scaling.sample(key, law, 40_000)
    low, high = law.interval()
    inside = float(jnp.mean((slopes > low) & (slopes < high)))
    assert abs(inside - 0.9) < 5 * np.sqrt(0.09 / 40_000)


@pytest.mark.parametrize(
    ("sizes", "energies", "kind", "message"),
    [
        ([1, 2], [1, 2], "power", "at least three numbers"),
        ([2, 2, 2], [1, 2, 3], "power", "two sizes"),
        ([1, 2, 3], [1, -2, 3], "power", "`energies_j` must hold finite numbers above 0"),
        ([1, 2, float("nan")], [1, 2, 3], "power", "`sizes` must hold"),
        ([1, 2, 3], [1, 2, 3], "linear", "`kind` must be one of"),
    ],
)
def test_fit_errors(sizes, energies, kind, message):
    with pytest.raises(ValueError, match=message):
        scaling.fit(sizes, energies, kind)
    with pytest.raises(ValueError, match="`level`"):
        scaling.fit([1, 2, 3], [1, 3, 4], "power").interval(1.4)


def test_crossing_against_a_closed_form():
    offsets = jnp.asarray([0.0, 1.0, 2.5])
    found = breakeven.crossing(lambda n: 3 + offsets + jnp.log(n), lambda n: 2.2 * jnp.log(n), 1.0, 1e4)
    np.testing.assert_allclose(found.size, np.exp((3 + np.asarray(offsets)) / 1.2), rtol=1e-4)
    assert found.reached == 1.0


def test_crossing_never_and_always():
    offsets = jnp.asarray([-20.0, 0.0, 50.0])
    found = breakeven.crossing(lambda n: offsets + 3.0 + 0 * n, lambda n: jnp.log(n), 2.0, 1e3)
    assert float(found.size[0]) == 2.0
    assert float(found.size[1]) == pytest.approx(np.exp(3.0), rel=1e-4)
    assert np.isinf(found.size[2])
    assert found.reached == pytest.approx(2 / 3)
    assert found.interval()[2] == np.inf


def test_crossing_takes_the_last_change():
    """A machine that is better at small sizes only does not break even."""
    found = breakeven.crossing(lambda n: 2 * jnp.log(n), lambda n: jnp.log(n) + 1.0, 1.0, 100.0)
    assert np.isinf(found.size)


@pytest.mark.parametrize(("low", "high", "message"), [(0.0, 2.0, "`low`"), (3.0, 2.0, "`high`")])
def test_crossing_errors(low, high, message):
    with pytest.raises(ValueError, match=message):
        breakeven.crossing(lambda n: n, lambda n: n, low, high)


def shallow(n):
    return Resources(n, 1, 100, 100 * 3 * n, 100 * n, 100 * n, 100 * n, 100 * n)


def test_break_even_of_a_machine(key, building):
    machine = MACHINES["ion_today"].fixed()
    law = scaling.fit([10, 12, 14, 16], 1e-3 * 2.0 ** np.array([10, 12, 14, 16]), "exponential")
    found = breakeven.of_machine(key, shallow, machine, law, range(4, 60, 4), draws=1000)
    size = found.interval()[0]
    bills = [float(pricing.price(shallow(n), machine, key, draws=1).energy_j[0]) for n in range(4, 60, 4)]
    bill = np.exp(np.interp(np.log(size), np.log(range(4, 60, 4)), np.log(bills)))
    # The rival pays for its building, the machine's watts contain it.
    assert bill == pytest.approx(BUILDING * 1e-3 * 2.0**size, rel=0.05)
    with pytest.raises(pricing.CannotRun):
        breakeven.of_machine(key, shallow, machine, law, (400, 500), draws=1000)
    limited = breakeven.of_machine(key, shallow, machine, law, (4, 8, 12, 400), draws=1000)
    assert limited.reached == 0.0


def test_the_successors_34_qubits_lie_in_the_interval(key):
    """1000 shots against a simulator on a CPU; the energy is linear in the qubits to a few per cent."""
    machine = MACHINES["ion_today"]
    assert successor.linearity(machine) < 0.1
    rival = flops.load()["cpu_fp32_today"]["j_per_byte"]
    _, low, high = successor.break_even(key, machine, rival, draws=1000).interval()
    assert low < successor.CLAIM_QUBITS < high
    assert high - low < 8


def test_the_successors_break_even_with_a_measured_simulator(key):
    qubits = np.arange(10, 20, 2)
    energies = 12 * qubits * 32 * 6e-10 * 2.0**qubits * np.exp([0.05, -0.05, 0.02, 0.0, -0.02])
    law = scaling.fit(qubits, energies, "exponential")
    median, _, _ = successor.break_even(key, MACHINES["ion_today"], law, draws=1000).interval()
    assert 30 < median < 42
    fewer = successor.break_even(key, MACHINES["ion_today"], law, shots=10, draws=1000).interval()[0]
    assert fewer < median - 3


def test_head_is_linear_and_refuses_one_qubit():
    small, large = successor.head(10), successor.head(20)
    assert large.gates_2q == 2 * small.gates_2q == 2 * 1000 * 4 * 10
    assert dataclasses.asdict(small)["shots"] == 1000
    with pytest.raises(ValueError, match="`qubits` must be at least 2"):
        successor.head(1)


def test_machines_against_a_law_have_their_closed_forms(key):
    rival = exact("exponential", -5.0 - np.log(BUILDING), np.log(2))
    sizes = (4, 8, 16, 32)
    curves = {
        "flat": jnp.full((7, 4), np.log(2.0) * 20.25 - 5.0),
        "short": jnp.full((7, 3), np.log(2.0) * 20.25 - 5.0),  # runs no 32 qubits, and 16 are too few
        "rising": jnp.broadcast_to(3 * jnp.log(jnp.asarray(sizes, float)), (7, 4)),
        "cheap": jnp.full((7, 4), -9.0),
    }
    found = breakeven.of_curves(key, curves, sizes, rival, jnp.full(7, BUILDING))
    np.testing.assert_allclose(found["flat"].size, 20.25, rtol=CLOSE)
    assert not np.isfinite(found["short"].size).any() and found["short"].reached == 0
    np.testing.assert_array_equal(found["cheap"].size, 4.0)
    crossing = np.asarray(found["rising"].size)[0]
    assert 3 * np.log(crossing) == pytest.approx(-5.0 + crossing * np.log(2), rel=CLOSE)
    assert breakeven.of_curves(key, {}, sizes, rival, jnp.full(7, BUILDING)) == {}


def test_two_power_laws_cross_where_algebra_says(key):
    rival = exact("power", -2.0 - np.log(BUILDING), 1.9)
    lines = {"slower": (jnp.full(5, 6.0), jnp.full(5, 1.1)), "faster": (jnp.full(5, 6.0), jnp.full(5, 2.5))}
    found = breakeven.of_power_laws(key, lines, rival, jnp.full(5, BUILDING), 10.0, 500.0, 1e12)
    np.testing.assert_allclose(found["slower"].size, np.exp(8.0 / 0.8), rtol=10 * CLOSE)
    assert found["faster"].reached == 0


def test_a_classical_law_of_fixed_costs_goes_on_in_proportion(key):
    rival = exact("power", 3.0 - np.log(BUILDING), 0.25)
    lines = {"root": (jnp.full(5, 9.0), jnp.full(5, 0.5))}
    found = breakeven.of_power_laws(key, lines, rival, jnp.full(5, BUILDING), 10.0, 400.0, 1e12)
    # At 400 the rival is at 3 + log(400)/4; from there on it grows with the size itself, the machine with its root.
    place = (9.0 - 3.0 + 0.75 * np.log(400.0)) / 0.5
    np.testing.assert_allclose(found["root"].size, np.exp(place), rtol=10 * CLOSE)
    inside = scaling.continued(jnp.asarray([3.0]), jnp.asarray([0.25]), 400.0, jnp.asarray(37.0))
    assert float(inside[0]) == pytest.approx(3.0 + 0.25 * np.log(37.0))


def test_power_laws_of_draws_agree_with_scipy(key):
    from scipy.stats import linregress

    sizes = np.array([10.0, 20.0, 50.0, 90.0, 200.0])
    noise = np.array([0.2, -0.1, 0.0, -0.3, 0.25])
    row = 1.5 + 0.8 * np.log(sizes) + noise
    draws = 40_000
    _, slope = scaling.power_draws(key, sizes, jnp.broadcast_to(jnp.asarray(row), (draws, 5)))
    known = linregress(np.log(sizes), row)
    # Student's t with three degrees of freedom: half of it lies within 0.765 standard errors.
    inside = np.mean(np.abs(np.asarray(slope) - known.slope) < 0.7649 * known.stderr)
    assert abs(inside - 0.5) < 5 * 0.5 / np.sqrt(draws)
    offset, slope = scaling.power_draws(key, sizes, jnp.asarray([1.5 + 0.8 * np.log(sizes)]))
    np.testing.assert_allclose([offset[0], slope[0]], [1.5, 0.8], rtol=CLOSE)


def test_room_is_given_and_never_taken():
    assert breakeven.room(MACHINES["ion_today"], 500)["max_qubits"].central == 500
    assert breakeven.room(MACHINES["sc_today"], 2) == MACHINES["sc_today"].fixed(
        {"max_qubits": MACHINES["sc_today"]["max_qubits"].central}
    )
    assert breakeven.room(MACHINES["ft_sc_mid"], 500)["max_qubits"].central == 1e12


def test_the_break_even_at_best_solves_its_equation():
    quantum, host, rival = (jnp.asarray(row) for row in ([700.0, 3.0, 50.0], [0.5, 0.0, 9.0], [4.0, 6.0, 9.0]))
    found = breakeven.at_best(quantum, host, rival)
    x = np.asarray(found.size)[:2]
    np.testing.assert_allclose(np.sqrt(x) * quantum[:2] + x * host[:2], x * rival[:2], rtol=CLOSE)
    assert np.isinf(found.size[2]) and found.reached == pytest.approx(2 / 3)
