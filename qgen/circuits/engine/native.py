"""The native engine: a compiled kernel runs a whole program for a batch in one call, with its adjoint gradient.

The kernel (`qgen/circuits/native`) is built when the package is installed, once per instruction set; the best one that
this processor has is loaded at first use. Where it is missing, everything runs on XLA.
"""

import ctypes
import functools
import hashlib
import logging
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits.engine import first_order
from qgen.circuits.observables import Observable
from qgen.circuits.program import Affine, Dense, Flip, Loop, Phases, Program, Stage, Sum, Table, Turns, trim
from qgen.types import Array

FOLDER = pathlib.Path(__file__).parents[1] / "native"
"""Where the kernel's sources and, after installation, its libraries lie."""

INSTRUCTION_SETS = ("baseline", "avx2", "avx512")
"""What the kernel is built for on x86-64; other processors have the first only."""

FORCE = "QGEN_NATIVE"
"""The environment variable that names the instruction set to use, or "off"."""

MAX_QUBITS = 30

_FORMAT = 1
_KINDS: dict[type, int] = {Turns: 1, Phases: 2, Affine: 3, Flip: 4, Table: 5, Dense: 6, Loop: 7}
_STATE, _STATE_BACK, _VALUES, _VALUE_AND_GRAD, _VALUES_STATE, _VALUES_BACK = range(6)


def instruction_set() -> str | None:
    """The instruction set whose kernel runs here; None where there is none.

    Raises:
        ValueError: if the environment asks for an instruction set that is unknown, not built or not this processor's.
    """
    forced = os.environ.get(FORCE, "")
    if forced == "off":
        return None
    best = _best()
    if not forced or best is None:
        return best
    check.one_of(FORCE, forced, INSTRUCTION_SETS)
    if INSTRUCTION_SETS.index(forced) > INSTRUCTION_SETS.index(best):
        raise ValueError(f"{FORCE}={forced}, but this processor, or the kernel built on it, goes up to {best}.")
    return forced


@functools.cache
def _best() -> str | None:
    """The best instruction set that is built and that this processor has."""
    named = FOLDER / "libqgen_best.so"
    if not named.exists():
        reason = "is not built"
    elif (library := ctypes.CDLL(str(named))) and _text(library.qgen_sources) != _digest():
        reason = "was built from other sources"
    else:
        limit = INSTRUCTION_SETS.index(_text(library.qgen_best))
        for candidate in reversed(INSTRUCTION_SETS[: limit + 1]):
            if (FOLDER / f"libqgen_{candidate}.so").exists():
                return candidate
        reason = "is not built for this processor"
    logging.getLogger(__name__).warning(
        "The compiled CPU engine %s, so circuits run on XLA: install a C++17 compiler (g++ or clang++), then run "
        "`pip install -e .` or `pip install .` again.",
        reason,
    )
    return None


def _text(function: Any) -> str:
    function.restype = ctypes.c_char_p
    return function().decode()


def _digest() -> str:
    """Names the state of the kernel's sources, as hatch_build.py does."""
    found = hashlib.sha256()
    for path in sorted([*FOLDER.glob("*.h"), *FOLDER.glob("*.cpp")]):
        found.update(path.read_bytes())
    return found.hexdigest()


@functools.cache
def _register(name: str) -> None:
    """Makes one library's functions known to XLA."""
    library = ctypes.CDLL(str(FOLDER / f"libqgen_{name}.so"))
    for dtype in ("float32", "float64"):
        handler = jax.ffi.pycapsule(getattr(library, f"qgen_run_{dtype}"))
        jax.ffi.register_ffi_target(f"qgen_{name}_{dtype}", handler, platform="cpu")


def takes(n_qubits: int, engine: str) -> bool:
    """Whether this engine runs a circuit of so many qubits for `engine`: "auto", "native" or "xla".

    Raises:
        ValueError: if "native" is asked for and cannot run here.
    """
    if engine == "xla":
        return False
    runs = n_qubits <= MAX_QUBITS and jax.default_backend() == "cpu" and instruction_set() is not None
    if engine == "native" and not runs:
        raise ValueError(
            f'Engine "native" runs on CPUs, up to {MAX_QUBITS} qubits, where a C++ compiler was there at installation.'
        )
    return runs


