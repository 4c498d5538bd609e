"""Factorisations in an ejected module: NumPy's own, and Numba functions where NumPy has none.

Compiled programs call LAPACK's routines; what NumPy or these loops give differs from that by
rounding. Each text defines one function of batches of matrices, which returns a tuple of arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from functrace.core.lowering import LINALG_MESSAGES

__all__ = ["FACTORISATIONS"]

_NOT_POSITIVE, _SINGULAR, _NO_EIGENVALUES, _NO_SVD = LINALG_MESSAGES

#: Every text by the name of its primitive; the function has that name behind an underscore.
FACTORISATIONS: Mapping[str, str] = MappingProxyType(
    {
        "cholesky": f'''
def _cholesky(a):
    """Lower factors; the upper triangles aren't read."""
    try:
        return (np.linalg.cholesky(a),)
    except np.linalg.LinAlgError:
        raise np.linalg.LinAlgError({_NOT_POSITIVE!r}) from None
''',
        "qr": '''
def _qr(a, full_matrices):
    """Orthogonal and upper triangular factors."""
    return np.linalg.qr(a, "complete" if full_matrices else "reduced")
''',
        "eigh": f'''
def _eigh(a, lower, compute_vectors):
    """Eigenvalues, ascending, and eigenvectors of symmetric or Hermitian matrices."""
    triangle = "L" if lower else "U"
    try:
        if compute_vectors:
            return np.linalg.eigh(a, triangle)
        return (np.linalg.eigvalsh(a, triangle),)
    except np.linalg.LinAlgError:
        raise np.linalg.LinAlgError({_NO_EIGENVALUES!r}) from None
''',
        "svd": f'''
def _svd(a, full_matrices, compute_uv):
    """Singular vectors and values, descending."""
    try:
        if compute_uv:
            return np.linalg.svd(a, full_matrices)
        return (np.linalg.svd(a, compute_uv=False),)
    except np.linalg.LinAlgError:
        raise np.linalg.LinAlgError({_NO_SVD!r}) from None
''',
        "lu": f'''
@numba.njit(error_model="numpy")
def _factorise(x, pivots, permutation):
    """Put both factors in place of each matrix; tell whether one has no inverse."""
    singular = False
    for k in range(x.shape[0]):
        rows, columns = x.shape[1:]
        for i in range(rows):
            permutation[k, i] = i
        for j in range(min(rows, columns)):
            best = j
            for i in range(j + 1, rows):
                here, there = x[k, i, j], x[k, best, j]
                if abs(here.real) + abs(here.imag) > abs(there.real) + abs(there.imag):
                    best = i
            pivots[k, j] = best
            if best != j:
                permutation[k, j], permutation[k, best] = permutation[k, best], permutation[k, j]
                for l in range(columns):
                    x[k, j, l], x[k, best, l] = x[k, best, l], x[k, j, l]
            if x[k, j, j] == 0:
                singular = True
                continue
            for i in range(j + 1, rows):
                x[k, i, j] /= x[k, j, j]
                for l in range(j + 1, columns):
                    x[k, i, l] -= x[k, i, j] * x[k, j, l]
    return singular


def _lu(a, check):
    """Both factors in one matrix, the row exchanges, and the permutation they make."""
    *batch, rows, columns = a.shape
    x = a.reshape(-1, rows, columns).copy()
    pivots = np.empty((len(x), min(rows, columns)), np.int32)
    permutation = np.empty((len(x), rows), np.int32)
    if _factorise(x, pivots, permutation) and check:
        raise np.linalg.LinAlgError({_SINGULAR!r})
    return x, pivots, permutation
''',
        "triangular_solve": '''
@numba.njit(error_model="numpy")
def _substitute(a, x, lower, unit_diagonal):
    """Put the solution of each system in place of its right sides."""
    for k in range(x.shape[0]):
        n, columns = x.shape[1:]
        for turn in range(n):
            i = turn if lower else n - 1 - turn
            if not unit_diagonal:
                for l in range(columns):
                    x[k, i, l] /= a[k, i, i]
            for j in range(i + 1, n) if lower else range(i):
                for l in range(columns):
                    x[k, j, l] -= a[k, j, i] * x[k, i, l]


def _triangular_solve(a, b, left_side, lower, transpose_a, conjugate_a, unit_diagonal):
    """Solutions of ``op(a) x = b`` or ``x op(a) = b``."""
    if transpose_a == left_side:
        a, lower = np.swapaxes(a, -1, -2), not lower
    if transpose_a and conjugate_a:
        a = a.conj()
    x = np.array(b if left_side else np.swapaxes(b, -1, -2), order="C")
    matrices = np.ascontiguousarray(a).reshape(-1, *a.shape[-2:])
    _substitute(matrices, x.reshape(-1, *x.shape[-2:]), lower, unit_diagonal)
    return (x if left_side else np.swapaxes(x, -1, -2),)
''',
    }
)
