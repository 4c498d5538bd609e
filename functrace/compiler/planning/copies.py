"""Which operations merely copy."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.plan import Op
from functrace.core.lowering import Elementwise

__all__ = ["is_copy"]


def is_copy(op: Op) -> bool:
    """Return whether an operation's result is its one operand as it is."""
    if not isinstance(op.lowering, Elementwise) or len(op.operands) != 1:
        return False
    return op.operands[0].dtype == op.outs[0].dtype and _is_identity(
        op.lowering, op.outs[0].dtype, tuple(sorted(op.params.items()))
    )


@lru_cache(maxsize=1024)
def _is_identity(rule: Elementwise, dtype: Any, params: tuple[Any, ...]) -> bool:
    b = KernelBuilder()
    operand = b.buffer(dtype, "in").load(0)
    return rule.rule(b, operand, **dict(params)) is operand
