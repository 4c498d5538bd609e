"""Bits: and, or, xor, not, shifts and counts. On booleans the first four are logic."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.lowering import Elementwise
from functrace.ops.families import BITS, binary, unary

__all__ = [
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "clz",
    "population_count",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
]

INTEGER = "iu"
_NO_DERIVATIVE = {"not_differentiable": "integer or boolean output"}

# --- logic -------------------------------------------------------------------------------------

and_p = binary(
    "and", np.bitwise_and, BITS, Elementwise(lambda b, x, y: b.and_(x, y)), **_NO_DERIVATIVE
)
or_p = binary("or", np.bitwise_or, BITS, Elementwise(lambda b, x, y: b.or_(x, y)), **_NO_DERIVATIVE)
xor_p = binary(
    "xor", np.bitwise_xor, BITS, Elementwise(lambda b, x, y: b.xor(x, y)), **_NO_DERIVATIVE
)
not_p = unary("not", np.invert, BITS, Elementwise(lambda b, x: b.not_(x)), **_NO_DERIVATIVE)


def bitwise_and(x: Any, y: Any) -> Any:
    """Bits set in both; of booleans, both."""
    return and_p.bind(x, y)


def bitwise_or(x: Any, y: Any) -> Any:
    """Bits set in either; of booleans, either."""
    return or_p.bind(x, y)


def bitwise_xor(x: Any, y: Any) -> Any:
    """Bits set in one but not both; of booleans, whether they differ."""
    return xor_p.bind(x, y)


def bitwise_not(x: Any) -> Any:
    """All bits flipped; of booleans, the negation."""
    return not_p.bind(x)


# --- shifts ------------------------------------------------------------------------------------


def _signed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"i{dtype.itemsize}")


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}")


def _shift_right_as(kind: Any) -> Any:
    """Return NumPy's right shift of the same bits read as another kind of integer."""

    def shift(x: Any, y: Any) -> Any:
        dtype = x.dtype if hasattr(x, "dtype") else y.dtype
        other = kind(dtype)
        x, y = np.asarray(x, dtype), np.asarray(y, dtype)
        return np.right_shift(x.view(other), y.view(other)).view(dtype)

    return shift


shift_left_p = binary(
    "shift_left",
    np.left_shift,
    INTEGER,
    Elementwise(lambda b, x, y: b.shl(x, y)),
    **_NO_DERIVATIVE,
)


def _shift_arithmetic_lowering(b: Any, x: Any, y: Any) -> Any:
    signed = _signed(x.dtype)
    return b.cast(b.shr(b.cast(x, signed), b.cast(y, signed)), x.dtype)


shift_right_arithmetic_p = binary(
    "shift_right_arithmetic",
    _shift_right_as(_signed),
    INTEGER,
    Elementwise(_shift_arithmetic_lowering),
    **_NO_DERIVATIVE,
)
shift_right_logical_p = binary(
    "shift_right_logical",
    _shift_right_as(_unsigned),
    INTEGER,
    Elementwise(lambda b, x, y: b.shr_logical(x, y)),
    **_NO_DERIVATIVE,
)


def shift_left(x: Any, y: Any) -> Any:
    """``x`` times two to the power ``y``, wrapping; 0 for amounts beyond the width."""
    return shift_left_p.bind(x, y)


def shift_right_arithmetic(x: Any, y: Any) -> Any:
    """``x`` shifted right by ``y``; copies of the highest bit enter."""
    return shift_right_arithmetic_p.bind(x, y)


def shift_right_logical(x: Any, y: Any) -> Any:
    """``x`` shifted right by ``y``; zeros enter."""
    return shift_right_logical_p.bind(x, y)


# --- counts ------------------------------------------------------------------------------------


def _population_count_impl(x: Any) -> Any:
    return np.bitwise_count(x.view(_unsigned(x.dtype))).astype(x.dtype)


def _clz_impl(x: Any) -> Any:
    """Spread the highest set bit downwards, then count what is left."""
    bits = x.view(_unsigned(x.dtype))
    width = 8 * x.dtype.itemsize
    step = 1
    while step < width:
        bits = bits | (bits >> bits.dtype.type(step))
        step *= 2
    return (width - np.bitwise_count(bits)).astype(x.dtype)


population_count_p = unary(
    "population_count",
    _population_count_impl,
    INTEGER,
    Elementwise(lambda b, x: b.popcount(x)),
    **_NO_DERIVATIVE,
)
clz_p = unary("clz", _clz_impl, INTEGER, Elementwise(lambda b, x: b.clz(x)), **_NO_DERIVATIVE)


def population_count(x: Any) -> Any:
    """Number of set bits of each element, in two's complement."""
    return population_count_p.bind(x)


def clz(x: Any) -> Any:
    """Number of leading zero bits of each element."""
    return clz_p.bind(x)
