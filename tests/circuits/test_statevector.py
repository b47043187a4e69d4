import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.sharding import PartitionSpec

from qgen import circuits as qc
from qgen.circuits import memory, states
from qgen.circuits.engine import batches, native
from tests.circuits import oracle

ATOL = 5e-6
N = 4
NATIVE = pytest.mark.skipif(native._best() is None, reason="the compiled engine is not installed (no C++ compiler)")


def circuit_and_params(seed=3):
    circuit = qc.ansatz.hardware_efficient(N, 2, ("rx", "rz"))
    return circuit, np.random.default_rng(seed).uniform(-2, 2, circuit.n_params)


def test_probabilities_and_marginals():
    circuit, params = circuit_and_params()
    p = abs(oracle.pennylane_state(circuit, params)) ** 2
    np.testing.assert_allclose(qc.probabilities(circuit, params), p, rtol=0, atol=ATOL)
    cube = p.reshape((2,) * N)
    np.testing.assert_allclose(
        qc.probabilities(circuit, params, wires=(3, 0)), cube.sum((1, 2)).T.reshape(-1), rtol=0, atol=ATOL
    )


def test_expectation_of_several_and_variance():
    circuit, params = circuit_and_params()
    several = [0.5 * qc.z(2) + qc.pauli("ZZ", (0, 3)), qc.pauli("XYZ", (0, 1, 2)), 2.0 * qc.pauli("YY", (1, 3))]
    found = qc.expectation(circuit, params, several)
    np.testing.assert_allclose(found, [oracle.value(circuit, params, o) for o in several], rtol=0, atol=ATOL)
    diagonal = qc.expectation(circuit, params, [several[0], qc.z(1)])
    np.testing.assert_allclose(diagonal[1], oracle.value(circuit, params, qc.z(1)), rtol=0, atol=ATOL)
    total = several[0] + several[1] + several[2]
    psi = oracle.pennylane_state(circuit, params)
    matrix = oracle.dense(total, N)
    expected = np.vdot(psi, matrix @ matrix @ psi).real - np.vdot(psi, matrix @ psi).real ** 2
    np.testing.assert_allclose(qc.variance(circuit, params, total), expected, rtol=0, atol=5 * ATOL)


def test_a_variance_has_derivatives_of_every_order():
    """Of one wire at RX(a) RY(b): <Z> = cos a cos b, so that the variance of 2 Z is 4 - 4 cos^2 a cos^2 b."""
    circuit = qc.Circuit(1, (qc.gate("rx", 0, qc.Angle(0)), qc.gate("ry", 0, qc.Angle(1))))
    a, b = 0.4, -1.1
    with jax.enable_x64(True):
        point = jnp.array([a, b])
        f = lambda p, gradient: qc.variance(circuit, p, 2.0 * qc.z(0), gradient=gradient)  # noqa: E731
        gradient = jax.jit(jax.grad(f), static_argnums=1)(point, "adjoint")
        hessian = jax.jit(jax.hessian(f), static_argnums=1)(point, "autodiff")
    first = [4 * np.sin(2 * a) * np.cos(b) ** 2, 4 * np.cos(a) ** 2 * np.sin(2 * b)]
    np.testing.assert_allclose(gradient, first, rtol=0, atol=1e-12)
    mixed = -4 * np.sin(2 * a) * np.sin(2 * b)
    second = [[8 * np.cos(2 * a) * np.cos(b) ** 2, mixed], [mixed, 8 * np.cos(a) ** 2 * np.cos(2 * b)]]
    np.testing.assert_allclose(hessian, second, rtol=0, atol=1e-12)


def test_reduced_density_entropy_and_fidelity():
    rng = np.random.default_rng(1)
    first, second = (oracle.random_state(rng, N) for _ in range(2))
    density = np.asarray(qc.reduced_density(jnp.asarray(first), (2, 0)))
    cube = first.reshape((2,) * N).transpose(2, 0, 1, 3).reshape(4, 4)
    np.testing.assert_allclose(density, cube @ cube.conj().T, rtol=0, atol=ATOL)
    levels = np.linalg.eigvalsh(cube @ cube.conj().T)
    np.testing.assert_allclose(qc.entropy(density), scipy.stats.entropy(levels), rtol=0, atol=1e-4)
    np.testing.assert_allclose(qc.entropy(density, 2.0), -np.log(np.sum(levels**2)), rtol=0, atol=1e-4)
    expected = abs(np.vdot(first, second)) ** 2
    np.testing.assert_allclose(qc.fidelity(jnp.asarray(first), jnp.asarray(second)), expected, rtol=0, atol=ATOL)


