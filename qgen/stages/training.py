"""Stage 4, training: the chosen model from its start to a real validation loss.

Problem: the curated token stream, the architecture and recipe of stage 3, and one budget of steps for every arm.
Classical: AdamW, Muon, Lion and SGD with momentum, each with as many learning rates tried.
Quantum: AdamW, then a last phase in which a circuit generates gains of the features, by natural gradient from shots.
Score: bits per byte of the held-out documents.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check, method
from qgen.check import Count, Part, Positive
from qgen.classical import gradient
from qgen.lm import data, tokenizer, train, transformer
from qgen.quantum import generator
from qgen.stages import optimisers
from qgen.stages.base import Arm, Artefacts, Outcome, Quality, Stage
from qgen.types import Array, Float, Key, Params

VALIDATION_EVERY = 20
"""Every so many-th document of the curated corpus is kept from training, to choose learning rates."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The stage's settings.

    Attributes:
        steps: training steps of every arm; the runs that are given up come on top.
        batch: windows per step.
        trial_steps: after so many steps the best of three runs, one per learning rate, goes on alone.
        phase_share: share of the steps that the arms with a gain phase spend on it.
        phase_batches: batches of features that the gain phase takes in turn.
        layers: RY layers of the generator.
        shots: shots per circuit in training.
        final_shots: shots of the read-out that fixes the gains.
        natural_rate: step length of the quantum natural gradient.
        adam_rate: step length of Adam on the angles.
        gain_rate: step length of Adam on the generator's strength and on a free gain vector.
        damping: what is added to the metric's diagonal.
        evaluation_characters: about how many held-out characters the score reads.
    """

    steps: Annotated[int, functools.partial(check.at_least, bound=2)] = 140
    batch: Count = 8
    trial_steps: Count = 30
    phase_share: Part = 0.1
    phase_batches: Count = 16
    layers: Count = 3
    shots: Count = 4096
    final_shots: Count = 100_000
    natural_rate: Positive = 0.1
    adam_rate: Positive = 0.02
    gain_rate: Positive = 0.02
    damping: Positive = 0.02
    evaluation_characters: Count = 50_000

    def __post_init__(self) -> None:
        """Refuses what nothing can be trained with, and a gain phase that leaves no step before it."""
        check.fields("training", self)
        if self.host_steps < 1:
            raise ValueError(
                f"Argument `training.phase_share` must leave at least 1 of {self.steps} steps, but is "
                f"{self.phase_share}."
            )

    @property
    def phase_steps(self) -> int:
        """Steps of the gain phase, at least 1."""
        return max(1, round(self.phase_share * self.steps))

    @property
    def host_steps(self) -> int:
        """Steps before the gain phase."""
        return self.steps - self.phase_steps


class Problem(NamedTuple):
    """What every arm trains.

    Attributes:
        key: draws the start and all that the arms with a gain phase share, so that they differ in that phase alone.
        config: the stage's settings.
        model: the architecture.
        recipe: the hyperparameters that stage 3 chose.
        tokens: the training stream.
        validation: the stream that chooses learning rates.
        start: the parameters to start from.
        tokenizer: the tokenizer's JSON text.
        holdout: documents for the score alone.
    """

    key: Key
    config: Config
    model: transformer.Config
    recipe: train.Recipe
    tokens: np.ndarray
    validation: np.ndarray
    start: Params
    tokenizer: str
    holdout: tuple[str, ...]


class Host(NamedTuple):
    """What stays classical beside the circuit: the trained model, and the features and targets of the gain phase."""

    params: Params
    losses: Float[Array, "steps"]
    features: Float[Array, "batches batch time width"]
    targets: Array


def problem(key: Key, config: Config, artefacts: Artefacts) -> Problem:
    """Encodes the curated documents and draws the start."""
    model = transformer.Config(**(artefacts.model or {}))
    curated = artefacts.curated
    kept = tuple(text for place, text in enumerate(curated) if place % VALIDATION_EVERY)
    return Problem(
        key=key,
        config=config,
        model=model,
        recipe=train.Recipe(**(artefacts.recipe or {})),
        tokens=tokenizer.stream(artefacts.tokenizer, kept),
        validation=tokenizer.stream(artefacts.tokenizer, curated[::VALIDATION_EVERY]),
        start=transformer.init(jax.random.fold_in(key, 0), model, artefacts.embeddings),
        tokenizer=artefacts.tokenizer,
        holdout=data.choose(artefacts.holdout, config.evaluation_characters),
    )


def score(problem: Problem, answer: Params) -> dict[str, float]:
    """Bits per byte on documents that no stage trains on, and nats per token of the validation stream."""
    return {
        "bits_per_byte": train.bits_per_byte(answer, problem.model, problem.tokenizer, problem.holdout),
        "validation_nats_per_token": train.token_loss(answer, problem.model, problem.validation),
    }


class Fitted(NamedTuple):
    """Trained parameters, and the training loss before each step."""

    params: Params
    losses: Float[Array, "steps"]


def _tuned(key: Key, problem: Problem, name: str, steps: int) -> Fitted:
    """Starts one run per learning rate and continues the one whose validation loss is least after `trial_steps`."""
    config, recipe = problem.config, problem.recipe
    optimiser, multiples = optimisers.OPTIMISERS[name]
    training = train.trainer(problem.model, config.batch, optimiser)
    trial = min(config.trial_steps, steps)
    runs = []
    for multiple in multiples:
        tried = recipe._replace(learning_rate=multiple * recipe.learning_rate)
        given = train.problem(problem.start, problem.tokens, tried, steps)
        state, losses = train.advance(key, training, given, train.begin(training, given), 0, trial)
        runs.append((train.token_loss(state.params, problem.model, problem.validation), given, state, losses))
    # A diverged run has a loss that is not a number, and is never the least.
    _, given, state, losses = min(runs, key=lambda run: run[0] if np.isfinite(run[0]) else np.inf)
    if trial < steps:
        state, more = train.advance(key, training, given, state, trial, steps)
        losses = jnp.concatenate([losses, more])
    return Fitted(state.params, losses)


def _classical(name: str) -> Callable[[Config], Arm]:
    def arm(config: Config) -> Arm:
        def solve(key: Key, problem: Problem) -> Outcome:
            fitted = _tuned(key, problem, name, config.steps)
            return Outcome(fitted.params, trace={"loss": fitted.losses})

        return Arm(
            f"classical/{name}", solve, f"The best of 3 learning rates after {config.trial_steps} steps goes on."
        )

    return arm


@functools.partial(jax.jit, static_argnames=("model", "config"))
def _features(key: Key, params: Params, tokens: train.Problem, model: transformer.Config, config: Config):
    def one(key: Key) -> tuple[Array, Array]:
        inputs, targets = data.batch(key, tokens.tokens, config.batch, model.context, tokens.length)
        return transformer.apply(params, inputs, model, features=True), targets

    return jax.lax.map(one, jax.random.split(key, min(config.phase_batches, config.phase_steps)))


def _host(problem: Problem) -> Host:
    """The reference optimiser for the first part of the steps, then the frozen model's features for the gain phase."""
    fit_key, feature_key = jax.random.split(jax.random.fold_in(problem.key, 1))
    fitted = _tuned(fit_key, problem, optimisers.REFERENCE, problem.config.host_steps)
    stream = train.problem((), problem.tokens, problem.recipe, problem.config.host_steps)
    return Host(*fitted, *_features(feature_key, fitted.params, stream, problem.model, problem.config))


