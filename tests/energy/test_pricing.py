import dataclasses

import jax
import numpy as np
import pytest

from qgen.energy import pricing, profiles
from qgen.energy.pricing import CannotRun
from qgen.resources import Resources

MACHINES = profiles.load()
CLOSE = 1e-4
"""Single precision through some twenty products."""

CIRCUIT = Resources(
    *(9, 3, 600, 600 * 14, 600 * 5, 600 * 40, 600 * 21, 600 * 9),
)


def bill_of(resources, profile, **changes):
    return pricing.price(resources, profile.fixed().fixed(changes), jax.random.key(0), draws=1)


def test_hand_computed_bill_on_a_superconducting_machine():
    p = {name: number.central for name, number in MACHINES["sc_today"].numbers.items()}
    route = 1 + 0.1 * np.ceil((2 * (3 - 1) - 1) / 2)
    faults = p["error_1q"] * 40 + p["error_2q"] * route * 21 + p["error_measure"] * 9
    shot_s = p["reset_s"] + 9 * p["gate_1q_s"] + 5 * route * p["gate_2q_s"] + p["measure_s"] + p["delay_s"]
    seconds = 3 * p["program_s"] + 600 * np.exp(2 * faults) * shot_s
    watts = 14_000 + 9 * 57.6
    bill = bill_of(CIRCUIT, MACHINES["sc_today"])
    assert float(bill.time_s[0]) == pytest.approx(1.1 * seconds, rel=CLOSE)
    assert float(bill.energy_j[0]) == pytest.approx(1.1 * watts * seconds, rel=CLOSE)
    assert float(bill.amortised_energy_j[0]) == pytest.approx(2 * 1.1 * watts * seconds, rel=CLOSE)
    assert float(sum(bill.parts.values())[0]) == pytest.approx(float(bill.energy_j[0]), rel=CLOSE)
    assert float(bill.parts["calibration"][0]) == pytest.approx(0.1 * watts * seconds, rel=CLOSE)


def test_hand_computed_bill_on_an_ion_machine_with_serial_gates_and_transport():
    p = {name: number.central for name, number in MACHINES["ion_today"].numbers.items()}
    faults = p["error_1q"] * 40 + p["error_2q"] * 21 + p["error_measure"] * 9
    shot_s = p["reset_s"] + 9 * p["gate_1q_s"] + 21 / 4 * p["gate_2q_s"] + 5 * 0.5 * p["move_s"]
    shot_s += p["measure_s"] + p["delay_s"]
    seconds = 3 * p["program_s"] + 600 * np.exp(2 * faults) * shot_s
    assert float(bill_of(CIRCUIT, MACHINES["ion_today"]).energy_j[0]) == pytest.approx(
        1.1 * (7850 + 90) * seconds, rel=CLOSE
    )


def test_hand_computed_bill_on_an_annealer():
    work = Resources(30, circuits=2, anneals=500)
    bill = bill_of(work, MACHINES["annealer_today"])
    expected = 1.02 * 25_000 * (2 * 1.4e-2 + 500 * (2e-5 + 1e-4 + 2.05e-5))
    assert float(bill.energy_j[0]) == pytest.approx(expected, rel=CLOSE)
    assert float(bill.figures["physical_qubits"][0]) == np.ceil(30 * (1 + 30 / 12))


DEPTH = 100
QUIET = {"error_1q": 0, "error_2q": 0, "error_measure": 0, "routing_share": 0, "calibration_share": 0, "delay_s": 0}


@pytest.mark.parametrize(
    ("machine", "qubits", "changes", "printed_j", "precision"),
    [
        ("sc_today", 49, {"gate_2q_s": 50e-9}, 0.2, 0.05),
        ("sc_today", 49, {"gate_2q_s": 50e-9, "reset_s": 200e-6}, 3.5, 0.05),
        ("sc_today", 49, {"power_base_w": 26_000 - 49 * 57.6, "delay_s": 250e-6, "reset_s": 0}, 6.7, 0.05),
        ("ion_today", 98, {"power_base_w": 7870, "gate_2q_s": 70e-6, "move_share": 0}, 950, 5),
        ("ion_today", 98, {"power_base_w": 7870, "gate_2q_s": 70e-6, "move_share": 1, "move_s": 0.05}, 45_000, 500),
        (
            "ion_today",
            98,
            {"power_base_w": 370, "reset_s": 0, "gate_2q_s": 0, "measure_s": 0, "delay_s": 1 / 5.5},
            250,
            5,
        ),
        (
            "ion_today",
            98,
            {"power_base_w": 7870, "reset_s": 0, "gate_2q_s": 0, "measure_s": 0, "delay_s": 1 / 5.5},
            1600,
            50,
        ),
        # 22.2 kW with the 2.55 kW of continuous reloading; every layer is a rotation, a gate and a move
        ("atom_today", 400, {"power_base_w": 16_750, "gate_2q_s": 10.15e-6}, 1800, 50),
        ("spin_today", 49, {"power_base_w": 19_860 - 49 * 70.5, "gate_2q_s": 10e-9}, 2.2, 0.05),
        ("spin_today", 49, {"power_base_w": 19_860 - 49 * 70.5, "gate_2q_s": 10e-9, "reset_s": 1e-3}, 20, 0.5),
    ],
)
def test_published_energies_per_shot_at_depth_100(machine, qubits, changes, printed_j, precision):
    """Energy per shot as derived from arXiv 2605.15090 and vendors' shot rates, to the printed precision."""
    fixed = {"move_share": 1.0 if machine == "atom_today" else 0.0} if machine in ("atom_today", "ion_today") else {}
    settings = {**QUIET, **fixed, "program_s": 0, "max_qubits": 500, **changes}
    profile = MACHINES[machine].fixed()
    shot = Resources(qubits, 1, 1, DEPTH, DEPTH, 0, DEPTH, qubits)
    bill = pricing.price(shot, profile.fixed(settings), jax.random.key(0), draws=1)
    assert abs(float(bill.energy_j[0]) - printed_j) <= precision


