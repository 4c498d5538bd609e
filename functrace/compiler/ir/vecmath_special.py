"""erf, erfc, erf_inv, cbrt and hypot."""

from __future__ import annotations

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import F32, F64, Scalar
from functrace.compiler.ir.vecmath_exp import exp_in_parts, exp_of, held, reduce, stretch
from functrace.compiler.ir.vecmath_expr import (
    Expr,
    PerFormat,
    clamp,
    fast_two_sum,
    horner,
    nearest,
    poly,
    power_of_two,
    sel,
    two_prod,
)
from functrace.compiler.ir.vecmath_log import exponent_and_mantissa, log_of
from functrace.compiler.ir.vecmath_tables import (
    ERF,
    ERF_INV_CENTRE,
    ERF_INV_TAIL,
    ERFC_ROOT,
    ERFCX,
    INVERSE_CBRT,
)

_INF = float("inf")
_HALF_ROOT_PI = float.fromhex("0x1.c5bf891b4ef6bp-1")
# Where the series of erf ends: both sides of it are equally exact there.
_ERF_NEAR = PerFormat(0.9, 1.25)
# erfc is 0 beyond.
_ERFC_END = PerFormat(27.3, 10.1)
# What large and small operands of hypot are multiplied by, and from where on.
_LARGE = PerFormat(2.0**500, 2.0**60)
_SMALL = PerFormat(2.0**-400, 2.0**-40)
_FACTOR = PerFormat(2.0**600, 2.0**80)


# ---- error functions ---------------------------------------------------------------------------


def _erfcx(a: Expr) -> tuple[Expr, Expr]:
    """exp(a**2) erfc(a) for a >= 0, as a sum of two.

    It is a smooth function of (a - 4) / (a + 4), over 1 + 2 a.
    """
    first, second = a + 4.0, a.fma(2.0, 1.0)
    inverse = 1.0 / (first * second)
    scale = first * inverse
    # From a / (a + 4), whose error is small where the function is steep.
    q = (a * second * inverse).fma(2.0, -1.0)
    start, *rest = ERFCX(q)
    # Two chains are faster; with float32's few terms one is fast enough, and loses less.
    smooth = q * (horner(q, rest) if q.v.dtype == F32 else poly(q, rest))
    total = smooth + start
    product, lost = two_prod(total, scale)
    lost = scale.fma(smooth - (total - start), lost)
    # 1 - scale (1 + 2 a) is what scale lacks, as a share of it.
    second_low = a.fma(2.0, 1.0 - second)
    return product, product.fma(scale.fma(-second_low, scale.fma(-second, 1.0)), lost)


def _erfc_tail(size: Expr) -> Expr:
    """erfc(a) for a >= 0."""
    a = clamp(size, 0.0, _ERFC_END(size))
    product, lost = _erfcx(a)
    square, error = two_prod(a, a)
    part = reduce(-square, -error)
    power, power_low = fast_two_sum(part.r, part.q)
    lost = power_low.fma(product, power.fma(lost, lost))
    high = power.fma(product, product)
    # One rounding at the end, where results are subnormal.
    return stretch(high + (power.fma(product, product - high) + lost), part.n)


def _erfc_beside_one(size: Expr) -> Expr:
    """erfc(a) for a > 0.9, to the last place of 1.

    With exp(-a**2) as `exp` computes it: what wants the derivative too computes it once.
    """
    square = size * size
    error = sel(size > _ERFC_END(size), 0.0, size.fma(size, -square))
    product, lost = _erfcx(clamp(size, 0.0, _ERFC_END(size)))
    n, power = exp_in_parts(held(-square))
    lost = error.fma(-product, lost)
    return stretch(product + power.fma(product, power.fma(lost, lost)), n)


def _erf_near(x: Expr) -> Expr:
    """erf(x) for small |x|."""
    z = x * x
    # One chain: sums of the even and of the odd terms would cancel.
    return x.fma(horner(z, ERF(z)), x)


