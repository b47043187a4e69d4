import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
import scipy.linalg

from qgen.circuits import memory, sector

SINGLE = 2e-6
DEEP = 1e-4
X, Y = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]])
GAMMAS, BETAS = np.array([0.31, 0.74]), np.array([0.92, -0.43])


def embed(n, letters):
    matrix = np.eye(1)
    for wire in range(n):
        matrix = np.kron(matrix, letters.get(wire, np.eye(2)))
    return matrix


def coupling(n, i, j):
    return (embed(n, {i: X, j: X}) + embed(n, {i: Y, j: Y})) / 2


def instance(n, seed=0):
    rng = np.random.default_rng(seed)
    linear, root = rng.normal(size=n), rng.normal(size=(n, n))
    return linear, root + root.T


def all_bits(n):
    return np.array(list(itertools.product([0, 1], repeat=n)))


def dense_qaoa(linear, quadratic, k, mixer):
    """Dense matrix exponentials in 2^n dimensions."""
    n = len(linear)
    bits = all_bits(n)
    energy = np.array([x @ linear + x @ quadratic @ x / 2 for x in bits])
    state = (bits.sum(1) == k).astype(complex)
    state /= np.linalg.norm(state)
    for gamma, beta in zip(GAMMAS, BETAS):
        state = np.exp(-1j * gamma * energy) * state
        terms = [coupling(n, i, j) for i, j in sector.pairs(n, mixer)]
        for term in [sum(terms)] if mixer == "exact" else terms:
            state = scipy.linalg.expm(-1j * beta * term) @ state
    return state


@pytest.mark.parametrize(("n", "k"), [(5, 2), (6, 3), (4, 1), (6, 5)])
@pytest.mark.parametrize("mixer", sector.MIXERS)
def test_qaoa_is_the_dense_evolution(n, k, mixer):
    linear, quadratic = instance(n)
    table = sector.energies(jnp.asarray(linear, float), jnp.asarray(quadratic, float), k)
    state = sector.qaoa(jnp.asarray(GAMMAS, float), jnp.asarray(BETAS, float), table, n, k, mixer)
    expected = dense_qaoa(linear, quadratic, k, mixer)
    np.testing.assert_allclose(sector.expand(state, n, k), expected, atol=SINGLE)


def test_strings_are_all_combinations_in_order():
    for n, k in [(5, 2), (7, 4), (3, 0), (3, 3)]:
        expected = [x for x in itertools.product([0, 1], repeat=n) if sum(x) == k]
        np.testing.assert_array_equal(sector.strings(n, k), expected)


@pytest.mark.parametrize("n", [2, 5, 6])
def test_mixers_couple_each_pair_once(n):
    everything = set(itertools.combinations(range(n), 2))
    full = sector.pairs(n, "full")
    assert len(full) == len(everything) and set(full) == everything
    ring = sector.pairs(n, "ring")
    assert len(ring) == len(set(ring)) == (n if n > 2 else 1)
    assert all((j - i) % n in (1, n - 1) for i, j in ring)


def test_full_mixer_has_rounds_of_disjoint_pairs():
    full = sector.pairs(8, "full")
    for start in range(0, len(full), 4):
        assert len(set(itertools.chain(*full[start : start + 4]))) == 8


def test_exact_mixer_is_unitary_and_undone_in_large_sectors():
    n, k = 16, 8
    state = sector.uniform(n, k) * jnp.exp(1j * jnp.arange(math.comb(n, k)) * 0.37)
    there = sector.mix(state, jnp.float32(0.71), n, k, "exact")
    back = sector.mix(there, jnp.float32(-0.71), n, k, "exact")
    assert abs(float(jnp.linalg.norm(there)) - 1) < DEEP
    assert float(jnp.linalg.norm(back - state)) < 3 * DEEP
    assert float(jnp.linalg.norm(there - state)) > 0.5


def pennylane_state(circuit, params):
    """The circuit run by PennyLane, gate by gate, through names of its own."""
    names = {"rz": qml.RZ, "rzz": qml.IsingZZ, "rxy": qml.IsingXY, "cx": qml.CNOT, "x": qml.PauliX, "ry": qml.RY}

    def value(angle):
        return angle if isinstance(angle, float) else angle.scale * params[angle.index] + angle.offset

    @qml.qnode(qml.device("default.qubit", wires=circuit.n_qubits))
    def run():
        for op in circuit.ops:
            made = (names[op.name], [value(a) for a in op.angles], op.wires)
            if op.controls:
                qml.ctrl(made[0](*made[1], wires=made[2]), control=op.controls)
            else:
                made[0](*made[1], wires=made[2])
        return qml.state()

    return np.asarray(run())


