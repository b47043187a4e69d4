"""Grover search and Dürr-Høyer minimum finding over a table of N values, simulated exactly on N amplitudes."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qgen import check
from qgen.circuits import Circuit, diagonal, gate
from qgen.method import Info, Method
from qgen.resources import Resources
from qgen.types import Array, Bool, Float, Int, Key

GROWTH = 6 / 5
"""How fast the reach of the iterations grows after a failed measurement: in (1, 4/3), here as in quant-ph/9605034."""
ROTATIONS = tuple(map(int, "0 0 0 1 1 0 1 1 2 1 2 3 1 4 5 1 6 2 7 9 11 13 16 5 20 24 28 34 2 41 49 4 60".split()))
"""Iterations of Grover adaptive search, round by round (Baritompa, Bulger, Wood, SIAM J. Optim. 15, 1170, 2005): each
round has the greatest expected fall of the best item's rank per evaluation."""
T_PER_TOFFOLI = 4


def amplitudes(marked: Bool[Array, "items"], iterations: int | Int[Array, ""]) -> Float[Array, "items"]:
    """The state of Grover's algorithm after some iterations; its amplitudes are real.

    One iteration flips the sign of the marked items and then reflects every amplitude about the mean.

    Args:
        marked: which of the N basis states the oracle marks; N need not be a power of two (the state is then uniform
            over the N items only).
        iterations: Grover iterations, each one call of the oracle.

    Returns:
        The N amplitudes.

    References:
        Grover, quant-ph/9605043.
    """
    n_items = marked.shape[0]
    sign = jnp.where(marked, -1.0, 1.0)

    def iterate(_: Array, state: Array) -> Array:
        flipped = sign * state
        return 2 * flipped.mean() - flipped

    return jax.lax.fori_loop(0, iterations, iterate, jnp.full(n_items, 1 / math.sqrt(n_items)))


def success_probability(n_items: int, n_marked: int, iterations: int) -> float:
    """The probability that Grover's algorithm measures a marked item: sin^2((2 t + 1) asin sqrt(M / N)).

    Args:
        n_items: N, at least 1.
        n_marked: M, from 0 to N.
        iterations: t, at least 0.

    Raises:
        ValueError: for counts outside these ranges.

    References:
        Boyer, Brassard, Høyer and Tapp, quant-ph/9605034.
    """
    check.at_least("n_items", n_items, 1)
    check.within("n_marked", n_marked, 0, n_items)
    check.at_least("iterations", iterations, 0)
    return math.sin((2 * iterations + 1) * math.asin(math.sqrt(n_marked / n_items))) ** 2


def circuit(marked: Sequence[bool], iterations: int) -> Circuit:
    """Grover's circuit for a table of 2^n marks: H on every qubit, then oracle (a diagonal of signs) and reflection.

    The reflection about the mean is H X (controlled Z over all qubits) X H, up to a sign of the whole state.

    Args:
        marked: the marks, 2^n of them with n at least 1.
        iterations: how often oracle and reflection are applied, at least 0.

    Raises:
        ValueError: if the number of marks is no power of two or `iterations` is negative.
    """
    check.at_least("iterations", iterations, 0)
    n_qubits = (len(marked) - 1).bit_length()
    if len(marked) < 2 or len(marked) != 2**n_qubits:
        raise ValueError(f"Argument `marked` must have 2, 4, 8, ... entries, but has {len(marked)}.")
    wires = tuple(range(n_qubits))
    spread = tuple(gate("h", wire) for wire in wires)
    flip = tuple(gate("x", wire) for wire in wires)
    oracle = diagonal([-1.0 if mark else 1.0 for mark in marked], wires)
    reflection = (*spread, *flip, gate("z", wires[-1], controls=wires[:-1]), *flip, *spread)
    return Circuit(n_qubits, spread + (oracle, *reflection) * iterations)


@dataclasses.dataclass(frozen=True)
class Oracle:
    """A classical computation made reversible: what one coherent evaluation of a loss costs, counted in its favour.

    Only arithmetic counts: every two operations are one fixed-point multiply-add of 2 b^2 Toffoli gates (b controlled
    additions of b bits, each b gates for the control and b for the carries). Nothing is charged for routing, functions
    such as exponentials, or the history that makes training steps reversible, so each number is a lower bound.

    Attributes:
        flops: operations of one evaluation.
        numbers: numbers that it holds at the same time at the least (parameters and optimiser).
        bits: b, bits of a fixed-point number.
    """

    flops: float
    numbers: float
    bits: int = 16

    def __post_init__(self) -> None:
        """Refuses an empty computation."""
        check.positive("flops", self.flops)
        check.at_least("numbers", self.numbers, 1)
        check.at_least("bits", self.bits, 1)

    @property
    def toffolis(self) -> float:
        """Toffoli gates of one call: the evaluation, and its reversal that frees the registers for interference."""
        return 2 * (self.flops / 2) * 2 * self.bits**2

    @property
    def qubits(self) -> int:
        """Qubits that hold the numbers."""
        return math.ceil(self.numbers * self.bits)


