"""The two training runs that hyperparameter studies search: a small language model and a hybrid classifier.

Validation losses are the reward. One step after the last the state opens the test set, which no strategy sees.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import circuits
from qgen.circuits import Circuit, ansatz, encodings, repeat
from qgen.energy import flops
from qgen.lm import data, tokenizer, train, transformer
from qgen.search.programs import Objective
from qgen.search.space import Categorical, Space
from qgen.types import Array, Key

RATES = (0.001, 0.003, 0.006, 0.01, 0.02, 0.04, 0.08, 0.16)
STOPS = (6, 18, 54)
"""Steps at which the tables hold validation losses: rungs of a factor of 3."""

VOCABULARY, CONTEXT, WINDOWS = 96, 32, 8
CHARACTERS = 200_000
EVALUATED = 64
"""Windows of the validation and of the test loss."""

LANGUAGE_MODEL = Space(
    {
        "depth": Categorical((1, 2), ordered=True, static=True),
        "width": Categorical((16, 32), ordered=True, static=True),
        "learning_rate": Categorical(RATES, ordered=True),
        "warmup": Categorical((0.05, 0.2, 0.4), ordered=True),
        "init_scale": Categorical((0.5, 1.0, 2.0), ordered=True),
        "beta_2": Categorical((0.9, 0.99), ordered=True),
    }
)
HYBRID = Space(
    {
        "qubits": Categorical((4, 6), ordered=True, static=True),
        "layers": Categorical((1, 2, 4), ordered=True, static=True),
        "learning_rate": Categorical(RATES, ordered=True),
        "angle_scale": Categorical((0.01, 0.1, 0.5, 2.0), ordered=True),
        "input_scale": Categorical((0.5, 1.0, 2.0), ordered=True),
    }
)
BATCH = 32


class State(NamedTuple):
    """A lane between steps: what is trained, its optimiser, and how many steps are done."""

    params: Any
    optimiser: Any
    done: Array


class Streams(NamedTuple):
    """Token streams of the language model."""

    tokens: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@functools.cache
def streams() -> Streams:
    """The standard library's prose as characters."""
    documents = data.load_corpus(None, domain="prose", max_characters=CHARACTERS)
    known, held = data.split(documents, 0.2)
    made = tokenizer.train(known, "char", VOCABULARY)
    validation, test = held[::2], held[1::2]
    size = EVALUATED * CONTEXT + 1
    parts = [tokenizer.stream(made, texts) for texts in (known, validation, test)]
    return Streams(parts[0], parts[1][:size], parts[2][:size])


def language_model(steps: int = STOPS[-1], *, opens_test: bool = False) -> Objective:
    """A small transformer of the lifecycle's kind, trained on characters by AdamW with a cosine.

    Args:
        steps: steps of a whole training.
        opens_test: adds a step that trains nothing, after which the loss is the test loss.
    """
    text = streams()
    tokens = jnp.asarray(text.tokens)

    def model(config: Mapping[str, Any]) -> transformer.Config:
        return transformer.Config(VOCABULARY, CONTEXT, config["width"], config["depth"], heads=2, mlp_ratio=2)

    def problem(config: Mapping[str, Any], params: Any) -> train.Problem:
        recipe = train.Recipe(learning_rate=config["learning_rate"], warmup=config["warmup"], beta_2=config["beta_2"])
        return train.Problem(params, tokens, len(text.tokens), recipe, steps)

    def training(config: Mapping[str, Any]) -> Any:
        return train.trainer(model(config), WINDOWS)

    def init(key: Key, config: Mapping[str, Any]) -> State:
        params = jax.tree.map(lambda leaf: config["init_scale"] * leaf, transformer.init(key, model(config)))
        started = training(config).init(key, problem(config, params))
        return State(params, started.optimiser, jnp.int32(0))

    def step(key: Key, state: State, config: Mapping[str, Any], t: Array) -> State:
        inner = train.State(state.params, state.optimiser)
        moved, _ = training(config).step(key, inner, problem(config, state.params))
        return State(moved.params, moved.optimiser, state.done + 1)

    def loss(state: State, config: Mapping[str, Any]) -> Array:
        windows = _opened(state.done, steps, text.validation, text.test)
        inputs, targets = (part.reshape(EVALUATED, CONTEXT) for part in (windows[:-1], windows[1:]))
        return train.loss(state.params, model(config), inputs, targets)

    return Objective("language_model", init, _guarded(step, steps), loss, steps + opens_test)


