"""Every low-rank arm on a model's matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.lm import adapters, factorised, transformer
from qgen.stages import low_rank

RANK = 4
# One worker makes the fixture, not both.


@pytest.fixture(scope="module")
def model():
    # As many features in the MLP as in the keys, queries and values together: matrices of one shape share programs.
    config = transformer.Config(20, 16, 16, 1, 2, mlp_ratio=3)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: transformer.init(jax.random.key(0), config))
    params = jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), jnp.float32), shapes)
    tokens = jnp.asarray(rng.integers(0, config.vocabulary, (16, config.context)))
    inputs = jax.jit(lambda tokens: factorised.block_inputs(params, tokens, config))
    return params, inputs(tokens[:8]), inputs(tokens[8:])


@pytest.fixture(scope="module")
def made(model):
    params, seen, _ = model
    return {arm: low_rank.compress(arm, jax.random.key(1), params, seen, RANK) for arm in low_rank.ARMS}


def frobenius(params, factors):
    """Relative distance of every matrix to its product, by numpy."""
    return {
        place: np.linalg.norm(matrix - np.asarray(factors[place][0]) @ np.asarray(factors[place][1]))
        / np.linalg.norm(matrix)
        for place, matrix in ((p, np.asarray(k)) for p, k in adapters.matrices(params, adapters.BLOCKS).items())
    }


def test_nothing_beats_the_truncated_svd_in_frobenius_norm(model, made):
    params = model[0]
    best = {
        place: np.sqrt(np.sum(s[RANK:] ** 2) / np.sum(s**2))
        for place, s in (
            (p, np.linalg.svd(np.asarray(k), compute_uv=False))
            for p, k in adapters.matrices(params, adapters.BLOCKS).items()
        )
    }
    for arm, found in made.items():
        errors = frobenius(params, found.factors)
        assert all(errors[place] > best[place] - 1e-5 for place in best), arm
        # Any arm that looks at the matrix leaves less than the matrix itself; random factors do not.
        assert (np.mean(list(errors.values())) < 1) == (arm != "control/random_factors"), arm
    np.testing.assert_allclose(
        list(frobenius(params, made["classical/truncated_svd"].factors).values()), list(best.values()), atol=1e-4
    )


def test_output_error_ranks_the_arms_as_it_should(model, made):
    params, seen, unseen = model
    errors = {arm: low_rank.output_error(params, found.factors, seen) for arm, found in made.items()}
    assert min(errors, key=errors.__getitem__) == "classical/activation_aware_svd"
    place = "block_0/mlp/up"
    left, right = (np.asarray(part) for part in made["control/fkv"].factors[place])
    x, matrix = np.asarray(unseen[place]), np.asarray(adapters.matrices(params)[place])
    wanted = np.linalg.norm(x @ matrix - x @ left @ right) / np.linalg.norm(x @ matrix)
    one = low_rank.output_error(params, {place: made["control/fkv"].factors[place]}, unseen)
    np.testing.assert_allclose(one, wanted, rtol=1e-4)


def test_only_quantum_arms_need_a_quantum_machine(made):
    for arm, found in made.items():
        shots = sum(item.shots for item in found.resources)
        assert (shots > 0) == arm.startswith("quantum/"), arm
        assert {factors[0].shape[1] for factors in found.factors.values()} == {RANK}


def test_bad_arguments_are_refused(model):
    params, seen, _ = model
    with pytest.raises(ValueError, match="`name` must be one of"):
        low_rank.compress("classical/magic", jax.random.key(0), params, seen, 2)
    with pytest.raises(ValueError, match=r"`rank` must lie in \[1, 16\]"):
        low_rank.compress("classical/truncated_svd", jax.random.key(0), params, seen, 17)
