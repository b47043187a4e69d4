"""The lifecycle's bookkeeping, with a stage that costs nothing: what is run again, and what is not."""

import dataclasses

import numpy as np
import pytest
from rich.progress import Progress

from experiments import cli, lifecycle
from qgen import record
from qgen.energy import meters, profiles
from qgen.resources import Resources
from qgen.stages.base import Arm, Artefacts, Outcome, Quality, Stage

BASE = Artefacts(("a",), ("b",), ("c",), ("d",))
ARM = "quantum/toy"


@dataclasses.dataclass(frozen=True)
class Config:
    size: int = 3


def toy(runs: list) -> Stage:
    def problem(key, config, artefacts):
        if config.size < 1:
            raise ValueError("Argument `size` must be at least 1, but is 0.")
        return config.size

    def solve(key, problem):
        runs.append(problem)
        return Outcome(np.arange(problem), (Resources(1, circuits=1, shots=10, layers=10, gates_1q=10),))

    return Stage(
        name="toy",
        title="Toy",
        quality=Quality("sum", higher_is_better=True, margin=0.1),
        presets={"smoke": Config()},
        problem=problem,
        score=lambda problem, answer: {"sum": float(answer.sum())},
        arms={ARM: lambda config: Arm(ARM, solve)},
        reference=ARM,
        swap=ARM,
        hand_on=lambda artefacts, problem, answer: artefacts._replace(gates=answer),
    )


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Runs the stage once as a new process would: rows come from the disk."""
    runs: list = []
    stage = toy(runs)
    monkeypatch.setattr(lifecycle, "STAGES", {"toy": stage})

    def pass_once(machines=("sc_today",), size=3, upstream="reference"):
        runs.clear()
        path = tmp_path / "records.jsonl"
        plan = lifecycle.Plan(
            preset="smoke",
            seeds=1,
            stages=(stage,),
            compared=frozenset({"toy"}),
            arms=frozenset({ARM}),
            whole=False,
            reference={"toy": ARM},
            configs={"toy": Config(size)},
            base=BASE,
            corpus="",
            out=tmp_path,
            meter=meters.open_meter("modelled"),
            machines={name: profiles.load()[name] for name in machines},
            min_time_s=0.0,
            done=record.done(record.load(path)) if path.exists() else {},
        )
        with Progress(disable=True) as progress:
            progress.add_task("")
            chain = lifecycle.Chain(plan, 0, progress, upstream)
            chain.run_stage(stage, BASE, [ARM], [ARM])
        return bool(runs), chain

    return pass_once


def test_a_row_that_is_there_is_not_run_again(begin):
    assert begin()[0]
    again, chain = begin()
    assert not again and chain.rows[0].metrics == {"sum": 3.0}
    assert begin(size=4)[0]
    kept = lifecycle.restore(chain.place(lifecycle.STAGES["toy"], ARM), BASE)
    np.testing.assert_array_equal(kept.gates, np.arange(3))


def test_a_row_without_its_artefacts_is_run_again(begin):
    _, chain = begin()
    (chain.place(lifecycle.STAGES["toy"], ARM) / "meta.json").unlink()
    assert begin()[0]


def test_a_row_that_was_not_priced_on_an_asked_machine_is_run_again_and_no_other_machine_is_shown(begin):
    begin()
    again, chain = begin(("sc_today", "ion_today"))
    assert again and set(chain.rows[0].projected) == {"sc_today", "ion_today"}
    again, chain = begin(("ion_today",))
    assert not again and set(chain.rows[0].projected) == {"ion_today"}


def test_a_problem_that_cannot_be_made_ends_the_run_but_only_fails_the_life_of_a_swap(begin, tmp_path):
    with pytest.raises(cli.UsageError, match=r"--set=toy: .*`size` must be at least 1"):
        begin(size=0)
    assert not (tmp_path / "records.jsonl").exists()
    ran, chain = begin(size=0, upstream="other=quantum/swap")
    assert not ran and chain.rows[0].status == "failed" and "`size`" in chain.rows[0].reason
    assert record.load(tmp_path / "records.jsonl") == chain.rows
