"""gather and scatter_add, each the other's transpose, in XLA's general form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, shape_of
from functrace.core.lowering import Indexed, Nest
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.creation import full
from functrace.ops.dimension_numbers import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    Windows,
    check_same_dtype,
    default_fill,
    shifted,
)
from functrace.ops.families import NUMERIC, check_dtypes
from functrace.ops.gather_numpy import gather_numpy, scatter_numpy
from functrace.ops.nests import for_each
from functrace.ops.structural import lanes_first

__all__ = ["gather", "scatter_add", "take_along_axis", "take_rows"]

RAISE = GatherScatterMode.RAISE
FILL = GatherScatterMode.FILL_OR_DROP
PROMISE = GatherScatterMode.PROMISE_IN_BOUNDS

# --- gather ------------------------------------------------------------------------------------

gather_p = Primitive("gather")


def _filler(fill_value: Any, dtype: np.dtype[Any]) -> Any:
    """Return the fill value; None is the default, as NaN, being a parameter, equals nothing."""
    return default_fill(dtype) if fill_value is None else dtype.type(fill_value)


@gather_p.def_impl
def _gather_impl(
    x: Any,
    indices: Any,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    mode: GatherScatterMode,
    fill_value: Any,
    **params: Any,
) -> Any:
    w = Windows.of_gather(dimension_numbers, slice_sizes)
    return gather_numpy(x, indices, w, mode, _filler(fill_value, x.dtype))


@gather_p.def_abstract_eval
def _gather_type(
    x: ShapedArray,
    indices: ShapedArray,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    mode: GatherScatterMode,
    **params: Any,
) -> ShapedArray:
    w = Windows.of_gather(dimension_numbers, slice_sizes)
    w.check("gather", x, indices, mode)
    return ShapedArray(w.spread_shape(indices.shape), x.dtype)


def _gather_jvp(t: Any, out: Any, x: Any, indices: Any, *, fill_value: Any, **params: Any) -> Any:
    fill = t.dtype.type(0) if params["mode"] is FILL else None
    return gather_p.bind(t, indices, fill_value=fill, **params)


gather_p.def_jvp_each(_gather_jvp, None)


@gather_p.def_transpose
def _gather_transpose(
    ct: Any,
    x: Any,
    indices: Any,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    fill_value: Any,
    **params: Any,
) -> Any:
    dnums = ScatterDimensionNumbers(*dimension_numbers)
    zeros = full(x.shape, 0, x.dtype)
    return [scatter_add_p.bind(zeros, indices, ct, dimension_numbers=dnums, **params), None]


@gather_p.def_batching
def _gather_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[Any],
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    **params: Any,
) -> Any:
    (x, indices), (x_dim, indices_dim) = args, dims
    d = dimension_numbers
    if x_dim is not None:
        x = lanes_first(size, x, x_dim)
        collapsed, index_map, batching = map(
            shifted, (d.collapsed_slice_dims, d.start_index_map, d.operand_batching_dims)
        )
    else:
        _, collapsed, index_map, batching, _ = d
    if indices_dim is None:
        # One more whole axis in front of the window.
        new = GatherDimensionNumbers(
            (0, *shifted(d.offset_dims)),
            collapsed,
            index_map,
            batching,
            d.start_indices_batching_dims,
        )
        sizes = (size, *slice_sizes)
    else:
        indices = lanes_first(size, indices, indices_dim)
        offset, along = shifted(d.offset_dims), shifted(d.start_indices_batching_dims)
        sizes = slice_sizes
        if x_dim is not None:
            batching, along, sizes = (0, *batching), (0, *along), (1, *slice_sizes)
        new = GatherDimensionNumbers(offset, collapsed, index_map, batching, along)
    out = gather_p.bind(x, indices, dimension_numbers=new, slice_sizes=sizes, **params)
    return out, 0


def window_start(
    b: Any,
    component: Any,
    axis: int,
    extent: Any,
    size: Any,
    mode: GatherScatterMode,
) -> tuple[Any, Any]:
    """Return where a window starts in a kernel and whether it lies inside (None: it does)."""
    start = b.cast(component, np.dtype(np.int64))
    last = b.sub(extent, size)
    if mode is RAISE:
        wrapped = b.select(b.lt(start, 0), b.add(start, extent), start)
        # One comparison for both ends: as an unsigned number, what is negative is large.
        unsigned = np.dtype(np.uint64)
        outside = b.ge(b.cast(wrapped, unsigned), b.cast(b.add(last, 1), unsigned))
        b.fail(outside, "index", start, axis, extent)
        return wrapped, None
    if mode is FILL:
        return start, b.and_(b.ge(start, 0), b.le(start, last))
    return b.maximum(b.minimum(start, last), 0), None


def _gather_pull(
    b: Any,
    idx: Sequence[Any],
    operands: Sequence[Any],
    avals_in: Any,
    aval_out: Any,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    mode: GatherScatterMode,
    fill_value: Any,
    **params: Any,
) -> Any:
    w = Windows.of_gather(dimension_numbers, slice_sizes)
    batch = [idx[d] for d in w.batch_dims(len(idx))]
    where: list[Any] = [b.const(0, np.dtype(np.int64))] * len(slice_sizes)
    for d, e in zip(w.operand_batch, w.indices_batch):
        where[d] = batch[e]
    inside = None
    for k, d in enumerate(w.index_map):
        component = operands[1]((*batch, b.const(k, np.dtype(np.int64))))
        size = b.out_extent(w.offset_dims[w.window_dims.index(d)]) if d in w.window_dims else 1
        where[d], fits = window_start(b, component, d, b.extent(0, d), size, mode)
        if fits is not None:
            inside = fits if inside is None else b.and_(inside, fits)
    for axis, d in zip(w.offset_dims, w.window_dims):
        where[d] = b.add(where[d], idx[axis])
    if inside is None:
        return operands[0](tuple(where))
    filler = b.const(_filler(fill_value, aval_out.dtype), aval_out.dtype)
    return b.cond(inside, lambda: [operands[0](tuple(where))], lambda: [filler])[0]


gather_p.def_lowering(Indexed(_gather_pull))


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: str | GatherScatterMode | None = None,
    fill_value: Any = None,
) -> Any:
    """Read a window of ``operand`` for each index vector; see ``GatherDimensionNumbers``.

    Without ``mode``, indices are promised to be in bounds.
    """
    mode = PROMISE if mode is None else GatherScatterMode.from_any(mode)
    fill = None if fill_value is None or mode is not FILL else dtype_of(operand).type(fill_value)
    if fill is not None and fill != fill:
        fill = None
    return gather_p.bind(
        operand,
        start_indices,
        dimension_numbers=GatherDimensionNumbers(*map(tuple, dimension_numbers)),
        slice_sizes=tuple(slice_sizes),
        indices_are_sorted=bool(indices_are_sorted),
        unique_indices=bool(unique_indices),
        mode=mode,
        fill_value=fill,
    )


def take_along_axis(
    x: Any, indices: Any, axis: int, mode: GatherScatterMode = PROMISE, unique: bool = False
) -> Any:
    """Read ``x`` at ``indices`` along one axis; on the others they go together."""
    shape = shape_of(indices)
    indices = broadcast_in_dim(indices, (*shape, 1), range(len(shape)))
    return gather_p.bind(
        x,
        indices,
        dimension_numbers=_along_axis(len(shape), axis),
        slice_sizes=(1,) * len(shape),
        indices_are_sorted=False,
        unique_indices=unique,
        mode=mode,
        fill_value=None,
    )


@functools.cache
def _along_axis(ndim: int, axis: int) -> GatherDimensionNumbers:
    others = tuple(d for d in range(ndim) if d != axis)
    return GatherDimensionNumbers((), (axis,), (axis,), others, others)


def take_rows(x: Any, indices: Any, axis: int, mode: GatherScatterMode = RAISE) -> Any:
    """Read whole slices of ``x`` along one axis, as ``np.take``: the axes of indices go there."""
    shape, places = shape_of(x), shape_of(indices)
    indices = broadcast_in_dim(indices, (*places, 1), range(len(places)))
    return gather_p.bind(
        x,
        indices,
        dimension_numbers=_whole_slices(len(shape), len(places), axis),
        slice_sizes=(*shape[:axis], 1, *shape[axis + 1 :]),
        indices_are_sorted=False,
        unique_indices=False,
        mode=mode,
        fill_value=None,
    )


@functools.cache
def _whole_slices(ndim: int, n_batch: int, axis: int) -> GatherDimensionNumbers:
    offset = (*range(axis), *range(axis + n_batch, ndim - 1 + n_batch))
    return GatherDimensionNumbers(offset, (axis,), (axis,))


# --- scatters in general -----------------------------------------------------------------------


def scatter_windows(x: Any, updates: Any, dnums: ScatterDimensionNumbers) -> Windows:
    """Return the windows that a scatter writes."""
    return Windows.of_scatter(dnums, len(x.shape), updates.shape)


def gather_like(
    ct: Any, indices: Any, updates: Any, dnums: ScatterDimensionNumbers, **params: Any
) -> Any:
    """Read what a scatter would write: the transpose of its updates; 0 for those dropped."""
    return gather_p.bind(
        ct,
        indices,
        dimension_numbers=GatherDimensionNumbers(*dnums),
        slice_sizes=scatter_windows(ct, updates, dnums).sizes,
        fill_value=ct.dtype.type(0) if params["mode"] is FILL else None,
        **params,
    )


def scatter_primitive(
    name: str,
    dtypes: str,
    ufunc: np.ufunc | None,
    combine: Callable[[Any, Any, Any], Any],
    not_linear: str | None = None,
) -> Primitive:
    """Return a scatter with all rules but its derivatives; ``combine`` is its kernel form."""
    primitive = Primitive(name, not_linear=not_linear)

    @primitive.def_impl
    def impl(
        x: Any, indices: Any, updates: Any, *, dimension_numbers: Any, mode: Any, **params: Any
    ) -> Any:
        w = Windows.of_scatter(dimension_numbers, np.ndim(x), np.shape(updates))
        return scatter_numpy(x, indices, updates, w, mode, params["unique_indices"], ufunc)

    @primitive.def_abstract_eval
    def abstract_eval(
        x: ShapedArray,
        indices: ShapedArray,
        updates: ShapedArray,
        *,
        dimension_numbers: ScatterDimensionNumbers,
        mode: GatherScatterMode,
        **params: Any,
    ) -> ShapedArray:
        check_dtypes(name, dtypes, [x])
        check_same_dtype(name, x, updates)
        w = Windows.of_scatter(dimension_numbers, x.ndim, updates.shape)
        w.check(name, x, indices, mode)
        if w.spread_shape(indices.shape) != updates.shape:
            w.complain(name, x, indices, f"the updates have type {updates}.")
        return ShapedArray(x.shape, x.dtype)

    @primitive.def_batching
    def batching(size: int, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
        return _batch_scatter(primitive, size, args, dims, **params), 0

    primitive.def_lowering(_scatter_nest(combine))
    return primitive


def _batch_scatter(
    primitive: Primitive,
    size: int,
    args: Sequence[Any],
    dims: Sequence[Any],
    *,
    dimension_numbers: ScatterDimensionNumbers,
    **params: Any,
) -> Any:
    d = dimension_numbers
    x = lanes_first(size, args[0], dims[0])
    updates = lanes_first(size, args[2], dims[2])
    window, along = shifted(d.update_window_dims), d.scatter_indices_batching_dims
    batching = shifted(d.operand_batching_dims)
    if dims[1] is None:
        indices, window = args[1], (0, *window)
    else:
        indices = lanes_first(size, args[1], dims[1])
        batching, along = (0, *batching), (0, *shifted(along))
    new = ScatterDimensionNumbers(
        window,
        shifted(d.inserted_window_dims),
        shifted(d.scatter_dims_to_operand_dims),
        batching,
        along,
    )
    return primitive.bind(x, indices, updates, dimension_numbers=new, **params)


def _scatter_nest(combine: Callable[[Any, Any, Any], Any]) -> Nest:
    def rule(
        b: Any, ins: Any, outs: Any, scratch: Any, avals_in: Any, avals_out: Any, **params: Any
    ) -> None:
        (x, _, _), (out,) = ins, outs
        for_each(b, x.shape, lambda index: out.store(index, x.load(index)))
        update(b, ins, outs, avals_in, **params)

    def update(
        b: Any,
        ins: Any,
        outs: Any,
        avals_in: Any,
        *,
        dimension_numbers: ScatterDimensionNumbers,
        mode: GatherScatterMode,
        **params: Any,
    ) -> None:
        (x, indices, updates), (out,) = ins, outs
        ndim = len(updates.shape)
        w = Windows.of_scatter(dimension_numbers, x.ndim, avals_in[2].shape)
        batch_dims = w.batch_dims(ndim)

        def one_vector(batch: tuple[Any, ...]) -> None:
            where: list[Any] = [b.const(0, np.dtype(np.int64))] * x.ndim
            for d, e in zip(w.operand_batch, w.indices_batch):
                where[d] = batch[e]
            inside = b.const(True, np.dtype(np.bool_))
            for k, d in enumerate(w.index_map):
                windowed = d in w.window_dims
                size = updates.shape[w.offset_dims[w.window_dims.index(d)]] if windowed else 1
                component = indices.load((*batch, k))
                where[d], fits = window_start(b, component, d, x.shape[d], size, mode)
                inside = inside if fits is None else b.and_(inside, fits)

            def one_element(offset: tuple[Any, ...]) -> None:
                place, source = list(where), [None] * ndim
                for axis, i in zip(batch_dims, batch):
                    source[axis] = i
                for axis, d, i in zip(w.offset_dims, w.window_dims, offset):
                    place[d], source[axis] = b.add(where[d], i), i
                out.store(place, combine(b, out.load(place), updates.load(source)))

            def window() -> list[Any]:
                for_each(b, [updates.shape[axis] for axis in w.offset_dims], one_element)
                return []

            if mode is FILL:
                b.cond(inside, window, list)
            else:
                window()

        for_each(b, [updates.shape[d] for d in batch_dims], one_vector)

    return Nest(rule, update=update)


def bind_scatter(
    primitive: Primitive,
    operand: Any,
    indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    indices_are_sorted: bool,
    unique_indices: bool,
    mode: str | GatherScatterMode | None,
) -> Any:
    """Bind a scatter with its parameters in canonical form."""
    return primitive.bind(
        operand,
        indices,
        updates,
        dimension_numbers=ScatterDimensionNumbers(*map(tuple, dimension_numbers)),
        indices_are_sorted=bool(indices_are_sorted),
        unique_indices=bool(unique_indices),
        mode=GatherScatterMode.from_any(mode),
    )


# --- scatter_add -------------------------------------------------------------------------------

scatter_add_p = scatter_primitive("scatter_add", NUMERIC, np.add, lambda b, x, y: b.add(x, y))


@scatter_add_p.def_jvp
def _scatter_add_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    x, indices, updates = primals
    t_x, _, t_updates = tangents
    out = scatter_add_p.bind(x, indices, updates, **params)
    if t_updates is None:
        return out, t_x
    t_x = full(shape_of(x), 0, dtype_of(x)) if t_x is None else t_x
    return out, scatter_add_p.bind(t_x, indices, t_updates, **params)


@scatter_add_p.def_transpose
def _scatter_add_transpose(
    ct: Any,
    x: Any,
    indices: Any,
    updates: Any,
    *,
    dimension_numbers: ScatterDimensionNumbers,
    **params: Any,
) -> Any:
    ct_x = ct if is_linear(x) else None
    if not is_linear(updates):
        return [ct_x, None, None]
    return [ct_x, None, gather_like(ct, indices, updates, dimension_numbers, **params)]


def scatter_add(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Any:
    """Add each window of ``updates`` to ``operand``; see ``ScatterDimensionNumbers``."""
    return bind_scatter(
        scatter_add_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )
