import jax
import numpy as np
import pytest

from qgen.energy import inverse, pricing, profiles
from qgen.resources import Resources

MACHINES = profiles.load()
WORK = Resources(20, 5, 5000, 5000 * 12, 5000 * 4, 5000 * 60, 5000 * 40, 5000 * 20)


def test_needed_solves_the_inverse_problem():
    machine = MACHINES["sc_today"]
    now = float(pricing.price(WORK, machine.fixed(), jax.random.key(0), draws=1).energy_j[0])
    found = inverse.needed(WORK, machine, "delay_s", now / 1.5, best=1e-9, worst=1e-2)
    solved = machine.fixed().fixed({"delay_s": found.value})
    assert float(pricing.price(WORK, solved, jax.random.key(0), draws=1).energy_j[0]) == pytest.approx(
        now / 1.5, rel=1e-3
    )
    assert found.value < found.today == machine["delay_s"].central
    assert "times less" in found.reason
    assert np.isnan(inverse.needed(WORK, machine, "delay_s", 1.0, best=1e-9, worst=1e-2).value)
    assert inverse.needed(WORK, machine, "delay_s", 1e12, best=1e-9, worst=1e-2).value == 1e-2
    noise = inverse.needed(WORK, machine, "error_2q", now * 3, best=1e-9, worst=0.9)
    assert noise.value > machine["error_2q"].central


@pytest.mark.parametrize(
    ("field", "budget", "best", "message"),
    [("delays", 1.0, 1e-9, "`field`"), ("delay_s", 0.0, 1e-9, "`budget_j`"), ("delay_s", 1.0, -1.0, "`best`")],
)
def test_needed_errors(field, budget, best, message):
    with pytest.raises(ValueError, match=message):
        inverse.needed(WORK, MACHINES["sc_today"], field, budget, best=best, worst=1.0)


def test_solvable():
    names = inverse.solvable(MACHINES["sc_today"])
    assert {"delay_s", "power_qubit_w", "error_2q"} <= set(names)
    assert not {"max_qubits", "productive_share", "copies_share"} & set(names)
