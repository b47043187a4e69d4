"""Imports go down only; the rule is itself tried on a planted bad tree."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    {"experiments"},
    {"cases"},
    {"report"},
    {"stages"},
    {"quantum", "classical", "search", "energy", "lm", "nn"},
    {"circuits"},
    {"types", "check", "resources", "method", "record", "settings", "checkpoint"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
NEVER_CIRCUITS = {"lm", "energy", "search", "classical"}
OUTSIDE = {"interop"}
"""interop imports anything and is imported by nothing in the core."""


def imported(path: Path) -> set[str]:
    """The parts of the project that a file imports, as first names below qgen, or "experiments"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module] if node.module != "qgen" else [f"qgen.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "experiments":
                found.add("experiments")
            elif parts[0] == "qgen" and len(parts) > 1:
                found.add(parts[1])
    return found


def violations(root: Path) -> list[str]:
    """Every import of a tree that does not go down, as "file -> part"."""
    wrong = []
    files = sorted((root / "qgen").rglob("*.py"))
    for path in files:
        relative = path.relative_to(root / "qgen")
        own = relative.parts[0].removesuffix(".py")
        if own in OUTSIDE or own == "__init__":
            continue
        for part in imported(path) - {own}:
            sideways = RANK.get(part, -1) == RANK[own] and own != "types" and RANK[own] != RANK["types"]
            upward = RANK.get(part, -1) < RANK[own]
            report_reads_records_only = own == "report" and part not in {"record"}
            if (
                upward
                or sideways
                or part in OUTSIDE
                or report_reads_records_only
                or (part == "circuits" and own in NEVER_CIRCUITS)
            ):
                wrong.append(f"{relative} -> {part}")
    assert files, f"no files under {root}"
    return wrong


def test_imports_go_down():
    assert violations(ROOT) == []


def test_every_part_has_a_layer():
    parts = {path.stem for path in (ROOT / "qgen").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - set(RANK) - OUTSIDE - {"__init__"} == set()


def test_a_bad_tree_is_caught(tmp_path):
    bad = {
        "circuits/a.py": "from qgen.stages import base",
        "lm/b.py": "from qgen.circuits import gates",
        "energy/c.py": "import qgen.quantum.qaoa",
        "report/d.py": "from qgen import energy",
        "stages/e.py": "from qgen import interop",
        "stages/f.py": "from qgen import energy, record",
        "quantum/g.py": "from experiments import cli",
    }
    for name, text in bad.items():
        path = tmp_path / "qgen" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert {line.split("/")[1][0] for line in violations(tmp_path)} == {"a", "b", "c", "d", "e", "g"}


HEAVY = ("pennylane", "sklearn", "matplotlib", "pandas", "optuna", "tokenizers", "datasketch")


def test_import_is_light():
    parts = "qgen.stages, qgen.circuits, qgen.energy, qgen.report"
    code = f"import sys, {parts}; print([m for m in {HEAVY} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


WATCHED = """
import sys
seen = []
watched = ("ctypes.dlopen", "subprocess.Popen")
sys.addaudithook(lambda event, args: seen.append(event) if event in watched and "qgen" in str(args) else None)
import {module}
print([m for m in {heavy} if m in sys.modules], seen)
from qgen.circuits.engine import native
native.instruction_set()
print((native.FOLDER / "libqgen_best.so").exists() == ("ctypes.dlopen" in seen))
"""


@pytest.mark.parametrize("module", ["qgen", "qgen.circuits"])
def test_import_neither_builds_nor_loads_the_kernel(module):
    code = WATCHED.format(module=module, heavy=HEAVY)
    environment = {name: value for name, value in os.environ.items() if name != "QGEN_NATIVE"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] []", "True"]
