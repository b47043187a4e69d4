import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.quantum import tomography

TOLERANCE = 1e-5
SIGMAS = 5


def vector(size=8, seed=1):
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def test_settings_are_those_of_the_circuits():
    v = vector()
    load = qc.encodings.amplitude(3, real=True)
    angles = qc.encodings.amplitude_angles(jnp.asarray(v), real=True)
    found = np.asarray(tomography.settings(jnp.asarray(v)))
    assert np.allclose(found[0], qc.probabilities(load, angles), atol=TOLERANCE)
    hadamard = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    for q in range(3):
        turned = qc.probabilities(load + qc.Circuit(3, (qc.gate("h", q),)), angles)
        dense = np.kron(np.kron(np.eye(2**q), hadamard), np.eye(2 ** (2 - q))) @ (v / np.linalg.norm(v))
        assert np.allclose(found[1 + q], turned, atol=TOLERANCE)
        assert np.allclose(found[1 + q], dense**2, atol=TOLERANCE)


def test_exact_frequencies_give_the_vector():
    v = vector(16, 2)
    v = v / np.linalg.norm(v)
    anchor = int(abs(v).argmax())
    found = tomography.rebuild(tomography.settings(jnp.asarray(v)), jnp.asarray(anchor), jnp.sign(v[anchor]))
    assert np.allclose(found, v, atol=1e-4)


def test_counts_are_multinomial(key):
    v = vector(4)
    shots, repeats = 50, 2000
    draw = jax.jit(jax.vmap(lambda k: tomography.counts(k, jnp.asarray(v), shots)))
    drawn = np.asarray(draw(jax.random.split(key, repeats)))
    law = np.asarray(tomography.settings(jnp.asarray(v)), dtype=float)
    assert np.allclose(drawn.sum(-1), 1, atol=TOLERANCE)
    assert np.all(abs(drawn.mean(0) - law) < SIGMAS * np.sqrt(law * (1 - law) / shots / repeats) + 1e-9)
    covariance = np.mean((drawn[:, 0, 0] - law[0, 0]) * (drawn[:, 0, 1] - law[0, 1]))
    expected = -law[0, 0] * law[0, 1] / shots
    assert abs(covariance - expected) < SIGMAS / shots / np.sqrt(repeats)


def test_reading_gets_better_with_shots(key):
    items = jnp.asarray(np.random.default_rng(4).normal(size=(60, 8)), dtype=jnp.float32)

    @functools.partial(jax.jit, static_argnums=1)
    def error(key, shots):
        read = jax.vmap(lambda k, v: tomography.read_out(k, v / jnp.linalg.norm(v), shots, v))
        arrived = read(jax.random.split(key, 60), items)
        return jnp.mean(jnp.sum((arrived - items) ** 2, axis=1) / jnp.sum(items**2, axis=1))

    few, many = float(error(key, 100)), float(error(key, 6400))
    assert many < 0.2 * few
    # Magnitudes alone carry (size - 1) / (4 shots); wrong signs of small entries add to it.
    assert 7 / (4 * 6400) / 2 < many < 6 * 7 / (4 * 6400)


def test_wrong_arguments(key):
    with pytest.raises(ValueError, match="shots"):
        tomography.counts(key, jnp.asarray(vector()), 0)
    with pytest.raises(ValueError, match="vector"):
        tomography.read_out(key, jnp.ones(4), 5, jnp.ones(8))
