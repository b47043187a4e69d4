"""The type words that signatures share."""

from typing import Any

from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray, PyTree

Key = PRNGKeyArray
Params = Any
"""A pytree of arrays that a user trains."""

__all__ = ["Array", "Bool", "Complex", "Float", "Int", "Key", "Params", "PyTree"]
