"""Trigonometry and hyperbolic functions, and their inverses."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.lowering import Elementwise
from functrace.ops.arithmetic import NOT_LINEAR, add, div, mul, neg, sub
from functrace.ops.exponentials import math_unary
from functrace.ops.families import FLOATING, INEXACT, binary
from functrace.ops.logical import eq, select
from functrace.ops.powers import hypot, sqrt, square

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "sin",
    "sinh",
    "tan",
    "tanh",
]

# --- sin, cos, tan -----------------------------------------------------------------------------

sin_p = math_unary("sin", np.sin, INEXACT)
cos_p = math_unary("cos", np.cos, INEXACT)
tan_p = math_unary("tan", np.tan, INEXACT)

sin_p.def_jvp_each(lambda t, out, x: mul(t, cos(x)))
cos_p.def_jvp_each(lambda t, out, x: mul(t, neg(sin(x))))
tan_p.def_jvp_each(lambda t, out, x: mul(t, add(square(out), 1.0)))


def sin(x: Any) -> Any:
    """Sine of each element, in radians."""
    return sin_p.bind(x)


def cos(x: Any) -> Any:
    """Cosine of each element, in radians."""
    return cos_p.bind(x)


def tan(x: Any) -> Any:
    """Tangent of each element, in radians."""
    return tan_p.bind(x)


# --- asin, acos, atan, atan2 -------------------------------------------------------------------

asin_p = math_unary("asin", np.arcsin, INEXACT)
acos_p = math_unary("acos", np.arccos, INEXACT)
atan_p = math_unary("atan", np.arctan, INEXACT)


def _root_of_one_minus_square(out: Any, x: Any) -> Any:
    """Return sqrt(1 - x**2) by its factors: precise near 1, right on the cuts of the plane."""
    low, high = sub(1.0, x), add(x, 1.0)
    if out.dtype.kind == "c":
        return mul(sqrt(low), sqrt(high))
    return sqrt(mul(low, high))


asin_p.def_jvp_each(lambda t, out, x: div(t, _root_of_one_minus_square(out, x)))
acos_p.def_jvp_each(lambda t, out, x: div(neg(t), _root_of_one_minus_square(out, x)))
atan_p.def_jvp_each(lambda t, out, x: div(t, add(square(x), 1.0)))


def asin(x: Any) -> Any:
    """Inverse sine of each element; NaN beyond -1 and 1."""
    return asin_p.bind(x)


def acos(x: Any) -> Any:
    """Inverse cosine of each element; NaN beyond -1 and 1."""
    return acos_p.bind(x)


def atan(x: Any) -> Any:
    """Inverse tangent of each element."""
    return atan_p.bind(x)


atan2_p = binary(
    "atan2",
    np.arctan2,
    FLOATING,
    Elementwise(lambda b, y, x: b.math("atan2", y, x)),
    not_linear=NOT_LINEAR,
)


def _over_square(part: Any, y: Any, x: Any) -> Any:
    """Return ``part / (x**2 + y**2)`` without overflow on the way; 0 at the origin."""
    radius = hypot(x, y)
    radius = select(eq(radius, 0.0), radius.dtype.type(1), radius)
    return div(div(part, radius), radius)


atan2_p.def_jvp_each(
    lambda t, out, y, x: mul(t, _over_square(x, y, x)),
    lambda t, out, y, x: mul(t, neg(_over_square(y, y, x))),
)


def atan2(y: Any, x: Any) -> Any:
    """Angle of the point (x, y), from -pi to pi; its gradient at the origin is 0."""
    return atan2_p.bind(y, x)


# --- sinh, cosh, tanh --------------------------------------------------------------------------

sinh_p = math_unary("sinh", np.sinh, INEXACT)
cosh_p = math_unary("cosh", np.cosh, INEXACT)
tanh_p = math_unary("tanh", np.tanh, INEXACT)

sinh_p.def_jvp_each(lambda t, out, x: mul(t, cosh(x)))
cosh_p.def_jvp_each(lambda t, out, x: mul(t, sinh(x)))
tanh_p.def_jvp_each(lambda t, out, x: mul(t, mul(sub(1.0, out), add(out, 1.0))))


def sinh(x: Any) -> Any:
    """Hyperbolic sine of each element."""
    return sinh_p.bind(x)


def cosh(x: Any) -> Any:
    """Hyperbolic cosine of each element."""
    return cosh_p.bind(x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent of each element."""
    return tanh_p.bind(x)


# --- asinh, acosh, atanh -----------------------------------------------------------------------

asinh_p = math_unary("asinh", np.arcsinh, INEXACT)
acosh_p = math_unary("acosh", np.arccosh, INEXACT)
atanh_p = math_unary("atanh", np.arctanh, INEXACT)


@asinh_p.def_jvp_each
def _asinh_jvp(t: Any, out: Any, x: Any) -> Any:
    if out.dtype.kind == "c":
        return div(t, sqrt(add(square(x), 1.0)))
    return div(t, hypot(x, 1.0))


acosh_p.def_jvp_each(lambda t, out, x: div(t, mul(sqrt(sub(x, 1.0)), sqrt(add(x, 1.0)))))
atanh_p.def_jvp_each(lambda t, out, x: div(t, mul(sub(1.0, x), add(x, 1.0))))


def asinh(x: Any) -> Any:
    """Inverse hyperbolic sine of each element."""
    return asinh_p.bind(x)


def acosh(x: Any) -> Any:
    """Inverse hyperbolic cosine of each element; NaN below 1."""
    return acosh_p.bind(x)


def atanh(x: Any) -> Any:
    """Inverse hyperbolic tangent of each element; NaN beyond -1 and 1."""
    return atanh_p.bind(x)
