"""Checks: every refusal says what is wrong and what would be right."""

import math

import numpy as np
import pytest

from qgen import check, checkpoint


def test_what_is_right_passes():
    check.at_least("depth", 3, 3)
    check.positive("rate", 0.1)
    check.within("share", 0.4, 0, 1)
    check.one_of("kind", "bpe", ["bpe", "char"])
    check.shape("x", np.ones((3, 4)), (None, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check.at_least("depth", 0, 1), "Argument `depth` must be at least 1, but is 0."),
        (lambda: check.at_least("depth", math.nan, 1), "but is nan"),
        (lambda: check.positive("rate", 0), "must be above 0, but is 0"),
        (lambda: check.within("share", 1.5, 0, 1), r"must lie in \[0, 1\], but is 1.5"),
        (lambda: check.one_of("kind", "bpf", ["bpe", "char"]), "one of: bpe, char; but is 'bpf'. Did you mean 'bpe'?"),
        (lambda: check.shape("x", np.ones((3, 4)), (None, 5)), r"must have shape \(any, 5\), but has shape \(3, 4\)"),
        (lambda: check.shape("x", np.ones(3), (3, 1)), r"must have shape \(3, 1\)"),
    ],
)
def test_what_is_wrong_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_checkpoint_round_trip_and_absence(tmp_path):
    tree = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "deep": {"bits": np.array([1, 0], np.int8)}}
    place = tmp_path / "here"
    assert not checkpoint.exists(place)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        checkpoint.restore(place)
    checkpoint.save(place, tree, {"words": ["a", "b"]})
    arrays, meta = checkpoint.restore(place)
    np.testing.assert_array_equal(arrays["w"], tree["w"])
    assert arrays["deep"]["bits"].dtype == np.int8 and meta == {"words": ["a", "b"]}
    checkpoint.save(place, None, 5)
    assert checkpoint.restore(place) == (None, 5)
