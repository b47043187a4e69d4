"""Matrix-product states of fixed bond dimension, differentiable under jit and vmap; the truncation error is reported.

The state is psi[s_1 ... s_n] = B_1[s_1] B_2[s_2] ... B_n[s_n] with matrices of one fixed, zero-padded shape, the
tensors right-canonical, beside the density matrix L_i of everything left of each site (notions: arXiv:1008.3477). A
gate on sites i, i + 1 makes C = G B_i B_{i+1}; the new bond keeps the leading eigenvectors V of C^dagger L_i C:
B_i <- C V, B_{i+1} <- V^dagger. Nothing is divided by a singular value, and the only decomposition is a Hermitian
eigenproblem of which just the kept *subspace* matters, so that its derivative needs the gaps between kept and
dropped eigenvalues only: degenerate and vanishing singular values are harmless. First derivatives only: a second one
would need the gaps among the kept eigenvalues.

The circuit becomes a list of two-site and one-site instructions which one scan executes: compile time grows neither
with the number of gates nor with the number of qubits.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qgen import check
from qgen.circuits.circuit import Circuit
from qgen.circuits.memory import check_bytes
from qgen.circuits.observables import Observable
from qgen.circuits.operation import Op
from qgen.circuits.tensors import PAULIS, combine, complex_of, letters, several, stack, vector
from qgen.types import Array, Complex, Float, Int, Key

PREFERENCE = {"float32": 1e-6, "float64": 1e-11}
"""Weight with which directions that the state does not use yet, but that gates could make it use, are kept before
others: gradients are right where angles of zero leave qubits unentangled. Large against rounding, small against what
truncations discard."""


class MPS(NamedTuple):
    """A matrix-product state.

    Attributes:
        tensors: B, complex [sites, bond, 2, bond]; bond states in use come last, in order of their weight.
        left: density matrices left of each site, complex [sites, bond, bond].
        error: the weight that truncations discarded so far, relative to 1: the sum over all truncations.
    """

    tensors: Complex[Array, "sites bond 2 bond"]
    left: Complex[Array, "sites bond bond"]
    error: Float[Array, ""]


def product(bits: Sequence[int], bond: int, dtype: Any = jnp.complex64) -> MPS:
    """The product state |bits>.

    Args:
        bits: zeros and ones, one per site.
        bond: the bond dimension, at least 1.
        dtype: a complex dtype.

    Raises:
        ValueError: if `bond` is below 1 or exceeds this machine's memory, or `bits` does not hold zeros and ones.
    """
    check.at_least("bond", bond, 1)
    if not len(bits) or set(bits) - {0, 1}:
        raise ValueError(f"Argument `bits` must hold zeros and ones, at least one, but is {tuple(bits)}.")
    n = len(bits)
    each = 3 * n * (8 + jnp.dtype(dtype).itemsize)  # tensors and density matrices, as made here and as kept
    check_bytes(
        f"An MPS of {n} sites of bond dimension {bond}",
        each * bond**2,
        lambda available: f"at most a bond dimension of {math.isqrt(available // each)} fits.",
    )
    tensors = np.zeros((n, bond, 2, bond))
    tensors[np.arange(n), -1, np.array(bits), -1] = 1
    left = np.zeros((n, bond, bond))
    left[:, -1, -1] = 1
    real = jnp.zeros((), dtype).real.dtype
    return MPS(jnp.asarray(tensors, dtype), jnp.asarray(left, dtype), jnp.zeros((), real))


def apply(circuit: Circuit, params: Any = (), bond: int = 16, state: MPS | None = None) -> MPS:
    """The matrix-product state after the circuit.

    Exact (up to rounding) when bond >= 2**(qubits // 2). Gates on distant wires are brought together by swaps.

    Args:
        circuit: gates on one and two qubits, no measurements.
        params: its parameter vector.
        bond: the bond dimension; ignored where `state` is given.
        state: the initial state; |0...0> where left out.

    Returns:
        The state, not renormalised: |psi|^2 falls short of 1 by about `error`.

    Raises:
        ValueError: for gates on more than two qubits, a bond dimension below 1, or wrong shapes.
    """
    angles = vector(circuit, params)
    n = circuit.n_qubits
    start = product((0,) * n, bond, complex_of(angles)) if state is None else state
    check.shape("state.tensors", start.tensors, (n, None, 2, None))
    program = _program(circuit)
    if not len(program.kind):
        return start
    table, place = _matrices(program, angles)
    table = table.astype(start.tensors.dtype)
    entry = place[program.entry] + np.where(program.flip, len(table) // 2, 0)

    def instruction(carry: MPS, step: tuple[Any, Any, Any]) -> tuple[MPS, None]:
        kind, site, matrix = step
        return jax.lax.cond(kind == 1, _one_site, _two_sites, carry, site, table[matrix]), None

    return jax.lax.scan(instruction, start, (program.kind, program.site, entry))[0]


def expectation(
    circuit: Circuit, params: Any, observable: Observable | Sequence[Observable], bond: int = 16
) -> Float[Array, "*k"]:
    """The expectation value after the circuit: a scalar, or [k] for a list; see `apply` and `measure`."""
    return measure(apply(circuit, params, bond), observable)


def measure(state: MPS, observable: Observable | Sequence[Observable]) -> Float[Array, "*k"]:
    """<psi| observable |psi> / <psi|psi>: a scalar, or [k] for a list of observables."""
    words = letters(several(observable), state.tensors.shape[0])
    total = _words(state.tensors, np.zeros((1, words.shape[1]), np.int32))
    return combine(_words(state.tensors, words) / total, observable)


def norm(state: MPS) -> Float[Array, ""]:
    """<psi|psi>: 1 but for truncation."""
    return _words(state.tensors, np.zeros((1, state.tensors.shape[0]), np.int32))[0]


def amplitude(state: MPS, bits: Int[Array, " sites"]) -> Complex[Array, ""]:
    """<bits|psi>, not normalised; `bits` may be traced.

    Raises:
        ValueError: if `bits` does not hold one bit per site.
    """
    bits = jnp.asarray(bits)
    check.shape("bits", bits, (state.tensors.shape[0],))
    bond = state.tensors.shape[1]
    first = jnp.zeros(bond, state.tensors.dtype).at[-1].set(1)

    def site(row: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
        tensor, bit = step
        return row @ tensor[:, bit], None

    return jax.lax.scan(site, first, (state.tensors, bits))[0][-1]


def probability(state: MPS, bits: Int[Array, " sites"]) -> Float[Array, ""]:
    """The normalised probability of reading `bits`."""
    return jnp.abs(amplitude(state, bits)) ** 2 / norm(state)


def sample(key: Key, state: MPS, shots: int) -> Int[Array, "shots sites"]:
    """Bit strings drawn site by site from the right-canonical tensors (arXiv:1201.3974); -1 from where they are NaN.

    Raises:
        ValueError: if `shots` is below 1.
    """
    check.at_least("shots", shots, 1)
    bond = state.tensors.shape[1]
    first = jnp.zeros(bond, state.tensors.dtype).at[-1].set(1)

    def site(row: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        tensor, draw = step
        rows = jnp.einsum("a,asb->sb", row, tensor)
        weights = jnp.sum(jnp.abs(rows) ** 2, 1)
        total = jnp.sum(weights)
        bit = (draw * total >= weights[0]).astype(jnp.int32)
        return rows[bit] / jnp.sqrt(weights[bit]), jnp.where(jnp.isnan(total), -1, bit)

    def shot(own_key: Key) -> Array:
        draws = jax.random.uniform(own_key, (len(state.tensors),), dtype=state.error.dtype)
        return jax.lax.scan(site, first, (state.tensors, draws))[1]

    return jax.vmap(shot)(jax.random.split(key, shots))


def dense(state: MPS) -> Complex[Array, " dim"]:
    """The state as a vector [2**sites], not normalised: for small registers."""
    rows = jnp.zeros((1, state.tensors.shape[1]), state.tensors.dtype).at[0, -1].set(1)
    for tensor in state.tensors:
        rows = jnp.einsum("xa,asb->xsb", rows, tensor).reshape(-1, tensor.shape[-1])
    return rows[:, -1]


class _Program(NamedTuple):
    """Instructions in order of time, each on one or two sites.

    Attributes:
        singles: the gates on one qubit.
        doubles: the gates on two qubits, and last the swap that brings distant wires together.
        kind: the number of sites, 1 or 2.
        site: the first site.
        entry: the place of the gate among singles + doubles.
        flip: True where the gate's first wire lies right of its second.
    """

    singles: tuple[Op, ...]
    doubles: tuple[Op, ...]
    kind: np.ndarray
    site: np.ndarray
    entry: np.ndarray
    flip: np.ndarray


@functools.lru_cache(maxsize=64)
def _program(circuit: Circuit) -> _Program:
    if not circuit.is_unitary:
        raise ValueError("A circuit with measurements or resets runs only in `trajectory`.")
    ops = [item for item in circuit.walk() if isinstance(item, Op)]
    wide = next((op for op in ops if len(op.support) > 2), None)
    if wide is not None:
        raise ValueError(
            f"Gate `{wide.name}` acts on {len(wide.support)} qubits; an MPS takes one or two: decompose it."
        )
    singles = tuple(op for op in ops if len(op.support) == 1)
    doubles = (*(op for op in ops if len(op.support) == 2), Op("swap", (0, 1)))
    swap = len(singles) + len(doubles) - 1
    rows: list[tuple[int, int, int, bool]] = []
    seen = [0, 0]
    for op in ops:
        if not op.support:
            continue  # a global phase: no expectation value or probability sees it
        if len(op.support) == 1:
            rows.append((1, op.support[0], seen[0], False))
            seen[0] += 1
            continue
        low, high = sorted(op.support)
        carry = [(2, site, swap, False) for site in range(high - 1, low, -1)]
        rows += [*carry, (2, low, len(singles) + seen[1], op.support[0] > op.support[1]), *reversed(carry)]
        seen[1] += 1
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    kind, site, entry = (np.array(column, dtype=np.int32) for column in columns[:3])
    return _Program(singles, doubles, kind, site, entry, np.array(columns[3], dtype=bool))


def _matrices(program: _Program, params: Array) -> tuple[Complex[Array, "entries 4 4"], np.ndarray]:
    """Matrices, then the same with their two wires exchanged; and the entry of each of singles + doubles.

    Those of one-qubit gates fill the upper left corner.
    """
    blocks, places, first = [], [], 0
    for ops in filter(None, (program.singles, program.doubles)):
        matrices, place = stack(ops, params)
        corner = 4 - matrices.shape[-1]
        blocks.append(jnp.pad(matrices, ((0, 0), (0, corner), (0, corner))))
        places.append(first + place)
        first += len(matrices)
    table = jnp.concatenate(blocks)
    exchanged = table.reshape(-1, 2, 2, 2, 2).transpose(0, 2, 1, 4, 3).reshape(-1, 4, 4)
    return jnp.concatenate([table, exchanged]), np.concatenate(places)


def _one_site(state: MPS, site: Array, matrix: Array) -> MPS:
    tensor = jax.lax.dynamic_index_in_dim(state.tensors, site, keepdims=False)
    turned = jnp.einsum("ts,asb->atb", matrix[:2, :2], tensor)
    return state._replace(tensors=jax.lax.dynamic_update_index_in_dim(state.tensors, turned, site, 0))


def _two_sites(state: MPS, site: Array, matrix: Array) -> MPS:
    pair = jax.lax.dynamic_slice_in_dim(state.tensors, site, 2)
    left = jax.lax.dynamic_index_in_dim(state.left, site, keepdims=False)
    reserve = jax.lax.dynamic_index_in_dim(jnp.asarray(_reserve(*state.tensors.shape[:2])), site, keepdims=False)
    pair, bond_density, lost = _join(pair, left, matrix, reserve.astype(state.error.dtype))
    return MPS(
        jax.lax.dynamic_update_slice_in_dim(state.tensors, pair, site, 0),
        jax.lax.dynamic_update_index_in_dim(state.left, bond_density, site + 1, 0),
        state.error + lost,
    )


@functools.lru_cache
def _reserve(sites: int, bond: int) -> np.ndarray:
    """Preferences among unused bond states right of sites i, i + 1, the later the higher, [sites - 1, bond].

    Zero for those beyond the dimension of the qubits on the right, which only pad the tensors.
    """
    rows = []
    for site in range(sites - 1):
        room = min(bond, 2 ** min(sites - site - 2, 30))
        rows.append(np.where(np.arange(bond) >= bond - room, np.linspace(0.1 / bond, 0.1, bond), 0))
    return np.array(rows)


@jax.checkpoint
def _join(pair: Array, left: Array, matrix: Array, reserve: Array) -> tuple[Array, Array, Array]:
    """The two tensors after the gate, the density matrix of the bond between them, the weight lost by truncation."""
    bond = pair.shape[1]
    joined = jnp.einsum("asm,mtb->astb", pair[0], pair[1])
    joined = jnp.einsum("xyst,astb->axyb", matrix.reshape(2, 2, 2, 2), joined)
    weighted = jnp.einsum("ac,cstb->astb", left, joined)
    density = jnp.einsum("astb,asud->tbud", joined.conj(), weighted).reshape(2 * bond, 2 * bond)
    total = jnp.trace(density).real
    # What a gate on these two sites could reach: any state of the middle qubit, and right of it the states in use now,
    # or else those in reserve.
    reach = jnp.einsum("astb,astd->bd", joined.conj(), weighted) + total * jnp.diag(reserve)
    epsilon = PREFERENCE[total.dtype.name]
    kept = _leading(density + epsilon * jnp.kron(jnp.eye(2, dtype=reach.dtype), reach), bond)
    bond_density = kept.conj().T @ density @ kept
    first = jnp.einsum("astb,tbk->ask", joined, kept.reshape(2, bond, bond))
    second = kept.conj().T.reshape(bond, 2, bond)
    lost = 1 - jnp.trace(bond_density).real / total
    return jnp.stack([first, second]), bond_density, jnp.maximum(lost, 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _leading(matrix: Complex[Array, "dim dim"], count: int) -> Complex[Array, "dim count"]:
    """The eigenvectors of the largest eigenvalues of a Hermitian matrix, up to a unitary among themselves."""
    return jnp.linalg.eigh(matrix)[1][:, -count:]


@_leading.defjvp
def _leading_jvp(count: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """First-order change of the kept subspace; the frame inside it is transported in parallel."""
    matrix, change = primals[0], tangents[0]
    values, vectors = jnp.linalg.eigh(matrix)
    kept, dropped = vectors[:, -count:], vectors[:, :-count]
    gaps = values[None, -count:] - values[:-count, None]
    resolution = values.shape[0] * jnp.finfo(gaps.dtype).eps * values[-1]
    visible = gaps > resolution
    inverse = jnp.where(visible, 1 / jnp.where(visible, gaps, 1), 0)
    return kept, dropped @ (inverse * (dropped.conj().T @ change @ kept))


def _words(tensors: Array, words: np.ndarray) -> Float[Array, " words"]:
    """<psi| word |psi> of every row of letters, not normalised."""
    bond = tensors.shape[1]
    first = jnp.zeros((bond, bond), tensors.dtype).at[-1, -1].set(1)
    paulis = jnp.asarray(PAULIS, tensors.dtype)

    def value(word: Array) -> Array:
        def site(environment: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
            tensor, letter = step
            turned = jnp.einsum("ts,asb->atb", paulis[letter], tensor)
            half = jnp.einsum("ac,csd->asd", environment, turned)
            return jnp.einsum("asb,asd->bd", tensor.conj(), half), None

        return jax.lax.scan(site, first, (tensors, word))[0][-1, -1].real

    return jax.lax.map(value, jnp.asarray(words), batch_size=min(len(words), 64))