class Kernel(NamedTuple):
    """A program as the kernel reads it; hashable, so that it can be a static argument.

    Attributes:
        n_qubits: the width of the register.
        n_params: the length of the parameter vector.
        code: the stages, int64 as bytes.
        reals: the stages' numbers, float64 as bytes.
        n_words: how many Pauli words it measures.
        name: the instruction set.
    """

    n_qubits: int
    n_params: int
    code: bytes
    reals: bytes
    n_words: int
    name: str


def evolve(program: Program, pieces: Sequence[Array], start: Array | None) -> Array:
    """The state after the program.

    Args:
        program: the stages.
        pieces: the parameters, one-dimensional arrays laid end to end.
        start: the state before, real [2, 2**n]; |0...0> where left out.

    Returns:
        Real [2, 2**n].
    """
    params, start = _operands(pieces, start)
    return _state(_kernel(program, params.shape[0], (), ()), *vary_alike([params, start]))


def expectation(
    program: Program, pieces: Sequence[Array], start: Array | None, observables: Sequence[Observable]
) -> Array:
    """Expectation values of several observables, [k]; arguments as in `evolve`."""
    words = tuple(dict.fromkeys(word for one in observables for word in one.words))
    flips, signs, _ = Observable(words).masks(program.n_qubits)
    odd = [False] * len(words)
    if not any(flips):
        program, signs, odd = _fold(program, signs)
    params, start = _operands(pieces, start)
    turn = np.where(odd, -1.0, 1.0)
    rows = []
    for one in observables:
        place = np.array([words.index(word) for word in one.words], dtype=np.int32)
        if isinstance(one.coefficients, np.ndarray):
            row = np.zeros(len(words))
            np.add.at(row, place, one.coefficients * turn[place])
            rows.append(jnp.asarray(row, params.dtype))
        else:
            scaled = jnp.asarray(one.coefficients, params.dtype) * jnp.asarray(turn[place], params.dtype)
            rows.append(jnp.zeros(len(words), params.dtype).at[place].add(scaled))
    operands = vary_alike([params, start, jnp.stack(rows)])
    return _values(_kernel(program, params.shape[0], tuple(flips), tuple(signs)), *operands)


def _operands(pieces: Sequence[Array], start: Array | None) -> tuple[Array, Array]:
    """The parameters as one vector and the state before, which has no entries where it is |0...0>."""
    given = [*pieces] if start is None else [*pieces, start]
    dtype = jnp.promote_types(jnp.result_type(*given) if given else jnp.result_type(float), jnp.float32)
    params = [piece.astype(dtype) for piece in pieces]
    vector = params[0] if len(params) == 1 else jnp.concatenate([jnp.zeros(0, dtype), *params])
    return vector, jnp.zeros((2, 0), dtype) if start is None else start.astype(dtype)


def _fold(program: Program, signs: Sequence[int]) -> tuple[Program, list[int], list[bool]]:
    """Moves a last permutation from the program into the words of Z that are read after it."""
    signs, odd = list(signs), [False] * len(signs)
    program = trim(program)
    while program.stages and isinstance(program.stages[-1], Affine):
        last = program.stages[-1]
        odd = [flag ^ bool((sign & last.shift).bit_count() % 2) for flag, sign in zip(odd, signs, strict=True)]
        bits = [1 << (program.n_qubits - 1 - q) for q in range(program.n_qubits)]
        signs = [
            sum(bit for bit, column in zip(bits, last.columns, strict=True) if (column & sign).bit_count() % 2)
            for sign in signs
        ]
        program = trim(Program(program.n_qubits, program.stages[:-1]))
    return program, signs, odd


# Calls


