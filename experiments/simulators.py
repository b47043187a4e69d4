"""How each simulator runs a workload, written as a user of it would; qgen first.

Every builder takes the workload's kind, its sizes and its data, and returns `fn`, which runs one evaluation and waits
for it, `np`, which turns its result into (value, gradient or None), and the `dtype`; under jax also `temporary`, which
compiles once more and tells the bytes that XLA needs besides inputs and outputs. Workloads that a simulator does not
run raise NotImplementedError.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgen import check

PEERS = {
    "qgen": "jax",
    "qgen_xla": "jax",
    "pennylane": "pennylane",
    "lightning": "pennylane_lightning",
    "qujax": "qujax",
}
"""Simulator -> the module that must be importable for it; `qgen_xla` is qgen without its compiled engine."""


def build(workload: str, config: Mapping[str, int], data: Mapping[str, Any], engine: str = "auto") -> dict[str, Any]:
    """qgen's side of one workload, written as a user would write it.

    Args:
        workload: "W1" ... "W6".
        config: its sizes.
        data: arrays `p`, `x`, `y` and, for W4, `edges` and `weights`.
        engine: as in `qgen.circuits.expectation`.

    Returns:
        `fn`, `np`, `dtype` and `temporary`.
    """
    import jax
    import jax.numpy as jnp

    from qgen import circuits as qc

    n = config["n"]
    arrays = [jnp.asarray(data[name]) for name in ("p", "x", "y") if name in data]
    if workload in ("W1", "W3"):
        circuit = qc.ansatz.hardware_efficient(n, config["L"])
        total = qc.observables.z_sum(n)
        run = jax.value_and_grad(lambda p: qc.expectation(circuit, p, total, engine=engine))
        run = jax.vmap(run) if workload == "W3" else run
    elif workload == "W2":
        layer = qc.encodings.angle(n, "rx") + qc.ansatz.hardware_efficient(n, 1)
        circuit = qc.repeat(layer, config["L"], shared=n)
        mean = qc.observables.z_sum(n, 1 / n)

        def loss(p: Any, x: Any, y: Any) -> Any:
            outputs = jax.vmap(lambda row: qc.expectation(circuit, (row, p), mean, engine=engine))(x)
            return jnp.mean((outputs - y) ** 2)

        run = jax.value_and_grad(loss)
    elif workload == "W6":
        layer = qc.encodings.angle(n, "rx") + qc.ansatz.hardware_efficient(n, 1)
        circuit = qc.repeat(layer, config["L"], shared=n)

        def cross_entropy(p: Any, x: Any, y: Any) -> Any:
            logits = jax.vmap(lambda row: qc.expectation(circuit, (row, p), [qc.z(0), qc.z(1)], engine=engine))(x)
            return jnp.mean(jax.nn.logsumexp(logits, 1) - jnp.take_along_axis(logits, y[:, None], 1)[:, 0])

        run = jax.value_and_grad(cross_entropy)
    elif workload == "W4":
        cost = qc.Observable([tuple((q, "Z") for q in edge) for edge in data["edges"]], data["weights"])
        circuit = qc.ansatz.qaoa(cost, config["p"])
        run = jax.value_and_grad(lambda p: qc.expectation(circuit, p.T, cost, engine=engine))
    elif workload == "W5":
        circuit = qc.encodings.iqp(n, reps=2)

        def run(x: Any) -> Any:
            return qc.gram(circuit, qc.encodings.iqp_angles(x), engine=engine)
    else:
        raise NotImplementedError(workload)
    return _standard(jax.jit(run), arrays, pair=workload != "W5")


def _standard(compiled: Any, arrays: list[Any], pair: bool) -> dict[str, Any]:
    import jax

    def numpy(result: Any) -> tuple[np.ndarray, np.ndarray | None]:
        return (np.asarray(result[0]), np.asarray(result[1])) if pair else (np.asarray(result), None)

    def temporary() -> int:
        return compiled.lower(*arrays).compile().memory_analysis().temp_size_in_bytes

    run = lambda: jax.block_until_ready(compiled(*arrays))  # noqa: E731
    return {"fn": run, "np": numpy, "dtype": "f32", "temporary": temporary}


def _ring(n: int) -> list[tuple[int, int]]:
    return [(i, (i + 1) % n) for i in range(n)] if n > 2 else [(0, 1)]


def _build_pennylane(workload: str, config: Mapping[str, int], data: Mapping[str, Any]) -> dict[str, Any]:
    """PennyLane's default.qubit under jax.jit, backpropagation, single precision."""
    if workload == "W6":
        raise NotImplementedError(workload)
    import jax
    import jax.numpy as jnp
    import pennylane as qml

    n = config["n"]
    device = qml.device("default.qubit", wires=n)
    node = lambda f: qml.QNode(f, device, interface="jax", diff_method="backprop")  # noqa: E731
    arrays = [jnp.asarray(data[name]) for name in ("p", "x", "y") if name in data]
    sum_z = qml.sum(*(qml.Z(i) for i in range(n))) if n > 1 else qml.Z(0)

    def layers(p: Any, x: Any = None) -> None:
        for row in range(config["L"]):
            if x is not None:
                for i in range(n):
                    qml.RX(x[..., i], i)
            for i in range(n):
                qml.RY(p[row, 0, i], i)
                qml.RZ(p[row, 1, i], i)
            for pair in _ring(n):
                qml.CNOT(pair)

    def energy(p: Any) -> Any:
        layers(p)
        return qml.expval(sum_z)

    def uploaded(p: Any, x: Any) -> Any:
        layers(p, x)
        return qml.expval(sum_z)

    def cost(p: Any) -> Any:
        for i in range(n):
            qml.Hadamard(i)
        for layer in range(config["p"]):
            for edge, weight in zip(data["edges"], data["weights"], strict=True):
                qml.IsingZZ(2 * p[0, layer] * weight, edge)
            for i in range(n):
                qml.RX(2 * p[1, layer], i)
        terms = [qml.s_prod(float(w), qml.Z(a) @ qml.Z(b)) for (a, b), w in zip(data["edges"], data["weights"])]
        return qml.expval(qml.sum(*terms))

    def feature(x: Any) -> Any:
        for _ in range(2):
            for i in range(n):
                qml.Hadamard(i)
                qml.RZ(2 * x[..., i], i)
            for a, b in _ring(n):
                qml.IsingZZ(2 * x[..., a] * x[..., b], (a, b))
        return qml.state()

    if workload in ("W1", "W3"):
        run = jax.value_and_grad(lambda p: jnp.real(node(energy)(p)))
        run = jax.vmap(run) if workload == "W3" else run
    elif workload == "W2":
        run = jax.value_and_grad(lambda p, x, y: jnp.mean((jnp.real(node(uploaded)(p, x)) / n - y) ** 2))
    elif workload == "W4":
        run = jax.value_and_grad(lambda p: jnp.real(node(cost)(p)))
    else:

        def run(x: Any) -> Any:
            states = node(feature)(x)
            return jnp.abs(states @ states.conj().T) ** 2

    return _standard(jax.jit(run), arrays, pair=workload != "W5")


