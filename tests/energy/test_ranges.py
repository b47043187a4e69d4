import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.energy import ranges
from qgen.energy.ranges import Range, TableError

GOOD = {"low": 0.5, "central": 2.0, "high": 32.0, "unit": "W", "source": "a test", "grade": "C"}


def test_quantile_is_log_uniform_on_either_side():
    number = Range(**GOOD)
    u = jnp.asarray([0.0, 0.25, 0.5, 0.75, 0.999999])
    expected = [0.5, np.sqrt(0.5 * 2), 2.0, np.sqrt(2 * 32), 32.0]
    np.testing.assert_allclose(number.quantile(u), expected, rtol=1e-4)


def test_quantile_is_linear_from_zero():
    zero = Range(0.0, 0.0, 4.0, "s", "a test", "D")
    np.testing.assert_allclose(zero.quantile(jnp.asarray([0.1, 0.5, 0.75])), [0.0, 0.0, 2.0], atol=1e-6)
    rising = Range(0.0, 3.0, 3.0, "s", "a test", "D")
    np.testing.assert_allclose(rising.quantile(jnp.asarray([0.1, 0.8])), [0.6, 3.0], rtol=1e-6)


def test_draws_stay_in_range_and_have_the_central_median(key):
    draws = Range(**GOOD).quantile(jax.random.uniform(key, (20_000,)))
    assert 0.5 <= draws.min() and draws.max() <= 32.0
    share = float(jnp.mean(draws < 2.0))
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(20_000)


def test_fixed():
    assert Range(**GOOD).fixed().high == 2.0
    assert Range(**GOOD).fixed(7.0).low == 7.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": -1.0}, "`low` must be a finite number of at least 0, but is -1.0"),
        ({"high": float("nan")}, "`high` must be a finite number"),
        ({"central": float("inf")}, "`central` must be a finite number"),
        ({"low": 3.0}, "rising order, but are 3.0, 2.0, 32.0"),
        ({"unit": "horsepower"}, "`unit` must be one of"),
        ({"grade": "E"}, "`grade` must be one of"),
        ({"source": "  "}, "`source` must say where"),
    ],
)
def test_a_bad_number_is_refused_and_named(change, message):
    with pytest.raises(ValueError, match=message):
        Range(**{**GOOD, **change})
    with pytest.raises(TableError, match="x.toml: entry `row`, field `cell`: .*" + message):
        ranges.parse("x.toml", "row", "cell", {**GOOD, **change}, {})


def test_parse_expands_sources_and_names_missing_keys():
    number = ranges.parse("x.toml", "row", "cell", {**GOOD, "source": "key: page 3"}, {"key": "A book"})
    assert number.source == "A book; page 3"
    with pytest.raises(TableError, match=r"missing keys \['grade'\], unknown keys \['note'\]"):
        ranges.parse("x.toml", "row", "cell", {k: v for k, v in GOOD.items() if k != "grade"} | {"note": 1}, {})
    with pytest.raises(TableError, match="must be a table of"):
        ranges.parse("x.toml", "row", "cell", 3.0, {})


def test_read_errors(tmp_path):
    with pytest.raises(TableError, match="no table at"):
        ranges.read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = = 3")
    with pytest.raises(TableError, match=r"bad.toml: no valid TOML"):
        ranges.read(tmp_path / "bad.toml")
