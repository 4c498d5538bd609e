"""Arithmetic on builder scalars in operators, and the error-free transformations made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.compiler.ir.arithmetic import Arithmetic
from functrace.compiler.ir.kernel import F32, F64, I64, DType, Scalar

# 1.5 * 2**52: adding it rounds to an integer, which then stands in the low bits.
MAGIC = 6755399441055744.0
MAGIC_BITS = 0x4338000000000000


class Expr:
    """A builder scalar with operators; Python numbers become literals of its dtype."""

    __slots__ = ("b", "v")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, b: Arithmetic, v: Scalar) -> None:
        self.b = b
        self.v = v

    def lift(self, other: Any) -> Scalar:
        return other.v if isinstance(other, Expr) else self.b._const(other, self.v.dtype)

    def _do(self, name: str, x: Scalar, y: Scalar) -> Expr:
        return Expr(self.b, self.b._bin(name, x, y))

    def __add__(self, o: Any) -> Expr:
        return self._do("add", self.v, self.lift(o))

    def __radd__(self, o: Any) -> Expr:
        return self._do("add", self.lift(o), self.v)

    def __sub__(self, o: Any) -> Expr:
        return self._do("sub", self.v, self.lift(o))

    def __rsub__(self, o: Any) -> Expr:
        return self._do("sub", self.lift(o), self.v)

    def __mul__(self, o: Any) -> Expr:
        return self._do("mul", self.v, self.lift(o))

    def __rmul__(self, o: Any) -> Expr:
        return self._do("mul", self.lift(o), self.v)

    def __truediv__(self, o: Any) -> Expr:
        return self._do("div", self.v, self.lift(o))

    def __rtruediv__(self, o: Any) -> Expr:
        return self._do("div", self.lift(o), self.v)

    def __and__(self, o: Any) -> Expr:
        return self._do("and", self.v, self.lift(o))

    def __or__(self, o: Any) -> Expr:
        return self._do("or", self.v, self.lift(o))

    def __xor__(self, o: Any) -> Expr:
        return self._do("xor", self.v, self.lift(o))

    def __invert__(self) -> Expr:
        return Expr(self.b, self.b._un("not", self.v))

    def __neg__(self) -> Expr:
        return Expr(self.b, self.b._neg(self.v))

    def __abs__(self) -> Expr:
        return Expr(self.b, self.b._abs(self.v))

    def __lt__(self, o: Any) -> Expr:
        return self._do("lt", self.v, self.lift(o))

    def __le__(self, o: Any) -> Expr:
        return self._do("le", self.v, self.lift(o))

    def __gt__(self, o: Any) -> Expr:
        return self._do("gt", self.v, self.lift(o))

    def __ge__(self, o: Any) -> Expr:
        return self._do("ge", self.v, self.lift(o))

    def eq(self, o: Any) -> Expr:
        return self._do("eq", self.v, self.lift(o))

    def ne(self, o: Any) -> Expr:
        return self._do("ne", self.v, self.lift(o))

    def shl(self, n: int) -> Expr:
        return self._do("shl", self.v, self.lift(n))

    def lshr(self, n: int) -> Expr:
        """Shift right filling with zeros; the value is one of int64."""
        word = self.b._cast(self.v, _U64)
        moved = self.b._bin("lshr", word, self.b._const(n, _U64))
        return Expr(self.b, self.b._cast(moved, I64))

    def bits(self) -> Expr:
        return Expr(self.b, self.b._bits(self.v, I64))

    def as_double(self) -> Expr:
        """The float64 with these bits."""
        return Expr(self.b, self.b._bits(self.v, F64))

    def _unary(self, name: str) -> Expr:
        return Expr(self.b, self.b._un(name, self.v))

    def sqrt(self) -> Expr:
        return self._unary("sqrt")

    def trunc(self) -> Expr:
        return self._unary("trunc")

    def rint(self) -> Expr:
        return self._unary("rint")

    def signed_as(self, o: Expr) -> Expr:
        """This magnitude with the sign of `o`."""
        return Expr(self.b, self.b._op("copysign", self.v.dtype, self.v, o.v))


_U64: DType = np.dtype(np.uint64)


def sel(p: Expr, x: Any, y: Any) -> Expr:
    """`x` where `p`, else `y`; at least one of them is an `Expr`."""
    like = x if isinstance(x, Expr) else y
    return Expr(p.b, p.b._sel(p.v, like.lift(x), like.lift(y)))


def poly(x: Expr, c: Sequence[float]) -> Expr:
    """The polynomial with coefficients `c`, even and odd powers in two chains."""
    if len(c) < 5:
        return horner(x, c)
    square = x * x
    return horner(square, c[0::2]) + x * horner(square, c[1::2])


def horner(x: Expr, c: Sequence[float]) -> Expr:
    """The polynomial with coefficients `c`, in one chain."""
    total: Any = c[-1]
    for a in reversed(c[:-1]):
        total = x * total + a
    return total if isinstance(total, Expr) else x * 0.0 + total


def two_sum(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """x + y exactly, as a rounded sum and its error."""
    s = x + y
    t = s - x
    return s, (x - (s - t)) + (y - t)


def fast_two_sum(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """The same for |x| >= |y|."""
    s = x + y
    return s, y - (s - x)


def split(x: Expr) -> tuple[Expr, Expr]:
    """x as two halves of at most 26 bits (Veltkamp); |x| < 2**995."""
    t = x * 134217729.0
    high = t - (t - x)
    return high, x - high


def two_prod(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """x * y exactly, as a rounded product and its error (Dekker)."""
    p = x * y
    xh, xl = split(x)
    yh, yl = split(y)
    return p, ((xh * yh - p) + xh * yl + xl * yh) + xl * yl


def real(b: Arithmetic, x: Scalar) -> tuple[Expr, bool]:
    """`x` in float64, and whether a float32 result is all that is wanted."""
    return Expr(b, b._cast(x, F64)), x.dtype == F32


def done(x: Expr, low: bool) -> Scalar:
    """Back to the dtype of the caller."""
    return x.b._cast(x.v, F32) if low else x.v
