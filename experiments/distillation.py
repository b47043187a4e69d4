"""Low-rank distillation: teachers factorised at a rank by every low-rank arm, then distilled by every lesson.

Command:   python -m experiments.distillation
Writes:    runs/distillation/records.jsonl, figures/{parameters,few_samples,energy}.{png,pdf},
           tables/{compression,lessons,few_samples,students,energy}.{md,tex,csv},
           with --encoder also tables/encoder{,_lessons,_ranks}.* and figures/encoder.*
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import flags

from experiments import cli, encoders, students
from experiments.encoder_study import EncoderStudy
from experiments.ledger import Ledger
from experiments.students import FEW, SHOTS, Base, Settings, priced
from qgen import record
from qgen.energy import meters, profiles
from qgen.lm import generate, relational, train, transformer
from qgen.lm.encoder import Encoder
from qgen.report import distillation as report
from qgen.resources import total
from qgen.stages import circuit_student, low_rank
from qgen.stages.base import plain
from qgen.stages.distillation import LESSONS

PRESETS = ("smoke", "default", "paper")
_PRESET = flags.DEFINE_string("preset", "default", "smoke, default or paper.")
_SEEDS = flags.DEFINE_integer("seeds", None, "Teachers, and students of each; None: what the preset says.")
_OUT = flags.DEFINE_string("out", "runs/distillation", "Folder that receives records, tables and figures.")
_METER = flags.DEFINE_string("meter", "auto", "Joule counter: auto, nvml, rapl, zeus or modelled.")
_PROFILE = flags.DEFINE_list("profile", [], "Quantum machines to price on. Empty: all (see scripts/host --profiles).")
_ENCODER = flags.DEFINE_string(
    "encoder",
    None,
    "Also compress and distil a pretrained encoder: a checkpoint's folder, or package (all-MiniLM-L6-v2).",
)
_RESUME = flags.DEFINE_bool(
    "resume", True, "Complete the missing rows of --out; --noresume refuses a folder with records."
)
SLOW = "quantum/variational_svd"
STUDENTS = {
    "quantum/circuit_student": "circuit",
    "control/product_student": "product",
    "control/frozen_student": "frozen",
    "classical/tanh_student": "tanh",
}


class Preset(NamedTuple):
    """What a preset sets.

    Attributes:
        seeds: teachers.
        settings: of bases and students.
        ranks: ranks of the compression, the first being that of the full factorial.
        samples: documents to distil on, the last being those of the full factorial.
        swept: low-rank arms that are distilled at the other ranks.
        lessons: lessons at the other ranks.
        circuit_rates: learning rates of students with a circuit and of their twins, in place of the settings'.
        slow_ranks: at how many of the ranks the variational arm, whose simulation takes longest, is run.
        encoder: how students of a pretrained encoder are distilled.
        min_time_s: least window of an energy measurement.
    """

    seeds: int
    settings: Settings
    ranks: tuple[int, ...]
    samples: tuple[int, ...]
    swept: tuple[str, ...]
    lessons: tuple[str, ...]
    circuit_rates: tuple[float, ...]
    slow_ranks: int
    encoder: encoders.Settings
    min_time_s: float


SWEPT = ("classical/activation_aware_svd", "quantum/qsvt", "control/fkv")
TAUGHT = ("classical/kd", "quantum/entangled_kernel")
SETTINGS = {
    "smoke": Preset(
        2,
        Settings(60_000, 16, 2, 32, 20, steps=3, batch=4, rates=(3e-3,), rows=8),
        *((4, 2), (5, 10), SWEPT[:1], TAUGHT, (5e-2,), 1, encoders.Settings((18,), (5, 10), 2, 4, (1e-3,)), 0.0),
    ),
    "default": Preset(
        *(5, Settings(), (9, 18, 4, 2), (10, 30, 100), SWEPT, TAUGHT, (1e-2, 5e-2, 0.2, 1.0), 1),
        *(encoders.Settings(), 0.1),
    ),
    "paper": Preset(
        10,
        Settings(1_500_000, base_steps=3000, steps=300, rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1), rows=200),
        *((9, 18, 4, 2), (10, 30, 100), tuple(low_rank.ARMS), tuple(LESSONS), (1e-2, 3e-2, 1e-1, 3e-1, 1.0), 4),
        *(encoders.Settings(samples=(10, 30, 100, 1000), steps=400, rates=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3)), 0.5),
    ),
}


class Plan(NamedTuple):
    """The checked flags: nothing has been written yet, and nothing can be refused any more."""

    preset: Preset
    seeds: int
    out: Path
    meter: meters.Meter
    machines: dict[str, profiles.Profile]
    encoder: Encoder | None
    encoder_name: str
    ledger: Ledger


def plan() -> Plan:
    """Reads and checks every flag.

    Raises:
        cli.UsageError: for the first flag that is wrong.
    """
    cli.known("preset", [_PRESET.value], PRESETS)
    preset = SETTINGS[_PRESET.value]
    seeds = cli.seeds(_SEEDS.value, preset.seeds)
    meter, machines = cli.meter(_METER.value), cli.machines(_PROFILE.value)
    out = Path(_OUT.value)
    loaded, name = None, _ENCODER.value or ""
    if name:
        with cli.flag("encoder", name):
            loaded = encoders.load(name)
    ledger = Ledger(out / "records.jsonl", record.done(cli.rows(out, _RESUME.value)), _PRESET.value)
    return Plan(preset, seeds, out, meter, machines, loaded, Path(name).name, ledger)


class Study:
    """The parts of a run; the teachers are trained once, and only if a row is missing."""

    def __init__(self, todo: Plan) -> None:
        self.todo, self.settings, self.ledger = todo, todo.preset.settings, todo.ledger
        self.made: list[Base] = []
        self.models: dict[tuple[str, int, int, int], low_rank.Compressed] = {}

    @property
    def base(self) -> Base:
        """The teachers."""
        if not self.made:
            self.made.append(students.base(self.settings, self.todo.seeds))
        return self.made[0]

    def config(self, **own: Any) -> dict[str, Any]:
        """A row's config: the settings, how many teachers, and its own."""
        return plain(self.settings) | {"teachers": self.todo.seeds} | own

    def compressed(self, arm: str, rank: int, count: int, seed: int) -> low_rank.Compressed:
        """A compressed teacher; only one arm looks at the samples."""
        place = (arm, rank, count if arm == FEW else 0, seed)
        if place not in self.models:
            drawn = students.samples(self.base, self.settings, seed, count)
            seen = students.inputs(self.base, seed, drawn.seen)
            self.models[place] = students.compressed(self.base, seed, seen, arm, rank)
        return self.models[place]

    def compression(self, arm: str, rank: int, seed: int) -> None:
        """One teacher, one low-rank arm, one rank: error, loss, joules, resources."""
        count = self.todo.preset.samples[-1]

        def make() -> dict[str, Any]:
            drawn = students.samples(self.base, self.settings, seed, count)
            seen = students.inputs(self.base, seed, drawn.seen)

            def once() -> low_rank.Compressed:
                # The one arm that looks at activations pays for them.
                own = students.inputs(self.base, seed, drawn.seen) if arm == FEW else seen
                return students.compressed(self.base, seed, own, arm, rank)

            # A quantum arm's simulation has no price: one call, no window to fill.
            window_s = 0.0 if arm.startswith("quantum/") else self.todo.preset.min_time_s
            taken = meters.measure(self.todo.meter, once, min_time_s=window_s, warm_up=window_s > 0)
            made = taken.result
            self.models[arm, rank, count if arm == FEW else 0, seed] = made
            held = jnp.asarray(self.base.held)
            loss = float(students.window_loss(made.params, held, jnp.ones(len(held)), self.base.model))
            needed = total(made.resources)
            return {
                "metrics": {
                    "output_error": students.output_error(self.base, seed, made),
                    "loss": loss,
                    "teacher_loss": float(self.base.losses[seed]),
                    **students.sizes(students.seed_params(self.base, seed), made.params),
                },
                "measured": taken.fields(),
                "resources": {} if needed is None else {**vars(needed)},
                "projected": priced(needed, self.todo.machines) if seed == 0 else {},
            }

        self.ledger.row("distillation_compression", "language_model", arm, self.config(rank=rank), make, seed)

    def population(self, rank: int, count: int, starts: Sequence[str], lessons: Sequence[str]) -> None:
        """Students of one rank and one number of samples, all in one program."""
        configs = {start: self.config(rank=rank, samples=count, start=start) for start in starts}
        seeds = range(self.todo.seeds)
        rows = [(start, lesson, seed) for start in starts for lesson in lessons for seed in seeds]
        name = "distillation"
        missing = not all(self.ledger.has(name, "language_model", le, configs[st], seed) for st, le, seed in rows)
        found: dict[tuple[int, str, str], students.Trained] = {}
        if missing:
            drawn = [students.samples(self.base, self.settings, seed, count) for seed in seeds]
            made = [{start: self.compressed(start, rank, count, seed).params for start in starts} for seed in seeds]
            found = students.distil(self.base, self.settings, made, drawn, lessons)
        for start, lesson, seed in rows:

            def make(start: str = start, lesson: str = lesson, seed: int = seed) -> Mapping[str, Any]:
                own = found[seed, start, lesson]
                params = self.compressed(start, rank, count, seed).params
                needed = students.needed(lesson, self.settings)
                return {
                    "metrics": {
                        **self.outcome(own, seed),
                        **students.sizes(students.seed_params(self.base, seed), params),
                    },
                    "resources": {} if needed is None else {**vars(needed)},
                    # A kernel needs the same whatever the student starts from.
                    "projected": priced(needed, self.todo.machines) if (start, seed) == (FEW, 0) else {},
                    "trace": {"loss": own.curve},
                }

            self.ledger.row(name, "language_model", lesson, configs[start], make, seed)

    def outcome(self, own: students.Trained, seed: int) -> dict[str, float]:
        """The losses of a distilled student beside its teacher's, nats per token."""
        return {
            "loss": own.loss,
            "validation_loss": own.validation,
            "rate": own.rate,
            "at_edge": float(own.at_edge),
            "teacher_loss": float(self.base.losses[seed]),
        }

    def circuit_students(self, kind: str, arm: str) -> None:
        """Students that put a circuit, or its twin, on compressed features of the teacher's first block."""
        count, seeds = self.todo.preset.samples[-1], range(self.todo.seeds)
        settings = dataclasses.replace(self.settings, rates=self.todo.preset.circuit_rates)
        design = circuit_student.Design(kind)
        config = self.config(samples=count, **plain(design)) | {"rates": list(settings.rates)}
        name = "distillation_student"
        found: list[tuple[list[students.Trained], Any]] = []
        if not all(self.ledger.has(name, "language_model", arm, config, seed) for seed in seeds):
            drawn = [students.samples(self.base, settings, seed, count) for seed in seeds]
            found.append(students.distil_circuits(self.base, settings, drawn, design))
        for seed in seeds:

            def make(seed: int = seed) -> Mapping[str, Any]:
                own, start = found[0][0][seed], found[0][1]
                steps = settings.steps * len(settings.rates)
                tokens = settings.batch * students.WINDOW
                needed = total(circuit_student.resources(design, steps, tokens, SHOTS))
                return {
                    "metrics": {
                        **self.outcome(own, seed),
                        "parameters": float(transformer.size(start)),
                        "body_parameters": float(transformer.size(start["body"])),
                        "frozen_parameters": float(start["angles"].size if kind == "frozen" else 0),
                    },
                    "resources": {} if needed is None else {**vars(needed)},
                    "projected": priced(needed, self.todo.machines) if seed == 0 else {},
                    "trace": {"loss": own.curve},
                }

            self.ledger.row(name, "language_model", arm, config, make, seed)

    def lesson_energy(self, lesson: str, repeat: int) -> None:
        """Joules of one step of the first seed's student, in a program that holds this lesson's terms alone."""
        rank, count = self.todo.preset.ranks[0], self.todo.preset.samples[-1]
        steps = 5

        def make() -> dict[str, Any]:
            taught = LESSONS[lesson]
            model = self.base.model
            teacher = students.seed_params(self.base, 0)
            objective = relational.objective(model, model, taught.weights, taught.grams)
            drawn = students.samples(self.base, self.settings, 0, count)
            start = self.compressed(FEW, rank, count, 0).params
            recipe = train.Recipe(learning_rate=1e-3, weight_decay=0.0)

            def once() -> Any:
                return train.fit(
                    *(jax.random.key(0), start, model, drawn.tokens[: drawn.length], recipe, steps),
                    self.settings.batch,
                    objective=objective,
                    extra=teacher,
                )

            taken = meters.measure(self.todo.meter, once, min_time_s=self.todo.preset.min_time_s, warm_up=True)
            return {"measured": taken.fields(), "metrics": {"energy_per_step_j": taken.energy_j / steps}}

        self.ledger.row("distillation_step", "language_model", lesson, self.config(rank=rank), make, repeat)

    def generation_energy(self, rank: int, seed: int) -> None:
        """Joules per generated token of a seed's teacher (rank 0) and of its student."""
        count = self.todo.preset.samples[-1]

        def make() -> dict[str, Any]:
            model = self.base.model
            teacher = students.seed_params(self.base, seed)
            params = self.compressed(FEW, rank, count, seed).params if rank else teacher
            prompts = jnp.asarray(self.base.held[:8, :8])
            n_tokens = model.context - 8

            def once() -> Any:
                return generate.generate(jax.random.key(0), params, model, prompts, n_tokens)

            taken = meters.measure(self.todo.meter, once, min_time_s=self.todo.preset.min_time_s, warm_up=True)
            metrics = students.sizes(teacher, params)
            per_token = taken.energy_j / (len(prompts) * n_tokens)
            return {"measured": taken.fields(), "metrics": metrics | {"energy_per_token_j": per_token}}

        arm = "control/student" if rank else "classical/teacher"
        self.ledger.row("distillation_use", "language_model", arm, self.config(rank=rank), make, seed)


