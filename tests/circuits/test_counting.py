import itertools

import numpy as np
import pennylane as qml
import pytest
import scipy.sparse

from qgen import circuits as qc
from qgen.circuits.routing import graph, route
from qgen.circuits.steps import Step
from qgen.interop.openqasm import from_qasm
from tests.circuits import qiskit_counts
from tests.circuits.oracle import pennylane_op, random_op


def pennylane_specs(circuit):
    params = np.linspace(0.1, 1.0, max(circuit.n_params, 1))
    ops = [pennylane_op(op, params) for op in circuit.walk()]
    found = qml.tape.QuantumScript(ops, [qml.state()]).specs["resources"]
    sizes = dict(found.gate_sizes)
    return sizes.get(1, 0), sizes.get(2, 0), found.depth


@pytest.mark.parametrize(
    "circuit",
    [
        qc.ansatz.hardware_efficient(5, 3),
        qc.ansatz.brickwork(5, 2),
        qc.ansatz.ansatz14(4, 2),
        qc.encodings.amplitude(4, real=True),
        qc.Circuit(3, (qc.gate("h", 0), qc.gate("rzz", (0, 2), 0.3), qc.gate("t", 1), qc.gate("swap", (1, 2)))),
    ],
)
def test_elementary_gates_count_as_pennylane_counts(circuit):
    found = qc.count(circuit)
    assert (found.gates_1q, found.gates_2q, found.layers) == pennylane_specs(circuit)
    assert found.measurements == circuit.n_qubits and found.shots == 1 and found.circuits == 1


def basic(found):
    return found.gates_1q, found.gates_2q, found.layers, found.layers_2q


@pytest.mark.parametrize("name", qiskit_counts.PROGRAMS)
def test_counts_are_qiskits(name):
    circuit = from_qasm(qiskit_counts.PROGRAMS[name])
    found = qc.count(circuit)
    assert (*basic(found), found.t_gates) == qiskit_counts.LOGICAL[name][:5]


def test_t_depth_without_rotations_is_qiskits():
    found = qc.clifford_t(from_qasm(qiskit_counts.PROGRAMS["toffolis"]), 0.01)
    assert found == (*qiskit_counts.LOGICAL["toffolis"][4:], 0)


@pytest.mark.parametrize(("name", "connectivity"), qiskit_counts.ROUTED)
def test_counts_after_routing_are_qiskits(name, connectivity):
    found = qc.count(from_qasm(qiskit_counts.PROGRAMS[name]), connectivity=connectivity)
    assert basic(found) == qiskit_counts.ROUTED[name, connectivity]


def test_the_lattice_is_the_one_that_qiskit_routed_on():
    pairs = [(a, b) for a, near in enumerate(graph(6, "heavy_hex")) for b in near if a < b]
    assert pairs == qiskit_counts.HEAVY_HEX


@pytest.mark.parametrize(("name", "rotations"), [("mixed", 7), ("rows", 1)])
def test_synthesis_in_t_gates_is_qiskits(name, rotations):
    """An error at which the bound of arXiv:1212.6253, 4 log2(1 / error) + 10 per rotation, gives just 53 T gates."""
    circuit = from_qasm(qiskit_counts.PROGRAMS[name])
    found = qc.clifford_t(circuit, rotations * 2**-10.7)
    assert found.per_rotation == 53
    assert (found.t_gates, found.t_depth) == qiskit_counts.SYNTHESISED[name]
    routed = qc.clifford_t(circuit, rotations * 2**-10.7, connectivity="linear")
    assert routed.t_gates == found.t_gates and routed.t_depth >= found.t_depth
    looser = qc.clifford_t(circuit, rotations * 2**-10.2)
    assert looser.per_rotation == 51


