"""Factorisations and linear systems: NumPy's values, derivatives, lanes, compiled, and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from function_checks import check_all, check_derivative, check_jit, check_traced, check_vmap, staged

import functrace
from functrace import lax
from functrace.compiler.runtime.driver import driver, thread_limit
from functrace.numpy import linalg
from functrace.test_util import check_grads

DTYPES = ["float32", "float64", "complex64", "complex128"]


def make(shape: tuple[int, ...], dtype: str = "float64", seed: int = 5) -> np.ndarray:
    """Return matrices whose singular values are apart, and not small."""
    rng = np.random.default_rng(seed)
    if dtype.startswith("int"):
        return rng.integers(-5, 5, shape).astype(dtype)
    x = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        x = x + 1j * rng.standard_normal(shape)
    if len(shape) > 1:
        x = x * 0.4
        k = np.arange(min(shape[-2:]))
        x[..., k, k] += 2 + k
    return x.astype(dtype)


def definite(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    x = make(shape, dtype)
    return x @ np.conj(np.swapaxes(x, -1, -2))


def hermitian(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    x = make(shape, dtype)
    return x + np.conj(np.swapaxes(x, -1, -2))


def symmetric(x: Any) -> Any:
    return (x + x.conj().swapaxes(-1, -2)) / 2


def projected(vectors: Any) -> Any:
    """Return what the phases of vectors, as columns, don't change."""
    return abs(vectors) ** 2


SHAPES = [(3, 3), (1, 1), (2, 3, 3), (0, 2, 2), (0, 0)]


@pytest.mark.parametrize("dtype", ["int32", *DTYPES])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values(shape: tuple[int, ...], dtype: str) -> None:
    x = make(shape, dtype)
    if dtype == "int32":
        x = x + 9 * np.eye(shape[-1], dtype="int32")
    h, d = x + np.conj(np.swapaxes(x, -1, -2)), x @ np.conj(np.swapaxes(x, -1, -2))
    rtol = 2e-4 if dtype in ("float32", "complex64") else 1e-10
    for f in (linalg.inv, linalg.det, linalg.slogdet, linalg.svd, linalg.svdvals):
        check_traced(f, x, rtol=rtol)
        check_jit(lambda x, f=f: f(x.astype(x.dtype)), x.astype(complex))
    check_traced(linalg.cholesky, d, rtol=rtol)
    check_traced(lambda x: linalg.cholesky(x, upper=True), d, rtol=rtol)
    check_traced(linalg.eigh, h, rtol=rtol)
    check_traced(linalg.eigvalsh, h, rtol=rtol)
    check_traced(lambda x: linalg.eigh(x, "U"), h, rtol=rtol)
    check_traced(linalg.qr, x, rtol=rtol)
    check_traced(lambda x: linalg.matrix_power(x, -2), x, rtol=rtol)
    check_traced(linalg.matrix_rank, x)
    if x.size:
        check_traced(linalg.pinv, x, rtol=rtol)
        for p in (None, 2, -2, 1, "fro", "nuc"):
            check_traced(lambda x, p=p: linalg.cond(x, p), x, rtol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (2, 4, 3), (2, 0), (0, 3)], ids=str)
