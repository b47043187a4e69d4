"""The part of low-rank distillation that works on a pretrained encoder: its rows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from experiments import encoders, students
from experiments.students import FEW, priced
from qgen.energy import meters
from qgen.lm import encoder
from qgen.resources import total
from qgen.stages import low_rank
from qgen.stages.base import plain
from qgen.types import Params

if TYPE_CHECKING:
    from experiments.distillation import Plan

FIXED = ("classical/truncated_svd",)
"""Arms that draw neither texts nor random numbers."""
KD = "classical/kd"
KERNEL = "quantum/entangled_kernel"


class EncoderStudy:
    """A pretrained encoder's part of a run; it reads its texts once, and only if a row is missing."""

    def __init__(self, todo: "Plan", loaded: encoder.Encoder) -> None:
        self.todo, self.loaded, self.settings, self.ledger = todo, loaded, todo.preset.encoder, todo.ledger
        self.texts = 8 if todo.preset.seeds < 5 else 64
        self.made: list[encoders.Given] = []
        self.begun: dict[tuple[str, int, int, int], tuple[encoders.Samples, Params]] = {}
        self.used: dict[int, Params] = {}
        self.factors: dict[int, low_rank.Compressed] = {}

    @property
    def found(self) -> encoders.Given:
        """The encoder with its texts."""
        if not self.made:
            self.made.append(encoders.given(self.loaded, self.texts))
        return self.made[0]

    def config(self, **own: Any) -> dict[str, Any]:
        """A row's config."""
        return {"encoder": self.todo.encoder_name, "texts": self.texts} | own

    def compression(self, arm: str, rank: int, seed: int) -> None:
        """Factors of every matrix, by an arm that reaches its size."""

        def make() -> dict[str, Any]:
            found = self.found
            tokens = encoders.texts(found, seed, self.texts)
            taken = meters.measure(self.todo.meter, lambda: encoders.compressed(found, arm, rank, seed, tokens))
            needed = total(taken.result.resources)
            if arm == encoders.SLOW:
                self.factors[seed] = taken.result
            return {
                "metrics": encoders.scores(found, taken.result),
                "measured": taken.fields(),
                "resources": {} if needed is None else {**vars(needed)},
                "projected": priced(needed, self.todo.machines) if seed == 0 else {},
            }

        self.ledger.row("distillation_encoder", "encoder", arm, self.config(rank=rank), make, seed)

    def begin(self, start: str, rank: int, count: int, seed: int) -> tuple[encoders.Samples, Params]:
        """The samples of a student and its factors, which the lessons of one block share."""
        place = (start, rank, count, seed)
        if place not in self.begun:
            # Blocks come one after the other: the last one's are not needed any more.
            self.begun = {kept: made for kept, made in self.begun.items() if kept[:3] == place[:3]}
            drawn = encoders.samples(self.found, self.settings, seed, count)
            seen = drawn.tokens[: drawn.length]
            kept = self.factors.get(seed) if start == encoders.SLOW else None
            own = kept or encoders.compressed(self.found, start, rank, seed, seen)
            self.begun[place] = drawn, own.params
        return self.begun[place]

    def student(self, start: str, rank: int, count: int, lesson: str, seed: int) -> None:
        """One student of a rank, from the factors of `start`, taught a lesson on so many texts."""
        settings = self.settings

        def make() -> dict[str, Any]:
            found = self.found
            drawn, factors = self.begin(start, rank, count, seed)
            taken = meters.measure(
                self.todo.meter, lambda: encoders.distil(found, settings, factors, drawn, lesson, seed)
            )
            own = taken.result
            needed = students.needed(lesson, settings)
            return {
                "metrics": {
                    **encoders.errors(found, own.params),
                    "start_error": encoders.errors(found, factors)["embedding_error"],
                    "validation_error": own.validation,
                    "rate": own.rate,
                    "at_edge": float(own.at_edge),
                    **students.sizes(found.encoder.params, own.params),
                },
                "measured": taken.fields(),
                "resources": {} if needed is None else {**vars(needed)},
                # A kernel needs the same whatever the student starts from.
                "projected": priced(needed, self.todo.machines) if (rank, seed) == (settings.ranks[0], 0) else {},
                "trace": {"loss": own.curve},
            }

        config = plain(settings) | self.config(rank=rank, samples=count, start=start)
        del config["ranks"]
        self.ledger.row("distillation_encoder_student", "encoder", lesson, config, make, seed)

    def use(self, rank: int, repeat: int) -> None:
        """Joules per token that the encoder (rank 0) or the first seed's student of a rank reads."""

        def make() -> dict[str, Any]:
            found = self.found
            if rank not in self.used:
                tokens = encoders.texts(found, 0, self.texts)
                whole = found.encoder.params
                self.used[rank] = encoders.compressed(found, FEW, rank, 0, tokens).params if rank else whole
            params = self.used[rank]
            taken = meters.measure(
                self.todo.meter,
                lambda: encoders.embedded(params, found.tokens, found.encoder.config),
                min_time_s=self.todo.preset.min_time_s,
                warm_up=True,
            )
            per_token = taken.energy_j / found.tokens.size
            metrics = students.sizes(found.encoder.params, params) | {"energy_per_token_j": per_token}
            return {"measured": taken.fields(), "metrics": metrics}

        arm = "control/student" if rank else "classical/teacher"
        self.ledger.row("distillation_encoder_use", "encoder", arm, self.config(rank=rank), make, repeat)

    def run(self, tell: Callable[[str], None]) -> None:
        """All rows; `tell` hears what is being done."""
        seeds, settings = self.todo.seeds, self.settings
        main_rank, most = settings.ranks[0], settings.samples[-1]
        for rank in encoders.RANKS:
            for arm in encoders.ARMS:
                if arm == encoders.SLOW and rank != main_rank:
                    continue
                tell(f"compressing the encoder at rank {rank}: {arm}")
                # What nothing is drawn for is the same for every seed.
                for seed in range(1 if arm in FIXED else seeds):
                    self.compression(arm, rank, seed)
        made = [(FEW, main_rank, count, lesson) for count in settings.samples for lesson in encoders.TAUGHT]
        made += [(start, main_rank, most, KD) for start in encoders.STARTS if start != FEW]
        made += [(FEW, rank, most, lesson) for rank in settings.ranks[1:] for lesson in (KD, KERNEL)]
        for start, rank, count, lesson in made:
            tell(f"distilling the encoder at rank {rank} on {count} texts: {lesson}")
            for seed in range(seeds):
                self.student(start, rank, count, lesson, seed)
        # In rounds, so that what else the machine does meets all of a round alike.
        for repeat in range(seeds):
            for rank in (0, *settings.ranks):
                tell(f"measuring the encoder at rank {rank}")
                self.use(rank, repeat)
