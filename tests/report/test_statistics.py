import math

import numpy as np
import pytest
from scipy import stats

from qgen.report import statistics
from tests.report.synthetic import log_normal

CLOSE = 1e-9
SIGMAS = 5.0


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 21, 60])
def test_mean_interval_is_students(n):
    values = np.random.default_rng(n).normal(3.1, 0.7, n)
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    found = statistics.mean_interval(values.tolist())
    assert found == pytest.approx((values.mean(), low, high), rel=CLOSE)


def test_one_value_has_no_interval():
    found = statistics.mean_interval([2.5])
    assert found.central == 2.5
    assert math.isnan(found.low) and math.isnan(found.high)


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="at least one number"):
        statistics.mean_interval([])


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 10, 33])
@pytest.mark.parametrize("coverage", [0.31, 0.9, 0.95, 0.999])
def test_student_quantile(degrees, coverage):
    assert statistics.student_quantile(coverage, degrees) == pytest.approx(
        stats.t.ppf(0.5 + coverage / 2, degrees), rel=1e-8
    )


@pytest.mark.parametrize(
    ("coverage", "degrees", "name"), [(1.0, 3, "coverage"), (0.0, 3, "coverage"), (0.9, 0, "degrees")]
)
def test_student_quantile_refuses(coverage, degrees, name):
    with pytest.raises(ValueError, match=name):
        statistics.student_quantile(coverage, degrees)


def test_resampled_weights_are_bootstrap_means():
    values = np.array([0.2, 1.7, -0.4, 3.3])
    weights = statistics.resampled(np.random.default_rng(1), 4)
    means = weights @ values
    error = values.std() / 2 / math.sqrt(statistics.DRAWS)
    assert weights.shape == (statistics.DRAWS, 4)
    assert np.allclose(weights.sum(axis=1), 1)
    assert abs(means.mean() - values.mean()) < SIGMAS * error
    # The variance of a bootstrap mean is the population variance over n.
    assert means.var() == pytest.approx(values.var() / 4, rel=0.1)


@pytest.mark.parametrize(("median", "sigma"), [(12.0, 0.4), (3e5, 1.7)])
def test_a_log_normal_comes_back_from_its_quantiles(median, sigma):
    scores = np.linspace(-2.5, 2.5, 41)
    assert np.allclose(
        statistics.redrawn(log_normal(median, sigma), scores), median * np.exp(sigma * scores), rtol=CLOSE
    )


def test_redraws_have_the_stored_quantiles():
    values = np.sort(np.random.default_rng(3).gamma(2.0, 5.0, 21))
    drawn = statistics.redrawn(values.tolist(), np.random.default_rng(4).standard_normal(200_000))
    for level, value in zip((0.05, 0.5, 0.95), (values[1], values[10], values[19]), strict=True):
        share = np.mean(drawn <= value)
        assert abs(share - level) < SIGMAS * math.sqrt(level * (1 - level) / 200_000)


def test_beyond_the_outermost_levels_the_quantiles_stand():
    values = log_normal(2.0, 0.3)
    assert np.allclose(statistics.redrawn(values, np.array([-9.0, 9.0])), [values[0], values[-1]])


@pytest.mark.parametrize("values", [[1.0, 2.0], [-1.0, *range(20)], [*range(20), 3.0]])
def test_quantiles_that_are_none_are_refused(values):
    with pytest.raises(ValueError, match="quantiles"):
        statistics.redrawn(values, np.zeros(2))


def test_within_range():
    place = np.array([-1.0, -0.25, 0.0, 0.5, 1.0])
    assert np.allclose(statistics.within_range(4.0, 2.0, 10.0, place), [2.0, 3.5, 4.0, 7.0, 10.0])


@pytest.mark.parametrize("bounds", [(4.0, 5.0, 6.0), (4.0, 3.0, 3.5), (4.0, -1.0, 5.0)])
def test_a_range_out_of_order_is_refused(bounds):
    with pytest.raises(ValueError, match="low <= central <= high"):
        statistics.within_range(*bounds, np.zeros(1))


def test_summary():
    values = np.random.default_rng(5).exponential(2.0, 999)
    assert statistics.summary(values) == pytest.approx(tuple(np.percentile(values, [50, 5, 95])))
