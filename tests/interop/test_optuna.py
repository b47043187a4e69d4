"""The samplers against Optuna's own suite, and exported studies read back by Optuna."""

import jax
import numpy as np
import optuna
import pytest
from optuna.testing import pytest_samplers

from qgen.interop.optuna import SAMPLERS, StrategySampler, export
from qgen.search.programs import function
from qgen.search.space import Categorical, Conditional, Float, Integer, Space
from qgen.search.strategies import random
from qgen.search.study import Study, run
from qgen.stages.searchers import SEARCHERS, Settings

optuna.logging.set_verbosity(optuna.logging.ERROR)
# Optuna's stepped distributions warn where their upper bound is no multiple of the step, which its suite tries.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:optuna")
SLOW = [name for name in SAMPLERS if name not in ("quantum/kernel_gp", "control/fourier_ridge")]


@pytest.mark.parametrize("sampler", [SAMPLERS["control/fourier_ridge"]], ids=["fourier_ridge"])
class TestAgainstOptunasSuite(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.SingleOnlySamplerTestCase,
):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [SAMPLERS[name] for name in SAMPLERS], ids=list(SAMPLERS))
class TestAllAgainstOptunasSuite(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.SingleOnlySamplerTestCase,
):
    pass


def bowl(trial):
    """Least where x = 1e-2 and n = 4."""
    return (np.log10(trial.suggest_float("x", 1e-4, 1, log=True)) + 2) ** 2 + abs(
        trial.suggest_int("n", 0, 8, step=2) - 4
    )


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_quantum_sampler_finds_a_bowl(direction):
    sign = 1 if direction == "minimize" else -1
    study = optuna.create_study(direction=direction, sampler=SAMPLERS["quantum/kernel_gp"](seed=3))
    study.optimize(lambda trial: sign * bowl(trial), n_trials=25)
    drawn = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=3))
    drawn.optimize(lambda trial: sign * bowl(trial), n_trials=25)
    late = [sign * trial.value for trial in study.trials[10:]]
    assert sign * study.best_value <= sign * drawn.best_value
    assert np.median(late) < 0.5 * np.median([sign * trial.value for trial in drawn.trials[10:]])


def test_the_same_seed_asks_the_same():
    found = []
    for _ in range(2):
        study = optuna.create_study(sampler=SAMPLERS["control/fourier_ridge"](seed=5, start_trials=3))
        study.optimize(bowl, n_trials=8)
        found.append([trial.params for trial in study.trials])
    assert found[0] == found[1]
    study.sampler.reseed_rng()
    study.optimize(bowl, n_trials=2)


def test_a_study_goes_to_a_storage(tmp_path, key):
    space = Space(
        {
            "rate": Float(1e-3, 1.0, log=True),
            "depth": Integer(1, 3),
            "kind": Categorical(("plain", ("deep", 2)), static=True),
            "extra": Conditional(Float(0.0, 2.0), "kind", ("plain",)),
        }
    )

    def loss(key, config):
        bad = jax.numpy.where(config["depth"] == 2, jax.numpy.nan, 0.0)
        return config["rate"] + config["depth"] + bad

    history = run(key, Study(space, function("sum", loss), random(batch=9), 9))
    url = f"sqlite:///{tmp_path}/study.db"
    export(history, space, "nine", url)
    read = optuna.load_study(study_name="nine", storage=url)
    assert len(read.trials) == 9
    for trial, ours in zip(read.trials, history.trials):
        params = space.params(np.array(ours.point))
        assert trial.params["rate"] == pytest.approx(params["rate"])
        assert ("extra" in trial.params) == (params["kind"] == "plain")
        assert trial.params["kind"] == (params["kind"] if params["kind"] == "plain" else "('deep', 2)")
        assert trial.state.name == ("FAIL" if params["depth"] == 2 else "COMPLETE")
        assert trial.user_attrs["spent"] == ours.spent
    assert read.best_value == pytest.approx(history.best.loss)


def test_bad_input():
    settings = Settings(steps=1)
    with pytest.raises(ValueError, match="must propose from finished trials alone, but is quantum/durr_hoyer"):
        StrategySampler(SEARCHERS["quantum/durr_hoyer"](settings))
    with pytest.raises(ValueError, match="`start_trials` must be at least 2"):
        SAMPLERS["quantum/kernel_gp"](start_trials=1)
