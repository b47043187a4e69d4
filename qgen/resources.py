"""Resources: what a quantum computation needs, on no particular machine.

All counts but `qubits` are totals over every shot of every circuit, so that running one computation after another
adds them and repeating a computation multiplies them. A price is a function of Resources only; there is no wall-clock
time in them, so the seconds of a simulator can never be multiplied by the watts of a quantum machine.
"""

import dataclasses
import math
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Resources:
    """Totals of a quantum computation at the logical level.

    Attributes:
        qubits: the most qubits that are in use at one time (variables, for an annealer).
        circuits: distinct circuits (or annealing problems) that are programmed.
        shots: executions of a gate-model circuit, each with one reset and one read-out.
        layers: circuit layers by as-soon-as-possible scheduling, summed over shots.
        layers_2q: the layers that hold a gate on two or more qubits, summed over shots.
        gates_1q: gates on one qubit, summed over shots.
        gates_2q: gates on two qubits (wider gates decomposed), summed over shots.
        measurements: qubits read out, summed over shots.
        t_gates: T gates of exact Clifford+T parts (Toffoli, CCZ), summed over shots.
        rotations: single-qubit rotations by arbitrary angles, which a fault-tolerant machine synthesises from T gates.
        anneals: annealing cycles (samples), for annealers.
    """

    qubits: int
    circuits: float = 0
    shots: float = 0
    layers: float = 0
    layers_2q: float = 0
    gates_1q: float = 0
    gates_2q: float = 0
    measurements: float = 0
    t_gates: float = 0
    rotations: float = 0
    anneals: float = 0

    def __post_init__(self) -> None:
        """Refuses negative, infinite and NaN counts and machines without qubits."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"Argument `{field.name}` must be a finite count of at least 0, but is {value}.")
        if self.qubits < 1:
            raise ValueError(f"Argument `qubits` must be at least 1, but is {self.qubits}.")

    def __add__(self, other: "Resources") -> "Resources":
        """One computation after the other: counts add, the wider one gives the qubits."""
        if not isinstance(other, Resources):
            return NotImplemented
        sums = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return Resources(qubits=max(self.qubits, other.qubits), **sums)

    def __mul__(self, times: float) -> "Resources":
        """The same computation `times` times."""
        if not (math.isfinite(times) and times >= 0):
            raise ValueError(f"Argument `times` must be a finite number of at least 0, but is {times}.")
        return Resources(qubits=self.qubits, **{name: getattr(self, name) * times for name in COUNTS})

    __rmul__ = __mul__


COUNTS = tuple(field.name for field in dataclasses.fields(Resources) if field.name != "qubits")


def total(resources: Iterable[Resources]) -> Resources | None:
    """The sum of all, or None for an empty collection (a method without a quantum part)."""
    result: Resources | None = None
    for item in resources:
        result = item if result is None else result + item
    return result
