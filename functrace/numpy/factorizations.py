"""Linear systems and factorisations of functrace.numpy.linalg.

All take batches: matrices in the last two axes. Hermitian arguments of traced functions count as
``(a + a^H) / 2``, so that gradients are Hermitian too; NumPy's read one triangle alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.errors import MissingRuleError, compose
from functrace.numpy.dispatching import constant, numpy_function, operand
from functrace.numpy.reductions import squared_modulus
from functrace.ops import cholesky as cholesky_ops
from functrace.ops import eigen, structural
from functrace.ops import qr as qr_ops
from functrace.ops import solve as solve_ops
from functrace.ops import svd as svd_ops
from functrace.ops.broadcasting import broadcast_in_dim, broadcast_to, reduce_sum
from functrace.ops.creation import convert_element_type
from functrace.ops.joining import slice_in_dim
from functrace.ops.logical import gt
from functrace.ops.matrices import adjoint, identity, matmul
from functrace.ops.promotion import broadcast_shapes, promote_dtypes, result_dtype

__all__ = [
    "cholesky",
    "det",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matrix_rank",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
]

LinAlgError = np.linalg.LinAlgError
_FLOAT64 = np.dtype(np.float64)
_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)
# NumPy's own named tuples have no public names.
_ONE = np.ones((1, 1))
QRResult: Any = type(np.linalg.qr(_ONE))
EighResult: Any = type(np.linalg.eigh(_ONE))
SVDResult: Any = type(np.linalg.svd(_ONE))
SlogdetResult: Any = type(np.linalg.slogdet(_ONE))

# --- operands ----------------------------------------------------------------------------------


def operands(*xs: Any) -> list[Any]:
    """Return arrays of the dtype in which NumPy's linalg computes."""
    arrays = [operand(x) for x in xs]
    dtype = result_dtype(*arrays)
    if dtype == np.float16:
        raise TypeError("array type float16 is unsupported in linalg")
    if dtype.kind not in "fc":
        dtype = _FLOAT64
    return [convert_element_type(x, dtype) for x in arrays]


def matrices(a: Any, square: bool = False) -> Any:
    """Return a batch of matrices.

    Raises:
        LinAlgError: it has fewer than two axes, or isn't square where it must be.
    """
    (x,) = operands(a)
    check_stacked(x)
    if square:
        check_square(x)
    return x


def check_stacked(x: Any) -> None:
    """Raise NumPy's error for fewer than two axes."""
    ndim = len(x.shape)
    if ndim < 2:
        raise LinAlgError(f"{ndim}-dimensional array given. Array must be at least two-dimensional")


def check_square(x: Any) -> None:
    """Raise NumPy's error for matrices that aren't square."""
    if x.shape[-1] != x.shape[-2]:
        raise LinAlgError("Last 2 dimensions of the array must be square")


# --- linear systems ----------------------------------------------------------------------------


