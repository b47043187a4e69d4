"""Counting: the Resources of a circuit at the logical level, after routing, and in Clifford gates and T gates."""

import functools
import math
from typing import NamedTuple

from qgen import check
from qgen.circuits.circuit import Circuit
from qgen.circuits.routing import CONNECTIVITIES, route
from qgen.circuits.steps import Step, expand, schedule
from qgen.resources import Resources

SYNTHESIS_SLOPE = 4
SYNTHESIS_OFFSET = 10
"""T gates of one rotation to an error: at most SLOPE * log2(1 / error) + OFFSET (arXiv:1212.6253)."""


class CliffordT(NamedTuple):
    """Bounds on one execution of a circuit in Clifford gates and T gates.

    Attributes:
        t_gates: T gates in all.
        t_depth: the longest chain of T gates that wait for one another.
        per_rotation: T gates that stand for one rotation.
    """

    t_gates: int
    t_depth: int
    per_rotation: int


def count(circuit: Circuit, shots: int = 1, circuits: int = 1, connectivity: str = "all") -> Resources:
    """What a circuit needs on a quantum machine: totals over all shots of all circuits.

    Args:
        circuit: the circuit; every qubit is read out at its end.
        shots: executions of each circuit, at least 1.
        circuits: how many circuits of this shape are run, at least 1.
        connectivity: "all" pairs of qubits, or "linear", "grid", "heavy_hex": then every two-qubit gate between distant
            qubits is preceded by SWAPs (three two-qubit gates each) along a shortest path, without a search for a good
            placement, and every two-qubit gate inside a block of three or more by those that its most distant wires
            would need: an upper bound.

    Returns:
        Resources; `qubits` includes the ancillas of gates with many controls.

    Raises:
        ValueError: if a number is below 1 or the connectivity is unknown.
    """
    check.at_least("shots", shots, 1)
    check.at_least("circuits", circuits, 1)
    check.one_of("connectivity", connectivity, CONNECTIVITIES)
    total = _once(circuit, connectivity) * (shots * circuits)
    return total + Resources(total.qubits, circuits=circuits)


def clifford_t(circuit: Circuit, error: float, connectivity: str = "all") -> CliffordT:
    """The T count and the T depth of one execution, with every rotation synthesised without ancillas.

    All rotations share the error evenly, as operator norms add up; an angle that happens to be a Clifford gate's counts
    like any other, so that both numbers are upper bounds.

    Args:
        circuit: the circuit.
        error: what all its rotations together may be wrong by in operator norm, below 1.
        connectivity: as in `count`.

    Returns:
        The bounds.

    Raises:
        ValueError: if the error does not lie between 0 and 1, or the connectivity is unknown.

    Example:
        >>> from qgen.circuits import Angle, Circuit, gate
        >>> clifford_t(Circuit(2, (gate("t", 0), gate("rz", 1, Angle(0)))), error=2**-10)
        CliffordT(t_gates=51, t_depth=50, per_rotation=50)
    """
    check.positive("error", error)
    check.within("error", error, 0.0, 1.0)
    check.one_of("connectivity", connectivity, CONNECTIVITIES)
    steps, _ = _steps(circuit, connectivity)
    rotations = sum(step.rotations for step in steps)
    bound = SYNTHESIS_SLOPE * math.log2(max(rotations, 1) / error) + SYNTHESIS_OFFSET
    per_rotation = math.ceil(bound) if rotations else 0
    cost = [step.t_gates + per_rotation * step.rotations for step in steps]
    depth, _ = schedule([s._replace(depth=t, depth_2q=0) for s, t in zip(steps, cost, strict=True)])
    return CliffordT(sum(cost), depth, per_rotation)


def _steps(circuit: Circuit, connectivity: str) -> tuple[list[Step], int]:
    """The steps of one shot and the qubits that they touch."""
    steps = [step for item in circuit.walk() for step in expand(item, circuit.n_qubits)]
    qubits = max([circuit.n_qubits, *(w + 1 for step in steps for w in step.wires)])
    if connectivity == "all":
        return steps, qubits
    steps = list(route(steps, qubits, connectivity))
    return steps, max([qubits, *(w + 1 for step in steps for w in step.wires)])


@functools.lru_cache(maxsize=128)
def _once(circuit: Circuit, connectivity: str) -> Resources:
    """One shot."""
    steps, qubits = _steps(circuit, connectivity)
    depth, depth_2q = schedule(steps)
    return Resources(
        qubits,
        shots=1,
        layers=depth,
        layers_2q=depth_2q,
        gates_1q=sum(step.single for step in steps),
        gates_2q=sum(step.double for step in steps),
        measurements=circuit.n_qubits + sum(step.reads for step in steps),
        t_gates=sum(step.t_gates for step in steps),
        rotations=sum(step.rotations for step in steps),
    )
