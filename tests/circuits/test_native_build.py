"""How the compiled engine is built, XLA's interface as jaxlib declares it, and the kernel under the sanitisers."""

import ctypes
import importlib.util
import pathlib
import platform
import shutil
import subprocess
import sys
import types

import jax
import pytest

from qgen.circuits.engine import native

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = ROOT / "qgen" / "circuits" / "native"
CHECKS = pathlib.Path(__file__).parent / "native"


@pytest.fixture
def hook(monkeypatch):
    """The build hook as a module; hatchling itself is only there while something is being installed."""
    name = "hatchling.builders.hooks.plugin.interface"
    for end in (9, 18, 24, 31, len(name)):
        monkeypatch.setitem(sys.modules, name[:end], types.ModuleType(name[:end]))
    monkeypatch.setattr(sys.modules[name], "BuildHookInterface", object, raising=False)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def compiler(hook):
    found = hook.find_compiler()
    if found is None:
        pytest.skip("there is no C++ compiler")
    return found


def copy_of(sources, folder):
    made = folder / "qgen" / "circuits" / "native"
    made.mkdir(parents=True)
    for path in sources:
        (made / path.name).write_bytes(path.read_bytes())
    return made


def test_the_hook_and_the_loader_name_the_sources_alike(hook):
    assert hook.digest(SOURCES) == native._digest()
    assert tuple(hook.INSTRUCTION_SETS) == native.INSTRUCTION_SETS


def test_the_compiler_may_be_named(hook, monkeypatch):
    monkeypatch.setenv("CXX", "ccache my-compiler")
    assert hook.find_compiler() == ["ccache", "my-compiler"]


def test_a_cross_compiler_decides_the_wheels_processor(hook, monkeypatch):
    cross = ["echo", "riscv64-linux-gnu"]  # prints what a compiler answers to -dumpmachine
    assert hook.target(cross) == "riscv64"
    assert hook.target(["/no/such/compiler"]) == platform.machine().lower()
    monkeypatch.setattr(hook.sysconfig, "get_platform", lambda: f"linux-{platform.machine().lower()}")
    monkeypatch.setattr(hook.sys, "platform", "linux")
    assert hook.wheel_platform(cross) == "linux_riscv64"
    assert list(hook.commands(cross, SOURCES, SOURCES)) == ["libqgen_baseline.so", "libqgen_best.so"]


def test_without_a_compiler_nothing_is_built_and_old_libraries_go(hook, monkeypatch, tmp_path, capsys):
    folder = copy_of([], tmp_path)
    (folder / "libqgen_best.so").write_text("old")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(hook.shutil, "which", lambda name: None)
    assert hook.build(tmp_path) == []
    assert "Install a C++17 compiler" in capsys.readouterr().err
    assert not list(folder.iterdir())


@pytest.mark.parametrize("command, message", [("/no/such/compiler", "No such file"), ("false", "the compiler failed")])
def test_a_compiler_that_fails_does_not_stop_the_installation(hook, monkeypatch, tmp_path, capsys, command, message):
    copy_of([], tmp_path)
    monkeypatch.setenv("CXX", command)
    assert hook.build(tmp_path) == []
    assert message in capsys.readouterr().err


def test_what_the_hook_adds_to_a_wheel(hook, monkeypatch):
    made = hook.NativeBuildHook()
    made.target_name, made.root = "wheel", str(ROOT)
    monkeypatch.setattr(hook, "build", lambda root: [root / hook.SOURCES / "libqgen_best.so"])
    for version, expected in (("standard", ["/qgen/circuits/native/libqgen_best.so"]), ("editable", [])):
        data = {"artifacts": []}
        made.initialize(version, data)
        assert data["artifacts"] == expected
        assert ("tag" in data) == bool(expected)
    made.target_name = "sdist"
    made.initialize("standard", data := {})
    assert data == {}


def test_the_declarations_are_jaxlibs(compiler):
    include = ["-I", jax.ffi.include_dir(), "-I", str(SOURCES)]
    command = [*compiler, "-std=c++17", "-fsyntax-only", "-Wno-invalid-offsetof", *include, str(CHECKS / "abi.cpp")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def instruction_sets(hook, compiler, tmp_path):
    """What this processor runs."""
    name = "libqgen_best.so"
    subprocess.run(hook.commands(compiler, SOURCES, tmp_path)[name], check=True)
    best = native._text(ctypes.CDLL(str(tmp_path / name)).qgen_best)
    return native.INSTRUCTION_SETS[: native.INSTRUCTION_SETS.index(best) + 1]


@pytest.mark.slow
@pytest.mark.parametrize("sanitiser", ["address,undefined", "thread"])
@pytest.mark.parametrize("name", native.INSTRUCTION_SETS)
def test_random_programs_under_the_sanitisers(hook, compiler, instruction_sets, sanitiser, name, tmp_path):
    if name not in instruction_sets:
        pytest.skip(f"this processor lacks {name}")
    made, flags = tmp_path / "check", hook.INSTRUCTION_SETS[name]
    command = [*compiler, "-std=c++17", "-O1", "-g", "-pthread", "-fno-sanitize-recover=all", f"-fsanitize={sanitiser}"]
    command += [*flags, "-I", str(SOURCES), str(CHECKS / "check.cpp"), "-o", str(made)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(made)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "0 failed\n"), done.stdout + done.stderr


@pytest.mark.slow
def test_random_programs_on_aarch64(tmp_path):
    """Where Debian's g++-aarch64-linux-gnu and qemu-user are installed."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("there is no cross compiler or no emulator for aarch64")
    made = tmp_path / "check"
    command = [compiler, "-std=c++17", "-O2", "-static", "-pthread", "-I", str(SOURCES), str(CHECKS / "check.cpp")]
    subprocess.run([*command, "-o", str(made)], check=True)
    done = subprocess.run([emulator, str(made)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "0 failed\n"), done.stdout + done.stderr
