"""A key as one number, and the stream of bits that belongs to it.

Inside this folder a key is *packed*: a uint64, so that a scalar program holds it in a register.
Its stream is ``threefry2x32(key, 0), threefry2x32(key, 1), ...``; the same numbers are its
children, which is why a key is used once: to draw, or to split.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from functrace import lax
from functrace.ops.fused import fma
from functrace.ops.random_bits import UINT64, threefry2x32

__all__ = ["as_line", "children", "counters", "fused", "pack", "random_bits", "unit", "unpack"]

F = TypeVar("F", bound=Callable[..., Any])


def pack(key: Any) -> Any:
    """Return keys of shape (..., 2) as uint64 of shape (...)."""
    upper, lower = (
        lax.convert_element_type(lax.index_in_dim(key, i, -1, keepdims=False), UINT64)
        for i in range(2)
    )
    return lax.bitwise_or(lax.shift_left(upper, 32), lower)


def unpack(blocks: Any) -> Any:
    """Return packed keys of shape (...) as uint32 of shape (..., 2)."""
    words = [lax.shift_right_logical(blocks, 32), blocks]
    return lax.stack([lax.convert_element_type(w, np.uint32) for w in words], -1)


def children(key: Any, count: int = 2) -> list[Any]:
    """Return the first children of a packed key: those that ``split`` gives, one by one."""
    return [threefry2x32(key, UINT64.type(i)) for i in range(count)]


def counters(shape: tuple[int, ...]) -> Any:
    """Return 0, 1, 2, ... in this shape."""
    if shape == ():
        return UINT64.type(0)
    size = math.prod(shape)
    # Counters of 32 bits have an upper word that is 0, and is known to be when it is compiled.
    line = lax.iota(np.uint32 if size <= 2**32 else UINT64, size)
    return lax.reshape(lax.convert_element_type(line, UINT64), shape)


def as_line(draw: F) -> F:
    """Make a function of a key, a shape and more draw a line of numbers, and bend it in the end.

    The numbers are the same; the loops are longer, and nothing on the way is stored.
    """

    @functools.wraps(draw)
    def drawn(key: Any, shape: tuple[int, ...], *args: Any) -> Any:
        if len(shape) < 2:
            return draw(key, shape, *args)
        return lax.reshape(draw(key, (math.prod(shape),), *args), shape)

    return drawn  # type: ignore[return-value]


def random_bits(key: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    """Return random values of an unsigned dtype from a packed key."""
    blocks = threefry2x32(key, counters(shape))
    if dtype == UINT64:
        return blocks
    # Fewer bits than a block has: its words, one over the other, cut.
    folded = lax.bitwise_xor(blocks, lax.shift_right_logical(blocks, 32))
    return lax.convert_element_type(folded, dtype)


def unit(key: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    """Return floats in [0, 1), uniform on the multiples of the dtype's epsilon.

    The bits become the fraction of a number from 1 to 2, which is one instruction less than a
    conversion, on every machine in vectors, and as exact.
    """
    word = np.dtype(f"u{dtype.itemsize}")
    one = np.ones((), dtype).view(word)[()]
    fraction = lax.shift_right_logical(
        random_bits(key, word, shape), 8 * word.itemsize - np.finfo(dtype).nmant
    )
    return lax.bitcast_convert_type(lax.bitwise_or(fraction, one), dtype) - dtype.type(1)


def fused(x: Any, y: Any, z: Any) -> Any:
    """Return ``x * y + z`` as XLA computes it on CPUs, with one rounding; float16 has two."""
    dtype = next(a.dtype for a in (x, y, z) if hasattr(a, "dtype"))
    return x * y + z if dtype == np.float16 else fma(x, y, z)
