"""What the iterations for small matrices share: lanes, scales, rotations, and blocks.

A matrix of at most four rows has one block of three or more rows at most; where two of the elements
beside the diagonal are not zero, next to each other, it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

from functrace.ops.nests import for_each

__all__ = ["DOUBLE", "EPS", "INT64", "LEAST", "MOST_STEPS", "Matrix", "Steps", "ascending"]
__all__ += ["safe_scale", "side_by_side"]

#: LAPACK gives up after so many steps a row.
MOST_STEPS = 30
#: LAPACK's relative precision, and the least number whose inverse is one.
EPS, LEAST = 2.0**-53, 2.0**-1022
DOUBLE, INT64 = np.dtype(np.float64), np.dtype(np.int64)

Matrix = list[list[Any]]


def side_by_side(b: Any, x: Any, lanes: int, body: Callable[[tuple[Any, ...]], None]) -> None:
    """Emit ``body(batch)`` for each matrix; those along the last axis of a batch as lanes."""
    *outer, last = x.shape[:-2] or [None]
    if last is None:
        body(())
        return
    for_each(b, outer, lambda batch: b.lanes(0, last, lanes, lambda i: body((*batch, i))))


def safe_scale(b: Any, largest: Any) -> tuple[Any, Any]:
    """Return a power of two that makes float64 numbers safe to square, and its inverse."""
    small = b.lt(largest, b.const(2.0**-400, DOUBLE))
    large = b.gt(largest, b.const(2.0**400, DOUBLE))

    def pick(power: int) -> Any:
        rest = b.select(large, b.const(2.0**-power, DOUBLE), b.const(1, DOUBLE))
        return b.select(small, b.const(2.0**power, DOUBLE), rest)

    return pick(600), pick(-600)


class Steps:
    """What a step is made of, for matrices of n rows."""

    def __init__(self, b: Any, n: int) -> None:
        self.b, self.n = b, n

    def real(self, value: float) -> Any:
        return self.b.const(value, DOUBLE)

    def some(self, x: Any) -> Any:
        return self.b.ne(x, self.real(0))

    def unfinished(self, e: Sequence[Any]) -> Any:
        """Whether there is a block of three rows or more: two of ``e`` beside each other."""
        b, some = self.b, [self.some(x) for x in e]
        both = [b.and_(x, y) for x, y in pairwise(some)]
        return reduce(b.or_, both, b.const(False, np.bool_))

    def at_ends(self, e: list[Any], values: Sequence[Any]) -> tuple[Any, Any]:
        """Return what belongs to the first and to the last row of the block of three or more."""
        if self.n == 3:
            return values[0], values[2]
        b = self.b
        first = b.select(self.some(e[0]), values[0], values[1])
        return first, b.select(self.some(e[2]), values[3], values[2])

    def where(self, pred: Any, x: Any, y: Any) -> Any:
        return x if pred is None else self.b.select(pred, x, y)

    def rotate(self, z: Matrix, k: int, c: Any, s: Any) -> None:
        """Turn columns k and k + 1 into each other."""
        b = self.b
        for row in z:
            x, y = row[k], row[k + 1]
            row[k] = b.sub(b.mul(c, x), b.mul(s, y))
            row[k + 1] = b.add(b.mul(c, y), b.mul(s, x))

    def rotation(self, f: Any, g: Any) -> tuple[Any, Any, Any]:
        """Return the cosine, the sine, and what becomes of ``(f, g)``; no cosine is negative."""
        b, one, zero = self.b, self.real(1), self.real(0)
        tiny = b.lt(b.maximum(b.abs(f), b.abs(g)), self.real(2.0**-480))
        scale = b.select(tiny, self.real(2.0**600), one)
        x, y = b.mul(f, scale), b.mul(g, scale)
        length = b.sqrt(b.add(b.mul(x, x), b.mul(y, y)))
        signed = b.select(b.lt(x, zero), b.neg(length), length)
        none = b.eq(y, zero)
        c = b.select(none, one, b.div(b.abs(x), length))
        s = b.select(none, zero, b.div(y, signed))
        r = b.mul(signed, b.select(tiny, self.real(2.0**-600), one))
        return c, s, b.select(none, f, r)


def ascending(b: Any, d: list[Any], z: Matrix) -> None:
    """Sort as ``dsteqr`` does: each place is exchanged with the smallest after it."""
    n = len(d)
    for i in range(n - 1):
        smallest = d[i]
        chosen = [b.const(False, np.bool_)] * n
        for k in range(i + 1, n):
            less = b.lt(d[k], smallest)
            smallest = b.select(less, d[k], smallest)
            chosen = [b.and_(c, b.not_(less)) for c in chosen]
            chosen[k] = less
        for k in range(i + 1, n):
            for row in (d, *z):
                row[i], row[k] = (
                    b.select(chosen[k], row[k], row[i]),
                    b.select(chosen[k], row[i], row[k]),
                )
