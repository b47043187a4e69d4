"""What every stage and every arm must keep to; functions that raise AssertionError, so that teeth can try them."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np

from qgen.resources import Resources
from qgen.stages.base import FAMILIES, Artefacts, Outcome, Stage, plain


def same(a: Any, b: Any) -> bool:
    """Whether two answers are the same, leaf by leaf, bit for bit."""
    leaves_a, tree_a = jax.tree.flatten(a)
    leaves_b, tree_b = jax.tree.flatten(b)
    return tree_a == tree_b and all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(leaves_a, leaves_b))


def stage_is_complete(stage: Stage) -> None:
    """Families, reference and swap arms, presets that JSON gives back."""
    families = [name.split("/")[0] for name in stage.arms]
    assert set(families) <= set(FAMILIES)
    assert families.count("classical") >= 2, f"{stage.name} has fewer than two classical arms"
    assert "quantum" in families and "control" in families
    assert stage.reference in stage.arms and stage.reference.startswith("classical/")
    assert stage.swap in stage.arms and stage.swap.startswith("quantum/")
    assert set(stage.presets) == {"smoke", "default", "paper"}
    for config in stage.presets.values():
        assert type(config).__dataclass_params__.frozen
        assert json.loads(json.dumps(plain(config))) == plain(config)
        assert all(type(value) in (int, float, str, bool, tuple) for value in dataclasses.asdict(config).values())
    for name, build in stage.arms.items():
        arm = build(stage.presets["smoke"])
        assert arm.name == name and isinstance(arm.note, str)


def arm_keeps_contract(
    stage: Stage, config: Any, problem: Any, name: str, reference: Outcome, scores: dict[str, float]
) -> Outcome:
    """One arm against the reference outcome: same key same answer, one type, one set of scores, honest resources."""
    arm = stage.arms[name](config)
    key = jax.random.fold_in(jax.random.key(11), 3)
    outcome = arm.solve(key, problem)
    assert isinstance(outcome, Outcome)
    assert same(outcome.answer, arm.solve(key, problem).answer), f"{name}: the same key gave another answer"
    assert type(outcome.answer) is type(reference.answer), f"{name}: answers of a stage have one type"
    own = stage.score(problem, outcome.answer)
    assert own.keys() == scores.keys(), f"{name}: scores differ from the reference's"
    assert stage.quality.name in own
    assert all(np.isfinite(value) for value in own.values()), f"{name}: a score is not finite: {own}"
    assert all(isinstance(item, Resources) for item in outcome.resources)
    family = name.split("/")[0]
    if family == "quantum":
        assert outcome.resources, f"{name}: a quantum arm without resources would be free"
        assert sum(item.shots + item.anneals for item in outcome.resources) > 0
    if family in ("classical", "inspired"):
        assert not outcome.resources, f"{name}: a {family} arm claims no quantum machine"
    for values in outcome.trace.values():
        assert np.ndim(values) == 1
    if arm.host is not None:
        arm.host(key, problem)
    return outcome


def hands_on(stage: Stage, artefacts: Artefacts, problem: Any, outcome: Outcome) -> Artefacts:
    """What the stage hands on is an Artefacts, and its corpus is untouched."""
    handed = stage.hand_on(artefacts, problem, outcome.answer)
    assert isinstance(handed, Artefacts)
    assert handed[:4] == artefacts[:4]
    return handed
