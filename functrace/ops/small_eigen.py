"""Eigenvalues and vectors of symmetric matrices with a few rows, written out: no calls.

The way is LAPACK's: Householder's reduction to three diagonals (``dsytd2``), then implicit QL
steps from the end with the larger element (``dsteqr``), so signs and order are LAPACK's too. A step
is plain arithmetic and selects, and the matrices of a batch take theirs side by side. All is in
float64, as in NumPy's eigh: in float32 a step more or less would change signs.
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

__all__ = ["small_eigh"]

#: How many matrices of a batch are factorised side by side.
_LANES = 16


def small_eigh(n: int, lower: bool, vectors: bool) -> Stage:
    """Return the stage for real n by n matrices."""

    def rule(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        (x,), values = ins, outs[0]
        if n == 1:
            _copy(b, x, outs)
            return
        eigen = _Eigen(b, n, vectors)
        side_by_side(b, x, _LANES, lambda batch: _decompose(eigen, x, outs, batch, lower))
        mark = b.const(np.inf, values.dtype)

        def check(batch: tuple[Any, ...]) -> None:
            b.fail(b.eq(values.load((*batch, 0)), mark), "linalg", 2)

        for_each(b, x.shape[:-2], check)

    return rule


def _copy(b: Any, x: Any, outs: Any) -> None:
    """Emit what matrices of one element are decomposed into."""

    def one(batch: tuple[Any, ...]) -> None:
        outs[0].store((*batch, 0), x.load((*batch, 0, 0)))
        for vectors in outs[1:]:
            vectors.store((*batch, 0, 0), b.const(1, x.dtype))

    for_each(b, x.shape[:-2], one)


def _decompose(eigen: _Eigen, x: Any, outs: Any, batch: tuple[Any, ...], lower: bool) -> None:
    """Emit one matrix: read, scale, decompose, sort, write."""
    b, n = eigen.b, eigen.n
    # The other triangle is the same with rows and columns counted from the end.
    places = range(n) if lower else range(n - 1, -1, -1)
    a = [
        [b.cast(x.load((*batch, places[i], places[j])), DOUBLE) for j in range(i + 1)]
        for i in range(n)
    ]
    largest = functools.reduce(b.maximum, (b.abs(v) for row in a for v in row))
    infinity, nan, zero = (b.const(v, DOUBLE) for v in (np.inf, np.nan, 0.0))
    finite = b.lt(largest, infinity)
    scale, back = safe_scale(b, largest)
    a = [[b.select(finite, b.mul(v, scale), zero) for v in row] for row in a]
    d, e, z = eigen.tridiagonal(a)
    if not lower:
        d, e, z = d[::-1], e[::-1], [row[::-1] for row in reversed(z)]
    d, z, found = eigen.iterate(d, e, z)
    ascending(b, d, z)
    # As in LAPACK, what isn't finite leads nowhere in more than two rows.
    found = b.and_(found, finite) if n > 2 else found
    values = [b.select(finite, b.mul(v, back), nan) for v in d]
    values[0] = b.select(found, values[0], infinity)
    for i, value in enumerate(values):
        outs[0].store((*batch, i), b.cast(value, x.dtype))
    for i, row in enumerate(z):
        for j, value in enumerate(row):
            outs[1].store((*batch, i, j), b.cast(b.select(finite, value, nan), x.dtype))


class _Eigen(Steps):
    """The steps, for matrices of one size; without ``vectors`` z has no rows."""

    def __init__(self, b: Any, n: int, vectors: bool) -> None:
        super().__init__(b, n)
        self.vectors = vectors

    # ---- three diagonals ------------------------------------------------------------------------

    def tridiagonal(self, a: Matrix) -> tuple[list[Any], list[Any], Matrix]:
        """Return the diagonal, what is beside it, and the basis, of a lower triangle."""
        b, n = self.b, self.n
        mirrors = []
        for k in range(n - 2):
            mirror = householder(b, [a[i][k] for i in range(k + 1, n)])
            a[k + 1][k] = mirror[0]
            self._both_sides(a, k + 1, mirror)
            mirrors.append(mirror)
        one, zero = self.real(1), self.real(0)
        z = [[one if i == j else zero for j in range(n)] for i in range(n)]
        for k in reversed(range(len(mirrors))):
            reflect(b, z, k + 1, range(k + 1, n), mirrors[k], False)
        d, e = [a[i][i] for i in range(n)], [a[i + 1][i] for i in range(n - 1)]
        return d, e, z if self.vectors else []

    def _both_sides(self, a: Matrix, first: int, mirror: tuple[Any, Any, list[Any]]) -> None:
        """Apply a reflection from the left and from the right to the triangle from a row on."""
        b, (_, tau, rest) = self.b, mirror
        v = [self.real(1), *rest]
        size = range(len(v))
        part = [[a[first + max(i, j)][first + min(i, j)] for j in size] for i in size]
        w = [b.mul(tau, self._dot(row, v)) for row in part]
        half = b.mul(b.mul(self.real(-0.5), tau), self._dot(w, v))
        w = [b.add(x, b.mul(half, y)) for x, y in zip(w, v)]
        for i in size:
            for j in range(i + 1):
                both = b.add(b.mul(v[i], w[j]), b.mul(w[i], v[j]))
                a[first + i][first + j] = b.sub(part[i][j], both)

    def _dot(self, x: Sequence[Any], y: Sequence[Any]) -> Any:
        return functools.reduce(self.b.add, map(self.b.mul, x, y))

    # ---- steps ----------------------------------------------------------------------------------

    def iterate(self, d: list[Any], e: list[Any], z: Matrix) -> tuple[list[Any], Matrix, Any]:
        """Return eigenvalues, vectors, and whether they were found."""
        b, n = self.b, self.n
        e = self._without_small(d, self._split(d, e))
        turn = self._ends_smaller(d, e)
        d, e, z = self._turned(turn, d, e, z)
        if n > 2:
            limit, one = b.const(MOST_STEPS * n, INT64), b.const(1, INT64)

            def going(steps: Any, *values: Any) -> Any:
                return b.and_(self.unfinished(values[n : 2 * n - 1]), b.lt(steps, limit))

            def step(steps: Any, *values: Any) -> list[Any]:
                d, e, z = self._sweep(*self._parts(values))
                return [b.add(steps, one), *d, *self._without_small(d, e), *itertools.chain(*z)]

            start = [b.const(0, INT64), *d, *e, *itertools.chain(*z)]
            d, e, z = self._turned(turn, *self._parts(b.while_(going, step, start)[1:]))
        found = b.not_(self.unfinished(e))
        for k in range(0, n - 1, 2):
            d, z = self._pair(d, e, z, k)
        return d, z, found

    def _parts(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], Matrix]:
        n, rest = self.n, list(values[2 * self.n - 1 :])
        z = [rest[k : k + n] for k in range(0, len(rest), n)]
        return list(values[:n]), list(values[n : 2 * n - 1]), z

    def _split(self, d: list[Any], e: list[Any]) -> list[Any]:
        """Return ``e`` with zeros where the matrix falls apart from the beginning."""
        b = self.b
        roots = [b.sqrt(b.abs(x)) for x in d]
        limits = [b.mul(b.mul(x, y), self.real(EPS)) for x, y in itertools.pairwise(roots)]
        return [b.select(b.le(b.abs(x), y), self.real(0), x) for x, y in zip(e, limits)]

    def _without_small(self, d: list[Any], e: list[Any]) -> list[Any]:
        """Return ``e`` with zeros where the matrix has fallen apart."""
        b, factor = self.b, self.real(EPS**2)
        limits = [b.mul(b.mul(factor, b.abs(x)), b.abs(y)) for x, y in itertools.pairwise(d)]
        limits = [b.add(x, self.real(LEAST)) for x in limits]
        return [b.select(b.le(b.mul(x, x), y), self.real(0), x) for x, y in zip(e, limits)]

    def _ends_smaller(self, d: list[Any], e: list[Any]) -> Any:
        """Whether the block of three rows or more, if there is one, ends with the smaller element.

        LAPACK then begins at the other end.
        """
        b = self.b
        first = last = b.abs(d[0])
        if self.n > 2:
            first, last = self.at_ends(e, d)
        return b.lt(b.abs(last), b.abs(first))

    def _turned(self, turn: Any, d: list[Any], e: list[Any], z: Matrix) -> Any:
        """Count from the other end where ``turn`` holds."""

        def other(values: list[Any]) -> list[Any]:
            return [self.b.select(turn, y, x) for x, y in zip(values, values[::-1])]

        return (d, e, z) if self.n < 3 else (other(d), other(e), [other(row) for row in z])

    def _sweep(self, d: list[Any], e: list[Any], z: Matrix) -> tuple[list[Any], list[Any], Matrix]:
        """Make an implicit QL step in the block of three rows or more."""
        b, n, one, zero = self.b, self.n, self.real(1), self.real(0)
        # Of four rows the block may lack the first or the last one.
        inside = [self.some(x) if n > 3 and k != 1 else None for k, x in enumerate(e)]
        d, e, z = list(d), list(e), [list(row) for row in z]
        g = self._shifted(d, e)
        c, s, p = one, one, zero
        for k in reversed(range(n - 1)):
            here, f, h = inside[k], b.mul(s, e[k]), b.mul(c, e[k])
            c1, s1, r = self.rotation(g, f)
            if k + 2 < n:
                e[k + 1] = self.where(inside[k + 1], r, e[k + 1])
            lower = b.sub(d[k + 1], p)
            r = b.add(b.mul(b.sub(d[k], lower), s1), b.mul(b.add(c1, c1), h))
            p1 = b.mul(s1, r)
            d[k + 1] = self.where(here, b.add(lower, p1), d[k + 1])
            g = self.where(here, b.sub(b.mul(c1, r), h), g)
            c, s, p = (self.where(here, *pair) for pair in ((c1, c), (s1, s), (p1, p)))
            cosine, sine = self.where(here, c1, one), self.where(here, s1, zero)
            self.rotate(z, k, cosine, sine)
        if n == 3:
            return [b.sub(d[0], p), *d[1:]], [g, *e[1:]], z
        for k, here in enumerate((inside[0], b.not_(inside[0]))):
            d[k] = b.select(here, b.sub(d[k], p), d[k])
            e[k] = b.select(here, g, e[k])
        return d, e, z

    def _shifted(self, d: list[Any], e: list[Any]) -> Any:
        """Return the last element of the block minus the shift, an eigenvalue of its first two."""
        b = self.b
        start, last = self.at_ends(e, d)
        beside, _ = self.at_ends(e, [e[0], e[1], e[1], e[1]])
        second, _ = self.at_ends(e, [d[1], d[2], d[2], d[2]])
        g = b.div(b.sub(second, start), b.add(beside, beside))
        root = b.copysign(b.sqrt(b.add(b.mul(g, g), self.real(1))), g)
        return b.add(b.sub(last, start), b.div(beside, b.add(g, root)))

    # ---- two rows -------------------------------------------------------------------------------

    def _pair(self, d: list[Any], e: list[Any], z: Matrix, k: int) -> tuple[list[Any], Matrix]:
        """Solve the block of two rows that begins with row k or the next, if there is one."""
        b, d, z = self.b, list(d), [list(row) for row in z]
        one, zero = self.real(1), self.real(0)
        here = self.some(e[k])
        if k + 2 == self.n:
            found = self._two(d[k], e[k], d[k + 1])
            places = [(k, here)]
        else:
            ends = [b.select(here, d[k + i], d[k + 1 + i]) for i in range(2)]
            found = self._two(ends[0], b.select(here, e[k], e[k + 1]), ends[1])
            places = [(k, here), (k + 1, b.and_(b.not_(here), self.some(e[k + 1])))]
        for k, here in places:
            d[k], d[k + 1] = b.select(here, found[0], d[k]), b.select(here, found[1], d[k + 1])
            self.rotate(z, k, b.select(here, found[2], one), b.select(here, found[3], zero))
        return d, z

    def _two(self, a: Any, x: Any, c: Any) -> tuple[Any, Any, Any, Any]:
        """Return the eigenvalues of ``[[a, x], [x, c]]``, the larger first, and the rotation."""
        b, one, half, zero = self.b, self.real(1), self.real(0.5), self.real(0)
        total, gap, twice = b.add(a, c), b.sub(a, c), b.add(x, x)
        wide, side = b.abs(gap), b.abs(twice)
        most, least = b.maximum(wide, side), b.minimum(wide, side)
        ratio = b.div(least, most)
        root = b.mul(most, b.sqrt(b.add(one, b.mul(ratio, ratio))))
        first_larger = b.gt(b.abs(a), b.abs(c))
        large, small = b.select(first_larger, a, c), b.select(first_larger, c, a)
        negative, balanced = b.lt(total, zero), b.eq(total, zero)
        first = b.mul(half, b.add(total, b.select(negative, b.neg(root), root)))
        product = b.sub(b.mul(b.div(large, first), small), b.mul(b.div(x, first), x))
        second = b.select(balanced, b.neg(first), product)
        down = b.lt(gap, zero)
        reach = b.add(gap, b.select(down, b.neg(root), root))
        steep = b.gt(b.abs(reach), side)
        t = b.div(b.select(steep, twice, reach), b.neg(b.select(steep, reach, twice)))
        length = b.div(one, b.sqrt(b.add(one, b.mul(t, t))))
        other = b.mul(t, length)
        cosine, sine = b.select(steep, other, length), b.select(steep, length, other)
        # The vector belongs to the eigenvalue larger in size.
        same = b.eq(down, negative)
        sine, cosine = b.select(same, cosine, sine), b.select(same, b.neg(sine), cosine)
        return first, second, cosine, b.neg(sine)
