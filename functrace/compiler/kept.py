"""Programs kept on disk as plain data: a process that knows one runs none of the stages.

What is kept is what `Program` is made of: slots, steps with their records, kernels as text (whose
code the kernel cache has), small constants. Nothing in it is run but those kernels, and nothing is
unpickled. Who asks for more (a stage's text, costs, the line a check failed in) gets the whole
compilation, which is made then.
"""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from functrace import compiler
from functrace.compiler.identity import NotPlainError, program_identity
from functrace.compiler.runtime import blas, build, lapack
from functrace.compiler.runtime.program import Program
from functrace.compiler.runtime.steps import (
    Copy,
    InputSpec,
    KernelCode,
    Loop,
    OutputSpec,
    Step,
    Switch,
    Window,
)
from functrace.config import config
from functrace.core.jaxpr import ClosedJaxpr

if TYPE_CHECKING:
    from functrace.compiler.pipeline import Compiled

__all__ = ["KeptProgram", "compiled_program", "from_bytes", "to_bytes"]

_SIZE = struct.Struct("<Q")
_CLASSES = {c.__name__: c for c in (Copy, InputSpec, Loop, OutputSpec, Step, Switch, Window)}
_SYMBOLS: dict[str, Callable[[], Mapping[str, int]]] = {
    "blas": blas.symbols,
    "lapack": lapack.symbols,
}
_MOST_BYTES = 4 << 20


class KeptProgram:
    """A program read from disk; all else that a compilation knows is found out when asked for."""

    def __init__(self, parts: dict[str, Any], closed: ClosedJaxpr, options: dict[str, Any]) -> None:
        self._closed = closed
        self._options = options
        self._full: Any = None
        self.program = Program(**parts, error=self._error, threads=options["threads"])

    def __call__(self, *args: Any) -> Any:
        """Return the list of results for flat arguments."""
        return self.program(*args)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._full is None:
            self._full = compiler.pipeline.compile_jaxpr(self._closed, **self._options)
        return getattr(self._full, name)

    def _error(self, step: Step, *failure: Any) -> BaseException:
        """Return what the compilation's own step would raise: it knows the user's line."""
        mine, theirs = _flat(self.program.steps), _flat(self.compilation.program.steps)
        known = next((theirs_ for own, theirs_ in zip(mine, theirs) if own is step), step)
        error: BaseException = compiler.pipeline.step_error(known, *failure)
        return error


def compiled_program(closed: ClosedJaxpr, name: str, threads: int | None) -> Compiled:
    """Return the program of a jaxpr: the one on disk, or else compiled, and kept for later.

    With checks on, or another backend than LLVM, it is always compiled.
    """
    options: dict[str, Any] = {"name": name, "threads": threads}
    key = None if config.checks or config.backend != "llvm" else _key(closed)
    if key is None:
        return compiler.pipeline.compile_jaxpr(closed, **options)
    start = time.perf_counter()
    kept = build.disk_cache().get(key)
    if kept is not None:
        program = KeptProgram(from_bytes(kept), closed, options)
        if config.log_compiles:
            took = time.perf_counter() - start
            print(f"functrace found {name or 'a program'} on disk: {took:.3f} s")
        return cast("Compiled", program)  # it answers all that a Compiled does
    before = build.cache_info()
    compiled = compiler.pipeline.compile_jaxpr(closed, **options)
    now = build.cache_info()
    # Where all kernels were in memory already, it is an old program in a new size: planning it
    # again is quick, and sizes may be many.
    if (now.compiled, now.disk_hits) != (before.compiled, before.disk_hits):
        _keep(key, compiled.program)
    return compiled


def _key(closed: ClosedJaxpr) -> str | None:
    if build.disk_cache().directory is None:
        return None
    try:
        return program_identity(closed)
    except NotPlainError:
        return None


def _keep(key: str, program: Program) -> None:
    try:
        payload = to_bytes(program)
    except NotPlainError:
        return
    if len(payload) <= _MOST_BYTES:
        build.disk_cache().put(key, payload)


def _flat(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield all steps, nested ones included, in order."""
    for step in steps:
        yield step
        if isinstance(step.kernel, Loop):
            yield from _flat(step.kernel.body)
            yield from _flat(step.kernel.test)
        elif isinstance(step.kernel, Switch):
            for branch in step.kernel.branches:
                yield from _flat(branch)


# --- plain data --------------------------------------------------------------------------------


def to_bytes(program: Program) -> bytes:
    """Return what `from_bytes` makes the parts of an equal program from.

    Raises:
        NotPlainError: one of its steps calls Python.
    """
    writer = _Writer()
    constants = {slot: np.ascontiguousarray(array) for slot, array in program.constants.items()}
    table: dict[str, Any] = {
        "inputs": writer.plain(program.inputs),
        "outputs": writer.plain(program.outputs),
        "n_slots": program.n_slots,
        "steps": writer.plain(program.steps),
        "temporaries": writer.plain(program.temporaries),
        "arena_bytes": program.arena_bytes,
        "constants": [[slot, a.dtype.str, a.shape] for slot, a in constants.items()],
    }
    table["kernels"] = [[text, entry, symbols] for text, entry, symbols in writer.kernels]
    text = zlib.compress(json.dumps(table).encode(), 1)
    return b"".join([_SIZE.pack(len(text)), text, *(a.tobytes() for a in constants.values())])


class _Writer:
    def __init__(self) -> None:
        self.kernels: dict[tuple[str, str, str | None], int] = {}

    def plain(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, np.integer)):
            return int(value)
        if isinstance(value, np.dtype):
            return {"dtype": value.char}
        if isinstance(value, KernelCode):
            return {"kernel": self.kernel(value)}
        if type(value) in _CLASSES.values():
            names = [n for n in value._fields if n != "eqn"]
            return {type(value).__name__: {n: self.plain(getattr(value, n)) for n in names}}
        if type(value) not in (tuple, list):
            raise NotPlainError(f"{type(value).__name__} is not plain data")
        return [self.plain(v) for v in value]

    def kernel(self, code: KernelCode) -> int:
        symbols = None
        if code.symbols is not None:
            symbols = next((n for n, s in _SYMBOLS.items() if s is code.symbols), None)
            if symbols is None:
                raise NotPlainError("a kernel with symbols of its own")
        return self.kernels.setdefault((code.text, code.entry, symbols), len(self.kernels))


def from_bytes(data: bytes) -> dict[str, Any]:
    """Return the arguments of `Program` that `to_bytes` wrote down."""
    (size,) = _SIZE.unpack_from(data)
    start = _SIZE.size + size
    table: dict[str, Any] = json.loads(zlib.decompress(data[_SIZE.size : start]))
    kernels = [
        KernelCode(text, entry, None if symbols is None else _SYMBOLS[symbols])
        for text, entry, symbols in table.pop("kernels")
    ]
    constants = {}
    for slot, dtype, shape in table.pop("constants"):
        array = np.frombuffer(data, dtype, int(np.prod(shape)), start).reshape(shape)
        constants[slot] = array.copy()
        start += array.nbytes
    return {**{name: _read(part, kernels) for name, part in table.items()}, "constants": constants}


def _read(part: Any, kernels: Sequence[KernelCode]) -> Any:
    if isinstance(part, list):
        return tuple([_read(p, kernels) for p in part])
    if not isinstance(part, dict):
        return part
    ((name, content),) = part.items()
    if name == "dtype":
        return np.dtype(content)
    if name == "kernel":
        return kernels[content]
    return _CLASSES[name](**{n: _read(p, kernels) for n, p in content.items()})
