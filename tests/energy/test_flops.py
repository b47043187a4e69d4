import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from qgen.energy import flops
from qgen.energy.ranges import TableError

N = 12
SQUARE = jax.ShapeDtypeStruct((N, N), jnp.float32)
PRODUCT = 2 * N**3


def test_matmul():
    a, b = jax.ShapeDtypeStruct((7, 11), jnp.float32), jax.ShapeDtypeStruct((11, 13), jnp.float32)
    found = flops.count(lambda a, b: a @ b, a, b)
    assert found == flops.Flops(2 * 7 * 11 * 13, 4 * (7 * 11 + 11 * 13 + 7 * 13))


def test_complex_matmul_is_four_times_as_much():
    a, b = jax.ShapeDtypeStruct((7, 11), jnp.complex64), jax.ShapeDtypeStruct((11, 13), jnp.complex64)
    assert flops.count(lambda a, b: a @ b, a, b).flops == 8 * 7 * 11 * 13


def test_batched_contraction():
    a, b = jax.ShapeDtypeStruct((5, 3, 4, 6), jnp.float32), jax.ShapeDtypeStruct((5, 6, 4, 2), jnp.float32)
    assert flops.count(lambda a, b: jnp.einsum("bija,bajk->bik", a, b), a, b).flops == 2 * 5 * 3 * 4 * 6 * 2


@pytest.mark.parametrize(
    "loop",
    [
        lambda a: jax.lax.scan(lambda c, _: (c @ c, None), a, None, length=10)[0],
        lambda a: jax.lax.fori_loop(0, 10, lambda _, c: c @ c, a),
        lambda a: jax.lax.scan(lambda c, _: (jax.lax.fori_loop(0, 5, lambda _, d: d @ d, c), None), a, None, length=2)[
            0
        ],
    ],
)
def test_a_loop_counts_as_often_as_it_runs(loop):
    """XLA's cost_analysis says one tenth."""
    assert flops.count(loop, SQUARE).flops == 10 * PRODUCT


def test_conditions_take_the_dearest_branch_and_endless_loops_are_flagged():
    def branch(a, p):
        return jax.lax.cond(p, lambda x: x @ x, lambda x: x + 1, a)

    assert flops.count(branch, SQUARE, True).flops == PRODUCT
    endless = flops.count(lambda a: jax.lax.while_loop(lambda c: c[0, 0] < 5, lambda c: c @ c, a), SQUARE)
    assert endless.unbounded
    assert endless.flops == PRODUCT
    assert not flops.count(branch, SQUARE, True).unbounded


def test_attention_by_hand():
    batch, heads, time, width = 2, 3, 17, 8
    shape = jax.ShapeDtypeStruct((batch, heads, time, width), jnp.float32)

    def attention(q, k, v):
        scores = jnp.einsum("bhtd,bhsd->bhts", q, k) * width**-0.5
        scores = scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True))
        weights = jnp.exp(scores)
        return jnp.einsum("bhts,bhsd->bhtd", weights / weights.sum(-1, keepdims=True), v)

    pairs = batch * heads * time * time
    rows = batch * heads * time
    products = 2 * 2 * pairs * width
    elementwise = 4 * pairs  # scale, subtract, exp, divide
    reductions = 2 * (pairs - rows)  # max and sum
    assert flops.count(attention, shape, shape, shape).flops == products + elementwise + reductions


