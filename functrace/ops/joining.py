"""Joining and cutting: concatenate, split, and the adjoint partners slice and pad."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, shape_of
from functrace.core.lowering import Indexed, View
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive
from functrace.errors import DTypeError, ShapeError, compose
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.creation import full
from functrace.ops.families import ANY, check_dtypes
from functrace.ops.logical import select
from functrace.ops.structural import lanes_first, move_axis

__all__ = ["concatenate", "pad", "slice", "slice_in_dim", "split"]

Triples = tuple[tuple[int, int, int], ...]

# --- concatenate -------------------------------------------------------------------------------

concatenate_p = Primitive("concatenate")


@concatenate_p.def_impl
def _concatenate_impl(*xs: Any, dimension: int) -> Any:
    return np.concatenate(xs, dimension)


@concatenate_p.def_abstract_eval
def _concatenate_type(*xs: ShapedArray, dimension: int) -> ShapedArray:
    if not xs:
        raise ShapeError(compose("concatenate got no operands.", "", "give it at least one."))
    check_dtypes("concatenate", ANY, xs)
    first = xs[0]
    rest = _other_sizes(first.shape, dimension)
    if not 0 <= dimension < first.ndim or any(
        x.ndim != first.ndim or _other_sizes(x.shape, dimension) != rest for x in xs
    ):
        raise ShapeError(
            compose(
                f"concatenate got operands of types {', '.join(map(str, xs))}.",
                f"their shapes must agree on every axis but {dimension}.",
            )
        )
    total = sum(x.shape[dimension] for x in xs)
    return ShapedArray(
        (*first.shape[:dimension], total, *first.shape[dimension + 1 :]), first.dtype
    )


def _other_sizes(shape: tuple[int, ...], dimension: int) -> tuple[int, ...]:
    return shape[:dimension] + shape[dimension + 1 :]


@concatenate_p.def_jvp
def _concatenate_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, dimension: int) -> Any:
    out = concatenate_p.bind(*primals, dimension=dimension)
    ts = [full(x.shape, 0, x.dtype) if t is None else t for x, t in zip(primals, tangents)]
    return out, concatenate_p.bind(*ts, dimension=dimension)


@concatenate_p.def_transpose
def _concatenate_transpose(ct: Any, *xs: Any, dimension: int) -> Any:
    cts, start = [], 0
    for x in xs:
        stop = start + x.shape[dimension]
        cts.append(slice_in_dim(ct, start, stop, axis=dimension) if is_linear(x) else None)
        start = stop
    return cts


@concatenate_p.def_batching
def _concatenate_batching(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, dimension: int
) -> Any:
    lanes = [lanes_first(size, x, d) for x, d in zip(args, dims)]
    return concatenate_p.bind(*lanes, dimension=dimension + 1), 0


def _concatenate_pull(
    b: Any,
    idx: Sequence[Any],
    operands: Sequence[Any],
    avals_in: Any,
    aval_out: Any,
    *,
    dimension: int,
) -> Any:
    place = idx[dimension]
    starts: list[Any] = [b.const(0, place.dtype)]
    for k in range(len(operands) - 1):
        starts.append(b.add(starts[-1], b.extent(k, dimension)))

    def among(first: int, stop: int) -> Any:
        """Halve the operands until one is left."""
        if stop - first == 1:
            inner = b.sub(place, starts[first])
            return operands[first]((*idx[:dimension], inner, *idx[dimension + 1 :]))
        middle = (first + stop) // 2
        return b.cond(
            b.lt(place, starts[middle]),
            lambda: [among(first, middle)],
            lambda: [among(middle, stop)],
        )[0]

    return among(0, len(operands))


concatenate_p.def_lowering(Indexed(_concatenate_pull))


def concatenate(operands: Sequence[Any], dimension: int) -> Any:
    """Join arrays along one axis."""
    if len(operands) == 1:
        return operands[0]
    return concatenate_p.bind(*operands, dimension=dimension)


# --- slice -------------------------------------------------------------------------------------

slice_p = Primitive("slice")


@slice_p.def_impl
def _slice_impl(
    x: Any,
    *,
    start_indices: tuple[int, ...],
    limit_indices: tuple[int, ...],
    strides: tuple[int, ...],
) -> Any:
    return x[tuple(map(builtins.slice, start_indices, limit_indices, strides))]


@slice_p.def_abstract_eval
def _slice_type(
    x: ShapedArray,
    *,
    start_indices: tuple[int, ...],
    limit_indices: tuple[int, ...],
    strides: tuple[int, ...],
) -> ShapedArray:
    fits = len(start_indices) == len(limit_indices) == len(strides) == x.ndim and all(
        0 <= lo <= hi <= n and step > 0
        for lo, hi, step, n in zip(start_indices, limit_indices, strides, x.shape)
    )
    if not fits:
        raise ShapeError(
            compose(
                f"slice got start_indices={start_indices}, limit_indices={limit_indices}, "
                f"strides={strides} for an operand of type {x}.",
                "on each axis 0 <= start <= limit <= size, and the stride is positive.",
                "x[...], which takes negative numbers, or lax.rev.",
            )
        )
    sizes = map(_slice_size, start_indices, limit_indices, strides)
    return ShapedArray(tuple(sizes), x.dtype)


def _slice_size(start: int, limit: int, stride: int) -> int:
    return -((start - limit) // stride)


@slice_p.def_jvp_each
def _slice_jvp(t: Any, out: Any, x: Any, **params: Any) -> Any:
    return slice_p.bind(t, **params)


@slice_p.def_transpose
def _slice_transpose(
    ct: Any,
    x: Any,
    *,
    start_indices: tuple[int, ...],
    limit_indices: tuple[int, ...],
    strides: tuple[int, ...],
) -> Any:
    # Element i of the result is element start + i * stride of the operand; the rest is zero.
    config = tuple(
        (lo, n - (lo + (m - 1) * step + 1), step - 1) if m else (n, 0, 0)
        for m, n, lo, step in zip(ct.shape, x.shape, start_indices, strides)
    )
    return [pad(ct, full((), 0, ct.dtype), config)]


@slice_p.def_batching
def _slice_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int],
    *,
    start_indices: tuple[int, ...],
    limit_indices: tuple[int, ...],
    strides: tuple[int, ...],
) -> Any:
    dim = dims[0]
    starts = (*start_indices[:dim], 0, *start_indices[dim:])
    limits = (*limit_indices[:dim], size, *limit_indices[dim:])
    return slice(args[0], starts, limits, (*strides[:dim], 1, *strides[dim:])), dim


def _slice_view(
    shape: tuple[int, ...],
    old: tuple[int, ...],
    *,
    start_indices: tuple[int, ...],
    limit_indices: tuple[int, ...],
    strides: tuple[int, ...],
) -> Any:
    sizes = tuple(map(_slice_size, start_indices, limit_indices, strides))
    offset = 0 if 0 in sizes else sum(lo * s for lo, s in zip(start_indices, old))
    return sizes, tuple(step * s for step, s in zip(strides, old)), offset


slice_p.def_lowering(View(_slice_view))


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Any:
    """Cut ``start:limit:stride`` out of each axis; bounds and strides are not negative."""
    shape = shape_of(operand)
    steps = (1,) * len(shape) if strides is None else tuple(strides)
    starts, limits = tuple(start_indices), tuple(limit_indices)
    if limits == shape and not any(starts) and all(step == 1 for step in steps):
        return operand
    return slice_p.bind(operand, start_indices=starts, limit_indices=limits, strides=steps)


def slice_in_dim(
    operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Any:
    """Cut along one axis; negative and missing bounds mean what they do in ``x[a:b]``."""
    shape = shape_of(operand)
    axis %= len(shape)
    start, limit, _ = builtins.slice(start_index, limit_index).indices(shape[axis])
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], limits[axis], strides[axis] = start, max(start, limit), stride
    return slice(operand, starts, limits, strides)


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """Cut into consecutive pieces of the given sizes along one axis."""
    shape = shape_of(operand)
    if sum(sizes) != shape[axis]:
        raise ShapeError(f"split: sizes {tuple(sizes)} don't add up to axis {axis} of {shape}.")
    stops = np.cumsum([0, *sizes]).tolist()
    return [slice_in_dim(operand, lo, hi, axis=axis) for lo, hi in itertools.pairwise(stops)]


# --- pad ---------------------------------------------------------------------------------------

pad_p = Primitive("pad")


@pad_p.def_impl
def _pad_impl(x: Any, padding_value: Any, *, padding_config: Triples) -> Any:
    x = np.asarray(x)
    out_shape = _padded_shape(x.shape, padding_config)
    out = np.full(out_shape, padding_value, x.dtype)
    into, from_ = [], []
    for n, m, (lo, _, interior) in zip(x.shape, out_shape, padding_config):
        # Element i goes to lo + i * step, if that is inside.
        step = interior + 1
        first = max(0, -(lo // step))
        stop = max(first, min(n, (m - 1 - lo) // step + 1))
        into.append(builtins.slice(lo + first * step, max(lo + stop * step - interior, 0), step))
        from_.append(builtins.slice(first, stop))
    if all(part.stop > part.start for part in from_):
        out[tuple(into)] = x[tuple(from_)]
    return out[()]


def _padded_shape(shape: tuple[int, ...], config: Triples) -> tuple[int, ...]:
    return tuple(
        lo + n + max(n - 1, 0) * interior + hi for n, (lo, hi, interior) in zip(shape, config)
    )


@pad_p.def_abstract_eval
def _pad_type(
    x: ShapedArray, padding_value: ShapedArray, *, padding_config: Triples
) -> ShapedArray:
    if x.dtype != padding_value.dtype or padding_value.shape != ():
        raise DTypeError(
            compose(
                f"pad got an operand of type {x} and a padding value of type {padding_value}.",
                "the value is a scalar of the operand's dtype.",
            )
        )
    fits = len(padding_config) == x.ndim and all(i >= 0 for _, _, i in padding_config)
    if not fits or min(_padded_shape(x.shape, padding_config), default=0) < 0:
        raise ShapeError(
            compose(
                f"pad got padding_config={padding_config} for an operand of type {x}.",
                "each axis has (low, high, interior), interior is not negative, and neither is "
                "the size of the result.",
            )
        )
    return ShapedArray(_padded_shape(x.shape, padding_config), x.dtype)


@pad_p.def_jvp
def _pad_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, padding_config: Triples) -> Any:
    out = pad_p.bind(*primals, padding_config=padding_config)
    tx, tv = (
        full(shape_of(x), 0, dtype_of(x)) if t is None else t for x, t in zip(primals, tangents)
    )
    return out, pad_p.bind(tx, tv, padding_config=padding_config)


@pad_p.def_transpose
def _pad_transpose(ct: Any, x: Any, padding_value: Any, *, padding_config: Triples) -> Any:
    ct_x = _unpad(ct, x.shape, padding_config) if is_linear(x) else None
    if not is_linear(padding_value):
        return [ct_x, None]
    outside = _outside(x.shape, padding_config)
    ct_value = reduce_sum(select(outside, ct, ct.dtype.type(0)), range(len(ct.shape)))
    return [ct_x, ct_value]


def _unpad(ct: Any, shape: tuple[int, ...], config: Triples) -> Any:
    """Read the elements of the operand back from where ``pad`` put them; 0 for those cut off."""
    if any(lo < 0 or hi < 0 for lo, hi, _ in config):
        back = tuple((max(-lo, 0), max(-hi, 0), 0) for lo, hi, _ in config)
        ct = pad(ct, full((), 0, ct.dtype), back)
        config = tuple((max(lo, 0), max(hi, 0), interior) for lo, hi, interior in config)
    starts = [lo for lo, _, _ in config]
    limits = [n - hi for n, (_, hi, _) in zip(ct.shape, config)]
    return slice(ct, starts, limits, [interior + 1 for _, _, interior in config])


def _outside(shape: tuple[int, ...], config: Triples) -> Any:
    """Tell where in the result of ``pad`` the padding value stands."""
    return pad_p.bind(full(shape, False, np.bool_), full((), True, np.bool_), padding_config=config)


@pad_p.def_batching
def _pad_batching(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, padding_config: Triples
) -> Any:
    (x, value), (dim, value_dim) = args, dims
    config = ((0, 0, 0), *padding_config)
    if value_dim is None:
        return pad_p.bind(move_axis(x, dim, 0), value, padding_config=config), 0
    x = lanes_first(size, x, dim)
    out = pad_p.bind(x, full((), 0, x.dtype), padding_config=config)
    values = broadcast_in_dim(value, out.shape, (0,))
    return select(_outside(x.shape, config), values, out), 0


def _pad_pull(
    b: Any,
    idx: Sequence[Any],
    operands: Sequence[Any],
    avals_in: Any,
    aval_out: Any,
    *,
    padding_config: Triples,
) -> Any:
    index: list[Any] = []
    inside = None
    for axis, (lo, hi, interior) in enumerate(padding_config):
        place = idx[axis]
        if (lo, hi, interior) == (0, 0, 0):
            index.append(place)
            continue
        place = b.sub(place, b.param_int(lo))
        fits = b.ge(place, 0)
        if interior:
            step = b.param_int(interior + 1)
            fits = b.and_(fits, b.eq(b.mod(place, step), 0))
            place = b.floordiv(place, step)
        fits = b.and_(fits, b.lt(place, b.extent(0, axis)))
        inside = fits if inside is None else b.and_(inside, fits)
        index.append(place)
    if inside is None:
        return operands[0](tuple(index))
    return b.cond(inside, lambda: [operands[0](tuple(index))], lambda: [operands[1](())])[0]


pad_p.def_lowering(Indexed(_pad_pull))


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Any:
    """Put ``padding_value`` before, after and between the elements of each axis.

    ``padding_config`` has ``(low, high, interior)`` per axis; negative low and high cut off.
    """
    config = tuple((int(lo), int(hi), int(interior)) for lo, hi, interior in padding_config)
    if not any(map(any, config)):
        return operand
    if isinstance(padding_value, (bool, int, float, complex)):
        padding_value = dtype_of(operand).type(padding_value)
    return pad_p.bind(operand, padding_value, padding_config=config)
