"""Stages in the making: primitives slide to the earliest stage of their kind that they can reach and merge with it."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from qgen.circuits.program import Affine, Dense, Flip, Mirror, Phases, Stage, Sum, Table, Turns

DENSE_LIMIT = 10
"""The most wires of a dense matrix."""


class Draft:
    """A stage in the making, with the wires that it changes and those that it only reads."""

    def __init__(self, kind: str, changes: int, reads: int, content: Any):
        self.kind, self.changes, self.reads, self.content = kind, changes, reads, content

    def blocks(self, changes: int, reads: int) -> bool:
        """Whether something with these wires cannot slide past."""
        return bool(changes & (self.changes | self.reads) or reads & self.changes)


class Drafts:
    """Collects primitives and merges each with the earliest stage of its kind that it can slide to."""

    def __init__(self, n: int, data: frozenset[int]):
        self.n, self.data, self.drafts = n, data, []

    def bit(self, wire: int) -> int:
        """The mask of a wire."""
        return 1 << (self.n - 1 - wire)

    def mask(self, wires: Iterable[int]) -> int:
        """The mask of several wires."""
        return sum(self.bit(w) for w in wires)

    def earliest(self, kind: str, changes: int, reads: int, fresh: Any) -> Any:
        """The content to merge into: that of the earliest stage of this kind that can be reached, or of a new one."""
        found = None
        for draft in reversed(self.drafts):
            found = draft if draft.kind == kind else found
            if draft.blocks(changes, reads):
                break
        if found is None:
            found = Draft(kind, 0, 0, fresh)
            self.drafts.append(found)
        found.changes |= changes
        found.reads |= reads
        return found.content

    # Primitives

    def turn(self, wire: int, angle: Sum, flip: bool = False) -> None:
        """RY(angle) Z^flip after what is there: RY(a) Z^f RY(t) Z^g = RY(a + (-1)^f t) Z^(f + g)."""
        content = self.earliest("turns", self.bit(wire), 0, {})
        before, flipped = content.get(wire, (Sum(), False))
        content[wire] = (angle.plus(before.times(-1.0 if flip else 1.0)), flip != flipped)

    def phase(self, parity: int, ones: int, angle: Sum) -> None:
        """exp(i angle f(b))."""
        if angle == Sum():
            return
        if parity & ones:  # a bit that is set has the sign -1
            angle = angle.times(-1.0 if (parity & ones).bit_count() % 2 else 1.0)
            parity &= ~ones
        if ones.bit_count() <= 2:  # products of few bits become parities, which factor over any split of the register
            bits = [1 << k for k in range(self.n) if ones >> k & 1]
            for chosen in itertools.product((0, 1), repeat=len(bits)):
                mask = sum(b for b, c in zip(bits, chosen, strict=True) if c)
                self.phase_term(parity | mask, 0, angle.times((-1.0) ** sum(chosen) / 2 ** len(bits)))
        else:
            self.phase_term(parity, ones, angle)

    def phase_term(self, parity: int, ones: int, angle: Sum) -> None:
        """As `phase`, of masks that share no bit."""
        content = self.earliest("phases", 0, parity | ones, {})
        place = content.setdefault((parity, ones), {})
        for source, weight in (("const", angle.const), *angle.terms):
            place[source] = place.get(source, 0.0) + weight

    def cx(self, control: int, target: int) -> None:
        """X on the target where the control is 1."""
        content = self.earliest("affine", self.bit(target), self.bit(control), self._identity())
        reach, send = self.bit(control), self.bit(target)
        content["columns"] = [column ^ (send if column & reach else 0) for column in content["columns"]]
        content["shift"] ^= send if content["shift"] & reach else 0

    def x(self, wire: int) -> None:
        """X."""
        self.earliest("affine", self.bit(wire), 0, self._identity())["shift"] ^= self.bit(wire)

    def _identity(self) -> dict[str, Any]:
        return {"columns": [self.bit(q) for q in range(self.n)], "shift": 0}

    def flip(self, controls: Sequence[int], target: int) -> None:
        """X on the target where all controls are 1."""
        if not controls:
            self.x(target)
        elif len(controls) == 1:
            self.cx(controls[0], target)
        else:
            stage = Flip(self.mask(controls), self.bit(target))
            self.drafts.append(Draft("flip", stage.target, stage.controls, stage))

    def mirror(self, flip: int, sign: int, angle: Sum) -> None:
        """exp(-i angle/2 P) of the Pauli word that flips and signs these bits."""
        self.drafts.append(Draft("fixed", flip, sign, Mirror(flip, sign, (angle,))))

    def fixed(self, stage: Table | Dense) -> None:
        """A fixed diagonal or matrix."""
        if isinstance(stage, Dense) and len(stage.wires) > DENSE_LIMIT:
            raise ValueError(f"A matrix gate acts on at most {DENSE_LIMIT} wires, but one has {len(stage.wires)}.")
        mask = self.mask(stage.wires)
        changes, reads = (0, mask) if isinstance(stage, Table) else (mask, 0)
        self.drafts.append(Draft("fixed", changes, reads, stage))

    def add(self, changes: int, stage: Stage) -> None:
        """A stage that nothing merges with."""
        self.drafts.append(Draft("fixed", changes, 0, stage))

    def finish(self) -> tuple[Stage, ...]:
        """The drafts as stages, without those that do nothing."""
        stages = [self._freeze(draft) for draft in self.drafts]
        return tuple(stage for stage in stages if stage is not None)

    def _freeze(self, draft: Draft) -> Stage | None:
        content = draft.content
        if draft.kind == "turns":
            kept = {q: content[q] for q in sorted(content) if content[q] != (Sum(), False)}
            slots = tuple(angle for angle, _ in kept.values())
            return Turns(tuple(kept), tuple(flip for _, flip in kept.values()), slots) if kept else None
        if draft.kind == "affine":
            identity = self._identity()
            same = content["columns"] == identity["columns"] and not content["shift"]
            return None if same else Affine(tuple(content["columns"]), content["shift"])
        if draft.kind == "phases":
            rows = [(*key, s, w) for key, place in content.items() for s, w in place.items() if abs(w) > 1e-15]
            if not rows:
                return None
            sources = list(dict.fromkeys(row[2] for row in rows))
            slots = tuple(Sum(1.0) if s == "const" else Sum(0.0, ((s, 1.0),)) for s in sources)
            columns = [(p, o, sources.index(s), w) for p, o, s, w in rows]
            parity, ones, source, weight = zip(*columns, strict=True)
            return Phases(parity, ones, source, weight, slots)
        return content
