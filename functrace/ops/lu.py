"""lu: the triangles L and U with ``p a = L U``, and what row exchanges mean."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import Call, Nest, Part, Place, Routines
from functrace.core.trace import Primitive
from functrace.errors import ShapeError, compose
from functrace.ops.argsorting import argsort
from functrace.ops.arithmetic import add
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.dimension_numbers import GatherScatterMode
from functrace.ops.indexing import take_along_axis, take_rows
from functrace.ops.joining import concatenate, slice
from functrace.ops.matrices import (
    batch_first,
    batch_size,
    check_matrices,
    identity,
    letter,
    matmul,
    shares,
    spaces,
    transposing,
    tril,
    triu,
)
from functrace.ops.nests import for_each
from functrace.ops.small_matrices import SMALL, small_lu
from functrace.ops.triangular import triangular_solve

__all__ = ["inverse_order", "lu", "lu_pivots_to_permutation", "lu_solve", "permute_rows"]

INT32 = np.dtype(np.int32)

# --- permutations ------------------------------------------------------------------------------

lu_pivots_to_permutation_p = Primitive(
    "lu_pivots_to_permutation", not_differentiable="integer output"
)


@lu_pivots_to_permutation_p.def_impl
def _permutation_impl(pivots: Any, *, permutation_size: int) -> Any:
    k = pivots.shape[-1]
    out = np.empty((*pivots.shape[:-1], permutation_size), INT32)
    out[...] = np.arange(permutation_size, dtype=INT32)
    if not pivots.size:
        return out
    rows, swaps = out.reshape(-1, permutation_size), pivots.reshape(-1, k)
    every = np.arange(len(rows))
    for i in range(k):
        j = swaps[:, i]
        rows[every, i], rows[every, j] = rows[every, j], rows[every, i].copy()
    return out


@lu_pivots_to_permutation_p.def_abstract_eval
def _permutation_type(pivots: ShapedArray, *, permutation_size: int) -> ShapedArray:
    if pivots.dtype != INT32 or not pivots.ndim or pivots.shape[-1] > permutation_size:
        raise ShapeError(
            compose(
                f"lu_pivots_to_permutation got pivots of type {pivots} and "
                f"permutation_size={permutation_size}.",
                "pivots are int32, and at most as many as there are rows.",
            )
        )
    return ShapedArray((*pivots.shape[:-1], permutation_size), INT32)


@lu_pivots_to_permutation_p.def_batching
def _permutation_batching(size: int, args: Any, dims: Any, *, permutation_size: int) -> Any:
    (pivots,) = batch_first(size, args, dims)
    return lu_pivots_to_permutation(pivots, permutation_size), 0


def _write_permutation(b: Any, pivots: Any, out: Any) -> None:
    """Emit the row exchanges, one after the other, on 0, 1, 2, ..."""

    def row(batch: tuple[Any, ...]) -> None:
        def exchange(i: Any) -> None:
            j = b.cast(pivots.load((*batch, i)), np.dtype(np.int64))
            here, there = out.load((*batch, i)), out.load((*batch, j))
            out.store((*batch, i), there)
            out.store((*batch, j), here)

        b.loop(0, out.shape[-1], lambda i: out.store((*batch, i), b.cast(i, INT32)))
        b.loop(0, pivots.shape[-1], exchange)

    for_each(b, out.shape[:-1], row)


def _permutation_nest(
    b: Any, ins: Any, outs: Any, scratch: Any, avals_in: Any, avals_out: Any, **params: Any
) -> None:
    _write_permutation(b, ins[0], outs[0])


lu_pivots_to_permutation_p.def_lowering(Nest(_permutation_nest))


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """Permutation of the rows that exchanging row i with row ``pivots[i]``, in order, makes."""
    return lu_pivots_to_permutation_p.bind(pivots, permutation_size=permutation_size)


def permute_rows(x: Any, permutation: Any) -> Any:
    """Return ``x[..., permutation, :]``, linear in x."""
    shape = shape_of(x)
    if len(shape) == 2:
        return take_rows(x, permutation, 0, GatherScatterMode.PROMISE_IN_BOUNDS)
    indices = broadcast_in_dim(permutation, shape, range(len(shape) - 1))
    return take_along_axis(x, indices, len(shape) - 2, unique=True)


def inverse_order(permutation: Any) -> Any:
    """Return the permutations that undo the given ones."""
    return argsort(permutation, len(shape_of(permutation)) - 1)


# --- lu ----------------------------------------------------------------------------------------

lu_p = Primitive("lu", multiple_results=True, not_linear="it is not linear")


@functools.cache
def _getrf(dtype: np.dtype[Any]) -> Any:
    """Return LAPACK's function; SciPy is imported when the first is used."""
    import scipy.linalg.lapack

    return getattr(scipy.linalg.lapack, letter(dtype) + "getrf")


