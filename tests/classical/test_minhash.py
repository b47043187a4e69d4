import itertools

import numpy as np
import pytest

from qgen.classical import minhash
from qgen.classical import near_duplicates as near

SIGMAS = 5


def corpus():
    rng = np.random.default_rng(5)
    lexicon = ["".join(rng.choice(list("abcdefghij"), 5)) for _ in range(300)]
    texts = [[lexicon[i] for i in rng.integers(300, size=60)] for _ in range(15)]
    copies = [near.edit(rng, text, 0.08, lexicon) for text in texts[:5]]
    return [" ".join(text) for text in texts + copies]


def jaccard(a, b, width):
    first, second = ({text[i : i + width] for i in range(len(text) - width + 1)} for text in (a, b))
    return len(first & second) / len(first | second)


def test_estimates_are_jaccard_similarities():
    documents = corpus()
    permutations = 256
    signatures = minhash.signatures(documents, width=5, permutations=permutations, seed=3)
    for i in range(5):
        true = jaccard(documents[i], documents[15 + i], 5)
        assert 0.4 < true < 0.95
        assert abs(signatures[i].jaccard(signatures[15 + i]) - true) < SIGMAS * np.sqrt(
            true * (1 - true) / permutations
        )


def test_planted_copies_are_found_and_nothing_else():
    documents = corpus()
    expected = {
        (i, j)
        for i, j in itertools.combinations(range(len(documents)), 2)
        if jaccard(documents[i], documents[j], 5) > 0.4
    }
    assert {(i, 15 + i) for i in range(5)} <= expected
    found = minhash.links(minhash.signatures(documents, seed=2), 0.3)
    assert set(map(tuple, found.tolist())) == expected


def test_shingles():
    assert minhash.shingles("Ab  c\nd", 4) == {b"ab c", b"b c ", b" c d"}
    assert minhash.shingles("Ab", 4) == {b"ab"}
    assert minhash.links([], 0.5).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: minhash.signatures(["a"], width=0), "width"),
        (lambda: minhash.signatures(["a"], permutations=1), "permutations"),
        (lambda: minhash.links([], 1.0), "threshold"),
    ],
)
def test_wrong_arguments(call, word):
    with pytest.raises(ValueError, match=word):
        call()
