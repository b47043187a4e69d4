"""Adapters: few trained numbers that change a matrix, merged exactly when done."""

from collections.abc import Callable

from qgen.lm.adapters.base import (
    BLOCKS,
    Adapter,
    Start,
    adapted,
    attach,
    count,
    init,
    matrices,
    merge,
    objective,
    replaced,
)
from qgen.lm.adapters.low_rank import Full, Lora, RsLora, TinyLora, Vera
from qgen.lm.adapters.quantum_peft import QuantumPeft
from qgen.lm.adapters.structured import Boft, Lokr
from qgen.lm.adapters.tensors import Compound, Quanta

ADAPTERS: dict[str, Callable[..., Adapter]] = {
    "full": Full,
    "lora": Lora,
    "rslora": RsLora,
    "vera": Vera,
    "lokr": Lokr,
    "boft": Boft,
    "tinylora": TinyLora,
    "quantum_peft": QuantumPeft,
    "quanta": Quanta,
    "compound": Compound,
}
"""Name -> the adapter's settings, a frozen dataclass that does the work."""

INSPIRED = ("quantum_peft", "quanta", "compound")
"""The adapters that come from quantum computing; all of them run classically and claim nothing quantum."""

__all__ = [
    "ADAPTERS",
    "BLOCKS",
    "INSPIRED",
    "Adapter",
    "Boft",
    "Compound",
    "Full",
    "Lokr",
    "Lora",
    "Quanta",
    "QuantumPeft",
    "RsLora",
    "Start",
    "TinyLora",
    "Vera",
    "adapted",
    "attach",
    "count",
    "init",
    "matrices",
    "merge",
    "objective",
    "replaced",
]
