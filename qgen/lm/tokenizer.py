"""Tokenizers of Hugging Face `tokenizers`, with their JSON text as the artefact.

BPE and WordPiece work on bytes (the ByteLevel alphabet), so every text has a code and comes back unchanged; a character
tokenizer knows the characters of its training texts and codes others as one unknown token.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qgen import check

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KINDS = ("bpe", "wordpiece", "char")
END = "<|end|>"
"""Stands before, between and after documents in a token stream; always id 0."""
UNKNOWN = "<|unknown|>"
BYTES = 256


def train(texts: Iterable[str], kind: str = "bpe", vocabulary: int = 1024) -> str:
    """Trains a tokenizer; the same texts give the same one.

    Args:
        texts: the training texts.
        kind: "bpe" (byte-pair merges), "wordpiece" (the same merges read as pieces, longest match first) or "char".
        vocabulary: the most tokens, END and all bytes included; for "char" the rarest characters give way.

    Returns:
        The tokenizer as JSON text.

    Raises:
        ValueError: for an unknown kind, a vocabulary that has no room for the bytes, or no text.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    check.one_of("kind", kind, KINDS)
    check.at_least("vocabulary", vocabulary, 3 if kind == "char" else BYTES + 1)
    texts = list(texts)
    if not any(texts):
        raise ValueError("Argument `texts` must hold at least one text that is not empty.")
    special = [END, UNKNOWN] if kind == "char" else [END]
    if kind == "char":
        counts: dict[str, int] = {}
        for text in texts:
            for letter in text:
                counts[letter] = counts.get(letter, 0) + 1
        letters = sorted(counts, key=lambda letter: (-counts[letter], letter))[: vocabulary - len(special)]
        ids = {token: place for place, token in enumerate(special + sorted(letters))}
        tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
        return tokenizer.to_str()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    else:
        # Without a continuation prefix one byte is one token wherever it stands, so that no word can be unknown; the
        # leading space that ByteLevel keeps marks where words begin.
        tokenizer = Tokenizer(models.WordPiece(unk_token=END, max_input_chars_per_word=1_000_000))
        tokenizer.model.continuing_subword_prefix = ""
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocabulary,
            special_tokens=special,
            initial_alphabet=alphabet,
            continuing_subword_prefix="",
            show_progress=False,
        )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


@functools.lru_cache(maxsize=16)
def _load(json_text: str) -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json_text)
    tokenizer.encode_special_tokens = True  # a document that spells out a special token is text like any other
    return tokenizer


def vocabulary_size(json_text: str) -> int:
    """Number of tokens."""
    return _load(json_text).get_vocab_size()


def encode(json_text: str, texts: Sequence[str]) -> list[np.ndarray]:
    """Token ids of each text, int32, without END."""
    return [np.asarray(code.ids, np.int32) for code in _load(json_text).encode_batch_fast(list(texts))]


def decode(json_text: str, ids: Sequence[int] | np.ndarray) -> str:
    """The text of token ids; END vanishes, an unknown character becomes the replacement character."""
    tokenizer = _load(json_text)
    unknown, end = tokenizer.token_to_id(UNKNOWN), tokenizer.token_to_id(END)
    parts, run = [], []
    for token in map(int, ids):
        if token == unknown:
            parts += [tokenizer.decode(run, skip_special_tokens=False), "\N{REPLACEMENT CHARACTER}"]
            run = []
        elif token != end:
            run.append(token)
    return "".join([*parts, tokenizer.decode(run, skip_special_tokens=False)])


def stream(json_text: str, texts: Sequence[str]) -> np.ndarray:
    """All texts as one line of token ids, int32: END, text, END, text, ..., END."""
    end = np.asarray([_load(json_text).token_to_id(END)], np.int32)
    parts = [end]
    for ids in encode(json_text, texts):
        parts += [ids, end]
    return np.concatenate(parts)


def unknown_bytes(json_text: str, texts: Sequence[str]) -> int:
    """UTF-8 bytes of the characters that the tokenizer has no token for."""
    tokenizer = _load(json_text)
    if tokenizer.token_to_id(UNKNOWN) is None:
        return 0
    known = set(tokenizer.get_vocab())
    return sum(len(letter.encode()) for text in texts for letter in text if letter not in known)


def bytes_per_token(json_text: str, texts: Sequence[str]) -> float:
    """UTF-8 bytes of the texts over their tokens: how much one token says."""
    n_bytes = sum(len(text.encode()) for text in texts)
    return n_bytes / max(1, sum(len(ids) for ids in encode(json_text, texts)))
