"""NumPy's own functions on traced arrays: ufuncs, their methods, array functions, namespaces."""

from __future__ import annotations

from typing import Any

import cases_whole_array  # noqa: F401 - it adds cases
import numpy as np
import pytest
from cases import CASES, Case
from checks import assert_alike, expected, leaves

import functrace as ft
import functrace.numpy as fnp
from functrace.errors import InPlaceUpdateError, TracerArrayConversionError
from functrace.ops import dispatch

X = np.array([0.5, -1.5, 2.0])
M = np.arange(6.0).reshape(2, 3) + 0.5

# NumPy's functions that never dispatch on their arguments: functrace.numpy is needed.
SILENT = {
    "arange", "array", "asanyarray", "asarray", "ascontiguousarray", "asfortranarray", "empty",
    "full", "geomspace", "ix_", "linspace", "logspace", "meshgrid", "ones", "zeros",
}  # fmt: skip


@pytest.mark.parametrize("case", [c for c in CASES if c.name not in SILENT], ids=lambda c: c.name)
def test_plain_numpy(case: Case) -> None:
    """``import numpy as np`` suffices: NumPy dispatches to the traced version, or says no."""
    want = expected(case, *case.args)
    with np.errstate(all="ignore"):
        try:
            got = ft.jit(lambda *args: ft.tree.leaves(case.call(np, *args)))(*case.args)
        except TracerArrayConversionError as error:
            assert "functrace.numpy" in str(error)
            return
    assert_alike(leaves(got), want, max(case.rtol, 1e-11))


@pytest.mark.parametrize("axis", [0, 1, (0, 1), None])
def test_reduce(axis: Any) -> None:
    """``ufunc.reduce`` is the reduction of the same name, along axis 0 by default."""
    for ufunc in (np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin):
        got = ft.jit(lambda x, u=ufunc: u.reduce(x, axis=axis, keepdims=True))(M)
        np.testing.assert_allclose(got, ufunc.reduce(M, axis=axis, keepdims=True))
        np.testing.assert_allclose(ft.jit(lambda x, u=ufunc: u.reduce(x))(M), ufunc.reduce(M))
    for ufunc in (np.logical_and, np.logical_or):
        got = ft.jit(lambda x, u=ufunc: u.reduce(x > 1.0, axis=axis))(M)
        np.testing.assert_array_equal(got, ufunc.reduce(M > 1.0, axis=axis))


def test_accumulate_and_outer() -> None:
    """``ufunc.accumulate`` and ``ufunc.outer``."""
    for ufunc in (np.add, np.multiply):
        np.testing.assert_allclose(ft.jit(ufunc.accumulate)(M), ufunc.accumulate(M))
        got = ft.jit(lambda x, u=ufunc: u.accumulate(x, axis=1))(M)
        np.testing.assert_allclose(got, ufunc.accumulate(M, axis=1))
    for ufunc in (np.add, np.subtract, np.power, np.maximum, np.less):
        got = ft.jit(ufunc.outer)(np.abs(X), M)
        np.testing.assert_allclose(got, ufunc.outer(np.abs(X), M))


def test_what_changes_in_place() -> None:
    """ufunc.at, put, copyto, place and putmask can't work; the error shows what does."""
    for call in (
        lambda x: np.add.at(x, [0], 1.0),
        lambda x: np.multiply.at(X.copy(), [0], x[:1]),
        lambda x: np.put(x, [0], 1.0),
        lambda x: np.copyto(X.copy(), x),
        lambda x: np.place(x, x > 0, [1.0]),
        lambda x: np.putmask(x, x > 0, 1.0),
    ):
        with pytest.raises(InPlaceUpdateError, match=r"functrace\.numpy\.(at|where)"):
            ft.jit(call)(X)


def test_functions_without_a_version() -> None:
    """Any other function of NumPy's is named in the error; nothing becomes an object array."""
    for call, name in (
        (lambda x: np.roots(x), "roots"),
        (lambda x: np.subtract.reduce(x), "subtract.reduce"),
        (lambda x: np.spacing.at(x, 0), "spacing.at"),
        (lambda x: np.add.reduceat(x, [0, 1]), "add.reduceat"),
        (lambda x: np.fft.hfft(x), "fft.hfft"),
    ):
        with pytest.raises(TypeError, match=name.replace(".", r"\.")):
            ft.jit(call)(X)


