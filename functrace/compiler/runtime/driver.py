"""The native driver, loaded: how Python runs step lists and makes builtins of programs.

The builtin reads arrays through NumPy's struct layout; where that is not the known one (another
interpreter, a free-threaded build), programs are called through ctypes instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from functrace.compiler.runtime.build import NativeCode, build, process_symbol
from functrace.compiler.runtime.call_ir import CALL_SYMBOLS
from functrace.compiler.runtime.driver_ir import PYTHON_SYMBOLS, RUN_SYMBOLS, driver_text
from functrace.compiler.runtime.loop_ir import LOOP_ENTRIES
from functrace.compiler.runtime.machine import BuildError, thread_limit
from functrace.compiler.runtime.memory_ir import MEMORY_ENTRIES, MEMORY_SYMBOLS
from functrace.compiler.runtime.mode_ir import MODE_ENTRIES
from functrace.compiler.runtime.numpy_abi import layout_is_known, memory_handler, numpy_api
from functrace.compiler.runtime.pool_ir import POOL_SYMBOLS
from functrace.compiler.runtime.signal_ir import SIGNAL_SYMBOLS
from functrace.config import config, on_change

__all__ = ["Driver", "driver", "portable_calls", "thread_limit"]

_STEP_ENTRIES = ("ft_host", *LOOP_ENTRIES)
_ENTRIES = (
    *(*MODE_ENTRIES, "ft_blocks_free", "ft_pool_limit", "ft_pool_started", "ft_watch_interrupts"),
    *_STEP_ENTRIES,
)
_CALL_ENTRIES = ("ft_call", "ft_into", *MEMORY_ENTRIES)
_FASTCALL = 0x0080

_lock = threading.Lock()
_driver: Driver | None = None
_watcher: Driver | None = None
_portable = os.environ.get("FUNCTRACE_PORTABLE_CALLS", "") not in ("", "0")


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class Driver:
    """The driver's entry points.

    Attributes:
        run: ``run(frame, steps, n) -> status``, all integers; for lists with host steps.
        run_released: the same without the GIL.
        native: whether `builtin` works here.
        api: the NumPy functions that the builtin calls, as addresses.
        step_functions: the addresses of the step functions that are the driver's own.
        limit_helpers: sets how many threads besides the caller's may share a step.
        helpers_started: how many such threads there are.
    """

    def __init__(self) -> None:
        self.native = layout_is_known()
        entries = (*_ENTRIES, *_CALL_ENTRIES) if self.native else _ENTRIES
        self._code: NativeCode = build(
            driver_text(self.native), entries, lambda: _symbols(self.native), forever=True
        )
        addresses = self._code.addresses
        word = ctypes.c_void_p
        # PYFUNCTYPE: the exception of a host step is still set when the driver comes back.
        held = ctypes.PYFUNCTYPE(ctypes.c_int64, word, word, ctypes.c_int64)
        released = ctypes.CFUNCTYPE(ctypes.c_int64, word, word, ctypes.c_int64)
        self.run: Callable[[int, int, int], int] = held(addresses["ft_run_program"])
        self.run_released: Callable[[int, int, int], int] = released(addresses["ft_run_program"])
        self.free_blocks: Callable[[int], None] = ctypes.PYFUNCTYPE(None, word)(
            addresses["ft_blocks_free"]
        )
        self.limit_helpers: Callable[[int], None] = ctypes.PYFUNCTYPE(None, ctypes.c_int64)(
            addresses["ft_pool_limit"]
        )
        self.helpers_started: Callable[[], int] = ctypes.PYFUNCTYPE(ctypes.c_int64)(
            addresses["ft_pool_started"]
        )
        self._flush: Callable[[int], None] = ctypes.PYFUNCTYPE(None, ctypes.c_int64)(
            addresses["ft_flush_subnormals"]
        )
        self._watch: Callable[[], None] = ctypes.PYFUNCTYPE(None)(addresses["ft_watch_interrupts"])
        on_change("threads", lambda: self.limit_helpers(thread_limit() - 1))
        on_change("flush_subnormals", self._follow_flush)
        self._follow_flush()
        self.step_functions = {name: addresses[name] for name in _STEP_ENTRIES}
        self.api = numpy_api() if self.native else {}
        self.api |= memory_handler(addresses.get("ft_memory", 0), self.api)
        self._clear: Callable[[], None] | None = None
        if "ft_shelf_clear" in addresses:
            self._clear = ctypes.PYFUNCTYPE(None)(addresses["ft_shelf_clear"])
        self._methods = {
            name: _MethodDef(name.encode(), addresses.get(f"ft_{name}", 0), _FASTCALL, None)
            for name in ("call", "into")
        }

    def watch_interrupts(self) -> None:
        """Let Ctrl-C stop the calls of the main thread, if this is the main thread.

        Whoever set another handler since then (a debugger does) is put behind ours again. There is
        one driver in a process; a second one, as tests make, mustn't step in front of the first:
        each would hand the signal to the other, for ever.
        """
        global _watcher
        if _watcher is None:
            _watcher = self
        if _watcher is self and threading.current_thread() is threading.main_thread():
            self._watch()

    def _follow_flush(self) -> None:
        self._flush(int(bool(config.flush_subnormals)))

    def free_memory(self) -> None:
        """Give the memory kept for future results back to the system."""
        if self._clear is not None:
            self._clear()

    def builtin(self, name: str, state: tuple[object, ...]) -> Callable[..., Any]:
        """Return the builtin ``call`` or ``into`` of a program.

        Args:
            name: which one.
            state: (header array, raiser, whatever must stay alive...).
        """
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        function: Callable[..., Any] = make(ctypes.addressof(self._methods[name]), state, None)
        return function


def driver() -> Driver:
    """Return the process's driver, loading it the first time."""
    global _driver
    if _driver is None:
        with _lock:
            if _driver is None:
                _driver = Driver()
    return _driver


def free_memory() -> None:
    """Give the memory kept for future results back, if the driver was ever loaded."""
    if _driver is not None:
        _driver.free_memory()


@contextlib.contextmanager
def portable_calls() -> Iterator[None]:
    """Make the programs built inside the block use no builtin; tests hold both ways together."""
    global _portable
    saved, _portable = _portable, True
    try:
        yield
    finally:
        _portable = saved


def builtin_allowed() -> bool:
    """Whether a program built now gets a builtin."""
    return not _portable and driver().native


def _symbols(with_call: bool) -> dict[str, int]:
    found: dict[str, int] = {}
    names = (*RUN_SYMBOLS, *POOL_SYMBOLS, *SIGNAL_SYMBOLS)
    for name in (*names, *(MEMORY_SYMBOLS if with_call else ())):
        address = process_symbol(name)
        if address is None:
            raise BuildError(f"the C library of this platform has no {name}")
        found[name] = address
    if with_call:
        found |= {"ft_none": id(None), "ft_true": id(True)}
    for name in (*PYTHON_SYMBOLS, *(CALL_SYMBOLS if with_call else ())):
        function = getattr(ctypes.pythonapi, name)
        found[name] = ctypes.cast(function, ctypes.c_void_p).value or 0
    return found
