"""The trained model that tuning experiments start from: of the lifecycle's texts, tokenizer, shape and steps.

No flags of its own. A folder of artefacts that the lifecycle kept gives that very model instead.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from qgen import checkpoint
from qgen.lm import data, tokenizer, train, transformer
from qgen.stages import STAGES, Artefacts

CHARACTERS = {"smoke": (60_000, 30_000), "default": (600_000, 200_000), "paper": (2_000_000, 400_000)}
"""Preset -> characters of the first and of the second domain, as in the lifecycle."""
HOLDOUT = 0.1


def texts(preset: str) -> Artefacts:
    """Both domains, split as the lifecycle splits them."""
    first, second = CHARACTERS[preset]
    prose = data.load_corpus(None, domain="prose", max_characters=first)
    code = data.load_corpus(None, domain="code", max_characters=second)
    return Artefacts(*data.split(prose, HOLDOUT), *data.split(code, HOLDOUT))


def load(preset: str, folder: Path, kept: Path | None = None) -> Artefacts:
    """The model of a preset, trained on the first domain once and kept in the folder.

    Args:
        preset: a name of CHARACTERS.
        folder: where the trained model is kept.
        kept: a folder of the lifecycle's artefacts (OUT/artefacts/seed0-training-...), to start from its model.
    """
    base = texts(preset)
    if kept is not None:
        return base._replace(**read(kept))
    place = folder / "base"
    if not checkpoint.exists(place):
        checkpoint.save(place, *_trained(preset, base))
    return base._replace(**read(place))


def start(preset: str, kept: Path | None) -> Artefacts:
    """The texts and the model of a folder of artefacts, or one that is trained here and kept nowhere."""
    base = texts(preset)
    if kept is not None:
        return base._replace(**read(kept))
    arrays, meta = _trained(preset, base)
    return base._replace(**arrays, **meta)


def read(kept: Path) -> dict[str, Any]:
    """The fields of Artefacts that a kept model fills.

    Raises:
        FileNotFoundError: if there are no artefacts.
        ValueError: if they hold no trained model.
    """
    arrays, meta = checkpoint.restore(kept)
    if "params" not in (arrays or {}) or not meta.get("model"):
        raise ValueError("there is no trained model; name the folder that the training stage's artefacts are in.")
    return {"params": arrays["params"], "model": meta["model"], "tokenizer": meta["tokenizer"]}


def _trained(preset: str, base: Artefacts) -> tuple[dict, dict]:
    shape, training = STAGES["architecture"].presets[preset], STAGES["training"].presets[preset]
    made = tokenizer.train(base.documents, "bpe", STAGES["encoding"].presets[preset].vocabulary)
    model = transformer.Config(
        tokenizer.vocabulary_size(made), shape.context, shape.widths[0], shape.depths[0], shape.heads
    )
    tokens = tokenizer.stream(made, base.documents)
    recipe = train.Recipe(shape.learning_rates[len(shape.learning_rates) // 2])
    start = transformer.init(jax.random.key(0), model)
    fit = train.fit(jax.random.key(1), start, model, tokens, recipe, training.steps, training.batch)
    params = jax.tree.map(jnp.asarray, fit.params)
    return {"params": params}, {"tokenizer": made, "model": dataclasses.asdict(model)}
