"""sin, cos, tan and their inverses.

Arguments up to 1.6 million are reduced here, in three exact steps and a tail; the few beyond take
a branch to the C library, which LLVM turns into a masked call that is not made when no lane needs
it.
"""

from __future__ import annotations

from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import F64, Scalar
from functrace.compiler.ir.vecmath_expr import MAGIC, Expr, done, poly, real, sel
from functrace.compiler.ir.vecmath_tables import ASIN, ASIN_LOW, ATAN, ATAN_LOW

_TWO_OVER_PI = float.fromhex("0x1.45f306dc9c883p-1")
# pi/2 in three parts of 33 bits, each exact when multiplied by 20 bits, and a tail.
_PIO2_1 = float.fromhex("0x1.921fb54400000p+0")
_PIO2_2 = float.fromhex("0x1.0b4611a600000p-34")
_PIO2_3 = float.fromhex("0x1.3198a2e000000p-69")
_PIO2_TAIL = float.fromhex("0x1.b839a252049c1p-104")
_LARGEST = 1.6e6
_PIO4 = float.fromhex("0x1.921fb54442d18p-1")
_PIO4_LOW = float.fromhex("0x1.1a62633145c07p-55")
_TAN_PIO8 = float.fromhex("0x1.a827999fcef32p-2")
_INF = float("inf")
_SIN = tuple(
    map(
        float.fromhex,
        (
            "-0x1.5555555555549p-3",
            "0x1.111111110f8a6p-7",
            "-0x1.a01a019c161d5p-13",
            "0x1.71de357b1fe7dp-19",
            "-0x1.ae5e68a2b9cebp-26",
            "0x1.5d93a5acfd57cp-33",
        ),
    )
)
_COS = tuple(
    map(
        float.fromhex,
        (
            "0x1.555555555554cp-5",
            "-0x1.6c16c16c15177p-10",
            "0x1.a01a019cb1590p-16",
            "-0x1.27e4f809c52adp-22",
            "0x1.1ee9ebdb4b1c4p-29",
            "-0x1.8fae9be8838d4p-37",
        ),
    )
)


@dataclass(frozen=True)
class _Angle:
    """x = quarter * pi/2 + high + low; `quarter` is an int64 right in its low bits."""

    quarter: Expr
    high: Expr
    low: Expr

    def sin(self) -> Expr:
        x, y = self.high, self.low
        z = x * x
        v = z * x
        r = poly(z, _SIN[1:])
        return x - ((z * (y * 0.5 - v * r) - y) - v * _SIN[0])

    def cos(self) -> Expr:
        x, y = self.high, self.low
        z = x * x
        r = z * poly(z, _COS)
        half = z * 0.5
        w = 1.0 - half
        return w + (((1.0 - w) - half) + (z * r - x * y))


def _reduce(x: Expr) -> _Angle:
    shifted = x * _TWO_OVER_PI + MAGIC
    n = shifted - MAGIC
    first = x - n * _PIO2_1
    step = n * _PIO2_2
    second = first - step
    lost = (first - second) - step
    step = n * _PIO2_3
    third = second - step
    lost = (((second - third) - step) + lost) - n * _PIO2_TAIL
    high = third + lost
    return _Angle(shifted.bits(), high, (third - high) + lost)


def _with_library(b: Builder, x: Expr, fast: Expr, name: str) -> Expr:
    """`fast`, or the C library's result where |x| is large."""
    large = abs(x) > _LARGEST

    def slow() -> list[Scalar]:
        return [b._op("extern", F64, x.v, attr=name)]

    (out,) = b.cond(large.v, slow, lambda: [fast.v])
    assert isinstance(out, Scalar)
    return Expr(b, out)


def _negate_if(x: Expr, bit: Expr) -> Expr:
    """-x where bit 1 of `bit` is set, by its sign bit."""
    return (x.bits() ^ (bit & 2).shl(62)).as_double()


