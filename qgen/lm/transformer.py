"""A decoder-only transformer: flax NNX modules, split once into a pure `apply(params, tokens, config)`.

Pre-norm residual branches without biases: x + gate * attention(norm(x)), then x + gate * mlp(norm(x)); rotary positions
(arXiv:2104.09864), RMS norm (arXiv:1910.07467), a squared-ReLU MLP (arXiv:2109.08668), and a head of its own. All
matrices start normal with deviation 1/sqrt(inputs), those that write a residual branch 1/sqrt(2 depth) of it.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qgen import check
from qgen.lm import weights
from qgen.types import Array, Float, Int, Key, Params

ROTARY_BASE = 10_000.0
MASKED = -1e30
"""What a hidden position's score becomes: finite, so that no softmax can meet inf - inf, in bfloat16 as well."""

Gates = Float[Array, " branches"] | Sequence[float]
"""A factor per residual branch: an array is traced; a zero in a tuple of numbers takes the branch out."""
Part = Callable[[int, int, float, nnx.Rngs], nnx.Module]
"""`(features in, features out, scale, rngs) -> module` on [batch, time, features in]: what may stand for a part of the
model. `scale` is the deviation of its outputs at the start. It must be hashable by value, as a frozen dataclass is."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The architecture; hashable, so that it can be a static argument of jit.

    Attributes:
        vocabulary: number of tokens.
        context: the most positions that one sequence can have.
        width: features of the residual stream.
        depth: blocks, each of one attention and one MLP branch.
        heads: attention heads; they divide the width into an even number of features each.
        mlp_ratio: hidden features of the MLP per feature of the residual stream.
        dropout: share of each branch's output that training sets to zero.
        mixer: what stands for attention; None is attention. It must be causal, and has no cache.
        feedforward: what stands for the MLP.
        head: what stands for the head's matrix.
    """

    vocabulary: int
    context: int
    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4
    dropout: float = 0.0
    mixer: Part | None = None
    feedforward: Part | None = None
    head: Part | None = None

    def __post_init__(self) -> None:
        """Refuses sizes below 1, odd head widths and dropout outside [0, 1)."""
        for name in ("vocabulary", "context", "width", "depth", "heads"):
            check.at_least(name, getattr(self, name), 1)
        check.positive("mlp_ratio", self.mlp_ratio)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"Argument `dropout` must lie in [0, 1), but is {self.dropout}.")
        if self.width % (2 * self.heads):
            raise ValueError(
                f"Argument `width` must be a multiple of 2 * heads = {2 * self.heads}, but is {self.width}."
            )

    @property
    def head_width(self) -> int:
        """Features of one attention head."""
        return self.width // self.heads

    @property
    def hidden(self) -> int:
        """Hidden features of the MLP."""
        return max(1, round(self.mlp_ratio * self.width))


Cache = tuple[tuple[Float[Array, "batch heads context features"], Float[Array, "batch heads context features"]], ...]
"""Rotated keys, and values, of every block."""


class _Linear(nnx.Module):
    def __init__(self, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs):
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (n_in, n_out)) * scale * n_in**-0.5)

    def __call__(self, x: Array) -> Array:
        return weights.product(x, self.kernel.get_value())


class _Embed(nnx.Module):
    def __init__(self, n_rows: int, width: int, rngs: nnx.Rngs):
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), (n_rows, width)))

    def __call__(self, tokens: Array) -> Array:
        return weights.rows(self.embedding.get_value(), tokens)


class _Attention(nnx.Module):
    def __init__(self, config: Config, rngs: nnx.Rngs):
        self.config = config
        self.qkv = _Linear(config.width, 3 * config.width, 1.0, rngs)
        self.out = _Linear(config.width, config.width, (2 * config.depth) ** -0.5, rngs)

    def __call__(
        self, x: Array, positions: Array, mask: Array, past: tuple[Array, Array] | None
    ) -> tuple[Array, tuple[Array, Array]]:
        batch, time, width = x.shape
        heads = (batch, time, self.config.heads, self.config.head_width)
        q, k, v = (part.reshape(heads) for part in jnp.split(self.qkv(x), 3, axis=-1))
        q, k = _rotate(q, positions), _rotate(k, positions)
        # Heads before positions: what a token reads of the cache lies in one piece, so decoding copies nothing.
        k, v = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
        if past is not None:
            k, v = (
                jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), positions[0], axis=2)
                for old, new in zip(past, (k, v), strict=True)
            )
        scores = jnp.einsum("bqhd,bhkd->bhqk", q, k).astype(jnp.float32) * self.config.head_width**-0.5
        share = jax.nn.softmax(jnp.where(mask[None, None], scores, MASKED), axis=-1).astype(v.dtype)
        mixed = jnp.einsum("bhqk,bhkd->bqhd", share, v)
        return self.out(mixed.reshape(batch, time, width)), (k, v)


