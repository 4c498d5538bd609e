"""functrace.scipy.linalg: SciPy's values, traced, batched, compiled and differentiated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg as sla
from function_checks import (
    assert_same,
    check_all,
    check_derivative,
    check_jit,
    check_traced,
    staged,
)

import functrace
from functrace.scipy import linalg


def make(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(11)
    x = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        x = x + 1j * rng.standard_normal(shape)
    if len(shape) > 1 and shape[-1] == shape[-2]:
        x = x * 0.4 + np.eye(shape[-1]) * 2
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("b", [(3,), (3, 2)], ids=str)
@pytest.mark.parametrize("trans", [0, 1, 2, "N", "T", "C"])
@pytest.mark.parametrize("lower", [False, True])
def test_solve_triangular(lower: bool, trans: Any, b: tuple[int, ...], dtype: str) -> None:
    for unit in (False, True):

        def f(a: Any, b: Any, unit: bool = unit) -> Any:
            return linalg.solve_triangular(a, b, trans, lower=lower, unit_diagonal=unit)

        check_traced(f, make((3, 3), dtype), make(b, dtype), rtol=1e-10)
    check_derivative(f, make((3, 3), dtype), make(b, dtype))
    check_jit(f, make((3, 3), dtype), make(b, dtype))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("lower", [False, True])
def test_cholesky(lower: bool, dtype: str) -> None:
    x, b = make((3, 3), dtype), make((3,), dtype)
    positive = x @ x.conj().T

    def solved(x: Any, b: Any) -> Any:
        a = x @ x.conj().T
        return linalg.cho_solve(linalg.cho_factor(a, lower=lower), b)

    check_all(solved, x, b)
    check_traced(lambda a: linalg.cholesky(a, lower=lower), positive, rtol=1e-10)
    check_traced(lambda a, b: linalg.solve(a, b, assume_a="pos"), positive, b, rtol=1e-10)
    known = linalg.cho_factor(positive, lower=lower)
    check_all(lambda b: linalg.cho_solve(known, b), b)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_lu(dtype: str) -> None:
    x, b = make((3, 3), dtype)[::-1].copy(), make((3, 2), dtype)
    check_traced(linalg.lu_factor, x, rtol=1e-10)
    for trans in (0, 1, 2):

        def solved(x: Any, b: Any, trans: int = trans) -> Any:
            return linalg.lu_solve(linalg.lu_factor(x), b, trans)

        check_all(solved, x, b)
        known = linalg.lu_factor(x)
        check_all(lambda b, known=known, t=trans: linalg.lu_solve(known, b, t), b)
    for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 3)):
        y = make(shape, dtype)[..., ::-1, :].copy()
        check_traced(linalg.lu, y, rtol=1e-10)
        check_traced(lambda y: linalg.lu(y, permute_l=True), y, rtol=1e-10)
        p, low, up = staged(lambda y: linalg.lu(y, p_indices=True), y)
        np.testing.assert_allclose(np.take_along_axis(low @ up, p[..., None], -2), y)
        check_derivative(lambda y: linalg.lu(y, permute_l=True), y)


def test_whole_systems() -> None:
    a, b = make((3, 3)), make((3, 2))
    check_all(linalg.solve, a, b)
    check_all(lambda a, b: linalg.solve(a, b, transposed=True), a, b)
    check_all(linalg.inv, a)
    check_all(linalg.det, a)
    batch = make((4, 3, 3))
    assert_same(functrace.vmap(linalg.inv)(batch), np.stack([sla.inv(x) for x in batch]))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="incompatible"):
        staged(linalg.solve_triangular, np.eye(3), np.ones(2))
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        functrace.jit(linalg.cho_factor)(-np.eye(2))
