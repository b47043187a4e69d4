"""Circuits as OpenQASM and what Qiskit 2.6.2 counts for them, frozen, as Qiskit is no dependency.

Every text was read by `qasm2.loads`; Toffolis were replaced by their definition (`decompose`), which is Nielsen's and
Chuang's. LOGICAL holds gates on one qubit, gates on two, `depth()`, the layers of `dag.layers()` that hold a gate on
two qubits, T gates, and the depth in T gates: `depth(lambda i: i.operation.name in ("t", "tdg"))`. ROUTED holds the
first four after `TrivialLayout` and `BasicSwap` with full-width barriers between the gates (which keep their order),
and `decompose("swap")`; the programs are such that it matters nowhere which of several shortest paths is taken.
SYNTHESISED holds the last two of LOGICAL after every rotation had become 53 gates `t`.
"""

HEAD = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[{}]; '

PROGRAMS = {
    "fourier": HEAD.format(5)
    + "h q[0]; cp(1.57) q[1],q[0]; cp(0.785) q[2],q[0]; cp(0.39) q[3],q[0]; cp(0.196) q[4],q[0]; h q[1];"
    "cp(1.57) q[2],q[1]; cp(0.785) q[3],q[1]; cp(0.39) q[4],q[1]; h q[2]; cp(1.57) q[3],q[2]; cp(0.785) q[4],q[2];"
    "h q[3]; cp(1.57) q[4],q[3]; h q[4];",
    "mixed": HEAD.format(6)
    + "h q[2]; cx q[0],q[5]; t q[3]; rz(0.4) q[5]; cz q[1],q[4]; rx(0.9) q[4]; cx q[4],q[2]; t q[2]; tdg q[0];"
    "cx q[5],q[3]; ry(1.1) q[3]; h q[0]; cz q[0],q[2]; rz(0.3) q[2]; cx q[1],q[5]; t q[5]; rx(0.2) q[0]; cx q[3],q[0];"
    "h q[4]; cz q[4],q[5]; rz(1.7) q[1]; cx q[2],q[1]; t q[1]; cx q[0],q[4]; ry(0.6) q[4]; t q[4];",
    "toffolis": HEAD.format(5)
    + "ccx q[0],q[1],q[3]; cx q[0],q[1]; ccx q[1],q[2],q[3]; cx q[1],q[2]; cx q[0],q[1]; t q[4]; ccx q[4],q[2],q[0];"
    "cswap q[1],q[4],q[3];",
    "rows": HEAD.format(9) + "h q[0]; t q[3]; cx q[0],q[2]; rz(0.3) q[2]; cx q[5],q[3]; cx q[6],q[1];"
    "t q[3]; cx q[2],q[0]; cz q[0],q[2];",
}

LOGICAL = {
    "fourier": (5, 10, 9, 7, 0, 0),
    "mixed": (16, 10, 10, 7, 6, 3),
    "toffolis": (37, 29, 47, 28, 29, 16),
    "rows": (4, 5, 5, 4, 2, 2),
}

ROUTED = {
    ("fourier", "linear"): (5, 40, 33, 31),
    ("mixed", "linear"): (16, 70, 51, 50),
    ("mixed", "heavy_hex"): (16, 55, 49, 45),
    ("rows", "linear"): (4, 26, 20, 20),
    ("rows", "grid"): (4, 14, 8, 8),
}

HEAVY_HEX = [(0, 1), (0, 5), (1, 2), (2, 3), (3, 4), (4, 6), (5, 7), (6, 11), (7, 8), (8, 9), (9, 10), (10, 11)]
"""The pairs of the heavy-hex lattice for six qubits; the line and the 3 x 3 grid are as usual, row after row."""

SYNTHESISED = {"mixed": (377, 161), "rows": (55, 53)}