class Examples(NamedTuple):
    """A data set in three parts, features of unit variance."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


@functools.cache
def examples() -> Examples:
    """Scikit-learn's digits 3, 5 and 8, whitened principal components; the parts hold 60, 20 and 20 per cent."""
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    pixels, digits = load_digits(return_X_y=True)
    chosen = np.isin(digits, (3, 5, 8))
    pixels, labels = pixels[chosen], np.searchsorted((3, 5, 8), digits[chosen])
    order = np.random.default_rng(0).permutation(len(labels))
    first, second = int(0.6 * len(order)), int(0.8 * len(order))
    parts = order[:first], order[first:second], order[second:]
    whitened = PCA(8, whiten=True, svd_solver="full").fit(pixels[parts[0]]).transform(pixels).astype(np.float32)
    made = [(whitened[part], labels[part].astype(np.int32)) for part in parts]
    return Examples(made[0], made[1], made[2])


def classifier_circuit(qubits: int, layers: int) -> Circuit:
    """Data re-uploading: an RY encoding before each hardware-efficient layer."""
    block = encodings.angle(qubits, "ry") + ansatz.hardware_efficient(qubits, 1)
    return repeat(block, layers, shared=qubits)


def hybrid(steps: int = STOPS[-1], *, opens_test: bool = False, engine: str = "auto") -> Objective:
    """A circuit on encoded features with a linear readout of its <Z>, trained by Adam on three kinds of digits.

    Args:
        steps: steps of a whole training.
        opens_test: as for `language_model`.
        engine: that runs the circuit.
    """
    content = examples()
    features, labels = map(jnp.asarray, content.train)
    classes = int(labels.max()) + 1
    held = [(jnp.asarray(x), jnp.asarray(y)) for x, y in (content.validation, content.test)]
    size = min(len(y) for _, y in held)

    def logits(params: Any, config: Mapping[str, Any], x: Array) -> Array:
        n = config["qubits"]
        circuit = classifier_circuit(n, config["layers"])
        words = [circuits.z(q) for q in range(n)]
        rows = config["input_scale"] * x[:, :n]
        values = jax.vmap(lambda row: circuits.expectation(circuit, (row, params["angles"]), words, engine=engine))(
            rows
        )
        return values @ params["readout"] + params["constant"][None]

    def error(params: Any, config: Mapping[str, Any], x: Array, y: Array) -> Array:
        return optax.softmax_cross_entropy_with_integer_labels(logits(params, config, x), y).mean()

    def init(key: Key, config: Mapping[str, Any]) -> State:
        n = config["qubits"]
        angle_key, readout_key = jax.random.split(key)
        angles = classifier_circuit(n, config["layers"]).n_params - n
        params = {
            "angles": config["angle_scale"] * jax.random.normal(angle_key, (angles,)),
            "readout": jax.random.normal(readout_key, (n, classes)),
            "constant": jnp.zeros(classes),
        }
        return State(params, optax.scale_by_adam().init(params), jnp.int32(0))

    def step(key: Key, state: State, config: Mapping[str, Any], t: Array) -> State:
        rows = jax.random.randint(key, (BATCH,), 0, len(labels))
        slope = jax.grad(error)(state.params, config, features[rows], labels[rows])
        move, moments = optax.scale_by_adam().update(slope, state.optimiser)
        rate = config["learning_rate"] * 0.5 * (1 + jnp.cos(jnp.pi * t / steps))
        params = jax.tree.map(lambda leaf, change: leaf - rate * change, state.params, move)
        return State(params, moments, state.done + 1)

    def loss(state: State, config: Mapping[str, Any]) -> Array:
        x, y = (_opened(state.done, steps, a[:size], b[:size]) for a, b in zip(*held, strict=True))
        return error(state.params, config, x, y)

    return Objective("hybrid_classifier", init, _guarded(step, steps), loss, steps + opens_test)


def _guarded(step: Any, steps: int) -> Any:
    """The step, and after the last one only a count: that is when the test set is opened."""

    def guarded(key: Key, state: State, config: Mapping[str, Any], t: Array) -> State:
        return jax.lax.cond(t < steps, lambda: step(key, state, config, t), lambda: state._replace(done=state.done + 1))

    return guarded


def _opened(done: Array, steps: int, validation: Any, test: Any) -> Array:
    return jnp.where(done > steps, jnp.asarray(test), jnp.asarray(validation))


OBJECTIVES = {"language_model": (LANGUAGE_MODEL, language_model), "hybrid_classifier": (HYBRID, hybrid)}


def work(name: str, config: Mapping[str, Any]) -> tuple[float, float]:
    """Operations of one whole training of an entry of OBJECTIVES, and the numbers that it holds.

    Circuits are counted as the plain engine runs them: what the compiled kernel does is in no jaxpr.
    """
    objective = hybrid(engine="xla") if name == "hybrid_classifier" else OBJECTIVES[name][1]()

    def whole(key: Key) -> Array:
        state = jax.lax.fori_loop(
            0, objective.steps, lambda t, state: objective.step(key, state, config, t), objective.init(key, config)
        )
        return objective.loss(state, config)

    key = jax.random.key(0)
    held = jax.eval_shape(lambda: objective.init(key, config))
    return flops.count(whole, key).flops, float(sum(leaf.size for leaf in jax.tree.leaves(held)))
