"""Every adapter against a plain numpy construction, and all of them in a model."""

import concurrent.futures
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
import scipy.linalg

from qgen import circuits
from qgen.circuits import Angle, Circuit, gate
from qgen.lm import adapters, quantise, train, transformer, weights
from qgen.lm.adapters import ADAPTERS, Boft, Compound, Lokr, Lora, Quanta, QuantumPeft, RsLora, TinyLora, Vera
from qgen.lm.adapters.quantum_peft import n_angles, orthogonal
from qgen.lm.adapters.structured import cayley
from qgen.lm.adapters.tensors import compounds
from qgen.lm.train import Recipe
from tests.lm import reference

FLOAT32 = {"atol": 2e-5, "rtol": 2e-5}
STEPS = 30
apply = jax.jit(transformer.apply, static_argnames="config")
rotations = jax.jit(cayley, static_argnums=1)
minors_of = jax.jit(compounds, static_argnums=1)
factors = jax.jit(orthogonal, static_argnums=(1, 2, 3, 4))
SHALLOW = transformer.Config(vocabulary=23, context=12, width=8, depth=1, heads=2, mlp_ratio=2)
"""The smallest model that trains: where a test compiles the training of every adapter anew."""


@pytest.fixture(scope="module")
def shallow():
    return transformer.init(jax.random.key(11), SHALLOW)


def started(adapter, shape, seed=3):
    """A base and a start whose trained numbers are no longer the first ones, in numpy too."""
    key = jax.random.key(seed)
    base = jax.random.normal(key, shape)
    start = adapter.init(jax.random.fold_in(key, 1), base)
    moved = jax.tree.map(
        lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), start.trained
    )
    wide = [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), part) for part in (base, moved, start.frozen)]
    return base, start, moved, *wide


def dense(adapter, base, trained, frozen):
    return np.asarray(jax.jit(lambda *given: weights.dense(adapter.stored(*given)))(base, trained, frozen))


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_start_changes_nothing_and_every_number_learns(name):
    adapter = ADAPTERS[name]()
    base, start, moved, *_ = started(adapter, (12, 20))

    @jax.jit
    def slope(trained):
        def error(trained):
            matrix = weights.dense(adapter.stored(base, trained, start.frozen))
            return jnp.sum((matrix - 1.5) ** 2), matrix

        return jax.grad(error, has_aux=True)(trained)

    first, same = slope(start.trained)
    later, changed = slope(moved)  # where a factor of zero no longer hides the others
    np.testing.assert_allclose(same, base, **FLOAT32)
    assert np.abs(changed - base).max() > 1e-3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((first, later)))
    assert sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(first)) > 0
    assert all(float(np.abs(leaf).sum()) > 0 for leaf in jax.tree.leaves(later))


@pytest.mark.parametrize(("adapter", "factor"), [(Lora(3, 6.0), 2.0), (RsLora(4, 6.0), 3.0), (Lora(3), 1.0)])
def test_lora_is_its_formula(adapter, factor):
    base, start, moved, wide, trained, _ = started(adapter, (12, 7))
    wanted = wide + factor * trained["a"] @ trained["b"]
    np.testing.assert_allclose(dense(adapter, base, moved, start.frozen), wanted, **FLOAT32)


def test_vera_is_its_formula():
    adapter = Vera(rank=5)
    base, start, moved, wide, trained, frozen = started(adapter, (12, 7))
    wanted = wide + frozen["a"] @ np.diag(trained["d"]) @ frozen["b"] @ np.diag(trained["b"])
    np.testing.assert_allclose(dense(adapter, base, moved, start.frozen), wanted, **FLOAT32)


