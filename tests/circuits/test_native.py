"""The compiled engine on every instruction set against PennyLane's default.qubit and closed forms."""

import dataclasses
import functools
import logging
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from qgen import circuits as qc
from qgen.circuits import fidelity_kernel, memory
from qgen.circuits.engine import derivatives, native
from qgen.circuits.engine.encoding import encode
from qgen.circuits.lowering import lower
from qgen.circuits.observables import Observable, z_sum
from tests.circuits import oracle
from tests.circuits.test_properties import (
    ATOL,
    GRADIENT_ATOL,
    N_PARAMS,
    NAMES,
    WIDTHS,
    random_circuit,
    random_observable,
)

BATCH_ATOL = {"float32": 5e-6, "float64": 1e-13}

pytestmark = pytest.mark.skipif(native._best() is None, reason="the compiled engine is not installed (no C++ compiler)")


def available():
    best = native._best()
    return native.INSTRUCTION_SETS[: native.INSTRUCTION_SETS.index(best) + 1] if best else ()


@pytest.fixture(params=native.INSTRUCTION_SETS)
def forced(request, monkeypatch):
    if request.param not in available():
        pytest.skip(f"this processor has no {request.param}")
    monkeypatch.setenv(native.FORCE, request.param)
    return request.param


def several(circuit, rng):
    n = circuit.n_qubits
    return [
        random_observable(rng, n),
        z_sum(n, 0.7),
        Observable([((0, "Z"), (n - 1, "Z")) if n > 1 else "Z", "I"], [0.4, 1.3]),
    ]


@pytest.mark.parametrize("seed", range(len(WIDTHS)))
def test_random_circuits_on_every_instruction_set(seed, forced):
    circuit, rng = random_circuit(seed)
    observables = several(circuit, rng)
    params, direction = rng.uniform(-2, 2, N_PARAMS), rng.normal(size=N_PARAMS)
    weights = rng.uniform(-1, 1, len(observables))
    state = oracle.pennylane_state(circuit, params)
    dense = sum(w * oracle.dense(o, circuit.n_qubits) for w, o in zip(weights, observables))

    def exact(p):
        psi = oracle.pennylane_state(circuit, p)
        return float(np.real(psi.conj() @ dense @ psi))

    slope = oracle.slope(exact, params, direction)
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            given = jnp.asarray(params, dtype)

            def total(p, dtype=dtype):
                values = qc.expectation(circuit, p, observables, engine="native")
                return jnp.sum(values * jnp.asarray(weights, dtype))

            found = jax.jit(lambda p: qc.apply(circuit, p, engine="native"))(given)
            value, gradient = jax.jit(jax.value_and_grad(total))(given)
            each = [qc.expectation(circuit, given, o, engine="native") for o in observables]
            alone = [
                jax.grad(lambda p, o=o: qc.expectation(circuit, p, o, engine="native"))(given) for o in observables
            ]
        assert gradient.dtype == dtype
        np.testing.assert_allclose(found, state, rtol=0, atol=ATOL[dtype])
        np.testing.assert_allclose(value, exact(params), rtol=0, atol=ATOL[dtype])
        np.testing.assert_allclose(weights @ np.array(each), exact(params), rtol=0, atol=ATOL[dtype])
        np.testing.assert_allclose(np.asarray(gradient) @ direction, slope, rtol=0, atol=GRADIENT_ATOL[dtype])
        np.testing.assert_allclose(weights @ np.array(alone) @ direction, slope, rtol=0, atol=GRADIENT_ATOL[dtype])


@pytest.mark.parametrize("extra", [0, 2])
def test_every_gate_with_controls_from_any_state(extra, forced):
    """On 7 qubits and a lone state, wires lie inside vectors and outside of them."""
    rng = np.random.default_rng(extra)
    for name in NAMES:
        op = oracle.random_op(rng, name, 7, 0, extra)
        state = oracle.random_state(rng, 7)
        expected = oracle.pennylane_state(qc.Circuit(7, (op,)), (), state)
        with jax.enable_x64(True):
            found = qc.apply(qc.Circuit(7, (op,)), (), state=jnp.asarray(state), engine="native")
        np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL["float64"], err_msg=name)


