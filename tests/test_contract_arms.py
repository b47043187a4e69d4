"""The contract of house.md over every arm of every stage, without exception lists; and its teeth."""

import itertools

import jax
import numpy as np
import pytest

from experiments import lifecycle
from qgen.lm import data
from qgen.resources import Resources
from qgen.stages import STAGES, Artefacts
from qgen.stages.base import Arm, Outcome, configure
from tests import contracts


class Pass:
    """The reference pass at the smoke preset, made stage by stage as far as a test needs it."""

    def __init__(self, folder):
        self.folder, self.problems, self.outcomes, self.scores = folder, {}, {}, {}
        corpus = lifecycle.SETTINGS["smoke"].corpus
        first = data.load_corpus(None, domain="prose", max_characters=corpus.characters)
        second = data.load_corpus(None, domain="code", max_characters=corpus.adapt_characters)
        self.artefacts = {None: Artefacts(*data.split(first, corpus.holdout), *data.split(second, corpus.holdout))}

    def upto(self, name):
        before = None
        for stage in STAGES.values():
            if stage.name not in self.problems:
                artefacts = self.artefacts[before]
                problem = stage.problem(jax.random.key(5), stage.presets["smoke"], artefacts)
                outcome = stage.arms[stage.reference](stage.presets["smoke"]).solve(jax.random.key(6), problem)
                handed = contracts.hands_on(stage, artefacts, problem, outcome)
                lifecycle.save(self.folder / stage.name, handed)
                self.problems[stage.name], self.outcomes[stage.name] = problem, outcome
                self.scores[stage.name] = stage.score(problem, outcome.answer)
                self.artefacts[stage.name] = lifecycle.restore(self.folder / stage.name, self.artefacts[None])
            if stage.name == name:
                return self.problems[name], self.outcomes[name], self.scores[name]
            before = stage.name
        raise KeyError(name)


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    return Pass(tmp_path_factory.mktemp("artefacts"))


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_stage_is_complete(stage):
    contracts.stage_is_complete(stage)


@pytest.mark.parametrize(("name", "arm"), [(stage.name, arm) for stage in STAGES.values() for arm in stage.arms])
def test_arm(reference, name, arm):
    stage = STAGES[name]
    problem, outcome, scores = reference.upto(name)
    contracts.arm_keeps_contract(stage, stage.presets["smoke"], problem, arm, outcome, scores)


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_settings_are_typed_and_refuse_what_they_do_not_know(stage):
    with pytest.raises(ValueError, match="one of"):
        configure(stage, "smoke", {"colour": "blue"})
    with pytest.raises(ValueError, match="one of"):
        configure(stage, "huge", {})
    config = stage.presets["smoke"]
    for name, value in config.__dict__.items():
        if type(value) is int:
            assert getattr(configure(stage, "smoke", {name: str(value + 1)}), name) == value + 1
            with pytest.raises(ValueError, match="must be int"):
                configure(stage, "smoke", {name: "much"})


def test_teeth(reference):
    """Every clause of the contract rejects a broken twin of a good arm."""
    stage = STAGES["curation"]
    config = stage.presets["smoke"]
    problem, outcome, scores = reference.upto("curation")
    counter = itertools.count()

    def forgetful(key, problem):
        changed = jax.tree.map(lambda leaf: np.asarray(leaf) + next(counter) % 7, outcome.answer)
        return outcome._replace(answer=changed)

    twins = {
        "same key gave another answer": ("classical/twin", forgetful),
        "one type": ("classical/twin", lambda key, problem: Outcome(tuple(outcome.answer))),
        "without resources would be free": ("quantum/twin", lambda key, problem: outcome),
        "claims no quantum machine": (
            "classical/twin",
            lambda key, problem: outcome._replace(resources=(Resources(1, shots=1),)),
        ),
    }
    for message, (name, solve) in twins.items():
        broken = stage._replace(arms={name: lambda config, name=name, solve=solve: Arm(name, solve)})
        with pytest.raises(AssertionError, match=message):
            contracts.arm_keeps_contract(broken, config, problem, name, outcome, scores)
    odd = stage._replace(score=lambda problem, answer: scores | {"extra": 1.0})
    with pytest.raises(AssertionError, match="scores differ"):
        contracts.arm_keeps_contract(odd, config, problem, stage.reference, outcome, scores)
    with pytest.raises(AssertionError, match="fewer than two classical"):
        contracts.stage_is_complete(stage._replace(arms={stage.reference: stage.arms[stage.reference]}))
