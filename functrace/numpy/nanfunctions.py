"""Reductions that leave NaN out: nansum, nanmax, nanmean, nanvar, nanargmax and kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.trace import Tracer
from functrace.numpy.accumulations import cumprod, cumsum
from functrace.numpy.dispatching import (
    cast,
    choose,
    normalize_axes,
    numpy_function,
    operand,
    refuse_out,
)
from functrace.numpy.reductions import (
    Axis,
    all,
    argmax,
    argmin,
    count_items,
    divide_by_count,
    fold,
    max,
    mean,
    min,
    prod,
    squared_modulus,
    sum,
    var,
)
from functrace.ops import powers
from functrace.ops.broadcasting import broadcast_to, reduce_sum_p
from functrace.ops.creation import convert_element_type

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]


def is_nan(x: Any) -> Any:
    """Return where ``x`` is NaN: the only value that isn't itself."""
    return x != x


def replace_nan(a: Any, value: Any) -> tuple[Any, Any]:
    """Return ``a`` with NaN replaced by a number, and where it was; None for exact dtypes."""
    x = operand(a)
    if x.dtype.kind not in "fc":
        return x, None
    mask = is_nan(x)
    return choose(mask, cast(value, x.dtype), x), mask


@numpy_function(np.nansum)
def nansum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Sum over ``axis`` with NaN as 0; as ``numpy.nansum``. The arguments are those of ``sum``.

    Example:
        >>> import numpy as np
        >>> nansum(np.array([1.0, np.nan, 3.0]))
        np.float64(4.0)
    """
    refuse_out(out, "nansum")
    return sum(replace_nan(a, 0)[0], axis, dtype, None, keepdims, initial, where)


@numpy_function(np.nanprod)
def nanprod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Product over ``axis`` with NaN as 1; as ``numpy.nanprod``.

    Example:
        >>> import numpy as np
        >>> nanprod(np.array([1.0, np.nan, 3.0]))
        np.float64(3.0)
    """
    refuse_out(out, "nanprod")
    return prod(replace_nan(a, 1)[0], axis, dtype, None, keepdims, initial, where)


@numpy_function(np.nancumsum)
def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """Running sum with NaN as 0; as ``numpy.nancumsum``.

    Example:
        >>> import numpy as np
        >>> nancumsum(np.array([1.0, np.nan, 3.0]))
        array([1., 1., 4.])
    """
    refuse_out(out, "nancumsum")
    return cumsum(replace_nan(a, 0)[0], axis, dtype)


@numpy_function(np.nancumprod)
def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """Running product with NaN as 1; as ``numpy.nancumprod``.

    Example:
        >>> import numpy as np
        >>> nancumprod(np.array([1.0, np.nan, 3.0]))
        array([1., 1., 3.])
    """
    refuse_out(out, "nancumprod")
    return cumprod(replace_nan(a, 1)[0], axis, dtype)