def _call(kernel: Kernel, mode: int, results: Sequence[tuple[int, ...]], *operands: Array) -> list[Array]:
    dtype = operands[0].dtype
    _register(kernel.name)
    call = jax.ffi.ffi_call(
        f"qgen_{kernel.name}_{dtype}",
        [jax.ShapeDtypeStruct(shape, dtype) for shape in results],
        vmap_method="expand_dims",
    )
    code, reals = np.frombuffer(kernel.code, np.int64), np.frombuffer(kernel.reals, np.float64)
    found = call(*operands, code=code, reals=reals, mode=np.int64(mode))
    return vary_alike([*found, operands[0]])[:-1]


def vary_alike(arrays: list[Array]) -> list[Array]:
    """The arrays, inside a `jax.shard_map` all varying over the same of its axes: what calls and loops require."""
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return arrays
    zero = jnp.zeros_like(sum(array.reshape(-1)[0] for array in arrays if array.size))
    return [array + zero for array in arrays]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _state(kernel: Kernel, params: Array, start: Array) -> Array:
    return _call(kernel, _STATE, [(2, 2**kernel.n_qubits)], params, start)[0]


def _state_forward(kernel: Kernel, params: Array, start: Array) -> Any:
    params, start = first_order((params, start))
    psi = _state(kernel, params, start)
    return psi, (params, start.shape, psi)


def _state_backward(kernel: Kernel, kept: Any, lam: Array) -> Any:
    params, shape, psi = kept
    return tuple(_call(kernel, _STATE_BACK, [params.shape, shape], params, psi, lam))


_state.defvjp(_state_forward, _state_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _values(kernel: Kernel, params: Array, start: Array, coefficients: Array) -> Array:
    return _call(kernel, _VALUES, [(coefficients.shape[0],), (kernel.n_words,)], params, start, coefficients)[0]


def _values_forward(kernel: Kernel, params: Array, start: Array, coefficients: Array) -> Any:
    params, start, coefficients = first_order((params, start, coefficients))
    k = coefficients.shape[0]
    shapes: list[tuple[int, ...]] = [(k,), (kernel.n_words,)]
    if k == 1:  # the gradient is a multiple of the cotangent: it is found at once, and no state is kept
        shapes += [params.shape, start.shape]
        values, words, *grads = _call(kernel, _VALUE_AND_GRAD, shapes, params, start, coefficients)
        return values, (words, grads)
    shapes.append((2, 2**kernel.n_qubits))
    values, words, psi = _call(kernel, _VALUES_STATE, shapes, params, start, coefficients)
    return values, (words, params, start.shape, coefficients, psi)


def _values_backward(kernel: Kernel, kept: Any, cotangents: Array) -> Any:
    words = cotangents[:, None] * kept[0][None, :]
    if len(kept) == 2:
        return *(g * cotangents.reshape((1,) * g.ndim) for g in kept[1]), words
    _, params, shape, coefficients, psi = kept
    grads = _call(kernel, _VALUES_BACK, [params.shape, shape], params, psi, coefficients, cotangents)
    return *grads, words


_values.defvjp(_values_forward, _values_backward)


# Encoding


@functools.lru_cache(maxsize=512)
def _encode(program: Program, n_params: int, flips: tuple[int, ...], signs: tuple[int, ...]) -> tuple[bytes, bytes]:
    code: list[int] = [_FORMAT, program.n_qubits, n_params, len(flips)]
    for flip, sign in zip(flips, signs, strict=True):
        code += [flip, sign]
    reals = [float(_FORMAT)]
    _stages(program.stages, program.n_qubits, code, reals)
    return np.array(code, np.int64).tobytes(), np.array(reals, np.float64).tobytes()


def _kernel(program: Program, n_params: int, flips: tuple[int, ...], signs: tuple[int, ...]) -> Kernel:
    code, reals = _encode(program, n_params, flips, signs)
    name = instruction_set()
    if name is None:
        raise ValueError('Engine "native" is not installed: it needs a C++ compiler at installation.')
    return Kernel(program.n_qubits, n_params, code, reals, len(flips), name)


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