class _Mlp(nnx.Module):
    def __init__(self, config: Config, rngs: nnx.Rngs):
        self.up = _Linear(config.width, config.hidden, 1.0, rngs)
        self.down = _Linear(config.hidden, config.width, (2 * config.depth) ** -0.5, rngs)

    def __call__(self, x: Array) -> Array:
        return self.down(jnp.square(jax.nn.relu(self.up(x))))


class _Block(nnx.Module):
    def __init__(self, config: Config, rngs: nnx.Rngs):
        def made(part: Part) -> nnx.Module:
            return part(config.width, config.width, (2 * config.depth) ** -0.5, rngs)

        self.attention = _Attention(config, rngs) if config.mixer is None else made(config.mixer)
        self.mlp = _Mlp(config, rngs) if config.feedforward is None else made(config.feedforward)

    def mixed(self, x: Array, positions: Array, mask: Array, past: tuple[Array, Array] | None):
        if isinstance(self.attention, _Attention):
            return self.attention(x, positions, mask, past)
        return self.attention(x), None


class _Transformer(nnx.Module):
    def __init__(self, config: Config, rngs: nnx.Rngs):
        self.config = config
        self.embed = _Embed(config.vocabulary, config.width, rngs)
        for layer in range(config.depth):
            setattr(self, f"block_{layer}", _Block(config, rngs))
        head = _Linear if config.head is None else config.head
        self.head = head(config.width, config.vocabulary, 1.0, rngs)

    def __call__(self, tokens: Array, start: Array | int, cache: Cache | None, gates: Gates | None, key: Key | None):
        """Hidden states before the head, [batch, time, width], and the cache with the new keys and values."""
        config = self.config
        positions = start + jnp.arange(tokens.shape[1])
        visible = positions if cache is None else jnp.arange(config.context)
        mask = visible[None, :] <= positions[:, None]
        pasts = [None] * config.depth if cache is None else list(cache)

        def add(x: Array, branch: int, change: Array) -> Array:
            if key is not None and config.dropout > 0:
                kept = jax.random.bernoulli(jax.random.fold_in(key, branch), 1 - config.dropout, change.shape)
                change = jnp.where(kept, change / (1 - config.dropout), 0)
            return x + (change if gates is None else jnp.asarray(gates[branch], x.dtype) * change)

        x = self.embed(tokens)
        for layer in range(config.depth):
            block = getattr(self, f"block_{layer}")
            if not _closed(gates, 2 * layer):
                change, pasts[layer] = block.mixed(_norm(x), positions, mask, pasts[layer])
                x = add(x, 2 * layer, change)
            if not _closed(gates, 2 * layer + 1):
                x = add(x, 2 * layer + 1, block.mlp(_norm(x)))
        return _norm(x), () if cache is None else tuple(past for past in pasts if past is not None)


def _closed(gates: Gates | None, branch: int) -> bool:
    """Whether a gate is known to be 0 while the program is built."""
    return isinstance(gates, tuple | list) and gates[branch] == 0


def _norm(x: Float[Array, "batch time width"]) -> Array:
    """Unit root mean square, without learned factors: the matrices that read the result can hold them."""
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + 1e-6)).astype(x.dtype)


def _rotate(x: Float[Array, "batch time heads features"], positions: Int[Array, " time"]) -> Array:
    """Turns the feature pairs (i, i + features/2) by angles that grow with the position."""
    half = x.shape[-1] // 2
    rates = ROTARY_BASE ** (-np.arange(half, dtype=np.float32) / half)
    angles = (positions[:, None] * rates[None, :])[None, :, None, :]
    cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


@functools.lru_cache
def _graph(config: Config) -> nnx.GraphDef:
    """The static half of the split model; built once per architecture, without computing any parameter."""
    return nnx.split(nnx.eval_shape(lambda: _Transformer(config, nnx.Rngs(0))))[0]


def _model(params: Params, config: Config) -> _Transformer:
    return nnx.merge(_graph(config), nnx.State(weights.unpack(params)))


def _orthogonal(kernel: Array) -> Array:
    left, _, right = jnp.linalg.svd(kernel, full_matrices=False)
    return left @ right * jnp.linalg.norm(kernel) / min(kernel.shape) ** 0.5


SCHEMES: Mapping[str, Callable[[Array, bool], Array]] = {
    "normal": lambda kernel, is_head: kernel,
    "xavier": lambda kernel, is_head: kernel * (2 * kernel.shape[0] / sum(kernel.shape)) ** 0.5,
    "orthogonal": lambda kernel, is_head: _orthogonal(kernel),
    "mup": lambda kernel, is_head: kernel * kernel.shape[0] ** -0.5 if is_head else kernel,
}
"""Start -> what it makes of a matrix of independent normal entries of deviation 1/sqrt(inputs), and whether that is the
head: variance 2 / (inputs + outputs) (Glorot and Bengio, 2010); all singular values equal at the same norm
(arXiv:1312.6120); the head's variance 1/inputs^2 (muP, arXiv:2203.03466, which needs `recipes.mup` as well)."""


