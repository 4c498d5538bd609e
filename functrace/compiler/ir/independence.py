"""Which loops may run several iterations at once, read off the kernel IR."""

from __future__ import annotations

from functrace.compiler.ir.kernel import (
    I64,
    Buffer,
    Const,
    For,
    If,
    Load,
    Op,
    Region,
    Scalar,
    Store,
)
from functrace.compiler.ir.kernel_passes import named_calls

# Bytes of a SIMD register, as wide as there are any.
_REGISTER = 64
# Shorter bodies are left to LLVM's vectoriser, whose loops stream memory up to 1.5 times as fast;
# its time grows with the body (0.1 ms a statement), where there is nothing for it to choose.
_LONG_BODY = 40
_CALL = 40


def independent_lanes(loop: For) -> int:
    """How many iterations of `loop` to run at once; 0 if they may depend on each other.

    A loop qualifies if it carries nothing, if each of its loads and stores moves by one element an
    iteration (loads may also stand still), and if whatever it stores to is accessed at one and the
    same index only. Buffers of different groups never overlap, so this is a proof.
    """
    if loop.params or loop.step != 1 or loop.lanes:
        return 0
    if len(loop.body.stmts) + _CALL * len(named_calls(loop.body)) < _LONG_BODY:
        return 0
    if isinstance(loop.lo, Const) and isinstance(loop.hi, Const):
        return 0
    steps = _steps(loop)
    if not any(isinstance(s, Store) for s in loop.body.stmts):
        return 0
    if not (_contiguous(loop.body, steps) and _separate(loop.body)):
        return 0
    return max(_REGISTER // max(_widths(loop.body)), 8)


def _steps(loop: For) -> dict[int, int | None]:
    """By how much each int64 scalar of the body grows an iteration; None: unknown."""
    steps: dict[int, int | None] = {loop.index.id: 1}
    for stmt in loop.body.stmts:
        if isinstance(stmt, Op):
            steps[stmt.result.id] = _step(stmt, steps)
        elif isinstance(stmt, Load):
            steps[stmt.result.id] = 0 if _of(stmt.index, steps) == 0 else None
        elif isinstance(stmt, If):
            steps.update((r.id, None) for r in stmt.results)
    return steps


def _of(v: Scalar, steps: dict[int, int | None]) -> int | None:
    return 0 if isinstance(v, Const) else steps.get(v.id, 0)


def _step(op: Op, steps: dict[int, int | None]) -> int | None:
    parts = [_of(a, steps) for a in op.args]
    if all(p == 0 for p in parts):
        return 0
    if op.result.dtype != I64 or len(parts) != 2 or parts[0] is None or parts[1] is None:
        return None
    if op.name in ("add", "sub"):
        return parts[0] + parts[1] if op.name == "add" else parts[0] - parts[1]
    if op.name != "mul":
        return None
    factor = next((a for a in op.args if isinstance(a, Const)), None)
    return None if factor is None else (parts[0] or parts[1]) * int(factor.value)


def _contiguous(region: Region, steps: dict[int, int | None]) -> bool:
    for stmt in region.stmts:
        if isinstance(stmt, Store) and _of(stmt.index, steps) != 1:
            return False
        if isinstance(stmt, Load) and _of(stmt.index, steps) not in (0, 1):
            return False
    return True


def _separate(region: Region) -> bool:
    """Whether every group that is stored to is accessed in one buffer at one index."""
    places: dict[int, set[tuple[int, int]]] = {}
    stored: set[int] = set()
    for stmt in region.stmts:
        if isinstance(stmt, (Load, Store)):
            # A local array is a group of its own, numbered below 0.
            memory = stmt.memory
            group = memory.group if isinstance(memory, Buffer) else -1 - memory.index
            index = -1 if isinstance(stmt.index, Const) else stmt.index.id
            places.setdefault(group, set()).add((stmt.memory.index, index))
            if isinstance(stmt, Store):
                stored.add(group)
    return all(len(places[g]) == 1 for g in stored)


def _widths(region: Region) -> list[int]:
    out = [1]
    for stmt in region.stmts:
        if isinstance(stmt, Op) and stmt.result.dtype.kind == "f":
            out.append(stmt.result.dtype.itemsize)
        elif isinstance(stmt, If):
            out += _widths(stmt.then) + _widths(stmt.orelse)
        elif isinstance(stmt, (Load, Store)):
            out.append(min(stmt.memory.dtype.itemsize, 8))
    return out
