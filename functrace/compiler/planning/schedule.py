"""Decides how a loop group runs: which axes collapse, which loop is the innermost, what is split.

    map      loops over the space, innermost along memory
    tiles    a map some of whose operands run along memory in another loop: square pieces
    rows     the innermost loop is reduced: lanes along it, a fixed tree at the end
    columns  the innermost loop is kept: a block of it is accumulated at a time
    blocks   as rows, of one large row: in pieces of the outermost loop, then of their results

Folds that leave a few columns side by side are bundles: the loop over those is written out, as the
innermost one of whatever else the loops are.

The order in which a fold adds depends on the sizes alone: pieces for threads are cut along kept
loops only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from functrace.compiler.ir.kernel import TURNED
from functrace.compiler.plan import Array, Group, Read, contiguous_strides
from functrace.compiler.planning.copies import is_copy
from functrace.core.lowering import Indexed

__all__ = ["TILE", "TILE_WIDTH", "TINY", "Access", "Loop", "Schedule", "check_schedule", "schedule"]

#: Programs of at most this many scalar operations get kernels without SIMD code.
TINY = 4096

#: Extents up to this are part of the kernel; all others are data.
STATIC_EXTENT = 4
#: How many columns are accumulated at once.
COLUMNS = 512
#: A tile's rows and columns: more rows would be more pages and lines of memory at a time than
#: caches keep track of. And the extents from which tiles are worth it: of the innermost loop, and
#: of the one that it crosses.
TILE, TILE_WIDTH, _TILED, _CROSSED = 16, 64, 96, 5
#: Maps of fewer points stay in the cache whichever way they go; mere copies gain from few points
#: on, if so much of the blocks they are turned in is filled.
_TILED_POINTS, _COPIED_POINTS, _FILLED = 1 << 14, 512, 0.65
#: Folds of more elements than this are worth a register of partial results.
_BUNDLED = 16
#: A large fold to one result is cut in pieces of about this many elements.
_BLOCK = 1 << 16
#: A piece for one thread is worth about this many scalar operations, some 15 microseconds; with
#: fewer than the second all in all, waking a thread costs more than it brings.
_PIECE, _FORK = 1 << 17, 3 << 17
#: Likewise for threads that are awake: to join one costs less than a microsecond.
_LIGHT_PIECE, _LIGHT_FORK = 1 << 15, 3 << 15
#: Pieces are made so many times something; and long ones, so many points long.
_SHARES, _LONG, _WHOLE = 4, 1 << 10, 64
_HIDDEN = 4
#: So many bytes that are turned take as long as one scalar operation.
_TURNED_BYTES = 4


@dataclass(frozen=True, slots=True)
class Access:
    """Memory that a group touches: an array, with a stride along each loop."""

    array: Array
    strides: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop: the axes of the space it runs over, its extent, whether folds reduce it."""

    axes: tuple[int, ...]
    extent: int
    reduced: bool

    @property
    def static(self) -> bool:
        """Whether the extent is part of the kernel."""
        return self.extent <= STATIC_EXTENT


@dataclass(frozen=True, slots=True)
class Schedule:
    """The loops of a group, outermost first, and its accesses by key (see ``access_key``)."""

    style: str
    loops: tuple[Loop, ...]
    accesses: dict[tuple[object, ...], Access]
    extent: int
    grain: int
    tiny: bool
    block: int = 0
    bundle: bool = False
    light: bool = False

    def __str__(self) -> str:
        loops = ", ".join(f"{'fold' if x.reduced else 'for'} {x.extent}" for x in self.loops)
        split = f" in pieces of {self.grain}" if self.grain else ""
        return f"{self.style}: {loops or 'one point'}; outer range {self.extent}{split}"


Key = tuple[object, ...]


def read_key(read: Read, space: tuple[int, ...]) -> tuple[Array, tuple[int, ...], int]:
    """Return the key of a read at the points of a space."""
    return (read.array, space_strides(read, space), read.offset)


def space_strides(read: Read, space: tuple[int, ...]) -> tuple[int, ...]:
    """Return a read's strides along the axes of a space; scalars have stride 0."""
    strides = read.space_strides()
    return strides if len(strides) == len(space) else (0,) * len(space)


def store_key(array: Array) -> Key:
    """Return the key of the store of a result."""
    return (array, "store")


