"""Stage 2, preprocessing and encoding: text to tokens, and the tokens' vectors to where they are used.

Problem: the curated documents; a tokenizer is trained on them and item embeddings are made from their token statistics.
Classical: BPE, WordPiece and characters with the vectors copied in memory; product quantisation; word2ket (inspired).
Quantum: the vectors amplitude-encoded, exactly or by a matrix-product disentangler, and read back with shots.
Score: bits per byte on held-out text of a fixed probe that sees the loaded vectors; bytes per token; load fidelity.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qgen import check
from qgen import circuits as qc
from qgen.check import Count, Positive
from qgen.classical import compression, embedding
from qgen.lm import tokenizer
from qgen.quantum import mps_loader, tomography
from qgen.resources import Resources
from qgen.stages.base import Arm, Artefacts, Outcome, Quality, Stage, Use
from qgen.types import Array, Float, Key


@dataclass(frozen=True)
class Config:
    """Settings of the stage.

    Attributes:
        vocabulary: the most tokens.
        width: features of an item embedding.
        window: tokens to either side that count as context.
        layers: staircases of the matrix-product loader.
        shots: shots per read-out setting and item.
        rank: terms of word2ket per item.
        parts: pieces of a vector in product quantisation.
        codes: centroids per piece.
        probe_steps: steps of Adam of the probe.
        probe_rate: its first learning rate, which falls to zero along a cosine.
        ridge: weight of the probe's squared weights, in nats per token.
    """

    vocabulary: Annotated[int, functools.partial(check.at_least, bound=tokenizer.BYTES + 1)] = 512
    width: Annotated[int, functools.partial(check.at_least, bound=2)] = 16
    window: Count = 4
    layers: Count = 2
    shots: Count = 1024
    rank: Count = 1
    parts: Count = 4
    codes: Annotated[int, functools.partial(check.at_least, bound=2)] = 32
    probe_steps: Count = 200
    probe_rate: Positive = 0.1
    ridge: Annotated[float, functools.partial(check.at_least, bound=0)] = 1e-6

    def __post_init__(self) -> None:
        """Refuses what no text can be encoded with."""
        check.fields("encoding", self)


class Problem(NamedTuple):
    """What the arms see: the curated documents; `holdout` is for the score only."""

    documents: tuple[str, ...]
    holdout: tuple[str, ...]
    config: Config


class Answer(NamedTuple):
    """The tokenizer as JSON text, and the item embeddings [vocabulary, width] as they arrive after loading."""

    tokenizer: str
    embeddings: np.ndarray


def problem(key: Key, config: Config, artefacts: Artefacts) -> Problem:
    """The curated documents and the held-out ones; nothing is drawn.

    Raises:
        ValueError: if there are no curated or no held-out documents.
    """
    check.at_least("len(artefacts.curated)", len(artefacts.curated), 1)
    check.at_least("len(artefacts.holdout)", len(artefacts.holdout), 1)
    return Problem(artefacts.curated, artefacts.holdout, config)


def score(problem: Problem, answer: Answer) -> dict[str, float]:
    """The scores of a tokenizer and its loaded vectors.

    The probe predicts the next token from the loaded vector of the current one, softmax(E_current W + b), fitted to the
    training bigrams from the same start in the same number of steps for every arm. Its bits on held-out text, over the
    UTF-8 bytes of that text, compare across tokenizers; a byte that a tokenizer cannot code costs 8 bits on top.
    `load_fidelity` is the mean squared cosine between the loaded and the true vectors.
    """
    config = problem.config
    size = tokenizer.vocabulary_size(answer.tokenizer)
    check.shape("answer.embeddings", answer.embeddings, (size, config.width))
    train = tokenizer.stream(answer.tokenizer, problem.documents)
    held_out = tokenizer.stream(answer.tokenizer, problem.holdout)
    n_bytes = sum(len(text.encode()) for text in problem.holdout)
    loaded = jnp.asarray(answer.embeddings, dtype=jnp.float32)
    nats = _probe(loaded, _bigrams(train, size), _bigrams(held_out, size), config)
    bits = float(nats) / np.log(2) + 8 * tokenizer.unknown_bytes(answer.tokenizer, problem.holdout)
    return {
        "bits_per_byte": float(bits / n_bytes),
        "bytes_per_token": tokenizer.bytes_per_token(answer.tokenizer, problem.holdout),
        "load_fidelity": fidelity(np.asarray(answer.embeddings), _vectors(config, train, size)),
        "vocabulary": float(size),
    }


def fidelity(loaded: np.ndarray, true: np.ndarray) -> float:
    """Mean squared cosine of the rows of two arrays; 0 for a row of zeros."""
    lengths = (loaded**2).sum(1) * (true**2).sum(1)
    return float(np.mean((loaded * true).sum(1) ** 2 / np.where(lengths == 0, 1.0, lengths)))


def _bigrams(stream: np.ndarray, size: int) -> Float[Array, "size size"]:
    """Counts of neighbouring tokens: all that a probe of the current token can learn from."""
    pairs = stream[:-1].astype(np.int64) * size + stream[1:]
    return jnp.asarray(np.bincount(pairs, minlength=size * size).reshape(size, size), dtype=jnp.float32)


@functools.partial(jax.jit, static_argnames="config")
def _probe(vectors: Array, train: Array, held_out: Array, config: Config) -> Float[Array, ""]:
    """Fits the probe to bigram counts; returns its nats on the held-out ones."""
    # One common scale, so that the probe's learning rate means the same for every arm; directions and norms stay.
    inputs = vectors / jnp.maximum(jnp.sqrt(jnp.mean(vectors**2)), 1e-12)
    total = train.sum()
    often = train.sum(axis=0) + 1.0
    start = (jnp.zeros((vectors.shape[1], train.shape[1])), jnp.log(often / often.sum()))

    def nats(params: tuple[Array, Array], counts: Array) -> Array:
        weights, bias = params
        return -jnp.sum(counts * jax.nn.log_softmax(inputs @ weights + bias[None, :]))

    def loss(params: tuple[Array, Array]) -> Array:
        return nats(params, train) / total + config.ridge * jnp.sum(params[0] ** 2)

    optimiser = optax.adam(optax.cosine_decay_schedule(config.probe_rate, config.probe_steps))

    def step(carry: Any, _: None) -> tuple[Any, None]:
        params, state = carry
        updates, state = optimiser.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (start, optimiser.init(start)), None, length=config.probe_steps)
    return nats(params, held_out)


def hand_on(artefacts: Artefacts, problem: Problem, answer: Answer) -> Artefacts:
    """The tokenizer, and the vectors that the model's embedding table starts from."""
    return artefacts._replace(tokenizer=answer.tokenizer, embeddings=np.asarray(answer.embeddings, dtype=np.float32))


