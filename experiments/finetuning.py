"""Adapters on a generative task: trained parameters against held-out bits per byte, each as a vmapped population.

Command:   python -m experiments.finetuning
Duration:  13 minutes with the default preset on two cores that other work shared, mostly compilation: one program per
           method and size
Writes:    runs/finetuning/records.jsonl, tables/{pareto,counts}.{md,tex,csv}, figures/pareto.{png,pdf}, base/
Headline:  the last columns of the first table: the gap to the best classical method of no more trained numbers, and to
           the one of the nearest number
"""

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import adapter_population as populations
from experiments import cli
from experiments.ledger import Ledger
from qgen import record
from qgen.energy import meters, profiles
from qgen.lm import transformer
from qgen.lm.adapters import Adapter, Boft, Compound, Lokr, Lora, Quanta, QuantumPeft, TinyLora, Vera
from qgen.report import finetuning as report
from qgen.resources import total
from qgen.stages import STAGES, Artefacts, base_model, few_samples, finetuning
from qgen.stages.base import project
from qgen.types import Key, Params

EXPERIMENT = "finetuning"
PRESETS = ("smoke", "default", "paper")
_PRESET = flags.DEFINE_string("preset", "default", "smoke (few steps of a small model), default, paper (hours).")
_SEEDS = flags.DEFINE_integer("seeds", None, "Seeds per method and size; None: what the preset says.")
_ARM = flags.DEFINE_list("arm", [], "Methods, such as inspired/quantum_peft. Empty: all.")
_ARTEFACTS = flags.DEFINE_string(
    "artefacts", None, "Folder in which the lifecycle kept what its training stage handed on. None: a model of our own."
)
_OUT = flags.DEFINE_string("out", "runs/finetuning", "Folder that receives records, tables, figures and the model.")
_METER = flags.DEFINE_string("meter", "auto", "Joule counter: auto, nvml, rapl, zeus or modelled.")
_PROFILE = flags.DEFINE_list("profile", [], "Quantum machines to price on. Empty: all (see scripts/host --profiles).")
_RESUME = flags.DEFINE_bool(
    "resume", True, "Complete the missing rows of --out; --noresume refuses a folder with records."
)


class Preset(NamedTuple):
    """What a preset sets.

    Attributes:
        seeds: draws of the few samples, starts and batches.
        steps: training steps of every run.
        batch: windows per step.
        rates: learning rates of every method; validation chooses.
        holdout: held-out documents of the second domain that score.
        shots: of the parameter generator, per circuit.
    """

    seeds: int
    steps: int
    batch: int
    rates: tuple[float, ...]
    holdout: int
    shots: int


SETTINGS = {
    "smoke": Preset(2, 4, 4, (3e-3, 3e-2), 4, 64),
    "default": Preset(5, 40, 2, (4e-4, 2e-3, 1e-2, 5e-2, 0.25, 1.0), 16, 512),
    "paper": Preset(10, 400, 16, (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0), 100, 8192),
}
LLAMA_7B = ((4096, 4096),) * 64
"""q_proj and v_proj of LLaMA-2-7B, of 6,738,415,616 parameters in all."""
LLAMA_7B_SIZE = 6_738_415_616
COUNTED: tuple[tuple[str, str, Adapter, str], ...] = (
    ("classical/lora", "rank 8", Lora(8), ""),
    ("classical/vera", "rank 256", Vera(256), ""),
    ("classical/lokr", "rank 32", Lokr(32), ""),
    ("classical/boft", "block 4", Boft(4), ""),
    ("classical/tinylora", "rank 2, width 64", TinyLora(2, 64), ""),
    ("inspired/quantum_peft", "rank 8", QuantumPeft(8), ""),
    ("inspired/quanta", "16-8-8-4", Quanta((16, 8, 8, 4)), "0.041 % (arXiv:2406.00132)"),
    ("inspired/compound", "order 3", Compound(3), "below 0.02 % (arXiv:2502.06916)"),
)
"""Name, size, adapter and the published share, counted on LLAMA_7B."""


class Plan(NamedTuple):
    """The checked flags: nothing has been written yet, and nothing can be refused any more."""

    preset: str
    settings: Preset
    seeds: int
    arms: tuple[str, ...]
    base: Artefacts
    out: Path
    meter: meters.Meter
    machines: Mapping[str, profiles.Profile]
    done: dict[tuple, record.Record]


def plan() -> Plan:
    """Reads and checks every flag, and gets the model.

    Raises:
        cli.UsageError: for the first flag that is wrong.
    """
    cli.known("preset", [_PRESET.value], PRESETS)
    settings = SETTINGS[_PRESET.value]
    seeds = cli.seeds(_SEEDS.value, settings.seeds)
    cli.known("arm", _ARM.value, populations.NAMES)
    meter, machines = cli.meter(_METER.value), cli.machines(_PROFILE.value)
    kept = None if _ARTEFACTS.value is None else Path(_ARTEFACTS.value)
    if kept is not None:
        with cli.flag("artefacts", kept):
            base_model.read(kept)
    out = Path(_OUT.value)
    rows = cli.rows(out, _RESUME.value)
    return Plan(
        preset=_PRESET.value,
        settings=settings,
        seeds=seeds,
        arms=tuple(_ARM.value or populations.NAMES),
        base=base_model.load(_PRESET.value, out, kept),
        out=out,
        meter=meter,
        machines=machines,
        done=record.done(rows),
    )


def stage_config(todo: Plan) -> few_samples.Config:
    """The stage's settings, with this experiment's steps, shots and held-out documents."""
    own = todo.settings
    config = STAGES["finetuning"].presets[todo.preset]
    return dataclasses.replace(config, steps=own.steps, batch=own.batch, shots=own.shots, holdout=own.holdout)


