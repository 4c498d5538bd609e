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
_ATAN_HALF = PerFormat("0x1.dac670561bb4fp-2", "0x1.dac670p-2")
_ATAN_HALF_LOW = PerFormat("0x1.a2b7f222f65e2p-56", "0x1.586ed4p-28")
_ATAN_1 = PerFormat("0x1.921fb54442d18p-1", "0x1.921fb6p-1")
_ATAN_1_LOW = PerFormat("0x1.1a62633145c07p-55", "-0x1.777a5cp-26")
# Where atan2 changes the unit of its arguments, and by how much.
_TINY = PerFormat(2.0**-900, 2.0**-90)
_MODEST = PerFormat(2.0**400, 2.0**40)
_HUGE = PerFormat(2.0**1000, 2.0**120)
_SHRINK = PerFormat(2.0**-600, 2.0**-60)
_INF = float("inf")

Pair = tuple[Expr, Expr]


@dataclass(frozen=True)
class _Angle:
    """x = quarter * pi/2 + high + low; `quarter` is a word right in its low bits."""

    quarter: Expr
    high: Expr
    low: Expr

    def sin_and_cos(self) -> tuple[Pair, Pair]:
        """Of the angle within its quarter, as sums of two; a half's rounding is the error left."""
        x, y = self.high, self.low
        z = x * x
        z_low = x.fma(x, -z)
        third, *rest = SIN(z)
        cube, cube_low = _cube(x, z, z_low)
        sine = cube.fma(third, x)
        sine_low = cube_low.fma(third, cube.fma(third, x - sine))
        fourth = z * z
        cosine = z.fma(-0.5, 1.0)
        cosine_low = z.fma(-0.5, 1.0 - cosine)
        if x.v.dtype == F64:
            # The last twentieth of a place: the errors of the squares in the fourth power, too.
            cosine_low = z_low.fma(z.fma(1 / 12, -0.5), cosine_low)
            cosine_low = z.fma(z, -fourth).fma(1 / 24, cosine_low)
        else:
            cosine_low = z_low.fma(-0.5, cosine_low)
        sine_low = y.fma(cosine, (cube * z).fma(poly(z, rest), sine_low))
        cosine_low = sine.fma(-y, fourth.fma(poly(z, COS), cosine_low))
        return (sine, sine_low), (cosine, cosine_low)


def _cube(x: Expr, square: Expr, square_low: Expr) -> Pair:
    """x**3 as a sum of two."""
    cube = x * square
    return cube, x.fma(square_low, x.fma(square, -cube))


def _reduce(x: Expr) -> _Angle:
    magic = x.format.magic
    shifted = x.fma(_TWO_OVER_PI, magic)
    n = shifted - magic
    first = n.fma(-_PIO2_1(x), x)
    step, rest = two_prod(n, n.const(_PIO2_2(x)))
    second, lost = fast_two_sum(first, -step)
    return _Angle(shifted.bits(), second, n.fma(-_PIO2_3(x), lost - rest))


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


def _chosen(p: Expr, x: Pair, y: Pair) -> Pair:
    return sel(p, x[0], y[0]), sel(p, x[1], y[1])


