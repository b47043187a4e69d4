"""Token mixers, feed-forward layers, heads and starts in one small language model: quantum ones beside their rivals.

Command:   python -m experiments.mixers
Writes:    runs/mixers/records.jsonl, tables/mixers.{md,tex,csv}, figures/mixers.{png,pdf}
Headline:  the test loss of Quixer and its controls beside attention's, LSTM's and FNet's at equal parameters
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import cli
from experiments.ledger import Ledger
from experiments.search_objectives import CONTEXT, VOCABULARY, streams
from qgen import record
from qgen.energy import flops, meters, profiles
from qgen.lm import mixers, recipes, train, transformer
from qgen.nn import Quixer, Reuploading, quixer_circuit
from qgen.report import mixers as report
from qgen.stages.base import project
from qgen.types import Array, Params

PRESETS = ("smoke", "default", "paper")
_PRESET = flags.DEFINE_string("preset", "default", "smoke, default or paper.")
_SEEDS = flags.DEFINE_integer("seeds", None, "Trainings per arm; None: what the preset says.")
_ARM = flags.DEFINE_list("arm", [], "Arms, such as quantum/quixer. Empty: all.")
_OUT = flags.DEFINE_string("out", "runs/mixers", "Folder that receives records, tables and figures.")
_METER = flags.DEFINE_string("meter", "auto", "Joule counter: auto, nvml, rapl, zeus or modelled.")
_PROFILE = flags.DEFINE_list("profile", [], "Quantum machines to price on. Empty: all (see scripts/host --profiles).")
_RESUME = flags.DEFINE_bool(
    "resume", True, "Complete the missing rows of --out; --noresume refuses a folder with records."
)
WIDTH, HEADS = 32, 2
TUNING_SEED = 1000
"""Learning rates are chosen on a training of its own, by validation loss."""


class Preset(NamedTuple):
    """What a preset sets: trainings per arm, steps and windows of each, and the learning rates to choose from."""

    seeds: int
    steps: int
    windows: int
    rates: tuple[float, ...]


SETTINGS = {
    "smoke": Preset(2, 6, 4, (0.01, 0.03)),
    "default": Preset(5, 300, 8, (0.005, 0.015, 0.045, 0.135)),
    "paper": Preset(10, 1000, 16, (0.002, 0.005, 0.01, 0.02, 0.05, 0.12)),
}


class Arm(NamedTuple):
    """A model: the parts that it replaces, and how it starts.

    Attributes:
        parts: fields of `transformer.Config` that are not the default's.
        scheme: of `transformer.init`.
        optimiser: that goes with the scheme.
    """

    parts: Mapping[str, Any] = {}
    scheme: str = "normal"
    optimiser: train.Optimiser = train.adamw


LSTM = 16
"""Cells of the memory: about as many parameters as attention has."""
MIXERS = {
    "classical/attention": Arm(),
    "classical/lstm": Arm({"mixer": mixers.Lstm(LSTM)}),
    "classical/fnet": Arm({"mixer": mixers.Fourier()}),
    "quantum/quixer": Arm({"mixer": Quixer()}),
    "control/quixer_product": Arm({"mixer": Quixer(entangled=False)}),
    "control/quixer_frozen": Arm({"mixer": Quixer(frozen=True)}),
    "control/polynomial": Arm({"mixer": mixers.Polynomial()}),
}
LAYERS = {
    "quantum/feed_forward": Arm({"feedforward": Reuploading()}),
    "control/feed_forward_product": Arm({"feedforward": Reuploading(entangled=False)}),
    "control/feed_forward_frozen": Arm({"feedforward": Reuploading(frozen=True)}),
}
CLASSIFIERS = {
    "classical/narrow_head": Arm({"head": mixers.Narrow(12)}),
    "quantum/head": Arm({"head": Reuploading()}),
    "control/head_product": Arm({"head": Reuploading(entangled=False)}),
    "control/head_frozen": Arm({"head": Reuploading(frozen=True)}),
}
STARTS = {
    "classical/xavier": Arm(scheme="xavier"),
    "classical/orthogonal": Arm(scheme="orthogonal"),
    "classical/mup": Arm(scheme="mup", optimiser=recipes.mup),
}
ARMS = MIXERS | LAYERS | CLASSIFIERS | STARTS
WIDE = ("classical/attention", "classical/lstm", "classical/fnet", "classical/mup", "control/polynomial")
"""Arms that are also made as wide as Quixer's operations allow."""


