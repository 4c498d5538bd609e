"""Loops over lanes of any length: as many iterations as there are, whichever way masks are made."""

from __future__ import annotations

import numpy as np
import pytest

from functrace.compiler import cpu
from functrace.compiler.emit.llvm.kernels import kernel_module
from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.ir.kernel import Kernel, Value
from tests.compiler.test_kernel_ir import run


def kernel(dtype: str, lanes: int) -> Kernel:
    """Double the first numbers of a row, as many as a parameter says."""
    b = KernelBuilder()
    x, out, n = b.buffer(dtype, "in"), b.buffer(dtype, "out"), b.param()

    def one(i: Value) -> None:
        value = x.load(i)
        out.store(i, b.add(value, value))

    b.lanes(0, n, lanes, one)
    return b.finish()


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "int8"])
@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32, 64])
def test_all_iterations_and_no_more(
    lanes: int, dtype: str, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not wide:
        monkeypatch.setattr(cpu, "wide_vectors", lambda: False)
    made = kernel(dtype, lanes)
    text = kernel_module(made)
    assert (".bits = trunc" in text) == (cpu.wide_vectors() and "masked" in text and lanes < 64)
    x = np.arange(3 * lanes + 1).astype(dtype)
    for n in (0, 1, lanes - 1, lanes, lanes + 1, 3 * lanes, 3 * lanes + 1):
        out = np.full_like(x, -1)
        assert run(made, [x, out], (n,))[0] == 0
        np.testing.assert_array_equal(out[:n], (x + x)[:n])
        assert (out[n:] == -1).all()
