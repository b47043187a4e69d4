"""State vectors: what users call. Pure functions of one example, under any jit, grad and vmap of the user's."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import cutting, symmetry
from qgen.circuits import program as programs
from qgen.circuits.circuit import Circuit
from qgen.circuits.engine import EXACT, moves, native, vary_alike, words, xla
from qgen.circuits.lowering import lower
from qgen.circuits.memory import check_memory
from qgen.circuits.observables import Observable, Word, check_fits
from qgen.circuits.program import Affine, Phases, Program, Table
from qgen.circuits.states import check_norm, marginal
from qgen.types import Array, Complex, Float

TABLE_LIMIT = 1 << 16
"""Diagonal observables are tables over all bit strings up to this many entries, and sums of words above."""


def apply(
    circuit: Circuit,
    params: Any = (),
    state: Array | None = None,
    engine: str = "auto",
    gradient: str = "auto",
) -> Complex[Array, " strings"]:
    """The state after the circuit.

    Args:
        circuit: a circuit without measurements.
        params: its parameters in radians: an array of `circuit.n_params` numbers of any shape, read row after row (a
            circuit knows no shape: its ansatz says in which order the axes are), or a tuple of arrays laid end to end.
            A batch by vmap over one of the arrays leaves the gates of the others unbatched, which is
            much faster than a batch over one concatenated array.
        state: the state before the circuit, complex [2**n]; |0...0> where left out.
        engine: who runs it: "native": the compiled kernel, on CPUs where it is installed; "xla"; "auto" chooses.
            Forward mode and second derivatives run on "xla" whatever is asked for.
        gradient: "adjoint": reverse mode runs the circuit backwards, at a memory of a few states whatever the depth;
            forward mode and second derivatives follow jax's own rules, at a memory that grows with depth; "autodiff":
            everything follows jax's own rules, on "xla"; "auto" is "adjoint".

    Returns:
        The amplitudes, complex [2**n]; qubit 0 is the most significant bit. complex128 for parameters in double
        precision.

    Raises:
        ValueError: if the parameters or the state do not fit the circuit, the state is not normalised (where it is
            concrete), the circuit measures, or the register is too large for the memory.

    Example:
        >>> from qgen.circuits import Angle, Circuit, gate
        >>> bell = Circuit(2, (gate("h", 0), gate("cx", (0, 1))))
        >>> [round(float(abs(a)), 3) for a in apply(bell)]
        [0.707, 0.0, 0.0, 0.707]
    """
    return _complex(_evolve(lower(circuit), pieces(circuit, params), state, engine, gradient))


def probabilities(
    circuit: Circuit,
    params: Any = (),
    wires: Sequence[int] | None = None,
    state: Array | None = None,
    engine: str = "auto",
    gradient: str = "auto",
) -> Float[Array, " strings"]:
    """Born probabilities of all bit strings, or the marginal of some wires in the given order.

    Args:
        circuit: a circuit without measurements.
        params: as in `apply`.
        wires: the wires to keep; all where left out.
        state: as in `apply`.
        engine: as in `apply`.
        gradient: as in `apply`.

    Returns:
        [2**n] or [2**len(wires)].

    Raises:
        ValueError: as `apply`, or if the wires do not fit.
    """
    program, given = lower(circuit), pieces(circuit, params)
    return marginal(_density(program, given, state, engine, gradient), circuit.n_qubits, wires)


def expectation(
    circuit: Circuit,
    params: Any,
    observable: Observable | Sequence[Observable],
    state: Array | None = None,
    engine: str = "auto",
    gradient: str = "auto",
) -> Float[Array, "*observables"]:
    """<psi| observable |psi> without a dense matrix.

    Args:
        circuit: a circuit without measurements.
        params: as in `apply`.
        observable: one observable, or a list; coefficients may be traced.
        state: as in `apply`.
        engine: as in `apply`.
        gradient: as in `apply`.

    Returns:
        A scalar, or [k] for a list of k observables.

    Raises:
        ValueError: as `apply`, or if an observable does not fit the register.
    """
    several = [observable] if isinstance(observable, Observable) else list(observable)
    if not several:
        raise ValueError("Argument `observable` must hold at least one observable, but is empty.")
    for one in several:
        check_fits(one, circuit.n_qubits)
    if state is None and (reduced := symmetry.reduce(circuit, several)):
        circuit, several = reduced
    given = pieces(circuit, params)
    is_diagonal = all(one.is_diagonal for one in several)
    if state is None and is_diagonal and (found := cutting.cut(circuit)):
        values = _cut_values(found, given, several, engine, gradient)
    elif _is_native(circuit.n_qubits, engine, gradient):
        inputs = _inputs(circuit.n_qubits, given, state, native.MOST_STATES)
        values = native.expectation(lower(circuit), *inputs, several)
        values = _with_unseen(lower(circuit), given, values) if is_diagonal else values
    elif is_diagonal:
        density = _density(lower(circuit), given, state, engine, gradient)
        values = _diagonal_values(several, density, circuit.n_qubits)
    else:
        x = _evolve(lower(circuit), given, state, engine, gradient)
        values = jnp.stack([jnp.vdot(x, _act(one, x, circuit.n_qubits)) for one in several])
    return values[0] if isinstance(observable, Observable) else values


def variance(
    circuit: Circuit,
    params: Any,
    observable: Observable,
    state: Array | None = None,
    engine: str = "auto",
    gradient: str = "auto",
) -> Float[Array, ""]:
    """<O^2> - <O>^2 of an observable, from O|psi>.

    Args:
        circuit: a circuit without measurements.
        params: as in `apply`.
        observable: the observable; its coefficients may be traced.
        state: as in `apply`.
        engine: as in `apply`.
        gradient: as in `apply`.

    Returns:
        A scalar.

    Raises:
        ValueError: as `expectation`.
    """
    check_fits(observable, circuit.n_qubits)
    x = _evolve(lower(circuit), pieces(circuit, params), state, engine, gradient)
    y = _act(observable, x, circuit.n_qubits)
    return jnp.vdot(y, y) - jnp.vdot(x, y) ** 2


def pieces(circuit: Circuit, params: Any) -> list[Array]:
    """The parameters as one-dimensional floating arrays, laid end to end.

    Raises:
        ValueError: if they are not real numbers or their count differs from the circuit's.
    """
    given = list(params) if isinstance(params, list | tuple) else [params]
    arrays = [jnp.ravel(jnp.asarray(piece)) for piece in given]
    arrays = [a if jnp.issubdtype(a.dtype, jnp.inexact) else a.astype(jnp.result_type(float)) for a in arrays]
    if any(jnp.iscomplexobj(a) for a in arrays):
        raise ValueError("Argument `params` must hold real numbers, but is complex.")
    total = sum(a.shape[0] for a in arrays)
    if total != circuit.n_params:
        raise ValueError(f"Argument `params` must hold {circuit.n_params} numbers, but holds {total}.")
    return [a for a in arrays if a.shape[0]]


def _evolve(
    program: Program, given: Sequence[Array], state: Array | None, engine: str, gradient: str
) -> Float[Array, "2 strings"]:
    """Checks what was given and runs the program: real and imaginary parts."""
    n = program.n_qubits
    if _is_native(n, engine, gradient):
        return native.evolve(program, *_inputs(n, given, state, native.MOST_STATES))
    given, x = _inputs(n, given, state, xla.MOST_STATES)
    if x is None:
        program, x = xla.begin(program, _dtype(given))
    numbers, loops = programs.numbers(program, given)
    numbers = [a.astype(x.dtype) for a in numbers]
    *numbers, x = vary_alike([*numbers, x])
    return xla.evolve(program, numbers, loops, x, "autodiff" if gradient == "autodiff" else "adjoint")


def _is_native(n_qubits: int, engine: str, gradient: str) -> bool:
    """Whether the compiled kernel runs this."""
    check.one_of("engine", engine, ("auto", "xla", "native"))
    check.one_of("gradient", gradient, ("auto", "adjoint", "autodiff"))
    return gradient != "autodiff" and native.takes(n_qubits, engine)


def _inputs(
    n_qubits: int, given: Sequence[Array], state: Array | None, states: int
) -> tuple[list[Array], Array | None]:
    """Checks what was given: the parameters' pieces and the state as real [2, 2**n], in one precision.

    A state that is given counts twice, with its derivative, beside the `states` that an engine needs.
    """
    dtype = _dtype(given)
    x = None
    if state is not None:
        state = jnp.asarray(state)
        check.shape("state", state, (2**n_qubits,))
        check_norm(state)
        dtype = jnp.promote_types(dtype, jnp.finfo(state.dtype).dtype if _is_inexact(state) else dtype)
        x = jnp.stack([jnp.real(state), jnp.imag(state)]).astype(dtype)
    check_memory(n_qubits, states + 2 * (state is not None), jnp.dtype(dtype).itemsize)
    return [piece.astype(dtype) for piece in given], x


def _dtype(given: Sequence[Array]) -> Any:
    return jnp.result_type(*given) if given else jnp.result_type(float)


def _is_inexact(array: Array) -> bool:
    return jnp.issubdtype(array.dtype, jnp.inexact)


def _complex(x: Float[Array, "2 strings"]) -> Complex[Array, " strings"]:
    return jax.lax.complex(x[0], x[1])


def _density(
    program: Program, given: Sequence[Array], state: Array | None, engine: str, gradient: str
) -> Float[Array, " strings"]:
    """Probabilities of all bit strings; a last permutation moves them rather than the amplitudes."""
    n = program.n_qubits
    seen = programs.trim(program)
    last = seen.stages[-1] if seen.stages else None
    if isinstance(last, Affine):
        seen = programs.trim(Program(n, seen.stages[:-1]))
    x = _evolve(seen, given, state, engine, gradient)
    density = x[0] ** 2 + x[1] ** 2
    density = moves.permute(last, density[None], n, False)[0] if isinstance(last, Affine) else density
    return _with_unseen(program, given, density)


def _with_unseen(program: Program, given: Sequence[Array], values: Array) -> Array:
    """The values, but NaN where one of the last phases is: no probability depends on them, so that no engine runs them.

    Constant for derivatives, which then cost nothing.
    """
    unseen: list[Phases] = []
    for stage in reversed(program.stages):
        if not isinstance(stage, Phases | Table | Affine):
            break
        unseen += [stage] if isinstance(stage, Phases) and any(slot.terms for slot in stage.slots) else []
    if not unseen:
        return values
    numbers, _ = programs.numbers(Program(program.n_qubits, tuple(unseen)), given)
    return _with_nan(values, numbers)


def _with_nan(values: Array, arrays: Sequence[Array]) -> Array:
    """The values, but NaN where an entry of the arrays is; for derivatives that adds nothing."""
    total = sum((jnp.sum(array).astype(values.dtype) for array in arrays), jnp.zeros((), values.dtype))
    return values + 0 * jax.lax.stop_gradient(total)


def _diagonal_values(several: Sequence[Observable], density: Array, n: int) -> Array:
    """Expectation values of diagonal observables from the probabilities: [k]."""
    known = all(isinstance(one.coefficients, np.ndarray) for one in several)
    if known and 2**n * len(several) <= TABLE_LIMIT:
        table = np.stack([one.table(n) for one in several])
        return jnp.matmul(jnp.asarray(table, density.dtype), density, precision=EXACT)
    names, weights = _named(several, density.dtype)
    return jnp.matmul(weights, words.diagonal(Observable(names).masks(n)[1], density, n), precision=EXACT)


def _named(several: Sequence[Observable], dtype: Any) -> tuple[list[Word], Any]:
    """The words of all observables, and each observable's coefficients of them: [k, words]."""
    names = list(dict.fromkeys(word for one in several for word in one.words))
    # Products with ones at the words' places: picking words would make the gradient scatter.
    places = [np.array([[name == word for name in names] for word in one.words], dtype) for one in several]
    if all(isinstance(one.coefficients, np.ndarray) for one in several):
        rows = [one.coefficients @ place for one, place in zip(several, places, strict=True)]
        return names, np.stack(rows).astype(dtype)
    given = [jnp.asarray(one.coefficients, dtype) for one in several]
    return names, jnp.stack(
        [jnp.matmul(mine, place, precision=EXACT) for mine, place in zip(given, places, strict=True)]
    )


