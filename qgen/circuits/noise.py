"""Noise models, the table of measured devices, and trajectories: a noisy circuit as an average over pure states."""

import functools
import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qgen import check
from qgen.circuits import jumps as jumping
from qgen.circuits import operation
from qgen.circuits.channels import CHANNELS, Channel, kraus
from qgen.circuits.circuit import Circuit
from qgen.circuits.engine import native
from qgen.circuits.noise_model import IDEAL, NoiseModel, steps
from qgen.circuits.observables import Observable
from qgen.circuits.operation import Op
from qgen.circuits.states import check_norm
from qgen.circuits.statevector import expectation
from qgen.circuits.tensors import PAULIS, combine, complex_of, contract, letters, reduced, several, vector, walk
from qgen.types import Array, Complex, Float, Key

__all__ = ["CHANNELS", "IDEAL", "Channel", "NoiseModel", "device", "devices", "kraus", "steps", "trajectories"]


def trajectories(
    key: Key,
    circuit: Circuit,
    params: Any,
    model: NoiseModel,
    observable: Observable | Sequence[Observable],
    n: int,
    *,
    strengths: Any = None,
    state: Complex[Array, " dim"] | None = None,
    engine: str = "auto",
) -> Float[Array, " n *k"]:
    """Expectation values of `n` independent quantum trajectories; their mean is unbiased for the noisy value.

    At each channel the pure state jumps to O_k psi with probability w_k |O_k psi|^2 (arXiv:quant-ph/9702007). A jump's
    probability enters the value as itself over its own constant copy: so the gradient of the mean with respect to
    parameters and strengths is unbiased too, and memory is that of n state vectors instead of one density matrix.

    Args:
        key: a random key.
        circuit: the circuit, without measurements.
        params: its parameter vector.
        model: the noise; its read-out error is applied exactly.
        observable: one observable, or a list of k.
        n: trajectories, at least 1.
        strengths: traced strengths in place of the model's, [strengths].
        state: the initial state, complex [2**qubits]; |0...0> where left out.
        engine: "native": the compiled kernel, for channels that mix Pauli words; "xla": gate by gate; "auto" chooses.
            The draws of the two differ.

    Returns:
        [n], or [n, k] for a list.

    Raises:
        ValueError: if n is below 1, a shape is wrong, the model has no noise for a gate, or the kernel is asked for and
            cannot run here.
    """
    check.at_least("n", n, 1)
    angles = vector(circuit, params)
    words = letters(several(observable), circuit.n_qubits)
    terms = channel_terms(model, strengths, angles.dtype)
    n_qubits = circuit.n_qubits
    start = jnp.zeros(2**n_qubits).at[0].set(1) if state is None else jnp.asarray(state)
    check.shape("state", start, (2**n_qubits,))
    check_norm(start)
    start = start.astype(complex_of(angles)).reshape((2,) * n_qubits)
    read = _natively(circuit, model, observable, engine)
    if read is not None:
        noisy = jumping.with_jumps(circuit, model)
        weights = [pair[0] for pair in terms]

        def one_natively(own_key: Key) -> Array:
            turns, factor = jumping.draw(own_key, noisy, model, weights, angles.dtype)
            given = None if state is None else start.reshape(-1)
            values = expectation(noisy.circuit, (angles, turns), read, given, engine="native")
            return factor * (values[0] if isinstance(observable, Observable) else values)

        return jax.vmap(one_natively)(jax.random.split(key, n))

    def segment(carry: Any, ops: tuple[Op, ...], local: Array) -> Any:
        psi, weight, chain = carry
        chain, own_key = jax.random.split(chain)
        todo = steps(ops, n_qubits, model)
        # One draw for all jumps: a generator per jump would dominate compile time.
        draws = iter(jax.random.uniform(own_key, (sum(step.op is None for step in todo),), dtype=angles.dtype))
        for step in todo:
            if step.op is not None:
                psi = contract(psi, operation.matrix(step.op, local), step.wires)
            else:
                mixing = model.channels[step.channel].mixes_unitaries
                psi, factor = _jump(psi, step.wires, *terms[step.channel], next(draws), mixing)
                weight = weight * factor
        return psi, weight, chain

    def one(own_key: Key) -> Array:
        psi, weight, _ = walk(circuit, angles, (start, jnp.ones((), angles.dtype), own_key), segment)
        factors = measured_paulis(model).astype(psi.dtype)
        values = jnp.stack([_word_value(psi, word, factors) for word in words])
        return weight * combine(values, observable)

    return jax.vmap(one)(jax.random.split(key, n))


