"""Primitives refuse what doesn't fit: the text names the primitive and the rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import functrace as ft
from functrace import lax
from functrace.errors import DTypeError, ShapeError
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.convolution import conv_general_dilated
from functrace.ops.creation import full, iota
from functrace.ops.cumulative import cumsum, linear_recurrence_p
from functrace.ops.dimension_numbers import GatherDimensionNumbers
from functrace.ops.dynamic import dynamic_slice_p, dynamic_update_slice
from functrace.ops.indexing import gather, scatter_add
from functrace.ops.joining import concatenate, pad, slice_p
from functrace.ops.logical import select_n
from functrace.ops.sorting import sort
from functrace.ops.structural import rev, transpose
from functrace.ops.windows import reduce_window_sum

X = np.array([1.0, 2.0, 3.0])
M = np.arange(6.0).reshape(2, 3)
I1 = np.array([[1]])
IMAGE, KERNEL = np.ones((1, 1, 4)), np.ones((1, 1, 2))


def slice_(x: Any, lo: Any, hi: Any, steps: Any) -> Any:
    return slice_p.bind(x, start_indices=lo, limit_indices=hi, strides=steps)


def windows(**changes: Any) -> GatherDimensionNumbers:
    usual: dict[str, Any] = {
        "offset_dims": (0,), "collapsed_slice_dims": (0,), "start_index_map": (0,),
    }  # fmt: skip
    return GatherDimensionNumbers(**{**usual, **changes})


REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "broadcast": (lambda x: broadcast_in_dim(x, (2, 2), (0,)), ShapeError, "can't make shape"),
    "complex of integers": (lambda x: lax.complex(np.int8(1), np.int8(2)), DTypeError, "complex"),
    "concatenate": (lambda x: concatenate([], 0), ShapeError, "no operands"),
    "slice": (lambda x: slice_(x, (2,), (1,), (1,)), ShapeError, "0 <= start <= limit"),
    "pad": (lambda x: pad(x, np.float32(0), ((1, 0, 0),)), DTypeError, "a padding value of type"),
    "transpose": (lambda x: transpose(x, (1, 0)), ShapeError, "names each of its 1 axes"),
    "rev": (lambda x: rev(x, (3,)), ShapeError, "rev: dimensions"),
    "cumsum": (lambda x: cumsum(x, 2), ShapeError, "doesn't fit an operand"),
    "recurrence": (
        lambda x: linear_recurrence_p.bind(x, x[:2], axis=0, reverse=False),
        ShapeError,
        "shapes differ",
    ),
    "dynamic_slice": (
        lambda x: dynamic_slice_p.bind(x, np.float64(0.5), slice_sizes=(1,)),
        DTypeError,
        "integer scalars",
    ),
    "dynamic_update": (
        lambda x: dynamic_update_slice(x, np.zeros(1, np.float32), (0,)),
        DTypeError,
        "their dtypes agree",
    ),
    "selector": (lambda x: select_n(x, x, x), DTypeError, "a selector of type f64"),
    "cases": (lambda x: select_n(x > 1, x, x, x), DTypeError, "among 3 cases"),
    "sort": (lambda x: sort((x, x), 0, num_keys=3), ShapeError, "num_keys=3"),
    "window": (lambda x: reduce_window_sum(x, (2, 2)), ShapeError, "one entry per axis"),
    "convolution strides": (
        lambda x: conv_general_dilated(IMAGE, KERNEL, (0,), "VALID"),
        ShapeError,
        "strides and dilations are positive",
    ),
    "convolution letters": (
        lambda x: conv_general_dilated(
            IMAGE, KERNEL, (1,), "VALID", dimension_numbers=("NCC", "OIW", "NCW")
        ),
        ShapeError,
        "a letter for each of the 3 axes",
    ),
    "convolution names": (
        lambda x: conv_general_dilated(
            IMAGE, KERNEL, (1,), "VALID", dimension_numbers=("NCX", "OIW", "NCW")
        ),
        ShapeError,
        "inputs and results have N and C",
    ),
    "convolution padding": (
        lambda x: conv_general_dilated(IMAGE, KERNEL, (1,), "MOST"),
        ValueError,
        "padding='MOST'",
    ),
    "polygamma": (lambda x: lax.polygamma(-1, x), ValueError, "can't be negative"),
    "power": (lambda x: lax.integer_pow(np.arange(3), -1), ValueError, "negative integer powers"),
    "updates": (
        lambda x: scatter_add(x, I1, np.zeros((3, 3)), lax.ScatterDimensionNumbers((1,), (), (0,))),
        ShapeError,
        "the updates have type",
    ),
    "window sizes": (lambda x: gather(M, I1, windows(), (1,)), ShapeError, "one window size per"),
    "large window": (lambda x: gather(M, I1, windows(), (1, 9)), ShapeError, "lie between 0 and"),
    "axis named twice": (
        lambda x: gather(M, I1, windows(collapsed_slice_dims=(0, 0)), (1, 1)),
        ShapeError,
        "named once and exist",
    ),
    "collapsed window": (lambda x: gather(M, I1, windows(), (2, 3)), ShapeError, "window size 1"),
    "components": (
        lambda x: gather(M, np.array([[0, 0]]), windows(start_index_map=(0, 0)), (1, 3)),
        ShapeError,
        "one component per axis",
    ),
    "window axes": (
        lambda x: gather(M, I1, windows(offset_dims=(0, 1)), (1, 3)),
        ShapeError,
        "as many as named",
    ),
    "window order": (
        lambda x: gather(M, I1, windows(offset_dims=(1, 0), collapsed_slice_dims=()), (1, 3)),
        ShapeError,
        "named in order",
    ),
    "batches": (
        lambda x: gather(
            M,
            np.array([[1], [0], [1]]),
            windows(
                collapsed_slice_dims=(1,),
                start_index_map=(1,),
                offset_dims=(),
                operand_batching_dims=(0,),
                start_indices_batching_dims=(0,),
            ),
            (1, 1),
        ),
        ShapeError,
        "agree in size",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    act, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        ft.jit(act)(X)


def test_primitives_without_operands_are_not_mapped() -> None:
    out = ft.vmap(lambda x: x + full((3,), 2.0, np.dtype("f8")) + iota(np.dtype("f8"), (3,), 0))(M)
    assert_array_equal(out, M + 2.0 + np.arange(3.0))
    batched = ft.vmap(ft.jit(lambda x: x * full((3,), 2.0, np.dtype("f8")) + iota("f8", (3,), 0)))
    assert_array_equal(batched(M), M * 2.0 + np.arange(3.0))


def test_convolution_in_another_dtype() -> None:
    out = conv_general_dilated(
        np.ones((1, 1, 3), np.int8), np.full((1, 1, 2), 100, np.int8), (1,), "VALID",
        preferred_element_type=np.int32,
    )  # fmt: skip
    assert out.dtype == np.int32
    assert_array_equal(out[0, 0], [200, 200])


def test_gather_with_nan_for_what_is_missing() -> None:
    dims = GatherDimensionNumbers((), (0,), (0,))
    out = gather(X, np.array([[1], [7]]), dims, (1,), mode="fill", fill_value=np.nan)
    assert_array_equal(out, [2.0, np.nan])


def test_scatter_add_is_linear_in_what_it_adds_to() -> None:
    dims = lax.ScatterDimensionNumbers((), (0,), (0,))
    add_one = lambda x: scatter_add(x, np.array([[1]]), np.array([5.0]), dims)  # noqa: E731
    assert_array_equal(ft.grad(lambda x: np.sum(add_one(x) * X))(X), X)


def test_gradient_of_the_extreme_of_nothing() -> None:
    empty = np.zeros((2, 0))
    assert ft.jvp(lambda x: np.max(x, axis=0), (empty,), (empty,))[1].shape == (0,)
