import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import checkpoint
from qgen.lm import recipes, train, transformer
from qgen.lm.transformer import Config
from tests.lm import reference

FLOAT32 = {"atol": 2e-5, "rtol": 2e-5}
HALF = {"atol": 0.12, "rtol": 0.05}
apply = jax.jit(transformer.apply, static_argnames=("config", "gates", "features"))
extend = jax.jit(transformer.extend, static_argnames=("config", "gates"))

GATES = (0.7, 1.3, 0.0, 0.4)


def test_apply_is_the_numpy_transformer(params, wide, tokens, config):
    np.testing.assert_allclose(apply(params, tokens, config), reference.logits(wide, tokens, config), **FLOAT32)


@pytest.mark.parametrize("gates", [GATES, jnp.asarray(GATES)], ids=["static", "traced"])
def test_gates_scale_the_branches(params, wide, tokens, config, gates):
    result = jax.jit(lambda p: transformer.apply(p, tokens, config, gates=gates))(params)
    np.testing.assert_allclose(result, reference.logits(wide, tokens, config, GATES), **FLOAT32)


def test_a_static_zero_gate_takes_the_branch_out(params, tokens, config):
    def products(gates):
        return str(jax.make_jaxpr(lambda p: transformer.apply(p, tokens, config, gates=gates))(params)).count(
            "dot_general"
        )

    assert products((1, 1, 1, 1)) - products((1, 0, 1, 1)) == 2
    assert products((1, 1, 1, 1)) - products((0, 1, 1, 1)) == 4


def test_features_are_what_the_head_reads(params, tokens, config):
    features = apply(params, tokens, config, features=True)
    assert features.shape == (*tokens.shape, config.width)
    np.testing.assert_allclose(features @ params["head"]["kernel"], apply(params, tokens, config), **FLOAT32)


def test_no_position_sees_a_later_one(params, tokens, config):
    changed = tokens.copy()
    changed[:, 6] = (changed[:, 6] + 1) % config.vocabulary
    before, after = apply(params, tokens, config), apply(params, changed, config)
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert not np.allclose(before[:, 6:], after[:, 6:], atol=1e-3)


def test_reading_in_parts_on_a_cache_is_reading_at_once(params, wide, tokens, config):
    cache = transformer.empty_cache(params, config, len(tokens))
    _, cache = extend(params, tokens[:, :4], 0, cache, config, gates=GATES)
    result, _ = extend(params, tokens[:, 4:], 4, cache, config, gates=GATES)
    np.testing.assert_allclose(result, reference.logits(wide, tokens, config, GATES)[:, -1], **FLOAT32)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_runs_in_its_type_and_gives_float32_logits(params, wide, tokens, config, dtype):
    small = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    result = apply(small, tokens, config)
    assert result.dtype == jnp.float32
    assert apply(small, tokens, config, features=True).dtype == dtype
    assert transformer.empty_cache(small, config, 2)[0][0].dtype == dtype
    np.testing.assert_allclose(result, reference.logits(wide, tokens, config), **HALF)


def test_dropout_needs_a_key_and_drops_branch_outputs(params, wide, tokens, config):
    dropping = dataclasses.replace(config, dropout=0.3)
    gates, key = (0.0, 0.0, 0.0, 1.0), jax.random.key(4)
    np.testing.assert_allclose(
        apply(params, tokens, dropping, gates=gates), reference.logits(wide, tokens, config, gates), **FLOAT32
    )
    kept = np.asarray(jax.random.bernoulli(jax.random.fold_in(key, 3), 0.7, (*tokens.shape, config.width)))
    x = wide["embed"]["embedding"][tokens]
    mlp = wide["block_1"]["mlp"]
    change = np.maximum(reference.norm(x) @ mlp["up"]["kernel"], 0) ** 2 @ mlp["down"]["kernel"]
    np.testing.assert_allclose(
        apply(params, tokens, dropping, gates=gates, features=True, key=key),
        reference.norm(x + kept * change / 0.7),
        **FLOAT32,
    )


@pytest.mark.parametrize("n_features", [5, 16, 40])
def test_embeddings_start_the_table(config, n_features):
    given = np.random.default_rng(1).normal(2.0, 3.0, (config.vocabulary, n_features))
    table = transformer.init(jax.random.key(0), config, given)["embed"]["embedding"]
    plain = transformer.init(jax.random.key(0), config)["embed"]["embedding"]
    taken = min(n_features, config.width)
    np.testing.assert_array_equal(table[:, taken:], plain[:, taken:])
    np.testing.assert_allclose(np.mean(np.square(table[:, :taken])), 1, rtol=1e-4)
    left, values, _ = np.linalg.svd(given, full_matrices=False)
    wanted = (
        (left[:, :taken] * values[:taken]) @ (left[:, :taken] * values[:taken]).T
        if n_features > taken
        else given @ given.T
    )
    gram = np.asarray(table[:, :taken] @ table[:, :taken].T)
    np.testing.assert_allclose(gram / np.trace(gram), wanted / np.trace(wanted), atol=1e-5)


