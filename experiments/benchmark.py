"""The circuit engine against other simulators, side by side.

    python -m experiments.benchmark --workloads W1:n=8,L=8 --peers qgen,pennylane --repeats 7

W1 value and gradient of <sum Z> of a hardware-efficient circuit; W2 loss and gradient of a data re-uploading layer over
a batch; W3 a population of parameter sets; W4 QAOA on a weighted 3-regular graph; W5 the Gram matrix of a ZZ feature
map; W6 the quantum head, a data re-uploading classifier. `--populations 1,64,1024` compares hyperparameter studies
instead: whole populations of trainings of the 8-qubit, 4-layer hybrid classifier by our sweep and loop and PennyLane's.

Every peer has a process of its own; repetitions are interleaved and medians compared, because machines drift: read
ratios within one workload only. The default set takes about 5 minutes on a 2-core AMD EPYC virtual machine; expect a
ratio to the best peer of 1.5 to 4. Without `--peers`, every known peer that can be imported takes part; on an
accelerator only qgen does.
"""

import importlib.util
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments import cli
from experiments.simulators import BUILDERS, PEERS, build, chosen_peers
from experiments.workloads import DEFAULT, Workload, limit_s, machine_limit, make_data, parse
from qgen import check, record

__all__ = ["build"]

OWN = ("qgen", "qgen_xla")
AGREEMENT = 2e-4
"""The largest accepted difference between peers in single precision, relative to the largest entry."""

_WORKLOADS = flags.DEFINE_list("workloads", None, "Workloads such as W1:n=8,L=8,W4:n=16,p=8; a default set.")
_PEERS = flags.DEFINE_list("peers", None, f"Peers out of {', '.join(PEERS)}; all that can be imported by default.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Repetitions, interleaved.")
_MIN_TIME_S = flags.DEFINE_float("min_time_s", 0.1, "The least time of one repetition.")
_TIMEOUT_S = flags.DEFINE_float("timeout_s", 120.0, "How long a peer may take to build one workload.")
_POPULATIONS = flags.DEFINE_list(
    "populations", None, "Studies: how many configurations are trained, such as 1,64,1024."
)
_STEPS = flags.DEFINE_integer("steps", 100, "Steps of each training of a study.")
_OUT = flags.DEFINE_string("out", None, "A .jsonl file that gets one record per peer and workload.")


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
                answer |= {"memory": _peak_bytes() - before, "peak": _peak_bytes(), "dtype": run["dtype"]}
                # Others would spend up to a minute on compiling a second time.
                connection.send(answer | {"temporary": run["temporary"]() if peer in OWN else float("nan")})
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
                "temporary_mb": answer["temporary"] / 2**20,
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
            f"  memory +{row['memory_mb']:.0f} MB (peak {row['peak_mb']:.0f}, XLA's {row['temporary_mb']:.1f})"
            f"  {row['from_limit']:8.1f} x limit  difference {row['difference']:.1e}{warning}",
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


def studies(populations: list[int], start: str) -> None:
    """Times whole populations of trainings by every peer, prints and records them."""
    from experiments import search_speed  # the simulators' processes need not import it

    for population in populations:
        print(f"\nstudies:population={population},steps={_STEPS.value}", flush=True)
        rows = search_speed.compare(population, _STEPS.value, search_speed.peers(), _REPEATS.value, search_speed.MOST)
        ours = rows[0].train_s
        for row in rows:
            print(
                f"  {row.peer:17s} {row.train_s:10.3f} s  x{row.train_s / ours:8.2f} of qgen/sweep"
                f"  {population / row.train_s:9.2f} trainings/s  compile {row.compile_s:6.2f} s  ran {row.ran}",
                flush=True,
            )
            if _OUT.value:
                record.append(
                    Path(_OUT.value),
                    record.Record(
                        experiment="benchmark",
                        stage="studies",
                        arm=f"studies/{row.peer}",
                        seed=0,
                        preset="default",
                        config={"population": population, "steps": _STEPS.value, "repeats": _REPEATS.value},
                        metrics={
                            "compile_s": row.compile_s,
                            "train_s": row.train_s,
                            "ran": float(row.ran),
                            "ratio": row.train_s / ours,
                        },
                        provenance=record.provenance(start),
                    ),
                )


def main() -> None:
    """Runs the comparison."""
    import jax

    with cli.flag("workloads", _WORKLOADS.value):
        usual = () if _POPULATIONS.value else DEFAULT
        workloads = [parse(text) for text in (_joined(_WORKLOADS.value) if _WORKLOADS.value else usual)]
    with cli.flag("populations", _POPULATIONS.value):
        populations = [int(text) for text in _POPULATIONS.value or ()]
        for population in populations:
            check.at_least("populations", population, 1)
    with cli.flag("steps", _STEPS.value):
        check.at_least("steps", _STEPS.value, 1)
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
    peers = [Peer(name) for name in names] if workloads else []
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
    studies(populations, start)


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
