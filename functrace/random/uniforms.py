"""Evenly spread numbers: bits, floats of an interval, integers of a range, signs and booleans."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace import lax
from functrace.errors import DTypeError
from functrace.random.sampler import inexact, sampler
from functrace.random.streams import children, fused, random_bits, unit

__all__ = ["bernoulli", "between", "bits", "integers", "rademacher", "randint", "signs", "uniform"]

Shape = tuple[int, ...]
DType = np.dtype[Any]


@sampler("u")
def bits(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw unsigned integers of which every bit is a coin toss.

    Args:
        key: the key.
        shape: the shape of the result.
        dtype: an unsigned dtype; uint64 by default.

    Example:
        >>> from functrace import random
        >>> bits(random.key(0), (2,), np.uint8)
        array([167, 146], dtype=uint8)
    """
    return random_bits(key, dtype, shape)


# --- floats ------------------------------------------------------------------------------------


def between(key: Any, shape: Shape, dtype: DType, low: Any, high: Any) -> Any:
    """Return floats in [low, high) from a packed key; the ends are of the dtype."""
    u = unit(key, dtype, shape)
    # One rounding, as JAX's compiler has it; and never below ``low`` by another.
    scaled = fused(u, lax.sub(high, low), low)
    return lax.max(low, scaled)


@sampler("f")
def uniform(
    key: Any, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0
) -> Any:
    """Draw floats evenly from [minval, maxval).

    Args:
        key: the key.
        shape: the shape of the result; ``minval`` and ``maxval`` broadcast to it.
        dtype: a floating dtype; float64 by default.
        minval: the least value.
        maxval: the bound above.

    Example:
        >>> from functrace import random
        >>> uniform(random.key(0), (2,), np.float32)
        array([0.947667 , 0.9785799], dtype=float32)
    """
    return between(key, shape, dtype, minval, maxval)


# --- integers ----------------------------------------------------------------------------------


@sampler("iu")
def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None) -> Any:
    """Draw integers from [minval, maxval).

    Where ``maxval <= minval`` the result is ``minval``. ``maxval`` may be one more than the
    greatest number of the dtype. Ranges of no power of 2 are uneven by at most the length of the
    range over 2**(2 n) for a dtype of n bits.

    Args:
        key: the key.
        shape: the shape of the result; ``minval`` and ``maxval`` broadcast to it.
        minval: the least integer.
        maxval: the bound above.
        dtype: an integer dtype; int64 by default.

    Example:
        >>> from functrace import random
        >>> randint(random.key(0), (3,), 0, 10)
        array([5, 1, 5])
    """
    for end in (minval, maxval):
        if end.dtype.kind not in "iu":
            raise DTypeError(f"random.randint got an end of the range of dtype {end.dtype}.")
    if dtype.itemsize >= 4:
        return integers(key, shape, minval, maxval, dtype)
    # 16 bits, twice, would be uneven enough to notice.
    info = np.iinfo(dtype)
    low, high = _inside(minval, info.min, info.max), _inside(maxval, info.min, info.max + 1)
    low, high = (lax.convert_element_type(x, np.int32) for x in (low, high))
    return lax.convert_element_type(integers(key, shape, low, high, np.dtype(np.int32)), dtype)


def integers(key: Any, shape: Shape, minval: Any, maxval: Any, dtype: DType) -> Any:
    """Return integers in [minval, maxval) from a packed key: twice their bits modulo the span."""
    info = np.iinfo(dtype)
    low, high = (
        lax.convert_element_type(_inside(x, info.min, info.max), dtype) for x in (minval, maxval)
    )
    word = np.dtype(f"u{dtype.itemsize}")
    upper, lower = (random_bits(child, word, shape) for child in children(key))
    some = lax.gt(high, low)
    span = lax.select(some, lax.convert_element_type(high - low, word), word.type(1))
    beyond = lax.bitwise_and(some, _exceeds(maxval, info.max))
    span = span + lax.convert_element_type(beyond, word)
    # ``upper * 2**n + lower`` modulo the span, in numbers of n bits.
    half = lax.rem(word.type(1 << (4 * word.itemsize)), span)
    factor = lax.rem(half * half, span)
    offset = lax.rem(lax.rem(upper, span) * factor + lax.rem(lower, span), span)
    # The span of all numbers has wrapped to 0.
    offset = lax.select(lax.eq(span, word.type(0)), lower, offset)
    return low + lax.convert_element_type(offset, dtype)


def _inside(x: Any, least: int, greatest: int) -> Any:
    """Return integers moved into a range."""
    mine = np.iinfo(x.dtype)
    return lax.clamp(max(mine.min, least), x, min(mine.max, greatest))


def _exceeds(x: Any, greatest: int) -> Any:
    """Tell which integers are greater than one, which their dtype may not have."""
    return lax.gt(x, greatest) if greatest < np.iinfo(x.dtype).max else lax.ne(x, x)


# --- booleans and signs ------------------------------------------------------------------------


@sampler(static="mode")
def bernoulli(key: Any, p: Any = 0.5, shape: Any = None, mode: str = "low") -> Any:
    """Draw booleans that are True with probability ``p``.

    Args:
        key: the key.
        p: the probability; its dtype is that of the numbers it is compared with.
        shape: the shape of the result; by default that of ``p``.
        mode: ``"high"`` draws twice the bits, for probabilities below 1e-7 in float32.

    Example:
        >>> from functrace import random
        >>> bernoulli(random.key(0), 0.25, (4,))
        array([False,  True, False, False])
    """
    if mode not in ("high", "low"):
        raise ValueError(f"random.bernoulli got mode={mode!r}; it is 'high' or 'low'.")
    p = inexact(p, "p of random.bernoulli")
    if mode == "low":
        return lax.lt(unit(key, p.dtype, shape), p)
    u = unit(key, p.dtype, (2, *shape))
    coarse, fine = (lax.index_in_dim(u, i, 0, keepdims=False) for i in range(2))
    return lax.lt(fine * float(np.finfo(p.dtype).eps), lax.sub(p, coarse))


@sampler("ifuc")
def rademacher(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw -1 and 1, each half of the times.

    Args:
        key: the key.
        shape: the shape of the result.
        dtype: the dtype; int64 by default.

    Example:
        >>> from functrace import random
        >>> rademacher(random.key(0), (4,))
        array([ 1,  1, -1, -1])
    """
    return signs(key, shape, dtype)


def signs(key: Any, shape: Shape, dtype: DType) -> Any:
    """Return -1 and 1 from a packed key."""
    heads = lax.lt(unit(key, np.dtype(np.float64), shape), 0.5)
    return lax.select(heads, dtype.type(1), dtype.type(-1) if dtype.kind != "u" else ~dtype.type(0))
