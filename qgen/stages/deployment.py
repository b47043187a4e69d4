"""Deployment: residual branches that matter least are taken out, and what remains is stored in fewer bits.

Problem: which M of N = 2 depth branches to remove, by a quadratic energy that the calibration loss gives.
Classical: exact enumeration, greedy choice on E or on the loss itself, simulated annealing, random search.
Quantum: weight-preserving QAOA, trained on shots or with angles carried over; quantum annealing with a penalty.
Score: bits per byte of the smaller, quantised model on held-out documents; using it is generation, in joules per token.
"""

import dataclasses
import functools
import math
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.check import Count, Part, Positive
from qgen.circuits import count, sector
from qgen.classical import subset
from qgen.lm import generate, quantise, tokenizer, train, transformer
from qgen.quantum import annealing
from qgen.stages import removal, removal_qaoa
from qgen.stages.base import Arm, Artefacts, Outcome, Quality, Stage, Use
from qgen.types import Array, Key, Params

FLOATS = {"bf16": jnp.bfloat16, "f32": jnp.float32}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        removed: share of the branches to remove.
        precision: "int8", "bf16" or "f32" for what remains.
        expansion: how the energy is made, see `removal.expansion`.
        calibration: windows of the second domain that the energy is computed from.
        layers: QAOA layers.
        mixer: "full" or "ring".
        training: steps of the QAOA's training on shots.
        shots: shots per circuit in training, and of the last sampling.
        sweeps: temperature steps of simulated annealing and Monte Carlo sweeps of the simulated annealer.
        tries: restarts of simulated annealing, strings of random search and reads of the annealer.
        penalty: strength of the annealer's constraint.
        tokens: new tokens per prompt when the answer is used.
        prompts: prompts in one batch.
        holdout: documents that score.
    """

    removed: Part = 0.35
    precision: Annotated[str, functools.partial(check.one_of, known=("int8", *FLOATS))] = "int8"
    expansion: Annotated[str, functools.partial(check.one_of, known=removal.EXPANSIONS)] = "pairs"
    calibration: Count = 32
    layers: Count = 4
    mixer: Annotated[str, functools.partial(check.one_of, known=("full", "ring"))] = "full"
    training: Count = 30
    shots: Count = 128
    sweeps: Count = 50
    tries: Count = 64
    penalty: Positive = 0.3
    tokens: Count = 32
    prompts: Count = 8
    holdout: Count = 40

    def __post_init__(self) -> None:
        """Refuses what no model can be deployed with."""
        check.fields("deployment", self)

    def branches(self, depth: int) -> int:
        """How many of a model's 2 * depth branches are removed: at least one, never all."""
        return min(2 * depth - 1, max(1, round(self.removed * 2 * depth)))


class Problem(NamedTuple):
    """What all arms work on.

    Attributes:
        model: the architecture.
        params: the adapted parameters.
        tokenizer: JSON text.
        windows: calibration windows, [calibration, context + 1].
        prompts: what generation starts from, [prompts, time].
        holdout: documents that score.
        removed: how many branches to remove.
        energy: the energy of removals, for the scores only; arms compute it themselves, because it is part of the work.
        least: the least energy of `removed` removals.
    """

    model: transformer.Config
    params: Params
    tokenizer: str
    windows: Array
    prompts: Array
    holdout: tuple[str, ...]
    removed: int
    energy: subset.Quadratic
    least: np.ndarray


class Deployed(NamedTuple):
    """A deployed model.

    Attributes:
        gates: 1 for a branch that stays, 0 for one that is gone, [2 * depth].
        params: quantised parameters.
        chance: the chance that one try (shot, read, restart) of the search ends on the least energy.
    """

    gates: np.ndarray
    params: Params
    chance: float


