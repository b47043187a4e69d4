import jax
import numpy as np
import pytest

from qgen.lm import transformer
from qgen.lm.transformer import Config

TINY = Config(vocabulary=23, context=12, width=16, depth=2, heads=2, mlp_ratio=2.5)


@pytest.fixture(scope="session")
def config():
    return TINY


@pytest.fixture(scope="session")
def params():
    return transformer.init(jax.random.key(11), TINY)


@pytest.fixture(scope="session")
def wide(params):
    """The same parameters in numpy, float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


@pytest.fixture(scope="session")
def tokens():
    return np.random.default_rng(5).integers(0, TINY.vocabulary, (3, 10)).astype(np.int32)


@pytest.fixture(scope="session")
def stream():
    """A stream with structure to learn: each token follows from the one before, with some noise."""
    rng = np.random.default_rng(8)
    line = [3]
    for _ in range(999):
        line.append((5 * line[-1] + 2) % TINY.vocabulary if rng.random() < 0.9 else int(rng.integers(TINY.vocabulary)))
    return np.asarray(line, np.int32)
