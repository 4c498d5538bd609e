"""Functions that make, reshape, cut and join arrays."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.core.aval import dtype_of, shape_of
from functrace.core.trace import Tracer
from functrace.errors import ShapeError, compose
from functrace.lax.operands import array, matching
from functrace.ops import arithmetic, broadcasting, creation, joining, random_bits, structural
from functrace.ops.promotion import broadcast_shapes

__all__ = [
    "bitcast_convert_type",
    "broadcast",
    "broadcast_in_dim",
    "broadcast_shapes",
    "broadcast_to_rank",
    "broadcasted_iota",
    "collapse",
    "concatenate",
    "convert_element_type",
    "expand_dims",
    "full",
    "full_like",
    "index_in_dim",
    "iota",
    "pad",
    "reshape",
    "rev",
    "slice",
    "slice_in_dim",
    "split",
    "squeeze",
    "stack",
    "stop_gradient",
    "tile",
    "transpose",
    "unstack",
    "zeros_like_array",
]

# --- making ------------------------------------------------------------------------------------


def full(shape: Sequence[int], fill_value: Any, dtype: Any = None) -> Any:
    """An array of one value repeated; a traced value too.

    Example:
        >>> full((2,), 7.0)
        array([7., 7.])
    """
    value = array(fill_value, "lax.full")
    if dtype is not None:
        value = creation.convert_element_type(value, dtype)
    if shape_of(value) != ():
        raise ShapeError(
            compose(
                f"lax.full got a fill value of shape {shape_of(value)}.",
                "it repeats one number.",
                "lax.broadcast_in_dim, or functrace.numpy.full.",
            )
        )
    if isinstance(value, Tracer):
        return broadcasting.broadcast_to(value, tuple(shape))
    return creation.full(shape, value, value.dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Any:
    """An array of one value, of the shape and dtype of ``x`` unless others are given.

    Example:
        >>> import numpy as np
        >>> full_like(np.ones(2), 3)
        array([3., 3.])
    """
    shape = shape_of(x) if shape is None else tuple(shape)
    return full(shape, fill_value, dtype_of(x) if dtype is None else dtype)


def zeros_like_array(x: Any) -> Any:
    """Zeros of the shape and dtype of ``x``."""
    return full_like(x, 0)


def iota(dtype: Any, size: int) -> Any:
    """The integers 0, 1, 2, ... below ``size``, in any dtype.

    Example:
        >>> import numpy as np
        >>> iota(np.int32, 3)
        array([0, 1, 2], dtype=int32)
    """
    return creation.iota(dtype, (int(size),), 0)


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int) -> Any:
    """The index along one axis, at every place of ``shape``.

    Example:
        >>> broadcasted_iota(int, (2, 2), 1)
        array([[0, 1],
               [0, 1]])
    """
    return creation.iota(dtype, tuple(shape), dimension % max(len(shape), 1))


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """Convert to another dtype; complex numbers lose their imaginary part."""
    if new_dtype is None:
        return array(operand, "lax.convert_element_type")
    return creation.convert_element_type(array(operand, "lax.convert_element_type"), new_dtype)


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """The same bits as another dtype of the same size.

    Example:
        >>> import numpy as np
        >>> hex(bitcast_convert_type(np.float32(1.0), np.uint32))
        '0x3f800000'
    """
    x = array(operand, "lax.bitcast_convert_type")
    return random_bits.bitcast_convert_type(x, new_dtype)


def stop_gradient(x: Any) -> Any:
    """The same values, as constants for differentiation; of every leaf of a pytree.

    Under ``grad`` on concrete values they are plain arrays: ``float(stop_gradient(x))`` works.
    """
    if isinstance(x, (Tracer, np.ndarray, np.generic)):
        return arithmetic.stop_gradient(x)
    return tree.map(_stop_leaf, x)


def _stop_leaf(leaf: Any) -> Any:
    return arithmetic.stop_gradient(leaf) if isinstance(leaf, Tracer) else leaf


# --- broadcasting ------------------------------------------------------------------------------


def broadcast(operand: Any, sizes: Sequence[int]) -> Any:
    """Repeat along new axes in front, of the given sizes.

    Example:
        >>> import numpy as np
        >>> broadcast(np.array([1, 2]), (2,))
        array([[1, 2],
               [1, 2]])
    """
    operand = array(operand, "lax.broadcast")
    first = len(sizes)
    dims = range(first, first + len(operand.shape))
    return broadcasting.broadcast_in_dim(operand, (*sizes, *operand.shape), dims)


def broadcast_in_dim(
    operand: Any, shape: Sequence[int], broadcast_dimensions: Sequence[int]
) -> Any:
    """Put the axes of ``operand`` at ``broadcast_dimensions`` of ``shape``; repeat the rest.

    Example:
        >>> import numpy as np
        >>> broadcast_in_dim(np.array([1, 2]), (2, 2), (0,))
        array([[1, 1],
               [2, 2]])
    """
    operand = array(operand, "lax.broadcast_in_dim")
    return broadcasting.broadcast_in_dim(operand, shape, broadcast_dimensions)


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """Add axes of size 1 in front until there are ``rank``."""
    x = array(x, "lax.broadcast_to_rank")
    missing = rank - len(x.shape)
    return structural.expand_dims(x, range(missing)) if missing > 0 else x


# --- reshaping ---------------------------------------------------------------------------------


def reshape(operand: Any, new_sizes: Sequence[int], dimensions: Sequence[int] | None = None) -> Any:
    """Give the elements, in C order, another shape; ``dimensions`` transposes first.

    Example:
        >>> import numpy as np
        >>> reshape(np.array([1, 2, 3, 4]), (2, 2))
        array([[1, 2],
               [3, 4]])
    """
    operand = array(operand, "lax.reshape")
    if dimensions is not None:
        operand = structural.transpose(operand, dimensions)
    sizes = (new_sizes,) if isinstance(new_sizes, int) else tuple(new_sizes)
    return operand if operand.shape == sizes else structural.reshape(operand, sizes)


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """Merge the axes ``start_dimension:stop_dimension`` into one.

    Example:
        >>> import numpy as np
        >>> collapse(np.ones((2, 3, 4)), 1).shape
        (2, 12)
    """
    operand = array(operand, "lax.collapse")
    shape = operand.shape
    start, stop, _ = _range(start_dimension, stop_dimension, len(shape))
    merged = (*shape[:start], math.prod(shape[start:stop]), *shape[stop:])
    return structural.reshape(operand, merged)


def _range(start: int | None, stop: int | None, n: int) -> tuple[int, int, int]:
    return builtins.slice(start, stop).indices(n)


def squeeze(array: Any, dimensions: Sequence[int] | None = None) -> Any:
    """Drop axes of size 1: those given, or all.

    Example:
        >>> import numpy as np
        >>> squeeze(np.ones((1, 2))).shape
        (2,)
    """
    shape = shape_of(array)
    if dimensions is None:
        dimensions = [i for i, n in enumerate(shape) if n == 1]
    return structural.squeeze(array, tuple(dimensions))


def expand_dims(array: Any, dimensions: Sequence[int]) -> Any:
    """Insert axes of size 1 at these places of the result.

    Example:
        >>> import numpy as np
        >>> expand_dims(np.ones(2), (0, 2)).shape
        (1, 2, 1)
    """
    return structural.expand_dims(array, tuple(dimensions)) if len(tuple(dimensions)) else array


def transpose(operand: Any, permutation: Sequence[int]) -> Any:
    """Permute the axes.

    Example:
        >>> import numpy as np
        >>> transpose(np.ones((2, 3)), (1, 0)).shape
        (3, 2)
    """
    operand = array(operand, "lax.transpose")
    order = tuple(int(p) for p in permutation)
    if len(order) != len(operand.shape):
        raise ShapeError(
            f"lax.transpose: permutation {order} doesn't fit an operand of shape {operand.shape}"
        )
    return structural.transpose(operand, order)


def rev(operand: Any, dimensions: Sequence[int]) -> Any:
    """Reverse the order along axes.

    Example:
        >>> import numpy as np
        >>> rev(np.array([1, 2, 3]), (0,))
        array([3, 2, 1])
    """
    return structural.rev(array(operand, "lax.rev"), tuple(dimensions))


# --- cutting and joining -----------------------------------------------------------------------


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Any:
    """Cut ``start:limit:stride`` out of each axis; static, none negative.

    Example:
        >>> import numpy as np
        >>> slice(np.array([1, 2, 3, 4]), (1,), (4,), (2,))
        array([2, 4])
    """
    return joining.slice(array(operand, "lax.slice"), start_indices, limit_indices, strides)


def slice_in_dim(
    operand: Any,
    start_index: int | None,
    limit_index: int | None,
    stride: int = 1,
    axis: int = 0,
) -> Any:
    """Cut along one axis, as ``x[start:limit:stride]``.

    Example:
        >>> import numpy as np
        >>> slice_in_dim(np.array([1, 2, 3, 4]), 1, -1)
        array([2, 3])
    """
    operand = array(operand, "lax.slice_in_dim")
    return joining.slice_in_dim(operand, start_index, limit_index, stride, axis)


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """One static index along an axis, which stays, of size 1, with ``keepdims``.

    Raises:
        IndexError: the index is out of bounds.

    Example:
        >>> import numpy as np
        >>> index_in_dim(np.array([1, 2, 3]), -1)
        array([3])
    """
    operand = array(operand, "lax.index_in_dim")
    axis %= len(operand.shape)
    n = operand.shape[axis]
    i = index + n if index < 0 else index
    if not 0 <= i < n:
        raise IndexError(f"index {index} is out of bounds for axis {axis} with size {n}")
    out = joining.slice_in_dim(operand, i, i + 1, 1, axis)
    return out if keepdims else structural.squeeze(out, (axis,))


def concatenate(operands: Sequence[Any], dimension: int) -> Any:
    """Join arrays of one dtype along an axis they have.

    Example:
        >>> import numpy as np
        >>> concatenate([np.array([1]), np.array([2, 3])], 0)
        array([1, 2, 3])
    """
    xs = matching("lax.concatenate", *operands)
    return joining.concatenate(xs, dimension)


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """Cut into consecutive pieces of the given sizes.

    Example:
        >>> import numpy as np
        >>> split(np.array([1, 2, 3]), (1, 2))
        [array([1]), array([2, 3])]
    """
    return joining.split(array(operand, "lax.split"), tuple(sizes), axis)


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Any:
    """Pad each axis: ``(low, high, interior)`` elements; negative ones cut off.

    Args:
        operand: the array.
        padding_value: the number to pad with, of its dtype.
        padding_config: for each axis how many before, behind and between the elements.

    Example:
        >>> import numpy as np
        >>> pad(np.array([1, 2]), 0, [(1, 0, 1)])
        array([0, 1, 0, 2])
    """
    operand, value = matching("lax.pad", operand, padding_value)
    return joining.pad(operand, value, tuple(tuple(c) for c in padding_config))  # type: ignore[misc]


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Join arrays of one shape and dtype along a new axis.

    Example:
        >>> import numpy as np
        >>> stack([np.array([1, 2]), np.array([3, 4])])
        array([[1, 2],
               [3, 4]])
    """
    xs = matching("lax.stack", *arrays)
    axis %= len(xs[0].shape) + 1
    return joining.concatenate([structural.expand_dims(x, (axis,)) for x in xs], axis)


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis, which they don't have."""
    x = array(x, "lax.unstack")
    axis %= len(x.shape)
    return tuple(index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis]))


def tile(x: Any, reps: Sequence[int]) -> Any:
    """Copies side by side: ``reps`` of them along each axis.

    Example:
        >>> import numpy as np
        >>> tile(np.array([1, 2]), (2,))
        array([1, 2, 1, 2])
    """
    x = array(x, "lax.tile")
    if len(tuple(reps)) != len(x.shape):
        raise ShapeError(f"lax.tile: reps {tuple(reps)} don't fit an operand of shape {x.shape}")
    split = tuple(n for pair in zip(reps, x.shape) for n in pair)
    places = range(1, 2 * len(x.shape), 2)
    wide = broadcasting.broadcast_in_dim(x, split, places)
    return structural.reshape(wide, tuple(r * n for r, n in zip(reps, x.shape)))
