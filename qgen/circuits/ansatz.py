"""Ansätze: circuits whose parameters are trained. Layers are Repeats: compile time does not grow with their number."""

from collections.abc import Sequence

import numpy as np
from jax.core import Tracer

from qgen import check
from qgen.circuits.circuit import Circuit, repeat
from qgen.circuits.gates import GATES
from qgen.circuits.observables import Observable, check_fits
from qgen.circuits.operation import Angle, Op, gate


def ring(n_qubits: int, offset: int = 1) -> tuple[tuple[int, int], ...]:
    """The pairs (i, i + offset mod n); one pair for two qubits, none for one."""
    if n_qubits == 1:
        return ()
    if n_qubits == 2:
        return ((0, 1),)
    return tuple((i, (i + offset) % n_qubits) for i in range(n_qubits))


def rotations(n_qubits: int, names: Sequence[str]) -> Circuit:
    """For each name a layer of this one-angle gate on every qubit; parameters [names, qubits], row after row."""
    ops = [gate(name, q, Angle(k * n_qubits + q)) for k, name in enumerate(names) for q in range(n_qubits)]
    return Circuit(n_qubits, tuple(ops))


def hardware_efficient(
    n_qubits: int, layers: int, names: Sequence[str] = ("ry", "rz"), entangler: str = "cx"
) -> Circuit:
    """Layers of rotations on every qubit and a ring of two-qubit gates.

    Args:
        n_qubits: the number of qubits.
        layers: the number of layers, at least 1.
        names: the rotations of a layer; parameters [layers, names, qubits], row after row.
        entangler: a two-qubit gate without angles.

    Returns:
        A circuit of layers * names * qubits parameters.
    """
    check.at_least("layers", layers, 1)
    body = rotations(n_qubits, names) + Circuit(n_qubits, tuple(gate(entangler, pair) for pair in ring(n_qubits)))
    return repeat(body, layers)


def brickwork(n_qubits: int, layers: int, names: Sequence[str] = ("ry", "rz"), entangler: str = "cz") -> Circuit:
    """Layers of rotations and of two-qubit gates on the even pairs, then again on the odd pairs.

    Parameters [layers, 2, names, qubits], row after row.
    """
    check.at_least("layers", layers, 1)
    body = Circuit(n_qubits)
    for first in (0, 1):
        pairs = [(q, q + 1) for q in range(first, n_qubits - 1, 2)]
        body = body + rotations(n_qubits, names) + Circuit(n_qubits, tuple(gate(entangler, pair) for pair in pairs))
    return repeat(body, layers)


def strongly_entangling(n_qubits: int, layers: int, offsets: Sequence[int] | None = None) -> Circuit:
    """Rot on every qubit, then CNOTs from i to i + r; r = 1 + (layer mod (n - 1)) where left out (arXiv:1804.00633).

    Parameters [layers, qubits, 3], row after row: PennyLane's `StronglyEntanglingLayers`.
    """
    check.at_least("layers", layers, 1)
    period = max(n_qubits - 1, 1)
    chosen = [1 + layer % period for layer in range(layers)] if offsets is None else list(offsets)
    if len(chosen) != layers:
        raise ValueError(f"Argument `offsets` must hold {layers} numbers, one per layer, but is {chosen}.")
    return _layers_with_offsets(n_qubits, chosen, "rot")


def ring_offsets(n_qubits: int, layers: int, offsets: Sequence[int] = (1,), name: str = "rot") -> Circuit:
    """Rotations on every qubit, then a CNOT ring from i to i + offset, the offsets taking turns from layer to layer.

    Args:
        n_qubits: the number of qubits.
        layers: the number of layers, at least 1.
        offsets: the distances of the rings, used in turn.
        name: the rotation gate; parameters [layers, qubits, angles of the gate], row after row.

    Returns:
        The circuit.
    """
    check.at_least("layers", layers, 1)
    if not offsets:
        raise ValueError("Argument `offsets` must hold at least one number, but is empty.")
    return _layers_with_offsets(n_qubits, [offsets[layer % len(offsets)] for layer in range(layers)], name)


def _layers_with_offsets(n_qubits: int, offsets: Sequence[int], name: str) -> Circuit:
    """One layer per offset, written as a Repeat over the shortest period of the offsets."""
    layers = len(offsets)
    period = next(p for p in range(1, layers + 1) if all(offsets[k] == offsets[k % p] for k in range(layers)))
    whole, rest = divmod(layers, period)

    def stretch(chosen: Sequence[int]) -> Circuit:
        stretched = Circuit(n_qubits)
        for offset in chosen:
            stretched = stretched + _wide_layer(n_qubits, offset, name)
        return stretched

    circuit = repeat(stretch(offsets[:period]), whole)
    return circuit + stretch(offsets[:rest]) if rest else circuit


