"""functrace.numpy.linalg: factorisations, linear systems, norms, products and powers of matrices.

All but ``eig`` and ``eigvals``, which are for plain arrays only, can be traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrace.errors import MissingRuleError, ShapeError, compose
from functrace.numpy import products, taking
from functrace.numpy.dispatching import (
    normalize_axes,
    numpy_function,
    operand,
)
from functrace.numpy.factorizations import (
    check_square,
    check_stacked,
    cholesky,
    det,
    eigh,
    eigvalsh,
    inv,
    lstsq,
    matrices,
    matrix_rank,
    pinv,
    qr,
    slogdet,
    solve,
    svd,
    svdvals,
    tensorinv,
    tensorsolve,
)
from functrace.numpy.products import multi_dot
from functrace.numpy.reductions import fold, max, min, squared_modulus
from functrace.ops import complexes, powers, structural
from functrace.ops.broadcasting import broadcast_to, reduce_sum_p
from functrace.ops.creation import convert_element_type
from functrace.ops.promotion import broadcast_shapes, promote_dtypes

LinAlgError = np.linalg.LinAlgError

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]

_FLOAT64 = np.dtype(np.float64)
Axis = int | tuple[int, ...] | None

# --- norms -------------------------------------------------------------------------------------


def _inexact(a: Any) -> Any:
    x = operand(a)
    return x if x.dtype.kind in "fc" else convert_element_type(x, _FLOAT64)


def _euclid(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return powers.sqrt(fold(reduce_sum_p, squared_modulus(x), axes, keepdims))


def _power_norm(x: Any, order: float, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return ``sum(abs(x)**order)**(1/order)``."""
    magnitude = complexes.abs(x)
    dtype = magnitude.dtype
    total = fold(reduce_sum_p, powers.pow(magnitude, dtype.type(order)), axes, keepdims)
    return powers.pow(total, dtype.type(1 / order))


