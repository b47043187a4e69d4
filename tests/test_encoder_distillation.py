"""Distillation of a small random encoder: samples, the objective against its formula, and that students learn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import encoders
from qgen.lm import encoder
from qgen.stages.distillation import LESSONS

CONFIG = encoder.Config(vocabulary=50, context=encoders.LENGTH, width=16, depth=1, heads=2, hidden=32)
SETTINGS = encoders.Settings(ranks=(4,), samples=(6, 12), steps=12, batch=4, rates=(1e-4, 1e-2))
WHOLE = dataclasses.replace(SETTINGS, batch=10)
"""Every step sees all that twelve samples leave to learn from."""


@pytest.fixture(scope="module")
def found():
    params = jax.tree.map(lambda leaf: 5 * leaf, encoder.init(jax.random.key(0), CONFIG))
    texts = np.random.default_rng(0).integers(0, 50, (40, encoders.LENGTH)).astype(np.int32)
    seen, unseen, pool = np.split(texts, [8, 16])
    inputs = [encoders._inputs(params, jnp.asarray(own), CONFIG) for own in (seen, unseen)]
    embeddings = encoders.embedded(params, jnp.asarray(unseen), CONFIG)
    return encoders.Given(encoder.Encoder(CONFIG, params, ""), *inputs, jnp.asarray(unseen), embeddings, pool)


def test_few_samples_are_part_of_many_and_apart_from_what_validates(found):
    few, many = (encoders.samples(found, SETTINGS, 3, count) for count in (6, 12))
    np.testing.assert_array_equal(few.tokens, many.tokens)
    assert (few.length, many.length) == (5, 10) and (few.counts.sum(), many.counts.sum()) == (1, 2)
    assert not any((text == many.tokens).all(1).any() for text in many.validation)
    own = encoder.apply(found.encoder.params, many.tokens[:1], jnp.ones((1, encoders.LENGTH)), CONFIG)
    np.testing.assert_allclose(many.aims[0], own[0], atol=1e-5)
    for count in (1, 13, 4):
        with pytest.raises(ValueError, match="count"):
            encoders.samples(found, SETTINGS, 3, count)


def test_the_first_loss_of_kd_is_the_relative_squared_error_of_the_hidden_states(found):
    start = encoders.compressed(found, "control/random_factors", 4, 0, found.pool[:2]).params
    drawn = encoders.samples(found, SETTINGS, 0, 12)
    taught = encoders.distil(found, WHOLE, start, drawn, "classical/kd", 0)
    hidden = np.asarray(encoder.apply(start, drawn.tokens[:10], jnp.ones((10, encoders.LENGTH)), CONFIG))
    aim = np.asarray(drawn.aims[:10])
    share = LESSONS["classical/kd"].weights.logits
    np.testing.assert_allclose(taught.curve[0], share * ((hidden - aim) ** 2).mean() / (aim**2).mean(), atol=6e-6)


@pytest.mark.parametrize("lesson", encoders.TAUGHT)
def test_a_student_learns_every_lesson_and_keeps_its_embeddings(found, lesson):
    start = encoders.compressed(found, "control/random_factors", 4, 0, found.pool[:2]).params
    drawn = encoders.samples(found, SETTINGS, 0, 12)
    taught = encoders.distil(found, SETTINGS, start, drawn, lesson, 0)
    assert taught.curve[-1] < taught.curve[0] and np.isfinite(taught.validation)
    np.testing.assert_array_equal(taught.params["embed"]["token"], found.encoder.params["embed"]["token"])
    assert jax.tree.map(jnp.shape, taught.params) == jax.tree.map(jnp.shape, start)


def test_errors_vanish_for_the_encoder_and_relations_ignore_a_rotation(found):
    assert max(encoders.errors(found, found.encoder.params).values()) < 1e-5
    made = encoders.errors(found, encoders.compressed(found, "classical/truncated_svd", 2, 0, found.pool[:2]).params)
    assert made["embedding_error"] > 1e-3 and made["relation_error"] > 1e-3
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0].astype(np.float32)
    turned = encoders.errors(found._replace(embeddings=found.embeddings @ rotation), found.encoder.params)
    assert turned["embedding_error"] > 0.1 and turned["relation_error"] < 1e-5


def test_labels_alone_teach_an_encoder_nothing(found):
    start = encoders.compressed(found, "classical/truncated_svd", 2, 0, found.pool[:2]).params
    with pytest.raises(ValueError, match="lesson"):
        encoders.distil(found, SETTINGS, start, encoders.samples(found, SETTINGS, 0, 12), "classical/scratch", 0)
