"""The gradient that is left where a circuit starts, against qubits and layers: rows of the search experiment."""

from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.ledger import Ledger
from qgen.quantum import starts


class Sizes(NamedTuple):
    """Which circuits are looked at.

    Attributes:
        qubits: registers, at `blocks[-1]` blocks.
        blocks: depths, at `qubits[-1]` qubits.
        samples: starts per circuit.
    """

    qubits: tuple[int, ...]
    blocks: tuple[int, ...]
    samples: int


SIZES = {
    "smoke": Sizes((2, 4), (1, 2), 50),
    "default": Sizes((2, 4, 6, 8, 10), (1, 2, 4, 6), 200),
    "paper": Sizes((2, 4, 6, 8, 10, 12, 14), (1, 2, 4, 8, 16), 500),
}


def measure(ledger: Ledger, preset: str) -> None:
    """One row per start and circuit: the mean over angles of the variance of the gradient."""
    sizes = SIZES[preset]
    shapes = [(qubits, sizes.blocks[-1]) for qubits in sizes.qubits]
    shapes += [(sizes.qubits[-1], blocks) for blocks in sizes.blocks[:-1]]
    for name in starts.STARTS:
        for qubits, blocks in shapes:

            def make(name: str = name, qubits: int = qubits, blocks: int = blocks) -> dict[str, Any]:
                found = starts.gradient_variance(jax.random.key(0), name, qubits, blocks, sizes.samples)
                return {"metrics": {"gradient_variance": float(np.mean(found))}}

            config = {"qubits": qubits, "layers": 2 * starts.HALF * blocks, "samples": sizes.samples}
            ledger.row("search_starts", "hardware_efficient", f"quantum/{name}", config, make)