def test_values_of_rectangles(shape: tuple[int, ...], dtype: str) -> None:
    x = make(shape, dtype)
    rtol = 1e-4 if dtype in ("float32", "complex64") else 1e-10
    for mode in ("reduced", "complete", "r"):
        check_traced(lambda x, m=mode: linalg.qr(x, m), x, rtol=rtol)
    for full in (True, False):
        check_traced(lambda x, full=full: linalg.svd(x, full), x, rtol=rtol)
        functrace.jit(lambda x, full=full: linalg.svd(x, full))(x)
    check_traced(lambda x: linalg.svd(x, compute_uv=False), x, rtol=rtol)
    check_traced(linalg.pinv, x, rtol=rtol)
    if x.size:
        for order in (2, -2, "nuc"):
            check_traced(lambda x, o=order: linalg.matrix_norm(x, ord=o), x, rtol=rtol)
            check_traced(
                lambda x, o=order: linalg.matrix_norm(x, ord=o, keepdims=True), x, rtol=rtol
            )


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("inv", linalg.inv),
        ("det", linalg.det),
        ("slogdet", lambda x: linalg.slogdet(x)),
        ("pinv", linalg.pinv),
        ("qr", linalg.qr),
        ("svdvals", linalg.svdvals),
        ("cholesky", lambda x: linalg.cholesky(x @ x.conj().swapaxes(-1, -2))),
        ("eigvalsh", linalg.eigvalsh),
        ("cond", linalg.cond),
        ("nuclear norm", lambda x: linalg.norm(x, "nuc", axis=(-2, -1))),
        ("power", lambda x: linalg.matrix_power(x, -2)),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4), (1, 1)], ids=str)
def test_derivatives(
    name: str, function: Callable[..., Any], shape: tuple[int, ...], dtype: str
) -> None:
    del name
    x = hermitian(shape, dtype) if function is linalg.eigvalsh else make(shape, dtype)
    if function is linalg.eigvalsh:
        # Differences in directions that stay Hermitian.
        full = linalg.eigvalsh
        function = lambda x: full(symmetric(x))  # noqa: E731
    check_vmap(function, x)
    check_jit(function, x)
    check_derivative(function, x)


def test_derivatives_of_vectors() -> None:
    for dtype in ("float64", "complex128"):
        h, a, tall = hermitian((3, 3), dtype), make((3, 3), dtype), make((2, 4, 2), dtype)
        wide = make((2, 4), dtype)
        check_derivative(lambda x: projected(linalg.eigh(symmetric(x)).eigenvectors), h)
        check_derivative(lambda x: projected(linalg.eigh(symmetric(x), "U")[1]), h)
        for x in (a, tall, wide):
            check_derivative(lambda x: projected(linalg.svd(x, False).U), x)
            check_derivative(lambda x: projected(linalg.svd(x, False).Vh), x)

            def rebuilt(x: Any) -> Any:
                u, s, vh = linalg.svd(x, False)
                return (u * s[..., None, :] ** 2) @ vh

            check_derivative(rebuilt, x)
            check_derivative(linalg.qr, x)


@pytest.mark.parametrize("order", [1, 2])
def test_higher_derivatives(order: int) -> None:
    a, b = make((3, 3)), make((3, 2))
    check_grads(linalg.solve, (a, b), order)
    check_grads(linalg.inv, (a,), order)
    check_grads(linalg.det, (a,), order)
    check_grads(linalg.det, (make((4, 4)),), order)
    check_grads(lambda x: linalg.slogdet(x)[1], (a,), order)
    check_grads(lambda x: linalg.cholesky(x @ x.T), (a,), order)
    check_grads(lambda x: linalg.eigh(x + x.T), (a,), order)
    check_grads(lambda x: linalg.svd(x, False), (a,), order)
    check_grads(linalg.qr, (make((4, 2)),), order)
    check_grads(linalg.pinv, (make((4, 2)),), order)


@pytest.mark.parametrize("dtype", ["int32", *DTYPES])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 3), (3,)),
        ((3, 3), (3, 2)),
        ((2, 3, 3), (3, 2)),
        ((3, 3), (2, 4, 3, 2)),
        ((2, 1, 3, 3), (4, 3, 1)),
        ((2, 3, 3), (3,)),
        ((0, 0), (0, 2)),
    ],
    ids=str,
)
def test_solve(a: tuple[int, ...], b: tuple[int, ...], dtype: str) -> None:
    x, y = make(a, dtype), make(b, dtype)
    if dtype == "int32":
        x = x + 9 * np.eye(a[-1], dtype=dtype)
    rtol = 1e-4 if dtype in ("float32", "complex64") else 1e-10
    check_traced(linalg.solve, x, y, rtol=rtol)
    if dtype in ("float64", "complex128"):
        check_all(linalg.solve, x, y)
        check_all(lambda y: linalg.solve(x, y), y)
        check_all(lambda x: linalg.solve(x, y), x)


