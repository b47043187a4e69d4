import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.circuits import sampling
from tests.circuits import oracle

SIGMAS = 5


def small():
    circuit = qc.ansatz.hardware_efficient(3, 2)
    return circuit, np.random.default_rng(3).uniform(-2, 2, circuit.n_params)


def test_sample_follows_the_distribution(key):
    circuit, params = small()
    shots = 20_000
    bits = np.asarray(qc.sample(key, circuit, params, shots))
    assert bits.shape == (shots, 3) and set(np.unique(bits)) <= {0, 1}
    counts = np.bincount(bits @ [4, 2, 1], minlength=8)
    p = abs(oracle.pennylane_state(circuit, params)) ** 2
    assert np.all(abs(counts - shots * p) < SIGMAS * np.sqrt(shots * p * (1 - p)) + 1)


def test_draw_never_leaves_the_distribution(key):
    found = sampling.draw(key, jnp.array([0.0, 1e-3, 0.0]), 1000)
    assert set(np.unique(found)) == {1}


@pytest.mark.parametrize("n", [22, 24])
def test_every_bit_of_a_wide_register_has_its_chance_in_single_precision(key, n):
    """Equal chances but for the last bit, which is 0 with a chance of a tenth; any two bits are independent."""
    shots, rare = 40_000, 0.1
    density = jnp.tile(jnp.array([rare, 1 - rare], jnp.float32) * 2.0 ** (1 - n), 2 ** (n - 1))
    bits = np.asarray(sampling.unpack(jax.jit(sampling.draw, static_argnums=2)(key, density, shots), n), float)
    chance = np.full(n, 0.5)
    chance[-1] = 1 - rare
    assert np.all(abs(bits.mean(0) - chance) < SIGMAS * np.sqrt(chance * (1 - chance) / shots))
    scaled = (bits - chance) / np.sqrt(chance * (1 - chance))
    assert np.all(abs(scaled.T @ scaled / shots - np.eye(n))[~np.eye(n, dtype=bool)] < SIGMAS / np.sqrt(shots))


@pytest.mark.parametrize("size", [1, 3, 700])
def test_draws_follow_a_distribution_of_any_length_in_a_batch(key, size):
    shots, rows = 20_000, np.random.default_rng(size).uniform(0, 1, (2, size)) ** 3
    with jax.enable_x64(True):
        run = jax.vmap(lambda k, p: sampling.draw(k, p, shots))
        found = np.asarray(run(jax.random.split(key), jnp.asarray(rows)))
    for row, drawn in zip(rows, found, strict=True):
        p = row / row.sum()
        counts = np.bincount(drawn, minlength=size)
        assert np.all(abs(counts - shots * p) < SIGMAS * np.sqrt(shots * p * (1 - p)) + 1)


@pytest.mark.parametrize("gradient", ["shift", "score"])
def test_estimate_has_the_right_mean_and_variance(key, gradient):
    circuit, params = small()
    observable = qc.z(0) + 0.5 * qc.pauli("XY", (1, 2)) - 0.8 * qc.pauli("ZZ", (1, 2))
    assert sampling.groups(observable) == ((0, 1), (2,))
    shots, runs = 50, 1500
    f = jax.value_and_grad(lambda p, k: qc.estimate(k, circuit, p, observable, shots, gradient))
    values, slopes = jax.jit(jax.vmap(f, (None, 0)))(jnp.asarray(params, jnp.float32), jax.random.split(key, runs))
    exact = oracle.value(circuit, params, observable)
    psi = oracle.pennylane_state(circuit, params)

    def spread(o):
        matrix = oracle.dense(o, 3)
        return np.vdot(psi, matrix @ matrix @ psi).real - np.vdot(psi, matrix @ psi).real ** 2

    variance = (spread(qc.z(0) + 0.5 * qc.pauli("XY", (1, 2))) + spread(-0.8 * qc.pauli("ZZ", (1, 2)))) / shots
    values = np.asarray(values, float)
    assert abs(values.mean() - exact) < SIGMAS * np.sqrt(variance / runs)
    assert abs(values.var() / variance - 1) < SIGMAS * np.sqrt(2 / runs) * 1.5
    slopes = np.asarray(slopes, float)
    for k, unit in enumerate(np.eye(len(params))):
        expected = oracle.slope(lambda p: oracle.value(circuit, p, observable), params, unit)
        assert abs(slopes[:, k].mean() - expected) < SIGMAS * slopes[:, k].std() / np.sqrt(runs) + 1e-4


def test_shift_estimate_of_one_angle_has_the_shift_rules_variance(key):
    """<Z> after RY(t): the shifted values are -+ sin t, so each of the two evaluations has variance cos^2 t / shots."""
    circuit, t, shots, runs = qc.encodings.angle(1), 0.7, 100, 4000
    f = jax.grad(lambda p, k: qc.estimate(k, circuit, p, qc.z(0), shots)[()])
    slopes = np.asarray(jax.jit(jax.vmap(f, (None, 0)))(jnp.array([t]), jax.random.split(key, runs)), float)
    variance = 2 * np.cos(t) ** 2 / shots / 4
    assert abs(slopes.var() / variance - 1) < SIGMAS * np.sqrt(2 / runs) * 1.2


