"""The circuit engine against other simulators, side by side.

    python -m experiments.benchmark --workloads W1:n=8,L=8 --peers qgen,pennylane --repeats 7

W1 value and gradient of <sum Z> of a hardware-efficient circuit; W2 loss and gradient of a data re-uploading layer over
a batch; W3 a population of parameter sets; W4 QAOA on a weighted 3-regular graph; W5 the Gram matrix of a ZZ feature
map.

Every peer has a process of its own; repetitions are interleaved and medians compared, because machines drift: read
ratios within one workload only. The default set takes about 5 minutes on a 2-core AMD EPYC virtual machine; expect a
ratio to the best peer of 1.5 to 4. Without `--peers`, every known peer that can be imported takes part; on an
accelerator only qgen does.
"""

import dataclasses
import importlib.util
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments import cli
from qgen import check, record

PEERS = {"qgen": "jax", "pennylane": "pennylane", "lightning": "pennylane_lightning", "qujax": "qujax"}
"""Peer -> the module that must be importable for it."""

DEFAULT = (
    "W1:n=4,L=8",
    "W1:n=8,L=8",
    "W1:n=12,L=8",
    "W1:n=16,L=8",
    "W2:n=4,L=4,B=1024",
    "W2:n=8,L=4,B=256",
    "W3:n=4,L=4,P=1024",
    "W3:n=8,L=4,P=256",
    "W4:n=16,p=8",
    "W5:n=8,N=512",
    "W5:n=12,N=512",
)

NEEDS = {"W1": "nL", "W2": "nLB", "W3": "nLP", "W4": "np", "W5": "nN"}
AGREEMENT = 2e-4
"""The largest accepted difference between peers in single precision, relative to the largest entry."""

_WORKLOADS = flags.DEFINE_list("workloads", None, "Workloads such as W1:n=8,L=8,W4:n=16,p=8; a default set.")
_PEERS = flags.DEFINE_list("peers", None, f"Peers out of {', '.join(PEERS)}; all that can be imported by default.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Repetitions, interleaved.")
_MIN_TIME_S = flags.DEFINE_float("min_time_s", 0.1, "The least time of one repetition.")
_TIMEOUT_S = flags.DEFINE_float("timeout_s", 120.0, "How long a peer may take to build one workload.")
_OUT = flags.DEFINE_string("out", None, "A .jsonl file that gets one record per peer and workload.")


@dataclasses.dataclass(frozen=True)
class Workload:
    """One workload: its kind W1...W5 and its sizes."""

    kind: str
    sizes: Mapping[str, int]

    @property
    def name(self) -> str:
        """The text that `parse` reads."""
        return self.kind + ":" + ",".join(f"{k}={v}" for k, v in self.sizes.items())


def parse(text: str) -> Workload:
    """Reads `W1:n=8,L=8` (or with semicolons).

    Raises:
        ValueError: if the kind is unknown or its sizes are not exactly those that it needs, each at least 1.
    """
    kind, _, rest = text.partition(":")
    if kind not in NEEDS:
        raise ValueError(f"Workload {text!r} is none of {', '.join(NEEDS)}.")
    pairs = [pair.partition("=") for pair in rest.replace(";", ",").split(",") if pair]
    if sorted(name for name, _, _ in pairs) != sorted(NEEDS[kind]) or not all(
        v.isdigit() and int(v) for *_, v in pairs
    ):
        wanted = ",".join(f"{name}=NUMBER" for name in NEEDS[kind])
        raise ValueError(f"Workload {text!r} must read {kind}:{wanted}.")
    sizes = {name: int(value) for name, _, value in pairs}
    if kind == "W4" and (sizes["n"] < 4 or sizes["n"] % 2):
        raise ValueError(f"Workload {text!r} needs an even n of at least 4 for a 3-regular graph.")
    return Workload(kind, {name: sizes[name] for name in NEEDS[kind]})


