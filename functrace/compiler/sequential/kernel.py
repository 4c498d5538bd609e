"""A group that is one loop or branch -> one kernel, with the small groups around it."""

from __future__ import annotations

from functrace.compiler.codegen.kernels import KernelMaker, StepCode
from functrace.compiler.codegen.literals import literals
from functrace.compiler.ir.builder import Index, KernelBuilder
from functrace.compiler.ir.strips import in_strips
from functrace.compiler.plan import Array, Memory
from functrace.compiler.planning.schedule import Schedule
from functrace.compiler.sequential.around import Run
from functrace.compiler.sequential.lanes import round_grain
from functrace.compiler.sequential.loops import Sequencer
from functrace.compiler.sequential.row_folds import RowFold
from functrace.compiler.sequential.scope import Memory as Place
from functrace.compiler.sequential.scope import Scope

__all__ = ["sequential_kernel"]

#: Loops of up to so many rounds are written out.
_UNROLLED = 4


def sequential_kernel(run: Run, schedules: dict[int, Schedule], memory: Memory) -> StepCode:
    """Return the step of a loop or branch over small values."""
    (op,) = run.main.body
    maker = _RunMaker(run, memory)
    b = maker.b
    b.unrolled = _UNROLLED
    scope = _Frame(maker)
    sequencer = _Outermost(maker)
    grain = round_grain(op)
    for group in run.before:
        sequencer.group(group, schedules, scope, literals(maker, group))
    if run.fold is not None:
        sequencer.row_folds[op] = _row_fold(maker, run, schedules)
        sequencer.unstored = run.inside
    sequencer.structure(op, scope, (b.lo, b.hi) if grain else None)
    for group in run.after:
        sequencer.group(group, schedules, scope, literals(maker, group))
    for array in run.stores():
        if array.size == 1:
            maker.buffer(array).store(0, scope.value(array))
    code = maker.finish(op.params["length"] if grain else 1, grain, passes=[in_strips])
    code.beside = (*run.before, *run.folds, *run.after)
    return code


def _row_fold(maker: KernelMaker, run: Run, schedules: dict[int, Schedule]) -> RowFold:
    """Return what folds rows of the loop."""
    (op,) = run.main.body
    (group,) = run.folds
    read = {r.array for r in group.loads()}
    made = zip(op.bodies[0].program.outputs[op.params["num_carry"] :], op.stacks)
    rows = {stack.array: out.array for out, stack in made if stack.array in read}
    plan = schedules[group.index]
    return RowFold(maker.b, maker.sites, group, plan, literals(maker, group), rows)


class _RunMaker(KernelMaker):
    """A kernel of several groups."""

    def __init__(self, run: Run, memory: Memory) -> None:
        self.run = run
        super().__init__(run.main, memory)

    def arrays_read(self) -> list[Array]:
        stored = {*self.run.stores()}
        again = [r.array for group in self.run.groups for r in group.loads()]
        return [*self.run.loads(), *(a for a in again if a in stored)]

    def arrays_stored(self) -> list[Array]:
        return self.run.stores()


class _Frame(Scope):
    """The arrays around the kernel, in the slots of the frame."""

    b: KernelBuilder

    def __init__(self, maker: _RunMaker) -> None:
        super().__init__(maker.b, None)
        self.maker = maker
        # Read once, before all loops.
        for array in maker.run.loads():
            if array.size == 1:
                self.values[array] = maker.buffer(array).load(0)

    def given(self, array: Array) -> Place | None:
        if array in self.maker.run.inside or array not in self.maker.memory.slots:
            return None
        return self.maker.buffer(array)


class _Outermost(Sequencer):
    """Lengths of the outermost loop are in the record."""

    def __init__(self, maker: KernelMaker) -> None:
        super().__init__(maker.b, maker.sites)
        self.maker = maker
        self.outermost = True

    def length(self, n: int) -> Index:
        known, self.outermost = not self.outermost, False
        return n if known else self.maker.number(n)
