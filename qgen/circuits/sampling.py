"""Shots as pure functions of a key: samples, shot-noise estimates with gradients, mid-circuit measurement."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits.circuit import Circuit, Conditional, Item, Measure, Repeat
from qgen.circuits.gradients import gather_uses, occurrences, shift_plan
from qgen.circuits.observables import Observable, Word, check_fits
from qgen.circuits.operation import Op, gate
from qgen.circuits.statevector import apply, pieces, probabilities
from qgen.types import Array, Complex, Float, Int, Key

FRESH_BITS = 8
"""Bits that one uniform number decides: it leaves single precision 15 bits to tell their chances apart."""


def sample(
    key: Key,
    circuit: Circuit,
    params: Any = (),
    shots: int = 1024,
    state: Array | None = None,
    engine: str = "auto",
) -> Int[Array, "shots qubits"]:
    """Bit strings measured in the computational basis.

    Args:
        key: the key of the draws.
        circuit: a circuit without measurements.
        params: as in `apply`.
        shots: how many strings, at least 1.
        state: as in `apply`.
        engine: as in `apply`; it computes the probabilities.

    Returns:
        Zeros and ones, int32 [shots, n]; -1 everywhere where the probabilities are not numbers.

    Raises:
        ValueError: as `apply`, or if `shots` is below 1.
    """
    check.at_least("shots", shots, 1)
    return unpack(draw(key, probabilities(circuit, params, state=state, engine=engine), shots), circuit.n_qubits)


def draw(key: Key, density: Float[Array, " strings"], shots: int) -> Int[Array, " shots"]:
    """Indices drawn from a distribution by inversion, bit after bit down a tree of sums; -1 if it is NaN.

    One cumulative sum searched for one uniform number is too coarse in single precision: with its 24 bits the last of
    25 wires would always read 0. The sums of a tree are accurate at every node, and every FRESH_BITS bits have a
    uniform number of their own.
    """
    bits = (density.shape[0] - 1).bit_length()
    levels = [jnp.pad(density, (0, 2**bits - density.shape[0]))]
    for level in reversed(range(bits)):  # halves lie far apart but whole, which adds up faster than neighbours
        levels.append(levels[-1][: 2**level] + levels[-1][2**level :])
    sums = jnp.concatenate([levels[-1], *reversed(levels)])  # the sums over all but the last k bits begin at 2**k
    uniforms = jax.random.uniform(key, (-(-bits // FRESH_BITS), shots), density.dtype)

    def descend(level: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        found, place = carry
        half = (1 << level).astype(found.dtype)
        left, right = sums[2 * half + found], sums[3 * half + found]
        # Rounding may leave a place beyond the node's sum: what has no chance is still never drawn.
        is_right = (place >= left) & (right > 0)
        return found + half * is_right, jnp.where(is_right, place - left, place)

    found = jnp.zeros(shots, jnp.int32)
    for first, uniform in zip(range(0, bits, FRESH_BITS), uniforms, strict=True):
        place = uniform * sums[2**first + found]
        found, _ = jax.lax.fori_loop(first, min(first + FRESH_BITS, bits), descend, (found, place))
    return jnp.where(jnp.isnan(sums[1]), -1, found)


def unpack(strings: Int[Array, "*shape"], n_qubits: int) -> Int[Array, "*shape qubits"]:
    """Indices as bits, qubit 0 first; -1 as -1 everywhere."""
    shifts = jnp.arange(n_qubits - 1, -1, -1, dtype=strings.dtype).reshape((1,) * strings.ndim + (-1,))
    return jnp.where(strings[..., None] < 0, -1, (strings[..., None] >> shifts) & 1)


def groups(observable: Observable) -> tuple[tuple[int, ...], ...]:
    """The words' positions in groups that one setting reads out: on every wire at most one letter (greedy)."""
    settings: list[dict[int, str]] = []
    found: list[list[int]] = []
    for k, word in enumerate(observable.words):
        for setting, members in zip(settings, found, strict=True):
            if all(setting.get(wire, letter) == letter for wire, letter in word):
                setting |= dict(word)
                members.append(k)
                break
        else:
            settings.append(dict(word))
            found.append([k])
    return tuple(tuple(members) for members in found)