def test_totals_over_shots_and_circuits():
    one = qc.count(qc.ansatz.hardware_efficient(4, 2))
    many = qc.count(qc.ansatz.hardware_efficient(4, 2), shots=7, circuits=3)
    assert many.circuits == 3 and many.shots == 21
    for name in ("layers", "layers_2q", "gates_1q", "gates_2q", "measurements", "rotations"):
        assert getattr(many, name) == 21 * getattr(one, name)
    assert one.rotations == 16 and one.gates_2q == 8 and one.layers_2q == 8


def test_toffoli_is_the_textbooks():
    """Nielsen and Chuang, figure 4.9: 6 CNOT, 7 T, 2 H; the decomposition is PennyLane's as well."""
    found = qc.count(qc.Circuit(3, (qc.gate("ccx", (0, 1, 2)),)))
    parts = qml.Toffoli(wires=(0, 1, 2)).decomposition()
    cnots = sum(op.name == "CNOT" for op in parts)
    ts = sum("T" in op.name and op.name != "CNOT" for op in parts)
    assert (found.gates_2q, found.t_gates, found.gates_1q) == (cnots, ts, len(parts) - cnots)
    assert found.rotations == 0
    ccz = qc.count(qc.Circuit(3, (qc.gate("ccz", (0, 1, 2)),)))
    assert (ccz.gates_2q, ccz.t_gates, ccz.gates_1q) == (6, 7, 7)
    cswap = qc.count(qc.Circuit(3, (qc.gate("cswap", (0, 1, 2)),)))
    assert (cswap.gates_2q, cswap.t_gates) == (8, 7)


def test_many_controls_need_ancillas():
    """k controls: 2 (k - 1) Toffolis around a CNOT on k - 1 ancillas; a Toffoli's worth of two controls is direct."""
    found = qc.count(qc.Circuit(5, (qc.gate("x", 4, controls=(0, 1, 2, 3), values=(1, 0, 1, 1)),)))
    assert found.qubits == 5 + 3
    assert (found.t_gates, found.gates_2q) == (6 * 7, 6 * 6 + 1)
    assert found.gates_1q == 6 * 9 + 2
    assert found.measurements == 5
    p = qc.count(qc.Circuit(3, (qc.gate("gphase", (), 0.3, controls=(0, 1, 2)),)))
    assert (p.t_gates, p.gates_2q, p.rotations) == (2 * 7, 2 * 6 + 1, 3)


def test_pauli_rotations_are_ladders():
    circuit = qc.Circuit(4, (qc.pauli_rotation("XIZY", range(4), 0.3), qc.pauli_rotation("II", (0, 1), 0.3)))
    found = qc.count(circuit)
    assert (found.gates_2q, found.gates_1q, found.rotations) == (4, 2 * 2 + 1, 1)


@pytest.mark.parametrize("word", ["X", "ZZ", "XY", "YIZX"])
def test_a_controlled_word_controls_the_rotation_in_the_middle_of_its_ladder(word):
    wires = [k + 1 for k, letter in enumerate(word) if letter != "I"]
    turn = {"X": qml.Hadamard, "Y": lambda w: qml.RX(np.pi / 2, w)}
    turned = [turn[letter](k + 1) for k, letter in enumerate(word) if letter in "XY"]
    ladder = [qml.CNOT(pair) for pair in itertools.pairwise(wires)]
    middle = [qml.CRZ(0.3, (0, wires[-1]))]
    ops = [*turned, *ladder, *middle, *reversed(ladder), *map(qml.adjoint, reversed(turned))]
    order = range(len(word) + 1)
    exact = qml.ctrl(qml.PauliRot(0.3, word, wires=order[1:]), control=0)
    np.testing.assert_allclose(qml.matrix(ops, order), qml.matrix(exact, order), rtol=0, atol=1e-12)
    widths = [len(op.wires) for op in ops]
    found = qc.count(qc.Circuit(5, (qc.controlled(qc.pauli_rotation(word, order[1:], 0.3), (0,)),)))
    assert (found.gates_1q, found.gates_2q, found.rotations) == (widths.count(1), widths.count(2), 2)
    if word == "ZZ":
        assert found == qc.count(qc.Circuit(5, (qc.gate("rzz", (1, 2), 0.3, controls=(0,)),)))
    identity = qc.controlled(qc.pauli_rotation("II", (2, 3), 0.3), (0, 1))
    assert qc.count(qc.Circuit(5, (identity,))) == qc.count(qc.Circuit(5, (qc.gate("cp", (0, 1), 0.3),)))


