"""Sweeps against a loop over single runs, and what early stopping frees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.search import programs
from qgen.search.programs import Objective, function
from qgen.search.space import Categorical, Float, Integer, Space
from qgen.search.sweep import Ended, Rung, population_mesh, sweep

SINGLE = 1e-5
SPACE = Space({"rate": Float(1e-3, 0.3, log=True), "width": Integer(1, 3, static=True), "pull": Categorical((1, 2.5))})


def _init(key, config):
    return jax.random.normal(key, (config["width"],))


def _step(key, x, config, t):
    noise = 0.01 * jax.random.normal(key, x.shape)
    return x - config["rate"] * (config["pull"] * (x - 0.7) + noise)


def _loss(x, config):
    return jnp.sum((x - 0.7) ** 2) + 0.1 * config["rate"]


DESCENT = Objective("descent", _init, _step, _loss, 9)


def alone(key, config, stops=(9,)):
    """The losses at the stops of one run, step by step in NumPy's terms."""
    x, found = np.asarray(_init(key, config)), []
    for t in range(stops[-1]):
        noise = 0.01 * np.asarray(jax.random.normal(jax.random.fold_in(key, t), x.shape))
        x = x - config["rate"] * (config["pull"] * (x - 0.7) + noise)
        if t + 1 in stops:
            found.append(np.sum((x - 0.7) ** 2) + 0.1 * config["rate"])
    return found


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(3).uniform(size=(11, 3))


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(5), 11)


def test_a_sweep_is_a_loop_over_runs(points, keys):
    ended = []
    found = sweep(DESCENT, SPACE, points, keys, ended=lambda lane, how: ended.append((lane, how)))
    expected = [alone(key, SPACE.config(point))[0] for key, point in zip(keys, points)]
    np.testing.assert_allclose(found.losses, expected, rtol=SINGLE)
    assert sorted(lane for lane, _ in ended) == list(range(11))
    assert all(how == Ended(found.losses[lane], 9) for lane, how in ended)


def test_chunks_follow_the_memory_and_change_nothing(points, keys):
    wide = sweep(DESCENT, SPACE, points, keys, memory_bytes=20_000)
    narrow = sweep(DESCENT, SPACE, points, keys, memory_bytes=3500)
    np.testing.assert_allclose(narrow.losses, wide.losses, rtol=SINGLE)
    maker = programs.Programs(DESCENT, SPACE.traced, None, 20_000)
    width = maker._width({"width": 2}, 512, False)
    bytes_of = maker._lane_bytes({"width": 2}, width, False) * width
    assert width > 1 and bytes_of <= 20_000
    with pytest.raises(ValueError, match=r"A lane of descent needs .* MiB, but a device has"):
        sweep(DESCENT, SPACE, points, keys, memory_bytes=10)


def test_traced_hyperparameters_do_not_compile_again(points, keys):
    sweep(DESCENT, SPACE, points, keys)
    before = programs._program.cache_info().misses
    sweep(DESCENT, SPACE, points * 0.9, keys)
    assert programs._program.cache_info().misses == before


def test_stopped_lanes_free_their_work(points, keys):
    rungs = (Rung(2, 5), Rung(4, 2))
    found = sweep(DESCENT, SPACE, points, keys, rungs=rungs)
    curves = np.array([alone(key, SPACE.config(point), (2, 4, 9)) for key, point in zip(keys, points)])
    second = set(np.argsort(curves[:, 0])[:5].tolist())
    last = set(sorted(second, key=lambda lane: curves[lane, 1])[:2])
    for lane in range(11):
        stops = 3 if lane in last else 2 if lane in second else 1
        assert found.steps[lane] == (2, 4, 9)[stops - 1]
        np.testing.assert_allclose(found.curves[lane, :stops], curves[lane, :stops], rtol=SINGLE)
        assert np.isnan(found.curves[lane, stops:]).all()
    whole = sweep(DESCENT, SPACE, points, keys).lane_steps
    needed = found.steps.sum()
    assert needed <= found.lane_steps < 0.6 * whole