def estimate(
    key: Key,
    circuit: Circuit,
    params: Any,
    observable: Observable,
    shots: int,
    gradient: str = "shift",
    state: Array | None = None,
) -> Float[Array, ""]:
    """An expectation value as a machine would estimate it, with a gradient that carries shot noise as well.

    The words are read out in `groups`; every group gets `shots` executions. The value and the gradient are unbiased.

    Args:
        key: the key of all draws.
        circuit: a circuit without measurements.
        params: as in `apply`.
        observable: the observable; its coefficients may be traced and get the gradient of the same shots.
        shots: executions per group and evaluation, at least 1.
        gradient: "shift": the parameter-shift rule, every shifted value from shots of its own, as on hardware; "score":
            the score function sum (O(b) - mean) d log p(b) over the value's own shots, which needs the simulator.
        state: as in `apply`; it gets no gradient.

    Returns:
        A scalar. With "shift" it has a gradient, but no forward mode: `jax.jvp` raises TypeError.

    Raises:
        ValueError: as `apply`, or if `shots` is below 1, `gradient` is unknown or the observable does not fit.
    """
    check.at_least("shots", shots, 1)
    check.one_of("gradient", gradient, ("shift", "score"))
    check_fits(observable, circuit.n_qubits)
    given = pieces(circuit, params)
    vector = jnp.concatenate(given) if given else jnp.zeros(0)
    coefficients = jnp.asarray(observable.coefficients, vector.dtype)
    if gradient == "score":
        return _score(key, circuit, vector, observable.words, coefficients, shots, state)
    return _shifted(circuit, observable.words, shots, key, vector, coefficients, state)


def _words_mean(
    key: Key, circuit: Circuit, vector: Array, words: tuple[Word, ...], shots: int, state: Array | None
) -> Array:
    """The mean sign of every word over the shots of its group, [words]."""
    means: list[Any] = [None] * len(words)
    for number, members in enumerate(groups(Observable(words))):
        rotated = circuit + _readout([words[k] for k in members], circuit.n_qubits)
        density = probabilities(rotated, vector, state=state)
        bits = unpack(draw(jax.random.fold_in(key, number), density, shots), circuit.n_qubits)
        for k in members:
            mean = _signs(bits, words[k]).mean(dtype=vector.dtype)
            means[k] = jnp.where(bits[0, 0] < 0, jnp.nan, mean)
    return jnp.stack(means)


def _readout(words: Sequence[Word], n_qubits: int) -> Circuit:
    """The basis change after which the words are read out as parities."""
    letters = {wire: letter for word in words for wire, letter in word}
    ops: list[Op] = []
    for wire, letter in sorted(letters.items()):
        ops += [gate("sdg", wire)] if letter == "Y" else []
        ops += [gate("h", wire)] if letter != "Z" else []
    return Circuit(n_qubits, tuple(ops))


