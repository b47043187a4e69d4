"""Axes and spaces: round trips, uniform choices, conditional axes, and what is refused."""

import numpy as np
import pytest

from qgen.search.space import Categorical, Conditional, Float, Integer, Space

CLOSE = 1e-12
AXES = [
    Float(-3.0, 2.5),
    Float(1e-4, 0.2, log=True),
    Integer(-2, 7),
    Integer(1, 40, log=True),
    Categorical((0.1, 0.7, 3), ordered=True),
    Categorical(("a", None, (1, 2)), static=True),
    Conditional(Integer(3, 5), "parent", (1,)),
]


@pytest.mark.parametrize("axis", AXES, ids=repr)
def test_a_value_comes_back_from_its_place(axis):
    for u in np.random.default_rng(0).uniform(size=50):
        value = axis.value(u)
        again = axis.value(axis.place(value))
        assert again == value if axis.size else again == pytest.approx(value, rel=CLOSE)


def test_a_uniform_point_is_a_uniform_choice():
    u = (np.arange(6000) + 0.5) / 6000
    counts = np.bincount([Integer(0, 5).value(x) for x in u])
    assert counts.tolist() == [1000] * 6
    assert [Categorical((4, 9, 2)).value(x) for x in (0.1, 0.5, 0.9, 1.0)] == [4, 9, 2, 2]
    logs = np.log([Float(1e-3, 1.0, log=True).value(x) for x in u])
    np.testing.assert_allclose(np.histogram(logs, 6)[0], 1000, atol=2)


def test_conditional_axes():
    space = Space(
        {
            "kind": Categorical((0, 1, 2)),
            "size": Integer(1, 3, static=True),
            "slope": Conditional(Float(0.0, 4.0), "kind", (0, 2)),
            "sign": Conditional(Categorical((-1, 1)), "slope", (3.0,)),
        }
    )
    assert space.params([0.5, 0.9, 0.2, 0.1]) == {"kind": 1, "size": 3}
    assert space.config([0.5, 0.9, 0.2, 0.1]) == {"kind": 1, "size": 3, "slope": 2.0, "sign": 1}
    assert space.params([0.9, 0.1, 0.75, 0.2]) == {"kind": 2, "size": 1, "slope": 3.0, "sign": -1}
    np.testing.assert_allclose(space.canonical(np.array([[0.4, 0.9, 0.2, 0.1]])), [[0.5, 5 / 6, 0.5, 0.5]])
    assert space.statics == ("size",) and space.traced == {"kind": np.int32, "slope": np.float32, "sign": np.int32}
    np.testing.assert_allclose(space.point({"kind": 1, "size": 3}), [0.5, 5 / 6, 0.5, 0.5])
    # kind 1 leaves 3 sizes; kinds 0 and 2 have 5 slopes each, and none of those is 3.
    assert len(space.grid(5)) == 3 + 2 * 3 * 5


def test_a_grid_holds_every_configuration_once():
    space = Space({"a": Integer(2, 20, log=True), "b": Categorical((5, 1.5))})
    cells = [tuple(space.params(point).values()) for point in space.grid()]
    assert cells == [(a, b) for a in range(2, 21) for b in (5, 1.5)]
    np.testing.assert_allclose(space.canonical(space.grid()), space.grid(), rtol=CLOSE)
    assert space.traced["b"] is np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Space({}), "`number of axes` must be at least 1, but is 0"),
        (lambda: Float(2.0, 1.0), "must not be reversed, but are 2.0 and 1.0"),
        (lambda: Float(0.0, 1.0, log=True), "`low` must be above 0"),
        (lambda: Float(0.0, float("inf")), "must be finite"),
        (lambda: Float(float("nan"), 1.0), "must be finite"),
        (lambda: Integer(5, 4), "must not be reversed"),
        (lambda: Integer(0, 4, log=True), "`low` must be above 0"),
        (lambda: Integer(0, 2.5), "must have whole bounds"),
        (lambda: Categorical(()), "`number of choices` must be at least 1"),
        (lambda: Categorical((1, 2, 1)), "must hold different things"),
        (lambda: Categorical(("a", "b")), "`static` must be True for choices that are no numbers"),
        (lambda: Categorical(([1], [2]), static=True), "must be hashable"),
        (lambda: Conditional(Float(0, 1), "a", ()), "`number of values` must be at least 1"),
        (lambda: Space({"a": Conditional(Float(0, 1), "b", (1,)), "b": Integer(0, 1)}), "`parent of a` must be one of"),
        (lambda: Space({"b": Integer(0, 1), "a": Conditional(Float(0, 1), "b", (2,))}), r"must lie in \[0, 1\]"),
        (lambda: Space({"a": Float(0, 1)}).grid(), "`levels` must be given: the axis a"),
        (lambda: Space({"a": Float(0, 1)}).point({}), "`params` lacks a"),
        (lambda: Space({"a": Float(0, 1)}).point({"z": 1}), "`params` must be one of: a"),
        (lambda: Space({"a": Categorical((1, 2))}).point({"a": 3}), "`value` must be one of: 1, 2"),
        (lambda: Space({"a": Float(0, 1)}).canonical(np.array([[-0.1]])), r"`points` must lie in \[0, 1\]"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
