"""CHANNELS: one table of noise channels: their strengths, their Kraus operators and how they grow with time.

A channel is sum_k w_k O_k rho O_k^dagger with weights w_k >= 0, so its Kraus operators are sqrt(w_k) O_k. The
weights are kept apart because they are smooth in the strengths where their square roots are not: gradients with respect
to a strength are finite at zero. The strengths are those of PennyLane's channels of the same names.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits.gates import word_matrix
from qgen.types import Array, Complex, Float

TRACE_TOLERANCE = 1e-6
"""How far the sum of K^dagger K may be from the identity: operators in single precision pass, mistakes do not."""

Sum = tuple[Float[Array, " terms"], Complex[Array, "terms dim dim"]]
"""Weights [terms] and operators [terms, 2**wires, 2**wires] of a channel."""


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One row of the table.

    Attributes:
        wires: the number of wires.
        strengths: the names of its numbers; those that end in _s are times in seconds, the others probabilities.
        terms: strengths -> weights and operators; the strengths may be traced.
        grow: (factor, strengths) -> the strengths of the same noise acting for `factor` times as long.
        limit: strengths -> None or what is wrong with them beyond their ranges.
    """

    wires: int
    strengths: tuple[str, ...]
    terms: Callable[..., Sum]
    grow: Callable[..., tuple[Any, ...]]
    limit: Callable[..., str | None] = lambda *_: None


@dataclasses.dataclass(frozen=True)
class Channel:
    """A channel with its strengths, ready to be attached by a NoiseModel.

    Attributes:
        name: a name of CHANNELS, or "kraus".
        strengths: its numbers, in the order of the table; a caller may put traced ones in their place.
        operators: for "kraus" only: the entries of each operator, row after row; `kraus` builds it.

    Raises:
        ValueError: for an unknown name, a wrong number of strengths, or strengths that are no channel.
    """

    name: str
    strengths: tuple[float, ...] = ()
    operators: tuple[tuple[complex, ...], ...] = ()

    def __post_init__(self) -> None:
        """Normalises and checks the fields."""
        check.one_of("name", self.name, (*CHANNELS, "kraus"))
        object.__setattr__(self, "strengths", tuple(float(s) for s in self.strengths))
        wanted = () if self.name == "kraus" else CHANNELS[self.name].strengths
        if len(self.strengths) != len(wanted):
            listed = ", ".join(wanted) or "no strengths"
            raise ValueError(f"Channel `{self.name}` takes {listed}, but got {self.strengths}.")
        if (self.name == "kraus") != bool(self.operators):
            raise ValueError(f"Channel `{self.name}` {'needs' if self.name == 'kraus' else 'takes no'} operators.")
        for name, strength in zip(wanted, self.strengths, strict=True):
            if name.endswith("_s"):
                check.at_least(name, strength, 0.0)
            else:
                check.within(name, strength, 0.0, 1.0)
        problem = CHANNELS[self.name].limit(*self.strengths) if wanted else None
        if problem:
            raise ValueError(f"Channel `{self.name}` {problem}, but got {self.strengths}.")

    @property
    def wires(self) -> int:
        """The number of wires it acts on."""
        return int(math.log2(len(self.operators[0]))) // 2 if self.operators else CHANNELS[self.name].wires

    @property
    def mixes_unitaries(self) -> bool:
        """True if every operator is unitary, so that a jump's probability does not depend on the state."""
        return self.name in MIXTURES

    def terms(self, strengths: Any = None) -> Sum:
        """Weights [terms] and operators [terms, dim, dim]; `strengths` [k], maybe traced, take the place of its own."""
        if self.operators:
            array = np.array(self.operators).reshape(-1, 2**self.wires, 2**self.wires)
            return jnp.ones(len(array)), jnp.asarray(array)
        return CHANNELS[self.name].terms(*(self.strengths if strengths is None else strengths))

    def check(self, strengths: Any) -> None:
        """Raises ValueError unless concrete strengths, which may be rounded, make it a channel; NaN makes NaN."""
        with jax.ensure_compile_time_eval():
            weights, operators = self.terms(strengths)
            total = jnp.einsum("k,kba,kbc->ac", weights, operators.conj(), operators)
            error = float(jnp.max(jnp.abs(total - jnp.eye(len(total)))))
            least = float(weights.min())
        # Beyond their ranges roots are NaN though the strengths are not.
        if least < -TRACE_TOLERANCE or error > TRACE_TOLERANCE or (np.isnan(error) and not np.isnan(strengths).any()):
            raise ValueError(f"Argument `strengths` must make `{self.name}` a channel, but is {np.asarray(strengths)}.")

    def kraus(self, strengths: Any = None) -> Complex[Array, "terms dim dim"]:
        """The Kraus operators sqrt(w_k) O_k, [terms, dim, dim]."""
        weights, operators = self.terms(strengths)
        return jnp.sqrt(weights)[:, None, None] * operators

    def grow(self, factor: Any, strengths: Any = None) -> tuple[Any, ...]:
        """The strengths of the same noise acting for `factor` times as long.

        The channels of the table are exp(t L) for some generator L (probabilities above one half of a flip are not, and
        give NaN), so that a factor of s stands for exp(s t L).

        Raises:
            ValueError: for a channel given by operators, whose generator is not known.
        """
        if self.operators:
            raise ValueError("Channel `kraus` has no known generator to scale; fold gates instead.")
        return CHANNELS[self.name].grow(factor, *(self.strengths if strengths is None else strengths))