def test_gram_against_overlaps():
    circuit = qc.encodings.iqp(3)
    x = np.random.default_rng(2).uniform(-1, 1, (5, 3))
    rows = np.asarray(qc.encodings.iqp_angles(x))
    states = np.stack([oracle.pennylane_state(circuit, row) for row in rows])
    expected = abs(states.conj() @ states.T) ** 2
    np.testing.assert_allclose(qc.gram(circuit, rows), expected, rtol=0, atol=ATOL)
    np.testing.assert_allclose(qc.gram(circuit, rows[:2], rows), expected[:2], rtol=0, atol=ATOL)


def test_pieces_batches_and_gradients_agree_with_pennylane():
    """A batch over the data piece only: the loss's gradient with respect to weights and data, against differences."""
    rng = np.random.default_rng(4)
    circuit = qc.repeat(qc.encodings.angle(N, "rx") + qc.ansatz.hardware_efficient(N, 1), 2, shared=N)
    x, w = rng.uniform(-1, 1, (3, N)), rng.uniform(-2, 2, circuit.n_params - N)
    observable = qc.z(0) + 0.5 * qc.pauli("ZZ", (1, 2))
    dx, dw = rng.normal(size=x.shape), rng.normal(size=w.shape)

    def expected_loss(t):
        rows = x + t * dx
        return sum(oracle.value(circuit, np.concatenate([row, w + t * dw]), observable) ** 2 for row in rows)

    def loss(x, w):
        return jnp.sum(jax.vmap(lambda row: qc.expectation(circuit, (row, w), observable, engine="xla"))(x) ** 2)

    with jax.enable_x64(True):
        gx, gw = jax.jit(jax.grad(loss, (0, 1)))(jnp.asarray(x), jnp.asarray(w))
        per_row = jax.jit(
            jax.vmap(jax.grad(lambda w, row: qc.expectation(circuit, (row, w), observable, engine="xla")), (None, 0))
        )
        rows = per_row(jnp.asarray(w), jnp.asarray(x))
    slope = (expected_loss(1e-5) - expected_loss(-1e-5)) / 2e-5
    np.testing.assert_allclose(np.sum(np.asarray(gx) * dx) + np.sum(np.asarray(gw) * dw), slope, rtol=0, atol=1e-7)
    one = oracle.slope(lambda v: oracle.value(circuit, np.concatenate([x[1], v]), observable), w, dw)
    np.testing.assert_allclose(np.asarray(rows)[1] @ dw, one, rtol=0, atol=1e-7)


def test_own_parameters_per_lane_in_chunks_and_nested_vmap(monkeypatch):
    from qgen.circuits.engine import batches

    monkeypatch.setattr(batches, "CHUNK_FROM", 1)
    monkeypatch.setattr(batches, "CHUNK_BYTES", 1)
    circuit, _ = circuit_and_params()
    rows = np.random.default_rng(5).uniform(-2, 2, (19, circuit.n_params))
    observable = qc.z(0) + 0.5 * qc.pauli("XY", (1, 2))
    f = jax.value_and_grad(lambda p: qc.expectation(circuit, p, observable, engine="xla"))
    with jax.enable_x64(True):
        values, gradients = jax.jit(jax.vmap(f))(jnp.asarray(rows))
        nested, _ = jax.jit(jax.vmap(jax.vmap(f)))(jnp.asarray(rows[:18].reshape(9, 2, -1)))
    direction = np.random.default_rng(6).normal(size=circuit.n_params)
    for k in (0, 7, 18):
        np.testing.assert_allclose(values[k], oracle.value(circuit, rows[k], observable), rtol=0, atol=1e-10)
        slope = oracle.slope(lambda p: oracle.value(circuit, p, observable), rows[k], direction)
        np.testing.assert_allclose(np.asarray(gradients)[k] @ direction, slope, rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.asarray(nested).reshape(-1), np.asarray(values)[:18], rtol=0, atol=1e-12)


