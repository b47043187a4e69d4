"""The optimisers that the stages train with: the trainer's own, and two more under the same recipe."""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

import jax
import optax

from qgen.classical.muon import scale_by_muon
from qgen.lm import recipes
from qgen.types import Array, Params, PyTree


class Choice(NamedTuple):
    """An optimiser, and the learning rates that it tries, as multiples of the recipe's."""

    optimiser: recipes.Optimiser
    multiples: tuple[float, ...]


def lion(recipe: recipes.Recipe, steps: int | Array) -> optax.GradientTransformation:
    """Lion (arXiv:2302.06675) with the recipe's schedule and decay."""
    return optax.chain(
        optax.scale_by_lion(b1=recipe.beta_1, b2=recipe.beta_2),
        optax.add_decayed_weights(recipe.weight_decay, mask=_matrices),
        optax.scale_by_learning_rate(recipes.schedule(recipe, steps)),
    )


def muon(recipe: recipes.Recipe, steps: int | Array) -> optax.GradientTransformation:
    """Muon on the matrices of the blocks, AdamW on the embedding and the head, with one schedule and decay."""

    def placed(scale: optax.GradientTransformation) -> optax.GradientTransformation:
        return optax.chain(
            scale,
            optax.add_decayed_weights(recipe.weight_decay, mask=_matrices),
            optax.scale_by_learning_rate(recipes.schedule(recipe, steps)),
        )

    parts: dict[Hashable, optax.GradientTransformation] = {
        "blocks": placed(scale_by_muon()),
        "ends": placed(optax.scale_by_adam(recipe.beta_1, recipe.beta_2)),
    }
    return optax.multi_transform(parts, _places)


def _places(params: Params) -> PyTree:
    def of(name: str, part: Params) -> PyTree:
        return jax.tree.map(lambda leaf: "blocks" if name.startswith("block") and leaf.ndim == 2 else "ends", part)

    return {name: of(name, part) for name, part in params.items()}


def _matrices(params: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


OPTIMISERS: Mapping[str, Choice] = {
    "muon": Choice(muon, (0.25, 0.5, 1.0)),
    "adamw": Choice(recipes.adamw, (0.2, 0.4, 0.8)),
    "lion": Choice(lion, (0.05, 0.1, 0.2)),
    "sgd": Choice(recipes.sgd, (5.0, 15.0, 50.0)),
}
"""Four rates of each were swept over 300 steps on the default corpus; the ranges hold the best. They lie below the
recipe's rate because the architecture search's short trainings favour rates that are too high for longer ones."""
REFERENCE = "adamw"
"""What the architecture search and the classical part of the quantum arms train with: in the default preset as good as
Muon within the margin, and cheaper per step."""
