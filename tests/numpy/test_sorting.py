"""Sorting: sort, argsort, lexsort, partition, argpartition, unique."""

from __future__ import annotations

import numpy as np
import pytest
from function_checks import assert_same, check_all, check_traced, check_vmap, staged

import functrace
from functrace.numpy import sorting as s


def make(shape: tuple[int, ...] = (3, 4), dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(5)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("int"):
        return rng.integers(0, 5, shape).astype(dtype)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else x).astype(dtype)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int64", "float16", "float32", "float64", "complex128"]
)
def test_values(dtype: str) -> None:
    x = make(dtype=dtype)
    for axis in (None, 0, -1):
        check_traced(lambda x, a=axis: s.sort(x, a), x)
        check_traced(
            lambda x, a=axis: s.argsort(x, a, stable=True),
            x,
            plain=lambda x, a=axis: np.argsort(x, a, kind="stable"),
        )
    check_traced(s.sort_complex, x)


def test_nan_goes_last() -> None:
    x = np.array([3.0, np.nan, 1.0, -np.inf, np.nan])
    check_traced(s.sort, x)
    check_traced(s.argsort, x)


def test_derivatives_and_lanes() -> None:
    x = make()
    check_all(lambda x: s.sort(x, axis=0), x)
    check_all(lambda x: s.sort(x, axis=None), x)
    check_vmap(lambda x: s.argsort(x, axis=-1), x)


def rows_of_every_kind(n: int, dtype: str) -> list[np.ndarray]:
    """Numbers far apart, alike in all but their last bits (many, or a few each), equal, NaN."""
    rng = np.random.default_rng(n)
    spread = rng.standard_normal(n) * 100
    if np.dtype(dtype).kind in "iu":
        top = 2 ** (8 * np.dtype(dtype).itemsize - 1) - 1
        outlier = np.where(np.arange(n) == n // 2, top, rng.integers(0, 5, n))
        return [rng.integers(0, top, n).astype(dtype), outlier.astype(dtype)]
    last = np.finfo(dtype).eps
    near = 1 + rng.integers(0, 1 << 9, n) * last
    outlier = np.where(np.arange(n) == n // 2, np.finfo(dtype).min, near)
    groups = rng.integers(0, 1 + n // 50, n) + rng.integers(0, 1 << 9, n) * last
    signs = rng.choice([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0], n)
    return [x.astype(dtype) for x in (spread, np.full(n, 3.0), outlier, groups, -groups, signs)]


@pytest.mark.parametrize("n", [2, 39, 40, 1000, 20_000])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint32", "int16"])
def test_orders_are_stable(n: int, dtype: str) -> None:
    order = functrace.jit(s.argsort)
    for x in rows_of_every_kind(n, dtype):
        assert_same(order(x), np.argsort(x, kind="stable"))


def test_orders_of_many_rows() -> None:
    x = np.random.default_rng(0).integers(0, 9, (7, 11, 300)).astype(np.float64)
    want = np.argsort(x, kind="stable"), np.argsort(x, 1, kind="stable")
    for threads in (1, 2, 3, 8):
        got = functrace.jit(lambda x: (s.argsort(x), s.argsort(x, axis=1)), threads=threads)(x)
        assert_same(got, want)


def test_partition() -> None:
    x = make((7,))
    out = staged(lambda x: s.partition(x, 3), x)
    assert out[3] == np.partition(x, 3)[3]
    order = staged(lambda x: s.argpartition(x, (1, -2)), x)
    assert_same(x[order], np.sort(x))
    with pytest.raises(ValueError, match="out of bounds"):
        staged(lambda x: s.partition(x, 7), x)
    assert functrace.grad(lambda x: s.partition(x, 0)[0])(x)[np.argmin(x)] == 1.0


def test_lexsort() -> None:
    a, b = make((6,), "int64"), make((6,), "int64")[::-1].copy()
    check_traced(lambda a, b: s.lexsort((a, b)), a, b)
    check_traced(lambda a: s.lexsort(a, axis=0), make((2, 5), "int64"))
    with pytest.raises(TypeError, match="len"):
        staged(lambda a: s.lexsort(()) if a is None else s.lexsort.__wrapped__(()), a)


def test_errors() -> None:
    with pytest.raises(np.exceptions.AxisError):
        staged(lambda x: s.sort(x, axis=2), make())
    with pytest.raises(ValueError, match="fields"):
        staged(lambda x: s.sort(x, order="a"), make())
