"""Stage 3, initialisation and architecture: the shape of the model and its training hyperparameters.

Problem: a grid of shapes, learning rates and warm-ups; the loss of one is the validation loss of a short real training.
Classical: random search, random search with twice the trainings, the Parzen estimator (Optuna), Gaussian processes.
Quantum: Dürr-Høyer minimum finding, whose oracle is a whole training made reversible, and quantum surrogates.
Score: held-out bits per byte of the choice in a table of fresh trainings, its regret there, trainings used.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check, method
from qgen.check import Count, Positive, Share
from qgen.energy import flops
from qgen.lm import data, tokenizer, train, transformer
from qgen.quantum import grover
from qgen.stages import optimisers, studies
from qgen.stages.base import Arm, Artefacts, Outcome, Quality, Stage
from qgen.types import Array, Key, Params

VALIDATION_EVERY = 20
"""Every so many-th document of the curated corpus is kept from training: the reward of the search."""
DIVERGED = 1e3
"""The loss of a training that met numbers that are not finite, nats per token."""
OPTIMISER = optimisers.OPTIMISERS[optimisers.REFERENCE].optimiser


@dataclasses.dataclass(frozen=True)
class Config:
    """The stage's settings: the grid is the product of shapes, learning rates and warm-ups.

    Attributes:
        depths: blocks of each shape.
        widths: width of each shape, as many as depths.
        heads: attention heads of every shape.
        context: positions of every shape.
        learning_rates: the peaks to choose from.
        warmups: the warm-up shares to choose from.
        budget: evaluations of the loss that an arm may spend (random_2x twice as many); a surrogate needs 3.
        steps: steps of one training.
        batch: windows per step.
        table_runs: fresh trainings per configuration for the score.
        evaluation_characters: about how many characters a validation or a score reads.
    """

    depths: tuple[Annotated[int, functools.partial(check.within, low=1, high=1000)], ...] = (4, 6)
    widths: tuple[Count, ...] = (48, 40)
    heads: Count = 4
    context: Annotated[int, functools.partial(check.at_least, bound=2)] = 64
    learning_rates: tuple[Positive, ...] = (0.01, 0.02, 0.04)
    warmups: tuple[Share, ...] = (0.05, 0.15)
    budget: Annotated[int, functools.partial(check.at_least, bound=3)] = 6
    steps: Count = 16
    batch: Count = 8
    table_runs: Count = 1
    evaluation_characters: Count = 15_000

    def __post_init__(self) -> None:
        """Refuses what cannot be built or trained, shapes that do not pair up and grids too small to search."""
        check.fields("architecture", self)
        if len(self.depths) != len(self.widths):
            raise ValueError(
                f"Argument `architecture.depths` must have {len(self.widths)} entries, one per width, but has "
                f"{len(self.depths)}."
            )
        check.at_least("architecture: number of configurations", self.n_candidates, 2)

    @property
    def n_candidates(self) -> int:
        """Size of the grid."""
        return len(self.depths) * len(self.learning_rates) * len(self.warmups)


class Candidate(NamedTuple):
    """One configuration of the grid."""

    model: transformer.Config
    recipe: train.Recipe


class Problem(NamedTuple):
    """What every arm searches.

    Attributes:
        key: draws the start and the batches of the search's trainings: the same for all candidates and arms.
        config: the stage's settings.
        candidates: the grid, in the order of the index that arms answer with.
        embeddings: item embeddings to start from, or None.
        tokens: the training stream.
        validation: the stream whose loss an arm sees.
        table: `() -> [candidates]`: the score's bits per byte, computed at the first call; no arm calls it.
    """

    key: Key
    config: Config
    candidates: tuple[Candidate, ...]
    embeddings: Array | None
    tokens: np.ndarray
    validation: np.ndarray
    table: Callable[[], np.ndarray]


class Answer(NamedTuple):
    """What a search found.

    Attributes:
        choice: index of the chosen candidate.
        trainings: trainings that were run one by one.
        coherent_calls: evaluations in superposition, by a quantum oracle; they are spent from the budget as well.
    """

    choice: int
    trainings: int
    coherent_calls: int = 0


def problem(key: Key, config: Config, artefacts: Artefacts) -> Problem:
    """Builds the grid and the token streams."""
    size = tokenizer.vocabulary_size(artefacts.tokenizer)
    candidates = tuple(
        Candidate(
            transformer.Config(size, config.context, int(width), int(depth), config.heads),
            train.Recipe(learning_rate=float(rate), warmup=float(warmup)),
        )
        for (depth, width), rate, warmup in itertools.product(
            zip(config.depths, config.widths, strict=True), config.learning_rates, config.warmups
        )
    )
    curated = artefacts.curated
    limit = config.evaluation_characters
    validation = data.choose(curated[::VALIDATION_EVERY], limit)
    holdout = data.choose(artefacts.holdout, limit)
    search_key, table_key = jax.random.split(key)
    tokens = tokenizer.stream(
        artefacts.tokenizer, tuple(text for place, text in enumerate(curated) if place % VALIDATION_EVERY)
    )
    given = Problem(
        key=search_key,
        config=config,
        candidates=candidates,
        embeddings=artefacts.embeddings,
        tokens=tokens,
        validation=tokenizer.stream(artefacts.tokenizer, validation),
        table=lambda: np.zeros(0),
    )

    @functools.cache
    def table() -> np.ndarray:
        runs = jax.random.split(table_key, config.table_runs)
        rows = [
            [
                train.bits_per_byte(_trained(run, given, index), candidate.model, artefacts.tokenizer, holdout)
                for index, candidate in enumerate(candidates)
            ]
            for run in runs
        ]
        return np.nan_to_num(np.mean(rows, axis=0), nan=8.0)

    return given._replace(table=table)


def _trained(key: Key, problem: Problem, index: int):
    candidate, config = problem.candidates[index], problem.config
    start_key, fit_key = jax.random.split(key)
    start = transformer.init(start_key, candidate.model, problem.embeddings)
    return train.fit(
        fit_key,
        start,
        candidate.model,
        problem.tokens,
        candidate.recipe,
        config.steps,
        config.batch,
        optimiser=OPTIMISER,
    ).params


def loss(problem: Problem, index: int) -> float:
    """The validation loss of a candidate, nats per token, after one short training; DIVERGED if it diverged."""
    value = train.token_loss(_trained(problem.key, problem, index), problem.candidates[index].model, problem.validation)
    return value if np.isfinite(value) else DIVERGED


def score(problem: Problem, answer: Answer) -> dict[str, float]:
    """Bits per byte of the choice in the table, its regret there, and the evaluations that the search spent."""
    table = problem.table()
    return {
        "bits_per_byte": float(table[answer.choice]),
        "regret": float(table[answer.choice] - table.min()),
        "trainings": float(answer.trainings),
        "coherent_calls": float(answer.coherent_calls),
    }


def _best_of(problem: Problem, indices: Iterable[int]) -> Outcome:
    """Trains the candidates in turn and answers with the best."""
    return _answered({int(index): loss(problem, int(index)) for index in indices})


def _answered(seen: Mapping[int, float]) -> Outcome:
    """The best of the candidates that were trained."""
    answer = Answer(min(seen, key=seen.__getitem__), len(seen))
    return Outcome(answer, trace={"best_loss": jnp.minimum.accumulate(jnp.asarray(list(seen.values())))})


def random_search(config: Config, times: int = 1) -> Arm:
    """Random search without repetition."""
    n_trainings = min(times * config.budget, config.n_candidates)

    def solve(key: Key, problem: Problem) -> Outcome:
        return _best_of(problem, np.asarray(jax.random.permutation(key, len(problem.candidates)))[:n_trainings])

    return Arm(f"classical/random{'' if times == 1 else f'_{times}x'}", solve, f"{n_trainings} trainings.")


def tpe(config: Config) -> Arm:
    """Optuna's tree-structured Parzen estimator on the grid's axes."""

    def solve(key: Key, problem: Problem) -> Outcome:
        import optuna

        axes = (len(config.depths), len(config.learning_rates), len(config.warmups))
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            seed = int(jax.random.bits(key, dtype=jnp.uint16))
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(2, config.budget // 3))
            study = optuna.create_study(sampler=sampler)
            seen: dict[int, float] = {}
            # A proposal that was trained before costs nothing; proposals end even where the grid is smaller.
            for _ in range(4 * config.budget):
                trial = study.ask()
                place = (
                    trial.suggest_categorical("shape", range(axes[0])),
                    trial.suggest_int("learning_rate", 0, axes[1] - 1),
                    trial.suggest_int("warmup", 0, axes[2] - 1),
                )
                index = int(np.ravel_multi_index(place, axes))
                if index not in seen:
                    seen[index] = loss(problem, index)
                study.tell(trial, seen[index])
                if len(seen) >= config.budget:
                    break
        finally:
            optuna.logging.set_verbosity(level)
        return _answered(seen)

    return Arm("classical/tpe", solve, f"Optuna, {config.budget} trainings.")


@functools.partial(jax.jit, static_argnames=("amplify", "n_steps"))
def _minimum(key: Key, search: grover.Search, amplify: bool, n_steps: int) -> method.Run:
    return method.run(grover.minimum(amplify=amplify), key, search, n_steps)


def _search(key: Key, config: Config, losses: Array, *, amplify: bool = True) -> method.Run:
    # Every round spends at least one evaluation, and the start spent one.
    rounds = max(config.budget - 1, 1)
    return _minimum(key, grover.Search(losses, jnp.asarray(config.budget)), amplify, rounds)


def _measured(key: Key, config: Config, *, amplify: bool = True) -> list[int]:
    """The items that a search measures, on a table of ranks.

    By symmetry their number has one distribution for all tables; without amplification the items do not depend on the
    table at all. So no training is needed to tell them.
    """
    ranks = jnp.arange(config.n_candidates, dtype=jnp.float32)
    return np.flatnonzero(_search(key, config, ranks, amplify=amplify).answer.seen).tolist()


def oracle(problem: Problem) -> grover.Oracle:
    """One training of the dearest shape with its validation, as a reversible computation."""
    shapes = {candidate.model: candidate for candidate in problem.candidates}
    return max((_reversible(problem, candidate) for candidate in shapes.values()), key=lambda made: made.toffolis)


def _reversible(problem: Problem, candidate: Candidate) -> grover.Oracle:
    config, model, recipe = problem.config, candidate.model, candidate.recipe
    start = jax.eval_shape(lambda: transformer.init(problem.key, model))
    memory = jax.eval_shape(OPTIMISER(recipe, config.steps).init, start)
    tokens = jax.ShapeDtypeStruct(problem.tokens.shape, jnp.int32)
    windows = jax.ShapeDtypeStruct((-(-len(problem.validation) // config.context), config.context), jnp.int32)

    training = train.trainer(model, config.batch, OPTIMISER)

    def fit(params: Params, tokens: Array) -> Params:
        # The same steps as a scan: the compiled loop of `train.fit` does not tell its length to a counter.
        given = train.problem(params, tokens, recipe, config.steps)
        return method.run(training, problem.key, given, config.steps).answer

    trained = flops.count(fit, start, tokens)
    judged = flops.count(lambda params, rows: train.loss(params, model, rows, rows), start, windows)
    return grover.Oracle(trained.flops + judged.flops, sum(leaf.size for leaf in jax.tree.leaves((start, memory))))


def durr_hoyer(config: Config) -> Arm:
    """Dürr-Høyer minimum finding within the budget of evaluations, coherent and single ones counted alike."""

    def solve(key: Key, problem: Problem) -> Outcome:
        # Every candidate is trained, as no quantum machine would have to.
        losses = jnp.asarray([loss(problem, index) for index in range(len(problem.candidates))])
        run = _search(key, config, losses)
        found = run.answer
        calls, runs = int(found.coherent), int(found.evaluations) - 1
        needed = grover.resources(oracle(problem), len(problem.candidates), calls, runs)
        answer = Answer(int(found.best), int(found.seen.sum()), calls)
        return Outcome(answer, (needed,), {"best_loss": run.info.loss})

    note = (
        "The simulator trains every candidate. An oracle call is charged as a reversible training in 16-bit "
        "multiply-adds of 512 Toffoli gates, a lower bound; the host trains the measured candidates."
    )
    return Arm(
        "quantum/durr_hoyer", solve, note, lambda key, problem: [loss(problem, i) for i in _measured(key, config)]
    )


def no_amplification(config: Config) -> Arm:
    """The same search with no Grover iteration: the uniform state is measured, every evaluation on a measured item."""

    def solve(key: Key, problem: Problem) -> Outcome:
        return _best_of(problem, _measured(key, config, amplify=False))

    return Arm(
        "control/no_amplification", solve, "Random candidates with repetition: Grover's search without amplification."
    )


def exhaustive(config: Config) -> Arm:
    """Trains every candidate: what a simulator of the quantum search has to do, and then the answer is known."""
    note = f"All {config.n_candidates} candidates: the dequantised twin."
    return Arm("control/exhaustive", lambda key, problem: _best_of(problem, range(len(problem.candidates))), note)


def surrogate(name: str) -> Callable[[Config], Arm]:
    """The arm of a searcher with a model of the losses; learning rates and warm-ups are ordered axes."""
    return lambda config: studies.arm(
        name,
        (len(config.depths), range(len(config.learning_rates)), range(len(config.warmups))),
        *(config.budget, config.steps, loss, Answer),
    )


def hand_on(artefacts: Artefacts, problem: Problem, answer: Answer) -> Artefacts:
    """Hands on the architecture and the recipe."""
    candidate = problem.candidates[int(answer.choice)]
    recipe = {name: float(value) for name, value in candidate.recipe._asdict().items()}
    return artefacts._replace(model=dataclasses.asdict(candidate.model), recipe=recipe)


_ARMS = {
    "classical/random": random_search,
    "classical/random_2x": functools.partial(random_search, times=2),
    "classical/tpe": tpe,
    "quantum/durr_hoyer": durr_hoyer,
    "control/no_amplification": no_amplification,
    "control/exhaustive": exhaustive,
    **{name: surrogate(name) for name in studies.SURROGATES},
}

STAGE = Stage(
    name="architecture",
    title="Initialisation and architecture",
    quality=Quality("bits_per_byte", higher_is_better=False, margin=0.02),
    presets={
        "smoke": Config(
            depths=(1, 2),
            widths=(16, 16),
            heads=2,
            context=32,
            learning_rates=(0.003, 0.03),
            budget=3,
            steps=6,
            batch=4,
            evaluation_characters=5_000,
        ),
        "default": Config(),
        "paper": Config(
            depths=(4, 6),
            widths=(128, 96),
            learning_rates=(0.003, 0.005, 0.008, 0.012, 0.02, 0.03),
            budget=8,
            steps=24,
            evaluation_characters=20_000,
        ),
    },
    problem=problem,
    score=score,
    arms=_ARMS,
    reference="classical/tpe",
    swap="quantum/durr_hoyer",
    hand_on=hand_on,
    deep=frozenset(studies.SURROGATES),
)
