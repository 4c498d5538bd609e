"""Loops as Python loops: under ``disable_jit``, and for bodies that need concrete values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from functrace import tree
from functrace.control.loops.carries import Carry
from functrace.core.arguments import argument_leaf
from functrace.core.aval import typeof
from functrace.core.trace import Tracer
from functrace.ops.joining import concatenate
from functrace.ops.promotion import promote_dtypes
from functrace.ops.structural import expand_dims
from functrace.source_info import describe_function

__all__ = ["PythonCarry", "scan_in_python", "stack"]


class PythonCarry:
    """A carry that is checked at each step; its leaves are Python numbers while they are weak."""

    def __init__(self, carry: Carry, values: Sequence[Any]) -> None:
        self.carry = carry
        self.values = self._shown(values)

    def next(self, leaves: Sequence[Any]) -> None:
        """Take what a step returned."""
        carry = self.carry
        found = [argument_leaf(v, lambda: describe_function(carry.fun)) for v in leaves]
        avals = [typeof(leaf.value).update(weak_type=leaf.weak) for leaf in found]
        carry.widen(avals)
        carry.check_types(avals)
        self.values = self._shown([leaf.value for leaf in found])

    def results(self) -> list[Any]:
        """Return the leaves as arrays."""
        return [np.asarray(v)[()] if not isinstance(v, Tracer) else v for v in self.values]

    def _shown(self, values: Sequence[Any]) -> list[Any]:
        return [
            v.item() if a.weak_type and isinstance(v, np.generic) else v
            for v, a in zip(values, self.carry.avals)
        ]


class Step(Protocol):
    """A scan's body as a function of flat leaves."""

    fun: Any
    carry: Carry

    def __call__(self, leaves: Sequence[Any]) -> tuple[list[Any], Any]:
        """Return the leaves of the carry and of y, and y's structure."""


def scan_in_python(
    step: Step,
    init: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
) -> tuple[Any, Any]:
    """Run a scan of at least one step, slice by slice."""
    carry = PythonCarry(step.carry, init)
    n = len(init)
    rows: list[list[Any]] = []
    y_tree: Any = None
    where = f"an output of {describe_function(step.carry.fun)}"
    for i in range(length - 1, -1, -1) if reverse else range(length):
        outs, y_tree = step([*carry.values, *(x[i] for x in xs)])
        carry.next(outs[:n])
        leaves = [argument_leaf(v, lambda: where) for v in outs[n:]]
        rows.append([v if leaf.weak else leaf.value for v, leaf in zip(outs[n:], leaves)])
    if reverse:
        rows.reverse()
    ys = [stack(column) for column in zip(*rows)]
    return step.carry.treedef.unflatten(carry.results()), tree.unflatten(y_tree, ys)


def stack(values: Sequence[Any]) -> Any:
    """Stack arrays, numbers or tracers along a new first axis."""
    values = promote_dtypes(*values)
    if not any(isinstance(v, Tracer) for v in values):
        return np.stack([np.asarray(v) for v in values])
    return concatenate([expand_dims(v, (0,)) for v in values], 0)
