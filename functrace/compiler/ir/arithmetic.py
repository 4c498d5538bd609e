"""Scalar operations of the builder with NumPy's meaning, on real, complex and float16 values.

Whatever C or LLVM leaves undefined (division by zero, shifts beyond the width, conversions) is
spelled out here with selects, once, so that the printers only know operations without surprises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.compiler.ir import complex_ops as cx
from functrace.compiler.ir.kernel import (
    BOOL,
    F16,
    F32,
    F64,
    I32,
    I64,
    Complex,
    Const,
    DType,
    Half,
    Scalar,
    Value,
    real_dtype,
)
from functrace.compiler.ir.scalar_core import ScalarCore

_BOOL_OPS = {"add": "or", "mul": "and"}


def scalar(v: Value) -> Scalar:
    """`v`, which must be a real scalar other than float16."""
    if not isinstance(v, Scalar):
        raise TypeError(f"expected a real scalar, got {v.dtype}")
    return v


class Arithmetic(ScalarCore):
    """Arithmetic, comparisons, selection and rounding; bit operations come in `bit_ops`."""

    # ---- operands ------------------------------------------------------------------------------

    def _pair(self, x: Any, y: Any) -> tuple[Value, Value]:
        """Two values of one dtype; a Python or NumPy number takes the other's dtype."""
        if not isinstance(x, Value):
            x = self.const(x, y.dtype)
        if not isinstance(y, Value):
            y = self.const(y, x.dtype)
        if x.dtype != y.dtype:
            raise TypeError(f"operands have dtypes {x.dtype} and {y.dtype}")
        return x, y

    def _half(self, wide: Scalar) -> Half:
        return Half(self._op("round16", F32, wide))

    def _arith(self, name: str, x: Any, y: Any) -> Value:
        x, y = self._pair(x, y)
        if isinstance(x, Complex) and isinstance(y, Complex):
            return cx.ARITHMETIC[name](self, x, y)
        if isinstance(x, Half) and isinstance(y, Half):
            return self._half(self._bin(name, x.wide, y.wide))
        if x.dtype == BOOL:
            name = _BOOL_OPS.get(name, name)
        if name == "div" and x.dtype.kind != "f":
            raise TypeError(f"div is for floating-point values, not {x.dtype}")
        return self._bin(name, scalar(x), scalar(y))

    # ---- arithmetic ----------------------------------------------------------------------------

    def add(self, x: Any, y: Any) -> Value:
        return self._arith("add", x, y)

    def sub(self, x: Any, y: Any) -> Value:
        return self._arith("sub", x, y)

    def mul(self, x: Any, y: Any) -> Value:
        return self._arith("mul", x, y)

    def div(self, x: Any, y: Any) -> Value:
        return self._arith("div", x, y)

    def neg(self, x: Value) -> Value:
        if isinstance(x, Complex):
            return Complex(x.dtype, self._neg(x.re), self._neg(x.im))
        return Half(self._neg(x.wide)) if isinstance(x, Half) else self._neg(scalar(x))

    def _neg(self, x: Scalar) -> Scalar:
        if x.dtype.kind == "f":
            return self._un("neg", x)
        return self._bin("sub", self._const(0, x.dtype), x)

    def abs(self, x: Value) -> Value:
        if isinstance(x, Complex):
            return self.math("hypot", x.re, x.im)
        return Half(self._abs(x.wide)) if isinstance(x, Half) else self._abs(scalar(x))

    def _abs(self, x: Scalar) -> Scalar:
        if x.dtype.kind == "f":
            return self._un("abs", x)
        if x.dtype.kind != "i":
            return x
        return self._sel(self._bin("lt", x, self._const(0, x.dtype)), self._neg(x), x)

    def sign(self, x: Value) -> Value:
        """NumPy's sign: 0 for both zeros, nan for nan, z/|z| for complex z."""
        if isinstance(x, Complex):
            return cx.sign(self, x)
        if isinstance(x, Half):
            return Half(self._sign(x.wide))
        return self._sign(scalar(x))

    def _sign(self, x: Scalar) -> Scalar:
        if x.dtype == BOOL:
            return x
        zero, one = self._const(0, x.dtype), self._const(1, x.dtype)
        rest = self._sel(self._bin("eq", x, zero), zero, x) if x.dtype.kind == "f" else zero
        if x.dtype.kind != "u":
            rest = self._sel(self._bin("lt", x, zero), self._const(-1, x.dtype), rest)
        return self._sel(self._bin("gt", x, zero), one, rest)

    def square(self, x: Value) -> Value:
        return self.mul(x, x)

    def minimum(self, x: Any, y: Any) -> Value:
        return self._extreme("lt", "and", x, y)

    def maximum(self, x: Any, y: Any) -> Value:
        return self._extreme("gt", "or", x, y)

    def _extreme(self, better: str, for_bool: str, x: Any, y: Any) -> Value:
        x, y = self._pair(x, y)
        if x.dtype == BOOL:
            return self._bin(for_bool, scalar(x), scalar(y))
        if isinstance(x, Half) and isinstance(y, Half):
            return Half(scalar(self._extreme(better, for_bool, x.wide, y.wide)))
        if isinstance(x, Complex):
            first = self._or(scalar(self._compare(better[0] + "e", x, y)), self.is_nan(x))
            return self.select(first, x, y)
        x, y = scalar(x), scalar(y)
        # A nan in y fails the comparison and is kept by it; a nan in x needs the second select.
        best = self._sel(self._bin(better, x, y), x, y)
        return self._sel(self._bin("ne", x, x), x, best) if x.dtype.kind == "f" else best

    def floordiv(self, x: Any, y: Any) -> Value:
        """NumPy's //: integers give 0 for a zero divisor and wrap at INT_MIN // -1."""
        x, y = self._pair(x, y)
        if x.dtype.kind in "iu":
            return self._int_division("floordiv", scalar(x), scalar(y))
        if isinstance(x, Half) and isinstance(y, Half):
            return self._half(self._float_floordiv(x.wide, y.wide))
        return self._float_floordiv(scalar(x), scalar(y))

    def mod(self, x: Any, y: Any) -> Value:
        """NumPy's %: the sign of the divisor; integers give 0 for a zero divisor."""
        x, y = self._pair(x, y)
        if x.dtype.kind in "iu":
            return self._int_division("floormod", scalar(x), scalar(y))
        if isinstance(x, Half) and isinstance(y, Half):
            return self._half(self._float_mod(x.wide, y.wide))
        return self._float_mod(scalar(x), scalar(y))

    def rem(self, x: Any, y: Any) -> Value:
        """C's remainder: the sign of the dividend; integers give 0 for a zero divisor."""
        x, y = self._pair(x, y)
        if isinstance(x, Half) and isinstance(y, Half):
            return self._half(self._fmod(x.wide, y.wide))
        x, y = scalar(x), scalar(y)
        if x.dtype.kind == "f":
            return self._fmod(x, y)
        r = self._int_division("floormod", x, y)
        if x.dtype.kind == "u":
            return r
        zero = self._const(0, x.dtype)
        crossed = self._bin("lt", self._bin("xor", x, y), zero)
        fix = self._bin("and", crossed, self._bin("ne", r, zero))
        return self._sel(fix, self._bin("sub", r, y), r)

    def _int_division(self, name: str, x: Scalar, y: Scalar) -> Scalar:
        zero, one = self._const(0, x.dtype), self._const(1, x.dtype)
        if isinstance(y, Const) and int(y.value) not in (0, -1):
            return self._bin(name, x, y)
        is_zero = self._bin("eq", y, zero)
        unsafe = is_zero
        if x.dtype.kind == "i":
            least = self._const(-(1 << (8 * x.dtype.itemsize - 1)), x.dtype)
            minus = self._bin("eq", y, self._const(-1, x.dtype))
            unsafe = self._or(is_zero, self._bin("and", minus, self._bin("eq", x, least)))
        # INT_MIN / -1 becomes INT_MIN / 1: the wrapped quotient, and remainder 0.
        result = self._bin(name, x, self._sel(unsafe, one, y))
        return self._sel(is_zero, zero, result)

    def _fmod(self, x: Scalar, y: Scalar) -> Scalar:
        return self._op("math", x.dtype, x, y, attr="fmod")

    def _float_mod(self, x: Scalar, y: Scalar) -> Scalar:
        return self._float_divmod(x, y)[1]

    def _float_divmod(self, x: Scalar, y: Scalar) -> tuple[Scalar, Scalar]:
        """npy_divmod's quotient before rounding, and its remainder."""
        zero = self._const(0, x.dtype)
        raw = self._fmod(x, y)
        flip = self._bin(
            "and",
            self._bin("ne", raw, zero),
            self._bin("ne", self._bin("lt", y, zero), self._bin("lt", raw, zero)),
        )
        shifted = self._sel(flip, self._bin("add", raw, y), raw)
        signed = self._sel(
            self._bin("eq", raw, zero), self._op("copysign", x.dtype, zero, y), shifted
        )
        quotient = self._bin("div", self._bin("sub", x, raw), y)
        one = self._const(1, x.dtype)
        quotient = self._sel(flip, self._bin("sub", quotient, one), quotient)
        return quotient, self._sel(self._bin("eq", y, zero), raw, signed)

    def _float_floordiv(self, x: Scalar, y: Scalar) -> Scalar:
        zero = self._const(0, x.dtype)
        q = self._float_divmod(x, y)[0]
        down = self._un("floor", q)
        late = self._bin("gt", self._bin("sub", q, down), self._const(0.5, x.dtype))
        down = self._sel(late, self._bin("add", down, self._const(1, x.dtype)), down)
        plain = self._bin("div", x, y)
        down = self._sel(self._bin("ne", q, zero), down, self._op("copysign", x.dtype, zero, plain))
        return self._sel(self._bin("eq", y, zero), plain, down)

    def index_div(self, x: Value, y: Value) -> Value:
        """x // y for int64 x >= 0 and y >= 1, without guards: for index arithmetic."""
        return self._bin("udiv", scalar(x), scalar(y))

    # ---- comparison and selection --------------------------------------------------------------

    def _compare(self, name: str, x: Any, y: Any) -> Value:
        x, y = self._pair(x, y)
        if isinstance(x, Complex) and isinstance(y, Complex):
            return cx.compare(self, name, x, y)
        if isinstance(x, Half) and isinstance(y, Half):
            return self._bin(name, x.wide, y.wide)
        return self._bin(name, scalar(x), scalar(y))

    def eq(self, x: Any, y: Any) -> Value:
        return self._compare("eq", x, y)

    def ne(self, x: Any, y: Any) -> Value:
        return self._compare("ne", x, y)

    def lt(self, x: Any, y: Any) -> Value:
        return self._compare("lt", x, y)

    def le(self, x: Any, y: Any) -> Value:
        return self._compare("le", x, y)

    def gt(self, x: Any, y: Any) -> Value:
        return self._compare("gt", x, y)

    def ge(self, x: Any, y: Any) -> Value:
        return self._compare("ge", x, y)

    def select(self, pred: Value, x: Any, y: Any) -> Value:
        """`x` where `pred`, else `y`; both are evaluated."""
        p = scalar(pred)
        x, y = self._pair(x, y)
        if isinstance(x, Complex) and isinstance(y, Complex):
            return Complex(x.dtype, self._sel(p, x.re, y.re), self._sel(p, x.im, y.im))
        if isinstance(x, Half) and isinstance(y, Half):
            return Half(self._sel(p, x.wide, y.wide))
        return self._sel(p, scalar(x), scalar(y))

    def _or(self, x: Value, y: Value) -> Scalar:
        return self._bin("or", scalar(x), scalar(y))

    # ---- rounding and classes ------------------------------------------------------------------

    def _rounding(self, name: str, x: Value) -> Value:
        if isinstance(x, Half):
            return Half(self._un(name, x.wide))
        x = scalar(x)
        return self._un(name, x) if x.dtype.kind == "f" else x

    def floor(self, x: Value) -> Value:
        return self._rounding("floor", x)

    def ceil(self, x: Value) -> Value:
        return self._rounding("ceil", x)

    def trunc(self, x: Value) -> Value:
        return self._rounding("trunc", x)

    def rint(self, x: Value) -> Value:
        if isinstance(x, Complex):
            return Complex(x.dtype, self._un("rint", x.re), self._un("rint", x.im))
        return self._rounding("rint", x)

    def is_nan(self, x: Value) -> Value:
        if isinstance(x, Complex):
            return self._or(self.is_nan(x.re), self.is_nan(x.im))
        x = x.wide if isinstance(x, Half) else scalar(x)
        return self._bin("ne", x, x) if x.dtype.kind == "f" else self._const(False, BOOL)

    def is_inf(self, x: Value) -> Value:
        if isinstance(x, Complex):
            return self._or(self.is_inf(x.re), self.is_inf(x.im))
        x = x.wide if isinstance(x, Half) else scalar(x)
        if x.dtype.kind != "f":
            return self._const(False, BOOL)
        return self._bin("eq", self._un("abs", x), self._const(np.inf, x.dtype))

    def is_finite(self, x: Value) -> Value:
        if isinstance(x, Complex):
            return self._bin("and", scalar(self.is_finite(x.re)), scalar(self.is_finite(x.im)))
        x = x.wide if isinstance(x, Half) else scalar(x)
        if x.dtype.kind != "f":
            return self._const(True, BOOL)
        return self._bin("lt", self._un("abs", x), self._const(np.inf, x.dtype))

    # ---- roots and mathematics -----------------------------------------------------------------

    def sqrt(self, x: Value) -> Value:
        if isinstance(x, Complex):
            return self.math("sqrt", x)
        return (
            self._half(self._un("sqrt", x.wide))
            if isinstance(x, Half)
            else self._un("sqrt", scalar(x))
        )

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """`x * y + z` of float32 or float64, rounded once."""
        return self._op("fma", x.dtype, scalar(x), scalar(y), scalar(z))

    def rsqrt(self, x: Value) -> Value:
        return self.div(self.const(1, x.dtype), self.sqrt(x))

    def cbrt(self, x: Value) -> Value:
        return self.math("cbrt", x)

    def math(self, name: str, *args: Value) -> Value:
        """A function of vecmath on real values; the builder adds the complex ones."""
        if name == "sqrt":
            return self.sqrt(args[0])
        if any(a.dtype.kind != "f" or a.dtype != args[0].dtype for a in args):
            raise TypeError(f"{name} of {[str(a.dtype) for a in args]}: needs floats of one dtype")
        wide = [a.wide if isinstance(a, Half) else scalar(a) for a in args]
        result = self._op("math", wide[0].dtype, *wide, attr=name)
        return self._half(result) if args[0].dtype == F16 else result

    def real(self, z: Value) -> Value:
        return z.re if isinstance(z, Complex) else z

    def imag(self, z: Value) -> Value:
        return z.im if isinstance(z, Complex) else self.const(0, z.dtype)

    def conj(self, z: Value) -> Value:
        return Complex(z.dtype, z.re, self._neg(z.im)) if isinstance(z, Complex) else z

    def complex(self, re: Value, im: Value) -> Value:
        dtype = np.dtype(np.complex64 if re.dtype == F32 else np.complex128)
        return Complex(dtype, scalar(re), scalar(im))

    # ---- conversion ----------------------------------------------------------------------------

    def cast(self, x: Value, dtype: Any) -> Value:
        """NumPy's astype: drops imaginary parts, `!= 0` for bool, truncates towards zero."""
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        if isinstance(x, Complex):
            if dtype == BOOL:
                return self._or(self.cast(x.re, BOOL), self.cast(x.im, BOOL))
            if dtype.kind != "c":
                return self.cast(x.re, dtype)
            part = real_dtype(dtype)
            return Complex(dtype, self._cast(x.re, part), self._cast(x.im, part))
        x = x.wide if isinstance(x, Half) else scalar(x)
        if dtype.kind == "c":
            part = real_dtype(dtype)
            return Complex(dtype, self._real_cast(x, part), self._const(0, part))
        if dtype == F16:
            return self._half(self._narrow_to_half(x))
        return self._real_cast(x, dtype)

    def _narrow_to_half(self, x: Scalar) -> Scalar:
        """float32 such that rounding it to half equals rounding `x` once."""
        if x.dtype != F64 or isinstance(x, Const):
            return self._real_cast(x, F32)
        bits = self._bits(x, I64)
        low = self._const((1 << 29) - 1, I64)
        sticky = self._bin("ne", self._bin("and", bits, low), self._const(0, I64))
        kept = self._bin("and", bits, self._const(~((1 << 29) - 1), I64))
        odd = self._bin("or", kept, self._const(1 << 29, I64))
        return self._cast(self._bits(self._sel(sticky, odd, kept), F64), F32)

    def _real_cast(self, x: Scalar, dtype: DType) -> Scalar:
        if x.dtype == dtype or isinstance(x, Const):
            return self._cast(x, dtype)
        if dtype == BOOL:
            return self._bin("ne", x, self._const(0, x.dtype))
        if x.dtype.kind == "f" and dtype.kind in "iu":
            return self._float_to_int(x, dtype)
        return self._cast(x, dtype)

    def _float_to_int(self, x: Scalar, dtype: DType) -> Scalar:
        """Through int32 or int64, as C compilers do, so that what overflows wraps alike."""
        if dtype in (I32, I64):
            return self._cast(x, dtype)
        if dtype.itemsize < 8:
            return self._cast(self._cast(x, I32 if dtype.itemsize < 4 else I64), dtype)
        top = self._const(2.0**63, x.dtype)
        low = self._cast(self._cast(x, I64), dtype)
        high = self._cast(self._cast(self._bin("sub", x, top), I64), dtype)
        high = self._bin("xor", high, self._const(1 << 63, dtype))
        return self._sel(self._bin("lt", x, top), low, high)
