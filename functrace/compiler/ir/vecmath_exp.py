"""exp, exp2, expm1, tanh, logistic, sinh and cosh: one reduction, x = n ln 2 + r."""

from __future__ import annotations

from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import F32, F64, Scalar
from functrace.compiler.ir.vecmath_expr import (
    Expr,
    PerFormat,
    clamp,
    fast_two_sum,
    nearest,
    poly,
    power_of_two,
    sel,
    two_prod,
)
from functrace.compiler.ir.vecmath_tables import EXP, EXP2, TANH, TANH_HALF

_INV_LN2 = float.fromhex("0x1.71547652b82fep+0")
# ln 2 as a sum of two: n times the first, taken from x in one fma, is exact.
_LN2 = PerFormat("0x1.62e42fefa39efp-1", "0x1.62e430p-1")
_LN2_REST = PerFormat("0x1.abc9e3b39803fp-56", "-0x1.05c610p-29")
# ln 2 less the float32 number that the polynomial for 2**x has for it.
_EXP2_LINEAR_LOW = float.fromhex("-0x1.05c610p-29")
# Beyond these, e**x is 0 or inf whatever x.
_LEAST = PerFormat(-746.0, -104.0)
_MOST = PerFormat(710.0, 89.0)
# 3/2 ln 2; float32 can do without what it lacks.
_STEP = 1.5 * float.fromhex("0x1.62e42fefa39efp-1")
_TANH_STEP = PerFormat("0x1.0a2b23f3bab73p+0", "0x1.0a2b24p+0")
_TANH_STEP_REST = float.fromhex("0x1.a06bb56359018p-54")
# Where e**-x no longer matters beside e**x.
_LOPSIDED = PerFormat(22.0, 10.0)


@dataclass(frozen=True)
class Reduced:
    """e**x = 2**n (1 + r + q); `n` is an integer kept as a float, |q| is below r**2.

    `lost` is what r lacks of x - n ln 2; q has it.
    """

    n: Expr
    r: Expr
    q: Expr
    lost: Expr

    def value(self, shift: float = 0.0) -> Expr:
        """e**x * 2**shift, with one rounding where it is subnormal."""
        return stretch((self.r + self.q) + 1.0, self.n + shift if shift else self.n)

    def sharp_value(self) -> Expr:
        """e**x to little more than half a place, given a tail as part of x."""
        r, lost = self.r, self.lost
        third, *others = EXP(r)[1:]
        square, square_low = two_prod(r, r)
        cubic = square * r
        cubic_low = square_low.fma(r, square.fma(r, -cubic))
        # 1 + r + r**2 / 2 + third r**3 with what each sum and product loses, then the rest.
        one, e1 = fast_two_sum(r.const(1.0), r)
        high = square.fma(0.5, one)
        e2 = square.fma(0.5, one - high)
        total = cubic.fma(third, high)
        e3 = cubic.fma(third, high - total)
        low = cubic_low.fma(third, square_low.fma(0.5, (e1 + e2) + e3))
        rest = (square * square).fma(poly(r, others), low)
        return stretch(total + lost.fma(total, rest), self.n)

    def less_one(self, unit: Expr, one: float) -> tuple[Expr, Expr]:
        """(e**x - 1) * one as a sum of two, given `unit` = 2**n * one for n above -60."""
        r, half = self.r, unit * 0.5
        square = r * r
        less = unit - one
        first = unit.fma(r, less)
        high = square.fma(half, first)
        low = unit.fma(r, less - first) + square.fma(half, first - high)
        tail = r.fma(r, -square).fma(0.5, self.lost)
        rest = (square * r).fma(poly(r, EXP(r)[1:]), tail)
        return fast_two_sum(high, unit.fma(rest, low + ((unit - less) - one)))


def stretch(x: Expr, n: Expr) -> Expr:
    """x * 2**n, rounded once, for x near 1 and integers n, beyond the normal exponents too."""
    return x.math("stretch", n)


def stretched(b: Builder, *args: Scalar) -> Scalar:
    """What `stretch` does where no instruction does it."""
    x, n = (Expr(b, v) for v in args)
    f = x.format
    low = n < 64.0 - f.bias
    # Through a neighbour in range: up by 2**64 and back down, or down by 4 and up.
    one = f.magic + f.bias
    unit = (n + sel(low, n.const(one + 64.0), one - 2.0)).bits().shl(f.fraction).as_float()
    return (x * unit * sel(low, n.const(2.0**-64), 4.0)).v


def held(x: Expr) -> Expr:
    """x where e**x changes with it."""
    return clamp(x, _LEAST(x), _MOST(x))


def _remainder(x: Expr) -> tuple[Expr, Expr, Expr]:
    """n and r with x = n ln 2 + r, and the `first` that r was rounded from."""
    magic = x.format.magic
    n = x.fma(_INV_LN2, magic) - magic
    first = n.fma(-_LN2(x), x)
    return n, n.fma(-_LN2_REST(x), first), first


