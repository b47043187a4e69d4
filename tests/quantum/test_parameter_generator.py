import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from qgen.quantum import parameter_generator
from qgen.quantum.parameter_generator import Config

SMALL = Config(weights=50, chunk=8, layers=2, hidden=5, shots=200_000)


def started(config, seed=0):
    params = parameter_generator.init(jax.random.key(seed), config)
    return params | {"outer": 0.3 * jax.random.normal(jax.random.key(seed + 1), params["outer"].shape)}


def reference(config, params):
    """PennyLane's distribution and numpy's network."""
    n = config.n_qubits
    angles = np.asarray(params.get("angles", np.zeros(config.layers * n)), float).reshape(config.layers, n)

    @qml.qnode(qml.device("default.qubit", wires=n))
    def run():
        for layer in range(config.layers):
            if layer and config.source != "product":
                for wire in range(n if n > 2 else 1):
                    qml.CZ((wire, (wire + 1) % n))
            for wire in range(n):
                qml.RY(angles[layer, wire], wire)
        return qml.probs()

    p = np.asarray(run())
    bits = np.array([[1 - 2 * int(c) for c in np.binary_repr(i, n)] for i in range(2**n)])
    levels = [] if config.source == "bits" else [np.tanh(2**n * p - 1)[:, None]]
    inputs = np.concatenate([bits, *levels], axis=1)
    inner = np.tanh(inputs @ np.asarray(params["inner"]) + np.asarray(params["bias"]))
    return (inner @ np.asarray(params["outer"])).reshape(-1)[: config.weights]


@pytest.mark.parametrize(
    ("source", "tolerance"), [("circuit", 0.05), ("product", 0.05), ("exact", 1e-4), ("bits", 1e-4)]
)
def test_weights_are_those_of_the_distribution(source, tolerance):
    config = Config(**{**SMALL.__dict__, "source": source})
    assert config.n_qubits == 3
    params = started(config)
    made = parameter_generator.weights(jax.random.key(5), params, config)
    # From shots: tanh(8 p - 1) of shares from 200,000 of them, through weights of order one.
    np.testing.assert_allclose(made, reference(config, params), atol=tolerance)
    assert parameter_generator.size(config) == sum(leaf.size for leaf in params.values())


@pytest.mark.parametrize("source", ["circuit", "exact"])
def test_gradient_reaches_every_angle(source):
    made = Config(**{**SMALL.__dict__, "source": source})
    params = started(made)
    key, goal = jax.random.key(3), jnp.linspace(-1, 1, SMALL.weights)

    def loss(params):
        return jnp.mean((parameter_generator.weights(key, params, made) - goal) ** 2)

    slopes = jax.jit(jax.grad(loss))(params)["angles"]
    differences = []
    for place in range(len(params["angles"])):
        values = []
        for step in (0.05, -0.05):
            moved = params | {"angles": params["angles"].at[place].add(step)}
            values.append(np.mean((reference(made, moved) - np.asarray(goal)) ** 2))
        differences.append((values[0] - values[1]) / 0.1)
    np.testing.assert_allclose(slopes, differences, atol=0.02)
    assert float(jnp.linalg.norm(slopes)) > 0.02


def test_fresh_parameters_generate_nothing_and_sources_differ():
    key = jax.random.key(0)
    for source in parameter_generator.SOURCES:
        config = Config(**{**SMALL.__dict__, "source": source, "shots": 100})
        fixed = parameter_generator.random_distribution(key, config)
        assert abs(float(fixed.sum()) - 1) < 1e-5
        fresh = parameter_generator.weights(key, parameter_generator.init(key, config), config, fixed)
        np.testing.assert_array_equal(fresh, np.zeros(50))
        params = started(config)
        assert ("angles" in params) == config.has_circuit
        made = parameter_generator.weights(key, params, config, fixed)
        assert made.shape == (50,) and float(jnp.abs(made).max()) > 0.05
        again = parameter_generator.weights(jax.random.key(1), params, config, fixed)
        assert bool(jnp.all(made == again)) == (source not in ("circuit", "product"))


def test_resources_count_the_parameter_shifts():
    used = parameter_generator.resources(SMALL, steps=4)
    assert sum(item.circuits for item in used) == 4 * (1 + 2 * 6) + 1
    assert sum(item.shots for item in used) == (4 * (1 + 2 * 6) + 1) * SMALL.shots
    more = parameter_generator.resources(SMALL, steps=4, read_outs=3)
    assert sum(item.shots for item in more) == sum(item.shots for item in used) + 2 * SMALL.shots
    assert parameter_generator.resources(Config(50, source="fixed"), steps=4) == ()


def test_refusals():
    with pytest.raises(ValueError, match="`weights`"):
        Config(0)
    with pytest.raises(ValueError, match="`source`"):
        Config(5, source="oracle")
    config = Config(50, source="fixed")
    with pytest.raises(ValueError, match="`fixed`"):
        parameter_generator.weights(jax.random.key(0), started(config), config)
