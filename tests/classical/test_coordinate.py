"""Weights chosen one by one, against a network and a search written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import coordinate, perceptron

SIZES = (3, 4, 2, 3)
TOLERANCE = 2e-5


def numpy_loss(layers, x, y):
    for layer in layers[:-1]:
        x = np.maximum(x @ layer[:-1] + layer[-1], 0)
    outputs = x @ layers[-1][:-1] + layers[-1][-1]
    return float(np.mean(np.log(np.exp(outputs).sum(axis=1)) - outputs[np.arange(len(y)), y]))


@pytest.fixture(scope="module")
def network():
    layers = perceptron.init(jax.random.key(1), SIZES)
    # Biases of zero would hide a wrong row.
    layers = tuple(layer.at[-1].set(0.1 * jnp.arange(1, layer.shape[1] + 1)) for layer in layers)
    rng = np.random.default_rng(2)
    return layers, rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 3, 20).astype(np.int32)


@pytest.mark.parametrize(("place", "unit", "row"), [(0, 2, 1), (1, 0, 4), (2, 1, 0)])
def test_candidates_losses_are_those_of_the_changed_network(network, place, unit, row):
    layers, x, y = network
    changes = 0.7 * coordinate.offsets(2)
    found = coordinate.table(
        layers, place, jnp.asarray(unit), jnp.asarray(row), changes, jnp.asarray(x), jnp.asarray(y)
    )
    expected = []
    for change in np.array([-0.7, -0.35, 0.0, 0.35]):
        changed = [np.array(layer) for layer in layers]
        changed[place][row, unit] += change
        expected.append(numpy_loss(changed, x, y))
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_an_exhaustive_sweep_is_the_loop_over_weights(network, key):
    layers, x, y = network
    found, spent = jax.jit(
        lambda key: coordinate.sweep(
            key,
            layers,
            jnp.asarray(x),
            jnp.asarray(y),
            jnp.asarray(0.6),
            choose=coordinate.exhaustive(),
            qubits=3,
            batch=20,
        )
    )(key)
    expected = [np.array(layer) for layer in layers]
    for layer in expected:
        for unit in range(layer.shape[1]):
            for row in range(layer.shape[0]):
                before = layer[row, unit]
                losses = []
                for change in 0.15 * np.arange(-4, 4):
                    layer[row, unit] = before + change
                    losses.append(numpy_loss(expected, x, y))
                layer[row, unit] = before + 0.15 * (np.argmin(losses) - 4)
    for own, layer in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, layer, atol=1e-4)
    assert float(spent.single) == 35 * 7 + 9 and float(spent.coherent) == 0


def test_some_candidates_never_repeat_nor_get_worse(key):
    losses = jnp.array([3.0, 1.0, 2.0, 0.5, 4.0, 6.0, 5.0, 7.0])
    choose = coordinate.some(3)
    places, values, spent = jax.vmap(
        lambda key: choose(key, lambda places: losses[places], 8, jnp.asarray(2), losses[2])
    )(jax.random.split(key, 4000))
    assert set(np.unique(places)) == {1, 2, 3} and float(spent.single[0]) == 3
    np.testing.assert_array_equal(losses[places], values)
    # The least of seven others is among three drawn ones with chance 3 / 7.
    assert float((places == 3).mean()) == pytest.approx(3 / 7, abs=5 * (3 / 7 * 4 / 7 / 4000) ** 0.5)


def test_refuses():
    with pytest.raises(ValueError, match="evaluations"):
        coordinate.some(0)
    with pytest.raises(ValueError, match="qubits"):
        coordinate.offsets(0)
    with pytest.raises(ValueError, match="sizes"):
        perceptron.init(jax.random.key(0), (3,))
