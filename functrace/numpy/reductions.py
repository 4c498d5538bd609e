"""Reductions: sum, prod, max, min, any, all, mean, var, std, argmax, argmin and average."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.core.trace import Primitive
from functrace.errors import ShapeError
from functrace.numpy.dispatching import (
    cast,
    choose,
    normalize_axes,
    normalize_axis,
    numpy_function,
    operand,
    refuse_out,
    spread,
    strong,
)
from functrace.ops import arithmetic, complexes, powers, reductions, structural
from functrace.ops.arithmetic import div_p, sub_p
from functrace.ops.broadcasting import broadcast_to, reduce_sum_p
from functrace.ops.creation import convert_element_type
from functrace.ops.cumulative import reduce_prod_p
from functrace.ops.reductions import (
    reduce_and_p,
    reduce_max_p,
    reduce_min_p,
    reduce_or_p,
)

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "average",
    "count_nonzero",
    "max",
    "mean",
    "min",
    "prod",
    "ptp",
    "std",
    "sum",
    "var",
]

Axis = int | tuple[int, ...] | None

# --- what they share ---------------------------------------------------------------------------

_INT64, _UINT64 = np.dtype(np.int64), np.dtype(np.uint64)
_FLOAT64, _FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype NumPy sums and multiplies in: small integers and booleans widen."""
    kind = dtype.kind
    if kind == "f" or kind == "c" or dtype.itemsize >= 8:
        return dtype
    return _UINT64 if kind == "u" else _INT64


def sum_operand(a: Any, dtype: Any) -> Any:
    """Return the operand of a sum or product, in the dtype it accumulates in."""
    x = operand(a)
    return convert_element_type(x, sum_dtype(x.dtype) if dtype is None else dtype)


def fold(primitive: Primitive, x: Any, axes: tuple[int, ...], keepdims: bool = False) -> Any:
    """Bind a reduction; with ``keepdims`` the axes stay, of size 1."""
    out = primitive.bind(x, axes=axes) if axes else strong(x)
    return structural.expand_dims(out, axes) if keepdims else out


def _masked(x: Any, where: Any, identity: Any) -> Any:
    """Return ``x`` with the identity of the reduction where ``where`` is false."""
    if where is None or where is True:
        return x
    return choose(broadcast_to(operand(where), x.shape), x, cast(identity, x.dtype))


def count_items(x: Any, axes: tuple[int, ...], keepdims: bool, where: Any) -> Any:
    """Return how many elements each result of a reduction sees: an int, or an integer array."""
    if where is None or where is True:
        return math.prod(x.shape[a] for a in axes)
    mask = broadcast_to(operand(where), x.shape)
    return fold(reduce_sum_p, convert_element_type(mask, _INT64), axes, keepdims)


def squared_modulus(x: Any) -> Any:
    """Return ``|x|**2``, real."""
    if x.dtype.kind != "c":
        return powers.square(x)
    return powers.square(complexes.real(x)) + powers.square(complexes.imag(x))


# --- sum, prod, any, all -----------------------------------------------------------------------


@numpy_function(np.sum)
def sum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Sum of the elements over ``axis``; as ``numpy.sum``.

    Booleans and small integers are summed as 64-bit integers.

    Args:
        a: the array.
        axis: an axis, several, or None for all.
        dtype: the dtype to sum in.
        out: refused for traced arrays.
        keepdims: keep the reduced axes, of size 1.
        initial: a number the sum starts from.
        where: a boolean array; only elements where it is true count.

    Example:
        >>> import numpy as np
        >>> sum(np.array([[1, 2], [3, 4]]), axis=0)
        array([4, 6])
    """
    refuse_out(out, "sum")
    x = sum_operand(a, dtype)
    if where is not None:
        x = _masked(x, where, 0)
    primitive = reduce_sum_p if x.dtype.kind != "b" else reduce_or_p
    result = fold(primitive, x, normalize_axes(axis, len(x.shape)), keepdims)
    return result + cast(initial, x.dtype) if initial is not None else result


@numpy_function(np.prod)
def prod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Product of the elements over ``axis``; as ``numpy.prod``. Its derivative is right at zeros.

    The arguments are those of ``sum``.

    Example:
        >>> import numpy as np
        >>> prod(np.array([[1, 2], [3, 4]]), axis=1)
        array([ 2, 12])
    """
    refuse_out(out, "prod")
    x = sum_operand(a, dtype)
    x = _masked(x, where, 1)
    primitive = reduce_prod_p if x.dtype.kind != "b" else reduce_and_p
    result = fold(primitive, x, normalize_axes(axis, len(x.shape)), keepdims)
    return result * cast(initial, x.dtype) if initial is not None else result


