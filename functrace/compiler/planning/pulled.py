"""Computes what is put together of parts where it is put, instead of in memory first.

Padding a window's new values to the whole array reads each of them once. The expression that makes
them goes into the kernel that pads, which then reads what the expression does: a step of a stencil
is one pass from one array to another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from functrace.compiler.codegen.kernels import op_cost
from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.ir.kernel import For, Region, While, regions_of
from functrace.compiler.plan import Array, ArrayProgram, Group, Op, Operand, Read
from functrace.core.aval import ShapedArray
from functrace.core.lowering import Elementwise, Indexed

__all__ = ["Composed", "pull_through"]

#: Smaller arrays stay in the cache; computing them elsewhere would only make kernels longer. In a
#: loop that is one kernel a pass less over them counts.
_WORTH_BYTES, _WORTH_IN_KERNEL = 4096, 1024
#: The result may have so many times the elements of what is computed for it.
_MOST_ELEMENTS = 4
#: What is read several times is computed again each time, if that costs no more than this in all.
_MOST_COST, _MOST_OPS = 8, 32
#: Vector mathematics stays where nothing keeps it from being SIMD code.
_CHEAP = 4
#: What is read has to be in memory for longer: so many times what isn't stored.
_MOST_READ = 3

Reader = tuple[Group, Op, int]
Load = Callable[[Sequence[Any]], Any]


def pull_through(
    program: ArrayProgram, groups: list[Group], in_kernel: bool = False
) -> list[Group]:
    """Return the groups, expressions moved into the indexed operations that alone read them.

    Args:
        program: the operations.
        groups: its groups.
        in_kernel: whether they are part of one kernel.
    """
    least = _WORTH_IN_KERNEL if in_kernel else _WORTH_BYTES
    outputs = {o.array for o in program.outputs}
    readers = _readers(groups)
    for group in groups:
        if group.kind != "loop" or group.folds or group.phases:
            continue
        for array in list(group.stores):
            chain = _chain(group, array)
            # What its own group reads stays there.
            found = [reader for reader in readers.get(array, []) if reader[0] is not group]
            if any(other.stretch != group.stretch for other, _, _ in found):
                continue
            if array in outputs or array.nbytes < least or not chain:
                continue
            if _worth(chain, array, found):
                for other, op, k in found:
                    _replace(other, op, _composed(_latest(other, op), k, chain))
                _remove(group, chain, array)
    kept = [group for group in groups if group.ops]
    for number, group in enumerate(kept):
        group.index = number
    return kept


def _readers(groups: Sequence[Group]) -> dict[Array, list[Reader]]:
    """Return who reads each array, bodies inside of operations included."""
    readers: dict[Array, list[Reader]] = {}
    for group in groups:
        for op in group.ops:
            for k, operand in enumerate(op.operands):
                if isinstance(operand, Read):
                    readers.setdefault(operand.array, []).append((group, op, k))
    return readers


def _chain(group: Group, array: Array) -> list[Op]:
    """Return the operations of a group that make an array, if all are over its own shape."""
    makers = {op.outs[0]: op for op in group.body}
    found: dict[int, Op] = {}
    left = [makers[array]] if array in makers else []
    while left:
        op = left.pop()
        if id(op) in found:
            continue
        found[id(op)] = op
        if not isinstance(op.lowering, Elementwise) or op.outs[0].shape != array.shape:
            return []
        for operand in op.operands:
            if operand.shape not in ((), array.shape):
                return []
            if isinstance(operand, Read) and operand.array in makers:
                if not (operand.whole and operand.shape == array.shape):
                    return []
                left.append(makers[operand.array])
    chain = sorted(found.values(), key=lambda op: op.index)
    wide = any(isinstance(x, Read) and x.shape == array.shape for x in _leaves(chain))
    return chain if wide and len(chain) <= _MOST_OPS else []


def _leaves(chain: Sequence[Op]) -> list[Operand]:
    made = {op.outs[0] for op in chain}
    operands = [x for op in chain for x in op.operands]
    return [x for x in operands if not (isinstance(x, Read) and x.array in made)]


def _worth(chain: Sequence[Op], array: Array, readers: Sequence[Reader]) -> bool:
    if not readers:
        return False
    costs = list(map(op_cost, chain))
    if max(costs) > _CHEAP or (len(readers) > 1 and sum(costs) * len(readers) > _MOST_COST):
        return False
    read = {x.array for x in _leaves(chain) if isinstance(x, Read)}
    if sum(a.nbytes for a in read) > _MOST_READ * array.nbytes:
        return False
    return all(_takes(reader, array) for reader in readers)


def _takes(reader: Reader, array: Array) -> bool:
    """Whether an operation reads each element of an operand about once."""
    group, op, k = reader
    operand = op.operands[k]
    if group.kind != "loop" or group.folds or group.phases or not isinstance(op.lowering, Indexed):
        return False
    if not isinstance(operand, Read) or not operand.whole or operand.shape != array.shape:
        return False
    if op.outs[0].size > _MOST_ELEMENTS * array.size:
        return False
    avals = tuple(ShapedArray(x.shape, x.dtype) for x in op.operands)
    out = ShapedArray(op.outs[0].shape, op.outs[0].dtype)
    return _reads_once(op.lowering, avals, out, tuple(sorted(op.params.items())))


@lru_cache(maxsize=1024)
def _reads_once(
    rule: Indexed, avals: tuple[ShapedArray, ...], out: ShapedArray, params: tuple[Any, ...]
) -> bool:
    """Whether a rule has no loops and reads no operand twice."""
    b = KernelBuilder()
    reads = [0] * len(avals)

    def reader(k: int) -> Load:
        memory = b.buffer(avals[k].dtype, "inout")

        def load(index: Sequence[Any]) -> Any:
            reads[k] += 1
            return memory.load(0)

        return load

    index = tuple(b.param() for _ in out.shape)
    extents = [[b.param() for _ in a.shape] for a in avals]
    with b.extents(extents, [b.param() for _ in out.shape]):
        rule.pull(b, index, [reader(k) for k in range(len(avals))], avals, out, **dict(params))
    return max(reads) <= 1 and not _loops(b._regions[-1])


def _loops(region: Region) -> bool:
    return any(isinstance(s, (For, While)) or any(map(_loops, regions_of(s))) for s in region.stmts)


def _remove(group: Group, chain: Sequence[Op], array: Array) -> None:
    """Take an expression out of its group, but for what else needs it."""
    group.stores.remove(array)
    for op in reversed(chain):
        (out,) = op.outs
        inside = any(r.array is out for x in group.ops for r in x.reads)
        if not inside and out not in group.stores:
            group.body.remove(op)


def _latest(group: Group, op: Op) -> Op:
    """Return what stands for an operation by now: what makes the same array."""
    return next(x for x in group.body if x.outs[0] is op.outs[0])


def _replace(group: Group, op: Op, new: Op) -> None:
    group.body[group.body.index(_latest(group, op))] = new


@dataclass(frozen=True, eq=False)
class Composed:
    """A rule that reads one of its operands as an expression of others.

    The operand's place has one of the expression's own that has its shape; the rest come last.
    """

    rule: Indexed
    avals: tuple[ShapedArray, ...]
    operand: int
    chain: tuple[Op, ...]
    places: dict[int, int]

    def __call__(
        self,
        b: Any,
        index: Sequence[Any],
        operands: Sequence[Load],
        avals_in: Any,
        aval_out: Any,
        **params: Any,
    ) -> Any:
        def element(at: Sequence[Any]) -> Any:
            made: dict[Array, Any] = {}
            for op in self.chain:
                values = [
                    made[x.array]
                    if isinstance(x, Read) and x.array in made
                    else operands[self.places[id(x)]](at if x.shape else ())
                    for x in op.operands
                ]
                made[op.outs[0]] = op.lowering.rule(b, *values, **op.params)  # type: ignore[union-attr]
            return made[self.chain[-1].outs[0]]

        own = list(operands[: len(self.avals)])
        own[self.operand] = element
        return self.rule.pull(b, index, own, self.avals, aval_out, **params)


def _composed(op: Op, k: int, chain: Sequence[Op]) -> Op:
    """Return an indexed operation whose operand ``k`` is computed where it is read."""
    assert isinstance(op.lowering, Indexed)
    operands = list(op.operands)
    shape = operands[k].shape
    leaves = _leaves(chain)
    first = next(x for x in leaves if isinstance(x, Read) and x.shape == shape)
    operands[k] = first
    places = {id(first): k}
    for leaf in leaves:
        if id(leaf) not in places:
            places[id(leaf)] = len(operands)
            operands.append(leaf)
    rule = Composed(op.lowering, tuple(op.avals_in), k, tuple(chain), places)
    name = "+".join([*dict.fromkeys(x.name for x in chain), op.name])
    return Op(op.index, name, Indexed(rule), operands, op.outs, op.params, op.eqn)
