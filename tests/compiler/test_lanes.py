"""While loops of many lanes as SIMD code: each lane has the bits it has alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from loops import compiled

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.compiler.emit.llvm.kernels import kernel_module
from functrace.compiler.emit.llvm.simd import HAS_MASKS
from functrace.compiler.pipeline import Compiled
from functrace.config import config

RNG = np.random.default_rng(0)
COUNTS = [0, 1, 3, 4, 15, 16, 17, 33, 100, 1000]


def spin(count: Any, x: Any) -> Any:
    """``count`` steps of a recurrence."""

    def step(carry: Any) -> Any:
        i, x = carry
        return i + 1, 0.5 * (x + 1.0 / (x + 0.1))

    return lax.while_loop(lambda carry: carry[0] < count, step, (0, x))


def same_as_alone(fun: Callable[..., Any], *columns: Any) -> None:
    """Hold all lanes to the same function, compiled for one, bit for bit."""
    together = ft.jit(ft.vmap(fun))(*columns)
    alone = ft.jit(fun)
    rows = [alone(*row) for row in zip(*columns)]
    for got, *want in zip(ft.tree.leaves(together), *map(ft.tree.leaves, rows), strict=True):
        want = np.array(want, got.dtype)
        assert got.tobytes() == want.tobytes(), (got, want)


def same_printed(fun: Callable[..., Any], *args: Any) -> Compiled:
    """Hold the machine code to the kernel's other form, which runs each lane by itself."""
    with config.override(checks=True):
        program, python = compiled(fun, *args), compiled(fun, *args, backend="python")
    with np.errstate(all="ignore"):
        want = python(*args)
    for g, w in zip(program(*args), want, strict=True):
        np.testing.assert_array_equal(g, w)
    return program


def is_simd(fun: Callable[..., Any], *columns: Any) -> bool:
    """Whether lanes run side by side."""
    compilation = compiled(ft.vmap(fun), *columns).compilation
    texts = [kernel_module(code.kernel) for code in compilation.codes if hasattr(code, "kernel")]
    return any("llvm.ctpop" in text and "taken" in text for text in texts)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lanes_that_end_at_different_times(count: int, dtype: str) -> None:
    trips = RNG.integers(0, 1000, count)
    if count:
        same_as_alone(spin, trips, RNG.random(count).astype(dtype))
    got = ft.jit(ft.vmap(spin))(trips, RNG.random(count).astype(dtype))
    np.testing.assert_array_equal(got[0], trips)


@pytest.mark.parametrize("trips", [[0] * 40, [0, 0, 5] * 13, [7] * 37, [-1] * 20 + [900]])
def test_lanes_without_a_round(trips: list[int]) -> None:
    same_as_alone(spin, np.array(trips), RNG.random(len(trips)))
    same_printed(ft.vmap(spin), np.array(trips), RNG.random(len(trips)))


@pytest.mark.skipif(not HAS_MASKS, reason="lanes are run one by one where there are no masks")
def test_they_are_simd_code() -> None:
    assert is_simd(spin, np.arange(100), np.ones(100))


def test_nan_lanes_and_infinite_ones() -> None:
    def root(x: Any) -> Any:
        def step(carry: Any) -> Any:
            y, _, k = carry
            new = 0.5 * (y + x / y)
            return new, fnp.abs(new - y), k + 1

        far = lambda carry: (carry[1] > 1e-9) & (carry[2] < 60)  # noqa: E731
        return lax.while_loop(far, step, (x, x * 0.0 + 1.0, 0))

    x = RNG.random(75) * 100
    x[::7], x[3::11], x[5::13], x[1::17] = np.nan, np.inf, 0.0, -1.0
    same_as_alone(root, x)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint64", "float16", "complex64"])
def test_dtypes(dtype: str) -> None:
    def walk(n: Any, x: Any) -> Any:
        def step(carry: Any) -> Any:
            x, on, k = carry
            x = x * x + x
            return x, (x.real != 3) & on, k + 1

        return lax.while_loop(lambda c: c[1] & (c[2] < n), step, (x, n > 2, n * 0))

    n = RNG.integers(0, 30, 53).astype("int16")
    x = (RNG.normal(size=53) * 2).astype(dtype)
    with np.errstate(all="ignore"):
        same_as_alone(walk, n, x)


