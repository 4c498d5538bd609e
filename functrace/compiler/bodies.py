"""Runs the stages between views and memory on a program, and on the bodies inside it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from functrace.compiler.codegen.kernels import op_cost
from functrace.compiler.plan import ArrayProgram, Body, Group
from functrace.compiler.planning.fusion import fuse
from functrace.compiler.planning.pulled import pull_through
from functrace.compiler.planning.recompute import recompute_cheap
from functrace.compiler.planning.rows import merge_rows
from functrace.compiler.planning.schedule import TINY, Schedule, schedule
from functrace.compiler.sequential.fits import stays_in_place
from functrace.core.jaxpr import JaxprEqn

__all__ = ["bodies_of", "grouped", "not_in_place", "scheduled"]


def grouped(program: ArrayProgram, in_kernel: bool = False) -> list[Group]:
    """Return the groups of a program; those of the bodies in it are kept there.

    Args:
        program: the operations.
        in_kernel: whether it is a body inside of one kernel.
    """
    fused = recompute_cheap(program, fuse(program))
    groups = merge_rows(pull_through(program, fused, in_kernel))
    for group in groups:
        for body in bodies_of([group]):
            body.groups = grouped(body.program, in_kernel or group.kind == "sequence")
    return groups


def not_in_place(groups: list[Group]) -> list[JaxprEqn]:
    """Return the loops that would be kernels but would have to copy large arrays in each round."""
    found: list[JaxprEqn] = []
    for group in groups:
        for op in group.ops:
            if group.kind == "sequence" and op.eqn is not None and not stays_in_place(op):
                found.append(op.eqn)
            elif group.kind == "steps":
                found += [eqn for body in op.bodies for eqn in not_in_place(body.groups)]
    return found


def scheduled(groups: list[Group]) -> dict[int, Schedule]:
    """Return the schedules of loop groups by number; those of bodies are kept there."""
    loops = [group for group in groups if group.kind == "loop"]
    costs = [sum(map(op_cost, group.ops)) for group in loops]
    work = [math.prod(group.space) * cost for group, cost in zip(loops, costs)]
    tiny = sum(work) <= TINY
    for body in bodies_of(groups):
        body.schedules = scheduled(body.groups)
    return {group.index: schedule(group, cost, tiny) for group, cost in zip(loops, costs)}


def bodies_of(groups: list[Group]) -> Iterator[Body]:
    """Yield the bodies of the operations of groups, not those inside of them."""
    for group in groups:
        for op in group.ops:
            yield from op.bodies
