"""The stable order of a row in kernels, by its numbers' bits.

What is moved is one word per number: the bits that tell most apart, above where it came from.

    the highest bits in which any two differ -> three passes, digit by digit;
    numbers alike in those -> few: compared; many, and not yet in order: by all lower bits, too
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from functrace.ops.sort_kernels import radix_key

__all__ = ["PASSES", "OrderSpace", "has_bits", "order_by_bits"]

INT64, WORD, COUNT = np.dtype(np.int64), np.dtype(np.uint64), np.dtype(np.uint32)

PASSES = 3
#: Above these bits of a word are those of the key.
_PLACE = 32
#: Numbers alike in all bits seen so far are compared if they are fewer.
_COMPARED = 1024
#: So many are looked at together for two that are alike.
_BLOCK = 64


class OrderSpace(NamedTuple):
    """Where a row is put in order.

    ``words`` and ``aside`` have room for a word per number, ``counts`` for ``PASSES << digit``;
    ``order`` gets the result. Each is a pair of functions: how to read and write element i.
    """

    words: tuple[Callable[[Any], Any], Callable[[Any, Any], None]]
    aside: tuple[Callable[[Any], Any], Callable[[Any, Any], None]]
    counts: tuple[Callable[[Any], Any], Callable[[Any, Any], None]]
    order: tuple[Callable[[Any], Any], Callable[[Any, Any], None]]


def has_bits(dtype: np.dtype[Any]) -> bool:
    """Tell whether numbers of a dtype can be put in order by their bits."""
    return dtype.kind == "b" or (dtype.kind in "iuf" and dtype.itemsize <= 8)


def _key(b: Any, x: Any) -> Any:
    return b.cast(x if x.dtype.kind == "b" else radix_key(b, x), WORD)


def order_by_bits(b: Any, n: Any, number: Callable[[Any], Any], space: OrderSpace, d: int) -> None:
    """Emit: find the stable order of ``number(0)`` to ``number(n - 1)``, digits having d bits."""
    row = _Row(b, n, lambda i: _key(b, number(i)), space, d)
    _, put = space.order
    b.loop(0, n, lambda i: put(i, i))
    zero = b.const(0, INT64)
    lowest = row.window()
    rest = b.select(b.gt(lowest, 0), zero, n)

    def sort_and_search(first: Any, stop: Any, shift: Any, end: Any, after: Any) -> list[Any]:
        def window(s: Any) -> list[Any]:
            row.sort(first, stop, s)
            return [b.add(s, row.width)]

        b.while_(lambda s: b.lt(s, end), window, [shift])
        first, stop = row.next_alike(after)
        return [first, stop, zero, lowest, stop]

    b.while_(
        lambda first, *_: b.lt(first, n),
        sort_and_search,
        [zero, b.add(n, 0), lowest, b.add(lowest, 1), rest],
    )


class _Row:
    """The parts of the kernel for a row."""

    def __init__(
        self, b: Any, n: Any, key: Callable[[Any], Any], space: OrderSpace, digit: int
    ) -> None:
        self.b, self.n, self.key, self.space, self.digit = b, b.add(n, 0), key, space, digit
        self.width = min(PASSES * digit, 64 - _PLACE)

    def window(self) -> Any:
        """Emit where the window begins whose top bit is the highest in which two numbers differ."""
        b = self.b
        one = self.key(b.const(0, INT64))
        differ = b.fold(
            0, self.n, [b.const(0, WORD)], lambda i, acc: [b.or_(acc, b.xor(self.key(i), one))]
        )
        top = b.sub(64, b.cast(b.clz(differ[0]), INT64))
        return b.maximum(b.sub(top, self.width), 0)

    def sort(self, first: Any, stop: Any, shift: Any) -> None:
        """Emit: sort what ``order`` has from first to stop by the window of bits from shift on."""
        b, (words, put_word), (aside, put_aside) = self.b, self.space.words, self.space.aside
        (order, put_order), (_, put_count) = self.space.order, self.space.counts
        at = b.cast(shift, WORD)
        b.loop(0, PASSES << self.digit, lambda i: put_count(i, b.const(0, COUNT)))

        def make(i: Any) -> None:
            place = order(i)
            bits = b.shl(b.shr_logical(self.key(place), at), b.const(_PLACE, WORD))
            if self.width < 64 - _PLACE:
                bits = b.and_(bits, b.const(((1 << self.width) - 1) << _PLACE, WORD))
            word = b.or_(bits, b.cast(place, WORD))
            put_aside(i, word)
            for p in range(PASSES):
                self._count(self._counter(word, p))

        b.loop(first, stop, make)
        self._starts(first)
        self._move(0, first, stop, aside, put_word)
        self._move(1, first, stop, words, put_aside)
        self._move(2, first, stop, aside, put_word)
        low = b.const((1 << _PLACE) - 1, WORD)
        b.loop(first, stop, lambda i: put_order(i, b.cast(b.and_(words(i), low), INT64)))

    def _counter(self, word: Any, p: int) -> Any:
        b, size = self.b, 1 << self.digit
        bits = b.shr_logical(word, b.const(_PLACE + p * self.digit, WORD))
        return b.add(b.cast(b.and_(bits, b.const(size - 1, WORD)), INT64), p * size)

    def _count(self, counter: Any) -> Any:
        """Emit: add 1 to a counter; what it was."""
        count, put_count = self.space.counts
        was = count(counter)
        put_count(counter, self.b.add(was, self.b.const(1, COUNT)))
        return was

    def _starts(self, first: Any) -> None:
        """Emit: make counts the first places of each digit's words."""
        b, (count, put_count), size = self.b, self.space.counts, 1 << self.digit

        def step(i: Any, *totals: Any) -> list[Any]:
            after = []
            for p, total in enumerate(totals):
                counter = b.add(i, p * size)
                here = count(counter)
                put_count(counter, total)
                after.append(b.add(total, here))
            return after

        b.fold(0, size, [b.cast(first, COUNT)] * PASSES, step)

    def _move(self, p: int, first: Any, stop: Any, read: Any, write: Any) -> None:
        b = self.b

        def one(i: Any) -> None:
            word = read(i)
            write(b.cast(self._count(self._counter(word, p)), INT64), word)

        b.loop(first, stop, one)

    # --- numbers alike in the highest window ---

    def next_alike(self, start: Any) -> Any:
        """Emit: from ``start`` on, sort numbers that are alike, if they are few.

        Returns first and stop of the next that are many and not yet in order, or n twice.
        """
        b, n, zero = self.b, self.n, self.b.const(0, INT64)

        def look(i: Any, stop: Any) -> list[Any]:
            block = b.minimum(b.add(i, _BLOCK), b.sub(n, 1))
            (least,) = b.fold(i, block, [b.const(-1 % (1 << 64), WORD)], nearest)
            after = b.select(b.lt(block, b.sub(n, 1)), block, n)
            alike = b.lt(least, b.const(1 << _PLACE, WORD))
            return b.cond(alike, lambda: settle_from(i), lambda: [after, zero])  # type: ignore[no-any-return]

        def nearest(i: Any, least: Any) -> list[Any]:
            return [b.minimum(least, self._differ(i, b.add(i, 1)))]

        def settle_from(i: Any) -> list[Any]:
            (alike,) = b.while_(lambda i: b.not_(self._alike(i)), lambda i: [b.add(i, 1)], [i])
            return self._settle(alike)

        first, stop = b.while_(
            lambda i, stop: b.and_(b.eq(stop, 0), b.lt(i, n)), look, [start, zero]
        )
        return first, b.select(b.eq(stop, 0), n, stop)

    def _differ(self, i: Any, j: Any) -> Any:
        return self.b.xor(self.space.words[0](i), self.space.words[0](j))

    def _alike(self, i: Any) -> Any:
        """Whether words i and i + 1 have the same bits of the key."""
        b = self.b
        following = b.minimum(b.add(i, 1), b.sub(self.n, 1))
        same = b.lt(self._differ(i, following), b.const(1 << _PLACE, WORD))
        return b.and_(same, b.lt(b.add(i, 1), self.n))

    def _settle(self, first: Any) -> list[Any]:
        """Emit: sort the numbers from ``first`` on that are alike, or return them."""
        b, (order, _) = self.b, self.space.order
        zero = b.const(0, INT64)
        (last,) = b.while_(self._alike, lambda i: [b.add(i, 1)], [first])
        stop = b.add(last, 1)

        def in_order(i: Any) -> Any:
            following = order(b.minimum(b.add(i, 1), last))
            return b.and_(b.lt(i, last), b.not_(self._precedes(following, order(i))))

        def by_comparing() -> list[Any]:
            self._shell_sort(first, stop)
            return [stop, zero]

        def unsorted() -> list[Any]:
            many = b.ge(b.sub(stop, first), _COMPARED)
            return b.cond(many, lambda: [first, stop], by_comparing)  # type: ignore[no-any-return]

        (ordered,) = b.while_(in_order, lambda i: [b.add(i, 1)], [first])
        return b.cond(b.lt(ordered, last), unsorted, lambda: [stop, zero])  # type: ignore[no-any-return]

    def _precedes(self, one: Any, other: Any) -> Any:
        """Whether the number at a place comes before that at another: no two are equal."""
        b, x, y = self.b, self.key(one), self.key(other)
        return b.or_(b.lt(x, y), b.and_(b.eq(x, y), b.lt(one, other)))

    def _shell_sort(self, first: Any, stop: Any) -> None:
        """Emit: sort from first to stop by insertion, among numbers ever closer to each other."""
        b, (order, put_order) = self.b, self.space.order

        def insert_all(gap: Any) -> list[Any]:
            lowest = b.add(first, gap)

            def insert(i: Any) -> None:
                place = order(i)

                def later(j: Any) -> Any:
                    left = order(b.maximum(b.sub(j, gap), first))
                    return b.and_(b.ge(j, lowest), self._precedes(place, left))

                def shift(j: Any) -> list[Any]:
                    put_order(j, order(b.sub(j, gap)))
                    return [b.sub(j, gap)]

                (j,) = b.while_(later, shift, [i])
                put_order(j, place)

            b.loop(lowest, stop, insert)
            smaller = b.maximum(b.shr(b.mul(gap, 7), 4), 1)
            return [b.select(b.gt(gap, 1), smaller, 0)]

        gap = b.maximum(b.shr(b.sub(stop, first), 1), 1)
        b.while_(lambda gap: b.gt(gap, 0), insert_all, [gap])
