"""Counting: the Resources of a circuit."""

from qgen import check
from qgen.circuits.circuit import Circuit, Op
from qgen.resources import Resources

CONNECTIVITY = ("all", "linear", "grid", "heavy_hex")


def count(circuit: Circuit, shots: int = 1, circuits: int = 1, connectivity: str = "all") -> Resources:
    """The Resources of running a circuit: totals over all shots of all circuits."""
    check.at_least("shots", shots, 1)
    check.one_of("connectivity", connectivity, CONNECTIVITY)
    once = [op for op in circuit.walk() if isinstance(op, Op)]
    single = sum(len(op.support) == 1 for op in once)
    double = sum(len(op.support) > 1 for op in once)
    runs = shots * circuits
    return Resources(
        circuit.n_qubits, circuits, runs, runs, runs, single * runs, double * runs, circuit.n_qubits * runs
    )
