"""Random vectors and matrices made of normal numbers."""

from __future__ import annotations

import operator
from typing import Any

from functrace import lax
from functrace import numpy as fnp
from functrace.errors import ShapeError
from functrace.ops.promotion import promote_dtypes
from functrace.random.normals import normals
from functrace.random.sampler import checked_dtype, inexact, result_shape, sampler

__all__ = ["multivariate_normal", "orthogonal"]

Shape = tuple[int, ...]


@sampler("", static="method", pointwise=False)
def multivariate_normal(
    key: Any, mean: Any, cov: Any, shape: Any = None, dtype: Any = None, method: str = "cholesky"
) -> Any:
    """Draw normal vectors with a mean and a covariance.

    Args:
        key: the key.
        mean: the mean, along the last axis.
        cov: the covariance, along the last two axes.
        shape: the shape of the result without the last axis; by default that of the parameters.
        dtype: a floating dtype; that of the parameters by default.
        method: the factor of the covariance: by ``"cholesky"``, or ``"eigh"`` or ``"svd"``, which
            take singular ones too.

    Example:
        >>> import numpy as np
        >>> from functrace import random
        >>> multivariate_normal(random.key(0), np.zeros(2), np.eye(2), (3,)).shape
        (3, 2)
    """
    mean, cov = promote_dtypes(
        inexact(mean, "mean of random.multivariate_normal"),
        inexact(cov, "cov of random.multivariate_normal"),
    )
    dtype = checked_dtype("multivariate_normal", dtype or mean.dtype, "f")
    mean, cov = (lax.convert_element_type(x, dtype) for x in (mean, cov))
    if mean.ndim < 1 or cov.shape[-2:] != mean.shape[-1:] * 2:
        raise ShapeError(
            f"random.multivariate_normal got a mean of shape {mean.shape} and a covariance of "
            f"shape {cov.shape}."
        )
    shape = result_shape("multivariate_normal", shape, mean[..., 0], cov[..., 0, 0])
    numbers = normals(key, (*shape, mean.shape[-1]), dtype)
    return mean + fnp.einsum("...ij,...j->...i", _factor(cov, method), numbers)


def _factor(cov: Any, method: str) -> Any:
    """Return F with ``F F^T`` the covariance."""
    if method == "cholesky":
        return fnp.linalg.cholesky(cov)
    if method == "eigh":
        values, vectors = fnp.linalg.eigh(cov)
    elif method == "svd":
        vectors, values, _ = fnp.linalg.svd(cov)
    else:
        raise ValueError(
            f"random.multivariate_normal got method={method!r}; it is 'cholesky', 'eigh' or 'svd'."
        )
    return vectors * fnp.sqrt(values[..., None, :])


@sampler("fc", static="n m", pointwise=False)
def orthogonal(key: Any, n: int, shape: Any = (), dtype: Any = None, m: int | None = None) -> Any:
    """Draw matrices evenly from those with orthonormal columns, or rows when there are fewer.

    Args:
        key: the key.
        n: the number of rows.
        shape: the shape of the result without its last two axes.
        dtype: a floating or complex dtype; float64 by default.
        m: the number of columns; ``n`` by default.

    Example:
        >>> from functrace import random
        >>> import numpy as np
        >>> q = orthogonal(random.key(0), 3)
        >>> bool(np.allclose(q @ q.T, np.eye(3)))
        True
    """
    rows = operator.index(n)
    columns = rows if m is None else operator.index(m)
    tall = normals(key, (*shape, max(rows, columns), min(rows, columns)), dtype)
    q, r = fnp.linalg.qr(tall)
    # Signs as of a positive diagonal: without them the distribution isn't even.
    q = q * fnp.sign(fnp.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return fnp.swapaxes(q, -1, -2) if rows < columns else q
