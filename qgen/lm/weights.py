"""How a matrix of the model may be stored: as an array, as int8 with scales, as or with a low-rank product.

In the parameters, which are nested dicts of arrays, a stored matrix is an array or a small dict of arrays:
`{"int8": [in, out], "scale": [1, out]}` stands for int8 * scale, `{"left": [in, rank], "right": [rank, out]}` for
left @ right, and `{"base": [in, out], "a": [in, rank], "b": [rank, out]}` for base + a @ b; low-rank products are
computed as two thin ones. All survive a checkpoint.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from qgen.types import Array, Float, Int, Params


class Int8(NamedTuple):
    """A matrix as int8 and one scale per output feature, [1, out]; for an embedding one per row, [rows, 1]."""

    int8: Int[Array, "rows columns"]
    scale: Float[Array, "..."]

    def product(self, x: Array) -> Array:
        """x @ matrix; the scale multiplies the small result instead of the matrix."""
        return (x @ self.int8.astype(x.dtype)) * self.scale.reshape((1,) * (x.ndim - 1) + (-1,)).astype(x.dtype)

    def rows(self, places: Array) -> Array:
        """Rows of the matrix, in the type of the scale."""
        return self.int8[places].astype(self.scale.dtype) * self.scale[places]


class Adapted(NamedTuple):
    """A matrix and a low-rank addition."""

    base: Float[Array, "in out"] | Int8
    a: Float[Array, "in rank"]
    b: Float[Array, "rank out"]

    def product(self, x: Array) -> Array:
        """x @ base + (x @ a) @ b."""
        return product(x, self.base) + (x @ self.a) @ self.b


class Product(NamedTuple):
    """A matrix of low rank: left @ right, in fewer numbers. Each factor may be quantised."""

    left: Float[Array, "in rank"] | Int8
    right: Float[Array, "rank out"] | Int8

    def product(self, x: Array) -> Array:
        """(x @ left) @ right."""
        return product(product(x, self.left), self.right)


class Watched(NamedTuple):
    """A matrix that gives away what it is multiplied with while a forward pass is traced; see `factorised.inputs`."""

    base: Any
    keep: Callable[[Array], None]

    def product(self, x: Array) -> Array:
        """x @ base."""
        self.keep(x)
        return product(x, self.base)


KINDS = (Int8, Adapted, Product)
STORED: dict[frozenset[str], type[Int8] | type[Adapted] | type[Product]] = {
    frozenset(kind._fields): kind for kind in KINDS
}


def product(x: Array, matrix: Array | Int8 | Adapted | Product | Watched) -> Array:
    """x @ matrix over the last axis of x, however the matrix is stored."""
    return matrix.product(x) if isinstance(matrix, (*KINDS, Watched)) else x @ matrix


def rows(matrix: Array | Int8, places: Array) -> Array:
    """Rows of a stored matrix (an embedding lookup)."""
    return matrix.rows(places) if isinstance(matrix, Int8) else matrix[places]


def dense(matrix: Any) -> Array:
    """A matrix as one array, whether it is an array already or a small dict of arrays."""
    stored = unpack(matrix)
    if isinstance(stored, Int8):
        return stored.int8.astype(stored.scale.dtype) * stored.scale
    if isinstance(stored, Adapted):
        return dense(stored.base) + stored.a @ stored.b
    if isinstance(stored, Product):
        return dense(stored.left) @ dense(stored.right)
    return stored


def unpack(params: Params) -> Any:
    """Nested dicts in which the small dicts of stored matrices have become Int8, Adapted and Product values."""
    if not isinstance(params, Mapping):
        return params
    inner = {name: unpack(value) for name, value in params.items()}
    kind = STORED.get(frozenset(inner))
    return inner if kind is None else kind(**inner)
