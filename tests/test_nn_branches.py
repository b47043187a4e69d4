"""Quantum layers in the transformer: dense block encodings, PennyLane circuits, causality, and what is trained."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
from flax import nnx

from qgen import circuits as qc
from qgen.lm import mixers, transformer
from qgen.nn import Quixer, Reuploading, quixer_circuit
from qgen.nn import quixer as formulas

SINGLE = 2e-5
BATCH, TIME, FEATURES, OUT = 2, 4, 3, 5
SMALL = Quixer(qubits=2, layers=1, degree=2, window=3)
MODEL = transformer.Config(vocabulary=11, context=6, width=8, depth=1, heads=2, mlp_ratio=1)
PARTS = {
    "quixer": {"mixer": SMALL},
    "lstm": {"mixer": mixers.Lstm(5)},
    "fnet": {"mixer": mixers.Fourier()},
    "polynomial": {"mixer": mixers.Polynomial(size=4, layers=2, degree=2, window=3)},
    "feed_forward": {"feedforward": Reuploading(2, 2)},
    "head": {"head": Reuploading(2, 2)},
}


def numbers(module):
    """The module's parameters as nested dicts of float64."""
    found = nnx.to_pure_dict(nnx.split(module)[1])
    return jax.tree.map(lambda leaf: np.asarray(leaf, float), found)


def token_circuit(angles, entangled=True):
    """Circuit 14 on two qubits as PennyLane's matrix; without entanglement its controlled rotations lose controls."""

    def gates():
        row = angles.reshape(4, 2)
        for q in (0, 1):
            qml.RY(row[0, q], q)
        for k, q in enumerate((1, 0)):
            qml.CRX(row[1, k], [q, (q + 1) % 2]) if entangled else qml.RX(row[1, q], q)
        for q in (0, 1):
            qml.RY(row[2, q], q)
        for k, q in enumerate((1, 0)):
            qml.CRX(row[3, k], [q, (q - 1) % 2]) if entangled else qml.RX(row[3, q], q)

    return qml.matrix(gates, wire_order=[0, 1])()


def prepared(weights, size):
    """A unitary whose first column holds the square roots of the weights."""
    column = np.zeros(size)
    column[: len(weights)] = np.sqrt(weights)
    basis = np.eye(size)
    basis[:, 0] = column
    made, upper = np.linalg.qr(basis)
    return made * np.sign(upper[0, 0])


def encoded(matrices, coefficients):
    """(PREP^dagger SELECT PREP): the block encoding of sum b U / sum |b|, on a register of four places."""
    sizes = np.abs(coefficients)
    prepare = np.kron(prepared(sizes / sizes.sum(), 4), np.eye(4))
    select = np.eye(16, dtype=complex)
    for place, (matrix, b) in enumerate(zip(matrices, coefficients, strict=True)):
        select[4 * place : 4 * place + 4, 4 * place : 4 * place + 4] = b / abs(b) * matrix
    return prepare.conj().T @ select @ prepare


def post_selected(block, powers):
    """The data register after a sum of powers of the block encoding, each on a register of its own, all found in 0."""
    registers = (4, 4, 4, 4)  # power, first ancilla, second ancilla, data
    on_second = np.kron(np.eye(4), block)
    # The first ancilla and the data are not neighbours: swap the ancillas around the block.
    swap = np.einsum("ac,bd->abdc", np.eye(4), np.eye(4)).reshape(16, 16)
    swapped = np.kron(swap, np.eye(4))
    on_first = swapped @ on_second @ swapped
    sizes = np.abs(powers)
    prepare = np.kron(prepared(sizes / sizes.sum(), 4), np.eye(64))
    select = np.zeros((256, 256), complex)
    so_far = np.eye(64)
    for power, c in enumerate(powers):
        if power:
            so_far = (on_first if power == 1 else on_second) @ so_far
        select[64 * power : 64 * power + 64, 64 * power : 64 * power + 64] = np.sign(c) * so_far
    select[64 * len(powers) :, 64 * len(powers) :] = np.eye(256 - 64 * len(powers))
    start = np.zeros(256, complex)
    start[0] = 1
    return (prepare.conj().T @ select @ prepare @ start).reshape(registers)[0, 0, 0]


