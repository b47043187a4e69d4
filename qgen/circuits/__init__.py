"""Circuits: pure functions on state vectors. Structure is static, parameters are traced."""

from qgen.circuits import ansatz, encodings, observables
from qgen.circuits.circuit import (
    Angle,
    Circuit,
    Conditional,
    Measure,
    Op,
    Repeat,
    Reset,
    controlled,
    diagonal,
    gate,
    matrix,
    pauli_rotation,
    repeat,
    unitary,
)
from qgen.circuits.counting import count
from qgen.circuits.gates import ALIASES, GATES
from qgen.circuits.gradients import metric_tensor, parameter_shift
from qgen.circuits.observables import Observable, pauli, z
from qgen.circuits.sampling import estimate, sample
from qgen.circuits.statevector import apply, expectation, fidelity, gram, probabilities

__all__ = [
    "ALIASES",
    "GATES",
    "Angle",
    "Circuit",
    "Conditional",
    "Measure",
    "Observable",
    "Op",
    "Repeat",
    "Reset",
    "ansatz",
    "apply",
    "controlled",
    "count",
    "diagonal",
    "encodings",
    "estimate",
    "expectation",
    "fidelity",
    "gate",
    "gram",
    "matrix",
    "metric_tensor",
    "observables",
    "parameter_shift",
    "pauli",
    "pauli_rotation",
    "probabilities",
    "repeat",
    "sample",
    "unitary",
    "z",
]
