"""Strictness for every test: no silent rank promotion, shapes checked by beartype where functions state them."""

import gc
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile many small programs and run each a few times: optimising their machine code costs more than it saves.
# Their machine code is not split for parallel threads either: both workers have a core each.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

# Tracing makes millions of small tuples; walking a long session's heap for cycles among them will do rarely.
gc.set_threshold(200_000, 20, 20)

MOST_MAPPINGS = 6_000
"""Every compiled program takes some of a process's mappings of memory, of which Linux gives 65,530; LLVM aborts
without. Long before, a process that keeps thousands of programs is slower: the whole suite took 10 min 25 s with
30,000 and 9 min 34 s with this, in one run each."""


@pytest.fixture(autouse=True, scope="module")
def programs_fit():
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def key():
    return jax.random.key(7)
