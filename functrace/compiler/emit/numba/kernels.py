"""Prints a kernel as Python source that Numba compiles: for reading, editing, and as the oracle.

Every operation is explicitly typed, so Numba's promotions never change a result. The source says
`rt` for its run time: `native` when compiled, `python` when run by the interpreter,
which gives the same bits, slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.compiler.emit.numba.ops import literal, operation
from functrace.compiler.ir.kernel import (
    ERROR_SLOT,
    FAIL_KINDS,
    POLL_WORD,
    STATUS_KIND_SHIFT,
    Buffer,
    Const,
    Fail,
    For,
    Function,
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
    operands_of,
    real_dtype,
)
from functrace.compiler.ir.kernel_passes import count_uses
from functrace.compiler.ir.vecmath import used_functions

_COMPILED = "from functrace.compiler.emit.numba import native as rt"
_INTERPRETED = "from functrace.compiler.emit.numba import python as rt"
_HEADER = f"import numpy as np\n\n{_COMPILED}\n"
_WIDEST = 88


def kernel_source(kernel: Kernel, name: str = "kernel") -> str:
    """The Python source of one kernel, a function `name(frame, record, lo, hi) -> status`."""
    functions, _ = used_functions([kernel.body])
    parts = [_HEADER]
    parts += [FunctionPrinter(f).text() for f in functions]
    parts.append(KernelPrinter(kernel).text(name))
    return "\n\n".join(parts)


def load(source: str, name: str = "kernel", compiled: bool = True) -> Callable[..., int]:
    """Turn a kernel's source into a callable that takes two addresses and a range.

    Args:
        source: what `kernel_source` printed, perhaps edited.
        name: the function to return.
        compiled: by Numba (then the result has `.address`, that of a native function with the
            kernel calling convention, and must be kept alive), or by the interpreter.
    """
    text = source if compiled else source.replace(_COMPILED, _INTERPRETED)
    scope: dict[str, Any] = {}
    exec(compile(text, f"<functrace kernel {name}>", "exec"), scope)
    found: Callable[..., int] = scope[name]
    return found


class _Printer:
    """Prints regions; what is used once is printed where it is used, within a line's length."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 1
        self.names: dict[int, str] = {}
        self.uses: dict[int, int] = {}
        self._counts = 0

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def value(self, v: Scalar) -> str:
        return literal(v) if isinstance(v, Const) else self.names.get(v.id, f"v{v.id}")

    def nested(self, region: Region) -> None:
        self.depth += 1
        before = len(self.lines)
        self.region(region)
        if len(self.lines) == before:
            self.emit("pass")
        self.depth -= 1

    def region(self, region: Region) -> None:
        here = {v.id for stmt in region.stmts for v in operands_of(stmt)}
        here |= {v.id for v in region.yields}
        for stmt in region.stmts:
            if isinstance(stmt, Op):
                self.op(stmt, stmt.result.id in here)
            else:
                self.stmt(stmt)

    def op(self, op: Op, used_here: bool) -> None:
        text = operation(op, [self.value(a) for a in op.args])
        number = op.result.id
        if used_here and self.uses.get(number) == 1 and len(text) <= _WIDEST - 4 * self.depth:
            self.names[number] = text
            return
        self.emit(f"v{number} = {_bare(text)}")

    def assign(self, targets: Sequence[str], values: Sequence[Scalar]) -> None:
        """All at once, since the values may read the targets."""
        pairs = [(t, self.value(v)) for t, v in zip(targets, values, strict=True)]
        pairs = [(t, v) for t, v in pairs if t != v]
        if pairs:
            left, right = zip(*pairs, strict=True)
            text = _bare(right[0]) if len(right) == 1 else ", ".join(right)
            self.emit(f"{', '.join(left)} = {text}")

    def stmt(self, stmt: Stmt) -> None:
        if isinstance(stmt, For):
            self.for_loop(stmt)
        elif isinstance(stmt, While):
            self.while_loop(stmt)
        elif isinstance(stmt, If):
            self.branch(stmt)
        else:
            raise TypeError(f"{type(stmt).__name__} may not occur in a scalar function")

    def carried(self, params: Sequence[Scalar], results: Sequence[Scalar]) -> list[str]:
        """The variables of carried values: parameter and result are one variable."""
        variables = [f"v{r.id}" for r in results]
        for param, variable in zip(params, variables, strict=True):
            self.names[param.id] = variable
        return variables

    def for_loop(self, loop: For) -> None:
        variables = self.carried(loop.params, loop.results)
        bounds = f"{_bare(self.value(loop.lo))}, {_bare(self.value(loop.hi))}"
        step = "" if loop.step == 1 else f", {loop.step}"
        self.assign(variables, loop.inits)
        self.emit(f"for v{loop.index.id} in range({bounds}{step}):")
        self.nested(loop.body)
        self.depth += 1
        self.assign(variables, loop.body.yields)
        self.depth -= 1

    def while_loop(self, loop: While) -> None:
        variables = self.carried(loop.params, loop.results)
        self.assign(variables, loop.inits)
        count = self.rounds(loop)
        self.emit("while True:")
        self.depth += 1
        self.region(loop.cond)
        self.emit(f"if not {self.value(loop.cond.yields[0])}:")
        self.emit("    break")
        if count:
            self.emit(f"{count} -= 1")
            self.emit(f"if {count} == 0:")
            self.emit(f"    {count} = {loop.period}")
            self.nested(loop.watch)
        self.region(loop.body)
        self.assign(variables, loop.body.yields)
        self.depth -= 1

    def rounds(self, loop: While) -> str:
        """Print the count of the rounds until somebody is to look; its name, if one is kept."""
        if not loop.watch.stmts:
            return ""
        self._counts += 1
        self.emit(f"rounds{self._counts} = {loop.period}")
        return f"rounds{self._counts}"

    def branch(self, stmt: If) -> None:
        variables = [f"v{r.id}" for r in stmt.results]
        self.emit(f"if {_bare(self.value(stmt.pred))}:")
        self.arm(stmt.then, variables)
        if stmt.orelse.stmts or variables:
            self.emit("else:")
            self.arm(stmt.orelse, variables)

    def arm(self, region: Region, variables: Sequence[str]) -> None:
        self.depth += 1
        before = len(self.lines)
        self.region(region)
        self.assign(variables, region.yields)
        if len(self.lines) == before:
            self.emit("pass")
        self.depth -= 1


