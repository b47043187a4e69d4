"""How fast a population of hybrid classifiers trains: our sweep, our loop, and loops over PennyLane, interleaved.

The job is the one of the speed claims: 8 qubits, 4 layers, batch 32, every configuration with a learning rate, a weight
decay and an angle scale of its own. Every peer trains the same loss with the same optimiser from angles of the same
distribution. Compilation is timed apart and shown.
"""

import functools
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from qgen import circuits as qc
from qgen.search.programs import Objective
from qgen.search.space import Float, Space
from qgen.search.sweep import sweep
from qgen.types import Array, Key

QUBITS, LAYERS, BATCH, ROWS = 8, 4, 32, 256
SPACE = Space(
    {
        "learning_rate": Float(1e-3, 0.1, log=True),
        "weight_decay": Float(1e-6, 1e-2, log=True),
        "angle_scale": Float(0.01, 2.0, log=True),
    }
)


class Timing(NamedTuple):
    """What one peer took.

    Attributes:
        compile_s: until the first configuration could start training, once; for the peer that rebuilds its objective
            in every trial, nothing: it is inside `train_s`.
        train_s: all configurations after that.
        losses: their last losses, [configurations].
    """

    compile_s: float
    train_s: float
    losses: np.ndarray


@functools.cache
def _data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.uniform(-np.pi / 2, np.pi / 2, (ROWS, QUBITS)).astype(np.float32)
    return x, np.sign(x[:, 0] * x[:, 1] + 0.2 * x[:, 2]).astype(np.float32)


def circuit() -> qc.Circuit:
    """An RY encoding, then layers of RY, RZ and a ring of CNOTs."""
    return qc.encodings.angle(QUBITS, "ry") + qc.ansatz.hardware_efficient(QUBITS, LAYERS)


def _ours(angles: Array, x: Array, engine: str = "auto") -> Array:
    made = circuit()
    return jax.vmap(lambda row: qc.expectation(made, (row, angles), qc.z(0), engine=engine))(x)


def _pennylane() -> Callable[[Array, Array], Array]:
    import pennylane as qml

    @qml.qnode(qml.device("default.qubit", wires=QUBITS), interface="jax", diff_method="backprop")
    def node(angles: Any, x: Any) -> Any:
        for q in range(QUBITS):
            qml.RY(x[:, q], q)
        for layer in angles.reshape(LAYERS, 2, QUBITS):
            for q in range(QUBITS):
                qml.RY(layer[0, q], q)
            for q in range(QUBITS):
                qml.RZ(layer[1, q], q)
            for q in range(QUBITS):
                qml.CNOT([q, (q + 1) % QUBITS])
        return qml.expval(qml.Z(0))

    return lambda angles, x: node(angles, x).astype(jnp.float32)


def _pieces(model: Callable[[Array, Array], Array]) -> tuple[Any, Any, Any]:
    """init, step and loss of a training with a given circuit simulator."""
    features, labels = map(jnp.asarray, _data())

    def error(params: Any, x: Array, y: Array) -> Array:
        angles, scale = params
        return jnp.mean((scale * model(angles, x) - y) ** 2)

    def init(key: Key, config: Mapping[str, Any]) -> Any:
        params = (config["angle_scale"] * jax.random.normal(key, (2 * LAYERS * QUBITS,)), jnp.ones(()))
        return params, optax.scale_by_adam().init(params)

    def step(key: Key, state: Any, config: Mapping[str, Any], t: Array) -> Any:
        params, moments = state
        rows = jax.random.randint(key, (BATCH,), 0, ROWS)
        slope = jax.grad(error)(params, features[rows], labels[rows])
        move, moments = optax.scale_by_adam().update(slope, moments)

        def moved(leaf: Array, change: Array) -> Array:
            return leaf - config["learning_rate"] * (change + config["weight_decay"] * leaf)

        return jax.tree.map(moved, params, move), moments

    def loss(state: Any, config: Mapping[str, Any]) -> Array:
        return error(state[0], features, labels)

    return init, step, loss


def objective(steps: int, engine: str = "auto") -> Objective:
    """The job as a study would search it."""
    return Objective("hybrid_8x4", *_pieces(functools.partial(_ours, engine=engine)), steps)


def _run(pieces: tuple[Any, Any, Any], steps: int) -> Callable[[Array, dict[str, Array]], Array]:
    """One training as a function of its key's data and its traced hyperparameters."""
    init, step, loss = pieces

    def run(data: Array, config: dict[str, Array]) -> Array:
        key = jax.random.wrap_key_data(data)
        state = jax.lax.fori_loop(
            0, steps, lambda t, state: step(jax.random.fold_in(key, t), state, config, t), init(key, config)
        )
        return loss(state, config)

    return run


def population(n: int) -> tuple[np.ndarray, Key]:
    """n configurations and their keys."""
    return np.random.default_rng(1).uniform(size=(n, len(SPACE.axes))), jax.random.split(jax.random.key(2), n)


def by_sweep(n: int, steps: int, mesh: Mesh | None = None, engine: str = "auto") -> Timing:
    """Our sweep, on the compiled engine where there is one, or on the plain one."""
    points, keys = population(n)
    made = _objective(n, steps, engine)
    first = sweep(made, SPACE, points, keys, mesh=mesh)
    begun = time.perf_counter()
    found = sweep(made, SPACE, points, keys, mesh=mesh)
    return Timing(first.compile_s, time.perf_counter() - begun, found.losses)


