"""functrace.scipy.linalg: SciPy's own functions on plain arrays, traced versions of them else.

Arguments that ask for speed or checks of values (``overwrite_a``, ``check_finite``, ...) are
accepted and ignored for traced arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from functrace.numpy import factorizations as np_linalg
from functrace.numpy.dispatching import has_tracer
from functrace.ops import cholesky as cholesky_ops
from functrace.ops import lu as lu_ops
from functrace.ops import structural, triangular
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type
from functrace.ops.joining import slice_in_dim
from functrace.ops.matrices import adjoint, identity, swap, tril, triu
from functrace.ops.promotion import broadcast_shapes

__all__ = [
    "cho_factor",
    "cho_solve",
    "cholesky",
    "det",
    "inv",
    "lu",
    "lu_factor",
    "lu_solve",
    "solve",
    "solve_triangular",
]

F = TypeVar("F", bound=Callable[..., Any])
_TRANS = {0: 0, 1: 1, 2: 2, "N": 0, "T": 1, "C": 2}


@functools.cache
def _scipy(name: str) -> Any:
    """Return SciPy's function; SciPy is imported when the first is used."""
    import scipy.linalg

    return getattr(scipy.linalg, name)


def _scipy_function(traced: F) -> F:
    """Make a function SciPy's own of the same name, unless an argument is traced."""
    name = traced.__name__

    @functools.wraps(traced)
    def function(*args: Any, **kwargs: Any) -> Any:
        if has_tracer(args) or (kwargs and has_tracer(tuple(kwargs.values()))):
            return traced(*args, **kwargs)
        return _scipy(name)(*args, **kwargs)

    return function  # type: ignore[return-value]


def _with_columns(a: Any, b: Any, solve: Callable[[Any, Any], Any]) -> Any:
    """Return ``solve(a, b)`` for a vector or columns ``b``, with the batch axes of both."""
    a, b = np_linalg.operands(a, b)
    np_linalg.check_stacked(a)
    np_linalg.check_square(a)
    vector = len(b.shape) == 1
    if vector:
        b = structural.expand_dims(b, (1,))
    if b.shape[-2] != a.shape[-1]:
        raise ValueError(f"incompatible shapes: a has {a.shape}, b has {b.shape}")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = broadcast_to(a, (*batch, *a.shape[-2:]))
    out = solve(a, broadcast_to(b, (*batch, *b.shape[-2:])))
    return structural.squeeze(out, (len(out.shape) - 1,)) if vector else out


# --- triangles ---------------------------------------------------------------------------------


@_scipy_function
def solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """Solution of ``op(a) x = b`` for a triangle ``a``; as ``scipy.linalg.solve_triangular``.

    Traced, a zero on the diagonal gives infinities instead of an error.

    Args:
        a: square matrices, of which one triangle is read.
        b: a vector or columns.
        trans: 0 or "N", 1 or "T" (transposed), 2 or "C" (transposed and conjugated).
        lower: which triangle.
        unit_diagonal: the diagonal counts as ones.
        overwrite_b, check_finite: accepted.

    Example:
        >>> import numpy as np
        >>> solve_triangular(np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([2.0, 3.0]), lower=True)
        array([1., 2.])
    """
    kind = _TRANS[trans]
    return _with_columns(
        a,
        b,
        lambda a, b: triangular.triangular_solve(
            a,
            b,
            left_side=True,
            lower=lower,
            transpose_a=kind > 0,
            conjugate_a=kind == 2,
            unit_diagonal=unit_diagonal,
        ),
    )


@_scipy_function
def cholesky(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """Triangle of a Hermitian positive definite matrix; as ``scipy.linalg.cholesky``.

    It is U with ``a = U^H U``, or L with ``a = L L^H`` if ``lower``. Traced, ``a`` counts as
    ``(a + a^H) / 2``.

    Raises:
        LinAlgError: a matrix is not positive definite.
    """
    factor = cholesky_ops.cholesky(np_linalg.matrices(a, square=True))
    return factor if lower else adjoint(factor)


@_scipy_function
def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, bool]:
    """Triangle for ``cho_solve``, and which one it is; as ``scipy.linalg.cho_factor``.

    Traced, the other triangle holds zeros.
    """
    factor = cholesky_ops.cholesky(np_linalg.matrices(a, square=True))
    return (factor if lower else adjoint(factor)), lower


