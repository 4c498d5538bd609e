"""Reductions over sliding windows: reduce_window_sum, reduce_window_max, reduce_window_min.

The derivative of a sum over windows is one, too, with strides and dilation of the base exchanged.
That of an extreme goes to one element of each window: the first, in C order, that equals it (the
first NaN, if there is one), as pooling layers usually do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import Nest
from functrace.core.trace import Primitive
from functrace.errors import ShapeError, compose
from functrace.ops.arithmetic import mul, sub
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.convolution import padding_pairs, source_place
from functrace.ops.creation import full, iota
from functrace.ops.dimension_numbers import GatherDimensionNumbers, GatherScatterMode
from functrace.ops.families import ANY, NUMERIC, check_dtypes
from functrace.ops.indexing import gather
from functrace.ops.joining import pad_p
from functrace.ops.logical import ge, select
from functrace.ops.nests import fold_each, share_each
from functrace.ops.reductions import beats, highest, lowest
from functrace.ops.structural import move_axis, reshape
from functrace.ops.window_sizes import Padding, Sizes, dilated, window_places

__all__ = ["reduce_window_max", "reduce_window_min", "reduce_window_sum"]

INT64 = np.dtype(np.int64)


class Window:
    """Where windows lie: the parameters that all primitives here have, one number per axis."""

    def __init__(
        self,
        window_dimensions: Sizes,
        window_strides: Sizes,
        padding: Padding,
        base_dilation: Sizes,
        window_dilation: Sizes,
    ) -> None:
        self.sizes = window_dimensions
        self.strides = window_strides
        self.padding = padding
        self.base = base_dilation
        self.step = window_dilation

    def out_shape(self, shape: Sizes) -> Sizes:
        """Return how many windows there are along each axis."""
        lows, highs = [lo for lo, _ in self.padding], [hi for _, hi in self.padding]
        places = map(
            window_places, shape, self.sizes, self.strides, lows, highs, self.base, self.step
        )
        return tuple(places)

    def views(self, x: Any, filler: Any) -> Iterator[Any]:
        """Yield, for each place of the window in C order, what all windows see there."""
        config = tuple((lo, hi, base - 1) for (lo, hi), base in zip(self.padding, self.base))
        out_shape = self.out_shape(x.shape)
        if any(map(any, config)):
            assert pad_p.impl is not None
            x = np.asarray(pad_p.impl(x, filler, padding_config=config))
        for offset in itertools.product(*map(range, self.sizes)):
            cut = []
            for k, step, stride, m in zip(offset, self.step, self.strides, out_shape):
                cut.append(slice(k * step, k * step + (m - 1) * stride + 1 if m else 0, stride))
            yield x[tuple(cut)]

    def fold(self, b: Any, ref: Any, index: Any, inits: Sequence[Any], body: Any) -> list[Any]:
        """Emit a fold ``accs = body(place, *accs)`` over the elements a window sees."""

        def step(offset: tuple[Any, ...], *accs: Any) -> list[Any]:
            at, inside = [], None
            for d, (i, k) in enumerate(zip(index, offset)):
                where, fits = source_place(
                    b,
                    i,
                    k,
                    self.strides[d],
                    self.padding[d][0],
                    self.base[d],
                    self.step[d],
                    ref.shape[d],
                )
                at.append(where)
                if self.base[d] > 1 or max(self.padding[d]) > 0:
                    inside = fits if inside is None else b.and_(inside, fits)
            if inside is None:
                return list(body(tuple(at), *accs))
            result: list[Any] = b.cond(
                inside, lambda: list(body(tuple(at), *accs)), lambda: list(accs)
            )
            return result

        # Short loops of a known length are unrolled.
        extents = [n if n <= 4 else b.param_int(n) for n in self.sizes]
        return fold_each(b, extents, inits, step)

    def batched(self, dim: int) -> dict[str, Any]:
        """Return the parameters with one more axis, which the window doesn't cross."""

        def put(values: tuple[Any, ...], new: Any) -> tuple[Any, ...]:
            return (*values[:dim], new, *values[dim:])

        return {
            "window_dimensions": put(self.sizes, 1),
            "window_strides": put(self.strides, 1),
            "padding": put(self.padding, (0, 0)),
            "base_dilation": put(self.base, 1),
            "window_dilation": put(self.step, 1),
        }


def _typed(primitive: Primitive, dtypes: str, out_dtype: np.dtype[Any] | None = None) -> None:
    """Give a primitive over windows its type."""

    @primitive.def_abstract_eval
    def abstract_eval(x: ShapedArray, **params: Any) -> ShapedArray:
        check_dtypes(primitive.name, dtypes, [x])
        w = Window(**params)
        entries = [w.sizes, w.strides, w.padding, w.base, w.step]
        positive = min((*w.sizes, *w.strides, *w.base, *w.step), default=1) > 0
        if any(len(e) != x.ndim for e in entries) or not positive:
            raise ShapeError(
                compose(
                    f"{primitive.name} got an operand of type {x} and {params}.",
                    "each has one entry per axis; sizes, strides and dilations are positive.",
                )
            )
        return ShapedArray(w.out_shape(x.shape), x.dtype if out_dtype is None else out_dtype)


