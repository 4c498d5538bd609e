"""What loops and branches do with their operands: which body gets what, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from functrace.compiler.plan import Operand, Read
from functrace.core.jaxpr import ClosedJaxpr
from functrace.core.lowering import Branches, Lowering, Scan, While

__all__ = ["BodyPart", "InnerOperands", "Slice", "inner_operands"]


@dataclass(frozen=True, slots=True)
class Slice:
    """An input that is one row of an operand after the other."""

    of: Operand


@dataclass(frozen=True, slots=True)
class BodyPart:
    """A body: for each of its inputs an operand, a slice of one, or None for a carry."""

    closed: ClosedJaxpr
    inputs: tuple[Operand | Slice | None, ...]


@dataclass(frozen=True, slots=True)
class InnerOperands:
    """The bodies; and the operands that aren't constants of these.

    ``moving`` is a scan's first carry and stacks of slices, a while's first carry, a branch's
    index.
    """

    bodies: tuple[BodyPart, ...]
    moving: tuple[Operand, ...]


def inner_operands(
    lowering: Lowering | None, params: dict[str, Any], operands: Sequence[Operand]
) -> InnerOperands:
    """Sort the operands of a loop or branch."""
    if isinstance(lowering, Branches):
        bodies = tuple(BodyPart(b, tuple(operands[1:])) for b in params["branches"])
        return InnerOperands(bodies, (operands[0],))
    if isinstance(lowering, While):
        first = params["cond_nconsts"]
        last = first + params["body_nconsts"]
        carry = (None,) * (len(operands) - last)
        test = BodyPart(params["cond_jaxpr"], (*operands[:first], *carry))
        body = BodyPart(params["body_jaxpr"], (*operands[first:last], *carry))
        return InnerOperands((test, body), tuple(operands[last:]))
    assert isinstance(lowering, Scan)
    first, count = params["num_consts"], params["num_carry"]
    xs = operands[first + count :]
    inputs = (*operands[:first], *(None,) * count, *map(Slice, xs))
    stacks = [x for x in xs if isinstance(x, Read)]
    moving = (*operands[first : first + count], *stacks)
    return InnerOperands((BodyPart(params["jaxpr"], inputs),), moving)
