"""The trainer's anchor: character-level tiny Shakespeare at the size of nanoGPT's CPU configuration.

nanoGPT's README documents 4 layers, 4 heads, width 128, windows of 64 characters, batches of 12, 2000 iterations and a
validation loss of 1.88 nats per character after about 3 minutes on a laptop. The same model, batch and split (the last
tenth of the file is held out) need STEPS steps here.
"""

from typing import Any, NamedTuple

import jax

from qgen.lm import tokenizer, train, transformer
from qgen.lm.train import Recipe
from qgen.types import Key, Params

SIZES: dict[str, Any] = {"context": 64, "width": 128, "depth": 4, "heads": 4}
BATCH = 12
STEPS = 700
RECIPE = Recipe(learning_rate=2e-3)
DOCUMENTED_LOSS = 1.88
HOLDOUT = 0.1


class Anchor(NamedTuple):
    """The trained model and its loss on the held-out characters, nats per character."""

    params: Params
    config: transformer.Config
    validation_loss: float


def run(key: Key, text: str, steps: int = STEPS) -> Anchor:
    """Trains on the first nine tenths of a text, character by character, and scores the rest.

    Args:
        key: the random key.
        text: the text.
        steps: training steps.
    """
    table = tokenizer.train([text], "char", len(set(text)) + 2)
    tokens = tokenizer.encode(table, [text])[0]
    n_train = round((1 - HOLDOUT) * len(tokens))
    config = transformer.Config(vocabulary=tokenizer.vocabulary_size(table), **SIZES)
    init_key, fit_key = jax.random.split(key)
    params = transformer.init(init_key, config)
    params = train.fit(fit_key, params, config, tokens[:n_train], RECIPE, steps, BATCH).params
    return Anchor(params, config, train.token_loss(params, config, tokens[n_train:]))
