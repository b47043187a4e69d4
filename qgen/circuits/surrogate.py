"""Pauli propagation: expectation values without a state vector, the control for classical simulability.

The observable's Pauli words travel backwards through the circuit (Heisenberg picture). A Clifford gate renames words;
any other gate splits a word into a few, with weights that are entries of the gate's Pauli transfer matrix. Words that
are too heavy (arXiv:2308.09109, arXiv:2306.05400), or too faint at a reference point, are dropped. Which words occur is
found once, on the host; what is left is a jittable, differentiable function of the parameters, one scan over the
splitting gates. Without truncation it is exact; with it, the sum of the dropped coefficients bounds the error, as every
word's expectation value lies in [-1, 1].
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits.circuit import Circuit
from qgen.circuits.observables import Observable, check_fits
from qgen.circuits.operation import Op
from qgen.circuits.tensors import vector
from qgen.circuits.transfer import Rule, plan
from qgen.types import Array, Float


class Estimate(NamedTuple):
    """An expectation value and how far it may be off.

    Attributes:
        value: the propagated value.
        bound: the sum of the magnitudes of all dropped coefficients: |value - exact| is at most this.
        typical: the root of the sum of their squares: the standard deviation, were their words' values random signs.
    """

    value: Float[Array, ""]
    bound: Float[Array, ""]
    typical: Float[Array, ""]


class Surrogate(NamedTuple):
    """A circuit's expectation value as a classical function.

    Attributes:
        estimate: parameters [params] -> Estimate; pure, for the caller's jit, grad and vmap.
        words: the most words that are alive at one time.
        terms: products of a coefficient and a weight that one evaluation adds up.
        dropped: how often a word was dropped.
    """

    estimate: Callable[[Any], Estimate]
    words: int
    terms: int
    dropped: int


def propagate(
    circuit: Circuit,
    observable: Observable,
    *,
    max_weight: int | None = None,
    min_coefficient: float = 0.0,
    reference: Any = None,
    max_words: int = 100_000,
) -> Surrogate:
    """Propagates an observable backwards through a circuit that starts in |0...0>.

    Args:
        circuit: gates on up to three qubits and rotations about Pauli words of any width; no measurements.
        observable: what to measure; its coefficients may be traced unless `min_coefficient` is given.
        max_weight: drop words that act on more qubits than this; None keeps all.
        min_coefficient: drop words whose coefficient at `reference` is smaller than this in magnitude.
        reference: the parameters at which coefficients are judged, concrete; needed with `min_coefficient`.
        max_words: give up beyond so many words.

    Returns:
        The Surrogate.

    Raises:
        ValueError: for a truncation out of range, a missing reference, a gate that is too wide, or too many words.
    """
    if max_weight is not None:
        check.at_least("max_weight", max_weight, 1)
    check.at_least("min_coefficient", min_coefficient, 0.0)
    if min_coefficient > 0 and reference is None:
        raise ValueError("Argument `min_coefficient` needs `reference`: parameters at which coefficients are judged.")
    if not circuit.is_unitary:
        raise ValueError("A circuit with measurements or resets runs only in `trajectory`.")
    n = circuit.n_qubits
    check_fits(observable, n)
    ops = tuple(item for item in circuit.walk() if isinstance(item, Op) and item.support)
    rules, weights = plan(ops)
    numbers = None
    if min_coefficient > 0:
        with jax.ensure_compile_time_eval():
            numbers = np.asarray(weights(vector(circuit, reference)), dtype=float)
    tracker = _Tracker(observable, n, max_weight, min_coefficient, numbers, max_words)
    for op, rule in zip(reversed(ops), reversed(rules), strict=True):
        tracker.pass_gate(op.support, rule)
    return tracker.surrogate(circuit, weights, observable)


Move = tuple[int, int, int, int]
"""(word, the word it adds to, place of the weight, sign)."""


class _Tracker:
    """The words alive at each gate, each with a slot of the coefficient vector; records what the scan will do.

    A word is an integer with two bits per qubit, I X Y Z = 0 1 2 3, so that letters multiply by exclusive or.
    """

    def __init__(
        self,
        observable: Observable,
        n: int,
        max_weight: int | None,
        min_coefficient: float,
        numbers: np.ndarray | None,
        max_words: int,
    ) -> None:
        self._limit = n if max_weight is None else max_weight
        self._faint, self._numbers, self._most = min_coefficient, numbers, max_words
        self._mask = sum(1 << (2 * q) for q in range(n))
        self._slot: dict[int, int] = {}
        self._sign: list[int] = []
        self._size: list[float] = []
        self._free: list[int] = []
        self._steps: list[tuple[list[int], ...]] = []
        self._dropped = self._peak = 0
        self._start = []
        for word in observable.words:
            code = sum("IXYZ".index(letter) << (2 * wire) for wire, letter in word)
            self._start.append(self._place(code))
        if numbers is not None:
            for slot, coefficient in zip(self._start, np.asarray(observable.coefficients), strict=True):
                self._size[slot] += float(coefficient)
        self._peak = len(self._slot)
        self._drop_heavy()

    def pass_gate(self, wires: tuple[int, ...], rule: Rule) -> None:
        """Moves every word to the other side of a gate."""
        if rule.word:
            self._spread(self._rotated(wires, rule))
        elif rule.first:
            self._spread(self._summed(wires, rule))
        else:
            self._rename(wires, rule)

    def _rotated(self, wires: tuple[int, ...], rule: Rule) -> list[Move]:
        axis = sum(letter << (2 * wire) for wire, letter in zip(wires, rule.word, strict=True))
        letters = [(2 * wire, letter) for wire, letter in zip(wires, rule.word, strict=True) if letter]
        moves = []
        for word in self._slot:
            # i P Q: each pair of different letters gives i or -i, in the cyclic order X Y Z or against it.
            turns = 1
            for shift, letter in letters:
                other = (word >> shift) & 3
                if other and other != letter:
                    turns += 1 if (other - letter) % 3 == 1 else -1
            if turns % 2 == 0:  # an odd number of pairs: P and Q anticommute, and i P Q is +1 or -1 times a word
                moves += [(word, word, rule.first, 1), (word, word ^ axis, rule.second, 1 if turns % 4 == 0 else -1)]
        return moves

    def _summed(self, wires: tuple[int, ...], rule: Rule) -> list[Move]:
        moves, count = [], len(rule.targets)
        for word in self._slot:
            local, rest = self._local(word, wires)
            if local:
                for target, _ in rule.targets[local]:
                    moves.append((word, rest | self._global(target, wires), rule.first + target * count + local, 1))
        return moves

    def _rename(self, wires: tuple[int, ...], rule: Rule) -> None:
        renamed = {}
        for word, slot in self._slot.items():
            local, rest = self._local(word, wires)
            target, sign = rule.targets[local][0]
            renamed[rest | self._global(target, wires)] = slot
            self._sign[slot] *= sign
        self._slot = renamed
        self._drop_heavy()

    def _drop_heavy(self) -> None:
        heavy = [word for word in self._slot if self._weight(word) > self._limit]
        self._spread([(word, word, 0, 1) for word in heavy])

    def _spread(self, moves: list[Move]) -> None:
        """Takes words out of their slots and adds their parts to the slots of the words they turn into."""
        if not moves:
            return
        source = {word: self._slot[word] for word, *_ in moves}
        parts = [
            (source[word], target, weight, sign * self._sign[source[word]]) for word, target, weight, sign in moves
        ]
        sizes: dict[int, float] = {}
        if self._numbers is not None:
            for slot, target, weight, sign in parts:
                sizes[target] = sizes.get(target, 0.0) + sign * self._numbers[weight] * self._size[slot]
        targets = dict.fromkeys(target for _, target, *_ in parts)
        stay = [word for word in source if word in targets and self._keeps(word, sizes)]
        for word, slot in source.items():
            if word not in stay:
                del self._slot[word]
                self._free.append(slot)
        for target in targets:
            if self._keeps(target, sizes):
                slot = self._place(target)
                self._sign[slot], self._size[slot] = 1, sizes.get(target, 0.0)
        if len(self._slot) > self._most:
            raise ValueError(f"More than {self._most} words are alive: lower `max_weight` or raise `min_coefficient`.")
        self._peak = max(self._peak, len(self._slot))
        # Dropped words get a slot for the moment, so that parts of one word add up before their size counts as error.
        lost = {target: self._take() for target in targets if target not in self._slot}
        self._free += lost.values()
        self._dropped += len(lost)
        places = [lost[target] if target in lost else self._slot[target] for _, target, *_ in parts]
        slots, _, weights, signs = (list(column) for column in zip(*parts, strict=True))
        self._steps.append((slots, places, weights, signs, list(lost.values())))

    def _keeps(self, word: int, sizes: dict[int, float]) -> bool:
        light = self._weight(word) <= self._limit
        return light and (self._numbers is None or abs(sizes[word]) >= self._faint)

    def _place(self, word: int) -> int:
        if word not in self._slot:
            self._slot[word] = self._take()
        return self._slot[word]

    def _take(self) -> int:
        """A slot that is free."""
        if not self._free:
            self._free.append(len(self._sign))
            self._sign.append(1)
            self._size.append(0.0)
        return self._free.pop()

    def _weight(self, word: int) -> int:
        return ((word | (word >> 1)) & self._mask).bit_count()

    def _local(self, word: int, wires: tuple[int, ...]) -> tuple[int, int]:
        local, rest = 0, word
        for wire in wires:
            letter = (word >> (2 * wire)) & 3
            local, rest = 4 * local + letter, rest ^ (letter << (2 * wire))
        return local, rest

    def _global(self, local: int, wires: tuple[int, ...]) -> int:
        word = 0
        for wire in reversed(wires):
            word, local = word | ((local & 3) << (2 * wire)), local >> 2
        return word

    def surrogate(self, circuit: Circuit, weights: Callable[[Array], Array], observable: Observable) -> Surrogate:
        """The function that repeats the recorded steps for any parameters."""
        slots = len(self._sign)  # one more is always zero: padding reads and writes there
        source, target, place, sign, lost = (_padded(self._steps, column, slots) for column in range(5))
        place, sign = np.where(source == slots, 0, place), np.where(source == slots, 0, sign)
        final = np.zeros(slots + 1)
        for word, slot in self._slot.items():
            final[slot] = self._sign[slot] * _reads_one(word)
        start = np.array(self._start, dtype=np.int32)

        def estimate(params: Any) -> Estimate:
            angles = vector(circuit, params)
            table = weights(angles)
            coefficients = jnp.asarray(observable.coefficients).astype(table.dtype)
            first = jnp.zeros(slots + 1, table.dtype).at[start].add(coefficients)

            def step(carry: Estimate, row: tuple[Any, ...]) -> tuple[Estimate, None]:
                taken, given, weight, signs, dropped = row
                parts = carry.value[taken] * table[weight] * signs.astype(table.dtype)
                values = carry.value.at[taken].set(0).at[given].add(parts)
                errors = values[dropped]
                bound, square = carry.bound + jnp.sum(jnp.abs(errors)), carry.typical + jnp.sum(errors**2)
                return Estimate(values.at[dropped].set(0), bound, square), None

            zero = jnp.zeros((), table.dtype)
            carry, _ = jax.lax.scan(step, Estimate(first, zero, zero), (source, target, place, sign, lost))
            some = carry.typical > 0  # the slope of a square root at zero is infinite
            typical = jnp.where(some, jnp.sqrt(jnp.where(some, carry.typical, 1)), 0)
            return Estimate(carry.value @ jnp.asarray(final, table.dtype), carry.bound, typical)

        return Surrogate(estimate, self._peak, sum(len(step[0]) for step in self._steps), self._dropped)


def _padded(steps: Sequence[tuple[list[int], ...]], column: int, fill: int) -> np.ndarray:
    """One column of all steps as a table, int32 [steps, longest]."""
    table = np.full((len(steps), max((len(step[column]) for step in steps), default=0)), fill, np.int32)
    for row, step in enumerate(steps):
        table[row, : len(step[column])] = step[column]
    return table


def _reads_one(word: int) -> bool:
    """True if the word is made of I and Z only: its value in |0...0> is 1, that of any other word 0."""
    while word:
        if word & 3 not in (0, 3):
            return False
        word >>= 2
    return True