def make_data(workload: Workload, seed: int = 123) -> dict[str, Any]:
    """The workload's parameters and data, the same for every peer."""
    rng = np.random.default_rng(seed)
    c = workload.sizes
    n = c["n"]
    angles = lambda *shape: rng.uniform(-np.pi, np.pi, shape)  # noqa: E731
    if workload.kind == "W1":
        return {"p": angles(c["L"], 2, n)}
    if workload.kind == "W2":
        return {"p": angles(c["L"], 2, n), "x": rng.uniform(-1, 1, (c["B"], n)), "y": rng.uniform(-1, 1, c["B"])}
    if workload.kind == "W3":
        return {"p": angles(c["P"], c["L"], 2, n)}
    if workload.kind == "W4":
        edges = _regular_graph(n, rng)
        return {"p": rng.uniform(0.1, 0.6, (2, c["p"])), "edges": edges, "weights": rng.uniform(0.5, 1.5, len(edges))}
    return {"x": rng.uniform(-1, 1, (c["N"], n))}


def _regular_graph(n: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    while True:  # pairs up three stubs per node until the graph is simple
        stubs = np.repeat(np.arange(n), 3)
        rng.shuffle(stubs)
        edges = {(min(a, b), max(a, b)) for a, b in stubs.reshape(-1, 2).tolist() if a != b}
        if len(edges) == 3 * n // 2:
            return sorted(edges)


def build(workload: str, config: Mapping[str, int], data: Mapping[str, Any]) -> dict[str, Any]:
    """qgen's side of one workload, written as a user would write it.

    Args:
        workload: "W1" ... "W5".
        config: its sizes.
        data: arrays `p`, `x`, `y` and, for W4, `edges` and `weights`.

    Returns:
        `fn`: runs one evaluation and waits for it; `np`: its result as (value, gradient or None); `dtype`.
    """
    import jax
    import jax.numpy as jnp

    from qgen import circuits as qc

    n = config["n"]
    arrays = [jnp.asarray(data[name]) for name in ("p", "x", "y") if name in data]
    if workload in ("W1", "W3"):
        circuit = qc.ansatz.hardware_efficient(n, config["L"])
        total = qc.observables.z_sum(n)
        run = jax.value_and_grad(lambda p: qc.expectation(circuit, p, total))
        run = jax.vmap(run) if workload == "W3" else run
    elif workload == "W2":
        layer = qc.encodings.angle(n, "rx") + qc.ansatz.hardware_efficient(n, 1)
        circuit = qc.repeat(layer, config["L"], shared=n)
        mean = qc.observables.z_sum(n, 1 / n)

        def loss(p: Any, x: Any, y: Any) -> Any:
            outputs = jax.vmap(lambda row: qc.expectation(circuit, (row, p), mean))(x)
            return jnp.mean((outputs - y) ** 2)

        run = jax.value_and_grad(loss)
    elif workload == "W4":
        cost = qc.Observable([tuple((q, "Z") for q in edge) for edge in data["edges"]], data["weights"])
        circuit = qc.ansatz.qaoa(cost, config["p"])
        run = jax.value_and_grad(lambda p: qc.expectation(circuit, p.T, cost))
    elif workload == "W5":
        circuit = qc.encodings.iqp(n, reps=2)

        def run(x: Any) -> Any:
            return qc.gram(circuit, qc.encodings.iqp_angles(x))
    else:
        raise NotImplementedError(workload)
    return _standard(jax.jit(run), arrays, pair=workload != "W5")


def _standard(compiled: Callable[..., Any], arrays: list[Any], pair: bool) -> dict[str, Any]:
    import jax

    def numpy(result: Any) -> tuple[np.ndarray, np.ndarray | None]:
        return (np.asarray(result[0]), np.asarray(result[1])) if pair else (np.asarray(result), None)

    return {"fn": lambda: jax.block_until_ready(compiled(*arrays)), "np": numpy, "dtype": "f32"}


def _ring(n: int) -> list[tuple[int, int]]:
    return [(i, (i + 1) % n) for i in range(n)] if n > 2 else [(0, 1)]


def _build_pennylane(workload: str, config: Mapping[str, int], data: Mapping[str, Any]) -> dict[str, Any]:
    """PennyLane's default.qubit under jax.jit, backpropagation, single precision."""
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


BUILDERS = {"qgen": build, "pennylane": _build_pennylane, "lightning": _build_lightning, "qujax": _build_qujax}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _serve(peer: str, connection: Any) -> None:
    """A peer's process: builds workloads and times repetitions as told."""
    import jax
    import jax.numpy as jnp

    jax.block_until_ready(jax.jit(lambda x: x @ x)(jnp.ones((8, 8))))  # starting jax is not compile time
    importlib.import_module(PEERS[peer])
    run: dict[str, Any] = {}
    while (message := connection.recv()) is not None:
        try:
            if isinstance(message, Workload):
                data = make_data(message)
                before, start = _peak_bytes(), time.perf_counter()
                run = BUILDERS[peer](message.kind, message.sizes, data)
                result = run["fn"]()
                first = time.perf_counter() - start
                start = time.perf_counter()
                run["fn"]()
                second = time.perf_counter() - start
                value, gradient = run["np"](result)
                answer = {"value": value, "gradient": gradient, "once_s": second, "compile_s": max(first - second, 0.0)}
                connection.send(
                    {**answer, "memory": _peak_bytes() - before, "peak": _peak_bytes(), "dtype": run["dtype"]}
                )
            else:
                start = time.perf_counter()
                for _ in range(message):
                    run["fn"]()
                connection.send({"time_s": (time.perf_counter() - start) / message})
        except NotImplementedError:
            connection.send({"unsupported": True})
        except Exception as error:
            connection.send({"error": f"{type(error).__name__}: {str(error)[:200]}"})


class Peer:
    """A peer's process and the line to it."""

    def __init__(self, name: str):
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.line, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(name, other), daemon=True)
        self.process.start()
        other.close()

    def ask(self, message: Any, timeout_s: float) -> dict[str, Any]:
        """The process's answer, or an error if it is late or gone."""
        try:
            self.line.send(message)
            if self.line.poll(timeout_s):
                return self.line.recv()
        except (EOFError, OSError):
            return {"error": "the process died", "dead": True}
        self.process.terminate()
        return {"error": f"no answer in {timeout_s:g} s", "dead": True}

    def close(self) -> None:
        """Ends the process."""
        if self.process.is_alive():
            try:
                self.line.send(None)
            except OSError:
                self.process.terminate()
        self.process.join(5)


