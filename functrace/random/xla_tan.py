"""tan of float32 as the C library computes it (glibc's, which has it from FreeBSD's)."""

from __future__ import annotations

from functrace.compiler.ir.kernel import F32, F64
from functrace.compiler.ir.vecmath_expr import Expr, Table, sel

__all__ = ["tan32"]

_EVEN = Table(
    "",
    "0x1.ba1ba2p-5 0x1.226e3ep-7 0x1.7dbc9p-10 0x1.026f72p-12 0x1.2b80f4p-14 0x1.b2a708p-16",
)
_ODD = Table(
    "",
    "0x1.111112p-3 0x1.664f48p-6 0x1.d6d22cp-9 0x1.344d9p-11 0x1.47e88ap-14 -0x1.375cbep-16",
)
_THIRD = float.fromhex("0x1.555556p-2")
_QUARTER_PI = float.fromhex("0x1.921fb4p-1")
_QUARTER_PI_LOW = float.fromhex("0x1.4442dp-25")
_HALF_PI = float.fromhex("0x1.921fb54442d18p+0")
_TURNS = float.fromhex("0x1.45f306dc9c883p+23")
_FAR = float.fromhex("0x1.59428p-1")
_TINY = 2.0**-13


def tan32(x: Expr) -> Expr:
    """Return tan(x) of an angle below 120."""
    wide = x.cast(F64)
    turns = (((wide * _TURNS).trunc() + 2.0**23) * 2.0**-24).floor()
    rest = wide - turns * _HALF_PI
    high = rest.cast(F32)
    low = (rest - high.cast(F64)).cast(F32)
    odd = turns.ne((turns * 0.5).floor() * 2.0)
    near, far = _near(high, low, odd), _far(high, low, odd)
    return sel(abs(high) >= _FAR, far, near)


def _sum(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """Return tan(x + y) of a small x, and what it is more than x."""
    square = x * x
    fourth = square * square
    even, odd = x.const(_EVEN(x)[-1]), x.const(_ODD(x)[-1])
    for a, b in zip(reversed(_EVEN(x)[:-1]), reversed(_ODD(x)[:-1]), strict=True):
        even, odd = even * fourth + a, odd * fourth + b
    cube = square * x
    more = (y + square * (cube * (odd + square * even) + y)) + cube * _THIRD
    return x + more, more


def _near(x: Expr, y: Expr, odd: Expr) -> Expr:
    """Return tan(x + y), or -1 / tan(x + y) in two parts if it is ``odd``."""
    out, more = _sum(x, y)
    inverse = -1.0 / out
    first, start = (((v.bits()) & -0x1000).as_float() for v in (inverse, out))
    error = (more - (start - x)) * first + (start * first + 1.0)
    turned = sel(abs(x) < _TINY, -1.0 / x, first + inverse * error)
    return sel(odd, turned, sel(abs(x) < _TINY, x, out))


def _far(x: Expr, y: Expr, odd: Expr) -> Expr:
    """Return the same of an x near pi / 4, by the angle that is missing."""
    negative = x.negative()
    x, y = sel(negative, -x, x), sel(negative, -y, y)
    x = (_QUARTER_PI - x) + (_QUARTER_PI_LOW - y)
    way = sel(odd, x.const(-1.0), 1.0)
    out, more = _sum(x, x.const(0.0))
    value = way - 2.0 * (x - (out * out / (out + way) - more))
    value = sel(abs(x) < _TINY, way * (1.0 - 2.0 * way * x), value)
    return sel(negative, -value, value)