@numpy_function(np.nanmax)
def nanmax(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Largest element over ``axis`` that isn't NaN, or NaN; as ``numpy.nanmax``.

    Example:
        >>> import numpy as np
        >>> nanmax(np.array([1.0, np.nan, 3.0]))
        np.float64(3.0)
    """
    refuse_out(out, "nanmax")
    x, mask = replace_nan(a, -np.inf)
    result = max(x, axis, None, keepdims, initial, where)
    return _nan_where_none(result, mask, axis, keepdims, initial)


@numpy_function(np.nanmin)
def nanmin(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Smallest element over ``axis`` that isn't NaN, or NaN; as ``numpy.nanmin``.

    Example:
        >>> import numpy as np
        >>> nanmin(np.array([1.0, np.nan, 3.0]))
        np.float64(1.0)
    """
    refuse_out(out, "nanmin")
    x, mask = replace_nan(a, np.inf)
    result = min(x, axis, None, keepdims, initial, where)
    return _nan_where_none(result, mask, axis, keepdims, initial)


def _nan_where_none(result: Any, mask: Any, axis: Axis, keepdims: bool, initial: Any) -> Any:
    if mask is None or initial is not None:
        return result
    none = all(mask, axis, keepdims=keepdims)
    return choose(none, cast(np.nan, result.dtype), result)


def _nan_arg(function: Any, a: Any, axis: int | None, keepdims: bool, value: float) -> Any:
    x, mask = replace_nan(a, value)
    if mask is None:
        return function(x, axis, keepdims=keepdims)
    none = all(mask, axis, keepdims=keepdims)
    if not isinstance(none, Tracer):
        if np.any(none):
            raise ValueError("All-NaN slice encountered")
        return function(x, axis, keepdims=keepdims)
    return choose(none, -1, function(x, axis, keepdims=keepdims))


@numpy_function(np.nanargmax)
def nanargmax(a: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Any:
    """Index of the first largest element that isn't NaN; as ``numpy.nanargmax``.

    Raises:
        ValueError: a slice is all NaN. Where values aren't known, its index is -1.

    Example:
        >>> import numpy as np
        >>> nanargmax(np.array([1.0, np.nan, 3.0]))
        np.int64(2)
    """
    refuse_out(out, "nanargmax")
    return _nan_arg(argmax, a, axis, keepdims, -np.inf)


@numpy_function(np.nanargmin)
def nanargmin(a: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Any:
    """Index of the first smallest element that isn't NaN; as ``numpy.nanargmin``.

    Raises:
        ValueError: a slice is all NaN. Where values aren't known, its index is -1.

    Example:
        >>> import numpy as np
        >>> nanargmin(np.array([1.0, np.nan, 3.0]))
        np.int64(0)
    """
    refuse_out(out, "nanargmin")
    return _nan_arg(argmin, a, axis, keepdims, np.inf)


# --- mean, var, std ----------------------------------------------------------------------------


def _valid(mask: Any, where: Any) -> Any:
    """Return where elements count: not NaN, and wanted."""
    valid = ~mask
    if where is None or where is True:
        return valid
    return valid & broadcast_to(operand(where), valid.shape)


@numpy_function(np.nanmean)
def nanmean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """Mean over ``axis`` of the elements that aren't NaN; as ``numpy.nanmean``.

    Example:
        >>> import numpy as np
        >>> nanmean(np.array([1.0, np.nan, 3.0]))
        np.float64(2.0)
    """
    refuse_out(out, "nanmean")
    x, mask = replace_nan(a, 0)
    if mask is None:
        return mean(x, axis, dtype, None, keepdims, where=where)
    total = sum(x, axis, dtype, None, keepdims, None, where)
    count = count_items(x, normalize_axes(axis, len(x.shape)), keepdims, _valid(mask, where))
    return divide_by_count(total, count)


@numpy_function(np.nanvar)
def nanvar(
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
    """Variance over ``axis`` of the elements that aren't NaN; as ``numpy.nanvar``.

    The arguments are those of ``var``; the result is NaN where fewer than ``ddof + 1`` count.

    Example:
        >>> import numpy as np
        >>> nanvar(np.array([1.0, np.nan, 3.0]))
        np.float64(1.0)
    """
    refuse_out(out, "nanvar")
    x, mask = replace_nan(a, 0)
    if mask is None:
        return var(
            x, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction
        )
    if correction is not None:
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    if dtype is not None:
        x = convert_element_type(x, dtype)
    axes = normalize_axes(axis, len(x.shape))
    valid = _valid(mask, where)
    x = choose(valid, x, cast(0, x.dtype))
    if mean is None:
        mean = divide_by_count(fold(reduce_sum_p, x, axes, True), count_items(x, axes, True, valid))
    squares = squared_modulus(choose(valid, x - mean, cast(0, x.dtype)))
    if dtype is not None:
        squares = convert_element_type(squares, dtype)
    total = fold(reduce_sum_p, squares, axes, keepdims)
    freedom = convert_element_type(count_items(x, axes, keepdims, valid), total.dtype)
    freedom = freedom - total.dtype.type(ddof)
    enough = freedom > 0
    result = total / choose(enough, freedom, total.dtype.type(1))
    return choose(enough, result, cast(np.nan, total.dtype))


@numpy_function(np.nanstd)
def nanstd(
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
    """Standard deviation over ``axis`` of the elements that aren't NaN; as ``numpy.nanstd``.

    Example:
        >>> import numpy as np
        >>> nanstd(np.array([1.0, np.nan, 3.0]))
        np.float64(1.0)
    """
    refuse_out(out, "nanstd")
    variance = nanvar(
        a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction
    )
    return powers.sqrt(variance)
