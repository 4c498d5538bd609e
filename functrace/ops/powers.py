"""Roots and powers: square, sqrt, rsqrt, cbrt, integer_pow, pow, hypot.

The slope of a root at 0 is infinite, and infinity times the zero that often multiplies it (as in
the gradient of ``sqrt(sum(x * x))`` at 0) would be NaN. So roots have *capped slopes*: nowhere
steeper than at the smallest normal number of the dtype. At 0 the slope is huge (3e153 in float64)
but finite, and zero times it is zero, forwards and backwards. This is what makes norms, standard
deviations and masked roots differentiable where they are 0.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from functrace.core.lowering import Elementwise
from functrace.dtypes import real_dtype
from functrace.ops.arithmetic import NOT_LINEAR, div, max, mul, sub
from functrace.ops.bitwise import bitwise_and
from functrace.ops.exponentials import log
from functrace.ops.families import FLOATING, INEXACT, NUMERIC, binary, unary
from functrace.ops.logical import eq, gt, lt, select

__all__ = ["cbrt", "hypot", "integer_pow", "pow", "rsqrt", "sqrt", "square"]


@functools.cache
def _least(dtype: np.dtype[Any]) -> float:
    """Return the smallest normal number of a dtype, float64's at most; slopes are capped there."""
    return float(np.finfo(real_dtype(dtype)).tiny) or float(np.finfo(np.float64).tiny)


def _off_zero(root: Any, least: float) -> Any:
    """Return a root that is about to divide, at least ``least``; complex ones only where 0."""
    if root.dtype.kind == "c":
        return select(eq(root, 0.0), root.dtype.type(least), root)
    return max(root, least)


# --- square ------------------------------------------------------------------------------------

square_p = unary(
    "square", np.square, NUMERIC, Elementwise(lambda b, x: b.square(x)), not_linear=NOT_LINEAR
)


@square_p.def_jvp_each
def _square_jvp(t: Any, out: Any, x: Any) -> Any:
    return mul(t, mul(x, 2.0))


def square(x: Any) -> Any:
    """``x * x``, element by element."""
    return square_p.bind(x)


# --- sqrt --------------------------------------------------------------------------------------

sqrt_p = unary("sqrt", np.sqrt, INEXACT, Elementwise(lambda b, x: b.sqrt(x)), not_linear=NOT_LINEAR)


@sqrt_p.def_jvp_each
def _sqrt_jvp(t: Any, out: Any, x: Any) -> Any:
    # sqrt' = 1 / (2 sqrt), capped.
    return mul(t, div(0.5, _off_zero(out, _least(out.dtype) ** 0.5)))


def sqrt(x: Any) -> Any:
    """Square root of each element; NaN for negative ones.

    The derivative at 0 is capped: huge but finite, so that zero times it is zero.
    """
    return sqrt_p.bind(x)


# --- rsqrt -------------------------------------------------------------------------------------


def _rsqrt_impl(x: Any) -> Any:
    return 1 / np.sqrt(x)


rsqrt_p = unary(
    "rsqrt", _rsqrt_impl, INEXACT, Elementwise(lambda b, x: b.rsqrt(x)), not_linear=NOT_LINEAR
)


@rsqrt_p.def_jvp_each
def _rsqrt_jvp(t: Any, out: Any, x: Any) -> Any:
    return mul(t, mul(div(out, x), -0.5))


def rsqrt(x: Any) -> Any:
    """``1 / sqrt(x)``, element by element."""
    return rsqrt_p.bind(x)


# --- cbrt --------------------------------------------------------------------------------------

cbrt_p = unary(
    "cbrt", np.cbrt, FLOATING, Elementwise(lambda b, x: b.cbrt(x)), not_linear=NOT_LINEAR
)


@cbrt_p.def_jvp_each
def _cbrt_jvp(t: Any, out: Any, x: Any) -> Any:
    # cbrt' = 1 / (3 cbrt**2), capped.
    return mul(t, div(1.0, mul(_off_zero(square(out), _least(out.dtype) ** (2 / 3)), 3.0)))


def cbrt(x: Any) -> Any:
    """Cube root of each element; the derivative at 0 is capped, as that of ``sqrt``."""
    return cbrt_p.bind(x)


# --- integer_pow -------------------------------------------------------------------------------


def _integer_pow_dtype(dtype: np.dtype[Any], *, y: int) -> np.dtype[Any]:
    if y < 0 and dtype.kind in "iu":
        raise ValueError("Integers to negative integer powers are not allowed.")
    return dtype


