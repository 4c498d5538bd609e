"""exp, exp2, expm1, tanh, logistic, sinh and cosh: one reduction, x = n ln 2 + r."""

from __future__ import annotations

from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import Scalar
from functrace.compiler.ir.vecmath_expr import MAGIC, Expr, done, poly, real, sel
from functrace.compiler.ir.vecmath_tables import EXP, EXP2, EXP2_LOW, EXP_LOW

_INV_LN2 = float.fromhex("0x1.71547652b82fep+0")
# The high part has 32 bits, so that its product with an exponent is exact.
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_BIAS = MAGIC + 1023.0


@dataclass(frozen=True)
class Reduced:
    """e**x = 2**n * (1 + p); `n` is an integer kept as a float."""

    n: Expr
    p: Expr

    def value(self, shift: float = 0.0) -> Expr:
        """e**x * 2**shift, with one rounding where it is subnormal."""
        return scale((self.p + 1.0), self.n + shift if shift else self.n)


def power_of_two(n: Expr) -> Expr:
    """2**n for integers -1022 <= n <= 1023."""
    return (n + _BIAS).bits().shl(52).as_double()


def scale(x: Expr, n: Expr) -> Expr:
    """x * 2**n for |n| up to twice the exponent range."""
    half = (n * 0.5 + MAGIC) - MAGIC
    return x * power_of_two(half) * power_of_two(n - half)


def clamp(x: Expr, low: float, high: float) -> Expr:
    """x held in an interval; nan stays."""
    x = sel(x > high, high, x)
    return sel(x < low, low, x)


def reduce(x: Expr, low: bool, tail: Expr | None = None) -> Reduced:
    """The reduction of |x| < 2000 (+ a tail below its last place)."""
    n = (x * _INV_LN2 + MAGIC) - MAGIC
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    if tail is not None:
        r = r + tail
    return Reduced(n, r + r * r * poly(r, EXP_LOW if low else EXP))


def exp_of(x: Expr, low: bool) -> Expr:
    """e**x."""
    return reduce(clamp(x, -746.0, 710.0), low).value()


def expm1_of(x: Expr, low: bool) -> Expr:
    """e**x - 1."""
    part = reduce(clamp(x, -64.0, 710.0), low)
    # Half of it first: 2**1024 is no number.
    unit = power_of_two(part.n - 1.0)
    wide = (unit * part.p + (unit - 0.5)) * 2.0
    direct = sel(part.n.eq(0.0), part.p, wide)
    return sel(abs(x) < 2.0**-54, x, direct)


def exp(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    return done(exp_of(x, low), low)


def exp2(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    held = clamp(x, -1080.0, 1025.0)
    n = (held + MAGIC) - MAGIC
    r = held - n
    return done(scale(r * poly(r, EXP2_LOW if low else EXP2) + 1.0, n), low)


def expm1(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    return done(expm1_of(x, low), low)


def logistic(b: Builder, v: Scalar) -> Scalar:
    """1 / (1 + e**-x), from e**-|x| so that nothing overflows."""
    x, low = real(b, v)
    t = exp_of(-abs(x), low)
    return done(sel(x < 0.0, t, 1.0) / (t + 1.0), low)


def tanh_of(x: Expr, low: bool) -> Expr:
    """t / (t + 2) or 1 - 2 / (t + 2) with t = e**(2|x|) - 1, whichever loses less."""
    size = abs(x)
    t = expm1_of(clamp(size, 0.0, 22.0) * 2.0, low)
    large = size > 0.55
    q = sel(large, 2.0, t) / (t + 2.0)
    return sel(large, 1.0 - q, q).signed_as(x)


def tanh(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    return done(tanh_of(x, low), low)


def sinh(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    size = abs(x)
    part = reduce(clamp(size, 0.0, 712.0), low)
    unit = power_of_two(clamp(part.n, -1.0, 60.0))
    t = sel(part.n.eq(0.0), part.p, unit * part.p + (unit - 1.0))
    t = sel(size < 2.0**-54, size, t)
    near = (t + t / (t + 1.0)) * 0.5
    return done(sel(size < 22.0, near, part.value(-1.0)).signed_as(x), low)


def cosh(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    half = reduce(clamp(abs(x), 0.0, 712.0), low).value(-1.0)
    return done(half + 0.25 / half, low)