def model(parts: Mapping[str, Any], width: int = WIDTH, mlp_ratio: float = 4) -> transformer.Config:
    """One block of the lifecycle's transformer with parts replaced."""
    return transformer.Config(VOCABULARY, CONTEXT, width, 1, HEADS, mlp_ratio, **parts)


def slopes(params: Params, config: transformer.Config, tokens: Any) -> Any:
    """The gradient of the loss on given windows, [windows, context + 1]."""
    return jax.grad(lambda params: train.loss(params, config, tokens[:, :-1], tokens[:, 1:]))(params)


@functools.cache
def trainable(config: transformer.Config) -> int:
    """Parameters that are trained: frozen ones do not count."""
    params = jax.eval_shape(lambda: transformer.init(jax.random.key(0), config))
    block = params["block_0"]
    # A part without parameters is not in the tree.
    places = {"mixer": block.get("attention"), "feedforward": block.get("mlp"), "head": params["head"]}
    frozen = [places[field][name] for field in places for name in getattr(getattr(config, field), "untrained", ())]
    return transformer.size(params) - transformer.size(frozen)


@functools.cache
def operations(config: transformer.Config) -> float:
    """Operations of the gradient on one window; circuits are counted as the plain engine runs them."""
    parts = {
        name: dataclasses.replace(part, engine="xla")
        for name in ("mixer", "feedforward", "head")
        if hasattr(part := getattr(config, name), "engine")
    }
    counted = dataclasses.replace(config, **parts)
    params = jax.eval_shape(lambda: transformer.init(jax.random.key(0), counted))
    tokens = jax.ShapeDtypeStruct((1, CONTEXT + 1), jnp.int32)
    return flops.count(lambda params, tokens: slopes(params, counted, tokens), params, tokens).flops


def equal_parameters(arm: str) -> transformer.Config:
    """The arm's model, its MLP as wide as makes its trained parameters equal to the quantum feed-forward's model."""
    parts = ARMS[arm].parts
    wanted = trainable(model(ARMS["quantum/feed_forward"].parts))
    if "feedforward" in parts:
        return model(parts)
    without = trainable(model(parts, mlp_ratio=1 / WIDTH)) - 2 * WIDTH
    return model(parts, mlp_ratio=max(1, round((wanted - without) / (2 * WIDTH))) / WIDTH)


