"""Group -> kernel IR and the record of its step: what all kinds of kernels share, and nests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from functrace.compiler.ir.builder import ArrayRef, Builder, Index, KernelBuilder, MemoryRef
from functrace.compiler.ir.kernel import Kernel, Region, Value, regions_of
from functrace.compiler.ir.quotients import hoist_divisors
from functrace.compiler.plan import (
    Array,
    Group,
    Memory,
    Number,
    Op,
    Operand,
    Read,
    Update,
    contiguous_strides,
)
from functrace.compiler.planning.memory import scratch_arrays
from functrace.compiler.planning.schedule import piece_of
from functrace.compiler.runtime.lapack import call_step, routine_plan
from functrace.compiler.runtime.numpy_rows import row_step
from functrace.compiler.runtime.steps import HostCall, KernelCode, SlotView, Step
from functrace.core.lowering import Call, Elementwise, Nest, RowRoutine
from functrace.ops.nests import for_each

__all__ = [
    "KernelMaker",
    "Printed",
    "StepCode",
    "host_step",
    "nest_kernel",
    "op_cost",
    "routine_steps",
    "rule_cost",
    "update_kernel",
]


#: Changes the body of a finished kernel.
Pass = Callable[[Builder, Region], None]

#: Elements so far apart are read and written together, as vectors that are then taken apart.
MOST_STATIC_STRIDE = 4


@dataclass(eq=False, slots=True)
class Printed:
    """The text of a kernel, once somebody wanted it: steps with the same kernel share it."""

    code: KernelCode | None = None


@dataclass(eq=False, slots=True)
class StepCode:
    """One step before it is built.

    Attributes:
        group: what it computes.
        record: the integers the kernel reads.
        extent, grain: its outer range and how that is split.
        light: whether only threads that are awake should take part.
        sites: which operation each check of the kernel belongs to.
        slot_words: which words of the record are slots.
        beside: small groups before and after a loop that it computes too.
        printed: its kernel as text.
        made: its kernel, if it has been made for this step.
        remake: makes the step again, kernel included.
    """

    group: Group
    record: tuple[int, ...]
    extent: int = 1
    grain: int = 0
    light: bool = False
    sites: list[Op] = field(default_factory=list)
    slot_words: frozenset[int] = frozenset()
    beside: tuple[Group, ...] = ()
    printed: Printed = field(default_factory=Printed)
    made: Kernel | None = None
    remake: Callable[[], StepCode] | None = None

    @property
    def ops(self) -> list[Op]:
        """All operations it computes."""
        return [op for group in (self.group, *self.beside) for op in group.ops]

    @property
    def kernel(self) -> Kernel:
        """Its kernel's IR."""
        if self.made is None:
            assert self.remake is not None
            self.made = self.remake().made
        assert self.made is not None
        return self.made


