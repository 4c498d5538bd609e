"""Arrays joined, cut and repeated: concatenate, stack, split, tile, repeat, insert, delete."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.core.trace import Tracer
from functrace.errors import ShapeError, compose
from functrace.numpy.dispatching import (
    as_shape,
    normalize_axis,
    numpy_function,
    operand,
    refuse_out,
)
from functrace.numpy.shaping import atleast_1d, atleast_2d, atleast_3d, ravel
from functrace.numpy.ufuncs import numpy_function_with
from functrace.ops import joining, structural
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.creation import convert_element_type

__all__ = [
    "append",
    "array_split",
    "block",
    "column_stack",
    "concat",
    "concatenate",
    "delete",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "insert",
    "repeat",
    "resize",
    "split",
    "stack",
    "tile",
    "unstack",
    "vsplit",
    "vstack",
]

# --- joining -----------------------------------------------------------------------------------


def _same_dtype(arrays: Any, dtype: Any = None) -> list[Any]:
    """Return the arrays, or the rows of one array, in their common dtype."""
    if isinstance(arrays, (Tracer, np.ndarray)):
        arrays = unstack(arrays)
    xs = [operand(a) for a in arrays]
    if not xs:
        raise ValueError("need at least one array to concatenate")
    target = np.result_type(*(x.dtype for x in xs)) if dtype is None else np.dtype(dtype)
    return [convert_element_type(x, target) for x in xs]


@numpy_function(np.concatenate)
def concatenate(
    arrays: Any,
    /,
    axis: int | None = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Any:
    """Join arrays along an axis they have.

    Example:
        >>> concatenate([[1, 2], [3.5]])
        array([1. , 2. , 3.5])
    """
    refuse_out(out, "concatenate")
    xs = _same_dtype(arrays, dtype)
    if axis is None:
        xs, axis = [structural.reshape(x, (math.prod(x.shape),)) for x in xs], 0
    if any(x.ndim == 0 for x in xs):
        raise ShapeError("zero-dimensional arrays cannot be concatenated")
    axis = normalize_axis(axis, xs[0].ndim)
    _check_sizes(xs, axis)
    return joining.concatenate(xs, axis)


concat = concatenate


def _check_sizes(xs: Sequence[Any], axis: int) -> None:
    first = xs[0].shape
    for i, x in enumerate(xs):
        if len(x.shape) != len(first):
            raise ShapeError(
                "all the input arrays must have same number of dimensions, but the array at index "
                f"0 has {len(first)} dimension(s) and the array at index {i} has "
                f"{len(x.shape)} dimension(s)"
            )
        for d, (n, m) in enumerate(zip(first, x.shape)):
            if n != m and d != axis:
                raise ShapeError(
                    "all the input array dimensions except for the concatenation axis must match "
                    f"exactly, but along dimension {d}, the array at index 0 has size {n} and the "
                    f"array at index {i} has size {m}"
                )


@numpy_function(np.stack)
def stack(
    arrays: Any,
    axis: int = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Any:
    """Join arrays of one shape along a new axis."""
    refuse_out(out, "stack")
    xs = _same_dtype(arrays, dtype)
    shape = xs[0].shape
    if any(x.shape != shape for x in xs):
        raise ShapeError("all input arrays must have the same shape")
    place = normalize_axis(axis, len(shape) + 1)
    widened = (*shape[:place], 1, *shape[place:])
    return joining.concatenate([structural.reshape(x, widened) for x in xs], place)


def _parts(tup: Any, at_least: Any) -> list[Any]:
    return [at_least(x) for x in _same_dtype(tup)]


@numpy_function(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Join arrays along the first axis; vectors become rows."""
    return concatenate(_parts(tup, atleast_2d), 0, dtype=dtype)


