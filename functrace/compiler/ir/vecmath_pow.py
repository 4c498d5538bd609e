"""pow: exp(y log |x|) with some bits more in between, and C's special cases.

float32 takes those bits from float64, for the logarithm's polynomial and the product alone: half
of the work of a logarithm in two float32 parts.
"""

from __future__ import annotations

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import F32, F64, Scalar
from functrace.compiler.ir.vecmath_exp import exp2_of_wide, held, reduce
from functrace.compiler.ir.vecmath_expr import (
    Expr,
    clamp,
    fast_two_sum,
    poly,
    sel,
    two_prod,
)
from functrace.compiler.ir.vecmath_log import LN2_HIGH, LN2_LOW, exponent_and_mantissa, split
from functrace.compiler.ir.vecmath_tables import ATANH, LOG2_WIDE

_INF = float("inf")
_THIRD = float.fromhex("0x1.5555555555555p-2")
_THIRD_REST = float.fromhex("0x1.5555555555555p-56")


def pow(b: Builder, v: Scalar, w: Scalar) -> Scalar:
    x, y = Expr(b, v), Expr(b, w)
    fast = (_power_single if v.dtype == F32 else _power)(abs(x), y)
    usual = (x > 0.0) & (x < _INF) & (abs(y) < _INF)
    (out,) = b.cond((~usual).v, lambda: [_special(x, y, fast).v], lambda: [fast.v])
    assert isinstance(out, Scalar)
    return out


def _special(x: Expr, y: Expr, out: Expr) -> Expr:
    """x ** y for any x and y, given |x| ** y where it is nothing special."""
    size = abs(x)
    # At 0 and inf, and for infinite y, the result is 0, 1 or inf.
    growth = sel(size < 1.0, -y, y)
    edge = size.eq(0.0) | size.eq(_INF) | abs(y).eq(_INF)
    out = sel(edge, sel(growth > 0.0, out.const(_INF), 0.0), out)
    out = sel(size.eq(1.0), 1.0, out)
    whole = y.trunc().eq(y)
    half = y * 0.5
    odd = whole & half.trunc().ne(half)
    out = sel(odd & x.negative(), -out, out)
    out = sel((x < 0.0) & (size < _INF) & ~whole, float("nan"), out)
    out = sel(x.ne(x) | y.ne(y), x + y, out)
    return sel(x.eq(1.0) | y.eq(0.0), 1.0, out)


def _power_single(size: Expr, y: Expr) -> Expr:
    """size ** y in float32."""
    k, m = exponent_and_mantissa(size)
    f, k = (m - 1.0).cast(F64), k.cast(F64)
    log = f.fma(poly(f, LOG2_WIDE), k)
    return exp2_of_wide(clamp(y.cast(F64) * log, -152.0, 129.0))


def _power(size: Expr, y: Expr) -> Expr:
    """size ** y in float64."""
    log, rest = _log_in_two(size)
    high = y * log
    tail = y.fma(rest, y.fma(log, -high))
    return reduce(held(high), sel(abs(high) < 800.0, tail, 0.0)).sharp_value()


def _log_in_two(x: Expr) -> tuple[Expr, Expr]:
    """log x to about 68 bits for positive finite x, as a sum of two."""
    k, m = exponent_and_mantissa(x)
    part = split(m)
    f = part.f
    d, d_low = fast_two_sum(f.const(2.0), f)
    inverse = 1.0 / d
    s = f * inverse
    s_low = (s.fma(-d, f) - s * d_low) * inverse
    t, t_low = two_prod(s, s)
    t_low = s.fma(s_low * 2.0, t_low)
    # log(1 + f) = 2 s (1 + t (1/3 + t (1/5 + ...))): only 1/3 needs a second part.
    q, q_low = fast_two_sum(t.const(_THIRD), t * poly(t, ATANH))
    q_low = q_low + _THIRD_REST
    w, w_low = two_prod(t, q)
    w_low = t_low.fma(q, t.fma(q_low, w_low))
    z, z_low = two_prod(s, w)
    z_low = s_low.fma(w, s.fma(w_low, z_low))
    low = (s_low + z_low).fma(2.0, k.fma(LN2_LOW(k), part.low))
    first, e1 = fast_two_sum(k.fma(LN2_HIGH(k), part.high), s * 2.0)
    total, e2 = fast_two_sum(first, z * 2.0)
    return fast_two_sum(total, e1 + e2 + low)
