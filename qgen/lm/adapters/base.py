"""What every adapter shares: a start, a stored matrix, a count; and how adapters sit in a tree of parameters.

An adapter is a frozen dataclass of static settings. For one matrix [in, out] it gives what is trained and what stays
frozen beside it, and from both the matrix that the model uses. Training and merging use the same function, so merging
is exact.
"""

import functools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax

from qgen import check
from qgen.lm import losses, weights
from qgen.lm.losses import Objective
from qgen.lm.transformer import Config
from qgen.types import Array, Float, Key, Params


class Start(NamedTuple):
    """What an adapter adds to one matrix, or under a place per matrix to a whole tree.

    Attributes:
        trained: what is trained.
        frozen: arrays that the adapter needs but does not train (random projections, singular vectors, a scale).
    """

    trained: Params
    frozen: Params


class Adapter(Protocol):
    """One way to adapt a matrix with few numbers. Implementations are frozen dataclasses of static settings."""

    def init(self, key: Key, base: Float[Array, "in out"]) -> Start:
        """A start that leaves the matrix as it is.

        Args:
            key: the random key.
            base: the matrix to adapt.

        Raises:
            ValueError: if the settings do not fit the matrix's shape.
        """
        ...

    def stored(self, base: Any, trained: Params, frozen: Params) -> Any:
        """The adapted matrix as the model stores it: an array, or base, a and b apart (see `weights`).

        Args:
            base: the matrix, as it is stored.
            trained: as `init` made it, trained or not.
            frozen: as `init` made it.
        """
        ...

    def count(self, shape: tuple[int, ...]) -> int:
        """How many numbers are trained for a matrix [in, out].

        Args:
            shape: in and out.

        Raises:
            ValueError: if the settings do not fit the shape.
        """
        ...


BLOCKS = ("qkv", "out", "up", "down")
"""The matrices of the transformer's blocks, by the names of their layers."""


def matrices(params: Params, targets: Sequence[str] | None = None) -> dict[str, Any]:
    """Place -> matrix, as it is stored, such as "block_0/attention/qkv" -> [in, out].

    Args:
        params: nested dicts in which a layer's matrix is called "kernel".
        targets: names of layers; None takes every one.

    Raises:
        ValueError: if no layer has one of the names.
    """
    found = dict(_kernels(params, ()))
    if targets is None:
        return found
    names = sorted({place.rsplit("/", 1)[-1] for place in found})
    for target in targets:
        check.one_of("targets", target, names)
    return {place: kernel for place, kernel in found.items() if place.rsplit("/", 1)[-1] in targets}


def _kernels(params: Params, path: tuple[str, ...]):
    if not isinstance(params, Mapping):
        return
    for name, inner in params.items():
        if name == "kernel":
            yield "/".join(path), inner
        else:
            yield from _kernels(inner, (*path, name))


def init(key: Key, params: Params, adapter: Adapter, targets: Sequence[str] | None = None) -> Start:
    """Starts an adapter on every chosen matrix of a tree; works under vmap over keys.

    Args:
        key: the random key; a matrix's own key follows from its place, not from the order of places.
        params: the model's parameters, some of which may be quantised.
        adapter: the adapter.
        targets: as in `matrices`.

    Returns:
        A Start whose `trained` and `frozen` hold one entry per place.

    Raises:
        ValueError: if the adapter does not fit a matrix, or a target is unknown.
    """
    starts = {
        place: adapter.init(jax.random.fold_in(key, zlib.crc32(place.encode())), weights.dense(kernel))
        for place, kernel in matrices(params, targets).items()
    }
    return Start({place: s.trained for place, s in starts.items()}, {place: s.frozen for place, s in starts.items()})


def attach(params: Params, adapter: Adapter, trained: Params, frozen: Params) -> Params:
    """The model's parameters with adapted matrices, in the form that is cheapest to train.

    Args:
        params: the model's parameters, which stay frozen.
        adapter: the adapter.
        trained: from `init`, trained or not.
        frozen: from `init`.
    """
    found = matrices(params)
    changed = {place: adapter.stored(found[place], trained[place], frozen[place]) for place in trained}
    return replaced(params, changed)


def merge(params: Params, adapter: Adapter, trained: Params, frozen: Params) -> Params:
    """Plain parameters: every adapted matrix as one array in the type of its base (float32 from int8)."""
    found = matrices(params)
    changed = {
        place: weights.dense(adapter.stored(found[place], trained[place], frozen[place])).astype(
            weights.dense(found[place]).dtype
        )
        for place in trained
    }
    return replaced(params, changed)


def replaced(params: Params, changed: Mapping[str, Any], path: tuple[str, ...] = ()) -> Params:
    """New dicts around the same arrays, with some matrices changed.

    Args:
        params: nested dicts, as in `matrices`.
        changed: place -> matrix.
        path: where `params` is in the whole.
    """
    if not isinstance(params, Mapping):
        return params
    return {
        name: changed.get("/".join(path), inner) if name == "kernel" else replaced(inner, changed, (*path, name))
        for name, inner in params.items()
    }


@functools.lru_cache
def adapted(objective: Objective, adapter: Adapter) -> Objective:
    """An objective of a model as one of an adapter's trained numbers; `extra`: base, frozen, the objective's own extra.

    Args:
        objective: of the model's parameters.
        adapter: the adapter.
    """

    def of_trained(trained: Params, extra: Any, inputs: Array, targets: Array, key: Key) -> Array:
        params, frozen, inner = extra
        return objective(attach(params, adapter, trained, frozen), inner, inputs, targets, key)

    return of_trained


def objective(config: Config, adapter: Adapter) -> Objective:
    """Cross-entropy as a function of the trained numbers; `extra` is (base, frozen, ()). For `train.fit`."""
    return adapted(losses.cross_entropy(config), adapter)


def count(params: Params, adapter: Adapter, targets: Sequence[str] | None = None) -> int:
    """How many numbers an adapter trains on the chosen matrices of a tree."""
    return sum(adapter.count(weights.dense(kernel).shape) for kernel in matrices(params, targets).values())


def check_rank(rank: int, shape: tuple[int, ...]) -> None:
    """Raises ValueError if a rank is above that of a matrix [in, out]."""
    if rank > min(shape):
        raise ValueError(
            f"Argument `rank` must be at most {min(shape)} for a matrix {shape[0]} x {shape[1]}, but is {rank}."
        )
