"""The transformer in plain numpy, float64, one token row and one head at a time: the oracle of the tests."""

import numpy as np


def norm(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def rotate(x, positions):
    half = x.shape[-1] // 2
    pairs = x[:, :half] + 1j * x[:, half:]
    turned = pairs * np.exp(1j * np.outer(positions, 10_000.0 ** (-np.arange(half) / half)))
    return np.concatenate([turned.real, turned.imag], axis=-1)


def features(params, row, config, gates):
    width, size = config.width, config.width // config.heads
    x = params["embed"]["embedding"][row]
    for layer in range(config.depth):
        block = params[f"block_{layer}"]
        qkv = norm(x) @ block["attention"]["qkv"]["kernel"]
        mixed = np.zeros_like(x)
        for head in range(config.heads):
            part = slice(head * size, (head + 1) * size)
            q, k, v = (qkv[:, place * width : (place + 1) * width][:, part] for place in range(3))
            q, k = rotate(q, np.arange(len(row))), rotate(k, np.arange(len(row)))
            for t in range(len(row)):
                scores = k[: t + 1] @ q[t] / np.sqrt(size)
                share = np.exp(scores - scores.max())
                mixed[t, part] = share / share.sum() @ v[: t + 1]
        x = x + gates[2 * layer] * mixed @ block["attention"]["out"]["kernel"]
        hidden = np.maximum(norm(x) @ block["mlp"]["up"]["kernel"], 0) ** 2
        x = x + gates[2 * layer + 1] * hidden @ block["mlp"]["down"]["kernel"]
    return norm(x)


def logits(params, tokens, config, gates=None):
    gates = np.ones(2 * config.depth) if gates is None else np.asarray(gates)
    return np.stack([features(params, row, config, gates) for row in tokens]) @ params["head"]["kernel"]


def cross_entropy(scores, targets):
    """Nats of each target."""
    shifted = scores - scores.max(-1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(logarithms, np.asarray(targets)[..., None], axis=-1)[..., 0]
