"""The language model's case at a tiny size on drawn vectors: every arm, the tables' numbers, the data that is read."""

import dataclasses
import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest

from qgen import cases
from qgen.cases import language_model, language_model_arms, language_model_rows
from qgen.cases.base import MissingData
from qgen.cases.language_model_arms import Answer, Labelled, Problem, Setting
from qgen.energy import meters
from qgen.quantum import head as heads
from qgen.report import cases as report
from qgen.stages.base import run_arm

CASE = cases.load("language_model")
# One worker makes the fixture, not both.
TINY = dataclasses.replace(CASE.presets["smoke"], samples=20, sweep=(), simulated=(3,), steps=15, noisy=3)
FEATURES = 6


@pytest.fixture(scope="module")
def sources():
    """The drawn vectors' first features, of which one tells the classes apart: three qubits hold them."""
    drawn = CASE.load(TINY, {})
    parts = (Labelled(x[:, :FEATURES] / np.linalg.norm(x[:, :FEATURES], axis=1)[:, None], y) for x, y in drawn.data)
    return drawn._replace(data=language_model.Features(*parts))


@pytest.fixture(scope="module")
def rows(sources):
    """Two seeds of everything, as rows on sentences, so that the published table is filled."""
    # Short windows of one meter: no test reads how many joules they hold.
    named = {"experiment": "cases", "preset": "smoke", "machines": {}}
    meter = dataclasses.replace(meters.open_meter("modelled"), period_s=1e-4, idle_seconds=0.01)
    made = []
    with pytest.MonkeyPatch.context() as patch:
        # One program in place of one for every operation.
        patch.setattr(heads, "sampled", jax.jit(heads.sampled, static_argnames=("head", "shots")))
        for point in CASE.points(TINY, sources):
            setting = dataclasses.replace(point.setting, trials=min(point.setting.trials, 2))
            for seed in range(2):
                problem = CASE.problem(jax.random.key(seed), setting, sources)
                for arm in point.arms:
                    row = run_arm(CASE.stage(), arm, setting, problem, seed=seed, meter=meter, **named).record
                    assert row.status == "ok", f"{arm}: {row.reason}"
                    made.append(dataclasses.replace(row, config={**row.config, "data": "sst2"}))
    return made


@pytest.fixture(scope="module")
def problem(sources):
    setting = Setting(data="generated", samples=20, qubits=3)
    return CASE.problem(jax.random.key(1), setting, sources)


def test_samples_are_balanced_and_apart(problem):
    assert [len(part.y) for part in problem] == [34, 6, 400]
    both = np.concatenate([problem.train.y, problem.validation.y])
    assert both.sum() == 20
    together = np.concatenate([part.x for part in problem])
    assert len(np.unique(together, axis=0)) == len(together)


def test_the_score_counts_signs(problem):
    truth = Labelled(np.zeros((4, 2)), np.array([0, 1, 1, 0]))
    answer = Answer({"": np.array([-1.0, 2.0, -0.5, -0.1]), "_shots_10": np.array([1.0, 1.0])}, 7, 0.5)
    found = CASE.score(Problem(truth, truth, truth), answer)
    assert found == {"accuracy": 0.75, "accuracy_shots_10": 0.5, "validation": 0.5, "parameters": 7.0}


def test_every_arm_ran_and_solvable_vectors_are_solved(rows):
    assert {row.arm for row in rows} == set(CASE.arms)
    scores = [row.metrics["accuracy"] for row in rows if row.arm == "classical/logistic"]
    assert min(scores) > 0.8
    sizes = {row.arm: row.metrics["parameters"] for row in rows if row.config["shots"]}
    # As many weights as the head has angles, or as many as there are directions.
    assert sizes["classical/matched"] == min(sizes["quantum/head"], FEATURES + 1)
    assert sizes["control/frozen"] == TINY.qubits + 1
    assert sizes["classical/mlp_48"] == FEATURES * 48 + 48 + 48 + 1


@pytest.mark.parametrize("arm", ["quantum/head", "classical/rbf_svm"])
def test_the_test_part_s_labels_choose_nothing(problem, arm):
    setting = Setting(data="generated", samples=20, qubits=3, trials=2, steps=15, batch=16)
    solve = CASE.arms[arm](setting).solve
    other = problem._replace(test=problem.test._replace(y=1 - problem.test.y))
    one, two = (solve(jax.random.key(4), given).answer for given in (problem, other))
    np.testing.assert_array_equal(one.logits[""], two.logits[""])
    assert one.validation == two.validation


def test_a_machine_is_charged_for_every_trial_and_shift(rows):
    row = next(row for row in rows if row.arm == "quantum/head" and row.config["shots"])
    setting = {name: row.config[name] for name in ("qubits", "steps", "batch", "trials")}
    rings = 3 * 2 * setting["qubits"]  # three circuits of two rings
    shifts = 1 + 2 * (rings + 2 * setting["qubits"])
    trained = setting["trials"] * setting["steps"] * setting["batch"] * shifts
    assert row.resources["circuits"] == trained + 400
    assert row.resources["measurements"] == 1000 * (trained + 400)
    assert row.host and not row.use


def test_effort_is_counted_in_steps_and_epochs(rows):
    made = {row.arm: row.metrics for row in rows if row.config["shots"]}
    assert made["quantum/head"]["steps"] == 15 and made["quantum/head"]["epochs"] == 15 * 16 / 34
    # Two batches of at most 32 hold 34 samples.
    assert made["classical/mlp_48"]["steps"] == 2 * made["classical/mlp_48"]["epochs"] <= 200
    assert made["classical/logistic"]["steps"] == made["classical/logistic"]["epochs"] > 1
    assert "epochs" not in made["classical/rbf_svm"]


