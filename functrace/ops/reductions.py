"""Reductions that pick or combine: max, min, and, or, xor; argmax and argmin."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray
from functrace.core.lowering import Place, Reduction, Routines, RowRoutine
from functrace.core.trace import Primitive
from functrace.dtypes import canonical_dtype
from functrace.errors import ShapeError, compose
from functrace.ops.arithmetic import div, mul
from functrace.ops.bitwise import bitwise_or
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.creation import convert_element_type
from functrace.ops.families import ANY, BITS, kept_axes, reduction
from functrace.ops.logical import eq, is_nan
from functrace.ops.nests import for_each

__all__ = [
    "argmax",
    "argmin",
    "highest",
    "lowest",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_xor",
]

PIECEWISE = "its tangent is a sum over the chosen elements"

# --- max and min -------------------------------------------------------------------------------


def lowest(dtype: np.dtype[Any]) -> Any:
    """Return the least value of a dtype, from which a maximum starts."""
    if dtype.kind in "iu":
        return dtype.type(np.iinfo(dtype).min)
    if dtype.kind == "c":
        return dtype.type(complex(-np.inf, -np.inf))
    return dtype.type(False if dtype.kind == "b" else -np.inf)


def highest(dtype: np.dtype[Any]) -> Any:
    """Return the greatest value of a dtype, from which a minimum starts."""
    if dtype.kind in "iu":
        return dtype.type(np.iinfo(dtype).max)
    if dtype.kind == "c":
        return dtype.type(complex(np.inf, np.inf))
    return dtype.type(True if dtype.kind == "b" else np.inf)


def _extreme_impl(ufunc: np.ufunc, identity: Callable[[np.dtype[Any]], Any]) -> Any:
    def impl(x: Any, *, axes: tuple[int, ...]) -> Any:
        if x.size:
            return ufunc.reduce(x, axis=axes)
        return ufunc.reduce(x, axis=axes, initial=identity(x.dtype))

    return impl


reduce_max_p = reduction(
    "reduce_max",
    _extreme_impl(np.maximum, lowest),
    ANY,
    Reduction(
        combine=lambda b, acc, x, **params: b.maximum(acc, x),
        identity=lambda dtype, **params: lowest(dtype),
    ),
    not_linear=PIECEWISE,
)
reduce_min_p = reduction(
    "reduce_min",
    _extreme_impl(np.minimum, highest),
    ANY,
    Reduction(
        combine=lambda b, acc, x, **params: b.minimum(acc, x),
        identity=lambda dtype, **params: highest(dtype),
    ),
    not_linear=PIECEWISE,
)


def _extreme_jvp(t: Any, out: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    # The mean of the tangents where the extreme is taken: ties share evenly. A NaN is not equal
    # to itself, yet it is what was chosen.
    if 0 in x.shape:
        return reduce_sum(t, axes)
    wide = broadcast_in_dim(out, x.shape, kept_axes(len(x.shape), axes))
    chosen = bitwise_or(eq(x, wide), is_nan(x))
    weights = convert_element_type(chosen, out.dtype)
    count = reduce_sum(weights, axes)
    return div(reduce_sum(mul(t, weights), axes), count)


reduce_max_p.def_jvp_each(_extreme_jvp)
reduce_min_p.def_jvp_each(_extreme_jvp)


def reduce_max(x: Any, axes: Sequence[int]) -> Any:
    """Greatest element over ``axes``; NaN if there is one, the least value if there is none."""
    axes = tuple(axes)
    return reduce_max_p.bind(x, axes=axes) if axes else x


def reduce_min(x: Any, axes: Sequence[int]) -> Any:
    """Least element over ``axes``; NaN if there is one, the greatest value if there is none."""
    axes = tuple(axes)
    return reduce_min_p.bind(x, axes=axes) if axes else x


# --- and, or, xor ------------------------------------------------------------------------------


def _bitwise(
    name: str,
    ufunc: np.ufunc,
    combine: Callable[..., Any],
    identity: Callable[[np.dtype[Any]], Any],
) -> Primitive:
    def impl(x: Any, *, axes: tuple[int, ...]) -> Any:
        return ufunc.reduce(x, axis=axes, initial=identity(x.dtype))

    return reduction(
        name,
        impl,
        BITS,
        Reduction(combine=combine, identity=lambda dtype, **params: identity(dtype)),
        not_differentiable="integer output",
    )


def _all_ones(dtype: np.dtype[Any]) -> Any:
    return np.invert(dtype.type(0))


def _zero(dtype: np.dtype[Any]) -> Any:
    return dtype.type(0)


reduce_and_p = _bitwise(
    "reduce_and", np.bitwise_and, lambda b, acc, x, **params: b.and_(acc, x), _all_ones
)
reduce_or_p = _bitwise("reduce_or", np.bitwise_or, lambda b, acc, x, **params: b.or_(acc, x), _zero)
reduce_xor_p = _bitwise(
    "reduce_xor", np.bitwise_xor, lambda b, acc, x, **params: b.xor(acc, x), _zero
)


def reduce_and(x: Any, axes: Sequence[int]) -> Any:
    """Bitwise (for booleans: logical) and over ``axes``."""
    axes = tuple(axes)
    return reduce_and_p.bind(x, axes=axes) if axes else x


def reduce_or(x: Any, axes: Sequence[int]) -> Any:
    """Bitwise (for booleans: logical) or over ``axes``."""
    axes = tuple(axes)
    return reduce_or_p.bind(x, axes=axes) if axes else x


def reduce_xor(x: Any, axes: Sequence[int]) -> Any:
    """Bitwise (for booleans: logical) exclusive or over ``axes``."""
    axes = tuple(axes)
    return reduce_xor_p.bind(x, axes=axes) if axes else x


# --- argmax and argmin -------------------------------------------------------------------------


def is_nan_in_kernel(b: Any, x: Any) -> Any:
    """Whether a kernel value is NaN; integers and booleans never are."""
    return b.is_nan(x) if x.dtype.kind in "fc" else b.const(False, np.dtype(np.bool_))


def greater_in_kernel(b: Any, x: Any, y: Any) -> Any:
    """Whether x > y in a kernel, booleans included."""
    return b.and_(x, b.not_(y)) if x.dtype.kind == "b" else b.gt(x, y)


def beats(b: Any, x: Any, best: Any, greatest: bool) -> Any:
    """Whether ``x`` replaces ``best`` as the extreme: strictly better, or the first NaN."""
    better = greater_in_kernel(b, x, best) if greatest else greater_in_kernel(b, best, x)
    if x.dtype.kind not in "fc":
        return better
    return b.and_(b.not_(is_nan_in_kernel(b, best)), b.or_(better, is_nan_in_kernel(b, x)))


CHAINS = 4


# Rows from this length on are left to NumPy; fewer elements in all aren't worth a second array.
LONG_ROW, FEW = 64, 512
# A single row from this length on is cut into so many parts, which threads share.
CUT_ROW, PARTS = 1 << 17, 16


def _arg_routines(name: str, greatest: bool) -> Routines:
    def plan(
        avals_in: Sequence[ShapedArray],
        avals_out: Sequence[ShapedArray],
        integer: np.dtype[Any],
        *,
        axis: int,
        index_dtype: np.dtype[Any],
    ) -> Any:
        (x,) = avals_in
        rule = functools.partial(_arg_of_rows, axis=axis, greatest=greatest)
        if axis == x.ndim - 1:
            long = x.shape[axis] >= LONG_ROW and index_dtype == np.int64
            rows = x.size // x.shape[axis]
            if long and rows == 1 and x.size >= CUT_ROW:
                return _arg_of_parts(name, x.size, greatest)
            call = RowRoutine(name, Place("in", 0), Place("out", 0), rows, x.shape[axis], rule)
            return [], [call if long else rule]
        if x.size <= FEW:
            return [], [rule]
        columns = functools.partial(_arg_of_columns, axis=axis, greatest=greatest)
        return [((x.shape[-1],), x.dtype)], [columns]

    return Routines(plan)


def _arg_of_rows(b: Any, ins: Any, outs: Any, scratch: Any, *, axis: int, greatest: bool) -> None:
    """Find the extreme in independent chains, then the first index that holds it (or a NaN)."""
    (x,), (out,) = ins, outs
    n = x.shape[axis]
    better = b.maximum if greatest else b.minimum

    def place(index: tuple[Any, ...]) -> None:
        def at(i: Any) -> Any:
            return x.load((*index[:axis], i, *index[axis:]))

        def blocks(j: Any, *best: Any) -> list[Any]:
            first = b.mul(j, CHAINS)
            return [better(v, at(b.add(first, c))) for c, v in enumerate(best)]

        whole = b.floordiv(n, CHAINS)
        best = b.fold(0, whole, [at(0)] * CHAINS, blocks)
        (extreme,) = b.fold(b.mul(whole, CHAINS), n, [best[0]], lambda i, v: [better(v, at(i))])
        for other in best[1:]:
            extreme = better(extreme, other)

        def searching(i: Any) -> Any:
            value = at(b.minimum(i, b.sub(n, 1)))
            found = b.or_(b.eq(value, extreme), is_nan_in_kernel(b, value))
            return b.and_(b.lt(i, n), b.not_(found))

        start = b.const(0, np.dtype(np.int64))
        (where,) = b.while_(searching, lambda i: [b.add(i, 1)], [start])
        out.store(index, b.cast(where, out.dtype))

    for_each(b, out.shape, place)


def _arg_of_parts(name: str, n: int, greatest: bool) -> Any:
    """Plan to find the extreme of each part of a row, then the first best of those."""
    rule = functools.partial(_arg_of_each, greatest=greatest)
    found = Place("scratch", 0)
    call = RowRoutine(name, Place("in", 0), found, PARTS, n // PARTS, rule)
    return [((PARTS,), np.dtype(np.int64))], [
        call,
        functools.partial(_best_of_parts, greatest=greatest),
    ]


def _best_from(b: Any, x: Any, first: Any, stop: Any, place: Any, greatest: bool) -> Any:
    """Emit: the place of the first extreme, of that at ``place`` and those from first to stop."""

    def step(i: Any, where: Any, best: Any) -> list[Any]:
        value = x.load((*(0 for _ in x.shape[1:]), i))
        wins = beats(b, value, best, greatest)
        return [b.select(wins, i, where), b.select(wins, value, best)]

    start = x.load((*(0 for _ in x.shape[1:]), place))
    return b.fold(first, stop, [place, start], step)[0]


def _arg_of_each(b: Any, ins: Any, outs: Any, scratch: Any, *, greatest: bool) -> None:
    (x,), (found,) = ins, scratch
    length = b.floordiv(x.shape[-1], PARTS)

    def part(k: Any) -> None:
        first = b.mul(k, length)
        place = _best_from(b, x, b.add(first, 1), b.add(first, length), first, greatest)
        found.store((k,), b.sub(place, first))

    b.loop(0, PARTS, part)


def _best_of_parts(b: Any, ins: Any, outs: Any, scratch: Any, *, greatest: bool) -> None:
    (x,), (out,), (found,) = ins, outs, scratch
    length = b.floordiv(x.shape[-1], PARTS)
    zeros = tuple(0 for _ in x.shape[1:])

    def step(k: Any, where: Any, best: Any) -> list[Any]:
        place = b.add(b.mul(k, length), found.load((k,)))
        value = x.load((*zeros, place))
        wins = beats(b, value, best, greatest)
        return [b.select(wins, place, where), b.select(wins, value, best)]

    first = found.load((0,))
    where, _ = b.fold(1, PARTS, [first, x.load((*zeros, first))], step)
    rest = _best_from(b, x, b.mul(length, PARTS), x.shape[-1], where, greatest)
    out.store(tuple(0 for _ in out.shape), rest)


def _arg_of_columns(
    b: Any, ins: Any, outs: Any, scratch: Any, *, axis: int, greatest: bool
) -> None:
    """Read row by row, keeping the extreme of each column so far; columns are vectorised."""
    (x,), (out,), (best,) = ins, outs, scratch

    def plane(index: tuple[Any, ...]) -> None:
        def at(i: Any, j: Any) -> tuple[Any, ...]:
            return (*index[:axis], i, *index[axis:], j)

        def begin(j: Any) -> None:
            best.store((j,), x.load(at(0, j)))
            out.store((*index, j), b.const(0, out.dtype))

        def row(i: Any) -> None:
            number = b.cast(i, out.dtype)

            def column(j: Any) -> None:
                value, kept, place = x.load(at(i, j)), best.load((j,)), (*index, j)
                wins = beats(b, value, kept, greatest)
                best.store((j,), b.select(wins, value, kept))
                out.store(place, b.select(wins, number, out.load(place)))

            b.loop(0, x.shape[-1], column)

        b.loop(0, x.shape[-1], begin)
        b.loop(1, x.shape[axis], row)

    for_each(b, out.shape[:-1], plane)


def _arg_reduction(name: str, function: Callable[..., Any], greatest: bool) -> Primitive:
    primitive = Primitive(name, not_differentiable="integer output")

    @primitive.def_impl
    def impl(x: Any, *, axis: int, index_dtype: np.dtype[Any]) -> Any:
        where = function(x, axis)
        return where if where.dtype == index_dtype else where.astype(index_dtype)

    @primitive.def_abstract_eval
    def abstract_eval(x: ShapedArray, *, axis: int, index_dtype: np.dtype[Any]) -> ShapedArray:
        if not 0 <= axis < x.ndim or index_dtype.kind not in "iu":
            raise ShapeError(f"{name}: axis={axis} doesn't fit an operand of type {x}.")
        if x.shape[axis] == 0:
            raise ShapeError(
                compose(
                    f"attempt to get {name} of an empty sequence",
                    f"the operand has type {x} and axis={axis}.",
                )
            )
        return ShapedArray(x.shape[:axis] + x.shape[axis + 1 :], index_dtype)

    @primitive.def_batching
    def batching(
        size: int, args: Sequence[Any], dims: Sequence[int], *, axis: int, index_dtype: Any
    ) -> Any:
        dim = dims[0]
        moved = axis + (axis >= dim)
        out = primitive.bind(args[0], axis=moved, index_dtype=index_dtype)
        return out, dim - (moved < dim)

    primitive.def_lowering(_arg_routines(name, greatest))
    return primitive


argmax_p = _arg_reduction("argmax", np.argmax, greatest=True)
argmin_p = _arg_reduction("argmin", np.argmin, greatest=False)


def argmax(x: Any, axis: int, index_dtype: Any = np.int64) -> Any:
    """Index along ``axis`` of the first greatest element, or of the first NaN."""
    return argmax_p.bind(x, axis=axis, index_dtype=canonical_dtype(index_dtype))


def argmin(x: Any, axis: int, index_dtype: Any = np.int64) -> Any:
    """Index along ``axis`` of the first least element, or of the first NaN."""
    return argmin_p.bind(x, axis=axis, index_dtype=canonical_dtype(index_dtype))
