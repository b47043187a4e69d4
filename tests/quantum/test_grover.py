import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen import circuits as qc
from qgen import method
from qgen.quantum import grover

AMPLITUDE_TOLERANCE = 2e-6
SIGMAS = 5


def marks(n_items, places):
    return np.isin(np.arange(n_items), places)


@pytest.mark.parametrize(
    ("n_items", "places", "iterations"), [(16, [5], 2), (16, [0, 3, 11], 1), (11, [2, 7], 3), (64, [40], 5)]
)
def test_amplitudes_follow_the_closed_form_and_the_dense_matrices(n_items, places, iterations):
    marked = marks(n_items, places)
    state = np.asarray(grover.amplitudes(jnp.asarray(marked), iterations))
    uniform = np.full(n_items, n_items**-0.5)
    step = (2 * np.outer(uniform, uniform) - np.eye(n_items)) @ np.diag(np.where(marked, -1.0, 1.0))
    np.testing.assert_allclose(state, np.linalg.matrix_power(step, iterations) @ uniform, atol=AMPLITUDE_TOLERANCE)
    chance = grover.success_probability(n_items, len(places), iterations)
    assert (state[marked] ** 2).sum() == pytest.approx(chance, abs=AMPLITUDE_TOLERANCE)


@pytest.mark.parametrize(("n_items", "places", "iterations"), [(8, [6], 2), (16, [1, 4, 13], 1)])
def test_circuit_prepares_the_same_distribution(n_items, places, iterations):
    marked = marks(n_items, places)
    measured = qc.probabilities(grover.circuit([bool(m) for m in marked], iterations), jnp.zeros(0))
    expected = np.asarray(grover.amplitudes(jnp.asarray(marked), iterations)) ** 2
    np.testing.assert_allclose(measured, expected, atol=AMPLITUDE_TOLERANCE)


def many(n_items, n_runs, budget, amplify, n_steps=None):
    """Searches of many random tables: (calls until the least item was found, last states)."""
    solver, rounds = grover.minimum(amplify=amplify), n_steps or budget

    def one(key, budget):
        table_key, run_key = jax.random.split(key)
        losses = jax.random.permutation(table_key, n_items).astype(jnp.float32) + 0.5
        run = method.run(solver, run_key, grover.Search(losses, budget), rounds)
        done = run.info.loss == 0.5
        return jnp.where(done.any(), run.info.aux[jnp.argmax(done)], budget), run.answer, losses[run.answer.best]

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(4), n_runs), jnp.broadcast_to(budget, (n_runs,)))


def test_minimum_needs_no_more_calls_than_durr_and_hoyer_prove():
    n_items, n_runs, budget = 64, 400, 600
    calls, _, best = many(n_items, n_runs, budget, True)
    assert float((best == 0.5).mean()) > 0.99
    mean, error = float(calls.mean()), float(calls.std()) / math.sqrt(n_runs)
    assert mean + SIGMAS * error < 22.5 * math.sqrt(n_items)
    assert mean + SIGMAS * error < n_items, (
        "amplification must beat measuring the uniform state, which takes N on average"
    )


def test_budget_is_never_overspent_and_the_best_seen_item_is_kept():
    budgets = jnp.asarray([1, 2, 7, 20] * 50)
    _, state, _ = many(16, 200, budgets, True, n_steps=20)
    assert bool((state.coherent + state.evaluations <= budgets).all())
    assert bool((state.seen.sum(axis=1) <= state.evaluations).all())
    assert bool(jnp.take_along_axis(state.seen, state.best[:, None], axis=1).all())


def test_without_amplification_the_chance_is_that_of_random_draws():
    n_items, n_runs, budget = 16, 2000, 6
    _, state, best = many(n_items, n_runs, budget, False)
    assert int(state.coherent.max()) == 0 and int(state.evaluations.min()) == budget
    chance = 1 - (1 - 1 / n_items) ** budget
    error = math.sqrt(chance * (1 - chance) / n_runs)
    assert abs(float((best == 0.5).mean()) - chance) < SIGMAS * error


def test_the_schedule_gains_most_rank_per_evaluation_round_by_round():
    """The best item's rank p has a density; each round takes the iterations of the greatest expected fall per call."""
    places = np.exp(np.linspace(np.log(1e-9), 0, 8001))
    turns = np.arange(80)
    chance = np.sin((2 * turns[:, None] + 1) * np.arcsin(np.sqrt(places))) ** 2
    width, density, found = np.gradient(places), np.ones(places.size), []
    for _ in grover.ROTATIONS[:24]:
        fall = (width * density * chance * places / 2).sum(axis=1) / (turns + 1)
        found.append(int(np.argmax(fall)))
        landed = width * density * chance[found[-1]] / places
        density = density * (1 - chance[found[-1]]) + np.cumsum(landed[::-1])[::-1]
    assert found == list(grover.ROTATIONS[:24])


def test_a_scheduled_search_makes_the_schedules_iterations():
    solver = grover.minimum(scheduled=True)
    search = grover.Search(jnp.arange(50.0), jnp.asarray(1000))
    found = method.run(solver, jax.random.key(0), search, 12)
    assert int(found.answer.coherent) == sum(grover.ROTATIONS[:12])
    assert int(found.answer.evaluations) == 13


def test_resumed_search_equals_a_straight_one(key):
    solver = grover.minimum()
    search = grover.Search(jnp.asarray([3.0, 1.0, 2.0, 0.7, 5.0, 4.0]), jnp.asarray(30))
    straight = method.run(solver, key, search, 9)
    half = method.run(solver, key, search, 4)
    rest = method.run(solver, key, search, 5, state=half.state, start=4)
    assert all(np.array_equal(a, b) for a, b in zip(straight.state, rest.state, strict=True))


def test_resources_by_hand():
    oracle = grover.Oracle(flops=1000, numbers=10, bits=8)
    # 500 multiply-adds of 2 * 8^2 gates, computed and uncomputed.
    assert oracle.toffolis == 2 * 500 * 128
    assert oracle.qubits == 80
    needed = grover.resources(oracle, n_items=20, calls=7, runs=3)
    toffolis = 7 * (128_000 + 8 + 3)
    assert needed.t_gates == 4 * toffolis
    assert needed.qubits == 85
    assert needed.shots == needed.circuits == 3 and needed.measurements == 15
    assert needed.layers == math.ceil(3 * toffolis / 85)
    assert needed.gates_1q == needed.gates_2q == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grover.success_probability(0, 0, 1), "`n_items` must be at least 1"),
        (lambda: grover.success_probability(4, 5, 1), r"`n_marked` must lie in \[0, 4\]"),
        (lambda: grover.success_probability(4, 1, -1), "`iterations` must be at least 0"),
        (lambda: grover.circuit([True, False, True], 1), "`marked` must have 2, 4, 8"),
        (lambda: grover.circuit([True, False], -2), "`iterations` must be at least 0"),
        (lambda: grover.Oracle(0, 1), "`flops` must be above 0"),
        (lambda: grover.Oracle(1, 0.5), "`numbers` must be at least 1"),
        (lambda: grover.Oracle(1, 1, 0), "`bits` must be at least 1"),
        (lambda: grover.resources(grover.Oracle(1, 1), 1, 1, 1), "`n_items` must be at least 2"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
