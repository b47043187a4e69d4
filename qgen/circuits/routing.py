"""Routing: SWAPs that bring the wires of two-qubit gates next to each other on a named connectivity."""

import functools
import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

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
    """The steps with SWAPs that bring the two wires of every two-qubit gate next to each other.

    The wires of a block are gathered until they are connected. Which pairs of them its inner gates couple is not known:
    each is charged with the SWAPs that would bring the two most distant ones together inside the block.
    """
    neighbours = graph(qubits, connectivity)
    place = np.arange(len(neighbours))  # logical -> physical
    holds = np.arange(len(neighbours))  # physical -> logical

    @functools.cache
    def distances(targets: frozenset[int]) -> list[int]:
        return _distances(neighbours, targets)

    for step in steps:
        inner = 0
        if step.double:
            gathered = frozenset([int(place[step.wires[-1]])])
            for wire in step.wires[:-1]:
                target = distances(gathered)
                while target[place[wire]] > 1:
                    here = int(place[wire])
                    there = min(neighbours[here], key=lambda q: target[q])
                    yield Step((here, there), double=3, depth=3, depth_2q=3)
                    other = int(holds[there])
                    place[wire], place[other] = there, here
                    holds[here], holds[there] = other, wire
                gathered |= {int(place[wire])}
            inner = 3 * (_diameter(neighbours, gathered) - 1) * step.double
        yield step._replace(
            wires=tuple(int(place[w]) for w in step.wires),
            double=step.double + inner,
            depth=step.depth + inner,
            depth_2q=step.depth_2q + inner,
        )


def _distances(neighbours: Sequence[Iterable[int]], targets: Iterable[int]) -> list[int]:
    """How many edges every qubit is away from the nearest target; -1 where none leads there."""
    found = [-1] * len(neighbours)
    queue = deque(targets)
    for target in queue:
        found[target] = 0
    while queue:
        here = queue.popleft()
        for there in neighbours[here]:
            if found[there] < 0:
                found[there] = found[here] + 1
                queue.append(there)
    return found


def _diameter(neighbours: Sequence[Iterable[int]], qubits: frozenset[int]) -> int:
    """The longest of the shortest ways between connected qubits that lead through no others."""
    among = [qubits.intersection(near) if q in qubits else () for q, near in enumerate(neighbours)]
    return max(max(_distances(among, [q])) for q in qubits)
