"""Counts: geometric, Poisson, binomial and multinomial numbers.

Poisson's and binomial numbers are drawn by rejection, all at once: a round offers every place a
number and ends when all have taken one, and a place takes the last that suited it. So a number
depends on the whole array, as in JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from functrace import lax
from functrace import numpy as fnp
from functrace.numpy.dispatching import operand
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.promotion import promote_dtypes
from functrace.ops.random_bits import threefry2x32
from functrace.random import xla_math
from functrace.random.sampler import inexact, result_shape, sampler, shared
from functrace.random.streams import children, counters, fused, unit

__all__ = ["binomial", "geometric", "multinomial", "poisson"]

Shape = tuple[int, ...]
DType = np.dtype[Any]
FLOAT32 = np.dtype(np.float32)


@sampler("iu", pointwise=False)
def geometric(key: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw how many trials it takes to succeed, each of probability ``p``.

    Args:
        key: the key.
        p: the probability of success.
        shape: the shape of the result; by default that of ``p``.
        dtype: an integer dtype; int64 by default.

    Example:
        >>> from functrace import random
        >>> geometric(random.key(0), 0.25, (3,))
        array([4, 6, 1])
    """
    p = inexact(p, "p of random.geometric")
    shape = result_shape("geometric", shape, p)
    u = unit(key, p.dtype, shape)
    log = xla_math.log(lax.select(lax.eq(u, 0), p.dtype.type(1), u))
    log_failure = xla_math.log1p(-p)
    if shared(shape, p):
        trials = log * broadcast_to(1 / log_failure, shape)
    else:
        trials = log / broadcast_to(log_failure, shape)
    return lax.convert_element_type(lax.floor(trials) + 1, dtype)


def _rounds(
    key: Any,
    shape: Shape,
    dtype: DType,
    accepted: Any,
    most: int | None,
    offer: Callable[[Any, Any], tuple[Any, Any]],
) -> Any:
    """Return what ``offer(u, v)``, which tells numbers and which suit, gave each place last."""

    def goes_on(state: Any) -> Any:
        i, _, accepted, _ = state
        waiting = lax.bitwise_not(lax.reduce_and(accepted, tuple(range(len(shape)))))
        return waiting if most is None else lax.bitwise_and(waiting, lax.lt(i, most))

    def turn(state: Any) -> Any:
        i, taken, accepted, key = state
        key, first, second = children(key, 3)
        number, suits = offer(unit(first, dtype, shape) - 0.5, unit(second, dtype, shape))
        taken = lax.select(suits, number, taken)
        return i + 1, taken, lax.bitwise_or(accepted, suits), key

    start = (np.int64(0), lax.full(shape, -1, dtype), accepted, key)
    return lax.while_loop(goes_on, turn, start)[1]


# --- Poisson -----------------------------------------------------------------------------------

FEW = 10
"""Below this rate numbers are counted (Knuth); from it on they are rejected (Hoermann)."""