def equal_operations(arm: str) -> transformer.Config:
    """The arm's model, as wide as its operations stay within those of the model with Quixer."""
    wanted = operations(equal_parameters("quantum/quixer"))
    parts = ARMS[arm].parts

    def made(width: int) -> transformer.Config:
        own = {"mixer": mixers.Lstm(width * LSTM // WIDTH)} if isinstance(parts.get("mixer"), mixers.Lstm) else parts
        return model(own, width)

    width = WIDTH
    while operations(made(width + 2 * HEADS)) <= wanted:
        width += 2 * HEADS
    return made(width)


GROUPS: Mapping[str, Callable[[str], transformer.Config]] = {
    "equal_parameters": equal_parameters,
    "equal_operations": equal_operations,
}


_init = jax.jit(
    lambda key, config, scheme: transformer.init(key, config, scheme=scheme), static_argnames=("config", "scheme")
)


def fitted(arm: Arm, config: transformer.Config, settings: Preset, rate: float, seed: int) -> Params:
    """One training."""
    start_key, fit_key = jax.random.split(jax.random.key(seed))
    start = _init(start_key, config, arm.scheme)
    # No decay: it would shrink what is frozen.
    recipe = train.Recipe(learning_rate=rate, weight_decay=0.0)
    return train.fit(
        fit_key, start, config, streams().tokens, recipe, settings.steps, settings.windows, optimiser=arm.optimiser
    ).params


def success(params: Params, config: transformer.Config) -> dict[str, float]:
    """The mean probability that Quixer's post-selection succeeds on validation windows; empty for other mixers."""
    if not isinstance(config.mixer, Quixer):
        return {}
    tokens = jnp.asarray(streams().validation[: 8 * CONTEXT].reshape(8, CONTEXT))
    return {"success_probability": float(_success(params, tokens, config))}


@functools.partial(jax.jit, static_argnames="config")
def _success(params: Params, tokens: Array, config: transformer.Config) -> Array:
    # With every branch closed, the features are what the first mixer reads.
    given = transformer.apply(params, tokens, config, gates=(0.0, 0.0), features=True)
    return jnp.mean(transformer.part(params, config, 0).success(given))


def measure(ledger: Ledger, settings: Preset, meter: meters.Meter, group: str, name: str, seeds: int) -> None:
    """An arm's rows: the learning rate that validation chose, then one row per seed with its test loss."""
    arm, text = ARMS[name], streams()
    tuning = {"steps": settings.steps, "windows": settings.windows, "rates": list(settings.rates)}
    made: list[transformer.Config] = []

    def config() -> transformer.Config:
        made[:] = made or [GROUPS[group](name)]
        return made[0]

    def tune() -> dict[str, Any]:
        found = {}
        for rate in settings.rates:
            params = fitted(arm, config(), settings, rate, TUNING_SEED)
            found[rate] = train.token_loss(params, config(), text.validation)
        losses = [value if np.isfinite(value) else 1e3 for value in found.values()]
        best = settings.rates[int(np.argmin(losses))]
        return {"metrics": {"learning_rate": best}, "trace": {"rates": list(settings.rates), "validation": losses}}

    rate = ledger.row("mixers_tuning", group, name, tuning, tune).metrics["learning_rate"]
    for seed in range(seeds):

        def make(seed: int = seed) -> dict[str, Any]:
            taken = meters.measure(meter, lambda: fitted(arm, config(), settings, rate, seed))
            params = taken.result
            return {
                "metrics": {
                    "test_loss": train.token_loss(params, config(), text.test),
                    "validation_loss": train.token_loss(params, config(), text.validation),
                    "parameters": float(trainable(config())),
                    "operations": operations(config()),
                    "width": float(config().width),
                    "learning_rate": rate,
                    **success(params, config()),
                },
                "measured": taken.fields(),
            }

        ledger.row("mixers", group, name, tuning, make, seed)


def reading(ledger: Ledger, meter: meters.Meter, machines: Mapping[str, profiles.Profile], arm: str) -> None:
    """What one token costs to read: measured where the arm is simulated, projected where it has a circuit."""
    rows = [row for row in ledger.rows if (row.experiment, row.stage, row.arm) == ("mixers", "equal_parameters", arm)]
    chances = [row.metrics["success_probability"] for row in rows if "success_probability" in row.metrics]
    chance = float(np.mean(chances)) if chances else 1.0

    def make() -> dict[str, Any]:
        config = equal_parameters(arm)
        params, tokens = transformer.init(jax.random.key(0), config), jnp.zeros((64, CONTEXT), jnp.int32)
        run = jax.jit(lambda params, tokens: transformer.apply(params, tokens, config))
        taken = meters.measure(meter, lambda: run(params, tokens), min_time_s=0.3, warm_up=True)
        fields = {"measured": taken.fields(), "metrics": {"token_j": taken.energy_j / tokens.size}}
        if not chances:
            return fields
        assert isinstance(config.mixer, Quixer)
        needed = quixer_circuit.reading(config.mixer, chance)
        projected = {name: project((needed,), machine) for name, machine in machines.items()}
        return fields | {"resources": {**vars(needed)}, "projected": projected}

    ledger.row("mixers_reading", "equal_parameters", arm, {"success_probability": chance}, make)


def main() -> None:
    """Checks the flags, trains what is missing, writes the table and the figure."""
    started = time.monotonic()
    cli.known("preset", [_PRESET.value], PRESETS)
    settings = SETTINGS[_PRESET.value]
    seeds = cli.seeds(_SEEDS.value, settings.seeds)
    cli.known("arm", _ARM.value, ARMS)
    meter, machines, out = cli.meter(_METER.value), cli.machines(_PROFILE.value), Path(_OUT.value)
    done = record.done(cli.rows(out, _RESUME.value))
    cli.console.print(
        f"mixers: preset {_PRESET.value}, {seeds} seeds, meter {meter.name} ({meter.provenance}), records in {out}"
    )
    ledger = Ledger(out / "records.jsonl", done, _PRESET.value)
    chosen = [("equal_parameters", arm) for arm in ARMS] + [("equal_operations", arm) for arm in WIDE]
    with cli.console.status("training") as status:
        for group, arm in chosen:
            if not _ARM.value or arm in _ARM.value:
                status.update(f"{group.replace('_', ' ')}: {arm}")
                measure(ledger, settings, meter, group, arm, seeds)
        for arm in MIXERS:
            if not _ARM.value or arm in _ARM.value:
                status.update(f"reading a token: {arm}")
                reading(ledger, meter, machines, arm)
    report.write(ledger.rows, out, cli.console)
    cli.console.print(
        f"{len(ledger.rows)} rows in {time.monotonic() - started:.0f} s; records, table and figure are in {out}"
    )


if __name__ == "__main__":
    cli.run(main)
