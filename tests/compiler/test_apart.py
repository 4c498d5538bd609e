"""Loads of elements that lie a few apart: all of their values, and nothing behind the array."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest

from functrace.compiler import cpu
from functrace.compiler.emit.llvm.apart import pick_lines, starts_of
from functrace.compiler.emit.llvm.kernels import kernel_module
from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.ir.kernel import Kernel, Value
from tests.compiler.test_kernel_ir import run

RNG = np.random.default_rng(0)


def kernel(dtype: str, lanes: int, step: int, offsets: list[int], stored: bool) -> Kernel:
    """Write x[i step + o] in one row for each offset o, for `lanes` points at a time."""
    b = KernelBuilder()
    x, out = b.buffer(dtype, "inout" if stored else "in"), b.buffer(dtype, "out")
    n = b.param()

    def points(start: Value) -> None:
        def one(lane: Value) -> None:
            i = b.add(start, lane)
            first = b.mul(i, b.const(step, np.int64))
            for row, offset in enumerate(offsets):
                value = x.load(b.add(first, b.const(offset, np.int64)))
                out.store(b.add(b.mul(n, b.const(row, np.int64)), i), value)
                if stored:
                    x.store(b.add(first, b.const(offset, np.int64)), b.add(value, value))

        b.lanes(0, lanes, lanes, one)

    b.loop(b.lo, b.hi, points, lanes)
    return b.finish()


def guarded(x: Any) -> tuple[Any, Any]:
    """Return a copy of an array which ends where memory ends that may be read."""
    pages = -(-x.nbytes // mmap.PAGESIZE)
    block = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    memory = np.frombuffer(block, np.uint8)
    end = memory.ctypes.data + pages * mmap.PAGESIZE
    mprotect = ctypes.CDLL(None).mprotect
    mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert mprotect(end, mmap.PAGESIZE, 0) == 0
    at = pages * mmap.PAGESIZE - x.nbytes
    copy = memory[at : at + x.nbytes].view(x.dtype)
    copy[:] = x
    return copy, block


@pytest.mark.skipif(sys.platform == "win32", reason="has no mprotect")
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "float16", "int8", "int64"])
@pytest.mark.parametrize("step", [2, 3, 4])
def test_elements_a_few_apart(step: int, dtype: str, stored: bool) -> None:
    for lanes in (8, 16, 32):
        points = 3 * lanes
        for offsets in ([0], [*range(step)], [*range(step)][::-1], [0, step - 1], [1]):
            x = RNG.integers(-50, 50, points * step).astype(dtype)
            # No further than the last element that is asked for.
            x = x[: (points - 1) * step + max(offsets) + 1]
            copy, keep = guarded(x)
            out = np.zeros((len(offsets), points), dtype)
            made = kernel(dtype, lanes, step, offsets, stored)
            assert run(made, [copy, out], (points,), (0, points))[0] == 0
            for row, offset in enumerate(offsets):
                np.testing.assert_array_equal(out[row], x[offset::step][:points])
            del copy, keep


@pytest.mark.skipif(not cpu.wide_vectors(), reason="what is loaded is shared in 512 bits only")
def test_neighbours_share_what_is_loaded() -> None:
    text = kernel_module(kernel("float32", 32, 3, [0, 1, 2], False))
    assert text.count("load <16 x float>") == 6
    # Of what is written meanwhile, each reads its own.
    text = kernel_module(kernel("float32", 32, 3, [0, 1, 2], True))
    assert text.count("load <16 x float>") == 18


def test_every_place_is_picked() -> None:
    for step in (2, 3, 4):
        for filled in (False, True):
            starts = starts_of(8, step, filled)
            assert starts[-1] + 8 == (8 * step if filled else 7 * step + 1)
            places = [k * step for k in range(8)]
            assert len(pick_lines("%y", list("abcd"[:step]), "k", places, starts)) == step - 1
