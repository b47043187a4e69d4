"""Resources: a small algebra with hand-computed sums."""

import math

import pytest

from qgen.resources import Resources, total


def test_one_after_another_adds_counts_and_keeps_the_wider_register():
    a = Resources(qubits=3, circuits=1, shots=100, layers=700, gates_2q=500)
    b = Resources(qubits=5, circuits=2, shots=30, layers=90, t_gates=12)
    assert a + b == Resources(qubits=5, circuits=3, shots=130, layers=790, gates_2q=500, t_gates=12)
    assert a * 3 == 3 * a == Resources(qubits=3, circuits=3, shots=300, layers=2100, gates_2q=1500)
    assert total([a, b, b]) == a + b * 2
    assert total([]) is None


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf])
def test_counts_that_are_no_counts_are_refused(bad):
    with pytest.raises(ValueError, match="`shots` must be a finite count"):
        Resources(qubits=2, shots=bad)
    with pytest.raises(ValueError, match="`times` must be a finite number"):
        Resources(qubits=2, shots=5) * bad


def test_a_machine_without_qubits_is_refused():
    with pytest.raises(ValueError, match="`qubits` must be at least 1"):
        Resources(qubits=0)


def test_only_resources_can_be_added():
    with pytest.raises(TypeError):
        Resources(qubits=1) + 3