@sampler("iu")
def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw how many events there are in a time when ``lam`` are expected; -1 where it is NaN.

    Args:
        key: the key.
        lam: the rate; float32 is computed with, whatever its dtype.
        shape: the shape of the result; by default that of ``lam``.
        dtype: an integer dtype; int64 by default.

    Example:
        >>> from functrace import random
        >>> poisson(random.key(0), 4.0, (3,))
        array([0, 1, 5])
    """
    lam = lax.stop_gradient(broadcast_to(lax.convert_element_type(lam, FLOAT32), shape))
    few = lax.bitwise_or(lax.ne(lam, lam), lax.lt(lam, FEW))
    most = int(np.iinfo(dtype).max)
    counted = _counted(key, lax.select(few, lam, FLOAT32.type(0)), shape, dtype, most)
    large = lax.select(few, FLOAT32.type(1e5), lam)
    rejected = _poisson_by_rejection(key, large, shape, few, most)
    out = lax.select(few, counted, lax.convert_element_type(rejected, dtype))
    return lax.select(lax.eq(lam, 0), dtype.type(0), out)


def _counted(key: Any, lam: Any, shape: Shape, dtype: DType, most: int) -> Any:
    """Count how many uniform numbers it takes until their product is below ``exp(-lam)``."""

    def goes_on(state: Any) -> Any:
        i, _, _, product = state
        waiting = lax.reduce_or(lax.gt(product, -lam), tuple(range(len(shape))))
        return lax.bitwise_and(waiting, lax.lt(i, most))

    def turn(state: Any) -> Any:
        i, count, key, product = state
        key, child = children(key)
        count = lax.select(lax.gt(product, -lam), count + 1, count)
        return i + 1, count, key, product + xla_math.log(unit(child, FLOAT32, shape))

    start = (np.int64(0), lax.full(shape, 0, dtype), key, lax.full(shape, 0, FLOAT32))
    return lax.while_loop(goes_on, turn, start)[1] - 1


def _poisson_by_rejection(key: Any, lam: Any, shape: Shape, idle: Any, most: int) -> Any:
    """Hoermann, "The transformed rejection method for generating Poisson variables" (1993).

    Where ``idle`` is everywhere true nothing is drawn: no place wants a number.
    """
    log_lam = xla_math.log(lam)
    b = fused(2.53, lax.sqrt(lam), 0.931)
    a = fused(0.02483, b, -0.059)
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    bound = 0.9277 - 3.6224 / (b - 2)

    def offer(u: Any, v: Any) -> tuple[Any, Any]:
        rest = 0.5 - lax.abs(u)
        k = lax.floor(fused(2 * a / rest + b, u, lam) + 0.43)
        corner = lax.bitwise_and(lax.lt(rest, 0.013), lax.gt(v, rest))
        outside = lax.bitwise_or(lax.lt(k, 0), corner)
        left = xla_math.log(v * inverse_alpha / (a / (rest * rest) + b))
        right = fused(k, log_lam, -lam) - xla_math.lgamma32(k + 1)
        return k, _suits(rest, v, bound, outside, lax.le(left, right))

    none = lax.reduce_and(idle, tuple(range(len(shape))))
    return _rounds(key, shape, FLOAT32, broadcast_to(none, shape), most, offer)


def _suits(rest: Any, v: Any, bound: Any, outside: Any, below: Any) -> Any:
    """Tell which numbers of transformed rejection are accepted, some without their density."""
    quick = lax.bitwise_and(lax.ge(rest, 0.07), lax.le(v, bound))
    return lax.bitwise_or(quick, lax.bitwise_and(lax.bitwise_not(outside), below))


# --- binomial ----------------------------------------------------------------------------------


@sampler(pointwise=False)
def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Draw how many of ``n`` trials of probability ``p`` succeed.

    Args:
        key: the key.
        n: the number of trials, rounded down; the result is NaN where it is negative.
        p: the probability of success; the result is NaN where it is NaN.
        shape: the shape of the result; by default that of the parameters.
        dtype: a floating dtype; float64 by default.

    Example:
        >>> from functrace import random
        >>> binomial(random.key(0), 10, 0.5, (3,))
        array([4., 7., 6.])
    """
    n, p = operand(n, "n of random.binomial"), inexact(p, "p of random.binomial")
    shape = result_shape("binomial", shape, n, p)
    n = broadcast_to(lax.convert_element_type(n, p.dtype), shape)
    return binomials(key, n, broadcast_to(p, shape), shape, dtype)


def binomials(key: Any, n: Any, p: Any, shape: Shape, dtype: DType) -> Any:
    """Return binomial numbers from a packed key; parameters have the shape.

    They are steps of their parameters, so they have no derivative in them.
    """
    n, p = lax.stop_gradient(n), lax.stop_gradient(p)
    kind = p.dtype
    swapped = lax.bitwise_not(lax.lt(p, 0.5))
    q = lax.select(swapped, 1.0 - p, p)
    invalid = lax.bitwise_not(lax.ge(q, 0.0))
    no_count = lax.bitwise_not(lax.ge(n, 0.0))
    nan_p = lax.ne(q, q)
    endless = lax.eq(n, np.inf)
    q = lax.select(invalid, kind.type(0.01), q)
    few = lax.bitwise_or(no_count, lax.le(n * q, 10.0))
    n = lax.floor(n)
    counted = _waiting_times(key, lax.select(few, n, kind.type(0)), q, shape)
    rejected = _binomial_by_rejection(
        key, lax.select(few, kind.type(1e4), n), lax.select(few, kind.type(0.5), q), shape, few
    )
    out = lax.convert_element_type(lax.select(few, counted, rejected), dtype)
    invalid = lax.bitwise_or(invalid, no_count)
    out = lax.select(lax.bitwise_and(endless, lax.bitwise_not(invalid)), dtype.type(np.inf), out)
    out = lax.select(invalid, dtype.type(np.nan), out)
    kept = lax.bitwise_or(lax.bitwise_or(no_count, nan_p), endless)
    swapped = lax.bitwise_and(swapped, lax.bitwise_not(kept))
    return lax.select(swapped, lax.convert_element_type(n, dtype) - out, out)


