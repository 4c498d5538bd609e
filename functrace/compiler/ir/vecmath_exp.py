"""exp, exp2, expm1, tanh, logistic, sinh and cosh: one reduction, x = n ln 2 + r."""

from __future__ import annotations

from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import F32, Scalar
from functrace.compiler.ir.vecmath_expr import (
    Expr,
    PerFormat,
    clamp,
    fast_two_sum,
    nearest,
    poly,
    power_of_two,
    sel,
)
from functrace.compiler.ir.vecmath_tables import EXP, EXP2

_INV_LN2 = float.fromhex("0x1.71547652b82fep+0")
# ln 2 as a sum of two: n times the first, taken from x in one fma, is exact.
_LN2 = PerFormat("0x1.62e42fefa39efp-1", "0x1.62e430p-1")
_LN2_REST = PerFormat("0x1.abc9e3b39803fp-56", "-0x1.05c610p-29")
# Beyond these, e**x is 0 or inf whatever x.
_LEAST = PerFormat(-746.0, -104.0)
_MOST = PerFormat(710.0, 89.0)
# Where e**-x no longer matters beside e**x.
_LOPSIDED = PerFormat(22.0, 10.0)


@dataclass(frozen=True)
class Reduced:
    """e**x = 2**n (1 + r + q); `n` is an integer kept as a float, |q| is below r**2."""

    n: Expr
    r: Expr
    q: Expr

    def value(self, shift: float = 0.0) -> Expr:
        """e**x * 2**shift, with one rounding where it is subnormal."""
        return stretch((self.r + self.q) + 1.0, self.n + shift if shift else self.n)

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
    return Reduced(n, r, (r * r).fma(poly(r, EXP), lost))


def exp_of(x: Expr) -> Expr:
    """e**x."""
    return reduce(held(x)).value()


def exp(b: Builder, v: Scalar) -> Scalar:
    return exp_of(Expr(b, v)).v


def exp2_of(x: Expr, narrow: bool = False) -> Expr:
    """2**x for an x within the exponents; a float32 of a float64 if `narrow`."""
    n = nearest(x)
    r = x - n
    if narrow:
        n, r = n.cast(F32), r.cast(F32)
    linear, *rest = EXP2(r)
    return stretch(r.fma(linear, r * r * poly(r, rest)) + 1.0, n)


def exp2(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    bias = x.format.bias
    return exp2_of(clamp(x, -bias - x.format.fraction - 5.0, bias + 2.0)).v


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
