"""Elements by their index along an axis, and index arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.core.trace import Tracer
from functrace.errors import InPlaceUpdateError, ShapeError, compose
from functrace.numpy.at import at
from functrace.numpy.dispatching import (
    as_shape,
    normalize_axis,
    numpy_function,
    operand,
    refuse_out,
)
from functrace.numpy.indexing import getitem
from functrace.numpy.shaping import ravel
from functrace.numpy.stacking import stack
from functrace.numpy.ufuncs import numpy_function_with
from functrace.ops import arithmetic, indexing, joining, rounding, structural
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type
from functrace.ops.dimension_numbers import GatherScatterMode
from functrace.ops.promotion import broadcast_shapes, promote_operands

__all__ = [
    "choose",
    "compress",
    "diag_indices",
    "diag_indices_from",
    "diagonal",
    "extract",
    "fill_diagonal",
    "mask_indices",
    "put_along_axis",
    "ravel_multi_index",
    "take",
    "take_along_axis",
    "tril_indices",
    "tril_indices_from",
    "triu_indices",
    "triu_indices_from",
    "unravel_index",
]

# --- take --------------------------------------------------------------------------------------


def _moved_inside(indices: Any, n: int, mode: str) -> Any:
    """Return indices as ``mode`` moves them: ``"clip"`` to the ends, ``"wrap"`` around."""
    if mode == "raise":
        return indices
    if mode not in ("clip", "wrap"):
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    i = convert_element_type(operand(indices), np.int64)
    if mode == "wrap":
        return rounding.mod(i, np.int64(n))
    return arithmetic.clamp(np.int64(0), i, np.int64(n - 1))


@numpy_function_with(np.take, "fill_value", "unique_indices", "indices_are_sorted")
def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: Any = None,
    mode: str | None = "raise",
    *,
    fill_value: Any = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
) -> Any:
    """The elements, rows or columns at indices along an axis; of the flat array without one.

    Args:
        a: the array.
        indices: integers, which may be traced.
        axis: along which; None flattens the array.
        out: must be None for traced arguments.
        mode: out of bounds: ``"raise"`` an IndexError, ``"clip"``, ``"wrap"``, or ``"fill"``.
        fill_value: what mode ``"fill"`` reads out of bounds.
        unique_indices: accepted, as JAX's.
        indices_are_sorted: accepted, as JAX's.
    """
    refuse_out(out, "take")
    x = operand(a)
    if axis is None:
        x, axis = structural.reshape(x, (math.prod(x.shape),)), 0
    axis = normalize_axis(axis, x.ndim)
    before = (slice(None),) * axis
    if mode == "fill":
        return getitem(x, (*before, indices), "fill", fill_value)
    places = operand(_moved_inside(operand(indices), x.shape[axis], mode or "raise"))
    if places.dtype.kind == "b":
        places = convert_element_type(places, np.int64)
    if places.dtype.kind not in "iu":
        raise TypeError(
            f"Cannot cast array data from {places.dtype!r} to dtype('int64') according to the "
            "rule 'safe'"
        )
    return getitem(x, (*before, places))


@numpy_function(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Elements at indices along an axis; on the other axes array and indices go together.

    Example:
        >>> take_along_axis(np.array([[3, 1], [5, 9]]), np.array([[1], [0]]), axis=1)
        array([[1],
               [5]])
    """
    x, i = operand(arr), operand(indices)
    if axis is None:
        x, axis = ravel(x), 0
    axis = normalize_axis(axis, x.ndim)
    if i.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    if i.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    x_shape, i_shape = list(x.shape), list(i.shape)
    x_shape[axis] = i_shape[axis] = 1
    common = list(broadcast_shapes(tuple(x_shape), tuple(i_shape)))
    x = broadcast_to(x, (*common[:axis], x.shape[axis], *common[axis + 1 :]))
    i = broadcast_to(i, (*common[:axis], i.shape[axis], *common[axis + 1 :]))
    return indexing.take_along_axis(x, i, axis, GatherScatterMode.RAISE)


def put_along_axis(
    arr: Any, indices: Any, values: Any, axis: int | None, *, inplace: bool = True
) -> Any:
    """Put values at indices along an axis; a traced array needs ``inplace=False``.

    Returns:
        With ``inplace=False`` the new array; else None, as NumPy.
    """
    if inplace:
        _refuse_in_place("put_along_axis", arr, indices, values)
        return np.put_along_axis(arr, indices, values, axis)
    x, i = operand(arr), operand(indices)
    if axis is None:
        flat = put_along_axis(ravel(x), ravel(i), values, 0, inplace=False)
        return structural.reshape(flat, x.shape)
    axis = normalize_axis(axis, x.ndim)
    grid = [
        i if d == axis else np.arange(n).reshape((-1,) + (1,) * (x.ndim - 1 - d))
        for d, n in enumerate(x.shape)
    ]
    return at(x)[tuple(grid)].set(values)


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """Put a value on the diagonal; a traced array needs ``inplace=False``, and no ``wrap``."""
    if inplace:
        _refuse_in_place("fill_diagonal", a, val)
        return np.fill_diagonal(a, val, wrap)
    x = operand(a)
    if wrap:
        raise NotImplementedError("fill_diagonal(inplace=False) doesn't support wrap=True.")
    line = np.arange(min(x.shape))
    return at(x)[(line,) * x.ndim].set(val)


