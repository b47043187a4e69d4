"""The distillation tables from made-up rows, whose means and differences are known."""

import itertools

import numpy as np
import pytest

from qgen.record import QUANTILE_LEVELS, Record
from qgen.report import distillation, distillation_encoder, distillation_rows

LESSONS = (
    *("classical/scratch", "classical/kd"),
    *("control/narrow_rbf_kernel", "control/separable_kernel", "quantum/entangled_kernel"),
)
START = "classical/activation_aware_svd"
SHARED = {"steps": 10, "rates": [0.1, 0.2]}


def row(experiment, arm, seed, metrics, **config):
    projected = {"machine": {"energy_j": [7.0] * len(QUANTILE_LEVELS)}} if arm.startswith("quantum") else {}
    return Record(
        *(experiment, "language_model", arm, seed, "smoke", SHARED | config),
        metrics={
            "teacher_loss": 2.0,
            "parameters": 100.0,
            "share_of_blocks": 0.25,
            "share_of_model": 0.5,
            "at_edge": 0.0,
        }
        | metrics,
        measured={"energy_j": 3.0, "provenance": "MEASURED"},
        projected=projected,
        resources={"shots": 1.0} if projected else {},
    )


def encoder_rows():
    made = []
    for rank in (72, 18):
        made.append(row("distillation_encoder", START, 0, {"embedding_error": 0.5, "output_error": 0.4}, rank=rank))
        for repeat in range(3):
            joules = {"energy_per_token_j": 0.001 + 0.0001 * repeat, "parameters": float(rank)}
            made.append(row("distillation_encoder_use", "control/student", repeat, joules, rank=rank))
        for seed, (place, lesson) in itertools.product(range(3), enumerate(LESSONS[1:])):
            for count in (10, 100) if rank == 72 else (100,):
                found = {
                    "embedding_error": 0.3 - 0.1 * place + 0.01 * seed + 1 / count,
                    "start_error": 0.6 + 0.1 * seed,
                    "relation_error": 0.05,
                }
                config = {"rank": rank, "samples": count, "start": START}
                made.append(row("distillation_encoder_student", lesson, seed, found, **config))
    for repeat in range(3):
        joules = {"energy_per_token_j": 0.002 + 0.0002 * repeat}
        made.append(row("distillation_encoder_use", "classical/teacher", repeat, joules, rank=0))
    return made


@pytest.fixture(scope="module")
def rows():
    made = []
    for seed in range(3):
        for place, lesson in enumerate(LESSONS):
            for count in (10, 100):
                loss = {"loss": 2.5 - 0.1 * place + 0.01 * seed + 1 / count}
                made.append(row("distillation", lesson, seed, loss, rank=9, samples=count, start=START))
            loss = {"loss": 2.9, "at_edge": float(place == 1 and seed == 2)}
            made.append(row("distillation", lesson, seed, loss, rank=9, samples=100, start="quantum/qsvt"))
        for rank in (9, 4):
            metrics = {"loss": 3.0 + seed, "output_error": 0.5}
            made.append(row("distillation_compression", START, seed, metrics, rank=rank))
            made.append(row("distillation_compression", "quantum/qsvt", seed, metrics, rank=rank))
        extra = {"body_parameters": 60.0, "frozen_parameters": 0.0, "loss": 2.25}
        made.append(row("distillation_student", "quantum/circuit_student", seed, extra))
    made += encoder_rows()
    for repeat, lesson in itertools.product(range(3), LESSONS):
        made.append(row("distillation_step", lesson, repeat, {"energy_per_step_j": 0.5 + 0.1 * repeat}, rank=9))
    for repeat, (arm, rank) in itertools.product(range(3), (("classical/teacher", 0), ("control/student", 9))):
        joules = {"energy_per_token_j": 0.002 + (0.001 * (repeat - 1) if rank else 0)}
        made.append(row("distillation_use", arm, repeat, joules | {"parameters": 100.0 - 5 * rank}, rank=rank))
    return made


def cells(table):
    return {line[0]: line[1:] for group in table.groups for line in group.rows}


