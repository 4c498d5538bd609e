"""Elementary functions of complex values, from the real ones; complex64 is computed in complex128.

The formulas are the usual ones and, for the inverse functions, Kahan's, which keep their accuracy
and the sides of their branch cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.compiler.ir.arithmetic import Arithmetic
from functrace.compiler.ir.kernel import F64, Complex, DType, Scalar, Value
from functrace.compiler.ir.vecmath_expr import Expr, sel

Pair = tuple[Expr, Expr]
Rule = Callable[..., Pair]

_C128: DType = np.dtype(np.complex128)
_INF = float("inf")
_LN2 = float.fromhex("0x1.62e42fefa39efp-1")


def apply(b: Arithmetic, name: str, args: Sequence[Value]) -> Value:
    """The complex function `name`."""
    rule = RULES.get(name)
    if rule is None:
        raise TypeError(f"{name} is not defined for complex values")
    wide = [b.cast(a, _C128) for a in args]
    pairs = [(Expr(b, z.re), Expr(b, z.im)) for z in wide if isinstance(z, Complex)]
    re, im = rule(*pairs)
    return b.cast(Complex(_C128, re.v, im.v), args[0].dtype)


def _m(name: str, *args: Expr) -> Expr:
    """A real function."""
    b = args[0].b
    if name == "sqrt":
        return args[0].sqrt()
    result: Scalar = b._op("math", F64, *(a.v for a in args), attr=name)
    return Expr(b, result)


def _like(x: Expr, value: float) -> Any:
    return Expr(x.b, x.b._const(value, F64))


def _mul(z: Pair, w: Pair) -> Pair:
    return z[0] * w[0] - z[1] * w[1], z[0] * w[1] + z[1] * w[0]


def _choose(p: Expr, z: Pair, w: Pair) -> Pair:
    return sel(p, z[0], w[0]), sel(p, z[1], w[1])


def _times_i(z: Pair) -> Pair:
    return -z[1], z[0]


def _over_i(z: Pair) -> Pair:
    return z[1], -z[0]


def _flip(z: Pair) -> Pair:
    """1 - z, with -0.0 where z's imaginary part is 0.0: the other side of the cut."""
    return 1.0 - z[0], -z[1]


# ---- exponentials ------------------------------------------------------------------------------


def _exp(z: Pair) -> Pair:
    x, y = z
    # e**x may overflow where e**x cos(y) doesn't: take some of it out.
    large = x > 700.0
    size = _m("exp", sel(large, x - 700.0, x))
    rest = sel(large, _m("exp", _like(x, 700.0)), _like(x, 1.0))
    re, im = size * _m("cos", y) * rest, size * _m("sin", y) * rest
    im = sel(y.eq(0.0), y, im)
    gone = x.eq(-_INF) & ~(abs(y) < _INF)
    lost = x.eq(_INF) & ~(abs(y) < _INF)
    re = sel(gone, 0.0, sel(lost, x, re))
    return re, sel(gone, 0.0, im)


def _exp2(z: Pair) -> Pair:
    return _exp((z[0] * _LN2, z[1] * _LN2))


def _expm1(z: Pair) -> Pair:
    x, y = z
    half = _m("sin", y * 0.5)
    re = _m("expm1", x) * _m("cos", y) - half * half * 2.0
    im = sel(y.eq(0.0), y, _m("exp", x) * _m("sin", y))
    return sel(y.eq(0.0), _m("expm1", x), re), im


def _logistic(z: Pair) -> Pair:
    re, im = _exp((-z[0], -z[1]))
    return _reciprocal((re + 1.0, im))


def _reciprocal(z: Pair) -> Pair:
    b = z[0].b
    out = b.div(Complex(_C128, b._const(1, F64), b._const(0, F64)), Complex(_C128, z[0].v, z[1].v))
    assert isinstance(out, Complex)
    return Expr(b, out.re), Expr(b, out.im)


def _sinh(z: Pair) -> Pair:
    x, y = z
    re, im = _m("sinh", x) * _m("cos", y), _m("cosh", x) * _m("sin", y)
    return sel(x.eq(0.0) & abs(y).eq(_INF), x, re), sel(y.eq(0.0), y, im)


def _cosh(z: Pair) -> Pair:
    x, y = z
    re, im = _m("cosh", x) * _m("cos", y), _m("sinh", x) * _m("sin", y)
    return re, sel(x.eq(0.0) | y.eq(0.0), x * y, im)


def _tanh(z: Pair) -> Pair:
    x, y = z
    t, s = _m("tan", y), _m("sinh", x)
    beta = t * t + 1.0
    den = beta * s * s + 1.0
    re, im = beta * (s * s + 1.0).sqrt() * s / den, t / den
    far = abs(x) > 22.0
    edge = _m("exp", abs(x) * -2.0) * _m("sin", y) * _m("cos", y) * 4.0
    edge = sel(x.eq(_INF) | x.eq(-_INF), _like(x, 0.0).signed_as(edge), edge)
    re = sel(far, _like(x, 1.0).signed_as(x), re)
    return sel(x.ne(x), x, re), sel(far, edge, im)


def _sin(z: Pair) -> Pair:
    return _over_i(_sinh(_times_i(z)))


def _cos(z: Pair) -> Pair:
    return _cosh(_times_i(z))


def _tan(z: Pair) -> Pair:
    return _over_i(_tanh(_times_i(z)))


# ---- logarithms and roots ----------------------------------------------------------------------


