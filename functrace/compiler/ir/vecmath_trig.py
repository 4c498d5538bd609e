"""sin, cos, tan and their inverses.

Arguments of usual size are reduced here, by pi/2 in three parts; the few beyond take a branch to
the C library, which is a masked call that is not made when no lane needs it.
"""

from __future__ import annotations

from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import F64, Scalar
from functrace.compiler.ir.vecmath_expr import (
    Expr,
    PerFormat,
    fast_two_sum,
    horner,
    poly,
    sel,
    two_prod,
)
from functrace.compiler.ir.vecmath_tables import ASIN, ATAN, COS, SIN

_TWO_OVER_PI = float.fromhex("0x1.45f306dc9c883p-1")
# pi/2 as a sum of three.
_PIO2_1 = PerFormat("0x1.921fb54442d18p+0", "0x1.921fb6p+0")
_PIO2_2 = PerFormat("0x1.1a62633145c07p-54", "-0x1.777a5cp-25")
_PIO2_3 = PerFormat("-0x1.f1976b7ed8fbcp-110", "-0x1.ee59dap-50")
_LARGEST = PerFormat(2.0**30, 1e5)
_PIO2 = _PIO2_1
_PIO2_LOW = _PIO2_2
_INF = float("inf")


@dataclass(frozen=True)
class _Angle:
    """x = quarter * pi/2 + high + low; `quarter` is a word right in its low bits."""

    quarter: Expr
    high: Expr
    low: Expr

    def sin_and_cos(self) -> tuple[Expr, Expr]:
        """Of the angle within its quarter."""
        x, y = self.high, self.low
        z = x * x
        near = z.fma(-0.5, 1.0)
        lost = z.fma(-0.5, 1.0 - near)
        sine = x + (z * x).fma(poly(z, SIN), y * near)
        cosine = near + (z * z).fma(poly(z, COS), x.fma(-y, lost))
        return sine, cosine


def _reduce(x: Expr) -> _Angle:
    magic = x.format.magic
    shifted = x.fma(_TWO_OVER_PI, magic)
    n = shifted - magic
    first = n.fma(-_PIO2_1(x), x)
    step, rest = two_prod(n, n.const(_PIO2_2(x)))
    second, lost = fast_two_sum(first, -step)
    high, low = fast_two_sum(second, n.fma(-_PIO2_3(x), lost - rest))
    return _Angle(shifted.bits(), high, low)


def _with_library(b: Builder, x: Expr, fast: Expr, name: str) -> Scalar:
    """`fast`, or the C library's result where |x| is large."""
    large = abs(x) > _LARGEST(x)

    def slow() -> list[Scalar]:
        return [b._cast(b._op("extern", F64, b._cast(x.v, F64), attr=name), x.v.dtype)]

    (out,) = b.cond(large.v, slow, lambda: [fast.v])
    assert isinstance(out, Scalar)
    return out


def _turned(x: Expr, quarter: Expr) -> Expr:
    """-x in the third and fourth quarter, by its sign bit."""
    return (x.bits() ^ (quarter & 2).shl(x.format.bits - 2)).as_float()


def sin(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    a = _reduce(x)
    s, c = a.sin_and_cos()
    y = _turned(sel((a.quarter & 1).ne(0), c, s), a.quarter)
    return _with_library(b, x, sel(x.eq(0.0), x, y), "sin")


def cos(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    a = _reduce(x)
    s, c = a.sin_and_cos()
    y = _turned(sel((a.quarter & 1).ne(0), s, c), a.quarter + 1)
    return _with_library(b, x, y, "cos")


def tan(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    a = _reduce(x)
    odd = (a.quarter & 1).ne(0)
    s, c = a.sin_and_cos()
    y = sel(odd, -c, s) / sel(odd, s, c)
    return _with_library(b, x, sel(x.eq(0.0), x, y), "tan")


# ---- inverses ----------------------------------------------------------------------------------


def _atan_small(t: Expr) -> Expr:
    """atan(t) for 0 <= t <= 1."""
    z = t * t
    # One chain: sums of the even and of the odd terms would cancel.
    return (t * z).fma(horner(z, ATAN(z)), t)


def _from_quarter(angle: Expr) -> Expr:
    """pi/2 - angle."""
    return _PIO2(angle) - (angle - _PIO2_LOW(angle))


def atan(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    size = abs(x)
    large = size > 1.0
    angle = _atan_small(sel(large, 1.0 / size, size))
    return sel(large, _from_quarter(angle), angle).signed_as(x).v


def atan2(b: Builder, v: Scalar, w: Scalar) -> Scalar:
    y, x = Expr(b, v), Expr(b, w)
    ay, ax = abs(y), abs(x)
    swap = ay > ax
    num, den = sel(swap, ax, ay), sel(swap, ay, ax)
    # Two infinities or two zeros: the angles of the diagonal and of the axis.
    t = sel(num.eq(den) & den.ne(0.0), 1.0, num / sel(den.eq(0.0), 1.0, den))
    angle = _atan_small(t)
    angle = sel(swap, _from_quarter(angle), angle)
    back = _PIO2(x) * 2.0 - (angle - _PIO2_LOW(x) * 2.0)
    out = sel(x.negative(), back, angle).signed_as(y)
    return sel(x.ne(x) | y.ne(y), x + y, out).v


def _asin_parts(x: Expr) -> tuple[Expr, Expr, Expr]:
    """Whether |x| > 1/2, a t, and asin(t) - t: asin |x| is asin(t), or else pi/2 - 2 asin(t)."""
    size = abs(x)
    far = size > 0.5
    z = sel(far, (1.0 - size) * 0.5, size * size)
    t = sel(far, z.sqrt(), size)
    return far, t, t * (z * poly(z, ASIN))


def asin(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    far, t, rest = _asin_parts(x)
    high = _PIO2(x) - t * 2.0
    return sel(far, high - (rest * 2.0 - _PIO2_LOW(x)), t + rest).signed_as(x).v


def acos(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    far, t, rest = _asin_parts(x)
    t, rest = sel(far, t, t.signed_as(x)), sel(far, rest, rest.signed_as(x))
    near = _PIO2(x) - (t - (_PIO2_LOW(x) - rest))
    twice = (t + rest) * 2.0
    back = _PIO2(x) * 2.0 - (twice - _PIO2_LOW(x) * 2.0)
    return sel(far, sel(x < 0.0, back, twice), near).v
