"""Circuit: a frozen, hashable tuple of operations on one parameter vector."""

import dataclasses
import functools
from collections.abc import Iterator

from qgen import check
from qgen.circuits.operation import Angle, Op, integers


@dataclasses.dataclass(frozen=True)
class Repeat:
    """A circuit run several times: the first `shared` parameters stay, the others advance with the repetitions.

    Data re-uploading shares the data's parameters. A Repeat compiles as one loop, however often it turns.

    Attributes:
        body: what is repeated.
        times: the number of repetitions, at least 1.
        shared: how many leading parameters of the body are the same in every repetition.
        start: where its parameters begin in the vector of the circuit that holds it; `+` sets it.
        backwards: take the advancing parameters from the last repetition to the first (what an inverse needs).
    """

    body: "Circuit"
    times: int
    shared: int = 0
    start: int = 0
    backwards: bool = False

    def __post_init__(self) -> None:
        """Checks the numbers."""
        integers("times", (self.times,))
        integers("shared", (self.shared,))
        integers("start", (self.start,))
        check.at_least("times", self.times, 1)
        check.at_least("start", self.start, 0)
        check.within("shared", self.shared, 0, self.body.n_params)

    @property
    def advancing(self) -> int:
        """How many parameters each repetition has to itself."""
        return self.body.n_params - self.shared

    @property
    def n_params(self) -> int:
        """The parameters of all repetitions together."""
        return self.shared + self.times * self.advancing

    def offset(self, repetition: int) -> int:
        """Where the advancing parameters of one repetition begin in the holding circuit's vector."""
        turn = self.times - 1 - repetition if self.backwards else repetition
        return self.start + self.shared + turn * self.advancing


@dataclasses.dataclass(frozen=True)
class Measure:
    """Measures a wire in the computational basis into a classical bit; only `trajectory` runs it."""

    wire: int
    bit: int

    def __post_init__(self) -> None:
        """Refuses places that are no whole numbers, or negative."""
        integers("wire", (self.wire,))
        integers("bit", (self.bit,))
        check.at_least("wire", self.wire, 0)
        check.at_least("bit", self.bit, 0)


@dataclasses.dataclass(frozen=True)
class Reset:
    """Brings a wire to |0> whatever it was; only `trajectory` runs it."""

    wire: int

    def __post_init__(self) -> None:
        """Refuses a wire that is no whole number, or negative."""
        integers("wire", (self.wire,))
        check.at_least("wire", self.wire, 0)


