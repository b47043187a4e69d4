"""A small network as policy or value function: tanh of one hidden layer, or none; the twin of a circuit's."""

import dataclasses

import jax
import jax.numpy as jnp

from qgen import check
from qgen.types import Array, Float, Key, Params


@dataclasses.dataclass(frozen=True)
class Design:
    """The structure.

    Attributes:
        inputs: features.
        hidden: hidden features; 0 is a linear map.
        outputs: actions of a policy, 1 for a value.
    """

    inputs: int
    hidden: int
    outputs: int

    def __post_init__(self) -> None:
        """Refuses no inputs, no outputs and a negative hidden layer."""
        check.at_least("inputs", self.inputs, 1)
        check.at_least("hidden", self.hidden, 0)
        check.at_least("outputs", self.outputs, 1)


def matched(inputs: int, outputs: int, aim: int) -> Design:
    """The network with one hidden layer whose trained numbers come nearest to `aim`."""
    return Design(inputs, max(1, round((aim - outputs) / (inputs + 1 + outputs))), outputs)


def size(design: Design) -> int:
    """How many numbers are trained."""
    if not design.hidden:
        return (design.inputs + 1) * design.outputs
    return (design.inputs + 1) * design.hidden + (design.hidden + 1) * design.outputs


def init(key: Key, design: Design) -> Params:
    """Normal weights of deviation 1 / sqrt(inputs), the last ones a tenth of it: a policy starts close to uniform."""
    inner_key, outer_key = jax.random.split(key)
    last = design.hidden or design.inputs
    params = {
        "outer": 0.1 * jax.random.normal(outer_key, (last, design.outputs)) * last**-0.5,
        "bias": jnp.zeros(design.outputs),
    }
    if not design.hidden:
        return params
    inner = jax.random.normal(inner_key, (design.inputs, design.hidden)) * design.inputs**-0.5
    return params | {"inner": inner, "shift": jnp.zeros(design.hidden)}


def outputs(params: Params, design: Design, x: Float[Array, " features"]) -> Float[Array, " outputs"]:
    """Logits of the actions, or the value.

    Args:
        params: what `init` made, trained or not.
        design: the structure.
        x: the features.
    """
    check.shape("x", x, (design.inputs,))
    last = jnp.tanh(x @ params["inner"] + params["shift"]) if design.hidden else x
    return last @ params["outer"] + params["bias"]