@pytest.mark.parametrize("entangled", [True, False])
def test_quixer_is_a_post_selected_sum_of_powers_of_a_block_encoding(entangled):
    module = dataclasses.replace(SMALL, entangled=entangled)(FEATURES, OUT, 0.7, nnx.Rngs(params=3))
    module.polynomial.set_value(jnp.array([0.6, -0.9, 1.3]))
    x = np.random.default_rng(0).normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)
    found, chances = jax.jit(lambda x: (module(x), module.success(x)))(x)
    p = numbers(module)
    coefficients = p["coefficients"][0] + 1j * p["coefficients"][1]
    letters = {"X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}
    words = [
        np.kron(letters[name], np.eye(2)) if q == 0 else np.kron(np.eye(2), letters[name])
        for name in "XYZ"
        for q in (0, 1)
    ]
    last = token_circuit(p["last"], entangled)
    for b in range(BATCH):
        rows = x[b] @ p["angles"]["kernel"] + p["angles"]["bias"]
        matrices = [token_circuit(row, entangled) for row in rows]
        for t in range(TIME):
            seen = [s for s in range(TIME) if 0 <= t - s < 3]
            block = encoded([matrices[s] for s in seen], [coefficients[t - s] for s in seen])
            psi = post_selected(block, p["polynomial"])
            chance = np.vdot(psi, psi).real
            assert float(chances[b, t]) == pytest.approx(chance, abs=SINGLE)
            after = last @ psi / np.sqrt(chance)
            read = np.array([np.vdot(after, word @ after).real for word in words])
            np.testing.assert_allclose(
                found[b, t], read @ p["out"]["kernel"] + p["out"]["bias"], atol=10 * SINGLE, rtol=1e-3
            )
    assert 0 < float(chances.min()) < float(chances.max()) < 1


@pytest.mark.parametrize("tokens", [1, 3])
def test_the_block_encodings_circuit_holds_the_sum(tokens):
    made = quixer_circuit.block_encoding(SMALL, tokens)
    generator = np.random.default_rng(tokens)
    b = generator.normal(size=tokens) + 1j * generator.normal(size=tokens)
    angles = generator.normal(size=(tokens, 8))
    prepare = quixer_circuit.amplitudes(b)
    params = np.concatenate([prepare, np.angle(b), angles.reshape(-1), prepare]).astype(np.float32)
    ancillas = 2 ** (made.n_qubits - 2)
    run = jax.jit(jax.vmap(lambda state: qc.apply(made, params, state)))
    found = np.asarray(run(np.eye(4 * ancillas, dtype=np.complex64)[:4])).T[:4]
    wanted = sum(w * token_circuit(row) for w, row in zip(b, angles, strict=True)) / np.abs(b).sum()
    np.testing.assert_allclose(found, wanted, atol=SINGLE)


def test_reading_a_token_counts_discarded_shots():
    whole, half = (quixer_circuit.reading(SMALL, success) for success in (1.0, 0.5))
    assert whole.qubits >= 4 and whole.circuits == 3
    assert (whole.shots, half.shots) == (3 * quixer_circuit.SHOTS, 6 * quixer_circuit.SHOTS)
    assert half.gates_2q == pytest.approx(2 * whole.gates_2q)
    assert half.measurements == 4 * half.shots
    # Three tokens of 8 rotations each with two controls more, twice; every one takes at least two two-qubit gates.
    assert whole.gates_2q > 2 * 3 * 8 * 2 * whole.shots


def test_only_entangled_token_circuits_have_a_schmidt_rank():
    angles = jax.random.normal(jax.random.key(2), (1, 8))
    for entangled in (True, False):
        made = formulas.unitaries(dataclasses.replace(SMALL, entangled=entangled).circuit(1), angles)[0]
        values = np.linalg.svd(np.asarray(made).reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4))[1]
        assert (values[1] > 1e-2) == entangled


