"""The distillation experiment: flags, students side by side, and one small run that resumes."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import students
from qgen import record
from qgen.lm import relational, train
from qgen.stages.distillation import LESSONS
from tests import processes

ROOT = Path(__file__).parent.parent
SETTINGS = students.Settings(40_000, 16, 1, 16, 4, steps=3, batch=4, rates=(1e-3, 1e-2), rows=4)


def run(*flags):
    command = [sys.executable, "-m", "experiments.distillation", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_wrong_flags_end_with_one_sentence(tmp_path):
    asked = {
        "--preset=huge": "--preset=huge: must be one of: smoke, default, paper.",
        "--seeds=0": "--seeds=0: must be at least 1.",
        "--encoder=/nowhere": "--encoder=/nowhere: ",
    }
    ended = processes.ends("distillation", {flag: [flag, f"--out={tmp_path / 'out'}"] for flag in asked})
    for flag, message in asked.items():
        code, said = ended[flag]
        assert code == 2 and message in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def base():
    return students.base(SETTINGS, 2)


def test_samples_are_apart_from_what_scores(base):
    few, many = (students.samples(base, SETTINGS, 1, count) for count in (3, 12))
    assert few.length < many.length < len(many.tokens)
    assert 0 < few.counts.sum() <= many.counts.sum()
    assert not np.array_equal(students.samples(base, SETTINGS, 0, 12).tokens, many.tokens)
    assert base.losses.shape == (2,) and base.losses[0] != base.losses[1]


def test_a_lane_is_the_same_training_on_its_own(base):
    """A lane of the population against `train.fit` with the lesson's own terms."""
    lesson = "quantum/entangled_kernel"
    drawn = [students.samples(base, SETTINGS, seed, 12) for seed in (0, 1)]
    arm = "classical/truncated_svd"
    seen = [students.inputs(base, seed, drawn[seed].seen) for seed in (0, 1)]
    starts = [{arm: students.compressed(base, seed, seen[seed], arm, 2).params} for seed in (0, 1)]
    found = students.distil(base, SETTINGS, starts, drawn, ("classical/scratch", lesson))
    own = found[1, arm, lesson]
    small = train.Recipe(learning_rate=own.rate, weight_decay=0.0)
    model = students.dataclasses.replace(base.model, context=students.WINDOW)
    objective = relational.objective(model, model, LESSONS[lesson].weights, LESSONS[lesson].grams)
    training = train.trainer(model, SETTINGS.batch, objective=objective)
    problem = train.problem(
        starts[1][arm],
        drawn[1].tokens[: drawn[1].length],
        small,
        SETTINGS.steps,
        students.seed_params(base, 1),
    )
    _, losses = train.advance(jax.random.key(101), training, problem, train.begin(training, problem), 0, SETTINGS.steps)
    np.testing.assert_allclose(own.curve, losses, rtol=1e-3)
    assert own.loss != found[1, arm, "classical/scratch"].loss
    assert np.isfinite(own.validation) and jnp.isfinite(own.loss)


@pytest.mark.slow
def test_a_run_writes_everything_and_resumes(tmp_path):
    given = ("--preset=smoke", "--profile=sc_long", f"--out={tmp_path}")
    first = run(*given)
    assert first.returncode == 0, first.stderr[-2000:]
    rows = record.load(tmp_path / "records.jsonl")
    assert {row.experiment for row in rows} == {
        *("distillation_compression", "distillation", "distillation_student", "distillation_step", "distillation_use"),
    }
    for name in ("tables/compression.md", "tables/energy.csv", "figures/parameters.png", "figures/few_samples.pdf"):
        assert (tmp_path / name).stat().st_size > 0
    again = run(*given)
    assert again.returncode == 0 and record.load(tmp_path / "records.jsonl") == rows
