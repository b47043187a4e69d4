import dataclasses

import jax
import numpy as np
import pytest

from qgen import circuits as qc
from qgen.lm import tokenizer
from qgen.stages import encoding
from qgen.stages.base import Artefacts

CONFIG = dataclasses.replace(encoding.STAGE.presets["smoke"], vocabulary=280, width=8, shots=200, codes=4, parts=2)
TEXT = (
    "The quick brown fox jumps over the lazy dog while the other dogs sleep in the warm afternoon sun. "
    "Over the hills the river runs to the sea, and the sea runs to the edge of the old world. "
)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    words = TEXT.split()
    documents = tuple(" ".join(rng.choice(words, 60)) for _ in range(20))
    return encoding.problem(jax.random.key(0), CONFIG, Artefacts((), (TEXT + "ü",), (), (), curated=documents))


@pytest.fixture(scope="module")
def outcomes(problem):
    names = ["classical/bpe", "classical/char", "quantum/amplitude", "control/product_state", "control/random_features"]
    return {name: encoding.STAGE.arms[name](CONFIG).solve(jax.random.key(1), problem) for name in names}


def test_answers_have_one_vector_per_token(problem, outcomes):
    for name, outcome in outcomes.items():
        size = tokenizer.vocabulary_size(outcome.answer.tokenizer)
        assert outcome.answer.embeddings.shape == (size, CONFIG.width), name
        assert np.isfinite(outcome.answer.embeddings).all()


def test_load_fidelity_orders_the_loaders(problem, outcomes):
    found = {name: encoding.score(problem, outcome.answer)["load_fidelity"] for name, outcome in outcomes.items()}
    assert found["classical/bpe"] == pytest.approx(1.0, abs=1e-5)
    assert found["quantum/amplitude"] > 1 - 8 / CONFIG.shots
    assert found["quantum/amplitude"] > found["control/product_state"] > found["control/random_features"]
    # A random direction of 8 features has a mean squared cosine of 1/8.
    assert found["control/random_features"] == pytest.approx(1 / 8, abs=0.05)


def test_fidelity_by_hand():
    loaded, true = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 2.0]])
    assert encoding.fidelity(loaded, true) == pytest.approx((0.36 + 0) / 2)


def test_the_probe_beats_unigrams_and_not_bigrams(problem, outcomes):
    answer = outcomes["classical/bpe"].answer
    size = tokenizer.vocabulary_size(answer.tokenizer)
    stream = tokenizer.stream(answer.tokenizer, problem.documents)
    counts = np.zeros((size, size))
    np.add.at(counts, (stream[:-1], stream[1:]), 1)
    own = problem._replace(holdout=problem.documents)
    n_bytes = sum(len(text.encode()) for text in own.holdout)
    bits = encoding.score(own, answer)["bits_per_byte"] * n_bytes
    with np.errstate(divide="ignore", invalid="ignore"):
        unigram = -np.nansum(counts.sum(0) * np.log2(counts.sum(0) / counts.sum()))
        bigram = -np.nansum(counts * np.log2(counts / counts.sum(1, keepdims=True)))
    assert bigram < bits < unigram


def test_an_unknown_byte_costs_eight_bits(problem, outcomes):
    answer = outcomes["classical/char"].answer
    without = problem._replace(holdout=(TEXT,))
    longer = problem._replace(holdout=(TEXT, "ü"))
    bits = [
        encoding.score(p, answer)["bits_per_byte"] * sum(len(t.encode()) for t in p.holdout) for p in (without, longer)
    ]
    assert bits[1] - bits[0] > 2 * 8


def test_resources_charge_every_item_and_setting(problem, outcomes):
    size = len(outcomes["quantum/amplitude"].answer.embeddings)
    needed = {
        2**3 - 2: outcomes["quantum/amplitude"].resources,
        2 * 2 * 2: encoding.loading_resources(encoding.LOADERS["mps"].circuit(3, 2), CONFIG.shots, size),
        0: outcomes["control/product_state"].resources,
    }
    for per_load, resources in needed.items():
        assert len(resources) == 1 + 3
        for item in resources:
            assert item.qubits == 3
            assert item.shots == size * CONFIG.shots
            assert item.gates_2q == pytest.approx(size * CONFIG.shots * per_load)


def test_loaded_states_are_those_of_the_vectors():
    vectors = np.random.default_rng(2).normal(size=(3, 6)).astype(np.float32)
    padded = np.pad(vectors, ((0, 0), (0, 2)))
    circuit = encoding.LOADERS["amplitude"].circuit(3, 1)
    states = np.stack([np.asarray(qc.apply(circuit, row)).real for row in encoding._angles(vectors, "amplitude", 1)])
    assert np.allclose((states * padded).sum(1) / np.linalg.norm(padded, axis=1), 1, atol=1e-5)


def test_hand_on_and_use(problem, outcomes):
    answer = outcomes["classical/bpe"].answer
    handed = encoding.hand_on(Artefacts((), (), (), ()), problem, answer)
    assert handed.tokenizer == answer.tokenizer
    assert np.array_equal(handed.embeddings, answer.embeddings)
    use = encoding.use(problem, answer)
    assert use.units == len(problem.holdout[0].encode())
    assert tokenizer.decode(answer.tokenizer, use.run()[0]) == problem.holdout[0]


def test_wrong_inputs(problem, outcomes):
    with pytest.raises(ValueError, match="curated"):
        encoding.problem(jax.random.key(0), CONFIG, Artefacts((), ("x",), (), ()))
    with pytest.raises(ValueError, match="holdout"):
        encoding.problem(jax.random.key(0), CONFIG, Artefacts((), (), (), (), curated=("x",)))
    answer = outcomes["classical/bpe"].answer
    with pytest.raises(ValueError, match="embeddings"):
        encoding.score(problem, answer._replace(embeddings=answer.embeddings[:, :3]))
