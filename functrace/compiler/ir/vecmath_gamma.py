"""lgamma and digamma.

Three pieces for positive x: at [3/4, 5/2) a polynomial beside the function's zeros as factors,
above it Stirling's series as a polynomial on that range, and below it one step of the recurrence.
Negative x by reflection, where the zeros between the poles are met to an absolute error only.
"""

from __future__ import annotations

from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import Scalar
from functrace.compiler.ir.vecmath_expr import (
    Expr,
    PerFormat,
    Table,
    fast_two_sum,
    poly,
    sel,
    two_prod,
    two_sum,
)
from functrace.compiler.ir.vecmath_gamma_tables import (
    COT,
    DIGAMMA,
    DIGAMMA_TAIL,
    LGAMMA,
    LGAMMA_TAIL,
    SINC,
)
from functrace.compiler.ir.vecmath_log import log_in_two

_INF = float("inf")
_CENTRE = 1.625
# log(2 pi) / 2 - 1/2
_STIRLING = PerFormat("0x1.acfe390c97d69p-2", "0x1.acfe3ap-2")
_STIRLING_LOW = PerFormat("0x1.3494bc9001442p-56", "-0x1.e6d052p-27")
# The positive zero of digamma, as a sum of two.
_ZERO = PerFormat("0x1.762d86356be3fp+0", "0x1.762d86p+0")
_ZERO_LOW = PerFormat("0x1.b86a722197829p-54", "0x1.ab5f20p-27")


@dataclass(frozen=True)
class _Argument:
    """|x| = size, and which piece it is in; `near` is what the polynomial is taken at."""

    negative: Expr
    size: Expr
    below: Expr
    above: Expr
    near: Expr

    def turn(self) -> Expr:
        """How far |x| is from the nearest whole number: -1/2 to 1/2."""
        return self.size - self.size.rint()


def _argument(x: Expr) -> _Argument:
    size = abs(x)
    below, above = size < 0.75, size >= 2.5
    near = sel(above, 1.0, sel(below, size + 1.0, size))
    return _Argument(x.negative(), size, below, above, near)


def _times(factor: Expr, factor_low: Expr, y: Expr, table: Table) -> Expr:
    """The polynomial at y times a factor in two parts, with what the roundings lose."""
    start, *rest = table(y)
    t = y - _CENTRE
    slope = poly(t, rest)
    value = t.fma(slope, start)
    value_low = t.fma(slope, start - value)
    return factor.fma(value, factor.fma(value_low, factor_low * value))


def _log_gamma_near(y: Expr) -> Expr:
    below = y - 2.0
    factor, factor_low = two_prod(y - 1.0, below)
    factor_low = (y - 1.0).fma(y - (below + 2.0), factor_low)
    return _times(factor, factor_low, y, LGAMMA)


def _digamma_near(y: Expr) -> Expr:
    factor, factor_low = fast_two_sum(y - _ZERO(y), y.const(-_ZERO_LOW(y)))
    return _times(factor, factor_low, y, DIGAMMA)


def _log_sine(r: Expr, size: Expr) -> tuple[Expr, Expr]:
    """log |size sin(pi r) / pi| as a sum of two, for an r that is not 0."""
    z = r * r
    start, *rest = SINC(r)
    rest_value = z * poly(z, rest)
    sinc, sinc_low = fast_two_sum(r.const(start), rest_value)
    width, width_low = two_prod(r, size)
    sine, lost = two_prod(width, sinc)
    lost = width.fma(sinc_low, width_low.fma(sinc, lost))
    high, low = log_in_two(sine)
    return high, low + lost / sine


def lgamma(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    a = _argument(x)
    y = a.near
    near = _log_gamma_near(y)
    # What size + 1 lost matters most where it is close to 7/4: digamma is 1/5 there.
    y_low = sel(a.below, a.size - (y - 1.0), 0.0)
    near = y_low.fma(0.2, near)
    # (x - 1/2) (log x - 1) + log(2 pi) / 2 - 1/2 + tail / x; the logarithm is needed below, too.
    high, low = log_in_two(sel(a.size < _INF, a.size, 1.0))
    inverse = 1.0 / sel(a.above, a.size, 1.0)
    tail = inverse.fma(poly(inverse * inverse, LGAMMA_TAIL), _STIRLING_LOW(x))
    half = a.size - 0.5
    rest, lost = fast_two_sum(x.const(_STIRLING(x)), half.fma(low, tail))
    far = half.fma(high - 1.0, rest) + lost
    step = a.below & ~a.negative
    near = (near - sel(step, low, 0.0)) - sel(step, high, 0.0)
    positive = sel(a.above, far, near)
    # lgamma(-x) = -log(x sin(pi x) / pi) - lgamma(x), and x lgamma(x) is lgamma(x + 1).
    r = abs(a.turn())
    pole = r.eq(0.0)
    high, low = _log_sine(sel(pole, 1.0, r), sel(a.below, 1.0, a.size))
    out = sel(a.negative, -high - (low + positive), positive)
    out = sel(a.negative & pole, _INF, out)
    out = sel(x.eq(0.0) | a.size.eq(_INF), _INF, out)
    return sel(x.ne(x), x, out).v


def _cotangent(r: Expr) -> tuple[Expr, Expr, Expr]:
    """1 / r and pi cot(pi r), this as a sum of two: it may be more than its sum with digamma."""
    z = r * r
    start, *rest = COT(r)
    curve, curve_low = fast_two_sum(r.const(start), z * poly(z, rest))
    pole = 1.0 / r
    cot = r.fma(-curve, pole)
    low = r.fma(-curve_low, r.fma(-curve, pole - cot))
    return pole, cot, pole.fma(pole.fma(-r, 1.0), low)


def digamma(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    a = _argument(x)
    y = a.near
    near = _digamma_near(y)
    high, low = log_in_two(sel(a.above & (a.size < _INF), a.size, 1.0))
    inverse = 1.0 / a.size
    z = sel(a.above, inverse * inverse, 0.0)
    far = high - (inverse.fma(0.5, z * poly(z, DIGAMMA_TAIL)) - low)
    # digamma(-x) = digamma(x + 1) + pi cot(pi x), and digamma(x + 1) = digamma(x) + 1 / x.
    step = sel(a.below.eq(a.negative), 0.0, sel(a.negative, inverse, -inverse))
    out = sel(a.above, far, near)
    r = a.turn()
    pole, cot, cot_low = _cotangent(r)
    total, lost = two_sum(out, cot)
    lost = lost + (cot_low + step)
    turned = sel(abs(pole) > 2.0**60, pole, total + lost)
    out = sel(a.negative, turned, out + step)
    out = sel(a.negative & r.eq(0.0), float("nan"), out)
    out = sel(x.eq(_INF), _INF, out)
    zero = x.const(-_INF).signed_as(-x)
    return sel(x.eq(0.0), zero, out).v
