"""Which arrays may be written over others: chains of steps that each need the one before no more.

A group may write its result over an array when nothing reads that array later, and the group itself
reads it only where it writes: point by point, or as the operand that it updates in a few places.
"""

from __future__ import annotations

from collections.abc import Iterable

from functrace.compiler.plan import Array, Body, Group, Read, Update
from functrace.core.lowering import Indexed

__all__ = ["chain", "may_overwrite", "only_pointwise"]

Chain = list[Array]


def chain(body: Body, new: Array, old: Array) -> Chain | None:
    """Return the arrays that may all take the place of ``old``, of which ``new`` is the last."""
    return _Search(body, old).to(new)


class _Search:
    def __init__(self, body: Body, old: Array) -> None:
        self.old = old
        self.maker = {a: group for group in body.groups for a in group.stores}
        self.readers: dict[Array, list[Group]] = {}
        for group in body.groups:
            for array in dict.fromkeys(r.array for r in group.loads()):
                self.readers.setdefault(array, []).append(group)

    def to(self, new: Array) -> Chain | None:
        group = self.maker.get(new)
        if group is None or new.nbytes != self.old.nbytes or new.dtype != self.old.dtype:
            return None
        last = max((g.index for g in self.readers.get(self.old, [])), default=-1)
        if last < group.index:
            return [new]
        for before in dict.fromkeys(r.array for r in group.loads()):
            if not self.dies(before, group) or not may_overwrite(group, new, before):
                continue
            if before is self.old:
                return [new]
            rest = self.to(before) if before.kind == "temporary" else None
            if rest is not None:
                return [*rest, new]
        return None

    def dies(self, array: Array, group: Group) -> bool:
        return all(reader.index <= group.index for reader in self.readers[array])


def may_overwrite(group: Group, new: Array, old: Array) -> bool:
    """Whether a group reads an array only where it writes another."""
    if new.nbytes != old.nbytes or new.dtype != old.dtype:
        return False
    if group.kind == "loop":
        return not group.axes and only_pointwise(group, old)
    (op,) = group.body if len(group.body) == 1 else (None,)
    if op is None:
        return False
    reads = [k for k, x in enumerate(op.operands) if isinstance(x, Read) and x.array is old]
    if isinstance(op.lowering, Update):
        return reads == [0] and _is_whole(op.operands[0])
    if group.kind == "sequence" and new in op.outs:
        # The carry of a loop: its place may be that of the first one.
        number = op.outs.index(new)
        carries = len(op.outs) - len(dict.fromkeys(r.array for r in op.stacks))
        return number < carries and reads == [number] and _is_whole(op.operands[number])
    return False


def _is_whole(operand: object) -> bool:
    return isinstance(operand, Read) and operand.whole


def only_pointwise(group: Group, array: Array) -> bool:
    """Whether a group reads an array only at the point that it computes."""
    return all(
        r.pointwise and not isinstance(op.lowering, Indexed)
        for op in group.ops
        for r in _reads_of(op.reads, array)
    )


def _reads_of(reads: Iterable[Read], array: Array) -> list[Read]:
    return [r for r in reads if r.array is array]
