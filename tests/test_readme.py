"""The README's examples run as they stand there."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(example: str) -> dict:
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    return names


def test_there_are_two_examples():
    assert len(EXAMPLES) == 2


def test_hybrid_classifier_learns_and_is_priced():
    names = run(EXAMPLES[0])
    assert float(names["accuracy"]) > 0.9
    assert names["losses"][-1] < names["losses"][0] / 2
    for median, low, high in names["joules"].values():
        assert 0 < low < median < high


def test_energy_of_a_users_own_circuit_and_function():
    names = run(EXAMPLES[1])
    assert 0 < names["low"] < names["median"] < names["high"]
    assert names["used"].energy_j > 0 and 0 <= names["saves"] <= 1
    assert names["decides"][1] != names["decides"][2]


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z_]+@", README)
