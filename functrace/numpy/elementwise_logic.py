"""Element by element: comparisons, logic, bits, and tests of floating-point values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.core.trace import Tracer
from functrace.numpy.dispatching import numpy_function, operand
from functrace.numpy.ufuncs import loop_operands, operands, ufunc_function
from functrace.ops import arithmetic, bitwise, complexes, logical, reductions
from functrace.ops.creation import convert_element_type, full
from functrace.ops.promotion import as_array, promote_operands

__all__ = [
    "allclose",
    "array_equal",
    "array_equiv",
    "bitwise_and",
    "bitwise_count",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "invert",
    "isclose",
    "iscomplex",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "right_shift",
    "signbit",
]

# --- comparisons -------------------------------------------------------------------------------


def _compare(
    ufunc: np.ufunc, primitive: Callable[..., Any], python: Callable[..., Any], x: Any, y: Any
) -> Any:
    try:
        a, b = operands(ufunc, x, y)
    except OverflowError:
        return _compare_out_of_range(python, x, y)
    dtype = a.dtype
    if dtype.kind == "c" and primitive in (logical.lt, logical.le, logical.gt, logical.ge):
        return _lexical(primitive, a, b)
    return primitive(a, b) if dtype == b.dtype else _compare_signs(primitive, python, a, b)


def _compare_out_of_range(python: Callable[..., Any], x: Any, y: Any) -> Any:
    """Compare integers with a Python integer that none of them can equal."""
    answer = python(0, y) if isinstance(x, Tracer) else python(x, 0)
    return full(shape_of(x) or shape_of(y), answer, np.bool_)


def _compare_signs(
    primitive: Callable[..., Any], python: Callable[..., Any], x: Any, y: Any
) -> Any:
    """Compare int64 with uint64: a negative number is below all, others fit the unsigned dtype."""
    signed, other = (x, y) if x.dtype.kind == "i" else (y, x)
    below = logical.lt(signed, np.int64(0))
    unsigned = convert_element_type(signed, np.uint64)
    same = primitive(unsigned, other) if signed is x else primitive(other, unsigned)
    answer = python(-1, 0) if signed is x else python(0, -1)
    return logical.select(below, np.bool_(answer), same)


@ufunc_function(np.equal)
def equal(x1: Any, x2: Any, /) -> Any:
    """Tell where the elements are equal."""
    return _compare(np.equal, logical.eq, operator.eq, x1, x2)


@ufunc_function(np.not_equal)
def not_equal(x1: Any, x2: Any, /) -> Any:
    """Tell where the elements differ."""
    return _compare(np.not_equal, logical.ne, operator.ne, x1, x2)


def _lexical(strict: Callable[..., Any], x: Any, y: Any) -> Any:
    """Order complex numbers as NumPy does: by real part, then by imaginary part."""
    xr, yr = complexes.real(x), complexes.real(y)
    by_imag = strict(complexes.imag(x), complexes.imag(y))
    tie = bitwise.bitwise_and(logical.eq(xr, yr), by_imag)
    order = logical.lt if strict in (logical.lt, logical.le) else logical.gt
    return bitwise.bitwise_or(order(xr, yr), tie)


@ufunc_function(np.less)
def less(x1: Any, x2: Any, /) -> Any:
    """Tell where the first is below the second."""
    return _compare(np.less, logical.lt, operator.lt, x1, x2)


@ufunc_function(np.less_equal)
def less_equal(x1: Any, x2: Any, /) -> Any:
    """Tell where the first is not above the second."""
    return _compare(np.less_equal, logical.le, operator.le, x1, x2)


@ufunc_function(np.greater)
def greater(x1: Any, x2: Any, /) -> Any:
    """Tell where the first is above the second."""
    return _compare(np.greater, logical.gt, operator.gt, x1, x2)


@ufunc_function(np.greater_equal)
def greater_equal(x1: Any, x2: Any, /) -> Any:
    """Tell where the first is not below the second."""
    return _compare(np.greater_equal, logical.ge, operator.ge, x1, x2)


# --- logic -------------------------------------------------------------------------------------


def truth(x: Any) -> Any:
    """Return where elements are not zero."""
    x = operand(x)
    return x if x.dtype.kind == "b" else logical.ne(x, x.dtype.type(0))


def _truths(x: Any, y: Any) -> list[Any]:
    return promote_operands(truth(x), truth(y))


@ufunc_function(np.logical_and)
def logical_and(x1: Any, x2: Any, /) -> Any:
    """Tell where both are true (not zero)."""
    return bitwise.bitwise_and(*_truths(x1, x2))


@ufunc_function(np.logical_or)
def logical_or(x1: Any, x2: Any, /) -> Any:
    """Tell where either is true (not zero)."""
    return bitwise.bitwise_or(*_truths(x1, x2))


@ufunc_function(np.logical_xor)
def logical_xor(x1: Any, x2: Any, /) -> Any:
    """Tell where exactly one is true (not zero)."""
    return bitwise.bitwise_xor(*_truths(x1, x2))


@ufunc_function(np.logical_not)
def logical_not(x: Any, /) -> Any:
    """Tell where the elements are zero."""
    return bitwise.bitwise_not(truth(x))


# --- bits --------------------------------------------------------------------------------------


@ufunc_function(np.bitwise_and)
def bitwise_and(x1: Any, x2: Any, /) -> Any:
    """The bits both have."""
    return bitwise.bitwise_and(*loop_operands(np.bitwise_and, x1, x2))


@ufunc_function(np.bitwise_or)
def bitwise_or(x1: Any, x2: Any, /) -> Any:
    """The bits either has."""
    return bitwise.bitwise_or(*loop_operands(np.bitwise_or, x1, x2))


@ufunc_function(np.bitwise_xor)
def bitwise_xor(x1: Any, x2: Any, /) -> Any:
    """The bits exactly one has."""
    return bitwise.bitwise_xor(*loop_operands(np.bitwise_xor, x1, x2))


@ufunc_function(np.invert)
def invert(x: Any, /) -> Any:
    """The bits it has not; of booleans it is "not"."""
    return bitwise.bitwise_not(loop_operands(np.invert, x)[0])


bitwise_invert = bitwise_not = invert


@ufunc_function(np.left_shift)
def left_shift(x1: Any, x2: Any, /) -> Any:
    """Shift bits to the left, filling with zeros."""
    return bitwise.shift_left(*loop_operands(np.left_shift, x1, x2))


@ufunc_function(np.right_shift)
def right_shift(x1: Any, x2: Any, /) -> Any:
    """Shift bits to the right; the sign is kept."""
    x, y = loop_operands(np.right_shift, x1, x2)
    shift = bitwise.shift_right_logical if x.dtype.kind == "u" else bitwise.shift_right_arithmetic
    return shift(x, y)


bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


@ufunc_function(np.bitwise_count)
def bitwise_count(x: Any, /) -> Any:
    """How many bits of the absolute value of each element are set."""
    x = loop_operands(np.bitwise_count, x)[0]
    size = complexes.abs(x) if x.dtype.kind == "i" else x
    return convert_element_type(bitwise.population_count(size), np.uint8)


# --- tests of floating-point values ------------------------------------------------------------


@ufunc_function(np.isnan)
def isnan(x: Any, /) -> Any:
    """Tell where the elements are NaN."""
    return logical.is_nan(as_array(x))


@ufunc_function(np.isinf)
def isinf(x: Any, /) -> Any:
    """Tell where the elements are infinite."""
    return logical.is_inf(as_array(x))


@ufunc_function(np.isfinite)
def isfinite(x: Any, /) -> Any:
    """Tell where the elements are neither infinite nor NaN."""
    return logical.is_finite(as_array(x))


@ufunc_function(np.signbit)
def signbit(x: Any, /) -> Any:
    """Tell where the sign bit is set: below zero, or -0.0."""
    return logical.signbit(loop_operands(np.signbit, x)[0])


def _equals_infinity(x: Any, infinity: float) -> Any:
    x = operand(x)
    if x.dtype.kind == "c":
        raise TypeError(
            f"This operation is not supported for {x.dtype} values because it would be ambiguous."
        )
    if x.dtype.kind != "f":
        return full(x.shape, False, np.bool_)
    return logical.eq(x, x.dtype.type(infinity))


@numpy_function(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    """Tell where the elements are positive infinity."""
    return _equals_infinity(x, np.inf)


@numpy_function(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    """Tell where the elements are negative infinity."""
    return _equals_infinity(x, -np.inf)


@numpy_function(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """Tell where the imaginary part is not zero."""
    x = operand(x)
    if x.dtype.kind != "c":
        return full(x.shape, False, np.bool_)
    imag = complexes.imag(x)
    return logical.ne(imag, imag.dtype.type(0))


@numpy_function(np.isreal)
def isreal(x: Any) -> Any:
    """Tell where the imaginary part is zero."""
    x = operand(x)
    if x.dtype.kind != "c":
        return full(x.shape, True, np.bool_)
    imag = complexes.imag(x)
    return logical.eq(imag, imag.dtype.type(0))


# --- nearness and equality of arrays -----------------------------------------------------------


@numpy_function(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Tell where ``|a - b| <= atol + rtol * |b|``; equal infinities are close.

    Example:
        >>> isclose(1.0, 1.0 + 1e-9)
        np.True_
    """
    y = operand(b)
    if y.dtype.kind not in "fc":
        y = convert_element_type(y, np.result_type(y.dtype, 1.0))
    x, y = promote_operands(a, y)
    if x.dtype.kind not in "fc":
        x, y = promote_operands(a, convert_element_type(y, np.float64))
    gap = complexes.abs(arithmetic.sub(x, y))
    real = gap.dtype
    bound = _add_scaled(_tolerance(atol, real), _tolerance(rtol, real), y)
    gap, bound = promote_operands(gap, bound)
    near = bitwise.bitwise_and(logical.le(gap, bound), logical.is_finite(y))
    close = bitwise.bitwise_or(*promote_operands(near, logical.eq(x, y)))
    if equal_nan:
        both = bitwise.bitwise_and(*promote_operands(logical.is_nan(x), logical.is_nan(y)))
        close = bitwise.bitwise_or(*promote_operands(close, both))
    return close


