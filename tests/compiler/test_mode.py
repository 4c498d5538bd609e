"""The floating-point mode of kernels: subnormal numbers, helpers, callbacks, the caller."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from handmade import elementwise, unary

import functrace as ft
import functrace.compiler.runtime.driver as driver_module
from functrace.compiler.runtime import mode_ir
from functrace.compiler.runtime.driver import Driver, driver, portable_calls, thread_limit
from functrace.config import Config, config

TINY = {np.float32: np.float32(1e-40), np.float64: np.float64(1e-310)}
THIRD = unary("%y = fdiv double %x, 3.0")
needs_mode = pytest.mark.skipif(not mode_ir.can_flush(), reason="the control word isn't known")
needs_fesetround = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="needs fesetround's constants"
)
ROUND_UP, ROUND_TO_NEAREST = 0x800, 0


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    with config.override(threads=count):
        yield
    driver().limit_helpers(thread_limit() - 1)


def halve(x: Any) -> Any:
    return x * x.dtype.type(0.5)


@needs_mode
@pytest.mark.parametrize("kind", list(TINY))
@pytest.mark.parametrize("portable", [False, True])
def test_subnormal_numbers_are_kept_unless_they_are_to_be_flushed(
    kind: Any, portable: bool
) -> None:
    x = np.full(300_000, TINY[kind])
    with portable_calls() if portable else contextlib.nullcontext(), threads(3):
        f = ft.jit(halve)
        kept = halve(x)
        assert kept[0] > 0
        np.testing.assert_array_equal(f(x), kept)
        with config.override(flush_subnormals=True):
            np.testing.assert_array_equal(f(x), np.zeros_like(x))
            np.testing.assert_array_equal(halve(x), kept)  # NumPy's own arithmetic is as it was
        np.testing.assert_array_equal(f(x), kept)


@needs_mode
def test_a_failed_call_leaves_the_thread_as_it_was() -> None:
    def f(x: Any, i: Any) -> Any:
        return x[i] * 0.5

    with config.override(flush_subnormals=True), pytest.raises(IndexError):
        ft.jit(f)(np.ones(3), 7)
    assert np.float64(1e-310) * np.float64(0.5) > 0


@needs_mode
def test_a_callback_computes_as_numpy_does() -> None:
    def f(x: Any) -> Any:
        tiny = ft.pure_callback(lambda v: v * 0.5, x, x)
        return tiny, x * 0.5

    x = np.full(2, 1e-310)
    with config.override(flush_subnormals=True):
        mine = ft.jit(lambda x: ft.pure_callback(halve, x, x) == 0)(x)
        both = ft.jit(f)(x)[1]
    np.testing.assert_array_equal(both, [0.0, 0.0])
    # What the callback returned was not zero, though comparing it by a kernel says so.
    np.testing.assert_array_equal(mine, [True, True])
    seen: list[Any] = []

    def look(v: Any) -> Any:
        seen.append(bool((np.asarray(v) * 0.5 > 0).all()))
        return v

    with config.override(flush_subnormals=True):
        ft.jit(lambda x: ft.pure_callback(look, x, x))(x)
    assert seen == [True]


@needs_fesetround
def test_helpers_compute_in_the_mode_of_the_caller() -> None:
    """Else bits would tell which thread ran a chunk."""
    libm = ctypes.CDLL(None)
    x = np.ones(200_000)
    program = elementwise(THIRD, x.shape, grain=1_000, result="single")
    with threads(4):
        assert set(program.call(x)) == {1 / 3}
        try:
            assert libm.fesetround(ROUND_UP) == 0
            up = program.call(x)
        finally:
            libm.fesetround(ROUND_TO_NEAREST)
        assert set(up) == {np.nextafter(1 / 3, 1)}
        assert set(program.call(x)) == {1 / 3}


def test_an_unknown_cpu_keeps_its_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode_ir, "_MODES", {})
    assert not mode_ir.can_flush()
    monkeypatch.setattr(driver_module, "_driver", Driver())
    with config.override(flush_subnormals=True):
        x = np.full(4, 1e-310)
        np.testing.assert_array_equal(ft.jit(lambda x: x * 0.25)(x), x * 0.25)


def test_the_environment_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNCTRACE_FLUSH_SUBNORMALS", "1")
    assert Config.from_environment().flush_subnormals
