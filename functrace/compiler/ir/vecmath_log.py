"""log, log2, log10, log1p and the inverse hyperbolic functions.

x = 2**k m, and log m = -log c + log(1 + f) with f = c m - 1: for three short c, so that f is exact
and small. The terms that matter beside f are kept as sums of two, and so is the result.
"""

from __future__ import annotations

from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import F32, Scalar
from functrace.compiler.ir.vecmath_expr import (
    Expr,
    PerFormat,
    fast_two_sum,
    poly,
    power_of_two,
    sel,
    two_prod,
    two_sum,
)
from functrace.compiler.ir.vecmath_tables import LOG

# ln 2 as a sum of two, the first so short that a product with k is exact.
LN2_HIGH = PerFormat("0x1.62e42fee00000p-1", "0x1.62e4p-1")
LN2_LOW = PerFormat("0x1.a39ef35793c76p-33", "0x1.7f7d1cp-20")
_LN2 = float.fromhex("0x1.62e42fefa39efp-1")
# Mantissas start at 8/11.
_FIRST_BITS = {23: 0x3F3A2E8C, 52: 0x3FE745D1745D1746}
# Up to where m has its c, and -log c as a sum of two: the first adds to k ln 2 exactly.
_FALLING = (8 / 9, 1.25)
_RISING = (8 / 7, 0.75)
_FALLING_HIGH = PerFormat("-0x1.c8ff7c79aa000p-3", "-0x1.c9p-3")
_FALLING_LOW = PerFormat("0x1.7794f689f8434p-45", "0x1.070cacp-20")
_RISING_HIGH = PerFormat("0x1.269621134e000p-2", "0x1.2698p-2")
_RISING_LOW = PerFormat("-0x1.1b61f10522625p-44", "-0x1.deecb2p-18")
_INF = float("inf")

Pair = tuple[Expr, Expr]


@dataclass(frozen=True)
class _Base:
    """A base's logarithms of e and of 2, as sums of two, the first of 2 short."""

    factor: PerFormat
    factor_low: PerFormat
    two: PerFormat
    two_low: PerFormat | None


_BINARY = _Base(
    PerFormat("0x1.71547652b82fep+0", "0x1.715476p+0"),
    PerFormat("0x1.777d0ffda0d24p-56", "0x1.4ae0c0p-26"),
    PerFormat(1.0, 1.0),
    None,
)
_DECIMAL = _Base(
    PerFormat("0x1.bcb7b1526e50ep-2", "0x1.bcb7b2p-2"),
    PerFormat("0x1.95355baaafad3p-57", "-0x1.5b235ep-27"),
    PerFormat("0x1.34413509f6000p-2", "0x1.3440p-2"),
    PerFormat("0x1.9fef311f12b36p-42", "0x1.3509f8p-18"),
)


def exponent_and_mantissa(x: Expr) -> Pair:
    """k (a float) and m in [8/11, 16/11) with x = 2**k m, for positive finite x."""
    f = x.format
    small = x < f.least
    up = f.fraction + 2.0
    first = _FIRST_BITS[f.fraction]
    one = f.bias << f.fraction
    bits = sel(small, x * 2.0**up, x).bits() + (one - first)
    magic_bits = (f.bias + f.fraction << f.fraction) + (1 << f.fraction - 1)
    k = (bits.lshr(f.fraction) | magic_bits).as_float() - sel(
        small, x.const(f.magic + f.bias + up), f.magic + f.bias
    )
    return k, ((bits & f.mantissa) + first).as_float()


@dataclass(frozen=True)
class Mantissa:
    """log m = high + low + log(1 + f); `c` is what m was multiplied by, m c = 1 + f."""

    c: Expr
    f: Expr
    high: Expr
    low: Expr


def split(m: Expr) -> Mantissa:
    """The c of a mantissa, by two comparisons."""
    falling, rising = m < _FALLING[0], m > _RISING[0]

    def chosen(fall: float, middle: float, rise: float) -> Expr:
        return sel(rising, rise, sel(falling, m.const(fall), middle))

    c = chosen(_FALLING[1], 1.0, _RISING[1])
    return Mantissa(
        c,
        m.fma(c, -1.0),
        chosen(_FALLING_HIGH(m), 0.0, _RISING_HIGH(m)),
        chosen(_FALLING_LOW(m), 0.0, _RISING_LOW(m)),
    )


