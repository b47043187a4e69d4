"""A closed-form surface-code estimate: from logical counts to physical qubits and run time.

The model is that of Beverland et al. (arXiv 2211.07629): Clifford gates are followed in software; every T gate,
rotation and measurement takes one joint measurement of logical qubits on a plane; rotations are synthesised from T
gates; T states come from the factories of Litinski (arXiv 1905.06903). One round of the code lasts four two-qubit gates
(each with a move, where qubits move), two one-qubit gates and one measurement: both kinds of stabilisers are read at
once, on ancillas of their own. All of it is arithmetic on arrays, so it works under `vmap` over uncertain machines.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from qgen.resources import Resources
from qgen.types import Array, Float

THRESHOLD = 0.01
PREFACTOR = 0.03
"""Logical error per logical qubit and cycle: PREFACTOR * (error_rate / THRESHOLD) ** ((distance + 1) / 2)."""
SYNTHESIS_OFFSET = 5.3
"""T gates per rotation: synthesis_slope * log2(rotations / error) + this (arXiv 2203.10064)."""
FACTORIES = np.array(
    [  # physical error, error of a T state, physical qubits, code cycles per T state
        (1e-4, 4.4e-8, 810, 18.1),
        (1e-4, 9.3e-10, 1150, 18.1),
        (1e-4, 1.9e-11, 2070, 30.0),
        (1e-4, 2.4e-15, 16400, 22.6),
        (1e-4, 6.3e-25, 18600, 67.8),
        (1e-3, 4.5e-8, 4620, 42.6),
        (1e-3, 1.4e-10, 43300, 32.5),
        (1e-3, 2.6e-11, 46800, 39.3),
        (1e-3, 2.7e-12, 30700, 82.5),
        (1e-3, 3.3e-14, 39100, 97.5),
        (1e-3, 4.5e-20, 73400, 128.0),
    ],
    dtype=np.float32,
)
"""Table 1 of arXiv 1905.06903. A machine between the two error rates uses the rows of the worse one."""


class Estimate(NamedTuple):
    """What one execution of a circuit needs; infinite where no factory of the table is good enough.

    Attributes:
        qubits: physical qubits in all.
        factory_qubits: those of them in T factories.
        factories: T factories that work side by side.
        distance: code distance.
        time_s: run time.
        t_states: T states consumed.
    """

    qubits: Float[Array, ""]
    factory_qubits: Float[Array, ""]
    factories: Float[Array, ""]
    distance: Float[Array, ""]
    time_s: Float[Array, ""]
    t_states: Float[Array, ""]


def estimate(counts: Mapping[str, Array], numbers: Mapping[str, Array]) -> Estimate:
    """Physical cost of one execution.

    Args:
        counts: fields of Resources for one shot: `qubits, layers, measurements, t_gates, rotations`.
        numbers: one value for each field that a fault-tolerant profile prices, and `move_s` (0 where nothing moves).
            As many factories work side by side as the T states are needed for, or as `max_qubits` has room for; with
            fewer than needed, the computation waits for T states.

    Returns:
        An Estimate of scalars.
    """
    part = numbers["error_budget"] / 3  # a third each for logical errors, T states and synthesis
    rotations = counts["rotations"]
    per_rotation = jnp.ceil(
        numbers["synthesis_slope"] * jnp.log2(jnp.maximum(rotations / part, 2.0)) + SYNTHESIS_OFFSET
    )
    t_states = counts["t_gates"] + per_rotation * rotations
    rotation_layers = jnp.minimum(rotations, jnp.maximum(counts["layers"], 1.0))
    cycles = counts["measurements"] + counts["t_gates"] + rotations + per_rotation * rotation_layers
    cycles = jnp.maximum(cycles, 1.0)
    logical = 2 * counts["qubits"] + jnp.ceil(jnp.sqrt(8 * counts["qubits"])) + 1
    target = part / (logical * cycles)
    suppression = jnp.log(THRESHOLD / numbers["error_rate"])
    steps = jnp.log(PREFACTOR / target) / jnp.maximum(suppression, 1e-6)
    distance = jnp.maximum(2 * jnp.ceil(steps) - 1, 3)
    round_s = 4 * (numbers["gate_2q_s"] + numbers["move_s"]) + 2 * numbers["gate_1q_s"] + numbers["measure_s"]
    time_s = cycles * jnp.maximum(distance * round_s, numbers["reaction_s"])

    table_error, t_error, factory_size, factory_rounds = jnp.asarray(FACTORIES).T
    # The margin lets a preset of exactly 1e-3 use its own row in single precision.
    usable = (table_error * 1.0001 >= numbers["error_rate"]) & (t_error * t_states <= part)
    tile_qubits = numbers["code_scale"] * 2 * distance**2 * logical
    size = factory_size * numbers["factory_scale"]
    needed = jnp.ceil(t_states * factory_rounds * round_s / time_s)
    count = jnp.clip(jnp.floor((numbers["max_qubits"] - tile_qubits) / size), 1, jnp.maximum(needed, 1))
    waiting = jnp.maximum(t_states * factory_rounds * round_s / (time_s * count), 1.0)
    fits = tile_qubits + size <= numbers["max_qubits"]
    # Rows that do not fit stay in the choice, far behind, so that a machine that is too small is told by how much.
    qubit_seconds = (tile_qubits + count * size) * waiting * jnp.where(fits, 1.0, 1e9)
    best = jnp.argmin(jnp.where(usable, qubit_seconds, jnp.inf))
    without = t_states == 0
    factory_qubits = jnp.where(without, 0.0, jnp.where(usable[best], count[best] * size[best], jnp.inf))
    too_noisy = suppression <= 0
    return Estimate(
        qubits=jnp.where(too_noisy, jnp.inf, tile_qubits + factory_qubits),
        factory_qubits=factory_qubits,
        factories=jnp.where(without, 0.0, count[best]),
        distance=distance,
        time_s=time_s * jnp.where(without, 1.0, waiting[best]),
        t_states=t_states,
    )


class Point(NamedTuple):
    """One design of the Azure estimator: physical qubits, run time and failure probability of one execution."""

    qubits: int
    time_s: float
    error: float


def by_qdk(
    resources: Resources,
    *,
    error_rate: float,
    gate_1q_s: float,
    gate_2q_s: float,
    measure_s: float,
    error_budget: float = 1e-3,
) -> list[Point]:
    """The same estimate by Microsoft's `qdk.qre`, as a check from outside; its telemetry is switched off first.

    Args:
        resources: the computation; its counts are taken per shot.
        error_rate: physical error rate.
        gate_1q_s: one-qubit gate.
        gate_2q_s: two-qubit gate.
        measure_s: measurement.
        error_budget: failure probability of one execution.

    Returns:
        The Pareto front of qubits and time.

    Raises:
        ImportError: without the extra `ftqc`.
    """
    os.environ["QDK_PYTHON_TELEMETRY"] = "none"
    try:
        from qdk.estimator import LogicalCounts  # pyright: ignore[reportMissingImports]
        from qdk.qre import PSSPC, LatticeSurgery  # pyright: ignore[reportMissingImports]
        from qdk.qre import estimate as qre_estimate  # pyright: ignore[reportMissingImports]
        from qdk.qre.application import QSharpApplication  # pyright: ignore[reportMissingImports]
        from qdk.qre.models import GateBased, Litinski19Factory, SurfaceCode  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError('The estimator qdk is missing: `pip install "qgen[ftqc]"`.') from None
    shots = max(resources.shots, 1)
    counts = LogicalCounts(
        {
            "numQubits": resources.qubits,
            "tCount": round(resources.t_gates / shots),
            "rotationCount": round(resources.rotations / shots),
            "rotationDepth": round(min(resources.rotations, resources.layers) / shots),
            "measurementCount": round(resources.measurements / shots),
        }
    )
    machine = GateBased(
        error_rate=error_rate,
        gate_time=round(gate_1q_s * 1e9),
        two_qubit_gate_time=round(gate_2q_s * 1e9),
        measurement_time=round(measure_s * 1e9),
    )
    table = qre_estimate(
        QSharpApplication(counts),
        machine,
        SurfaceCode.q() * Litinski19Factory.q(),
        PSSPC.q() * LatticeSurgery.q(),
        max_error=error_budget,
    )
    return [Point(row.qubits, row.runtime * 1e-9, row.error) for row in table]
