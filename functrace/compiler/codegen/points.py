"""What happens at one point of a loop group: reading operands, computing, storing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from functrace.compiler.codegen.kernels import KernelMaker, op_cost
from functrace.compiler.codegen.literals import literals
from functrace.compiler.ir.arithmetic import scalar
from functrace.compiler.ir.builder import ArrayRef, Builder, Index
from functrace.compiler.ir.kernel import I64, Value
from functrace.compiler.ir.ranges import Ranges
from functrace.compiler.plan import Array, Group, Memory, Number, Op, Operand, Read
from functrace.compiler.planning.schedule import (
    STATIC_EXTENT,
    Access,
    Schedule,
    read_key,
    store_key,
)
from functrace.core.lowering import Indexed

__all__ = ["BLOCK", "FEW", "LIGHT", "Point", "PointMaker", "plus"]

#: Element expressions up to this cost are written out several times, to run in lanes.
LIGHT = 8
#: How many elements of a line go through local arrays at once.
BLOCK = 512
#: Innermost loops up to these lengths are short: over what folds reduce, and over other things.
_SHORT_ROW, _SHORT_LINE = 512, 128
#: Bytes of a SIMD register, as wide as there are any.
_REGISTER = 64
#: What tells the printer that a loop has few iterations.
FEW = 1

#: Into how many pieces the loops of a kernel are cut together; and operations in all of them.
_MOST_PIECES, _MOST_WRITTEN = 25, 500
#: Up to so many iterations a piece is not a loop worth SIMD code.
_SHORT_PIECE = 8
#: A smaller part of a space is a border.
_BORDER = 1 / 16

Point = tuple[Value, ...]


def plus(b: Builder, first: Index, i: Value) -> Value:
    """Return ``first + i``, which is i when first is 0."""
    return i if isinstance(first, int) and first == 0 else b.add(b._index(first), i)


def _last_moving(strides: Sequence[int]) -> int:
    """Return the last loop in which an access moves at all."""
    return max((i for i, s in enumerate(strides) if s), default=-1)


class PointMaker(KernelMaker):
    """A kernel of a loop group, and its accesses as arrays indexed by the loops."""

    literals: Mapping[Number, Value] = MappingProxyType({})

    def __init__(self, group: Group, plan: Schedule, memory: Memory) -> None:
        super().__init__(group, memory)
        self.look_around(plan)
        if self.cuts:
            # Cut in pieces it is made for these sizes anyway, and with sizes in it it compiles in
            # a fraction of the time; the extent of the outermost loop is not among them.
            super().__init__(group, memory)
            self.b.written = True
            self.look_around(plan)
        self.literals = literals(self, group)

    def number(self, value: int) -> Value:
        """Return an integer of the record, or a literal where sizes are written out."""
        return self.b.param_int(value)

    def extent(self, n: int, most_static: int) -> Index:
        """Return an end of a loop: known to the kernel when small, else from the record."""
        return n if n <= most_static else self.b.number(n)

    def look_around(self, plan: Schedule) -> None:
        """Find everything the group reads and writes."""
        group = self.group
        self.plan = plan
        self.cuts: dict[int, list[int]] = {}
        #: Which part of the space the loops being emitted run over.
        self.share = 1.0
        self.b.ranges = Ranges() if self.cuttable() else None
        self._extents: dict[int, Index] = {}
        self._places: dict[Any, ArrayRef] = {}
        self.places = {k: self.place(a) for k, a in plan.accesses.items()}
        self.indexed_refs: dict[tuple[Op, int], ArrayRef] = {}
        self.indexed_shapes = {
            op: self.shapes(op) for op in group.ops if isinstance(op.lowering, Indexed)
        }
        self.enter(group.parts[0])
        if self.b.ranges is not None:
            self.find_cuts(self.b.ranges)
            self.b.ranges = self.b.ranges if self.cuts else None

    def cuttable(self) -> bool:
        """Whether the group is a map of parts put together."""
        return self.plan.style == "map" and any(
            isinstance(op.lowering, Indexed) for op in self.group.ops
        )

    def enter(self, part: Group) -> None:
        """Go on to a phase of the group."""
        self.part = part
        self.part_cost = sum(map(op_cost, part.body))

    def place(self, access: Access) -> ArrayRef:
        """Return an access as an array indexed by the loops; equal ones are the same array.

        So what is written over what it was computed from is seen to be: SIMD code needs to know.
        """
        memory = self.buffer(access.array)
        known = (memory, access.strides, access.offset)
        if known in self._places:
            return self._places[known]
        inner, last = self.innermost(), _last_moving(access.strides)
        strides = [self.stride(s, i in (inner, last)) for i, s in enumerate(access.strides)]
        ref = ArrayRef(memory, [0] * len(strides), strides, self.offset(access.offset))
        self._places[known] = ref
        return ref

    def trips(self, loop: int) -> Index:
        """Return the extent of a loop."""
        if loop not in self._extents:
            self._extents[loop] = self.extent(self.plan.loops[loop].extent, STATIC_EXTENT)
        return self._extents[loop]

    def innermost(self) -> int:
        """Return which loop runs along memory."""
        loops = self.plan.loops
        if self.plan.style == "columns":
            return max(i for i, x in enumerate(loops) if not x.reduced)
        return len(loops) - 1

    # --- one point ---

    def shapes(self, op: Op) -> tuple[list[list[Value]], list[Value]]:
        """Return the extents an indexed rule may ask for, and note how it reads its operands."""
        ins = []
        for k, x in enumerate(op.operands):
            if isinstance(x, Read):
                ref = self.array_ref(x)
                self.indexed_refs[op, k] = ref
                ins.append(list(ref.shape))
            else:
                ins.append([self.number(n) for n in x.shape])
        return ins, [self.number(n) for n in op.outs[0].shape]

    def evaluate(self, ops: Sequence[Op], at: Point, env: dict[Any, Value], kept: bool) -> None:
        """Compute operations at one point of the loops; ``env`` holds what is known there."""
        space = self.part.kept if kept else self.part.space
        for op in ops:
            if isinstance(op.lowering, Indexed):
                value = self.pull(op, at, kept)
            else:
                values = [self.value(x, space, at, env) for x in op.operands]
                value = op.lowering.rule(self.b, *values, **op.params)  # type: ignore[union-attr]
            self.note_sites(op)
            env[op.outs[0]] = value

    def value(
        self, operand: Operand, space: tuple[int, ...], at: Point, env: dict[Any, Value]
    ) -> Value:
        if isinstance(operand, Number):
            read = self.literals.get(operand)
            return self.b.const(operand.value, operand.dtype) if read is None else read
        made = env.get(operand.array)
        if made is not None:
            return made
        key = read_key(operand, space)
        loaded = env.get(key)
        if loaded is None:
            ref = self.places[key]
            loaded = env[key] = ref.memory.load(self.spot(ref, at, env))
        return loaded

    def pull(self, op: Op, at: Point, kept: bool) -> Value:
        """Compute an indexed operation at one point."""
        b, rule = self.b, op.lowering
        assert isinstance(rule, Indexed)
        by_axis = {x.axes[0]: i for x, i in zip(self.plan.loops, at)}
        axes = [a for a in range(len(self.part.space)) if not (kept and a in self.part.axes)]
        points = iter([by_axis[a] for a in axes])
        zero = b.const(0, I64)
        index = tuple(zero if n == 1 else next(points) for n in op.outs[0].shape)
        ins, out = self.indexed_shapes[op]
        operands = [self.reader(op, k, x) for k, x in enumerate(op.operands)]
        with b.extents(ins, out):
            result: Value = rule.pull(b, index, operands, op.avals_in, op.avals_out[0], **op.params)
        return result

    def reader(self, op: Op, k: int, operand: Operand) -> Callable[[Sequence[Index]], Value]:
        if isinstance(operand, Number):
            constant = operand
            return lambda index: self.b.const(constant.value, constant.dtype)
        return self.indexed_refs[op, k].load

    def store(self, arrays: Sequence[Array], at: Point, env: dict[Any, Value]) -> None:
        for array in arrays:
            ref = self.places[store_key(array)]
            ref.memory.store(self.spot(ref, at, env), env[array])

    def spot(self, ref: ArrayRef, at: Point, env: dict[Any, Value]) -> Value:
        """Return where an access is at a point: computed once for each of them."""
        if ref not in env:
            env[ref] = ref.linear(at)
        return env[ref]

    def stored(self, ops: Sequence[Op]) -> list[Array]:
        made = {a for op in ops for a in op.outs}
        return [a for a in self.part.stores if a in made]

    def outer_range(self) -> tuple[Index, Index]:
        """Return the part of the outermost loop that the kernel is asked to run."""
        return self.b.lo, self.b.hi

    def nest(self, first: int, last: int, at: Point, body: Callable[[Point], None]) -> None:
        """Run ``body`` over loops ``first`` to ``last - 1``; loop 0 is the outer range."""
        if first == last:
            body(at)
            return
        extent, share = self.plan.loops[first].extent, self.share
        for lo, hi, inside in self.pieces(first):

            def step(i: Value, inside: tuple[int, int] = inside) -> None:
                if self.b.ranges is not None:
                    self.b.ranges.index(scalar(i), first, *inside)
                self.nest(first + 1, last, (*at, i), body)

            # Borders are few elements, which aren't worth SIMD code.
            self.share = share * (inside[1] - inside[0]) / max(extent, 1)
            self.loop(lo, hi, step, self.holds_loops(first) or self.share < _BORDER)
        self.share = share

    def pieces(self, loop: int) -> Iterator[tuple[Index, Index, tuple[int, int]]]:
        """Yield the pieces that a loop is cut into, and between which numbers these are."""
        lo, hi = self.outer_range() if loop == 0 else (0, self.trips(loop))
        cuts = self.cuts.get(loop, ())
        places = [0, *cuts, self.plan.loops[loop].extent]
        for first, last in itertools.pairwise(places):
            start, stop = lo, hi
            if first > 0:
                start = self.later(lo, self.cut(first, last - first))
            if cuts and (last < places[-1] or hi is not self.b.hi):
                stop = self.earlier(hi, self.cut(last, last - first))
            yield start, stop, (first, last)

    def cut(self, n: int, length: int) -> Index:
        """Return an end of a piece: of a long one it comes from the record.

        Were it known, LLVM would carry elements from one iteration to the next instead of loading
        them again, unroll what is left, and have no vectors for the last iterations.
        """
        return self.extent(n, n if length <= _SHORT_PIECE else 0)

    def later(self, lo: Index, cut: Index) -> Index:
        """Return where a piece from ``cut`` on begins."""
        return cut if isinstance(lo, int) else self.b.maximum(lo, cut)

    def earlier(self, hi: Index, cut: Index) -> Index:
        """Return where a piece up to ``cut`` ends."""
        return cut if hi is not self.b.hi else self.b.minimum(hi, cut)

    def find_cuts(self, ranges: Ranges) -> None:
        """Cut loops where an operation asks which part of its result an element is in."""
        b, at = self.b, []
        locals_, sites, noted = len(b._locals), len(b._sites), len(self.sites)
        b._open()
        for loop, extent in enumerate(x.extent for x in self.plan.loops):
            at.append(b._fresh(I64))
            ranges.index(at[-1], loop, 0, extent)
        self.evaluate(self.part.body, tuple(at), {}, False)
        b._close()
        del b._locals[locals_:], b._sites[sites:], self.sites[noted:]
        inside = {
            loop: sorted(n for n in cuts if 0 < n < self.plan.loops[loop].extent)
            for loop, cuts in ranges.cuts.items()
        }
        most = min(_MOST_PIECES, _MOST_WRITTEN // len(self.part.body))
        for loop in sorted(inside, reverse=True):
            pieces = math.prod(len(cuts) + 1 for cuts in self.cuts.values())
            if pieces * (len(inside[loop]) + 1) <= most:
                self.cuts[loop] = inside[loop]

    def loop(self, lo: Index, hi: Index, body: Callable[[Value], None], few: bool = False) -> None:
        """Emit a loop; one of few iterations, or of a tiny program, is not worth SIMD code."""
        lanes = FEW if few or self.plan.tiny else self.short_lanes()
        self.b._for(lo, hi, (), lambda i: body(i) or (), 1, lanes)  # type: ignore[func-returns-value]

    def short_lanes(self) -> int:
        """How many iterations of the innermost loop to run at once when it is short, else 0.

        What LLVM makes of a loop is faster on long lines, and slower on those it doesn't fill.
        """
        loops, inner = self.plan.loops, self.innermost()
        most = _SHORT_ROW if self.plan.style == "rows" else _SHORT_LINE
        if len(loops) < 2 or not STATIC_EXTENT < loops[inner].extent <= most:
            return 0
        along = all(a.strides[inner] in (0, 1) for a in self.plan.accesses.values())
        indexed = any(isinstance(op.lowering, Indexed) for op in self.part.ops)
        return self.width() if along and not indexed else 0

    def width(self) -> int:
        """How many elements fill a register: of the widest dtype that occurs."""
        dtypes = [a.array.dtype for a in self.plan.accesses.values()]
        dtypes += [out.dtype for op in self.part.ops for out in op.outs]
        size = max(d.itemsize // 2 if d.kind == "c" else d.itemsize for d in dtypes)
        return _REGISTER // max(size, 4)

    def holds_loops(self, level: int) -> bool:
        """Whether a loop still holds another one when LLVM has unrolled what is static."""
        return any(not x.static for x in self.plan.loops[level + 1 :])
