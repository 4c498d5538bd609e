"""dynamic_slice and dynamic_update_slice: windows at computed places, each other's adjoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, shape_of
from functrace.core.lowering import Indexed
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive
from functrace.errors import DTypeError, ShapeError, compose
from functrace.ops.arithmetic import add
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.creation import convert_element_type, full
from functrace.ops.dimension_numbers import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
)
from functrace.ops.indexing import gather_p
from functrace.ops.joining import concatenate
from functrace.ops.logical import lt, select
from functrace.ops.nests import for_each, in_bounds
from functrace.ops.scatter import scatter_p
from functrace.ops.structural import lanes_first

__all__ = ["dynamic_slice", "dynamic_update_slice"]

CLIP = GatherScatterMode.CLIP


def _clamped(
    starts: Sequence[Any], shape: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[slice, ...]:
    firsts = (max(0, min(int(i), n - size)) for i, n, size in zip(starts, shape, sizes))
    return tuple(slice(i, i + size) for i, size in zip(firsts, sizes))


def _check(
    name: str, x: ShapedArray, sizes: tuple[int, ...], starts: Sequence[ShapedArray]
) -> None:
    if any(i.shape != () or i.dtype.kind not in "iu" for i in starts):
        raise DTypeError(
            compose(
                f"{name} got start indices of types {', '.join(map(str, starts))}.",
                "they are integer scalars.",
            )
        )
    fits = len(starts) == len(sizes) == x.ndim and all(
        0 <= size <= n for size, n in zip(sizes, x.shape)
    )
    if not fits:
        raise ShapeError(
            compose(
                f"{name} got a window of shape {sizes} and {len(starts)} start indices for an "
                f"operand of type {x}.",
                "there is a size and a start for each axis, and the window fits in.",
            )
        )


def _start_in_kernel(b: Any, start: Any, extent: Any, size: Any) -> Any:
    last = b.sub(extent, size)
    return b.maximum(b.minimum(b.cast(start, np.dtype(np.int64)), last), 0)


def _index_vectors(size: int, starts: Sequence[Any], dims: Sequence[Any]) -> tuple[Any, int | None]:
    """Return the start indices as index vectors, and where their lanes are."""
    lanes = None if all(d is None for d in dims) else 0
    parts = []
    for start, dim in zip(starts, dims):
        start = convert_element_type(start, np.int64)
        if lanes is not None:
            start = lanes_first(size, start, dim)
        shape = shape_of(start)
        parts.append(broadcast_in_dim(start, (*shape, 1), range(len(shape))))
    return concatenate(parts, 0 if lanes is None else 1), lanes


# --- dynamic_slice -----------------------------------------------------------------------------

dynamic_slice_p = Primitive("dynamic_slice")


@dynamic_slice_p.def_impl
def _dynamic_slice_impl(x: Any, *starts: Any, slice_sizes: tuple[int, ...]) -> Any:
    return x[_clamped(starts, x.shape, slice_sizes)]


@dynamic_slice_p.def_abstract_eval
def _dynamic_slice_type(
    x: ShapedArray, *starts: ShapedArray, slice_sizes: tuple[int, ...]
) -> ShapedArray:
    _check("dynamic_slice", x, slice_sizes, starts)
    return ShapedArray(slice_sizes, x.dtype)


def _dynamic_slice_jvp(t: Any, out: Any, x: Any, *starts: Any, **params: Any) -> Any:
    return dynamic_slice_p.bind(t, *starts, **params)


dynamic_slice_p.def_jvp_each(_dynamic_slice_jvp, None)


@dynamic_slice_p.def_transpose
def _dynamic_slice_transpose(ct: Any, x: Any, *starts: Any, slice_sizes: tuple[int, ...]) -> Any:
    zeros = full(x.shape, 0, ct.dtype)
    return [dynamic_update_slice_p.bind(zeros, ct, *starts), *[None] * len(starts)]


@dynamic_slice_p.def_batching
def _dynamic_slice_batching(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, slice_sizes: tuple[int, ...]
) -> Any:
    x, *starts = args
    if not starts or all(d is None for d in dims[1:]):
        x = lanes_first(size, x, dims[0])
        return dynamic_slice_p.bind(x, np.int64(0), *starts, slice_sizes=(size, *slice_sizes)), 0
    indices, lanes = _index_vectors(size, starts, dims[1:])
    ndim = len(slice_sizes)
    dnums = GatherDimensionNumbers(tuple(range(ndim)), (), tuple(range(ndim)))
    assert gather_p.batching is not None
    return gather_p.batching(
        size,
        (x, indices),
        (dims[0], lanes),
        dimension_numbers=dnums,
        slice_sizes=slice_sizes,
        indices_are_sorted=True,
        unique_indices=True,
        mode=CLIP,
        fill_value=None,
    )


def _dynamic_slice_pull(
    b: Any,
    idx: Sequence[Any],
    operands: Sequence[Any],
    avals_in: Any,
    aval_out: Any,
    *,
    slice_sizes: tuple[int, ...],
) -> Any:
    x, *starts = operands
    place = []
    for axis, (i, start) in enumerate(zip(idx, starts)):
        first = _start_in_kernel(b, start(()), b.extent(0, axis), b.out_extent(axis))
        place.append(b.add(first, i))
    return x(tuple(place))


dynamic_slice_p.def_lowering(Indexed(_dynamic_slice_pull))


def dynamic_slice(operand: Any, start_indices: Sequence[Any], slice_sizes: Sequence[int]) -> Any:
    """Cut a window of a fixed size at computed start indices.

    Negative starts count from the end; then the window is moved inside the operand.
    """
    starts = _normalized(start_indices, shape_of(operand))
    return dynamic_slice_p.bind(operand, *starts, slice_sizes=tuple(slice_sizes))


def _normalized(starts: Sequence[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return start indices as int64 scalars, those that are negative counted from the end."""
    out: list[Any] = []
    for i, n in zip(starts, shape):
        if isinstance(i, (int, np.integer)):
            out.append(np.int64(i + n if i < 0 else i))
            continue
        i = i if dtype_of(i) == np.int64 else convert_element_type(i, np.int64)
        out.append(select(lt(i, np.int64(0)), add(i, np.int64(n)), i))
    return out + list(starts[len(shape) :])


