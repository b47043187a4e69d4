"""MinHash-LSH near-duplicate search (Broder 1997; Leskovec, Rajaraman, Ullman ch. 3) with `datasketch`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qgen import check

if TYPE_CHECKING:
    from datasketch import MinHash


def shingles(document: str, width: int) -> set[bytes]:
    """The set of character n-grams of the text in lower case with single spaces; a short text is one shingle."""
    text = " ".join(document.lower().split())
    return {text[i : i + width].encode() for i in range(max(1, len(text) - width + 1))}


def signatures(documents: Sequence[str], *, width: int = 5, permutations: int = 128, seed: int = 1) -> "list[MinHash]":
    """MinHash signatures of the documents' shingle sets.

    Args:
        documents: the texts.
        width: characters of a shingle, at least 1.
        permutations: length of a signature, at least 2.
        seed: chooses the hash functions.

    Returns:
        One `datasketch.MinHash` per document.

    Raises:
        ValueError: for a width below 1 or fewer than two permutations.
    """
    from datasketch import MinHash

    check.at_least("width", width, 1)
    check.at_least("permutations", permutations, 2)
    return MinHash.bulk([list(shingles(document, width)) for document in documents], num_perm=permutations, seed=seed)


def links(signatures: "Sequence[MinHash]", threshold: float) -> np.ndarray:
    """Pairs that an LSH index proposes and whose signatures agree in at least `threshold` of their entries.

    Args:
        signatures: what `signatures` gave.
        threshold: the least estimated Jaccard similarity, in (0, 1).

    Returns:
        Integer array [pairs, 2], the earlier document first.

    Raises:
        ValueError: for a threshold outside (0, 1).
    """
    from datasketch import MinHashLSH

    if not 0 < threshold < 1:
        raise ValueError(f"Argument `threshold` must lie in (0, 1), but is {threshold}.")
    found: list[tuple[int, int]] = []
    if signatures:
        index = MinHashLSH(threshold=threshold, num_perm=len(signatures[0]))
        for j, sketch in enumerate(signatures):
            proposed = sorted(int(str(place)) for place in index.query(sketch))
            found += [(i, j) for i in proposed if signatures[i].jaccard(sketch) >= threshold]
            index.insert(j, sketch)
    return np.array(found, dtype=np.int64).reshape(-1, 2)
