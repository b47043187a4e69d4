"""Classical surrogates against scikit-learn, explicit features and functions with known minima."""

import itertools

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from qgen.classical import evolution, factorisation, fourier, gaussian_process
from qgen.classical.subset import energy

CLOSE = 1e-8


@pytest.fixture
def data():
    generator = np.random.default_rng(4)
    seen, candidates = generator.uniform(size=(13, 3)), generator.uniform(size=(7, 3))
    return seen, np.sin(3 * seen[:, 0]) + seen[:, 1] * seen[:, 2], candidates


def test_the_posterior_is_scikit_learns(data):
    seen, losses, candidates = data
    kernels = [gaussian_process.radial(length) for length in gaussian_process.LENGTHS]
    belief, place = gaussian_process.posterior([(k(seen, seen), k(candidates, seen)) for k in kernels], losses)
    scaled = (losses - losses.mean()) / losses.std()
    found = []
    for length, noise in itertools.product(gaussian_process.LENGTHS, gaussian_process.NOISES):
        process = GaussianProcessRegressor(RBF(length), alpha=noise, optimizer=None).fit(seen, scaled)
        found.append((process.log_marginal_likelihood_value_, length, process))
    _, length, process = max(found, key=lambda entry: entry[0])
    mean, deviation = process.predict(candidates, return_std=True)
    assert gaussian_process.LENGTHS[place] == length
    np.testing.assert_allclose(belief.mean, losses.mean() + losses.std() * mean, rtol=1e-6)
    np.testing.assert_allclose(belief.deviation, losses.std() * deviation, rtol=1e-6)


def test_expected_improvement_is_its_integral():
    belief = gaussian_process.Posterior(np.array([0.3, 1.1]), np.array([0.4, 0.2]))
    draws = np.random.default_rng(0).normal(size=(400_000, 2)) * belief.deviation + belief.mean
    improved = np.maximum(0.7 - draws, 0)
    error = 5 * improved.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(gaussian_process.expected_improvement(belief, 0.7) - improved.mean(axis=0)) < error).all()


@pytest.mark.parametrize("degree", [1, 3])
def test_the_fourier_ridge_is_ridge_on_explicit_functions(data, degree):
    seen, losses, candidates = data

    def functions(points):
        h = np.pi * (2 * points - 1)
        one = [
            [np.ones(len(h))] + [f(k * h[:, a]) for k in range(1, degree + 1) for f in (np.cos, np.sin)]
            for a in range(3)
        ]
        scale = [1.0] + [np.sqrt(2)] * (2 * degree)
        rows = [
            np.prod([scale[i] * one[a][i] for a, i in enumerate(index)], axis=0)
            for index in itertools.product(range(2 * degree + 1), repeat=3)
        ]
        return np.stack(rows, axis=1) / (2 * degree + 1) ** 1.5

    x, y = functions(seen), losses - losses.mean()
    weights = np.linalg.solve(x.T @ x + 0.03 * np.eye(x.shape[1]), x.T @ y)
    expected = losses.mean() + functions(candidates) @ weights
    np.testing.assert_allclose(fourier.ridge(seen, losses, candidates, degree, 0.03), expected, rtol=1e-6)


def test_the_factorisation_machine_finds_a_planted_energy(key):
    generator = np.random.default_rng(1)
    shape = (3, 4, 2)
    linear, factors = generator.normal(size=9), 0.7 * generator.normal(size=(9, 2))
    couplings = factors @ factors.T
    cells = np.array(list(itertools.product(*map(range, shape))))
    bits = factorisation.one_hot(cells, shape)
    assert bits.sum(axis=1).tolist() == [3] * 24 and bits[5].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 1]
    losses = 2.0 + bits @ linear + 0.5 * np.einsum("si,ij,sj->s", bits, couplings - np.diag(np.diag(couplings)), bits)
    found = factorisation.fit(key, bits, losses, rank=4, penalty=1e-4)
    assert np.diag(found.quadratic) == pytest.approx(0)
    fitted = energy(found, bits)
    assert np.corrcoef(fitted, losses)[0, 1] > 0.99
    assert np.argmin(fitted) == np.argmin(losses)


def test_cma_es_descends_a_tilted_valley():
    generator = np.random.default_rng(2)
    state = evolution.begin(4)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    aim = np.array([0.3, 0.6, 0.45, 0.7])

    def loss(points):
        return np.sum(((points - aim) @ turn) ** 2 * np.array([1, 10, 100, 300]), axis=1)

    for _ in range(120):
        points = evolution.ask(generator, state)
        assert points.shape == (8, 4) and (points >= 0).all() and (points <= 1).all()
        state = evolution.tell(state, points, loss(points))
    assert loss(state.mean[None])[0] < 1e-6
    # The covariance has become the inverse of the valley's curvature.
    stretched = np.diag(turn.T @ state.covariance @ turn)
    assert stretched[0] > 10 * stretched[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gaussian_process.radial(0.0), "`length` must be above 0"),
        (lambda: gaussian_process.posterior([], np.ones(3)), "`number of kernels` must be at least 1"),
        (lambda: gaussian_process.posterior([(np.eye(1), np.ones((2, 1)))], np.ones(1)), "`number of losses`"),
        (
            lambda: gaussian_process.posterior([(np.eye(2), np.ones((2, 3)))], np.ones(3)),
            r"`gram` must have shape \(3, 3\)",
        ),
        (lambda: gaussian_process.posterior([(np.eye(3), np.ones((2, 2)))], np.ones(3)), "`cross` must have shape"),
        (lambda: fourier.kernel(np.ones((2, 1)), np.ones((2, 1)), 0), "`degree` must be at least 1"),
        (lambda: fourier.ridge(np.ones((2, 1)), np.ones(2), np.ones((2, 1)), 1, 0.0), "`penalty` must be above 0"),
        (lambda: factorisation.fit(None, np.ones((2, 3)), np.ones(2), rank=0), "`rank` must be at least 1"),
        (lambda: factorisation.fit(None, np.ones((2, 3)), np.ones(2), penalty=-1), "`penalty` must be at least 0"),
        (lambda: factorisation.fit(None, np.ones((2, 3)), np.ones(3)), r"`losses` must have shape \(2\)"),
        (lambda: evolution.begin(0), "`axes` must be at least 1"),
        (lambda: evolution.population(0), "`axes` must be at least 1"),
        (lambda: evolution.tell(evolution.begin(2), np.ones((3, 2)), np.ones(3)), r"`points` must have shape \(6, 2\)"),
        (lambda: evolution.tell(evolution.begin(2), np.ones((6, 2)), np.ones(3)), r"`losses` must have shape \(6\)"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
