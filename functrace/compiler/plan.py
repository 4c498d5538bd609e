"""What the stages hand to each other: arrays, reads of them, operations, groups, memory.

    jaxpr -> operations over arrays (views resolved into reads) -> groups -> memory -> kernels

An `Array` is a row-major buffer-to-be. A view makes no array: it is a `Read`, an array seen through
other strides. A `Number` is a scalar constant of any shape. Everything is plain data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from functrace.core.aval import Shape, ShapedArray
from functrace.core.jaxpr import JaxprEqn
from functrace.core.lowering import Lowering

__all__ = [
    "Array",
    "ArrayProgram",
    "Body",
    "Group",
    "Memory",
    "Number",
    "OneKernel",
    "Op",
    "Operand",
    "Output",
    "Plan",
    "Read",
    "Update",
    "contiguous_strides",
    "squeeze",
]

DType = np.dtype[Any]


def contiguous_strides(shape: Shape) -> Shape:
    """Return the row-major strides of a shape, in elements.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return tuple(strides)


def squeeze(shape: Shape) -> Shape:
    """Return a shape without its axes of size 1: the space that loops run over."""
    return tuple([n for n in shape if n != 1]) if 1 in shape else shape


@dataclass(eq=False, slots=True)
class Array:
    """A row-major array in memory.

    Attributes:
        index: its number, in order of making.
        shape: its extents.
        dtype: its dtype.
        kind: "input", "constant", "temporary" or "output".
        value: a constant's value.
    """

    index: int
    shape: Shape
    dtype: DType
    kind: str
    value: np.ndarray[Any, Any] | None = None

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes."""
        return self.size * self.dtype.itemsize

    def read(self) -> Read:
        """Return the read of the whole array as it is."""
        return Read(self, self.shape, contiguous_strides(self.shape), 0)

    def __str__(self) -> str:
        return f"{_LETTERS[self.kind]}{self.index}"


_LETTERS = {"input": "in", "constant": "const", "temporary": "t", "output": "out"}


@dataclass(frozen=True, slots=True)
class Read:
    """An array seen through strides, counted in elements: what a chain of views comes to."""

    array: Array
    shape: Shape
    strides: Shape
    offset: int

    @property
    def dtype(self) -> DType:
        """The dtype of the elements."""
        return self.array.dtype

    @property
    def whole(self) -> bool:
        """Whether it is the array's elements, all of them, in their own order."""
        if self.offset or math.prod(self.shape) != self.array.size:
            return False
        expected = 1
        for n, stride in zip(reversed(self.shape), reversed(self.strides)):
            if n == 0:
                return True
            if n != 1:
                if stride != expected:
                    return False
                expected *= n
        return True

    @property
    def pointwise(self) -> bool:
        """Whether element i of the space of its shape is element i of the array's."""
        if self.shape == self.array.shape or squeeze(self.shape) == squeeze(self.array.shape):
            return self.whole
        return False

    def space_strides(self) -> Shape:
        """Return the strides along the axes that aren't of size 1."""
        if 1 not in self.shape:
            return self.strides
        return tuple([s for s, n in zip(self.strides, self.shape) if n != 1])

    def __str__(self) -> str:
        if self.whole and self.shape == self.array.shape:
            return str(self.array)
        strides = ",".join(map(str, self.strides))
        offset = f"+{self.offset}" if self.offset else ""
        return f"{self.array}[{','.join(map(str, self.shape))} by {strides}{offset}]"


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """One constant, of a shape."""

    value: np.generic
    shape: Shape

    @property
    def dtype(self) -> DType:
        """The dtype."""
        return self.value.dtype

    def __str__(self) -> str:
        shape = f"[{','.join(map(str, self.shape))}]" if self.shape else ""
        return f"{self.value.item()!r}:{self.dtype.name}{shape}"


Operand = Read | Number


@dataclass(frozen=True, slots=True)
class OneKernel:
    """The lowering of a loop or branch that becomes one kernel, bodies and all."""


