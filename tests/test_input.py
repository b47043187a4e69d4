"""Bad input, in this process: the range of every setting, and what flags say before anything is written."""

import dataclasses
import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import cli, lifecycle
from qgen import cases, check
from qgen.cases import language_model
from qgen.record import Record
from qgen.stages import STAGES
from qgen.stages.fits import fits

ROOT = Path(__file__).parent.parent
PRESETS = {name: stage.presets for name, stage in STAGES.items()}
PRESETS |= {name: cases.load(name).presets for name in cases.CASES}
PRESETS |= {"corpus": {name: row.corpus for name, row in lifecycle.SETTINGS.items()}}


@dataclasses.dataclass(frozen=True)
class Toy:
    steps: check.Count = 1
    rates: tuple[check.Positive, ...] = (0.1,)
    share: check.Part = 0.5
    kind: Annotated[str, partial(check.one_of, known=("a", "b"))] = "a"
    width: Annotated[int, check.power_of_two] = 4
    free: int = 0

    def __post_init__(self):
        check.fields("toy", self)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "Argument `toy.steps` must be at least 1, but is 0."),
        ({"steps": 1.5}, "Argument `toy.steps` must be a whole number, but is 1.5."),
        ({"steps": 2**31}, "Argument `toy.steps` must be at most 2147483647, but is 2147483648."),
        ({"rates": (0.1, -1.0)}, "Argument `toy.rates` must be above 0, but is -1.0."),
        ({"rates": (math.inf,)}, "Argument `toy.rates` must be at most 2147483647, but is inf."),
        ({"share": 1.0}, "Argument `toy.share` must lie in (0, 1), but is 1.0."),
        ({"share": math.nan}, "Argument `toy.share` must lie in (0, 1), but is nan."),
        ({"kind": "c"}, "Argument `toy.kind` must be one of: a, b; but is 'c'."),
        ({"width": 6}, "Argument `toy.width` must be a power of two of at least 2, but is 6."),
    ],
)
def test_a_field_keeps_what_its_type_says(changes, message):
    with pytest.raises(ValueError) as caught:
        Toy(**changes)
    assert str(caught.value) == message
    assert Toy(steps=np.int64(3), rates=(2,), free=-5).free == -5


@pytest.mark.parametrize("place", PRESETS)
def test_every_number_has_a_range(place):
    config = PRESETS[place]["smoke"]
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        kind = get_args(hint)[0] if get_origin(hint) is tuple else hint
        if hint is bool or get_args(kind)[:1] == (str,):
            continue
        for text in ("-1", "9999999999", "nan", "1e99"):
            entry = f"{place}.{name}={text}"
            with pytest.raises(cli.UsageError) as caught:
                cli.configured([entry], {place: config})
            assert str(caught.value).startswith(f"--set={entry}: ") and " must " in str(caught.value), entry


def test_presets_are_in_range():
    for presets in PRESETS.values():
        assert all(dataclasses.replace(config) == config for config in presets.values())
    for preset in lifecycle.PRESETS:
        fits({name: stage.presets[preset] for name, stage in STAGES.items()})