def reduce(x: Expr, tail: Expr | None = None) -> Reduced:
    """The reduction of an x whose exponential has an exponent, plus a tail below its last place."""
    n, r, first = _remainder(x)
    lost = n.fma(-_LN2_REST(x), first - r)
    if tail is not None:
        # Not small enough to be left out of the square.
        r, lost = fast_two_sum(r, lost + tail)
    return Reduced(n, r, (r * r).fma(poly(r, EXP), lost), lost)


def exp_in_parts(x: Expr) -> tuple[Expr, Expr]:
    """n and p with e**x = 2**n (1 + p)."""
    n, r, first = _remainder(x)
    # r only where its last place doesn't matter, else the two it is the sum of.
    q = (r * r).fma(poly(r, EXP), n * -_LN2_REST(x))
    return n, first + q


def exp_of(x: Expr, shift: float = 0.0) -> Expr:
    """e**x * 2**shift."""
    n, p = exp_in_parts(x)
    return stretch(p + 1.0, n + shift if shift else n)


def exp(b: Builder, v: Scalar) -> Scalar:
    return exp_of(held(Expr(b, v))).v


def exp2_of_wide(x: Expr) -> Expr:
    """2**x in float32 for a float64 x within the exponents."""
    n = nearest(x)
    rest = x - n
    r = rest.cast(F32)
    lost = (rest - r.cast(F64)).cast(F32)
    linear, *others = EXP2(r)
    first, error = two_prod(r, r.const(linear))
    error = lost.fma(linear, r.fma(_EXP2_LINEAR_LOW, error))
    one, e1 = fast_two_sum(r.const(1.0), first)
    return stretch(one + (r * r).fma(poly(r, others), e1 + error), n.cast(F32))


def exp2(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    bias = x.format.bias
    x = clamp(x, -bias - x.format.fraction - 5.0, bias + 2.0)
    n = nearest(x)
    r = x - n
    linear, *rest = EXP2(r)
    return stretch(r.fma(linear, r * r * poly(r, rest)) + 1.0, n).v


def expm1(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    part = reduce(clamp(x, -64.0, _MOST(x)))
    # Half of it first: 2**1024 is no number.
    out = part.less_one(power_of_two(part.n - 1.0), 0.5)[0] * 2.0
    return sel(abs(x) < x.format.epsilon * 0.25, x, out).v


def logistic(b: Builder, v: Scalar) -> Scalar:
    """1 / (1 + e**-x) for x > 0, e**x / (1 + e**x) below, so that nothing overflows.

    With e**-|x| = 2**n (1 + t) / (1 - t), t the tanh of half the remainder: one division.
    """
    x = Expr(b, v)
    n, r, _ = _remainder(held(-abs(x)))
    z = r * r
    t = r.fma(0.5, r * z * poly(z, TANH_HALF))
    # Where the true power is below, it is nothing beside 1.
    unit = power_of_two(sel(n < -60.0, -60.0, n))
    less, more = unit - 1.0, unit + 1.0
    below = t.fma(less, more)
    below_low = t.fma(less, more - below)
    negative = x < 0.0
    t = sel(negative, t, -t)
    above = t + 1.0
    above_low = t - (above - 1.0)
    ratio = above / below
    # What numerator and denominator lost; 1 / below is close enough to the ratio.
    ratio = ratio.fma(ratio.fma(-below_low, above_low), ratio)
    return stretch(ratio, sel(negative, n, 0.0)).v


def tanh(b: Builder, v: Scalar) -> Scalar:
    """With |x| = n 3/2 ln 2 + r, t = tanh r for n = 0, else 1 - 2 / (e**(2 |x|) + 1).

    e**(2 r) is (1 + t) / (1 - t), and an odd function needs half of the coefficients.
    """
    x = Expr(b, v)
    size = abs(x)
    far = _LOPSIDED(x)
    near = sel(size > far, far, size)
    # The first interval ends above where tanh is 1/2: from there on the difference loses nothing.
    n = nearest(near.fma(1 / _STEP, -0.035))
    r = n.fma(-_TANH_STEP(x), near)
    if v.dtype == F64:
        r = n.fma(-_TANH_STEP_REST, r)
    z = r * r
    t = (r * z).fma(poly(z, TANH), r)
    rest = 1.0 - t
    half = rest / power_of_two(n, 3.0).fma(t + 1.0, rest)
    return sel(n.eq(0.0), t, half.fma(-2.0, 1.0)).signed_as(x).v


def sinh(b: Builder, v: Scalar) -> Scalar:
    """(t + t / (t + 1)) / 2 with t = e**|x| - 1, or e**|x| / 2."""
    x = Expr(b, v)
    size = abs(x)
    far = size > _LOPSIDED(x)
    part = reduce(clamp(size, 0.0, _MOST(x) + 1.0))
    t, low = part.less_one(power_of_two(sel(far, 0.0, part.n)), 1.0)
    near = (t + (t / (t + 1.0) + low)) * 0.5
    near = sel(size < x.format.epsilon * 0.25, size, near)
    return sel(far, part.value(-1.0), near).signed_as(x).v


def cosh(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    half = exp_of(clamp(abs(x), 0.0, _MOST(x) + 1.0), -1.0)
    return (half + 0.25 / half).v