def use(problem: Problem, answer: Answer) -> Use:
    """Coding the held-out text, per UTF-8 byte."""
    n_bytes = sum(len(text.encode()) for text in problem.holdout)
    return Use(lambda: tokenizer.encode(answer.tokenizer, problem.holdout), n_bytes, "byte")


def _vectors(config: Config, stream: np.ndarray, size: int) -> np.ndarray:
    """The true item embeddings of a token stream, [size, width]; the same for every arm with the same tokenizer."""
    return embedding.token_vectors([stream], size, config.width, window=config.window)


def _encode(config: Config, problem: Problem, kind: str) -> Answer:
    """Trains a tokenizer and makes the true vectors of its tokens."""
    json_text = tokenizer.train(problem.documents, kind, config.vocabulary)
    size = tokenizer.vocabulary_size(json_text)
    return Answer(json_text, _vectors(config, tokenizer.stream(json_text, problem.documents), size))


def _copied(kind: str, config: Config, problem: Problem) -> Outcome:
    """Loading as a classical machine does it: one copy in memory."""
    true = _encode(config, problem, kind)
    return Outcome(true._replace(embeddings=true.embeddings.copy()))


def bpe(config: Config) -> Arm:
    """Byte-pair encoding."""
    return Arm("classical/bpe", lambda key, problem: _copied("bpe", config, problem), "Vectors copied in memory.")


def wordpiece(config: Config) -> Arm:
    """WordPiece."""
    note = "Vectors copied in memory; WordPiece's pieces, longest match first."
    return Arm("classical/wordpiece", lambda key, problem: _copied("wordpiece", config, problem), note)


def char(config: Config) -> Arm:
    """One token per character."""
    note = "Vectors copied in memory; one token per character, unknown ones charged 8 bits per byte."
    return Arm("classical/char", lambda key, problem: _copied("char", config, problem), note)


def product_quantised(config: Config) -> Arm:
    """BPE with a product-quantised table."""

    def solve(key: Key, problem: Problem) -> Outcome:
        true = _encode(config, problem, "bpe")
        seed = int(jax.random.bits(key, dtype=jnp.uint32))
        return Outcome(
            true._replace(embeddings=compression.product_quantised(true.embeddings, config.parts, config.codes, seed))
        )

    return Arm(
        "classical/product_quantised", solve, "BPE; the table compressed by product quantisation (scikit-learn)."
    )


def word2ket(config: Config) -> Arm:
    """BPE with every vector a sum of tensor products of two shorter ones."""

    def solve(key: Key, problem: Problem) -> Outcome:
        true = _encode(config, problem, "bpe")
        return Outcome(true._replace(embeddings=np.asarray(_word2ket(jnp.asarray(true.embeddings), config.rank))))

    return Arm(
        "inspired/word2ket", solve, "BPE; word2ket of order 2, the best fit; runs classically, no quantum claim."
    )


_word2ket = jax.jit(compression.word2ket, static_argnums=1)


class Loader(NamedTuple):
    """A way to prepare a vector of 2**qubits entries.

    Attributes:
        circuit: `(qubits, layers) -> circuit`.
        angles: `(vector, layers) -> its parameters`.
    """

    circuit: Callable[[int, int], qc.Circuit]
    angles: Callable[[Array, int], Array]


