"""Convolutions with windows that move by one, computed where they are read: nothing is copied.

Images are lines, so an element of the window is a distance along the line. A tile of results, some
outputs by some places, stays in registers while all channels and elements of the window are added
to it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray
from functrace.core.lowering import Nest
from functrace.core.trace import Primitive
from functrace.ops.joining import pad
from functrace.ops.nests import for_each, share_each
from functrace.ops.structural import lanes_first, reshape, transpose
from functrace.ops.window_sizes import Sizes, size_of

__all__ = ["conv_lines", "conv_sums", "fills_vectors", "in_blocks", "places_at_once"]

#: Bytes of a register, and how many registers a tile has.
_REGISTER, _TILE = 64, 16
_MOST_OUTPUTS = 8
#: How many registers hold sums over a window.
_MOST_SUMS = 24

conv_lines_p = Primitive("conv_lines", not_differentiable="only compiled convolutions hold it")


def _outputs_at_once(outs: int) -> int:
    """Return how many outputs a tile has, so that few are computed for nothing."""
    return min(range(1, _MOST_OUTPUTS + 1), key=lambda n: (-(-outs // n) * (n + 2), -n))


def places_at_once(outs: int, places: int, dtype: np.dtype[Any]) -> int:
    """Return how many places a tile has, of so many."""
    lanes = _lanes(dtype)
    return min(_TILE // _outputs_at_once(outs), 8, -(-places // lanes)) * lanes


def fills_vectors(n: int, dtype: np.dtype[Any]) -> bool:
    """Whether a row of so many numbers leaves few lanes of vectors idle."""
    lanes = _lanes(dtype)
    return -(-n // lanes) * lanes <= 1.35 * n


def _lanes(dtype: np.dtype[Any]) -> int:
    return _REGISTER // dtype.itemsize


@conv_lines_p.def_impl
def _conv_lines_impl(x: Any, w: Any, *, outputs: int, length: int, tile: int, apart: Sizes) -> Any:
    out = np.zeros((*x.shape[:2], outputs, length), x.dtype)
    groups, blocks, channels, *window, rows = w.shape
    w = np.moveaxis(w, -1, 2).reshape(groups, blocks * rows, channels, *window)[:, :outputs]
    for place in np.ndindex(*window):
        start = sum(i * a for i, a in zip(place, apart))
        seen = x[..., start : start + length]
        out += np.einsum("goc,gncp->gnop", w[(..., *place)], seen)
    return out


@conv_lines_p.def_abstract_eval
def _conv_lines_type(
    x: ShapedArray, w: ShapedArray, *, outputs: int, length: int, tile: int, apart: Sizes
) -> ShapedArray:
    reach = sum((n - 1) * a for n, a in zip(w.shape[3:-1], apart))
    assert x.shape[-1] >= length + reach and length % tile == 0
    return ShapedArray((*x.shape[:2], outputs, length), x.dtype)


def _batched(primitive: Primitive) -> None:
    """Define the batching: lanes are more groups."""

    @primitive.def_batching
    def batching(size: int, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
        x, w = (lanes_first(size, a, d) for a, d in zip(args, dims))
        groups = x.shape[1]
        x, w = (reshape(a, (size * groups, *a.shape[2:])) for a in (x, w))
        out = primitive.bind(x, w, **params)
        return reshape(out, (size, groups, *out.shape[1:])), 0


_batched(conv_lines_p)


def _conv_lines_nest(
    b: Any,
    ins: Any,
    outs: Any,
    scratch: Any,
    avals_in: Sequence[ShapedArray],
    avals_out: Sequence[ShapedArray],
    *,
    outputs: int,
    length: int,
    tile: int,
    apart: Sizes,
) -> None:
    (x, w), (out,) = ins, outs
    rows, lanes = avals_in[1].shape[-1], _lanes(x.dtype)
    sums = _Sums(b, x.dtype, rows, tile // lanes)
    steps = [b.param_int(a) for a in apart]

    def unit(index: tuple[Any, ...]) -> None:
        group, image, block = index

        def one(first: Any) -> None:
            def add(at: tuple[Any, ...]) -> None:
                channel, *place = at
                start = functools.reduce(b.add, map(b.mul, place, steps), first)
                weights = [w.load((group, block, *at, r)) for r in range(rows)]

                def seen(v: int, lane: Any) -> Any:
                    return x.load((group, image, channel, b.add(b.add(start, v * lanes), lane)))

                sums.add(weights, seen)

            sums.clear()
            for_each(b, [w.shape[2], *w.shape[3:-1]], add)
            for r in range(rows):
                output = b.add(b.mul(block, b.const(rows, np.int64)), r)
                at = functools.partial(_places, b, (group, image, output), first, lanes)
                inside = b.lt(output, out.shape[2])
                b.cond(inside, functools.partial(sums.write, out, r, at), lambda: ())

        b.loop(0, out.shape[3], one, step=tile)

    share_each(b, [out.shape[0], out.shape[1], w.shape[1]], unit)


def _places(b: Any, line: tuple[Any, ...], first: Any, lanes: int, v: int, lane: Any) -> Any:
    """Return the index of a lane of vector v of a tile."""
    return (*line, b.add(b.add(first, v * lanes), lane))


class _Sums:
    """A table of vectors that stays in registers."""

    def __init__(self, b: Any, dtype: np.dtype[Any], rows: int, columns: int) -> None:
        self.b, self.dtype, self.lanes = b, dtype, _lanes(dtype)
        self.table = [[b.alloca(dtype, self.lanes) for _ in range(columns)] for _ in range(rows)]

    def clear(self) -> None:
        """Make all zero."""
        zero = self.b.const(0, self.dtype)
        for s in itertools.chain(*self.table):
            self.each(functools.partial(s.store, value=zero))

    def each(self, body: Callable[[Any], None]) -> None:
        """Emit ``body(lane)`` for all lanes."""
        self.b.lanes(0, self.lanes, self.lanes, body)

    def add(self, weights: Sequence[Any], seen: Callable[[int, Any], Any]) -> None:
        """Add the products of a number for each row and a vector for each column."""
        for v in range(len(self.table[0])):

            def lane(i: Any, v: int = v) -> None:
                value = seen(v, i)
                for weight, row in zip(weights, self.table):
                    row[v].store(i, self.b.fma(weight, value, row[v].load(i)))

            self.each(lane)

    def write(self, out: Any, row: int, at: Callable[[int, Any], Any]) -> tuple[()]:
        """Store a row."""
        for v, s in enumerate(self.table[row]):
            self.each(lambda i, v=v, s=s: out.store(at(v, i), s.load(i)))  # type: ignore[misc]
        return ()

    def total(self, row: int, column: int) -> Any:
        """Return the sum of a vector's lanes, by halves."""
        values = [self.table[row][column].load(k) for k in range(self.lanes)]
        while len(values) > 1:
            half = len(values) // 2
            values = [self.b.add(x, y) for x, y in zip(values[:half], values[half:])]
        return values[0]


