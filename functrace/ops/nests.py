"""Loop nests that lowering rules share: loops over all indices of a shape, and over its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "fold_each",
    "for_each",
    "for_each_row",
    "in_bounds",
    "moving_axis",
    "share_each",
    "unit_index",
]

Index = tuple[Any, ...]


def for_each(b: Any, extents: Sequence[Any], body: Callable[[Index], None]) -> None:
    """Emit ``body(index)`` for every index of the given extents, the last one fastest."""

    def level(index: Index) -> None:
        if len(index) == len(extents):
            body(index)
            return
        b.loop(0, extents[len(index)], lambda i: level((*index, i)))

    level(())


def share_each(b: Any, extents: Sequence[Any], body: Callable[[Index], None]) -> None:
    """Emit ``body(index)`` as ``for_each`` does; each index is a unit that threads share."""
    units = b.const(1, np.dtype(np.int64))
    for n in extents:
        units = b.mul(units, n)
    lo, hi = b.part(units)

    b.loop(lo, hi, lambda i: body(unit_index(b, i, extents)))


def unit_index(b: Any, unit: Any, extents: Sequence[Any]) -> Index:
    """Return the index of a unit, counted in row-major order."""
    index: list[Any] = []
    for n in reversed(extents[1:]):
        more = b.index_div(unit, n)
        index.append(b.sub(unit, b.mul(more, n)))
        unit = more
    return (unit, *reversed(index)) if extents else ()


def fold_each(
    b: Any, extents: Sequence[Any], inits: Sequence[Any], body: Callable[..., Sequence[Any]]
) -> list[Any]:
    """Emit a fold ``accs = body(index, *accs)`` over every index of the given extents."""

    def level(index: Index, accs: Sequence[Any]) -> Sequence[Any]:
        if len(index) == len(extents):
            return body(index, *accs)
        result: Sequence[Any] = b.fold(
            0, extents[len(index)], list(accs), lambda i, *inner: list(level((*index, i), inner))
        )
        return result

    return list(level((), inits))


def for_each_row(
    b: Any, shape: Sequence[Any], axis: int, body: Callable[[Callable[[Any], Index]], None]
) -> None:
    """Emit ``body(at)`` for each line along ``axis``; ``at(i)`` is the index of its element i."""
    others = [n for d, n in enumerate(shape) if d != axis]
    for_each(b, others, lambda index: body(lambda i: (*index[:axis], i, *index[axis:])))


def in_bounds(b: Any, i: Any, n: Any) -> Any:
    """Whether 0 <= i < n."""
    return b.and_(b.ge(i, 0), b.lt(i, n))


_TILE = 16


def moving_axis(
    b: Any, shape: Sequence[Any], axis: int, body: Callable[[Index, Index], None]
) -> None:
    """Emit ``body(index, moved)`` for each index; in ``moved`` the axis, not the last, is last.

    Lines of both sides stay in the cache.
    """
    *others, last = [n for d, n in enumerate(shape) if d != axis]

    def plane(index: Index) -> None:
        def tile(start: Any) -> None:
            stop = b.minimum(b.add(start, _TILE), last)

            def line(i: Any) -> None:
                def one(j: Any) -> None:
                    there = (*index, j)
                    body((*there[:axis], i, *there[axis:]), (*there, i))

                b.loop(start, stop, one)

            b.loop(0, shape[axis], line)

        b.loop(0, last, tile, step=_TILE)

    for_each(b, others, plane)
