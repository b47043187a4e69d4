"""OpenQASM against Qiskit's states (committed, see programs.py), PennyLane's importer and written-out programs."""

import math
import sys

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgen import circuits as qc
from qgen.circuits import Angle, Circuit, Conditional, Measure, Op, Reset, gate, pauli_rotation
from qgen.circuits.gates import GATES
from qgen.circuits.operation import value
from qgen.interop.openqasm import from_qasm, to_qasm
from tests.interop import programs
from tests.interop.test_operations import dense

SINGLE = 3e-6

HEAD = 'include "stdgates.inc"; qubit[3] q; bit[3] c; '

ROWS = [row for row in GATES.values() if row.wires is not None]


@pytest.mark.parametrize("name", ["VERSION_2", "VERSION_3"])
def test_programs_have_qiskits_states(name):
    state = qc.apply(from_qasm(getattr(programs, name)))
    np.testing.assert_allclose(state, programs.STATES[name], rtol=0, atol=SINGLE)


def test_a_program_has_pennylanes_state():
    program = (
        "qubit a; qubit b; qubit c; rx(0.3) a; ry(0.8) b; cry(-1.2) a, c; ctrl @ h c, b; inv @ t b; pow(3) @ sx c; "
        "negctrl @ rz(0.4) b, a; u2(0.3, 0.9) b; cswap a, b, c;"
    )

    def run():
        qml.from_qasm3(program, {"a": 0, "b": 1, "c": 2})()
        return qml.state()

    wanted = qml.QNode(run, qml.device("default.qubit", wires=3))()
    got = qc.apply(from_qasm('include "stdgates.inc"; ' + program))
    # PennyLane leaves out the phases that the specification gives to u2 and u3.
    np.testing.assert_allclose(got * np.vdot(got, wanted), wanted, rtol=0, atol=SINGLE)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_gate_of_the_table_survives_the_round_trip(row, version):
    if version == 2 and row.name == "gphase":
        return
    angles = (0.1 + 0.2, -1.7, 1e-17, 2.9)[: row.angles]
    circuit = Circuit(4, (Op(row.name, tuple(range(row.wires))[::-1], angles),))
    assert from_qasm(to_qasm(circuit, version=version)) == circuit


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_circuits_with_parameters_controls_and_repetitions_survive_the_round_trip(seed):
    rng = np.random.default_rng(seed)
    ops = []
    for name in rng.permutation([row.name for row in ROWS if row.wires and row.wires <= 2])[:4].tolist():
        row, order = GATES[name], rng.permutation(4).tolist()
        angles = [Angle(int(rng.integers(3)), *rng.normal(size=2)) for _ in range(row.angles)]
        controls = order[row.wires : row.wires + int(rng.integers(3))]
        values = rng.integers(0, 2, len(controls)).tolist()
        ops.append(gate(name, order[: row.wires], *angles, controls=controls, values=values))
    body = Circuit(4, (*ops, pauli_rotation("XIYZ", rng.permutation(4).tolist(), Angle(2))))
    circuit = Circuit(4, (gate("gphase", (), 0.3),)) + qc.repeat(body, 2, shared=1)
    assert from_qasm(to_qasm(circuit)) == circuit.flat()
    params = rng.normal(size=circuit.n_params)
    bound = from_qasm(to_qasm(circuit, params))
    assert bound.n_params == 0
    wanted = [float(value(a, params)) for op in circuit.walk() for a in op.angles]
    assert [a for op in bound.ops for a in op.angles] == wanted


@pytest.mark.parametrize("version", [2, 3])
def test_measurements_resets_and_conditions_survive_the_round_trip(version):
    conditional = Conditional(gate("ry", 2, 0.4), (1,), (0,))
    items = (gate("h", 0), Measure(0, 1), conditional, Reset(0), Measure(2, 0), Conditional(gate("x", 1), (0,)))
    circuit = Circuit(3, items)
    assert from_qasm(to_qasm(circuit, version=version)) == circuit
    if version == 3:
        both = Circuit(2, (Measure(0, 0), Measure(1, 2), Conditional(gate("z", 1), (2, 0), (0, 1))))
        assert from_qasm(to_qasm(both)) == both


