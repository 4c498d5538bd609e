"""Compiled convolutions: each way of them, by shapes, layouts and threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrace as ft
from functrace import lax
from functrace import numpy as fnp

RNG = np.random.default_rng(41)

#: Input, window, strides, padding, and whether channels are last.
SHAPES: dict[str, tuple[Any, ...]] = {
    "images": ((5, 3, 28, 28), (10, 3, 3, 3), 1, "SAME", False),
    "no padding": ((3, 2, 19, 33), (7, 2, 5, 3), 1, "VALID", False),
    "channels last": ((4, 17, 18, 5), (3, 3, 5, 9), 1, "SAME", True),
    "channels last, no padding": ((4, 17, 18, 5), (3, 3, 5, 9), 1, "VALID", True),
    "small images": ((64, 3, 4, 5), (8, 3, 3, 3), 1, "SAME", False),
    "small images of few": ((33, 2, 3, 3), (1, 2, 3, 3), 1, "SAME", False),
    "few small images": ((5, 2, 3, 3), (4, 2, 3, 3), 1, "SAME", False),
    "many outputs": ((2, 3, 9, 9), (40, 3, 3, 3), 1, "SAME", False),
    "one of all": ((1, 1, 40, 41), (1, 1, 3, 5), 1, "SAME", False),
    "lines": ((3, 4, 200), (5, 4, 9), 1, "SAME", False),
    "solids": ((2, 2, 6, 7, 8), (3, 2, 3, 2, 3), 1, "SAME", False),
    "points": ((3, 6, 9, 9), (5, 6, 1, 1), 1, "SAME", False),
    "strides": ((4, 3, 15, 16), (6, 3, 3, 3), 2, "SAME", False),
    "long windows": ((2, 2, 20, 20), (3, 2, 17, 16), 1, "VALID", False),
    "cut": ((2, 2, 12, 12), (3, 2, 3, 3), 1, ((-1, 2), (0, -2)), False),
}


def convolution(name: str) -> Any:
    _, window, stride, padding, last = SHAPES[name]
    numbers = ("NHWC", "HWIO", "NHWC") if last else None
    strides = (stride,) * (len(window) - 2)
    return lambda x, w: lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=numbers)


def data(name: str, dtype: Any) -> tuple[Any, Any]:
    x, w, *_ = SHAPES[name]
    return RNG.normal(size=x).astype(dtype), RNG.normal(size=w).astype(dtype)


def close(got: Any, expected: Any) -> None:
    """Whether sums of numbers around 1 are equal up to rounding."""
    tolerance = 1e-4 if got.dtype == np.float32 else 1e-12
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(SHAPES))
def test_values_and_gradients_are_the_interpreters(name: str, dtype: Any) -> None:
    f, (x, w) = convolution(name), data(name, dtype)
    out = f(x, w)
    close(ft.jit(f)(x, w), out)
    ct = RNG.normal(size=out.shape).astype(dtype)

    def pull(x: Any, w: Any, ct: Any) -> Any:
        return ft.vjp(f, x, w)[1](ct)

    for got, expected in zip(ft.jit(pull)(x, w, ct), pull(x, w, ct), strict=True):
        close(got, expected)


@pytest.mark.parametrize("name", ["images", "small images", "channels last", "strides"])
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    f, (x, w) = convolution(name), data(name, np.float32)

    def pull(x: Any, w: Any) -> Any:
        return ft.vjp(f, x, w)[1](f(x, w))

    first = ft.jit(pull, threads=1)(x, w)
    for threads in (2, 3, 8):
        for got, expected in zip(ft.jit(pull, threads=threads)(x, w), first, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_what_is_beside_an_image_is_nothing_to_its_results() -> None:
    # Between rows and beyond the last one results are computed that nobody sees.
    f = convolution("no padding")
    x, w = data("no padding", np.float64)
    x[0, 0, 0, -1], x[-1, -1, -1, -1] = np.nan, np.inf
    np.testing.assert_array_equal(np.isfinite(ft.jit(f)(x, w)), np.isfinite(f(x, w)))
    ct = RNG.normal(size=f(x, w).shape)

    def pull(x: Any, ct: Any) -> Any:
        return ft.vjp(lambda w: f(x, w), w)[1](ct)[0]

    np.testing.assert_array_equal(np.isfinite(ft.jit(pull)(x, ct)), np.isfinite(pull(x, ct)))


def test_maps_groups_and_loops() -> None:
    f, (x, w) = convolution("images"), data("images", np.float64)
    xs, ws = np.stack([x, 2 * x, -x]), np.stack([w, w + 1, w - 1])
    for axes, args in (((0, 0), (xs, ws)), ((0, None), (xs, w)), ((None, 0), (x, ws))):
        expected = np.stack(
            [f(*(a if d is None else a[i] for a, d in zip(args, axes))) for i in range(3)]
        )
        close(ft.jit(ft.vmap(f, axes))(*args), expected)

    def grouped(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", feature_group_count=3)

    one = RNG.normal(size=(6, 1, 3, 3))
    close(ft.jit(grouped)(x, one), grouped(x, one))

    def scanned(x: Any, ws: Any) -> Any:
        step = lambda c, w: (fnp.tanh(lax.conv(c, w, (1, 1), "SAME")), None)  # noqa: E731
        return lax.scan(step, x, ws)[0]

    small, several = RNG.normal(size=(2, 3, 8, 8)), 0.1 * RNG.normal(size=(4, 3, 3, 3, 3))
    expected = small
    for w in several:
        expected = np.tanh(lax.conv(expected, w, (1, 1), "SAME"))
    close(ft.jit(scanned)(small, several), expected)


@pytest.mark.parametrize("name", ["images", "channels last", "lines", "many outputs"])
def test_another_batch_compiles_nothing(name: str) -> None:
    f = convolution(name)

    @ft.jit
    def pull(x: Any, w: Any, ct: Any) -> Any:
        return ft.vjp(f, x, w)[1](ct)

    def compiled(batch: int) -> int:
        x, w = data(name, np.float64)
        x = RNG.normal(size=(batch, *x.shape[1:]))
        ct = RNG.normal(size=f(x, w).shape)
        before = ft.cache_info().compiled
        for got, expected in zip(pull(x, w, ct), ft.vjp(f, x, w)[1](ct), strict=True):
            close(got, expected)
        return int(ft.cache_info().compiled - before)

    # Sizes that are no other size of the same program: equal ones may be one loop.
    compiled(12)
    compiled(50)
    assert [compiled(n) for n in (7, 13, 21, 35, 100)] == [0] * 5
