"""Keys: made from a seed, split, folded with data. A key is an array of two uint32."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from functrace import lax
from functrace.control.jit import jit
from functrace.core.trace import Tracer
from functrace.errors import DTypeError, ShapeError, compose
from functrace.ops.random_bits import UINT64, threefry2x32
from functrace.random.streams import counters, pack, unpack

__all__ = [
    "PRNGKey",
    "checked_key",
    "clone",
    "fold_in",
    "key",
    "key_data",
    "key_impl",
    "split",
    "wrap_key_data",
]

UINT32 = np.dtype(np.uint32)
_IMPL = "threefry2x32"


def checked_key(name: str, key: Any, single: bool = True) -> Any:
    """Return a key, or an array of keys; raise when it isn't one."""
    dtype, shape = getattr(key, "dtype", None), np.shape(key)
    if dtype != UINT32 or not shape or shape[-1] != 2:
        found = f"{dtype}{list(shape)}" if dtype is not None else type(key).__name__
        raise DTypeError(
            compose(
                f"random.{name} got a key of type {found}.",
                "a key is an array uint32[2].",
                "random.key(seed), or one of random.split(key).",
            )
        )
    if single and len(shape) != 1:
        raise ShapeError(
            compose(
                f"random.{name} got an array of keys of shape {shape[:-1]}.",
                "it takes one key.",
                f"vmap(lambda key: random.{name}(key, ...))(keys)",
            )
        )
    return key


# --- from a seed -------------------------------------------------------------------------------


def key(seed: Any, *, impl: str | None = None) -> Any:
    """Make a key from an integer.

    Args:
        seed: an integer of at most 64 bits, maybe traced.
        impl: ``"threefry2x32"``, the only generator there is, or None.

    Returns:
        An array ``uint32[2]``: JAX's ``key_data(key(seed))``.

    Raises:
        TypeError: the seed is no integer, or an array.
        OverflowError: the seed has more than 64 bits.

    Example:
        >>> key(42)
        array([ 0, 42], dtype=uint32)
    """
    _check_impl(impl)
    if isinstance(seed, int) and not isinstance(seed, bool):
        seed = np.int64(seed)
    dtype = getattr(seed, "dtype", None)
    if dtype is None or dtype.kind not in "iu" or np.shape(seed) != ():
        found = repr(seed) if dtype is None else f"an array of type {dtype}{list(np.shape(seed))}"
        raise TypeError(
            compose(
                f"random.key got the seed {found}.",
                "a seed is one integer.",
                "vmap(random.key)(seeds) for several keys.",
            )
        )
    return _seeded(seed)


def PRNGKey(seed: Any, *, impl: str | None = None) -> Any:
    """Make a key from an integer; the older name of ``key``.

    Example:
        >>> PRNGKey(-1)
        array([4294967295, 4294967295], dtype=uint32)
    """
    return key(seed, impl=impl)


def _check_impl(impl: Any) -> None:
    if impl not in (None, _IMPL):
        raise ValueError(f"random: unknown generator {impl!r}; there is {_IMPL!r} only.")


@jit
def _seeded(seed: Any) -> Any:
    block = lax.convert_element_type(seed, UINT64)
    # The upper word is of the seed's own bits: a narrow one, negative too, has none.
    return unpack(block if seed.dtype.itemsize == 8 else lax.bitwise_and(block, 0xFFFFFFFF))


# --- from other keys ---------------------------------------------------------------------------


def split(key: Any, num: int | tuple[int, ...] = 2) -> Any:
    """Make new keys from one, which shouldn't be used any more.

    Args:
        key: the key.
        num: how many, or their shape.

    Returns:
        ``uint32`` of shape ``(num, 2)``.

    Example:
        >>> first, second = split(key(0))
        >>> first
        array([1797259609, 2579123966], dtype=uint32)
    """
    shape = tuple(map(operator.index, num if isinstance(num, (tuple, list)) else (num,)))
    if any(n < 0 for n in shape):
        raise ShapeError(f"random.split: num is {num}; it can't be negative.")
    return _split(checked_key("split", key), shape)


def _split_keys(key: Any, shape: tuple[int, ...]) -> Any:
    keys = unpack(threefry2x32(pack(key), counters((math.prod(shape),))))
    return lax.reshape(keys, (*shape, 2))


_split = jit(_split_keys, static_argnums=1)


def fold_in(key: Any, data: Any) -> Any:
    """Make a new key from a key and an integer: ``split(key, n)[i]`` is ``fold_in(key, i)``.

    Args:
        key: the key.
        data: an integer; the lower 32 bits of a traced one are taken.

    Raises:
        OverflowError: a Python integer is negative, or has more than 32 bits.

    Example:
        >>> fold_in(key(0), 1)
        array([ 928981903, 3453687069], dtype=uint32)
    """
    key = checked_key("fold_in", key)
    if isinstance(data, int):
        data = np.uint32(data)
    if getattr(data, "dtype", np.dtype(object)).kind not in "iu" or np.shape(data) != ():
        raise TypeError(
            compose(
                f"random.fold_in got the data {data!r}.",
                "it takes one integer.",
                "vmap(random.fold_in, (None, 0))(key, integers)",
            )
        )
    return _fold_in(key, data)


@jit
def _fold_in(key: Any, data: Any) -> Any:
    count = lax.convert_element_type(lax.convert_element_type(data, UINT32), UINT64)
    return unpack(threefry2x32(pack(key), count))


# --- keys as data ------------------------------------------------------------------------------


def key_data(keys: Any) -> Any:
    """Return the words of keys, which keys are themselves.

    Example:
        >>> key_data(key(1))
        array([0, 1], dtype=uint32)
    """
    return checked_key("key_data", keys, single=False)


def wrap_key_data(key_bits_array: Any, *, impl: str | None = None) -> Any:
    """Return the keys that have these words: the array itself.

    Raises:
        DTypeError: it isn't of dtype uint32, or its last axis has not two elements.
    """
    _check_impl(impl)
    return checked_key("wrap_key_data", key_bits_array, single=False)


def key_impl(keys: Any) -> str:
    """Return the name of the generator of keys: ``"threefry2x32"``."""
    checked_key("key_impl", keys, single=False)
    return _IMPL


def clone(key: Any) -> Any:
    """Return a copy of a key, to say that using it again is meant.

    Example:
        >>> clone(key(1))
        array([0, 1], dtype=uint32)
    """
    key = checked_key("clone", key, single=False)
    return key if isinstance(key, Tracer) else np.array(key)
