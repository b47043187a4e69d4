"""Noise models, the table of measured devices, and trajectories: a noisy circuit as an average over pure states."""

import dataclasses
import functools
import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import operation
from qgen.circuits.channels import CHANNELS, TRACE_TOLERANCE, Channel, kraus
from qgen.circuits.circuit import Circuit
from qgen.circuits.gates import GATES
from qgen.circuits.observables import Observable
from qgen.circuits.operation import Op
from qgen.circuits.statevector import check_norm
from qgen.circuits.tensors import PAULIS, combine, complex_of, contract, letters, reduced, several, vector, walk
from qgen.types import Array, Complex, Float, Key

__all__ = ["CHANNELS", "Channel", "NoiseModel", "device", "devices", "kraus", "steps", "trajectories"]

Confusion = tuple[tuple[float, float], tuple[float, float]]
"""confusion[measured][true]: the probability to read `measured` where `true` is stored."""


@dataclasses.dataclass(frozen=True)
class NoiseModel:
    """Which channels follow which gates. Structure only: traced strengths are passed beside it, as parameters are.

    Attributes:
        after_1q: channels on the wire of every one-qubit gate.
        after_2q: channels after every two-qubit gate; one on a single wire acts on both wires.
        idle: channels on every qubit that rests in a layer (as-soon-as-possible scheduling between the Repeats).
        readout: the confusion matrix of every qubit, [measured][true]; None for a perfect read-out.
        noiseless: names of gates that cost nothing on the machine, such as a virtual "rz".

    Raises:
        ValueError: if a channel does not fit its place or the confusion matrix is not column-stochastic.
    """

    after_1q: tuple[Channel, ...] = ()
    after_2q: tuple[Channel, ...] = ()
    idle: tuple[Channel, ...] = ()
    readout: Confusion | None = None
    noiseless: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks that the channels fit."""
        for place, widest in (("after_1q", 1), ("after_2q", 2), ("idle", 1)):
            channels = tuple(getattr(self, place))
            object.__setattr__(self, place, channels)
            for channel in channels:
                if channel.wires > widest:
                    raise ValueError(
                        f"Channel `{channel.name}` acts on {channel.wires} wires and does not fit `{place}`."
                    )
        for name in self.noiseless:
            check.one_of("noiseless", name, GATES)
        if self.readout is not None:
            matrix = np.array(self.readout, dtype=float)
            check.shape("readout", matrix, (2, 2))
            if not (matrix >= 0).all() or not np.allclose(matrix.sum(0), 1, rtol=0, atol=TRACE_TOLERANCE):
                raise ValueError(
                    f"Argument `readout` must have columns of probabilities that add to 1, but is {self.readout}."
                )
            object.__setattr__(self, "readout", tuple(tuple(float(p) for p in row) for row in matrix))

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels, in the order of their strengths: after_1q, after_2q, idle."""
        return self.after_1q + self.after_2q + self.idle

    @property
    def strengths(self) -> Float[np.ndarray, " strengths"]:
        """The strengths of all channels, laid end to end."""
        return np.array([s for channel in self.channels for s in channel.strengths])

    def grown(self, factor: Any, strengths: Any = None) -> Float[Array, " strengths"]:
        """The strengths under which every channel is that of its noise acting for `factor` times as long.

        Raises:
            ValueError: if a channel is given by operators and has no known generator.
        """
        given = self.strengths if strengths is None else strengths
        pieces = [
            jnp.asarray(s) for c, own in zip(self.channels, self.split(given), strict=True) for s in c.grow(factor, own)
        ]
        return jnp.stack(pieces) if pieces else jnp.zeros(0)

    def split(self, strengths: Any) -> list[Any]:
        """The strengths of each channel, from the vector of all.

        Raises:
            ValueError: if their number is wrong.
        """
        check.shape("strengths", strengths, (len(self.strengths),))
        parts, first = [], 0
        for channel in self.channels:
            parts.append(strengths[first : first + len(channel.strengths)])
            first += len(channel.strengths)
        return parts


IDEAL = NoiseModel()
"""No noise at all."""


class Step(NamedTuple):
    """A gate, or a channel (its place among the model's channels) on some wires."""

    wires: tuple[int, ...]
    op: Op | None = None
    channel: int = -1


@functools.lru_cache(maxsize=256)
def steps(ops: tuple[Op, ...], n_qubits: int, model: NoiseModel) -> tuple[Step, ...]:
    """The gates and channels of a stretch of operations, in order of time.

    Raises:
        ValueError: if a gate acts on more than two qubits, for which a model states no noise.
    """
    found: list[Step] = []
    singles, pairs = len(model.after_1q), len(model.after_2q)
    for layer in _layers(ops) if model.idle else [list(ops)]:
        for op in layer:
            found.append(Step(op.support, op))
            width = len(op.support)
            if not width or op.name in model.noiseless or not (singles or pairs):
                continue
            if width > 2:
                raise ValueError(
                    f"Gate `{op.name}` acts on {width} qubits; noise is known for one and two: decompose it."
                )
            for place in range(singles) if width == 1 else range(singles, singles + pairs):
                wide = model.channels[place].wires == width
                found += [Step(op.support, None, place)] if wide else [Step((w,), None, place) for w in op.support]
        if model.idle:
            resting = sorted(set(range(n_qubits)) - {wire for op in layer for wire in op.support})
            places = range(singles + pairs, len(model.channels))
            found += [Step((wire,), None, place) for wire in resting for place in places]
    return tuple(found)


def _layers(ops: Sequence[Op]) -> list[list[Op]]:
    """As-soon-as-possible layers."""
    layers: list[list[Op]] = []
    ready: dict[int, int] = {}
    for op in ops:
        depth = max((ready.get(wire, 0) for wire in op.support), default=0)
        if depth == len(layers):
            layers.append([])
        layers[depth].append(op)
        ready.update(dict.fromkeys(op.support, depth + 1))
    return layers


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

    Returns:
        [n], or [n, k] for a list.

    Raises:
        ValueError: if n is below 1, a shape is wrong, or the model has no noise for a gate.
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
    """Weights and operators of every channel of the model, in the precision of `dtype`."""
    own = model.split(model.strengths if strengths is None else jnp.asarray(strengths))
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
