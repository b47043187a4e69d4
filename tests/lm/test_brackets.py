"""The bracket reward against a parser that strikes out pairs, and the groups' prior against numpy."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.lm import brackets, tokenizer, transformer
from qgen.lm.brackets import GROUPS

LENGTH, PROMPT = 6, 3
# One worker makes the fixture, not both.
TEXTS = ["f(x) = g((y), z)", "if (a) and (b):", "print()", "no brackets here", "((()))) ("]


def struck(text):
    """Whether striking out innermost pairs leaves no bracket, and something was struck."""
    rest, pairs = re.sub(r"[^()]", "", text), 0
    while "()" in rest:
        rest, pairs = rest.replace("()", ""), pairs + 1
    return not rest and pairs > 0


@pytest.fixture(scope="module")
def made():
    text = tokenizer.train(TEXTS * 3, "bpe", 270)
    config = transformer.Config(tokenizer.vocabulary_size(text) + 2, 16, 16, 1, 2)
    params = transformer.init(jax.random.key(0), config)
    effects = brackets.effects(text, config.vocabulary)
    # Brackets are made likely, so that samples hold some.
    params["head"]["kernel"] = params["head"]["kernel"].at[:, effects.group > 0].multiply(3.0)
    tokens = tokenizer.stream(text, TEXTS * 4)
    frozen, short = brackets.freeze(params, config, tokens, 2, PROMPT, LENGTH, effects)
    assert short.context == PROMPT + LENGTH
    return text, short, frozen, tokens


def test_effects_are_those_of_the_texts(made):
    text, config, frozen, _ = made
    found = set()
    for token in range(tokenizer.vocabulary_size(text)):
        piece = tokenizer.decode(text, [token])
        depths = [piece[:end].count("(") - piece[:end].count(")") for end in range(len(piece) + 1)]
        assert frozen.effects.net[token] == depths[-1] and frozen.effects.low[token] == min(depths)
        name = GROUPS[frozen.effects.group[token]]
        assert (
            name == {(0, 0): "none", (1, 0): "opening", (0, 1): "closing", (1, 1): "both"}["(" in piece, ")" in piece]
        )
        found.add(name)
    assert {"none", "opening", "closing"} <= found
    assert len(frozen.effects.net) == config.vocabulary


def test_the_reward_is_that_of_the_text(made):
    """Random actions through the environment; the text is put together from the drawn tokens' cache-free twin."""
    text, config, frozen, _ = made
    step = jax.jit(functools.partial(brackets.step, length=LENGTH, prompt=PROMPT, frozen=frozen, config=config))
    begin = jax.jit(lambda key: brackets.reset(key, frozen))
    seen = set()
    for seed in range(12):
        state = begin(jax.random.key(seed))
        drawn = np.random.default_rng(seed).choice([0, 1, 2], LENGTH, p=[0.3, 0.35, 0.35])
        actions = drawn if seed % 2 else [0, 1, 0, 2, 0, 0]  # by chance alone, few samples would be balanced
        written = []
        for t, action in enumerate(actions):
            key = jax.random.key(100 * seed + t)
            allowed = jnp.where(jnp.asarray(frozen.effects.group) == action, state.logs, -jnp.inf)
            written.append(int(jax.random.categorical(key, allowed)))
            state, reward, done = step(key, state, int(action))
            assert bool(done) == (t == LENGTH - 1)
            assert done or float(reward) == 0
        sample = tokenizer.decode(text, written)
        assert float(reward) == struck(sample) == brackets.is_balanced(sample), sample
        seen.add(float(reward))
    assert seen == {0.0, 1.0}


def test_what_is_observed_is_the_models_next_token_and_features(made):
    _, config, frozen, tokens = made
    state = jax.jit(lambda key: brackets.reset(key, frozen))(jax.random.key(3))
    features, prior = brackets.observe(state, LENGTH, frozen)
    read = np.asarray(tokens[: len(tokens) // 16 * 16]).reshape(-1, 16)
    logits = np.asarray(transformer.apply(frozen.params, read[:, :PROMPT], config))[:, -1]
    shares = [np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in logits]
    masses = [[share[frozen.effects.group == g].sum() for g in range(len(GROUPS))] for share in shares]
    assert min(np.abs(np.exp(prior) - mass).max() for mass in masses) < 1e-4
    assert features.shape == (4,) and float(features[0]) == 0 and float(features[1]) == -1
    # The directions whiten what they were made from.
    whole = dataclasses.replace(config, context=16)
    hidden = np.asarray(transformer.apply(frozen.params, read, whole, features=True)).reshape(-1, 16)
    components = (hidden - np.asarray(frozen.mean)) @ np.asarray(frozen.directions)
    np.testing.assert_allclose(components.T @ components / len(components), np.eye(2), atol=1e-3)


def test_refusals(made):
    _, config, frozen, tokens = made
    plain = tokenizer.train(["no such letters"], "char", 30)
    with pytest.raises(ValueError, match="has no token of the group opening"):
        brackets.effects(plain, 30)
    for n_features, prompt, length, message in (
        (17, 2, 2, "`n_features` must lie in"),
        (2, 0, 4, "`prompt` must be at least 1"),
        (2, 5, 12, r"`prompt \+ length` must lie in"),
    ):
        with pytest.raises(ValueError, match=message):
            brackets.freeze(frozen.params, config, tokens, n_features, prompt, length, frozen.effects)