def _signs(bits: Int[Array, "shots qubits"], word: Word) -> Int[Array, " shots"]:
    wires = [wire for wire, _ in word]
    return 1 - 2 * (bits[:, np.array(wires, dtype=int)].sum(1) % 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _shifted(
    circuit: Circuit, words: tuple[Word, ...], shots: int, key: Key, vector: Array, coefficients: Array, state: Any
) -> Array:
    return coefficients @ _words_mean(jax.random.fold_in(key, 0), circuit, vector, words, shots, state)


def _shifted_forward(
    circuit: Circuit, words: tuple[Word, ...], shots: int, key: Key, vector: Array, coefficients: Array, state: Any
) -> Any:
    means = _words_mean(jax.random.fold_in(key, 0), circuit, vector, words, shots, state)
    return coefficients @ means, (key, vector, coefficients, state, means)


def _shifted_backward(circuit: Circuit, words: tuple[Word, ...], shots: int, kept: Any, cotangent: Array) -> Any:
    key, vector, coefficients, state, means = kept
    split = occurrences(circuit)
    grad = jnp.zeros_like(vector)
    if split.frequencies:
        plan = shift_plan(split.frequencies)
        rows = split.angles(vector)[None] + jnp.asarray(plan.shifts, vector.dtype)
        keys = jax.random.split(jax.random.fold_in(key, 1), rows.shape[0])

        def value(key: Key, row: Array) -> Array:
            return coefficients @ _words_mean(key, split.circuit, row, words, shots, state)

        per_use = jnp.asarray(plan.weights, vector.dtype) @ jax.vmap(value)(keys, rows)
        grad = gather_uses(split, per_use, vector)
    nothing = None if state is None else jnp.zeros_like(state)
    return None, grad * cotangent, means * cotangent, nothing


_shifted.defvjp(_shifted_forward, _shifted_backward)


def _score(
    key: Key, circuit: Circuit, vector: Array, words: tuple[Word, ...], coefficients: Array, shots: int, state: Any
) -> Array:
    state = None if state is None else jax.lax.stop_gradient(state)
    total = jnp.zeros((), vector.dtype)
    for number, members in enumerate(groups(Observable(words))):
        density = probabilities(circuit + _readout([words[k] for k in members], circuit.n_qubits), vector, state=state)
        strings = draw(jax.random.fold_in(key, number), jax.lax.stop_gradient(density), shots)
        bits = unpack(strings, circuit.n_qubits)
        signs = jnp.stack([_signs(bits, words[k]) for k in members], 1).astype(vector.dtype)
        values = signs @ coefficients[np.array(members)]
        fixed = jax.lax.stop_gradient(values)
        # Leave-one-out baselines keep the estimate unbiased at the least variance that a constant can give.
        others = (fixed.sum() - fixed) / max(shots - 1, 1) if shots > 1 else jnp.zeros_like(fixed)
        log_p = jnp.log(density[strings])
        total = total + values.mean() + jnp.mean((fixed - others) * (log_p - jax.lax.stop_gradient(log_p)))
    return total


def trajectory(
    key: Key, circuit: Circuit, params: Any = (), state: Array | None = None
) -> tuple[Complex[Array, " strings"], Int[Array, " bits"]]:
    """Runs a circuit with mid-circuit measurements, resets and conditions once; vmap over keys for many runs.

    Args:
        key: the key of the outcomes.
        circuit: any circuit.
        params: as in `apply`.
        state: as in `apply`.

    Returns:
        The state after the run, complex [2**n], and the classical bits, int32 [circuit.n_bits]; bits never written are
        0, and bits measured on a state that is NaN are -1.

    Raises:
        ValueError: as `apply`.
    """
    given = pieces(circuit, params)
    vector = jnp.concatenate(given) if given else jnp.zeros(0)
    n = circuit.n_qubits
    psi = apply(Circuit(n), (), state)
    psi = psi.astype(jnp.result_type(psi.dtype, jnp.promote_types(vector.dtype, jnp.complex64)))
    bits = jnp.zeros(circuit.n_bits, jnp.int32)
    waiting: list[Item] = []

    def flush(psi: Array) -> Array:
        stretch = _padded(n, waiting, vector)
        waiting.clear()
        return stretch(psi)

    for place, item in enumerate(_opened(circuit)):
        if isinstance(item, Op | Repeat):
            waiting.append(item)
            continue
        psi = flush(psi) if waiting else psi
        if isinstance(item, Conditional):
            holds = jnp.all(bits[np.array(item.bits)] == jnp.asarray(item.values, jnp.int32))
            psi = jnp.where(holds, _padded(n, [item.op], vector)(psi), psi)
            continue
        psi, outcome = _measured(jax.random.fold_in(key, place), psi, n, item.wire)
        if isinstance(item, Measure):
            bits = bits.at[item.bit].set(outcome)
        else:
            flipped = jnp.flip(psi.reshape(2**item.wire, 2, -1), 1).reshape(-1)
            psi = jnp.where(outcome == 1, flipped, psi)
    return (flush(psi) if waiting else psi), bits


def _opened(circuit: Circuit) -> list[Item]:
    """The items, with those repetitions written out that measure."""
    if all(not isinstance(item, Repeat) or item.body.is_unitary for item in circuit.ops):
        return list(circuit.ops)
    return list(circuit.walk())


def _padded(n_qubits: int, items: Sequence[Item], vector: Array) -> Any:
    """psi -> psi after the items, whose indices refer to the whole vector."""
    stretch = Circuit(n_qubits, tuple(items))
    used = vector[: stretch.n_params]
    return lambda psi: _apply_any(stretch, used, psi)


def _apply_any(circuit: Circuit, vector: Array, psi: Array) -> Array:
    """`apply` on a state whose norm rounding may have moved from 1 by more than the check of users' states allows."""
    return jax.jit(apply, static_argnums=0)(circuit, vector, psi)


def _measured(key: Key, psi: Array, n_qubits: int, wire: int) -> tuple[Array, Array]:
    """Projects a wire on a random outcome and normalises; the outcome of a state that is NaN is -1."""
    rows = psi.reshape(2**wire, 2, -1)
    weight = jnp.sum(jnp.real(rows) ** 2 + jnp.imag(rows) ** 2, (0, 2))
    drawn = (jax.random.uniform(key, (), weight.dtype) * weight.sum() >= weight[0]).astype(jnp.int32)
    outcome = jnp.where(jnp.isnan(weight.sum()), -1, drawn)
    keep = (jnp.arange(2) == outcome).astype(weight.dtype) / jnp.sqrt(weight[outcome])
    return (rows * keep.reshape(1, 2, 1)).reshape(-1), outcome
