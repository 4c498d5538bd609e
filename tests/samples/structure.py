"""Samples of what moves elements without changing them, and of arrays from nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from samples import Sample, normal, samples

Samples = Iterator[Sample]
DType = np.dtype[Any]


@samples(
    "full",
    dtypes="bifc",
    reference=lambda shape, fill_value, dtype: np.full(shape, fill_value, dtype),
)
def _full(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape in ((), (0,), (2, 3)):
        yield Sample((), {"shape": shape, "fill_value": 1, "dtype": dtype}, batch=False)


@samples("iota", dtypes="iuf")
def _iota(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape, dimension in (((4,), 0), ((2, 3), 0), ((2, 3), 1), ((2, 0), 1), ((2, 3, 2), 1)):
        params = {"dtype": dtype, "shape": shape, "dimension": dimension}

        def reference(dtype: Any, shape: Any, dimension: int) -> Any:
            return np.indices(shape)[dimension].astype(dtype)

        yield Sample((), params, batch=False, reference=reference)


def _precision(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


@samples("convert_element_type", dtypes="biufc")
def _convert_element_type(rng: np.random.Generator, dtype: DType) -> Samples:
    def reference(x: Any, new_dtype: DType) -> Any:
        if np.asarray(x).dtype.kind == "c" and new_dtype.kind not in "bc":
            x = np.real(x)
        return np.asarray(x).astype(new_dtype)

    for new in ("bool", "int64", "int8", "uint8", "float32", "float64", "complex128", "float16"):
        x = normal(rng, dtype, (3,))
        if new == "uint8":
            x = np.abs(x).real.astype(dtype)
        # Rounding to another precision has no difference quotient, and no exact adjoint.
        exact = {dtype.kind, new[0]} <= set("fc") and _precision(new) == _precision(dtype)
        params = {"new_dtype": np.dtype(new)}
        yield Sample((x,), params, reference=reference, diff=exact)
    params = {"new_dtype": dtype}
    yield Sample((normal(rng, dtype),), params, reference=reference)


@samples("broadcast_in_dim", dtypes="bifc")
def _broadcast_in_dim(rng: np.random.Generator, dtype: DType) -> Samples:
    def reference(x: Any, shape: Any, broadcast_dimensions: Any) -> Any:
        sizes = dict(zip(broadcast_dimensions, np.shape(x)))
        narrow = np.reshape(x, [sizes.get(d, 1) for d in range(len(shape))])
        return np.broadcast_to(narrow, shape)

    for old, new, dims in (
        ((), (2, 3), ()),
        ((3,), (2, 3), (1,)),
        ((3,), (3, 2), (0,)),
        ((1, 3), (4, 2, 3), (0, 2)),
        ((2, 1), (2, 3), (0, 1)),
        ((2,), (2, 0), (0,)),
        ((2, 3), (2, 3), (0, 1)),
        ((), (), ()),
    ):
        params = {"shape": new, "broadcast_dimensions": dims}
        yield Sample((normal(rng, dtype, old),), params, reference=reference)


@samples("transpose", dtypes="bifc", reference=lambda x, permutation: np.transpose(x, permutation))
def _transpose(rng: np.random.Generator, dtype: DType) -> Samples:
    yield Sample((normal(rng, dtype, (2, 3)),), {"permutation": (1, 0)})
    yield Sample((normal(rng, dtype, (2, 3, 4)),), {"permutation": (2, 0, 1)})
    yield Sample((normal(rng, dtype, (0, 3)),), {"permutation": (1, 0)})


@samples("reshape", dtypes="bifch", reference=lambda x, new_sizes: np.reshape(x, new_sizes))
def _reshape(rng: np.random.Generator, dtype: DType) -> Samples:
    for old, new in (
        ((2, 3), (6,)),
        ((6,), (3, 2)),
        ((2, 3, 4), (4, 6)),
        ((4, 3), (2, 1, 6)),
        ((), (1, 1)),
        ((1, 1), ()),
        ((0, 3), (3, 0, 2)),
    ):
        yield Sample((normal(rng, dtype, old),), {"new_sizes": new})


@samples("squeeze", dtypes="bifc", reference=lambda x, dimensions: np.squeeze(x, dimensions))
def _squeeze(rng: np.random.Generator, dtype: DType) -> Samples:
    yield Sample((normal(rng, dtype, (1, 3, 1)),), {"dimensions": (0, 2)})
    yield Sample((normal(rng, dtype, (2, 1, 3)),), {"dimensions": (1,)})
    yield Sample((normal(rng, dtype, (1,)),), {"dimensions": (0,)})


@samples("rev", dtypes="bifc", reference=lambda x, dimensions: np.flip(x, dimensions))
def _rev(rng: np.random.Generator, dtype: DType) -> Samples:
    yield Sample((normal(rng, dtype, (4,)),), {"dimensions": (0,)})
    yield Sample((normal(rng, dtype, (2, 3)),), {"dimensions": (0, 1)})
    yield Sample((normal(rng, dtype, (2, 0)),), {"dimensions": (0, 1)})


@samples(
    "concatenate",
    dtypes="bifch",
    reference=lambda *xs, dimension: np.concatenate(xs, axis=dimension),
)
def _concatenate(rng: np.random.Generator, dtype: DType) -> Samples:
    for dimension, shapes in (
        (0, [(2,), (3,)]),
        (1, [(2, 1), (2, 3), (2, 0)]),
        (0, [(1, 2), (2, 2), (1, 2)]),
        (0, [(3,)]),
    ):
        args = tuple(normal(rng, dtype, s) for s in shapes)
        yield Sample(args, {"dimension": dimension})


@samples("slice", dtypes="bifch")
def _slice(rng: np.random.Generator, dtype: DType) -> Samples:
    def reference(x: Any, start_indices: Any, limit_indices: Any, strides: Any) -> Any:
        return x[tuple(map(slice, start_indices, limit_indices, strides))]

    for shape, lo, hi, step in (
        ((5,), (1,), (4,), (1,)),
        ((7,), (1,), (7,), (3,)),
        ((7,), (0,), (6,), (2,)),
        ((4, 5), (1, 0), (4, 5), (2, 1)),
        ((4, 5), (2, 3), (2, 5), (1, 2)),
    ):
        params = {"start_indices": lo, "limit_indices": hi, "strides": step}
        yield Sample((normal(rng, dtype, shape),), params, reference=reference)


@samples("pad", dtypes="bifch")
def _pad(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape, config in (
        ((3,), ((1, 2, 0),)),
        ((3,), ((0, 0, 2),)),
        ((3,), ((-1, 1, 1),)),
        ((4,), ((2, -3, 1),)),
        ((4,), ((-3, -1, 0),)),
        ((2, 3), ((1, 0, 0), (0, 1, 1))),
        ((0, 2), ((1, 1, 3), (0, 0, 0))),
        ((3,), ((-2, -2, 1),)),
    ):
        args = (normal(rng, dtype, shape), normal(rng, dtype))
        yield Sample(args, {"padding_config": config}, reference=_pad_slowly)


def _pad_slowly(x: Any, value: Any, padding_config: Any) -> Any:
    for axis, (lo, hi, interior) in enumerate(padding_config):
        n = x.shape[axis]
        places = [lo + i * (interior + 1) for i in range(n)]
        size = lo + hi + n + max(n - 1, 0) * interior
        shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
        out = np.full(shape, value, x.dtype)
        for i, place in enumerate(places):
            if 0 <= place < size:
                np.moveaxis(out, axis, 0)[place] = np.moveaxis(x, axis, 0)[i]
        x = out
    return x
