"""Builds the compiled CPU engine with whatever C++ compiler is there; without one the package installs all the same."""

import hashlib
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "qgen/circuits/native"

FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")

INSTRUCTION_SETS = {
    "baseline": (),
    "avx2": ("-mavx2", "-mfma"),
    "avx512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
}
"""Each makes one library; the kernel chooses among them when it is loaded."""

MISSING = (
    "qgen: the compiled CPU engine was not built ({reason}); circuits run on XLA. "
    "Install a C++17 compiler (g++ or clang++, or name one: CXX=/path/to/compiler) and install qgen again."
)


def find_compiler() -> list[str] | None:
    """The command of a C++ compiler: CXX, or the first of the usual names."""
    named = os.environ.get("CXX")
    if named:
        return shlex.split(named)
    return next(([found] for found in map(shutil.which, ("c++", "g++", "clang++")) if found), None)


def target(compiler: list[str]) -> str:
    """The processor that a compiler builds for: another than this machine's with a cross compiler."""
    try:
        named = subprocess.run([*compiler, "-dumpmachine"], capture_output=True, text=True).stdout
    except OSError:
        named = ""
    return (named.split("-")[0].strip() or platform.machine()).lower()


def wheel_platform(compiler: list[str]) -> str:
    """The platform tag of a wheel: this machine's, but for the processor."""
    own = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return own.replace(platform.machine().lower(), target(compiler)) if sys.platform == "linux" else own


def digest(folder: pathlib.Path) -> str:
    """Names the state of the sources, so that a library built from others is noticed (see engine/native.py)."""
    found = hashlib.sha256()
    for path in sorted([*folder.glob("*.h"), *folder.glob("*.cpp")]):
        found.update(path.read_bytes())
    return found.hexdigest()


def commands(compiler: list[str], folder: pathlib.Path, out: pathlib.Path) -> dict[str, list[str]]:
    """What makes each library: the kernel for every instruction set, and the small one that chooses among them."""
    on_x86 = target(compiler) in ("x86_64", "amd64")
    static = ["-static-libstdc++", "-static-libgcc"] if sys.platform == "linux" else []
    found = {}
    for name, options in INSTRUCTION_SETS.items():
        if on_x86 or not options:
            source, made = folder / "library.cpp", out / f"libqgen_{name}.so"
            found[made.name] = [*compiler, *FLAGS, *options, str(source), *static, "-o", str(made)]
    source, made = folder / "best.cpp", out / "libqgen_best.so"
    named = f'-DQGEN_SOURCES="{digest(folder)}"'
    found[made.name] = [*compiler, *FLAGS, named, str(source), *static, "-o", str(made)]
    return found


def build(root: pathlib.Path) -> list[pathlib.Path]:
    """Builds the libraries beside their sources; returns them, or says why there are none."""
    folder = root / SOURCES
    for old in folder.glob("libqgen_*.so"):
        old.unlink()
    compiler = find_compiler()
    if compiler is None:
        print(MISSING.format(reason="there is no C++ compiler"), file=sys.stderr)
        return []
    # Libraries are moved into place whole: a process that is running may look for them.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made, failures = [], []
        jobs = {}
        for name, command in commands(compiler, folder, pathlib.Path(scratch)).items():
            try:
                jobs[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            except OSError as error:
                failures.append(f"{command[0]}: {error.strerror}")
        for name, job in jobs.items():
            output, _ = job.communicate()
            if job.returncode:
                failures.append(f"{name}: {(output.strip().splitlines() or ['the compiler failed'])[0]}")
            else:
                os.replace(pathlib.Path(scratch) / name, folder / name)
                made.append(folder / name)
    if failures:
        print(MISSING.format(reason="; ".join(failures)), file=sys.stderr)
    return made


class NativeBuildHook(BuildHookInterface):
    """Builds the libraries and, unless they are used in place, puts them into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs before the wheel is made; `version` is "editable" for an installation in place."""
        if self.target_name != "wheel":
            return
        root = pathlib.Path(self.root)
        libraries = build(root)
        if libraries and version != "editable":
            build_data["artifacts"] += [f"/{path.relative_to(root)}" for path in libraries]
            build_data["pure_python"] = False
            # Any Python may load the libraries; only the platform matters.
            build_data["tag"] = f"py3-none-{wheel_platform(find_compiler() or [])}"
