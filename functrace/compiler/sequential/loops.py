"""Loops and branches as kernel code; what they carry are values, and arrays on the stack."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from functrace.compiler.ir.builder import ArrayRef, Index
from functrace.compiler.ir.kernel import I32, I64, Value
from functrace.compiler.plan import Array, Body, Group, Number, Op, Operand, Output, Read
from functrace.compiler.planning.in_place import chain
from functrace.compiler.planning.schedule import Schedule
from functrace.compiler.sequential.fits import ARRAY_BYTES
from functrace.compiler.sequential.groups import GroupMaker
from functrace.compiler.sequential.lanes import lane_width
from functrace.compiler.sequential.polling import body_work, long_loop, polled_while
from functrace.compiler.sequential.row_folds import RowFold
from functrace.compiler.sequential.scope import Memory, Part, Register, Scope
from functrace.core.lowering import Branches, Scan
from functrace.ops.nests import for_each

__all__ = ["Sequencer"]

#: From so many bytes on an array that can't be written over has two places, which take turns.
_TURNS_BYTES = 1024
#: Bytes of a line of the cache: both places begin with one.
_LINE = 64


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an array is carried, and what in the body is written over it.

    ``other`` is what the body makes for the next round in the other half of the memory, if the
    halves take turns.
    """

    memory: Memory
    over: list[Array]
    other: Array | None = None

    def bind(self, array: Array, inner: Scope, turn: Value | None) -> None:
        """Bind an array of a body, and what is made in its place, in a round."""
        if self.other is None or turn is None:
            inner.memories.update(dict.fromkeys([array, *self.over], self.memory))
            return
        b = inner.b
        inner.memories[array] = self.half(turn)
        inner.memories[self.other] = self.half(b.sub(b.const(1, I64), turn))

    def half(self, turn: Value) -> Memory:
        """Return one of the halves."""
        assert self.other is not None
        b = self.memory.builder
        return Part(self.memory, b.mul(turn, b.const(_half(self.other), I64)))


_Places = Sequence[_Place | None]


