import dataclasses

import pytest

from qgen.record import append, load
from qgen.report import ReportError, article, select
from tests.report.synthetic import record


def test_only_the_newest_preset_and_config_stay():
    old = record("curation", "classical/a", 0, 0.5, 3.0, preset="smoke")
    other = record("curation", "classical/a", 0, 0.5, 3.0, config={"size": 9})
    new = [record("curation", "classical/a", seed, 0.6, 4.0) for seed in (0, 1)]
    foreign = record("curation", "classical/a", 0, 0.1, 1.0, experiment="shares")
    assert select.latest([old, other, *new, foreign], "lifecycle") == new


def test_a_good_row_replaces_a_failed_one_and_never_the_other_way():
    good = record("curation", "classical/a", 0, 0.6, 4.0)
    failed = dataclasses.replace(good, status="failed", reason="no memory")
    better = dataclasses.replace(good, note="again")
    assert select.latest([failed, good], "lifecycle") == [good]
    assert select.latest([good, failed], "lifecycle") == [good]
    assert select.latest([good, better], "lifecycle") == [better]
    assert select.latest([failed], "lifecycle") == [failed]


def test_no_rows_are_refused():
    with pytest.raises(ReportError, match="`lifecycle`"):
        select.latest([record("curation", "classical/a", 0, 0.5, 3.0, experiment="shares")], "lifecycle")


def test_arms_are_paired_by_seed_and_apart_by_upstream():
    rows = [
        record("training", "classical/b", 2, 2.0, 3.0),
        record("training", "classical/b", 1, 2.0, 3.0),
        record("training", "classical/a", 1, 2.0, 3.0, status="failed", reason="because"),
        record("training", "classical/b", 1, 2.0, 3.0, upstream="curation=quantum/x"),
    ]
    arms = select.arms(rows, "training")
    assert list(arms) == ["classical/b", "classical/a"]
    assert list(arms["classical/b"].ok) == [1, 2]
    assert [row.reason for row in arms["classical/a"].failed] == ["because"]
    assert list(select.arms(rows, "training", "curation=quantum/x")) == ["classical/b"]


def test_a_torn_last_line_is_passed_over(tmp_path):
    path = tmp_path / "records.jsonl"
    row = record("training", "classical/a", 0, 2.0, 3.0)
    append(path, row)
    with path.open("a") as file:
        file.write('{"experiment": "lifec')
    assert select.latest(load(path), "lifecycle") == [row]


@pytest.mark.parametrize(
    ("profile", "date"),
    [("ft_sc_long", "long"), ("sc_mid", "mid"), ("ion_today", "today"), ("my_machine", ""), ("x", "")],
)
def test_date_of_a_profile(profile, date):
    assert select.date(profile) == date


def test_the_article_names_seven_stages_in_the_order_of_the_life():
    facts = article()
    assert list(facts) == [
        *("curation", "encoding", "architecture", "training", "finetuning", "deployment", "monitoring"),
    ]
    assert [stage.claim for stage in facts.values()] == [
        *("medium, low", "long, low", "medium, high", "medium, medium", "near, high", "near, medium", "medium, medium"),
    ]


def test_the_facts_of_the_stages_are_those_of_the_code():
    from qgen.stages import STAGES

    facts = article()
    assert list(facts) == list(STAGES)
    for name, stage in STAGES.items():
        assert tuple(facts[name].quality) == tuple(stage.quality), name
        assert (facts[name].reference, facts[name].swap) == (stage.reference, stage.swap), name