@pytest.mark.parametrize("n, size", [(3, 2), (5, 5), (9, 6), (8, 8)])
def test_wide_matrices(n, size, forced):
    rng = np.random.default_rng(n)
    wires = [int(w) for w in rng.permutation(n)[:size]]
    matrix = np.linalg.qr(rng.normal(size=(2**size, 2**size)) + 1j * rng.normal(size=(2**size, 2**size)))[0]
    state = oracle.random_state(rng, n)
    rest = [q for q in range(n) if q not in wires]
    tensor = state.reshape((2,) * n).transpose(wires + rest).reshape(2**size, -1)
    expected = (matrix @ tensor).reshape((2,) * n).transpose(np.argsort(wires + rest)).reshape(-1)
    found = qc.apply(qc.Circuit(n, (qc.unitary(matrix, wires),)), (), state=jnp.asarray(state), engine="native")
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL["float32"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n, size", [(2, 21), (4, 21), (7, 37), (9, 3)])
def test_a_batch_is_its_elements(n, size, dtype, forced):
    """Batches that fill no whole vector, over the parameters, over data only, and over nested axes."""
    rng = np.random.default_rng(n)
    circuit = qc.encodings.angle(n) + qc.ansatz.hardware_efficient(n, 2)
    observables = [random_observable(rng, n), z_sum(n)]
    with jax.enable_x64(dtype == "float64"):
        data = jnp.asarray(rng.uniform(-2, 2, (size, n)), dtype)
        weights = jnp.asarray(rng.uniform(-2, 2, (3, circuit.n_params - n)), dtype)

        def value(w, x):
            return jnp.sum(qc.expectation(circuit, (x, w), observables, engine="native"))

        both = jax.jit(jax.value_and_grad(value, (0, 1)))
        expected = [[both(w, x) for x in data] for w in weights[:2]]
        found = jax.jit(jax.vmap(jax.vmap(both, (None, 0)), (0, None)))(weights[:2], data)
        shared = jax.jit(jax.grad(lambda w: jnp.sum(jax.vmap(value, (None, 0))(w, data))))(weights[0])
        expected, found, shared = jax.tree.map(np.asarray, (expected, found, shared))
    for k in range(2):
        for b in range(size):
            for one, all_ in zip(jax.tree.leaves(expected[k][b]), jax.tree.leaves(found), strict=True):
                np.testing.assert_allclose(all_[k][b], one, rtol=0, atol=BATCH_ATOL[dtype])
    np.testing.assert_allclose(shared, np.sum(found[1][0][0], 0), rtol=0, atol=size * BATCH_ATOL[dtype])


def test_a_state_in_a_batch_and_its_gradient(forced):
    """The gradient of <psi|U^t H U|psi> with respect to an unnormalised psi is 2 U^t H U psi."""
    n, rng = 6, np.random.default_rng(3)
    circuit, observable = qc.ansatz.hardware_efficient(n, 2), random_observable(rng, n)
    params = rng.uniform(-2, 2, circuit.n_params)
    states = np.stack([oracle.random_state(rng, n) for _ in range(5)])
    columns = [oracle.pennylane_state(circuit, params, column) for column in np.eye(2**n, dtype=complex)]
    heisenberg = np.conj(columns) @ oracle.dense(observable, n) @ np.transpose(columns)
    with jax.enable_x64(True):

        def value(re, im):
            return qc.expectation(circuit, params, observable, state=jax.lax.complex(re, im), engine="native")

        re, im = jnp.asarray(states.real), jnp.asarray(states.imag)
        found = jax.jit(jax.vmap(jax.grad(value, (0, 1))))(re, im)
        after = jax.jit(jax.vmap(lambda s: qc.apply(circuit, params, state=s, engine="native")))(jnp.asarray(states))
        found, after = np.asarray(found[0]) + 1j * np.asarray(found[1]), np.asarray(after)
    expected = 2 * states @ heisenberg.T
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL["float64"])
    np.testing.assert_allclose(after, states @ np.array(columns), rtol=0, atol=ATOL["float64"])


