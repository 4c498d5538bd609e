"""Shape functions: NumPy's errors, and the arguments the table of cases doesn't vary."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp

X = np.arange(6.0).reshape(2, 3)
T = np.arange(24.0).reshape(2, 3, 4)

SAME: list[Callable[..., Any]] = [
    lambda x: np.reshape(x, -1, "F"),
    lambda x: np.reshape(x, (3, 2), "A"),
    lambda x: x.reshape(3, -1),
    lambda x: x.reshape((-1,)),
    lambda x: np.ravel(x, "F"),
    lambda x: x.ravel("K"),
    lambda x: x.flatten(),
    lambda x: x.T,
    lambda x: x.mT,
    lambda x: x.transpose(1, 0),
    lambda x: x.transpose((1, 0)),
    lambda x: np.transpose(x, (-1, 0)),
    lambda x: x.swapaxes(0, -1),
    lambda x: np.squeeze(x[None, :, None], (0, -2)),
    lambda x: x[:, None].squeeze(1),
    lambda x: np.expand_dims(x, (1, -1)),
    lambda x: np.rollaxis(x, 1),
    lambda x: np.rollaxis(x, 0, 2),
    lambda x: np.moveaxis(x, 0, -1),
    lambda x: np.flip(x, (0, 1)),
    lambda x: np.rot90(x, 2),
    lambda x: np.rot90(x, -1),
    lambda x: np.rot90(x, 4),
    lambda x: np.roll(x, -7),
    lambda x: np.roll(x, (1, 2), axis=1),
    lambda x: np.roll(x[:0], 1, axis=0),
    lambda x: np.tile(x, 2),
    lambda x: np.tile(x, (2, 1, 1)),
    lambda x: np.repeat(x, 3),
    lambda x: np.repeat(x, [2, 1], axis=0),
    lambda x: x.repeat(2, axis=-1),
    lambda x: np.resize(x, 8),
    lambda x: np.resize(x, (2, 0)),
    lambda x: np.array_split(x, [1, 2, 7], axis=1),
    lambda x: np.split(x, [2, 1], axis=1),
    lambda x: np.hsplit(x[0], 3),
    lambda x: np.concatenate((x, x[:1]), dtype=np.float32),
    lambda x: np.concatenate(x),
    lambda x: np.stack(x, axis=1),
    lambda x: np.stack([x, x], axis=-2),
    lambda x: np.block([x, 2.0 * x]),
    lambda x: np.block([[x[0], 1.0], [x[1], 2.0]]),
    lambda x: np.append(x, [[1, 2, 3]], axis=0),
    lambda x: np.insert(x, 0, [7.0, 8.0], axis=1),
    lambda x: np.insert(x, [0, 2], 5.0, axis=1),
    lambda x: np.insert(x, slice(0, 2), 5.0),
    lambda x: np.insert(x, -1, 1.5),
    lambda x: np.insert(x, [1], x[:, :1], axis=1),
    lambda x: np.delete(x, slice(None, None, 2)),
    lambda x: np.delete(x, np.array([True, False, True]), axis=1),
    lambda x: np.delete(x, -1, axis=0),
    lambda x: np.broadcast_to(x[0], (2, 2, 3)),
    lambda x: np.atleast_2d(x[0], x),
    lambda x: np.atleast_3d(x, x[0], x[0, 0]),
    lambda x: np.pad(x, 2),
    lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=((1, 2), (3, 4))),
    lambda x: np.pad(x, {-1: (1, 2)}, mode="edge"),
    lambda x: np.pad(x, (4, 5), mode="reflect"),
    lambda x: np.pad(x, (4, 5), mode="symmetric", reflect_type="odd"),
    lambda x: np.pad(x, 3, mode="wrap"),
    lambda x: np.pad(x, 3, mode="linear_ramp", end_values=((1, 2), (3, 4))),
    lambda x: np.pad(x, 2, mode="maximum", stat_length=2),
    lambda x: np.pad(x, 2, mode="mean", stat_length=((1, 2), (2, 3))),
    lambda x: np.diag(x[0], 2),
    lambda x: np.diagflat(x, -1),
    lambda x: np.diag(x[0, :0], 1),
    lambda x: np.tril(x[0]),
    lambda x: np.triu(x, -1),
    lambda x: np.diagonal(x, 5),
    lambda x: x.diagonal(-1),
    lambda x: np.vander(x[0], 0),
    lambda x: np.vander(x[0], increasing=True),
    lambda x: np.meshgrid(x[0], x[1], x[0], indexing="xy"),
    lambda x: np.apply_along_axis(np.sum, 0, x),
    lambda x: np.apply_along_axis(lambda v: v[:2, None] * v, -1, x),
]


@pytest.mark.parametrize("call", SAME)
def test_same_as_numpy(call: Callable[..., Any]) -> None:
    """Through NumPy's own functions: values, shapes, dtypes; staged, and batched."""
    want = ft.tree.leaves(call(X))
    for got in (
        ft.tree.leaves(ft.jit(call)(X)),
        [g[1] for g in ft.tree.leaves(ft.vmap(call)(np.stack([X, X])))],
    ):
        assert len(got) == len(want)
        for g, w in zip(got, want):
            np.testing.assert_allclose(g, w)
            assert (g.shape, g.dtype) == (w.shape, w.dtype)


