"""The README's examples run as they stand there."""

import re
from pathlib import Path

import numpy as np

from qgen.energy import pricing

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(example: str) -> dict:
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    return names


def test_there_are_three_examples():
    assert len(EXAMPLES) == 3


def test_hybrid_classifier_learns_and_is_priced():
    assert len(EXAMPLES[0].splitlines()) == 12
    names = run(EXAMPLES[0])
    model, x, y = names["model"], names["x"], names["y"]
    assert float((model(x).argmax(-1) == y).mean()) > 0.9
    assert names["loss"](model) < np.log(3) / 3  # guessing costs log 3
    assert len(names["joules"]) == 2
    for draws in names["joules"]:
        median, low, high = pricing.summary(draws)
        assert 0 < low < median < high


def test_energy_of_a_users_own_circuit_and_function():
    names = run(EXAMPLES[1])
    assert 0 < names["low"] < names["median"] < names["high"]
    assert names["used"].energy_j > 0 and 0 <= names["saves"] <= 1
    assert names["decides"][1] != names["decides"][2]


def test_a_study_comes_near_the_least_loss_and_counts_its_shots():
    names = run(EXAMPLES[2])
    loss, config = names["best"]
    assert 0 <= loss < 1e-2 and 1e-3 <= config["rate"] <= 1 and names["shots"] > 0


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z_]+@", README)
