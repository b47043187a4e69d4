"""Tables and figures of break-evens from made-up rows whose every number is written down here."""

import dataclasses

import numpy as np
import pytest

from qgen.report import article, context_tables, outlook, outlook_tables, output, select, style, tables
from tests.report import synthetic

FACTS = article()
SIZES = [4.0, 8.0, 16.0]


def row(experiment, stage, arm, config, metrics, trace=(), **changes):
    return synthetic.record(
        *(stage, arm, 0, 0.0, 1.0),
        **{"experiment": experiment, "config": config, "metrics": metrics, "trace": dict(trace), "measured": {}},
        **changes,
    )


def curve(level):
    return {
        "curve_size": SIZES,
        "curve_j": [level * n for n in SIZES],
        "curve_low_j": [level * n / 3 for n in SIZES],
        "curve_high_j": [level * n * 3 for n in SIZES],
    }


def even(machine, level, task="gradient", stage="circuit", rival="classical/statevector", config=None, **metrics):
    settings = {"task": task, "machine": machine, "rival": rival, "size_name": "qubits"} | (config or {})
    known = {"reached": 1.0, "searched_low": 4.0, "searched_high": 64.0} | metrics
    return row("breakeven", stage, "quantum/head", settings, known, curve(level))


def law(stage="circuit", task="gradient", arm="classical/statevector", **metrics):
    numbers = {"exponential": 1.0, "offset": -3.0, "slope": np.log(2), "slope_low": np.log(1.5), "residual_sd": 0.1}
    numbers |= {"slope_high": np.log(3), "worst_residual": 0.2, "freedom": 1, "from_size": 8.0, "to_size": 16.0}
    trace = curve(0.01) | {"size": [2.0, *SIZES], "energy_j": [0.03, 0.04, 0.08, 0.16], "fitted": [0.0, 1.0, 1.0, 1.0]}
    config = {"task": task, "size_name": "qubits"}
    return row("laws", stage, arm, config, numbers | metrics, trace)


ENDS = {"size": 30.0, "size_low": 27.5, "size_high": 35.0}


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        (ENDS, "30 [28, 35]"),
        ({"size": 30.0, "size_low": 27.5}, "30 [28, beyond 64]"),
        ({}, "never up to 64"),
        ({"size_low": 51.0}, "never up to 64 (5 % below 51)"),
        ({"size": 4.0, "size_low": 4.0, "size_high": 4.0}, "from 4.0 on"),
    ],
)
def test_a_break_even_in_words(metrics, text):
    assert outlook_tables.crossing(even("sc_today", 1.0, **metrics)) == text


def test_the_best_machine_of_each_date_is_shown():
    rows = [
        even("sc_today", 5.0),
        even("ion_today", 2.0),
        even("sc_long", 3.0, size=31.0, size_low=20.0),
        even("atom_long", 4.0, **ENDS),
    ]
    best = outlook_tables.best_by_date(rows)
    assert [found.config["machine"] for found in best] == ["ion_today", "atom_long"]


def test_only_the_newest_state_of_a_row_counts():
    old = even("sc_today", 1.0)
    stale = row("tornado", "training", "quantum/a", {"machine": "sc_mid", "inputs": {"rival_j": 1.0}}, {"central_j": 1})
    newer = dataclasses.replace(stale, config={"machine": "sc_long", "inputs": {"rival_j": 2.0}})
    other_preset = dataclasses.replace(even("ion_today", 1.0), preset="smoke")
    rows = [other_preset, old, even("sc_today", 2.0), stale, newer]
    assert [found.trace["curve_j"][0] for found in select.newest(rows, "breakeven")] == [8.0]
    assert [found.config["machine"] for found in select.newest(rows, "tornado")] == ["sc_long"]


def test_a_task_keeps_its_rows_beside_those_of_another():
    law = even("sc_today", 1.0, "curation", "curation", "classical/minhash")
    best = even("sc_today", 1.0, "at_best", "curation", "classical/minhash", {"inputs": {"rival_j": 1.0}})
    newer = even("sc_today", 1.0, "at_best", "curation", "classical/minhash", {"inputs": {"rival_j": 2.0}})
    found = select.newest([law, best, newer], "breakeven")
    assert [(row.config["task"], row.config.get("inputs")) for row in found] == [
        ("curation", None),
        ("at_best", {"rival_j": 2.0}),
    ]