@pytest.mark.parametrize(("measure_s", "printed_j"), [(36e-6, 1.9), (198e-6, 6.0)])
def test_published_energies_of_an_annealer(measure_s, printed_j):
    machine = MACHINES["annealer_today"].fixed().fixed({"measure_s": measure_s, "calibration_share": 0})
    sample = pricing.price(Resources(10, anneals=1), machine, jax.random.key(0), draws=1)
    assert round(float(sample.energy_j[0]), 1) == printed_j
    for program_s, programming_j in ((10.8e-3, 270), (15.8e-3, 395)):
        setting = machine.fixed({"program_s": program_s})
        bill = pricing.price(Resources(10, circuits=1), setting, jax.random.key(0), draws=1)
        assert float(bill.energy_j[0]) == pytest.approx(programming_j, rel=1e-3)


@pytest.mark.parametrize(("watts", "printed_j"), [(3000, 12e3), (22_200, 89e3)])
def test_published_energies_of_an_analog_machine(watts, printed_j):
    machine = MACHINES["analog_today"].fixed().fixed({"power_base_w": watts, "calibration_share": 0})
    bill = pricing.price(Resources(4, anneals=1), machine, jax.random.key(0), draws=1)
    assert float(bill.energy_j[0]) == pytest.approx(printed_j, rel=0.006)


def test_photon_loss_is_exponential():
    machine = MACHINES["photonic_today"].fixed().fixed({"program_s": 0, "error_measure": 0, "calibration_share": 0})
    seconds = [
        float(pricing.price(Resources(n, 1, 1, 1, 0, 1, 0, n), machine, jax.random.key(0), draws=1).time_s[0])
        for n in (3, 5)
    ]
    for n, time_s in zip((3, 5), seconds, strict=True):
        assert time_s == pytest.approx(n / 3e6 * 0.3**-n * np.exp(2 * 4e-3), rel=CLOSE)


def test_draws_are_reproducible_and_follow_the_ranges(key):
    one = pricing.price(CIRCUIT, MACHINES["sc_today"], key)
    two = pricing.price(CIRCUIT, MACHINES["sc_today"], key)
    assert one.energy_j.shape == (10_000,)
    np.testing.assert_array_equal(one.energy_j, two.energy_j)
    for name, number in MACHINES["sc_today"].numbers.items():
        drawn = np.asarray(one.values[name])
        assert number.low * (1 - CLOSE) <= drawn.min() and drawn.max() <= number.high * (1 + CLOSE)
    central = float(bill_of(CIRCUIT, MACHINES["sc_today"]).energy_j[0])
    median, low, high = pricing.summary(one.energy_j)
    assert low < central < high
    assert low < median < high


def test_a_sequence_is_the_sum_and_twice_the_work_costs_twice():
    machine = MACHINES["sc_today"]
    single = float(bill_of(CIRCUIT, machine).energy_j[0])
    assert float(bill_of([CIRCUIT, CIRCUIT], machine).energy_j[0]) == pytest.approx(2 * single, rel=CLOSE)
    assert float(bill_of(CIRCUIT * 2, machine).energy_j[0]) == pytest.approx(2 * single, rel=CLOSE)


def test_copies_side_by_side_share_the_base():
    alone = bill_of(CIRCUIT, MACHINES["sc_mid"], copies_share=0, program_s=0)
    shared = bill_of(CIRCUIT, MACHINES["sc_mid"], copies_share=1, program_s=0)
    copies = 1000 // 9
    assert float(shared.figures["copies"][0]) == copies
    assert float(shared.time_s[0]) == pytest.approx(float(alone.time_s[0]) / copies, rel=CLOSE)
    watts, watts_shared = 14_000 + 9 * 20, 14_000 + copies * 9 * 20
    ratio = watts_shared / copies / watts
    assert float(shared.energy_j[0] / alone.energy_j[0]) == pytest.approx(ratio, rel=CLOSE)


