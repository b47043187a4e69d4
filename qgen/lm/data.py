"""Text corpora as tuples of documents: what every CPython carries, or a file or folder of the user's."""

import ast
import functools
import hashlib
import inspect
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from qgen import check
from qgen.lm import readers
from qgen.lm.readers import CorpusError
from qgen.types import Array, Int, Key

DOMAINS = ("prose", "code")
SHORTEST, LONGEST = 200, 2000
"""Characters of a document: shorter docstrings and functions are left out, longer texts are cut at line ends."""
LEAST_DOCUMENTS, LEAST_CHARACTERS = 32, 10_000
"""A smaller corpus cannot be split, deduplicated and trained on."""
LEFT_OUT = {
    "test",
    "tests",
    "idle_test",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "ensurepip",
}
"""Folders of the standard library that are tests, programs or packages of others."""
SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")
"""Fields of a syntax tree's statements that hold statements."""


def load_corpus(
    path: str | Path | None = None, *, domain: str = "prose", max_characters: int | None = None
) -> tuple[str, ...]:
    """Reads a corpus; the same call gives the same documents.

    Args:
        path: a text file, a folder of such files, JSONL or Parquet with a `text` column, or TSV with a `sentence` or
            `text` column; None takes what comes with Python.
        domain: without a path: "prose" is the language reference (`pydoc_data.topics`) and the docstrings of the
            standard library, "code" its functions and classes without their docstrings.
        max_characters: keep an unbiased choice of documents (by hash) of about this many characters; None keeps all.

    Returns:
        The documents, mostly 200 to 2000 characters each (table rows may be shorter), in the order of the source.

    Raises:
        CorpusError: if the path is missing, empty, binary, not UTF-8, of no known form, or too small; or if this Python
            came without its standard library's sources.
        ValueError: for an unknown domain or a cap below LEAST_CHARACTERS.
    """
    check.one_of("domain", domain, DOMAINS)
    if max_characters is not None:
        check.at_least("max_characters", max_characters, LEAST_CHARACTERS)
    if path is None:
        documents, source = _library()[domain], f"The standard library's {domain}"
    else:
        documents, source = tuple(readers.read(Path(path), SHORTEST, LONGEST)), f"Corpus {path}"
    n_characters = sum(map(len, documents))
    if len(documents) < LEAST_DOCUMENTS or n_characters < LEAST_CHARACTERS:
        raise CorpusError(
            f"{source} is too small: {len(documents)} documents with {n_characters} characters, but at least "
            f"{LEAST_DOCUMENTS} documents with {LEAST_CHARACTERS} characters are needed; give a larger text."
        )
    return documents if max_characters is None else choose(documents, max_characters)


def choose(documents: Sequence[str], max_characters: int) -> tuple[str, ...]:
    """Documents of about `max_characters` in all, chosen by their hash, in their old order."""
    chosen: set[int] = set()
    total = 0
    for place in sorted(range(len(documents)), key=lambda place: (_hash(documents[place]), place)):
        if total >= max_characters:
            break
        chosen.add(place)
        total += len(documents[place])
    return tuple(document for place, document in enumerate(documents) if place in chosen)


def split(documents: Sequence[str], holdout: float = 0.1) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and held-out documents; equal documents fall on one side, and a longer corpus keeps the sides.

    Args:
        documents: the documents.
        holdout: share of the documents to hold out, in (0, 1).

    Returns:
        `(train, held_out)`, both in the old order.

    Raises:
        ValueError: if the share is outside (0, 1) or a side is left empty.
    """
    if not 0 < holdout < 1:
        raise ValueError(f"Argument `holdout` must lie in (0, 1), but is {holdout}.")
    sides: tuple[list[str], list[str]] = ([], [])
    for document in documents:
        # A hash of its own: `choose` keeps the lowest plain hashes, which would all fall on one side.
        sides[_hash("split:" + document) < holdout * 2**64].append(document)
    if not all(sides):
        raise ValueError(f"Argument `documents` must fill both sides of a split, but has {len(documents)} documents.")
    return tuple(sides[0]), tuple(sides[1])


def batch(
    key: Key, tokens: Int[Array, " length"], size: int, context: int, length: Int[Array, ""] | int | None = None
) -> tuple[Int[Array, "size context"], Int[Array, "size context"]]:
    """Random windows of a token stream and the tokens that follow.

    Args:
        key: the random key.
        tokens: the stream.
        size: windows.
        context: tokens of a window.
        length: tokens of the stream that count, where it is padded; it may be traced.

    Returns:
        `(inputs, targets)`; `targets` is `inputs` moved on by one token.

    Raises:
        ValueError: if the stream has no more than `context` tokens.
    """
    check.at_least("tokens.size", tokens.shape[0], context + 1)
    last = (tokens.shape[0] if length is None else length) - context
    starts = jax.random.randint(key, (size,), 0, last)
    windows = tokens[starts[:, None] + jnp.arange(context + 1)[None, :]]
    return windows[:, :-1], windows[:, 1:]


def _hash(document: str) -> int:
    return int.from_bytes(hashlib.blake2b(document.encode(), digest_size=8).digest(), "big")


@functools.lru_cache
def _library() -> dict[str, tuple[str, ...]]:
    """Both domains at once, for one walk through the sources; about three seconds, kept for the life of the process."""
    from pydoc_data import topics

    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(_sources(root))
    prose = [piece for _, topic in sorted(topics.topics.items()) for piece in readers.pieces(topic, SHORTEST, LONGEST)]
    code: list[str] = []
    if not files:
        raise CorpusError(
            f"This Python has no standard library sources at {root}; give a corpus of your own by its path."
        )
    for file in files:
        source = file.read_text(encoding="utf-8", errors="replace")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about old escapes in the library's own strings
                tree = ast.parse(source)
        except SyntaxError:  # some distributions ship templates that only look like modules
            continue
        prose += _docstrings(tree)
        code += _code(tree, source)
    return {"prose": tuple(prose), "code": tuple(code)}


def _sources(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name not in LEFT_OUT and not entry.is_symlink():
                yield from _sources(entry)
        elif entry.suffix == ".py":
            yield entry


def _scopes(tree: ast.Module) -> list[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Whatever can have a docstring, outer before inner; expressions, most of a tree, are passed over."""
    level: list[ast.AST] = [tree]
    scopes = []
    while level:
        scopes += [node for node in level if isinstance(node, SCOPES)]
        blocks = (getattr(node, name, ()) for node in level for name in BLOCKS)
        level = [inner for block in blocks for inner in block]
    return scopes


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in _scopes(tree):
        text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
        if len(text) >= SHORTEST:
            yield from readers.pieces(text, SHORTEST, LONGEST)


def _code(tree: ast.Module, source: str) -> Iterator[str]:
    lines: list[str | None] = list(source.split("\n"))  # as ast counts lines: a form feed ends none
    for node in _scopes(tree):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and ast.get_docstring(node, clean=False) is not None:
            span = range(first.lineno - 1, first.end_lineno or first.lineno)
            lines[span.start : span.stop] = [None] * len(span)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            text = "\n".join(line for line in lines[start - 1 : node.end_lineno] if line is not None)
            if len(text) >= SHORTEST:
                yield from readers.pieces(text, SHORTEST, LONGEST)
