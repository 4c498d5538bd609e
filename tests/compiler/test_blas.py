"""Matrix products through the private BLAS, against NumPy's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from functrace.compiler.runtime import blas as blas_module
from functrace.compiler.runtime.blas import Operand, blas, matrix_product
from functrace.compiler.runtime.driver import driver, thread_limit
from functrace.compiler.runtime.program import InputSpec, OutputSpec, Program

KINDS = ["float32", "float64", "complex64", "complex128"]
SIZES = [(3, 4, 5), (1, 7, 5), (6, 1, 5), (1, 1, 9), (1, 1, 1), (40, 50, 0), (0, 3, 2), (33, 2, 9)]
TOLERANCE = {"float32": 1e-4, "complex64": 1e-4, "float64": 1e-12, "complex128": 1e-12}


@pytest.fixture(params=["wheel", "scipy"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both libraries a platform may offer."""
    if request.param == "scipy":
        monkeypatch.setenv("FUNCTRACE_BLAS", "scipy")
    blas.cache_clear()
    blas_module._kernel.cache_clear()
    yield request.param
    blas.cache_clear()
    blas_module._kernel.cache_clear()


def _random(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(sum(shape))
    values = generator.standard_normal(shape)
    if dtype.kind == "c":
        values = values + 1j * generator.standard_normal(shape)
    return values.astype(dtype)


def _product(
    kind: str,
    sizes: tuple[int, int, int],
    *,
    ta: bool = False,
    tb: bool = False,
    batch: tuple[int, ...] = (),
) -> Program:
    m, n, k = sizes
    dtype = np.dtype(kind)
    a = (*batch, k, m) if ta else (*batch, m, k)
    b = (*batch, n, k) if tb else (*batch, k, n)
    step = matrix_product(
        dtype,
        sizes,
        Operand(1, a[-1], transposed=ta, batch_stride=m * k),
        Operand(2, b[-1], transposed=tb, batch_stride=k * n),
        Operand(3, n, batch_stride=m * n),
        batch=batch[0] if batch else 1,
    )
    assert step is not None
    inputs = [InputSpec(a, dtype, 1), InputSpec(b, dtype, 2)]
    return Program(inputs, [OutputSpec((*batch, m, n), dtype, 3)], 4, [step], result="single")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_products_of_every_form(kind: str, sizes: tuple[int, int, int]) -> None:
    for ta in (False, True):
        for tb in (False, True):
            for batch in ((), (3,)):
                program = _product(kind, sizes, ta=ta, tb=tb, batch=batch)
                x, y = (_random(spec.shape, spec.dtype) for spec in program.inputs)
                a = np.swapaxes(x, -1, -2) if ta else x
                b = np.swapaxes(y, -1, -2) if tb else y
                result = program.call(x, y)
                tolerance = TOLERANCE[kind]
                np.testing.assert_allclose(result, a @ b, rtol=tolerance, atol=tolerance)
                assert result.dtype == a.dtype


def test_the_library_is_ours_and_runs_one_thread() -> None:
    found = blas()
    assert "OpenBLAS" in found.name
    assert found.integer == "i64"
    assert set(found.symbols) >= {"ft_sgemm", "ft_dgemm", "ft_cgemv", "ft_zgemv"}
    assert all(found.symbols.values())


@pytest.mark.usefixtures("library")
def test_accumulating_and_offsets_into_larger_arrays() -> None:
    f8 = np.dtype(np.float64)
    a, b = _random((6, 10), f8), _random((8, 9), f8)
    step = matrix_product(
        f8, (3, 4, 5), Operand(1, 10, 12), Operand(2, 9, 20), Operand(3, 4), accumulate=True
    )
    assert step is not None
    outputs = [OutputSpec((3, 4), f8, 3)]
    program = Program([InputSpec(a.shape, f8, 1), InputSpec(b.shape, f8, 2)], outputs, 4, [step])
    out = np.full((3, 4), 100.0)
    program.run_into((a, b), (out,))
    np.testing.assert_allclose(out, 100 + a[1:4, 2:7] @ b[2:7, 2:6], rtol=1e-12)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("n", [1, 4])
def test_a_strided_result_and_a_repeated_operand(n: int) -> None:
    f8 = np.dtype(np.float64)
    a, b = _random((5, 3, 4), f8), _random((4, n), f8)
    c = Operand(3, 7, offset=2, batch_stride=21)
    step = matrix_product(f8, (3, n, 4), Operand(1, 4, batch_stride=12), Operand(2, n), c, batch=5)
    assert step is not None
    outputs = [OutputSpec((5, 3, 7), f8, 3)]
    program = Program([InputSpec(a.shape, f8, 1), InputSpec(b.shape, f8, 2)], outputs, 4, [step])
    out = np.zeros((5, 3, 7))
    program.run_into((a, b), (out,))
    np.testing.assert_allclose(out[:, :, 2 : 2 + n], a @ b, rtol=1e-12)
    assert not out[:, :, :2].any()
    assert not out[:, :, 2 + n :].any()


@pytest.mark.parametrize("kind", ["float32", "float64", "complex128"])
@pytest.mark.parametrize(
    ("sizes", "batch"),
    [((300, 260, 300), ()), ((150, 600, 280), ()), ((1500, 1, 1200), ()), ((40, 40, 40), (60,))],
    ids=["rows", "columns", "vector", "batch"],
)
def test_the_number_of_threads_does_not_change_bits(
    kind: str, sizes: tuple[int, int, int], batch: tuple[int, ...]
) -> None:
    program = _product(kind, sizes, batch=batch)
    step = program.steps[0]
    assert step.extent > step.grain
    x, y = (_random(spec.shape, spec.dtype) for spec in program.inputs)
    try:
        driver().limit_helpers(0)
        alone = program.call(x, y)
        for helpers in (1, 3):
            driver().limit_helpers(helpers)
            for _ in range(3):
                np.testing.assert_array_equal(program.call(x, y), alone)
    finally:
        driver().limit_helpers(thread_limit() - 1)
    np.testing.assert_allclose(alone, x @ y, rtol=1e-3, atol=1e-3)


def test_nan_and_inf_in_unused_output_memory_do_not_matter() -> None:
    program = _product("float64", (20, 30, 10))
    x, y = (_random(spec.shape, spec.dtype) for spec in program.inputs)
    out = np.full((20, 30), np.nan)
    program.run_into((x, y), (out,))
    np.testing.assert_allclose(out, x @ y, rtol=1e-12)


def test_other_dtypes_and_transposed_results_have_no_product() -> None:
    a = b = Operand(1, 2)
    for kind in ("int64", "float16", "bool"):
        assert matrix_product(np.dtype(kind), (2, 2, 2), a, b, Operand(2, 2)) is None
    c = Operand(2, 2, transposed=True)
    assert matrix_product(np.dtype(np.float64), (2, 2, 2), a, b, c) is None


def test_users_own_blas_is_left_alone() -> None:
    code = """
import os, sys
import numpy as np
before = dict(os.environ)
from functrace.compiler.runtime.blas import blas
blas()
print(dict(os.environ) == before, "scipy_openblas64" in sys.modules, "scipy" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["True", "False", "False"]


def test_an_amd_machine_with_avx512_gets_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    read = "functrace.compiler.runtime.blas.Path.read_text"
    monkeypatch.setattr(read, lambda path: "vendor_id : AuthenticAMD\nflags : avx2 avx512f")
    assert blas_module._core_type() == {"OPENBLAS_CORETYPE": "SkylakeX"}
    monkeypatch.setattr(read, lambda path: "vendor_id : AuthenticAMD\nflags : avx2")
    assert blas_module._core_type() == {}
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert blas_module._core_type() == {}
