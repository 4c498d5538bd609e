"""What is done where a platform lacks something: every fast way has a plain one behind it."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import functrace as ft
from functrace.compiler.emit.numba import native as numba_native
from functrace.compiler.runtime import blas, build, driver, memory_ir, numpy_abi, signal_ir
from functrace.compiler.runtime.driver import portable_calls
from functrace.config import config

X = np.linspace(-2.0, 2.0, 9)


def test_another_interpreter_gets_portable_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert numpy_abi.layout_is_known()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
        assert not numpy_abi.layout_is_known()
    with monkeypatch.context() as patch:
        patch.setattr(sys.implementation, "name", "pypy")
        assert not numpy_abi.layout_is_known()

    def gone() -> dict[str, int]:
        raise ImportError("NumPy moved it")

    monkeypatch.setattr(numpy_abi, "numpy_api", gone)
    assert not numpy_abi.layout_is_known()
    assert numpy_abi.memory_handler(0, {}) == {"handler": 0}


def test_portable_calls_give_the_same() -> None:
    def f(x: Any, k: Any) -> Any:
        return {"y": np.tanh(x) * k, "s": np.sum(x), "x": x}

    want = ft.jit(f)(X, 2.0)
    with portable_calls():
        g = ft.jit(f)
        for _ in range(3):
            got = g(X, 2.0)
            for a, b in zip(ft.tree.leaves(got), ft.tree.leaves(want), strict=True):
                assert type(a) is type(b)
                assert_array_equal(a, b)
        assert_array_equal(g(X[::2], 2.0)["y"], want["y"][::2])
        with pytest.raises(IndexError, match="out of bounds"):
            ft.jit(lambda x, i: x[i])(X, 99)


def test_the_number_of_threads_is_asked_for_or_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with config.override(threads=0):
        assert driver.thread_limit() == 1
    with config.override(threads=3):
        assert driver.thread_limit() == 3
    with config.override(threads=None):
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: None)
        assert driver.thread_limit() == 1


def test_symbols_that_no_library_has() -> None:
    assert build.process_symbol("functrace_has_no_such_function") is None
    assert build.process_symbol("cos")


@pytest.mark.parametrize(
    "place, value",
    [("platform.machine", lambda: "riscv64"), ("sys.platform", "darwin")],
)
def test_kernels_are_chosen_by_openblas_elsewhere(
    place: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(place, value)
    assert blas._core_type() == {}


def test_an_unreadable_cpuinfo_or_a_choice_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *args: Any, **kwargs: Any) -> str:
        raise OSError("no proc here")

    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(Path, "read_text", refuse)
    assert blas._core_type() == {}
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert blas._core_type() == {}
    with blas._environment(OPENBLAS_CORETYPE="Zen"):
        assert os.environ["OPENBLAS_CORETYPE"] == "Zen"
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"


def test_without_the_wheel_scipys_routines_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert blas.wheel_library() is not None
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        assert blas.wheel_library() is None
    spec = importlib.util.find_spec("scipy_openblas64")
    assert spec is not None
    spec.submodule_search_locations = [str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: spec)
        assert blas.wheel_library() is None
    given = blas._from_scipy()
    assert given.integer == "i32" and all(given.symbols.values())


def test_texts_for_platforms_that_lack_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_ir, "_known", False)
    assert memory_ir.memory_text() == ""
    monkeypatch.setattr(signal_ir, "SIGNAL_SYMBOLS", ())
    assert signal_ir.signal_text() == signal_ir._NOTHING


def test_halves_of_the_numba_runtime_are_numpys() -> None:
    """The conversions as plain Python, on every bit pattern of a kind and on rounding ties."""
    bits = np.arange(0, 1 << 16, 97, dtype=np.uint16)
    special = np.array([0, 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0x8000, 0xFC00], np.uint16)
    for word in np.concatenate([bits, special]):
        half = word.view(np.float16)
        wide = numba_native.half_load.py_func(word)
        assert wide == np.float32(half) or np.isnan(half)
        if not np.isnan(half):
            assert numba_native.half_store.py_func(np.float32(half)) == word
    ties = np.array([65519.99, 65520.0, 2.0**-25, 2.0**-24, 1.00048828125, 5e-8], np.float32)
    for value in (*ties, *-ties, np.float32(np.nan), np.float32(np.inf)):
        with np.errstate(over="ignore"):
            want = np.float16(value)
        got = np.uint16(numba_native.half_store.py_func(value)).view(np.float16)
        assert got == want or (np.isnan(got) and np.isnan(want))
