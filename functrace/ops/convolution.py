"""conv_general_dilated: correlation with strides, padding, dilations and groups.

The primitive ``conv`` has its axes in one order and the groups as an axis of their own:
(group, batch, channel, *space) with (group, out, channel, *window) gives (group, batch, out,
*space). In this form it is its own derivative: with batch and channel exchanged it gives the
cotangent of the window, with the window reversed that of the input. Other orders are transposes
and reshapes around it, which cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import Composite
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive
from functrace.dtypes import canonical_dtype
from functrace.errors import ShapeError, compose
from functrace.ops.conv_products import conv_by_products
from functrace.ops.creation import convert_element_type, full
from functrace.ops.families import NUMERIC, check_dtypes
from functrace.ops.joining import pad_p
from functrace.ops.nests import in_bounds
from functrace.ops.structural import lanes_first, move_axis, reshape, rev, transpose
from functrace.ops.window_sizes import Padding, Sizes, dilated, out_space, size_of

__all__ = ["ConvDimensionNumbers", "conv_dimension_numbers", "conv_general_dilated"]


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
    places = out_space(x.shape[3:], *params)
    groups, batch, outs = x.shape[0], x.shape[1], w.shape[1]
    result = np.zeros((groups, batch, outs, *places), x.dtype)
    if 0 in result.shape or 0 in w.shape or 0 in x.shape:
        return result
    views = _views(x, *params)
    k, many = size_of(w.shape[2:]), size_of(places)
    places_last = many >= size_of(w.shape[3:])
    if places_last:
        # (group, 1, out, channel and window) @ (group, batch, channel and window, place)
        views = views.transpose((0, 1, 2, *range(3 + ndim, 3 + 2 * ndim), *range(3, 3 + ndim)))
        weights = w.reshape(groups, 1, outs, k)
    else:
        # (group, batch and place, channel and window) @ (group, channel and window, out)
        views = views.transpose((0, 1, *range(3, 3 + ndim), 2, *range(3 + ndim, 3 + 2 * ndim)))
        weights = w.reshape(groups, outs, k).transpose(0, 2, 1)
    some = max(1, _MOST_WINDOW_ELEMENTS // max(1, groups * many * k))
    for i in range(0, batch, some):
        part = views[:, i : i + some]
        n = part.shape[1]
        if places_last:
            product = weights @ part.reshape(groups, n, k, many)
        else:
            product = part.reshape(groups, n * many, k) @ weights
            product = np.moveaxis(product.reshape(groups, n, many, outs), -1, 2)
        result[:, i : i + some] = product.reshape((groups, n, outs, *places))
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
    space = out_space(x.shape[3:], w.shape[3:], window_strides, padding, lhs_dilation, rhs_dilation)
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


conv_p.def_lowering(Composite(conv_by_products))


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
