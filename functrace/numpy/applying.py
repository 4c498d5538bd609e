"""Functions applied along axes, and membership."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.interpreters.batching import batch_flat, materialize
from functrace.numpy.creation import asarray
from functrace.numpy.dispatching import normalize_axis, numpy_function, operand
from functrace.ops import bitwise, logical, reductions, structural
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.promotion import promote_dtypes

__all__ = ["apply_along_axis", "apply_over_axes", "isin"]


@numpy_function(np.apply_along_axis)
def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    """A function of vectors applied to every vector along an axis; all at once, as ``vmap``."""
    x = operand(arr)
    axis = normalize_axis(axis, x.ndim)
    rest = tuple(n for i, n in enumerate(x.shape) if i != axis)
    rows = structural.reshape(
        structural.move_axis(x, axis, x.ndim - 1), (math.prod(rest), x.shape[axis])
    )
    count = math.prod(rest)

    def flat(row: Any) -> list[Any]:
        return [asarray(func1d(row, *args, **kwargs))]

    (out,), (dim,) = batch_flat(flat, count, [rows], [0], "apply_along_axis")
    out = materialize(count, out, dim)
    out = structural.reshape(out, (*rest, *shape_of(out)[1:]))
    # The axes of the function's result go where the axis was.
    added = len(shape_of(out)) - len(rest)
    order = list(range(len(rest)))
    order[axis:axis] = range(len(rest), len(rest) + added)
    return structural.transpose(out, order)


@numpy_function(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """A reduction applied over several axes in turn; the axes are kept, of size 1."""
    x = operand(a)
    for axis in (axes,) if np.ndim(axes) == 0 else axes:
        place = normalize_axis(int(axis), x.ndim)
        result = func(x, place)
        if result.ndim != x.ndim:
            result = structural.reshape(result, (*x.shape[:place], 1, *x.shape[place + 1 :]))
        x = result
    return x


@numpy_function(np.isin)
def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: str | None = None,
) -> Any:
    """Tell which elements are among the test elements."""
    x, members = promote_dtypes(operand(element), operand(test_elements))
    shape, count = shape_of(x), math.prod(shape_of(members))
    wide = (*shape, count)
    lanes = broadcast_in_dim(x, wide, range(len(shape)))
    line = broadcast_in_dim(structural.reshape(members, (count,)), wide, (len(shape),))
    found = reductions.reduce_or(logical.eq(lanes, line), (len(shape),))
    return bitwise.bitwise_not(found) if invert else found
