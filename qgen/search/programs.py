"""The compiled programs of a sweep: how wide they are, and where their lanes' states lie."""

import dataclasses
import functools
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from qgen import check
from qgen.types import Array, Key

AXIS = "population"
PROBE = {"cpu": 1}
"""Lanes per device of the first program that is compiled, whose memory tells how many lanes fit."""
PROBE_ELSEWHERE = 8
WORTH_COMPILING = 4
"""A second compilation, for less than this many times the lanes, would not pay."""
WORTH_STEPS = 20_000
"""Nor would it on a CPU, where lanes side by side gain 1.2 to 1.4 times, for fewer steps of all lanes together."""
CACHE_BYTES = 2 << 20
"""What a chunk may take on a CPU, beyond which lanes side by side get slower than lanes one after the other."""
SHARE = 0.8
"""The share of an accelerator's free memory that a chunk may take."""
MOST_LANES = 1 << 14


class Objective(NamedTuple):
    """A training run as pure functions; a config holds Python values on static axes and traced numbers on the others.

    Attributes:
        name: what records and storages call it; two objectives of one name are taken for the same.
        init: `(key, config) -> state`, a pytree of arrays.
        step: `(key, state, config, t) -> state`; step t uses `fold_in(key, t)`.
        loss: `(state, config) -> loss`, a scalar, the validation loss: lower is better, NaN is a failure.
        steps: steps of a whole run, at least 1.
    """

    name: str
    init: Callable[[Key, Mapping[str, Any]], Any]
    step: Callable[[Key, Any, Mapping[str, Any], Array], Any]
    loss: Callable[[Any, Mapping[str, Any]], Array]
    steps: int


def function(name: str, fn: Callable[[Key, Mapping[str, Any]], Array]) -> Objective:
    """The objective `(key, config) -> loss` of a run that cannot be stopped halfway."""
    return Objective(
        name,
        init=lambda key, config: jnp.asarray(fn(key, config), jnp.float32),
        step=lambda key, state, config, t: state,
        loss=lambda state, config: state,
        steps=1,
    )


@dataclasses.dataclass
class Group:
    """The lanes that share a program.

    Attributes:
        static: the values of the static axes.
        lanes: which lanes.
        rows: where each lane lies in the states.
        states: the lanes' states on the devices, between rungs.
    """

    static: dict[str, Any]
    lanes: list[int]
    rows: list[int] = dataclasses.field(default_factory=list)
    states: Any = None

    def keep(self, lanes: Collection[int]) -> None:
        """Lets the other lanes go; those that stay close up when they go on."""
        kept = [place for place, lane in enumerate(self.lanes) if lane in lanes]
        self.rows = [self.rows[place] for place in kept] if self.rows else []
        self.lanes = [self.lanes[place] for place in kept]


