"""Samples of factorisations: well-conditioned matrices, batches, 1x1, empty; references NumPy's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from samples import Sample, normal, samples

Samples = Iterator[Sample]
DType = np.dtype[Any]
SQUARE = [(3, 3), (1, 1), (6, 6), (2, 7, 7), (2, 3, 3), (0, 2, 2), (0, 0)]


def well(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> Any:
    """Return matrices with singular values between about 1 and 5, spread apart."""
    x = np.asarray(normal(rng, dtype, shape)) * 0.3
    k = min(shape[-2:])
    x[..., np.arange(k), np.arange(k)] += 2 + np.arange(k)
    return x.astype(dtype)


def definite(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> Any:
    x = well(rng, dtype, shape)
    return (x @ np.conj(np.swapaxes(x, -1, -2))).astype(dtype)


# --- triangles ---------------------------------------------------------------------------------


def _solve_triangle(
    a: Any,
    b: Any,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Any:
    a = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        k = np.arange(a.shape[-1])
        a[..., k, k] = 1
    a = np.conj(a) if conjugate_a else a
    a = np.swapaxes(a, -1, -2) if transpose_a else a
    if left_side:
        return np.linalg.solve(a, b)
    return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)


@samples("triangular_solve", dtypes="fc", reference=_solve_triangle)
def _triangular_solve(rng: np.random.Generator, dtype: DType) -> Samples:
    for flags in range(16):
        left, lower, trans, unit = (bool(flags >> k & 1) for k in range(4))
        params = {
            "left_side": left,
            "lower": lower,
            "transpose_a": trans,
            "conjugate_a": trans and dtype.kind == "c" and unit,
            "unit_diagonal": unit,
        }
        shapes = [
            ((3, 3), (3, 2)),
            ((6, 6), (6, 3)),
            ((2, 3, 3), (2, 3, 1)),
            ((1, 1), (1, 2)),
            ((0, 2, 2), (0, 2, 2)),
            ((2, 2), (2, 0)),
            ((0, 0), (0, 2)),
        ]
        for a_shape, b_shape in shapes if flags in (0, 15) else shapes[:2]:
            b = normal(rng, dtype, b_shape)
            b = b if left else np.swapaxes(b, -1, -2).copy()
            yield Sample((well(rng, dtype, a_shape), b), params, ulp=2048, tol=8)


@samples("cholesky", dtypes="fc", reference=np.linalg.cholesky)
def _cholesky(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape in SQUARE:
        yield Sample((definite(rng, dtype, shape),), ulp=2048, tol=8)


# --- lu ----------------------------------------------------------------------------------------


def _lu_slowly(a: Any, *, check: bool) -> Any:
    """Gauss's elimination with the largest pivot, one matrix at a time."""
    *batch, m, n = a.shape
    out, k = np.array(a), min(m, n)
    pivots = np.zeros((*batch, k), np.int32)
    orders = np.zeros((*batch, m), np.int32) + np.arange(m, dtype=np.int32)
    for index in np.ndindex(*batch):
        x, order = out[index], orders[index]
        for i in range(k):
            size = np.abs(x[i:, i].real) + np.abs(x[i:, i].imag)
            p = i + int(np.argmax(size))
            pivots[index][i] = p
            x[[i, p]], order[[i, p]] = x[[p, i]], order[[p, i]]
            x[i + 1 :, i] /= x[i, i]
            x[i + 1 :, i + 1 :] -= np.outer(x[i + 1 :, i], x[i, i + 1 :])
    return [out, pivots, orders]


