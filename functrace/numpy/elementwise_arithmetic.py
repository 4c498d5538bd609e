"""Element by element: arithmetic, powers, extrema and the parts of floating-point numbers."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.core.trace import Tracer
from functrace.numpy.ufuncs import inexact, loop_operands, operands, ufunc_function
from functrace.ops import (
    arithmetic,
    bitwise,
    complexes,
    exponentials,
    logical,
    powers,
    rounding,
)
from functrace.ops.creation import convert_element_type, full

__all__ = [
    "abs",
    "absolute",
    "add",
    "cbrt",
    "copysign",
    "divide",
    "divmod",
    "fabs",
    "float_power",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "frexp",
    "heaviside",
    "hypot",
    "ldexp",
    "maximum",
    "minimum",
    "mod",
    "modf",
    "multiply",
    "negative",
    "nextafter",
    "positive",
    "pow",
    "power",
    "reciprocal",
    "remainder",
    "sign",
    "spacing",
    "sqrt",
    "square",
    "subtract",
    "true_divide",
]

# --- the four operations -----------------------------------------------------------------------


@ufunc_function(np.add)
def add(x1: Any, x2: Any, /) -> Any:
    """Sum of two arrays; of booleans it is "or".

    Example:
        >>> add(2.0, 3.0)
        np.float64(5.0)
    """
    x, y = operands(np.add, x1, x2)
    return bitwise.bitwise_or(x, y) if x.dtype.kind == "b" else arithmetic.add(x, y)


@ufunc_function(np.subtract)
def subtract(x1: Any, x2: Any, /) -> Any:
    """Difference of two arrays; booleans are refused, as in NumPy."""
    return arithmetic.sub(*operands(np.subtract, x1, x2))


@ufunc_function(np.multiply)
def multiply(x1: Any, x2: Any, /) -> Any:
    """Product of two arrays; of booleans it is "and"."""
    x, y = operands(np.multiply, x1, x2)
    return bitwise.bitwise_and(x, y) if x.dtype.kind == "b" else arithmetic.mul(x, y)


@ufunc_function(np.true_divide)
def true_divide(x1: Any, x2: Any, /) -> Any:
    """Quotient of two arrays; integers give float64."""
    x, y = operands(np.true_divide, x1, x2)
    if x.dtype.kind not in "fc":
        x, y = loop_operands(np.true_divide, x1, x2)
    return arithmetic.div(x, y)


divide = true_divide


@ufunc_function(np.negative)
def negative(x: Any, /) -> Any:
    """Negative of each element."""
    return arithmetic.neg(loop_operands(np.negative, x)[0])


@ufunc_function(np.positive)
def positive(x: Any, /) -> Any:
    """Each element as it is."""
    return loop_operands(np.positive, x)[0]


@ufunc_function(np.reciprocal)
def reciprocal(x: Any, /) -> Any:
    """One over each element; of integers the integer part of it."""
    x = loop_operands(np.reciprocal, x)[0]
    if x.dtype.kind in "fc":
        return arithmetic.div(x.dtype.type(1), x)
    one = builtins.abs(x) == 1  # 1 // x is x there, and 0 elsewhere
    return logical.select(one, x, full(shape_of(x), 0, x.dtype))


# --- division with remainder -------------------------------------------------------------------


@ufunc_function(np.floor_divide)
def floor_divide(x1: Any, x2: Any, /) -> Any:
    """The largest integers not above the quotients."""
    return rounding.floor_divide(*loop_operands(np.floor_divide, x1, x2))


@ufunc_function(np.remainder)
def remainder(x1: Any, x2: Any, /) -> Any:
    """What floor division leaves; it has the sign of the divisor."""
    return rounding.mod(*loop_operands(np.remainder, x1, x2))


mod = remainder


@ufunc_function(np.fmod)
def fmod(x1: Any, x2: Any, /) -> Any:
    """The remainder of division towards zero; it has the sign of the dividend."""
    return rounding.rem(*loop_operands(np.fmod, x1, x2))


@ufunc_function(np.divmod)
def divmod(x1: Any, x2: Any, /) -> tuple[Any, Any]:
    """Floor division and its remainder."""
    return floor_divide(x1, x2), remainder(x1, x2)


# --- powers ------------------------------------------------------------------------------------

_REPEATED_SQUARING = 64  # beyond it the rounding errors of the products exceed those of pow


@ufunc_function(np.power)
def power(x1: Any, x2: Any, /) -> Any:
    """Each base to its exponent.

    Integers to negative integers are an error, as in NumPy, when the exponent is known; for a
    traced exponent they are unspecified.

    Example:
        >>> power(2.0, 3)
        np.float64(8.0)
    """
    kind = type(x2)
    if (kind is int or kind is float) and isinstance(x1, Tracer) and x1.dtype.kind in "fc":
        x, exponent = x1, x2
    else:
        x, y = loop_operands(np.power, x1, x2)
        exponent = _known_exponent(x2)
        if x.dtype.kind in "iu":
            _refuse_negative(x2)
            whole = exponent is not None and exponent == int(exponent)
            return powers.integer_pow(x, int(exponent)) if whole else powers.pow(x, y)  # type: ignore[arg-type]
        if exponent is None:
            return powers.pow(x, y)
    if exponent == 2:
        return powers.square(x)
    if exponent == 0.5:
        return powers.sqrt(x)
    if builtins.abs(exponent) <= _REPEATED_SQUARING and exponent == int(exponent):
        return powers.integer_pow(x, int(exponent))
    return powers.pow(x, x.dtype.type(exponent))


def _known_exponent(y: Any) -> float | None:
    """Return a real exponent that is one known number; None for any other."""
    if type(y) in (int, float):
        return float(y)
    if isinstance(y, (np.generic, np.ndarray)) and y.ndim == 0 and y.dtype.kind in "iuf":
        return float(y)
    return None


def _refuse_negative(y: Any) -> None:
    if not isinstance(y, Tracer) and np.any(np.less(y, 0)):
        raise ValueError("Integers to negative integer powers are not allowed.")


pow = power


@ufunc_function(np.float_power)
def float_power(x1: Any, x2: Any, /) -> Any:
    """Each base to its exponent, in float64 or complex128 at least."""
    return power(*loop_operands(np.float_power, x1, x2))


@ufunc_function(np.square)
def square(x: Any, /) -> Any:
    """Each element times itself."""
    return powers.square(loop_operands(np.square, x)[0])


@ufunc_function(np.sqrt)
def sqrt(x: Any, /) -> Any:
    """The square root of each element."""
    return powers.sqrt(inexact(np.sqrt, x))


@ufunc_function(np.cbrt)
def cbrt(x: Any, /) -> Any:
    """The cube root of each element."""
    return powers.cbrt(inexact(np.cbrt, x))


@ufunc_function(np.hypot)
def hypot(x1: Any, x2: Any, /) -> Any:
    """The hypotenuse of a right triangle with these legs, without overflow; 0 slope at 0."""
    return powers.hypot(*loop_operands(np.hypot, x1, x2))


# --- signs and extrema -------------------------------------------------------------------------


@ufunc_function(np.absolute)
def absolute(x: Any, /) -> Any:
    """The absolute value of each element; the modulus of a complex one."""
    x = loop_operands(np.absolute, x)[0]
    return x if x.dtype.kind in "bu" else complexes.abs(x)


abs = absolute


@ufunc_function(np.fabs)
def fabs(x: Any, /) -> Any:
    """The absolute value of each element, as a float."""
    return complexes.abs(inexact(np.fabs, x))


@ufunc_function(np.sign)
def sign(x: Any, /) -> Any:
    """-1, 0 or 1 by the sign of each element; ``z / abs(z)`` of a complex one."""
    return complexes.sign(loop_operands(np.sign, x)[0])


@ufunc_function(np.maximum)
def maximum(x1: Any, x2: Any, /) -> Any:
    """The larger of two elements; NaN wins. Equal ones share the derivative evenly."""
    return arithmetic.max(*operands(np.maximum, x1, x2))


@ufunc_function(np.minimum)
def minimum(x1: Any, x2: Any, /) -> Any:
    """The smaller of two elements; NaN wins. Equal ones share the derivative evenly."""
    return arithmetic.min(*operands(np.minimum, x1, x2))


def _ignoring_nan(x: Any, y: Any, result: Any) -> Any:
    if x.dtype.kind not in "fc":
        return result
    return logical.select(logical.ne(y, y), x, logical.select(logical.ne(x, x), y, result))


@ufunc_function(np.fmax)
def fmax(x1: Any, x2: Any, /) -> Any:
    """The larger of two elements; NaN loses."""
    x, y = operands(np.fmax, x1, x2)
    return _ignoring_nan(x, y, arithmetic.max(x, y))


@ufunc_function(np.fmin)
def fmin(x1: Any, x2: Any, /) -> Any:
    """The smaller of two elements; NaN loses."""
    x, y = operands(np.fmin, x1, x2)
    return _ignoring_nan(x, y, arithmetic.min(x, y))


# --- the parts of a floating-point number ------------------------------------------------------


@ufunc_function(np.copysign)
def copysign(x1: Any, x2: Any, /) -> Any:
    """Each first element with the sign of the second, -0.0 included."""
    return rounding.copysign(*loop_operands(np.copysign, x1, x2))


@ufunc_function(np.nextafter)
def nextafter(x1: Any, x2: Any, /) -> Any:
    """The next floating-point number after the first towards the second."""
    return rounding.nextafter(*loop_operands(np.nextafter, x1, x2))


@ufunc_function(np.spacing)
def spacing(x: Any, /) -> Any:
    """The distance to the next floating-point number away from zero."""
    x = inexact(np.spacing, x)
    far = copysign(full(shape_of(x), np.inf, x.dtype), x)
    return arithmetic.sub(rounding.nextafter(x, far), x)


@ufunc_function(np.heaviside)
def heaviside(x1: Any, x2: Any, /) -> Any:
    """The step function: 0 below zero, 1 above, the second argument at zero."""
    x, h = loop_operands(np.heaviside, x1, x2)
    zero = x.dtype.type(0)
    step = convert_element_type(logical.gt(x, zero), x.dtype)
    known = logical.select(logical.ne(x, x), x, step)
    return logical.select(logical.eq(x, zero), h, known)


@ufunc_function(np.ldexp)
def ldexp(x1: Any, x2: Any, /) -> Any:
    """``x1 * 2**x2``, in two steps so that neither power overflows alone."""
    x, n = loop_operands(np.ldexp, x1, x2)
    half = rounding.floor_divide(n, n.dtype.type(2))
    for part in (half, arithmetic.sub(n, half)):
        x = arithmetic.mul(*operands(np.multiply, x, _exact_exp2(part, x.dtype)))
    return x


def _exact_exp2(n: Any, dtype: Any) -> Any:
    return exponentials.exp2(convert_element_type(n, dtype))


@ufunc_function(np.modf)
def modf(x: Any, /) -> tuple[Any, Any]:
    """The fractional and the integral part of each element, both with its sign."""
    x = inexact(np.modf, x)
    whole = rounding.trunc(x)
    inf = x.dtype.type(np.inf)
    rest = logical.select(
        logical.eq(complexes.abs(x), inf), x.dtype.type(0), arithmetic.sub(x, whole)
    )
    return copysign(rest, x), whole


@ufunc_function(np.frexp)
def frexp(x: Any, /) -> tuple[Any, Any]:
    """The mantissa (of magnitude in [0.5, 1)) and the exponent of two of each element."""
    x = inexact(np.frexp, x)
    one, half = x.dtype.type(1), x.dtype.type(0.5)
    plain = bitwise.bitwise_and(logical.is_finite(x), logical.ne(x, x.dtype.type(0)))
    size = logical.select(plain, complexes.abs(x), one)
    exponent = arithmetic.add(
        convert_element_type(rounding.floor(exponentials.log2(size)), np.int32), np.int32(1)
    )
    mantissa = ldexp(size, arithmetic.neg(exponent))
    # log2 may round across a power of two: put the mantissa back where it belongs.
    over, under = logical.ge(mantissa, one), logical.lt(mantissa, half)
    step = arithmetic.sub(
        convert_element_type(over, np.int32), convert_element_type(under, np.int32)
    )
    exponent = logical.select(plain, arithmetic.add(exponent, step), np.int32(0))
    return logical.select(plain, ldexp(x, arithmetic.neg(exponent)), x), exponent
