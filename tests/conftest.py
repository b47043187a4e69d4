"""Strictness for every test: no silent rank promotion, shapes checked by beartype where functions state them."""

import collections
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

LONGEST = (
    "test_device_suite.py",
    "test_language_model.py",
    "test_adapters.py",
    "test_distillation_experiment.py",
    "test_encoder_distillation.py",
    "test_sharded.py",
    "test_sharding.py",
    "test_low_rank.py",
    "test_search_experiment.py",
    "test_relational.py",
    "test_lifecycle_whole.py",
)
"""Files that take long for their number of tests: they come first, lest one worker ends with one of them alone."""


def pytest_collection_modifyitems(items):
    """Whole files in the order in which `scripts/test` deals them out: the longest, then those of most tests."""
    sizes = collections.Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in LONGEST, -sizes[item.path], str(item.path)))


MOST_MAPPINGS = 30_000
"""Linux gives a process 65,530 mappings of memory; every compiled program takes some, and LLVM aborts without."""


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
