"""Parameters from a circuit's distribution: a small network turns (bits of i, p_i) into the i-th chunk of weights.

Quantum-Train and quantum parameter adaptation (Liu et al., arXiv 2405.11304 and 2410.09846): 2^n probabilities of an
n-qubit circuit with few angles, and a mapping network shared by all i, stand for 2^n chunks of weights. The circuit is
needed in training only. Every p is read from shots here, and its slope from the parameter-shift rule, also from shots.
The input is tanh(2^n p - 1) where the papers raise p to the power 0.3, whose slope is infinite at the zeros that shots
give.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits import count, probabilities
from qgen.quantum import generator
from qgen.resources import Resources
from qgen.types import Array, Float, Key, Params

SOURCES = ("circuit", "product", "exact", "fixed", "bits")
"""What stands for p: the entangled circuit's shots; those of the circuit without entanglement; the entangled circuit's
exact distribution, which no finite number of shots gives; a distribution that is given as data; nothing."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The generator's structure.

    Attributes:
        weights: how many weights to make.
        chunk: weights that one basis state stands for.
        layers: RY layers of the circuit.
        hidden: hidden features of the mapping network.
        shots: shots per circuit in training.
        source: a name of SOURCES.
    """

    weights: int
    chunk: int = 32
    layers: int = 4
    hidden: int = 16
    shots: int = 1024
    source: str = "circuit"

    def __post_init__(self) -> None:
        """Refuses sizes below 1 and unknown sources."""
        for name in ("weights", "chunk", "layers", "hidden", "shots"):
            check.at_least(name, getattr(self, name), 1)
        check.one_of("source", self.source, SOURCES)

    @property
    def n_qubits(self) -> int:
        """Enough qubits for one basis state per chunk."""
        return max(1, math.ceil(math.log2(math.ceil(self.weights / self.chunk))))

    @property
    def design(self) -> generator.Design:
        """The circuit whose distribution is read."""
        return generator.Design(self.n_qubits, self.layers, entangled=self.source != "product")

    @property
    def has_circuit(self) -> bool:
        """Whether there is a circuit at all."""
        return self.source not in ("fixed", "bits")

    @property
    def inputs(self) -> int:
        """What the mapping network reads: the bits, and p where there is one."""
        return self.n_qubits + (self.source != "bits")


def size(config: Config) -> int:
    """How many numbers are trained: those of the mapping network, and the angles."""
    angles = config.design.n_params if config.has_circuit else 0
    return (config.inputs + 1 + config.chunk) * config.hidden + angles


def init(key: Key, config: Config) -> Params:
    """Fresh parameters that generate zeros: `angles` (where there is a circuit), `inner`, `bias`, `outer`.

    The network's last layer starts at zero, as a LoRA's does; the angles get a slope as soon as it has moved.
    """
    angle_key, inner_key = jax.random.split(key)
    params = {
        "inner": jax.random.normal(inner_key, (config.inputs, config.hidden)) * config.inputs**-0.5,
        "bias": jnp.zeros(config.hidden),
        "outer": jnp.zeros((config.hidden, config.chunk)),
    }
    if config.has_circuit:
        params["angles"] = generator.start(angle_key, config.design, 0.5)
    return params


def random_distribution(key: Key, config: Config) -> Float[Array, " outcomes"]:
    """One draw that looks like a random state's distribution (Porter-Thomas), for the source "fixed"."""
    draw = jax.random.exponential(key, (2**config.n_qubits,))
    return draw / draw.sum()


def uniform_distribution(config: Config) -> Float[Array, " outcomes"]:
    """The same p for all i, for the source "fixed": a classical hypernetwork on the bits alone."""
    return jnp.full(2**config.n_qubits, 2.0**-config.n_qubits, jnp.float32)


def weights(
    key: Key, params: Params, config: Config, fixed: Float[Array, " outcomes"] | None = None
) -> Float[Array, " weights"]:
    """The generated weights, from one read-out of the circuit.

    Args:
        key: random key of the shots.
        params: what `init` made, trained or not.
        config: the structure.
        fixed: the distribution, for the source "fixed".

    Raises:
        ValueError: if the source is "fixed" and `fixed` is missing.
    """
    n = config.n_qubits
    places = np.arange(2**n)
    bits = jnp.asarray(1.0 - 2.0 * ((places[:, None] >> np.arange(n)[::-1]) & 1), jnp.float32)
    level = () if config.source == "bits" else (_level(key, params, config, fixed)[:, None],)
    inner = jnp.tanh(jnp.concatenate([bits, *level], axis=1) @ params["inner"] + params["bias"][None, :])
    return (inner @ params["outer"]).reshape(-1)[: config.weights]


def _level(key: Key, params: Params, config: Config, fixed: Array | None) -> Float[Array, " outcomes"]:
    """What the network reads of p."""
    if config.source == "exact":
        distribution = probabilities(generator.circuit(config.design), params["angles"])
    elif config.has_circuit:
        distribution = read_out(config.design, config.shots, key, params["angles"])
    elif fixed is None:
        raise ValueError("Argument `fixed` must hold the distribution for the source 'fixed', but is None.")
    else:
        distribution = fixed
    return jnp.tanh(2**config.n_qubits * distribution - 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def read_out(
    design: generator.Design, shots: int, key: Key, angles: Float[Array, " angles"]
) -> Float[Array, " outcomes"]:
    """Shares of the outcomes in `shots` shots; its slope comes from parameter-shift circuits of as many shots each."""
    return generator.read_out(jax.random.fold_in(key, 0), design, angles, shots)


def _forward(design: generator.Design, shots: int, key: Key, angles: Array) -> tuple[Array, tuple[Key, Array]]:
    return read_out(design, shots, key, angles), (key, angles)


def _backward(design: generator.Design, shots: int, kept: tuple[Key, Array], cotangent: Array) -> tuple[None, Array]:
    key, angles = kept
    slopes = generator.shifted(jax.random.fold_in(key, 1), design, angles, shots)
    return None, slopes @ cotangent


read_out.defvjp(_forward, _backward)


def resources(config: Config, steps: int, read_outs: int = 1) -> tuple[Resources, ...]:
    """What training steps and the read-outs of trained generators need: 1 + 2 P circuits a step, P the angles.

    Nothing for a source without shots.
    """
    if config.source not in ("circuit", "product"):
        return ()
    training = generator.resources(config.design, "adam", steps=steps, shots=config.shots, final_shots=config.shots)
    if read_outs == 1:
        return training
    return (*training, count(generator.circuit(config.design), shots=config.shots, circuits=read_outs - 1))