def _vector_norm(x: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if order is None or order == 2:
        return _euclid(x, axes, keepdims)
    if isinstance(order, str):
        raise ValueError(f"Invalid norm order '{order}' for vectors")
    if order == np.inf:
        return max(complexes.abs(x), axes, keepdims=keepdims)
    if order == -np.inf:
        return min(complexes.abs(x), axes, keepdims=keepdims)
    if order == 0:
        there = convert_element_type(x != 0, np.empty(0, x.dtype).real.dtype)
        return fold(reduce_sum_p, there, axes, keepdims)
    if order == 1:
        return fold(reduce_sum_p, complexes.abs(x), axes, keepdims)
    return _power_norm(x, order, axes, keepdims)


def _matrix_norm(x: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if order is None or order in ("fro", "f"):
        return _euclid(x, axes, keepdims)
    row, column = axes
    if order in (1, -1, np.inf, -np.inf):
        summed, compared = (row, column) if abs(order) == 1 else (column, row)
        sums = fold(reduce_sum_p, complexes.abs(x), (summed,), True)
        out = (max if order > 0 else min)(sums, compared, keepdims=True)
        return out if keepdims else structural.squeeze(out, tuple(sorted(axes)))
    if order in (2, -2, "nuc"):
        return _singular_norm(x, order, axes, keepdims)
    raise ValueError("Invalid norm order for matrices.")


def _singular_norm(x: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return the largest or the smallest singular value, or the sum of all."""
    others = [d for d in range(len(x.shape)) if d not in axes]
    values = svdvals(structural.transpose(x, (*others, *axes)))
    last = len(others)
    if order == "nuc":
        out = fold(reduce_sum_p, values, (last,), False)
    else:
        out = (max if order == 2 else min)(values, last)
    return structural.expand_dims(out, tuple(sorted(axes))) if keepdims else out


@numpy_function(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """Norm of vectors or matrices; as ``numpy.linalg.norm``. Its derivative at 0 is 0.

    Args:
        x: the array; of one or two axes when ``axis`` is None and ``ord`` is given.
        ord: for vectors any number, inf, -inf; for matrices ``"fro"``, ``"nuc"``, 1, -1, 2, -2,
            inf, -inf.
        axis: an axis of vectors, two axes of matrices, or None for all.
        keepdims: keep the reduced axes, of size 1.

    Raises:
        ValueError: there is no such norm.

    Example:
        >>> import numpy as np
        >>> norm(np.array([3.0, 4.0]))
        np.float64(5.0)
    """
    x = _inexact(x)
    ndim = len(x.shape)
    if axis is None and ord is None:
        return _euclid(x, tuple(range(ndim)), keepdims)
    axes = normalize_axes(axis, ndim)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError("Improper number of dimensions to norm.")


@numpy_function(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Norm of vectors, over one axis or several; as ``numpy.linalg.vector_norm``.

    Example:
        >>> import numpy as np
        >>> vector_norm(np.array([3.0, 4.0]), ord=1)
        np.float64(7.0)
    """
    x = _inexact(x)
    return _vector_norm(x, ord, normalize_axes(axis, len(x.shape)), keepdims)


@numpy_function(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Norm of matrices, in the last two axes; as ``numpy.linalg.matrix_norm``.

    Example:
        >>> import numpy as np
        >>> matrix_norm(np.eye(4))
        np.float64(2.0)
    """
    x = _inexact(x)
    check_stacked(x)
    ndim = len(x.shape)
    return _matrix_norm(x, ord, (ndim - 2, ndim - 1), keepdims)


# --- powers and products -----------------------------------------------------------------------


@numpy_function(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Square matrices to an integer power, by repeated squaring; as ``numpy.linalg.matrix_power``.

    Raises:
        LinAlgError: a negative power of a matrix without inverse.

    Example:
        >>> import numpy as np
        >>> matrix_power(np.array([[1, 1], [0, 1]]), 3)
        array([[1, 3],
               [0, 1]])
    """
    x = operand(a)
    check_stacked(x)
    check_square(x)
    if n < 0:
        x, n = inv(x), -n
    if n == 0:
        size = x.shape[-1]
        return broadcast_to(np.eye(size, dtype=x.dtype), (*x.shape[:-2], size, size))
    result = None
    while True:
        if n & 1:
            result = x if result is None else products.matmul(result, x)
        n >>= 1
        if not n:
            return result
        x = products.matmul(x, x)


@numpy_function(np.linalg.outer)
def outer(x1: Any, x2: Any, /) -> Any:
    """Matrix of the products of the elements of two vectors; as ``numpy.linalg.outer``.

    Example:
        >>> import numpy as np
        >>> outer(np.array([1, 2]), np.array([3, 4]))
        array([[3, 4],
               [6, 8]])
    """
    x1, x2 = operand(x1), operand(x2)
    if len(x1.shape) != 1 or len(x2.shape) != 1:
        raise ValueError(
            "Input arrays must be one-dimensional, but they are "
            f"x1.ndim={len(x1.shape)} and x2.ndim={len(x2.shape)}."
        )
    return products.outer(x1, x2)


@numpy_function(np.linalg.cross)
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Cross product of vectors of three elements; as ``numpy.linalg.cross``.

    Example:
        >>> import numpy as np
        >>> cross(np.array([1, 0, 0]), np.array([0, 1, 0]))
        array([0, 0, 1])
    """
    x1, x2 = promote_dtypes(operand(x1), operand(x2))
    shape = broadcast_shapes(x1.shape, x2.shape)
    return products.cross(broadcast_to(x1, shape), broadcast_to(x2, shape), axis=axis)


@numpy_function(np.linalg.diagonal)
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Diagonals of matrices, in the last two axes; as ``numpy.linalg.diagonal``.

    Example:
        >>> import numpy as np
        >>> diagonal(np.array([[1, 2], [3, 4]]))
        array([1, 4])
    """
    return taking.diagonal(x, offset, -2, -1)


@numpy_function(np.linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Sums of the diagonals of matrices, in the last two axes; as ``numpy.linalg.trace``.

    Example:
        >>> import numpy as np
        >>> trace(np.array([[1, 2], [3, 4]]))
        np.int64(5)
    """
    return products.trace(x, offset, -2, -1, dtype)


@numpy_function(np.linalg.matmul)
def matmul(x1: Any, x2: Any, /) -> Any:
    """Matrix product; as ``numpy.linalg.matmul``."""
    return products.matmul(x1, x2)


@numpy_function(np.linalg.tensordot)
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Sum of products over chosen axes; as ``numpy.linalg.tensordot``."""
    return products.tensordot(x1, x2, axes)


@numpy_function(np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Dot product of vectors along ``axis``; as ``numpy.linalg.vecdot``."""
    return products.vecdot(x1, x2, axis=axis)


@numpy_function(np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """Matrices with their last two axes exchanged; as ``numpy.linalg.matrix_transpose``.

    Example:
        >>> import numpy as np
        >>> matrix_transpose(np.array([[1, 2], [3, 4]]))
        array([[1, 3],
               [2, 4]])
    """
    x = operand(x)
    ndim = len(x.shape)
    if ndim < 2:
        raise ShapeError(f"Input array must be at least 2-dimensional, but it is {ndim}")
    return structural.transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


# --- condition ---------------------------------------------------------------------------------


@numpy_function(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """Condition number of matrices; as ``numpy.linalg.cond``.

    Args:
        x: the matrices; square unless ``p`` is None, 2 or -2.
        p: the order of the norm, as for ``norm``; None: 2.

    Example:
        >>> import numpy as np
        >>> cond(np.diag([2.0, 4.0]))
        np.float64(2.0)
    """
    x = matrices(x)
    if 0 in x.shape:
        raise LinAlgError("cond is not defined on empty arrays")
    if p is None or p in (2, -2):
        s = svdvals(x)
        first, last = s[..., 0], s[..., -1]
        return last / first if p == -2 else first / last
    check_square(x)
    return matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)


# --- general eigenvalues: NumPy's own ----------------------------------------------------------


def _plain_only(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return a NumPy function that explains itself on traced arrays."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise MissingRuleError(
            compose(
                f"numpy.linalg.{plain.__name__} of a traced array.",
                "eigenvalues of matrices that aren't Hermitian can't be traced in this version.",
                "eigh for Hermitian matrices, or compute it outside of the transformation.",
            )
        )

    refuse.__name__ = plain.__name__
    refuse.__doc__ = f"As ``numpy.linalg.{plain.__name__}``, of plain arrays only."
    return numpy_function(plain)(refuse)


eig = _plain_only(np.linalg.eig)
eigvals = _plain_only(np.linalg.eigvals)