def test_break_even_table_names_claim_quality_and_refusals():
    claim = {"claim": 34.0}
    rows = [
        even("ion_today", 1.0, "evaluation", config=claim, **ENDS),
        even("sc_today", 1.0, "curation", "curation", "classical/minhash", equal_quality=0.0, quality_gap=-0.07),
        dataclasses.replace(even("photonic_today", 1.0, "x", "training"), metrics={}, note="too few qubits."),
    ]
    text = tables.markdown(outlook_tables.break_evens(rows, FACTS))
    assert "| ion_today | classical/statevector | 30 [28, 35] | >0.99 | same circuit | about 34 |" in text
    assert "| sc_today | classical/minhash | never up to 64 | >0.99 | no (-0.070) |  |" in text
    assert "no machine can run it: too few qubits." in text


def test_laws_are_told_as_factors_and_powers():
    power = law("curation", "curation", "classical/minhash", exponential=0.0, slope=1.2, slope_low=0.9, slope_high=1.5)
    text = tables.markdown(outlook_tables.laws([law(), power]))
    assert "× 2.0 [1.5, 3.0] per qubit" in text and "size to the power 1.2 [0.90, 1.5]" in text
    assert "3 of 4" in text and "1.11" in text  # exp(0.1)


def test_tornado_ranks_numbers_over_stages():
    rows = [
        row(
            *("tornado", "training", "quantum/a", {"machine": "sc_long"}, {"central_j": 1e3, "sum_over_list": 1.3}),
            {"delay_s": [10.0, 1000.0]},
        ),
        row(
            *("tornado", "curation", "quantum/b", {"machine": "sc_long"}, {"central_j": 2e3, "sum_over_list": 1.2}),
            {"power_base_w": [100.0, 900.0], "delay_s": [50.0, 200.0]},
        ),
    ]
    table = outlook_tables.tornado(rows, FACTS)
    assert [cell for cell in table.groups[0].rows[1][3:]] == ["power_base_w × 9.0", "delay_s × 4.0", ""]
    assert "its median is 1.2 to 1.3 times that of the list" in table.notes[-1]
    # Geometric means over both stages: sqrt(100 * 4) and sqrt(9 * 1).
    assert [line[:2] for line in table.groups[1].rows] == [("1 delay_s", "× 20"), ("2 power_base_w", "× 3.0")]


def needs(**metrics):
    known = {"energy_j": 1e6, "budget_j": 10.0, "factor": 1e5, "rate_hz": 4e3, "needed_rate_hz": 4e8}
    known |= {
        "qubits": 9.0,
        "logical_qubits": 6.0,
        "has_qubits": 156.0,
        "power_w": 2e4,
        "needed_power_w": 0.2,
        "today_delay_s": 2.5e-4,
        "today_error_2q": 0.003,
    }
    config = {"machine": "sc_today", "rival": "classical/muon"}
    return row("needed", "training", "quantum/a", config, known | metrics, note="Even error_2q = 3e-12 is too much.")


def test_needed_table():
    text = tables.markdown(outlook_tables.needed([needs(needed_delay_s=1.5e-9)], FACTS))
    assert (
        "| sc_today | 1.0 MJ | 10 J | 1.0e5 | 4.0 kHz to 400 MHz | 20 kW to 200 mW | 1.3 MHz at 63 W | 9 (6) |" in text
    )
    short = tables.markdown(outlook_tables.needed([needs(qubits=3.1e7, logical_qubits=12_000.0)], FACTS))
    assert "| 31.0 M (12.0 k), has 156 |" in short
    assert "delay_s 1.5e-9 (now 2.5e-4)" in text
    assert "error_2q" not in text.split("sc_today")[1]
    assert "none alone is enough" in tables.markdown(outlook_tables.needed([needs()], FACTS))
    assert "Even error_2q" in tables.markdown(outlook_tables.needed([needs(budget_j=-1.0)], FACTS))


def ends(name, middle):
    return {name: middle, f"{name}_low": middle / 2, f"{name}_high": middle * 2}


