"""svd: singular values and vectors, and the pseudo-inverse they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, shape_of
from functrace.core.lowering import Call, Composite, Place, Routines
from functrace.core.trace import Primitive
from functrace.errors import MissingRuleError, compose
from functrace.ops.arithmetic import add, div, mul, neg, sub
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.complexes import real
from functrace.ops.creation import convert_element_type, full
from functrace.ops.joining import slice_in_dim
from functrace.ops.logical import eq, gt, select
from functrace.ops.matrices import (
    adjoint,
    batch_first,
    batch_size,
    check_matrices,
    diagonal,
    identity,
    letter,
    matmul,
    real_dtype,
    scale_columns,
    scale_rows,
    spaces,
    transposing,
)
from functrace.ops.nests import for_each
from functrace.ops.small_matrices import SMALL
from functrace.ops.small_svd import small_svd

__all__ = ["pinv", "svd"]

svd_p = Primitive("svd", multiple_results=True, not_linear="it is not linear")


@svd_p.def_impl
def _svd_impl(a: Any, *, full_matrices: bool, compute_uv: bool) -> list[Any]:
    if compute_uv:
        return list(np.linalg.svd(a, full_matrices))
    return [np.linalg.svd(a, compute_uv=False)]


@svd_p.def_abstract_eval
def _svd_type(a: ShapedArray, *, full_matrices: bool, compute_uv: bool) -> list[ShapedArray]:
    check_matrices("svd", a)
    *batch, m, n = a.shape
    k = min(m, n)
    values = ShapedArray((*batch, k), real_dtype(a.dtype))
    if not compute_uv:
        return [values]
    left = ShapedArray((*batch, m, m if full_matrices else k), a.dtype)
    return [left, values, ShapedArray((*batch, n if full_matrices else k, n), a.dtype)]


@svd_p.def_jvp
def _svd_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, full_matrices: bool, compute_uv: bool
) -> Any:
    (a,), (t,) = primals, tangents
    m, n = shape_of(a)[-2:]
    if compute_uv and full_matrices and m != n:
        raise MissingRuleError(
            compose(
                f"the derivative of all singular vectors of {m} by {n} matrices.",
                "those beyond the singular values are not determined by the matrix.",
                "svd(a, full_matrices=False).",
            )
        )
    u, s, vh = svd_p.bind(a, full_matrices=False, compute_uv=True)
    seen = matmul(adjoint(u), matmul(t, adjoint(vh)))
    along = diagonal(seen)
    ds = real(along) if dtype_of(u).kind == "c" else along
    if not compute_uv:
        return [s], [ds]
    du, dv = _vector_derivatives(u, s, adjoint(vh), seen, t)
    return [u, s, vh], [du, ds, adjoint(dv)]


def _vector_derivatives(u: Any, s: Any, v: Any, seen: Any, t: Any) -> tuple[Any, Any]:
    """Return du and dv from ``seen = u^H t v``. (Townsend 2016; Wan and Zhang 2019)"""
    dtype, (m, n) = u.dtype, (shape_of(u)[-2], shape_of(v)[-2])
    values = convert_element_type(s, dtype)
    safe = convert_element_type(select(eq(s, 0.0), 1.0, s), dtype)
    gaps = _inverse_gaps(s, dtype)
    right, left = scale_columns(seen, values), scale_rows(seen, values)
    skew = mul(sub(seen, adjoint(seen)), 0.5)
    # What turns u and v by one phase is given to u alone.
    phase = mul(scale_rows(skew, div(1.0, safe)), identity(shape_of(skew), dtype))
    du = matmul(u, add(mul(gaps, add(right, adjoint(right))), phase))
    dv = matmul(v, mul(gaps, add(left, adjoint(left))))
    if m > n:
        moved = matmul(t, v)
        du = add(
            du, scale_columns(sub(moved, matmul(u, matmul(adjoint(u), moved))), div(1.0, safe))
        )
    if n > m:
        moved = matmul(adjoint(t), u)
        dv = add(
            dv, scale_columns(sub(moved, matmul(v, matmul(adjoint(v), moved))), div(1.0, safe))
        )
    return du, dv


def _inverse_gaps(s: Any, dtype: np.dtype[Any]) -> Any:
    """Return ``1 / (s[j]^2 - s[i]^2)``, 0 on the diagonal; infinite for equal values."""
    shape = (*shape_of(s), shape_of(s)[-1])
    last = len(shape) - 1
    here = broadcast_in_dim(s, shape, range(last))
    there = broadcast_in_dim(s, shape, (*range(last - 1), last))
    one = identity(shape, s.dtype)
    gaps = add(mul(sub(there, here), add(there, here)), one)
    return convert_element_type(sub(div(1.0, gaps), one), dtype)


@svd_p.def_batching
def _svd_batching(size: int, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
    outs = svd_p.bind(*batch_first(size, args, dims), **params)
    return outs, [0] * len(outs)


def _svd_plan(
    avals_in: Sequence[ShapedArray],
    avals_out: Sequence[ShapedArray],
    integer: np.dtype[Any],
    *,
    full_matrices: bool,
    compute_uv: bool,
) -> Any:
    (a,) = avals_in
    *batch, m, n = a.shape
    k = min(m, n)
    if not k:
        return [], [_identities] if compute_uv and full_matrices else []
    columns, rows = (m, n) if full_matrices else (k, k)
    if max(m, n) <= SMALL and a.dtype.kind == "f":
        return [], [small_svd(m, n, *((columns, rows) if compute_uv else (0, 0)))]
    dtype = a.dtype
    rooms = _work_space(a, integer, compute_uv)
    work = rooms[0][0][1]
    turned = [((*batch, n, m), dtype)]
    if compute_uv:
        turned += [((*batch, columns, m), dtype), ((*batch, n, rows), dtype)]
    first = len(turned)
    space = [Place("scratch", first + i, shared=True) for i in range(len(rooms))]
    left, right = (Place("scratch", 1), Place("scratch", 2)) if compute_uv else (space[0],) * 2
    jobs = ("A" if full_matrices else "S") if compute_uv else "N"
    values = Place("out", 1 if compute_uv else 0)
    matrices = (Place("scratch", 0), m, values, left, m, right, rows)
    arguments = (jobs, m, n, *matrices, space[0], work, *space[1:], "info")
    stages: list[Any] = [
        transposing(lambda ins, outs, s: ins[0], lambda ins, outs, s: s[0], n, m),
        Call(letter(dtype) + "gesdd", arguments, batch_size(a), 3),
    ]
    if compute_uv:
        stages += [
            transposing(lambda ins, outs, s: s[1], lambda ins, outs, s: outs[0], m, columns),
            transposing(lambda ins, outs, s: s[2], lambda ins, outs, s: outs[2], rows, n),
        ]
    return [*turned, *rooms], stages if a.size else []


def _work_space(a: ShapedArray, integer: np.dtype[Any], compute_uv: bool) -> list[Any]:
    """Return at least what LAPACK asks for, and enough for its blocks."""
    m, n = a.shape[-2:]
    k, longest = min(m, n), max(m, n)
    turns = spaces(a, 2000 + 10 * m * n * k)
    rooms: list[Any] = [((turns, 4 * k * k + 10 * k + longest + 64 * (m + n)), a.dtype)]
    if a.dtype.kind == "c":
        largest = max(5 * k * k + 7 * k, 2 * longest * k + 2 * k * k + k) if compute_uv else 7 * k
        rooms.append(((turns, largest), real_dtype(a.dtype)))
    return [*rooms, ((turns, 8 * k), integer)]


def _identities(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
    """Emit the vectors of a matrix without rows or columns."""
    for out in (outs[0], outs[2]):
        one, zero = b.const(1, out.dtype), b.const(0, out.dtype)
        for_each(
            b,
            out.shape,
            lambda i, out=out, one=one, zero=zero: out.store(  # type: ignore[misc]
                i, b.select(b.eq(i[-1], i[-2]), one, zero)
            ),
        )


svd_p.def_lowering(Routines(_svd_plan))


def svd(x: Any, *, full_matrices: bool = True, compute_uv: bool = True) -> list[Any]:
    """Left vectors as columns, singular values in descending order, right vectors as rows."""
    out: list[Any] = svd_p.bind(x, full_matrices=full_matrices, compute_uv=compute_uv)
    return out


# --- pinv --------------------------------------------------------------------------------------

pinv_p = Primitive("pinv", not_linear="it is not linear")
pinv_p.def_impl(lambda a, rtol: np.linalg.pinv(a, rtol))


@pinv_p.def_abstract_eval
def _pinv_type(a: ShapedArray, *, rtol: float) -> ShapedArray:
    check_matrices("pinv", a)
    return ShapedArray((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)


@pinv_p.def_jvp
def _pinv_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, rtol: float) -> Any:
    # Golub and Pereyra 1973, for a rank that stays as it is.
    (a,), (t,) = primals, tangents
    p = pinv_p.bind(a, rtol=rtol)
    th, ph = adjoint(t), adjoint(p)
    moved = neg(matmul(p, matmul(t, p)))
    right = sub(th, matmul(th, matmul(a, p)))
    left = sub(th, matmul(matmul(p, a), th))
    moved = add(moved, matmul(matmul(p, ph), right))
    return p, add(moved, matmul(left, matmul(ph, p)))


@pinv_p.def_batching
def _pinv_batching(size: int, args: Sequence[Any], dims: Sequence[Any], *, rtol: float) -> Any:
    return pinv_p.bind(*batch_first(size, args, dims), rtol=rtol), 0


@Composite
def _pinv_by_svd(a: Any, *, rtol: float) -> list[Any]:
    *batch, m, n = shape_of(a)
    if not min(m, n):
        return [full((*batch, n, m), 0, a.dtype)]
    u, s, vh = svd(a, full_matrices=False)
    axis = len(batch)
    largest = broadcast_in_dim(slice_in_dim(s, 0, 1, axis=axis), shape_of(s), range(axis + 1))
    large = gt(s, mul(largest, rtol))
    inverse = select(large, div(1.0, select(large, s, 1.0)), 0.0)
    return [matmul(scale_columns(adjoint(vh), convert_element_type(inverse, a.dtype)), adjoint(u))]


pinv_p.def_lowering(_pinv_by_svd)


def pinv(x: Any, rtol: float) -> Any:
    """Pseudo-inverse; singular values below ``rtol`` times the largest count as zero."""
    return pinv_p.bind(x, rtol=rtol)