LOADERS = {
    "amplitude": Loader(
        lambda qubits, layers: qc.encodings.amplitude(qubits, real=True),
        lambda vector, layers: qc.encodings.amplitude_angles(vector, real=True),
    ),
    "mps": Loader(
        mps_loader.circuit,
        lambda vector, layers: mps_loader.angles(mps_loader.disentangle(vector, layers)),
    ),
    "product": Loader(
        lambda qubits, layers: qc.encodings.angle(qubits),
        lambda vector, layers: mps_loader.product_angles(vector),
    ),
}


def _padded(vectors: Array) -> Array:
    """Vectors filled up with zeros to a power of two of at least 4 entries."""
    qubits = max(2, (vectors.shape[1] - 1).bit_length())
    return jnp.pad(vectors, ((0, 0), (0, 2**qubits - vectors.shape[1])))


@functools.partial(jax.jit, static_argnames=("loader", "layers"))
def _angles(vectors: Array, loader: str, layers: int) -> Array:
    return jax.vmap(lambda vector: LOADERS[loader].angles(vector, layers))(_padded(vectors))


@functools.partial(jax.jit, static_argnames=("loader", "layers", "shots"))
def _load(key: Key, vectors: Array, loader: str, layers: int, shots: int) -> Array:
    """Every vector prepared by the loader's circuit and read back with shots."""
    padded = _padded(vectors)
    circuit = LOADERS[loader].circuit(padded.shape[1].bit_length() - 1, layers)

    def one(key: Key, vector: Array) -> Array:
        state = qc.apply(circuit, LOADERS[loader].angles(vector, layers)).real
        return tomography.read_out(key, state, shots, vector)

    return jax.vmap(one)(jax.random.split(key, vectors.shape[0]), padded)[:, : vectors.shape[1]]


def loading_resources(circuit: qc.Circuit, shots: int, items: int) -> tuple[Resources, ...]:
    """Loading and reading every item once: the computational basis, then a Hadamard gate on each qubit in turn."""
    settings = [circuit]
    for qubit in range(circuit.n_qubits):
        settings.append(circuit + qc.Circuit(circuit.n_qubits, (qc.gate("h", qubit),)))
    return tuple(qc.count(setting, shots=shots, circuits=items) for setting in settings)


def _loaded(name: str, loader: str, config: Config, note: str) -> Arm:
    """An arm whose vectors go through a quantum register, item by item."""

    def solve(key: Key, problem: Problem) -> Outcome:
        true = _encode(config, problem, "bpe")
        vectors = jnp.asarray(true.embeddings)
        arrived = np.asarray(_load(key, vectors, loader, config.layers, config.shots))
        circuit = LOADERS[loader].circuit(_padded(vectors).shape[1].bit_length() - 1, config.layers)
        needed = loading_resources(circuit, config.shots, len(arrived))
        return Outcome(true._replace(embeddings=arrived), needed)

    def host(key: Key, problem: Problem) -> Array:
        return _angles(jnp.asarray(_encode(config, problem, "bpe").embeddings), loader, config.layers)

    return Arm(name, solve, note, host)


READING = "one epoch of loading; reading back costs shots in n + 1 settings per item and undoes any compactness."


def amplitude(config: Config) -> Arm:
    """Exact amplitude encoding by uniformly controlled rotations."""
    return _loaded("quantum/amplitude", "amplitude", config, f"BPE; exact encoding, {READING}")


def mps(config: Config) -> Arm:
    """Approximate amplitude encoding by staircases of two-qubit gates."""
    return _loaded("quantum/mps", "mps", config, f"BPE; {config.layers} staircase layers, {READING}")


def product_state(config: Config) -> Arm:
    """The same read-out of a loader without entanglement."""
    return _loaded("control/product_state", "product", config, f"BPE; no entanglement: one RY per qubit, {READING}")


def random_features(config: Config) -> Arm:
    """BPE with random vectors of the true norms: what the probe does without any information."""

    def solve(key: Key, problem: Problem) -> Outcome:
        true = _encode(config, problem, "bpe")
        return Outcome(
            true._replace(embeddings=np.asarray(compression.random_vectors(key, jnp.asarray(true.embeddings))))
        )

    return Arm("control/random_features", solve, "BPE; one fixed draw of random vectors with the true norms.")


STAGE = Stage(
    name="encoding",
    title="Preprocessing and encoding",
    quality=Quality("bits_per_byte", higher_is_better=False, margin=0.02),
    presets={
        "smoke": Config(vocabulary=320, width=8, shots=256, codes=16, probe_steps=60),
        "default": Config(),
        "paper": Config(vocabulary=1024, shots=4096, codes=64, probe_steps=600),
    },
    problem=problem,
    score=score,
    arms={
        "classical/bpe": bpe,
        "classical/wordpiece": wordpiece,
        "classical/char": char,
        "classical/product_quantised": product_quantised,
        "inspired/word2ket": word2ket,
        "quantum/amplitude": amplitude,
        "quantum/mps": mps,
        "control/product_state": product_state,
        "control/random_features": random_features,
    },
    reference="classical/bpe",
    swap="quantum/amplitude",
    hand_on=hand_on,
    use=use,
)