def _refuse_in_place(name: str, *values: Any) -> None:
    if any(isinstance(v, Tracer) for v in values):
        raise InPlaceUpdateError(
            compose(
                f"numpy.{name} on a traced array.",
                "it changes its argument in place, which traced arrays can't be.",
                f"x = functrace.numpy.{name}(x, ..., inplace=False)",
            )
        )


# --- choose ------------------------------------------------------------------------------------


@numpy_function(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """Each element from the array among ``choices`` whose number ``a`` gives."""
    refuse_out(out, "choose")
    cases = (
        list(choices)
        if isinstance(choices, (list, tuple))
        else [choices[i] for i in range(choices.shape[0])]
    )
    arrays = [operand(c) for c in cases]
    number = operand(a)
    shape = broadcast_shapes(shape_of(number), *(shape_of(c) for c in arrays))
    stacked = stack([broadcast_to(c, shape) for c in arrays])
    which = broadcast_to(operand(_moved_inside(number, len(arrays), mode)), shape)
    if not shape:
        return stacked[which]
    return getitem(stacked, (which, *np.indices(shape, sparse=True)))


@numpy_function(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    """The slices along an axis where a known condition holds."""
    refuse_out(out, "compress")
    if isinstance(condition, Tracer):
        condition._trace.refuse(condition, "mask")
    x = operand(a)
    if axis is None:
        x, axis = ravel(x), 0
    kept = np.flatnonzero(condition)
    return getitem(x, (slice(None),) * normalize_axis(axis, x.ndim) + (kept,))


@numpy_function(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """The elements where a known condition holds, in one row."""
    if isinstance(condition, Tracer):
        condition._trace.refuse(condition, "mask")
    return getitem(ravel(arr), (np.flatnonzero(condition),))


# --- diagonals ---------------------------------------------------------------------------------


@numpy_function(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the matrices in two axes, along a new last axis."""
    x = operand(a)
    if x.ndim < 2:
        raise ValueError("diag requires an array of at least two dimensions")
    i, j = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    if i == j:
        raise ValueError("axis1 and axis2 cannot be the same")
    others = [d for d in range(x.ndim) if d not in (i, j)]
    x = structural.transpose(x, (*others, i, j))
    *rest, n, m = x.shape
    count = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    # In the flat matrix the diagonal is every (m + 1)-th element.
    flat = structural.reshape(x, (*rest, n * m))
    start = offset if offset >= 0 else -offset * m
    limit = start + (count - 1) * (m + 1) + 1 if count else 0
    first = start if count else 0
    return joining.slice_in_dim(flat, first, limit, m + 1 if count else 1, axis=len(rest))


def diag_indices(n: int, ndim: int = 2) -> tuple[Any, ...]:
    """The indices of the main diagonal of an array with ``ndim`` axes of size ``n``."""
    return np.diag_indices(n, ndim)


@numpy_function(np.diag_indices_from)
def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """The indices of the main diagonal of an array with equal sizes."""
    x = operand(arr)
    if x.ndim < 2:
        raise ValueError("input array must be at least 2-d")
    if len(set(x.shape)) != 1:
        raise ShapeError("All dimensions of input must be of equal length")
    return np.diag_indices(x.shape[0], x.ndim)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, ...]:
    """The indices at and below a diagonal of an ``(n, m)`` matrix."""
    return np.tril_indices(n, k, m)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, ...]:
    """The indices at and above a diagonal of an ``(n, m)`` matrix."""
    return np.triu_indices(n, k, m)


@numpy_function(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    """The indices at and below a diagonal of a matrix."""
    n, m = operand(arr).shape
    return np.tril_indices(n, k, m)


@numpy_function(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    """The indices at and above a diagonal of a matrix."""
    n, m = operand(arr).shape
    return np.triu_indices(n, k, m)


def mask_indices(n: int, mask_func: Any, k: int = 0) -> tuple[Any, ...]:
    """The indices of an ``(n, n)`` matrix that a function such as ``triu`` keeps."""
    return np.mask_indices(n, mask_func, k)


# --- flat indices ------------------------------------------------------------------------------


@numpy_function(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """The coordinates in ``shape`` of indices into the flat array; traced ones aren't checked."""
    sizes = as_shape(shape)
    rest = convert_element_type(operand(indices), np.int64)
    coordinates = []
    for n in sizes if order == "F" else reversed(sizes):
        size = np.int64(n)
        coordinates.append(rounding.mod(rest, size))
        rest = rounding.floor_divide(rest, size)
    return tuple(coordinates if order == "F" else reversed(coordinates))


@numpy_function(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """The indices into the flat array of coordinates in ``dims``; traced ones aren't checked."""
    sizes = as_shape(dims)
    modes = mode if isinstance(mode, tuple) else (mode,) * len(sizes)
    total: Any = np.int64(0)
    triples = list(zip(multi_index, sizes, modes))
    for index, n, how in triples if order == "C" else reversed(triples):
        moved = convert_element_type(operand(_moved_inside(index, n, how)), np.int64)
        scaled = arithmetic.mul(total, np.int64(n))
        total = arithmetic.add(*promote_operands(scaled, moved))
    return total