def test_params_are_nested_dicts_that_survive_a_checkpoint(params, tokens, config, tmp_path):
    checkpoint.save(tmp_path / "model", params, dataclasses.asdict(config))
    restored, fields = checkpoint.restore(tmp_path / "model")
    assert Config(**fields) == config
    np.testing.assert_array_equal(apply(restored, tokens, config), apply(params, tokens, config))


def test_initial_scales(config):
    large = transformer.init(jax.random.key(3), Config(200, 8, 64, 2, 4))
    assert transformer.size(large) == 200 * 64 * 2 + 2 * 12 * 64**2
    for leaf, std in (
        (large["embed"]["embedding"], 1.0),
        (large["head"]["kernel"], 64**-0.5),
        (large["block_1"]["attention"]["qkv"]["kernel"], 64**-0.5),
        (large["block_0"]["mlp"]["down"]["kernel"], (4 * 64) ** -0.5 / 2),
    ):
        assert abs(leaf.std() / std - 1) < 5 / np.sqrt(2 * leaf.size)


def test_schemes_scale_matrices_as_published(config):
    shape = Config(200, 8, 64, 2, 4)
    made = {name: transformer.init(jax.random.key(3), shape, scheme=name) for name in transformer.SCHEMES}
    for name, params in made.items():
        np.testing.assert_array_equal(params["embed"]["embedding"], made["normal"]["embed"]["embedding"])
        up, head = params["block_0"]["mlp"]["up"]["kernel"], params["head"]["kernel"]
        std = {"xavier": (2 / (64 + 256)) ** 0.5}.get(name, 64**-0.5)
        assert abs(up.std() / std - 1) < 5 / np.sqrt(2 * up.size)
        std = {"xavier": (2 / (64 + 200)) ** 0.5, "mup": 1 / 64}.get(name, 64**-0.5)
        assert abs(head.std() / std - 1) < 5 / np.sqrt(2 * head.size)
    values = np.linalg.svd(np.asarray(made["orthogonal"]["block_1"]["attention"]["qkv"]["kernel"]))[1]
    assert values.max() / values.min() == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="`scheme` must be one of: normal"):
        transformer.init(jax.random.key(0), config, scheme="zeros")


@pytest.mark.slow
def test_mup_moves_logits_as_far_at_every_width():
    """Coordinate check: a few steps at one learning rate change wide models' logits as much as narrow ones'."""
    tokens = np.random.default_rng(2).integers(0, 20, (8, 9)).astype(np.int32)
    recipe, moved = train.Recipe(learning_rate=3e-3, warmup=0.0, weight_decay=0.0), {}
    for width in (32, 256):
        shape = Config(20, 8, width, 1, width // 16, mlp_ratio=1)
        for scheme, optimiser in (("mup", recipes.mup), ("normal", train.adamw)):
            start = params = transformer.init(jax.random.key(1), shape, scheme=scheme)
            descent = optimiser(recipe, 4)

            @jax.jit
            def step(params, state, shape=shape, descent=descent):
                slope = jax.grad(lambda p: train.loss(p, shape, tokens[:, :-1], tokens[:, 1:]))(params)
                change, state = descent.update(slope, state, params)
                return jax.tree.map(jnp.add, params, change), state

            state = descent.init(params)
            for _ in range(3):
                params, state = step(params, state)
            change = apply(params, tokens[:1, :8], shape) - apply(start, tokens[:1, :8], shape)
            moved[scheme, width] = float(jnp.sqrt(jnp.mean(change**2)))
    assert 0.5 < moved["mup", 256] / moved["mup", 32] < 2
    assert moved["normal", 256] / moved["normal", 32] > 2.5


@pytest.mark.parametrize(
    "fields",
    [
        {"vocabulary": 0},
        {"context": 0},
        {"depth": 0},
        {"width": 0},
        {"heads": 0},
        {"mlp_ratio": 0.0},
        {"mlp_ratio": float("nan")},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"width": 18},
    ],
)
def test_impossible_architectures_are_refused(config, fields):
    with pytest.raises(ValueError, match=f"`{next(iter(fields))}`"):
        dataclasses.replace(config, **fields)


def test_wrong_shapes_are_refused(params, tokens, config):
    with pytest.raises(ValueError, match="tokens"):
        transformer.apply(params, np.zeros((1, config.context + 1), np.int32), config)
    with pytest.raises(ValueError, match=r"2 \* depth = 4"):
        transformer.apply(params, tokens, config, gates=(1, 1, 1))
    with pytest.raises(ValueError, match="gates"):
        transformer.extend(params, tokens, 0, transformer.empty_cache(params, config, 3), config, gates=jnp.ones(5))
    with pytest.raises(ValueError, match="embeddings"):
        transformer.init(jax.random.key(0), config, jnp.ones((config.vocabulary + 1, 4)))
