"""Statistics and sampled curves: quantiles, covariance, histograms, differences, convolution."""

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
from functrace.numpy import quantiles as q
from functrace.numpy import sequences as seq
from functrace.numpy import statistics as st


def make(shape: tuple[int, ...] = (3, 4, 5), dtype: str = "float64", seed: int = 11) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype.startswith(("int", "uint")):
        return rng.integers(0, 9, shape).astype(dtype)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else x).astype(dtype)


METHODS = [
    "linear",
    "lower",
    "higher",
    "midpoint",
    "nearest",
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "median_unbiased",
    "normal_unbiased",
]


@pytest.mark.parametrize("dtype", ["int32", "float16", "float32", "float64"])
def test_median(dtype: str) -> None:
    x = make(dtype=dtype)
    for axis in (None, 0, 1, (0, -1)):
        for keepdims in (False, True):
            check_traced(lambda x, a=axis, k=keepdims: q.median(x, a, keepdims=k), x)
            check_traced(lambda x, a=axis, k=keepdims: q.nanmedian(x, a, keepdims=k), x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_quantile(method: str, dtype: str) -> None:
    x = make(dtype=dtype)
    check_traced(lambda x: q.quantile(x, 0.3, method=method), x)
    check_traced(lambda x: q.quantile(x, np.array([0.0, 0.35, 1.0]), 1, method=method), x)
    check_traced(lambda x: q.percentile(x, [[25], [60.5]], (0, 2), method=method, keepdims=True), x)


def test_quantile_edges() -> None:
    x = make()
    check_all(lambda x: q.median(x, 1), x)
    check_all(lambda x: q.quantile(x, 0.4, (0, 1)), x)
    check_all(lambda x, p: q.quantile(x, p, 1), x, np.array(0.37))
    check_all(lambda x, p: q.percentile(x, p, 1), x, np.array([20.0, 61.0]))
    for method in ("lower", "higher", "midpoint", "nearest", "hazen", "weibull"):
        check_traced(lambda x, p, m=method: q.quantile(x, p, 1, method=m), x, np.array(0.37))
    broken = x.copy()
    broken[1, 2, 3] = np.nan
    check_traced(lambda x: q.median(x, 1), broken)
    check_traced(lambda x: q.quantile(x, 0.2, 1), broken)
    assert_same(staged(q.median, np.array([np.inf, np.inf])), np.float64(np.inf))
    with pytest.raises(ValueError, match="range"):
        staged(lambda x: q.quantile(x, 1.5), x)
    with pytest.raises(NotImplementedError, match="inverted_cdf"):
        staged(lambda x, p: q.quantile(x, p, method="inverted_cdf"), x, np.array(0.5))
    with pytest.raises(NotImplementedError, match="weights"):
        staged(lambda x: q.quantile(x, 0.5, weights=x, method="inverted_cdf"), x)
    with pytest.raises(TypeError, match="real"):
        staged(q.median, x + 1j)
    empty = staged(lambda x: q.median(x, 1), np.zeros((2, 0), np.float32))
    assert_same(empty, np.full(2, np.nan, np.float32))


def test_nan_quantiles() -> None:
    x = make()
    x[0, 1, 2] = x[1, 0, 0] = x[1, 2, 3] = np.nan
    x[:, 3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for axis in (None, 0, 1, 2):
            check_traced(lambda x, a=axis: q.nanmedian(x, a), x)
            check_traced(lambda x, a=axis: q.nanquantile(x, [0.2, 0.7], a), x)
            check_traced(lambda x, a=axis: q.nanpercentile(x, 33.0, a, keepdims=True), x)
        for method in ("linear", "lower", "higher", "midpoint", "nearest", "hazen"):
            check_traced(lambda x, m=method: q.nanquantile(x, 0.3, 0, method=m), x)
        check_traced(lambda x: q.nanquantile(x, 0.3, 0), x.astype(np.float32))
        check_traced(lambda x: q.nanquantile(x, 0.3, 0), make(dtype="int32"))
    row = x[0, :3]
    check_derivative(lambda x: q.nanmedian(np.where(np.isnan(row), np.nan, x), 1), make((3, 5)))


# --- covariance --------------------------------------------------------------------------------


def test_cov_and_corrcoef() -> None:
    x, y = make((3, 8)), make((3, 8), seed=1)
    for dtype in ("int32", "float32", "float64", "complex128"):
        z = make((3, 8), dtype)
        check_traced(st.cov, z)
        check_traced(lambda z: st.cov(z, rowvar=False), z)
        check_traced(st.corrcoef, z)
        check_traced(st.cov, z[0])
    check_traced(st.cov, x, y)
    check_traced(lambda x: st.cov(x, bias=True), x)
    check_traced(lambda x: st.cov(x, ddof=2), x)
    check_traced(lambda x: st.cov(x, dtype="float32"), x)
    f, a = np.arange(1, 9), np.linspace(0.5, 2, 8)
    check_traced(lambda x: st.cov(x, fweights=f), x)
    check_traced(lambda x: st.cov(x, aweights=a), x)
    check_traced(lambda x: st.cov(x, fweights=f, aweights=a, ddof=2), x)
    check_traced(lambda a: st.cov(x, aweights=a), a)
    check_all(st.cov, x, y)
    check_all(st.corrcoef, x)
    check_derivative(lambda a: st.cov(x, aweights=a), a)
    check_traced(st.corrcoef, x[0])


# --- counts ------------------------------------------------------------------------------------


def test_bincount() -> None:
    x = np.array([0, 3, 1, 3, 7])
    assert_same(st.bincount(x), np.bincount(x))
    assert_same(st.bincount(x, minlength=10), np.bincount(x, minlength=10))
    assert_same(staged(lambda x: st.bincount(x, length=8), x), np.bincount(x))
    assert_same(staged(lambda x: st.bincount(x, length=3), x), np.bincount(x)[:3])
    w = make((5,))
    assert_same(staged(lambda w: st.bincount(x, w), w), np.bincount(x, w))
    assert_same(staged(lambda w: st.bincount(x, w, 12), w), np.bincount(x, w, 12))
    check_derivative(lambda w: st.bincount(x, w), w)
    check_vmap(lambda w: st.bincount(x, w), w)
    with pytest.raises(TypeError, match="length=n"):
        staged(st.bincount, x)
    with pytest.raises(TypeError, match="safe"):
        staged(lambda w: st.bincount(w, length=3), w)
    with pytest.raises(ValueError, match="negative"):
        staged(lambda w: st.bincount(x - 1, w), w)
    with pytest.raises(ValueError, match="same length"):
        staged(lambda w: st.bincount(x[1:], w), w)
    with pytest.raises(ValueError, match="depth"):
        staged(lambda x: st.bincount(x[0], length=3), x)


def test_histogram() -> None:
    x = make((40,))
    w = make((40,), seed=2)
    edges = np.linspace(-1, 1.5, 6)
    for options in ({}, {"bins": 4}, {"bins": edges}, {"range": (-1, 1)}, {"density": True}):
        check_traced(lambda x, o=options: st.histogram(x, **o), x)
        check_traced(lambda x, w, o=options: st.histogram(x, weights=w, **o), x, w)
    check_traced(st.histogram, make((40,), "int32"))
    check_traced(st.histogram, make((40,), "float32"))
    check_traced(st.histogram, np.full(5, 2.0))
    check_traced(st.histogram_bin_edges, x)
    check_derivative(lambda w: st.histogram(x, weights=w)[0], w)
    with pytest.raises(TypeError, match="bins='auto'"):
        staged(lambda x: st.histogram(x, "auto"), x)
    with pytest.raises(ValueError, match="positive"):
        staged(lambda x: st.histogram(x, 0), x)
    assert functrace.grad(lambda x: st.histogram(x)[1][0])(x)[np.argmin(x)] == 1.0


def test_histograms_of_points() -> None:
    points, w = make((40, 3)), make((40,), seed=2)
    edges = np.linspace(-1, 1.5, 4)
    for options in ({"bins": 3}, {"bins": (2, edges, 4)}, {"bins": 2, "density": True}):
        check_traced(lambda p, o=options: st.histogramdd(p, **o), points)
        check_traced(lambda p, w, o=options: st.histogramdd(p, weights=w, **o), points, w)
    spans = [(-1, 1), None, (0, 1)]
    check_traced(lambda p: st.histogramdd(p, 3, range=spans), points)
    x, y = points[:, 0].copy(), points[:, 1].copy()
    for bins in (4, (2, 3), edges, [edges, 3]):
        check_traced(lambda x, y, b=bins: st.histogram2d(x, y, b), x, y)
    check_traced(lambda x: st.histogram(x, edges), np.append(x, [np.nan, 9.0, -9.0, 1.5]))
    check_derivative(lambda w: st.histogramdd(points, 2, weights=w)[0], w)


# --- sampled curves ----------------------------------------------------------------------------


def test_differences() -> None:
    x = make()
    for n in (0, 1, 2, 7):
        check_traced(lambda x, n=n: seq.diff(x, n, axis=1), x)
    check_traced(seq.diff, make(dtype="int8"))
    check_traced(lambda x: seq.diff(x > 0), x)
    check_traced(lambda x: seq.diff(x, prepend=0, append=x[..., :2]), x)
    check_traced(lambda x: seq.ediff1d(x), x)
    check_traced(lambda x: seq.ediff1d(x, to_begin=[1, 2], to_end=3), x)
    check_all(lambda x: seq.diff(x, 2, axis=0, prepend=1.0), x)
    check_all(lambda x: seq.ediff1d(x, to_end=x[0, 0]), x)
    with pytest.raises(ValueError, match="non-negative"):
        staged(lambda x: seq.diff(x, -1), x)
    with pytest.raises(ValueError, match="one dimensional"):
        staged(seq.diff, np.float64(1.0))


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient(edge_order: int) -> None:
    x = make()
    points = np.cumsum(np.abs(make((4,))) + 0.1)
    check_traced(lambda x: seq.gradient(x, edge_order=edge_order), x)
    check_traced(lambda x: seq.gradient(x, 2.0, edge_order=edge_order), x)
    check_traced(lambda x: seq.gradient(x, points, axis=1, edge_order=edge_order), x)
    check_traced(lambda x: seq.gradient(x, 0.5, points, axis=(2, 1), edge_order=edge_order), x)
    check_traced(lambda x: seq.gradient(x, edge_order=edge_order), make((6,), "int32"))
    check_traced(lambda x: seq.gradient(x, edge_order=edge_order), make((6,), "float32"))
    check_all(lambda x, p: seq.gradient(x, p, axis=1, edge_order=edge_order), x, points)
    with pytest.raises(ValueError, match="too small"):
        staged(lambda x: seq.gradient(x), np.ones(1))
    with pytest.raises(ValueError, match="match the length"):
        staged(lambda x: seq.gradient(x, points, axis=0), x)
    with pytest.raises(TypeError, match="number of arguments"):
        staged(lambda x: seq.gradient(x, 1.0, 2.0), x)


def test_trapezoid() -> None:
    x = make()
    check_traced(seq.trapezoid, x)
    check_traced(lambda x: seq.trapezoid(x, dx=0.1, axis=0), x)
    check_traced(lambda y, x: seq.trapezoid(y, x, axis=1), x, make((4,)))
    check_traced(lambda y, x: seq.trapezoid(y, x, axis=1), x, x)
    check_all(lambda y, x: seq.trapezoid(y, x), x, make((5,)))


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64", "complex128"])
def test_convolution(dtype: str) -> None:
    for n, m in ((7, 3), (3, 7), (4, 4), (6, 2), (5, 1)):
        a, v = make((n,), dtype), make((m,), dtype, 2)
        for mode in ("full", "same", "valid"):
            check_traced(lambda a, v, mode=mode: seq.convolve(a, v, mode), a, v)
            check_traced(lambda a, v, mode=mode: seq.correlate(a, v, mode), a, v)
    check_traced(seq.convolve, make((3,), dtype), make((), dtype))


def test_derivatives_of_convolution() -> None:
    a, v = make((7,)), make((3,))
    check_all(seq.convolve, a, v)
    check_all(lambda a, v: seq.correlate(a, v, "same"), v, a)
    with pytest.raises(ValueError, match="vectors"):
        staged(seq.convolve, make(), v)
    with pytest.raises(ValueError, match="empty"):
        staged(seq.convolve, make((0,)), v)
    with pytest.raises(ValueError, match="mode"):
        staged(lambda a, v: seq.convolve(a, v, "else"), a, v)


def test_polynomials() -> None:
    p, r, x = make((4,)), make((2,)), make((3, 2))
    check_all(seq.polyval, p, x)
    check_traced(seq.polyval, make((3,), "int32"), make((3,), "int32"))
    check_all(seq.polyadd, p, r)
    check_all(seq.polysub, r, p)
    check_all(seq.polymul, p, r)
    check_all(lambda p: seq.polyder(p, 2), p)
    check_all(lambda p: seq.polyint(p, 2), p)
    check_all(lambda p, k: seq.polyint(p, 2, k), p, r)
    check_traced(lambda p: seq.polyint(p, 1, 3.0), p)
    check_traced(seq.polyder, make((4,), "int32"))
    check_all(seq.poly, p)
    check_traced(seq.poly, make((3,), "int32"))
    with pytest.raises(ValueError, match="eigenvalues"):
        staged(seq.poly, np.eye(2))