@samples("lu", dtypes="fc", reference=_lu_slowly)
def _lu(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape in [*SQUARE, (3, 2), (2, 3), (2, 4, 2), (6, 3), (3, 7), (2, 0), (0, 2)]:
        a = well(rng, dtype, shape)[..., ::-1, :].copy()
        yield Sample((a,), {"check": False}, ulp=2048, tol=8)
    yield Sample((well(rng, dtype, (3, 3)),), {"check": True}, ulp=2048, tol=8)


def _exchange(pivots: Any, *, permutation_size: int) -> Any:
    out = np.zeros((*pivots.shape[:-1], permutation_size), np.int32)
    for index in np.ndindex(pivots.shape[:-1]):
        order = list(range(permutation_size))
        for i, j in enumerate(pivots[index]):
            order[i], order[j] = order[j], order[i]
        out[index] = order
    return out


@samples("lu_pivots_to_permutation", dtypes="int32", reference=_exchange)
def _permutation(rng: np.random.Generator, dtype: DType) -> Samples:
    for pivots, size in [([2, 1, 3], 4), ([[1, 1], [0, 1]], 2), ([], 0), ([], 2)]:
        x = np.array(pivots, dtype)
        yield Sample((x,), {"permutation_size": size}, lanes=[(x,), (x,)])


# --- by lu -------------------------------------------------------------------------------------


@samples("solve", dtypes="fc", reference=np.linalg.solve)
def _solve(rng: np.random.Generator, dtype: DType) -> Samples:
    shapes = [
        ((3, 3), (3, 2)),
        ((6, 6), (6, 1)),
        ((2, 3, 3), (2, 3, 1)),
        ((1, 1), (1, 2)),
        ((0, 2, 2), (0, 2, 2)),
        ((2, 2), (2, 0)),
        ((0, 0), (0, 2)),
    ]
    for a, b in shapes:
        yield Sample((well(rng, dtype, a), normal(rng, dtype, b)), ulp=2048, tol=8)


def _determinants(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape in [*SQUARE, (2, 2), (4, 4)]:
        yield Sample((well(rng, dtype, shape)[..., ::-1, :].copy(),), ulp=2048, tol=8)


samples("det", dtypes="fc", reference=np.linalg.det)(_determinants)
samples("slogdet", dtypes="fc", reference=np.linalg.slogdet)(_determinants)


# --- orthogonal --------------------------------------------------------------------------------

SHAPES = [(3, 3), (4, 2), (7, 5), (2, 3), (1, 1), (2, 3, 2), (0, 2, 2), (2, 0), (0, 2)]


def _qr_reference(a: Any, *, full_matrices: bool) -> Any:
    return np.linalg.qr(a, "complete" if full_matrices else "reduced")


@samples("qr", dtypes="fc", reference=_qr_reference)
def _qr(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape in SHAPES:
        for full in (False, True):
            a = well(rng, dtype, shape)
            determined = not full or shape[-2] <= shape[-1]
            yield Sample((a,), {"full_matrices": full}, ulp=2048, tol=8, diff=determined)


def _signs(vectors: bool, shape: tuple[int, ...]) -> bool:
    """Tell whether there are no signs of vectors, which each build of LAPACK chooses for itself.

    Compiled ones are put together again in tests/numpy/test_factorizations.py.
    """
    return not vectors or max(shape[-2:]) < 2


def _eigh_reference(a: Any, *, lower: bool, compute_vectors: bool) -> Any:
    triangle = "L" if lower else "U"
    if compute_vectors:
        return np.linalg.eigh(a, triangle)
    return [np.linalg.eigvalsh(a, triangle)]


@samples("eigh", dtypes="fc", reference=_eigh_reference)
def _eigh(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape in SQUARE:
        for lower in (True, False):
            for vectors in (True, False):
                params = {"lower": lower, "compute_vectors": vectors}
                # A complex vector's phase is LAPACK's choice: no difference quotient.
                diff = not vectors or dtype.kind == "f"
                a = well(rng, dtype, shape)
                yield Sample((a,), params, ulp=2048, tol=8, diff=diff, jit=_signs(vectors, shape))


def _svd_reference(a: Any, *, full_matrices: bool, compute_uv: bool) -> Any:
    if compute_uv:
        return np.linalg.svd(a, full_matrices)
    return [np.linalg.svd(a, compute_uv=False)]


@samples("svd", dtypes="fc", reference=_svd_reference)
def _svd(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape in SHAPES:
        for full, vectors in ((False, True), (True, True), (False, False)):
            params = {"full_matrices": full, "compute_uv": vectors}
            determined = not full or shape[-2] == shape[-1]
            diff = not vectors or (determined and dtype.kind == "f")
            jit = _signs(vectors, shape)
            yield Sample((well(rng, dtype, shape),), params, ulp=2048, tol=16, diff=diff, jit=jit)


@samples("pinv", dtypes="fc", reference=lambda a, rtol: np.linalg.pinv(a, rtol))
def _pinv(rng: np.random.Generator, dtype: DType) -> Samples:
    for shape in SHAPES:
        yield Sample((well(rng, dtype, shape),), {"rtol": 1e-6}, ulp=2048, tol=16)
