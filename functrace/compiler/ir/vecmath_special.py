"""erf, erfc, erf_inv, digamma, cbrt and hypot."""

from __future__ import annotations

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import Scalar
from functrace.compiler.ir.vecmath_exp import clamp, power_of_two, reduce
from functrace.compiler.ir.vecmath_expr import (
    MAGIC,
    Expr,
    done,
    horner,
    poly,
    real,
    sel,
    two_prod,
)
from functrace.compiler.ir.vecmath_log import exponent_and_mantissa, log_of
from functrace.compiler.ir.vecmath_tables import (
    CBRT,
    ERF,
    ERF_INV_CENTRE,
    ERF_INV_TAIL,
    ERF_LOW,
    ERFCX,
    ERFCX_LOW,
)

_INF = float("inf")
_PI = float.fromhex("0x1.921fb54442d18p+1")
_TWO_OVER_ROOT_PI = float.fromhex("0x1.20dd750429b6dp+0")


# ---- error functions ---------------------------------------------------------------------------


def _erfc_tail(size: Expr, low: bool) -> Expr:
    """erfc(a) for a >= 0: exp(-a**2) times a smooth function of (a - 4) / (a + 4)."""
    a = clamp(size, 0.0, 11.0 if low else 27.9)
    q = (a - 4.0) / (a + 4.0)
    smooth = poly(q, ERFCX_LOW if low else ERFCX) / (a * 2.0 + 1.0)
    square, error = two_prod(a, a)
    # exp(-a**2) * smooth with one rounding at the end, where results are subnormal.
    part = reduce(-square, low, -error)
    half = (part.n * 0.5 + MAGIC) - MAGIC
    near = (part.p + 1.0) * smooth
    return near * power_of_two(half) * power_of_two(part.n - half)


