import csv
import dataclasses
import io
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from qgen import record, report
from qgen.report import ReportError, article, compare, lines, notes, output, paper, tables, words
from qgen.report.statistics import Interval
from tests.report import synthetic

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def rows():
    return synthetic.life(seeds=2) + synthetic.shares()


@pytest.fixture(scope="module")
def study(rows):
    return output.study(rows, article())


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 2, "0"),
        (0.00123, 2, "0.0012"),
        (1.23456e-5, 2, "1.2e-5"),
        (9.96, 2, "10"),
        (12345.0, 2, "1.2e4"),
        (-0.0567, 1, "-0.06"),
        (math.inf, 2, "inf"),
    ],
)
def test_significant(value, digits, text):
    assert words.significant(value, digits) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 2, "0 J"),
        (1234.0, 3, "1.23 kJ"),
        (999.6, 2, "1.0 kJ"),
        (4.5e-5, 2, "45 µJ"),
        (3e25, 2, "30000 ZJ"),
        (2e-14, 2, "0.020 pJ"),
    ],
)
def test_si(value, digits, text):
    assert words.si(value, "J", digits) == text


def test_intervals():
    nan = math.nan
    assert words.si_interval(Interval(12345, 3100, 40000), "J") == "12 kJ [3.1, 40]"
    assert words.si_interval(Interval(12345, 3.1, 4e9), "J") == "12 kJ [3.1 J, 4.0 GJ]"
    assert words.si_interval(Interval(0.29, 0.0, 3.8), "J") == "290 mJ [0, 3800]"
    assert words.si_interval(Interval(12345, nan, nan), "J", 3) == "12.3 kJ"
    assert words.plain_interval(Interval(3.2e5, 11.0, 9e9)) == "3.2e5 [11, 9.0e9]"
    assert words.plain_interval(Interval(0.5, nan, nan)) == "0.50"
    assert words.plus_minus(Interval(0.8123, 0.79, 0.8346)) == "0.812 ± 0.022"
    assert words.plus_minus(Interval(0.8123, nan, nan)) == "0.8123"
    assert words.plus_minus(Interval(0.5, 0.5, 0.5)) == "0.5000 ± 0"
    assert [words.probability(p) for p in (0.0, 0.31, 1.0)] == ["<0.01", "0.31", ">0.99"]


def test_tex_escapes():
    assert words.tex("a_b 50 % 3.2e5 µJ † <0.01") == (r"a\_b 50 \% $3.2{\times}10^{5}$ $\mu$J $^\dagger$ $<$0.01")


def test_every_arm_is_in_the_table_and_failed_ones_say_why(study):
    table = lines.lifecycle(study.stages, study.notes)
    names = [cells[0] for group in table.groups for cells in group.rows if cells[0]]
    assert names == [arm.arm for stage in study.stages for arm in stage.arms]
    assert "failed: ValueError: the solver did not converge." in tables.markdown(table)
    assert [group.claim for group in table.groups] == [facts.claim for facts in article().values()]


def test_measured_and_projected_never_share_a_column(study):
    table = lines.lifecycle(study.stages)
    column = {title: index for index, title in enumerate(table.header)}
    for group in table.groups:
        for cells in group.rows:
            if cells[0].startswith("classical"):
                assert cells[column["measured energy"]] and not cells[column["projected energy"]]
            elif cells[0].startswith(("quantum", "control")):
                assert cells[column["measured energy"]] == "" or cells[column["measured energy"]].startswith("host")
                assert cells[column["simulation"]] and cells[column["projected energy"]]


def test_projected_numbers_have_two_digits(study):
    table = lines.profiles(study.stages)
    index = table.header.index("projected energy, marginal")
    able = [row for group in table.groups for row in group.rows if not row[index].startswith("cannot")]
    cells = [cell for row in able for cell in row[index : index + 2]]
    assert cells
    for number in re.findall(r"\d[\d.]*", " ".join(cells)):
        digits = number.replace(".", "").lstrip("0")
        assert len(digits.rstrip("0")) <= 2, number


def test_amortised_energy_is_shown_beside_the_marginal_one(study):
    table = lines.amortised(study.stages)
    assert table.header[2:] == ("projected energy, marginal", "projected energy, amortised")
    arms = [cells[0] for group in table.groups for cells in group.rows if cells[0]]
    assert arms and all(arm.startswith("quantum/") for arm in arms)
    wide = lines.profiles(study.stages)
    for shown, place in ((table, 2), (wide, 2)):
        able = [cells for group in shown.groups for cells in group.rows if "cannot" not in cells[place]]
        assert able and all(cells[place] and cells[place + 1] for cells in able)
        assert any(cells[place] != cells[place + 1] for cells in able)


