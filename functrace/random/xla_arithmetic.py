"""Elementary functions in the arithmetic of XLA on CPUs, operation by operation.

JAX's random numbers are what its compiler makes of ``log`` and the like: in float32 polynomials of
XLA's own, in float64 XLA's too or the C library's (glibc's, of 2018 and later, with fused
multiply-adds). Here is which operations these are, and in which order; where XLA's code generator
fuses a product and a sum, there is an ``fma``. Each is written once on ``Expr``: a kernel's scalar,
or an array of NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable

from functrace.compiler.ir.kernel import F32, F64
from functrace.compiler.ir.vecmath_expr import Expr, PerFormat, horner, power_of_two, scale, sel
from functrace.random import xla_tables as tables
from functrace.random.xla_tan import tan32

__all__ = ["ARITHMETIC", "FIRST_INTERVAL"]

_INF = float("inf")
_NAN = float("nan")


# --- log ---------------------------------------------------------------------------------------

_ROOT_HALF = float.fromhex("0x1.6a09e6p-1")
_LN2_HIGH = PerFormat("0x1.62e42fefa38p-1", "0x1.63p-1")
_LN2_LOW = PerFormat("0x1.ef35793c7673p-45", "-0x1.bd0106p-13")


def _edges(x: Expr, y: Expr) -> Expr:
    """Return y, or the logarithm of an x that isn't positive and finite."""
    y = sel(x > 0.0, y, _NAN)
    y = sel(x.eq(0.0), -_INF, y)
    return sel(x.eq(_INF), _INF, y)


def _log32(x: Expr) -> Expr:
    normal = sel(x > x.format.least, x, x.format.least)
    bits = normal.bits()
    k = (bits.lshr(23) - 127).cast(F32) + 1.0
    m = ((bits & 0x7FFFFF) | 0x3F000000).as_float()
    below = m < _ROOT_HALF
    k = k - sel(below, k.const(1.0), 0.0)
    f = (m - 1.0) + sel(below, m, 0.0)
    square = f * f
    cube = square * f
    c = tables.LOG(f)
    low, middle, high = (horner(f, c[i : i + 3]) for i in (0, 3, 6))
    rest = high.fma(cube, middle).fma(cube, low).fma(cube, k * _LN2_LOW(k))
    return _edges(x, k.fma(_LN2_HIGH(k), square.fma(-0.5, f) + rest))


FIRST_INTERVAL = 0x3FE6000000000000
"""The bits of the least number of the intervals of ``xla_tables.INVERSES``, 0.6875."""


def _log64(x: Expr, inverse: Expr, log: Expr) -> Expr:
    """Return log(x); ``inverse`` and ``log`` are those of x's interval."""
    small = x < x.format.least
    bits = sel(small, x * 2.0**52, x).bits()
    offset = bits + -FIRST_INTERVAL
    # 1024 is added to the exponent, and 2**52 is the number whose last bits are integers.
    k = ((offset + (1 << 62)).lshr(52) | (1075 << 52)).as_float()
    k = k - sel(small, x.const(2.0**52 + 1024 + 52), 2.0**52 + 1024)
    r = (bits + -(offset & (0xFFF << 52))).as_float().fma(inverse, -1.0)
    w = k.fma(_LN2_HIGH(x), log)
    high = w + r
    low = k.fma(_LN2_LOW(x), (w - high) + r)
    c = tables.LOG_REST(x)
    square = r * r
    low = square.fma(c[0], low)
    rest = r.fma(c[4], c[3]).fma(square, r.fma(c[2], c[1]))
    far = (r * square).fma(rest, low) + high
    return _edges(x, sel((x >= 0.9375) & (x < 1 + 0x109 / 0x1000), _log64_near(x - 1.0), far))


def _log64_near(r: Expr) -> Expr:
    """Return log(1 + r) of a small r: the square is taken in two parts."""
    c = tables.LOG_NEAR(r)
    square = r * r
    cube = r * square
    third, second, first = (square.fma(c[i + 2], r.fma(c[i + 1], c[i])) for i in (7, 4, 1))
    rest = cube.fma(c[10], third).fma(cube, second).fma(cube, first)
    upper = r.const(2.0**27).fma(-r, r.fma(2.0**27, r))
    part = upper * upper
    high = part.fma(c[0], r)
    low = ((r - upper) * c[0]).fma(r + upper, part.fma(c[0], r - high))
    return rest.fma(cube, low) + high


def _log(x: Expr, *entries: Expr) -> Expr:
    return _log64(x, *entries) if entries else _log32(x)


_LOG1P_NEAR = PerFormat("0x1.a827999fcef32p-2", "0x1.a8279ap-2")


def _log1p(x: Expr, *entries: Expr) -> Expr:
    """Return log(1 + x): of Cephes where x is small."""
    square = x * x
    ratio = horner(x, tables.LOG1P_OVER(x)) / horner(x, tables.LOG1P_BELOW(x))
    near = x + square.fma(-0.5, (x * square) * ratio)
    return sel(abs(x) < _LOG1P_NEAR(x), near, _log(x + 1.0, *entries))


