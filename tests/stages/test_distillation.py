"""Compressed and distilled students as arms of fine-tuning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.lm import adapters, quantise, train, transformer
from qgen.quantum import feature_kernel
from qgen.stages import distillation, finetuning
from qgen.stages.few_samples import Config
from tests.stages import tiny

CONFIG = Config(samples=20, steps=8, batch=4, trials=(1.0,), layers=2, shots=128, holdout=4)


@pytest.fixture(scope="module")
def problem():
    return finetuning.problem(jax.random.key(0), CONFIG, tiny.artefacts(1))


def test_the_factorial_has_eight_lessons_and_a_control_of_the_same_features():
    weights = [lesson.weights for lesson in distillation.LESSONS.values()]
    assert (
        len(weights) == 9 and len({(w, lesson.grams) for w, lesson in zip(weights, distillation.LESSONS.values())}) == 9
    )
    assert not any(weights[0][:3]) and weights[0].kernels == ()
    for name, lesson in distillation.LESSONS.items():
        needed = distillation.resources(lesson, 3, 4, 100)
        assert bool(needed) == (lesson.entangled is not None), name
        if lesson.entangled:
            assert needed[0].gates_2q > 0
            assert needed == feature_kernel.resources(distillation.QUBITS, True, 1, steps=3, batch=4, shots=100)


def test_the_narrow_kernel_is_the_rbf_of_what_the_quantum_ones_see():
    features = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    blind = features * (np.arange(7) < distillation.QUBITS)
    for name in ("control/narrow_rbf_kernel", "control/separable_kernel", "quantum/entangled_kernel"):
        (gram,) = distillation.LESSONS[name].grams
        np.testing.assert_allclose(gram(jnp.asarray(features)), gram(jnp.asarray(blind)), atol=1e-6, err_msg=name)
    seen = blind[:, :4] / np.sqrt((blind[:, :4] ** 2).mean(axis=1, keepdims=True))
    squares = ((seen[:, None] - seen[None]) ** 2).sum(axis=-1)
    wanted = np.exp(-squares / squares[~np.eye(5, dtype=bool)].mean())
    np.testing.assert_allclose(distillation.narrow_rbf(jnp.asarray(features)), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["classical/low_rank_distilled", "quantum/qsvt_distilled"])
def test_a_student_is_small_and_close_to_its_teacher(problem, name):
    outcome = distillation.ARMS[name](CONFIG).solve(jax.random.key(7), problem)
    scores = finetuning.score(problem, outcome.answer)
    rank = problem.model.width // distillation.SHARE
    blocks = sum(rank * sum(k.shape) for k in adapters.matrices(problem.params, adapters.BLOCKS).values())
    rest = transformer.size({"embed": problem.params["embed"], "head": problem.params["head"]})
    assert scores["model_parameters"] == blocks + rest
    assert np.mean(outcome.trace["loss"][-3:]) < outcome.trace["loss"][0]
    small = quantise.int8(outcome.answer.params)
    assert quantise.nbytes(small) < quantise.nbytes(outcome.answer.params) / 2
    losses = [train.token_loss(p, problem.model, problem.validation) for p in (small, outcome.answer.params)]
    assert abs(losses[0] - losses[1]) < 0.1
