"""Arms of fine-tuning that make the adapted model small: factors of low rank, then distillation from the dense model.

Teacher: the model with every weight adapted. Student: each matrix of its blocks as a product of low rank. The arms
differ in who finds the factors and in what the student is taught beside the teacher's logits.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qgen.lm import factorised, relational, train, transformer
from qgen.lm.relational import KD, KD_RKD, KD_RKD_KERNEL, RKD, SCRATCH, Gram, Weights
from qgen.quantum import feature_kernel
from qgen.resources import Resources
from qgen.stages import low_rank
from qgen.stages.base import Arm, Outcome
from qgen.stages.few_samples import Adapted, Config, Problem, tuned
from qgen.types import Array, Key, Params

QUBITS = 4
"""Features that the quantum kernels encode, one per qubit."""
BANDWIDTH = 0.6
"""Radians per root-mean-square unit of a feature."""
SHARE = 4
"""A student's rank: the width over this, about half of its blocks' parameters."""


class Lesson(NamedTuple):
    """What a student is taught.

    Attributes:
        weights: of the terms.
        grams: the kernels.
        entangled: of a quantum kernel, whether it has two-qubit gates; None is no quantum kernel.
    """

    weights: Weights
    grams: tuple[Gram, ...] = ()
    entangled: bool | None = None


def narrow_rbf(features: Array) -> Array:
    """The RBF kernel of those features that the quantum kernels see."""
    return relational.rbf(feature_kernel.seen(features, QUBITS))


LESSONS: Mapping[str, Lesson] = {
    "classical/scratch": Lesson(SCRATCH),
    "classical/kd": Lesson(KD),
    "classical/rkd": Lesson(RKD),
    "classical/kd_rkd": Lesson(KD_RKD),
    "classical/rbf_kernel": Lesson(KD_RKD_KERNEL, (relational.rbf,)),
    "inspired/fidelity_kernel": Lesson(KD_RKD_KERNEL, (relational.fidelity,)),
    "control/narrow_rbf_kernel": Lesson(KD_RKD_KERNEL, (narrow_rbf,)),
    "control/separable_kernel": Lesson(
        KD_RKD_KERNEL, (feature_kernel.kernel(QUBITS, BANDWIDTH, entangled=False),), False
    ),
    "quantum/entangled_kernel": Lesson(KD_RKD_KERNEL, (feature_kernel.kernel(QUBITS, BANDWIDTH),), True),
}
"""The factorial of eight: labels alone, logits, relations, both, and both with one kernel each; and a control whose
kernel is classical and sees no more than the quantum ones. No kernel's weight or width is tuned.
"""


def resources(lesson: Lesson, steps: int, batch: int, shots: int) -> tuple[Resources, ...]:
    """What a quantum kernel needs in so many training steps; nothing for the other lessons."""
    if lesson.entangled is None:
        return ()
    return feature_kernel.resources(QUBITS, lesson.entangled, 1, steps=steps, batch=batch, shots=shots)


def student(config: Config, name: str, start: str, lesson: str, note: str, host: str | None = None) -> Arm:
    """The arm that compresses and distils.

    Args:
        config: the stage's settings.
        name: the arm's name.
        start: who finds the factors, a name of `low_rank.ARMS`.
        lesson: what the student is taught, a name of LESSONS.
        note: the arm's note.
        host: the arm of this file that does the classical work alone.
    """
    taught = LESSONS[lesson]

    def solve(key: Key, problem: Problem) -> Outcome:
        teacher = _teacher(key, problem, config)
        seen = _windows(problem)
        rank = max(1, problem.model.width // SHARE)
        inputs = factorised.block_inputs(teacher, seen, problem.model)
        made = low_rank.compress(start, jax.random.fold_in(key, 1), teacher, inputs, rank)
        objective = relational.objective(problem.model, problem.model, taught.weights, taught.grams)
        params, trace = tuned(
            *(key, problem, config, config.full_rate, made.params, objective, teacher, _same, problem.model)
        )
        steps = config.steps * len(trace["rate"])
        needed = (*made.resources, *resources(taught, steps, config.batch, config.shots))
        return Outcome(
            Adapted(dataclasses.asdict(problem.model), params, transformer.size(params)),
            needed if name.startswith("quantum/") else (),
            trace,
        )

    return Arm(name, solve, note, ARMS[host](config).solve if host else None)


def _teacher(key: Key, problem: Problem, config: Config) -> Params:
    objective = train.cross_entropy(problem.model)
    return tuned(key, problem, config, config.full_rate, problem.params, objective, (), _same, problem.model)[0]


def _same(trained: Params, extra: Params) -> Params:
    return trained


def _windows(problem: Problem) -> Array:
    """The training samples as rows of `context` tokens."""
    n_rows = len(problem.tokens) // problem.model.context
    return jnp.asarray(problem.tokens[: n_rows * problem.model.context]).reshape(n_rows, problem.model.context)


_KINDS = {
    "classical/low_rank_distilled": ("classical/activation_aware_svd", "classical/kd", "activation-aware SVD, then KD"),
    "classical/relational_distilled": (
        "classical/activation_aware_svd",
        "classical/rbf_kernel",
        "activation-aware SVD, then KD, RKD and an RBF kernel",
    ),
    "quantum/kernel_distilled": (
        "classical/activation_aware_svd",
        "quantum/entangled_kernel",
        "activation-aware SVD, then KD, RKD and a quantum kernel, simulated exactly; its shots are counted",
        "classical/relational_distilled",
    ),
    "control/kernel_separable": (
        "classical/activation_aware_svd",
        "control/separable_kernel",
        "the same with a quantum kernel without two-qubit gates",
    ),
    "quantum/qsvt_distilled": (
        "quantum/qsvt",
        "classical/kd",
        "factors by QSVT and tomography, computed from singular values and sampled shots, then KD",
        "control/fkv_distilled",
    ),
    "control/fkv_distilled": ("control/fkv", "classical/kd", "QSVT's dequantised twin, sampled rows and columns; KD"),
}
ARMS: Mapping[str, Callable[[Config], Arm]] = {
    name: functools.partial(lambda config, name, kind: student(config, name, *kind), name=name, kind=kind)
    for name, kind in _KINDS.items()
}
DEEP = frozenset(ARMS)
