"""Computes cheap values again where they are needed instead of keeping them in memory.

A difference of two broadcast vectors, a scaled input, a converted mask: writing such an array and
reading it back costs more than computing it a second time from what is in memory anyway.
"""

from __future__ import annotations

from functrace.compiler.codegen.kernels import op_cost
from functrace.compiler.plan import Array, ArrayProgram, Group, Op, Operand, Read, squeeze
from functrace.core.lowering import Elementwise

__all__ = ["recompute_cheap"]

_CHEAP = 2
_MOST_COPIES = 4
#: Smaller arrays stay in the cache; computing them again would only make kernels differ.
_WORTH_BYTES = 1 << 18
#: An operand that isn't in memory yet may be stored instead when it is so many times smaller.
_SMALLER = 4

#: Several operations are computed again only for what no cache holds, and when they cost this much.
_CHAIN_BYTES, _CHAIN_COST = 1 << 20, 6

Reader = tuple[Group, Op, int]


def recompute_cheap(program: ArrayProgram, groups: list[Group]) -> list[Group]:
    """Return the groups, in which cheap operations are copied to the groups that need them."""
    if all(a.nbytes < _WORTH_BYTES for group in groups for a in group.stores):
        return groups
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
            if op.outs[0] in outputs:
                continue
            chain = [op] if _is_cheap(group, op, stored) else _chain(group, op, stored)
            outside = [r for r in readers.get(op.outs[0], []) if r[0] is not group]
            targets = {id(r[0]) for r in outside}
            few = len(targets) <= _MOST_COPIES
            if chain and few and all(_takes(r, group) for r in outside):
                count = _move(group, chain, outside, readers, stored, count)
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


def _chain(group: Group, last: Op, stored: set[Array]) -> list[Op]:
    """Return the operations of a group that make an array out of less memory than its own.

    None if they cost more than storing and reading it.
    """
    out = last.outs[0]
    if out not in stored or out.nbytes < _CHAIN_BYTES:
        return []
    makers = {op.outs[0]: op for op in group.body}
    found: dict[int, Op] = {}
    leaves: set[Array] = set()
    left = [last]
    while left:
        op = left.pop()
        if id(op) in found:
            continue
        found[id(op)] = op
        if not isinstance(op.lowering, Elementwise) or len(found) > _CHAIN_COST:
            return []
        for read in op.reads:
            if read.array in makers and read.array not in stored:
                left.append(makers[read.array])
            else:
                leaves.add(read.array)
    chain = sorted(found.values(), key=lambda op: op.index)
    if sum(map(op_cost, chain)) > _CHAIN_COST:
        return []
    return chain if sum(a.nbytes for a in leaves) * 2 <= out.nbytes else []


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
    chain: list[Op],
    outside: list[Reader],
    readers: dict[Array, list[Reader]],
    stored: set[Array],
    count: int,
) -> int:
    """Copy operations to the groups that read the last of them; return the next array's number."""
    (out,) = chain[-1].outs
    copies: dict[int, Array] = {}
    for other, reader, k in outside:
        if id(other) not in copies:
            copies[id(other)] = _clone(chain, other, readers, count)
            count += len(chain)
        old = reader.operands[k]
        assert isinstance(old, Read)
        copy = copies[id(other)]
        reader.put_operand(k, Read(copy, old.shape, old.strides, old.offset))
        readers.setdefault(copy, []).append((other, reader, k))
    stored.discard(out)
    group.stores.remove(out)
    made = {op.outs[0] for op in chain}
    for read in (read for op in chain for read in op.reads if read.array not in made):
        if read.array.kind == "temporary" and read.array not in stored:
            stored.add(read.array)
            group.stores.append(read.array)
    for op in reversed(chain):
        # Whoever read it elsewhere has a copy now.
        inside = [r for r in readers.get(op.outs[0], []) if r[0] is group and r[1] in group.ops]
        if not inside and op.outs[0] not in stored:
            group.body.remove(op)
    return count


def _clone(chain: list[Op], other: Group, readers: dict[Array, list[Reader]], count: int) -> Array:
    """Put copies of operations into a group; return what the last of them makes."""
    made: dict[Array, Array] = {}
    for number, op in enumerate(chain):
        (old,) = op.outs
        made[old] = Array(count + number, old.shape, old.dtype, "temporary")
        operands: list[Operand] = [
            Read(made[x.array], x.shape, x.strides, x.offset)
            if isinstance(x, Read) and x.array in made
            else x
            for x in op.operands
        ]
        clone = Op(op.index, op.name, op.lowering, operands, [made[old]], op.params, op.eqn)
        other.body.append(clone)
        for j, operand in enumerate(operands):
            if isinstance(operand, Read):
                readers.setdefault(operand.array, []).append((other, clone, j))
    other.body.sort(key=lambda op: op.index)
    return made[chain[-1].outs[0]]
