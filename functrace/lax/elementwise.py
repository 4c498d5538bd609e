"""Element-wise functions: operands of one dtype, of one shape or 0-d."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.lax.operands import array, matching
from functrace.ops import (
    arithmetic,
    bitwise,
    complexes,
    exponentials,
    logical,
    powers,
    rounding,
    special,
    transcendental,
)
from functrace.ops.creation import convert_element_type
from functrace.ops.rounding import RoundingMethod

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clamp",
    "clz",
    "complex",
    "conj",
    "cos",
    "cosh",
    "digamma",
    "div",
    "eq",
    "erf",
    "erf_inv",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "ge",
    "gt",
    "imag",
    "integer_pow",
    "is_finite",
    "le",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "logistic",
    "lt",
    "max",
    "min",
    "mul",
    "ne",
    "neg",
    "nextafter",
    "polygamma",
    "population_count",
    "pow",
    "real",
    "reciprocal",
    "rem",
    "round",
    "rsqrt",
    "select",
    "select_n",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "sub",
    "tan",
    "tanh",
]

# --- one operand ---------------------------------------------------------------------------


def neg(x: Any) -> Any:
    """Negative of each element."""
    return arithmetic.neg(array(x, "lax.neg"))


def abs(x: Any) -> Any:
    """Absolute value; the modulus of complex numbers."""
    return complexes.abs(array(x, "lax.abs"))


def sign(x: Any) -> Any:
    """Sign: -1, 0 or 1; ``x / abs(x)`` for complex numbers."""
    return complexes.sign(array(x, "lax.sign"))


def floor(x: Any) -> Any:
    """Greatest whole number not above each element."""
    return rounding.floor(array(x, "lax.floor"))


def ceil(x: Any) -> Any:
    """Least whole number not below each element."""
    return rounding.ceil(array(x, "lax.ceil"))


def is_finite(x: Any) -> Any:
    """Whether each element is neither infinite nor NaN."""
    return logical.is_finite(array(x, "lax.is_finite"))


def exp(x: Any) -> Any:
    """Exponential function."""
    return exponentials.exp(array(x, "lax.exp"))


def exp2(x: Any) -> Any:
    """2 to the power of each element."""
    return exponentials.exp2(array(x, "lax.exp2"))


def expm1(x: Any) -> Any:
    """``exp(x) - 1``, precise near 0."""
    return exponentials.expm1(array(x, "lax.expm1"))


def log(x: Any) -> Any:
    """Natural logarithm."""
    return exponentials.log(array(x, "lax.log"))


def log1p(x: Any) -> Any:
    """``log(1 + x)``, precise near 0."""
    return exponentials.log1p(array(x, "lax.log1p"))


def log2(x: Any) -> Any:
    """Logarithm to base 2."""
    return exponentials.log2(array(x, "lax.log2"))


def logistic(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, the sigmoid."""
    return exponentials.logistic(array(x, "lax.logistic"))


def sin(x: Any) -> Any:
    """Sine."""
    return transcendental.sin(array(x, "lax.sin"))


def cos(x: Any) -> Any:
    """Cosine."""
    return transcendental.cos(array(x, "lax.cos"))


def tan(x: Any) -> Any:
    """Tangent."""
    return transcendental.tan(array(x, "lax.tan"))


def asin(x: Any) -> Any:
    """Inverse sine."""
    return transcendental.asin(array(x, "lax.asin"))


def acos(x: Any) -> Any:
    """Inverse cosine."""
    return transcendental.acos(array(x, "lax.acos"))


def atan(x: Any) -> Any:
    """Inverse tangent."""
    return transcendental.atan(array(x, "lax.atan"))


def sinh(x: Any) -> Any:
    """Hyperbolic sine."""
    return transcendental.sinh(array(x, "lax.sinh"))


def cosh(x: Any) -> Any:
    """Hyperbolic cosine."""
    return transcendental.cosh(array(x, "lax.cosh"))


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return transcendental.tanh(array(x, "lax.tanh"))


def asinh(x: Any) -> Any:
    """Inverse hyperbolic sine."""
    return transcendental.asinh(array(x, "lax.asinh"))


def acosh(x: Any) -> Any:
    """Inverse hyperbolic cosine."""
    return transcendental.acosh(array(x, "lax.acosh"))


def atanh(x: Any) -> Any:
    """Inverse hyperbolic tangent."""
    return transcendental.atanh(array(x, "lax.atanh"))


def sqrt(x: Any) -> Any:
    """Square root."""
    return powers.sqrt(array(x, "lax.sqrt"))


def rsqrt(x: Any) -> Any:
    """``1 / sqrt(x)``."""
    return powers.rsqrt(array(x, "lax.rsqrt"))