def test_solve_shares_one_factorisation_among_lanes() -> None:
    x, y = make((3, 3)), make((5, 3))
    text = str(functrace.make_jaxpr(functrace.vmap(linalg.solve, in_axes=(None, 0)))(x, y))
    assert "solve" in text
    assert "f64[5,3,3]" not in text
    check_vmap(lambda y: linalg.solve(x, y), y[0])
    check_derivative(functrace.vmap(linalg.solve, in_axes=(None, 0)), x, y)
    transposed = functrace.linear_transpose(lambda y: linalg.solve(x, y), y[0])(y[1])[0]
    np.testing.assert_allclose(transposed, np.linalg.solve(x.T, y[1]))


def test_tensors_and_least_squares() -> None:
    a = make((6, 6))
    check_all(lambda a: linalg.tensorinv(a.reshape(2, 3, 6), 2), a)
    check_all(lambda a, b: linalg.tensorsolve(a.reshape(2, 3, 3, 2), b), a, make((2, 3)))
    last = lambda a, b: linalg.tensorsolve(a.reshape(6, 2, 3), b, axes=(0,))  # noqa: E731
    check_traced(last, a, make((2, 3)))
    for shape in ((4, 2), (3, 3), (2, 4)):
        for right in ((shape[0],), (shape[0], 2)):
            check_traced(linalg.lstsq, make(shape), make(right))
            check_derivative(lambda a, b: linalg.lstsq(a, b)[0], make(shape), make(right))
            check_jit(lambda a, b: linalg.lstsq(a, b)[:2], make(shape), make(right))
    check_traced(linalg.lstsq, make((4, 2), "complex64"), make((4,), "complex64"), rtol=1e-4)


@pytest.mark.parametrize(
    "a",
    [
        [[0.0]],
        [[1.0, 2.0], [2.0, 4.0]],
        [[0.0, 0.0], [0.0, 1.0]],
        [[0.0, 0.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0]],
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
        [[1.0, 2.0, 3.0, 1.0], [0.0, 1.0, 1.0, 2.0], [2.0, 0.0, 1.0, 1.0], [3.0, 3.0, 5.0, 4.0]],
    ],
)
def test_determinants_of_matrices_without_inverse(a: Any) -> None:
    x = np.array(a)
    n = len(x)
    cofactors = np.array(
        [
            [
                (-1.0) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, axis=0), j, axis=1))
                for j in range(n)
            ]
            for i in range(n)
        ]
    )
    for grad in (functrace.grad(linalg.det), functrace.jit(functrace.grad(linalg.det))):
        np.testing.assert_allclose(grad(x), cofactors, atol=1e-12)


def test_equal_singular_values_and_eigenvalues() -> None:
    one = np.eye(3)
    np.testing.assert_allclose(
        functrace.grad(lambda x: linalg.pinv(x).sum())(one), -np.ones((3, 3))
    )
    np.testing.assert_allclose(functrace.grad(lambda x: linalg.svdvals(x).sum())(one), one)
    np.testing.assert_allclose(functrace.grad(lambda x: linalg.eigvalsh(x).sum())(one), one)
    with np.errstate(all="ignore"):
        assert not np.isfinite(functrace.jacfwd(lambda x: linalg.eigh(x)[1])(one)).all()


