# ruff: noqa: N803 - matrices have capital letters, as in SciPy
"""Iterative solvers of linear systems given as functions, with implicit derivatives.

The matrix is a function of a vector, or an array; vectors may be trees of arrays. A derivative is
another solve with the same matrix, or its transpose, by the same method: it needs no memory of the
iterations. Everything compiles to one loop.

Example:
    >>> import numpy as np
    >>> from functrace.scipy.sparse.linalg import cg
    >>> matrix = np.array([[4.0, 1.0], [1.0, 3.0]])
    >>> x, _ = cg(lambda v: matrix @ v, np.array([1.0, 2.0]), tol=1e-10)
    >>> np.round(x, 6)
    array([0.090909, 0.636364])
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import functrace.numpy as fnp
from functrace import lax, tree
from functrace.api.pullback import linear_transpose
from functrace.core.arguments import flat_values
from functrace.core.aval import ShapedArray, ShapeDtypeStruct, is_array_like, typeof
from functrace.errors import ShapeError, StructureError, compose
from functrace.source_info import api_boundary

__all__ = ["bicgstab", "cg", "gmres"]

Vector = Any
"""A one-dimensional array: the leaves of a tree, one after the other."""
Operator = Callable[[Any], Any]


class _Space(NamedTuple):
    """The trees that a system is about, as vectors."""

    treedef: Any
    avals: tuple[ShapedArray, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, b: Any, *others: Any) -> _Space:
        """Return the space of a right side; matrices and guesses have a say in the dtype."""
        leaves, treedef = flat_values(b, "the right side")
        more = [v for v in tree.leaves(others) if is_array_like(v)]
        dtype = np.result_type(*(v.dtype for v in leaves), *(typeof(v).dtype for v in more))
        if dtype.kind not in "fc":
            dtype = np.dtype(np.float64)
        return cls(treedef, tuple(typeof(v).strong() for v in leaves), dtype)

    @property
    def size(self) -> int:
        return sum(a.size for a in self.avals)

    def vector(self, x: Any, what: str) -> Vector:
        """Return a tree as a vector."""
        leaves, found = tree.flatten(x)
        if found != self.treedef:
            raise StructureError(
                compose(
                    f"{what} has the structure {found}.",
                    f"the right side has the structure {self.treedef}.",
                )
            )
        shapes = [np.shape(v) if not hasattr(v, "shape") else v.shape for v in leaves]
        if shapes != [a.shape for a in self.avals]:
            raise ShapeError(
                compose(
                    f"{what} has leaves of shapes {shapes}.",
                    f"the right side has {[a.shape for a in self.avals]}.",
                )
            )
        if len(leaves) == 1:
            return fnp.reshape(leaves[0], (-1,)).astype(self.dtype)
        return fnp.concatenate([fnp.reshape(v, (-1,)).astype(self.dtype) for v in leaves])

    def tree(self, x: Vector) -> Any:
        """Return a vector as a tree."""
        leaves, start = [], 0
        for aval in self.avals:
            leaves.append(fnp.reshape(x[start : start + aval.size], aval.shape))
            start += aval.size
        return self.treedef.unflatten(leaves)

    def operator(self, A: Any, what: str) -> Operator:
        """Return a matrix, a function of trees or None (the identity) as a function of vectors."""
        if A is None:
            return lambda v: v
        if callable(A):
            return lambda v: self.vector(A(self.tree(v)), f"what {what} returned")
        if np.ndim(A) != 2 or A.shape[0] != A.shape[1]:
            raise ShapeError(f"{what} must be a function or a square matrix, not {typeof(A)}.")
        return lambda v: (A @ v).astype(self.dtype)


def _real_dot(x: Vector, y: Vector) -> Any:
    """Return the real part of the inner product."""
    return fnp.real(fnp.vdot(x, y)) if x.dtype.kind == "c" else fnp.dot(x, y)


def _tolerance(b: Vector, tol: float, atol: float) -> Any:
    """Return the square of how small the residual has to be."""
    return fnp.maximum(tol * tol * _real_dot(b, b), float(atol) ** 2)


def _unfinished(size: Any, enough: Any, k: Any) -> Any:
    """Whether a residual is too large; a NaN goes once through a step, into the solution."""
    return (size > enough) | (fnp.isnan(size) & (k == 0))


# --- conjugate gradients -----------------------------------------------------------------------


def _cg_solve(
    A: Operator, b: Vector, *, x0: Vector, tol: float, atol: float, maxiter: int, M: Operator
) -> Vector:
    enough = _tolerance(b, tol, atol)

    def goes_on(state: Any) -> Any:
        _, r, _, _, k = state
        return _unfinished(_real_dot(r, r), enough, k) & (k < maxiter)

    def step(state: Any) -> Any:
        x, r, gamma, p, k = state
        Ap = A(p)
        alpha = gamma / _real_dot(p, Ap)
        r = r - alpha * Ap
        z = M(r)
        new_gamma = _real_dot(r, z)
        return x + alpha * p, r, new_gamma, z + (new_gamma / gamma) * p, k + 1

    r = b - A(x0)
    z = M(r)
    return lax.while_loop(goes_on, step, (x0, r, _real_dot(r, z), z, 0))[0]


@api_boundary
def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """Solve ``A x = b`` by conjugate gradients; ``A`` must be Hermitian and positive definite.

    Args:
        A: the matrix: a linear function of trees like ``b``, or an array.
        b: the right side: an array, or a tree of arrays.
        x0: where to begin; zeros without it. The derivative in it is zero.
        tol: stop when the residual is smaller than ``tol`` times the right side,
        atol: or than ``atol``.
        maxiter: stop after so many steps; ten times the number of unknowns without it.
        M: a preconditioner: an approximate inverse of ``A``, as a function or an array.

    Returns:
        The solution, and None.

    Example:
        >>> import numpy as np
        >>> import functrace as ft
        >>> total = lambda d: np.sum(cg(lambda v: d * v, np.ones(2), tol=1e-12)[0])
        >>> np.round(ft.grad(total)(np.array([1.0, 2.0])), 6)
        array([-1.  , -0.25])
    """
    return _solved(_cg_solve, A, b, x0, tol, atol, maxiter, M, hermitian=True), None


# --- BiCGSTAB ----------------------------------------------------------------------------------


def _bicgstab_solve(
    A: Operator, b: Vector, *, x0: Vector, tol: float, atol: float, maxiter: int, M: Operator
) -> Vector:
    enough = _tolerance(b, tol, atol)

    def goes_on(state: Any) -> Any:
        _, r, _, _, _, _, broken, k = state
        return _unfinished(_real_dot(r, r), enough, k) & (k < maxiter) & ~broken

    def step(state: Any) -> Any:
        x, r, shadow, p, rho, _, _, k = state
        phat = M(p)
        v = A(phat)
        alpha = rho / fnp.vdot(shadow, v)
        s = r - alpha * v
        early = _real_dot(s, s) <= enough
        shat = M(s)
        t = A(shat)
        tt = _real_dot(t, t)
        omega = fnp.where(early | (tt == 0.0), 0.0, fnp.vdot(t, s) / fnp.where(tt == 0.0, 1.0, tt))
        x = x + alpha * phat + omega * shat
        r = s - omega * t
        new_rho = fnp.vdot(shadow, r)
        beta = (new_rho / rho) * (alpha / fnp.where(omega == 0.0, 1.0, omega))
        p = r + beta * (p - omega * v)
        broken = (new_rho == 0.0) | ((omega == 0.0) & ~early)
        return x, r, shadow, p, new_rho, omega, broken, k + 1

    r = b - A(x0)
    rho = fnp.vdot(r, r)
    start = (x0, r, r, r, rho, rho * 0.0, rho == 0.0, 0)
    return lax.while_loop(goes_on, step, start)[0]


@api_boundary
def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """Solve ``A x = b`` by stabilised bi-conjugate gradients, for any square matrix.

    Args:
        A: the matrix: a linear function of trees like ``b``, or an array.
        b: the right side: an array, or a tree of arrays.
        x0: where to begin; zeros without it. The derivative in it is zero.
        tol: stop when the residual is smaller than ``tol`` times the right side,
        atol: or than ``atol``.
        maxiter: stop after so many steps; ten times the number of unknowns without it.
        M: a preconditioner: an approximate inverse of ``A``, as a function or an array.

    Returns:
        The solution, and None.

    Example:
        >>> import numpy as np
        >>> matrix = np.array([[2.0, 1.0], [0.0, 3.0]])
        >>> np.round(bicgstab(matrix, np.array([3.0, 3.0]), tol=1e-10)[0], 6)
        array([1., 1.])
    """
    return _solved(_bicgstab_solve, A, b, x0, tol, atol, maxiter, M, hermitian=False), None


# --- GMRES -------------------------------------------------------------------------------------


def _gmres_solve(
    A: Operator,
    b: Vector,
    *,
    x0: Vector,
    tol: float,
    atol: float,
    maxiter: int,
    M: Operator,
    restart: int,
) -> Vector:
    mb = M(b)
    enough = fnp.sqrt(_tolerance(mb, tol, atol))

    def residual(x: Vector) -> tuple[Vector, Any]:
        r = M(b - A(x))
        return r, fnp.sqrt(_real_dot(r, r))

    def goes_on(state: Any) -> Any:
        _, _, norm, k = state
        return _unfinished(norm, enough, k) & (k < maxiter)

    def cycle(state: Any) -> Any:
        x, r, norm, k = state
        x = x + _krylov_step(lambda v: M(A(v)), r, norm, enough, restart)
        return x, *residual(x), k + 1

    return lax.while_loop(goes_on, cycle, (x0, *residual(x0), 0))[0]


def _krylov_step(A: Operator, r: Vector, norm: Any, enough: Any, restart: int) -> Vector:
    """Return the step that makes the residual smallest over a Krylov space of ``restart`` vectors.

    The space is spanned by Arnoldi's method, orthogonalised twice; Givens rotations keep the
    Hessenberg matrix triangular, so that the residual's norm is known at each step.
    """
    n, dtype = r.shape[0], r.dtype
    basis = fnp.at(fnp.zeros((restart + 1, n), dtype))[0].set(r / norm)
    triangle = fnp.eye(restart, dtype=dtype)
    rotations = fnp.zeros((restart, 2), dtype)
    right = fnp.at(fnp.zeros(restart + 1, dtype))[0].set(norm.astype(dtype))

    def goes_on(state: Any) -> Any:
        _, _, _, _, left, k = state
        return (k < restart) & _unfinished(left, enough, k)

    def step(state: Any) -> Any:
        basis, triangle, rotations, right, _, k = state
        v = A(fnp.take(basis, k, axis=0))
        column = fnp.conj(basis) @ v
        v = v - column @ basis
        again = fnp.conj(basis) @ v
        v, column = v - again @ basis, column + again
        length = fnp.sqrt(_real_dot(v, v))
        tiny = length <= np.finfo(dtype).eps * fnp.sqrt(_real_dot(column, column))
        v = fnp.where(tiny, 0.0, v / fnp.where(tiny, 1.0, length))
        length = fnp.where(tiny, 0.0, length).astype(dtype)
        column = fnp.at(column)[k + 1].set(length)
        column = lax.fori_loop(0, k, partial(_rotated, rotations), column)
        cosine, sine = _givens(fnp.take(column, k), fnp.take(column, k + 1))
        rotations = fnp.at(rotations)[k].set(fnp.stack([cosine, sine]))
        column = _rotated(rotations, k, column)
        right = _rotated(rotations, k, right)
        triangle = fnp.at(triangle)[:, k].set(column[:restart])
        left = fnp.abs(fnp.take(right, k + 1))
        return fnp.at(basis)[k + 1].set(v), triangle, rotations, right, left, k + 1

    start = (basis, triangle, rotations, right, norm, 0)
    basis, triangle, _, right, _, k = lax.while_loop(goes_on, step, start)
    known = fnp.where(fnp.arange(restart) < k, right[:restart], 0.0)
    parts = lax.linalg.triangular_solve(triangle, known[:, None], left_side=True)
    return parts[:, 0] @ basis[:restart]


def _rotated(rotations: Any, i: Any, column: Vector) -> Vector:
    """Apply the ``i``-th rotation to rows ``i`` and ``i + 1``."""
    cosine, sine = fnp.take(rotations[:, 0], i), fnp.take(rotations[:, 1], i)
    upper, lower = fnp.take(column, i), fnp.take(column, i + 1)
    column = fnp.at(column)[i].set(fnp.conj(cosine) * upper + fnp.conj(sine) * lower)
    return fnp.at(column)[i + 1].set(cosine * lower - sine * upper)


def _givens(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the rotation that turns ``(a, b)`` to ``(r, 0)``."""
    length = fnp.sqrt(fnp.abs(a) ** 2 + fnp.abs(b) ** 2)
    safe = fnp.where(length == 0.0, 1.0, length)
    return fnp.where(length == 0.0, 1.0, a / safe), b / safe


