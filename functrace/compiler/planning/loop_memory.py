"""Where a loop of steps keeps what it carries, and which of its slots move with the rounds.

A carried array has two places, which exchange their names after each round; or one, where the body
may write the new value over the old one. Slices of stacks are slots that point into these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from functrace.compiler.plan import Array, Body, Op, Operand, Output, Read
from functrace.compiler.planning.in_place import chain
from functrace.compiler.runtime.steps import Copy, Window
from functrace.core.lowering import Branches, Scan

__all__ = ["Arena", "LoopPlan", "place_loop"]


@dataclass(eq=False, slots=True)
class LoopPlan:
    """What a loop does around its body.

    Attributes:
        starts: copies of the first carry.
        windows, swaps: as of ``runtime.steps.Loop``.
        before, after: copies in each round before and after the steps, per body.
        ends: copies of results.
        test_slot: where the condition is.
        in_place: carried arrays that are written over.
    """

    starts: list[Copy] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    swaps: list[tuple[int, int]] = field(default_factory=list)
    before: dict[Body, list[Copy]] = field(default_factory=dict)
    after: dict[Body, list[Copy]] = field(default_factory=dict)
    ends: list[Copy] = field(default_factory=list)
    test_slot: int | None = None
    in_place: dict[Array, Array] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Arena:
    """Slots of a frame, numbered as they are made, and the arrays in them."""

    slots: dict[Array, int]
    next_slot: int

    def new(self) -> int:
        """Return a new slot."""
        self.next_slot += 1
        return self.next_slot - 1

    def bind(self, array: Array) -> int:
        """Return a new slot for an array."""
        self.slots[array] = self.new()
        return self.slots[array]


#: Places a body: what must live on to its end, and what is written over what; returns the offsets
#: of its slots and the bytes they take.
PlaceBody = Callable[[Body, Sequence[Array], dict[Array, Array]], tuple[dict[int, int], int]]


def place_loop(op: Op, arena: Arena, place_body: PlaceBody) -> tuple[LoopPlan, dict[int, int], int]:
    """Return the plan of a loop or branch, the offsets of all slots inside, and their size."""
    return _LoopPlacer(op, arena, place_body).run()


class _LoopPlacer:
    def __init__(self, op: Op, arena: Arena, place_body: PlaceBody) -> None:
        self.op = op
        self.arena = arena
        self.place_body = place_body
        self.plan = LoopPlan()
        self.offsets: dict[int, int] = {}
        self.top = 0
        #: Outputs to be copied once everything has its place.
        self.late: list[tuple[Body, Output, int]] = []

    def run(self) -> tuple[LoopPlan, dict[int, int], int]:
        op = self.op
        lowering = op.eqn.primitive.lowering if op.eqn is not None else None
        if isinstance(lowering, Branches):
            self.branches()
        elif isinstance(lowering, Scan):
            (body,) = op.bodies
            count = op.params["num_carry"]
            self.carries(body, [], op.operands[:count])
            self.rows(body, count)
            self.body(body)
        else:
            test, body = op.bodies
            carry = op.operands[: len(body.program.inputs)]
            self.carries(body, test.program.inputs, carry)
            self.body(test)
            self.body(body)
            self.plan.test_slot = self.arena.slots[test.program.outputs[0].array]
        for body, out, target in self.late:
            self.copies(body, out, target)
        return self.plan, self.offsets, self.top

    def temporary(self, nbytes: int) -> int:
        """Return a slot of memory that lives as long as the loop."""
        slot = self.arena.new()
        self.offsets[slot] = self.top
        self.top += -(-max(nbytes, 1) // 64) * 64
        return slot

    def body(self, body: Body) -> None:
        """Place what a body makes, after what is there."""
        outputs = [o.array for o in body.program.outputs]
        inner, size = self.place_body(body, outputs, self.plan.in_place)
        self.offsets |= {slot: self.top + at for slot, at in inner.items()}
        self.top += size

    def copies(self, body: Body, out: Output, target: int) -> None:
        """Copy an output that is not the body's own to be: early, if the body doesn't make it."""
        made = {a for group in body.groups for a in group.stores}
        when = self.plan.after if out.array in made else self.plan.before
        source = self.arena.slots[out.array]
        if source != target:
            when.setdefault(body, []).append(Copy(target, source, out.array.nbytes))

    # --- loops ---

    def carries(self, body: Body, tested: Sequence[Array], starts: Sequence[Operand]) -> None:
        """Give what is carried its places."""
        slots = self.arena.slots
        results = self.op.outs[: len(starts)]
        carry = body.program.inputs[: len(starts)]
        for k, (array, start, result) in enumerate(zip(carry, starts, results)):
            out = body.program.outputs[k]
            place = slots[array] = self.temporary(array.nbytes)
            if tested:
                slots[tested[k]] = place
            assert isinstance(start, Read)
            self.plan.starts.append(Copy(place, slots[start.array], array.nbytes))
            self.plan.ends.append(Copy(slots[result], place, array.nbytes))
            over = None if out.copy else chain(body, out.array, array)
            if over is not None:
                slots.update(dict.fromkeys(over, place))
                self.plan.in_place.update(dict.fromkeys(over, array))
                continue
            other = self.temporary(array.nbytes)
            self.plan.swaps.append((place, other))
            if out.copy:
                self.late.append((body, out, other))
            else:
                slots[out.array] = other

    def rows(self, body: Body, count: int) -> None:
        """Make slices slots that move."""
        op, slots = self.op, self.arena.slots
        n, reverse = op.params["length"], op.params["reverse"]

        def window(slot: int, base: int, stride: int, start: int) -> None:
            if reverse:
                start, stride = start + (n - 1) * stride, -stride
            self.plan.windows.append(Window(slot, base, stride, start))

        rows = body.program.inputs[count:]
        stacks = [x for x in op.operands[count:] if isinstance(x, Read)]
        for row, stack in zip(rows, stacks):
            size = stack.dtype.itemsize
            slot = self.arena.bind(row)
            window(slot, slots[stack.array], stack.strides[0] * size, stack.offset * size)
        for out, stack in zip(body.program.outputs[count:], op.stacks):
            slot, size = self.arena.new(), stack.dtype.itemsize
            window(slot, slots[stack.array], stack.strides[0] * size, stack.offset * size)
            if out.copy:
                self.late.append((body, out, slot))
            else:
                slots[out.array] = slot

    # --- branches ---

    def branches(self) -> None:
        """Let each branch write the results where they belong; branches share memory."""
        start, most = self.top, self.top
        for body in self.op.bodies:
            self.top = start
            for out, result in zip(body.program.outputs, self.op.outs):
                if out.copy:
                    self.late.append((body, out, self.arena.slots[result]))
                else:
                    self.arena.slots[out.array] = self.arena.slots[result]
            self.body(body)
            most = max(most, self.top)
        self.top = most