def resources(oracle: Oracle, n_items: int, calls: float, runs: float) -> Resources:
    """What Grover runs over a table need: T gates and qubits, so that only an error-corrected machine can price them.

    A call adds to its oracle a comparison with the threshold and a reflection over the register. A Toffoli gate takes
    four T gates (arXiv:1212.5069, arXiv:1709.06648). The layers are the least possible: no qubit ever waits.

    Args:
        oracle: one evaluation.
        n_items: size of the table, at least 2.
        calls: oracle calls in all.
        runs: circuits that were run, each ending in a measurement of the register.
    """
    check.at_least("n_items", n_items, 2)
    register = (n_items - 1).bit_length()
    toffolis = calls * (oracle.toffolis + oracle.bits + max(register - 2, 0))
    qubits = oracle.qubits + register
    return Resources(
        qubits=qubits,
        circuits=runs,
        shots=runs,
        layers=max(runs, math.ceil(3 * toffolis / qubits)),
        measurements=runs * register,
        t_gates=T_PER_TOFFOLI * toffolis,
    )


class Search(NamedTuple):
    """The problem of `minimum`.

    Attributes:
        losses: the table that the oracle compares; a quantum machine would evaluate it in superposition.
        budget: evaluations of the loss that may be spent, coherent and single ones together.
    """

    losses: Float[Array, "items"]
    budget: Int[Array, ""]


class State(NamedTuple):
    """The state of `minimum`.

    Attributes:
        best: the index of the least loss that was seen.
        reach: the iteration number is drawn below it.
        coherent: oracle calls in superposition so far, one per Grover iteration.
        evaluations: measured items whose loss was evaluated one by one so far.
        seen: which items were evaluated one by one.
    """

    best: Int[Array, ""]
    reach: Float[Array, ""]
    coherent: Int[Array, ""]
    evaluations: Int[Array, ""]
    seen: Bool[Array, "items"]


def minimum(*, amplify: bool = True, scheduled: bool = False, noise: float | Float[Array, ""] = 0.0) -> Method:
    """Dürr-Høyer minimum finding: Grover search for any item below the best one so far, again and again.

    The number of marked items is unknown, so each step draws the number of iterations below a reach that grows by
    `GROWTH` up to sqrt(N) after a failure and falls back to 1 after a success. The measured item is evaluated on its
    own (one more evaluation). A step whose iterations and evaluation no longer fit the budget does as many iterations
    as fit; with nothing left it changes nothing.

    Args:
        amplify: False measures the uniform state instead, every evaluation of the budget going to a measured item:
            the control without Grover iterations.
        scheduled: take the numbers of iterations from ROTATIONS, whatever was measured, instead of drawing them.
        noise: the probability that one Grover iteration replaces the register by the fully mixed state.

    Returns:
        A Method on a Search; the answer is its last State; `info.loss` is the best loss so far and
        `info.aux` the evaluations spent so far.

    References:
        Dürr and Høyer, quant-ph/9607014 (at most 22.5 sqrt(N) calls in expectation).
    """

    def init(key: Key, problem: Search) -> State:
        n_items = problem.losses.shape[0]
        first = jax.random.randint(key, (), 0, n_items)
        return State(
            best=first,
            reach=jnp.ones(()),
            coherent=jnp.zeros((), jnp.int32),
            evaluations=jnp.ones((), jnp.int32),
            seen=jnp.arange(n_items) == first,
        )

    def step(key: Key, state: State, problem: Search) -> tuple[State, Info]:
        losses = problem.losses
        left = problem.budget - state.coherent - state.evaluations
        draw_key, measure_key = jax.random.split(key)
        if scheduled:
            wanted = jnp.asarray(ROTATIONS, jnp.int32)[jnp.minimum(state.evaluations, len(ROTATIONS)) - 1]
        else:
            wanted = jnp.floor(jax.random.uniform(draw_key) * state.reach).astype(jnp.int32)
        iterations = jnp.clip(wanted, 0, jnp.maximum(left - 1, 0)) if amplify else jnp.zeros((), jnp.int32)
        whole = (1 - jnp.asarray(noise)) ** iterations
        ideal = amplitudes(losses < losses[state.best], iterations) ** 2
        probabilities = whole * ideal + (1 - whole) / losses.shape[0]
        item = jax.random.categorical(measure_key, jnp.log(probabilities))
        better = losses[item] < losses[state.best]
        reach = jnp.where(better, 1.0, jnp.minimum(GROWTH * state.reach, math.sqrt(losses.shape[0])))
        moved = State(
            best=jnp.where(better, item, state.best),
            reach=reach,
            coherent=state.coherent + iterations,
            evaluations=state.evaluations + 1,
            seen=state.seen.at[item].set(True),
        )
        state = jax.tree.map(lambda new, old: jnp.where(left > 0, new, old), moved, state)
        spent = state.coherent + state.evaluations
        return state, Info(loss=losses[state.best], ok=jnp.isfinite(losses).all(), aux=spent)

    return Method(init, step, lambda state, problem: state)
