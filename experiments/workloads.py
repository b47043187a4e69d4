"""The workloads of the benchmark: their sizes, their data and the least time that this machine could take.

W1 value and gradient of <sum Z> of a hardware-efficient circuit; W2 loss and gradient of a data re-uploading layer over
a batch; W3 a population of parameter sets; W4 QAOA on a weighted 3-regular graph; W5 the Gram matrix of a ZZ feature
map; W6 the quantum head, a data re-uploading classifier of two classes: cross entropy and gradient over a batch.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

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

NEEDS = {"W1": "nL", "W2": "nLB", "W3": "nLP", "W4": "np", "W5": "nN", "W6": "nLB"}


@dataclasses.dataclass(frozen=True)
class Workload:
    """One workload: its kind W1...W6 and its sizes."""

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
    if workload.kind == "W6":
        return {"p": angles(c["L"], 2, n), "x": rng.uniform(-1, 1, (c["B"], n)), "y": rng.integers(0, 2, c["B"])}
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
    and the phases; states that fit the cache cost no traffic. It counts the whole state vector: circuits that run on
    fewer qubits (`qgen.circuits.symmetry`, `cutting`) may lie below it.
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
