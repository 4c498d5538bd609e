"""Rounding, division that rounds, and neighbours: floor, round, rem, mod, nextafter, copysign."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from functrace.core.lowering import Elementwise
from functrace.core.trace import Primitive
from functrace.ops.arithmetic import NOT_LINEAR, div, mul, neg, sub
from functrace.ops.complexes import sign
from functrace.ops.families import FLOATING, INEXACT, REAL, binary, unary

__all__ = [
    "RoundingMethod",
    "ceil",
    "copysign",
    "floor",
    "floor_divide",
    "mod",
    "nextafter",
    "rem",
    "round",
    "trunc",
]

_FLAT = "its derivative is zero almost everywhere"

# --- floor, ceil, trunc ------------------------------------------------------------------------

floor_p = unary(
    "floor", np.floor, FLOATING, Elementwise(lambda b, x: b.floor(x)), not_differentiable=_FLAT
)
ceil_p = unary(
    "ceil", np.ceil, FLOATING, Elementwise(lambda b, x: b.ceil(x)), not_differentiable=_FLAT
)
trunc_p = unary(
    "trunc", np.trunc, FLOATING, Elementwise(lambda b, x: b.trunc(x)), not_differentiable=_FLAT
)


def floor(x: Any) -> Any:
    """Largest whole number that isn't above each element."""
    return floor_p.bind(x)


def ceil(x: Any) -> Any:
    """Smallest whole number that isn't below each element."""
    return ceil_p.bind(x)


def trunc(x: Any) -> Any:
    """The whole part of each element."""
    return trunc_p.bind(x)


# --- round -------------------------------------------------------------------------------------


class RoundingMethod(enum.IntEnum):
    """Where halves go.

    Example:
        >>> import numpy as np
        >>> round(np.array([0.5, 1.5, -2.5]), RoundingMethod.TO_NEAREST_EVEN)
        array([ 0.,  2., -2.])
        >>> round(np.array([0.5, 1.5, -2.5]))
        array([ 1.,  2., -3.])
    """

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


def _round_impl(x: Any, *, rounding_method: int) -> Any:
    if rounding_method == RoundingMethod.TO_NEAREST_EVEN:
        return np.rint(x)
    if x.dtype.kind == "c":
        out = np.empty_like(x)
        out.real, out.imag = _away_from_zero(x.real), _away_from_zero(x.imag)
        return out[()]
    return _away_from_zero(x)


def _away_from_zero(x: Any) -> Any:
    whole = np.trunc(x)
    with np.errstate(invalid="ignore"):  # inf - inf; the comparison is False then
        half = np.abs(x - whole) >= 0.5
    return whole + np.copysign(half.astype(x.dtype), x)


def _round_lowering(b: Any, x: Any, *, rounding_method: int) -> Any:
    if rounding_method == RoundingMethod.TO_NEAREST_EVEN:
        return b.rint(x)
    if x.dtype.kind == "c":
        return b.complex(_away_lowering(b, b.real(x)), _away_lowering(b, b.imag(x)))
    return _away_lowering(b, x)


def _away_lowering(b: Any, x: Any) -> Any:
    whole = b.trunc(x)
    half = b.ge(b.abs(b.sub(x, whole)), 0.5)
    return b.add(whole, b.copysign(b.cast(half, x.dtype), x))


round_p = unary(
    "round", _round_impl, INEXACT, Elementwise(_round_lowering), not_differentiable=_FLAT
)


def round(x: Any, rounding_method: int = RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """Nearest whole number; halves go away from zero, or to the even neighbour as in NumPy."""
    return round_p.bind(x, rounding_method=int(rounding_method))


# --- division that rounds ----------------------------------------------------------------------

floor_divide_p = binary(
    "floor_divide",
    np.floor_divide,
    REAL,
    Elementwise(lambda b, x, y: b.floordiv(x, y)),
    not_differentiable=_FLAT,
)
rem_p = binary(
    "rem", np.fmod, REAL, Elementwise(lambda b, x, y: b.rem(x, y)), not_linear=NOT_LINEAR
)
mod_p = binary(
    "mod", np.remainder, REAL, Elementwise(lambda b, x, y: b.mod(x, y)), not_linear=NOT_LINEAR
)


def _define_remainder_jvp(primitive: Primitive) -> None:
    """Set ``d(x - q y) = dx - q dy``; the quotient is ``(x - out) / y``, a whole number."""

    def divisor(t: Any, out: Any, x: Any, y: Any) -> Any:
        quotient = round(div(sub(x, out), y), RoundingMethod.TO_NEAREST_EVEN)
        return mul(t, neg(quotient))

    primitive.def_jvp_each(lambda t, out, x, y: t, divisor)


_define_remainder_jvp(rem_p)
_define_remainder_jvp(mod_p)


def floor_divide(x: Any, y: Any) -> Any:
    """``floor(x / y)``; integers give 0 for a zero divisor, with NumPy's warning when eager."""
    return floor_divide_p.bind(x, y)


def rem(x: Any, y: Any) -> Any:
    """Remainder with the sign of the dividend, as in C; integers give 0 for a zero divisor."""
    return rem_p.bind(x, y)


def mod(x: Any, y: Any) -> Any:
    """Remainder with the sign of the divisor, NumPy's ``%``; integers give 0 for ``% 0``."""
    return mod_p.bind(x, y)


# --- nextafter and copysign --------------------------------------------------------------------

nextafter_p = binary(
    "nextafter",
    np.nextafter,
    FLOATING,
    Elementwise(lambda b, x, y: b.nextafter(x, y)),
    not_linear=NOT_LINEAR,
)
nextafter_p.def_jvp_each(lambda t, out, x, y: t, None)


def nextafter(x: Any, y: Any) -> Any:
    """The number next to ``x`` on the way to ``y``."""
    return nextafter_p.bind(x, y)


copysign_p = binary(
    "copysign",
    np.copysign,
    FLOATING,
    Elementwise(lambda b, x, y: b.copysign(x, y)),
    not_linear=NOT_LINEAR,
)
copysign_p.def_jvp_each(
    lambda t, out, x, y: mul(t, mul(sign(x), copysign(out.dtype.type(1), y))),
    None,
)


def copysign(x: Any, y: Any) -> Any:
    """The size of ``x`` with the sign of ``y``."""
    return copysign_p.bind(x, y)
