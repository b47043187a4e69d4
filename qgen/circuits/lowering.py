"""Lowering: from a circuit to a program.

Every one-qubit gate is diagonal, real rotation, diagonal. Primitives slide to the earliest stage of their kind that
they can reach and merge with it, so that a layer of gates becomes one stage of each kind.
"""

import dataclasses
import functools

from qgen.circuits import gate_rules
from qgen.circuits.circuit import Circuit, Item, Repeat, shift
from qgen.circuits.drafts import Drafts
from qgen.circuits.operation import Op
from qgen.circuits.program import Loop, Phases, Program, Stage, Sum


@functools.lru_cache(maxsize=256)
def lower(circuit: Circuit, data: frozenset[int] = frozenset()) -> Program:
    """The program of a circuit.

    Args:
        circuit: the circuit.
        data: the parameters that a batch has to itself where it shares the others; in loops these are the shared ones.

    Returns:
        The program.

    Raises:
        ValueError: if the circuit measures or resets, or holds a matrix on too many wires.
    """
    return Program(circuit.n_qubits, _stages(circuit, circuit.n_qubits, data))


def _stages(circuit: Circuit, n: int, data: frozenset[int]) -> tuple[Stage, ...]:
    """Lowers; `data` holds parameters that stay the same over the enclosing loop, where batches of data come in."""
    drafts = Drafts(n, data)
    for item in circuit.ops:
        _add(drafts, item)
    return drafts.finish()


def _add(drafts: Drafts, item: Item) -> None:
    """Adds one item of a circuit."""
    if isinstance(item, Repeat):
        _loop(drafts, item)
    elif isinstance(item, Op):
        gate_rules.add(drafts, item)
    else:
        raise ValueError("A circuit with measurements, resets or conditions runs only in `trajectory`.")


def _loop(drafts: Drafts, item: Repeat) -> None:
    """Adds a loop; a single turn is written out, so that it merges with what is around it."""
    if item.times == 1:
        for inner in item.body.ops:
            _add(drafts, shift(inner, item.start))
        return
    data = frozenset(range(item.shared))
    body = _stages(item.body, drafts.n, data)
    start = (item.start, item.times, item.shared, item.advancing, item.backwards)
    before, body, after = _peel(body)
    everything = (1 << drafts.n) - 1
    for stages, kind in ((before, "stage"), (body, "loop"), (after, "stage")):
        if kind == "loop" and stages:
            times, shared, advancing, backwards = start[1:]
            stage = Loop(stages, times, shared, advancing, start[0], backwards)
            drafts.add(everything, stage)
        for stage in stages if kind == "stage" else ():
            _constant_phases(drafts, stage)


def _constant_phases(drafts: Drafts, stage: Stage) -> None:
    assert isinstance(stage, Phases)
    for parity, ones, source, weight in zip(stage.parity, stage.ones, stage.source, stage.weight, strict=True):
        drafts.phase_term(parity, ones, stage.slots[source].times(weight))


def _peel(body: tuple[Stage, ...]) -> tuple[tuple[Stage, ...], tuple[Stage, ...], tuple[Stage, ...]]:
    """Moves constant phases at the end of a loop's body to its beginning, where they merge with phases.

    (P B)^k = P (B P)^k P^-1: what stays outside runs once.
    """
    if len(body) < 3 or not isinstance(body[0], Phases) or not isinstance(body[-1], Phases):
        return (), body, ()
    first, last = body[0], body[-1]
    if any(slot.terms for slot in last.slots):
        return (), body, ()
    weights: dict[tuple[int, int, Sum], float] = {}
    for stage in (first, last):
        for parity, ones, source, weight in zip(stage.parity, stage.ones, stage.source, stage.weight, strict=True):
            key = (parity, ones, stage.slots[source])
            weights[key] = weights.get(key, 0.0) + weight
    slots = tuple(dict.fromkeys(key[2] for key in weights))
    merged = Phases(
        tuple(key[0] for key in weights),
        tuple(key[1] for key in weights),
        tuple(slots.index(key[2]) for key in weights),
        tuple(weights.values()),
        slots,
    )
    undo = dataclasses.replace(last, weight=tuple(-w for w in last.weight))
    return (undo,), (merged, *body[1:-1]), (last,)
