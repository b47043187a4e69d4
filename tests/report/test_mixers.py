"""The table and the figure of mixers, from rows whose means and intervals are known by hand."""

import numpy as np

from qgen.record import QUANTILE_LEVELS, Record
from qgen.report import mixers


def row(group, arm, seed, loss, **metrics):
    numbers = {"test_loss": loss, "parameters": 1000.0, "operations": 2e6, "width": 32.0, "learning_rate": 0.01}
    return Record(
        "mixers", group, arm, seed, "default", {}, metrics=numbers | metrics, measured={"energy_j": 1.0 + seed}
    )


ROWS = [
    *(row("equal_parameters", "quantum/quixer", s, 2 + s, success_probability=0.25 + 0.5 * s) for s in (0, 1)),
    *(row("equal_parameters", "classical/attention", s, 1.5) for s in (0, 1)),
    row("equal_operations", "classical/attention", 0, 1.25),
    Record(
        *("mixers_reading", "equal_parameters", "quantum/quixer", 0, "default", {}),
        metrics={"token_j": 0.002},
        resources={"qubits": 4},
        projected={
            "far": {"energy_j": [900.0] * len(QUANTILE_LEVELS)},
            "near": {"energy_j": [20.0] * len(QUANTILE_LEVELS)},
            "small": {"reason": "too few qubits"},
        },
    ),
]


def test_the_table_holds_means_intervals_and_post_selection(tmp_path):
    mixers.write(ROWS, tmp_path)
    lines = (tmp_path / "tables" / "mixers.csv").read_text().splitlines()
    assert len(lines) == 5 and lines[1].startswith("equal parameters,classical/attention,2,1.500 ± 0.000,")
    # Student's t of one degree of freedom, 12.706, times the deviation sqrt(1/2), over sqrt(2).
    half = 12.7062 * np.sqrt(0.5) / np.sqrt(2)
    assert (
        f"quantum/quixer,2,2.500 ± {half:.3f},{np.exp(2.5):.2f},32,1000,2.00,1.5,0.01,0.500,0.002,20 (near)" in lines[2]
    )
    assert lines[3].startswith("equal operations,classical/attention,1,1.250,")
    assert lines[4].startswith("equal operations,quantum/quixer,2,2.500")
    for name in ("tables/mixers.md", "tables/mixers.tex", "figures/mixers.png", "figures/mixers.pdf"):
        assert (tmp_path / name).stat().st_size > 0


def test_the_figure_draws_every_arm_at_its_mean():
    found = {"equal_parameters": {"quantum/quixer": ROWS[:2], "classical/attention": ROWS[2:4]}}
    (axes,) = mixers.figure(found).axes
    drawn = {container.lines[0].get_xdata()[0] for container in axes.containers}
    assert drawn == {2.5, 1.5}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["classical/attention", "quantum/quixer"]


def test_nothing_is_written_without_rows(tmp_path):
    mixers.write([], tmp_path)
    assert not list(tmp_path.iterdir())
