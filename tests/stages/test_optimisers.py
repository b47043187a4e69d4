import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import muon
from qgen.lm.recipes import Recipe
from qgen.stages import optimisers

TOLERANCE = 1e-5
RECIPE = Recipe(learning_rate=0.1, weight_decay=0.05, warmup=0.5, final=0.2, beta_1=0.8, beta_2=0.9)
PARAMS = {
    "block_0": {"up": jnp.asarray([[0.5, -1.0, 2.0], [0.1, 0.4, -0.3]])},
    "head": {"kernel": jnp.asarray([[1.0, -2.0]])},
}
GRADIENT = {
    "block_0": {"up": jnp.asarray([[0.3, -0.1, 0.2], [-0.5, 0.4, 0.7]])},
    "head": {"kernel": jnp.asarray([[-0.6, 0.2]])},
}
FIRST_RATE = 0.1 * (1 / 4) / 0.5
"""The first of four steps, half-way through the warm-up."""


def first_update(name):
    transformation = optimisers.OPTIMISERS[name].optimiser(RECIPE, 4)
    updates, _ = transformation.update(GRADIENT, transformation.init(PARAMS), PARAMS)
    return jax.tree.map(np.asarray, updates)


def test_lion_moves_by_signs_and_decays():
    updates = first_update("lion")
    for name, leaf in (("block_0", "up"), ("head", "kernel")):
        expected = -FIRST_RATE * (np.sign(GRADIENT[name][leaf]) + 0.05 * np.asarray(PARAMS[name][leaf]))
        np.testing.assert_allclose(updates[name][leaf], expected, rtol=TOLERANCE)


def test_muon_turns_the_blocks_and_leaves_the_ends_to_adam():
    updates = first_update("muon")
    ahead = 1.95 * GRADIENT["block_0"]["up"]
    turned = 0.2 * np.sqrt(3) * np.asarray(muon.orthogonalise(ahead)) + 0.05 * np.asarray(PARAMS["block_0"]["up"])
    np.testing.assert_allclose(updates["block_0"]["up"], -FIRST_RATE * turned, rtol=1e-3)
    # Adam's first step is the sign of the gradient.
    signs = np.sign(GRADIENT["head"]["kernel"]) + 0.05 * np.asarray(PARAMS["head"]["kernel"])
    np.testing.assert_allclose(updates["head"]["kernel"], -FIRST_RATE * signs, rtol=1e-4)


def test_every_optimiser_tries_as_many_rates():
    assert {len(choice.multiples) for choice in optimisers.OPTIMISERS.values()} == {3}
    assert optimisers.REFERENCE in optimisers.OPTIMISERS
    assert first_update("sgd")["head"]["kernel"] == pytest.approx(
        -FIRST_RATE * (np.array([[-0.6, 0.2]]) * min(1, 1 / np.sqrt(1.44)) + 0.05 * np.array([[1.0, -2.0]])), rel=0.2
    )