@api_boundary
def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    restart: int = 20,
    maxiter: int | None = None,
    M: Any = None,
    solve_method: str = "batched",
) -> tuple[Any, Any]:
    """Solve ``A x = b`` by restarted GMRES, for any square matrix.

    Args:
        A: the matrix: a linear function of trees like ``b``, or an array.
        b: the right side: an array, or a tree of arrays.
        x0: where to begin; zeros without it. The derivative in it is zero.
        tol: stop when the preconditioned residual is smaller than ``tol`` times the right side,
        atol: or than ``atol``.
        restart: the size of the Krylov space, whose vectors are kept.
        maxiter: stop after so many restarts; ten times the number of unknowns without it.
        M: a preconditioner: an approximate inverse of ``A``, as a function or an array.
        solve_method: ``"batched"`` or ``"incremental"``, as in JAX; both are the same here.

    Returns:
        The solution, and 0; or -1 if it isn't finite.

    Example:
        >>> import numpy as np
        >>> matrix = np.array([[2.0, 1.0], [0.0, 3.0]])
        >>> x, info = gmres(matrix, np.array([3.0, 3.0]), tol=1e-10)
        >>> np.round(x, 6), info
        (array([1., 1.]), np.int64(0))
    """
    if solve_method not in ("batched", "incremental"):
        raise ValueError(
            f"gmres: solve_method={solve_method!r} is neither 'batched' nor 'incremental'."
        )
    if restart < 1:
        raise ValueError(f"gmres: restart={restart} must be positive.")
    x = _solved(_gmres_solve, A, b, x0, tol, atol, maxiter, M, hermitian=False, restart=restart)
    failed = fnp.any(fnp.stack([fnp.any(~fnp.isfinite(v)) for v in tree.leaves(x)]))
    return x, fnp.where(failed, -1, 0)[()]


