"""Samples of gather, the scatters and the dynamic slices; references are loops."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from functrace.ops.dimension_numbers import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    default_fill,
)
from samples import Sample, normal, samples

Samples = Iterator[Sample]
DType = np.dtype[Any]

RAISE = GatherScatterMode.RAISE
CLIP = GatherScatterMode.CLIP
FILL = GatherScatterMode.FILL_OR_DROP

# Operand shape, indices, dimension numbers of a gather, slice sizes, and whether they are unique.
_INSIDE: list[tuple[Any, ...]] = [
    ((5,), [[3], [0], [3]], ((), (0,), (0,)), (1,), False),
    ((5,), [[-1], [0], [3]], ((), (0,), (0,)), (1,), True),
    ((5,), [2], ((), (0,), (0,)), (1,), True),
    ((4, 3), [[1], [0]], ((1,), (0,), (0,)), (1, 3), True),
    ((4, 3), [[[1], [2]], [[0], [2]]], ((0,), (1,), (1,)), (4, 1), False),
    ((4, 3), [[1, 2], [0, 0], [1, 2]], ((), (0, 1), (0, 1)), (1, 1), False),
    ((4, 3), [[2, 1], [0, 0]], ((), (0, 1), (1, 0)), (1, 1), True),
    ((6,), [[1], [3], [0]], ((1,), (), (0,)), (3,), False),
    ((4, 5), [[1, 2], [0, 1]], ((0, 2), (), (0, 1)), (2, 3), False),
    ((3, 4), [[1], [0], [3]], ((), (1,), (1,), (0,), (0,)), (1, 1), True),
    (
        (2, 4, 3),
        [[[1], [0], [1]], [[3], [2], [2]]],
        ((2,), (1,), (1,), (0,), (0,)),
        (1, 1, 3),
        False,
    ),
    ((4, 3), [[], []], ((1, 2), (), ()), (2, 3), False),
    ((0,), np.zeros((0, 1)), ((), (0,), (0,)), (1,), True),
]
_OUTSIDE: list[tuple[Any, ...]] = [
    ((5,), [[7], [0], [-2]], ((), (0,), (0,)), (1,), False),
    ((6,), [[5], [-1], [1]], ((1,), (), (0,)), (3,), False),
    ((4, 3), [[1, 5], [2, 1]], ((), (0, 1), (0, 1)), (1, 1), False),
    ((4, 3), [[9], [0]], ((1,), (0,), (0,)), (1, 3), True),
]


def _cases() -> Iterator[tuple[Any, ...]]:
    for case in _INSIDE:
        yield (*case, RAISE)
    for mode in (CLIP, FILL):
        for case in _OUTSIDE:
            yield (*case[:4], False if mode is CLIP else case[4], mode)


def _walk(
    shape: Any, indices: Any, dnums: Any, sizes: Any, mode: GatherScatterMode
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...] | None]]:
    """Yield (place in the spread array, place in the operand or None), window by window."""
    offset, collapsed, index_map, operand_batch, indices_batch = dnums
    window_dims = [d for d in range(len(shape)) if d not in (*collapsed, *operand_batch)]
    ndim = indices.ndim - 1 + len(offset)
    for batch in np.ndindex(*indices.shape[:-1]):
        start, inside = [0] * len(shape), True
        for d, e in zip(operand_batch, indices_batch):
            start[d] = batch[e]
        for k, d in enumerate(index_map):
            i, last = int(indices[(*batch, k)]), shape[d] - sizes[d]
            if mode is RAISE:
                i = i + shape[d] if i < 0 else i
            if mode is CLIP:
                i = min(max(i, 0), last)
            inside = inside and 0 <= i <= last
            start[d] = i
        for window in itertools.product(*(range(sizes[d]) for d in window_dims)):
            place, rest, lanes = list(start), iter(window), iter(batch)
            for d, w in zip(window_dims, window):
                place[d] += w
            spread = tuple(next(rest) if a in offset else next(lanes) for a in range(ndim))
            yield spread, tuple(place) if inside else None


def _gather_slowly(
    x: Any, indices: Any, dimension_numbers: Any, slice_sizes: Any, mode: Any, **params: Any
) -> Any:
    places = list(_walk(x.shape, indices, dimension_numbers, slice_sizes, mode))
    ndim = indices.ndim - 1 + len(dimension_numbers.offset_dims)
    batch = iter(indices.shape[:-1])
    left_out = (*dimension_numbers.collapsed_slice_dims, *dimension_numbers.operand_batching_dims)
    window = iter(s for d, s in enumerate(slice_sizes) if d not in left_out)
    shape = [
        next(window) if a in dimension_numbers.offset_dims else next(batch) for a in range(ndim)
    ]
    out = np.full(shape, default_fill(x.dtype), x.dtype)
    for spread, place in places:
        if place is not None:
            out[spread] = x[place]
    return out


@samples("gather", dtypes="bifch", reference=_gather_slowly)
def _gather(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape, indices, dnums, sizes, unique, mode in _cases():
        params = {
            "dimension_numbers": GatherDimensionNumbers(*dnums),
            "slice_sizes": sizes,
            "indices_are_sorted": False,
            "unique_indices": unique,
            "mode": mode,
            "fill_value": None,
        }
        args = (normal(rng, dtype, shape), np.asarray(indices, np.int64))
        # NaN, what reads out of bounds give, has no difference quotient.
        yield Sample(args, params, diff=mode is not FILL)
        if mode is FILL:
            yield Sample(args, {**params, "fill_value": dtype.type(1)}, reference=_gather_ones)
    first = _INSIDE[0]
    dnums = GatherDimensionNumbers(*first[2])
    params = {
        "dimension_numbers": dnums,
        "slice_sizes": first[3],
        "indices_are_sorted": False,
        "unique_indices": False,
        "mode": RAISE,
        "fill_value": None,
    }
    for kind in (np.int32, np.uint8, np.uint64):
        yield Sample((normal(rng, dtype, first[0]), np.asarray(first[1], kind)), params)


def _gather_ones(x: Any, indices: Any, **params: Any) -> Any:
    out = _gather_slowly(x, indices, **params)
    mask = _gather_slowly(np.zeros(x.shape, np.int64), indices, **params)
    return np.where(mask == default_fill(np.dtype(np.int64)), x.dtype.type(1), out)


def _scatter_slowly(combine: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def reference(
        x: Any, indices: Any, updates: Any, dimension_numbers: Any, mode: Any, **params: Any
    ) -> Any:
        out = x.copy()
        left_out = (
            *dimension_numbers.inserted_window_dims,
            *dimension_numbers.operand_batching_dims,
        )
        window = iter(updates.shape[d] for d in dimension_numbers.update_window_dims)
        sizes = [1 if d in left_out else next(window) for d in range(x.ndim)]
        for spread, place in _walk(x.shape, indices, dimension_numbers, sizes, mode):
            if place is not None:
                out[place] = combine(out[place], updates[spread])
        return out

    return reference


def _scatter_samples(
    rng: np.random.Generator, dtype: DType, only_unique: bool = False, diff: Any = True
) -> Samples:
    for shape, indices, dnums, sizes, unique, mode in _cases():
        indices = np.asarray(indices, np.int64)
        gather = GatherDimensionNumbers(*dnums)
        left_out = (*gather.collapsed_slice_dims, *gather.operand_batching_dims)
        window = iter(s for d, s in enumerate(sizes) if d not in left_out)
        batch = iter(indices.shape[:-1])
        ndim = indices.ndim - 1 + len(gather.offset_dims)
        spread = [next(window) if a in gather.offset_dims else next(batch) for a in range(ndim)]
        params = {
            "dimension_numbers": ScatterDimensionNumbers(*dnums),
            "indices_are_sorted": False,
            "unique_indices": unique,
            "mode": mode,
        }
        args = (normal(rng, dtype, shape), indices, normal(rng, dtype, tuple(spread)))
        yield Sample(args, params, diff=(0,) if only_unique and not unique else diff)


@samples("scatter", dtypes="bifch", reference=_scatter_slowly(lambda old, new: new))
def _scatter(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _scatter_samples(rng, dtype)


@samples("scatter_add", dtypes="ifch", reference=_scatter_slowly(lambda x, y: x + y))
def _scatter_add(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _scatter_samples(rng, dtype)


@samples("scatter_mul", dtypes="ifc", reference=_scatter_slowly(lambda x, y: x * y))
def _scatter_mul(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _scatter_samples(rng, dtype, only_unique=True)


@samples("scatter_min", dtypes="bif", reference=_scatter_slowly(np.minimum))
def _scatter_min(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _scatter_samples(rng, dtype)


@samples("scatter_max", dtypes="bif", reference=_scatter_slowly(np.maximum))
def _scatter_max(rng: np.random.Generator, dtype: DType) -> Samples:
    yield from _scatter_samples(rng, dtype)


_STARTS: list[tuple[Any, ...]] = [
    ((5,), (1,), (3,)),
    ((5,), (4,), (3,)),
    ((5,), (-2,), (3,)),
    ((4, 3), (1, 0), (2, 3)),
    ((4, 3), (3, 2), (2, 2)),
    ((4, 3), (1, 1), (0, 2)),
    ((), (), ()),
]


def _clamped(starts: Any, shape: Any, sizes: Any) -> tuple[slice, ...]:
    firsts = [int(np.clip(i, 0, n - s)) for i, n, s in zip(starts, shape, sizes)]
    return tuple(slice(i, i + s) for i, s in zip(firsts, sizes))


@samples("dynamic_slice", dtypes="bifc")
def _dynamic_slice(rng: np.random.Generator, dtype: DType) -> Samples:
    def reference(x: Any, *starts: Any, slice_sizes: Any) -> Any:
        return x[_clamped(starts, x.shape, slice_sizes)]

    for shape, starts, sizes in _STARTS:
        args = (normal(rng, dtype, shape), *map(np.int64, starts))
        yield Sample(args, {"slice_sizes": sizes}, reference=reference)
    args = (normal(rng, dtype, (4, 3)), np.int32(2), np.int32(1))
    yield Sample(args, {"slice_sizes": (1, 2)}, reference=reference)


@samples("dynamic_update_slice", dtypes="bifc")
def _dynamic_update_slice(rng: np.random.Generator, dtype: DType) -> Samples:
    def reference(x: Any, update: Any, *starts: Any) -> Any:
        out = np.array(x)
        out[_clamped(starts, out.shape, np.shape(update))] = update
        return out

    for shape, starts, sizes in _STARTS:
        args = (normal(rng, dtype, shape), normal(rng, dtype, sizes), *map(np.int64, starts))
        yield Sample(args, reference=reference)
