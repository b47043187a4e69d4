"""Tables and figures of hyperparameter studies from hand-made rows."""

import numpy as np
import pytest

from qgen.record import QUANTILE_LEVELS, Record
from qgen.report import plateau, search, tables


def row(arm, seed, regrets, reached=True, **fields):
    metrics = {
        "regret": regrets[-1],
        "test_regret": 2 * regrets[-1],
        "reached": float(reached),
        "strategy_energy_j": 0.5,
        "training_energy_j": 3.0,
        "coherent": 4.0 if arm == "quantum/durr_hoyer" else 0.0,
    }
    if reached:
        metrics |= {"trainings_to_target": 3.0 + seed, "joules_to_target": 9.5 + 3 * seed}
    trace = {"budget": [float(k + 2) for k in range(len(regrets))], "regret": list(regrets)}
    config = {"budget": len(regrets) + 1, "cells": 24}
    return Record("search", "planted_table", arm, seed, "smoke", config, metrics=metrics, trace=trace, **fields)


def timing(peer, population, compile_s, train_s):
    config = {"population": population, "steps": 7}
    metrics = {"compile_s": compile_s, "train_s": train_s, "ran": 4.0, "per_s": population / train_s}
    return Record("search_speed", "hybrid_8x4", peer, 0, "smoke", config, metrics=metrics)


def plateau_row(start, qubits, layers, variance):
    config = {"qubits": qubits, "layers": layers, "samples": 3}
    metrics = {"gradient_variance": variance}
    return Record("search_starts", "hardware_efficient", f"quantum/{start}", 0, "smoke", config, metrics=metrics)


@pytest.fixture
def rows():
    projected = {
        "far": {"energy_j": [900.0 + k for k in range(len(QUANTILE_LEVELS))]},
        "near": {"energy_j": [20.0] * len(QUANTILE_LEVELS)},
        "small": {"reason": "too few qubits"},
    }
    made = [row("classical/gp", seed, [0.5 - 0.1 * seed, 0.3, 0.1 + 0.02 * seed]) for seed in (0, 1)]
    made += [row("classical/random_2x", seed, [0.6, 0.5, 0.4, 0.3, 0.2]) for seed in (0, 1)]
    made += [
        row("quantum/durr_hoyer", seed, [0.7, 0.6, 0.5], reached=seed == 1, projected=projected, note="Simulated.")
        for seed in (0, 1)
    ]
    made += [row("control/no_amplification", seed, [0.8, 0.7, 0.65], reached=False) for seed in (0, 1)]
    made += [timing("qgen/sweep", 4, 2.0, 1.0), timing("pennylane/loop", 4, 8.0, 5.0)]
    made += [plateau_row("uniform", n, 8, 4.0**-n) for n in (2, 4)] + [plateau_row("uniform", 4, 4, 0.01)]
    return [*made, timing("pennylane/loop", 16, 8.0, 20.0)]


def test_strategies_are_ranked_and_counted(rows):
    table = search.strategies(search.searches(rows))
    group = table.groups[0]
    assert group.title == "planted table" and group.claim == "24 cells, 3 J per training"
    cells = {line[0]: line for line in group.rows}
    assert list(cells) == ["classical/gp", "classical/random_2x", "quantum/durr_hoyer", "control/no_amplification"]
    assert group.faint == {3}
    # Two seeds: mean and Student's t with one degree of freedom, 12.706 standard errors of 0.01 and 0.05.
    assert cells["classical/gp"][1:4] == ["2", "0.450 ± 0.635", "0.110 ± 0.127"]
    assert cells["classical/gp"][5:9] == ["100 %", "3.5", "11", "0.5"]
    assert cells["quantum/durr_hoyer"][5:] == ["50 %", "4", "12.5", "0.5", "4", "20 (near)"]
    assert cells["control/no_amplification"][5:8] == ["0 %", "-", "-"]
    assert "quantum/durr_hoyer: Simulated." in table.notes


def test_unknown_regrets_and_machines_are_dashes(rows):
    late = row("quantum/fm_qaoa", 0, [0.2, 0.1])
    late.trace["budget"][:] = [3.0, 3.0]
    cells = search.strategies(search.searches([late])).groups[0].rows[0]
    assert cells[2] == "-" and cells[-1] == "-" and cells[3] == "0.100"


def test_speeds_are_ratios_to_our_sweep(rows):
    table = search.speed([r for r in rows if r.experiment == "search_speed"])
    assert [group.title for group in table.groups] == ["4 configurations", "16 configurations"]
    assert table.groups[0].rows[1] == ["pennylane/loop", "4", "8", "5", "0.8", "5.00", "4.33"]
    assert table.groups[1].rows == []


def test_everything_is_written(rows, tmp_path, capsys):
    from rich.console import Console

    search.write(rows, tmp_path, Console(width=200))
    assert "planted table" in capsys.readouterr().out
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert names == {
        f"{folder}/{name}"
        for folder, files in (("tables", ("strategies", "speed")), ("figures", ("regret", "throughput", "plateau")))
        for name in [
            f"{stem}{end}"
            for stem in files
            for end in ((".md", ".tex", ".csv") if folder == "tables" else (".png", ".pdf"))
        ]
    }
    assert tables.markdown(search.all_tables(rows)["speed"]) == (tmp_path / "tables/speed.md").read_text()
    search.write([], tmp_path / "empty")
    assert not list((tmp_path / "empty").rglob("*.*"))


def test_the_figures_show_every_pair(rows):
    made = search.regret(search.searches(rows))
    left, right = made.axes
    assert [line.get_label() for line in left.get_lines()] == ["gp"]
    assert [line.get_label() for line in right.get_lines()] == ["durr_hoyer", "no_amplification"]
    np.testing.assert_allclose(right.get_lines()[1].get_ydata(), [0.8, 0.7, 0.65])
    left, right = plateau.figure([r for r in rows if r.experiment == "search_starts"]).axes
    np.testing.assert_allclose(left.get_lines()[0].get_xydata(), [[2, 1 / 16], [4, 1 / 256]])
    np.testing.assert_allclose(right.get_lines()[0].get_xydata(), [[4, 0.01], [8, 1 / 256]])
    speeds = search.throughput([r for r in rows if r.experiment == "search_speed"]).axes[0]
    np.testing.assert_allclose(speeds.get_lines()[2].get_ydata(), [0.8, 0.8])
    np.testing.assert_allclose(speeds.get_lines()[3].get_ydata(), [4 / 13, 16 / 28])
