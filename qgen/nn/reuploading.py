"""Data re-uploading (arXiv:1907.02085) between two linear maps: a quantum feed-forward layer, or a quantum head."""

import dataclasses

import jax
from flax import nnx

from qgen import check
from qgen.circuits import Circuit, ansatz, encodings, pauli, repeat
from qgen.nn.layer import QuantumLayer
from qgen.types import Array, Float, Key


@dataclasses.dataclass(frozen=True)
class Reuploading:
    """What a re-uploading layer is made of; called by a model, it builds one.

    Attributes:
        qubits: of the circuit.
        layers: how often the data is encoded, each time before a layer of RY, RZ and a ring of CNOTs.
        entangled: False leaves the CNOTs out.
        frozen: the circuit's angles stay as they were drawn.
        engine: that runs the circuit.
    """

    qubits: int = 4
    layers: int = 3
    entangled: bool = True
    frozen: bool = False
    engine: str = "auto"

    def __post_init__(self) -> None:
        """Refuses sizes below 1."""
        check.at_least("qubits", self.qubits, 1)
        check.at_least("layers", self.layers, 1)

    def __call__(self, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> "Layer":
        """The module."""
        return Layer(self, n_in, n_out, scale, rngs)

    @property
    def untrained(self) -> tuple[str, ...]:
        """The module's parameters that no gradient reaches."""
        return ("circuit",) if self.frozen else ()

    def circuit(self) -> Circuit:
        """RY of the data and a trained layer, again and again; its leading parameters are the data."""
        trained = ("ry", "rz")
        n = self.qubits
        layer = ansatz.hardware_efficient(n, 1, trained) if self.entangled else ansatz.rotations(n, trained)
        return repeat(encodings.angle(n, "ry") + layer, self.layers, shared=n)


class Layer(nnx.Module):
    """Features -> angles -> <X>, <Y>, <Z> of every qubit -> features."""

    def __init__(self, config: Reuploading, n_in: int, n_out: int, scale: float, rngs: nnx.Rngs) -> None:
        """Draws the parameters; the data's angles have deviation 1."""
        n, normal = config.qubits, nnx.initializers.normal
        self.inner = nnx.Linear(n_in, n, kernel_init=normal(n_in**-0.5), rngs=rngs)
        words = [pauli(letter, (q,)) for letter in "XYZ" for q in range(n)]
        self.circuit = QuantumLayer(
            config.circuit(), words, inputs=n, rngs=rngs, init=_normal, engine=config.engine, frozen=config.frozen
        )
        self.out = nnx.Linear(3 * n, n_out, kernel_init=normal(scale * (3 * n) ** -0.5), rngs=rngs)

    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch out"]:
        """The layer, position by position."""
        return self.out(self.circuit(self.inner(x)).astype(x.dtype))


def _normal(key: Key, n_params: int) -> Float[Array, " params"]:
    return 0.3 * jax.random.normal(key, (n_params,))
