import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.lm import generate
from tests.lm import reference

N_TOKENS = 7
GATES = (1.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("gates", [None, GATES, jnp.asarray(GATES)], ids=["all", "static", "traced"])
def test_greedy_tokens_are_the_likeliest_of_the_full_numpy_model(key, params, wide, tokens, config, gates):
    prompt = tokens[:, :5]
    row = prompt
    for _ in range(N_TOKENS):
        row = np.concatenate([row, reference.logits(wide, row, config, gates)[:, -1].argmax(-1)[:, None]], axis=1)
    result = generate.generate(key, params, config, prompt, N_TOKENS, gates=gates)
    np.testing.assert_array_equal(result, row[:, 5:])


def test_sampling_follows_the_softmax_at_a_temperature(params, wide, tokens, config):
    temperature, n_samples = 1.7, 4000
    prompt = np.repeat(tokens[:1, :4], n_samples, axis=0)
    result = np.asarray(generate.generate(jax.random.key(3), params, config, prompt, 2, temperature=temperature))
    scores = reference.logits(wide, tokens[:1, :4], config)[0, -1] / temperature
    first = np.exp(scores) / np.exp(scores).sum()
    _five_sigma(result[:, 0], first)
    common = first.argmax()
    followed = np.concatenate([tokens[:1, :4], [[common]]], axis=1)
    scores = reference.logits(wide, followed, config)[0, -1] / temperature
    _five_sigma(result[result[:, 0] == common, 1], np.exp(scores) / np.exp(scores).sum())


def _five_sigma(drawn, shares):
    counts = np.bincount(drawn, minlength=len(shares)) / len(drawn)
    assert np.all(np.abs(counts - shares) <= 5 * np.sqrt(shares * (1 - shares) / len(drawn)) + 1 / len(drawn))


def test_one_key_gives_one_text_and_a_low_temperature_is_greedy(key, params, tokens, config):
    prompt = tokens[:, :5]
    first, again = (generate.generate(key, params, config, prompt, N_TOKENS, temperature=0.9) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    cold = generate.generate(key, params, config, prompt, N_TOKENS, temperature=1e-4)
    np.testing.assert_array_equal(cold, generate.generate(key, params, config, prompt, N_TOKENS))


def test_a_second_call_does_not_compile(key, params, tokens, config):
    generate.generate(key, params, config, tokens, 2)
    compiled = generate._generate._cache_size()
    generate.generate(jax.random.key(1), params, config, tokens[::-1], 2, temperature=0.3)
    assert generate._generate._cache_size() == compiled


def test_what_does_not_fit_is_refused(key, params, tokens, config):
    with pytest.raises(ValueError, match="`n_tokens` must be at least 1"):
        generate.generate(key, params, config, tokens, 0)
    with pytest.raises(ValueError, match=r"must lie in \[2, 12\], but is 13"):
        generate.generate(key, params, config, tokens, 3)
