import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.energy import breakeven, flops, pricing, profiles, scaling, successor
from qgen.resources import Resources

MACHINES = profiles.load()
SIZES = np.array([4.0, 6.0, 9.0, 13.0, 20.0])


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


def test_break_even_of_two_laws(key):
    quantum = scaling.fit(SIZES, 1e6 * SIZES * np.exp([0.1, -0.1, 0.05, -0.05, 0.0]), "power")
    classical = scaling.fit(SIZES, 0.5 * np.exp(0.7 * SIZES + np.array([0.1, -0.1, 0.1, 0.0, -0.1])), "exponential")
    found = breakeven.of_laws(key, quantum, classical, 1.0, 200.0, draws=1000)
    median, low, high = found.interval()
    size = np.linspace(2, 60, 100_000)
    exact = size[np.argmax(1e6 * size < 0.5 * np.exp(0.7 * size))]
    assert low < exact < high
    assert median == pytest.approx(exact, rel=0.05)


def shallow(n):
    return Resources(n, 1, 100, 100 * 3 * n, 100 * n, 100 * n, 100 * n, 100 * n)


def test_break_even_of_a_machine(key):
    machine = MACHINES["ion_today"].fixed()
    law = scaling.fit([10, 12, 14, 16], 1e-3 * 2.0 ** np.array([10, 12, 14, 16]), "exponential")
    found = breakeven.of_machine(key, shallow, machine, law, range(4, 60, 4), draws=1000)
    size = found.interval()[0]
    bill = float(pricing.price(shallow(round(size)), machine, key, draws=1000).energy_j[0])
    assert bill == pytest.approx(1e-3 * 2.0 ** round(size), rel=0.6)
    with pytest.raises(pricing.CannotRun):
        breakeven.of_machine(key, shallow, machine, law, (400, 500), draws=1000)
    limited = breakeven.of_machine(key, shallow, machine, law, (4, 8, 12, 400), draws=1000)
    assert limited.reached == 0.0


WORK = Resources(20, 5, 5000, 5000 * 12, 5000 * 4, 5000 * 60, 5000 * 40, 5000 * 20)


def test_needed_solves_the_inverse_problem():
    machine = MACHINES["sc_today"]
    now = float(pricing.price(WORK, machine.fixed(), jax.random.key(0), draws=1).energy_j[0])
    found = breakeven.needed(WORK, machine, "delay_s", now / 1.5, best=1e-9, worst=1e-2)
    solved = machine.fixed().fixed({"delay_s": found.value})
    assert float(pricing.price(WORK, solved, jax.random.key(0), draws=1).energy_j[0]) == pytest.approx(
        now / 1.5, rel=1e-3
    )
    assert found.value < found.today == machine["delay_s"].central
    assert "times less" in found.reason
    assert np.isnan(breakeven.needed(WORK, machine, "delay_s", 1.0, best=1e-9, worst=1e-2).value)
    assert breakeven.needed(WORK, machine, "delay_s", 1e12, best=1e-9, worst=1e-2).value == 1e-2
    noise = breakeven.needed(WORK, machine, "error_2q", now * 3, best=1e-9, worst=0.9)
    assert noise.value > machine["error_2q"].central


@pytest.mark.parametrize(
    ("field", "budget", "best", "message"),
    [("delays", 1.0, 1e-9, "`field`"), ("delay_s", 0.0, 1e-9, "`budget_j`"), ("delay_s", 1.0, -1.0, "`best`")],
)
def test_needed_errors(field, budget, best, message):
    with pytest.raises(ValueError, match=message):
        breakeven.needed(WORK, MACHINES["sc_today"], field, budget, best=best, worst=1.0)


def test_solvable():
    names = breakeven.solvable(MACHINES["sc_today"])
    assert {"delay_s", "power_qubit_w", "error_2q"} <= set(names)
    assert not {"max_qubits", "productive_share", "copies_share"} & set(names)


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