@numpy_function(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Join arrays along the second axis; vectors along their only one."""
    parts = _parts(tup, atleast_1d)
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1, dtype=dtype)


@numpy_function(np.dstack)
def dstack(tup: Any) -> Any:
    """Join arrays along the third axis."""
    return concatenate(_parts(tup, atleast_3d), 2)


@numpy_function(np.column_stack)
def column_stack(tup: Any) -> Any:
    """Join arrays as columns; vectors become columns."""
    xs = _same_dtype(tup)
    columns = [x if x.ndim > 1 else structural.reshape(x, (x.size, 1)) for x in xs]
    return concatenate(columns, 1)


@numpy_function(np.block)
def block(arrays: Any) -> Any:
    """Join nested lists of blocks: the innermost along the last axis, and so on outwards."""
    depth = _depth(arrays)
    ndim = max(depth, _most_axes(arrays))
    return _block(arrays, depth, ndim)


def _depth(arrays: Any) -> int:
    return 1 + max(_depth(a) for a in arrays) if isinstance(arrays, list) else 0


def _most_axes(arrays: Any) -> int:
    if isinstance(arrays, list):
        return max(_most_axes(a) for a in arrays)
    return len(operand(arrays).shape)


def _block(arrays: Any, depth: int, ndim: int) -> Any:
    if not isinstance(arrays, list):
        x = operand(arrays)
        return structural.reshape(x, (1,) * (ndim - x.ndim) + x.shape)
    return concatenate([_block(a, depth - 1, ndim) for a in arrays], -depth)


@numpy_function(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """Join values to the end; without an axis both are flattened."""
    if axis is None:
        return concatenate([ravel(arr), ravel(values)], 0)
    return concatenate([arr, values], axis)


# --- cutting -----------------------------------------------------------------------------------


@numpy_function(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Cut into parts along an axis; the first ones are longer when it doesn't go evenly."""
    x = operand(ary)
    axis = normalize_axis(axis, x.ndim)
    count = x.shape[axis]
    if np.ndim(indices_or_sections):
        stops = [0, *(int(i) for i in indices_or_sections), count]
    else:
        sections = int(indices_or_sections)
        if sections <= 0:
            raise ValueError("number sections must be larger than 0.")
        each, longer = divmod(count, sections)
        sizes = [each + 1] * longer + [each] * (sections - longer)
        stops = np.cumsum([0, *sizes]).tolist()
    return [joining.slice_in_dim(x, lo, hi, axis=axis) for lo, hi in pairwise(stops)]


@numpy_function(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Cut into equal parts along an axis, or at the given places."""
    x = operand(ary)
    if not np.ndim(indices_or_sections):
        count = x.shape[normalize_axis(axis, x.ndim)]
        if count % int(indices_or_sections):
            raise ValueError("array split does not result in an equal division")
    return array_split(x, indices_or_sections, axis)


@numpy_function(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Cut along the first axis."""
    if operand(ary).ndim < 2:
        raise ValueError("vsplit only works on arrays of 2 or more dimensions")
    return split(ary, indices_or_sections, 0)


@numpy_function(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Cut along the second axis; a vector along its only one."""
    x = operand(ary)
    if x.ndim == 0:
        raise ValueError("hsplit only works on arrays of 1 or more dimensions")
    return split(x, indices_or_sections, 1 if x.ndim > 1 else 0)


@numpy_function(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Cut along the third axis."""
    if operand(ary).ndim < 3:
        raise ValueError("dsplit only works on arrays of 3 or more dimensions")
    return split(ary, indices_or_sections, 2)


@numpy_function(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis, as a tuple."""
    x = operand(x)
    if x.ndim == 0:
        raise ValueError("Input array must be at least 1-d.")
    axis = normalize_axis(axis, x.ndim)
    pieces = joining.split(x, [1] * x.shape[axis], axis)
    return tuple(structural.squeeze(p, (axis,)) for p in pieces)


# --- repeating ---------------------------------------------------------------------------------


@numpy_function(np.tile)
def tile(A: Any, reps: Any) -> Any:  # noqa: N803
    """The array repeated along each axis."""
    x = operand(A)
    counts = as_shape(reps)
    ndim = max(x.ndim, len(counts))
    sizes = (1,) * (ndim - x.ndim) + x.shape
    counts = (1,) * (ndim - len(counts)) + counts
    split_shape = tuple(n for pair in zip(counts, sizes) for n in pair)
    places = tuple(2 * i + 1 for i in range(ndim))
    repeated = broadcast_in_dim(structural.reshape(x, sizes), split_shape, places)
    return structural.reshape(repeated, tuple(n * m for n, m in zip(sizes, counts)))


@numpy_function_with(np.repeat, "total_repeat_length")
def repeat(
    a: Any, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None
) -> Any:
    """Each element repeated along an axis.

    Args:
        a: the array.
        repeats: how often, one number or one per element; it must be known.
        axis: the axis; the flattened array without it.
        total_repeat_length: the length of the result, for traced ``repeats``: the last element
            fills what is missing.
    """
    x = operand(a)
    if axis is None:
        x, axis = structural.reshape(x, (math.prod(x.shape),)), 0
    axis = normalize_axis(axis, x.ndim)
    before = (slice(None),) * axis
    if total_repeat_length is not None:
        ends = operand(repeats).cumsum()
        places = np.searchsorted(ends, np.arange(total_repeat_length), side="right")
        return x[(*before, np.minimum(places, x.shape[axis] - 1))]
    if isinstance(repeats, Tracer):
        repeats._trace.refuse(repeats, "index")
    if np.ndim(repeats) == 0:
        count = int(repeats)
        wide = (*x.shape[: axis + 1], count, *x.shape[axis + 1 :])
        kept = [i for i in range(x.ndim + 1) if i != axis + 1]
        merged = (*x.shape[:axis], x.shape[axis] * count, *x.shape[axis + 1 :])
        return structural.reshape(broadcast_in_dim(x, wide, kept), merged)
    return x[(*before, np.repeat(np.arange(x.shape[axis]), repeats))]


@numpy_function(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """The elements, repeated or cut off, in a new shape."""
    flat = ravel(a)
    shape = as_shape(new_shape)
    count = math.prod(shape)
    if not flat.size or not count:
        return np.zeros(shape, flat.dtype)
    times = -(-count // flat.size)
    return structural.reshape(joining.slice_in_dim(tile(flat, times), 0, count), shape)


# --- inserting and deleting --------------------------------------------------------------------


def _along(arr: Any, axis: int | None) -> tuple[Any, int]:
    x = operand(arr)
    if axis is None:
        return structural.reshape(x, (math.prod(x.shape),)), 0
    return x, normalize_axis(axis, x.ndim)


def _refuse_traced(obj: Any, name: str) -> None:
    if isinstance(obj, Tracer):
        raise TypeError(
            compose(
                f"numpy.{name} was given a traced index.",
                "where the elements go decides how many there are.",
                "functrace.numpy.where with a mask, or an index known outside.",
            )
        )


@numpy_function(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """The array without the elements, rows or columns at known indices."""
    x, axis = _along(arr, axis)
    _refuse_traced(obj, "delete")
    kept = np.delete(np.arange(x.shape[axis]), obj)
    return x[(slice(None),) * axis + (kept,)]


@numpy_function(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """The array with values inserted before known indices."""
    flat = axis is None
    x, axis = _along(arr, axis)
    _refuse_traced(obj, "insert")
    new = convert_element_type(operand(values), x.dtype)
    scalar = np.ndim(obj) == 0 and not isinstance(obj, slice)
    if scalar and not flat and new.ndim:
        # As NumPy does: with one index, the values' first axis is the one inserted along.
        new = structural.reshape(new, (1,) * (x.ndim - new.ndim) + new.shape)
        new = structural.move_axis(new, 0, axis)
    where = np.arange(x.shape[axis])[obj] if isinstance(obj, slice) else np.asarray(obj)
    count = new.shape[axis] if new.ndim == x.ndim and (scalar or flat) else where.size
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    new = _broadcast(new, shape)
    n = x.shape[axis]
    order = np.insert(np.arange(n), obj, n + np.arange(count))
    both = joining.concatenate([x, new], axis)
    return both[(slice(None),) * axis + (order,)]


def _broadcast(x: Any, shape: tuple[int, ...]) -> Any:
    first = len(shape) - len(shape_of(x))
    return broadcast_in_dim(x, shape, tuple(range(first, len(shape))))