class Programs:
    """Compiles, caches and runs the programs of one sweep."""

    def __init__(
        self, objective: Objective, dtypes: Mapping[str, type], mesh: Mesh | None, memory_bytes: float | None
    ) -> None:
        check.at_least("objective.steps", objective.steps, 1)
        if mesh is not None:
            check.one_of("mesh.axis_names", AXIS, mesh.axis_names)
        if memory_bytes is not None:
            check.positive("memory_bytes", memory_bytes)
        self.objective, self.dtypes, self.mesh, self.limit = objective, dict(dtypes), mesh, memory_bytes
        self.devices = 1 if mesh is None else mesh.size
        self.ahead = (os.cpu_count() or 1) + 1 if jax.process_count() == 1 else 1
        self.widths: dict[tuple, int] = {}
        self.lane_steps = 0
        self.compile_s = 0.0

    def advance(
        self, group: Group, configs: Sequence[Mapping[str, Any]], keys: Key, start: int, stop: int, in_parts: bool
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Runs a group's lanes from step `start` to `stop`, chunk by chunk; gives each chunk's lanes and losses.

        Args:
            group: the lanes.
            configs: the values of every lane of the sweep.
            keys: the keys of every lane of the sweep.
            start: steps done.
            stop: steps done in the end.
            in_parts: whether the lanes' states are to be kept for later steps.
        """
        if not group.lanes:
            return
        lanes = np.asarray(group.lanes)
        width = self._width(group.static, len(lanes), in_parts)
        data = np.asarray(jax.random.key_data(keys))
        after: Any = None
        # A CPU runs independent chunks side by side, and an accelerator does not wait for the host in between.
        pending: deque[tuple[list[int], Array]] = deque()
        for first in range(0, len(lanes), width):
            # The last chunk is filled up with its last lane.
            chosen = np.minimum(np.arange(first, first + width), len(lanes) - 1)
            inputs = {
                name: np.asarray([configs[lane][name] for lane in lanes[chosen]], dtype)
                for name, dtype in self.dtypes.items()
            }
            own = data[lanes[chosen]]
            if in_parts:
                if group.states is None:
                    state = self._compiled("init", group.static, width)(own, inputs)
                else:
                    state = _taker(self._sharding())(group.states, np.asarray(group.rows, np.int32)[chosen])
                state, losses = self._compiled("part", group.static, width)(
                    own, inputs, state, np.int32(start), np.int32(stop)
                )
                if len(lanes) <= width:
                    after = state
                else:
                    after = _maker(-(-len(lanes) // width) * width, self._sharding())(state) if after is None else after
                    after = _putter(self._sharding())(after, state, np.int32(first))
            else:
                losses = self._compiled("whole", group.static, width)(own, inputs)
            self.lane_steps += width * (stop - start)
            pending.append((lanes[first : first + width].tolist(), losses))
            if len(pending) >= self.ahead:
                yield _gathered(*pending.popleft())
        while pending:
            yield _gathered(*pending.popleft())
        if in_parts:
            group.states = after
            group.rows = list(range(len(lanes)))

    def _width(self, static: dict[str, Any], lanes: int, in_parts: bool) -> int:
        """Lanes per chunk: as many as the memory holds, no more than there are, rounded to the devices."""
        wanted = _rounded_up(lanes, self.devices)
        name = (*static.items(), in_parts)
        if name not in self.widths:
            device = jax.local_devices()[0] if self.mesh is None else self.mesh.local_devices[0]
            probe = min(wanted, self.devices * PROBE.get(device.platform, PROBE_ELSEWHERE))
            needed = self._lane_bytes(static, probe, in_parts)
            limit = self.limit or _memory(device)
            if needed > limit:
                raise ValueError(
                    f"A lane of {self.objective.name} needs {needed / 2**20:.3g} MiB, but a device has "
                    f"{limit / 2**20:.3g} MiB for them."
                )
            chosen_here = self.limit is None and device.platform == "cpu"
            aim = CACHE_BYTES if chosen_here else limit
            fits = self.devices * 2 ** int(np.log2(max(1, min(aim / needed, MOST_LANES))))
            few = chosen_here and lanes * self.objective.steps < WORTH_STEPS
            self.widths[name] = probe if few or probe <= fits < WORTH_COMPILING * probe else fits
        return min(self.widths[name], wanted)

    def _lane_bytes(self, static: dict[str, Any], probe: int, in_parts: bool) -> float:
        compiled = self._compiled("part" if in_parts else "whole", static, probe)
        return max(1.0, _bytes(compiled) / (probe // self.devices))

    def _sharding(self) -> NamedSharding | None:
        return None if self.mesh is None else NamedSharding(self.mesh, P(AXIS))

    def _compiled(self, kind: str, static: dict[str, Any], width: int) -> Any:
        before = time.perf_counter()
        compiled = _program(kind, self.objective, tuple(static.items()), tuple(self.dtypes.items()), width, self.mesh)
        self.compile_s += time.perf_counter() - before
        return compiled


@functools.lru_cache(maxsize=256)
def _program(
    kind: str,
    objective: Objective,
    static: tuple[tuple[str, Any], ...],
    dtypes: tuple[tuple[str, type], ...],
    width: int,
    mesh: Mesh | None,
) -> Any:
    """Compiles one program: "whole" (key, config -> loss), "init" (-> state) or "part" (state -> state, loss)."""

    def steps(key: Key, state: Any, config: dict[str, Any], start: Any, stop: Any) -> Any:
        def step(t: Array, state: Any) -> Any:
            return objective.step(jax.random.fold_in(key, t), state, config, t)

        return jax.lax.fori_loop(start, stop, step, state)

    def init(data: Array, traced: dict[str, Array]) -> Any:
        return objective.init(jax.random.wrap_key_data(data), dict(static) | traced)

    def whole(data: Array, traced: dict[str, Array]) -> Array:
        config = dict(static) | traced
        state = objective.init(jax.random.wrap_key_data(data), config)
        return objective.loss(steps(jax.random.wrap_key_data(data), state, config, 0, objective.steps), config)

    def part(data: Array, traced: dict[str, Array], state: Any, start: Array, stop: Array) -> tuple[Any, Array]:
        config = dict(static) | traced
        state = steps(jax.random.wrap_key_data(data), state, config, start, stop)
        return state, objective.loss(state, config)

    key_shape = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    data = jax.ShapeDtypeStruct((width, *key_shape.shape), key_shape.dtype)
    traced = {name: jax.ShapeDtypeStruct((width,), dtype) for name, dtype in dtypes}
    lane, shapes = {"whole": (whole, (data, traced)), "init": (init, (data, traced)), "part": (part, (data, traced))}[
        kind
    ]
    axes: tuple[int | None, ...] = (0, 0)
    if kind == "part":
        number = jax.ShapeDtypeStruct((), jnp.int32)
        shapes = (*shapes, jax.eval_shape(jax.vmap(init), data, traced), number, number)
        axes = (0, 0, 0, None, None)
    batched = jax.vmap(lane, in_axes=axes) if width > 1 else _single(lane, axes)
    if mesh is None:
        return jax.jit(batched).lower(*shapes).compile()
    specs = tuple(P() if axis is None else P(AXIS) for axis in axes)
    # Nothing is replicated and nothing is exchanged, so there is nothing for the check of replication to find.
    spread = jax.shard_map(batched, mesh=mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False)
    places = tuple(NamedSharding(mesh, spec) for spec in specs)
    return jax.jit(spread, in_shardings=places, out_shardings=NamedSharding(mesh, P(AXIS))).lower(*shapes).compile()


def _single(lane: Callable[..., Any], axes: Sequence[int | None]) -> Callable[..., Any]:
    """A lane as a population of one, which compiles faster than vmap's."""

    def alone(*arguments: Any) -> Any:
        own = [
            value if axis is None else jax.tree.map(lambda leaf: leaf[0], value)
            for value, axis in zip(arguments, axes, strict=True)
        ]
        return jax.tree.map(lambda leaf: leaf[None], lane(*own))

    return alone


@functools.lru_cache(maxsize=256)
def _bytes(compiled: Any) -> int:
    """What a program takes on each device."""
    found = compiled.memory_analysis()
    return found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes


@functools.lru_cache
def _taker(sharding: NamedSharding | None) -> Any:
    """Takes rows of the states, laid out over the devices as the programs expect them."""

    def take(states: Any, rows: Array) -> Any:
        return jax.tree.map(lambda leaf: leaf[rows], states)

    return jax.jit(take) if sharding is None else jax.jit(take, out_shardings=sharding)


@functools.lru_cache
def _putter(sharding: NamedSharding | None) -> Any:
    """Puts a chunk's states into the rows of a buffer that holds a whole group's."""

    def put(buffer: Any, part: Any, row: Array) -> Any:
        return jax.tree.map(lambda b, p: jax.lax.dynamic_update_slice_in_dim(b, p, row, 0), buffer, part)

    return (
        jax.jit(put, donate_argnums=0) if sharding is None else jax.jit(put, donate_argnums=0, out_shardings=sharding)
    )


@functools.lru_cache
def _maker(rows: int, sharding: NamedSharding | None) -> Any:
    """A buffer of so many rows for states like the given ones."""

    def make(part: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros((rows, *leaf.shape[1:]), leaf.dtype), part)

    return jax.jit(make) if sharding is None else jax.jit(make, out_shardings=sharding)


def _rounded_up(lanes: int, devices: int) -> int:
    """The next power of two of lanes per device, so that few widths are compiled."""
    return devices * 2 ** max(0, (-(-lanes // devices) - 1).bit_length())


def _memory(device: Any) -> float:
    """Bytes that a chunk may take on a device."""
    statistics = device.memory_stats() or {}
    if "bytes_limit" in statistics:
        return SHARE * (statistics["bytes_limit"] - statistics.get("bytes_in_use", 0))
    return SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gathered(lanes: list[int], losses: Array) -> tuple[list[int], np.ndarray]:
    """A chunk's lanes and their losses, of all processes and on each of them."""
    whole = losses if losses.is_fully_addressable else multihost_utils.process_allgather(losses, tiled=True)
    return lanes, np.asarray(whole, dtype=float)[: len(lanes)]
