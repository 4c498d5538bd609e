"""Sorting in kernels: a stable merge sort by any order, and a radix sort by numbers' bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.ops.reductions import greater_in_kernel

__all__ = ["merge_sort", "precedes", "radix_sort", "row_precedes", "rows_of"]

INT64 = np.dtype(np.int64)

Values = Sequence[Any]
Load = Callable[[Any], Values]
Store = Callable[[Any, Values], None]


def rows_of(refs: Sequence[Any], at: Callable[[Any], Any]) -> tuple[Load, Store]:
    """Return how to read and write element i of several arrays at once."""

    def load(i: Any) -> list[Any]:
        return [ref.load(at(i)) for ref in refs]

    def store(i: Any, values: Values) -> None:
        for ref, value in zip(refs, values):
            ref.store(at(i), value)

    return load, store


def precedes(b: Any, x: Any, y: Any) -> Any:
    """Whether ``x`` comes strictly before ``y``: NaN last, as NumPy orders complex numbers too."""
    if x.dtype.kind != "c":
        less = greater_in_kernel(b, y, x)
        if x.dtype.kind != "f":
            return less
        return b.or_(less, b.and_(b.is_nan(y), b.not_(b.is_nan(x))))
    # By (is the real part NaN, is the imaginary one, real part, imaginary part).
    keys = [(b.is_nan(part(x)), b.is_nan(part(y))) for part in (b.real, b.imag)]
    nothing = b.const(False, np.dtype(np.bool_))
    less, same = nothing, b.const(True, np.dtype(np.bool_))
    for p, q in keys:
        less = b.or_(less, b.and_(same, b.and_(b.not_(p), q)))
        same = b.and_(same, b.eq(p, q))
    for part in (b.real, b.imag):
        p, q = part(x), part(y)
        less = b.or_(less, b.and_(same, b.lt(p, q)))
        same = b.and_(same, b.or_(b.eq(p, q), b.is_nan(p)))
    return less


def row_precedes(b: Any, xs: Values, ys: Values, num_keys: int) -> Any:
    """Whether the values ``xs`` come strictly before ``ys``, by the first keys in turn."""
    before = precedes(b, xs[0], ys[0])
    same = None
    for k in range(1, num_keys):
        tie = b.not_(b.or_(precedes(b, xs[k - 1], ys[k - 1]), precedes(b, ys[k - 1], xs[k - 1])))
        same = tie if same is None else b.and_(same, tie)
        before = b.or_(before, b.and_(same, precedes(b, xs[k], ys[k])))
    return before


RUN = 12  # Runs of this length are sorted by insertion before they are merged.


def merge_sort(
    b: Any, n: Any, here: tuple[Load, Store], aside: tuple[Load, Store], precedes: Any
) -> None:
    """Emit a stable merge sort of n rows ``here``; ``aside`` reads and writes room for n rows."""
    load, store = here
    put_aside_load, put_aside = aside

    def insertion(start: Any) -> None:
        stop = b.minimum(b.add(start, RUN), n)

        def insert(i: Any) -> None:
            row = load(i)

            def shift(j: Any) -> list[Any]:
                store(j, load(b.sub(j, 1)))
                return [b.sub(j, 1)]

            def later(j: Any) -> Any:
                # Index 0 is read in place of one before the run; the answer is not used then.
                inside = b.gt(j, start)
                left = load(b.maximum(b.sub(j, 1), 0))
                return b.and_(inside, precedes(row, left))

            (place,) = b.while_(later, shift, [i])
            store(place, row)

        b.loop(b.add(start, 1), stop, insert)

    b.loop(0, n, insertion, step=RUN)

    def merge_pass(width: Any) -> list[Any]:
        def merge(pair: Any) -> None:
            first = b.mul(pair, b.mul(width, 2))
            middle = b.minimum(b.add(first, width), n)
            stop = b.minimum(b.add(middle, width), n)

            def step(k: Any, i: Any, j: Any) -> list[Any]:
                # Clamped reads; which of the two is taken depends on the bounds first.
                left = load(b.minimum(i, b.sub(middle, 1)))
                right = load(b.minimum(j, b.sub(n, 1)))
                has_left, has_right = b.lt(i, middle), b.lt(j, stop)
                from_right = b.and_(has_right, b.or_(b.not_(has_left), precedes(right, left)))
                put_aside(k, [b.select(from_right, r, x) for r, x in zip(right, left)])
                moved = b.cast(from_right, INT64)
                return [b.add(i, b.sub(1, moved)), b.add(j, moved)]

            b.fold(first, stop, [first, middle], step)

        double = b.mul(width, 2)
        pairs = b.floordiv(b.add(n, b.sub(double, 1)), double)
        b.loop(0, pairs, merge)
        b.loop(0, n, lambda i: store(i, put_aside_load(i)))
        return [double]

    b.while_(lambda width: b.lt(width, n), merge_pass, [b.const(RUN, INT64)])


# --- radix -------------------------------------------------------------------------------------

# From so many elements on, radix sorting beats merging.
MANY = 192
DIGIT = 8
COUNTERS = (64 // DIGIT) << DIGIT


def has_digits(dtype: np.dtype[Any]) -> bool:
    """Tell whether numbers of a dtype are sorted by their bits."""
    return dtype.kind in "iuf" and dtype.itemsize in (2, 4, 8)


def radix_key(b: Any, x: Any) -> Any:
    """Return unsigned bits in the order of the numbers: equal zeros, all NaNs alike and last."""
    bits = 8 * x.dtype.itemsize
    word = np.dtype(f"uint{bits}")
    if x.dtype.kind == "u":
        return x
    sign = b.const(1 << (bits - 1), word)
    if x.dtype.kind == "i":
        return b.xor(b.bitcast(x, word), sign)
    ones = b.const((1 << bits) - 1, word)
    zero = b.const(0, x.dtype)
    raw = b.bitcast(b.select(b.eq(x, zero), zero, x), word)
    key = b.xor(raw, b.select(b.ge(raw, sign), ones, sign))
    return b.select(b.is_nan(x), ones, key)


def radix_sort(
    b: Any,
    n: Any,
    here: tuple[Load, Store],
    aside: tuple[Load, Store],
    which: int,
    dtype: np.dtype[Any],
    counters: Any,
) -> None:
    """Emit a stable sort of n rows ``here`` by value number ``which``, digit by digit.

    ``counters`` has room for ``COUNTERS`` numbers. Digits go in pairs, there and back.
    """
    digits = 8 * dtype.itemsize // DIGIT
    size = 1 << DIGIT
    (load, store), (aside_load, aside_store) = here, aside

    def digit(key: Any, d: Any) -> Any:
        shift = b.cast(b.mul(d, DIGIT), key.dtype)
        low = b.and_(b.shr_logical(key, shift), b.const(size - 1, key.dtype))
        return b.add(b.cast(low, INT64), b.mul(d, size))

    def count(i: Any) -> None:
        key = radix_key(b, load(i)[which])
        for d in range(digits):
            place = digit(key, b.const(d, INT64))
            counters.store((place,), b.add(counters.load((place,)), 1))

    b.loop(0, digits * size, lambda i: counters.store((i,), b.const(0, INT64)))
    b.loop(0, n, count)

    def starts(d: Any) -> Any:
        """Make counts the first places of each digit's rows; tell whether all rows share one."""

        def step(i: Any, total: Any, most: Any) -> list[Any]:
            place = b.add(b.mul(d, size), i)
            here = counters.load((place,))
            counters.store((place,), total)
            return [b.add(total, here), b.maximum(most, here)]

        zero = b.const(0, INT64)
        return b.ge(b.fold(0, size, [zero, zero], step)[1], n)

    def move(d: Any, read: Load, write: Store) -> None:
        def one(i: Any) -> None:
            row = read(i)
            place = digit(radix_key(b, row[which]), d)
            target = counters.load((place,))
            write(target, row)
            counters.store((place,), b.add(target, 1))

        b.loop(0, n, one)

    def pair(p: Any) -> None:
        first, second = b.mul(p, 2), b.add(b.mul(p, 2), 1)
        same = b.and_(starts(first), starts(second))

        def both() -> list[Any]:
            move(first, load, aside_store)
            move(second, aside_load, store)
            return []

        b.cond(same, list, both)

    b.loop(0, digits // 2, pair)
