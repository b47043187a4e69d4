import numpy as np

from qgen.report import outlook, style


def test_a_break_even_is_drawn(tmp_path):
    sizes = np.geomspace(3, 50, 20)
    points = np.array([[4.0, 9.0], [0.1, 2.2]])
    simulation = outlook.Law("simulation", "classical", sizes, 2.0**sizes, 2.0**sizes / 3, 2.0**sizes * 3, points)
    machine = outlook.Law("ion_today", "quantum", sizes, 7e3 * sizes, 1e3 * sizes, 2e4 * sizes, np.zeros((2, 0)))
    with style.applied():
        made = outlook.break_even([simulation, machine], (17.0, 15.0, 20.0), "qubits")
        style.save(made, tmp_path / "break_even")
        assert [text.get_text() for text in made.axes[0].get_legend().get_texts()] == [
            *("simulation", "ion_today", "break-even: 17"),
        ]
    assert (tmp_path / "break_even.png").stat().st_size and (tmp_path / "break_even.pdf").stat().st_size


def test_laws_without_a_crossing_are_drawn():
    sizes = np.array([2.0, 4.0, 8.0])
    law = outlook.Law("a", "control", sizes, sizes, sizes, sizes, np.stack([sizes, sizes]))
    with style.applied():
        assert len(outlook.break_even([law], None, "size").axes[0].get_legend().get_texts()) == 1