def _cut_values(
    cut: cutting.Cut, given: Sequence[Array], several: Sequence[Observable], engine: str, gradient: str
) -> Array:
    """Expectation values of diagonal observables from both sides of a cut circuit: [k].

    The sum over the bonds is tr(A B^T) of both sides' reduced matrices: over all Pauli words P of the bonds,
    2**-bonds <P>_A <P^T>_B, times 2**bonds for the bonds that begin in |0> + |1>. P^T is -P where the Y are odd.
    """
    names, weights = _named(several, _dtype(given))
    *masks, signs = cut.split(names)
    if len(given) > 1 and _is_native(cut.left.n_qubits, engine, gradient):
        given = [jnp.concatenate(given)]  # its derivatives on both sides are added up once
    left, right = (
        _on_bonds(lower(circuit, cut.data), given, cut.bonds, mine, engine, gradient)
        for circuit, mine in zip((cut.left, cut.right), masks, strict=True)
    )
    turns = [(-1.0) ** (flip & sign).bit_count() for flip, sign in zip(*words.letters(cut.bonds), strict=True)]
    weights = (weights[:, :, None] * np.outer(signs, turns)[None]).reshape(len(several), -1)
    values = jnp.matmul(jnp.asarray(weights, left.dtype), left * right, precision=EXACT)
    return _with_nan(values, given)  # of the parameters that both sides leave out, too


def _on_bonds(
    program: Program, given: Sequence[Array], bonds: int, signs: Sequence[int], engine: str, gradient: str
) -> Float[Array, " words"]:
    """The values of words on one side, as `words.on_bonds`."""
    n = program.n_qubits
    if _is_native(n, engine, gradient):
        return native.on_bonds(program, _inputs(n, given, None, native.MOST_STATES)[0], bonds, signs)
    return words.on_bonds(bonds, signs, _evolve(program, given, None, engine, gradient))


def _act(observable: Observable, x: Float[Array, "2 strings"], n: int) -> Float[Array, "2 strings"]:
    """O|psi>."""
    flips, signs, _ = observable.masks(n)
    return words.act(flips, signs, jnp.asarray(observable.coefficients, x.dtype), x, n)
