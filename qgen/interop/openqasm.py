"""OpenQASM 2 and 3 programs as circuits and back.

Registers are laid end to end in order of declaration: the first qubit is qubit 0, the first classical bit is bit 0.
"""

from qgen.interop.qasm_reader import from_qasm
from qgen.interop.qasm_writer import to_qasm

__all__ = ["from_qasm", "to_qasm"]