def test_mixed_operands() -> None:
    """Plain arrays, NumPy scalars and lists beside traced ones, on either side."""
    for call in (
        lambda x: M + x,
        lambda x: x + M,
        lambda x: np.float64(2.0) * x - 1,
        lambda x: 2 - x / np.float32(3),
        lambda x: x * [1, 2, 3],
        lambda x: [1.0, 2.0, 3.0] * x,
        lambda x: np.ones(3, np.float32) @ x,
        lambda x: M @ x,
        lambda x: np.int64(2) ** x,
        lambda x: x // np.array([1, 2, 3]) + x % 2 + divmod(x, 2)[1],
        lambda x: abs(-x) + +x,
        lambda x: (x > 0) & ~(x > 1) | (x < -1) ^ np.array([True, False, True]),
        lambda x: (x.astype(int) << 2) >> 1,
        lambda x: np.array([1, 2, 3]) << x.astype(int) ** 2,
    ):
        want, got = call(X), ft.jit(call)(X)
        np.testing.assert_allclose(got, want)
        assert got.dtype == want.dtype


def test_comparisons_with_other_objects() -> None:
    """An operator with something else falls back to Python's rules."""
    with pytest.raises(TypeError):
        ft.jit(lambda x: x + "text")(X)
    with pytest.raises(TypeError):
        ft.jit(lambda x: x + {})(X)


def test_in_place_operators() -> None:
    """``+=`` rebinds numbers, 0-d arrays and traced values; a plain array can't take it."""

    def f(x: Any, start: Any) -> Any:
        total = start
        for i in range(3):
            total += x[i]
        x *= 2.0
        return total + x[0]

    for start in (0.0, np.float64(0.0), np.zeros(())):
        np.testing.assert_array_equal(ft.grad(f)(X, start), [3.0, 1.0, 1.0])
    with pytest.raises(InPlaceUpdateError, match=r"buffer = buffer \+ x"):
        ft.grad(lambda x: f(x, np.zeros(2)).sum())(X)


def test_array_namespace() -> None:
    """The Array API's way in."""

    def f(x: Any) -> Any:
        xp = x.__array_namespace__()
        assert xp is fnp
        assert x.device == "cpu"
        return xp.permute_dims(xp.concat([x, x.to_device("cpu")]), (0,))

    np.testing.assert_array_equal(ft.jit(f)(X), [*X, *X])


def test_methods() -> None:
    """The methods of ndarray."""
    for call in (
        lambda x: x.sum(axis=0) + x.max() + x.min() + x.mean() + x.std() + x.var() + x.prod(),
        lambda x: x.cumsum() + x.cumprod(),
        lambda x: x.dot(x.T).trace(),
        lambda x: x.take([0, 2], axis=1).clip(1.0, 4.0),
        lambda x: x.argmax(axis=1) + x.argmin() + x.argsort(axis=1)[:, 0],
        lambda x: x.real + x.imag + x.conj() + x.conjugate(),
        lambda x: x.any() & x.all(),
        lambda x: x.round(1).copy(),
        lambda x: x.flat[2],
        lambda x: (
            x[0].searchsorted(1.5) + x[0].nonzero()[0].size * 0
            if isinstance(x, np.ndarray)
            else x[0].searchsorted(1.5)
        ),
        lambda x: x.compress([True, False, True], axis=1),
        lambda x: x.max(axis=0, keepdims=True, initial=3.0),
    ):
        np.testing.assert_allclose(ft.jit(call)(M), call(M))


def test_containment_and_truth_under_eager_grad() -> None:
    """Python's control flow works where values are known."""

    def f(x: Any) -> Any:
        if 2.0 in x and x[0] < 1.0 and np.array_equal(x, X):
            return x.sum() * float(np.sign(x[2]))
        return x[0]

    np.testing.assert_array_equal(ft.grad(f)(X), np.ones(3))


def test_the_tables_are_complete() -> None:
    """Every function of functrace.numpy that NumPy has is reached through NumPy."""
    assert len(dispatch.UFUNCS) >= 70
    assert len(dispatch.ARRAY_FUNCTIONS) >= 150
    for name in fnp.__all__:
        theirs = getattr(np, name, None)
        if isinstance(theirs, np.ufunc):
            assert theirs in dispatch.UFUNCS, name
