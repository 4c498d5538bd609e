"""What NumPy refuses is refused when an argument is traced; rare cases give NumPy's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import functrace as ft
import functrace.numpy as fnp

X = np.array([1.0, 2.0, 3.0])
M = np.arange(6.0).reshape(2, 3)
S = np.float64(2.0)

Case = tuple[Callable[[Any, Any], Any], Any]

REFUSED: dict[str, Case] = {
    "cumulative_sum of a matrix": (lambda np, x: np.cumulative_sum(x), M),
    "einsum with too many subscripts": (lambda np, x: np.einsum("ijk->i", x), M),
    "select of nothing": (lambda np, x: np.select([], [], x), X),
    "index of floats": (lambda np, x: x[np.asarray([0.5])], X),
    "index of one float": (lambda np, x: x[1.5], X),
    "var with two corrections": (lambda np, x: np.var(x, ddof=1, correction=2), X),
    "pad with an unknown mode": (lambda np, x: np.pad(x, 1, "mirror"), X),
    "pad with another mode's option": (lambda np, x: np.pad(x, 1, "edge", end_values=1), X),
    "vecdot of a scalar": (lambda np, x: np.vecdot(x, 1.0), X),
    "searchsorted to a side": (lambda np, x: np.searchsorted(X, x, "middle"), X),
    "searchsorted in a matrix": (lambda np, x: np.searchsorted(x, 1.0), M),
    "digitize in unordered bins": (lambda np, x: np.digitize(x, [0.0, 2.0, 1.0]), X),
    "interp over a matrix": (lambda np, x: np.interp(x, M, M), X),
    "interp over nothing": (lambda np, x: np.interp(x, [], []), X),
    "interp over unequal points": (lambda np, x: np.interp(x, [1.0, 2.0], [1.0]), X),
    "gradient of a high edge order": (lambda np, x: np.gradient(x, edge_order=3), X),
    "polyder of negative order": (lambda np, x: np.polyder(x, -1), X),
    "polyint of negative order": (lambda np, x: np.polyint(x, -1), X),
    "reshape in an unknown order": (lambda np, x: np.reshape(x, (3, 2), order="Z"), M),
    "matrix transpose of a vector": (lambda np, x: np.matrix_transpose(x), X),
    "concatenate of nothing": (lambda np, x: np.concatenate(x), X[:0]),
    "hsplit of a scalar": (lambda np, x: np.hsplit(x, 2), S),
    "dsplit of a matrix": (lambda np, x: np.dsplit(x, 2), M),
    "unstack of a scalar": (lambda np, x: np.unstack(x), S),
    "cov of a cube": (lambda np, x: np.cov(x), M[None]),
    "cov with half a degree": (lambda np, x: np.cov(x, ddof=0.5), X),
    "histogram with few weights": (lambda np, x: np.histogram(x, 2, weights=X[:2]), X),
    "take at floats": (lambda np, x: np.take(x, np.asarray([0.5])), X),
    "integer to a negative power": (lambda np, x: np.power(x, -2), np.arange(3)),
    "nonzero of a scalar": (lambda np, x: np.nonzero(x), S),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_numpy_refuses_is_refused(name: str) -> None:
    act, x = REFUSED[name]
    with pytest.raises((TypeError, ValueError, IndexError)) as numpys:
        act(np, x)
    base = next(k for k in (IndexError, ValueError, TypeError) if isinstance(numpys.value, k))
    with pytest.raises(base):
        ft.jit(lambda x: act(fnp, x))(x)


SAME: dict[str, Case] = {
    "reshape in memory order": (lambda np, x: np.reshape(x, (3, 2), order="A"), M),
    "isclose of integers": (lambda np, x: np.isclose(x, 2), np.arange(4)),
    "atleast_3d of a cube": (lambda np, x: np.atleast_3d(x), M[None]),
    "roll of nothing": (lambda np, x: np.roll(x, 2), X[:0]),
    "argsort of a scalar": (lambda np, x: np.argsort(x), S),
    "quantiles of no q": (lambda np, x: np.quantile(x, np.zeros(0)), X),
    "nan_to_num by itself": (lambda np, x: np.nan_to_num(x, nan=x[0]), np.array([2.0, np.nan])),
    "nanargmax": (lambda np, x: np.nanargmax(x), np.array([1.0, np.nan, 3.0, 2.0])),
    "pad integers by means": (lambda np, x: np.pad(x, 2, "mean"), np.array([1, 2, 2, 7])),
    "choose by a number": (lambda np, x: np.choose(1, [x, x + 1.0, x]), S),
    "histogram of nothing": (lambda np, x: np.histogram(x, 3)[1], X[:0]),
    "cov of weights": (lambda np, x: np.cov(x, aweights=X[:3], ddof=0), M),
    "reduce in a dtype": (lambda _, x: np.add.reduce(x, dtype=np.float32), M),
    "cumulative_sum of a scalar": (lambda np, x: np.cumulative_sum(x), S),
    "mean of integers in integers": (lambda np, x: np.mean(x, dtype=np.int64), np.arange(6)),
    "full of an array": (lambda np, x: np.full((2, 3), x), X),
    "array of empty rows": (lambda np, x: np.array([[], []]) + x, S),
    "empty list in array": (lambda np, x: np.concatenate([np.asarray([]), x]), X),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("how", ["jit", "vmap"])
def test_rare_cases_are_numpys(name: str, how: str) -> None:
    act, x = SAME[name]
    want = act(np, x)
    if how == "jit":
        got = ft.jit(lambda x: act(fnp, x))(x)
    else:
        got = ft.vmap(lambda x: act(fnp, x), axis_size=1)(np.asarray(x)[None])[0]
    assert got.dtype == want.dtype and got.shape == want.shape
    assert_allclose(got, want, rtol=1e-12)


def test_updates_keep_the_dtype_of_the_array() -> None:
    f = ft.jit(lambda x, v: x.at[1].add(v))
    assert_array_equal(f(np.zeros(2, np.int16), np.uint8(3)), np.array([0, 3], np.int16))
    assert_array_equal(ft.jit(lambda x: x.at[0].set(7))(np.zeros(2, np.uint8)), [7, 0])
    with pytest.raises(ft.errors.DTypeError, match="values of dtype float64 were to go into"):
        f(np.zeros(2, np.int64), 0.5)
    traced = ft.jit(lambda x, i: x.at[[0, i]].add(1.0))
    assert_array_equal(traced(np.zeros(3), 2), [1, 0, 1])


def test_masks_need_known_values() -> None:
    for act in (fnp.compress, fnp.extract):
        with pytest.raises(ft.errors.NonConcreteBooleanIndexError, match="instead of x"):
            ft.jit(lambda m, act=act: act(m, X))(X > 1)


def test_all_nan_rows_have_no_place() -> None:
    rows = np.array([[np.nan, np.nan], [1.0, np.nan]])
    assert_array_equal(ft.jit(lambda x: fnp.nanargmin(x, 1))(rows), [-1, 0])
    with pytest.raises(ValueError, match="All-NaN slice"):
        ft.grad(lambda x: x[0, fnp.nanargmin(x, 1)[0]])(rows)


def test_cov_counts_its_weights() -> None:
    with pytest.raises(ft.errors.ShapeError, match="aweights of shape"):
        ft.jit(lambda x: fnp.cov(x, aweights=X[:2]))(X)


def test_pad_by_a_function_is_not_traced() -> None:
    with pytest.raises(TypeError, match="changes arrays in place"):
        ft.jit(lambda x: fnp.pad(x, 1, lambda *args: None))(X)