def _log_size(x: Expr, y: Expr) -> Expr:
    """log |z|, by log1p where |z| is near 1, scaled where |z| leaves the range."""
    x, y = abs(x), abs(y)
    swap = y > x
    big, small = sel(swap, y, x), sel(swap, x, y)
    one = _like(x, 1.0)
    huge, tiny = big > 2.0**1000, big < 2.0**-1000
    factor = sel(huge, 2.0**-100, sel(tiny, 2.0**100, one))
    shift = sel(huge, 100.0 * _LN2, sel(tiny, -100.0 * _LN2, one * 0.0))
    far = _m("log", _m("hypot", big * factor, small * factor)) + shift
    near = _m("log1p", (big - 1.0) * (big + 1.0) + small * small) * 0.5
    return sel((big > 0.5) & (big < 2.0) & (big * big + small * small < 3.0), near, far)


def _log(z: Pair) -> Pair:
    return _log_size(*z), _m("atan2", z[1], z[0])


def _log2(z: Pair) -> Pair:
    re, im = _log(z)
    return re * (1.0 / _LN2), im * (1.0 / _LN2)


def _log10(z: Pair) -> Pair:
    inverse = float.fromhex("0x1.bcb7b1526e50ep-2")
    re, im = _log(z)
    return re * inverse, im * inverse


def _log1p(z: Pair) -> Pair:
    x, y = z
    u = x + 1.0
    near = (abs(x) < 0.5) & (abs(y) < 0.5)
    re = sel(near, _m("log1p", x * (x + 2.0) + y * y) * 0.5, _log_size(u, y))
    return re, _m("atan2", y, u)


def _sqrt(z: Pair) -> Pair:
    x, y = z
    ax, ay = abs(x), abs(y)
    big = sel(ax < ay, ay, ax)
    one = _like(x, 1.0)
    huge, tiny = big > 2.0**1000, big < 2.0**-900
    factor = sel(huge, 2.0**-4, sel(tiny, 2.0**120, one))
    back = sel(huge, 4.0, sel(tiny, 2.0**-60, one))
    u, v = ax * factor, ay * factor
    t = ((u + _m("hypot", u, v)) * 0.5).sqrt()
    other = sel(t.eq(0.0), 0.0, v / (t + t)) * back
    t = t * back
    right = ~(x.bits() < 0)
    re, im = sel(right, t, other), sel(right, other, t).signed_as(y)
    im = sel(ay.eq(_INF), y, sel(ax.eq(_INF) & right, (ay * 0.0).signed_as(y), im))
    re = sel(ay.eq(_INF), _INF, sel(ax.eq(_INF), sel(right, ax, ay * 0.0), re))
    return re, sel(y.ne(y), y, im)


def _pow(z: Pair, w: Pair) -> Pair:
    """exp(w log z), with small whole exponents by multiplication as NumPy has them."""
    out = _exp(_mul(w, _log(z)))
    square = _mul(z, z)
    real_power = w[1].eq(0.0)
    for n, value in ((1.0, z), (2.0, square), (3.0, _mul(square, z))):
        out = _choose(real_power & w[0].eq(n), value, out)
    origin = z[0].eq(0.0) & z[1].eq(0.0)
    nothing, nan = _like(z[0], 0.0), _like(z[0], float("nan"))
    at_zero = sel(w[0] > 0.0, nothing, nan)
    out = _choose(origin, (at_zero, at_zero), out)
    return _choose(real_power & w[0].eq(0.0), (_like(z[0], 1.0), nothing), out)


# ---- inverse functions -------------------------------------------------------------------------


def _asin(z: Pair) -> Pair:
    left, right = _sqrt(_flip(z)), _sqrt((z[0] + 1.0, z[1]))
    re = _m("atan2", z[0], left[0] * right[0] - left[1] * right[1])
    return re, _m("asinh", left[0] * right[1] - left[1] * right[0])


def _acos(z: Pair) -> Pair:
    left, right = _sqrt(_flip(z)), _sqrt((z[0] + 1.0, z[1]))
    re = _m("atan2", left[0], right[0]) * 2.0
    return re, _m("asinh", right[0] * left[1] - right[1] * left[0])


def _acosh(z: Pair) -> Pair:
    left, right = _sqrt((z[0] - 1.0, z[1])), _sqrt((z[0] + 1.0, z[1]))
    re = _m("asinh", left[0] * right[0] + left[1] * right[1])
    return re, _m("atan2", left[1], right[0]) * 2.0


def _asinh(z: Pair) -> Pair:
    return _over_i(_asin(_times_i(z)))


def _atanh(z: Pair) -> Pair:
    # An odd function: at the right half plane nothing cancels.
    x, y = abs(z[0]), z[1]
    rest = 1.0 - x
    re = _m("log1p", x * 4.0 / (rest * rest + y * y)) * 0.25
    im = _m("atan2", y + y, rest * (x + 1.0) - y * y) * 0.5
    endless = x.eq(_INF) | abs(y).eq(_INF)
    re = sel(endless, 0.0, re)
    im = sel(endless, _like(x, 0.5 * np.pi).signed_as(y), im)
    return re.signed_as(z[0]), im


def _atan(z: Pair) -> Pair:
    return _over_i(_atanh(_times_i(z)))


RULES: dict[str, Rule] = {
    "exp": _exp,
    "exp2": _exp2,
    "expm1": _expm1,
    "logistic": _logistic,
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "sin": _sin,
    "cos": _cos,
    "tan": _tan,
    "log": _log,
    "log2": _log2,
    "log10": _log10,
    "log1p": _log1p,
    "sqrt": _sqrt,
    "pow": _pow,
    "asin": _asin,
    "acos": _acos,
    "atan": _atan,
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
}
