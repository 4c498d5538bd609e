"""Bit operations, powers and neighbours: the builder's operations below arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.compiler.ir.arithmetic import Arithmetic, scalar
from functrace.compiler.ir.kernel import BOOL, F16, F32, Const, DType, Half, Scalar, Value

_HALF_BITS: DType = np.dtype(np.uint16)


def _unsigned(dtype: DType) -> DType:
    return np.dtype(f"u{dtype.itemsize}")


def _signed(dtype: DType) -> DType:
    return np.dtype(f"i{dtype.itemsize}")


class BitOps(Arithmetic):
    """Bitwise logic, shifts, counting, bit casts, integer powers."""

    def and_(self, x: Any, y: Any) -> Value:
        return self._integer("and", x, y)

    def or_(self, x: Any, y: Any) -> Value:
        return self._integer("or", x, y)

    def xor(self, x: Any, y: Any) -> Value:
        return self._integer("xor", x, y)

    def _integer(self, name: str, x: Any, y: Any) -> Value:
        x, y = self._pair(x, y)
        if x.dtype.kind not in "biu":
            raise TypeError(f"{name}: {x.dtype} has no bits to combine")
        return self._bin(name, scalar(x), scalar(y))

    def not_(self, x: Value) -> Value:
        return self._un("not", scalar(x))

    # ---- shifts --------------------------------------------------------------------------------

    def shl(self, x: Any, y: Any) -> Value:
        """NumPy's <<: 0 for amounts outside the width."""
        x, y = map(scalar, self._pair(x, y))
        inside, amount = self._amount(y)
        return self._sel(inside, self._bin("shl", x, amount), self._const(0, x.dtype))

    def shr(self, x: Any, y: Any) -> Value:
        """NumPy's >>: arithmetic for signed types; 0 or -1 for amounts outside the width."""
        x, y = map(scalar, self._pair(x, y))
        if x.dtype.kind == "u":
            return self.shr_logical(x, y)
        inside, amount = self._amount(y)
        filled = self._bin("ashr", x, self._const(8 * x.dtype.itemsize - 1, x.dtype))
        return self._sel(inside, self._bin("ashr", x, amount), filled)

    def shr_logical(self, x: Any, y: Any) -> Value:
        """Right shift that fills with zeros, for any integer dtype."""
        x, y = map(scalar, self._pair(x, y))
        inside, amount = self._amount(y)
        word = _unsigned(x.dtype)
        moved = self._bin("lshr", self._cast(x, word), self._cast(amount, word))
        return self._sel(inside, self._cast(moved, x.dtype), self._const(0, x.dtype))

    def _amount(self, y: Scalar) -> tuple[Scalar, Scalar]:
        """Whether a shift amount is inside the width, and the amount or 0."""
        width = 8 * y.dtype.itemsize
        if isinstance(y, Const):
            inside = 0 <= int(y.value) < width
            return self._const(inside, BOOL), y if inside else self._const(0, y.dtype)
        word = _unsigned(y.dtype)
        ok = self._bin("lt", self._cast(y, word), self._const(width, word))
        return ok, self._sel(ok, y, self._const(0, y.dtype))

    # ---- counting ------------------------------------------------------------------------------

    def popcount(self, x: Value) -> Value:
        """The number of one bits, in the dtype of `x`."""
        x = scalar(x)
        word = _unsigned(x.dtype)
        return self._cast(self._popcount(self._cast(x, word)), x.dtype)

    def _popcount(self, v: Scalar) -> Scalar:
        word, width = v.dtype, 8 * v.dtype.itemsize

        def shifted(x: Scalar, n: int) -> Scalar:
            return self._bin("lshr", x, self._const(n, word))

        def mask(x: Scalar, byte: int) -> Scalar:
            return self._bin("and", x, self._const(int(f"{byte:02x}" * 8, 16), word))

        v = self._bin("sub", v, mask(shifted(v, 1), 0x55))
        v = self._bin("add", mask(v, 0x33), mask(shifted(v, 2), 0x33))
        v = mask(self._bin("add", v, shifted(v, 4)), 0x0F)
        if width == 8:
            return v
        ones = self._const(int("01" * 8, 16), word)
        return shifted(self._bin("mul", v, ones), width - 8)

    def clz(self, x: Value) -> Value:
        """The number of leading zero bits, in the dtype of `x`."""
        x = scalar(x)
        word = _unsigned(x.dtype)
        v, width, step = self._cast(x, word), 8 * x.dtype.itemsize, 1
        while step < width:
            v = self._bin("or", v, self._bin("lshr", v, self._const(step, word)))
            step *= 2
        count = self._bin("sub", self._const(width, word), self._popcount(v))
        return self._cast(count, x.dtype)

    # ---- bits of floats ------------------------------------------------------------------------

    def bitcast(self, x: Value, dtype: Any) -> Value:
        """The same bits as another dtype of the same size."""
        dtype = np.dtype(dtype)
        if dtype == x.dtype:
            return x
        if isinstance(x, Half) or dtype == F16:
            return self._bitcast_half(x, dtype)
        if dtype.itemsize != x.dtype.itemsize or BOOL in (dtype, x.dtype):
            raise TypeError(f"bitcast: {x.dtype} and {dtype} differ in size")
        if dtype.kind in "iu" and x.dtype.kind in "iu":
            return self._cast(scalar(x), dtype)
        return self._bits(scalar(x), dtype)

    def _bitcast_half(self, x: Value, dtype: DType) -> Value:
        if isinstance(x, Half) and dtype.kind in "iu" and dtype.itemsize == 2:
            return self._cast(self._op("half_bits", _HALF_BITS, x.wide), dtype)
        if dtype == F16 and x.dtype.kind in "iu" and x.dtype.itemsize == 2:
            return Half(self._op("from_half_bits", F32, self._cast(scalar(x), _HALF_BITS)))
        raise TypeError(f"bitcast: {x.dtype} and {dtype} differ in size")

    def signbit(self, x: Value) -> Value:
        x = x.wide if isinstance(x, Half) else scalar(x)
        word = _signed(x.dtype)
        bits = self._bits(x, word) if x.dtype.kind == "f" else x
        if x.dtype.kind in "bu":
            return self._const(False, BOOL)
        return self._bin("lt", bits, self._const(0, word))

    def copysign(self, x: Any, y: Any) -> Value:
        x, y = self._pair(x, y)
        if isinstance(x, Half) and isinstance(y, Half):
            return Half(self._op("copysign", F32, x.wide, y.wide))
        return self._op("copysign", x.dtype, scalar(x), scalar(y))

    def nextafter(self, x: Any, y: Any) -> Value:
        x, y = self._pair(x, y)
        word = _signed(x.dtype)
        zero, one = self.const(0, x.dtype), self.const(1, word)
        bits = self.bitcast(x, word)
        # Away from zero the bits count up, towards it they count down.
        away = self.eq(self.gt(y, x), self.gt(x, zero))
        moved = self.select(away, self.add(bits, one), self.sub(bits, one))
        least = self.copysign(self.bitcast(one, x.dtype), y)
        out = self.select(self.eq(x, zero), least, self.bitcast(moved, x.dtype))
        out = self.select(self.eq(x, y), y, out)
        either = self._or(self.is_nan(x), self.is_nan(y))
        return self.select(either, self.add(x, y), out)

    # ---- powers --------------------------------------------------------------------------------

    def ipow(self, x: Value, n: int) -> Value:
        """x ** n for a static n by repeated multiplication; 1 / x**|n| for negative n."""
        if n < 0:
            return self.div(self.const(1, x.dtype), self.ipow(x, -n))
        result: Value | None = None
        power = x
        while n:
            if n & 1:
                result = power if result is None else self.mul(result, power)
            n >>= 1
            if n:
                power = self.mul(power, power)
        return self.const(1, x.dtype) if result is None else result
