"""How much work a program is: floating-point operations, calls of vector math, bytes moved.

Counts, not estimates of time. An addition, multiplication, division, square root, rounding, sign
change or minimum of floats is one operation; a complex one is what it expands to; comparisons,
casts and integers are none. A call of `exp`, `sin` and the like is one transcendental. Bytes are
what a step reads and writes of arrays, each element once, whether a cache has it or not. What
LAPACK computes inside of a factorisation isn't counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.codegen.library import product_flops
from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.ir.kernel import (
    INNER_ARITY,
    Const,
    For,
    If,
    Kernel,
    Region,
    Scalar,
    Stmt,
    While,
)
from functrace.compiler.ir.kernel import Op as ScalarOp
from functrace.compiler.plan import Array, Body, Group, Op, Read
from functrace.compiler.planning.pulled import Composed
from functrace.compiler.runtime.lapack import routine_plan
from functrace.compiler.sequential.groups import GroupMaker
from functrace.compiler.sequential.scope import Scope
from functrace.core.lowering import Branches, Elementwise, Indexed, Reduction, Routines, Scan

__all__ = ["Work", "group_work", "kernel_work"]

#: What one step of a fold takes, without and with a multiplication.
_FOLD_FLOPS = ({"f": 1, "c": 2}, {"f": 2, "c": 8})
_ARITHMETIC = ("add", "sub", "mul", "div", "neg", "abs", "sqrt", "fma")
_ROUNDING = ("floor", "ceil", "trunc", "rint", "copysign")
_COUNTED = frozenset((*_ARITHMETIC, *_ROUNDING))


class Work(NamedTuple):
    """Floating-point operations, transcendental calls, and bytes read and written."""

    flops: int = 0
    transcendentals: int = 0
    nbytes: int = 0

    def plus(self, other: Work) -> Work:
        """Return the sum of two."""
        return Work(*(a + b for a, b in zip(self, other)))

    def times(self, n: int) -> Work:
        """Return the work of doing it so many times."""
        return Work(*(n * a for a in self))


def group_work(group: Group, code: StepCode | None = None) -> Work:
    """Return the work of a group; ``code`` is the kernel of a loop nest that a rule wrote."""
    moved = Work(nbytes=_group_bytes(group))
    if group.kind == "library":
        (op,) = group.body
        # A complex multiplication and addition is eight real operations where a real one is two.
        scale = 4 if op.outs[0].dtype.kind == "c" else 1
        return moved.plus(Work(scale * product_flops(group)))
    if group.kind in ("sequence", "steps"):
        return _structure_work(group, moved)
    if group.kind == "loop":
        for part in group.parts:
            for ops, points in ((part.body, part.space), (part.epilogue, part.kept)):
                for op in ops:
                    moved = moved.plus(_element_work(op).times(math.prod(points)))
                    moved = moved.plus(_pulled_work(op.lowering))
            for op in part.folds:
                parts = _FOLD_FLOPS[has_element(op)].get(op.outs[0].dtype.kind, 0)
                moved = moved.plus(Work(parts * math.prod(part.space)))
        return moved
    if code is not None:
        return moved.plus(kernel_work(code.kernel, code.record, code.extent))
    return moved


def has_element(op: Op) -> bool:
    """Whether a fold multiplies what it adds: a matrix product."""
    return isinstance(op.lowering, Reduction) and op.lowering.element is not None


def _structure_work(group: Group, moved: Work) -> Work:
    """Return the work of a loop or branch: of a while, one round; of a branch, the longest."""
    (op,) = group.body
    inside = group.kind == "sequence"
    works = [_body_work(body, inside) for body in op.bodies]
    lowering = op.eqn.primitive.lowering if op.eqn is not None else None
    if isinstance(lowering, Branches):
        total = max(works)
    elif isinstance(lowering, Scan):
        total = works[0].times(op.params["length"])
    else:
        total = works[0].plus(works[1])
    # What a kernel carries stays in registers and on its stack.
    return moved.plus(total) if inside else total


def _body_work(body: Body, inside: bool) -> Work:
    total = Work()
    for group in body.groups:
        work = group_work(group)
        if group.kind == "nest":
            work = work.plus(_nest_work(group))
        total = total.plus(work._replace(nbytes=0) if inside else work)
    return total


def _nest_work(group: Group) -> Work:
    """Return the operations of a loop nest that a rule writes, for extents known now."""
    (op,) = group.body
    if isinstance(op.lowering, Routines) and not all(map(callable, routine_plan(op)[1])):
        return Work()
    b = KernelBuilder()
    maker = GroupMaker(b, [], group, Scope(b, None))
    for read in op.reads:
        maker.scope.values[read.array] = b.const(0, read.dtype)
        maker.scope.local(read.array)
    maker.emit_nest()
    (body,) = b._regions
    return _Counter({}).region(body)


def _group_bytes(group: Group) -> int:
    """Count each array's elements once: no more than it has, no more than are read of it."""
    read: dict[Array, int] = {}
    made = {a for op in group.ops for a in op.outs}
    for op in group.ops:
        for operand in op.reads:
            if operand.array not in made:
                read[operand.array] = read.get(operand.array, 0) + _read_bytes(op, operand)
    total = sum(min(n, array.nbytes) for array, n in read.items())
    return total + sum(a.nbytes for a in group.stores)


