"""What the Numba source of a kernel calls `rt`: memory behind addresses, halves, C functions.

Imports Numba; nothing else in the package does, so import it only where kernels are compiled by it.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from functrace.compiler.ir.vecmath import EXTERNS

function = numba.njit(error_model="numpy", forceinline=True)
kernel = numba.cfunc(
    types.int64(types.int64, types.int64, types.int64, types.int64), error_model="numpy"
)


@intrinsic
def _pointer(typingctx: Any, address: Any) -> Any:
    """An integer address as a `void*`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(address), codegen


def _memory(dtype: type) -> Any:
    # A negative index is moved by the length, times the item size: 2**64, which is nothing.
    length = (2**64 // np.dtype(dtype).itemsize + 2**63) % 2**64 - 2**63

    @numba.njit(forceinline=True)
    def at(address: Any) -> Any:
        return numba.carray(_pointer(address), (length,), dtype)  # type: ignore[attr-defined,call-arg]  # numba's stubs

    return at


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


@function
def half_load(bits: Any) -> Any:
    """The float32 equal to the float16 with these bits."""
    word = np.uint32(bits)
    sign = np.uint32(word & np.uint32(0x8000)) << np.uint32(16)
    rest = np.uint32(word & np.uint32(0x7FFF))
    # Scaling by 2**112 moves half's exponents, subnormal ones included, to float32's.
    finite = np.uint32(rest << np.uint32(13)).view(np.float32) * np.float32(2.0**112)
    special = np.uint32(np.uint32(0x7F800000) | np.uint32(rest << np.uint32(13)))
    size = special if rest >= np.uint32(0x7C00) else np.float32(finite).view(np.uint32)
    return np.uint32(np.uint32(sign) | size).view(np.float32)


@function
def half_store(value: Any) -> Any:
    """The bits of the float16 nearest to a float32, ties to even."""
    word = np.float32(value).view(np.uint32)
    sign = np.uint32(np.uint32(word >> np.uint32(16)) & np.uint32(0x8000))
    rest = np.uint32(word & np.uint32(0x7FFFFFFF))
    if rest > np.uint32(0x7F800000):
        payload = np.uint32(np.uint32(rest >> np.uint32(13)) & np.uint32(0x3FF))
        return np.uint16(np.uint32(sign | np.uint32(0x7E00)) | payload)
    if rest >= np.uint32(0x47800000):
        return np.uint16(np.uint32(sign | np.uint32(0x7C00)))
    if rest < np.uint32(0x38800000):
        # Adding 0.5 makes float32's last place half's last subnormal place.
        moved = np.uint32(rest).view(np.float32) + np.float32(0.5)
        place = np.uint32(np.float32(moved).view(np.uint32) - np.uint32(0x3F000000))
        return np.uint16(sign | place)
    odd = np.uint32(np.uint32(rest >> np.uint32(13)) & np.uint32(1))
    rounded = np.uint32(np.uint32(rest - np.uint32(0x37FFF001)) + odd)
    return np.uint16(np.uint32(sign | np.uint32(rounded >> np.uint32(13))))


@function
def half_round(value: Any) -> Any:
    """A float32 rounded to what a float16 holds."""
    return half_load(half_store(value))


@intrinsic
def fma(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return x(x, y, z), codegen


def _extern(name: str) -> Any:
    signature = types.float64(*[types.float64] * EXTERNS[name])
    return types.ExternalFunction(name, signature)


for _name in EXTERNS:
    globals()[_name] = _extern(_name)