def test_an_empty_batch_gives_empty_results(each_engine):
    circuit = qc.ansatz.hardware_efficient(3, 2)
    f = lambda p: qc.expectation(circuit, p, qc.z(0), engine=each_engine)  # noqa: E731
    none = jnp.zeros((0, circuit.n_params))
    assert jax.vmap(f)(none).shape == (0,)
    assert jax.jit(jax.vmap(jax.grad(f)))(none).shape == (0, circuit.n_params)
    total = jax.grad(lambda p: jnp.sum(jax.vmap(lambda row: f(row + p))(none)))
    np.testing.assert_array_equal(total(jnp.ones(circuit.n_params)), 0)


@pytest.mark.parametrize("n", [3, 7])
def test_gradients_of_a_layer_that_flips_some_qubits(n):
    """Of one example, whose layer runs in blocks of unequal size from 6 qubits on, and of a batch with own angles."""
    ops = [qc.gate("rx", q, qc.Angle(q)) for q in range(n)]
    ops += [qc.gate("h", q) for q in range(1, n, 2)]
    ops += [qc.gate("ry", q, qc.Angle(n + q)) for q in range(n)]
    ops += [qc.gate("cx", (q, q + 1)) for q in range(n - 1)]
    ops += [qc.gate("rx", q, qc.Angle(2 * n + q)) for q in range(n)]
    circuit, observable = qc.Circuit(n, tuple(ops)), qc.observables.z_sum(n)
    rng = np.random.default_rng(10)
    rows, direction = rng.uniform(-2, 2, (2, circuit.n_params)), rng.normal(size=circuit.n_params)
    with jax.enable_x64(True):
        gradient = jax.grad(lambda p: qc.expectation(circuit, p, observable, engine="xla"))
        one = jax.jit(gradient)(jnp.asarray(rows[0]))
        both = jax.jit(jax.vmap(gradient))(jnp.asarray(rows))
    slopes = [oracle.slope(lambda p: oracle.value(circuit, p, observable), row, direction) for row in rows]
    np.testing.assert_allclose(np.asarray(one) @ direction, slopes[0], rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.asarray(both) @ direction, slopes, rtol=0, atol=1e-7)


def test_second_order_and_forward_mode_by_autodiff():
    circuit = qc.ansatz.hardware_efficient(2, 2)
    params = np.linspace(-1, 1.5, circuit.n_params)
    a, b = np.random.default_rng(7).normal(size=(2, circuit.n_params))
    observable = qc.pauli("ZX", (0, 1))
    with jax.enable_x64(True):
        f = lambda p: qc.expectation(circuit, p, observable, gradient="autodiff")  # noqa: E731
        hessian = jax.jit(jax.hessian(f))(jnp.asarray(params))
        tangent = jax.jvp(f, (jnp.asarray(params),), (jnp.asarray(a),))[1]
    g = lambda s, t: oracle.value(circuit, params + s * a + t * b, observable)  # noqa: E731
    h = 1e-3
    mixed = (g(h, h) - g(h, -h) - g(-h, h) + g(-h, -h)) / (4 * h * h)
    np.testing.assert_allclose(a @ np.asarray(hessian) @ b, mixed, rtol=0, atol=1e-4)
    np.testing.assert_allclose(tangent, (g(1e-5, 0) - g(-1e-5, 0)) / 2e-5, rtol=0, atol=1e-8)


def test_memory_of_a_gradient_does_not_grow_with_depth():
    def temporary(layers, n=10):
        observable = qc.observables.z_sum(n)
        circuit = qc.ansatz.hardware_efficient(n, layers)
        step = jax.jit(jax.grad(lambda p: qc.expectation(circuit, p, observable, engine="xla")))
        analysis = step.lower(jnp.ones(circuit.n_params)).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    shallow, deep = temporary(4), temporary(40)
    per_layer = 4 * (3 * 2 * 32 * 32 + 2 * 2 * 1024)  # blocks and phases of a layer, forward and backward
    assert deep < shallow + 36 * per_layer * 2
    # Where tables are small beside the state: 8 state vectors of two float32 per amplitude, at any depth.
    assert max(temporary(4, 14), temporary(40, 14)) <= 8 * 2**14 * 8