def head_loss(
    factors: Float[Array, "width"], head: Float[Array, "width vocabulary"], batch: tuple[Array, Array]
) -> Float[Array, ""]:
    """Cross-entropy, nats per token, of the frozen model whose final features are multiplied by `factors`."""
    features, targets = batch
    logits = (features * factors[None, None, :]) @ head
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def merge(params: Params, factors: Float[Array, "width"]) -> Params:
    """The parameters with the head's rows multiplied by `factors`: exactly the model that the gain phase trained."""
    return {**params, "head": {"kernel": params["head"]["kernel"] * factors[:, None]}}


@functools.partial(jax.jit, static_argnames=("phase", "steps"))
def _run(key: Key, phase: method.Method, data: Any, steps: int) -> method.Run:
    return method.run(phase, key, data, steps)


def _finish(problem: Problem, host: Host, factors: Array, run: method.Run, resources=(), **trace: Array) -> Outcome:
    method.raise_if_failed(run)
    answer = merge(host.params, factors)
    validation = [train.token_loss(params, problem.model, problem.validation) for params in (host.params, answer)]
    curves = {"loss": jnp.concatenate([host.losses, run.info.loss]), "validation_before_after": jnp.asarray(validation)}
    return Outcome(answer, resources, curves | {"factors": factors} | trace)


@functools.lru_cache
def _circuit_phase(config: Config, design: generator.Design, width: int, rule: str) -> method.Method:
    return generator.train(
        head_loss,
        design,
        width=width,
        shots=config.shots,
        rule=rule,
        rate=config.natural_rate if rule == "natural" else config.adam_rate,
        strength_rate=config.gain_rate,
        damping=config.damping,
    )


_read_out = jax.jit(generator.read_out, static_argnums=(1, 3))