@pytest.mark.parametrize("entangled", [True, False])
def test_reuploading_is_pennylanes(entangled):
    n, layers = 2, 2
    module = Reuploading(n, layers, entangled)(FEATURES, OUT, 1.0, nnx.Rngs(params=1))
    x = np.random.default_rng(4).normal(size=(2, 3, FEATURES)).astype(np.float32)
    p = numbers(module)

    @qml.qnode(qml.device("default.qubit", wires=n))
    def node(data, angles):
        for layer in angles.reshape(layers, 2, n):
            for q in range(n):
                qml.RY(data[q], q)
            for q in range(n):
                qml.RY(layer[0, q], q)
            for q in range(n):
                qml.RZ(layer[1, q], q)
            if entangled:
                qml.CNOT([0, 1])
        return [qml.expval(word(q)) for word in (qml.X, qml.Y, qml.Z) for q in range(n)]

    rows = x.reshape(-1, FEATURES) @ p["inner"]["kernel"] + p["inner"]["bias"]
    read = np.array([node(row, p["circuit"]["angles"]) for row in rows])
    wanted = read @ p["out"]["kernel"] + p["out"]["bias"]
    np.testing.assert_allclose(module(x).reshape(-1, OUT), wanted, atol=SINGLE)


def test_lstm_is_the_recurrence():
    module = mixers.Lstm(3)(FEATURES, OUT, 1.0, nnx.Rngs(params=1))
    x = np.random.default_rng(5).normal(size=(1, TIME, FEATURES)).astype(np.float32)
    p = numbers(module)
    output, cell, sigmoid = np.zeros(3), np.zeros(3), lambda v: 1 / (1 + np.exp(-v))
    for t in range(TIME):
        gates = x[0, t] @ p["read"]["kernel"] + output @ p["recall"] + p["bias"]
        cell = sigmoid(gates[3:6]) * cell + sigmoid(gates[:3]) * np.tanh(gates[6:9])
        output = sigmoid(gates[9:]) * np.tanh(cell)
        np.testing.assert_allclose(module(x)[0, t], output @ p["out"]["kernel"], atol=SINGLE)


def test_fourier_mixing_is_a_masked_transform():
    x = np.random.default_rng(6).normal(size=(1, TIME, FEATURES)).astype(np.float32)
    found = mixers.Fourier()(FEATURES, FEATURES, 0.5, nnx.Rngs(0))(x)
    for t in range(TIME):
        for f in range(FEATURES):
            terms = [
                np.exp(-2j * np.pi * (t * s / TIME + f * g / FEATURES)) * x[0, s, g]
                for s in range(t + 1)
                for g in range(FEATURES)
            ]
            wanted = 0.5 * np.real(sum(terms)) / np.sqrt(FEATURES * (t + 1))
            assert float(found[0, t, f]) == pytest.approx(wanted, abs=SINGLE)


