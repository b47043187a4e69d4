"""The circuit policy against PennyLane; its shot noise, its controls and its counts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen.quantum import policy
from qgen.quantum.policy import Design

FLOAT32 = 2e-5
X = np.array([0.4, -1.1, 0.7])
DESIGN = Design(3, 2, 2)


def pennylane(design, params, x):
    n = design.n_qubits

    @qml.qnode(qml.device("default.qubit", wires=n))
    def run():
        for angles, scalings in zip(params["angles"], params["scalings"], strict=True):
            for wire in range(n):
                qml.RY(angles[wire], wire)
                qml.RZ(angles[n + wire], wire)
            for wire in range(n if design.entangled else 0):
                qml.CZ((wire, (wire + 1) % n))
            for wire in range(n):
                qml.RX(scalings[wire] * x[wire], wire)
        for wire in range(n):
            qml.RY(params["last"][wire], wire)
        if design.words == "parity":
            return [qml.expval(qml.prod(*(qml.PauliZ(wire) for wire in range(n))))]
        return [qml.expval(qml.PauliZ(wire)) for wire in range(n)]

    return params["weights"] @ np.array(run()) + params["bias"]


def started(design, seed=0):
    params = policy.init(jax.random.key(seed), design)
    params["scalings"] = params["scalings"] + 0.3 * jax.random.normal(jax.random.key(5), params["scalings"].shape)
    return params | {"bias": jnp.linspace(-0.2, 0.3, design.outputs)}


@pytest.mark.parametrize("changes", [{}, {"words": "parity", "outputs": 3}, {"entangled": False}])
def test_outputs_are_pennylanes(changes):
    design = dataclasses.replace(DESIGN, **changes)
    params = started(design)
    wide = {name: np.asarray(leaf, float) for name, leaf in params.items()}
    made = jax.jit(policy.outputs, static_argnames="design")(jax.random.key(0), params, design, jnp.asarray(X))
    np.testing.assert_allclose(made, pennylane(design, wide, X), atol=FLOAT32)
    assert policy.size(design) == sum(leaf.size for leaf in params.values()) == policy.trained(design)


@pytest.fixture(scope="module")
def noisy():
    """Values and slopes of one output over many keys, at 200 shots and exact."""
    params = started(DESIGN)

    def graded(key, design):
        def first(params):
            return policy.outputs(key, params, design, jnp.asarray(X))[0]

        return jax.value_and_grad(first)(params)

    shots = dataclasses.replace(DESIGN, shots=200)
    keys = jax.random.split(jax.random.key(1), 4000)
    drawn = jax.jit(lambda keys: jax.vmap(lambda key: graded(key, shots))(keys))(keys)
    exact = jax.jit(lambda: graded(keys[0], DESIGN))()
    values = jax.jit(lambda: policy.measured(DESIGN, keys[0], _vector(params)))()
    return params, drawn, exact, np.asarray(values)


def _vector(params):
    layers = jnp.concatenate([params["angles"], params["scalings"] * jnp.asarray(X)[None, :]], axis=1)
    return jnp.concatenate([layers.reshape(-1), params["last"]])


def test_values_have_the_variance_of_their_shots(noisy):
    params, (values, _), (exact, _), words = noisy
    weights = np.asarray(params["weights"][0])
    wanted = np.sqrt(np.sum(weights**2 * (1 - words**2) / 200))
    assert abs(values.mean() - exact) < 5 * wanted / np.sqrt(len(values))
    assert abs(values.std() / wanted - 1) < 5 / np.sqrt(2 * len(values))


def test_slopes_are_right_in_the_mean_and_bounded_in_spread(noisy):
    params, (_, slopes), (_, exact), _ = noisy
    wanted = float(np.abs(params["weights"][0]).sum() / np.sqrt(400))
    for name in ("angles", "last"):
        drawn = np.asarray(slopes[name]).reshape(4000, -1)
        assert np.abs(drawn.mean(0) - np.asarray(exact[name]).reshape(-1)).max() < 5 * wanted / np.sqrt(4000)
        np.testing.assert_allclose(drawn.std(0), wanted, rtol=5 / np.sqrt(8000))
    # A scaling's slope is that of its angle times the feature.
    np.testing.assert_allclose(np.asarray(slopes["scalings"]).std(0)[0], wanted * np.abs(X), rtol=5 / np.sqrt(8000))
    assert float(jnp.abs(exact["angles"]).max()) > 0.01


def test_a_frozen_circuit_learns_its_output_weights_alone():
    design = dataclasses.replace(DESIGN, frozen=True)
    params = started(design)
    slopes = jax.jit(jax.grad(lambda p: policy.outputs(jax.random.key(0), p, design, jnp.asarray(X)).sum()))(params)
    assert all(float(jnp.abs(slopes[name]).max()) == 0 for name in ("angles", "last", "scalings"))
    assert float(jnp.abs(slopes["weights"]).min()) > 0
    assert policy.trained(design) == 2 * (3 + 1)


def test_resources_count_every_shifted_circuit():
    design = dataclasses.replace(DESIGN, shots=10)
    (used,) = policy.resources(design, evaluated=7, learned=4)
    circuits = 7 + 4 * (1 + 2 * (2 * 3 * 3 + 3))
    assert used.circuits == circuits and used.shots == 10 * circuits
    (frozen,) = policy.resources(dataclasses.replace(design, frozen=True), evaluated=7, learned=4)
    assert frozen.circuits == 7 + 4
    assert policy.resources(DESIGN, 7, 4) == ()


def test_refusals():
    for name in ("n_qubits", "layers", "outputs"):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1"):
            dataclasses.replace(DESIGN, **{name: 0})
    with pytest.raises(ValueError, match="`shots` must be at least 0"):
        dataclasses.replace(DESIGN, shots=-1)
    with pytest.raises(ValueError, match="`words` must be one of: parity, local"):
        dataclasses.replace(DESIGN, words="global")
    with pytest.raises(ValueError, match="`x` must have shape"):
        policy.outputs(jax.random.key(0), started(DESIGN), DESIGN, jnp.zeros(4))
