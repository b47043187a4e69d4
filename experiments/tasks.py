"""Energy against problem size for whole stages: best classical arm measured, quantum arm projected, both fitted.

The sizes are fields of a stage's Config; other fields that have to grow with them do. The quantum arm is priced at the
sizes that were run and extrapolated as a power law, draw by draw, with what the fit leaves open.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import laws
from experiments.laws import Settings
from experiments.ledger import Ledger
from qgen import report
from qgen.energy import breakeven, carbon, meters, pricing, scaling
from qgen.energy.profiles import Profile
from qgen.energy.scaling import Law
from qgen.lm import tokenizer, train, transformer
from qgen.record import Record
from qgen.report import compare, select
from qgen.report.select import Runs
from qgen.resources import Resources
from qgen.stages import STAGES, Artefacts
from qgen.stages.base import plain, run_arm

LARGEST = 1e12
"""Where the search ends: a trillion documents or requests is more than anyone has."""


MODEL = transformer.Config(vocabulary=400, context=64, width=32, depth=2, heads=2)
"""The model whose hidden states are monitored where the size of the stream, not the model, is the question."""


class Task(NamedTuple):
    """How a stage is made larger.

    Attributes:
        field: the Config's field that tables call the size.
        name: what it counts.
        grow: (config, size) -> config.
        sizes: preset -> sizes.
    """

    field: str
    name: str
    grow: Callable[[Any, int], Any]
    sizes: Mapping[str, tuple[int, ...]]


def _documents(config: Any, size: int) -> Any:
    # About as many documents in a cluster as there are clusters, so that the pairs grow with size^(3/2).
    return dataclasses.replace(config, documents=size, validation=size // 4, clusters=max(2, round(size**0.5)))


def _requests(config: Any, size: int) -> Any:
    return dataclasses.replace(config, reference=size, windows=8, window=max(8, size // 4), anomalies=size // 2)


TASKS = {
    "curation": Task(
        *("documents", "documents", _documents),
        {
            "smoke": (60, 100, 160, 260),
            "default": (100, 200, 400, 800, 1400),
            "paper": (200, 400, 800, 1600, 3200),
        },
    ),
    "monitoring": Task(
        *("reference", "requests of the reference", _requests),
        {"smoke": (24, 36, 54, 80), "default": (32, 64, 128, 256), "paper": (64, 128, 256, 512, 1024)},
    ),
}


def artefacts(base: Artefacts, steps: int = 60) -> Artefacts:
    """The corpus with a tokenizer and a small model trained on its second domain: what requests are monitored with."""
    made = tokenizer.train(base.samples, "bpe", MODEL.vocabulary)
    params = transformer.init(jax.random.key(0), MODEL)
    tokens = tokenizer.stream(made, base.samples)
    recipe = train.Recipe(learning_rate=1e-2)
    params = train.fit(jax.random.key(1), params, MODEL, tokens, recipe, steps, batch=8).params
    gates = jnp.ones(2 * MODEL.depth)
    model = dataclasses.asdict(MODEL)
    return base._replace(curated=base.documents, tokenizer=made, adapted_model=model, deployed=params, gates=gates)


def run(
    ledger: Ledger,
    meter: meters.Meter,
    machines: Mapping[str, Profile],
    settings: Settings,
    name: str,
    make_artefacts: Callable[[], Artefacts],
    inputs: str,
    seeds: int,
) -> list[Record]:
    """Runs a stage's classical arms and its quantum arm at every size; fits; finds the break-even on every machine.

    Args:
        ledger: receives the rows.
        meter: the joule counter.
        machines: profile name -> machine.
        settings: window and draws.
        name: the stage, one of TASKS.
        make_artefacts: makes what the stage starts from; called only if a row is missing.
        inputs: stands for what it makes.
        seeds: seeds per size.

    Returns:
        The rows of the largest size, in the form of the lifecycle's.
    """
    stage, task = STAGES[name], TASKS[name]
    arms = [arm for arm in stage.arms if arm.startswith("classical/")] + [stage.swap]
    made: list[Artefacts] = []
    rows: list[Record] = []
    for size in task.sizes[ledger.preset]:
        config = task.grow(stage.presets["smoke" if ledger.preset == "smoke" else "default"], size)
        for seed in range(seeds):
            problem = None
            for arm in arms:
                settled = plain(config) | {"inputs": inputs}
                if problem is None and not ledger.has("scaling", name, arm, settled, seed):
                    made = made or [make_artefacts()]
                    problem = stage.problem(jax.random.fold_in(jax.random.key(seed), 1000), config, made[0])

                def make(arm: str = arm, config: Any = config, problem: Any = problem, seed: int = seed) -> dict:
                    row = run_arm(
                        *(stage, arm, config, problem),
                        **{"experiment": "scaling", "preset": ledger.preset, "seed": seed, "meter": meter},
                        **{"machines": machines, "inputs": inputs, "min_time_s": settings.min_time_s},
                    ).record
                    return {name: getattr(row, name) for name in CARRIED}

                rows.append(ledger.row("scaling", name, arm, settled, make, seed))
    fit(ledger, machines, settings, name, rows)
    largest = [row for row in rows if row.config[task.field] == task.sizes[ledger.preset][-1]]
    return [dataclasses.replace(row, experiment="lifecycle") for row in largest]


CARRIED = ("status", "reason", "note", "metrics", "resources", "measured", "host", "use", "projected", "trace")


def fit(ledger: Ledger, machines: Mapping[str, Profile], settings: Settings, name: str, rows: Sequence[Record]) -> None:
    """The laws of every arm and the break-evens of the quantum arm against the best classical one."""
    stage, task, facts = STAGES[name], TASKS[name], report.article()[name]
    # Every size and seed is one comparison: the arms saw the same problem there.
    places = {
        key: number for number, key in enumerate(dict.fromkeys((row.config[task.field], row.seed) for row in rows))
    }
    apart = [dataclasses.replace(row, seed=places[row.config[task.field], row.seed]) for row in rows]
    runs = select.arms(apart, name)
    best = compare.best_classical(runs, facts)
    if best is None or not runs[stage.swap].ok:
        return
    fitted = {
        arm: law
        for arm, run in runs.items()
        if arm != stage.swap and (law := _classical_law(ledger, settings, task, name, arm, run))
    }
    swap, rival = runs[stage.swap], best.any.arm
    if rival not in fitted:
        return
    equal = compare.is_equal(swap, best, facts)
    gap = np.mean([row.metrics[facts.quality.name] for row in swap.ok.values()]) - np.mean(
        [row.metrics[facts.quality.name] for row in best.ok.values()]
    )
    quality = {"equal_quality": float(equal), "quality_gap": float(gap)}
    _machine_rows(ledger, machines, settings, name, swap, rival, fitted[rival], quality)


def _classical_law(ledger: Ledger, settings: Settings, task: Task, name: str, arm: str, run: Runs) -> Law | None:
    found = list(run.ok.values())
    sizes = np.array([row.config[task.field] for row in found], dtype=float)
    if len(set(sizes.tolist())) < 3:
        return None
    energies = [row.measured["energy_j"] for row in found]
    law = scaling.fit(sizes, np.array(energies), "power")
    places = np.geomspace(sizes.min(), LARGEST, laws.CURVE)
    config = {"task": name, "sizes": sizes.tolist(), "size_name": task.name, "energies_j": energies}
    kept = np.ones(sizes.size, dtype=bool)

    def make() -> dict[str, Any]:
        fields = laws.law_fields(law, sizes, energies, kept, places)
        draws = scaling.sample(jax.random.key(1), law, settings.draws)
        logs = np.array([scaling.continued(*draws, sizes.max(), jnp.asarray(n)) for n in places], dtype=float)
        curve = np.array([pricing.summary(np.exp(row)) for row in logs])
        fields["trace"] |= laws.curve_fields(places, curve)
        return fields

    ledger.row("laws", name, arm, config, make)
    return law


def _machine_rows(
    ledger: Ledger,
    machines: Mapping[str, Profile],
    settings: Settings,
    name: str,
    swap: Runs,
    rival: str,
    law: Law,
    quality: Mapping[str, float],
) -> None:
    task, rows = TASKS[name], list(swap.ok.values())
    arm = rows[0].arm
    sizes = np.array([row.config[task.field] for row in rows], dtype=float)
    counts = [Resources(**{**row.resources, "qubits": int(row.resources["qubits"])}) for row in rows]
    configs = {
        machine: {
            **{"task": name, "machine": machine, "rival": rival, "size_name": task.name, "sizes": sizes.tolist()},
            **{"law": [law.offset, law.slope], "shots": [float(need.shots + need.anneals) for need in counts]},
            **laws.priced_with(profile),
        }
        for machine, profile in machines.items()
    }
    lines, reasons, medians = {}, {}, {}
    building = carbon.facility(jax.random.key(3), settings.draws)
    if not all(ledger.has("breakeven", name, arm, config) for config in configs.values()):
        host_j = jnp.asarray([row.host["energy_j"] if row.host else 0.0 for row in rows])
        for machine, profile in machines.items():
            try:
                wide = breakeven.room(profile, max(need.qubits for need in counts))
                energy = jnp.stack(
                    [pricing.price(n, wide, jax.random.key(0)).energy_j[: settings.draws] for n in counts], axis=1
                )
            except pricing.CannotRun as error:
                reasons[machine] = str(error)
                continue
            # As in its rival's law, the building's part of what is measured is in it; a machine's is in its watts.
            energy = energy + building[:, None] * host_j[None, :]
            medians[machine] = np.median(np.asarray(energy, dtype=float), axis=0)
            lines[machine] = scaling.power_draws(jax.random.key(2), sizes, jnp.log(energy))
    ends = float(sizes.min()), float(sizes.max()), LARGEST
    found = breakeven.of_power_laws(jax.random.key(1), lines, law, building, *ends) if lines else {}
    places = np.geomspace(sizes.min(), LARGEST, laws.CURVE)
    for machine, config in configs.items():

        def make(machine: str = machine) -> dict[str, Any]:
            if machine not in lines:
                return {"note": reasons[machine]}
            offset, slope = (np.asarray(part, dtype=float) for part in lines[machine])
            curve = np.array([pricing.summary(np.exp(offset + slope * np.log(n))) for n in places])
            middle, low, high = pricing.summary(slope)
            residual = scaling.fit(sizes, medians[machine], "power")
            fields = laws.found_fields(found[machine], sizes.min(), LARGEST)
            fields["metrics"] |= {
                **quality,
                **{"slope": middle, "slope_low": low, "slope_high": high},
                "residual_sd": float(np.sqrt(residual.variance)),
            }
            points = {"size": sizes.tolist(), "energy_j": medians[machine].tolist()}
            return fields | {"trace": laws.curve_fields(places, curve) | points}

        ledger.row("breakeven", name, arm, config, make)
