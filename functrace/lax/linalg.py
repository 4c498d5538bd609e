"""functrace.lax.linalg: the factorisations, with JAX's names, arguments and order of results."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.lax.operands import array, matching
from functrace.ops import cholesky as cholesky_ops
from functrace.ops import eigen, triangular
from functrace.ops import lu as lu_ops
from functrace.ops import qr as qr_ops
from functrace.ops import svd as svd_ops
from functrace.ops.creation import convert_element_type

__all__ = [
    "cholesky",
    "eigh",
    "lu",
    "lu_pivots_to_permutation",
    "qr",
    "svd",
    "triangular_solve",
]


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """Lower triangle L with ``x = L L^H``, for Hermitian positive definite matrices.

    Args:
        x: the matrices.
        symmetrize_input: use ``(x + x^H) / 2``; else the lower triangle alone is read.

    Raises:
        LinAlgError: a matrix is not positive definite.

    Example:
        >>> import numpy as np
        >>> cholesky(np.array([[4.0]]))
        array([[2.]])
    """
    x = array(x, "lax.linalg.cholesky")
    return cholesky_ops.cholesky(x, symmetrize_input=symmetrize_input)


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """Solution of ``op(a) x = b``, or of ``x op(a) = b``, for a triangle ``a``.

    Args:
        a: square matrices, of which one triangle is read.
        b: matrices, with the same axes before the last two.
        left_side: whether ``a`` stands to the left of ``x``.
        lower: which triangle.
        transpose_a: ``op`` transposes.
        conjugate_a: ``op`` conjugates.
        unit_diagonal: the diagonal counts as ones and isn't read.

    Example:
        >>> import numpy as np
        >>> triangular_solve(np.array([[2.0]]), np.array([[4.0]]))
        array([[2.]])
    """
    a, b = matching("lax.linalg.triangular_solve", a, b)
    return triangular.triangular_solve(
        a,
        b,
        left_side=left_side,
        lower=lower,
        transpose_a=transpose_a,
        conjugate_a=conjugate_a,
        unit_diagonal=unit_diagonal,
    )


def lu(x: Any) -> tuple[Any, Any, Any]:
    """LU factorisation with row exchanges.

    Returns:
        ``(factors, pivots, permutation)``: L below the diagonal and U from it on, in one matrix;
        with which row each row was exchanged, in order; and ``x[permutation] = L @ U``.

    Example:
        >>> import numpy as np
        >>> lu(np.array([[0.0, 1.0], [2.0, 3.0]]))[2]
        array([1, 0], dtype=int32)
    """
    factors, pivots, permutation = lu_ops.lu(array(x, "lax.linalg.lu"))
    return factors, pivots, permutation


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """Permutation of ``permutation_size`` rows that the row exchanges of ``lu`` make.

    Example:
        >>> import numpy as np
        >>> lu_pivots_to_permutation(np.array([1, 1]), 2)
        array([1, 0], dtype=int32)
    """
    pivots = convert_element_type(array(pivots, "lax.linalg"), np.dtype(np.int32))
    return lu_ops.lu_pivots_to_permutation(pivots, permutation_size)


def qr(x: Any, *, full_matrices: bool = True) -> tuple[Any, Any]:
    """Orthonormal Q and upper triangle R with ``x = Q R``.

    Args:
        x: the matrices.
        full_matrices: a square Q; it has a derivative only if the matrix isn't narrower.

    Example:
        >>> import numpy as np
        >>> qr(np.eye(1))[1]
        array([[1.]])
    """
    q, r = qr_ops.qr(array(x, "lax.linalg.qr"), full_matrices=full_matrices)
    return q, r


def eigh(
    x: Any, *, lower: bool = True, symmetrize_input: bool = True, sort_eigenvalues: bool = True
) -> tuple[Any, Any]:
    """Eigenvectors, as columns, and ascending eigenvalues of Hermitian matrices.

    Args:
        x: the matrices.
        lower: which triangle is read, if ``symmetrize_input`` is False.
        symmetrize_input: use ``(x + x^H) / 2``.
        sort_eigenvalues: accepted; they are always sorted.

    Example:
        >>> import numpy as np
        >>> eigh(np.diag([3.0, 1.0]))[1]
        array([1., 3.])
    """
    x = array(x, "lax.linalg.eigh")
    w, v = eigen.eigh(cholesky_ops.symmetrized(x) if symmetrize_input else x, lower=lower)
    return v, w


def svd(x: Any, *, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Singular vectors and values: ``(u, s, vh)``, or ``s`` alone.

    Args:
        x: the matrices.
        full_matrices: all vectors; those of matrices that aren't square have no derivative.
        compute_uv: the vectors too.

    Example:
        >>> import numpy as np
        >>> svd(np.diag([3.0, -4.0]), compute_uv=False)
        array([4., 3.])
    """
    x = array(x, "lax.linalg.svd")
    outs = svd_ops.svd(x, full_matrices=full_matrices, compute_uv=compute_uv)
    return tuple(outs) if compute_uv else outs[0]