def _waiting_times(key: Any, n: Any, p: Any, shape: Shape) -> Any:
    """Count successes before n trials have passed, by drawing how long each takes."""
    kind = p.dtype
    log_failure = xla_math.log1p(-p)

    def goes_on(state: Any) -> Any:
        return lax.reduce_or(lax.le(state[1], n), tuple(range(len(shape))))

    def turn(state: Any) -> Any:
        count, passed, key = state
        child, key = children(key)
        count = lax.select(lax.le(passed, n), count + 1, count)
        waited = lax.ceil(xla_math.log(unit(child, kind, shape)) / log_failure)
        return count, passed + waited, key

    zero = lax.full(shape, 0, kind)
    return lax.while_loop(goes_on, turn, (zero, zero, key))[0] - 1


def _binomial_by_rejection(key: Any, n: Any, p: Any, shape: Shape, idle: Any) -> Any:
    """Hoermann, "The generation of binomial random variates" (1993): BTRS.

    Where ``idle`` is everywhere true nothing is drawn: no place wants a number.
    """
    spread = lax.sqrt(n * p * (1 - p))
    b = fused(2.53, spread, 1.15)
    a = fused(0.01, p, fused(0.0248, b, -0.0873))
    middle = fused(n, p, 0.5)
    bound = 0.92 - 4.2 / b
    odds = p / (1 - p)
    alpha = (2.83 + 5.1 / b) * spread
    mode = lax.floor((n + 1) * p)

    def offer(u: Any, v: Any) -> tuple[Any, Any]:
        rest = 0.5 - lax.abs(u)
        k = lax.floor(fused(2 * a / rest + b, u, middle))
        outside = lax.bitwise_or(lax.lt(k, 0), lax.gt(k, n))
        left = xla_math.log(v * alpha / (a / (rest * rest) + b))
        first, second, third = (
            xla_math.log((mode + 1) / (odds * (n - mode + 1))),
            xla_math.log((n - mode + 1) / (n - k + 1)),
            xla_math.log(odds * (n - k + 1) / (k + 1)),
        )
        # In this order XLA fuses the products; the one of ``first`` is outside its loop.
        logs = fused(k + 0.5, third, fused(n + 1, second, (mode + 0.5) * first))
        right = (
            logs
            + _stirling_rest(mode)
            + _stirling_rest(n - mode)
            - _stirling_rest(k)
            - _stirling_rest(n - k)
        )
        return k, _suits(rest, v, bound, outside, lax.le(left, right))

    none = lax.reduce_and(idle, tuple(range(len(shape))))
    return _rounds(key, shape, p.dtype, broadcast_to(none, shape), None, offer)


_RESTS = [
    math.lgamma(k + 1) - (k + 0.5) * math.log(k + 1) + (k + 1) - 0.5 * math.log(2 * math.pi)
    for k in range(10)
]


def _stirling_rest(k: Any) -> Any:
    """Return what Stirling's formula lacks of ``log k!``.

    From 9 on it is that of 9, as in JAX: in the sum the four of them then cancel to less than 0.01
    of a logarithm, and decisions are JAX's.
    """
    index = lax.convert_element_type(lax.clamp(0.0, k, 9.0), np.int64)
    return fnp.take(np.array(_RESTS, k.dtype), index, mode="clip")


@sampler(pointwise=False, static="unroll")
def multinomial(
    key: Any, n: Any, p: Any, *, shape: Any = None, dtype: Any = None, unroll: int | bool = 1
) -> Any:
    """Draw how often each of several outcomes comes in ``n`` trials.

    Args:
        key: the key.
        n: the number of trials; it broadcasts to the shape of ``p`` without its last axis.
        p: the probabilities of the outcomes, along the last axis.
        shape: the shape of the result; by default that of ``p``.
        dtype: a floating dtype; float64 by default.
        unroll: accepted for JAX's sake.

    Example:
        >>> import numpy as np
        >>> from functrace import random
        >>> multinomial(random.key(0), 10, np.array([0.2, 0.3, 0.5]))
        array([1., 4., 5.])
    """
    n, p = promote_dtypes(inexact(n, "n of random.multinomial"), inexact(p, "p of multinomial"))
    shape = p.shape if shape is None else shape
    n, p = broadcast_to(n, shape[:-1]), fnp.moveaxis(broadcast_to(p, shape), -1, 0)
    left = lax.cumsum(p, 0, reverse=True)
    ratios = p / lax.select(lax.eq(left, 0), p.dtype.type(1), left)
    keys = threefry2x32(key, counters((len(ratios),)))

    def one(left: Any, outcome: Any) -> Any:
        ratio, key = outcome
        ratio = lax.clamp(0.0, ratio, 1.0)
        count = binomials(key, left, ratio, shape[:-1], left.dtype)
        return left - count, count

    _, counts = lax.scan(one, n, (ratios, keys))
    return lax.convert_element_type(fnp.moveaxis(counts, 0, -1), dtype)
