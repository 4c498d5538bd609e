"""More cases: reductions, sorting, statistics, products and linear algebra."""

from __future__ import annotations

import numpy as np
from cases import B4, EVERYTHING, I4, NUMBERS, T3, M, N, P, X, Y, case, each

__all__: list[str] = []

S3 = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 2.0]])
HOLES = np.array([0.5, np.nan, -1.5, 2.0])

# --- reductions --------------------------------------------------------------------------------

each("sum prod", X, dtypes=EVERYTHING)
each("mean std var max min amax amin ptp", X, dtypes=NUMBERS)
case("sum", lambda np, x: np.sum(x, axis=(0, 2), keepdims=True, dtype=np.float64), T3)
case("prod", lambda np, x: np.prod(x, axis=1, where=x > 0.0), T3)
case("mean", lambda np, x: np.mean(x, axis=-1, keepdims=True), T3, dtypes=NUMBERS)
case("var", lambda np, x: np.var(x, axis=0, ddof=1), T3)
case("std", lambda np, x: np.std(x, axis=(0, 1)), T3)
case("max", lambda np, x: np.max(x, axis=1), T3, dtypes=NUMBERS)
case("average", lambda np, x, w: np.average(x, weights=w), X, P)
case("count_nonzero", lambda np, x: np.count_nonzero(x > 0.5, axis=-1), T3, diff=False)
each("all any", B4, diff=False, dtypes="?")
each("argmax argmin", X, diff=False, dtypes=NUMBERS)
each("nansum nanprod nanmax nanmin nanmean nanstd nanvar nanmedian", HOLES, diff=False)
each("nansum nanprod nanmax nanmin nanmean nanstd nanvar nanmedian", X)
each("nanargmax nanargmin", HOLES, diff=False)
each("nancumsum nancumprod cumsum cumprod cumulative_sum cumulative_prod", X, dtypes=NUMBERS)
case("cumsum", lambda np, x: np.cumsum(x, axis=1), M)

# --- order and statistics ----------------------------------------------------------------------

each("sort", X, dtypes=NUMBERS)
each("argsort", X, dtypes=NUMBERS, diff=False)
case("sort", lambda np, x: np.sort(x, axis=0), T3)
case("lexsort", lambda np, x, i: np.lexsort((x, i)), X, I4, diff=False)
case("partition", lambda np, x: np.sort(np.partition(x, 2)[:2]), X)
case("argpartition", lambda np, x: np.argpartition(x, 0)[:1], X, diff=False)
each("sort_complex", X, diff=False)
each("median", X)
case("quantile", lambda np, x: np.quantile(x, 0.3), X)
case("quantile", lambda np, x: np.quantile(x, [0.1, 0.9], axis=1), M)
case("percentile", lambda np, x: np.percentile(x, 30.0), X)
case("nanquantile", lambda np, x: np.nanquantile(x, 0.3), X)
case("nanpercentile", lambda np, x: np.nanpercentile(x, 30.0), X)
each("cov corrcoef", M @ np.vstack([S3[0], S3[1], S3[2]]).T)
case("histogram", lambda np, x: np.histogram(x, bins=[-2.0, 0.0, 1.0, 3.0])[0], X, diff=False)
case(
    "histogram2d",
    lambda np, x, w: np.histogram2d(x, -x, bins=[-2.0, 0.0, 1.0, 3.0], weights=w)[0],
    X,
    X,
    diff=False,
)
case("histogramdd", lambda np, x: np.histogramdd([x, -x], bins=[[-2.0, 3.0], 2])[0], X, diff=False)
case("poly", lambda np, x: np.poly(x), X)
case("histogram_bin_edges", lambda np, x: np.histogram_bin_edges(x, bins=3), X)
case("bincount", lambda np, w: np.bincount(I4, weights=w), X)
each("diff ediff1d gradient trapezoid", X)
case("diff", lambda np, x: np.diff(x, n=2, axis=0, prepend=1.0), M.T)
case("trapezoid", lambda np, x, y: np.trapezoid(y, x), X, Y)
each("convolve correlate polymul", X, Y[:3])
each("polyval polyadd polysub", X, Y)
each("polyder polyint", X)

# --- products and linear algebra ---------------------------------------------------------------

