"""Loop groups -> the steps that run them, as the schedule says."""

from __future__ import annotations

from functrace.compiler.codegen import StepCode
from functrace.compiler.codegen_bundles import BundleMaker
from functrace.compiler.plan import Group, Memory
from functrace.compiler.schedule import (
    Schedule,
)

__all__ = ["loop_kernels"]


def loop_kernels(group: Group, plan: Schedule, memory: Memory) -> list[StepCode]:
    """Return the steps of a loop group: one, or two for a large fold."""
    if plan.style == "blocks":
        first, last = (BundleMaker(group, plan, memory) for _ in range(2))
        first.blocks()
        last.blocks_end()
        return [first.finish(plan.extent, plan.grain), last.finish()]
    maker = BundleMaker(group, plan, memory)
    styles = {
        "map": maker.map,
        "tiles": maker.tiles,
        "rows": maker.rows,
        "columns": maker.columns,
    }
    styles[plan.style]()
    return [maker.finish(plan.extent, plan.grain)]
