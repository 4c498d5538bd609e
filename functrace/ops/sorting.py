"""sort, of several arrays by the first few of them, and top_k. Always stable; NaN comes last."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import Nest, Place, Routines, RowRoutine
from functrace.core.trace import Primitive
from functrace.errors import ShapeError, compose
from functrace.ops.argsorting import argsort
from functrace.ops.creation import iota
from functrace.ops.families import ANY, check_dtypes
from functrace.ops.indexing import take_along_axis
from functrace.ops.nests import for_each, for_each_row, moving_axis
from functrace.ops.sort_kernels import (
    COUNTERS,
    MANY,
    Load,
    Store,
    Values,
    has_digits,
    merge_sort,
    precedes,
    radix_sort,
    row_precedes,
    rows_of,
)
from functrace.ops.structural import lanes_first, move_axis

__all__ = ["sort", "top_k"]

INT64 = np.dtype(np.int64)

# --- sort --------------------------------------------------------------------------------------

sort_p = Primitive("sort", multiple_results=True, not_linear="its tangent is a gather")


@sort_p.def_impl
def _sort_impl(*xs: Any, dimension: int, num_keys: int, is_stable: bool) -> list[Any]:
    if len(xs) == 1:
        # Equal values are the same whatever their order, so the fastest way is stable enough.
        return [np.sort(xs[0], dimension)]
    if num_keys == 1:
        order = np.argsort(xs[0], dimension, kind="stable")
    else:
        order = np.lexsort(xs[num_keys - 1 :: -1], dimension)
    return [np.take_along_axis(x, order, dimension) for x in xs]


@sort_p.def_abstract_eval
def _sort_type(
    *xs: ShapedArray, dimension: int, num_keys: int, is_stable: bool
) -> list[ShapedArray]:
    for x in xs:
        check_dtypes("sort", ANY, [x])
    fits = xs and all(x.shape == xs[0].shape for x in xs) and 0 <= dimension < xs[0].ndim
    if not fits or not 1 <= num_keys <= len(xs):
        raise ShapeError(
            compose(
                f"sort got operands of types {', '.join(map(str, xs))}, dimension={dimension} "
                f"and num_keys={num_keys}.",
                "operands have one shape and that axis, and the first num_keys of them are keys.",
            )
        )
    return [ShapedArray(x.shape, x.dtype) for x in xs]


@sort_p.def_jvp
def _sort_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, dimension: int, **params: Any
) -> Any:
    # Where each element came from is where its tangent is.
    outs, order = _sort_with_order(primals, dimension, **params)
    moved = [
        None if t is None else take_along_axis(t, order, dimension, unique=True) for t in tangents
    ]
    return outs, moved


def _sort_with_order(
    xs: Sequence[Any], dimension: int, num_keys: int, is_stable: bool
) -> tuple[list[Any], Any]:
    """Return sorted arrays, and the order that sorts them."""
    if num_keys == 1:
        order = argsort(xs[0], dimension)
        return [take_along_axis(x, order, dimension, unique=True) for x in xs], order
    places = iota(INT64, shape_of(xs[0]), dimension)
    params = {"dimension": dimension, "num_keys": num_keys, "is_stable": is_stable}
    *outs, order = sort_p.bind(*xs, places, **params)
    return outs, order


@sort_p.def_batching
def _sort_batching(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, dimension: int, **params: Any
) -> Any:
    lanes = [lanes_first(size, x, d) for x, d in zip(args, dims)]
    return sort_p.bind(*lanes, dimension=dimension + 1, **params), [0] * len(lanes)


# A row of at most this many numbers is sorted by insertion.
SHORT = 16


def _sort_plan(
    avals_in: Sequence[ShapedArray],
    avals_out: Sequence[ShapedArray],
    integer: np.dtype[Any],
    *,
    dimension: int,
    num_keys: int,
    is_stable: bool,
) -> Any:
    x, n = avals_in[0], avals_in[0].shape[dimension]
    if n <= SHORT or not x.size:
        return [], [functools.partial(_sort_by_insertion, axis=dimension, num_keys=num_keys)]
    if len(avals_in) == 1:
        return _values_plan(x, dimension)
    rule = functools.partial(_sort_rows, axis=dimension, num_keys=num_keys)
    return [*(((n,), a.dtype) for a in avals_in), ((COUNTERS,), INT64)], [rule]


def _values_plan(x: ShapedArray, axis: int) -> Any:
    """Plan to sort one array: NumPy sorts rows, those of other axes aside."""
    n, last = x.shape[axis], x.ndim - 1
    scratch = [((n,), x.dtype), ((COUNTERS,), INT64)]
    if axis == last:
        rule = functools.partial(_sort_rows, axis=axis, num_keys=1)
        rows = RowRoutine("sort", Place("in", 0), Place("out", 0), x.size // n, n, rule)
        return scratch, [rows]
    aside = Place("scratch", 2)
    inside = functools.partial(_sort_rows, axis=last, num_keys=1, where=2)
    return [*scratch, (_moved(x, axis), x.dtype)], [
        functools.partial(_axis_aside, axis=axis, where=2),
        RowRoutine("sort", aside, aside, x.size // n, n, inside),
        functools.partial(_axis_back, axis=axis, where=2),
    ]


def _moved(x: ShapedArray, axis: int) -> tuple[int, ...]:
    return (*x.shape[:axis], *x.shape[axis + 1 :], x.shape[axis])


def _axis_aside(b: Any, ins: Any, outs: Any, scratch: Any, *, axis: int, where: int) -> None:
    """Emit a copy of the first operand, with an axis last."""
    aside = scratch[where]
    moving_axis(b, ins[0].shape, axis, lambda at, moved: aside.store(moved, ins[0].load(at)))


def _axis_back(b: Any, ins: Any, outs: Any, scratch: Any, *, axis: int, where: int) -> None:
    """Emit a copy of what was sorted aside to the result."""
    aside = scratch[where]
    moving_axis(b, ins[0].shape, axis, lambda at, moved: outs[0].store(at, aside.load(moved)))


def _sort_by_insertion(
    b: Any, ins: Any, outs: Any, scratch: Any, *, axis: int, num_keys: int
) -> None:
    def row(at: Callable[[Any], Any]) -> None:
        (load, _), (get, put) = rows_of(ins, at), rows_of(outs, at)

        def insert(i: Any) -> None:
            values = load(i)

            def later(j: Any) -> Any:
                left = get(b.maximum(b.sub(j, 1), 0))
                return b.and_(b.gt(j, 0), row_precedes(b, values, left, num_keys))

            def shift(j: Any) -> list[Any]:
                put(j, get(b.sub(j, 1)))
                return [b.sub(j, 1)]

            (place,) = b.while_(later, shift, [i])
            put(place, values)

        b.loop(0, ins[0].shape[axis], insert)

    for_each_row(b, ins[0].shape, axis, row)


def _sort_rows(
    b: Any, ins: Any, outs: Any, scratch: Any, *, axis: int, num_keys: int, where: int | None = None
) -> None:
    """Emit the sorting of what was copied to the results, or of a temporary."""
    given = outs if where is None else [scratch[where]]
    shape, count = given[0].shape, len(given)
    n = shape[axis]
    aside = rows_of(scratch[:count], lambda i: (i,))
    if where is None:
        for x, out in zip(ins, outs):
            for_each(b, shape, lambda index, x=x, out=out: out.store(index, x.load(index)))  # type: ignore[misc]

    def row(at: Callable[[Any], Any]) -> None:
        here = rows_of(given, at)

        def merge() -> list[Any]:
            merge_sort(b, n, here, aside, lambda xs, ys: row_precedes(b, xs, ys, num_keys))
            return []

        def radix() -> list[Any]:
            for k in reversed(range(num_keys)):
                radix_sort(b, n, here, aside, k, given[k].dtype, scratch[count])
            return []

        if all(has_digits(x.dtype) for x in given[:num_keys]):
            b.cond(b.ge(n, MANY), radix, merge)
        else:
            merge()

    for_each_row(b, shape, axis, row)


sort_p.def_lowering(Routines(_sort_plan))


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """Sort along one axis; several arrays together, by the first ``num_keys`` of them."""
    xs = tuple(operand) if isinstance(operand, (tuple, list)) else (operand,)
    dimension %= max(len(shape_of(xs[0])), 1)
    alike = shape_of(xs[0]) and len({shape_of(x) for x in xs}) == 1
    if num_keys == 1 and len(xs) > 1 and alike:
        outs, _ = _sort_with_order(xs, dimension, num_keys, is_stable)
    else:
        outs = sort_p.bind(*xs, dimension=dimension, num_keys=num_keys, is_stable=bool(is_stable))
    return tuple(outs) if isinstance(operand, (tuple, list)) else outs[0]


# --- top_k -------------------------------------------------------------------------------------

top_k_p = Primitive("top_k", multiple_results=True, not_linear="its tangent is a gather")


@top_k_p.def_impl
def _top_k_impl(x: Any, *, k: int) -> list[Any]:
    # Stable from the back, then reversed: NaN and the greatest first, of equals the first first.
    last = x.shape[-1] - 1
    order = last - np.argsort(x[..., ::-1], -1, kind="stable")[..., ::-1][..., :k]
    return [np.take_along_axis(x, order, -1), order]


@top_k_p.def_abstract_eval
def _top_k_type(x: ShapedArray, *, k: int) -> list[ShapedArray]:
    check_dtypes("top_k", ANY, [x])
    if x.ndim == 0 or not 0 <= k <= x.shape[-1]:
        raise ShapeError(
            compose(
                f"top_k got k={k} for an operand of type {x}.",
                "k lies between 0 and the size of the last axis.",
            )
        )
    shape = (*x.shape[:-1], k)
    return [ShapedArray(shape, x.dtype), ShapedArray(shape, INT64)]


@top_k_p.def_jvp
def _top_k_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, k: int) -> Any:
    values, order = top_k_p.bind(*primals, k=k)
    axis = len(shape_of(primals[0])) - 1
    return [values, order], [take_along_axis(tangents[0], order, axis, unique=True), None]


@top_k_p.def_batching
def _top_k_batching(size: int, args: Sequence[Any], dims: Sequence[Any], *, k: int) -> Any:
    return top_k_p.bind(move_axis(args[0], dims[0], 0), k=k), [0, 0]


# Up to this many are kept sorted while a row is read; beyond it the row is sorted.
FEW = 64


def _comes_first(b: Any) -> Callable[[Values, Values], Any]:
    return lambda xs, ys: precedes(b, ys[0], xs[0])


def _top_k_nest(
    b: Any,
    ins: Any,
    outs: Any,
    scratch: Any,
    avals_in: Any,
    avals_out: Any,
    *,
    k: int,
) -> None:
    (x,), n = ins, ins[0].shape[-1]

    def few(index: tuple[Any, ...]) -> None:
        keep_greatest(b, n, outs[0].shape[-1], x, *rows_of(outs, lambda i: (*index, i)), index)

    def many(index: tuple[Any, ...]) -> None:
        here, aside = (rows_of(two, lambda i: (i,)) for two in (scratch[:2], scratch[2:]))
        load, store = here
        b.loop(0, n, lambda i: store(i, [x.load((*index, i)), i]))
        merge_sort(b, n, here, aside, _comes_first(b))
        _, put = rows_of(outs, lambda i: (*index, i))
        b.loop(0, outs[0].shape[-1], lambda i: put(i, load(i)))

    if k:
        for_each(b, x.shape[:-1], few if k <= FEW else many)


def keep_greatest(
    b: Any, n: Any, k: Any, x: Any, load: Load, store: Store, index: tuple[Any, ...]
) -> None:
    """Emit: read n elements of a row, and insert each that belongs to the k greatest so far."""
    comes_first = _comes_first(b)

    def read(i: Any) -> None:
        row = [x.load((*index, i)), i]
        last = b.minimum(i, b.sub(k, 1))
        # While there is room, ``last`` is free; then it is the least of those kept.
        belongs = b.or_(b.lt(i, k), comes_first(row, load(last)))

        def later(j: Any) -> Any:
            left = load(b.maximum(b.sub(j, 1), 0))
            return b.and_(b.gt(j, 0), comes_first(row, left))

        def shift(j: Any) -> list[Any]:
            store(j, load(b.sub(j, 1)))
            return [b.sub(j, 1)]

        def insert() -> list[Any]:
            (place,) = b.while_(later, shift, [last])
            store(place, row)
            return []

        b.cond(belongs, insert, list)

    b.loop(0, n, read)


def _top_k_scratch(avals_in: Any, *, k: int) -> list[Any]:
    (x,) = avals_in
    pair = [((x.shape[-1],), x.dtype), ((x.shape[-1],), INT64)]
    return pair + pair if k > FEW else []


top_k_p.def_lowering(Nest(_top_k_nest, _top_k_scratch))


def top_k(operand: Any, k: int) -> tuple[Any, Any]:
    """Return the k greatest along the last axis, in falling order, and where they are."""
    values, order = top_k_p.bind(operand, k=int(k))
    return values, order
