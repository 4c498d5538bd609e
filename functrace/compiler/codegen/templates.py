"""The code of loop groups, known again by what decides it: another size is another record only.

A kernel is made from the operations of its group, from how its loops and accesses lie to each
other, and from numbers: extents, strides, offsets, slots, some constants. Small numbers are part of
it; what the others are it must not matter, but for three things: which of them are equal, between
which of a few borders an extent lies, and where each of them goes in the record. A `Description`
is all of that. Two groups that are described alike have the same kernels; the record of the second
is the first's with its own numbers in their places.

With checks on, whatever is found this way is made anew all the same, and compared.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np

from functrace.compiler.codegen.kernels import MOST_STATIC_STRIDE, Printed, StepCode
from functrace.compiler.codegen.literals import bits_of, data_of
from functrace.compiler.codegen.rows import rows_of_block
from functrace.compiler.plan import Array, Group, Memory, Number, Op, Operand, Read
from functrace.compiler.planning.schedule import TILE, Schedule, space_strides
from functrace.core.lowering import Elementwise, Indexed

__all__ = ["Description", "Template"]

#: Numbers that stand for a number that is left open: beyond every extent, stride and offset.
_OPEN = 1 << 80
#: The borders at which code generation changes its mind about a loop.
_BORDERS = (8, TILE, 64, 128, 512, 1024)


class Description:
    """What decides the kernels of a loop group, and the numbers that it leaves open.

    Groups with indexed operations leave slots open only: their rules may ask for any extent.

    Attributes:
        key: equal for groups with the same kernels; None if there is no telling.
        slots, numbers: what is left open, by order of appearance.
    """

    def __init__(self, group: Group, plan: Schedule, memory: Memory) -> None:
        self.memory = memory
        self.exact = any(isinstance(op.lowering, Indexed) for op in group.ops)
        self.slots: dict[int, int] = {}
        self.numbers: dict[int, int] = {}
        self.arrays: dict[Array, int] = {}
        self.array_types: list[Any] = []
        self.known_strides: dict[tuple[int, ...], tuple[int, ...]] = {}
        key = (
            self.schedule(plan),
            tuple([self.part(part) for part in group.parts]),
            tuple(map(self.array, group.stores)),
            tuple(map(self.slot, memory.scratch.get(group.index, ()))),
            tuple(self.array_types),
        )
        self.key: Any = key
        try:
            hash(key)
        except TypeError:
            self.key = None

    # --- numbers ---

    def number(self, n: int) -> int:
        """Return what stands for a number: itself, or that it is the k-th that is left open."""
        if self.exact or -1 <= n <= MOST_STATIC_STRIDE:
            return n
        return _OPEN + self.numbers.setdefault(n, len(self.numbers))

    def strides(self, strides: tuple[int, ...]) -> tuple[int, ...]:
        known = self.known_strides.get(strides)
        if known is None:
            known = self.known_strides[strides] = tuple(map(self.number, strides))
        return known

    def slot(self, slot: int) -> int:
        return self.slots.setdefault(slot, len(self.slots))

    def array(self, array: Array) -> int:
        known = self.arrays.get(array)
        if known is None:
            known = self.arrays[array] = len(self.arrays)
            slot = self.memory.slots.get(array)
            self.array_types += (array.dtype.char, None if slot is None else self.slot(slot))
        return known

    # --- what the numbers belong to ---

    def schedule(self, plan: Schedule) -> Any:
        loops = [
            (x.axes, x.reduced, self.number(x.extent), bisect_left(_BORDERS, x.extent))
            for x in plan.loops
        ]
        accesses = [
            (
                key[-1] == "store",
                self.array(a.array),
                self.number(a.offset),
                self.strides(a.strides),
            )
            for key, a in plan.accesses.items()
        ]
        sizes = (plan.block, plan.extent, rows_of_block(plan))
        return (
            plan.style,
            plan.tiny,
            plan.bundle,
            plan.block > 0,
            bisect_left(_BORDERS, plan.block),
            *map(self.number, sizes),
            tuple(loops),
            tuple(accesses),
        )

    def part(self, part: Group) -> Any:
        kept, data = part.kept, data_of(part)
        body = [self.op(op, part.space, data) for op in part.body]
        folds = [self.op(op, part.space, data) for op in part.folds]
        epilogue = [self.op(op, kept, data) for op in part.epilogue]
        stores = tuple(map(self.array, part.stores))
        return (len(part.space), part.axes, tuple(body), tuple(folds), tuple(epilogue), stores)

    def op(self, op: Op, space: tuple[int, ...], data: dict[Number, Any]) -> Any:
        rule: Any = op.lowering
        shapes: Any = None
        if isinstance(rule, Elementwise):
            rule = rule.rule
        elif isinstance(rule, Indexed):
            seen = [(x.shape, x.strides if isinstance(x, Read) else ()) for x in op.operands]
            shapes = (op.outs[0].shape, *seen)
        params = tuple([(k, plain(op.params[k])) for k in sorted(op.params)]) if op.params else ()
        operands = [self.operand(x, space, data) for x in op.operands]
        return (op.name, rule, params, shapes, *operands, *map(self.array, op.outs))

    def operand(self, x: Operand, space: tuple[int, ...], data: dict[Number, Any]) -> Any:
        if isinstance(x, Number):
            value = self.number(bits_of(x)) if x in data else x.value.tobytes()
            return (x.dtype.char, value)
        return (self.array(x.array), self.number(x.offset), self.strides(space_strides(x, space)))


def plain(value: Any) -> Any:
    """Return what tells a parameter from others: 0, 0.0, -0.0 and False are four things."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, (float, complex, np.generic)):
        return (type(value), repr(value))
    return (type(value), value)


@dataclass(frozen=True, slots=True)
class Template:
    """One step of a loop group, but for the numbers in its record.

    Attributes:
        printed: the kernel's text, once somebody wanted it.
        places: for each word of the record, its place among slots, numbers and ``constants``.
        constants: numbers that are the same for all groups described alike.
        sites: the number of the operation that each check belongs to.
    """

    printed: Printed
    places: tuple[int, ...]
    constants: tuple[int, ...]
    sites: tuple[int, ...]

    @classmethod
    def of(cls, code: StepCode, seen: Description) -> Template | None:
        """Return the template of a step, or None if its record has a number of unknown origin."""
        places: list[int] = []
        constants: list[int] = []
        for at, value in enumerate(code.record):
            if at in code.slot_words:
                places.append(seen.slots[value])
            elif value in seen.numbers:
                places.append(len(seen.slots) + seen.numbers[value])
            elif seen.exact or -1 <= value <= MOST_STATIC_STRIDE:
                places.append(len(seen.slots) + len(seen.numbers) + len(constants))
                constants.append(value)
            else:
                return None
        ops = {op: k for k, op in enumerate(code.group.ops)}
        sites = tuple(ops[op] for op in code.sites)
        return cls(code.printed, tuple(places), tuple(constants), sites)

    def record(self, seen: Description) -> tuple[int, ...]:
        """Return the record for a group that is described alike."""
        values = (*seen.slots, *seen.numbers, *self.constants)
        return tuple([values[place] for place in self.places])
