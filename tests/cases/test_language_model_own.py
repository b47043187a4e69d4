"""Features of the lifecycle's own model: against the model's hidden states, text by text; passages of two domains."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import cases, checkpoint
from qgen.cases import language_model_own as own
from qgen.cases.base import MissingData
from qgen.lm import tokenizer, transformer
from tests.stages import tiny

CASE = cases.load("language_model")


def test_features_are_means_of_hidden_states():
    base = tiny.artefacts(1)
    rows = tokenizer.encode(base.tokenizer, ["the cat sat", "def x", "and then it ran on a mat and sat", ""])
    found = own.encode(base, rows)
    config = transformer.Config(**base.model)
    states = jax.jit(lambda params, read: transformer.apply(params, read, config, features=True))
    for place, ids in enumerate(rows[:3]):
        read = jnp.asarray(ids[None, : config.context])
        hidden = np.asarray(states(base.params, read))
        mean = hidden[0].mean(0)
        np.testing.assert_allclose(found[place], mean / np.linalg.norm(mean), rtol=0, atol=1e-5)
    assert not found[3].any()


def test_passages_are_balanced_and_of_their_domain():
    base = tiny.artefacts(1)
    rows, classes = own.domains(base, held=True)
    assert len(rows) == len(classes) and classes.mean() == 0.5 and 0 < classes[: len(rows) // 2].mean() < 1
    texts = " ".join(base.holdout), " ".join(base.samples_holdout)
    for ids, label in zip(rows, classes, strict=True):
        assert len(ids) == own.PASSAGE and tokenizer.decode(base.tokenizer, ids) in texts[label]


def test_the_case_reads_a_kept_model(tmp_path):
    base = tiny.artefacts(1)
    kept = tmp_path / "kept"
    checkpoint.save(kept, {"params": base.params}, {"tokenizer": base.tokenizer, "model": base.model})
    config = dataclasses.replace(CASE.presets["smoke"], data="domains", trained="smoke")
    sources = CASE.load(config, {"artefacts": kept})
    assert sources.data.train.x.shape[1] == sources.data.test.x.shape[1] == 16
    np.testing.assert_allclose(np.linalg.norm(sources.data.test.x, axis=1), 1.0, rtol=1e-5)
    (point,) = CASE.points(config, sources)
    assert point.priced and set(point.arms) == set(CASE.arms) - {"control/untrained"}
    (tmp_path / "sst2").mkdir()
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / "sst2" / name).write_text("sentence\tlabel\n" + 40 * "bleak film\t0\nfine\t1\n", encoding="utf-8")
    phrases = dataclasses.replace(config, data="sst2_own")
    assert CASE.load(phrases, {"artefacts": kept, "sst2": tmp_path / "sst2"}).data.train.x.shape == (80, 16)
    with pytest.raises(MissingData, match="no checkpoint"):
        CASE.load(config, {"artefacts": tmp_path / "none"})