def test_coefficients_get_the_shots_gradient(key):
    circuit, params = small()
    f = lambda c: qc.estimate(key, circuit, params, qc.Observable(["ZII", "IZI"], c), 200)  # noqa: E731
    c = jnp.array([0.4, -1.3])
    np.testing.assert_allclose(jax.grad(f)(c) @ c, f(c), rtol=0, atol=1e-5)


@pytest.mark.parametrize("gradient", ["shift", "score"])
def test_a_state_gets_no_gradient(key, gradient):
    circuit, params = small()
    value = lambda p, re: qc.estimate(key, circuit, p, qc.z(0), 50, gradient, jax.lax.complex(re, 0 * re))  # noqa: E731
    slopes = jax.grad(value, (0, 1))(jnp.asarray(params), jnp.eye(8)[3])
    assert np.any(slopes[0]) and not np.any(slopes[1])


def test_shift_has_no_forward_mode(key):
    circuit, params = small()
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda p: qc.estimate(key, circuit, p, qc.z(0), 50), (jnp.asarray(params),), (jnp.ones(len(params)),))


def test_a_measured_bell_pair_collapses(key):
    circuit = qc.Circuit(2, (qc.gate("ry", 0, qc.Angle(0)), qc.gate("cx", (0, 1)), qc.Measure(0, 0), qc.Measure(1, 1)))
    runs, t = 4000, 0.8
    states, bits = jax.jit(jax.vmap(lambda k: qc.trajectory(k, circuit, jnp.array([t]))))(jax.random.split(key, runs))
    bits = np.asarray(bits)
    assert np.array_equal(bits[:, 0], bits[:, 1])
    p = np.sin(t / 2) ** 2
    assert abs(bits[:, 0].mean() - p) < SIGMAS * np.sqrt(p * (1 - p) / runs)
    expected = np.where(bits[:, :1] == 1, np.eye(4)[3], np.eye(4)[0])
    np.testing.assert_allclose(abs(np.asarray(states)), expected, rtol=0, atol=1e-5)


def test_teleportation_with_conditions_and_reset(key):
    """The unknown state of wire 0 arrives on wire 2 whatever the outcomes; wire 0 is reset afterwards."""
    prepare = (qc.gate("ry", 0, qc.Angle(0)), qc.gate("rz", 0, qc.Angle(1)))
    ops = (
        *prepare,
        qc.gate("h", 1),
        qc.gate("cx", (1, 2)),
        qc.gate("cx", (0, 1)),
        qc.gate("h", 0),
        qc.Measure(0, 0),
        qc.Measure(1, 1),
        qc.Conditional(qc.gate("x", 2), (1,)),
        qc.Conditional(qc.gate("z", 2), (0,)),
        qc.Reset(0),
        qc.Reset(1),
    )
    params = jnp.array([0.9, -1.3])
    states, bits = jax.jit(jax.vmap(lambda k: qc.trajectory(k, qc.Circuit(3, ops), params)))(jax.random.split(key, 64))
    sent = oracle.pennylane_state(qc.Circuit(1, prepare), np.asarray(params))
    fidelity = abs(np.asarray(states)[:, :2] @ sent.conj()) ** 2
    np.testing.assert_allclose(fidelity, 1.0, rtol=0, atol=1e-5)
    assert len({tuple(row) for row in np.asarray(bits)}) == 4


def test_a_loop_that_measures_and_a_condition_on_zero(key):
    body = qc.Circuit(1, (qc.gate("ry", 0, qc.Angle(0)), qc.Measure(0, 0), qc.Reset(0)))
    circuit = qc.repeat(body, 2) + qc.Circuit(1, (qc.Conditional(qc.gate("x", 0), (0,), (0,)), qc.gate("id", 0)))
    psi, bits = qc.trajectory(key, circuit, jnp.array([0.4, np.pi]))
    assert bits.tolist() == [1]
    np.testing.assert_allclose(abs(np.asarray(psi)), [1, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("gradient", ["shift", "score"])
def test_nan_parameters_surface_in_shots(key, gradient):
    circuit, params = small()
    lost = jnp.asarray(params).at[1].set(jnp.nan)
    value, slope = jax.value_and_grad(lambda p: qc.estimate(key, circuit, p, qc.pauli("XZ", (0, 1)), 9, gradient))(lost)
    assert jnp.isnan(value) and jnp.isnan(slope).any()
    assert set(np.asarray(qc.sample(key, circuit, lost, 9)).ravel()) == {-1}


def test_nan_parameters_surface_in_measured_bits(key):
    circuit = qc.Circuit(1, (qc.gate("ry", 0, qc.Angle(0)), qc.Measure(0, 0), qc.Reset(0)))
    psi, bits = qc.trajectory(key, circuit, jnp.array([jnp.nan]))
    assert bits.tolist() == [-1] and jnp.isnan(psi).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k, c, p: qc.sample(k, c, p, 0), "`shots` must be at least 1"),
        (lambda k, c, p: qc.estimate(k, c, p, qc.z(0), 0), "`shots` must be at least 1"),
        (lambda k, c, p: qc.estimate(k, c, p, qc.z(0), 1, "guess"), "`gradient` must be one of"),
        (lambda k, c, p: qc.estimate(k, c, p, qc.z(5), 1), "out of range"),
        (lambda k, c, p: qc.trajectory(k, c, p[:2]), "must hold 12 numbers"),
    ],
)
def test_bad_input(key, make, message):
    circuit, params = small()
    with pytest.raises(ValueError, match=message):
        make(key, circuit, params)
