"""Other shapes of the same elements: reshape, transpose, flip, roll, broadcast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.core.trace import Tracer
from functrace.errors import ShapeError
from functrace.numpy.dispatching import (
    as_shape,
    normalize_axes,
    normalize_axis,
    numpy_function,
    operand,
)
from functrace.ops import joining, structural
from functrace.ops.broadcasting import broadcast_to as broadcast_to_shape
from functrace.ops.promotion import broadcast_shapes

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "ndim",
    "permute_dims",
    "ravel",
    "reshape",
    "roll",
    "rollaxis",
    "rot90",
    "shape",
    "size",
    "squeeze",
    "swapaxes",
    "transpose",
]

# --- reshape -----------------------------------------------------------------------------------


def _resolve(old: tuple[int, ...], new: Any) -> tuple[int, ...]:
    """Return a shape with -1 worked out; NumPy's error when the sizes don't agree."""
    shape = as_shape(new)
    total = math.prod(old)
    unknown = [i for i, n in enumerate(shape) if n == -1]
    if len(unknown) > 1:
        raise ShapeError("can only specify one unknown dimension")
    known = math.prod(n for n in shape if n != -1)
    if unknown and known and total % known == 0:
        (i,) = unknown
        return (*shape[:i], total // known, *shape[i + 1 :])
    if unknown or known != total:
        text = str(shape).replace(" ", "")
        raise ShapeError(f"cannot reshape array of size {total} into shape {text}")
    return shape


@numpy_function(np.reshape)
def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """Give the elements another shape, in C or Fortran order; one size may be -1.

    Example:
        >>> reshape([1, 2, 3, 4], (2, -1))
        array([[1, 2],
               [3, 4]])
    """
    x = operand(a)
    new = _resolve(x.shape, shape)
    if order == "F":
        backwards = structural.transpose(x, range(x.ndim)[::-1])
        turned = structural.reshape(backwards, new[::-1])
        return structural.transpose(turned, range(len(new))[::-1])
    if order not in ("C", "A"):
        raise ValueError(f"order must be one of 'C', 'F', 'A' (got {order!r})")
    return structural.reshape(x, new)


@numpy_function(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """The elements in one row."""
    return reshape(a, -1, "C" if order == "K" else order)


@numpy_function(np.shape)
def shape(a: Any) -> tuple[int, ...]:
    """The size of each axis."""
    return operand(a).shape  # type: ignore[no-any-return]


@numpy_function(np.ndim)
def ndim(a: Any) -> int:
    """The number of axes."""
    return len(operand(a).shape)


@numpy_function(np.size)
def size(a: Any, axis: Any = None) -> int:
    """The number of elements, in all or along axes."""
    sizes = operand(a).shape
    return math.prod(sizes[i] for i in normalize_axes(axis, len(sizes)))


# --- axes of size one --------------------------------------------------------------------------


@numpy_function(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Drop axes of size 1."""
    x = operand(a)
    if axis is None:
        axes = tuple(i for i, n in enumerate(x.shape) if n == 1)
    else:
        axes = normalize_axes(axis, x.ndim)
    return structural.squeeze(x, axes)