def _generated(name: str, rule: str, entangled: bool, note: str) -> Callable[[Config], Arm]:
    """An arm whose gain phase trains a circuit."""

    def arm(config: Config) -> Arm:
        def solve(key: Key, problem: Problem) -> Outcome:
            host = _host(problem)
            width = problem.model.width
            design = generator.Design(_qubits(width), config.layers, entangled)
            run_key, read_key = jax.random.split(key)
            phase = _circuit_phase(config, design, width, rule)
            run = _run(run_key, phase, _data(host), config.phase_steps)
            distribution = _read_out(read_key, design, run.answer.angles, config.final_shots)
            needed = generator.resources(
                design, rule, steps=config.phase_steps, shots=config.shots, final_shots=config.final_shots
            )
            return _finish(
                problem,
                host,
                generator.factors(distribution, run.answer.strength, width),
                run,
                needed,
                angle_gradient_norm=run.info.aux[:, 0],
                strength_gradient_norm=run.info.aux[:, 1],
            )

        return Arm(name, solve, note, host=direct_gain(config).solve)

    return arm


@functools.lru_cache
def _vector_phase(config: Config, width: int) -> method.Method:
    return gradient.descent(head_loss, jnp.ones(width), optax.adam(config.gain_rate))


@functools.lru_cache  # one arm per config, so that the arms whose host it is share its measurement
def direct_gain(config: Config) -> Arm:
    """The gain phase on the gain vector itself: more parameters than the circuit has, and no circuit."""

    def solve(key: Key, problem: Problem) -> Outcome:
        host = _host(problem)
        run = _run(key, _vector_phase(config, problem.model.width), _data(host), config.phase_steps)
        return _finish(problem, host, run.answer, run, gradient_norm=run.info.aux)

    return Arm("control/direct_gain", solve, "The gain vector itself is trained by Adam in place of the circuit.")


def _strength_loss(strength: Array, shared: tuple[Array, Array], batch: tuple[Array, Array]) -> Array:
    head, distribution = shared
    return head_loss(generator.factors(distribution, strength, head.shape[0]), head, batch)


@functools.lru_cache
def _strength_phase(config: Config) -> method.Method:
    return gradient.descent(_strength_loss, jnp.asarray(0.5), optax.adam(config.gain_rate))


def frozen_circuit(config: Config) -> Arm:
    """The circuit at angles drawn once: only its strength is trained, so what is left of the gain needs no circuit."""

    def solve(key: Key, problem: Problem) -> Outcome:
        host = _host(problem)
        width = problem.model.width
        design = generator.Design(_qubits(width), config.layers)
        angle_key, read_key, run_key = jax.random.split(key, 3)
        angles = jax.random.uniform(angle_key, (design.n_params,), maxval=2 * jnp.pi)
        distribution = _read_out(read_key, design, angles, config.final_shots)
        head, batches = _data(host)
        run = _run(run_key, _strength_phase(config), ((head, distribution), batches), config.phase_steps)
        needed = generator.resources(design, None, steps=0, shots=config.shots, final_shots=config.final_shots)
        factors = generator.factors(distribution, run.answer, width)
        return _finish(problem, host, factors, run, needed, gradient_norm=run.info.aux)

    note = "Angles drawn at random once and never trained; only the strength is."
    return Arm("control/frozen_circuit", solve, note, host=direct_gain(config).solve)


def _data(host: Host) -> tuple[Array, tuple[Array, Array]]:
    return host.params["head"]["kernel"], (host.features, host.targets)


def _qubits(width: int) -> int:
    return max(1, (width - 1).bit_length())


def hand_on(artefacts: Artefacts, problem: Problem, answer: Params) -> Artefacts:
    """Hands on the trained parameters."""
    return artefacts._replace(params=answer)


_GENERATED = (
    (
        "quantum/natural_gradient",
        "natural",
        True,
        "Simulated with its shots; the steps before the last phase are the host's.",
    ),
    ("control/adam_generator", "adam", True, "The same circuit and shots with Adam: without the quantum metric."),
    ("control/no_entanglement", "natural", False, "The same circuit without CZ gates, as many parameters."),
)

STAGE = Stage(
    name="training",
    title="Training, main loop",
    quality=Quality("bits_per_byte", higher_is_better=False, margin=0.01),
    presets={
        "smoke": Config(
            steps=20, batch=4, trial_steps=4, phase_batches=4, layers=2, shots=256, evaluation_characters=10_000
        ),
        "default": Config(),
        "paper": Config(
            steps=450, batch=12, trial_steps=40, phase_batches=32, layers=4, shots=8192, evaluation_characters=100_000
        ),
    },
    problem=problem,
    score=score,
    arms={
        **{f"classical/{name}": _classical(name) for name in optimisers.OPTIMISERS},
        **{row[0]: _generated(*row) for row in _GENERATED},
        "control/frozen_circuit": frozen_circuit,
        "control/direct_gain": direct_gain,
    },
    reference=f"classical/{optimisers.REFERENCE}",
    swap="quantum/natural_gradient",
    hand_on=hand_on,
)