@dataclasses.dataclass(frozen=True)
class Conditional:
    """An operation that acts only where classical bits hold given values; only `trajectory` runs it.

    Attributes:
        op: the operation.
        bits: the classical bits to look at.
        values: what they must hold, one per bit; empty means all 1.
    """

    op: Op
    bits: tuple[int, ...]
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Normalises and checks the fields."""
        object.__setattr__(self, "bits", integers("bits", self.bits))
        check.at_least("len(bits)", len(self.bits), 1)
        check.at_least("bits", min(self.bits), 0)
        object.__setattr__(self, "values", integers("values", self.values) or (1,) * len(self.bits))
        if len(self.values) != len(self.bits) or set(self.values) - {0, 1}:
            raise ValueError(f"Argument `values` must hold one 0 or 1 per bit, but is {self.values}.")


Item = Op | Repeat | Measure | Reset | Conditional


@dataclasses.dataclass(frozen=True)
class Circuit:
    """Operations in order of time on `n_qubits` qubits that start in |0...0>.

    Attributes:
        n_qubits: the number of qubits.
        ops: the operations; Angles refer to entries of the circuit's one parameter vector.
    """

    n_qubits: int
    ops: tuple[Item, ...] = ()

    def __post_init__(self) -> None:
        """Checks that every operation fits the register."""
        integers("n_qubits", (self.n_qubits,))
        check.at_least("n_qubits", self.n_qubits, 1)
        object.__setattr__(self, "ops", tuple(self.ops))
        for item in self.ops:
            if not isinstance(item, Item):
                raise ValueError(f"Argument `ops` must hold operations, but holds {item!r}.")
            width = item.body.n_qubits - 1 if isinstance(item, Repeat) else max(_touched(item), default=0)
            if width >= self.n_qubits:
                what = f"A repeated circuit has {width + 1} qubits" if isinstance(item, Repeat) else f"Wire {width}"
                raise ValueError(f"{what} is out of range in a circuit of {self.n_qubits} qubits: {_brief(item)}.")

    def __hash__(self) -> int:
        """Hashes once: circuits are the keys of every compilation cache."""
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.n_qubits, self.ops))

    @functools.cached_property
    def n_params(self) -> int:
        """The length of the parameter vector: one more than the highest index in use."""
        lengths = [0]
        for item in self.ops:
            if isinstance(item, Repeat):
                lengths.append(item.start + item.n_params)
            else:
                lengths += [a.index + 1 for a in _angles(item) if isinstance(a, Angle)]
        return max(lengths)

    @functools.cached_property
    def is_unitary(self) -> bool:
        """False if anything in it measures, resets or depends on an outcome."""
        return all(i.body.is_unitary if isinstance(i, Repeat) else isinstance(i, Op) for i in self.ops)

    @functools.cached_property
    def n_bits(self) -> int:
        """The number of classical bits that its measurements and conditions use."""
        lengths = [0]
        for item in self.ops:
            if isinstance(item, Repeat):
                lengths.append(item.body.n_bits)
            elif isinstance(item, Measure):
                lengths.append(item.bit + 1)
            elif isinstance(item, Conditional):
                lengths.append(max(item.bits) + 1)
        return max(lengths)

    def __add__(self, other: "Circuit | Repeat") -> "Circuit":
        """This circuit, then the other; this one's parameters come first, then the other's."""
        if isinstance(other, Repeat):
            other = Circuit(other.body.n_qubits, (other,))
        if not isinstance(other, Circuit):
            return NotImplemented
        moved = tuple(shift(item, self.n_params) for item in other.ops)
        return Circuit(max(self.n_qubits, other.n_qubits), self.ops + moved)

    def inverse(self) -> "Circuit":
        """The circuit that undoes this one, on the same parameter vector.

        Raises:
            ValueError: if the circuit measures or resets.
        """
        if not self.is_unitary:
            raise ValueError("A circuit with measurements or resets has no inverse.")
        undone: list[Item] = []
        for item in reversed(self.ops):
            if isinstance(item, Repeat):
                undone.append(dataclasses.replace(item, body=item.body.inverse(), backwards=not item.backwards))
            elif isinstance(item, Op):
                undone += [part.inverse() for part in reversed(item.parts())]
        return Circuit(self.n_qubits, tuple(undone))

    def flat(self) -> "Circuit":
        """The same circuit with every Repeat written out."""
        return Circuit(self.n_qubits, tuple(self.walk()))

    def walk(self) -> Iterator[Item]:
        """Every operation in order of time, with repetitions written out and indices of this circuit's vector."""
        for item in self.ops:
            if not isinstance(item, Repeat):
                yield item
                continue
            for repetition in range(item.times):
                for inner in item.body.walk():
                    yield relocate(inner, item.shared, item.start, item.offset(repetition) - item.shared)


def repeat(body: Circuit, times: int, shared: int = 0) -> Circuit:
    """A circuit of `times` repetitions of the body; the first `shared` parameters are the same in all of them."""
    return Circuit(body.n_qubits, (Repeat(body, times, shared),))


def _touched(item: Item) -> tuple[int, ...]:
    if isinstance(item, Op):
        return item.support
    if isinstance(item, Conditional):
        return item.op.support
    assert not isinstance(item, Repeat)
    return (item.wire,)


def _angles(item: Item) -> tuple[Angle | float, ...]:
    if isinstance(item, Conditional):
        return item.op.angles
    return item.angles if isinstance(item, Op) else ()


def shift(item: Item, by: int) -> Item:
    """The item with its parameters moved by `by` entries."""
    if isinstance(item, Repeat):
        return dataclasses.replace(item, start=item.start + by)
    return relocate(item, 0, 0, by)


def relocate(item: Item, shared: int, shared_by: int, other_by: int) -> Item:
    """Moves indices below `shared` by one distance, the others by another."""
    if isinstance(item, Conditional):
        moved = relocate(item.op, shared, shared_by, other_by)
        assert isinstance(moved, Op)
        return dataclasses.replace(item, op=moved)
    if not isinstance(item, Op) or not any(isinstance(a, Angle) for a in item.angles):
        return item
    moved_angles = tuple(
        dataclasses.replace(a, index=a.index + (shared_by if a.index < shared else other_by))
        if isinstance(a, Angle)
        else a
        for a in item.angles
    )
    return dataclasses.replace(item, angles=moved_angles)


def _brief(item: Item) -> str:
    if isinstance(item, Op):
        return f"{item.name} on {item.support}"
    return type(item).__name__
