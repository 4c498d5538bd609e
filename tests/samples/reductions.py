"""Samples of reductions, of running sums and extremes, and of sorting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from samples import Sample, normal, samples

Samples = Iterator[Sample]
DType = np.dtype[Any]

SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((4,), (0,)),
    ((2, 3), (1,)),
    ((2, 3), (0, 1)),
    ((2, 3, 2), (0, 2)),
    ((2, 1, 3), (1,)),
]
EMPTY = ((2, 0), (1,))


def _distinct(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> Any:
    """Return values that differ by much more than a difference quotient's step."""
    size = int(np.prod(shape))
    if dtype.kind == "b":
        return normal(rng, dtype, shape)
    values = rng.permutation(size).reshape(shape)
    if dtype.kind in "fc":
        values = (values - size / 2) * 0.5
    return (values + (0.25j if dtype.kind == "c" else 0)).astype(dtype)


def _over(ufunc: np.ufunc) -> Callable[..., Any]:
    return lambda x, axes: ufunc.reduce(x, axis=axes, dtype=x.dtype)


@samples("reduce_sum", dtypes="iufch", reference=_over(np.add))
def _reduce_sum(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape, axes in [*SHAPES, EMPTY, ((5, 70), (1,)), ((70, 3), (0,))]:
        yield Sample((normal(rng, dtype, shape),), {"axes": axes}, ulp=64)


@samples("reduce_prod", dtypes="iufch", reference=_over(np.multiply))
def _reduce_prod(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape, axes in [*SHAPES, EMPTY]:
        yield Sample((normal(rng, dtype, shape),), {"axes": axes}, ulp=32)
    for zeros in (1, 2):
        x = normal(rng, dtype, (2, 4))
        x[0, :zeros] = 0
        yield Sample((x,), {"axes": (1,)})


def _extreme_samples(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape, axes in SHAPES:
        yield Sample((_distinct(rng, dtype, shape),), {"axes": axes})
    if dtype.kind in "fc":
        x = _distinct(rng, dtype, (2, 3))
        x[0, 1] = np.nan
        yield Sample((x,), {"axes": (1,)}, diff=False)


@samples("reduce_max", dtypes="biufch", reference=lambda x, axes: np.max(x, axes))
def _reduce_max(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _extreme_samples(rng, dtype)


@samples("reduce_min", dtypes="biufc", reference=lambda x, axes: np.min(x, axes))
def _reduce_min(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _extreme_samples(rng, dtype)


def _bit_samples(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape, axes in [*SHAPES, EMPTY]:
        yield Sample((normal(rng, dtype, shape),), {"axes": axes})


@samples("reduce_and", dtypes="biu", reference=_over(np.bitwise_and))
def _reduce_and(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _bit_samples(rng, dtype)


@samples("reduce_or", dtypes="biu", reference=_over(np.bitwise_or))
def _reduce_or(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _bit_samples(rng, dtype)


@samples("reduce_xor", dtypes="biu", reference=_over(np.bitwise_xor))
def _reduce_xor(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _bit_samples(rng, dtype)


def _arg_samples(rng: np.random.Generator, dtype: DType) -> Samples:
    index = np.dtype(np.int64)
    for shape, axis in (((4,), 0), ((2, 3), 1), ((2, 3), 0), ((3, 1, 2), 1), ((0, 3), 1)):
        yield Sample((normal(rng, dtype, shape),), {"axis": axis, "index_dtype": index})
    ties = np.array([1, 0, 1, 0]).astype(dtype)
    yield Sample((ties,), {"axis": 0, "index_dtype": np.dtype(np.int32)})
    if dtype.kind in "fc":
        x = np.array([[1, np.nan, 3, np.nan], [np.inf, 1, -np.inf, 2]]).astype(dtype)
        yield Sample((x,), {"axis": 1, "index_dtype": index})


@samples("argmax", dtypes="biufch", reference=lambda x, axis, index_dtype: np.argmax(x, axis))
def _argmax(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _arg_samples(rng, dtype)


@samples("argmin", dtypes="biufc", reference=lambda x, axis, index_dtype: np.argmin(x, axis))
def _argmin(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _arg_samples(rng, dtype)


# --- running -----------------------------------------------------------------------------------


def _running(ufunc: np.ufunc) -> Callable[..., Any]:
    def reference(x: Any, axis: int, reverse: bool) -> Any:
        x = np.flip(x, axis) if reverse else x
        out = np.array(x)
        lines, values = np.moveaxis(out, axis, 0), np.moveaxis(x, axis, 0)
        for i in range(1, len(lines)):
            lines[i] = ufunc(lines[i - 1], values[i])
        return np.flip(out, axis) if reverse else out

    return reference


def _running_samples(
    rng: np.random.Generator, dtype: DType, make: Any = normal, ulp: int = 4
) -> Samples:
    for shape, axis in (((4,), 0), ((2, 3), 1), ((3, 2), 0), ((2, 3, 2), 1), ((0,), 0), ((1,), 0)):
        for reverse in (False, True):
            params = {"axis": axis, "reverse": reverse}
            yield Sample((make(rng, dtype, shape),), params, ulp=ulp)


@samples("cumsum", dtypes="iufch", reference=_running(np.add))
def _cumsum(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _running_samples(rng, dtype)


@samples("cumprod", dtypes="iufc", reference=_running(np.multiply))
def _cumprod(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _running_samples(rng, dtype)
    yield Sample((np.array([2, 0, 3, 0, 1]).astype(dtype),), {"axis": 0, "reverse": False})


@samples("cummax", dtypes="biufch", reference=_running(np.maximum))
def _cummax(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _running_samples(rng, dtype, _distinct)
    if dtype.kind in "fc":
        x = np.array([1, 3, np.nan, 5]).astype(dtype)
        yield Sample((x,), {"axis": 0, "reverse": False}, diff=False)


@samples("cummin", dtypes="biufc", reference=_running(np.minimum))
def _cummin(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _running_samples(rng, dtype, _distinct)


@samples("cumlogsumexp", dtypes="f", reference=_running(np.logaddexp))
def _cumlogsumexp(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _running_samples(rng, dtype, ulp=256)  # near 0 terms cancel
    big = np.array([1000, -1000, 999, 1001]).astype(dtype)
    yield Sample((big,), {"axis": 0, "reverse": False}, tol=1e3, diff=False)
    x = np.array([-np.inf, -np.inf, 0, 1]).astype(dtype)
    yield Sample((x,), {"axis": 0, "reverse": False}, diff=False)


@samples("linear_recurrence", dtypes="fc")
def _linear_recurrence(rng: np.random.Generator, dtype: DType) -> Samples:
    def reference(a: Any, b: Any, axis: int, reverse: bool) -> Any:
        if reverse:
            a, b = np.flip(a, axis), np.flip(b, axis)
        out = np.array(b)
        lines, factors = np.moveaxis(out, axis, 0), np.moveaxis(a, axis, 0)
        for i in range(1, len(lines)):
            lines[i] = lines[i] + factors[i] * lines[i - 1]
        return np.flip(out, axis) if reverse else out

    for shape, axis in (((4,), 0), ((2, 3), 1), ((3, 2), 0), ((0,), 0), ((1,), 0)):
        for reverse in (False, True):
            args = (normal(rng, dtype, shape), normal(rng, dtype, shape))
            params = {"axis": axis, "reverse": reverse}
            yield Sample(args, params, reference=reference, ulp=16, tol=4)


# --- sorting -----------------------------------------------------------------------------------


def _sorted(*xs: Any, dimension: int, num_keys: int, is_stable: bool) -> list[Any]:
    outs = [np.array(np.moveaxis(x, dimension, -1)) for x in xs]
    for place in np.ndindex(*outs[0].shape[:-1]):
        rows = [out[place].copy() for out in outs]
        order = np.arange(len(rows[0]))
        for key in reversed(rows[:num_keys]):
            order = order[np.argsort(key[order], kind="stable")]
        for out, row in zip(outs, rows):
            out[place] = row[order]
    return [np.moveaxis(out, -1, dimension) for out in outs]


@samples("argsort", dtypes="biufch", reference=lambda x: np.argsort(x, -1, kind="stable"))
def _argsort(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape in ((5,), (2, 4), (0,), (3, 0), (1,), (70,), (3, 2, 45)):
        yield Sample((_distinct(rng, dtype, shape),), {})
    yield Sample((normal(rng, np.dtype(np.int8), (90,)).astype(dtype),), {})
    if dtype.kind in "fc":
        x = np.array([3, np.nan, -np.inf, 0.0, -0.0, 1, np.nan, np.inf, -0.0, 0.0])
        for row in (x, np.tile(x, 9)):
            yield Sample((row.astype(dtype),), {})


@samples("sort", dtypes="biufch", reference=_sorted)
def _sort(rng: np.random.Generator, dtype: DType) -> Samples:
    params = {"dimension": 0, "num_keys": 1, "is_stable": True}
    for shape, dimension in (((5,), 0), ((2, 4), 1), ((4, 2), 0), ((0,), 0), ((1,), 0), ((70,), 0)):
        yield Sample((_distinct(rng, dtype, shape),), {**params, "dimension": dimension})
    ties = np.array([1, 0, 1, 1, 0, 1]).astype(dtype)
    carried = np.arange(6)
    yield Sample((ties, carried), params, diff=False)
    yield Sample((ties, _distinct(rng, dtype, (6,)), carried), {**params, "num_keys": 2}, diff=(1,))
    long = normal(rng, np.dtype(np.int8), (50,)).astype(dtype)
    yield Sample((long, np.arange(50)), params, diff=False)
    if dtype.kind in "fc":
        x = np.array([3, np.nan, -np.inf, 1, np.nan, np.inf]).astype(dtype)
        yield Sample((x,), params, diff=False)
    if dtype.kind == "c":
        parts = [1, np.nan, 0, 2]
        x = np.array([complex(re, im) for re in parts for im in parts], dtype)
        yield Sample((rng.permutation(x),), params, diff=False)


@samples("top_k", dtypes="biufch")
def _top_k(rng: np.random.Generator, dtype: DType) -> Samples:
    def reference(x: Any, k: int) -> list[Any]:
        last = x.shape[-1] - 1
        order = (last - np.argsort(x[..., ::-1], axis=-1, kind="stable"))[..., ::-1][..., :k]
        return [np.take_along_axis(x, order, -1), order]

    for shape, k in (((5,), 2), ((2, 4), 4), ((2, 3), 1), ((3,), 0), ((0, 3), 2)):
        yield Sample((_distinct(rng, dtype, shape),), {"k": k}, reference=reference)
    ties = np.array([1, 0, 1, 1, 0, 1]).astype(dtype)
    yield Sample((ties,), {"k": 5}, diff=False, reference=reference)
    long = normal(rng, np.dtype(np.int8), (2, 90)).astype(dtype)
    yield Sample((long,), {"k": 70}, diff=False, reference=reference)
    yield Sample((long,), {"k": 7}, diff=False, reference=reference)
    if dtype.kind in "fc":
        x = np.array([3, np.nan, -np.inf, 1, np.nan]).astype(dtype)
        yield Sample((x,), {"k": 4}, diff=False, reference=reference)