# --- exp ---------------------------------------------------------------------------------------

_INV_LN2 = PerFormat("0x1.71547652b82fep+0", "0x1.715476p+0")
_LN2_FIRST = PerFormat("0x1.62e4p-1", "0x1.63p-1")
_LN2_REST = PerFormat("0x1.7f7d1cf79abcap-20", "-0x1.bd0106p-13")
_LEAST = PerFormat("-0x1.6232bdd7abcd2p+9", -87.8)
_MOST = PerFormat("0x1.62e42fefa39efp+9", 88.8)


def _exp(x: Expr) -> Expr:
    """Return e**x, of Cephes; nan where x is."""
    held = sel(x > _MOST(x), _MOST(x), x)
    held = sel(x < _LEAST(x), _LEAST(x), held)
    n = held.fma(_INV_LN2(x), 0.5).floor()
    if x.v.dtype == F32:
        n = sel(n > 127.0, 127.0, n)
        n = sel(n < -127.0, -127.0, n)
    r = n.fma(-_LN2_REST(x), n.fma(-_LN2_FIRST(x), held))
    square = r * r
    if x.v.dtype == F32:
        out = (horner(r, tables.EXP_OVER(r)).fma(square, r) + 1.0) * power_of_two(n)
        # XLA has the CPU take subnormal numbers for 0.
        return sel(out < x.format.least, 0.0, out)
    over = horner(square, tables.EXP_OVER(r)) * r
    below = horner(square, tables.EXP_BELOW(r)) - over
    out = scale((over / below).fma(2.0, 1.0), n)
    return sel(x > _MOST(x), _INF, sel(x < _LEAST(x), 0.0, out))


def _of_c(name: str, *args: Expr) -> Expr:
    """Return what a function of the C library returns, of float64."""
    b = args[0].b
    return Expr(b, b._op("extern", F64, *(x.v for x in args), attr=name))


# --- erf and its inverse -----------------------------------------------------------------------

_ERF_IS_ONE = float.fromhex("0x1.ea8f96p+1")


def _erf(x: Expr) -> Expr:
    if x.v.dtype == F64:
        return _of_c("erf", x)
    square = x * x
    out = x * horner(square, tables.ERF_OVER(x)) / horner(square, tables.ERF_BELOW(x))
    return sel(abs(x) >= _ERF_IS_ONE, x.const(1.0).signed_as(x), out)


def _erf_inv(x: Expr, *entries: Expr) -> Expr:
    """Return the inverse of erf: Giles, "Approximating the erfinv function" (2012)."""
    w = -_log1p(x * -x, *entries)
    root = w.sqrt()
    if x.v.dtype == F32:
        near = w < 5.0
        t = sel(near, w - 2.5, root - 3.0)
        choices = [(near, tables.ERF_INV_NEAR)]
    else:
        near, far = w < 6.25, w < 16.0
        t = sel(near, w - 3.125, root - sel(far, w.const(3.25), 5.0))
        choices = [(far, tables.ERF_INV_FAR), (near, tables.ERF_INV_NEAR)]
    last = tables.ERF_INV_FAR if x.v.dtype == F32 else tables.ERF_INV_FARTHEST
    total = t.const(0.0)
    for i in reversed(range(len(last(t)))):
        coefficient = t.const(last(t)[i])
        for chosen, numbers in choices:
            coefficient = sel(chosen, t.const(numbers(t)[i]), coefficient)
        total = total.fma(t, coefficient)
    return x * sel(abs(x).eq(1.0), _INF, total)


# --- lgamma ------------------------------------------------------------------------------------

_LN_7_5 = float.fromhex("0x1.01e858p+1")
_LN_ROOT_2_PI = float.fromhex("0x1.d67f1cp-1")


def _lgamma(x: Expr) -> Expr:
    """Return the logarithm of the gamma function, in float32, from 0.5 on: that of Lanczos."""
    z = x - 1.0
    log = _log1p(z * float.fromhex("0x1.111112p-3")) + _LN_7_5
    first, *more = tables.LANCZOS(x)
    total = first / (z + 1.0) + 1.0
    for i, c in enumerate(more, 2):
        total = total + c / (z + float(i))
    return log.fma((z + 0.5) - (z + 7.5) / log, _LN_ROOT_2_PI) + _log(total)


# --- pow ---------------------------------------------------------------------------------------


def _pow64(x: Expr, y: Expr) -> Expr:
    out = _of_c("pow", x, y)
    return sel(abs(out) < x.format.least, 0.0, out)


def _tan(x: Expr) -> Expr:
    return tan32(x) if x.v.dtype == F32 else _of_c("tan", x)


ARITHMETIC: dict[str, Callable[..., Expr]] = {
    "log": _log,
    "log1p": _log1p,
    "exp": _exp,
    "erf": _erf,
    "erf_inv": _erf_inv,
    "lgamma": _lgamma,
    "pow": _pow64,
    "tan": _tan,
}
"""Each function of ``x`` and, if it has a logarithm of float64 in it, that one's table entries."""
