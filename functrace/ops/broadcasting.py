"""broadcast_in_dim and reduce_sum: each is the other's transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import Reduction, View
from functrace.core.trace import Primitive
from functrace.errors import ShapeError, compose
from functrace.ops.families import NUMERIC, kept_axes, reduction

__all__ = ["broadcast_in_dim", "broadcast_to", "reduce_sum", "unbroadcast"]

# --- broadcast_in_dim --------------------------------------------------------------------------

broadcast_in_dim_p = Primitive("broadcast_in_dim")


@broadcast_in_dim_p.def_impl
def _broadcast_in_dim_impl(
    x: Any, *, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]
) -> Any:
    old = x.shape
    if old == shape:
        return x
    if not old:
        x = np.asarray(x)
    strides = [0] * len(shape)
    for n, stride, d in zip(old, x.strides, broadcast_dimensions):
        if n != 1:
            strides[d] = stride
    if x.flags.c_contiguous and x.size:
        # The same view as np.broadcast_to's, several times quicker.
        return np.ndarray(shape, x.dtype, x, 0, strides)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


@broadcast_in_dim_p.def_abstract_eval
def _broadcast_in_dim_type(
    x: ShapedArray, *, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]
) -> ShapedArray:
    dims = broadcast_dimensions
    fits = (
        len(dims) == x.ndim
        and list(dims) == sorted(set(dims))
        and (all(0 <= d < len(shape) and n in (1, shape[d]) for n, d in zip(x.shape, dims)))
    )
    if not fits:
        raise ShapeError(
            compose(
                f"broadcast_in_dim can't make shape {shape} of {x} with "
                f"broadcast_dimensions={dims}.",
                "each axis of the operand goes to one axis of the result, in order, and has "
                "its size or 1.",
            )
        )
    return ShapedArray(tuple(shape), x.dtype)


@broadcast_in_dim_p.def_jvp_each
def _broadcast_in_dim_jvp(t: Any, out: Any, x: Any, **params: Any) -> Any:
    return broadcast_in_dim_p.bind(t, **params)


@broadcast_in_dim_p.def_transpose
def _broadcast_in_dim_transpose(
    ct: Any, x: Any, *, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]
) -> Any:
    dims = broadcast_dimensions
    widened = tuple(d for n, d in zip(x.shape, dims) if n != shape[d])
    added = kept_axes(len(shape), dims)
    ct = reduce_sum(ct, added + widened)
    if widened:
        places = tuple(i for i, d in enumerate(dims) if d not in widened)
        ct = broadcast_in_dim(ct, x.shape, places)
    return [ct]


@broadcast_in_dim_p.def_batching
def _broadcast_in_dim_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int],
    *,
    shape: tuple[int, ...],
    broadcast_dimensions: tuple[int, ...],
) -> Any:
    # The mapped axis of the operand stays where it is in order: put it just before the place
    # of the axis that follows it.
    (x,), (dim,) = args, dims
    before = broadcast_dimensions[:dim]
    place = before[-1] + 1 if before else 0
    moved = tuple(d + (d >= place) for d in broadcast_dimensions)
    new_dims = (*moved[:dim], place, *moved[dim:])
    new_shape = (*shape[:place], size, *shape[place:])
    return broadcast_in_dim(x, new_shape, new_dims), place


def _broadcast_view(
    old: tuple[int, ...],
    strides: tuple[int, ...],
    *,
    shape: tuple[int, ...],
    broadcast_dimensions: tuple[int, ...],
) -> Any:
    by_dim = {d: 0 if n != shape[d] else s for n, s, d in zip(old, strides, broadcast_dimensions)}
    return shape, tuple(by_dim.get(i, 0) for i in range(len(shape))), 0


broadcast_in_dim_p.def_lowering(View(_broadcast_view))


def broadcast_in_dim(x: Any, shape: Sequence[int], broadcast_dimensions: Sequence[int]) -> Any:
    """Put the axes of ``x`` at ``broadcast_dimensions`` of ``shape`` and repeat along the rest."""
    return broadcast_in_dim_p.bind(
        x, shape=tuple(shape), broadcast_dimensions=tuple(broadcast_dimensions)
    )


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast ``x`` to ``shape`` as NumPy does, from the right; nothing when it has it."""
    old = shape_of(x)
    if old == shape:
        return x
    first = len(shape) - len(old)
    return broadcast_in_dim_p.bind(
        x, shape=shape, broadcast_dimensions=tuple(range(first, len(shape)))
    )


# --- reduce_sum --------------------------------------------------------------------------------


def _reduce_sum_impl(x: Any, *, axes: tuple[int, ...]) -> Any:
    return np.add.reduce(x, axis=axes, dtype=x.dtype)


reduce_sum_p = reduction(
    "reduce_sum",
    _reduce_sum_impl,
    NUMERIC,
    Reduction(
        combine=lambda b, acc, x, **params: b.add(acc, x),
        identity=lambda dtype, **params: dtype.type(0),
    ),
)


@reduce_sum_p.def_jvp_each
def _reduce_sum_jvp(t: Any, out: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    return reduce_sum(t, axes)


@reduce_sum_p.def_transpose
def _reduce_sum_transpose(ct: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    return [broadcast_in_dim(ct, x.shape, kept_axes(len(x.shape), axes))]


def reduce_sum(x: Any, axes: Sequence[int]) -> Any:
    """Sum of ``x`` over ``axes``, in its own dtype."""
    axes = tuple(axes)
    return reduce_sum_p.bind(x, axes=axes) if axes else x


def unbroadcast(ct: Any, x: Any) -> Any:
    """Return the cotangent of an element-wise operand: a 0-d one gets the sum of all."""
    shape = shape_of(ct)
    if x.shape == shape:
        return ct
    return reduce_sum_p.bind(ct, axes=tuple(range(len(shape))))