BAD_FLAGS = {
    **{
        entry: ([f"--set={entry}"], f"--set={entry}: Argument `{entry.partition('=')[0]}` {message}")
        for entry, message in {
            "finetuning.rank=1000": "must lie in [1, 16], but is 1000.",
            "finetuning.rank=0": "must be at least 1, but is 0.",
            "finetuning.samples=0": "must be at least 2, but is 0.",
            "finetuning.validation=0.99": "must leave at least 1 of `finetuning.samples` = 24, but is 0.99.",
            "training.steps=-5": "must be at least 2, but is -5.",
            "training.phase_share=0.99": "must leave at least 1 of 20 steps, but is 0.99.",
            "monitoring.shots=0": "must be at least 1, but is 0.",
            "monitoring.features=12": "must lie in [2, 9], but is 12.",
            "deployment.removed=100": "must lie in (0, 1), but is 100.0.",
            "deployment.mixer=exact": "must be one of: full, ring; but is 'exact'.",
            "curation.shots=0": "must be at least 1, but is 0.",
            "curation.clusters=201": "must lie in [1, 200], but is 201.",
            "curation.edits=0.5,0.1": "must be two shares, the lower first, but is (0.5, 0.1).",
            "encoding.width=400": "must lie in [2, 319], but is 400.",
            "encoding.parts=5": "must divide `encoding.width` = 8, but is 5.",
            "encoding.codes=400": "must lie in [2, 320], but is 400.",
            "architecture.depths=1": "must have 2 entries, one per width, but has 1.",
            "architecture.depths=30,2": "must have at most 2000000 choices of `deployment.removed` = 0.35",
            "architecture.widths=18,16": "must hold multiples of 2 * `architecture.heads` = 4, but holds 18.",
        }.items()
    },
    "heads": (["--set=architecture.heads=3"], "--set=architecture.heads=3: Argument `architecture.widths` must hold"),
    "two entries": (
        ["--set=training.batch=8", "--set=finetuning.steps=9", "--set=training.steps=0"],
        "--set=training.steps=0: Argument `training.steps` must be at least 2, but is 0.",
    ),
    "field": (["--set=training.foo=3"], "--set=training.foo=3: Argument `field of training` must be one of: steps, "),
    "type": (
        ["--set=training.steps=abc"],
        "--set=training.steps=abc: Setting `training.steps` must be int, but is 'abc'.",
    ),
    "all and unknown": (["--arm=all,classical/magic"], "--arm=classical/magic: must be one of"),
    "out": (
        ["--out=/proc/foo/bar"],
        "--out=/proc/foo/bar: /proc/foo/bar cannot be made (No such file or directory); name",
    ),
}
NARROW = {"monitoring.features=12": ["--set=architecture.widths=8,16"]}
"""What else must be set for a bound to be reached."""


@pytest.fixture
def parse():
    """Reads flags as a command line does, and forgets them afterwards."""
    with flagsaver.flagsaver():
        yield lambda *arguments: flags.FLAGS(["test", "--preset=smoke", *arguments])


