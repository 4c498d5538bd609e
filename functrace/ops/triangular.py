"""triangular_solve: linear systems whose matrix is a triangle."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, shape_of
from functrace.core.lowering import Call, Part, Place, Routines
from functrace.core.trace import Primitive
from functrace.errors import ShapeError, compose
from functrace.ops.arithmetic import neg
from functrace.ops.complexes import conj
from functrace.ops.matrices import (
    batch_first,
    batch_size,
    check_matrices,
    letter,
    matmul,
    swap,
    tril,
    triu,
)
from functrace.ops.nests import for_each
from functrace.ops.small_matrices import SMALL, small_triangular_solve
from functrace.ops.structural import move_axis, reshape

__all__ = ["triangular_solve"]

triangular_solve_p = Primitive("triangular_solve")


@functools.cache
def _trsm(dtype: np.dtype[Any]) -> Any:
    """Return BLAS's function; SciPy is imported when the first is used."""
    import scipy.linalg.blas

    return getattr(scipy.linalg.blas, letter(dtype) + "trsm")


@triangular_solve_p.def_impl
def _triangular_solve_impl(
    a: Any,
    b: Any,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Any:
    out = np.array(b, order="C")
    if not out.size:
        return out
    # In BLAS's order of elements each matrix is its own transpose.
    trans = (2 if conjugate_a else 1) if transpose_a else 0
    solve = _trsm(out.dtype)
    for index in np.ndindex(out.shape[:-2]):
        out[index] = solve(
            1.0, a[index].T, out[index].T, left_side, not lower, trans, unit_diagonal, 1
        ).T
    return out


@triangular_solve_p.def_abstract_eval
def _triangular_solve_type(
    a: ShapedArray, b: ShapedArray, *, left_side: bool, **params: Any
) -> ShapedArray:
    check_matrices("triangular_solve", a, b, square=True)
    if b.shape[-2 if left_side else -1] != a.shape[-1]:
        raise ShapeError(
            compose(
                f"triangular_solve got a of type {a} and b of type {b}.",
                f"they must agree in the {'rows' if left_side else 'columns'} of b.",
            )
        )
    return ShapedArray(b.shape, b.dtype)


def _triangular_solve_jvp_a(
    t: Any,
    out: Any,
    a: Any,
    b: Any,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Any:
    # op(a) x = b, so op(a) dx = -op(da) x: what isn't read of a has no part in it.
    k = int(unit_diagonal)
    t = tril(t, -k) if lower else triu(t, k)
    t = conj(t) if conjugate_a else t
    t = swap(t) if transpose_a else t
    moved = matmul(t, out) if left_side else matmul(out, t)
    params = {"left_side": left_side, "lower": lower, "transpose_a": transpose_a}
    rest = {"conjugate_a": conjugate_a, "unit_diagonal": unit_diagonal}
    return neg(triangular_solve_p.bind(a, moved, **params, **rest))


triangular_solve_p.def_jvp_each(
    _triangular_solve_jvp_a,
    lambda t, out, a, b, **params: triangular_solve_p.bind(a, t, **params),
)


@triangular_solve_p.def_transpose
def _triangular_solve_transpose(
    ct: Any, a: Any, b: Any, *, transpose_a: bool, conjugate_a: bool, **params: Any
) -> Any:
    return [
        None,
        triangular_solve(a, ct, transpose_a=not transpose_a, conjugate_a=conjugate_a, **params),
    ]


@triangular_solve_p.def_batching
def _triangular_solve_batching(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, left_side: bool, **params: Any
) -> Any:
    params["left_side"] = left_side
    (a, b), (da, db) = args, dims
    if da is not None:
        return triangular_solve_p.bind(*batch_first(size, args, dims), **params), 0
    # One matrix for all lanes: they are more columns (rows, on the other side).
    b, back = fold_lanes(b, db, left_side)
    return back(triangular_solve_p.bind(a, b, **params)), len(shape_of(a)) - 2


def fold_lanes(b: Any, dim: int, left_side: bool = True) -> tuple[Any, Any]:
    """Return right sides whose lanes stand beside each other, and how to take them apart.

    What ``back`` returns has its lanes before the last two axes.
    """
    n = len(shape_of(b)) - 1
    if not left_side:
        b = move_axis(b, dim, n - 2)
        shape = shape_of(b)
        flat = (*shape[:-3], shape[-3] * shape[-2], shape[-1])
        return reshape(b, flat), lambda x: reshape(x, shape)
    b = move_axis(b, dim, n - 1)
    shape = shape_of(b)
    flat = (*shape[:-2], shape[-2] * shape[-1])
    return reshape(b, flat), lambda x: move_axis(reshape(x, shape), n - 1, n - 2)


def _triangular_solve_plan(
    avals_in: Sequence[ShapedArray],
    avals_out: Sequence[ShapedArray],
    integer: np.dtype[Any],
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Any:
    (a, b), (out,) = avals_in, avals_out
    m, n = b.shape[-2:]
    k = a.shape[-1]
    if k <= SMALL:
        small = small_triangular_solve(
            k,
            left_side=left_side,
            lower=lower,
            transpose_a=transpose_a,
            conjugate_a=conjugate_a,
            unit=unit_diagonal,
        )
        return [], [small]

    def copy(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        for_each(b, outs[0].shape, lambda i: outs[0].store(i, ins[1].load(i)))

    # In BLAS's order of elements each matrix is its own transpose.
    trans = ("C" if conjugate_a else "T") if transpose_a else "N"
    side = "R" if left_side else "L"
    flags = ("U" if lower else "L", trans, "U" if unit_diagonal else "N")
    return [], [copy, *blocked_trsm(out, side, flags, k, n if left_side else m)]


#: From so many rows on a triangle is taken apart: products are faster than BLAS's solver.
BLOCK = 64


def blocked_trsm(
    out: ShapedArray, side: str, flags: tuple[str, str, str], k: int, lines: int
) -> list[Call]:
    """Return the calls that solve for the right sides in ``out``, by the operand 0.

    They are BLAS's ``x op(a) = b`` (side R) or ``op(a) x = b``, block by block of the triangle:
    what is found is taken out of what isn't.
    """
    if not out.size:
        return []
    triangle, trans, _ = flags
    right, kind, many = side == "R", letter(out.dtype), batch_size(out)
    upper = (triangle == "U") == (trans == "N")
    size = _share(lines, k * k * lines)
    ldb, blocks, part = out.shape[-1], -(-lines // size), Part(lines, size)

    def solution(at: int) -> Place:
        return Place(
            "out", 0, step=size if right else size * ldb, offset=at * (ldb if right else 1)
        )

    def matrix(row: int, column: int) -> Place:
        """Return where op(a) has an element."""
        at = row + column * k if trans == "N" else column + row * k
        return Place("in", 0, offset=at)

    calls: list[Call] = []
    for first, last, start, stop in _edges(k, right == upper):
        n, rest = last - first, stop - start
        sizes: tuple[Any, ...] = (part, n) if right else (n, part)
        solve = (side, *flags, *sizes, "one", matrix(first, first), k, solution(first), ldb)
        calls.append(Call(kind + "trsm", solve, many, None, max(1, n * n * size // 2), blocks))
        if not rest:
            continue
        if right:
            factors = (solution(first), ldb, matrix(first, start), k)
            product: tuple[Any, ...] = ("N", trans, part, rest, n)
        else:
            factors = (matrix(start, first), k, solution(first), ldb)
            product = (trans, "N", rest, part, n)
        update = (*product, "minus", *factors, "one", solution(start), ldb)
        calls.append(Call(kind + "gemm", update, many, None, max(1, n * rest * size), blocks))
    return calls


def _edges(k: int, forward: bool) -> list[tuple[int, int, int, int]]:
    """Return where each block begins and ends, in the order of solving, and what is then left."""
    starts = list(range(0, k, BLOCK)) if k >= 2 * BLOCK else [0]
    pairs = list(zip(starts, [*starts[1:], k]))
    if forward:
        return [(first, last, last, k) for first, last in pairs]
    return [(first, last, 0, first) for first, last in reversed(pairs)]


def _share(lines: int, work: int) -> int:
    """Return how many right sides are solved for at once: all, or some for each thread."""
    count = max(1, min(4, work >> 27))
    return max(1, -(-lines // (16 * count)) * 16) if count > 1 else max(lines, 1)


triangular_solve_p.def_lowering(Routines(_triangular_solve_plan))


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """Solve ``op(a) x = b``, or ``x op(a) = b``, for triangular ``a``; the rest of it isn't read.

    A zero on the diagonal gives infinities.
    """
    if dtype_of(a).kind != "c":
        conjugate_a = False
    if conjugate_a and not transpose_a:
        a, conjugate_a = conj(a), False
    return triangular_solve_p.bind(
        a,
        b,
        left_side=left_side,
        lower=lower,
        transpose_a=transpose_a,
        conjugate_a=conjugate_a,
        unit_diagonal=unit_diagonal,
    )
