"""conv_general_dilated: correlation with strides, padding, dilations and groups.

The primitive ``conv`` has its axes in one order and the groups as an axis of their own:
(group, batch, channel, *space) with (group, out, channel, *window) gives (group, batch, out,
*space). In this form it is its own derivative: with batch and channel exchanged it gives the
cotangent of the window, with the window reversed that of the input. Other orders are transposes
and reshapes around it, which cost nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import Composite, Nest
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive
from functrace.dtypes import canonical_dtype
from functrace.errors import ShapeError, compose
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.contraction import dot_general
from functrace.ops.creation import convert_element_type, full
from functrace.ops.families import NUMERIC, check_dtypes
from functrace.ops.joining import concatenate, pad_p, slice_in_dim
from functrace.ops.nests import for_each, in_bounds
from functrace.ops.structural import lanes_first, move_axis, reshape, rev, transpose

__all__ = ["ConvDimensionNumbers", "conv_dimension_numbers", "conv_general_dilated"]

Sizes = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def dilated(n: int, dilation: int) -> int:
    """Return the size of an axis whose elements are put ``dilation`` apart."""
    return n and (n - 1) * dilation + 1


def window_places(n: int, size: int, stride: int, lo: int, hi: int, base: int, step: int) -> int:
    """Return how many windows fit on one padded, dilated axis."""
    room = dilated(n, base) + lo + hi - dilated(size, step)
    return max(room // stride + 1, 0)


# --- the primitive -----------------------------------------------------------------------------

conv_p = Primitive("conv_general_dilated")

_MOST_WINDOW_ELEMENTS = 1 << 24


@conv_p.def_impl
def _conv_impl(
    x: Any,
    w: Any,
    *,
    window_strides: Sizes,
    padding: Padding,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
) -> Any:
    ndim = len(window_strides)
    params = (w.shape[3:], window_strides, padding, lhs_dilation, rhs_dilation)
    out_space = _out_space(x.shape[3:], *params)
    groups, batch, outs = x.shape[0], x.shape[1], w.shape[1]
    result = np.zeros((groups, batch, outs, *out_space), x.dtype)
    if 0 in result.shape or 0 in w.shape or 0 in x.shape:
        return result
    views = _views(x, *params)
    k, places = _size(w.shape[2:]), _size(out_space)
    places_last = places >= _size(w.shape[3:])
    if places_last:
        # (group, 1, out, channel and window) @ (group, batch, channel and window, place)
        views = views.transpose((0, 1, 2, *range(3 + ndim, 3 + 2 * ndim), *range(3, 3 + ndim)))
        weights = w.reshape(groups, 1, outs, k)
    else:
        # (group, batch and place, channel and window) @ (group, channel and window, out)
        views = views.transpose((0, 1, *range(3, 3 + ndim), 2, *range(3 + ndim, 3 + 2 * ndim)))
        weights = w.reshape(groups, outs, k).transpose(0, 2, 1)
    some = max(1, _MOST_WINDOW_ELEMENTS // max(1, groups * places * k))
    for i in range(0, batch, some):
        part = views[:, i : i + some]
        n = part.shape[1]
        if places_last:
            product = weights @ part.reshape(groups, n, k, places)
        else:
            product = part.reshape(groups, n * places, k) @ weights
            product = np.moveaxis(product.reshape(groups, n, places, outs), -1, 2)
        result[:, i : i + some] = product.reshape((groups, n, outs, *out_space))
    return result


def _views(
    x: Any, window: Sizes, strides: Sizes, padding: Padding, base: Sizes, step: Sizes
) -> Any:
    """Return what each window sees: the last axes of x give way to (*places, *window)."""
    lead = x.ndim - len(window)
    config = ((0, 0, 0),) * lead + tuple(
        (lo, hi, wide - 1) for (lo, hi), wide in zip(padding, base)
    )
    assert pad_p.impl is not None
    x = np.asarray(pad_p.impl(x, x.dtype.type(0), padding_config=config))
    sizes = tuple(map(dilated, window, step))
    views = np.lib.stride_tricks.sliding_window_view(x, sizes, tuple(range(lead, x.ndim)))
    cut = ((1,) * lead) + (*strides, *step)
    return views[tuple(slice(None, None, apart) for apart in cut)]


def _size(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _out_space(
    space: Sizes, window: Sizes, strides: Sizes, padding: Padding, base: Sizes, step: Sizes
) -> Sizes:
    lows, highs = [lo for lo, _ in padding], [hi for _, hi in padding]
    return tuple(map(window_places, space, window, strides, lows, highs, base, step))


@conv_p.def_abstract_eval
def _conv_type(
    x: ShapedArray,
    w: ShapedArray,
    *,
    window_strides: Sizes,
    padding: Padding,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
) -> ShapedArray:
    check_dtypes("conv_general_dilated", NUMERIC, [x, w])
    ndim = len(window_strides)
    steps = (1, *window_strides, *lhs_dilation, *rhs_dilation)
    lengths = {len(padding), len(lhs_dilation), len(rhs_dilation), x.ndim - 3, w.ndim - 3}
    if lengths != {ndim} or min(steps) < 1:
        raise ShapeError(
            compose(
                f"conv_general_dilated got operands of types {x} and {w}, "
                f"window_strides={window_strides}, padding={padding}, "
                f"lhs_dilation={lhs_dilation}, rhs_dilation={rhs_dilation}.",
                "each has one entry per axis of space; strides and dilations are positive.",
            )
        )
    if x.shape[0] != w.shape[0] or x.shape[2] != w.shape[2]:
        raise ShapeError(
            compose(
                f"conv_general_dilated got {x.shape[2]} channels in {x.shape[0]} groups, and a "
                f"window for {w.shape[2]} channels in {w.shape[0]} groups.",
                "channels of the input are those of the window times feature_group_count.",
            )
        )
    space = _out_space(
        x.shape[3:], w.shape[3:], window_strides, padding, lhs_dilation, rhs_dilation
    )
    return ShapedArray((x.shape[0], x.shape[1], w.shape[1], *space), x.dtype)


conv_p.def_jvp_each(
    lambda t, out, x, w, **params: conv_p.bind(t, w, **params),
    lambda t, out, x, w, **params: conv_p.bind(x, t, **params),
)


@conv_p.def_transpose
def _conv_transpose(
    ct: Any,
    x: Any,
    w: Any,
    *,
    window_strides: Sizes,
    padding: Padding,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
) -> Any:
    """Adjoints of out[p] = sum_k w[k] xd[p * stride + k * step - lo], xd the dilated x."""
    ndim = len(window_strides)
    swapped = (0, 2, 1, *range(3, 3 + ndim))
    space, window, places = x.shape[3:], w.shape[3:], ct.shape[3:]
    if 0 in ct.shape:
        return [full(v.shape, 0, v.dtype) if is_linear(v) else None for v in (x, w)]
    if is_linear(x):
        # A correlation of ct, dilated by the strides, with the reversed window.
        pads = []
        for n, k, m, s, (lo, _), base, step in zip(
            space, window, places, window_strides, padding, lhs_dilation, rhs_dilation
        ):
            before = dilated(k, step) - 1 - lo
            after = dilated(n, base) + dilated(k, step) - 1 - dilated(m, s) - before
            pads.append((before, after))
        flipped = rev(transpose(w, swapped), tuple(range(3, 3 + ndim)))
        ct_x = conv_p.bind(
            ct,
            flipped,
            window_strides=lhs_dilation,
            padding=tuple(pads),
            lhs_dilation=window_strides,
            rhs_dilation=rhs_dilation,
        )
        return [ct_x, None]
    # A correlation of x with ct, dilated by the strides, read at the steps of the window.
    pads = []
    for n, k, m, s, (lo, _), base, step in zip(
        space, window, places, window_strides, padding, lhs_dilation, rhs_dilation
    ):
        pads.append((lo, dilated(m, s) + dilated(k, step) - 1 - dilated(n, base) - lo))
    ct_w = conv_p.bind(
        transpose(x, swapped),
        transpose(ct, swapped),
        window_strides=rhs_dilation,
        padding=tuple(pads),
        lhs_dilation=lhs_dilation,
        rhs_dilation=window_strides,
    )
    return [None, transpose(ct_w, swapped)]


@conv_p.def_batching
def _conv_batching(size: int, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
    (x, w), (dx, dw) = args, dims
    if dx is not None and dw is not None:
        # Lanes are groups.
        x, w, axis = lanes_first(size, x, dx), lanes_first(size, w, dw), 0
        n = x.shape[1]
        x, w = _merge(x, 0), _merge(w, 0)
    elif dx is not None:
        # Lanes are more of the batch.
        x, axis = move_axis(x, dx, 1), 1
        n = x.shape[2]
        x = _merge(x, 1)
    else:
        # Lanes are more outputs.
        w, axis = move_axis(w, dw, 1), 2
        n = w.shape[2]
        w = _merge(w, 1)
    out = conv_p.bind(x, w, **params)
    return reshape(out, (*out.shape[:axis], size, n, *out.shape[axis + 1 :])), axis


def _merge(x: Any, axis: int) -> Any:
    """Make one axis of ``axis`` and the one after it."""
    shape = shape_of(x)
    return reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


# --- how it is compiled: windows laid out side by side, then a matrix product --------------------

patches_p = Primitive("window_patches", not_differentiable="only compiled convolutions hold it")


@patches_p.def_impl
def _patches_impl(
    x: Any,
    *,
    window: Sizes,
    strides: Sizes,
    padding: Padding,
    base: Sizes,
    step: Sizes,
    window_last: bool,
) -> Any:
    views = _views(x, window, strides, padding, base, step)
    if window_last:
        return np.ascontiguousarray(views)
    lead, ndim = x.ndim - len(window), len(window)
    places, inner = range(lead, lead + ndim), range(lead + ndim, lead + 2 * ndim)
    return np.ascontiguousarray(views.transpose((*range(lead), *inner, *places)))


@patches_p.def_abstract_eval
def _patches_type(
    x: ShapedArray,
    *,
    window: Sizes,
    strides: Sizes,
    padding: Padding,
    base: Sizes,
    step: Sizes,
    window_last: bool,
) -> ShapedArray:
    lead = x.ndim - len(window)
    places = _out_space(x.shape[lead:], window, strides, padding, base, step)
    inner = (*places, *window) if window_last else (*window, *places)
    return ShapedArray((*x.shape[:lead], *inner), x.dtype)


@patches_p.def_batching
def _patches_batching(size: int, args: Sequence[Any], dims: Sequence[int], **params: Any) -> Any:
    return patches_p.bind(move_axis(args[0], dims[0], 0), **params), 0


def source_place(
    b: Any, out: Any, k: Any, stride: int, lo: int, base: int, step: int, extent: Any
) -> tuple[Any, Any]:
    """Return which element a window reads on one axis, and whether there is one (not padding)."""
    place = b.mul(out, b.param_int(stride)) if stride != 1 else out
    place = b.add(place, b.mul(k, b.param_int(step)) if step != 1 else k)
    if lo:
        place = b.sub(place, b.param_int(lo))
    if base == 1:
        return place, in_bounds(b, place, extent)
    wide = b.param_int(base)
    fits = b.eq(b.mod(place, wide), 0)
    place = b.floordiv(place, wide)
    return place, b.and_(fits, in_bounds(b, place, extent))


def _patches_nest(
    b: Any,
    ins: Any,
    outs: Any,
    scratch: Any,
    avals_in: Any,
    avals_out: Any,
    *,
    window: Sizes,
    strides: Sizes,
    padding: Padding,
    base: Sizes,
    step: Sizes,
    window_last: bool,
) -> None:
    (x,), (out,) = ins, outs
    ndim = len(window)
    lead = x.ndim - ndim
    zero = b.const(0, x.dtype)

    def places(index: tuple[Any, ...]) -> tuple[Any, Any]:
        """Return the index of the element to read, and whether there is one."""
        first, second = index[lead : lead + ndim], index[lead + ndim :]
        at, inside = list(index[:lead]), b.const(True, np.dtype(np.bool_))
        for d in range(ndim):
            i, k = (first[d], second[d]) if window_last else (second[d], first[d])
            where, fits = source_place(
                b, i, k, strides[d], padding[d][0], base[d], step[d], x.shape[lead + d]
            )
            at.append(where)
            inside = b.and_(inside, fits)
        return tuple(at), inside

    def element(index: tuple[Any, ...]) -> None:
        at, inside = places(index)
        (value,) = b.cond(inside, lambda: [x.load(at)], lambda: [zero])
        out.store(index, value)

    def row(index: tuple[Any, ...]) -> None:
        # Along the last axis, elements lie side by side: find where they start and stop once.
        n, m = x.shape[-1], out.shape[-1]
        stride = step[-1] if window_last else strides[-1]
        at, _ = places((*index, b.const(0, np.dtype(np.int64))))
        offset = at[-1]
        inside = b.const(True, np.dtype(np.bool_))
        for where, extent in zip(at[lead:-1], x.shape[lead:-1]):
            inside = b.and_(inside, in_bounds(b, where, extent))
        # The first i with offset + i * stride >= 0, and the first with it >= n.
        start, stop = b.neg(offset), b.sub(n, offset)
        apart = b.const(1, np.dtype(np.int64)) if stride == 1 else b.param_int(stride)
        if stride != 1:
            start, stop = (b.neg(b.floordiv(b.neg(i), apart)) for i in (start, stop))
        start = b.minimum(b.maximum(start, 0), m)
        stop = b.select(inside, b.maximum(b.minimum(stop, m), start), start)
        b.loop(0, start, lambda i: out.store((*index, i), zero))
        b.loop(
            start,
            stop,
            lambda i: out.store(
                (*index, i),
                x.load((*at[:-1], b.add(offset, b.mul(i, apart)))),
            ),
        )
        b.loop(stop, m, lambda i: out.store((*index, i), zero))

    if ndim and all(d == 1 for d in base):
        for_each(b, out.shape[:-1], row)
    else:
        for_each(b, out.shape, element)


patches_p.def_lowering(Nest(_patches_nest))

# Windows are laid out in pieces of about this many elements, and in so many pieces at most.
_PIECE = 1 << 21
_MOST_PIECES = 16


def _conv_by_products(
    x: Any,
    w: Any,
    *,
    window_strides: Sizes,
    padding: Padding,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
) -> list[Any]:
    groups, batch, _, *space = x.shape
    window = w.shape[3:]
    params = (window, window_strides, padding, lhs_dilation, rhs_dilation)
    places = _out_space(tuple(space), *params)
    out_shape = (groups, batch, w.shape[1], *places)
    if 0 in out_shape or 0 in w.shape or 0 in x.shape:
        return [full(out_shape, 0, x.dtype)]
    total = groups * batch * _size(w.shape[2:]) * _size(places)
    pieces = min(batch, -(-total // _PIECE), _MOST_PIECES)
    outs, stops = [], [batch * i // pieces for i in range(pieces + 1)]
    for start, stop in itertools.pairwise(stops):
        outs.append(_product(slice_in_dim(x, start, stop, axis=1), w, places, params))
    return [concatenate(outs, 1)]


def _product(x: Any, w: Any, places: Sizes, params: tuple[Any, ...]) -> Any:
    """Lay windows out in the order in which they are copied and multiplied fastest."""
    window, strides, padding, base, step = params
    groups, batch, channels = x.shape[:3]
    ndim = len(window)
    one, none = (1,), ((0, 0),)
    names = ("window", "strides", "padding", "base", "step", "window_last")
    dims: Any
    order = (0, 2, 1, *range(3, 3 + ndim))
    if _size(window) > _size(places):
        # (group, batch, place, channel and window): channels are an axis of the window.
        values = ((channels, *window), one + strides, none + padding, one + base, one + step, True)
        patches = patches_p.bind(x, **dict(zip(names, values)))
        contracted = tuple(range(3 + ndim, 4 + 2 * ndim))
        dims = ((tuple(range(2, 3 + ndim)), contracted), ((0,), (0,)))
        out = dot_general(w, patches, dims)
        return transpose(reshape(out, (groups, w.shape[1], batch, *places)), order)
    if groups == 1 and _size(places) >= _LARGE:
        # (group, batch, channel and window, place): one product for each of the batch.
        values = (window, strides, padding, base, step, False)
        patches = patches_p.bind(x, **dict(zip(names, values)))
        w = broadcast_in_dim(w, (groups, batch, *w.shape[1:]), (0, *range(2, 4 + ndim)))
        dims = ((tuple(range(3, 4 + ndim)), tuple(range(2, 3 + ndim))), ((0, 1), (0, 1)))
        return dot_general(w, patches, dims)
    # (group, channel and window, batch and place): the batch is an axis of places.
    values = (one + window, one + strides, none + padding, one + base, one + step, False)
    patches = patches_p.bind(transpose(x, order), **dict(zip(names, values)))
    w = reshape(w, (*w.shape[:3], 1, *window))
    dims = ((tuple(range(2, 4 + ndim)), tuple(range(1, 3 + ndim))), ((0,), (0,)))
    return transpose(dot_general(w, patches, dims), order)


# From as many places on, a product for each of the batch is large enough.
_LARGE = 256

conv_p.def_lowering(Composite(_conv_by_products))


# --- lax's function ----------------------------------------------------------------------------


class ConvDimensionNumbers(NamedTuple):
    """Where batch (out), feature (in) and space are in the input, the window and the result."""

    lhs_spec: Sizes
    rhs_spec: Sizes
    out_spec: Sizes


def conv_dimension_numbers(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], dimension_numbers: Any
) -> ConvDimensionNumbers:
    """Return dimension numbers from strings such as ``("NHWC", "HWIO", "NHWC")``, or None."""
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    ndim = len(lhs_shape)
    if dimension_numbers is None:
        line = tuple(range(ndim))
        return ConvDimensionNumbers(line, line, line)
    lhs, rhs, out = dimension_numbers
    if not all(isinstance(s, str) and len(set(s)) == len(s) == ndim for s in (lhs, rhs, out)):
        raise ShapeError(
            compose(
                f"dimension_numbers={dimension_numbers!r} for a convolution of shapes "
                f"{tuple(lhs_shape)} and {tuple(rhs_shape)}.",
                f"each is a string with a letter for each of the {ndim} axes.",
                '("NCHW", "OIHW", "NCHW")',
            )
        )
    space = [c for c in rhs if c not in "OI"]
    try:
        return ConvDimensionNumbers(
            tuple(lhs.index(c) for c in ["N", "C", *space]),
            tuple(rhs.index(c) for c in ["O", "I", *space]),
            tuple(out.index(c) for c in ["N", "C", *space]),
        )
    except ValueError:
        raise ShapeError(
            compose(
                f"dimension_numbers={dimension_numbers!r}.",
                "inputs and results have N and C, windows O and I, and space the same letters.",
                '("NCHW", "OIHW", "NCHW")',
            )
        ) from None


def padding_pairs(
    padding: Any, space: Sizes, window: Sizes, strides: Sizes, base: Sizes, step: Sizes
) -> Padding:
    """Return padding as pairs; ``"VALID"``, ``"SAME"`` and ``"SAME_LOWER"`` are worked out."""
    if not isinstance(padding, str):
        return tuple((int(lo), int(hi)) for lo, hi in padding)
    name = padding.upper()
    if name == "VALID":
        return ((0, 0),) * len(space)
    if name not in ("SAME", "SAME_LOWER"):
        raise ValueError(
            compose(f"padding={padding!r}.", "", '"VALID", "SAME", "SAME_LOWER" or pairs.')
        )
    pairs = []
    for n, k, s, bn, st in zip(space, window, strides, base, step):
        n, k = dilated(n, bn), dilated(k, st)
        total = max((-(-n // s) - 1) * s + k - n, 0)
        small = total // 2
        pairs.append((small, total - small) if name == "SAME" else (total - small, small))
    return tuple(pairs)


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Correlate ``lhs`` with the window ``rhs``, as ``jax.lax.conv_general_dilated``.

    Args:
        lhs: the input: batch, channels and space, in the order of ``dimension_numbers``.
        rhs: the window: outputs, channels and space.
        window_strides: the steps of the window.
        padding: ``"SAME"``, ``"VALID"``, or (low, high) per axis of space; negative ones cut off.
        lhs_dilation, rhs_dilation: how far apart the elements of either are put.
        dimension_numbers: strings, ``ConvDimensionNumbers``, or None: NCHW, OIHW, NCHW.
        feature_group_count: groups of channels convolved on their own.
        batch_group_count: groups of the batch, each with its own outputs.
        precision: accepted; products are always in full precision.
        preferred_element_type: the dtype of the result.
    """
    d = conv_dimension_numbers(shape_of(lhs), shape_of(rhs), dimension_numbers)
    if preferred_element_type is not None:
        wanted = canonical_dtype(preferred_element_type)
        lhs, rhs = convert_element_type(lhs, wanted), convert_element_type(rhs, wanted)
    x, w = transpose(lhs, d.lhs_spec), transpose(rhs, d.rhs_spec)
    ones = (1,) * (len(x.shape) - 2)
    strides = tuple(window_strides)
    base = ones if lhs_dilation is None else tuple(lhs_dilation)
    step = ones if rhs_dilation is None else tuple(rhs_dilation)
    pairs = padding_pairs(padding, x.shape[2:], w.shape[2:], strides, base, step)
    groups = feature_group_count * batch_group_count
    _check_groups(x.shape, w.shape, feature_group_count, batch_group_count)
    n, c, *space = x.shape
    if feature_group_count > 1:
        x = move_axis(reshape(x, (n, groups, c // groups, *space)), 1, 0)
    else:
        x = reshape(x, (groups, n // groups, c, *space))
    w = reshape(w, (groups, w.shape[0] // groups, *w.shape[1:]))
    out = conv_p.bind(
        x, w, window_strides=strides, padding=pairs, lhs_dilation=base, rhs_dilation=step
    )
    out = move_axis(out, 0, 1)
    out = reshape(out, (out.shape[0], groups * out.shape[2], *out.shape[3:]))
    order = [0] * len(d.out_spec)
    for i, place in enumerate(d.out_spec):
        order[place] = i
    return transpose(out, order)


def _check_groups(x: Sizes, w: Sizes, features: int, batches: int) -> None:
    fits = min(features, batches) == 1 and x[1] == w[1] * features
    if not fits or x[0] % batches or w[0] % (features * batches):
        raise ShapeError(
            compose(
                f"conv_general_dilated got an input with batch {x[0]} and {x[1]} channels, a "
                f"window with {w[0]} outputs and {w[1]} channels, "
                f"feature_group_count={features} and batch_group_count={batches}.",
                "channels of the input are those of the window times feature_group_count; the "
                "group counts divide the outputs, batch_group_count the batch, and one of them "
                "is 1.",
            )
        )