def kraus(operators: Any) -> Channel:
    """A channel given by its Kraus operators.

    Args:
        operators: [terms, 2**k, 2**k] for k = 1 or 2 wires, concrete.

    Raises:
        ValueError: if the shape does not fit or sum_k K_k^dagger K_k is not the identity.
    """
    array = np.asarray(operators, dtype=complex)
    if array.ndim != 3 or array.shape[1:] not in ((2, 2), (4, 4)) or not len(array):
        raise ValueError(f"Argument `operators` must have shape (terms, 2, 2) or (terms, 4, 4), but has {array.shape}.")
    error = float(np.max(abs(np.einsum("kba,kbc->ac", array.conj(), array) - np.eye(array.shape[1]))))
    if not error <= TRACE_TOLERANCE:
        raise ValueError(f"Kraus operators must preserve the trace, but sum K^dagger K differs from 1 by {error:.2g}.")
    return Channel("kraus", (), tuple(tuple(complex(c) for c in operator.reshape(-1)) for operator in array))


def _words(*words: str) -> np.ndarray:
    return np.stack([word_matrix(word) for word in words])


def _unit(row: int, column: int) -> np.ndarray:
    """The matrix |row><column| of a qubit."""
    matrix = np.zeros((2, 2), complex)
    matrix[row, column] = 1
    return matrix


_TWO_QUBIT_WORDS = tuple("".join(pair) for pair in itertools.product("IXYZ", repeat=2))


def _flip(word: str, p: Any) -> Sum:
    return jnp.stack([1 - jnp.asarray(p), jnp.asarray(p)]), jnp.asarray(_words("I", word))


def _depolarising(words: tuple[str, ...], p: Any) -> Sum:
    others = len(words) - 1
    weights = jnp.stack([1 - jnp.asarray(p), *[jnp.asarray(p) / others] * others])
    return weights, jnp.asarray(_words(*words))


def _pauli(px: Any, py: Any, pz: Any) -> Sum:
    px, py, pz = jnp.asarray(px), jnp.asarray(py), jnp.asarray(pz)
    return jnp.stack([1 - px - py - pz, px, py, pz]), jnp.asarray(_words("I", "X", "Y", "Z"))


def _decay(keep: Any, excited: Any) -> Sum:
    """Relaxation to the mixture of |0> and `excited` |1>; `keep` = sqrt(1 - gamma) is what is left of a coherence."""
    keep, excited = jnp.asarray(keep), jnp.asarray(excited)
    gamma, ones = 1 - keep**2, jnp.ones_like(keep)
    zeros = jnp.zeros_like(keep)
    stay_low = jnp.stack([ones, zeros, zeros, keep]).reshape(2, 2)
    stay_high = jnp.stack([keep, zeros, zeros, ones]).reshape(2, 2)
    weights = jnp.stack([1 - excited, (1 - excited) * gamma, excited * ones, excited * gamma])
    return weights, jnp.stack([stay_low, jnp.asarray(_unit(0, 1)), stay_high, jnp.asarray(_unit(1, 0))])


def _amplitude_damping(gamma: Any) -> Sum:
    weights, operators = _decay(jnp.sqrt(1 - jnp.asarray(gamma)), 0.0)
    return weights[:2], operators[:2]


def _dephasing(keep: Any) -> Sum:
    keep = jnp.asarray(keep)
    shrink = jnp.stack([jnp.ones_like(keep), jnp.zeros_like(keep), jnp.zeros_like(keep), keep]).reshape(2, 2)
    return jnp.stack([jnp.ones_like(keep), 1 - keep**2]), jnp.stack([shrink + 0j, jnp.asarray(_unit(1, 1))])