@pytest.mark.parametrize(
    "op",
    [
        qc.unitary(qml.matrix(qml.Rot(0.3, 1.2, -0.7, wires=0)) * np.exp(0.4j), (1,)),
        qc.unitary(qml.matrix(qml.RX(np.pi, 0)) * 1j, (0,)),
        qc.controlled(qc.unitary(qml.matrix(qml.Hadamard(0) @ qml.S(0)), (1,)), (2,), (0,)),
        qc.diagonal(np.exp(1j * np.array([0.3, -1.0, 2.2, 0.9, 0.1, 1.5, -2.6, 0.7])), (2, 0, 1)),
        qc.controlled(qc.diagonal(np.exp(1j * np.array([0.3, -1.0, 2.2, 0.9])), (2, 0)), (1,)),
    ],
    ids=["unitary", "flip", "controlled unitary", "diagonal", "controlled diagonal"],
)
def test_matrices_of_one_qubit_and_diagonals_become_gates(op):
    back = from_qasm(to_qasm(Circuit(3, (op,))))
    np.testing.assert_allclose(dense(back.ops, 3), dense([op], 3), rtol=0, atol=SINGLE)


@pytest.mark.parametrize(
    "op",
    [
        gate("rx", 2, 0.4, controls=(0,), values=(0,)),
        gate("x", 2, controls=(0, 1, 3), values=(1, 0, 1)),
        gate("gphase", (), 0.7, controls=(1,)),
        gate("gphase", (), 0.7, controls=(1, 3)),
        gate("u3", 1, 0.3, 0.8, -0.4, controls=(2,)),
    ],
    ids=lambda op: f"{op.name}{op.controls}",
)
def test_version_2_names_gates_under_controls(op):
    back = from_qasm(to_qasm(Circuit(4, (op,)), version=2))
    np.testing.assert_allclose(dense(back.ops, 4), dense([op], 4), rtol=0, atol=SINGLE)


