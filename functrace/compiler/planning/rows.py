"""Merges loop groups that work row by row into one: softmax, layer norm and the like.

After a fold over the innermost axes, whatever runs over the same space and wants of other groups
only its own row can follow at once, while the row is in the cache. Such groups become the phases of
one group; they still hand each other arrays through memory.
"""

from __future__ import annotations

import math
from typing import Any

from functrace.compiler.plan import Array, Group, Read, contiguous_strides, squeeze
from functrace.compiler.planning.schedule import schedule, space_strides
from functrace.core.lowering import Indexed

__all__ = ["merge_rows"]

#: With fewer rows than this there would be too few pieces for threads, unless all is small.
_FEW_ROWS = 64
_SMALL = 1 << 16
_MOST_OPS = 200


def merge_rows(groups: list[Group]) -> list[Group]:
    """Return the groups with those merged that can work row by row, in a running order."""
    if not any(g.folds and g.kept for g in groups):
        return groups
    merger = _Merger(groups)
    for number, group in enumerate(groups):
        merger.place(number, group)
    return merger.finish()


class _Merger:
    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self.maker = {a: n for n, g in enumerate(groups) for a in g.stores}
        self.nests: list[list[int]] = []
        self.nest_of: dict[int, int] = {}
        #: All nests that each nest depends on, as bits.
        self.deps: list[int] = []

    def place(self, number: int, group: Group) -> None:
        """Append a group to the nest of a group it needs, or start its own."""
        needs = {self.nest_of[self.maker[r.array]] for r in group.loads() if r.array in self.maker}
        if group.after is not None:
            needs.add(self.nest_of[self.groups.index(group.after)])
        for nest in sorted(needs, reverse=True):
            others = needs - {nest}
            if not any(self.deps[o] >> nest & 1 for o in others) and self.fits(nest, group):
                self.nests[nest].append(number)
                self.join(nest, number, others)
                return
        self.nests.append([number])
        self.deps.append(0)
        self.join(len(self.nests) - 1, number, needs)

    def join(self, nest: int, number: int, needs: set[int]) -> None:
        self.nest_of[number] = nest
        added = 0
        for other in needs:
            added |= self.deps[other] | 1 << other
        self.deps[nest] |= added
        for later in range(len(self.nests)):
            if self.deps[later] >> nest & 1:
                self.deps[later] |= added

    def fits(self, nest: int, group: Group) -> bool:
        """Whether a group may follow the groups of a nest row by row."""
        members = [self.groups[n] for n in self.nests[nest]]
        first = members[0]
        parts = [*members, group]
        if group.kind != "loop" or group.space != first.space or not _by_rows(first):
            return False
        if group.stretch != first.stretch:
            return False
        if group.axes not in ((), first.axes) or sum(len(g.ops) for g in parts) > _MOST_OPS:
            return False
        if any(isinstance(op.lowering, Indexed) for g in parts for op in g.ops):
            return False
        inside = {a for g in members for a in g.stores}
        for read in group.loads():
            if read.array in inside and not _own_row(read, first):
                return False
        return schedule(_nest(parts), 1).style == "rows"

    def finish(self) -> list[Group]:
        """Return the nests in an order in which they can run."""
        left = list(range(len(self.nests)))
        done, order = 0, []
        while left:
            ready = next(n for n in left if not self.deps[n] & ~done)
            left.remove(ready)
            done |= 1 << ready
            order.append(_nest([self.groups[n] for n in self.nests[ready]]))
        for number, group in enumerate(order):
            group.index = number
        return order


def _nest(parts: list[Group]) -> Group:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    stores: list[Array] = [a for g in parts for a in g.stores]
    shared: dict[str, Any] = {"stores": stores, "phases": parts, "stretch": first.stretch}
    return Group(0, "loop", first.space, first.axes, **shared)


def _by_rows(group: Group) -> bool:
    if group.kind != "loop" or not group.folds or not group.kept:
        return False
    return math.prod(group.kept) >= _FEW_ROWS or math.prod(group.space) <= _SMALL


def _own_row(read: Read, group: Group) -> bool:
    """Whether a read of what a nest makes stays in the row that is being worked on."""
    space, shape = group.space, squeeze(read.array.shape)
    if squeeze(read.shape) == shape:
        # Point by point: over the whole space, or in an epilogue over what the folds leave.
        return read.pointwise and shape in (space, group.kept)
    if shape != group.kept or read.offset or squeeze(read.shape) != space:
        return False
    kept = iter(contiguous_strides(group.kept))
    wanted = tuple(0 if i in group.axes else next(kept) for i in range(len(space)))
    return space_strides(read, space) == wanted
