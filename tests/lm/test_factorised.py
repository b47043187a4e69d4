"""Products of low rank as stored matrices, and what flows into each matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.lm import adapters, factorised, quantise, train, transformer, weights

FLOAT32 = {"atol": 3e-5, "rtol": 3e-5}


@pytest.fixture(scope="module")
def factors(params):
    """Random factors for every block matrix, and their products by numpy."""
    rng = np.random.default_rng(7)
    return {
        place: tuple(jnp.asarray(rng.normal(size=shape) * 0.3, jnp.float32) for shape in ((n_in, 3), (3, n_out)))
        for place, (n_in, n_out) in {p: k.shape for p, k in adapters.matrices(params, adapters.BLOCKS).items()}.items()
    }


def test_a_factorised_model_is_the_model_of_its_products(params, config, tokens, factors):
    small = factorised.factorise(params, factors)
    dense = adapters.replaced(params, {p: jnp.asarray(np.asarray(a) @ np.asarray(b)) for p, (a, b) in factors.items()})
    apply = jax.jit(lambda p: transformer.apply(p, tokens, config))
    np.testing.assert_allclose(apply(small), apply(dense), atol=2e-4, rtol=2e-4)
    blocks = sum(3 * sum(kernel.shape) for kernel in adapters.matrices(params, adapters.BLOCKS).values())
    rest = transformer.size({"embed": params["embed"], "head": params["head"]})
    assert transformer.size(small) == blocks + rest
    place = "block_0/mlp/up"
    np.testing.assert_allclose(weights.dense(adapters.matrices(small)[place]), factors[place][0] @ factors[place][1])
    # Each factor is quantised on its own, and training reaches both.
    stored = adapters.matrices(quantise.int8(small))[place]
    assert stored["left"]["int8"].dtype == stored["right"]["int8"].dtype == jnp.int8
    scales = [np.abs(np.asarray(part)).max(0) / 127 for part in factors[place]]
    found = weights.dense(stored)
    bound = 0.5 * (
        np.abs(np.asarray(factors[place][0])) @ np.tile(scales[1], (3, 1))
        + np.tile(scales[0], (len(factors[place][0]), 1)) @ np.abs(np.asarray(factors[place][1]))
        + scales[0].sum() * scales[1][None] / 2
    )
    assert np.all(np.abs(found - weights.dense(adapters.matrices(small)[place])) <= bound + 1e-5)
    slopes = jax.jit(jax.grad(lambda p: train.loss(p, config, tokens[:, :-1], tokens[:, 1:])))(small)
    for part in ("left", "right"):
        assert float(jnp.linalg.norm(slopes["block_0"]["mlp"]["up"]["kernel"][part])) > 1e-4


def test_inputs_are_what_each_matrix_is_multiplied_with(params, config, tokens):
    """The first block's inputs by hand; every other by its output: x @ W is what the next computation sees."""
    found = factorised.block_inputs(params, tokens, config)
    assert set(found) == set(adapters.matrices(params, adapters.BLOCKS))
    rows = tokens.size
    assert all(
        found[place].shape == (rows, k.shape[0]) for place, k in adapters.matrices(params, adapters.BLOCKS).items()
    )
    embedded = np.asarray(params["embed"]["embedding"])[np.asarray(tokens).reshape(-1)]
    normed = embedded / np.sqrt(np.mean(embedded**2, axis=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(found["block_0/attention/qkv"], normed, atol=1e-3)
    up, down = found["block_0/mlp/up"], found["block_0/mlp/down"]
    hidden = np.maximum(np.asarray(up) @ np.asarray(params["block_0"]["mlp"]["up"]["kernel"]), 0) ** 2
    np.testing.assert_allclose(down, hidden, **FLOAT32)