def erf(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    size = abs(x)
    z = clamp(size, 0.0, 1.0)
    near = size * poly(z * z, ERF_LOW if low else ERF)
    out = sel(size < 1.0, near, 1.0 - _erfc_tail(size, low))
    return done(sel(x.ne(x), x, out.signed_as(x)), low)


def erfc(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    size = abs(x)
    tail = _erfc_tail(size, low)
    near = 1.0 - x * poly(clamp(size, 0.0, 1.0) * clamp(size, 0.0, 1.0), ERF_LOW if low else ERF)
    out = sel(x < 0.0, 2.0 - tail, tail)
    return done(sel(size < 0.25, near, out), low)


def erf_inv(b: Builder, v: Scalar) -> Scalar:
    """A guess of six digits from w = -log(1 - x**2), then a step of third order on erf or erfc."""
    x, low = real(b, v)
    size = abs(x)
    rest = 1.0 - size
    w = clamp(-log_of(rest * (size + 1.0), low), 0.0, 37.2)
    tail = w > 6.25
    t = sel(tail, w.sqrt(), w)
    ratio = t * 0.0
    for near_c, tail_c in zip(reversed(ERF_INV_CENTRE), reversed(ERF_INV_TAIL), strict=True):
        ratio = ratio * t + sel(tail, t * 0.0 + tail_c, near_c)
    y = size * ratio
    unit = clamp(y, 0.0, 1.0)
    near = y * poly(unit * unit, ERF_LOW if low else ERF)
    error = sel(size > 0.5, rest - _erfc_tail(y, low), near - size)
    u = error * (reduce(y * y, low).value() * (1.0 / _TWO_OVER_ROOT_PI))
    y = y - u / (y * u + 1.0)
    y = sel(size.eq(1.0), _INF, y)
    y = sel(size < 1e-8, size * (1.0 / _TWO_OVER_ROOT_PI), y)
    y = sel(size > 1.0, float("nan"), y)
    return done(sel(x.ne(x), x, y.signed_as(x)), low)


# ---- gamma -------------------------------------------------------------------------------------

# Bernoulli numbers over 2n: the asymptotic series of digamma in 1 / x**2.
_DIGAMMA = (
    1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132, -691.0 / 32760, 1.0 / 12,
    -3617.0 / 8160,
)  # fmt: skip
_STEPS = 10


def digamma(b: Builder, v: Scalar) -> Scalar:
    """Reflection below 0, recurrence up to 10, then the asymptotic series."""
    x, low = real(b, v)
    flip = x <= 0.0
    start = sel(flip, 1.0 - x, x)
    y, num, den = start, start * 0.0, start * 0.0 + 1.0
    for _ in range(_STEPS):
        more = y < float(_STEPS)
        num = sel(more, num * y + den, num)
        den = sel(more, den * y, den)
        y = sel(more, y + 1.0, y)
    inverse = 1.0 / y
    z = inverse * inverse
    series = z * horner(z, _DIGAMMA)
    out = (log_of(y, low) - inverse * 0.5) - series - num / den
    turn = x - x.rint()
    out = sel(flip, out - _PI / _tan_pi(turn, low), out)
    out = sel(flip & turn.eq(0.0), float("nan"), out)
    zero = sel(x.bits() < 0, x * 0.0 + _INF, -_INF)
    return done(sel(x.eq(0.0), zero, sel(x.eq(_INF), x, out)), low)


def _tan_pi(t: Expr, low: bool) -> Expr:
    """tan(pi t) for |t| <= 1/2, as a quotient of Taylor polynomials around the nearer end."""
    a = abs(t)
    upper = a > 0.25
    r = sel(upper, 0.5 - a, a) * _PI
    z = r * r
    sine = r * poly(z, _SIN_TAYLOR)
    cosine = poly(z, _COS_TAYLOR)
    return (sel(upper, cosine, sine) / sel(upper, sine, cosine)).signed_as(t)


def _taylor(first: int, count: int) -> tuple[float, ...]:
    out, term = [], 1.0
    for k in range(count):
        out.append(term)
        n = first + 2 * k
        term = -term / ((n + 1) * (n + 2))
    return tuple(out)


_SIN_TAYLOR = _taylor(1, 9)
_COS_TAYLOR = _taylor(0, 9)


# ---- roots -------------------------------------------------------------------------------------


def cbrt(b: Builder, v: Scalar) -> Scalar:
    """Two Halley steps on a short polynomial, then one on a rounded root whose square is exact."""
    x, low = real(b, v)
    size = abs(x)
    usual = (size > 0.0) & (size < _INF)
    k, m = exponent_and_mantissa(sel(usual, size, 1.0))
    third = (k * (1.0 / 3.0) + MAGIC) - MAGIC
    m = m * power_of_two(k - third * 3.0)
    t = poly(m, CBRT)
    cube = t * t * t
    t = t * ((cube + m * 2.0) / (cube * 2.0 + m))
    t = (t.bits() + 0x40000000 & -0x80000000).as_double()
    r = m / (t * t)
    t = t + t * ((r - t) / (t + t + r))
    out = t * power_of_two(third)
    return done(sel(usual, out.signed_as(x), x), low)


def hypot(b: Builder, v: Scalar, w: Scalar) -> Scalar:
    x, low = real(b, v)
    y, _ = real(b, w)
    x, y = abs(x), abs(y)
    swap = y > x
    big, small = sel(swap, y, x), sel(swap, x, y)
    up, down = big > 2.0**500, big < 2.0**-400
    unit = big * 0.0 + 1.0
    factor = sel(up, 2.0**-600, sel(down, 2.0**600, unit))
    back = sel(up, 2.0**600, sel(down, 2.0**-600, unit))
    u, s = big * factor, small * factor
    high, e1 = two_prod(u, u)
    lower, e2 = two_prod(s, s)
    out = (high + (lower + (e1 + e2))).sqrt() * back
    infinite = x.eq(_INF) | y.eq(_INF)
    out = sel(x.ne(x) | y.ne(y), x + y, out)
    return done(sel(infinite, _INF, out), low)
