"""What one device, four devices and two processes all search."""

import jax
import jax.numpy as jnp
import numpy as np

from qgen.search.programs import Objective
from qgen.search.space import Categorical, Float, Integer, Space
from qgen.search.strategies import hyperband
from qgen.search.study import Study
from qgen.search.sweep import Rung

LANES = 11
SPACE = Space({"rate": Float(1e-3, 0.3, log=True), "width": Integer(1, 2, static=True), "pull": Categorical((1, 2.5))})
OBJECTIVE = Objective(
    "descent",
    init=lambda key, config: jax.random.normal(key, (config["width"],)),
    step=lambda key, x, config, t: (
        x - config["rate"] * config["pull"] * (x - 0.7) + 0.01 * jax.random.normal(key, x.shape)
    ),
    loss=lambda x, config: jnp.sum((x - 0.7) ** 2) + 0.1 * config["rate"],
    steps=9,
)
POINTS = np.random.default_rng(3).uniform(size=(LANES, 3))
KEY = jax.random.key(5)
KEYS = jax.random.split(KEY, LANES)
RUNGS = (Rung(2, 6), Rung(4, 3))
BRACKET = Study(SPACE, OBJECTIVE, hyperband(9, most=1), 6)
