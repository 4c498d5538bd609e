"""Small groups right before and after a loop, which run in the loop's own kernel.

What starts a filter or a solver is often a dozen operations on a few numbers each. As steps of
their own these take as long as many rounds of the loop: each writes to memory what the next one
waits for. In the kernel of the loop they are instructions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from functrace.compiler.plan import Array, Group, Memory, Read
from functrace.compiler.planning.memory import overlap
from functrace.compiler.sequential.lanes import round_grain
from functrace.compiler.sequential.row_folds import folds_rows
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

    ``inside`` has the arrays that nothing else reads; ``fold`` sums up what a scan makes in each
    round.
    """

    before: tuple[Group, ...]
    main: Group
    after: tuple[Group, ...]
    inside: frozenset[Array]
    fold: Group | None = None

    @property
    def groups(self) -> tuple[Group, ...]:
        """All groups in order."""
        return (*self.before, self.main, *self.folds, *self.after)

    @property
    def folds(self) -> tuple[Group, ...]:
        """The group that is added up in the rounds of the loop, if there is one."""
        return () if self.fold is None else (self.fold,)

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
        run = Run((), group, (), frozenset())
        if outputs is not None and not round_grain(group.body[0]):
            wide = _run(groups, start, k, outputs)
            run = wide if _is_apart(wide, memory) else run
        yield from groups[start : k - len(run.before)]
        yield run
        start = k - len(run.before) + len(run.groups)
    yield from groups[start:]


def _run(groups: Sequence[Group], start: int, k: int, outputs: Collection[Array]) -> Run:
    """Return the run of loop number ``k`` with groups around it, none before ``start``."""
    main = groups[k]
    fold = groups[k + 1] if k + 1 < len(groups) and folds_rows(groups[k + 1], main) else None
    rest = groups[k + 1 if fold is None else k + 2 :]
    before = _small([*groups[start:k]][::-1], main, _MOST_OPS)[::-1]
    after = _small(rest, main, _MOST_OPS - _count(before))
    run = Run(tuple(before), main, tuple(after), frozenset(), fold)
    return replace(run, inside=_inside(run, groups, outputs))


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


def _inside(run: Run, groups: Sequence[Group], outputs: Collection[Array]) -> frozenset[Array]:
    """Return the arrays of small groups, and those that are folded, which nothing else reads."""
    own = {*run.groups}
    read = {r.array for group in groups if group not in own for r in group.loads()}
    around = (*run.before, *run.folds, *run.after)
    made = [a for group in around for op in group.ops for a in op.outs]
    made += [r.array for group in run.folds for r in group.loads() if r.array in _rows(run.main)]
    return frozenset(a for a in made if a not in read and a not in outputs)


def _is_apart(run: Run, memory: Memory) -> bool:
    """Whether no two arrays in memory lie in the same place, one after the death of the other."""
    arrays = [*run.loads(), *run.stores()]
    slots = {memory.slots[a]: a for a in arrays}
    kept = list(slots.values())
    return not any(overlap(a, b, memory) for k, a in enumerate(kept) for b in kept[:k])
