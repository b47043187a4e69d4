"""One-hot QAOA, the Fourier regressor and the query model against PennyLane, dense matrices and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen import circuits as qc
from qgen.circuits import sector
from qgen.quantum import bandit, grid_qaoa, qaoa, regressor

SINGLE = 2e-5
SHAPE = (3, 2, 4)


@pytest.fixture
def problem():
    generator = np.random.default_rng(7)
    linear, root = generator.normal(size=9), generator.normal(size=(9, 9))
    quadratic = root + root.T
    return linear.astype(np.float32), quadratic.astype(np.float32)


def cells():
    return np.array(list(itertools.product(*map(range, SHAPE))))


def one_hot(cell):
    return np.concatenate([np.eye(size)[value] for value, size in zip(cell, SHAPE)])


def test_the_table_is_the_energy_of_one_hot_strings(problem):
    linear, quadratic = problem
    expected = [linear @ one_hot(c) + 0.5 * one_hot(c) @ quadratic @ one_hot(c) for c in cells()]
    np.testing.assert_allclose(grid_qaoa.table(*map(jnp.asarray, problem), SHAPE), expected, rtol=1e-4, atol=1e-4)


def test_the_state_is_pennylanes_circuit(problem):
    energies = np.asarray(grid_qaoa.table(*map(jnp.asarray, problem), SHAPE))
    layers = 2
    found = jax.jit(grid_qaoa.state, static_argnums=(1, 2))(energies, SHAPE, layers)
    scaled = (energies - energies.mean()) / energies.std()
    wires = range(sum(SHAPE))
    offsets = np.cumsum([0, *SHAPE])
    places = [int("".join(str(int(bit)) for bit in one_hot(c)), 2) for c in cells()]
    start = np.zeros(2 ** len(wires))
    start[places] = len(places) ** -0.5
    diagonal = np.zeros(2 ** len(wires))
    diagonal[places] = scaled

    @qml.qnode(qml.device("default.qubit", wires=wires))
    def node():
        qml.StatePrep(start, wires=wires)
        for layer in range(layers):
            gamma = float(qaoa.ramp(layers, 2, "full")[0, layer])
            qml.DiagonalQubitUnitary(np.exp(-1j * gamma * diagonal), wires=wires)
            for first, size in zip(offsets, SHAPE):
                beta = float(qaoa.ramp(layers, size, "full")[1, layer])
                for a, b in sector.pairs(size, "full"):
                    qml.IsingXY(-2 * beta, wires=[int(first + a), int(first + b)])  # exp(-i beta (XX + YY) / 2)
        return qml.state()

    expected = np.asarray(node())
    np.testing.assert_allclose(found, expected[places], atol=SINGLE)
    assert np.sum(np.abs(expected[places]) ** 2) == pytest.approx(1, abs=SINGLE)


def test_qaoa_shots_prefer_low_energies(problem, key):
    places, energies = grid_qaoa.sample(key, *map(jnp.asarray, problem), SHAPE, 4, 400)
    everything = np.asarray(grid_qaoa.table(*map(jnp.asarray, problem), SHAPE))
    np.testing.assert_allclose(
        everything[np.ravel_multi_index(tuple(np.asarray(places).T), SHAPE)], energies, rtol=SINGLE
    )
    error = 5 * everything.std() / np.sqrt(400)
    assert np.mean(energies) < everything.mean() - error


def test_the_circuit_prepares_w_states_and_is_counted():
    start = grid_qaoa.circuit((3, 1, 2), 1)
    assert start.n_qubits == 5
    prepared = qc.Circuit(5, start.ops[: len(sector.dicke(3, 1).ops) + len(sector.dicke(2, 1).ops)])
    density = np.abs(np.asarray(jax.jit(lambda: qc.apply(prepared))())) ** 2
    expected = np.zeros(32)
    for a, b in itertools.product(range(3), range(2)):
        expected[(1 << (4 - a)) + (1 << (1 - b))] = 1 / 6
    np.testing.assert_allclose(density, expected, atol=SINGLE)
    need = grid_qaoa.resources((3, 1, 2), 2, 50)
    assert need.qubits == 5 and need.shots == 50 and need.measurements == 250
    # Beyond preparation each layer has 6 RZZ between the axes, and 3 + 1 XY gates within them.
    assert need.gates_2q - grid_qaoa.resources((3, 1, 2), 1, 50).gates_2q >= 50 * 10


def test_the_regressor_is_pennylanes_circuit(key):
    axes, degree = 3, 2
    angles = np.random.default_rng(0).uniform(-2, 2, regressor.n_angles(axes, degree)).astype(np.float32)
    points = np.random.default_rng(1).uniform(size=(4, axes)).astype(np.float32)
    blocks = angles.reshape(degree + 1, 2, axes)

    @qml.qnode(qml.device("default.qubit", wires=axes))
    def node(h):
        for place, block in enumerate(blocks):
            if place:
                for q in range(axes):
                    qml.RZ(h[q], q)
            for q in range(axes):
                qml.RY(block[0, q], q)
            for q in range(axes):
                qml.RZ(block[1, q], q)
            for q in range(axes):
                qml.CNOT([q, (q + 1) % axes])
        return [qml.expval(qml.Z(q)) for q in range(axes)]

    expected = [node(np.pi * (2 * point - 1)) for point in points]
    found = jax.jit(regressor.outputs, static_argnums=2)(angles, points, degree)
    np.testing.assert_allclose(found, expected, atol=SINGLE)


def test_the_regressor_is_a_series_of_its_degree():
    degree = 2
    angles = jnp.asarray(np.random.default_rng(3).uniform(-2, 2, regressor.n_angles(2, degree)), jnp.float32)
    grid = (np.arange(16) / 16).astype(np.float32)
    points = jnp.stack([jnp.asarray(grid), jnp.full(16, 0.3)], 1)
    values = np.asarray(jax.jit(regressor.outputs, static_argnums=2)(angles, points, degree))[:, 0]
    waves = np.abs(np.fft.rfft(values)) / 16
    assert waves[: degree + 1].max() > 0.01 and waves[degree + 1 :].max() < SINGLE


def test_a_fit_follows_a_series_and_its_frozen_twin_is_worse(key):
    generator = np.random.default_rng(5)
    seen, candidates = generator.uniform(size=(30, 2)), generator.uniform(size=(20, 2))

    def surface(u):
        h = np.pi * (2 * u - 1)
        return np.cos(h[:, 0] - 0.4) + 0.6 * np.sin(h[:, 1] + 0.2)

    found = regressor.fitted(key, seen, surface(seen), candidates, 2)
    held = regressor.frozen(key, seen, surface(seen), candidates, 2)
    truth = surface(candidates)
    assert np.corrcoef(found, truth)[0, 1] > 0.9
    assert np.corrcoef(held, truth)[0, 1] < np.corrcoef(found, truth)[0, 1]
    need = regressor.resources(2, 2, 30, 20)
    # 12 angles shifted both ways and the value itself, for every point and step.
    assert need.circuits == 30 * regressor.STEPS * 25 + 20 and need.qubits == 2
    assert regressor.resources(2, 2, 30, 20, trained=False).circuits == 50


def test_a_query_costs_the_square_root_of_its_classical_twin():
    generator = np.random.default_rng(2)
    draws = bandit.random_features(generator, 3)
    points, candidates = generator.uniform(size=(9, 3)), generator.uniform(size=(40, 3))
    squares = ((points[:, None] - points[None]) ** 2).sum(-1)
    # 200 random features: each entry has a deviation of at most 1 / sqrt(200).
    inner = bandit.mapped(draws, points) @ bandit.mapped(draws, points).T
    assert np.abs(inner - np.exp(-squares / (2 * bandit.LENGTH**2))).max() < 5 / np.sqrt(200)
    seen, offered = bandit.mapped(draws, points), bandit.mapped(draws, candidates)
    estimates, errors = np.linspace(-1, 1, 9), np.full(9, 0.1)
    quantum = bandit.query(seen, estimates, errors, offered, sigma=4.0)
    classical = bandit.query(seen, estimates, errors, offered, sigma=4.0, power=2)
    assert quantum.place == classical.place and quantum.error == classical.error
    assert quantum.queries == int(np.ceil(4.0 / quantum.error))
    assert classical.queries == int(np.ceil((4.0 / quantum.error) ** 2))
    # The same choice by the Gram form of Bayesian linear regression.
    gram = seen @ seen.T + np.diag(errors**2)
    cross = offered @ seen.T
    mean = cross @ np.linalg.solve(gram, estimates)
    variance = np.sum(offered**2, 1) - np.einsum("mn,nm->m", cross, np.linalg.solve(gram, cross.T))
    assert quantum.place == np.argmin(mean - bandit.WIDTH * np.sqrt(variance))
    assert quantum.error == pytest.approx(np.sqrt(variance[quantum.place]), rel=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid_qaoa.table(jnp.ones(4), jnp.ones((5, 5)), (3, 2)), r"`linear` must have shape \(5\)"),
        (lambda: grid_qaoa.table(jnp.ones(5), jnp.ones((4, 5)), (3, 2)), r"`quadratic` must have shape \(5, 5\)"),
        (lambda: grid_qaoa.table(jnp.ones(80), jnp.ones((80, 80)), (20,) * 4 + (0,)), "`number of cells`"),
        (lambda: grid_qaoa.table(jnp.ones(200), jnp.ones((200, 200)), (40,) * 5), "`number of cells` must lie in"),
        (lambda: grid_qaoa.state(jnp.ones(6), (3, 2), 0), "`layers` must be at least 1"),
        (lambda: grid_qaoa.state(jnp.ones(5), (3, 2), 1), r"`energies` must have shape \(6\)"),
        (lambda: grid_qaoa.circuit((1, 1), 1), "`largest axis` must be at least 2"),
        (lambda: grid_qaoa.circuit((2, 1), 0), "`layers` must be at least 1"),
        (lambda: regressor.circuit(0, 1), "`axes` must be at least 1"),
        (lambda: regressor.circuit(1, 0), "`degree` must be at least 1"),
        (lambda: regressor.fitted(None, np.ones((3, 1)), np.ones(2), np.ones((3, 1)), 1), "`losses` must have shape"),
        (lambda: regressor.frozen(None, np.ones((3, 1)), np.ones(2), np.ones((3, 1)), 1), "`losses` must have shape"),
        (
            lambda: regressor.frozen(None, np.ones((3, 1)), np.ones(3), np.ones((3, 1)), 1, 0.0),
            "`penalty` must be above",
        ),
        (
            lambda: bandit.query(np.ones((1, 2)), np.ones(1), np.ones(1), np.ones((1, 2)), 0.0),
            "`sigma` must be above 0",
        ),
        (lambda: bandit.query(np.ones((1, 2)), np.ones(1), np.zeros(1), np.ones((1, 2)), 1.0), "`least error`"),
        (
            lambda: bandit.query(np.ones((1, 2)), np.ones(1), np.ones(1), np.ones((1, 2)), 1.0, 3),
            "`power` must be one of",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_single_valued_axes_change_nothing(key):
    energies = jax.random.normal(key, (6,))
    np.testing.assert_allclose(
        grid_qaoa.state(energies, (1, 3, 2), 2), grid_qaoa.state(energies, (3, 2), 2), atol=SINGLE
    )
