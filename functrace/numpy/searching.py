"""Where things are: nonzero, searchsorted, digitize, and linear interpolation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.core.trace import Tracer
from functrace.errors import NonConcreteBooleanIndexError, ShapeError, compose
from functrace.numpy.dispatching import numpy_function, operand
from functrace.numpy.indexing import getitem
from functrace.numpy.shaping import ravel
from functrace.numpy.stacking import stack
from functrace.numpy.taking import unravel_index
from functrace.numpy.ufuncs import numpy_function_with
from functrace.ops import arithmetic, bitwise, joining, logical, rounding
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type, full
from functrace.ops.promotion import promote_dtypes

__all__ = [
    "argwhere",
    "digitize",
    "flatnonzero",
    "interp",
    "nonzero",
    "searchsorted",
]

# --- nonzero -----------------------------------------------------------------------------------


def _known(x: Any) -> Any:
    """Return the value without its derivative, which is plain where it is known."""
    x = operand(x)
    return arithmetic.stop_gradient(x) if isinstance(x, Tracer) else x


@numpy_function_with(np.nonzero, "size", "fill_value")
def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Any, ...]:
    """The indices of the elements that aren't zero, one array per axis.

    Args:
        a: the array.
        size: how many indices to return; needed where the values aren't known (jit, vmap). The
            first ``size`` are returned, or ``fill_value`` where there are fewer.
        fill_value: what stands for those missing; 0 by default.
    """
    x = _known(a)
    if x.ndim == 0:
        raise ValueError(
            "Calling nonzero on 0d arrays is not allowed. Use np.atleast_1d(scalar).nonzero() "
            "instead."
        )
    if size is None:
        if isinstance(x, Tracer):
            _refuse_unknown_size(x)
        return np.nonzero(x)
    flat = ravel(x)
    mask = flat if flat.dtype.kind == "b" else logical.ne(flat, flat.dtype.type(0))
    found = convert_element_type(mask, np.int64).cumsum()
    total = flat.size
    first = searchsorted(found, np.arange(1, size + 1), side="left")
    missing = operand(first) >= total
    inside = logical.select(missing, np.int64(0), first)
    fills = fill_value if isinstance(fill_value, tuple) else (fill_value,) * x.ndim
    return tuple(
        logical.select(missing, np.int64(0 if fill is None else fill), i)
        for i, fill in zip(unravel_index(inside, x.shape), fills)
    )


def _refuse_unknown_size(x: Tracer) -> None:
    try:
        x._trace.refuse(x, "mask")
    except NonConcreteBooleanIndexError as error:
        text = str(error).split("\nTry:")[0]
        then = "functrace.numpy.nonzero(x, size=n), or functrace.numpy.where(mask, a, b)."
        raise NonConcreteBooleanIndexError(compose(text, "", then)) from None


@numpy_function_with(np.argwhere, "size", "fill_value")
def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices of the elements that aren't zero, one row each; ``size`` as in ``nonzero``."""
    return stack(nonzero(a, size=size, fill_value=fill_value), axis=-1)


@numpy_function_with(np.flatnonzero, "size", "fill_value")
def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices into the flat array of the elements that aren't zero."""
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


# --- sorted arrays -----------------------------------------------------------------------------


def _below(x: Any, y: Any) -> Any:
    """Tell where ``x`` sorts before ``y``: NaN sorts last."""
    if x.dtype.kind != "f":
        return logical.lt(x, y)
    nan_last = bitwise.bitwise_and(logical.ne(y, y), logical.eq(x, x))
    return bitwise.bitwise_or(logical.lt(x, y), nan_last)


