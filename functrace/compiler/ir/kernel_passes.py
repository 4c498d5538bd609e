"""Clean-up of a finished kernel body: dead statements out, scalars renumbered in reading order."""

from __future__ import annotations

from collections.abc import Iterable

from functrace.compiler.ir.kernel import (
    DType,
    Op,
    Region,
    Scalar,
    Stmt,
    Turn,
    has_effect,
    operands_of,
    params_of,
    regions_of,
    results_of,
)


def remove_dead(body: Region) -> None:
    """Drop statements whose results nobody reads and that have no effect."""
    _sweep(body, set())


def _sweep(region: Region, live: set[int]) -> None:
    live.update(id(v) for v in region.yields)
    kept: list[Stmt] = []
    for stmt in reversed(region.stmts):
        if type(stmt) is Op:
            if id(stmt.result) in live:
                live.update(map(id, stmt.args))
                kept.append(stmt)
            continue
        if not has_effect(stmt) and not any(id(v) in live for v in results_of(stmt)):
            continue
        for nested in reversed(regions_of(stmt)):
            _sweep(nested, live)
        live.update(id(v) for v in operands_of(stmt))
        kept.append(stmt)
    region.stmts = kept[::-1]


def renumber(leaves: Iterable[Scalar], body: Region) -> None:
    """Number the scalars in reading order, so that equal kernels have equal text."""
    number = 0
    for leaf in leaves:
        leaf.id = number
        number += 1
    _renumber(body, number)


def _renumber(region: Region, number: int) -> int:
    for stmt in region.stmts:
        if type(stmt) is Op:
            stmt.result.id = number
            number += 1
            continue
        for param in params_of(stmt):
            param.id = number
            number += 1
        for nested in regions_of(stmt):
            number = _renumber(nested, number)
        for result in results_of(stmt):
            result.id = number
            number += 1
    return number


def count_uses(region: Region, uses: dict[int, int] | None = None) -> dict[int, int]:
    """How often each scalar (by its number) is read below `region`."""
    counts: dict[int, int] = {} if uses is None else uses
    for stmt in region.stmts:
        for v in operands_of(stmt):
            counts[v.id] = counts.get(v.id, 0) + 1
        for nested in regions_of(stmt):
            count_uses(nested, counts)
    for v in region.yields:
        counts[v.id] = counts.get(v.id, 0) + 1
    return counts


def turned_dtypes(region: Region) -> set[DType]:
    """The dtypes of the blocks that are turned below `region`."""
    found: set[DType] = set()
    for stmt in region.stmts:
        if isinstance(stmt, Turn):
            found.add(stmt.target.dtype)
        for nested in regions_of(stmt):
            found |= turned_dtypes(nested)
    return found


def named_calls(region: Region) -> list[tuple[str, str, Scalar]]:
    """Every `math` and `extern` operation below `region` as (op, function name, result)."""
    found: list[tuple[str, str, Scalar]] = []
    for stmt in region.stmts:
        if isinstance(stmt, Op):
            if stmt.attr:
                found.append((stmt.name, stmt.attr, stmt.result))
            continue
        for nested in regions_of(stmt):
            found += named_calls(nested)
    return found