# --- dynamic_update_slice ----------------------------------------------------------------------

dynamic_update_slice_p = Primitive("dynamic_update_slice")


@dynamic_update_slice_p.def_impl
def _dynamic_update_slice_impl(x: Any, update: Any, *starts: Any) -> Any:
    out = np.array(x)
    out[_clamped(starts, out.shape, np.shape(update))] = update
    return out[()]


@dynamic_update_slice_p.def_abstract_eval
def _dynamic_update_slice_type(
    x: ShapedArray, update: ShapedArray, *starts: ShapedArray
) -> ShapedArray:
    _check("dynamic_update_slice", x, update.shape, starts)
    if x.dtype != update.dtype:
        raise DTypeError(
            compose(
                f"dynamic_update_slice got an operand of type {x} and an update of type {update}.",
                "their dtypes agree.",
                "convert the update with .astype(...).",
            )
        )
    return ShapedArray(x.shape, x.dtype)


@dynamic_update_slice_p.def_jvp
def _dynamic_update_slice_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    starts = primals[2:]
    t_x, t_update = (
        full(shape_of(p), 0, dtype_of(p)) if t is None else t
        for p, t in zip(primals[:2], tangents[:2])
    )
    out = dynamic_update_slice_p.bind(*primals)
    return out, dynamic_update_slice_p.bind(t_x, t_update, *starts)


@dynamic_update_slice_p.def_transpose
def _dynamic_update_slice_transpose(ct: Any, x: Any, update: Any, *starts: Any) -> Any:
    ct_x = ct_update = None
    if is_linear(x):
        zeros = full(update.shape, 0, ct.dtype)
        ct_x = dynamic_update_slice_p.bind(ct, zeros, *starts)
    if is_linear(update):
        ct_update = dynamic_slice_p.bind(ct, *starts, slice_sizes=update.shape)
    return [ct_x, ct_update, *[None] * len(starts)]


@dynamic_update_slice_p.def_batching
def _dynamic_update_slice_batching(size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    x, update, *starts = args
    if not starts or all(d is None for d in dims[2:]):
        x, update = lanes_first(size, x, dims[0]), lanes_first(size, update, dims[1])
        return dynamic_update_slice_p.bind(x, update, np.int64(0), *starts), 0
    indices, lanes = _index_vectors(size, starts, dims[2:])
    axes = tuple(range(len(starts)))
    assert scatter_p.batching is not None
    return scatter_p.batching(
        size,
        (x, indices, update),
        (dims[0], lanes, dims[1]),
        dimension_numbers=ScatterDimensionNumbers(axes, (), axes),
        indices_are_sorted=True,
        unique_indices=True,
        mode=CLIP,
    )


def _dynamic_update_slice_pull(
    b: Any, idx: Sequence[Any], operands: Sequence[Any], avals_in: Any, aval_out: Any
) -> Any:
    x, update, *starts = operands
    inside, place = b.const(True, np.dtype(np.bool_)), []
    for axis, (i, start) in enumerate(zip(idx, starts)):
        size = b.extent(1, axis)
        offset = b.sub(i, _start_in_kernel(b, start(()), b.extent(0, axis), size))
        inside = b.and_(inside, in_bounds(b, offset, size))
        place.append(offset)
    return b.cond(inside, lambda: [update(tuple(place))], lambda: [x(tuple(idx))])[0]


def _dynamic_update_slice_update(b: Any, ins: Any, outs: Any, avals_in: Any) -> None:
    (_, update, *starts), (out,) = ins, outs
    firsts = [
        _start_in_kernel(b, start.load(()), n, size)
        for start, n, size in zip(starts, out.shape, update.shape)
    ]

    def write(index: tuple[Any, ...]) -> None:
        out.store([b.add(first, i) for first, i in zip(firsts, index)], update.load(index))

    for_each(b, update.shape, write)


dynamic_update_slice_p.def_lowering(
    Indexed(_dynamic_update_slice_pull, _dynamic_update_slice_update)
)


def dynamic_update_slice(operand: Any, update: Any, start_indices: Sequence[Any]) -> Any:
    """Write a window into a copy of ``operand`` at computed start indices.

    Negative starts count from the end; then the window is moved inside the operand.
    """
    starts = _normalized(start_indices, shape_of(operand))
    return dynamic_update_slice_p.bind(operand, update, *starts)
