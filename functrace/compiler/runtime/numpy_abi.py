"""What machine code may know of NumPy's and Python's objects, checked before it is relied on."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from functrace.compiler.ir.convention import MEMORY_DTYPES

__all__ = ["layout_is_known", "memory_handler", "numpy_api"]

# Places in NumPy's table of C functions: its ABI.
_PLACES = {
    "array_type": 2,
    "new_scalar": 60,
    "new_copy": 85,
    "new_array": 94,
    "set_handler": 304,
    "functions": 365,
}
#: The capsule keeps the pointer, so the name must live as long.
_HANDLER_NAME = ctypes.c_char_p(b"mem_handler")


def numpy_api() -> dict[str, int]:
    module = importlib.import_module("numpy._core._multiarray_umath")
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    table = ctypes.cast(pointer(module._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return {name: table[place] or 0 for name, place in _PLACES.items()}


def memory_handler(address: int, api: Mapping[str, int]) -> dict[str, int]:
    """Return the handler object for large results, or 0 when NumPy does not take it."""
    if not address or not api:
        return {"handler": 0}
    make = ctypes.pythonapi.PyCapsule_New
    make.restype = ctypes.c_void_p
    make.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    # Arrays outlive everything else, so the capsule's one reference is never given back.
    handler: int = make(address, _HANDLER_NAME, None)
    exchange = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)(api["set_handler"])
    usual = exchange(handler)
    try:
        array = np.empty(3)
    finally:
        exchange(id(usual))
    try:
        multiarray = importlib.import_module("numpy._core.multiarray")
        accepted = multiarray.get_handler_name(array) == "functrace"
    except (AttributeError, ImportError):
        accepted = False
    return {"handler": handler if accepted else 0}


def layout_is_known() -> bool:
    """Compare what the builtin would read from objects with what Python says of them."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    try:
        return (
            numpy_api()["array_type"] == id(np.ndarray)
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
