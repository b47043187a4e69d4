"""Every way to search hyperparameters, by name: the wiring of `qgen.search` with classical and quantum surrogates.

A searcher is `settings -> Strategy`; a stage, a study and an Optuna sampler take the same ones. Each quantum searcher
stands beside its control, which differs in the quantum part alone.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.classical import evolution, factorisation, fourier, gaussian_process, subset
from qgen.quantum import annealing, bandit, grid_qaoa, grover, kernel, regressor
from qgen.resources import Resources
from qgen.search import strategies
from qgen.search.space import Space
from qgen.search.strategies import Choice
from qgen.search.strategy import Proposal, Proposals, Strategy, seed_of
from qgen.types import Key

SPREAD = 12**0.5
"""Turns a uniform coordinate into a feature of unit variance."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What searchers need to know.

    Attributes:
        steps: steps of a whole training.
        start_points: trainings before a surrogate is asked.
        halvings: of successive halving: its shortest trainings have steps / 3^halvings steps.
        lanes: of a bracket of successive halving.
        degree: of Fourier surrogates.
        layers: of QAOA.
        shots: of one QAOA proposal, and reads of an annealer.
        sweeps: of an annealer, simulated or quantum.
        bandwidths: of quantum kernels that are tried.
        sigma: deviation of one query of Q-GP-UCB over that of the losses.
        training_flops: operations of a whole training, for Grover's oracle.
        training_numbers: numbers that a training holds.
    """

    steps: int
    start_points: int = 8
    halvings: int = 3
    lanes: int = 27
    degree: int = 2
    layers: int = 3
    shots: int = 64
    sweeps: int = 40
    bandwidths: tuple = (0.1, 0.25, 0.5, 1.0)
    sigma: float = 0.3
    training_flops: float = 1e9
    training_numbers: float = 1e4

    def __post_init__(self) -> None:
        """Refuses too few start points; the searchers check the rest."""
        check.at_least("start_points", self.start_points, 2)
        check.at_least("number of bandwidths", len(self.bandwidths), 1)


def _process(name: str, kernels: Callable[[Any, Any], list], settings: Settings, note: str = "", shots: bool = False):
    """A Gaussian process with expected improvement; `kernels(seen, candidates)` gives pairs of Gram matrices."""

    def choose(key: Key, seen: Any, losses: Any, candidates: Any) -> Choice:
        belief, _ = gaussian_process.posterior(kernels(seen, candidates), losses)
        place = int(np.argmax(gaussian_process.expected_improvement(belief, float(np.min(losses)))))
        used: tuple[Resources, ...] = ()
        if shots:
            # Entries with the newest point; the others were measured for the choices before.
            entries = len(settings.bandwidths) * (len(seen) - 1 + len(candidates))
            used = kernel.resources(seen.shape[1], 1, None, entries, regressor.SHOTS)
        return Choice(place, used)

    return strategies.by_surrogate(name, choose, start_points=settings.start_points, note=note)


def gp(settings: Settings) -> Strategy:
    """Gaussian process with a radial kernel."""

    def kernels(seen: Any, candidates: Any) -> list:
        made = [gaussian_process.radial(length) for length in gaussian_process.LENGTHS]
        return [(one(seen, seen), one(candidates, seen)) for one in made]

    return _process("classical/gp", kernels, settings, "Radial kernel, length by likelihood.")


def _quantum_kernels(settings: Settings, pairs: kernel.Pairs) -> Callable[[Any, Any], list]:
    def kernels(seen: Any, candidates: Any) -> list:
        made = []
        for bandwidth in settings.bandwidths:
            both = np.concatenate([seen, candidates])
            states = kernel.states(SPREAD * (both - 0.5), bandwidth, 1, pairs)
            rows, columns = states[: len(seen)], states[len(seen) :]
            made.append((kernel.gram(rows, rows), kernel.gram(columns, rows)))
        return made

    return kernels


def kernel_gp(settings: Settings) -> Strategy:
    """Gaussian process with the fidelity kernel of an IQP feature map."""
    note = f"Exact kernel; {regressor.SHOTS} shots per entry are charged."
    return _process("quantum/kernel_gp", _quantum_kernels(settings, None), settings, note, shots=True)


def product_kernel_gp(settings: Settings) -> Strategy:
    """The same without entanglement: a product of cosines."""
    return _process("control/product_kernel_gp", _quantum_kernels(settings, ()), settings, "No entangling gates.")


def fourier_regressor(settings: Settings) -> Strategy:
    """A trained re-uploading circuit as the surrogate (arXiv:2302.10298)."""

    def choose(key: Key, seen: Any, losses: Any, candidates: Any) -> Choice:
        axes = seen.shape[1]
        values = regressor.fitted(key, seen, losses, candidates, settings.degree)
        used = regressor.resources(axes, settings.degree, len(seen), len(candidates))
        return Choice(int(np.argmin(values)), (used,))

    note = f"Exact expectation values; parameter shift with {regressor.SHOTS} shots per circuit is charged."
    return strategies.by_surrogate("quantum/fourier_regressor", choose, start_points=settings.start_points, note=note)


def frozen_circuit(settings: Settings) -> Strategy:
    """The same circuit with random angles that are never trained, and a linear readout."""

    def choose(key: Key, seen: Any, losses: Any, candidates: Any) -> Choice:
        return Choice(int(np.argmin(regressor.frozen(key, seen, losses, candidates, settings.degree))))

    return strategies.by_surrogate(
        "control/frozen_circuit", choose, start_points=settings.start_points, note="Random angles, trained readout."
    )


def fourier_ridge(settings: Settings) -> Strategy:
    """Classical ridge regression on the Fourier series of equal degree."""

    def choose(key: Key, seen: Any, losses: Any, candidates: Any) -> Choice:
        return Choice(int(np.argmin(fourier.ridge(seen, losses, candidates, settings.degree))))

    return strategies.by_surrogate(
        "control/fourier_ridge", choose, start_points=settings.start_points, note="Equal degree, in closed form."
    )


def _machine(name: str, minimise: Callable[..., Any], settings: Settings, note: str) -> Strategy:
    """A factorisation machine whose energy `minimise(key, linear, quadratic, shape)` searches: best cells first."""

    def choose(key: Key, seen: Any, losses: Any, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple]:
        fit_key, search_key = jax.random.split(key)
        energy = factorisation.fit(fit_key, factorisation.one_hot(seen, shape), losses)
        found, resources = minimise(search_key, energy.linear, energy.quadratic, shape)
        taken = {tuple(row) for row in seen.tolist()}
        for cell in found:
            if cell not in taken:
                return cell, resources
        return tuple(seen[np.argmin(losses)].tolist()), resources

    return strategies.by_cells(name, choose, start_points=settings.start_points, note=note)


def fm_qaoa(settings: Settings) -> Strategy:
    """Factorisation machine, minimised by QAOA that keeps one choice per axis."""

    def minimise(key: Key, linear: Any, quadratic: Any, shape: tuple[int, ...]) -> tuple[list, tuple]:
        cells, energies = grid_qaoa.sample(
            key, jnp.asarray(linear), jnp.asarray(quadratic), shape, settings.layers, settings.shots
        )
        used = (grid_qaoa.resources(shape, settings.layers, settings.shots),) if max(shape) > 1 else ()
        return [tuple(row) for row in np.asarray(cells)[np.argsort(np.asarray(energies))].tolist()], used

    return _machine("quantum/fm_qaoa", minimise, settings, f"{settings.shots} shots at the ramp's angles.")


def fm_random_shots(settings: Settings) -> Strategy:
    """The same machine and as many cells, drawn uniformly: QAOA without its circuit."""

    def minimise(key: Key, linear: Any, quadratic: Any, shape: tuple[int, ...]) -> tuple[list, tuple]:
        generator = np.random.default_rng(seed_of(key))
        cells = np.stack([generator.integers(size, size=settings.shots) for size in shape], axis=1)
        bits = factorisation.one_hot(cells, shape)
        order = np.argsort(subset.energy(subset.Quadratic(linear, quadratic), bits))
        return [tuple(row) for row in cells[order].tolist()], ()

    return _machine("control/fm_random", minimise, settings, f"The best of {settings.shots} uniform cells.")


def fm_quantum_annealing(settings: Settings) -> Strategy:
    """Factorisation machine, minimised by a quantum annealer (path-integral Monte Carlo)."""

    def minimise(key: Key, linear: Any, quadratic: Any, shape: tuple[int, ...]) -> tuple[list, tuple]:
        problem = one_hot_penalised(linear, quadratic, shape)
        reads = _annealed(key, *problem, len(shape), settings.shots, settings.sweeps)
        return decoded(np.asarray(reads), problem, shape), (annealing.count(sum(shape), settings.shots),)

    return _machine("quantum/fm_annealing", minimise, settings, "Ideal annealer, without broken chains.")


def fm_simulated_annealing(settings: Settings) -> Strategy:
    """Factorisation machine, minimised by simulated annealing on the same energy."""

    def minimise(key: Key, linear: Any, quadratic: Any, shape: tuple[int, ...]) -> tuple[list, tuple]:
        problem = one_hot_penalised(linear, quadratic, shape)
        tries = _cooled(key, *problem, len(shape), settings.shots, settings.sweeps)
        return decoded(np.asarray(tries), problem, shape), ()

    return _machine("control/fm_simulated_annealing", minimise, settings, "The same energy, tries and sweeps.")


@functools.partial(jax.jit, static_argnames=("k", "reads", "sweeps"))
def _annealed(key: Key, linear: Any, quadratic: Any, k: int, reads: int, sweeps: int) -> Any:
    return annealing.anneal(key, linear, quadratic, k, reads, sweeps, strength=0.01).strings


@functools.partial(jax.jit, static_argnames=("k", "tries", "sweeps"))
def _cooled(key: Key, linear: Any, quadratic: Any, k: int, tries: int, sweeps: int) -> Any:
    return subset.anneal(key, subset.Quadratic(linear, quadratic), k, tries, sweeps).tries


def one_hot_penalised(linear: Any, quadratic: Any, shape: tuple[int, ...]) -> subset.Quadratic:
    """The energy with a penalty (sum of an axis' bits - 1)^2 per axis, as high as flipping one bit can lower it."""
    penalty = float(np.max(np.abs(linear) + np.abs(quadratic).sum(axis=1))) + 1e-6
    groups = np.repeat(np.arange(len(shape)), shape)
    same = (groups[:, None] == groups[None, :]) & ~np.eye(len(groups), dtype=bool)
    return subset.Quadratic(
        np.asarray(linear - penalty, np.float32), np.asarray(quadratic + 2 * penalty * same, np.float32)
    )


def decoded(strings: np.ndarray, problem: subset.Quadratic, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The cells of the strings with one bit per axis, least energy first."""
    offsets = np.cumsum([0, *shape])
    parts = [strings[:, first:last] for first, last in itertools.pairwise(offsets)]
    whole = np.all([part.sum(axis=1) == 1 for part in parts], axis=0)
    order = [place for place in np.argsort(subset.energy(problem, strings)) if whole[place]]
    return [tuple(int(part[place].argmax()) for part in parts) for place in order]


def durr_hoyer(settings: Settings) -> Strategy:
    """Dürr-Høyer minimum finding over the grid (real axes cut into bins); the simulator trains every cell."""
    return _grover("quantum/durr_hoyer", settings, amplify=True)


def grover_adaptive(settings: Settings) -> Strategy:
    """Grover adaptive search: the same with the fixed numbers of iterations of Baritompa, Bulger and Wood."""
    return _grover("quantum/grover_adaptive", settings, amplify=True, scheduled=True)


def no_amplification(settings: Settings) -> Strategy:
    """The same search without Grover iterations: random cells with repetition."""
    return _grover("control/no_amplification", settings, amplify=False)


@functools.partial(jax.jit, static_argnames=("amplify", "scheduled", "rounds"))
def _searched(key: Key, losses: Any, budget: Any, amplify: bool, scheduled: bool, rounds: int) -> tuple[Any, Any, Any]:
    """The first item, then each round's coherent calls so far and items seen."""
    finding, problem = grover.minimum(amplify=amplify, scheduled=scheduled), grover.Search(losses, budget)
    init_key, step_key = jax.random.split(key)
    first = finding.init(init_key, problem)

    def body(state: grover.State, t: Any) -> tuple[grover.State, Any]:
        state, _ = finding.step(jax.random.fold_in(step_key, t), state, problem)
        return state, (state.coherent, state.seen)

    return first.best, *jax.lax.scan(body, first, jnp.arange(rounds))[1]


def _grover(name: str, settings: Settings, amplify: bool, scheduled: bool = False) -> Strategy:
    def start(key: Key, space: Space, budget: int) -> Proposals:
        grid = strategies.cells(space)
        if grid is None:
            grid = space.grid(strategies.LEVELS)
        losses = np.zeros(len(grid))
        if amplify:
            # What the oracle would compare in superposition.
            losses = yield Proposal(grid, simulated=True)
        table = jnp.asarray(losses, jnp.float32)
        first, coherent, seen = _searched(key, table, jnp.asarray(budget), amplify, scheduled, budget)
        item, calls, before = int(first), 0, np.arange(len(grid)) == int(first)
        yield Proposal(grid[[item]])
        for now, after in zip(np.asarray(coherent).tolist(), np.asarray(seen), strict=True):
            fresh = np.flatnonzero(after & ~before)
            # An item that is measured again is evaluated again, which the budget pays.
            item = int(fresh[0]) if len(fresh) else item
            used: tuple[Resources, ...] = ()
            if amplify and now > calls:
                oracle = grover.Oracle(settings.training_flops, settings.training_numbers)
                used = (grover.resources(oracle, max(2, len(grid)), now - calls, 1),)
            yield Proposal(grid[[item]], resources=used, coherent=now - calls)
            calls, before = now, after

    note = "Every cell is trained to simulate the oracle." if amplify else "Random cells with repetition."
    return Strategy(name, start, note=note)


def q_gp_ucb(settings: Settings) -> Strategy:
    """Q-GP-UCB with quantum Monte Carlo queries, a query model."""
    return _bandit("quantum/q_gp_ucb", settings, 1, "Query model: no training runs in superposition.")


def gp_ucb(settings: Settings) -> Strategy:
    """The same bandit with classical sampling: the square of the queries."""
    return _bandit("control/gp_ucb", settings, 2, "Classical sampling in the same query model.")


def _bandit(name: str, settings: Settings, power: int, note: str) -> Strategy:
    def start(key: Key, space: Space, budget: int) -> Proposals:
        generator = np.random.default_rng(seed_of(key))
        seen = space.canonical(strategies.sobol(key, len(space.axes), min(settings.start_points, budget)))
        losses = yield Proposal(seen)
        middle, scale = float(np.mean(losses)), float(np.std(losses)) or 1.0
        draws = bandit.random_features(generator, strategies.features(space, seen).shape[1])
        errors = np.full(len(seen), settings.sigma)
        estimates = (losses - middle) / scale + errors * generator.normal(size=len(seen))
        grid, left = strategies.cells(space), budget - len(seen)
        while left > 0:
            offered = grid
            if offered is None:
                offered = space.canonical(generator.uniform(size=(strategies.CANDIDATES, len(space.axes))))
            mapped = [bandit.mapped(draws, strategies.features(space, points)) for points in (seen, offered)]
            asked = bandit.query(mapped[0], estimates, errors, mapped[1], settings.sigma, power)
            queries = min(asked.queries, left)
            error = settings.sigma / queries ** (1 / power)
            used: tuple[Resources, ...] = ()
            if power == 1 and queries > 1:
                oracle = grover.Oracle(settings.training_flops, settings.training_numbers)
                used = (grover.resources(oracle, 2, queries - 1, 1),)
            point = offered[[asked.place]]
            found = yield Proposal(point, resources=used, coherent=queries - 1)
            seen, errors = np.concatenate([seen, point]), np.append(errors, error)
            estimates = np.append(estimates, (found[0] - middle) / scale + error * generator.normal())
            left -= queries

    return Strategy(name, start, settings.start_points + 1, note)


def cma_es(settings: Settings) -> Strategy:
    """CMA-ES on the unit cube."""
    return strategies.evolution(evolution.ask, evolution.tell, evolution.begin, 4)


SEARCHERS: Mapping[str, Callable[[Settings], Strategy]] = {
    "classical/random": lambda settings: strategies.random(),
    "classical/quasi_random": lambda settings: strategies.quasi_random(),
    "classical/tpe": lambda settings: strategies.tpe(settings.start_points),
    "classical/gp": gp,
    "classical/botorch": lambda settings: strategies.botorch(settings.start_points),
    "classical/cma_es": cma_es,
    "classical/successive_halving": lambda settings: strategies.successive_halving(
        settings.steps, settings.lanes, first=max(1, settings.steps // 3**settings.halvings)
    ),
    "classical/hyperband": lambda settings: strategies.hyperband(settings.steps, most=settings.halvings),
    "quantum/durr_hoyer": durr_hoyer,
    "quantum/grover_adaptive": grover_adaptive,
    "quantum/fm_qaoa": fm_qaoa,
    "quantum/fm_annealing": fm_quantum_annealing,
    "quantum/fourier_regressor": fourier_regressor,
    "quantum/kernel_gp": kernel_gp,
    "quantum/q_gp_ucb": q_gp_ucb,
    "control/no_amplification": no_amplification,
    "control/fm_random": fm_random_shots,
    "control/fm_simulated_annealing": fm_simulated_annealing,
    "control/fourier_ridge": fourier_ridge,
    "control/frozen_circuit": frozen_circuit,
    "control/product_kernel_gp": product_kernel_gp,
    "control/gp_ucb": gp_ucb,
}
"""Random search with twice the budget is `classical/random` with twice the budget."""