class KernelMaker:
    """A kernel being built together with the record of the step that will run it."""

    def __init__(self, group: Group, memory: Memory) -> None:
        self.group = group
        self.memory = memory
        self.b = KernelBuilder("kernel")
        self.sites: list[Op] = []
        self._slots: dict[int, int] = {}
        self._buffers: dict[int, MemoryRef] = {}
        loads = {memory.slots[a] for a in self.arrays_read()}
        stores = {memory.slots[a] for a in self.arrays_stored()}
        self._access = dict.fromkeys(loads, "in")
        self._access.update({s: "inout" if s in loads else "out" for s in stores})

    def arrays_read(self) -> list[Array]:
        """Return the arrays that the kernel reads from memory."""
        return [r.array for part in self.group.parts for r in part.loads()]

    def arrays_stored(self) -> list[Array]:
        """Return the arrays that the kernel writes to memory."""
        return self.group.stores

    def buffer(self, array: Array, access: str | None = None) -> MemoryRef:
        """Return the memory of an array; arrays in one slot are one memory."""
        slot = self.memory.slots[array]
        return self.slot_buffer(slot, array.dtype, access or self._access[slot])

    def slot_buffer(self, slot: int, dtype: Any, access: str) -> MemoryRef:
        """Return the memory of a slot."""
        ref = self._buffers.get(slot)
        if ref is None:
            self._slots[self.b.record_length] = slot
            ref = self._buffers[slot] = self.b.buffer(dtype, access)
        return ref

    def number(self, value: int) -> Value:
        """Return an integer of the record."""
        return self.b.number(value)

    def extent(self, n: int, most_static: int) -> Index:
        """Return an extent: known to the kernel when small, else from the record."""
        return n if n <= most_static else self.number(n)

    def stride(self, stride: int, innermost: bool) -> Index:
        """Return a stride; 0, and small ones where memory is run along, are known to the kernel."""
        if stride == 0 or (innermost and stride in (1, -1)) or 2 <= stride <= MOST_STATIC_STRIDE:
            return stride
        return self.number(stride)

    def offset(self, offset: int) -> Index:
        """Return an offset; none is known to the kernel."""
        return self.number(offset) if offset else 0

    def array_ref(self, read: Read, access: str | None = None) -> ArrayRef:
        """Return a read as an array for lowering rules, with its full shape."""
        memory = self.buffer(read.array, access)
        shape = [self.number(n) for n in read.shape]
        last = len(shape) - 1
        strides = [self.stride(s, i == last) for i, s in enumerate(read.strides)]
        return ArrayRef(memory, shape, strides, self.offset(read.offset))

    def scratch_ref(self, slot: int, shape: Sequence[int], dtype: Any) -> ArrayRef:
        """Return a temporary of a nest as an array for its rule."""
        memory = self.slot_buffer(slot, np.dtype(dtype), "inout")
        extents = [self.number(n) for n in shape]
        last = len(extents) - 1
        strides = [
            self.stride(s, i == last) for i, s in enumerate(contiguous_strides(tuple(shape)))
        ]
        return ArrayRef(memory, extents, strides)

    def note_sites(self, op: Op) -> None:
        """Note that the checks built since the last note belong to an operation."""
        self.sites += [op] * (len(self.b._sites) - len(self.sites))

    def finish(
        self, extent: int = 1, grain: int = 0, light: bool = False, passes: Sequence[Pass] = ()
    ) -> StepCode:
        """Return the finished step."""
        b = self.b
        kernel = b.finish(hoist_divisors, *passes)
        values = {**b.param_values, **self._slots}
        record = tuple(values[i] for i in range(b.record_length))
        slot_words = frozenset(self._slots)
        return StepCode(
            self.group, record, extent, grain, light, self.sites, slot_words, made=kernel
        )


def nest_kernel(group: Group, memory: Memory) -> StepCode:
    """Return the step of a loop nest that the primitive writes itself."""
    (op,) = group.body
    rule = op.lowering
    assert isinstance(rule, Nest)
    maker = KernelMaker(group, memory)
    extent, grain = 1, 0
    if rule.split is not None:
        extent, work = rule.split(op.avals_in, op.avals_out, **op.params)
        grain = piece_of(extent, work)
        maker.b.shared = True
    rule.rule(maker.b, *_nest_arrays(maker, op), op.avals_in, op.avals_out, **op.params)
    maker.note_sites(op)
    return maker.finish(extent, grain)


def update_kernel(group: Group, memory: Memory) -> StepCode:
    """Return the step that writes a few elements of an array, or of a copy of it."""
    (op,) = group.body
    rule, (old, *others), (new,) = op.lowering, op.operands, op.outs
    assert isinstance(rule, Update)
    maker = KernelMaker(group, memory)
    b, out = maker.b, maker.array_ref(new.read(), "inout")
    if isinstance(old, Number):
        value = b.const(old.value, old.dtype)
        for_each(b, out.shape, lambda index: out.store(index, value))
        first = out
    else:
        first = maker.array_ref(old)
        if memory.slots[old.array] != memory.slots[new]:
            for_each(b, out.shape, lambda index: out.store(index, first.load(index)))
    rest = [maker.array_ref(_in_memory(x)) for x in others]
    rule.rule(b, [first, *rest], [out], op.avals_in, **op.params)
    maker.note_sites(op)
    return maker.finish()


