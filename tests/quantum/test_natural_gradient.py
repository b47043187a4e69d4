import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen import method
from qgen.quantum import natural_gradient as ng

STEP_TOLERANCE = 2e-3
ENERGY_TOLERANCE = 1e-3

X = np.array([[0, 1], [1, 0]])
Y = np.array([[0, -1j], [1j, 0]])
Z = np.diag([1, -1])
ENERGY = 0.7 * np.kron(Z, np.eye(2)) - 0.4 * np.kron(np.eye(2), Z) + 0.9 * np.kron(X, X)


def ansatz():
    angles = [qc.Angle(k) for k in range(4)]
    ops = (qc.gate("ry", 0, angles[0]), qc.gate("ry", 1, angles[1]), qc.gate("cx", (0, 1)))
    return qc.Circuit(2, (*ops, qc.gate("ry", 0, angles[2]), qc.gate("rz", 1, angles[3])))


def dense(params):
    """The state of `ansatz` by Kronecker products in double precision."""

    def turn(generator, angle):
        return np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * generator

    controlled = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    first = np.kron(turn(Y, params[0]), turn(Y, params[1]))
    second = np.kron(turn(Y, params[2]), turn(Z, params[3]))
    return (second @ controlled @ first)[:, 0]


def cost(params, problem):
    psi = qc.apply(ansatz(), params)
    return jnp.real(psi.conj() @ (problem @ psi))


def finite_metric(params, width=1e-4):
    rows = [(dense(params + width * e) - dense(params - width * e)) / (2 * width) for e in np.eye(len(params))]
    rows, psi = np.array(rows).T, dense(params)
    overlap = psi.conj() @ rows
    return np.real(rows.conj().T @ rows - np.outer(overlap.conj(), overlap))


def test_direction_solves_the_damped_system():
    generator = np.random.default_rng(3)
    root = generator.normal(size=(5, 3))
    metric, gradient = root @ root.T, generator.normal(size=5)
    found = ng.direction(jnp.asarray(metric, jnp.float32), jnp.asarray(gradient, jnp.float32), 0.1)
    np.testing.assert_allclose(found, np.linalg.solve(metric + 0.1 * np.eye(5), gradient), rtol=STEP_TOLERANCE)


def test_one_step_is_the_formula_of_finite_differences(key):
    params = np.array([0.4, -0.9, 1.3, 0.6])
    solver = ng.natural_gradient(cost, ansatz(), learning_rate=0.3, damping=0.05, kind="full")
    state, info = jax.jit(solver.step)(
        key, ng.State(jnp.asarray(params, jnp.float32)), jnp.asarray(ENERGY, jnp.complex64)
    )

    def energy(p):
        return np.real(dense(p).conj() @ ENERGY @ dense(p))

    gradient = np.array([(energy(params + 1e-5 * e) - energy(params - 1e-5 * e)) / 2e-5 for e in np.eye(4)])
    change = np.linalg.solve(finite_metric(params) + 0.05 * np.eye(4), gradient)
    np.testing.assert_allclose(state.params, params - 0.3 * change, atol=STEP_TOLERANCE)
    assert float(info.loss) == pytest.approx(energy(params), abs=STEP_TOLERANCE)
    assert float(info.aux) == pytest.approx(np.linalg.norm(gradient), abs=STEP_TOLERANCE)


@pytest.mark.parametrize("kind", ["full", "block", "diagonal"])
def test_it_finds_the_ground_state(key, kind):
    solver = ng.natural_gradient(cost, ansatz(), learning_rate=0.1, damping=0.02, kind=kind, spread=0.4)
    run = jax.jit(lambda key, problem: method.run(solver, key, problem, 150))(key, jnp.asarray(ENERGY, jnp.complex64))
    assert bool(run.info.ok.all())
    assert float(run.info.loss[-1]) == pytest.approx(np.linalg.eigvalsh(ENERGY)[0], abs=ENERGY_TOLERANCE)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="`kind` must be one of"):
        ng.natural_gradient(cost, ansatz(), learning_rate=0.1, kind="blocks")
