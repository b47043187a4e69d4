"""How many state vectors this machine holds: a register that is too large is refused before anything is allocated."""

import os
import pathlib

import jax
import numpy as np

CGROUP = pathlib.Path("/sys/fs/cgroup")
"""Where Linux tells the limits of a container."""


def check_memory(n_qubits: int, copies: int, itemsize: int, memories: int = 1) -> None:
    """Raises ValueError, with what would fit, if so many state vectors exceed this machine's memory, so many times."""
    available = memories * _memory()
    needed = copies * 2 ** (n_qubits + 1) * itemsize
    if needed > available:
        fits = int(np.log2(available / (2 * copies * itemsize)))
        raise ValueError(
            f"A register of {n_qubits} qubits needs {needed / 2**30:.3g} GiB ({copies} state vectors), but there are "
            f"{available / 2**30:.3g} GiB: at most {fits} qubits fit."
        )


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