def test_the_polynomial_mixer_is_quixers_formula_with_rotations():
    config = PARTS["polynomial"]["mixer"]
    module = config(FEATURES, OUT, 1.0, nnx.Rngs(params=2))
    module.polynomial.set_value(jnp.array([0.6, -0.9, 1.3]))
    x = np.random.default_rng(7).normal(size=(1, TIME, FEATURES)).astype(np.float32)
    p = numbers(module)
    matrices = []
    for row in x[0] @ p["angles"]["kernel"] + p["angles"]["bias"]:
        made = np.eye(4)
        for layer in row.reshape(2, 2, 2):
            for pairs, angles in zip((((0, 1), (2, 3)), ((1, 2), (3, 0))), layer, strict=True):
                for (i, j), angle in zip(pairs, angles, strict=True):
                    turn = np.eye(4)
                    turn[[i, j], [i, j]] = np.cos(angle)
                    turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
                    made = turn @ made
        matrices.append(made)
    for t in range(TIME):
        seen = [s for s in range(TIME) if 0 <= t - s < 3]
        b = np.array([p["coefficients"][t - s] for s in seen])
        average = sum(w * matrices[s] for w, s in zip(b / np.abs(b).sum(), seen, strict=True))
        state = sum(c * np.linalg.matrix_power(average, k)[:, 0] for k, c in enumerate(p["polynomial"]))
        state = state / np.sqrt(np.mean(state**2))
        np.testing.assert_allclose(module(x)[0, t], state @ p["out"]["kernel"] + p["out"]["bias"], atol=1e-4)


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_causal_in_the_transformer_and_learn(name):
    config = dataclasses.replace(MODEL, **PARTS[name])
    params = transformer.init(jax.random.key(0), config)
    tokens = np.random.default_rng(1).integers(0, 11, (2, 6)).astype(np.int32)
    late = np.where(np.arange(6) >= 4, (tokens + 3) % 11, tokens)
    early = np.where(np.arange(6) == 0, (tokens + 1) % 11, tokens)

    def loss(params):
        logits = transformer.apply(params, np.concatenate([tokens, late, early]), config)
        return jnp.mean(jnp.square(logits[:2] - 1)), logits

    slope, logits = jax.jit(jax.grad(loss, has_aux=True))(params)
    plain, late, early = logits[:2], logits[2:4], logits[4:]
    np.testing.assert_allclose(plain[:, :4], late[:, :4], atol=SINGLE)
    assert float(jnp.abs(plain - late)[:, 4:].max(axis=-1).min()) > 1e-4
    # Every token is read by the one after it.
    assert float(jnp.abs(plain - early)[:, 1].max()) > 1e-4
    for path, leaf in jax.tree_util.tree_leaves_with_path(slope):
        assert bool(jnp.isfinite(leaf).all()) and float(jnp.abs(leaf).max()) > 0, path


@pytest.mark.parametrize("part", [{"mixer": SMALL}, {"feedforward": Reuploading(2, 2)}])
def test_frozen_circuits_are_not_trained_but_let_gradients_through(part):
    (name, kind) = next(iter(part.items()))
    config = dataclasses.replace(MODEL, **{name: dataclasses.replace(kind, frozen=True)})
    params = transformer.init(jax.random.key(0), config)
    tokens = np.random.default_rng(1).integers(0, 11, (2, 6)).astype(np.int32)
    # The other branch is closed, so that only this part carries gradients back.
    gates = (1.0, 0.0) if name == "mixer" else (0.0, 1.0)

    def loss(x):
        return jnp.sum(transformer.apply(x, tokens, config, gates=gates)[..., 0] ** 2)

    slope = jax.jit(jax.grad(loss))(params)["block_0"]["attention" if name == "mixer" else "mlp"]
    frozen = getattr(config, name).untrained
    assert frozen and not kind.untrained
    for key, leaves in slope.items():
        largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(leaves))
        assert (largest == 0) == (key in frozen), key


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Quixer(qubits=1), "`qubits` must be at least 2"),
        (lambda: Quixer(degree=0), "`degree` must be at least 1"),
        (lambda: Reuploading(layers=0), "`layers` must be at least 1"),
        (lambda: mixers.Lstm(0), "`hidden` must be at least 1"),
        (lambda: mixers.Narrow(0), "`hidden` must be at least 1"),
        (lambda: mixers.Polynomial(window=0), "`window` must be at least 1"),
        (lambda: mixers.Polynomial(size=5), "`size` must be even"),
        (lambda: mixers.Fourier()(3, 4, 1.0, nnx.Rngs(0)), "`n_out` must be n_in = 3"),
        (lambda: transformer.empty_cache({}, dataclasses.replace(MODEL, mixer=SMALL), 1), "must mix by attention"),
        (lambda: transformer.part({}, MODEL, 1), "`layer`"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