def _with_series(first: Expr, f: Expr, low: Expr) -> Pair:
    """first + log(1 + f) + low as a sum of two, for a `first` that is 0 or above f in size."""
    total, error = fast_two_sum(first, f)
    square = f * f
    rest = (square * f).fma(poly(f, LOG), low)
    if f.v.dtype == F32:
        return total, square.fma(-0.5, error + rest)
    # The errors of the square and of its sum are what keeps float64 within half a place.
    high = square.fma(-0.5, total)
    error = error + square.fma(-0.5, total - high)
    return high, error + f.fma(f, -square).fma(-0.5, rest)


def natural(k: Expr, m: Mantissa) -> Pair:
    """k ln 2 + log m as a sum of two, to some bits more than the format has."""
    return _with_series(k.fma(LN2_HIGH(k), m.high), m.f, k.fma(LN2_LOW(k), m.low))


def log_in_two(x: Expr) -> Pair:
    """log x for positive finite x as a sum of two."""
    k, m = exponent_and_mantissa(x)
    return natural(k, split(m))


def edges(x: Expr, y: Expr) -> Expr:
    """y, or the logarithm of an x that isn't positive and finite."""
    y = sel(x < _INF, y, x)
    y = sel(x < 0.0, float("nan"), y)
    return sel(x.eq(0.0), -_INF, y)


def log_of(x: Expr) -> Expr:
    """log x, edges included."""
    high, low = log_in_two(x)
    return edges(x, high + low)


def log(b: Builder, v: Scalar) -> Scalar:
    return log_of(Expr(b, v)).v


def _other(k: Expr, m: Expr, base: _Base) -> Expr:
    """The logarithm of 2**k m to another base."""
    part = split(m)
    high, low = _with_series(part.high, part.f, part.low)
    factor = base.factor(m)
    main, lost = two_prod(high, m.const(factor))
    rest = high.fma(base.factor_low(m), low.fma(factor, lost))
    if base.two_low is not None:
        rest = k.fma(base.two_low(k), rest)
    total, error = fast_two_sum(k * base.two(k), main)
    return total + (error + rest)


def log2(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    return edges(x, _other(*exponent_and_mantissa(x), _BINARY)).v


def log10(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    return edges(x, _other(*exponent_and_mantissa(x), _DECIMAL)).v


def log1p_of(x: Expr, low: Expr | None = None) -> Expr:
    """log(1 + x + low): the rounding error of 1 + x comes back into the mantissa."""
    u, lost = two_sum(x, x.const(1.0))
    if low is not None:
        lost = lost + low
    k, m = exponent_and_mantissa(u)
    lost = sel(k > x.format.fraction + 2.0, 0.0, lost * power_of_two(-k))
    part = split(m)
    f, lost = fast_two_sum(part.f, lost * part.c)
    # The series sees f alone, and the derivative of log(1 + f) is about 1 - f.
    lost = lost.fma(-f, lost)
    high, low = natural(k, Mantissa(part.c, f, part.high, part.low + lost))
    return edges(u, high + low).signed_as(x)


def log1p(b: Builder, v: Scalar) -> Scalar:
    return log1p_of(Expr(b, v)).v


# ---- inverse hyperbolic functions --------------------------------------------------------------


def asinh(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    size = abs(x)
    huge = size > 2.0 ** (x.format.fraction // 2 + 2)
    square = size * size
    y = size + square / ((square + 1.0).sqrt() + 1.0)
    y = log1p_of(sel(huge, size - 1.0, y))
    return sel(huge, y + _LN2, y).signed_as(x).v


def acosh(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    t = x - 1.0
    huge = x > 2.0 ** (x.format.fraction // 2 + 2)
    y, low = fast_two_sum(t.fma(t, t * 2.0).sqrt(), t)
    y = log1p_of(sel(huge, t, y), sel(huge, 0.0, low))
    y = sel(huge, y + _LN2, y)
    return sel(x < 1.0, float("nan"), y).v


def atanh(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    size = abs(x)
    twice = size + size
    rest = 1.0 - size
    y = sel(size < 0.5, twice + twice * size / rest, twice / rest)
    return (log1p_of(y) * 0.5).signed_as(x).v