def sin(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    a = _reduce(x)
    s, c = (high + low for high, low in a.sin_and_cos())
    y = _turned(sel((a.quarter & 1).ne(0), c, s), a.quarter)
    return _with_library(b, x, sel(x.eq(0.0), x, y), "sin")


def cos(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    a = _reduce(x)
    s, c = (high + low for high, low in a.sin_and_cos())
    y = _turned(sel((a.quarter & 1).ne(0), s, c), a.quarter + 1)
    return _with_library(b, x, y, "cos")


def tan(b: Builder, v: Scalar) -> Scalar:
    """The quotient of the two, or less its inverse, with what the division left."""
    x = Expr(b, v)
    a = _reduce(x)
    odd = a.quarter & 1
    s, c = (fast_two_sum(*pair) for pair in a.sin_and_cos())
    above, below = _chosen(odd.ne(0), c, s), _chosen(odd.ne(0), s, c)
    high, low = _quotient(above, below)
    y = ((high + low).bits() ^ odd.shl(x.format.bits - 1)).as_float()
    return _with_library(b, x, sel(x.eq(0.0), x, y), "tan")


def _quotient(above: Pair, below: Pair) -> Pair:
    """above / below as a sum of two."""
    inverse = 1.0 / below[0]
    quotient = above[0] * inverse
    rest = quotient.fma(-below[0], above[0]) + quotient.fma(-below[1], above[1])
    return quotient, rest * inverse


# ---- inverses ----------------------------------------------------------------------------------


def _angle(above: Expr, below: Expr) -> Pair:
    """atan(above / below) for 0 <= above <= below, as a sum of two.

    It is atan(c) and the angle whose tangent is (above - c below) / (below + c above), for a c
    of 0, 1/2 or 1: so the subtraction is exact, and the tangent below 1/4.
    """
    far, middle = above > below * 0.72, above > below * 0.25

    def chosen(one: float, half: float) -> Expr:
        return sel(far, one, sel(middle, above.const(half), 0.0))

    c = chosen(1.0, 0.5)
    sum_ = c.fma(above, below)
    t, t_low = _quotient(
        (c.fma(-below, above), above.const(0.0)), (sum_, c.fma(above, below - sum_))
    )
    high, error = fast_two_sum(chosen(_ATAN_1(c), _ATAN_HALF(c)), t)
    low = chosen(_ATAN_1_LOW(c), _ATAN_HALF_LOW(c))
    z = t * t
    if t.v.dtype == F64:
        # The last fiftieth of a place: the series at t_low, and the error of the cube.
        cube, cube_low = _cube(t, z, t.fma(t, -z))
        low = cube_low.fma(-1 / 3, low)
        t_low = t_low.fma(-z, t_low)
    else:
        cube = t * z
    return high, cube.fma(poly(z, ATAN), error + (low + t_low))


def _placed(start: Pair, turned: Expr, angle: Pair) -> Expr:
    """start + angle, or start - angle where `turned`; start is 0 or above the angle."""
    high, low = (sel(turned, -part, part) for part in angle)
    high, error = fast_two_sum(start[0], high)
    return high + (error + (start[1] + low))


def atan(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    # Beyond, it is pi/2 for both formats.
    size = abs(x)
    size = sel(size > 2.0**60, 2.0**60, size)
    large = size > 1.0
    angle = _angle(sel(large, 1.0, size), sel(large, size, 1.0))
    start = sel(large, x.const(_PIO2(x)), 0.0), sel(large, x.const(_PIO2_LOW(x)), 0.0)
    return _placed(start, large, angle).signed_as(x).v


def atan2(b: Builder, v: Scalar, w: Scalar) -> Scalar:
    y, x = Expr(b, v), Expr(b, w)
    ay, ax = abs(y), abs(x)
    swap = ay > ax
    above, below = sel(swap, ax, ay), sel(swap, ay, ax)
    # An infinity is a 1 beside a 0, or beside another; of two zeros, one is a 1.
    endless = below.eq(_INF)
    above = sel(endless, sel(above.eq(_INF), above.const(1.0), 0.0), above)
    below = sel(endless | below.eq(0.0), 1.0, below)
    # Neither the sum may overflow nor what a division leaves underflow.
    tiny = (above < _TINY(x)) & (below < _MODEST(x))
    unit = sel(tiny, 1.0 / _SHRINK(x), sel(below > _HUGE(x), x.const(_SHRINK(x)), 1.0))
    angle = _angle(above * unit, below * unit)
    back = x.negative()

    def start(right: float) -> Expr:
        return sel(swap, right, sel(back, x.const(2.0 * right), 0.0))

    out = _placed((start(_PIO2(x)), start(_PIO2_LOW(x))), swap ^ back, angle).signed_as(y)
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
    high, low = fast_two_sum(x.const(_PIO2(x)), t * -2.0)
    return sel(far, high - (rest * 2.0 - (low + _PIO2_LOW(x))), t + rest).signed_as(x).v


def acos(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    far, t, rest = _asin_parts(x)
    t, rest = sel(far, t, t.signed_as(x)), sel(far, rest, rest.signed_as(x))
    near = _PIO2(x) - (t - (_PIO2_LOW(x) - rest))
    twice = (t + rest) * 2.0
    back = _PIO2(x) * 2.0 - (twice - _PIO2_LOW(x) * 2.0)
    return sel(far, sel(x < 0.0, back, twice), near).v