def test_the_gradient_of_a_state_and_of_coefficients():
    n, rng = 5, np.random.default_rng(5)
    circuit, words = qc.ansatz.hardware_efficient(n, 2), ["XZIIY", "ZZIII", "IIIII", "YIXZI"]
    params, direction = rng.uniform(-2, 2, circuit.n_params), rng.normal(size=circuit.n_params)
    target = oracle.random_state(rng, n)
    with jax.enable_x64(True):

        def overlap(p):
            return jnp.real(jnp.vdot(jnp.asarray(target), qc.apply(circuit, p, engine="native")))

        gradient = jax.jit(jax.grad(overlap))(jnp.asarray(params))
        slopes = jax.jit(
            jax.grad(lambda c: qc.expectation(circuit, jnp.asarray(params), Observable(words, c), engine="native"))
        )(jnp.ones(4))
    expected = oracle.slope(lambda p: np.real(np.vdot(target, oracle.pennylane_state(circuit, p))), params, direction)
    np.testing.assert_allclose(np.asarray(gradient) @ direction, expected, rtol=0, atol=GRADIENT_ATOL["float64"])
    values = [oracle.value(circuit, params, Observable([word])) for word in words]
    np.testing.assert_allclose(slopes, values, rtol=0, atol=ATOL["float64"])


@pytest.mark.parametrize("n", [6, 11])
def test_few_angles_on_many_words_in_a_loop(n, forced):
    """QAOA with a Toffoli in every layer: tables of phases."""
    rng = np.random.default_rng(n)
    edges = [(a, (a + 1) % n) for a in range(n)] + [(0, n // 2)]
    weights = rng.uniform(0.5, 1.5, len(edges))
    cost = Observable([((min(edge), "Z"), (max(edge), "Z")) for edge in edges], weights)
    layer = [qc.gate("rzz", edge, qc.Angle(0, 2 * w)) for edge, w in zip(edges, weights)]
    layer += [*(qc.gate("rx", q, qc.Angle(1, 2.0)) for q in range(n)), qc.gate("ccx", (0, 2, 4))]
    first = [qc.gate("h", q) for q in range(n)]
    circuit = qc.Circuit(n, (*first, qc.Repeat(qc.Circuit(n, tuple(layer)), 3, backwards=True)))
    params, direction = rng.uniform(-1, 1, 6), rng.normal(size=6)
    slope = oracle.slope(lambda p: oracle.value(circuit, p, cost), params, direction)
    with jax.enable_x64(True):
        run = jax.value_and_grad(lambda p: qc.expectation(circuit, p, cost, engine="native"))
        value, gradient = run(jnp.asarray(params))
    np.testing.assert_allclose(value, oracle.value(circuit, params, cost), rtol=0, atol=ATOL["float64"])
    np.testing.assert_allclose(np.asarray(gradient) @ direction, slope, rtol=0, atol=GRADIENT_ATOL["float64"])


@pytest.mark.parametrize("size", [3e5, 3e8])
def test_angles_of_any_size(size, forced):
    angle = np.float32(size)
    with jax.enable_x64(False):
        rows = jnp.asarray([[angle, -angle], [0.3, angle]], jnp.float32)
        circuit = qc.Circuit(2, (qc.gate("ry", 0, qc.Angle(0)), qc.gate("h", 1), qc.gate("rz", 1, qc.Angle(1))))
        found = jax.vmap(lambda p: qc.expectation(circuit, p, [qc.z(0), qc.pauli("X", 1)], engine="native"))(rows)
    np.testing.assert_allclose(found, np.cos(np.asarray(rows, float)), rtol=0, atol=ATOL["float32"])


@pytest.mark.parametrize("n", [17, 18, 19])
def test_threads_inside_one_state(n):
    """A product state and its gradient in closed form; a given state is not cut, and the CNOTs cancel."""
    rng = np.random.default_rng(n)
    ops = [qc.gate("ry", q, qc.Angle(q)) for q in range(n)] + [qc.gate("rz", q, qc.Angle(n + q)) for q in range(n)]
    ops += [qc.gate("cz", (0, n - 1)), qc.gate("rzz", (1, n - 2), qc.Angle(n)), qc.gate("cx", (0, 1))]
    circuit = qc.Circuit(n, (*ops, qc.gate("ry", n - 1, qc.Angle(2 * n)), qc.gate("cx", (0, 1)), qc.gate("cx", (0, 1))))
    angles = rng.uniform(-2, 2, 2 * n + 1)
    zero, words = jnp.zeros(2**n, jnp.complex64).at[0].set(1), qc.pauli("ZZ", (1, 2))
    run = jax.jit(jax.value_and_grad(lambda p: qc.expectation(circuit, p, words, state=zero, engine="native")))
    value, gradient = run(jnp.asarray(angles, jnp.float32))
    c, s = np.cos(angles), np.sin(angles)
    expected = np.zeros(2 * n + 1)
    expected[:3] = -s[0] * c[1] * c[2], -c[0] * s[1] * c[2], -c[0] * c[1] * s[2]
    np.testing.assert_allclose(value, c[0] * c[1] * c[2], rtol=0, atol=ATOL["float32"])
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=GRADIENT_ATOL["float32"])
    again = run(jnp.asarray(angles, jnp.float32))
    np.testing.assert_array_equal(again[1], gradient)  # threads do not change the order of sums


def test_scan_and_shard_map():
    circuit = qc.ansatz.hardware_efficient(4, 2)
    start = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (2, circuit.n_params)), jnp.float32)

    def value(p):
        return qc.expectation(circuit, p, [qc.z(0), qc.pauli("X", 1)], engine="native")

    def descend(p):
        return jax.lax.scan(
            lambda q, _: (q - 0.1 * jax.grad(lambda r: value(r).sum())(q), value(q).sum()), p, length=20
        )

    losses = jax.jit(jax.vmap(descend))(start)[1]
    assert np.all(losses[:, -1] < losses[:, 0] - 0.5)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("rows",))
    spread = jax.shard_map(
        jax.vmap(jax.grad(lambda p: value(p).sum())), mesh=mesh, in_specs=P("rows"), out_specs=P("rows")
    )
    expected = jax.jit(jax.vmap(jax.grad(lambda p: value(p).sum())))(start)
    np.testing.assert_allclose(jax.jit(spread)(start), expected, rtol=0, atol=BATCH_ATOL["float32"])


