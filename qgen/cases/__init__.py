"""The five industry cases: each a reproduction with data, arms, published numbers and a verdict.

A case is one file here and one entry of CASES; nothing of it is imported before `load` is asked for it, so that what
one case lacks harms no other.
"""

import importlib

from qgen import check
from qgen.cases.base import Case

CASES = {
    "grid": "k-means by swap tests on an energy grid's assets (E.ON and TU Munich)",
    "clinical": "quantum distances and kernels on clinical data (Medical University of Vienna)",
    "flights": "a Fourier surrogate for the hyperparameters of a delay model (Lighthouse)",
    "weights": "Grover search for the weights of a network (Politehnica Timisoara)",
    "language_model": "a quantum head on a language model's sentence features (IonQ)",
}
"""Case -> what it is; `qgen/cases/NAME.py` defines it as CASE."""


def load(name: str) -> Case:
    """The case of this name.

    Raises:
        ValueError: for an unknown name.
    """
    check.one_of("case", name, CASES)
    return importlib.import_module(f"qgen.cases.{name}").CASE
