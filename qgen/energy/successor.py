"""The break-even of the source article's successor, recomputed: a quantum head against simulating the same circuit.

Knitter et al. (arXiv 2605.02798) measured a trapped-ion machine and report that its energy is about linear in the
qubits for shallow circuits, that of simulation exponential, and a break-even at about 34 qubits. They publish the
claim, not the bill, so this is a calculation from the description, with these assumptions:

- the circuit is the head of their pipeline (arXiv 2504.08732): re-uploading blocks of RY rotations and rings of CNOTs;
- the machine is one chain of ions that nothing moves, with the times of IonQ's own interface (reset 20 us, read-out
  300 us), and makes its gates one after the other, so that they, and with them the energy, grow with the qubits;
- nobody multiplies shots to cancel errors (they trained on the noisy machine);
- the rival is a state-vector simulator in which every gate reads and writes 2^qubits amplitudes of 16 bytes, or a law
  that was measured; the building around it is charged too, since that around the ions is in their watts.

It says nothing about the task: a logistic regression of 769 parameters solves it, and that break-even is another one.
"""

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.energy import breakeven, carbon, pricing
from qgen.energy.breakeven import BreakEven
from qgen.energy.profiles import Profile
from qgen.energy.ranges import Range
from qgen.energy.scaling import Law
from qgen.resources import Resources
from qgen.types import Array, Key

CLAIM_QUBITS = 34
SHOTS = 1000
BLOCKS = 4
RINGS = 1
BYTES_PER_GATE = 32
"""Read and write one complex128 amplitude, the default of common simulators."""
ONE_CHAIN = {"parallel_2q": 1.0, "mitigation_exponent": 0.0, "move_share": 0.0, "reset_s": 2e-5, "measure_s": 3e-4}
SIZES = tuple(range(4, 65, 4))


def head(qubits: int, shots: float = SHOTS, blocks: int = BLOCKS, rings: int = RINGS) -> Resources:
    """One evaluation of the quantum head.

    Args:
        qubits: width of the head, at least 2.
        shots: executions.
        blocks: re-uploading blocks, each an encoding column of RY and `rings` rings.
        rings: rings of CNOT and RY per block.

    Returns:
        Resources of one circuit; one qubit is read.
    """
    check.at_least("qubits", qubits, 2)
    layers = blocks * (1 + 2 * rings * qubits)
    return Resources(
        qubits,
        circuits=0,
        shots=shots,
        layers=shots * layers,
        layers_2q=shots * blocks * rings * qubits,
        gates_1q=shots * blocks * qubits * (1 + rings),
        gates_2q=shots * blocks * qubits * rings,
        measurements=shots,
        rotations=shots * blocks * qubits * (1 + rings),
    )


def machine(profile: Profile, room: float = 64) -> Profile:
    """The profile as the one chain of the module's assumptions, with room for `room` qubits."""
    return profile.fixed({**ONE_CHAIN, "max_qubits": room})


def break_even(
    key: Key, profile: Profile, rival: Law | Range, *, shots: float = SHOTS, draws: int = 10_000
) -> BreakEven:
    """Qubits from which the machine uses less energy than simulating its circuit.

    Args:
        key: random key.
        profile: a trapped-ion machine.
        rival: the measured law of a simulator (energy of one evaluation against qubits, exponential), or the joules per
            byte of the processor that simulates.
        shots: executions per evaluation; the simulator needs one run, whatever their number.
        draws: draws of all ranges.

    Returns:
        A BreakEven; its interval covers the ranges of the machine and of the simulator, not the choice of shots.
    """
    if isinstance(rival, Law):
        return breakeven.of_machine(key, lambda n: head(n, shots), machine(profile), rival, SIZES, draws)
    price_key, rival_key = jax.random.split(key)
    bills = [pricing.price(head(n, shots), machine(profile), price_key, draws).energy_j for n in SIZES]
    log_bills, sizes = jnp.log(jnp.stack(bills, axis=1)), jnp.asarray(SIZES, dtype=float)
    range_key, building_key = jax.random.split(rival_key)
    j_per_byte = rival.quantile(jax.random.uniform(range_key, (draws,))) * carbon.facility(building_key, draws)

    def quantum(n: Array) -> Array:
        return breakeven.interpolate(jnp.broadcast_to(n, (draws,)), sizes, log_bills)

    def simulated(n: Array) -> Array:
        gates = BLOCKS * n * (1 + 2 * RINGS)
        return jnp.log(gates * BYTES_PER_GATE * j_per_byte) + n * jnp.log(2.0)

    return breakeven.crossing(quantum, simulated, float(SIZES[0]), float(SIZES[-1]))


def linearity(profile: Profile) -> float:
    """Largest relative distance of the machine's central energy, at SIZES, from a straight line in the qubits."""
    bills = [pricing.price(head(n), machine(profile).fixed(), jax.random.key(0), draws=1) for n in SIZES]
    energy = np.asarray([float(bill.energy_j[0]) for bill in bills])
    line = np.polyval(np.polyfit(SIZES, energy, 1), SIZES)
    return float(np.max(np.abs(energy / line - 1)))