def test_money_power_and_processors():
    config = {"machine": "sc_today", "rival": "classical/muon"}
    amounts = {k: v for name in ("electricity_usd", "classical_electricity_usd") for k, v in ends(name, 0.5).items()}
    amounts |= ends("co2_g", 30.0) | ends("classical_co2_g", 0.02)
    priced = row("money", "training", "quantum/a", config, amounts | ends("machine_usd", 7.0))
    free = row("money", "training", "quantum/a", config | {"machine": "ion_today"}, amounts)
    none = row("money", "training", "quantum/a", config | {"machine": "annealer_today"}, {}, note="no gates")
    share = row(
        "embodied", "lifecycle", "published/bloom", {}, {"embodied_share": 0.22, "total_t": 50.49}, note="paper."
    )
    text = tables.markdown(outlook_tables.money([priced, free, none], [share], FACTS))
    assert "| 7.0 [3.5, 14] |" in text and "no published price" in text and "annealer" not in text
    assert "22 % of the 50.5 t of BLOOM" in text

    metrics = {"power_w": 2e4, "time_s": 100.0, "classical_power_w": 5.0, "classical_time_s": 2.0}
    metrics |= {"power_ratio": 4e3, "time_ratio": 50.0, "cluster_w": 1e6, "cluster_time_ratio": 50.0}
    text = tables.markdown(outlook_tables.power([row("power", "training", "quantum/a", config, metrics)], FACTS))
    assert "| sc_today | 20 kW | 100 s | 5.0 W | 2.0 s | 4000 | 50 | 50 |" in text

    work = {"flops": 2e9, "bytes": 3e8, "parameters": 1e6, "tokens": 1024.0, "steps": 7.0}
    step = row("processors", "training", "classical/small", {"width": 8, "depth": 1}, work)
    step = dataclasses.replace(
        step, measured=synthetic.measured(4.0), projected={"gpu": {"energy_j": synthetic.log_normal(0.002, 1e-9)}}
    )
    bare = row("processors", "curation", "classical/minhash", {}, {}, note="no projection")
    text = tables.markdown(context_tables.processors([step, bare], FACTS))
    assert "| this machine | 4.0 J [1.9, 10] | MODELLED |" in text and "| gpu | 2.0 mJ [2.0, 2.0] | PROJECTED |" in text
    assert "classical/small, 7 training steps of 1.00 M parameters, 1024 tokens each: 2.0 GFLOP, 300 MB" in text
    assert "| not counted | no projection |" in text


def test_a_break_even_at_best_is_told_in_multiples():
    settings = {"task": "at_best", "size_name": "times this size", "rival": "classical/muon", "machine": "sc_long"}
    quality = {"reached": 1.0, "searched_low": 0.0, "searched_high": 1e30, "equal_quality": 1.0, "quality_gap": 0.01}
    quality |= {"energy_j": 600.0, "energy_j_low": 50.0, "energy_j_high": 9e3, "host_j": 1.0, "rival_j": 1.3}
    rows = [
        row(
            "breakeven", "training", "quantum/a", settings, quality | {"size": 4e6, "size_low": 3e4}, {"curve_j": [9.0]}
        ),
        row("breakeven", "curation", "quantum/b", settings, quality, {"curve_j": [9.0]}),
    ]
    text = tables.markdown(outlook_tables.break_evens(rows, FACTS))
    assert "| sc_long | classical/muon | 4.0e6 [3.0e4, never] |" in text and "| never |" in text
    assert "quadratic speed-up" in text
    assert not list(outlook.break_evens(rows, FACTS))
    with style.applied():
        made = outlook.at_best(rows)
    # 600 J * sqrt(x) + 1 J * x meets 1.3 J * x at x = 4e6, where the marker stands.
    (mark,) = [line for line in made.axes[0].lines if line.get_marker() == "o"]
    x, y = mark.get_xdata()[0], mark.get_ydata()[0]
    assert 600 * x**0.5 + 1.0 * x == pytest.approx(y)
    assert y == pytest.approx(1.3 * x)
    assert len(made.axes[1].lines) == 2 and made.axes[1].lines[-1].get_marker() != "o"