ERRORS: list[Callable[..., Any]] = [
    lambda x: np.reshape(x, (4, -1)),
    lambda x: np.reshape(x, (-1, -1)),
    lambda x: np.reshape(x, (5,)),
    lambda x: np.transpose(x, (0,)),
    lambda x: np.transpose(x, (0, 0)),
    lambda x: np.squeeze(x, 0),
    lambda x: np.moveaxis(x, [0, 1], [0]),
    lambda x: np.swapaxes(x, 0, 2),
    lambda x: np.rot90(x, 1, (0, 0)),
    lambda x: np.concatenate([x, x[0]]),
    lambda x: np.concatenate([x, x.T]),
    lambda x: np.concatenate([x[0, 0], x[0, 1]]),
    lambda x: np.concatenate([x, x], axis=2),
    lambda x: np.stack([x, x[:1]]),
    lambda x: np.split(x, 4, axis=1),
    lambda x: np.array_split(x, 0),
    lambda x: np.vsplit(x[0], 1),
    lambda x: np.dsplit(x, 1),
    lambda x: np.broadcast_to(x, (2, 2)),
    lambda x: np.diagonal(x[0]),
    lambda x: np.diagonal(x, 0, 1, 1),
    lambda x: np.diag(x[None]),
    lambda x: np.pad(x, -1),
    lambda x: np.pad(x, 1, mode="edge", constant_values=1),
    lambda x: np.pad(x, 1.5),
    lambda x: np.vander(x),
    lambda x: np.meshgrid(x[0], x[1], indexing="no"),
    lambda x: np.take(x, 1, mode="no"),
    lambda x: np.take_along_axis(x, np.array([0]), 0),
    lambda x: np.take_along_axis(x, np.ones((1, 1)), 0),
    lambda x: np.diag_indices_from(x),
    lambda x: np.diag_indices_from(x[0]),
]


@pytest.mark.parametrize("call", ERRORS)
def test_errors_are_numpys(call: Callable[..., Any]) -> None:
    """NumPy's words."""
    if "meshgrid" in call.__code__.co_names:
        call = lambda x: fnp.meshgrid(x[0], x[1], indexing="no")  # noqa: E731
    with pytest.raises((ValueError, TypeError, IndexError)) as plain:
        call(X)
    with pytest.raises((ValueError, TypeError, IndexError)) as ours:
        ft.make_jaxpr(call)(X)
    text = str(plain.value).splitlines()[0].removeprefix("axis2: ")
    assert text[:40] in str(ours.value)


def test_traced_shifts_and_repeats() -> None:
    """A traced shift is a gather; traced repeats need the total."""
    for shift in (0, 1, -4):
        got = ft.jit(lambda x, n: np.roll(x, n, axis=1))(X, shift)
        np.testing.assert_array_equal(got, np.roll(X, shift, axis=1))
    counts = np.array([1, 0, 2])
    got = ft.jit(lambda x, n: fnp.repeat(x, n, axis=1, total_repeat_length=3))(X, counts)
    np.testing.assert_array_equal(got, np.repeat(X, counts, axis=1))
    with pytest.raises(TypeError, match="index"):
        ft.jit(lambda x, n: np.repeat(x, n))(X, counts)
    for change in (np.delete, lambda x, i: np.insert(x, i, 0.0)):
        with pytest.raises(TypeError, match="was given a traced index"):
            ft.jit(change)(X, 1)


def test_metadata() -> None:
    """shape, ndim, size and their kin of traced arrays are Python values."""

    def f(x: Any) -> Any:
        assert (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1)) == ((2, 3, 4), 3, 24, 3)
        assert (x.shape, x.ndim, x.size, x.itemsize, x.nbytes) == ((2, 3, 4), 3, 24, 8, 192)
        assert np.result_type(x, np.float32) == np.float64
        assert np.iscomplexobj(x) is False
        assert np.isrealobj(x) is True
        assert np.can_cast(x, np.float32) is False
        assert np.common_type(x, np.ones(1, np.float32)) is np.float64
        assert np.min_scalar_type(x) == np.float64
        assert np.shares_memory(x, T) is False
        return x

    ft.jit(f)(T)


def test_astype() -> None:
    """Conversion, as a method and as a function."""
    z = np.array([0.0, 1.5 + 2j])
    for dtype in ("bool", "float32", "int8", "complex64"):
        got = ft.jit(lambda z, d=dtype: (z.astype(d), np.astype(z, d)))(z)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ComplexWarning
            want = z.astype(dtype)
        np.testing.assert_array_equal(got[0], want)
        np.testing.assert_array_equal(got[1], want)
        assert got[0].dtype == want.dtype