def machine_limit() -> tuple[float, float]:
    """(flop/s of a single-precision matrix product, bytes/s of a copy) measured now, the best of some tries."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((1024, 1024), jnp.float32)
    x = jnp.ones(1 << 24, jnp.float32)
    product, copy = jax.jit(lambda m: m @ m), jax.jit(lambda v: v + 1)

    def best(f: Callable[[Any], Any], given: Any) -> float:
        jax.block_until_ready(f(given))
        times = []
        for _ in range(8):
            start = time.perf_counter()
            jax.block_until_ready(f(given))
            times.append(time.perf_counter() - start)
        return min(times)

    return 2 * 1024**3 / best(product, a), 2 * x.nbytes / best(copy, x)


def limit_s(workload: Workload, flops: float, copy: float) -> float:
    """The roofline of a workload on this machine: arithmetic at peak or one pass over the states per layer, the slower.

    Forward and adjoint of a layer take 22 n + 30 flops per amplitude: n real rotations on state, adjoint and gradient,
    and the phases; states that fit the cache cost no traffic.
    """
    c = workload.sizes
    n = c["n"]
    batch = c.get("B", c.get("P", c.get("N", 1)))
    layers = c.get("L", c.get("p", 2))
    amplitudes = 2.0**n * batch * layers
    if workload.kind == "W5":
        return (6 * n * amplitudes + 3 * 2 * batch**2 * 2**n) / flops
    state_bytes = 8 * 2.0**n
    traffic = 6 * state_bytes * batch * layers if state_bytes > 2**22 else 0.0
    return max(amplitudes * (22 * n + 30) / flops, traffic / copy)


def distance(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    """The largest difference of values and gradients, relative to the largest entry of each."""
    found = 0.0
    for name in ("value", "gradient"):
        a, b = first[name], second[name]
        if a is not None and b is not None:
            found = max(found, float(np.max(np.abs(a - b)) / max(1e-3, np.max(np.abs(b)))))
    return found


def compare(workload: Workload, peers: list[Peer], limit: float) -> list[dict[str, Any]]:
    """Builds a workload on every peer, times them in turn, and returns one row per peer, fastest first."""
    built: dict[str, dict[str, Any]] = {}
    for peer in list(peers):
        answer = peer.ask(workload, _TIMEOUT_S.value)
        if "error" in answer:
            print(f"  {peer.name:10s} {answer['error']}", flush=True)
            if answer.get("dead"):
                peers.remove(peer)
        elif "unsupported" not in answer:
            built[peer.name] = {**answer, "times": []}
    for _ in range(_REPEATS.value):
        for peer in list(peers):
            if peer.name in built:
                count = max(1, int(_MIN_TIME_S.value / max(built[peer.name]["once_s"], 1e-7)))
                answer = peer.ask(min(count, 5000), _TIMEOUT_S.value)
                if "time_s" in answer:
                    built[peer.name]["times"].append(answer["time_s"])
    rows = []
    for name, answer in built.items():
        if not answer["times"]:
            continue
        reference = built.get("qgen", answer)
        middle = statistics.median(answer["times"])
        rows.append(
            {
                "peer": name,
                "time_s": middle,
                "low_s": min(answer["times"]),
                "high_s": max(answer["times"]),
                "compile_s": answer["compile_s"],
                "memory_mb": answer["memory"] / 2**20,
                "peak_mb": answer["peak"] / 2**20,
                "from_limit": middle / limit,
                "difference": distance(answer, reference),
            }
        )
    rows.sort(key=lambda row: row["time_s"])
    own = next((row["time_s"] for row in rows if row["peer"] == "qgen"), None)
    for row in rows:
        row["ratio"] = row["time_s"] / own if own else float("nan")
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Prints one workload's rows."""
    for row in rows:
        warning = "" if row["difference"] <= AGREEMENT else "  DISAGREES WITH QGEN"
        print(
            f"  {row['peer']:10s} {row['time_s'] * 1e3:11.3f} ms  x{row['ratio']:7.2f} of qgen"
            f"  [{row['low_s'] * 1e3:.3f} .. {row['high_s'] * 1e3:.3f}]  compile {row['compile_s']:6.2f} s"
            f"  memory +{row['memory_mb']:.0f} MB (peak {row['peak_mb']:.0f})  {row['from_limit']:8.1f} x limit"
            f"  difference {row['difference']:.1e}{warning}",
            flush=True,
        )


