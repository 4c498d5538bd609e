"""Prints kernels for people, and as the canonical text that equal kernels share."""

from __future__ import annotations

from collections.abc import Sequence

from functrace.compiler.ir.kernel import (
    Buffer,
    Const,
    Fail,
    For,
    If,
    Kernel,
    Load,
    Local,
    Op,
    Poll,
    Region,
    Scalar,
    Stmt,
    Store,
    Turn,
    While,
)


def kernel_text(kernel: Kernel) -> str:
    """The canonical text of a kernel: everything but its name.

    Two kernels with equal text compute the same; user names never occur in it.
    """
    lines = [f"kernel lo=%{kernel.lo.id} hi=%{kernel.hi.id} {{"]
    for position, entry in enumerate(kernel.record):
        if entry.buffer is None:
            assert entry.value is not None
            lines.append(f"  record[{position}] = %{entry.value.id}")
        else:
            b = entry.buffer
            lines.append(
                f"  record[{position}] = slot of b{b.index}: {b.access} {b.dtype.name}, "
                f"group {b.group}"
            )
    lines += [f"  local l{x.index}: {x.dtype.name}[{x.length}]" for x in kernel.locals]
    _region(kernel.body, 1, lines)
    return "\n".join([*lines, "}"])


def _region(region: Region, depth: int, lines: list[str]) -> None:
    for stmt in region.stmts:
        _stmt(stmt, depth, lines)
    if region.yields:
        lines.append(f"{'  ' * depth}yield {_list(region.yields)}")


def _stmt(stmt: Stmt, depth: int, lines: list[str]) -> None:
    pad = "  " * depth
    if isinstance(stmt, (For, While, If)):
        _nested(stmt, depth, lines)
    else:
        lines.append(pad + _line(stmt))


def _line(stmt: Stmt) -> str:
    if isinstance(stmt, Op):
        name = f"{stmt.name}.{stmt.attr}" if stmt.attr else stmt.name
        return f"{_define(stmt.result)} = {name} {_list(stmt.args)}"
    if isinstance(stmt, Load):
        place = _place(stmt.memory, stmt.index, stmt.part)
        return f"{_define(stmt.result)} = load {place}"
    if isinstance(stmt, Store):
        return f"store {_place(stmt.memory, stmt.index, stmt.part)}, {_use(stmt.value)}"
    if isinstance(stmt, Turn):
        target = _block(stmt.target, stmt.target_at, stmt.target_pitch)
        source = _block(stmt.source, stmt.source_at, stmt.source_pitch)
        return f"turn {target}, {source} ({_use(stmt.rows)} by {_use(stmt.columns)})"
    if isinstance(stmt, Fail):
        return f"fail {_use(stmt.pred)} {stmt.kind} #{stmt.site} ({_list(stmt.details)})"
    if isinstance(stmt, Poll):
        return f"{_define(stmt.result)} = poll"
    raise TypeError(f"unknown statement {type(stmt).__name__}")


def _nested(stmt: For | While | If, depth: int, lines: list[str]) -> None:
    pad = "  " * depth
    results = f"{', '.join(map(_define, stmt.results))} = " if stmt.results else ""
    if isinstance(stmt, If):
        lines.append(f"{pad}{results}if {_use(stmt.pred)} {{")
        _region(stmt.then, depth + 1, lines)
        lines.append(f"{pad}}} else {{")
        _region(stmt.orelse, depth + 1, lines)
    else:
        pairs = zip(stmt.params, stmt.inits, strict=True)
        carried = ", ".join(f"{_define(p)} = {_use(i)}" for p, i in pairs)
        if isinstance(stmt, For):
            lanes = f" lanes {stmt.lanes}" if stmt.lanes else ""
            span = f"{_use(stmt.lo)}..{_use(stmt.hi)} step {stmt.step}{lanes}"
            lines.append(f"{pad}{results}for %{stmt.index.id} in {span} ({carried}) {{")
        else:
            lines.append(f"{pad}{results}while ({carried}) {{")
            _region(stmt.cond, depth + 1, lines)
            lines.append(f"{pad}}} do {{")
        _region(stmt.body, depth + 1, lines)
        if isinstance(stmt, While) and stmt.watch.stmts:
            lines.append(f"{pad}}} every {stmt.period} {{")
            _region(stmt.watch, depth + 1, lines)
    lines.append(pad + "}")


def _name(memory: Buffer | Local) -> str:
    return f"l{memory.index}" if isinstance(memory, Local) else f"b{memory.index}"


def _block(memory: Buffer | Local, at: Scalar, pitch: Scalar) -> str:
    return f"{_name(memory)}[{_use(at)} by {_use(pitch)}]"


def _place(memory: Buffer | Local, index: Scalar, part: int) -> str:
    suffix = (".re", ".im")[part] if memory.dtype.kind == "c" else ""
    return f"{_name(memory)}[{_use(index)}]{suffix}"


def _define(v: Scalar) -> str:
    return f"%{v.id}:{v.dtype.name}"


def _use(v: Scalar) -> str:
    if not isinstance(v, Const):
        return f"%{v.id}"
    value = float(v.value).hex() if v.dtype.kind == "f" else str(v.value)
    return f"{v.dtype.name}({value})"


def _list(values: Sequence[Scalar]) -> str:
    return ", ".join(map(_use, values))
