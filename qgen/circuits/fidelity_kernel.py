"""The fidelity kernel of a feature map: the Gram matrix of its states."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits.circuit import Circuit
from qgen.circuits.engine import EXACT
from qgen.circuits.memory import check_bytes, check_memory
from qgen.circuits.statevector import apply
from qgen.types import Array, Complex, Float

BLOCKS = 4
BLOCKS_FROM = 512
"""A symmetric Gram matrix of at least so many rows is computed in blocks, those below the diagonal by reflection.

Measured on two cores (docs/ratios.jsonl): 0.7 to 1.0 of the whole product's time from 512 rows on, 1.3 to 1.5 at 256.
"""


def gram(circuit: Circuit, x: Any, y: Any = None, engine: str = "auto") -> Float[Array, "rows columns"]:
    """The fidelity kernel |<phi(x_i)|phi(y_j)>|^2.

    Args:
        circuit: the feature map; its parameters are the rows.
        x: [N, params].
        y: [M, params]; x where left out, at little more than half the work.
        engine: as in `apply`.

    Returns:
        [N, M].

    Raises:
        ValueError: if the rows do not fit the circuit, or the states and the matrix exceed this machine's memory.
    """
    rows = [jnp.asarray(given) for given in ((x,) if y is None else (x, y))]
    _check(circuit, rows)
    states = [jax.vmap(lambda row: apply(circuit, row, engine=engine))(given) for given in rows]
    if y is None and len(rows[0]) >= BLOCKS_FROM:
        return _symmetric(states[0])
    return _fidelities(states[0], states[-1])


def _symmetric(states: Complex[Array, "rows strings"]) -> Float[Array, "rows rows"]:
    """The blocks on and above the diagonal in a loop, whose one body is compiled; the others by reflection."""
    size, dim = states.shape
    side = -(-size // BLOCKS)
    strips = jnp.pad(states, ((0, side * BLOCKS - size), (0, 0))).reshape(BLOCKS, side, dim)
    first, second = np.triu_indices(BLOCKS)
    upper = jax.lax.map(lambda pair: _fidelities(strips[pair[0]], strips[pair[1]]), (first, second))
    place = np.zeros((BLOCKS, BLOCKS), dtype=int)
    place[first, second] = place[second, first] = np.arange(len(first))
    below = np.tri(BLOCKS, k=-1, dtype=bool)[:, :, None, None]
    blocks = upper[place]
    blocks = jnp.where(below, blocks.swapaxes(2, 3), blocks)
    return blocks.swapaxes(1, 2).reshape(side * BLOCKS, side * BLOCKS)[:size, :size]


def _fidelities(
    left: Complex[Array, "rows strings"], right: Complex[Array, "columns strings"]
) -> Float[Array, "rows columns"]:
    """|<left_i|right_j>|^2 from three real products rather than four."""
    a, b = jnp.real(left), jnp.imag(left)
    c, d = jnp.real(right), jnp.imag(right)
    ac, bd = jnp.matmul(a, c.T, precision=EXACT), jnp.matmul(b, d.T, precision=EXACT)
    cross = jnp.matmul(a + b, (d - c).T, precision=EXACT)  # ad - bc - ac + bd
    return (ac + bd) ** 2 + (cross + ac - bd) ** 2


def _check(circuit: Circuit, rows: list[Array]) -> None:
    for name, given in zip("xy", rows, strict=False):
        check.shape(name, given, (None, circuit.n_params))
    itemsize, counts = jnp.result_type(*rows, jnp.float32).itemsize, [given.shape[0] for given in rows]
    check_memory(circuit.n_qubits, sum(counts), itemsize)
    check_bytes(
        f"A Gram matrix of {counts[0]} by {counts[-1]}",
        counts[0] * counts[-1] * itemsize,
        lambda available: f"at most {available // itemsize} entries fit.",
    )
