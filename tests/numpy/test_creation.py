"""Creation: what a staged program gets, lists of traced values, ranges, and copies."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace.errors import ShapeError, TracerArrayConversionError


def _staged(make: Any) -> Any:
    """Return what ``make`` returns inside of a staged program."""
    seen = []
    ft.make_jaxpr(lambda x: seen.append(make()) or x)(1.0)
    return seen[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: fnp.zeros((2, 3)),
        lambda: fnp.zeros(3, np.int32),
        lambda: fnp.ones(3),
        lambda: fnp.empty((2,)),
        lambda: fnp.full(2, 7),
        lambda: fnp.array([1, 2, 3]),
        lambda: fnp.copy(np.ones(2)),
        lambda: fnp.zeros_like(np.ones(2, np.float32)),
        lambda: fnp.full_like(np.ones(2), 3),
    ],
)
def test_writable_arrays_belong_to_the_program(make: Any) -> None:
    """Inside of jit and make_jaxpr they are traced; elsewhere they are NumPy's."""
    plain = make()
    assert type(plain) is np.ndarray
    inside = _staged(make)
    assert isinstance(inside, ft.Tracer)
    assert (inside.shape, inside.dtype) == (plain.shape, plain.dtype)
    assert type(ft.grad(lambda x: x * float(make().ravel()[0]))(1.0)) is np.float64
    if make.__code__.co_names[-1] != "empty":
        np.testing.assert_array_equal(ft.jit(lambda x: x * make())(1.0), plain)


def test_new_arrays_can_be_updated_under_eager_transformations() -> None:
    """Under grad, jvp and vmap they have ``.at`` too, without being mapped or differentiated."""

    def histogram(w: Any) -> Any:
        bins = fnp.zeros(4).at[np.array([0, 3, 3])].add(w)
        return (bins * fnp.ones(4) * fnp.array([1.0, 2.0, 3.0, 4.0]).at[0].set(10.0)) ** 2

    w = np.array([1.0, 2.0, 3.0])
    want = np.array([10.0, 0.0, 0.0, 20.0]) ** 2
    np.testing.assert_array_equal(ft.jvp(histogram, (w,), (w,))[0], want)
    slope = ft.grad(lambda w: histogram(w).sum())(w)
    np.testing.assert_array_equal(slope, [200.0, 160.0, 160.0])
    lanes = ft.vmap(histogram)(np.stack([w, 2 * w]))
    np.testing.assert_array_equal(lanes, [want, 4 * want])
    both = ft.vmap(ft.grad(lambda w: histogram(w).sum()))(np.stack([w, 2 * w]))
    np.testing.assert_array_equal(both, [slope, 2 * slope])
    plain = ft.vmap(lambda x: fnp.zeros(2), in_axes=0)(w)
    np.testing.assert_array_equal(plain, np.zeros((3, 2)))
    assert type(ft.jvp(lambda x: fnp.zeros(2), (1.0,), (1.0,))[0]) is np.ndarray


def test_numpys_own_likes_stay_plain_under_eager_transformations() -> None:
    """np.zeros_like of a traced array can be written to with plain values under eager grad."""

    def f(x: Any) -> Any:
        mask = np.zeros_like(x)
        mask[1] = 1.0
        return (x * mask).sum()

    np.testing.assert_array_equal(ft.grad(f)(np.ones(3)), [0.0, 1.0, 0.0])


def test_index_arrays_stay_plain_under_eager_transformations() -> None:
    """Integers and masks made under grad are known, so they can index."""

    def f(x: Any) -> Any:
        return x[fnp.array([0, 2])].sum() + x[fnp.array([True, False, False])].sum()

    np.testing.assert_array_equal(ft.grad(f)(np.ones(3)), [2.0, 0.0, 1.0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: fnp.arange(3),
        lambda: fnp.eye(2),
        lambda: fnp.linspace(0, 1, 3),
        lambda: fnp.asarray([1, 2]),
        lambda: fnp.tri(3),
        lambda: fnp.indices((2, 2)),
        lambda: fnp.sin(np.ones(2)),
    ],
)
def test_other_functions_stay_numpy(make: Any) -> None:
    """Without a traced argument they are NumPy's inside of a program as well."""
    assert type(_staged(make)) is np.ndarray


def test_lists_of_traced_values() -> None:
    """Nested lists of traced and plain numbers and arrays become one array."""

    def f(x: Any) -> Any:
        return fnp.array([[x[0], 1, 2.5], [3, x[1] * 2, x[2]]])

    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(ft.jit(f)(x), [[1, 1, 2.5], [3, 4, 3]])
    np.testing.assert_array_equal(ft.jacfwd(f)(x)[1, 1], [0, 2, 0])
    rows = ft.jit(lambda x: fnp.asarray([x, np.zeros(3), x]))(x)
    np.testing.assert_array_equal(rows, [x, np.zeros(3), x])
    wide = ft.jit(lambda x: fnp.array([x, 1], dtype=np.float64))(np.float32(2))
    assert wide.dtype == np.float64


