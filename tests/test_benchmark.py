"""The benchmark's workloads and builders: qgen against written-out circuits, records, and flags that are wrong."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
from pennylane.devices import qubit
from pennylane.tape import QuantumScript

from experiments import simulators, workloads
from qgen import record

ROOT = Path(__file__).parent.parent
ATOL = 2e-5
STEP = 1e-5
SMALL = ("W1:n=3,L=2", "W2:n=3,L=2,B=3", "W3:n=2,L=2,P=3", "W4:n=4,p=2", "W5:n=3,N=4", "W6:n=3,L=2,B=3")


def state(ops):
    tape = QuantumScript(ops, [qml.state()])
    return np.asarray(qubit.simulate(tape))


def z_sum(ops, n):
    signs = n - 2 * np.array([k.bit_count() for k in range(2**n)])
    return abs(state(ops)) ** 2 @ signs


def cross_entropy(p, x, y):
    density = abs(state(list(layers(p, x)))) ** 2
    logits = [density @ (1 - 2 * (np.arange(8) >> shift & 1)) for shift in (2, 1)]
    return np.log(np.sum(np.exp(logits))) - logits[y]


def layers(p, x=None):
    n = p.shape[-1]
    for row in p:
        yield from (qml.RX(x[i], i) for i in range(n) if x is not None)
        yield from (qml.RY(row[0, i], i) for i in range(n))
        yield from (qml.RZ(row[1, i], i) for i in range(n))
        yield from (qml.CNOT(pair) for pair in ([(0, 1), (1, 2), (2, 0)] if n == 3 else [(0, 1)]))


def cut(p, edges, weights):
    n = 1 + max(itertools.chain(*edges))
    ops = [qml.Hadamard(i) for i in range(n)]
    for phase, mix in p.T:
        ops += [qml.IsingZZ(2 * phase * w, edge) for edge, w in zip(edges, weights, strict=True)]
        ops += [qml.RX(2 * mix, i) for i in range(n)]
    bits = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n)[::-1] & 1)
    return abs(state(ops)) ** 2 @ sum(w * bits[:, a] * bits[:, b] for (a, b), w in zip(edges, weights, strict=True))


def feature(x):
    ops = []
    for _ in range(2):
        ops += [qml.Hadamard(i) for i in range(3)] + [qml.RZ(2 * x[i], i) for i in range(3)]
        ops += [qml.IsingZZ(2 * x[a] * x[b], (a, b)) for a, b in [(0, 1), (1, 2), (2, 0)]]
    return state(ops)


REFERENCES = {
    "W1": lambda d: lambda p: z_sum(list(layers(p)), 3),
    "W2": lambda d: (
        lambda p: np.mean([(z_sum(list(layers(p, x)), 3) / 3 - y) ** 2 for x, y in zip(d["x"], d["y"], strict=True)])
    ),
    "W3": lambda d: lambda p: np.array([z_sum(list(layers(row)), 2) for row in p]),
    "W4": lambda d: lambda p: cut(p, d["edges"], d["weights"]),
    "W6": lambda d: lambda p: np.mean([cross_entropy(p, x, y) for x, y in zip(d["x"], d["y"], strict=True)]),
}


@pytest.mark.parametrize("text", SMALL)
def test_values_and_slopes_are_those_of_the_written_out_circuits(text):
    """PennyLane simulates the gates without its jax interface, which does not follow every jax version."""
    workload = workloads.parse(text)
    data = workloads.make_data(workload)
    made = simulators.build(workload.kind, workload.sizes, data)
    value, gradient = made["np"](made["fn"]())
    if workload.kind == "W5":
        states = np.array([feature(x) for x in data["x"]])
        np.testing.assert_allclose(value, abs(states @ states.conj().T) ** 2, rtol=0, atol=ATOL)
        assert gradient is None
        return
    reference = REFERENCES[workload.kind](data)
    direction = np.random.default_rng(1).normal(size=data["p"].shape)
    slope = (reference(data["p"] + STEP * direction) - reference(data["p"] - STEP * direction)) / (2 * STEP)
    np.testing.assert_allclose(value, reference(data["p"]), rtol=0, atol=ATOL)
    axes = tuple(range(1, direction.ndim)) if workload.kind == "W3" else None
    np.testing.assert_allclose(np.sum(gradient * direction, axes), slope, rtol=0, atol=10 * ATOL)


def test_the_adapter_of_other_harnesses():
    workload = workloads.parse("W1:n=2,L=1")
    made = simulators.build(workload.kind, workload.sizes, workloads.make_data(workload))
    assert {"fn", "np", "dtype"} <= set(made)
    assert made["temporary"]() > 0
    with pytest.raises(NotImplementedError, match="W9"):
        simulators.build("W9", {"n": 2}, {})


def test_the_graph_is_simple_and_cubic():
    edges = workloads.make_data(workloads.parse("W4:n=10,p=1"))["edges"]
    assert len(set(edges)) == 15
    ends = list(itertools.chain(*edges))
    assert [ends.count(node) for node in range(10)] == [3] * 10


def test_the_limit_is_arithmetic_or_traffic():
    small = workloads.parse("W1:n=4,L=3")
    assert workloads.limit_s(small, 1e9, 1.0) == pytest.approx(16 * 3 * (22 * 4 + 30) / 1e9)
    large = workloads.parse("W1:n=20,L=2")
    assert workloads.limit_s(large, 1e30, 1e9) == pytest.approx(6 * 8 * 2**20 * 2 / 1e9)
    gram = workloads.parse("W5:n=3,N=5")
    assert workloads.limit_s(gram, 1e9, 1.0) == pytest.approx((6 * 3 * 8 * 5 * 2 + 6 * 25 * 8) / 1e9)


@pytest.mark.parametrize(
    ("text", "message"),
    [("V1:n=3", "none of W1"), ("W1:n=3", "must read W1:n=NUMBER,L=NUMBER"), ("W4:n=5,p=1", "even n of at least 4")],
)
def test_wrong_workloads(text, message):
    with pytest.raises(ValueError, match=message):
        workloads.parse(text)


def test_wrong_peers(monkeypatch):
    with pytest.raises(ValueError, match="`peers` must be one of"):
        simulators.chosen_peers(["abacus"], False)
    monkeypatch.setitem(simulators.PEERS, "qujax", "no_such_module")
    with pytest.raises(ValueError, match="needs the module no_such_module"):
        simulators.chosen_peers(["qujax"], False)
    assert simulators.chosen_peers(None, True) == ["qgen"]


def run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "experiments.benchmark", *flags], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def test_a_run_writes_records(tmp_path):
    out = tmp_path / "rows.jsonl"
    flags = ("--workloads", "W1:n=3,L=2", "--peers", "qgen", "--repeats", "1", "--min_time_s", "0", "--out", str(out))
    done = run(*flags)
    assert done.returncode == 0, done.stderr
    assert "GF/s in a matrix product" in done.stdout
    (row,) = record.load(out)
    assert (row.stage, row.arm, dict(row.config)["n"]) == ("W1", "simulator/qgen", 3)
    assert row.metrics["time_s"] > 0
    assert row.metrics["temporary_mb"] > 0


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--workloads=W7:n=2", "is none of"),
        ("--repeats=0", "--repeats=0"),
        ("--min_time_s=-1", "--min_time_s"),
        ("--timeout_s=0", "--timeout_s"),
        ("--populations=4,0", "--populations"),
        ("--out=rows.csv", "must name a .jsonl file"),
    ],
)
def test_wrong_flags_end_with_one_sentence(flag, message):
    done = run(flag)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