@pytest.mark.parametrize(("n", "k"), [(2, 1), (5, 2), (6, 3), (6, 5)])
def test_dicke_circuit_prepares_equal_amplitudes(n, k):
    expected = (all_bits(n).sum(1) == k) / math.sqrt(math.comb(n, k))
    np.testing.assert_allclose(pennylane_state(sector.dicke(n, k), ()), expected, atol=1e-10)
    np.testing.assert_allclose(sector.expand(sector.uniform(n, k), n, k), expected, atol=SINGLE)


@pytest.mark.parametrize("mixer", ["ring", "full"])
def test_circuit_makes_the_simulated_state(mixer):
    linear, quadratic = instance(5, seed=3)
    circuit = sector.circuit(linear, quadratic, 2, 2, mixer)
    state = pennylane_state(circuit, np.concatenate([GAMMAS, BETAS]))
    overlap = np.vdot(state, dense_qaoa(linear, quadratic, 2, mixer))
    assert abs(abs(overlap) - 1) < 1e-10


def test_gradient_is_the_finite_difference():
    linear, quadratic = instance(6, seed=1)
    table = sector.energies(jnp.asarray(linear, float), jnp.asarray(quadratic, float), 3)

    def mean(angles):
        return jnp.sum(jnp.abs(sector.qaoa(angles[0], angles[1], table, 6, 3)) ** 2 * table)

    angles = jnp.asarray(np.stack([GAMMAS, BETAS]), float)
    slope = jax.grad(mean)(angles)
    for place in itertools.product(range(2), range(2)):
        step = jnp.zeros_like(angles).at[place].set(1e-2)
        assert abs(float((mean(angles + step) - mean(angles - step)) / 2e-2 - slope[place])) < 2e-2


def test_strings_and_numbers_up_to_64_bits():
    found = sector.strings(63, 62)
    np.testing.assert_array_equal(found, 1 - np.eye(63, dtype=int))
    assert sector.numbers(63, 62).tolist() == [2**63 - 1 - 2 ** (62 - zero) for zero in range(63)]
    with pytest.raises(ValueError, match=r"`n` must lie in \[1, 63\], but is 70"):
        sector.numbers(70, 1)


def test_a_sector_that_is_too_large_is_refused_with_what_fits(monkeypatch):
    """C(30, 4) = 27405 strings of 30 bits fit where C(30, 5) = 142506 do not; so with the 435 pairs of a mixer."""
    monkeypatch.setattr(memory, "_memory", lambda: 30_000 * 2 * 8 * 30)
    for ones in (15, 25):
        with pytest.raises(ValueError, match=rf"with {ones} ones needs .* at most 4 ones, or zeros, fit"):
            sector.strings(30, ones)
    monkeypatch.setattr(memory, "_memory", lambda: 1000 * 12 * 435)
    with pytest.raises(ValueError, match=r"30 qubits with 3 ones needs .* at most 2 ones"):
        sector.mix(jnp.ones(math.comb(30, 3), complex), jnp.float32(0.1), 30, 3)
    with pytest.raises(ValueError, match=r"40 qubits needs .* qubits fit"):
        sector.expand(jnp.ones(1, complex), 40, 0)


def test_refusals():
    with pytest.raises(ValueError, match="`k`"):
        sector.strings(4, 5)
    with pytest.raises(ValueError, match="`n`"):
        sector.strings(0, 0)
    with pytest.raises(ValueError, match="`mixer`"):
        sector.pairs(4, "star")
    with pytest.raises(ValueError, match="`n`"):
        sector.pairs(1, "ring")
    with pytest.raises(ValueError, match="`state`"):
        sector.mix(sector.uniform(4, 2), jnp.float32(0.1), 4, 1)
    with pytest.raises(ValueError, match="`table`"):
        sector.qaoa(jnp.zeros(1), jnp.zeros(1), jnp.zeros(3), 4, 2)
    with pytest.raises(ValueError, match="`betas`"):
        sector.qaoa(jnp.zeros(1), jnp.zeros(2), jnp.zeros(6), 4, 2)
    with pytest.raises(ValueError, match="`quadratic`"):
        sector.energies(jnp.zeros(4), jnp.zeros((3, 3)), 2)
    with pytest.raises(ValueError, match="`k`"):
        sector.dicke(4, 4)
    with pytest.raises(ValueError, match="`mixer`"):
        sector.circuit(np.zeros(4), np.zeros((4, 4)), 2, 1, "exact")
    with pytest.raises(ValueError, match="`layers`"):
        sector.circuit(np.zeros(4), np.zeros((4, 4)), 2, 0)
