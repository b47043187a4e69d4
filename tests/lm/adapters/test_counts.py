"""Trained parameters of published settings, exactly."""

import jax
import jax.numpy as jnp
import pytest

from qgen.lm.adapters import ADAPTERS, Boft, Compound, Full, Lokr, Lora, Quanta, QuantumPeft, RsLora, TinyLora, Vera

LLAMA_3B = 28 * [(3072, 3072), (3072, 1024)]
"""q_proj and v_proj of Llama-3.2-3B, the matrices of the PEFT package's benchmark."""
LLAMA_7B = 32 * 2 * [(4096, 4096)]
"""q_proj and v_proj of LLaMA-2-7B."""
LLAMA_7B_SIZE = 6_738_415_616


def total(adapter, shapes):
    return sum(adapter.count(shape) for shape in shapes)


@pytest.mark.parametrize(
    ("adapter", "published"),
    [
        (Lora(32), 9_175_040),
        (RsLora(64), 18_350_080),
        (Vera(256), 129_024),
        (TinyLora(2, 64), 3_584),
        (Lokr(32), 279_552),
        (Lokr(32, factor=4), 2_294_656),
        (Boft(96, 1, scaled=False), 8_171_520),
    ],
)
def test_counts_of_the_peft_benchmark(adapter, published):
    """LoRA r32, rsLoRA r64, VeRA, TinyLoRA, LoKr r32 (default and factor 4), and OFT as BOFT of one factor."""
    assert total(adapter, LLAMA_3B) == published


def test_boft_counts_the_free_entries_where_the_peft_package_counts_all():
    boft, scales = total(Boft(4, 1), LLAMA_3B), 28 * (3072 + 1024)
    assert (boft - scales) * 16 / 6 + scales == 802_816


def test_counts_of_quanta():
    assert Quanta((16, 8, 8, 4)).count((4096, 4096)) == 43_008
    share = total(Quanta((16, 8, 8, 4)), LLAMA_7B) / LLAMA_7B_SIZE
    assert total(Quanta((16, 8, 8, 4)), LLAMA_7B) == 2_752_512
    assert round(100 * share, 3) == 0.041  # as the paper rounds it; 0.04085 in full
    assert Quanta((8, 8, 12)).count((768, 768)) == Quanta(3).count((768, 768)) == 22_528
    assert Quanta((4, 4, 6, 8)).count((768, 768)) == Quanta(4).count((768, 768)) == 5_760
    assert Lora(1).count((768, 768)) == 1_536


def test_counts_of_quantum_peft():
    """(2 L + 1) q - 2 L per factor and K; 5 to 25 times fewer than LoRA on the shapes of the paper's models."""
    assert QuantumPeft(rank=3, layers=1).count((768, 768)) == 2 * (3 * 10 - 2) + 3
    assert QuantumPeft(rank=4, layers=2).count((128, 512)) == (5 * 7 - 4) + (5 * 9 - 4) + 4
    assert Lora(1).count((768, 768)) / QuantumPeft(rank=3).count((768, 768)) > 25


def test_counts_of_compound_adapters():
    """n = 29 is the largest rotation with 29 + 406 + 3654 <= 4096; below 0.02 % of the model, 40 times below LoRA."""
    third = Compound(order=3)
    assert third.side((4096, 11)) == 29
    assert third.count((4096, 4096)) == 29 * 14
    assert total(third, LLAMA_7B) < 2e-4 * LLAMA_7B_SIZE
    assert 40 * total(third, LLAMA_7B) < total(Lora(8), LLAMA_7B)
    assert Compound(order=1, blocks=32).count((3072, 5)) == Boft(96, 1, scaled=False).count((3072, 5))


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("shape", [(12, 20), (24, 8)])
def test_count_is_the_size_of_what_is_trained(name, shape, key):
    adapter = ADAPTERS[name]()
    trained = jax.eval_shape(adapter.init, key, jnp.ones(shape)).trained
    assert adapter.count(shape) == sum(leaf.size for leaf in jax.tree.leaves(trained))
    assert Full().count(shape) == shape[0] * shape[1]
