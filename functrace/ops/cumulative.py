"""Running sums, products and extremes, and reduce_prod, whose derivative is made of them.

``linear_recurrence`` is the derivative of those that aren't linear: tangents of a scan obey
``t[i] = a[i] * t[i - 1] + b[i]``, exactly, zeros and infinities included; so do its own tangents
and, backwards, its cotangents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray
from functrace.core.lowering import Nest, Reduction
from functrace.core.trace import Primitive
from functrace.errors import ShapeError
from functrace.ops.arithmetic import mul, sub
from functrace.ops.bitwise import bitwise_not, bitwise_or
from functrace.ops.broadcasting import reduce_sum
from functrace.ops.creation import full, iota
from functrace.ops.dimension_numbers import GatherScatterMode
from functrace.ops.exponentials import exp
from functrace.ops.families import (
    ANY,
    FLOATING,
    INEXACT,
    NUMERIC,
    check_dtypes,
    kept_axes,
    reduction,
)
from functrace.ops.indexing import take_along_axis
from functrace.ops.joining import concatenate, slice_in_dim
from functrace.ops.logical import eq, is_nan, ne, select
from functrace.ops.nests import for_each, share_each, unit_index
from functrace.ops.reductions import highest, lowest
from functrace.ops.structural import lanes_first, reshape, transpose

__all__ = ["cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum", "reduce_prod"]

INT64 = np.dtype(np.int64)
PROMISE = GatherScatterMode.PROMISE_IN_BOUNDS

# --- the family --------------------------------------------------------------------------------


def _check_axis(name: str, x: ShapedArray, axis: int) -> None:
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"{name}: axis={axis} doesn't fit an operand of type {x}.")


def _accumulate(ufunc: np.ufunc) -> Callable[..., Any]:
    def impl(x: Any, *, axis: int, reverse: bool) -> Any:
        if reverse:
            return np.flip(ufunc.accumulate(np.flip(x, axis), axis, x.dtype), axis)
        return ufunc.accumulate(x, axis, x.dtype)

    return impl


#: So many lines are walked side by side: each waits for its own sums only.
_SIDE_BY_SIDE = 4
#: A slice is worked on in blocks of so many columns.
_COLUMNS = 256


def _walk(
    b: Any,
    shape: Sequence[Any],
    reverse: bool,
    inits: Sequence[Any],
    step: Callable[..., Sequence[Any]],
) -> None:
    """Emit ``accs = step(at(i), i, *accs)`` along each line of the last axis, either way."""
    n, lines = shape[-1], b.const(1, INT64)
    for extent in shape[:-1]:
        lines = b.mul(lines, extent)
    lo, hi = b.part(lines)

    def index(line: Any) -> tuple[Any, ...]:
        return unit_index(b, line, shape[:-1])

    def together(first: Any, count: int) -> None:
        leads = [index(b.add(first, k)) for k in range(count)]

        def one(i: Any, *accs: Any) -> list[Any]:
            place = b.sub(b.sub(n, 1), i) if reverse else i
            return [
                acc
                for k, lead in enumerate(leads)
                for acc in step((*lead, place), i, *accs[k * width : (k + 1) * width])
            ]

        b.fold(0, n, [*inits] * count, one)

    width, some = len(inits), b.const(_SIDE_BY_SIDE, INT64)
    whole = b.mul(b.index_div(b.sub(hi, lo), some), some)
    middle = b.add(lo, whole)
    b.loop(lo, middle, lambda line: together(line, _SIDE_BY_SIDE), step=_SIDE_BY_SIDE)
    b.loop(middle, hi, lambda line: together(line, 1))


def _slices(
    b: Any,
    out: Any,
    axis: int,
    reverse: bool,
    first: Callable[[Any], Any],
    step: Callable[[Any, Any], Any],
) -> None:
    """Emit ``out[i] = step(out[i - 1], i)``, a block of columns at a time, which run in vectors."""
    n, inner = out.shape[axis], out.shape[axis + 1 :]
    size = b.const(_COLUMNS, INT64)
    blocks = b.index_div(b.add(inner[-1], b.const(_COLUMNS - 1, INT64)), size)

    def block(index: tuple[Any, ...]) -> None:
        *lead, number = index
        start = b.mul(number, size)
        stop = b.minimum(b.add(start, size), inner[-1])

        def each(i: Any, body: Callable[[tuple[Any, ...]], None]) -> None:
            place = b.sub(b.sub(n, 1), i) if reverse else i

            def line(rest: tuple[Any, ...]) -> None:
                b.loop(start, stop, lambda j: body((*lead, place, *rest, j)))

            for_each(b, inner[:-1], line)

        def one(at: tuple[Any, ...]) -> None:
            before = b.add(at[axis], 1) if reverse else b.sub(at[axis], 1)
            out.store(at, step(out.load((*at[:axis], before, *at[axis + 1 :])), at))

        b.loop(0, b.minimum(n, 1), lambda i: each(i, lambda at: out.store(at, first(at))))
        b.loop(1, n, lambda i: each(i, one))

    share_each(b, (*out.shape[:axis], blocks), block)


def _units(avals_in: Any, avals_out: Any, *, axis: int, **params: Any) -> tuple[int, int]:
    """Return how many lines there are, or blocks of columns, and the work of each."""
    (out,) = avals_out
    last = out.ndim - 1
    total = math.prod(out.shape)
    if axis == last:
        return math.prod(out.shape[:-1]), 4 * out.shape[-1]
    units = math.prod(out.shape[:axis]) * -(-out.shape[-1] // _COLUMNS)
    return units, 2 * total // max(units, 1)


def cumulative(
    name: str,
    impl: Callable[..., Any],
    dtypes: str,
    combine: Callable[[Any, Any, Any], Any],
    identity: Callable[[np.dtype[Any]], Any],
    not_linear: str | None = None,
) -> Primitive:
    """Return a primitive that replaces each element by the fold of those up to it."""
    primitive = Primitive(name, not_linear=not_linear)
    primitive.def_impl(impl)

    @primitive.def_abstract_eval
    def abstract_eval(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
        check_dtypes(name, dtypes, [x])
        _check_axis(name, x, axis)
        return ShapedArray(x.shape, x.dtype)

    @primitive.def_batching
    def batching(
        size: int, args: Sequence[Any], dims: Sequence[int], *, axis: int, reverse: bool
    ) -> Any:
        dim = dims[0]
        return primitive.bind(args[0], axis=axis + (axis >= dim), reverse=reverse), dim

    def nest(
        b: Any,
        ins: Any,
        outs: Any,
        scratch: Any,
        avals_in: Any,
        avals_out: Any,
        *,
        axis: int,
        reverse: bool,
    ) -> None:
        (x,), (out,) = ins, outs
        if axis < x.ndim - 1:
            _slices(b, out, axis, reverse, x.load, lambda acc, at: combine(b, acc, x.load(at)))
            return
        start = b.const(identity(x.dtype), x.dtype)

        def step(at: tuple[Any, ...], i: Any, acc: Any) -> list[Any]:
            acc = combine(b, acc, x.load(at))
            out.store(at, acc)
            return [acc]

        _walk(b, x.shape, reverse, [start], step)

    primitive.def_lowering(Nest(nest, split=_units))
    return primitive


# --- cumsum ------------------------------------------------------------------------------------


def _minus_zero(dtype: np.dtype[Any]) -> Any:
    # -0.0 + x is x, also for x = -0.0.
    if dtype.kind == "c":
        return dtype.type(complex(-0.0, -0.0))
    return dtype.type(-0.0) if dtype.kind == "f" else dtype.type(0)


cumsum_p = cumulative(
    "cumsum", _accumulate(np.add), NUMERIC, lambda b, acc, x: b.add(acc, x), _minus_zero
)


@cumsum_p.def_jvp_each
def _cumsum_jvp(t: Any, out: Any, x: Any, **params: Any) -> Any:
    return cumsum_p.bind(t, **params)


@cumsum_p.def_transpose
def _cumsum_transpose(ct: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    return [cumsum_p.bind(ct, axis=axis, reverse=not reverse)]


def cumsum(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Sum of the elements up to each one, in its own dtype."""
    return cumsum_p.bind(x, axis=axis, reverse=reverse)