def _units(avals_in: Any, avals_out: Any, **params: Any) -> tuple[int, int]:
    (_, w), (out,) = avals_in, avals_out
    units = out.shape[0] * out.shape[1] * w.shape[1]
    return units, size_of(w.shape[2:]) * out.shape[3] // 8


conv_lines_p.def_lowering(Nest(_conv_lines_nest, split=_units, rows=True))


def in_blocks(w: Any) -> Any:
    """Return weights (group, out, channel, *window) as (group, block, channel, *window, output)."""
    groups, outs, channels, *window = w.shape
    rows = _outputs_at_once(outs)
    blocks = -(-outs // rows)
    w = pad(w, 0, [(0, 0, 0), (0, blocks * rows - outs, 0)] + [(0, 0, 0)] * (1 + len(window)))
    w = reshape(w, (groups, blocks, rows, channels, *window))
    return transpose(w, (0, 1, *range(3, 4 + len(window)), 2))


def conv_lines(x: Any, w: Any, outs: int, length: int, tile: int, apart: Sizes) -> Any:
    """Return (group, batch, out, place) of lines and of weights in blocks of outputs.

    ``x`` is (group, batch, channel, place), ``w`` (group, block, channel, *window, output).
    ``length``, a multiple of ``tile``, is how many places there are.
    """
    return conv_lines_p.bind(x, w, outputs=outs, length=length, tile=tile, apart=apart)


# --- long windows --------------------------------------------------------------------------------

conv_sums_p = Primitive("conv_sums", not_differentiable="only compiled convolutions hold it")


@conv_sums_p.def_impl
def _conv_sums_impl(x: Any, w: Any, *, strides: Sizes, steps: Sizes, places: Sizes) -> Any:
    out = np.zeros((*x.shape[:2], w.shape[1], *places), x.dtype)
    for place in np.ndindex(*places):
        cut = tuple(
            slice(p * s, p * s + (n - 1) * t + 1, t)
            for p, s, n, t in zip(place, strides, w.shape[3:], steps)
        )
        seen = x[(..., *cut)].reshape(*x.shape[:2], -1)
        out[(..., *place)] = seen @ w.reshape(*w.shape[:2], -1).swapaxes(1, 2)
    return out


@conv_sums_p.def_abstract_eval
def _conv_sums_type(
    x: ShapedArray, w: ShapedArray, *, strides: Sizes, steps: Sizes, places: Sizes
) -> ShapedArray:
    return ShapedArray((*x.shape[:2], w.shape[1], *places), x.dtype)


_batched(conv_sums_p)


def _tile(outs: int, places: int) -> tuple[int, int]:
    """Return how many outputs and places in a row are summed up at once."""
    taps = -(-places // -(-places // 4))
    most = _MOST_SUMS // taps
    return min(range(1, most + 1), key=lambda n: (-(-outs // n) * (n + 3), -n)), taps


def _conv_sums_nest(
    b: Any,
    ins: Any,
    outs: Any,
    scratch: Any,
    avals_in: Sequence[ShapedArray],
    avals_out: Sequence[ShapedArray],
    *,
    strides: Sizes,
    steps: Sizes,
    places: Sizes,
) -> None:
    (x, w), (out,) = ins, outs
    rows, taps = _tile(avals_out[0].shape[2], places[-1])
    sums = _Sums(b, x.dtype, rows, taps)
    apart = [[b.param_int(n) for n in pair] for pair in zip(strides, steps)]
    one = b.const(1, np.int64)

    def unit(index: tuple[Any, ...]) -> None:
        group, image, block, *line, part = index
        outputs = [_clamped(b, block, rows, r, out.shape[2]) for r in range(rows)]
        ends = [_clamped(b, part, taps, t, out.shape[-1]) for t in range(taps)]
        starts = [b.mul(end, apart[-1][0]) for end in ends]

        def row(at: tuple[Any, ...]) -> None:
            channel, *place = at
            begin = [
                b.add(b.mul(p, stride), b.mul(k, step))
                for p, k, (stride, step) in zip(line, place, apart)
            ]

            def lane(here: Any, i: Any) -> None:
                seen = [x.load((group, image, channel, *begin, b.add(s, here))) for s in starts]
                for output, vectors in zip(outputs, sums.table):
                    weight = w.load((group, output, *at, here))
                    for value, s in zip(seen, vectors):
                        s.store(i, b.fma(weight, value, s.load(i)))

            _in_vectors(b, w.shape[-1], sums.lanes, lane)

        sums.clear()
        for_each(b, [w.shape[2], *w.shape[3:-1]], row)
        for r, t in itertools.product(range(rows), range(taps)):
            out.store((group, image, outputs[r], *line, ends[t]), sums.total(r, t))

    blocks = b.index_div(b.add(out.shape[2], rows - 1), b.mul(one, rows))
    parts = b.index_div(b.add(out.shape[-1], taps - 1), b.mul(one, taps))
    share_each(b, [*out.shape[:2], blocks, *out.shape[3:-1], parts], unit)


def _in_vectors(b: Any, count: Any, lanes: int, body: Callable[[Any, Any], None]) -> None:
    """Emit ``body(place, lane)`` for so many places, in vectors; the last may have idle lanes."""

    def vector(first: Any, active: Any) -> None:
        b.lanes(0, active, lanes, lambda i: body(b.add(first, i), i))

    whole = b.and_(count, b.const(-lanes, np.int64))
    b.loop(0, whole, lambda first: vector(first, lanes), step=lanes)
    vector(whole, b.sub(count, whole))


def _clamped(b: Any, block: Any, size: int, k: int, extent: Any) -> Any:
    """Return element k of a block; of those beyond the end, the last one there is."""
    return b.minimum(b.add(b.mul(block, b.const(size, np.int64)), k), b.sub(extent, 1))


def _sums_units(avals_in: Any, avals_out: Any, *, places: Sizes, **params: Any) -> tuple[int, int]:
    (_, w), (out,) = avals_in, avals_out
    rows, taps = _tile(out.shape[2], places[-1])
    units = size_of(out.shape) // max(1, out.shape[2] * places[-1])
    units *= -(-out.shape[2] // rows) * -(-places[-1] // taps)
    return units, size_of(w.shape[2:]) * rows * taps // 8


conv_sums_p.def_lowering(Nest(_conv_sums_nest, split=_sums_units, rows=True))


def conv_sums(x: Any, w: Any, strides: Sizes, steps: Sizes, places: Sizes) -> Any:
    """Correlate a padded input with windows longer than there are places, as a gradient does.

    On the last axis the step is 1.
    """
    return conv_sums_p.bind(x, w, strides=strides, steps=steps, places=places)