class Sequencer:
    """Emits operations that hold bodies into a kernel."""

    def __init__(self, b: Any, sites: list[Op]) -> None:
        self.b = b
        self.sites = sites
        #: What is added up in the rounds of a scan, and the stacks that are not stored then.
        self.row_folds: dict[Op, RowFold] = {}
        self.unstored: Collection[Array] = ()

    def structure(self, op: Op, scope: Scope, span: tuple[Index, Index] | None = None) -> None:
        """Emit a loop or branch; of a scan only the rounds of ``span``, if there is one."""
        lowering = op.eqn.primitive.lowering if op.eqn is not None else None
        if isinstance(lowering, Scan):
            self.scan(op, scope, span)
        elif isinstance(lowering, Branches):
            self.branches(op, scope)
        else:
            self.while_loop(op, scope)

    def groups(self, body: Body, scope: Scope) -> None:
        """Emit the groups of a body."""
        for group in body.groups:
            self.group(group, body.schedules, scope)

    def group(
        self,
        group: Group,
        schedules: dict[int, Schedule],
        scope: Scope,
        literals: Mapping[Number, Value] = MappingProxyType({}),
    ) -> None:
        """Emit one group, in which some constants are these values."""
        if group.kind == "sequence":
            self.structure(group.body[0], scope)
            return
        maker = GroupMaker(self.b, self.sites, group, scope)
        maker.literals = literals
        if group.kind == "loop":
            maker.emit(schedules[group.index])
        elif group.kind == "update":
            maker.emit_update()
        else:
            maker.emit_nest()

    # --- scan ---

    def scan(self, op: Op, scope: Scope, span: tuple[Index, Index] | None) -> None:
        """Emit a loop over rows."""
        b, p = self.b, op.params
        (body,) = op.bodies
        n, count = p["length"], p["num_carry"]
        carry, rows = body.program.inputs[:count], body.program.inputs[count:]
        stacks = [x for x in op.operands[count:] if isinstance(x, Read)][: len(rows)]
        pairs = zip(body.program.outputs[count:], op.stacks)
        made = [(out, stack) for out, stack in pairs if stack.array not in self.unstored]
        fold = self.row_folds.get(op)
        early = [(out, s) for out, s in made if out.array in carry and out.array.size != 1]
        late = [(out, s) for out, s in made if out.array not in carry or out.array.size == 1]
        places = self.places(op, body, body.program.outputs[:count], scope)
        values = self.first_values(op, carry, places, scope)
        if fold is not None:
            fold.start(scope)

        def one_round(i: Value, *held: Value) -> list[Value]:
            at = b.sub(b.const(n - 1, I64), i) if p["reverse"] else i
            inner = self.enter(scope, carry, places, held)
            for row, stack in zip(rows, stacks):
                self.open_row(row, stack, at, inner, scope)
            for out, whole in made:
                self.place_row(out, whole, at, inner, scope)
            # The body may write over arrays it was given. Single elements are values: stored after
            # it, many of them spare the registers that the body is in need of.
            for out, whole in early:
                self.store_row(out, whole, at, inner, scope)
            self.groups(body, inner)
            for out, whole in late:
                self.store_row(out, whole, at, inner, scope)
            if fold is not None:
                fold.add(i, inner)
            return self.next_carry(body.program.outputs[:count], carry, places, inner, held)

        lo, hi = span if span is not None else (0, self.length(n))
        width = lane_width(op)
        if width:
            b.lanes(lo, hi, width, one_round)
            last: list[Value] = []
        elif span is None and n == 1:
            # No loop: stacks of one row may be scalars, which a loop's body can't leave behind.
            last = one_round(b.const(0, I64), *values)
        else:
            last = long_loop(self, op, lo, hi, n, values, one_round, body_work(body))
        self.leave(op.outs[:count], places, last, scope)
        if fold is not None:
            fold.finish(scope)

    def length(self, n: int) -> Index:
        """Return the length of a loop: known, unless the kernel would be special by it."""
        return n

    def open_row(self, row: Array, stack: Read, at: Value, inner: Scope, scope: Scope) -> None:
        """Bind the row of a stack that a round reads."""
        b = self.b
        place = b.mul(at, b.const(stack.strides[0], I64))
        place = b.add(b.const(stack.offset, I64), place)
        if stack.array.size == 1 and row.size == 1:
            inner.values[row] = scope.value(stack.array)
        elif stack.array.size == 1:
            inner.memories[row] = Register(scope, stack.array)
        elif row.size == 1:
            inner.values[row] = scope.memory(stack.array).load(place)
        else:
            inner.memories[row] = Part(scope.memory(stack.array), place)

    def place_row(self, out: Output, stack: Read, at: Value, inner: Scope, scope: Scope) -> None:
        """Let the body store a row where it belongs."""
        if not out.copy and out.array.size != 1:
            inner.memories[out.array] = self.row_memory(stack, at, scope)

    def store_row(self, out: Output, stack: Read, at: Value, inner: Scope, scope: Scope) -> None:
        """Store what the body didn't store there itself."""
        if out.array.size == 1 and stack.array.size == 1:
            scope.values[stack.array] = inner.value(out.array)
        elif out.array.size == 1:
            self.row_memory(stack, at, scope).store(0, inner.value(out.array))
        elif out.copy:
            self.copy(out.array.read(), inner, self.row_memory(stack, at, scope))

    def row_memory(self, stack: Read, at: Value, scope: Scope) -> Memory:
        b = self.b
        place = b.mul(at, b.const(stack.strides[0], I64))
        return Part(scope.memory(stack.array), b.add(place, b.const(stack.offset, I64)))

    # --- while ---

    def while_loop(self, op: Op, scope: Scope) -> None:
        """Emit a loop with a condition."""
        test, body = op.bodies
        carry = body.program.inputs
        places = self.places(op, body, body.program.outputs, scope)
        values = self.first_values(op, carry, places, scope)

        def goes_on(*held: Value) -> Value:
            inner = self.enter(scope, test.program.inputs, places, held)
            self.groups(test, inner)
            return inner.value(test.program.outputs[0].array)

        def one_round(*held: Value) -> list[Value]:
            inner = self.enter(scope, carry, places, held)
            self.groups(body, inner)
            return self.next_carry(body.program.outputs, carry, places, inner, held)

        work = body_work(test) + body_work(body)
        last = polled_while(self, op, goes_on, one_round, values, work)
        self.leave(op.outs, places, last, scope)

    # --- branches ---

    def branches(self, op: Op, scope: Scope) -> None:
        """Emit the branches, of which one runs."""
        index = self.first_value(op.operands[0], scope)
        for out in op.outs:
            scope.memory(out)
        values = self.choose(op, index, 0, scope)
        singles = [a for a in op.outs if a.size == 1]
        scope.values.update(zip(singles, values))

    def choose(self, op: Op, index: Value, number: int, scope: Scope) -> list[Value]:
        """Emit branch ``number`` or one of those after it."""
        if number == len(op.bodies) - 1:
            return self.branch(op, op.bodies[number], scope)
        here = self.b.const(number, I32)
        result: list[Value] = self.b.cond(
            self.b.le(index, here) if number == 0 else self.b.eq(index, here),
            lambda: self.branch(op, op.bodies[number], scope),
            lambda: self.choose(op, index, number + 1, scope),
        )
        return result

    def branch(self, op: Op, body: Body, scope: Scope) -> list[Value]:
        inner = Scope(self.b, scope)
        for out, target in zip(body.program.outputs, op.outs):
            if not out.copy and target.size != 1:
                inner.memories[out.array] = scope.memory(target)
        self.groups(body, inner)
        values = []
        for out, target in zip(body.program.outputs, op.outs):
            if target.size == 1:
                values.append(inner.value(out.array))
            elif out.copy:
                self.copy(out.array.read(), inner, scope.memory(target))
        return values

    # --- carries ---

    def places(
        self, op: Op, body: Body, outs: Sequence[Output], scope: Scope
    ) -> list[_Place | None]:
        """Return where arrays are carried, which start as copies; None for values."""
        places: list[_Place | None] = []
        for array, start, out, result in zip(body.program.inputs, op.operands, outs, op.outs):
            if array.size == 1:
                places.append(None)
                continue
            handed_on = any(o.array is array for o in outs)
            over = None if out.copy or handed_on else chain(body, out.array, array)
            if over is None and self.takes_turns(body, out, array):
                memory = self.b.alloca(array.dtype, 2 * _half(array))
                self.copy(start, scope, memory)
                places.append(_Place(memory, [], out.array))
                continue
            memory = self.carried(array, start, result, scope)
            places.append(_Place(memory, over or []))
        return places

    def takes_turns(self, body: Body, out: Output, array: Array) -> bool:
        """Whether a carry is made anew in each round, by SIMD code, and not handed on twice."""
        made = any(out.array in g.stores for g in body.groups if g.kind == "loop")
        once = [o.array for o in body.program.outputs].count(out.array) == 1
        return made and once and not out.copy and _TURNS_BYTES <= array.nbytes <= ARRAY_BYTES

    def first_values(
        self, op: Op, carry: Sequence[Array], places: _Places, scope: Scope
    ) -> list[Value]:
        """Return the single elements that a loop starts from, and whose turn it is."""
        values = [self.first_value(x, scope) for a, x in zip(carry, op.operands) if a.size == 1]
        return values + [self.b.const(0, I64)] * _take_turns(places)

    def carried(self, array: Array, start: Operand, result: Array, scope: Scope) -> Memory:
        """Return the memory of a carried array with its first elements in it."""
        bound = scope.memories.get(result)
        first = scope.memory(start.array) if isinstance(start, Read) and start.whole else None
        if bound is not None and first is bound:
            return bound
        memory: Memory
        if array.nbytes > ARRAY_BYTES:
            memory = scope.memory(result)
        else:
            memory = self.b.alloca(array.dtype, max(array.size, 1))
        if first is not memory:
            self.copy(start, scope, memory)
        return memory

    def first_value(self, start: Operand, scope: Scope) -> Value:
        if isinstance(start, Number):
            value: Value = self.b.const(start.value, start.dtype)
            return value
        if start.array.size == 1:
            return scope.value(start.array)
        return scope.memory(start.array).load(start.offset)

    def enter(
        self,
        scope: Scope,
        carry: Sequence[Array],
        places: _Places,
        held: Sequence[Value],
    ) -> Scope:
        """Return the scope of a body with its carry bound."""
        inner = Scope(self.b, scope)
        values = iter(held)
        turn = held[-1] if _take_turns(places) else None
        for array, place in zip(carry, places):
            if place is None:
                inner.values[array] = next(values)
            else:
                place.bind(array, inner, turn)
        return inner

    def next_carry(
        self,
        outs: Sequence[Output],
        carry: Sequence[Array],
        places: _Places,
        inner: Scope,
        held: Sequence[Value],
    ) -> list[Value]:
        """Move carried arrays to where they are carried, and return the values."""
        values = [inner.value(o.array) for o, p in zip(outs, places) if p is None]
        if _take_turns(places):
            values.append(self.b.sub(self.b.const(1, I64), held[-1]))
        moves = [
            (out.array, place.memory)
            for out, place in zip(outs, places)
            if place is not None
            and place.other is None
            and inner.memory(out.array) is not place.memory
        ]
        # What another carry is about to be written over is saved first.
        overwritten = set(carry)
        saved = []
        for array, _ in moves:
            if array in overwritten:
                memory = self.b.alloca(array.dtype, array.size)
                self.copy(array.read(), inner, memory)
                saved.append((array, memory))
        inner.memories.update(saved)
        for array, memory in moves:
            self.copy(array.read(), inner, memory)
        return values

    def leave(
        self,
        outs: Sequence[Array],
        places: _Places,
        last: Sequence[Value],
        scope: Scope,
    ) -> None:
        """Bind the results of a loop to what was carried at the end."""
        values = iter(last)
        for out, place in zip(outs, places):
            if place is None:
                scope.values[out] = next(values)
                continue
            memory = place.memory if place.other is None else place.half(last[-1])
            bound = scope.memories.get(out) or scope.given(out)
            if bound is None:
                scope.memories[out] = memory
            elif bound is not memory:
                self.move(memory, bound, out.size)

    # --- copies ---

    def copy(self, source: Operand, scope: Scope, target: Memory) -> None:
        """Copy an operand to memory, row-major."""
        b = self.b
        if isinstance(source, Number):
            value = b.const(source.value, source.dtype)
            size = math.prod(source.shape)
            b.loop(0, size, lambda i: target.store(i, value))
            return
        memory = scope.memory(source.array)
        if source.whole:
            self.move(memory, target, source.array.size)
            return
        ref = ArrayRef(memory, source.shape, source.strides, source.offset)  # type: ignore[arg-type]
        strides = Array(0, source.shape, source.dtype, "temporary").read().strides
        place = ArrayRef(target, source.shape, strides)  # type: ignore[arg-type]
        for_each(b, source.shape, lambda index: place.store(index, ref.load(index)))

    def move(self, source: Memory, target: Memory, size: int) -> None:
        """Copy elements one by one."""
        self.b.loop(0, size, lambda i: target.store(i, source.load(i)))

    def note_sites(self, op: Op) -> None:
        """Note that the checks built since the last note belong to an operation."""
        self.sites += [op] * (len(self.b._sites) - len(self.sites))


def _take_turns(places: _Places) -> bool:
    return any(place is not None and place.other is not None for place in places)


def _half(array: Array) -> int:
    """Return how many elements the places of an array that take turns are apart."""
    return -(-array.nbytes // _LINE) * _LINE // array.dtype.itemsize