def test_tinylora_is_its_formula():
    adapter = TinyLora(rank=2, width=5)
    base, start, moved, wide, trained, frozen = started(adapter, (12, 7))
    u, s, vt = np.linalg.svd(wide)
    mixer = sum(v * p for v, p in zip(trained["v"], frozen["mixers"], strict=True))
    signs = np.sign(np.sum(frozen["b"] * vt[:2], axis=1))  # a singular pair is defined up to its sign
    wanted = wide + u[:, :2] * signs @ np.diag(s[:2]) @ mixer @ (vt[:2] * signs[:, None])
    np.testing.assert_allclose(dense(adapter, base, moved, start.frozen), wanted, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize(("adapter", "small"), [(Lokr(1, 3.0), (3, 4)), (Lokr(8), (3, 4)), (Lokr(1, factor=2), (2, 2))])
def test_lokr_is_a_kronecker_product(adapter, small):
    base, start, moved, wide, trained, _ = started(adapter, (12, 20))
    assert trained["w1"].shape == small
    w2 = trained["w2"] if adapter.rank == 8 else trained["a"] @ trained["b"]
    scale = 3.0 if adapter.alpha else 1.0
    np.testing.assert_allclose(
        dense(adapter, base, moved, start.frozen), wide + scale * np.kron(trained["w1"], w2), **FLOAT32
    )


def test_cayley_gives_the_rotation_of_its_generator():
    skew = jnp.asarray([[0.3, -0.7, 0.2], [1.1, 0.4, -0.6]])
    for turn, (a, b, c) in zip(np.asarray(rotations(skew, 3)), np.asarray(skew), strict=True):
        s = np.array([[0, a, b], [-a, 0, c], [-b, -c, 0]])
        angle = math.sqrt(a * a + b * b + c * c)
        np.testing.assert_allclose(turn, scipy.linalg.expm(s * 2 * math.atan(angle) / angle), **FLOAT32)
    with pytest.raises(ValueError, match="`skew` must have shape"):
        cayley(skew, 4)


def test_boft_is_a_product_of_sparse_rotations():
    adapter = Boft(block=3, factors=2)
    base, start, moved, wide, trained, _ = started(adapter, (18, 5))
    matrix = wide
    for place, stride in enumerate((1, 3)):
        turns = np.asarray(rotations(jnp.asarray(trained["skew"][place], jnp.float32), 3), np.float64)
        factor = np.zeros((18, 18))
        corners = [n for n in range(18) if n // stride % 3 == 0]
        for turn, corner in zip(turns, corners, strict=True):
            group = corner + stride * np.arange(3)
            factor[np.ix_(group, group)] = turn
        np.testing.assert_allclose(factor @ factor.T, np.eye(18), **FLOAT32)
        matrix = factor @ matrix
    np.testing.assert_allclose(dense(adapter, base, moved, start.frozen), matrix * trained["scale"], **FLOAT32)
    plain = Boft(block=3, factors=2, scaled=False)
    gram = dense(plain, base, {"skew": moved["skew"]}, {})
    np.testing.assert_allclose(gram.T @ gram, wide.T @ wide, atol=1e-4, rtol=1e-4)


def two_design(n, layers):
    """The circuit's gates in words: (qubit,) for the next RY, (a, b) for CZ."""
    ops = [(q,) for q in range(n)]
    for _ in range(layers):
        for first in (0, 1):
            pairs = [(q, q + 1) for q in range(first, n - 1, 2)]
            ops += pairs + [(q,) for pair in pairs for q in pair]
    return ops


@pytest.mark.parametrize(("n", "layers"), [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1)])
def test_orthogonal_factors_are_the_circuits_columns(n, layers):
    angles = np.random.default_rng(n).uniform(-3, 3, n_angles(n, layers))
    columns = 3 if n > 1 else 2
    words = two_design(n, layers)

    def pennylane():
        left = iter(angles)
        for word in words:
            qml.RY(next(left), word) if len(word) == 1 else qml.CZ(word)

    matrix = qml.matrix(pennylane, wire_order=range(n))().real
    made = np.asarray(factors(jnp.asarray(angles, jnp.float32), n, layers, columns))
    np.testing.assert_allclose(made, matrix[:, :columns], **FLOAT32)
    np.testing.assert_allclose(made.T @ made, np.eye(columns), **FLOAT32)
    places = itertools.count()
    circuit = Circuit(n, tuple(gate("ry", w[0], Angle(next(places))) if len(w) == 1 else gate("cz", w) for w in words))
    assert circuit.n_params == n_angles(n, layers)
    state = jnp.zeros(2**n, jnp.complex64).at[1].set(1)
    np.testing.assert_allclose(circuits.apply(circuit, angles, state), made[:, 1], **FLOAT32)


def test_quantum_peft_is_its_formula():
    adapter = QuantumPeft(rank=2, layers=1, alpha=3.0)
    base, start, moved, wide, trained, _ = started(adapter, (12, 8))
    u = np.asarray(factors(moved["u"], 4, 1, 2), np.float64)[:12]
    v = np.asarray(factors(moved["v"], 3, 1, 2), np.float64)
    wanted = wide + 1.5 * u @ np.diag(trained["strengths"]) @ v.T
    np.testing.assert_allclose(dense(adapter, base, moved, start.frozen), wanted, **FLOAT32)


def test_quantum_peft_without_entanglement_is_a_kronecker_product_and_frozen_angles_stay():
    angles = np.linspace(-2.0, 2.5, n_angles(3, 1), dtype=np.float32)
    made = factors(angles, 3, 1, 8, False)
    sums = [angles[[0, 3]].sum(), angles[[1, 4, 5]].sum(), angles[[2, 6]].sum()]
    turns = [np.array([[np.cos(t / 2), -np.sin(t / 2)], [np.sin(t / 2), np.cos(t / 2)]]) for t in sums]
    np.testing.assert_allclose(made, functools.reduce(np.kron, turns), **FLOAT32)
    frozen, free = QuantumPeft(3, frozen=True), QuantumPeft(3)
    start, other = (adapter.init(jax.random.key(1), jnp.ones((12, 8))) for adapter in (frozen, free))
    assert frozen.count((12, 8)) == 3 == sum(leaf.size for leaf in jax.tree.leaves(start.trained))
    np.testing.assert_array_equal(start.frozen["u"], other.trained["u"])
    strengths = {"strengths": jnp.asarray([0.5, -1.0, 2.0])}
    base = jnp.zeros((12, 8))
    wanted = dense(free, base, other.trained | strengths, other.frozen)
    np.testing.assert_allclose(dense(frozen, base, strengths, start.frozen), wanted, **FLOAT32)


@pytest.mark.parametrize(("axes", "shape"), [((2, 3, 4), (24, 24)), ((3, 4), (10, 12)), ((4, 2), (7, 3))])
def test_quanta_is_a_product_of_embedded_tensors(axes, shape):
    adapter = Quanta(axes)
    base, start, moved, wide, trained, frozen = started(adapter, shape)

    def matrix(tensors):
        result = np.eye(math.prod(axes))
        for a, b in itertools.combinations(range(len(axes)), 2):
            embedded = np.zeros((math.prod(axes),) * 2)
            for row in np.ndindex(*axes):
                for to_a, to_b in np.ndindex(axes[a], axes[b]):
                    column = list(row)
                    column[a], column[b] = to_a, to_b
                    entry = tensors[f"{a}_{b}"][row[a] * axes[b] + row[b], to_a * axes[b] + to_b]
                    embedded[np.ravel_multi_index(row, axes), np.ravel_multi_index(column, axes)] = entry
            result = result @ embedded
        return result

    wanted = wide + (matrix(trained) - matrix(frozen))[: shape[0], : shape[1]]
    np.testing.assert_allclose(dense(adapter, base, moved, start.frozen), wanted, atol=1e-4, rtol=1e-4)


def test_quanta_pads_a_side_without_factors():
    assert Quanta(3).sizes((7, 5)) == (2, 2, 2)
    assert Quanta(2).sizes((12, 10)) == (3, 4)
    assert Quanta(3).sizes((128, 512)) == (8, 8, 8)


def test_compounds_are_all_minors_and_keep_orthogonality():
    matrix = np.random.default_rng(2).normal(size=(5, 5))
    for k, made in enumerate(minors_of(jnp.asarray(matrix, jnp.float32), 4), start=1):
        sets = list(itertools.combinations(range(5), k))
        minors = [[np.linalg.det(matrix[np.ix_(rows, columns)]) for columns in sets] for rows in sets]
        np.testing.assert_allclose(made, minors, atol=2e-4, rtol=2e-4)
    turn = rotations(jnp.linspace(-0.5, 0.8, 10), 5)
    for made in minors_of(turn, 3):
        np.testing.assert_allclose(made @ made.T, np.eye(len(made)), **FLOAT32)
    with pytest.raises(ValueError, match=r"`order` must lie in \[1, 5\]"):
        compounds(turn, 6)


def test_the_second_compound_is_what_beam_splitters_do_to_two_photons():
    """RBS gates (Givens rotations of |01>, |10>) on the strings of k ones, by PennyLane."""
    angles = [0.7, -0.4, 1.2]
    small = np.eye(4)
    for q, angle in enumerate(angles):
        turn = np.eye(4)
        turn[q : q + 2, q : q + 2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        small = turn @ small

    def splitters():
        for q, angle in enumerate(angles):
            qml.SingleExcitation(2 * angle, [q, q + 1])

    whole = qml.matrix(splitters, wire_order=range(4))().real
    strings = [sum(2 ** (3 - q) for q in ones) for ones in itertools.combinations(range(4), 2)]
    singles = [2 ** (3 - q) for q in range(4)]
    small_seen = whole[np.ix_(singles, singles)]
    np.testing.assert_allclose(np.abs(small_seen), np.abs(small), **FLOAT32)
    made = compounds(jnp.asarray(small_seen, jnp.float32), 2)[1]
    np.testing.assert_allclose(made, whole[np.ix_(strings, strings)], **FLOAT32)


def test_compound_blocks_are_direct_sums_with_untouched_rest():
    adapter = Compound(order=2, blocks=2)
    base, start, moved, wide, _, _ = started(adapter, (15, 4))
    assert adapter.side((15, 4)) == 3  # 3 + 3 of the 7 inputs of a block
    wanted = wide.copy()
    for block, skew in enumerate(moved["skew"]):
        turn = np.asarray(rotations(skew, 3), np.float64)
        sets = list(itertools.combinations(range(3), 2))
        minors = np.array([[np.linalg.det(turn[np.ix_(rows, columns)]) for columns in sets] for rows in sets])
        whole = scipy.linalg.block_diag(turn, minors)
        wanted[7 * block : 7 * block + 6] = whole @ wide[7 * block : 7 * block + 6]
    np.testing.assert_allclose(dense(adapter, base, moved, start.frozen), wanted, **FLOAT32)


@pytest.mark.parametrize("adapter", [Boft(2), QuantumPeft(4), Compound(1, 2)])
def test_adapters_train_a_quantised_model_and_merge_exactly(adapter, shallow, stream, tokens):
    frozen = quantise.int8(shallow)
    start = adapters.init(jax.random.key(0), frozen, adapter, ("up",))
    fit = train.fit(
        jax.random.key(1),
        start.trained,
        SHALLOW,
        stream,
        Recipe(3e-2, weight_decay=0.0),
        STEPS,
        8,
        objective=adapters.objective(SHALLOW, adapter),
        extra=(frozen, start.frozen, ()),
    )
    assert fit.losses[-5:].mean() < fit.losses[:3].mean() - 0.02
    attached = adapters.attach(frozen, adapter, fit.params, start.frozen)
    merged = adapters.merge(frozen, adapter, fit.params, start.frozen)
    assert isinstance(merged["block_0"]["mlp"]["up"]["kernel"], jax.Array)
    np.testing.assert_allclose(apply(merged, tokens, SHALLOW), apply(attached, tokens, SHALLOW), atol=1e-4, rtol=1e-4)


def test_adapters_in_a_model_are_base_plus_product(params, wide, tokens, config):
    """Attached and merged, against numpy's float64 model."""
    adapter = Lora(3, alpha=6.0)
    start = adapters.init(jax.random.key(4), params, adapter, ("qkv", "down"))
    pairs = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(9), leaf.shape), start.trained)
    changed = jax.tree.map(lambda leaf: leaf, wide)
    for place, pair in pairs.items():
        block, part, name = place.split("/")
        product = np.asarray(pair["a"], np.float64) @ np.asarray(pair["b"], np.float64)
        changed[block][part][name]["kernel"] = wide[block][part][name]["kernel"] + 2 * product
    wanted = reference.logits(changed, tokens, config)
    for made in (adapters.attach, adapters.merge):
        np.testing.assert_allclose(
            apply(made(params, adapter, pairs, start.frozen), tokens, config), wanted, atol=5e-5, rtol=5e-5
        )
    assert not np.allclose(apply(params, tokens, config), wanted, atol=0.05)