def erf(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    size = abs(x)
    if v.dtype == F32:
        size = clamp(size, 0.0, 3.95)
        root = poly(size, ERFC_ROOT)
        square = root * root
        fourth = square * square
        tail = fourth * fourth
    else:
        tail = _erfc_beside_one(size)
    return sel(size < _ERF_NEAR(x), _erf_near(size), 1.0 - tail).signed_as(x).v


def erfc(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    size = abs(x)
    tail = _erfc_tail(size)
    out = sel(x < 0.0, 2.0 - tail, tail)
    return sel(size < 0.25, 1.0 - _erf_near(x), out).v


def _erf_inv_guess(size: Expr, w: Expr) -> Expr:
    """erf_inv(size) from w = -log(1 - size**2)."""
    tail = w > 6.25
    root = w.sqrt()
    if size.v.dtype == F32:
        root, w = root - 3.5, w - 3.125
    t = sel(tail, root, w)
    start, *rest = (
        sel(tail, t.const(far), near)
        for near, far in zip(ERF_INV_CENTRE(t), ERF_INV_TAIL(t), strict=True)
    )
    slope = rest.pop()
    for coefficient in reversed(rest):
        slope = slope.fma(t, coefficient)
    ratio = slope.fma(t, start)
    if size.v.dtype == F64:
        return size * ratio
    return size.fma(ratio, size * slope.fma(t, start - ratio))


def erf_inv(b: Builder, v: Scalar) -> Scalar:
    """A guess from w; in float64 one of six digits, then a step of third order on erf or erfc."""
    x = Expr(b, v)
    size = abs(x)
    w = -log_of(size.fma(-size, 1.0))
    if v.dtype == F32:
        y = _erf_inv_guess(size, w)
        return sel(size.eq(1.0), _INF, y).signed_as(x).v
    rest = 1.0 - size
    y = _erf_inv_guess(size, clamp(w, 0.0, 37.2))
    error = sel(size > 0.5, rest - _erfc_tail(y), _erf_near(y) - size)
    u = error * (exp_of(y * y) * _HALF_ROOT_PI)
    y = y - u / y.fma(u, 1.0)
    y = sel(size.eq(1.0), _INF, y)
    y = sel(size < 1e-8, size * _HALF_ROOT_PI, y)
    y = sel(size > 1.0, float("nan"), y)
    return sel(x.ne(x), x, y.signed_as(x)).v


# ---- roots -------------------------------------------------------------------------------------


def cbrt(b: Builder, v: Scalar) -> Scalar:
    """1 / cbrt by a polynomial and a step of fourth order, then Newton's step without division."""
    x = Expr(b, v)
    size = abs(x)
    usual = (size > 0.0) & (size < _INF)
    k, m = exponent_and_mantissa(sel(usual, size, 1.0))
    third = nearest(k * (1.0 / 3.0))
    m = m * power_of_two(third.fma(-3.0, k))
    y = poly(m, INVERSE_CBRT)
    e = (y * y).fma(-(m * y), 1.0)
    y = (y * e).fma(e.fma(e.fma(14.0 / 81.0, 2.0 / 9.0), 1.0 / 3.0), y)
    inverse = y * y
    t = m * inverse
    square = t * t
    # t - (t**3 - m) / (3 t**2), the residue by fma as if t * t were exact.
    low = t.fma(t, -square)
    residue = low.fma(t, square.fma(t, -m))
    t = (residue * inverse).fma(-1.0 / 3.0, t)
    out = t * power_of_two(third)
    return sel(usual, out.signed_as(x), x).v


def hypot(b: Builder, v: Scalar, w: Scalar) -> Scalar:
    x, y = abs(Expr(b, v)), abs(Expr(b, w))
    swap = y > x
    big, small = sel(swap, y, x), sel(swap, x, y)
    up, down = big > _LARGE(x), big < _SMALL(x)
    unit, factor = x.const(1.0), _FACTOR(x)
    scale = sel(up, 1.0 / factor, sel(down, factor, unit))
    back = sel(up, factor, sel(down, 1.0 / factor, unit))
    u, s = big * scale, small * scale
    high, lost = two_prod(u, u)
    out = (high + s.fma(s, lost)).sqrt() * back
    infinite = x.eq(_INF) | y.eq(_INF)
    out = sel(x.ne(x) | y.ne(y), x + y, out)
    return sel(infinite, _INF, out).v
