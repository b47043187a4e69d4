"""Arms of fine-tuning that train an adapter on every matrix of the blocks and merge it exactly."""

import functools
from collections.abc import Callable, Mapping

import jax

from qgen.lm import adapters, transformer
from qgen.lm.adapters import Adapter, Start
from qgen.stages.base import Arm, Outcome
from qgen.stages.few_samples import Config, Problem, answered, tuned
from qgen.types import Key, Params


def adapted(config: Config, name: str, adapter: Adapter) -> Arm:
    """The arm that trains an adapter.

    Args:
        config: the stage's settings.
        name: the arm's name.
        adapter: the adapter, for every matrix of the blocks.
    """

    def solve(key: Key, problem: Problem) -> Outcome:
        start = started(key, problem.params, adapter)
        objective = adapters.objective(problem.model, adapter)
        trained, trace = tuned(
            *(key, problem, config, config.adapter_rate, start.trained, objective),
            (problem.params, start.frozen, ()),
            lambda trained, extra: merged(extra[0], adapter, trained, extra[1]),
            problem.model,
        )
        params = merged(problem.params, adapter, trained, start.frozen)
        return answered(problem, params, transformer.size(trained), trace)

    family = name.split("/")[0]
    claim = "; quantum-inspired: it runs classically" if family == "inspired" else ""
    return Arm(name, solve, f"{adapter} on every matrix of the blocks{claim}")


@functools.partial(jax.jit, static_argnames="adapter")
def started(key: Key, params: Params, adapter: Adapter) -> Start:
    """An adapter's start on the matrices of the blocks; one program for all keys."""
    return adapters.init(key, params, adapter, adapters.BLOCKS)


@functools.partial(jax.jit, static_argnames="adapter")
def merged(params: Params, adapter: Adapter, trained: Params, frozen: Params) -> Params:
    """Plain parameters with the adapter merged in."""
    return adapters.merge(params, adapter, trained, frozen)


ADAPTERS: Mapping[str, Callable[[Config], Adapter]] = {
    "classical/lora": lambda config: adapters.Lora(config.rank),
    "classical/rslora": lambda config: adapters.RsLora(config.rank),
    "classical/vera": lambda config: adapters.Vera(16 * config.rank),
    "classical/lokr": lambda config: adapters.Lokr(config.rank),
    "classical/boft": lambda config: adapters.Boft(),
    "classical/tinylora": lambda config: adapters.TinyLora(config.rank, config.rank**2),
    "inspired/quantum_peft": lambda config: adapters.QuantumPeft(config.rank),
    "inspired/quanta": lambda config: adapters.Quanta(),
    "inspired/compound": lambda config: adapters.Compound(),
}
"""Arm -> its adapter; sizes follow the rank where the adapter has one."""

ARMS: Mapping[str, Callable[[Config], Arm]] = {
    name: lambda config, name=name, made=made: adapted(config, name, made(config)) for name, made in ADAPTERS.items()
}
DEEP = frozenset(ADAPTERS) - {"classical/lora"}
