import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.circuits import observables as ob
from tests.circuits.oracle import dense

ATOL = 1e-12


def test_sums_merge_equal_words():
    total = ob.x(0) * 0.5 + 2.0 * ob.pauli("ZY", (2, 1)) - ob.x(0)
    assert total.words == (((0, "X"),), ((1, "Y"), (2, "Z")))
    np.testing.assert_allclose(total.coefficients, [-0.5, 2.0], rtol=0, atol=ATOL)
    np.testing.assert_allclose(total.matrix(3), dense(total, 3), rtol=0, atol=ATOL)
    assert "X0" in repr(total) and not total.is_diagonal and total.width == 3


def test_strings_and_pairs_are_the_same():
    assert ob.Observable(["ZIX"]).words == ob.Observable([[(2, "X"), (0, "Z"), (1, "I")]]).words
    assert ob.Observable("XY").words == (((0, "X"), (1, "Y")),)


def test_table_is_the_diagonal():
    cost = ob.Observable(["ZZI", "IZZ", "ZZZ", "III"], [0.3, -1.2, 0.7, 0.25])
    np.testing.assert_allclose(cost.table(3), np.diag(dense(cost, 3)).real, rtol=0, atol=1e-6)


def test_from_matrix_inverts_matrix():
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8))
    matrix = matrix + matrix.conj().T
    found = ob.from_matrix(matrix)
    np.testing.assert_allclose(dense(found, 3), matrix, rtol=0, atol=1e-10)
    placed = ob.from_matrix(matrix[:2, :2], wires=(1,))
    np.testing.assert_allclose(dense(placed, 2), np.kron(np.eye(2), matrix[:2, :2]), rtol=0, atol=1e-10)
    assert ob.from_matrix(np.zeros((2, 2))).words == ((),)


def test_coefficients_are_traced_and_words_are_not():
    def f(c):
        return qc.expectation(qc.Circuit(1, (qc.gate("ry", 0, 0.7),)), (), ob.Observable(["Z", "X"], c))

    gradient = jax.jit(jax.grad(f))(jnp.array([0.5, 2.0]))
    np.testing.assert_allclose(gradient, [np.cos(0.7), np.sin(0.7)], rtol=0, atol=1e-6)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, ob.z(1))
    assert doubled.words == ob.z(1).words and float(doubled.coefficients[0]) == 2.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ob.Observable(["ZQ"]), "must be one of"),
        (lambda: ob.Observable([[(0, "X"), (0, "Z")]]), "repeated wires"),
        (lambda: ob.Observable([[(-1, "X")]]), "negative wire"),
        (lambda: ob.Observable(["Z"], [1.0, 2.0]), "one per word"),
        (lambda: ob.Observable(["Z"], [1j]), "must be real"),
        (lambda: ob.pauli("XZ", (0,)), "one per letter"),
        (lambda: ob.pauli("X", 0.5), "`wires` must hold integers"),
        (lambda: ob.Observable([((0.5, "X"),)]), "`wires` must hold integers"),
        (lambda: ob.x(0).table(2), "Only an observable of Z words"),
        (lambda: ob.z(2).table(2), "out of range"),
        (lambda: ob.from_matrix([[0, 1], [0, 0]]), "must be Hermitian"),
        (lambda: ob.from_matrix(np.eye(3)), "must have shape"),
        (lambda: ob.from_matrix(np.eye(4), wires=(0,)), "must hold 2 wires"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_words_with_nothing_in_common_do_not_add():
    with pytest.raises(TypeError):
        ob.z(0) + 1
