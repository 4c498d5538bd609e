"""Groups of a body as part of a kernel: loops of known extents over arrays on the stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.compiler.codegen.folds import FoldMaker
from functrace.compiler.codegen.points import FEW, Point
from functrace.compiler.ir.arithmetic import scalar
from functrace.compiler.ir.builder import ArrayRef, Index, MemoryRef
from functrace.compiler.ir.kernel import I64, Value
from functrace.compiler.plan import Array, Group, Number, Op, Read, Update, contiguous_strides
from functrace.compiler.planning.schedule import Schedule
from functrace.compiler.runtime.lapack import routine_plan
from functrace.compiler.sequential.scope import Memory, Scope
from functrace.core.lowering import Indexed, Nest, Routines
from functrace.ops.nests import for_each

__all__ = ["GroupMaker"]

#: Lines up to this length are folded one element after the other, longer ones in lanes.
_SHORT_LINE = 16
#: Stores of a line of so many vectors are worth one more, that they don't cross cache lines.
_LONG_LINE = 8
_REGISTER = 64
#: The shortest vectors; arrays put together of parts take single elements if they are shorter.
_LEAST, _LEAST_OF_PARTS = 4, 8


class GroupMaker(FoldMaker):
    """Emits one group into a kernel that others share. Extents and strides are literals."""

    def __init__(self, b: Any, sites: list[Op], group: Group, scope: Scope) -> None:
        self.b = b
        self.sites = sites
        self.group = group
        self.scope = scope
        #: Whether loops run over columns that folds keep.
        self.columnar = False
        self.repeatable = False
        parts_differ = any(isinstance(op.lowering, Indexed) for op in group.ops)
        self.least = _LEAST_OF_PARTS if parts_differ else _LEAST

    def emit(self, plan: Schedule) -> None:
        """Emit a loop group."""
        self.look_around(plan)
        if plan.style in ("rows", "blocks"):
            self.rows()
        elif plan.style == "columns":
            self.columns()
        else:
            self.repeatable = self.writes_elsewhere()
            self.nest(0, len(plan.loops), (), self.map_point)

    def writes_elsewhere(self) -> bool:
        """Whether a map reads nothing that it writes: it may compute an element twice."""
        written = [self.buffer(array) for array in self.group.stores]
        read = [self.buffer(r.array) for r in self.group.loads()]
        return not any(r is w for r in read for w in written)

    def emit_nest(self) -> None:
        """Emit a loop nest that the primitive writes itself."""
        (op,) = self.group.body
        ins = [self.array_ref(x) for x in op.operands if isinstance(x, Read)]
        outs = [self.result(a) for a in op.outs]
        rule = op.lowering
        if isinstance(rule, Routines):
            for stage in routine_plan(op)[1]:
                stage(self.b, ins, outs, [])
        else:
            assert isinstance(rule, Nest)
            wanted = rule.scratch(op.avals_in, **op.params) if rule.scratch else []
            scratch = [self.scratch_array(shape, dtype) for shape, dtype in wanted]
            rule.rule(self.b, ins, outs, scratch, op.avals_in, op.avals_out, **op.params)
        self.note_sites(op)
        for array, ref in zip(op.outs, outs):
            if array.size == 1:
                self.scope.values[array] = ref.load([0] * ref.ndim)

    def emit_update(self) -> None:
        """Emit what writes a few elements of an array, or of a copy of it."""
        (op,) = self.group.body
        rule, (old, *others), (new,) = op.lowering, op.operands, op.outs
        assert isinstance(rule, Update)
        b, out = self.b, self.array_ref(new.read())
        if isinstance(old, Number):
            value = b.const(old.value, old.dtype)
            b.loop(0, new.size, lambda i: self.buffer(new).store(i, value))
        elif self.buffer(old.array) is not self.buffer(new):
            first = self.array_ref(old)
            for_each(b, out.shape, lambda index: out.store(index, first.load(index)))
        rest = [self.array_ref(x) for x in others if isinstance(x, Read)]
        rule.rule(b, [out, *rest], [out], op.avals_in, **op.params)
        self.note_sites(op)

    def result(self, array: Array) -> ArrayRef:
        """Return where a nest puts a result; what its loops store is in memory at first."""
        if array.size == 1:
            return self.scratch_array(array.shape, array.dtype)
        return self.array_ref(array.read())

    def scratch_array(self, shape: Sequence[int], dtype: Any) -> ArrayRef:
        """Return a temporary of a nest."""
        memory = self.b.alloca(dtype, max(int(np.prod(shape)), 1))
        return self._ref(memory, tuple(shape), contiguous_strides(tuple(shape)), 0)

    # --- what is in a record elsewhere ---

    def buffer(self, array: Array, access: str | None = None) -> Any:
        return self.scope.memory(array)

    def number(self, value: int) -> Value:
        return self.b.const(value, I64)

    def extent(self, n: int, most_static: int) -> Index:
        return n

    def stride(self, stride: int, innermost: bool) -> Index:
        return stride

    def offset(self, offset: int) -> Index:
        return offset

    def outer_range(self) -> tuple[Index, Index]:
        return 0, self.trips(0)

    def _ref(
        self, memory: Memory | MemoryRef, shape: Sequence[int], strides: Sequence[int], offset: int
    ) -> ArrayRef:
        return ArrayRef(memory, shape, strides, offset)  # type: ignore[arg-type]

    # --- loops ---

    def holds_loops(self, level: int) -> bool:
        return level + 1 < len(self.plan.loops)

    def loop(self, lo: Index, hi: Index, body: Callable[[Value], None], few: bool = False) -> None:
        """Emit a loop; an innermost one in lanes."""
        b, width = self.b, self.lanes()
        if self.share < 1 and few:
            b._for(lo, hi, (), lambda i: body(i) or (), 1, FEW)  # type: ignore[func-returns-value]
            return
        if not (isinstance(lo, int) and isinstance(hi, int)) or (few and not self.columnar):
            b.loop(lo, hi, body)
            return
        if self.repeatable and hi - lo >= width:
            self.overlapping(lo, hi, width, body)
            return
        while hi > lo and width >= self.least:
            whole = lo + (hi - lo) // width * width
            if whole > lo:
                self.vectors(lo, whole, width, body)
            lo, width = whole, width // 2
        if hi > lo:
            b.loop(lo, hi, body)

    def overlapping(self, lo: int, hi: int, width: int, body: Callable[[Value], None]) -> None:
        """Emit whole vectors of iterations only, from where lines of the cache begin.

        The first one, and the last one, compute again what the ones beside them do.
        """
        first = -(-lo // width) * width if hi - lo >= _LONG_LINE * width else lo
        whole = first + (hi - first) // width * width
        if first > lo:
            self.vectors(lo, lo + width, width, body)
        self.vectors(first, whole, width, body)
        if hi > whole:
            self.vectors(hi - width, hi, width, body)

    def vectors(self, lo: int, hi: int, width: int, body: Callable[[Value], None]) -> None:
        """Emit whole vectors of iterations."""
        b, ranges = self.b, self.b.ranges

        def lane(at: Value, k: Value) -> None:
            i = b.add(at, k)
            if ranges is not None:
                ranges.bound(scalar(i), lo, hi)
            body(i)

        b.loop(lo, hi, lambda at: self.across(width, lambda k: lane(at, k)), width)

    def lanes(self) -> int:
        """Return how many elements a SIMD register has of the widest dtype of the part."""
        ops = (*self.part.body, *self.part.folds)
        sizes = [x.dtype.itemsize for op in ops for x in (*op.operands, *op.outs)]
        return 16 if max(sizes, default=8) <= 4 else 8

    def across(self, lanes: int, body: Callable[[Value], None]) -> None:
        """Emit iterations that don't depend on each other as the lanes of SIMD operations."""
        self.b._for(0, lanes, (), lambda k: body(k) or (), 1, lanes)  # type: ignore[func-returns-value]

    def innermost_fold(
        self,
        at: Point,
        accs: Sequence[Value] | None,
        first: Index = 0,
        count: Index | None = None,
    ) -> list[Value]:
        n = self.plan.loops[-1].extent
        result = self.line_fold(n, n, lambda i: self.element((*at, i)))
        return result if accs is None else self.combine(accs, result)

    def line_fold(
        self, n: Index, known: int, element: Callable[[Value], list[Value]]
    ) -> list[Value]:
        if known > _SHORT_LINE:
            return self.wide_fold(known, element)
        start = self.identities()
        result: list[Value] = self.b.fold(
            0, known, start, lambda i, *accs: self.combine(accs, element(i))
        )
        return result

    def wide_fold(self, n: int, element: Callable[[Value], list[Value]]) -> list[Value]:
        """Fold with accumulators side by side in a register, then those in pairs."""
        b = self.b
        lanes = _REGISTER // max(4, *(op.outs[0].dtype.itemsize for op in self.part.folds))
        starts = self.identities()
        accs = [b.alloca(v.dtype, lanes) for v in starts]

        def put(k: Value, values: Sequence[Value]) -> None:
            for acc, value in zip(accs, values):
                acc.store(k, value)

        def add(at: Value, count: int) -> None:
            self.across(
                count,
                lambda k: put(
                    k, self.combine([acc.load(k) for acc in accs], element(b.add(at, k)))
                ),
            )

        self.across(lanes, lambda k: put(k, starts))
        whole = n // lanes * lanes
        b.loop(0, whole, lambda at: add(at, lanes), lanes)
        if n > whole:
            add(b.const(whole, I64), n - whole)
        parts = [[acc.load(k) for acc in accs] for k in range(lanes)]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [self.combine(parts[k], parts[k + half]) for k in range(half)]
        return parts[0]

    def column_block(self, at: Point, base: Value, width: Index, accs: Sequence[MemoryRef]) -> None:
        self.columnar = True
        super().column_block(at, base, width, accs)
        self.columnar = False

    def reduced_nest(self, level: int, at: Point, body: Callable[[list[Point]], None]) -> None:
        if level == len(self.plan.loops):
            body([at])
            return
        hi = self.trips(level)
        self.b.loop(0, hi, lambda i: self.reduced_nest(level + 1, (*at, i), body))

    def columns(self) -> None:
        inner = self.innermost()
        n = self.plan.loops[inner].extent
        accs = [self.b.alloca(op.outs[0].dtype, max(n, 1)) for op in self.part.folds]
        self.lines = {}
        zero = self.b.const(0, I64)
        self.nest(0, inner, (), lambda at: self.column_block(at, zero, n, accs))
