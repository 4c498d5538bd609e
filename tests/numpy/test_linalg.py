"""functrace.numpy.linalg: norms, powers, products."""

from __future__ import annotations

import numpy as np
import pytest
from function_checks import check_all, check_derivative, check_traced, staged

import functrace
from functrace.numpy import linalg


def make(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(7)
    if dtype.startswith("int"):
        return rng.integers(-5, 5, shape).astype(dtype)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else x).astype(dtype)


VECTOR_ORDERS = [None, 0, 1, 2, 3, 0.5, -1, -2, np.inf, -np.inf]
MATRIX_ORDERS = [None, "fro", 1, -1, np.inf, -np.inf]
# Of singular values; float16 has none.
SINGULAR_ORDERS = [2, -2, "nuc"]


@pytest.mark.parametrize(
    "dtype", ["int32", "float16", "float32", "float64", "complex64", "complex128"]
)
def test_norms(dtype: str) -> None:
    v, m, t = make((5,), dtype), make((3, 4), dtype), make((2, 3, 4), dtype)
    for order in VECTOR_ORDERS:
        if dtype == "float16" and order in (3, 0.5, -2):
            continue  # NumPy's power rounds once more
        check_traced(lambda x, o=order: linalg.norm(x, o), v)
        check_traced(lambda x, o=order: linalg.norm(x, o, axis=1, keepdims=True), t)
        if order is not None:
            check_traced(lambda x, o=order: linalg.vector_norm(x, ord=o, axis=(0, 2)), t)
            check_traced(lambda x, o=order: linalg.vector_norm(x, ord=o, keepdims=True), t)
    for order in MATRIX_ORDERS + (SINGULAR_ORDERS if dtype != "float16" else []):
        check_traced(lambda x, o=order: linalg.norm(x, o), m)
        check_traced(lambda x, o=order: linalg.norm(x, o, axis=(2, 0), keepdims=True), t)
        if order is not None:
            check_traced(lambda x, o=order: linalg.matrix_norm(x, ord=o), t)
    check_traced(linalg.norm, t)


@pytest.mark.parametrize("order", [None, 1, 2, 3, 0.5, -1, np.inf, -np.inf])
def test_derivatives_of_norms(order: float | None) -> None:
    check_all(lambda x: linalg.norm(x, order, axis=-1), make((3, 4)))
    if order != 0:
        check_derivative(lambda x: linalg.norm(x, order), make((4,), "complex128"))


@pytest.mark.parametrize("order", ["fro", 1, -1, np.inf, -np.inf, 2, -2, "nuc"])
def test_derivatives_of_matrix_norms(order: float | str) -> None:
    check_all(lambda x: linalg.norm(x, order), make((3, 4)))


@pytest.mark.parametrize("order", [None, 1, 2, 3, 1.5, np.inf])
def test_the_gradient_at_zero_is_zero(order: float | None) -> None:
    zero = np.zeros(3)
    np.testing.assert_array_equal(functrace.grad(lambda x: linalg.norm(x, order))(zero), zero)
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    gradient = functrace.grad(lambda x: linalg.norm(x, axis=1).sum())(rows)
    np.testing.assert_allclose(gradient, [[0, 0], [0.6, 0.8]])
    complex_zero = functrace.grad(lambda x: linalg.norm(x, order))(np.zeros(2, complex))
    np.testing.assert_array_equal(complex_zero, np.zeros(2))


def test_matrix_power() -> None:
    x = make((2, 3, 3))
    for n in (0, 1, 2, 5, 6):
        check_traced(lambda x, n=n: linalg.matrix_power(x, n), x)
    check_all(lambda x: linalg.matrix_power(x, 3), x)
    with pytest.raises(np.linalg.LinAlgError, match="square"):
        staged(lambda x: linalg.matrix_power(x, 2), make((2, 3)))
    with pytest.raises(np.linalg.LinAlgError, match="two-dimensional"):
        staged(linalg.matrix_norm, make((2,)))


def test_products() -> None:
    a, b = make((2, 3, 3)), make((3, 3))
    check_traced(linalg.matmul, a, b)
    check_traced(linalg.matrix_transpose, a)
    check_traced(lambda x: linalg.diagonal(x, offset=1), a)
    check_traced(lambda x: linalg.trace(x, offset=-1, dtype="float32"), a)
    check_traced(lambda a, b: linalg.tensordot(a, b, axes=1), a, b)
    check_traced(linalg.vecdot, a, b)
    check_traced(linalg.outer, a[0, 0], b[0])
    check_traced(linalg.cross, a, b)
    check_traced(lambda a, b: linalg.multi_dot([a, b, a]), b, b)
    with pytest.raises(ValueError, match="one-dimensional"):
        staged(linalg.outer, a, b)
    with pytest.raises(ValueError, match="2-dimensional"):
        staged(linalg.matrix_transpose, np.ones(3))


def test_errors() -> None:
    x = make((3, 3))
    with pytest.raises(ValueError, match="vectors"):
        staged(lambda x: linalg.norm(x, "fro"), x[0])
    with pytest.raises(ValueError, match="matrices"):
        staged(lambda x: linalg.norm(x, 3), x)
    with pytest.raises(ValueError, match="dimensions"):
        staged(lambda x: linalg.norm(x, 1), make((2, 2, 2)))
