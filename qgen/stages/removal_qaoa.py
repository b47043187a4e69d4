"""QAOA in the fixed-weight sector for the removal of branches: trained on the machine's shots, or carried over."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qgen import method
from qgen.circuits import sector
from qgen.classical import subset
from qgen.quantum import qaoa
from qgen.types import Array, Key

TRAINING_INSTANCES = 16
"""Random instances that carried-over angles are trained on."""


class Settings(NamedTuple):
    """Layers of the circuit, its mixer, steps of training, and shots per reading."""

    layers: int
    mixer: str
    training: int
    shots: int


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def trained(key: Key, energy: subset.Quadratic, n: int, k: int, settings: Settings) -> tuple[Array, Array, Array]:
    """The best string's place of all shots, the loss per step, and the last state's chance of the optimum."""
    layers, mixer, training, shots = settings
    train_key, sample_key = jax.random.split(key)
    table = sector.energies(energy.linear, energy.quadratic, k)
    run = method.run(qaoa.spsa(n, k, layers, mixer, shots), train_key, table, training)
    place, chance = _best_shot(sample_key, run.answer.angles, table, n, k, mixer, shots)
    seen = jnp.where(run.answer.energy < table[place], run.answer.place, place)
    return seen, run.info.loss, chance


def _best_shot(key: Key, angles: Array, table: Array, n: int, k: int, mixer: str, shots: int) -> tuple[Array, Array]:
    state = qaoa.state(angles, table, n, k, mixer)
    places = qaoa.sample(key, state, shots)
    return places[jnp.argmin(table[places])], qaoa.chance(state, table)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def carried_angles(n: int, k: int, settings: Settings) -> Array:
    """Angles trained in simulation on random instances of the same size, [2, layers]."""
    layers, mixer, training, _ = settings
    tables = qaoa.random_tables(jax.random.key(0), n, k, TRAINING_INSTANCES)
    return method.run(qaoa.adam(n, k, layers, mixer), jax.random.key(1), tables, training).answer


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def sampled(
    key: Key, energy: subset.Quadratic, angles: Array, n: int, k: int, settings: Settings
) -> tuple[Array, Array]:
    """The best of the shots as a string's place, and the state's chance of the optimum."""
    table = sector.energies(energy.linear, energy.quadratic, k)
    return _best_shot(key, angles, table, n, k, settings[1], settings[3])
