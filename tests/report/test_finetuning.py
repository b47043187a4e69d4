"""The adapters' table from made-up rows, whose rivals and differences are known."""

from qgen.record import Record
from qgen.report import finetuning

SHARED = {"steps": 4, "batch": 2, "seeds": 2, "samples": 8, "rates": [0.1, 0.2, 0.4]}


def rows(arm, parameters, bits, at_edge=0.0):
    metrics = {
        "parameters": float(parameters),
        "rate": 0.2,
        "at_edge": at_edge,
        "training_energy_j": 1.0,
        "before": 4.0,
    }
    return [
        Record(
            *("finetuning", "finetuning", arm, seed, "smoke", SHARED | {"size": f"{parameters} numbers"}),
            metrics=metrics | {"bits_per_byte": bits + 0.1 * seed},
        )
        for seed in (0, 1)
    ]


def test_rivals_are_the_best_of_no_more_and_the_nearest_size():
    made = (
        rows("classical/tinylora", 64, 3.0) + rows("classical/tinylora", 704, 2.7) + rows("classical/lora", 3072, 2.6)
    )
    made += rows("classical/lokr", 704, 2.75) + rows("inspired/quantum_peft", 616, 2.8, 1.0)
    made += rows("control/frozen", 40, 3.2)
    found = {line[0]: line for group in finetuning.pareto_table(finetuning.cells(made)).groups for line in group.rows}
    # Above its size, the nearer by ratio, and of two that are equally near the better one.
    assert found["quantum_peft"][-2:] == ["-0.200 ± 0.000 (tinylora 64)", "+0.100 ± 0.000 (tinylora 704)"]
    assert found["quantum_peft"][4] == "0.2*" and found["lora"][4] == "0.2"
    assert found["frozen"][-2:] == ["", "+0.200 ± 0.000 (tinylora 64)"]
    assert found["lora"][-2:] == ["-0.100 ± 0.000 (tinylora 704)", ""]
