"""argsort: the stable order of each row, NaN last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import Nest
from functrace.core.trace import Primitive
from functrace.errors import ShapeError, compose
from functrace.ops.families import ANY, check_dtypes
from functrace.ops.nests import unit_index
from functrace.ops.radix_order import PASSES, OrderSpace, has_bits, order_by_bits
from functrace.ops.sort_kernels import merge_sort, precedes, rows_of
from functrace.ops.structural import move_axis

__all__ = ["argsort"]

INT64 = np.dtype(np.int64)

argsort_p = Primitive("argsort", not_differentiable="integer output")


@argsort_p.def_impl
def _argsort_impl(x: Any) -> Any:
    return np.argsort(x, -1, kind="stable")


@argsort_p.def_abstract_eval
def _argsort_type(x: ShapedArray) -> ShapedArray:
    check_dtypes("argsort", ANY, [x])
    if not x.ndim:
        raise ShapeError(
            compose(f"argsort got an operand of type {x}.", "it sorts along the last axis.")
        )
    return ShapedArray(x.shape, INT64)


@argsort_p.def_batching
def _argsort_batching(size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    return argsort_p.bind(move_axis(args[0], dims[0], 0)), 0


#: Shorter rows, and those whose order isn't that of their bits, are merged.
_SHORT = 40
#: Rows from this length on are sorted by digits of more bits: fewer numbers are alike in them.
_LONG, _DIGIT, _LONG_DIGIT = 1 << 14, 8, 11
#: Places are kept in 32 bits.
_LONGEST = 1 << 31
#: Rows are shared in so many parts, each with room of its own.
_PARTS = 16
#: About how many scalar operations a number takes.
_WORK = 40


def _by_bits(x: ShapedArray) -> bool:
    return has_bits(x.dtype) and _SHORT <= x.shape[-1] < _LONGEST


def _digit(x: ShapedArray) -> int:
    return _LONG_DIGIT if x.shape[-1] >= _LONG else _DIGIT


def _rows(x: ShapedArray) -> int:
    return x.size // max(x.shape[-1], 1)


def _argsort_units(avals_in: Any, avals_out: Any) -> tuple[int, int]:
    (x,) = avals_in
    parts = min(_rows(x), _PARTS)
    return parts, _WORK * x.size // max(parts, 1)


def _argsort_scratch(avals_in: Any) -> list[Any]:
    (x,) = avals_in
    parts, n = min(_rows(x), _PARTS), x.shape[-1]
    if not _by_bits(x):
        return [((parts, n), INT64)]
    words = ((parts, n), np.dtype(np.uint64))
    return [words, words, ((parts, PASSES << _digit(x)), np.dtype(np.uint32))]


def _argsort_nest(b: Any, ins: Any, outs: Any, scratch: Any, avals_in: Any, avals_out: Any) -> None:
    (x,), (out,), (aval,) = ins, outs, avals_in
    *others, n = x.shape
    parts = scratch[0].shape[0]

    def row(part: Any, index: tuple[Any, ...]) -> None:
        rooms = [_line(ref, part) for ref in scratch]
        if _by_bits(aval):
            space = OrderSpace(rooms[0], rooms[1], rooms[2], _line(out, *index))
            order_by_bits(b, n, lambda i: x.load((*index, i)), space, _digit(aval))
        else:
            _merge(b, x, out, scratch[0], part, index)

    def some_rows(part: Any) -> None:
        rows = b.const(1, INT64)
        for extent in others:
            rows = b.mul(rows, extent)
        first, stop = (b.index_div(b.mul(rows, k), parts) for k in (part, b.add(part, 1)))
        if others:
            b.loop(first, stop, lambda r: row(part, unit_index(b, r, others)))
        else:
            row(part, ())

    if aval.size:
        b.loop(*b.part(parts), some_rows)


def _line(ref: Any, *index: Any) -> tuple[Any, Any]:
    """Return how to read and write element i of a line."""
    return lambda i: ref.load((*index, i)), lambda i, value: ref.store((*index, i), value)


def _merge(b: Any, x: Any, out: Any, room: Any, part: Any, index: tuple[Any, ...]) -> None:
    """Emit the stable order of a row, by comparing."""

    def comes_first(xs: Any, ys: Any) -> Any:
        return precedes(b, x.load((*index, xs[0])), x.load((*index, ys[0])))

    here = rows_of([out], lambda i: (*index, i))
    b.loop(0, x.shape[-1], lambda i: out.store((*index, i), i))
    merge_sort(b, x.shape[-1], here, rows_of([room], lambda i: (part, i)), comes_first)


argsort_p.def_lowering(Nest(_argsort_nest, _argsort_scratch, split=_argsort_units))


def argsort(x: Any, axis: int) -> Any:
    """Return the order that sorts ``x`` along one axis, stably, as int64."""
    last = len(shape_of(x)) - 1
    return move_axis(argsort_p.bind(move_axis(x, axis, last)), last, axis)
