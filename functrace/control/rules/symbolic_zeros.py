"""What rules that ask for symbolic zeros are given: tangents known to be zero, and who moves."""

from __future__ import annotations

from typing import Any, NamedTuple

from functrace.core.aval import ShapedArray, typeof

__all__ = ["CustomVJPPrimal", "SymbolicZero", "zero_from_primal"]


class SymbolicZero:
    """A tangent or cotangent that is zero, of which only the type is known."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.aval.shape

    @property
    def dtype(self) -> Any:
        """The dtype."""
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.aval.shape)

    def __repr__(self) -> str:
        return f"SymbolicZero({self.aval})"


class CustomVJPPrimal(NamedTuple):
    """An argument of a forward rule: its value, and whether it is being differentiated."""

    value: Any
    perturbed: bool


def zero_from_primal(value: Any) -> SymbolicZero:
    """Return the symbolic zero that is a tangent of an array."""
    return SymbolicZero(typeof(value).tangent())