@numpy_function(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """Insert axes of size 1 at these places of the result."""
    x = operand(a)
    places = axis if isinstance(axis, (tuple, list)) else (axis,)
    new_ndim = x.ndim + len(places)
    kept = iter(x.shape)
    inserted = normalize_axes(tuple(places), new_ndim)
    return structural.reshape(x, tuple(1 if i in inserted else next(kept) for i in range(new_ndim)))


def _each(arrays: tuple[Any, ...], function: Any) -> Any:
    results = tuple(function(operand(a)) for a in arrays)
    return results[0] if len(results) == 1 else results


@numpy_function(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    """Each array with one axis at least."""
    return _each(arys, lambda x: x if x.ndim else structural.reshape(x, (1,)))


@numpy_function(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    """Each array with two axes at least; a vector becomes a row."""
    return _each(
        arys, lambda x: x if x.ndim > 1 else structural.reshape(x, (1,) * (2 - x.ndim) + x.shape)
    )


def _three_axes(x: Any) -> Any:
    if x.ndim >= 3:
        return x
    sizes = {0: (1, 1, 1), 1: (1, *x.shape, 1), 2: (*x.shape, 1)}[x.ndim]
    return structural.reshape(x, sizes)


@numpy_function(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """Each array with three axes at least; a vector becomes the middle one."""
    return _each(arys, _three_axes)


# --- order of axes -----------------------------------------------------------------------------


@numpy_function(np.transpose)
def transpose(a: Any, axes: Any = None) -> Any:
    """Permute the axes; reverse them without ``axes``."""
    x = operand(a)
    if axes is None:
        return structural.transpose(x, range(x.ndim)[::-1])
    if len(axes) != x.ndim:
        raise ValueError("axes don't match array")
    order = tuple(normalize_axis(i, x.ndim) for i in axes)
    if len(set(order)) != x.ndim:
        raise ValueError("repeated axis in transpose")
    return structural.transpose(x, order)


permute_dims = transpose


@numpy_function(np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """Swap the last two axes."""
    x = operand(x)
    if x.ndim < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {x.ndim}")
    return swapaxes(x, -1, -2)


@numpy_function(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Swap two axes."""
    x = operand(a)
    i, j = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    order = list(range(x.ndim))
    order[i], order[j] = order[j], order[i]
    return structural.transpose(x, order)


@numpy_function(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Move axes to other places; the others keep their order."""
    x = operand(a)
    sources, places = normalize_axes(source, x.ndim), normalize_axes(destination, x.ndim)
    if len(sources) != len(places):
        raise ValueError(
            "`source` and `destination` arguments must have the same number of elements"
        )
    order = [i for i in range(x.ndim) if i not in sources]
    for place, axis in sorted(zip(places, sources)):
        order.insert(place, axis)
    return structural.transpose(x, order)


@numpy_function(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """Move an axis backwards until it is before ``start``."""
    x = operand(a)
    axis = normalize_axis(axis, x.ndim)
    start = start + x.ndim if start < 0 else start
    return structural.move_axis(x, axis, start - (axis < start))


# --- order of elements -------------------------------------------------------------------------


@numpy_function(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """Reverse the order of the elements along axes, all of them by default."""
    x = operand(m)
    return structural.rev(x, normalize_axes(axis, x.ndim))


@numpy_function(np.flipud)
def flipud(m: Any) -> Any:
    """Reverse the order along the first axis."""
    return flip(m, 0)


@numpy_function(np.fliplr)
def fliplr(m: Any) -> Any:
    """Reverse the order along the second axis."""
    return flip(m, 1)


@numpy_function(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Turn by quarters in the plane of two axes."""
    x = operand(m)
    i, j = (normalize_axis(a, x.ndim) for a in axes)
    if i == j:
        raise ValueError("Axes must be different.")
    turns = k % 4
    if turns == 0:
        return x
    if turns == 2:
        return flip(x, (i, j))
    return swapaxes(flip(x, j), i, j) if turns == 1 else flip(swapaxes(x, i, j), j)


@numpy_function(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Shift elements along axes; those pushed out come in again at the other end."""
    x = operand(a)
    if axis is None:
        return structural.reshape(roll(structural.reshape(x, (x.size,)), shift, 0), x.shape)
    axes = [
        normalize_axis(i, x.ndim) for i in (axis if isinstance(axis, (tuple, list)) else [axis])
    ]
    shifts = shift if isinstance(shift, (tuple, list)) or np.ndim(shift) else [shift] * len(axes)
    if len(axes) == 1 and len(shifts) > 1:
        axes = axes * len(shifts)
    for n, i in zip(shifts, axes, strict=True):
        x = _roll_axis(x, n, i)
    return x


def _roll_axis(x: Any, shift: Any, axis: int) -> Any:
    count = x.shape[axis]
    if count == 0:
        return x
    if isinstance(shift, Tracer):
        places = (np.arange(count) - shift) % count
        return x[(slice(None),) * axis + (places,)]
    first = -int(shift) % count
    if first == 0:
        return x
    tail = joining.slice_in_dim(x, first, count, axis=axis)
    return joining.concatenate([tail, joining.slice_in_dim(x, 0, first, axis=axis)], axis)


# --- broadcasting ------------------------------------------------------------------------------


@numpy_function(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """The elements repeated to a shape, as broadcasting does."""
    x = operand(array)
    new = as_shape(shape)
    if len(new) < x.ndim or any(n not in (1, m) for n, m in zip(x.shape[::-1], new[::-1])):
        raise ShapeError(
            "operands could not be broadcast together with remapped shapes "
            f"[original->remapped]: {x.shape} and requested shape {new}"
        )
    return broadcast_to_shape(x, new)


@numpy_function(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """All arrays broadcast to one shape."""
    xs = [operand(a) for a in args]
    new = broadcast_shapes(*(shape_of(x) for x in xs))
    return tuple(broadcast_to_shape(x, new) for x in xs)
