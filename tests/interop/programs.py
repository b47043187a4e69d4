"""OpenQASM programs and the states that Qiskit 2.6.2 gives them.

The states are what this file prints where Qiskit is installed:
`pip install qiskit qiskit-qasm3-import && python tests/interop/programs.py`.
"""

VERSION_2 = """
OPENQASM 2.0;
include "qelib1.inc";
gate twist(a, b) p, r { cu3(a, b/2, -a^2) p, r; barrier p, r; u2(a, pi*b) r; sdg p; }
gate rzz(theta) a, b { cx a, b; u1(theta) b; cx a, b; }
qreg a[2];
qreg b[1];
h a;
ry(0.4) b[0];
cx a, b[0];
twist(0.3, -1.1) a[1], b[0];
crz(sin(0.7)) b[0], a[0];
rzz(0.9) a[0], a[1];
rxx(0.35) a[0], b[0];
u3(0.2, 1.3, -0.8) a[0];
csx b[0], a[1];
ch a[0], a[1];
U(0.11, -0.23, 0.35) a[0];
CX a[1], b[0];
"""

VERSION_3 = """
OPENQASM 3.0;
include "stdgates.inc";
gate kick(a) x0, x1 { ctrl @ p(a) x0, x1; inv @ sx x1; pow(3) @ t x0; }
qubit[3] q;
ry(pi / 3) q;
kick(0.4) q[0], q[2];
negctrl @ ctrl @ rx(1.25) q[1], q[0], q[2];
cry(0.3) q[0], q[1];
cry(0.3 + 0.5) q[1], q[2];
ctrl @ gphase(0.77) q[1];
pow(-2) @ kick(0.21) q[1], q[0];
cu(0.1, 0.2, 0.3, 0.4) q[2], q[0];
ctrl @ swap q[0], q[1], q[2];
"""

STATES: dict[str, list[complex]] = {
    "VERSION_2": [
        (0.279930212 - 0.129689265j),
        (0.475168535 + 0.183359412j),
        (-0.054517863 + 0.010419314j),
        (-0.158952688 - 0.360093245j),
        (0.28098518 - 0.119405091j),
        (0.106412449 - 0.290060877j),
        (0.145548456 - 0.138995702j),
        (0.160522146 + 0.482140449j),
    ],
    "VERSION_3": [
        (-0.019325366 + 0.334981037j),
        (-0.190537047 + 0.1019835j),
        (-0.089133498 - 0.088303403j),
        (0.169024378 - 0.273730054j),
        (0.512259526 - 0.137259526j),
        (0.013193544 + 0.180768276j),
        (0.200811822 + 0.490304859j),
        (-0.355787616 + 0.007698709j),
    ],
}


def main() -> None:
    import numpy as np
    from qiskit import qasm2, qasm3
    from qiskit.quantum_info import Statevector

    legacy = {"include_path": qasm2.LEGACY_INCLUDE_PATH, "custom_instructions": qasm2.LEGACY_CUSTOM_INSTRUCTIONS}
    # Qiskit has an `rzz` of its own, which this definition equals but for a global phase.
    without_rzz = VERSION_2.replace("gate rzz(theta) a, b { cx a, b; u1(theta) b; cx a, b; }\n", "")
    circuits = {"VERSION_2": qasm2.loads(without_rzz, **legacy), "VERSION_3": qasm3.loads(VERSION_3)}
    for name, circuit in circuits.items():
        state = np.asarray(Statevector(circuit.reverse_bits()))
        print(name, [complex(round(a.real, 9), round(a.imag, 9)) for a in state])


if __name__ == "__main__":
    main()