def init(
    key: Key,
    config: Config,
    embeddings: Float[Array, "vocabulary features"] | None = None,
    scheme: str = "normal",
) -> Params:
    """Fresh parameters, float32, as nested dicts of arrays.

    Args:
        key: the random key.
        config: the architecture.
        embeddings: item embeddings to start the token embedding from. They are scaled to unit root mean square; more
            features than the width are projected on the leading singular directions, fewer are filled up at random.
        scheme: how matrices start, a name of SCHEMES; embeddings always have deviation 1.

    Returns:
        The parameters; `params["embed"]["embedding"]` has shape [vocabulary, width].

    Raises:
        ValueError: if `embeddings` does not have one row per token, or the scheme is unknown.
    """
    check.one_of("scheme", scheme, SCHEMES)
    params = nnx.to_pure_dict(nnx.split(_Transformer(config, nnx.Rngs(params=key)))[1])
    if scheme != "normal":
        params = jax.tree_util.tree_map_with_path(functools.partial(_started, scheme), params)
    if embeddings is not None:
        check.shape("embeddings", embeddings, (config.vocabulary, None))
        given = jnp.asarray(embeddings, jnp.float32)
        if given.shape[1] > config.width:
            _, _, directions = jnp.linalg.svd(given, full_matrices=False)
            given = given @ directions[: config.width].T
        given = given / jnp.maximum(jnp.sqrt(jnp.mean(jnp.square(given))), 1e-12)
        params["embed"]["embedding"] = params["embed"]["embedding"].at[:, : given.shape[1]].set(given)
    return params


def _started(scheme: str, path: tuple[Any, ...], leaf: Array) -> Array:
    names = [entry.key for entry in path]
    return SCHEMES[scheme](leaf, names[0] == "head") if names[-1] == "kernel" else leaf


def part(params: Params, config: Config, layer: int) -> Any:
    """The module that mixes the tokens in a block, with its parameters."""
    check.within("layer", layer, 0, config.depth - 1)
    return getattr(_model(params, config), f"block_{layer}").attention


def apply(
    params: Params,
    tokens: Int[Array, "batch time"],
    config: Config,
    *,
    gates: Gates | None = None,
    features: bool = False,
    key: Key | None = None,
) -> Float[Array, "batch time out"]:
    """Logits of the next token at every position.

    Args:
        params: what `init` made, in float32, bfloat16 or float16; the computation runs in their type.
        tokens: token ids, at most `context` per row.
        config: the architecture.
        gates: factor of each residual branch, [2 * depth], in the order attention_0, mlp_0, attention_1, ...
        features: return the normalised hidden states [batch, time, width] that the head reads, instead of logits.
        key: switches dropout on; None is evaluation.

    Returns:
        Logits [batch, time, vocabulary] in float32, or features in the type of the parameters.

    Raises:
        ValueError: if a row is longer than `context` or `gates` does not have 2 * depth entries.
    """
    check.within("tokens.shape[1]", tokens.shape[1], 1, config.context)
    _check_gates(gates, config)
    model = _model(params, config)
    hidden, _ = model(tokens, 0, None, gates, key)
    return hidden if features else model.head(hidden).astype(jnp.float32)


def empty_cache(params: Params, config: Config, batch: int) -> Cache:
    """A cache that has seen nothing, in the type that the model computes in.

    Raises:
        ValueError: if the model mixes by anything but attention.
    """
    if config.mixer is not None:
        raise ValueError(f"Argument `config` must mix by attention to have a cache, but its mixer is {config.mixer}.")
    dtype = weights.rows(weights.unpack(params["embed"]["embedding"]), jnp.zeros(1, jnp.int32)).dtype
    shape = (batch, config.heads, config.context, config.head_width)
    return tuple((jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(config.depth))


def extend(
    params: Params,
    tokens: Int[Array, "batch time"],
    start: Int[Array, ""] | int,
    cache: Cache,
    config: Config,
    *,
    gates: Gates | None = None,
    features: bool = False,
) -> tuple[Float[Array, "batch out"], Cache]:
    """Reads `tokens` at positions start, start + 1, ... on top of a cache.

    Args:
        params: as in `apply`.
        tokens: the new tokens; `start + time` must not pass `context` (a traced start cannot be checked).
        start: how many tokens the cache has seen.
        cache: keys and values of those tokens.
        config: the architecture.
        gates: as in `apply`.
        features: return the last token's hidden state [batch, width] that the head reads, instead of logits.

    Returns:
        Logits that follow the last token, float32, and the extended cache.
    """
    _check_gates(gates, config)
    model = _model(params, config)
    hidden, cache = model(tokens, start, cache, gates, None)
    return hidden[:, -1] if features else model.head(hidden[:, -1]).astype(jnp.float32), cache


def size(params: Params) -> int:
    """Number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _check_gates(gates: Gates | None, config: Config) -> None:
    if gates is not None and len(gates) != 2 * config.depth:
        raise ValueError(f"Argument `gates` must have 2 * depth = {2 * config.depth} entries, but has {len(gates)}.")
