"""Groups -> the code of their steps; a loop or branch of larger arrays holds code itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from functrace.compiler.codegen.kernels import (
    StepCode,
    host_step,
    nest_kernel,
    routine_steps,
    update_kernel,
)
from functrace.compiler.codegen.library import library_steps
from functrace.compiler.codegen.loops import loop_kernels
from functrace.compiler.plan import Array, Body, Group, Memory, Op
from functrace.compiler.planning.loop_memory import LoopPlan
from functrace.compiler.planning.schedule import Schedule
from functrace.compiler.runtime.steps import Copy, Loop, Step, Switch
from functrace.compiler.sequential.around import Run, runs
from functrace.compiler.sequential.kernel import sequential_kernel
from functrace.core.lowering import Branches, Routines, Scan

__all__ = ["Code", "NestedCode", "all_codes", "nested_step", "step_codes"]


@dataclass(eq=False, slots=True)
class NestedCode:
    """A loop or branch before it is built, with the code of each of its bodies."""

    op: Op
    plan: LoopPlan
    memory: Memory
    bodies: tuple[list[Code], ...]

    @property
    def label(self) -> str:
        """How it is called in text."""
        return self.op.name

    @property
    def eqn(self) -> Op:
        """What its step is of."""
        return self.op


Code = StepCode | Step | NestedCode


def step_codes(
    groups: list[Group],
    schedules: dict[int, Schedule],
    memory: Memory,
    outputs: Collection[Array] | None = None,
) -> list[Code]:
    """Return the code of the steps of a program with these results, or of a body."""
    codes: list[Code] = []
    for group in runs(groups, memory, outputs):
        if isinstance(group, Run):
            codes.append(sequential_kernel(group, schedules, memory))
        elif group.kind == "loop":
            codes += loop_kernels(group, schedules[group.index], memory)
        elif group.kind == "library":
            codes += library_steps(group, memory)
        elif group.kind == "host":
            codes.append(host_step(group, memory))
        elif group.kind == "update":
            codes.append(update_kernel(group, memory))
        elif group.kind == "steps":
            codes += _nested_codes(group, memory)
        elif isinstance(group.body[0].lowering, Routines):
            codes += routine_steps(group, memory)
        else:
            codes.append(nest_kernel(group, memory))
    return codes


def _nested_codes(group: Group, memory: Memory) -> list[Code]:
    (op,) = group.body
    plan: LoopPlan = memory.loops[op]
    bodies = tuple(_body_codes(body, plan) for body in op.bodies)
    loop = NestedCode(op, plan, memory, bodies)
    return [*_copies(plan.starts), loop, *_copies(plan.ends)]


def _body_codes(body: Body, plan: LoopPlan) -> list[Code]:
    assert body.memory is not None
    steps = step_codes(body.groups, body.schedules, body.memory)
    before, after = plan.before.get(body, []), plan.after.get(body, [])
    return [*_copies(before), *steps, *_copies(after)]


def _copies(copies: Sequence[Copy]) -> list[Step]:
    return [Step(copy, label="copy") for copy in copies if copy.nbytes]


def nested_step(code: NestedCode, step: Callable[[Code], Step]) -> Step:
    """Return the step of a loop or branch; ``step`` builds those inside of it."""
    op, plan = code.op, code.plan
    bodies = [tuple(map(step, codes)) for codes in code.bodies]
    lowering = op.eqn.primitive.lowering if op.eqn is not None else None
    kernel: Loop | Switch
    if isinstance(lowering, Branches):
        (index,) = (r.array for r in op.reads[:1])
        kernel = Switch(code.memory.slots[index], 4, tuple(bodies))
    elif isinstance(lowering, Scan):
        trips = op.params["length"]
        kernel = Loop(bodies[0], trips, windows=tuple(plan.windows), swaps=tuple(plan.swaps))
    else:
        kernel = Loop(bodies[1], swaps=tuple(plan.swaps), test=bodies[0], test_slot=plan.test_slot)
    return Step(kernel, eqn=op, label=code.label)


def all_codes(codes: Sequence[Code]) -> Iterator[StepCode | Step]:
    """Yield the code of every kernel, copy and call, those inside of loops included."""
    for code in codes:
        if isinstance(code, NestedCode):
            for body in code.bodies:
                yield from all_codes(body)
        else:
            yield code
