"""The claims table: 23 rows whatever there is, and rules that turn with the numbers."""

import dataclasses

import pytest

from qgen.cases import claim_list, claims
from tests.cases.rows import around, row

CLINICAL = {"data": "wisconsin", "features": 8, "folds": 10, "sizes": [], "shots": 0, "error": 0.0}
GRID = {"data": "profiles", "spread": 0.0, "shots": 1000, "device": "helios"}


def many(case, arm, config, center, metric, **fields):
    return [row(case, arm, seed, config, {metric: value}, **fields) for seed, value in enumerate(around(center))]


def verdict(number, rows):
    return claims.judged(claim_list.CLAIMS, rows)[number - 1].answer.verdict


def test_there_are_always_23_rows(tmp_path):
    lines = claims.judged(claim_list.CLAIMS, [])
    assert [line.number for line in lines] == list(range(1, 24))
    for line in lines:
        assert line.answer.verdict == f"undecided: run {line.claim.command}" or line.answer.verdict == claims.UNTESTABLE
    claims.write(lines, tmp_path)
    for suffix in ("md", "tex", "csv"):
        text = (tmp_path / "tables" / f"claims.{suffix}").read_text()
        assert text.count("undecided: run python -m experiments.cases --case=grid") == 2
    assert len((tmp_path / "tables" / "claims.csv").read_text().splitlines()) == 24


def adaptation(gain):
    arms = [(metric, end) for metric in ("amplitude", "angle") for end in ("", "_adapted")]
    return [
        one
        for metric, end in arms
        for one in many("grid", f"quantum/{metric}{end}", GRID, 0.5 * (1 + gain) if end else 0.5, "balanced_accuracy")
    ]


@pytest.mark.parametrize(
    ("gain", "word"), [(0.68, "holds"), (0.9, "holds"), (0.2, "does not hold"), (0.0, "does not hold")]
)
def test_the_gain_by_adaptation(gain, word):
    assert verdict(4, adaptation(gain)) == word


def clinical(arm, auc, **changes):
    return many("clinical", arm, CLINICAL | changes, auc, "hard_auc")


@pytest.mark.parametrize(("gain", "word"), [(0.02, "holds"), (-0.02, "does not hold"), (0.0, "does not hold")])
def test_the_gain_by_encoding(gain, word):
    rows = []
    for rule in ("qdc", "qksvm", "sqksvm"):
        rows += clinical(f"quantum/{rule}_log2n", 0.9 + gain) + clinical(f"quantum/{rule}_n", 0.9)
    assert verdict(7, rows) == word


@pytest.mark.parametrize(("loss", "word"), [(0.01, "holds"), (0.05, "does not hold")])
def test_the_loss_by_noise(loss, word):
    rows = clinical("quantum/sqksvm_log2n", 0.88, shots=8192)
    rows += clinical("quantum/sqksvm_log2n", 0.88 - loss, shots=8192, error=0.01)
    # Errors above a per cent are beyond the claim.
    rows += clinical("quantum/sqksvm_log2n", 0.5, shots=8192, error=0.03)
    assert verdict(9, rows) == word


@pytest.mark.parametrize(("lead", "word"), [(0.05, "holds"), (-0.05, "does not hold")])
def test_few_samples(lead, word):
    config = {"sizes": [10], "folds": 0}
    rows = many("clinical", "quantum/qdc_log2n", CLINICAL | config, 0.8 + lead, "hard_auc_n10")
    rows += many("clinical", "classical/knn", CLINICAL | config, 0.8, "hard_auc_n10")
    rows += many("clinical", "classical/logistic", CLINICAL | config, 0.6, "hard_auc_n10")
    assert verdict(10, rows) == word


@pytest.mark.parametrize(("gates", "word"), [(12, "holds"), (40, "does not hold")])
def test_counted_loaders(gates, word):
    rows = []
    for n, counted in ((4, 4), (8, gates)):
        config = CLINICAL | {"features": n, "shots": 100}
        need = {"qubits": n.bit_length() - 1, "gates_2q": 100.0 * counted, "shots": 100.0}
        rows += many("clinical", "quantum/qksvm_log2n", config, 0.9, "hard_auc", resources=need)
    assert verdict(6, rows) == word


@pytest.mark.parametrize(
    ("at_shots", "at_noise", "word"),
    [(0.8, 0.8, "holds"), (0.8, 0.6, "does not hold"), (0.6, 0.8, "does not hold")],
)
def test_a_gain_has_to_survive_shots_and_noise(at_shots, at_noise, word):
    base = {"data": "sst2", "samples": 256, "qubits": 10, "encoders": 1, "layers": 3, "steps": 500}
    base |= {"shots": [1000], "errors": []}
    narrow = base | {"qubits": 6, "shots": [], "errors": [0.01]}
    rows = []
    for seed, own in enumerate(around(at_shots)):
        exact = {"accuracy": 0.8, "validation": 0.8}
        rows.append(row("language_model", "quantum/head", seed, base, exact | {"accuracy_shots_1000": own}))
        rows.append(row("language_model", "quantum/head", seed, narrow, exact | {"accuracy_error_100": at_noise}))
        for config in (base, narrow):
            rows.append(row("language_model", "classical/matched", seed, config, {"accuracy": 0.7, "validation": 0.7}))
    assert verdict(20, rows) == word


def test_newer_rows_and_presets_win():
    old, new = adaptation(0.0), adaptation(0.68)
    assert verdict(4, [*old, *new]) == "holds"
    other = [dataclasses.replace(one, preset="paper") for one in old]
    assert verdict(4, [*new, *other]) == "does not hold"


def test_answers_name_their_records():
    line = claims.judged(claim_list.CLAIMS, adaptation(0.68))[3]
    assert claims.ids(line.answer).startswith("cases/grid x20 #")
