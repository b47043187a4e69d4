"""Quantised matrices: a smaller way of storing a model."""

import jax
import jax.numpy as jnp
import numpy as np

from qgen import checkpoint
from qgen.lm import adapters, generate, quantise, transformer, weights
from tests.lm import reference

FLOAT32 = {"atol": 5e-5, "rtol": 5e-5}
apply = jax.jit(transformer.apply, static_argnames="config")


def test_int8_is_the_nearest_level_of_every_matrix(params, wide):
    small = quantise.int8(params)
    kernel = wide["block_1"]["mlp"]["up"]["kernel"]
    scale = np.abs(kernel).max(0, keepdims=True) / 127
    stored = small["block_1"]["mlp"]["up"]["kernel"]
    assert stored["int8"].dtype == jnp.int8
    np.testing.assert_allclose(stored["scale"], scale, rtol=1e-6)
    assert np.abs(np.asarray(stored["int8"]) - kernel / scale).max() <= 0.5 + 1e-4
    table, rows = wide["embed"]["embedding"], small["embed"]["embedding"]
    assert rows["scale"].shape == (23, 1)
    assert np.abs(weights.dense(rows) - table).max() <= 0.5001 * np.abs(table).max() / 127


def test_int8_computes_with_its_matrices(params, tokens, config):
    small = quantise.int8(params)
    restored = {
        name: {"embedding": weights.dense(part["embedding"])} if name == "embed" else part
        for name, part in small.items()
    }
    restored["head"] = {"kernel": weights.dense(small["head"]["kernel"])}
    for place in adapters.matrices(params, adapters.BLOCKS):
        block, part, name = place.split("/")
        dense = {"kernel": weights.dense(small[block][part][name]["kernel"])}
        restored = {**restored, block: {**restored[block], part: {**restored[block][part], name: dense}}}
    wanted = reference.logits(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), restored), tokens, config)
    np.testing.assert_allclose(apply(small, tokens, config), wanted, **FLOAT32)
    assert 1e-4 < np.abs(wanted - apply(params, tokens, config)).max() < 0.3


def test_a_column_of_zeros_stays_zero(params):
    kernel = params["head"]["kernel"].at[:, 3].set(0)
    small = quantise.int8({**params, "head": {"kernel": kernel}})
    np.testing.assert_array_equal(weights.dense(small["head"]["kernel"])[:, 3], 0)


def test_smaller_types_are_smaller(params, config):
    n = transformer.size(params)
    assert quantise.nbytes(params) == 4 * n
    assert quantise.nbytes(quantise.cast(params, jnp.bfloat16)) == 2 * n
    n_scales = 23 + 23 + 2 * (3 * 16 + 16 + 40 + 16)
    assert quantise.nbytes(quantise.int8(params)) == n + 4 * n_scales


def test_quantised_params_survive_a_checkpoint(params, tokens, config, tmp_path):
    small = quantise.int8(params)
    checkpoint.save(tmp_path / "small", small)
    restored, _ = checkpoint.restore(tmp_path / "small")
    np.testing.assert_array_equal(apply(restored, tokens, config), apply(small, tokens, config))
    key = jax.random.key(0)
    np.testing.assert_array_equal(
        generate.generate(key, restored, config, tokens, 2), generate.generate(key, small, config, tokens, 2)
    )
