import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.quantum import mps_loader

TOLERANCE = 2e-5


def vector(size, seed=0):
    return np.random.default_rng(seed).normal(size=size)


def truncated(v, bond):
    """The state after one right-to-left sweep of truncated SVDs, in numpy's double precision, from the definition."""
    n = int(np.log2(len(v)))
    v = v / np.linalg.norm(v)
    for cut in range(n - 1, 0, -1):
        left, strength, right = np.linalg.svd(v.reshape(2**cut, -1), full_matrices=False)
        v = ((left[:, :bond] * strength[:bond]) @ right[:bond]).reshape(-1)
    return v / np.linalg.norm(v)


def dense(gates, n):
    """The loader's state by Kronecker products: the layer found last acts first."""
    state = np.eye(2**n)[0]
    for layer in gates[::-1]:
        for j, gate in enumerate(layer):
            state = np.kron(np.kron(np.eye(2**j), gate), np.eye(2 ** (n - j - 2))) @ state
    return state


@pytest.mark.parametrize("n", [2, 3, 4])
def test_one_layer_is_the_truncated_state(n):
    v = vector(2**n, seed=n)
    gates = np.asarray(jax.jit(mps_loader.disentangle, static_argnums=1)(jnp.asarray(v, dtype=jnp.float32), 1))
    assert np.allclose(np.einsum("lgab,lgcb->lgac", gates, gates), np.eye(4), atol=TOLERANCE)
    assert np.allclose(np.linalg.det(gates), 1, atol=TOLERANCE)
    assert abs(dense(gates, n) @ truncated(v, 2)) == pytest.approx(1, abs=TOLERANCE)


def test_the_circuit_prepares_what_the_gates_say():
    n, layers = 3, 2
    gates = mps_loader.disentangle(jnp.asarray(vector(8, seed=9), dtype=jnp.float32), layers)
    circuit = mps_loader.circuit(n, layers)
    state = qc.apply(circuit, mps_loader.angles(gates))
    assert circuit.n_params == mps_loader.ANGLES * layers * (n - 1)
    assert np.allclose(state, dense(np.asarray(gates), n), atol=TOLERANCE)
    assert qc.count(circuit).gates_2q == 2 * layers * (n - 1)


def test_layers_raise_the_fidelity():
    v = vector(16, seed=3)
    v = v / np.linalg.norm(v)
    found = []
    for layers in (1, 2, 3):
        gates = jax.jit(mps_loader.disentangle, static_argnums=1)(jnp.asarray(v, dtype=jnp.float32), layers)
        found.append((dense(np.asarray(gates), 4) @ v) ** 2)
    assert found[0] == pytest.approx((truncated(v, 2) @ v) ** 2, abs=TOLERANCE)
    assert found[0] < found[1] < found[2]
    assert found[2] > 0.98


def test_a_product_vector_needs_no_entanglement():
    v = np.array([1.0])
    for seed in range(4):
        v = np.kron(v, vector(2, seed))
    state = qc.apply(qc.encodings.angle(4), mps_loader.product_angles(jnp.asarray(v, dtype=jnp.float32)))
    assert abs(np.asarray(state).real @ v) / np.linalg.norm(v) == pytest.approx(1, abs=TOLERANCE)


def test_product_angles_are_the_bond_dimension_one_state():
    v = vector(16, seed=5)
    state = np.asarray(
        qc.apply(qc.encodings.angle(4), mps_loader.product_angles(jnp.asarray(v, dtype=jnp.float32)))
    ).real
    assert abs(state @ truncated(v, 1)) == pytest.approx(1, abs=TOLERANCE)


def test_exact_loading_costs_two_to_the_n_minus_two():
    assert qc.count(qc.encodings.amplitude(4, real=True)).gates_2q == 2**4 - 2


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: mps_loader.disentangle(jnp.ones(6), 1), "vector"),
        (lambda: mps_loader.disentangle(jnp.ones(2), 1), "vector"),
        (lambda: mps_loader.disentangle(jnp.ones(8), 0), "layers"),
        (lambda: mps_loader.circuit(1, 1), "qubits"),
        (lambda: mps_loader.circuit(3, 0), "layers"),
    ],
)
def test_wrong_arguments(call, word):
    with pytest.raises(ValueError, match=word):
        call()
