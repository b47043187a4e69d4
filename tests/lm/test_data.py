import json
import sys

import jax
import numpy as np
import pytest

from qgen.lm import data, readers
from qgen.lm.data import CorpusError

PARAGRAPH = "The reader reads line {0}, and then line {0} again, until every word of line {0} is known by heart. "
PROSE = [PARAGRAPH.format(n) * 3 for n in range(60)]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A standard library of two modules, with a test folder to leave out and a file that is no Python."""
    doc = "\n    ".join(["Reads a line from the reader and gives it back to the caller."] * 6)
    functions = "\n\n".join(
        f'@cache\ndef read_{n}(line):\n    """{doc} ({n})"""\n    text = "#%s"\n' + f"    line = line + {n}\n" * 20
        for n in range(40)
    )
    (tmp_path / "test").mkdir()
    (tmp_path / "reader.py").write_text(functions)
    (tmp_path / "late.py").write_text(
        f'class Late:\n    """{doc}\n    """\n\n    def f(self):\n        "short"\n        return 1\n'
    )
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "test" / "secret.py").write_text(functions.replace("line", "secret"))
    monkeypatch.setattr(data.sysconfig, "get_path", lambda name: str(tmp_path))
    data._library.cache_clear()
    yield tmp_path
    data._library.cache_clear()


def test_prose_is_topics_and_docstrings(library):
    documents = data.load_corpus()
    from pydoc_data import topics

    assert sum("Reads a line from the reader" in document for document in documents) == 41
    assert not any("def read_" in document or "secret" in document for document in documents)
    assert documents[0].split("\n")[0] in topics.topics["assert"]


def test_code_is_functions_without_their_docstrings(library):
    documents = data.load_corpus(domain="code")
    assert len(documents) == 40
    assert documents[0].startswith("@cache\ndef read_0(line):\n    text =")
    assert not any("Reads a line" in document for document in documents)


def test_no_library_sources_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(data.sysconfig, "get_path", lambda name: str(tmp_path))
    data._library.cache_clear()
    with pytest.raises(CorpusError, match=r"no standard library sources .* corpus of your own"):
        data.load_corpus()


def test_this_python_has_both_domains():
    for domain in data.DOMAINS:
        documents = data.load_corpus(domain=domain, max_characters=200_000)
        lengths = np.asarray([len(document) for document in documents])
        assert 200_000 <= lengths.sum() < 202_000
        assert data.SHORTEST <= lengths.min() <= lengths.max() <= data.LONGEST
        assert documents == data.load_corpus(domain=domain, max_characters=200_000)


@pytest.mark.parametrize("form", ["text", "crlf", "folder", "jsonl", "tsv", "parquet"])
def test_every_form_gives_the_same_documents(tmp_path, form):
    path = tmp_path / {"jsonl": "a.jsonl", "tsv": "a.tsv", "parquet": "a.parquet"}.get(form, "a.txt")
    if form == "text":
        path.write_text("\n\n\n".join(PROSE), encoding="utf-8-sig")
    elif form == "crlf":
        path.write_bytes("\r\n\r\n".join(PROSE).encode())
    elif form == "folder":
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "b.md").write_text("\n\n".join(PROSE[30:]))
        (tmp_path / "a.txt").write_text("\n\n".join(PROSE[:30]))
        (tmp_path / "picture.png").write_bytes(b"\x89PNG\0")
        path = tmp_path
    elif form == "jsonl":
        path.write_text("\n".join(json.dumps({"id": 1, "text": text}) for text in PROSE) + "\n\n")
    elif form == "tsv":
        path.write_text("sentence\tlabel\n" + "\n".join(f"{text}\t1" for text in PROSE))
    else:
        pyarrow = pytest.importorskip("pyarrow", reason="pip install 'qgen[parquet]'")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"text": PROSE, "id": list(range(60))}), path)
    assert list(data.load_corpus(path)) == [text.rstrip() for text in PROSE]


def test_short_paragraphs_are_joined_and_long_ones_cut():
    assert readers.pieces("a b\n\nc d\n \ne", 4, 100) == ["a b\n\nc d\n\ne"]
    assert readers.pieces("aaaa\n\nbbbb\n\nc", 4, 100) == ["aaaa", "bbbb\n\nc"]
    assert readers.pieces("\n\n \n", 4, 100) == []
    text = "\n".join(f"line {n} of a long paragraph" for n in range(40))
    cut = readers.pieces(text, 200, 500)
    assert "\n".join(cut) == text
    assert max(map(len, cut)) <= 500
    words = " ".join(["word"] * 300)
    assert "".join(readers.pieces(words, 200, 500)).replace(" ", "") == "word" * 300
    solid = readers.pieces("x" * 1234, 200, 500)
    assert "".join(solid) == "x" * 1234
    assert max(map(len, solid)) <= 500


def test_choice_is_unbiased_and_in_order():
    documents = [text * (1 + n % 3) for n, text in enumerate(PROSE)]
    chosen = data.choose(documents, 10_000)
    assert 10_000 <= sum(map(len, chosen)) < 10_000 + max(map(len, documents))
    places = [documents.index(document) for document in chosen]
    assert places == sorted(places)
    assert max(places) > 40 > 20 > min(places)
    assert data.choose(documents, 10**9) == tuple(documents)


def test_split_is_by_content():
    train, held = data.split([*PROSE, *PROSE[:10]], 0.3)
    assert sorted([*train, *held]) == sorted([*PROSE, *PROSE[:10]])
    assert not set(train) & set(held)
    assert abs(len(set(held)) / 60 - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 60)
    again, _ = data.split(PROSE[20:], 0.3)
    assert set(again) == set(train) & set(PROSE[20:])


def test_batches_are_windows_with_their_next_tokens(key):
    tokens = np.arange(100, dtype=np.int32)
    inputs, targets = data.batch(key, tokens, 500, 8, 40)
    assert inputs.shape == targets.shape == (500, 8)
    np.testing.assert_array_equal(inputs - inputs[:, :1], np.broadcast_to(np.arange(8), (500, 8)))
    np.testing.assert_array_equal(targets, inputs + 1)
    assert set(np.unique(inputs[:, 0])) == set(range(32))
    whole, _ = data.batch(jax.random.key(1), tokens[:9], 20, 8)
    assert not whole[:, 0].any()


def _file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "is empty"),
        ("a.txt", b" \n\n ", "is empty"),
        ("a.bin", b"abc\0def", "is binary"),
        ("a.txt", b"caf\xe9 au lait", r"is not UTF-8 \(byte 3 is 0xe9\)"),
        ("a.txt", b"a few words", "is too small: 1 documents with 11 characters, but at least 32"),
        ("a.jsonl", b'{"text": "a"}\n{"text":', "line 2, is no JSON"),
        ("a.jsonl", b'{"text": "a"}\n{"txt": "b"}', "line 2, has no `text`"),
        ("a.jsonl", b"[1]", "line 1, has no `text`"),
        ("a.tsv", b"phrase\tlabel\na\t1", "has no column `sentence` or `text`"),
        ("a.tsv", b"sentence\tlabel\na\t1\nb", "line 3, has 1 columns, not 2"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_named(tmp_path, name, content, message):
    path = _file(tmp_path, name, content)
    with pytest.raises(CorpusError, match=message) as caught:
        data.load_corpus(path)
    assert str(path) in str(caught.value)
    assert "give a" in str(caught.value)


def test_paths_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match=r"missing\.txt does not exist; give a UTF-8 text file"):
        data.load_corpus(tmp_path / "missing.txt")
    _file(tmp_path, "picture.png", b"\x89PNG")
    with pytest.raises(CorpusError, match="is a folder without any text"):
        data.load_corpus(tmp_path)
    locked = _file(tmp_path, "locked.txt", b"text")
    monkeypatch.setattr(
        type(locked), "read_bytes", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    with pytest.raises(CorpusError, match=r"locked.txt cannot be read \(Permission denied\)"):
        data.load_corpus(locked)


def test_parquet_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    path = _file(tmp_path, "a.parquet", b"not parquet")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(CorpusError, match=r"needs pyarrow: pip install 'qgen\[parquet\]'"):
            data.load_corpus(path)
    pyarrow = pytest.importorskip("pyarrow", reason="pip install 'qgen[parquet]'")
    from pyarrow import parquet

    with pytest.raises(CorpusError, match="is no Parquet file"):
        data.load_corpus(path)
    parquet.write_table(pyarrow.table({"sentence": ["a"]}), path)
    with pytest.raises(CorpusError, match="has no column `text`"):
        data.load_corpus(path)
    parquet.write_table(pyarrow.table({"text": ["a", None]}), path)
    with pytest.raises(CorpusError, match="no string: None"):
        data.load_corpus(path)


def test_bad_arguments_are_refused(key):
    with pytest.raises(ValueError, match="one of: prose, code"):
        data.load_corpus(domain="poetry")
    with pytest.raises(ValueError, match="`max_characters` must be at least 10000"):
        data.load_corpus(max_characters=9_999)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="`holdout`"):
            data.split(PROSE, share)
    with pytest.raises(ValueError, match="both sides"):
        data.split(PROSE[:1], 0.5)
    with pytest.raises(ValueError, match="at least 9, but is 8"):
        data.batch(key, np.arange(8), 2, 8)