class FunctionPrinter(_Printer):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function
        self.uses = count_uses(function.body)

    def text(self) -> str:
        f = self.function
        params = ", ".join(f"v{p.id}" for p in f.params)
        self.region(f.body)
        self.emit(f"return {_bare(self.value(f.body.yields[0]))}")
        return "\n".join(
            ["@rt.function", f"def {f.name.replace('.', '_')}({params}):", *self.lines]
        )


class KernelPrinter(_Printer):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.uses = count_uses(kernel.body)
        self.names[kernel.lo.id] = "lo"
        self.names[kernel.hi.id] = "hi"

    def text(self, name: str) -> str:
        self.entry()
        self.region(self.kernel.body)
        self.emit("return 0")
        return "\n".join(["@rt.kernel", f"def {name}(frame, record, lo, hi):", *self.lines, ""])

    def entry(self) -> None:
        self.emit("frame, record = rt.int64_at(frame), rt.int64_at(record)")
        for position, entry in enumerate(self.kernel.record):
            if entry.value is not None:
                self.emit(f"v{entry.value.id} = record[{position}]")
            elif entry.buffer is not None:
                at = f"rt.{stored_dtype(entry.buffer.dtype).name}_at(frame[record[{position}]])"
                note = f"{entry.buffer.dtype.name}, {entry.buffer.access}"
                self.emit(f"buffer{entry.buffer.index} = {at}  # {note}")
        for local in self.kernel.locals:
            count = local.length * (2 if local.dtype.kind == "c" else 1)
            name = stored_dtype(local.dtype).name
            self.emit(f"local{local.index} = np.empty({count}, np.{name})")

    def stmt(self, stmt: Stmt) -> None:
        if isinstance(stmt, Load):
            place = self.place(stmt.memory, stmt.index, stmt.part)
            self.emit(f"v{stmt.result.id} = {_loaded(stmt.memory, place)}")
        elif isinstance(stmt, Store):
            place = self.place(stmt.memory, stmt.index, stmt.part)
            self.emit(f"{place} = {_to_store(stmt.memory, self.value(stmt.value))}")
        elif isinstance(stmt, Turn):
            self.turn(stmt)
        elif isinstance(stmt, Fail):
            self.fail(stmt)
        elif isinstance(stmt, Poll):
            self.emit(f"v{stmt.result.id} = rt.int64_at(frame[{ERROR_SLOT}])[{POLL_WORD}]")
        else:
            super().stmt(stmt)

    def turn(self, stmt: Turn) -> None:
        """Element by element; numbers of a complex element are next to each other."""
        words = 2 if stmt.target.dtype.kind == "c" else 1
        target = self.turned(stmt.target, stmt.target_at, "r", stmt.target_pitch, "c", words)
        source = self.turned(stmt.source, stmt.source_at, "c", stmt.source_pitch, "r", words)
        self.emit(f"for r in range({_bare(self.value(stmt.rows))}):")
        self.emit(f"    for c in range({_bare(self.value(stmt.columns))}):")
        for part in range(words):
            self.emit(f"        {target[part]} = {source[part]}")

    def turned(
        self, memory: Buffer | Local, at: Scalar, row: str, pitch: Scalar, column: str, words: int
    ) -> list[str]:
        place = f"{self.value(at)} + {row} * {self.value(pitch)} + {column}"
        if words == 1:
            return [f"{_memory_name(memory)}[{place}]"]
        return [f"{_memory_name(memory)}[2 * ({place}) + {part}]" for part in range(words)]

    def place(self, memory: Buffer | Local, index: Scalar, part: int) -> str:
        at = self.value(index)
        if memory.dtype.kind == "c":
            at = f"2 * {at}" + (" + 1" if part else "")
        return f"{_memory_name(memory)}[{_bare(at)}]"

    def fail(self, stmt: Fail) -> None:
        self.emit(f"if {_bare(self.value(stmt.pred))}:")
        self.depth += 1
        if stmt.details:
            self.error_cell()
        for k, detail in enumerate(stmt.details):
            self.emit(f"error[{k}] = {_bare(self.value(detail))}")
        status = (FAIL_KINDS[stmt.kind] << STATUS_KIND_SHIFT) | stmt.site
        self.emit(f"return {status}  # {stmt.kind}, site {stmt.site}")
        self.depth -= 1

    def error_cell(self) -> None:
        self.emit(f"error = rt.int64_at(frame[{ERROR_SLOT}])")


def _memory_name(memory: Buffer | Local) -> str:
    return f"{'local' if isinstance(memory, Local) else 'buffer'}{memory.index}"


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """How memory of `dtype` is viewed: bytes, half bits, or the parts of complex values."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.uint16) if dtype == np.float16 else real_dtype(dtype)


def _loaded(memory: Buffer | Local, place: str) -> str:
    if memory.dtype.kind == "b":
        return f"{place} != 0"
    return f"rt.half_load({place})" if memory.dtype == np.float16 else place


def _to_store(memory: Buffer | Local, value: str) -> str:
    if memory.dtype.kind == "b":
        return f"np.uint8({_bare(value)})"
    return f"rt.half_store({_bare(value)})" if memory.dtype == np.float16 else _bare(value)


def _bare(text: str) -> str:
    """`text` without the parentheses around the whole of it."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for k, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and k < len(text) - 1:
            return text
    return text[1:-1]