def problem(key: Key, config: Config, artefacts: Artefacts) -> Problem:
    """Takes calibration windows from the samples and prompts from their held-out part."""
    model = transformer.Config(**artefacts.adapted_model or {})
    params = jax.tree.map(jnp.asarray, artefacts.adapted)
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    stream = tokenizer.stream(artefacts.tokenizer, artefacts.samples)
    windows = _windows(generator, stream, config.calibration, model.context + 1)
    held = tokenizer.stream(artefacts.tokenizer, artefacts.samples_holdout)
    time = max(1, min(model.context // 2, model.context - config.tokens))
    prompts = _windows(generator, held, config.prompts, time)
    removed = config.branches(model.depth)
    energy = removal.energy(params, model, windows, config.expansion)
    return Problem(
        model,
        params,
        artefacts.tokenizer,
        windows,
        prompts,
        artefacts.samples_holdout[: config.holdout],
        removed,
        energy,
        subset.exact(energy, removed).energy,
    )


def _windows(generator: np.random.Generator, stream: np.ndarray, count: int, length: int) -> Array:
    """Random windows of a token stream, [count, length]."""
    starts = generator.integers(0, len(stream) - length + 1, count)
    return jnp.asarray(stream[starts[:, None] + np.arange(length)])


def score(problem: Problem, answer: Deployed) -> dict[str, float]:
    """Bits per byte after removal and quantisation, and how good the choice was by the energy."""
    removed = 1 - np.asarray(answer.gates)
    kept = float(np.mean(answer.gates))
    return {
        "bits_per_byte": train.bits_per_byte(
            answer.params, problem.model, problem.tokenizer, problem.holdout, gates=jnp.asarray(answer.gates)
        ),
        "energy_gap": float(subset.energy(problem.energy, removed) - problem.least),
        "chance_of_optimum": float(answer.chance),
        "branches_kept": kept,
        "bytes": float(_stored(answer)),
    }


def _stored(answer: Deployed) -> int:
    """Bytes of the parameters whose branch is still there."""
    gone = [place for place, gate in enumerate(answer.gates) if gate == 0]
    parts = [answer.params[f"block_{place // 2}"][("attention", "mlp")[place % 2]] for place in gone]
    return quantise.nbytes(answer.params) - quantise.nbytes(parts)


def _energy(problem: Problem, config: Config) -> subset.Quadratic:
    return removal.energy(problem.params, problem.model, problem.windows, config.expansion)


def _finish(problem: Problem, config: Config, removed: Any, chance: Any) -> Deployed:
    gates = 1.0 - np.asarray(removed, np.float32)
    return Deployed(gates, _quantised(problem.params, config.precision), float(chance))


@functools.partial(jax.jit, static_argnames="precision")
def _quantised(params: Params, precision: str) -> Params:
    return quantise.int8(params) if precision == "int8" else quantise.cast(params, FLOATS[precision])


def exact(config: Config) -> Arm:
    """Every choice of M branches."""

    def solve(key: Key, problem: Problem) -> Outcome:
        energy = _energy(problem, config)
        return Outcome(_finish(problem, config, subset.exact(energy, problem.removed).x, 1.0))

    return Arm("classical/exact", solve, "looks at every choice of branches")


def greedy(config: Config) -> Arm:
    """One branch after the other, by the energy."""

    def solve(key: Key, problem: Problem) -> Outcome:
        energy = _energy(problem, config)
        found = subset.greedy(energy, problem.removed)
        return Outcome(_finish(problem, config, found.x, _hit_rate(problem, found)))

    return Arm("classical/greedy", solve, "one branch after the other, by the energy")


def greedy_loss(config: Config) -> Arm:
    """One branch after the other, by the calibration loss itself (SLEB, arXiv 2402.09025)."""

    def solve(key: Key, problem: Problem) -> Outcome:
        gates = np.ones(2 * problem.model.depth, np.float32)
        for _ in range(problem.removed):
            losses = removal.losses_without_each(problem.params, problem.model, problem.windows, jnp.asarray(gates))
            gates[np.argmin(losses)] = 0.0
        removed = 1 - gates.astype(np.int32)
        found = subset.best(problem.energy, removed[None])
        return Outcome(_finish(problem, config, removed, _hit_rate(problem, found)))

    return Arm(
        "classical/greedy_loss", solve, "one branch after the other, by the calibration loss itself; no energy model"
    )


def annealed(config: Config) -> Arm:
    """Simulated annealing with swap moves."""

    def solve(key: Key, problem: Problem) -> Outcome:
        energy = _energy(problem, config)
        found = _simulated_annealing(key, energy, problem.removed, config.tries, config.sweeps)
        found = subset.Found(*map(np.asarray, found))
        return Outcome(_finish(problem, config, found.x, _hit_rate(problem, found)))

    return Arm("classical/annealing", solve, "swap moves keep the number of branches")


_simulated_annealing = jax.jit(subset.anneal, static_argnums=(2, 3, 4))


def random_search(config: Config) -> Arm:
    """The best of as many random choices as the annealers may try."""

    def solve(key: Key, problem: Problem) -> Outcome:
        energy = _energy(problem, config)
        found = subset.random_search(key, energy, problem.removed, config.tries)
        return Outcome(_finish(problem, config, found.x, _hit_rate(problem, found)))

    return Arm("classical/random_search", solve, f"best of {config.tries} random choices")


def _hit_rate(problem: Problem, found: subset.Found) -> np.ndarray:
    return subset.hit_rate(problem.energy, found.tries, problem.least)


def trained_qaoa(config: Config) -> Arm:
    """QAOA whose angles are trained on shots."""

    def solve(key: Key, problem: Problem) -> Outcome:
        n, k = 2 * problem.model.depth, problem.removed
        energy = _energy(problem, config)
        found, losses, chance = removal_qaoa.trained(key, energy, n, k, _settings(config))
        once = sector.circuit(energy.linear, energy.quadratic, k, config.layers, config.mixer)
        used = (
            count(once, shots=config.shots, circuits=2 * config.training),
            count(once, shots=config.shots),
        )
        answer = _finish(problem, config, sector.strings(n, k)[int(found)], chance)
        return Outcome(answer, used, {"loss": losses})

    note = (
        "angles trained by SPSA on shots of an ideal simulator; every shot of training is charged and counts as a try"
    )
    return Arm("quantum/qaoa", solve, note, _expand_and_quantise(config))


def _settings(config: Config) -> removal_qaoa.Settings:
    return removal_qaoa.Settings(config.layers, config.mixer, config.training, config.shots)


def carried_qaoa(config: Config) -> Arm:
    """QAOA with angles that were trained in simulation on random instances."""

    def solve(key: Key, problem: Problem) -> Outcome:
        n, k = 2 * problem.model.depth, problem.removed
        energy = _energy(problem, config)
        angles = removal_qaoa.carried_angles(n, k, _settings(config))
        place, chance = removal_qaoa.sampled(key, energy, angles, n, k, _settings(config))
        once = sector.circuit(energy.linear, energy.quadratic, k, config.layers, config.mixer)
        answer = _finish(problem, config, sector.strings(n, k)[int(place)], chance)
        return Outcome(answer, (count(once, shots=config.shots),))

    def host(key: Key, problem: Problem) -> Any:
        angles = removal_qaoa.carried_angles(2 * problem.model.depth, problem.removed, _settings(config))
        return angles, _expand_and_quantise(config)(key, problem)

    instances = removal_qaoa.TRAINING_INSTANCES
    note = f"no training on the machine: angles from {instances} random instances, trained in simulation"
    return Arm("quantum/qaoa_carried", solve, note, host)


def annealer(config: Config) -> Arm:
    """Quantum annealing with a penalty for the wrong number of branches."""

    def solve(key: Key, problem: Problem) -> Outcome:
        n, k = 2 * problem.model.depth, problem.removed
        energy = _energy(problem, config)
        reads = _quantum_annealing(key, energy, k, config.tries, config.sweeps, config.penalty)
        strings = np.asarray(reads.strings)[np.asarray(reads.feasible)]
        hits = float(subset.hit_rate(problem.energy, strings, problem.least)) if len(strings) else 0.0
        # Without one feasible read, the branches that most reads would remove.
        votes = np.argsort(-np.asarray(reads.strings).sum(axis=0), kind="stable")[:k]
        fallback = np.isin(np.arange(n), votes).astype(np.int32)[None]
        found = subset.best(energy, strings if len(strings) else fallback)
        answer = _finish(problem, config, found.x, hits * float(np.mean(reads.feasible)))
        return Outcome(answer, (annealing.count(n, config.tries),), {"feasible": reads.feasible})

    note = (
        "path-integral Monte Carlo stands for an ideal annealer; the price embeds it; reads of other weights are lost"
    )
    return Arm("quantum/annealing", solve, note, _expand_and_quantise(config))


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _quantum_annealing(
    key: Key, energy: subset.Quadratic, k: int, reads: int, sweeps: int, penalty: float
) -> annealing.Reads:
    return annealing.anneal(key, energy.linear, energy.quadratic, k, reads, sweeps, strength=penalty)


def uniform(config: Config) -> Arm:
    """Samples of the Dicke state: the QAOA circuit with all angles at zero, with all of the QAOA's shots."""

    def solve(key: Key, problem: Problem) -> Outcome:
        n, k = 2 * problem.model.depth, problem.removed
        energy = _energy(problem, config)
        shots = config.shots * (2 * config.training + 1)
        places = np.random.default_rng(np.asarray(jax.random.key_data(key))).integers(0, math.comb(n, k), shots)
        found = subset.best(energy, sector.strings(n, k)[places])
        chance = _hit_rate(problem, found._replace(tries=sector.strings(n, k)))
        return Outcome(_finish(problem, config, found.x, chance), (count(sector.dicke(n, k), shots=shots),))

    note = "the Dicke state alone, with as many shots as the QAOA's training and sampling"
    return Arm("control/uniform", solve, note, _expand_and_quantise(config))


def nothing_removed(config: Config) -> Arm:
    """Quantisation alone."""

    def solve(key: Key, problem: Problem) -> Outcome:
        return Outcome(_finish(problem, config, np.zeros(2 * problem.model.depth), 0.0))

    return Arm("control/quantised_only", solve, "every branch stays: what removal costs in quality and saves in use")


def _expand_and_quantise(config: Config) -> Any:
    """What stays classical beside any quantum search: making the energy, and quantisation."""

    def host(key: Key, problem: Problem) -> Any:
        energy = _energy(problem, config)
        return energy, _quantised(problem.params, config.precision)

    return host


def use(problem: Problem, answer: Deployed) -> Use:
    """Generation with a cache; removed branches are not part of the program."""
    gates = tuple(float(gate) for gate in answer.gates)
    n_tokens = problem.model.context - problem.prompts.shape[1]
    key = jax.random.key(0)

    def run() -> Any:
        return generate.generate(key, answer.params, problem.model, problem.prompts, n_tokens, gates=gates)

    return Use(run, problem.prompts.shape[0] * n_tokens, "token")


def hand_on(artefacts: Artefacts, problem: Problem, answer: Deployed) -> Artefacts:
    """The quantised parameters and which branches remain."""
    return artefacts._replace(deployed=answer.params, gates=answer.gates)


STAGE = Stage(
    name="deployment",
    title="Inference and deployment",
    quality=Quality("bits_per_byte", higher_is_better=False, margin=0.02),
    presets={
        "smoke": Config(
            calibration=8, layers=2, training=8, shots=64, sweeps=20, tries=32, tokens=8, prompts=2, holdout=4
        ),
        "default": Config(),
        "paper": Config(calibration=128, layers=8, training=100, shots=512, sweeps=200, tries=1000, holdout=200),
    },
    problem=problem,
    score=score,
    arms={
        "classical/exact": exact,
        "classical/greedy": greedy,
        "classical/greedy_loss": greedy_loss,
        "classical/annealing": annealed,
        "classical/random_search": random_search,
        "quantum/qaoa": trained_qaoa,
        "quantum/qaoa_carried": carried_qaoa,
        "quantum/annealing": annealer,
        "control/uniform": uniform,
        "control/quantised_only": nothing_removed,
    },
    reference="classical/exact",
    swap="quantum/qaoa",
    hand_on=hand_on,
    use=use,
)