each("dot inner outer vdot vecdot", X, Y)
each("kron", M, N)
each("matmul dot", M, N.T)
each("matvec", M, X[:3])
each("vecmat", X[:2], M)
case("tensordot", lambda np, x, y: np.tensordot(x, y, axes=([2], [0])), T3, N.reshape(-1)[:4])
case("einsum", lambda np, x, y: np.einsum("ij,kj->ik", x, y), M, N)
case("einsum", lambda np, x: np.einsum("ii->i", x), S3)
case("cross", lambda np, x, y: np.cross(x, y), X[:3], Y[:3])
case("trace", lambda np, x: np.trace(x, 1), S3)
case("linalg.norm", lambda np, x: np.linalg.norm(x), X)
case("linalg.norm", lambda np, x: np.linalg.norm(x, ord=1, axis=0), M)
case("linalg.vector_norm", lambda np, x: np.linalg.vector_norm(x), X)
case("linalg.matrix_norm", lambda np, x: np.linalg.matrix_norm(x), M)
case("linalg.matrix_power", lambda np, x: np.linalg.matrix_power(x, 3), S3)
case("linalg.multi_dot", lambda np, x, y: np.linalg.multi_dot([x, y.T, x]), M, N)
case("linalg.matmul", lambda np, x, y: np.linalg.matmul(x, y.T), M, N)
case("linalg.outer", lambda np, x, y: np.linalg.outer(x, y), X, Y)
case("linalg.cross", lambda np, x, y: np.linalg.cross(x, y), X[:3], Y[:3])
case("linalg.trace", lambda np, x: np.linalg.trace(x), S3)
case("linalg.diagonal", lambda np, x: np.linalg.diagonal(x), S3)
case("linalg.tensordot", lambda np, x, y: np.linalg.tensordot(x, y.T, axes=1), M, N)
case("linalg.vecdot", lambda np, x, y: np.linalg.vecdot(x, y), X, Y)
case("linalg.matrix_transpose", lambda np, x: np.linalg.matrix_transpose(x), M)

POSITIVE = S3 @ S3.T + np.eye(3)
_FACTORISATIONS = "inv det slogdet cholesky eigh eigvalsh qr svd svdvals pinv cond"
for _name in _FACTORISATIONS.split():
    case(
        f"linalg.{_name}",
        lambda np, x, n=_name: getattr(np.linalg, n)((x + x.T) / 2),
        POSITIVE,
        rtol=1e-9,
    )
case("linalg.solve", lambda np, x, y: np.linalg.solve(x, y), POSITIVE, X[:3], rtol=1e-9)
case("linalg.lstsq", lambda np, x, y: np.linalg.lstsq(x.T, y)[0], M, X[:3], rtol=1e-9)
case("linalg.matrix_rank", lambda np, x: np.linalg.matrix_rank(x), S3, diff=False)
case("linalg.tensorinv", lambda np, x: np.linalg.tensorinv(x, 1), POSITIVE, rtol=1e-9)
case("linalg.tensorsolve", lambda np, x, y: np.linalg.tensorsolve(x, y), POSITIVE, X[:3], rtol=1e-9)

# --- sizes that must be known ------------------------------------------------------------------

case("nonzero", lambda np, x: x * np.nonzero(I4 > 0)[0].size, X)
case("flatnonzero", lambda np, x: x[np.flatnonzero(I4 > 0)], X)
case("argwhere", lambda np, x: x * np.argwhere(I4 > 0).size, X)
case("unique", lambda np, x: x[: np.unique(I4 % 2).size], X)
case("shares_memory", lambda np, x: x * np.shares_memory(x, X[:0]), X)
case("may_share_memory", lambda np, x: x * np.may_share_memory(x, X[:0]), X)
case("min_scalar_type", lambda np, x: x * np.min_scalar_type(3).itemsize, X)
case("broadcast_shapes", lambda np, x: x * np.broadcast_shapes((4,), (1,))[0], X)
case("isin", lambda np, x: np.isin(x, [2, 3]), I4, diff=False, dtypes="")
case("apply_along_axis", lambda np, x: np.apply_along_axis(lambda v: v * v[0], 1, x), M)
case("apply_over_axes", lambda np, x: np.apply_over_axes(np.sum, x, [0, 2]), T3)