@pytest.mark.parametrize("n_known", [1, 6, 9])
def test_an_interrupted_bracket_goes_on_where_it_was(points, keys, n_known):
    rungs = (Rung(2, 5), Rung(4, 2))
    ended = {}
    straight = sweep(DESCENT, SPACE, points, keys, rungs=rungs, ended=lambda lane, how: ended.update({lane: how}))
    known = dict(list(ended.items())[:n_known])
    again = {}
    resumed = sweep(
        DESCENT, SPACE, points, keys, rungs=rungs, known=known, ended=lambda lane, how: again.update({lane: how})
    )
    assert resumed.steps.tolist() == straight.steps.tolist()
    np.testing.assert_allclose(resumed.losses, straight.losses, rtol=SINGLE)
    assert again.keys() == ended.keys() - known.keys()


def test_a_failed_lane_is_nan_and_goes_on_nowhere(points, keys):
    broken = DESCENT._replace(
        name="broken", loss=lambda x, config: jnp.where(config["pull"] > 2, jnp.nan, _loss(x, config))
    )
    found = sweep(broken, SPACE, points, keys, rungs=(Rung(3, 10),))
    fails = np.array([SPACE.config(point)["pull"] > 2 for point in points])
    assert 0 < fails.sum() < 10
    np.testing.assert_array_equal(np.isnan(found.losses), fails)
    assert (found.steps[fails] == 3).all() and (found.steps[~fails] == 9).all()


def test_a_function_is_an_objective(points, keys):
    objective = function("square", lambda key, config: config["rate"] ** 2 + config["width"])
    found = sweep(objective, SPACE, points, keys)
    expected = [SPACE.config(point)["rate"] ** 2 + SPACE.config(point)["width"] for point in points]
    np.testing.assert_allclose(found.losses, expected, rtol=SINGLE)


def test_one_device_on_a_mesh(points, keys):
    mesh = population_mesh(jax.devices()[:1])
    spread = sweep(DESCENT, SPACE, points, keys, rungs=(Rung(2, 4),), mesh=mesh)
    plain = sweep(DESCENT, SPACE, points, keys, rungs=(Rung(2, 4),))
    np.testing.assert_allclose(spread.losses, plain.losses, rtol=SINGLE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros((0, 3))}, "`number of points` must be at least 1"),
        ({"points": np.zeros((11, 2))}, r"`points` must have shape \(any, 3\)"),
        ({"points": np.full((11, 3), 1.5)}, r"`points` must lie in \[0, 1\]"),
        ({"keys": jax.random.split(jax.random.key(1), 4)}, r"`keys` must have shape \(11\)"),
        ({"rungs": (Rung(4, 5), Rung(4, 2))}, "`rungs` must have rising steps below 9"),
        ({"rungs": (Rung(4, 12),)}, "`rungs` must have rising steps"),
        ({"rungs": (Rung(9, 2),)}, "`rungs` must have rising steps"),
        ({"known": {0: Ended(0.1, 3)}}, "`steps of a known lane` must be one of: 9"),
        ({"memory_bytes": -1}, "`memory_bytes` must be above 0"),
        ({"objective": DESCENT._replace(steps=0)}, "`objective.steps` must be at least 1"),
        ({"mesh": jax.sharding.Mesh(np.array(jax.devices()[:1]), ("x",))}, "`mesh.axis_names` must be one of: x"),
    ],
)
def test_bad_input(points, keys, change, message):
    given = {"objective": DESCENT, "points": points, "keys": keys} | change
    with pytest.raises(ValueError, match=message):
        sweep(given.pop("objective"), SPACE, given.pop("points"), given.pop("keys"), **given)


def test_a_mesh_needs_devices():
    with pytest.raises(ValueError, match="`number of devices` must be at least 1"):
        population_mesh([])
