"""Implicit derivatives: roots, linear solves, and the iterative solvers made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.errors import MissingRuleError, ShapeError, StructureError
from functrace.scipy.sparse.linalg import bicgstab, cg, gmres

RNG = np.random.default_rng(0)
N = 9
B = RNG.normal(size=(N, N))
SYMMETRIC = B @ B.T + N * np.eye(N)
GENERAL = B + 9.0 * np.eye(N)
b = RNG.normal(size=N)


def forms(f: Any) -> list[Any]:
    return [f, ft.jit(f)]


# --- roots -------------------------------------------------------------------------------------


def newton(f: Any, x: Any) -> Any:
    return lax.while_loop(lambda x: abs(f(x)) > 1e-13, lambda x: x - f(x) / ft.grad(f)(x), x)


def newton_in_python(f: Any, x: Any) -> Any:
    while abs(f(x)) > 1e-13:
        x = x - f(x) / ft.grad(f)(x)
    return x


def square_root(solve: Any) -> Any:
    return lambda a: lax.custom_root(lambda x: x**2 - a, 1.0, solve, lambda g, y: y / g(1.0))


def test_derivatives_of_a_root() -> None:
    roots = square_root(newton)
    for f in forms(roots):
        np.testing.assert_allclose(f(4.0), 2.0)
        np.testing.assert_allclose(ft.grad(f)(4.0), 0.25)
        np.testing.assert_allclose(ft.jvp(f, (4.0,), (2.0,))[1], 0.5)
        np.testing.assert_allclose(ft.grad(ft.grad(f))(4.0), -1.0 / 32.0)
        np.testing.assert_allclose(ft.jit(ft.grad(f))(4.0), 0.25)
        lanes = ft.vmap(ft.grad(f))(np.array([1.0, 4.0, 9.0]))
        np.testing.assert_allclose(lanes, [0.5, 0.25, 1.0 / 6.0])


def test_a_root_found_by_python() -> None:
    f = square_root(newton_in_python)
    np.testing.assert_allclose(f(4.0), 2.0)
    np.testing.assert_allclose(ft.grad(f)(4.0), 0.25)
    np.testing.assert_allclose(ft.grad(ft.grad(f))(4.0), -1.0 / 32.0)


def test_roots_of_vectors_with_auxiliary_data() -> None:
    def root(a: Any) -> Any:
        def f(x: Any) -> Any:
            return {"u": x["u"] ** 2 - a[0], "v": x["v"] * x["u"] - a[1]}

        def solve(f: Any, x: Any) -> Any:
            del f, x
            u = fnp.sqrt(lax.stop_gradient(a[0]))
            return {"u": u, "v": lax.stop_gradient(a[1]) / u}, {"steps": 3, "norm": 0.5}

        def tangent_solve(g: Any, y: Any) -> Any:
            columns = [g({"u": p, "v": q}) for p, q in ((1.0, 0.0), (0.0, 1.0))]
            matrix = fnp.stack([fnp.stack([c[k] for c in columns]) for k in "uv"])
            u, v = fnp.linalg.solve(matrix, fnp.stack([y["u"], y["v"]]))
            return {"u": u, "v": v}

        guess = {"u": 1.0, "v": 1.0}
        found, aux = lax.custom_root(f, guess, solve, tangent_solve, has_aux=True)
        assert set(aux) == {"steps", "norm"}
        return fnp.stack([found["u"], found["v"]])

    a = np.array([4.0, 6.0])
    wanted = [[0.25, 0.0], [-0.375, 0.5]]
    for f in forms(root):
        np.testing.assert_allclose(f(a), [2.0, 3.0])
        np.testing.assert_allclose(ft.jacfwd(f)(a), wanted)
        np.testing.assert_allclose(ft.jacrev(f)(a), wanted)


def test_wrong_functions_of_a_root_are_refused() -> None:
    def root(a: Any, f: Any, solve: Any = newton) -> Any:
        return lax.custom_root(lambda x: f(x, a), 1.0, solve, lambda g, y: y / g(1.0))

    with pytest.raises(StructureError, match="structure of its argument"):
        ft.grad(lambda a: root(a, lambda x, a: (x - a, x)))(1.0)
    with pytest.raises(ShapeError, match="keep the shapes"):
        ft.grad(lambda a: root(a, lambda x, a: x - a * np.ones(2)))(1.0)
    with pytest.raises(StructureError, match="solve returned"):
        ft.grad(lambda a: root(a, lambda x, a: x - a, lambda f, x: (x, x)))(1.0)


# --- linear solves -----------------------------------------------------------------------------


def by_function(matrix: Any, right: Any, **options: Any) -> Any:
    given = {
        "transpose_solve": lambda vecmat, r: fnp.linalg.solve(matrix.T, r),
        **options,
    }
    return lax.custom_linear_solve(
        lambda x: matrix @ x, right, lambda matvec, r: fnp.linalg.solve(matrix, r), **given
    )


def loss(solve: Any) -> Any:
    return lambda matrix, right: np.sum(np.sin(solve(matrix, right)))


def check_derivatives(solve: Any, matrix: Any, rtol: float) -> None:
    plain = loss(fnp.linalg.solve)
    tight = {"rtol": rtol, "atol": 1e-9}
    for f in forms(loss(solve)):
        for grad in (ft.grad(f, (0, 1)), ft.jit(ft.grad(f, (0, 1)))):
            for got, wanted in zip(grad(matrix, b), ft.grad(plain, (0, 1))(matrix, b)):
                np.testing.assert_allclose(got, wanted, **tight)
        moved = (matrix, 3.0 * b)
        np.testing.assert_allclose(
            ft.jvp(f, (matrix, b), moved)[1], ft.jvp(plain, (matrix, b), moved)[1], **tight
        )
        lanes = ft.vmap(ft.grad(f, 1), in_axes=(None, 0))(matrix, np.stack([b, 2.0 * b]))
        wanted = [ft.grad(plain, 1)(matrix, b), ft.grad(plain, 1)(matrix, 2.0 * b)]
        np.testing.assert_allclose(lanes, wanted, **tight)
        lanes = ft.vmap(ft.grad(f, 1), in_axes=(0, None))(np.stack([matrix, 2.0 * matrix]), b)
        wanted = [ft.grad(plain, 1)(matrix, b), ft.grad(plain, 1)(2.0 * matrix, b)]
        np.testing.assert_allclose(lanes, wanted, **tight)


def test_derivatives_of_a_linear_solve() -> None:
    check_derivatives(by_function, GENERAL, 1e-9)
    plain, f = loss(fnp.linalg.solve), loss(by_function)
    for form in forms(f):
        wanted = ft.hessian(plain, 1)(GENERAL, b)
        np.testing.assert_allclose(ft.hessian(form, 1)(GENERAL, b), wanted, rtol=1e-9)
        np.testing.assert_allclose(ft.jacrev(ft.grad(form, 1), 1)(GENERAL, b), wanted, rtol=1e-9)


def test_reverse_mode_needs_a_transposed_solver() -> None:
    f = loss(lambda m, r: by_function(m, r, transpose_solve=None))
    ft.jvp(f, (GENERAL, b), (GENERAL, b))
    for form in forms(f):
        with pytest.raises(MissingRuleError, match="transpose_solve"):
            ft.grad(form, 1)(GENERAL, b)
    symmetric = loss(lambda m, r: by_function(m, r, transpose_solve=None, symmetric=True))
    got = ft.grad(symmetric, 1)(SYMMETRIC, b)
    wanted = ft.grad(loss(fnp.linalg.solve), 1)(SYMMETRIC, b)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)


def test_trees_and_auxiliary_data() -> None:
    def f(a: Any, right: Any) -> Any:
        x, aux = lax.custom_linear_solve(
            lambda x: {"p": a * x["p"], "q": 2.0 * x["q"]},
            right,
            lambda matvec, r: ({"p": r["p"] / a, "q": r["q"] / 2.0}, {"n": 1}),
            symmetric=True,
            has_aux=True,
        )
        assert set(aux) == {"n"}
        return x["p"] + np.sum(x["q"])

    right = {"p": 6.0, "q": np.ones(2)}
    for form in forms(f):
        ga, gb = ft.grad(form, (0, 1))(3.0, right)
        np.testing.assert_allclose(ga, -6.0 / 9.0)
        np.testing.assert_allclose(gb["p"], 1.0 / 3.0)
        np.testing.assert_allclose(gb["q"], [0.5, 0.5])


# --- iterative solvers -------------------------------------------------------------------------

SOLVERS = [(cg, SYMMETRIC), (bicgstab, GENERAL), (gmres, GENERAL)]
solvers = pytest.mark.parametrize(("solver", "matrix"), SOLVERS, ids=["cg", "bicgstab", "gmres"])
PRECONDITIONER = np.diag(1.0 / np.arange(5.0, 5.0 + N))


@solvers
@pytest.mark.parametrize("options", [{}, {"M": PRECONDITIONER}, {"x0": np.ones(N)}])
def test_solutions(solver: Any, matrix: Any, options: Any) -> None:
    wanted = np.linalg.solve(matrix, b)
    for form in forms(lambda m, r: solver(lambda v: m @ v, r, tol=1e-12, **options)[0]):
        np.testing.assert_allclose(form(matrix, b), wanted, rtol=1e-8)
    np.testing.assert_allclose(solver(matrix, b, tol=1e-12, **options)[0], wanted, rtol=1e-8)


@solvers
def test_derivatives_of_iterative_solutions(solver: Any, matrix: Any) -> None:
    check_derivatives(lambda m, r: solver(lambda v: m @ v, r, tol=1e-13)[0], matrix, 1e-7)


@solvers
def test_preconditioned_derivatives_use_its_transpose(solver: Any, matrix: Any) -> None:
    triangle = np.linalg.inv(np.tril(matrix)) if solver is not cg else PRECONDITIONER

    def f(r: Any) -> Any:
        return np.sum(solver(matrix, r, tol=1e-13, M=lambda v: triangle @ v)[0] ** 2)

    wanted = ft.grad(lambda r: np.sum(fnp.linalg.solve(matrix, r) ** 2))(b)
    np.testing.assert_allclose(ft.grad(f)(b), wanted, rtol=1e-7)


@solvers
def test_trees_dtypes_and_complex_systems(solver: Any, matrix: Any) -> None:
    def operator(t: Any) -> Any:
        return {"u": 2.0 * t["u"], "v": (3.0 * t["v"][0],)}

    x = solver(operator, {"u": np.ones(2), "v": (np.ones((2, 3)),)}, tol=1e-10)[0]
    np.testing.assert_allclose(x["u"], 0.5)
    np.testing.assert_allclose(x["v"][0], 1.0 / 3.0)
    single = solver(matrix.astype("f4"), b.astype("f4"))[0]
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, np.linalg.solve(matrix, b), rtol=1e-3, atol=1e-4)
    skew = 1j * (B - B.T)
    system, right = matrix + 0.2 * skew, b + 1j * b[::-1]
    np.testing.assert_allclose(
        solver(system, right, tol=1e-12)[0], np.linalg.solve(system, right), rtol=1e-8
    )


@solvers
def test_zero_right_side_and_few_iterations(solver: Any, matrix: Any) -> None:
    np.testing.assert_array_equal(solver(matrix, np.zeros(N))[0], np.zeros(N))
    rough = solver(matrix, b, maxiter=1, **({"restart": 2} if solver is gmres else {}))[0]
    exact = np.linalg.solve(matrix, b)
    assert 0.0 < np.linalg.norm(rough - exact) < np.linalg.norm(exact)


def test_gmres_restarts_and_reports() -> None:
    for method in ("batched", "incremental"):
        x, info = gmres(GENERAL, b, tol=1e-12, restart=3, maxiter=200, solve_method=method)
        np.testing.assert_allclose(x, np.linalg.solve(GENERAL, b), rtol=1e-8)
        assert info == 0
    assert gmres(GENERAL, b * np.nan)[1] == -1
    for solver, matrix in SOLVERS:
        assert np.isnan(solver(matrix, b * np.nan)[0]).all()
    with pytest.raises(ValueError, match="solve_method"):
        gmres(GENERAL, b, solve_method="fast")


def test_systems_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ShapeError, match="square matrix"):
        cg(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ShapeError, match="leaves of shapes"):
        cg(lambda v: v[:1], np.ones(2))
    with pytest.raises(StructureError, match="has the structure"):
        cg(lambda v: (v, v), np.ones(2))