def test_routing_diameter():
    values = {"routing_share": np.float32(0.4)}
    for connectivity, diameter in (("grid", 12), ("line", 48), ("all", 1)):
        expected = 1 + 0.4 * max(np.ceil((diameter - 1) / 2), 0)
        assert float(pricing.routing(values, np.float32(49), connectivity)) == pytest.approx(expected, rel=CLOSE)


NOISY = Resources(30, 1, 1, 4000, 2000, 20_000, 20_000, 30)
SMALL = {"layers": 10, "layers_2q": 4, "gates_1q": 30, "gates_2q": 12}


@pytest.mark.parametrize(
    ("resources", "machine", "message"),
    [
        (Resources(500, 1, 1, **SMALL), "sc_today", "sc_today has 156 qubits, but 500 are needed"),
        (Resources(4, anneals=5), "sc_today", "does not anneal"),
        (CIRCUIT, "annealer_today", "has no gates"),
        (Resources(300, anneals=5), "annealer_today", "has 5600 qubits, but 7800 are needed"),
        (NOISY, "sc_today", r"error mitigation would multiply the shots by .*faults per shot"),
        (Resources(8, 1, 1, 40, 20, 0, 60, 8), "photonic_today", "photon loss and heralded gates"),
        (Resources(4, 1, 1, t_gates=100), "sc_today", "corrects no errors"),
        (Resources(4, 1, 10, t_gates=1000), "ft_sc_today", "no T factory works"),
        (Resources(90, 1, 10, t_gates=10_000_000, measurements=90), "ft_ion_today", "has 98 qubits, but"),
    ],
)
def test_machines_that_cannot_run_say_why(resources, machine, message):
    with pytest.raises(CannotRun, match=message):
        pricing.price(resources, MACHINES[machine], jax.random.key(0), draws=10)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources(4, layers=3), "`shots` is 0"),
        (Resources(4, shots=3, layers=3, gates_2q=3), "`layers_2q` is 0"),
        (Resources(4, shots=3, layers=3, layers_2q=5, gates_2q=3), "more `layers_2q` than `layers`"),
        ([], "at least one Resources"),
    ],
)
def test_a_count_without_price_is_an_error(resources, message):
    with pytest.raises(ValueError, match=message) as caught:
        pricing.price(resources, MACHINES["sc_today"], jax.random.key(0))
    assert not isinstance(caught.value, CannotRun)


def test_draws_must_be_positive():
    with pytest.raises(ValueError, match="`draws` must be at least 1"):
        pricing.price(CIRCUIT, MACHINES["sc_today"], jax.random.key(0), draws=0)


def test_draws_beyond_the_factories_are_refused():
    profile = MACHINES["ft_sc_long"]
    rate = dataclasses.replace(profile["error_rate"], high=0.5)
    noisy = dataclasses.replace(profile, numbers={**profile.numbers, "error_rate": rate})
    with pytest.raises(CannotRun, match="of the draws the error rate is too high"):
        pricing.price(Resources(10, 1, 1, t_gates=1000), noisy, jax.random.key(0))


def test_tornado_finds_what_decides():
    rows = pricing.tornado(CIRCUIT, MACHINES["sc_today"])
    names = [name for name, _, _ in rows]
    assert names[0] in ("delay_s", "program_s")
    assert "power_qubit2_w" not in names
    widths = [abs(np.log(high / low)) for _, low, high in rows]
    assert widths == sorted(widths, reverse=True)
    name, low, high = rows[names.index("delay_s")]
    for value, energy in ((MACHINES["sc_today"][name].low, low), (MACHINES["sc_today"][name].high, high)):
        assert energy == pytest.approx(
            float(bill_of(CIRCUIT, MACHINES["sc_today"], delay_s=value).energy_j[0]), rel=CLOSE
        )


def test_probability_saves():
    assert pricing.probability_saves(np.array([1.0, 3.0, 5.0, 0.5]), np.array([2.0, 2.0, 2.0, 2.0])) == 0.5


def test_cost():
    machine = MACHINES["sc_today"]
    bill = bill_of(CIRCUIT, machine, price_usd_per_h=7200)
    assert float(pricing.cost_usd(bill, machine)[0]) == pytest.approx(2 * float(bill.time_s[0]), rel=CLOSE)
    with pytest.raises(ValueError, match="no `price_usd_per_h`"):
        pricing.cost_usd(bill_of(CIRCUIT, MACHINES["ion_today"]), MACHINES["ion_today"])
