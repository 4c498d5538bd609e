"""Gives arrays their places: frame slots, and offsets in an arena that later arrays reuse.

A temporary lives from the step that writes it to the last one that reads it. A large one that an
element-wise step writes takes the place of an operand of the same shape which dies there.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.compiler.codegen.library import library_scratch
from functrace.compiler.plan import Array, ArrayProgram, Body, Group, Memory, Op
from functrace.compiler.planning.in_place import may_overwrite, only_pointwise
from functrace.compiler.planning.loop_memory import Arena, LoopPlan, place_loop
from functrace.compiler.planning.schedule import Schedule
from functrace.compiler.runtime.lapack import routine_plan
from functrace.core.lowering import Nest, Routines

__all__ = ["check_memory", "overlap", "place_arrays"]

_ALIGN = 64
#: Below this, writing in place saves nothing, and would only make kernels differ.
_IN_PLACE_BYTES = 1 << 18


def place_arrays(
    program: ArrayProgram,
    groups: list[Group],
    schedules: dict[int, Schedule],
    donated: Sequence[tuple[int, int]] = (),
) -> Memory:
    """Return where everything is.

    Args:
        program: the operations.
        groups: its groups.
        schedules: their schedules.
        donated: numbers of inputs, each with that of the result that takes its place if it can.
    """
    slots: dict[Array, int] = {}
    for array in (*program.inputs, *program.constants):
        slots[array] = len(slots) + 1
    first = len(slots) + 1
    over = taken_over(program, groups, donated)
    slots.update((new, slots[old]) for new, old in over.items())
    for output in program.outputs:
        if output.array not in slots:
            slots[output.array] = first
            first += 1
    placer = _Placer(Arena(slots, first), groups, schedules)
    # What is written over an input can't lend its memory to others before.
    placer.reused.update(over)
    arena, memory = placer.arena, placer.run()
    memory.n_slots = arena.next_slot
    return memory


def taken_over(
    program: ArrayProgram, groups: list[Group], donated: Sequence[tuple[int, int]]
) -> dict[Array, Array]:
    """Return the results that may be written over donated inputs, which nothing reads later."""
    found: dict[Array, Array] = {}
    writers = {a: group for group in groups for a in group.stores}
    returned = {o.array for o in program.outputs}
    for leaf, number in donated:
        old, out = program.inputs[leaf], program.outputs[number]
        writer = writers.get(out.array)
        if out.copy or writer is None or old in returned or out.array.kind != "output":
            continue
        readers = [g for g in groups if any(r.array is old for r in g.loads())]
        before = [g for g in readers if g.index < writer.index]
        if out.array.nbytes != old.nbytes or out.array.dtype != old.dtype:
            continue
        pointwise = not writer.phases and may_overwrite(writer, out.array, old)
        if all(g in before or (g is writer and pointwise) for g in readers):
            found[out.array] = old
    return found


class _Placer:
    """Places what the groups of a program or body make; ``kept`` lives on to the end."""

    def __init__(
        self,
        arena: Arena,
        groups: list[Group],
        schedules: dict[int, Schedule],
        kept: Sequence[Array] = (),
    ) -> None:
        self.arena = arena
        self.slots = arena.slots
        self.schedules = schedules
        self.groups = groups
        self.kept = kept
        self.made = {a for group in groups for a in group.stores}
        self.last: dict[Array, int] = {}
        self.offsets: dict[int, int] = {}
        self.reused: dict[Array, Array] = {}
        self.scratch: dict[int, list[int]] = {}
        self.loops: dict[Op, LoopPlan] = {}
        #: Live blocks of the arena as slot -> (offset, size), and what is free between them.
        self.blocks: dict[int, tuple[int, int]] = {}
        self.gaps: list[tuple[int, float]] = [(0, math.inf)]
        self.top = 0

    def run(self) -> Memory:
        for group in self.groups:
            for array in (*group.stores, *(r.array for r in group.loads())):
                self.last[array] = group.index
        self.last.update(dict.fromkeys(self.kept, len(self.groups)))
        for group in self.groups:
            self.place_group(group)
        return Memory(self.slots, 0, self.offsets, self.top, self.scratch, self.reused, self.loops)

    def place_group(self, group: Group) -> None:
        dying = [
            r.array
            for r in group.loads()
            if r.array in self.made
            and r.array.kind == "temporary"
            and self.last[r.array] == group.index
        ]
        for array in group.stores:
            if array in self.slots:
                continue
            old = self.overwritable(array, group, dying)
            lent = self.lent_output(array) if old is None else None
            if lent is not None:
                self.slots[array] = self.slots[lent]
                self.reused[lent] = array
            elif old is not None:
                dying = [a for a in dying if a is not old]
                self.slots[array] = self.slots[old]
                self.reused[array] = old
            else:
                self.slots[array] = self.allocate(array.nbytes)
        inside = [self.allocate(n) for n in self.scratch_bytes(group)]
        if group.kind == "steps":
            inside.append(self.place_bodies(group.body[0]))
        elif inside:
            self.scratch[group.index] = inside
        for array in {*dying, *(a for a in group.stores if self.last[a] == group.index)}:
            if array.kind == "temporary":
                self.release(self.slots[array])
        for slot in inside:
            self.release(slot)

    def place_bodies(self, op: Op) -> int:
        """Place all that is inside of a loop of steps, and return the slot of all its memory."""
        plan, offsets, size = place_loop(op, self.arena, self.place_body)
        self.loops[op] = plan
        slot = self.allocate(size)
        self.offsets |= {inner: self.offsets[slot] + at for inner, at in offsets.items()}
        return slot

    def place_body(
        self, body: Body, kept: Sequence[Array], in_place: dict[Array, Array]
    ) -> tuple[dict[int, int], int]:
        """Place a body; return the offsets of its slots and their size."""
        placer = _Placer(self.arena, body.groups, body.schedules, kept)
        # What is written over a carry can't lend its memory to others before.
        placer.reused.update(in_place)
        body.memory = placer.run()
        return placer.offsets, placer.top

    def scratch_bytes(self, group: Group) -> list[int]:
        """Return the sizes of the temporaries that a group wants for itself."""
        if group.kind != "loop":
            return [math.prod(s) * np.dtype(d).itemsize for s, d in scratch_arrays(group)]
        plan = self.schedules[group.index]
        if not plan.block:
            return []
        return [plan.extent * op.outs[0].dtype.itemsize for op in group.folds]

    def overwritable(self, array: Array, group: Group, dying: list[Array]) -> Array | None:
        """Return a dying operand that is read only where ``array`` is written."""
        if group.kind == "loop" and array.nbytes < _IN_PLACE_BYTES:
            return None
        for old in dying:
            # What a result lent its memory to isn't free to be passed on.
            lent = self.slots[old] not in self.blocks
            if lent or old.nbytes != array.nbytes or old.dtype != array.dtype:
                continue
            if group.kind in ("loop", "update") and may_overwrite(group, array, old):
                return old
        return None

    def lent_output(self, array: Array) -> Array | None:
        """Return a result that is written over ``array`` where that is read for the last time.

        Until then the result's own memory can hold it.
        """
        if self.last[array] == len(self.groups):
            return None
        group = self.groups[self.last[array]]
        if group.kind != "loop" or array.nbytes < _IN_PLACE_BYTES:
            return None
        readers = [k for k, part in enumerate(group.parts) if _reads(part, array)]
        if not readers or not all(only_pointwise(part, array) for part in group.parts):
            return None
        for k, part in enumerate(group.parts):
            if part.folds or k < readers[-1]:
                continue
            for out in part.stores:
                alike = out.nbytes == array.nbytes and out.dtype == array.dtype
                if out.kind == "output" and alike and out not in self.reused:
                    return out
        return None

    def allocate(self, nbytes: int) -> int:
        """Return a new slot whose block is the first gap that is wide enough."""
        size = max(-(-nbytes // _ALIGN), 1) * _ALIGN
        place, at, stop = next((k, a, b) for k, (a, b) in enumerate(self.gaps) if b - a >= size)
        self.gaps[place : place + 1] = [(at + size, stop)] if at + size < stop else []
        slot = self.arena.new()
        self.blocks[slot] = (at, size)
        self.offsets[slot] = at
        self.top = max(self.top, at + size)
        return slot

    def release(self, slot: int) -> None:
        """Give the block of a slot back, if it has one."""
        if slot not in self.blocks:
            return
        start, size = self.blocks.pop(slot)
        stop: float = start + size
        place = bisect_left(self.gaps, (start, 0))
        if self.gaps[place][0] == stop:
            stop = self.gaps.pop(place)[1]
        if place and self.gaps[place - 1][1] == start:
            place -= 1
            start = self.gaps.pop(place)[0]
        self.gaps.insert(place, (start, stop))


def _reads(group: Group, array: Array) -> bool:
    return any(r.array is array for op in group.ops for r in op.reads)


def scratch_arrays(group: Group) -> list[tuple[tuple[int, ...], Any]]:
    """Return shape and dtype of the temporaries that a nest or a product wants for itself."""
    (op,) = group.body
    rule = op.lowering
    if group.kind == "library":
        return library_scratch(op)
    if isinstance(rule, Routines):
        return list(routine_plan(op)[0])
    if not isinstance(rule, Nest) or rule.scratch is None:
        return []
    return list(rule.scratch(op.avals_in, **op.params))


def check_memory(groups: list[Group], memory: Memory) -> None:
    """Check that no two arrays which live at the same time share memory."""
    first: dict[Array, int] = {}
    last: dict[Array, int] = {}
    for group in groups:
        for array in group.stores:
            first.setdefault(array, group.index)
            last[array] = len(groups) if array.kind == "output" else group.index
        for read in group.loads():
            last[read.array] = max(last.get(read.array, 0), group.index)
    live = list(first)
    for i, a in enumerate(live):
        for b in live[:i]:
            if not overlap(a, b, memory) or first[a] > last[b] or first[b] > last[a]:
                continue
            old, new = (b, a) if memory.reused.get(a) is b else (a, b)
            passed_on = memory.reused.get(new) is old and last[old] == first[new]
            assert passed_on, f"{a} and {b} share memory while both are alive"


def overlap(a: Array, b: Array, memory: Memory) -> bool:
    """Whether two arrays share memory, at whatever time."""
    slots = memory.slots[a], memory.slots[b]
    if slots[0] == slots[1]:
        return True
    if slots[0] not in memory.offsets or slots[1] not in memory.offsets:
        return False
    start_a, start_b = (memory.offsets[s] for s in slots)
    return start_a < start_b + b.nbytes and start_b < start_a + a.nbytes