@numpy_function(np.any)
def any(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether any element over ``axis`` is true (not zero); as ``numpy.any``.

    Example:
        >>> import numpy as np
        >>> any(np.array([[False, True], [False, False]]), axis=1)
        array([ True, False])
    """
    refuse_out(out, "any")
    x = _masked(as_boolean(a), where, False)
    return fold(reduce_or_p, x, normalize_axes(axis, len(x.shape)), keepdims)


@numpy_function(np.all)
def all(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether all elements over ``axis`` are true (not zero); as ``numpy.all``.

    Example:
        >>> import numpy as np
        >>> all(np.array([1, 2, 0]))
        np.False_
    """
    refuse_out(out, "all")
    x = _masked(as_boolean(a), where, True)
    return fold(reduce_and_p, x, normalize_axes(axis, len(x.shape)), keepdims)


def as_boolean(a: Any) -> Any:
    """Return where ``a`` is not zero."""
    x = operand(a)
    return x if x.dtype.kind == "b" else x != 0


@numpy_function(np.count_nonzero)
def count_nonzero(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """How many elements over ``axis`` are not zero; as ``numpy.count_nonzero``.

    Example:
        >>> import numpy as np
        >>> count_nonzero(np.array([1, 0, 3]))
        np.int64(2)
    """
    x = convert_element_type(as_boolean(a), _INT64)
    return fold(reduce_sum_p, x, normalize_axes(axis, len(x.shape)), keepdims)


# --- max, min ----------------------------------------------------------------------------------


def _extreme(which: str, a: Any, axis: Axis, keepdims: bool, initial: Any, where: Any) -> Any:
    primitive = reduce_max_p if which == "maximum" else reduce_min_p
    pairwise = arithmetic.max if which == "maximum" else arithmetic.min
    x = operand(a)
    start = cast(initial, x.dtype) if initial is not None else None
    if where is not None and where is not True:
        if start is None:
            raise ValueError(
                f"reduction operation '{which}' does not have an identity, "
                "so to use a where mask one has to specify 'initial'"
            )
        x = _masked(x, where, start)
    axes = normalize_axes(axis, len(x.shape))
    if 0 in (x.shape[i] for i in axes):
        return _empty_extreme(which, x, axes, keepdims, start)
    result = fold(primitive, x, axes, keepdims)
    return result if start is None else pairwise(result, start)


def _empty_extreme(which: str, x: Any, axes: tuple[int, ...], keepdims: bool, start: Any) -> Any:
    if start is None:
        raise ValueError(f"zero-size array to reduction operation {which} which has no identity")
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    out = broadcast_to(start, shape)
    return structural.expand_dims(out, axes) if keepdims else out


@numpy_function(np.max)
def max(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Largest element over ``axis``; as ``numpy.max``. Ties share the derivative evenly.

    Args:
        a: the array; complex numbers compare by real part, then imaginary part.
        axis: an axis, several, or None for all.
        out: refused for traced arrays.
        keepdims: keep the reduced axes, of size 1.
        initial: the least the result can be; needed for empty arrays and with ``where``.
        where: a boolean array; only elements where it is true count.

    Raises:
        ValueError: there is no element and no ``initial``.

    Example:
        >>> import numpy as np
        >>> max(np.array([[1.0, 5.0], [3.0, 2.0]]), axis=0)
        array([3., 5.])
    """
    refuse_out(out, "max")
    return _extreme("maximum", a, axis, keepdims, initial, where)


@numpy_function(np.min)
def min(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Smallest element over ``axis``; as ``numpy.min``. Ties share the derivative evenly.

    The arguments are those of ``max``.

    Example:
        >>> import numpy as np
        >>> min(np.array([[1.0, 5.0], [3.0, 2.0]]), axis=0)
        array([1., 2.])
    """
    refuse_out(out, "min")
    return _extreme("minimum", a, axis, keepdims, initial, where)


amax = max
amin = min


@numpy_function(np.ptp)
def ptp(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
    """Largest less smallest element over ``axis``; as ``numpy.ptp``.

    Example:
        >>> import numpy as np
        >>> ptp(np.array([1.0, 5.0, 3.0]))
        np.float64(4.0)
    """
    refuse_out(out, "ptp")
    x = operand(a)
    return max(x, axis, keepdims=keepdims) - min(x, axis, keepdims=keepdims)


def _arg_extreme(name: str, a: Any, axis: int | None, keepdims: bool) -> Any:
    x = operand(a)
    ndim = len(x.shape)
    if axis is None:
        flat, place = structural.reshape(x, (math.prod(x.shape),)), 0
    else:
        flat, place = x, normalize_axis(axis, ndim)
    if flat.shape[place] == 0:
        raise ValueError(f"attempt to get {name} of an empty sequence")
    out = getattr(reductions, name)(flat, place, _INT64)
    if not keepdims:
        return out
    return structural.expand_dims(out, tuple(range(ndim)) if axis is None else (place,))


@numpy_function(np.argmax)
def argmax(a: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Any:
    """Index of the first largest element along ``axis``, or in C order; as ``numpy.argmax``.

    Example:
        >>> import numpy as np
        >>> argmax(np.array([1.0, 5.0, 3.0]))
        np.int64(1)
    """
    refuse_out(out, "argmax")
    return _arg_extreme("argmax", a, axis, keepdims)


@numpy_function(np.argmin)
def argmin(a: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Any:
    """Index of the first smallest element along ``axis``, or in C order; as ``numpy.argmin``.

    Example:
        >>> import numpy as np
        >>> argmin(np.array([1.0, 5.0, 3.0]))
        np.int64(0)
    """
    refuse_out(out, "argmin")
    return _arg_extreme("argmin", a, axis, keepdims)


# --- mean, var, std, average -------------------------------------------------------------------


@numpy_function(np.mean)
def mean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """Arithmetic mean over ``axis``; as ``numpy.mean``.

    Integers and booleans are averaged as float64, float16 in float32 (the result is float16).
    The arguments are those of ``sum``.

    Example:
        >>> import numpy as np
        >>> mean(np.array([1, 2, 4, 5]))
        np.float64(3.0)
    """
    refuse_out(out, "mean")
    x = operand(a)
    result_dtype = None
    if dtype is None:
        if x.dtype.kind in "biu":
            x = convert_element_type(x, _FLOAT64)
        elif x.dtype.char == "e":
            result_dtype, x = x.dtype, convert_element_type(x, _FLOAT32)
    else:
        x = convert_element_type(x, dtype)
    axes = normalize_axes(axis, len(x.shape))
    total = fold(reduce_sum_p, x if where is None else _masked(x, where, 0), axes, keepdims)
    result = divide_by_count(total, count_items(x, axes, keepdims, where))
    return result if result_dtype is None else convert_element_type(result, result_dtype)


def divide_by_count(total: Any, count: Any) -> Any:
    """Return ``total / count`` in the dtype of the total, as NumPy's averages do."""
    dtype = total.dtype
    if dtype.kind in "fc":
        if type(count) is int:
            return div_p.bind(total, dtype.type(count))
        return div_p.bind(total, convert_element_type(count, dtype))
    quotient = convert_element_type(total, _FLOAT64) / cast(count, _FLOAT64)
    return convert_element_type(quotient, dtype)


def _variance(
    a: Any,
    axis: Axis,
    dtype: Any,
    ddof: float,
    keepdims: bool,
    where: Any,
    known_mean: Any,
    correction: Any,
) -> Any:
    if correction is not None:
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    x = operand(a)
    if dtype is not None:
        x = convert_element_type(x, dtype)
    elif x.dtype.kind in "biu":
        x = convert_element_type(x, _FLOAT64)
    axes = normalize_axes(axis, len(x.shape))
    count = count_items(x, axes, False, where)
    if known_mean is None:
        known_mean = divide_by_count(fold(reduce_sum_p, _masked(x, where, 0), axes), count)
        centred = sub_p.bind(x, spread(known_mean, x.shape, axes))
    else:
        centred = x - known_mean
    squares = _masked(squared_modulus(centred), where, 0)
    if dtype is not None:
        squares = convert_element_type(squares, dtype)
    out = divide_by_freedom(fold(reduce_sum_p, squares, axes), count, ddof)
    return structural.expand_dims(out, axes) if keepdims else out


def divide_by_freedom(total: Any, count: Any, ddof: float) -> Any:
    """Return ``total / (count - ddof)``, the divisor not below 0."""
    if type(count) is int:
        return div_p.bind(total, total.dtype.type(count - ddof if count > ddof else 0))
    freedom = convert_element_type(count, total.dtype) - total.dtype.type(ddof)
    return total / arithmetic.max(freedom, total.dtype.type(0))


@numpy_function(np.var)
def var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Variance over ``axis``: the mean of ``abs(a - mean)**2``; as ``numpy.var``.

    Args:
        a: the array.
        axis: an axis, several, or None for all.
        dtype: the dtype to compute in; float64 for integers.
        out: refused for traced arrays.
        ddof: the divisor is the number of elements less ``ddof``.
        keepdims: keep the reduced axes, of size 1.
        where: a boolean array; only elements where it is true count.
        mean: the mean, when it is known, with the reduced axes kept.
        correction: the Array API's name of ``ddof``.

    Example:
        >>> import numpy as np
        >>> var(np.array([1.0, 2.0, 3.0]), ddof=1)
        np.float64(1.0)
    """
    refuse_out(out, "var")
    return _variance(a, axis, dtype, ddof, keepdims, where, mean, correction)


@numpy_function(np.std)
def std(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Standard deviation over ``axis``; as ``numpy.std``. Its derivative is 0 where it is 0.

    The arguments are those of ``var``.

    Example:
        >>> import numpy as np
        >>> std(np.array([1.0, 3.0]))
        np.float64(1.0)
    """
    refuse_out(out, "std")
    return powers.sqrt(_variance(a, axis, dtype, ddof, keepdims, where, mean, correction))


@numpy_function(np.average)
def average(
    a: Any,
    axis: Axis = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """Weighted mean over ``axis``; as ``numpy.average``.

    Args:
        a: the array.
        axis: an axis, several, or None for all.
        weights: of the shape of ``a``, or of its ``axis``; equal without it.
        returned: return the sum of the weights too.
        keepdims: keep the reduced axes, of size 1.

    Example:
        >>> import numpy as np
        >>> average(np.array([1.0, 4.0]), weights=np.array([2.0, 1.0]))
        np.float64(2.0)
    """
    x = operand(a)
    axes = normalize_axes(axis, len(x.shape))
    if weights is None:
        result = mean(x, axes, keepdims=keepdims)
        total: Any = result.dtype.type(count_items(x, axes, keepdims, None))
    else:
        w = _average_weights(operand(weights), x.shape, axis)
        dtypes = (x.dtype, w.dtype, _FLOAT64) if x.dtype.kind in "biu" else (x.dtype, w.dtype)
        dtype = np.result_type(*dtypes)
        x, w = convert_element_type(x, dtype), convert_element_type(w, dtype)
        total = fold(reduce_sum_p, broadcast_to(w, x.shape), axes, keepdims)
        result = fold(reduce_sum_p, x * w, axes, keepdims) / total
    return (result, broadcast_to(total, result.shape)) if returned else result


def _average_weights(w: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """Give weights of some axes the rank of the array."""
    if w.shape == shape:
        return w
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    axes = normalize_axes(axis, len(shape))
    if w.shape != tuple(shape[a] for a in axes):
        raise ShapeError(
            "Shape of weights must be consistent with shape of a along specified axis."
        )
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    w = structural.transpose(w, order)
    return structural.reshape(w, tuple(n if i in axes else 1 for i, n in enumerate(shape)))
