"""Operations and bytes of a JAX function, by walking its jaxpr: a loop counts as often as it runs.

XLA's `cost_analysis` counts the body of a loop once, which is wrong by the trip count. Here `scan` (and so `fori_loop`
with a known trip count) multiplies, `cond` takes its dearest branch, and a `while` whose trip count nobody knows counts
once and is flagged.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.energy import ranges
from qgen.energy.ranges import Range, TableError
from qgen.types import Array, Float, Key

PATH = Path(__file__).with_name("processors.toml")


class Flops(NamedTuple):
    """What a function computes.

    Attributes:
        flops: floating-point operations; a multiply-add is two, a complex one eight, any other element-wise operation
            one per element.
        bytes: memory traffic: operands and results of the operations that XLA does not fuse (products, convolutions,
            reductions, gathers, scatters, sorts), and at least the function's own inputs and outputs.
        unbounded: whether it holds a loop of unknown length, counted once: then all is a lower bound.
        unknown: primitives that run code from outside JAX, counted as nothing.
    """

    flops: float
    bytes: float
    unbounded: bool = False
    unknown: tuple[str, ...] = ()

    def __add__(self, other: "Flops") -> "Flops":  # pyright: ignore[reportIncompatibleMethodOverride]
        return Flops(
            self.flops + other.flops,
            self.bytes + other.bytes,
            self.unbounded or other.unbounded,
            tuple(sorted({*self.unknown, *other.unknown})),
        )

    def times(self, repeats: float) -> "Flops":
        """The same work `repeats` times."""
        return self._replace(flops=self.flops * repeats, bytes=self.bytes * repeats)


NOTHING = Flops(0.0, 0.0)
FREE = frozenset(
    "broadcast_in_dim reshape squeeze expand_dims transpose convert_element_type bitcast_convert_type copy copy_p "
    "iota slice dynamic_slice dynamic_update_slice concatenate pad rev gather select_n stop_gradient device_put "
    "sharding_constraint random_wrap random_unwrap random_seed optimization_barrier split real imag complex eq ne "
    "lt le gt ge and or not xor shift_left shift_right_logical shift_right_arithmetic is_finite top_k pvary "
    "pbroadcast psum all_gather all_to_all ppermute empty create_token axis_index".split()
)
"""Moving, comparing and choosing is no arithmetic (its bytes count where it is not fused)."""
OUTSIDE = frozenset("pure_callback io_callback ffi_call custom_call pallas_call debug_callback".split())
UNFUSED = frozenset(
    "dot_general ragged_dot conv_general_dilated gather scatter scatter-add scatter_add scatter_mul scatter_min "
    "scatter_max sort fft cholesky eigh svd lu qr geqrf triangular_solve dynamic_update_slice cumsum cumprod cummax "
    "cummin cumlogsumexp reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or argmax argmin "
    "reduce_window_sum reduce_window_max".split()
)
COMPLEX = {"mul": 6, "div": 11}
"""Real operations of an element-wise complex one; 2 for all others."""


def count(fn: Callable[..., Any], *args: Any) -> Flops:
    """Counts the work of `fn(*args)` without running it.

    Args:
        fn: a JAX function.
        *args: its arguments, or their `jax.ShapeDtypeStruct`s.

    Returns:
        Flops.
    """
    closed = jax.make_jaxpr(fn)(*args)
    found = _walk(closed.jaxpr)
    ends = sum(_bytes(v) for v in (*closed.jaxpr.invars, *closed.jaxpr.outvars))
    return found._replace(bytes=max(found.bytes, float(ends)))


def _walk(jaxpr: Any) -> Flops:
    total = NOTHING
    for eqn in jaxpr.eqns:
        total += _equation(eqn)
    return total


def _equation(eqn: Any) -> Flops:
    name, params = eqn.primitive.name, eqn.params
    if name in OUTSIDE:
        return Flops(0.0, 0.0, unknown=(name,))
    if name == "scan":
        return _walk(_opened(params["jaxpr"])).times(params["length"])
    if name == "cond":
        branches = [_walk(_opened(branch)) for branch in params["branches"]]
        dearest = max(branches, key=lambda branch: (branch.flops, branch.bytes))
        return dearest._replace(
            unbounded=any(b.unbounded for b in branches),
            unknown=tuple(sorted({u for b in branches for u in b.unknown})),
        )
    if name == "while":
        once = _walk(_opened(params["body_jaxpr"])) + _walk(_opened(params["cond_jaxpr"]))
        return once._replace(unbounded=True)
    if name == "custom_linear_solve":  # its other jaxprs serve differentiation
        return _walk(_opened(params["jaxprs"].solve))
    inner = list(_inner(params.values()))
    if inner and not name.startswith("reduce") and not name.startswith("scatter"):
        shards = params["mesh"].size if name == "shard_map" else params.get("axis_size", 1) if name == "xla_pmap" else 1
        return sum((_walk(jaxpr) for jaxpr in inner), NOTHING).times(shards)
    traffic = sum(_bytes(v) for v in (*eqn.invars, *eqn.outvars)) if name in UNFUSED else 0.0
    return Flops(_flops(name, eqn), float(traffic))


def _opened(jaxpr: Any) -> Any:
    """The jaxpr inside a closed one."""
    return getattr(jaxpr, "jaxpr", jaxpr)


def _inner(values: Any) -> Iterator[Any]:
    """Every jaxpr among the parameters of an equation (calls, custom derivatives, remat, shard_map)."""
    for value in values:
        if hasattr(value, "jaxpr") and hasattr(value.jaxpr, "eqns"):
            yield value.jaxpr
        elif hasattr(value, "eqns"):
            yield value
        elif isinstance(value, tuple | list):
            yield from _inner(value)


def _flops(name: str, eqn: Any) -> float:
    shapes = [tuple(v.aval.shape) for v in eqn.invars if hasattr(v.aval, "shape")]
    out = eqn.outvars[0].aval
    size = math.prod(out.shape) if hasattr(out, "shape") else 0
    dtype = getattr(out, "dtype", jnp.int32)
    is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
    fold = 4 if is_complex else 1
    if name == "dot_general":
        (left, _), _ = eqn.params["dimension_numbers"]
        return fold * 2.0 * size * math.prod(shapes[0][axis] for axis in left)
    if name == "conv_general_dilated":
        numbers = eqn.params["dimension_numbers"]
        window = math.prod(shapes[1][axis] for axis in numbers.rhs_spec[2:])
        return fold * 2.0 * size * window * shapes[1][numbers.rhs_spec[1]]
    if not jnp.issubdtype(dtype, jnp.inexact):  # counters, masks and random bits
        return 0.0
    if name == "fft":
        length = math.prod(eqn.params["fft_lengths"])
        return 5.0 * math.prod(shapes[0]) * math.log2(max(length, 2))
    if name in DENSE:
        return fold * DENSE[name](shapes[0], shapes[-1])
    if name.startswith("reduce_window"):
        return size * (math.prod(eqn.params["window_dimensions"]) - 1.0)
    if name.startswith(("reduce_", "arg")):
        return (2 if is_complex else 1) * max(0.0, math.prod(shapes[0]) - float(size))
    if name.startswith("cum"):
        return float(math.prod(shapes[0]))
    if name == "sort":
        axis = shapes[0][eqn.params["dimension"]]
        return math.prod(shapes[0]) * math.log2(max(axis, 2))
    if name.startswith("scatter"):
        return float(math.prod(shapes[-1])) if name != "scatter" else 0.0
    if name in FREE or name.startswith("random_"):
        return 0.0
    if name == "integer_pow":
        power = abs(eqn.params["y"])
        return size * (COMPLEX["mul"] if is_complex else 1) * max(1.0, math.floor(math.log2(max(power, 1))))
    return size * (COMPLEX.get(name, 2.0) if is_complex else 1.0)


def _batch(shape: Sequence[int]) -> int:
    return math.prod(shape[:-2])


DENSE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], float]] = {
    "cholesky": lambda a, _: _batch(a) * a[-1] ** 3 / 3,
    "lu": lambda a, _: _batch(a) * 2 * a[-1] ** 3 / 3,
    "triangular_solve": lambda a, b: _batch(b) * a[-1] ** 2 * (math.prod(b[-2:]) / a[-1]),
    "geqrf": lambda a, _: _batch(a) * 2 * min(a[-2:]) ** 2 * (max(a[-2:]) - min(a[-2:]) / 3),
    "qr": lambda a, _: _batch(a) * 2 * min(a[-2:]) ** 2 * (max(a[-2:]) - min(a[-2:]) / 3),
    "eigh": lambda a, _: _batch(a) * 9.0 * a[-1] ** 3,
    "svd": lambda a, _: _batch(a) * 22.0 * min(a[-2:]) ** 2 * max(a[-2:]),
}
"""Leading terms of the textbook counts (Golub and Van Loan); the iterative ones are typical values."""


def _bytes(variable: Any) -> int:
    aval = variable.aval
    if not hasattr(aval, "shape"):
        return 0
    try:
        width = np.dtype(aval.dtype).itemsize
    except TypeError:  # random keys
        width = 8
    return math.prod(aval.shape) * width


def load(path: Path = PATH) -> dict[str, dict[str, Range]]:
    """Classical processors: name -> `j_per_flop` and `j_per_byte`.

    Raises:
        TableError: naming file, entry and field, for anything that breaks a rule.
    """
    table = ranges.read(path)
    sources = table.pop("sources", {})
    units = {"j_per_flop": "J/FLOP", "j_per_byte": "J/B"}
    processors: dict[str, dict[str, Range]] = {}
    for name, row in table.items():
        if set(row) != set(units):
            raise TableError(
                f"{path.name}: entry `{name}` must have the fields {sorted(units)}, but has {sorted(row)}."
            )
        processors[name] = {field: ranges.parse(path.name, name, field, value, sources) for field, value in row.items()}
        for field, unit in units.items():
            if processors[name][field].unit != unit:
                raise TableError(f"{path.name}: entry `{name}`, field `{field}`: must be in {unit!r}.")
    return processors


def price(work: Flops, processor: dict[str, Range], key: Key, draws: int = 10_000) -> Float[Array, "draws"]:
    """Projected energy of the work on a processor: the dearer of arithmetic and memory traffic.

    The energies per operation are those of whole boards at their usual load, so arithmetic already pays for its share
    of the memory; adding both would count it twice.

    Args:
        work: what is computed.
        processor: an entry of `load`.
        key: random key.
        draws: draws of the ranges.

    Returns:
        Joules, [draws].

    Raises:
        ValueError: if part of the work could not be counted.
    """
    check.at_least("draws", draws, 1)
    if work.unbounded or work.unknown:
        what = "a loop of unknown length" if work.unbounded else f"the primitives {', '.join(work.unknown)}"
        raise ValueError(f"Argument `work` holds {what}, whose work is not counted: it has no price.")
    u_flops, u_bytes = jax.random.uniform(key, (2, draws))
    arithmetic = work.flops * processor["j_per_flop"].quantile(u_flops)
    return jnp.maximum(arithmetic, work.bytes * processor["j_per_byte"].quantile(u_bytes))
