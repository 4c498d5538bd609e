"""Element by element: choosing, limiting, rounding, interpolating, and complex parts."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from functrace.core.aval import dtype_of, shape_of
from functrace.core.trace import Tracer
from functrace.numpy.dispatching import normalize_axis, numpy_function, operand, refuse_out
from functrace.numpy.elementwise_arithmetic import (
    absolute,
    add,
    maximum,
    minimum,
    multiply,
    remainder,
    subtract,
)
from functrace.numpy.elementwise_logic import logical_and, truth
from functrace.numpy.elementwise_transcendental import arctan2
from functrace.numpy.searching import nonzero
from functrace.numpy.ufuncs import inexact, loop_operands, numpy_function_with, ufunc_function
from functrace.ops import arithmetic, complexes, joining, logical, rounding
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type, full
from functrace.ops.promotion import as_array, broadcast_arrays, promote_dtypes, result_dtype

__all__ = [
    "angle",
    "around",
    "astype",
    "ceil",
    "clip",
    "conj",
    "conjugate",
    "fix",
    "floor",
    "imag",
    "nan_to_num",
    "piecewise",
    "real",
    "real_if_close",
    "rint",
    "round",
    "select",
    "trunc",
    "unwrap",
    "where",
]

# --- choosing ----------------------------------------------------------------------------------


@numpy_function_with(np.where, "size", "fill_value")
def where(
    condition: Any,
    x: Any = None,
    y: Any = None,
    /,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """Choose from ``x`` where the condition holds, else from ``y``.

    The side that isn't chosen has no influence on the derivative. With a condition alone it is
    ``nonzero``.

    Example:
        >>> where([True, False], 1.0, 2.0)
        array([1., 2.])
    """
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        raise ValueError("either both or neither of x and y should be given")
    mask = truth(condition)
    on_true, on_false = promote_dtypes(as_array(x), as_array(y))
    mask, on_true, on_false = broadcast_arrays(mask, on_true, on_false)
    return logical.select(mask, on_true, on_false)


_NUMBERS = (int, float, complex)


@numpy_function(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Choose each element from the first choice whose condition holds."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if len(condlist) == 0:
        raise ValueError("select with an empty condition list is not possible")
    conditions = [operand(c) for c in condlist]
    for i, condition in enumerate(conditions):
        if condition.dtype.kind != "b":
            raise TypeError(f"invalid entry {i} in condlist: should be boolean ndarray")
    choices = [c if type(c) in _NUMBERS else operand(c) for c in (*choicelist, default)]
    values = broadcast_arrays(*conditions, *promote_dtypes(*choices))
    masks, cases, out = values[: len(conditions)], values[len(conditions) : -1], values[-1]
    for mask, case in zip(reversed(masks), reversed(cases)):
        out = logical.select(mask, case, out)
    shape = np.broadcast_shapes(*(shape_of(v) for v in values))
    return broadcast_to(out, shape)


@numpy_function(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Apply to each element the function of the condition that holds for it.

    Every function is applied to all of ``x``; the conditions choose among the results.
    """
    x = operand(x)
    if not isinstance(condlist, (list, tuple)) or (condlist and np.isscalar(condlist[0])):
        condlist = [condlist]
    if len(funclist) not in (len(condlist), len(condlist) + 1):
        raise ValueError(
            f"with {len(condlist)} condition(s), either {len(condlist)} or "
            f"{len(condlist) + 1} functions are expected"
        )
    results = [f(x, *args, **kw) if callable(f) else f for f in funclist]
    results = [convert_element_type(r, x.dtype) for r in results]
    out = results[len(condlist)] if len(results) > len(condlist) else x.dtype.type(0)
    for condition, result in zip(condlist, results):  # the last condition that holds wins
        out = logical.select(*broadcast_arrays(truth(condition), result, out))
    return broadcast_to(out, x.shape)


# --- limiting and rounding ---------------------------------------------------------------------


@numpy_function(np.clip)
def clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = None,
    max: Any = None,
    **kwargs: Any,
) -> Any:
    """Limit the elements to an interval; at its ends the derivative is one half.

    Example:
        >>> clip(5.0, 0.0, 1.0)
        np.float64(1.0)
    """
    refuse_out(out, "clip")
    low = a_min if min is None else min
    high = a_max if max is None else max
    if low is None and high is None:
        return operand(a)
    dtype = result_dtype(*(as_array(v) for v in (a, low, high) if v is not None))
    x = convert_element_type(as_array(a), dtype)
    if low is not None:
        x = maximum(x, low)
    return x if high is None else minimum(x, high)


def _rounding(ufunc: np.ufunc, primitive: Any, x: Any) -> Any:
    x = loop_operands(ufunc, x)[0]
    return primitive(x) if x.dtype.kind == "f" else x


@ufunc_function(np.floor)
def floor(x: Any, /) -> Any:
    """The largest integer not above each element."""
    return _rounding(np.floor, rounding.floor, x)


@ufunc_function(np.ceil)
def ceil(x: Any, /) -> Any:
    """The smallest integer not below each element."""
    return _rounding(np.ceil, rounding.ceil, x)


@ufunc_function(np.trunc)
def trunc(x: Any, /) -> Any:
    """Each element without its fractional part."""
    return _rounding(np.trunc, rounding.trunc, x)