@dataclass(frozen=True, slots=True)
class Update:
    """The lowering of what writes a few elements of its first operand's copy, or of itself.

    ``rule`` is the ``update`` of the primitive's own lowering.
    """

    rule: Callable[..., Any]


@dataclass(eq=False, slots=True)
class Op:
    """An equation whose operands are reads. Copies that the compiler adds have no equation.

    One that holds jaxprs has ``bodies``; what these read from around them follows the operands.
    ``stacks`` says where in its results a loop puts the rows that each round makes.
    """

    index: int
    name: str
    lowering: Lowering | OneKernel | Update
    operands: list[Operand]
    outs: list[Array]
    params: dict[str, Any]
    eqn: JaxprEqn | None = None
    bodies: tuple[Body, ...] = ()
    stacks: tuple[Read, ...] = ()
    _reads: list[Read] | None = field(default=None, init=False)

    @property
    def avals_in(self) -> list[ShapedArray]:
        """The types of the operands."""
        return [ShapedArray(x.shape, x.dtype) for x in self.operands]

    @property
    def avals_out(self) -> list[ShapedArray]:
        """The types of the results."""
        return [ShapedArray(x.shape, x.dtype) for x in self.outs]

    @property
    def reads(self) -> list[Read]:
        """The operands that are in memory."""
        if self._reads is None:
            self._reads = [x for x in self.operands if isinstance(x, Read)]
        return self._reads

    def put_operand(self, k: int, operand: Operand) -> None:
        """Replace an operand."""
        self.operands[k] = operand
        self._reads = None

    def __str__(self) -> str:
        outs = ", ".join(f"{a}:{a.dtype.name}[{','.join(map(str, a.shape))}]" for a in self.outs)
        line = f"{outs} = {self.name} {' '.join(map(str, self.operands))}".rstrip()
        return "\n".join([line, *(indented(body) for body in self.bodies)])


@dataclass(frozen=True, slots=True)
class Output:
    """A result: an array's elements under a shape; a copy when the array isn't its own."""

    array: Array
    shape: Shape
    copy: bool


@dataclass(eq=False, slots=True)
class ArrayProgram:
    """Operations over arrays: the simplified jaxpr with its views resolved.

    ``barriers`` are numbers of operations that may share no kernel with any before them.
    """

    inputs: list[Array]
    constants: list[Array]
    ops: list[Op]
    outputs: list[Output]
    barriers: frozenset[int] = frozenset()

    def __str__(self) -> str:
        lines = [f"{a} = {a.dtype.name}{list(a.shape)}" for a in (*self.inputs, *self.constants)]
        lines += [str(op) for op in self.ops]
        outs = (f"{o.array}{' (copied)' if o.copy else ''}" for o in self.outputs)
        return "\n".join([*lines, f"return {', '.join(outs)}"])


@dataclass(eq=False, slots=True)
class Body:
    """A jaxpr inside an operation; it also reads arrays that are made around it.

    Attributes:
        program: its operations. Its inputs are what is handed to it each time it runs.
        groups: its groups in running order.
        schedules: the schedules of its loop groups (``compiler.schedule``), by number.
        memory: where its arrays are, if it is steps.
    """

    program: ArrayProgram
    groups: list[Group] = field(default_factory=list)
    schedules: dict[int, Any] = field(default_factory=dict)
    memory: Memory | None = None

    def __str__(self) -> str:
        inputs = [f"{a} = {a.dtype.name}{list(a.shape)}" for a in self.program.inputs]
        what = self.groups or self.program.ops
        outs = f"yield {', '.join(str(o.array) for o in self.program.outputs)}"
        return "\n".join(["body:", *map(indented, [*inputs, *what, outs])])


def indented(item: object) -> str:
    """Return an item's text, moved to the right."""
    return "\n".join(f"    {line}" for line in str(item).split("\n"))


