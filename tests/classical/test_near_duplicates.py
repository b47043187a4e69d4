import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgen.classical import near_duplicates as near

words = st.lists(st.sampled_from("abcd"), min_size=2, max_size=9)


def reference_distance(a, b):
    @functools.cache
    def distance(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return distance(len(a), len(b))


@settings(max_examples=60, deadline=None)
@given(words, words)
def test_edit_distance_is_levenshtein(a, b):
    assert near.edit_distance(a, b) == reference_distance(tuple(a), tuple(b))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 60), st.floats(0.05, 0.5))
def test_edit_stays_within_its_share(seed, length, share):
    text = [f"w{i}" for i in range(length)]
    edited = near.edit(np.random.default_rng(seed), text, share, ["new", "words"])
    assert 0 < near.edit_distance(text, edited) <= max(1, share * length) or edited == text


def test_edit_does_all_three_kinds():
    rng = np.random.default_rng(3)
    text = [f"w{i}" for i in range(40)]
    edited = near.edit(rng, text, 0.7, ["new"])
    assert "new" in edited
    assert len(edited) < len(text)
    places = [int(word[1:]) for word in edited if word != "new"]
    assert places != sorted(places), "no word was moved"


def test_near_pairs_equal_the_exhaustive_search():
    rng = np.random.default_rng(1)
    lexicon = [f"v{i}" for i in range(30)]
    texts = [[lexicon[i] for i in rng.integers(30, size=rng.integers(8, 25))] for _ in range(20)]
    texts += [near.edit(rng, texts[i], share, lexicon) for i, share in enumerate(np.linspace(0.05, 0.5, 12))]
    documents = [" ".join(text) for text in texts]
    expected = {
        (i, j)
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if reference_distance(tuple(texts[i]), tuple(texts[j])) <= 0.3 * max(len(texts[i]), len(texts[j]))
    }
    assert expected
    assert set(map(tuple, near.near_pairs(documents, 0.3).tolist())) == expected


def test_groups_are_components():
    labels = near.groups(6, np.array([[0, 3], [3, 5], [1, 2]]))
    assert labels[0] == labels[3] == labels[5]
    assert labels[1] == labels[2]
    assert len(set(labels.tolist())) == 3
    assert len(set(near.groups(3, np.zeros((0, 2))).tolist())) == 3


def test_keep_first_drops_the_later_one():
    keep = near.keep_first(5, np.array([[3, 1], [1, 4]]))
    assert keep.tolist() == [True, True, True, False, False]


def test_score_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2, 3])
    # Two of the first group go rightly, the second group is lost whole, and so is a document without a near-duplicate.
    keep = np.array([True, False, False, False, False, False, True])
    result = near.score(keep, labels)
    assert result.precision == pytest.approx(2 / 5)
    assert result.recall == pytest.approx(2 / 3)
    assert result.f1 == pytest.approx(2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3))
    assert near.score(np.ones(7, bool), labels) == near.Scores(0.0, 0.0, 0.0)
    assert near.score(np.ones(3, bool), np.arange(3)) == near.Scores(0.0, 0.0, 0.0)


def test_tune_takes_the_strictest_of_the_best():
    labels = np.array([0, 0, 1])
    keeps = {0.2: [True, False, False], 0.5: [True, False, True], 0.6: [True, False, True], 0.9: [True, True, True]}
    assert near.tune(list(keeps), lambda value: np.array(keeps[value]), labels) == 0.6


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda rng: near.edit(rng, ["one"], 0.2, ["x"]), "words"),
        (lambda rng: near.edit(rng, ["one", "two"], 1.5, ["x"]), "share"),
        (lambda rng: near.near_pairs(["a b"], -0.1), "share"),
        (lambda rng: near.score(np.ones(3, bool), np.zeros(4, int)), "keep"),
        (lambda rng: near.tune([], lambda value: np.ones(1, bool), np.zeros(1, int)), "candidates"),
    ],
)
def test_wrong_arguments(call, word):
    with pytest.raises(ValueError, match=word):
        call(np.random.default_rng(0))