def _reset(p0: Any, p1: Any) -> Sum:
    p0, p1 = jnp.asarray(p0), jnp.asarray(p1)
    operators = np.stack([np.eye(2), _unit(0, 0), _unit(0, 1), _unit(1, 0), _unit(1, 1)])
    return jnp.stack([1 - p0 - p1, p0, p0, p1, p1]), jnp.asarray(operators)


def _thermal(time_s: Any, t1_s: Any, t2_s: Any, excited: Any) -> Sum:
    """Decay of energy with T1, then what dephasing is missing to make coherences decay with T2."""
    time_s = jnp.asarray(time_s)
    energy, phase = (
        _decay(jnp.exp(-time_s / (2 * t1_s)), excited),
        _dephasing(jnp.exp(time_s / (2 * t1_s) - time_s / t2_s)),
    )
    weights = (energy[0][:, None] * phase[0][None, :]).reshape(-1)
    return weights, jnp.einsum("iab,jbc->jiac", phase[1], energy[1]).reshape(-1, 2, 2)


def _grow_pauli(factor: Any, px: Any, py: Any, pz: Any) -> tuple[Any, ...]:
    """A Pauli channel multiplies each letter by a number; these numbers are taken to the power of the factor."""
    x, y, z = ((1 - 2 * (a + b)) ** factor for a, b in ((py, pz), (px, pz), (px, py)))
    return (1 + x - y - z) / 4, (1 - x + y - z) / 4, (1 - x - y + z) / 4


def _grow_mixing(share: float, factor: Any, p: Any) -> tuple[Any, ...]:
    """A weight p of noise that is full at p = share: what is left, 1 - p / share, to the power of the factor."""
    return (share * (1 - (1 - p / share) ** factor),)


def _grow_reset(factor: Any, p0: Any, p1: Any) -> tuple[Any, ...]:
    total = p0 + p1
    part = (1 - (1 - total) ** factor) / jnp.where(total > 0, total, 1)
    return part * p0, part * p1


_FLIP = functools.partial(_grow_mixing, 0.5)
_LOSS = functools.partial(_grow_mixing, 1.0)

CHANNELS: dict[str, Row] = {
    "bit_flip": Row(1, ("p",), functools.partial(_flip, "X"), _FLIP),
    "phase_flip": Row(1, ("p",), functools.partial(_flip, "Z"), _FLIP),
    "bit_phase_flip": Row(1, ("p",), functools.partial(_flip, "Y"), _FLIP),
    "depolarising": Row(
        1, ("p",), functools.partial(_depolarising, ("I", "X", "Y", "Z")), functools.partial(_grow_mixing, 3 / 4)
    ),
    "depolarising_2q": Row(
        2, ("p",), functools.partial(_depolarising, _TWO_QUBIT_WORDS), functools.partial(_grow_mixing, 15 / 16)
    ),
    "pauli": Row(
        1,
        ("px", "py", "pz"),
        _pauli,
        _grow_pauli,
        lambda px, py, pz: "needs px + py + pz of at most 1" if px + py + pz > 1 else None,
    ),
    "amplitude_damping": Row(1, ("gamma",), _amplitude_damping, _LOSS),
    "generalised_amplitude_damping": Row(
        1,
        ("gamma", "excited"),
        lambda gamma, excited: _decay(jnp.sqrt(1 - jnp.asarray(gamma)), excited),
        lambda factor, gamma, excited: (*_LOSS(factor, gamma), excited),
    ),
    "phase_damping": Row(1, ("gamma",), lambda gamma: _dephasing(jnp.sqrt(1 - jnp.asarray(gamma))), _LOSS),
    "reset": Row(
        1, ("p0", "p1"), _reset, _grow_reset, lambda p0, p1: "needs p0 + p1 of at most 1" if p0 + p1 > 1 else None
    ),
    "thermal_relaxation": Row(
        1,
        ("time_s", "t1_s", "t2_s", "excited"),
        _thermal,
        lambda factor, time_s, t1_s, t2_s, excited: (factor * time_s, t1_s, t2_s, excited),
        lambda _, t1_s, t2_s, __: None if 0 < t2_s <= 2 * t1_s else "needs 0 < t2_s <= 2 t1_s",
    ),
}
"""Name -> row. depolarising: with p one of the other Pauli letters or words. reset: to |0> with p0, to |1> with p1.
excited: the share of |1> in equilibrium. thermal_relaxation: for time_s with the times T1 and T2."""

MIXTURES = frozenset({"bit_flip", "phase_flip", "bit_phase_flip", "depolarising", "depolarising_2q", "pauli"})
"""The channels whose operators are all unitary."""