def _read_bytes(op: Op, read: Read) -> int:
    seen = math.prod(n for n, stride in zip(read.shape, read.strides) if stride)
    if isinstance(op.lowering, Indexed):
        seen = min(seen, sum(a.size for a in op.outs))
    return seen * read.dtype.itemsize


def _pulled_work(rule: object) -> Work:
    """Return the work of the expressions that an indexed operation computes where it reads."""
    total = Work()
    while isinstance(rule, Indexed) and isinstance(rule.pull, Composed):
        for op in rule.pull.chain:
            total = total.plus(_element_work(op).times(op.outs[0].size))
        rule = rule.pull.rule
    return total


def _element_work(op: Op) -> Work:
    if not isinstance(op.lowering, Elementwise):
        return Work()
    params = tuple(sorted(op.params.items()))
    return _rule_work(op.lowering, tuple(x.dtype for x in op.operands), params)


@lru_cache(maxsize=4096)
def _rule_work(rule: Elementwise, dtypes: tuple[Any, ...], params: tuple[Any, ...]) -> Work:
    b = KernelBuilder()
    args = [b.buffer(d, "in").load(0) for d in dtypes]
    rule.rule(b, *args, **dict(params))
    (body,) = b._regions
    return _Counter({}).region(body)


def kernel_work(kernel: Kernel, record: Sequence[int], extent: int) -> Work:
    """Return the operations of a kernel run over its whole outer range.

    Loops whose borders depend on outer loops count as in the middle of those, so a shorter last
    tile counts as a whole one; of a branch the longer arm counts; a ``while`` counts once.
    """
    known = {kernel.lo.id: 0, kernel.hi.id: extent}
    for entry, word in zip(kernel.record, record):
        if entry.value is not None:
            known[entry.value.id] = word
    return _Counter(known).region(kernel.body)


class _Counter:
    def __init__(self, known: dict[int, int]) -> None:
        self.known = known

    def value(self, scalar: Scalar) -> int | None:
        if isinstance(scalar, Const):
            return int(scalar.value) if scalar.dtype.kind in "iub" else None
        return self.known.get(scalar.id)

    def region(self, region: Region) -> Work:
        total = Work()
        for stmt in region.stmts:
            total = total.plus(self.stmt(stmt))
        return total

    def stmt(self, stmt: Stmt) -> Work:
        if isinstance(stmt, ScalarOp):
            return self.op(stmt)
        if isinstance(stmt, For):
            lo, hi = self.value(stmt.lo), self.value(stmt.hi)
            trips = 1
            if lo is not None and hi is not None:
                trips = max(0, -(-(hi - lo) // stmt.step))
                self.known[stmt.index.id] = lo + stmt.step * (trips // 2)
            return self.region(stmt.body).times(trips)
        if isinstance(stmt, While):
            return self.region(stmt.cond).plus(self.region(stmt.body))
        if isinstance(stmt, If):
            return max(self.region(stmt.then), self.region(stmt.orelse))
        return Work()

    def op(self, op: ScalarOp) -> Work:
        if op.name in ("math", "extern"):
            return Work(1) if op.attr in ("sqrt", *INNER_ARITY) else Work(0, 1)
        if op.result.dtype.kind == "f":
            return Work(int(op.name in _COUNTED))
        number = _integer(op.name, [self.value(a) for a in op.args])
        if number is not None:
            self.known[op.result.id] = number
        return Work()


def _integer(name: str, args: list[int | None]) -> int | None:
    """Return what an integer operation of loop borders comes to, where it is known."""
    numbers = [a for a in args if a is not None]
    if len(numbers) < len(args):
        return None
    if name == "select":
        return numbers[1] if numbers[0] else numbers[2]
    if len(numbers) != 2:
        return numbers[0] if name == "cast" else None
    a, b = numbers
    simple = {"add": a + b, "sub": a - b, "mul": a * b}
    compared = {"lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b, "eq": a == b, "ne": a != b}
    if name in ("floordiv", "udiv"):
        return a // b if b else None
    if name in ("floormod", "urem"):
        return a % b if b else None
    return simple.get(name, int(compared[name]) if name in compared else None)
