"""Blocks of memory whose rows become columns: any size, any dtype, with masks and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import check

from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.emit.llvm import turn
from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.ir.kernel import TURNED, Kernel
from functrace.compiler.ir.kernel_check import KernelError, check_kernel
from functrace.compiler.ir.kernel_text import kernel_text
from functrace.ops.arithmetic import add, mul
from functrace.ops.structural import transpose
from tests.compiler.test_kernel_ir import run

RNG = np.random.default_rng(0)
DTYPES = ["bool", "int8", "float16", "float32", "int64", "complex64", "complex128"]


def numbers(shape: tuple[int, ...], dtype: str) -> Any:
    parts = RNG.integers(-9, 9, size=(*shape, 2))
    return (parts[..., 0] + 1j * parts[..., 1] if dtype[0] == "c" else parts[..., 0]).astype(dtype)


def turning(dtype: str) -> Kernel:
    """Turns rows of 11 elements into rows of 9; counts are the record's."""
    b = KernelBuilder()
    x, y = b.buffer(dtype, "in"), b.buffer(dtype, "out")
    rows, columns = b.param(), b.param()
    b.turn((y, 2, 9), (x, 1, 11), rows, columns)
    return b.finish()


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("how", ["llvm", "python"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_blocks_of_every_size(
    dtype: str, how: str, masks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "HAS_MASKS", masks)
    kernel = turning(dtype)
    check_kernel(kernel)
    for rows, columns in [(TURNED, TURNED), (1, 1), (3, TURNED), (TURNED, 5), (7, 2)]:
        # Not an element more than is read and written.
        x = numbers((1 + 11 * (columns - 1) + rows,), dtype)
        y = numbers((2 + 9 * (rows - 1) + columns,), dtype)
        want = y.copy()
        for r in range(rows):
            for c in range(columns):
                want[2 + 9 * r + c] = x[1 + 11 * c + r]
        run(kernel, [x, y], (rows, columns), (0, 1), how)
        np.testing.assert_array_equal(y, want)


def test_the_checker_knows_blocks() -> None:
    b = KernelBuilder()
    x = b.buffer("f8", "inout")
    b.turn((x, 0, 8), (x, 0, 8), 8, 8)
    with pytest.raises(KernelError, match="turned in its own memory"):
        check_kernel(b.finish())
    with pytest.raises(TypeError, match="float64 memory into float32 memory"):
        b.turn((b.buffer("f4", "out"), 0, 8), (x, 0, 8), 8, 8)
    assert "turn b1[int64(2) by int64(9)], b0[int64(1) by int64(11)]" in kernel_text(turning("f8"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40, 33), (8, 300), (300, 7), (3, 25, 31), (130, 97)])
def test_transposes(shape: tuple[int, ...], dtype: str) -> None:
    order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    compiled = check(lambda x: [transpose(x, order)], numbers(shape, dtype))
    (code,) = compiled.compilation.codes
    assert isinstance(code, StepCode)
    assert "turn" in kernel_text(code.kernel)


@pytest.mark.parametrize("backend", ["llvm", "python"])
def test_copies_among_other_results(backend: str) -> None:
    x, y = RNG.normal(size=(150, 131)), RNG.normal(size=(131, 150))

    def fun(x: Any, y: Any) -> list[Any]:
        t = transpose(x, (1, 0))
        return [t, add(t, y), mul(t, t), transpose(x, (1, 0))]

    check(fun, x, y, backend=backend)