def test_heads_take_as_many_epochs_as_asked(rows):
    config = dataclasses.replace(CASE.presets["default"], data="generated", samples=20)
    sources = CASE.load(config, {})
    settings = [point.setting for point in CASE.points(config, sources)]
    whole = next(setting for setting in settings if not setting.samples)
    assert whole.batch * whole.steps >= config.full * 0.85 * len(sources.data.train.y)
    template = next(row for row in rows if row.arm == "quantum/head" and row.config["shots"])
    longer = dataclasses.replace(
        template,
        config={**template.config, "shots": [], "steps": 60},
        metrics={"accuracy": template.metrics["accuracy"] + 0.02},
    )
    assert language_model_rows.longer([*rows, longer]) == [pytest.approx(2.0)]
    assert language_model_rows.of_widths([*rows, longer]) == language_model_rows.of_widths(rows)


def test_published_numbers_meet_ours(rows):
    found = {number.what: report.ours(rows, number) for number in CASE.facts.published}
    assert found["logistic regression: accuracy"] is not None
    own = [100 * r.metrics["accuracy"] for r in rows if r.arm == "quantum/head" and r.config["shots"]]
    other = [100 * r.metrics["accuracy"] for r in rows if r.arm == "control/frozen"]
    gain = found["head over itself with circuits frozen at random"]
    assert gain is not None and gain.central == pytest.approx(np.mean(own) - np.mean(other))
    noisy = [row.metrics for row in rows if row.arm == "quantum/head" and row.config["errors"]]
    lost = found["head at a gate error of 0.01 over itself exact, narrow circuit"]
    assert lost is not None
    assert lost.central == pytest.approx(100 * np.mean([m["accuracy_error_100"] - m["accuracy"] for m in noisy]))
    drawn = [dataclasses.replace(row, config={**row.config, "data": "generated"}) for row in rows]
    assert all(report.ours(drawn, number) is None for number in CASE.facts.published)


def test_a_break_even_lies_where_both_energies_are_equal(rows):
    template = next(row for row in rows if row.arm == language_model_arms.UNTRAINED)

    def simulated(doubling):
        made = []
        for qubits in (10, 12, 14, 16):
            joules = 400 * 1e-9 * 2 ** (doubling * qubits)
            config = {**template.config, "qubits": qubits}
            made.append(dataclasses.replace(template, config=config, measured={"energy_j": joules}))
        return made

    found = language_model_rows.against_simulation(simulated(1.0))
    steeper = language_model_rows.against_simulation(simulated(1.3))
    assert found.low <= found.central <= found.high and 10 < steeper.central < found.central < 64
    # The machine's bill hardly grows beside the simulator's, which reaches it after as many doublings.
    assert math.isclose(steeper.central, found.central / 1.3, rel_tol=0.15)
    assert language_model_rows.against_simulation(rows[:3]) == []


def test_sentences_and_labels_are_read(tmp_path):
    file = tmp_path / "dev.tsv"
    file.write_text("sentence\tlabel\na fine film\t1\nno\t0\n", encoding="utf-8")
    texts, labels = language_model.read(file)
    assert texts == ["a fine film", "no"] and labels.tolist() == [1, 0]
    file.write_text("sentence\tlabel\na fine film\t2\n", encoding="utf-8")
    with pytest.raises(MissingData, match="line 2"):
        language_model.read(file)
    file.write_text("text\tlabel\na fine film\t1\n", encoding="utf-8")
    with pytest.raises(MissingData, match="line 1"):
        language_model.read(file)


def phrases(folder):
    """Four training phrases and one development sentence of each label."""
    pair = "bleak film\t0\na charming journey\t1\n"
    for name, times in (("train.tsv", 4), ("dev.tsv", 1)):
        (folder / name).write_text("sentence\tlabel\n" + times * pair, encoding="utf-8")


def test_what_is_missing_is_named(tmp_path):
    config = dataclasses.replace(CASE.presets["default"], samples=4)
    with pytest.raises(MissingData, match="--data=sst2=FOLDER"):
        CASE.load(config, {})
    with pytest.raises(MissingData, match=r"no file .*train\.tsv"):
        CASE.load(config, {"sst2": tmp_path})
    phrases(tmp_path)
    with pytest.raises(ValueError, match="must be at most 4, what a label has, but is 5"):
        CASE.load(dataclasses.replace(config, samples=5), {"sst2": tmp_path, "encoder": tmp_path})
    with pytest.raises(MissingData, match=r"no config\.json"):
        CASE.load(config, {"sst2": tmp_path, "encoder": tmp_path})
    with pytest.raises(ValueError, match="samples"):
        CASE.load(dataclasses.replace(TINY, samples=1), {})
    with pytest.raises(ValueError, match="must be at most"):
        CASE.problem(jax.random.key(0), Setting(samples=10_000), CASE.load(TINY, {}))


def test_sentences_become_features(tmp_path):
    root = Path(__file__).parent.parent / "lm" / "checkpoints" / "bert"
    phrases(tmp_path)
    config = dataclasses.replace(CASE.presets["default"], samples=4, pool=0)
    found = CASE.load(config, {"sst2": tmp_path, "encoder": root}).data
    frozen = json.loads((root / "hidden.json").read_text(encoding="utf-8"))
    assert found.test.x.shape == (2, len(frozen["hidden"][0][0])) and found.test.y.tolist() == [0, 1]
    np.testing.assert_allclose(np.linalg.norm(found.train.x, axis=1), 1.0, rtol=1e-5)
