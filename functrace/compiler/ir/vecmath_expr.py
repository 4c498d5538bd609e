"""Arithmetic on builder scalars in operators, and the error-free transformations made of it.

The functions of vecmath are written once for float32 and float64: what depends on the format
stands in its `Format`, and the coefficients of polynomials in `vecmath_tables`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from functrace.compiler.ir.arithmetic import Arithmetic
from functrace.compiler.ir.kernel import F32, F64, I32, I64, DType, Scalar


@dataclass(frozen=True)
class Format:
    """A floating-point format.

    Attributes:
        dtype: the dtype.
        word: integers of the same width.
        unsigned: the same without sign.
        fraction: how many bits of the mantissa are stored.
        bias: what is added to an exponent.
    """

    dtype: DType
    word: DType
    unsigned: DType
    fraction: int
    bias: int

    @property
    def magic(self) -> float:
        """Adding it rounds to an integer, which then stands in the low bits."""
        return 1.5 * 2.0**self.fraction

    @property
    def bits(self) -> int:
        """The width."""
        return 8 * self.dtype.itemsize

    @property
    def epsilon(self) -> float:
        """The last place of 1."""
        return 2.0**-self.fraction

    @property
    def least(self) -> float:
        """The smallest normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def mantissa(self) -> int:
        """The bits of the mantissa."""
        return (1 << self.fraction) - 1


SINGLE = Format(F32, I32, np.dtype(np.uint32), 23, 127)
DOUBLE = Format(F64, I64, np.dtype(np.uint64), 52, 1023)
_FORMATS = {F32: SINGLE, F64: DOUBLE, I32: SINGLE, I64: DOUBLE}


class PerFormat:
    """A number that depends on the format."""

    def __init__(self, double: str | float, single: str | float) -> None:
        self._values = {F64: _number(double), F32: _number(single)}

    def __call__(self, x: Expr) -> float:
        """The one for the format of `x`."""
        return self._values[x.v.dtype]


def _number(value: str | float) -> float:
    return float.fromhex(value) if isinstance(value, str) else value


class Table:
    """Coefficients of a polynomial, lowest power first, for each format."""

    def __init__(self, double: str = "", single: str = "") -> None:
        parsed = ((F64, double), (F32, single))
        self._values = {d: tuple(map(float.fromhex, text.split())) for d, text in parsed}

    def __call__(self, x: Expr) -> tuple[float, ...]:
        """Those for the format of `x`."""
        return self._values[x.v.dtype]


class Expr:
    """A builder scalar with operators; Python numbers become literals of its dtype."""

    __slots__ = ("b", "v")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, b: Arithmetic, v: Scalar) -> None:
        self.b = b
        self.v = v

    @property
    def format(self) -> Format:
        """The format of this number, or the one whose words these are."""
        return _FORMATS[self.v.dtype]

    def lift(self, other: Any) -> Scalar:
        return other.v if isinstance(other, Expr) else self.b._const(other, self.v.dtype)

    def const(self, value: float) -> Expr:
        """A literal of this dtype."""
        return Expr(self.b, self.lift(value))

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

    def fma(self, y: Any, z: Any) -> Expr:
        """self * y + z, rounded once."""
        return Expr(self.b, self.b._op("fma", self.v.dtype, self.v, self.lift(y), self.lift(z)))

    def shl(self, n: int) -> Expr:
        return self._do("shl", self.v, self.lift(n))

    def lshr(self, n: int) -> Expr:
        """This word shifted right, filled with zeros."""
        unsigned = self.format.unsigned
        moved = self.b._bin("lshr", self.b._cast(self.v, unsigned), self.b._const(n, unsigned))
        return Expr(self.b, self.b._cast(moved, self.v.dtype))

    def bits(self) -> Expr:
        """The word with the bits of this number."""
        return Expr(self.b, self.b._bits(self.v, self.format.word))

    def as_float(self) -> Expr:
        """The number with the bits of this word."""
        return Expr(self.b, self.b._bits(self.v, self.format.dtype))

    def cast(self, dtype: DType) -> Expr:
        """The same number in another dtype."""
        return Expr(self.b, self.b._cast(self.v, dtype))

    def _unary(self, name: str) -> Expr:
        return Expr(self.b, self.b._un(name, self.v))

    def sqrt(self) -> Expr:
        return self._unary("sqrt")

    def trunc(self) -> Expr:
        return self._unary("trunc")

    def rint(self) -> Expr:
        return self._unary("rint")

    def floor(self) -> Expr:
        return self._unary("floor")

    def signed_as(self, o: Expr) -> Expr:
        """This magnitude with the sign of `o`."""
        return Expr(self.b, self.b._op("copysign", self.v.dtype, self.v, o.v))

    def math(self, name: str, *others: Expr) -> Expr:
        """A function of vecmath of this number and others."""
        args = (self.v, *(o.v for o in others))
        return Expr(self.b, self.b._op("math", self.v.dtype, *args, attr=name))

    def negative(self) -> Expr:
        """Whether the sign bit is set."""
        return self.bits() < 0


def sel(p: Expr, x: Any, y: Any) -> Expr:
    """`x` where `p`, else `y`; at least one of them is an `Expr`."""
    like = x if isinstance(x, Expr) else y
    return Expr(p.b, p.b._sel(p.v, like.lift(x), like.lift(y)))


def clamp(x: Expr, low: float, high: float) -> Expr:
    """x held in an interval; nan stays."""
    x = sel(x > high, high, x)
    return sel(x < low, low, x)


def nearest(x: Expr) -> Expr:
    """The nearest integer of a number well below 2**fraction."""
    return (x + x.format.magic) - x.format.magic


def poly(x: Expr, c: Table | Sequence[float]) -> Expr:
    """The polynomial with coefficients `c`, even and odd powers in two chains."""
    if isinstance(c, Table):
        c = c(x)
    if len(c) < 6:
        return horner(x, c)
    square = x * x
    return x.fma(horner(square, c[1::2]), horner(square, c[0::2]))


def horner(x: Expr, c: Sequence[float]) -> Expr:
    """The polynomial with coefficients `c`, in one chain."""
    total = x.const(c[-1])
    for a in reversed(c[:-1]):
        total = total.fma(x, a)
    return total


def two_sum(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """x + y exactly, as a rounded sum and its error."""
    s = x + y
    t = s - x
    return s, (x - (s - t)) + (y - t)


def fast_two_sum(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """The same for |x| >= |y| or x = 0."""
    s = x + y
    return s, y - (s - x)


def two_prod(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """x * y exactly, as a rounded product and its error."""
    p = x * y
    return p, x.fma(y, -p)


def power_of_two(n: Expr, factor: float = 1.0) -> Expr:
    """2**(factor n), an integer from the least to the largest exponent of normal numbers."""
    f = n.format
    one = f.magic + f.bias
    return (n + one if factor == 1.0 else n.fma(factor, one)).bits().shl(f.fraction).as_float()


def scale(x: Expr, n: Expr) -> Expr:
    """x * 2**n for |n| up to twice the exponent range, rounded once."""
    half = nearest(n * 0.5)
    return x * power_of_two(half) * power_of_two(n - half)
