"""Readers of a user's corpus: one function per form of file, one clear sentence for everything that cannot be read."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

TEXT_SUFFIXES = ("", ".txt", ".text", ".md", ".rst")
ADVICE = (
    "give a UTF-8 text file, a folder of them, JSONL or Parquet with a `text` column, or TSV with a `sentence` column"
)


class CorpusError(ValueError):
    """A corpus that cannot be used; the message names the path and what would work."""


def read(path: Path, shortest: int, longest: int) -> Iterator[str]:
    """Documents of a file, or of all files of a folder whose suffix is known, in the order of their names.

    Args:
        path: the file or folder.
        shortest: characters below which a paragraph is joined to the next one.
        longest: characters above which a text is cut.

    Raises:
        CorpusError: if the path is missing, empty, binary, not UTF-8, unreadable, or of no known form.
    """
    if not path.exists():
        raise CorpusError(f"Corpus {path} does not exist; {ADVICE}.")
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix in (*TEXT_SUFFIXES, *TABLES))
        if not files:
            known = " ".join([*TEXT_SUFFIXES[1:], *TABLES])
            raise CorpusError(f"Corpus {path} is a folder without any text ({known}); {ADVICE}.")
    for file in files:
        if file.suffix in TABLES:
            for text in TABLES[file.suffix](file):
                yield from _cut(text.strip(), longest)
        else:
            yield from pieces(_text(file), shortest, longest)


def pieces(text: str, shortest: int, longest: int) -> list[str]:
    """A text as documents: paragraphs are joined until they reach `shortest` characters and cut above `longest`."""
    groups = [""]
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        paragraph = paragraph.strip("\n").rstrip()
        if len(groups[-1]) >= shortest:
            groups.append("")
        groups[-1] = f"{groups[-1]}\n\n{paragraph}" if groups[-1] else paragraph
    if len(groups) > 1 and len(groups[-1]) < shortest:
        tail = groups.pop()
        groups[-1] = f"{groups[-1]}\n\n{tail}" if tail else groups[-1]
    return [piece for group in groups for piece in _cut(group, longest)]


def _cut(text: str, longest: int) -> Iterator[str]:
    """Cuts into parts of about equal length: at the last line end of a part, else its last space, else anywhere."""
    for n_parts in range(-(-len(text) // longest), 0, -1):
        if n_parts == 1:
            break
        goal = -(-len(text) // n_parts) + 100  # some room, so that the last part is not the one that grows
        goal = min(goal, longest)
        place = max(text.rfind("\n", 1, goal), 0) or max(text.rfind(" ", 1, goal), 0) or goal
        yield text[:place].rstrip()
        text = text[place:].strip("\n")
    while len(text) > longest:
        yield text[:longest]
        text = text[longest:]
    if text.strip():
        yield text


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CorpusError(f"Corpus {file} cannot be read ({error.strerror}); {ADVICE}.") from None
    if not content.strip():
        raise CorpusError(f"Corpus {file} is empty; {ADVICE}.")
    if b"\0" in content:
        raise CorpusError(f"Corpus {file} is binary; {ADVICE}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"Corpus {file} is not UTF-8 (byte {error.start} is {content[error.start]:#x}); {ADVICE}."
        ) from None


def _jsonl(file: Path) -> Iterator[str]:
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise CorpusError(f"Corpus {file}, line {number}, is no JSON ({error.msg}); {ADVICE}.") from None
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise CorpusError(f"Corpus {file}, line {number}, has no `text` that is a string; {ADVICE}.")
        yield row["text"]


def _tsv(file: Path) -> Iterator[str]:
    header, *rows = _text(file).splitlines()
    columns = header.split("\t")
    column = next((columns.index(name) for name in ("sentence", "text") if name in columns), None)
    if column is None:
        raise CorpusError(f"Corpus {file} has no column `sentence` or `text`, but {columns}; {ADVICE}.")
    for number, row in enumerate(rows, start=2):
        fields = row.split("\t")
        if len(fields) != len(columns):
            raise CorpusError(f"Corpus {file}, line {number}, has {len(fields)} columns, not {len(columns)}; {ADVICE}.")
        yield fields[column]


def _parquet(file: Path) -> Iterator[str]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise CorpusError(f"Corpus {file} needs pyarrow: pip install 'qgen[parquet]'.") from None
    try:
        table = parquet.ParquetFile(file)
    except (ArrowInvalid, OSError) as error:
        raise CorpusError(f"Corpus {file} is no Parquet file ({error}); {ADVICE}.") from None
    if "text" not in table.schema_arrow.names:
        raise CorpusError(f"Corpus {file} has no column `text`, but {table.schema_arrow.names}; {ADVICE}.")
    for group in table.iter_batches(columns=["text"]):
        for value in group.column(0).to_pylist():
            if not isinstance(value, str):
                raise CorpusError(f"Corpus {file} has a `text` that is no string: {value!r}; {ADVICE}.")
            yield value


TABLES = {".jsonl": _jsonl, ".tsv": _tsv, ".parquet": _parquet}
"""Suffix -> reader of one document per row."""
