import numpy as np
import pytest

from qgen.classical import embedding

TOLERANCE = 1e-4


def texts():
    rng = np.random.default_rng(2)
    topics = [[f"{name}{i}" for i in range(12)] for name in ("cat", "law", "sea")]
    return [" ".join(rng.choice(topics[k % 3], 20)) for k in range(30)]


def test_documents_of_one_topic_lie_together():
    x = embedding.document_features(texts(), 8)
    assert x.shape == (30, 8) and x.dtype == np.float32
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=TOLERANCE)
    cosine = x @ x.T
    same = np.arange(30)[:, None] % 3 == np.arange(30)[None, :] % 3
    assert cosine[same].mean() > cosine[~same].mean() + 0.3


def test_features_keep_the_cosines_of_tfidf():
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    documents = texts()
    counts = HashingVectorizer(n_features=4096, ngram_range=(1, 2), alternate_sign=False, norm=None).transform(
        documents
    )
    dense = TfidfTransformer(sublinear_tf=True).fit_transform(counts).toarray()
    left, strength, _ = np.linalg.svd(dense, full_matrices=False)
    truncated = left[:, :20] * strength[:20]
    expected = truncated / np.linalg.norm(truncated, axis=1, keepdims=True)
    x = embedding.document_features(documents, 20)
    assert np.allclose(x @ x.T, expected @ expected.T, atol=0.02)


def test_a_text_without_words_has_a_unit_vector():
    x = embedding.document_features([*texts(), "?!"], 4)
    assert x[-1].tolist() == [1, 0, 0, 0]


def test_token_vectors_factor_the_information_matrix():
    rng = np.random.default_rng(4)
    size, window = 12, 2
    streams = [rng.integers(size - 1, size=70), rng.integers(size - 1, size=50)]
    counts = np.zeros((size, size))
    for stream in streams:
        for i in range(len(stream)):
            for j in range(max(0, i - window), min(len(stream), i + window + 1)):
                counts[stream[i], stream[j]] += i != j
    seen = size - 1  # the last token never occurs
    context = counts.sum(1)[:seen] ** 0.75
    with np.errstate(divide="ignore"):
        information = np.log((counts[:seen, :seen] / counts.sum(1)[:seen, None]) / (context / context.sum())[None, :])
    information = np.maximum(information, 0)
    vectors = embedding.token_vectors(streams, size, 11, window=window)
    left, strength, _ = np.linalg.svd(information)
    assert np.allclose(vectors[:seen] @ vectors[:seen].T, (left * strength) @ left.T, atol=1e-3)
    assert np.allclose(vectors[-1], vectors[:-1].mean(axis=0), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: embedding.document_features(["a b"] * 9, 1), "width"),
        (lambda: embedding.document_features(["a b"] * 3, 3), "documents"),
        (lambda: embedding.document_features(["a b"] * 9, 4, buckets=4), "buckets"),
        (lambda: embedding.token_vectors([np.arange(5)], 9, 1), "width"),
        (lambda: embedding.token_vectors([np.arange(5)], 9, 3, window=0), "window"),
        (lambda: embedding.token_vectors([np.arange(5)], 3, 3), "vocabulary"),
        (lambda: embedding.token_vectors([np.arange(1)], 9, 3), "streams"),
    ],
)
def test_wrong_arguments(call, word):
    with pytest.raises(ValueError, match=word):
        call()
