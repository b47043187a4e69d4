"""QuantumLayer: a circuit as a flax NNX module, usable in nnx.Sequential; pure underneath: jit, grad and vmap work."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qgen import check, circuits
from qgen.circuits import Circuit, Observable
from qgen.types import Array, Float, Key


def _uniform(key: Key, n_params: int) -> Float[Array, " params"]:
    return jax.random.uniform(key, (n_params,), minval=-jnp.pi, maxval=jnp.pi)


class QuantumLayer(nnx.Module):
    """Features in, expectation values out: y_k = scale_k <O_k> + shift_k after a circuit on data and trained angles.

    The circuit's leading `inputs` parameters are the (transformed) features, the others are trained. So an encoding in
    front is `QuantumLayer(encoding + ansatz, observables, inputs=encoding.n_params, ...)`, and data re-uploading is
    `repeat(encoding + ansatz, times, shared=encoding.n_params)`.

    Attributes:
        angles: the trained angles in radians, [params].
        scale: trained factors, [outputs]; None without post-scaling.
        shift: trained offsets, [outputs]; None without post-scaling.
    """

    def __init__(
        self,
        circuit: Circuit,
        observables: Sequence[Observable],
        *,
        inputs: int,
        rngs: nnx.Rngs,
        transform: Callable[[Array], Array] | None = None,
        post_scale: bool = False,
        init: Callable[[Key, int], Array] = _uniform,
        engine: str = "auto",
        frozen: bool = False,
    ) -> None:
        """Builds the layer.

        Args:
            circuit: the whole circuit.
            observables: one per output, at least one.
            inputs: how many leading parameters of the circuit are data.
            rngs: the stream `params` draws the first angles.
            transform: features [..., features] -> parameters [..., inputs], such as `encodings.iqp_angles`.
            post_scale: multiply and shift every output by trained numbers, 1 and 0 at first.
            init: (key, number) -> the first angles.
            engine: passed on to `circuits.expectation`.
            frozen: keep the angles as they were drawn: no gradient reaches them.

        Raises:
            ValueError: if `inputs` is out of range, there are no observables, or one does not fit the circuit.
        """
        check.within("inputs", inputs, 0, circuit.n_params)
        check.at_least("number of observables", len(observables), 1)
        for observable in observables:
            circuits.observables.check_fits(observable, circuit.n_qubits)
        self.circuit, self.inputs, self.transform = circuit, inputs, transform
        self.engine, self.frozen = engine, frozen
        # Plain tuples compare by value, so that layers built alike share one compiled program.
        self.terms = tuple((o.words, tuple(float(c) for c in o.coefficients)) for o in observables)
        self.angles = nnx.Param(init(rngs.params(), circuit.n_params - inputs))
        self.scale = nnx.Param(jnp.ones(len(observables))) if post_scale else None
        self.shift = nnx.Param(jnp.zeros(len(observables))) if post_scale else None

    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch outputs"]:
        """The outputs for one example [features] or a batch with any leading axes.

        Raises:
            ValueError: if the (transformed) features are not as many as the circuit's inputs.
        """
        data = jnp.asarray(x) if self.transform is None else self.transform(jnp.asarray(x))
        if data.ndim < 1 or data.shape[-1] != self.inputs:
            raise ValueError(f"The circuit takes {self.inputs} inputs, but the features have shape {data.shape}.")
        angles = jax.lax.stop_gradient(self.angles[...]) if self.frozen else self.angles[...]
        observables = [Observable(words, np.array(coefficients)) for words, coefficients in self.terms]

        def one(row: Array) -> Array:
            params = jnp.concatenate([row.astype(angles.dtype), angles])
            return circuits.expectation(self.circuit, params, observables, engine=self.engine)

        rows = data.reshape(-1, self.inputs)
        outputs = jax.vmap(one)(rows).reshape((*data.shape[:-1], len(observables)))
        if self.scale is None or self.shift is None:
            return outputs
        lead = (1,) * (outputs.ndim - 1)
        return outputs * self.scale[...].reshape((*lead, -1)) + self.shift[...].reshape((*lead, -1))
