"""Policy gradients with circuits: CartPole, and the lifecycle's model rewarded for balanced brackets; 20 seeds.

Command:   python -m experiments.reinforcement
Duration:  13 minutes with the default preset on two cores that other work shared
Writes:    runs/reinforcement/records.jsonl, tables/policies.{md,tex,csv}, figures/curves.{png,pdf}, base/ (the model)
Headline:  the table's last column: a circuit against the network of as many trained numbers
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import cli, policy_tasks
from experiments.ledger import Ledger
from experiments.policy_tasks import Agent, Task
from qgen import record
from qgen.classical import reinforce
from qgen.energy import meters, profiles
from qgen.report import reinforcement as report
from qgen.resources import total
from qgen.stages import base_model
from qgen.stages.base import project

EXPERIMENT = "reinforcement"
PRESETS = ("smoke", "default", "paper")
TASKS = ("cartpole", "brackets")
_PRESET = flags.DEFINE_string("preset", "default", "smoke (few updates), default, paper (hours).")
_SEEDS = flags.DEFINE_integer(
    "seeds", None, "Runs per arm, at least one per learning rate; None: what the preset says."
)
_TASK = flags.DEFINE_list("task", [], "cartpole, brackets. Empty: both.")
_RULE = flags.DEFINE_list(
    "rule", [], "reinforce, grpo. Empty: reinforce on cartpole and both on brackets; with paper both on both."
)
_ARTEFACTS = flags.DEFINE_string(
    "artefacts", None, "Folder in which the lifecycle kept what its training stage handed on. None: a model of our own."
)
_OUT = flags.DEFINE_string("out", "runs/reinforcement", "Folder that receives records, tables, figures and the model.")
_METER = flags.DEFINE_string("meter", "auto", "Joule counter: auto, nvml, rapl, zeus or modelled.")
_PROFILE = flags.DEFINE_list("profile", [], "Quantum machines to price on. Empty: all (see scripts/host --profiles).")
_RESUME = flags.DEFINE_bool(
    "resume", True, "Complete the missing rows of --out; --noresume refuses a folder with records."
)


class Preset(NamedTuple):
    """What a preset sets.

    Attributes:
        seeds: runs per arm, and as many again to choose the learning rate.
        rates: learning rates, the same for every arm.
        shots: per circuit.
        cart: updates, episodes per update and steps of an episode.
        writing: updates, episodes per update, tokens of an episode, tokens of a prompt, and steps that adapt the model.
        rules: task -> the rules that learn it.
    """

    seeds: int
    rates: tuple[float, ...]
    shots: int
    cart: tuple[int, int, int]
    writing: tuple[int, int, int, int, int]
    rules: Mapping[str, tuple[str, ...]]


BOTH = {"cartpole": reinforce.RULES, "brackets": reinforce.RULES}
SHORT = {"cartpole": ("reinforce",), "brackets": reinforce.RULES}
SETTINGS = {
    "smoke": Preset(2, (0.01, 0.1), 100, (2, 4, 20), (2, 4, 8, 4, 4), SHORT),
    "default": Preset(20, (0.01, 0.03, 0.1, 0.3, 1.0), 1000, (40, 8, 500), (30, 16, 32, 8, 60), SHORT),
    "paper": Preset(50, (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 1000, (400, 16, 500), (200, 32, 48, 16, 400), BOTH),
}


class Plan(NamedTuple):
    """The checked flags: nothing has been written yet, and nothing can be refused any more."""

    preset: str
    settings: Preset
    seeds: int
    tasks: tuple[str, ...]
    rules: Mapping[str, tuple[str, ...]]
    kept: Path | None
    out: Path
    meter: meters.Meter
    machines: Mapping[str, profiles.Profile]
    done: dict[tuple, record.Record]


def plan() -> Plan:
    """Reads and checks every flag.

    Raises:
        cli.UsageError: for the first flag that is wrong.
    """
    cli.known("preset", [_PRESET.value], PRESETS)
    settings = SETTINGS[_PRESET.value]
    seeds = cli.seeds(_SEEDS.value, settings.seeds)
    if seeds < len(settings.rates):
        raise cli.UsageError(f"--seeds={seeds}: must be at least {len(settings.rates)}, one per learning rate.")
    cli.known("task", _TASK.value, TASKS)
    cli.known("rule", _RULE.value, reinforce.RULES)
    meter, machines = cli.meter(_METER.value), cli.machines(_PROFILE.value)
    kept = None if _ARTEFACTS.value is None else Path(_ARTEFACTS.value)
    if kept is not None:
        with cli.flag("artefacts", kept):
            base_model.read(kept)
    out = Path(_OUT.value)
    return Plan(
        preset=_PRESET.value,
        settings=settings,
        seeds=seeds,
        tasks=tuple(_TASK.value or TASKS),
        rules={name: tuple(_RULE.value or settings.rules[name]) for name in TASKS},
        kept=kept,
        out=out,
        meter=meter,
        machines=machines,
        done=record.done(cli.rows(out, _RESUME.value)),
    )


def task(todo: Plan, name: str) -> Task:
    """The task of this name; the language model is trained or read for it."""
    if name == "cartpole":
        return policy_tasks.cart(*todo.settings.cart)
    return policy_tasks.writing(base_model.load(todo.preset, todo.out, todo.kept), *todo.settings.writing)


def learn_all(ledger: Ledger, todo: Plan, made: Task, rule: str) -> None:
    """Every arm: the rate is chosen on runs of their own, then all seeds run at it; a row per seed."""
    sizes = list(todo.settings.cart if made.name == "cartpole" else todo.settings.writing)
    config = {"rates": list(todo.settings.rates), "shots": todo.settings.shots, "sizes": sizes, "seeds": todo.seeds}
    config |= {"rule": rule, "kept": str(todo.kept or "")}
    for agent in policy_tasks.agents(made.name, made.features, made.actions, todo.settings.shots).values():
        stage = f"{made.name}/{rule}"
        found: dict[str, Any] = {}
        if not all(ledger.has(EXPERIMENT, stage, agent.name, config, seed) for seed in range(todo.seeds)):
            with cli.console.status(f"{stage}: {agent.name}"):
                found = run(todo, made, rule, agent)
        for seed in range(todo.seeds):

            def make(seed: int = seed, agent: Agent = agent, found: dict = found) -> dict[str, Any]:
                return row_fields(todo, made.config[rule], agent, seed, **found)

            ledger.row(EXPERIMENT, stage, agent.name, config, make, seed)


def run(todo: Plan, made: Task, rule: str, agent: Agent) -> dict[str, Any]:
    """One program, twice: on other seeds with every rate, then on the seeds that count with the best of them."""
    begun, rates = time.monotonic(), todo.settings.rates
    fixed = (made.make, agent.policy, agent.value, made.config[rule])
    keys = jnp.stack([jax.random.key(seed) for seed in range(todo.seeds)])
    others = jnp.stack([jax.random.fold_in(jax.random.key(seed), 1) for seed in range(todo.seeds)])
    tried = np.resize(rates, todo.seeds).astype(np.float32)
    program = policy_tasks.population.lower(others, jnp.asarray(tried), made.data, *fixed).compile()
    compile_s = time.monotonic() - begun
    tuning = policy_tasks.last(np.asarray(program(others, jnp.asarray(tried), made.data).returns))
    means = {rate: float(np.mean(tuning[tried == np.float32(rate)])) for rate in rates}
    best = max(means, key=means.__getitem__)
    chosen = jnp.full(todo.seeds, best, jnp.float32)
    taken = meters.measure(todo.meter, lambda: program(keys, chosen, made.data))
    return {"learned": jax.tree.map(np.asarray, taken.result), "taken": taken, "compile_s": compile_s, "means": means}


def row_fields(
    todo: Plan,
    config: reinforce.Config,
    agent: Agent,
    seed: int,
    learned: Any,
    taken: Any,
    compile_s: float,
    means: dict,
) -> dict[str, Any]:
    """The fields of one seed's row."""
    returns, steps = learned.returns[seed], int(learned.steps[seed].sum())
    best, rates = max(means, key=means.__getitem__), todo.settings.rates
    needed = total(agent.resources(steps, config.passes, config.rule == "reinforce"))
    moved = [
        float(np.abs(after[seed] - before[seed]).max())
        for before, after in zip(
            *map(jax.tree.leaves, (learned.start["policy"], learned.params["policy"])), strict=True
        )
    ]
    return {
        "note": agent.note,
        "metrics": {
            "return": float(policy_tasks.last(returns[None])[0]),
            "first_return": float(returns[0]),
            "mean_return": float(returns.mean()),
            "parameters": float(agent.sizes[0]),
            "value_parameters": float(agent.sizes[1]) if config.rule == "reinforce" else 0.0,
            "rate": best,
            "at_edge": float(best in (rates[0], rates[-1])),
            "steps": float(steps),
            "most_moved": max(moved),
            "run_energy_j": taken.energy_j / todo.seeds,
            "compile_s": compile_s,
        },
        "measured": taken.fields(),
        "resources": {} if needed is None else {**vars(needed)},
        "projected": {name: project((needed,), m) for name, m in todo.machines.items()} if needed else {},
        "trace": {"return": returns.astype(float).tolist(), "tuning": [means[rate] for rate in rates]},
    }


def main() -> None:
    """Checks the flags, learns what is missing, writes the table and the figure."""
    started = time.monotonic()
    todo = plan()
    cli.console.print(
        f"reinforcement: preset {todo.preset}, {todo.seeds} seeds, {', '.join(todo.tasks)}, meter {todo.meter.name} "
        f"({todo.meter.provenance}), records in {todo.out}"
    )
    ledger = Ledger(todo.out / "records.jsonl", todo.done, todo.preset)
    for name in todo.tasks:
        made = task(todo, name)
        for rule in todo.rules[name]:
            learn_all(ledger, todo, made, rule)
    report.write(ledger.rows, todo.out, cli.console)
    cli.console.print(
        f"{len(ledger.rows)} rows in {time.monotonic() - started:.0f} s; records, tables and figures are in {todo.out}"
    )


if __name__ == "__main__":
    cli.run(main)