def _wide_layer(n_qubits: int, offset: int, name: str) -> Circuit:
    check.one_of("name", name, GATES)
    width = GATES[name].angles
    ops = [gate(name, q, *(Angle(q * width + k) for k in range(width))) for q in range(n_qubits)]
    if n_qubits > 1:
        if offset % n_qubits == 0:
            raise ValueError(f"Argument `offsets` holds {offset}, which joins a qubit of {n_qubits} with itself.")
        ops += [gate("cx", (q, (q + offset) % n_qubits)) for q in range(n_qubits)]
    return Circuit(n_qubits, tuple(ops))


def ansatz14(n_qubits: int, layers: int) -> Circuit:
    """Circuit 14 of Sim, Johnson, Aspuru-Guzik (arXiv:1905.10876): RY, CRX ring, RY, CRX ring the other way round.

    Parameters [layers, 4, qubits], row after row (for two or more qubits).
    """
    check.at_least("layers", layers, 1)
    check.at_least("n_qubits", n_qubits, 2)
    n = n_qubits
    forth = [gate("crx", (q, (q + 1) % n), Angle(n + k)) for k, q in enumerate(reversed(range(n)))]
    back = [gate("crx", (q, (q - 1) % n), Angle(3 * n + k)) for k, q in enumerate([n - 1, *range(n - 1)])]
    first = [gate("ry", q, Angle(q)) for q in range(n)]
    second = [gate("ry", q, Angle(2 * n + q)) for q in range(n)]
    return repeat(Circuit(n, tuple(first + forth + second + back)), layers)


def cost_layer(cost: Observable, angle: Angle) -> tuple[Op, ...]:
    """exp(-i angle C) of a diagonal observable with concrete coefficients, as Z rotations."""
    if not cost.is_diagonal:
        raise ValueError("Argument `cost` must hold only Z words.")
    if isinstance(cost.coefficients, Tracer):
        raise ValueError("Argument `cost` must have concrete coefficients here: the circuit's structure is static.")
    ops = []
    for word, weight in zip(cost.words, np.asarray(cost.coefficients, dtype=float), strict=True):
        wires = tuple(wire for wire, _ in word)
        if wires:
            ops.append(Op("pauli_rot", wires, (angle * (2 * float(weight)),), word="Z" * len(wires)))
        else:
            ops.append(Op("gphase", (), (angle * -float(weight),)))
    return tuple(ops)


def mixer_layer(n_qubits: int, kind: str, angle: Angle) -> tuple[Op, ...]:
    """exp(-i angle M): M = sum X ("x"), or exp(-i angle (XX + YY) / 2) pair after pair ("xy_ring", "xy_complete")."""
    check.one_of("mixer", kind, ("x", "xy_ring", "xy_complete"))
    if kind == "x":
        return tuple(gate("rx", q, angle * 2.0) for q in range(n_qubits))
    if kind == "xy_ring":
        even, odd = ([(q, q + 1) for q in range(first, n_qubits - 1, 2)] for first in (0, 1))
        pairs = even + odd + ([(n_qubits - 1, 0)] if n_qubits > 2 else [])
    else:
        pairs = [(a, b) for a in range(n_qubits) for b in range(a + 1, n_qubits)]
    return tuple(gate("rxy", pair, angle * -2.0) for pair in pairs)


def qaoa(cost: Observable, layers: int, mixer: str = "x", n_qubits: int | None = None) -> Circuit:
    """The quantum approximate optimisation ansatz (arXiv:1411.4028): exp(-i gamma C), then exp(-i beta M), in layers.

    Args:
        cost: a diagonal observable with concrete coefficients.
        layers: p, at least 1.
        mixer: "x" starts from |+>^n; "xy_ring" and "xy_complete" conserve the Hamming weight and start from whatever
            state the caller passes (exp(-i beta (XX + YY) / 2) on pair after pair, arXiv:1709.03489).
        n_qubits: the register; the cost's width where left out.

    Returns:
        A circuit with parameters [layers, 2], row after row: (gamma, beta) of each layer.
    """
    check.at_least("layers", layers, 1)
    width = cost.width if n_qubits is None else n_qubits
    check_fits(cost, width)
    start = Circuit(width, tuple(gate("h", q) for q in range(width)) if mixer == "x" else ())
    body = Circuit(width, cost_layer(cost, Angle(0)) + mixer_layer(width, mixer, Angle(1)))
    return start + repeat(body, layers)
