"""Low-rank adapters (LoRA, arXiv:2106.09685): train a @ b beside frozen matrices, and merge exactly when done."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from qgen import check
from qgen.lm import losses, weights
from qgen.lm.losses import Objective
from qgen.lm.transformer import Config
from qgen.types import Array, Key, Params

TARGETS = ("qkv", "out", "up", "down")
"""The matrices of a block, by the names in its parameters."""

Adapters = dict[str, dict[str, Array]]
"""Place of a matrix, such as "block_0/attention/qkv" -> {"a": [in, rank], "b": [rank, out]}."""


def init(key: Key, params: Params, rank: int, targets: Sequence[str] = TARGETS) -> Adapters:
    """Adapters that change nothing yet: b is zero, a is normal with deviation 1 / sqrt(in).

    Args:
        key: the random key.
        params: the model's parameters.
        rank: columns of a, at least 1.
        targets: which matrices get an adapter.

    Raises:
        ValueError: if the rank is below 1 or a target is unknown.
    """
    check.at_least("rank", rank, 1)
    for target in targets:
        check.one_of("targets", target, TARGETS)
    adapters: Adapters = {}
    for place, kernel in kernels(params).items():
        if place.rsplit("/", 1)[-1] in targets:
            fan_in, fan_out = weights.dense(kernel).shape
            a = jax.random.normal(jax.random.fold_in(key, len(adapters)), (fan_in, rank)) * fan_in**-0.5
            adapters[place] = {"a": a, "b": jnp.zeros((rank, fan_out))}
    return adapters


def kernels(params: Params) -> dict[str, Array]:
    """Place -> matrix for every matrix inside the blocks, in order."""
    return {
        f"{block}/{part}/{name}": params[block][part][name]["kernel"]
        for block in sorted((name for name in params if name.startswith("block_")), key=lambda name: int(name[6:]))
        for part in params[block]
        for name in params[block][part]
    }


def attach(params: Params, adapters: Adapters) -> Params:
    """Parameters whose adapted matrices are kept apart as base, a and b: what training uses.

    The weight gradient of a thin pair costs far less than that of the wide matrix, which stays frozen.

    Args:
        params: the model's parameters; a base may be quantised.
        adapters: what `init` made, trained or not.
    """
    return _replace(params, {place: {"base": kernels(params)[place], **pair} for place, pair in adapters.items()})


def merge(params: Params, adapters: Adapters) -> Params:
    """Plain parameters in which every adapted matrix is base + a @ b, in the type of the base (float32 from int8)."""
    base = {place: weights.dense(kernel) for place, kernel in kernels(params).items()}
    return _replace(
        params,
        {place: base[place] + (pair["a"] @ pair["b"]).astype(base[place].dtype) for place, pair in adapters.items()},
    )


def _replace(params: Params, changed: dict[str, Params]) -> Params:
    result = jax.tree.map(lambda leaf: leaf, params)  # new dicts around the same arrays
    for place, kernel in changed.items():
        block, part, name = place.split("/")
        result[block][part][name]["kernel"] = kernel
    return result


@functools.lru_cache
def objective(config: Config) -> Objective:
    """Cross-entropy as a function of the adapters; `extra` holds the frozen parameters. For `train.fit`."""

    def adapted_loss(adapters: Adapters, extra: Params, inputs: Array, targets: Array, key: Key) -> Array:
        return losses.loss(attach(extra, adapters), config, inputs, targets, key=key)

    return adapted_loss