def cbrt(x: Any) -> Any:
    """Cube root."""
    return powers.cbrt(array(x, "lax.cbrt"))


def square(x: Any) -> Any:
    """``x * x``."""
    return powers.square(array(x, "lax.square"))


def real(x: Any) -> Any:
    """Real part."""
    return complexes.real(array(x, "lax.real"))


def imag(x: Any) -> Any:
    """Imaginary part."""
    return complexes.imag(array(x, "lax.imag"))


def erf(x: Any) -> Any:
    """Error function."""
    return special.erf(array(x, "lax.erf"))


def erfc(x: Any) -> Any:
    """``1 - erf(x)``, precise for large ``x``."""
    return special.erfc(array(x, "lax.erfc"))


def erf_inv(x: Any) -> Any:
    """Inverse of the error function."""
    return special.erf_inv(array(x, "lax.erf_inv"))


def lgamma(x: Any) -> Any:
    """Logarithm of the absolute value of the gamma function."""
    return special.lgamma(array(x, "lax.lgamma"))


def digamma(x: Any) -> Any:
    """Derivative of ``lgamma``."""
    return special.digamma(array(x, "lax.digamma"))


def bitwise_not(x: Any) -> Any:
    """Each bit flipped; logical *not* of booleans."""
    return bitwise.bitwise_not(array(x, "lax.bitwise_not"))


def population_count(x: Any) -> Any:
    """How many bits are set."""
    return bitwise.population_count(array(x, "lax.population_count"))


def clz(x: Any) -> Any:
    """How many leading bits are not set."""
    return bitwise.clz(array(x, "lax.clz"))


# --- two operands --------------------------------------------------------------------------


def add(x: Any, y: Any) -> Any:
    """Sum ``x + y``."""
    return arithmetic.add(*matching("lax.add", x, y))


def sub(x: Any, y: Any) -> Any:
    """Difference ``x - y``."""
    return arithmetic.sub(*matching("lax.sub", x, y))


def mul(x: Any, y: Any) -> Any:
    """Product ``x * y``."""
    return arithmetic.mul(*matching("lax.mul", x, y))


def rem(x: Any, y: Any) -> Any:
    """Remainder of ``x / y`` with the sign of ``x``, as in C."""
    return rounding.rem(*matching("lax.rem", x, y))


def max(x: Any, y: Any) -> Any:
    """Larger of two elements; NaN when one is."""
    return arithmetic.max(*matching("lax.max", x, y))


def min(x: Any, y: Any) -> Any:
    """Smaller of two elements; NaN when one is."""
    return arithmetic.min(*matching("lax.min", x, y))


def atan2(x: Any, y: Any) -> Any:
    """Angle whose tangent is ``x / y``, in the quadrant that the signs tell."""
    return transcendental.atan2(*matching("lax.atan2", x, y))


def nextafter(x1: Any, x2: Any) -> Any:
    """Next number after ``x1`` in the direction of ``x2``."""
    return rounding.nextafter(*matching("lax.nextafter", x1, x2))


def eq(x: Any, y: Any) -> Any:
    """Whether ``x == y``."""
    return logical.eq(*matching("lax.eq", x, y))


def ne(x: Any, y: Any) -> Any:
    """Whether ``x != y``."""
    return logical.ne(*matching("lax.ne", x, y))


def lt(x: Any, y: Any) -> Any:
    """Whether ``x < y``."""
    return logical.lt(*matching("lax.lt", x, y))


def le(x: Any, y: Any) -> Any:
    """Whether ``x <= y``."""
    return logical.le(*matching("lax.le", x, y))


def gt(x: Any, y: Any) -> Any:
    """Whether ``x > y``."""
    return logical.gt(*matching("lax.gt", x, y))


def ge(x: Any, y: Any) -> Any:
    """Whether ``x >= y``."""
    return logical.ge(*matching("lax.ge", x, y))


def bitwise_and(x: Any, y: Any) -> Any:
    """Bitwise *and*; logical for booleans."""
    return bitwise.bitwise_and(*matching("lax.bitwise_and", x, y))


def bitwise_or(x: Any, y: Any) -> Any:
    """Bitwise *or*; logical for booleans."""
    return bitwise.bitwise_or(*matching("lax.bitwise_or", x, y))


def bitwise_xor(x: Any, y: Any) -> Any:
    """Bitwise exclusive *or*; logical for booleans."""
    return bitwise.bitwise_xor(*matching("lax.bitwise_xor", x, y))


def shift_left(x: Any, y: Any) -> Any:
    """``x << y``; 0 when ``y`` is out of range."""
    return bitwise.shift_left(*matching("lax.shift_left", x, y))


