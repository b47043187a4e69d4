import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgen.lm import tokenizer

TEXTS = (
    "The reader of this line reads the line once, and then reads the rest of it once more.",
    "def once(line):\n\treturn line.strip()  # naïve — 100 €",
    "the readers read; the lines are read\n\n and re-read",
)
STRANGE = ["", " ", "\n\t x", "ζ 你好 🙂", "a<|end|>b <|unknown|>", "x" * 500, "\x00\x07"]


@pytest.fixture(scope="module", params=tokenizer.KINDS)
def table(request):
    return request.param, tokenizer.train(TEXTS, request.param, 300)


def test_training_twice_gives_one_tokenizer(table):
    kind, text = table
    assert tokenizer.train(TEXTS, kind, 300) == text
    assert tokenizer.vocabulary_size(text) <= 300


def test_every_training_text_comes_back(table):
    _, text = table
    for document, ids in zip(TEXTS, tokenizer.encode(text, TEXTS), strict=True):
        assert ids.dtype == np.int32
        assert 0 not in ids
        assert tokenizer.decode(text, ids) == document


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
@pytest.mark.parametrize("document", STRANGE)
def test_byte_tokenizers_code_every_text(kind, document):
    text = tokenizer.train(TEXTS, kind, 300)
    assert tokenizer.decode(text, tokenizer.encode(text, [document])[0]) == document
    assert tokenizer.unknown_bytes(text, [document]) == 0


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_byte_tokenizers_come_back_from_any_text(document):
    for kind in ("bpe", "wordpiece"):
        text = tokenizer.train(TEXTS, kind, 280)
        assert tokenizer.decode(text, tokenizer.encode(text, [document])[0]) == document


def test_characters_are_one_token_each_and_others_are_unknown():
    text = tokenizer.train(["abca", "ab\n"], "char", 100)
    assert tokenizer.vocabulary_size(text) == 6
    (ids,) = tokenizer.encode(text, ["aé\nb€"])
    assert len(ids) == 5
    assert ids[1] == ids[4]
    assert tokenizer.decode(text, ids) == "a\ufffd\nb\ufffd"
    assert tokenizer.unknown_bytes(text, ["aé\nb€", "c"]) == 2 + 3


def test_a_small_character_vocabulary_keeps_the_frequent_ones():
    text = tokenizer.train(["aaabbc"], "char", 4)
    assert tokenizer.decode(text, tokenizer.encode(text, ["abc"])[0]) == "ab\ufffd"


def test_merges_say_more_with_one_token():
    few, many = (tokenizer.train(TEXTS, "bpe", size) for size in (258, 320))
    assert tokenizer.bytes_per_token(many, TEXTS) > 1.3 * tokenizer.bytes_per_token(few, TEXTS)
    n_bytes = sum(len(document.encode()) for document in TEXTS)
    n_tokens = sum(map(len, tokenizer.encode(many, TEXTS)))
    assert tokenizer.bytes_per_token(many, TEXTS) == n_bytes / n_tokens


def test_stream_puts_the_end_around_every_text(table):
    _, text = table
    first, second, third = tokenizer.encode(text, TEXTS)
    end = np.zeros(1, np.int32)
    np.testing.assert_array_equal(
        tokenizer.stream(text, TEXTS), np.concatenate([end, first, end, second, end, third, end])
    )
    assert tokenizer.decode(text, tokenizer.stream(text, TEXTS)) == "".join(TEXTS)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"one of: bpe, wordpiece, char.*'bpe'"):
        tokenizer.train(TEXTS, "bpee")
    with pytest.raises(ValueError, match="`vocabulary` must be at least 257"):
        tokenizer.train(TEXTS, "bpe", 256)
    with pytest.raises(ValueError, match="`vocabulary` must be at least 3"):
        tokenizer.train(TEXTS, "char", 2)
    with pytest.raises(ValueError, match="`texts`"):
        tokenizer.train(["", ""], "char")
