"""Relational distillation against numpy, and the proof that every term's gradient reaches the student."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.lm import losses, relational, transformer
from qgen.lm.relational import Weights
from qgen.quantum import feature_kernel

FLOAT32 = {"atol": 2e-5, "rtol": 2e-5}
TEACHER = transformer.Config(vocabulary=23, context=12, width=24, depth=1, heads=2, mlp_ratio=2)
STUDENT = transformer.Config(vocabulary=23, context=12, width=16, depth=1, heads=2, mlp_ratio=2)
RNG = np.random.default_rng(12)
NARROW, WIDE = RNG.normal(size=(5, 6)), RNG.normal(size=(5, 9))


def huber(made, wanted):
    gap = np.abs(made - wanted)
    return np.where(gap < 1, gap**2 / 2, gap - 0.5).mean()


def numpy_distances(x):
    lengths = np.linalg.norm(x[:, None] - x[None], axis=-1)
    return lengths / lengths[~np.eye(len(x), dtype=bool)].mean()


def numpy_angles(x):
    result = np.zeros((len(x),) * 3)
    for j in range(len(x)):
        for i in range(len(x)):
            for k in range(len(x)):
                a, b = x[i] - x[j], x[k] - x[j]
                if i != j and k != j:
                    result[j, i, k] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return result


def test_terms_are_their_formulas():
    narrow, wide = jnp.asarray(NARROW, jnp.float32), jnp.asarray(WIDE, jnp.float32)
    weights = Weights(distance=0.7, angle=1.3, kernels=(2.1,))
    squares = [np.sum((x[:, None] - x[None]) ** 2, axis=-1) for x in (NARROW, WIDE)]
    kernels = [np.exp(-s / s[~np.eye(5, dtype=bool)].mean()) for s in squares]
    wanted = (
        0.7 * huber(numpy_distances(NARROW), numpy_distances(WIDE))
        + 1.3 * huber(numpy_angles(NARROW), numpy_angles(WIDE))
        + 2.1 * np.mean((kernels[0] - kernels[1]) ** 2)
    )
    loss = jax.jit(lambda *features: relational.relational_loss(*features, weights, (relational.rbf,)))
    np.testing.assert_allclose(loss(narrow, wide), wanted, **FLOAT32)
    unit = NARROW / np.linalg.norm(NARROW, axis=1, keepdims=True)
    np.testing.assert_allclose(relational.fidelity(narrow), (unit @ unit.T) ** 2, **FLOAT32)


GRAMS = {
    "rbf": relational.rbf,
    "fidelity": relational.fidelity,
    "product": feature_kernel.kernel(3, 0.6, entangled=False),
    "entangled": feature_kernel.kernel(3, 0.6),
}


@pytest.mark.parametrize("name", GRAMS)
def test_the_kernels_gradient_reaches_the_features(name):
    """Against central differences, and not zero: the kernel term alone moves the student."""
    narrow, wide = jnp.asarray(NARROW, jnp.float32), jnp.asarray(WIDE, jnp.float32)
    weights = Weights(kernels=(1.0,))

    @jax.jit
    def loss(features):
        return relational.relational_loss(features, wide, weights, (GRAMS[name],))

    gradient = np.asarray(jax.jit(jax.grad(loss))(narrow))
    direction = jnp.asarray(RNG.normal(size=NARROW.shape), jnp.float32)
    step = 1e-2
    slope = (loss(narrow + step * direction) - loss(narrow - step * direction)) / (2 * step)
    assert np.linalg.norm(gradient) > 1e-3
    np.testing.assert_allclose(np.sum(gradient * np.asarray(direction)), slope, rtol=2e-2, atol=1e-4)


@pytest.fixture(scope="module")
def student():
    return transformer.init(jax.random.key(11), STUDENT)


@pytest.fixture(scope="module")
def teacher():
    return transformer.init(jax.random.key(5), TEACHER)


def test_the_factorials_objectives(student, teacher, tokens):
    """Eight arms: scratch is cross-entropy, KD is its own formula, and each further term adds what it should."""
    inputs, targets, key = tokens[:, :-1], tokens[:, 1:], jax.random.key(0)

    def value(weights, *grams):
        objective = relational.objective(STUDENT, TEACHER, weights, grams)
        return float(objective(student, teacher, inputs, targets, key))

    scratch = float(losses.loss(student, STUDENT, inputs, targets))
    kd = float(losses.distillation(STUDENT, TEACHER, 2.0, 0.5)(student, teacher, inputs, targets, key))
    np.testing.assert_allclose(value(relational.SCRATCH), scratch, rtol=1e-5)
    np.testing.assert_allclose(value(relational.KD), kd, rtol=1e-5)
    student_features, teacher_features = (
        transformer.apply(p, inputs, c, features=True).mean(axis=1) for p, c in ((student, STUDENT), (teacher, TEACHER))
    )
    relations = float(relational.relational_loss(student_features, teacher_features, relational.RKD))
    np.testing.assert_allclose(value(relational.RKD), scratch + relations, rtol=1e-5)
    np.testing.assert_allclose(value(relational.KD_RKD), kd + relations, rtol=1e-5)
    grams = {name: value(relational.KD_RKD_KERNEL, gram) - kd - relations for name, gram in GRAMS.items()}
    assert all(extra > 1e-5 for extra in grams.values())
    assert len({round(extra, 6) for extra in grams.values()}) == 4
    # One program for every mixture: the weights are data.
    mixture = jax.jit(relational.objective(STUDENT, TEACHER, None, tuple(GRAMS.values())))
    traced = Weights(jnp.asarray(0.5), jnp.asarray(1.0), jnp.asarray(2.0), jnp.array([0.0, 0, 0, 1]), jnp.asarray(2.0))
    np.testing.assert_allclose(
        mixture(student, (teacher, traced), inputs, targets, key), grams["entangled"] + kd + relations, rtol=1e-5
    )


def test_the_quantum_kernel_alone_moves_the_students_weights(student, teacher, tokens):
    objective = relational.objective(STUDENT, TEACHER, relational.KD_RKD_KERNEL, (GRAMS["entangled"],))
    without = relational.objective(STUDENT, TEACHER, relational.KD_RKD)
    given = (teacher, tokens[:, :-1], tokens[:, 1:], jax.random.key(0))
    # The gradient of the difference is the difference of the gradients, in one pass back.
    both = jax.jit(jax.grad(lambda p: objective(p, *given) - without(p, *given)))
    change = both(student)
    assert float(jnp.linalg.norm(change["block_0"]["mlp"]["up"]["kernel"])) > 1e-5
    assert float(jnp.linalg.norm(change["embed"]["embedding"])) > 1e-5


def test_bad_arguments_are_refused(config):
    for bad, message in (
        (Weights(logits=1.5), r"`logits` must lie in \[0, 1\]"),
        (Weights(distance=-1.0), "`distance` must be at least 0"),
        (Weights(kernels=(-1.0,)), "`kernels` must be at least 0"),
        (Weights(temperature=0.0), "`temperature` must be above 0"),
        (Weights(kernels=(1.0,)), "`grams` must hold 1 kernels, but holds 0"),
    ):
        with pytest.raises(ValueError, match=message):
            relational.objective(config, TEACHER, bad)
    with pytest.raises(ValueError, match="teacher's vocabulary 5, but has 23"):
        relational.objective(config, transformer.Config(5, 12, 8, 1, 2), relational.KD)
