"""log, log2, log10, log1p and the inverse hyperbolic functions."""

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
    two_sum,
)
from functrace.compiler.ir.vecmath_tables import LOG

# ln 2 as a sum of two, the first so short that a product with k is exact.
LN2_HIGH = PerFormat("0x1.62e42fee00000p-1", "0x1.62e4p-1")
LN2_LOW = PerFormat("0x1.a39ef35793c76p-33", "0x1.7f7d1cp-20")
_LN2 = float.fromhex("0x1.62e42fefa39efp-1")
_ROOT_HALF_BITS = {23: 0x3F3504F3, 52: 0x3FE6A09E667F3BCD}
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
    """k (a float) and m in [sqrt(1/2), sqrt(2)) with x = 2**k m, for positive finite x."""
    f = x.format
    small = x < f.least
    up = f.fraction + 2.0
    root = _ROOT_HALF_BITS[f.fraction]
    one = f.bias << f.fraction
    bits = sel(small, x * 2.0**up, x).bits() + (one - root)
    magic_bits = (f.bias + f.fraction << f.fraction) + (1 << f.fraction - 1)
    k = (bits.lshr(f.fraction) | magic_bits).as_float() - sel(
        small, x.const(f.magic + f.bias + up), f.magic + f.bias
    )
    return k, ((bits & f.mantissa) + root).as_float()


def _series(f: Expr) -> Pair:
    """log(1 + f) - f as a sum of two, the second small."""
    square = f * f
    return square * -0.5, square * f * poly(f, LOG)


def _sum(first: Expr, second: Expr, third: Expr, rest: Expr) -> Pair:
    """The sum of four numbers that get smaller, as a sum of two."""
    high, e1 = fast_two_sum(first, second)
    if first.v.dtype == F32:
        # The third's error is what keeps float64 within one place; here it has room.
        return high, third + (e1 + rest)
    high, e2 = fast_two_sum(high, third)
    return high, (e1 + e2) + rest


def natural(k: Expr, f: Expr, low: Expr | float = 0.0) -> Pair:
    """k ln 2 + log(1 + f) + low as a sum of two, to a few bits more than the format has."""
    half, rest = _series(f)
    return _sum(k * LN2_HIGH(k), f, half, k.fma(LN2_LOW(k), rest + low))


def log_in_two(x: Expr) -> Pair:
    """log x for positive finite x as a sum of two."""
    k, m = exponent_and_mantissa(x)
    return natural(k, m - 1.0)


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
    f = m - 1.0
    half, rest = _series(f)
    main = f * base.factor(f)
    lost = f.fma(base.factor_low(f), f.fma(base.factor(f), -main))
    rest = rest.fma(base.factor(f), lost)
    if base.two_low is not None:
        rest = k.fma(base.two_low(k), rest)
    high, low = _sum(k * base.two(k), main, half * base.factor(f), rest)
    return high + low


def log2(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    return edges(x, _other(*exponent_and_mantissa(x), _BINARY)).v


def log10(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    return edges(x, _other(*exponent_and_mantissa(x), _DECIMAL)).v


def log1p_of(x: Expr) -> Expr:
    """log(1 + x): the rounding error of 1 + x comes back into the mantissa."""
    u, lost = two_sum(x, x.const(1.0))
    k, m = exponent_and_mantissa(u)
    lost = sel(k > x.format.fraction + 2.0, 0.0, lost * power_of_two(-k))
    f, low = fast_two_sum(m - 1.0, lost)
    high, low = natural(k, f, low)
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
    y = log1p_of(sel(huge, t, t + (t * 2.0 + t * t).sqrt()))
    y = sel(huge, y + _LN2, y)
    return sel(x < 1.0, float("nan"), y).v


def atanh(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    size = abs(x)
    twice = size + size
    rest = 1.0 - size
    y = sel(size < 0.5, twice + twice * size / rest, twice / rest)
    return (log1p_of(y) * 0.5).signed_as(x).v
