"""Element by element: exponentials, logarithms, trigonometry and its relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.numpy.dispatching import numpy_function, operand
from functrace.numpy.ufuncs import inexact, loop_operands, ufunc_function
from functrace.ops import (
    arithmetic,
    complexes,
    exponentials,
    logical,
    powers,
    transcendental,
)
from functrace.ops.creation import convert_element_type, full

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "exp",
    "exp2",
    "expm1",
    "i0",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "rad2deg",
    "radians",
    "sin",
    "sinc",
    "sinh",
    "tan",
    "tanh",
]

# --- exponentials and logarithms ---------------------------------------------------------------


@ufunc_function(np.exp)
def exp(x: Any, /) -> Any:
    """e to the power of each element."""
    return exponentials.exp(inexact(np.exp, x))


@ufunc_function(np.exp2)
def exp2(x: Any, /) -> Any:
    """2 to the power of each element."""
    x = inexact(np.exp2, x)
    if x.dtype.kind == "c":
        return exponentials.exp(arithmetic.mul(x, x.dtype.type(math.log(2.0))))
    return exponentials.exp2(x)


@ufunc_function(np.expm1)
def expm1(x: Any, /) -> Any:
    """``exp(x) - 1``, accurate near zero."""
    return exponentials.expm1(inexact(np.expm1, x))


@ufunc_function(np.log)
def log(x: Any, /) -> Any:
    """The natural logarithm of each element."""
    return exponentials.log(inexact(np.log, x))


@ufunc_function(np.log2)
def log2(x: Any, /) -> Any:
    """The logarithm to base 2 of each element."""
    return exponentials.log2(inexact(np.log2, x))


@ufunc_function(np.log10)
def log10(x: Any, /) -> Any:
    """The logarithm to base 10 of each element."""
    return exponentials.log10(inexact(np.log10, x))


@ufunc_function(np.log1p)
def log1p(x: Any, /) -> Any:
    """``log(1 + x)``, accurate near zero."""
    return exponentials.log1p(inexact(np.log1p, x))


def _log_of_sum(x: Any, y: Any, power: Any, scale: float) -> Any:
    # max + log(1 + base ** -|x - y|); equal elements, infinities included, are at distance 0.
    tie = logical.eq(x, y)
    zero = x.dtype.type(0)
    ours, theirs = logical.select(tie, zero, x), logical.select(tie, zero, y)
    distance = complexes.abs(arithmetic.sub(ours, theirs))
    rest = exponentials.log1p(power(arithmetic.neg(distance)))
    if scale != 1.0:
        rest = arithmetic.mul(rest, rest.dtype.type(scale))
    return arithmetic.add(arithmetic.max(x, y), rest)


@ufunc_function(np.logaddexp)
def logaddexp(x1: Any, x2: Any, /) -> Any:
    """``log(exp(x1) + exp(x2))`` without overflow."""
    x, y = loop_operands(np.logaddexp, x1, x2)
    return _log_of_sum(x, y, exponentials.exp, 1.0)


@ufunc_function(np.logaddexp2)
def logaddexp2(x1: Any, x2: Any, /) -> Any:
    """``log2(2**x1 + 2**x2)`` without overflow."""
    x, y = loop_operands(np.logaddexp2, x1, x2)
    return _log_of_sum(x, y, exponentials.exp2, 1.0 / math.log(2.0))


# --- trigonometry ------------------------------------------------------------------------------


@ufunc_function(np.sin)
def sin(x: Any, /) -> Any:
    """Sine of each element, in radians.

    Example:
        >>> sin(0.0)
        np.float64(0.0)
    """
    return transcendental.sin(inexact(np.sin, x))


@ufunc_function(np.cos)
def cos(x: Any, /) -> Any:
    """Cosine of each element, in radians."""
    return transcendental.cos(inexact(np.cos, x))


@ufunc_function(np.tan)
def tan(x: Any, /) -> Any:
    """Tangent of each element, in radians."""
    return transcendental.tan(inexact(np.tan, x))


@ufunc_function(np.arcsin)
def arcsin(x: Any, /) -> Any:
    """The angle, in radians, whose sine each element is."""
    return transcendental.asin(inexact(np.arcsin, x))


@ufunc_function(np.arccos)
def arccos(x: Any, /) -> Any:
    """The angle, in radians, whose cosine each element is."""
    return transcendental.acos(inexact(np.arccos, x))


@ufunc_function(np.arctan)
def arctan(x: Any, /) -> Any:
    """The angle, in radians, whose tangent each element is."""
    return transcendental.atan(inexact(np.arctan, x))


@ufunc_function(np.arctan2)
def arctan2(x1: Any, x2: Any, /) -> Any:
    """The angle of the point ``(x2, x1)``, in radians."""
    return transcendental.atan2(*loop_operands(np.arctan2, x1, x2))


asin, acos, atan, atan2 = arcsin, arccos, arctan, arctan2


@ufunc_function(np.sinh)
def sinh(x: Any, /) -> Any:
    """Hyperbolic sine of each element."""
    return transcendental.sinh(inexact(np.sinh, x))


@ufunc_function(np.cosh)
def cosh(x: Any, /) -> Any:
    """Hyperbolic cosine of each element."""
    return transcendental.cosh(inexact(np.cosh, x))


@ufunc_function(np.tanh)
def tanh(x: Any, /) -> Any:
    """Hyperbolic tangent of each element."""
    return transcendental.tanh(inexact(np.tanh, x))


@ufunc_function(np.arcsinh)
def arcsinh(x: Any, /) -> Any:
    """The inverse of ``sinh``."""
    return transcendental.asinh(inexact(np.arcsinh, x))


@ufunc_function(np.arccosh)
def arccosh(x: Any, /) -> Any:
    """The inverse of ``cosh``."""
    return transcendental.acosh(inexact(np.arccosh, x))


@ufunc_function(np.arctanh)
def arctanh(x: Any, /) -> Any:
    """The inverse of ``tanh``."""
    return transcendental.atanh(inexact(np.arctanh, x))


asinh, acosh, atanh = arcsinh, arccosh, arctanh


def _scaled(ufunc: np.ufunc, x: Any, factor: float) -> Any:
    x = inexact(ufunc, x)
    return arithmetic.mul(x, x.dtype.type(factor))


@ufunc_function(np.degrees)
def degrees(x: Any, /) -> Any:
    """Radians to degrees."""
    return _scaled(np.degrees, x, 180.0 / math.pi)


@ufunc_function(np.radians)
def radians(x: Any, /) -> Any:
    """Degrees to radians."""
    return _scaled(np.radians, x, math.pi / 180.0)


@ufunc_function(np.rad2deg)
def rad2deg(x: Any, /) -> Any:
    """Radians to degrees."""
    return _scaled(np.rad2deg, x, 180.0 / math.pi)


@ufunc_function(np.deg2rad)
def deg2rad(x: Any, /) -> Any:
    """Degrees to radians."""
    return _scaled(np.deg2rad, x, math.pi / 180.0)


# --- special functions NumPy has ---------------------------------------------------------------

_SINC_SERIES = [(-1.0) ** k / math.factorial(2 * k + 1) for k in range(9)]


@numpy_function(np.sinc)
def sinc(x: Any) -> Any:
    """``sin(pi x) / (pi x)``, 1 at zero; smooth there, with all its derivatives."""
    x = operand(x)
    if x.dtype.kind not in "fc":
        x = convert_element_type(x, np.float64)
    y = arithmetic.mul(x, x.dtype.type(math.pi))
    near = logical.lt(complexes.abs(y), np.empty(0, y.dtype).real.dtype.type(0.5))
    safe = logical.select(near, y.dtype.type(1), y)
    far_value = arithmetic.div(transcendental.sin(safe), safe)
    # The quotient loses its derivatives at 0; the series has them.
    small = logical.select(near, y, y.dtype.type(0))
    square = arithmetic.mul(small, small)
    return logical.select(near, _polynomial(square, _SINC_SERIES), far_value)


def _polynomial(x: Any, coefficients: list[float]) -> Any:
    """Evaluate ``sum(c[k] * x**k)`` by Horner's rule."""
    total = full(shape_of(x), coefficients[-1], x.dtype)
    for c in reversed(coefficients[:-1]):
        total = arithmetic.add(arithmetic.mul(total, x), x.dtype.type(c))
    return total


