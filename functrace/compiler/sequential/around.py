"""Small groups right before and after a loop, which run in the loop's own kernel.

What starts a filter or a solver is often a dozen operations on a few numbers each. As steps of
their own these take as long as many rounds of the loop: each writes to memory what the next one
waits for. In the kernel of the loop they are instructions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from functrace.compiler.plan import Array, Group, Memory, Read
from functrace.compiler.planning.memory import overlap
from functrace.compiler.sequential.lanes import round_grain
from functrace.core.lowering import Scan

__all__ = ["Run", "runs"]

#: All arrays of a small group have at most so many elements. Those of a loop's body are no data of
#: the record either, so hardly a kernel becomes special by these.
_MOST_ELEMENTS = 16
#: More operations than this are steps of their own, for the time that LLVM takes for one kernel.
_MOST_OPS = 100


@dataclass(frozen=True, slots=True)
class Run:
    """A loop or branch that is one kernel, with the groups before and after it in that kernel.

    ``inside`` has the arrays that nothing else reads.
    """

    before: tuple[Group, ...]
    main: Group
    after: tuple[Group, ...]
    inside: frozenset[Array]

    @property
    def groups(self) -> tuple[Group, ...]:
        """All groups in order."""
        return (*self.before, self.main, *self.after)

    def loads(self) -> list[Array]:
        """Return the arrays it reads that others made."""
        made = {a for group in self.groups for op in group.ops for a in op.outs}
        read = [r.array for group in self.groups for r in group.loads()]
        return [a for a in dict.fromkeys(read) if a not in made]

    def stores(self) -> list[Array]:
        """Return the arrays it makes that are in memory."""
        return [a for group in self.groups for a in group.stores if a not in self.inside]


def runs(
    groups: Sequence[Group], memory: Memory, outputs: Collection[Array] | None
) -> Iterator[Group | Run]:
    """Yield groups in order, loops together with the small groups around them.

    In the bodies of loops, which have no ``outputs``, every group is a step: what is carried and
    the slices of stacks share memory in ways of their own.
    """
    start = 0
    for k, group in enumerate(groups):
        if group.kind != "sequence":
            continue
        before, after = [], []
        if outputs is not None and not round_grain(group.body[0]):
            before = _small([*groups[start:k]][::-1], group, _MOST_OPS)[::-1]
            after = _small(groups[k + 1 :], group, _MOST_OPS - _count(before))
        run = Run(
            tuple(before), group, tuple(after), _inside(before, group, after, groups, outputs)
        )
        if not _is_apart(run, memory):
            before, after, run = [], [], Run((), group, (), frozenset())
        yield from groups[start : k - len(before)]
        yield run
        start = k + 1 + len(after)
    yield from groups[start:]


def _small(groups: Sequence[Group], main: Group, most: int) -> list[Group]:
    """Return the small groups that ``groups`` begins with, of so many operations in all."""
    found: list[Group] = []
    sized = _rows(main)
    for group in groups:
        if not _is_small(group, sized) or _count([*found, group]) > most:
            break
        found.append(group)
    return found


def _count(groups: Sequence[Group]) -> int:
    return sum(len(group.ops) for group in groups)


def _is_small(group: Group, sized: Collection[Array]) -> bool:
    if group.kind != "loop" or group.phases:
        return False
    arrays = [*(r.array for r in group.loads()), *(a for op in group.ops for a in op.outs)]
    return all(a.size <= _MOST_ELEMENTS and a not in sized for a in arrays)


def _rows(main: Group) -> set[Array]:
    """Return the arrays that are as long as a scan: a kernel is not to know their length."""
    (op,) = main.body
    lowering = op.eqn.primitive.lowering if op.eqn is not None else None
    if not isinstance(lowering, Scan):
        return set()
    moving = op.operands[op.params["num_carry"] :]
    count = len(op.bodies[0].program.inputs) - op.params["num_carry"]
    return {r.array for r in (*moving[:count], *op.stacks) if isinstance(r, Read)}


def _inside(
    before: Sequence[Group],
    main: Group,
    after: Sequence[Group],
    groups: Sequence[Group],
    outputs: Collection[Array] | None,
) -> frozenset[Array]:
    """Return the arrays of small groups that nothing else reads."""
    own = {*before, main, *after}
    read = {r.array for group in groups if group not in own for r in group.loads()}
    made = [a for group in (*before, *after) for op in group.ops for a in op.outs]
    return frozenset(a for a in made if a not in read and a not in (outputs or ()))


def _is_apart(run: Run, memory: Memory) -> bool:
    """Whether no two arrays in memory lie in the same place, one after the death of the other."""
    arrays = [*run.loads(), *run.stores()]
    slots = {memory.slots[a]: a for a in arrays}
    kept = list(slots.values())
    return not any(overlap(a, b, memory) for k, a in enumerate(kept) for b in kept[:k])
