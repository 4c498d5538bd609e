"""Computes cheap values again where they are needed instead of keeping them in memory.

A difference of two broadcast vectors, a scaled input, a converted mask: writing such an array and
reading it back costs more than computing it a second time from what is in memory anyway.
"""

from __future__ import annotations

from functrace.compiler.codegen import op_cost
from functrace.compiler.plan import Array, ArrayProgram, Group, Op, Read, squeeze
from functrace.core.lowering import Elementwise

__all__ = ["recompute_cheap"]

_CHEAP = 2
_MOST_COPIES = 4
#: Smaller arrays stay in the cache; computing them again would only make kernels differ.
_WORTH_BYTES = 1 << 15
#: An operand that isn't in memory yet may be stored instead when it is so many times smaller.
_SMALLER = 4

Reader = tuple[Group, Op, int]


def recompute_cheap(program: ArrayProgram, groups: list[Group]) -> list[Group]:
    """Return the groups, in which cheap operations are copied to the groups that need them."""
    outputs = {o.array for o in program.outputs}
    readers: dict[Array, list[Reader]] = {}
    for group in groups:
        for op in group.ops:
            for k, operand in enumerate(op.operands):
                if isinstance(operand, Read):
                    readers.setdefault(operand.array, []).append((group, op, k))
    stored = {a for group in groups for a in group.stores}
    count = 1 + max((a.index for g in groups for op in g.ops for a in op.outs), default=0)
    for group in groups:
        for op in list(group.body) if group.kind == "loop" else ():
            if op.outs[0] in outputs or not _is_cheap(group, op, stored):
                continue
            outside = [r for r in readers.get(op.outs[0], []) if r[0] is not group]
            targets = {id(r[0]) for r in outside}
            if len(targets) <= _MOST_COPIES and all(_takes(r, group) for r in outside):
                count = _move(group, op, outside, readers, stored, count)
    kept = [group for group in groups if group.ops]
    for number, group in enumerate(kept):
        group.index = number
    return kept


def _is_cheap(group: Group, op: Op, stored: set[Array]) -> bool:
    """Whether computing an operation from memory costs less than reading its result."""
    out = op.outs[0]
    if not isinstance(op.lowering, Elementwise) or out not in stored or out.nbytes < _WORTH_BYTES:
        return False
    if op_cost(op) > _CHEAP:
        return False
    arrays = {r.array for r in op.reads}
    missing = [a for a in arrays if a.kind == "temporary" and a not in stored]
    if any(a.nbytes * _SMALLER > out.nbytes for a in missing):
        return False
    return sum(a.nbytes for a in arrays) <= out.nbytes


def _takes(reader: Reader, group: Group) -> bool:
    """Whether a reader in another group can have the operation in its own body."""
    other, op, k = reader
    operand = op.operands[k]
    if other.kind != "loop" or other.space != group.space or op in other.epilogue:
        return False
    if not isinstance(op.lowering, Elementwise) and op not in other.folds:
        return False
    return isinstance(operand, Read) and operand.pointwise and squeeze(operand.shape) == group.space


def _move(
    group: Group,
    op: Op,
    outside: list[Reader],
    readers: dict[Array, list[Reader]],
    stored: set[Array],
    count: int,
) -> int:
    """Copy an operation into the groups that read it; return the next array's number."""
    (out,) = op.outs
    copies: dict[int, Array] = {}
    for other, reader, k in outside:
        if id(other) not in copies:
            copy = Array(count, out.shape, out.dtype, "temporary")
            count += 1
            clone = Op(op.index, op.name, op.lowering, list(op.operands), [copy], op.params, op.eqn)
            other.body.append(clone)
            other.body.sort(key=lambda x: x.index)
            copies[id(other)] = copy
            for j, operand in enumerate(clone.operands):
                if isinstance(operand, Read):
                    readers[operand.array].append((other, clone, j))
        old = reader.operands[k]
        assert isinstance(old, Read)
        reader.operands[k] = Read(copies[id(other)], old.shape, old.strides, old.offset)
    stored.discard(out)
    group.stores.remove(out)
    for read in op.reads:
        if read.array.kind == "temporary" and read.array not in stored:
            stored.add(read.array)
            group.stores.append(read.array)
    inside = [r for r in readers.get(out, []) if r[0] is group]
    if not inside:
        group.body.remove(op)
    return count
