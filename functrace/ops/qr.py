"""qr: orthonormal columns Q and the triangle R with ``a = Q R``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, shape_of
from functrace.core.lowering import Call, Place, Routines
from functrace.core.trace import Primitive
from functrace.errors import MissingRuleError, compose
from functrace.ops.arithmetic import add, mul, sub
from functrace.ops.complexes import conj
from functrace.ops.joining import concatenate, slice_in_dim
from functrace.ops.matrices import (
    adjoint,
    batch_first,
    batch_size,
    check_matrices,
    letter,
    matmul,
    on_diagonal,
    spaces,
    transposing,
    tril,
)
from functrace.ops.small_matrices import SMALL, small_qr
from functrace.ops.triangular import triangular_solve

__all__ = ["qr"]

qr_p = Primitive("qr", multiple_results=True, not_linear="it is not linear")

#: Columns that LAPACK treats at once; work space is that many times as long as the matrix is wide.
BLOCK = 64


@qr_p.def_impl
def _qr_impl(a: Any, *, full_matrices: bool) -> list[Any]:
    return list(np.linalg.qr(a, "complete" if full_matrices else "reduced"))


@qr_p.def_abstract_eval
def _qr_type(a: ShapedArray, *, full_matrices: bool) -> list[ShapedArray]:
    check_matrices("qr", a)
    *batch, m, n = a.shape
    k = m if full_matrices else min(m, n)
    return [ShapedArray((*batch, m, k), a.dtype), ShapedArray((*batch, k, n), a.dtype)]


@qr_p.def_jvp
def _qr_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, full_matrices: bool) -> Any:
    (a,), (t,) = primals, tangents
    m, n = shape_of(a)[-2:]
    if full_matrices and m > n:
        raise MissingRuleError(
            compose(
                f"the derivative of the complete QR factorisation of {m} by {n} matrices.",
                "the columns that complete Q are not determined by the matrix.",
                'qr(a, mode="reduced").',
            )
        )
    q, r = qr_p.bind(a, full_matrices=full_matrices)
    if m >= n:
        return [q, r], list(_tall_derivative(q, r, t))
    # Wide: the first m columns give Q, and R's other columns are Q^H times the matrix's.
    axis = len(shape_of(a)) - 1
    first, rest = slice_in_dim(t, 0, m, axis=axis), slice_in_dim(t, m, n, axis=axis)
    dq, left = _tall_derivative(q, slice_in_dim(r, 0, m, axis=axis), first)
    others = slice_in_dim(a, m, n, axis=axis)
    right = add(matmul(adjoint(dq), others), matmul(adjoint(q), rest))
    return [q, r], [dq, concatenate([left, right], axis)]


def _tall_derivative(q: Any, r: Any, t: Any) -> tuple[Any, Any]:
    # With X = da R^-1: Q^H X = Q^H dQ + dR R^-1, skew plus upper triangle with a real diagonal.
    x = triangular_solve(r, t)
    both = matmul(adjoint(q), x)
    lower = tril(both, -1)
    skew = sub(lower, adjoint(lower))
    if dtype_of(q).kind == "c":
        middle = on_diagonal(both)
        skew = add(skew, _imaginary(middle))
    return add(matmul(q, sub(skew, both)), x), matmul(sub(both, skew), r)


def _imaginary(x: Any) -> Any:
    """Return i times the imaginary part, as a complex array."""
    return mul(sub(x, conj(x)), 0.5)


@qr_p.def_batching
def _qr_batching(size: int, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
    return qr_p.bind(*batch_first(size, args, dims), **params), [0, 0]


def _qr_plan(
    avals_in: Sequence[ShapedArray],
    avals_out: Sequence[ShapedArray],
    integer: np.dtype[Any],
    *,
    full_matrices: bool,
) -> Any:
    (a,) = avals_in
    *batch, m, n = a.shape
    k, columns = min(m, n), avals_out[0].shape[-1]
    if max(m, n) <= SMALL:
        return [], [small_qr(m, n, columns)]
    work = max(n, columns, 1) * BLOCK
    kind, many = letter(a.dtype), batch_size(a)
    matrix = (Place("scratch", 0), max(m, 1), Place("scratch", 1))
    last = (Place("scratch", 2, shared=True), work, "info")
    form = "ungqr" if a.dtype.kind == "c" else "orgqr"
    factorise = Call(kind + "geqrf", (m, n, *matrix, *last), many)
    orthogonal = Call(kind + form, (m, columns, k, *matrix, *last), many)
    turns = spaces(a, 1000 + 2 * m * n * k)
    scratch = [
        ((*batch, max(n, columns), m), a.dtype),
        ((*batch, max(k, 1)), a.dtype),
        ((turns, work), a.dtype),
    ]
    stages = [
        transposing(lambda ins, outs, s: ins[0], lambda ins, outs, s: s[0], n, m),
        factorise,
        transposing(
            lambda ins, outs, s: s[0],
            lambda ins, outs, s: outs[1],
            avals_out[1].shape[-2],
            n,
            lambda b, i, j: b.le(i, j),
        ),
        orthogonal,
        transposing(lambda ins, outs, s: s[0], lambda ins, outs, s: outs[0], m, columns),
    ]
    return scratch, stages if m else []


qr_p.def_lowering(Routines(_qr_plan))


def qr(x: Any, *, full_matrices: bool = True) -> list[Any]:
    """Orthonormal columns Q, and the upper triangle R; Q is square with ``full_matrices``."""
    return qr_p.bind(x, full_matrices=full_matrices)  # type: ignore[no-any-return]
