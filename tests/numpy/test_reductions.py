"""Reductions: values and dtypes are NumPy's over axes, keepdims, where, dtype, ddof."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from function_checks import (
    assert_same,
    check_all,
    check_derivative,
    check_traced,
    check_vmap,
    staged,
)

import functrace
from functrace.errors import InPlaceUpdateError
from functrace.numpy import accumulations as acc
from functrace.numpy import nanfunctions as nan
from functrace.numpy import reductions as red

DTYPES = [
    "bool",
    "int8",
    "int32",
    "int64",
    "uint8",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
AXES = [None, 0, -1, (0, 2), (), (1, -3)]
FOLDS = ["sum", "prod", "max", "min", "any", "all", "mean", "var", "std", "ptp", "count_nonzero"]


def make(dtype: str, shape: tuple[int, ...] = (2, 3, 4)) -> np.ndarray:
    rng = np.random.default_rng(3)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("complex"):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    if dtype.startswith("float"):
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 5, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FOLDS)
def test_values_and_dtypes(name: str, dtype: str) -> None:
    if name == "ptp" and dtype == "bool":
        pytest.skip("NumPy can't subtract booleans")
    fun = getattr(red, name)
    x = make(dtype)
    for axis in AXES:
        if name == "count_nonzero" and axis == ():
            continue  # NumPy takes it for None
        for keepdims in (False, True):
            check_traced(lambda x, a=axis, k=keepdims: fun(x, axis=a, keepdims=k), x, rtol=1e-12)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "any", "all"])
@pytest.mark.parametrize("dtype", ["int32", "float32", "float64", "complex128"])
def test_where(name: str, dtype: str) -> None:
    fun = getattr(red, name)
    x = make(dtype)
    mask = np.array([[True], [False], [True]])
    check_traced(lambda x: fun(x, axis=1, where=mask), x)
    check_traced(lambda x: fun(x, where=mask, keepdims=True), x)
    full = make("bool")
    full[:, 0] = True
    check_traced(lambda x, m: fun(x, axis=1, where=m), x, full)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_initial(name: str) -> None:
    fun = getattr(red, name)
    for dtype in ("int8", "float32", "float64"):
        x = make(dtype)
        check_traced(lambda x: fun(x, axis=0, initial=2), x)
        check_traced(lambda x: fun(x, axis=0, initial=2, where=make("bool")), x)
    empty = np.zeros((0, 3))
    check_traced(lambda x: fun(x, axis=0, initial=2.5), empty)
    check_traced(lambda x: fun(x, initial=2.5, keepdims=True), empty)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std"])
@pytest.mark.parametrize("dtype", ["int8", "float32", "float16", "float64"])
def test_dtype(name: str, dtype: str) -> None:
    fun = getattr(red, name)
    x = make(dtype)
    for target in ("float32", "float64", "complex128"):
        check_traced(lambda x, t=target: fun(x, axis=1, dtype=t), x)
    if name in ("sum", "prod"):
        check_traced(lambda x: fun(x, dtype="int16"), make("int8"))
        check_traced(lambda x: fun(x, dtype=bool), make("int8"))


def test_ddof_and_correction() -> None:
    for dtype in ("int32", "float32", "float64", "complex128"):
        x = make(dtype)
        for name in ("var", "std"):
            fun = getattr(red, name)
            check_traced(lambda x, f=fun: f(x, axis=1, ddof=1), x)
            check_traced(lambda x, f=fun: f(x, ddof=1.5), x)
            check_traced(lambda x, f=fun: f(x, axis=(0, 1), correction=1), x)
            mean = np.mean(x, axis=1, keepdims=True)
            check_traced(lambda x, f=fun, m=mean: f(x, axis=1, mean=m), x)
    with pytest.raises(ValueError, match="simultaneously"):
        staged(lambda x: red.var(x, ddof=1, correction=1), np.ones(3))


def test_derivatives() -> None:
    x = make("float64")
    mask = make("bool")
    mask[:, 0] = True
    check_all(lambda x: red.sum(x, axis=1), x)
    check_all(lambda x: red.sum(x, axis=(0, -1), where=mask, keepdims=True), x)
    check_all(lambda x: red.prod(x, axis=1), x)
    check_all(lambda x: red.mean(x), x)
    check_all(lambda x: red.mean(x, axis=1, where=mask), x)
    check_all(lambda x: red.var(x, axis=(0, 2), ddof=1), x)
    check_all(lambda x: red.std(x, axis=1, where=mask), x)
    check_all(lambda x: red.max(x, axis=1), x)
    check_all(lambda x: red.min(x, axis=(0, 1), keepdims=True), x)
    check_all(lambda x: red.ptp(x, axis=-1), x)
    check_all(lambda x: acc.cumsum(x, axis=1), x)
    check_all(lambda x: acc.cumprod(x), x)
    check_derivative(lambda x: red.var(x, axis=0), make("complex128"))


def test_edges_of_derivatives() -> None:
    grad = functrace.grad
    constant = np.full(4, 2.0)
    np.testing.assert_array_equal(grad(red.std)(constant), np.zeros(4))
    np.testing.assert_array_equal(grad(red.var)(constant), np.zeros(4))
    np.testing.assert_allclose(grad(red.max)(constant), np.full(4, 0.25))
    np.testing.assert_allclose(grad(red.prod)(np.array([0.0, 2.0, 3.0])), [6.0, 0.0, 0.0])
    np.testing.assert_allclose(grad(red.prod)(np.array([0.0, 0.0, 3.0])), [0.0, 0.0, 0.0])
    assert grad(red.mean)(np.ones(4, np.float32)).dtype == np.float32
    assert grad(red.mean)(np.ones(4, np.float16)).dtype == np.float16


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_extremes_of_a_long_row(dtype: str) -> None:
    n = (1 << 17) + 13
    x = np.random.default_rng(0).integers(-40, 41, n).astype(dtype)
    rows = [x, x[None], np.zeros(n, dtype)]
    for place in (0, n // 16, n // 2, n - 14, n - 1):
        one = x.copy()
        one[place] = 99 if dtype == "int64" else np.nan
        two = x.copy()
        two[[place, n - 3]] = 99, 99
        rows += [one, two]
    for row in rows:
        for fun in (red.argmax, red.argmin):
            got = functrace.jit(lambda x, fun=fun: fun(x, axis=-1))(row)
            assert_same(got, getattr(np, fun.__name__)(row, axis=-1))


def test_argmax_and_argmin() -> None:
    for dtype in ("bool", "int32", "float32", "float64"):
        x = make(dtype)
        for fun in (red.argmax, red.argmin):
            check_traced(fun, x)
            for axis in (0, -1):
                check_traced(lambda x, f=fun, a=axis: f(x, axis=a), x)
                check_traced(lambda x, f=fun, a=axis: f(x, axis=a, keepdims=True), x)
            check_traced(lambda x, f=fun: f(x, keepdims=True), x)
    check_vmap(lambda x: red.argmax(x, axis=1), make("float64"))
    x = np.array([1.0, np.nan, 3.0])
    check_traced(red.argmax, x)
    assert functrace.grad(lambda x: x[red.argmax(x)])(np.array([1.0, 3.0, 2.0])).tolist() == [
        0,
        1,
        0,
    ]


def test_average() -> None:
    x = make("float64")
    w = np.abs(make("float64"))
    check_traced(red.average, x)
    check_traced(lambda x, w: red.average(x, weights=w), x, w)
    check_traced(lambda x, w: red.average(x, axis=1, weights=w), x, w[0, :, 0].copy())
    check_traced(lambda x, w: red.average(x, 1, w, returned=True, keepdims=True), x, w)
    check_traced(lambda x, w: red.average(x, (2, 0), w), x, np.ascontiguousarray(w[:, 0].T))
    check_traced(lambda x: red.average(x, axis=0, returned=True), make("int32"))
    check_traced(lambda x, w: red.average(x, axis=2, weights=w), make("int32"), np.arange(4))
    check_all(lambda x, w: red.average(x, axis=1, weights=w), x, w)
    with pytest.raises(TypeError, match="Axis must be specified"):
        staged(lambda x: red.average(x, weights=np.ones(3)), x)
    with pytest.raises(ValueError, match="consistent"):
        staged(lambda x: red.average(x, axis=0, weights=np.ones(3)), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cumulative(dtype: str) -> None:
    x = make(dtype)
    for fun in (acc.cumsum, acc.cumprod):
        check_traced(fun, x)
        check_traced(lambda x, f=fun: f(x, axis=-2), x)
        check_traced(lambda x, f=fun: f(x, axis=0, dtype="complex128"), x)
    if hasattr(np, "cumulative_sum"):
        for fun in (acc.cumulative_sum, acc.cumulative_prod):
            check_traced(lambda x, f=fun: f(x, axis=1, include_initial=True), x)
            check_traced(lambda x, f=fun: f(x), x[0, 0])
    with pytest.raises(ValueError, match="required"):
        staged(lambda x: acc.cumulative_sum(x), x)


def holes(dtype: str = "float64") -> np.ndarray:
    x = make(dtype)
    x[0, 1, 2] = x[1, 0, 0] = x[1, 2, 3] = np.nan
    return x


@pytest.mark.parametrize("dtype", ["int32", "float16", "float32", "float64", "complex128"])
@pytest.mark.parametrize(
    "name", ["nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"]
)
def test_nan_reductions(name: str, dtype: str) -> None:
    fun = getattr(nan, name)
    x = make(dtype) if dtype == "int32" else holes(dtype)
    for axis in (None, 0, (1, 2)):
        for keepdims in (False, True):
            check_traced(lambda x, a=axis, k=keepdims: fun(x, axis=a, keepdims=k), x)
    if dtype == "float64":
        row = holes()
        row[:, :, 1] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_traced(lambda x: fun(x, axis=1), row)
        check_derivative(lambda x: fun(np.where(np.isnan(holes()), np.nan, x), axis=1), make(dtype))


def test_nan_options() -> None:
    x = holes()
    mask = make("bool")
    mask[:, 0] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_traced(lambda x: nan.nanmean(x, axis=1, where=mask), x)
        check_traced(lambda x: nan.nanvar(x, axis=1, where=mask, ddof=1), x)
        check_traced(lambda x: nan.nanstd(x, axis=1, correction=2), x)
        check_traced(lambda x: nan.nanvar(x, axis=1, ddof=0.5, dtype="complex128"), x)
        check_traced(lambda x: nan.nanvar(x, axis=1, mean=np.zeros((2, 1, 4))), x)
    check_traced(lambda x: nan.nansum(x, initial=1.0), x)
    check_traced(lambda x: nan.nanmax(x, initial=1.0), x)
    check_traced(lambda x: nan.nancumsum(x, axis=1), x)
    check_traced(lambda x: nan.nancumprod(x), x)
    for fun in (nan.nanargmax, nan.nanargmin):
        check_traced(fun, x)
        check_traced(lambda x, f=fun: f(x, axis=1, keepdims=True), x)
        check_traced(fun, make("int32"))
        with pytest.raises(ValueError, match="All-NaN"):
            functrace.jvp(lambda x, f=fun: x[f(x)], (np.full(2, np.nan),), (np.ones(2),))
        assert staged(fun, np.full(2, np.nan)) == -1


def test_errors() -> None:
    x = np.ones((2, 3))
    with pytest.raises(np.exceptions.AxisError):
        staged(lambda x: red.sum(x, axis=2), x)
    with pytest.raises(ValueError, match="repeated"):
        staged(lambda x: red.sum(x, axis=(0, 0)), x)
    with pytest.raises(InPlaceUpdateError, match="without out"):
        staged(lambda x: red.sum(x, out=np.zeros(())), x)
    with pytest.raises(ValueError, match="no identity"):
        staged(lambda x: red.max(x, axis=0), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="initial"):
        staged(lambda x: red.max(x, where=np.ones(3, bool)), x)
    with pytest.raises(ValueError, match="empty sequence"):
        staged(red.argmax, np.zeros(0))


def test_plain_arguments_are_numpys() -> None:
    x = np.arange(6.0).reshape(2, 3)
    out = np.empty(3)
    assert red.sum(x, axis=0, out=out) is out
    assert_same(red.mean([1, 2, 3]), np.float64(2.0))
    assert_same(staged(lambda x: red.sum([x, 2.0]), np.float64(1.0)), np.float64(3.0))


def test_results_of_python_numbers_are_not_weak() -> None:
    single = np.float32(2)
    for fun in (red.sum, red.max, red.mean, red.all):
        jaxpr = functrace.make_jaxpr(lambda x, f=fun: f(x) * single)(1.5)
        assert jaxpr.out_avals[0].dtype == (np.float32 if fun is red.all else np.float64)
