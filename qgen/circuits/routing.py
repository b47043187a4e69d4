"""Routing: SWAPs that bring the wires of two-qubit gates next to each other on a named connectivity."""

import functools
import itertools
import math
from collections import deque
from collections.abc import Iterator

import numpy as np

from qgen.circuits.steps import Step

CONNECTIVITIES = ("all", "linear", "grid", "heavy_hex")


def graph(qubits: int, connectivity: str) -> list[tuple[int, ...]]:
    """The neighbours of every qubit of a machine with at least so many qubits.

    Args:
        qubits: how many are needed.
        connectivity: "linear", "grid" (the smallest square that holds them, row after row) or "heavy_hex".

    Returns:
        One tuple of neighbours per qubit; a heavy-hex lattice may have more qubits than asked.
    """
    if connectivity == "linear":
        return [tuple(q for q in (k - 1, k + 1) if 0 <= q < qubits) for k in range(qubits)]
    if connectivity == "grid":
        width = math.isqrt(qubits - 1) + 1
        pairs = [(k, k + 1) for k in range(qubits - 1) if (k + 1) % width] + [
            (k, k + width) for k in range(qubits - width)
        ]
        return _neighbours(qubits, pairs)
    return _heavy_hex(qubits)


def _heavy_hex(qubits: int) -> list[tuple[int, ...]]:
    """Rows of qubits with bridges at every fourth place, shifted by two from gap to gap (arXiv:1907.09528)."""
    length = max(3, 4 * math.ceil(math.sqrt(qubits / 5) / 2) + 1)
    pairs: list[tuple[int, int]] = []
    total = length
    rows = [list(range(length))]
    pairs += list(itertools.pairwise(rows[0]))
    while total < qubits:
        bridges = list(range(0 if len(rows) % 2 else 2, length, 4))
        first = total + len(bridges)
        row = list(range(first, first + length))
        for k, column in enumerate(bridges):
            pairs += [(rows[-1][column], total + k), (total + k, row[column])]
        pairs += list(itertools.pairwise(row))
        rows.append(row)
        total = first + length
    return _neighbours(total, pairs)


def _neighbours(qubits: int, pairs: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    found: list[set[int]] = [set() for _ in range(qubits)]
    for a, b in pairs:
        found[a].add(b)
        found[b].add(a)
    return [tuple(sorted(neighbours)) for neighbours in found]


def route(steps: list[Step], qubits: int, connectivity: str) -> Iterator[Step]:
    """The steps with SWAPs that bring the two wires of every two-qubit gate next to each other."""
    neighbours = graph(qubits, connectivity)
    place = np.arange(len(neighbours))  # logical -> physical
    holds = np.arange(len(neighbours))  # physical -> logical

    @functools.cache
    def distances(target: int) -> tuple[int, ...]:
        found = [-1] * len(neighbours)
        found[target] = 0
        queue = deque([target])
        while queue:
            here = queue.popleft()
            for there in neighbours[here]:
                if found[there] < 0:
                    found[there] = found[here] + 1
                    queue.append(there)
        return tuple(found)

    for step in steps:
        if step.double:
            # A block on several wires is brought together around its last wire.
            for wire in step.wires[:-1]:
                target = distances(int(place[step.wires[-1]]))
                goal = 1 if len(step.wires) == 2 else 2
                while target[place[wire]] > goal:
                    here = int(place[wire])
                    there = min(neighbours[here], key=lambda q: target[q])
                    yield Step((here, there), double=3, depth=3, depth_2q=3)
                    other = int(holds[there])
                    place[wire], place[other] = there, here
                    holds[here], holds[there] = other, wire
        yield step._replace(wires=tuple(int(place[w]) for w in step.wires))
