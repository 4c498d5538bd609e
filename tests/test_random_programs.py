"""Random programs under random stacks of transforms: the laws of composition.

Each primitive leads many programs, so that every one is met often; kernels run as their printed
Numba source, uncompiled (``backend="python"``), in the first test, and compiled in the second.
``FUNCTRACE_RANDOM_PROGRAMS=50`` makes 50 times as many.
"""

from __future__ import annotations

import itertools
import os
import zlib

import pytest
import random_programs as rp
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import functrace as ft

FACTOR = int(os.environ.get("FUNCTRACE_RANDOM_PROGRAMS", "1"))
SETTINGS = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@pytest.mark.parametrize("name", rp.NAMES)
def test_printed_source(name: str) -> None:
    @seed(zlib.crc32(name.encode()) + FACTOR)
    @settings(max_examples=22 * FACTOR, **SETTINGS)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        program = data.draw(rp.program_strategy(name))
        stack = ["jit", *data.draw(rp.stack_strategy())]
        form = "compiled kernels" if name in rp.LONG else "kernels as printed source"
        rp.count(program, stack, f"with {form}")
        with ft.config.override(backend="llvm" if name in rp.LONG else "python"):
            rp.check(program, stack)

    run()


@pytest.mark.parametrize("name", rp.NAMES)
def test_compiled(name: str) -> None:
    @seed(zlib.crc32(name.encode()) - FACTOR)
    @settings(max_examples=3 * FACTOR, **SETTINGS)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        program = data.draw(rp.program_strategy(name))
        stack = ["jit", *data.draw(rp.stack_strategy())]
        rp.count(program, stack, "with compiled kernels")
        rp.check(program, stack)

    run()


def test_histograms() -> None:
    """Every primitive and every pair of transforms was met at least 20 times."""
    total = sum(rp.PRIMITIVE_COUNT.values())
    if total < 2000:
        pytest.skip("only meaningful after test_printed_source ran for every primitive")
    rare = {n: rp.PRIMITIVE_COUNT[n] for n in rp.NAMES if rp.PRIMITIVE_COUNT[n] < 20}
    assert not rare
    pairs = itertools.product(rp.TRANSFORMS, repeat=2)
    rare_pairs = {p: rp.PAIR_COUNT[p] for p in pairs if rp.PAIR_COUNT[p] < 20}
    assert not rare_pairs
