import jax.numpy as jnp
import numpy as np
import pytest

from qgen.classical import compression

TOLERANCE = 1e-5


def vectors(width=12):
    return np.random.default_rng(6).normal(size=(40, width)).astype(np.float32)


def test_word2ket_is_the_best_sum_of_products():
    v = vectors()
    for rank in (1, 2):
        found = np.asarray(compression.word2ket(jnp.asarray(v), rank))
        for row, rebuilt in zip(v[:5], found[:5], strict=True):
            left, strength, right = np.linalg.svd(row.reshape(3, 4).astype(float))
            best = (left[:, :rank] * strength[:rank]) @ right[:rank]
            assert np.allclose(rebuilt, best.reshape(-1), atol=1e-4)
    assert np.allclose(compression.word2ket(jnp.asarray(v), 3), v, atol=1e-4)


def test_product_quantisation_has_few_codes_per_piece():
    v = vectors()
    found = compression.product_quantised(v, 3, 8, seed=1)
    for piece, original in zip(np.split(found, 3, axis=1), np.split(v, 3, axis=1), strict=True):
        codes = np.unique(piece, axis=0)
        assert len(codes) <= 8
        nearest = codes[((original[:, None] - codes[None]) ** 2).sum(-1).argmin(1)]
        assert np.allclose(piece, nearest, atol=TOLERANCE)
    assert ((found - v) ** 2).mean() < 0.6 * (v**2).mean()


def test_random_vectors_keep_the_norms_only(key):
    v = vectors()
    found = np.asarray(compression.random_vectors(key, jnp.asarray(v)))
    assert np.allclose(np.linalg.norm(found, axis=1), np.linalg.norm(v, axis=1), rtol=1e-4)
    cosine = (found * v).sum(1) / (v**2).sum(1)
    assert abs(cosine.mean()) < 5 / np.sqrt(12 * 40)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: compression.word2ket(jnp.asarray(vectors()), 0), "rank"),
        (lambda: compression.product_quantised(vectors(), 0, 4, 0), "parts"),
        (lambda: compression.product_quantised(vectors(), 5, 4, 0), "parts"),
        (lambda: compression.product_quantised(vectors(), 3, 41, 0), "codes"),
    ],
)
def test_wrong_arguments(call, word):
    with pytest.raises(ValueError, match=word):
        call()
