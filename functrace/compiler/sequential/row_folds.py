"""Sums of what a scan makes in each round, added up in the round: nothing is stored in between.

Accumulators take turns, as the lanes of a sum over an array do, so no chain of additions is long;
which one a round adds to, its number alone decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from functrace.compiler.ir.builder import Builder, Index
from functrace.compiler.ir.kernel import I64, DType, Value
from functrace.compiler.plan import Array, Group, Number, Op, Read
from functrace.compiler.planning.schedule import Schedule
from functrace.compiler.sequential.groups import GroupMaker
from functrace.compiler.sequential.scope import Scope
from functrace.core.lowering import Elementwise, Scan

__all__ = ["RowFold", "folds_rows"]

_REGISTER = 64
#: More rows than this are summed up in more accumulators than a loop has.
_MOST_ROWS = 1024


def folds_rows(group: Group, main: Group) -> bool:
    """Whether a group folds single numbers that a scan makes, round by round, into a few."""
    (scan,) = main.body
    lowering = scan.eqn.primitive.lowering if scan.eqn is not None else None
    if not isinstance(lowering, Scan) or not 1 < scan.params["length"] <= _MOST_ROWS:
        return False
    folding = group.kind == "loop" and not group.phases and bool(group.folds)
    if not folding or group.space != (scan.params["length"],) or group.axes != (0,):
        return False
    plain = all(isinstance(op.lowering, Elementwise) for op in (*group.body, *group.epilogue))
    floats = all(op.outs[0].dtype.char in "fd" for op in group.folds)
    ends = {a for op in (*group.folds, *group.epilogue) for a in op.outs}
    stacks = [r for r in scan.stacks if math.prod(r.shape[1:]) == 1]
    return (
        plain
        and floats
        and ends >= {*group.stores}
        and all(any(_same_rows(read, stack) for stack in stacks) for read in group.loads())
    )


def _same_rows(read: Read, stack: Read) -> bool:
    """Whether a read runs through a stack, row by row."""
    moving = [s for s, n in zip(read.strides, read.shape) if n != 1]
    same = read.array is stack.array and read.offset == stack.offset
    return same and moving == [stack.strides[0]]


class _Row:
    """The row of a stack that this round makes, wherever it is looked for."""

    def __init__(self, b: Builder, dtype: DType, value: Value) -> None:
        self.builder = b
        self.dtype = dtype
        self.value = value

    def load(self, index: Index | Sequence[Index]) -> Value:
        """Return the value."""
        return self.value

    def store(self, index: Index | Sequence[Index], value: Value) -> None:
        """Refuse: nothing writes what a round has made."""
        raise TypeError("a row of a stack is only read")


class RowFold:
    """Emits a group that folds rows of a scan into the scan."""

    def __init__(
        self,
        b: Any,
        sites: list[Op],
        group: Group,
        plan: Schedule,
        literals: Mapping[Number, Value],
        rows: dict[Array, Array],
    ) -> None:
        self.b = b
        self.sites = sites
        self.group = group
        self.plan = plan
        self.literals = literals
        #: The row in the body that each stack collects.
        self.rows = rows
        size = max(op.outs[0].dtype.itemsize for op in group.folds)
        self.lanes = _REGISTER // size

    def start(self, scope: Scope) -> None:
        """Emit what comes before the loop."""
        zero = self.b.const(0, I64)
        maker = self.maker(scope, dict.fromkeys(self.rows, zero))
        starts = maker.identities()
        self.accs = [self.b.alloca(v.dtype, self.lanes) for v in starts]
        for acc, value in zip(self.accs, starts):
            self.b.lanes(0, self.lanes, self.lanes, lambda k, a=acc, v=value: a.store(k, v))

    def add(self, i: Value, inner: Scope) -> None:
        """Emit what a round adds."""
        maker = self.maker(inner, {a: inner.value(row) for a, row in self.rows.items()})
        values = maker.element((i,))
        place = self.b.and_(i, self.b.const(self.lanes - 1, I64))
        sums = maker.combine([acc.load(place) for acc in self.accs], values)
        for acc, value in zip(self.accs, sums):
            acc.store(place, value)

    def finish(self, scope: Scope) -> None:
        """Emit what comes after the loop."""
        zero = self.b.const(0, I64)
        maker = self.maker(scope, dict.fromkeys(self.rows, zero))
        parts = [[acc.load(k) for acc in self.accs] for k in range(self.lanes)]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [maker.combine(parts[k], parts[k + half]) for k in range(half)]
        maker.epilogue((), parts[0])
        scope.values.update(maker.scope.values)

    def maker(self, scope: Scope, rows: dict[Array, Value]) -> GroupMaker:
        """Return what emits the group where the rows are these values."""
        inside = Scope(self.b, scope)
        for array, value in rows.items():
            inside.memories[array] = _Row(self.b, array.dtype, value)
        maker = GroupMaker(self.b, self.sites, self.group, inside)
        maker.literals = self.literals
        maker.look_around(self.plan)
        maker.enter(self.group)
        return maker
