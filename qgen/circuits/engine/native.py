"""The native engine: a compiled kernel runs a whole program for a batch in one call, with its adjoint gradient.

The kernel (`qgen/circuits/native`) is built when the package is installed, once per instruction set; the best one that
this processor has is loaded at first use. Where it is missing, everything runs on XLA.
"""

import ctypes
import dataclasses
import functools
import hashlib
import logging
import os
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import program as programs
from qgen.circuits.engine import EXACT, derivatives, vary_alike, words, xla
from qgen.circuits.engine.derivatives import Arrays
from qgen.circuits.engine.encoding import Kernel, encode
from qgen.circuits.observables import Observable
from qgen.circuits.program import Affine, Program, trim
from qgen.types import Array

FOLDER = pathlib.Path(__file__).parents[1] / "native"
"""Where the kernel's sources and, after installation, its libraries lie."""

INSTRUCTION_SETS = ("baseline", "avx2", "avx512")
"""What the kernel is built for on x86-64; other processors have the first only."""

FORCE = "QGEN_NATIVE"
"""The environment variable that names the instruction set to use, or "off"."""

MAX_QUBITS = 30

MOST_STATES = 6
"""State vectors that live at one time in a gradient: psi, lambda, a spare one, half of one for tables, and up to two of
tables of phases; what the check of memory counts."""

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
    try:
        if not (FOLDER / "libqgen_best.so").exists():
            reason = "is not built"
        elif _text((library := _library("best")).qgen_sources) != _digest():
            reason = "was built from other sources"
        else:
            limit = INSTRUCTION_SETS.index(_text(library.qgen_best))
            for candidate in reversed(INSTRUCTION_SETS[: limit + 1]):
                if (FOLDER / f"libqgen_{candidate}.so").exists() and _library(candidate).qgen_run_float32:
                    return candidate
            reason = "is not built for this processor"
    except (OSError, AttributeError) as error:  # a damaged file, or one of another program
        reason = f"cannot be loaded ({error})"
    logging.getLogger(__name__).warning(
        "The compiled CPU engine %s, so circuits run on XLA: install a C++17 compiler (g++ or clang++), then run "
        "`pip install -e .` or `pip install .` again.",
        reason,
    )
    return None


def _library(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(FOLDER / f"libqgen_{name}.so"))


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
    library = _library(name)
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


def evolve(program: Program, pieces: Sequence[Array], start: Array | None) -> Array:
    """The state after the program.

    Args:
        program: the stages.
        pieces: the parameters, one-dimensional arrays laid end to end.
        start: the state before, real [2, 2**n]; |0...0> where left out.

    Returns:
        Real [2, 2**n].
    """
    inputs = vary_alike(_operands(pieces, start))
    kernel = encode(program, inputs[0].shape[0], (), (), _chosen())
    return derivatives.evaluate(_State(kernel, program), tuple(inputs))[0]


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
    inputs = vary_alike([params, start, jnp.stack(rows)])
    masks = tuple(flips), tuple(signs)
    kernel = encode(program, params.shape[0], *masks, _chosen())
    return derivatives.evaluate(_Values(kernel, program, *masks), tuple(inputs))[0]


def on_bonds(program: Program, pieces: Sequence[Array], bonds: int, signs: Sequence[int]) -> Array:
    """Values of words after the program from |0...0>: as `words.on_bonds`; other arguments as in `evolve`."""
    inputs = vary_alike(_operands(pieces, None))
    flips, own = words.letters(bonds)
    rest = program.n_qubits - bonds
    masks = tuple(f << rest for f in flips) * len(signs), tuple(s << rest | sign for sign in signs for s in own)
    kernel = encode(program, inputs[0].shape[0], *masks, _chosen())
    return derivatives.evaluate(_OnBonds(kernel, program, bonds, tuple(signs)), tuple(inputs))[0]


def _chosen() -> str:
    """The instruction set to use."""
    name = instruction_set()
    if name is None:
        raise ValueError('Engine "native" is not installed: it needs a C++ compiler at installation.')
    return name


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


@dataclasses.dataclass(frozen=True)
class _State:
    """Parameters and a state to the state after a program (see `derivatives.Rule`)."""

    kernel: Kernel
    program: Program
    sums: ClassVar[bool] = False

    def value(self, params: Array, start: Array) -> Arrays:
        return tuple(_call(self.kernel, _STATE, [(2, 2**self.kernel.n_qubits)], params, start))

    def forward(self, params: Array, start: Array) -> tuple[Arrays, Arrays]:
        return self.value(params, start), ()

    def backward(self, inputs: Arrays, results: Arrays, kept: Arrays, cotangents: Arrays, shared: Any) -> Arrays:
        params, start = inputs
        shapes = [params.shape, start.shape]
        return tuple(_call(self.kernel, _STATE_BACK, shapes, params, results[0], cotangents[0]))

    def plain(self, params: Array, start: Array) -> Arrays:
        return (_plain_state(self.program, params, start),)


