"""Which loops are printed as SIMD code."""

from __future__ import annotations

import platform

from functrace.compiler.emit.llvm.extern import WIDTHS
from functrace.compiler.ir import vecmath
from functrace.compiler.ir.kernel import (
    Const,
    For,
    If,
    Load,
    Local,
    Op,
    Region,
    Stmt,
    Store,
    real_dtype,
)

__all__ = ["HAS_MASKS", "fits", "fits_partly", "masks_well", "straight"]

#: Elsewhere LLVM makes a branch of each lane of a mask: only the last vector is worth that.
HAS_MASKS = platform.machine() in ("x86_64", "AMD64")


def fits(loop: For) -> bool:
    """Whether `loop` is one over lanes whose body can be printed as straight SIMD code."""
    if loop.lanes < 2 or loop.step != 1 or loop.params:
        return False
    if not (isinstance(loop.lo, Const) and isinstance(loop.hi, Const)):
        return False
    return int(loop.hi.value) - int(loop.lo.value) == loop.lanes and straight(loop.body, loop.lanes)


def fits_partly(loop: For) -> bool:
    """Whether `loop` runs over some of the lanes, from the first on, and can be printed so."""
    if loop.lanes < 2 or loop.step != 1 or loop.params:
        return False
    starts = isinstance(loop.lo, Const) and int(loop.lo.value) == 0
    return starts and _fills_lanes(loop) and straight(loop.body, loop.lanes)


def _fills_lanes(loop: For) -> bool:
    """Whether the loop goes through a local array of as many elements as there are lanes."""
    return any(
        isinstance(s, Store)
        and isinstance(s.memory, Local)
        and s.index is loop.index
        and s.memory.length == loop.lanes
        for s in loop.body.stmts
    )


def masks_well(body: Region) -> bool:
    """Whether all memory is of numbers that every CPU's masks are made for, if it has any."""
    if not HAS_MASKS:
        return False
    touched = [s.memory.dtype for s in body.stmts if isinstance(s, (Load, Store))]
    return all(d.kind != "b" and real_dtype(d).itemsize >= 4 for d in touched)


def straight(region: Region, lanes: int, memory: bool = True) -> bool:
    """Whether `region` has only scalar operations, plain memory and branches without memory."""
    return all(_straight(stmt, lanes, memory) for stmt in region.stmts)


def _straight(stmt: Stmt, lanes: int, memory: bool) -> bool:
    if isinstance(stmt, Op):
        if stmt.name == "extern":
            return lanes in WIDTHS
        if stmt.name == "math":
            function = vecmath.function(stmt.attr, stmt.result.dtype)
            return straight(function.body, lanes, memory=False)
        # An arm is run in all lanes here: a division that it guards would trap in the others.
        return memory or stmt.name not in ("udiv", "urem") or isinstance(stmt.args[1], Const)
    if isinstance(stmt, If):
        return all(straight(arm, lanes, memory=False) for arm in (stmt.then, stmt.orelse))
    return memory and isinstance(stmt, (Load, Store))
