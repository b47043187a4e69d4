"""Circuits: pure functions on state vectors. Structure is static, parameters are traced."""

from qgen.circuits import ansatz, encodings, observables
from qgen.circuits.circuit import Circuit, Conditional, Measure, Repeat, Reset, repeat
from qgen.circuits.counting import clifford_t, count
from qgen.circuits.fidelity_kernel import gram
from qgen.circuits.gates import ALIASES, GATES
from qgen.circuits.gradients import metric_resources, metric_tensor, parameter_shift, shift_gradient, spsa
from qgen.circuits.observables import Observable, pauli, z
from qgen.circuits.operation import Angle, Op, controlled, diagonal, gate, matrix, pauli_rotation, unitary
from qgen.circuits.sampling import estimate, sample, trajectory
from qgen.circuits.states import entropy, fidelity, reduced_density
from qgen.circuits.statevector import apply, expectation, probabilities, variance

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
    "clifford_t",
    "controlled",
    "count",
    "diagonal",
    "encodings",
    "entropy",
    "estimate",
    "expectation",
    "fidelity",
    "gate",
    "gram",
    "matrix",
    "metric_resources",
    "metric_tensor",
    "observables",
    "parameter_shift",
    "pauli",
    "pauli_rotation",
    "probabilities",
    "reduced_density",
    "repeat",
    "sample",
    "shift_gradient",
    "spsa",
    "trajectory",
    "unitary",
    "variance",
    "z",
]
