"""Sentence features of the lifecycle's own trained decoder: means of its hidden states, scaled to unit length.

Two classes come without download: passages of prose, on whose domain the model was trained, against passages of code.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from qgen.cases.base import MissingData
from qgen.cases.language_model_arms import Labelled
from qgen.lm import tokenizer, transformer
from qgen.stages import base_model
from qgen.stages.base import Artefacts
from qgen.types import Array, Float, Int

PASSAGE = 16
"""Tokens of a passage: few, so that the two classes are not told apart at a glance."""
MOST = 4000
"""Passages per label, at most; both labels have as many."""
CHUNK = 256
"""Passages that the model reads at a time."""


def model(preset: str, kept: Path | None) -> Artefacts:
    """Both domains' texts and the model: the one that the lifecycle kept in a folder, or one that is trained here.

    Args:
        preset: the lifecycle's, whose model is trained.
        kept: a folder of artefacts; None: train.

    Raises:
        MissingData: if the folder holds no trained model.
    """
    try:
        return base_model.start(preset, kept)
    except (FileNotFoundError, ValueError) as error:
        raise MissingData(f"--data=artefacts={kept}: {error}") from None


def domains(base: Artefacts, held: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """Passages of both domains in one order that mixes them, and their classes: prose 0, code 1.

    Args:
        base: the texts and the tokenizer.
        held: of the documents that no stage trains on, or of the others.
    """
    parts = (base.holdout, base.samples_holdout) if held else (base.documents, base.samples)
    rng = np.random.default_rng(13)
    rows = []
    for texts in parts:
        cut = [
            ids[: len(ids) // PASSAGE * PASSAGE].reshape(-1, PASSAGE) for ids in tokenizer.encode(base.tokenizer, texts)
        ]
        rows.append(rng.permutation(np.concatenate(cut)))
    each = min(MOST, *map(len, rows))
    order = rng.permutation(2 * each)
    classes = np.repeat(np.arange(2, dtype=np.int32), each)
    return list(np.concatenate([part[:each] for part in rows])[order]), classes[order]


def encode(base: Artefacts, rows: Sequence[np.ndarray]) -> Float[np.ndarray, "rows width"]:
    """The features of token ids, cut to the model's context.

    Args:
        base: the model.
        rows: token ids of each text; an empty text gives zeros.
    """
    config = transformer.Config(**(base.model or {}))
    params = jax.tree.map(jnp.asarray, base.params)
    longest = min(config.context, max(map(len, rows)))
    lengths = np.array([min(len(ids), longest) for ids in rows])
    tokens = np.zeros((len(rows) + -len(rows) % CHUNK, longest), np.int32)
    for place, ids in enumerate(rows):
        tokens[place, : lengths[place]] = ids[:longest]
    counts = np.pad(lengths, (0, len(tokens) - len(rows)))

    @jax.jit
    def mean(tokens: Int[Array, "rows time"], counts: Int[Array, " rows"]) -> Array:
        # The model looks back only: what stands after a text's end changes nothing before it.
        hidden = transformer.apply(params, tokens, config, features=True).astype(jnp.float32)
        hidden = jnp.where(jnp.arange(longest)[None, :, None] < counts[:, None, None], hidden, 0.0).sum(1)
        return hidden / jnp.maximum(jnp.linalg.norm(hidden, axis=1, keepdims=True), 1e-12)

    parts = [mean(*part) for part in zip(*(np.split(a, len(tokens) // CHUNK) for a in (tokens, counts)), strict=True)]
    return np.concatenate([np.asarray(part) for part in parts])[: len(rows)]


def labelled(base: Artefacts, rows: Sequence[np.ndarray], classes: np.ndarray) -> Labelled:
    """Features with their classes."""
    return Labelled(encode(base, rows), classes)
