"""Rotations by Pauli words that flip many bits against PennyLane's default.qubit."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.circuits.lowering import lower
from tests.circuits import oracle
from tests.circuits.test_program import kinds
from tests.circuits.test_properties import ATOL, GRADIENT_ATOL

BATCH_ATOL = {"float32": 2e-5, "float64": 1e-12}


def some_angle(rng, n_params):
    return qc.Angle(int(rng.integers(n_params)), float(rng.uniform(0.5, 1.5)), float(rng.uniform(-1, 1)))


def test_words_of_many_flips_are_stages_of_their_own():
    def stages(*words):
        ops = [qc.pauli_rotation(word, range(len(word)), qc.Angle(k)) for k, word in enumerate(words)]
        return kinds(lower(qc.Circuit(4, tuple(ops))).stages)

    assert stages("XYZX") == ["Mirror"]
    assert stages("YYY", "XXY") == ["Mirror", "Mirror"]
    assert stages("XXX", "XXX") == ["Phases", "Mirror", "Mirror", "Phases"]  # as RX: constants between them cancel
    assert stages("XX") == ["Turns", "Phases", "Turns"]
    assert stages("Y", "IY") == ["Turns"]
    data = qc.Circuit(3, (qc.pauli_rotation("XYY", range(3), qc.Angle(0)), qc.gate("ry", 0, qc.Angle(1))))
    assert "Mirror" not in str(kinds(lower(qc.repeat(data, 2, shared=1)).stages))  # a batch of data stays in phases


@pytest.mark.parametrize("n", [3, 5, 7])
def test_rotations_by_any_word_from_any_state(n, each_engine):
    """Flips inside a vector, outside and across, one state at a time and a batch."""
    rng = np.random.default_rng(n)
    ops = []
    for letters in itertools.product("XY", repeat=3):
        word = "".join(letters) + "".join(rng.choice(list("IXYZ"), n - 3))
        ops.append(qc.pauli_rotation(word, [int(q) for q in rng.permutation(n)], some_angle(rng, 4)))
    circuit = qc.Circuit(n, (*ops, qc.pauli_rotation("X" * n, range(n), some_angle(rng, 4))))
    state, target = oracle.random_state(rng, n), oracle.random_state(rng, n)
    params, direction = rng.uniform(-2, 2, (5, 4)), rng.normal(size=4)
    exact = lambda p: np.real(np.vdot(target, oracle.pennylane_state(circuit, p, state)))  # noqa: E731
    expected = [(exact(row), oracle.slope(exact, row, direction)) for row in params]
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            given = jnp.asarray(params, dtype)

            def overlap(p):
                found = qc.apply(circuit, p, state=jnp.asarray(state), engine=each_engine)
                return jnp.real(jnp.vdot(jnp.asarray(target), found))

            run = jax.value_and_grad(overlap)
            alone, (values, gradients) = jax.jit(run)(given[0]), jax.jit(jax.vmap(run))(given)
            alone, values, gradients = jax.tree.map(np.asarray, (alone, values, gradients))
        for (value, slope), found, gradient in zip(expected, values, gradients, strict=True):
            np.testing.assert_allclose(found, value, rtol=0, atol=2 * ATOL[dtype])
            np.testing.assert_allclose(gradient @ direction, slope, rtol=0, atol=4 * GRADIENT_ATOL[dtype])
        np.testing.assert_allclose(alone[0], values[0], rtol=0, atol=BATCH_ATOL[dtype])
        np.testing.assert_allclose(alone[1], gradients[0], rtol=0, atol=BATCH_ATOL[dtype])
