"""Our own matrix products: every form, the library's values, bits that nothing but k decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
from functrace.compiler import cpu
from functrace.compiler.runtime import gemm
from functrace.compiler.runtime.blas import Operand
from functrace.config import config

KINDS = ["float32", "float64"]
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}
#: Edges of tiles, panels, blocks of k and tasks, on either side.
SIZES = [
    *[(4, 133, 850), (37, 100, 153), (264, 17, 90), (1100, 10, 39), (129, 97, 385)],
    *[(130, 530, 700), (300, 260, 401), (600, 1100, 1000)],
]

pytestmark = pytest.mark.skipif(
    not cpu.wide_vectors(), reason="no 512-bit vectors here: all products are the library's"
)


def _normal(*shape: int, kind: str = "float64") -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(kind)


def _labels(f: Callable[..., Any], *args: Any) -> str:
    return str(ft.jit(f).lower(*args).as_text("asm"))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_products_of_every_form(kind: str, sizes: tuple[int, int, int]) -> None:
    m, n, k = sizes
    x, y = _normal(m, k, kind=kind), _normal(k, n, kind=kind)
    wanted = x.astype(np.float64) @ y.astype(np.float64)
    forms = [
        (lambda x, y: x @ y, x, y),
        (lambda x, y: x.T @ y, x.T.copy(), y),
        (lambda x, y: x @ y.T, x, y.T.copy()),
        (lambda x, y: x.T @ y.T, x.T.copy(), y.T.copy()),
    ]
    for f, a, b in forms:
        result = ft.jit(f)(a, b)
        assert result.dtype == kind
        np.testing.assert_allclose(result, wanted, atol=TOLERANCE[kind] * k, rtol=TOLERANCE[kind])
        assert "ft_tile3" in _labels(f, a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_batches(kind: str) -> None:
    x, y = _normal(7, 133, 80, kind=kind), _normal(7, 80, 50, kind=kind)
    turned = np.swapaxes(y, 1, 2).copy()
    near = {"rtol": TOLERANCE[kind], "atol": 80 * TOLERANCE[kind]}
    np.testing.assert_allclose(ft.jit(np.matmul)(x, y), x @ y, **near)
    np.testing.assert_allclose(ft.jit(np.matmul)(x, y[0]), x @ y[0], **near)
    transposed = ft.jit(lambda x, y: x @ np.swapaxes(y, 1, 2))(x, turned)
    np.testing.assert_allclose(transposed, x @ y, **near)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["nn", "tn", "nt"])
def test_neither_threads_nor_neighbours_change_bits(kind: str, form: str) -> None:
    x, y = _normal(300, 420, kind=kind), _normal(420, 310, kind=kind)
    f = {"nn": lambda x, y: x @ y, "tn": lambda x, y: x.T @ y, "nt": lambda x, y: x @ y.T}[form]
    a = x.T.copy() if form == "tn" else x
    b = y.T.copy() if form == "nt" else y
    results = []
    for threads in (1, 2, 3, 8):
        with config.override(threads=threads):
            results += [ft.jit(f)(a, b) for _ in range(3)]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    # A part of the rows and columns is tiled in another way, and has the same bits.
    part = ft.jit(np.matmul)(x[13:154].copy(), y[:, 5:250].copy())
    np.testing.assert_array_equal(part, results[0][13:154, 5:250])


def test_nan_and_inf_stay_in_their_rows_and_columns() -> None:
    x, y = _normal(90, 80), _normal(80, 70)
    x[7, 3], y[9, 69] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        wanted = np.isfinite(x @ y)
        result = np.isfinite(ft.jit(np.matmul)(x, y))
    np.testing.assert_array_equal(result, wanted)


def test_packed_operands_are_in_the_plan() -> None:
    x, y = _normal(256, 512), _normal(512, 512)
    sizes = ft.jit(np.matmul).lower(x, y).compile().memory_analysis()
    assert sizes["temp_size_in_bytes"] >= 512 * 512 * 8
    x, y = _normal(600, 1000), _normal(1000, 1100)
    sizes = ft.jit(np.matmul).lower(x, y).compile().memory_analysis()
    assert 330 * 1100 * 8 < sizes["temp_size_in_bytes"] < 1 << 22
    small = ft.jit(np.matmul).lower(x[:, :64].copy(), y[:64, :128].copy()).compile()
    assert small.memory_analysis()["temp_size_in_bytes"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_packed_in_rounds(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large second operand some lines and columns are packed at once: bits are the same."""
    square = np.zeros((2000, 2000))
    sizes = ft.jit(np.matmul).lower(square, square).compile().memory_analysis()
    assert 1 << 20 < sizes["temp_size_in_bytes"] < 1 << 21
    x, y = _normal(150, 450, kind=kind), _normal(450, 410, kind=kind)
    forms = [
        (lambda x, y: x @ y, x, y),
        (lambda x, y: x.T @ y, x.T.copy(), y),
        (lambda x, y: x @ y.T, x, y.T.copy()),
        (lambda x, y: x.T @ y.T, x.T.copy(), y.T.copy()),
    ]
    whole = [ft.jit(lambda x, y, f=f: f(x, y))(a, b) for f, a, b in forms]
    monkeypatch.setattr(gemm, "_ROUND_BYTES", 1 << 16)
    monkeypatch.setattr(gemm, "_WIDE", 130)
    ft.clear_caches()
    for (f, a, b), wanted in zip(forms, whole):
        own = gemm.own_product(
            a.dtype, (150, 410, 450), 1, Operand(1, 450), Operand(2, 450, transposed=True)
        )
        assert own is not None and own.wide < 150
        np.testing.assert_array_equal(ft.jit(lambda x, y, f=f: f(x, y))(a, b), wanted)


def test_the_library_does_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = Operand(1, 64), Operand(2, 64)

    def own(kind: str, *sizes: int) -> object:
        m, n, k = sizes
        return gemm.own_product(np.dtype(kind), (m, n, k), 1, a, b)

    assert own("float64", 80, 80, 80)
    assert own("float32", 512, 512, 512)
    assert not own("complex128", 80, 80, 80)
    assert not own("float64", 1, 4096, 64)
    assert not own("float64", 4096, 2, 64)
    assert not own("float64", 8, 8, 8)
    assert not own("float64", 32, 1024, 1024)
    assert not own("float64", 64, 64, 0)
    assert own("float64", 2048, 2048, 2048)
    assert not own("float64", 2304, 2304, 2304)
    assert not own("float64", 4096, 1024, 1024)
    x, y = _normal(84, 85), _normal(85, 86)
    monkeypatch.setattr(cpu, "wide_vectors", lambda: False)
    assert not own("float64", 80, 80, 80)
    np.testing.assert_allclose(ft.jit(lambda x, y: (x @ y) * 1.0)(x, y), x @ y, rtol=1e-12)