@pytest.mark.parametrize("other", [1, 2.0, True, np.float32(1), np.int8(1), 1j])
@pytest.mark.parametrize("char", "?bilefdD")
def test_dtype_of_lists(char: str, other: Any) -> None:
    """A list has the dtype that ``np.array`` gives it: Python numbers are strong there."""
    x = np.ones((), char)[()]
    assert ft.eval_shape(lambda x: fnp.array([x, other]), x).dtype == np.array([x, other]).dtype


def test_long_lists_take_linear_time() -> None:
    """Stacking n traced numbers takes O(n), forward and backward."""

    def seconds(n: int) -> float:
        start = time.perf_counter()
        ft.grad(lambda x: fnp.array([x * i for i in range(n)]).sum())(1.0)
        return time.perf_counter() - start

    seconds(50)
    assert min(seconds(1600) for _ in range(3)) < 30 * min(seconds(200) for _ in range(3))


def test_lists_that_are_not_regular() -> None:
    """NumPy's words, and ours for arrays."""
    with pytest.raises(ValueError, match="inhomogeneous"):
        ft.jit(lambda x: fnp.array([[x, x], [x]]))(1.0)
    with pytest.raises(ShapeError, match=r"different shapes: \(2,\) and \(3,\)"):
        ft.jit(lambda x: fnp.array([x, np.ones(3)]))(np.ones(2))


def test_numpys_own_array_says_what_to_use() -> None:
    """np.array never dispatches: the error names functrace.numpy."""
    with pytest.raises(TracerArrayConversionError, match=r"functrace\.numpy"):
        ft.jit(lambda x: np.array([x, x]))(1.0)


def test_full_of_traced_values() -> None:
    """A traced fill value is broadcast, and differentiated."""
    assert ft.grad(lambda x: fnp.full((2, 3), x).sum())(1.5) == 6.0
    rows = ft.jit(lambda x: fnp.full((2, 3), x, np.float32))(np.arange(3.0))
    np.testing.assert_array_equal(rows, [[0, 1, 2]] * 2)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(ft.jit(lambda x: fnp.full_like(x, x[1]))(np.arange(3)), [1] * 3)


def test_copies_and_ndmin() -> None:
    """copy, ndmin, asarray and its relatives on traced values."""
    x = np.float64(2.0)
    assert ft.jit(lambda x: fnp.array(x, ndmin=2))(x).shape == (1, 1)
    assert ft.jit(lambda x: fnp.ascontiguousarray(x))(x).shape == (1,)
    assert ft.jit(lambda x: fnp.asarray(x, np.int8))(x).dtype == np.int8
    assert ft.grad(lambda x: fnp.copy(x) * x)(3.0) == 6.0


@pytest.mark.parametrize("chars", ["ff", "fd", "ii", "ee", "dl"])
def test_linspace_dtypes(chars: str) -> None:
    """The dtype and the values of linspace, step included."""
    a, b = np.ones((), chars[0])[()], (np.ones((), chars[1]) * 4)[()]
    for options in ({}, {"endpoint": False}, {"dtype": np.int32}, {"retstep": True}):
        want = np.linspace(a, b, 4, **options)
        got = ft.jit(lambda a, b, o=options: np.linspace(a, b, 4, **o))(a, b)
        for g, w in zip(got, want) if isinstance(want, tuple) else [(got, want)]:
            np.testing.assert_allclose(g, w, rtol=1e-3)
            assert g.dtype == np.asarray(w).dtype
    np.testing.assert_array_equal(ft.jit(lambda a: np.linspace(a, 2.0, 1))(1.0), [1.0])
    assert ft.jit(lambda a: np.linspace(a, 2.0, 0))(1.0).shape == (0,)
    with pytest.raises(ValueError, match="must be non-negative"):
        ft.jit(lambda a: np.linspace(a, 2.0, -1))(1.0)


def test_sizes_must_be_known() -> None:
    """A traced size or bound is an error that names static arguments."""
    for call in (
        lambda n: fnp.zeros(n),
        lambda n: fnp.full((n, 2), 1.0),
        lambda n: fnp.arange(n),
        lambda n: fnp.arange(0, n),
        lambda n: fnp.linspace(0.0, 1.0, n),
        lambda n: fnp.eye(n),
        lambda n: fnp.ones(4).reshape(n, 2),
        lambda n: np.tile(n * 1.0, n),
        lambda n: np.broadcast_to(n, (n,)),
        lambda n: np.resize(n, n),
    ):
        with pytest.raises(TypeError, match=r"static_argnums"):
            ft.jit(call)(2)
