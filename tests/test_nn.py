"""QuantumLayer against PennyLane, in a Sequential, trained with optax, vmapped over a population."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pennylane as qml
import pytest
from flax import nnx

from qgen import circuits as qc
from qgen.nn import QuantumLayer

SINGLE = 1e-5
N = 3
ENCODING = qc.encodings.angle(N, "rx")
ANSATZ = qc.ansatz.hardware_efficient(N, 2)
OBSERVABLES = (qc.z(0), qc.Observable(["XIY", "IZZ"], np.array([0.6, -0.8])))


def layer(seed: int = 0, **options) -> QuantumLayer:
    return QuantumLayer(ENCODING + ANSATZ, OBSERVABLES, inputs=N, rngs=nnx.Rngs(seed), **options)


def reference(x, angles) -> np.ndarray:
    @qml.qnode(qml.device("default.qubit", wires=N))
    def node():
        params = np.concatenate([x, angles])
        for op in (ENCODING + ANSATZ).walk():
            values = [a.scale * params[a.index] + a.offset for a in op.angles]
            getattr(qml, qc.GATES[op.name].pennylane)(*values, wires=op.wires)
        second = qml.dot([0.6, -0.8], [qml.X(0) @ qml.Y(2), qml.Z(1) @ qml.Z(2)])
        return qml.expval(qml.Z(0)), qml.expval(second)

    return np.array(node())


def test_outputs_for_any_batch_axes():
    made = layer()
    x = np.random.default_rng(0).uniform(-1, 1, (2, 2, N)).astype(np.float32)
    angles = np.asarray(made.angles[...])
    expected = np.stack([[reference(row, angles) for row in block] for block in x])
    run = nnx.jit(lambda layer, x: layer(x))
    np.testing.assert_allclose(run(made, x), expected, atol=SINGLE)
    np.testing.assert_allclose(run(made, x[0, 1]), expected[0, 1], atol=SINGLE)
    scaled = layer(post_scale=True)
    scaled.scale[...], scaled.shift[...] = jnp.array([2.0, -3.0]), jnp.array([0.1, 0.2])
    np.testing.assert_allclose(run(scaled, x), expected * [2, -3] + [0.1, 0.2], atol=SINGLE)


def test_transform_and_reuploading():
    pairs = ((0, 1), (1, 2))
    encoding = qc.encodings.iqp(N, 1, pairs)
    circuit = qc.repeat(encoding + qc.ansatz.rotations(N, ("ry",)), 2, shared=encoding.n_params)
    made = QuantumLayer(
        circuit,
        [qc.z(1)],
        inputs=encoding.n_params,
        rngs=nnx.Rngs(1),
        transform=lambda x: qc.encodings.iqp_angles(x, pairs),
    )
    assert made.angles[...].shape == (2 * N,)
    x = np.array([0.3, -0.5, 0.9], np.float32)
    params = np.concatenate([x, [x[0] * x[1], x[1] * x[2]], np.asarray(made.angles[...])])

    @qml.qnode(qml.device("default.qubit", wires=N))
    def node():
        for op in circuit.walk():
            values = [a.scale * params[a.index] + a.offset for a in op.angles]
            getattr(qml, qc.GATES[op.name].pennylane)(*values, wires=op.wires)
        return qml.expval(qml.Z(1))

    np.testing.assert_allclose(made(x), [node()], atol=SINGLE)


def test_training_in_a_sequential_reaches_the_circuit():
    rngs = nnx.Rngs(2)
    model = nnx.Sequential(nnx.Linear(4, N, rngs=rngs), layer(post_scale=True), nnx.Linear(2, 1, rngs=rngs))
    x = np.random.default_rng(3).normal(size=(32, 4)).astype(np.float32)
    y = np.sign(x[:, :1] * x[:, 1:2])
    optimizer = nnx.Optimizer(model, optax.adam(0.05), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        loss, gradients = nnx.value_and_grad(lambda m: jnp.mean((m(x) - y) ** 2))(model)
        optimizer.update(model, gradients)
        return loss, jnp.linalg.norm(gradients["layers"][1]["angles"][...])

    losses, norms = zip(*[step(model, optimizer) for _ in range(60)], strict=True)
    assert losses[-1] < 0.7 * losses[0]
    assert min(float(norm) for norm in norms[:5]) > 1e-3


def test_population_by_vmap():
    graph, _ = nnx.split(layer())
    x = np.random.default_rng(4).uniform(-1, 1, (3, N)).astype(np.float32)
    states = [nnx.split(layer(seed))[1] for seed in range(4)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    outputs = jax.jit(jax.vmap(lambda state: nnx.merge(graph, state)(x)))(stacked)
    for member, state in zip(outputs, states, strict=True):
        angles = np.asarray(state["angles"][...])
        np.testing.assert_allclose(member, [reference(row, angles) for row in x], atol=SINGLE)
    assert graph == nnx.split(layer(1))[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuantumLayer(ANSATZ, OBSERVABLES, inputs=13, rngs=nnx.Rngs(0)), r"`inputs` must lie in \[0, 12\]"),
        (lambda: QuantumLayer(ANSATZ, [], inputs=0, rngs=nnx.Rngs(0)), "`number of observables` must be at least 1"),
        (lambda: QuantumLayer(ANSATZ, [qc.z(3)], inputs=0, rngs=nnx.Rngs(0)), "out of range"),
        (lambda: layer()(np.ones((2, 4))), "takes 3 inputs, but the features have shape"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