# --- what they share ---------------------------------------------------------------------------


def _solved(
    solve: Callable[..., Vector],
    A: Any,
    b: Any,
    x0: Any,
    tol: float,
    atol: float,
    maxiter: int | None,
    M: Any,
    *,
    hermitian: bool,
    restart: int | None = None,
) -> Any:
    """Return the solution as a tree, with implicit derivatives."""
    space = _Space.of(b, x0, A, M)
    right = space.vector(b, "the right side")
    guess = fnp.zeros(space.size, space.dtype)
    if x0 is not None:
        guess = space.vector(tree.map(lax.stop_gradient, x0), "x0")
    options: dict[str, Any] = {"tol": tol, "atol": atol, "M": space.operator(M, "M")}
    options["maxiter"] = 10 * space.size if maxiter is None else maxiter
    if restart is not None:
        options["restart"] = min(restart, max(space.size, 1))
    matrix = space.operator(A, "A")
    zero = fnp.zeros(space.size, space.dtype)
    # The guess and the preconditioner are meant for this system, not for its transpose.
    transposed = options if M is None else {**options, "M": _transposed(options["M"], zero)}
    x = lax.custom_linear_solve(
        matrix,
        right,
        lambda A, b: solve(A, b, x0=guess, **options),
        lambda A, b: solve(A, b, x0=zero, **transposed),
        symmetric=hermitian and space.dtype.kind == "f",
    )
    return space.tree(x)


def _transposed(operator: Operator, like: Vector) -> Operator:
    """Return the transpose of a linear function of vectors."""
    return lambda v: linear_transpose(operator, ShapeDtypeStruct(like.shape, like.dtype))(v)[0]