def sin(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    a = _reduce(x)
    odd = (a.quarter & 1).ne(0)
    y = _negate_if(sel(odd, a.cos(), a.sin()), a.quarter)
    y = sel(x.eq(0.0), x, y)
    return done(_with_library(b, x, y, "sin"), low)


def cos(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    a = _reduce(x)
    odd = (a.quarter & 1).ne(0)
    y = _negate_if(sel(odd, a.sin(), a.cos()), a.quarter + 1 - ((a.quarter + 1) & 1))
    return done(_with_library(b, x, y, "cos"), low)


def tan(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    a = _reduce(x)
    odd = (a.quarter & 1).ne(0)
    s, c = a.sin(), a.cos()
    y = sel(odd, -c, s) / sel(odd, s, c)
    y = sel(x.eq(0.0), x, y)
    return done(_with_library(b, x, y, "tan"), low)


# ---- inverses ----------------------------------------------------------------------------------


def _atan_ratio(num: Expr, den: Expr, low: bool) -> tuple[Expr, Expr]:
    """atan(num / den) for 0 <= num <= den as (0 or 1) * pi/4 + a small angle; returns both."""
    upper = num > den * _TAN_PIO8
    t = sel(upper, num - den, num) / sel(upper, num + den, den)
    z = t * t
    angle = t + t * (z * poly(z, ATAN_LOW if low else ATAN))
    return sel(upper, t * 0.0 + 1.0, 0.0), angle


def _eighths(m: Expr, angle: Expr) -> Expr:
    """m * pi/4 + angle for small integers m."""
    return m * _PIO4 + (angle + m * _PIO4_LOW)


def atan(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    size = abs(x)
    large = size > 1.0
    one = size * 0.0 + 1.0
    num, den = sel(large, one, size), sel(large, size, one)
    m, angle = _atan_ratio(sel(size.eq(_INF), 0.0, num), sel(size.eq(_INF), 1.0, den), low)
    angle = sel(large, -angle, angle)
    y = _eighths(sel(large, 2.0 - m, m), angle)
    return done(y.signed_as(x), low)


def atan2(b: Builder, v: Scalar, w: Scalar) -> Scalar:
    y, low = real(b, v)
    x, _ = real(b, w)
    ay, ax = abs(y), abs(x)
    swap = ay > ax
    num, den = sel(swap, ax, ay), sel(swap, ay, ax)
    # Two infinities or two zeros: the angles of the diagonal and of the axis.
    both = num.eq(_INF)
    num = sel(both, 1.0, sel(den.eq(_INF), 0.0, num))
    den = sel(both | den.eq(_INF) | den.eq(0.0), 1.0, den)
    factor = sel(den > 2.0**1000, 2.0**-60, sel(den < 2.0**-900, 2.0**60, den * 0.0 + 1.0))
    m, angle = _atan_ratio(num * factor, den * factor, low)
    m, angle = sel(swap, 2.0 - m, m), sel(swap, -angle, angle)
    back = x.bits() < 0
    m, angle = sel(back, 4.0 - m, m), sel(back, -angle, angle)
    out = _eighths(m, angle).signed_as(y)
    return done(sel(x.ne(x) | y.ne(y), x + y, out), low)


def _asin_series(z: Expr, low: bool) -> Expr:
    return z * poly(z, ASIN_LOW if low else ASIN)


def asin(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    size = abs(x)
    far = size > 0.5
    z = sel(far, (1.0 - size) * 0.5, size * size)
    t = sel(far, z.sqrt(), size)
    part = t + t * _asin_series(z, low)
    out = _PIO4 * 2.0 - (part * 2.0 - _PIO4_LOW * 2.0)
    out = sel(far, out, part)
    return done(out.signed_as(x), low)


def acos(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    size = abs(x)
    far = size > 0.5
    z = sel(far, (1.0 - size) * 0.5, size * size)
    t = sel(far, z.sqrt(), x)
    tail = t * _asin_series(z, low)
    near = _PIO4 * 2.0 - (t - (_PIO4_LOW * 2.0 - tail))
    twice = (t + tail) * 2.0
    back = _PIO4 * 4.0 - (twice - _PIO4_LOW * 4.0)
    return done(sel(far, sel(x < 0.0, back, twice), near), low)
