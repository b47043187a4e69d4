"""Low-rank adapters and quantised matrices: two ways of storing a matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import checkpoint
from qgen.lm import generate, lora, quantise, train, transformer, weights
from qgen.lm.train import Recipe
from tests.lm import reference

FLOAT32 = {"atol": 5e-5, "rtol": 5e-5}
apply = jax.jit(transformer.apply, static_argnames="config")


@pytest.fixture(scope="module")
def adapters(params):
    made = lora.init(jax.random.key(2), params, 3, ("qkv", "down"))
    return jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), made)


def _added(wide, adapters):
    changed = jax.tree.map(lambda leaf: leaf, wide)
    for place, pair in adapters.items():
        block, part, name = place.split("/")
        product = np.asarray(pair["a"], np.float64) @ np.asarray(pair["b"], np.float64)
        changed[block][part][name]["kernel"] = wide[block][part][name]["kernel"] + product
    return changed


def test_attached_and_merged_adapters_are_base_plus_product(params, wide, tokens, config, adapters):
    wanted = reference.logits(_added(wide, adapters), tokens, config)
    np.testing.assert_allclose(apply(lora.attach(params, adapters), tokens, config), wanted, **FLOAT32)
    np.testing.assert_allclose(apply(lora.merge(params, adapters), tokens, config), wanted, **FLOAT32)
    assert not np.allclose(apply(params, tokens, config), wanted, atol=0.05)


def test_fresh_adapters_change_nothing_and_have_their_rank(params, tokens, config):
    fresh = lora.init(jax.random.key(0), params, 2, ("out", "up"))
    assert list(fresh) == ["block_0/attention/out", "block_0/mlp/up", "block_1/attention/out", "block_1/mlp/up"]
    assert fresh["block_0/mlp/up"]["a"].shape == (16, 2)
    assert fresh["block_0/mlp/up"]["b"].shape == (2, 40)
    assert not np.allclose(fresh["block_0/mlp/up"]["a"], fresh["block_1/mlp/up"]["a"])
    np.testing.assert_array_equal(apply(lora.merge(params, fresh), tokens, config), apply(params, tokens, config))


def test_blocks_keep_their_order_beyond_ten():
    deep = transformer.init(jax.random.key(0), transformer.Config(5, 4, 4, 12, 1))
    assert [place.split("/")[0] for place in lora.kernels(deep)][::4] == [f"block_{layer}" for layer in range(12)]


def test_training_adapters_on_a_quantised_base_lowers_the_loss(params, config, stream):
    frozen = quantise.int8(params)
    fresh = lora.init(jax.random.key(0), params, 4)
    fit = train.fit(
        jax.random.key(1), fresh, config, stream, Recipe(2e-2), 60, 8, objective=lora.objective(config), extra=frozen
    )
    assert fit.losses[-5:].mean() < fit.losses[0] - 0.5
    merged = lora.merge(frozen, fit.params)
    assert (
        abs(
            train.token_loss(merged, config, stream) - train.token_loss(lora.attach(frozen, fit.params), config, stream)
        )
        < 1e-4
    )
    np.testing.assert_array_equal(weights.dense(merged["head"]["kernel"]), weights.dense(frozen["head"]["kernel"]))


def test_training_adapters_never_forms_a_wide_gradient(params, config, tokens):
    """The point of keeping base, a and b apart: no product of training has the shape of a base."""
    fresh = lora.init(jax.random.key(0), params, 2, ("up",))
    objective = lora.objective(config)
    gradient = jax.make_jaxpr(jax.grad(objective))(fresh, params, tokens, tokens, jax.random.key(0))
    shapes = [eqn.outvars[0].aval.shape for eqn in gradient.eqns if eqn.primitive.name == "dot_general"]
    assert (16, 2) in shapes or (2, 16) in shapes
    assert (16, 40) not in shapes
    assert (40, 16) not in shapes


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
    for place, kernel in lora.kernels(small).items():
        block, part, name = place.split("/")
        restored = {
            **restored,
            block: {**restored[block], part: {**restored[block][part], name: {"kernel": weights.dense(kernel)}}},
        }
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


def test_bad_arguments_are_refused(params):
    with pytest.raises(ValueError, match="`rank` must be at least 1"):
        lora.init(jax.random.key(0), params, 0)
    with pytest.raises(ValueError, match="`targets` must be one of: qkv, out, up, down"):
        lora.init(jax.random.key(0), params, 1, ("query",))