@pytest.mark.parametrize("engine", ["xla", "native"])
def test_a_gram_matrix_in_blocks(engine, monkeypatch):
    monkeypatch.setattr(fidelity_kernel, "BLOCKS_FROM", 0)
    rng = np.random.default_rng(8)
    circuit = qc.encodings.angle(3) + qc.Circuit(3, (qc.gate("cx", (0, 1)), qc.gate("rxx", (1, 2), qc.Angle(0))))
    x, y = rng.uniform(-2, 2, (11, circuit.n_params)), rng.uniform(-2, 2, (5, circuit.n_params))
    left, right = (np.array([oracle.pennylane_state(circuit, row) for row in rows]) for rows in (x, y))
    found = jax.jit(lambda a, b: (qc.gram(circuit, a, engine=engine), qc.gram(circuit, a, b, engine=engine)))(x, y)
    np.testing.assert_allclose(found[0], abs(left.conj() @ left.T) ** 2, rtol=0, atol=ATOL["float32"])
    np.testing.assert_allclose(found[1], abs(left.conj() @ right.T) ** 2, rtol=0, atol=ATOL["float32"])


def test_samples_from_the_kernels_state():
    circuit, shots = qc.ansatz.hardware_efficient(3, 2), 20_000
    params = np.random.default_rng(9).uniform(-2, 2, circuit.n_params)
    drawn = [qc.sample(jax.random.key(k), circuit, params, shots, engine="native") for k in (1, 1, 2)]
    counts = np.bincount(np.asarray(drawn[0]) @ [4, 2, 1], minlength=8)
    expected = shots * abs(oracle.pennylane_state(circuit, params)) ** 2
    assert np.all(abs(counts - expected) < 5 * np.sqrt(expected + 1))
    np.testing.assert_array_equal(drawn[1], drawn[0])
    assert np.any(np.asarray(drawn[2]) != np.asarray(drawn[0]))