def _natively(
    circuit: Circuit, model: NoiseModel, observable: Observable | Sequence[Observable], engine: str
) -> list[Observable] | None:
    """What the compiled kernel is to measure, or None if it does not run these trajectories."""
    check.one_of("engine", engine, ("auto", "xla", "native"))
    runs = native.takes(circuit.n_qubits, engine) and circuit.is_unitary
    found = (
        [jumping.as_read(one, model) for one in several(observable)] if runs and jumping.mixes_paulis(model) else [None]
    )
    read = [one for one in found if one is not None]
    if len(read) == len(found):
        return read
    if engine == "native":
        raise ValueError('Engine "native" runs trajectories of channels that mix Pauli words; use "auto" or "xla".')
    return None


def _jump(
    psi: Array, wires: tuple[int, ...], weights: Array, operators: Array, draw: Array, mixing: bool
) -> tuple[Array, Array]:
    """The state after a jump chosen by a draw in [0, 1), and the factor that carries the jump's gradient."""
    fixed = jax.lax.stop_gradient
    norms = jnp.ones_like(weights)
    if not mixing:
        density = fixed(reduced(psi, wires))
        norms = jnp.einsum("kab,bc,kac->k", fixed(operators), density, fixed(operators).conj()).real
    chances = jnp.cumsum(jnp.maximum(fixed(weights) * norms, 0.0))
    # The first entry whose cumulative chance exceeds the draw has a chance above zero, which dividing by it needs.
    k = jnp.argmax(chances > draw * chances[-1])
    return contract(psi, operators[k], wires) / jnp.sqrt(norms[k]), weights[k] / fixed(weights[k])


def channel_terms(model: NoiseModel, strengths: Any, dtype: Any) -> list[tuple[Array, Array]]:
    """Weights and operators of every channel of the model, in the precision of `dtype`.

    Raises:
        ValueError: if there are not as many strengths as the model has, or they are no channel's (where concrete).
    """
    own = model.split(model.strengths if strengths is None else jnp.asarray(strengths))
    if strengths is not None and not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(strengths)):
        for channel, numbers in zip(model.channels, model.split(np.asarray(strengths)), strict=True):
            channel.check(numbers)
    kind = jnp.promote_types(dtype, jnp.complex64)
    pairs = [channel.terms(numbers) for channel, numbers in zip(model.channels, own, strict=True)]
    return [(weights.astype(dtype), operators.astype(kind)) for weights, operators in pairs]


def measured_paulis(model: NoiseModel) -> Complex[Array, "4 2 2"]:
    """What stands for I, X, Y, Z when the qubit is rotated to the letter's basis and read out with errors."""
    if model.readout is None:
        return jnp.asarray(PAULIS)
    (p00, p01), (p10, p11) = model.readout
    slope, offset = (p00 - p10 - p01 + p11) / 2, (p00 - p10 + p01 - p11) / 2
    return jnp.asarray(np.concatenate([PAULIS[:1], slope * PAULIS[1:] + offset * PAULIS[:1]]))


def _word_value(psi: Array, word: np.ndarray, factors: Array) -> Array:
    after = psi
    for wire in np.flatnonzero(word):
        after = contract(after, factors[word[wire]], (int(wire),))
    return jnp.vdot(psi, after).real


@functools.lru_cache
def devices() -> dict[str, dict[str, Any]]:
    """The table of measured devices: name -> qubits, errors, times and the source of the numbers."""
    text = resources.files("qgen.circuits").joinpath("devices.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def device(name: str, *, idle: bool = False) -> NoiseModel:
    """The noise model of a measured device.

    Errors are average gate infidelities r; depolarising noise with p = r (d + 1) / d, d = 2 or 4, has the same
    infidelity. The read-out error is taken as symmetric, and every gate of a kind as equally good.

    Args:
        name: a name of `devices()`.
        idle: add thermal relaxation of resting qubits for the time of a two-qubit gate.

    Raises:
        ValueError: if the device is unknown, or `idle` is asked for and its T1, T2 or gate time is not known.
    """
    check.one_of("name", name, devices())
    row = devices()[name]
    error = row.get("error_readout", 0.0)
    resting: tuple[Channel, ...] = ()
    if idle:
        missing = [field for field in ("t1_s", "t2_s", "time_2q_s") if field not in row]
        if missing:
            raise ValueError(f"Device `{name}` has no sourced {', '.join(missing)}: its idle noise is not known.")
        resting = (Channel("thermal_relaxation", (row["time_2q_s"], row["t1_s"], row["t2_s"], 0.0)),)
    return NoiseModel(
        after_1q=(Channel("depolarising", (1.5 * row["error_1q"],)),),
        after_2q=(Channel("depolarising_2q", (1.25 * row["error_2q"],)),),
        idle=resting,
        readout=((1 - error, error), (error, 1 - error)) if error else None,
    )