@dataclass(eq=False, slots=True)
class Group:
    """Operations that become one step.

    Attributes:
        index: its number.
        kind: "loop", "nest", "update", "library" or "host"; "sequence", a loop or branch that is
            one kernel; "steps", one whose bodies are steps of their own.
        space: the extents that a loop group runs over, none of them 1.
        axes: which of them its folds reduce.
        body: operations at each point of the space.
        folds: reductions over ``axes`` of what the body computes or reads.
        epilogue: operations at each point of the space that is left.
        stores: the arrays that are wanted outside.
        phases: loop groups over this space that run one after the other for each row: for each
            point of the space that their folds leave. A group with phases has no operations else.
        after: a group that must run first although nothing of it is read.
        stretch: how many barriers come before it.
    """

    index: int
    kind: str
    space: Shape = ()
    axes: tuple[int, ...] = ()
    body: list[Op] = field(default_factory=list)
    folds: list[Op] = field(default_factory=list)
    epilogue: list[Op] = field(default_factory=list)
    stores: list[Array] = field(default_factory=list)
    phases: list[Group] = field(default_factory=list)
    after: Group | None = None
    stretch: int = 0

    @property
    def parts(self) -> list[Group]:
        """Its phases, or itself."""
        return self.phases or [self]

    @property
    def ops(self) -> list[Op]:
        """All of its operations, in order."""
        if not self.phases:
            return [*self.body, *self.folds, *self.epilogue]
        return [op for p in self.phases for op in (*p.body, *p.folds, *p.epilogue)]

    @property
    def kept(self) -> Shape:
        """The space that the folds leave."""
        return tuple(n for i, n in enumerate(self.space) if i not in self.axes)

    def loads(self) -> list[Read]:
        """Return what it reads from memory."""
        ops = self.ops
        made = {a for op in ops for a in op.outs}
        return [r for op in ops for r in op.reads if r.array not in made]

    def __str__(self) -> str:
        head = f"group {self.index}: {self.kind}"
        if self.kind == "loop":
            head += f" over {list(self.space)}"
            head += f" folding axes {list(self.axes)}" if self.folds else ""
        if self.phases:
            head += f" in {len(self.phases)} phases for each row"
        return "\n".join([head, *(line for part in self.parts for line in part.lines())])

    def lines(self) -> list[str]:
        """Return the text of its operations."""
        lines = [f"    {op}" for op in self.body]
        lines += [f"    fold {op}" for op in self.folds]
        lines += [f"    then {op}" for op in self.epilogue]
        return [*lines, f"    store {', '.join(map(str, self.stores))}"]


@dataclass(eq=False, slots=True)
class Memory:
    """Where arrays live: frame slots, and offsets in the arena.

    Attributes:
        slots: the slot of each array.
        n_slots: how many there are; slot 0 is the error cell's.
        offsets: slot -> byte offset in the arena, of the temporaries.
        arena_bytes: the size of the arena.
        scratch: group index -> slots of the temporaries inside it.
        reused: an array written over another, elementwise.
        loops: the plans of loops of steps (``compiler.loop_memory``).
    """

    slots: dict[Array, int]
    n_slots: int
    offsets: dict[int, int]
    arena_bytes: int
    scratch: dict[int, list[int]]
    reused: dict[Array, Array]
    loops: dict[Op, Any] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Plan:
    """A program, its groups in running order, and its memory."""

    program: ArrayProgram
    groups: list[Group]
    memory: Memory

    def __str__(self) -> str:
        m = self.memory
        lines = [f"{m.n_slots} slots, arena of {m.arena_bytes} bytes"]
        for array, slot in m.slots.items():
            at = f" at {m.offsets[slot]}" if slot in m.offsets else ""
            over = f" over {m.reused[array]}" if array in m.reused else ""
            lines.append(f"  slot {slot}: {array} {array.dtype.name}{list(array.shape)}{at}{over}")
        return "\n".join([*lines, *map(str, self.groups)])
