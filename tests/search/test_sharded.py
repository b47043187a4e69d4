"""Populations over 4 virtual devices and over 2 processes against one device."""

import numpy as np
import pytest

from qgen.search.study import run
from qgen.search.sweep import sweep
from tests.processes import launch
from tests.search.sharded_case import BRACKET, KEY, KEYS, OBJECTIVE, POINTS, RUNGS, SPACE

SINGLE = 1e-5


@pytest.fixture(scope="module")
def history():
    return run(KEY, BRACKET)


def same_study(found, history, path):
    assert [tuple(point) for point, _, _ in found["study"]] == [trial.point for trial in history.trials]
    np.testing.assert_allclose([loss for _, loss, _ in found["study"]], [t.loss for t in history.trials], rtol=SINGLE)
    assert [steps for _, _, steps in found["study"]] == [trial.steps for trial in history.trials]
    assert found["resumed"]
    assert len(path.read_text().splitlines()) == 1 + len(history.trials)


def test_four_devices_find_what_one_does(history, tmp_path):
    (found,) = launch("tests.search.sharded_worker", 1, tmp_path)
    alone = sweep(OBJECTIVE, SPACE, POINTS, KEYS)
    np.testing.assert_allclose(found["plain"], alone.losses, rtol=SINGLE)
    np.testing.assert_allclose(found["narrow"], alone.losses, rtol=SINGLE)
    same_study(found, history, tmp_path / "study1.jsonl")


def test_two_processes_find_what_one_does(history, tmp_path):
    alone = sweep(OBJECTIVE, SPACE, POINTS, KEYS, rungs=RUNGS)
    for found in launch("tests.search.sharded_worker", 2, tmp_path):
        np.testing.assert_allclose(found["halved"], alone.losses, rtol=SINGLE)
        assert found["steps"] == alone.steps.tolist()
        assert found["disagree"].startswith("The processes disagree on the study: [1] have another one")
        same_study(found, history, tmp_path / "study2.jsonl")
