"""LLVM text to object code for this very CPU; several modules at once, on several threads.

llvmlite holds one lock around every call, so that nobody need know what may run beside what. LLVM
itself asks only that no two threads share a context or a target machine. Here each module has a
context and borrows a machine, and the two calls that take all the time go around that lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from functrace.config import config

__all__ = [
    "RECIPE",
    "BuildError",
    "assembly",
    "compile_module",
    "in_parallel",
    "initialize",
    "new_machine",
    "optimised",
    "thread_limit",
]

#: Changed whenever the same text would be compiled into different code.
RECIPE = "3: O2, loop vectoriser, no SLP, pic, small"


class BuildError(RuntimeError):
    """A kernel's text is not one the compiler accepts; always a fault of functrace."""


def thread_limit() -> int:
    """Return how many threads a program may use, the caller's included."""
    if config.threads is not None:
        return max(1, config.threads)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_parallel(work: Callable[[str], bytes], texts: Sequence[str]) -> list[bytes]:
    """Return what ``work`` makes of each text, long ones begun first, on as many threads as wanted.

    The threads are gone when it returns. The first exception, in the order of texts, is raised.
    """
    results: list[Any] = [None] * len(texts)
    left = sorted(range(len(texts)), key=lambda k: len(texts[k]))

    def run() -> None:
        while left:
            try:
                k = left.pop()
            except IndexError:  # another thread was faster
                return
            try:
                results[k] = work(texts[k])
            except BaseException as error:
                results[k] = error
                left.clear()

    helpers = [threading.Thread(target=run) for _ in range(min(thread_limit(), len(texts)) - 1)]
    for helper in helpers:
        helper.start()
    try:
        run()
    finally:
        left.clear()
        for helper in helpers:
            helper.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@lru_cache(maxsize=1)
def initialize() -> None:
    """Make LLVM's target for this CPU known."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def new_machine() -> Any:
    """Return LLVM's description of this very CPU, as a target machine."""
    import llvmlite.binding as llvm

    initialize()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        codemodel="small",
    )


#: Machines that no thread uses now: making one takes as long as compiling a small kernel.
_idle: list[Any] = []


@contextlib.contextmanager
def _borrowed() -> Iterator[Any]:
    try:
        machine = _idle.pop()
    except IndexError:
        machine = new_machine()
    try:
        yield machine
    finally:
        _idle.append(machine)


def assembly(text: str) -> str:
    """Return the target's assembly for a module of LLVM text, as compiled for this CPU."""
    with _borrowed() as machine, optimised(text, machine) as module:
        return str(machine.emit_assembly(module))


def compile_module(text: str) -> bytes:
    """Return the object code of a module of LLVM text.

    Raises:
        BuildError: the text does not parse or verify.
    """
    with _borrowed() as machine, optimised(text, machine) as module:
        return _emitted(module, machine)


@contextlib.contextmanager
def optimised(text: str, machine: Any) -> Iterator[Any]:
    """Yield the module of a text, verified and optimised; nothing of it is left afterwards.

    Raises:
        BuildError: the text does not parse or verify.
    """
    import llvmlite.binding as llvm

    # LLVM keeps types and constants for as long as their context: each kernel has its own.
    with llvm.create_context() as context:
        try:
            module = llvm.parse_assembly(text, context)
            module.verify()
        except RuntimeError as error:
            raise BuildError(f"LLVM rejects a kernel: {error}") from None
        with module:
            _optimise(module, machine)
            yield module


def _optimise(module: Any, machine: Any) -> None:
    import llvmlite.binding as llvm

    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    # O3 adds loop unswitching: a reduction takes twice as long to compile and runs no faster.
    options = llvm.create_pipeline_tuning_options(2)
    options.loop_vectorization = True
    # SLP takes hundreds of milliseconds on long straight-line bodies and gains nothing there.
    options.slp_vectorization = False
    with llvm.create_pass_builder(machine, options) as builder:
        passes = builder.getModulePassManager()
        _unlocked(llvm.ffi.lib.LLVMPY_RunNewModulePassManager)(passes, module, builder)
        # llvmlite's close() does nothing for pass managers, which hold a quarter of a megabyte.
        llvm.newpassmanagers.NewPassManager._dispose(passes)
        passes.detach()


def _emitted(module: Any, machine: Any) -> bytes:
    import llvmlite.binding as llvm

    lib = llvm.ffi.lib
    with llvm.ffi.OutputString() as message:
        emit = _unlocked(lib.LLVMPY_TargetMachineEmitToMemory)
        buffer = emit(machine, module, 1, message)
        if not buffer:
            raise BuildError(f"LLVM has no code for a kernel: {message}")
    try:
        return ctypes.string_at(lib.LLVMPY_GetBufferStart(buffer), lib.LLVMPY_GetBufferSize(buffer))
    finally:
        lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _unlocked(function: Any) -> Any:
    """Return a function of llvmlite's library as it is without the lock around it, if there is."""
    return getattr(function, "_cfn", function)