def main() -> None:
    """Checks the flags, runs what is missing, writes tables and figures."""
    started = time.monotonic()
    todo = plan()
    preset = todo.preset
    cli.console.print(
        f"distillation: {todo.seeds} seeds, meter {todo.meter.name} ({todo.meter.provenance}), records in {todo.out}"
    )
    study = Study(todo)
    with cli.console.status("training the teachers") as status:
        for rank in preset.ranks:
            for arm in low_rank.ARMS:
                if arm == SLOW and rank not in preset.ranks[: preset.slow_ranks]:
                    continue
                status.update(f"rank {rank}: {arm}")
                for seed in range(todo.seeds):
                    study.compression(arm, rank, seed)
        main_rank, most = preset.ranks[0], preset.samples[-1]
        status.update("distilling the full factorial")
        study.population(main_rank, most, tuple(low_rank.ARMS), tuple(LESSONS))
        for count in preset.samples[:-1]:
            status.update(f"distilling on {count} samples")
            study.population(main_rank, count, (FEW,), tuple(LESSONS))
        for rank in preset.ranks[1:]:
            status.update(f"distilling at rank {rank}")
            study.population(rank, most, preset.swept, preset.lessons)
        for arm, kind in STUDENTS.items():
            status.update(f"distilling into {arm}")
            study.circuit_students(kind, arm)
        # In rounds, so that what else the machine does meets all of a round alike.
        for repeat in range(todo.seeds):
            for lesson in LESSONS:
                status.update(f"measuring a step of {lesson}")
                study.lesson_energy(lesson, repeat)
        for seed in range(todo.seeds):
            for rank in (0, *preset.ranks):
                status.update(f"measuring generation at rank {rank}")
                study.generation_energy(rank, seed)
        if todo.encoder is not None:
            EncoderStudy(todo, todo.encoder).run(status.update)
    report.write(todo.ledger.rows, todo.out, cli.console)
    cli.console.print(
        f"{len(todo.ledger.rows)} rows in {time.monotonic() - started:.0f} s; records, tables and figures are in "
        f"{todo.out}"
    )


if __name__ == "__main__":
    cli.run(main)