@lu_p.def_impl
def _lu_impl(a: Any, *, check: bool) -> list[Any]:
    m, n = a.shape[-2:]
    out = np.array(a, order="C")
    pivots = np.zeros((*a.shape[:-2], min(m, n)), INT32)
    for index in np.ndindex(a.shape[:-2] if a.size else (0,)):
        out[index], pivots[index], info = _getrf(a.dtype)(a[index])
        if check and info:
            raise np.linalg.LinAlgError("Singular matrix")
    return [out, pivots, _permutation_impl(pivots, permutation_size=m)]


@lu_p.def_abstract_eval
def _lu_type(a: ShapedArray, *, check: bool) -> list[ShapedArray]:
    check_matrices("lu", a)
    *batch, m, n = a.shape
    return [
        ShapedArray(a.shape, a.dtype),
        ShapedArray((*batch, min(m, n)), INT32),
        ShapedArray((*batch, m), INT32),
    ]


@lu_p.def_jvp
def _lu_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, check: bool) -> Any:
    (a,), (t,) = primals, tangents
    out, pivots, permutation = lu_p.bind(a, check=check)
    lower, upper = _whole_factors(out)
    # With X = L^-1 P da U^-1, the strict lower triangle is L^-1 dL, the rest is dU U^-1.
    x = triangular_solve(
        lower, permute_rows(t, permutation), left_side=True, lower=True, unit_diagonal=True
    )
    x = triangular_solve(upper, x)
    moved = add(matmul(lower, tril(x, -1)), matmul(triu(x), upper))
    return [out, pivots, permutation], [moved, None, None]


def _whole_factors(packed: Any) -> tuple[Any, Any]:
    """Return L and U as square matrices, with the rest of an identity where they are narrow."""
    *batch, m, n = shape_of(packed)
    dtype, k, start = packed.dtype, min(m, n), (0,) * len(batch)
    left = tril(slice(packed, (*start, 0, 0), (*batch, m, k)), -1)
    upper = triu(slice(packed, (*start, 0, 0), (*batch, k, n)))
    eye = identity((*batch, m, m), dtype)
    rest = slice(eye, (*start, 0, k), (*batch, m, m))
    lower = concatenate(
        [add(left, slice(eye, (*start, 0, 0), (*batch, m, k))), rest], len(batch) + 1
    )
    eye = identity((*batch, n, n), dtype)
    return lower, concatenate([upper, slice(eye, (*start, k, 0), (*batch, n, n))], len(batch))


@lu_p.def_batching
def _lu_batching(size: int, args: Sequence[Any], dims: Sequence[Any], *, check: bool) -> Any:
    return lu_p.bind(*batch_first(size, args, dims), check=check), [0, 0, 0]


def _lu_plan(
    avals_in: Sequence[ShapedArray],
    avals_out: Sequence[ShapedArray],
    integer: np.dtype[Any],
    *,
    check: bool,
) -> Any:
    (a,) = avals_in
    m, n = a.shape[-2:]
    if max(m, n) <= SMALL:
        return [], [small_lu(m, n, check)]
    if letter(a.dtype) in "sd":
        return _own_plan(a, check)
    return _library_plan(a, integer, check)


