"""Choosing: permutations, elements of arrays, categories."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np

from functrace import lax
from functrace import numpy as fnp
from functrace.control.jit import jit
from functrace.core.aval import shape_of
from functrace.errors import ShapeError, compose
from functrace.numpy.dispatching import normalize_axis, operand
from functrace.random import xla_math
from functrace.random.continuous import gumbels
from functrace.random.keys import checked_key
from functrace.random.sampler import checked_shape, inexact, result_shape, sampler
from functrace.random.streams import children, pack, random_bits, unit
from functrace.random.uniforms import integers

__all__ = ["categorical", "choice", "permutation"]

Shape = tuple[int, ...]

# --- permutations ------------------------------------------------------------------------------


def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Any:
    """Return the elements along an axis in random order.

    Args:
        key: the key.
        x: an array; or an integer n, for the numbers from 0 to n - 1.
        axis: the axis.
        independent: whether each line along the axis has an order of its own.

    Example:
        >>> from functrace import random
        >>> permutation(random.key(0), 5)
        array([0, 1, 4, 3, 2])
    """
    checked_key("permutation", key)
    x = operand(x, "x of random.permutation")
    if shape_of(x) == ():
        axis = normalize_axis(axis, 1)
        return _permuted_numbers(key, operator.index(x))
    return _permuted(key, x, normalize_axis(axis, x.ndim), bool(independent))


@functools.partial(jit, static_argnums=1)
def _permuted_numbers(key: Any, count: int) -> Any:
    return shuffled(pack(key), lax.iota(np.int64, count), 0)


@functools.partial(jit, static_argnums=(2, 3))
def _permuted(key: Any, x: Any, axis: int, independent: bool) -> Any:
    return permuted(pack(key), x, axis, independent)


def permuted(key: Any, x: Any, axis: int, independent: bool) -> Any:
    """Return the elements along an axis in random order, from a packed key."""
    if independent or len(x.shape) == 1:
        return shuffled(key, x, axis)
    order = shuffled(key, lax.iota(np.int64, x.shape[axis]), 0)
    return fnp.take(x, order, axis)


def shuffled(key: Any, x: Any, axis: int) -> Any:
    """Sort by random numbers of 32 bits, as often as makes ties all the time improbable.

    With k rounds two elements keep their order by chance alone once in 2**(32 k); for n**3 below
    that, all n elements do hardly ever.
    """
    size = max(1, math.prod(x.shape))
    for _ in range(math.ceil(3 * math.log(size) / math.log(2**32 - 1))):
        key, child = children(key)
        _, x = lax.sort((random_bits(child, np.dtype(np.uint32), x.shape), x), axis, num_keys=1)
    return x


# --- choice ------------------------------------------------------------------------------------


def choice(
    key: Any,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: str | None = None,
) -> Any:
    """Choose elements of an array at random.

    Args:
        key: the key.
        a: an array; or an integer n, for the numbers from 0 to n - 1.
        shape: the shape of what is chosen.
        replace: whether an element can be chosen again.
        p: the probabilities of the elements; all the same by default.
        axis: along which axis of ``a`` the elements lie.
        mode: that of ``gumbel``, which draws without replacement by probabilities.

    Raises:
        ValueError: more are asked for, without replacement, than there are.

    Example:
        >>> from functrace import random
        >>> choice(random.key(0), np.array([1.5, 2.5, 3.5]), (4,))
        array([1.5, 3.5, 3.5, 3.5])
    """
    checked_key("choice", key)
    shape = checked_shape("choice", shape)
    a = operand(a, "a of random.choice")
    whole = shape_of(a) == ()
    if not whole:
        axis = normalize_axis(axis, a.ndim)
    count = operator.index(a) if whole else a.shape[axis]
    _check_choice(count, math.prod(shape), replace)
    if math.prod(shape) == 0:
        return np.zeros(shape, a.dtype)
    if p is not None:
        p = inexact(p, "p of random.choice")
        if shape_of(p) != (count,):
            raise ShapeError(
                f"random.choice: p has shape {shape_of(p)}; there are {count} elements."
            )
    return _choice(key, None if whole else a, p, count, shape, bool(replace), axis, mode)


def _check_choice(count: int, draws: int, replace: bool) -> None:
    if draws and count <= 0:
        raise ValueError("random.choice: there is nothing to choose from.")
    if draws > count and not replace:
        raise ValueError(
            compose(
                f"random.choice got {draws} elements to choose from {count} without replacement.",
                "there are too few.",
                "replace=True",
            )
        )


@functools.partial(jit, static_argnums=(3, 4, 5, 6, 7))
def _choice(
    key: Any, a: Any, p: Any, count: int, shape: Shape, replace: bool, axis: int, mode: str | None
) -> Any:
    key, draws = pack(key), math.prod(shape)
    if p is None and not replace:
        if a is None:
            chosen = shuffled(key, lax.iota(np.int64, count), 0)
            return lax.reshape(lax.slice_in_dim(chosen, 0, draws), shape)
        chosen = lax.slice_in_dim(permuted(key, a, axis, False), 0, draws, axis=axis)
        return lax.reshape(chosen, (*a.shape[:axis], *shape, *a.shape[axis + 1 :]))
    if p is None:
        index = integers(key, shape, np.int64(0), np.int64(count), np.dtype(np.int64))
    elif replace:
        total = fnp.cumsum(p)
        bound = total[-1] * (1 - unit(key, p.dtype, shape))
        index = fnp.searchsorted(total, bound)
    else:
        _, best = lax.top_k(gumbels(key, (count,), p.dtype, mode) + xla_math.log(p), draws)
        index = lax.reshape(lax.convert_element_type(best, np.int64), shape)
    return index if a is None else fnp.take(a, index, axis)


# --- categories --------------------------------------------------------------------------------


@sampler("i", static="axis replace mode", pointwise=False)
def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: Any = None,
    replace: bool = True,
    mode: str | None = None,
) -> Any:
    """Draw numbers of categories from the logarithms of their probabilities.

    Args:
        key: the key.
        logits: the logarithms, up to a constant.
        axis: along which axis the categories lie.
        shape: the shape of the result, which ends with that of ``logits`` without ``axis``, or
            what it broadcasts to; by default just that.
        replace: whether, in what ``shape`` has before, a category can come again.
        mode: that of ``gumbel``.

    Raises:
        ValueError: more are asked for, without replacement, than there are.

    Example:
        >>> from functrace import random
        >>> categorical(random.key(0), np.log([0.1, 0.1, 0.8]), shape=(4,))
        array([2, 2, 2, 1])
    """
    logits = inexact(logits, "logits of random.categorical")
    axis = normalize_axis(axis, logits.ndim)
    rest = tuple(n for i, n in enumerate(logits.shape) if i != axis)
    shape = _batch_shape(shape, rest)
    before = shape[: len(shape) - len(rest)]
    if replace:
        within = list(shape[len(before) :])
        within.insert(axis, logits.shape[axis])
        noise = gumbels(key, (*before, *within), logits.dtype, mode)
        return fnp.argmax(noise + logits, axis=axis + len(before))
    draws = math.prod(before)
    _check_draws(draws, logits.shape[axis])
    noisy = logits + gumbels(key, logits.shape, logits.dtype, mode)
    _, best = lax.top_k(fnp.moveaxis(noisy, axis, -1), draws)
    return lax.reshape(fnp.moveaxis(best, -1, 0), shape)


def _batch_shape(shape: Shape | None, rest: Shape) -> Shape:
    if shape is None:
        return rest
    return result_shape("categorical", shape, np.broadcast_to(np.False_, rest))


def _check_draws(draws: int, count: int) -> None:
    if draws > count:
        raise ValueError(
            f"random.categorical got {draws} draws without replacement from {count} categories."
        )
