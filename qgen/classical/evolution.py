"""CMA-ES in the unit cube: a normal distribution whose mean, step and covariance follow the better half of its samples.

The strategy parameters are the defaults of Hansen's tutorial (arXiv:1604.00772); points outside the cube are moved to
its border.
"""

import math
from typing import NamedTuple

import numpy as np

from qgen import check
from qgen.types import Float

FIRST_STEP = 0.3


class State(NamedTuple):
    """The distribution and its evolution paths.

    Attributes:
        mean: [axes].
        step: sigma.
        covariance: [axes, axes].
        path: evolution path of the covariance, [axes].
        step_path: evolution path of the step, [axes].
        generation: how many were told.
    """

    mean: Float[np.ndarray, " axes"]
    step: float
    covariance: Float[np.ndarray, "axes axes"]
    path: Float[np.ndarray, " axes"]
    step_path: Float[np.ndarray, " axes"]
    generation: int = 0


def population(axes: int) -> int:
    """Points of a generation: 4 + 3 ln(axes), rounded down."""
    check.at_least("axes", axes, 1)
    return 4 + int(3 * math.log(axes))


def begin(axes: int) -> State:
    """The middle of the cube, with a step of FIRST_STEP."""
    check.at_least("axes", axes, 1)
    return State(np.full(axes, 0.5), FIRST_STEP, np.eye(axes), np.zeros(axes), np.zeros(axes))


def ask(generator: np.random.Generator, state: State) -> Float[np.ndarray, "points axes"]:
    """A generation of points."""
    axes = len(state.mean)
    values, vectors = np.linalg.eigh(state.covariance)
    noise = generator.normal(size=(population(axes), axes))
    spread = (noise * np.sqrt(np.maximum(values, 1e-20))) @ vectors.T
    return np.clip(state.mean + state.step * spread, 0.0, 1.0)


def tell(state: State, points: Float[np.ndarray, "points axes"], losses: Float[np.ndarray, " points"]) -> State:
    """The distribution after the losses of a generation.

    Raises:
        ValueError: if the losses are not one per point of a generation.
    """
    n = len(state.mean)
    size = population(n)
    check.shape("points", points, (size, n))
    check.shape("losses", losses, (size,))
    parents = size // 2
    weights = math.log((size + 1) / 2) - np.log(np.arange(1, parents + 1))
    weights /= weights.sum()
    mass = 1 / np.sum(weights**2)
    c_step = (mass + 2) / (n + mass + 5)
    damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (n + 1)) - 1) + c_step
    c_path = (4 + mass / n) / (n + 4 + 2 * mass / n)
    c_one = 2 / ((n + 1.3) ** 2 + mass)
    c_many = min(1 - c_one, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
    length = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))

    moves = (points[np.argsort(losses)[:parents]] - state.mean) / state.step
    move = weights @ moves
    values, vectors = np.linalg.eigh(state.covariance)
    whitened = vectors @ ((vectors.T @ move) / np.sqrt(np.maximum(values, 1e-20)))
    step_path = (1 - c_step) * state.step_path + math.sqrt(c_step * (2 - c_step) * mass) * whitened
    generation = state.generation + 1
    expected = math.sqrt(1 - (1 - c_step) ** (2 * generation))
    moving = float(np.linalg.norm(step_path) / expected / length < 1.4 + 2 / (n + 1))
    path = (1 - c_path) * state.path + moving * math.sqrt(c_path * (2 - c_path) * mass) * move
    late = (1 - moving) * c_path * (2 - c_path)
    covariance = (
        (1 - c_one - c_many + c_one * late) * state.covariance
        + c_one * np.outer(path, path)
        + c_many * (moves.T * weights) @ moves
    )
    step = state.step * math.exp(min(1.0, c_step / damping * (np.linalg.norm(step_path) / length - 1)))
    return State(state.mean + state.step * move, min(step, 1.0), covariance, path, step_path, generation)