def written(rows):
    """The footnotes of these rows as one text."""
    return " ".join(notes.footnotes(rows, compare.stage_tables(rows, article())))


def test_the_notes_say_what_is_in_the_numbers(rows):
    mixed = [row for row in rows if (row.experiment, row.stage, row.upstream) == ("lifecycle", "training", "reference")]
    text = written(mixed)
    assert "counts 1.3 times [1.1, 1.56]" in text and "measured column is as the meter read it" in text
    assert "A control is never" not in text  # every control here has a quantum part
    for absent in ("commits are in one table", "Priced with different", "fewer than were run", "power supplies"):
        assert absent not in text
    at = next(k for k, row in enumerate(mixed) if row.arm.startswith("quantum/") and row.seed == 1)
    name = next(name for name, entry in mixed[at].projected.items() if "energy_j" in entry)
    changed = {**mixed[at].projected, name: {**mixed[at].projected[name], "fingerprint": "ffffffff"}}
    commit = {**mixed[at].provenance, "commit": "fedcba98"}
    mixed[at] = dataclasses.replace(mixed[at], projected=changed, provenance=commit)
    mixed.append(synthetic.record("training", "control/random", 0, 0.5, 1.0))
    text = written(mixed)
    assert "Rows of 2 commits are in one table" in text
    assert f"Priced with different numbers in different rows, which do not compare: {name}." in text
    assert "A control is never the best classical arm" in text
    rapl = {name: "rapl" if name == "meter" else value for name, value in mixed[0].measured.items()}
    mixed[0] = dataclasses.replace(mixed[0], measured=rapl | {"provenance": "MEASURED"})
    assert "not power supplies, fans and disks" in written(mixed)
    changed = {**mixed[at].projected, name: {"reason": "too noisy"}}
    mixed[at] = dataclasses.replace(mixed[at], projected=changed)
    text = written(mixed)
    assert f"{mixed[at].stage} {mixed[at].arm}: {name} 1 of 2" in text


def test_one_machine_of_each_date_is_shown_the_most_likely_to_save(study):
    arm = next(arm for arm in study.stages[1].arms if arm.family == "quantum")
    shown = lines.best_by_date(dict(arm.projections))
    assert [name.rsplit("_", 1)[1] for name, _ in shown] == ["today", "mid", "long"]
    for name, projection in shown:
        rivals = [p for n, p in arm.projections.items() if n.endswith(name.rsplit("_", 1)[1]) and p.energy]
        assert projection.saves == max(rival.saves for rival in rivals)


def test_a_machine_without_a_date_is_shown_as_well():
    projection = lines.Projection(energy=Interval(2.0, 1.0, 3.0))
    assert lines.best_by_date({"mine": projection, "sc_long": projection}) == [
        ("sc_long", projection),
        ("mine", projection),
    ]


def test_csv_has_one_row_per_arm_and_machine(study, tmp_path):
    output.write_tables(study, tmp_path)
    read = list(csv.DictReader(io.StringIO((tmp_path / "lifecycle.csv").read_text())))
    wanted = sum(max(1, len(arm.projections)) for stage in study.stages for arm in stage.arms)
    assert len(read) == wanted
    quantum = [row for row in read if row["arm"].startswith("quantum") and row["projected_j"]]
    assert all(row["simulation_j"] and 0 <= float(row["p_saves"]) <= 1 for row in quantum)
    assert all(row["reason"] for row in read if row["failed"] != "0")


def test_markdown_has_equal_columns(study):
    text = tables.markdown(lines.lifecycle(study.stages, study.notes))
    bars = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(bars) == 1


