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
from functrace.compiler.ir.vecmath_tables import EXP, EXP2

_INV_LN2 = float.fromhex("0x1.71547652b82fep+0")
# ln 2 as a sum of two: n times the first, taken from x in one fma, is exact.
_LN2 = PerFormat("0x1.62e42fefa39efp-1", "0x1.62e430p-1")
_LN2_REST = PerFormat("0x1.abc9e3b39803fp-56", "-0x1.05c610p-29")
# ln 2 less the float32 number that the polynomial for 2**x has for it.
_EXP2_LINEAR_LOW = float.fromhex("-0x1.05c610p-29")
# Beyond these, e**x is 0 or inf whatever x.
_LEAST = PerFormat(-746.0, -104.0)
_MOST = PerFormat(710.0, 89.0)
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
        square = r * r
        one, e1 = fast_two_sum(r.const(1.0), r)
        high = square.fma(0.5, one)
        e2 = square.fma(0.5, one - high)
        rest = (square * r).fma(poly(r, EXP(r)[1:]), r.fma(r, -square) * 0.5)
        return stretch(high + (lost.fma(one, e1 + e2) + rest), self.n)

    def less_one(self, unit: Expr, one: float) -> Expr:
        """(e**x - 1) * one, to one last place, given `unit` = 2**n * one for n above -60."""
        less = unit - one
        high = unit.fma(self.r, less)
        low = unit.fma(self.r, less - high)
        return high + unit.fma(self.q, low)


def stretch(x: Expr, n: Expr) -> Expr:
    """x * 2**n, rounded once, for x near 1 and integers n, beyond the normal exponents too."""
    low = n < 64.0 - x.format.bias
    # Through a neighbour in range: up by 2**64 and back down, or down by 4 and up.
    unit = power_of_two(n + sel(low, n.const(64.0), -2.0))
    return x * unit * sel(low, n.const(2.0**-64), 4.0)


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


def exp_of(x: Expr) -> Expr:
    """e**x."""
    return reduce(held(x)).value()


def exp(b: Builder, v: Scalar) -> Scalar:
    return exp_of(Expr(b, v)).v


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
    out = part.less_one(power_of_two(part.n - 1.0), 0.5) * 2.0
    return sel(abs(x) < x.format.epsilon * 0.25, x, out).v


def logistic(b: Builder, v: Scalar) -> Scalar:
    """1 / (1 + e**-x), from e**-|x| so that nothing overflows."""
    x = Expr(b, v)
    t = exp_of(-abs(x))
    return (sel(x < 0.0, t, 1.0) / (t + 1.0)).v


def tanh(b: Builder, v: Scalar) -> Scalar:
    """t / (t + 2) with t = e**(2|x|) - 1."""
    x = Expr(b, v)
    size = abs(x)
    far = _LOPSIDED(x)
    n, r, _ = _remainder(sel(size > far, far, size) * 2.0)
    unit = power_of_two(n)
    t = unit.fma((r * r).fma(poly(r, EXP), r), unit - 1.0)
    return (t / (t + 2.0)).signed_as(x).v


def sinh(b: Builder, v: Scalar) -> Scalar:
    """(t + t / (t + 1)) / 2 with t = e**|x| - 1, or e**|x| / 2."""
    x = Expr(b, v)
    size = abs(x)
    far = size > _LOPSIDED(x)
    part = reduce(clamp(size, 0.0, _MOST(x) + 1.0))
    t = part.less_one(power_of_two(sel(far, 0.0, part.n)), 1.0)
    near = (t + t / (t + 1.0)) * 0.5
    near = sel(size < x.format.epsilon * 0.25, size, near)
    return sel(far, part.value(-1.0), near).signed_as(x).v


def cosh(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    half = reduce(clamp(abs(x), 0.0, _MOST(x) + 1.0)).value(-1.0)
    return (half + 0.25 / half).v
