"""Embeddings of texts and of tokens by weighted counts and a truncated singular value decomposition."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from qgen import check

NO_NORM: Any = None
"""Counts stay counts; scikit-learn's inferred type of `norm` knows strings only."""


def document_features(documents: Sequence[str], width: int, *, buckets: int = 4096, seed: int = 0) -> np.ndarray:
    """Latent semantic features: hashed words and word pairs, TF-IDF, truncated SVD, rows of unit length.

    Args:
        documents: the texts, more than `width` of them.
        width: features per document, at least 2.
        buckets: size of the hashed vocabulary, above `width`.
        seed: the seed of the randomised SVD.

    Returns:
        float32 [documents, width]; a text without words becomes the first unit vector.

    Raises:
        ValueError: for a width below 2, too few documents or too few buckets.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from threadpoolctl import threadpool_limits

    check.at_least("width", width, 2)
    check.at_least("len(documents)", len(documents), width + 1)
    check.at_least("buckets", buckets, width + 1)
    counts = HashingVectorizer(n_features=buckets, ngram_range=(1, 2), alternate_sign=False, norm=NO_NORM)
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(counts.transform(documents))
    # Matrices this narrow gain nothing from BLAS threads, which spin for up to 25 times the CPU time (and energy).
    with threadpool_limits(1):
        vectors = TruncatedSVD(width, n_iter=4, random_state=seed).fit_transform(weighted)
    return unit_rows(vectors)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one, float32; a row of zeros becomes the first unit vector."""
    vectors = np.array(vectors, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[lengths[:, 0] == 0, 0] = 1.0
    return (vectors / np.where(lengths == 0, 1.0, lengths)).astype(np.float32)


def token_vectors(
    streams: Sequence[np.ndarray], vocabulary: int, width: int, *, window: int = 4, seed: int = 0
) -> np.ndarray:
    """Item embeddings: positive pointwise mutual information of tokens within a window, truncated SVD.

    M_ab = max(0, log(p(a, b) / (p(a) p(b)^0.75))), M ~ U S V', embedding U sqrt(S) (Levy, Goldberg, Dagan, TACL 2015).

    Args:
        streams: token ids, one array per document, each below `vocabulary`.
        vocabulary: number of tokens, above `width`.
        width: features per token, at least 2.
        window: tokens to either side that count as context, at least 1.
        seed: the seed of the randomised SVD.

    Returns:
        float32 [vocabulary, width]; a token that never occurs has the mean vector of the others.

    Raises:
        ValueError: for a width, window or vocabulary out of range, or streams without two neighbouring tokens.
    """
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    check.at_least("width", width, 2)
    check.at_least("window", window, 1)
    check.at_least("vocabulary", vocabulary, width + 1)
    counts = np.zeros(vocabulary * vocabulary)
    for stream in streams:
        ids = np.asarray(stream, dtype=np.int64)
        for lag in range(1, min(window, len(ids) - 1) + 1):
            counts += np.bincount(ids[:-lag] * vocabulary + ids[lag:], minlength=vocabulary * vocabulary)
    counts = counts.reshape(vocabulary, vocabulary)
    counts = counts + counts.T
    check.positive("streams", counts.sum())
    row = counts.sum(axis=1)
    context = row**0.75 / (row**0.75).sum()
    seen = row > 0
    joint = counts / np.where(seen, row, 1.0)[:, None]
    ratio = joint / np.where(seen, context, 1.0)[None, :]
    information = np.log(np.maximum(ratio, 1.0)).astype(np.float32)
    with threadpool_limits(1):
        left, strength, _ = randomized_svd(information, width, random_state=seed)
    vectors = left * np.sqrt(strength)
    vectors[~seen] = vectors[seen].mean(axis=0)
    return vectors.astype(np.float32)