def test_training_a_thin_pair_never_forms_a_wide_gradient(params, config, tokens):
    """The point of keeping base, a and b apart: no product of training has the shape of a base."""
    adapter = Lora(2)
    start = adapters.init(jax.random.key(0), params, adapter, ("up",))
    graded = jax.grad(adapters.objective(config, adapter))
    made = jax.make_jaxpr(graded)(start.trained, (params, start.frozen, ()), tokens, tokens, jax.random.key(0))
    shapes = [eqn.outvars[0].aval.shape for eqn in made.eqns if eqn.primitive.name == "dot_general"]
    assert (16, 2) in shapes or (2, 16) in shapes
    assert (16, 40) not in shapes
    assert (40, 16) not in shapes


def test_one_program_trains_all_ranks_and_seeds(shallow, stream):
    """A narrowed start stays narrow, and vmap over ranks and keys equals one run after the other."""
    widest = RsLora(4)
    objective = adapters.objective(SHALLOW, widest)

    def run(key, rank):
        start = widest.narrowed(adapters.init(key, shallow, widest, ("up",)), rank)
        fit = train.fit(
            key,
            start.trained,
            SHALLOW,
            stream,
            Recipe(2e-2),
            4,
            4,
            objective=objective,
            extra=(shallow, start.frozen, ()),
        )
        return fit.params, fit.losses

    keys, ranks = jax.random.split(jax.random.key(0), 2), jnp.asarray([2, 4])
    trained, losses = jax.vmap(run)(keys, ranks)
    pair = trained["block_0/mlp/up"]
    assert not np.any(pair["a"][0, :, 2:]) and not np.any(pair["b"][0, 2:])
    assert np.abs(pair["b"][1]).min(axis=-1).max() > 0
    np.testing.assert_allclose(run(keys[0], ranks[0])[1], losses[0], rtol=1e-5)


