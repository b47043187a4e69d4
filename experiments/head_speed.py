"""The quantum head's training step beside PennyLane's, and encoding sentences beside PyTorch's, side by side.

Command:   python -m experiments.head_speed --sst2=FOLDER
Writes:    nothing; prints milliseconds per step, seconds per encoding, and both ratios
Headline:  how often faster a step at 10 qubits and batch 64 is than PennyLane's default.qubit with jit

Rounds alternate between the peers, so that other work on the machine meets both; medians are compared. PyTorch and
transformers are no dependencies: where they cannot be imported, their part is left out and says so.
"""

import functools
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from experiments import cli
from qgen.cases import language_model
from qgen.lm import encoder, encoder_files
from qgen.quantum import head as heads
from qgen.quantum.head import Head, Settings

_QUBITS = flags.DEFINE_integer("qubits", 10, "Width of the quantum machine's circuit.")
_BATCH = flags.DEFINE_integer("batch", 64, "Examples per step.")
_FEATURES = flags.DEFINE_integer("features", 768, "Features of an example.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Alternating rounds of each measurement.")
_SST2 = flags.DEFINE_string("sst2", "", "Folder with train.tsv of SST-2; without it sentences are not encoded.")
_SENTENCES = flags.DEFINE_integer("sentences", 2000, "Phrases that are encoded.")
_THREADS = flags.DEFINE_integer("threads", 2, "PyTorch's threads.")


WARM = 1000
"""Phrases that compile every program and show that the peers agree."""


def medians(peers: dict[str, Callable[[], Any]], rounds: int, repeats: int = 1, warm: bool = False) -> dict[str, float]:
    """Seconds per call of each peer: the median of alternating rounds; a first call warms up what is not `warm`."""
    taken: dict[str, list[float]] = {name: [] for name in peers}
    for fn in () if warm else peers.values():
        fn()
    for _ in range(rounds):
        for name, fn in peers.items():
            begun = time.perf_counter()
            for _ in range(repeats):
                fn()
            taken[name].append((time.perf_counter() - begun) / repeats)
    return {name: float(np.median(values)) for name, values in taken.items()}


def steps(head: Head, batch: int) -> dict[str, Callable[[], Any]]:
    """One training step (loss, gradient, Adam) of the same head by qgen and by PennyLane, from the same start."""
    params = heads.init(jax.random.key(0), head)
    x = jax.random.normal(jax.random.key(1), (batch, head.features))
    y = jax.random.bernoulli(jax.random.key(2), shape=(batch,)).astype(jnp.int32)
    optimiser = optax.adam(0.01)
    moments = optimiser.init(params)

    def step_of(loss: Callable[[Any], Any]) -> Callable[[], Any]:
        def step(params: Any, moments: Any) -> tuple[Any, Any, Any]:
            value, slope = jax.value_and_grad(loss)(params)
            updates, moments = optimiser.update(slope, moments)
            return optax.apply_updates(params, updates), moments, value

        compiled = jax.jit(step)
        return lambda: jax.block_until_ready(compiled(params, moments))

    made = {
        "qgen": step_of(lambda own: heads.loss(own, x, y, head, Settings())),
        "pennylane": step_of(lambda own: pennylane_loss(own, x, y, head)),
    }
    values = {name: float(fn()[2]) for name, fn in made.items()}
    if abs(values["qgen"] - values["pennylane"]) > 1e-4:
        raise RuntimeError(f"The peers compute different losses: {values}.")
    return made


