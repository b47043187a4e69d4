"""Made-up rows of cases, for tests of tables and rules."""

import numpy as np

from qgen.record import Record
from tests.report.synthetic import log_normal, measured


def row(case, arm, seed, config, metrics, energy=0.0, projected=0.0, **fields):
    """One row of a case; `projected` is the median energy on a machine named sc_long."""
    return Record(
        experiment="cases",
        stage=case,
        arm=arm,
        seed=seed,
        preset="default",
        config=config,
        metrics=metrics,
        measured=measured(energy) if energy else {},
        projected={"sc_long": {"energy_j": log_normal(projected, 0.5)}} if projected else {},
        **fields,
    )


def around(center, n=5, half=0.01):
    """n numbers around a center, of which two are never equal."""
    return center + half * np.linspace(-1, 1, n)