def test_a_gate_of_the_table_counts_as_what_it_controls():
    for name, inner in (("cy", "y"), ("ch", "h"), ("crx", "rx"), ("cp", "p"), ("ccx", "x")):
        row, one = qc.GATES[name], qc.GATES[inner]
        wires, angles = range(row.wires + 1), [0.3] * row.angles
        controls = wires[: len(wires) - one.wires]
        plain = qc.Circuit(4, (qc.gate(name, wires[1:], *angles, controls=wires[:1]),))
        assert qc.count(plain) == qc.count(qc.Circuit(4, (qc.gate(inner, wires[-1], *angles, controls=controls),)))


@pytest.mark.parametrize("extra", [0, 1, 2, 3])
def test_the_whole_table_counts_on_every_connectivity(extra):
    """Routing adds SWAPs, three two-qubit gates each, and nothing else."""
    rng = np.random.default_rng(extra)
    for name in sorted(qc.GATES):
        circuit = qc.Circuit(7, (random_op(rng, name, 7, 0, extra),))
        free = qc.count(circuit)
        assert free.gates_1q + free.gates_2q or name in ("gphase", "id")
        for connectivity in ("linear", "grid", "heavy_hex"):
            routed = qc.count(circuit, connectivity=connectivity)
            assert (routed.gates_2q - free.gates_2q) % 3 == 0 and routed.gates_2q >= free.gates_2q
            for field in ("gates_1q", "t_gates", "rotations", "measurements"):
                assert getattr(routed, field) == getattr(free, field), name


def test_blocks_and_the_rest():
    rng = np.random.default_rng(0)
    matrix = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    ops = (
        qc.unitary(matrix, (0, 1, 2)),
        qc.diagonal(np.exp(1j * rng.normal(size=8)), (0, 1, 2)),
        qc.gate("double_excitation", (0, 1, 2, 3), 0.3),
        qc.gate("t", 0, controls=(1,)),
        qc.gate("h", 0, controls=(1,)),
        qc.gate("gphase", (), 0.3),
        qc.unitary(matrix[:1, :1] / abs(matrix[0, 0]) * np.eye(2), (3,)),
        qc.Measure(0, 0),
        qc.Reset(1),
        qc.Conditional(qc.gate("x", 2), (0,)),
    )
    found = qc.count(qc.Circuit(4, ops))
    # Shannon decomposition of three qubits: 20 CNOTs; a diagonal: 6; double excitation: 14 (arXiv:2104.05695).
    assert found.gates_2q == 20 + 6 + 14 + 1 + 1
    assert found.rotations == 63 + 7 + 8 + 3 + 3
    assert found.t_gates == 2 and found.measurements == 5


@pytest.mark.parametrize(("connectivity", "swaps"), [("all", 0), ("linear", 4), ("grid", 2)])
def test_routing_brings_distant_wires_together(connectivity, swaps):
    """Wires 0 and 5 of six: distance 5 on a line; on a grid of width 3 (0 1 2 / 3 4 5) distance 3."""
    found = qc.count(qc.Circuit(6, (qc.gate("cx", (0, 5)),)), connectivity=connectivity)
    assert found.gates_2q == 1 + 3 * swaps and found.layers == 1 + 3 * swaps


@pytest.mark.parametrize("connectivity", ["linear", "grid", "heavy_hex"])
def test_routed_steps_are_neighbours_and_do_the_same(connectivity):
    rng = np.random.default_rng(1)
    steps = [Step(tuple(int(w) for w in rng.permutation(9)[:2]), double=1, depth_2q=1) for _ in range(30)]
    neighbours = graph(9, connectivity)
    routed = list(route(steps, 9, connectivity))
    holds = list(range(len(neighbours)))
    done = []
    for step in routed:
        a, b = step.wires
        assert b in neighbours[a] and a in neighbours[b]
        if step.double == 3:
            holds[a], holds[b] = holds[b], holds[a]
        else:
            done.append((holds[a], holds[b]))
    assert done == [step.wires for step in steps]


