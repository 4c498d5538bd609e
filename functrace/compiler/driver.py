"""The native driver, loaded: how Python runs step lists and makes builtins of programs.

The builtin reads arrays through NumPy's struct layout. That layout is checked against Python's own
view of several arrays and scalars before it is first relied on; where the check fails (another
interpreter, a free-threaded build), programs are called through ctypes instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from functrace.compiler.build import BuildError, NativeCode, build, process_symbol
from functrace.compiler.call_ir import CALL_SYMBOLS
from functrace.compiler.driver_ir import PYTHON_SYMBOLS, RUN_SYMBOLS, driver_text
from functrace.compiler.kernel import MEMORY_DTYPES
from functrace.compiler.loop_ir import LOOP_ENTRIES
from functrace.compiler.pool_ir import POOL_SYMBOLS
from functrace.config import config

__all__ = ["Driver", "driver", "portable_calls", "thread_limit"]

_STEP_ENTRIES = ("ft_host", *LOOP_ENTRIES)
_ENTRIES = ("ft_run", "ft_blocks_free", "ft_pool_limit", "ft_pool_started", *_STEP_ENTRIES)
_FASTCALL = 0x0080
# Places in NumPy's table of C functions (its ABI, fixed since 1.7).
_API_ARRAY_TYPE, _API_NEW_SCALAR, _API_NEW_ARRAY = 2, 60, 94

_lock = threading.Lock()
_driver: Driver | None = None
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
        self.native = _layout_is_known()
        entries = (*_ENTRIES, "ft_call") if self.native else _ENTRIES
        self._code: NativeCode = build(
            driver_text(self.native), entries, lambda: _symbols(self.native), forever=True
        )
        addresses = self._code.addresses
        word = ctypes.c_void_p
        # PYFUNCTYPE: the exception of a host step is still set when the driver comes back.
        held = ctypes.PYFUNCTYPE(ctypes.c_int64, word, word, ctypes.c_int64)
        released = ctypes.CFUNCTYPE(ctypes.c_int64, word, word, ctypes.c_int64)
        self.run: Callable[[int, int, int], int] = held(addresses["ft_run"])
        self.run_released: Callable[[int, int, int], int] = released(addresses["ft_run"])
        self.free_blocks: Callable[[int], None] = ctypes.PYFUNCTYPE(None, word)(
            addresses["ft_blocks_free"]
        )
        self.limit_helpers: Callable[[int], None] = ctypes.PYFUNCTYPE(None, ctypes.c_int64)(
            addresses["ft_pool_limit"]
        )
        self.helpers_started: Callable[[], int] = ctypes.PYFUNCTYPE(ctypes.c_int64)(
            addresses["ft_pool_started"]
        )
        self.step_functions = {name: addresses[name] for name in _STEP_ENTRIES}
        self.api = _numpy_api() if self.native else {}
        self._method = _MethodDef(b"call", addresses.get("ft_call", 0), _FASTCALL, None)

    def builtin(self, state: tuple[object, ...]) -> Callable[..., Any]:
        """Return a builtin over ``state``: (header array, raiser, what must stay alive...)."""
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        function: Callable[..., Any] = make(ctypes.addressof(self._method), state, None)
        return function


def driver() -> Driver:
    """Return the process's driver, loading it the first time."""
    global _driver
    if _driver is None:
        with _lock:
            if _driver is None:
                _driver = Driver()
    return _driver


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


def thread_limit() -> int:
    """Return how many threads a program may use, the caller's included."""
    if config.threads is not None:
        return max(1, config.threads)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _symbols(with_call: bool) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in (*RUN_SYMBOLS, *POOL_SYMBOLS):
        address = process_symbol(name)
        if address is None:
            raise BuildError(f"the C library of this platform has no {name}")
        found[name] = address
    if with_call:
        found["ft_none"] = id(None)
    for name in (*PYTHON_SYMBOLS, *(CALL_SYMBOLS if with_call else ())):
        function = getattr(ctypes.pythonapi, name)
        found[name] = ctypes.cast(function, ctypes.c_void_p).value or 0
    return found


def _numpy_api() -> dict[str, int]:
    module = importlib.import_module("numpy._core._multiarray_umath")
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    table = ctypes.cast(pointer(module._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return {
        "array_type": table[_API_ARRAY_TYPE] or 0,
        "new_array": table[_API_NEW_ARRAY] or 0,
        "new_scalar": table[_API_NEW_SCALAR] or 0,
    }


def _layout_is_known() -> bool:
    """Compare what the builtin would read from objects with what Python says of them."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    try:
        return (
            _numpy_api()["array_type"] == id(np.ndarray)
            and all(map(_array_reads_right, _sample_arrays()))
            and all(map(_scalar_reads_right, _sample_scalars()))
            and _tuple_reads_right()
        )
    except (AttributeError, ImportError, KeyError, TypeError, ValueError):
        return False


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _array_reads_right(array: np.ndarray[Any, Any]) -> bool:
    at = id(array)
    ndim = ctypes.c_int32.from_address(at + 24).value
    flags = ctypes.c_int32.from_address(at + 64).value
    return (
        _word(at + 8) == id(type(array))
        and _word(at + 16) == array.ctypes.data
        and ndim == array.ndim
        and tuple(_word(_word(at + 32) + 8 * k) for k in range(ndim)) == array.shape
        and _word(at + 56) == id(array.dtype)
        and ctypes.c_int32.from_address(id(array.dtype) + 28).value == array.dtype.num
        and ctypes.string_at(id(array.dtype) + 26, 1) == array.dtype.byteorder.encode()
        and bool(flags & 1) == array.flags.c_contiguous
        and bool(flags & 256) == array.flags.aligned
    )


def _sample_arrays() -> list[np.ndarray[Any, Any]]:
    base = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    misaligned = np.frombuffer(bytes(17), np.uint8)[1:].view(np.float64)
    return [
        base,
        base.T,
        base[:, 1],
        base[::-1],
        np.array(3),
        np.zeros((0, 5), bool),
        misaligned,
        base.astype(">f4"),
    ]


def _sample_scalars() -> list[Any]:
    scalars: list[Any] = [dtype.type(1.0) for dtype in MEMORY_DTYPES]
    return [*scalars, -2.5, 1.5 - 2j]


def _scalar_reads_right(scalar: Any) -> bool:
    value = np.asarray(scalar)
    at = id(scalar)
    held = ctypes.string_at(at + 16, value.dtype.itemsize)
    return _word(at + 8) == id(type(scalar)) and held == value.tobytes()


def _tuple_reads_right() -> bool:
    first, second = object(), object()
    pair = (first, second)
    at = id(pair) + tuple.__basicsize__
    return _word(at) == id(first) and _word(at + 8) == id(second)