def test_each_engine_counts_the_states_that_it_needs(monkeypatch):
    circuit = qc.ansatz.hardware_efficient(4, 1)
    params, state = jnp.ones(circuit.n_params, jnp.float32), jnp.zeros(16).at[3].set(1)
    monkeypatch.setattr(memory, "_memory", lambda: 7 * 2 * 16 * 4)
    qc.expectation(circuit, params, qc.z(0), engine="native")
    for options, count in (({"engine": "xla"}, 8), ({"engine": "native", "state": state}, 8)):
        with pytest.raises(ValueError, match=rf"4 qubits needs .* \({count} state vectors\)"):
            qc.expectation(circuit, params, qc.z(0), **options)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process like this")
def test_too_little_memory_is_an_error_and_no_crash():
    """The process may have 200 MB more than it has; the kernel needs four states of 128 MiB."""
    script = """
import resource
import jax, jax.numpy as jnp
from qgen import circuits as qc
circuit = qc.ansatz.hardware_efficient(24, 1)
run = jax.jit(jax.grad(lambda p: qc.expectation(circuit, p, qc.pauli("X", 0), engine="native")))
run = run.lower(jnp.ones(48)).compile()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20, -1))
try:
    jax.block_until_ready(run(jnp.ones(48)))
except jax.errors.JaxRuntimeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "RESOURCE_EXHAUSTED: qgen: there is not enough memory" in done.stdout


def test_the_choice_of_engine(monkeypatch):
    assert native.takes(4, "native")
    assert not native.takes(4, "xla")
    assert not native.takes(native.MAX_QUBITS + 1, "auto")
    with pytest.raises(ValueError, match="up to 30 qubits"):
        native.takes(native.MAX_QUBITS + 1, "native")
    monkeypatch.setenv(native.FORCE, "off")
    assert not native.takes(4, "auto")
    monkeypatch.setenv(native.FORCE, "mmx")
    with pytest.raises(ValueError, match="`QGEN_NATIVE` must be one of"):
        native.instruction_set()
    monkeypatch.setattr(native, "_best", lambda: "baseline")
    monkeypatch.setenv(native.FORCE, "avx512")
    with pytest.raises(ValueError, match="goes up to baseline"):
        native.instruction_set()


@pytest.mark.parametrize("built, reason", [(False, "is not built"), (True, "was built from other sources")])
def test_a_missing_or_stale_kernel_says_what_to_install(built, reason, monkeypatch, tmp_path, caplog):
    if built:
        (tmp_path / "libqgen_best.so").write_bytes((native.FOLDER / "libqgen_best.so").read_bytes())
        (tmp_path / "new.h").write_text("// changed")
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    with caplog.at_level(logging.WARNING):
        assert native._best.__wrapped__() is None
    assert reason in caplog.text and "install a C++17 compiler" in caplog.text


@pytest.mark.parametrize("content", ["damaged", "foreign"])
@pytest.mark.parametrize("broken, other", [("best", "baseline"), (native._best(), "best")], ids=["chooser", "kernel"])
def test_a_damaged_or_foreign_kernel_leaves_circuits_to_xla(broken, other, content, monkeypatch, tmp_path, caplog):
    for path in native.FOLDER.iterdir():
        if path.suffix in (".h", ".cpp", ".so"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    foreign = (tmp_path / f"libqgen_{other}.so").read_bytes()
    (tmp_path / f"libqgen_{broken}.so").write_bytes(b"no library" if content == "damaged" else foreign)
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    assert native._best.__wrapped__() is None
    (record,) = caplog.records
    assert "cannot be loaded" in record.message and "install a C++17 compiler" in record.message
    assert "\n" not in record.message


def test_a_kernel_for_no_processor(monkeypatch, tmp_path, caplog):
    for path in [*native.FOLDER.glob("*.h"), *native.FOLDER.glob("*.cpp"), native.FOLDER / "libqgen_best.so"]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    assert native._best.__wrapped__() is None
    assert "is not built for this processor" in caplog.text


def rule_of(circuit, n_params, flips, signs):
    program = lower(circuit)
    return native._Values(encode(program, n_params, flips, signs, native.instruction_set()), program, flips, signs)


def damaged(rule, code):
    return dataclasses.replace(rule, kernel=rule.kernel._replace(code=code.tobytes()))


def broken(change):
    """A kernel whose code was changed behind the encoder's back."""
    circuit = qc.Circuit(5, (qc.gate("ry", 1, qc.Angle(0)), qc.gate("cx", (0, 1)), qc.gate("rz", 2, qc.Angle(1))))
    rule = rule_of(circuit, 2, (0,), (1,))
    code = list(np.frombuffer(rule.kernel.code, np.int64))
    return damaged(rule, np.array(change(code), np.int64))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: [9, *c[1:]], "the format is 9"),
        (lambda c: [c[0], 40, *c[2:]], "out of range"),
        (lambda c: c[:-1], "too early"),
        (lambda c: [*c, 0], "nothing reads"),
        (lambda c: [*c[:7], 9, *c[8:]], "the kind|number of rotations|a bit"),
        (lambda c: [c[0], c[1], 1, *c[3:]], "axis has length 2, not 1"),
        (lambda c: [*c[:4], 1 << 40, *c[5:]], "a word is"),
    ],
)
def test_the_kernel_refuses_what_it_cannot_read(change, message):
    rule = broken(change)
    operands = [jnp.zeros(2, jnp.float32), jnp.zeros((2, 0), jnp.float32), jnp.ones((1, 1), jnp.float32)]
    with pytest.raises(Exception, match=f"qgen: .*({message})"):
        jax.block_until_ready(jax.jit(rule.value)(*operands))


