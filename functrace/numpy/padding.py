"""pad, in all of NumPy's modes.

A mode that repeats elements is one gather per axis, by the indices that ``np.pad`` itself gives
for 0, 1, 2, ...; so the layouts are NumPy's by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrace.core.trace import Tracer
from functrace.numpy.dispatching import numpy_function, operand
from functrace.numpy.elementwise_selection import round as round_
from functrace.numpy.indexing import getitem
from functrace.numpy.products import matmul
from functrace.ops import arithmetic, joining, structural
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type

__all__ = ["pad"]

_INDEXED = ("edge", "reflect", "symmetric", "wrap")
_STATISTICS = ("maximum", "mean", "median", "minimum")
_KEYWORDS = {
    "constant": {"constant_values"},
    "linear_ramp": {"end_values"},
    "reflect": {"reflect_type"},
    "symmetric": {"reflect_type"},
    **{name: {"stat_length"} for name in _STATISTICS},
}


@numpy_function(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """The array with more elements at the ends of its axes.

    Args:
        array: the array.
        pad_width: how many, ``(before, after)`` for each axis, for all, or one number.
        mode: what they are: ``"constant"`` (``constant_values``), ``"edge"``, ``"linear_ramp"``
            (``end_values``), ``"maximum"``, ``"mean"``, ``"median"``, ``"minimum"``
            (``stat_length``), ``"reflect"``, ``"symmetric"`` (``reflect_type``), ``"wrap"``,
            ``"empty"``.
        **kwargs: what the mode takes.
    """
    x = operand(array)
    if callable(mode):
        raise TypeError(
            "pad with a function as mode changes arrays in place, which traced arrays can't be."
        )
    unsupported = set(kwargs) - _KEYWORDS.get(mode, set())
    if unsupported:
        raise ValueError(f"unsupported keyword arguments for mode {mode!r}: {unsupported}")
    widths = _widths(pad_width, x.ndim)
    if mode in ("constant", "empty"):
        return _constant(x, widths, kwargs.get("constant_values", 0))
    if mode in _INDEXED:
        return _indexed(x, widths, mode, kwargs)
    if mode == "linear_ramp":
        ends = _pairs(kwargs.get("end_values", 0), x.ndim)
        return _each_axis(x, widths, lambda x, i, w: _ramps(x, i, w, ends[i]))
    if mode in _STATISTICS:
        lengths = _pairs(kwargs.get("stat_length"), x.ndim)
        return _each_axis(x, widths, lambda x, i, w: _statistics(x, i, w, mode, lengths[i]))
    raise ValueError(f"mode {mode!r} is not supported")


def _pairs(value: Any, ndim: int) -> list[tuple[Any, Any]]:
    """Return ``(before, after)`` for each axis, as NumPy broadcasts such arguments."""
    if isinstance(value, Tracer) or value is None:
        return [(value, value)] * ndim
    pairs = np.broadcast_to(np.asarray(value), (ndim, 2))
    return [(before, after) for before, after in pairs]


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        found = [pad_width.get(i, pad_width.get(i - ndim, 0)) for i in range(ndim)]
        pad_width = [(n, n) if isinstance(n, int) else n for n in found]
    widths = np.asarray(pad_width)
    if widths.dtype.kind not in "iu":
        raise TypeError("`pad_width` must be of integral type.")
    pairs = [(int(before), int(after)) for before, after in np.broadcast_to(widths, (ndim, 2))]
    if any(n < 0 for pair in pairs for n in pair):
        raise ValueError("index can't contain negative values")
    return pairs


def _each_axis(
    x: Any, widths: list[tuple[int, int]], pad_axis: Callable[[Any, int, tuple[int, int]], Any]
) -> Any:
    for axis, width in enumerate(widths):
        if width != (0, 0):
            x = pad_axis(x, axis, width)
    return x


# --- the modes ---------------------------------------------------------------------------------


def _constant(x: Any, widths: list[tuple[int, int]], values: Any) -> Any:
    pairs = _pairs(values, x.ndim)
    first = pairs[0][0] if pairs else 0
    if isinstance(first, Tracer) or all(v == first for pair in pairs for v in pair):
        fill = convert_element_type(first, x.dtype)
        return joining.pad(x, fill, [(before, after, 0) for before, after in widths])
    for axis, ((before, after), (low, high)) in enumerate(zip(widths, pairs)):
        for width, value in (((before, 0), low), ((0, after), high)):
            config = [(0, 0, 0)] * x.ndim
            config[axis] = (*width, 0)
            x = joining.pad(x, convert_element_type(value, x.dtype), config)
    return x


def _indexed(x: Any, widths: list[tuple[int, int]], mode: str, options: dict[str, Any]) -> Any:
    if options.get("reflect_type", "even") == "odd":
        return _each_axis(x, widths, lambda x, i, w: _by_matrix(x, i, w, mode))
    for axis, width in enumerate(widths):
        if width != (0, 0):
            places = np.pad(np.arange(x.shape[axis]), width, mode=mode)  # type: ignore[call-overload]
            x = getitem(x, (slice(None),) * axis + (places,))
    return x


def _by_matrix(x: Any, axis: int, width: tuple[int, int], mode: str) -> Any:
    """Reflect about the edge values: linear in the elements, so a matrix says it."""
    n = x.shape[axis]
    eye = np.eye(n, dtype=np.int64)
    matrix = np.pad(eye, (width, (0, 0)), mode=mode, reflect_type="odd")  # type: ignore[call-overload]
    moved = structural.move_axis(x, axis, 0)
    rows = structural.reshape(moved, (n, -1 if moved.size == 0 else moved.size // n))
    out = matmul(matrix.astype(x.dtype), rows)
    out = structural.reshape(out, (matrix.shape[0], *moved.shape[1:]))
    return structural.move_axis(out, 0, axis)


def _edges(x: Any, axis: int) -> tuple[Any, Any]:
    n = x.shape[axis]
    first = joining.slice_in_dim(x, 0, 1, axis=axis)
    return first, joining.slice_in_dim(x, n - 1, n, axis=axis)


def _ramps(x: Any, axis: int, width: tuple[int, int], ends: tuple[Any, Any]) -> Any:
    """Put a straight line from each end value to the edge."""
    parts = []
    first, last = _edges(x, axis)
    for edge, count, end in ((first, width[0], ends[0]), (last, width[1], ends[1])):
        shape = tuple(count if i == axis else n for i, n in enumerate(x.shape))
        line = (-1,) + (1,) * (x.ndim - 1 - axis)
        share = (np.arange(count) / max(count, 1)).reshape(line)
        share = np.broadcast_to(share, shape)
        end = convert_element_type(end, np.float64)
        wide = broadcast_to(convert_element_type(edge, np.float64), shape)
        ramp = arithmetic.add(arithmetic.mul(arithmetic.sub(wide, end), share), end)
        parts.append(_narrowed(ramp, x.dtype))
    return joining.concatenate([parts[0], x, structural.rev(parts[1], (axis,))], axis)


def _narrowed(x: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "iu":
        x = np.floor(x)
    return convert_element_type(x, dtype)


def _statistics(
    x: Any, axis: int, width: tuple[int, int], mode: str, lengths: tuple[Any, Any]
) -> Any:
    n = x.shape[axis]
    parts = []
    for count, length, at_start in ((width[0], lengths[0], True), (width[1], lengths[1], False)):
        used = n if length is None else min(int(length), n)
        lo, hi = (0, used) if at_start else (n - used, n)
        part = joining.slice_in_dim(x, lo, hi, axis=axis)
        value = _STATISTIC[mode](part, axis=axis, keepdims=True)
        if mode in ("mean", "median") and x.dtype.kind in "iu":
            value = round_(value)
        shape = tuple(count if i == axis else m for i, m in enumerate(x.shape))
        parts.append(broadcast_to(convert_element_type(value, x.dtype), shape))
    return joining.concatenate([parts[0], x, parts[1]], axis)


_STATISTIC: dict[str, Callable[..., Any]] = {
    "maximum": np.max,
    "mean": np.mean,
    "median": np.median,
    "minimum": np.min,
}