def _library_plan(a: ShapedArray, integer: np.dtype[Any], check: bool) -> Any:
    """Return temporaries and stages where LAPACK makes the factors."""
    *batch, m, n = a.shape
    turned = transposing(lambda ins, outs, scratch: ins[0], lambda i, o, s: s[0], n, m)
    back = transposing(lambda ins, outs, scratch: scratch[0], lambda i, o, s: o[0], m, n)

    def exchanges(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        pivots = outs[1]

        def one(index: tuple[Any, ...]) -> None:
            fortran = b.cast(scratch[1].load(index), INT32)
            pivots.store(index, b.sub(fortran, b.const(1, INT32)))

        for_each(b, pivots.shape, one)
        _write_permutation(b, pivots, outs[2])

    matrix = (m, n, Place("scratch", 0), max(m, 1), Place("scratch", 1), "info")
    work = max(1, m * n * min(m, n) // 2)
    failure = 1 if check else None
    call = Call(letter(a.dtype) + "getrf", matrix, batch_size(a), failure, work)
    scratch = [((*batch, n, m), a.dtype), ((*batch, min(m, n)), integer)]
    return scratch, [turned, call, back, exchanges] if a.size else [exchanges]


#: Columns of a panel: each costs the rest of the matrix one pass, and its own elimination is slower
#: than a product.
_PANEL = 64


def _own_plan(a: ShapedArray, check: bool) -> Any:
    """Return temporaries and stages of factors made panel by panel, where the matrix is.

    A panel is factorised; then the rows beside it are exchanged and become U's, and their product
    with L's columns is taken out of what is left.
    """
    m, n = a.shape[-2:]
    k, many = min(m, n), batch_size(a)
    count = spaces(a, m * n * k // 2)

    def copy(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        for_each(b, outs[0].shape, lambda i: outs[0].store(i, ins[0].load(i)))

    def exchanges(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        _write_permutation(b, outs[1], outs[2])

    if not a.size:
        return [], [exchanges]
    kind = letter(a.dtype)
    stages: list[Any] = [copy]
    for first in range(0, k, _PANEL):
        last = min(first + _PANEL, k)
        stages.append(_panel(a, first, last, 1 if check else None))
        if last < n:
            stages.append(_strip(a, first, last))
        if last < min(m, n):
            stages.append(_rest(a, first, last))
    if k > _PANEL:
        left = (k, _PANEL, _at(n, 0, 0), n, Place("out", 1))
        stages.append(Call(kind + "left", left, many, None, k * k // 2))
    panes = -(-m // 8) * 8 * _PANEL
    return [((count, panes), a.dtype)], [*stages, exchanges]


def _at(n: int, row: int, column: int, step: int = 0) -> Place:
    return Place("out", 0, offset=row * n + column, step=step)


def _panel(a: ShapedArray, first: int, last: int, failure: int | None) -> Call:
    """Return the call that factorises a panel."""
    m, n = a.shape[-2:]
    rows, columns, space = m - first, last - first, Place("scratch", 0, shared=True)
    where = (_at(n, first, first), n, Place("out", 1, offset=first), first)
    panel = (rows, columns, *where, space, "info")
    work = rows * columns * columns
    return Call(letter(a.dtype) + "panel", panel, batch_size(a), failure, work)


def _strip(a: ShapedArray, first: int, last: int) -> Call:
    """Return the call that makes the rows of U beside a panel."""
    n, k = a.shape[-1], last - first
    size, blocks = shares(n - last, (n - last) * k * k)
    where = (_at(n, first, first), _at(n, first, last, size), n)
    strip = (k, Part(n - last, size), Place("out", 1, offset=first), first, *where)
    return Call(letter(a.dtype) + "strip", strip, batch_size(a), None, k * k * size // 2, blocks)


def _rest(a: ShapedArray, first: int, last: int) -> Call:
    """Return the call that takes a panel's product out of the rows below it, and beside it."""
    (m, n), k = a.shape[-2:], last - first
    size, blocks = shares(m - last, (m - last) * (n - last) * k)
    factors = (_at(n, first, last), n, _at(n, last, first, size * n), n)
    target = (_at(n, last, last, size * n), n)
    update = ("N", "N", n - last, Part(m - last, size), k, "minus", *factors, "one", *target)
    work = size * (n - last) * k
    return Call(letter(a.dtype) + "gemm", update, batch_size(a), None, work, blocks)


lu_p.def_lowering(Routines(_lu_plan))


def lu(x: Any, *, check: bool = False) -> list[Any]:
    """Both factors in one matrix, the row exchanges as pivots, and as a permutation.

    With ``check`` a matrix without inverse is an error.
    """
    return lu_p.bind(x, check=check)  # type: ignore[no-any-return]


def lu_solve(factors: Any, permutation: Any, b: Any) -> Any:
    """Solve ``a x = b`` by the factors of ``a``."""
    x = permute_rows(b, permutation)
    x = triangular_solve(factors, x, left_side=True, lower=True, unit_diagonal=True)
    return triangular_solve(factors, x, left_side=True)
