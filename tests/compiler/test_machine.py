"""Modules are compiled beside each other: the same code, the first error, no thread left."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from handmade import unary

import functrace as ft
import functrace.numpy as jnp
from functrace.compiler.runtime.build import Module, build_all, cache_info, clear_caches
from functrace.compiler.runtime.machine import BuildError, compile_module, in_parallel
from functrace.config import config

TEXTS = [unary(f"%y = fmul double %x, {k}.0") for k in range(2, 12)]


@pytest.mark.parametrize("threads", [1, 2, 5, 64])
def test_threads_compile_what_one_does(threads: int) -> None:
    before = threading.active_count()
    with config.override(threads=threads):
        assert in_parallel(compile_module, TEXTS) == [compile_module(t) for t in TEXTS]
        assert in_parallel(compile_module, []) == []
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
def test_a_module_that_llvm_rejects_is_an_error_whatever_is_beside_it(threads: int) -> None:
    before = threading.active_count()
    with config.override(threads=threads):
        with pytest.raises(BuildError, match="LLVM rejects"):
            in_parallel(compile_module, [*TEXTS[:4], "nonsense", *TEXTS[4:]])
        assert in_parallel(compile_module, TEXTS[:2]) == [compile_module(t) for t in TEXTS[:2]]
    assert threading.active_count() == before


def test_modules_that_are_equal_are_compiled_once(tmp_path: Path) -> None:
    with config.override(cache_dir=str(tmp_path)):
        clear_caches()
        codes = build_all([Module(t) for t in (*TEXTS[:3], *TEXTS[:2])])
        assert cache_info().compiled == 3
        assert codes[:2] == codes[3:]
        assert len({code.address for code in codes}) == 3
        clear_caches()


def test_another_batch_of_what_is_cut_into_pieces_compiles_nothing(tmp_path: Path) -> None:
    step = ft.jit(lambda x: x.at[:, 2:-1].add(jnp.tanh(x[:, :-3])) * 3.0)
    with config.override(cache_dir=str(tmp_path), checks=False):
        clear_caches()
        for n in (100, 32, 61, 40, 257):
            x = np.linspace(-1, 1, n * 40).reshape(n, 40)
            want = x.copy()
            want[:, 2:-1] += np.tanh(x[:, :-3])
            np.testing.assert_allclose(step(x), want * 3.0, rtol=1e-12)
            if n == 100:
                compiled = cache_info().compiled
        assert cache_info().compiled == compiled
        clear_caches()