def _each_place(b: Any, shape: Sequence[Any], body: Callable[[tuple[Any, ...]], None]) -> None:
    """Emit ``body(index)`` for each window; threads share the rows of them."""
    if not shape:
        body(())
        return
    share_each(b, shape[:-1], lambda row: b.loop(0, shape[-1], lambda i: body((*row, i))))


def _units(avals_in: Any, avals_out: Any, **params: Any) -> tuple[int, int]:
    """Return how many rows of windows there are, and the work of each."""
    (out,), window = avals_out, math.prod(params["window_dimensions"])
    if not out.shape:
        return 1, window
    return math.prod(out.shape[:-1]), 4 * window * out.shape[-1]


def _window_reduction(
    name: str,
    dtypes: str,
    ufunc: np.ufunc,
    identity: Callable[[np.dtype[Any]], Any],
    combine: Callable[[Any, Any, Any], Any],
    not_linear: str | None = None,
) -> Primitive:
    primitive = Primitive(name, not_linear=not_linear)

    @primitive.def_impl
    def impl(x: Any, **params: Any) -> Any:
        x, w = np.asarray(x), Window(**params)
        start = identity(x.dtype)
        out = np.full(w.out_shape(x.shape), start)
        for view in w.views(x, start):
            ufunc(out, view, out=out)
        return out[()]

    _typed(primitive, dtypes)

    @primitive.def_batching
    def batching(size: int, args: Sequence[Any], dims: Sequence[int], **params: Any) -> Any:
        return primitive.bind(args[0], **Window(**params).batched(dims[0])), dims[0]

    def nest(
        b: Any, ins: Any, outs: Any, scratch: Any, avals_in: Any, avals_out: Any, **params: Any
    ) -> None:
        (x,), (out,), w = ins, outs, Window(**params)
        start = b.const(identity(x.dtype), x.dtype)

        def place(index: tuple[Any, ...]) -> None:
            total = w.fold(b, x, index, [start], lambda at, acc: [combine(b, acc, x.load(at))])
            out.store(index, total[0])

        _each_place(b, out.shape, place)

    primitive.def_lowering(Nest(nest, split=_units))
    return primitive


# --- sum ---------------------------------------------------------------------------------------

reduce_window_sum_p = _window_reduction(
    "reduce_window_sum",
    NUMERIC,
    np.add,
    lambda dtype: dtype.type(0),
    lambda b, acc, x: b.add(acc, x),
)


@reduce_window_sum_p.def_jvp_each
def _reduce_window_sum_jvp(t: Any, out: Any, x: Any, **params: Any) -> Any:
    return reduce_window_sum_p.bind(t, **params)


@reduce_window_sum_p.def_transpose
def _reduce_window_sum_transpose(ct: Any, x: Any, **params: Any) -> Any:
    """Element i is in window p at place k if i * base = p * stride + k * step - lo."""
    if 0 in ct.shape or 0 in x.shape:
        return [full(x.shape, 0, ct.dtype)]
    w = Window(**params)
    pads = []
    for n, m, size, stride, (lo, _), base, step in zip(
        x.shape, ct.shape, w.sizes, w.strides, w.padding, w.base, w.step
    ):
        before = dilated(size, step) - 1 - lo
        pads.append(
            (before, dilated(n, base) + dilated(size, step) - 1 - dilated(m, stride) - before)
        )
    out = reduce_window_sum_p.bind(
        ct,
        window_dimensions=w.sizes,
        window_strides=w.base,
        padding=tuple(pads),
        base_dilation=w.strides,
        window_dilation=w.step,
    )
    return [out]


# --- max, min ----------------------------------------------------------------------------------