def test_ranks() -> None:
    for x in (
        np.ones((3, 3)),
        make((2, 3, 4)),
        np.zeros((2, 2)),
        np.array([0.0, 1.0]),
        np.zeros(2),
    ):
        check_traced(linalg.matrix_rank, x)
        if x.ndim > 1:
            check_traced(lambda x: linalg.matrix_rank(x, 0.5), x)
            check_traced(lambda x: linalg.matrix_rank(x, rtol=0.5), x)
    # A rank has no derivative, so its value is known.
    assert functrace.grad(lambda x: x.sum() * float(linalg.matrix_rank(x)))(np.eye(2))[0, 0] == 2.0


def test_symmetric_gradients() -> None:
    x = definite((3, 3))
    for f in (lambda x: linalg.cholesky(x).sum(), lambda x: (linalg.eigh(x)[1] ** 4).sum()):
        gradient = functrace.grad(f)(x)
        np.testing.assert_allclose(gradient, gradient.T)


FAILURES = [
    (linalg.cholesky, -np.eye(2), "Matrix is not positive definite"),
    (linalg.inv, np.zeros((2, 2)), "Singular matrix"),
    (lambda x: linalg.solve(x, np.ones(2)), np.zeros((2, 2)), "Singular matrix"),
    (lambda x: linalg.matrix_power(x, -1), np.zeros((2, 2)), "Singular matrix"),
    (linalg.svdvals, np.full((2, 2), np.nan), "SVD did not converge"),
]


@pytest.mark.parametrize(("function", "x", "text"), FAILURES, ids=lambda x: str(x)[:20])
def test_failures(function: Callable[..., Any], x: np.ndarray, text: str) -> None:
    batch = np.stack([np.eye(2), x, np.eye(2)])
    for call in (
        lambda: function(x),
        lambda: functrace.jit(function)(x),
        lambda: functrace.grad(lambda x: function(x).sum())(x),
        lambda: functrace.vmap(function)(batch),
        lambda: functrace.jit(functrace.vmap(function))(batch),
        lambda: functrace.jit(functrace.grad(lambda x: function(x).sum()))(x),
    ):
        with pytest.raises(np.linalg.LinAlgError, match=text):
            call()
    compiled = functrace.jit(function)
    with pytest.raises(np.linalg.LinAlgError):
        compiled(x)
    assert np.isfinite(compiled(np.eye(2))).all()


def test_refusals() -> None:
    x = make((3, 2))
    for f in (linalg.inv, linalg.det, linalg.cholesky, linalg.eigh, linalg.slogdet):
        with pytest.raises(np.linalg.LinAlgError, match="square"):
            staged(f, x)
        with pytest.raises(np.linalg.LinAlgError, match="at least two"):
            staged(f, x[0])
    with pytest.raises(TypeError, match="float16"):
        staged(linalg.svd, x.astype(np.float16))
    with pytest.raises(ValueError, match="UPLO"):
        staged(lambda x: linalg.eigh(x, "X"), np.eye(2))
    with pytest.raises(ValueError, match="mismatch"):
        staged(linalg.solve, np.eye(2), np.ones(3))
    with pytest.raises(NotImplementedError, match="raw"):
        staged(lambda x: linalg.qr(x, "raw"), x)
    with pytest.raises(NotImplementedError, match="complete QR"):
        functrace.jacfwd(lambda x: linalg.qr(x, "complete"))(x)
    with pytest.raises(NotImplementedError, match="full_matrices=False"):
        functrace.jacfwd(linalg.svd)(x)
    for name in ("eig", "eigvals"):
        with pytest.raises(NotImplementedError, match=name):
            staged(getattr(linalg, name), np.eye(2))


def test_plain_numpy_functions() -> None:
    x, b = definite((3, 3)), make((3,))

    def likelihood(x: Any) -> Any:
        factor = np.linalg.cholesky(x)
        return b @ np.linalg.solve(x, b) + 2 * np.sum(np.log(np.diagonal(factor)))

    want = -np.outer(np.linalg.solve(x, b), np.linalg.solve(x, b)) + np.linalg.inv(x)
    for grad in (functrace.grad(likelihood), functrace.jit(functrace.grad(likelihood))):
        np.testing.assert_allclose(grad(x), want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 6), (2, 7, 5), (5, 40), (80, 70)], ids=str)
