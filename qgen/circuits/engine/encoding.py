"""A program as the compiled kernel reads it: flat integers and numbers."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qgen.circuits.program import Affine, Dense, Flip, Loop, Mirror, Phases, Program, Stage, Sum, Table, Turns

_FORMAT = 1
_KINDS: dict[type, int] = {Turns: 1, Phases: 2, Affine: 3, Flip: 4, Table: 5, Dense: 6, Loop: 7, Mirror: 8}


class Kernel(NamedTuple):
    """A program as the kernel reads it; hashable, so that it can be a static argument.

    Attributes:
        n_qubits: the width of the register.
        code: the stages, int64 as bytes.
        reals: the stages' numbers, float64 as bytes.
        name: the instruction set.
    """

    n_qubits: int
    code: bytes
    reals: bytes
    name: str


@functools.lru_cache(maxsize=512)
def encode(program: Program, n_params: int, flips: tuple[int, ...], signs: tuple[int, ...], name: str) -> Kernel:
    """A program and the words that it measures for the library of one instruction set."""
    code: list[int] = [_FORMAT, program.n_qubits, n_params, len(flips)]
    for flip, sign in zip(flips, signs, strict=True):
        code += [flip, sign]
    reals = [float(_FORMAT)]
    _stages(program.stages, program.n_qubits, code, reals)
    as_bytes = np.array(code, np.int64).tobytes(), np.array(reals, np.float64).tobytes()
    return Kernel(program.n_qubits, *as_bytes, name)


def _stages(stages: Sequence[Stage], n: int, code: list[int], reals: list[float]) -> None:
    code.append(len(stages))
    for stage in stages:
        code.append(_KINDS[type(stage)])
        if isinstance(stage, Loop):
            code += [stage.times, stage.shared, stage.advancing, stage.start, int(stage.backwards)]
            _stages(stage.body, n, code, reals)
        elif isinstance(stage, Turns):
            code.append(len(stage.qubits))
            for qubit, flip, slot in zip(stage.qubits, stage.flips, stage.slots, strict=True):
                code += [n - 1 - qubit, int(flip)]
                _slot(slot, code, reals)
        elif isinstance(stage, Phases):
            code.append(len(stage.slots))
            for slot in stage.slots:
                _slot(slot, code, reals)
            code.append(len(stage.parity))
            for row in zip(stage.parity, stage.ones, stage.source, stage.weight, strict=True):
                code += row[:3]
                reals.append(row[3])
        elif isinstance(stage, Affine):
            code += [*reversed(stage.columns), stage.shift]
        elif isinstance(stage, Mirror):
            code += [stage.flip, stage.sign]
            _slot(stage.slots[0], code, reals)
        elif isinstance(stage, Flip):
            code += [stage.controls, stage.target]
        else:
            code += [len(stage.wires), *(n - 1 - wire for wire in stage.wires)]
            reals += np.frombuffer(stage.data, np.float64).tolist()


def _slot(slot: Sum, code: list[int], reals: list[float]) -> None:
    reals.append(slot.const)
    code.append(len(slot.terms))
    for index, scale in slot.terms:
        code.append(index)
        reals.append(scale)
