"""The lifecycle's flags: every wrong one ends with one sentence, exit code 2, no traceback, and nothing written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes

ROOT = Path(__file__).parent.parent


def lifecycle(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "experiments.lifecycle", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def corpus(tmp_path: Path, name: str, content: bytes) -> str:
    path = tmp_path / name
    path.write_bytes(content)
    return f"--corpus={path}"


BAD_FLAGS = {
    "stage": (["--stage=trainig"], "--stage=trainig: must be one of: curation"),
    "arm": (["--arm=classical/magic"], "--arm=classical/magic: must be one of"),
    "preset": (["--preset=huge"], "--preset=huge: must be one of: smoke, default, paper"),
    "profile": (["--profile=abacus"], "--profile=abacus: must be one of"),
    "seeds": (["--seeds=0"], "--seeds=0: must be at least 1"),
    "set field": (["--set=training.stepps=3"], "must be one of"),
    "set value": (["--set=training.steps=many"], "must be int, but is 'many'"),
    "set stage": (["--set=tuning.steps=3"], "'tuning' must be one of"),
    "set form": (["--set=steps"], "must have the form stage.field=value"),
    "reference": (["--reference=curation=classical/magic"], "the arm must be one of"),
    "set holdout": (
        ["--set=corpus.holdout=1.5"],
        "Argument `corpus.holdout` must lie in (0, 1), but is 1.5.",
    ),
    "set characters": (
        ["--set=corpus.characters=5"],
        "--set=corpus.characters=5: Argument `corpus.characters` must",
    ),
    "meter": (["--meter=sundial"], "--meter=sundial"),
    "corpus missing": (["--corpus=/nowhere/at/all.txt"], "--corpus=/nowhere/at/all.txt"),
    "unknown flag": (["--colour=red"], "colour"),
    "positional": (["training"], "Unknown argument 'training'"),
}


BAD_CORPORA = {
    "empty.txt": b"",
    "binary.txt": bytes(range(256)) * 40,
    "latin.txt": "é".encode("latin-1") * 5000,
    "small.txt": b"Too short.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lifecycle")


@pytest.fixture(scope="module")
def ends(folder):
    """Name -> exit code and stderr of every bad flag and every bad corpus."""
    asked = {name: arguments for name, (arguments, _) in BAD_FLAGS.items()}
    asked |= {name: [corpus(folder, name, content)] for name, content in BAD_CORPORA.items()}
    asked = {name: ["--preset=smoke", f"--out={folder / f'out {name}'}", *given] for name, given in asked.items()}
    return processes.ends("lifecycle", asked)


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_flag(folder, ends, name):
    code, said = ends[name]
    assert code == 2, said
    assert BAD_FLAGS[name][1] in said and "Traceback" not in said
    assert len(said.strip().splitlines()) == 1
    assert not (folder / f"out {name}").exists()


@pytest.mark.parametrize("name", BAD_CORPORA)
def test_bad_corpus(folder, ends, name):
    code, said = ends[name]
    assert code == 2 and name in said and "Traceback" not in said, said
    assert not (folder / f"out {name}").exists()


def test_bad_out_folders(tmp_path):
    # Reading and splitting the library's texts takes seconds.
    text = corpus(tmp_path, "text.txt", "\n\n".join(f"Document {n}. " + "word " * 100 for n in range(100)).encode())
    texts = (text, text.replace("--corpus", "--adapt_corpus"))
    (tmp_path / "file").write_text("mine")
    result = lifecycle("--preset=smoke", f"--out={tmp_path / 'file'}", *texts)
    assert result.returncode == 2 and "is a file" in result.stderr
    assert (tmp_path / "file").read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "records.jsonl").write_text(json.dumps({"schema": 999}) + "\n")
    result = lifecycle("--preset=smoke", f"--out={other}", *texts)
    assert result.returncode == 2 and "schema 999" in result.stderr
    assert (other / "records.jsonl").read_text() == json.dumps({"schema": 999}) + "\n"
