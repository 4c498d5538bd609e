"""eigh: eigenvalues, in ascending order, and eigenvectors of Hermitian matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, shape_of
from functrace.core.lowering import Call, Place, Routines
from functrace.core.trace import Primitive
from functrace.ops.arithmetic import add, div, mul, sub
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.complexes import real
from functrace.ops.creation import convert_element_type
from functrace.ops.matrices import (
    adjoint,
    as_hermitian,
    batch_first,
    batch_size,
    check_matrices,
    diagonal,
    identity,
    letter,
    matmul,
    real_dtype,
    spaces,
    transposing,
)
from functrace.ops.small_eigen import small_eigh
from functrace.ops.small_matrices import SMALL

__all__ = ["eigh"]

eigh_p = Primitive("eigh", multiple_results=True, not_linear="it is not linear")


@eigh_p.def_impl
def _eigh_impl(a: Any, *, lower: bool, compute_vectors: bool) -> list[Any]:
    triangle: Literal["L", "U"] = "L" if lower else "U"
    if compute_vectors:
        return list(np.linalg.eigh(a, triangle))
    return [np.linalg.eigvalsh(a, triangle)]


@eigh_p.def_abstract_eval
def _eigh_type(a: ShapedArray, *, lower: bool, compute_vectors: bool) -> list[ShapedArray]:
    check_matrices("eigh", a, square=True)
    values = ShapedArray(a.shape[:-1], real_dtype(a.dtype))
    return [values, ShapedArray(a.shape, a.dtype)] if compute_vectors else [values]


@eigh_p.def_jvp
def _eigh_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, lower: bool, compute_vectors: bool
) -> Any:
    (a,), (t,) = primals, tangents
    w, v = eigh_p.bind(a, lower=lower, compute_vectors=True)
    seen = matmul(adjoint(v), matmul(as_hermitian(t, lower), v))
    along = diagonal(seen)
    dw = real(along) if dtype_of(v).kind == "c" else along
    if not compute_vectors:
        return [w], [dw]
    return [w, v], [dw, matmul(v, mul(_inverse_gaps(w, v.dtype), seen))]


def _inverse_gaps(w: Any, dtype: np.dtype[Any]) -> Any:
    """Return ``1 / (w[j] - w[i])``, 0 on the diagonal; infinite for equal eigenvalues."""
    shape = (*shape_of(w), shape_of(w)[-1])
    last = len(shape) - 1
    here = broadcast_in_dim(w, shape, range(last))
    there = broadcast_in_dim(w, shape, (*range(last - 1), last))
    one = identity(shape, w.dtype)
    return convert_element_type(sub(div(1.0, add(sub(there, here), one)), one), dtype)


@eigh_p.def_batching
def _eigh_batching(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, compute_vectors: bool, **params: Any
) -> Any:
    outs = eigh_p.bind(*batch_first(size, args, dims), compute_vectors=compute_vectors, **params)
    return outs, [0] * len(outs)


def _eigh_plan(
    avals_in: Sequence[ShapedArray],
    avals_out: Sequence[ShapedArray],
    integer: np.dtype[Any],
    *,
    lower: bool,
    compute_vectors: bool,
) -> Any:
    (a,) = avals_in
    n = a.shape[-1]
    if 0 < n <= SMALL and a.dtype.kind == "f":
        return [], [small_eigh(n, lower, compute_vectors)]
    turned = transposing(lambda ins, outs, s: ins[0], lambda ins, outs, s: s[0], n, n)
    back = transposing(lambda ins, outs, s: s[0], lambda ins, outs, s: outs[1], n, n)
    complex_ = a.dtype.kind == "c"
    # At least what LAPACK asks for, and enough for its blocks.
    blocks = 64 * max(n, 1)
    whole = compute_vectors and n > 1
    real_work = 1 + 5 * n + 2 * n * n if whole else max(1, n)
    if complex_:
        sizes = [(2 * n + n * n if whole else n + 1) + blocks, real_work, 3 + 5 * n]
        dtypes = [a.dtype, real_dtype(a.dtype), integer]
    else:
        sizes = [(1 + 6 * n + 2 * n * n if whole else 2 * n + 1) + blocks, 3 + 5 * n]
        dtypes = [a.dtype, integer]
    rest: list[Any] = []
    for k, size in enumerate(sizes):
        rest += [Place("scratch", k + 1, shared=True), size]
    call = Call(
        letter(a.dtype) + ("heevd" if complex_ else "syevd"),
        (
            "V" if compute_vectors else "N",
            "L" if lower else "U",
            *(n, Place("scratch", 0), max(n, 1), Place("out", 0), *rest, "info"),
        ),
        batch_size(a),
        2,
    )
    turns = spaces(a, 1000 + 10 * n * n * n)
    scratch = [(a.shape, a.dtype), *(((turns, s), d) for s, d in zip(sizes, dtypes))]
    stages = [turned, call, *([back] if compute_vectors else [])]
    return scratch, stages if a.size else []


eigh_p.def_lowering(Routines(_eigh_plan))


def eigh(x: Any, *, lower: bool = True, compute_vectors: bool = True) -> list[Any]:
    """Eigenvalues, and eigenvectors as columns; one triangle of ``x`` alone is read."""
    out: list[Any] = eigh_p.bind(x, lower=lower, compute_vectors=compute_vectors)
    return out
