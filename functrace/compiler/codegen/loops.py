"""Loop groups -> the steps that run them, as the schedule says."""

from __future__ import annotations

from functrace.compiler.codegen.bundles import BundleMaker
from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.codegen.templates import Description, Template
from functrace.compiler.plan import Group, Memory
from functrace.compiler.planning.schedule import Schedule
from functrace.compiler.runtime.cache import templates

__all__ = ["loop_kernels"]


def loop_kernels(group: Group, plan: Schedule, memory: Memory) -> list[StepCode]:
    """Return the steps of a loop group: one, or two for a large fold."""
    seen = Description(group, plan, memory)
    known = None if seen.key is None else templates.get(seen.key)
    if known is not None:
        return [_filled_in(k, x, seen, group, plan, memory) for k, x in enumerate(known)]
    codes = _made(group, plan, memory)
    found = [Template.of(code, seen) for code in codes]
    if seen.key is not None and None not in found:
        templates.put(seen.key, found)
    return codes


def _made(group: Group, plan: Schedule, memory: Memory) -> list[StepCode]:
    """Return the steps of a loop group, their kernels built."""
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
    return [maker.finish(plan.extent, plan.grain, plan.light)]


def _filled_in(
    k: int, template: Template, seen: Description, group: Group, plan: Schedule, memory: Memory
) -> StepCode:
    """Return step ``k`` of a loop group by its template."""
    ops = group.ops if template.sites else []
    return StepCode(
        group,
        template.record(seen),
        plan.extent if k == 0 else 1,
        plan.grain if k == 0 else 0,
        plan.light and k == 0,
        [ops[site] for site in template.sites],
        printed=template.printed,
        remake=lambda: _made(group, plan, memory)[k],
    )
