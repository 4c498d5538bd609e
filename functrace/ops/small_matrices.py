"""Factorisations of matrices with a few rows, written out: no loops, no calls.

Each returns a stage of ``Routines``; ``n`` and ``m`` are known sizes up to ``SMALL``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from functrace.ops.nests import for_each

__all__ = [
    "SMALL",
    "Stage",
    "householder",
    "reflect",
    "small_cholesky",
    "small_lu",
    "small_qr",
    "small_triangular_solve",
]

SMALL = 4
INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)
Stage = Callable[[Any, Any, Any, Any], None]


def small_cholesky(n: int) -> Stage:
    """Return the stage for n by n matrices."""

    def rule(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        (x,), (out,) = ins, outs
        for_each(b, x.shape[:-2], lambda batch: _factor(b, x, out, batch, n))

    return rule


def _factor(b: Any, x: Any, out: Any, batch: tuple[Any, ...], n: int) -> None:
    complex_ = x.dtype.kind == "c"
    a = [[x.load((*batch, i, j)) for j in range(i + 1)] for i in range(n)]
    zero = b.const(0, x.dtype)
    for j in range(n):
        middle = b.real(a[j][j]) if complex_ else a[j][j]
        for k in range(j):
            middle = b.sub(middle, _squared(b, a[j][k]))
        b.fail(b.not_(b.gt(middle, b.const(0, middle.dtype))), "linalg", 0)
        root = b.sqrt(middle)
        a[j][j] = b.cast(root, x.dtype)
        for i in range(j + 1, n):
            for k in range(j):
                other = b.conj(a[j][k]) if complex_ else a[j][k]
                a[i][j] = b.sub(a[i][j], b.mul(a[i][k], other))
            a[i][j] = b.div(a[i][j], a[j][j])
    for i in range(n):
        for j in range(n):
            out.store((*batch, i, j), a[i][j] if j <= i else zero)


def _squared(b: Any, x: Any) -> Any:
    """Return ``|x|^2``, real."""
    if x.dtype.kind != "c":
        return b.mul(x, x)
    return b.add(b.mul(b.real(x), b.real(x)), b.mul(b.imag(x), b.imag(x)))


def small_triangular_solve(
    n: int, *, left_side: bool, lower: bool, transpose_a: bool, conjugate_a: bool, unit: bool
) -> Stage:
    """Return the stage for an n by n triangle and any number of right sides."""
    # On the right it is the transposed system, for each row.
    turned = transpose_a == left_side
    down = lower != turned
    order = range(n) if down else range(n - 1, -1, -1)

    def rule(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        (x, right), (out,) = ins, outs

        def one(batch: tuple[Any, ...]) -> None:
            def element(i: int, j: int) -> Any:
                value = x.load((*batch, j, i) if turned else (*batch, i, j))
                return b.conj(value) if conjugate_a else value

            before = {i: range(i) if down else range(i + 1, n) for i in range(n)}
            a = {(i, j): element(i, j) for i in range(n) for j in before[i]}
            middle = {} if unit else {i: element(i, i) for i in range(n)}

            def line(c: Any) -> None:
                found: dict[int, Any] = {}
                for i in order:
                    at = (*batch, i, c) if left_side else (*batch, c, i)
                    value = right.load(at)
                    for j in before[i]:
                        value = b.sub(value, b.mul(a[i, j], found[j]))
                    found[i] = value if unit else b.div(value, middle[i])
                    out.store(at, found[i])

            b.loop(0, right.shape[-1 if left_side else -2], line)

        for_each(b, x.shape[:-2], one)

    return rule


def small_lu(m: int, n: int, check: bool) -> Stage:
    """Return the stage for m by n matrices; with ``check`` a zero pivot is an error."""

    def rule(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        for_each(
            b, ins[0].shape[:-2], lambda batch: _eliminate(b, ins[0], outs, batch, m, n, check)
        )

    return rule


def _eliminate(
    b: Any, x: Any, outs: Any, batch: tuple[Any, ...], m: int, n: int, check: bool
) -> None:
    out, pivots, permutation = outs
    rows = [[x.load((*batch, i, j)) for j in range(n)] for i in range(m)]
    places = [b.const(i, INT32) for i in range(m)]
    zero = b.const(0, x.dtype)
    for k in range(min(m, n)):
        chosen = _largest(b, [rows[i][k] for i in range(k, m)], k)
        pivots.store((*batch, k), chosen)
        for i in range(k + 1, m):
            here = b.eq(chosen, b.const(i, INT32))
            for j in range(n):
                rows[k][j], rows[i][j] = _exchanged(b, here, rows[k][j], rows[i][j])
            places[k], places[i] = _exchanged(b, here, places[k], places[i])
        none = b.eq(rows[k][k], zero)
        if check:
            b.fail(none, "linalg", 1)
        for i in range(k + 1, m):
            # Below a pivot of zero there are zeros only.
            rows[i][k] = b.select(none, rows[i][k], b.div(rows[i][k], rows[k][k]))
            for j in range(k + 1, n):
                rows[i][j] = b.sub(rows[i][j], b.mul(rows[i][k], rows[k][j]))
    for i in range(m):
        for j in range(n):
            out.store((*batch, i, j), rows[i][j])
        permutation.store((*batch, i), places[i])


def _exchanged(b: Any, pred: Any, x: Any, y: Any) -> tuple[Any, Any]:
    return b.select(pred, y, x), b.select(pred, x, y)


def _largest(b: Any, column: list[Any], first: int) -> Any:
    """Return the number of the first of the largest elements, as LAPACK sees them."""
    best, chosen = _size(b, column[0]), b.const(first, INT32)
    for i, value in enumerate(column[1:], first + 1):
        size = _size(b, value)
        larger = b.gt(size, best)
        best = b.select(larger, size, best)
        chosen = b.select(larger, b.const(i, INT32), chosen)
    return chosen


def _size(b: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return b.abs(x)
    return b.add(b.abs(b.real(x)), b.abs(b.imag(x)))


def small_qr(m: int, n: int, columns: int) -> Stage:
    """Return the stage for m by n matrices and a Q of so many columns, by Householder's way.

    Signs are LAPACK's: a diagonal element of R has the opposite sign of what it replaced.
    """

    def rule(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        (x,), (q, r) = ins, outs
        for_each(b, x.shape[:-2], lambda batch: _orthogonalize(b, x, q, r, batch, m, n, columns))

    return rule


def _orthogonalize(
    b: Any, x: Any, q: Any, r: Any, batch: tuple[Any, ...], m: int, n: int, columns: int
) -> None:
    a = [[x.load((*batch, i, j)) for j in range(n)] for i in range(m)]
    zero, one = b.const(0, x.dtype), b.const(1, x.dtype)
    mirrors = []
    for k in range(min(m, n)):
        mirror = householder(b, [a[i][k] for i in range(k, m)])
        a[k][k] = mirror[0]
        reflect(b, a, k, range(k + 1, n), mirror, True)
        mirrors.append(mirror)
    out = [[one if i == j else zero for j in range(columns)] for i in range(m)]
    for k in reversed(range(len(mirrors))):
        reflect(b, out, k, range(k, columns), mirrors[k], False)
    for i in range(m):
        for j in range(columns):
            q.store((*batch, i, j), out[i][j])
    for i in range(columns):
        for j in range(n):
            r.store((*batch, i, j), a[i][j] if i <= j else zero)


def householder(b: Any, column: list[Any]) -> tuple[Any, Any, list[Any]]:
    """Return beta, tau and v with ``(1 - tau v v^H)^H column = (beta, 0, ...)`` and v[0] = 1."""
    first, rest = column[0], column[1:]
    complex_ = first.dtype.kind == "c"
    head = b.real(first) if complex_ else first
    one, zero = b.const(1, head.dtype), b.const(0, head.dtype)
    # Divided by the largest element, squares neither overflow nor vanish.
    parts = [p for x in rest for p in ((b.real(x), b.imag(x)) if complex_ else (x,))]
    parts += [b.imag(first)] if complex_ else []
    below = functools.reduce(b.maximum, map(b.abs, parts), zero)
    nothing = b.eq(below, zero)
    scale = b.select(nothing, one, b.maximum(below, b.abs(head)))
    squares = [b.mul(t, t) for t in (b.div(p, scale) for p in (head, *parts))]
    length = b.mul(scale, b.sqrt(functools.reduce(b.add, squares)))
    beta = b.select(nothing, head, b.neg(b.copysign(length, head)))
    safe = b.select(nothing, one, beta)
    tau = b.select(nothing, zero, b.div(b.sub(beta, head), safe))
    pivot = b.select(nothing, one, b.sub(head, beta))
    if complex_:
        tau = b.complex(tau, b.select(nothing, zero, b.neg(b.div(b.imag(first), safe))))
        pivot = b.complex(pivot, b.select(nothing, zero, b.imag(first)))
    return b.cast(beta, first.dtype), tau, [b.div(x, pivot) for x in rest]


def reflect(
    b: Any, a: list[list[Any]], k: int, columns: Any, mirror: tuple[Any, Any, list[Any]], back: bool
) -> None:
    """Apply ``1 - tau v v^H``, or its adjoint, to columns of the rows from k on."""
    _, tau, v = mirror
    complex_ = tau.dtype.kind == "c"
    factor = b.conj(tau) if back and complex_ else tau
    for j in columns:
        along = a[k][j]
        for i, x in enumerate(v, k + 1):
            along = b.add(along, b.mul(b.conj(x) if complex_ else x, a[i][j]))
        along = b.mul(factor, along)
        a[k][j] = b.sub(a[k][j], along)
        for i, x in enumerate(v, k + 1):
            a[i][j] = b.sub(a[i][j], b.mul(x, along))