@numpy_function(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Where values are to be inserted into a sorted array to keep it sorted.

    Example:
        >>> searchsorted(np.array([1, 2, 4]), 3)
        np.int64(2)
    """
    if side not in ("left", "right"):
        raise ValueError(f"side must be one of 'left' or 'right' (got {side!r})")
    line, values = _known(a), _known(v)
    if sorter is not None:
        line = getitem(line, sorter)
    if not isinstance(line, Tracer) and not isinstance(values, Tracer):
        return np.searchsorted(line, values, side)  # type: ignore[call-overload]
    if line.ndim != 1:
        raise ValueError("object too deep for desired array")
    line, values = promote_dtypes(line, values)
    shape, n = shape_of(values), line.shape[0]
    low, high = full(shape, 0, np.int64), full(shape, n, np.int64)
    for _ in range(n.bit_length()):  # halve the interval until it is empty
        middle = bitwise.shift_right_arithmetic(arithmetic.add(low, high), np.int64(1))
        here = getitem(line, middle, "clip")
        if side == "left":
            later = _below(here, values)
        else:
            later = bitwise.bitwise_not(_below(values, here))
        later = bitwise.bitwise_and(later, logical.lt(low, high))
        low, high = (
            logical.select(later, arithmetic.add(middle, np.int64(1)), low),
            logical.select(later, high, middle),
        )
    return low


@numpy_function(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The bin of each value; bins that are traced are taken to increase."""
    edges = _known(bins)
    side = "left" if right else "right"
    if not isinstance(edges, Tracer):
        steps = np.diff(edges)
        if np.all(steps <= 0) and np.any(steps < 0):
            return len(edges) - searchsorted(edges[::-1], x, side)
        if np.any(steps < 0):
            raise ValueError("bins must be monotonically increasing or decreasing")
    return searchsorted(edges, x, side)


@numpy_function(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Linear interpolation of the points ``(xp, fp)``, sorted in ``xp``, at ``x``.

    Args:
        x: where to evaluate.
        xp: the coordinates of the points, which increase.
        fp: the values there, real or complex.
        left: the value below the first point; ``fp[0]`` by default.
        right: the value above the last point; ``fp[-1]`` by default.
        period: the period of ``x``, if it has one.
    """
    x, xp, fp = operand(x), operand(xp), operand(fp)
    if xp.ndim != 1 or fp.ndim != 1:
        raise ValueError("Data points must be 1-D sequences")
    if xp.shape != fp.shape:
        raise ShapeError("fp and xp are not of the same length.")
    if not xp.shape[0]:
        raise ValueError("array of sample points is empty")
    x, xp = (convert_element_type(v, np.float64) for v in (x, xp))
    kind = np.dtype(np.complex128 if fp.dtype.kind == "c" else np.float64)
    fp = convert_element_type(fp, kind)
    if period is not None:
        return _periodic(x, xp, fp, _usable(period))
    return _piecewise_linear(x, xp, fp, left, right)


def _usable(period: Any) -> float:
    """Return a usable period."""
    if period == 0:
        raise ValueError("period must be a non-zero value")
    return math.fabs(period)


def _periodic(x: Any, xp: Any, fp: Any, period: float) -> Any:
    """Interpolate after folding everything into one period, with a point beyond each end."""
    x = rounding.mod(x, np.float64(period))
    xp = rounding.mod(xp, np.float64(period))
    order = _known(xp).argsort()
    xp, fp = getitem(xp, order), getitem(fp, order)
    ends = [xp[-1:] - period, xp, xp[:1] + period]
    values = [fp[-1:], fp, fp[:1]]
    xp, fp = joining.concatenate(ends, 0), joining.concatenate(values, 0)
    return _piecewise_linear(x, xp, fp, None, None)


def _piecewise_linear(x: Any, xp: Any, fp: Any, left: Any, right: Any) -> Any:
    n = xp.shape[0]
    if n == 1:
        out = broadcast_to(fp[0], x.shape)
    else:
        place = operand(searchsorted(xp, x, side="right"))
        after = arithmetic.clamp(np.int64(1), place, np.int64(n - 1))
        before = arithmetic.sub(after, np.int64(1))
        x0, x1 = getitem(xp, before), getitem(xp, after)
        f0, f1 = getitem(fp, before), getitem(fp, after)
        width = arithmetic.sub(x1, x0)
        flat = logical.eq(width, np.float64(0))
        share = arithmetic.div(arithmetic.sub(x, x0), logical.select(flat, np.float64(1), width))
        share = logical.select(flat, np.float64(0), share)
        slope = arithmetic.sub(f1, f0)
        out = arithmetic.add(f0, arithmetic.mul(convert_element_type(share, fp.dtype), slope))
    low = fp[0] if left is None else convert_element_type(left, fp.dtype)
    high = fp[n - 1] if right is None else convert_element_type(right, fp.dtype)
    out = logical.select(logical.lt(x, xp[0]), low, out)
    return logical.select(logical.gt(x, xp[n - 1]), high, out)
