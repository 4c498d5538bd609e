"""fmod: exact, by one division and one fused multiply-add where the quotient is exact."""

from __future__ import annotations

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import F64, Scalar
from functrace.compiler.ir.vecmath_expr import Expr, sel


def fmod(b: Builder, v: Scalar, w: Scalar) -> Scalar:
    """x - trunc(x / y) y; the rounded quotient may be one too large, never too small."""
    x, y = Expr(b, v), Expr(b, w)
    size, step = abs(x), abs(y)
    quotient = (size / step).trunc()
    rest = (-quotient).fma(step, size)
    rest = sel(rest < 0.0, rest + step, rest).signed_as(x)
    usual = (quotient < 2.0**x.format.fraction) & (step < float("inf"))

    def library() -> list[Scalar]:
        # The float64 remainder of two float32 numbers is exact, and a float32 number.
        wide = b._op("extern", F64, b._cast(v, F64), b._cast(w, F64), attr="fmod")
        return [b._cast(wide, v.dtype)]

    (out,) = b.cond((~usual).v, library, lambda: [rest.v])
    assert isinstance(out, Scalar)
    return out