# --- linear_recurrence -------------------------------------------------------------------------

linear_recurrence_p = Primitive("linear_recurrence")


@linear_recurrence_p.def_impl
def _recurrence_impl(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    out = np.array(b)
    lines, factors = np.moveaxis(out, axis, 0), np.moveaxis(a, axis, 0)
    if reverse:
        lines, factors = lines[::-1], factors[::-1]
    for i in range(1, len(lines)):
        lines[i] += factors[i] * lines[i - 1]
    return out


@linear_recurrence_p.def_abstract_eval
def _recurrence_type(a: ShapedArray, b: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
    check_dtypes("linear_recurrence", INEXACT, [a, b])
    _check_axis("linear_recurrence", a, axis)
    if a.shape != b.shape:
        raise ShapeError(f"linear_recurrence got operands of types {a} and {b}: shapes differ.")
    return ShapedArray(b.shape, b.dtype)


def _previous(x: Any, axis: int, reverse: bool, first: Any = 0) -> Any:
    """Return the array of the elements before each one, in the direction of the scan."""
    shape = list(x.shape)
    if shape[axis] == 0:
        return x
    shape[axis] = 1
    edge = full(shape, first, x.dtype)
    if reverse:
        return concatenate([slice_in_dim(x, 1, None, axis=axis), edge], axis)
    return concatenate([edge, slice_in_dim(x, 0, -1, axis=axis)], axis)


def _recurrence_jvp_a(t: Any, out: Any, a: Any, b: Any, **params: Any) -> Any:
    return linear_recurrence_p.bind(a, mul(t, _previous(out, **params)), **params)


def _recurrence_jvp_b(t: Any, out: Any, a: Any, b: Any, **params: Any) -> Any:
    return linear_recurrence_p.bind(a, t, **params)


linear_recurrence_p.def_jvp_each(_recurrence_jvp_a, _recurrence_jvp_b)


@linear_recurrence_p.def_transpose
def _recurrence_transpose(ct: Any, a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    # ct_b[i] = ct[i] + a[i + 1] * ct_b[i + 1]
    after = _previous(a, axis, not reverse)
    return [None, linear_recurrence_p.bind(after, ct, axis=axis, reverse=not reverse)]


@linear_recurrence_p.def_batching
def _recurrence_batching(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, axis: int, reverse: bool
) -> Any:
    a, b = (lanes_first(size, x, d) for x, d in zip(args, dims))
    return linear_recurrence_p.bind(a, b, axis=axis + 1, reverse=reverse), 0


def _recurrence_nest(
    b: Any,
    ins: Any,
    outs: Any,
    scratch: Any,
    avals_in: Any,
    avals_out: Any,
    *,
    axis: int,
    reverse: bool,
) -> None:
    (factor, term), (out,) = ins, outs
    if axis < out.ndim - 1:
        _slices(
            b,
            out,
            axis,
            reverse,
            term.load,
            lambda acc, at: b.add(term.load(at), b.mul(factor.load(at), acc)),
        )
        return
    zero = b.const(0, out.dtype)

    def step(at: tuple[Any, ...], i: Any, acc: Any) -> list[Any]:
        # The first factor stands for nothing: it may be infinite.
        carried = b.select(b.eq(i, 0), zero, b.mul(factor.load(at), acc))
        acc = b.add(term.load(at), carried)
        out.store(at, acc)
        return [acc]

    _walk(b, out.shape, reverse, [zero], step)


linear_recurrence_p.def_lowering(Nest(_recurrence_nest, split=_units))

# --- cumprod and reduce_prod -------------------------------------------------------------------


def _one(dtype: np.dtype[Any]) -> Any:
    return dtype.type(1)


cumprod_p = cumulative(
    "cumprod",
    _accumulate(np.multiply),
    NUMERIC,
    lambda b, acc, x: b.mul(acc, x),
    _one,
    not_linear="its tangent is a linear_recurrence",
)


@cumprod_p.def_jvp_each
def _cumprod_jvp(t: Any, out: Any, x: Any, **params: Any) -> Any:
    # out[i] = x[i] * out[i - 1]
    return linear_recurrence_p.bind(x, mul(t, _previous(out, first=1, **params)), **params)


def cumprod(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Product of the elements up to each one, in its own dtype."""
    return cumprod_p.bind(x, axis=axis, reverse=reverse)


def _reduce_prod_impl(x: Any, *, axes: tuple[int, ...]) -> Any:
    return np.multiply.reduce(x, axis=axes, dtype=x.dtype)


reduce_prod_p = reduction(
    "reduce_prod",
    _reduce_prod_impl,
    NUMERIC,
    Reduction(
        combine=lambda b, acc, x, **params: b.mul(acc, x),
        identity=lambda dtype, **params: dtype.type(1),
    ),
    not_linear="its tangent is a sum of products",
)


@reduce_prod_p.def_jvp_each
def _reduce_prod_jvp(t: Any, out: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    # Each tangent times the product of the *other* elements, those before and those after: no
    # division, so zeros are no exception, in derivatives of any order.
    kept = kept_axes(len(x.shape), axes)
    shape = (*(x.shape[d] for d in kept), -1)
    size = int(np.prod([x.shape[d] for d in axes], dtype=np.int64))
    line = reshape(transpose(x, (*kept, *axes)), (*shape[:-1], size))
    axis = len(kept)
    before = _previous(cumprod(line, axis), axis, False, first=1)
    after = _previous(cumprod(line, axis, reverse=True), axis, True, first=1)
    t_line = reshape(transpose(t, (*kept, *axes)), (*shape[:-1], size))
    return reduce_sum(mul(t_line, mul(before, after)), (axis,))


def reduce_prod(x: Any, axes: Sequence[int]) -> Any:
    """Product of ``x`` over ``axes``, in its own dtype."""
    axes = tuple(axes)
    return reduce_prod_p.bind(x, axes=axes) if axes else x


# --- cumlogsumexp ------------------------------------------------------------------------------


def _log_add_exp(b: Any, x: Any, y: Any) -> Any:
    """max + log1p(exp(-|x - y|)), where infinities of one sign don't subtract to NaN."""
    most = b.maximum(x, y)
    gap = b.neg(b.abs(b.sub(x, y)))
    gap = b.select(b.eq(x, y), b.const(0, x.dtype), gap)
    return b.add(most, b.math("log1p", b.math("exp", gap)))


cumlogsumexp_p = cumulative(
    "cumlogsumexp",
    _accumulate(np.logaddexp),
    FLOATING,
    _log_add_exp,
    lowest,
    not_linear="its tangent is a linear_recurrence",
)


@cumlogsumexp_p.def_jvp_each
def _cumlogsumexp_jvp(t: Any, out: Any, x: Any, **params: Any) -> Any:
    # The softmax weights of what came before and of the element itself; none of nothing.
    least = out.dtype.type(-np.inf)
    nothing = eq(out, least)
    shift = select(nothing, out.dtype.type(0), out)
    before = exp(sub(_previous(out, first=-np.inf, **params), shift))
    own = exp(sub(x, shift))
    return linear_recurrence_p.bind(before, mul(t, own), **params)


def cumlogsumexp(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Logarithm of the sum of the exponentials of the elements up to each one."""
    return cumlogsumexp_p.bind(x, axis=axis, reverse=reverse)


# --- cummax and cummin -------------------------------------------------------------------------


cummax_p = cumulative(
    "cummax",
    _accumulate(np.maximum),
    ANY,
    lambda b, acc, x: b.maximum(acc, x),
    lowest,
    not_linear="its tangent is a gather",
)
cummin_p = cumulative(
    "cummin",
    _accumulate(np.minimum),
    ANY,
    lambda b, acc, x: b.minimum(acc, x),
    highest,
    not_linear="its tangent is a gather",
)


def _extreme_jvp(t: Any, out: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    # Each element is the first one, in the direction of the scan, that reached its value.
    before = _previous(out, axis, reverse)
    new = select(is_nan(out), bitwise_not(is_nan(before)), ne(out, before))
    place = iota(np.int64, out.shape, axis)
    n = out.shape[axis]
    edge = n - 1 if reverse else 0
    new = bitwise_or(new, eq(place, np.int64(edge)))
    where = select(new, place, np.int64(edge))
    scan = cummin_p if reverse else cummax_p
    return take_along_axis(t, scan.bind(where, axis=axis, reverse=reverse), axis, PROMISE)


cummax_p.def_jvp_each(_extreme_jvp)
cummin_p.def_jvp_each(_extreme_jvp)


def cummax(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Greatest of the elements up to each one; NaN from the first NaN on."""
    return cummax_p.bind(x, axis=axis, reverse=reverse)


def cummin(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Least of the elements up to each one; NaN from the first NaN on."""
    return cummin_p.bind(x, axis=axis, reverse=reverse)
