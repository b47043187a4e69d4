"""Pretrained encoders of Hugging Face as a pure `apply(params, tokens, mask, config)`, and embeddings of many texts.

Two families share the code: BERT (arXiv:1810.04805; every token sees all, a norm after each residual sum) and GPT-2 (a
token sees what precedes it, a norm before each branch and one at the end). Parameters are nested dicts with the names
of `qgen.lm.transformer` ("block_0/attention/qkv/kernel"), so that adapters and compression find their matrices;
`qgen.lm.encoder_files` reads them from a checkpoint.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.lm import weights
from qgen.types import Array, Float, Int, Key, Params

FAMILIES = ("bert", "gpt2")
ROW = 32
"""Tokens of the shortest rows that `encode` fills."""
TOKENS_PER_BATCH = 1024
"""Tokens of a batch of `encode`: enough for full-size matrix products, little enough for the caches."""
MASKED = -1e30


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + jax.lax.erf(x * 0.5**0.5))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
    "gelu_new": jax.nn.gelu,  # the approximation by tanh
    "gelu_pytorch_tanh": jax.nn.gelu,
    "relu": jax.nn.relu,
}
"""Names of a checkpoint's config.json -> functions."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The architecture; hashable, so that it can be a static argument of jit.

    Attributes:
        vocabulary: number of tokens.
        context: the most positions of one text.
        width: features of the residual stream.
        depth: blocks, each of one attention and one MLP branch.
        heads: attention heads; they divide the width.
        hidden: hidden features of the MLP.
        family: "bert" or "gpt2".
        activation: of the MLP, one of ACTIVATIONS.
        epsilon: what the norms add to the variance.
    """

    vocabulary: int
    context: int
    width: int
    depth: int
    heads: int
    hidden: int
    family: str = "bert"
    activation: str = "gelu"
    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        """Refuses sizes below 1, heads that do not divide the width, and unknown names."""
        for name in ("vocabulary", "context", "width", "depth", "heads", "hidden"):
            check.at_least(name, getattr(self, name), 1)
        check.one_of("family", self.family, FAMILIES)
        check.one_of("activation", self.activation, ACTIVATIONS)
        if self.width % self.heads:
            raise ValueError(f"Argument `width` must be a multiple of heads = {self.heads}, but is {self.width}.")


class Encoder(NamedTuple):
    """A loaded encoder.

    Attributes:
        config: its architecture.
        params: its parameters, float32.
        tokenizer: its tokenizer as JSON text.
    """

    config: Config
    params: Params
    tokenizer: str


def shapes(config: Config) -> Params:
    """The shape of every parameter: what `apply` takes and a checkpoint must hold."""
    width, hidden = config.width, config.hidden

    def linear(n_in: int, n_out: int) -> dict[str, Any]:
        return {"kernel": (n_in, n_out), "bias": (n_out,)}

    norm = {"scale": (width,), "bias": (width,)}
    embed: dict[str, Any] = {"token": (config.vocabulary, width), "position": (config.context, width)}
    if config.family == "bert":
        embed["type"] = (width,)
    block = {
        "attention": {"qkv": linear(width, 3 * width), "out": linear(width, width), "norm": norm},
        "mlp": {"up": linear(width, hidden), "down": linear(hidden, width), "norm": norm},
    }
    # The norm of the embeddings (BERT) or of the last block's output (GPT-2).
    return {"embed": embed, "norm": norm} | {f"block_{layer}": block for layer in range(config.depth)}


def init(key: Key, config: Config) -> Params:
    """Random parameters, float32: matrices and embeddings of deviation 0.02, as BERT starts."""
    made = shapes(config)
    leaves, tree = jax.tree.flatten(made, is_leaf=lambda shape: isinstance(shape, tuple))
    names = [path[-1].key for path, _ in jax.tree_util.tree_flatten_with_path(made, lambda s: isinstance(s, tuple))[0]]
    fixed = {"scale": jnp.ones, "bias": jnp.zeros}
    drawn = [
        fixed[name](shape) if name in fixed else 0.02 * jax.random.normal(jax.random.fold_in(key, place), shape)
        for place, (name, shape) in enumerate(zip(names, leaves, strict=True))
    ]
    return jax.tree.unflatten(tree, drawn)


def apply(
    params: Params, tokens: Int[Array, "batch time"], mask: Array, config: Config
) -> Float[Array, "batch time width"]:
    """The last hidden state of every token.

    Args:
        params: as `shapes` says; a kernel may be stored in any way of `qgen.lm.weights`.
        tokens: token ids, at most `context` per row.
        mask: [batch, time], true for tokens and false for padding, which gets meaningless states. Where a row holds
            several texts, one after the other, 1 for the first text's tokens, 2 for the second's, and so on.
        config: the architecture.

    Raises:
        ValueError: if a row is longer than `context` or the mask has another shape.
    """
    check.within("tokens.shape[1]", tokens.shape[1], 1, config.context)
    check.shape("mask", mask, tokens.shape)
    batch, time = tokens.shape
    stored = weights.unpack(params)
    is_bert = config.family == "bert"
    text = jnp.asarray(mask, jnp.int32)
    seen = text[:, :, None] == text[:, None, :]
    position = jnp.arange(time)[None] - jnp.argmax(seen, axis=-1)
    if not is_bert:
        seen = seen & jnp.tril(jnp.ones((time, time), bool))[None]
    embed = stored["embed"]
    x = weights.rows(embed["token"], tokens) + embed["position"][position]
    x = x.reshape(batch * time, config.width)
    if is_bert:
        x = _norm(x + embed["type"][None], stored["norm"], config)
    for layer in range(config.depth):
        for name in ("attention", "mlp"):
            branch = stored[f"block_{layer}"][name]
            read = x if is_bert else _norm(x, branch["norm"], config)
            if name == "attention":
                change = _attention(read, branch, seen[:, None], config)
            else:
                change = _linear(ACTIVATIONS[config.activation](_linear(read, branch["up"])), branch["down"])
            x = _norm(x + change, branch["norm"], config) if is_bert else x + change
    return (x if is_bert else _norm(x, stored["norm"], config)).reshape(batch, time, config.width)


def _linear(x: Array, layer: dict[str, Any]) -> Array:
    return weights.product(x, layer["kernel"]) + layer["bias"][None]


def _norm(x: Array, layer: dict[str, Any], config: Config) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    spread = jax.lax.rsqrt(jnp.mean(jnp.square(centred), -1, keepdims=True) + config.epsilon)
    return centred * spread * layer["scale"][None] + layer["bias"][None]


def _attention(x: Array, branch: dict[str, Any], seen: Array, config: Config) -> Array:
    batch, time = seen.shape[0], seen.shape[-1]
    features = config.width // config.heads
    q, k, v = jnp.moveaxis(_linear(x, branch["qkv"]).reshape(batch, time, 3, config.heads, features), (2, 3), (0, 2))
    scores = jnp.einsum("bhqd,bhkd->bhqk", q, k) * features**-0.5
    share = jax.nn.softmax(jnp.where(seen, scores, MASKED), axis=-1)
    mixed = jnp.swapaxes(share @ v, 1, 2)  # one einsum is slower: XLA's library for CPUs cannot write this order
    return _linear(mixed.reshape(batch * time, config.width), branch["out"])


def pooled(hidden: Float[Array, "batch time width"], mask: Array, texts: int = 1) -> Float[Array, "batch texts width"]:
    """The mean hidden state over each text's tokens, at unit length (arXiv:1908.10084); zero where there is no text.

    Args:
        hidden: the states.
        mask: as in `apply`.
        texts: the most texts of one row.
    """
    number = 1 + jnp.arange(texts)
    belongs = (jnp.asarray(mask, jnp.int32)[:, None, :] == number[None, :, None]).astype(hidden.dtype)
    mean = (belongs @ hidden) / jnp.maximum(belongs.sum(-1), 1.0)[..., None]
    return mean / jnp.maximum(jnp.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)


@functools.partial(jax.jit, static_argnames=("config", "texts"))
def _embed(params: Params, tokens: Array, mask: Array, config: Config, texts: int) -> Array:
    return pooled(apply(params, tokens, mask, config), mask, texts)


def tokenised(encoder: Encoder, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of every text with the special tokens that its tokenizer adds, cut at the context.

    Raises:
        ValueError: if a text is no string.
    """
    from tokenizers import Tokenizer

    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        raise ValueError(f"Argument `texts` must hold strings, but holds {wrong!r}.")
    tokenizer = Tokenizer.from_str(encoder.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(encoder.config.context)
    return [found.ids for found in tokenizer.encode_batch(list(texts))]


def encode(encoder: Encoder, texts: Sequence[str]) -> Float[np.ndarray, "texts width"]:
    """One vector of unit length per text: the mean of its tokens' hidden states.

    Texts are sorted by length into rows of 32 tokens and its doubles, and short ones share a row: next to nothing is
    computed on padding, and one program per row length is compiled.

    Args:
        encoder: the encoder.
        texts: the texts.

    Returns:
        float32, in the order of the texts.

    Raises:
        ValueError: if a text is no string.
    """
    config = encoder.config
    ids = tokenised(encoder, texts)
    found = np.zeros((len(texts), config.width), np.float32)
    waiting: list[tuple[list[tuple[int, int, int]], Array]] = []
    for time, rows in packed([len(row) for row in ids], config.context).items():
        height, most = max(1, TOKENS_PER_BATCH // time), _most_texts(time)
        for first in range(0, len(rows), height):
            tokens, mask = np.zeros((height, time), np.int32), np.zeros((height, time), np.int32)
            places = []
            for row, members in enumerate(rows[first : first + height]):
                start = 0
                for number, member in enumerate(members):
                    stop = start + len(ids[member])
                    tokens[row, start:stop], mask[row, start:stop] = ids[member], number + 1
                    places.append((member, row, number))
                    start = stop
            waiting.append((places, _embed(encoder.params, tokens, mask, config, most)))
    for places, vectors in waiting:
        members, rows, numbers = np.array(places).T
        found[members] = np.asarray(vectors)[rows, numbers]
    return found


def packed(lengths: Sequence[int], context: int) -> dict[int, list[list[int]]]:
    """Which texts share a row: row length -> the places of the texts of every row.

    The longest text comes first, each goes into the fullest row that has room (best fit, decreasing), and where none
    has, begins one of 32 tokens or of the power of two that holds it: short texts fill the long rows first.

    Args:
        lengths: tokens of every text, at most `context`.
        context: no row is longer.
    """
    found: dict[int, list[list[int]]] = {}
    with_room: list[list[tuple[int, list[int]]]] = []  # free tokens -> rows with their lengths
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        length = lengths[place]
        free = next((free for free in range(length, len(with_room)) if with_room[free]), None)
        if free is None:
            free = time = min(max(ROW, 1 << max(length - 1, 0).bit_length()), context)
            row: list[int] = []
            found.setdefault(time, []).append(row)
        else:
            time, row = with_room[free].pop()
        row.append(place)
        if len(row) < _most_texts(time):
            with_room += [[] for _ in range(free - length + 1 - len(with_room))]
            with_room[free - length].append((time, row))
    return found


def _most_texts(time: int) -> int:
    return max(1, time // 4)