def _integer_pow_impl(x: Any, *, y: int) -> Any:
    """Multiply repeatedly, in the order that kernels do, so that the bits are the same."""
    _integer_pow_dtype(x.dtype, y=y)
    if y == 0:
        return np.ones_like(x)[()]
    n, power, result = abs(y), x, x
    started = False
    while n:
        if n & 1:
            result = result * power if started else power
            started = True
        n >>= 1
        if n:
            power = power * power
    return 1 / result if y < 0 else result


def _integer_pow_lowering(b: Any, x: Any, *, y: int) -> Any:
    return b.ipow(x, y)


integer_pow_p = unary(
    "integer_pow",
    _integer_pow_impl,
    NUMERIC,
    Elementwise(_integer_pow_lowering),
    out_dtype=_integer_pow_dtype,
    not_linear=NOT_LINEAR,
)


@integer_pow_p.def_jvp_each
def _integer_pow_jvp(t: Any, out: Any, x: Any, *, y: int) -> Any:
    if y == 0:
        return None
    if y == 1:
        return t
    return mul(t, mul(integer_pow(x, y - 1), float(y)))


def integer_pow(x: Any, y: int) -> Any:
    """``x`` to a static integer power, by repeated multiplication; ``1 / x**-y`` if negative."""
    return integer_pow_p.bind(x, y=int(y))


# --- pow ---------------------------------------------------------------------------------------


def _pow_lowering(b: Any, x: Any, y: Any) -> Any:
    return b.pow_int(x, y) if x.dtype.kind in "iu" else b.math("pow", x, y)


pow_p = binary("pow", np.power, NUMERIC, Elementwise(_pow_lowering), not_linear=NOT_LINEAR)


def _pow_jvp_base(t: Any, out: Any, x: Any, y: Any) -> Any:
    # d x**y = y x**(y-1). At y = 0 it is 0, for any x; at x = 0 < y < 1 the slope is capped.
    if isinstance(y, (float, np.floating)):
        return _pow_jvp_known(t, out, x, y)
    exponent = sub(select(eq(y, 0.0), out.dtype.type(1), y), 1.0)
    if out.dtype.kind == "f":
        steep = bitwise_and(eq(x, 0.0), bitwise_and(gt(y, 0.0), lt(y, 1.0)))
        x = select(steep, out.dtype.type(_least(out.dtype)), x)
    return mul(t, mul(y, pow(x, exponent)))


def _pow_jvp_known(t: Any, out: Any, x: Any, y: Any) -> Any:
    """The derivative in the base when the exponent is a known number: decide now, not later."""
    if y == 0:
        return None
    if 0 < y < 1 and out.dtype.kind == "f":
        x = select(eq(x, 0.0), out.dtype.type(_least(out.dtype)), x)
    return mul(t, mul(pow(x, y - 1), y))


def _pow_jvp_exponent(t: Any, out: Any, x: Any, y: Any) -> Any:
    # d x**y = x**y log x, which goes to 0 with x for y > 0.
    return mul(t, mul(out, log(select(eq(x, 0.0), out.dtype.type(1), x))))


pow_p.def_jvp_each(_pow_jvp_base, _pow_jvp_exponent)


def pow(x: Any, y: Any) -> Any:
    """``x ** y`` of equal dtypes, element by element.

    The derivative in ``x`` at ``x = 0`` is 0 for ``y = 0``, and capped for ``0 < y < 1``; the
    derivative in ``y`` at ``x = 0`` is 0.

    Raises:
        ValueError: integers to a negative power, as in NumPy; compiled code doesn't check.
    """
    return pow_p.bind(x, y)


# --- hypot -------------------------------------------------------------------------------------

hypot_p = binary(
    "hypot",
    np.hypot,
    FLOATING,
    Elementwise(lambda b, x, y: b.math("hypot", x, y)),
    not_linear=NOT_LINEAR,
)
hypot_p.def_jvp_each(
    lambda t, out, x, y: mul(t, div(x, _off_zero(out, _least(out.dtype)))),
    lambda t, out, x, y: mul(t, div(y, _off_zero(out, _least(out.dtype)))),
)


def hypot(x: Any, y: Any) -> Any:
    """``sqrt(x**2 + y**2)`` without overflow on the way; its gradient at the origin is 0."""
    return hypot_p.bind(x, y)
