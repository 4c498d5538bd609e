"""Stand-ins for values inside rules.

A tangent or cotangent that is ``None`` is a *symbolic zero*: nothing is computed for it. An
argument of a transpose rule that is ``is_linear`` is one the equation is linear in: only its
``aval`` (``shape``, ``dtype``) is known, and a cotangent is wanted for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.aval import Shape, ShapedArray

__all__ = ["LinearValue", "UndefPrimal", "is_linear"]


class LinearValue:
    """Mix-in of the values a transposed equation is linear in."""

    __slots__ = ()


class UndefPrimal(LinearValue):
    """The linear argument of a transpose rule, known by its abstract value alone."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    @property
    def shape(self) -> Shape:
        """The shape of the argument."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the argument."""
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        """The number of axes of the argument."""
        return len(self.aval.shape)

    def __repr__(self) -> str:
        return f"UndefPrimal({self.aval})"


def is_linear(value: Any) -> bool:
    """Tell whether an argument of a transpose rule is one the equation is linear in."""
    return isinstance(value, LinearValue)
