"""How gates act on Pauli words, backwards in time: as renamings, as rotations about a word, or by a transfer matrix."""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen.circuits import operation
from qgen.circuits.gates import word_matrix
from qgen.circuits.operation import Angle, Op
from qgen.circuits.tensors import angle_values, stack
from qgen.types import Array, Float

MAX_WIDTH = 3
"""Gates on more qubits, but for rotations about a Pauli word, have too large a transfer matrix."""

ZERO = 1e-5
"""Entries of a transfer matrix below this at several random angles are taken to vanish at all angles."""


class Rule(NamedTuple):
    """What one gate does to words: a renaming, a rotation about a word, or sums by a transfer matrix.

    Attributes:
        first: where its weights lie in the vector of all weights; for a rotation the cosine's place.
        second: for a rotation the sine's place.
        word: for a rotation the letters on the gate's wires.
        targets: per local word the local words that it turns into, as (word, sign); the sign is 0 for a traced weight.
    """

    first: int = 0
    second: int = 0
    word: tuple[int, ...] = ()
    targets: tuple[tuple[tuple[int, int], ...], ...] = ()


def plan(ops: tuple[Op, ...]) -> tuple[list[Rule], Callable[[Array], Array]]:
    """The rule of every gate, and the function that computes all weights from the parameters.

    The weights are 1, the rotations' cosines, their sines, then the transfer matrices, row after row, width by width.
    """
    turning: list[int] = []
    matrices: dict[int, list[int]] = {}
    rules = [Rule()] * len(ops)
    for k, op in enumerate(ops):
        constant = not any(isinstance(angle, Angle) for angle in op.angles)
        word, width = _rotation_word(op), len(op.support)
        if constant and width <= MAX_WIDTH:
            targets = _targets(_local(op))
            if all(len(row) == 1 and row[0][1] for row in targets):
                rules[k] = Rule(targets=targets)
                continue
        if word:
            turning.append(k)
        elif width <= MAX_WIDTH:
            matrices.setdefault(width, []).append(k)
        else:
            raise ValueError(
                f"Gate `{op.name}` acts on {width} qubits; Pauli propagation takes up to {MAX_WIDTH}, but for "
                "rotations about Pauli words: decompose it."
            )
    for place, k in enumerate(turning):
        rules[k] = Rule(1 + place, 1 + len(turning) + place, _rotation_word(ops[k]))
    begin = 1 + 2 * len(turning)
    for width, members in matrices.items():
        for k in members:
            rules[k] = Rule(begin, targets=_targets(_local(ops[k])))
            begin += 16**width

    def weights(params: Array) -> Array:
        pieces = [jnp.ones(1, params.dtype)]
        if turning:
            angles = angle_values([ops[k].angles for k in turning], params)[:, 0]
            pieces += [jnp.cos(angles), jnp.sin(angles)]
        for members in matrices.values():
            found = stack([ops[k] for k in members], params)
            pieces.append(_transfer(found.matrices)[found.place].reshape(-1))
        return jnp.concatenate(pieces)

    return rules, weights


_AXES = {"rx": "X", "ry": "Y", "rz": "Z", "p": "Z", "u1": "Z", "rxx": "XX", "ryy": "YY", "rzz": "ZZ"}


def _rotation_word(op: Op) -> tuple[int, ...]:
    """The letters of a gate that is, up to a phase, a rotation about a Pauli word; empty for any other gate."""
    word = "" if op.controls else op.word if op.name == "pauli_rot" else _AXES.get(op.name, "")
    return tuple("IXYZ".index(letter) for letter in word)


def _local(op: Op) -> Op:
    """The same gate on the first wires."""
    width, controls = len(op.support), len(op.controls)
    return dataclasses.replace(op, controls=tuple(range(controls)), wires=tuple(range(controls, width)))


@functools.lru_cache(maxsize=512)
def _targets(op: Op) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Per local word q the words j with a transfer weight T[j, q] that is not zero for all angles."""
    rng = np.random.default_rng(0)
    top = max((a.index + 1 for a in op.angles if isinstance(a, Angle)), default=0)
    with jax.ensure_compile_time_eval():
        draws = [operation.matrix(op, jnp.asarray(rng.uniform(-3, 3, top))) for _ in range(3 if top else 1)]
        table = np.asarray(_transfer(jnp.stack(draws)))
    rows = []
    for column in range(table.shape[2]):
        found = np.flatnonzero(np.max(abs(table[:, :, column]), 0) > ZERO)
        signs = [0 if top or abs(abs(table[0, j, column]) - 1) > ZERO else round(table[0, j, column]) for j in found]
        rows.append(tuple((int(j), sign) for j, sign in zip(found, signs, strict=True)))
    return tuple(rows)


def _transfer(matrices: Array) -> Float[Array, "gates words words"]:
    """T[j, q] = Tr(P_j U^dagger P_q U) / 2**k: backwards through the gate, P_q becomes sum_j T[j, q] P_j."""
    width = int(np.log2(matrices.shape[-1]))
    words = np.stack([word_matrix("".join(word)) for word in itertools.product("IXYZ", repeat=width)])
    paulis = jnp.asarray(words, matrices.dtype)
    moved = jnp.einsum("gba,qbc,gcd->gqad", matrices.conj(), paulis, matrices)
    return jnp.einsum("jda,gqad->gjq", paulis, moved).real / 2**width
