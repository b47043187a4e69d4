"""Channels against PennyLane's operators, growth against powers of matrices, trajectories against default.mixed."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
import scipy.linalg

from qgen import circuits as qc
from qgen.circuits import noise
from qgen.circuits.engine import native
from qgen.circuits.noise import CHANNELS, Channel, NoiseModel

DOUBLE = 1e-12
SIGMAS = 5.0

STRENGTHS = {
    "bit_flip": (0.13,),
    "phase_flip": (0.21,),
    "bit_phase_flip": (0.34,),
    "depolarising": (0.17,),
    "depolarising_2q": (0.23,),
    "pauli": (0.05, 0.11, 0.2),
    "amplitude_damping": (0.27,),
    "generalised_amplitude_damping": (0.31, 0.8),
    "phase_damping": (0.19,),
    "reset": (0.12, 0.3),
    "thermal_relaxation": (0.4, 1.3, 0.9, 0.15),
}


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def choi(kraus) -> np.ndarray:
    """sum_k vec(K_k) vec(K_k)^dagger: two lists of Kraus operators are one channel if and only if these agree."""
    rows = np.asarray(kraus).reshape(len(kraus), -1)
    return rows.T @ rows.conj()


def reference(name: str, s: tuple[float, ...]) -> list[np.ndarray]:
    """The channel's Kraus operators by PennyLane, or by the formula where PennyLane has no such channel."""
    paulis = [np.eye(2), qml.X.compute_matrix(), qml.Y.compute_matrix(), qml.Z.compute_matrix()]
    if name == "depolarising_2q":
        words = [np.kron(a, b) for a in paulis for b in paulis]
        return [math.sqrt(1 - s[0]) * words[0]] + [math.sqrt(s[0] / 15) * word for word in words[1:]]
    if name == "bit_phase_flip":
        return [math.sqrt(1 - s[0]) * paulis[0], math.sqrt(s[0]) * paulis[2]]
    if name == "pauli":
        weights = (1 - sum(s), *s)
        return [math.sqrt(w) * p for w, p in zip(weights, paulis, strict=True)]
    if name == "thermal_relaxation":
        time, t1, t2, excited = s
        return qml.ThermalRelaxationError.compute_kraus_matrices(excited, t1, t2, time)
    names = {
        "bit_flip": "BitFlip",
        "phase_flip": "PhaseFlip",
        "depolarising": "DepolarizingChannel",
        "amplitude_damping": "AmplitudeDamping",
        "generalised_amplitude_damping": "GeneralizedAmplitudeDamping",
        "phase_damping": "PhaseDamping",
        "reset": "ResetError",
    }
    return getattr(qml, names[name]).compute_kraus_matrices(*s)


@pytest.mark.parametrize("name", CHANNELS)
def test_kraus_operators(name):
    np.testing.assert_allclose(
        choi(Channel(name, STRENGTHS[name]).kraus()), choi(reference(name, STRENGTHS[name])), atol=DOUBLE
    )


def test_thermal_relaxation_with_t2_above_t1():
    s = (0.4, 1.3, 2.1, 0.15)
    np.testing.assert_allclose(
        choi(Channel("thermal_relaxation", s).kraus()), choi(reference("thermal_relaxation", s)), atol=DOUBLE
    )


@pytest.mark.parametrize("name", CHANNELS)
def test_growth_is_a_power_of_the_superoperator(name):
    def superoperator(strengths):
        return sum(np.kron(k, np.conj(k)) for k in np.asarray(Channel(name, STRENGTHS[name]).kraus(strengths)))

    channel = Channel(name, STRENGTHS[name])
    expected = scipy.linalg.fractional_matrix_power(superoperator(channel.strengths), 1.7)
    grown = jnp.stack([jnp.asarray(s) for s in channel.grow(1.7)])
    np.testing.assert_allclose(superoperator(grown), expected, atol=1e-10)


