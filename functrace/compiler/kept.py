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
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from functrace import compiler
from functrace.compiler.identity import NotPlainError, program_identity
from functrace.compiler.runtime import blas, build, lapack
from functrace.compiler.runtime.program import ErrorMaker, Program, default_error
from functrace.compiler.runtime.steps import (
    Copy,
    InputSpec,
    KernelCode,
    Loop,
    OutputSpec,
    Step,
    Switch,
    Window,
    all_steps,
    numbered,
)
from functrace.config import config
from functrace.core.jaxpr import ClosedJaxpr

if TYPE_CHECKING:
    from functrace.compiler.pipeline import Compiled

__all__ = ["BareProgram", "KeptProgram", "compiled_program", "from_bytes", "to_bytes"]

_SIZE = struct.Struct("<Q")
_CLASSES = {c.__name__: c for c in (Copy, InputSpec, Loop, OutputSpec, Step, Switch, Window)}
_SYMBOLS: dict[str, Callable[[], Mapping[str, int]]] = {
    "blas": blas.symbols,
    "lapack": lapack.symbols,
}
_MOST_BYTES = 4 << 20


class BareProgram:
    """A program alone; all else that a compilation knows is found out when somebody asks.

    A compilation is many times as large as the program it makes, and a jitted function may have
    thousands of these.
    """

    def __init__(
        self,
        closed: ClosedJaxpr,
        options: dict[str, Any],
        make: Callable[[ErrorMaker], Program],
    ) -> None:
        self._origin = _Origin(closed, options)
        self.program = make(self._origin.error)

    def __call__(self, *args: Any) -> Any:
        """Return the list of results for flat arguments."""
        return self.program(*args)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._origin.full, name)


class KeptProgram(BareProgram):
    """A program read from disk."""


class _Origin:
    """Compiles a program once more, for whoever wants more of it than to run it."""

    def __init__(self, closed: ClosedJaxpr, options: dict[str, Any]) -> None:
        # Without the memo, which holds the program: nothing here may be held by what it holds.
        self._closed = ClosedJaxpr(closed.jaxpr, closed.consts)
        self._options = options
        self._full: Compiled | None = None

    @property
    def full(self) -> Compiled:
        """The whole compilation."""
        if self._full is None:
            self._full = compiler.pipeline.compile_jaxpr(self._closed, **self._options)
        return self._full

    def error(self, step: Step, kind: str, site: int, details: tuple[int, ...]) -> BaseException:
        """Return what the compilation's own step would raise: it knows the user's line."""
        if kind == "interrupt":  # whoever presses Ctrl-C doesn't want to wait for a compiler
            return default_error(step, kind, site, details)
        steps = list(all_steps(self.full.program.steps))
        known: Step = steps[cast("int", step.eqn)]
        error: BaseException = compiler.pipeline.step_error(known, kind, site, details)
        return error


def compiled_program(
    closed: ClosedJaxpr,
    name: str,
    threads: int | None,
    donated: Sequence[tuple[int, int]] = (),
) -> Compiled:
    """Return the program of a jaxpr: the one on disk, or else compiled, and kept for later.

    With checks on, or another backend than LLVM, it is always compiled, and keeps its compilation.
    """
    options: dict[str, Any] = {"name": name, "threads": threads, "donated": tuple(donated)}
    if config.checks or config.backend != "llvm":
        return compiler.pipeline.compile_jaxpr(closed, **options)
    key = _key(closed, donated)
    kept = None if key is None else _read_kept(key, closed, options)
    if kept is not None:
        return cast("Compiled", kept)  # it answers all that a Compiled does
    before = build.cache_info()

    def compiled(error: ErrorMaker) -> Program:
        program: Program = compiler.pipeline.compile_jaxpr(closed, error=error, **options).program
        return program

    program = BareProgram(closed, options, compiled)
    now = build.cache_info()
    # Where all kernels were in memory already, it is an old program in a new size: planning it
    # again is quick, and sizes may be many.
    if key is not None and (now.compiled, now.disk_hits) != (before.compiled, before.disk_hits):
        _keep(key, program.program)
    return cast("Compiled", program)


def _read_kept(key: str, closed: ClosedJaxpr, options: dict[str, Any]) -> KeptProgram | None:
    start = time.perf_counter()
    kept = build.disk_cache().get(key)
    if kept is None:
        return None
    parts = from_bytes(kept)

    def read(error: ErrorMaker) -> Program:
        return Program(**parts, error=error, threads=options["threads"])

    program = KeptProgram(closed, options, read)
    if config.log_compiles:
        took = time.perf_counter() - start
        print(f"functrace found {options['name'] or 'a program'} on disk: {took:.3f} s")
    return program


def _key(closed: ClosedJaxpr, donated: Sequence[tuple[int, int]]) -> str | None:
    if build.disk_cache().directory is None:
        return None
    try:
        return program_identity(closed, donated)
    except NotPlainError:
        return None


def _keep(key: str, program: Program) -> None:
    try:
        payload = to_bytes(program)
    except NotPlainError:
        return
    if len(payload) <= _MOST_BYTES:
        build.disk_cache().put(key, payload)


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
    parts = {name: _read(part, kernels) for name, part in table.items()}
    return {**parts, "steps": numbered(parts["steps"]), "constants": constants}


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