_I0_TERMS = 36


@numpy_function(np.i0)
def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind, order 0."""
    x = operand(x)
    if x.dtype.kind == "c":
        raise TypeError("i0 not supported for complex values")
    if x.dtype.kind != "f":
        x = convert_element_type(x, np.float64)
    size = complexes.abs(x)
    one = x.dtype.type(1)
    near = logical.lt(size, x.dtype.type(20.0))
    square = _quarter_square(logical.select(near, x, x.dtype.type(0)))
    # The power series below 20; the asymptotic one, exp(x)/sqrt(2 pi x) (1 + 1/(8x) + ...), above.
    series = [1.0 / math.factorial(k) ** 2 for k in range(_I0_TERMS)]
    small = _polynomial(square, series)
    safe = logical.select(near, one, size)
    inverse = arithmetic.div(one, safe)
    tail = [1.0]
    for k in range(1, 18):
        tail.append(tail[-1] * (2 * k - 1) ** 2 / (8.0 * k))
    root = arithmetic.div(one, powers.sqrt(arithmetic.mul(safe, x.dtype.type(2 * math.pi))))
    half = exponentials.exp(arithmetic.mul(safe, x.dtype.type(0.5)))
    large = arithmetic.mul(
        arithmetic.mul(half, arithmetic.mul(half, root)), _polynomial(inverse, tail)
    )
    return logical.select(near, small, large)


def _quarter_square(x: Any) -> Any:
    """Return ``x**2 / 4``, the variable of the series of ``i0``."""
    return arithmetic.mul(arithmetic.mul(x, x), x.dtype.type(0.25))