@numpy_function(np.fix)
def fix(x: Any, out: Any = None) -> Any:
    """Each element rounded to an integer towards zero."""
    refuse_out(out, "fix")
    return trunc(x)


@ufunc_function(np.rint)
def rint(x: Any, /) -> Any:
    """The nearest integer to each element; ties go to the even one."""
    x = inexact(np.rint, x)
    return rounding.round(x, rounding.RoundingMethod.TO_NEAREST_EVEN)


@numpy_function(np.round)
def round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Each element rounded to so many decimals; ties go to the even digit."""
    refuse_out(out, "round")
    x = operand(a)
    if x.dtype.kind == "b":
        x = convert_element_type(x, np.float16)
        return rint(x)
    if x.dtype.kind in "iu":
        return x if decimals >= 0 else _round_integers(x, 10 ** -int(decimals))
    if decimals == 0:
        return rint(x)
    # As NumPy does it: scale, round, scale back.
    scale = convert_element_type(10.0 ** builtins.abs(decimals), x.dtype)
    if decimals > 0:
        return arithmetic.div(rint(arithmetic.mul(x, scale)), scale)
    return arithmetic.mul(rint(arithmetic.div(x, scale)), scale)


around = round


def _round_integers(x: Any, unit: int) -> Any:
    scaled = arithmetic.div(convert_element_type(x, np.float64), np.float64(unit))
    return convert_element_type(arithmetic.mul(rint(scaled), np.float64(unit)), x.dtype)


@numpy_function(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """Replace NaN by zero and infinities by the largest finite numbers, or as told."""
    x = operand(x)
    if x.dtype.kind == "c":
        parts = (complexes.real(x), complexes.imag(x))
        return complexes.complex(*(nan_to_num(p, copy, nan, posinf, neginf) for p in parts))
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    out = where(logical.is_nan(x), _as_scalar(nan, x.dtype), x)
    top = limits.max if posinf is None else posinf
    bottom = limits.min if neginf is None else neginf
    inf = x.dtype.type(np.inf)
    out = where(logical.eq(x, inf), _as_scalar(top, x.dtype), out)
    return where(logical.eq(x, arithmetic.neg(inf)), _as_scalar(bottom, x.dtype), out)


def _as_scalar(value: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, Tracer):
        return convert_element_type(value, dtype)
    array = np.asarray(value).astype(dtype)
    return array[()]


# --- complex parts -----------------------------------------------------------------------------


@ufunc_function(np.conjugate)
def conjugate(x: Any, /) -> Any:
    """The complex conjugate of each element; real ones are returned as they are."""
    x = loop_operands(np.conjugate, x)[0]
    return complexes.conj(x) if x.dtype.kind == "c" else x


conj = conjugate


@numpy_function(np.real)
def real(val: Any) -> Any:
    """The real part of each element."""
    x = operand(val)
    return complexes.real(x) if x.dtype.kind == "c" else x


@numpy_function(np.imag)
def imag(val: Any) -> Any:
    """The imaginary part of each element."""
    x = operand(val)
    return complexes.imag(x) if x.dtype.kind == "c" else full(x.shape, 0, x.dtype)


@numpy_function(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """The angle of each complex element with the positive real axis, in radians."""
    z = operand(z)
    if z.dtype.kind == "c":
        out = arctan2(complexes.imag(z), complexes.real(z))
    else:
        out = arctan2(full(z.shape, 0, z.dtype), z)
    return multiply(out, 180.0 / math.pi) if deg else out


@numpy_function(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    """Return the real part when all imaginary parts are near zero; that must be known."""
    a = operand(a)
    if a.dtype.kind != "c":
        return a
    part = imag(a)
    limit = tol * np.finfo(part.dtype).eps if tol > 1 else tol
    near = absolute(part) < limit
    return real(a) if bool(near.all()) else a


# --- angles and conversion ---------------------------------------------------------------------


@numpy_function(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * math.pi) -> Any:
    """Add whole periods so that neighbours along an axis are less than half a period apart."""
    x = operand(p)
    axis = normalize_axis(axis, x.ndim)
    dtype = result_dtype(x, period)
    integral = dtype.kind in "iu"
    later = x[(slice(None),) * axis + (slice(1, None),)]
    earlier = x[(slice(None),) * axis + (slice(None, -1),)]
    step = convert_element_type(subtract(later, earlier), dtype)
    half = period // 2 if integral else period / 2
    boundary = integral and period % 2 == 0
    folded = subtract(remainder(add(step, half), period), half)
    if boundary or not integral:
        edge = logical_and(folded == -half, step > 0)
        folded = where(edge, half, folded)
    correction = subtract(folded, step)
    limit = period / 2 if discont is None else discont
    correction = where(absolute(step) < limit, 0, correction)
    first = x[(slice(None),) * axis + (slice(0, 1),)]
    total = add(later, correction.cumsum(axis=axis))
    parts = [convert_element_type(first, dtype), convert_element_type(total, dtype)]
    return joining.concatenate(parts, axis)


@numpy_function(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """Convert an array to another dtype; complex to real drops the imaginary part."""
    target = np.dtype(dtype)
    x = operand(x)
    if target.kind == "b" and dtype_of(x).kind != "b":
        return truth(x)
    return convert_element_type(x, target)
