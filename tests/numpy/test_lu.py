"""Factors made by our own kernels, panel by panel: as stable as LAPACK's, whatever the sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg

import functrace
from functrace import lax
from functrace.compiler.runtime.driver import driver, thread_limit
from functrace.numpy import linalg

DTYPES = ["float32", "float64"]
#: Around the lanes of a vector and the columns of a panel, and so many of each.
SIZES = [
    *((n, n) for n in (5, 7, 8, 9, 16, 17, 31, 63, 64, 65, 100, 128, 200, 257, 500)),
    *((5, 17), (17, 5), (60, 130), (130, 70), (70, 300), (300, 65), (1, 6), (6, 1)),
]


def random(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def factors(x: Any) -> Any:
    return functrace.jit(lax.linalg.lu)(x)


def residual(x: np.ndarray, packed: np.ndarray, order: np.ndarray) -> float:
    """Return how far the product of the factors is from the matrix, whose size is 1."""
    k = min(x.shape)
    exact = packed.astype(np.longdouble)
    lower = np.tril(exact[:, :k], -1) + np.eye(x.shape[0], k)
    gap = x.astype(np.longdouble)[order] - lower @ np.triu(exact[:k])
    return float(np.sqrt(np.sum(gap**2) / np.sum(x.astype(np.float64) ** 2)))


def order_of(pivots: np.ndarray, m: int) -> np.ndarray:
    order = np.arange(m)
    for i, j in enumerate(pivots):
        order[[i, j]] = order[[j, i]]
    return order


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_as_stable_as_lapack(shape: tuple[int, int], dtype: str) -> None:
    x = random(shape, dtype)
    packed, pivots, order = factors(x)
    theirs, their_pivots = scipy.linalg.lu_factor(x)
    np.testing.assert_array_equal(pivots, their_pivots)
    np.testing.assert_array_equal(order, order_of(pivots, shape[0]))
    other = residual(x, theirs, order)
    assert residual(x, packed, order) <= 1.5 * other + np.finfo(dtype).eps
    assert np.all(np.abs(np.tril(packed[:, : min(shape)], -1)) <= 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_at_the_ends_of_the_range(dtype: str) -> None:
    """The inverse of a pivot that is no normal number would be infinite."""
    info = np.finfo(dtype)
    for scale in (info.smallest_subnormal * info.dtype.type(2000), info.max / 1000):
        x = np.random.default_rng(3).uniform(-1, 1, (40, 40)).astype(dtype) * scale
        packed, _, order = factors(x)
        lower = np.tril(packed, -1)
        assert np.all(np.abs(lower) <= 1)
        product = (lower.astype(np.longdouble) + np.eye(40)) @ np.triu(packed)
        bound = 40 * (info.smallest_subnormal + info.eps * np.abs(x).max())
        assert np.abs(product - x[order]).max() <= bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [6, 20, 65, 150])
def test_a_column_of_zeros(n: int, dtype: str) -> None:
    x = random((n, n), dtype)
    x[:, n // 2] = 0
    packed, _, order = factors(x)
    assert residual(x, packed, order) < n * np.finfo(dtype).eps
    for f in (linalg.inv, lambda x: linalg.solve(x, x[0])):
        with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
            functrace.jit(f)(x)


@pytest.mark.parametrize("n", [20, 65])
def test_what_is_no_number_stays_in_its_row_of_the_search(n: int) -> None:
    """Rows that the panes are filled up with are never chosen."""
    x = random((n, n), "float64")
    x[n // 2] = np.nan
    _, pivots, order = factors(x)
    assert np.all((pivots >= np.arange(n)) & (pivots < n))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    packed, pivots, _ = factors(np.full((n, n), np.nan))
    np.testing.assert_array_equal(pivots, np.arange(n))
    assert np.isnan(packed).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(30, 40, 40), (2, 300, 300), (3, 90, 200)], ids=str)
def test_bits_are_those_of_one_matrix_and_one_thread(shape: tuple[int, ...], dtype: str) -> None:
    x = random(shape, dtype)
    first = factors(x)
    for got, want in zip(factors(x[-1].copy()), first):
        np.testing.assert_array_equal(got, want[-1])
    try:
        for helpers in (0, 1, 2, 7):
            driver().limit_helpers(helpers)
            for got, want in zip(factors(x), first):
                np.testing.assert_array_equal(got, want)
    finally:
        driver().limit_helpers(thread_limit() - 1)