@dataclasses.dataclass(frozen=True)
class _Values:
    """Parameters, a state and coefficients [observables, words] to expectation values [observables]."""

    kernel: Kernel
    program: Program
    flips: tuple[int, ...]
    signs: tuple[int, ...]
    sums: ClassVar[bool] = False

    def value(self, params: Array, start: Array, coefficients: Array) -> Arrays:
        shapes = [(coefficients.shape[0],), (len(self.flips),)]
        return (_call(self.kernel, _VALUES, shapes, params, start, coefficients)[0],)

    def forward(self, params: Array, start: Array, coefficients: Array) -> tuple[Arrays, Arrays]:
        k = coefficients.shape[0]
        shapes: list[tuple[int, ...]] = [(k,), (len(self.flips),)]
        if k == 1:  # the gradient is a multiple of the cotangent: it is found at once, and no state is kept
            shapes += [params.shape, start.shape]
            mode = _VALUE_AND_GRAD
        else:
            shapes.append((2, 2**self.kernel.n_qubits))
            mode = _VALUES_STATE
        values, *kept = _call(self.kernel, mode, shapes, params, start, coefficients)
        return (values,), tuple(kept)

    def backward(self, inputs: Arrays, results: Arrays, kept: Arrays, cotangents: Arrays, shared: Any) -> Arrays:
        (weights,) = cotangents
        words = weights[:, None] * kept[0][None, :]
        if weights.shape[0] == 1:
            return *(g * weights.reshape((1,) * g.ndim) for g in kept[1:]), words
        params, start, coefficients = inputs
        shapes = [params.shape, start.shape]
        return *_call(self.kernel, _VALUES_BACK, shapes, params, kept[1], coefficients, weights), words

    def plain(self, params: Array, start: Array, coefficients: Array) -> Arrays:
        n = self.program.n_qubits
        x = _plain_state(self.program, params, start)
        if not any(self.flips):
            values = words.diagonal(self.signs, x[0] ** 2 + x[1] ** 2, n)
            return (jnp.matmul(coefficients, values, precision=EXACT),)
        acted = [words.act(self.flips, self.signs, row, x, n) for row in coefficients]
        return (jnp.stack([jnp.vdot(x, y) for y in acted]),)


@dataclasses.dataclass(frozen=True)
class _OnBonds:
    """Parameters and a state to the values of words: one observable, whose coefficients are the words' cotangents."""

    kernel: Kernel
    program: Program
    bonds: int
    signs: tuple[int, ...]
    sums: ClassVar[bool] = False

    def _values(self, mode: int, shapes: Sequence[tuple[int, ...]], params: Array, start: Array) -> list[Array]:
        k = 4**self.bonds * len(self.signs)
        return _call(self.kernel, mode, [(1,), (k,), *shapes], params, start, jnp.zeros((1, k), params.dtype))[1:]

    def value(self, params: Array, start: Array) -> Arrays:
        return tuple(self._values(_VALUES, [], params, start))

    def forward(self, params: Array, start: Array) -> tuple[Arrays, Arrays]:
        values, state = self._values(_VALUES_STATE, [(2, 2**self.kernel.n_qubits)], params, start)
        return (values,), (state,)

    def backward(self, inputs: Arrays, results: Arrays, kept: Arrays, cotangents: Arrays, shared: Any) -> Arrays:
        params, start = inputs
        one = jnp.ones(1, params.dtype)
        weights = cotangents[0][None, :]
        return tuple(_call(self.kernel, _VALUES_BACK, [params.shape, start.shape], params, kept[0], weights, one))

    def plain(self, params: Array, start: Array) -> Arrays:
        return (words.on_bonds(self.bonds, self.signs, _plain_state(self.program, params, start)),)


def _plain_state(program: Program, params: Array, start: Array) -> Array:
    """The state after a program by the plain engine, in operations that jax differentiates."""
    if not start.shape[1]:
        start = xla.zero_state(program.n_qubits, params.dtype)
    numbers, loops = programs.numbers(program, [params])
    *numbers, start = vary_alike([*numbers, start])
    return xla.evolve(program, numbers, loops, start, "autodiff")