@_scipy_function
def cho_solve(
    c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """Solution of ``a x = b`` by what ``cho_factor(a)`` gave; as ``scipy.linalg.cho_solve``.

    Example:
        >>> import numpy as np
        >>> cho_solve(cho_factor(np.array([[4.0]])), np.array([8.0]))
        array([2.])
    """
    factor, lower = c_and_lower

    def both(c: Any, b: Any) -> Any:
        for transposed in (not lower, bool(lower)):
            b = triangular.triangular_solve(
                c,
                b,
                left_side=True,
                lower=bool(lower),
                transpose_a=transposed,
                conjugate_a=transposed,
            )
        return b

    return _with_columns(factor, b, both)


# --- lu ----------------------------------------------------------------------------------------


@_scipy_function
def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """Both factors in one matrix, and the row exchanges; as ``scipy.linalg.lu_factor``."""
    factors, pivots, _ = lu_ops.lu(np_linalg.matrices(a))
    return factors, pivots


@_scipy_function
def lu_solve(
    lu_and_piv: tuple[Any, Any],
    b: Any,
    trans: int = 0,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """Solution of ``op(a) x = b`` by what ``lu_factor(a)`` gave; as ``scipy.linalg.lu_solve``."""
    factors, pivots = lu_and_piv
    kind = _TRANS[trans]
    pivots = convert_element_type(pivots, np.dtype(np.int32))

    def solved(factors: Any, b: Any) -> Any:
        n = factors.shape[-1]
        order = lu_ops.lu_pivots_to_permutation(pivots, n)
        order = broadcast_to(order, (*factors.shape[:-2], n))
        if not kind:
            return lu_ops.lu_solve(factors, order, b)
        # a^T = U^T L^T P: the rows go back at the end, by the transposed permutation.
        flags = {"left_side": True, "transpose_a": True, "conjugate_a": kind == 2}
        x = triangular.triangular_solve(factors, b, **flags)
        x = triangular.triangular_solve(factors, x, lower=True, unit_diagonal=True, **flags)
        return lu_ops.permute_rows(x, lu_ops.inverse_order(order))

    return _with_columns(factors, b, solved)


@_scipy_function
def lu(
    a: Any,
    permute_l: bool = False,
    overwrite_a: bool = False,
    check_finite: bool = True,
    p_indices: bool = False,
) -> tuple[Any, ...]:
    """``a = P L U``, factor by factor; as ``scipy.linalg.lu``.

    Args:
        a: the matrices.
        permute_l: return ``P L`` and U.
        overwrite_a, check_finite: accepted.
        p_indices: return the rows of ``L U`` that are those of ``a`` instead of P.
    """
    x = np_linalg.matrices(a)
    factors, _, permutation = lu_ops.lu(x)
    m, n = x.shape[-2:]
    k, last = min(m, n), len(x.shape) - 1
    left = tril(slice_in_dim(factors, 0, k, axis=last), -1)
    left = left + identity(left.shape, left.dtype)
    upper = triu(slice_in_dim(factors, 0, k, axis=last - 1))
    back = lu_ops.inverse_order(permutation)
    if permute_l:
        return lu_ops.permute_rows(left, back), upper
    if p_indices:
        return back, left, upper
    dtype = np.empty(0, x.dtype).real.dtype
    eye = identity((*x.shape[:-2], m, m), dtype)
    return lu_ops.permute_rows(eye, back), left, upper


# --- whole systems -----------------------------------------------------------------------------


@_scipy_function
def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    assume_a: str | None = None,
    transposed: bool = False,
) -> Any:
    """Solution of ``a x = b``; as ``scipy.linalg.solve``.

    Args:
        a: square matrices.
        b: a vector or columns.
        lower: which triangle, for ``assume_a="pos"``.
        overwrite_a, overwrite_b, check_finite: accepted.
        assume_a: ``"pos"`` solves by the Cholesky factor; any other by LU.
        transposed: solve ``a^T x = b``.

    Raises:
        LinAlgError: a matrix has no inverse, or isn't positive definite.
    """
    if assume_a in ("pos", "positive definite"):
        return cho_solve(cho_factor(a, lower=lower), b)
    if transposed:
        a = swap(np_linalg.matrices(a, square=True))
    return np_linalg.solve(a, b)


@_scipy_function
def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True, **options: Any) -> Any:
    """Inverse matrices; as ``scipy.linalg.inv``."""
    return np_linalg.inv(a)


@_scipy_function
def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Determinants; as ``scipy.linalg.det``."""
    return np_linalg.det(a)