def schedule(group: Group, cost: int, tiny: bool = False) -> Schedule:
    """Return the schedule of a loop group.

    Args:
        group: the group.
        cost: about how many scalar operations one point takes.
        tiny: whether the program does so little that SIMD code isn't worth compiling.
    """
    touched = {key: access for part in group.parts for key, access in _touched(part)}
    collapsed = _loops(group, list(touched.values()))
    bundle = _bundle(group, collapsed)
    unbundled = [x for x in collapsed if x not in bundle]
    loops, style = _ordered(unbundled, touched, bool(group.axes), all(map(is_copy, group.ops)))
    loops = (*loops, *bundle)
    accesses = {
        key: Access(a.array, tuple(a.strides[x.axes[-1]] for x in loops), a.offset)
        for key, a in touched.items()
    }
    extent, inner = _outer(loops, style)
    block = _block(group, loops, style)
    if block:
        extent = -(-loops[0].extent // block)
        return Schedule("blocks", loops, accesses, extent, 1, tiny, block)
    # SIMD code hides most of what vector math takes.
    work = inner * max(1, cost // _HIDDEN, _turning(loops, accesses.values(), style))
    grain = piece_of(extent, work)
    light = not grain and extent * work >= _LIGHT_FORK
    if light:
        grain = _even(extent, max(1, _LIGHT_PIECE // work))
    return Schedule(style, loops, accesses, extent, grain, tiny, bundle=bool(bundle), light=light)


def _turning(loops: Sequence[Loop], accesses: Iterable[Access], style: str) -> int:
    """Return about how many scalar operations a point of tiles takes: all of it is memory."""
    if style != "tiles":
        return 0
    cross, inner = len(loops) - 2, len(loops) - 1
    found = {a for a in accesses if a.strides[cross] == 1 and a.strides[inner] not in (0, 1)}
    return max(1, sum(a.array.dtype.itemsize for a in found) // _TURNED_BYTES)


def piece_of(extent: int, work: int) -> int:
    """Return how much of an outer range is one piece for a thread, 0 if it isn't cut.

    Args:
        extent: the outer range.
        work: about how many scalar operations one of it takes.
    """
    piece = max(1, _PIECE // max(1, work))
    return _even(extent, piece) if extent > piece and extent * work >= _FORK else 0


def _even(extent: int, piece: int) -> int:
    """Return about a piece, such that two or four threads have equally much to do.

    Long ones hold whole lines of memory: what begins within a line takes more time throughout.
    """
    pieces = -(-extent // piece)
    pieces = -(-pieces // _SHARES) * _SHARES
    piece = -(-extent // pieces)
    return piece if piece < _LONG else -(-piece // _WHOLE) * _WHOLE


def _touched(group: Group) -> Iterator[tuple[Key, Access]]:
    """Yield every access with its strides along the axes of the group's space."""
    made = {a for op in group.ops for a in op.outs}
    space, kept = group.space, group.kept
    places = [i for i in range(len(space)) if i not in group.axes]

    def spread(strides: Sequence[int]) -> tuple[int, ...]:
        by_axis = dict(zip(places, strides))
        return tuple(by_axis.get(i, 0) for i in range(len(space)))

    for op in (*group.body, *group.folds):
        if not isinstance(op.lowering, Indexed):
            for read in op.reads:
                if read.array not in made:
                    strides = space_strides(read, space)
                    yield read_key(read, space), Access(read.array, strides, read.offset)
    for op in group.epilogue:
        if not isinstance(op.lowering, Indexed):
            for read in op.reads:
                if read.array not in made:
                    strides = spread(space_strides(read, kept))
                    yield read_key(read, kept), Access(read.array, strides, read.offset)
    in_body = {a for op in group.body for a in op.outs}
    for array in group.stores:
        if array in in_body:
            yield store_key(array), Access(array, contiguous_strides(space), 0)
        else:
            yield store_key(array), Access(array, spread(contiguous_strides(kept)), 0)


def _loops(group: Group, accesses: Sequence[Access]) -> list[Loop]:
    """Collapse neighbouring axes wherever every access may step through both as through one."""
    loops: list[Loop] = []
    indexed = any(isinstance(op.lowering, Indexed) for op in group.ops)
    for axis, extent in enumerate(group.space):
        reduced = axis in group.axes
        last = loops[-1] if loops else None
        joins = (
            last is not None
            and not indexed
            and last.reduced == reduced
            and all(a.strides[last.axes[-1]] == a.strides[axis] * extent for a in accesses)
        )
        if joins and last is not None:
            loops[-1] = Loop((*last.axes, axis), last.extent * extent, reduced)
        else:
            loops.append(Loop((axis,), extent, reduced))
    return loops


def _bundle(group: Group, loops: list[Loop]) -> list[Loop]:
    """Return the loop over a few columns that a fold leaves side by side, if there is one."""
    last = loops[-1] if loops else None
    if not group.folds or group.phases or last is None or last.reduced or not last.static:
        return []
    most = max((x.extent for x in loops if x.reduced), default=0)
    indexed = any(isinstance(op.lowering, Indexed) for op in group.ops)
    return [last] if most > _BUNDLED and not indexed else []


def _ordered(
    loops: list[Loop], touched: dict[Key, Access], folds: bool, copies: bool
) -> tuple[tuple[Loop, ...], str]:
    """Choose the innermost loop, and with it the style."""
    if not loops:
        return (), "map"

    reduced_axes = [x.axes[-1] for x in loops if x.reduced]
    # What a fold reads or writes once a row matters little.
    often = {
        key: a
        for key, a in touched.items()
        if not reduced_axes or any(a.strides[i] for i in reduced_axes)
    }

    def unit_strides(loop: Loop) -> int:
        axis = loop.axes[-1]
        found = 0
        for key, access in often.items():
            if access.strides[axis] == 1:
                found += 2 if key[-1] == "store" else 1
            elif access.strides[axis] not in (0, 1):
                found -= 1
        return found

    inner = max(reversed(loops), key=unit_strides)
    rest = [x for x in loops if x is not inner]
    if not folds:
        points = math.prod(x.extent for x in loops)
        crossing = [
            x
            for x in rest
            if _crosses(x, inner, touched) and _worth_tiles(x, inner, points, copies)
        ]
        if crossing:
            most = max(crossing, key=lambda x: x.extent)
            rest = [x for x in rest if x is not most]
            return (*rest, most, inner), "tiles"
        return (*rest, inner), "map"
    kept = [x for x in rest if not x.reduced]
    reduced = [x for x in rest if x.reduced]
    if inner.reduced:
        return (*kept, *reduced, inner), "rows"
    return (*kept, inner, *reduced), "columns"


def _block(group: Group, loops: Sequence[Loop], style: str) -> int:
    """Return how much of the outermost loop one piece of a large fold takes; 0 for others."""
    total = math.prod(x.extent for x in loops)
    if style != "rows" or group.phases or not loops[0].reduced or total < 4 * _BLOCK:
        return 0
    block = max(1, _BLOCK * loops[0].extent // total)
    return block if loops[0].extent > block else 0


def _crosses(loop: Loop, inner: Loop, touched: dict[Key, Access]) -> bool:
    """Whether some access runs along memory in ``loop`` and jumps in the innermost one."""
    return loop.extent >= _CROSSED and any(
        a.strides[loop.axes[-1]] == 1 and a.strides[inner.axes[-1]] not in (0, 1)
        for a in touched.values()
    )


def _worth_tiles(loop: Loop, inner: Loop, points: int, copies: bool) -> bool:
    if points > _TILED_POINTS and inner.extent >= _TILED:
        return True
    blocks = (-(-x.extent // TURNED) for x in (loop, inner))
    filled = loop.extent * inner.extent / (TURNED**2 * math.prod(blocks))
    return copies and points > _COPIED_POINTS and filled >= _FILLED


def _outer(loops: Sequence[Loop], style: str) -> tuple[int, int]:
    """Return the outer range's extent, and the points that one step of it stands for."""
    total = math.prod(x.extent for x in loops)
    if not loops or loops[0].reduced:
        return 1, total
    first = loops[0].extent
    if style == "columns" and (len(loops) == 1 or loops[1].reduced):
        first = -(-first // COLUMNS)
    if style == "tiles" and len(loops) == 2:
        second = narrow(loops)
        first = -(-loops[second].extent // (TILE_WIDTH if second else TILE))
    return first, total // max(first, 1)


def narrow(loops: Sequence[Loop]) -> int:
    """Return which of two loops in tiles is split: the second if the first is but one tile."""
    return int(loops[0].extent <= TILE)


def check_schedule(group: Group, plan: Schedule) -> None:
    """Check that the loops cover the space once, and that folds come inside of what they keep."""
    axes = sorted(axis for loop in plan.loops for axis in loop.axes)
    assert axes == list(range(len(group.space))), f"axes {axes} of {group}"
    assert math.prod(x.extent for x in plan.loops) == math.prod(group.space)
    seen_reduced = False
    for loop in plan.loops[:-1] if plan.bundle else plan.loops:
        assert not (seen_reduced and not loop.reduced), f"a kept loop inside of a fold: {group}"
        seen_reduced = seen_reduced or loop.reduced
