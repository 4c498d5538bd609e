"""Random bits from a key and a counter: Threefry-2x32 with 20 rounds, and bit casts.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Two words
of 32 bits, a block, travel as one uint64, the first word in its upper half: so the cipher is an
element-wise function of a key and a counter, and a stream of numbers is that function of an iota.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.lowering import Elementwise
from functrace.dtypes import canonical_dtype
from functrace.errors import DTypeError, compose
from functrace.ops.families import REAL, nary, unary

__all__ = ["bitcast_convert_type", "threefry2x32"]

# --- threefry ----------------------------------------------------------------------------------

UINT32, UINT64 = np.dtype(np.uint32), np.dtype(np.uint64)
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = UINT32.type(0x1BD11BDA)  # of the key schedule


def _threefry_impl(key: Any, counter: Any) -> Any:
    """Compute on arrays of at least one axis: NumPy warns when its scalars wrap."""
    shape = np.broadcast_shapes(np.shape(key), np.shape(counter))
    key, counter = np.atleast_1d(np.asarray(key, UINT64), np.asarray(counter, UINT64))
    first, second = _words(key)
    schedule = (first, second, first ^ second ^ _PARITY)
    x, y = (np.array(np.broadcast_to(word, shape or 1)) for word in _words(counter))
    x += schedule[0]
    y += schedule[1]
    for group in range(5):
        for amount in _ROTATIONS[group % 2]:
            x += y
            y = x ^ ((y << amount) | (y >> (32 - amount)))
        x += schedule[(group + 1) % 3]
        y += schedule[(group + 2) % 3] + UINT32.type(group + 1)
    return ((x.astype(UINT64) << 32) | y).reshape(shape)[()]


def _words(block: Any) -> tuple[Any, Any]:
    """Return the upper and the lower half of blocks."""
    return (block >> 32).astype(UINT32), block.astype(UINT32)


def _threefry_lowering(b: Any, key: Any, counter: Any) -> Any:
    def word(block: Any, place: int) -> Any:
        return b.cast(b.shr_logical(block, place), UINT32)

    first, second = word(key, 32), word(key, 0)
    schedule = (first, second, b.xor(b.xor(first, second), _PARITY))
    x = b.add(word(counter, 32), schedule[0])
    # A sum as digits and carries: as ``add`` LLVM would follow a loop's counter through the sums
    # of all rounds, to reduce their strength, and compile 30 times as long.
    low = word(counter, 0)
    y = b.add(b.xor(low, schedule[1]), b.shl(b.and_(low, schedule[1]), 1))
    for group in range(5):
        for amount in _ROTATIONS[group % 2]:
            x = b.add(x, y)
            y = b.xor(x, b.or_(b.shl(y, amount), b.shr_logical(y, 32 - amount)))
        x = b.add(x, schedule[(group + 1) % 3])
        # The key's word and the number of the group are added first: they are loop-invariant.
        y = b.add(y, b.add(schedule[(group + 2) % 3], group + 1))
    return b.or_(b.shl(b.cast(x, UINT64), 32), b.cast(y, UINT64))


def _only_blocks(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    if dtypes[0] != UINT64:
        raise DTypeError(f"threefry2x32 got operands of {dtypes[0]}; they are uint64.")
    return UINT64


threefry2x32_p = nary(
    "threefry2x32",
    _threefry_impl,
    "u",
    Elementwise(_threefry_lowering),
    out_dtype=_only_blocks,
    not_differentiable="integer output",
)


def threefry2x32(key: Any, counter: Any) -> Any:
    """The 64 random bits that a key gives a counter; both are uint64, two words in one."""
    return threefry2x32_p.bind(key, counter)


# --- bit casts ---------------------------------------------------------------------------------


def _bitcast_impl(x: Any, *, new_dtype: np.dtype[Any]) -> Any:
    return np.asarray(x).view(new_dtype)[()]


def _bitcast_dtype(dtype: np.dtype[Any], *, new_dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.itemsize != new_dtype.itemsize or new_dtype.kind not in REAL:
        raise DTypeError(
            compose(
                f"bitcast_convert_type got an operand of dtype {dtype} for {new_dtype}.",
                "both are real numbers, and of one size.",
                "convert_element_type, which keeps the values.",
            )
        )
    return new_dtype


bitcast_convert_type_p = unary(
    "bitcast_convert_type",
    _bitcast_impl,
    REAL,
    Elementwise(lambda b, x, new_dtype: b.bitcast(x, new_dtype)),
    out_dtype=_bitcast_dtype,
    not_differentiable="bits have no derivative",
)


def bitcast_convert_type(x: Any, new_dtype: Any) -> Any:
    """The same bits read as another dtype of the same size."""
    return bitcast_convert_type_p.bind(x, new_dtype=canonical_dtype(new_dtype))