def test_compiled_factors_give_the_matrix_back(shape: tuple[int, ...], dtype: str) -> None:
    x = make(shape, dtype)
    tolerance = 2e-3 if dtype in ("float32", "complex64") else 1e-10

    def near(got: Any, want: Any) -> None:
        assert got.dtype == np.dtype(dtype)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)

    def unitary(v: Any) -> None:
        near(v.conj().swapaxes(-1, -2) @ v, np.zeros((*v.shape[:-2], 1, 1)) + np.eye(v.shape[-1]))

    for full in (True, False):
        u, s, vh = functrace.jit(lambda x, full=full: linalg.svd(x, full))(x)
        k = s.shape[-1]
        near((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x)
        unitary(u)
        unitary(vh.conj().swapaxes(-1, -2))
        mode = "complete" if full else "reduced"
        q, r = functrace.jit(lambda x, mode=mode: linalg.qr(x, mode))(x)
        near(q @ r, x)
        near(np.triu(r), r)
        unitary(q)
    h = x @ x.conj().swapaxes(-1, -2)
    h = h / np.abs(h).max()
    h = h.astype(dtype)
    for triangle in "LU":
        w, v = functrace.jit(lambda x, t=triangle: linalg.eigh(x, t))(h)
        near((v * w[..., None, :]) @ v.conj().swapaxes(-1, -2), h)
        unitary(v)
    factors, _, order = functrace.jit(lax.linalg.lu)(x)
    k = min(shape[-2:])
    lower = np.tril(factors[..., :k], -1)
    lower[..., np.arange(k), np.arange(k)] = 1
    near(lower @ np.triu(factors[..., :k, :]), np.take_along_axis(x, order[..., None], -2))


@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_many_right_sides(dtype: str) -> None:
    """Threads share what stands beside each other, whichever side the triangle is on."""
    a = make((700, 700), dtype) / 100 + 20 * np.eye(700, dtype=dtype)
    b = make((700, 610), dtype)
    tolerance = 1e-2 if dtype == "complex64" else 1e-9
    for left in (True, False):
        right = b if left else b.T.copy()
        solve = functrace.jit(
            lambda a, b, left=left: lax.linalg.triangular_solve(a, b, left_side=left, lower=True)
        )
        x = solve(a, right)
        back = np.tril(a) @ x if left else x @ np.tril(a)
        np.testing.assert_allclose(back, right, rtol=tolerance, atol=tolerance)
        try:
            for helpers in (0, 1, 3):
                driver().limit_helpers(helpers)
                np.testing.assert_array_equal(solve(a, right), x)
        finally:
            driver().limit_helpers(thread_limit() - 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_block_by_block(dtype: str) -> None:
    """Large triangles and Cholesky factors, whose size is no multiple of a block's."""
    tolerance = 2e-3 if dtype in ("float32", "complex64") else 1e-9
    a = make((2, 230, 230), dtype) / 230 + 2 * np.eye(230, dtype=dtype)
    h = a @ a.conj().swapaxes(-1, -2)
    h = (h + h.conj().swapaxes(-1, -2)) / 2
    factor = functrace.jit(linalg.cholesky)(h)
    np.testing.assert_array_equal(factor, np.tril(factor))
    np.testing.assert_allclose(factor, np.linalg.cholesky(h), rtol=tolerance, atol=tolerance)
    h[1, -1, -1] = -1
    with pytest.raises(np.linalg.LinAlgError):
        functrace.jit(linalg.cholesky)(h)
    b = make((2, 230, 3), dtype)
    for flags in range(32):
        left, lower, transpose, conjugate, unit = (bool(flags >> k & 1) for k in range(5))
        right = b if left else b.swapaxes(-1, -2).copy()

        def solve(a: Any, b: Any, flags: tuple[bool, ...] = (left, lower, transpose)) -> Any:
            return lax.linalg.triangular_solve(
                a,
                b,
                left_side=flags[0],
                lower=flags[1],
                transpose_a=flags[2],
                conjugate_a=conjugate,  # noqa: B023 - called in this round only
                unit_diagonal=unit,  # noqa: B023
            )

        got, want = functrace.jit(solve)(a, right), solve(a, right)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [192, 251, 500])
def test_block_by_block_is_as_stable_as_lapack(dtype: str, n: int) -> None:
    """Nearly singular and badly scaled matrices: the factor's product differs by roundings."""
    eps = np.finfo(dtype).eps
    basis, _ = np.linalg.qr(np.random.default_rng(n).standard_normal((n, n)))
    spectrum = np.geomspace(1.0, 20 * n * eps, n)
    scales = np.geomspace(1.0, 1e6, n)
    flat = (basis * spectrum) @ basis.T
    for h in (flat, scales[:, None] * (flat + np.eye(n)) * scales):
        h = ((h + h.T) / 2).astype(dtype)
        factor = functrace.jit(linalg.cholesky)(h).astype(np.float64)
        size = np.sqrt(np.diag(h).astype(np.float64))
        error = np.abs(factor @ factor.T - h) / np.outer(size, size)
        assert error.max() < 4 * np.sqrt(n) * eps


def test_large_matrices_and_threads() -> None:
    """The bits of compiled factorisations don't depend on how many threads there are."""
    a = make((300, 300)) + 20 * np.eye(300)
    many = make((40, 30, 30))

    def all_of_them(a: Any, many: Any) -> Any:
        return (
            linalg.cholesky(a @ a.T), linalg.solve(a, a), linalg.eigvalsh(a), linalg.qr(a),
            linalg.inv(many), linalg.svd(many, False), linalg.eigh(many),
        )  # fmt: skip

    compiled = functrace.jit(all_of_them)
    flat = functrace.tree.leaves
    first = flat(compiled(a, many))
    np.testing.assert_allclose(first[1], np.eye(300), atol=1e-9)
    np.testing.assert_allclose(first[2], np.linalg.eigvalsh(symmetric(a)), rtol=1e-9)
    try:
        for helpers in (0, 1, 3):
            driver().limit_helpers(helpers)
            for got, want in zip(flat(compiled(a, many)), first):
                np.testing.assert_array_equal(got, want)
    finally:
        driver().limit_helpers(thread_limit() - 1)


# --- lax ---------------------------------------------------------------------------------------


def test_lax_names() -> None:
    x = definite((3, 3))
    v, w = lax.linalg.eigh(x)
    np.testing.assert_allclose(v @ np.diag(w) @ v.T, x)
    q, r = lax.linalg.qr(x)
    np.testing.assert_allclose(q @ r, x)
    u, s, vh = lax.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(u @ np.diag(s) @ vh, x)
    factors, pivots, permutation = lax.linalg.lu(x)
    lower, upper = np.tril(factors, -1) + np.eye(3), np.triu(factors)
    np.testing.assert_allclose(x[permutation], lower @ upper)
    np.testing.assert_array_equal(lax.linalg.lu_pivots_to_permutation(pivots, 3), permutation)
    factor = lax.linalg.cholesky(np.tril(x), symmetrize_input=False)
    np.testing.assert_allclose(factor @ factor.T, x)
    solved = lax.linalg.triangular_solve(factor, x, left_side=True, lower=True)
    np.testing.assert_allclose(factor @ solved, x)
    z = make((3, 3), "complex128")
    solved = lax.linalg.triangular_solve(z, z, conjugate_a=True)
    np.testing.assert_allclose(solved @ np.triu(z).conj(), z)
    check_grads(lambda a, b: lax.linalg.triangular_solve(a, b, lower=True), (x, x), 2)
