"""Clinical classification with few qubits: quantum distances and kernels against tuned classical classifiers.

Problem: two classes of patients, the best few features, ten stratified folds (or growing training sets).
Classical: logistic regression, RBF SVM, nearest neighbours, gradient boosting, each tuned inside the training part.
Quantum: qDC, sqKSVM and qKSVM on amplitudes (log2 N qubits) and on phases (N qubits); control: 1-NN by cosine.
Score: AUC of the hard labels, as the article computes it, and of the scores.

Moradi et al., Scientific Reports 12, 1851 (2022). States, kernels and decision rules are as in its methods; kernels of
N-qubit states are closed forms (their CNOTs cancel), those of noisy log2 N-qubit states come from density matrices.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np

from qgen import check
from qgen.cases.base import Case, Point, Sources
from qgen.cases.clinical_arms import ARMS
from qgen.cases.clinical_data import TESTED, Patients, Setting, problem, read, score
from qgen.cases.clinical_report import CLASSICAL, FACTS, FIGURES, QUANTUM, TUNED, WIDE
from qgen.check import Count, Share
from qgen.stages.base import Quality


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the case.

    Attributes:
        features: how many of the best features are used: a power of two.
        folds: folds of the cross-validation.
        widths: other numbers of features.
        sizes: sizes of small training sets, of which each holds the ones before.
        shots: shots per circuit.
        errors: errors of a two-qubit gate, at the most shots.
        sweep_seeds: the most seeds of the sweeps and of gradient boosting.
    """

    features: Annotated[int, check.power_of_two] = 8
    folds: Annotated[int, partial(check.at_least, bound=2)] = 10
    widths: tuple[Annotated[int, check.power_of_two], ...] = (4, 16)
    sizes: tuple[Annotated[int, partial(check.at_least, bound=4)], ...] = (10, 20, 50, 100)
    shots: tuple[Count, ...] = (256, 1024, 8192)
    errors: tuple[Share, ...] = (0.003, 0.01, 0.03)
    sweep_seeds: Count = 5

    def __post_init__(self) -> None:
        """Refuses what no patients can be classified with."""
        check.fields("clinical", self)


PRICED = 3
"""Splits whose joules are kept: circuits are alike whatever the split."""
BOOSTED = 3
"""Splits of gradient boosting with ten folds: it takes longer than all other arms together."""


def load(config: Config, files: Mapping[str, Path]) -> Sources:
    """Wisconsin from scikit-learn and whatever the user gives as CSV.

    Raises:
        MissingData: for a file that is no table of numbers with a last column of zeros and ones.
        ValueError: for more features, folds or training patients than the data has.
    """
    from sklearn.datasets import load_breast_cancer

    x, target = load_breast_cancer(return_X_y=True)
    found = {"wisconsin": Patients(np.asarray(x), 1 - np.asarray(target))}
    found |= {name: read(path) for name, path in files.items()}
    for patients in found.values():
        check.within("clinical.features", config.features, 2, patients.x.shape[1])
        check.within("clinical.folds", config.folds, 2, int(np.bincount(patients.y).min()))
    n_patients, n_features = found["wisconsin"].x.shape
    for width in config.widths:
        check.within("clinical.widths", width, 2, n_features)
    for size in config.sizes:
        check.within("clinical.sizes", size, 4, n_patients - TESTED)
    return Sources(found, "")


def points(config: Config, sources: Sources) -> list[Point]:
    """Ten folds of every data set, then on Wisconsin: shots, errors, small training sets, numbers of features."""
    few = config.sweep_seeds
    made = []
    for name in sources.data:
        base = Setting(name, config.features, config.folds)
        made.append(Point(base, (*QUANTUM, *WIDE, *TUNED, *CLASSICAL, "control/cosine_1nn")))
        made.append(Point(base, ("classical/boosting",), min(few, BOOSTED)))
    base = Setting("wisconsin", config.features, config.folds)
    most = dataclasses.replace(base, shots=max(config.shots))
    # The year's figure takes these: the article's shots, and the best classical arm beside them.
    made.append(Point(most, (*QUANTUM, "classical/logistic"), min(few, PRICED), priced=True))
    made += [Point(dataclasses.replace(base, shots=int(shots)), (*QUANTUM, *WIDE), few) for shots in config.shots]
    for error in config.errors:
        made.append(Point(dataclasses.replace(base, shots=max(config.shots), error=error), QUANTUM, few))
    if config.sizes:
        small = dataclasses.replace(base, folds=0, sizes=tuple(int(size) for size in config.sizes))
        made.append(Point(small, (*QUANTUM, *TUNED, *CLASSICAL)))
        made.append(Point(small, ("classical/boosting",), few))
    for width in config.widths:
        # With shots, so that circuits are counted.
        wide = dataclasses.replace(base, features=int(width), shots=max(config.shots))
        made.append(Point(wide, (*QUANTUM, *WIDE, *CLASSICAL), few))
    return made


CASE = Case(
    facts=FACTS,
    quality=Quality("hard_auc", True, 0.01),
    presets={
        "smoke": Config(folds=3, widths=(4,), sizes=(10, 40), shots=(1024,), errors=(0.01,), sweep_seeds=1),
        "default": Config(),
        "paper": Config(
            widths=(2, 4, 16),
            shots=(64, 256, 1024, 8192, 65536),
            errors=(0.001, 0.003, 0.01, 0.03, 0.1),
            sweep_seeds=20,
        ),
    },
    seeds={"smoke": 2, "default": 20, "paper": 20},
    files={
        "heart": "heart failure of UCI as CSV, DEATH_EVENT last",
        "marrow": "bone marrow transplant of UCI as a CSV of numbers, survival last",
    },
    load=load,
    points=points,
    problem=problem,
    score=score,
    arms=ARMS,
    figures=FIGURES,
)
