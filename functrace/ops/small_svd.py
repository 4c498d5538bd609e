"""Singular values and vectors of real matrices with a few rows and columns, written out: no calls.

The way is LAPACK's: Householder's reduction to two diagonals (``dgebrd``, after a triangle where
matrices are wide), then implicit QR steps in the direction from the larger to the smaller elements
(``dbdsqr``), so signs are LAPACK's too. All is in float64, as in NumPy's svd.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.ops.nests import for_each
from functrace.ops.small_matrices import Stage, householder, reflect
from functrace.ops.small_steps import (
    DOUBLE,
    EPS,
    INT64,
    LEAST,
    MOST_STEPS,
    Matrix,
    Steps,
    ascending,
    safe_scale,
    side_by_side,
)

__all__ = ["small_svd"]

#: How many matrices of a batch are factorised side by side.
_LANES = 8
#: LAPACK's tolerance, relative to the singular values.
_TOLERANCE = EPS**0.875


def small_svd(m: int, n: int, columns: int, rows: int) -> Stage:
    """Return the stage for m by n matrices, with so many left and right vectors, or none."""

    def rule(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        (x,), values = ins, outs[1 if columns else 0]
        svd = _Svd(b, m, n, (columns, rows))
        side_by_side(b, x, _LANES, lambda batch: _decompose(svd, x, outs, batch))
        mark = b.const(np.inf, values.dtype)

        def check(batch: tuple[Any, ...]) -> None:
            b.fail(b.eq(values.load((*batch, min(m, n) - 1)), mark), "linalg", 3)

        for_each(b, x.shape[:-2], check)

    return rule


def _decompose(svd: _Svd, x: Any, outs: Any, batch: tuple[Any, ...]) -> None:
    """Emit one matrix: read, scale, decompose, sort, write."""
    b, (m, n) = svd.b, svd.shape
    a = [[b.cast(x.load((*batch, i, j)), DOUBLE) for j in range(n)] for i in range(m)]
    largest = functools.reduce(b.maximum, (b.abs(v) for row in a for v in row))
    infinity, zero = b.const(np.inf, DOUBLE), b.const(0, DOUBLE)
    finite = b.lt(largest, infinity)
    scale, back = safe_scale(b, largest)
    a = [[b.select(finite, b.mul(v, scale), zero) for v in row] for row in a]
    d, u, v, found = svd.run(a)
    values = [b.mul(s, back) for s in d]
    # The least of finite numbers' singular values is never infinite.
    values[-1] = b.select(b.and_(found, finite), values[-1], infinity)
    for i, value in enumerate(values):
        outs[1 if svd.vectors else 0].store((*batch, i), b.cast(value, x.dtype))
    if not svd.vectors:
        return
    for i, row in enumerate(u):
        for j, value in enumerate(row):
            outs[0].store((*batch, i, j), b.cast(value, x.dtype))
    for j, row in enumerate(v):
        for i, value in enumerate(row):
            outs[2].store((*batch, i, j), b.cast(value, x.dtype))


class _Svd(Steps):
    """The steps, for matrices of one size; without ``vectors`` u and v have no rows."""

    def __init__(self, b: Any, m: int, n: int, kept: tuple[int, int]) -> None:
        super().__init__(b, min(m, n))
        self.shape, self.kept, self.vectors = (m, n), kept, bool(kept[0])

    def run(self, a: Matrix) -> tuple[list[Any], Matrix, Matrix, Any]:
        """Return singular values, vectors as columns, and whether they were found."""
        b, n = self.b, self.n
        d, e, u, v = self.bidiagonal(a)
        if n == 1:
            # The sign is given to the left vector.
            for row in u:
                row[0] = b.select(b.lt(d[0], self.real(0)), b.neg(row[0]), row[0])
            return [b.abs(d[0])], u, v, b.const(True, np.bool_)
        first = [[row[:n] for row in z] for z in (u, v)]
        d, left, right, found = self.iterate(d, e, *first)
        for row in right:
            row[:] = [b.select(b.lt(x, self.real(0)), b.neg(y), y) for x, y in zip(d, row)]
        d = [b.abs(x) for x in d][::-1]
        columns = [row[::-1] for row in (*left, *right)]
        ascending(b, d, columns)
        columns = [row[::-1] for row in columns]
        u = [[*row, *rest[n:]] for row, rest in zip(columns, u)]
        v = [[*row, *rest[n:]] for row, rest in zip(columns[len(left) :], v)]
        return d[::-1], u, v, found

    # ---- two diagonals --------------------------------------------------------------------------

    def bidiagonal(self, a: Matrix) -> tuple[list[Any], list[Any], Matrix, Matrix]:
        """Return the diagonal, what is above it, and both bases."""
        (m, n), (left, right) = self.shape, self.kept
        if m >= n:
            return self._reduced(a, left, right)
        turned = [list(column) for column in zip(*a)]
        if n >= m * 11 // 6:
            # LAPACK makes a triangle first where matrices are this wide.
            mirrors = self._triangle(turned)
            zero = self.real(0)
            low = [[turned[j][i] if j <= i else zero for j in range(m)] for i in range(m)]
            d, e, u, v = self._reduced(low, left, m if right else 0)
            return d, e, u, self._applied(mirrors, self._extended(v, n, right), 0)
        d, e, v, u = self._reduced(turned, right, left)
        for k in range(self.n - 1):
            # What is below the diagonal goes above it.
            c, s, d[k] = self.rotation(d[k], e[k])
            e[k], d[k + 1] = self.b.mul(s, d[k + 1]), self.b.mul(c, d[k + 1])
            self.rotate(u, k, c, self.b.neg(s))
        return d, e, u, v

    def _triangle(self, a: Matrix) -> list[Any]:
        """Make the upper triangle of a tall matrix; the reflections that do it."""
        mirrors = []
        for k in range(len(a[0])):
            mirror = householder(self.b, [row[k] for row in a[k:]])
            a[k][k] = mirror[0]
            reflect(self.b, a, k, range(k + 1, len(a[0])), mirror, True)
            mirrors.append(mirror)
        return mirrors

    def _extended(self, z: Matrix, rows: int, columns: int) -> Matrix:
        """Return ``z`` in the corner of a larger identity."""
        one, zero = self.real(1), self.real(0)
        out = [[one if i == j else zero for j in range(columns)] for i in range(rows)]
        for row, inner in zip(out, z):
            row[: len(inner)] = inner
        return out if columns else []

    def _applied(self, mirrors: Sequence[Any], z: Matrix, first: int) -> Matrix:
        """Apply reflections, the last one first, to the rows from ``first`` on."""
        for k in reversed(range(len(mirrors))):
            if z:
                reflect(self.b, z, k + first, range(len(z[0])), mirrors[k], False)
        return z

    def _reduced(self, a: Matrix, left: int, right: int) -> tuple[Any, Any, Matrix, Matrix]:
        """Reduce a matrix no wider than high; ``left`` and ``right`` columns of the bases."""
        b, m, n = self.b, len(a), len(a[0])
        a = [list(row) for row in a]
        lefts, rights = [], []
        for k in range(n):
            mirror = householder(b, [row[k] for row in a[k:]])
            a[k][k] = mirror[0]
            reflect(b, a, k, range(k + 1, n), mirror, True)
            lefts.append(mirror)
            if k + 2 < n:
                mirror = householder(b, a[k][k + 1 :])
                a[k][k + 1] = mirror[0]
                below = [[a[i][j] for i in range(k + 1, m)] for j in range(n)]
                reflect(b, below, k + 1, range(m - k - 1), mirror, True)
                for i, j in itertools.product(range(k + 1, m), range(k + 1, n)):
                    a[i][j] = below[j][i - k - 1]
                rights.append(mirror)
        d, e = [a[k][k] for k in range(n)], [a[k][k + 1] for k in range(n - 1)]
        u = self._applied(lefts, self._extended([], m, left), 0)
        return d, e, u, self._applied(rights, self._extended([], n, right), 1)

    # ---- steps ----------------------------------------------------------------------------------

    def iterate(self, d: list[Any], e: list[Any], u: Matrix, v: Matrix) -> Any:
        """Return singular values, still with signs, vectors, and whether they were found."""
        b, n = self.b, self.n
        limit = self._limit(d, e)
        e = [b.select(b.le(b.abs(x), limit), self.real(0), x) for x in e]
        if n > 2:
            first, last = self.at_ends(e, d)
            turn = b.lt(b.abs(first), b.abs(last))
            d, e, u, v = self._turned(turn, d, e, u, v)
            rows, most = len(u), b.const(MOST_STEPS * n, INT64)

            def going(steps: Any, *values: Any) -> Any:
                return b.and_(self.unfinished(values[n : 2 * n - 1]), b.lt(steps, most))

            def step(steps: Any, *values: Any) -> list[Any]:
                d, e, u, v = self._step(turn, *self._parts(values, rows))
                e = self._settled(d, e, limit)
                return [b.add(steps, b.const(1, INT64)), *d, *e, *itertools.chain(*u, *v)]

            e = self._settled(d, e, limit)
            start = [b.const(0, INT64), *d, *e, *itertools.chain(*u, *v)]
            end = b.while_(going, step, start)[1:]
            d, e, u, v = self._turned(turn, *self._parts(end, rows))
        found = b.not_(self.unfinished(e))
        for k in range(0, n - 1, 2):
            d, u, v = self._pair(d, e, u, v, k)
        return d, u, v, found

    def _parts(self, values: Sequence[Any], rows: int) -> Any:
        n, rest = self.n, list(values[2 * self.n - 1 :])
        z = [rest[k : k + n] for k in range(0, len(rest), n)]
        return list(values[:n]), list(values[n : 2 * n - 1]), z[:rows], z[rows:]

    def _turned(self, turn: Any, d: list[Any], e: list[Any], u: Matrix, v: Matrix) -> Any:
        """Count from the other end where ``turn`` holds; there left and right change places."""

        def other(values: list[Any]) -> list[Any]:
            return [self.b.select(turn, y, x) for x, y in zip(values, values[::-1])]

        return other(d), other(e), [other(row) for row in u], [other(row) for row in v]

    def _limit(self, d: list[Any], e: list[Any]) -> Any:
        """Return how large an element beside the diagonal is nothing."""
        n = self.n
        _, least = self._least(d, e, [None] * (n - 1))
        least = self.b.mul(least, self.real(_TOLERANCE / np.sqrt(n)))
        return self.b.maximum(least, self.real(6 * n * n * LEAST))

    def _least(self, d: list[Any], e: list[Any], inside: list[Any]) -> tuple[list[Any], Any]:
        """Return bounds of the least singular value of each part of the block, and of all of it."""
        b, zero = self.b, self.real(0)
        bound = b.abs(d[0])
        if inside[0] is not None:
            bound = b.select(inside[0], bound, b.abs(d[1]))
        bounds, least = [bound], bound
        for k, here in enumerate(inside):
            total = b.add(bound, b.abs(e[k]))
            ratio = b.select(b.eq(bound, zero), zero, b.div(bound, total))
            bound = self.where(here, b.mul(b.abs(d[k + 1]), ratio), bound)
            bounds.append(bound)
            least = b.minimum(least, bound)
        return bounds, least

    def _inside(self, e: list[Any]) -> list[Any]:
        """Whether each of ``e`` is in the block of three rows or more; None: if there is one."""
        return [self.some(x) if self.n > 3 and k != 1 else None for k, x in enumerate(e)]

    def _settled(self, d: list[Any], e: list[Any], limit: Any) -> list[Any]:
        """Return ``e`` with zeros where the matrix has fallen apart."""
        b, zero, tolerance = self.b, self.real(0), self.real(_TOLERANCE)
        e = [b.select(b.le(b.abs(x), limit), zero, x) for x in e]
        for _ in range(self.n - 2):
            inside, active = self._inside(e), self.unfinished(e)
            bounds, _least = self._least(d, e, inside)
            last = self.at_ends(e, d)[1]
            final = self._last_of(e)
            hit = b.and_(active, b.le(b.abs(final), b.mul(tolerance, b.abs(last))))
            out = self._with_last(e, b.select(hit, zero, final))
            done = b.or_(hit, b.not_(active))
            for k, here in enumerate(inside):
                small = b.le(b.abs(e[k]), b.mul(tolerance, bounds[k]))
                hit = b.and_(b.not_(done), small)
                hit = hit if here is None else b.and_(hit, here)
                out[k], done = b.select(hit, zero, out[k]), b.or_(done, hit)
            e = out
        return e

    def _last_of(self, e: list[Any]) -> Any:
        """Return the last of ``e`` in the block of three rows or more."""
        return e[1] if self.n == 3 else self.b.select(self.some(e[2]), e[2], e[1])

    def _with_last(self, e: list[Any], value: Any, was: list[Any] | None = None) -> list[Any]:
        """Return ``e`` with another last element of the block."""
        b, was = self.b, was or e
        if self.n == 3:
            return [e[0], value]
        third = self.some(was[2])
        return [e[0], b.select(third, e[1], value), b.select(third, value, e[2])]

    def _step(self, turn: Any, d: list[Any], e: list[Any], u: Matrix, v: Matrix) -> Any:
        """Make an implicit QR step in the block of three rows or more."""
        b, n = self.b, self.n
        u, v = [list(row) for row in u], [list(row) for row in v]
        inside, shift = self._inside(e), self._shift(d, e)
        zero = b.eq(shift, self.real(0))
        shifted = self._sweep(d, e, inside, shift)
        out = b.cond(zero, lambda: self._zero_sweep(d, e, inside), lambda: shifted)
        d, e, rest = out[:n], out[n : 2 * n - 1], out[2 * n - 1 :]
        first, second = rest[: 2 * (n - 1)], rest[2 * (n - 1) :]
        for k in range(n - 1):
            (c, s), (c1, s1) = first[2 * k : 2 * k + 2], second[2 * k : 2 * k + 2]
            self.rotate(v, k, b.select(turn, c1, c), b.neg(b.select(turn, s1, s)))
            self.rotate(u, k, b.select(turn, c, c1), b.neg(b.select(turn, s, s1)))
        return d, e, u, v

    def _shift(self, d: list[Any], e: list[Any]) -> Any:
        """Return the smaller singular value of the block's last two rows, or 0 if it is small."""
        b, n, one, zero = self.b, self.n, self.real(1), self.real(0)
        first, last = self.at_ends(e, d)
        _, before = self.at_ends(e, [d[0], d[0], *d[1:]][: n + 1])
        beside = self._last_of(e)
        _, least = self._least(d, e, self._inside(e))
        most = functools.reduce(b.maximum, map(b.abs, (*d, *e)))
        low = b.minimum(b.abs(before), b.abs(last))
        high = b.maximum(b.abs(before), b.abs(last))
        ratio, side = b.div(low, high), b.div(b.abs(beside), high)
        up, down, side = b.add(one, ratio), b.sub(one, ratio), b.mul(side, side)
        roots = [b.sqrt(b.add(b.mul(x, x), side)) for x in (up, down)]
        shift = b.mul(low, b.div(self.real(2), b.add(*roots)))
        part = b.div(shift, b.abs(first))
        none = b.le(b.mul(self.real(n * _TOLERANCE), b.div(least, most)), self.real(EPS))
        none = b.or_(none, b.lt(b.mul(part, part), self.real(EPS)))
        return b.select(b.or_(none, b.eq(high, zero)), zero, shift)

    def _sweep(self, d: list[Any], e: list[Any], inside: list[Any], shift: Any) -> list[Any]:
        """Return diagonals, right and left rotations of a step with a shift."""
        b, d, e, old = self.b, list(d), list(e), e
        start, _ = self.at_ends(e, d)
        g, _ = self.at_ends(e, [e[0], e[1], e[1], e[1]])
        sign = b.copysign(self.real(1), start)
        f = b.mul(b.sub(b.abs(start), shift), b.add(sign, b.div(shift, start)))
        rotations: list[list[Any]] = [[], []]
        for k, here in enumerate(inside):
            c, s, r = self.rotation(f, g)
            if k:
                e[k - 1] = self.where(self._both(inside, k), r, e[k - 1])
            f1 = b.add(b.mul(c, d[k]), b.mul(s, e[k]))
            side = b.sub(b.mul(c, e[k]), b.mul(s, d[k]))
            g1, below = b.mul(s, d[k + 1]), b.mul(c, d[k + 1])
            c1, s1, r1 = self.rotation(f1, g1)
            d[k] = self.where(here, r1, d[k])
            f = self.where(here, b.add(b.mul(c1, side), b.mul(s1, below)), f)
            d[k + 1] = self.where(here, b.sub(b.mul(c1, below), b.mul(s1, side)), d[k + 1])
            if k + 1 < len(e):
                more = self._both(inside, k + 1)
                g = self.where(more, b.mul(s1, e[k + 1]), g)
                e[k + 1] = self.where(more, b.mul(c1, e[k + 1]), e[k + 1])
            self._note(rotations, here, (c, s), (c1, s1))
        return [*d, *self._with_last(e, f, old), *rotations[0], *rotations[1]]

    def _both(self, inside: list[Any], k: int) -> Any:
        """Whether elements k - 1 and k are both in the block; None: if there is one."""
        return inside[k] if inside[k - 1] is None else inside[k - 1]

    def _note(self, rotations: list[list[Any]], here: Any, *pairs: tuple[Any, Any]) -> None:
        for found, (c, s) in zip(rotations, pairs):
            found += [self.where(here, c, self.real(1)), self.where(here, s, self.real(0))]

    def _zero_sweep(self, d: list[Any], e: list[Any], inside: list[Any]) -> list[Any]:
        """Return the same of a step without shift, which keeps small values exact."""
        b, d, e, old = self.b, list(d), list(e), e
        c = c1 = self.real(1)
        s1 = self.real(0)
        rotations: list[list[Any]] = [[], []]
        for k, here in enumerate(inside):
            c2, s2, r = self.rotation(b.mul(d[k], c), e[k])
            if k:
                e[k - 1] = self.where(self._both(inside, k), b.mul(s1, r), e[k - 1])
            c3, s3, r3 = self.rotation(b.mul(c1, r), b.mul(d[k + 1], s2))
            d[k] = self.where(here, r3, d[k])
            self._note(rotations, here, (c2, s2), (c3, s3))
            c, c1, s1 = (self.where(here, *pair) for pair in ((c2, c), (c3, c1), (s3, s1)))
        end = b.mul(self.at_ends(old, d)[1], c)
        value = b.mul(end, c1)
        if self.n == 3:
            d[2] = value
        else:
            third = self.some(old[2])
            d[2], d[3] = b.select(third, d[2], value), b.select(third, value, d[3])
        e = self._with_last(e, b.mul(end, s1), old)
        return [*d, *e, *rotations[0], *rotations[1]]

    # ---- two rows -------------------------------------------------------------------------------

    def _pair(self, d: list[Any], e: list[Any], u: Matrix, v: Matrix, k: int) -> Any:
        """Solve the block of two rows that begins with row k or the next, if there is one."""
        b, one, zero = self.b, self.real(1), self.real(0)
        d, u, v = list(d), [list(row) for row in u], [list(row) for row in v]
        here = self.some(e[k])
        places = [(k, here)]
        f, g, h = d[k], e[k], d[k + 1]
        if k + 2 < self.n:
            places.append((k + 1, b.and_(b.not_(here), self.some(e[k + 1]))))
            f, h = (b.select(here, d[k + i], d[k + 1 + i]) for i in range(2))
            g = b.select(here, e[k], e[k + 1])
        largest, least, right, left = self._two(f, g, h)
        for k, here in places:
            d[k], d[k + 1] = b.select(here, largest, d[k]), b.select(here, least, d[k + 1])
            for z, (c, s) in ((u, left), (v, right)):
                self.rotate(z, k, b.select(here, c, one), b.neg(b.select(here, s, zero)))
        return d, u, v

    def _two(self, f: Any, g: Any, h: Any) -> tuple[Any, Any, tuple[Any, Any], tuple[Any, Any]]:
        """Return the singular values of ``[[f, g], [0, h]]`` and the rotations, as ``dlasv2``."""
        b, one, zero, two = self.b, self.real(1), self.real(0), self.real(2)
        swap = b.gt(b.abs(h), b.abs(f))
        ft, ht = b.select(swap, h, f), b.select(swap, f, h)
        fa, ha, ga = b.abs(ft), b.abs(ht), b.abs(g)
        large = b.and_(b.gt(ga, fa), b.lt(b.div(fa, ga), self.real(EPS)))
        gap = b.sub(fa, ha)
        near = b.select(b.eq(gap, fa), one, b.div(gap, fa))
        m = b.div(g, ft)
        t = b.sub(two, near)
        mm = b.mul(m, m)
        s = b.sqrt(b.add(b.mul(t, t), mm))
        r = b.select(b.eq(near, zero), b.abs(m), b.sqrt(b.add(b.mul(near, near), mm)))
        mean = b.mul(self.real(0.5), b.add(s, r))
        tiny = b.select(
            b.eq(near, zero),
            b.mul(b.copysign(two, ft), b.copysign(one, g)),
            b.add(b.div(g, b.copysign(gap, ft)), b.div(m, t)),
        )
        usual = b.mul(b.add(b.div(m, b.add(s, t)), b.div(m, b.add(r, near))), b.add(one, mean))
        t = b.select(b.eq(mm, zero), tiny, usual)
        length = b.sqrt(b.add(b.mul(t, t), self.real(4)))
        crt, srt = b.div(two, length), b.div(t, length)
        clt = b.div(b.add(crt, b.mul(srt, m)), mean)
        slt = b.div(b.mul(b.div(ht, ft), srt), mean)
        largest = b.select(large, ga, b.mul(fa, mean))
        least = b.select(large, b.mul(b.div(fa, ga), ha), b.div(ha, mean))
        clt, slt = b.select(large, one, clt), b.select(large, b.div(ht, g), slt)
        crt, srt = b.select(large, b.div(ft, g), crt), b.select(large, one, srt)
        left = b.select(swap, srt, clt), b.select(swap, crt, slt)
        right = b.select(swap, slt, crt), b.select(swap, clt, srt)
        return *self._signed(f, g, h, largest, least, (left, right, swap, ga, fa)), right, left

    def _signed(self, f: Any, g: Any, h: Any, largest: Any, least: Any, found: Any) -> Any:
        """Give the values the signs that belong to the rotations."""
        b, one = self.b, self.real(1)
        left, right, swap, ga, fa = found

        def sign(x: Any) -> Any:
            return b.copysign(one, x)

        plain = b.mul(b.mul(sign(right[0]), sign(left[0])), sign(f))
        beside = b.mul(b.mul(sign(right[1]), sign(left[0])), sign(g))
        below = b.mul(b.mul(sign(right[1]), sign(left[1])), sign(h))
        which = b.select(b.gt(ga, fa), beside, b.select(swap, below, plain))
        lower = b.mul(b.mul(which, sign(f)), sign(h))
        return b.copysign(largest, which), b.copysign(least, lower)