def pennylane_loss(params: Any, x: Any, y: Any, head: Head) -> Any:
    """The head as a user of PennyLane writes it: default.qubit, parameter broadcasting, backpropagation."""
    import pennylane as qml

    def rings(angles: Any, wires: int, layers: int) -> None:
        place = 0
        for _ in range(layers):
            for offset in range(1, head.connectivity + 1):
                for wire in range(wires):
                    qml.CNOT([wire, (wire + offset) % wires])
                    qml.RY(angles[place], (wire + offset) % wires)
                    place += 1

    n, q = head.encoder_qubits, head.qubits

    @qml.qnode(qml.device("default.qubit", wires=n), interface="jax", diff_method="backprop")
    def encode(states: Any, angles: Any) -> Any:
        qml.StatePrep(states, wires=range(n), validate_norm=False)
        rings(angles, n, head.encoder_layers)
        return [qml.expval(qml.Z(wire)) for wire in range(n)]

    @qml.qnode(qml.device("default.qubit", wires=q), interface="jax", diff_method="backprop")
    def machine(uploaded: Any, angles: Any) -> Any:
        for b in range(head.blocks + 1):
            if b < head.blocks:
                for wire in range(q):
                    qml.RY(uploaded[:, b, wire], wire)
            rings(angles[b], q, head.layers)
        return qml.expval(qml.Z(0))

    padded = jnp.pad(x, ((0, 0), (0, 2**n - head.features)))
    states = padded / jnp.linalg.norm(padded, axis=1, keepdims=True)
    found = jnp.concatenate([jnp.stack(encode(states, own), axis=1) for own in params["encoders"]], axis=1)
    means = machine(heads.uploads(found, head, 1.0), params["angles"])
    logits = means * params["weight"][0] + params["bias"]
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, y.astype(logits.dtype)))


def encodings(few: list[str], threads: int) -> dict[str, Callable[[list[str]], np.ndarray]]:
    """Encoding texts with all-MiniLM-L6-v2, tokenising included, by qgen and by transformers on PyTorch.

    All have encoded the few texts, and agree on them.
    """
    loaded = encoder_files.load()
    made: dict[str, Callable[[list[str]], np.ndarray]] = {"qgen": lambda texts: encoder.encode(loaded, texts)}
    own = made["qgen"](few)
    if not all(importlib.util.find_spec(name) for name in ("torch", "transformers")):
        return made
    import torch  # pyright: ignore[reportMissingImports]
    from transformers import AutoModel  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(threads)
    model = AutoModel.from_pretrained(encoder_files.package_folder()).eval()

    def peer(size: int) -> Callable[[list[str]], np.ndarray]:
        def encode(texts: list[str]) -> np.ndarray:
            """Batches of texts of about equal length, padded to the longest: sentence-transformers' way."""
            ids = encoder.tokenised(loaded, texts)
            order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
            found = np.zeros((len(ids), loaded.config.width), np.float32)
            with torch.inference_mode():
                for first in range(0, len(order), size):
                    places = order[first : first + size]
                    longest = len(ids[places[0]])
                    tokens = torch.tensor([ids[p] + [0] * (longest - len(ids[p])) for p in places])
                    mask = torch.tensor([[1] * len(ids[p]) + [0] * (longest - len(ids[p])) for p in places])
                    hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state
                    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
                    found[places] = torch.nn.functional.normalize(mean, dim=1).numpy()
            return found

        return encode

    for size in (32, 128):
        made[f"pytorch, batches of {size}"] = peer(size)
        worst = float(np.abs(made[f"pytorch, batches of {size}"](few) - own).max())
        if worst > 1e-4:
            raise RuntimeError(f"The peers compute different vectors: up to {worst} apart.")
    return made


def main() -> None:
    """Measures and prints."""
    head = Head(_FEATURES.value, _QUBITS.value)
    found = medians(steps(head, _BATCH.value), _ROUNDS.value, repeats=5)
    own, rival = 1e3 * found["qgen"], 1e3 * found["pennylane"]
    cli.console.print(
        f"training step, {head.features} features, {head.qubits} qubits, batch {_BATCH.value}: qgen {own:.2f} ms, "
        f"PennyLane default.qubit with jit {rival:.2f} ms: {rival / own:.1f}x"
    )
    if not _SST2.value:
        return
    texts, _ = language_model.read(Path(_SST2.value) / "train.tsv")
    picked = np.random.default_rng(0).permutation(len(texts))[: _SENTENCES.value]
    chosen = [texts[place] for place in picked]
    peers = {name: functools.partial(peer, chosen) for name, peer in encodings(chosen[:WARM], _THREADS.value).items()}
    found = medians(peers, _ROUNDS.value, warm=True)
    for name, seconds in found.items():
        cli.console.print(f"encoding {len(picked)} phrases, {name}: {seconds:.2f} s")
    rival = min((seconds for name, seconds in found.items() if name != "qgen"), default=None)
    if rival is None:
        cli.console.print("torch and transformers are not installed: nothing to compare with")
    else:
        cli.console.print(f"qgen takes {found['qgen'] / rival:.2f} of PyTorch's time")


if __name__ == "__main__":
    cli.run(main)