@numpy_function(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """Solution ``x`` of ``a @ x = b`` for square ``a``; as ``numpy.linalg.solve``.

    Args:
        a: square matrices.
        b: a vector (one axis), or matrices whose columns are right sides.

    Raises:
        LinAlgError: a matrix has no inverse; when it is found, compiled or not.

    Example:
        >>> import numpy as np
        >>> solve(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([2.0, 2.0]))
        array([1. , 0.5])
    """
    a, b = operands(a, b)
    check_stacked(a)
    check_square(a)
    vector = len(b.shape) == 1
    if vector:
        b = structural.expand_dims(b, (1,))
    n = a.shape[-1]
    if not b.shape or b.shape[-2] != n:
        raise ValueError(f"solve: a mismatch of dimensions: a has shape {a.shape}, b has {b.shape}")
    out = _solve_columns(a, b)
    return structural.squeeze(out, (len(out.shape) - 1,)) if vector else out


def _solve_columns(a: Any, b: Any) -> Any:
    """Solve for batches that broadcast; one matrix for many right sides is factored once."""
    n, ndim = a.shape[-1], len(b.shape)
    if len(a.shape) == 2 and ndim > 2:
        order = (ndim - 2, *range(ndim - 2), ndim - 1)
        moved = structural.transpose(b, order)
        flat = structural.reshape(moved, (n, math.prod(moved.shape[1:])))
        out = structural.reshape(solve_ops.solve(a, flat), moved.shape)
        return structural.transpose(out, structural.inverse_permutation(order))
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = broadcast_to(a, (*batch, n, n))
    return solve_ops.solve(a, broadcast_to(b, (*batch, *b.shape[-2:])))


@numpy_function(np.linalg.inv)
def inv(a: Any) -> Any:
    """Inverse matrices; as ``numpy.linalg.inv``.

    Raises:
        LinAlgError: a matrix has no inverse.

    Example:
        >>> import numpy as np
        >>> inv(np.array([[2.0, 0.0], [0.0, 4.0]]))
        array([[0.5 , 0.  ],
               [0.  , 0.25]])
    """
    x = matrices(a, square=True)
    return solve_ops.solve(x, identity(x.shape, x.dtype))


@numpy_function(np.linalg.det)
def det(a: Any) -> Any:
    """Determinants; as ``numpy.linalg.det``.

    The derivative exists for matrices without inverse too: exactly up to three rows; for more of
    them it is nan where elimination meets a zero before the last pivot.

    Example:
        >>> import numpy as np
        >>> det(np.array([[0.0, 1.0], [1.0, 0.0]]))
        np.float64(-1.0)
    """
    return solve_ops.det(matrices(a, square=True))


@numpy_function(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """Sign and logarithm of the size of determinants; as ``numpy.linalg.slogdet``.

    Example:
        >>> import numpy as np
        >>> slogdet(np.eye(2))
        SlogdetResult(sign=np.float64(1.0), logabsdet=np.float64(0.0))
    """
    return SlogdetResult(*solve_ops.slogdet(matrices(a, square=True)))


@numpy_function(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """Solution of ``tensordot(a, x, x.ndim) = b``; as ``numpy.linalg.tensorsolve``."""
    a, b = operands(a, b)
    ndim = len(a.shape)
    if axes is not None:
        order = [k for k in range(ndim) if k not in axes]
        a = structural.transpose(a, (*order, *axes))
    found = a.shape[len(b.shape) - ndim :]
    size = math.prod(found)
    if math.prod(a.shape) != size * size:
        raise LinAlgError(
            "Input arrays must satisfy the requirement             "
            "prod(a.shape[b.ndim:]) == prod(a.shape[:b.ndim])"
        )
    flat = structural.reshape(b, (size, 1))
    return structural.reshape(solve(structural.reshape(a, (size, size)), flat), found)


@numpy_function(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """Inverse of ``tensordot(a, ., ind)``; as ``numpy.linalg.tensorinv``."""
    (a,) = operands(a)
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    outer, inner = a.shape[:ind], a.shape[ind:]
    size = math.prod(inner)
    return structural.reshape(
        inv(structural.reshape(a, (math.prod(outer), size))), (*inner, *outer)
    )


# --- factorisations ----------------------------------------------------------------------------


@numpy_function(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """Triangle L with ``a = L L^H`` for Hermitian positive definite ``a``.

    As ``numpy.linalg.cholesky``. Traced, ``a`` counts as ``(a + a^H) / 2``.

    Args:
        a: the matrices.
        upper: return ``L^H``.

    Raises:
        LinAlgError: a matrix is not positive definite; when it is found, compiled or not.

    Example:
        >>> import numpy as np
        >>> cholesky(np.array([[4.0, 2.0], [2.0, 5.0]]))
        array([[2., 0.],
               [1., 2.]])
    """
    out = cholesky_ops.cholesky(matrices(a, square=True))
    return adjoint(out) if upper else out


@numpy_function(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Orthonormal Q and upper triangle R with ``a = Q R``; as ``numpy.linalg.qr``.

    Args:
        a: the matrices.
        mode: ``"reduced"``, ``"complete"``, or ``"r"`` for R alone.

    Raises:
        NotImplementedError: mode ``"raw"``, or the derivative of a complete Q that is wider than
            the matrix.

    Example:
        >>> import numpy as np
        >>> qr(np.array([[2.0, 1.0], [0.0, 3.0]])).R
        array([[2., 1.],
               [0., 3.]])
    """
    x = matrices(a)
    if mode == "raw":
        raise MissingRuleError(
            compose(
                'numpy.linalg.qr(a, mode="raw") of a traced array.',
                "the form that LAPACK keeps Q in can't be traced.",
                'mode="reduced".',
            )
        )
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    q, r = qr_ops.qr(x, full_matrices=mode == "complete")
    return r if mode == "r" else QRResult(q, r)


def _hermitian(a: Any, triangle: str) -> tuple[Any, bool]:
    triangle = triangle.upper()
    if triangle not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return cholesky_ops.symmetrized(matrices(a, square=True)), triangle == "L"


@numpy_function(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 - NumPy's name
    """Eigenvalues, ascending, and eigenvectors of Hermitian matrices; as ``numpy.linalg.eigh``.

    Traced, ``a`` counts as ``(a + a^H) / 2``. The derivative of eigenvectors is infinite or nan
    where eigenvalues are equal; that of eigenvalues is not.

    Raises:
        LinAlgError: the iteration did not converge.

    Example:
        >>> import numpy as np
        >>> eigh(np.diag([3.0, 1.0])).eigenvalues
        array([1., 3.])
    """
    x, lower = _hermitian(a, UPLO)
    return EighResult(*eigen.eigh(x, lower=lower))


@numpy_function(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 - NumPy's name
    """Eigenvalues of Hermitian matrices, ascending; as ``numpy.linalg.eigvalsh``."""
    x, lower = _hermitian(a, UPLO)
    return eigen.eigh(x, lower=lower, compute_vectors=False)[0]


@numpy_function(np.linalg.svd)
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Singular vectors and values, ``a = (U * S) @ Vh``; as ``numpy.linalg.svd``.

    Args:
        a: the matrices.
        full_matrices: all vectors instead of one for each value; these have no derivative.
        compute_uv: the vectors too, or the values alone.
        hermitian: accepted; the result is a decomposition all the same.

    Raises:
        LinAlgError: the iteration did not converge.

    Example:
        >>> import numpy as np
        >>> svd(np.diag([3.0, -4.0]), compute_uv=False)
        array([4., 3.])
    """
    x = matrices(a)
    if not compute_uv:
        return svd_ops.svd(x, compute_uv=False)[0]
    return SVDResult(*svd_ops.svd(x, full_matrices=full_matrices))


@numpy_function(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """Singular values, in descending order; as ``numpy.linalg.svdvals``."""
    return svd_ops.svd(matrices(x), compute_uv=False)[0]


# --- by singular values ------------------------------------------------------------------------


def _tolerance(x: Any, rcond: Any, rtol: Any) -> float:
    """Return ``rtol`` of a pseudo-inverse from NumPy's two arguments."""
    if rcond is not None and rtol is not np._NoValue:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    if rcond is None:
        rcond = 1e-15 if rtol is np._NoValue else rtol
    if rcond is None:
        return float(max(x.shape[-2:]) * np.finfo(x.dtype).eps)
    return float(rcond)


@numpy_function(np.linalg.pinv)
def pinv(
    a: Any,
    rcond: float | None = None,
    hermitian: bool = False,
    *,
    rtol: float | None = np._NoValue,  # type: ignore[assignment]
) -> Any:
    """Pseudo-inverse; as ``numpy.linalg.pinv``, with one number for ``rcond`` or ``rtol``.

    Its derivative holds as long as the rank stays as it is.

    Example:
        >>> import numpy as np
        >>> pinv(np.array([[2.0], [0.0]]))
        array([[0.5, 0. ]])
    """
    x = matrices(a)
    return svd_ops.pinv(x, _tolerance(x, rcond, rtol))


@numpy_function(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:  # noqa: N803
    """Number of singular values above a tolerance; as ``numpy.linalg.matrix_rank``."""
    (x,) = operands(A)
    x = constant(x)
    if tol is not None and rtol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    if len(x.shape) < 2:
        (x,) = operands(structural.reshape(x, (1, math.prod(x.shape))))
        return convert_element_type(reduce_sum(squared_modulus(x), (0, 1)) != 0, _INT64)
    s = svd_ops.svd(x, compute_uv=False)[0]
    axis = len(s.shape) - 1
    if not s.shape[-1]:
        return reduce_sum(convert_element_type(s, _INT64), (axis,))
    largest = slice_in_dim(s, 0, 1, axis=axis)
    if tol is None:
        if rtol is None:
            rtol = max(x.shape[-2:]) * np.finfo(s.dtype).eps
        bound = largest * structural.expand_dims(operand(rtol), (len(np.shape(rtol)),))
    else:
        tol = operand(tol)
        bound = structural.expand_dims(tol, (len(tol.shape),))
    s, bound = promote_dtypes(s, bound)
    above = gt(s, broadcast_to(bound, s.shape))
    return reduce_sum(convert_element_type(above, _INT64), (axis,))


@numpy_function(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """Least-squares solution of ``a @ x = b``; as ``numpy.linalg.lstsq``.

    Traced, residuals are returned whenever ``a`` has more rows than columns: whether it has full
    rank isn't known. The solution's derivative holds as long as the rank stays as it is.

    Returns:
        ``(x, residuals, rank, singular values)``.

    Example:
        >>> import numpy as np
        >>> lstsq(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]))[0]
        array([2.])
    """
    a, b = operands(a, b)
    if len(a.shape) != 2:
        raise LinAlgError(f"{len(a.shape)}-dimensional array given. Array must be two-dimensional")
    vector = len(b.shape) == 1
    if vector:
        b = structural.expand_dims(b, (1,))
    m, n = a.shape
    if b.shape[0] != m:
        raise LinAlgError("Incompatible dimensions")
    eps = float(np.finfo(a.dtype).eps)
    rtol = eps * max(m, n) if rcond is None else eps if rcond == -1 else float(rcond)
    x = matmul(svd_ops.pinv(a, rtol), b)
    if m > n:
        residuals = reduce_sum(squared_modulus(b - matmul(a, x)), (0,))
    else:
        residuals = np.empty(0, np.empty(0, a.dtype).real.dtype)
    s = svd_ops.svd(a, compute_uv=False)[0]
    known = constant(s)
    large = gt(known, broadcast_in_dim(slice_in_dim(known, 0, 1) * rtol, s.shape, (0,)))
    rank = reduce_sum(convert_element_type(large, _INT32), (0,))
    return structural.squeeze(x, (1,)) if vector else x, residuals, rank, s
