"""What a kernel's source calls `rt` when the interpreter runs it: slow, and as exact."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from functrace.compiler.ir.vecmath import EXTERNS
from functrace.compiler.runtime.build import process_symbol


def function(f: Callable[..., Any]) -> Callable[..., Any]:
    """Scalar functions run as they are."""
    return f


def kernel(f: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel with NumPy's warnings off: compiled code gives none."""

    @functools.wraps(f)
    def run(frame: int, record: int, lo: int, hi: int) -> int:
        with np.errstate(all="ignore"):
            return int(f(frame, record, lo, hi))

    return run


class Memory:
    """An array without ends at an address."""

    def __init__(self, address: int, dtype: type[np.generic]) -> None:
        self.address = int(address)
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    def _cell(self, index: int) -> np.ndarray[Any, Any]:
        size = self.dtype.itemsize
        raw = (ctypes.c_char * size).from_address(self.address + int(index) * size)
        return np.ndarray((1,), self.dtype, buffer=memoryview(raw))

    def __getitem__(self, index: int) -> Any:
        return self._cell(index)[0]

    def __setitem__(self, index: int, value: Any) -> None:
        self._cell(index)[0] = value


def _memory(dtype: type[np.generic]) -> Callable[[int], Memory]:
    return lambda address: Memory(address, dtype)


int8_at = _memory(np.int8)
int16_at = _memory(np.int16)
int32_at = _memory(np.int32)
int64_at = _memory(np.int64)
uint8_at = _memory(np.uint8)
uint16_at = _memory(np.uint16)
uint32_at = _memory(np.uint32)
uint64_at = _memory(np.uint64)
float32_at = _memory(np.float32)
float64_at = _memory(np.float64)


def half_load(bits: Any) -> Any:
    """The float32 equal to the float16 with these bits."""
    return np.float32(np.uint16(bits).view(np.float16))


def half_store(value: Any) -> Any:
    """The bits of the float16 nearest to a float32, ties to even."""
    return np.float16(value).view(np.uint16)


def half_round(value: Any) -> Any:
    """A float32 rounded to what a float16 holds."""
    return np.float32(np.float16(value))


def _fused(name: str, kind: Any) -> Callable[..., Any]:
    return ctypes.CFUNCTYPE(kind, kind, kind, kind)(process_symbol(name) or 0)


_fma64, _fma32 = _fused("fma", ctypes.c_double), _fused("fmaf", ctypes.c_float)


def fma(x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    wide = isinstance(x, float)
    return np.float64(_fma64(x, y, z)) if wide else np.float32(_fma32(x, y, z))


def _extern(name: str) -> Callable[..., np.float64]:
    kind = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_double] * EXTERNS[name])
    raw = kind(process_symbol(name) or 0)
    return lambda *args: np.float64(raw(*map(float, args)))


for _name in EXTERNS:
    globals()[_name] = _extern(_name)