EQUAL = {
    "loop": ("for int k in [0:1] { rx(0.5 * k + 1) q[k]; }", "rx(1.0) q[0]; rx(1.5) q[1];"),
    "set": ("for uint k in {2, 0} x q[k];", "x q[2]; x q[0];"),
    "constant": ("const float a = 2 * pi / 8; rz(-a ** 2) q[1];", f"rz({-((2 * math.pi / 8) ** 2)!r}) q[1];"),
    "functions": ("ry(sin(0.3) + sqrt(2.0) % 1) q[0];", f"ry({math.sin(0.3) + math.sqrt(2.0) % 1!r}) q[0];"),
    "register": ("h q; barrier q; cx q[0], q[1:2];", "h q[0]; h q[1]; h q[2]; cx q[0], q[1]; cx q[0], q[2];"),
    "negative index": ("x q[-1];", "x q[2];"),
    "index set": ("c[{2, 0}] = measure q[{0, -1}];", "c[2] = measure q[0]; c[0] = measure q[2];"),
    "set in a condition": ("if (c[{2, 0}] == 1) x q[0];", "if (c[2] == 1 && c[0] == 0) x q[0];"),
    "backwards": ("c = measure q[:-1:0];", "c[0] = measure q[2]; c[1] = measure q[1]; c[2] = measure q[0];"),
    "whole quotient": ("const int n = 6 / 2; x q[n - 1]; x q[int(1.7)];", "x q[2]; x q[1];"),
    "constant in a loop": ("for int k in [0:1] { const float a = 0.5 * k; rx(a) q[k]; } const float a = 3; rx(a) q[0];",
                           "rx(0.0) q[0]; rx(0.5) q[1]; rx(3) q[0];"),
    "declared outcome": ("bit[1] d = measure q[1];", "bit[1] d; d[0] = measure q[1];"),
    "powers": ("pow(2) @ s q[0]; pow(-1) @ t q[0];", "s q[0]; s q[0]; tdg q[0];"),
    "registers measured": ("c = measure q; reset q[0:1];", "c[0] = measure q[0]; c[1] = measure q[1]; "
                           "c[2] = measure q[2]; reset q[0]; reset q[1];"),
    "else": ("if (c[1]) { x q[0]; } else { y q[0]; }", "if (c[1] == 1) x q[0]; if (c[1] == 0) y q[0];"),
    "integer condition": ("if (c == 5) x q[0];", "if (c[0] == 1 && c[1] == 0 && c[2] == 1) x q[0];"),
    "negation": ("if (!c[2]) x q[0]; if (c[2] != 1) x q[0];", "if (c[2] == 0) x q[0]; if (c[2] == 0) x q[0];"),
    "own gate": ("gate g(a) r, s { rx(a / 2) r; cx r, s; } inv @ g(0.4) q[2], q[0];", "cx q[2], q[0]; rx(-0.2) q[2];"),
    "false friend": ("gate iswap r, s { cx r, s; } iswap q[0], q[1];", "cx q[0], q[1];"),
    "one input twice": ("input float a; rx(2*a - a/4 + 0.5) q[0];", "input float a; rx(1.75*a + 0.5) q[0];"),
    "input after a sum": ("input angle a; rx(0.5 - a) q[0]; ry(-a*2) q[0];",
                          "input float a; rx(-1.0*a + 0.5) q[0]; ry(-2.0*a) q[0];"),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_constructs_equal_what_they_stand_for(name):
    short, long = EQUAL[name]
    assert from_qasm(HEAD + short) == from_qasm(HEAD + long)


def test_a_gate_of_version_2s_library_is_defined_before_it_or_after_but_not_twice():
    head, own = 'OPENQASM 2.0; include "qelib1.inc"; ', "gate rzz(t) a, b { cx a, b; } "
    use = "qreg q[2]; rzz(0.1) q[0], q[1];"
    assert from_qasm(head + own + use).ops == (gate("cx", (0, 1)),)
    for wrong in (
        head + own + own + use,
        "OPENQASM 2.0; gate rzz(t) a, b { } " + head.removeprefix("OPENQASM 2.0;") + use,
    ):
        with pytest.raises(ValueError, match="Line 1: `rzz` is declared twice"):
            from_qasm(wrong)


@pytest.mark.parametrize("comment", ["/* by hand */ ", "// by hand\n", "/* OPENQASM 3.0; */ /**/ // 3\n"])
def test_a_power_of_version_2_follows_any_comment(comment):
    circuit = from_qasm(comment + 'OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; rx(1 + 2^3) q[0];')
    assert circuit.ops == (gate("rx", 0, 9.0),)


@pytest.mark.parametrize("name, n, entries", [
    ("rccx", 3, {(5, 5): -1, (6, 7): -1j, (7, 6): 1j}),
    ("rc3x", 4, {(12, 12): 1j, (13, 13): -1j, (14, 15): 1, (15, 14): -1}),
])  # fmt: skip
def test_relative_phase_toffoli_gates_have_qiskits_matrices(name, n, entries):
    # RCCXGate and RC3XGate of Qiskit, whose first qubit is the least significant, in our order.
    wanted = np.eye(2**n, dtype=complex)
    wanted[-2:, -2:] = 0
    for place, entry in entries.items():
        wanted[place] = entry
    places = ", ".join(f"q[{k}]" for k in range(n))
    circuit = from_qasm(f'OPENQASM 2.0; include "qelib1.inc"; qreg q[{n}]; {name} {places};')
    np.testing.assert_allclose(dense(circuit.ops, n), wanted, rtol=0, atol=SINGLE)


def test_built_in_u_has_the_phase_of_the_specification():
    # U(theta, phi, lambda) of OpenQASM 3 (arXiv:2104.14722, section 3.2) at generic angles.
    t, p, la = 0.7, 0.4, -1.1
    wanted = 0.5 * np.array(
        [
            [1 + np.exp(1j * t), -1j * np.exp(1j * la) * (1 - np.exp(1j * t))],
            [1j * np.exp(1j * p) * (1 - np.exp(1j * t)), np.exp(1j * (p + la)) * (1 + np.exp(1j * t))],
        ]
    )
    circuit = from_qasm(f"qubit q; U({t}, {p}, {la}) q;")
    np.testing.assert_allclose(dense(circuit.ops, 1), wanted, rtol=0, atol=SINGLE)
    special = from_qasm(f'include "stdgates.inc"; qubit q; u3({t}, {p}, {la}) q;')
    np.testing.assert_allclose(np.linalg.det(dense(special.ops, 1)), 1, rtol=0, atol=SINGLE)


WRONG = {
    "h q[0]; while (c[0] == 1) { x q[0]; }": "Line 2: A circuit cannot express the statement WhileLoop",
    "foo q[0];": "Line 2: Gate `foo` is not defined.",
    "rx(0.1, 0.2) q[0];": "Gate `rx` takes 1 angles, but 2 are given",
    "cx q[0];": "The gate acts on 2 qubits, but 1 are given",
    "cx q[0], q[0];": "Line 2: .*repeated wires",
    "x q[3];": "`q` has 3 qubits, but .3. is asked for",
    "x r[0];": "There are no qubits called `r`",
    "rx(b) q[0];": "There is no number called `b`",
    "rx(1/2) q[0];": "rounds the quotient of integers 1/2",
    "rx(1.0/0) q[0];": "divided by 0",
    'rx("01") q[0];': "cannot come from BitstringLiteral",
    "input float a; rx(sin(a)) q[0];": "linear in its input, but `sin` is not",
    "input float a; input float b; rx(a*b) q[0];": "linear in one input: `.` of these",
    "input int a;": "Only `input float` and `input angle`",
    "output bit d;": "no outputs but its bits",
    "pow(0.5) @ x q[0];": "no fractional powers",
    "measure q[0];": "must write its outcome to bits",
    "c = measure q[0];": "A measurement of 1 qubits writes as many bits, not 3",
    "int n;": "The number `n` needs a value",
    'bit d = "1";': "Bits begin at 0",
    "if (c == 5) { x q[0]; } else { y q[0]; }": "An `else` needs a condition on one bit",
    "if (c == 9) x q[0];": "3 bits never hold 9",
    "if (c[0] == 1 && c[0] == 0) x q[0];": "never holds",
    "if (c[0] == 1 || c[1] == 0) x q[0];": "must compare bits with numbers",
    "if (c[0] == 1) { reset q[0]; }": "Only gates can depend on bits",
    "qubit[2] r; cx q, r;": "different lengths",
    "for int k in c { x q[k]; }": "a range or a set",
    "for int k in [0:] { x q[k]; }": "A range needs an end",
    'include "other.inc";': "can be included, not 'other.inc'",
    "x q[0": "does not parse: line 2:",
    "h q[0]": "does not parse: line 2:6 `<EOF>` is not expected here",
    "opaque g a;": "does not parse: line 2:9 `a` is not expected here",
    "x q[1.7];": "Line 2: A whole number is needed here, not 1.7",
    "x q[0, 1];": "Line 2: `q` has one dimension, but 2 indices are given",
    "x q[{0, 3}];": "Line 2: `q` has 3 qubits, but .0, 3. is asked for",
    "for int k in [0:0:2] x q[k];": "Line 2: The step of a range must not be 0",
    "for int k in {0.5} x q[k];": "Line 2: A whole number is needed here, not 0.5",
    "for int k in [0:1] { bit d = measure q[k]; }": "Line 2: Bits are declared outside of loops and branches",
    "qubit[2.5] r;": "Line 2: A whole number is needed here, not 2.5",
    "qubit[-2] r;": "Line 2: A register holds at least 1 place, not -2",
    "const int n = 1.7;": "Line 2: A whole number is needed here, not 1.7",
    "ctrl(0) @ x q[0];": "Line 2: A gate has at least 1 control, not 0",
    "ctrl(1.5) @ x q[0], q[1];": "Line 2: A whole number is needed here, not 1.5",
    "input float a; ctrl(a) @ x q[0];": "Line 2: A whole number is needed here, and an input's value is not known",
    "input float a; x q[a];": "Line 2: A whole number is needed here, and an input's value is not known",
    "input float a; x q[int(a)];": "Line 2: An angle must be linear in its input, but its whole part is not",
    "input float a; if (c == a) x q[0];": "Line 2: A whole number is needed here, and an input's value is not known",
    "input float a; rx(a * 1e308 * 10) q[0];": "Line 2: A number must be finite and real, not Angle.*scale=inf",
    "rx(1e400) q[0];": "Line 2: A number must be finite and real, not inf",
    "rx((-8) ** 0.5) q[0];": "Line 2: A number must be finite and real, not .*j",
    "rx(5 % 0) q[0];": "Line 2: .*modulo by zero|Line 2: .*division by zero",
    "rx(exp(1e9)) q[0];": "Line 2: math range error",
    "rx(9 ** 9 ** 9) q[0];": "Line 2: .*out of range",
    "qubit[1] q;": "Line 2: `q` is declared twice",
    "bit[1] c;": "Line 2: `c` is declared twice",
    "bit[1] q;": "Line 2: `q` is declared twice",
    "input float a; input float a;": "Line 2: `a` is declared twice",
    "gate g r { x r; } gate g r { y r; }": "Line 2: `g` is declared twice",
    "gate h r { x r; }": "Line 2: `h` is declared twice",
    "gate U r { x r; }": "Line 2: `U` is declared twice",
    "gate g(a, a) r { rx(a) r; }": "Line 2: Gate `g` uses a name for two of its arguments",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_a_circuit_cannot_express_is_refused_with_its_line(line):
    with pytest.raises(ValueError, match=WRONG[line]):
        from_qasm(HEAD + "\n" + line)


def test_bad_programs_and_bad_exports_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="version must be 2 or 3, but is 4"):
        from_qasm("OPENQASM 4.0; qubit q;")
    with pytest.raises(ValueError, match="declares no qubits"):
        from_qasm("OPENQASM 3; bit c;")
    with pytest.raises(ValueError, match="`h` is not defined; include the standard library"):
        from_qasm("qubit q; h q;")
    with pytest.raises(ValueError, match="`version` must be one of: 2, 3"):
        to_qasm(Circuit(1), version=4)
    circuit = Circuit(2, (gate("rx", 0, Angle(0)),))
    with pytest.raises(ValueError, match="OpenQASM 2 has no inputs"):
        to_qasm(circuit, version=2)
    with pytest.raises(ValueError, match="`params` must hold 1 numbers, but holds 3"):
        to_qasm(circuit, [0.1, 0.2, 0.3])
    for number in (math.nan, math.inf):
        with pytest.raises(ValueError, match=f"OpenQASM has no word for {number}"):
            to_qasm(circuit, [number])
        with pytest.raises(ValueError, match=f"OpenQASM has no word for {number}"):
            to_qasm(Circuit(1, (gate("rx", 0, Angle(0, number)), gate("rx", 0, number))))
    with pytest.raises(ValueError, match="A matrix on 2 qubits has no exact form"):
        to_qasm(Circuit(2, (qc.unitary(np.eye(4), (0, 1)),)))
    with pytest.raises(ValueError, match="no gate `rzz` under 1 controls: write version 3"):
        to_qasm(Circuit(3, (gate("rzz", (0, 1), 0.2, controls=(2,)),)), version=2)
    with pytest.raises(ValueError, match="no condition on several bits"):
        to_qasm(Circuit(1, (Conditional(gate("x", 0), (0, 1)),)), version=2)
    monkeypatch.setitem(sys.modules, "openqasm3", None)
    with pytest.raises(ImportError, match=r"pip install 'qgen\[qasm\]'"):
        from_qasm("qubit q;")
