"""CartPole as pure functions: the published cart and pole (Barto, Sutton, Anderson 1983), integrated by Euler's rule.

Constants, integration, start and bounds are those of Gymnasium's `CartPole-v0` (200 steps) and `CartPole-v1` (500).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qgen.types import Array, Bool, Float, Int, Key

GRAVITY, CART_KG, POLE_KG, HALF_POLE_M, FORCE_N, TAU_S = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
MOST_X_M, MOST_ANGLE_RAD = 2.4, 12 * math.pi / 180
SPREAD = 0.05
"""A start is uniform in [-SPREAD, SPREAD] in every coordinate."""
SCALES = (2.4, 2.5, 0.21, 2.5)
"""What a policy divides the coordinates by: the bounds, and speeds that are met (arXiv:2103.05577)."""


class Moved(NamedTuple):
    """What a step gives: the next state, the reward of it (always 1), and whether the episode ends."""

    state: Float[Array, "4"]
    reward: Float[Array, ""]
    done: Bool[Array, ""]


def reset(key: Key) -> Float[Array, "4"]:
    """A start: position in m, speed in m/s, angle in rad, angular speed in rad/s."""
    return jax.random.uniform(key, (4,), minval=-SPREAD, maxval=SPREAD)


def observe(state: Float[Array, "4"]) -> Float[Array, "4"]:
    """The coordinates over their scales."""
    return state / jnp.asarray(SCALES)


def step(state: Float[Array, "4"], action: Int[Array, ""]) -> Moved:
    """One step of 0.02 s with a push to the left (0) or to the right (1)."""
    _, speed, angle, turning = state
    force = jnp.where(action == 1, FORCE_N, -FORCE_N)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    mass = CART_KG + POLE_KG
    pushed = (force + POLE_KG * HALF_POLE_M * turning**2 * sine) / mass
    angular = (GRAVITY * sine - cosine * pushed) / (HALF_POLE_M * (4 / 3 - POLE_KG * cosine**2 / mass))
    linear = pushed - POLE_KG * HALF_POLE_M * angular * cosine / mass
    moved = state + TAU_S * jnp.stack([speed, linear, turning, angular])
    done = (jnp.abs(moved[0]) > MOST_X_M) | (jnp.abs(moved[2]) > MOST_ANGLE_RAD)
    return Moved(moved, jnp.ones(()), done)
