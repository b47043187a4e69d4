"""Classical work on other hardware: operations counted in the jaxpr times published energies per operation.

No flags of its own: `of_life` is called at the end of a lifecycle, `steps` by the script `scaling`. What is counted is
forward and backward passes; updates, validation and the text's way to tokens are left out. Nothing is compiled.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ledger import Ledger
from qgen import record, report
from qgen.energy import flops, meters
from qgen.energy.flops import Flops
from qgen.lm import train, transformer
from qgen.record import Record
from qgen.report import compare, select
from qgen.stages import STAGES
from qgen.stages.optimisers import OPTIMISERS

SHAPES = {
    "small": (transformer.Config(vocabulary=512, context=64, width=64, depth=4, heads=4), 16),
    "gpt2": (transformer.Config(vocabulary=50_257, context=1024, width=768, depth=12, heads=12), 8),
}
"""Models whose training step is counted, with the windows in a batch; only the small one is run."""
UNCOUNTED = "it runs in libraries of the host, or the rows do not tell what it trains: no projection"


class Training(NamedTuple):
    """What an arm trains: the work of all its steps, the model's parameters, the tokens of a step, the steps."""

    work: Flops
    parameters: float
    tokens: float
    steps: float


def value_and_gradient(params: Any, windows: Any, model: transformer.Config) -> Any:
    """What a training step computes before its update."""
    return jax.value_and_grad(train.loss)(params, model, windows[:, :-1], windows[:, 1:])


@functools.cache
def counted(model: transformer.Config, batch: int) -> tuple[Flops, int]:
    """Work of one training step, and the model's parameters."""
    shapes = jax.eval_shape(lambda: transformer.init(jax.random.key(0), model))
    windows = jax.ShapeDtypeStruct((batch, model.context + 1), jnp.int32)
    work = flops.count(lambda params, windows: value_and_gradient(params, windows, model), shapes, windows)
    return work, sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


def priced(training: Training, draws: int = 10_000) -> dict[str, Any]:
    """Fields of a record: the work of all steps, and its energy on every processor of the table."""
    table, levels = flops.load(), np.asarray(record.QUANTILE_LEVELS)
    prices = {name: flops.price(training.work, table[name], jax.random.key(0), draws) for name in table}
    return {
        "metrics": {
            **{"flops": training.work.flops, "bytes": training.work.bytes},
            **{name: float(getattr(training, name)) for name in ("parameters", "tokens", "steps")},
        },
        "projected": {
            name: {"energy_j": np.quantile(np.asarray(price, dtype=float), levels).tolist()}
            for name, price in prices.items()
        },
    }


def steps(ledger: Ledger, meter: meters.Meter, min_time_s: float, draws: int) -> None:
    """A training step counted and priced on other processors, and the small one measured here as a check."""
    for name, (model, batch) in SHAPES.items():

        def make(name: str = name, model: transformer.Config = model, batch: int = batch) -> dict[str, Any]:
            work, parameters = counted(model, batch)
            fields = priced(Training(work, parameters, batch * model.context, 1), draws)
            if name == "small":
                params = transformer.init(jax.random.key(0), model)
                shape = (batch, model.context + 1)
                tokens = jax.random.randint(jax.random.key(1), shape, 0, model.vocabulary)
                jitted = jax.jit(lambda params, tokens: value_and_gradient(params, tokens, model))
                run = meters.measure(meter, lambda: jitted(params, tokens), min_time_s=min_time_s, warm_up=True)
                fields["measured"] = run.fields()
            return fields

        config = {"width": model.width, "depth": model.depth, "context": model.context, "batch": batch}
        ledger.row("processors", "training", f"classical/{name}", config, make)


def of_life(ledger: Ledger, rows: Sequence[Record]) -> None:
    """The best classical arm of every stage on other processors, where what it trains can be read from the rows."""
    life = [row for row in rows if row.experiment == "lifecycle"]
    vocabulary = _of_seed(life, "encoding", report.article()["encoding"].reference, "vocabulary")
    sizes = _of_seed(life, "finetuning", "classical/full", "model_parameters")
    spaces = {row.seed: row.config for row in life if row.stage == "architecture"}
    for name in STAGES:
        best = compare.best_classical(select.arms(life, name), report.article()[name])
        if best is None:
            continue
        seeds = [seed for seed in best.ok if seed in vocabulary and seed in spaces]
        trained = [found for s in seeds if (found := _training(best.ok[s], spaces[s], vocabulary[s], sizes.get(s)))]
        measured = {
            field: float(np.mean([row.measured[field] for row in best.ok.values()]))
            for field in ("energy_j", "energy_low_j", "energy_high_j")
        } | {field: best.any.measured[field] for field in ("meter", "provenance")}

        def make(trained: Sequence[Training] = trained, measured: Mapping[str, Any] = measured) -> dict[str, Any]:
            return priced(_mean(trained)) | {"measured": measured} if trained else {"note": UNCOUNTED}

        inputs = {"seeds": seeds, "energy_j": measured["energy_j"]}
        ledger.row("processors", name, best.any.arm, {"inputs": inputs}, make)


def _mean(trained: Sequence[Training]) -> Training:
    work = functools.reduce(Flops.__add__, (one.work for one in trained)).times(1 / len(trained))
    means = np.mean([[one.parameters, one.tokens, one.steps] for one in trained], axis=0)
    return Training(work, *means.tolist())


def _of_seed(rows: Sequence[Record], stage: str, arm: str, metric: str) -> dict[int, float]:
    own = select.arms(rows, stage).get(arm)
    return {seed: row.metrics[metric] for seed, row in own.ok.items()} if own else {}


def _training(row: Record, space: Mapping[str, Any], vocabulary: float, size: float | None) -> Training | None:
    """What an arm that trains the model trains; None for any other arm.

    The architecture is not in the rows: it is the candidate of stage 3 that has as many parameters as the model that
    was fine-tuned.
    """
    config = row.config
    models = [
        transformer.Config(int(vocabulary), space["context"], width, depth, space["heads"])
        for depth in space["depths"]
        for width in space["widths"]
    ]
    if row.stage == "architecture" and "trainings" in row.metrics:
        # Every candidate is as likely to be drawn, so a training costs their mean.
        found = [counted(model, config["batch"]) for model in models]
        steps = row.metrics["trainings"] * config["steps"]
        tokens = config["batch"] * space["context"]
        return _mean([Training(work.times(steps), parameters, tokens, steps) for work, parameters in found])
    method = row.arm.partition("/")[2]
    if row.stage == "training" and method in OPTIMISERS:
        trial = min(config["trial_steps"], config["steps"])
        steps = config["steps"] + (len(OPTIMISERS[method].multiples) - 1) * trial
    elif (row.stage, method) == ("finetuning", "full"):
        steps = config["steps"] * len(config["trials"])
    else:
        return None
    for model in models:
        work, parameters = counted(model, config["batch"])
        if parameters == size:
            return Training(work.times(steps), parameters, config["batch"] * space["context"], steps)
    return None