@pytest.mark.parametrize(
    "entry, value, message", [(-4, 0, "what a mirror flips is 0"), (-3, 32, "a mirror's signs is 32")]
)
def test_the_kernel_refuses_a_mirror_it_cannot_turn(entry, value, message):
    """The code of the only stage ends with flip, sign, the number of the angle's terms and the parameter's entry."""
    rule = rule_of(qc.Circuit(5, (qc.pauli_rotation("XYYZX", range(5), qc.Angle(0)),)), 1, (0,), (1,))
    code = np.frombuffer(rule.kernel.code, np.int64).copy()
    code[entry] = value
    operands = [jnp.zeros(1, jnp.float32), jnp.zeros((2, 0), jnp.float32), jnp.ones((1, 1), jnp.float32)]
    with pytest.raises(Exception, match=f"qgen: .*{message}"):
        jax.block_until_ready(jax.jit(damaged(rule, code).value)(*operands))


def test_any_change_of_a_program_is_survived():
    """Random damage is refused or harmless: the kernel checks every number that it reads."""
    rng = np.random.default_rng(2)
    circuit, _ = random_circuit(3)
    rule = rule_of(circuit, N_PARAMS, (0, 5), (1, 6))
    code = np.frombuffer(rule.kernel.code, np.int64)
    operands = [jnp.ones(N_PARAMS, jnp.float32), jnp.zeros((2, 0), jnp.float32), jnp.ones((1, 2), jnp.float32)]

    def gradient(rule, params):
        return jax.grad(lambda p: derivatives.evaluate(rule, (p, *operands[1:]))[0][0])(params)

    refused = 0
    for _ in range(30):
        changed = code.copy()
        changed[rng.integers(4, len(code))] = rng.choice([-1, 0, 1, 2, 3, 7, 64, 1 << 20, 1 << 62])
        run = jax.jit(functools.partial(gradient, damaged(rule, changed)))
        try:
            jax.block_until_ready(run(operands[0]))
        except jax.errors.JaxRuntimeError as error:
            refused += "qgen: " in str(error)
    assert refused > 10
