"""Run by test_sharding.py in processes of its own: prints sharded results as JSON. Arguments: processes, rank, port."""

import json

import jax

from tests.processes import join, message

jax.config.update("jax_enable_x64", True)
join()

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from qgen import circuits as qc  # noqa: E402
from qgen.circuits import sharding  # noqa: E402
from tests.circuits.sharding_case import CIRCUIT, OBSERVABLES, PARAMS, START  # noqa: E402


def main() -> None:
    mesh = sharding.qubit_mesh()
    assert mesh.size == 4
    values = jax.jit(lambda p: sharding.expectation(CIRCUIT, p, OBSERVABLES, mesh))(PARAMS)
    gradient = jax.jit(jax.grad(lambda p: sharding.expectation(CIRCUIT, p, OBSERVABLES[0], mesh)))(PARAMS)
    start = jax.make_array_from_callback(START.shape, sharding.sharding(mesh), lambda index: START[index])
    state = jax.jit(lambda p, s: sharding.apply(CIRCUIT, p, mesh, s))(PARAMS, start)
    pieces = {int(s.index[0].start or 0): np.asarray(s.data) for s in state.addressable_shards}

    population = sharding.population_mesh()
    points = np.stack([PARAMS * k for k in range(8)])
    batch = jax.jit(sharding.spread(lambda p: qc.expectation(CIRCUIT, p, OBSERVABLES[0]), population))(points)
    mean = jax.jit(lambda b: jnp.mean(b))(batch)

    def loss(params, factors):
        each = jax.vmap(lambda k: qc.expectation(CIRCUIT, k * params, OBSERVABLES[0]))(factors)
        return jax.lax.pmean(jnp.mean(each), "population")

    specs = (sharding.P(), sharding.P("population"))
    plain = jax.jit(jax.shard_map(jax.grad(loss), mesh=population, in_specs=specs, out_specs=sharding.P()))
    slope = plain(PARAMS, np.arange(8.0))
    print(
        json.dumps(
            {
                "devices": [len(jax.devices()), len(jax.local_devices())],
                "values": np.asarray(values).tolist(),
                "gradient": np.asarray(gradient).tolist(),
                "state": {first: [piece.real.tolist(), piece.imag.tolist()] for first, piece in pieces.items()},
                "mean": float(mean),
                "slope": np.asarray(slope).tolist(),
                "errors": [
                    message(lambda: sharding.apply(qc.Circuit(3, (qc.gate("cx", (0, 1)),)), (), mesh)),
                    message(lambda: sharding.spread(jnp.sin, population)(jnp.ones(6))),
                ],
            }
        )
    )


if __name__ == "__main__":
    main()
