"""Samples of products, convolutions and reductions over windows; references are loops or einsum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from samples import Sample, normal, samples

Samples = Iterator[Sample]
DType = np.dtype[Any]


def _dot_slowly(x: Any, y: Any, dimension_numbers: Any, preferred_element_type: Any = None) -> Any:
    (lc, rc), (lb, rb) = dimension_numbers
    letters = iter("abcdefghijkl")
    xs = [next(letters) for _ in x.shape]
    ys = [next(letters) for _ in y.shape]
    for i, j in zip((*lc, *lb), (*rc, *rb)):
        ys[j] = xs[i]
    out = [xs[i] for i in lb]
    out += [c for i, c in enumerate(xs) if i not in (*lc, *lb)]
    out += [c for i, c in enumerate(ys) if i not in (*rc, *rb)]
    wide = preferred_element_type or x.dtype
    text = f"{''.join(xs)},{''.join(ys)}->{''.join(out)}"
    return np.einsum(text, x.astype(wide), y.astype(wide))


PRODUCTS: list[tuple[Any, ...]] = [
    ((2, 3), (3, 4), (((1,), (0,)), ((), ()))),
    ((3, 2), (3, 4), (((0,), (0,)), ((), ()))),
    ((3,), (3,), (((0,), (0,)), ((), ()))),
    ((3, 2), (2,), (((1,), (0,)), ((), ()))),
    ((2,), (2, 3), (((0,), (0,)), ((), ()))),
    ((2, 3), (2,), (((), ()), ((0,), (0,)))),
    ((2,), (3,), (((), ()), ((), ()))),
    ((), (3,), (((), ()), ((), ()))),
    ((2, 3, 4), (2, 4, 3), (((2,), (1,)), ((0,), (0,)))),
    ((2, 3, 4), (4, 3, 2), (((2, 1), (0, 1)), ((), ()))),
    ((2, 3, 4), (3, 4, 2), (((1, 2), (0, 1)), ((0,), (2,)))),
    ((3, 2, 4), (4, 5, 2, 3), (((0,), (3,)), ((2, 1), (0, 2)))),
    ((2, 0), (0, 3), (((1,), (0,)), ((), ()))),
    ((0, 2), (2, 3), (((1,), (0,)), ((), ()))),
    ((2, 3), (2, 3), (((), ()), ((1, 0), (1, 0)))),
]


@samples("dot_general", dtypes="bifch", reference=_dot_slowly)
def _dot_general(rng: np.random.Generator, dtype: DType) -> Samples:
    for left, right, dims in PRODUCTS:
        params = {"dimension_numbers": dims, "preferred_element_type": None}
        args = (normal(rng, dtype, left), normal(rng, dtype, right))
        yield Sample(args, params, ulp=64, tol=4)
    wider = {"int8": "int32", "int32": "int64", "float32": "float64"}.get(dtype.name)
    if wider:
        left, right, dims = PRODUCTS[8]
        params = {"dimension_numbers": dims, "preferred_element_type": np.dtype(wider)}
        args = (normal(rng, dtype, left), normal(rng, dtype, right))
        yield Sample(args, params, tol=1e9 if dtype.kind == "f" else 1)


# --- windows -----------------------------------------------------------------------------------


def _spread(x: Any, axes: Any, padding: Any, base: Any, filler: Any) -> Any:
    """Dilate and pad by hand."""
    for axis, (lo, hi), step in zip(axes, padding, base):
        n = x.shape[axis]
        size = lo + hi + (n and (n - 1) * step + 1)
        out = np.full((*x.shape[:axis], size, *x.shape[axis + 1 :]), filler, x.dtype)
        for i in range(n):
            if 0 <= lo + i * step < size:
                np.moveaxis(out, axis, 0)[lo + i * step] = np.moveaxis(x, axis, 0)[i]
        x = out
    return x


def _count(size: int, window: int, step: int, stride: int) -> int:
    return max((size - ((window - 1) * step + 1)) // stride + 1, 0)


def _conv_slowly(
    x: Any, w: Any, window_strides: Any, padding: Any, lhs_dilation: Any, rhs_dilation: Any
) -> Any:
    ndim = len(window_strides)
    x = _spread(x, range(3, 3 + ndim), padding, lhs_dilation, 0)
    counts = [_count(*each) for each in zip(x.shape[3:], w.shape[3:], rhs_dilation, window_strides)]
    out = np.zeros((x.shape[0], x.shape[1], w.shape[1], *counts), x.dtype)
    for place in np.ndindex(*counts):
        for k in np.ndindex(*w.shape[3:]):
            at = tuple(i * s + j * d for i, j, s, d in zip(place, k, window_strides, rhs_dilation))
            seen = x[(slice(None),) * 3 + at]
            out[(slice(None),) * 3 + place] += np.einsum(
                "gnc,goc->gno", seen, w[(slice(None),) * 3 + k]
            )
    return out


CONVOLUTIONS: list[tuple[Any, ...]] = [
    ((1, 2, 2, 6), (1, 3, 2, 3), (1,), ((0, 0),), (1,), (1,)),
    ((1, 2, 1, 6), (1, 1, 1, 3), (2,), ((1, 2),), (1,), (1,)),
    ((2, 1, 2, 5), (2, 2, 2, 2), (1,), ((1, 1),), (2,), (2,)),
    ((1, 1, 1, 7), (1, 1, 1, 2), (3,), ((-1, 2),), (1,), (2,)),
    ((1, 1, 1, 3), (1, 1, 1, 3), (2,), ((2, -1),), (3,), (1,)),
    ((1, 2, 2, 4, 5), (1, 2, 2, 2, 3), (1, 2), ((0, 1), (1, 1)), (1, 1), (1, 1)),
    ((1, 2, 2), (1, 3, 2), (), (), (), ()),
    ((1, 2, 2, 3), (1, 1, 2, 3), (1,), ((0, 0),), (1,), (1,)),
    ((1, 2, 1, 20, 20), (1, 2, 1, 3, 3), (1, 1), ((1, 1), (0, 1)), (1, 1), (1, 1)),
    ((1, 1, 1, 2), (1, 1, 1, 3), (1,), ((0, 0),), (1,), (1,)),
    ((1, 0, 1, 3), (1, 1, 1, 2), (1,), ((0, 0),), (1,), (1,)),
]


@samples("conv_general_dilated", dtypes="ifch", reference=_conv_slowly)
def _conv(rng: np.random.Generator, dtype: DType) -> Samples:
    names = ("window_strides", "padding", "lhs_dilation", "rhs_dilation")
    for left, right, *rest in CONVOLUTIONS:
        args = (normal(rng, dtype, left), normal(rng, dtype, right))
        yield Sample(args, dict(zip(names, rest)), ulp=64, tol=4)


def _lines_slowly(
    x: Any, w: Any, outputs: int, length: int, tile: int, apart: tuple[int, ...]
) -> Any:
    groups, blocks, channels, *window, rows = w.shape
    weights = np.moveaxis(w, -1, 2).reshape(groups, blocks * rows, channels, *window)
    out = np.zeros((*x.shape[:2], outputs, length), x.dtype)
    for o, p, c, *k in np.ndindex(outputs, length, channels, *window):
        at = p + sum(i * a for i, a in zip(k, apart))
        out[:, :, o, p] += x[:, :, c, at] * weights[(slice(None), o, c, *k)][:, None]
    return out


@samples("conv_lines", dtypes="f", reference=_lines_slowly)
def _conv_lines(rng: np.random.Generator, dtype: DType) -> Samples:
    lanes = 64 // dtype.itemsize
    for left, right, outputs, tiles, apart in [
        ((2, 2, 3), (2, 2, 3, 2, 3, 2), 3, (2, 2), (5, 1)),
        ((1, 1, 2), (1, 1, 2, 2, 2, 4), 4, (1, 1), (7, 2)),
        ((2, 1, 1), (2, 3, 1, 2, 1), 3, (1, 2), (3,)),
        ((1, 1, 1), (1, 1, 1, 1), 1, (1, 1), ()),
        ((1, 2, 0), (1, 1, 0, 2, 3), 2, (1, 1), (1,)),
    ]:
        line = lanes * tiles[0] * tiles[1]
        reach = sum((n - 1) * a for n, a in zip(right[3:-1], apart))
        x = normal(rng, dtype, (*left, line + reach))
        params = {"outputs": outputs, "length": line, "tile": lanes * tiles[0], "apart": apart}
        yield Sample((x, normal(rng, dtype, right)), params, ulp=4096, tol=4)


def _sums_slowly(x: Any, w: Any, strides: Any, steps: Any, places: Any) -> Any:
    out = np.zeros((*x.shape[:2], w.shape[1], *places), x.dtype)
    for p in np.ndindex(*places):
        for o, c, *k in np.ndindex(*w.shape[1:]):
            at = tuple(i * s + j * n for i, s, j, n in zip(p, strides, k, steps))
            seen = x[(slice(None), slice(None), c, *at)]
            out[(slice(None), slice(None), o, *p)] += seen * w[(slice(None), o, c, *k)][:, None]
    return out


@samples("conv_sums", dtypes="f", reference=_sums_slowly)
def _conv_sums(rng: np.random.Generator, dtype: DType) -> Samples:
    for left, right, strides, steps, places in [
        ((2, 2, 2, 5, 24), (2, 5, 2, 3, 19), (1, 1), (1, 1), (3, 6)),
        ((1, 1, 1, 6, 9), (1, 2, 1, 2, 3), (2, 3), (3, 1), (2, 3)),
        ((2, 1, 1, 41), (2, 1, 1, 40), (1,), (1,), (2,)),
        ((1, 2, 0, 4), (1, 3, 0, 4), (1,), (1,), (1,)),
    ]:
        args = normal(rng, dtype, left), normal(rng, dtype, right)
        params = {"strides": strides, "steps": steps, "places": places}
        yield Sample(args, params, ulp=4096, tol=4)


@samples("sliding_windows", dtypes="ifc")
def _sliding_windows(rng: np.random.Generator, dtype: DType) -> Samples:
    def reference(x: Any, axis: int, size: int, step: int, stride: int) -> Any:
        places = (x.shape[axis] - (size - 1) * step - 1) // stride + 1
        rows = [
            np.take(x, [k * step + i * stride for i in range(places)], axis) for k in range(size)
        ]
        return np.stack(rows, axis)

    for shape, axis, size, step, stride in [
        ((7,), 0, 3, 1, 1),
        ((9, 2), 0, 2, 3, 2),
        ((2, 8), 1, 3, 2, 1),
        ((2, 5, 3), 1, 5, 1, 1),
        ((4,), 0, 1, 1, 3),
    ]:
        params = {"axis": axis, "size": size, "step": step, "stride": stride}
        yield Sample((normal(rng, dtype, shape),), params, reference=reference)


WINDOWS: list[tuple[Any, ...]] = [
    ((6,), (3,), (1,), ((0, 0),), (1,), (1,)),
    ((6,), (2,), (2,), ((1, 1),), (1,), (1,)),
    ((5,), (2,), (2,), ((1, 2),), (2,), (2,)),
    ((5,), (3,), (2,), ((1, 2),), (2,), (1,)),
    ((7,), (3,), (2,), ((-1, 1),), (1,), (2,)),
    ((4, 5), (2, 2), (2, 1), ((0, 0), (1, 0)), (1, 1), (1, 1)),
    ((2, 4, 3), (1, 2, 3), (1, 2, 1), ((0, 0), (0, 0), (1, 1)), (1, 1, 1), (1, 1, 1)),
    ((2,), (3,), (1,), ((0, 0),), (1,), (1,)),
    ((), (), (), (), (), ()),
]


def _windows_slowly(start: Callable[[DType], Any], combine: Callable[[Any], Any]) -> Any:
    def reference(
        x: Any,
        window_dimensions: Any,
        window_strides: Any,
        padding: Any,
        base_dilation: Any,
        window_dilation: Any,
    ) -> Any:
        dtype = np.asarray(x).dtype
        x = _spread(np.asarray(x), range(np.ndim(x)), padding, base_dilation, start(dtype))
        counts = [
            _count(*each)
            for each in zip(x.shape, window_dimensions, window_dilation, window_strides)
        ]
        out = np.zeros(counts, dtype)
        for place in np.ndindex(*counts):
            cut = tuple(
                slice(i * s, i * s + (n - 1) * d + 1, d)
                for i, s, n, d in zip(place, window_strides, window_dimensions, window_dilation)
            )
            out[place] = combine(x[cut])
        return out

    return reference


def _window_samples(rng: np.random.Generator, dtype: DType, distinct: bool) -> Samples:
    names = (
        "window_dimensions",
        "window_strides",
        "padding",
        "base_dilation",
        "window_dilation",
    )
    for shape, *rest in WINDOWS:
        x = normal(rng, dtype, shape)
        if distinct and dtype.kind in "fc":
            x = np.asarray(rng.permutation(x.size).reshape(shape) * 0.5 - 1).astype(dtype)[()]
        # An extreme of padding alone is infinite: no difference quotient.
        diff = not distinct or (shape, rest[0]) != ((5,), (2,))
        yield Sample((x,), dict(zip(names, rest)), ulp=16, diff=diff)


def _least(dtype: DType) -> Any:
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def _most(dtype: DType) -> Any:
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.inf


@samples("reduce_window_sum", dtypes="ifch", reference=_windows_slowly(lambda d: 0, np.sum))
def _reduce_window_sum(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _window_samples(rng, dtype, distinct=False)


@samples("reduce_window_max", dtypes="iufh", reference=_windows_slowly(_least, np.max))
def _reduce_window_max(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _window_samples(rng, dtype, distinct=True)


@samples("reduce_window_min", dtypes="iuf", reference=_windows_slowly(_most, np.min))
def _reduce_window_min(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _window_samples(rng, dtype, distinct=True)


def _window_numbers(x: Any, greatest: bool, **params: Any) -> Any:
    """Number the elements, and find where in its window each extreme is by its number."""
    x = np.asarray(x)
    flat = np.arange(x.size).reshape(x.shape)

    def choose(places: Any) -> int:
        best = -1
        for place in places.ravel():
            if place < 0:
                continue
            value, held = x.ravel()[place], x.ravel()[best]
            better = value > held if greatest else value < held
            if best < 0 or (not np.isnan(held) and (better or np.isnan(value))):
                best = int(place)
        return best

    return _windows_slowly(lambda d: -1, choose)(flat, **params)


def _arg_samples(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _window_samples(rng, dtype, distinct=False)
    names = (
        "window_dimensions",
        "window_strides",
        "padding",
        "base_dilation",
        "window_dilation",
    )
    params = dict(zip(names, WINDOWS[0][1:]))
    ties = np.array([1, 1, 0, 0, 1, 1]).astype(dtype)
    yield Sample((ties,), params)
    if dtype.kind == "f":
        yield Sample((np.array([1, np.nan, 3, np.nan, 2, 0], dtype),), params)


@samples("reduce_window_argmax", dtypes="iuf")
def _reduce_window_argmax(rng: np.random.Generator, dtype: DType) -> Samples:
    for sample in _arg_samples(rng, dtype):
        yield _with_reference(sample, greatest=True)


@samples("reduce_window_argmin", dtypes="iuf")
def _reduce_window_argmin(rng: np.random.Generator, dtype: DType) -> Samples:
    for sample in _arg_samples(rng, dtype):
        yield _with_reference(sample, greatest=False)


def _with_reference(sample: Sample, greatest: bool) -> Sample:
    def reference(x: Any, **params: Any) -> Any:
        return _window_numbers(x, greatest, **params)

    return Sample(sample.args, sample.params, reference=reference)
