"""Library groups -> steps: matrix products by BLAS, with transposes and strides as its arguments."""

from __future__ import annotations

from functrace.compiler.plan import Group, Memory
from functrace.compiler.program import Step

__all__ = ["library_step"]


def library_step(group: Group, memory: Memory) -> Step:
    """Return the step of a library call."""
    raise NotImplementedError(group)