def test_places_do_not_depend_on_order(params):
    start = functools.partial(adapters.init, jax.random.key(2), adapter=Lora(1), targets=("up",))
    turned = {name: params[name] for name in reversed(params)}
    for place, pair in start(params).trained.items():
        np.testing.assert_array_equal(pair["a"], start(turned).trained[place]["a"])
    assert adapters.count(params, Lora(1), ("up",)) == 2 * (16 + 40)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lora(0), "`rank` must be at least 1"),
        (lambda: Lora(1, 0.0), "`alpha` must be above 0"),
        (lambda: Vera(0), "`rank` must be at least 1"),
        (lambda: Vera(1, 0.0), "`start` must be above 0"),
        (lambda: TinyLora(0), "`rank` must be at least 1"),
        (lambda: TinyLora(1, 0), "`width` must be at least 1"),
        (lambda: Lokr(0), "`rank` must be at least 1"),
        (lambda: Lokr(1, -1.0), "`alpha` must be above 0"),
        (lambda: Lokr(1, factor=0), "`factor` must be at least 1"),
        (lambda: Boft(1), "`block` must be at least 2"),
        (lambda: Boft(2, 0), "`factors` must be at least 1"),
        (lambda: QuantumPeft(0), "`rank` must be at least 1"),
        (lambda: QuantumPeft(1, 0), "`layers` must be at least 1"),
        (lambda: QuantumPeft(1, 1, -2.0), "`alpha` must be above 0"),
        (lambda: Quanta(1), "`axes` must be at least 2"),
        (lambda: Quanta((4, 1)), "`axes` must be at least 2"),
        (lambda: Quanta(2, -0.1), "`spread` must be at least 0"),
        (lambda: Compound(0), "`order` must be at least 1"),
        (lambda: Compound(1, 0), "`blocks` must be at least 1"),
        (lambda: orthogonal(jnp.zeros(4), 2, 2, 1), "`angles` must have shape"),
        (lambda: orthogonal(jnp.zeros(4), 2, 1, 5), r"`columns` must lie in \[1, 4\]"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (Lora(7), "`rank` must be at most 6 for a matrix 10 x 6, but is 7"),
        (TinyLora(7), "`rank` must be at most 6 for a matrix 10 x 6, but is 7"),
        (QuantumPeft(7), "`rank` must be at most 6 for a matrix 10 x 6, but is 7"),
        (Boft(4), r"4\^1, must divide the matrix's 10 inputs"),
        (Quanta((3, 3)), r"`axes` must have a product of at least 10 for a matrix 10 x 6, but \(3, 3\) has 9"),
        (Compound(2, 5), "`blocks` leaves 2 of 10 inputs per block"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(adapter, message):
    with pytest.raises(ValueError, match=message):
        adapter.count((10, 6))
    with pytest.raises(ValueError, match=message):
        adapter.init(jax.random.key(0), jnp.ones((10, 6)))


def test_unknown_targets_are_listed(params):
    with pytest.raises(ValueError, match="`targets` must be one of: down, head, out, qkv, up; but is 'query'"):
        adapters.init(jax.random.key(0), params, Lora(1), ("query",))
    assert set(adapters.matrices({"dense": 3.0, "deep": {"q": {"kernel": 1}}})) == {"deep/q"}


def test_many_rotations_at_once_do_not_wait_for_each_other():
    many = list(0.1 * jax.random.normal(jax.random.key(0), (6, 15, 64, 28)))
    slopes = jax.jit(jax.vmap(jax.grad(lambda skews: sum(jnp.sum(cayley(skew, 8) ** 3) for skew in skews))))
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        found = pool.submit(lambda: jax.block_until_ready([slopes(many) for _ in range(10)])).result(timeout=120)
    finally:
        pool.shutdown(wait=False)
    assert all(np.isfinite(slope).all() for slope in found[-1])
