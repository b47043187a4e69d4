"""Circuits that run on one qubit less against PennyLane's default.qubit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.circuits import symmetry
from qgen.circuits.lowering import lower
from qgen.circuits.observables import Observable
from tests.circuits import oracle
from tests.circuits.test_mirrors import BATCH_ATOL, some_angle
from tests.circuits.test_program import kinds
from tests.circuits.test_properties import ATOL, GRADIENT_ATOL

N_PARAMS = 5


def even_word(rng, n):
    letters = rng.choice(list("IXYZ"), n)
    if sum(letter in "YZ" for letter in letters) % 2:
        k = rng.integers(n)
        letters[k] = {"I": "Z", "X": "Y", "Y": "X", "Z": "I"}[letters[k]]
    return "".join(letters)


def symmetric_ops(rng, n, count, n_params):
    """Rotations that commute with the flip of all qubits."""
    ops = []
    for _ in range(count):
        pair = tuple(int(q) for q in rng.permutation(n)[:2])
        name = rng.choice(["rx", "rxx", "ryy", "rzz", "pauli_rot", "all", "gphase"])
        angle = some_angle(rng, n_params)
        if name == "rx":
            ops.append(qc.gate("rx", pair[0], angle))
        elif name == "pauli_rot":
            ops.append(qc.pauli_rotation(even_word(rng, n), [int(q) for q in rng.permutation(n)], angle))
        elif name == "all":
            ops.append(qc.pauli_rotation("X" * n, range(n), angle))
        else:
            ops.append(qc.gate(name, () if name == "gphase" else pair, angle))
    return tuple(ops)


def symmetric_circuit(rng, n):
    """H on every qubit, rotations, a loop whose parameters partly advance, one that runs backwards, rotations."""
    start = qc.Circuit(n, tuple(qc.gate("h", int(q)) for q in rng.permutation(n)))
    body = qc.Circuit(n, symmetric_ops(rng, n, 6, 3) + qc.ansatz.mixer_layer(n, "x", qc.Angle(2)))
    back = qc.Circuit(n, (qc.Repeat(qc.Circuit(n, symmetric_ops(rng, n, 3, 2)), 2, backwards=True),))
    return start + qc.Circuit(n, symmetric_ops(rng, n, 5, N_PARAMS)) + qc.repeat(body, 3, shared=1) + back


def symmetric_observable(rng, n):
    words = [even_word(rng, n) for _ in range(5)] + ["X" * n, "I" * n, ((0, "Z"), (n - 1, "Z")), ((n - 1, "X"),)]
    return Observable(words, rng.uniform(-1, 1, len(words)))


def cut(n, rng):
    edges = [(q, (q + 1) % n) for q in range(n)] + [(0, n // 2)]
    return Observable([tuple((q, "Z") for q in sorted(edge)) for edge in edges], rng.uniform(0.5, 1.5, len(edges)))


def check_against_pennylane(circuit, observable, engine, rng):
    params, direction = rng.uniform(-2, 2, circuit.n_params), rng.normal(size=circuit.n_params)
    exact = oracle.value(circuit, params, observable)
    slope = oracle.slope(lambda p: oracle.value(circuit, p, observable), params, direction)
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            run = jax.jit(jax.value_and_grad(lambda p: qc.expectation(circuit, p, observable, engine=engine)))
            value, gradient = run(jnp.asarray(params, dtype))
        assert gradient.dtype == dtype
        np.testing.assert_allclose(value, exact, rtol=0, atol=2 * ATOL[dtype])
        np.testing.assert_allclose(np.asarray(gradient) @ direction, slope, rtol=0, atol=4 * GRADIENT_ATOL[dtype])


@pytest.mark.parametrize("n", [4, 5, 7])
def test_random_symmetric_circuits(n, each_engine):
    rng = np.random.default_rng(n)
    circuit, observable = symmetric_circuit(rng, n), symmetric_observable(rng, n)
    reduced = symmetry.reduce(circuit, [observable])
    assert reduced is not None and reduced[0].n_qubits == n - 1
    assert reduced[0].n_params == circuit.n_params
    check_against_pennylane(circuit, observable, each_engine, rng)


@pytest.mark.parametrize("n", [5, 8])
def test_qaoa_of_a_cut(n, each_engine):
    rng = np.random.default_rng(n)
    cost = cut(n, rng)
    circuit = qc.ansatz.qaoa(cost, 3)
    reduced = symmetry.reduce(circuit, [cost])
    assert reduced is not None and reduced[0].n_qubits == n - 1
    assert kinds(lower(reduced[0]).stages) == ["Turns", "Phases", ["Phases", "Turns", "Mirror"], "Phases"]
    check_against_pennylane(circuit, cost, each_engine, rng)


def test_a_mixer_on_some_qubits_keeps_the_symmetry(each_engine):
    rng, n = np.random.default_rng(1), 5
    cost = cut(n, rng)
    ops = (*(qc.gate("h", q) for q in range(n)), *qc.ansatz.cost_layer(cost, qc.Angle(0)))
    circuit = qc.Circuit(n, (*ops, qc.gate("rx", 1, qc.Angle(1)), qc.gate("rx", n - 1, qc.Angle(2))))
    assert symmetry.reduce(circuit, [cost]) is not None
    check_against_pennylane(circuit, cost, each_engine, rng)


N = 4
HADAMARDS = tuple(qc.gate("h", q) for q in range(N))
COST = cut(N, np.random.default_rng(0))
LAYER = (*qc.ansatz.cost_layer(COST, qc.Angle(0)), *qc.ansatz.mixer_layer(N, "x", qc.Angle(1)))
NEAR_MISSES = {
    "a field in the cost": ((*HADAMARDS, qc.gate("rz", 2, qc.Angle(0)), *LAYER), COST),
    "an odd word is measured": ((*HADAMARDS, *LAYER), COST + qc.z(1)),
    "an H is missing": ((*HADAMARDS[1:], *LAYER), COST),
    "an H is repeated": ((*HADAMARDS[1:], HADAMARDS[1], *LAYER), COST),
    "an H comes later": ((*HADAMARDS[1:], *LAYER, HADAMARDS[0]), COST),
    "a mixer of RY": ((*HADAMARDS, *LAYER, *(qc.gate("ry", q, qc.Angle(1)) for q in range(N))), COST),
    "RX under a control": ((*HADAMARDS, *LAYER, qc.gate("rx", 1, qc.Angle(1), controls=(0,))), COST),
    "a word of one Y": ((*HADAMARDS, *LAYER, qc.pauli_rotation("XYX", (0, 1, 3), qc.Angle(1))), COST),
    "a field in a loop": ((*HADAMARDS, qc.Repeat(qc.Circuit(N, (*LAYER, qc.gate("rz", 0, 0.3))), 2)), COST),
    "a CNOT": ((*HADAMARDS, *LAYER, qc.gate("cx", (0, 1))), COST),
}


@pytest.mark.parametrize("case", NEAR_MISSES)
def test_near_misses_run_on_all_qubits(case):
    ops, observable = NEAR_MISSES[case]
    circuit = qc.Circuit(N, ops)
    assert symmetry.reduce(circuit, [observable]) is None
    for engine in ("xla", "auto"):
        check_against_pennylane(circuit, observable, engine, np.random.default_rng(2))


def test_one_odd_word_among_observables_is_enough():
    circuit = qc.Circuit(N, (*HADAMARDS, *LAYER))
    assert symmetry.reduce(circuit, [COST, qc.pauli("X", 0)]) is not None
    assert symmetry.reduce(circuit, [COST, qc.z(0)]) is None


def test_small_and_measured_circuits_stay():
    few = qc.ansatz.qaoa(qc.pauli("ZZ", (0, 2)), 2)
    assert few.n_qubits == 3 and symmetry.reduce(few, [qc.pauli("ZZ", (0, 2))]) is None
    assert symmetry.reduce(qc.Circuit(N, (*HADAMARDS, qc.circuit.Reset(0))), [COST]) is None


def test_a_given_state_and_the_state_itself_are_whole():
    rng = np.random.default_rng(3)
    circuit, params = qc.Circuit(N, (*HADAMARDS, *LAYER)), rng.uniform(-2, 2, 2)
    given = oracle.random_state(rng, N)
    psi = oracle.pennylane_state(circuit, params, given)
    expected = np.real(psi.conj() @ oracle.dense(COST, N) @ psi)
    for engine in ("xla", "auto"):
        found = qc.expectation(circuit, params, COST, state=jnp.asarray(given), engine=engine)
        np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL["float32"])
        state = qc.apply(circuit, params, engine=engine)
        np.testing.assert_allclose(state, oracle.pennylane_state(circuit, params), rtol=0, atol=ATOL["float32"])


@pytest.mark.parametrize("n, size, dtype", [(4, 21, "float32"), (7, 9, "float64")])
def test_a_batch_is_its_elements(n, size, dtype, each_engine):
    """Own parameters in every example, shared ones, and nested axes."""
    rng = np.random.default_rng(n)
    circuit, observables = symmetric_circuit(rng, n), [symmetric_observable(rng, n), cut(n, rng)]
    assert symmetry.reduce(circuit, observables) is not None
    cut_at = N_PARAMS + 1
    with jax.enable_x64(dtype == "float64"):
        own = jnp.asarray(rng.uniform(-2, 2, (size, cut_at)), dtype)
        shared = jnp.asarray(rng.uniform(-2, 2, (2, circuit.n_params - cut_at)), dtype)

        def value(w, x):
            return jnp.sum(qc.expectation(circuit, (x, w), observables, engine=each_engine))

        both = jax.jit(jax.value_and_grad(value, (0, 1)))
        expected = [[both(w, x) for x in own[:3]] for w in shared]
        found = jax.jit(jax.vmap(jax.vmap(both, (None, 0)), (0, None)))(shared, own)
        total = jax.jit(jax.grad(lambda w: jnp.sum(jax.vmap(value, (None, 0))(w, own))))(shared[0])
        expected, found, total = jax.tree.map(np.asarray, (expected, found, total))
    for k, row in enumerate(expected):
        for b, element in enumerate(row):
            for one, all_ in zip(jax.tree.leaves(element), jax.tree.leaves(found), strict=True):
                np.testing.assert_allclose(all_[k][b], one, rtol=0, atol=BATCH_ATOL[dtype])
    np.testing.assert_allclose(total, np.sum(found[1][0][0], 0), rtol=0, atol=size * BATCH_ATOL[dtype])


@pytest.mark.parametrize("engine", ["xla", "auto"])
def test_second_derivatives_and_forward_mode(engine):
    """Against differences of the gradient, which other tests compare with PennyLane."""
    rng, n = np.random.default_rng(4), 5
    observable = cut(n, rng) + Observable(["XXXXX", "YIXYI"])
    circuit = qc.ansatz.qaoa(cut(n, rng), 2)
    assert symmetry.reduce(circuit, [observable]) is not None
    with jax.enable_x64(True):
        value = lambda p: qc.expectation(circuit, p, observable, engine=engine)  # noqa: E731
        params, direction = (jnp.asarray(v) for v in rng.normal(size=(2, circuit.n_params)))
        gradient = jax.jit(jax.grad(value))
        curve = jax.jit(jax.hessian(value))(params) @ direction
        pushed = jax.jit(lambda p, d: jax.jvp(value, (p,), (d,))[1])(params, direction)
        step = 1e-5
        differences = (gradient(params + step * direction) - gradient(params - step * direction)) / (2 * step)
        slope = gradient(params) @ direction
    np.testing.assert_allclose(pushed, slope, rtol=0, atol=BATCH_ATOL["float64"])
    np.testing.assert_allclose(curve, differences, rtol=0, atol=10 * GRADIENT_ATOL["float64"])


def test_the_gradient_of_coefficients(each_engine):
    rng, n = np.random.default_rng(5), 5
    circuit = symmetric_circuit(rng, n)
    params, words = rng.uniform(-2, 2, circuit.n_params), [even_word(rng, n) for _ in range(6)]
    assert any(symmetry._word(Observable([word]).words[0], n)[1] < 0 for word in words)
    with jax.enable_x64(True):
        slopes = jax.jit(
            jax.grad(lambda c: qc.expectation(circuit, jnp.asarray(params), Observable(words, c), engine=each_engine))
        )(jnp.ones(6))
    values = [oracle.value(circuit, params, Observable([word])) for word in words]
    np.testing.assert_allclose(slopes, values, rtol=0, atol=ATOL["float64"])


@pytest.mark.parametrize("n", [19, 20])
def test_wide_rings_in_one_layer(n):
    """Threads inside one state. After one layer an edge of a ring sees six qubits only, however long the ring is."""
    rings = {k: Observable([tuple((q, "Z") for q in sorted((a, (a + 1) % k))) for a in range(k)]) for k in (6, n)}
    circuits = {k: qc.ansatz.qaoa(cost, 1) for k, cost in rings.items()}
    params, direction = np.array([0.37, 0.81]), np.array([0.6, -0.8])
    exact = lambda p: oracle.value(circuits[6], p, rings[6]) * n / 6  # noqa: E731
    run = jax.jit(jax.value_and_grad(lambda p: qc.expectation(circuits[n], p, rings[n])))
    value, gradient = run(jnp.asarray(params, jnp.float32))
    np.testing.assert_allclose(value, exact(params), rtol=0, atol=n * ATOL["float32"])
    np.testing.assert_allclose(
        gradient @ direction, oracle.slope(exact, params, direction), rtol=0, atol=n * GRADIENT_ATOL["float32"]
    )