def train_all(ledger: Ledger, todo: Plan) -> None:
    """Every method's population, measured; a row per size and seed."""
    config = stage_config(todo)
    # A problem per seed: its draw of the few samples, and their split.
    problems = [
        finetuning.problem(jax.random.fold_in(jax.random.key(seed), 1), config, todo.base) for seed in range(todo.seeds)
    ]
    params, model = problems[0].params, problems[0].model
    given = populations.data(problems)
    keys = jnp.stack([jax.random.key(seed) for seed in range(todo.seeds)])
    settled = {"steps": config.steps, "batch": config.batch, "rates": list(todo.settings.rates), "shots": config.shots}
    settled |= {"seeds": todo.seeds, "samples": config.samples, "inputs": fingerprint(todo.base, params)}
    for entry in populations.entries(params, model, config):
        if entry.name not in todo.arms:
            continue
        cells = [(n, seed) for n in range(len(entry.sizes)) for seed in range(todo.seeds)]
        configs = {n: settled | {"size": size, "parameters": entry.counts[n]} for n, size in enumerate(entry.sizes)}
        measured: dict[str, Any] = {}
        if not all(ledger.has(EXPERIMENT, "finetuning", entry.name, configs[n], seed) for n, seed in cells):
            with cli.console.status(f"training {entry.name}: {', '.join(entry.sizes)}"):
                measured = measure(todo, entry, (keys, params, given), model, config)
        for n, seed in cells:

            def make(n: int = n, seed: int = seed, measured: dict = measured, entry: Any = entry) -> dict[str, Any]:
                fields = row_fields(todo, entry, n, seed, **measured)
                if fields["metrics"]:
                    fields["metrics"]["before"] = problems[seed].before[1]
                return fields

            ledger.row(EXPERIMENT, "finetuning", entry.name, configs[n], make, seed)


def row_fields(
    todo: Plan, entry: populations.Entry, n: int, seed: int, found: populations.Found, taken: Any, compile_s: float
) -> dict[str, Any]:
    """The fields of a row: the model that one seed's validation chose at one size, and its share of the joules."""
    lanes, rates = found.validation.size, todo.settings.rates
    chosen, validation = int(found.chosen[n, seed]), found.validation[n, seed]
    measured = {"measured": taken.fields(), "metrics": {}}
    if not np.isfinite(validation).any():
        return measured | {"status": "failed", "reason": "No learning rate gave a finite loss."}
    metrics = {
        "bits_per_byte": float(found.bits_per_byte[n, seed]),
        "validation_loss": float(validation[chosen]),
        "parameters": float(entry.counts[n]),
        "rate": rates[chosen],
        "at_edge": float(chosen in (0, len(rates) - 1)),
        "diverged": float(np.sum(~np.isfinite(validation))),
        "lanes": float(lanes),
        "training_energy_j": taken.energy_j / lanes,
        "compile_s": compile_s,
    }
    needed = total(entry.resources(todo.settings.steps * len(rates)))
    return measured | {
        "metrics": metrics,
        "resources": {} if needed is None else {**vars(needed)},
        "projected": {name: project((needed,), m) for name, m in todo.machines.items()} if needed else {},
        "trace": {"loss": np.asarray(found.curve[n, seed], float).tolist()},
    }


def measure(
    todo: Plan,
    entry: populations.Entry,
    inputs: tuple[Key, Params, populations.Data],
    model: transformer.Config,
    config: few_samples.Config,
) -> dict:
    """Compiles a population's program, trains it between two readings of the meter, and scores it."""
    begun = time.monotonic()
    rates = jnp.asarray(todo.settings.rates, jnp.float32)
    program = populations.population.lower(*inputs, rates, entry, model, config.steps, config.batch).compile()
    compile_s = time.monotonic() - begun
    taken = meters.measure(todo.meter, lambda: program(*inputs, rates))
    return {"found": populations.scored(*inputs, taken.result, entry, model), "taken": taken, "compile_s": compile_s}


def fingerprint(base: Artefacts, params: Any) -> str:
    """Twelve digits for the model and the texts that all of it starts from."""
    digest = hashlib.sha256(repr((base.tokenizer, base.samples, base.samples_holdout)).encode())
    for leaf in jax.tree.leaves(params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:12]


def counted(ledger: Ledger) -> None:
    """Trained parameters of published settings on the shapes of a model of 7 billion parameters."""
    for name, size, adapter, published in COUNTED:
        n = sum(adapter.count(shape) for shape in LLAMA_7B)
        metrics = {"parameters": float(n), "share": n / LLAMA_7B_SIZE}
        config = {"size": size, "shapes": "q_proj, v_proj"}
        ledger.row(
            "adapter_counts", "llama_2_7b", name, config, lambda m=metrics, p=published: {"metrics": m, "note": p}
        )


def main() -> None:
    """Checks the flags, trains what is missing, writes tables and the figure."""
    started = time.monotonic()
    todo = plan()
    cli.console.print(
        f"finetuning: preset {todo.preset}, {todo.seeds} seeds, {len(todo.arms)} methods, meter {todo.meter.name} "
        f"({todo.meter.provenance}), records in {todo.out}"
    )
    ledger = Ledger(todo.out / "records.jsonl", todo.done, todo.preset)
    train_all(ledger, todo)
    counted(ledger)
    report.write(ledger.rows, todo.out, cli.console)
    cli.console.print(
        f"{len(ledger.rows)} rows in {time.monotonic() - started:.0f} s; records, tables and figures are in {todo.out}"
    )


if __name__ == "__main__":
    cli.run(main)