def shift_right_arithmetic(x: Any, y: Any) -> Any:
    """``x >> y``, filled with the sign."""
    return bitwise.shift_right_arithmetic(*matching("lax.shift_right_arithmetic", x, y))


def shift_right_logical(x: Any, y: Any) -> Any:
    """``x >> y``, filled with zeros."""
    return bitwise.shift_right_logical(*matching("lax.shift_right_logical", x, y))


def div(x: Any, y: Any) -> Any:
    """Quotient ``x / y``; that of integers is cut towards 0.

    Example:
        >>> import numpy as np
        >>> div(np.array([-5, 5]), 3)
        array([-1,  1])
    """
    x, y = matching("lax.div", x, y)
    if x.dtype.kind in "fc":
        return arithmetic.div(x, y)
    # x - rem is a multiple of y, so that the floor changes nothing.
    return rounding.floor_divide(arithmetic.sub(x, rounding.rem(x, y)), y)


def pow(x: Any, y: Any) -> Any:
    """``x`` to the power ``y``; ``y`` has the dtype of ``x``, or is an integer.

    Example:
        >>> import numpy as np
        >>> pow(np.array([2.0, 3.0]), 2)
        array([4., 9.])
    """
    x = array(x, "lax.pow")
    if isinstance(y, int) and not isinstance(y, bool):
        return powers.integer_pow(x, y)
    y = array(y, "lax.pow") if not isinstance(y, float) else y
    if not isinstance(y, float) and y.dtype.kind in "iu" and x.dtype.kind in "fc":
        y = convert_element_type(y, x.dtype)
    return powers.pow(*matching("lax.pow", x, y))


def integer_pow(x: Any, y: int) -> Any:
    """``x`` to a static integer power.

    Example:
        >>> import numpy as np
        >>> integer_pow(np.array([2.0, 3.0]), -1)
        array([0.5       , 0.33333333])
    """
    return powers.integer_pow(array(x, "lax.integer_pow"), y)


def reciprocal(x: Any) -> Any:
    """``1 / x``.

    Example:
        >>> import numpy as np
        >>> reciprocal(np.array([2.0, 4.0]))
        array([0.5 , 0.25])
    """
    return powers.integer_pow(array(x, "lax.reciprocal"), -1)


def polygamma(m: Any, x: Any) -> Any:
    """The ``m``-th derivative of ``digamma``; ``m`` is a static whole number."""
    x = array(x, "lax.polygamma")
    order = int(m)
    return special.polygamma(order, x) if order else special.digamma(x)


def round(x: Any, rounding_method: Any = RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """Nearest whole number; halves go where ``rounding_method`` says.

    Example:
        >>> import numpy as np
        >>> round(np.array([0.5, 1.5]))
        array([1., 2.])
    """
    return rounding.round(array(x, "lax.round"), rounding_method)


def conj(x: Any) -> Any:
    """Complex conjugate; a real operand becomes complex.

    Example:
        >>> import numpy as np
        >>> conj(np.array([1 + 2j]))
        array([1.-2.j])
    """
    x = array(x, "lax.conj")
    if x.dtype.kind != "c":
        return complexes.complex(x, x.dtype.type(0))
    return complexes.conj(x)


def complex(x: Any, y: Any) -> Any:
    """Complex numbers from their real and imaginary parts."""
    return complexes.complex(*matching("lax.complex", x, y))


def clamp(min: Any, x: Any, max: Any) -> Any:
    """``x`` kept between ``min`` and ``max``, which have its shape or none.

    Example:
        >>> import numpy as np
        >>> clamp(0.0, np.array([-1.0, 0.5, 2.0]), 1.0)
        array([0. , 0.5, 1. ])
    """
    return arithmetic.clamp(*matching("lax.clamp", min, x, max))


# --- choice ------------------------------------------------------------------------------------


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """Elements of ``on_true`` where ``pred``, else of ``on_false``.

    Example:
        >>> import numpy as np
        >>> select(np.array([True, False]), np.ones(2), np.zeros(2))
        array([1., 0.])
    """
    on_true, on_false = matching("lax.select", on_true, on_false)
    return logical.select(array(pred, "lax.select"), on_true, on_false)


def select_n(which: Any, *cases: Any) -> Any:
    """Elements of the case whose number is in ``which``: False is 0, True is 1.

    Example:
        >>> import numpy as np
        >>> select_n(np.array([0, 1]), np.array([1, 2]), np.array([3, 4]))
        array([1, 4])
    """
    which = np.bool_(which) if isinstance(which, bool) else array(which, "lax.select_n")
    return logical.select_n(which, *matching("lax.select_n", *cases))