@pytest.mark.parametrize("groups", [1, 3])
def test_convolution_by_hand(groups):
    x, w = jnp.ones((2, 3, 20, 21)), jnp.ones((6, 3 // groups, 5, 4))

    def convolve(x, w):
        return jax.lax.conv_general_dilated(x, w, (1, 2), "VALID", feature_group_count=groups)

    out = jax.eval_shape(convolve, x, w)
    assert flops.count(convolve, x, w).flops == 2 * out.size * (3 // groups) * 5 * 4


def test_calls_are_entered():
    @jax.custom_vjp
    def square(x):
        return x @ x

    square.defvjp(lambda x: (x @ x, x), lambda x, c: (c @ x.T,))
    mesh = jax.make_mesh((1,), ("i",))
    sharded = jax.shard_map(lambda a: a @ a, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec())
    for fn in (jax.jit(lambda a: a @ a), jax.checkpoint(lambda a: a @ a), square, sharded):
        assert flops.count(fn, SQUARE).flops == PRODUCT
    backwards = flops.count(jax.grad(lambda x: square(x).sum()), SQUARE).flops
    assert 2 * PRODUCT <= backwards <= 2 * PRODUCT + N * N


def test_remat_computes_twice():
    def loss(a):
        return jax.checkpoint(lambda x: jnp.tanh(x @ x))(a).sum()

    assert flops.count(jax.grad(loss), SQUARE).flops >= 4 * PRODUCT


def test_agrees_with_xla_where_there_is_no_loop():
    def layer(x, w):
        return jnp.maximum(x @ w + x, 0.0)

    args = (jnp.ones((30, 40)), jnp.ones((40, 40)))
    cost = jax.jit(layer).lower(*args).compile().cost_analysis()
    assert isinstance(cost, dict)
    assert flops.count(layer, *args).flops == pytest.approx(cost["flops"], rel=0.01)


def test_counters_masks_and_moves_are_free():
    def shuffle(a):
        return jnp.where(jnp.arange(N) > 3, a.T, a[::-1]).reshape(-1)

    assert flops.count(shuffle, SQUARE).flops == 0


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (jnp.linalg.cholesky, N**3 / 3),
        (lambda a: jnp.sort(a, axis=0), N * N * np.log2(N)),
        (lambda a: jnp.cumsum(a, axis=1), N * N),
        (lambda a: jnp.fft.fft(a[0].astype(jnp.complex64)), 5 * N * np.log2(N)),
        (lambda a: jax.lax.reduce_window(a, 0.0, jax.lax.add, (3, 3), (1, 1), "VALID"), (N - 2) ** 2 * 8),
        (lambda a: a.at[jnp.array([1, 4])].add(2.0), 2 * N),
        (lambda a: a**4, 2 * N * N),
        (lambda a: jax.scipy.linalg.solve_triangular(a, a[:, :3], lower=True), N * N * 3),
    ],
)
def test_textbook_counts(fn, expected):
    found = flops.count(fn, SQUARE).flops
    assert expected * 0.99 <= found <= expected + 3 * N * N


def test_code_from_outside_is_named_and_has_no_price(key):
    work = flops.count(lambda a: jax.pure_callback(lambda x: x, a, a), SQUARE)
    assert work.unknown == ("pure_callback",)
    processor = flops.load()["cpu_fp32_today"]
    with pytest.raises(ValueError, match="pure_callback, whose work is not counted"):
        flops.price(work, processor, key)
    with pytest.raises(ValueError, match="a loop of unknown length"):
        flops.price(flops.Flops(1.0, 1.0, unbounded=True), processor, key)


def test_price_is_the_dearer_of_arithmetic_and_traffic(key):
    processor = {name: number.fixed() for name, number in flops.load()["gpu_bf16_today"].items()}
    heavy = flops.price(flops.Flops(3e12, 1e9), processor, key, draws=4)
    np.testing.assert_allclose(heavy, 6.0, rtol=1e-5)
    light = flops.price(flops.Flops(1e9, 2e12), processor, key, draws=4)
    np.testing.assert_allclose(light, 130.0, rtol=1e-5)
    with pytest.raises(ValueError, match="`draws`"):
        flops.price(flops.Flops(1.0, 1.0), processor, key, draws=0)


def test_sums_and_multiples():
    one = flops.Flops(2.0, 3.0, unknown=("a",)) + flops.Flops(4.0, 5.0, True, ("b",))
    assert one == flops.Flops(6.0, 8.0, True, ("a", "b"))
    assert one.times(2).flops == 12.0


def test_processor_table_errors(tmp_path):
    row = '{ low = 1, central = 2, high = 3, unit = "W", source = "x", grade = "C" }'
    path = tmp_path / "p.toml"
    path.write_text(f"[a]\nj_per_flop = {row}")
    with pytest.raises(TableError, match=r"p.toml: entry `a` must have the fields"):
        flops.load(path)
    path.write_text(f"[a]\nj_per_flop = {row}\nj_per_byte = {row}")
    with pytest.raises(TableError, match=r"entry `a`, field `j_per_flop`: must be in 'J/FLOP'"):
        flops.load(path)