@pytest.mark.parametrize("connectivity", ["linear", "grid", "heavy_hex"])
def test_the_wires_of_a_routed_block_are_connected(connectivity):
    rng = np.random.default_rng(2)
    steps = [
        Step(tuple(int(w) for w in rng.permutation(9)[: 3 + k % 3]), double=5, depth=9, depth_2q=5) for k in range(30)
    ]
    edges = [(a, b) for a, near in enumerate(graph(9, connectivity)) for b in near]
    holds, blocks = list(range(max(max(edge) for edge in edges) + 1)), iter(steps)
    for step in route(steps, 9, connectivity):
        if len(step.wires) == 2:
            a, b = step.wires
            assert (a, b) in edges
            holds[a], holds[b] = holds[b], holds[a]
            continue
        block = next(blocks)
        assert tuple(holds[w] for w in step.wires) == block.wires
        inside = scipy.sparse.lil_array((len(holds),) * 2)
        for a, b in edges:
            inside[a, b] = a in step.wires and b in step.wires
        ways = scipy.sparse.csgraph.shortest_path(inside.tocsr(), unweighted=True)[np.ix_(step.wires, step.wires)]
        assert np.isfinite(ways).all()
        added = int(3 * 5 * (ways.max() - 1))
        assert (step.double, step.depth, step.depth_2q) == (5 + added, 9 + added, 5 + added)
    assert not list(blocks)


@pytest.mark.parametrize("connectivity", ["linear", "grid", "heavy_hex"])
def test_a_block_is_charged_no_less_than_its_gates_cost(connectivity):
    """A diagonal on three wires, and the CNOTs and RZ on parities that make it."""
    entries = np.exp(1j * np.random.default_rng(3).normal(size=8))
    for a, b, c in itertools.permutations(range(6), 3):
        ops = [qc.gate("rz", w, 0.1) for w in (a, b, c)]
        for pair in ((a, c), (b, c), (a, c), (b, c), (a, b), (a, b)):
            ops += [qc.gate("cx", pair), qc.gate("rz", pair[1], 0.1)]
        exact = qc.count(qc.Circuit(6, tuple(ops)), connectivity=connectivity)
        bound = qc.count(qc.Circuit(6, (qc.diagonal(entries, (a, b, c)),)), connectivity=connectivity)
        assert bound.gates_2q >= exact.gates_2q and bound.layers_2q >= exact.layers_2q


@pytest.mark.parametrize("qubits", [1, 5, 20, 65, 130])
def test_heavy_hex_is_connected_and_sparse(qubits):
    neighbours = graph(qubits, "heavy_hex")
    assert len(neighbours) >= qubits and max(map(len, neighbours)) <= 3
    reached, queue = {0}, [0]
    while queue:
        fresh = [q for q in neighbours[queue.pop()] if q not in reached]
        reached.update(fresh)
        queue += fresh
    assert len(reached) == len(neighbours)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shots": 0}, "`shots` must be at least 1"),
        ({"circuits": 0}, "`circuits` must be at least 1"),
        ({"connectivity": "ring"}, "`connectivity` must be one of"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        qc.count(qc.Circuit(1), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"error": 0.0}, "`error` must be above 0"),
        ({"error": float("nan")}, "`error` must be above 0"),
        ({"error": 1.5}, r"`error` must lie in \[0.0, 1.0\]"),
        ({"error": 0.1, "connectivity": "ring"}, "`connectivity` must be one of"),
    ],
)
def test_bad_input_of_synthesis(arguments, message):
    with pytest.raises(ValueError, match=message):
        qc.clifford_t(qc.Circuit(1), **arguments)
