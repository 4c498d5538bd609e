"""Structure, reductions, indexing, sorting, products and windows: values worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import functrace as ft
from functrace.core.aval import typeof
from functrace.core.jaxpr import eval_jaxpr
from functrace.errors import DTypeError, MissingRuleError, ShapeError
from functrace.interpreters.linearize import linearize_flat
from functrace.interpreters.reverse import backward_pass
from functrace.interpreters.staging import stage
from functrace.ops.contraction import dot, dot_general
from functrace.ops.convolution import conv_general_dilated
from functrace.ops.creation import full, iota
from functrace.ops.cumulative import cumlogsumexp, cummax, cumprod, cumsum, reduce_prod
from functrace.ops.dimension_numbers import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
)
from functrace.ops.dynamic import dynamic_slice, dynamic_update_slice
from functrace.ops.indexing import gather, scatter_add, take_along_axis, take_rows
from functrace.ops.joining import concatenate, pad, slice_in_dim, split
from functrace.ops.reductions import argmax, argmin, reduce_max, reduce_min, reduce_xor
from functrace.ops.scatter import scatter, scatter_max, scatter_mul
from functrace.ops.sorting import argsort, sort, top_k
from functrace.ops.structural import (
    expand_dims,
    reshape,
    reshape_p,
    rev,
    rev_p,
    squeeze,
    transpose,
)
from functrace.ops.windows import reduce_window_max, reduce_window_min, reduce_window_sum

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
ONE_AXIS = GatherDimensionNumbers((), (0,), (0,))
ONE_AXIS_SCATTER = ScatterDimensionNumbers((), (0,), (0,))


def pull(fun: Any, x: Any, ct: Any) -> Any:
    """Return the cotangent of one operand."""
    _, program = linearize_flat(lambda v: [fun(v)], [x], [True])
    return backward_pass(program, [np.asarray(ct)[()]])[0]


# --- creation and structure --------------------------------------------------------------------


def test_creation() -> None:
    assert_array_equal(full((2,), 7, "int8"), np.array([7, 7], np.int8))
    assert_array_equal(iota("float32", (2, 3), 1), [[0, 1, 2], [0, 1, 2]])
    assert iota("int32", 3).dtype == np.int32
    with pytest.raises(ShapeError, match="has no axis 2"):
        stage(lambda: [iota("int32", (2, 3), 2)], [], "f")


def test_views_share_memory() -> None:
    for view in (transpose(X, (1, 0)), rev(X, (0,)), reshape(X, (3, 2)), slice_in_dim(X, 1, 2)):
        assert np.shares_memory(view, X)
    assert transpose(X, (0, 1)) is X and reshape(X, (2, 3)) is X


def test_squeeze_and_expand_dims() -> None:
    assert expand_dims(X, (0, 2)).shape == (1, 2, 1, 3)
    assert squeeze(expand_dims(X, (-1,)), (-1,)).shape == (2, 3)
    with pytest.raises(ShapeError, match="size not equal to one"):
        stage(lambda x: [squeeze(x, (0,))], [typeof(X)], "f")


def test_reshape_names_size_and_shape() -> None:
    with pytest.raises(ShapeError, match=r"cannot reshape array of size 6 into shape \(4,\)"):
        stage(lambda x: [reshape(x, (4,))], [typeof(X)], "f")


@pytest.mark.parametrize(
    ("shape", "strides", "new", "want"),
    [
        ((2, 3), (3, 1), (6,), (1,)),
        ((2, 3), (1, 2), (6,), None),
        ((2, 3), (1, 2), (2, 1, 3), (1, 0, 2)),
        ((4, 6), (12, 1), (2, 2, 3, 2), (24, 12, 2, 1)),
        ((2, 3), (0, 0), (3, 2), (0, 0)),
        ((6,), (-1,), (2, 3), (-3, -1)),
        ((1, 4), (99, 2), (2, 2), (4, 2)),
        ((), (), (1, 1), (0, 0)),
    ],
)
def test_reshape_as_a_view(shape: Any, strides: Any, new: Any, want: Any) -> None:
    seen = reshape_p.lowering.rule(shape, strides, new_sizes=new)
    assert seen == (None if want is None else (new, want, 0))


def test_rev_as_a_view() -> None:
    assert rev_p.lowering.rule((2, 3), (3, 1), dimensions=(1,)) == ((2, 3), (3, -1), 2)


def test_concatenate_and_split() -> None:
    a, b = split(X, [1, 2], axis=1)
    assert_array_equal(a, [[1], [4]])
    assert_array_equal(concatenate([b, a], 1), [[2, 3, 1], [5, 6, 4]])
    with pytest.raises(ShapeError, match="don't add up"):
        split(X, [1, 1], axis=1)
    with pytest.raises(ShapeError, match="must agree on every axis but 0"):
        stage(lambda x: [concatenate([x, a], 0)], [typeof(X)], "f")


def test_pad_cuts_and_dilates() -> None:
    x = np.array([1, 2, 3])
    assert_array_equal(pad(x, 9, [(1, 2, 0)]), [9, 1, 2, 3, 9, 9])
    assert_array_equal(pad(x, 0, [(0, 0, 1)]), [1, 0, 2, 0, 3])
    assert_array_equal(pad(x, 0, [(-1, -1, 1)]), [0, 2, 0])
    assert_array_equal(pad(x, 0, [(-4, 1, 1)]), [3, 0])
    with pytest.raises(ShapeError, match="neither is the size of the result"):
        stage(lambda v: [pad(v, 0, [(-4, 0, 0)])], [typeof(x)], "f")


def test_slices_are_the_adjoints_of_pads() -> None:
    x = np.arange(5.0)
    assert_array_equal(pull(lambda v: slice_in_dim(v, 1, 5, 3), x, [7, 8]), [0, 7, 0, 0, 8])
    assert_array_equal(pull(lambda v: pad(v, 0, [(-1, 1, 1)]), x[:2], [1, 2, 3]), [0, 2])


# --- reductions --------------------------------------------------------------------------------


def test_ties_of_extremes_share() -> None:
    x = np.array([3.0, 1.0, 3.0])
    assert_array_equal(pull(lambda v: reduce_max(v, (0,)), x, 1.0), [0.5, 0, 0.5])
    assert_array_equal(pull(lambda v: reduce_min(v, (0,)), x, 1.0), [0, 1, 0])
    x[1] = np.nan
    assert_array_equal(pull(lambda v: reduce_max(v, (0,)), x, 1.0), [0, 1, 0])


def test_empty_extremes_are_identities() -> None:
    empty = np.zeros((2, 0))
    assert_array_equal(reduce_max(empty, (1,)), [-np.inf, -np.inf])
    assert_array_equal(reduce_min(empty.astype(np.int8), (1,)), [127, 127])
    assert reduce_xor(np.array([5, 6]), (0,)) == 3


@pytest.mark.parametrize(
    ("x", "want"),
    [([2, 3, 4], [12, 8, 6]), ([0, 3, 4], [12, 0, 0]), ([0, 3, 0], [0, 0, 0])],
)
def test_gradient_of_a_product_with_zeros(x: Any, want: Any) -> None:
    x = np.array(x, float)
    assert_array_equal(pull(lambda v: reduce_prod(v, (0,)), x, 1.0), want)


def test_second_derivative_of_a_product_with_zeros() -> None:
    # d2(xyz)/dx dy = z at x = y = 0.
    x = np.array([0.0, 0.0, 5.0])
    got = pull(lambda v: pull(lambda u: reduce_prod(u, (0,)), v, 1.0)[0], x, 1.0)
    assert_array_equal(got, [0, 5, 0])


def test_argmax_takes_the_first_and_nan() -> None:
    assert argmax(np.array([1, 3, 3]), 0) == 1
    assert argmin(np.array([2.0, np.nan, 1.0, np.nan]), 0) == 1
    assert argmax(X, 0, np.int32).dtype == np.int32
    with pytest.raises(ShapeError, match="attempt to get argmax of an empty sequence"):
        stage(lambda x: [argmax(x, 0)], [typeof(np.zeros((0, 2)))], "f")


# --- running -----------------------------------------------------------------------------------


def test_running() -> None:
    x = np.array([1.0, 3.0, 2.0])
    assert_array_equal(cumsum(x), [1, 4, 6])
    assert_array_equal(cumsum(x, reverse=True), [6, 5, 2])
    assert_array_equal(cumprod(x), [1, 3, 6])
    assert_array_equal(cummax(x), [1, 3, 3])
    assert cumsum(np.array([True]).astype(np.int8)).dtype == np.int8
    assert_allclose(cumlogsumexp(np.array([1000.0, 1000.0])), [1000, 1000 + np.log(2)])


def test_gradients_of_running() -> None:
    x = np.array([0.0, 2.0, 0.0, 3.0])
    # out = x0, x0 x1, x0 x1 x2, x0 x1 x2 x3
    assert_array_equal(pull(cumprod, x, np.ones(4)), [1 + 2, 0, 0, 0])
    x = np.array([1.0, 3.0, 3.0, 2.0])
    assert_array_equal(pull(cummax, x, np.ones(4)), [1, 3, 0, 0])
    assert_array_equal(pull(lambda v: cummax(v, reverse=True), x, np.ones(4)), [0, 0, 3, 1])
    assert_allclose(pull(cumlogsumexp, np.zeros(2), [0.0, 1.0]), [0.5, 0.5])


# --- indexing ----------------------------------------------------------------------------------


def test_modes_of_gather() -> None:
    x, i = np.array([1.0, 2.0, 3.0]), np.array([[-1], [5]])
    assert_array_equal(gather(x, i, ONE_AXIS, (1,), mode="clip"), [1, 3])
    assert_array_equal(gather(x, i, ONE_AXIS, (1,), mode="fill"), [np.nan, np.nan])
    assert_array_equal(gather(x, i, ONE_AXIS, (1,), mode="fill", fill_value=7), [7, 7])
    with pytest.raises(IndexError, match="index 5 is out of bounds for axis 0 with size 3"):
        gather(x, i, ONE_AXIS, (1,), mode="raise")
    assert_array_equal(gather(x, i[:1], ONE_AXIS, (1,), mode="raise"), [3])
    with pytest.raises(ValueError, match="is not a mode of indexing"):
        gather(x, i, ONE_AXIS, (1,), mode="wrap")


@pytest.mark.parametrize(
    ("dtype", "filler"),
    [("int8", -128), ("uint8", 255), ("bool", True), ("float32", np.nan)],
)
def test_what_gather_fills_with(dtype: str, filler: Any) -> None:
    out = gather(np.zeros(2, dtype), np.array([[4]]), ONE_AXIS, (1,), mode="fill")
    assert_array_equal(out, np.array([filler], dtype))


def test_windows_out_of_bounds_raise() -> None:
    x, dnums = np.arange(6.0), GatherDimensionNumbers((1,), (), (0,))
    assert_array_equal(gather(x, np.array([[3]]), dnums, (3,), mode="raise"), [[3, 4, 5]])
    with pytest.raises(IndexError, match="index 4 is out of bounds for axis 0 with size 6"):
        gather(x, np.array([[4]]), dnums, (3,), mode="raise")


def test_compiled_indices_are_checked() -> None:
    def f(x: Any, i: Any) -> Any:
        return gather(x, i, ONE_AXIS, (1,), mode="raise")

    compiled = ft.jit(f)
    x = np.array([1.0, 2.0, 3.0])
    assert_array_equal(compiled(x, np.array([[-3], [2]])), [1, 3])
    for bad in (3, -4):
        with pytest.raises(IndexError, match=f"index {bad} is out of bounds"):
            compiled(x, np.array([[0], [bad]]))


def test_takes() -> None:
    assert_array_equal(take_rows(X, np.array([[2], [-1]]), 1), X[:, [[2], [-1]]])
    order = np.array([[1, 0], [2, 2]])
    assert_array_equal(take_along_axis(X, order, 1), [[2, 1], [6, 6]])
    ct = pull(lambda x: take_along_axis(x, order, 1), X, np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert_array_equal(ct, [[2, 1, 0], [0, 0, 7]])


def test_gather_explains_what_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="the last axis of the indices has size 1"):
        stage(lambda x: [gather(x, np.array([0, 1]), ONE_AXIS, (1,))], [typeof(X[0])], "f")
    with pytest.raises(ShapeError, match="indices are integers"):
        stage(lambda x: [gather(x, np.array([[0.0]]), ONE_AXIS, (1,))], [typeof(X[0])], "f")


def test_scatters() -> None:
    x, i, u = np.array([1.0, 2.0, 3.0]), np.array([[0], [2], [0]]), np.array([5.0, 7.0, 9.0])
    s = ONE_AXIS_SCATTER
    assert_array_equal(scatter(x, i, u, s), [9, 2, 7])
    assert_array_equal(scatter_add(x, i, u, s), [15, 2, 10])
    assert_array_equal(scatter_mul(x, i, u, s), [45, 2, 21])
    assert_array_equal(scatter_max(x, i, u - 5, s), [4, 2, 3])
    assert_array_equal(scatter(x, i + 2, u, s), [1, 2, 9])  # those out of bounds are dropped
    assert_array_equal(x, [1, 2, 3])


def test_only_the_update_that_stays_has_a_gradient() -> None:
    i = np.array([[0], [2], [0]])
    ct = pull(lambda u: scatter(np.zeros(3), i, u, ONE_AXIS_SCATTER), np.ones(3), [1.0, 2.0, 3.0])
    assert_array_equal(ct, [0, 3, 1])
    ct = pull(lambda x: scatter(x, i, np.ones(3), ONE_AXIS_SCATTER), np.ones(3), [1.0, 2.0, 3.0])
    assert_array_equal(ct, [0, 2, 0])


def test_scatter_mul_says_what_it_needs() -> None:
    i = np.array([[0], [1]])

    def f(u: Any, unique: bool) -> Any:
        x = np.array([2.0, 3.0])
        return scatter_mul(x, i, u, ONE_AXIS_SCATTER, unique_indices=unique)

    assert_array_equal(pull(lambda u: f(u, True), np.ones(2), np.ones(2)), [2, 3])
    with pytest.raises(MissingRuleError, match="unique_indices=True"):
        pull(lambda u: f(u, False), np.ones(2), np.ones(2))


def test_scatter_dtypes_agree() -> None:
    with pytest.raises(DTypeError, match="their dtypes agree"):
        stage(
            lambda x: [scatter(x, np.array([[0]]), np.array([1]), ONE_AXIS_SCATTER)],
            [typeof(np.ones(2))],
            "f",
        )


def test_dynamic_slices_are_clamped() -> None:
    x = np.arange(5.0)
    assert_array_equal(dynamic_slice(x, (4,), (3,)), [2, 3, 4])
    assert_array_equal(dynamic_slice(x, (-4,), (3,)), [1, 2, 3])
    assert_array_equal(dynamic_slice(x, (np.int32(-9),), (3,)), [0, 1, 2])
    assert_array_equal(dynamic_update_slice(x, np.array([7.0, 8.0]), (9,)), [0, 1, 2, 7, 8])
    with pytest.raises(ShapeError, match="the window fits in"):
        stage(lambda v: [dynamic_slice(v, (0,), (6,))], [typeof(x)], "f")


# --- sorting -----------------------------------------------------------------------------------


def test_sort_by_several_keys() -> None:
    a, b, c = np.array([1, 0, 1, 0]), np.array([2.0, np.nan, 1.0, 5.0]), np.arange(4)
    got = sort((a, b, c), num_keys=2)
    assert_array_equal(got[2], [3, 1, 2, 0])
    assert_array_equal(sort(b), [1, 2, 5, np.nan])
    assert_array_equal(argsort(np.array([1, 0, 1, 0]), 0), [1, 3, 0, 2])


def test_gradient_of_a_sort_follows_the_elements() -> None:
    x = np.array([3.0, 1.0, 2.0])
    assert_array_equal(pull(sort, x, [10.0, 20.0, 30.0]), [30, 10, 20])


def test_top_k() -> None:
    values, places = top_k(np.array([1.0, 3.0, 3.0, np.nan]), 3)
    assert_array_equal(values, [np.nan, 3, 3])
    assert_array_equal(places, [3, 1, 2])
    ct = pull(lambda v: top_k(v, 2)[0], np.array([1.0, 4.0, 2.0]), [5.0, 6.0])
    assert_array_equal(ct, [0, 5, 6])
    with pytest.raises(ShapeError, match="k lies between 0 and the size"):
        stage(lambda v: list(top_k(v, 4)), [typeof(np.ones(3))], "f")


@pytest.mark.parametrize("n", [0, 1, 11, 12, 13, 24, 25, 100, 1000])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int16", "uint8", "int64"])
def test_compiled_sorts_of_any_length(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    x = (rng.integers(0, 20, n) - (0 if dtype == "uint8" else 10)).astype(dtype)
    x = x * x.dtype.type(3) if n % 2 else x
    if x.dtype.kind == "f" and n:
        x[rng.integers(0, n, n // 5)] = np.nan
        x[rng.integers(0, n, n // 5)] = -0.0
    order = ft.jit(lambda v: argsort(v, 0))(x)
    assert_array_equal(order, np.argsort(x, kind="stable"))
    assert_array_equal(ft.jit(sort)(x), np.sort(x))


# --- products ----------------------------------------------------------------------------------


def test_products() -> None:
    assert_array_equal(dot(X, X.T), [[14, 32], [32, 77]])
    assert dot(X[0], X[1]) == 32 and isinstance(dot(X[0], X[1]), np.generic)
    batch = dot_general(X, X, (((1,), (1,)), ((0,), (0,))))
    assert_array_equal(batch, [14, 77])
    small = np.array([100, 100], np.int8)
    assert dot(small, small).dtype == np.int8
    assert dot(small, small, preferred_element_type=np.int32) == 20000
    with pytest.raises(ShapeError, match="axes that go together have one size"):
        stage(lambda x: [dot(x, X)], [typeof(X)], "f")


def test_gradients_of_products() -> None:
    y, ct = np.arange(12.0).reshape(3, 4), np.ones((2, 4))
    assert_array_equal(pull(lambda x: dot(x, y), X, ct), ct @ y.T)
    assert_array_equal(pull(lambda v: dot(X, v), y, ct), X.T @ ct)


def test_convolution() -> None:
    x, w = np.array([[[1.0, 2.0, 3.0, 4.0]]]), np.array([[[1.0, 10.0]]])
    assert_array_equal(conv_general_dilated(x, w, (1,), "VALID")[0, 0], [21, 32, 43])
    assert_array_equal(conv_general_dilated(x, w, (2,), "SAME")[0, 0], [21, 43])
    assert_array_equal(conv_general_dilated(x, w, (1,), [(1, 0)])[0, 0], [10, 21, 32, 43])
    apart = conv_general_dilated(x, w, (1,), "VALID", rhs_dilation=(2,))
    assert_array_equal(apart[0, 0], [31, 42])
    last = conv_general_dilated(
        np.moveaxis(x, 1, 2), w.T, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )
    assert_array_equal(last[0, :, 0], [21, 32, 43])


def test_grouped_convolution() -> None:
    x, w = np.array([[[1.0], [2.0]]]), np.array([[[3.0]], [[5.0]]])
    out = conv_general_dilated(x, w, (1,), "VALID", feature_group_count=2)
    assert_array_equal(out[0, :, 0], [3, 10])
    out = conv_general_dilated(np.moveaxis(x, 0, 1), w, (1,), "VALID", batch_group_count=2)
    assert_array_equal(out[0, :, 0], [3, 10])
    with pytest.raises(ShapeError, match="channels of the input are those of the window"):
        conv_general_dilated(x, w, (1,), "VALID")


def test_windows() -> None:
    x = np.array([1.0, 4.0, 2.0, 3.0])
    assert_array_equal(reduce_window_sum(x, (2,)), [5, 6, 5])
    assert_array_equal(reduce_window_max(x, (2,), (2,)), [4, 3])
    assert_array_equal(reduce_window_min(x, (3,), (2,), "SAME"), [1, 2])
    assert_array_equal(reduce_window_sum(x, (2,), window_dilation=(2,)), [3, 7])


def test_the_first_extreme_of_a_window_has_the_gradient() -> None:
    x = np.array([2.0, 2.0, 1.0, 2.0])
    assert_array_equal(pull(lambda v: reduce_window_max(v, (2,)), x, [1.0, 2.0, 4.0]), [1, 2, 0, 4])


def test_staged_programs_print_their_parameters() -> None:
    closed = stage(lambda x: [gather(x, np.array([[1]]), ONE_AXIS, (1,))], [typeof(X[0])], "f")
    assert "mode=GatherScatterMode.PROMISE_IN_BOUNDS" in str(closed)
    assert_array_equal(eval_jaxpr(closed.jaxpr, closed.consts, X[0])[0], [2])
    assert GatherScatterMode.from_any("drop") is GatherScatterMode.FILL_OR_DROP