@pytest.fixture(scope="module", autouse=True)
def corpus():
    """The same few documents for every plan: reading the library's takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        documents = tuple(f"Document {n}. " + "word " * 100 for n in range(100))
        patch.setattr(lifecycle.data, "load_corpus", lambda *given, **named: documents)
        yield


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_flags_are_refused_before_anything_is_written(name, parse, tmp_path):
    arguments, message = BAD_FLAGS[name]
    parse(f"--out={tmp_path / 'out'}", *NARROW.get(name, []), *arguments)
    with pytest.raises(cli.UsageError) as caught:
        lifecycle.plan()
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_all_means_all_whatever_stands_beside_it(parse, tmp_path):
    plans = []
    for arms in ("all", "all,classical/lora"):
        parse(f"--out={tmp_path / 'out'}", f"--arm={arms}")
        plans.append(lifecycle.plan())
        flags.FLAGS["arm"].unparse()
    assert plans[0].arms == plans[1].arms == {arm for stage in STAGES.values() for arm in stage.arms}
    assert plans[0].whole and plans[1].whole


@pytest.mark.parametrize("line", ['{"schema": 999}', "nonsense", "[1]"])
def test_a_folder_with_other_records_is_refused_with_what_would_work(line, tmp_path):
    (tmp_path / "records.jsonl").write_text(line + "\n")
    with pytest.raises(cli.UsageError, match=r"^--out=.*, line 1, .*; name another --out, or remove the folder\.$"):
        cli.rows(tmp_path, resume=True)
    assert (tmp_path / "records.jsonl").read_text() == line + "\n"


def test_empty_text_flags_are_found():
    given = flags.FlagValues()
    flags.DEFINE_string("corpus", None, "", flag_values=given)
    flags.DEFINE_string("out", "", "", flag_values=given)
    flags.DEFINE_list("arm", [], "", flag_values=given)
    given(["test", "--corpus=", "--arm="])
    assert cli.empty(given) == ["corpus"]


def test_failed_rows_are_told_and_end_with_exit_code_1(capsys):
    good = Record("lifecycle", "training", "classical/adamw", 0, "smoke", {})
    cli.finish([good])
    assert not capsys.readouterr().out
    bad = [dataclasses.replace(good, seed=n, status="failed", reason=f"ValueError: [{n}]") for n in range(5)]
    with pytest.raises(SystemExit) as caught:
        cli.finish([good, *bad])
    said = capsys.readouterr().out
    assert caught.value.code == 1
    assert "5 of 6 rows failed" in said and "training classical/adamw, seed 0: ValueError: [0]" in said
    assert "[2]" in said and "[3]" not in said


@pytest.mark.parametrize(
    ("case", "entry", "message"),
    [
        ("language_model", "steps=0", "Argument `language_model.steps` must be at least 1, but is 0."),
        ("language_model", "qubits=40", "Argument `language_model.qubits` must lie in [3, 24], but is 40."),
        ("language_model", "samples=100000", "Argument `language_model.samples` must lie in [4, 29780]"),
        ("language_model", "noisy=13", "Argument `language_model.noisy` must lie in [3, 12], but is 13."),
        (
            "language_model",
            "data=imdb",
            "Argument `language_model.data` must be one of: sst2, domains, sst2_own, generated; but is",
        ),
        ("grid", "items=5", "Argument `grid.items` must be at least 20, but is 5."),
        ("clinical", "widths=4,6", "Argument `clinical.widths` must be a power of two of at least 2, but is 6."),
        ("flights", "budget=4", "Argument `flights.budget` must be at least 5, but is 4."),
        ("flights", "generated=10", "Argument `flights.generated` must be at least 200, but is 10."),
        ("weights", "qubits=40", "Argument `weights.qubits` must lie in [1, 16], but is 40."),
        ("weights", "sweep", "must have the form field=value, such as shots=1000."),
    ],
)
def test_settings_of_cases_are_refused(case, entry, message):
    with pytest.raises(cli.UsageError) as caught:
        cli.configured([entry], {case: PRESETS[case]["smoke"]}, case)
    assert str(caught.value).startswith(f"--set={entry}: {message}")


SCRIPT = """
import json, sys
from absl import flags
from absl.testing import flagsaver
from experiments import cases, cli
told = []
for arguments in json.loads(sys.argv[1]):
    with flagsaver.flagsaver():
        flags.FLAGS(["cases", *arguments])
        try:
            cases.plan()
            told.append("")
        except cli.UsageError as error:
            told.append(str(error))
print(json.dumps(told))
"""


def test_a_case_names_the_flag_that_is_wrong_before_its_encoder_is_read(tmp_path):
    for name in ("train", "dev"):
        lines = "".join(f"a fine film\t{n % 2}\n" for n in range(40))
        (tmp_path / f"{name}.tsv").write_text("sentence\tlabel\n" + lines)
    data = f"--data=sst2={tmp_path},encoder={tmp_path}"
    asked = {
        "--set=samples=30: Argument `language_model.samples` must be at most 20": [data, "--set=samples=30"],
        f"{data}: Checkpoint": [data, "--set=samples=20"],
        "--data: SST-2 is read from a folder": [],
    }
    arguments = [["--case=language_model", f"--out={tmp_path / 'out'}", *values] for values in asked.values()]
    command = [sys.executable, "-c", SCRIPT, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for told, message in zip(json.loads(done.stdout.splitlines()[-1]), asked, strict=True):
        assert told.startswith(message), told
    assert not (tmp_path / "out").exists()


def test_a_label_with_too_few_phrases_is_refused():
    with pytest.raises(ValueError, match=r"`language_model\.samples` must be at most 1, what a label has, but is 2\."):
        language_model.enough(np.array([0, 0, 1]), 2)
    language_model.enough(np.array([0, 0, 1]), 1)