def test_tables_hold_means_and_intervals(rows):
    # Student's t of 2 degrees of freedom at 95 % is 4.303, of three seeds 1 apart.
    found = cells(distillation.compression(rows))
    assert found[START][:3] == ["0.500 ± 0.000", f"2.000 ± {4.303 / np.sqrt(3):.3f}", "3.0"]
    assert found["quantum/qsvt"][2:] == ["-", "7.0 (machine)"]
    found = cells(distillation.lessons(rows))
    assert found["classical/kd"] == [f"0.420 ± {0.01 * 4.303 / np.sqrt(3):.3f}", "0.900 ± 0.000*"]
    assert found["classical/scratch"][1] == "0.900 ± 0.000"
    found = cells(distillation.few_samples(rows))
    assert found["quantum - best classical"] == ["-0.3000 ± 0.0000", "-0.3000 ± 0.0000"]
    assert found["quantum - separable"] == ["-0.1000 ± 0.0000", "-0.1000 ± 0.0000"]
    assert found["quantum - RBF of the same features"] == ["-0.2000 ± 0.0000", "-0.2000 ± 0.0000"]
    found = cells(distillation.energy(rows))
    assert found["classical/kd"] == ["0.60 [0.50, 0.70]", "12 [10, 14]", ""]
    assert found["quantum/entangled_kernel"][2] == "7.0 (machine)"
    assert found["teacher"][:2] == ["100", "2.0 [2.0, 2.0]"] and found["student of rank 9"][1] == "2.0 [1.0, 3.0]"
    assert cells(distillation.students(rows))["quantum/circuit_student"][:3] == ["100", "40", "0.250 ± 0.000"]


def test_an_encoders_tables_hold_means_and_paired_differences(rows):
    tables = distillation_encoder.all_tables(rows)
    found = cells(tables["encoder_lessons"])
    assert found["none: factors alone"][:2] == [f"0.700 ± {0.1 * 4.303 / np.sqrt(3):.3f}"] * 2
    assert found["classical/kd"] == [f"{m} ± {0.01 * 4.303 / np.sqrt(3):.3f}" for m in ("0.410", "0.320")] + [
        "0.0500 ± 0.0000",
        "3.0",
        "",
    ]
    assert found["quantum/entangled_kernel"][3:] == ["-", "7.0 (machine)"]
    assert found["quantum - best classical"][:2] == ["-0.3000 ± 0.0000"] * 2
    ranks = tables["encoder_ranks"]
    shares = "25.0 % of the blocks' parameters, 50.0 % of the whole model's"
    assert [group.title for group in ranks.groups] == [
        f"{rank}: {shares}, 1.1 [1.0, 1.2] mJ per token" for rank in (72, 18)
    ]
    assert all(cell.startswith(mean) for cell, mean in zip(cells(ranks)[START], ("0.700", "0.320", "0.020")))
    assert set(tables) == {"encoder", "encoder_lessons", "encoder_ranks"}
    alone = [row for row in rows if "encoder" not in row.experiment]
    assert distillation_encoder.all_tables(alone) == {}


def test_savings_are_ratios_paired_over_rounds(rows):
    # 1/2, 1, 3/2 of the teacher's; and exactly half in every round.
    no = distillation_rows.savings(distillation_rows.of(rows, "distillation_use"))
    assert f"over 3 rounds: rank 9: 1.00 ± {0.5 * 4.303 / np.sqrt(3):.2f}." in no and "here at no rank (" in no
    yes = distillation_rows.savings(distillation_rows.of(rows, "distillation_encoder_use"))
    assert "rank 72: 0.50 ± 0.00; rank 18: 0.50 ± 0.00" in yes and "here at ranks 72, 18 (" in yes


def test_the_full_factorial_is_the_largest_block(rows):
    assert distillation_rows.main_block(rows) == (9, 100)


def test_everything_is_written(rows, tmp_path):
    distillation.write(rows, tmp_path)
    for name in ("compression", "lessons", "few_samples", "students", "energy", "encoder", "encoder_lessons"):
        assert all((tmp_path / "tables" / f"{name}.{kind}").stat().st_size for kind in ("md", "tex", "csv"))
    assert all(
        (tmp_path / "figures" / f"{name}.png").stat().st_size
        for name in ("parameters", "few_samples", "energy", "encoder")
    )