def test_latex_has_equal_columns(study):
    table = lines.lifecycle(study.stages, study.notes)
    text = tables.latex(table, "lifecycle")
    for line in text.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line and "caption" not in line:
            assert line.count("&") == len(table.header) - 1


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_fits_the_terminal(study, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    tables.show(lines.lifecycle(study.stages, study.notes), console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "classical/other" in text and "P(s" in text


def test_a_file_gets_wide_lines(study):
    console = Console(width=40, file=io.StringIO())
    tables.show(lines.bottom_line(study.lives, study.stages), console)
    assert "all classical" in console.file.getvalue()
    assert max(map(len, console.file.getvalue().splitlines())) > 100


def test_use_of_the_answers(study):
    table = lines.use(study.stages)
    assert [group.title.split(" (")[0] for group in table.groups] == ["6 Inference and deployment"]
    assert table.groups[0].rows[0][2:4] == ("21 mJ/token", "48 tokens/J")


def test_the_whole_report_is_written_and_printed(rows, tmp_path):
    console = Console(width=160, file=io.StringIO())
    report.lifecycle(rows, tmp_path, console)
    for name in ("lifecycle", "profiles", "amortised", "use", "bottom_line", "verdict"):
        assert (tmp_path / "tables" / f"{name}.md").stat().st_size
        assert (tmp_path / "tables" / f"{name}.tex").stat().st_size
    for name in ("energy", "quality", "saves", "curves", "life", "sensitivity"):
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    text = console.file.getvalue()
    for words_of in (
        "Energy of every arm",
        "Bottom line of the whole life",
        "The article's table recomputed",
        "Meter: modelled",
    ):
        assert words_of in text


def test_one_stage_alone_is_reported(rows, tmp_path):
    own = [
        row for row in rows if row.stage == "curation" and row.experiment == "lifecycle" and "control" not in row.arm
    ]
    classical = [row for row in own if row.arm.startswith("classical") and row.seed == 0]
    report.lifecycle(classical, tmp_path)
    assert "1 seed" in (tmp_path / "tables" / "lifecycle.md").read_text()
    assert not (tmp_path / "figures" / "saves.png").exists()


def test_failed_rows_alone_are_reported(tmp_path):
    failed = {"status": "failed", "reason": "no memory", "metrics": {}, "measured": {}}
    found = output.study([synthetic.record("curation", "classical/a", 0, 0.0, 1.0, **failed)], article())
    output.write_tables(found, tmp_path)
    assert "no memory" in (tmp_path / "lifecycle.md").read_text()


def test_rows_of_a_dirty_tree_are_refused_and_nothing_is_written(rows, tmp_path):
    spoiled = [*rows, synthetic.record("curation", "classical/other", 9, 0.9, 1.0, provenance={"dirty": True})]
    with pytest.raises(ReportError, match="uncommitted changes"):
        paper.write(spoiled, tmp_path, article())
    assert not list(tmp_path.iterdir())


def test_a_row_that_does_not_say_is_dirty():
    assert paper.dirty([synthetic.record("curation", "classical/a", 0, 0.9, 1.0, provenance={})])


def test_macros_cover_the_paper(study):
    used = set(re.findall(r"\\qgen([A-Za-z]+)", (ROOT / "paper" / "main.tex").read_text()))
    made = paper.macros(study, draft=True)
    assert used == set(made)
    assert made["Draft"].startswith("DRAFT") and paper.macros(study, draft=False)["Draft"] == ""
    assert made["Stages"] == "7" and made["Failed"] == "7" and made["Seeds"] == "2"


def test_the_papers_references_exist():
    text = (ROOT / "paper" / "main.tex").read_text()
    cited = {key for group in re.findall(r"\\cite\{([^}]*)\}", text) for key in group.split(",")}
    assert cited == set(re.findall(r"@\w+\{(\w+),", (ROOT / "paper" / "refs.bib").read_text()))
    assert set(re.findall(r"\\ref\{tab:(\w+)\}", text)) <= {"lifecycle", "bottomline", "verdict", "claims"}


def make_paper(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make_paper"), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "QGEN_VENV": sys.prefix},
        check=False,
    )


def test_make_paper_names_what_is_wrong(tmp_path):
    done = make_paper(f"--records={tmp_path}/none", f"--paper={tmp_path}/paper")
    assert done.returncode == 2 and "--records" in done.stderr and "Traceback" not in done.stderr
    dirty = synthetic.record("curation", "classical/a", 0, 0.9, 1.0, provenance={"dirty": True})
    record.append(tmp_path / "rows.jsonl", dirty)
    done = make_paper(f"--records={tmp_path}/rows.jsonl", f"--paper={tmp_path}/paper")
    assert (
        done.returncode == 2 and "uncommitted changes" in done.stderr and not (tmp_path / "paper" / "tables").exists()
    )


def test_make_paper_writes_a_draft(tmp_path):
    dirty = synthetic.record("curation", "classical/a", 0, 0.9, 1.0)
    record.append(tmp_path / "rows.jsonl", dirty)
    done = make_paper(f"--records={tmp_path}/rows.jsonl", f"--paper={tmp_path}/paper", "--draft", "--nopdf")
    assert done.returncode == 0, done.stderr
    assert "DRAFT" in (tmp_path / "paper" / "tables" / "macros.tex").read_text()


def test_powers_of_ten_in_latex_are_told_from_the_name_of_a_commit():
    from qgen.report import words

    assert words.tex("10^(2) ~ 3") == r"10\textasciicircum{}(2) \textasciitilde{} 3"
    assert words.tex("1.3e9 of 86e6f2c2") == r"$1.3{\times}10^{9}$ of 86e6f2c2"