def test_published_lives_are_listed():
    rows = [
        row("published", "lifecycle", "training/A life", {}, {"share": 0.4, "gwh": 1.372}),
        row("published", "lifecycle", "inference/A life", {}, {"share": 0.6}),
    ]
    text = tables.markdown(context_tables.published(rows))
    assert "| A life | training | 40.0 % | 1.37 |" in text and "|  | inference | 60.0 % |  |" in text


def supplied():
    trace = {"year": [2025.0, 2045.0]}
    for name in ("g_per_kwh", "j_per_j"):
        trace |= {name: [400.0, 100.0], f"{name}_low": [300.0, 20.0], f"{name}_high": [500.0, 300.0]}
    storage = ends("round_trip", 0.4) | ends("j_per_j", 1.2) | ends("g_per_kwh", 90.0)
    unproven = "no reproducible evidence, grade D: an essay; excluded from all results"
    return [
        row("scenario", "supply", "region/world", {"storage": "lithium_ion"}, {}, trace, note="Ours."),
        row("scenario", "supply", "storage/hydrogen", {"region": "world"}, storage, note="demonstrated, grade C"),
        row("scenario", "supply", "storage/rydberg_matter", {}, {}, note=unproven),
    ]


def test_unproven_storage_is_shown_and_has_no_number():
    lines = tables.markdown(context_tables.supply(supplied())).splitlines()
    rydberg = next(line for line in lines if "rydberg_matter" in line)
    assert "excluded from all results" in rydberg and not any(letter.isdigit() for letter in rydberg)
    assert any("400 [300, 500]" in line and "100 [20, 300]" in line for line in lines)
    with style.applied():
        texts = [text.get_text() for text in outlook.supply(supplied()).axes[1].texts]
    assert texts == ["demonstrated", "no reproducible evidence (grade D): excluded"]


def test_everything_is_written_from_the_rows(tmp_path):
    widths = {"delay_s": [10.0, 1000.0], "reset_s": [99.0, 99.1]}
    rows = [
        *(law(), even("sc_today", 50.0, **ENDS), even("sc_long", 0.5)),
        *(law(task="evaluation"), even("ion_today", 1.0, "evaluation", config={"claim": 34.0}, **ENDS)),
        law("curation", "curation", "classical/minhash", exponential=0.0),
        even("sc_mid", 9.0, "curation", "curation", "classical/minhash", equal_quality=1.0, quality_gap=0.01),
        row("tornado", "training", "quantum/a", {"machine": "sc_long"}, {"central_j": 1e2}, widths),
        *(needs(), *supplied()),
    ]
    output.scaling(rows, tmp_path, None, FACTS)
    figures = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert figures == {"break_even_gradient", "break_even_evaluation", "break_even_curation", "tornado", "scenario"}
    written = {path.name for path in (tmp_path / "tables").iterdir()}
    assert {"breakeven.md", "breakeven.tex", "laws.md", "needed.tex", "tornado.md", "scenario.md"} <= written
    with style.applied():
        made = dict(outlook.break_evens(rows, FACTS))["break_even_gradient"]
        legend = [text.get_text() for text in made.axes[0].get_legend().get_texts()]
        bars = outlook.tornados(select.newest(rows, "tornado"))
    assert legend == ["classical/statevector × 1.3 (PUE)", "sc_today", "sc_long", "break-even: 30 (sc_today)"]
    # The point below the law's floor is not drawn, and a number whose bar is too narrow to be seen has none.
    dots = next(line for line in made.axes[0].lines if line.get_marker() == "o")
    np.testing.assert_array_equal(dots.get_xdata(), SIZES)
    np.testing.assert_allclose(dots.get_ydata(), 1.3 * np.array([0.04, 0.08, 0.16]))
    assert [label.get_text() for label in bars.axes[0].get_yticklabels()] == ["delay_s"]


def test_the_lifecycle_draws_them_too(tmp_path):
    rows = [*synthetic.life(2), law(), even("sc_today", 50.0, **ENDS)]
    study = output.study(rows, FACTS)
    output.write_tables(study, tmp_path)
    assert "30 [28, 35]" in (tmp_path / "breakeven.md").read_text()
    assert not (tmp_path / "tornado.md").exists()