@functools.cache
def _objective(n: int, steps: int, engine: str) -> Objective:
    """An objective of its own for every population, so that none finds another's programs compiled."""
    return objective(steps, engine)


def by_loop(n: int, steps: int) -> Timing:
    """A Python loop over our own jitted run with traced hyperparameters."""
    return _looped(_compiled("ours", steps), n)


def by_pennylane_loop(n: int, steps: int) -> Timing:
    """The same loop over PennyLane's default.qubit: one compiled function for all configurations."""
    return _looped(_compiled("pennylane", steps), n)


@functools.cache
def _compiled(peer: str, steps: int) -> tuple[Any, float]:
    points, keys = population(1)
    arguments = _arguments(points[0], np.asarray(jax.random.key_data(keys))[0])
    begun = time.perf_counter()
    run = _run(_pieces(_ours if peer == "ours" else _pennylane()), steps)
    made = jax.jit(run).lower(*arguments).compile()
    return made, time.perf_counter() - begun


def _arguments(point: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    return data, {name: np.float32(value) for name, value in SPACE.config(point).items()}


def _looped(compiled: tuple[Any, float], n: int) -> Timing:
    points, keys = population(n)
    data = np.asarray(jax.random.key_data(keys))
    begun = time.perf_counter()
    losses = [float(compiled[0](*_arguments(point, row))) for point, row in zip(points, data, strict=True)]
    return Timing(compiled[1], time.perf_counter() - begun, np.array(losses))


def by_rebuilding(n: int, steps: int) -> Timing:
    """An Optuna loop over PennyLane as people write it: the objective is built and compiled anew in every trial."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    points, keys = population(n)
    data = np.asarray(jax.random.key_data(keys))
    losses = []

    def trial_loss(trial: Any) -> float:
        point = points[trial.number]
        config = SPACE.config(point)
        for name, value in config.items():
            trial.suggest_float(name, value, value)
        init, step, loss = _pieces(_pennylane())
        key = jax.random.wrap_key_data(jnp.asarray(data[trial.number]))
        state = init(key, config)
        stepped = jax.jit(lambda state, t: step(jax.random.fold_in(key, t), state, config, t))
        for t in range(steps):
            state = stepped(state, t)
        losses.append(float(loss(state, config)))
        return losses[-1]

    try:
        begun = time.perf_counter()
        optuna.create_study().optimize(trial_loss, n_trials=n)
        return Timing(0.0, time.perf_counter() - begun, np.array(losses))
    finally:
        optuna.logging.set_verbosity(level)


PEERS: Mapping[str, Callable[[int, int], Timing]] = {
    "qgen/sweep": by_sweep,
    "qgen/sweep_xla": functools.partial(by_sweep, engine="xla"),
    "qgen/loop": by_loop,
    "pennylane/loop": by_pennylane_loop,
    "pennylane/rebuilt": by_rebuilding,
}

MOST = {"pennylane/loop": 4, "pennylane/rebuilt": 1}
"""Loops are linear in the population, and PennyLane's take long: how many trainings they run at most."""


def peers() -> list[str]:
    """The names of PEERS that can be imported here."""
    return [peer for peer in PEERS if peer.startswith("qgen/") or importlib.util.find_spec("pennylane")]


class Row(NamedTuple):
    """A peer's medians.

    Attributes:
        peer: its name.
        population: configurations of the claim.
        ran: configurations that were run; for peers whose time is linear in them fewer than the population.
        compile_s: once.
        train_s: of the whole population, scaled up where fewer were run.
    """

    peer: str
    population: int
    ran: int
    compile_s: float
    train_s: float


def compare(
    n: int, steps: int, peers: Sequence[str], repeats: int = 3, most: Mapping[str, int] | None = None
) -> list[Row]:
    """Times the peers in turn, `repeats` times, and takes medians.

    Args:
        n: the population.
        steps: steps of each training.
        peers: names of PEERS.
        repeats: rounds.
        most: peer -> configurations that it runs at most; its time is scaled up, which is exact for loops.

    Raises:
        RuntimeError: if two peers' losses differ, that is if they did not train the same thing.
    """
    found: dict[str, list[Timing]] = {peer: [] for peer in peers}
    ran = {peer: min(n, (most or {}).get(peer, n)) for peer in peers}
    with warnings.catch_warnings():
        # PennyLane asks for double precision and takes what it gets.
        warnings.filterwarnings("ignore", "Explicitly requested dtype")
        for _ in range(repeats):
            for peer in peers:
                found[peer].append(PEERS[peer](ran[peer], steps))
    least = min(ran.values())
    reference = found[peers[0]][0].losses[:least]
    for peer in peers:
        if not np.allclose(found[peer][0].losses[:least], reference, rtol=2e-2, atol=1e-3):
            raise RuntimeError(f"{peer} ends at losses {found[peer][0].losses[:least]}, {peers[0]} at {reference}.")
    return [
        Row(
            peer,
            n,
            ran[peer],
            found[peer][0].compile_s,
            statistics.median(timing.train_s for timing in found[peer]) * n / ran[peer],
        )
        for peer in peers
    ]