@pytest.mark.parametrize("name", CHANNELS)
def test_strengths_are_traceable_and_smooth_at_zero(name):
    s = np.array(STRENGTHS[name])
    zero = s.copy()
    zero[0] = 0.0
    rho = np.array([[0.6, 0.2 - 0.3j], [0.2 + 0.3j, 0.4]])
    rho = rho if CHANNELS[name].wires == 1 else np.kron(rho, rho)
    probe = np.diag(np.arange(1.0, len(rho) + 1)) + 0.3 * np.ones_like(rho)

    def value(strengths):
        weights, operators = Channel(name, STRENGTHS[name]).terms(strengths)
        return jnp.einsum("k,kab,bc,kdc,da->", weights, operators, rho, operators.conj(), probe).real

    for point in (s, zero):
        gradient = jax.grad(value)(jnp.asarray(point))
        step = 1e-6
        ends = [value(jnp.asarray(point + sign * step * np.eye(len(s))[0])) for sign in (1, -1)]
        np.testing.assert_allclose(gradient[0], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-7)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Channel("bitflip", (0.1,)), "Did you mean 'bit_flip'"),
        (lambda: Channel("bit_flip", (1.2,)), r"`p` must lie in \[0.0, 1.0\], but is 1.2"),
        (lambda: Channel("bit_flip", (math.nan,)), "`p` must lie in"),
        (lambda: Channel("reset", (0.1,)), "takes p0, p1"),
        (lambda: Channel("reset", (0.7, 0.6)), r"p0 \+ p1 of at most 1"),
        (lambda: Channel("pauli", (0.5, 0.4, 0.3)), "of at most 1"),
        (lambda: Channel("thermal_relaxation", (-1.0, 1.0, 1.0, 0.0)), "`time_s` must be at least 0"),
        (lambda: Channel("thermal_relaxation", (1.0, 1.0, 2.5, 0.0)), "t2_s <= 2 t1_s"),
        (lambda: Channel("kraus"), "needs operators"),
        (lambda: Channel("reset", (0.1, 0.1), ((1, 0, 0, 1),)), "takes no operators"),
        (lambda: noise.kraus(np.eye(3)[None]), r"must have shape \(terms, 2, 2\)"),
        (lambda: noise.kraus(0.9 * np.eye(2)[None]), "preserve the trace"),
        (lambda: noise.kraus(np.eye(2)[None]).grow(2.0), "no known generator"),
        (lambda: NoiseModel(after_1q=(Channel("depolarising_2q", (0.1,)),)), "does not fit `after_1q`"),
        (lambda: NoiseModel(noiseless=("rzx",)), "`noiseless` must be one of"),
        (lambda: NoiseModel(readout=((0.9, 0.2), (0.2, 0.8))), "add to 1"),
        (lambda: NoiseModel(readout=((1.0,),)), r"must have shape \(2, 2\)"),
        (lambda: NoiseModel().split(np.zeros(2)), r"`strengths` must have shape \(0\)"),
        (lambda: noise.device("heron"), "`name` must be one of"),
        (lambda: noise.device("helios", idle=True), "no sourced t1_s, t2_s, time_2q_s"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_device_gives_a_model_with_its_infidelities():
    for name, row in noise.devices().items():
        model = noise.device(name)
        assert row["source"]
        for channel, error in zip(model.channels, (row["error_1q"], row["error_2q"]), strict=True):
            kraus = np.asarray(channel.kraus())
            dim = kraus.shape[-1]
            # Average gate fidelity of a channel against the identity (arXiv:quant-ph/0205035).
            fidelity = (dim + sum(abs(np.trace(k)) ** 2 for k in kraus)) / (dim * (dim + 1))
            np.testing.assert_allclose(1 - fidelity, error, rtol=1e-9)
    assert noise.device("aria", idle=True).idle[0].strengths == (600e-6, 10.0, 1.0, 0.0)


def test_steps_follow_the_model():
    model = NoiseModel(
        after_1q=(Channel("bit_flip", (0.1,)),),
        after_2q=(Channel("depolarising_2q", (0.1,)), Channel("phase_flip", (0.2,))),
        idle=(Channel("phase_damping", (0.3,)),),
        noiseless=("rz",),
    )
    ops = (qc.gate("h", 0), qc.gate("rz", 0, 0.3), qc.gate("cx", (0, 2)), qc.gate("gphase", (), 0.1))
    found = [
        (step.wires, step.op.name if step.op else model.channels[step.channel].name)
        for step in noise.steps(ops, 3, model)
    ]
    assert found == [
        ((0,), "h"),
        ((0,), "bit_flip"),
        ((), "gphase"),
        ((1,), "phase_damping"),
        ((2,), "phase_damping"),
        ((0,), "rz"),
        ((1,), "phase_damping"),
        ((2,), "phase_damping"),
        ((0, 2), "cx"),
        ((0, 2), "depolarising_2q"),
        ((0,), "phase_flip"),
        ((2,), "phase_flip"),
        ((1,), "phase_damping"),
    ]
    with pytest.raises(ValueError, match="acts on 3 qubits"):
        noise.steps((qc.gate("ccx", (0, 1, 2)),), 3, model)


MODEL = NoiseModel(
    after_1q=(Channel("amplitude_damping", (0.15,)),),
    after_2q=(Channel("depolarising_2q", (0.1,)), Channel("reset", (0.05, 0.1))),
    readout=((0.97, 0.06), (0.03, 0.94)),
)


def mixed(params, s) -> list[np.ndarray]:
    """The values of `BODY` twice under MODEL's channels, by PennyLane; the read-out error by its matrix."""
    paulis = [np.eye(2), qml.X.compute_matrix(), qml.Y.compute_matrix(), qml.Z.compute_matrix()]
    pairs = [np.kron(a, b) for a in paulis for b in paulis]
    two = [math.sqrt(1 - s[1]) * pairs[0]] + [math.sqrt(s[1] / 15) * pair for pair in pairs[1:]]

    @qml.qnode(qml.device("default.mixed", wires=2))
    def circuit():
        for row in np.reshape(params, (2, 3)):
            qml.RY(row[0], 0)
            qml.AmplitudeDamping(s[0], 0)
            qml.RX(row[1], 1)
            qml.AmplitudeDamping(s[0], 1)
            qml.CRY(row[2], (1, 0))
            qml.QubitChannel(two, (1, 0))
            for wire in (1, 0):
                qml.ResetError(s[2], s[3], wire)
        return qml.density_matrix([0, 1])

    rho = np.asarray(circuit())
    p10, p01 = MODEL.readout[1][0], MODEL.readout[0][1]
    read = [np.eye(2)] + [(1 - p10 - p01) * pauli + (p01 - p10) * np.eye(2) for pauli in paulis[1:]]
    return [np.trace(rho @ np.kron(read[3], read[0])).real, np.trace(rho @ np.kron(read[1], read[2])).real]


BODY = qc.Circuit(
    2, (qc.gate("ry", 0, qc.Angle(0)), qc.gate("rx", 1, qc.Angle(1)), qc.gate("cry", (1, 0), qc.Angle(2)))
)
OBSERVABLES = [qc.pauli("Z", 0), qc.pauli("XY", (0, 1))]
PARAMS = np.array([0.7, -1.1, 2.3, 0.4, 1.9, -0.6])


def test_trajectories_are_unbiased_with_unbiased_gradients(key):
    circuit, n = qc.repeat(BODY, 2), 3000
    run = jax.jit(lambda p, s: noise.trajectories(key, circuit, p, MODEL, OBSERVABLES, n, strengths=s))
    values = np.asarray(run(jnp.asarray(PARAMS), jnp.asarray(MODEL.strengths)))
    expected = mixed(PARAMS, MODEL.strengths)
    error = values.std(0) / math.sqrt(n)
    assert (abs(values.mean(0) - expected) < SIGMAS * error).all()

    # One derivative by a parameter and one by each strength, per trajectory, for a standard error.
    slopes = jax.jit(
        jax.vmap(
            lambda k: jax.grad(
                lambda p, s: noise.trajectories(k, circuit, p, MODEL, OBSERVABLES, 1, strengths=s)[0].sum(), (0, 1)
            )(jnp.asarray(PARAMS), jnp.asarray(MODEL.strengths))
        )
    )(jax.random.split(key, n))
    step = 1e-5
    for argument, found in enumerate(slopes):
        found = np.asarray(found)
        for k in range(found.shape[1]):
            ends = []
            for sign in (1, -1):
                at = [PARAMS.copy(), np.array(MODEL.strengths)]
                at[argument][k] += sign * step
                ends.append(sum(mixed(*at)))
            exact = (ends[0] - ends[1]) / (2 * step)
            assert abs(found[:, k].mean() - exact) < SIGMAS * found[:, k].std() / math.sqrt(n) + 1e-6


PAULI_MODEL = NoiseModel(
    after_1q=(Channel("pauli", (0.05, 0.11, 0.2)), Channel("bit_flip", (0.13,))),
    after_2q=(Channel("depolarising_2q", (0.3,)), Channel("bit_phase_flip", (0.09,))),
    idle=(Channel("phase_flip", (0.17,)),),
    readout=((0.97, 0.08), (0.03, 0.92)),
)


def mixed_paulis(params, s):
    """The values of `BODY` twice under PAULI_MODEL's channels, by PennyLane."""
    model = dict(zip(("pauli", "bit", "two", "both", "idle"), (s[:3], s[3], s[4], s[5], s[6]), strict=True))
    paulis = [np.eye(2), qml.X.compute_matrix(), qml.Y.compute_matrix(), qml.Z.compute_matrix()]
    single = [math.sqrt(w) * m for w, m in zip((1 - sum(model["pauli"]), *model["pauli"]), paulis, strict=True)]
    pairs = [np.kron(a, b) for a in paulis for b in paulis]
    two = [math.sqrt(1 - model["two"]) * pairs[0]] + [math.sqrt(model["two"] / 15) * pair for pair in pairs[1:]]

    @qml.qnode(qml.device("default.mixed", wires=2))
    def circuit():
        for row in np.reshape(params, (2, 3)):
            qml.RY(row[0], 0)
            qml.RX(row[1], 1)
            for wire in (0, 1):
                qml.QubitChannel(single, wire)
                qml.BitFlip(model["bit"], wire)
            qml.CRY(row[2], (1, 0))
            qml.QubitChannel(two, (1, 0))
            for wire in (1, 0):
                qml.QubitChannel([math.sqrt(1 - model["both"]) * paulis[0], math.sqrt(model["both"]) * paulis[2]], wire)
        # A layer of its own: one gate on wire 0, while wire 1 rests.
        qml.RY(0.4, 0)
        qml.QubitChannel(single, 0)
        qml.BitFlip(model["bit"], 0)
        qml.PhaseFlip(model["idle"], 1)
        return qml.density_matrix([0, 1])

    rho = np.asarray(circuit())
    p10, p01 = PAULI_MODEL.readout[1][0], PAULI_MODEL.readout[0][1]
    read = [np.eye(2)] + [(1 - p10 - p01) * pauli + (p01 - p10) * np.eye(2) for pauli in paulis[1:]]
    return [np.trace(rho @ np.kron(read[3], read[0])).real, np.trace(rho @ np.kron(read[1], read[2])).real]


@pytest.mark.skipif(native._best() is None, reason="the compiled engine is not installed (no C++ compiler)")
def test_trajectories_through_the_kernel_are_unbiased_with_unbiased_gradients(key):
    """Values, and slopes along one direction of the parameters and one of the strengths, from the same trajectories."""
    circuit, n = qc.repeat(BODY, 2) + qc.Circuit(2, (qc.gate("ry", 0, 0.4),)), 4000
    strengths = PAULI_MODEL.strengths
    along, across = np.random.default_rng(4).normal(size=6), np.array([0.1, -0.2, 0.3, 0.2, -0.1, 0.3, 0.2])

    def run(k, h):
        p, s = PARAMS + h[0] * along, strengths + h[1] * across
        return noise.trajectories(k, circuit, p, PAULI_MODEL, OBSERVABLES, 1, strengths=s, engine="native")[0]

    keys = jax.random.split(key, n)
    values = np.asarray(jax.jit(jax.vmap(run, (0, None)))(keys, jnp.zeros(2)))
    slopes = jax.jit(jax.vmap(jax.grad(lambda k, h: run(k, h).sum(), 1), (0, None)))(keys, jnp.zeros(2))
    expected = mixed_paulis(PARAMS, strengths)
    assert (abs(values.mean(0) - expected) < SIGMAS * values.std(0) / math.sqrt(n)).all()
    step = 1e-5
    for k, found in enumerate(np.asarray(slopes).T):
        ends = [
            sum(mixed_paulis(PARAMS + h * (k == 0) * along, strengths + h * (k == 1) * across)) for h in (step, -step)
        ]
        assert abs(found.mean() - (ends[0] - ends[1]) / (2 * step)) < SIGMAS * found.std() / math.sqrt(n)


@pytest.mark.skipif(native._best() is None, reason="the compiled engine is not installed (no C++ compiler)")
def test_the_kernel_refuses_trajectories_that_depend_on_the_state(key):
    with pytest.raises(ValueError, match="channels that mix Pauli words"):
        noise.trajectories(key, BODY, PARAMS[:3], MODEL, OBSERVABLES, 1, engine="native")


@pytest.mark.parametrize("name", STRENGTHS)
def test_strengths_in_place_of_the_models_are_checked_where_they_are_concrete(name):
    """Rounding to single precision is no mistake, NaN is to surface, and what no channel has is refused."""
    channel = Channel(name, STRENGTHS[name])
    channel.check(np.array(STRENGTHS[name], np.float32))
    channel.check(np.full(len(channel.strengths), np.nan))
    refused = 0
    for place in range(len(channel.strengths)):
        for wrong in (-0.2, 3e5):
            strengths = np.array(STRENGTHS[name])
            strengths[place] = wrong
            try:
                Channel(name, tuple(strengths))
            except ValueError:
                refused += 1
                with pytest.raises(ValueError, match="a channel, but is"):
                    channel.check(strengths)
    assert refused


def test_trajectories_refuse_bad_input(key):
    with pytest.raises(ValueError, match="`n` must be at least 1"):
        noise.trajectories(key, BODY, PARAMS[:3], MODEL, OBSERVABLES, 0)
    with pytest.raises(ValueError, match="`params` must hold 3 numbers, but holds 6"):
        noise.trajectories(key, BODY, PARAMS, MODEL, OBSERVABLES, 1)
    with pytest.raises(ValueError, match=r"`state` must have shape \(4\)"):
        noise.trajectories(key, BODY, PARAMS[:3], MODEL, OBSERVABLES, 1, state=np.ones(2))
    with pytest.raises(ValueError, match="`state` must have norm 1, but has norm 2"):
        noise.trajectories(key, BODY, PARAMS[:3], MODEL, OBSERVABLES, 1, state=np.ones(4))
    with pytest.raises(ValueError, match="out of range"):
        noise.trajectories(key, BODY, PARAMS[:3], MODEL, qc.z(2), 1)
    with pytest.raises(ValueError, match=r"`strengths` must make `.*` a channel, but is"):
        noise.trajectories(key, BODY, PARAMS[:3], MODEL, OBSERVABLES, 1, strengths=1.7 + MODEL.strengths)
    with pytest.raises(ValueError, match="`number of observables` must be at least 1"):
        noise.trajectories(key, BODY, PARAMS[:3], MODEL, [], 1)
    measured = qc.Circuit(2, (qc.Measure(0, 0),))
    with pytest.raises(ValueError, match="measurements or resets"):
        noise.trajectories(key, measured, (), MODEL, OBSERVABLES, 1)