def _tolerance(tolerance: Any, dtype: Any) -> Any:
    """Return a tolerance in the dtype of the distances, or a traced one as it is."""
    return tolerance if isinstance(tolerance, Tracer) else np.asarray(tolerance).astype(dtype)[()]


def _add_scaled(atol: Any, rtol: Any, y: Any) -> Any:
    """Return ``atol + rtol * |y|``."""
    scaled = arithmetic.mul(*promote_operands(rtol, complexes.abs(y)))
    return arithmetic.add(*promote_operands(atol, scaled))


def _all(x: Any) -> Any:
    axes = tuple(range(len(shape_of(x))))
    return reductions.reduce_and(x, axes) if axes else x


@numpy_function(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Tell whether all elements are close; see ``isclose``."""
    return _all(isclose(a, b, rtol, atol, equal_nan))


@numpy_function(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Tell whether two arrays have one shape and equal elements."""
    a1, a2 = operand(a1), operand(a2)
    if a1.shape != a2.shape:
        return False
    same = equal(a1, a2)
    if equal_nan:
        same = logical_or(same, logical_and(isnan(a1), isnan(a2)))
    return _all(same)


@numpy_function(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    """Tell whether two arrays are equal once broadcast to one shape."""
    a1, a2 = operand(a1), operand(a2)
    try:
        np.broadcast_shapes(a1.shape, a2.shape)
    except ValueError:
        return False
    return _all(equal(a1, a2))