def _build_lightning(workload: str, config: Mapping[str, int], data: Mapping[str, Any]) -> dict[str, Any]:
    """PennyLane's lightning.qubit with its adjoint gradient, single precision; W1 only."""
    import pennylane as qml
    from pennylane import numpy as pnp

    if workload != "W1":
        raise NotImplementedError(workload)
    n = config["n"]

    @qml.qnode(qml.device("lightning.qubit", wires=n, c_dtype=np.complex64), diff_method="adjoint")
    def energy(p: Any) -> Any:
        for row in range(config["L"]):
            for i in range(n):
                qml.RY(p[row, 0, i], i)
                qml.RZ(p[row, 1, i], i)
            for pair in _ring(n):
                qml.CNOT(pair)
        return qml.expval(qml.sum(*(qml.Z(i) for i in range(n))))

    p = pnp.array(data["p"], requires_grad=True)
    step = qml.grad(energy)

    def run() -> tuple[Any, Any]:
        gradient = step(p)
        return step.forward, gradient

    return {"fn": run, "np": lambda r: (np.asarray(r[0]), np.asarray(r[1])), "dtype": "c64"}


def _build_qujax(workload: str, config: Mapping[str, int], data: Mapping[str, Any]) -> dict[str, Any]:
    """qujax, single precision; W1 and W3."""
    import jax
    import jax.numpy as jnp
    import qujax  # pyright: ignore[reportMissingImports]

    if workload not in ("W1", "W3"):
        raise NotImplementedError(workload)
    n, rows = config["n"], config["L"]
    gates, wires, places = [], [], []
    for row in range(rows):
        for i in range(n):
            gates += ["Ry", "Rz"]
            wires += [[i], [i]]
            places += [[row * 2 * n + i], [row * 2 * n + n + i]]
        for pair in _ring(n):
            gates.append("CX")
            wires.append(list(pair))
            places.append([])
    state = qujax.get_params_to_statetensor_func(gates, wires, places, n)
    total = qujax.get_statetensor_to_expectation_func([["Z"]] * n, [[i] for i in range(n)], [1.0] * n)
    run = jax.value_and_grad(lambda p: total(state(p.reshape(-1) / np.pi)))
    return _standard(jax.jit(jax.vmap(run) if workload == "W3" else run), [jnp.asarray(data["p"])], pair=True)


def _build_xla(workload: str, config: Mapping[str, int], data: Mapping[str, Any]) -> dict[str, Any]:
    """qgen's plain JAX engine."""
    return build(workload, config, data, engine="xla")


BUILDERS = {
    "qgen": build,
    "qgen_xla": _build_xla,
    "pennylane": _build_pennylane,
    "lightning": _build_lightning,
    "qujax": _build_qujax,
}


def chosen_peers(names: list[str] | None, accelerator: bool) -> list[str]:
    """The peers to compare: those that are named, or all that can be imported.

    Raises:
        ValueError: if one is unknown or not installed.
    """
    if not names:
        return [p for p, m in PEERS.items() if importlib.util.find_spec(m) and (p == "qgen" or not accelerator)]
    for name in names:
        check.one_of("peers", name, PEERS)
        if importlib.util.find_spec(PEERS[name]) is None:
            raise ValueError(f"Peer {name!r} needs the module {PEERS[name]}, which is not installed.")
    return names
