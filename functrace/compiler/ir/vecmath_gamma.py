"""lgamma and digamma.

Three pieces for positive x: at [3/4, 5/2) a polynomial beside the function's zeros as factors,
above it Stirling's series as a polynomial on that range, and below it one step of the recurrence.
Negative x by reflection, where the zeros between the poles are met to an absolute error only.
"""

from __future__ import annotations

from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import Scalar
from functrace.compiler.ir.vecmath_expr import Expr, PerFormat, poly, sel
from functrace.compiler.ir.vecmath_gamma_tables import (
    COT,
    DIGAMMA,
    DIGAMMA_TAIL,
    LGAMMA,
    LGAMMA_TAIL,
    SINC,
)
from functrace.compiler.ir.vecmath_log import log_in_two, log_of

_INF = float("inf")
_CENTRE = 1.625
# log(2 pi) / 2 - 1/2
_STIRLING = float.fromhex("0x1.acfe390c97d6ap-2")
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


def lgamma(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    a = _argument(x)
    y = a.near
    near = (y - 1.0) * (y - 2.0) * poly(y - _CENTRE, LGAMMA)
    # (x - 1/2) (log x - 1) + log(2 pi) / 2 - 1/2 + tail / x; the logarithm is needed below, too.
    high, low = log_in_two(sel(a.size < _INF, a.size, 1.0))
    inverse = 1.0 / sel(a.above, a.size, 1.0)
    tail = inverse.fma(poly(inverse * inverse, LGAMMA_TAIL), _STIRLING)
    far = (a.size - 0.5).fma(high - 1.0, (a.size - 0.5).fma(low, tail))
    step = sel(a.below, -high - low, 0.0)
    positive = sel(a.above, far, near + sel(a.negative, 0.0, step))
    # lgamma(-x) = -log(x sin(pi x) / pi) - lgamma(x), and x lgamma(x) is lgamma(x + 1).
    r = abs(a.turn())
    sine = r * poly(r * r, SINC) * sel(a.below, 1.0, a.size)
    out = sel(a.negative, -log_of(sine) - positive, positive)
    out = sel(x.eq(0.0) | a.size.eq(_INF), _INF, out)
    return sel(x.ne(x), x, out).v


def digamma(b: Builder, v: Scalar) -> Scalar:
    x = Expr(b, v)
    a = _argument(x)
    y = a.near
    near = ((y - _ZERO(x)) - _ZERO_LOW(x)) * poly(y - _CENTRE, DIGAMMA)
    high, low = log_in_two(sel(a.above & (a.size < _INF), a.size, 1.0))
    inverse = 1.0 / a.size
    z = sel(a.above, inverse * inverse, 0.0)
    far = high - (inverse.fma(0.5, z * poly(z, DIGAMMA_TAIL)) - low)
    # digamma(-x) = digamma(x + 1) + pi cot(pi x), and digamma(x + 1) = digamma(x) + 1 / x.
    step = sel(a.below.eq(a.negative), 0.0, sel(a.negative, inverse, -inverse))
    out = sel(a.above, far, near) + step
    r = a.turn()
    cot = 1.0 / r - r * poly(r * r, COT)
    out = sel(a.negative, out + cot, out)
    out = sel(a.negative & r.eq(0.0), float("nan"), out)
    out = sel(x.eq(_INF), _INF, out)
    zero = x.const(-_INF).signed_as(-x)
    return sel(x.eq(0.0), zero, out).v