def write(path: Path, workload: Workload, rows: list[dict[str, Any]], start: str) -> None:
    """One record per peer."""
    for row in rows:
        metrics = {k: float(v) for k, v in row.items() if k != "peer" and np.isfinite(v)}
        record.append(
            path,
            record.Record(
                experiment="benchmark",
                stage=workload.kind,
                arm=f"simulator/{row['peer']}",
                seed=123,
                preset="default",
                config={**workload.sizes, "repeats": _REPEATS.value},
                metrics=metrics,
                provenance=record.provenance(start),
            ),
        )


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


def main() -> None:
    """Runs the comparison."""
    import jax

    with cli.flag("workloads", _WORKLOADS.value):
        workloads = [parse(text) for text in (_joined(_WORKLOADS.value) if _WORKLOADS.value else DEFAULT)]
    with cli.flag("peers", _PEERS.value):
        names = chosen_peers(_PEERS.value, jax.default_backend() != "cpu")
    with cli.flag("repeats", _REPEATS.value):
        check.at_least("repeats", _REPEATS.value, 1)
    with cli.flag("min_time_s", _MIN_TIME_S.value):
        check.at_least("min_time_s", _MIN_TIME_S.value, 0)
    with cli.flag("timeout_s", _TIMEOUT_S.value):
        check.positive("timeout_s", _TIMEOUT_S.value)
    if _OUT.value and not _OUT.value.endswith(".jsonl"):
        raise cli.UsageError(f"--out={_OUT.value}: must name a .jsonl file.")
    start = datetime.now(UTC).isoformat(timespec="seconds")
    flops, copy = machine_limit()
    print(
        f"{jax.devices()[0].device_kind}: {flops / 1e9:.0f} GF/s in a matrix product, {copy / 1e9:.1f} GB/s in a copy"
    )
    peers = [Peer(name) for name in names]
    try:
        for workload in workloads:
            print(f"\n{workload.name}", flush=True)
            rows = compare(workload, peers, limit_s(workload, flops, copy))
            show(rows)
            if _OUT.value:
                write(Path(_OUT.value), workload, rows, start)
    finally:
        for peer in peers:
            peer.close()


def _joined(pieces: list[str]) -> list[str]:
    """A list flag splits at every comma: pieces that do not begin a workload belong to the one before."""
    texts: list[str] = []
    for piece in pieces:
        if "=" in piece and ":" not in piece and texts:
            texts[-1] += "," + piece
        else:
            texts.append(piece)
    return texts


if __name__ == "__main__":
    cli.run(main)
