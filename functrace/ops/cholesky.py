"""cholesky: the triangle L with ``a = L L^H``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of
from functrace.core.lowering import Call, Part, Place, Routines
from functrace.core.trace import Primitive
from functrace.ops.arithmetic import add, mul, sub
from functrace.ops.matrices import (
    adjoint,
    as_hermitian,
    batch_first,
    batch_size,
    check_matrices,
    letter,
    matmul,
    on_diagonal,
    shares,
    tril,
)
from functrace.ops.nests import for_each
from functrace.ops.small_matrices import SMALL, small_cholesky
from functrace.ops.triangular import BLOCK, triangular_solve

__all__ = ["cholesky", "symmetrized"]

cholesky_p = Primitive("cholesky", not_linear="it is not linear")
cholesky_p.def_impl(lambda a: np.linalg.cholesky(a))


@cholesky_p.def_abstract_eval
def _cholesky_type(a: ShapedArray) -> ShapedArray:
    check_matrices("cholesky", a, square=True)
    return ShapedArray(a.shape, a.dtype)


@cholesky_p.def_jvp_each
def _cholesky_jvp(t: Any, out: Any, a: Any) -> Any:
    # dL = L phi(L^-1 da L^-H), phi: the lower triangle with half the diagonal. (Murray 2016)
    x = triangular_solve(out, as_hermitian(t), left_side=True, lower=True)
    x = triangular_solve(out, x, lower=True, transpose_a=True, conjugate_a=True)
    return matmul(out, sub(tril(x), mul(on_diagonal(x), 0.5)))


@cholesky_p.def_batching
def _cholesky_batching(size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    return cholesky_p.bind(*batch_first(size, args, dims)), 0


def _cholesky_plan(
    avals_in: Sequence[ShapedArray], avals_out: Sequence[ShapedArray], integer: np.dtype[Any]
) -> Any:
    (a,) = avals_in
    n = a.shape[-1]
    if n <= SMALL:
        return [], [small_cholesky(n)]

    def fill(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        (x,), (out,) = ins, outs
        zero = b.const(0, out.dtype)

        def row(index: tuple[Any, ...]) -> None:
            i = index[-1]
            b.loop(0, b.add(i, 1), lambda j: out.store((*index, j), x.load((*index, j))))
            b.loop(b.add(i, 1), x.shape[-1], lambda j: out.store((*index, j), zero))

        for_each(b, out.shape[:-1], row)

    calls = _blocked_potrf(a, n) if a.size else []
    # Products of blocks write beyond the diagonal.
    return [], [fill, *calls, _clear] if len(calls) > 1 else [fill, *calls]


def _clear(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
    """Emit zeros above the diagonal."""
    (out,) = outs
    zero = b.const(0, out.dtype)

    def row(index: tuple[Any, ...]) -> None:
        b.loop(b.add(index[-1], 1), out.shape[-1], lambda j: out.store((*index, j), zero))

    for_each(b, out.shape[:-1], row)


def _blocked_potrf(a: ShapedArray, n: int) -> list[Call]:
    """Return the calls that factorise what is in ``out``.

    The lower triangle is LAPACK's upper one, of the transposed matrix U^H U; L is U^T. Large ones
    go block by block: products are faster than LAPACK.
    """
    kind, many = letter(a.dtype), batch_size(a)
    if n < 3 * BLOCK:
        work = max(1, n * n * n // 6)
        return [Call(kind + "potrf", ("U", n, _place(n, 0, 0), n, "info"), many, 0, work)]
    calls: list[Call] = []
    for first in range(0, n, BLOCK):
        last = min(first + BLOCK, n)
        k, rest = last - first, n - last
        corner = _place(n, first, first)
        calls.append(Call(kind + "potrf", ("U", k, corner, n, "info"), many, 0, k * k * k // 6))
        if not rest:
            break
        calls.append(_strip(a, first, last))
        for start in range(last, n, 2 * BLOCK):
            width = min(2 * BLOCK, n - start)
            calls.append(_update(a, (first, last), start, width))
    return calls


def _place(n: int, row: int, column: int, step: int = 0) -> Place:
    """Return where LAPACK's matrix has an element."""
    return Place("out", 0, offset=row + column * n, step=step)


def _strip(a: ShapedArray, first: int, last: int) -> Call:
    """Return the call that solves for what is beside a factorised block of the diagonal."""
    n, k = a.shape[-1], last - first
    kind, rest = letter(a.dtype), n - last
    if kind in "cz":
        sides = (_place(n, first, first), n, _place(n, first, last), n)
        strip = ("L", "U", "C", "N", k, rest, "one", *sides)
        return Call(kind + "trsm", strip, batch_size(a), None, k * k * rest // 2)
    size, blocks = shares(rest, k * k * rest)
    rows = (_place(n, first, first), n, _place(n, first, last, size * n), n)
    work = k * k * size // 2
    return Call(kind + "rows", (k, Part(rest, size), *rows), batch_size(a), None, work, blocks)


def _update(a: ShapedArray, block: tuple[int, int], start: int, width: int) -> Call:
    """Return the call that takes a strip's products out of some columns."""
    n, (first, last) = a.shape[-1], block
    k, rows = last - first, start + width - last
    size, blocks = shares(rows, rows * width * k)
    factors = (_place(n, first, last, size * n), n, _place(n, first, start), n)
    target = (_place(n, last, start, size), n)
    update = ("C", "N", Part(rows, size), width, k, "minus", *factors, "one", *target)
    work = size * width * k
    return Call(letter(a.dtype) + "gemm", update, batch_size(a), None, work, blocks)


cholesky_p.def_lowering(Routines(_cholesky_plan))


def symmetrized(x: Any) -> Any:
    """Return the mean of a matrix and its adjoint."""
    return mul(add(x, adjoint(x)), dtype_of(x).type(0.5))


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """Lower triangle L with ``x = L L^H``, for Hermitian positive definite ``x``.

    Without ``symmetrize_input`` the lower triangle of ``x`` alone is read, as in NumPy.
    """
    return cholesky_p.bind(symmetrized(x) if symmetrize_input else x)
