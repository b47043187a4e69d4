"""Both circuit engines beside other simulators: the tables of README.md and docs/performance.md."""

import json
import math
from pathlib import Path
from typing import Any

Measured = dict[str, dict[str, dict[str, Any]]]
"""Workload -> simulator -> what was measured."""
SIMULATORS = {
    "mindq32": "MindQuantum",
    "pl_lq32": "lightning.qubit",
    "pl_lq": "lightning.qubit (c128)",
    "catalyst": "Catalyst + lightning (c128)",
    "qulacs_": "qulacs (c128)",
    "pl_dq": "PennyLane default.qubit",
    "tc": "TensorCircuit-NG",
    "qujax_": "qujax",
    "quimb_": "quimb",
}
TARGETS = {
    **{"W1:n=4": (3, 1.8), "W1:n=8": (8, 2.2), "W1:n=12": (15, 2), "W1:n=16": (13, 2.5), "W1:n=20": (8, 1.5)},
    **{"W2:n=4": (4, 2.7), "W2:n=8": (20, 4), "W2:n=12": (20, 3), "W3:n=4": (4, 1), "W3:n=8": (18, 1.5)},
    **{"W3:n=10": (15, 1.5), "W4:n=16": (15, 2.4), "W4:n=20": (18, 2.5), "W5:n=8": (2.2, 2.2), "W5:n=12": (1.6, 1.6)},
}
"""Workload -> how many times faster than the best other simulator the compiled and the plain engine are to be."""


def load(path: Path) -> Measured:
    """Reads the rows of a file, one JSON object a line: times in seconds, memory in MiB.

    A simulator that draws how it runs a workload has a row for each of several processes, in which `med` is null if it
    did not compile in time. The one of the median time counts (of an even number the faster of the middle two), with
    the times of all as `draws`, in order; none does where the median did not compile.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        found.setdefault(row["spec"], {}).setdefault(row["peer"], []).append(row)
    middle = {spec: {name: _middle(rows) for name, rows in peers.items()} for spec, peers in found.items()}
    return {spec: {name: row for name, row in peers.items() if row["med"]} for spec, peers in middle.items()}


def _middle(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of the median time."""
    ordered = sorted(rows, key=lambda row: row["med"] or math.inf)
    return {**ordered[(len(rows) - 1) // 2], "draws": [row["med"] for row in ordered]}


def _label(spec: str) -> str:
    """W1:n=4,L=8 as W1 n=4 L=8."""
    return spec.replace(":", " ").replace(",", " ")


def _short(number: float) -> str:
    """Three digits, without an exponent."""
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def _draws(row: dict[str, Any]) -> str:
    """A time in milliseconds, with the least and the most of all draws."""
    least, most = (_short(1e3 * time) if time else "none" for time in (row["draws"][0], row["draws"][-1]))
    return _short(1e3 * row["med"]) + (f" ({least} to {most})" if len(row["draws"]) > 1 else "")


def speed(measured: Measured) -> list[list[str]]:
    """Both engines beside the fastest other simulator of each workload."""
    engines = ("native: ms", "ratio", "target", "xla: ms", "ratio", "target")
    table = [["workload", "best other simulator", "its ms", *engines, "compile: native, xla, s"]]
    for spec, peers in measured.items():
        best = min((row for name, row in peers.items() if name in SIMULATORS), key=lambda row: row["med"])
        line = [_label(spec), SIMULATORS[best["peer"]], _draws(best)]
        for engine, target in zip(("qgen", "qgen_xla"), TARGETS[spec.split(",")[0]], strict=True):
            own = peers[engine]["med"]
            line += [_short(1e3 * own), f"{best['med'] / own:.1f}", f"{target}"]
        table.append([*line, f"{peers['qgen']['compile']:.2f}, {peers['qgen_xla']['compile']:.2f}"])
    return table


def memory(measured: Measured) -> list[list[str]]:
    """Growth of the peak memory in MiB and seconds of compiling: of both engines and of the others with the least."""

    def grown(row: dict) -> float:
        return row["rss"] - row["rss0"]

    def both(row: dict) -> str:
        return f"{grown(row):.0f}, {max(row['compile'], 0):.2f}"

    head = "workload; native, MiB, s; xla, MiB, s; fastest other, MiB, s; least memory, MiB; shortest compile, s"
    table: list[list[str]] = [[*head.split("; ")]]
    for spec, peers in measured.items():
        others = [row for name, row in peers.items() if name in SIMULATORS]
        fast = min(others, key=lambda row: row["med"])
        small, quick = min(others, key=grown), min(others, key=lambda row: row["compile"])
        table.append(
            [
                *(_label(spec), both(peers["qgen"]), both(peers["qgen_xla"])),
                f"{SIMULATORS[fast['peer']]} {both(fast)}",
                f"{SIMULATORS[small['peer']]} {grown(small):.0f}",
                f"{SIMULATORS[quick['peer']]} {max(quick['compile'], 0):.2f}",
            ]
        )
    return table