@pytest.mark.parametrize("layers", [4, 40])
def test_memory_of_a_gradient_of_qaoa(layers, n=14):
    """8 state vectors: neither a table for the cost's phases nor the phases of all layers count for more."""
    edges = [(q, (q + 1) % n) for q in range(n)] + [(q, q + n // 2) for q in range(n // 2)]
    cost = qc.Observable([((a, "Z"), (b, "Z")) for a, b in edges], np.linspace(0.5, 1.5, len(edges)))
    circuit = qc.ansatz.qaoa(cost, layers)
    step = jax.jit(jax.grad(lambda p: qc.expectation(circuit, p, cost, engine="xla")))
    analysis = step.lower(jnp.ones(circuit.n_params)).compile().memory_analysis()
    assert analysis.temp_size_in_bytes <= 8 * 2**n * 8


@pytest.mark.parametrize(("ansatz", "layers"), [(qc.ansatz.ansatz14, 40), (qc.ansatz.strongly_entangling, 8)])
def test_memory_of_many_different_stages(ansatz, layers, n=14):
    """8 state vectors, whether they are controlled rotations in a loop or layers that all differ."""
    circuit, observable = ansatz(n, layers), qc.observables.z_sum(n)
    step = jax.jit(jax.grad(lambda p: qc.expectation(circuit, p, observable, engine="xla")))
    analysis = step.lower(jnp.ones(circuit.n_params)).compile().memory_analysis()
    assert analysis.temp_size_in_bytes <= 8 * 2**n * 8


def test_a_state_that_is_given_gets_a_gradient():
    circuit, params = circuit_and_params()
    psi = oracle.random_state(np.random.default_rng(8), N)
    with jax.enable_x64(True):
        f = lambda v: qc.expectation(circuit, jnp.asarray(params), qc.z(1), state=v / jnp.linalg.norm(v))  # noqa: E731
        gradient = jax.grad(lambda re: f(re + 1j * psi.imag))(jnp.asarray(psi.real))
    direction = np.random.default_rng(9).normal(size=2**N)
    matrix = oracle.dense(qc.z(1), N)

    def value(re):
        v = re + 1j * psi.imag
        after = oracle.pennylane_state(circuit, params, v / np.linalg.norm(v))
        return np.vdot(after, matrix @ after).real

    np.testing.assert_allclose(
        np.asarray(gradient) @ direction, oracle.slope(value, psi.real, direction), rtol=0, atol=1e-7
    )


def one_observable(p, engine):
    return qc.expectation(WIRE, p, qc.z(0), engine=engine)[None]


def two_observables(p, engine):
    return qc.expectation(WIRE, p, [qc.z(0), qc.pauli("X", 0)], engine=engine)


def of_the_state(p, engine):
    psi = qc.apply(WIRE, p, engine=engine)
    return jnp.stack([jnp.abs(psi[0]) ** 2 - jnp.abs(psi[1]) ** 2, 2 * jnp.real(psi[0].conj() * psi[1])])


WIRE = qc.Circuit(1, (qc.gate("rx", 0, qc.Angle(0)), qc.gate("ry", 0, qc.Angle(1))))


def second_order(f):
    return jax.jacrev(jax.jacrev(f))


@pytest.mark.parametrize("engine", ["xla", pytest.param("native", marks=NATIVE)])
@pytest.mark.parametrize(
    "value, order", [(one_observable, jax.hessian), (two_observables, second_order), (of_the_state, jax.hessian)]
)
def test_forward_mode_and_second_order_without_choosing(engine, value, order):
    """<Z> = cos a cos b and <X> = cos a sin b after RX(a) RY(b): their derivatives, batched inside and outside."""
    points, moves = np.array([[0.4, -1.1], [2.1, 0.3], [-0.7, 1.9]]), np.array([[0.3, 0.8], [-1.2, 0.5], [0.9, -0.4]])
    f = functools.partial(value, engine=engine)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("rows",))

    def everything(p, t):
        spread = jax.shard_map(
            jax.vmap(order(f)), mesh=mesh, in_specs=PartitionSpec("rows"), out_specs=PartitionSpec("rows")
        )
        second = jnp.stack([jax.vmap(order(f))(p), spread(p)])
        pushed = jax.jvp(jax.vmap(f), (p,), (t,))[1], jax.vmap(lambda q, r: jax.linearize(f, q)[1](r))(p, t)
        shared = jax.grad(lambda q: jnp.sum(jax.vmap(lambda r: f(q + r))(p)))(jnp.zeros(2))
        return second, *pushed, shared

    with jax.enable_x64(True):
        second, along, linear, shared = jax.jit(everything)(jnp.asarray(points), jnp.asarray(moves))
    a, b = points.T
    z, x = np.cos(a) * np.cos(b), np.cos(a) * np.sin(b)
    dz, dx = np.stack([-np.sin(a) * np.cos(b), -x], 1), np.stack([-np.sin(a) * np.sin(b), z], 1)
    expected = [np.array([[-z, np.sin(a) * np.sin(b)], [np.sin(a) * np.sin(b), -z]])]
    expected += [np.array([[-x, -np.sin(a) * np.cos(b)], [-np.sin(a) * np.cos(b), -x]])]
    count = second.shape[2]
    for found in second:
        np.testing.assert_allclose(found, np.array(expected[:count]).transpose(3, 0, 1, 2), rtol=0, atol=1e-12)
    first = np.stack([dz, dx][:count], 1)
    np.testing.assert_allclose(along, np.einsum("koi,ki->ko", first, moves), rtol=0, atol=1e-12)
    np.testing.assert_allclose(linear, along, rtol=0, atol=1e-12)
    np.testing.assert_allclose(shared, first.sum((0, 1)), rtol=0, atol=1e-12)


THREE = qc.repeat(
    qc.Circuit(
        3,
        (
            qc.gate("ry", 0, qc.Angle(0)),
            qc.gate("rx", 1, qc.Angle(0, 0.6, 1.1)),
            qc.gate("ccx", (0, 1, 2)),
            qc.gate("crx", (1, 2), qc.Angle(1, 1.3)),
            qc.gate("rxx", (0, 2), qc.Angle(2, -0.8, 0.2)),
        ),
    ),
    2,
    shared=1,
)


@pytest.mark.parametrize(
    "engine, inner_modes",
    [
        ("xla", (jax.jacfwd, jax.jacrev)),
        # Forward mode inside is the plain engine's whatever the engine.
        pytest.param("native", (jax.jacrev,), marks=NATIVE),
    ],
)
def test_second_order_in_every_nesting_of_loops_and_wide_gates(engine, inner_modes):
    """Against a mixed second difference of the fourth order in the step, per point along two directions."""
    rng, observable, h = np.random.default_rng(12), qc.pauli("YZ", (0, 2)), 0.02
    points, left, right = rng.uniform(-2, 2, (3, 2, THREE.n_params))
    rule = {1: 8.0, -1: -8.0, 2: -1.0, -2: 1.0}  # f' = sum of w f(k h) / (12 h)
    expected = [
        sum(
            v * w * oracle.value(THREE, p + h * (i * a + j * b), observable)
            for i, v in rule.items()
            for j, w in rule.items()
        )
        / (12 * h) ** 2
        for p, a, b in zip(points, left, right, strict=True)
    ]
    f = lambda p: qc.expectation(THREE, p, observable, engine=engine)  # noqa: E731
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("rows",))
    rows = PartitionSpec("rows")
    with jax.enable_x64(True):
        every = [jax.vmap(outer(inner(f))) for inner in inner_modes for outer in (jax.jacrev, jax.jacfwd)]
        every[-1] = jax.shard_map(every[-1], mesh=mesh, in_specs=rows, out_specs=rows)
        found = jax.jit(lambda p: [second(p) for second in every])(jnp.asarray(points))
    for hessian in found:
        along = np.einsum("pi,pij,pj->p", left, hessian, right)
        np.testing.assert_allclose(along, expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(hessian, found[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("times", [1, 2])
def test_a_batch_that_shares_weights_sums_their_derivatives(times, monkeypatch):
    """In chunks of which the last is not full: the gradients of the weights, of the data and of a state all share."""
    monkeypatch.setattr(batches, "CHUNK_FROM", 0)
    monkeypatch.setattr(batches, "CHUNK_BYTES", 0)
    n, size = 4, 19
    circuit = qc.repeat(qc.encodings.angle(n, "rx") + qc.ansatz.hardware_efficient(n, 1), times, shared=n)
    circuit += qc.Circuit(n, (qc.gate("rzz", (0, 3), qc.Angle(circuit.n_params)), qc.gate("ccx", (0, 1, 2))))
    rng, observable = np.random.default_rng(11), qc.pauli("ZX", (0, 2))
    w, x = rng.uniform(-2, 2, circuit.n_params - n), rng.uniform(-1, 1, (size, n))
    scale, start = rng.normal(size=size), oracle.random_state(rng, n)
    matrix = oracle.dense(observable, n)

    def loss(w, x, re):
        run = lambda row: qc.expectation(circuit, (row, w), observable, state=re + 1j * start.imag, engine="xla")  # noqa: E731
        return jnp.sum(jnp.asarray(scale) * jax.vmap(run)(x))

    def exact(w, x, re):
        states = [oracle.pennylane_state(circuit, np.append(row, w), re + 1j * start.imag) for row in x]
        return sum(s * np.vdot(psi, matrix @ psi).real for s, psi in zip(scale, states, strict=True))

    point = (w, x, start.real)
    with jax.enable_x64(True):
        found = jax.jit(jax.grad(loss, (0, 1, 2)))(*(jnp.asarray(v) for v in point))
    for k, gradient in enumerate(found):
        direction = rng.normal(size=point[k].shape)
        slope = oracle.slope(lambda v, k=k: exact(*point[:k], v, *point[k + 1 :]), point[k], direction)
        np.testing.assert_allclose(np.sum(np.asarray(gradient) * direction), slope, rtol=0, atol=1e-6)


def test_a_containers_memory_limit_counts(monkeypatch, tmp_path):
    machine = memory._memory()
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._memory() >= machine
    (tmp_path / "memory.max").write_text("1000000\n")
    with pytest.raises(ValueError, match="at most 13 qubits fit"):
        memory.check_memory(20, 8, 4)


def test_nan_parameters_surface():
    circuit, params = circuit_and_params()
    params[0] = np.nan
    assert np.isnan(qc.expectation(circuit, params, qc.z(0)))
    psi = qc.apply(circuit, params)
    assert np.isnan(qc.fidelity(psi, psi)) and np.isnan(qc.entropy(qc.reduced_density(psi, (0,))))


LAST_PHASES = (
    qc.encodings.angle(3, "rz"),
    qc.encodings.angle(3, "rz") + qc.Circuit(3, (qc.gate("cx", (0, 2)), qc.gate("s", 1), qc.gate("x", 2))),
    qc.Circuit(3, (qc.gate("ry", 1, 0.3), qc.gate("rzz", (0, 2), qc.Angle(0)), qc.gate("cx", (0, 1)))),
)


@pytest.mark.parametrize("engine", ["xla", pytest.param("native", marks=NATIVE)])
@pytest.mark.parametrize("circuit", LAST_PHASES)
def test_nan_surfaces_in_phases_that_no_probability_sees(circuit, engine):
    params = jnp.full(circuit.n_params, 0.4)
    lost = params.at[0].set(jnp.nan)
    exact = [oracle.value(circuit, params, qc.z(wire)) for wire in (0, 1)]
    run = lambda p: qc.expectation(circuit, p, [qc.z(0), qc.z(1)], engine=engine)  # noqa: E731
    np.testing.assert_allclose(run(params), exact, rtol=0, atol=ATOL)
    assert np.isnan(run(lost)).all()
    assert np.isnan(qc.probabilities(circuit, lost, engine=engine)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c, p: qc.apply(c, p[:-1]), "must hold 16 numbers, but holds 15"),
        (lambda c, p: qc.apply(c, p + 1j), "must hold real numbers"),
        (lambda c, p: qc.apply(c, p, state=jnp.ones(3)), "must have shape"),
        (lambda c, p: qc.apply(c, p, state=jnp.ones(16)), "must have norm 1"),
        (lambda c, p: qc.apply(c, p, engine="abacus"), "`engine` must be one of"),
        (lambda c, p: qc.apply(c, p, gradient="none"), "`gradient` must be one of"),
        (lambda c, p: qc.apply(c + qc.Circuit(N, (qc.Reset(0),)), p), "runs only in `trajectory`"),
        (lambda c, p: qc.apply(qc.Circuit(60), ()), "needs .* GiB .* at most .* qubits fit"),
        (lambda c, p: qc.expectation(c, p, qc.z(N)), "out of range"),
        (lambda c, p: qc.expectation(c, p, []), "at least one observable"),
        (lambda c, p: qc.probabilities(c, p, wires=(0, 0)), "different wires"),
        (lambda c, p: qc.gram(c, p), "must have shape"),
        (lambda c, p: qc.gram(qc.Circuit(20), np.ones((1 << 20, 0))), r"20 qubits needs .* \(1048576 state vectors\)"),
        (lambda c, p: qc.entropy(jnp.eye(2) / 2, 0.0), "`order` must be above 0"),
        (lambda c, p: qc.entropy(3 * jnp.eye(2)), "`density` must have trace 1"),
        (lambda c, p: qc.entropy(jnp.diag(jnp.array([1.5, -0.5]))), "no negative eigenvalue"),
        (lambda c, p: qc.entropy(jnp.diag(jnp.array([0.6, 0.5, -0.1, 0]))), "no negative eigenvalue, but has -0.1"),
        (lambda c, p: qc.entropy(jnp.array([[0.5, 0.5], [0, 0.5]])), "must be Hermitian"),
        (lambda c, p: qc.fidelity(jnp.ones(4) / 2, jnp.ones(4)), "`second` must have norm 1"),
        (lambda c, p: qc.reduced_density(jnp.ones(4), (0,)), "must have norm 1"),
        (lambda c, p: qc.reduced_density(jnp.ones(4) / 2, (0.5,)), "`wires` must hold integers"),
        (lambda c, p: qc.reduced_density(jnp.ones(3), (0,)), "must have shape"),
        (lambda c, p: qc.gram(qc.Circuit(1), np.ones((3, 0)), np.ones(2)), "`y` must have shape"),
        (
            lambda c, p: qc.gram(qc.Circuit(18), np.ones((9, 0)), np.ones((1 << 20, 0))),
            r"18 qubits needs .* \(1048585 state vectors\)",
        ),
        (lambda c, p: qc.gram(qc.Circuit(1), np.ones((10**6, 0))), "matrix of 1000000 by 1000000 needs .* entries fit"),
        (lambda c, p: states.marginal(jnp.ones(4), 2, (2,)), "different wires below 2"),
    ],
)
def test_bad_input(make, message):
    circuit, params = circuit_and_params()
    with pytest.raises(ValueError, match=message):
        make(circuit, params)


@pytest.mark.parametrize("engine", ["xla", "auto"])
def test_a_state_that_a_jitted_function_closes_over_is_checked_as_any_other(engine):
    plus, twice = jnp.full(4, 0.5, jnp.complex64), jnp.ones(4, jnp.complex64)
    circuit = qc.Circuit(2, (qc.gate("rz", 0, qc.Angle(0)),))

    def value(state):
        return lambda p: qc.expectation(circuit, p[None], qc.pauli("X", 0), state, engine)

    np.testing.assert_allclose(jax.jit(value(plus))(0.3), np.cos(0.3), rtol=0, atol=1e-6)
    np.testing.assert_allclose(jax.grad(value(plus))(0.3), -np.sin(0.3), rtol=0, atol=1e-6)
    for run in (jax.jit, jax.grad):
        with pytest.raises(ValueError, match="`state` must have norm 1, but has norm 2"):
            run(value(twice))(0.3)
    assert float(jax.jit(lambda _: qc.fidelity(plus, plus))(0)) == pytest.approx(1)
    matrix = jnp.eye(4, dtype=jnp.complex64) / 4
    np.testing.assert_allclose(jax.jit(lambda _: qc.entropy(matrix))(0), 2 * np.log(2), rtol=1e-6)
