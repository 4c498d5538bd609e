"""How convolutions are compiled: windows seen through strides, copied once, and a matrix product.

Three rewrites make the product fast. Padding is done first, so that windows are nothing but
strides. Where windows move by one, whole images are one line (a few results between the rows are
computed for nothing and never looked at), so that copies are long. And a dilated input, as in the
gradient of a strided convolution, becomes a convolution of the plain input with more outputs: one
for each remainder of the place, which are then put side by side.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace.core.aval import ShapedArray
from functrace.core.lowering import View
from functrace.core.trace import Primitive
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.contraction import dot_general
from functrace.ops.creation import full
from functrace.ops.direct_conv import (
    conv_lines,
    conv_sums,
    fills_vectors,
    in_blocks,
    places_at_once,
)
from functrace.ops.joining import concatenate, pad, slice_in_dim
from functrace.ops.structural import move_axis, reshape, rev, transpose
from functrace.ops.window_sizes import Padding, Sizes, dilated, out_space, size_of

__all__ = ["conv_by_products", "sliding_windows"]

# --- windows as a view -------------------------------------------------------------------------

windows_p = Primitive("sliding_windows", not_differentiable="only compiled convolutions hold it")


def _windows_view(
    shape: Sizes, strides: Sizes, *, axis: int, size: int, step: int, stride: int
) -> Any:
    places = (shape[axis] - dilated(size, step)) // stride + 1
    old = strides[axis]
    return (
        (*shape[:axis], size, places, *shape[axis + 1 :]),
        (*strides[:axis], step * old, stride * old, *strides[axis + 1 :]),
        0,
    )


@windows_p.def_impl
def _windows_impl(x: Any, **params: Any) -> Any:
    x = np.asarray(x)
    shape, strides, _ = _windows_view(x.shape, x.strides, **params)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


@windows_p.def_abstract_eval
def _windows_type(x: ShapedArray, **params: Any) -> ShapedArray:
    return ShapedArray(_windows_view(x.shape, x.shape, **params)[0], x.dtype)


@windows_p.def_batching
def _windows_batching(lanes: int, args: Sequence[Any], dims: Sequence[int], **params: Any) -> Any:
    x = move_axis(args[0], dims[0], 0)
    return windows_p.bind(x, **params | {"axis": params["axis"] + 1}), 0


windows_p.def_lowering(View(_windows_view))


def sliding_windows(x: Any, axis: int, size: int, step: int = 1, stride: int = 1) -> Any:
    """Replace an axis by two: what a window sees, and where it is. At least one window fits."""
    return windows_p.bind(x, axis=axis, size=size, step=step, stride=stride)


# --- convolutions ------------------------------------------------------------------------------

# What is multiplied where it is read.
_DIRECT = ("float32", "float64")
# With more outputs the product of matrices is worth a copy of what windows see.
_FEW = 32
# Images of fewer places are not worth tiles of their own.
_LINE = 32
# Windows are laid out in pieces of about this many elements, and in so many pieces at most.
_PIECE = 1 << 19
_MOST_PIECES = 16
# From as many places on, a product for each of the batch is large enough.
_LARGE = 512
# How much more of a line may be computed than is wanted.
_WASTE = 1.25


def conv_by_products(
    x: Any,
    w: Any,
    *,
    window_strides: Sizes,
    padding: Padding,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
) -> list[Any]:
    """Return ``[conv(x, w)]`` in terms of pads, views and products."""
    groups, batch, _, *space = x.shape
    params = (window_strides, padding, lhs_dilation, rhs_dilation)
    places = out_space(tuple(space), w.shape[3:], *params)
    out_shape = (groups, batch, w.shape[1], *places)
    if 0 in out_shape or 0 in w.shape or 0 in x.shape:
        return [full(out_shape, 0, x.dtype)]
    plain = zip(window_strides, lhs_dilation, rhs_dilation)
    if max(lhs_dilation, default=1) > 1 and all(
        base == 1 or stride == step == 1 for stride, base, step in plain
    ):
        return [_by_remainders(x, w, places, *params)]
    if _is_direct(x, w, places, window_strides, lhs_dilation):
        if size_of(places) >= _LINE:
            return [_direct(x, w, places, padding, rhs_dilation)]
        if batch >= _LINE:
            return [_direct_by_batch(x, w, places, padding, rhs_dilation)]
    config = [(0, 0, 0)] * 3 + [(lo, hi, d - 1) for (lo, hi), d in zip(padding, lhs_dilation)]
    long = size_of(w.shape[3:]) > size_of(places)
    # Batch and channel change places in a gradient: as they lie in memory, the padded copy has the
    # batch outermost, and no stride of it depends on how large it is.
    swapped = (0, 2, 1, *range(3, x.ndim))
    x = transpose(pad(transpose(x, swapped), 0, config), swapped) if long else pad(x, 0, config)
    if x.dtype.name in _DIRECT and long:
        if fills_vectors(w.shape[-1], x.dtype) and rhs_dilation[-1] == 1 and w.shape[1] <= _FEW:
            return [conv_sums(x, w, window_strides, rhs_dilation, places)]
        if fills_vectors(w.shape[2], x.dtype):
            return [_sums_by_channel(x, w, places, window_strides, rhs_dilation)]
    total = groups * batch * size_of(w.shape[2:]) * size_of(places)
    pieces = min(batch, -(-total // _PIECE), _MOST_PIECES)
    stops = [batch * i // pieces for i in range(pieces + 1)]
    outs = [
        _product(slice_in_dim(x, start, stop, axis=1), w, places, window_strides, rhs_dilation)
        for start, stop in itertools.pairwise(stops)
    ]
    return [concatenate(outs, 1) if pieces > 1 else outs[0]]


def _is_direct(x: Any, w: Any, places: Sizes, strides: Sizes, base: Sizes) -> bool:
    """Whether windows move by one over real numbers, and see less than they are seen."""
    return (
        x.dtype.name in _DIRECT
        and max(strides, default=2) == max(base, default=2) == 1
        and 1 < size_of(w.shape[3:]) <= size_of(places)
    )


def _direct(x: Any, w: Any, places: Sizes, padding: Padding, steps: Sizes) -> Any:
    """Convolve where it is read: lines of images, and weights in blocks of outputs."""
    groups, batch, channels, *space = x.shape
    outs, window = w.shape[1], w.shape[3:]
    ndim = len(window)
    wide = [n + lo + hi for n, (lo, hi) in zip(space, padding)]
    apart = tuple(size_of(wide[d + 1 :]) for d in range(ndim))
    run = 1 + sum((n - 1) * a for n, a in zip(places, apart))
    tile = places_at_once(outs, run, x.dtype)
    length = -(-run // tile) * tile
    # Tiles may reach beyond the last row: more rows of nothing.
    taps = tuple(step * a for step, a in zip(steps, apart))
    reach = length + sum((n - 1) * a for n, a in zip(window, taps))
    more = max(0, -(-(reach - size_of(wide)) // apart[0]))
    config = [(lo, hi + more * (d == 0), 0) for d, (lo, hi) in enumerate(padding)]
    x = pad(x, 0, [(0, 0, 0)] * 3 + config)
    x = reshape(x, (groups, batch, channels, size_of(x.shape[3:])))
    out = conv_lines(x, in_blocks(w), outs, length, tile, taps)
    return _Line(0, apart).places(out, places)


def _direct_by_batch(x: Any, w: Any, places: Sizes, padding: Padding, steps: Sizes) -> Any:
    """Convolve small images: some of the batch are one more axis of space, the last."""
    groups, batch, *rest = x.shape
    some = next(n for n in (*range(4 * _LINE, _LINE - 1, -1), batch) if batch % n == 0)
    x = reshape(x, (groups, batch // some, some, *rest))
    x = transpose(x, (0, 1, *range(3, x.ndim), 2))
    w = reshape(w, (*w.shape, 1))
    out = _direct(x, w, (*places, some), (*padding, (0, 0)), (*steps, 1))
    out = transpose(out, (0, 1, out.ndim - 1, *range(2, out.ndim - 1)))
    return reshape(out, (groups, batch, *out.shape[3:]))


def _sums_by_channel(x: Any, w: Any, places: Sizes, strides: Sizes, steps: Sizes) -> Any:
    """Correlate with long windows of short rows: channels are one more axis of space, the last."""
    order = (0, 1, *range(3, x.ndim), 2)
    x, w = (transpose(a, order) for a in (x, w))
    x, w = (reshape(a, (*a.shape[:2], 1, *a.shape[2:])) for a in (x, w))
    out = conv_sums(x, w, (*strides, 1), (*steps, 1), (*places, 1))
    return reshape(out, out.shape[:-1])


def _product(x: Any, w: Any, places: Sizes, strides: Sizes, steps: Sizes) -> Any:
    """Convolve a padded input, in the order in which windows are copied and multiplied fastest."""
    groups, batch = x.shape[:2]
    outs, window = w.shape[1], w.shape[3:]
    ndim = len(window)
    line = _Line.of(x.shape[3:], places, strides)
    swapped = (0, 2, 1, *range(3, x.ndim))
    if size_of(window) > size_of(places):
        # (group, batch, place, channel and window): as in the gradient of a window.
        seen = _windows(x, 3, window, places, strides, steps)
        back = (0, 1, *range(3 + ndim, 3 + 2 * ndim), 2, *range(3, 3 + ndim))
        contracted = tuple(range(2 + ndim, 3 + 2 * ndim))
        dims: Any = ((tuple(range(2, 3 + ndim)), contracted), ((0,), (0,)))
        return transpose(dot_general(w, transpose(seen, back), dims), swapped)
    each = groups == 1 and size_of(places) >= _LARGE
    # (group, batch, channel and window, place), or with the batch as an axis of places.
    x = x if each else transpose(x, swapped)
    if line is not None:
        x = reshape(x, (*x.shape[:3], line.length))
        seen = line.windows(x, window, steps)
    else:
        seen = _windows(x, 3, window, places, strides, steps)
    if each:
        w = broadcast_in_dim(w, (groups, batch, *w.shape[1:]), (0, *range(2, 4 + ndim)))
        dims = ((tuple(range(3, 4 + ndim)), tuple(range(2, 3 + ndim))), ((0, 1), (0, 1)))
        out = dot_general(w, seen, dims)
    else:
        # (group, channel and window, batch and place)
        inner, rest = range(3, 3 + ndim), range(3 + ndim, seen.ndim)
        seen = transpose(seen, (0, 1, *inner, 2, *rest))
        dims = ((tuple(range(2, 3 + ndim)), tuple(range(1, 2 + ndim))), ((0,), (0,)))
        out = transpose(dot_general(w, seen, dims), (0, 2, 1, *range(3, seen.ndim - ndim)))
    if line is not None:
        out = line.places(out, places)
    assert out.shape[:3] == (groups, batch, outs)
    return out


def _windows(x: Any, first: int, window: Sizes, places: Sizes, strides: Sizes, steps: Sizes) -> Any:
    """Replace the axes from ``first`` on by those of the window and those of its places."""
    ndim = len(window)
    for d, (size, n, stride, step) in enumerate(zip(window, places, strides, steps)):
        axis = first + 2 * d
        wanted = dilated(size, step) + (n - 1) * stride
        x = slice_in_dim(x, 0, wanted, axis=axis)
        x = sliding_windows(x, axis, size, step, stride)
    lead = tuple(range(first))
    inner = tuple(first + 2 * d for d in range(ndim))
    outer = tuple(first + 2 * d + 1 for d in range(ndim))
    return transpose(x, (*lead, *inner, *outer))


class _Line(NamedTuple):
    """Images as lines: how long they are, and how far apart neighbours on each axis."""

    length: int
    apart: Sizes

    @staticmethod
    def of(space: Sizes, places: Sizes, strides: Sizes) -> _Line | None:
        """Return the line of a space, or None where too much would be computed for nothing."""
        if max(strides, default=1) > 1 or len(space) < 2:
            return None
        apart = tuple(size_of(space[d + 1 :]) for d in range(len(space)))
        run = 1 + sum((n - 1) * a for n, a in zip(places, apart))
        return _Line(size_of(space), apart) if run <= _WASTE * size_of(places) else None

    def windows(self, x: Any, window: Sizes, steps: Sizes) -> Any:
        """Replace the last axis, the line, by the window's axes and the windows' places."""
        for size, step, apart in zip(window, steps, self.apart):
            x = sliding_windows(x, x.ndim - 1, size, step * apart)
        return x

    def places(self, x: Any, places: Sizes) -> Any:
        """Pick what is wanted of a line of results."""
        run = 1 + sum((n - 1) * a for n, a in zip(places, self.apart))
        x = slice_in_dim(x, 0, run, axis=x.ndim - 1)
        for n, apart in zip(places, self.apart):
            x = sliding_windows(x, x.ndim - 1, n, apart)
        # What is left of the line after the last axis is one place.
        return reshape(x, x.shape[:-1])


def _by_remainders(
    x: Any,
    w: Any,
    places: Sizes,
    strides: Sizes,
    padding: Padding,
    base: Sizes,
    steps: Sizes,
) -> Any:
    """Convolve a dilated input: out[i] = sum_k w[k] xd[i + k - lo], xd[s * j] = x[j].

    With i = q * s + r only k = s * m + a - r count, a = lo modulo s less s: for each remainder r
    that is a convolution of x with every s-th element of the window, whose results are q.
    """
    ndim, taps, counts, pads, fronts = len(base), [], [], [], []
    for n, k, m, s, (lo, hi) in zip(x.shape[3:], w.shape[3:], places, base, padding):
        first = -lo // s
        count = (k + s - 2 - lo) // s - first + 1 if s > 1 else k
        many = -(-m // s)
        taps.append(count)
        counts.append(many)
        pads.append((-first, many + count - 1 - n + first) if s > 1 else (lo, hi))
        fronts.append(s - 1 - (lo + s * first) if s > 1 else 0)
    config = [(0, 0, 0)] * 3 + [
        (front, s * count - front - k, 0)
        for front, s, count, k in zip(fronts, base, taps, w.shape[3:])
    ]
    groups, outs, channels = w.shape[:3]
    split = [n for pair in zip(taps, base) for n in pair]
    w = reshape(pad(w, 0, config), (groups, outs, channels, *split))
    inner, rest = range(3, 3 + 2 * ndim, 2), range(4, 4 + 2 * ndim, 2)
    w = transpose(rev(w, tuple(rest)), (0, 1, *rest, 2, *inner))
    w = reshape(w, (groups, outs * size_of(base), channels, *taps))
    (out,) = conv_by_products(
        x,
        w,
        window_strides=strides,
        padding=tuple(pads),
        lhs_dilation=(1,) * ndim,
        rhs_dilation=steps,
    )
    out = reshape(out, (*out.shape[:2], outs, *base, *counts))
    order = [axis for d in range(ndim) for axis in (3 + ndim + d, 3 + d)]
    out = transpose(out, (0, 1, 2, *order))
    out = reshape(out, (*out.shape[:3], *(n * s for n, s in zip(counts, base))))
    for d, n in enumerate(places):
        out = slice_in_dim(out, 0, n, axis=3 + d)
    return out
