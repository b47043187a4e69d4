"""The README's example of the energy module: a user's own circuit counts on two machines, and a user's own function."""

import doctest


def example():
    """Prices a circuit and measures a function.

    >>> import jax, jax.numpy as jnp
    >>> from qgen.energy import carbon, meters, pricing, profiles
    >>> from qgen.resources import Resources
    >>> shot = Resources(qubits=20, shots=1, layers=60, layers_2q=40, gates_1q=800, gates_2q=380, measurements=20)
    >>> machines = profiles.load()
    >>> bills = {name: pricing.price(1000 * shot, machines[name], jax.random.key(0)) for name in ("sc_mid", "ion_mid")}
    >>> median, low, high = pricing.summary(bills["sc_mid"].energy_j)  # joules: median, 5 %, 95 %
    >>> most_important = pricing.tornado(1000 * shot, machines["ion_mid"])[0][0]  # which number decides
    >>> mine = jax.jit(lambda x: jnp.linalg.eigvalsh(x @ x.T))
    >>> used = meters.measure(meters.open_meter("auto"), lambda: mine(jnp.ones((64, 64))), min_time_s=0.2)
    >>> in_its_building = used.energy_j * carbon.facility(jax.random.key(1), 10_000)
    >>> saves = pricing.probability_saves(bills["sc_mid"].energy_j, in_its_building)

    >>> low < median < high and used.provenance in ("MEASURED", "MODELLED")
    True
    >>> 0.0 <= saves <= 1.0 and most_important in machines["ion_mid"].numbers
    True
    """


def test_the_example_runs():
    runner = doctest.DocTestRunner()
    for case in doctest.DocTestFinder().find(example, "example", globs={}):
        assert runner.run(case).failed == 0
    assert runner.tries > 10