def test_integers_that_are_divided_by_nothing() -> None:
    def euclid(a: Any, b: Any) -> Any:
        return lax.while_loop(lambda c: c[1] != 0, lambda c: (c[1], c[0] % c[1]), (a, b))[0]

    a, b = RNG.integers(0, 10**6, (2, 501))
    b[::5] = 0
    got = ft.jit(ft.vmap(euclid))(a, b)
    np.testing.assert_array_equal(got, np.gcd(a, b))
    same_printed(ft.vmap(euclid), a[:30], b[:30])


def test_branches_and_mathematics_in_lanes() -> None:
    def wander(x: Any, y: Any) -> Any:
        def step(carry: Any) -> Any:
            x, k = carry
            x = lax.cond(x > 1.0, lambda x: fnp.log(x) + y, lambda x: fnp.exp(x) - y, x)
            kind = (k % 3).astype("int32")
            x = lax.switch(kind, [fnp.sin, lambda x: fnp.cos(1e9 * x), fnp.tanh], x)
            return x + 2.0, k + 1

        return lax.while_loop(lambda c: (c[0] < 2.9) & (c[1] < 500), step, (x, 0))

    same_as_alone(wander, RNG.normal(size=203), RNG.normal(size=203))
    same_as_alone(wander, *RNG.normal(size=(2, 203)).astype("float32"))


def test_what_is_computed_around_the_loop() -> None:
    def around(n: Any, x: Any) -> Any:
        scale = fnp.where(x > 0, fnp.sqrt(fnp.abs(x)), 2.0)
        k, y = spin(n, scale)
        return k, y * scale + x, x > 0, n

    def mapped(n: Any, x: Any) -> Any:
        return lax.map(lambda row: around(*row), (n, x))

    n, x = RNG.integers(0, 50, 131), RNG.normal(size=131)
    same_printed(mapped, n, x)
    same_as_alone(around, n, x)


def test_lanes_inside_of_a_kernel_and_shared_operands() -> None:
    def grid(a: Any, b: Any, most: Any) -> Any:
        def escape(a: Any, b: Any) -> Any:
            def step(carry: Any) -> Any:
                x, y, k = carry
                return x * x - y * y + a, 2.0 * x * y + b, k + 1

            near = lambda c: (c[0] ** 2 + c[1] ** 2 < 4.0) & (c[2] < most)  # noqa: E731
            return lax.while_loop(near, step, (0.0 * a, 0.0 * b, 0))[2]

        return ft.vmap(ft.vmap(escape, (0, None)), (None, 0))(a, b)

    program = same_printed(grid, np.linspace(-2, 0.6, 37), np.linspace(-1.3, 1.3, 9), 30)
    assert program.as_text("kernels").count("while ") == 1


def test_any_number_of_threads_has_the_same_bits() -> None:
    n, x = RNG.integers(0, 300, 2000), RNG.random(2000)
    found = []
    for threads in (1, 2, 3, 8):
        with config.override(threads=threads):
            found.append(ft.jit(ft.vmap(spin))(n, x)[1].tobytes())
    assert len(set(found)) == 1


def test_a_lane_that_never_ends_is_interrupted() -> None:
    endless = ft.jit(ft.vmap(lambda x: lax.while_loop(lambda x: x < 2.0, lambda x: x * 0.5, x)))
    endless(np.full(64, 3.0))
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        endless(np.where(np.arange(64) == 40, 1.0, 3.0))
    assert time.perf_counter() - start < 5.0


def test_without_masks_lanes_run_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    n, x = RNG.integers(0, 40, 50), RNG.random(50)
    want = ft.jit(ft.vmap(spin))(n, x)
    monkeypatch.setattr("functrace.compiler.emit.llvm.lane_loops.HAS_MASKS", False)
    got = compiled(ft.vmap(spin), n, x)(n, x)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)