def _arg_window(name: str, greatest: bool) -> Primitive:
    """Return the primitive that gives the flat index of each window's extreme, -1 for none."""
    primitive = Primitive(name, not_differentiable="integer output")

    @primitive.def_impl
    def impl(x: Any, **params: Any) -> Any:
        x, w = np.asarray(x), Window(**params)
        numbers = np.arange(x.size).reshape(x.shape)
        views = zip(w.views(x, x.dtype.type(0)), w.views(numbers, -1))
        best, where = (np.array(first) for first in next(views))
        padded = any(map(any, w.padding)) or any(d != 1 for d in w.base)
        for values, places in views:
            better = values > best if greatest else values < best
            if x.dtype.kind in "fc":
                better = (better | np.isnan(values)) & ~np.isnan(best)
            if padded:
                better = (places >= 0) & (better | (where < 0))
            np.copyto(best, values, where=better)
            np.copyto(where, places, where=better)
        return where[()]

    _typed(primitive, ANY, INT64)

    @primitive.def_batching
    def batching(size: int, args: Sequence[Any], dims: Sequence[int], **params: Any) -> Any:
        x = move_axis(args[0], dims[0], 0)
        where = primitive.bind(x, **Window(**params).batched(0))
        lane = int(np.prod(x.shape[1:], dtype=np.int64))
        first = mul(iota(INT64, size), np.int64(lane))
        inside = sub(where, broadcast_in_dim(first, where.shape, (0,)))
        return select(ge(where, np.int64(0)), inside, np.int64(-1)), 0

    def nest(
        b: Any, ins: Any, outs: Any, scratch: Any, avals_in: Any, avals_out: Any, **params: Any
    ) -> None:
        (x,), (out,), w = ins, outs, Window(**params)
        none = b.const(-1, INT64)

        def place(index: tuple[Any, ...]) -> None:
            def step(at: tuple[Any, ...], best: Any, where: Any) -> list[Any]:
                value = x.load(at)
                wins = b.or_(b.lt(where, 0), beats(b, value, best, greatest))
                number = b.const(0, INT64)
                for i, n in zip(at, x.shape):
                    number = b.add(b.mul(number, n), i)
                return [b.select(wins, value, best), b.select(wins, number, where)]

            zero = b.const(0, x.dtype)
            out.store(index, w.fold(b, x, index, [zero, none], step)[1])

        _each_place(b, out.shape, place)

    primitive.def_lowering(Nest(nest, split=_units))
    return primitive


def _extreme_jvp(arg_primitive: Primitive) -> Any:
    def rule(t: Any, out: Any, x: Any, **params: Any) -> Any:
        where = arg_primitive.bind(x, **params)
        shape = shape_of(where)
        line = reshape(t, (int(np.prod(x.shape, dtype=np.int64)),))
        indices = broadcast_in_dim(where, (*shape, 1), range(len(shape)))
        dnums = GatherDimensionNumbers((), (0,), (0,))
        mode = GatherScatterMode.FILL_OR_DROP
        return gather(line, indices, dnums, (1,), mode=mode, fill_value=0)

    return rule


ONE_ELEMENT = "its tangent is a gather"

reduce_window_max_p = _window_reduction(
    "reduce_window_max", ANY, np.maximum, lowest, lambda b, acc, x: b.maximum(acc, x), ONE_ELEMENT
)
reduce_window_min_p = _window_reduction(
    "reduce_window_min", ANY, np.minimum, highest, lambda b, acc, x: b.minimum(acc, x), ONE_ELEMENT
)
reduce_window_argmax_p = _arg_window("reduce_window_argmax", greatest=True)
reduce_window_argmin_p = _arg_window("reduce_window_argmin", greatest=False)
reduce_window_max_p.def_jvp_each(_extreme_jvp(reduce_window_argmax_p))
reduce_window_min_p.def_jvp_each(_extreme_jvp(reduce_window_argmin_p))


# --- functions ---------------------------------------------------------------------------------


def _bind(
    primitive: Primitive,
    operand: Any,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None,
    padding: Any,
    base_dilation: Sequence[int] | None,
    window_dilation: Sequence[int] | None,
) -> Any:
    shape = shape_of(operand)
    ones = (1,) * len(shape)
    sizes = tuple(window_dimensions)
    strides = ones if window_strides is None else tuple(window_strides)
    base = ones if base_dilation is None else tuple(base_dilation)
    step = ones if window_dilation is None else tuple(window_dilation)
    return primitive.bind(
        operand,
        window_dimensions=sizes,
        window_strides=strides,
        padding=padding_pairs(padding, shape, sizes, strides, base, step),
        base_dilation=base,
        window_dilation=step,
    )


def reduce_window_sum(
    operand: Any,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """Sum over windows that slide along every axis; padding counts as 0."""
    return _bind(
        reduce_window_sum_p,
        operand,
        window_dimensions,
        window_strides,
        padding,
        base_dilation,
        window_dilation,
    )


def reduce_window_max(
    operand: Any,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """Greatest element of windows that slide along every axis; padding never wins."""
    return _bind(
        reduce_window_max_p,
        operand,
        window_dimensions,
        window_strides,
        padding,
        base_dilation,
        window_dilation,
    )


def reduce_window_min(
    operand: Any,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """Least element of windows that slide along every axis; padding never wins."""
    return _bind(
        reduce_window_min_p,
        operand,
        window_dimensions,
        window_strides,
        padding,
        base_dilation,
        window_dilation,
    )