def _nest_arrays(maker: KernelMaker, op: Op) -> tuple[list[ArrayRef], ...]:
    """Return the operands, results and temporaries of a nest."""
    ins = [maker.array_ref(_in_memory(x)) for x in op.operands]
    outs = [maker.array_ref(a.read(), "inout") for a in op.outs]
    slots = maker.memory.scratch.get(maker.group.index, [])
    scratch = [
        maker.scratch_ref(slot, shape, dtype)
        for slot, (shape, dtype) in zip(slots, scratch_arrays(maker.group))
    ]
    return ins, outs, scratch


def routine_steps(group: Group, memory: Memory) -> list[StepCode | Step]:
    """Return the steps of ``Routines``: loop nests, and calls of LAPACK and NumPy."""
    (op,) = group.body
    steps: list[StepCode | Step] = []
    for stage in routine_plan(op)[1]:
        if isinstance(stage, Call):
            steps.append(call_step(stage, op, memory.slots, memory.scratch.get(group.index, [])))
            continue
        if isinstance(stage, RowRoutine):
            slots = memory.scratch.get(group.index, [])
            step = row_step(stage, op, memory.slots, slots)
            if step is not None:
                steps.append(step)
                continue
            stage = stage.otherwise
        maker = KernelMaker(group, memory)
        stage(maker.b, *_nest_arrays(maker, op))
        maker.note_sites(op)
        steps.append(maker.finish())
    return steps


def host_step(group: Group, memory: Memory) -> Step:
    """Return the step that runs a primitive's impl in Python."""
    (op,) = group.body
    assert op.eqn is not None
    primitive = op.eqn.primitive
    assert primitive.impl is not None
    impl = primitive.impl

    def call(*arrays: Any) -> Sequence[Any]:
        results = impl(*(a if a.ndim else a[()] for a in arrays), **op.params)
        return results if primitive.multiple_results else [results]

    def view(array: Array, shape: tuple[int, ...]) -> SlotView:
        return SlotView(memory.slots[array], shape, array.dtype)

    ins = tuple(view(r.array, r.shape) for r in op.reads)
    outs = tuple(view(a, a.shape) for a in op.outs)
    return Step(HostCall(call, ins, outs), eqn=op, label=op.name)


def _in_memory(operand: Operand) -> Read:
    assert isinstance(operand, Read), "a nest's operands are in memory"
    return operand


# --- costs -------------------------------------------------------------------------------------

_MATH_COST = 20
_DIVISIONS = frozenset(("div", "sqrt", "floordiv", "floormod", "udiv", "urem"))
_INDEXED_COST = 6


def op_cost(op: Op) -> int:
    """Return about how many scalar operations one element of an operation takes."""
    if not isinstance(op.lowering, Elementwise):
        return _INDEXED_COST
    params = tuple(sorted(op.params.items())) if op.params else ()
    return rule_cost(op.lowering, tuple([x.dtype for x in op.operands]), params)


@lru_cache(maxsize=4096)
def rule_cost(
    rule: Elementwise, dtypes: tuple[Any, ...], params: tuple[Any, ...], division: int = 1
) -> int:
    """Return about how many scalar operations a rule takes for operands of these dtypes.

    ``division`` is what a division or a square root counts.
    """
    b = KernelBuilder()
    args = [b.buffer(d, "in").load(0) for d in dtypes]
    rule.rule(b, *args, **dict(params))
    (body,) = b._regions
    return max(1, _region_cost(body, division) - len(dtypes))


def _region_cost(region: Region, division: int) -> int:
    total = 0
    for stmt in region.stmts:
        slow = getattr(stmt, "name", "") in _DIVISIONS
        total += _MATH_COST if getattr(stmt, "attr", "") else division if slow else 1
        total += sum(_region_cost(inner, division) for inner in regions_of(stmt))
    return total
