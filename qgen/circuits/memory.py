"""How many state vectors this machine holds: a register that is too large is refused before anything is allocated."""

import os
import pathlib
from collections.abc import Callable

import jax
import numpy as np

CGROUP = pathlib.Path("/sys/fs/cgroup")
"""Where Linux tells the limits of a container."""


def check_memory(n_qubits: int, copies: int, itemsize: int, memories: int = 1) -> None:
    """Raises ValueError, with what would fit, if so many state vectors exceed this machine's memory, so many times."""
    check_bytes(
        f"A register of {n_qubits} qubits",
        copies * 2 ** (n_qubits + 1) * itemsize,
        lambda available: f"at most {int(np.log2(available / (2 * copies * itemsize)))} qubits fit.",
        f" ({copies} state vectors)",
        memories,
    )


def check_bytes(what: str, needed: int, fits: Callable[[int], str], note: str = "", memories: int = 1) -> None:
    """Raises ValueError, with what `fits` says of the bytes that there are, if more are needed than so many machines'.

    Args:
        what: what needs them; begins the sentence.
        needed: bytes.
        fits: bytes -> what would fit; ends the sentence.
        note: what the bytes are for.
        memories: how many machines share them.
    """
    available = memories * _memory()
    if needed > available:
        sizes = f"{needed / 2**30:.3g} GiB{note}, but there are {available / 2**30:.3g} GiB"
        raise ValueError(f"{what} needs {sizes}: {fits(available)}")


def _memory() -> int:
    """Bytes of the default device, or of this machine, or of the part of it that a container may use."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (CGROUP / name).read_text().strip()
        except OSError:
            continue
        found += [int(text)] if text.isdigit() else []
    return min(found)
