"""Near-duplicates of texts: planting them, finding the true ones by edit distance, and scoring a selection.

Two texts are near-duplicates when their word-level Levenshtein distance is at most a given share of the longer one. No
arm decides by this distance, so the truth favours none of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from qgen import check

HASH_BUCKETS = 512
"""Buckets of the bag-of-words bound; collisions only loosen the bound, they never lose a pair."""


class Scores(NamedTuple):
    """Precision, recall and F1 of removing redundant documents; each is 0 where it would be 0/0."""

    precision: float
    recall: float
    f1: float


def edit(rng: np.random.Generator, words: Sequence[str], share: float, lexicon: Sequence[str]) -> list[str]:
    """A copy of a text with random deletions, replacements and swaps of neighbours.

    Args:
        rng: the source of randomness.
        words: the text's words, at least 2.
        share: the edits as a share of the words, in [0, 1]; a swap counts as two.
        lexicon: the words that replace others.

    Returns:
        The edited words; their Levenshtein distance to `words` is at most `share * len(words)` (or 1).

    Raises:
        ValueError: for fewer than two words or a share outside [0, 1].
    """
    check.at_least("len(words)", len(words), 2)
    check.within("share", share, 0.0, 1.0)
    edited = list(words)
    left = max(1, int(share * len(words)))
    while left > 0 and len(edited) >= 2:
        place = int(rng.integers(len(edited) - 1))
        kind = int(rng.integers(3))
        if kind == 0:
            del edited[place]
        elif kind == 1 or left < 2:
            edited[place] = lexicon[int(rng.integers(len(lexicon)))]
        else:
            edited[place], edited[place + 1] = edited[place + 1], edited[place]
            left -= 1
        left -= 1
    return edited


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Word-level Levenshtein distance; one row of the table is one numpy expression."""
    ids = {word: i for i, word in enumerate(dict.fromkeys([*a, *b]))}
    left, right = (np.array([ids[word] for word in words], dtype=np.int64) for words in (a, b))
    steps = np.arange(len(right) + 1)
    row = steps.copy()
    for i, word in enumerate(left):
        best = np.empty_like(row)
        best[0] = i + 1
        best[1:] = np.minimum(row[1:] + 1, row[:-1] + (right != word))
        # An insertion costs one per step to the right, so the cheapest way in is a running minimum of cost minus place.
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def near_pairs(documents: Sequence[str], share: float) -> np.ndarray:
    """All pairs i < j whose word-level edit distance is at most `share` of the longer one, exactly.

    Pairs are first sieved by a lower bound: the distance is at least the larger one-sided difference of the two bags of
    words (Bartolini, Ciaccia, Patella: string matching with metric trees using an approximate distance, SPIRE 2002).

    Args:
        documents: the texts.
        share: the greatest distance as a share of the longer text's words, in [0, 1].

    Returns:
        Integer array [pairs, 2].

    Raises:
        ValueError: for a share outside [0, 1].
    """
    check.within("share", share, 0.0, 1.0)
    words = [document.lower().split() for document in documents]
    lengths = np.array([len(text) for text in words])
    bucket = {word: i % HASH_BUCKETS for i, word in enumerate(dict.fromkeys(w for text in words for w in text))}
    bags = np.zeros((len(words), HASH_BUCKETS), dtype=np.int32)
    for row, text in enumerate(words):
        np.add.at(bags[row], [bucket[word] for word in text], 1)
    found = []
    for i in range(len(words) - 1):
        longest = np.maximum(lengths[i], lengths[i + 1 :])
        close = i + 1 + np.flatnonzero(np.abs(lengths[i] - lengths[i + 1 :]) <= share * longest)
        shared = np.minimum(bags[i], bags[close]).sum(axis=1)
        bound = np.maximum(lengths[i], lengths[close]) - shared
        for j in close[bound <= share * np.maximum(lengths[i], lengths[close])]:
            if edit_distance(words[i], words[j]) <= share * max(lengths[i], lengths[j]):
                found.append((i, j))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def groups(n_documents: int, links: np.ndarray) -> np.ndarray:
    """Connected components of the links [pairs, 2]: one integer label per document, [n_documents]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = np.asarray(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(n_documents, n_documents))
    return connected_components(graph, directed=False)[1]


def keep_first(n_documents: int, links: np.ndarray) -> np.ndarray:
    """The selection rule of every arm: a document goes when it is linked to an earlier one; boolean [n_documents]."""
    keep = np.ones(n_documents, dtype=bool)
    links = np.asarray(links, dtype=np.int64).reshape(-1, 2)
    keep[links.max(axis=1)] = False
    return keep


def score(keep: np.ndarray, labels: np.ndarray) -> Scores:
    """How well a selection removes redundant documents.

    A group of m near-duplicates holds m - 1 redundant documents. A removed document counts as right when another member
    of its group stays: of a planted pair exactly one must remain. Removing a whole group, or a document that has no
    near-duplicate, is wrong.

    Args:
        keep: which documents stay, boolean [documents].
        labels: the true group of each document, [documents].

    Returns:
        Scores.

    Raises:
        ValueError: if the two differ in length.
    """
    keep, labels = np.asarray(keep, dtype=bool), np.asarray(labels)
    check.shape("keep", keep, (len(labels),))
    size = np.bincount(labels)
    removed = np.bincount(labels, weights=~keep)
    right = float(removed[removed < size].sum())
    wrong = float(removed[removed == size].sum())
    redundant = float((size[size > 0] - 1).sum())
    precision = right / (right + wrong) if right + wrong else 0.0
    recall = right / redundant if redundant else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Scores(precision, recall, f1)


def tune(candidates: Sequence[Any], keep_at: Callable[[Any], np.ndarray], labels: np.ndarray) -> Any:
    """The candidate whose selection has the best F1.

    Of equals the last wins: give the strictest threshold last, because a larger corpus than the one tuned on holds more
    chance pairs.

    Args:
        candidates: the values to try, each once: every arm is given the same number.
        keep_at: candidate -> boolean [documents].
        labels: the true group of each document, [documents].

    Raises:
        ValueError: without candidates.
    """
    check.at_least("len(candidates)", len(candidates), 1)
    scores = np.array([score(keep_at(candidate), labels).f1 for candidate in candidates])
    return candidates[int(np.flatnonzero(scores == scores.max())[-1])]
