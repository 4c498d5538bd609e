"""Runs the stages between views and memory on a program, and on the bodies inside it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from functrace.compiler.codegen import op_cost
from functrace.compiler.fusion import fuse
from functrace.compiler.plan import ArrayProgram, Body, Group
from functrace.compiler.recompute import recompute_cheap
from functrace.compiler.rows import merge_rows
from functrace.compiler.schedule import TINY, Schedule, schedule

__all__ = ["bodies_of", "grouped", "scheduled"]


def grouped(program: ArrayProgram) -> list[Group]:
    """Return the groups of a program; those of the bodies in it are kept there."""
    groups = merge_rows(recompute_cheap(program, fuse(program)))
    for body in bodies_of(groups):
        body.groups = grouped(body.program)
    return groups


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
