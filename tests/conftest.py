"""Strictness for every test: no silent rank promotion, shapes checked by beartype where functions state them."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile many small programs and run each a few times: optimising their machine code costs more than it saves.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


MOST_MAPPINGS = 30_000
"""Linux gives a process 65,530 mappings of memory; every compiled program takes some, and LLVM aborts without."""


@pytest.fixture(autouse=True, scope="module")
def programs_fit():
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()


@pytest.fixture
def key():
    return jax.random.key(7)
